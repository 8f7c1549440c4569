/*
 * remote-io device: the life of one access
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An access sends its own request and, if it must wait for a reply, receives
 * it itself: a wake-up of another thread costs more than everything else
 * together.  The first access that waits leads: it polls the socket for as
 * long as that paid off lately, then sleeps on it, and hands replies of others
 * to them.  The others follow: they wait to be told, or to lead.
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "hw/core/cpu.h"
#include "core.h"
#include "trace.h"

/* What is given up is the rest of a time slice: look for a while after that */
#define YIELD_NS (10 * SCALE_US)

/* Granularity at which a sleeping access looks at the state of the machine */
#define SLICE_NS (10 * SCALE_MS)

/* An access that waits longer must not hold up the rest of QEMU */
#define PARK_NS (200 * SCALE_MS)

/*
 * Poll for what comes next, and after a while give up the processor now and
 * then.  Returns: true when something came or the connection ended.
 */
static bool lead_polling(RemoteIOCore *s, RemoteIOConn *conn,
                         const RemoteIOPatience *p)
{
    int64_t until = p->spin_until_ns;
    int64_t now;

    while (!remote_io_receive_locked(s, conn, until)) {
        now = remote_io_now_ns();
        if (now >= p->yield_until_ns) {
            return false;
        }
        remote_io_unlock(s);
        sched_yield();
        remote_io_lock(s);
        until = now + YIELD_NS;
    }
    return true;
}

/* Sleep until something comes, or there is room to send what waits */
static void lead_sleeping(RemoteIOCore *s, RemoteIOConn *conn, int64_t ns)
{
    int events = G_IO_IN | (s->tx_blocked ? G_IO_OUT : 0);

    remote_io_unlock(s);
    events = rio_transport_wait(conn->transport, events, ns);
    remote_io_lock(s);
    s->stats.vcpu_wakeups++;
    if (!conn->dead && (events & G_IO_OUT)) {
        remote_io_flush_locked(s);
    }
}

/* Lead: receive until @w is done.  Returns: true when this slept. */
static bool lead(RemoteIOCore *s, RemoteIOWaiter *w, int64_t until_ns,
                 const RemoteIOPatience *p)
{
    RemoteIOConn *conn = s->conn;
    bool polls = p && p->spin_until_ns;
    bool slept = false;

    conn->refs++;
    s->leader = w;
    remote_io_arm_locked(s);
    while (!w->done && !conn->dead) {
        int64_t left;

        /* Where it is not to be expected, do not even look */
        if (polls ? lead_polling(s, conn, p)
                  : slept && remote_io_receive_locked(s, conn, 0)) {
            if (!w->done && remote_io_irq_pending(s)) {
                remote_io_kick(s);      /* they must not wait for @w */
            }
            continue;
        }
        left = until_ns - remote_io_now_ns();
        if (left <= 0) {
            break;
        }
        lead_sleeping(s, conn, left);
        slept = true;
        polls = false;
    }
    remote_io_conn_unref_locked(s, conn);
    return slept;
}

/* Follow: wait to be told.  Returns: true when this slept. */
static bool follow(RemoteIOCore *s, RemoteIOWaiter *w, int64_t until_ns,
                   const RemoteIOPatience *p)
{
    int64_t spin_until_ns = p ? p->spin_until_ns : 0;
    int64_t left;

    if (s->leader) {
        remote_io_unlock(s);
        while (!qatomic_load_acquire(&w->done) && qatomic_read(&s->leader) &&
               remote_io_now_ns() < spin_until_ns) {
            cpu_relax();
        }
        remote_io_lock(s);
        if (w->done || !s->leader) {
            return false;
        }
    }
    left = until_ns - remote_io_now_ns();
    if (left > 0) {
        qemu_cond_init(&w->cond);
        w->sleeping = true;
        qemu_cond_timedwait(&w->cond, &s->lock, DIV_ROUND_UP(left, SCALE_MS));
        w->sleeping = false;
        qemu_cond_destroy(&w->cond);
        s->stats.vcpu_wakeups++;
    }
    return true;
}

/* @w does not receive any more: who does? */
static void resign(RemoteIOCore *s, RemoteIOWaiter *w)
{
    RemoteIOWaiter *other;

    if (s->leader != w) {
        return;
    }
    qatomic_set(&s->leader, NULL);
    if (s->detaching || s->frozen) {
        qemu_cond_broadcast(&s->idle);
    }
    QTAILQ_FOREACH(other, &s->waiters, next) {
        if (other != w && !other->done && !other->parked) {
            remote_io_wake_locked(other);
            break;
        }
    }
    remote_io_arm_locked(s);
}

bool remote_io_wait_slice_locked(RemoteIOCore *s, RemoteIOWaiter *w,
                                 int64_t until_ns, const RemoteIOPatience *p)
{
    bool slept;

    if (s->conn && (!s->leader || s->leader == w)) {
        slept = lead(s, w, until_ns, p);
        resign(s, w);
    } else {
        resign(s, w);
        slept = follow(s, w, until_ns, p);
    }
    return slept;
}

/*
 * An access that nobody can wait for: the main thread (qtest), another
 * device's DMA, an atomic instruction that stopped the other processors.
 */
static void cannot_wait(RemoteIOCore *s, RemoteIOWaiter *w)
{
    error_report("remote-io %s: no reply from %s for %u ms; this %s does not "
                 "come from a virtual processor that can be stopped, so it "
                 "was completed without the server",
                 s->name, s->server_text, s->loss_timeout_ms,
                 w->op == RIO_OP_REGION_READ ? "load" : "store");
    remote_io_complete_locked(s, w, UINT64_MAX, true);
}

/* Returns: true when it was parked, and so the BQL is held */
static bool wait_locked(RemoteIOCore *s, RemoteIOWaiter *w, bool vcpu)
{
    int64_t timeout = (int64_t)s->loss_timeout_ms * SCALE_MS;
    int64_t start = w->since_ns;
    int64_t now = start;
    RemoteIOPatience patience = remote_io_patience_locked(s, start);
    const RemoteIOPatience *p = &patience;
    bool slept = false;

    while (!w->done) {
        slept |= remote_io_wait_slice_locked(s, w, now + SLICE_NS, p);
        if (w->done) {
            break;
        }
        p = NULL;
        now = remote_io_now_ns();
        remote_io_judge_locked(s, now);
        if (w->done) {
            break;
        }
        if (vcpu && ((qatomic_read(&current_cpu->stop) && !s->migrating) ||
                     w->overdue ||
                     now - start >= MIN(timeout, PARK_NS))) {
            remote_io_unlock(s);
            remote_io_park(s, w);
            remote_io_lock(s);
            return true;
        }
        if (!vcpu && now - start >= timeout) {
            cannot_wait(s, w);
        }
    }
    now = remote_io_now_ns();
    s->last_read_ns = now;
    remote_io_waited_locked(s, &patience, now - start, slept);
    remote_io_stats_latency_locked(s, now - start);
    return false;
}

static void enter_locked(RemoteIOCore *s, RemoteIOWaiter *w, int64_t now)
{
    w->since_ns = now;
    w->tag = ++s->next_tag ?: ++s->next_tag;
    QTAILQ_INSERT_TAIL(&s->waiters, w, next);
    s->num_waiting++;
    s->num_unsubmitted++;
}

static void leave_locked(RemoteIOCore *s, RemoteIOWaiter *w)
{
    resign(s, w);
    QTAILQ_REMOVE(&s->waiters, w, next);
    s->num_waiting--;
    if (w->failed) {
        s->stats.failed++;
    }
    if (s->stopping) {
        qemu_cond_broadcast(&s->idle);
    }
}

void remote_io_waiter_leave(RemoteIOCore *s, RemoteIOWaiter *w)
{
    remote_io_lock(s);
    leave_locked(s, w);
    remote_io_unlock(s);
}

/*
 * Carry @w out and wait for it.  Called with lock and BQL; returns without
 * lock.  Interrupts that came before the reply reach the guest before it.
 */
static void round_trip_locked(RemoteIOCore *s, RemoteIOWaiter *w, bool vcpu,
                              int64_t now)
{
    bool have_bql = !vcpu;

    enter_locked(s, w, now);
    if (s->num_unsubmitted == 1 && remote_io_submit_one_locked(s, w) &&
        w->posted) {
        remote_io_complete_locked(s, w, 0, false);
    }
    if (!s->leader && s->conn) {
        /* Before the reply can come, or it would wake the thread */
        s->leader = w;
        remote_io_arm_locked(s);
    }
    remote_io_flush_locked(s);
    if (vcpu) {
        bql_unlock();
    }
    s->stats.round_trips++;
    have_bql |= wait_locked(s, w, vcpu);
    leave_locked(s, w);
    remote_io_unlock(s);
    if (!have_bql) {
        bql_lock();
    }
    if (remote_io_irq_pending(s)) {
        remote_io_irq_apply(s);
    }
}

/* Nobody will answer: unplugged, detached, or the policy is fail */
static bool refuse_locked(RemoteIOCore *s)
{
    if (s->stopping || s->failing || s->quiet || s->frozen) {
        trace_remote_io_refused(s->name, s->stopping);
        s->stats.failed++;
        return true;
    }
    return false;
}

uint64_t remote_io_read(RemoteIORegion *r, uint64_t offset, unsigned size,
                        bool vcpu)
{
    RemoteIOCore *s = r->core;
    RemoteIOWaiter w = {
        .op = RIO_OP_REGION_READ,
        .w = { .region = r->info.index, .size = size, .offset = offset },
    };
    int64_t now = remote_io_now_ns();

    remote_io_lock(s);
    s->stats.reads++;
    if (refuse_locked(s)) {
        remote_io_unlock(s);
        return UINT64_MAX;
    }
    remote_io_note_read_locked(s, now);
    round_trip_locked(s, &w, vcpu, now);
    return w.value;
}

static bool post_locked(RemoteIOCore *s, const RioWrite *w, bool lazy)
{
    if (lazy && remote_io_lazy_hold_locked(s, w)) {
        return true;
    }
    if (s->num_unsubmitted || s->state_lost ||
        !remote_io_lazy_submit_locked(s) ||
        !rio_session_post(s->session, w)) {
        return false;
    }
    if (!remote_io_in_burst_locked(s)) {
        remote_io_flush_locked(s);
    }
    return true;
}

void remote_io_write(RemoteIORegion *r, uint64_t offset, uint64_t value,
                     unsigned size, bool posted, bool vcpu)
{
    RemoteIOCore *s = r->core;
    RemoteIOWaiter w = {
        .op = RIO_OP_REGION_WRITE,
        .posted = posted,
        .w = { .region = r->info.index, .size = size, .offset = offset,
               .value = value },
    };

    bool lazy = false;

    if (posted && qatomic_read(&s->num_recipes) &&
        remote_io_doorbell(s, &w.w, &lazy)) {
        return;
    }
    remote_io_lock(s);
    s->stats.writes++;
    s->stats.posted_writes += posted;
    if (refuse_locked(s) || (posted && post_locked(s, &w.w, lazy))) {
        remote_io_unlock(s);
        return;
    }
    round_trip_locked(s, &w, vcpu, remote_io_now_ns());
}
