/*
 * tape: records guest memory on a disk, as an example of DMA and recipes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The guest puts orders into a ring in its memory and stores the ring's new
 * tail in a doorbell.  A task carries them out in turn, says in each what
 * became of it, and interrupts.  It reads as if memory and disk were here:
 * what takes time suspends the task, and nothing else.
 */

#include <string.h>

#include <remote-io-module.h>

/* Registers of BAR 0 */
enum {
    TAPE_RING    = 0x00,        /* RW, 64 bits: where the ring is */
    TAPE_ENTRIES = 0x08,        /* RW, 32 bits: its length; starts anew */
    TAPE_TAIL    = 0x0c,        /* W, 32 bits: the doorbell */
    TAPE_DONE    = 0x10,        /* R, 32 bits: orders carried out */
    TAPE_SIZE    = 0x20,
};

/* An order, of the ring; all numbers are little-endian */
enum {
    ORDER_WHAT   = 0,           /* u32: TAPE_WRITE, TAPE_READ */
    ORDER_LENGTH = 4,           /* u32: bytes */
    ORDER_MEMORY = 8,           /* u64: where from, or to */
    ORDER_OFFSET = 16,          /* u64: where on the disk */
    ORDER_STATUS = 24,          /* u32: set by us */
    ORDER_SIZE   = 32,
};

enum {
    TAPE_WRITE  = 1,            /* memory to disk */
    TAPE_READ   = 2,            /* disk to memory */

    TAPE_OK     = 1,
    TAPE_FAILED = 2,
};

#define TAPE_MAX_ENTRIES 256
#define TAPE_MAX_LENGTH 65536

typedef struct TapeState {
    RioBlock *disk;
    uint64_t ring;
    uint32_t entries;
    uint32_t head, tail;        /* done up to, ordered up to */
    uint32_t done;
    uint32_t life;              /* counts what makes old orders void */
    bool running;               /* there is a task */
    uint8_t data[TAPE_MAX_LENGTH];
} TapeState;

static const RioModuleRegion tape_region = {
    .index = 0, .space = RIO_MODULE_MMIO, .size = TAPE_SIZE,
};

/* A guest need not wait for a doorbell, nor while it sets the ring up */
static const RioModuleRange tape_ranges[] = {
    { .offset = TAPE_RING, .length = 8, .sizes = 8,
      .attrs = RIO_MODULE_POSTED },
    { .offset = TAPE_ENTRIES, .length = 4, .sizes = 4 },
    { .offset = TAPE_TAIL, .length = 4, .sizes = 4,
      .attrs = RIO_MODULE_POSTED | RIO_MODULE_DOORBELL },
    { .offset = TAPE_DONE, .length = 4, .sizes = 4,
      .attrs = RIO_MODULE_PURE },
};

static const RioParam tape_params[] = {
    { .name = "drive", .type = RIO_PARAM_STRING,
      .help = "node-name of a --blockdev that can be written" },
    { .name = NULL },
};

static uint32_t get32(const uint8_t *p)
{
    return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t get64(const uint8_t *p)
{
    return get32(p) | (uint64_t)get32(p + 4) << 32;
}

/* Task.  Returns: 0 or a negative errno value */
static int tape_carry_out(RioDevice *dev, TapeState *s, const uint8_t *order)
{
    uint32_t length = get32(order + ORDER_LENGTH);
    uint64_t memory = get64(order + ORDER_MEMORY);
    uint64_t offset = get64(order + ORDER_OFFSET);
    int ret;

    if (length > TAPE_MAX_LENGTH) {
        return -1;
    }
    switch (get32(order + ORDER_WHAT)) {
    case TAPE_WRITE:
        ret = rio_dma_read(dev, 0, memory, s->data, length);
        return ret ? ret : rio_block_write(dev, s->disk, offset, s->data,
                                           length, 0);
    case TAPE_READ:
        ret = rio_block_read(dev, s->disk, offset, s->data, length);
        return ret ? ret : rio_dma_write(dev, 0, memory, s->data, length);
    default:
        return -1;
    }
}

/*
 * Task.  The guest may have reset us, or made another ring, whenever this was
 * suspended: then what it had begun must not show any more.
 */
static void tape_run(RioDevice *dev, void *opaque, void *unused)
{
    TapeState *s = opaque;
    uint32_t life = s->life;
    uint8_t order[ORDER_SIZE];
    uint8_t status[4] = { 0 };

    (void)unused;
    while (s->life == life && s->head != s->tail) {
        uint64_t at = s->ring + s->head * ORDER_SIZE;

        if (rio_dma_read(dev, 0, at, order, ORDER_SIZE) < 0) {
            break;              /* no ring, or the end of us */
        }
        status[0] = tape_carry_out(dev, s, order) ? TAPE_FAILED : TAPE_OK;
        if (s->life != life) {
            break;
        }
        /* Data, status and interrupt arrive in this order, in one frame */
        rio_dma_write(dev, 0, at + ORDER_STATUS, status, 4);
        if (s->life != life) {
            break;
        }
        /* Nothing waits from here on: a state has it as ordered, or as done */
        s->head = (s->head + 1) % s->entries;
        s->done++;
        rio_irq_message(dev, 0, 0);
    }
    s->running = false;
    if (s->life != life && s->head != s->tail) {
        s->running = true;
        rio_task_start(dev, tape_run, NULL);
    }
}

/* What the client sends along with the doorbell: orders, and what to record */
static void tape_set_recipe(RioDevice *dev, TapeState *s)
{
    RioRecipe recipe = {
        .region = 0,
        .offset = TAPE_TAIL,
        .ring = s->ring,
        .entries = s->entries,
        .entry_size = ORDER_SIZE,
        .max_data = TAPE_MAX_LENGTH,
        .num_rules = 1,
        .rules[0] = {
            .mask = 0xffffffff, .match = TAPE_WRITE,
            .shape = RIO_RECIPE_LINEAR,
            .pointer = ORDER_MEMORY,
            .length_field = ORDER_LENGTH, .length_bytes = 4,
            .length_unit = 1,
        },
    };

    rio_recipe_set(dev, 0, 0, s->entries ? &recipe : NULL);
}

static void tape_forget(TapeState *s)
{
    s->life++;
    s->head = s->tail = s->done = 0;
}

static uint64_t tape_read(RioDevice *dev, void *opaque, unsigned client,
                          unsigned region, uint64_t offset, unsigned size)
{
    TapeState *s = opaque;

    (void)dev, (void)client, (void)region, (void)size;
    return offset == TAPE_RING ? s->ring :
           offset == TAPE_ENTRIES ? s->entries :
           offset == TAPE_DONE ? s->done : 0;
}

static void tape_write(RioDevice *dev, void *opaque, unsigned client,
                       unsigned region, uint64_t offset, unsigned size,
                       uint64_t value)
{
    TapeState *s = opaque;

    (void)client, (void)region, (void)size;
    switch (offset) {
    case TAPE_RING:
        s->ring = value;
        break;
    case TAPE_ENTRIES:
        tape_forget(s);
        s->entries = value <= TAPE_MAX_ENTRIES ? (uint32_t)value : 0;
        tape_set_recipe(dev, s);
        break;
    case TAPE_TAIL:
        if (value >= s->entries) {
            rio_log(dev, RIO_LOG_GUEST, "tail %u in a ring of %u",
                    (unsigned)value, (unsigned)s->entries);
            break;
        }
        s->tail = (uint32_t)value;
        if (!s->running) {
            s->running = true;
            rio_task_start(dev, tape_run, NULL);
        }
        break;
    }
}

static void tape_reset(RioDevice *dev, void *opaque, unsigned client,
                       int kind)
{
    TapeState *s = opaque;

    (void)client, (void)kind;
    tape_forget(s);
    s->ring = 0;
    s->entries = 0;
    tape_set_recipe(dev, s);
}

/*
 * State.  What the tape is doing is no part of it: an order that was not done
 * is carried out again by whoever loads it, from the start.
 */

typedef struct TapeImage {
    uint64_t ring;
    uint32_t entries;
    uint32_t head, tail;
    uint32_t done;
} TapeImage;

static const RioField tape_fields[] = {
    { RIO_STATE(TapeImage, UINT, ring) },
    { RIO_STATE(TapeImage, UINT, entries) },
    { RIO_STATE(TapeImage, UINT, head) },
    { RIO_STATE(TapeImage, UINT, tail) },
    { RIO_STATE(TapeImage, UINT, done) },
    { .name = NULL },
};

static void tape_save(RioDevice *dev, void *opaque, void *to)
{
    const TapeState *s = opaque;

    (void)dev;
    *(TapeImage *)to = (TapeImage) { s->ring, s->entries, s->head, s->tail,
                                     s->done };
}

/* What comes may be from anybody: nothing may lead out of an array */
static int tape_check(RioDevice *dev, void *opaque, const void *from,
                      uint32_t version)
{
    const TapeImage *image = from;

    (void)opaque, (void)version;
    if (image->entries > TAPE_MAX_ENTRIES ||
        (image->entries ? image->head >= image->entries ||
                          image->tail >= image->entries :
                          image->head || image->tail)) {
        return rio_fail(dev, "orders %u to %u in a ring of %u",
                        (unsigned)image->head, (unsigned)image->tail,
                        (unsigned)image->entries);
    }
    return 0;
}

static void tape_load(RioDevice *dev, void *opaque, const void *from)
{
    TapeState *s = opaque;
    const TapeImage *image = from;

    s->life++;                  /* for a task that may be there */
    s->ring = image->ring;
    s->entries = image->entries;
    s->head = image->head;
    s->tail = image->tail;
    s->done = image->done;
    tape_set_recipe(dev, s);
    if (!s->running && s->head != s->tail) {
        s->running = true;
        rio_task_start(dev, tape_run, NULL);
    }
}

static const RioModuleState tape_state = {
    .version = 1,
    .image_size = sizeof(TapeImage),
    .fields = tape_fields,
    .save = tape_save,
    .check = tape_check,
    .load = tape_load,
};

static void tape_attach(RioDevice *dev, void *opaque, unsigned client)
{
    tape_reset(dev, opaque, client, RIO_MODULE_RESET_SYSTEM);
}

static int tape_open(RioDevice *dev, void *opaque)
{
    TapeState *s = opaque;
    const char *drive = rio_param_string(dev, "drive");

    if (!drive) {
        return rio_fail(dev, "drive=NODE is missing: which --blockdev?");
    }
    s->disk = rio_block_open(dev, drive, true, NULL);
    return s->disk ? 0 : -1;
}

static void tape_describe(RioDevice *dev, void *opaque, RioModuleInfo *info)
{
    (void)dev, (void)opaque;
    info->bus = RIO_MODULE_PCI;
    info->vendor_id = 0x1234;           /* belongs to nobody */
    info->device_id = 0x7a9e;
    info->class_code = 0xff0000;        /* fits no class */
    info->msi_vectors = 1;
    info->regions = &tape_region;
    info->num_regions = 1;
    info->ranges = tape_ranges;
    info->num_ranges = sizeof(tape_ranges) / sizeof(tape_ranges[0]);
}

static RioModule tape_module = {
    .name = "tape",
    .summary = "records guest memory on a disk",
    .params = tape_params,
    .state_size = sizeof(TapeState),
    .max_clients = 1,
    .restart = RIO_MODULE_VOLATILE,
    .open = tape_open,
    .describe = tape_describe,
    .attach = tape_attach,
    .read = tape_read,
    .write = tape_write,
    .reset = tape_reset,
    .state = &tape_state,
};

RIO_REGISTER_MODULE(tape, tape_module)
