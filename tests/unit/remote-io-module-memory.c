/*
 * Tasks, guest memory and a disk for the module test host
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "remote-io-module-memory.h"

#define FAKE_STACK (128u << 10)
#define FAKE_DISK_MAX (64u << 20)

typedef struct FakeTask {
    FakeHost *host;
    RioTask *run;
    void *arg;
    FakeCall call;              /* it waits in */
    bool done;
    bool disowned;              /* a state was loaded since */
    ucontext_t context;
    ucontext_t back;
    uint8_t *stack;
} FakeTask;

struct RioBlock {
    FakeHost *host;
    const RioBlockOps *ops;
    bool writable;
};

static FakeTask *fake_current;

/* ---- tasks ------------------------------------------------------------- */

static void fake_task_main(void)
{
    FakeTask *t = fake_current;

    t->run(&t->host->dev, t->host->state, t->arg);
    t->done = true;
    swapcontext(&t->context, &t->back);
}

static void fake_task_start(RioDevice *dev, RioTask *run, void *arg)
{
    FakeHost *h = (FakeHost *)dev;
    FakeTask *t = g_new0(FakeTask, 1);

    g_assert_true(h->inside);
    t->host = h;
    t->run = run;
    t->arg = arg;
    t->stack = g_malloc(FAKE_STACK);
    getcontext(&t->context);
    t->context.uc_stack.ss_sp = t->stack;
    t->context.uc_stack.ss_size = FAKE_STACK;
    makecontext(&t->context, fake_task_main, 0);
    g_queue_push_tail(h->mem->ready, t);
    h->mem->tasks++;
    h->mem->max_tasks = MAX(h->mem->max_tasks, h->mem->tasks);
}

static void fake_task_enter(FakeTask *t)
{
    FakeHost *h = t->host;

    g_assert_null(fake_current);
    g_assert_false(h->inside);
    h->inside = true;
    fake_current = t;
    swapcontext(&t->back, &t->context);
    fake_current = NULL;
    h->inside = false;
    if (t->done) {
        h->mem->tasks--;
        g_free(t->stack);
        g_free(t);
    } else {
        g_queue_push_tail(h->mem->waiting, t);
    }
}

void fake_memory_run(FakeHost *h)
{
    FakeTask *t;

    if (fake_current) {
        return;
    }
    while ((t = g_queue_pop_head(h->mem->ready))) {
        fake_task_enter(t);
    }
    if (!h->mem->waiting->length) {
        g_array_set_size(h->mem->along, 0);
    }
}

/* Start of a call marked "task"; false when the instance closes */
static bool fake_call(FakeHost *h, FakeCall call)
{
    FakeTask *t = fake_current;

    g_assert_true(h->inside);
    g_assert_nonnull(t);
    h->mem->calls[call]++;
    if (h->mem->hold && !h->mem->closing) {
        t->call = call;
        swapcontext(&t->context, &t->back);
        t->call = FAKE_CALL_NONE;
    }
    return !h->mem->closing && !t->disowned;
}

static void fake_task_sleep(RioDevice *dev, int64_t ns)
{
    fake_call((FakeHost *)dev, FAKE_CALL_SLEEP);
}

unsigned fake_held(FakeHost *h, FakeCall call)
{
    unsigned count = 0;
    GList *l;

    for (l = h->mem->waiting->head; l; l = l->next) {
        FakeTask *t = l->data;

        count += call == FAKE_CALL_NONE || t->call == call;
    }
    return count;
}

static void fake_resume(FakeHost *h, GList *link)
{
    FakeTask *t = link->data;

    g_queue_delete_link(h->mem->waiting, link);
    fake_task_enter(t);
    fake_memory_run(h);
}

bool fake_release(FakeHost *h, FakeCall call)
{
    GList *l;

    for (l = h->mem->waiting->head; l; l = l->next) {
        FakeTask *t = l->data;

        if (call == FAKE_CALL_NONE || t->call == call) {
            fake_resume(h, l);
            return true;
        }
    }
    return false;
}

void fake_release_nth(FakeHost *h, unsigned i)
{
    GList *l = g_queue_peek_nth_link(h->mem->waiting, i);
    FakeTask *t = l->data;

    if (t->call == FAKE_CALL_DMA_WRITE) {
        fake_release(h, FAKE_CALL_DMA_WRITE);
    } else {
        fake_resume(h, l);
    }
}

void fake_release_all(FakeHost *h)
{
    h->mem->hold = false;
    while (fake_release(h, FAKE_CALL_NONE)) {
        /* one after the other */
    }
}

/* ---- guest memory ------------------------------------------------------ */

static bool fake_valid(FakeHost *h, uint64_t addr, uint64_t len)
{
    return !h->mem->no_bus_master && addr < FAKE_RAM_SIZE &&
           len <= FAKE_RAM_SIZE - addr;
}

/* Check what the API asks of a list of segments; returns: all accessible */
static bool fake_segments(FakeHost *h, const RioModuleSegment *segs,
                          unsigned n)
{
    bool valid = true;
    uint64_t total = 0;
    unsigned i;

    g_assert_cmpuint(n, >=, 1);
    g_assert_cmpuint(n, <=, RIO_MODULE_MAX_SEGMENTS);
    for (i = 0; i < n; i++) {
        g_assert_cmpuint(segs[i].len, >, 0);
        total += segs[i].len;
        valid &= fake_valid(h, segs[i].addr, segs[i].len);
    }
    g_assert_cmpuint(total, <=, RIO_MODULE_MAX_DMA);
    return valid;
}

/* Did all of [@addr, @addr + @len) come along with a doorbell? */
static bool fake_came_along(FakeHost *h, uint64_t addr, uint64_t len)
{
    unsigned i;

    for (i = 0; len && i < h->mem->along->len; i++) {
        const RioModuleSegment *s = &g_array_index(h->mem->along,
                                                   RioModuleSegment, i);

        if (addr >= s->addr && addr < s->addr + s->len) {
            uint64_t have = MIN(len, s->addr + s->len - addr);

            addr += have;
            len -= have;
            i = -1;
        }
    }
    return !len;
}

static int fake_dma_read(RioDevice *dev, unsigned client,
                         const RioModuleSegment *segs, unsigned n, void *buf)
{
    FakeHost *h = (FakeHost *)dev;
    bool valid = fake_segments(h, segs, n);
    bool along = true;
    uint8_t *p = buf;
    unsigned i;

    for (i = 0; i < n; i++) {
        along &= fake_came_along(h, segs[i].addr, segs[i].len);
    }
    h->mem->round_trips += !along;
    if (!fake_call(h, FAKE_CALL_DMA_READ)) {
        return -ECANCELED;
    }
    for (i = 0; i < n && valid; i++) {
        memcpy(p, h->mem->ram + segs[i].addr, segs[i].len);
        p += segs[i].len;
    }
    return valid ? 0 : -EFAULT;
}

static int fake_dma_write(RioDevice *dev, unsigned client,
                          const RioModuleSegment *segs, unsigned n,
                          const void *buf)
{
    FakeHost *h = (FakeHost *)dev;
    const uint8_t *p = buf;
    unsigned i;

    fake_segments(h, segs, n);
    if (!fake_call(h, FAKE_CALL_DMA_WRITE)) {
        return -ECANCELED;
    }
    g_assert_false(h->mem->frozen);
    for (i = 0; i < n; i++) {
        if (fake_valid(h, segs[i].addr, segs[i].len)) {
            memcpy(h->mem->ram + segs[i].addr, p, segs[i].len);
        }
        p += segs[i].len;
    }
    return 0;
}

/* ---- doorbell recipes: the client's part ------------------------------- */

static void fake_recipe_set(RioDevice *dev, unsigned client, unsigned id,
                            const RioRecipe *recipe)
{
    FakeHost *h = (FakeHost *)dev;

    g_assert_true(h->inside);
    g_assert_cmpuint(id, <, FAKE_RECIPES);
    memset(&h->mem->recipes[id], 0, sizeof(*recipe));
    h->mem->tails[id] = 0;
    if (recipe && recipe->entries) {
        g_assert_cmpuint(recipe->entry_size, >=, 8);
        g_assert_cmpuint(recipe->entry_size, <=, 256);
    }
    if (recipe) {
        g_assert_cmpuint(recipe->num_rules, <=, RIO_RECIPE_RULES);
        h->mem->recipes[id] = *recipe;
    }
}

typedef struct FakeSend {
    FakeHost *host;
    uint32_t room;              /* bytes of data that may still go along */
} FakeSend;

static uint64_t fake_get(FakeHost *h, uint64_t addr, unsigned bytes)
{
    uint64_t v = 0;
    unsigned i;

    for (i = 0; i < bytes && fake_valid(h, addr, bytes); i++) {
        v |= (uint64_t)h->mem->ram[addr + i] << 8 * i;
    }
    return v;
}

static bool fake_send(FakeSend *s, uint64_t addr, uint64_t len)
{
    RioModuleSegment seg = { addr, len };

    if (len > s->room || !fake_valid(s->host, addr, len)) {
        s->room = 0;
        return false;
    }
    s->room -= len;
    g_array_append_val(s->host->mem->along, seg);
    return true;
}

static void fake_send_pages(FakeSend *s, const RioRecipeRule *r,
                            uint64_t entry, uint64_t len)
{
    uint64_t p1 = fake_get(s->host, entry + r->pointer, 8);
    uint64_t p2 = fake_get(s->host, entry + r->pointer + 8, 8);
    uint64_t first = MIN(len, r->page_size - p1 % r->page_size);

    if (!r->lists_only) {
        fake_send(s, p1, first);
    }
    len -= first;
    if (len && len <= r->page_size && !r->lists_only) {
        fake_send(s, p2, len);
    }
    while (len > r->page_size && s->room) {
        uint64_t need = (len + r->page_size - 1) / r->page_size;
        uint64_t slots = (r->page_size - p2 % r->page_size) / 8;
        uint64_t pages = need > slots ? slots - 1 : need;
        uint64_t i;

        fake_send(s, p2, MIN(need, slots) * 8);
        for (i = 0; i < pages; i++) {
            uint64_t page = fake_get(s->host, p2 + 8 * i, 8);

            if (!r->lists_only) {
                fake_send(s, page, MIN(len, r->page_size));
            }
            len -= MIN(len, r->page_size);
        }
        p2 = fake_get(s->host, p2 + 8 * pages, 8);
    }
}

static unsigned fake_sgl_type(FakeHost *h, uint64_t at)
{
    return fake_get(h, at + 15, 1) >> 4;
}

static void fake_send_sgl_data(FakeSend *s, const RioRecipeRule *r,
                               uint64_t at, uint64_t len)
{
    if (!r->lists_only) {
        fake_send(s, fake_get(s->host, at, 8),
                  MIN(fake_get(s->host, at + 8, 4), len));
    }
}

/* The descriptor at @at, and the segments that it leads to */
static void fake_send_sgl(FakeSend *s, const RioRecipeRule *r, uint64_t at,
                          uint64_t len)
{
    while (s->room && fake_sgl_type(s->host, at)) {
        unsigned type = fake_sgl_type(s->host, at);
        uint64_t next = fake_get(s->host, at, 8);
        uint64_t end = next + fake_get(s->host, at + 8, 4);

        if ((type != 2 && type != 3) || !fake_send(s, next, end - next)) {
            return;
        }
        for (at = next; at + 16 <= end && !fake_sgl_type(s->host, at);
             at += 16) {
            fake_send_sgl_data(s, r, at, len);
        }
        if (at + 16 > end) {
            return;
        }
    }
    if (s->room) {
        fake_send_sgl_data(s, r, at, len);
    }
}

static void fake_send_entry(FakeSend *s, const RioRecipe *recipe,
                            uint64_t entry)
{
    unsigned i;

    for (i = 0; i < recipe->num_rules; i++) {
        const RioRecipeRule *r = &recipe->rules[i];
        uint64_t field = fake_get(s->host, entry + r->length_field,
                                  r->length_bytes);
        uint64_t len = (field + r->length_add) * r->length_unit;

        if ((fake_get(s->host, entry, 4) & r->mask) != r->match) {
            continue;
        }
        switch (r->shape) {
        case RIO_RECIPE_LINEAR:
            fake_send(s, fake_get(s->host, entry + r->pointer, 8), len);
            break;
        case RIO_RECIPE_PAGES:
            fake_send_pages(s, r, entry, len);
            break;
        case RIO_RECIPE_SGL:
            fake_send_sgl(s, r, entry + r->pointer, len);
            break;
        default:
            g_assert_not_reached();
        }
        return;
    }
}

static void fake_follow(FakeHost *h, unsigned id, uint32_t value)
{
    const RioRecipe *recipe = &h->mem->recipes[id];
    FakeSend s = { h, recipe->max_data };

    if (value >= recipe->entries) {
        return;
    }
    while (h->mem->tails[id] != value) {
        uint64_t at = recipe->ring +
                      (uint64_t)h->mem->tails[id] * recipe->entry_size;
        RioModuleSegment seg = { at, recipe->entry_size };

        if (fake_valid(h, at, recipe->entry_size)) {
            g_array_append_val(h->mem->along, seg);
            fake_send_entry(&s, recipe, at);
        }
        h->mem->tails[id] = (h->mem->tails[id] + 1) % recipe->entries;
    }
}

void fake_ring(FakeHost *h, uint64_t offset, uint32_t value)
{
    unsigned id;

    for (id = 0; id < FAKE_RECIPES; id++) {
        if (h->mem->recipes[id].entries &&
            h->mem->recipes[id].offset == offset) {
            fake_follow(h, id, value);
        }
    }
    fake_write(h, offset, 4, value);
}

/* ---- the disk ---------------------------------------------------------- */

static RioBlock *fake_block_open(RioDevice *dev, const char *node,
                                 bool writable, const RioBlockOps *ops)
{
    FakeHost *h = (FakeHost *)dev;
    RioBlock *blk;

    g_assert_true(h->inside);
    g_assert_null(h->mem->block);
    if (g_str_equal(node, "tiny0")) {
        h->mem->disk_info.length = 511;
    } else if (!g_str_equal(node, "d0") && !g_str_equal(node, "ro0")) {
        rio_fail(dev, "block node '%s': unknown", node);
        return NULL;
    }
    blk = g_new0(RioBlock, 1);
    blk->host = h;
    blk->ops = ops;
    blk->writable = writable;
    h->mem->disk_info.read_only = g_str_equal(node, "ro0");
    h->mem->block = blk;
    return blk;
}

static void fake_block_info(RioBlock *blk, RioBlockInfo *info)
{
    g_assert_true(blk->host->inside);
    *info = blk->host->mem->disk_info;
}

/* Start of a request; 0, or what it returns */
static int fake_block_call(RioBlock *blk, FakeCall call, uint64_t offset,
                           uint64_t len)
{
    FakeHost *h = blk->host;

    g_assert_cmpuint(offset, <=, h->mem->disk_info.length);
    g_assert_cmpuint(len, <=, h->mem->disk_info.length - offset);
    if (!fake_call(h, call)) {
        return -ECANCELED;
    }
    if (call != FAKE_CALL_BLOCK_READ && call != FAKE_CALL_BLOCK_FLUSH) {
        g_assert_false(h->mem->frozen);
        g_assert_true(blk->writable);
        g_assert_false(h->mem->disk_info.read_only);
    }
    return -h->mem->errors[call];
}

static int fake_block_read(RioBlock *blk, uint64_t offset, void *buf,
                           size_t len)
{
    int ret = fake_block_call(blk, FAKE_CALL_BLOCK_READ, offset, len);

    if (!ret) {
        memcpy(buf, blk->host->mem->disk + offset, len);
    }
    return ret;
}

static void fake_block_changed(RioBlock *blk, unsigned flags)
{
    blk->host->mem->last_flags = flags;
    blk->host->mem->unflushed |= !(flags & RIO_BLOCK_FUA);
}

static int fake_block_write(RioBlock *blk, uint64_t offset, const void *buf,
                            size_t len, unsigned flags)
{
    int ret = fake_block_call(blk, FAKE_CALL_BLOCK_WRITE, offset, len);

    if (!ret) {
        memcpy(blk->host->mem->disk + offset, buf, len);
        fake_block_changed(blk, flags);
    }
    return ret;
}

static int fake_block_zero(RioBlock *blk, uint64_t offset, uint64_t len,
                           unsigned flags)
{
    int ret = fake_block_call(blk, FAKE_CALL_BLOCK_ZERO, offset, len);

    if (!ret) {
        memset(blk->host->mem->disk + offset, 0, len);
        fake_block_changed(blk, flags);
    }
    return ret;
}

static int fake_block_discard(RioBlock *blk, uint64_t offset, uint64_t len)
{
    int ret = fake_block_call(blk, FAKE_CALL_BLOCK_DISCARD, offset, len);

    if (!ret) {
        memset(blk->host->mem->disk + offset, 0, len);
        blk->host->mem->discarded += len;
    }
    return ret;
}

static int fake_block_flush(RioBlock *blk)
{
    int ret = fake_block_call(blk, FAKE_CALL_BLOCK_FLUSH, 0, 0);

    if (!ret) {
        blk->host->mem->unflushed = false;
    }
    return ret;
}

void fake_resize(FakeHost *h, uint64_t length)
{
    g_assert_cmpuint(length, <=, FAKE_DISK_MAX);
    h->mem->disk_info.length = length;
    if (h->mem->block->ops && h->mem->block->ops->resized) {
        h->inside = true;
        h->mem->block->ops->resized(&h->dev, h->state);
        h->inside = false;
        fake_memory_run(h);
    }
}

/* ---- life -------------------------------------------------------------- */

/*
 * Zeroes that cost nothing until they are used: a test may open thousands of
 * hosts, and what the C library has in stock it must clear.
 */
static uint8_t *fake_zeroes(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    g_assert(p != MAP_FAILED);
    return p;
}

void fake_memory_init(FakeHost *h)
{
    h->mem = g_new0(FakeMemory, 1);
    h->mem->ram = fake_zeroes(FAKE_RAM_SIZE);
    h->mem->disk = fake_zeroes(FAKE_DISK_MAX);
    h->mem->disk_info.length = FAKE_DISK_MAX / 2;
    h->mem->disk_info.request_alignment = 1;
    h->mem->disk_info.can_discard = true;
    h->mem->ready = g_queue_new();
    h->mem->waiting = g_queue_new();
    h->mem->along = g_array_new(FALSE, FALSE, sizeof(RioModuleSegment));

    h->services.task_start = fake_task_start;
    h->services.task_sleep = fake_task_sleep;
    h->services.dma_read = fake_dma_read;
    h->services.dma_write = fake_dma_write;
    h->services.recipe_set = fake_recipe_set;
    h->services.block_open = fake_block_open;
    h->services.block_info = fake_block_info;
    h->services.block_read = fake_block_read;
    h->services.block_write = fake_block_write;
    h->services.block_zero = fake_block_zero;
    h->services.block_discard = fake_block_discard;
    h->services.block_flush = fake_block_flush;
}

static void fake_task_disown(gpointer task, gpointer unused)
{
    ((FakeTask *)task)->disowned = true;
}

void fake_memory_disown(FakeHost *h)
{
    g_queue_foreach(h->mem->ready, fake_task_disown, NULL);
    g_queue_foreach(h->mem->waiting, fake_task_disown, NULL);
}

void fake_memory_hand_over(FakeHost *from, FakeHost *to)
{
    FakeMemory old = *to->mem;

    to->mem->ram = from->mem->ram;
    to->mem->disk = from->mem->disk;
    to->mem->disk_info = from->mem->disk_info;
    to->mem->unflushed = from->mem->unflushed;
    to->mem->hold = from->mem->hold;
    to->mem->no_bus_master = from->mem->no_bus_master;
    memcpy(to->mem->errors, from->mem->errors, sizeof(old.errors));
    from->mem->ram = old.ram;
    from->mem->disk = old.disk;
}

void fake_memory_drain(FakeHost *h)
{
    h->mem->closing = true;
    fake_memory_run(h);
    while (fake_release(h, FAKE_CALL_NONE)) {
        /* each returns -ECANCELED */
    }
    g_assert_cmpuint(h->mem->tasks, ==, 0);
}

void fake_memory_free(FakeHost *h)
{
    g_assert_cmpuint(h->mem->tasks, ==, 0);
    g_free(h->mem->block);
    g_queue_free(h->mem->ready);
    g_queue_free(h->mem->waiting);
    g_array_free(h->mem->along, TRUE);
    munmap(h->mem->ram, FAKE_RAM_SIZE);
    munmap(h->mem->disk, FAKE_DISK_MAX);
    g_free(h->mem);
}
