/*
 * remote-io session and link: what a forwarder does with a message
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/iov.h"
#include "net/remote-io/link.h"
#include "remote-io-messages.h"

static const RioIds here = { 1, 2, 3, 4 };
static const RioIds there = { 50, 60, 70, 80 };

static uint8_t buf[RIO_MAX_MESSAGE];

/* A REGION_READ as it came from a client */
static RioBytes request(uint64_t seq)
{
    RioMessage m = {
        .op = RIO_OP_REGION_READ, .ids = here, .epoch = 9, .tag = 77,
        .seq = seq, .ack = 5, .read = { .size = 4, .offset = 16 },
    };

    return (RioBytes) { buf, rio_encode(&m, buf, sizeof(buf)) };
}

static void take(RioSession *s, RioMessage *m)
{
    const uint8_t *data;
    size_t n = rio_session_tx(s, &data);
    RioError err;

    g_assert_cmpint(rio_decode(data, n, RIO_MAX_MESSAGE, m, &err), ==,
                    RIO_DECODE_OK);
    g_assert_cmpuint(rio_session_tx_done(s, m->length), ==, 0);
}

static void test_only_ids_and_hops_change(void)
{
    RioSession *s = rio_session_new_relay(&there, 4096);
    const uint8_t *data;
    uint8_t before[RIO_MAX_MESSAGE];
    RioBytes r = request(3);
    RioError err;
    RioMessage m;
    size_t n;

    memcpy(before, r.data, r.len);
    g_assert_true(rio_session_relay(s, r, 2));
    n = rio_session_tx(s, &data);
    g_assert_cmpuint(n, ==, r.len);
    g_assert_cmpint(rio_decode(data, n, RIO_MAX_MESSAGE, &m, &err), ==,
                    RIO_DECODE_OK);
    g_assert_cmpmem(&m.ids, sizeof(there), &there, sizeof(there));
    g_assert_cmpuint(m.hops, ==, 2);
    for (size_t i = 0; i < n; i++) {
        bool may = i == RIO_HDR_HOPS ||
                   (i >= RIO_HDR_CLIENT && i < RIO_HDR_EPOCH);

        g_assert_true(may || data[i] == before[i]);
    }
    rio_session_free(s);
}

static void test_what_was_sent_is_forgotten(void)
{
    RioSession *s = rio_session_new_relay(&there, 4096);
    RioMessage m;

    for (uint64_t seq = 1; seq <= 10000; seq++) {
        g_assert_true(rio_session_relay(s, request(seq), 1));
        take(s, &m);
        g_assert_cmpuint(m.seq, ==, seq);
        g_assert_cmpuint(rio_session_log_bytes(s), ==, 0);
    }
    g_assert_false(rio_session_wants_ack(s));
    rio_session_free(s);
}

static void test_queue_is_bounded_and_keeps_order(void)
{
    RioSession *s = rio_session_new_relay(&there, 640);
    uint64_t seq = 0, first = 1;
    RioMessage m;

    while (rio_session_relay(s, request(seq + 1), 1)) {
        seq++;
    }
    g_assert_cmpuint(seq, ==, 10);      /* of 64 bytes each */
    for (int i = 0; i < 1000; i++) {
        take(s, &m);
        g_assert_cmpuint(m.seq, ==, first++);
        g_assert_true(rio_session_relay(s, request(++seq), 1));
    }
    rio_session_free(s);
}

static void test_cleared_queue_starts_anew(void)
{
    RioSession *s = rio_session_new_relay(&there, 640);
    RioMessage m;

    g_assert_true(rio_session_relay(s, request(1), 1));
    g_assert_true(rio_session_relay(s, request(2), 1));
    rio_session_relay_clear(s);
    g_assert_cmpuint(rio_session_log_bytes(s), ==, 0);
    g_assert_true(rio_session_relay(s, request(8), 1));
    take(s, &m);
    g_assert_cmpuint(m.seq, ==, 8);
    rio_session_free(s);
}

/* --- credits --- */

static void receive(RioSession *s, uint64_t seq)
{
    RioMessage m = {
        .op = RIO_OP_REGION_READ, .ids = here, .epoch = 1, .seq = seq,
        .length = 64, .read = { .size = 4 },
    };
    RioError err;

    g_assert_cmpint(rio_session_receive(s, &m, &err), ==,
                    RIO_RECEIVE_DELIVER);
}

static void test_held_messages_are_not_acknowledged(void)
{
    static const uint8_t token[RIO_TOKEN_SIZE] = { 1 };
    RioSession *s = rio_session_new(RIO_SIDE_SERVER);
    RioMessage ack;

    rio_session_start(s, &here, 1, token, 65536);
    for (uint64_t seq = 1; seq <= 3 * RIO_ACK_MESSAGES; seq++) {
        receive(s, seq);
        rio_session_hold(s, 64);
        g_assert_false(rio_session_wants_ack(s));
    }
    g_assert_cmpuint(rio_session_held(s), ==, 3 * RIO_ACK_MESSAGES * 64);
    rio_session_make_ack(s, &ack);
    g_assert_cmpuint(ack.ack, ==, 0);
    for (unsigned i = 0; i < RIO_ACK_MESSAGES; i++) {
        rio_session_release(s, 64);
    }
    g_assert_true(rio_session_wants_ack(s));
    rio_session_make_ack(s, &ack);
    g_assert_cmpuint(ack.ack, ==, RIO_ACK_MESSAGES);
    g_assert_cmpuint(rio_session_received(s), ==, 3 * RIO_ACK_MESSAGES);
    rio_session_free(s);
}

/* --- the link --- */

static void pump(RioLink *from, RioLink *to)
{
    struct iovec iov[8];
    size_t space;
    int n;

    while ((n = rio_link_tx(from, iov, ARRAY_SIZE(iov))) > 0) {
        size_t len = iov_size(iov, n);
        uint8_t *at = rio_link_rx_space(to, &space);

        len = MIN(len, space);
        iov_to_buf(iov, n, 0, at, len);
        rio_link_tx_done(from, len, 0);
        rio_link_received(to, len, 0);
    }
}

typedef struct Wire {
    RioLink *client;
    RioLink *server;
} Wire;

static Wire new_wire(uint8_t role)
{
    RioLinkConfig c = {
        .side = RIO_SIDE_CLIENT, .role = role, .name = "c",
        .caps = RIO_CAP_ROUTE,
    };
    RioLinkConfig s = {
        .side = RIO_SIDE_SERVER, .role = RIO_ROLE_SERVER, .name = "s",
        .caps = RIO_CAP_ROUTE,
    };
    Wire w = { rio_link_new(&c, 0), rio_link_new(&s, 0) };
    RioMessage m;
    RioError err;

    pump(w.client, w.server);
    g_assert_cmpint(rio_link_next(w.server, &m, &err), ==, RIO_NEXT_NONE);
    pump(w.server, w.client);
    g_assert_cmpint(rio_link_next(w.client, &m, &err), ==, RIO_NEXT_NONE);
    return w;
}

static void free_wire(Wire *w)
{
    rio_link_free(w->client);
    rio_link_free(w->server);
}

static void give(RioLink *l, const uint8_t *data, size_t n)
{
    size_t space;
    uint8_t *to = rio_link_rx_space(l, &space);

    g_assert_cmpuint(n, <=, space);
    memcpy(to, data, n);
    rio_link_received(l, n, 0);
}

static bool relay_module_4(void *opaque, const RioMessage *header)
{
    return header->ids.module == 4;
}

/* The body may be anything: it is the business of the two ends */
static void test_only_the_header_of_what_is_relayed_is_judged(void)
{
    Wire w = new_wire(RIO_ROLE_CLIENT);
    RioBytes r = request(1);
    RioMessage m;
    RioError err;

    rio_link_set_relay(w.server, relay_module_4, NULL);
    memset(buf + RIO_HEADER_SIZE, 0xff, r.len - RIO_HEADER_SIZE);
    give(w.server, buf, r.len);
    g_assert_cmpint(rio_link_next(w.server, &m, &err), ==, RIO_NEXT_RELAY);
    g_assert_cmpmem(m.payload.data, m.payload.len, buf, r.len);
    g_assert_cmpuint(m.tag, ==, 77);
    buf[RIO_HDR_OP] = 0xee;
    give(w.server, buf, r.len);
    g_assert_cmpint(rio_link_next(w.server, &m, &err), ==, RIO_NEXT_BAD);
    free_wire(&w);
}

static void test_bad_body_ends_the_connection_of_a_client(void)
{
    Wire w = new_wire(RIO_ROLE_CLIENT);
    RioBytes r = request(1);
    RioMessage m;
    RioError err;

    memset(buf + RIO_HEADER_SIZE, 0xff, r.len - RIO_HEADER_SIZE);
    give(w.server, buf, r.len);
    g_assert_cmpint(rio_link_next(w.server, &m, &err), ==, RIO_NEXT_BAD);
    free_wire(&w);
}

static void test_bad_body_from_a_forwarder_ends_the_session_alone(void)
{
    Wire w = new_wire(RIO_ROLE_GATEWAY);
    RioBytes r = request(1);
    RioMessage m;
    RioError err;

    memset(buf + RIO_HEADER_SIZE, 0xff, r.len - RIO_HEADER_SIZE);
    give(w.server, buf, r.len);
    g_assert_cmpint(rio_link_next(w.server, &m, &err), ==,
                    RIO_NEXT_BAD_SESSION);
    g_assert_cmpmem(&m.ids, sizeof(here), &here, sizeof(here));
    r = request(2);
    give(w.server, buf, r.len);
    g_assert_cmpint(rio_link_next(w.server, &m, &err), ==, RIO_NEXT_MESSAGE);
    free_wire(&w);
}

/* A relay leaves its link while half a message is out: it is completed */
static void test_message_in_progress_is_completed(void)
{
    Wire w = new_wire(RIO_ROLE_SERVER);
    RioSession *s = rio_session_new_relay(&there, 4096);
    struct iovec iov[8];
    RioMessage m;
    RioError err;

    g_assert_true(rio_session_relay(s, request(1), 1));
    g_assert_true(rio_session_relay(s, request(2), 1));
    rio_link_add_session(w.client, s);
    g_assert_cmpint(rio_link_tx(w.client, iov, 8), ==, 1);
    give(w.server, iov[0].iov_base, 20);
    rio_link_tx_done(w.client, 20, 0);
    rio_link_remove_session(w.client, s);
    rio_session_relay_clear(s);
    pump(w.client, w.server);
    g_assert_cmpint(rio_link_next(w.server, &m, &err), ==, RIO_NEXT_MESSAGE);
    g_assert_cmpuint(m.seq, ==, 1);
    g_assert_cmpint(rio_link_next(w.server, &m, &err), ==, RIO_NEXT_NONE);
    rio_session_free(s);
    free_wire(&w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define T(name, func) g_test_add_func("/remote-io/relay/" name, func)
    T("only-ids-and-hops-change", test_only_ids_and_hops_change);
    T("what-was-sent-is-forgotten", test_what_was_sent_is_forgotten);
    T("queue-is-bounded-and-keeps-order",
      test_queue_is_bounded_and_keeps_order);
    T("cleared-queue-starts-anew", test_cleared_queue_starts_anew);
    T("held-messages-are-not-acknowledged",
      test_held_messages_are_not_acknowledged);
    T("only-the-header-of-what-is-relayed-is-judged",
      test_only_the_header_of_what_is_relayed_is_judged);
    T("bad-body-ends-the-connection-of-a-client",
      test_bad_body_ends_the_connection_of_a_client);
    T("bad-body-from-a-forwarder-ends-the-session-alone",
      test_bad_body_from_a_forwarder_ends_the_session_alone);
    T("message-in-progress-is-completed",
      test_message_in_progress_is_completed);
#undef T
    return g_test_run();
}
