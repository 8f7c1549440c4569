/*
 * remote-io-server: from a message of a connection to the session it is for
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Usually the connection is read in the home of the module, and the message
 * is carried out on the spot.  Otherwise it becomes a task of that home; as
 * long as one of a session is under way, the next ones follow it.
 */

#include "qemu/osdep.h"
#include "internal.h"
#include "filter.h"
#include "move.h"
#include "trace.h"

/* A session that is not, or is not here any more: say so, and go on */
static void say_gone(RiodConnection *conn, const RioMessage *m,
                     uint8_t status)
{
    RioMessage gone;

    rio_message_init(&gone, RIO_OP_SESSION_GONE, 0, 0);
    gone.ids = m->ids;
    gone.epoch = m->epoch;
    riod_set_reason(&gone, status, rio_status_text(status));
    riod_connection_control_locked(conn, &gone);
}

/* Hand a message over to the home of its module */
typedef struct RouteTask {
    RiodTask task;
    RiodSession *session;
    RiodFiles *files;
    bool held;                  /* not acknowledged before it is carried out */
    bool wait;                  /* the instance was stopped when it came */
    RiodFate fate;              /* what filters make of it */
    RioMessage message;
    uint8_t payload[];
} RouteTask;

/* The session was resumed meanwhile, perhaps elsewhere: it comes again */
static bool is_dropped(const RouteTask *t)
{
    return (t->held &&
            t->message.epoch != rio_session_epoch(t->session->rio)) ||
           t->session->inst->forgotten;
}

static void queue_left_locked(RiodConnection *conn, RiodSession *s,
                              const RouteTask *t)
{
    s->queued--;
    if (t->held && !is_dropped(t)) {
        rio_session_release(s->rio, t->message.length);
    }
    conn->queued--;
    if (conn->paused && conn->queued <= RIOD_QUEUE_LOW) {
        riod_connection_wake_locked(conn);
    }
}

static void dispatch_locked(RiodSession *s, const RioMessage *m,
                            const RiodFiles *files)
{
    riod_journal_message(s, m);
    if (unlikely(m->op == RIO_OP_DETACH)) {
        riod_detach(s, m);
    } else if (unlikely(m->op == RIO_OP_MEM_TABLE)) {
        riod_share_table(s, m, files);
    } else {
        riod_route(s, m);
    }
}

/* What the filters decided is there for the router to see */
static void carry_out_locked(RouteTask *t, const RioMessage *m,
                             RiodFate *fate)
{
    RiodInstance *inst = t->session->inst;

    inst->fate = fate;
    dispatch_locked(t->session, m, t->files);
    inst->fate = NULL;
    riod_filter_done(t->session, fate);
}

/* Each write of a batch has a fate of its own, and is carried out alone */
static void dispatch_filtered_locked(RouteTask *t)
{
    const RioMessage *m = &t->message;
    RioMessage one = *m;

    if (!t->fate.each) {
        carry_out_locked(t, m, &t->fate);
        return;
    }
    one.op = RIO_OP_REGION_WRITE;
    one.payload.len = 0;
    for (uint32_t i = 0; i < m->batch.count; i++) {
        one.write = rio_batch_get(m, i);
        carry_out_locked(t, &one, &t->fate.each[i]);
        one.flags &= ~RIO_FLAG_TRACE;
    }
}

static void route_task_run(RiodTask *task)
{
    RouteTask *t = container_of(task, RouteTask, task);
    RiodSession *s = t->session;
    RiodConnection *conn;

    if (unlikely(t->wait) && riod_instance_hold(s->inst, task)) {
        return;
    }
    if (unlikely(riod_filters_exist(s->inst) || s->late) &&
        riod_filter_message(s, &t->message, &t->fate, task)) {
        return;
    }
    conn = s->conn;
    WITH_QEMU_LOCK_GUARD(&conn->lock) {
        queue_left_locked(conn, s, t);
        if (!s->ended && !is_dropped(t)) {
            if (unlikely(t->fate.judged)) {
                dispatch_filtered_locked(t);
            } else {
                dispatch_locked(s, &t->message, t->files);
            }
            riod_connection_send_locked(conn);
        }
    }
    riod_session_unref(s);
    riod_files_free(t->files);
    g_free(t->fate.each);
    g_free(t);
}

/*
 * A connection that others share is not stopped for one session.  Its client
 * gets no acknowledgement instead, and has to keep to the log limit.
 */
static void hold_locked(RiodSession *s, const RioMessage *m)
{
    RioError err;

    rio_session_hold(s->rio, m->length);
    if (rio_session_held(s->rio) > s->log_limit + RIO_MAX_MESSAGE &&
        !s->broken) {
        rio_error_set(&err, RIO_STATUS_LIMIT, "%zu bytes wait here, the log "
                      "limit is %u", rio_session_held(s->rio), s->log_limit);
        riod_session_bad_locked(s, &err);
    }
}

static void hand_over(RiodConnection *conn, RiodSession *s,
                      const RioMessage *m)
{
    RouteTask *t = g_malloc(sizeof(*t) + m->payload.len);

    t->task.run = route_task_run;
    t->session = riod_session_ref(s);
    t->files = g_steal_pointer(&conn->files);
    t->fate = (RiodFate) { 0 };
    t->message = *m;
    t->message.payload.data = t->payload;
    if (m->payload.len) {
        memcpy(t->payload, m->payload.data, m->payload.len);
    }
    s->queued++;
    conn->queued++;
    t->wait = s->hold;
    t->held = m->seq && (s->hold || s->fenced ||
                         riod_connection_is_forwarder(conn));
    if (t->held) {
        hold_locked(s, m);
    }
    if (!s->hold && !riod_connection_is_forwarder(conn) &&
        conn->queued >= RIOD_QUEUE_HIGH) {
        conn->paused = true;
        riod_connection_wake_locked(conn);
    }
    riod_home_post(s->inst->home, &t->task);
}

/*
 * Room in the log that an acknowledgement made.  The home fills it when it
 * looks at its dirty sessions next; wake it if that is somebody else.
 */
typedef struct RoomTask {
    RiodTask task;
    RiodSession *session;
} RoomTask;

static void room_task_run(RiodTask *task)
{
    RoomTask *t = container_of(task, RoomTask, task);
    RiodConnection *conn = t->session->conn;

    WITH_QEMU_LOCK_GUARD(&conn->lock) {
        if (!t->session->ended) {
            riod_session_room_locked(t->session);
            riod_connection_send_locked(conn);
        }
    }
    riod_session_unref(t->session);
    g_free(t);
}

static void post_room(RiodSession *s)
{
    RoomTask *t = g_new(RoomTask, 1);

    s->want_room = false;
    t->task.run = room_task_run;
    t->session = riod_session_ref(s);
    riod_home_post(s->inst->home, &t->task);
}

static void use_room(RiodConnection *conn, RiodSession *s)
{
    if (s->inst->home == conn->home) {
        s->want_room = false;
        riod_session_room_locked(s);
    } else {
        post_room(s);
    }
}

/* Room for more: wake who waits at the gate, in the session's home */
void riod_sessions_drained_locked(RiodConnection *conn)
{
    RiodSession *s;

    QLIST_FOREACH(s, &conn->sessions, on_conn) {
        if (s->want_room) {
            post_room(s);
        }
    }
}

/* Also while the module is stopped, because it moves */
static void request_move(RiodSession *s, const RioMessage *m)
{
    RioError err;

    if (s->caps & RIO_CAP_MOVE) {
        riod_move_requested(s, m);
    } else {
        rio_error_set(&err, RIO_STATUS_UNSUPPORTED, "MOVE, which was not "
                      "agreed on");
        riod_session_bad_locked(s, &err);
    }
}

/* Modules come from servers only */
static void take_move(RiodConnection *conn, const RioMessage *m)
{
    RioMessage reply;

    if (rio_link_peer_role(conn->link) == RIO_ROLE_SERVER) {
        riod_move_offered(conn, m);
        return;
    }
    rio_message_init(&reply, RIO_OP_MOVE_STEP_REPLY, 0, m->tag);
    reply.ids.client = m->ids.client;
    riod_set_reason(&reply, RIO_STATUS_DENIED, "only a server gives a module "
                    "away");
    riod_connection_control_locked(conn, &reply);
}

static void session_message(RiodConnection *conn, RiodSession *s,
                            const RioMessage *m)
{
    RIO_UNINITIALIZED RioError error, *err = &error;

    if (unlikely(s->broken)) {
        return;                 /* it will be ended */
    }
    switch (rio_session_receive(s->rio, m, err)) {
    case RIO_RECEIVE_DELIVER:
        if (unlikely(m->op == RIO_OP_MOVE)) {
            request_move(s, m);
        } else if (likely(s->inst->home == conn->home && !s->queued &&
                          !s->hold && !riod_filters_exist(s->inst))) {
            dispatch_locked(s, m, conn->files);
        } else {
            hand_over(conn, s, m);
        }
        break;
    case RIO_RECEIVE_DROP:
        break;
    case RIO_RECEIVE_BAD:
        if (err->status == RIO_STATUS_STALE_EPOCH) {
            say_gone(conn, m, RIO_STATUS_STALE_EPOCH);
        } else {
            riod_session_bad_locked(s, err);
        }
        break;
    }
    if (unlikely(s->want_room)) {
        use_room(conn, s);
    }
}

void riod_deliver(RiodConnection *conn, const RioMessage *m)
{
    RiodLabel *label;
    RioError err;

    if (unlikely(!m->hops != !riod_connection_is_forwarder(conn))) {
        rio_error_set(&err, RIO_STATUS_PROTOCOL, "%s with %u hops from a "
                      "peer in the role %u", rio_op_name(m->op), m->hops,
                      rio_link_peer_role(conn->link));
        riod_connection_bad_locked(conn, &err);
        return;
    }
    switch (m->op) {
    case RIO_OP_ATTACH:
        riod_attach(conn, m);
        return;
    case RIO_OP_RESUME:
        riod_resume(conn, m);
        return;
    case RIO_OP_ROUTE_TRACE:
        riod_trace(conn, m);
        return;
    case RIO_OP_MOVE_OFFER:
    case RIO_OP_MOVE_DATA:
    case RIO_OP_MOVE_STEP:
        take_move(conn, m);
        return;
    }
    label = riod_label_find_locked(conn, &m->ids);
    if (likely(label && label->session)) {
        session_message(conn, label->session, m);
        return;
    }
    trace_riod_connection_no_session(conn->number, rio_op_name(m->op),
                                     m->ids.vm, m->ids.module);
    if (m->op != RIO_OP_ACK) {
        say_gone(conn, m, RIO_STATUS_UNKNOWN_SESSION);
    }
}

void riod_deliver_bad(RiodConnection *conn, const RioMessage *m,
                      const RioError *err)
{
    RiodLabel *label = riod_label_find_locked(conn, &m->ids);

    if (!label || !label->session) {
        say_gone(conn, m, RIO_STATUS_UNKNOWN_SESSION);
    } else if (!label->session->broken) {
        riod_session_bad_locked(label->session, err);
    }
}
