/*
 * The nvme module, saved and loaded
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * That commands under way survive, whatever they are at, is shown beside the
 * other schedules, in test-remote-io-module-nvme-stress.c.
 */

#include "qemu/osdep.h"
#include "remote-io-module-state.h"
#include "remote-io-nvme-driver.h"

#define AER         0x0c
#define GET_LOG     0x02
#define LOG_ERROR   1
#define LOG_SMART   2
#define LOG_CHANGED 4

const RioModule *rio_module_nvme_init(void);

static void move(Nv *nv, const char *params)
{
    g_autofree char *all = g_strdup_printf("drive=d0%s", params);

    nv->h = fake_move(nv->h, all);
}

static uint32_t feature(Nv *nv, uint32_t cdw10, uint32_t cdw11)
{
    const NvSqe sqe = { .opcode = 0x0a, .cdw10 = cdw10, .cdw11 = cdw11 };
    NvCqe cqe = nv_do(nv, 0, &sqe);

    g_assert_cmphex(cqe.status, ==, 0);
    return cqe.result;
}

static void get_log(Nv *nv, uint8_t id, uint32_t bytes, uint64_t page)
{
    const NvSqe sqe = {
        .opcode = GET_LOG, .nsid = 0xffffffff, .prp1 = page,
        .cdw10 = id | (bytes / 4 - 1) << 16,
    };

    g_assert_cmphex(nv_do(nv, 0, &sqe).status, ==, 0);
}

static void test_registers_and_queues(void)
{
    static const unsigned regs[] = { NV_CAP, NV_VS, NV_INTMS, NV_CC, NV_CSTS,
                                     NV_AQA, NV_ASQ, NV_ASQ + 4, NV_ACQ,
                                     NV_ACQ + 4 };
    Nv *nv = nv_start("");
    uint64_t data = nv_pages(nv, 1);
    uint32_t before[G_N_ELEMENTS(regs)];

    fake_write(nv->h, NV_INTMS, 4, 0xf0);
    for (unsigned i = 0; i < G_N_ELEMENTS(regs); i++) {
        before[i] = fake_read(nv->h, regs[i], 4);
    }
    nv_pattern(nv_at(nv, data), 512, 3);
    g_assert_cmphex(nv_rw(nv, 1, 7, 1, data, 0), ==, 0);
    move(nv, "");
    for (unsigned i = 0; i < G_N_ELEMENTS(regs); i++) {
        g_assert_cmphex(fake_read(nv->h, regs[i], 4), ==, before[i]);
    }
    /* Many times around the queues, moved each time */
    for (unsigned i = 0; i < 200; i++) {
        memset(nv_at(nv, data), 0, 512);
        g_assert_cmphex(nv_rw(nv, 2, 7, 1, data, 0), ==, 0);
        g_assert_true(nv_is_pattern(nv_at(nv, data), 512, 3));
        move(nv, "");
    }
    g_assert_cmphex(nv_create(nv, 2, 8, 1), ==, 0);
    nv_disable(nv);
    move(nv, "");
    g_assert_cmphex(fake_read(nv->h, NV_CSTS, 4), ==, 0);
    nv_enable(nv);
    nv_free(nv);
}

static void test_features_and_logs(void)
{
    static const struct {
        uint32_t id, value;
    } set[] = {
        { 0x01, 3 }, { 0x02, 0x20 }, { 0x04, 0x123 }, { 0x06, 0 },
        { 0x08, 0x407 }, { 0x09, 1 << 16 | 2 }, { 0x0a, 1 }, { 0x0b, 0x100 },
    };
    Nv *nv = nv_start("");
    uint64_t page = nv_pages(nv, 1);
    uint8_t smart[512], errors[1024];
    NvSqe bad = nv_rw_sqe(2, 1ull << 60, 1, page, 0);

    for (unsigned i = 0; i < G_N_ELEMENTS(set); i++) {
        nv_admin(nv, 0x09, set[i].id, set[i].value);
    }
    for (unsigned i = 0; i < 20; i++) {
        g_assert_cmphex(nv_do(nv, 1, &bad).status, !=, 0);
    }
    g_assert_cmphex(nv_rw(nv, 2, 0, 8, page, 0), ==, 0);
    get_log(nv, LOG_SMART, 512, page);
    memcpy(smart, nv_at(nv, page), sizeof(smart));
    get_log(nv, LOG_ERROR, 1024, page);
    memcpy(errors, nv_at(nv, page), sizeof(errors));
    g_assert_cmpuint(nv_get64(errors), ==, 20);
    move(nv, "");
    for (unsigned i = 0; i < G_N_ELEMENTS(set); i++) {
        uint32_t value = feature(nv, set[i].id, set[i].value & 0xffff);

        g_assert_cmphex(value, ==, set[i].value);
    }
    get_log(nv, LOG_SMART, 512, page);
    g_assert_cmpmem(nv_at(nv, page), 512, smart, 512);
    get_log(nv, LOG_ERROR, 1024, page);
    g_assert_cmpmem(nv_at(nv, page), 1024, errors, 1024);
    nv_free(nv);
}

/* Requests that are parked wait at the other server; what was told stays so */
static void test_events(void)
{
    const NvSqe aer = { .opcode = AER };
    Nv *nv = nv_start("");
    uint64_t page = nv_pages(nv, 1);
    uint16_t cids[4];
    NvCqe cqe;

    nv_admin(nv, 0x09, 0x0b, 0x100);
    for (unsigned i = 0; i < 4; i++) {
        cids[i] = nv_put(nv, 0, &aer);
    }
    nv_ring(nv, 0);
    move(nv, "");
    g_assert_false(nv_take(nv, 0, &cqe));
    fake_resize(nv->h, 1 << 20);
    g_assert_true(nv_take(nv, 0, &cqe));
    g_assert_cmphex(cqe.result, ==, 0x040002);
    g_assert_true(cqe.cid >= cids[0] && cqe.cid <= cids[3]);
    /* Not again before the log was read, which tells of the change once */
    fake_resize(nv->h, 2 << 20);
    g_assert_false(nv_take(nv, 0, &cqe));
    move(nv, "");
    g_assert_false(nv_take(nv, 0, &cqe));
    get_log(nv, LOG_CHANGED, 4, page);
    g_assert_cmpuint(nv_get32(nv_at(nv, page)), ==, 1);
    move(nv, "");
    get_log(nv, LOG_CHANGED, 4, page);
    g_assert_cmpuint(nv_get32(nv_at(nv, page)), ==, 0);
    fake_resize(nv->h, 3 << 20);
    g_assert_true(nv_take(nv, 0, &cqe));
    g_assert_cmphex(cqe.result, ==, 0x040002);
    nv_free(nv);
}

/* The log was filled and the change forgotten, but the guest never saw it */
static void test_change_that_was_not_seen_is_told_again(void)
{
    const NvSqe log = {
        .opcode = GET_LOG, .nsid = 0xffffffff, .prp1 = 0x8000,
        .cdw10 = LOG_CHANGED,
    };
    Nv *nv = nv_start("");
    NvCqe cqe;

    fake_resize(nv->h, 1 << 20);
    nv->h->mem->hold = true;
    nv_put(nv, 0, &log);
    nv_ring(nv, 0);
    g_assert_true(fake_release(nv->h, FAKE_CALL_DMA_READ));
    g_assert_cmpuint(fake_held(nv->h, FAKE_CALL_DMA_WRITE), ==, 1);
    move(nv, "");
    fake_release_all(nv->h);
    g_assert_true(nv_take(nv, 0, &cqe));
    g_assert_cmphex(cqe.status, ==, 0);
    g_assert_cmpuint(nv_get32(nv_at(nv, 0x8000)), ==, 1);
    nv_free(nv);
}

/* A queue is made once, though its command is carried out twice */
static void test_admin_commands_are_carried_out_again(void)
{
    Nv *nv = nv_new("shadow-doorbells=on");
    uint64_t page = nv_pages(nv, 2), cq = nv_pages(nv, 1);
    const NvSqe config = { .opcode = 0x7c, .prp1 = page,
                           .prp2 = page + NV_PAGE };
    const NvSqe create = { .opcode = 5, .prp1 = cq, .cdw10 = 1 | 7 << 16,
                           .cdw11 = 1 << 16 | 3 };
    const NvSqe cache = { .opcode = 9, .cdw10 = 6, .cdw11 = 0 };
    NvCqe cqe;

    nv_enable(nv);
    g_assert_cmphex(nv_do(nv, 0, &config).status, ==, 0);
    for (unsigned steps = 0; steps < 6; steps++) {
        nv->h->mem->hold = true;
        nv_put(nv, 0, steps & 1 ? &cache : &create);
        nv_ring(nv, 0);
        for (unsigned i = 0; i < steps / 2 + 1; i++) {
            fake_release(nv->h, FAKE_CALL_NONE);
        }
        nv->h->mem->unflushed = true;
        move(nv, ",shadow-doorbells=on");
        fake_release_all(nv->h);
        g_assert_true(nv_take(nv, 0, &cqe));
        g_assert_cmphex(cqe.status, ==, 0);
        g_assert_false(nv_take(nv, 0, &cqe));
        if (!(steps & 1)) {
            g_assert_cmphex(nv_admin(nv, 4, 1, 0), ==, 0);
        }
    }
    g_assert_cmphex(feature(nv, 6, 0), ==, 0);
    nv_free(nv);
}

/* The pin is as high as it was, and falls when the host has read on */
static void test_pin(void)
{
    Nv *nv = nv_new("");
    const NvSqe identify = { .opcode = 6, .prp1 = 0x8000, .cdw10 = 1 };
    NvCqe cqe;

    nv_enable(nv);
    nv_put(nv, 0, &identify);
    nv_ring(nv, 0);
    g_assert_true(nv->h->line[0]);
    move(nv, "");
    g_assert_true(nv->h->line[0]);
    g_assert_true(nv_take(nv, 0, &cqe));
    g_assert_false(nv->h->line[0]);
    nv_free(nv);
}

static void test_shutdown_and_reset_under_way(void)
{
    Nv *nv = nv_start("");
    const NvSqe flush = { .opcode = 0, .nsid = 1 };

    nv->h->mem->hold = true;
    fake_write(nv->h, NV_CC, 4, NV_CC_ON | 1 << 14);
    g_assert_cmphex(fake_read(nv->h, NV_CSTS, 4) & 0xc, ==, 4);
    nv->h->mem->unflushed = true;
    move(nv, "");
    g_assert_cmphex(fake_read(nv->h, NV_CSTS, 4) & 0xc, ==, 4);
    fake_release_all(nv->h);
    g_assert_cmphex(fake_read(nv->h, NV_CSTS, 4) & 0xc, ==, 8);
    g_assert_false(nv->h->mem->unflushed);

    nv_disable(nv);
    nv_enable(nv);
    g_assert_cmphex(nv_create(nv, 1, 64, 1), ==, 0);
    nv->h->mem->hold = true;
    nv_put(nv, 1, &flush);
    nv_ring(nv, 1);
    fake_release(nv->h, FAKE_CALL_DMA_READ);
    nv_disable(nv);
    g_assert_cmphex(fake_read(nv->h, NV_CSTS, 4) & NV_RDY, ==, NV_RDY);
    /* There is no task at the other server that it would have to wait for */
    move(nv, "");
    g_assert_cmphex(fake_read(nv->h, NV_CSTS, 4), ==, 0);
    nv_enable(nv);
    nv->h->mem->hold = false;
    nv_free(nv);
}

/* ---- the disk must be the same ----------------------------------------- */

static char *load_into(const char *params, uint64_t length, GByteArray *saved)
{
    FakeHost *h = fake_open(rio_module_nvme_init(), params);
    char *why;

    fake_attach(h, 0);
    fake_resize(h, length);
    why = fake_load(h, saved->data, saved->len);
    fake_settle(h);
    fake_close(h);
    return why;
}

static void test_disk_is_the_same(void)
{
    Nv *nv = nv_start("serial=one");
    uint64_t length = nv->h->mem->disk_info.length;
    g_autoptr(GByteArray) saved = fake_save(nv->h);
    static const struct {
        const char *params;
        int64_t more;
        const char *word;
    } table[] = {
        { "drive=d0,serial=one", 0, NULL },
        { "drive=d0,serial=one", 4096, NULL },
        { "drive=d0,serial=one", -512, "blocks" },
        { "drive=d0,serial=two", 0, "serial" },
        { "drive=d0,serial=one,model=x", 0, "model" },
        { "drive=d0,serial=one,logical-block-size=4096", 0, "blocks" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        g_autofree char *why = load_into(table[i].params,
                                         length + table[i].more, saved);

        if (table[i].word) {
            g_assert_nonnull(why);
            g_assert_nonnull(strstr(why, table[i].word));
        } else {
            g_assert_cmpstr(why, ==, NULL);
        }
    }
    nv_free(nv);
}

/* ---- a state is input -------------------------------------------------- */

static void use(FakeHost *h)
{
    Nv nv = { .h = h, .next_page = 16 * NV_PAGE, .cc = NV_CC_ON };
    const NvSqe identify = { .opcode = 6, .prp1 = 0x8000, .cdw10 = 1 };

    fake_write(h, NV_SQ_DOORBELL(0), 4, 1);
    fake_write(h, NV_SQ_DOORBELL(1), 4, 3);
    fake_write(h, NV_CQ_DOORBELL(1), 4, 2);
    fake_reset(h, 0, RIO_MODULE_RESET_FUNCTION);
    g_assert_cmpuint(h->mem->tasks, ==, 0);
    nv_enable(&nv);
    g_assert_cmphex(nv_do(&nv, 0, &identify).status, ==, 0);
}

static void test_damaged(void)
{
    Nv *nv = nv_start("queues=2");
    const NvSqe aer = { .opcode = AER };
    NvSqe bad = nv_rw_sqe(2, 1ull << 60, 1, 0x8000, 0);
    NvSqe sqe = nv_rw_sqe(1, 9, 8, 0x8000, 0);

    nv_do(nv, 1, &bad);
    nv->h->mem->hold = true;
    nv_put(nv, 0, &aer);
    nv_ring(nv, 0);
    for (unsigned i = 0; i < 3; i++) {
        nv_put(nv, 1, &sqe);
    }
    nv_ring(nv, 1);
    while (fake_release(nv->h, FAKE_CALL_DMA_READ)) {
        /* up to the disk */
    }
    fake_save_cost(nv->h);
    g_assert_true(fake_release(nv->h, FAKE_CALL_BLOCK_WRITE));
    g_assert_cmpuint(fake_held(nv->h, FAKE_CALL_DMA_WRITE), ==, 1);
    fake_state_hostile(nv->h, "drive=d0,queues=2", use);
    fake_release_all(nv->h);
    nv_free(nv);
}

static void test_cost(void)
{
    Nv *nv = nv_start("queues=8");
    NvSqe sqe = nv_rw_sqe(2, 9, 8, 0x8000, 0);

    for (unsigned i = 2; i <= 8; i++) {
        g_assert_cmphex(nv_create(nv, i, 64, i), ==, 0);
    }
    fake_save_cost(nv->h);
    nv->h->mem->hold = true;
    for (unsigned i = 0; i < 32; i++) {
        nv_put(nv, 1, &sqe);
    }
    nv_ring(nv, 1);
    fake_release(nv->h, FAKE_CALL_DMA_READ);
    fake_save_cost(nv->h);
    fake_release_all(nv->h);
    nv_free(nv);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define T(name, func) g_test_add_func("/nvme/state/" name, func)
    T("registers-and-queues", test_registers_and_queues);
    T("features-and-logs", test_features_and_logs);
    T("events", test_events);
    T("change-that-was-not-seen-is-told-again",
      test_change_that_was_not_seen_is_told_again);
    T("admin-commands-are-carried-out-again",
      test_admin_commands_are_carried_out_again);
    T("pin", test_pin);
    T("shutdown-and-reset-under-way", test_shutdown_and_reset_under_way);
    T("disk-is-the-same", test_disk_is_the_same);
    T("cost", test_cost);
    T("damaged", test_damaged);
#undef T
    return g_test_run();
}
