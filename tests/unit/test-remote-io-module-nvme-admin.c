/*
 * The nvme module: identify, features, logs, events, abort
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "remote-io-nvme-driver.h"

static NvCqe identify(Nv *nv, uint8_t cns, uint32_t nsid, uint64_t page)
{
    const NvSqe sqe = { .opcode = 0x06, .nsid = nsid, .prp1 = page,
                        .cdw10 = cns };

    memset(nv_at(nv, page), 0xaa, NV_PAGE);
    return nv_do(nv, 0, &sqe);
}

static NvCqe get_log(Nv *nv, uint8_t id, uint32_t bytes, uint32_t offset,
                     uint64_t page)
{
    const NvSqe sqe = {
        .opcode = 0x02, .nsid = 0xffffffff, .prp1 = page,
        .prp2 = page + NV_PAGE,
        .cdw10 = id | (bytes / 4 - 1) << 16, .cdw12 = offset,
    };

    memset(nv_at(nv, page), 0xaa, MIN(bytes, NV_PAGE));
    return nv_do(nv, 0, &sqe);
}

static uint16_t set_feature(Nv *nv, uint8_t id, uint32_t value)
{
    return nv_admin(nv, 0x09, id, value);
}

static NvCqe get_feature_cqe(Nv *nv, uint32_t cdw10, uint32_t cdw11)
{
    const NvSqe sqe = { .opcode = 0x0a, .cdw10 = cdw10, .cdw11 = cdw11 };

    return nv_do(nv, 0, &sqe);
}

static uint32_t get_feature(Nv *nv, uint8_t id)
{
    NvCqe cqe = get_feature_cqe(nv, id, 0);

    g_assert_cmphex(cqe.status, ==, 0);
    return cqe.result;
}

/* ---- identify ---------------------------------------------------------- */

static void test_identifies_the_controller(void)
{
    Nv *nv = nv_start("serial=S123,model=A disk,mdts=5,queues=3");
    uint64_t page = nv_pages(nv, 1);
    const uint8_t *p = nv_at(nv, page);

    g_assert_cmphex(identify(nv, 1, 0, page).status, ==, 0);
    g_assert_cmphex(nv_get16(p), ==, nv->h->info.vendor_id);
    g_assert_cmphex(nv_get16(p + 2), ==, nv->h->info.subsystem_vendor_id);
    g_assert_cmpint(memcmp(p + 4, "S123                ", 20), ==, 0);
    g_assert_cmpint(memcmp(p + 24, "A disk                                  ",
                           40), ==, 0);
    g_assert_cmpuint(p[77], ==, 5);                     /* MDTS */
    g_assert_cmphex(nv_get32(p + 80), ==, 0x00010400);  /* VER */
    g_assert_cmphex(nv_get32(p + 92), ==, 0x100);       /* OAES */
    g_assert_cmpuint(p[111], ==, 1);                    /* CNTRLTYPE */
    g_assert_cmphex(nv_get16(p + 256), ==, 0);          /* OACS */
    g_assert_cmpuint(p[512], ==, 0x66);
    g_assert_cmpuint(p[513], ==, 0x44);
    g_assert_cmpuint(nv_get32(p + 516), ==, 1);         /* NN */
    g_assert_cmphex(nv_get16(p + 520), ==, 0x1d);       /* ONCS */
    g_assert_cmphex(p[525] & 1, ==, 1);                 /* VWC */
    g_assert_cmphex(nv_get32(p + 536) & 3, ==, 1);      /* SGLS */
    g_assert_true(g_str_has_prefix((const char *)p + 768,
                                   "nqn.2014-08.org.nvmexpress:uuid:"));
    g_assert_cmpuint(strlen((const char *)p + 768), ==, 68);
    nv_free(nv);
}

static void test_serial_falls_back_to_the_module_id(void)
{
    Nv *nv = nv_start("");
    uint64_t page = nv_pages(nv, 1);

    identify(nv, 1, 0, page);
    g_assert_cmpint(memcmp(nv_at(nv, page) + 4, "m0                  ", 20),
                    ==, 0);
    nv_free(nv);
}

static void test_identifies_the_namespace(void)
{
    Nv *nv = nv_start("logical-block-size=4096");
    uint64_t page = nv_pages(nv, 1);
    const uint8_t *p = nv_at(nv, page);
    uint64_t blocks = nv->h->mem->disk_info.length / 4096;

    g_assert_cmphex(identify(nv, 0, 1, page).status, ==, 0);
    g_assert_cmpuint(nv_get64(p), ==, blocks);
    g_assert_cmpuint(nv_get64(p + 8), ==, blocks);
    g_assert_cmpuint(nv_get64(p + 16), ==, blocks);
    g_assert_cmpuint(p[25], ==, 0);                     /* NLBAF */
    g_assert_cmpuint(p[26], ==, 0);                     /* FLBAS */
    g_assert_cmphex(p[33], ==, 0x08);                   /* DLFEAT */
    g_assert_cmpuint(p[99], ==, 0);                     /* NSATTR */
    g_assert_cmphex(nv_get32(p + 128), ==, 12 << 16);   /* LBAF0 */
    nv_free(nv);
}

static void test_tells_what_the_disk_likes(void)
{
    Nv *nv = nv_new("");
    uint64_t page = nv_pages(nv, 1);
    const uint8_t *p = nv_at(nv, page);

    nv->h->mem->disk_info.request_alignment = 4096;
    nv->h->mem->disk_info.can_discard = false;
    nv_enable(nv);
    fake_resize(nv->h, 1 << 20);
    identify(nv, 0, 1, page);
    g_assert_cmphex(p[24], ==, 0x10);                   /* OPTPERF */
    g_assert_cmpuint(nv_get16(p + 64), ==, 7);          /* NPWG */
    g_assert_cmpuint(nv_get16(p + 72), ==, 7);          /* NOWS */
    identify(nv, 1, 0, page);
    g_assert_cmphex(nv_get16(p + 520), ==, 0x19);       /* no DSM */
    nv_free(nv);
}

static void test_lists_the_namespace_and_its_uuid(void)
{
    Nv *nv = nv_start("serial=one");
    Nv *same = nv_start("serial=one");
    Nv *other = nv_start("serial=two");
    uint64_t page = nv_pages(nv, 1);
    const uint8_t *p = nv_at(nv, page);

    g_assert_cmphex(identify(nv, 2, 0, page).status, ==, 0);
    g_assert_cmpuint(nv_get32(p), ==, 1);
    g_assert_cmpuint(nv_get32(p + 4), ==, 0);
    g_assert_cmphex(identify(nv, 2, 1, page).status, ==, 0);
    g_assert_cmpuint(nv_get32(p), ==, 0);

    g_assert_cmphex(identify(nv, 3, 1, page).status, ==, 0);
    g_assert_cmpuint(p[0], ==, 3);
    g_assert_cmpuint(p[1], ==, 16);
    g_assert_cmphex(p[4 + 6] >> 4, ==, 5);
    g_assert_cmpuint(p[21], ==, 0);                     /* end of the list */

    page = nv_pages(same, 1);
    identify(same, 3, 1, page);
    g_assert_cmpint(memcmp(p, nv_at(same, page), 20), ==, 0);
    page = nv_pages(other, 1);
    identify(other, 3, 1, page);
    g_assert_cmpint(memcmp(p, nv_at(other, page), 20), !=, 0);
    nv_free(nv);
    nv_free(same);
    nv_free(other);
}

static void test_identify_refuses(void)
{
    Nv *nv = nv_start("");
    uint64_t page = nv_pages(nv, 1);
    NvSqe sqe = { .opcode = 0x06, .flags = 0x40, .cdw10 = 1, .prp1 = page };

    g_assert_cmphex(identify(nv, 0, 0, page).status, ==, 0x00b);
    g_assert_cmphex(identify(nv, 0, 2, page).status, ==, 0x00b);
    g_assert_cmphex(identify(nv, 0, 0xffffffff, page).status, ==, 0x00b);
    g_assert_cmphex(identify(nv, 3, 2, page).status, ==, 0x00b);
    g_assert_cmphex(identify(nv, 2, 0xfffffffe, page).status, ==, 0x00b);
    g_assert_cmphex(identify(nv, 0x55, 0, page).status, ==, 0x002);
    g_assert_true(identify(nv, 0x55, 0, page).dnr);
    g_assert_cmphex(nv_do(nv, 0, &sqe).status, ==, 0x002);  /* SGL */
    sqe.flags = 1;
    g_assert_cmphex(nv_do(nv, 0, &sqe).status, ==, 0x002);  /* fused */
    sqe.flags = 0;
    sqe.prp1 += 2;
    g_assert_cmphex(nv_do(nv, 0, &sqe).status, ==, 0x013);
    nv_free(nv);
}

static void test_unknown_admin_commands_are_invalid(void)
{
    static const uint8_t known[] = { 0, 1, 2, 4, 5, 6, 8, 9, 0x0a, 0x0c };
    Nv *nv = nv_start("");
    unsigned opcode, i;

    for (opcode = 0; opcode < 256; opcode++) {
        bool skip = false;

        for (i = 0; i < sizeof(known); i++) {
            skip |= known[i] == opcode;
        }
        if (!skip) {
            g_assert_cmphex(nv_admin(nv, opcode, 0, 0), ==, 0x001);
        }
    }
    nv_free(nv);
}

/* ---- features ---------------------------------------------------------- */

static void test_features_keep_what_is_set(void)
{
    static const struct {
        uint8_t id;
        uint32_t first, value;
    } f[] = {
        { 0x01, 0, 0x07030104 },
        { 0x02, 0, 0x40 },              /* workload hint */
        { 0x06, 1, 0 },
        { 0x08, 0, 0x0a05 },
        { 0x0a, 0, 1 },
        { 0x0b, 0, 0x101 },
    };
    Nv *nv = nv_start("");
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(f); i++) {
        g_assert_cmphex(get_feature(nv, f[i].id), ==, f[i].first);
        g_assert_cmphex(set_feature(nv, f[i].id, f[i].value), ==, 0);
        g_assert_cmphex(get_feature(nv, f[i].id), ==, f[i].value);
        /* Default and saved are as before; it can be changed */
        g_assert_cmphex(get_feature_cqe(nv, 0x100 | f[i].id, 0).result, ==,
                        f[i].first);
        g_assert_cmphex(get_feature_cqe(nv, 0x200 | f[i].id, 0).result, ==,
                        f[i].first);
        g_assert_cmphex(get_feature_cqe(nv, 0x300 | f[i].id, 0).result & 5,
                        ==, 4);
    }
    nv_disable(nv);
    nv_enable(nv);
    for (i = 0; i < G_N_ELEMENTS(f); i++) {
        g_assert_cmphex(get_feature(nv, f[i].id), ==, f[i].first);
    }
    nv_free(nv);
}

static void test_number_of_queues_is_told_before_there_are_any(void)
{
    Nv *nv = nv_new("queues=5");
    NvSqe sqe = { .opcode = 0x09, .cdw10 = 7, .cdw11 = 63 << 16 | 63 };
    NvCqe cqe;

    nv_enable(nv);
    cqe = nv_do(nv, 0, &sqe);
    g_assert_cmphex(cqe.status, ==, 0);
    g_assert_cmphex(cqe.result, ==, 4 << 16 | 4);
    g_assert_cmphex(get_feature(nv, 7), ==, 4 << 16 | 4);
    g_assert_cmphex(set_feature(nv, 7, 0xffff), ==, 0x002);
    g_assert_cmphex(nv_create(nv, 1, 16, 1), ==, 0);
    g_assert_cmphex(set_feature(nv, 7, 1 << 16 | 1), ==, 0x00c);
    nv_free(nv);
}

static void test_feature_arguments_are_checked(void)
{
    Nv *nv = nv_start("queues=2");
    NvSqe recovery = { .opcode = 0x09, .nsid = 1, .cdw10 = 5, .cdw11 = 7 };
    NvSqe get = { .opcode = 0x0a, .nsid = 1, .cdw10 = 5 };

    g_assert_cmphex(set_feature(nv, 0x00, 0), ==, 0x002);
    g_assert_cmphex(set_feature(nv, 0x7f, 0), ==, 0x002);
    g_assert_cmphex(get_feature_cqe(nv, 0x7f, 0).status, ==, 0x002);
    g_assert_cmphex(get_feature_cqe(nv, 0x401, 0).status, ==, 0x002);
    g_assert_cmphex(nv_admin(nv, 0x09, 0x80000001, 0), ==, 0x10d);
    g_assert_cmphex(set_feature(nv, 0x02, 0), ==, 0);
    g_assert_cmphex(set_feature(nv, 0x02, 1), ==, 0x002);
    g_assert_cmphex(set_feature(nv, 0x09, 2 | 0x10000), ==, 0);
    g_assert_cmphex(get_feature_cqe(nv, 0x09, 2).result, ==, 0x10002);
    g_assert_cmphex(set_feature(nv, 0x09, 3), ==, 0x002);
    g_assert_cmphex(get_feature_cqe(nv, 0x09, 3).status, ==, 0x002);
    g_assert_cmphex(nv_do(nv, 0, &recovery).status, ==, 0);
    g_assert_cmphex(nv_do(nv, 0, &get).result, ==, 7);
    g_assert_cmphex(get_feature_cqe(nv, 0x05 | 0x300, 0).result, ==, 6);
    recovery.nsid = 2;
    g_assert_cmphex(nv_do(nv, 0, &recovery).status, ==, 0x00b);
    recovery.nsid = 1;
    recovery.cdw11 = 0x10000;                           /* DULBE */
    g_assert_cmphex(nv_do(nv, 0, &recovery).status, ==, 0x002);
    nv_free(nv);
}

/* 5.13 and 5.21: features of a namespace, and of the controller */
static void test_features_have_a_scope(void)
{
    static const struct {
        uint8_t opcode, id;
        uint32_t nsid;
        uint16_t status;
    } t[] = {
        { 0x09, 0x05, 1, 0x000 },
        { 0x09, 0x05, 0xffffffff, 0x000 },
        { 0x09, 0x05, 0, 0x00b },
        { 0x09, 0x05, 2, 0x00b },
        { 0x0a, 0x05, 1, 0x000 },
        { 0x0a, 0x05, 0xffffffff, 0x00b },
        { 0x0a, 0x05, 0, 0x00b },
        { 0x09, 0x0a, 0, 0x000 },
        { 0x09, 0x0a, 0xffffffff, 0x000 },
        { 0x09, 0x0a, 1, 0x10f },
        { 0x09, 0x0a, 2, 0x00b },
        { 0x0a, 0x0a, 0, 0x000 },
        { 0x0a, 0x0a, 1, 0x000 },
        { 0x0a, 0x0a, 2, 0x00b },
    };
    Nv *nv = nv_start("");
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(t); i++) {
        NvSqe sqe = { .opcode = t[i].opcode, .nsid = t[i].nsid,
                      .cdw10 = t[i].id };
        NvCqe cqe = nv_do(nv, 0, &sqe);

        g_assert_cmphex(cqe.status, ==, t[i].status);
        g_assert_cmpint(cqe.dnr, ==, t[i].status != 0);
    }
    nv_free(nv);
}

static void test_temperature_thresholds(void)
{
    Nv *nv = nv_start("");
    uint16_t hot = get_feature(nv, 4);

    g_assert_cmpuint(hot, >, 273);
    g_assert_cmphex(get_feature_cqe(nv, 4, 1 << 20).result, ==, 0);
    g_assert_cmphex(set_feature(nv, 4, 1 << 20 | 280), ==, 0);
    g_assert_cmphex(get_feature_cqe(nv, 4, 1 << 20).result, ==, 280);
    g_assert_cmphex(get_feature_cqe(nv, 0x104, 1 << 20).result, ==, 0);
    g_assert_cmphex(set_feature(nv, 4, 15 << 16 | 350), ==, 0); /* all */
    g_assert_cmphex(get_feature(nv, 4), ==, 350);
    g_assert_cmphex(get_feature_cqe(nv, 0x104, 0).result, ==, hot);
    g_assert_cmphex(get_feature_cqe(nv, 4, 1 << 16).status, ==, 0x002);
    g_assert_cmphex(get_feature_cqe(nv, 4, 2 << 20).status, ==, 0x002);
    g_assert_cmphex(set_feature(nv, 4, 1 << 16), ==, 0x002);
    nv_free(nv);
}

/* ---- events ------------------------------------------------------------ */

static void test_temperature_event_comes_once_until_the_log_is_read(void)
{
    Nv *nv = nv_start("");
    const NvSqe event = { .opcode = 0x0c };
    uint64_t page = nv_pages(nv, 1);
    uint16_t kelvin;
    NvCqe cqe;

    get_log(nv, 2, 512, 0, page);
    g_assert_cmphex(nv_at(nv, page)[0], ==, 0);
    kelvin = nv_get16(nv_at(nv, page) + 1);
    g_assert_cmpuint(kelvin, >, 273);

    set_feature(nv, 0x0b, 2);
    nv_put(nv, 0, &event);
    nv_put(nv, 0, &event);
    nv_ring(nv, 0);
    g_assert_false(nv_peek(nv, 0, &cqe));
    nv_put(nv, 0, &(NvSqe) { .opcode = 0x09, .cdw10 = 4, .cdw11 = kelvin });
    nv_ring(nv, 0);
    g_assert_true(nv_take(nv, 0, &cqe));
    g_assert_cmphex(cqe.status, ==, 0);
    g_assert_true(nv_take(nv, 0, &cqe));
    g_assert_cmphex(cqe.result, ==, 0x00020101);

    /* Reading it with "retain" does not count */
    nv_do(nv, 0, &(NvSqe) { .opcode = 2, .prp1 = page,
                            .cdw10 = 2 | 1 << 15 | 127 << 16 });
    set_feature(nv, 4, kelvin);
    set_feature(nv, 0x0b, 2);
    g_assert_false(nv_peek(nv, 0, &cqe));
    get_log(nv, 2, 512, 0, page);
    g_assert_cmphex(nv_at(nv, page)[0], ==, 2);
    nv_put(nv, 0, &(NvSqe) { .opcode = 0x09, .cdw10 = 4, .cdw11 = kelvin });
    nv_ring(nv, 0);
    g_assert_true(nv_take(nv, 0, &cqe));
    g_assert_true(nv_take(nv, 0, &cqe));
    g_assert_cmphex(cqe.result, ==, 0x00020101);
    nv_free(nv);
}

static void test_resize_is_told(void)
{
    Nv *nv = nv_start("");
    const NvSqe event = { .opcode = 0x0c };
    uint64_t page = nv_pages(nv, 2);
    const NvSqe keep = { .opcode = 2, .prp1 = page,
                         .cdw10 = 1023u << 16 | 1 << 15 | 4 };
    const NvSqe astray = { .opcode = 2, .prp1 = 2, .cdw10 = 4 };
    NvCqe cqe;

    set_feature(nv, 0x0b, 0x100);
    nv_put(nv, 0, &event);
    nv_ring(nv, 0);
    fake_resize(nv->h, 1 << 20);
    g_assert_true(nv_take(nv, 0, &cqe));
    g_assert_cmphex(cqe.result, ==, 0x00040002);
    /* Who keeps the event, or could not be told, finds it again */
    g_assert_cmphex(nv_do(nv, 0, &keep).status, ==, 0);
    g_assert_cmpuint(nv_get32(nv_at(nv, page)), ==, 1);
    g_assert_cmphex(nv_do(nv, 0, &astray).status, ==, 0x013);
    get_log(nv, 4, 4096, 0, page);
    g_assert_cmpuint(nv_get32(nv_at(nv, page)), ==, 1);
    get_log(nv, 4, 4096, 0, page);
    g_assert_cmpuint(nv_get32(nv_at(nv, page)), ==, 0);
    identify(nv, 0, 1, page);
    g_assert_cmpuint(nv_get64(nv_at(nv, page)), ==, 2048);
    g_assert_cmphex(nv_rw(nv, 2, 2047, 1, page, 0), ==, 0);
    g_assert_cmphex(nv_rw(nv, 2, 2048, 1, page, 0), ==, 0x080);
    nv_free(nv);
}

static void test_requests_over_the_limit_are_refused(void)
{
    Nv *nv = nv_start("");
    const NvSqe event = { .opcode = 0x0c };
    NvCqe cqe;
    unsigned i;

    for (i = 0; i < 5; i++) {
        nv_put(nv, 0, &event);
    }
    nv_ring(nv, 0);
    g_assert_true(nv_take(nv, 0, &cqe));
    g_assert_cmphex(cqe.status, ==, 0x105);
    g_assert_false(nv_peek(nv, 0, &cqe));
    nv_free(nv);
}

static void test_abort_ends_an_event_request(void)
{
    Nv *nv = nv_start("");
    const NvSqe event = { .opcode = 0x0c };
    uint16_t cid = nv_put(nv, 0, &event);
    NvSqe abort = { .opcode = 0x08, .cdw10 = (uint32_t)cid << 16 };
    NvCqe cqe;

    nv_ring(nv, 0);
    nv_put(nv, 0, &abort);
    nv_ring(nv, 0);
    g_assert_true(nv_take(nv, 0, &cqe));
    g_assert_cmpuint(cqe.cid, ==, cid);
    g_assert_cmphex(cqe.status, ==, 0x007);
    g_assert_true(nv_take(nv, 0, &cqe));
    g_assert_cmphex(cqe.status, ==, 0);
    g_assert_cmpuint(cqe.result & 1, ==, 0);

    /* A command that is not there, and a queue that is not */
    cqe = nv_do(nv, 0, &abort);
    g_assert_cmphex(cqe.status, ==, 0);
    g_assert_cmpuint(cqe.result & 1, ==, 1);
    abort.cdw10 = 7;
    g_assert_cmphex(nv_do(nv, 0, &abort).status, ==, 0x002);
    nv_free(nv);
}

/* ---- logs -------------------------------------------------------------- */

static void test_error_log_tells_what_failed(void)
{
    Nv *nv = nv_start("");
    uint64_t page = nv_pages(nv, 2);
    const uint8_t *p = nv_at(nv, page);
    NvSqe read = nv_rw_sqe(2, 0x123456789a, 1, page, 0);
    NvCqe cqe;
    unsigned i;

    get_log(nv, 1, 64, 0, page);
    g_assert_cmpuint(nv_get64(p), ==, 0);
    cqe = nv_do(nv, 1, &read);
    g_assert_cmphex(cqe.status, ==, 0x080);
    g_assert_true(cqe.dnr);
    get_log(nv, 1, 128, 0, page);
    g_assert_cmpuint(nv_get64(p), ==, 1);
    g_assert_cmpuint(nv_get16(p + 8), ==, 1);
    g_assert_cmpuint(nv_get16(p + 10), ==, cqe.cid);
    g_assert_cmphex(nv_get16(p + 12) >> 1 & 0x7ff, ==, 0x080);
    g_assert_cmpuint(nv_get16(p + 14), ==, 40);         /* CDW10 */
    g_assert_cmphex(nv_get64(p + 16), ==, 0x123456789a);
    g_assert_cmpuint(nv_get32(p + 24), ==, 1);
    g_assert_cmpuint(nv_get64(p + 64), ==, 0);

    /* Newest first, as many as there is room for */
    for (i = 0; i < 40; i++) {
        nv_admin(nv, 0xff, 0, 0);
    }
    get_log(nv, 1, 16 * 64, 0, page);
    for (i = 0; i < 16; i++) {
        g_assert_cmpuint(nv_get64(p + 64 * i), ==, 41 - i);
        g_assert_cmpuint(nv_get16(p + 64 * i + 8), ==, 0);
    }
    nv_free(nv);
}

static void test_smart_counts(void)
{
    Nv *nv = nv_start("");
    uint64_t page = nv_pages(nv, 2);
    const uint8_t *p = nv_at(nv, page);
    unsigned i;

    for (i = 0; i < 300; i++) {
        nv_rw(nv, 1, 8 * i, 8, page, 0);
    }
    for (i = 0; i < 5; i++) {
        nv_rw(nv, 2, 8 * i, 8, page, 0);
    }
    nv_rw(nv, 8, 0, 8, 0, 0);           /* Write Zeroes: of neither kind */
    nv->h->mem->errors[FAKE_CALL_BLOCK_READ] = EIO;
    nv_rw(nv, 2, 0, 1, page, 0);
    fake_advance(nv->h, 7200ll * 1000000000);
    g_assert_cmphex(get_log(nv, 2, 512, 0, page).status, ==, 0);
    g_assert_cmpuint(nv_get64(p + 32), ==, 1);          /* 40 * 512 */
    g_assert_cmpuint(nv_get64(p + 48), ==, 3);          /* 2400 * 512 */
    g_assert_cmpuint(nv_get64(p + 64), ==, 5);
    g_assert_cmpuint(nv_get64(p + 80), ==, 300);
    g_assert_cmpuint(nv_get64(p + 128), ==, 2);         /* hours */
    g_assert_cmpuint(nv_get64(p + 160), ==, 1);         /* media errors */
    g_assert_cmpuint(nv_get64(p + 176), ==, 1);         /* log entries */
    nv_free(nv);
}

static void test_firmware_and_effects_logs(void)
{
    Nv *nv = nv_start("");
    uint64_t page = nv_pages(nv, 2);
    const uint8_t *p = nv_at(nv, page);
    char revision[8];

    identify(nv, 1, 0, page);
    memcpy(revision, p + 64, 8);
    g_assert_cmphex(get_log(nv, 3, 512, 0, page).status, ==, 0);
    g_assert_cmpuint(p[0], ==, 1);
    g_assert_cmpint(memcmp(p + 8, revision, 8), ==, 0);

    g_assert_cmphex(get_log(nv, 5, 4096, 0, page).status, ==, 0);
    g_assert_cmphex(nv_get32(p + 4 * 0x06), ==, 1);
    g_assert_cmphex(nv_get32(p + 4 * 0x7c), ==, 0);
    g_assert_cmphex(nv_get32(p + 1024 + 4 * 0x02), ==, 1);
    g_assert_cmphex(nv_get32(p + 1024 + 4 * 0x01), ==, 3);
    g_assert_cmphex(nv_get32(p + 1024 + 4 * 0x04), ==, 0);
    g_assert_cmphex(nv_get32(p + 1024 + 4 * 0x09), ==, 3);

    /* From an offset; what is beyond the log is 0 */
    g_assert_cmphex(get_log(nv, 5, 64, 1024, page).status, ==, 0);
    g_assert_cmphex(nv_get32(p + 4 * 0x01), ==, 3);
    g_assert_cmphex(get_log(nv, 5, 64, 4096 - 4, page).status, ==, 0);
    g_assert_cmphex(nv_get32(p + 4), ==, 0);
    nv_free(nv);
}

static void test_log_arguments_are_checked(void)
{
    Nv *nv = nv_start("mdts=1");
    uint64_t page = nv_pages(nv, 4);
    NvSqe sqe = { .opcode = 2, .nsid = 2, .prp1 = page, .cdw10 = 2 };

    g_assert_cmphex(get_log(nv, 0x00, 64, 0, page).status, ==, 0x109);
    g_assert_cmphex(get_log(nv, 0x7f, 64, 0, page).status, ==, 0x109);
    g_assert_cmphex(get_log(nv, 1, 64, 2, page).status, ==, 0x002);
    g_assert_cmphex(get_log(nv, 2, 64, 516, page).status, ==, 0x002);
    g_assert_cmphex(get_log(nv, 2, 8192, 0, page).status, ==, 0);
    g_assert_cmphex(get_log(nv, 2, 8196, 0, page).status, ==, 0x002);
    g_assert_cmphex(nv_do(nv, 0, &sqe).status, ==, 0x00b);
    nv_free(nv);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/nvme/identify/controller",
                    test_identifies_the_controller);
    g_test_add_func("/nvme/identify/serial-falls-back",
                    test_serial_falls_back_to_the_module_id);
    g_test_add_func("/nvme/identify/namespace",
                    test_identifies_the_namespace);
    g_test_add_func("/nvme/identify/what-the-disk-likes",
                    test_tells_what_the_disk_likes);
    g_test_add_func("/nvme/identify/list-and-uuid",
                    test_lists_the_namespace_and_its_uuid);
    g_test_add_func("/nvme/identify/refuses", test_identify_refuses);
    g_test_add_func("/nvme/admin/unknown-are-invalid",
                    test_unknown_admin_commands_are_invalid);
    g_test_add_func("/nvme/features/keep-what-is-set",
                    test_features_keep_what_is_set);
    g_test_add_func("/nvme/features/number-of-queues",
                    test_number_of_queues_is_told_before_there_are_any);
    g_test_add_func("/nvme/features/arguments-are-checked",
                    test_feature_arguments_are_checked);
    g_test_add_func("/nvme/features/have-a-scope",
                    test_features_have_a_scope);
    g_test_add_func("/nvme/features/temperature-thresholds",
                    test_temperature_thresholds);
    g_test_add_func("/nvme/events/temperature",
                    test_temperature_event_comes_once_until_the_log_is_read);
    g_test_add_func("/nvme/events/resize-is-told", test_resize_is_told);
    g_test_add_func("/nvme/events/over-the-limit",
                    test_requests_over_the_limit_are_refused);
    g_test_add_func("/nvme/abort/ends-an-event-request",
                    test_abort_ends_an_event_request);
    g_test_add_func("/nvme/logs/errors", test_error_log_tells_what_failed);
    g_test_add_func("/nvme/logs/smart-counts", test_smart_counts);
    g_test_add_func("/nvme/logs/firmware-and-effects",
                    test_firmware_and_effects_logs);
    g_test_add_func("/nvme/logs/arguments-are-checked",
                    test_log_arguments_are_checked);
    return g_test_run();
}
