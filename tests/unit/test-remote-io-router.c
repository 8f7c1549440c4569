/*
 * The server's router: which accesses reach a module, and what is answered
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * router.c alone, with a module that writes down what it was asked, and the
 * few functions of the server that the router calls.
 */

#include "qemu/osdep.h"
#include "server/internal.h"

static unsigned replies;

/* --- a module that notes the last access --- */

typedef struct Fake {
    unsigned reads, writes, resets;
    unsigned client, region, size;
    uint64_t offset, value;
} Fake;

static uint64_t fake_read(RioDevice *dev, void *state, unsigned client,
                          unsigned region, uint64_t offset, unsigned size)
{
    Fake *f = state;

    f->reads++;
    f->client = client;
    f->region = region;
    f->offset = offset;
    f->size = size;
    return f->value;
}

static void fake_write(RioDevice *dev, void *state, unsigned client,
                       unsigned region, uint64_t offset, unsigned size,
                       uint64_t value)
{
    Fake *f = state;

    f->writes++;
    f->client = client;
    f->region = region;
    f->offset = offset;
    f->size = size;
    f->value = value;
}

static void fake_reset(RioDevice *dev, void *state, unsigned client, int kind)
{
    Fake *f = state;

    /* What is raised in here must come behind the reply */
    g_assert_cmpuint(replies, ==, 1);
    f->resets += kind;
}

static const RioModule fake_type = {
    .name = "fake",
    .read = fake_read,
    .write = fake_write,
    .reset = fake_reset,
};

/* --- the rest of the server --- */

static RioMessage reply;
static unsigned bad;
static unsigned reports;
static unsigned drops;
static unsigned doorbells;
static unsigned dma_replies;
static unsigned state_messages[3];

void riod_session_reply(RiodSession *s, RioMessage *m)
{
    replies++;
    reply = *m;
}

void riod_session_bad_locked(RiodSession *s, const RioError *err)
{
    bad++;
}

void riod_trace_report_locked(RiodConnection *conn, const RioMessage *m)
{
    reports++;
}

void riod_session_irq_drop(RiodSession *s)
{
    drops++;
}

void riod_set_reason(RioMessage *m, uint8_t status, const char *text)
{
    m->status = status;
    g_strlcpy(m->reason, text, sizeof(m->reason));
}

bool riod_rate_allows(RiodRate *rate, const char *whose)
{
    return false;
}

void riod_log(const char *fmt, ...)
{
}

RiodDoorbell *riod_doorbell_receive(RiodSession *s, const RioMessage *m)
{
    return m->flags & RIO_FLAG_MORE ? NULL : (RiodDoorbell *)&doorbells;
}

void riod_doorbell_unref(RiodDoorbell *d)
{
    doorbells++;
}

void riod_dma_reply(RiodSession *s, const RioMessage *m)
{
    dma_replies++;
}

void riod_quiesce(RiodSession *s, const RioMessage *m)
{
    state_messages[0]++;
}

void riod_state_save_piece(RiodSession *s, const RioMessage *m)
{
    state_messages[1]++;
}

void riod_state_load_piece(RiodSession *s, const RioMessage *m)
{
    state_messages[2]++;
}

/* --- fixture --- */

typedef struct Router {
    RiodInstance inst;
    RiodSession session;
    RiodVM vm;
    Fake fake;
} Router;

/*
 * Region 0: 4 KiB; at 0x100 of it 16 bytes that only 4-byte accesses reach;
 * its upper half holds an MSI-X table of 8 vectors and, at 0xc00, the pending
 * bits.  Region 2: 16 bytes, without ranges.
 */
static void router_setup(Router *r, gconstpointer unused)
{
    RioDescription *d = &r->inst.desc;

    memset(r, 0, sizeof(*r));
    r->inst.type = &fake_type;
    r->inst.state = &r->fake;
    r->inst.id = (char *)"fake0";
    r->inst.region_size[0] = 4096;
    r->inst.region_size[2] = 16;
    d->num_ranges = 1;
    d->ranges[0] = (RioRange) { .region = 0, .sizes = 4, .offset = 0x100,
                                .length = 16 };
    for (int i = 1; i <= RIO_MAX_REGIONS; i++) {
        r->inst.first_range[i] = 1;
    }
    d->msix_vectors = 8;
    d->msix_table_offset = 0x800;
    d->msix_pba_offset = 0xc00;
    r->session.inst = &r->inst;
    r->session.slot = 3;
    r->session.vm = &r->vm;
    r->vm.name = (char *)"vm";
    replies = bad = drops = doorbells = dma_replies = 0;
    memset(state_messages, 0, sizeof(state_messages));
}

static void router_teardown(Router *r, gconstpointer unused)
{
}

static uint8_t do_read(Router *r, unsigned region, uint64_t offset,
                       unsigned size)
{
    RioMessage m;
    unsigned before = replies;

    rio_message_init(&m, RIO_OP_REGION_READ, 0, 77);
    m.read.region = region;
    m.read.offset = offset;
    m.read.size = size;
    riod_route(&r->session, &m);
    g_assert_cmpuint(replies, ==, before + 1);
    g_assert_cmpuint(reply.op, ==, RIO_OP_REGION_READ_REPLY);
    g_assert_cmpuint(reply.tag, ==, 77);
    return reply.status;
}

static void send_write(Router *r, unsigned region, uint64_t offset,
                       unsigned size, uint64_t value, uint8_t flags)
{
    RioMessage m;

    rio_message_init(&m, RIO_OP_REGION_WRITE, flags, 78);
    m.write = (RioWrite) { .region = region, .offset = offset, .size = size,
                           .value = value };
    riod_route(&r->session, &m);
}

static uint8_t do_write(Router *r, unsigned region, uint64_t offset,
                        unsigned size)
{
    unsigned before = replies;

    send_write(r, region, offset, size, 1, 0);
    g_assert_cmpuint(replies, ==, before + 1);
    g_assert_cmpuint(reply.op, ==, RIO_OP_REGION_WRITE_REPLY);
    g_assert_cmpuint(reply.tag, ==, 78);
    return reply.status;
}

/* --- tests --- */

static void test_read_arrives_as_sent(Router *r, gconstpointer unused)
{
    r->fake.value = 0x1122334455667788;
    g_assert_cmpuint(do_read(r, 0, 0x18, 8), ==, RIO_STATUS_OK);
    g_assert_cmphex(reply.value.value, ==, 0x1122334455667788);
    g_assert_cmpuint(r->fake.client, ==, 3);
    g_assert_cmpuint(r->fake.region, ==, 0);
    g_assert_cmphex(r->fake.offset, ==, 0x18);
    g_assert_cmpuint(r->fake.size, ==, 8);
    g_assert_cmpuint(r->session.reads, ==, 1);
}

static void test_value_is_cut_to_the_size(Router *r, gconstpointer unused)
{
    r->fake.value = UINT64_MAX;
    for (unsigned size = 1; size < 8; size *= 2) {
        do_read(r, 0, 0, size);
        g_assert_cmphex(reply.value.value, ==, (1ull << (8 * size)) - 1);
    }
}

static void test_write_arrives_as_sent(Router *r, gconstpointer unused)
{
    send_write(r, 2, 8, 8, 0xfedcba9876543210, 0);
    g_assert_cmpuint(reply.status, ==, RIO_STATUS_OK);
    g_assert_cmpuint(r->fake.region, ==, 2);
    g_assert_cmphex(r->fake.offset, ==, 8);
    g_assert_cmphex(r->fake.value, ==, 0xfedcba9876543210);
    g_assert_cmpuint(r->session.writes, ==, 1);
    g_assert_cmpuint(r->session.posted, ==, 0);
}

static void test_posted_write_gets_no_reply(Router *r, gconstpointer unused)
{
    send_write(r, 0, 0, 4, 5, RIO_FLAG_POSTED);
    g_assert_cmpuint(r->fake.writes, ==, 1);
    send_write(r, 7, 0, 4, 5, RIO_FLAG_POSTED);     /* also when refused */
    g_assert_cmpuint(r->fake.writes, ==, 1);
    g_assert_cmpuint(replies, ==, 0);
    g_assert_cmpuint(r->session.posted, ==, 2);
    g_assert_cmpuint(r->session.refused, ==, 1);
}

static void test_batch_is_carried_out_in_order(Router *r,
                                               gconstpointer unused)
{
    uint8_t buf[1024];
    RioSession *client = rio_session_new(RIO_SIDE_CLIENT);
    const RioIds ids = { 1, 1, 1, 1 };
    const uint8_t token[RIO_TOKEN_SIZE] = { 1 };
    const uint8_t *data;
    RioMessage m;
    RioError err;
    size_t n;

    rio_session_start(client, &ids, 1, token, RIO_DEFAULT_LOG);
    for (unsigned i = 0; i < 10; i++) {
        RioWrite w = { .region = i == 5 ? 6 : 2, .size = 1, .offset = i,
                       .value = 100 + i };

        g_assert(rio_session_post(client, &w));
    }
    n = rio_session_tx(client, &data);
    g_assert_cmpuint(n, <=, sizeof(buf));
    memcpy(buf, data, n);
    g_assert_cmpint(rio_decode(buf, n, RIO_MAX_MESSAGE, &m, &err), ==,
                    RIO_DECODE_OK);
    g_assert_cmpuint(m.op, ==, RIO_OP_REGION_WRITE_BATCH);
    riod_route(&r->session, &m);
    g_assert_cmpuint(r->fake.writes, ==, 9);    /* one of them was refused */
    g_assert_cmphex(r->fake.offset, ==, 9);
    g_assert_cmphex(r->fake.value, ==, 109);
    g_assert_cmpuint(r->session.posted, ==, 10);
    g_assert_cmpuint(r->session.refused, ==, 1);
    g_assert_cmpuint(replies, ==, 0);
    rio_session_free(client);
}

/* Last bytes of a region, and each way to be beyond them */
static void test_only_what_lies_in_a_region_passes(Router *r,
                                                   gconstpointer unused)
{
    static const struct {
        unsigned region;
        uint64_t offset;
        unsigned size;
        bool ok;
    } cases[] = {
        { 2, 0, 8, true }, { 2, 8, 8, true }, { 2, 12, 4, true },
        { 2, 14, 2, true }, { 2, 15, 1, true },
        { 2, 9, 8, false }, { 2, 13, 4, false }, { 2, 15, 2, false },
        { 2, 16, 1, false }, { 2, 4096, 1, false },
        { 2, UINT64_MAX, 1, false }, { 2, UINT64_MAX - 7, 8, false },
        { 1, 0, 1, false }, { 7, 0, 1, false }, { 8, 0, 1, false },
        { 255, 0, 1, false },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t expected = cases[i].ok ? RIO_STATUS_OK : RIO_STATUS_RANGE;
        unsigned before = r->fake.reads + r->fake.writes;

        g_assert_cmpuint(do_read(r, cases[i].region, cases[i].offset,
                                 cases[i].size), ==, expected);
        g_assert_cmpuint(do_write(r, cases[i].region, cases[i].offset,
                                  cases[i].size), ==, expected);
        g_assert_cmpuint(r->fake.reads + r->fake.writes, ==,
                         before + 2 * cases[i].ok);
        g_assert(cases[i].ok || *reply.reason);
    }
}

static void test_range_decides_which_sizes_pass(Router *r,
                                                gconstpointer unused)
{
    g_assert_cmpuint(do_read(r, 0, 0x100, 4), ==, RIO_STATUS_OK);
    g_assert_cmpuint(do_read(r, 0, 0x10c, 4), ==, RIO_STATUS_OK);
    g_assert_cmpuint(do_read(r, 0, 0x100, 1), ==, RIO_STATUS_RANGE);
    g_assert_cmpuint(do_read(r, 0, 0x10f, 1), ==, RIO_STATUS_RANGE);
    g_assert_cmpuint(do_write(r, 0, 0x108, 8), ==, RIO_STATUS_RANGE);
    /* Half of it lies in the range, from either side */
    g_assert_cmpuint(do_read(r, 0, 0xfc, 8), ==, RIO_STATUS_RANGE);
    g_assert_cmpuint(do_read(r, 0, 0x10c, 8), ==, RIO_STATUS_RANGE);
    /* Beside it everything passes */
    g_assert_cmpuint(do_read(r, 0, 0xff, 1), ==, RIO_STATUS_OK);
    g_assert_cmpuint(do_read(r, 0, 0x110, 8), ==, RIO_STATUS_OK);
}

static void test_msix_table_never_reaches_the_module(Router *r,
                                                     gconstpointer unused)
{
    g_assert_cmpuint(do_read(r, 0, 0x7f8, 8), ==, RIO_STATUS_OK);
    g_assert_cmpuint(do_read(r, 0, 0x7fc, 8), ==, RIO_STATUS_RANGE);
    g_assert_cmpuint(do_write(r, 0, 0x800, 4), ==, RIO_STATUS_RANGE);
    g_assert_cmpuint(do_write(r, 0, 0x87c, 4), ==, RIO_STATUS_RANGE);
    g_assert_cmpuint(do_write(r, 0, 0x880, 4), ==, RIO_STATUS_OK);
    g_assert_cmpuint(do_read(r, 0, 0xc07, 1), ==, RIO_STATUS_RANGE);
    g_assert_cmpuint(do_read(r, 0, 0xc08, 1), ==, RIO_STATUS_OK);
    /* Another region at the same offsets does not matter */
    g_assert_cmpuint(do_read(r, 2, 0, 4), ==, RIO_STATUS_OK);
}

static void test_reset_drops_interrupts_and_is_answered(Router *r,
                                                        gconstpointer unused)
{
    RioMessage m;

    rio_message_init(&m, RIO_OP_RESET, 0, 79);
    m.reset.kind = RIO_RESET_FUNCTION;
    riod_route(&r->session, &m);
    g_assert_cmpuint(r->fake.resets, ==, RIO_RESET_FUNCTION);
    g_assert_cmpuint(drops, ==, 1);
    g_assert_cmpuint(replies, ==, 1);
    g_assert_cmpuint(reply.op, ==, RIO_OP_RESET_REPLY);
    g_assert_cmpuint(reply.tag, ==, 79);
}

static void test_what_was_not_offered_ends_the_connection(Router *r,
                                                          gconstpointer unused)
{
    static const uint8_t ops[] = { RIO_OP_QUIESCE, RIO_OP_DOORBELL,
                                   RIO_OP_DMA_READ_REPLY, RIO_OP_TIME_SYNC };

    for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
        RioMessage m;

        rio_message_init(&m, ops[i], 0, 0);
        riod_route(&r->session, &m);
        g_assert_cmpuint(bad, ==, i + 1);
    }
    g_assert_cmpuint(replies, ==, 0);
    g_assert_cmpuint(r->fake.reads + r->fake.writes, ==, 0);
}

static void test_state_is_for_who_agreed_on_it(Router *r, gconstpointer x)
{
    static const uint8_t ops[] = { RIO_OP_QUIESCE, RIO_OP_STATE_SAVE,
                                   RIO_OP_STATE_LOAD };

    for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
        RioMessage m;

        r->session.caps = RIO_CAP_DMA | RIO_CAP_RECIPES;
        rio_message_init(&m, ops[i], 0, 0);
        riod_route(&r->session, &m);
        g_assert_cmpuint(bad, ==, i + 1);
        g_assert_cmpuint(state_messages[i], ==, 0);
        r->session.caps = RIO_CAP_STATE;
        riod_route(&r->session, &m);
        g_assert_cmpuint(bad, ==, i + 1);
        g_assert_cmpuint(state_messages[i], ==, 1);
    }
}

static void test_doorbell_is_rung_when_its_memory_is_there(Router *r,
                                                           gconstpointer x)
{
    RioMessage m;

    r->session.caps = RIO_CAP_RECIPES;
    rio_message_init(&m, RIO_OP_DOORBELL, RIO_FLAG_POSTED | RIO_FLAG_MORE, 0);
    m.doorbell.write = (RioWrite) { .offset = 8, .size = 4, .value = 7 };
    m.doorbell.total = 100;
    riod_route(&r->session, &m);
    g_assert_cmpuint(r->fake.writes, ==, 0);
    m.flags = RIO_FLAG_POSTED;
    m.doorbell.total = 20;
    riod_route(&r->session, &m);
    g_assert_cmpuint(r->fake.writes, ==, 1);
    g_assert_cmpuint(r->fake.value, ==, 7);
    g_assert_cmpuint(doorbells, ==, 1);
    g_assert_null(r->inst.ringing);
    g_assert_cmpuint(r->session.stats.doorbells, ==, 1);
    g_assert_cmpuint(r->session.stats.doorbell_bytes, ==, 120);
    g_assert_cmpuint(bad + replies, ==, 0);
}

static void test_dma_reply_passes_where_it_was_agreed_on(Router *r,
                                                         gconstpointer x)
{
    RioMessage m;

    rio_message_init(&m, RIO_OP_DMA_READ_REPLY, 0, 1);
    r->session.caps = RIO_CAP_RECIPES;
    riod_route(&r->session, &m);
    g_assert_cmpuint(bad, ==, 1);
    g_assert_cmpuint(dma_replies, ==, 0);
    r->session.caps = RIO_CAP_DMA;
    riod_route(&r->session, &m);
    g_assert_cmpuint(bad, ==, 1);
    g_assert_cmpuint(dma_replies, ==, 1);
}

#define ADD(path, test) \
    g_test_add("/remote-io/router/" path, Router, NULL, router_setup, test, \
               router_teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("read-arrives-as-sent", test_read_arrives_as_sent);
    ADD("value-is-cut-to-the-size", test_value_is_cut_to_the_size);
    ADD("write-arrives-as-sent", test_write_arrives_as_sent);
    ADD("posted-write-gets-no-reply", test_posted_write_gets_no_reply);
    ADD("batch-is-carried-out-in-order", test_batch_is_carried_out_in_order);
    ADD("only-what-lies-in-a-region-passes",
        test_only_what_lies_in_a_region_passes);
    ADD("range-decides-which-sizes-pass", test_range_decides_which_sizes_pass);
    ADD("msix-table-never-reaches-the-module",
        test_msix_table_never_reaches_the_module);
    ADD("reset-drops-interrupts-and-is-answered",
        test_reset_drops_interrupts_and_is_answered);
    ADD("doorbell-is-rung-when-its-memory-is-there",
        test_doorbell_is_rung_when_its_memory_is_there);
    ADD("dma-reply-passes-where-it-was-agreed-on",
        test_dma_reply_passes_where_it_was_agreed_on);
    ADD("state-is-for-who-agreed-on-it", test_state_is_for_who_agreed_on_it);
    ADD("what-was-not-offered-ends-the-connection",
        test_what_was_not_offered_ends_the_connection);
    return g_test_run();
}
