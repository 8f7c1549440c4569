/*
 * remote-io-server: where sessions went that were here
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A client that says RESUME here is led there.  Default home.
 */

#include "qemu/osdep.h"
#include "move.h"

/* Sessions whose new server is remembered; then all servers are asked */
#define MAX_WHEREABOUTS 65536u

static GHashTable *whereabouts;         /* token -> RiodPeer */

RiodPeer *riod_move_whereabouts(const uint8_t *token)
{
    return whereabouts ? g_hash_table_lookup(whereabouts, token) : NULL;
}

void riod_move_is_here(const uint8_t *token)
{
    if (whereabouts) {
        g_hash_table_remove(whereabouts, token);
    }
}

/* Its last one lets it go */
static void forget_peer(gpointer peer)
{
    riod_peer_unref(peer);
}

void riod_move_went(const GByteArray *bytes, RiodPeer *peer)
{
    g_autofree RioParcelSession *s = g_new(RioParcelSession, 1);
    RioSessionRecord record;
    RioParcel parcel;
    uint32_t at = 0;
    RioError err;

    if (!whereabouts) {
        whereabouts = riod_token_table_new(g_free, forget_peer);
    }
    if (g_hash_table_size(whereabouts) > MAX_WHEREABOUTS) {
        g_hash_table_remove_all(whereabouts);
    }
    if (rio_parcel_get((RioBytes) { bytes->data, bytes->len },
                       &parcel, &err)) {
        while (rio_parcel_session(&parcel, &at, s)) {
            if (rio_session_record_get(s->record, &record, &err)) {
                g_hash_table_replace(whereabouts,
                                     g_memdup2(record.token, RIO_TOKEN_SIZE),
                                     riod_peer_ref(peer));
            }
        }
    }
}
