/*
 * The nvme module: commands on the disk, PRP, SGL
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "remote-io-nvme-driver.h"

#define FLUSH   0x00
#define WRITE   0x01
#define READ    0x02
#define COMPARE 0x05
#define ZEROES  0x08
#define DSM     0x09
#define FUA     (1u << 30)
#define DEAC    (1u << 25)

/* ---- data pointers ----------------------------------------------------- */

/* Scatter @count pages so that no two are neighbours; returns a list */
static void scatter(Nv *nv, unsigned count, uint64_t *pages)
{
    uint64_t base = nv_pages(nv, 2 * count);
    unsigned i;

    for (i = 0; i < count; i++) {
        pages[i] = base + 2ull * ((i * 7) % count) * NV_PAGE;
    }
}

/* Write PRPs for @len bytes at @offset of the first of @pages to @sqe */
static void set_prps(Nv *nv, NvSqe *sqe, const uint64_t *pages,
                     uint32_t offset, uint32_t len, uint64_t list)
{
    unsigned count = (offset + len + NV_PAGE - 1) / NV_PAGE;
    unsigned i;

    sqe->prp1 = pages[0] + offset;
    sqe->prp2 = count == 2 ? pages[1] : count > 2 ? list : 0;
    for (i = 1; count > 2 && i < count; i++) {
        if (list % NV_PAGE == NV_PAGE - 8 && i + 1 < count) {
            uint64_t next = nv_pages(nv, 1);

            nv_put64(nv_at(nv, list), next);
            list = next;
        }
        nv_put64(nv_at(nv, list), pages[i]);
        list += 8;
    }
}

static void fill(Nv *nv, const uint64_t *pages, uint32_t offset,
                 uint32_t len, const uint8_t *from)
{
    while (len) {
        uint32_t n = MIN(len, NV_PAGE - offset);

        memcpy(nv_at(nv, *pages++) + offset, from, n);
        from += n;
        len -= n;
        offset = 0;
    }
}

static bool holds(Nv *nv, const uint64_t *pages, uint32_t offset,
                  uint32_t len, const uint8_t *what)
{
    while (len) {
        uint32_t n = MIN(len, NV_PAGE - offset);

        if (memcmp(nv_at(nv, *pages++) + offset, what, n)) {
            return false;
        }
        what += n;
        len -= n;
        offset = 0;
    }
    return true;
}

/* Every shape of PRPs: both ways, and without a round trip */
static void test_prps_of_every_shape(void)
{
    static const struct {
        uint32_t offset, blocks;
        uint64_t list;          /* offset of the list in its page */
    } shapes[] = {
        { 0, 1, 0 }, { 512, 1, 0 }, { 4092, 1, 0 }, { 0, 8, 0 },
        { 4, 8, 0 }, { 0, 16, 0 }, { 512, 15, 0 }, { 512, 16, 0 },
        { 0, 17, 0 }, { 0, 24, 0 }, { 0, 256, 0 }, { 4, 256, 0 },
        { 0, 256, 4096 - 8 }, { 0, 256, 4096 - 16 }, { 0, 256, 4096 - 80 },
        { 512, 200, 4096 - 8 }, { 0, 24, 4096 - 16 }, { 0, 24, 4096 - 8 },
    };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(shapes); i++) {
        Nv *nv = nv_start("");
        uint32_t len = 512 * shapes[i].blocks;
        g_autofree uint8_t *data = g_malloc(len);
        uint64_t pages[40];
        NvSqe sqe = nv_rw_sqe(WRITE, 1000, shapes[i].blocks, 0, 0);
        unsigned trips;

        nv_pattern(data, len, i);
        scatter(nv, 36, pages);
        set_prps(nv, &sqe, pages, shapes[i].offset, len,
                 nv_pages(nv, 1) + shapes[i].list);
        fill(nv, pages, shapes[i].offset, len, data);
        trips = nv->h->mem->round_trips;
        g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0);
        g_assert_cmpint(memcmp(nv->h->mem->disk + 512000, data, len), ==, 0);

        memset(nv->h->mem->disk + 512000, 0x55, 512);
        memset(data, 0x55, 512);
        sqe.opcode = READ;
        g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0);
        g_assert_true(holds(nv, pages, shapes[i].offset, len, data));
        g_assert_cmpuint(nv->h->mem->round_trips, ==, trips);
        nv_free(nv);
    }
}

static void test_larger_pages(void)
{
    Nv *nv = nv_new("");
    uint64_t data;
    NvSqe sqe;

    nv->cc = NV_CC_ON | 4 << 7;                 /* 64 KiB */
    nv->next_page = 1 << 20;
    nv->q[0].sq = nv_pages(nv, 16);
    nv->q[0].cq = nv_pages(nv, 16);
    nv->q[0].sq_size = 32;
    nv->q[1].sq = nv_pages(nv, 16);
    nv->q[1].cq = nv_pages(nv, 16);
    nv->q[1].sq_size = 64;
    nv_enable(nv);
    g_assert_cmphex(nv_create(nv, 1, 64, 1), ==, 0);
    data = nv_pages(nv, 32);
    nv_pattern(nv_at(nv, data), 131072, 3);
    sqe = nv_rw_sqe(WRITE, 0, 200, data + 512, data + 65536);
    g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0);
    g_assert_cmpint(memcmp(nv->h->mem->disk, nv_at(nv, data + 512), 102400),
                    ==, 0);
    nv_free(nv);
}

static void test_bad_prps(void)
{
    Nv *nv = nv_start("");
    uint64_t page = nv_pages(nv, 1);
    uint64_t list = nv_pages(nv, 1);

    g_assert_cmphex(nv_rw(nv, READ, 0, 1, page + 2, 0), ==, 0x013);
    g_assert_cmphex(nv_rw(nv, READ, 0, 16, page, page + 512), ==, 0x013);
    g_assert_cmphex(nv_rw(nv, READ, 0, 32, page, list + 4), ==, 0x013);
    nv_put64(nv_at(nv, list), page);
    nv_put64(nv_at(nv, list + 8), page + 8);
    g_assert_cmphex(nv_rw(nv, READ, 0, 32, page, list), ==, 0x013);
    /* A second list must start its page */
    nv_put64(nv_at(nv, list + 4088), list + 8);
    g_assert_cmphex(nv_rw(nv, READ, 0, 32, page, list + 4088), ==, 0x013);

    /* Not there */
    g_assert_cmphex(nv_rw(nv, WRITE, 0, 1, FAKE_RAM_SIZE, 0), ==, 0x004);
    g_assert_cmphex(nv_rw(nv, WRITE, 0, 32, page, FAKE_RAM_SIZE), ==, 0x004);
    g_assert_cmphex(nv_rw(nv, READ, 0, 32, page, 1ull << 40), ==, 0x004);
    g_assert_cmphex(nv_rw(nv, READ, 0, 1, page, 0), ==, 0);
    nv_free(nv);
}

/* ---- SGL --------------------------------------------------------------- */

static void put_sgl(uint8_t *p, uint64_t addr, uint32_t len, uint8_t type)
{
    memset(p, 0, 16);
    nv_put64(p, addr);
    nv_put32(p + 8, len);
    p[15] = type;
}

static NvSqe sgl_sqe(uint8_t opcode, uint32_t blocks, uint64_t addr,
                     uint32_t len, uint8_t type)
{
    NvSqe sqe = nv_rw_sqe(opcode, 0, blocks, addr, 0);

    sqe.flags = 0x40;
    sqe.prp2 = len | (uint64_t)type << 56;
    return sqe;
}

static void test_sgls(void)
{
    Nv *nv = nv_start("");
    uint64_t data = nv_pages(nv, 8);
    uint64_t s1 = nv_pages(nv, 1);
    uint64_t s2 = nv_pages(nv, 1);
    unsigned trips = nv->h->mem->round_trips;
    g_autofree uint8_t *copy = NULL;
    NvSqe sqe;

    /* One data block */
    nv_pattern(nv_at(nv, data), 8 * NV_PAGE, 9);
    sqe = sgl_sqe(WRITE, 64, data, 32768, 0x00);
    g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0);
    g_assert_true(nv_is_pattern(nv->h->mem->disk, 32768, 9));
    copy = g_memdup2(nv->h->mem->disk, 32768);

    /* A segment that goes on in a last one, odd sizes, an empty block */
    put_sgl(nv_at(nv, s1), data + 1, 3, 0x00);
    put_sgl(nv_at(nv, s1 + 16), data + 10000, 509, 0x00);
    put_sgl(nv_at(nv, s1 + 32), 0, 0, 0x00);
    put_sgl(nv_at(nv, s1 + 48), s2, 32, 0x30);
    put_sgl(nv_at(nv, s2), data + 20000, 1000, 0x00);
    put_sgl(nv_at(nv, s2 + 16), data + 30000, 24, 0x00);
    sqe = sgl_sqe(READ, 3, s1, 64, 0x20);
    g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0);
    g_assert_cmpint(memcmp(nv_at(nv, data + 1), copy, 3), ==, 0);
    g_assert_cmpint(memcmp(nv_at(nv, data + 10000), copy + 3, 509), ==, 0);
    g_assert_cmpint(memcmp(nv_at(nv, data + 20000), copy + 512, 1000), ==, 0);
    g_assert_cmpint(memcmp(nv_at(nv, data + 30000), copy + 1512, 24), ==, 0);
    sqe = sgl_sqe(WRITE, 3, s1, 64, 0x20);
    sqe.cdw10 = 100;
    g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0);
    g_assert_cmpint(memcmp(nv->h->mem->disk + 51200, copy, 1536), ==, 0);

    /* All of that came along with the doorbells */
    g_assert_cmpuint(nv->h->mem->round_trips, ==, trips);
    nv_free(nv);
}

/* More descriptors than one call takes segments, or one read takes */
static void test_long_sgl(void)
{
    Nv *nv = nv_start("");
    uint64_t list = nv_pages(nv, 8);
    uint64_t data = nv_pages(nv, 80);
    NvSqe sqe = sgl_sqe(WRITE, 64, list, 1024 * 16, 0x30);
    unsigned i;

    for (i = 0; i < 1024; i++) {
        put_sgl(nv_at(nv, list + 16 * i), data + 100 * i, 32, 0x00);
        memset(nv_at(nv, data + 100 * i), i, 32);
    }
    g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0);
    for (i = 0; i < 1024; i++) {
        g_assert_cmphex(nv->h->mem->disk[32 * i], ==, i & 0xff);
        g_assert_cmphex(nv->h->mem->disk[32 * i + 31], ==, i & 0xff);
    }
    nv_free(nv);
}

static void test_bad_sgls(void)
{
    Nv *nv = nv_start("");
    uint64_t data = nv_pages(nv, 1);
    uint64_t s = nv_pages(nv, 1);
    NvSqe sqe;
    static const struct {
        uint32_t len;
        uint8_t type;
        uint16_t status;
    } one[] = {
        { 512, 0x00, 0x000 },
        { 511, 0x00, 0x00f },           /* too short */
        { 513, 0x00, 0x00f },           /* too long */
        { 512, 0x10, 0x011 },           /* bit bucket */
        { 512, 0x40, 0x011 },           /* keyed */
        { 512, 0x01, 0x011 },           /* offset */
        { 0, 0x20, 0x00d },             /* empty segment */
        { 24, 0x30, 0x00d },            /* no multiple of 16 */
        { 16, 0x31, 0x00d },
    };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(one); i++) {
        sqe = sgl_sqe(READ, 1, data, one[i].len, one[i].type);
        g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, one[i].status);
    }

    /* A segment inside a segment */
    put_sgl(nv_at(nv, s), s, 16, 0x20);
    put_sgl(nv_at(nv, s + 16), data, 512, 0x00);
    sqe = sgl_sqe(READ, 1, s, 32, 0x30);
    g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0x00e);

    /* A last segment that goes on; one that goes on and does not say so */
    put_sgl(nv_at(nv, s), data, 512, 0x00);
    put_sgl(nv_at(nv, s + 16), s, 16, 0x20);
    g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0x00d);
    sqe = sgl_sqe(READ, 1, s, 16, 0x20);
    g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0x00d);

    /* A list that never ends */
    put_sgl(nv_at(nv, s), data, 0, 0x00);
    put_sgl(nv_at(nv, s + 16), s, 32, 0x20);
    sqe = sgl_sqe(READ, 1, s, 32, 0x20);
    g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0x00e);

    /* Not aligned; not there; both formats at once */
    sqe = sgl_sqe(READ, 1, s + 4, 32, 0x30);
    g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0x00d);
    sqe = sgl_sqe(READ, 1, FAKE_RAM_SIZE, 32, 0x30);
    g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0x004);
    sqe = sgl_sqe(READ, 1, data, 512, 0);
    sqe.flags = 0xc0;
    g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0x002);
    nv_free(nv);
}

/* ---- commands ---------------------------------------------------------- */

static void test_bad_commands_get_their_status(void)
{
    Nv *nv = nv_start("mdts=2");
    uint64_t page = nv_pages(nv, 8);
    uint64_t end = nv->h->mem->disk_info.length / 512;
    NvSqe sqe = nv_rw_sqe(READ, 0, 1, page, 0);
    unsigned opcode;

    for (opcode = 0; opcode < 256; opcode++) {
        sqe.opcode = opcode;
        if (opcode != FLUSH && opcode != WRITE && opcode != READ &&
            opcode != COMPARE && opcode != ZEROES && opcode != DSM) {
            g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0x001);
        }
    }
    sqe.opcode = READ;
    sqe.nsid = 0;
    g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0x00b);
    sqe.nsid = 2;
    g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0x00b);
    sqe.nsid = 0xffffffff;
    g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0x00b);
    sqe.nsid = 1;
    sqe.flags = 1;
    g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0x002);

    g_assert_cmphex(nv_rw(nv, READ, end, 1, page, 0), ==, 0x080);
    g_assert_cmphex(nv_rw(nv, READ, end - 1, 2, page, 0), ==, 0x080);
    g_assert_cmphex(nv_rw(nv, READ, end - 1, 1, page, 0), ==, 0);
    g_assert_cmphex(nv_rw(nv, WRITE, UINT64_MAX, 1, page, 0), ==, 0x080);
    g_assert_cmphex(nv_rw(nv, WRITE, UINT64_MAX, 65536, page, 0), ==, 0x080);
    g_assert_cmphex(nv_rw(nv, ZEROES, end - 1, 2, 0, 0), ==, 0x080);

    /* MDTS is 16 KiB */
    g_assert_cmphex(nv_rw(nv, READ, 0, 33, page, page), ==, 0x002);
    sqe = nv_rw_sqe(WRITE, 0, 1, page, 0);
    sqe.cdw12 |= 1 << 20;                               /* a directive */
    g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0x002);
    nv_free(nv);
}

static void test_flush_takes_any_namespace(void)
{
    Nv *nv = nv_start("");
    NvSqe flush = { .opcode = FLUSH, .nsid = 1 };
    uint64_t page = nv_pages(nv, 1);

    nv_rw(nv, WRITE, 0, 1, page, 0);
    g_assert_true(nv->h->mem->unflushed);
    g_assert_cmphex(nv_do(nv, 1, &flush).status, ==, 0);
    g_assert_false(nv->h->mem->unflushed);
    flush.nsid = 0xffffffff;
    g_assert_cmphex(nv_do(nv, 1, &flush).status, ==, 0);
    g_assert_cmpuint(nv->h->mem->calls[FAKE_CALL_BLOCK_FLUSH], ==, 2);
    nv_free(nv);
}

static void test_fua_and_no_cache_are_stable(void)
{
    Nv *nv = nv_start("");
    NvSqe sqe = nv_rw_sqe(WRITE, 0, 1, nv_pages(nv, 1), 0);
    NvSqe zeroes = nv_rw_sqe(ZEROES, 0, 1, 0, 0);

    sqe.cdw12 |= FUA;
    zeroes.cdw12 |= FUA;
    nv_do(nv, 1, &sqe);
    nv_do(nv, 1, &zeroes);
    g_assert_false(nv->h->mem->unflushed);
    sqe.cdw12 = zeroes.cdw12 = 0;
    nv_do(nv, 1, &sqe);
    g_assert_true(nv->h->mem->unflushed);

    /* Turning the cache off writes back what it holds */
    g_assert_cmphex(nv_admin(nv, 0x09, 6, 0), ==, 0);
    g_assert_false(nv->h->mem->unflushed);
    nv_do(nv, 1, &sqe);
    nv_do(nv, 1, &zeroes);
    g_assert_false(nv->h->mem->unflushed);

    /* A read with FUA returns only what is stable */
    g_assert_cmphex(nv_admin(nv, 0x09, 6, 1), ==, 0);
    nv_do(nv, 1, &sqe);
    sqe.opcode = READ;
    nv_do(nv, 1, &sqe);
    g_assert_true(nv->h->mem->unflushed);
    sqe.cdw12 = FUA;
    nv_do(nv, 1, &sqe);
    g_assert_false(nv->h->mem->unflushed);
    nv_free(nv);
}

static void test_compare(void)
{
    Nv *nv = nv_start("");
    uint64_t page = nv_pages(nv, 1);
    unsigned trips;
    NvCqe cqe;
    NvSqe sqe = nv_rw_sqe(COMPARE, 7, 8, page, 0);

    nv_pattern(nv_at(nv, page), NV_PAGE, 1);
    memcpy(nv->h->mem->disk + 7 * 512, nv_at(nv, page), NV_PAGE);
    trips = nv->h->mem->round_trips;
    g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0);
    nv_at(nv, page)[4095] ^= 1;
    cqe = nv_do(nv, 1, &sqe);
    g_assert_cmphex(cqe.status, ==, 0x285);
    g_assert_true(cqe.dnr);
    g_assert_cmpuint(nv->h->mem->round_trips, ==, trips);
    nv_free(nv);
}

static void test_write_zeroes(void)
{
    Nv *nv = nv_start("");
    uint8_t *disk = nv->h->mem->disk;
    NvSqe sqe = nv_rw_sqe(ZEROES, 1, 65536 - 2, 0, 0);

    memset(disk, 0x5a, 40 << 20);
    g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0);
    g_assert_cmphex(disk[511], ==, 0x5a);
    g_assert_cmphex(disk[512], ==, 0);
    g_assert_cmphex(disk[65535 * 512 - 1], ==, 0);
    g_assert_cmphex(disk[65535 * 512], ==, 0x5a);
    g_assert_cmphex(nv->h->mem->last_flags & RIO_BLOCK_UNMAP, ==, 0);
    sqe.cdw12 |= DEAC;
    nv_do(nv, 1, &sqe);
    g_assert_cmphex(nv->h->mem->last_flags & RIO_BLOCK_UNMAP, ==,
                    RIO_BLOCK_UNMAP);
    nv_free(nv);
}

static void put_range(Nv *nv, uint64_t at, uint64_t slba, uint32_t blocks)
{
    nv_put32(nv_at(nv, at), 0);
    nv_put32(nv_at(nv, at + 4), blocks);
    nv_put64(nv_at(nv, at + 8), slba);
}

static void test_deallocate(void)
{
    Nv *nv = nv_start("");
    uint8_t *disk = nv->h->mem->disk;
    uint64_t page = nv_pages(nv, 1);
    uint64_t end = nv->h->mem->disk_info.length / 512;
    NvSqe sqe = { .opcode = DSM, .nsid = 1, .prp1 = page, .cdw10 = 2,
                  .cdw11 = 4 };
    unsigned trips = nv->h->mem->round_trips;

    memset(disk, 0x5a, 1 << 20);
    put_range(nv, page, 1, 2);
    put_range(nv, page + 16, 10, 0);
    put_range(nv, page + 32, 100, 50);
    g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0);
    g_assert_cmpuint(nv->h->mem->discarded, ==, 52 * 512);
    g_assert_cmphex(disk[511], ==, 0x5a);
    g_assert_cmphex(disk[512], ==, 0);
    g_assert_cmphex(disk[1536], ==, 0x5a);
    g_assert_cmphex(disk[51200], ==, 0);
    g_assert_cmpuint(nv->h->mem->round_trips, ==, trips);

    /* One bad range: none is touched */
    put_range(nv, page + 32, end - 1, 2);
    g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0x080);
    g_assert_cmpuint(nv->h->mem->discarded, ==, 52 * 512);

    /* 256 ranges; other hints; a disk that cannot */
    memset(nv_at(nv, page), 0, NV_PAGE);
    sqe.cdw10 = 255;
    g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0);
    sqe.cdw11 = 3;
    g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0);
    nv->h->mem->errors[FAKE_CALL_BLOCK_DISCARD] = ENOTSUP;
    put_range(nv, page, 0, 8);
    sqe.cdw11 = 4;
    g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0);
    nv_free(nv);
}

/* What Identify Controller does not offer is no command */
static void test_no_deallocation_where_the_disk_cannot(void)
{
    Nv *nv = nv_new("");
    uint64_t page = nv_pages(nv, 1);
    NvSqe sqe = { .opcode = DSM, .nsid = 1, .prp1 = page, .cdw11 = 4 };
    NvSqe identify = { .opcode = 0x06, .prp1 = page, .cdw10 = 1 };

    nv->h->mem->disk_info.can_discard = false;
    fake_resize(nv->h, 4 << 20);
    nv_enable(nv);
    g_assert_cmphex(nv_create(nv, 1, 16, 1), ==, 0);
    g_assert_cmphex(nv_do(nv, 0, &identify).status, ==, 0);
    g_assert_cmphex(nv_get16(nv_at(nv, page + 520)) & 4, ==, 0);
    g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0x001);
    nv_free(nv);
}

/* ---- disks that fail --------------------------------------------------- */

static void test_disk_errors_become_statuses(void)
{
    static const struct {
        FakeCall call;
        uint8_t opcode;
        int error;
        uint16_t status;
        bool dnr;
    } t[] = {
        { FAKE_CALL_BLOCK_READ, READ, EIO, 0x281, false },
        { FAKE_CALL_BLOCK_READ, COMPARE, EIO, 0x281, false },
        { FAKE_CALL_BLOCK_WRITE, WRITE, EIO, 0x280, false },
        { FAKE_CALL_BLOCK_WRITE, WRITE, ENOSPC, 0x081, true },
        { FAKE_CALL_BLOCK_WRITE, WRITE, EROFS, 0x020, true },
        { FAKE_CALL_BLOCK_WRITE, WRITE, EPERM, 0x286, true },
        { FAKE_CALL_BLOCK_ZERO, ZEROES, ENOSPC, 0x081, true },
        { FAKE_CALL_BLOCK_ZERO, ZEROES, ENOMEM, 0x006, false },
        { FAKE_CALL_BLOCK_DISCARD, DSM, EIO, 0x280, false },
        { FAKE_CALL_BLOCK_FLUSH, FLUSH, EIO, 0x280, false },
    };
    Nv *nv = nv_start("");
    uint64_t page = nv_pages(nv, 1);
    uint64_t log = nv_pages(nv, 1);
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(t); i++) {
        NvSqe sqe = nv_rw_sqe(t[i].opcode, 5, 1, page, 0);
        NvSqe get = { .opcode = 2, .prp1 = log, .cdw10 = 15 << 16 | 1 };
        NvCqe cqe;

        put_range(nv, page, 5, 1);
        if (t[i].opcode == DSM) {
            sqe.cdw10 = 0;
            sqe.cdw11 = 4;
        }
        nv->h->mem->errors[t[i].call] = t[i].error;
        cqe = nv_do(nv, 1, &sqe);
        nv->h->mem->errors[t[i].call] = 0;
        g_assert_cmphex(cqe.status, ==, t[i].status);
        g_assert_cmpint(cqe.dnr, ==, t[i].dnr);
        nv_do(nv, 0, &get);
        g_assert_cmpuint(nv_get64(nv_at(nv, log)), ==, i + 1);
        g_assert_cmphex(nv_get16(nv_at(nv, log + 12)) >> 1 & 0x7ff, ==,
                        t[i].status);
        if (t[i].opcode != COMPARE) {
            g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0);
        }
    }
    /* One line for the log, and the rest counted */
    g_assert_cmpuint(nv->h->other_logs, ==, 1);
    fake_advance(nv->h, 2000000000);
    nv->h->mem->errors[FAKE_CALL_BLOCK_READ] = EIO;
    nv_rw(nv, READ, 0, 1, page, 0);
    g_assert_cmpuint(nv->h->other_logs, ==, 2);
    nv_free(nv);
}

static void test_read_only_disk_is_write_protected(void)
{
    static const char *const params[] = {
        "read-only=on", "drive=ro0", "drive=ro0,read-only=on",
    };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(params); i++) {
        Nv *nv = nv_start(params[i]);
        uint64_t page = nv_pages(nv, 1);
        NvSqe sqe = { .opcode = DSM, .nsid = 1, .prp1 = page, .cdw11 = 4 };
        NvSqe flush = { .opcode = FLUSH, .nsid = 1 };
        NvSqe identify = { .opcode = 6, .nsid = 1, .prp1 = page };

        g_assert_cmphex(nv_rw(nv, READ, 0, 1, page, 0), ==, 0);
        g_assert_cmphex(nv_rw(nv, WRITE, 0, 1, page, 0), ==, 0x020);
        g_assert_cmphex(nv_rw(nv, ZEROES, 0, 1, 0, 0), ==, 0x020);
        g_assert_cmphex(nv_do(nv, 1, &sqe).status, ==, 0x020);
        g_assert_cmphex(nv_do(nv, 1, &flush).status, ==, 0);
        nv_do(nv, 0, &identify);
        g_assert_cmphex(nv_at(nv, page)[99], ==, 1);    /* NSATTR */
        nv_free(nv);
    }
}

static void test_blocks_of_4096(void)
{
    Nv *nv = nv_start("logical-block-size=4096");
    uint64_t page = nv_pages(nv, 2);
    uint64_t end = nv->h->mem->disk_info.length / 4096;
    unsigned trips = nv->h->mem->round_trips;

    nv_pattern(nv_at(nv, page), 8192, 4);
    g_assert_cmphex(nv_rw(nv, WRITE, 3, 2, page, page + 4096), ==, 0);
    g_assert_true(nv_is_pattern(nv->h->mem->disk + 3 * 4096, 8192, 4));
    g_assert_cmphex(nv_rw(nv, READ, end, 1, page, 0), ==, 0x080);
    g_assert_cmphex(nv_rw(nv, READ, end - 1, 1, page, 0), ==, 0);
    g_assert_cmpuint(nv->h->mem->round_trips, ==, trips);
    nv_free(nv);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/nvme/prp/every-shape", test_prps_of_every_shape);
    g_test_add_func("/nvme/prp/larger-pages", test_larger_pages);
    g_test_add_func("/nvme/prp/bad", test_bad_prps);
    g_test_add_func("/nvme/sgl/good", test_sgls);
    g_test_add_func("/nvme/sgl/long", test_long_sgl);
    g_test_add_func("/nvme/sgl/bad", test_bad_sgls);
    g_test_add_func("/nvme/io/bad-commands-get-their-status",
                    test_bad_commands_get_their_status);
    g_test_add_func("/nvme/io/flush", test_flush_takes_any_namespace);
    g_test_add_func("/nvme/io/fua-and-no-cache-are-stable",
                    test_fua_and_no_cache_are_stable);
    g_test_add_func("/nvme/io/compare", test_compare);
    g_test_add_func("/nvme/io/write-zeroes", test_write_zeroes);
    g_test_add_func("/nvme/io/deallocate", test_deallocate);
    g_test_add_func("/nvme/io/no-deallocation-where-the-disk-cannot",
                    test_no_deallocation_where_the_disk_cannot);
    g_test_add_func("/nvme/io/blocks-of-4096", test_blocks_of_4096);
    g_test_add_func("/nvme/disk/errors-become-statuses",
                    test_disk_errors_become_statuses);
    g_test_add_func("/nvme/disk/read-only-is-write-protected",
                    test_read_only_disk_is_write_protected);
    return g_test_run();
}
