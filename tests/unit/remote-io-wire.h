/*
 * Two links and the bytes between them, for tests of the remote-io wire
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_UNIT_REMOTE_IO_WIRE_H
#define TESTS_UNIT_REMOTE_IO_WIRE_H

#include "net/remote-io/link.h"

#define INTERVAL 1000


/* Two links and the bytes between them; time is what a test says it is */
typedef struct Wire {
    RioLink *client;
    RioLink *server;
    int64_t now;
} Wire;

static inline RioLinkConfig client_config(void)
{
    return (RioLinkConfig) {
        .side = RIO_SIDE_CLIENT,
        .role = RIO_ROLE_CLIENT,
        .name = "host-a",
        .software = "test 1",
        .uuid = { 1, 2, 3 },
        .caps = RIO_CAP_RESUME | RIO_CAP_DMA,
        .keepalive_ms = INTERVAL,
    };
}

static inline RioLinkConfig server_config(void)
{
    return (RioLinkConfig) {
        .side = RIO_SIDE_SERVER,
        .role = RIO_ROLE_SERVER,
        .name = "shelf-1",
        .software = "test 2",
        .uuid = { 4, 5, 6 },
        .caps = RIO_CAP_RESUME | RIO_CAP_ROUTE,
        .keepalive_ms = INTERVAL,
        .client_id = 10,
        .server_id = 20,
    };
}

static inline Wire new_wire(const RioLinkConfig *client,
                            const RioLinkConfig *server)
{
    return (Wire) {
        .client = rio_link_new(client, 0),
        .server = rio_link_new(server, 0),
    };
}

static inline void free_wire(Wire *w)
{
    rio_link_free(w->client);
    rio_link_free(w->server);
}

static inline void give(RioLink *l, const void *bytes, size_t n, int64_t now)
{
    const uint8_t *p = bytes;

    while (n) {
        size_t space, part;
        uint8_t *to = rio_link_rx_space(l, &space);

        part = MIN(space, n);
        memcpy(to, p, part);
        rio_link_received(l, part, now);
        p += part;
        n -= part;
    }
}

/* Move all that @from wants to send into @to; how many bytes that was */
static inline size_t carry(Wire *w, RioLink *from, RioLink *to)
{
    struct iovec iov[8];
    size_t total = 0;
    int n;

    while ((n = rio_link_tx(from, iov, G_N_ELEMENTS(iov))) > 0) {
        size_t taken = 0;

        for (int i = 0; i < n; i++) {
            give(to, iov[i].iov_base, iov[i].iov_len, w->now);
            taken += iov[i].iov_len;
        }
        rio_link_tx_done(from, taken, w->now);
        total += taken;
    }
    g_assert_false(rio_link_tx_pending(from));
    return total;
}

static inline RioNextResult next(RioLink *l, RioMessage *m)
{
    RioError err = { 0 };
    RioNextResult result = rio_link_next(l, m, &err);

    if (result == RIO_NEXT_BAD) {
        g_error("%s", err.text);
    }
    return result;
}

/* The next thing that @l sees must be @result, and say @text */
static inline void assert_ends(RioLink *l, RioNextResult result,
                               uint8_t status, const char *text)
{
    RioMessage m;
    RioError err = { 0 };

    g_assert_cmpint(rio_link_next(l, &m, &err), ==, result);
    g_assert_cmpuint(err.status, ==, status);
    if (!strstr(err.text, text)) {
        g_error("\"%s\" does not say \"%s\"", err.text, text);
    }
}

static inline void shake_hands(Wire *w)
{
    RioMessage m;

    carry(w, w->client, w->server);
    g_assert_cmpint(next(w->server, &m), ==, RIO_NEXT_NONE);
    carry(w, w->server, w->client);
    g_assert_cmpint(next(w->client, &m), ==, RIO_NEXT_NONE);
    g_assert_cmpint(rio_link_state(w->client), ==, RIO_LINK_READY);
    g_assert_cmpint(rio_link_state(w->server), ==, RIO_LINK_READY);
}

static inline Wire new_ready(void)
{
    RioLinkConfig c = client_config(), s = server_config();
    Wire w = new_wire(&c, &s);

    shake_hands(&w);
    return w;
}

static inline RioSession *new_session(RioSide side, uint32_t vm)
{
    RioSession *s = rio_session_new(side);
    static const uint8_t token[RIO_TOKEN_SIZE];
    RioIds ids = { 10, vm, 20, 1 };

    rio_session_start(s, &ids, 1, token, RIO_DEFAULT_LOG);
    return s;
}

static inline void give_message(RioLink *l, const RioMessage *m)
{
    static uint8_t buf[RIO_MAX_MESSAGE];
    size_t n = rio_encode(m, buf, sizeof(buf));

    g_assert_cmpuint(n, >, 0);
    give(l, buf, n, 0);
}

static inline bool tick(RioLink *l, int64_t now, int64_t *at)
{
    RioError err;

    return rio_link_tick(l, now, at, &err);
}

#endif
