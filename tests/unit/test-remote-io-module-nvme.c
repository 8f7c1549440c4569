/*
 * The nvme module: registers, reset, queues, interrupts
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "remote-io-nvme-driver.h"

const RioModule *rio_module_nvme_init(void);

static uint32_t csts(Nv *nv)
{
    return fake_read(nv->h, NV_CSTS, 4);
}

static void test_registers_read_as_specified(void)
{
    Nv *nv = nv_new("");
    uint64_t cap = fake_read(nv->h, NV_CAP, 8);

    g_assert_cmphex(cap & 0xffff, ==, 0x7ff);           /* MQES */
    g_assert_cmphex(cap >> 16 & 1, ==, 1);              /* CQR */
    g_assert_cmphex(cap >> 17 & 3, ==, 0);              /* AMS */
    g_assert_cmphex(cap >> 32 & 0xf, ==, 0);            /* DSTRD */
    g_assert_cmphex(cap >> 37 & 0xff, ==, 1);           /* CSS: NVM */
    g_assert_cmphex(cap >> 48 & 0xf, ==, 0);            /* MPSMIN */
    g_assert_cmphex(cap >> 52 & 0xf, ==, 4);            /* MPSMAX */
    g_assert_cmphex(fake_read(nv->h, NV_CAP, 4), ==, (uint32_t)cap);
    g_assert_cmphex(fake_read(nv->h, NV_CAP + 4, 4), ==, cap >> 32);
    g_assert_cmphex(fake_read(nv->h, NV_VS, 4), ==, 0x00010400);
    g_assert_cmphex(fake_read(nv->h, NV_CC, 4), ==, 0);
    g_assert_cmphex(csts(nv), ==, 0);
    g_assert_cmphex(fake_read(nv->h, 0x38, 8), ==, 0);  /* CMB: none */
    g_assert_cmphex(fake_read(nv->h, 0xe00, 4), ==, 0); /* PMR: none */
    nv_free(nv);
}

static void test_describes_a_pci_function(void)
{
    Nv *nv = nv_new("queues=4");
    const RioModuleInfo *info = &nv->h->info;

    g_assert_cmphex(info->class_code, ==, 0x010802);
    g_assert_cmpuint(info->msix_vectors, ==, 5);
    g_assert_cmpuint(info->lines, ==, 1);
    g_assert_cmpuint(info->regions[0].index, ==, 0);
    g_assert_cmphex(fake_attrs(nv->h, NV_SQ_DOORBELL(4)), ==,
                    RIO_MODULE_POSTED | RIO_MODULE_DOORBELL);
    g_assert_cmphex(fake_attrs(nv->h, NV_CC) & RIO_MODULE_POSTED, ==,
                    RIO_MODULE_POSTED);
    g_assert_false(fake_size_allowed(nv->h, NV_SQ_DOORBELL(1), 8));
    /* Idle, it is cheap: buffers exist only while they are used */
    g_assert_cmpuint(nv->h->module->state_size, <=, 8192);
    nv_free(nv);
}

static void refuse(const char *params, const char *why)
{
    FakeHost *h = fake_open(rio_module_nvme_init(), params);

    g_assert_null(h->state);
    g_assert_nonnull(strstr(h->failure->str, why));
    fake_close(h);
}

static void test_refuses_bad_parameters(void)
{
    refuse("drive=none", "'none'");
    refuse("drive=d0,queues=0", "queues=0");
    refuse("drive=d0,queues=64", "queues=64");
    refuse("drive=d0,mdts=0", "mdts=0");
    refuse("drive=d0,mdts=11", "mdts=11");
    refuse("drive=d0,logical-block-size=1024", "logical-block-size=1024");
    refuse("drive=d0,serial=123456789012345678901", "1 to 20");
    refuse("drive=d0,serial=", "serial=''");
    refuse("drive=d0,logical-block-size=4096,model=", "model=''");
    refuse("drive=tiny0", "less than one block of 512");
    refuse("drive=d0,model=caf\xc3\xa9", "printable");
}

static void test_does_not_enable_what_cannot_work(void)
{
    static const struct {
        uint32_t cc;
        uint32_t aqa;
        uint64_t asq, acq;
    } bad[] = {
        { NV_CC_ON | 5 << 7, 31 << 16 | 31, 0x10000, 0x20000 }, /* MPS */
        { NV_CC_ON | 1 << 4, 31 << 16 | 31, 0x10000, 0x20000 }, /* CSS */
        { NV_CC_ON | 1 << 11, 31 << 16 | 31, 0x10000, 0x20000 }, /* AMS */
        { NV_CC_ON, 31 << 16, 0x10000, 0x20000 },       /* ASQS 0 */
        { NV_CC_ON, 31, 0x10000, 0x20000 },             /* ACQS 0 */
        /* Not on a page of 16 KiB */
        { NV_CC_ON | 2 << 7, 31 << 16 | 31, 0x1000, 0x20000 },
        { NV_CC_ON | 2 << 7, 31 << 16 | 31, 0x10000, 0x21000 },
    };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(bad); i++) {
        Nv *nv = nv_new("");

        fake_write(nv->h, NV_AQA, 4, bad[i].aqa);
        fake_write(nv->h, NV_ASQ, 8, bad[i].asq);
        fake_write(nv->h, NV_ACQ, 8, bad[i].acq);
        fake_write(nv->h, NV_CC, 4, bad[i].cc);
        g_assert_cmphex(csts(nv), ==, NV_CFS);
        g_assert_cmpuint(nv->h->other_logs, ==, 1);
        nv_disable(nv);
        g_assert_cmphex(csts(nv), ==, 0);
        nv_enable(nv);
        nv_free(nv);
    }
}

static void test_queue_registers_take_both_widths(void)
{
    Nv *nv = nv_new("");

    fake_write(nv->h, NV_ASQ, 4, 0x12345fff);
    fake_write(nv->h, NV_ASQ + 4, 4, 0x9abcdef0);
    fake_write(nv->h, NV_ACQ, 8, 0x1122334455667788);
    g_assert_cmphex(fake_read(nv->h, NV_ASQ, 8), ==, 0x9abcdef012345000);
    g_assert_cmphex(fake_read(nv->h, NV_ACQ, 8), ==, 0x1122334455667000);
    fake_write(nv->h, NV_AQA, 4, 0xffffffff);
    g_assert_cmphex(fake_read(nv->h, NV_AQA, 4), ==, 0x0fff0fff);
    nv_free(nv);
}

/* ---- queues ------------------------------------------------------------ */

static uint16_t create_cq(Nv *nv, uint32_t cdw10, uint32_t cdw11,
                          uint64_t prp1)
{
    const NvSqe sqe = { .opcode = 5, .prp1 = prp1, .cdw10 = cdw10,
                        .cdw11 = cdw11 };

    return nv_do(nv, 0, &sqe).status;
}

static uint16_t create_sq(Nv *nv, uint32_t cdw10, uint32_t cdw11,
                          uint64_t prp1)
{
    const NvSqe sqe = { .opcode = 1, .prp1 = prp1, .cdw10 = cdw10,
                        .cdw11 = cdw11 };

    return nv_do(nv, 0, &sqe).status;
}

static void test_bad_queues_get_their_status(void)
{
    Nv *nv = nv_start("queues=4");

    /* Completion queues */
    g_assert_cmphex(create_cq(nv, 63 << 16 | 0, 3, 0x8000), ==, 0x101);
    g_assert_cmphex(create_cq(nv, 63 << 16 | 5, 3, 0x8000), ==, 0x101);
    g_assert_cmphex(create_cq(nv, 63 << 16 | 1, 3, 0x8000), ==, 0x101);
    g_assert_cmphex(create_cq(nv, 0 << 16 | 2, 3, 0x8000), ==, 0x102);
    g_assert_cmphex(create_cq(nv, 2048u << 16 | 2, 3, 0x8000), ==, 0x102);
    g_assert_cmphex(create_cq(nv, 63 << 16 | 2, 2, 0x8000), ==, 0x002);
    g_assert_cmphex(create_cq(nv, 63 << 16 | 2, 5 << 16 | 3, 0x8000), ==,
                    0x108);
    g_assert_cmphex(create_cq(nv, 63 << 16 | 2, 3, 0x8010), ==, 0x013);

    /* Submission queues */
    g_assert_cmphex(create_sq(nv, 63 << 16 | 0, 1 << 16 | 1, 0x8000), ==,
                    0x101);
    g_assert_cmphex(create_sq(nv, 63 << 16 | 1, 1 << 16 | 1, 0x8000), ==,
                    0x101);
    g_assert_cmphex(create_sq(nv, 63 << 16 | 2, 2 << 16 | 1, 0x8000), ==,
                    0x100);
    g_assert_cmphex(create_sq(nv, 63 << 16 | 2, 0 << 16 | 1, 0x8000), ==,
                    0x101);
    g_assert_cmphex(create_sq(nv, 63 << 16 | 2, 5 << 16 | 1, 0x8000), ==,
                    0x101);
    g_assert_cmphex(create_sq(nv, 0 << 16 | 2, 1 << 16 | 1, 0x8000), ==,
                    0x102);
    g_assert_cmphex(create_sq(nv, 63 << 16 | 2, 1 << 16, 0x8000), ==, 0x002);

    /* Deletion: no such queue; a completion queue in use */
    g_assert_cmphex(nv_admin(nv, 0x00, 0, 0), ==, 0x101);
    g_assert_cmphex(nv_admin(nv, 0x00, 3, 0), ==, 0x101);
    g_assert_cmphex(nv_admin(nv, 0x04, 0, 0), ==, 0x101);
    g_assert_cmphex(nv_admin(nv, 0x04, 1, 0), ==, 0x10c);
    g_assert_cmphex(nv_admin(nv, 0x00, 1, 0), ==, 0);
    g_assert_cmphex(nv_admin(nv, 0x04, 1, 0), ==, 0);
    g_assert_cmphex(nv_create(nv, 1, 16, 1), ==, 0);
    nv_free(nv);
}

static void test_entry_sizes_must_be_set_before_queues(void)
{
    Nv *nv = nv_new("");

    nv->cc = 0x00000001;
    nv_enable(nv);
    g_assert_cmphex(nv_create(nv, 1, 16, 1), ==, 0x102);
    nv_free(nv);
}

static void test_queues_go_round(void)
{
    Nv *nv = nv_new("");
    uint64_t page = nv_pages(nv, 1);
    unsigned i;

    nv_enable(nv);
    g_assert_cmphex(nv_create(nv, 1, 5, 1), ==, 0);
    for (i = 0; i < 23; i++) {
        nv_pattern(nv_at(nv, page), 512, i);
        g_assert_cmphex(nv_rw(nv, 1, i, 1, page, 0), ==, 0);
        g_assert_true(nv_is_pattern(nv->h->mem->disk + 512 * i, 512, i));
    }
    nv_free(nv);
}

/* Four entries in a queue of five, around its end: one fetch */
static void test_entries_around_the_end_are_one_fetch(void)
{
    Nv *nv = nv_new("");
    const NvSqe flush = { .opcode = 0, .nsid = 1 };
    unsigned reads, i;
    NvCqe cqe;

    nv_enable(nv);
    g_assert_cmphex(nv_create(nv, 1, 5, 1), ==, 0);
    nv_do(nv, 1, &flush);
    nv_do(nv, 1, &flush);
    nv_do(nv, 1, &flush);
    reads = nv->h->mem->calls[FAKE_CALL_DMA_READ];
    for (i = 0; i < 4; i++) {
        nv_put(nv, 1, &flush);
    }
    nv_ring(nv, 1);
    for (i = 0; i < 4; i++) {
        g_assert_true(nv_take(nv, 1, &cqe));
        g_assert_cmphex(cqe.status, ==, 0);
    }
    g_assert_cmpuint(nv->h->mem->calls[FAKE_CALL_DMA_READ], ==, reads + 1);
    nv_free(nv);
}

/* The host does not read completions: they wait, in order, none is lost */
static void test_full_completion_queue_holds_commands(void)
{
    Nv *nv = nv_start("");
    const NvSqe flush = { .opcode = 0, .nsid = 1 };
    unsigned i, next = 0;
    NvCqe cqe;

    /* 64 submission entries share a completion queue of 4 */
    g_assert_cmphex(create_cq(nv, 3 << 16 | 2, 2 << 16 | 3, 0x200000), ==,
                    0);
    nv->q[2] = (NvQueue) { .id = 2, .sq = 0x210000, .cq = 0x200000,
                           .sq_size = 64, .cq_size = 4, .phase = true };
    g_assert_cmphex(create_sq(nv, 63 << 16 | 2, 2 << 16 | 1, 0x210000), ==,
                    0);
    for (i = 0; i < 40; i++) {
        nv_put(nv, 2, &flush);
    }
    nv_ring(nv, 2);
    g_assert_cmpuint(nv->h->mem->tasks, ==, 0);
    while (next < 40) {
        unsigned got = 0;

        while (nv_peek(nv, 2, &cqe)) {
            g_assert_cmpuint(cqe.cid, ==, next++);
            got++;
        }
        g_assert_cmpuint(got, >=, 1);
        g_assert_cmpuint(got, <=, 3);
        fake_write(nv->h, NV_CQ_DOORBELL(2), 4, nv->q[2].head);
    }
    g_assert_false(nv_peek(nv, 2, &cqe));
    nv_free(nv);
}

static void test_bad_doorbells_are_told(void)
{
    Nv *nv = nv_start("queues=4");
    const NvSqe event = { .opcode = 0x0c };
    unsigned errors = nv->h->guest_errors;
    uint64_t page = nv_pages(nv, 1);
    NvSqe log = { .opcode = 0x02, .cdw10 = 15 << 16 | 1, .prp1 = page };
    NvCqe cqe;

    nv_put(nv, 0, &event);
    nv_ring(nv, 0);
    fake_write(nv->h, NV_SQ_DOORBELL(3), 4, 1);         /* no such queue */
    g_assert_true(nv_take(nv, 0, &cqe));
    g_assert_cmphex(cqe.result, ==, 0x00010000);
    g_assert_cmpuint(nv->h->guest_errors, ==, ++errors);

    /* Told once until the log is read */
    nv_put(nv, 0, &event);
    nv_ring(nv, 0);
    fake_write(nv->h, NV_SQ_DOORBELL(1), 4, 64);        /* over the end */
    g_assert_cmpuint(nv->h->guest_errors, ==, ++errors);
    g_assert_false(nv_take(nv, 0, &cqe));
    nv_do(nv, 0, &log);
    fake_write(nv->h, NV_CQ_DOORBELL(1), 4, 1);         /* nothing there */
    g_assert_cmpuint(nv->h->guest_errors, ==, ++errors);
    g_assert_true(nv_take(nv, 0, &cqe));
    g_assert_cmphex(cqe.result, ==, 0x00010100);

    /* The queue is as it was */
    g_assert_cmphex(nv_rw(nv, 2, 0, 1, page, 0), ==, 0);
    g_assert_cmphex(csts(nv), ==, NV_RDY);
    nv_free(nv);
}

static void test_doorbell_beyond_the_last_queue_is_harmless(void)
{
    Nv *nv = nv_start("queues=1");

    fake_write(nv->h, NV_SQ_DOORBELL(2), 4, 1);
    fake_write(nv->h, 0x1ffc, 4, 1);
    fake_write(nv->h, 0x1ff8, 8, 1);
    g_assert_cmpuint(nv->h->guest_errors, ==, 3);
    fake_write(nv->h, 0x1ff8, 2, 1);
    fake_write(nv->h, NV_VS, 4, 1);
    g_assert_cmpuint(nv->h->guest_errors, ==, 5);
    g_assert_cmphex(fake_read(nv->h, 0x1ff8, 8), ==, 0);
    g_assert_cmphex(csts(nv), ==, NV_RDY);
    nv_free(nv);
}

static void test_unreachable_queue_is_fatal(void)
{
    Nv *nv = nv_start("");
    const NvSqe flush = { .opcode = 0, .nsid = 1 };

    nv->h->mem->no_bus_master = true;
    nv_put(nv, 1, &flush);
    nv_ring(nv, 1);
    g_assert_cmphex(csts(nv), ==, NV_RDY | NV_CFS);
    nv->h->mem->no_bus_master = false;
    nv_ring(nv, 1);
    g_assert_cmphex(csts(nv), ==, NV_RDY | NV_CFS);
    nv_disable(nv);
    g_assert_cmphex(csts(nv), ==, 0);
    nv_enable(nv);
    nv_free(nv);
}

/* 5.6: completes when the queue's commands have */
static void test_queue_deletion_waits_for_commands(void)
{
    Nv *nv = nv_start("");
    const NvSqe read = nv_rw_sqe(2, 0, 1, nv_pages(nv, 1), 0);
    const NvSqe delete = { .opcode = 0, .cdw10 = 1 };
    NvCqe cqe;

    nv->h->mem->hold = true;
    nv_put(nv, 1, &read);
    nv_ring(nv, 1);
    while (!fake_held(nv->h, FAKE_CALL_BLOCK_READ)) {
        g_assert_true(fake_release(nv->h, FAKE_CALL_NONE));
    }
    nv_put(nv, 0, &delete);
    nv_ring(nv, 0);
    fake_release(nv->h, FAKE_CALL_DMA_READ);
    g_assert_cmpuint(fake_held(nv->h, FAKE_CALL_NONE), ==, 1);
    g_assert_false(nv_take(nv, 0, &cqe));
    fake_release_all(nv->h);
    g_assert_true(nv_peek(nv, 1, &cqe));
    g_assert_cmphex(cqe.status, ==, 0);
    g_assert_true(nv_take(nv, 0, &cqe));
    g_assert_cmphex(cqe.status, ==, 0);
    nv_free(nv);
}

/* Nobody reads the completion queue: deletion does not wait for that */
static void test_queue_deletion_does_not_wait_for_the_host(void)
{
    Nv *nv = nv_new("");
    const NvSqe flush = { .opcode = 0, .nsid = 1 };
    const NvSqe delete = { .opcode = 0, .cdw10 = 1 };
    unsigned i;
    NvCqe cqe;

    nv_enable(nv);
    g_assert_cmphex(nv_create(nv, 1, 5, 1), ==, 0);
    for (i = 0; i < 3; i++) {
        nv_put(nv, 1, &flush);
        nv_ring(nv, 1);
    }
    nv->h->mem->hold = true;
    for (i = 0; i < 4; i++) {
        nv_put(nv, 1, &flush);
        nv_ring(nv, 1);
        while (fake_held(nv->h, FAKE_CALL_BLOCK_FLUSH) <= i) {
            g_assert_true(fake_release(nv->h, FAKE_CALL_DMA_READ));
        }
    }
    nv_put(nv, 0, &delete);
    nv_ring(nv, 0);
    fake_release_all(nv->h);
    g_assert_true(nv_take(nv, 0, &cqe));
    g_assert_cmphex(cqe.status, ==, 0);
    g_assert_cmpuint(nv->h->mem->tasks, ==, 0);
    g_assert_cmphex(nv_admin(nv, 0x04, 1, 0), ==, 0);
    nv_free(nv);
}

/* A reset comes while a deletion waits */
static void test_reset_ends_a_queue_deletion(void)
{
    Nv *nv = nv_start("");
    const NvSqe flush = { .opcode = 0, .nsid = 1 };
    const NvSqe delete = { .opcode = 0, .cdw10 = 1 };
    NvCqe cqe;

    nv->h->mem->hold = true;
    nv_put(nv, 1, &flush);
    nv_ring(nv, 1);
    fake_release(nv->h, FAKE_CALL_DMA_READ);
    nv_put(nv, 0, &delete);
    nv_ring(nv, 0);
    fake_release(nv->h, FAKE_CALL_DMA_READ);
    g_assert_cmpuint(fake_held(nv->h, FAKE_CALL_BLOCK_FLUSH), ==, 1);
    nv_disable(nv);
    fake_release_all(nv->h);
    g_assert_cmphex(csts(nv), ==, 0);
    nv_enable(nv);
    g_assert_false(nv_peek(nv, 0, &cqe));
    g_assert_cmphex(nv_create(nv, 1, 64, 1), ==, 0);
    nv_free(nv);
}

/* ---- reset ------------------------------------------------------------- */

/* 7.3.2: RDY falls only when nothing of the old life can still happen */
static void test_reset_waits_for_what_is_under_way(void)
{
    Nv *nv = nv_start("");
    NvSqe write = nv_rw_sqe(1, 0, 1, nv_pages(nv, 1), 0);
    NvCqe cqe;

    nv->h->mem->hold = true;
    nv_put(nv, 1, &write);
    nv_ring(nv, 1);
    while (!fake_held(nv->h, FAKE_CALL_BLOCK_WRITE)) {
        g_assert_true(fake_release(nv->h, FAKE_CALL_NONE));
    }
    nv_disable(nv);
    g_assert_cmphex(csts(nv), ==, NV_RDY);
    fake_write(nv->h, NV_CC, 4, NV_CC_ON);
    g_assert_cmphex(csts(nv), ==, NV_RDY);
    nv_disable(nv);
    fake_release_all(nv->h);
    g_assert_cmphex(csts(nv), ==, 0);
    nv->h->mem->frozen = true;
    nv_enable(nv);
    nv->h->mem->frozen = false;
    g_assert_false(nv_peek(nv, 1, &cqe));
    g_assert_cmphex(nv_create(nv, 1, 64, 1), ==, 0);
    g_assert_cmphex(nv_rw(nv, 2, 0, 1, write.prp1, 0), ==, 0);
    nv_free(nv);
}

/* A system reset does not wait; enabling after it does */
static void test_system_reset_is_immediate(void)
{
    Nv *nv = nv_start("");
    NvSqe write = nv_rw_sqe(1, 0, 1, nv_pages(nv, 1), 0);

    nv->h->mem->hold = true;
    nv_put(nv, 1, &write);
    nv_ring(nv, 1);
    while (!fake_held(nv->h, FAKE_CALL_BLOCK_WRITE)) {
        g_assert_true(fake_release(nv->h, FAKE_CALL_NONE));
    }
    fake_reset(nv->h, 0, RIO_MODULE_RESET_SYSTEM);
    g_assert_cmphex(csts(nv), ==, 0);
    g_assert_cmphex(fake_read(nv->h, NV_CC, 4), ==, 0);
    g_assert_cmphex(fake_read(nv->h, NV_ASQ, 8), ==, 0);
    fake_write(nv->h, NV_AQA, 4, 31 << 16 | 31);
    fake_write(nv->h, NV_ASQ, 8, nv->q[0].sq);
    fake_write(nv->h, NV_ACQ, 8, nv->q[0].cq);
    fake_write(nv->h, NV_CC, 4, NV_CC_ON);
    g_assert_cmphex(csts(nv), ==, 0);
    fake_release_all(nv->h);
    g_assert_cmphex(csts(nv), ==, NV_RDY);
    nv_free(nv);
}

/*
 * A client leaves while a command waits in @call: the next one sees nothing
 * of it, and the disk no more of it than there was
 */
static void leave_during(uint8_t opcode, FakeCall call)
{
    Nv *nv = nv_start("");
    NvSqe sqe = nv_rw_sqe(opcode, 0, 32, nv_pages(nv, 4), nv_pages(nv, 1));
    unsigned messages;

    nv->h->mem->hold = true;
    nv_put(nv, 1, &sqe);
    nv_ring(nv, 1);
    fake_release(nv->h, FAKE_CALL_DMA_READ);            /* the entry */
    while (!fake_held(nv->h, call)) {
        g_assert_true(fake_release(nv->h, FAKE_CALL_NONE));
    }
    fake_detach(nv->h, 0);
    fake_attach(nv->h, 0);
    messages = nv->h->messages[0][1];
    /* Only the call itself, if it changes something, may still do so */
    nv->h->mem->frozen = call != FAKE_CALL_DMA_WRITE &&
                         call != FAKE_CALL_BLOCK_WRITE &&
                         call != FAKE_CALL_BLOCK_ZERO;
    fake_release_all(nv->h);
    nv->h->mem->frozen = false;
    g_assert_cmpuint(nv->h->messages[0][1], ==, messages);
    g_assert_cmphex(csts(nv), ==, 0);
    nv_enable(nv);
    g_assert_cmphex(nv_create(nv, 1, 64, 1), ==, 0);
    nv_free(nv);
}

static void test_next_client_finds_a_fresh_controller(void)
{
    leave_during(1, FAKE_CALL_DMA_READ);
    leave_during(1, FAKE_CALL_BLOCK_WRITE);
    leave_during(2, FAKE_CALL_BLOCK_READ);
    leave_during(2, FAKE_CALL_DMA_WRITE);
    leave_during(0, FAKE_CALL_BLOCK_FLUSH);
    leave_during(0, FAKE_CALL_DMA_WRITE);
    leave_during(8, FAKE_CALL_BLOCK_ZERO);
}

static void test_close_ends_what_is_under_way(void)
{
    Nv *nv = nv_start("");
    NvSqe write = nv_rw_sqe(1, 0, 1, nv_pages(nv, 1), 0);
    unsigned i;

    nv->h->mem->hold = true;
    for (i = 0; i < 10; i++) {
        nv_put(nv, 1, &write);
    }
    nv_ring(nv, 1);
    fake_release(nv->h, FAKE_CALL_DMA_READ);
    g_assert_cmpuint(fake_held(nv->h, FAKE_CALL_NONE), ==, 10);
    nv_free(nv);
}

static void test_reset_drops_what_the_host_did_not_take(void)
{
    Nv *nv = nv_start("");
    const NvSqe flush = { .opcode = 0, .nsid = 1 };
    const NvSqe event = { .opcode = 0x0c };
    unsigned round, i;

    for (round = 0; round < 20; round++) {
        nv_put(nv, 0, &event);
        nv_ring(nv, 0);
        for (i = 0; i < 63; i++) {
            nv_put(nv, 1, &flush);
        }
        nv_ring(nv, 1);
        /* A second submission queue of the same completion queue */
        g_assert_cmphex(create_sq(nv, 63 << 16 | 2, 1 << 16 | 1, 0x210000),
                        ==, 0);
        fake_ring(nv->h, NV_SQ_DOORBELL(2), 20);
        nv_disable(nv);
        nv_enable(nv);
        g_assert_cmphex(nv_create(nv, 1, 64, 1), ==, 0);
    }
    nv_free(nv);
}

static void test_shutdown_flushes(void)
{
    Nv *nv = nv_start("");

    g_assert_cmphex(nv_rw(nv, 1, 0, 1, nv_pages(nv, 1), 0), ==, 0);
    g_assert_true(nv->h->mem->unflushed);
    nv->h->mem->hold = true;
    fake_write(nv->h, NV_CC, 4, NV_CC_ON | 1 << 14);
    g_assert_cmphex(csts(nv), ==, NV_RDY | 1 << 2);
    fake_release_all(nv->h);
    g_assert_cmphex(csts(nv), ==, NV_RDY | 2 << 2);
    g_assert_false(nv->h->mem->unflushed);
    nv_disable(nv);
    g_assert_cmphex(csts(nv), ==, 0);
    nv_enable(nv);

    /* It ends, too, where the disk cannot; that is for the operator */
    nv->h->mem->hold = false;
    nv->h->mem->errors[FAKE_CALL_BLOCK_FLUSH] = EIO;
    fake_write(nv->h, NV_CC, 4, NV_CC_ON | 2 << 14);
    g_assert_cmphex(csts(nv), ==, NV_RDY | 2 << 2);
    g_assert_cmpuint(nv->h->other_logs, ==, 1);
    fake_write(nv->h, NV_CC, 4, NV_CC_ON);
    g_assert_cmphex(csts(nv), ==, NV_RDY);
    nv_free(nv);
}

/* ---- interrupts -------------------------------------------------------- */

static void test_each_queue_has_its_vector(void)
{
    Nv *nv = nv_start("queues=4");
    const NvSqe flush = { .opcode = 0, .nsid = 1 };
    unsigned *messages = nv->h->messages[0];
    unsigned admin = messages[0];

    g_assert_cmphex(nv_create(nv, 2, 16, 4), ==, 0);
    g_assert_cmpuint(messages[0], ==, admin + 2);
    nv_do(nv, 1, &flush);
    nv_do(nv, 2, &flush);
    nv_do(nv, 2, &flush);
    g_assert_cmpuint(messages[1], ==, 1);
    g_assert_cmpuint(messages[4], ==, 2);
    g_assert_cmpuint(messages[0], ==, admin + 2);
    nv_free(nv);
}

/* Once messages are in use a completion costs no change of the pin */
static void test_pin_is_quiet_under_messages(void)
{
    Nv *nv = nv_start("");
    const NvSqe flush = { .opcode = 0, .nsid = 1 };
    unsigned changes = nv->h->line_changes[0];

    nv_do(nv, 1, &flush);
    nv_admin(nv, 0x0a, 0x07, 0);
    g_assert_cmpuint(nv->h->line_changes[0], ==, changes);
    g_assert_false(nv->h->line[0]);
    nv_free(nv);
}

static void test_pin_follows_queues_and_mask(void)
{
    Nv *nv = nv_new("");
    const NvSqe flush = { .opcode = 0, .nsid = 1 };
    NvCqe cqe;

    nv_enable(nv);
    g_assert_cmphex(nv_create(nv, 1, 16, 0), ==, 0);
    g_assert_false(nv->h->line[0]);
    nv_put(nv, 1, &flush);
    nv_ring(nv, 1);
    g_assert_true(nv->h->line[0]);
    fake_write(nv->h, NV_INTMS, 4, 1);
    g_assert_false(nv->h->line[0]);
    g_assert_cmphex(fake_read(nv->h, NV_INTMC, 4), ==, 1);
    fake_write(nv->h, NV_INTMC, 4, 1);
    g_assert_true(nv->h->line[0]);
    nv_put(nv, 1, &flush);
    nv_ring(nv, 1);
    g_assert_true(nv_take(nv, 1, &cqe));
    g_assert_true(nv->h->line[0]);
    g_assert_true(nv_take(nv, 1, &cqe));
    g_assert_false(nv->h->line[0]);

    /* A reset lets it fall */
    nv_put(nv, 1, &flush);
    nv_ring(nv, 1);
    g_assert_true(nv->h->line[0]);
    nv_disable(nv);
    g_assert_false(nv->h->line[0]);
    nv_free(nv);
}

static void test_no_interrupt_where_not_enabled(void)
{
    Nv *nv = nv_start("");
    const NvSqe flush = { .opcode = 0, .nsid = 1 };
    NvCqe cqe;

    g_assert_cmphex(create_cq(nv, 15 << 16 | 2, 2 << 16 | 1, 0x200000), ==,
                    0);
    g_assert_cmphex(create_sq(nv, 15 << 16 | 2, 2 << 16 | 1, 0x210000), ==,
                    0);
    nv->q[2] = (NvQueue) { .id = 2, .sq = 0x210000, .cq = 0x200000,
                           .sq_size = 16, .cq_size = 16, .phase = true };
    nv_put(nv, 2, &flush);
    nv_ring(nv, 2);
    g_assert_true(nv_take(nv, 2, &cqe));
    g_assert_cmpuint(nv->h->messages[0][2], ==, 0);
    nv_free(nv);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/nvme/registers/read-as-specified",
                    test_registers_read_as_specified);
    g_test_add_func("/nvme/registers/describes-a-pci-function",
                    test_describes_a_pci_function);
    g_test_add_func("/nvme/registers/both-widths",
                    test_queue_registers_take_both_widths);
    g_test_add_func("/nvme/parameters/bad-are-refused",
                    test_refuses_bad_parameters);
    g_test_add_func("/nvme/enable/not-what-cannot-work",
                    test_does_not_enable_what_cannot_work);
    g_test_add_func("/nvme/queues/bad-get-their-status",
                    test_bad_queues_get_their_status);
    g_test_add_func("/nvme/queues/entry-sizes-first",
                    test_entry_sizes_must_be_set_before_queues);
    g_test_add_func("/nvme/queues/go-round", test_queues_go_round);
    g_test_add_func("/nvme/queues/one-fetch-around-the-end",
                    test_entries_around_the_end_are_one_fetch);
    g_test_add_func("/nvme/queues/full-completion-queue-holds",
                    test_full_completion_queue_holds_commands);
    g_test_add_func("/nvme/queues/deletion-waits-for-commands",
                    test_queue_deletion_waits_for_commands);
    g_test_add_func("/nvme/queues/deletion-does-not-wait-for-the-host",
                    test_queue_deletion_does_not_wait_for_the_host);
    g_test_add_func("/nvme/queues/unreachable-is-fatal",
                    test_unreachable_queue_is_fatal);
    g_test_add_func("/nvme/doorbells/bad-are-told",
                    test_bad_doorbells_are_told);
    g_test_add_func("/nvme/doorbells/beyond-the-last-are-harmless",
                    test_doorbell_beyond_the_last_queue_is_harmless);
    g_test_add_func("/nvme/reset/waits-for-what-is-under-way",
                    test_reset_waits_for_what_is_under_way);
    g_test_add_func("/nvme/reset/system-reset-is-immediate",
                    test_system_reset_is_immediate);
    g_test_add_func("/nvme/reset/next-client-finds-it-fresh",
                    test_next_client_finds_a_fresh_controller);
    g_test_add_func("/nvme/reset/close-ends-what-is-under-way",
                    test_close_ends_what_is_under_way);
    g_test_add_func("/nvme/reset/drops-what-was-not-taken",
                    test_reset_drops_what_the_host_did_not_take);
    g_test_add_func("/nvme/reset/ends-a-queue-deletion",
                    test_reset_ends_a_queue_deletion);
    g_test_add_func("/nvme/reset/shutdown-flushes", test_shutdown_flushes);
    g_test_add_func("/nvme/interrupts/each-queue-its-vector",
                    test_each_queue_has_its_vector);
    g_test_add_func("/nvme/interrupts/pin-quiet-under-messages",
                    test_pin_is_quiet_under_messages);
    g_test_add_func("/nvme/interrupts/pin-follows-queues-and-mask",
                    test_pin_follows_queues_and_mask);
    g_test_add_func("/nvme/interrupts/none-where-not-enabled",
                    test_no_interrupt_where_not_enabled);
    return g_test_run();
}
