/*
 * remote-io-server: what a module says of itself, as the wire says it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A module is trusted but may be wrong.  Its description is encoded, and the
 * bytes judged by the decoder that the client will use: what passes here is
 * not refused there.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "internal.h"

#define ALL_SIZES (1 | 2 | 4 | 8)

static void copy_common(RioDescription *d, const RioModule *type,
                        const RioModuleInfo *info)
{
    d->bus = info->bus;
    d->restart = type->restart ?: RIO_RESTART_VOLATILE;
    if (d->restart == RIO_RESTART_JOURNALED && !riod_journal_keeps(type)) {
        d->restart = RIO_RESTART_VOLATILE;
    }
    d->lines = info->lines;
    g_strlcpy(d->driver, type->name, sizeof(d->driver));
}

/* A module that comes on several buses need not clear what is another's */
static void copy_pci(RioDescription *d, const RioModuleInfo *info)
{
    d->vendor_id = info->vendor_id;
    d->device_id = info->device_id;
    d->subsystem_vendor_id = info->subsystem_vendor_id;
    d->subsystem_id = info->subsystem_id;
    d->class_code = info->class_code;
    d->revision = info->revision;
    d->interrupt_pin = info->lines ? 1 : 0;
    d->msi_vectors = info->msi_vectors;
    d->msix_vectors = info->msix_vectors;
    d->msix_table_bar = info->msix_table_bar;
    d->msix_pba_bar = info->msix_pba_bar;
    d->msix_table_offset = info->msix_table_offset;
    d->msix_pba_offset = info->msix_pba_offset;
}

static void copy_isa(RioDescription *d, const RioModuleInfo *info)
{
    d->isa_irq = info->isa_irq;
    g_strlcpy(d->acpi_hid, info->acpi_hid ?: "", sizeof(d->acpi_hid));
}

static void copy_regions(RioDescription *d, const RioModuleInfo *info)
{
    d->num_regions = info->num_regions;
    for (unsigned i = 0; i < info->num_regions; i++) {
        const RioModuleRegion *from = &info->regions[i];

        d->regions[i] = (RioRegion) {
            .index = from->index,
            .kind = from->space == RIO_MODULE_PIO ? RIO_REGION_PIO
                                                  : RIO_REGION_MMIO,
            .flags = from->flags,
            .size = from->size,
            .base = from->base,
        };
    }
}

static int compare_ranges(const void *a, const void *b)
{
    const RioRange *x = a, *y = b;

    if (x->region != y->region) {
        return x->region < y->region ? -1 : 1;
    }
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static void copy_ranges(RioDescription *d, const RioModuleInfo *info)
{
    d->num_ranges = info->num_ranges;
    for (unsigned i = 0; i < info->num_ranges; i++) {
        const RioModuleRange *from = &info->ranges[i];

        d->ranges[i] = (RioRange) {
            .region = from->region,
            .sizes = from->sizes ?: ALL_SIZES,
            .attrs = from->attrs,
            .offset = from->offset,
            .length = from->length,
        };
    }
    qsort(d->ranges, d->num_ranges, sizeof(d->ranges[0]), compare_ranges);
}

static bool encode(RiodInstance *inst, Error **errp)
{
    RioDescription *check = g_new0(RioDescription, 1);
    RioBytes bytes;
    RioError err;
    bool ok;

    inst->encoded_desc = g_malloc(RIO_MAX_DESCRIPTION);
    inst->encoded_desc_len = rio_description_encode(&inst->desc,
                                                    inst->encoded_desc,
                                                    RIO_MAX_DESCRIPTION);
    bytes.data = inst->encoded_desc;
    bytes.len = inst->encoded_desc_len;
    ok = rio_description_decode(bytes, check, &err);
    if (!ok) {
        error_setg(errp, "its description is not valid: %s", err.text);
    }
    g_free(check);
    return ok;
}

/* Ranges are sorted by region: those of region i are [first[i], first[i+1]) */
static void index_regions(RiodInstance *inst)
{
    const RioDescription *d = &inst->desc;
    unsigned next = 0;

    for (unsigned i = 0; i < d->num_regions; i++) {
        inst->region_size[d->regions[i].index] = d->regions[i].size;
    }
    for (unsigned region = 0; region < RIO_MAX_REGIONS; region++) {
        inst->first_range[region] = next;
        while (next < d->num_ranges && d->ranges[next].region == region) {
            next++;
        }
    }
    inst->first_range[RIO_MAX_REGIONS] = next;
}

bool riod_describe(RiodInstance *inst, Error **errp)
{
    RioModuleInfo info = { 0 };

    inst->type->describe(&inst->dev, inst->state, &info);
    if (info.num_regions > RIO_MAX_REGIONS ||
        info.num_ranges > RIO_MAX_RANGES || info.lines > RIO_MAX_LINES) {
        error_setg(errp, "its description is not valid: %u regions, %u "
                   "ranges, %u lines; at most %u, %u and %u are possible",
                   info.num_regions, info.num_ranges, info.lines,
                   RIO_MAX_REGIONS, RIO_MAX_RANGES, RIO_MAX_LINES);
        return false;
    }
    copy_common(&inst->desc, inst->type, &info);
    if (info.bus == RIO_MODULE_PCI) {
        copy_pci(&inst->desc, &info);
    } else {
        copy_isa(&inst->desc, &info);
    }
    copy_regions(&inst->desc, &info);
    copy_ranges(&inst->desc, &info);
    if (!encode(inst, errp)) {
        return false;
    }
    index_regions(inst);
    return true;
}
