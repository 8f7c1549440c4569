/*
 * remote-io device: is a module the device that the guest knows?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Compared is what the guest has seen: identity, registers, interrupts.  What
 * it cannot see (attributes of ranges, restart class, recipes, the name of
 * the model) may differ, as between two versions of a server.
 */

#include "qemu/osdep.h"
#include "core.h"

/* Adds "WHAT is NEW, not OLD" if they differ */
static void compare(GString *text, const char *what, uint64_t old,
                    uint64_t new)
{
    if (old != new) {
        g_string_append_printf(text, "%s%s is 0x%" PRIx64 ", not 0x%" PRIx64,
                               text->len ? ", " : "", what, new, old);
    }
}

static void compare_region(GString *text, const RioRegion *old,
                           const RioRegion *new)
{
    const struct {
        const char *what;
        uint64_t old, new;
    } fields[] = {
        { "number", old->index, new->index },
        { "kind", old->kind, new->kind },
        { "flags", old->flags, new->flags },
        { "size", old->size, new->size },
        { "address", old->base, new->base },
    };
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(fields); i++) {
        g_autofree char *what = g_strdup_printf("%s of region %u",
                                                fields[i].what, old->index);

        compare(text, what, fields[i].old, fields[i].new);
    }
}

static void compare_identity(GString *text, const RioDescription *old,
                             const RioDescription *new)
{
    compare(text, "vendor id", old->vendor_id, new->vendor_id);
    compare(text, "device id", old->device_id, new->device_id);
    compare(text, "subsystem vendor id", old->subsystem_vendor_id,
            new->subsystem_vendor_id);
    compare(text, "subsystem id", old->subsystem_id, new->subsystem_id);
    compare(text, "class", old->class_code, new->class_code);
    compare(text, "revision", old->revision, new->revision);
    if (!g_str_equal(old->acpi_hid, new->acpi_hid)) {
        g_string_append_printf(text, "%sACPI id is '%s', not '%s'",
                               text->len ? ", " : "", new->acpi_hid,
                               old->acpi_hid);
    }
}

static void compare_interrupts(GString *text, const RioDescription *old,
                               const RioDescription *new)
{
    compare(text, "interrupt pin", old->interrupt_pin, new->interrupt_pin);
    compare(text, "number of lines", old->lines, new->lines);
    compare(text, "ISA IRQ", old->isa_irq, new->isa_irq);
    compare(text, "number of MSI vectors", old->msi_vectors,
            new->msi_vectors);
    compare(text, "number of MSI-X vectors", old->msix_vectors,
            new->msix_vectors);
    compare(text, "BAR of the MSI-X table", old->msix_table_bar,
            new->msix_table_bar);
    compare(text, "offset of the MSI-X table", old->msix_table_offset,
            new->msix_table_offset);
    compare(text, "BAR of the pending bits", old->msix_pba_bar,
            new->msix_pba_bar);
    compare(text, "offset of the pending bits", old->msix_pba_offset,
            new->msix_pba_offset);
}

char *remote_io_difference(const RioDescription *known,
                           const RioDescription *d)
{
    GString *text = g_string_new(NULL);
    unsigned i;

    compare(text, "bus", known->bus, d->bus);
    if (text->len) {
        return g_string_free(text, false);      /* so is everything else */
    }
    compare_identity(text, known, d);
    compare_interrupts(text, known, d);
    compare(text, "number of regions", known->num_regions, d->num_regions);
    for (i = 0; i < MIN(known->num_regions, d->num_regions); i++) {
        compare_region(text, &known->regions[i], &d->regions[i]);
    }
    return g_string_free(text, !text->len);
}
