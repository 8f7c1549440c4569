/*
 * counter: a device that knows how often it was accessed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A load or store that the wire loses, repeats or overtakes leaves no trace
 * in most devices.  Here it does: one register counts its own loads, others
 * count and add up what is stored in them, and two check that values come
 * in order.  A test that made N accesses reads N back, or has found a fault.
 * Each client has counters of its own.
 */

#include <string.h>

#include "remote-io-module.h"

/*
 * Registers of region 0.  The first half only shows: loads of 4 or 8 bytes
 * without side effect.  Accesses to the second half are what is counted:
 * 1, 2, 4 or 8 bytes wide, at exactly the register's offset.
 */
enum {
    COUNTER_ID           = 0x00,    /* u32: COUNTER_ID_VALUE */
    COUNTER_VERSION      = 0x04,    /* u32: 1 */
    COUNTER_READS        = 0x08,    /* u64: loads of COUNT_READ */
    COUNTER_WRITES       = 0x10,    /* u64: stores to POST ... ORDER_WAIT */
    COUNTER_LAST         = 0x18,    /* u64: value of the last of them */
    COUNTER_SUM          = 0x20,    /* u64: their sum */
    COUNTER_ORDER_LAST   = 0x28,    /* u64: last value of ORDER* */
    COUNTER_ORDER_ERRORS = 0x30,    /* u64: stores to them out of order */
    COUNTER_RESETS       = 0x38,    /* u64: resets since the attach */
    COUNTER_READS_1      = 0x40,    /* u64: READS of 1 byte */
    COUNTER_READS_2      = 0x48,    /* ... of 2, and so on */
    COUNTER_READS_4      = 0x50,
    COUNTER_READS_8      = 0x58,
    COUNTER_WRITES_1     = 0x60,    /* u64: WRITES of 1 byte */
    COUNTER_WRITES_2     = 0x68,
    COUNTER_WRITES_4     = 0x70,
    COUNTER_WRITES_8     = 0x78,

    COUNTER_COUNT_READ   = 0x80,    /* a load counts itself, gives READS */
    COUNTER_POST         = 0x88,    /* posted store */
    COUNTER_WAIT         = 0x90,    /* store that waits for its reply */
    COUNTER_ORDER        = 0x98,    /* posted: last value plus one */
    COUNTER_ORDER_WAIT   = 0xa0,    /* the same, waits for its reply */
    COUNTER_CLEAR        = 0xa8,    /* waits: zeroes all but RESETS */
    COUNTER_END          = 0x100,

    COUNTER_PCI_SIZE     = 0x1000,
};

#define COUNTER_ID_VALUE 0x544e4352u    /* "RCNT" */
#define COUNTER_MAX_CLIENTS 64

static const RioModuleRegion counter_pci_region = {
    .index = 0, .space = RIO_MODULE_MMIO, .size = COUNTER_PCI_SIZE,
};

static const RioModuleRange counter_ranges[] = {
    { .offset = 0, .length = COUNTER_COUNT_READ, .sizes = 4 | 8,
      .attrs = RIO_MODULE_PURE },
    { .offset = COUNTER_POST, .length = 8, .attrs = RIO_MODULE_POSTED },
    { .offset = COUNTER_ORDER, .length = 8, .attrs = RIO_MODULE_POSTED },
};

/* The counters of one client */
typedef struct CounterSet {
    uint64_t reads;
    uint64_t writes;
    uint64_t last;
    uint64_t sum;
    uint64_t order_last;
    uint64_t order_errors;
    uint64_t reads_by_size[4];          /* 1, 2, 4, 8 bytes */
    uint64_t writes_by_size[4];
    uint64_t resets;
} CounterSet;

/* All that is saved */
typedef struct CounterImage {
    CounterSet set[COUNTER_MAX_CLIENTS];
} CounterImage;

typedef struct CounterState {
    bool isa;
    RioModuleRegion isa_region;
    CounterImage image;
} CounterState;

static const RioField counter_set_fields[] = {
    { RIO_STATE(CounterSet, UINT, reads) },
    { RIO_STATE(CounterSet, UINT, writes) },
    { RIO_STATE(CounterSet, UINT, last) },
    { RIO_STATE(CounterSet, UINT, sum) },
    { RIO_STATE(CounterSet, UINT, order_last) },
    { RIO_STATE(CounterSet, UINT, order_errors) },
    { RIO_STATE_ARRAY(CounterSet, UINT, reads_by_size) },
    { RIO_STATE_ARRAY(CounterSet, UINT, writes_by_size) },
    { RIO_STATE(CounterSet, UINT, resets) },
    { .name = NULL },
};

static const RioField counter_fields[] = {
    { RIO_STATE_CLIENTS(CounterImage, set, counter_set_fields) },
    { .name = NULL },
};

/* Nothing to check: a counter may have any value */
static const RioModuleState counter_state = {
    .version = 1,
    .image_size = sizeof(CounterImage),
    .image_offset = offsetof(CounterState, image),
    .fields = counter_fields,
};

static const RioParam counter_params[] = {
    { .name = "bus", .type = RIO_PARAM_STRING, .fallback = "pci",
      .help = "pci or isa" },
    { .name = "iobase", .type = RIO_PARAM_UINT, .fallback = "0xb00",
      .help = "bus=isa: first of the 256 ports" },
    { .name = NULL },
};

static int counter_open(RioDevice *dev, void *opaque)
{
    CounterState *s = (CounterState *)opaque;
    const char *bus = rio_param_string(dev, "bus");
    uint64_t base = rio_param_uint(dev, "iobase");

    s->isa = !strcmp(bus, "isa");
    if (!s->isa && strcmp(bus, "pci")) {
        return rio_fail(dev, "bus=%s: use pci or isa", bus);
    }
    if (base > 0x10000 - COUNTER_END) {
        return rio_fail(dev, "iobase=0x%llx: ports end at 0xffff",
                        (unsigned long long)base);
    }
    s->isa_region = (RioModuleRegion) {
        .space = RIO_MODULE_PIO, .size = COUNTER_END, .base = base,
    };
    return 0;
}

static void counter_describe(RioDevice *dev, void *opaque,
                             RioModuleInfo *info)
{
    CounterState *s = (CounterState *)opaque;

    (void)dev;
    info->num_regions = 1;
    info->ranges = counter_ranges;
    info->num_ranges = sizeof(counter_ranges) / sizeof(counter_ranges[0]);
    if (s->isa) {
        info->bus = RIO_MODULE_ISA;
        info->regions = &s->isa_region;
        return;
    }
    info->bus = RIO_MODULE_PCI;
    info->vendor_id = 0x1234;
    info->device_id = 0x10e1;
    info->class_code = 0xff0000;        /* fits no class */
    info->revision = 1;
    info->regions = &counter_pci_region;
}

static void counter_attach(RioDevice *dev, void *opaque, unsigned client)
{
    CounterState *s = (CounterState *)opaque;

    (void)dev;
    memset(&s->image.set[client], 0, sizeof(s->image.set[client]));
}

/* Zero all but the resets */
static void counter_clear(CounterSet *set)
{
    *set = (CounterSet) { .resets = set->resets };
}

/* 1, 2, 4, 8 -> 0, 1, 2, 3 */
static unsigned counter_width(unsigned size)
{
    return size == 8 ? 3 : size / 2;
}

static void counter_bad(RioDevice *dev, const char *what, uint64_t offset,
                        unsigned size)
{
    rio_log(dev, RIO_LOG_GUEST, "%s of %u bytes at 0x%llx: no register",
            what, size, (unsigned long long)offset);
}

/* The 64-bit register at @offset of the half that only shows */
static uint64_t counter_show(const CounterState *s, unsigned client,
                             uint64_t offset)
{
    const CounterSet *set = &s->image.set[client];

    switch (offset) {
    case COUNTER_ID:
        return COUNTER_ID_VALUE | (uint64_t)1 << 32;    /* and VERSION */
    case COUNTER_READS:
        return set->reads;
    case COUNTER_WRITES:
        return set->writes;
    case COUNTER_LAST:
        return set->last;
    case COUNTER_SUM:
        return set->sum;
    case COUNTER_ORDER_LAST:
        return set->order_last;
    case COUNTER_ORDER_ERRORS:
        return set->order_errors;
    case COUNTER_RESETS:
        return set->resets;
    case COUNTER_READS_1:
    case COUNTER_READS_2:
    case COUNTER_READS_4:
    case COUNTER_READS_8:
        return set->reads_by_size[(offset - COUNTER_READS_1) / 8];
    default:
        return set->writes_by_size[(offset - COUNTER_WRITES_1) / 8];
    }
}

static uint64_t counter_read(RioDevice *dev, void *opaque, unsigned client,
                             unsigned region, uint64_t offset, unsigned size)
{
    CounterState *s = (CounterState *)opaque;

    (void)region;
    if (offset == COUNTER_COUNT_READ) {
        s->image.set[client].reads_by_size[counter_width(size)]++;
        return ++s->image.set[client].reads;
    }
    if (offset < COUNTER_COUNT_READ && size >= 4 && offset % size == 0) {
        return counter_show(s, client, offset & ~(uint64_t)7)
               >> (offset % 8 * 8);
    }
    counter_bad(dev, "load", offset, size);
    return 0;
}

/* A store must carry the last value plus one, as far as @size bytes go */
static void counter_order(CounterSet *set, unsigned size, uint64_t value)
{
    uint64_t mask = ~(uint64_t)0 >> (64 - 8 * size);

    if (value != ((set->order_last + 1) & mask)) {
        set->order_errors++;
    }
    set->order_last = value;
}

static void counter_write(RioDevice *dev, void *opaque, unsigned client,
                          unsigned region, uint64_t offset, unsigned size,
                          uint64_t value)
{
    CounterState *s = (CounterState *)opaque;
    CounterSet *set = &s->image.set[client];

    (void)region;
    switch (offset) {
    case COUNTER_ORDER:
    case COUNTER_ORDER_WAIT:
        counter_order(set, size, value);
        break;
    case COUNTER_POST:
    case COUNTER_WAIT:
        break;
    case COUNTER_CLEAR:
        counter_clear(set);
        return;
    default:
        counter_bad(dev, "store", offset, size);
        return;
    }
    set->writes++;
    set->writes_by_size[counter_width(size)]++;
    set->last = value;
    set->sum += value;
}

static void counter_reset(RioDevice *dev, void *opaque, unsigned client,
                          int kind)
{
    CounterState *s = (CounterState *)opaque;

    (void)dev, (void)kind;
    counter_clear(&s->image.set[client]);
    s->image.set[client].resets++;
}

static RioModule counter_module = {
    .name = "counter",
    .summary = "counts its loads and stores, for tests",
    .params = counter_params,
    .state_size = sizeof(CounterState),
    .max_clients = COUNTER_MAX_CLIENTS,
    .restart = RIO_MODULE_JOURNALED,
    .open = counter_open,
    .describe = counter_describe,
    .attach = counter_attach,
    .read = counter_read,
    .write = counter_write,
    .reset = counter_reset,
    .state = &counter_state,
};

RIO_REGISTER_MODULE(counter, counter_module)
