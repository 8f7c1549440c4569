/*
 * remote-io-server internals: client platforms and their machines
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Names and UUIDs come once, in HELLO and ATTACH; from then on each is a small
 * number.  Counted by those who use it: connections, sessions and routes.
 */

#ifndef SERVER_IDENTITY_H
#define SERVER_IDENTITY_H

#include "qemu/queue.h"
#include "labels.h"

typedef struct RiodClient RiodClient;
typedef struct RiodVM RiodVM;

/* A client platform that introduced itself; tables' lock */
struct RiodClient {
    uint32_t id;
    char *name;
    bool forwarder;
    uint8_t uuid[RIO_UUID_SIZE];
    unsigned users;             /* connections and sessions */
    uint32_t last_vm;
    QLIST_HEAD(, RiodVM) vms;
    QLIST_ENTRY(RiodClient) node;
};

struct RiodVM {
    uint32_t id;
    char *name;
    uint8_t uuid[RIO_UUID_SIZE];
    unsigned users;             /* sessions */
    QLIST_ENTRY(RiodVM) node;
};

/*
 * Any thread.  NULL with *@err when another host goes by that name
 * @forwarder: it is another server, whose names are apart from those of client
 * platforms
 */
RiodClient *riod_client_get(const char *name, const uint8_t *uuid,
                            bool forwarder, RioError *err);

/* The client platform for which @conn sent @attach; a reference, or NULL */
RiodClient *riod_client_of(RiodConnection *conn, const RioMessage *attach,
                           RioError *err);
RiodClient *riod_client_ref(RiodClient *client);
void riod_client_put(RiodClient *client);       /* NULL-safe */

RiodVM *riod_vm_get(RiodClient *client, const char *name,
                    const uint8_t *uuid, RioError *err);
void riod_vm_put(RiodClient *client, RiodVM *vm);

#endif /* SERVER_IDENTITY_H */
