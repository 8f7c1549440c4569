/*
 * The nvme module under load: any order of events, resets, nonsense
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The host calls of tasks are held and let go in random order, so that a
 * run is one of many schedules; the seed makes it repeatable.
 */

#include "qemu/osdep.h"
#include "remote-io-module-state.h"
#include "remote-io-nvme-driver.h"

#define SLOTS           48      /* commands in flight at most */
#define SLOT_BLOCKS     64
#define SLOT_BYTES      (SLOT_BLOCKS * 512)
#define QUEUES          3

/* A part of the disk that only one command at a time is about */
typedef struct Slot {
    bool busy;
    bool written;               /* else it is all zero */
    uint32_t seed;              /* of what is on the disk */
    uint8_t opcode;
    uint32_t new_seed;
    unsigned queue;
    uint16_t cid;
    uint64_t data;              /* guest memory, SLOT_BYTES */
    uint64_t list;
} Slot;

typedef struct Load {
    Nv *nv;
    GRand *rand;
    Slot slot[SLOTS];
    unsigned submitted, completed, resets;
    unsigned move_percent;      /* of the steps of its tasks */
    unsigned moves;
    bool dirty[QUEUES + 1];     /* entries put, not rung */
} Load;

static bool slot_holds(Load *l, const Slot *s, uint32_t seed, bool written)
{
    static const uint8_t zero[SLOT_BYTES];
    const uint8_t *disk = l->nv->h->mem->disk + (s - l->slot) * SLOT_BYTES;

    return written ? nv_is_pattern(disk, SLOT_BYTES, seed)
                   : !memcmp(disk, zero, SLOT_BYTES);
}

/* Scattered pages, by a list or by descriptors */
static void slot_point(Load *l, Slot *s, NvSqe *sqe)
{
    unsigned i;

    if (g_rand_boolean(l->rand)) {
        sqe->prp1 = s->data;
        sqe->prp2 = s->list;
        for (i = 1; i < SLOT_BYTES / NV_PAGE; i++) {
            nv_put64(nv_at(l->nv, s->list + 8 * (i - 1)),
                     s->data + i * NV_PAGE);
        }
    } else {
        memset(nv_at(l->nv, s->list), 0, 64);
        for (i = 0; i < 2; i++) {
            uint8_t *p = nv_at(l->nv, s->list + 16 * i);

            nv_put64(p, s->data + i * SLOT_BYTES / 2);
            nv_put32(p + 8, SLOT_BYTES / 2);
        }
        sqe->flags = 0x40;
        sqe->prp1 = s->list;
        sqe->prp2 = 32 | 0x30ull << 56;
    }
}

static void submit(Load *l)
{
    static const uint8_t opcodes[] = { 1, 1, 2, 2, 5, 8, 0 };
    Slot *s = &l->slot[g_rand_int_range(l->rand, 0, SLOTS)];
    unsigned q = g_rand_int_range(l->rand, 1, QUEUES + 1);
    NvQueue *queue = &l->nv->q[q];
    unsigned used = 0, i;
    NvSqe sqe;

    for (i = 0; i < SLOTS; i++) {
        used += l->slot[i].busy && l->slot[i].queue == q;
    }
    if (s->busy || used + 1 >= queue->sq_size) {
        return;
    }
    s->opcode = opcodes[g_rand_int_range(l->rand, 0, sizeof(opcodes))];
    s->new_seed = g_rand_int(l->rand);
    sqe = nv_rw_sqe(s->opcode, (s - l->slot) * SLOT_BLOCKS, SLOT_BLOCKS, 0,
                    0);
    slot_point(l, s, &sqe);
    if (s->opcode == 1) {
        nv_pattern(nv_at(l->nv, s->data), SLOT_BYTES, s->new_seed);
    } else if (s->opcode == 5) {
        memcpy(nv_at(l->nv, s->data),
               l->nv->h->mem->disk + (s - l->slot) * SLOT_BYTES, SLOT_BYTES);
    }
    s->busy = true;
    s->queue = q;
    s->cid = nv_put(l->nv, q, &sqe);
    l->submitted++;
    l->dirty[q] = true;
}

static void completed(Load *l, const NvCqe *cqe, unsigned q)
{
    Slot *s = l->slot;

    while (!s->busy || s->queue != q || s->cid != cqe->cid) {
        g_assert_true(++s < l->slot + SLOTS);
    }
    g_assert_cmphex(cqe->status, ==, 0);
    if (s->opcode == 1) {
        s->written = true;
        s->seed = s->new_seed;
    } else if (s->opcode == 8) {
        s->written = false;
    } else if (s->opcode == 2) {
        g_assert_cmpint(memcmp(nv_at(l->nv, s->data), l->nv->h->mem->disk +
                               (s - l->slot) * SLOT_BYTES, SLOT_BYTES),
                        ==, 0);
    }
    g_assert_true(slot_holds(l, s, s->seed, s->written));
    s->busy = false;
    l->completed++;
}

static void take(Load *l, unsigned q)
{
    NvCqe cqe;

    while (nv_take(l->nv, q, &cqe)) {
        completed(l, &cqe, q);
    }
}

/*
 * To another server, or back to what it is: a state is saved at this very
 * moment, in the middle of whatever is under way, and loaded.
 */
static void move(Load *l)
{
    if (g_rand_boolean(l->rand)) {
        l->nv->h = fake_move(l->nv->h, "drive=d0,queues=3");
    } else {
        g_autoptr(GByteArray) saved = fake_save(l->nv->h);
        g_autofree char *why = fake_load(l->nv->h, saved->data, saved->len);

        g_assert_cmpstr(why, ==, NULL);
        fake_settle(l->nv->h);
    }
    l->moves++;
}

static void release(Load *l)
{
    unsigned held;

    if (g_rand_int_range(l->rand, 0, 100) < l->move_percent) {
        move(l);
    }
    held = fake_held(l->nv->h, FAKE_CALL_NONE);
    if (held) {
        fake_release_nth(l->nv->h, g_rand_int_range(l->rand, 0, held));
    }
}

static void create_queues(Load *l)
{
    static const uint32_t sizes[] = { 0, 64, 17, 5 };
    FakeHost *h = l->nv->h;
    unsigned q;

    h->mem->hold = false;
    nv_enable(l->nv);
    for (q = 1; q <= QUEUES; q++) {
        g_assert_cmphex(nv_create(l->nv, q, sizes[q], q), ==, 0);
        l->dirty[q] = false;
    }
    h->mem->hold = true;
}

/* What a reset cut off was carried out, or not: nothing in between */
static void settle_slots(Load *l)
{
    Slot *s;

    for (s = l->slot; s < l->slot + SLOTS; s++) {
        if (s->busy && s->opcode == 1 &&
            slot_holds(l, s, s->new_seed, true)) {
            s->written = true;
            s->seed = s->new_seed;
        } else if (s->busy && s->opcode == 8 &&
                   slot_holds(l, s, 0, false)) {
            s->written = false;
        }
        g_assert_true(slot_holds(l, s, s->seed, s->written));
        s->busy = false;
    }
}

static void reset_controller(Load *l)
{
    FakeHost *h;

    nv_disable(l->nv);
    while (fake_read(l->nv->h, NV_CSTS, 4) & NV_RDY) {
        g_assert_cmpuint(fake_held(l->nv->h, FAKE_CALL_NONE), >, 0);
        release(l);
    }
    h = l->nv->h;
    /* From here on the host may use its memory for something else */
    h->mem->frozen = true;
    g_assert_cmpuint(fake_held(h, FAKE_CALL_NONE), ==, 0);
    g_assert_cmpuint(h->mem->tasks, ==, 0);
    settle_slots(l);
    h->mem->frozen = false;
    create_queues(l);
    l->resets++;
}

static void delete_queue(Load *l)
{
    const NvSqe sqe = { .opcode = 0, .cdw10 = 3 };
    const NvSqe again = { .opcode = 1, .prp1 = l->nv->q[3].sq,
                          .cdw10 = 3 | 4 << 16, .cdw11 = 3 << 16 | 1 };
    NvCqe cqe;
    Slot *s;

    if (l->dirty[3]) {
        return;
    }
    nv_put(l->nv, 0, &sqe);
    nv_ring(l->nv, 0);
    while (!nv_take(l->nv, 0, &cqe)) {
        release(l);
        take(l, 3);
    }
    g_assert_cmphex(cqe.status, ==, 0);
    take(l, 3);
    for (s = l->slot; s < l->slot + SLOTS; s++) {
        if (s->busy && s->queue == 3) {
            /* Not fetched, or dropped for want of room */
            bool done = s->opcode == 1 && slot_holds(l, s, s->new_seed, true);
            bool zero = s->opcode == 8 && slot_holds(l, s, 0, false);

            s->seed = done ? s->new_seed : s->seed;
            s->written = done || (s->written && !zero);
            g_assert_true(slot_holds(l, s, s->seed, s->written));
            s->busy = false;
        }
    }
    l->nv->q[3].tail = 0;
    nv_put(l->nv, 0, &again);
    nv_ring(l->nv, 0);
    while (!nv_take(l->nv, 0, &cqe)) {
        release(l);
    }
    g_assert_cmphex(cqe.status, ==, 0);
}

static void load_start(Load *l, uint32_t seed)
{
    unsigned i;

    l->nv = nv_new("queues=3");
    l->rand = g_rand_new_with_seed(seed);
    for (i = 0; i < SLOTS; i++) {
        l->slot[i].data = nv_pages(l->nv, SLOT_BYTES / NV_PAGE);
        l->slot[i].list = nv_pages(l->nv, 1);
    }
    create_queues(l);
}

static void load_step(Load *l, bool resets)
{
    unsigned what = g_rand_int_range(l->rand, 0, 1000);
    unsigned q = g_rand_int_range(l->rand, 1, QUEUES + 1);

    if (what < 250) {
        submit(l);
    } else if (what < 400) {
        nv_ring(l->nv, q);
        l->dirty[q] = false;
    } else if (what < 850) {
        release(l);
    } else if (what < 990 || !resets) {
        take(l, q);
    } else if (what < 995) {
        delete_queue(l);
    } else {
        reset_controller(l);
    }
}

static void load_end(Load *l)
{
    unsigned q;

    for (q = 1; q <= QUEUES; q++) {
        nv_ring(l->nv, q);
    }
    do {
        fake_release_all(l->nv->h);
        for (q = 1; q <= QUEUES; q++) {
            take(l, q);
        }
    } while (l->nv->h->mem->tasks);
    nv_free(l->nv);
    g_rand_free(l->rand);
}

/* Every command completes, once, with the right data, in any schedule */
static void test_any_order(void)
{
    uint32_t seed;

    for (seed = 0; seed < 20; seed++) {
        Load l = { 0 };
        unsigned i;

        load_start(&l, seed);
        for (i = 0; i < 5000; i++) {
            load_step(&l, false);
        }
        load_end(&l);
        g_assert_cmpuint(l.completed, ==, l.submitted);
        g_assert_cmpuint(l.completed, >, 300);
    }
}

/*
 * The host resets the controller, or deletes a queue, at any moment.  After
 * RDY is 0 there is no DMA and no change of the disk; what was cut off was
 * carried out as a whole or not at all.
 */
static void test_reset_at_any_moment(void)
{
    uint32_t seed;

    for (seed = 100; seed < 130; seed++) {
        Load l = { 0 };
        unsigned i;

        load_start(&l, seed);
        for (i = 0; i < 5000; i++) {
            load_step(&l, true);
        }
        load_end(&l);
        g_assert_cmpuint(l.resets, >, 5);
        g_assert_cmpuint(l.completed, >, 100);
    }
}

/*
 * The state is saved at any moment and loaded, in another instance or in the
 * one that it is of.  Still every command completes, once, with the right
 * data, and a reset is one.
 */
static void test_move_at_any_moment(void)
{
    uint32_t seed;

    for (seed = 200; seed < 215; seed++) {
        Load l = { .move_percent = seed % 5 ? 3 : 30 };
        bool resets = seed & 1;
        unsigned i;

        load_start(&l, seed);
        for (i = 0; i < 5000; i++) {
            load_step(&l, resets);
        }
        load_end(&l);
        g_assert_cmpuint(l.moves, >, 30);
        g_assert_cmpuint(l.completed, >, 30);
        if (!resets) {
            g_assert_cmpuint(l.completed, ==, l.submitted);
        }
    }
}

/* More in flight than there is room: queues wait, none is left behind */
static void test_more_commands_than_room(void)
{
    Nv *nv = nv_new("queues=3");
    uint64_t data = nv_pages(nv, 1);
    unsigned q, i, done[4] = { 0 };
    NvCqe cqe;

    nv_enable(nv);
    for (q = 1; q <= 3; q++) {
        g_assert_cmphex(nv_create(nv, q, 256, q), ==, 0);
    }
    nv->h->mem->hold = true;
    for (q = 1; q <= 3; q++) {
        NvSqe sqe = nv_rw_sqe(2, 0, 1, data, 0);

        for (i = 0; i < 255; i++) {
            nv_put(nv, q, &sqe);
        }
        nv_ring(nv, q);
    }
    while (fake_release(nv->h, FAKE_CALL_NONE)) {
        for (q = 1; q <= 3; q++) {
            while (nv_take(nv, q, &cqe)) {
                done[q]++;
            }
        }
    }
    g_assert_cmpuint(nv->h->mem->max_tasks, <=, 256 + 8);
    for (q = 1; q <= 3; q++) {
        g_assert_cmpuint(done[q], ==, 255);
    }
    nv->h->mem->hold = false;
    nv_free(nv);
}

/* Large transfers are bounded by bytes, too */
static void test_more_bytes_than_room(void)
{
    Nv *nv = nv_start("mdts=10");
    uint64_t s = nv_pages(nv, 1);
    uint64_t data = nv_pages(nv, 1024);
    NvSqe sqe = nv_rw_sqe(2, 0, 8192, s, 0);
    unsigned i, done = 0, most = 0;
    NvCqe cqe;

    sqe.flags = 0x40;
    sqe.prp1 = data;
    sqe.prp2 = 4u << 20;
    nv->h->mem->hold = true;
    for (i = 0; i < 40; i++) {
        nv_put(nv, 1, &sqe);
    }
    nv_ring(nv, 1);
    while (fake_release(nv->h, FAKE_CALL_NONE)) {
        most = MAX(most, fake_held(nv->h, FAKE_CALL_BLOCK_READ) +
                         fake_held(nv->h, FAKE_CALL_DMA_WRITE));
        while (nv_take(nv, 1, &cqe)) {
            g_assert_cmphex(cqe.status, ==, 0);
            done++;
        }
    }
    g_assert_cmpuint(done, ==, 40);
    g_assert_cmpuint(most, <=, 8);              /* 32 MiB */
    nv->h->mem->hold = false;
    nv_free(nv);
}

/* ---- nonsense ---------------------------------------------------------- */

static void random_entry(Nv *nv, GRand *rand, unsigned q)
{
    uint8_t *p = nv_at(nv, nv->q[q].sq + 64 * nv->q[q].tail);
    static const uint8_t io[] = { 0, 1, 2, 5, 8, 9 };
    static const uint8_t admin[] = { 0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 0x7c };
    unsigned i;

    for (i = 0; i < 16; i++) {
        nv_put32(p + 4 * i, g_rand_int(rand) >> g_rand_int_range(rand, 0, 32));
    }
    if (g_rand_int_range(rand, 0, 8)) {
        p[0] = q ? io[g_rand_int_range(rand, 0, sizeof(io))]
                 : admin[g_rand_int_range(rand, 0, sizeof(admin))];
        p[1] = g_rand_boolean(rand) ? 0 : 0x40;
        nv_put32(p + 4, 1);
    }
    for (i = 24; i < 40; i += 8) {
        if (g_rand_boolean(rand)) {
            nv_put64(p + i, g_rand_int(rand) % FAKE_RAM_SIZE & ~0xfffull);
        }
    }
    if (q) {
        nv_put32(p + 44, 0);
        nv_put32(p + 48, g_rand_int_range(rand, 0, 40));
    }
    nv->q[q].tail = (nv->q[q].tail + 1) % nv->q[q].sq_size;
}

static void random_access(Nv *nv, GRand *rand)
{
    uint64_t offset = g_rand_boolean(rand) ? g_rand_int_range(rand, 0, 0x40)
                                           : g_rand_int_range(rand, 0x1000,
                                                              0x1040);
    unsigned size = 4u << g_rand_int_range(rand, 0, 2);
    uint64_t value = g_rand_int(rand) >> g_rand_int_range(rand, 0, 32);

    offset &= ~(uint64_t)(size - 1);
    if (fake_size_allowed(nv->h, offset, size)) {
        fake_write(nv->h, offset, size, value);
        fake_read(nv->h, offset, size);
    }
}

/* Random entries, lists, doorbells and registers: it lives, and recovers */
static void test_survives_nonsense(void)
{
    uint32_t seed;

    for (seed = 0; seed < 30; seed++) {
        Nv *nv = nv_new(seed & 1 ? "queues=3,shadow-doorbells=on"
                                 : "queues=3");
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        uint64_t page;
        NvCqe cqe;
        unsigned i, q;

        for (i = 0; i < FAKE_RAM_SIZE; i += 4) {
            nv_put32(nv_at(nv, i), g_rand_int(rand) % FAKE_RAM_SIZE);
        }
        nv_enable(nv);
        g_assert_cmphex(nv_create(nv, 1, 16, 1), ==, 0);
        g_assert_cmphex(nv_create(nv, 2, 5, 2), ==, 0);
        nv->h->mem->hold = true;
        for (i = 0; i < 4000; i++) {
            q = g_rand_int_range(rand, 0, 3);
            switch (g_rand_int_range(rand, 0, 8)) {
            case 0:
            case 1:
                random_entry(nv, rand, q);
                break;
            case 2:
                nv_ring(nv, q);
                break;
            case 3:
                nv_take(nv, q, &cqe);
                break;
            case 4:
                if (!g_rand_int_range(rand, 0, 50)) {
                    random_access(nv, rand);
                }
                break;
            default:
                q = fake_held(nv->h, FAKE_CALL_NONE);
                if (q) {
                    fake_release_nth(nv->h, g_rand_int_range(rand, 0, q));
                }
            }
        }
        fake_release_all(nv->h);
        fake_reset(nv->h, 0, RIO_MODULE_RESET_FUNCTION);
        nv->next_page = 16 * NV_PAGE;
        memset(nv->q, 0, sizeof(nv->q));
        nv_enable(nv);
        g_assert_cmphex(nv_create(nv, 1, 16, 1), ==, 0);
        page = nv_pages(nv, 1);
        g_assert_cmphex(nv_rw(nv, 1, 0, 8, page, 0), ==, 0);
        nv_free(nv);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/nvme/stress/any-order", test_any_order);
    g_test_add_func("/nvme/stress/reset-at-any-moment",
                    test_reset_at_any_moment);
    g_test_add_func("/nvme/stress/move-at-any-moment",
                    test_move_at_any_moment);
    g_test_add_func("/nvme/stress/more-commands-than-room",
                    test_more_commands_than_room);
    g_test_add_func("/nvme/stress/more-bytes-than-room",
                    test_more_bytes_than_room);
    g_test_add_func("/nvme/stress/survives-nonsense",
                    test_survives_nonsense);
    return g_test_run();
}
