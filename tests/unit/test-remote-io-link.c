/*
 * remote-io link: framing, handshake, endings and keep-alive
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "remote-io-messages.h"
#include "remote-io-wire.h"

/* --- handshake --- */

static void test_both_learn_who_the_other_is(void)
{
    Wire w = new_ready();

    g_assert_cmpstr(rio_link_peer_name(w.client), ==, "shelf-1");
    g_assert_cmpstr(rio_link_peer_name(w.server), ==, "host-a");
    g_assert_cmpstr(rio_link_peer_software(w.client), ==, "test 2");
    g_assert_cmpuint(rio_link_peer_role(w.client), ==, RIO_ROLE_SERVER);
    g_assert_cmpuint(rio_link_peer_role(w.server), ==, RIO_ROLE_CLIENT);
    g_assert_cmpuint(rio_link_peer_uuid(w.client)[0], ==, 4);
    g_assert_cmpuint(rio_link_peer_uuid(w.server)[0], ==, 1);
    g_assert_cmpuint(rio_link_client_id(w.client), ==, 10);
    g_assert_cmpuint(rio_link_client_id(w.server), ==, 10);
    g_assert_cmpuint(rio_link_server_id(w.client), ==, 20);
    free_wire(&w);
}

static void test_capabilities_are_intersected(void)
{
    RioLinkConfig c = client_config(), s = server_config();
    Wire w;

    c.caps |= 1ull << 63;                   /* of a later version */
    w = new_wire(&c, &s);
    shake_hands(&w);
    g_assert_cmphex(rio_link_caps(w.client), ==, RIO_CAP_RESUME);
    g_assert_cmphex(rio_link_caps(w.server), ==, RIO_CAP_RESUME);
    free_wire(&w);
}

static void test_smaller_message_limit_wins(void)
{
    RioLinkConfig c = client_config(), s = server_config();
    Wire w;

    s.max_message = 10000;
    w = new_wire(&c, &s);
    shake_hands(&w);
    g_assert_cmpuint(rio_link_max_message(w.client), ==, 10000);
    g_assert_cmpuint(rio_link_max_message(w.server), ==, 10000);
    free_wire(&w);
}

static void test_longer_keepalive_wins(void)
{
    RioLinkConfig c = client_config(), s = server_config();
    Wire w;

    s.keepalive_ms = 5 * INTERVAL;
    w = new_wire(&c, &s);
    shake_hands(&w);
    g_assert_cmpuint(rio_link_keepalive_ms(w.client), ==, 5 * INTERVAL);
    g_assert_cmpuint(rio_link_keepalive_ms(w.server), ==, 5 * INTERVAL);
    free_wire(&w);
}

static void give_hello(RioLink *l, uint8_t op, uint16_t min, uint16_t max)
{
    RioMessage m = {
        .op = op,
        .hello = { min, max, 0, RIO_MAX_MESSAGE, INTERVAL, RIO_ROLE_CLIENT,
                   { 0 }, "future", "test 9" },
    };

    if (op == RIO_OP_HELLO_REPLY) {
        m.ids.client = m.ids.server = 1;
    }
    give_message(l, &m);
}

static void test_no_common_version_is_refused_with_both_ranges(void)
{
    Wire w = new_ready();
    RioLinkConfig c = client_config(), s = server_config();

    free_wire(&w);
    w = new_wire(&c, &s);
    give_hello(w.server, RIO_OP_HELLO, 2, 3);
    assert_ends(w.server, RIO_NEXT_BAD, RIO_STATUS_VERSION,
                "speaks versions 1 to 1");
    carry(&w, w.server, w.client);
    assert_ends(w.client, RIO_NEXT_CLOSED, RIO_STATUS_VERSION,
                "versions 2 to 3");
    free_wire(&w);
}

static void test_newer_peer_is_met_at_our_version(void)
{
    Wire w;
    RioLinkConfig c = client_config(), s = server_config();
    RioMessage m;

    w = new_wire(&c, &s);
    give_hello(w.server, RIO_OP_HELLO, 1, 7);
    g_assert_cmpint(next(w.server, &m), ==, RIO_NEXT_NONE);
    carry(&w, w.server, w.client);
    g_assert_cmpint(next(w.client, &m), ==, RIO_NEXT_NONE);
    g_assert_cmpint(rio_link_state(w.client), ==, RIO_LINK_READY);
    free_wire(&w);
}

static void test_reply_with_a_foreign_version_is_bad(void)
{
    Wire w;
    RioLinkConfig c = client_config(), s = server_config();

    w = new_wire(&c, &s);
    give_hello(w.client, RIO_OP_HELLO_REPLY, 2, 2);
    assert_ends(w.client, RIO_NEXT_BAD, RIO_STATUS_VERSION, "2 to 2");
    free_wire(&w);
}

static uint32_t refuse(void *opaque, const RioMessage *hello, RioError *err)
{
    g_assert_cmpstr(hello->hello.name, ==, opaque);
    rio_error_set(err, RIO_STATUS_DENIED, "not on the list");
    return 0;
}

static uint32_t admit(void *opaque, const RioMessage *hello, RioError *err)
{
    return 77;
}

static void test_admission_decides(void)
{
    RioLinkConfig c = client_config(), s = server_config();
    Wire w = new_wire(&c, &s);

    rio_link_set_admit(w.server, admit, NULL);
    shake_hands(&w);
    g_assert_cmpuint(rio_link_client_id(w.client), ==, 77);
    free_wire(&w);

    w = new_wire(&c, &s);
    rio_link_set_admit(w.server, refuse, (void *)"host-a");
    carry(&w, w.client, w.server);
    assert_ends(w.server, RIO_NEXT_BAD, RIO_STATUS_DENIED, "not on the list");
    g_assert_cmpint(rio_link_state(w.server), ==, RIO_LINK_CLOSED);
    carry(&w, w.server, w.client);
    assert_ends(w.client, RIO_NEXT_CLOSED, RIO_STATUS_DENIED,
                "not on the list");
    free_wire(&w);
}

static void test_nothing_comes_before_the_handshake(void)
{
    GRand *r = g_rand_new_with_seed(1);
    static uint8_t payload[RIO_MAX_MESSAGE];

    for (const uint8_t *op = rio_test_ops; *op; op++) {
        RioLinkConfig c = client_config(), s = server_config();
        Wire w = new_wire(&c, &s);
        RioMessage m;

        rio_test_message(r, *op, &m, payload, 100);
        if (*op != RIO_OP_HELLO && *op != RIO_OP_BYE) {
            give_message(w.server, &m);
            assert_ends(w.server, RIO_NEXT_BAD, RIO_STATUS_PROTOCOL,
                        rio_op_name(*op));
        }
        if (*op != RIO_OP_HELLO_REPLY && *op != RIO_OP_BYE) {
            give_message(w.client, &m);
            assert_ends(w.client, RIO_NEXT_BAD, RIO_STATUS_PROTOCOL,
                        rio_op_name(*op));
        }
        free_wire(&w);
    }
    g_rand_free(r);
}

static void test_a_second_hello_is_bad(void)
{
    Wire w = new_ready();

    give_hello(w.server, RIO_OP_HELLO, 1, 1);
    assert_ends(w.server, RIO_NEXT_BAD, RIO_STATUS_PROTOCOL,
                "HELLO after the handshake");
    give_hello(w.client, RIO_OP_HELLO_REPLY, 1, 1);
    assert_ends(w.client, RIO_NEXT_BAD, RIO_STATUS_PROTOCOL,
                "HELLO_REPLY after the handshake");
    free_wire(&w);
}

static void test_unauthenticated_peer_gets_a_small_buffer(void)
{
    RioLinkConfig s = server_config();
    RioLink *l = rio_link_new(&s, 0);
    uint8_t huge[4] = { 0, 0, 2, 0 };       /* 128 KiB announced */

    give(l, huge, sizeof(huge), 0);
    assert_ends(l, RIO_NEXT_BAD, RIO_STATUS_LIMIT, "131072");
    rio_link_free(l);
}

/* --- messages --- */

static void test_wrong_direction_is_bad(void)
{
    GRand *r = g_rand_new_with_seed(1);
    static uint8_t payload[RIO_MAX_MESSAGE];

    for (const uint8_t *op = rio_test_ops; *op; op++) {
        Wire w = new_ready();
        RioMessage m;

        rio_test_message(r, *op, &m, payload, 100);
        if (!rio_op_from_client(*op)) {
            give_message(w.server, &m);
            assert_ends(w.server, RIO_NEXT_BAD, RIO_STATUS_PROTOCOL,
                        "from a client");
        }
        if (!rio_op_from_server(*op)) {
            give_message(w.client, &m);
            assert_ends(w.client, RIO_NEXT_BAD, RIO_STATUS_PROTOCOL,
                        "from a server");
        }
        free_wire(&w);
    }
    g_rand_free(r);
}

static void test_capability_not_agreed_on_is_bad(void)
{
    static const struct {
        uint8_t op;
        uint64_t cap;
    } needs[] = {
        { RIO_OP_RESUME, RIO_CAP_RESUME },
        { RIO_OP_RESUME_REPLY, RIO_CAP_RESUME },
        { RIO_OP_ROUTE_TRACE, RIO_CAP_ROUTE },
        { RIO_OP_ROUTE_TRACE_REPLY, RIO_CAP_ROUTE },
        { RIO_OP_ANNOUNCE, RIO_CAP_ANNOUNCE },
        { RIO_OP_DOORBELL, RIO_CAP_RECIPES },
        { RIO_OP_RECIPE, RIO_CAP_RECIPES },
        { RIO_OP_DMA_READ, RIO_CAP_DMA },
        { RIO_OP_DMA_READ_REPLY, RIO_CAP_DMA },
        { RIO_OP_DMA_WRITE, RIO_CAP_DMA },
        { RIO_OP_DMA_WRITE_REPLY, RIO_CAP_DMA },
        { RIO_OP_MEM_TABLE, RIO_CAP_SHM },
        { RIO_OP_MEM_TABLE_REPLY, RIO_CAP_SHM },
        { RIO_OP_QUIESCE, RIO_CAP_STATE },
        { RIO_OP_QUIESCE_REPLY, RIO_CAP_STATE },
        { RIO_OP_STATE_SAVE, RIO_CAP_STATE },
        { RIO_OP_STATE_SAVE_REPLY, RIO_CAP_STATE },
        { RIO_OP_STATE_LOAD, RIO_CAP_STATE },
        { RIO_OP_STATE_LOAD_REPLY, RIO_CAP_STATE },
        { RIO_OP_MOVE, RIO_CAP_MOVE },
        { RIO_OP_MOVE_REPLY, RIO_CAP_MOVE },
        { RIO_OP_MOVED, RIO_CAP_MOVE },
        { RIO_OP_MOVE_OFFER, RIO_CAP_MOVE },
        { RIO_OP_MOVE_DATA, RIO_CAP_MOVE },
        { RIO_OP_MOVE_STEP, RIO_CAP_MOVE },
        { RIO_OP_MOVE_STEP_REPLY, RIO_CAP_MOVE },
        { RIO_OP_MEM_UPDATE, RIO_CAP_MEMORY },
        { RIO_OP_TIME_SYNC, RIO_CAP_TIME },
    };
    GRand *r = g_rand_new_with_seed(1);
    static uint8_t payload[RIO_MAX_MESSAGE];

    for (unsigned i = 0; i < G_N_ELEMENTS(needs); i++) {
        RioLinkConfig c = client_config(), s = server_config();
        RioMessage m;
        Wire w;
        RioLink *to;

        for (int agreed = 0; agreed < 2; agreed++) {
            c.caps = s.caps = RIO_CAP_ROUTE |
                              (agreed ? UINT64_MAX : ~needs[i].cap);
            if (!agreed) {
                c.caps = s.caps = UINT64_MAX & ~needs[i].cap;
            }
            w = new_wire(&c, &s);
            shake_hands(&w);
            to = rio_op_from_client(needs[i].op) ? w.server : w.client;
            rio_test_message(r, needs[i].op, &m, payload, 100);
            m.hops = 0;
            give_message(to, &m);
            if (agreed) {
                g_assert_cmpint(next(to, &m), ==, RIO_NEXT_MESSAGE);
                g_assert_cmpuint(m.op, ==, needs[i].op);
            } else {
                assert_ends(to, RIO_NEXT_BAD, RIO_STATUS_PROTOCOL,
                            "without the capability");
            }
            free_wire(&w);
        }
    }
    g_rand_free(r);
}

static void test_hops_and_traces_need_routing(void)
{
    Wire w = new_ready();
    RioMessage m = {
        .op = RIO_OP_REGION_READ, .hops = 1, .seq = 1, .read = { .size = 1 },
    };

    give_message(w.server, &m);
    assert_ends(w.server, RIO_NEXT_BAD, RIO_STATUS_PROTOCOL, "1 hops");
    free_wire(&w);

    w = new_ready();
    m.hops = 0;
    m.flags = RIO_FLAG_TRACE;
    give_message(w.server, &m);
    assert_ends(w.server, RIO_NEXT_BAD, RIO_STATUS_PROTOCOL, "flags 0x04");
    free_wire(&w);
}

static void test_byte_by_byte_delivery(void)
{
    Wire w = new_ready();
    RioSession *s = new_session(RIO_SIDE_CLIENT, 1);
    int got = 0;

    rio_link_add_session(w.client, s);
    for (int i = 0; i < 50; i++) {
        RioMessage m = {
            .op = RIO_OP_REGION_READ, .read = { .size = 4, .offset = i },
        };

        g_assert_true(rio_session_send(s, &m));
    }
    while (rio_link_tx_pending(w.client)) {
        struct iovec iov;
        RioMessage m;

        g_assert_cmpint(rio_link_tx(w.client, &iov, 1), ==, 1);
        give(w.server, iov.iov_base, 1, 0);
        rio_link_tx_done(w.client, 1, 0);
        if (next(w.server, &m) == RIO_NEXT_MESSAGE) {
            g_assert_cmpuint(m.read.offset, ==, got);
            got++;
            g_assert_cmpint(next(w.server, &m), ==, RIO_NEXT_NONE);
        }
    }
    g_assert_cmpint(got, ==, 50);
    g_assert_cmpuint(rio_link_stats(w.client)->tx_messages, ==, 51);
    g_assert_cmpuint(rio_link_stats(w.server)->rx_messages, ==, 51);
    g_assert_cmpuint(rio_link_stats(w.client)->tx_bytes, ==,
                     rio_link_stats(w.server)->rx_bytes);
    rio_session_free(s);
    free_wire(&w);
}

/* Random messages of every kind, in random pieces, arrive as they were */
static void test_any_partition_of_the_stream(void)
{
    RioLinkConfig c = client_config(), s = server_config();
    GRand *r = g_rand_new_with_seed(g_test_rand_int());
    g_autofree uint8_t *stream = g_malloc(64 * 1024 * 1024);
    g_autofree uint8_t *payload = g_malloc(RIO_MAX_MESSAGE);
    size_t n = 0, at = 0;
    RioMessage m;
    Wire w;
    int sent = 0, got = 0;

    c.caps = s.caps = UINT64_MAX;
    w = new_wire(&c, &s);
    shake_hands(&w);
    for (int round = 0; round < 5; round++) {
        for (const uint8_t *op = rio_test_ops + 5; *op; op++) {
            if (!rio_op_from_client(*op)) {
                continue;
            }
            rio_test_message(r, *op, &m, payload, RIO_MAX_DMA);
            n += rio_encode(&m, stream + n, RIO_MAX_MESSAGE);
            sent++;
        }
    }
    while (at < n) {
        size_t part = MIN(n - at, (size_t)g_rand_int_range(r, 1, 40000));

        give(w.server, stream + at, part, 0);
        at += part;
        while (next(w.server, &m) == RIO_NEXT_MESSAGE) {
            got++;
        }
    }
    g_assert_cmpint(got, ==, sent);
    free_wire(&w);
    g_rand_free(r);
}

/* --- memory --- */

static void test_receive_buffer_grows_and_shrinks(void)
{
    static uint8_t data[RIO_MAX_DMA];
    RioLinkConfig c = client_config(), s = server_config();
    Wire w;
    size_t space;
    int64_t next_ms;
    RioError err;
    RioMessage m = {
        .op = RIO_OP_STATE_LOAD, .payload = { data, sizeof(data) },
    };

    c.caps = s.caps = UINT64_MAX;
    w = new_wire(&c, &s);
    shake_hands(&w);
    rio_link_rx_space(w.server, &space);
    g_assert_cmpuint(space, ==, 4096);
    give_message(w.server, &m);
    g_assert_cmpint(next(w.server, &m), ==, RIO_NEXT_MESSAGE);
    g_assert_cmpuint(m.payload.len, ==, sizeof(data));
    for (int i = 0; i < 64 * 5; i++) {
        m = (RioMessage) { .op = RIO_OP_PING };
        give_message(w.server, &m);
        g_assert_cmpint(next(w.server, &m), ==, RIO_NEXT_NONE);
        carry(&w, w.server, w.client);
    }
    rio_link_rx_space(w.server, &space);
    g_assert_cmpuint(space, >, 4096);   /* the next may be as large */
    for (int i = 1; i <= 2; i++) {
        g_assert_true(rio_link_tick(w.server, i * RIO_DEFAULT_KEEPALIVE_MS,
                                    &next_ms, &err));
    }
    rio_link_rx_space(w.server, &space);
    g_assert_cmpuint(space, ==, 4096);
    free_wire(&w);
}

static void test_rest_of_a_large_message_is_received_alone(void)
{
    static uint8_t data[RIO_MAX_DMA];
    RioLinkConfig c = client_config(), s = server_config();
    Wire w;
    static uint8_t buf[RIO_MAX_MESSAGE];
    size_t space, first = 1000;
    uint32_t length;
    RioMessage m = {
        .op = RIO_OP_STATE_LOAD, .payload = { data, sizeof(data) },
    };

    c.caps = s.caps = UINT64_MAX;
    w = new_wire(&c, &s);
    shake_hands(&w);
    length = rio_encode(&m, buf, sizeof(buf));
    give(w.server, buf, first, 0);
    g_assert_cmpint(next(w.server, &m), ==, RIO_NEXT_NONE);
    rio_link_rx_space(w.server, &space);
    g_assert_cmpuint(space, ==, length - first + 4096);
    give(w.server, buf + first, length - first, 0);
    g_assert_cmpint(next(w.server, &m), ==, RIO_NEXT_MESSAGE);
    g_assert_cmpuint(m.payload.len, ==, sizeof(data));
    free_wire(&w);
}

/* What comes after the rest of it is a message of its own */
static void test_message_sent_past_the_queues_is_completed_first(void)
{
    uint8_t ping[RIO_HEADER_SIZE + 8];
    RioMessage m = { .op = RIO_OP_PING };

    for (size_t sent = 1; sent <= sizeof(ping); sent++) {
        Wire w = new_ready();
        uint64_t before = rio_link_stats(w.client)->tx_messages;

        g_assert_cmpuint(rio_encode(&m, ping, sizeof(ping)), ==,
                         sizeof(ping));
        give(w.server, ping, sent, 0);
        rio_link_tx_past(w.client, (RioBytes) { ping, sizeof(ping) }, sent,
                         0);
        g_assert_cmpuint(rio_link_stats(w.client)->tx_messages, ==,
                         before + 1);
        g_assert_true(rio_link_tx_pending(w.client) == (sent < sizeof(ping)));
        rio_link_send(w.client, &m);
        g_assert_cmpuint(carry(&w, w.client, w.server), ==,
                         2 * sizeof(ping) - sent);
        g_assert_cmpint(next(w.server, &(RioMessage) { }), ==, RIO_NEXT_NONE);
        /* Two answers */
        g_assert_cmpuint(carry(&w, w.server, w.client), ==,
                         2 * sizeof(ping));
        free_wire(&w);
    }
}

/* Its rest may be large, and the peer has asked for nothing else */
static void test_ping_while_a_large_message_is_sent_past_the_queues(void)
{
    g_autofree uint8_t *large = g_malloc0(RIO_MAX_MESSAGE);
    RioMessage m = { .op = RIO_OP_PING };
    Wire w = new_ready();

    rio_link_tx_past(w.server, (RioBytes) { large, RIO_MAX_MESSAGE }, 1000,
                     0);
    give_message(w.server, &m);
    g_assert_cmpint(next(w.server, &m), ==, RIO_NEXT_NONE);
    g_assert_cmpint(rio_link_state(w.server), ==, RIO_LINK_READY);
    free_wire(&w);
}

static void test_peer_that_asks_but_does_not_listen(void)
{
    Wire w = new_ready();
    RioMessage m;
    RioError err;
    RioNextResult result = RIO_NEXT_NONE;
    int pings = 0;

    while (result == RIO_NEXT_NONE) {
        m = (RioMessage) { .op = RIO_OP_PING };
        give_message(w.server, &m);
        result = rio_link_next(w.server, &m, &err);
        g_assert_cmpint(++pings, <, 5000);
    }
    g_assert_cmpint(result, ==, RIO_NEXT_BAD);
    g_assert_cmpuint(err.status, ==, RIO_STATUS_LIMIT);
    free_wire(&w);
}

/* --- ending --- */

static void test_bye_carries_its_reason(void)
{
    Wire w = new_ready();
    RioMessage m = { .op = RIO_OP_PING };

    rio_link_bye(w.server, RIO_STATUS_SHUTDOWN, "going home");
    g_assert_cmpint(rio_link_state(w.server), ==, RIO_LINK_CLOSING);
    carry(&w, w.server, w.client);
    assert_ends(w.client, RIO_NEXT_CLOSED, RIO_STATUS_SHUTDOWN, "going home");
    g_assert_cmpint(rio_link_state(w.client), ==, RIO_LINK_CLOSED);
    rio_link_send(w.client, &m);
    g_assert_false(rio_link_tx_pending(w.client));

    give_message(w.server, &m);             /* was on its way */
    g_assert_cmpint(next(w.server, &m), ==, RIO_NEXT_NONE);
    g_assert_false(rio_link_tx_pending(w.server));
    free_wire(&w);
}

static void test_bye_text_is_fit_for_the_wire(void)
{
    g_autofree char *text = g_strnfill(400, 'x');
    Wire w = new_ready();

    memcpy(text, "a\n\x1b[1m\xc2\x85z", 9);
    memcpy(text + 254, "\xc3\xa9", 2);      /* cut between the two */
    rio_link_bye(w.server, RIO_STATUS_OK, text);
    carry(&w, w.server, w.client);
    assert_ends(w.client, RIO_NEXT_CLOSED, RIO_STATUS_OK, "a??[1m??z");
    free_wire(&w);
}

static void test_violation_is_told_to_the_peer(void)
{
    Wire w = new_ready();
    uint8_t garbage[48] = { 48, 0, 0, 0, 0xee };

    give(w.server, garbage, sizeof(garbage), 0);
    assert_ends(w.server, RIO_NEXT_BAD, RIO_STATUS_PROTOCOL, "0xee");
    g_assert_cmpint(rio_link_state(w.server), ==, RIO_LINK_CLOSED);
    assert_ends(w.server, RIO_NEXT_CLOSED, RIO_STATUS_SHUTDOWN, "closed");
    carry(&w, w.server, w.client);
    assert_ends(w.client, RIO_NEXT_CLOSED, RIO_STATUS_PROTOCOL, "0xee");
    free_wire(&w);
}

/* --- keep-alive --- */

static void test_idle_link_lives_for_ever(void)
{
    Wire w = new_ready();
    int64_t client_at, server_at;
    int wakes = 0;
    RioMessage m;

    while (w.now < 1000 * INTERVAL) {
        g_assert_true(tick(w.client, w.now, &client_at));
        carry(&w, w.client, w.server);
        g_assert_cmpint(next(w.server, &m), ==, RIO_NEXT_NONE);
        g_assert_true(tick(w.server, w.now, &server_at));
        carry(&w, w.server, w.client);
        g_assert_cmpint(next(w.client, &m), ==, RIO_NEXT_NONE);
        g_assert_cmpint(client_at, >, w.now);
        w.now = client_at;
        wakes++;
    }
    g_assert_cmpint(wakes, <=, 1001);       /* one timer per interval */
    free_wire(&w);
}

static void test_pings_keep_the_servers_timer_from_firing(void)
{
    Wire w = new_ready();
    int64_t client_at, server_at;
    RioMessage m;
    int pings = 0;

    g_assert_false(rio_link_pinged(w.server));
    g_assert_true(tick(w.server, w.now, &server_at));
    while (w.now < 100 * INTERVAL) {
        g_assert_true(tick(w.client, w.now, &client_at));
        carry(&w, w.client, w.server);
        g_assert_cmpint(next(w.server, &m), ==, RIO_NEXT_NONE);
        if (rio_link_pinged(w.server)) {
            g_assert_true(tick(w.server, w.now, &server_at));
            pings++;
        }
        g_assert_false(rio_link_pinged(w.server));
        carry(&w, w.server, w.client);
        g_assert_cmpint(next(w.client, &m), ==, RIO_NEXT_NONE);
        g_assert_cmpint(client_at, <, server_at);
        w.now = client_at;
    }
    g_assert_cmpint(pings, >=, 98);
    free_wire(&w);
}

static void test_silent_server_is_found_dead(void)
{
    Wire w = new_ready();
    int64_t at = 0, now = 0;
    struct iovec iov[4];
    int pings = 0;

    while (tick(w.client, now, &at)) {
        if (rio_link_tx(w.client, iov, 4) > 0) {
            rio_link_tx_done(w.client, iov[0].iov_len, now);
            pings++;
        }
        now = at;
    }
    g_assert_cmpint(now, ==, RIO_KEEPALIVE_MISSES * INTERVAL);
    g_assert_cmpint(pings, ==, RIO_KEEPALIVE_MISSES - 1);
    free_wire(&w);
}

/* It may be found dead sooner, but a PING has half an interval at least */
static void test_patience_ends_sooner_than_three_intervals(void)
{
    static const struct {
        uint32_t patience, interval;
        int64_t dead;
    } cases[] = {
        { 2 * INTERVAL, INTERVAL, 2 * INTERVAL },
        { 1, INTERVAL, INTERVAL * 3 / 2 },
        { 9 * INTERVAL, INTERVAL, RIO_KEEPALIVE_MISSES * INTERVAL },
        { 2 * INTERVAL, 4 * INTERVAL, 6 * INTERVAL },   /* the server's */
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        RioLinkConfig c = client_config(), s = server_config();
        int64_t at = 0, now = 0;
        Wire w;

        c.patience_ms = cases[i].patience;
        s.keepalive_ms = cases[i].interval;
        w = new_wire(&c, &s);
        shake_hands(&w);
        while (tick(w.client, now, &at)) {
            now = at;
        }
        g_assert_cmpint(now, ==, cases[i].dead);
        free_wire(&w);
    }
}

static void test_silent_client_is_found_dead_one_interval_later(void)
{
    Wire w = new_ready();
    int64_t at = 0, now = 0;
    RioError err = { 0 };

    while (rio_link_tick(w.server, now, &at, &err)) {
        now = at;
        g_assert_false(rio_link_tx_pending(w.server));
    }
    g_assert_cmpint(now, ==, (RIO_KEEPALIVE_MISSES + 1) * INTERVAL);
    g_assert_cmpuint(err.status, ==, RIO_STATUS_TIMEOUT);
    g_assert_nonnull(strstr(err.text, "4000 ms"));
    free_wire(&w);
}

static void test_handshake_has_a_time_limit(void)
{
    RioLinkConfig c = client_config(), s = server_config();
    Wire w = new_wire(&c, &s);
    RioError err = { 0 };
    int64_t at;

    g_assert_true(tick(w.server, RIO_HANDSHAKE_TIMEOUT_MS - 1, &at));
    g_assert_cmpint(at, ==, RIO_HANDSHAKE_TIMEOUT_MS);
    g_assert_false(rio_link_tick(w.server, at, &at, &err));
    g_assert_cmpuint(err.status, ==, RIO_STATUS_TIMEOUT);
    g_assert_nonnull(strstr(err.text, "no HELLO"));
    g_assert_false(tick(w.client, RIO_HANDSHAKE_TIMEOUT_MS, &at));
    free_wire(&w);
}

static void test_closing_has_a_time_limit(void)
{
    Wire w = new_ready();
    int64_t at;

    rio_link_bye(w.server, RIO_STATUS_OK, "");
    g_assert_true(tick(w.server, 7000, &at));
    g_assert_cmpint(at, ==, 7000 + RIO_HANDSHAKE_TIMEOUT_MS);
    g_assert_false(tick(w.server, at, &at));
    free_wire(&w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define T(name, func) g_test_add_func("/remote-io/link/" name, func)
    T("both-learn-who-the-other-is", test_both_learn_who_the_other_is);
    T("capabilities-are-intersected", test_capabilities_are_intersected);
    T("smaller-message-limit-wins", test_smaller_message_limit_wins);
    T("longer-keepalive-wins", test_longer_keepalive_wins);
    T("no-common-version-is-refused-with-both-ranges",
      test_no_common_version_is_refused_with_both_ranges);
    T("newer-peer-is-met-at-our-version",
      test_newer_peer_is_met_at_our_version);
    T("reply-with-a-foreign-version-is-bad",
      test_reply_with_a_foreign_version_is_bad);
    T("admission-decides", test_admission_decides);
    T("nothing-comes-before-the-handshake",
      test_nothing_comes_before_the_handshake);
    T("a-second-hello-is-bad", test_a_second_hello_is_bad);
    T("unauthenticated-peer-gets-a-small-buffer",
      test_unauthenticated_peer_gets_a_small_buffer);
    T("wrong-direction-is-bad", test_wrong_direction_is_bad);
    T("capability-not-agreed-on-is-bad",
      test_capability_not_agreed_on_is_bad);
    T("hops-and-traces-need-routing", test_hops_and_traces_need_routing);
    T("byte-by-byte-delivery", test_byte_by_byte_delivery);
    T("any-partition-of-the-stream", test_any_partition_of_the_stream);
    T("receive-buffer-grows-and-shrinks",
      test_receive_buffer_grows_and_shrinks);
    T("message-sent-past-the-queues-is-completed-first",
      test_message_sent_past_the_queues_is_completed_first);
    T("rest-of-a-large-message-is-received-alone",
      test_rest_of_a_large_message_is_received_alone);
    T("ping-while-a-large-message-is-sent-past-the-queues",
      test_ping_while_a_large_message_is_sent_past_the_queues);
    T("peer-that-asks-but-does-not-listen",
      test_peer_that_asks_but_does_not_listen);
    T("bye-carries-its-reason", test_bye_carries_its_reason);
    T("bye-text-is-fit-for-the-wire", test_bye_text_is_fit_for_the_wire);
    T("violation-is-told-to-the-peer", test_violation_is_told_to_the_peer);
    T("idle-link-lives-for-ever", test_idle_link_lives_for_ever);
    T("pings-keep-the-servers-timer-from-firing",
      test_pings_keep_the_servers_timer_from_firing);
    T("silent-server-is-found-dead", test_silent_server_is_found_dead);
    T("patience-ends-sooner-than-three-intervals",
      test_patience_ends_sooner_than_three_intervals);
    T("silent-client-is-found-dead-one-interval-later",
      test_silent_client_is_found_dead_one_interval_later);
    T("handshake-has-a-time-limit", test_handshake_has_a_time_limit);
    T("closing-has-a-time-limit", test_closing_has_a_time_limit);
    return g_test_run();
}
