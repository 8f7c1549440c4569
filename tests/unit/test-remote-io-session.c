/*
 * remote-io session: numbers, acknowledgements, the log, resumption
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "net/remote-io/session.h"

#define LOG_LIMIT 65536

static const RioIds ids = { 1, 2, 3, 4 };
static const uint8_t token[RIO_TOKEN_SIZE] = { 5, 6, 7 };

typedef struct Pair {
    RioSession *client;
    RioSession *server;
} Pair;

static Pair new_pair(uint32_t log_limit)
{
    Pair p = {
        rio_session_new(RIO_SIDE_CLIENT), rio_session_new(RIO_SIDE_SERVER),
    };

    rio_session_start(p.client, &ids, 1, token, log_limit);
    rio_session_start(p.server, &ids, 1, token, log_limit);
    return p;
}

static void free_pair(Pair *p)
{
    rio_session_free(p->client);
    rio_session_free(p->server);
}

static bool send_read(RioSession *s, uint64_t offset)
{
    RioMessage m = {
        .op = RIO_OP_REGION_READ,
        .read = { .size = 4, .offset = offset },
    };

    return rio_session_send(s, &m);
}

static bool send_value(RioSession *s, uint64_t value)
{
    RioMessage m = { .op = RIO_OP_REGION_READ_REPLY, .value = { value } };

    return rio_session_send(s, &m);
}

static bool post(RioSession *s, uint64_t offset, uint64_t value)
{
    RioWrite w = { .size = 8, .offset = offset, .value = value };

    return rio_session_post(s, &w);
}

/* Take the next message that @s wants to transmit */
static RioMessage take(RioSession *s)
{
    static uint8_t copy[RIO_MAX_MESSAGE];   /* payloads outlive the log */
    const uint8_t *data;
    size_t n = rio_session_tx(s, &data);
    RioMessage m;
    RioError err;

    memcpy(copy, data, MIN(n, sizeof(copy)));
    g_assert_cmpint(rio_decode(copy, n, RIO_MAX_MESSAGE, &m, &err), ==,
                    RIO_DECODE_OK);
    g_assert_cmpuint(rio_session_tx_done(s, m.length), ==, 0);
    return m;
}

static void assert_receives(RioSession *s, const RioMessage *m,
                            RioReceiveResult result)
{
    RioError err = { 0 };

    g_assert_cmpint(rio_session_receive(s, m, &err), ==, result);
    g_assert_cmpint(err.status != 0, ==, result == RIO_RECEIVE_BAD);
}

static void assert_bad(RioSession *s, const RioMessage *m, uint8_t status,
                       const char *text)
{
    RioError err = { 0 };

    g_assert_cmpint(rio_session_receive(s, m, &err), ==, RIO_RECEIVE_BAD);
    g_assert_cmpuint(err.status, ==, status);
    if (!strstr(err.text, text)) {
        g_error("\"%s\" does not say \"%s\"", err.text, text);
    }
}

/* --- numbers --- */

static void test_messages_are_stamped(void)
{
    Pair p = new_pair(LOG_LIMIT);

    for (uint64_t i = 1; i <= 3; i++) {
        RioMessage m;

        g_assert_true(send_read(p.client, i));
        m = take(p.client);
        g_assert_cmpuint(m.seq, ==, i);
        g_assert_cmpuint(m.ack, ==, 0);
        g_assert_cmpuint(m.epoch, ==, 1);
        g_assert_cmpuint(m.ids.client, ==, 1);
        g_assert_cmpuint(m.ids.vm, ==, 2);
        g_assert_cmpuint(m.ids.server, ==, 3);
        g_assert_cmpuint(m.ids.module, ==, 4);
        assert_receives(p.server, &m, RIO_RECEIVE_DELIVER);
    }
    g_assert_cmpuint(rio_session_received(p.server), ==, 3);
    g_assert_cmpuint(rio_session_sent(p.client), ==, 3);
    free_pair(&p);
}

static void test_reply_acknowledges_its_request(void)
{
    Pair p = new_pair(LOG_LIMIT);
    RioMessage m;

    g_assert_true(send_read(p.client, 0));
    m = take(p.client);
    assert_receives(p.server, &m, RIO_RECEIVE_DELIVER);
    g_assert_true(send_value(p.server, 7));
    m = take(p.server);
    g_assert_cmpuint(m.ack, ==, 1);
    assert_receives(p.client, &m, RIO_RECEIVE_DELIVER);
    g_assert_cmpuint(rio_session_acked(p.client), ==, 1);
    g_assert_cmpuint(rio_session_log_bytes(p.client), ==, 0);
    g_assert_cmpuint(rio_session_log_bytes(p.server), >, 0);
    free_pair(&p);
}

static void test_duplicates_are_dropped(void)
{
    Pair p = new_pair(LOG_LIMIT);
    RioMessage m;

    g_assert_true(send_read(p.client, 0));
    m = take(p.client);
    assert_receives(p.server, &m, RIO_RECEIVE_DELIVER);
    assert_receives(p.server, &m, RIO_RECEIVE_DROP);
    g_assert_cmpuint(rio_session_received(p.server), ==, 1);
    free_pair(&p);
}

static void test_gaps_are_bad(void)
{
    Pair p = new_pair(LOG_LIMIT);
    RioMessage m;

    g_assert_true(send_read(p.client, 0));
    g_assert_true(send_read(p.client, 1));
    take(p.client);
    m = take(p.client);
    assert_bad(p.server, &m, RIO_STATUS_PROTOCOL, "expected 1");
    g_assert_cmpuint(rio_session_received(p.server), ==, 0);
    free_pair(&p);
}

static void test_wrong_direction_is_bad(void)
{
    Pair p = new_pair(LOG_LIMIT);
    RioMessage m;

    g_assert_true(send_read(p.client, 0));
    m = take(p.client);
    assert_bad(p.client, &m, RIO_STATUS_PROTOCOL, "from the server");
    g_assert_true(send_value(p.server, 0));
    m = take(p.server);
    assert_bad(p.server, &m, RIO_STATUS_PROTOCOL, "from the client");
    free_pair(&p);
}

static void test_epochs_are_compared(void)
{
    Pair p = new_pair(LOG_LIMIT);
    RioMessage m;

    g_assert_true(send_read(p.client, 0));
    m = take(p.client);
    m.epoch = 0;
    assert_bad(p.server, &m, RIO_STATUS_STALE_EPOCH, "epoch 0");
    m.epoch = 2;
    assert_bad(p.server, &m, RIO_STATUS_PROTOCOL, "epoch 2");
    free_pair(&p);
}

static void test_states_that_receive_nothing(void)
{
    RioSession *s = rio_session_new(RIO_SIDE_SERVER);
    RioMessage m = { .op = RIO_OP_REGION_READ, .seq = 1 };

    assert_bad(s, &m, RIO_STATUS_PROTOCOL, "new");
    rio_session_start(s, &ids, 1, token, LOG_LIMIT);
    rio_session_lost(s);
    m.epoch = 1;
    assert_bad(s, &m, RIO_STATUS_PROTOCOL, "lost");
    rio_session_close(s);
    assert_receives(s, &m, RIO_RECEIVE_DROP);
    rio_session_free(s);
}

static void test_control_is_delivered_without_number(void)
{
    Pair p = new_pair(LOG_LIMIT);
    RioMessage m = { .op = RIO_OP_DETACH, .epoch = 1 };

    assert_receives(p.server, &m, RIO_RECEIVE_DELIVER);
    m.op = RIO_OP_ACK;
    assert_receives(p.server, &m, RIO_RECEIVE_DROP);
    g_assert_cmpuint(rio_session_received(p.server), ==, 0);
    free_pair(&p);
}

/* --- acknowledgements --- */

static void test_ack_of_the_future_is_bad(void)
{
    Pair p = new_pair(LOG_LIMIT);
    RioMessage m = { .op = RIO_OP_ACK, .epoch = 1, .ack = 1 };

    assert_bad(p.client, &m, RIO_STATUS_PROTOCOL, "sent were 0");
    g_assert_true(send_read(p.client, 0));
    /* in the log, but not a byte of it was transmitted */
    assert_bad(p.client, &m, RIO_STATUS_PROTOCOL, "sent were 0");
    g_assert_cmpuint(rio_session_tx_done(p.client, 10), ==, 54);
    assert_bad(p.client, &m, RIO_STATUS_PROTOCOL, "sent were 0");
    g_assert_cmpuint(rio_session_tx_done(p.client, 54), ==, 0);
    assert_receives(p.client, &m, RIO_RECEIVE_DROP);
    m.ack = 2;
    assert_bad(p.client, &m, RIO_STATUS_PROTOCOL, "sent were 1");
    free_pair(&p);
}

static void test_old_ack_changes_nothing(void)
{
    Pair p = new_pair(LOG_LIMIT);
    RioMessage m = { .op = RIO_OP_ACK, .epoch = 1, .ack = 2 };

    for (int i = 0; i < 3; i++) {
        g_assert_true(send_read(p.client, i));
        take(p.client);
    }
    assert_receives(p.client, &m, RIO_RECEIVE_DROP);
    m.ack = 1;
    assert_receives(p.client, &m, RIO_RECEIVE_DROP);
    g_assert_cmpuint(rio_session_acked(p.client), ==, 2);
    g_assert_cmpuint(rio_session_log_bytes(p.client), ==, 64);
    free_pair(&p);
}

static void test_ack_is_wanted_after_many_messages(void)
{
    Pair p = new_pair(RIO_DEFAULT_LOG);

    for (unsigned i = 1; i <= RIO_ACK_MESSAGES; i++) {
        RioMessage m;

        g_assert_false(rio_session_wants_ack(p.server));
        g_assert_true(send_read(p.client, i));
        m = take(p.client);
        assert_receives(p.server, &m, RIO_RECEIVE_DELIVER);
    }
    g_assert_true(rio_session_wants_ack(p.server));
    g_assert_true(send_value(p.server, 0));
    g_assert_false(rio_session_wants_ack(p.server));
    free_pair(&p);
}

/* The larger the log, the fewer acknowledgements; each has @bytes */
static void check_ack_after(uint32_t log_limit, uint32_t bytes)
{
    Pair p = new_pair(log_limit);
    uint32_t sent = 0;

    while (sent < bytes) {
        RioMessage m;

        g_assert_false(rio_session_wants_ack(p.server));
        for (int i = 0; i < 100; i++) {
            g_assert_true(post(p.client, i, i));
        }
        m = take(p.client);
        g_assert_cmpuint(m.batch.count, ==, 100);
        assert_receives(p.server, &m, RIO_RECEIVE_DELIVER);
        sent += m.length;
    }
    g_assert_true(rio_session_wants_ack(p.server));
    free_pair(&p);
}

static void test_ack_is_rarer_where_the_log_is_large(void)
{
    check_ack_after(RIO_MIN_LOG, RIO_MIN_LOG / 4);
    check_ack_after(8 * RIO_ACK_BYTES, RIO_ACK_BYTES);
    check_ack_after(32 * RIO_ACK_BYTES, RIO_ACK_BYTES);
    check_ack_after(64 * RIO_ACK_BYTES, 2 * RIO_ACK_BYTES);
}

static void test_ack_is_wanted_after_many_bytes(void)
{
    Pair p = new_pair(RIO_MIN_LOG);
    RioMessage m;

    for (int i = 0; i < 4 * 70; i++) {
        g_assert_true(post(p.client, i, i));
        if (i % 70 == 69) {
            m = take(p.client);
            g_assert_cmpuint(m.batch.count, ==, 70);
            assert_receives(p.server, &m, RIO_RECEIVE_DELIVER);
            g_assert_cmpint(rio_session_wants_ack(p.server), ==, i >= 209);
        }
    }
    rio_session_make_ack(p.server, &m);
    g_assert_false(rio_session_wants_ack(p.server));
    g_assert_cmpuint(m.op, ==, RIO_OP_ACK);
    g_assert_cmpuint(m.ack, ==, 4);
    g_assert_cmpuint(m.seq, ==, 0);
    assert_receives(p.client, &m, RIO_RECEIVE_DROP);
    g_assert_cmpuint(rio_session_log_bytes(p.client), ==, 0);
    free_pair(&p);
}

/* --- the log --- */

static void test_full_log_refuses_until_acknowledged(void)
{
    Pair p = new_pair(RIO_MIN_LOG);
    RioMessage m = { .op = RIO_OP_ACK, .epoch = 1, .ack = 1 };
    unsigned sent = 0;

    while (send_read(p.client, sent)) {
        take(p.client);
        sent++;
    }
    g_assert_cmpuint(sent, ==, RIO_MIN_LOG / 64);
    g_assert_cmpuint(rio_session_log_bytes(p.client), ==, RIO_MIN_LOG);
    g_assert_false(send_read(p.client, 0));
    g_assert_cmpuint(rio_session_sent(p.client), ==, sent);
    assert_receives(p.client, &m, RIO_RECEIVE_DROP);
    g_assert_true(send_read(p.client, 0));
    g_assert_false(send_read(p.client, 0));
    free_pair(&p);
}

static void test_log_keeps_messages_over_growth_and_compaction(void)
{
    Pair p = new_pair(LOG_LIMIT);
    GRand *r = g_rand_new_with_seed(g_test_rand_int());
    uint64_t next = 0, delivered = 0;

    for (int i = 0; i < 20000; i++) {
        if (g_rand_boolean(r)) {
            next += send_read(p.client, next + 1);
        } else if (rio_session_tx_bytes(p.client)) {
            RioMessage m = take(p.client);

            assert_receives(p.server, &m, RIO_RECEIVE_DELIVER);
            g_assert_cmpuint(m.read.offset, ==, ++delivered);
        }
        if (g_rand_int_range(r, 0, 50) == 0) {
            RioMessage m;

            rio_session_make_ack(p.server, &m);
            assert_receives(p.client, &m, RIO_RECEIVE_DROP);
        }
    }
    g_assert_cmpuint(delivered, >, 5000);
    g_rand_free(r);
    free_pair(&p);
}

static void test_large_message_is_taken_by_an_empty_log(void)
{
    static const uint8_t data[RIO_MAX_DMA];
    Pair p = new_pair(RIO_MIN_LOG);
    RioMessage m = {
        .op = RIO_OP_DMA_READ_REPLY,
        .payload = { data, sizeof(data) },
    };

    g_assert_true(rio_session_send(p.client, &m));
    g_assert_false(send_read(p.client, 0));
    take(p.client);
    m = (RioMessage) { .op = RIO_OP_ACK, .epoch = 1, .ack = 1 };
    assert_receives(p.client, &m, RIO_RECEIVE_DROP);
    g_assert_true(send_read(p.client, 0));
    free_pair(&p);
}

static void test_states_that_send_nothing(void)
{
    RioSession *s = rio_session_new(RIO_SIDE_CLIENT);
    const uint8_t *data;

    g_assert_false(send_read(s, 0));
    g_assert_false(post(s, 0, 0));
    rio_session_start(s, &ids, 1, token, LOG_LIMIT);
    g_assert_true(send_read(s, 0));
    rio_session_close(s);
    g_assert_false(send_read(s, 0));
    g_assert_false(post(s, 0, 0));
    g_assert_cmpuint(rio_session_tx(s, &data), ==, 0);
    g_assert_cmpuint(rio_session_log_bytes(s), ==, 0);
    rio_session_free(s);
}

static void test_partial_transmission_is_reported(void)
{
    Pair p = new_pair(LOG_LIMIT);
    const uint8_t *data;

    g_assert_true(send_read(p.client, 0));
    g_assert_true(send_value(p.client, 0));     /* 64 and 56 bytes */
    g_assert_cmpuint(rio_session_tx(p.client, &data), ==, 120);
    g_assert_cmpuint(rio_session_tx_done(p.client, 1), ==, 63);
    g_assert_cmpuint(rio_session_tx(p.client, &data), ==, 119);
    g_assert_cmpuint(rio_session_tx_done(p.client, 63), ==, 0);
    g_assert_cmpuint(rio_session_tx_done(p.client, 20), ==, 36);
    g_assert_cmpuint(rio_session_tx_bytes(p.client), ==, 36);
    g_assert_cmpuint(rio_session_tx_done(p.client, 36), ==, 0);
    g_assert_cmpuint(rio_session_tx(p.client, &data), ==, 0);
    free_pair(&p);
}

/* --- merged writes --- */

static void test_waiting_posts_become_one_batch(void)
{
    Pair p = new_pair(LOG_LIMIT);
    RioMessage m;

    for (int i = 0; i < 5; i++) {
        g_assert_true(post(p.client, i, i * 10));
    }
    g_assert_cmpuint(rio_session_sent(p.client), ==, 1);
    m = take(p.client);
    g_assert_cmpuint(m.op, ==, RIO_OP_REGION_WRITE_BATCH);
    g_assert_cmpuint(m.batch.count, ==, 5);
    for (int i = 0; i < 5; i++) {
        RioWrite w = rio_batch_get(&m, i);

        g_assert_cmpuint(w.offset, ==, i);
        g_assert_cmpuint(w.value, ==, i * 10);
    }
    assert_receives(p.server, &m, RIO_RECEIVE_DELIVER);
    free_pair(&p);
}

static void test_one_post_stays_a_write(void)
{
    Pair p = new_pair(LOG_LIMIT);
    RioMessage m;

    g_assert_true(post(p.client, 3, 4));
    m = take(p.client);
    g_assert_cmpuint(m.op, ==, RIO_OP_REGION_WRITE);
    g_assert_cmpuint(m.flags, ==, RIO_FLAG_POSTED);
    g_assert_cmpuint(m.write.offset, ==, 3);
    g_assert_cmpuint(m.write.value, ==, 4);
    free_pair(&p);
}

static void test_full_batch_begins_the_next(void)
{
    Pair p = new_pair(LOG_LIMIT);
    RioMessage m;

    for (unsigned i = 0; i < RIO_MAX_BATCH + 2; i++) {
        g_assert_true(post(p.client, i, i));
    }
    m = take(p.client);
    g_assert_cmpuint(m.batch.count, ==, RIO_MAX_BATCH);
    m = take(p.client);
    g_assert_cmpuint(m.batch.count, ==, 2);
    g_assert_cmpuint(rio_batch_get(&m, 0).offset, ==, RIO_MAX_BATCH);
    free_pair(&p);
}

static void test_begun_or_followed_write_is_not_merged(void)
{
    Pair p = new_pair(LOG_LIMIT);
    RioMessage m;

    g_assert_true(post(p.client, 1, 1));
    g_assert_cmpuint(rio_session_tx_done(p.client, 1), ==, 71);
    g_assert_true(post(p.client, 2, 2));        /* the first has begun */
    g_assert_cmpuint(rio_session_sent(p.client), ==, 2);
    g_assert_cmpuint(rio_session_tx_done(p.client, 71), ==, 0);
    g_assert_true(send_read(p.client, 3));
    g_assert_true(post(p.client, 4, 4));        /* a read lies between */
    g_assert_cmpuint(rio_session_sent(p.client), ==, 4);
    m = take(p.client);
    g_assert_cmpuint(m.write.offset, ==, 2);
    m = take(p.client);
    g_assert_cmpuint(m.op, ==, RIO_OP_REGION_READ);
    m = take(p.client);
    g_assert_cmpuint(m.write.offset, ==, 4);
    free_pair(&p);
}

static void test_write_that_waits_for_a_reply_is_not_merged(void)
{
    Pair p = new_pair(LOG_LIMIT);
    RioMessage m = { .op = RIO_OP_REGION_WRITE, .write = { .size = 4 } };

    g_assert_true(rio_session_send(p.client, &m));
    g_assert_true(post(p.client, 0, 0));
    g_assert_cmpuint(rio_session_sent(p.client), ==, 2);
    m = take(p.client);
    g_assert_cmpuint(m.flags, ==, 0);
    free_pair(&p);
}

static void test_merging_respects_the_limit(void)
{
    Pair p = new_pair(RIO_MIN_LOG);

    while (post(p.client, 0, 0)) {
        g_assert_cmpuint(rio_session_log_bytes(p.client), <=, RIO_MIN_LOG);
    }
    g_assert_cmpuint(rio_session_log_bytes(p.client), >,
                     RIO_MIN_LOG - RIO_BATCH_FIRST);
    free_pair(&p);
}

/* --- resumption --- */

static void test_resume_sends_again_what_the_peer_lacks(void)
{
    Pair p = new_pair(LOG_LIMIT);
    RioError err;

    for (int i = 1; i <= 5; i++) {
        g_assert_true(send_read(p.client, i));
        take(p.client);
    }
    rio_session_lost(p.client);
    g_assert_cmpint(rio_session_state(p.client), ==, RIO_SESSION_LOST);
    g_assert_true(send_read(p.client, 6));      /* logged meanwhile */
    g_assert_true(rio_session_resume(p.client, 2, 3, &err));
    g_assert_cmpint(rio_session_state(p.client), ==, RIO_SESSION_LIVE);
    for (int i = 4; i <= 6; i++) {
        RioMessage m = take(p.client);

        g_assert_cmpuint(m.seq, ==, i);
        g_assert_cmpuint(m.read.offset, ==, i);
        g_assert_cmpuint(m.epoch, ==, 2);
    }
    g_assert_cmpuint(rio_session_tx_bytes(p.client), ==, 0);
    free_pair(&p);
}

static void test_resume_completes_no_half_message(void)
{
    Pair p = new_pair(LOG_LIMIT);
    RioMessage m;
    RioError err;

    g_assert_true(send_read(p.client, 1));
    g_assert_cmpuint(rio_session_tx_done(p.client, 30), ==, 34);
    rio_session_lost(p.client);
    g_assert_true(rio_session_resume(p.client, 2, 0, &err));
    m = take(p.client);                         /* from its first byte */
    g_assert_cmpuint(m.seq, ==, 1);
    free_pair(&p);
}

static void test_impossible_resume_changes_nothing(void)
{
    static const struct {
        uint32_t epoch;
        uint64_t received;
        uint8_t status;
    } cases[] = {
        { 1, 1, RIO_STATUS_STALE_EPOCH },
        { 0, 1, RIO_STATUS_STALE_EPOCH },
        { 2, 0, RIO_STATUS_PROTOCOL },          /* 1 was acknowledged */
        { 2, 3, RIO_STATUS_PROTOCOL },          /* 3 was never sent */
        { 2, UINT64_MAX, RIO_STATUS_PROTOCOL },
    };
    Pair p = new_pair(LOG_LIMIT);
    RioMessage ack = { .op = RIO_OP_ACK, .epoch = 1, .ack = 1 };

    g_assert_true(send_read(p.client, 1));
    g_assert_true(send_read(p.client, 2));
    take(p.client);
    take(p.client);
    g_assert_true(send_read(p.client, 3));
    assert_receives(p.client, &ack, RIO_RECEIVE_DROP);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        RioError err = { 0 };

        g_assert_false(rio_session_resume(p.client, cases[i].epoch,
                                          cases[i].received, &err));
        g_assert_cmpuint(err.status, ==, cases[i].status);
        g_assert_cmpuint(rio_session_epoch(p.client), ==, 1);
        g_assert_cmpuint(rio_session_log_bytes(p.client), ==, 128);
    }
    free_pair(&p);
}

/* It had not kept message 3 yet when it resumed; it has it nevertheless */
static void test_peer_that_named_less_may_name_more_later(void)
{
    Pair p = new_pair(LOG_LIMIT);
    RioMessage ack = { .op = RIO_OP_ACK, .epoch = 2, .ack = 3 };
    RioError err;

    for (int i = 1; i <= 3; i++) {
        g_assert_true(send_read(p.client, i));
        take(p.client);
    }
    g_assert_true(rio_session_resume(p.client, 2, 2, &err));
    assert_receives(p.client, &ack, RIO_RECEIVE_DROP);
    g_assert_cmpuint(rio_session_acked(p.client), ==, 2);
    g_assert_cmpuint(take(p.client).seq, ==, 3);        /* once more */
    g_assert_true(rio_session_resume(p.client, 3, 2, &err));
    g_assert_true(rio_session_resume(p.client, 4, 3, &err));
    g_assert_cmpuint(rio_session_log_bytes(p.client), ==, 0);
    ack.epoch = 4;
    ack.ack = 4;                                        /* never sent */
    assert_receives(p.client, &ack, RIO_RECEIVE_BAD);
    free_pair(&p);
}

static void test_resume_of_a_closed_session_is_refused(void)
{
    Pair p = new_pair(LOG_LIMIT);
    RioError err = { 0 };

    rio_session_close(p.client);
    g_assert_false(rio_session_resume(p.client, 2, 0, &err));
    g_assert_cmpuint(err.status, ==, RIO_STATUS_UNKNOWN_SESSION);
    free_pair(&p);
}

static void test_takeover_fences_the_old_epoch(void)
{
    Pair p = new_pair(LOG_LIMIT);
    RioMessage late;
    RioError err;

    g_assert_true(send_read(p.client, 1));
    late = take(p.client);
    g_assert_true(rio_session_resume(p.server, 2, 0, &err));
    assert_bad(p.server, &late, RIO_STATUS_STALE_EPOCH, "epoch 1");
    g_assert_cmpuint(rio_session_received(p.server), ==, 0);
    free_pair(&p);
}

static void test_token_and_ids_are_kept(void)
{
    Pair p = new_pair(LOG_LIMIT);

    g_assert_cmpmem(rio_session_token(p.client), RIO_TOKEN_SIZE, token,
                    RIO_TOKEN_SIZE);
    g_assert_cmpmem(rio_session_ids(p.client), sizeof(ids), &ids,
                    sizeof(ids));
    free_pair(&p);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define T(name, func) g_test_add_func("/remote-io/session/" name, func)
    T("messages-are-stamped", test_messages_are_stamped);
    T("reply-acknowledges-its-request", test_reply_acknowledges_its_request);
    T("duplicates-are-dropped", test_duplicates_are_dropped);
    T("gaps-are-bad", test_gaps_are_bad);
    T("wrong-direction-is-bad", test_wrong_direction_is_bad);
    T("epochs-are-compared", test_epochs_are_compared);
    T("states-that-receive-nothing", test_states_that_receive_nothing);
    T("control-is-delivered-without-number",
      test_control_is_delivered_without_number);
    T("ack-of-the-future-is-bad", test_ack_of_the_future_is_bad);
    T("old-ack-changes-nothing", test_old_ack_changes_nothing);
    T("ack-is-wanted-after-many-messages",
      test_ack_is_wanted_after_many_messages);
    T("ack-is-wanted-after-many-bytes", test_ack_is_wanted_after_many_bytes);
    T("ack-is-rarer-where-the-log-is-large",
      test_ack_is_rarer_where_the_log_is_large);
    T("full-log-refuses-until-acknowledged",
      test_full_log_refuses_until_acknowledged);
    T("log-keeps-messages-over-growth-and-compaction",
      test_log_keeps_messages_over_growth_and_compaction);
    T("large-message-is-taken-by-an-empty-log",
      test_large_message_is_taken_by_an_empty_log);
    T("states-that-send-nothing", test_states_that_send_nothing);
    T("partial-transmission-is-reported",
      test_partial_transmission_is_reported);
    T("waiting-posts-become-one-batch", test_waiting_posts_become_one_batch);
    T("one-post-stays-a-write", test_one_post_stays_a_write);
    T("full-batch-begins-the-next", test_full_batch_begins_the_next);
    T("begun-or-followed-write-is-not-merged",
      test_begun_or_followed_write_is_not_merged);
    T("write-that-waits-for-a-reply-is-not-merged",
      test_write_that_waits_for_a_reply_is_not_merged);
    T("merging-respects-the-limit", test_merging_respects_the_limit);
    T("resume-sends-again-what-the-peer-lacks",
      test_resume_sends_again_what_the_peer_lacks);
    T("resume-completes-no-half-message",
      test_resume_completes_no_half_message);
    T("impossible-resume-changes-nothing",
      test_impossible_resume_changes_nothing);
    T("peer-that-named-less-may-name-more-later",
      test_peer_that_named_less_may_name_more_later);
    T("resume-of-a-closed-session-is-refused",
      test_resume_of_a_closed_session_is_refused);
    T("takeover-fences-the-old-epoch", test_takeover_fences_the_old_epoch);
    T("token-and-ids-are-kept", test_token_and_ids_are_kept);
    return g_test_run();
}
