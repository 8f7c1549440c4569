/*
 * remote-io-server: numbers for client platforms and their machines
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Names and UUIDs travel once; afterwards a client and a VM are small
 * numbers.  A client that comes back finds its old number for as long as the
 * table has room, so that logs and sessions can be told apart by it.
 */

#include "qemu/osdep.h"
#include "internal.h"
#include "trace.h"

/* Clients remembered although nothing of theirs is connected */
#define MAX_IDLE_CLIENTS 1024u
#define MAX_CLIENTS 65536u
#define MAX_VMS_PER_CLIENT 4096u

static QLIST_HEAD(, RiodClient) clients = QLIST_HEAD_INITIALIZER(clients);
static unsigned num_clients;
static uint32_t last_client;

static void client_free(RiodClient *client)
{
    QLIST_REMOVE(client, node);
    num_clients--;
    g_free(client->name);
    g_free(client);
}

static RiodClient *client_find(const char *name, bool forwarder)
{
    RiodClient *client;

    QLIST_FOREACH(client, &clients, node) {
        if (client->forwarder == forwarder &&
            g_str_equal(client->name, name)) {
            return client;
        }
    }
    return NULL;
}

static void forget_idle_clients(void)
{
    RiodClient *client, *next;

    QLIST_FOREACH_SAFE(client, &clients, node, next) {
        if (!client->users) {
            client_free(client);
        }
    }
}

static RiodClient *client_new(const char *name, bool forwarder)
{
    RiodClient *client = g_new0(RiodClient, 1);

    client->name = g_strdup(name);
    client->id = ++last_client;
    client->forwarder = forwarder;
    QLIST_INIT(&client->vms);
    QLIST_INSERT_HEAD(&clients, client, node);
    num_clients++;
    return client;
}

static RiodClient *client_get_locked(const char *name, const uint8_t *uuid,
                                     bool forwarder, RioError *err)
{
    RiodClient *client = client_find(name, forwarder);

    if (!client && num_clients >= MAX_IDLE_CLIENTS) {
        forget_idle_clients();
    }
    if (!client && num_clients >= MAX_CLIENTS) {
        rio_error_set(err, RIO_STATUS_LIMIT,
                      "the server serves %u clients already", num_clients);
        return NULL;
    }
    if (!client) {
        client = client_new(name, forwarder);
    } else if (memcmp(client->uuid, uuid, RIO_UUID_SIZE) && client->users) {
        rio_error_set(err, RIO_STATUS_DENIED,
                      "another host is connected as client '%s': give each "
                      "host its own client id", name);
        return NULL;
    }
    memcpy(client->uuid, uuid, RIO_UUID_SIZE);
    client->users++;
    return client;
}

RiodClient *riod_client_get(const char *name, const uint8_t *uuid,
                            bool forwarder, RioError *err)
{
    RiodClient *client;

    riod_tables_lock();
    client = client_get_locked(name, uuid, forwarder, err);
    riod_tables_unlock();
    return client;
}

/* Who speaks for others says for whom; that it may is the operator's choice */
RiodClient *riod_client_of(RiodConnection *conn, const RioMessage *attach,
                           RioError *err)
{
    if (attach->hops) {
        return riod_client_get(attach->attach.client,
                               attach->attach.client_uuid, false, err);
    }
    return riod_client_ref(conn->client);
}

RiodClient *riod_client_ref(RiodClient *client)
{
    riod_tables_lock();
    client->users++;
    riod_tables_unlock();
    return client;
}

void riod_client_put(RiodClient *client)
{
    if (!client) {
        return;
    }
    riod_tables_lock();
    client->users--;
    riod_tables_unlock();
}

static RiodVM *vm_get_locked(RiodClient *client, const char *name,
                             const uint8_t *uuid, RioError *err)
{
    unsigned count = 0;
    RiodVM *vm;

    QLIST_FOREACH(vm, &client->vms, node) {
        if (!memcmp(vm->uuid, uuid, RIO_UUID_SIZE) &&
            g_str_equal(vm->name, name)) {
            vm->users++;
            return vm;
        }
        count++;
    }
    if (riod_session_vm_is_claimed_locked(client, name, uuid)) {
        rio_error_set(err, RIO_STATUS_DENIED, "another virtual machine is "
                      "here as VM '%.80s' of client '%.60s': give each its "
                      "own vm-id", name, client->name);
        return NULL;
    }
    if (count == MAX_VMS_PER_CLIENT) {
        rio_error_set(err, RIO_STATUS_LIMIT, "client '%s' has %u virtual "
                      "machines here already", client->name, count);
        return NULL;
    }
    vm = g_new0(RiodVM, 1);
    vm->id = ++client->last_vm;
    vm->name = g_strdup(name);
    vm->users = 1;
    memcpy(vm->uuid, uuid, RIO_UUID_SIZE);
    QLIST_INSERT_HEAD(&client->vms, vm, node);
    return vm;
}

RiodVM *riod_vm_get(RiodClient *client, const char *name,
                    const uint8_t *uuid, RioError *err)
{
    RiodVM *vm;

    riod_tables_lock();
    vm = vm_get_locked(client, name, uuid, err);
    riod_tables_unlock();
    return vm;
}

void riod_vm_put(RiodClient *client, RiodVM *vm)
{
    riod_tables_lock();
    if (--vm->users == 0) {
        QLIST_REMOVE(vm, node);
        g_free(vm->name);
        g_free(vm);
    }
    riod_tables_unlock();
}
