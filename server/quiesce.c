/*
 * remote-io-server: an instance comes to rest, and goes on
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Tasks are not waited for: one that waits for guest memory may wait for a
 * client that is away.  They are put aside where they are, at their next host
 * call, and the module's state has what they were at.  Only a request to a
 * disk is waited for, as nobody can take it back.
 *
 * Accesses.  What was queued before the stop has been acknowledged, perhaps,
 * and is carried out.  What comes later is not acknowledged, and waits; so
 * whoever takes the instance over finds it in the client's log.  A mark in
 * the home's queue tells the two apart.
 */

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "filter.h"
#include "trace.h"

struct RiodStop {
    RiodTask mark;              /* behind what was queued before */
    bool marked;
    RiodInstance *inst;         /* referenced */
    unsigned flags;
    RiodStopped *done;
    void *opaque;
    QEMUTimer *timer;           /* the end of patience */
    QLIST_ENTRY(RiodStop) node; /* inst->stopping, until done */
};

/* The messages of each session wait, or do no longer */
static void hold_sessions(RiodInstance *inst, bool hold)
{
    for (unsigned i = 0; inst->clients && i < inst->max_clients; i++) {
        RiodSession *s = inst->clients[i];

        if (s) {
            RiodConnection *conn = s->conn;

            QEMU_LOCK_GUARD(&conn->lock);
            s->hold = hold;
        }
    }
}

bool riod_instance_hold(RiodInstance *inst, RiodTask *task)
{
    if (likely(!inst->holds || inst->closing)) {
        return false;
    }
    QSIMPLEQ_INSERT_TAIL(&inst->held, task, next);
    return true;
}

bool riod_instance_stopped(const RiodInstance *inst)
{
    return inst->settled;
}

/* Off the list; it is freed when its mark came */
static void stop_done(RiodStop *stop, const char *trouble)
{
    RiodInstance *inst = stop->inst;

    QLIST_REMOVE(stop, node);
    timer_free(stop->timer);
    stop->timer = NULL;
    trace_riod_instance_stop(inst->id, inst->stops, trouble ?: "");
    stop->done(inst, trouble, stop->opaque);
    stop->done = NULL;
    if (stop->marked) {
        g_free(stop);
        riod_instance_unref(inst);
    }
}

/* What is in the way, or NULL */
static const char *restless(const RiodInstance *inst)
{
    if (inst->in_block) {
        return "a request to its disk has not returned";
    }
    return inst->thawed_chars ? "its character device does not rest" : NULL;
}

void riod_stop_look(RiodInstance *inst)
{
    RiodStop *stop, *next;

    if (restless(inst)) {
        return;
    }
    QLIST_FOREACH_SAFE(stop, &inst->stopping, node, next) {
        if (stop->marked) {
            inst->settled = true;
            stop_done(stop, NULL);
            riod_stop_look(inst);       /* the list may be another now */
            return;
        }
    }
}

static void stop_mark(RiodTask *task)
{
    RiodStop *stop = container_of(task, RiodStop, mark);
    RiodInstance *inst = stop->inst;

    stop->marked = true;
    if (stop->done) {
        riod_late_release(inst);
        riod_stop_look(inst);
    } else {
        g_free(stop);
        riod_instance_unref(inst);
    }
}

static void stop_timeout(void *opaque)
{
    RiodStop *stop = opaque;
    RiodInstance *inst = riod_instance_ref(stop->inst);
    const char *trouble = restless(inst) ?: "its home is too busy";

    riod_instance_go(inst, stop->flags);
    stop_done(stop, trouble);
    riod_home_flush(inst->home);
    riod_instance_unref(inst);
}

void riod_instance_stop(RiodInstance *inst, unsigned flags,
                        int64_t timeout_ms, RiodStopped *done, void *opaque)
{
    RiodStop *stop = g_new0(RiodStop, 1);

    stop->mark.run = stop_mark;
    stop->inst = riod_instance_ref(inst);
    stop->flags = flags;
    stop->done = done;
    stop->opaque = opaque;
    if (!inst->stops++) {
        riod_chars_freeze(inst);
    }
    if (flags & RIOD_STOP_ACCESSES && !inst->holds++) {
        hold_sessions(inst, true);
    }
    stop->timer = aio_timer_new(inst->home->ctx, QEMU_CLOCK_REALTIME,
                                SCALE_MS, stop_timeout, stop);
    timer_mod(stop->timer, get_clock() / SCALE_MS + timeout_ms);
    QLIST_INSERT_HEAD(&inst->stopping, stop, node);
    riod_home_post(inst->home, &stop->mark);
}

void riod_instance_begin_stopped(RiodInstance *inst)
{
    assert(!inst->stops && !inst->num_jobs);
    inst->stops = 1;
    inst->settled = true;
}

/* In order; what comes meanwhile goes behind it, see session_message() */
static void run_held(RiodInstance *inst)
{
    RiodTask *task;

    while (!inst->holds && (task = QSIMPLEQ_FIRST(&inst->held))) {
        QSIMPLEQ_REMOVE_HEAD(&inst->held, next);
        task->run(task);
    }
}

void riod_instance_go(RiodInstance *inst, unsigned flags)
{
    riod_instance_ref(inst);
    if (!--inst->stops) {
        inst->settled = false;
        riod_chars_thaw(inst);
        riod_timers_go(inst);
        riod_jobs_go(inst);
        for (unsigned i = 0; inst->clients && i < inst->max_clients; i++) {
            if (inst->clients[i]) {
                riod_session_mark_dirty(inst->clients[i]);
            }
        }
    }
    if (flags & RIOD_STOP_ACCESSES && !--inst->holds) {
        hold_sessions(inst, false);
        run_held(inst);
    }
    trace_riod_instance_go(inst->id, inst->stops);
    riod_home_stir(inst->home);
    riod_instance_unref(inst);
}

void riod_instance_forget(RiodInstance *inst)
{
    inst->forgotten = true;
    riod_chars_forget(inst);
}

void riod_stop_abort(RiodInstance *inst)
{
    RiodStop *stop;
    RiodTask *task;

    while ((stop = QLIST_FIRST(&inst->stopping))) {
        stop_done(stop, "it is removed");
    }
    while ((task = QSIMPLEQ_FIRST(&inst->held))) {
        QSIMPLEQ_REMOVE_HEAD(&inst->held, next);
        task->run(task);
    }
}
