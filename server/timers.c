/*
 * remote-io-server: timers of modules
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "internal.h"

struct RioTimer {
    RiodInstance *inst;
    void (*fire)(RioDevice *dev, void *s);
    QEMUTimer *timer;
    bool due;                   /* it fired while the instance was stopped */
    QLIST_ENTRY(RioTimer) node;
};

static void timer_fired(void *opaque)
{
    RioTimer *t = opaque;
    RiodHome *home = t->inst->home;

    if (unlikely(t->inst->stops)) {
        t->due = true;
        return;
    }
    riod_home_begin(home);
    riod_journal_touch(t->inst);
    t->fire(&t->inst->dev, t->inst->state);
    riod_home_flush(home);
}

RioTimer *riod_timer_new(RioDevice *dev, void (*fire)(RioDevice *, void *))
{
    RiodInstance *inst = riod_instance(dev);
    RioTimer *t = g_new0(RioTimer, 1);

    t->inst = inst;
    t->fire = fire;
    t->timer = aio_timer_new(inst->home->ctx, QEMU_CLOCK_REALTIME, SCALE_NS,
                             timer_fired, t);
    QLIST_INSERT_HEAD(&inst->timers, t, node);
    return t;
}

void riod_timer_set(RioTimer *timer, int64_t at_ns)
{
    timer->due = false;
    timer_mod_ns(timer->timer, at_ns);
}

void riod_timer_cancel(RioTimer *timer)
{
    timer->due = false;
    timer_del(timer->timer);
}

/* At the next turn of the loop: a callback may set or cancel others */
void riod_timers_go(RiodInstance *inst)
{
    RioTimer *t;

    QLIST_FOREACH(t, &inst->timers, node) {
        if (t->due) {
            riod_timer_set(t, 0);
        }
    }
}

void riod_timers_free(RiodInstance *inst)
{
    RioTimer *t, *next;

    QLIST_FOREACH_SAFE(t, &inst->timers, node, next) {
        QLIST_REMOVE(t, node);
        timer_free(t->timer);
        g_free(t);
    }
}
