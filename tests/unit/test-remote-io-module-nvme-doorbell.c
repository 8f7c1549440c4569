/*
 * The nvme module: doorbells that bring what they are rung for, and doorbells
 * in the guest's memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "remote-io-nvme-driver.h"

#define FLUSH   0x00
#define WRITE   0x01
#define READ    0x02
#define DSM     0x09

/* ---- recipes ----------------------------------------------------------- */

/* A batch of every command under one doorbell: nothing is asked for later */
static void test_batch_costs_no_round_trip(void)
{
    Nv *nv = nv_start("");
    uint64_t page = nv_pages(nv, 8);
    NvSqe flush = { .opcode = FLUSH, .nsid = 1 };
    NvSqe dsm = { .opcode = DSM, .nsid = 1, .prp1 = page, .cdw11 = 4 };
    unsigned trips = nv->h->mem->round_trips;
    unsigned i;
    NvCqe cqe;

    for (i = 0; i < 8; i++) {
        NvSqe sqe = nv_rw_sqe(i & 1 ? WRITE : READ, 64 * i, 16,
                              page + 4096 * i, page);

        nv_put(nv, 1, &sqe);
    }
    nv_put(nv, 1, &flush);
    nv_put(nv, 1, &dsm);
    nv_ring(nv, 1);
    for (i = 0; i < 10; i++) {
        g_assert_true(nv_take(nv, 1, &cqe));
        g_assert_cmphex(cqe.status, ==, 0);
    }
    g_assert_cmpuint(nv->h->mem->round_trips, ==, trips);
    nv_free(nv);
}

/* Of a read only the places go along, not what is there */
static void test_reads_send_lists_only(void)
{
    Nv *nv = nv_start("");
    uint64_t list = nv_pages(nv, 1);
    uint64_t data = nv_pages(nv, 32);
    NvSqe sqe = nv_rw_sqe(READ, 0, 256, data, list);
    unsigned i, bytes = 0;

    for (i = 0; i < 31; i++) {
        nv_put64(nv_at(nv, list + 8 * i), data + (i + 1) * NV_PAGE);
    }
    nv->h->mem->hold = true;
    nv_put(nv, 1, &sqe);
    nv_ring(nv, 1);
    for (i = 0; i < nv->h->mem->along->len; i++) {
        bytes += g_array_index(nv->h->mem->along, RioModuleSegment, i).len;
    }
    g_assert_cmpuint(bytes, ==, 64 + 31 * 8);
    nv_free(nv);
}

static void test_recipes_go_with_their_queue(void)
{
    Nv *nv = nv_start("");
    const RioRecipe *r = &nv->h->mem->recipes[2];
    const RioRecipe *lazy = &nv->h->mem->recipes[3];

    g_assert_cmpuint(nv->h->mem->recipes[0].num_rules, ==, 0);
    g_assert_cmpuint(nv->h->mem->recipes[0].entries, ==, 32);
    g_assert_cmpuint(r->entries, ==, 64);
    g_assert_cmphex(r->offset, ==, NV_SQ_DOORBELL(1));
    g_assert_cmphex(r->ring, ==, nv->q[1].sq);
    g_assert_cmpuint(r->max_data, >=, 128 * 1024);
    g_assert_cmpuint(lazy->entries, ==, 0);
    g_assert_cmphex(lazy->offset, ==, NV_SQ_DOORBELL(1) + 4);
    nv_admin(nv, 0x00, 1, 0);
    g_assert_cmpuint(r->entries, ==, 0);
    g_assert_cmphex(lazy->offset, ==, NV_SQ_DOORBELL(1) + 4);
    g_assert_cmphex(nv_create(nv, 1, 64, 1), !=, 0);    /* CQ is still there */
    nv_disable(nv);
    g_assert_cmpuint(nv->h->mem->recipes[0].entries, ==, 0);
    nv_free(nv);
}

/* ---- shadow doorbells -------------------------------------------------- */

static void test_shadow_doorbells_are_optional(void)
{
    Nv *nv = nv_start("");
    NvSqe config = { .opcode = 0x7c, .prp1 = 0x100000, .prp2 = 0x101000 };

    g_assert_cmphex(nv_do(nv, 0, &config).status, ==, 0x001);
    nv_free(nv);
}

/*
 * The host rings only when it passes the event index.  Commands come in
 * bursts; each must be carried out although few doorbells are rung.
 */
static void test_shadow_doorbells_replace_registers(void)
{
    Nv *nv = nv_start("shadow-doorbells=on");
    uint64_t shadow = nv_pages(nv, 1);
    uint64_t index = nv_pages(nv, 1);
    uint64_t page = nv_pages(nv, 1);
    NvSqe config = { .opcode = 0x7c, .prp1 = shadow, .prp2 = index };
    NvSqe read = nv_rw_sqe(READ, 0, 1, page, 0);
    unsigned i, rung = 0, done = 0;
    NvCqe cqe;

    config.prp1 += 512;
    g_assert_cmphex(nv_do(nv, 0, &config).status, ==, 0x002);
    config.prp1 = shadow;
    g_assert_cmphex(nv_do(nv, 0, &config).status, ==, 0);
    nv->h->mem->hold = true;
    for (i = 0; i < 300; i++) {
        NvQueue *q = &nv->q[1];
        uint16_t old = q->tail;
        uint16_t event, now;

        nv_put(nv, 1, &read);
        now = q->tail;
        nv_put32(nv_at(nv, shadow + 8), now);
        event = nv_get32(nv_at(nv, index + 8));
        if ((uint16_t)(now - event - 1) < (uint16_t)(now - old)) {
            fake_write(nv->h, NV_SQ_DOORBELL(1), 4, now);
            rung++;
        }
        if (i % 7 == 6 || i == 299) {
            while (fake_release(nv->h, FAKE_CALL_NONE)) {
                while (nv_peek(nv, 1, &cqe)) {
                    g_assert_cmphex(cqe.status, ==, 0);
                    nv_put32(nv_at(nv, shadow + 12), q->head);
                    done++;
                }
            }
        }
    }
    g_assert_cmpuint(done, ==, 300);
    g_assert_cmpuint(rung, <, 100);
    nv->h->mem->hold = false;
    nv_free(nv);
}

/* The pin falls when the host has read on, so it must be told to ring */
static void test_shadow_doorbells_with_a_pin(void)
{
    Nv *nv = nv_new("shadow-doorbells=on");
    uint64_t shadow = nv_pages(nv, 1);
    uint64_t index = nv_pages(nv, 1);
    NvSqe config = { .opcode = 0x7c, .prp1 = shadow, .prp2 = index };
    NvSqe flush = { .opcode = FLUSH, .nsid = 1 };
    NvSqe log = { .opcode = 2, .prp1 = nv_pages(nv, 1),
                  .cdw10 = 5 | 1023 << 16 };
    NvCqe cqe;
    unsigned i;

    nv_enable(nv);
    g_assert_cmphex(nv_do(nv, 0, &config).status, ==, 0);
    memset(nv_at(nv, index), 0xff, 64);
    g_assert_cmphex(nv_create(nv, 1, 16, 0), ==, 0);
    g_assert_cmphex(nv_get32(nv_at(nv, index + 8)), ==, 0);
    g_assert_cmphex(nv_get32(nv_at(nv, index + 12)), ==, 0);
    for (i = 0; i < 20; i++) {
        uint32_t head = nv->q[1].head;

        nv_put(nv, 1, &flush);
        nv_put32(nv_at(nv, shadow + 8), nv->q[1].tail);
        fake_write(nv->h, NV_SQ_DOORBELL(1), 4, nv->q[1].tail);
        g_assert_true(nv->h->line[0]);
        g_assert_cmpuint(nv_get32(nv_at(nv, index + 12)), ==, head);
        nv_put32(nv_at(nv, shadow + 12), (head + 1) % 16);
        g_assert_true(nv_take(nv, 1, &cqe));
        g_assert_false(nv->h->line[0]);
    }
    nv_do(nv, 0, &log);
    g_assert_cmphex(nv_at(nv, log.prp1)[4 * 0x7c], ==, 1);
    nv_free(nv);
}

/* A tail in memory that cannot be is left alone, and said */
static void test_bad_shadow_doorbell(void)
{
    Nv *nv = nv_start("shadow-doorbells=on");
    uint64_t shadow = nv_pages(nv, 1);
    NvSqe config = { .opcode = 0x7c, .prp1 = shadow,
                     .prp2 = nv_pages(nv, 1) };
    unsigned errors = nv->h->guest_errors;

    g_assert_cmphex(nv_do(nv, 0, &config).status, ==, 0);
    nv_put32(nv_at(nv, shadow + 8), 64);
    fake_write(nv->h, NV_SQ_DOORBELL(1), 4, 1);
    g_assert_cmpuint(nv->h->guest_errors, ==, errors + 1);
    g_assert_cmpuint(nv->h->mem->tasks, ==, 0);
    nv_free(nv);
}
int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/nvme/recipes/batch-costs-no-round-trip",
                    test_batch_costs_no_round_trip);
    g_test_add_func("/nvme/recipes/reads-send-lists-only",
                    test_reads_send_lists_only);
    g_test_add_func("/nvme/recipes/go-with-their-queue",
                    test_recipes_go_with_their_queue);
    g_test_add_func("/nvme/shadow/optional",
                    test_shadow_doorbells_are_optional);
    g_test_add_func("/nvme/shadow/replace-registers",
                    test_shadow_doorbells_replace_registers);
    g_test_add_func("/nvme/shadow/with-a-pin",
                    test_shadow_doorbells_with_a_pin);
    g_test_add_func("/nvme/shadow/bad", test_bad_shadow_doorbell);
    return g_test_run();
}
