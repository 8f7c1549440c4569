/*
 * remote-io-server: sessions that are forwarded
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A route is a pair of labels.  Its messages pass through two queues, one on
 * each connection, in which they wait for their turn beside those of other
 * sessions.  Neither numbers nor acknowledgements are looked at: when a
 * connection is lost, the two ends of the session send again what was in here.
 */

#include "qemu/osdep.h"
#include "directory.h"
#include "trace.h"

/* Sessions of all clients that go over this process */
static QTAILQ_HEAD(, RiodRoute) routes = QTAILQ_HEAD_INITIALIZER(routes);
static GHashTable *by_token;
static uint32_t last_number;

/* To copy so much into a queue costs more than a system call of its own */
#define RELAY_AT_ONCE 32768u

/* Connections with something that was relayed and is not sent */
static GPtrArray *to_flush;

RiodRoute *riod_route_find(const uint8_t *token)
{
    return by_token ? g_hash_table_lookup(by_token, token) : NULL;
}

void riod_routes_foreach(void (*fn)(RiodRoute *, void *), void *opaque)
{
    RiodRoute *r;

    QTAILQ_FOREACH(r, &routes, node) {
        fn(r, opaque);
    }
}

static void flush_later(RiodConnection *conn)
{
    if (!conn->flushing) {
        if (!to_flush) {
            to_flush = g_ptr_array_new();
        }
        conn->flushing = true;
        g_ptr_array_add(to_flush, riod_connection_ref(conn));
    }
}

void riod_routes_flush(void)
{
    while (to_flush && to_flush->len) {
        RiodConnection *conn = g_ptr_array_remove_index_fast(to_flush, 0);

        conn->flushing = false;
        WITH_QEMU_LOCK_GUARD(&conn->lock) {
            riod_connection_send_locked(conn);
            if (conn->closing) {
                riod_connection_wake_locked(conn);
            }
        }
        riod_connection_unref(conn);
    }
}

/* --- on and off connections --- */

static bool is_relayed(void *opaque, const RioMessage *m)
{
    RiodConnection *conn = opaque;
    RiodLabel *label;

    switch (m->op) {
    case RIO_OP_ATTACH:
    case RIO_OP_ATTACH_REPLY:
    case RIO_OP_RESUME:
    case RIO_OP_RESUME_REPLY:
    case RIO_OP_ROUTE_TRACE:
    case RIO_OP_MOVE_OFFER:
    case RIO_OP_MOVE_DATA:
    case RIO_OP_MOVE_STEP:
    case RIO_OP_MOVE_STEP_REPLY:
        return false;
    case RIO_OP_ROUTE_TRACE_REPLY:
        if (!m->ids.module) {
            return false;       /* of a request, not of a traced access */
        }
        break;
    }
    label = riod_label_find_locked(conn, &m->ids);
    if (!label || !label->route) {
        return false;
    }
    conn->relayed = label;
    return true;
}

/* Its messages come over @conn from now on, and @queue is sent there */
static bool join(RiodConnection *conn, RiodLabel *label, RioSession *queue)
{
    QEMU_LOCK_GUARD(&conn->lock);
    if (conn->closed || !riod_label_add_locked(conn, label)) {
        return false;
    }
    conn->forwards = true;
    rio_link_set_relay(conn->link, is_relayed, conn);
    rio_session_relay_clear(queue);
    rio_link_add_session(conn->link, queue);
    return true;
}

static void leave(RiodConnection **where, RiodLabel *label, RioSession *queue)
{
    RiodConnection *conn = *where;

    if (!conn) {
        return;
    }
    *where = NULL;
    WITH_QEMU_LOCK_GUARD(&conn->lock) {
        riod_label_remove_locked(conn, label);
        rio_link_remove_session(conn->link, queue);
        rio_session_relay_clear(queue);
    }
    flush_later(conn);
    riod_connection_unref(conn);
}

static void clear(RiodConnection *conn, RioSession *queue)
{
    if (conn) {
        QEMU_LOCK_GUARD(&conn->lock);
        rio_session_relay_clear(queue);
    }
}

/* What the forwarder says itself, in a session */
static void say(RiodConnection *conn, const RioIds *ids, uint32_t epoch,
                uint8_t op, uint8_t status, const char *reason)
{
    RioMessage m;

    if (!conn) {
        return;
    }
    rio_message_init(&m, op, 0, 0);
    m.ids = *ids;
    m.epoch = epoch;
    m.hops = op == RIO_OP_DETACH;
    if (reason) {
        riod_set_reason(&m, status, reason);
    }
    WITH_QEMU_LOCK_GUARD(&conn->lock) {
        riod_connection_control_locked(conn, &m);
    }
    flush_later(conn);
}

/* DETACH was carried out */
static void say_detached(RiodConnection *conn, const RioIds *ids,
                         const RioMessage *m)
{
    RioMessage reply;

    rio_message_init(&reply, RIO_OP_DETACH_REPLY, 0, m->tag);
    reply.ids = *ids;
    reply.epoch = m->epoch;
    WITH_QEMU_LOCK_GUARD(&conn->lock) {
        riod_connection_control_locked(conn, &reply);
    }
    flush_later(conn);
}

/* --- life --- */

static void route_free(RiodRoute *r)
{
    trace_riod_route_end(r->client->name, r->vm ? r->vm->name : "",
                         r->device, r->peer->id, r->module);
    riod_asks_forget_route(r);
    leave(&r->up_conn, &r->up, r->up_queue);
    leave(&r->down_conn, &r->down, r->down_queue);
    QTAILQ_REMOVE(&routes, r, node);
    g_hash_table_remove(by_token, r->token);
    riod_peer_unref(r->peer);
    timer_free(r->lease);
    rio_session_free(r->up_queue);
    rio_session_free(r->down_queue);
    if (r->vm) {
        riod_vm_put(r->client, r->vm);
    }
    riod_client_put(r->client);
    g_free(r);
}

/* For good, and both ends are told */
static void route_end(RiodRoute *r, uint8_t status, const char *reason)
{
    say(r->up_conn, &r->up.ids, r->epoch, RIO_OP_SESSION_GONE, status,
        reason);
    say(r->down_conn, &r->down.ids, r->epoch, RIO_OP_DETACH, 0, NULL);
    route_free(r);
}

static void lease_over(void *opaque)
{
    RiodRoute *r = opaque;

    riod_log("device %s of client %s, module %s of server %s: not resumed in "
             "%" PRId64 " ms, detached", r->device, r->client->name,
             r->module, r->peer->id, riod_config.lease_ms);
    route_end(r, RIO_STATUS_TIMEOUT, "the lease is over");
    riod_routes_flush();
}

static void route_lost(RiodRoute *r)
{
    r->state = RIOD_ROUTE_LOST;
    if (!r->lease) {
        r->lease = aio_timer_new(riod_home_default()->ctx,
                                 QEMU_CLOCK_REALTIME, SCALE_MS, lease_over,
                                 r);
    }
    timer_mod(r->lease, get_clock() / SCALE_MS + riod_config.lease_ms);
}

static void route_live(RiodRoute *r)
{
    r->state = RIOD_ROUTE_LIVE;
    timer_free(r->lease);
    r->lease = NULL;
}

/* Numbers that another process of this name gave out should not come again */
static uint32_t new_number(void)
{
    if (!last_number) {
        last_number = g_random_int() & 0x3fffffff;
    }
    return ++last_number & INT32_MAX ?: ++last_number;
}

static RiodRoute *route_new(RiodPeer *peer, RiodClient *client,
                            const uint8_t *token, const RioIds *up,
                            const RioIds *down, uint32_t log_limit)
{
    RiodRoute *r = g_new0(RiodRoute, 1);

    if (!by_token) {
        by_token = riod_token_table_new(NULL, NULL);
    }
    r->peer = riod_peer_ref(peer);
    r->client = client;
    r->log_limit = log_limit;
    memcpy(r->token, token, RIO_TOKEN_SIZE);
    r->up = (RiodLabel) { .ids = *up, .route = r };
    r->down = (RiodLabel) { .ids = *down, .route = r };
    r->up_queue = rio_session_new_relay(up, log_limit + RIOD_QUEUE_SLACK);
    r->down_queue = rio_session_new_relay(down, log_limit + RIOD_QUEUE_SLACK);
    g_hash_table_insert(by_token, r->token, r);
    QTAILQ_INSERT_TAIL(&routes, r, node);
    route_lost(r);
    return r;
}

/* Both connections carry it.  False when one of them is over. */
static bool route_join(RiodRoute *r, RiodConnection *up, RiodConnection *down)
{
    if (!r->down_conn && join(down, &r->down, r->down_queue)) {
        r->down_conn = riod_connection_ref(down);
    }
    if (!r->up_conn && join(up, &r->up, r->up_queue)) {
        r->up_conn = riod_connection_ref(up);
    }
    return r->up_conn == up && r->down_conn == down;
}

/* @m is the next hop's reply; ids, tag and hops are those of the client's */
static void reply_up(RiodConnection *conn, const RioMessage *request,
                     RioMessage *m, const RioIds *ids)
{
    QEMU_LOCK_GUARD(&conn->lock);
    m->tag = request->tag;
    m->ids = *ids;
    m->hops = rio_link_caps(conn->link) & RIO_CAP_ROUTE ? m->hops + 1 : 0;
    riod_connection_control_locked(conn, m);
    flush_later(conn);
}

bool riod_route_check_vm(const RiodClient *client, const RioMessage *attach,
                         RioError *err)
{
    const char *name = attach->attach.vm;
    RiodRoute *r, *next;

    QTAILQ_FOREACH_SAFE(r, &routes, node, next) {
        if (r->client != client || !r->vm || !g_str_equal(r->vm->name, name) ||
            !memcmp(r->vm->uuid, attach->attach.vm_uuid, RIO_UUID_SIZE)) {
            continue;
        }
        if (r->up_conn) {
            return rio_error_set(err, RIO_STATUS_DENIED, "another virtual "
                                 "machine is here as VM '%.80s' of client "
                                 "'%.60s': give each its own vm-id", name,
                                 client->name);
        }
        route_end(r, RIO_STATUS_STALE_EPOCH, "the VM was started again");
    }
    return true;
}

/* The answer of @peer cannot be used: it must not keep the session */
static bool drop_reply(RiodPeer *peer, const RioMessage *reply)
{
    say(peer->conn, &reply->ids, reply->epoch, RIO_OP_DETACH, 0, NULL);
    return false;
}

bool riod_route_new(RiodConnection *conn, RiodPeer *peer,
                    const RioMessage *attach, const RioMessage *reply,
                    RioError *err)
{
    RiodClient *client = riod_client_of(conn, attach, err);
    RioMessage m = *reply;
    RiodRoute *r;
    RiodVM *vm;
    RioIds ids;

    if (!client) {
        return drop_reply(peer, reply);
    }
    vm = riod_vm_get(client, attach->attach.vm, attach->attach.vm_uuid, err);
    if (!vm) {
        riod_client_put(client);
        return drop_reply(peer, reply);
    }
    ids = (RioIds) {
        .client = client->id, .vm = vm->id, .server = reply->ids.server,
        .module = new_number(),
    };
    m.attached.caps &= RIOD_FORWARD_CAPS;
    r = route_new(peer, client, reply->attached.token, &ids, &reply->ids,
                  reply->attached.log_limit);
    r->vm = vm;
    r->epoch = reply->epoch;
    r->caps = m.attached.caps;
    memcpy(r->device, attach->attach.device, sizeof(r->device));
    memcpy(r->module, attach->attach.module, sizeof(r->module));
    if (!route_join(r, conn, peer->conn)) {
        /* The client has left meanwhile, and does not know the session */
        rio_error_set(err, RIO_STATUS_GONE, "the connection is over");
        route_end(r, err->status, err->text);
        return false;
    }
    trace_riod_route_new(client->name, vm->name, r->device, peer->id,
                         r->module);
    reply_up(conn, attach, &m, &ids);
    route_live(r);
    return true;
}

/* --- resuming --- */

/* The client goes on elsewhere: nothing of the old connection counts */
static void leave_old(RiodRoute *r, RiodConnection *conn)
{
    static const char reason[] = "the session goes on on another connection";
    RiodConnection *old = r->up_conn;
    bool alone;

    if (!old) {
        return;
    }
    riod_connection_ref(old);
    leave(&r->up_conn, &r->up, r->up_queue);
    if (old != conn) {
        WITH_QEMU_LOCK_GUARD(&old->lock) {
            alone = !riod_connection_is_forwarder(old) &&
                    !g_hash_table_size(old->labels);
            if (alone) {
                riod_connection_bye_locked(old, RIO_STATUS_STALE_EPOCH,
                                           reason);
            }
        }
        if (!alone) {
            say(old, &r->up.ids, r->epoch, RIO_OP_SESSION_GONE,
                RIO_STATUS_STALE_EPOCH, reason);
        }
    }
    riod_connection_unref(old);
}

bool riod_route_orphaned(const RiodRoute *r)
{
    return !r->down_conn && r->peer->found && !r->peer->listed &&
           !r->peer->conn && riod_directory_names(r->module);
}

void riod_route_drop(RiodRoute *r)
{
    route_free(r);
}

bool riod_route_resume(RiodRoute *r, RiodConnection *conn,
                       const RioMessage *resume, RioError *err)
{
    /* A forwarder may be a new process that has its ids from the client */
    if (!riod_connection_is_forwarder(conn) && (r->client != conn->client ||
        memcmp(&r->up.ids, &resume->ids, sizeof(RioIds)))) {
        return rio_error_set(err, RIO_STATUS_UNKNOWN_SESSION, "no session of "
                             "VM %u with module %u has this token",
                             resume->ids.vm, resume->ids.module);
    }
    if (resume->epoch <= r->epoch) {
        return rio_error_set(err, RIO_STATUS_STALE_EPOCH, "resume with epoch "
                             "%u, the session has %u", resume->epoch,
                             r->epoch);
    }
    riod_asks_forget_route(r);
    leave_old(r, conn);
    clear(r->down_conn, r->down_queue);
    route_lost(r);
    if (!join(conn, &r->up, r->up_queue)) {
        return rio_error_set(err, RIO_STATUS_UNKNOWN_SESSION, "another "
                             "session of this connection has these ids");
    }
    r->epoch = resume->epoch;
    r->up_conn = riod_connection_ref(conn);
    r->state = RIOD_ROUTE_RESUMING;
    return true;
}

/* The session has other ids at the next hop than it had at the one before */
static void rename_down(RiodRoute *r, const RioIds *ids)
{
    if (memcmp(&r->down.ids, ids, sizeof(*ids))) {
        leave(&r->down_conn, &r->down, r->down_queue);
        r->down.ids = *ids;
        rio_session_set_ids(r->down_queue, ids);
    }
}

void riod_route_resumed(RiodRoute *r, const RioMessage *resume,
                        const RioMessage *reply)
{
    RiodConnection *conn = r->up_conn;
    bool ok = reply->status == RIO_STATUS_OK;
    bool over = reply->status == RIO_STATUS_UNKNOWN_SESSION ||
                reply->status == RIO_STATUS_GONE;
    RioMessage m = *reply;

    if (ok) {
        rename_down(r, &reply->ids);
    }
    if (ok && (!conn || !route_join(r, conn, r->peer->conn))) {
        route_lost(r);
        return;
    }
    trace_riod_route_resumed(r->client->name, r->device, r->epoch,
                             rio_status_name(reply->status));
    if (ok) {
        r->resumes++;
        route_live(r);
    } else {
        route_lost(r);
    }
    if (conn) {
        m.epoch = resume->epoch;
        reply_up(conn, resume, &m, &r->up.ids);
    }
    if (over) {
        route_free(r);
    }
}

bool riod_route_adopt(RiodConnection *conn, RiodPeer *peer,
                      const RioMessage *resume, const RioMessage *reply,
                      RioError *err)
{
    RioMessage m = *reply;
    RiodRoute *r;

    /* What the two ends agreed on is not known here; they hold to it */
    r = route_new(peer, riod_client_ref(conn->client), resume->resume.token,
                  &resume->ids, &reply->ids, RIO_MAX_LOG);
    r->epoch = resume->epoch;
    r->caps = RIOD_FORWARD_CAPS & rio_link_caps(conn->link);
    if (!route_join(r, conn, peer->conn)) {
        rio_error_set(err, RIO_STATUS_UNREACHABLE, "the ids of the session "
                      "are taken");
        route_free(r);
        return false;
    }
    riod_log("a session of client %s with server %s is back that this process"
             " did not know", conn->client->name, peer->id);
    reply_up(conn, resume, &m, &resume->ids);
    route_live(r);
    return true;
}

/* --- messages --- */

/*
 * A large message goes from where it was received straight to the transport,
 * if nothing waits there.  Returns: false when it must be queued.
 */
static bool relay_at_once_locked(RiodConnection *to, const RioSession *queue,
                                 const RioMessage *m, uint8_t hops)
{
    /* Its bytes are ours until the next receive, and were judged */
    uint8_t *bytes = (uint8_t *)m->payload.data;
    struct iovec iov = { bytes, m->payload.len };
    ssize_t sent;

    if (m->payload.len < RELAY_AT_ONCE) {
        return false;
    }
    riod_connection_send_locked(to);
    if (to->closed || to->closing || to->blocked ||
        rio_link_state(to->link) != RIO_LINK_READY ||
        rio_link_tx_pending(to->link)) {
        return false;
    }
    rio_relabel(bytes, rio_session_ids(queue), hops);
    sent = rio_transport_send(to->transport, &iov, 1, NULL);
    if (sent <= 0) {
        return false;           /* an error shows when it is sent again */
    }
    rio_link_tx_past(to->link, m->payload, sent, rio_transport_now_ms());
    return true;
}

static void relay(RiodRoute *r, int way, const RioMessage *m)
{
    RiodConnection *to = way == RIOD_UP ? r->up_conn : r->down_conn;
    RioSession *queue = way == RIOD_UP ? r->up_queue : r->down_queue;
    uint8_t hops;
    bool ok = true;

    WITH_QEMU_LOCK_GUARD(&to->lock) {
        hops = rio_link_caps(to->link) & RIO_CAP_ROUTE ? m->hops + 1 : 0;
        if (!to->closing) {
            ok = relay_at_once_locked(to, queue, m, hops) ||
                 rio_session_relay(queue, m->payload, hops);
        }
    }
    r->messages[way]++;
    r->bytes[way] += m->length;
    if (!ok) {
        riod_log("device %s of client %s: the %s left no room for what it "
                 "sent, detached", r->device, r->client->name,
                 way == RIOD_UP ? "server" : "client");
        route_end(r, RIO_STATUS_LIMIT, "more than the log limit waits");
        return;
    }
    flush_later(to);
}

static void message_down(RiodRoute *r, RiodConnection *conn,
                         const RioMessage *m)
{
    RioIds ids = m->ids;

    if (unlikely(m->flags & RIO_FLAG_TRACE)) {
        WITH_QEMU_LOCK_GUARD(&conn->lock) {
            riod_trace_report_locked(conn, m);
        }
        flush_later(conn);
    }
    if (m->op == RIO_OP_DETACH && r->state != RIOD_ROUTE_LIVE) {
        /* The server keeps it for its lease; there is no way to tell it */
        route_free(r);
        say_detached(conn, &ids, m);
    } else if (r->state == RIOD_ROUTE_LIVE && m->epoch == r->epoch) {
        relay(r, RIOD_DOWN, m);
    }
}

static void way_is_lost(RiodRoute *r, const char *reason)
{
    RiodConnection *up = r->up_conn;
    bool alone;

    leave(&r->down_conn, &r->down, r->down_queue);
    clear(up, r->up_queue);
    route_lost(r);
    if (!up) {
        return;
    }
    WITH_QEMU_LOCK_GUARD(&up->lock) {
        alone = !riod_connection_is_forwarder(up);
        if (alone) {
            riod_connection_bye_locked(up, RIO_STATUS_UNREACHABLE, reason);
        }
    }
    if (!alone) {
        say(up, &r->up.ids, r->epoch, RIO_OP_SESSION_GONE,
            RIO_STATUS_UNREACHABLE, reason);
    }
}

void riod_route_is_here(const uint8_t *token)
{
    RiodRoute *r = riod_route_find(token);

    if (r) {
        way_is_lost(r, "the module has moved here");
        route_free(r);
    }
}

/* The reason is in the body, which nobody has judged */
static void server_ended_it(RiodRoute *r, const RioMessage *m)
{
    RiodConnection *up = r->up_conn;
    RioIds ids = r->up.ids;
    RioMessage gone = *m;
    RioError err;

    if (m->status == RIO_STATUS_STALE_EPOCH && m->epoch < r->epoch) {
        return;
    }
    gone.payload.data += RIO_HEADER_SIZE;
    gone.payload.len -= RIO_HEADER_SIZE;
    if (!rio_decode_body(&gone, &err)) {
        riod_set_reason(&gone, m->status, rio_status_text(m->status));
    }
    if (m->status == RIO_STATUS_UNREACHABLE) {
        way_is_lost(r, gone.reason);
        return;
    }
    if (up) {
        riod_connection_ref(up);
    }
    route_free(r);
    say(up, &ids, m->epoch, m->op, m->status, gone.reason);
    riod_connection_unref(up);
}

/* To the client the way is lost, and another is there when it comes back */
static void session_moved(RiodRoute *r, const RioMessage *m)
{
    RioMessage moved = *m;
    RiodPeer *peer;
    RioError err;

    moved.payload.data += RIO_HEADER_SIZE;
    moved.payload.len -= RIO_HEADER_SIZE;
    if (!rio_decode_body(&moved, &err)) {
        moved.moved.server[0] = '\0';
    }
    peer = riod_peer_find(moved.moved.server);
    if (peer && peer != r->peer) {
        leave(&r->down_conn, &r->down, r->down_queue);
        riod_peer_unref(r->peer);
        r->peer = riod_peer_ref(peer);
    }
    trace_riod_route_moved(r->client->name, r->device, moved.moved.server,
                           r->peer->id);
    way_is_lost(r, "the module has moved to another server");
}

static void message_up(RiodRoute *r, const RioMessage *m)
{
    RiodConnection *up = r->up_conn;
    RioIds ids = r->up.ids;

    if (m->op == RIO_OP_SESSION_GONE) {
        server_ended_it(r, m);
    } else if (m->op == RIO_OP_DETACH_REPLY && up) {
        riod_connection_ref(up);
        route_free(r);
        say_detached(up, &ids, m);
        riod_connection_unref(up);
    } else if (r->state == RIOD_ROUTE_LIVE && m->epoch == r->epoch) {
        relay(r, RIOD_UP, m);
    }
}

void riod_route_message(RiodConnection *conn, const RioMessage *m)
{
    RiodRoute *r = conn->relayed->route;

    if (unlikely(m->op == RIO_OP_MOVED && conn->next_hop)) {
        session_moved(r, m);
    } else if (unlikely(m->hops >= RIO_MAX_HOPS)) {
        route_end(r, RIO_STATUS_LOOP, "too many servers pass it on");
    } else if (unlikely(rio_op_cap(m->op) & ~r->caps)) {
        g_autofree char *text =
            g_strdup_printf("%s, which was not agreed on",
                            rio_op_name(m->op));

        route_end(r, RIO_STATUS_UNSUPPORTED, text);
    } else if (conn->next_hop) {
        message_up(r, m);
    } else {
        message_down(r, conn, m);
    }
}

/* --- lost connections --- */

static void up_lost(RiodRoute *r, bool left)
{
    leave(&r->up_conn, &r->up, r->up_queue);
    clear(r->down_conn, r->down_queue);
    if (left || !riod_config.lease_ms) {
        route_end(r, RIO_STATUS_OK, "the client has left");
    } else {
        route_lost(r);
    }
}

void riod_routes_lost(RiodConnection *conn, const char *reason)
{
    g_autofree char *text = NULL;
    RiodRoute *r, *next;

    if (conn->next_hop) {
        text = g_strdup_printf("server '%s': %s", conn->next_hop->id, reason);
    }
    QTAILQ_FOREACH_SAFE(r, &routes, node, next) {
        if (r->down_conn == conn) {
            way_is_lost(r, text);
        } else if (r->up_conn == conn) {
            up_lost(r, conn->left);
        }
    }
}

void riod_routes_close_all(void)
{
    RiodRoute *r, *next;

    QTAILQ_FOREACH_SAFE(r, &routes, node, next) {
        route_free(r);
    }
    riod_routes_flush();
}
