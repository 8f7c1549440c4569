/*
 * remote-io device: the regions as QEMU's memory core sees them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Judges an access by the module's description: what is not allowed never
 * reaches the network.
 */

#include "qemu/osdep.h"
#include "qemu/log.h"
#include "hw/core/cpu.h"
#include "system/cpus.h"
#include "core.h"
#include "trace.h"

/* The range that @offset lies in, or NULL */
static const RioRange *find_range(const RemoteIORegion *r, uint64_t offset)
{
    unsigned i;

    for (i = 0; i < r->num_ranges; i++) {
        const RioRange *range = r->ranges[i];

        if (offset - range->offset < range->length) {
            return range;
        }
    }
    return NULL;
}

/*
 * Attributes of an access.  One that lies across the end of a range has none
 * of its attributes.  Returns: false when a range does not allow its size.
 */
static bool judge(const RemoteIORegion *r, uint64_t offset, unsigned size,
                  unsigned *attrs)
{
    const RioRange *first = find_range(r, offset);
    const RioRange *last = find_range(r, offset + size - 1);

    *attrs = first && first == last ? first->attrs : 0;
    return (!first || (first->sizes & size)) &&
           (!last || (last->sizes & size));
}

static bool refused(RemoteIORegion *r, const char *what, uint64_t offset,
                    unsigned size)
{
    RemoteIOCore *s = r->core;

    WITH_QEMU_LOCK_GUARD(&s->lock) {
        s->stats.refused++;
    }
    trace_remote_io_region_refused(s->name, what, r->info.index, offset, size);
    qemu_log_mask(LOG_GUEST_ERROR, "remote-io %s: %s of %u bytes at region "
                  "%u offset 0x%" PRIx64 ": the module allows no such "
                  "size\n", s->name, what, size, r->info.index, offset);
    return true;
}

/*
 * True when the access comes from a processor's own instruction.  An access
 * that another device makes, also while a processor waits for that device,
 * carries no attributes; the BQL must not be dropped beneath it.
 */
static bool from_vcpu(MemTxAttrs attrs)
{
    return !attrs.unspecified && current_cpu && qemu_in_vcpu_thread() &&
           !cpu_in_exclusive_context(current_cpu);
}

static MemTxResult region_read(void *opaque, hwaddr offset, uint64_t *data,
                               unsigned size, MemTxAttrs attrs)
{
    RemoteIORegion *r = opaque;
    unsigned range;

    *data = UINT64_MAX;
    if (attrs.debug) {
        return MEMTX_OK;        /* a debugger must not cause side effects */
    }
    if (!judge(r, offset, size, &range)) {
        refused(r, "load", offset, size);
        return MEMTX_OK;
    }
    *data = remote_io_read(r, offset, size, from_vcpu(attrs));
    trace_remote_io_region_read(r->core->name, r->info.index, offset, size,
                                *data);
    return MEMTX_OK;
}

static MemTxResult region_write(void *opaque, hwaddr offset, uint64_t data,
                                unsigned size, MemTxAttrs attrs)
{
    RemoteIORegion *r = opaque;
    unsigned range;

    if (attrs.debug) {
        return MEMTX_OK;
    }
    if (!judge(r, offset, size, &range)) {
        refused(r, "store", offset, size);
        return MEMTX_OK;
    }
    if (size < 8) {
        data &= (1ull << (size * 8)) - 1;
    }
    trace_remote_io_region_write(r->core->name, r->info.index, offset, size,
                                 data, range & RIO_RANGE_POSTED);
    remote_io_write(r, offset, data, size, range & RIO_RANGE_POSTED,
                    from_vcpu(attrs));
    return MEMTX_OK;
}

static const MemoryRegionOps region_ops = {
    .read_with_attrs = region_read,
    .write_with_attrs = region_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = {
        .min_access_size = 1,
        .max_access_size = 8,
        .unaligned = true,
    },
    .impl = {
        .min_access_size = 1,
        .max_access_size = 8,
        .unaligned = true,
    },
};

static void link_ranges(RemoteIOCore *s, RemoteIORegion *r)
{
    unsigned i;

    r->num_ranges = 0;
    for (i = 0; i < s->desc.num_ranges; i++) {
        if (s->desc.ranges[i].region == r->info.index) {
            r->ranges[r->num_ranges++] = &s->desc.ranges[i];
        }
    }
}

void remote_io_region_renew(RemoteIOCore *s)
{
    unsigned i;

    for (i = 0; i < s->num_regions; i++) {
        link_ranges(s, &s->region[i]);
    }
}

void remote_io_region_init(RemoteIOCore *s, RemoteIORegion *r,
                           const RioRegion *info)
{
    g_autofree char *name = g_strdup_printf("remote-io-%s-%u", s->desc.driver,
                                            info->index);

    r->core = s;
    r->info = *info;
    link_ranges(s, r);
    memory_region_init_io(&r->mr, OBJECT(s->dev), &region_ops, r, name,
                          info->size);
    /*
     * Handlers drop the BQL: another processor's access to the same device
     * comes in meanwhile, and the guard would lose it.
     */
    r->mr.disable_reentrancy_guard = true;
}
