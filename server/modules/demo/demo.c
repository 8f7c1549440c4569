/*
 * demo: the device to learn from
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One register for each thing that a module can do: keep a value, compute
 * one, take its time, run a timer, interrupt by line and by message, tell
 * the wire which accesses need not wait.  The page beside this file shows
 * each of them from the guest's side.
 */

#include <string.h>

#include "remote-io-module.h"

/* Registers of region 0: 32 bits unless another width is named */
enum {
    DEMO_ID         = 0x00,     /* R:  DEMO_ID_VALUE */
    DEMO_VERSION    = 0x04,     /* R:  DEMO_VERSION_VALUE */
    DEMO_LIVENESS   = 0x08,     /* RW: the complement of what was stored */
    DEMO_SCRATCH    = 0x0c,     /* RW: what was stored */
    DEMO_FACTORIAL  = 0x10,     /* RW: store n; n! when no longer busy */
    DEMO_STATUS     = 0x14,     /* R:  STATUS_* */
    DEMO_VECTORS    = 0x18,     /* R:  number of message interrupts */
    DEMO_IRQ_STATUS = 0x1c,     /* R:  one bit per cause */
    DEMO_IRQ_ENABLE = 0x20,     /* RW: bits of it that interrupt */
    DEMO_IRQ_RAISE  = 0x24,     /* W:  set these bits of IRQ_STATUS */
    DEMO_IRQ_ACK    = 0x28,     /* W:  clear them; waits, see below */
    DEMO_TIMER      = 0x30,     /* RW: nanoseconds to go, 32 or 64 bits */
    DEMO_CLOCK      = 0x38,     /* R:  nanoseconds, 32 or 64 bits */
    DEMO_RAM        = 0x40,     /* RW: 64 bytes, any width */
    DEMO_RAM_SIZE   = 0x40,
    DEMO_REGS_END   = 0x80,

    DEMO_MSIX_TABLE = 0x800,    /* these two are the client's */
    DEMO_MSIX_PBA   = 0xc00,
    DEMO_PCI_SIZE   = 0x1000,
};

enum {
    STATUS_BUSY  = 1 << 0,      /* a factorial is being computed */
    STATUS_TIMER = 1 << 1,      /* the timer runs */

    IRQ_FACTORIAL = 1 << 0,     /* a factorial is ready */
    IRQ_TIMER     = 1 << 1,     /* the timer went off */
};

#define DEMO_ID_VALUE 0x4f4d4544u       /* "DEMO" */
#define DEMO_VERSION_VALUE 0x00010000u  /* 1.0 */
#define DEMO_MAX_VECTORS 32

/* What one multiplication takes */
#define DEMO_STEP_NS 1000

/* From here on, n! is a multiple of 2^32 */
#define DEMO_LAST_STEP 34

static const RioModuleRegion demo_pci_region = {
    .index = 0, .space = RIO_MODULE_MMIO, .size = DEMO_PCI_SIZE,
};

/*
 * Stores are posted wherever the guest has no reason to wait, with two
 * exceptions: when IRQ_ACK or IRQ_ENABLE lower the line, the guest's handler
 * must not return before the line is low, or it is called again for nothing.
 */
#define DEMO_RANGE(_offset, _length, _sizes, _attrs) \
    { .offset = (_offset), .length = (_length), .sizes = (_sizes), \
      .attrs = (_attrs) }
static const RioModuleRange demo_ranges[] = {
    DEMO_RANGE(DEMO_ID, 8, 4, RIO_MODULE_PURE),
    DEMO_RANGE(DEMO_LIVENESS, 12, 4, RIO_MODULE_PURE | RIO_MODULE_POSTED),
    DEMO_RANGE(DEMO_STATUS, 16, 4, RIO_MODULE_PURE),
    DEMO_RANGE(DEMO_IRQ_RAISE, 4, 4, RIO_MODULE_PURE | RIO_MODULE_POSTED),
    DEMO_RANGE(DEMO_IRQ_ACK, 8, 4, RIO_MODULE_PURE),
    DEMO_RANGE(DEMO_TIMER, 8, 4 | 8, RIO_MODULE_PURE | RIO_MODULE_POSTED),
    DEMO_RANGE(DEMO_CLOCK, 8, 4 | 8, RIO_MODULE_PURE),
    DEMO_RANGE(DEMO_RAM, DEMO_RAM_SIZE, 0,
               RIO_MODULE_PURE | RIO_MODULE_POSTED),
};

/* What a reset forgets */
typedef struct DemoRegs {
    uint32_t liveness;
    uint32_t scratch;
    uint32_t factorial;
    bool busy;
    uint32_t irq_status;
    uint32_t irq_enable;
    uint32_t irq_told;          /* causes that interrupted already */
    int64_t timer_end;          /* of the device's clock; 0 = not running */
    uint8_t ram[DEMO_RAM_SIZE];
} DemoRegs;

typedef struct DemoState {
    /* Set by open */
    bool isa;
    uint8_t irq;
    uint8_t msi;
    uint8_t msix;
    RioModuleRegion isa_region;
    RioTimer *timer;
    RioTimer *worker;

    DemoRegs r;
} DemoState;

/* Message interrupts there are, whichever kind the guest will choose */
static unsigned demo_vectors(const DemoState *s)
{
    return s->msi && (!s->msix || s->msi < s->msix) ? s->msi : s->msix;
}

/*
 * The only place that interrupts.  The line shows the state, so it is high
 * as long as any enabled cause is set; a message tells an event, so each
 * cause sends one when it comes up.  The guest gets the kind it switched on.
 */
static void demo_update(RioDevice *dev, DemoState *s)
{
    uint32_t now = s->r.irq_status & s->r.irq_enable;
    uint32_t risen = now & ~s->r.irq_told;
    unsigned vectors = demo_vectors(s);
    unsigned i;

    s->r.irq_told = now;
    rio_irq_set(dev, RIO_ALL_CLIENTS, 0, now != 0);
    for (i = 0; vectors && i < 32; i++) {
        if (risen & (1u << i)) {
            rio_irq_message(dev, RIO_ALL_CLIENTS, i % vectors);
        }
    }
}

static void demo_raise(RioDevice *dev, DemoState *s, uint32_t causes)
{
    s->r.irq_status |= causes;
    demo_update(dev, s);
}

/* Work that takes time: a callback starts it, a timer ends it */

static void demo_start_factorial(RioDevice *dev, DemoState *s, uint32_t n)
{
    unsigned steps = n < DEMO_LAST_STEP ? n : DEMO_LAST_STEP;

    if (s->r.busy) {
        rio_log(dev, RIO_LOG_GUEST,
                "store of %u to FACTORIAL while it is busy: ignored",
                (unsigned)n);
        return;
    }
    s->r.factorial = n;
    s->r.busy = true;
    rio_timer_set(dev, s->worker, rio_clock_ns(dev) + steps * DEMO_STEP_NS);
}

static void demo_factorial_done(RioDevice *dev, void *opaque)
{
    DemoState *s = (DemoState *)opaque;
    uint32_t n = s->r.factorial;
    uint32_t product = 1;
    uint32_t i;

    for (i = 2; i <= n && product; i++) {
        product *= i;
    }
    s->r.factorial = product;
    s->r.busy = false;
    demo_raise(dev, s, IRQ_FACTORIAL);
}

/* The timer */

static void demo_start_timer(RioDevice *dev, DemoState *s, uint64_t ns)
{
    const uint64_t most = INT64_MAX / 2;

    if (ns == 0) {
        s->r.timer_end = 0;
        rio_timer_cancel(dev, s->timer);
        return;
    }
    s->r.timer_end = rio_clock_ns(dev) + (int64_t)(ns < most ? ns : most);
    rio_timer_set(dev, s->timer, s->r.timer_end);
}

static void demo_timer_ended(RioDevice *dev, void *opaque)
{
    DemoState *s = (DemoState *)opaque;

    s->r.timer_end = 0;
    demo_raise(dev, s, IRQ_TIMER);
}

static uint64_t demo_timer_left(RioDevice *dev, const DemoState *s)
{
    int64_t left = s->r.timer_end - rio_clock_ns(dev);

    return s->r.timer_end && left > 0 ? (uint64_t)left : 0;
}

/* Loads */

static uint64_t demo_read_ram(const DemoState *s, uint64_t offset,
                              unsigned size)
{
    uint64_t value = 0;
    unsigned i;

    for (i = 0; i < size && offset + i < DEMO_RAM_SIZE; i++) {
        value |= (uint64_t)s->r.ram[offset + i] << (8 * i);
    }
    return value;
}

static uint32_t demo_status(const DemoState *s)
{
    return (s->r.busy ? STATUS_BUSY : 0) |
           (s->r.timer_end ? STATUS_TIMER : 0);
}

static uint64_t demo_read(RioDevice *dev, void *opaque, unsigned client,
                          unsigned region, uint64_t offset, unsigned size)
{
    DemoState *s = (DemoState *)opaque;

    (void)client, (void)region;
    if (offset >= DEMO_RAM && offset < DEMO_REGS_END) {
        return demo_read_ram(s, offset - DEMO_RAM, size);
    }
    switch (offset) {
    case DEMO_ID:
        return DEMO_ID_VALUE;
    case DEMO_VERSION:
        return DEMO_VERSION_VALUE;
    case DEMO_LIVENESS:
        return ~s->r.liveness;
    case DEMO_SCRATCH:
        return s->r.scratch;
    case DEMO_FACTORIAL:
        return s->r.factorial;
    case DEMO_STATUS:
        return demo_status(s);
    case DEMO_VECTORS:
        return demo_vectors(s);
    case DEMO_IRQ_STATUS:
        return s->r.irq_status;
    case DEMO_IRQ_ENABLE:
        return s->r.irq_enable;
    case DEMO_TIMER:
        return demo_timer_left(dev, s);
    case DEMO_TIMER + 4:
        return demo_timer_left(dev, s) >> 32;
    case DEMO_CLOCK:
        return (uint64_t)rio_clock_ns(dev);
    case DEMO_CLOCK + 4:
        return (uint64_t)rio_clock_ns(dev) >> 32;
    default:
        rio_log(dev, RIO_LOG_GUEST, "load of %u bytes at 0x%llx: "
                "no register", size, (unsigned long long)offset);
        return 0;
    }
}

/* Stores */

static void demo_write_ram(DemoState *s, uint64_t offset, unsigned size,
                           uint64_t value)
{
    unsigned i;

    for (i = 0; i < size && offset + i < DEMO_RAM_SIZE; i++) {
        s->r.ram[offset + i] = (uint8_t)(value >> (8 * i));
    }
}

static void demo_write(RioDevice *dev, void *opaque, unsigned client,
                       unsigned region, uint64_t offset, unsigned size,
                       uint64_t value)
{
    DemoState *s = (DemoState *)opaque;

    (void)client, (void)region;
    if (offset >= DEMO_RAM && offset < DEMO_REGS_END) {
        demo_write_ram(s, offset - DEMO_RAM, size, value);
        return;
    }
    switch (offset) {
    case DEMO_LIVENESS:
        s->r.liveness = (uint32_t)value;
        break;
    case DEMO_SCRATCH:
        s->r.scratch = (uint32_t)value;
        break;
    case DEMO_FACTORIAL:
        demo_start_factorial(dev, s, (uint32_t)value);
        break;
    case DEMO_IRQ_ENABLE:
        s->r.irq_enable = (uint32_t)value;
        demo_update(dev, s);
        break;
    case DEMO_IRQ_RAISE:
        demo_raise(dev, s, (uint32_t)value);
        break;
    case DEMO_IRQ_ACK:
        s->r.irq_status &= ~(uint32_t)value;
        demo_update(dev, s);
        break;
    case DEMO_TIMER:
        demo_start_timer(dev, s, value);
        break;
    default:
        rio_log(dev, RIO_LOG_GUEST, "store of %u bytes at 0x%llx: "
                "no register that can be written", size,
                (unsigned long long)offset);
    }
}

/*
 * State.  The image is what the guest could tell, and what is left of the
 * timers: a clock means nothing on another host, or tomorrow.
 */

typedef struct DemoImage {
    uint32_t liveness;
    uint32_t scratch;
    uint32_t factorial;
    uint32_t irq_status;
    uint32_t irq_enable;
    uint32_t irq_told;
    uint64_t timer_left;        /* nanoseconds; 0 = not running */
    bool busy;
    uint8_t ram[DEMO_RAM_SIZE];
} DemoImage;

static const RioField demo_fields[] = {
    { RIO_STATE(DemoImage, UINT, liveness) },
    { RIO_STATE(DemoImage, UINT, scratch) },
    { RIO_STATE(DemoImage, UINT, factorial) },
    { RIO_STATE(DemoImage, UINT, irq_status) },
    { RIO_STATE(DemoImage, UINT, irq_enable) },
    { RIO_STATE(DemoImage, UINT, irq_told) },
    { RIO_STATE(DemoImage, UINT, timer_left) },
    { RIO_STATE(DemoImage, BOOL, busy) },
    { RIO_STATE_ARRAY(DemoImage, BYTES, ram) },
    { .name = NULL },
};

static void demo_save(RioDevice *dev, void *opaque, void *to)
{
    DemoState *s = (DemoState *)opaque;
    DemoImage *image = (DemoImage *)to;

    image->liveness = s->r.liveness;
    image->scratch = s->r.scratch;
    image->factorial = s->r.factorial;
    image->irq_status = s->r.irq_status;
    image->irq_enable = s->r.irq_enable;
    image->irq_told = s->r.irq_told;
    image->busy = s->r.busy;
    memcpy(image->ram, s->r.ram, sizeof(image->ram));
    image->timer_left = demo_timer_left(dev, s);
    if (s->r.timer_end && !image->timer_left) {
        image->timer_left = 1;  /* it is due, but was not told yet */
    }
}

static int demo_check(RioDevice *dev, void *opaque, const void *from,
                      uint32_t version)
{
    const DemoImage *image = (const DemoImage *)from;

    (void)opaque, (void)version;
    if (image->timer_left > INT64_MAX / 2) {
        return rio_fail(dev, "timer_left=%llu: no timer runs so long",
                        (unsigned long long)image->timer_left);
    }
    return 0;
}

static void demo_load(RioDevice *dev, void *opaque, const void *from)
{
    DemoState *s = (DemoState *)opaque;
    const DemoImage *image = (const DemoImage *)from;

    rio_timer_cancel(dev, s->worker);
    s->r = (DemoRegs) {
        .liveness = image->liveness, .scratch = image->scratch,
        .irq_status = image->irq_status, .irq_enable = image->irq_enable,
        .irq_told = image->irq_told,
    };
    memcpy(s->r.ram, image->ram, sizeof(s->r.ram));
    if (image->busy) {
        /* A computation under way begins anew */
        demo_start_factorial(dev, s, image->factorial);
    } else {
        s->r.factorial = image->factorial;
    }
    demo_start_timer(dev, s, image->timer_left);
    demo_update(dev, s);
}

static const RioModuleState demo_state = {
    .version = 1,
    .image_size = sizeof(DemoImage),
    .fields = demo_fields,
    .save = demo_save,
    .check = demo_check,
    .load = demo_load,
};

/* Life */

static void demo_reset(RioDevice *dev, void *opaque, unsigned client,
                       int kind)
{
    DemoState *s = (DemoState *)opaque;

    (void)client, (void)kind;
    rio_timer_cancel(dev, s->timer);
    rio_timer_cancel(dev, s->worker);
    memset(&s->r, 0, sizeof(s->r));
    demo_update(dev, s);
}

/* A new client finds the device as after power-on */
static void demo_attach(RioDevice *dev, void *opaque, unsigned client)
{
    demo_reset(dev, opaque, client, RIO_MODULE_RESET_SYSTEM);
}

static const RioParam demo_params[] = {
    { .name = "bus", .type = RIO_PARAM_STRING, .fallback = "pci",
      .help = "pci or isa" },
    { .name = "msi", .type = RIO_PARAM_UINT, .fallback = "4",
      .help = "bus=pci: MSI vectors, 0 or a power of two to 32" },
    { .name = "msix", .type = RIO_PARAM_UINT, .fallback = "8",
      .help = "bus=pci: MSI-X vectors, 0 to 32" },
    { .name = "iobase", .type = RIO_PARAM_UINT, .fallback = "0x200",
      .help = "bus=isa: first of the 128 ports" },
    { .name = "irq", .type = RIO_PARAM_UINT, .fallback = "5",
      .help = "bus=isa: IRQ 1 to 15" },
    { .name = NULL },
};

static int demo_open_pci(RioDevice *dev, DemoState *s)
{
    uint64_t msi = rio_param_uint(dev, "msi");
    uint64_t msix = rio_param_uint(dev, "msix");

    if (msi > DEMO_MAX_VECTORS || (msi & (msi - 1))) {
        return rio_fail(dev, "msi=%llu: use 0, 1, 2, 4, 8, 16 or 32",
                        (unsigned long long)msi);
    }
    if (msix > DEMO_MAX_VECTORS) {
        return rio_fail(dev, "msix=%llu: use 0 to 32",
                        (unsigned long long)msix);
    }
    s->msi = (uint8_t)msi;
    s->msix = (uint8_t)msix;
    return 0;
}

static int demo_open_isa(RioDevice *dev, DemoState *s)
{
    uint64_t base = rio_param_uint(dev, "iobase");
    uint64_t irq = rio_param_uint(dev, "irq");

    if (base > 0x10000 - DEMO_REGS_END) {
        return rio_fail(dev, "iobase=0x%llx: ports end at 0xffff",
                        (unsigned long long)base);
    }
    if (irq < 1 || irq > 15) {
        return rio_fail(dev, "irq=%llu: use 1 to 15",
                        (unsigned long long)irq);
    }
    s->irq = (uint8_t)irq;
    s->isa_region = (RioModuleRegion) {
        .space = RIO_MODULE_PIO, .size = DEMO_REGS_END, .base = base,
    };
    return 0;
}

static int demo_open(RioDevice *dev, void *opaque)
{
    DemoState *s = (DemoState *)opaque;
    const char *bus = rio_param_string(dev, "bus");

    s->isa = !strcmp(bus, "isa");
    if (!s->isa && strcmp(bus, "pci")) {
        return rio_fail(dev, "bus=%s: use pci or isa", bus);
    }
    if ((s->isa ? demo_open_isa(dev, s) : demo_open_pci(dev, s)) < 0) {
        return -1;
    }
    s->timer = rio_timer_new(dev, demo_timer_ended);
    s->worker = rio_timer_new(dev, demo_factorial_done);
    return 0;
}

static void demo_describe(RioDevice *dev, void *opaque, RioModuleInfo *info)
{
    DemoState *s = (DemoState *)opaque;

    (void)dev;
    info->lines = 1;
    info->num_regions = 1;
    info->ranges = demo_ranges;
    info->num_ranges = sizeof(demo_ranges) / sizeof(demo_ranges[0]);
    if (s->isa) {
        info->bus = RIO_MODULE_ISA;
        info->isa_irq = s->irq;
        info->regions = &s->isa_region;
        return;
    }
    info->bus = RIO_MODULE_PCI;
    info->vendor_id = 0x1234;
    info->device_id = 0x10e2;
    info->class_code = 0xff0000;        /* fits no class */
    info->revision = 1;
    info->msi_vectors = s->msi;
    info->msix_vectors = s->msix;
    if (s->msix) {
        info->msix_table_offset = DEMO_MSIX_TABLE;
        info->msix_pba_offset = DEMO_MSIX_PBA;
    }
    info->regions = &demo_pci_region;
}

static RioModule demo_module = {
    .name = "demo",
    .summary = "the device to learn from: registers, timer, interrupts",
    .params = demo_params,
    .state_size = sizeof(DemoState),
    .max_clients = 1,
    .restart = RIO_MODULE_VOLATILE,
    .open = demo_open,
    .describe = demo_describe,
    .attach = demo_attach,
    .read = demo_read,
    .write = demo_write,
    .reset = demo_reset,
    .state = &demo_state,
};

RIO_REGISTER_MODULE(demo, demo_module)
