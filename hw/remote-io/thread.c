/*
 * remote-io device: the thread of one device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * It sleeps while nothing happens, and while accesses receive for themselves.
 * It receives what comes when no access waits (interrupts, acknowledgements),
 * keeps the link alive and makes it anew, and detaches at the end.  It takes
 * the BQL only to deliver interrupts.
 */

#include "qemu/osdep.h"
#include <poll.h>
#include <sys/epoll.h>
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/rcu.h"
#include "core.h"
#include "trace.h"

#define DETACH_NS (300 * SCALE_MS)

/* How often the detaching thread looks whether an access still receives */
#define LEAD_MS 10

static int64_t now_ms(void)
{
    return remote_io_now_ns() / SCALE_MS;
}

void remote_io_kick(RemoteIOCore *s)
{
    event_notifier_set(&s->kick);
}

/* @conn is ready to carry @s->session from now on */
void remote_io_install_locked(RemoteIOCore *s, RemoteIOConn *conn)
{
    struct epoll_event ev = { };

    s->conn = conn;
    s->connected_ns = remote_io_now_ns();
    s->dma.max_body = rio_link_max_message(conn->link) - RIO_HEADER_SIZE;
    s->tx_blocked = false;
    s->armed = 0;
    s->watched = true;
    g_clear_pointer(&s->lost_reason, g_free);
    epoll_ctl(s->epfd, EPOLL_CTL_ADD, rio_transport_fd(conn->transport), &ev);
    rio_link_add_session(conn->link, s->session);
    remote_io_share_forget_locked(s);
    remote_io_share_submit_locked(s);
    remote_io_arm_locked(s);
}

static void note_failure_locked(RemoteIOCore *s, Error *err)
{
    trace_remote_io_retry(s->name, error_get_pretty(err));
    g_free(s->lost_reason);
    s->lost_reason = g_strdup(error_get_pretty(err));
    error_free(err);
    remote_io_schedule_retry_locked(s);
}

/* The session goes on where it was */
static bool resumed_locked(RemoteIOCore *s, RemoteIOConn *conn,
                           const RioIds *ids, uint64_t peer_received,
                           Error **errp)
{
    RioError err = { };

    rio_session_set_ids(s->session, ids);
    if (!rio_session_resume(s->session, s->epoch, peer_received, &err)) {
        error_setg(errp, "server %s cannot resume the session: %s",
                   s->server_text, err.text);
        return false;
    }
    trace_remote_io_resumed(s->name, rio_session_epoch(s->session));
    remote_io_install_locked(s, conn);
    if (!s->state_lost) {
        remote_io_restored_locked(s, true);
    }
    return true;
}

/*
 * The server has lost the session: attach anew.  What this means for the
 * guest is decided in remote_io_fresh_locked().
 */
static bool attach_again(RemoteIOCore *s, RemoteIOConn *conn,
                         RemoteIOAttach *a, Error **errp)
{
    bool same;

    if (!remote_io_attach(s, conn, a, s->connect_timeout_ms, errp)) {
        return false;
    }
    same = a->desc_len == s->desc_len &&
           !memcmp(a->desc, s->desc_bytes, a->desc_len);
    g_clear_pointer(&a->desc, g_free);
    if (!same) {
        error_setg(errp, "module '%s' of server %s is another device than "
                   "before: unplug this one and plug it in again",
                   s->module, s->server_text);
    }
    return same;
}

/* The thread does not receive any more: let an access lead */
static void resign(RemoteIOCore *s)
{
    RemoteIOWaiter *w;

    qatomic_set(&s->leader, NULL);
    if (s->frozen) {
        qemu_cond_broadcast(&s->idle);
    }
    QTAILQ_FOREACH(w, &s->waiters, next) {
        if (!w->done && !w->parked) {
            remote_io_wake_locked(w);
            break;
        }
    }
}

/* The caller leads, and holds a reference of @conn, which this drops */
void remote_io_begin_locked(RemoteIOCore *s, RemoteIOConn *conn)
{
    remote_io_dispatch_locked(s);
    resign(s);
    if (!conn->dead) {
        remote_io_flush_locked(s);
    }
    remote_io_conn_unref_locked(s, conn);
}

/*
 * It came too late.  A session that was to be detached would be ended by
 * nobody else; but one that migrates is the target's: what the server says
 * here must not be taken, and it says it again there.
 */
static void unwanted_locked(RemoteIOCore *s, RemoteIOConn *conn,
                            RemoteIOResume r, const RioIds *ids,
                            RemoteIOAttach *a)
{
    if (r == REMOTE_IO_RESUMED) {
        if (s->frozen) {
            remote_io_conn_free(conn);
            return;
        }
        a->ids = *ids;
        a->epoch = s->epoch;
    }
    remote_io_give_back(conn, a, "device was detached");
}

/* Called with lock, which is dropped inside */
static void reconnect(RemoteIOCore *s)
{
    Error *err = NULL;
    RemoteIOConn *conn;
    RemoteIOAttach a = { };
    uint64_t received = 0;
    bool gone = s->gone;
    bool ok = false;
    RemoteIOResume r = REMOTE_IO_NO_ANSWER;
    SocketAddress *where = NULL;
    bool moved = s->move.moved;
    bool locked;
    RioIds ids;

    remote_io_unlock(s);
    conn = moved ? remote_io_follow(s, &where) : NULL;
    conn = conn ?: remote_io_connect(s, s->connect_timeout_ms, &err);
    if (conn) {
        r = gone ? REMOTE_IO_UNKNOWN
                 : remote_io_resume(s, conn, &ids, &received, &err);
        ok = r == REMOTE_IO_RESUMED ||
             (r == REMOTE_IO_UNKNOWN && attach_again(s, conn, &a, &err));
    }
    locked = ok && moved;
    if (locked) {
        bql_lock();
    }
    remote_io_lock(s);
    if (ok && (s->order || s->frozen)) {
        error_setg(&err, "the device is being detached, or migrates");
        unwanted_locked(s, g_steal_pointer(&conn), r, &ids, &a);
        ok = false;
    }
    if (ok) {
        /*
         * Once it is installed it may be lost again, in here or as soon as
         * the lock is free; and nobody else may receive before what came
         * already is worked off.
         */
        conn->refs++;
        qatomic_set(&s->leader, s);
        if (r == REMOTE_IO_UNKNOWN) {
            remote_io_fresh_locked(s, conn, &a);
        } else {
            ok = resumed_locked(s, conn, &ids, received, &err);
        }
    }
    if (locked) {
        if (ok) {
            remote_io_followed_locked(s, g_steal_pointer(&where));
        }
        bql_unlock();
    }
    qapi_free_SocketAddress(where);
    if (!ok) {
        if (s->leader == s) {
            resign(s);
        }
        remote_io_conn_free(conn);
        note_failure_locked(s, err);
        return;
    }
    s->stats.reconnects++;
    s->gone = false;
    g_clear_pointer(&s->gone_reason, g_free);
    remote_io_begin_locked(s, conn);
}

/* Receive what is there, unless an access does it */
static void receive_locked(RemoteIOCore *s)
{
    RemoteIOConn *conn = s->conn;
    int i;

    if (!conn || s->leader || s->busy || s->frozen) {
        return;
    }
    conn->refs++;
    qatomic_set(&s->leader, s);
    for (i = 0; i < 64 && !conn->dead && !s->frozen; i++) {
        if (!remote_io_receive_locked(s, conn, 0)) {
            break;
        }
    }
    remote_io_conn_unref_locked(s, conn);
    resign(s);
}

/* What came in one piece with the answer to ATTACH */
static void first_messages_locked(RemoteIOCore *s)
{
    RemoteIOConn *conn = s->conn;

    if (!conn || s->leader) {
        return;                 /* an access that receives finds them, too */
    }
    conn->refs++;
    qatomic_set(&s->leader, s);
    remote_io_dispatch_locked(s);
    remote_io_conn_unref_locked(s, conn);
    resign(s);
}

/* Keep-alive.  Returns: when to look again. */
static int64_t keep_alive_locked(RemoteIOCore *s)
{
    RioError err = { };
    int64_t next_ms;

    if (!s->conn) {
        return s->dma.busy || s->quiet || s->fenced
               ? INT64_MAX : s->retry_ns;       /* whoever ends it kicks us */
    }
    if (!rio_link_tick(s->conn->link, now_ms(), &next_ms, &err)) {
        remote_io_conn_lost_locked(s, err.text);
        return 0;
    }
    if (rio_link_tx_pending(s->conn->link) || s->stage.head < s->stage.len) {
        s->flush_asked = true;
    }
    return next_ms * SCALE_MS;
}

/* Called with lock, which is dropped inside.  Returns: when to come back. */
static int64_t work(RemoteIOCore *s)
{
    int64_t next;

    if (s->frozen) {
        return INT64_MAX;       /* thawing kicks us */
    }
    receive_locked(s);
    if (!s->conn && !s->quiet && !s->fenced && !s->dma.busy &&
        remote_io_now_ns() >= s->retry_ns) {
        reconnect(s);
    }
    next = keep_alive_locked(s);
    next = MIN(next, remote_io_burst_tick_locked(s, remote_io_now_ns()));
    next = MIN(next, remote_io_judge_locked(s, remote_io_now_ns()));
    remote_io_flush_asked_locked(s);
    remote_io_arm_locked(s);
    if (remote_io_irq_pending(s)) {
        remote_io_unlock(s);
        bql_lock();
        remote_io_irq_apply(s);
        bql_unlock();
        remote_io_lock(s);
    }
    remote_io_flush_asked_locked(s);
    return MIN(next, remote_io_lazy_tick_locked(s, remote_io_now_ns()));
}

/*
 * Until no access receives.  All of them have failed, so the one that does
 * leaves when its slice is over, if nobody wakes it before.
 */
static void await_lead_locked(RemoteIOCore *s)
{
    while (s->leader) {
        qemu_cond_timedwait(&s->idle, &s->lock, LEAD_MS);
    }
}

void remote_io_leave_locked(RemoteIOCore *s, const char *why)
{
    int64_t deadline = remote_io_now_ns() + DETACH_NS;
    RioMessage m = { .op = RIO_OP_DETACH };
    RemoteIOConn *conn;

    s->detached = false;
    await_lead_locked(s);
    while (s->dma.busy) {
        qemu_cond_timedwait(&s->idle, &s->lock, 10);
    }
    if (s->session && !s->state_lost) {
        remote_io_lazy_submit_locked(s);
        remote_io_flush_locked(s);      /* DETACH would pass it */
    }
    remote_io_lazy_drop_locked(s);
    conn = s->conn;
    if (conn && s->frozen) {
        /* The session is another's by now, perhaps: it is not ours to end */
        remote_io_conn_lost_locked(s, why);
        return;
    }
    if (!conn) {
        return;
    }
    conn->refs++;
    remote_io_lazy_submit_locked(s);
    qatomic_set(&s->leader, s);
    m.ids = *rio_session_ids(s->session);
    m.epoch = rio_session_epoch(s->session);
    rio_link_send(conn->link, &m);
    remote_io_flush_locked(s);
    while (!s->detached && !conn->dead) {
        int64_t left = deadline - remote_io_now_ns();

        if (left <= 0) {
            break;
        }
        if (!remote_io_receive_locked(s, conn, 0)) {
            remote_io_unlock(s);
            rio_transport_wait(conn->transport, G_IO_IN, left);
            remote_io_lock(s);
        }
    }
    trace_remote_io_detached(s->name, s->detached);
    if (!conn->dead) {
        rio_link_bye(conn->link, RIO_STATUS_OK, why);
        remote_io_flush_locked(s);
        remote_io_conn_lost_locked(s, why);
    }
    qatomic_set(&s->leader, NULL);
    remote_io_conn_unref_locked(s, conn);
}

/* Returns: true when a run of loads may have ended */
static bool sleep_until(RemoteIOCore *s, int64_t next)
{
    int64_t left = next == INT64_MAX ? -1 : next - remote_io_now_ns();
    struct timespec ts;
    GPollFD fds[3] = {
        { .fd = event_notifier_get_fd(&s->kick), .events = G_IO_IN },
        { .fd = s->epfd, .events = G_IO_IN },
        { .fd = s->run_timer, .events = G_IO_IN },
    };

    if (next != INT64_MAX) {
        left = MAX(left, 0);
        ts.tv_sec = left / NANOSECONDS_PER_SECOND;
        ts.tv_nsec = left % NANOSECONDS_PER_SECOND;
    }
    ppoll((struct pollfd *)fds, 3, next == INT64_MAX ? NULL : &ts, NULL);
    event_notifier_test_and_clear(&s->kick);
    return fds[2].revents;
}

void *remote_io_thread(void *opaque)
{
    RemoteIOCore *s = opaque;
    int64_t next;
    bool ended;

    rcu_register_thread();
    remote_io_lock(s);
    first_messages_locked(s);
    while (!s->detaching) {
        if (s->order) {
            remote_io_obey_locked(s);
        }
        next = work(s);
        if (s->detaching) {
            break;
        }
        if (s->order) {
            continue;
        }
        s->wakes_ns = next;
        remote_io_unlock(s);
        ended = sleep_until(s, next);
        remote_io_lock(s);
        s->wakes_ns = 0;
        s->stats.io_wakeups++;
        if (ended) {
            remote_io_run_ended_locked(s);
        }
    }
    remote_io_leave_locked(s, "device was unplugged");
    remote_io_unlock(s);
    rcu_unregister_thread();
    return NULL;
}
