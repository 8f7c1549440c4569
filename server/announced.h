/*
 * remote-io-server internals: tables of modules that can be reached
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What one server announces to another ("Announcements" in the wire
 * specification), as plain data: no connection, no thread, no lock.  A table
 * maps a key, the names of a server and a module of it, to a distance.  The
 * key with an empty module stands for the server itself.
 */

#ifndef SERVER_ANNOUNCED_H
#define SERVER_ANNOUNCED_H

#include "net/remote-io/codec.h"

/* An empty table; free it with g_hash_table_unref() */
GHashTable *riod_announced_new(void);

/* Returns: the distance, or -1: it is not there */
int riod_announced_find(GHashTable *table, const char *server,
                        const char *module);

/* Set it, unless it is nearer there already */
void riod_announced_add(GHashTable *table, const char *server,
                        const char *module, unsigned distance);

/* Call @fn for each entry, in no order; @fn must not change @table */
void riod_announced_foreach(GHashTable *table,
                            void (*fn)(const char *server, const char *module,
                                       unsigned distance, void *opaque),
                            void *opaque);

/**
 * riod_announced_take: a peer has said @entries, decoded ones
 * @heard: what it has said before; is changed
 * @self: name of this server, whose entries are ignored
 * @changed: set to true when something has changed; else left as it is
 *
 * Returns: false with *@err when the peer names more than it may.
 */
bool riod_announced_take(GHashTable *heard, RioBytes entries,
                         const char *self, bool *changed, RioError *err)
    G_GNUC_WARN_UNUSED_RESULT;

/*
 * What a peer said, as this server passes it on to @to: one further away, and
 * without what @to has itself.  Call it for each peer but @to.
 */
void riod_announced_pass(GHashTable *table, GHashTable *heard,
                         const char *to);

/**
 * riod_announced_tell: what turns @told into @table, as bodies of ANNOUNCE
 * @table: at most RIO_MAX_ANNOUNCED of its entries, the nearest, are told; the
 *         others are taken out of it
 * @max: bytes that the entries of one message may have
 * @tell: called with the entries of each message, and how many
 */
void riod_announced_tell(GHashTable *table, GHashTable *told, size_t max,
                         void (*tell)(RioBytes entries, uint32_t count,
                                      void *opaque),
                         void *opaque);

#endif /* SERVER_ANNOUNCED_H */
