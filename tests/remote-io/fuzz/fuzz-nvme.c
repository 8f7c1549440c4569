/*
 * A hostile guest at the registers and queues of the nvme module
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An input is a list of steps, each a byte that says what happens and the
 * bytes it needs: commands with any opcode and fields, pointers to lists that
 * point to themselves, doorbells of any value, registers written at any
 * time, a disk that fails, DMA that is refused, calls that take their time
 * and return in any order.
 *
 * The host of the module's tests plays the server, and ends the run when the
 * module breaks the rules of its API.  Whatever happened, a reset ends it:
 * afterwards no task is left, nothing touches memory or disk any more, and
 * the controller works like a new one.
 */

#include <errno.h>
#include <string.h>

#include "../../unit/remote-io-nvme-driver.h"
#include "fuzz.h"

#define MOST_STEPS      1000
#define MOST_HELD       4096    /* steps without an end are not waited for */
#define QUEUE           64      /* entries */
#define PAGES           32      /* that pointers point to, mostly */

/*
 * What a guest may have under way: the module's commands, a fetch and a flush
 * of each queue, and a shutdown
 */
#define MOST_TASKS      (256 + 2 * NV_QUEUES + 1)

typedef struct Input {
    const uint8_t *p;
    size_t left;
    Nv *nv;
    uint64_t pages;
    uint32_t tail[NV_QUEUES];
    uint64_t disk_length;
} Input;

static uint64_t get(Input *in, unsigned bytes)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < bytes && in->left; i++, in->left--) {
        v |= (uint64_t)*in->p++ << 8 * i;
    }
    return v;
}

/* A number: small ones, ones around powers of two, any */
static uint32_t get_number(Input *in)
{
    uint8_t kind = get(in, 1);

    if (kind < 0xc0) {
        return kind & 0x3f;
    }
    if (kind < 0xe0) {
        return (1u << (kind & 31)) - 1 + (kind >> 4 & 1);
    }
    return get(in, 4);
}

/* A guest address: in a page, at its end, at the end of memory, any */
static uint64_t get_address(Input *in)
{
    uint8_t kind = get(in, 1);
    uint64_t page = in->pages + (uint64_t)(kind % PAGES) * NV_PAGE;

    switch (kind >> 5) {
    case 0 ... 3:
        return page;
    case 4:
        return page + (get(in, 2) & 0xfff);
    case 5:
        return page + NV_PAGE - 1 - (get(in, 1) & 63);
    case 6:
        return FAKE_RAM_SIZE - (get(in, 2) & 0x3fff);
    default:
        return get(in, 8);
    }
}

/* ---- steps ------------------------------------------------------------- */

static void put_command(Input *in)
{
    unsigned id = get(in, 1) % 3;
    NvQueue *q = &in->nv->q[id];
    uint8_t e[64] = { 0 };

    if (!q->sq) {
        return;
    }
    e[0] = get(in, 1);
    e[1] = get(in, 1);
    e[2] = in->tail[id];
    nv_put32(e + 4, (int32_t)(int8_t)get(in, 1));
    nv_put64(e + 24, get_address(in));
    nv_put64(e + 32, get_address(in));
    for (unsigned i = 40; i < 64; i += 4) {
        nv_put32(e + i, get_number(in));
    }
    memcpy(nv_at(in->nv, q->sq) + in->tail[id] * 64, e, 64);
    in->tail[id] = (in->tail[id] + 1) % q->sq_size;
}

static void ring_queue(Input *in)
{
    unsigned id = get(in, 1) % 3;

    fake_ring(in->nv->h, NV_SQ_DOORBELL(id), in->tail[id]);
}

static void ring_anything(Input *in)
{
    uint64_t offset = (get(in, 1) & 31) * 4;

    fake_ring(in->nv->h, 0x1000 + offset, get_number(in));
}

/* A page of pointers, in steps of 8 or 16 bytes, or of descriptors */
static void fill_page(Input *in)
{
    uint64_t at = in->pages + get(in, 1) % PAGES * NV_PAGE;
    uint64_t to = get_address(in);
    uint8_t kind = get(in, 1);
    uint32_t len = get_number(in);
    uint8_t *p = nv_at(in->nv, at);

    for (unsigned i = 0; i < NV_PAGE; i += 16) {
        nv_put64(p + i, to);
        if (kind & 1) {
            nv_put64(p + i + 8, to + (kind & 2) * (NV_PAGE / 2));
        } else {
            nv_put32(p + i + 8, len);
            nv_put32(p + i + 12, (uint32_t)(kind & 0xf0) << 24);
        }
    }
}

static void write_memory(Input *in)
{
    uint64_t at = get_address(in);
    size_t n = get(in, 1) & 63;

    for (; n && at < FAKE_RAM_SIZE; n--, at++) {
        *nv_at(in->nv, at) = get(in, 1);
    }
}

static void write_register(Input *in)
{
    uint64_t offset = get(in, 1) & 0x3f;
    unsigned size = get(in, 1) & 1 ? 8 : 4;
    uint64_t value = get_number(in);

    if (size == 8) {
        value |= (uint64_t)get_number(in) << 32;
    }
    fake_write(in->nv->h, offset & ~(uint64_t)(size - 1), size, value);
}

/* The registers of a controller that may become ready, or not */
static void enable(Input *in)
{
    FakeHost *h = in->nv->h;

    fake_write(h, NV_CC, 4, 0);
    fake_write(h, NV_AQA, 4, (QUEUE - 1) << 16 | (QUEUE - 1));
    fake_write(h, NV_ASQ, 8, in->nv->q[0].sq);
    fake_write(h, NV_ACQ, 8, in->nv->q[0].cq);
    fake_write(h, NV_CC, 4, NV_CC_ON);
    memset(in->tail, 0, sizeof(in->tail));
}

static void release(Input *in)
{
    unsigned held = fake_held(in->nv->h, FAKE_CALL_NONE);

    if (held) {
        fake_release_nth(in->nv->h, get(in, 1) % held);
    }
}

static void fail_disk(Input *in)
{
    static const int errors[] = { 0, EIO, ENOSPC, EROFS, ENOMEM, ENOTSUP };
    unsigned call = FAKE_CALL_BLOCK_READ + get(in, 1) % 5;

    in->nv->h->mem->errors[call] = errors[get(in, 1) %
                                          G_N_ELEMENTS(errors)];
}

static void reset(Input *in)
{
    FakeHost *h = in->nv->h;

    switch (get(in, 1) % 4) {
    case 0:
        fake_reset(h, 0, RIO_MODULE_RESET_SYSTEM);
        break;
    case 1:
        fake_detach(h, 0);
        fake_attach(h, 0);
        break;
    case 2:
        fake_resize(h, in->disk_length >> (get(in, 1) & 7));
        break;
    default:
        fake_write(h, NV_CC, 4, 0);
        break;
    }
}

static void step(Input *in)
{
    FakeMemory *mem = in->nv->h->mem;

    switch (get(in, 1) & 15) {
    case 0 ... 3:
        put_command(in);
        break;
    case 4 ... 5:
        ring_queue(in);
        break;
    case 6:
        ring_anything(in);
        break;
    case 7:
        fill_page(in);
        break;
    case 8:
        write_memory(in);
        break;
    case 9:
        write_register(in);
        break;
    case 10:
        enable(in);
        break;
    case 11:
        mem->hold = true;
        break;
    case 12:
        release(in);
        break;
    case 13:
        fail_disk(in);
        break;
    case 14:
        mem->no_bus_master = get(in, 1) & 1;
        break;
    default:
        reset(in);
        break;
    }
    PROMISE(mem->tasks <= MOST_TASKS);
}

/* ---- afterwards -------------------------------------------------------- */

static void finish(Input *in)
{
    FakeMemory *mem = in->nv->h->mem;
    unsigned n = 0;

    mem->hold = false;
    while (fake_release(in->nv->h, FAKE_CALL_NONE)) {
        PROMISE(++n < MOST_HELD);
    }
}

/* The controller works as it did on the first day */
static void check_works(Input *in)
{
    Nv *nv = in->nv;
    uint64_t page = in->pages;

    memset(nv->h->mem->errors, 0, sizeof(nv->h->mem->errors));
    nv->h->mem->no_bus_master = false;
    nv->h->mem->frozen = false;
    fake_resize(nv->h, in->disk_length);
    nv_enable(nv);
    PROMISE(nv_create(nv, 1, QUEUE, 1) == 0);
    nv_pattern(nv_at(nv, page), NV_PAGE, 1);
    PROMISE(nv_rw(nv, 1, 8, 8, page, 0) == 0);
    memset(nv_at(nv, page), 0, NV_PAGE);
    PROMISE(nv_rw(nv, 2, 8, 8, page, 0) == 0);
    PROMISE(nv_is_pattern(nv_at(nv, page), NV_PAGE, 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Input in = { .p = data, .left = size };
    bool shadow = get(&in, 1) & 1;

    in.nv = nv_start(shadow ? "shadow-doorbells=on" : "");
    in.nv->h->quiet = true;
    PROMISE(nv_create(in.nv, 2, QUEUE, 2) == 0);
    in.tail[0] = in.nv->q[0].tail;
    in.pages = nv_pages(in.nv, PAGES);
    in.disk_length = in.nv->h->mem->disk_info.length;
    for (unsigned i = 0; i < MOST_STEPS && in.left; i++) {
        step(&in);
    }
    fake_write(in.nv->h, NV_CC, 4, 0);
    finish(&in);
    PROMISE(in.nv->h->mem->tasks == 0);
    PROMISE(fake_read(in.nv->h, NV_CSTS, 4) == 0);
    in.nv->h->mem->frozen = true;
    ring_queue(&in);
    finish(&in);
    check_works(&in);
    nv_free(in.nv);
    return 0;
}
