/*
 * hwrng: the host's random number generator, as a PCI device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * To the guest it is a virtio entropy device with the legacy interface: of
 * the PCI devices that give random numbers, the one whose driver any kernel
 * for virtual machines has.  It has eight registers, in ports, and one queue
 * of buffers in guest memory, which this fills from a file of the host.
 *
 * The registers never wait: a store to NOTIFY starts a task, which reads
 * the queue, waits until the file has bytes, and hands them over.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "remote-io-module.h"

/* Registers of region 0, which is ports */
enum {
    HWRNG_HOST_FEATURES  = 0,   /* R  u32: 0 */
    HWRNG_GUEST_FEATURES = 4,   /* RW u32 */
    HWRNG_QUEUE_PAGE     = 8,   /* RW u32: where it is, in pages; 0: unset */
    HWRNG_QUEUE_SIZE     = 12,  /* R  u16 */
    HWRNG_QUEUE_SELECT   = 14,  /* RW u16: there is only queue 0 */
    HWRNG_NOTIFY         = 16,  /* W  u16: there are new buffers */
    HWRNG_STATUS         = 18,  /* RW u8: 0 resets the device */
    HWRNG_ISR            = 19,  /* R  u8: reading clears it */
    HWRNG_PORTS          = 32,
};

enum {
    STATUS_DRIVER_OK = 4,

    DESC_NEXT = 1,
    DESC_WRITE = 2,

    AVAIL_NO_INTERRUPT = 1,
};

/* The queue: descriptors and the driver's ring, on the next page ours */
#define HWRNG_QUEUE  8u
#define HWRNG_PAGE   4096u
#define HWRNG_AVAIL  (HWRNG_QUEUE * 16)

#define HWRNG_BYTES  256u               /* most that one buffer is given */
#define HWRNG_RETRY_NS 10000000         /* the file had nothing */

static const RioModuleRegion hwrng_region = {
    .index = 0, .space = RIO_MODULE_PIO, .size = HWRNG_PORTS,
};

static const RioModuleRange hwrng_ranges[] = {
    { .offset = HWRNG_HOST_FEATURES, .length = 12, .sizes = 4,
      .attrs = RIO_MODULE_PURE },
    { .offset = HWRNG_QUEUE_SIZE, .length = 4, .sizes = 2,
      .attrs = RIO_MODULE_PURE },
    { .offset = HWRNG_NOTIFY, .length = 2, .sizes = 2,
      .attrs = RIO_MODULE_POSTED },
    { .offset = HWRNG_STATUS, .length = 1, .sizes = 1,
      .attrs = RIO_MODULE_PURE },
    { .offset = HWRNG_ISR, .length = 1, .sizes = 1 },
};

/* What is saved, and what a reset forgets */
typedef struct HwrngImage {
    uint32_t features;
    uint32_t page;
    uint16_t select;
    uint16_t taken;             /* buffers taken from the driver's ring */
    uint16_t given;             /* and put into ours */
    uint8_t status;
    uint8_t isr;
    bool publish;               /* the driver was not told the last @given */
    bool signal;                /* nor interrupted for it */
    bool broken;                /* the queue was nonsense: until a reset */
} HwrngImage;

typedef struct HwrngState {
    int fd;
    HwrngImage r;

    /* The task.  One that finds another @life has nothing to say here */
    unsigned life;
    bool running;
    bool again;                 /* NOTIFY came while it ran */
    bool dry;                   /* the end of the file was logged */
} HwrngState;

/* A buffer of the driver */
typedef struct HwrngBuffer {
    uint16_t head;
    uint64_t addr;
    uint32_t len;
} HwrngBuffer;

static const RioField hwrng_fields[] = {
    { RIO_STATE(HwrngImage, UINT, features) },
    { RIO_STATE(HwrngImage, UINT, page) },
    { RIO_STATE(HwrngImage, UINT, select) },
    { RIO_STATE(HwrngImage, UINT, taken) },
    { RIO_STATE(HwrngImage, UINT, given) },
    { RIO_STATE(HwrngImage, UINT, status) },
    { RIO_STATE(HwrngImage, UINT, isr) },
    { RIO_STATE(HwrngImage, BOOL, publish) },
    { RIO_STATE(HwrngImage, BOOL, signal) },
    { RIO_STATE(HwrngImage, BOOL, broken) },
    { .name = NULL },
};

static uint16_t hwrng_get16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t hwrng_get32(const uint8_t *p)
{
    return hwrng_get16(p) | (uint32_t)hwrng_get16(p + 2) << 16;
}

static void hwrng_put32(uint8_t *p, uint32_t value)
{
    unsigned i;

    for (i = 0; i < 4; i++) {
        p[i] = (uint8_t)(value >> (8 * i));
    }
}

/* The only place that drives the line */
static void hwrng_update(RioDevice *dev, HwrngState *s)
{
    rio_irq_set(dev, RIO_ALL_CLIENTS, 0, s->r.isr != 0);
}

/* --- The queue; all of this is in a task --- */

static uint64_t hwrng_at(const HwrngState *s, uint32_t offset)
{
    return (uint64_t)s->r.page * HWRNG_PAGE + offset;
}

static int hwrng_nonsense(RioDevice *dev, HwrngState *s, const char *what,
                          unsigned value)
{
    rio_log(dev, RIO_LOG_GUEST, "the queue has a %s of %u: ignored until "
            "the device is reset", what, value);
    s->r.broken = true;
    return -EINVAL;
}

/*
 * Copy from or to the queue.  What fails, or ends a life, ends the task:
 * 0 says that the device is as it was before, but for what the guest wrote.
 */
static int hwrng_copy(RioDevice *dev, HwrngState *s, unsigned life,
                      uint64_t addr, void *buf, uint32_t len, bool to_guest)
{
    int ret = to_guest ? rio_dma_write(dev, 0, addr, buf, len)
                       : rio_dma_read(dev, 0, addr, buf, len);

    if (life != s->life) {
        return -ECANCELED;
    }
    if (ret == -EFAULT) {
        rio_log(dev, RIO_LOG_GUEST, "no memory at 0x%llx: ignored until the "
                "device is reset", (unsigned long long)addr);
        s->r.broken = true;
    }
    return ret;
}

/* The first writable part of the next buffer; its length may be 0 */
static int hwrng_next_buffer(RioDevice *dev, HwrngState *s, unsigned life,
                             HwrngBuffer *buffer)
{
    uint8_t entry[2], desc[16];
    unsigned links, i;
    int ret;

    ret = hwrng_copy(dev, s, life, hwrng_at(s, HWRNG_AVAIL + 4 +
                     s->r.taken % HWRNG_QUEUE * 2), entry, 2, false);
    if (ret < 0) {
        return ret;
    }
    i = hwrng_get16(entry);
    *buffer = (HwrngBuffer) { .head = (uint16_t)i };
    for (links = 0; links < HWRNG_QUEUE; links++) {
        if (i >= HWRNG_QUEUE) {
            return hwrng_nonsense(dev, s, "descriptor", i);
        }
        ret = hwrng_copy(dev, s, life, hwrng_at(s, i * 16), desc, 16, false);
        if (ret < 0) {
            return ret;
        }
        if (hwrng_get16(desc + 12) & DESC_WRITE) {
            buffer->addr = hwrng_get32(desc) |
                           (uint64_t)hwrng_get32(desc + 4) << 32;
            buffer->len = hwrng_get32(desc + 8);
            return 0;
        }
        if (!(hwrng_get16(desc + 12) & DESC_NEXT)) {
            return 0;
        }
        i = hwrng_get16(desc + 14);
    }
    return hwrng_nonsense(dev, s, "chain without an end, begun at", i);
}

/* Random bytes, at least one: as many as the file has now.  May wait */
static int hwrng_draw(RioDevice *dev, HwrngState *s, unsigned life,
                      uint8_t *bytes, uint32_t len)
{
    ssize_t got;

    while ((got = read(s->fd, bytes, len)) <= 0) {
        if ((got == 0 || (errno != EAGAIN && errno != EINTR)) && !s->dry) {
            s->dry = true;
            rio_log(dev, RIO_LOG_WARN, "filename=%s gives nothing: %s; the "
                    "guest waits", rio_param_string(dev, "filename"),
                    got == 0 ? "it is at its end" : strerror(errno));
        }
        rio_task_sleep(dev, HWRNG_RETRY_NS);
        if (life != s->life) {
            return -ECANCELED;
        }
    }
    s->dry = false;
    return (int)got;
}

/* Tell the driver how many buffers it got back */
static int hwrng_publish(RioDevice *dev, HwrngState *s, unsigned life)
{
    uint8_t given[2] = { (uint8_t)s->r.given, (uint8_t)(s->r.given >> 8) };
    int ret = hwrng_copy(dev, s, life, hwrng_at(s, HWRNG_PAGE + 2), given, 2,
                         true);

    if (ret < 0) {
        return ret;
    }
    s->r.publish = false;
    s->r.signal = true;
    return 0;
}

/*
 * Fill one buffer and give it back.  All of it may be done again after a
 * load: until the driver is told, the buffer is ours, and to tell it the
 * same number twice changes nothing.
 */
static int hwrng_serve(RioDevice *dev, HwrngState *s, unsigned life)
{
    uint8_t bytes[HWRNG_BYTES], used[8];
    HwrngBuffer buffer;
    int n = 0, ret;

    ret = hwrng_next_buffer(dev, s, life, &buffer);
    if (ret < 0) {
        return ret;
    }
    if (buffer.len) {
        n = hwrng_draw(dev, s, life, bytes, buffer.len < HWRNG_BYTES
                                            ? buffer.len : HWRNG_BYTES);
        if (n < 0) {
            return n;
        }
        ret = hwrng_copy(dev, s, life, buffer.addr, bytes, n, true);
        if (ret < 0) {
            return ret;
        }
    }
    hwrng_put32(used, buffer.head);
    hwrng_put32(used + 4, n);
    ret = hwrng_copy(dev, s, life, hwrng_at(s, HWRNG_PAGE + 4 +
                     s->r.given % HWRNG_QUEUE * 8), used, 8, true);
    if (ret < 0) {
        return ret;
    }
    s->r.taken++;
    s->r.given++;
    s->r.publish = true;
    return hwrng_publish(dev, s, life);
}

/* One look at the driver's ring; 1 when there may be more, 0 when not */
static int hwrng_look(RioDevice *dev, HwrngState *s, unsigned life)
{
    uint8_t avail[4];
    uint16_t waiting;
    int ret;

    s->again = false;
    ret = hwrng_copy(dev, s, life, hwrng_at(s, HWRNG_AVAIL), avail, 4, false);
    if (ret < 0) {
        return ret;
    }
    if (s->r.signal) {
        s->r.signal = false;
        if (!(hwrng_get16(avail) & AVAIL_NO_INTERRUPT)) {
            s->r.isr = 1;
            hwrng_update(dev, s);
        }
    }
    waiting = hwrng_get16(avail + 2) - s->r.taken;
    if (waiting > HWRNG_QUEUE) {
        return hwrng_nonsense(dev, s, "length", waiting);
    }
    if (!waiting) {
        return s->again;
    }
    ret = hwrng_serve(dev, s, life);
    return ret < 0 ? ret : 1;
}

static void hwrng_work(RioDevice *dev, void *opaque, void *arg)
{
    HwrngState *s = (HwrngState *)opaque;
    unsigned life = (unsigned)(uintptr_t)arg;
    int more = life == s->life;

    if (more && s->r.publish) {
        more = hwrng_publish(dev, s, life) == 0;
    }
    while (more > 0) {
        more = hwrng_look(dev, s, life);
    }
    if (life == s->life) {
        s->running = false;
    }
}

static void hwrng_start(RioDevice *dev, HwrngState *s)
{
    if (!s->r.page || s->r.broken || !(s->r.status & STATUS_DRIVER_OK)) {
        return;
    }
    s->again = true;
    if (!s->running) {
        s->running = true;
        rio_task_start(dev, hwrng_work, (void *)(uintptr_t)s->life);
    }
}

/* A task that is under way has nothing more to do */
static void hwrng_leave(HwrngState *s)
{
    s->life++;
    s->running = false;
}

/* --- Registers --- */

static uint64_t hwrng_read(RioDevice *dev, void *opaque, unsigned client,
                           unsigned region, uint64_t offset, unsigned size)
{
    HwrngState *s = (HwrngState *)opaque;
    uint8_t isr;

    (void)client, (void)region, (void)size;
    switch (offset) {
    case HWRNG_GUEST_FEATURES:
        return s->r.features;
    case HWRNG_QUEUE_PAGE:
        return s->r.select ? 0 : s->r.page;
    case HWRNG_QUEUE_SIZE:
        return s->r.select ? 0 : HWRNG_QUEUE;
    case HWRNG_QUEUE_SELECT:
        return s->r.select;
    case HWRNG_STATUS:
        return s->r.status;
    case HWRNG_ISR:
        isr = s->r.isr;
        s->r.isr = 0;
        hwrng_update(dev, s);
        return isr;
    default:
        return 0;
    }
}

static void hwrng_reset(RioDevice *dev, void *opaque, unsigned client,
                        int kind)
{
    HwrngState *s = (HwrngState *)opaque;

    (void)client, (void)kind;
    hwrng_leave(s);
    memset(&s->r, 0, sizeof(s->r));
    hwrng_update(dev, s);
}

/* A queue that is set anew, or unset, begins with nothing in it */
static void hwrng_set_queue(HwrngState *s, uint32_t page)
{
    if (s->r.select) {
        return;
    }
    hwrng_leave(s);
    s->r.page = page;
    s->r.taken = s->r.given = 0;
    s->r.publish = s->r.signal = s->r.broken = false;
}

static void hwrng_write(RioDevice *dev, void *opaque, unsigned client,
                        unsigned region, uint64_t offset, unsigned size,
                        uint64_t value)
{
    HwrngState *s = (HwrngState *)opaque;

    (void)region, (void)size;
    switch (offset) {
    case HWRNG_GUEST_FEATURES:
        s->r.features = (uint32_t)value;
        break;
    case HWRNG_QUEUE_PAGE:
        hwrng_set_queue(s, (uint32_t)value);
        break;
    case HWRNG_QUEUE_SELECT:
        s->r.select = (uint16_t)value;
        break;
    case HWRNG_NOTIFY:
        hwrng_start(dev, s);
        break;
    case HWRNG_STATUS:
        if (!value) {
            hwrng_reset(dev, s, client, RIO_MODULE_RESET_FUNCTION);
        }
        s->r.status = (uint8_t)value;
        hwrng_start(dev, s);
        break;
    default:
        rio_log(dev, RIO_LOG_GUEST, "store of %u bytes at 0x%llx: no "
                "register that can be written", size,
                (unsigned long long)offset);
    }
}

/* --- State --- */

static void hwrng_load(RioDevice *dev, void *opaque, const void *image)
{
    HwrngState *s = (HwrngState *)opaque;

    (void)image;
    hwrng_leave(s);
    hwrng_update(dev, s);
    hwrng_start(dev, s);
}

/* Nothing to check: all of it is input of a guest, and treated as such */
static const RioModuleState hwrng_state = {
    .version = 1,
    .image_size = sizeof(HwrngImage),
    .image_offset = offsetof(HwrngState, r),
    .fields = hwrng_fields,
    .load = hwrng_load,
};

/* --- Life --- */

static const RioParam hwrng_params[] = {
    { .name = "filename", .type = RIO_PARAM_STRING,
      .fallback = "/dev/urandom",
      .help = "where the bytes are from, such as /dev/hwrng" },
    { .name = NULL },
};

static int hwrng_open(RioDevice *dev, void *opaque)
{
    HwrngState *s = (HwrngState *)opaque;
    const char *name = rio_param_string(dev, "filename");
    struct stat st;

    s->fd = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (s->fd < 0) {
        return rio_fail(dev, "filename=%s: %s", name, strerror(errno));
    }
    if (fstat(s->fd, &st) < 0 || S_ISDIR(st.st_mode)) {
        close(s->fd);
        return rio_fail(dev, "filename=%s is a folder; name a file or a "
                        "device such as /dev/hwrng", name);
    }
    return 0;
}

static void hwrng_close(RioDevice *dev, void *opaque)
{
    HwrngState *s = (HwrngState *)opaque;

    (void)dev;
    close(s->fd);
}

/* A new client finds the device as after power-on */
static void hwrng_attach(RioDevice *dev, void *opaque, unsigned client)
{
    hwrng_reset(dev, opaque, client, RIO_MODULE_RESET_SYSTEM);
}

static void hwrng_detach(RioDevice *dev, void *opaque, unsigned client)
{
    (void)dev, (void)client;
    hwrng_leave((HwrngState *)opaque);
}

/* The ids are those by which the stock driver knows the device */
static void hwrng_describe(RioDevice *dev, void *opaque, RioModuleInfo *info)
{
    (void)dev, (void)opaque;
    info->bus = RIO_MODULE_PCI;
    info->vendor_id = 0x1af4;
    info->device_id = 0x1005;
    info->subsystem_vendor_id = 0x1af4;
    info->subsystem_id = 4;             /* an entropy device */
    info->class_code = 0x00ff00;
    info->revision = 0;                 /* the legacy interface */
    info->lines = 1;
    info->regions = &hwrng_region;
    info->num_regions = 1;
    info->ranges = hwrng_ranges;
    info->num_ranges = sizeof(hwrng_ranges) / sizeof(hwrng_ranges[0]);
}

static RioModule hwrng_module = {
    .name = "hwrng",
    .summary = "random numbers of the host, for the guest's own driver",
    .params = hwrng_params,
    .state_size = sizeof(HwrngState),
    .max_clients = 1,
    .restart = RIO_MODULE_JOURNALED,
    .open = hwrng_open,
    .close = hwrng_close,
    .describe = hwrng_describe,
    .attach = hwrng_attach,
    .detach = hwrng_detach,
    .read = hwrng_read,
    .write = hwrng_write,
    .reset = hwrng_reset,
    .state = &hwrng_state,
};

RIO_REGISTER_MODULE(hwrng, hwrng_module)
