/*
 * remote-io device: what the server sends, and what waits to be sent
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whoever received bytes comes here: a processor whose access waits, or the
 * device's thread.  Nothing here needs the BQL: replies wake their waiters,
 * interrupts are noted and delivered by the caller (irq.c).  DMA lets go of
 * the lock; so the caller leads, and nobody else receives meanwhile.
 */

#include "qemu/osdep.h"
#include "qemu/log.h"
#include "core.h"
#include "trace.h"

void remote_io_complete_locked(RemoteIOCore *s, RemoteIOWaiter *w,
                               uint64_t value, bool failed)
{
    w->value = value;
    w->failed = failed;
    if (!w->submitted) {
        s->num_unsubmitted--;
        w->submitted = true;
    } else if (failed && !w->posted) {
        s->abandoned++;
    }
    qatomic_store_release(&w->done, true);
    remote_io_wake_locked(w);
}

static bool mark_submitted(RemoteIOCore *s, RemoteIOWaiter *w)
{
    w->submitted = true;
    s->num_unsubmitted--;
    return true;
}

bool remote_io_submit_one_locked(RemoteIOCore *s, RemoteIOWaiter *w)
{
    RIO_UNINITIALIZED RioMessage m;

    if (s->state_lost || !remote_io_lazy_submit_locked(s)) {
        return false;
    }
    if (w->posted) {
        return rio_session_post(s->session, &w->w) && mark_submitted(s, w);
    }
    if (s->num_waiting - s->num_unsubmitted >= s->max_outstanding) {
        return false;
    }
    rio_message_init(&m, w->op, 0, w->tag);
    if (w->op == RIO_OP_REGION_READ) {
        m.read.region = w->w.region;
        m.read.size = w->w.size;
        m.read.offset = w->w.offset;
    } else {
        m.write = w->w;
    }
    trace_remote_io_request(s->name, rio_op_name(w->op), w->tag);
    return rio_session_send(s->session, &m) && mark_submitted(s, w);
}

void remote_io_submit_locked(RemoteIOCore *s)
{
    RemoteIOWaiter *w, *next;

    remote_io_dma_submit_locked(s);
    if (s->reset_owed && !s->state_lost) {
        remote_io_send_reset_locked(s);
    }
    remote_io_go_on_locked(s);
    if (!s->num_unsubmitted) {
        return;
    }
    QTAILQ_FOREACH_SAFE(w, &s->waiters, next, next) {
        if (w->submitted) {
            continue;
        }
        if (!remote_io_submit_one_locked(s, w)) {
            break;
        }
        if (w->posted) {
            remote_io_complete_locked(s, w, 0, false);
        }
    }
    remote_io_flush_locked(s);
}

/* A reply: give it to its access.  Returns: false when none asked for it. */
static bool reply(RemoteIOCore *s, const RioMessage *m)
{
    uint8_t request = m->op == RIO_OP_REGION_READ_REPLY ?
                      RIO_OP_REGION_READ : RIO_OP_REGION_WRITE;
    bool ok = m->status == RIO_STATUS_OK;
    RemoteIOWaiter *w;

    QTAILQ_FOREACH(w, &s->waiters, next) {
        if (w->tag == m->tag && w->op == request && w->submitted &&
            !w->posted && !w->done) {
            break;
        }
    }
    if (!w) {
        if (!s->abandoned) {
            return false;
        }
        /* The access has failed meanwhile, but the server answers again */
        s->abandoned--;
        if (s->outage) {
            remote_io_restored_locked(s, true);
        }
        return true;
    }
    if (!ok) {
        s->stats.refused++;
        qemu_log_mask(LOG_GUEST_ERROR, "remote-io %s: %s of %u bytes at "
                      "region %u offset 0x%" PRIx64 ": %s\n", s->name,
                      rio_op_name(request), w->w.size, w->w.region,
                      w->w.offset, m->reason[0] ? m->reason :
                      rio_status_text(m->status));
    }
    remote_io_complete_locked(s, w, ok && request == RIO_OP_REGION_READ ?
                              m->value.value : UINT64_MAX, false);
    if (s->outage) {
        remote_io_restored_locked(s, true);
    }
    return true;
}

static const char not_asked[] = "nobody asked for it";
static const char not_there[] = "the device has no such interrupt";

static const char *interrupt(RemoteIOCore *s, const RioMessage *m)
{
    if (m->op == RIO_OP_IRQ_LEVEL) {
        if (m->irq_level.line >= s->desc.lines) {
            return not_there;
        }
        remote_io_irq_level_locked(s, m->irq_level.line, m->irq_level.level);
    } else {
        if (m->irq_message.vector >= MAX(s->desc.msi_vectors,
                                         s->desc.msix_vectors)) {
            return not_there;
        }
        remote_io_irq_message_locked(s, m->irq_message.vector);
    }
    return NULL;
}

static const char *reset_reply(RemoteIOCore *s)
{
    if (!s->resets_pending) {
        return not_asked;
    }
    s->resets_pending--;
    remote_io_share_submit_locked(s);
    return NULL;
}

/*
 * Act on a message that is next in order.  Returns: NULL, or why the server
 * must not send it.
 */
static const char *deliver(RemoteIOCore *s, const RioMessage *m)
{
    switch (m->op) {
    case RIO_OP_REGION_READ_REPLY:
    case RIO_OP_REGION_WRITE_REPLY:
        return reply(s, m) ? NULL : not_asked;
    case RIO_OP_IRQ_LEVEL:
    case RIO_OP_IRQ_MESSAGE:
        return interrupt(s, m);
    case RIO_OP_DMA_READ:
        return remote_io_dma_read_locked(s, m);
    case RIO_OP_DMA_WRITE:
        return remote_io_dma_write_locked(s, m);
    case RIO_OP_MEM_TABLE_REPLY:
        return remote_io_share_reply_locked(s, m) ? NULL : not_asked;
    case RIO_OP_RECIPE:
        return remote_io_recipe_locked(s, m) ? NULL :
               "the device did not agree on such";
    case RIO_OP_RESET_REPLY:
        return reset_reply(s);
    case RIO_OP_MOVE_REPLY:
        return remote_io_move_reply_locked(s, m);
    case RIO_OP_MOVED:
        remote_io_moved_locked(s, m);
        return NULL;
    case RIO_OP_QUIESCE_REPLY:
    case RIO_OP_STATE_SAVE_REPLY:
    case RIO_OP_STATE_LOAD_REPLY:
        return remote_io_state_reply_locked(s, m);
    case RIO_OP_ACK:
        return NULL;
    case RIO_OP_SESSION_GONE:
        if (m->status == RIO_STATUS_STALE_EPOCH &&
            m->epoch < rio_session_epoch(s->session)) {
            return NULL;
        }
        s->fenced = m->status == RIO_STATUS_STALE_EPOCH;
        s->gone = !s->fenced;
        g_free(s->gone_reason);
        s->gone_reason = g_strdup_printf("the server ended the session (%s%s"
                                         "%s)", rio_status_text(m->status),
                                         m->reason[0] ? ": " : "", m->reason);
        remote_io_conn_lost_locked(s, m->reason[0] ? m->reason :
                                   rio_status_text(m->status));
        return NULL;
    case RIO_OP_DETACH_REPLY:
        s->detached = true;
        return s->detaching || s->quiet ? NULL : not_asked;
    default:
        return not_asked;
    }
}

static bool same_ids(const RioIds *a, const RioIds *b)
{
    return a->client == b->client && a->vm == b->vm &&
           a->server == b->server && a->module == b->module;
}

static void bad_message(RemoteIOCore *s, const RioMessage *m,
                        const char *text)
{
    g_autofree char *reason =
        g_strdup_printf("bad message %s from the server: %s",
                        rio_op_name(m->op), text);

    warn_report("remote-io %s: %s", s->name, reason);
    remote_io_conn_lost_locked(s, reason);
}

/* Returns: false when the connection is over */
static bool message(RemoteIOCore *s, RemoteIOConn *conn, RioMessage *m)
{
    RIO_UNINITIALIZED RioError err;
    const char *bad = NULL;

    if (m->op == RIO_OP_ROUTE_TRACE_REPLY) {
        remote_io_route_reply_locked(s, m);
        return true;
    }
    if (!same_ids(&m->ids, rio_session_ids(s->session))) {
        bad_message(s, m, "it is for another session");
        return false;
    }
    if (m->op == RIO_OP_SESSION_GONE || m->op == RIO_OP_DETACH_REPLY) {
        bad = deliver(s, m);
    } else {
        switch (rio_session_receive(s->session, m, &err)) {
        case RIO_RECEIVE_DELIVER:
            bad = deliver(s, m);
            break;
        case RIO_RECEIVE_DROP:
            break;
        default:
            bad = err.text;
            break;
        }
    }
    if (bad) {
        bad_message(s, m, bad);
    }
    return !conn->dead;
}

/*
 * The server works, although no reply may be due: what waited was a store
 * that had no room in the log, and an acknowledgement has made some.
 */
static void end_outage(RemoteIOCore *s)
{
    RemoteIOWaiter *w;

    if (!s->outage || s->abandoned || s->state_lost) {
        return;
    }
    QTAILQ_FOREACH(w, &s->waiters, next) {
        if (w->overdue && !w->done) {
            return;
        }
    }
    remote_io_restored_locked(s, true);
}

void remote_io_dispatch_locked(RemoteIOCore *s)
{
    RemoteIOConn *conn = s->conn;
    RIO_UNINITIALIZED RioError err;
    RIO_UNINITIALIZED RioMessage m;
    RioNextResult r;
    bool accepted = false;

    if (!conn) {
        return;
    }
    conn->refs++;
    while ((r = rio_link_next(conn->link, &m, &err)) == RIO_NEXT_MESSAGE) {
        if (!message(s, conn, &m)) {
            break;
        }
        accepted = true;
    }
    if (!conn->dead && r == RIO_NEXT_BAD) {
        remote_io_flush_locked(s);
        warn_report("remote-io %s: server %s: %s", s->name, s->server_text,
                    err.text);
        remote_io_conn_lost_locked(s, err.text);
    } else if (!conn->dead && r == RIO_NEXT_CLOSED) {
        s->fenced = err.status == RIO_STATUS_STALE_EPOCH;
        remote_io_conn_lost_locked(s, err.text);
    }
    if (!conn->dead) {
        remote_io_submit_locked(s);
        if (accepted) {
            end_outage(s);
        }
        if (rio_link_tx_pending(conn->link)) {
            remote_io_flush_locked(s);
        }
    }
    remote_io_conn_unref_locked(s, conn);
}
