/*
 * remote-io device: counters
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Latencies go into buckets an eighth of a power of two wide, so that median
 * and percentiles are right within 12 %; the monitor shows powers of two.
 */

#include "qemu/osdep.h"
#include "qapi/util.h"
#include "qemu/host-utils.h"
#include "core.h"

static unsigned bucket_of(uint64_t ns)
{
    unsigned shift;

    if (ns < 8) {
        return ns;
    }
    shift = 63 - clz64(ns) - 3;
    return MIN((shift + 1) * 8 + ((ns >> shift) & 7), REMOTE_IO_BUCKETS - 1);
}

/* The first value that belongs to a later bucket */
static uint64_t bucket_end(unsigned i)
{
    if (i < 8) {
        return i + 1;
    }
    return (uint64_t)(8 + i % 8 + 1) << (i / 8 - 1);
}

void remote_io_stats_latency_locked(RemoteIOCore *s, int64_t ns)
{
    s->stats.latency[bucket_of(ns)]++;
    s->stats.latency_max_ns = MAX(s->stats.latency_max_ns, ns);
}

/* The latency that @percent of all did not exceed */
static uint64_t percentile(const RemoteIOCounters *c, uint64_t count,
                           unsigned percent)
{
    uint64_t rank = DIV_ROUND_UP(count * percent, 100);
    uint64_t seen = 0;
    unsigned i;

    for (i = 0; i < REMOTE_IO_BUCKETS && rank; i++) {
        seen += c->latency[i];
        if (seen >= rank) {
            uint64_t begin = i ? bucket_end(i - 1) : 0;

            return MIN((begin + bucket_end(i)) / 2, c->latency_max_ns);
        }
    }
    return 0;
}

RemoteIOLatency *remote_io_stats_latency_get(const RemoteIOCounters *c)
{
    RemoteIOLatency *l = g_new0(RemoteIOLatency, 1);
    RemoteIOLatencyBucketList **tail = &l->buckets;
    uint64_t in_octave = 0;
    unsigned i;

    for (i = 0; i < REMOTE_IO_BUCKETS; i++) {
        l->count += c->latency[i];
        in_octave += c->latency[i];
        if (i % 8 == 7 && in_octave) {
            RemoteIOLatencyBucket *b = g_new0(RemoteIOLatencyBucket, 1);

            b->below_ns = bucket_end(i);
            b->count = in_octave;
            QAPI_LIST_APPEND(tail, b);
            in_octave = 0;
        }
    }
    l->p50_ns = percentile(c, l->count, 50);
    l->p99_ns = percentile(c, l->count, 99);
    l->max_ns = c->latency_max_ns;
    return l;
}

static void add_link(RioLinkStats *sum, const RioLinkStats *link)
{
    sum->tx_frames += link->tx_frames;
    sum->tx_messages += link->tx_messages;
    sum->tx_bytes += link->tx_bytes;
    sum->rx_frames += link->rx_frames;
    sum->rx_messages += link->rx_messages;
    sum->rx_bytes += link->rx_bytes;
}

void remote_io_stats_link_closed_locked(RemoteIOCore *s, RioLink *link)
{
    add_link(&s->stats.closed, rio_link_stats(link));
}

RemoteIOStats *remote_io_stats_get_locked(RemoteIOCore *s)
{
    const RemoteIOCounters *c = &s->stats;
    RemoteIOStats *r = g_new0(RemoteIOStats, 1);
    RioLinkStats link = c->closed;

    if (s->conn) {
        add_link(&link, rio_link_stats(s->conn->link));
    }
    r->reads = c->reads;
    r->writes = c->writes;
    r->accesses = c->reads + c->writes;
    r->posted_writes = c->posted_writes;
    r->failed = c->failed;
    r->refused = c->refused;
    r->round_trips = c->round_trips;
    r->tx_frames = link.tx_frames;
    r->tx_messages = link.tx_messages;
    r->tx_bytes = link.tx_bytes;
    r->rx_frames = link.rx_frames;
    r->rx_messages = link.rx_messages;
    r->rx_bytes = link.rx_bytes;
    r->vcpu_wakeups = c->vcpu_wakeups;
    r->io_wakeups = c->io_wakeups;
    r->spins = c->spins;
    r->parked = c->parked;
    r->interrupts = c->interrupts;
    r->resets = c->resets;
    r->reconnects = c->reconnects;
    r->dma_reads = c->dma_reads;
    r->dma_writes = c->dma_writes;
    r->dma_bytes = c->dma_bytes;
    r->dma_refused = c->dma_refused;
    r->doorbells = c->doorbells;
    r->doorbell_bytes = c->doorbell_bytes;
    r->shared_memory = remote_io_share_bytes_locked(s);
    return r;
}
