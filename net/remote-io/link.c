/*
 * remote-io link: its life, its clock and what it received
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "net/remote-io/link-internal.h"

#define RX_MIN      4096u
#define RX_BULK     65536u      /* largest buffer that traffic alone asks for */
#define RX_SMALL    64u         /* small receives in a row until it shrinks */

/*
 * Behind the rest of a message that is larger than this, only the beginning of
 * the next one is received: it must be moved to the front of the buffer.
 */
#define RX_LARGE    16384u

/* --- life --- */

/*
 * Before the handshake the peer may be anybody, so it gets the smallest
 * message limit that there is.
 */
RioLink *rio_link_new(const RioLinkConfig *config, int64_t now_ms)
{
    RioLink *l = g_new0(RioLink, 1);

    l->config = *config;
    l->config.name = g_strdup(config->name);
    l->config.software = g_strdup(config->software ?: "");
    l->config.max_message = MIN(config->max_message ?: RIO_MAX_MESSAGE,
                                RIO_MAX_MESSAGE);
    l->config.keepalive_ms = config->keepalive_ms ?: RIO_DEFAULT_KEEPALIVE_MS;
    l->client_id = config->client_id ?: 1;
    l->server_id = config->server_id ?: 1;
    l->state = RIO_LINK_HELLO;
    l->max_message = RIO_MIN_MAX_MESSAGE;   /* enough for a HELLO */
    l->keepalive_ms = l->config.keepalive_ms;
    l->rx_target = RX_MIN;
    l->born_ms = l->last_rx_ms = l->last_tx_ms = l->sweep_ms = now_ms;
    l->last_ping_ms = now_ms;
    l->closing_ms = -1;
    rio_list_init(&l->members);
    rio_list_init(&l->ready);
    rio_list_init(&l->recent);
    if (config->side == RIO_SIDE_CLIENT) {
        rio_link_queue_hello(l);
    }
    return l;
}

/* Sessions survive their link; they only forget it. */
void rio_link_free(RioLink *l)
{
    if (!l) {
        return;
    }
    while (!rio_list_empty(&l->members)) {
        rio_link_remove_session(l, RIO_SESSION_OF(l->members.next,
                                                  member_node));
    }
    rio_queue_free(&l->rx);
    rio_queue_free(&l->control);
    g_free((char *)l->config.name);
    g_free((char *)l->config.software);
    g_free(l);
}

void rio_link_set_state(RioLink *l, RioLinkState state)
{
    static const char *const name[] = {
        [RIO_LINK_HELLO] = "HELLO",
        [RIO_LINK_READY] = "READY",
        [RIO_LINK_CLOSING] = "CLOSING",
        [RIO_LINK_CLOSED] = "CLOSED",
    };

    if (l->state != state && rio_link_watched(l)) {
        l->config.watch->state(l->config.watch_opaque, name[state]);
    }
    l->state = state;
}

RioLinkState rio_link_state(const RioLink *l)
{
    return l->state;
}

uint64_t rio_link_caps(const RioLink *l)
{
    return l->caps;
}

const char *rio_link_peer_name(const RioLink *l)
{
    return l->peer_name;
}

const char *rio_link_peer_software(const RioLink *l)
{
    return l->peer_software;
}

const uint8_t *rio_link_peer_uuid(const RioLink *l)
{
    return l->peer_uuid;
}

uint8_t rio_link_peer_role(const RioLink *l)
{
    return l->peer_role;
}

uint32_t rio_link_client_id(const RioLink *l)
{
    return l->client_id;
}

uint32_t rio_link_server_id(const RioLink *l)
{
    return l->server_id;
}

uint32_t rio_link_max_message(const RioLink *l)
{
    return l->max_message;
}

uint32_t rio_link_keepalive_ms(const RioLink *l)
{
    return l->keepalive_ms;
}

const RioLinkStats *rio_link_stats(const RioLink *l)
{
    return &l->stats;
}

void rio_link_set_admit(RioLink *l, RioLinkAdmit *admit, void *opaque)
{
    l->admit = admit;
    l->admit_opaque = opaque;
}

void rio_link_set_relay(RioLink *l, RioLinkRelay *relays, void *opaque)
{
    l->relays = relays;
    l->relays_opaque = opaque;
}

/* --- receiving --- */

void rio_queue_free(RioQueue *q)
{
    g_free(q->data);
    memset(q, 0, sizeof(*q));
}

/*
 * Moving down is preferred to growing: whoever empties the queue now and
 * then never makes it larger than the most that waited at one time.
 */
void rio_queue_reserve(RioQueue *q, size_t n)
{
    size_t used = q->tail - q->head;
    size_t size = MAX(q->size, 256);
    uint8_t *data = q->data;

    if (q->size - q->tail >= n) {
        return;
    }
    while (size < used + n) {
        size *= 2;
    }
    if (size > q->size) {
        data = g_malloc(size);
    }
    if (used) {
        memmove(data, q->data + q->head, used);
    }
    if (data != q->data) {
        g_free(q->data);
        q->data = data;
        q->size = size;
    }
    q->head = 0;
    q->tail = used;
}

/* What is missing of the message that has begun; 0: not known, or nothing */
static size_t rx_missing(const RioLink *l, uint32_t *length)
{
    size_t used = l->rx.tail - l->rx.head;

    *length = used >= 4 ? rio_encoded_length(l->rx.data + l->rx.head) : 0;
    return *length <= l->max_message && *length > used ? *length - used : 0;
}

/*
 * The only place where the buffer moves or shrinks, because here nobody else
 * can be writing to it.
 */
uint8_t *rio_link_rx_space(RioLink *l, size_t *space)
{
    size_t used = l->rx.tail - l->rx.head;
    size_t want = l->rx_target > used + RX_MIN ? l->rx_target - used : RX_MIN;
    uint32_t length;
    size_t missing = rx_missing(l, &length);

    if (length > RX_LARGE && missing) {
        want = missing + RX_MIN;
        l->rx_keep = true;
    }
    if (!used) {
        l->rx.head = l->rx.tail = 0;
        if (l->rx.size > l->rx_target && !l->rx_keep) {
            rio_queue_free(&l->rx);
        }
    }
    rio_queue_reserve(&l->rx, MAX(want, missing));
    *space = l->rx.size - l->rx.tail;
    if (length > RX_LARGE && missing) {
        *space = want;
    } else {
        *space = MIN(*space, MAX(want, RX_BULK));
    }
    l->rx_space = *space;
    return l->rx.data + l->rx.tail;
}

/* A buffer that was filled is too small; one that stays empty, too large */
static void rx_adapt(RioLink *l, size_t n, size_t space)
{
    if (n == space) {
        l->rx_target = MIN(MAX(l->rx_target, RX_MIN) * 2, RX_BULK);
        l->rx_small = 0;
    } else if (n > l->rx_target / 4) {
        l->rx_small = 0;
    } else if (++l->rx_small >= RX_SMALL) {
        l->rx_target = MAX(l->rx_target / 2, RX_MIN);
        l->rx_small = 0;
    }
}

/* Any byte is a sign of life, also one of a message that is not complete. */
void rio_link_received(RioLink *l, size_t n, int64_t now_ms)
{
    g_assert(n <= l->rx.size - l->rx.tail);
    rx_adapt(l, n, l->rx_space);
    l->rx.tail += n;
    l->last_rx_ms = now_ms;
    l->stats.rx_frames++;
    l->stats.rx_bytes += n;
}

void rio_link_received_files(RioLink *l, size_t n)
{
    l->files_to = l->stats.rx_bytes;
    l->files_from = l->files_to - n;
}

bool rio_link_files_pending(const RioLink *l)
{
    return l->files_to != 0;
}

/* May the peer send @m now? */
static bool check_message(const RioLink *l, const RioMessage *m,
                          RioError *err)
{
    bool client = l->config.side == RIO_SIDE_CLIENT;

    if (G_UNLIKELY(!(client ? rio_op_from_server(m->op)
                            : rio_op_from_client(m->op)))) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL, "%s from a %s",
                             rio_op_name(m->op), client ? "server" : "client");
    }
    if (G_UNLIKELY(l->state == RIO_LINK_HELLO &&
                   m->op != (client ? RIO_OP_HELLO_REPLY : RIO_OP_HELLO) &&
                   m->op != RIO_OP_BYE)) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL,
                             "%s before the handshake", rio_op_name(m->op));
    }
    if (G_UNLIKELY(rio_op_cap(m->op) & ~l->caps)) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL,
                             "%s without the capability 0x%" G_GINT64_MODIFIER
                             "x", rio_op_name(m->op), rio_op_cap(m->op));
    }
    if (G_UNLIKELY((m->hops || m->flags & RIO_FLAG_TRACE) &&
                   !(l->caps & RIO_CAP_ROUTE))) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL,
                             "%s with %u hops and flags 0x%02x without the "
                             "capability ROUTE", rio_op_name(m->op), m->hops,
                             m->flags);
    }
    return true;
}

static bool is_own_op(uint8_t op)
{
    return op <= RIO_OP_BYE;
}

/* The peer broke a rule: tell it, and take nothing more from it. */
static RioNextResult bad(RioLink *l, const RioError *err)
{
    rio_link_queue_bye(l, err->status, err->text);
    rio_link_set_state(l, RIO_LINK_CLOSED);
    return RIO_NEXT_BAD;
}

/* Do the descriptors that came belong to the message at the head? */
static bool has_files(RioLink *l, uint32_t length)
{
    uint64_t at = l->stats.rx_bytes - (l->rx.tail - l->rx.head);

    if (at + length < l->files_to) {
        return false;           /* another one begins behind it */
    }
    l->files_to = 0;
    return at >= l->files_from;
}

/*
 * A forwarder has looked at the header only.  What is wrong with the body is
 * the fault of the one whose session it is.
 */
static bool blames_session(const RioLink *l, const RioMessage *m)
{
    return l->config.side == RIO_SIDE_SERVER && l->state == RIO_LINK_READY &&
           l->peer_role != RIO_ROLE_CLIENT && rio_op_of_session(m->op) &&
           m->ids.module;
}

/* One message; RIO_NEXT_NONE also when the link took it for itself */
static RioNextResult take_message(RioLink *l, RioMessage *m, RioError *err)
{
    const uint8_t *whole = l->rx.data + l->rx.head;

    m->files = G_UNLIKELY(l->files_to) && has_files(l, m->length);
    l->rx.head += m->length;
    l->stats.rx_messages++;
    if (G_UNLIKELY(rio_link_watched(l))) {
        l->config.watch->message(l->config.watch_opaque, false, m);
    }
    if (l->state == RIO_LINK_CLOSING && m->op != RIO_OP_BYE) {
        return RIO_NEXT_NONE;
    }
    if (!check_message(l, m, err)) {
        return bad(l, err);
    }
    if (l->relays && !is_own_op(m->op) && l->relays(l->relays_opaque, m)) {
        m->payload = (RioBytes) { whole, m->length };
        return RIO_NEXT_RELAY;
    }
    if (G_UNLIKELY(!rio_decode_body(m, err))) {
        return blames_session(l, m) ? RIO_NEXT_BAD_SESSION : bad(l, err);
    }
    return is_own_op(m->op) ? rio_link_own_message(l, m, err)
                            : RIO_NEXT_MESSAGE;
}

/*
 * Messages of the link itself are taken in passing; the loop ends with one
 * for the caller, with the bytes, or with the link.
 */
RioNextResult rio_link_next(RioLink *l, RioMessage *m, RioError *err)
{
    RioNextResult result;

    while (l->state != RIO_LINK_CLOSED) {
        if (l->rx.head == l->rx.tail) {
            return RIO_NEXT_NONE;
        }
        switch (rio_decode_header(l->rx.data + l->rx.head,
                                  l->rx.tail - l->rx.head, l->max_message, m,
                                  err)) {
        case RIO_DECODE_MORE:
            return RIO_NEXT_NONE;
        case RIO_DECODE_BAD:
            return bad(l, err);
        case RIO_DECODE_OK:
            break;
        }
        result = take_message(l, m, err);
        if (result != RIO_NEXT_NONE) {
            return result;
        }
    }
    rio_error_set(err, RIO_STATUS_SHUTDOWN, "the link is closed");
    return RIO_NEXT_CLOSED;
}

/* --- time --- */

static bool dead(RioError *err, const char *what, int64_t silent_ms)
{
    return rio_error_set(err, RIO_STATUS_TIMEOUT,
                         "%s for %" G_GINT64_FORMAT " ms", what, silent_ms);
}

/* Not READY: whatever is waited for has RIO_HANDSHAKE_TIMEOUT_MS */
static bool tick_waiting(const RioLink *l, int64_t now_ms, int64_t *next_ms,
                         RioError *err)
{
    bool hello = l->state == RIO_LINK_HELLO;
    int64_t since = hello ? l->born_ms : l->closing_ms;

    *next_ms = since + RIO_HANDSHAKE_TIMEOUT_MS;
    return now_ms < *next_ms ||
           dead(err, hello ? "no HELLO" : "the peer did not take BYE",
                now_ms - since);
}

/* The CLIENT asks for a sign of life; it also gives one that way */
static int64_t tick_ping(RioLink *l, int64_t now_ms)
{
    int64_t quiet_since = MIN(l->last_rx_ms, l->last_tx_ms);
    /* Timers are not exact: rather a little early than one wake-up more */
    int64_t due = l->keepalive_ms - l->keepalive_ms / 8;
    int64_t asked = MAX(quiet_since, l->last_ping_ms);
    RioMessage m = { .op = RIO_OP_PING };

    if (now_ms - asked < due) {
        return asked + l->keepalive_ms;
    }
    m.ping.cookie = ++l->cookie;
    rio_link_queue(l, &m);
    l->last_ping_ms = now_ms;
    return now_ms + l->keepalive_ms;
}

/* The interval that was agreed on may be longer than ours */
static int64_t longest_silence(const RioLink *l)
{
    int64_t interval = l->keepalive_ms;

    if (l->config.side == RIO_SIDE_SERVER) {
        return interval * (RIO_KEEPALIVE_MISSES + 1);
    }
    if (!l->config.patience_ms) {
        return interval * RIO_KEEPALIVE_MISSES;
    }
    return CLAMP(l->config.patience_ms, interval * 3 / 2,
                 interval * RIO_KEEPALIVE_MISSES);
}

/* Where little came lately the next receive may give memory back */
static void rx_rest(RioLink *l)
{
    if (l->stats.rx_bytes - l->rx_swept < RX_LARGE) {
        l->rx_keep = false;
    }
    l->rx_swept = l->stats.rx_bytes;
}

/*
 * Sweeps go along with ticks that happen anyway, and ask for one of their
 * own only while some session was busy: an idle link has the keep-alive's
 * timer and no other.
 */
bool rio_link_tick(RioLink *l, int64_t now_ms, int64_t *next_ms,
                   RioError *err)
{
    bool client = l->config.side == RIO_SIDE_CLIENT;
    int64_t dead_ms;

    if (l->state >= RIO_LINK_CLOSING && l->closing_ms < 0) {
        l->closing_ms = now_ms;
    }
    if (l->state != RIO_LINK_READY) {
        return tick_waiting(l, now_ms, next_ms, err);
    }
    dead_ms = l->last_rx_ms + longest_silence(l);
    if (now_ms >= dead_ms) {
        return dead(err, "the peer was silent", now_ms - l->last_rx_ms);
    }
    *next_ms = dead_ms;
    if (client) {
        *next_ms = MIN(*next_ms, tick_ping(l, now_ms));
    }
    if (now_ms - l->sweep_ms >= l->keepalive_ms - l->keepalive_ms / 8) {
        rio_link_sweep(l);
        rx_rest(l);
        l->sweep_ms = now_ms;
    }
    if (!rio_list_empty(&l->recent)) {
        *next_ms = MIN(*next_ms, l->sweep_ms + l->keepalive_ms);
    }
    return true;
}

bool rio_link_pinged(RioLink *l)
{
    bool pinged = l->pinged;

    l->pinged = false;
    return pinged;
}
