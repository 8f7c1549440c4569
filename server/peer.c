/*
 * remote-io-server: next hops, the servers that this one forwards to
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Connecting blocks, so each next hop has a thread for it, which sleeps while
 * the connection stands.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-visit-sockets.h"
#include "qobject/qdict.h"
#include "directory.h"
#include "move.h"
#include "trace.h"

#define CONNECT_MS 5000
#define BACKOFF_FIRST_MS 50
#define BACKOFF_LAST_MS 2000

/* Home; before the start, main loop */
static QTAILQ_HEAD(, RiodPeer) peers = QTAILQ_HEAD_INITIALIZER(peers);
static bool configured;         /* constant after the start: --peer */
static bool stopping;           /* home: no thread is started any more */

/* What the thread found out, on its way to the home */
typedef struct PeerTask {
    RiodTask task;
    RiodPeer *peer;
    RioTransport *transport;
    char *text;
} PeerTask;

bool riod_peers_exist(void)
{
    return configured || riod_directories_exist();
}

RiodPeer *riod_peer_find(const char *id)
{
    RiodPeer *peer;

    QTAILQ_FOREACH(peer, &peers, node) {
        if (g_str_equal(peer->id, id) && !peer->over) {
            return peer;
        }
    }
    return NULL;
}

RiodPeer *riod_peer_next(RiodPeer *peer)
{
    do {
        peer = peer ? QTAILQ_NEXT(peer, node) : QTAILQ_FIRST(&peers);
    } while (peer && peer->over);
    return peer;
}

/* --- connecting, in the peer's thread --- */

/* From the home: make a connection, unless there is one or will be */
static void peer_connect(RiodPeer *peer, bool hurry)
{
    QEMU_LOCK_GUARD(&peer->lock);
    if (!peer->links && !peer->trying) {
        peer->trying = true;
        peer->wanted = true;
    }
    peer->hurry = hurry && peer->wanted;
    qemu_cond_signal(&peer->cond);
}

void riod_peer_hurry(RiodPeer *peer)
{
    peer_connect(peer, true);
}

/* One that a directory named is left alone while nobody needs it */
static void peer_connect_again(RiodPeer *peer)
{
    if (!peer->found || peer->users) {
        peer_connect(peer, false);
    }
}

/* One line when it begins; the attempts that follow are silent */
static void peer_failed(RiodPeer *peer, const char *text)
{
    if (!peer->trouble) {
        riod_log("server %s at %s: %s; trying again", peer->id, peer->text,
                 text);
    }
    g_free(peer->trouble);
    peer->trouble = g_strdup(text);
    riod_asks_peer_failed(peer, text);
}

static void peer_end_if_unneeded(RiodPeer *peer);

static void peer_task_run(RiodTask *task)
{
    PeerTask *t = container_of(task, PeerTask, task);
    RiodPeer *peer = t->peer;

    peer->trying = false;
    if (qatomic_read(&peer->stop)) {
        /* Nobody would end a connection that comes up now */
        rio_transport_free(t->transport);
    } else if (t->transport) {
        peer->links++;
        riod_connection_open(peer, t->transport);
    } else {
        riod_peer_ref(peer);
        peer_failed(peer, t->text);
        peer->users--;
        peer_connect_again(peer);
        peer_end_if_unneeded(peer);
    }
    riod_routes_flush();
    g_free(t->text);
    g_free(t);
}

static void peer_post(RiodPeer *peer, RioTransport *transport,
                      const char *text, void (*run)(RiodTask *))
{
    PeerTask *t = g_new0(PeerTask, 1);

    t->task.run = run;
    t->peer = peer;
    t->transport = transport;
    t->text = g_strdup(text);
    riod_home_post(riod_home_default(), &t->task);
}

/* One address after the other; each was parsed before */
static void peer_try(RiodPeer *peer, char **addresses)
{
    RioTransport *transport = NULL;
    Error *err = NULL;

    for (char **text = addresses; *text && !transport &&
         !qatomic_read(&peer->stop); text++) {
        g_autoptr(SocketAddress) addr = rio_address_parse(*text,
                                                          &error_abort);

        error_free(g_steal_pointer(&err));
        transport = rio_transport_connect(addr, CONNECT_MS, &peer->stop,
                                          &err);
    }
    peer_post(peer, transport, transport ? NULL :
              err ? error_get_pretty(err) : "cancelled", peer_task_run);
    error_free(err);
}

static void peer_ended_run(RiodTask *task);

/* A connection that ended at once is as bad as none: also wait before it */
static void *peer_thread(void *opaque)
{
    RiodPeer *peer = opaque;
    int backoff = 0;

    qemu_mutex_lock(&peer->lock);
    while (!peer->stop) {
        g_auto(GStrv) addresses = NULL;

        if (!peer->wanted) {
            if (!qemu_cond_timedwait(&peer->cond, &peer->lock,
                                     BACKOFF_LAST_MS)) {
                backoff = 0;
            }
            continue;
        }
        if (backoff && !peer->hurry) {
            qemu_cond_timedwait(&peer->cond, &peer->lock, backoff);
        }
        if (peer->stop) {
            break;
        }
        peer->wanted = peer->hurry = false;
        backoff = MIN(MAX(backoff * 2, BACKOFF_FIRST_MS), BACKOFF_LAST_MS);
        addresses = g_strdupv(peer->addresses);
        qemu_mutex_unlock(&peer->lock);
        peer_try(peer, addresses);
        qemu_mutex_lock(&peer->lock);
    }
    qemu_mutex_unlock(&peer->lock);
    if (peer->found) {
        peer_post(peer, NULL, NULL, peer_ended_run);
    }
    return NULL;
}

/* --- in the home --- */

static void peer_free(RiodPeer *peer)
{
    qemu_cond_destroy(&peer->cond);
    qemu_mutex_destroy(&peer->lock);
    g_strfreev(peer->addresses);
    g_free(peer->text);
    g_free(peer->trouble);
    g_free(peer->id);
    g_free(peer);
}

/* The last task of its thread */
static void peer_ended_run(RiodTask *task)
{
    PeerTask *t = container_of(task, PeerTask, task);
    RiodPeer *peer = t->peer;

    if (peer->over) {
        if (peer->started) {
            qemu_thread_join(&peer->thread);
        }
        QTAILQ_REMOVE(&peers, peer, node);
        peer_free(peer);
    }
    g_free(t);
}

static void peer_stop(RiodPeer *peer)
{
    QEMU_LOCK_GUARD(&peer->lock);
    qatomic_set(&peer->stop, true);
    qemu_cond_signal(&peer->cond);
}

/* Its connection first, then its thread, then itself */
static void peer_end_if_unneeded(RiodPeer *peer)
{
    if (!peer->found || peer->listed || peer->users || peer->over) {
        return;
    }
    if (peer->conn) {
        QEMU_LOCK_GUARD(&peer->conn->lock);
        riod_connection_bye_locked(peer->conn, RIO_STATUS_OK,
                                   "the directory names it no more");
    } else if (!peer->links) {
        trace_riod_peer_end(peer->id);
        peer->over = true;
        peer_stop(peer);
    }
}

RiodPeer *riod_peer_ref(RiodPeer *peer)
{
    peer->users++;
    return peer;
}

void riod_peer_unref(RiodPeer *peer)
{
    if (!--peer->users) {
        peer_end_if_unneeded(peer);
    }
}

void riod_peer_gone(RiodPeer *peer)
{
    peer->listed = false;
    peer_end_if_unneeded(peer);
}

/* Is it who it should be, and can it do what is needed? */
static bool peer_check(RiodPeer *peer, const RioLink *link, RioError *err)
{
    if (!g_str_equal(rio_link_peer_name(link), peer->id)) {
        return rio_error_set(err, RIO_STATUS_DENIED, "at %s is server '%.80s',"
                             " not '%.80s': give each its own server id",
                             peer->text, rio_link_peer_name(link), peer->id);
    }
    if (RIOD_FORWARD_NEEDS & ~rio_link_caps(link)) {
        return rio_error_set(err, RIO_STATUS_UNSUPPORTED, "server '%.80s' "
                             "cannot be forwarded to: it lacks the "
                             "capabilities 0x%" PRIx64, peer->id,
                             (uint64_t)(RIOD_FORWARD_NEEDS &
                                        ~rio_link_caps(link)));
    }
    return true;
}

void riod_peer_ready(RiodConnection *conn)
{
    RiodPeer *peer = conn->next_hop;
    RioError err;

    if (!peer_check(peer, conn->link, &err)) {
        WITH_QEMU_LOCK_GUARD(&conn->lock) {
            g_free(conn->last_words);
            conn->last_words = g_strdup(err.text);
            riod_connection_bye_locked(conn, err.status, err.text);
        }
        return;
    }
    trace_riod_peer_ready(peer->id, peer->text);
    if (peer->trouble) {
        riod_log("server %s at %s: connected", peer->id, peer->text);
        g_clear_pointer(&peer->trouble, g_free);
    }
    peer->conn = riod_connection_ref(conn);
    peer->connects++;
    riod_asks_peer_ready(peer);
    riod_moves_peer_ready(peer);
    peer_end_if_unneeded(peer);
    riod_routes_flush();
}

void riod_peer_lost(RiodConnection *conn, const char *reason)
{
    RiodPeer *peer = conn->next_hop;

    if (peer->conn == conn) {
        peer->conn = NULL;
        riod_connection_unref(conn);
    }
    peer->links--;
    riod_announce_forget(peer);
    riod_peer_ref(peer);
    riod_moves_peer_lost(peer);
    if (!peer->found || peer->users > 1) {
        peer_failed(peer, reason);
    }
    peer->users--;
    peer_connect_again(peer);
    peer_end_if_unneeded(peer);
}

void riod_peer_message(RiodConnection *conn, const RioMessage *m)
{
    switch (m->op) {
    case RIO_OP_ATTACH_REPLY:
    case RIO_OP_RESUME_REPLY:
    case RIO_OP_ROUTE_TRACE_REPLY:
        riod_ask_answered(conn, m);
        break;
    case RIO_OP_ANNOUNCE:
        riod_announce_heard(conn, m);
        break;
    case RIO_OP_MOVE_STEP_REPLY:
        riod_move_answered(conn, m);
        break;
    default:
        /* Of a session that was let go while this was on its way */
        trace_riod_peer_ignored(conn->next_hop->id, rio_op_name(m->op),
                                m->ids.vm, m->ids.module);
    }
}

/* --- there is one --- */

static RiodPeer *peer_new(const char *id, char **addresses)
{
    RiodPeer *peer = g_new0(RiodPeer, 1);

    peer->id = g_strdup(id);
    peer->addresses = g_strdupv(addresses);
    peer->text = g_strjoinv(" or ", addresses);
    qemu_mutex_init(&peer->lock);
    qemu_cond_init(&peer->cond);
    QTAILQ_INSERT_TAIL(&peers, peer, node);
    return peer;
}

bool riod_peer_add(const QDict *args, Error **errp)
{
    const char *id = qdict_get_try_str(args, "id");
    const char *text = qdict_get_try_str(args, "addr");
    SocketAddress *addr;
    char *addresses[] = { (char *)text, NULL };

    if (!id || !*id || !text || qdict_size(args) != 2) {
        error_setg(errp, "a peer has an id, which is its server id, and an "
                   "address, as in id=srv2,addr=tcp:192.0.2.2:7000");
        return false;
    }
    if (strlen(id) > RIO_MAX_STRING || !g_utf8_validate(id, -1, NULL)) {
        error_setg(errp, "a server id is UTF-8 text of at most %u bytes",
                   RIO_MAX_STRING);
        return false;
    }
    if (riod_peer_find(id)) {
        error_setg(errp, "there is a peer '%s' already: give each server its "
                   "own id", id);
        return false;
    }
    addr = rio_address_parse(text, errp);
    if (!addr) {
        return false;
    }
    qapi_free_SocketAddress(addr);
    peer_new(id, addresses);
    configured = true;
    return true;
}

static void peer_start(RiodPeer *peer)
{
    peer->started = true;
    qemu_thread_create(&peer->thread, "remote-io-peer", peer_thread, peer,
                       QEMU_THREAD_JOINABLE);
}

/* In the order of the options, before a directory can name any */
void riod_peers_start(void)
{
    RiodPeer *peer;

    riod_home_default();        /* is made by the first who asks for it */
    QTAILQ_FOREACH(peer, &peers, node) {
        peer->trying = peer->wanted = true;
        peer_start(peer);
    }
}

RiodPeer *riod_peer_found(const char *id, char **addresses)
{
    RiodPeer *peer = riod_peer_find(id);

    if (!peer) {
        peer = peer_new(id, addresses);
        peer->found = true;
        if (!stopping) {
            peer_start(peer);
        }
    } else if (peer->found) {
        QEMU_LOCK_GUARD(&peer->lock);
        if (!g_strv_equal((const char * const *)peer->addresses,
                          (const char * const *)addresses)) {
            g_strfreev(peer->addresses);
            peer->addresses = g_strdupv(addresses);
            g_free(peer->text);
            peer->text = g_strjoinv(" or ", addresses);
        }
    }
    peer->listed = true;
    return peer;
}

static void stop_all(void *opaque)
{
    RiodPeer *peer;

    stopping = true;
    QTAILQ_FOREACH(peer, &peers, node) {
        peer_stop(peer);
    }
    QTAILQ_FOREACH(peer, &peers, node) {
        if (peer->started) {
            qemu_thread_join(&peer->thread);
            peer->started = false;
        }
    }
}

void riod_peers_stop(void)
{
    riod_home_call(riod_home_default(), stop_all, NULL);
}
