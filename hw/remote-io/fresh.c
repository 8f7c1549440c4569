/*
 * remote-io device: a server that does not know the session any more
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The module was attached anew, so it is as after power-on.  If it has no
 * state to lose, everything that the old server may not have seen is said
 * again, and the guest notices nothing.  Otherwise the loss policy decides;
 * nothing is replayed into a device that was reset behind the guest's back
 * before somebody has accepted that.
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "core.h"
#include "trace.h"

static RemoteIOWaiter *find_waiter(RemoteIOCore *s, uint32_t tag)
{
    RemoteIOWaiter *w;

    QTAILQ_FOREACH(w, &s->waiters, next) {
        if (w->tag == tag && !w->done) {
            return w;
        }
    }
    return NULL;
}

/* Say a message of the old session's log again in the new one */
static void say_again(RemoteIOCore *s, RioMessage *m)
{
    RemoteIOWaiter *w;
    uint32_t i;
    bool ok = true;

    switch (m->op) {
    case RIO_OP_REGION_WRITE_BATCH:
        for (i = 0; i < m->batch.count && ok; i++) {
            RioWrite write = rio_batch_get(m, i);

            ok = rio_session_post(s->session, &write);
        }
        break;
    case RIO_OP_REGION_WRITE:
        if (m->flags & RIO_FLAG_POSTED) {
            ok = rio_session_post(s->session, &m->write);
            break;
        }
        /* fall through */
    case RIO_OP_REGION_READ:
        w = find_waiter(s, m->tag);
        if (w && !w->submitted) {
            remote_io_submit_one_locked(s, w);
        }
        break;
    case RIO_OP_DOORBELL:
        /* What came along is of no use to a module that knows no ring yet */
        if (!(m->flags & RIO_FLAG_MORE)) {
            ok = rio_session_post(s->session, &m->doorbell.write);
        }
        break;
    case RIO_OP_RESET:
        ok = rio_session_send(s->session, m);
        s->resets_pending += ok;
        break;
    default:
        break;
    }
    if (!ok) {
        warn_report("remote-io %s: server %s accepts less than the one it "
                    "replaces: stores were lost", s->name, s->server_text);
    }
}

/* Call @what for each message of @old's log that was not acknowledged */
static void for_each_logged(RemoteIOCore *s, RioSession *old,
                            void (*what)(RemoteIOCore *s, RioMessage *m))
{
    const uint8_t *data;
    RioError err;
    RioMessage m;
    size_t n;

    if (!rio_session_resume(old, rio_session_epoch(old) + 1,
                            rio_session_acked(old), &err)) {
        return;
    }
    while ((n = rio_session_tx(old, &data)) > 0) {
        if (rio_decode(data, n, RIO_MAX_MESSAGE, &m, &err) !=
            RIO_DECODE_OK) {
            return;
        }
        what(s, &m);
        rio_session_tx_done(old, m.length);
    }
}

/* Mark the accesses whose request is still in the log */
static void mark_logged(RemoteIOCore *s, RioMessage *m)
{
    bool access = m->op == RIO_OP_REGION_READ ||
                  m->op == RIO_OP_REGION_WRITE;
    RemoteIOWaiter *w = access ? find_waiter(s, m->tag) : NULL;

    if (w) {
        w->logged = true;
    }
}

static void replay(RemoteIOCore *s, RioSession *old)
{
    RemoteIOWaiter *w;

    for_each_logged(s, old, mark_logged);
    /* What the old server had received, but not answered, is older */
    QTAILQ_FOREACH(w, &s->waiters, next) {
        if (!w->done && w->was_submitted && !w->logged) {
            remote_io_submit_one_locked(s, w);
        }
        w->logged = false;
    }
    for_each_logged(s, old, say_again);
}

static void lose_state(RemoteIOCore *s)
{
    g_autofree char *reason =
        g_strdup_printf("%s: the device's state is lost",
                        s->gone_reason ?: "the server was restarted or has "
                        "dropped the session");

    remote_io_lost_event_locked(s, reason);
    if (s->on_loss == REMOTE_IO_LOSS_POLICY_FAIL) {
        remote_io_fail_all_locked(s);
        remote_io_accept_loss_locked(s);
        return;
    }
    if (s->on_loss == REMOTE_IO_LOSS_POLICY_UNPLUG) {
        remote_io_fail_from_now_on_locked(s, "the device's state is lost");
        s->state_lost = true;
        return;
    }
    /* Both other policies promise that no access meets a reset device */
    s->state_lost = true;
    remote_io_request_stop_locked(s);
}

void remote_io_fresh_locked(RemoteIOCore *s, RemoteIOConn *conn,
                            const RemoteIOAttach *a)
{
    RioSession *old = s->session;
    RemoteIOWaiter *w;

    trace_remote_io_fresh(s->name, a->epoch,
                          s->desc.restart == RIO_RESTART_STATELESS);
    remote_io_irq_lower_all_locked(s);
    remote_io_lazy_submit_locked(s);    /* to the old log: it is replayed */
    remote_io_lazy_drop_locked(s);
    remote_io_dma_forget_locked(s);
    remote_io_recipes_forget_locked(s);
    s->abandoned = 0;
    s->resets_pending = 0;
    s->quiesces = 0;
    s->go_owed = s->resting = false;
    s->epoch = 0;
    QTAILQ_FOREACH(w, &s->waiters, next) {
        w->was_submitted = w->submitted;
        if (!w->done && w->submitted) {
            w->submitted = false;
            s->num_unsubmitted++;
        }
    }
    remote_io_start_session_locked(s, a);
    remote_io_install_locked(s, conn);
    remote_io_recipes_start_locked(s);
    if (s->desc.restart == RIO_RESTART_STATELESS) {
        replay(s, old);
        remote_io_restored_locked(s, true);
        remote_io_submit_locked(s);
    } else {
        lose_state(s);
    }
    rio_session_free(old);
}
