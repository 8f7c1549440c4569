/*
 * The null module, register by register
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "remote-io-module-host.h"

const RioModule *rio_module_null_init(void);

static FakeHost *start(const char *params)
{
    return fake_start(rio_module_null_init(), params);
}

static void test_reads_give_zero(void)
{
    FakeHost *h = start("");

    g_assert_cmphex(fake_read(h, 0, 4), ==, 0);
    g_assert_cmphex(fake_read(h, 0xff8, 8), ==, 0);
    fake_close(h);
}

static void test_reads_give_the_value_parameter(void)
{
    FakeHost *h = start("value=0x1122334455667788");

    g_assert_cmphex(fake_read(h, 0, 8), ==, 0x1122334455667788ull);
    g_assert_cmphex(fake_read(h, 0x123, 1), ==, 0x88);
    fake_close(h);
}

static void test_writes_are_dropped(void)
{
    FakeHost *h = start("");

    fake_write(h, 0, 8, UINT64_MAX);
    fake_write(h, 0xff0, 4, 0xffffffff);
    g_assert_cmphex(fake_read(h, 0, 8), ==, 0);
    g_assert_cmphex(fake_read(h, 0xff0, 8), ==, 0);
    g_assert_cmpuint(h->guest_errors, ==, 0);
    fake_close(h);
}

/* Posted everywhere but in the last 16 bytes, and pure everywhere */
static void test_one_range_waits(void)
{
    FakeHost *h = start("");
    uint64_t offset;

    for (offset = 0; offset < 0x1000; offset++) {
        g_assert_cmphex(fake_attrs(h, offset), ==,
                        RIO_MODULE_PURE |
                        (offset < 0xff0 ? RIO_MODULE_POSTED : 0));
    }
    fake_close(h);
}

static void test_pci_identity(void)
{
    FakeHost *h = start("bus=pci");

    g_assert_cmpuint(h->info.bus, ==, RIO_MODULE_PCI);
    g_assert_cmphex(h->info.vendor_id, ==, 0x1234);
    g_assert_cmphex(h->info.device_id, ==, 0x10e0);
    g_assert_cmpuint(h->info.regions[0].space, ==, RIO_MODULE_MMIO);
    g_assert_cmpuint(h->info.regions[0].size, ==, 4096);
    fake_close(h);
}

static void test_isa_ports(void)
{
    FakeHost *h = start("bus=isa,iobase=0x320");

    g_assert_cmpuint(h->info.bus, ==, RIO_MODULE_ISA);
    g_assert_cmpuint(h->info.regions[0].space, ==, RIO_MODULE_PIO);
    g_assert_cmphex(h->info.regions[0].base, ==, 0x320);
    g_assert_cmpuint(h->info.regions[0].size, ==, 16);
    g_assert_cmphex(fake_read(h, 0xf, 1), ==, 0);
    fake_close(h);
}

static void test_bad_parameters_are_refused(void)
{
    FakeHost *h = fake_open(rio_module_null_init(), "bus=usb");

    g_assert_nonnull(strstr(h->failure->str, "bus=usb"));
    fake_close(h);
    h = fake_open(rio_module_null_init(), "bus=isa,iobase=0xfff8");
    g_assert_nonnull(strstr(h->failure->str, "iobase=0xfff8"));
    fake_close(h);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/null/reads-give-zero", test_reads_give_zero);
    g_test_add_func("/null/reads-give-the-value-parameter",
                    test_reads_give_the_value_parameter);
    g_test_add_func("/null/writes-are-dropped", test_writes_are_dropped);
    g_test_add_func("/null/one-range-waits", test_one_range_waits);
    g_test_add_func("/null/pci-identity", test_pci_identity);
    g_test_add_func("/null/isa-ports", test_isa_ports);
    g_test_add_func("/null/bad-parameters-are-refused",
                    test_bad_parameters_are_refused);
    return g_test_run();
}
