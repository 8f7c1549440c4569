/*
 * remote-io-server: tables of modules that can be reached
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "announced.h"

/* Between the names of a key; names have no control characters */
#define SEPARATOR '\n'

/* Behind a distance, so that 0 is not "not there" */
#define PRESENT 0x100u

GHashTable *riod_announced_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

static char *make_key(const char *server, const char *module)
{
    return g_strdup_printf("%s%c%s", server, SEPARATOR, module);
}

static int find(GHashTable *table, const char *key)
{
    guint value = GPOINTER_TO_UINT(g_hash_table_lookup(table, key));

    return value ? (int)(value - PRESENT) : -1;
}

static void set(GHashTable *table, const char *key, unsigned distance)
{
    g_hash_table_insert(table, g_strdup(key),
                        GUINT_TO_POINTER(distance + PRESENT));
}

int riod_announced_find(GHashTable *table, const char *server,
                        const char *module)
{
    g_autofree char *key = make_key(server, module);

    return find(table, key);
}

static void add(GHashTable *table, const char *key, unsigned distance)
{
    int before = find(table, key);

    if (before < 0 || distance < before) {
        set(table, key, distance);
    }
}

void riod_announced_add(GHashTable *table, const char *server,
                        const char *module, unsigned distance)
{
    g_autofree char *key = make_key(server, module);

    add(table, key, distance);
}

void riod_announced_foreach(GHashTable *table,
                            void (*fn)(const char *server, const char *module,
                                       unsigned distance, void *opaque),
                            void *opaque)
{
    GHashTableIter iter;
    gpointer key, value;

    g_hash_table_iter_init(&iter, table);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        const char *module = strchr(key, SEPARATOR) + 1;
        g_autofree char *server = g_strndup(key, module - 1 - (char *)key);

        fn(server, module, GPOINTER_TO_UINT(value) - PRESENT, opaque);
    }
}

/* --- hearing --- */

static bool take_one(GHashTable *heard, const RioAnnounceEntry *entry,
                     bool *changed, RioError *err)
{
    g_autofree char *key = make_key(entry->server, entry->module);
    int before = find(heard, key);

    if (entry->distance == RIO_ANNOUNCE_GONE) {
        *changed |= g_hash_table_remove(heard, key);
        return true;
    }
    if (before < 0 && g_hash_table_size(heard) >= RIO_MAX_ANNOUNCED) {
        return rio_error_set(err, RIO_STATUS_LIMIT, "ANNOUNCE: more than %u "
                             "modules", RIO_MAX_ANNOUNCED);
    }
    if (before != entry->distance) {
        set(heard, key, entry->distance);
        *changed = true;
    }
    return true;
}

bool riod_announced_take(GHashTable *heard, RioBytes entries,
                         const char *self, bool *changed, RioError *err)
{
    RioAnnounceEntry entry;
    size_t at = 0;

    while (rio_announce_get(entries, &at, &entry)) {
        if (!g_str_equal(entry.server, self) &&
            !take_one(heard, &entry, changed, err)) {
            return false;
        }
    }
    return true;
}

/* --- telling --- */

static bool is_of(const char *key, const char *server)
{
    size_t len = strlen(server);

    return !strncmp(key, server, len) && key[len] == SEPARATOR;
}

void riod_announced_pass(GHashTable *table, GHashTable *heard, const char *to)
{
    GHashTableIter iter;
    gpointer key, value;

    g_hash_table_iter_init(&iter, heard);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        unsigned distance = GPOINTER_TO_UINT(value) - PRESENT + 1;

        if (distance < RIO_MAX_HOPS && !is_of(key, to)) {
            add(table, key, distance);
        }
    }
}

/*
 * The furthest go until there are few enough; of those that are equally far,
 * those that were not told before, so that it settles
 */
static void shrink(GHashTable *table, GHashTable *told)
{
    GHashTableIter iter;
    gpointer key, value;

    for (int far = RIO_MAX_HOPS - 1; far >= 0; far--) {
        for (int known = 0; known < 2; known++) {
            g_hash_table_iter_init(&iter, table);
            while (g_hash_table_size(table) > RIO_MAX_ANNOUNCED &&
                   g_hash_table_iter_next(&iter, &key, &value)) {
                if (GPOINTER_TO_UINT(value) - PRESENT == far &&
                    (find(told, key) >= 0) == known) {
                    g_hash_table_iter_remove(&iter);
                }
            }
        }
    }
}

/* What is being put together */
typedef struct Telling {
    uint8_t *buf;
    size_t len;
    size_t max;
    uint32_t count;
    void (*tell)(RioBytes entries, uint32_t count, void *opaque);
    void *opaque;
} Telling;

static void tell_now(Telling *t)
{
    if (t->count) {
        t->tell((RioBytes) { t->buf, t->len }, t->count, t->opaque);
    }
    t->len = t->count = 0;
}

static void tell_one(Telling *t, const char *key, uint8_t distance)
{
    const char *module = strchr(key, SEPARATOR) + 1;
    RioAnnounceEntry entry = { .distance = distance };

    if (t->len + RIO_ANNOUNCE_ENTRY_MAX > t->max) {
        tell_now(t);
    }
    memcpy(entry.server, key, module - 1 - key);
    g_strlcpy(entry.module, module, sizeof(entry.module));
    t->len += rio_announce_put(t->buf + t->len, &entry);
    t->count++;
}

/* What is gone first: a peer with a full table has room for the rest then */
void riod_announced_tell(GHashTable *table, GHashTable *told, size_t max,
                         void (*tell)(RioBytes entries, uint32_t count,
                                      void *opaque),
                         void *opaque)
{
    g_autofree uint8_t *buf = g_malloc(max);
    Telling t = { .buf = buf, .max = max, .tell = tell, .opaque = opaque };
    GHashTableIter iter;
    gpointer key, value;

    shrink(table, told);
    g_hash_table_iter_init(&iter, told);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        if (find(table, key) < 0) {
            tell_one(&t, key, RIO_ANNOUNCE_GONE);
            g_hash_table_iter_remove(&iter);
        }
    }
    g_hash_table_iter_init(&iter, table);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        if (g_hash_table_lookup(told, key) != value) {
            tell_one(&t, key, GPOINTER_TO_UINT(value) - PRESENT);
            g_hash_table_insert(told, g_strdup(key), value);
        }
    }
    tell_now(&t);
}
