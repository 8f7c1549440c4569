/*
 * remote-io codec: a description is hardware that exists, or it is refused
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "remote-io-messages.h"

#define FIXED 64                /* the witness of the specification */

static uint8_t buf[RIO_MAX_DESCRIPTION + 1];

static bool decode(size_t n, RioDescription *d, RioError *err)
{
    RioBytes bytes = { buf, n };

    return rio_description_decode(bytes, d, err);
}

/* Encode @d, decode it, and compare the outcome with @text (NULL: accepted) */
static void expect(const RioDescription *d, const char *name,
                   const char *text)
{
    size_t n = rio_description_encode(d, buf, sizeof(buf));
    RioError err = { 0 };
    RioDescription back;
    bool ok = decode(n, &back, &err);

    g_assert_cmpuint(n, >, 0);
    if (ok ? text != NULL : !text || !strstr(err.text, text) ||
                            err.status != RIO_STATUS_PROTOCOL) {
        g_error("%s: %s, expected %s", name, ok ? "accepted" : err.text,
                text ?: "acceptance");
    }
}

static RioDescription pci(void)
{
    return (RioDescription) {
        .bus = RIO_BUS_PCI,
        .restart = RIO_RESTART_VOLATILE,
        .vendor_id = 0x1b36,
        .device_id = 0x10,
        .class_code = 0x010802,
        .interrupt_pin = 1,
        .lines = 1,
        .msi_vectors = 32,
        .msix_vectors = 64,
        .msix_table_bar = 0,
        .msix_table_offset = 0x2000,
        .msix_pba_bar = 0,
        .msix_pba_offset = 0x3000,
        .num_regions = 3,
        .regions = {
            { .index = 0, .kind = RIO_REGION_MMIO,
              .flags = RIO_REGION_64BIT, .size = 0x4000 },
            { .index = 2, .kind = RIO_REGION_PIO, .size = 32 },
            { .index = 6, .kind = RIO_REGION_MMIO, .size = 0x10000 },
        },
        .num_ranges = 2,
        .ranges = {
            { .region = 0, .sizes = 15, .attrs = RIO_RANGE_POSTED,
              .offset = 0, .length = 0x1000 },
            { .region = 0, .sizes = 4,
              .attrs = RIO_RANGE_PURE | RIO_RANGE_CACHEABLE,
              .offset = 0x1000, .length = 0x1000 },
        },
        .driver = "nvme",
        .serial = "S1",
    };
}

static RioDescription isa(void)
{
    return (RioDescription) {
        .bus = RIO_BUS_ISA,
        .restart = RIO_RESTART_STATELESS,
        .lines = 1,
        .isa_irq = 4,
        .num_regions = 1,
        .regions = {
            { .kind = RIO_REGION_PIO, .size = 8, .base = 0x3f8 },
        },
        .driver = "uart16550",
        .acpi_hid = "PNP0501",
    };
}

static RioDescription sysbus(void)
{
    return (RioDescription) {
        .bus = RIO_BUS_SYSBUS,
        .restart = RIO_RESTART_JOURNALED,
        .lines = RIO_MAX_LINES,
        .num_regions = 2,
        .regions = {
            { .index = 0, .kind = RIO_REGION_MMIO, .size = 0x1001 },
            { .index = 7, .kind = RIO_REGION_MEMORY, .size = 1 << 20 },
        },
    };
}

/* One line of the truth table: a change to a valid description */
#define CASE(base, change, text) \
    do { \
        RioDescription d = base(); \
        change; \
        expect(&d, #base ": " #change, text); \
    } while (0)

static void test_pci(void)
{
    CASE(pci, (void)0, NULL);
    CASE(pci, d.bus = 0, "bus 0");
    CASE(pci, d.bus = 4, "bus 4");
    CASE(pci, d.restart = 0, "restart class 0");
    CASE(pci, d.restart = 4, "restart class 4");
    CASE(pci, d.vendor_id = 0xffff, "vendor 0xffff");
    CASE(pci, d.class_code = 1 << 24, "class 0x1000000");
    CASE(pci, d.isa_irq = 1, "ISA IRQ 1");
    CASE(pci, d.interrupt_pin = 2, "pin 2");
    CASE(pci, d.lines = 2, "2 lines");
    CASE(pci, d.lines = 0, "0 lines");
    CASE(pci, d.interrupt_pin = d.lines = 0, NULL);
    CASE(pci, d.msi_vectors = 3, "3 MSI vectors");
    CASE(pci, d.msi_vectors = 64, "64 MSI vectors");
    CASE(pci, d.msi_vectors = 0, NULL);
}

static void test_bars(void)
{
    CASE(pci, d.regions[0].size = 0x5000, "BAR 0 of 0x5000");
    CASE(pci, d.regions[0].size = 8, "BAR 0 of 0x8");
    CASE(pci, d.regions[0].size = 0, "BAR 0 of 0x0");
    CASE(pci, d.regions[0].size = 1ull << 40, NULL);
    CASE(pci, d.regions[0].size = 1ull << 41, "BAR 0");
    CASE(pci, d.regions[1].size = 2, "BAR 2 of 0x2");
    CASE(pci, d.regions[1].size = 0x20000, "BAR 2");
    CASE(pci, d.regions[1].flags = RIO_REGION_PREFETCH, "flags 0x02");
    CASE(pci, d.regions[1].index = 1, "upper half of BAR 0");
    CASE(pci, d.regions[1].index = 0, "region 0 is out of range or comes");
    CASE(pci, d.regions[1].index = 7, "region 7");
    CASE(pci, d.regions[1].index = 8, "region 8");
    CASE(pci, d.regions[1].kind = 0, "kind 0");
    CASE(pci, d.regions[1].kind = 4, "kind 4");
    CASE(pci, d.regions[1].flags = 4, "flags 0x04");
    CASE(pci, d.regions[1].base = 0x300, "base 0x300");
    CASE(pci, d.regions[2].size = 1024, "BAR 6");
    CASE(pci, d.regions[2].kind = RIO_REGION_PIO, "BAR 6");
    CASE(pci, d.regions[2].flags = RIO_REGION_PREFETCH, "BAR 6");
    CASE(pci, (d.regions[2].index = 5,
               d.regions[2].flags = RIO_REGION_64BIT), "BAR 5");
    CASE(pci, (d.regions[2].index = 4,
               d.regions[2].flags = RIO_REGION_64BIT), NULL);
}

static void test_msix(void)
{
    CASE(pci, d.msix_vectors = RIO_MAX_MSIX + 1, "2049 MSI-X");
    CASE(pci, d.msix_vectors = 0, "without vectors");
    CASE(pci, d.msix_table_offset = 0x3ff8, "table of 1024 bytes");
    CASE(pci, d.msix_table_offset = 4, "table of 1024 bytes at 0x4");
    CASE(pci, d.msix_pba_offset = 0x2008, "overlap");
    CASE(pci, d.msix_pba_offset = 0x4000, "PBA of 8 bytes");
    CASE(pci, d.msix_table_bar = 6, "BAR 6");
    CASE(pci, d.msix_table_bar = 1, "BAR 1");
    CASE(pci, d.msix_table_bar = 2, "BAR 2");
    CASE(pci, d.msix_table_bar = 4, NULL);
    CASE(pci, (d.msix_table_bar = 4, d.msix_table_offset = UINT32_MAX - 7),
         "BAR 4");
}

static void test_isa(void)
{
    CASE(isa, (void)0, NULL);
    CASE(isa, d.isa_irq = 16, "ISA IRQ 16");
    CASE(isa, d.lines = RIO_MAX_LINES + 1, "17 lines");
    CASE(isa, d.vendor_id = 1, "PCI fields");
    CASE(isa, d.msi_vectors = 1, "PCI fields");
    CASE(isa, d.msix_vectors = 1, "PCI fields");
    CASE(isa, d.interrupt_pin = 1, "PCI fields");
    CASE(isa, d.regions[0].base = 65529, "65529" + 5);
    CASE(isa, d.regions[0].base = 65528, NULL);
    CASE(isa, d.regions[0].base = UINT64_MAX, "region 0");
    CASE(isa, d.regions[0].size = 0, "region 0");
    CASE(isa, d.regions[0].flags = RIO_REGION_64BIT, "flags 0x01");
}

static void test_sysbus(void)
{
    CASE(sysbus, (void)0, NULL);
    CASE(sysbus, d.isa_irq = 4, "ISA IRQ 4");
    CASE(sysbus, d.regions[0].base = 0x1000, "region 0");
    CASE(sysbus, d.regions[1].size = UINT64_MAX, "region 7");
    CASE(sysbus, d.num_regions = 0, NULL);
}

static void test_ranges(void)
{
    CASE(pci, d.ranges[0].region = 1, "range 0");
    CASE(pci, d.ranges[0].length = 0, "range 0");
    CASE(pci, d.ranges[0].length = 0x4001, "range 0");
    CASE(pci, d.ranges[0].length = UINT64_MAX, "range 0");
    CASE(pci, d.ranges[0].offset = UINT64_MAX, "range 0");
    CASE(pci, d.ranges[0].length = 0x1001, "ranges 0 and 1");
    CASE(pci, d.ranges[1].offset = 0xfff, "ranges 0 and 1");
    CASE(pci, d.ranges[0].sizes = 0, "sizes 0x00");
    CASE(pci, d.ranges[0].sizes = 16, "sizes 0x10");
    CASE(pci, d.ranges[0].attrs = 1 << 4, "attributes 0x0010");
    CASE(pci, d.ranges[1].attrs = RIO_RANGE_CACHEABLE, "not pure");
}

/* --- the encoding itself --- */

static void test_round_trip(void)
{
    GRand *r = g_rand_new_with_seed(g_test_rand_int());

    for (int i = 0; i < 1000; i++) {
        RioDescription d, back;
        RioError err;
        size_t n;

        rio_test_description(r, &d);
        n = rio_description_encode(&d, buf, sizeof(buf));
        memset(&back, 0xa5, sizeof(back));
        if (!decode(n, &back, &err)) {
            g_error("refused: %s", err.text);
        }
        g_assert_cmpuint(back.num_regions, ==, d.num_regions);
        for (unsigned j = 0; j < d.num_regions; j++) {
            g_assert_cmpuint(back.regions[j].index, ==, d.regions[j].index);
            g_assert_cmpuint(back.regions[j].kind, ==, d.regions[j].kind);
            g_assert_cmpuint(back.regions[j].flags, ==, d.regions[j].flags);
            g_assert_cmpuint(back.regions[j].size, ==, d.regions[j].size);
            g_assert_cmpuint(back.regions[j].base, ==, d.regions[j].base);
        }
        g_assert_cmpuint(back.num_ranges, ==, d.num_ranges);
        g_assert_cmpuint(back.ranges[0].attrs, ==, d.ranges[0].attrs);
        g_assert_cmpuint(back.ranges[0].length, ==, d.ranges[0].length);
        g_assert_cmpuint(back.class_code, ==, d.class_code);
        g_assert_cmpuint(back.msix_pba_offset, ==, d.msix_pba_offset);
        g_assert_cmpuint(back.isa_irq, ==, d.isa_irq);
        g_assert_cmpstr(back.driver, ==, d.driver);
        g_assert_cmpstr(back.acpi_hid, ==, d.acpi_hid);
        g_assert_cmpstr(back.serial, ==, d.serial);
    }
    g_rand_free(r);
}

static void test_every_truncation_is_refused(void)
{
    RioDescription d = pci(), back;
    size_t n = rio_description_encode(&d, buf, sizeof(buf));
    RioError err;

    for (size_t len = 0; len < n; len++) {
        g_assert_false(decode(len, &back, &err));
        g_assert_cmpuint(rio_description_encode(&d, buf, len), ==, 0);
    }
    g_assert_false(decode(n + 1, &back, &err));
    g_assert_nonnull(strstr(err.text, "1 bytes after"));
    g_assert_false(decode(RIO_MAX_DESCRIPTION + 1, &back, &err));
    g_assert_nonnull(strstr(err.text, "8193"));
}

static void test_reserved_bytes_must_be_zero(void)
{
    static const unsigned at[] = {
        10, 11, 36, 63, FIXED + 3, FIXED + 7, FIXED + 3 * 24 + 4,
    };
    RioDescription d = pci(), back;
    size_t n = rio_description_encode(&d, buf, sizeof(buf));
    RioError err;

    for (unsigned i = 0; i < G_N_ELEMENTS(at); i++) {
        buf[at[i]] = 1;
        g_assert_false(decode(n, &back, &err));
        g_assert_nonnull(strstr(err.text, "reserved"));
        buf[at[i]] = 0;
    }
    g_assert_true(decode(n, &back, &err));
}

static void test_counts_are_bounded(void)
{
    RioDescription d = sysbus(), back;
    size_t n = rio_description_encode(&d, buf, sizeof(buf));
    RioError err;

    buf[33] = RIO_MAX_REGIONS + 1;
    g_assert_false(decode(n, &back, &err));
    g_assert_nonnull(strstr(err.text, "9 regions"));
    buf[33] = 2;
    buf[34] = RIO_MAX_RANGES + 1;
    g_assert_false(decode(n, &back, &err));
    g_assert_nonnull(strstr(err.text, "65 ranges"));
    buf[34] = 0;
    buf[35] = RIO_MAX_PROPERTIES + 1;
    g_assert_false(decode(n, &back, &err));
    g_assert_nonnull(strstr(err.text, "33 properties"));
}

/* --- properties --- */

/* A sysbus description whose properties are the @len bytes at @p */
static bool decode_properties(uint8_t count, const void *p, size_t len,
                              RioDescription *back, RioError *err)
{
    RioDescription d = sysbus();
    size_t n = rio_description_encode(&d, buf, sizeof(buf));

    buf[35] = count;
    memcpy(buf + n, p, len);
    return decode(n + len, back, err);
}

static void test_properties_of_later_versions_are_skipped(void)
{
    RioDescription d;
    RioError err;

    g_assert_true(decode_properties(2, "\x63\0\3\0\xff\0\xff"
                                       "\1\0\2\0hi", 13, &d, &err));
    g_assert_cmpstr(d.driver, ==, "hi");
}

static void test_bad_properties_are_refused(void)
{
    static const struct {
        uint8_t count;
        const char *bytes;
        size_t len;
    } cases[] = {
        { 2, "\1\0\1\0a\1\0\1\0b", 10 },    /* twice */
        { 1, "\1\0\0\0", 4 },               /* empty */
        { 1, "\1\0\1\0\n", 5 },             /* control character */
        { 1, "\1\0\1\0\xff", 5 },           /* not UTF-8 */
        { 1, "\1\0\2\0a", 5 },              /* cut */
        { 1, "\1\0", 2 },
        { 1, "", 0 },                       /* missing */
        { 0, "\1\0\1\0a", 5 },              /* not counted */
        { 1, "\3\0\1\0a", 5 },              /* no recipe */
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        RioDescription d;
        RioError err = { 0 };

        g_assert_false(decode_properties(cases[i].count, cases[i].bytes,
                                         cases[i].len, &d, &err));
        g_assert_cmpuint(err.status, ==, RIO_STATUS_PROTOCOL);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define T(name, func) g_test_add_func("/remote-io/description/" name, func)
    T("survives-a-round-trip", test_round_trip);
    T("every-truncation-is-refused", test_every_truncation_is_refused);
    T("reserved-bytes-must-be-zero", test_reserved_bytes_must_be_zero);
    T("counts-are-bounded", test_counts_are_bounded);
    T("pci-identity-and-interrupts", test_pci);
    T("bars-are-possible-hardware", test_bars);
    T("msix-tables-fit-their-bar", test_msix);
    T("isa-ports-and-irq", test_isa);
    T("sysbus-regions", test_sysbus);
    T("ranges-lie-in-their-region", test_ranges);
    T("properties-of-later-versions-are-skipped",
      test_properties_of_later_versions_are_skipped);
    T("bad-properties-are-refused", test_bad_properties_are_refused);
    return g_test_run();
}
