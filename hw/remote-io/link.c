/*
 * remote-io device: bytes in and out of the connection
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One thread receives at a time, the leader; it lets go of the lock around
 * the system call, so that others can send meanwhile.
 */

#include "qemu/osdep.h"
#include <sys/epoll.h>
#include "qapi/error.h"
#include "qemu/iov.h"
#include "core.h"
#include "trace.h"

#define BACKOFF_FIRST_NS (10 * SCALE_MS)
#define LASTED_NS NANOSECONDS_PER_SECOND

/* What the thread takes at once; more is sent from where it lies */
#define STAGE_BYTES (32u * 1024)

/*
 * Messages that the server has not acknowledged.  With so many it is busy, and
 * a doorbell that comes a little later changes nothing.
 */
#define CROWD 4u

void remote_io_conn_unref_locked(RemoteIOCore *s, RemoteIOConn *conn)
{
    if (--conn->refs == 0) {
        remote_io_stats_link_closed_locked(s, conn->link);
        remote_io_conn_free(conn);
    }
}

void remote_io_arm_locked(RemoteIOCore *s)
{
    struct epoll_event ev = { };
    int op;
    bool thread_reads = !s->busy && (!s->leader || s->leader == s);

    if (!s->conn || s->conn->dead) {
        return;
    }
    ev.events = s->frozen ? 0 : (thread_reads ? EPOLLIN : 0) |
                                (s->tx_blocked ? EPOLLOUT : 0);
    if (ev.events == s->armed) {
        return;
    }
    s->armed = ev.events;
    if (s->watched && (s->busy || s->frozen) && !ev.events) {
        /*
         * As long as it is watched the sender looks for who must be woken;
         * and a frozen thread would wake for ever when the server hangs up.
         */
        op = EPOLL_CTL_DEL;
    } else {
        op = s->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    }
    s->watched = op != EPOLL_CTL_DEL;
    epoll_ctl(s->epfd, op, rio_transport_fd(s->conn->transport), &ev);
}

/*
 * The first attempt comes at once; but a connection that did not last counts
 * as a failed attempt, or a bad server would keep us busy.
 */
void remote_io_schedule_retry_locked(RemoteIOCore *s)
{
    int64_t now = remote_io_now_ns();
    int64_t longest = (int64_t)s->reconnect_ms * SCALE_MS;

    if (s->connected_ns && now - s->connected_ns > LASTED_NS) {
        s->backoff_ns = 0;
    } else {
        s->backoff_ns = s->backoff_ns ? s->backoff_ns * 2 : BACKOFF_FIRST_NS;
        s->backoff_ns = MIN(s->backoff_ns, longest);
    }
    s->connected_ns = 0;
    s->retry_ns = now + s->backoff_ns;
}

void remote_io_conn_lost_locked(RemoteIOCore *s, const char *reason)
{
    RemoteIOConn *conn = s->conn;
    RemoteIOWaiter *w;

    if (!conn || conn->dead) {
        return;
    }
    trace_remote_io_link_lost(s->name, reason);
    conn->dead = true;
    epoll_ctl(s->epfd, EPOLL_CTL_DEL, rio_transport_fd(conn->transport), NULL);
    rio_transport_shutdown(conn->transport);
    rio_link_remove_session(conn->link, s->session);
    if (rio_session_state(s->session) == RIO_SESSION_LIVE) {
        rio_session_lost(s->session);
    }
    s->conn = NULL;
    remote_io_stage_drop_locked(s);
    qatomic_set(&s->share.active, false);
    s->armed = 0;
    s->tx_blocked = false;
    g_free(s->lost_reason);
    s->lost_reason = g_strdup(reason);
    if (!s->lost_ns) {
        s->lost_ns = remote_io_now_ns();
    }
    remote_io_schedule_retry_locked(s);
    remote_io_conn_unref_locked(s, conn);
    QTAILQ_FOREACH(w, &s->waiters, next) {
        remote_io_wake_locked(w);
    }
    remote_io_kick(s);
}

static ssize_t send_some(RemoteIOCore *s, const struct iovec *iov, int n,
                         Error **errp)
{
    const int *files;
    unsigned num;

    if (unlikely(rio_link_tx_files(s->conn->link))) {
        files = remote_io_share_files_locked(s, &num);
        return rio_transport_send_files(s->conn->transport, iov, n, files,
                                        num, errp);
    }
    return rio_transport_send(s->conn->transport, iov, n, errp);
}

/* --- what the thread sends --- */

void remote_io_stage_drop_locked(RemoteIOCore *s)
{
    s->stage.head = s->stage.len = 0;
}

/* Returns: bytes in the stage; 0 when nothing waits, or more than fits */
static size_t stage_fill_locked(RemoteIOCore *s)
{
    RemoteIOStage *stage = &s->stage;
    struct iovec iov[8];
    size_t total = 0;
    int i, n;

    if (stage->head < stage->len) {
        return stage->len - stage->head;
    }
    n = rio_link_tx_files(s->conn->link) ? 0 :
        rio_link_tx(s->conn->link, iov, ARRAY_SIZE(iov));
    for (i = 0; i < n; i++) {
        total += iov[i].iov_len;
    }
    if (!total || total > STAGE_BYTES) {
        return 0;
    }
    if (!stage->buf) {
        stage->buf = g_malloc(STAGE_BYTES);
    }
    iov_to_buf(iov, n, 0, stage->buf, total);
    rio_link_tx_done(s->conn->link, total, rio_transport_now_ms());
    stage->head = 0;
    stage->len = total;
    return total;
}

/*
 * Send what is in the stage; lock held, let go inside when @unlock.  Returns:
 * false when not all of it went out: blocked, or the connection is lost.
 */
static bool stage_send_locked(RemoteIOCore *s, RemoteIOConn *conn,
                              bool unlock)
{
    RemoteIOStage *stage = &s->stage;
    Error *err = NULL;

    while (!conn->dead && stage->head < stage->len) {
        struct iovec iov = { stage->buf + stage->head,
                             stage->len - stage->head };
        ssize_t sent;

        if (unlock) {
            stage->sending = true;
            remote_io_unlock(s);
        }
        sent = rio_transport_send(conn->transport, &iov, 1, &err);
        if (unlock) {
            remote_io_lock(s);
            stage->sending = false;
        }
        if (conn->dead) {
            error_free(err);
        } else if (sent >= 0) {
            trace_remote_io_sent(s->name, sent);
            stage->head += sent;
        } else if (sent == RIO_TRANSPORT_AGAIN) {
            return false;
        } else {
            remote_io_conn_lost_locked(s, error_get_pretty(err));
            error_free(err);
        }
    }
    return !conn->dead;
}

void remote_io_flush_asked_locked(RemoteIOCore *s)
{
    RemoteIOConn *conn = s->conn;

    if (!s->flush_asked || !conn) {
        return;
    }
    conn->refs++;
    do {
        s->flush_asked = false;
    } while (s->conn == conn && !s->tx_blocked && stage_fill_locked(s) &&
             stage_send_locked(s, conn, true));
    remote_io_flush_locked(s);
    remote_io_conn_unref_locked(s, conn);
}

void remote_io_flush_soon_locked(RemoteIOCore *s)
{
    uint64_t ahead = rio_session_sent(s->session) -
                     rio_session_acked(s->session);

    if (ahead < CROWD) {
        remote_io_flush_locked(s);
    } else if (!s->flush_asked) {
        s->flush_asked = true;
        if (s->wakes_ns) {
            remote_io_kick(s);
        }
    }
}

/* --- what anybody sends --- */

/* Returns: false when the connection was lost; *@blocked: not all went out */
static bool send_waiting_locked(RemoteIOCore *s, bool *blocked)
{
    Error *err = NULL;
    struct iovec iov[8];
    ssize_t sent = 0;
    int n;

    if (s->conn && s->stage.head < s->stage.len &&
        !stage_send_locked(s, s->conn, false)) {
        *blocked = s->conn;
        return s->conn;
    }
    while (s->conn && (n = rio_link_tx(s->conn->link, iov,
                                       ARRAY_SIZE(iov))) > 0) {
        sent = send_some(s, iov, n, &err);
        if (sent == RIO_TRANSPORT_AGAIN) {
            *blocked = true;
            break;
        }
        if (sent < 0) {
            remote_io_conn_lost_locked(s, error_get_pretty(err));
            error_free(err);
            return false;
        }
        trace_remote_io_sent(s->name, sent);
        rio_link_tx_done(s->conn->link, sent, rio_transport_now_ms());
    }
    return true;
}

void remote_io_flush_locked(RemoteIOCore *s)
{
    bool blocked = false;

    if (s->stage.sending) {
        s->flush_asked = true;  /* the thread looks again */
        return;
    }
    s->flush_asked = false;
    do {
        if (!send_waiting_locked(s, &blocked)) {
            return;
        }
    } while (s->conn && !blocked && s->dma.num_owed &&
             remote_io_dma_submit_locked(s));
    if (blocked != s->tx_blocked) {
        s->tx_blocked = blocked;
        remote_io_arm_locked(s);
    }
}

bool remote_io_receive_locked(RemoteIOCore *s, RemoteIOConn *conn,
                              int64_t spin_until_ns)
{
    Error *err = NULL;
    size_t space;
    uint8_t *buf = rio_link_rx_space(conn->link, &space);
    ssize_t n;

    remote_io_unlock(s);
    if (spin_until_ns) {
        n = rio_transport_poll(conn->transport, buf, space, spin_until_ns,
                               &err);
    } else {
        n = rio_transport_recv(conn->transport, buf, space, &err);
    }
    remote_io_lock(s);
    if (conn->dead) {
        error_free(err);
        return true;
    }
    if (n == RIO_TRANSPORT_AGAIN) {
        return false;
    }
    if (n > 0) {
        trace_remote_io_received(s->name, n);
        rio_link_received(conn->link, n, rio_transport_now_ms());
        remote_io_dispatch_locked(s);
    } else if (n == 0) {
        remote_io_conn_lost_locked(s, "the server closed the connection");
    } else {
        remote_io_conn_lost_locked(s, error_get_pretty(err));
        error_free(err);
    }
    return true;
}
