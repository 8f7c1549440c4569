/*
 * remote-io device: what the recent past says about the next access
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Three things are learned from when accesses come and how they end:
 *
 * - Whether to poll for the reply of a load, and for how long.  What holds in
 *   a run of loads says nothing about one that comes after a pause: then the
 *   server sleeps, too, and on a host that runs both the kernel may wake it on
 *   our own processor, where it cannot run before we sleep.
 * - Whether loads come without a pause ("busy").  Then the device's thread
 *   leaves the socket alone, so that replies do not wake it.
 * - Whether posted stores do ("burst").  Then they are collected.
 *
 * Nobody tells us that a run of loads has ended.  A timer does, which the
 * accesses push on: it wakes the thread once, after the run, and never in it.
 */

#include "qemu/osdep.h"
#include <sys/timerfd.h>
#include "qapi/error.h"
#include "core.h"
#include "trace.h"

/* Polling for this long costs less than to sleep and be woken */
#define SPIN_NS (50 * SCALE_US)

/*
 * In a run of loads the server is awake, and late only when it lost its
 * processor: it is waited for in between giving up ours.
 */
#define PATIENCE_NS (300 * SCALE_US)

/* A load that begins so long after the end of the last one is after a pause */
#define PAUSE_NS (200 * SCALE_US)

/* Waits that polling did not end before it is given up, and retried */
#define SPIN_MISSES 4
#define SPIN_RETRY 32

/* A load that begins so soon after the beginning of the last is in a run */
#define BUSY_PERIOD_NS (100 * SCALE_US)
#define BUSY_RUN 64

/*
 * How long after the last load a run counts as ended.  To set a timer is not
 * cheap, above all in a virtual machine; so the longer the run has lasted,
 * the later, and the timer is pushed on when half of the time is over.
 */
#define BUSY_END_FIRST_NS (500 * SCALE_US)
#define BUSY_END_LAST_NS (8 * SCALE_MS)

/* The same for posted stores */
#define BURST_GAP_NS (10 * SCALE_US)
#define BURST_RUN 4
#define BURST_BYTES 2048

/* How soon the thread looks after a burst of stores */
#define BURST_TICK_NS (100 * SCALE_US)

bool remote_io_pace_init(RemoteIOCore *s, Error **errp)
{
    s->run_timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (s->run_timer < 0) {
        error_setg_errno(errp, errno, "cannot create a timer descriptor");
        return false;
    }
    return true;
}

void remote_io_pace_finalize(RemoteIOCore *s)
{
    if (s->run_timer >= 0) {
        close(s->run_timer);
        s->run_timer = -1;
    }
}

/* --- polling --- */

RemoteIOPatience remote_io_patience_locked(RemoteIOCore *s, int64_t now)
{
    bool paused = now - s->last_read_ns > PAUSE_NS;
    RemoteIOSpin *spin = &s->spin[paused];
    RemoteIOPatience p = { .paused = paused };

    if (spin->misses < SPIN_MISSES || ++spin->skipped >= SPIN_RETRY) {
        spin->skipped = 0;
        p.spin_until_ns = now + SPIN_NS;
        p.yield_until_ns = s->busy ? now + PATIENCE_NS : 0;
    }
    return p;
}

/*
 * In a run a short wait shows that polling would have done, even where it was
 * given up.  After a pause only polling itself shows that: a reply may be
 * quick because we slept.
 */
void remote_io_waited_locked(RemoteIOCore *s, const RemoteIOPatience *p,
                             int64_t ns, bool slept)
{
    RemoteIOSpin *spin = &s->spin[p->paused];
    bool polled = p->spin_until_ns != 0;

    if (!slept) {
        s->stats.spins++;
    }
    if (p->paused ? polled && !slept : ns < SPIN_NS) {
        spin->misses = 0;
    } else if (polled && slept && spin->misses < SPIN_MISSES) {
        spin->misses++;
    }
}

/* --- runs of loads --- */

static void push_on_locked(RemoteIOCore *s, int64_t now)
{
    struct itimerspec end = { .it_value.tv_nsec = s->run_end_ns };

    timerfd_settime(s->run_timer, 0, &end, NULL);
    s->push_ns = now + s->run_end_ns / 2;
    s->run_end_ns = MIN(s->run_end_ns * 2, BUSY_END_LAST_NS);
}

void remote_io_note_read_locked(RemoteIOCore *s, int64_t now)
{
    bool quick = now - s->begun_ns < BUSY_PERIOD_NS;

    s->begun_ns = now;
    s->busy_run = quick ? s->busy_run + 1 : 0;
    if (!s->busy && s->busy_run >= BUSY_RUN) {
        s->busy = true;
        s->push_ns = now;
        s->run_end_ns = BUSY_END_FIRST_NS;
        trace_remote_io_busy(s->name, true);
    }
    if (s->busy && now >= s->push_ns) {
        push_on_locked(s, now);
    }
}

void remote_io_run_ended_locked(RemoteIOCore *s)
{
    uint64_t expirations;

    if (read(s->run_timer, &expirations, sizeof(expirations)) < 0) {
        return;                 /* an access was quicker, and pushed it on */
    }
    if (s->busy) {
        s->busy = false;
        s->busy_run = 0;
        trace_remote_io_busy(s->name, false);
    }
}

/* --- bursts of stores --- */

bool remote_io_in_burst_locked(RemoteIOCore *s)
{
    int64_t now = remote_io_now_ns();
    bool quick = now - s->last_post_ns < BURST_GAP_NS;

    s->last_post_ns = now;
    s->burst_run = quick ? s->burst_run + 1 : 0;
    if (s->burst_run < BURST_RUN) {
        return false;
    }
    if (!s->burst) {
        s->burst = true;
        trace_remote_io_burst(s->name, true);
        remote_io_kick(s);
    }
    return rio_session_tx_bytes(s->session) < BURST_BYTES;
}

int64_t remote_io_burst_tick_locked(RemoteIOCore *s, int64_t now)
{
    if (!s->burst) {
        return INT64_MAX;
    }
    if (now < s->tick_ns) {
        return s->tick_ns;
    }
    if (s->stats.posted_writes == s->tick_posts) {
        s->burst = false;
        s->burst_run = 0;
        trace_remote_io_burst(s->name, false);
    }
    remote_io_flush_locked(s);
    s->tick_posts = s->stats.posted_writes;
    s->tick_ns = now + BURST_TICK_NS;
    return s->burst ? s->tick_ns : INT64_MAX;
}
