/*
 * remote-io codec: what a module looks like to a guest
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A description comes from the peer and decides what a guest sees; a device
 * is built from it without looking twice.  So every combination that no
 * hardware of that bus has is refused here.
 */

#include "net/remote-io/codec-internal.h"

#define FIXED       64u
#define REGION_SIZE 24u
#define RANGE_SIZE  24u

#define PCI_BARS        6u      /* index 6 is the expansion ROM */
#define PCI_ROM         6u
#define PCI_MIN_MMIO    16u
#define PCI_MIN_PIO     4u
#define PCI_MIN_ROM     2048u
#define MAX_PIO         65536u
#define MAX_MMIO32      (1ull << 31)
#define MAX_MMIO64      (1ull << 40)
#define ISA_IRQS        16u
#define MSIX_ENTRY      16u

#define BAD(err, ...) \
    rio_error_set(err, RIO_STATUS_PROTOCOL, "description: " __VA_ARGS__)

#define RANGE_ATTRS (RIO_RANGE_POSTED | RIO_RANGE_PURE | \
                     RIO_RANGE_CACHEABLE | RIO_RANGE_DOORBELL)

static bool power_of_two(uint64_t v)
{
    return v && !(v & (v - 1));
}

static bool within(uint64_t offset, uint64_t length, uint64_t size)
{
    return offset <= size && length <= size - offset;
}

static bool overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
    return a < b + b_len && b < a + a_len;
}

static const RioRegion *find_region(const RioDescription *d, unsigned index)
{
    for (unsigned i = 0; i < d->num_regions; i++) {
        if (d->regions[i].index == index) {
            return &d->regions[i];
        }
    }
    return NULL;
}

/* True when BAR @index is the upper half of the 64-bit BAR before it */
static bool is_upper_half(const RioDescription *d, unsigned index)
{
    const RioRegion *low = index ? find_region(d, index - 1) : NULL;

    return low && low->flags & RIO_REGION_64BIT;
}

/* --- encoding --- */

static void put_region(uint8_t *p, const RioRegion *r)
{
    memset(p, 0, REGION_SIZE);
    p[0] = r->index;
    p[1] = r->kind;
    p[2] = r->flags;
    rio_put64(p + 8, r->size);
    rio_put64(p + 16, r->base);
}

static void put_range(uint8_t *p, const RioRange *r)
{
    memset(p, 0, RANGE_SIZE);
    p[0] = r->region;
    p[1] = r->sizes;
    rio_put16(p + 2, r->attrs);
    rio_put64(p + 8, r->offset);
    rio_put64(p + 16, r->length);
}

static void put_fixed(uint8_t *p, const RioDescription *d, uint8_t properties)
{
    memset(p, 0, FIXED);
    p[0] = d->bus;
    p[1] = d->restart;
    rio_put16(p + 2, d->vendor_id);
    rio_put16(p + 4, d->device_id);
    rio_put16(p + 6, d->subsystem_vendor_id);
    rio_put16(p + 8, d->subsystem_id);
    rio_put32(p + 12, d->class_code);
    p[16] = d->revision;
    p[17] = d->interrupt_pin;
    p[18] = d->lines;
    p[19] = d->msi_vectors;
    rio_put16(p + 20, d->msix_vectors);
    p[22] = d->msix_table_bar;
    p[23] = d->msix_pba_bar;
    rio_put32(p + 24, d->msix_table_offset);
    rio_put32(p + 28, d->msix_pba_offset);
    p[32] = d->isa_irq;
    p[33] = d->num_regions;
    p[34] = d->num_ranges;
    p[35] = properties;
}

/* An empty string is no property. */
static void put_property(RioWriter *w, uint16_t type, const RioString value,
                         uint8_t *count)
{
    if (!*value) {
        return;
    }
    if (w->end - w->p < 2) {
        w->full = true;
        return;
    }
    rio_put16(w->p, type);
    w->p += 2;
    rio_write_string(w, value);
    ++*count;
}

size_t rio_description_encode(const RioDescription *d, uint8_t *buf,
                              size_t size)
{
    size_t fixed = FIXED + d->num_regions * REGION_SIZE +
                   d->num_ranges * RANGE_SIZE;
    RioWriter w = { buf, buf + size, false };
    uint8_t *p, properties = 0;

    if (d->num_regions > RIO_MAX_REGIONS || d->num_ranges > RIO_MAX_RANGES ||
        size < fixed) {
        return 0;
    }
    p = buf + FIXED;
    w.p = buf + fixed;
    for (unsigned i = 0; i < d->num_regions; i++, p += REGION_SIZE) {
        put_region(p, &d->regions[i]);
    }
    for (unsigned i = 0; i < d->num_ranges; i++, p += RANGE_SIZE) {
        put_range(p, &d->ranges[i]);
    }
    put_property(&w, RIO_PROP_DRIVER, d->driver, &properties);
    put_property(&w, RIO_PROP_ACPI_HID, d->acpi_hid, &properties);
    put_property(&w, RIO_PROP_SERIAL, d->serial, &properties);
    put_fixed(buf, d, properties);
    return w.full ? 0 : w.p - buf;
}

/* --- checks of what was decoded --- */

/*
 * What PCI allows for base address registers.  The limits above are lower
 * than what the registers could hold, so that sums of sizes cannot overflow.
 */
static bool check_pci_region(const RioDescription *d, const RioRegion *r,
                             RioError *err)
{
    bool pio = r->kind == RIO_REGION_PIO, rom = r->index == PCI_ROM;
    bool wide = r->flags & RIO_REGION_64BIT;
    uint64_t min = rom ? PCI_MIN_ROM : pio ? PCI_MIN_PIO : PCI_MIN_MMIO;
    uint64_t max = pio ? MAX_PIO : wide ? MAX_MMIO64 : MAX_MMIO32;

    if (r->index > PCI_ROM || r->base) {
        return BAD(err, "region %u, base 0x%" G_GINT64_MODIFIER "x on PCI",
                   r->index, r->base);
    }
    if (!power_of_two(r->size) || r->size < min || r->size > max) {
        return BAD(err, "BAR %u of 0x%" G_GINT64_MODIFIER "x bytes, must be "
                   "a power of two from 0x%" G_GINT64_MODIFIER "x to 0x%"
                   G_GINT64_MODIFIER "x", r->index, r->size, min, max);
    }
    if (((pio || rom) && r->flags) || (pio && rom) ||
        (wide && r->index >= PCI_BARS - 1)) {
        return BAD(err, "BAR %u of kind %u cannot have flags 0x%02x",
                   r->index, r->kind, r->flags);
    }
    if (!rom && is_upper_half(d, r->index)) {
        return BAD(err, "BAR %u is the upper half of BAR %u", r->index,
                   r->index - 1);
    }
    return true;
}

/* Without base address registers there is no power of two to keep to. */
static bool check_other_region(const RioDescription *d, const RioRegion *r,
                               RioError *err)
{
    uint64_t max = r->kind == RIO_REGION_PIO ? MAX_PIO : MAX_MMIO64;

    if (r->flags || (d->bus == RIO_BUS_SYSBUS && r->base) ||
        !r->size || !within(r->base, r->size, max)) {
        return BAD(err, "region %u: flags 0x%02x, 0x%" G_GINT64_MODIFIER
                   "x bytes at 0x%" G_GINT64_MODIFIER "x", r->index, r->flags,
                   r->size, r->base);
    }
    return true;
}

/* Each index once: find_region() must have one answer. */
static bool check_regions(const RioDescription *d, RioError *err)
{
    for (unsigned i = 0; i < d->num_regions; i++) {
        const RioRegion *r = &d->regions[i];

        if (r->index >= RIO_MAX_REGIONS || find_region(d, r->index) != r) {
            return BAD(err, "region %u is out of range or comes twice",
                       r->index);
        }
        if (r->kind < RIO_REGION_MMIO || r->kind > RIO_REGION_MEMORY) {
            return BAD(err, "region %u: kind %u", r->index, r->kind);
        }
        if (r->flags & ~(RIO_REGION_64BIT | RIO_REGION_PREFETCH)) {
            return BAD(err, "region %u: flags 0x%02x", r->index, r->flags);
        }
        if (!(d->bus == RIO_BUS_PCI ? check_pci_region(d, r, err)
                                    : check_other_region(d, r, err))) {
            return false;
        }
    }
    return true;
}

/*
 * Compared with every range before it: there are 64 at most, and the order
 * is the module's choice.
 */
static bool check_range(const RioDescription *d, unsigned i, RioError *err)
{
    const RioRange *r = &d->ranges[i];
    const RioRegion *region = find_region(d, r->region);

    if (!region || !r->length || !within(r->offset, r->length,
                                         region->size)) {
        return BAD(err, "range %u is not inside region %u", i, r->region);
    }
    if (!r->sizes || r->sizes > 15 || r->attrs & ~RANGE_ATTRS) {
        return BAD(err, "range %u: sizes 0x%02x, attributes 0x%04x", i,
                   r->sizes, r->attrs);
    }
    if (r->attrs & RIO_RANGE_CACHEABLE && !(r->attrs & RIO_RANGE_PURE)) {
        return BAD(err, "range %u is cacheable but not pure", i);
    }
    for (unsigned j = 0; j < i; j++) {
        const RioRange *o = &d->ranges[j];

        if (o->region == r->region &&
            overlap(o->offset, o->length, r->offset, r->length)) {
            return BAD(err, "ranges %u and %u of region %u overlap", j, i,
                       r->region);
        }
    }
    return true;
}

/* A table of MSI-X lies in a described BAR, or in one of its own */
static bool check_msix_part(const RioDescription *d, const char *what,
                            uint8_t bar, uint32_t offset, uint32_t length,
                            RioError *err)
{
    const RioRegion *r = find_region(d, bar);

    if (bar >= PCI_BARS || offset % 8 || is_upper_half(d, bar) ||
        (r && (r->kind != RIO_REGION_MMIO ||
               !within(offset, length, r->size))) ||
        (!r && !within(offset, length, MAX_MMIO32))) {
        return BAD(err, "MSI-X %s of %u bytes at 0x%x of BAR %u", what,
                   length, offset, bar);
    }
    return true;
}

/*
 * Vectors without tables, or tables that share bytes, are hardware that a
 * guest driver could only fail on.
 */
static bool check_msix(const RioDescription *d, RioError *err)
{
    uint32_t table = d->msix_vectors * MSIX_ENTRY;
    uint32_t pba = (d->msix_vectors + 63) / 64 * 8;

    if (d->msix_vectors > RIO_MAX_MSIX) {
        return BAD(err, "%u MSI-X vectors, the limit is %u", d->msix_vectors,
                   RIO_MAX_MSIX);
    }
    if (!d->msix_vectors) {
        return !(d->msix_table_bar || d->msix_pba_bar ||
                 d->msix_table_offset || d->msix_pba_offset) ||
               BAD(err, "MSI-X table or PBA without vectors");
    }
    if (d->msix_table_bar == d->msix_pba_bar &&
        overlap(d->msix_table_offset, table, d->msix_pba_offset, pba)) {
        return BAD(err, "MSI-X table and PBA overlap");
    }
    return check_msix_part(d, "table", d->msix_table_bar,
                           d->msix_table_offset, table, err) &&
           check_msix_part(d, "PBA", d->msix_pba_bar, d->msix_pba_offset,
                           pba, err);
}

/*
 * A pin that is announced must be driven, or a driver waits for interrupts
 * that cannot come.
 */
static bool check_pci(const RioDescription *d, RioError *err)
{
    if (d->class_code >> 24 || d->vendor_id == 0xffff || d->isa_irq) {
        return BAD(err, "PCI vendor 0x%04x, class 0x%x, ISA IRQ %u",
                   d->vendor_id, d->class_code, d->isa_irq);
    }
    if (d->interrupt_pin > 1 || d->lines != d->interrupt_pin) {
        return BAD(err, "interrupt pin %u and %u lines, must be 0 and 0 or "
                   "1 and 1", d->interrupt_pin, d->lines);
    }
    if (d->msi_vectors && (!power_of_two(d->msi_vectors) ||
                           d->msi_vectors > RIO_MAX_MSI)) {
        return BAD(err, "%u MSI vectors, must be a power of two up to %u",
                   d->msi_vectors, RIO_MAX_MSI);
    }
    return check_msix(d, err);
}

/*
 * Identity and messages belong to PCI; elsewhere they would be ignored, and
 * a module's author would wonder why.
 */
static bool check_not_pci(const RioDescription *d, RioError *err)
{
    if (d->vendor_id || d->device_id || d->subsystem_vendor_id ||
        d->subsystem_id || d->class_code || d->revision ||
        d->interrupt_pin || d->msi_vectors || d->msix_vectors ||
        d->msix_table_bar || d->msix_pba_bar || d->msix_table_offset ||
        d->msix_pba_offset) {
        return BAD(err, "PCI fields are set on bus %u", d->bus);
    }
    if (d->lines > RIO_MAX_LINES || d->isa_irq >= ISA_IRQS ||
        (d->bus != RIO_BUS_ISA && d->isa_irq)) {
        return BAD(err, "%u lines, ISA IRQ %u on bus %u", d->lines,
                   d->isa_irq, d->bus);
    }
    return true;
}

static bool check_description(const RioDescription *d, RioError *err)
{
    if (d->bus < RIO_BUS_PCI || d->bus > RIO_BUS_SYSBUS) {
        return BAD(err, "bus %u", d->bus);
    }
    if (d->restart < RIO_RESTART_STATELESS ||
        d->restart > RIO_RESTART_JOURNALED) {
        return BAD(err, "restart class %u", d->restart);
    }
    if (!check_regions(d, err)) {
        return false;
    }
    for (unsigned i = 0; i < d->num_ranges; i++) {
        if (!check_range(d, i, err)) {
            return false;
        }
    }
    return d->bus == RIO_BUS_PCI ? check_pci(d, err) : check_not_pci(d, err);
}

/* --- decoding --- */

static bool get_region(const uint8_t *p, RioRegion *r, RioError *err)
{
    r->index = p[0];
    r->kind = p[1];
    r->flags = p[2];
    r->size = rio_get64(p + 8);
    r->base = rio_get64(p + 16);
    return rio_all_zero(p + 3, 5) ||
           BAD(err, "region %u: reserved bytes are not 0", r->index);
}

static bool get_range(const uint8_t *p, RioRange *r, RioError *err)
{
    r->region = p[0];
    r->sizes = p[1];
    r->attrs = rio_get16(p + 2);
    r->offset = rio_get64(p + 8);
    r->length = rio_get64(p + 16);
    return rio_all_zero(p + 4, 4) ||
           BAD(err, "range in region %u: reserved bytes are not 0",
               r->region);
}

static bool get_fixed(const uint8_t *p, RioDescription *d, RioError *err)
{
    d->bus = p[0];
    d->restart = p[1];
    d->vendor_id = rio_get16(p + 2);
    d->device_id = rio_get16(p + 4);
    d->subsystem_vendor_id = rio_get16(p + 6);
    d->subsystem_id = rio_get16(p + 8);
    d->class_code = rio_get32(p + 12);
    d->revision = p[16];
    d->interrupt_pin = p[17];
    d->lines = p[18];
    d->msi_vectors = p[19];
    d->msix_vectors = rio_get16(p + 20);
    d->msix_table_bar = p[22];
    d->msix_pba_bar = p[23];
    d->msix_table_offset = rio_get32(p + 24);
    d->msix_pba_offset = rio_get32(p + 28);
    d->isa_irq = p[32];
    d->num_regions = p[33];
    d->num_ranges = p[34];
    return !(p[10] || p[11] || !rio_all_zero(p + 36, FIXED - 36)) ||
           BAD(err, "reserved bytes are not 0");
}

/* The string that property @type fills, NULL when it is no string we know */
static char *property_string(RioDescription *d, uint16_t type)
{
    switch (type) {
    case RIO_PROP_DRIVER:
        return d->driver;
    case RIO_PROP_ACPI_HID:
        return d->acpi_hid;
    case RIO_PROP_SERIAL:
        return d->serial;
    default:
        return NULL;
    }
}

/* A property of a later version is skipped; of ours, a string comes once */
static bool get_property(RioReader *r, RioDescription *d, RioError *err)
{
    size_t left = r->end - r->p;
    size_t len = left < 4 ? 0 : rio_get16(r->p + 2);
    uint16_t type;
    char *string;

    if (left < 4 || len > left - 4) {
        return BAD(err, "a property is longer than the %zu bytes left",
                   left);
    }
    type = rio_get16(r->p);
    r->p += 4 + len;
    if (type == RIO_PROP_RECIPE) {
        return rio_recipe_check(r->p - len, len, err);
    }
    string = property_string(d, type);
    if (!string) {
        return true;
    }
    if (*string || !len) {
        return BAD(err, "property %u is empty or comes twice", type);
    }
    return rio_check_string(r->p - len, len, string,
                            "a property of the description", err);
}

static bool get_properties(RioReader *r, unsigned count, RioDescription *d,
                           RioError *err)
{
    d->driver[0] = d->acpi_hid[0] = d->serial[0] = '\0';
    while (count--) {
        if (!get_property(r, d, err)) {
            return false;
        }
    }
    return r->p == r->end ||
           BAD(err, "%zu bytes after the last property",
               (size_t)(r->end - r->p));
}

/* That the lists fit was compared with the length before. */
static bool get_lists(RioReader *r, RioDescription *d, RioError *err)
{
    for (unsigned i = 0; i < d->num_regions; i++, r->p += REGION_SIZE) {
        if (!get_region(r->p, &d->regions[i], err)) {
            return false;
        }
    }
    for (unsigned i = 0; i < d->num_ranges; i++, r->p += RANGE_SIZE) {
        if (!get_range(r->p, &d->ranges[i], err)) {
            return false;
        }
    }
    return true;
}

/* Lengths first, then contents, then what they mean together. */
bool rio_description_decode(RioBytes bytes, RioDescription *d, RioError *err)
{
    RioReader r = { bytes.data, bytes.data + bytes.len };

    if (bytes.len < FIXED || bytes.len > RIO_MAX_DESCRIPTION) {
        return BAD(err, "%u bytes, expected %u to %u", bytes.len, FIXED,
                   RIO_MAX_DESCRIPTION);
    }
    if (!get_fixed(bytes.data, d, err)) {
        return false;
    }
    if (d->num_regions > RIO_MAX_REGIONS || d->num_ranges > RIO_MAX_RANGES ||
        bytes.data[35] > RIO_MAX_PROPERTIES ||
        bytes.len < FIXED + d->num_regions * REGION_SIZE +
                    d->num_ranges * RANGE_SIZE) {
        return BAD(err, "%u regions, %u ranges and %u properties in %u bytes",
                   d->num_regions, d->num_ranges, bytes.data[35], bytes.len);
    }
    r.p += FIXED;
    return get_lists(&r, d, err) &&
           get_properties(&r, bytes.data[35], d, err) &&
           check_description(d, err);
}

bool rio_description_recipe(RioBytes bytes, unsigned i, RioBytes *recipe)
{
    const uint8_t *p = bytes.data + FIXED + bytes.data[33] * REGION_SIZE +
                       bytes.data[34] * RANGE_SIZE;
    const uint8_t *end = bytes.data + bytes.len;

    for (; p < end; p += 4 + rio_get16(p + 2)) {
        if (rio_get16(p) == RIO_PROP_RECIPE && !i--) {
            *recipe = (RioBytes) { p + 4, rio_get16(p + 2) };
            return true;
        }
    }
    return false;
}
