/*
 * remote-io codec: every bad field of every message is refused by name
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "remote-io-codec.h"

typedef struct BadField {
    uint8_t op;
    unsigned at;                /* in the body */
    unsigned size;
    uint64_t value;
    const char *text;           /* what the log line must hold */
} BadField;

static const BadField bad_fields[] = {
    { RIO_OP_HELLO, 0, 4, 0x314f4953, "magic" },
    { RIO_OP_HELLO, 4, 2, 0, "versions" },
    { RIO_OP_HELLO, 4, 2, 0xffff, "versions" },
    { RIO_OP_HELLO, 16, 4, RIO_MIN_MAX_MESSAGE - 1, "8191" },
    { RIO_OP_HELLO, 20, 4, RIO_MIN_KEEPALIVE_MS - 1, "keep-alive" },
    { RIO_OP_HELLO, 20, 4, RIO_MAX_KEEPALIVE_MS + 1, "keep-alive" },
    { RIO_OP_HELLO, 24, 1, 0, "role 0" },
    { RIO_OP_HELLO, 24, 1, 4, "role 4" },
    { RIO_OP_HELLO, 25, 1, 1, "reserved" },
    { RIO_OP_HELLO, 27, 1, 1, "reserved" },
    { RIO_OP_HELLO, 44, 2, 0, "" },
    { RIO_OP_HELLO, 44, 2, 256, "name" },
    { RIO_OP_HELLO_REPLY, 4, 2, 0xffff, "versions" },
    { RIO_OP_HELLO_REPLY, 6, 2, 0xffff, "versions" },
    { RIO_OP_BYE, 0, 2, 0xffff, "reason" },
    { RIO_OP_SESSION_GONE, 0, 2, 0xffff, "reason" },
    { RIO_OP_ATTACH, 24, 2, 0xffff, "server" },
    { RIO_OP_ATTACH_REPLY, 24, 4, RIO_MIN_LOG - 1, "log of 16383" },
    { RIO_OP_ATTACH_REPLY, 24, 4, RIO_MAX_LOG + 1, "log of" },
    { RIO_OP_ATTACH_REPLY, 28, 4, 0, "outstanding" },
    { RIO_OP_ROUTE_TRACE, 0, 2, RIO_MAX_HOPS + 2, "18 records" },
    { RIO_OP_ROUTE_TRACE, 2, 1, 1, "reserved" },
    { RIO_OP_ROUTE_TRACE_REPLY, 0, 2, RIO_MAX_HOPS + 2, "18 records" },
    { RIO_OP_ROUTE_TRACE_REPLY, 2, 1, 1, "reserved" },
    { RIO_OP_ROUTE_TRACE_REPLY, 7, 1, 1, "reserved" },
    { RIO_OP_ANNOUNCE, 0, 4, UINT32_MAX, "left for an entry" },
    { RIO_OP_ANNOUNCE, 4, 1, 1, "reserved" },
    { RIO_OP_ANNOUNCE, 7, 1, 1, "reserved" },
    { RIO_OP_ANNOUNCE, 8, 1, RIO_MAX_HOPS, "distance 16" },
    { RIO_OP_ANNOUNCE, 8, 1, RIO_ANNOUNCE_GONE - 1, "distance 254" },
    { RIO_OP_ANNOUNCE, 9, 1, 1, "reserved" },
    { RIO_OP_MOVE, 0, 1, 0, "kind 0" },
    { RIO_OP_MOVE, 0, 1, 4, "kind 4" },
    { RIO_OP_MOVE, 1, 1, 1, "reserved" },
    { RIO_OP_MOVE, 7, 1, 1, "reserved" },
    { RIO_OP_MOVE, 8, 2, 0xffff, "server" },
    { RIO_OP_MOVE_REPLY, 0, 1, 4, "phase 4" },
    { RIO_OP_MOVE_REPLY, 1, 1, 1, "reserved" },
    { RIO_OP_MOVE_REPLY, 7, 1, 1, "reserved" },
    { RIO_OP_MOVED, 0, 2, 0xffff, "server" },
    { RIO_OP_MOVE_OFFER, 32, 2, 0xffff, "module" },
    { RIO_OP_MOVE_OFFER, 32, 2, 0, "" },
    { RIO_OP_MOVE_DATA, 16, 8, RIO_MAX_PARCEL, "a parcel has" },
    { RIO_OP_MOVE_DATA, 16, 8, UINT64_MAX, "a parcel has" },
    { RIO_OP_MOVE_STEP, 16, 1, 0, "kind 0" },
    { RIO_OP_MOVE_STEP, 16, 1, 4, "kind 4" },
    { RIO_OP_MOVE_STEP, 17, 1, 1, "reserved" },
    { RIO_OP_MOVE_STEP, 23, 1, 1, "reserved" },
    { RIO_OP_MOVE_STEP_REPLY, 0, 1, 4, "phase 4" },
    { RIO_OP_MOVE_STEP_REPLY, 7, 1, 1, "reserved" },
    { RIO_OP_REGION_READ, 0, 1, RIO_MAX_REGIONS, "region 8" },
    { RIO_OP_REGION_READ, 1, 1, 0, "size 0" },
    { RIO_OP_REGION_READ, 1, 1, 3, "size 3" },
    { RIO_OP_REGION_READ, 1, 1, 16, "size 16" },
    { RIO_OP_REGION_READ, 2, 1, 1, "reserved" },
    { RIO_OP_REGION_READ, 7, 1, 1, "reserved" },
    { RIO_OP_REGION_READ, 8, 8, UINT64_MAX, "wraps" },
    { RIO_OP_REGION_WRITE, 0, 1, 255, "region 255" },
    { RIO_OP_REGION_WRITE, 1, 1, 5, "size 5" },
    { RIO_OP_REGION_WRITE, 5, 1, 1, "reserved" },
    { RIO_OP_REGION_WRITE, 8, 8, UINT64_MAX, "wraps" },
    { RIO_OP_REGION_WRITE_BATCH, 0, 4, 0, "0 writes" },
    { RIO_OP_REGION_WRITE_BATCH, 0, 4, RIO_MAX_BATCH + 1, "129 writes" },
    { RIO_OP_REGION_WRITE_BATCH, 4, 1, 1, "reserved" },
    { RIO_OP_REGION_WRITE_BATCH, 8, 1, RIO_MAX_REGIONS, "region 8" },
    { RIO_OP_REGION_WRITE_BATCH, 9, 1, 7, "size 7" },
    { RIO_OP_REGION_WRITE_BATCH, 10, 1, 1, "reserved" },
    { RIO_OP_DOORBELL, 1, 1, 9, "size 9" },
    { RIO_OP_DOORBELL, 24, 4, RIO_MAX_SEGMENTS + 1, "257 segments" },
    { RIO_OP_DOORBELL, 28, 4, UINT32_MAX, "4294967295 bytes" },
    { RIO_OP_RECIPE, 0, 2, RIO_MAX_RECIPES, "slot 256" },
    { RIO_OP_RECIPE, 3, 1, 3, "kind 3" },
    { RIO_OP_RECIPE, 4, 1, 1, "reserved" },
    { RIO_OP_RECIPE, 56, 1, 1, "reserved" },
    { RIO_OP_RECIPE, 49, 1, RIO_MAX_STEPS + 1, "9 steps" },
    { RIO_OP_IRQ_LEVEL, 0, 2, RIO_MAX_LINES, "line 16" },
    { RIO_OP_IRQ_LEVEL, 2, 1, 2, "level 2" },
    { RIO_OP_IRQ_LEVEL, 3, 1, 1, "reserved" },
    { RIO_OP_IRQ_LEVEL, 7, 1, 1, "reserved" },
    { RIO_OP_IRQ_MESSAGE, 0, 1, 0, "kind 0" },
    { RIO_OP_IRQ_MESSAGE, 0, 1, 3, "kind 3" },
    { RIO_OP_IRQ_MESSAGE, 1, 1, 1, "reserved" },
    { RIO_OP_IRQ_MESSAGE, 2, 2, RIO_MAX_MSIX, "vector 2048" },
    { RIO_OP_IRQ_MESSAGE, 4, 1, 1, "reserved" },
    { RIO_OP_RESET, 0, 1, 0, "kind 0" },
    { RIO_OP_RESET, 0, 1, 3, "kind 3" },
    { RIO_OP_RESET, 1, 1, 1, "reserved" },
    { RIO_OP_RESET, 7, 1, 1, "reserved" },
    { RIO_OP_QUIESCE, 0, 1, 3, "kind 3" },
    { RIO_OP_QUIESCE, 4, 1, 1, "reserved" },
    { RIO_OP_DMA_READ, 0, 4, 0, "0 segments" },
    { RIO_OP_DMA_READ, 0, 4, RIO_MAX_SEGMENTS + 1, "257 segments" },
    { RIO_OP_DMA_READ, 4, 4, 0, "0 bytes" },
    { RIO_OP_DMA_READ, 4, 4, RIO_MAX_DMA + 1, "131073 bytes" },
    { RIO_OP_DMA_READ, 8, 8, UINT64_MAX, "segment 0" },
    { RIO_OP_DMA_READ, 16, 4, 0, "segment 0" },
    { RIO_OP_DMA_READ, 20, 4, 1, "step 1" },
    { RIO_OP_DMA_WRITE, 0, 4, UINT32_MAX, "4294967295 segments" },
    { RIO_OP_DMA_WRITE, 8, 8, UINT64_MAX, "segment 0" },
    { RIO_OP_DMA_READ_REPLY, 0, 4, RIO_MAX_DMA, "at offset 131072" },
    { RIO_OP_DMA_READ_REPLY, 4, 1, 1, "reserved" },
    { RIO_OP_MEM_TABLE, 0, 4, RIO_MAX_MEMORY + 1, "65 entries" },
    { RIO_OP_MEM_TABLE, 4, 1, 1, "reserved" },
    { RIO_OP_MEM_TABLE, 8, 8, UINT64_MAX, "is not valid" },
    { RIO_OP_MEM_TABLE, 16, 8, 0, "entry of 0x0 bytes" },
    { RIO_OP_MEM_TABLE, 24, 8, UINT64_MAX, "is not valid" },
    { RIO_OP_MEM_TABLE, 32, 4, RIO_MAX_FILES, "is not valid" },
    { RIO_OP_MEM_TABLE, 36, 4, 2, "is not valid" },
    { RIO_OP_STATE_LOAD, 0, 8, UINT64_MAX, "" },
    { RIO_OP_MEM_UPDATE, 0, 1, RIO_MAX_REGIONS, "region 8" },
    { RIO_OP_MEM_UPDATE, 1, 1, 0, "kind 0" },
    { RIO_OP_MEM_UPDATE, 1, 1, 3, "kind 3" },
    { RIO_OP_MEM_UPDATE, 3, 1, 1, "reserved" },
    { RIO_OP_MEM_UPDATE, 4, 4, 0, "0 bytes" },
    { RIO_OP_MEM_UPDATE, 8, 8, UINT64_MAX, "0xffffffffffffffff" },
};

static void test_every_bad_field_is_named(void)
{
    GRand *r = new_rand();

    for (unsigned i = 0; i < G_N_ELEMENTS(bad_fields); i++) {
        const BadField *f = &bad_fields[i];
        RioMessage m;
        size_t n;

        do {                    /* one that has a payload, where some do */
            n = encode_valid(r, f->op, &m);
        } while (n < BODY + f->at + f->size ||
                 (f->op == RIO_OP_STATE_LOAD && !m.payload.len) ||
                 (f->op == RIO_OP_RECIPE && !m.recipe.kind));
        put(buf + BODY + f->at, f->value, f->size);
        assert_bad(n, RIO_STATUS_PROTOCOL, f->text);
        if (f->op != RIO_OP_BYE && f->op != RIO_OP_SESSION_GONE &&
            f->op != RIO_OP_HELLO && f->op != RIO_OP_ATTACH) {
            assert_bad(n, RIO_STATUS_PROTOCOL, rio_op_name(f->op));
        }
    }
    g_rand_free(r);
}

static void test_value_must_fit_its_size(void)
{
    for (unsigned size = 1; size < 8; size *= 2) {
        RioMessage m = {
            .op = RIO_OP_REGION_WRITE,
            .seq = 1,
            .write = { .size = size, .value = (1ull << (8 * size)) - 1 },
        };
        size_t n = rio_encode(&m, buf, sizeof(buf));

        assert_ok(n);
        put(buf + BODY + 16, 1ull << (8 * size), 8);
        assert_bad(n, RIO_STATUS_PROTOCOL, "value 0x1");
    }
}

static void test_batches_and_doorbells_are_posted(void)
{
    GRand *r = new_rand();
    RioMessage m;
    size_t n = encode_valid(r, RIO_OP_REGION_WRITE_BATCH, &m);

    buf[5] = 0;
    assert_bad(n, RIO_STATUS_PROTOCOL, "lack POSTED");
    n = encode_valid(r, RIO_OP_DOORBELL, &m);
    buf[5] = RIO_FLAG_MORE;
    assert_bad(n, RIO_STATUS_PROTOCOL, "lack POSTED");
    g_rand_free(r);
}

static void test_totals_must_add_up(void)
{
    static const uint8_t ops[] = { RIO_OP_DMA_READ, RIO_OP_DMA_WRITE };
    GRand *r = new_rand();

    for (unsigned i = 0; i < G_N_ELEMENTS(ops); i++) {
        RioMessage m;
        size_t n = encode_valid(r, ops[i], &m);
        RioSegment seg = rio_segment_get(&m, 0);

        seg.length++;
        rio_segment_put(buf + BODY + 8, 0, &seg);
        assert_bad(n, RIO_STATUS_PROTOCOL, "segments of");
    }
    g_rand_free(r);
}

static void test_segments_are_read_back(void)
{
    static const RioSegment segs[] = {
        { 0x1000, 3, 0 }, { 0xfedcba9876543210, 2, 8 },
    };
    RioMessage back, m = {
        .op = RIO_OP_DOORBELL,
        .flags = RIO_FLAG_POSTED,
        .seq = 1,
        .doorbell = { { 0, 4, 0x1000, 5 }, 2, 5 },
        .payload = { payload, 2 * RIO_SEGMENT_SIZE + 5 },
    };
    RioError err;
    RioSegment seg;

    for (int i = 0; i < 2; i++) {
        rio_segment_put(payload, i, &segs[i]);
    }
    memcpy(payload + 2 * RIO_SEGMENT_SIZE, "hello", 5);
    g_assert_cmpint(rio_decode(buf, rio_encode(&m, buf, sizeof(buf)),
                               RIO_MAX_MESSAGE, &back, &err), ==,
                    RIO_DECODE_OK);
    for (int i = 0; i < 2; i++) {
        seg = rio_segment_get(&back, i);
        g_assert_cmphex(seg.address, ==, segs[i].address);
        g_assert_cmpuint(seg.length, ==, segs[i].length);
        g_assert_cmpuint(seg.step, ==, segs[i].step);
    }
    g_assert_cmpmem(rio_segment_bytes(&back).data,
                    rio_segment_bytes(&back).len, "hello", 5);
}

/* --- recipes --- */

/* A ring of 64-byte entries with one PRP step, as NVMe needs it */
static size_t nvme_recipe(uint8_t *p)
{
    RioMessage m = {
        .op = RIO_OP_RECIPE,
        .seq = 1,
        .payload = { payload, 64 + 48 },
    };
    uint8_t *step = payload + 64;

    memset(payload, 0, m.payload.len);
    put(payload, 1, 2);
    payload[3] = RIO_RECIPE_RING;
    put(payload + 8, 0x1008, 8);
    put(payload + 16, 0x100000, 8);
    put(payload + 24, 1024, 4);
    put(payload + 28, 64, 4);
    put(payload + 36, 0xffff, 4);
    payload[49] = 1;
    put(payload + 50, 64, 2);
    put(payload + 52, RIO_MAX_DMA, 4);
    step[2] = 1;                        /* opcode == write */
    put(step + 4, 0xff, 4);
    put(step + 8, 1, 4);
    step[24] = RIO_STEP_PRP;
    step[25] = 12;
    put(step + 26, 24, 2);
    put(step + 28, 32, 2);
    put(step + 30, 48, 2);
    step[32] = 2;
    step[33] = 9;
    put(step + 36, 0xffff, 4);
    put(step + 40, 1, 4);
    put(step + 44, RIO_MAX_STEP_BYTES, 4);
    return rio_encode(&m, p, RIO_MAX_MESSAGE);
}

static void test_bad_recipes_are_refused(void)
{
    static const BadField fields[] = {
        { 0, 2, 1, RIO_MAX_REGIONS, "region 8" },
        { 0, 16, 8, UINT64_MAX, "ring" },
        { 0, 24, 4, 0, "0 entries" },
        { 0, 28, 4, 0, "0 bytes" },
        { 0, 28, 4, RIO_MAX_ENTRY + 1, "4097" },
        { 0, 32, 4, 1024, "index 1024" },
        { 0, 40, 8, 0x2000, "index of 0 bytes" },
        { 0, 48, 1, 2, "index of 2 bytes" },
        { 0, 50, 2, 0, "at most 0 entries" },
        { 0, 52, 4, 0, "0 bytes" },
        { 0, 49, 1, 0, "0 steps" },
        { 0, 64 + 0, 2, 64, "step 1" },
        { 0, 64 + 2, 1, 3, "step 1" },
        { 0, 64 + 2, 1, 8, "step 1" },
        { 0, 64 + 3, 1, 1, "step 1" },
        { 0, 64 + 16, 4, 1, "step 1" },
        { 0, 64 + 24, 1, 0, "step 1" },
        { 0, 64 + 24, 1, 6, "step 1" },
        { 0, 64 + 24, 1, RIO_STEP_SGL, "step 1" },
        { 0, 64 + 24, 1, RIO_STEP_BUFFER, "step 1" },
        { 0, 64 + 25, 1, 11, "step 1" },
        { 0, 64 + 25, 1, 17, "step 1" },
        { 0, 64 + 26, 2, 57, "step 1" },
        { 0, 64 + 28, 2, 57, "step 1" },
        { 0, 64 + 30, 2, 63, "step 1" },
        { 0, 64 + 32, 1, 0, "step 1" },
        { 0, 64 + 32, 1, 8, "step 1" },
        { 0, 64 + 33, 1, 32, "step 1" },
        { 0, 64 + 34, 1, 1, "step 1" },
        { 0, 64 + 44, 4, 0, "step 1" },
        { 0, 64 + 44, 4, RIO_MAX_STEP_BYTES + 1, "step 1" },
    };

    assert_ok(nvme_recipe(buf));
    for (unsigned i = 0; i < G_N_ELEMENTS(fields); i++) {
        size_t n = nvme_recipe(buf);

        put(buf + BODY + fields[i].at, fields[i].value, fields[i].size);
        assert_bad(n, RIO_STATUS_PROTOCOL, fields[i].text);
    }
}

static void test_lazy_recipe_names_a_doorbell_and_nothing_else(void)
{
    RioMessage m = {
        .op = RIO_OP_RECIPE,
        .seq = 1,
        .payload = { payload, 64 },
    };
    size_t n;

    memset(payload, 0, m.payload.len);
    put(payload, 3, 2);
    payload[2] = RIO_MAX_REGIONS - 1;
    payload[3] = RIO_RECIPE_LAZY;
    put(payload + 8, 0x1004, 8);
    n = rio_encode(&m, buf, sizeof(buf));
    assert_ok(n);
    for (unsigned at = 16; at < 64; at++) {
        if (at != 49) {         /* steps: the length would not fit */
            buf[BODY + at] = 1;
            assert_bad(n, RIO_STATUS_PROTOCOL, "reserved");
            buf[BODY + at] = 0;
        }
    }
    buf[BODY + 2] = RIO_MAX_REGIONS;
    assert_bad(n, RIO_STATUS_PROTOCOL, "reserved");
}

static void test_sgl_step_needs_room_for_a_descriptor(void)
{
    uint8_t *step = buf + BODY + 64;
    size_t n = nvme_recipe(buf);

    step[24] = RIO_STEP_SGL_LIST;
    step[25] = 0;
    put(step + 28, 0, 2);
    put(step + 26, 48, 2);
    assert_ok(n);
    put(step + 26, 49, 2);
    assert_bad(n, RIO_STATUS_PROTOCOL, "step 1");
}

/* --- strings --- */

static void test_bad_strings_are_refused(void)
{
    static const struct {
        const char *bytes;
        unsigned len;
        bool ok;
    } strings[] = {
        { "plain", 5, true },
        { "Gr\xc3\xb6\xc3\x9f" "e", 7, true },
        { "\xf0\x9f\x98\x80", 4, true },
        { "", 0, true },
        { "a\0b", 3, false },           /* NUL */
        { "\0", 1, false },
        { "a\nb", 3, false },           /* control characters */
        { "\x1b[31m", 5, false },
        { "\x7f", 1, false },
        { "\xc2\x80", 2, false },
        { "\xc2\x9f", 2, false },
        { "\xff", 1, false },           /* not UTF-8 */
        { "\xc3", 1, false },
        { "\xc0\x80", 2, false },       /* overlong NUL */
        { "\xed\xa0\x80", 3, false },   /* surrogate */
        { "\xf4\x90\x80\x80", 4, false },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(strings); i++) {
        memset(buf, 0, BODY);
        put(buf, BODY + 2 + strings[i].len, 4);
        buf[4] = RIO_OP_BYE;
        put(buf + BODY, strings[i].len, 2);
        memcpy(buf + BODY + 2, strings[i].bytes, strings[i].len);
        if (strings[i].ok) {
            assert_ok(BODY + 2 + strings[i].len);
        } else {
            assert_bad(BODY + 2 + strings[i].len, RIO_STATUS_PROTOCOL,
                       "reason");
        }
    }
}

static void test_names_must_not_be_empty(void)
{
    GRand *r = new_rand();
    RioMessage m;
    size_t n;

    encode_valid(r, RIO_OP_HELLO, &m);
    m.hello.name[0] = '\0';
    n = rio_encode(&m, buf, sizeof(buf));
    assert_bad(n, RIO_STATUS_PROTOCOL, "name is empty");
    encode_valid(r, RIO_OP_ATTACH, &m);
    m.attach.module[0] = '\0';
    n = rio_encode(&m, buf, sizeof(buf));
    assert_bad(n, RIO_STATUS_PROTOCOL, "module is empty");
    encode_valid(r, RIO_OP_ATTACH, &m);
    m.hops = 1;
    m.attach.client[0] = '\0';
    n = rio_encode(&m, buf, sizeof(buf));
    assert_bad(n, RIO_STATUS_PROTOCOL, "client is empty");
    g_rand_free(r);
}

/* Where the caller has it in two pieces, the message is the same */
static void test_write_may_be_encoded_from_two_pieces(void)
{
    static uint8_t other[RIO_MAX_MESSAGE];
    GRand *r = new_rand();
    RioMessage m;
    RioBytes data;
    size_t n;

    for (int i = 0; i < 100; i++) {
        n = encode_valid(r, RIO_OP_DMA_WRITE, &m);
        data = rio_segment_bytes(&m);
        g_assert_cmpuint(data.len, >, 0);
        m.payload.len -= data.len;
        m.tail = data;
        g_assert_cmpuint(rio_encoded_size(&m), ==, n);
        g_assert_cmpuint(rio_encode(&m, other, sizeof(other)), ==, n);
        g_assert_cmpmem(other, n, buf, n);
        g_assert_cmpuint(rio_encode(&m, other, n - 1), ==, 0);
    }
    g_rand_free(r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define T(name, func) g_test_add_func("/remote-io/fields/" name, func)
    T("every-bad-field-is-named", test_every_bad_field_is_named);
    T("value-must-fit-its-size", test_value_must_fit_its_size);
    T("batches-and-doorbells-are-posted",
      test_batches_and_doorbells_are_posted);
    T("totals-must-add-up", test_totals_must_add_up);
    T("segments-are-read-back", test_segments_are_read_back);
    T("bad-recipes-are-refused", test_bad_recipes_are_refused);
    T("lazy-recipe-names-a-doorbell-and-nothing-else",
      test_lazy_recipe_names_a_doorbell_and_nothing_else);
    T("sgl-step-needs-room-for-a-descriptor",
      test_sgl_step_needs_room_for_a_descriptor);
    T("bad-strings-are-refused", test_bad_strings_are_refused);
    T("names-must-not-be-empty", test_names_must_not_be_empty);
    T("write-may-be-encoded-from-two-pieces",
      test_write_may_be_encoded_from_two_pieces);
    return g_test_run();
}
