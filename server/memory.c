/*
 * remote-io-server: memory that a burst left behind
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is freed goes back to the C library, which keeps it: thousands of
 * clients that were busy once, one after the other, would each leave their
 * buffers' worth of it.  So when a connection has become quiet, what lies
 * idle is given back to the system; once in a while, as that takes time.
 */

#include "qemu/osdep.h"
#ifdef CONFIG_MALLOC_TRIM
#include <malloc.h>
#endif
#include "qemu/main-loop.h"
#include "qemu/units.h"
#include "internal.h"
#include "trace.h"

/* What one connection may move between two ticks and still be quiet */
#define QUIET_BYTES (16 * KiB)

/* Ticks until the link and its sessions have freed what they had */
#define QUIET_TICKS 3

/* At most once in this time */
#define TRIM_NS (2 * NANOSECONDS_PER_SECOND)

static bool trimming;           /* atomic: it is on its way */
static int64_t trimmed_ns;      /* atomic: the last time */

/* Main loop: those who serve clients do not wait for it */
static void trim(void *opaque)
{
#ifdef CONFIG_MALLOC_TRIM
    malloc_trim(0);
#endif
    trace_riod_memory_trim();
    qatomic_set(&trimmed_ns, get_clock());
    qatomic_set(&trimming, false);
}

static bool trim_soon(void)
{
    if (get_clock() - qatomic_read(&trimmed_ns) < TRIM_NS) {
        return false;
    }
    if (!qatomic_xchg(&trimming, true)) {
        aio_bh_schedule_oneshot(qemu_get_aio_context(), trim, NULL);
    }
    return true;
}

void riod_memory_tick(RiodQuiet *q, uint64_t bytes)
{
    if (bytes - q->bytes > QUIET_BYTES) {
        q->busy = true;
        q->ticks = 0;
    } else if (q->busy && ++q->ticks >= QUIET_TICKS) {
        q->busy = !trim_soon();
    }
    q->bytes = bytes;
}
