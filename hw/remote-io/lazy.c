/*
 * remote-io device: posted stores that need not be sent at once
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A recipe of kind LAZY says of a doorbell that the module waits for nothing
 * it is told there.  Such a store is held here until something else of the
 * guest is sent, and goes first in the same frame; so it costs neither a
 * system call nor a wake-up of the server.  It is not yet in the session's
 * log.  When nothing else comes, the thread sends it.
 */

#include "qemu/osdep.h"
#include "core.h"
#include "trace.h"

/* What the specification allows */
#define LAZY_NS (20 * SCALE_MS)

/* The store may be what lowers it */
static bool line_is_high(const RemoteIOCore *s)
{
    unsigned i;

    for (i = 0; i < s->desc.lines; i++) {
        if (s->irq.level[i]) {
            return true;
        }
    }
    return false;
}

bool remote_io_lazy_hold_locked(RemoteIOCore *s, const RioWrite *w)
{
    RemoteIOLazy *lazy = &s->lazy;

    if (!s->conn || s->num_unsubmitted || s->state_lost ||
        lazy->num == ARRAY_SIZE(lazy->store) || line_is_high(s)) {
        return false;
    }
    if (!lazy->num) {
        lazy->due_ns = remote_io_now_ns() + LAZY_NS;
    }
    lazy->store[lazy->num++] = *w;
    trace_remote_io_lazy(s->name, w->region, w->offset, w->value);
    if (s->wakes_ns > lazy->due_ns) {
        remote_io_kick(s);
    }
    return true;
}

bool remote_io_lazy_submit_locked(RemoteIOCore *s)
{
    RemoteIOLazy *lazy = &s->lazy;
    unsigned done = 0;

    while (done < lazy->num &&
           rio_session_post(s->session, &lazy->store[done])) {
        done++;
    }
    lazy->num -= done;
    memmove(lazy->store, lazy->store + done,
            lazy->num * sizeof(lazy->store[0]));
    return !lazy->num;
}

void remote_io_lazy_drop_locked(RemoteIOCore *s)
{
    s->lazy.num = 0;
}

/*
 * After an interrupt such a store is to be expected.  The thread is awake then,
 * and to look again in time costs less than to be woken for it.
 */
int64_t remote_io_lazy_tick_locked(RemoteIOCore *s, int64_t now)
{
    RemoteIOLazy *lazy = &s->lazy;

    if (lazy->num && now >= lazy->due_ns && !s->state_lost) {
        if (!remote_io_lazy_submit_locked(s)) {
            lazy->due_ns = now + LAZY_NS;       /* no room in the log */
        }
        remote_io_flush_locked(s);
    }
    if (lazy->num) {
        return lazy->due_ns;
    }
    if (s->num_lazy && lazy->interrupts != s->stats.interrupts) {
        lazy->interrupts = s->stats.interrupts;
        return now + LAZY_NS;
    }
    return INT64_MAX;
}
