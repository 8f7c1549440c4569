/*
 * remote-io device: an access that waits long
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A virtual processor that waits inside an access is, to the rest of QEMU, a
 * processor that does not stop, keeps everybody from an exclusive section and
 * holds up RCU.  That is nothing for a round trip, but "stop", "quit",
 * "device_del" of another device must not wait for a server that hangs.  So
 * after a while, or as soon as it shall stop, the processor is parked: inside
 * the access, but with its RCU section left and in the state in which it
 * otherwise sleeps while the machine is stopped.  The request stays in the
 * session, and the access ends with its reply once the machine runs.
 *
 * What an access has above it on the stack was looked up under RCU, so
 *  - the device is kept alive until after the access returned (a bottom half
 *    drops the reference), and so is the address space's view;
 *  - RCU is entered again before work that was queued for this processor is
 *    done, which renews what it cached.
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/rcu.h"
#include "block/aio.h"
#include "exec/cpu-common.h"
#include "exec/memory-internal.h"
#include "exec/address-spaces.h"
#include "hw/core/cpu.h"
#include "system/cpus.h"
#include "system/runstate.h"
#include "system/tcg.h"
#ifdef CONFIG_TCG
#include "accel/tcg/tb-context.h"
#endif
#include "core.h"
#include "trace.h"

#define SLICE_NS (10 * SCALE_MS)

/* What is kept for the rest of an access that was parked */
typedef struct RemoteIOKeep {
    Object *device;
    FlatView *view[2];
} RemoteIOKeep;

static void keep_release(void *opaque)
{
    RemoteIOKeep *keep = opaque;

    flatview_unref(keep->view[0]);
    flatview_unref(keep->view[1]);
    object_unref(keep->device);
    g_free(keep);
}

/* Called in the RCU section of the access */
static RemoteIOKeep *keep_new(RemoteIOCore *s)
{
    RemoteIOKeep *keep = g_new0(RemoteIOKeep, 1);

    keep->device = object_ref(OBJECT(s->dev));
    keep->view[0] = address_space_get_flatview(&address_space_memory);
    keep->view[1] = address_space_get_flatview(&address_space_io);
    return keep;
}

static unsigned rcu_leave(void)
{
    unsigned depth = get_ptr_rcu_reader()->depth;
    unsigned i;

    for (i = 0; i < depth; i++) {
        rcu_read_unlock();
    }
    return depth;
}

static void rcu_enter(unsigned depth)
{
    while (depth--) {
        rcu_read_lock();
    }
}

/* All processors share one thread: this one must speak for all */
static bool round_robin(void)
{
    return tcg_enabled() && !qemu_tcg_mttcg_enabled();
}

/* BQL held: sleep while the machine is stopped, do what is queued */
static void wait_while_stopped(CPUState *self)
{
    CPUState *cpu;

    if (!round_robin()) {
        qemu_wait_io_event(self);
        return;
    }
    while (all_cpu_threads_idle()) {
        qemu_cond_wait_bql(first_cpu->halt_cond);
    }
    CPU_FOREACH(cpu) {
        current_cpu = cpu;
        qemu_wait_io_event_common(cpu);
    }
    current_cpu = self;
}

static bool shall_stop(CPUState *self)
{
    return self->stop || self->stopped || !cpu_work_list_empty(self);
}

/* BQL held.  Returns: true if the machine was reset meanwhile. */
static bool park_loop(RemoteIOCore *s, RemoteIOWaiter *w, CPUState *self)
{
    uint32_t resets = s->machine_resets;
    bool done;

    for (;;) {
        wait_while_stopped(self);
        if (resets != s->machine_resets) {
            return true;
        }
        if (shall_stop(self)) {
            continue;
        }
        if (self->unplug) {
            WITH_QEMU_LOCK_GUARD(&s->lock) {
                if (!w->done) {
                    remote_io_complete_locked(s, w, UINT64_MAX, true);
                }
            }
        }
        if (qatomic_load_acquire(&w->done)) {
            return false;
        }
        bql_unlock();
        remote_io_lock(s);
        if (!w->done) {
            w->parked = false;
            remote_io_wait_slice_locked(s, w, remote_io_now_ns() + SLICE_NS,
                                        NULL);
            remote_io_judge_locked(s, remote_io_now_ns());
            w->parked = true;
        }
        done = w->done;
        remote_io_unlock(s);
        bql_lock();
        if (done && !shall_stop(self)) {
            return false;
        }
    }
}

#ifdef CONFIG_TCG
static unsigned code_flushes(void)
{
    return tcg_enabled() ? qatomic_read(&tb_ctx.tb_flush_count) : 0;
}
#else
static unsigned code_flushes(void)
{
    return 0;
}
#endif

/*
 * All translated code was thrown away while the access was parked, also that
 * which made it: the processor cannot go on.  The machine stays stopped until
 * it is reset.  BQL held.
 */
static void wait_for_reset(RemoteIOCore *s, CPUState *self)
{
    uint32_t resets = s->machine_resets;

    error_report("remote-io %s: translated code was flushed while an access "
                 "waited for %s: the machine must be reset",
                 s->name, s->server_text);
    qemu_system_vmstop_request_prepare();
    qemu_system_vmstop_request(RUN_STATE_INTERNAL_ERROR);
    while (resets == s->machine_resets) {
        bql_unlock();
        g_usleep(1000);
        bql_lock();
        wait_while_stopped(self);
    }
}

/* BQL held.  Returns: true if the machine was reset meanwhile. */
static bool park(RemoteIOCore *s, RemoteIOWaiter *w, CPUState *self)
{
    unsigned flushes = code_flushes();
    unsigned depth;
    bool reset;

    cpu_exec_end(self);
    depth = rcu_leave();
    reset = park_loop(s, w, self);
    rcu_enter(depth);
    while (!cpu_work_list_empty(self)) {
        qemu_wait_io_event_common(self);
    }
    /* Who runs exclusively now may want the BQL */
    bql_unlock();
    cpu_exec_start(self);
    bql_lock();
    if (!reset && code_flushes() != flushes) {
        cpu_exec_end(self);
        rcu_leave();
        wait_for_reset(s, self);
        rcu_enter(depth);
        bql_unlock();
        cpu_exec_start(self);
        bql_lock();
        reset = true;
    }
    return reset;
}

/*
 * The machine was reset, and with it the processor that made the access:
 * there is nothing to return to.  BQL held.
 */
static void forget_access(RemoteIOCore *s, RemoteIOWaiter *w, CPUState *self)
{
    WITH_QEMU_LOCK_GUARD(&s->lock) {
        if (!w->done) {
            remote_io_complete_locked(s, w, UINT64_MAX, true);
        }
    }
    if (tcg_enabled()) {
        remote_io_waiter_leave(s, w);
        rcu_leave();
        rcu_enter(1);           /* that of cpu_exec(), which goes on */
        cpu_loop_exit_noexc(self);
    }
    /* The kernel will complete the instruction: reset what that leaves */
    qemu_system_reset_request(SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
}

void remote_io_park(RemoteIOCore *s, RemoteIOWaiter *w)
{
    CPUState *self = current_cpu;
    RemoteIOKeep *keep;
    bool reset;

    bql_lock();
    WITH_QEMU_LOCK_GUARD(&s->lock) {
        w->parked = true;
        s->num_parked++;
        s->stats.parked++;
        if (s->stopping) {
            qemu_cond_broadcast(&s->idle);
        }
    }
    trace_remote_io_park(s->name, w->tag);
    keep = keep_new(s);
    reset = park(s, w, self);
    trace_remote_io_unpark(s->name, w->tag, reset);
    WITH_QEMU_LOCK_GUARD(&s->lock) {
        w->parked = false;
        s->num_parked--;
    }
    aio_bh_schedule_oneshot(qemu_get_aio_context(), keep_release, keep);
    if (reset) {
        forget_access(s, w, self);
    }
}
