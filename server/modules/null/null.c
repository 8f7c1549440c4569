/*
 * null: a device that keeps nothing
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Every load gives the same value, every store is dropped.  What is left
 * is the way there and back, so this is the module that the benchmark
 * measures, and the one to copy for a first module of your own.
 */

#include <string.h>

#include "remote-io-module.h"

/* Offsets in region 0, one page (ISA: 16 ports, all like the first part) */
enum {
    NULL_PCI_SIZE = 0x1000,
    NULL_WAIT     = 0xff0,      /* stores here wait for their reply */
    NULL_ISA_SIZE = 0x10,
};

static const RioModuleRegion null_pci_region = {
    .index = 0, .space = RIO_MODULE_MMIO, .size = NULL_PCI_SIZE,
};

/* No load has a side effect; all stores but those to NULL_WAIT are posted */
static const RioModuleRange null_pci_ranges[] = {
    { .offset = 0, .length = NULL_WAIT,
      .attrs = RIO_MODULE_POSTED | RIO_MODULE_PURE },
    { .offset = NULL_WAIT, .length = NULL_PCI_SIZE - NULL_WAIT,
      .attrs = RIO_MODULE_PURE },
};

static const RioModuleRange null_isa_ranges[] = {
    { .offset = 0, .length = NULL_ISA_SIZE,
      .attrs = RIO_MODULE_POSTED | RIO_MODULE_PURE },
};

typedef struct NullState {
    uint64_t value;             /* what loads give */
    bool isa;
    RioModuleRegion isa_region;
} NullState;

/* It keeps nothing, so there is nothing to save but that fact */
static const RioModuleState null_state = { .version = 1 };

static const RioParam null_params[] = {
    { .name = "bus", .type = RIO_PARAM_STRING, .fallback = "pci",
      .help = "pci or isa" },
    { .name = "value", .type = RIO_PARAM_UINT, .fallback = "0",
      .help = "what every load gives" },
    { .name = "iobase", .type = RIO_PARAM_UINT, .fallback = "0x300",
      .help = "bus=isa: first of the 16 ports" },
    { .name = NULL },
};

static int null_open(RioDevice *dev, void *opaque)
{
    NullState *s = (NullState *)opaque;
    const char *bus = rio_param_string(dev, "bus");
    uint64_t base = rio_param_uint(dev, "iobase");

    s->isa = !strcmp(bus, "isa");
    if (!s->isa && strcmp(bus, "pci")) {
        return rio_fail(dev, "bus=%s: use pci or isa", bus);
    }
    if (base > 0x10000 - NULL_ISA_SIZE) {
        return rio_fail(dev, "iobase=0x%llx: ports end at 0xffff",
                        (unsigned long long)base);
    }
    s->value = rio_param_uint(dev, "value");
    s->isa_region = (RioModuleRegion) {
        .space = RIO_MODULE_PIO, .size = NULL_ISA_SIZE, .base = base,
    };
    return 0;
}

static void null_describe(RioDevice *dev, void *opaque, RioModuleInfo *info)
{
    NullState *s = (NullState *)opaque;

    (void)dev;
    info->num_regions = 1;
    if (s->isa) {
        info->bus = RIO_MODULE_ISA;
        info->regions = &s->isa_region;
        info->ranges = null_isa_ranges;
        info->num_ranges = 1;
        return;
    }
    info->bus = RIO_MODULE_PCI;
    info->vendor_id = 0x1234;
    info->device_id = 0x10e0;
    info->class_code = 0xff0000;        /* fits no class */
    info->revision = 1;
    info->regions = &null_pci_region;
    info->ranges = null_pci_ranges;
    info->num_ranges = 2;
}

static uint64_t null_read(RioDevice *dev, void *opaque, unsigned client,
                          unsigned region, uint64_t offset, unsigned size)
{
    NullState *s = (NullState *)opaque;

    (void)dev, (void)client, (void)region, (void)offset, (void)size;
    return s->value;
}

static void null_write(RioDevice *dev, void *opaque, unsigned client,
                       unsigned region, uint64_t offset, unsigned size,
                       uint64_t value)
{
    (void)dev, (void)opaque, (void)client, (void)region, (void)offset;
    (void)size, (void)value;
}

static RioModule null_module = {
    .name = "null",
    .summary = "loads give one value, stores are dropped",
    .params = null_params,
    .state_size = sizeof(NullState),
    .max_clients = 1024,
    .restart = RIO_MODULE_STATELESS,
    .open = null_open,
    .describe = null_describe,
    .read = null_read,
    .write = null_write,
    .state = &null_state,
};

RIO_REGISTER_MODULE(null, null_module)
