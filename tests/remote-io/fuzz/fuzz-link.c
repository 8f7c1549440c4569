/*
 * A hostile peer at the other end of a link with a session on it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The first byte of an input chooses the side and whether the handshake is
 * the peer's business.  Then come steps: one byte that says what happens, and
 * for what the peer sends a length and the bytes.
 */

#include <string.h>

#include "net/remote-io/link.h"
#include "fuzz.h"

#define LOG_LIMIT   RIO_MIN_LOG

typedef struct Target {
    RioSide side;
    RioLink *link;
    RioSession *session;
    int64_t now;
    uint32_t epoch;
    bool over;                  /* the link ended; only BYE may go out */
} Target;

static const uint8_t token[RIO_TOKEN_SIZE] = { 1 };
static const RioIds ids = { 1, 1, 1, 1 };

static RioLink *new_link(RioSide side)
{
    RioLinkConfig config = {
        .side = side,
        .role = side == RIO_SIDE_CLIENT ? RIO_ROLE_CLIENT : RIO_ROLE_SERVER,
        .name = "fuzz",
        .caps = UINT64_MAX,
    };

    return rio_link_new(&config, 0);
}

static void give(RioLink *l, const uint8_t *p, size_t n, int64_t now)
{
    while (n) {
        size_t space, part;
        uint8_t *to = rio_link_rx_space(l, &space);

        PROMISE(space >= 4096 && space <= 2 * RIO_MAX_MESSAGE);
        part = MIN(space, n);
        memcpy(to, p, part);
        rio_link_received(l, part, now);
        p += part;
        n -= part;
    }
}

/* Everything that @l wants to send, to @to (or nowhere) */
static void drain(RioLink *l, RioLink *to, int64_t now)
{
    struct iovec iov[4];
    int n;

    while ((n = rio_link_tx(l, iov, 4)) > 0) {
        size_t taken = 0;

        for (int i = 0; i < n; i++) {
            if (to) {
                give(to, iov[i].iov_base, iov[i].iov_len, now);
            }
            taken += iov[i].iov_len;
        }
        PROMISE(taken > 0);
        rio_link_tx_done(l, taken, now);
    }
    PROMISE(!rio_link_tx_pending(l));
}

/* The handshake done by a decent peer, so that the rest is reached */
static void shake_hands(Target *t)
{
    RioLink *peer = new_link(t->side == RIO_SIDE_CLIENT ? RIO_SIDE_SERVER
                                                        : RIO_SIDE_CLIENT);
    RioMessage m;
    RioError err;

    for (int i = 0; i < 2; i++) {
        drain(peer, t->link, 0);
        PROMISE(rio_link_next(t->link, &m, &err) == RIO_NEXT_NONE);
        drain(t->link, peer, 0);
        PROMISE(rio_link_next(peer, &m, &err) == RIO_NEXT_NONE);
    }
    PROMISE(rio_link_state(t->link) == RIO_LINK_READY);
    rio_link_free(peer);
}

static void take_session_message(Target *t, const RioMessage *m)
{
    uint64_t before = rio_session_received(t->session);
    uint64_t acked = rio_session_acked(t->session);
    RioError err = { 0 };
    RioReceiveResult result = rio_session_receive(t->session, m, &err);

    switch (result) {
    case RIO_RECEIVE_DELIVER:
        PROMISE(rio_session_received(t->session) == before + (m->seq != 0));
        break;
    case RIO_RECEIVE_DROP:
        PROMISE(rio_session_received(t->session) == before);
        break;
    case RIO_RECEIVE_BAD:
        PROMISE(err.status != RIO_STATUS_OK && *err.text);
        PROMISE(rio_session_received(t->session) == before);
        break;
    }
    PROMISE(rio_session_acked(t->session) >= acked);
    PROMISE(rio_session_acked(t->session) <= rio_session_sent(t->session));
}

static void take_messages(Target *t)
{
    RioMessage m;
    RioError err = { 0 };
    RioNextResult result;

    for (;;) {
        result = rio_link_next(t->link, &m, &err);
        if (result != RIO_NEXT_MESSAGE && result != RIO_NEXT_BAD_SESSION) {
            break;
        }
        PROMISE(!t->over);
        PROMISE(rio_link_state(t->link) == RIO_LINK_READY);
        if (result == RIO_NEXT_BAD_SESSION) {
            /* A forwarder brought it: the link goes on, without the session */
            PROMISE(t->side == RIO_SIDE_SERVER);
            PROMISE(m.ids.module && *err.text);
        } else if (!memcmp(&m.ids, &ids, sizeof(ids))) {
            take_session_message(t, &m);
        }
    }
    if (result != RIO_NEXT_NONE) {
        PROMISE(*err.text);
        PROMISE(rio_link_state(t->link) == RIO_LINK_CLOSED);
        t->over = true;
    }
}

static void send_something(Target *t, uint8_t what)
{
    RioWrite w = { .size = 4, .value = what };
    RioMessage m;

    if (t->side == RIO_SIDE_CLIENT && what % 2) {
        (void)!rio_session_post(t->session, &w);
    } else {
        rio_message_init(&m, t->side == RIO_SIDE_CLIENT ?
                         RIO_OP_REGION_READ : RIO_OP_IRQ_LEVEL, 0, what);
        memset(&m.read, 0, sizeof(m.read));
        m.read.size = 4;
        (void)!rio_session_send(t->session, &m);
    }
    PROMISE(rio_session_log_bytes(t->session) <= LOG_LIMIT);
}

/* The socket takes a part of what waits */
static void send_part(Target *t, uint8_t n)
{
    struct iovec iov[3];
    int entries = rio_link_tx(t->link, iov, 1 + n % 3);
    size_t all = 0;

    for (int i = 0; i < entries; i++) {
        all += iov[i].iov_len;
    }
    if (all) {
        rio_link_tx_done(t->link, 1 + (n * 7u) % all, t->now);
    }
}

static void resume(Target *t, uint8_t received)
{
    RioError err;

    if (rio_session_resume(t->session, t->epoch + 1, received, &err)) {
        t->epoch++;
    }
}

/* Returns: bytes of the input that the step used */
static size_t step(Target *t, const uint8_t *p, size_t size)
{
    int64_t next;
    RioError err;
    size_t n;

    switch (p[0] % 8) {
    case 0:
        send_something(t, p[0]);
        return 1;
    case 1:
        send_part(t, p[0]);
        return 1;
    case 2:
        t->now += p[0] * 16;
        t->over |= !rio_link_tick(t->link, t->now, &next, &err);
        return 1;
    case 3:
        if (p[0] < 64) {
            rio_session_lost(t->session);
        } else {
            resume(t, p[0] - 64);
        }
        return 1;
    default:
        if (size < 3) {
            return size;
        }
        n = MIN(p[1] | (size_t)p[2] << 8, size - 3);
        give(t->link, p + 3, n, t->now);
        take_messages(t);
        return 3 + n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Target t = { .epoch = 1 };
    size_t used = 1;

    if (!size) {
        return 0;
    }
    t.side = data[0] & 1 ? RIO_SIDE_CLIENT : RIO_SIDE_SERVER;
    t.link = new_link(t.side);
    t.session = rio_session_new(t.side);
    rio_session_start(t.session, &ids, 1, token, LOG_LIMIT);
    if (data[0] & 2) {
        shake_hands(&t);
    }
    rio_link_add_session(t.link, t.session);
    while (used < size && !t.over) {
        used += step(&t, data + used, size - used);
    }
    drain(t.link, NULL, t.now);
    if (data[0] & 4) {
        rio_session_free(t.session);
        rio_link_free(t.link);
    } else {
        rio_link_free(t.link);
        rio_session_free(t.session);
    }
    return 0;
}
