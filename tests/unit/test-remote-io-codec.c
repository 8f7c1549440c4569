/*
 * remote-io codec: every message, every truncation, every header
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "remote-io-codec.h"

#define ROUNDS 200

/* --- round trips --- */

static void test_round_trip(void)
{
    GRand *r = new_rand();

    for (const uint8_t *op = rio_test_ops; *op; op++) {
        for (int i = 0; i < ROUNDS; i++) {
            RioMessage m, back;
            RioError err;
            size_t n;

            rio_test_message(r, *op, &m, payload, RIO_MAX_DMA);
            n = rio_encode(&m, buf, sizeof(buf));
            g_assert_cmpuint(n, ==, rio_encoded_size(&m));
            if (rio_decode(buf, n, RIO_MAX_MESSAGE, &back, &err)) {
                g_error("%s refused: %s", rio_op_name(*op), err.text);
            }
            g_assert_cmpuint(back.length, ==, n);
            rio_test_assert_same(&m, &back);
        }
    }
    g_rand_free(r);
}

static void test_bytes_behind_are_not_touched(void)
{
    GRand *r = new_rand();

    for (const uint8_t *op = rio_test_ops; *op; op++) {
        RioMessage m;
        size_t n = encode_valid(r, *op, &m);

        memset(buf + n, 0xa5, 64);
        assert_ok(n + 64);
        g_assert_cmpuint(rio_encode(&m, buf, n), ==, n);
        for (int i = 0; i < 64; i++) {
            g_assert_cmphex(buf[n + i], ==, 0xa5);
        }
    }
    g_rand_free(r);
}

static void test_small_buffer_is_refused(void)
{
    GRand *r = new_rand();

    for (const uint8_t *op = rio_test_ops; *op; op++) {
        RioMessage m;
        size_t n = encode_valid(r, *op, &m);

        for (size_t room = 0; room < n; room++) {
            g_assert_cmpuint(rio_encode(&m, buf, room), ==, 0);
        }
    }
    g_rand_free(r);
}

static void test_long_string_is_not_encoded(void)
{
    RioMessage m = { .op = RIO_OP_BYE };

    memset(m.reason, 'x', sizeof(m.reason));
    g_assert_cmpuint(rio_encode(&m, buf, sizeof(buf)), ==, 0);
    m.reason[RIO_MAX_STRING] = '\0';
    g_assert_cmpuint(rio_encode(&m, buf, sizeof(buf)), ==, BODY + 2 + 255);
}

static void test_long_payload_is_not_encoded(void)
{
    RioMessage m = {
        .op = RIO_OP_STATE_LOAD,
        .payload = { payload, RIO_MAX_MESSAGE - BODY - 8 },
    };

    g_assert_cmpuint(rio_encode(&m, buf, sizeof(buf)), ==, RIO_MAX_MESSAGE);
    m.payload.len++;
    g_assert_cmpuint(rio_encode(&m, buf, sizeof(buf)), ==, 0);
    m.payload.len = UINT32_MAX;
    g_assert_cmpuint(rio_encode(&m, buf, sizeof(buf)), ==, 0);
}

/* --- lengths --- */

static void test_every_truncation_asks_for_more(void)
{
    GRand *r = new_rand();

    for (const uint8_t *op = rio_test_ops; *op; op++) {
        RioMessage m;
        size_t n = encode_valid(r, *op, &m);
        RioError err;

        for (size_t len = 0; len < n; len++) {
            g_assert_cmpint(decode(len, &err), ==, RIO_DECODE_MORE);
        }
    }
    g_rand_free(r);
}

/* The sizes of protocol.h are the ones that the decoder keeps */
static void test_body_sizes_are_bounded(void)
{
    static const struct {
        uint8_t op;
        uint32_t min, max;
    } sizes[] = {
#define X(name, op, scope, from, min, max) { RIO_OP_##name, min, max },
        RIO_OPS(X)
#undef X
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        memset(buf, 0, BODY);
        buf[4] = sizes[i].op;
        if (sizes[i].min) {
            put(buf, BODY + sizes[i].min - 1, 4);
            assert_bad(8, RIO_STATUS_PROTOCOL, "body of");
        }
        if (sizes[i].max < RIO_VAR) {
            put(buf, BODY + sizes[i].max + 1, 4);
            assert_bad(8, RIO_STATUS_PROTOCOL, rio_op_name(sizes[i].op));
        }
    }
}

static void test_length_field_must_fit(void)
{
    RioMessage m = { .op = RIO_OP_ACK };
    RioError err;

    g_assert_cmpuint(rio_encode(&m, buf, sizeof(buf)), ==, BODY);
    put(buf, BODY - 1, 4);
    assert_bad(4, RIO_STATUS_PROTOCOL, "shorter than its header");
    put(buf, 0, 4);
    assert_bad(4, RIO_STATUS_PROTOCOL, "shorter than its header");
    put(buf, RIO_MAX_MESSAGE + 1, 4);
    assert_bad(4, RIO_STATUS_LIMIT, "longer than the limit");
    put(buf, UINT32_MAX, 4);
    assert_bad(4, RIO_STATUS_LIMIT, "4294967295");
    put(buf, 9000, 4);
    g_assert_cmpint(rio_decode(buf, 4, 8192, &m, &err), ==, RIO_DECODE_BAD);
    g_assert_cmpint(rio_decode(buf, 4, 9000, &m, &err), ==, RIO_DECODE_MORE);
}

/* One byte more or less than the fields need, in messages with lists */
static void test_list_lengths_must_match(void)
{
    static const uint8_t ops[] = {
        RIO_OP_HELLO, RIO_OP_HELLO_REPLY, RIO_OP_BYE, RIO_OP_ATTACH,
        RIO_OP_SESSION_GONE, RIO_OP_ROUTE_TRACE, RIO_OP_ROUTE_TRACE_REPLY,
        RIO_OP_ANNOUNCE,
        RIO_OP_REGION_WRITE_BATCH, RIO_OP_DOORBELL, RIO_OP_RECIPE,
        RIO_OP_DMA_READ, RIO_OP_DMA_WRITE, RIO_OP_MEM_TABLE,
        RIO_OP_MEM_UPDATE, RIO_OP_MOVE, RIO_OP_MOVED, RIO_OP_MOVE_OFFER,
    };
    GRand *r = new_rand();

    for (unsigned i = 0; i < G_N_ELEMENTS(ops); i++) {
        RioMessage m;
        RioError err;
        size_t n = encode_valid(r, ops[i], &m);

        for (int delta = -1; delta <= 1; delta += 2) {
            put(buf, n + delta, 4);
            g_assert_cmpint(decode(n + delta, &err), ==, RIO_DECODE_BAD);
        }
    }
    g_rand_free(r);
}

/* --- header --- */

static void test_unknown_opcodes_are_bad(void)
{
    bool known[256] = { false };

    for (const uint8_t *op = rio_test_ops; *op; op++) {
        known[*op] = true;
    }
    for (int op = 0; op < 256; op++) {
        memset(buf, 0, BODY);
        put(buf, BODY, 4);
        buf[4] = op;
        if (!known[op]) {
            assert_bad(8, RIO_STATUS_PROTOCOL, "unknown opcode 0x");
            g_assert_cmpstr(rio_op_name(op), ==, "unknown");
        }
    }
}

static uint8_t flags_of(uint8_t op)
{
    switch (op) {
    case RIO_OP_REGION_READ:
        return RIO_FLAG_TRACE;
    case RIO_OP_REGION_WRITE:
    case RIO_OP_REGION_WRITE_BATCH:
        return RIO_FLAG_POSTED | RIO_FLAG_TRACE;
    case RIO_OP_DOORBELL:
    case RIO_OP_DMA_WRITE:
        return RIO_FLAG_POSTED | RIO_FLAG_MORE;
    case RIO_OP_DMA_READ_REPLY:
    case RIO_OP_STATE_SAVE_REPLY:
    case RIO_OP_STATE_LOAD:
    case RIO_OP_MOVE_DATA:
        return RIO_FLAG_MORE;
    default:
        return 0;
    }
}

static void test_flags_belong_to_their_messages(void)
{
    GRand *r = new_rand();

    for (const uint8_t *op = rio_test_ops; *op; op++) {
        RioMessage m;
        size_t n = encode_valid(r, *op, &m);

        for (int bit = 0; bit < 8; bit++) {
            buf[5] = 1 << bit;
            if (flags_of(*op) & 1 << bit) {
                RioError err = { 0 };

                g_assert(decode(n, &err) == RIO_DECODE_OK ||
                         strstr(err.text, "lack POSTED"));
            } else {
                assert_bad(8, RIO_STATUS_PROTOCOL, "flags 0x");
            }
        }
    }
    g_rand_free(r);
}

static void test_hops_are_bounded(void)
{
    GRand *r = new_rand();
    RioMessage m;
    size_t n = encode_valid(r, RIO_OP_REGION_READ, &m);

    buf[6] = RIO_MAX_HOPS;
    assert_ok(n);
    buf[6] = RIO_MAX_HOPS + 1;
    assert_bad(n, RIO_STATUS_LOOP, "17 hops");
    g_rand_free(r);
}

static void test_status_belongs_to_replies(void)
{
    GRand *r = new_rand();

    for (const uint8_t *op = rio_test_ops; *op; op++) {
        bool may = *op == RIO_OP_BYE || *op == RIO_OP_SESSION_GONE ||
                   g_str_has_suffix(rio_op_name(*op), "_REPLY");
        RioMessage m;

        encode_valid(r, *op, &m);
        put(buf, BODY + 2, 4);
        put(buf + BODY, 0, 2);
        buf[7] = RIO_STATUS_IO;
        if (may) {
            put(buf + 8, 0, !rio_op_of_session(*op) ? BODY - 8 : 0);
            assert_ok(BODY + 2);
            buf[7] = RIO_STATUS_SHUTDOWN + 1;
            assert_bad(8, RIO_STATUS_PROTOCOL, "unknown status");
        } else {
            assert_bad(8, RIO_STATUS_PROTOCOL, "no reply");
        }
    }
    g_rand_free(r);
}

static void test_sequence_number_follows_the_scope(void)
{
    GRand *r = new_rand();

    for (const uint8_t *op = rio_test_ops; *op; op++) {
        RioMessage m;
        size_t n = encode_valid(r, *op, &m);

        put(buf + 32, rio_op_sequenced(*op) ? 0 : 1, 8);
        assert_bad(n, RIO_STATUS_PROTOCOL,
                   !rio_op_of_session(*op) ? "header field" : "sequence number");
    }
    g_rand_free(r);
}

static void test_link_messages_name_no_session(void)
{
    static const uint8_t ops[] = {
        RIO_OP_HELLO, RIO_OP_PING, RIO_OP_PONG, RIO_OP_BYE, RIO_OP_ANNOUNCE,
    };
    GRand *r = new_rand();
    RioMessage m;
    size_t n;

    for (unsigned i = 0; i < G_N_ELEMENTS(ops); i++) {
        n = encode_valid(r, ops[i], &m);
        for (int at = 8; at < BODY; at += 4) {
            buf[at] = 1;
            assert_bad(n, RIO_STATUS_PROTOCOL, "header field");
            buf[at] = 0;
        }
        buf[6] = 1;
        assert_bad(n, RIO_STATUS_PROTOCOL, "header field");
    }
    n = encode_valid(r, RIO_OP_HELLO_REPLY, &m);
    put(buf + 8, 0, 4);
    assert_bad(n, RIO_STATUS_PROTOCOL, "0 is no id");
    g_rand_free(r);
}

/* --- batches --- */

static void test_batch_grows_to_its_limit(void)
{
    RioMessage m = {
        .op = RIO_OP_REGION_WRITE,
        .flags = RIO_FLAG_POSTED,
        .seq = 1,
        .write = { 0, 4, 0, 0 },
    };
    size_t n = rio_encode(&m, buf, sizeof(buf));
    RioError err;

    n += rio_batch_from_write(buf);
    g_assert_cmpuint(n, ==, RIO_BATCH_FIRST);
    for (uint32_t i = 1; i < RIO_MAX_BATCH; i++) {
        RioWrite w = { i % 8, 4, i * 4, i };

        n += rio_batch_append(buf, &w);
        g_assert_cmpuint(n, ==, rio_encoded_length(buf));
        assert_ok(n);
    }
    g_assert_cmpuint(rio_batch_append(buf, &m.write), ==, 0);
    g_assert_cmpint(rio_decode(buf, n, RIO_MAX_MESSAGE, &m, &err), ==,
                    RIO_DECODE_OK);
    g_assert_cmpuint(m.batch.count, ==, RIO_MAX_BATCH);
    for (uint32_t i = 0; i < RIO_MAX_BATCH; i++) {
        RioWrite w = rio_batch_get(&m, i);

        g_assert_cmpuint(w.region, ==, i % 8);
        g_assert_cmpuint(w.size, ==, 4);
        g_assert_cmpuint(w.offset, ==, i * 4);
        g_assert_cmpuint(w.value, ==, i);
    }
}

/* --- golden bytes --- */

static const RioIds golden_ids = { 0x11, 0x2222, 0x333333, 0x44444444 };

static void assert_encodes_to(const RioMessage *m, const char *hex)
{
    size_t n = rio_encode(m, buf, sizeof(buf));
    g_autoptr(GString) text = g_string_new(NULL);
    RioMessage back;
    RioError err;

    for (size_t i = 0; i < n; i++) {
        g_string_append_printf(text, "%02x", buf[i]);
    }
    g_assert_cmpstr(text->str, ==, hex);
    g_assert_cmpint(rio_decode(buf, n, RIO_MAX_MESSAGE, &back, &err), ==,
                    RIO_DECODE_OK);
    rio_test_assert_same(m, &back);
}

/* Computed by hand from the specification */
#define GOLDEN_HELLO \
    "6f00000001000000000000000000000000000000000000000000000000000000" \
    "0000000000000000000000000000000052494f31010001008300000000000000" \
    "00100200e803000001000000000102030405060708090a0b0c0d0e0f0600686f" \
    "73742d61090071656d752031302e30"

#define GOLDEN_ATTACH \
    "5800000010000000110000000000000000000000000000000000000007000000" \
    "000000000000000000000000000000008000000000000000ff00000000000000" \
    "000000000000000000000400636f6d310200766d02006430"

#define GOLDEN_RESUME \
    "4800000012000000110000002222000033333300444444440200000008000000" \
    "00000000000000000000000000000000aabb0000000000000000000000000000" \
    "0807060504030201"

#define GOLDEN_READ \
    "4000000020000000110000002222000033333300444444440100000004030201" \
    "050000000000000088776655443322110204000000000000dcfe000000000000"

#define GOLDEN_VALUE \
    "3800000021000200110000002222000033333300444444440100000004030201" \
    "060000000000000005000000000000001122334455667788"

#define GOLDEN_REFUSED \
    "3400000021000009110000002222000033333300444444440100000009000000" \
    "0700000000000000050000000000000002006e6f"

#define GOLDEN_WRITE \
    "4800000022010000110000002222000033333300444444440100000000000000" \
    "080000000000000006000000000000000102000000000000f803000000000000" \
    "efbe000000000000"

#define GOLDEN_BATCH \
    "6800000024010000110000002222000033333300444444440100000000000000" \
    "0800000000000000060000000000000002000000000000000102000000000000" \
    "f803000000000000efbe0000000000000001000000000000f903000000000000" \
    "4200000000000000"

#define GOLDEN_LEVEL \
    "3800000030000000110000002222000033333300444444440100000000000000" \
    "090000000000000000000000000000000300010000000000"

#define GOLDEN_MSIX \
    "3800000031000000110000002222000033333300444444440100000000000000" \
    "0a0000000000000000000000000000000200230100000000"

/* Changing any of these strings is changing version 1 of the protocol */
static void test_format_is_pinned(void)
{
    RioMessage hello = {
        .op = RIO_OP_HELLO,
        .hello = { 1, 1, 0x83, 135168, 1000, RIO_ROLE_CLIENT,
                   { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
                   "host-a", "qemu 10.0" },
    };
    RioMessage attach = {
        .op = RIO_OP_ATTACH, .ids = { .client = 0x11 }, .tag = 7,
        .attach = { 0x80, { 0xff }, "", "com1", "vm", "d0" },
    };
    RioMessage resume = {
        .op = RIO_OP_RESUME, .ids = golden_ids, .epoch = 2, .tag = 8,
        .resume = { { 0xaa, 0xbb }, 0x0102030405060708 },
    };
    RioMessage read = {
        .op = RIO_OP_REGION_READ, .ids = golden_ids, .epoch = 1,
        .tag = 0x01020304, .seq = 5, .ack = 0x1122334455667788,
        .read = { 2, 4, 0xfedc },
    };
    RioMessage value = {
        .op = RIO_OP_REGION_READ_REPLY, .hops = 2, .ids = golden_ids,
        .epoch = 1, .tag = 0x01020304, .seq = 6, .ack = 5,
        .value = { 0x8877665544332211 },
    };
    RioMessage refused = {
        .op = RIO_OP_REGION_READ_REPLY, .status = RIO_STATUS_RANGE,
        .ids = golden_ids, .epoch = 1, .tag = 9, .seq = 7, .ack = 5,
        .reason = "no",
    };
    RioMessage write = {
        .op = RIO_OP_REGION_WRITE, .flags = RIO_FLAG_POSTED,
        .ids = golden_ids, .epoch = 1, .seq = 8, .ack = 6,
        .write = { 1, 2, 0x3f8, 0xbeef },
    };
    RioMessage level = {
        .op = RIO_OP_IRQ_LEVEL, .ids = golden_ids, .epoch = 1, .seq = 9,
        .irq_level = { 3, 1 },
    };
    RioMessage msix = {
        .op = RIO_OP_IRQ_MESSAGE, .ids = golden_ids, .epoch = 1, .seq = 10,
        .irq_message = { RIO_IRQ_MSIX, 0x123 },
    };

    assert_encodes_to(&hello, GOLDEN_HELLO);
    assert_encodes_to(&attach, GOLDEN_ATTACH);
    assert_encodes_to(&resume, GOLDEN_RESUME);
    assert_encodes_to(&read, GOLDEN_READ);
    assert_encodes_to(&value, GOLDEN_VALUE);
    assert_encodes_to(&refused, GOLDEN_REFUSED);
    assert_encodes_to(&write, GOLDEN_WRITE);
    assert_encodes_to(&level, GOLDEN_LEVEL);
    assert_encodes_to(&msix, GOLDEN_MSIX);
}

static void test_batch_format_is_pinned(void)
{
    RioMessage m = {
        .op = RIO_OP_REGION_WRITE, .flags = RIO_FLAG_POSTED,
        .ids = golden_ids, .epoch = 1, .seq = 8, .ack = 6,
        .write = { 1, 2, 0x3f8, 0xbeef },
    };
    RioWrite second = { 0, 1, 0x3f9, 0x42 };
    g_autoptr(GString) text = g_string_new(NULL);
    size_t n = rio_encode(&m, buf, sizeof(buf));

    n += rio_batch_from_write(buf);
    n += rio_batch_append(buf, &second);
    for (size_t i = 0; i < n; i++) {
        g_string_append_printf(text, "%02x", buf[i]);
    }
    g_assert_cmpstr(text->str, ==, GOLDEN_BATCH);
}

/* --- names --- */

static void test_names_come_from_the_header(void)
{
    g_assert_cmpstr(rio_op_name(RIO_OP_REGION_READ), ==, "REGION_READ");
    g_assert_cmpstr(rio_op_name(0), ==, "unknown");
    g_assert_cmpstr(rio_status_name(RIO_STATUS_MODULE_BUSY), ==,
                    "MODULE_BUSY");
    g_assert_cmpstr(rio_status_text(RIO_STATUS_MODULE_BUSY), ==,
                    "module is taken");
    g_assert_cmpstr(rio_status_name(255), ==, "unknown");
    g_assert_cmpstr(rio_status_text(255), ==, "unknown");
    g_assert_true(rio_op_from_client(RIO_OP_ATTACH));
    g_assert_false(rio_op_from_server(RIO_OP_ATTACH));
    g_assert_true(rio_op_from_client(RIO_OP_ACK));
    g_assert_true(rio_op_from_server(RIO_OP_ACK));
    g_assert_false(rio_op_from_client(RIO_OP_IRQ_LEVEL));
    g_assert_false(rio_op_from_client(0) || rio_op_from_server(0));
}

/* Whatever the bytes are, one of three answers; sanitizers see the rest */
static void test_random_bytes_get_an_answer(void)
{
    GRand *r = new_rand();

    for (int i = 0; i < 200000; i++) {
        unsigned n = g_rand_int_range(r, 48, 256);
        RioMessage m;
        RioError err;

        for (unsigned j = 0; j < n; j++) {
            buf[j] = g_rand_int(r);
        }
        put(buf, n, 4);
        buf[4] = rio_test_ops[g_rand_int_range(r, 0, 37)];
        buf[5] &= flags_of(buf[4]);
        buf[6] = 0;
        buf[7] = 0;
        switch (rio_decode(buf, n, RIO_MAX_MESSAGE, &m, &err)) {
        case RIO_DECODE_OK:
            g_assert_cmpuint(rio_encode(&m, payload, sizeof(payload)), ==,
                             n);
            g_assert_cmpmem(payload, n, buf, n);
            break;
        case RIO_DECODE_BAD:
            g_assert_cmpuint(strlen(err.text), >, 0);
            g_assert_cmpuint(err.status, !=, RIO_STATUS_OK);
            break;
        case RIO_DECODE_MORE:
            g_assert_not_reached();
        }
    }
    g_rand_free(r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define T(name, func) g_test_add_func("/remote-io/codec/" name, func)
    T("every-message-survives-a-round-trip", test_round_trip);
    T("bytes-behind-a-message-are-not-touched",
      test_bytes_behind_are_not_touched);
    T("small-buffer-is-refused", test_small_buffer_is_refused);
    T("long-string-is-not-encoded", test_long_string_is_not_encoded);
    T("long-payload-is-not-encoded", test_long_payload_is_not_encoded);
    T("every-truncation-asks-for-more", test_every_truncation_asks_for_more);
    T("body-sizes-are-bounded", test_body_sizes_are_bounded);
    T("length-field-must-fit", test_length_field_must_fit);
    T("list-lengths-must-match", test_list_lengths_must_match);
    T("unknown-opcodes-are-bad", test_unknown_opcodes_are_bad);
    T("flags-belong-to-their-messages", test_flags_belong_to_their_messages);
    T("hops-are-bounded", test_hops_are_bounded);
    T("status-belongs-to-replies", test_status_belongs_to_replies);
    T("sequence-number-follows-the-scope",
      test_sequence_number_follows_the_scope);
    T("link-messages-name-no-session", test_link_messages_name_no_session);
    T("batch-grows-to-its-limit", test_batch_grows_to_its_limit);
    T("format-is-pinned", test_format_is_pinned);
    T("batch-format-is-pinned", test_batch_format_is_pinned);
    T("names-come-from-the-header", test_names_come_from_the_header);
    T("random-bytes-get-an-answer", test_random_bytes_get_an_answer);
    return g_test_run();
}
