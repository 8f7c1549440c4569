/*
 * Durations of many events, and the one line in which they are reported
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Used by a program on the host and by one in the guest, so that both sides
 * of a comparison are counted by the same rule: a percentile is the smallest
 * sample that at least so many per cent of all samples do not exceed.
 */

#ifndef TESTS_REMOTE_IO_BENCH_SAMPLES_H
#define TESTS_REMOTE_IO_BENCH_SAMPLES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The most samples of one measurement; the memory is static, so that no
 * page fault of a first touch falls into a later measurement */
#define SAMPLES_MAX 200000

typedef struct Samples {
    uint32_t count;
    uint32_t ticks[SAMPLES_MAX];
} Samples;

static inline void samples_add(Samples *s, uint64_t ticks)
{
    s->ticks[s->count++] = ticks > UINT32_MAX ? UINT32_MAX : ticks;
}

static inline int samples_compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static inline double samples_percentile(const Samples *s, double percent)
{
    uint64_t rank = (uint64_t)(s->count * percent / 100.0 + 0.999999);

    return s->ticks[rank ? rank - 1 : 0];
}

/*
 * samples_print: sort @s and print it as "ok count=... p50=... ...", in
 * nanoseconds
 * @ticks_per_ns: what one sample is counted in
 */
static inline void samples_print(Samples *s, double ticks_per_ns, FILE *out)
{
    double sum = 0;

    if (!s->count) {
        fprintf(out, "error no samples\n");
        return;
    }
    qsort(s->ticks, s->count, sizeof(s->ticks[0]), samples_compare);
    for (uint32_t i = 0; i < s->count; i++) {
        sum += s->ticks[i];
    }
    fprintf(out, "ok count=%u min=%.0f p50=%.0f p90=%.0f p99=%.0f max=%.0f "
            "mean=%.0f\n", s->count,
            s->ticks[0] / ticks_per_ns,
            samples_percentile(s, 50) / ticks_per_ns,
            samples_percentile(s, 90) / ticks_per_ns,
            samples_percentile(s, 99) / ticks_per_ns,
            s->ticks[s->count - 1] / ticks_per_ns,
            sum / s->count / ticks_per_ns);
}

#endif /* TESTS_REMOTE_IO_BENCH_SAMPLES_H */
