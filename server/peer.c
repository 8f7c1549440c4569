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
#include "forward.h"
#include "trace.h"

#define CONNECT_MS 5000
#define BACKOFF_FIRST_MS 50
#define BACKOFF_LAST_MS 2000

static QTAILQ_HEAD(, RiodPeer) peers = QTAILQ_HEAD_INITIALIZER(peers);

/* What the thread found out, on its way to the home */
typedef struct PeerTask {
    RiodTask task;
    RiodPeer *peer;
    RioTransport *transport;
    char *text;
} PeerTask;

bool riod_peers_exist(void)
{
    return !QTAILQ_EMPTY(&peers);
}

RiodPeer *riod_peer_find(const char *id)
{
    RiodPeer *peer;

    QTAILQ_FOREACH(peer, &peers, node) {
        if (g_str_equal(peer->id, id)) {
            return peer;
        }
    }
    return NULL;
}

RiodPeer *riod_peer_next(RiodPeer *peer)
{
    return peer ? QTAILQ_NEXT(peer, node) : QTAILQ_FIRST(&peers);
}

/* --- connecting, in the peer's thread --- */

static void peer_connect(RiodPeer *peer)
{
    QEMU_LOCK_GUARD(&peer->lock);
    peer->wanted = true;
    qemu_cond_signal(&peer->cond);
}

void riod_peer_hurry(RiodPeer *peer)
{
    QEMU_LOCK_GUARD(&peer->lock);
    peer->hurry = peer->wanted;
    qemu_cond_signal(&peer->cond);
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

static void peer_task_run(RiodTask *task)
{
    PeerTask *t = container_of(task, PeerTask, task);

    if (qatomic_read(&t->peer->stop)) {
        /* Nobody would end a connection that comes up now */
        rio_transport_free(t->transport);
    } else if (t->transport) {
        riod_connection_open(t->peer, t->transport);
    } else {
        peer_failed(t->peer, t->text);
    }
    riod_routes_flush();
    g_free(t->text);
    g_free(t);
}

static void peer_post(RiodPeer *peer, RioTransport *transport,
                      const char *text)
{
    PeerTask *t = g_new0(PeerTask, 1);

    t->task.run = peer_task_run;
    t->peer = peer;
    t->transport = transport;
    t->text = g_strdup(text);
    riod_home_post(riod_home_default(), &t->task);
}

static bool peer_try(RiodPeer *peer)
{
    RioTransport *transport;
    Error *err = NULL;

    transport = rio_transport_connect(peer->addr, CONNECT_MS, &peer->stop,
                                      &err);
    peer_post(peer, transport, transport ? NULL : error_get_pretty(err));
    error_free(err);
    return transport;
}

/* A connection that ended at once is as bad as none: also wait before it */
static void *peer_thread(void *opaque)
{
    RiodPeer *peer = opaque;
    int backoff = 0;
    bool ok;

    qemu_mutex_lock(&peer->lock);
    while (!peer->stop) {
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
        peer->wanted = peer->hurry = false;
        backoff = MIN(MAX(backoff * 2, BACKOFF_FIRST_MS), BACKOFF_LAST_MS);
        qemu_mutex_unlock(&peer->lock);
        ok = !qatomic_read(&peer->stop) && peer_try(peer);
        qemu_mutex_lock(&peer->lock);
        peer->wanted |= !ok;
    }
    qemu_mutex_unlock(&peer->lock);
    return NULL;
}

/* --- in the home --- */

/* Is it who it should be, and can it do what is needed? */
static bool peer_check(RiodPeer *peer, const RioLink *link, RioError *err)
{
    if (!g_str_equal(rio_link_peer_name(link), peer->id)) {
        return rio_error_set(err, RIO_STATUS_DENIED, "at %s is server '%.80s',"
                             " not '%.80s': give each its own server id",
                             peer->text, rio_link_peer_name(link), peer->id);
    }
    if (RIOD_FORWARD_CAPS & ~rio_link_caps(link)) {
        return rio_error_set(err, RIO_STATUS_UNSUPPORTED, "server '%.80s' "
                             "cannot be forwarded to: it lacks the "
                             "capabilities 0x%" PRIx64, peer->id,
                             (uint64_t)(RIOD_FORWARD_CAPS &
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
    riod_routes_flush();
}

void riod_peer_lost(RiodConnection *conn, const char *reason)
{
    RiodPeer *peer = conn->next_hop;

    if (peer->conn == conn) {
        peer->conn = NULL;
        riod_connection_unref(conn);
    }
    peer_failed(peer, reason);
    peer_connect(peer);
}

void riod_peer_message(RiodConnection *conn, const RioMessage *m)
{
    switch (m->op) {
    case RIO_OP_ATTACH_REPLY:
    case RIO_OP_RESUME_REPLY:
    case RIO_OP_ROUTE_TRACE_REPLY:
        riod_ask_answered(conn, m);
        break;
    default:
        /* Of a session that was let go while this was on its way */
        trace_riod_peer_ignored(conn->next_hop->id, rio_op_name(m->op),
                                m->ids.vm, m->ids.module);
    }
}

/* --- the main loop's side --- */

bool riod_peer_add(const QDict *args, Error **errp)
{
    const char *id = qdict_get_try_str(args, "id");
    const char *text = qdict_get_try_str(args, "addr");
    SocketAddress *addr;
    RiodPeer *peer;

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
    peer = g_new0(RiodPeer, 1);
    peer->id = g_strdup(id);
    peer->addr = addr;
    peer->text = rio_address_text(addr);
    peer->wanted = true;
    qemu_mutex_init(&peer->lock);
    qemu_cond_init(&peer->cond);
    QTAILQ_INSERT_TAIL(&peers, peer, node);
    return true;
}

void riod_peers_start(void)
{
    RiodPeer *peer;

    riod_home_default();        /* is made by the first who asks for it */
    QTAILQ_FOREACH(peer, &peers, node) {
        peer->started = true;
        qemu_thread_create(&peer->thread, "remote-io-peer", peer_thread, peer,
                           QEMU_THREAD_JOINABLE);
    }
}

void riod_peers_stop(void)
{
    RiodPeer *peer;

    QTAILQ_FOREACH(peer, &peers, node) {
        if (peer->started) {
            WITH_QEMU_LOCK_GUARD(&peer->lock) {
                qatomic_set(&peer->stop, true);
                qemu_cond_signal(&peer->cond);
            }
            qemu_thread_join(&peer->thread);
            peer->started = false;
        }
    }
}
