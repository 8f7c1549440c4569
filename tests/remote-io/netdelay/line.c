/*
 * remote-io-delay-line: packets from one end to the other
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A packet is first clocked out at the line's rate, behind those before it,
 * and then under way for the delay.  What waits to be clocked out is the
 * queue, which is bounded; what is under way is not, except against running
 * out of memory.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>
#include "netdelay.h"

#define NS_PER_S 1000000000ll
#define MAX_HELD (256u << 20)   /* bytes in one direction */
#define MAX_PACKET 65536
#define BURST 64                /* packets read before due ones are written */

struct LinePacket {
    struct LinePacket *next;
    int64_t due;
    size_t len;
    uint8_t data[];
};

int64_t line_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static void count(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* From 0 up to, not including, 1; splitmix64 */
static double draw(Line *line)
{
    uint64_t z = line->random += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return ((z ^ z >> 31) >> 11) / (double)(1ull << 53);
}

/* When the packet may leave; or 0: it never does, and has been counted */
static int64_t judge(Line *line, const LineConfig *c, size_t len, int64_t now)
{
    double lot = draw(line), late = draw(line);
    int64_t start = line->link_free > now ? line->link_free : now;
    double delay_us = c->delay_us + late * c->jitter_us;
    int64_t due;

    if (now < c->cut_until) {
        count(&line->counts.cut, 1);
        return 0;
    }
    if (lot < c->loss) {
        count(&line->counts.lost, 1);
        return 0;
    }
    if ((c->rate > 0 && (start - now) * c->rate / 8 / NS_PER_S + len >
         c->queue) || line->held + len > MAX_HELD) {
        count(&line->counts.full, 1);
        return 0;
    }
    if (c->rate > 0) {
        line->link_free = start + (int64_t)(len * 8 * NS_PER_S / c->rate);
        start = line->link_free;
    }
    due = start + (int64_t)(delay_us * 1000);
    count(&line->counts.due_us, delay_us);
    return due > line->last_due ? due : line->last_due;
}

static void keep(Line *line, const uint8_t *data, size_t len, int64_t due)
{
    struct LinePacket *p = malloc(sizeof(*p) + len);

    if (!p) {
        count(&line->counts.full, 1);
        return;
    }
    p->next = NULL;
    p->due = line->last_due = due;
    p->len = len;
    memcpy(p->data, data, len);
    *line->last = p;
    line->last = &p->next;
    line->held += len;
}

/* Returns: how many packets came */
static int take_in(Line *line)
{
    static __thread uint8_t data[MAX_PACKET];
    LineConfig config;
    int n;

    for (n = 0; n < BURST; n++) {
        ssize_t len = read(line->in, data, sizeof(data));
        int64_t due;

        if (len <= 0) {
            break;
        }
        if (data[0] >> 4 != 4) {
            continue;           /* what IPv6 says on its own account */
        }
        pthread_mutex_lock(&line->config->lock);
        config = *line->config;
        pthread_mutex_unlock(&line->config->lock);
        count(&line->counts.in, 1);
        due = judge(line, &config, len, line_now());
        if (due) {
            keep(line, data, len, due);
        }
    }
    return n;
}

/* Returns: when the next packet is due, or -1 */
static int64_t let_out(Line *line)
{
    int64_t now = line_now();
    struct LinePacket *p;

    while ((p = line->first)) {
        if (p->due > now) {
            now = line_now();
            if (p->due > now) {
                return p->due;
            }
        }
        /* The device drops what its stack does not want: nobody's fault */
        if (write(line->out, p->data, p->len) < 0 && errno == EAGAIN) {
            return now + 1;
        }
        count(&line->counts.out, 1);
        line->held -= p->len;
        line->first = p->next;
        if (!line->first) {
            line->last = &line->first;
        }
        free(p);
    }
    return -1;
}

void line_run(Line *line)
{
    struct pollfd in = { .fd = line->in, .events = POLLIN };

    prctl(PR_SET_TIMERSLACK, 1ul);
    line->last = &line->first;
    for (;;) {
        int came = take_in(line);
        int64_t due = let_out(line);
        int64_t left = due - line_now();
        struct timespec ts;

        if (came || (due >= 0 && left <= 0)) {
            continue;
        }
        ts = (struct timespec) { left / NS_PER_S, left % NS_PER_S };
        ppoll(&in, 1, due < 0 ? NULL : &ts, NULL);
    }
}
