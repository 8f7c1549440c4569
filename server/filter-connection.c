/*
 * remote-io-server: fault filters of connections
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * They see bytes as they are received and messages as they are decoded, and
 * are the bad network: what a session loses here it sends again.
 */

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "filter.h"
#include "trace.h"

bool riod_connection_filters;

static QemuMutex lock;
static RiodFilter *filters;     /* @lock */

static void __attribute__((constructor)) lock_init(void)
{
    qemu_mutex_init(&lock);
}

void riod_connection_filter_insert(RiodFilter *f)
{
    RiodFilter **at = &filters;

    QEMU_LOCK_GUARD(&lock);
    while (*at) {
        at = &(*at)->next;
    }
    f->next = NULL;
    *at = f;
    qatomic_set(&riod_connection_filters, true);
}

void riod_connection_filter_remove(RiodFilter *f)
{
    RiodFilter **at = &filters;

    QEMU_LOCK_GUARD(&lock);
    while (*at && *at != f) {
        at = &(*at)->next;
    }
    if (*at) {
        *at = f->next;
    }
    qatomic_set(&riod_connection_filters, filters);
}

static bool concerns(const RiodFilter *f, const RiodConnection *conn)
{
    return !f->client ||
           g_str_equal(f->client, rio_link_peer_name(conn->link));
}

static bool is_cut(const RiodFilter *f)
{
    return f->messages || f->bytes || f->ms;
}

/* It has come to the point: does @f act this time? */
static void cut(RiodFilter *f, RiodConnection *conn)
{
    RiodEvent e = { .kind = RIOD_KIND_RECEIVE };

    if (!conn->cut && riod_filter_matches(f, &e)) {
        trace_riod_filter_cut(f->id, conn->number);
        riod_connection_cut_locked(conn, f->reset);
    }
}

/* The bytes up to the limit still count */
static void cut_within(RiodFilter *f, RiodConnection *conn, ssize_t *size)
{
    uint64_t before = rio_link_stats(conn->link)->rx_bytes;

    if (before < f->bytes && before + *size >= f->bytes) {
        cut(f, conn);
        if (conn->cut) {
            *size = f->bytes - before;
        }
    }
}

int64_t riod_filter_received(RiodConnection *conn, ssize_t *size)
{
    RiodFate fate = {
        .event = { .kind = RIOD_KIND_RECEIVE, .size = *size },
    };

    QEMU_LOCK_GUARD(&lock);
    for (RiodFilter *f = filters; f && !conn->cut; f = f->next) {
        if (!concerns(f, conn)) {
            continue;
        }
        if (f->bytes) {
            cut_within(f, conn, size);
        } else if (f->type->act && !is_cut(f) &&
                   riod_filter_matches(f, &fate.event)) {
            f->type->act(f, &fate);
        }
    }
    return fate.delay_ns;
}

void riod_filter_count_messages(RiodConnection *conn)
{
    uint64_t messages = rio_link_stats(conn->link)->rx_messages;

    QEMU_LOCK_GUARD(&lock);
    for (RiodFilter *f = filters; f; f = f->next) {
        if (f->messages > conn->asked_messages && messages >= f->messages &&
            concerns(f, conn)) {
            cut(f, conn);
        }
    }
    conn->asked_messages = messages;
}

bool riod_filter_cut_now(RiodConnection *conn, int64_t now_ms, int64_t *next)
{
    int64_t age = now_ms - conn->since_ms;

    QEMU_LOCK_GUARD(&lock);
    for (RiodFilter *f = filters; f; f = f->next) {
        int64_t ms = MIN(f->ms, INT32_MAX);

        if (ms <= conn->asked_age || !concerns(f, conn)) {
            continue;
        }
        if (age < ms) {
            *next = MIN(*next, conn->since_ms + ms);
        } else {
            cut(f, conn);
        }
    }
    conn->asked_age = age;
    return conn->cut;
}

/* ---------------------------------------------------------------- messages */

static bool watch_wanted(void)
{
    return riod_connections_filtered() || rio_link_tracer.wanted();
}

static void watch_message(void *opaque, bool sent, const RioMessage *m)
{
    RiodConnection *conn = opaque;
    RiodEvent e = { .kind = RIOD_KIND_RECEIVE, .size = m->length };

    if (rio_link_tracer.wanted()) {
        rio_link_tracer.message(conn->label, sent, m);
    }
    if (!riod_connections_filtered()) {
        return;
    }
    QEMU_LOCK_GUARD(&lock);
    for (RiodFilter *f = filters; f; f = f->next) {
        if (f->log && concerns(f, conn) && riod_filter_matches(f, &e)) {
            riod_filter_log_message(f, conn, sent, m);
        }
    }
}

static void watch_state(void *opaque, const char *state)
{
    RiodConnection *conn = opaque;

    rio_link_tracer.state(conn->label, state);
}

const RioLinkWatch riod_connection_watch = {
    .wanted = watch_wanted,
    .message = watch_message,
    .state = watch_state,
};
