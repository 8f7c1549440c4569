/*
 * doorbell: virtual machines interrupt each other
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * In the manner of ivshmem-doorbell, but the machines may be on different
 * hosts: whoever is attached to the instance can ring any vector of any other
 * one, or its own.
 */

#include "remote-io-module.h"

#define DOORBELL_CLIENTS 64
#define DOORBELL_VECTORS 32

/* Offsets in region 0, one page; the MSI-X table shares it */
enum {
    DOORBELL_ID       = 0x00,
    DOORBELL_COUNT    = 0x04,
    DOORBELL_POSITION = 0x08,
    DOORBELL_PLACES   = 0x0c,
    DOORBELL_PRESENT  = 0x10,   /* 8 bytes */
    DOORBELL_NOTIFY   = 0x18,
    DOORBELL_MISSED   = 0x1c,
    DOORBELL_RING     = 0x20,
    DOORBELL_TABLE    = 0x800,
    DOORBELL_PENDING  = 0xc00,
    DOORBELL_SIZE     = 0x1000,
};

#define DOORBELL_MAGIC 0x4c4c4542u      /* "BELL" */
#define DOORBELL_NOBODY 0xffffffffu     /* NOTIFY: no vector */

static const RioModuleRegion doorbell_region = {
    .index = 0, .space = RIO_MODULE_MMIO, .size = DOORBELL_SIZE,
};

static const RioModuleRange doorbell_ranges[] = {
    { .offset = 0, .length = DOORBELL_PRESENT, .sizes = 4,
      .attrs = RIO_MODULE_PURE },
    { .offset = DOORBELL_PRESENT, .length = 8, .sizes = 4 | 8,
      .attrs = RIO_MODULE_PURE },
    { .offset = DOORBELL_NOTIFY, .length = 8, .sizes = 4,
      .attrs = RIO_MODULE_PURE },
    { .offset = DOORBELL_RING, .length = 4, .sizes = 4,
      .attrs = RIO_MODULE_POSTED | RIO_MODULE_PURE },
};

/* What belongs to one machine, and is saved */
typedef struct DoorbellPlace {
    uint32_t notify;
    uint32_t missed;
} DoorbellPlace;

typedef struct DoorbellImage {
    DoorbellPlace place[DOORBELL_CLIENTS];
} DoorbellImage;

typedef struct DoorbellState {
    unsigned vectors;
    uint64_t present;           /* bit n: machine n is there */
    DoorbellImage image;
} DoorbellState;

static const RioField doorbell_place_fields[] = {
    { RIO_STATE(DoorbellPlace, UINT, notify) },
    { RIO_STATE(DoorbellPlace, UINT, missed) },
    { .name = NULL },
};

static const RioField doorbell_fields[] = {
    { RIO_STATE_CLIENTS(DoorbellImage, place, doorbell_place_fields) },
    { .name = NULL },
};

/* Who is present is the server's to say; no value of the others can hurt */
static const RioModuleState doorbell_state = {
    .version = 1,
    .image_size = sizeof(DoorbellImage),
    .image_offset = offsetof(DoorbellState, image),
    .fields = doorbell_fields,
};

static const RioParam doorbell_params[] = {
    { .name = "vectors", .type = RIO_PARAM_UINT, .fallback = "8",
      .help = "interrupts that each machine has, 1 to 32" },
    { .name = NULL },
};

static int doorbell_open(RioDevice *dev, void *opaque)
{
    DoorbellState *s = (DoorbellState *)opaque;
    uint64_t vectors = rio_param_uint(dev, "vectors");

    if (!vectors || vectors > DOORBELL_VECTORS) {
        return rio_fail(dev, "vectors=%llu: use 1 to %u",
                        (unsigned long long)vectors, DOORBELL_VECTORS);
    }
    s->vectors = (unsigned)vectors;
    return 0;
}

static void doorbell_describe(RioDevice *dev, void *opaque,
                              RioModuleInfo *info)
{
    DoorbellState *s = (DoorbellState *)opaque;

    (void)dev;
    info->bus = RIO_MODULE_PCI;
    info->vendor_id = 0x1234;
    info->device_id = 0x10e4;
    info->class_code = 0xff0000;        /* fits no class */
    info->revision = 1;
    info->msix_vectors = (uint16_t)s->vectors;
    info->msix_table_bar = info->msix_pba_bar = 0;
    info->msix_table_offset = DOORBELL_TABLE;
    info->msix_pba_offset = DOORBELL_PENDING;
    info->regions = &doorbell_region;
    info->num_regions = 1;
    info->ranges = doorbell_ranges;
    info->num_ranges = sizeof(doorbell_ranges) / sizeof(doorbell_ranges[0]);
}

/* Somebody came or went: those who want to know are rung */
static void doorbell_notify(RioDevice *dev, DoorbellState *s, unsigned who)
{
    for (unsigned i = 0; i < DOORBELL_CLIENTS; i++) {
        if (i != who && (s->present & 1ull << i) &&
            s->image.place[i].notify < s->vectors) {
            rio_irq_message(dev, i, s->image.place[i].notify);
        }
    }
}

static void doorbell_attach(RioDevice *dev, void *opaque, unsigned client)
{
    DoorbellState *s = (DoorbellState *)opaque;

    s->image.place[client].notify = DOORBELL_NOBODY;
    s->image.place[client].missed = 0;
    s->present |= 1ull << client;
    doorbell_notify(dev, s, client);
}

static void doorbell_detach(RioDevice *dev, void *opaque, unsigned client)
{
    DoorbellState *s = (DoorbellState *)opaque;

    s->present &= ~(1ull << client);
    doorbell_notify(dev, s, client);
}

static uint64_t doorbell_read(RioDevice *dev, void *opaque, unsigned client,
                              unsigned region, uint64_t offset, unsigned size)
{
    DoorbellState *s = (DoorbellState *)opaque;

    (void)dev, (void)region, (void)size;
    switch (offset) {
    case DOORBELL_ID:
        return DOORBELL_MAGIC;
    case DOORBELL_COUNT:
        return s->vectors;
    case DOORBELL_POSITION:
        return client;
    case DOORBELL_PLACES:
        return DOORBELL_CLIENTS;
    case DOORBELL_PRESENT:
        return s->present;
    case DOORBELL_PRESENT + 4:
        return s->present >> 32;
    case DOORBELL_NOTIFY:
        return s->image.place[client].notify;
    case DOORBELL_MISSED:
        return s->image.place[client].missed;
    default:
        return 0;
    }
}

static void doorbell_ring(RioDevice *dev, DoorbellState *s, unsigned client,
                          uint32_t value)
{
    unsigned who = value >> 16;
    unsigned vector = value & 0xffff;

    if (who >= DOORBELL_CLIENTS || !(s->present & 1ull << who) ||
        vector >= s->vectors) {
        s->image.place[client].missed++;
        rio_log(dev, RIO_LOG_GUEST, "machine %u rings vector %u of machine "
                "%u, which is not there", client, vector, who);
        return;
    }
    rio_irq_message(dev, who, vector);
}

static void doorbell_write(RioDevice *dev, void *opaque, unsigned client,
                           unsigned region, uint64_t offset, unsigned size,
                           uint64_t value)
{
    DoorbellState *s = (DoorbellState *)opaque;

    (void)region, (void)size;
    switch (offset) {
    case DOORBELL_NOTIFY:
        s->image.place[client].notify = (uint32_t)value;
        break;
    case DOORBELL_RING:
        doorbell_ring(dev, s, client, (uint32_t)value);
        break;
    }
}

static void doorbell_reset(RioDevice *dev, void *opaque, unsigned client,
                           int kind)
{
    DoorbellState *s = (DoorbellState *)opaque;

    (void)dev, (void)kind;
    s->image.place[client].notify = DOORBELL_NOBODY;
    s->image.place[client].missed = 0;
}

static RioModule doorbell_module = {
    .name = "doorbell",
    .summary = "virtual machines, on any host, interrupt each other",
    .params = doorbell_params,
    .state_size = sizeof(DoorbellState),
    .max_clients = DOORBELL_CLIENTS,
    .open = doorbell_open,
    .describe = doorbell_describe,
    .attach = doorbell_attach,
    .detach = doorbell_detach,
    .read = doorbell_read,
    .write = doorbell_write,
    .reset = doorbell_reset,
    .state = &doorbell_state,
};

RIO_REGISTER_MODULE(doorbell, doorbell_module)
