/*
 * remote-io-server: whom a message of a connection is for
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One connection may carry ten thousand sessions: those of this server's
 * modules and those that it forwards, found by the four ids in one step.
 */

#include "qemu/osdep.h"
#include "internal.h"

static guint ids_hash(gconstpointer key)
{
    const RioIds *ids = key;

    return ids->module * 2654435761u ^ ids->vm * 2246822519u ^
           ids->client * 3266489917u ^ ids->server;
}

static gboolean ids_equal(gconstpointer a, gconstpointer b)
{
    return !memcmp(a, b, sizeof(RioIds));
}

GHashTable *riod_labels_new(void)
{
    return g_hash_table_new(ids_hash, ids_equal);
}

bool riod_label_add_locked(RiodConnection *conn, RiodLabel *label)
{
    if (g_hash_table_contains(conn->labels, &label->ids)) {
        return false;
    }
    g_hash_table_insert(conn->labels, &label->ids, label);
    return true;
}

void riod_label_remove_locked(RiodConnection *conn, RiodLabel *label)
{
    if (g_hash_table_lookup(conn->labels, &label->ids) == label) {
        g_hash_table_remove(conn->labels, &label->ids);
    }
    if (conn->hot == label) {
        conn->hot = NULL;
    }
}

RiodLabel *riod_label_find_locked(RiodConnection *conn, const RioIds *ids)
{
    RiodLabel *label = conn->hot;

    if (likely(label && ids_equal(&label->ids, ids))) {
        return label;
    }
    label = g_hash_table_lookup(conn->labels, ids);
    if (label) {
        conn->hot = label;
    }
    return label;
}

static guint token_hash(gconstpointer key)
{
    guint hash;

    memcpy(&hash, key, sizeof(hash));   /* it is random */
    return hash;
}

static gboolean token_equal(gconstpointer a, gconstpointer b)
{
    return !memcmp(a, b, RIO_TOKEN_SIZE);
}

GHashTable *riod_token_table_new(GDestroyNotify free_key,
                                 GDestroyNotify free_value)
{
    return g_hash_table_new_full(token_hash, token_equal, free_key,
                                 free_value);
}
