/*
 * remote-io session: exported, and imported again
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "net/remote-io/session.h"

static const RioIds ids = { 1, 2, 3, 4 };
static const uint8_t token[RIO_TOKEN_SIZE] = { 5, 6, 7 };

typedef struct Pair {
    RioSession *client;
    RioSession *server;
} Pair;

static Pair new_pair(void)
{
    Pair p = {
        rio_session_new(RIO_SIDE_CLIENT), rio_session_new(RIO_SIDE_SERVER),
    };

    rio_session_start(p.client, &ids, 1, token, RIO_MIN_LOG);
    rio_session_start(p.server, &ids, 1, token, RIO_MIN_LOG);
    return p;
}

static void free_pair(Pair *p)
{
    rio_session_free(p->client);
    rio_session_free(p->server);
}

static void send_read(RioSession *s, uint64_t offset)
{
    RioMessage m = {
        .op = RIO_OP_REGION_READ,
        .read = { .size = 4, .offset = offset },
    };

    g_assert_true(rio_session_send(s, &m));
}

static void send_value(RioSession *s, uint64_t value)
{
    RioMessage m = { .op = RIO_OP_REGION_READ_REPLY, .value = { value } };

    g_assert_true(rio_session_send(s, &m));
}

static RioMessage take(RioSession *s)
{
    const uint8_t *data;
    size_t n = rio_session_tx(s, &data);
    RioMessage m;
    RioError err;

    g_assert_cmpint(rio_decode(data, n, RIO_MAX_MESSAGE, &m, &err), ==,
                    RIO_DECODE_OK);
    rio_session_tx_done(s, m.length);
    return m;
}

static void deliver(RioSession *s, const RioMessage *m)
{
    RioError err;

    g_assert_cmpint(rio_session_receive(s, m, &err), ==,
                    RIO_RECEIVE_DELIVER);
}

static RioSession *import(const GByteArray *bytes, RioSide side,
                          RioError *err)
{
    return rio_session_import((RioBytes) { bytes->data, bytes->len }, side,
                              err);
}

/* The same session in "another process"; the old one is gone */
static void carry(RioSession **s, RioSide side)
{
    g_autoptr(GByteArray) bytes = rio_session_export(*s);
    RioError err;

    g_assert_nonnull(bytes);
    rio_session_free(*s);
    *s = import(bytes, side, &err);
    g_assert_nonnull(*s);
    g_assert_cmpint(rio_session_state(*s), ==, RIO_SESSION_LOST);
}

static void resume(Pair *p, uint32_t epoch)
{
    RioError err;

    g_assert_true(rio_session_resume(p->server, epoch,
                                     rio_session_received(p->client), &err));
    g_assert_true(rio_session_resume(p->client, epoch,
                                     rio_session_received(p->server), &err));
}

/* --- what a copy does --- */

static void test_a_copy_goes_on_where_the_original_was(void)
{
    Pair p = new_pair();
    RioMessage m;

    for (int i = 0; i < 3; i++) {
        send_read(p.client, i);
        m = take(p.client);
        deliver(p.server, &m);
        send_value(p.server, i);
    }
    m = take(p.server);
    deliver(p.client, &m);      /* and two replies are not received */
    send_read(p.client, 3);     /* nor is this request */
    carry(&p.server, RIO_SIDE_SERVER);
    g_assert_cmpmem(rio_session_token(p.server), RIO_TOKEN_SIZE, token,
                    RIO_TOKEN_SIZE);
    g_assert_cmpmem(rio_session_ids(p.server), sizeof(ids), &ids,
                    sizeof(ids));
    g_assert_cmpuint(rio_session_epoch(p.server), ==, 1);
    g_assert_cmpuint(rio_session_sent(p.server), ==, 3);
    resume(&p, 2);
    for (uint64_t i = 1; i < 3; i++) {
        m = take(p.server);
        g_assert_cmpuint(m.value.value, ==, i);
        g_assert_cmpuint(m.epoch, ==, 2);
        deliver(p.client, &m);
    }
    m = take(p.client);
    g_assert_cmpuint(m.read.offset, ==, 3);
    deliver(p.server, &m);
    send_value(p.server, 9);
    m = take(p.server);
    g_assert_cmpuint(m.seq, ==, 4);
    deliver(p.client, &m);
    free_pair(&p);
}

static void test_both_ends_can_be_carried(void)
{
    Pair p = new_pair();
    RioMessage m;

    for (uint32_t epoch = 2; epoch < 40; epoch++) {
        send_read(p.client, epoch);
        if (epoch & 1) {
            m = take(p.client);
            deliver(p.server, &m);
            send_value(p.server, epoch);
        }
        if (epoch & 2) {
            carry(&p.client, RIO_SIDE_CLIENT);
        }
        if (epoch & 4) {
            carry(&p.server, RIO_SIDE_SERVER);
        }
        resume(&p, epoch);
        while (rio_session_tx_bytes(p.client)) {
            m = take(p.client);
            deliver(p.server, &m);
        }
        while (rio_session_tx_bytes(p.server)) {
            m = take(p.server);
            deliver(p.client, &m);
        }
    }
    g_assert_cmpuint(rio_session_received(p.server), ==, 38);
    g_assert_cmpuint(rio_session_received(p.client), ==, 19);
    free_pair(&p);
}

/* What was in the log may have been transmitted after the picture was taken */
static void test_peer_may_have_all_of_the_log(void)
{
    Pair p = new_pair();
    g_autoptr(GByteArray) bytes = NULL;
    RioMessage m;
    RioError err;

    send_value(p.server, 1);
    bytes = rio_session_export(p.server);
    m = take(p.server);
    deliver(p.client, &m);
    rio_session_free(p.server);
    p.server = import(bytes, RIO_SIDE_SERVER, &err);
    g_assert_nonnull(p.server);
    resume(&p, 2);
    g_assert_cmpuint(rio_session_log_bytes(p.server), ==, 0);
    free_pair(&p);
}

/* What is held comes again to the copy, and only there */
static void test_held_messages_come_again(void)
{
    Pair p = new_pair();
    RioMessage m;

    for (uint64_t i = 0; i < 3; i++) {
        send_read(p.client, i);
        m = take(p.client);
        deliver(p.server, &m);
        if (i) {
            rio_session_hold(p.server, m.length);
        }
    }
    carry(&p.server, RIO_SIDE_SERVER);
    g_assert_cmpuint(rio_session_received(p.server), ==, 1);
    g_assert_cmpuint(rio_session_held(p.server), ==, 0);
    resume(&p, 2);
    for (uint64_t i = 1; i < 3; i++) {
        m = take(p.client);
        g_assert_cmpuint(m.read.offset, ==, i);
        deliver(p.server, &m);
    }
    free_pair(&p);
}

static void test_dropped_held_messages_come_again(void)
{
    Pair p = new_pair();
    RioMessage m;

    send_read(p.client, 7);
    m = take(p.client);
    deliver(p.server, &m);
    rio_session_hold(p.server, m.length);
    g_assert_cmpuint(rio_session_received(p.server), ==, 1);
    g_assert_cmpuint(rio_session_acknowledged(p.server), ==, 0);
    rio_session_lost(p.server);
    rio_session_drop_held(p.server);
    g_assert_cmpuint(rio_session_received(p.server), ==, 0);
    g_assert_cmpuint(rio_session_held(p.server), ==, 0);
    resume(&p, 2);
    m = take(p.client);
    g_assert_cmpuint(m.read.offset, ==, 7);
    deliver(p.server, &m);
    free_pair(&p);
}

static void test_other_ids_are_in_the_log_too(void)
{
    static const RioIds others = { 11, 12, 13, 14 };
    Pair p = new_pair();
    RioMessage m;

    send_value(p.server, 1);
    carry(&p.server, RIO_SIDE_SERVER);
    rio_session_set_ids(p.server, &others);
    rio_session_lost(p.client);
    rio_session_set_ids(p.client, &others);
    resume(&p, 2);
    m = take(p.server);
    g_assert_cmpmem(&m.ids, sizeof(others), &others, sizeof(others));
    deliver(p.client, &m);
    send_read(p.client, 1);
    m = take(p.client);
    g_assert_cmpmem(&m.ids, sizeof(others), &others, sizeof(others));
    free_pair(&p);
}

static void test_no_picture_of_what_is_no_session(void)
{
    RioSession *s = rio_session_new(RIO_SIDE_CLIENT);

    g_assert_null(rio_session_export(s));
    rio_session_start(s, &ids, 1, token, RIO_MIN_LOG);
    rio_session_close(s);
    g_assert_null(rio_session_export(s));
    rio_session_free(s);
    s = rio_session_new_relay(&ids, RIO_MIN_LOG);
    g_assert_null(rio_session_export(s));
    rio_session_free(s);
}

/* --- what a reader refuses --- */

/* Some of each: acknowledged and waiting, small and large */
static GByteArray *some_session(void)
{
    static const uint8_t data[300];
    RioSession *s = rio_session_new(RIO_SIDE_SERVER);
    RioMessage m = {
        .op = RIO_OP_DMA_WRITE, .flags = RIO_FLAG_POSTED,
        .dma = { .count = 1, .total = sizeof(data) },
    };
    uint8_t body[RIO_SEGMENT_SIZE + sizeof(data)];
    RioSegment segment = { .address = 4096, .length = sizeof(data) };
    GByteArray *bytes;

    rio_session_start(s, &ids, 1, token, RIO_MIN_LOG);
    send_value(s, 1);
    send_value(s, 2);
    rio_segment_put(body, 0, &segment);
    memcpy(body + RIO_SEGMENT_SIZE, data, sizeof(data));
    m.payload = (RioBytes) { body, sizeof(body) };
    g_assert_true(rio_session_send(s, &m));
    bytes = rio_session_export(s);
    rio_session_free(s);
    return bytes;
}

static void assert_refused(const GByteArray *bytes, uint8_t status,
                           const char *text)
{
    RioError err = { 0 };

    g_assert_null(import(bytes, RIO_SIDE_SERVER, &err));
    g_assert_cmpuint(err.status, ==, status);
    if (!strstr(err.text, text)) {
        g_error("\"%s\" does not say \"%s\"", err.text, text);
    }
}

static void test_every_truncation_is_refused(void)
{
    g_autoptr(GByteArray) all = some_session();

    for (guint len = 0; len < all->len; len++) {
        /* In memory of its own: a byte too far is seen by the sanitizer */
        g_autofree uint8_t *cut = g_memdup2(all->data, len);
        RioError err = { 0 };

        g_assert_null(rio_session_import((RioBytes) { cut, len },
                                         RIO_SIDE_SERVER, &err));
        g_assert_cmpuint(err.status, !=, RIO_STATUS_OK);
    }
}

/*
 * Whatever is taken is a session: it says of itself what was read.  So no bit
 * is without a meaning, and none is changed in silence.
 */
static void test_every_bit_is_judged(void)
{
    g_autoptr(GByteArray) bytes = some_session();
    unsigned refused = 0;

    for (guint bit = 0; bit < bytes->len * 8; bit++) {
        RioError err = { 0 };
        RioSession *s;

        bytes->data[bit / 8] ^= 1 << bit % 8;
        s = import(bytes, RIO_SIDE_SERVER, &err);
        if (s) {
            g_autoptr(GByteArray) again = rio_session_export(s);

            g_assert_cmpmem(again->data, again->len, bytes->data,
                            bytes->len);
            rio_session_free(s);
        } else {
            g_assert_cmpuint(err.status, !=, RIO_STATUS_OK);
            g_assert_cmpuint(err.text[0], !=, '\0');
            refused++;
        }
        bytes->data[bit / 8] ^= 1 << bit % 8;
    }
    /* Values, the token and the data of the DMA may be anything */
    g_assert_cmpuint(refused, >, 600);
}

static void test_random_bytes_are_refused(void)
{
    for (int i = 0; i < 1000; i++) {
        g_autoptr(GByteArray) bytes = some_session();
        guint at = g_test_rand_int_range(0, bytes->len);
        RioSession *s;
        RioError err;

        for (guint n = g_test_rand_int_range(1, 64); n && at < bytes->len;
             n--) {
            bytes->data[at++] = g_test_rand_int_range(0, 256);
        }
        s = import(bytes, RIO_SIDE_SERVER, &err);
        if (s) {
            g_autoptr(GByteArray) again = rio_session_export(s);

            g_assert_cmpmem(again->data, again->len, bytes->data,
                            bytes->len);
        }
        rio_session_free(s);
    }
}

static void test_each_refusal_says_why(void)
{
    /* Offsets are written out: the test is a witness of the specification */
    static const struct {
        unsigned at;
        uint8_t value;
        uint8_t status;
        const char *text;
    } cases[] = {
        { 0, 'X', RIO_STATUS_PROTOCOL, "magic" },
        { 4, 2, RIO_STATUS_VERSION, "version 2, this program reads" },
        { 6, 1, RIO_STATUS_PROTOCOL, "of the client's side" },
        { 6, 3, RIO_STATUS_PROTOCOL, "side 3" },
        { 7, 1, RIO_STATUS_PROTOCOL, "reserved" },
        { 8, 0, RIO_STATUS_PROTOCOL, "ids 0, 2, 3, 4" },
        { 8, 9, RIO_STATUS_PROTOCOL, "message 1 in the log" },
        { 24, 0, RIO_STATUS_PROTOCOL, "epoch 0" },
        { 24, 2, RIO_STATUS_PROTOCOL, "epoch 1" },
        { 29, 0, RIO_STATUS_PROTOCOL, "log limit of 0" },
        { 31, 0x80, RIO_STATUS_PROTOCOL, "log limit of" },
        { 48, 4, RIO_STATUS_PROTOCOL, "sent were 4" },
        { 55, 0x80, RIO_STATUS_PROTOCOL, "that sent" },
        { 56, 4, RIO_STATUS_PROTOCOL, "of which 4 acknowledged" },
        { 56, 1, RIO_STATUS_PROTOCOL, "message 2 in the log" },
        { 71, 0x80, RIO_STATUS_PROTOCOL, "received" },
        { 72, 0, RIO_STATUS_PROTOCOL, "are there" },
        { 76, 1, RIO_STATUS_PROTOCOL, "reserved" },
        { 80 + 4, RIO_OP_REGION_READ, RIO_STATUS_PROTOCOL,
          "REGION_READ: body" },
        { 80 + 40, 1, RIO_STATUS_PROTOCOL, "ack 1" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GByteArray) bytes = some_session();

        bytes->data[cases[i].at] = cases[i].value;
        assert_refused(bytes, cases[i].status, cases[i].text);
    }
}

static void test_log_over_its_limit_is_refused(void)
{
    g_autoptr(GByteArray) bytes = NULL;
    RioSession *s = rio_session_new(RIO_SIDE_SERVER);

    rio_session_start(s, &ids, 1, token, 2 * RIO_MIN_LOG);
    while (rio_session_log_bytes(s) <= RIO_MIN_LOG) {
        send_value(s, 1);
    }
    bytes = rio_session_export(s);
    rio_session_free(s);
    g_assert_cmpuint(bytes->data[29], ==, 2 * RIO_MIN_LOG >> 8);
    bytes->data[29] = RIO_MIN_LOG >> 8;
    assert_refused(bytes, RIO_STATUS_LIMIT, "its limit is 16384");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define T(name, func) g_test_add_func("/remote-io/session-export/" name, func)
    T("a-copy-goes-on-where-the-original-was",
      test_a_copy_goes_on_where_the_original_was);
    T("both-ends-can-be-carried", test_both_ends_can_be_carried);
    T("peer-may-have-all-of-the-log", test_peer_may_have_all_of_the_log);
    T("held-messages-come-again", test_held_messages_come_again);
    T("dropped-held-messages-come-again",
      test_dropped_held_messages_come_again);
    T("other-ids-are-in-the-log-too", test_other_ids_are_in_the_log_too);
    T("no-picture-of-what-is-no-session",
      test_no_picture_of_what_is_no_session);
    T("every-truncation-is-refused", test_every_truncation_is_refused);
    T("every-bit-is-judged", test_every_bit_is_judged);
    T("random-bytes-are-refused", test_random_bytes_are_refused);
    T("each-refusal-says-why", test_each_refusal_says_why);
    T("log-over-its-limit-is-refused", test_log_over_its_limit_is_refused);
    return g_test_run();
}
