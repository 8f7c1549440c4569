/*
 * remote-io device: who waits too long, and what becomes of it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A lost link is no event in itself: it is made anew, and accesses that wait
 * notice only time.  After the loss timeout it is an outage: it is announced
 * once, and the policy decides about every access that waits, until the
 * server answers again.
 *
 * A server that comes back without the device's state is another matter:
 * nothing is sent to it before the policy, or the operator who resumes the
 * machine, has accepted that the device was reset.
 */

#include "qemu/osdep.h"
#include "qapi/qapi-events-remote-io.h"
#include "qemu/error-report.h"
#include "core.h"
#include "trace.h"

/*
 * A command "cont" swallows a request to stop that is still on its way, so
 * it is repeated until the machine has stopped.
 */
#define STOP_AGAIN_NS (100 * SCALE_MS)

static int64_t timeout_ns(RemoteIOCore *s)
{
    return (int64_t)s->loss_timeout_ms * SCALE_MS;
}

void remote_io_lost_event_locked(RemoteIOCore *s, const char *reason)
{
    static const char *const then[] = {
        [REMOTE_IO_LOSS_POLICY_PAUSE] = "the machine is stopped as soon as "
            "it needs the device",
        [REMOTE_IO_LOSS_POLICY_FAIL] = "accesses fail from now on",
        [REMOTE_IO_LOSS_POLICY_WAIT] = "accesses wait",
        [REMOTE_IO_LOSS_POLICY_UNPLUG] = "the device is pulled out",
    };

    warn_report("remote-io %s: server %s: %s; %s", s->name, s->server_text,
                reason, then[s->on_loss]);
    trace_remote_io_lost(s->name, reason);
    if (!s->lost_ns) {
        s->lost_ns = remote_io_now_ns();
    }
    s->outage = true;
    g_free(s->outage_reason);
    s->outage_reason = g_strdup(reason);
    qapi_event_send_remote_io_lost(s->dev->id, s->path, s->module,
                                   s->server_text, reason, s->on_loss);
}

void remote_io_restored_locked(RemoteIOCore *s, bool state_kept)
{
    int64_t down_ms;

    if (s->outage) {
        down_ms = s->lost_ns ? (remote_io_now_ns() - s->lost_ns) / SCALE_MS
                             : 0;
        trace_remote_io_restored(s->name, state_kept, down_ms);
        qapi_event_send_remote_io_restored(s->dev->id, s->path, s->module,
                                           s->server_text, state_kept,
                                           down_ms, s->outage_reason);
    }
    s->outage = false;
    s->failing = false;
    s->lost_ns = 0;
}

void remote_io_request_stop_locked(RemoteIOCore *s)
{
    if (!s->running || !runstate_is_running()) {
        return;
    }
    qemu_system_vmstop_request_prepare();
    qemu_system_vmstop_request(RUN_STATE_IO_ERROR);
}

void remote_io_fail_all_locked(RemoteIOCore *s)
{
    RemoteIOWaiter *w;

    QTAILQ_FOREACH(w, &s->waiters, next) {
        if (!w->done) {
            remote_io_complete_locked(s, w, UINT64_MAX, true);
        }
    }
}

/*
 * Loads that are refused receive nothing: the thread must, however many come,
 * or it would not see that the server is back.
 */
void remote_io_fail_from_now_on_locked(RemoteIOCore *s, const char *reason)
{
    if (s->on_loss == REMOTE_IO_LOSS_POLICY_UNPLUG) {
        remote_io_pull_out_later_locked(s, reason);
    }
    s->failing = true;
    s->busy = false;
    s->busy_run = 0;
    remote_io_arm_locked(s);
    remote_io_fail_all_locked(s);
}

/*
 * Look at the clock; any thread.  Returns: when to look again, INT64_MAX if
 * nothing is due.
 */
int64_t remote_io_judge_locked(RemoteIOCore *s, int64_t now)
{
    int64_t next = INT64_MAX;
    bool pause = s->on_loss == REMOTE_IO_LOSS_POLICY_PAUSE;
    bool fails = s->on_loss == REMOTE_IO_LOSS_POLICY_FAIL ||
                 s->on_loss == REMOTE_IO_LOSS_POLICY_UNPLUG;
    bool stop = s->state_lost;
    bool overdue = false;
    RemoteIOWaiter *w;

    if (s->stopping || s->quiet) {
        return next;
    }
    if (!s->conn && !s->outage && s->lost_ns) {
        if (now - s->lost_ns >= timeout_ns(s)) {
            remote_io_lost_event_locked(s, s->lost_reason);
            overdue = fails;
        } else {
            next = s->lost_ns + timeout_ns(s);
        }
    }
    QTAILQ_FOREACH(w, &s->waiters, next) {
        int64_t due = s->outage ? MAX(w->since_ns, s->grace_ns)
                                : w->since_ns + timeout_ns(s);

        if (w->done || w->overdue) {
            stop |= !w->done && s->outage && pause;
            continue;
        }
        if (now < due) {
            next = MIN(next, due);
            continue;
        }
        if (!s->outage) {
            g_autofree char *reason =
                g_strdup_printf("no reply for %u ms", s->loss_timeout_ms);

            s->lost_ns = s->lost_ns ?: w->since_ns;
            remote_io_lost_event_locked(s, s->conn ? reason : s->lost_reason);
        }
        w->overdue = overdue = true;
    }
    if (overdue && fails) {
        remote_io_fail_from_now_on_locked(s, s->lost_reason ?:
                                          "the server does not answer");
    }
    if ((stop || (overdue && pause)) && s->running) {
        remote_io_request_stop_locked(s);
        next = MIN(next, now + STOP_AGAIN_NS);
    }
    return next;
}

/* Go on with a device that was reset behind the guest's back */
void remote_io_accept_loss_locked(RemoteIOCore *s)
{
    trace_remote_io_accept_loss(s->name);
    s->state_lost = false;
    remote_io_restored_locked(s, false);
    remote_io_submit_locked(s);
}

void remote_io_vm_state_change(void *opaque, bool running, RunState state)
{
    RemoteIOCore *s = opaque;
    RemoteIOWaiter *w;

    if (running) {
        remote_io_migrate_running(s);
    }
    QEMU_LOCK_GUARD(&s->lock);
    s->running = running;
    if (!running) {
        return;
    }
    s->grace_ns = remote_io_now_ns() + timeout_ns(s);
    QTAILQ_FOREACH(w, &s->waiters, next) {
        w->since_ns = remote_io_now_ns();
        w->overdue = false;
    }
    if (s->fenced) {
        s->fenced = false;      /* the operator wants it to go on here */
        remote_io_kick(s);
    }
    if (s->state_lost) {
        remote_io_accept_loss_locked(s);
    }
}
