/*
 * remote-io-server internals: whom a message of a connection is for
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A label is what a session is called on one connection: its four ids.  A
 * session of a module here has one, a route has one on each side.
 */

#ifndef SERVER_LABELS_H
#define SERVER_LABELS_H

#include "net/remote-io/codec.h"

typedef struct RiodConnection RiodConnection;
typedef struct RiodSession RiodSession;
typedef struct RiodRoute RiodRoute;

/* Embedded in what it names; constant while it is on a connection */
typedef struct RiodLabel {
    RioIds ids;
    RiodSession *session;       /* of a module here, or ... */
    RiodRoute *route;           /* ... one that is forwarded */
} RiodLabel;

/* An empty table, for RiodConnection.labels; free it as a GHashTable */
GHashTable *riod_labels_new(void);

/*
 * The lock of @conn is held.  Add gives false when another session has these
 * ids; find gives NULL when none has.
 */
bool riod_label_add_locked(RiodConnection *conn, RiodLabel *label)
    G_GNUC_WARN_UNUSED_RESULT;
void riod_label_remove_locked(RiodConnection *conn, RiodLabel *label);
RiodLabel *riod_label_find_locked(RiodConnection *conn, const RioIds *ids);

/*
 * An empty table of sessions by their token (RIO_TOKEN_SIZE bytes, random),
 * whatever their ids are; as g_hash_table_new_full()
 */
GHashTable *riod_token_table_new(GDestroyNotify free_key,
                                 GDestroyNotify free_value);

#endif /* SERVER_LABELS_H */
