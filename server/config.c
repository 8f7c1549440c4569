/*
 * remote-io-server: what the server says of itself
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/uuid.h"
#include "crypto/hash.h"
#include "internal.h"

#define DEFAULT_LEASE_MS 60000

RiodConfig riod_config = {
    .lease_ms = DEFAULT_LEASE_MS,
};

static QemuMutex tables_lock;

static void __attribute__((constructor)) tables_lock_init(void)
{
    qemu_mutex_init(&tables_lock);
}

void riod_tables_lock(void)
{
    qemu_mutex_lock(&tables_lock);
}

void riod_tables_unlock(void)
{
    qemu_mutex_unlock(&tables_lock);
}

uint32_t riod_config_number(const char *name)
{
    g_autofree uint8_t *digest = NULL;
    size_t len = 0;
    uint32_t number = 0;

    if (qcrypto_hash_bytes(QCRYPTO_HASH_ALGO_SHA256, name, strlen(name),
                           &digest, &len, NULL) == 0) {
        memcpy(&number, digest, sizeof(number));
    }
    return number & INT32_MAX ?: 1;
}

/*
 * The name decides: a server that comes back under its name, on this host or
 * another, is the same server to those who route to it.
 */
static void derive_ids(const char *name)
{
    g_autofree uint8_t *digest = NULL;
    size_t len = 0;
    QemuUUID fresh;

    if (qcrypto_hash_bytes(QCRYPTO_HASH_ALGO_SHA256, name, strlen(name),
                           &digest, &len, NULL) == 0) {
        memcpy(riod_config.uuid, digest, RIO_UUID_SIZE);
    } else {
        qemu_uuid_generate(&fresh);
        memcpy(riod_config.uuid, fresh.data, RIO_UUID_SIZE);
    }
    memcpy(&riod_config.server_id, riod_config.uuid,
           sizeof(riod_config.server_id));
    riod_config.server_id &= INT32_MAX;
    if (!riod_config.server_id) {
        riod_config.server_id = 1;
    }
}

/* The same that QEMU says of the host; zeroes when there is none */
static void take_machine_id(void)
{
    g_autofree char *text = NULL;

    memset(riod_config.uuid, 0, RIO_UUID_SIZE);
    if (!g_file_get_contents("/etc/machine-id", &text, NULL, NULL)) {
        return;
    }
    for (unsigned i = 0; i < RIO_UUID_SIZE; i++) {
        int hi = g_ascii_xdigit_value(text[2 * i]);
        int lo = hi < 0 ? -1 : g_ascii_xdigit_value(text[2 * i + 1]);

        if (lo < 0) {
            memset(riod_config.uuid, 0, RIO_UUID_SIZE);
            return;
        }
        riod_config.uuid[i] = hi << 4 | lo;
    }
}

void riod_config_complete(void)
{
    if (!riod_config.server_name) {
        riod_config.server_name = g_strndup(g_get_host_name(),
                                            RIO_MAX_STRING);
    }
    derive_ids(riod_config.server_name);
    if (riod_config.gateway) {
        take_machine_id();
    }
}
