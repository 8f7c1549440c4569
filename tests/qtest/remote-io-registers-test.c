/*
 * remote-io: loads and stores of a guest reach the module's registers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Register offsets are typed again from the modules' pages on purpose.
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "libqos/pci-pc.h"
#include "remote-io-helpers.h"

#define DEMO_ID 0x00
#define DEMO_LIVENESS 0x08
#define DEMO_SCRATCH 0x0c
#define DEMO_RAM 0x40

#define COUNTER_READS 0x08
#define COUNTER_WRITES 0x10
#define COUNTER_ORDER_LAST 0x28
#define COUNTER_ORDER_ERRORS 0x30
#define COUNTER_COUNT_READ 0x80
#define COUNTER_ORDER 0x98
#define COUNTER_ORDER_WAIT 0xa0

static void setup_pci(RioMachine *t, const char *listen, const char *module)
{
    g_autofree char *options = g_strdup_printf("--module %s,id=m0", module);

    t->server = rio_server_new(listen, options);
    rio_machine_start(t, "-machine pc", NULL, "");
}

/* What was stored in one width is loaded in every other, little-endian */
static void check_widths(RioMachine *t)
{
    uint64_t value;

    qpci_memwrite(t->dev, t->bar, DEMO_RAM, "\1\2\3\4\5\6\7\x88", 8);
    g_assert_cmphex(qpci_io_readb(t->dev, t->bar, DEMO_RAM + 7), ==, 0x88);
    g_assert_cmphex(qpci_io_readw(t->dev, t->bar, DEMO_RAM + 2), ==, 0x0403);
    g_assert_cmphex(qpci_io_readl(t->dev, t->bar, DEMO_RAM + 4), ==,
                    0x88070605);
    value = qpci_io_readq(t->dev, t->bar, DEMO_RAM);
    g_assert_cmphex(value, ==, 0x8807060504030201ull);

    qpci_io_writeb(t->dev, t->bar, DEMO_RAM, 0xa1);
    qpci_io_writew(t->dev, t->bar, DEMO_RAM + 2, 0xb3b2);
    qpci_io_writel(t->dev, t->bar, DEMO_RAM + 4, 0xc7c6c5c4);
    g_assert_cmphex(qpci_io_readq(t->dev, t->bar, DEMO_RAM), ==,
                    0xc7c6c5c4b3b202a1ull);
    qpci_io_writeq(t->dev, t->bar, DEMO_RAM + 8, 0x0123456789abcdefull);
    g_assert_cmphex(qpci_io_readl(t->dev, t->bar, DEMO_RAM + 8), ==,
                    0x89abcdef);
}

static void test_pci_every_width(const void *listen)
{
    RioMachine t = { };

    setup_pci(&t, listen, "demo");
    g_assert_cmphex(qpci_config_readw(t.dev, PCI_VENDOR_ID), ==, 0x1234);
    g_assert_cmphex(qpci_config_readw(t.dev, PCI_DEVICE_ID), ==, 0x10e2);
    g_assert_cmphex(qpci_io_readl(t.dev, t.bar, DEMO_ID), ==, 0x4f4d4544);
    qpci_io_writel(t.dev, t.bar, DEMO_LIVENESS, 0x12345678);
    g_assert_cmphex(qpci_io_readl(t.dev, t.bar, DEMO_LIVENESS), ==,
                    ~0x12345678u);
    check_widths(&t);
    rio_machine_stop(&t);
}

static void test_isa_every_width(void)
{
    RioMachine t = { };
    uint16_t port = 0x200;

    t.server = rio_server_new("unix", "--module demo,id=m0,bus=isa");
    t.qts = rio_qemu("-machine pc -device remote-io-isa,id=d0,server=%s,"
                     "module=m0", t.server->address);
    g_assert_cmphex(qtest_inl(t.qts, port + DEMO_ID), ==, 0x4f4d4544);
    qtest_outb(t.qts, port + DEMO_RAM, 0x11);
    qtest_outb(t.qts, port + DEMO_RAM + 1, 0x22);
    qtest_outw(t.qts, port + DEMO_RAM + 2, 0x4433);
    g_assert_cmphex(qtest_inl(t.qts, port + DEMO_RAM), ==, 0x44332211);
    g_assert_cmphex(qtest_inw(t.qts, port + DEMO_RAM + 1), ==, 0x3322);
    g_assert_cmphex(qtest_inb(t.qts, port + DEMO_RAM + 3), ==, 0x44);
    rio_machine_stop(&t);
}

static void test_isa_moves_with_iobase(void)
{
    RioMachine t = { };

    t.server = rio_server_new("unix", "--module demo,id=m0,bus=isa");
    t.qts = rio_qemu("-machine pc -device remote-io-isa,id=d0,server=%s,"
                     "module=m0,iobase=0x700,irq=7", t.server->address);
    g_assert_cmphex(qtest_inl(t.qts, 0x700), ==, 0x4f4d4544);
    g_assert_cmphex(qtest_inl(t.qts, 0x200), ==, UINT32_MAX);
    rio_machine_stop(&t);
}

/* A width that a range excludes gives all ones and never leaves QEMU */
static void test_excluded_width_makes_no_traffic(void)
{
    RioMachine t = { };
    uint64_t sent;

    setup_pci(&t, "unix", "demo");
    qpci_io_writel(t.dev, t.bar, DEMO_SCRATCH, 0x5a5a5a5a);
    g_assert_cmphex(qpci_io_readl(t.dev, t.bar, DEMO_SCRATCH), ==,
                    0x5a5a5a5a);
    sent = rio_stat(t.qts, "d0", "tx-messages");
    g_assert_cmphex(qpci_io_readb(t.dev, t.bar, DEMO_SCRATCH), ==, 0xff);
    g_assert_cmphex(qpci_io_readw(t.dev, t.bar, DEMO_SCRATCH), ==, 0xffff);
    qpci_io_writeb(t.dev, t.bar, DEMO_SCRATCH, 0);
    g_assert_cmpuint(rio_stat(t.qts, "d0", "tx-messages"), ==, sent);
    g_assert_cmpuint(rio_stat(t.qts, "d0", "refused"), ==, 3);
    g_assert_cmphex(qpci_io_readl(t.dev, t.bar, DEMO_SCRATCH), ==,
                    0x5a5a5a5a);
    rio_machine_stop(&t);
}

/* Posted and waiting stores, mixed, are carried out in the order of issue */
static void test_stores_keep_their_order(const void *listen)
{
    RioMachine t = { };
    uint32_t n;

    setup_pci(&t, listen, "counter");
    for (n = 1; n <= 20000; n++) {
        uint64_t reg = n % 7 ? COUNTER_ORDER : COUNTER_ORDER_WAIT;

        qpci_io_writel(t.dev, t.bar, reg, n);
    }
    g_assert_cmpuint(qpci_io_readq(t.dev, t.bar, COUNTER_WRITES), ==, 20000);
    g_assert_cmpuint(qpci_io_readq(t.dev, t.bar, COUNTER_ORDER_LAST), ==,
                     20000);
    g_assert_cmpuint(qpci_io_readq(t.dev, t.bar, COUNTER_ORDER_ERRORS), ==,
                     0);
    rio_machine_stop(&t);
}

/* The guest moves the BAR: the registers move with it */
static void test_bar_can_move(void)
{
    RioMachine t = { };
    uint64_t to = 0xd0000000;

    setup_pci(&t, "unix", "demo");
    qpci_config_writel(t.dev, PCI_BASE_ADDRESS_0, to);
    g_assert_cmphex(qtest_readl(t.qts, to + DEMO_ID), ==, 0x4f4d4544);
    g_assert_cmphex(qtest_readl(t.qts, t.bar.addr + DEMO_ID), !=,
                    0x4f4d4544);
    qpci_config_writew(t.dev, PCI_COMMAND, 0);
    g_assert_cmphex(qtest_readl(t.qts, to + DEMO_ID), !=, 0x4f4d4544);
    rio_machine_stop(&t);
}

/* Two devices, and two machines, on one server do not see each other */
static void test_devices_are_apart(void)
{
    RioServer *server = rio_server_new("unix", "--module counter,id=a "
                                       "--module demo,id=b");
    QTestState *q[2];
    QPCIBus *bus[2];
    QPCIDevice *a[2], *b;
    QPCIBar bar[2], bar_b;

    q[0] = rio_qemu("-machine pc -name one "
                    "-device remote-io,id=a,addr=4,server=%s,module=a "
                    "-device remote-io,id=b,addr=5,server=%s,module=b",
                    server->address, server->address);
    q[1] = rio_qemu("-machine pc -name two "
                    "-device remote-io,id=a,addr=4,server=%s,module=a",
                    server->address);
    for (int i = 0; i < 2; i++) {
        bus[i] = qpci_new_pc(q[i], NULL);
        a[i] = rio_pci_device(bus[i], 4);
        bar[i] = qpci_iomap(a[i], 0, NULL);
    }
    b = rio_pci_device(bus[0], 5);
    bar_b = qpci_iomap(b, 0, NULL);

    for (unsigned n = 1; n <= 5; n++) {
        g_assert_cmpuint(qpci_io_readl(a[0], bar[0], COUNTER_COUNT_READ), ==,
                         n);
        g_assert_cmphex(qpci_io_readl(b, bar_b, DEMO_ID), ==, 0x4f4d4544);
    }
    g_assert_cmpuint(qpci_io_readl(a[1], bar[1], COUNTER_COUNT_READ), ==, 1);
    g_assert_cmpuint(qpci_io_readq(a[0], bar[0], COUNTER_READS), ==, 5);
    for (int i = 0; i < 2; i++) {
        g_free(a[i]);
        if (i == 0) {
            g_free(b);
        }
        qpci_free_pc(bus[i]);
        qtest_quit(q[i]);
    }
    rio_server_free(server);
}

static bool has_ipv6(void)
{
    return g_file_test("/proc/net/if_inet6", G_FILE_TEST_EXISTS);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_data_func("/remote-io/registers/every-width/unix", "unix",
                        test_pci_every_width);
    qtest_add_data_func("/remote-io/registers/every-width/tcp4",
                        "tcp:127.0.0.1:0", test_pci_every_width);
    if (has_ipv6()) {
        qtest_add_data_func("/remote-io/registers/every-width/tcp6",
                            "tcp:[::1]:0", test_pci_every_width);
    }
    qtest_add_func("/remote-io/registers/every-width/isa",
                   test_isa_every_width);
    qtest_add_func("/remote-io/registers/isa-moves-with-iobase",
                   test_isa_moves_with_iobase);
    qtest_add_func("/remote-io/registers/excluded-width-makes-no-traffic",
                   test_excluded_width_makes_no_traffic);
    qtest_add_data_func("/remote-io/registers/stores-keep-their-order/unix",
                        "unix", test_stores_keep_their_order);
    qtest_add_data_func("/remote-io/registers/stores-keep-their-order/tcp4",
                        "tcp:127.0.0.1:0", test_stores_keep_their_order);
    qtest_add_func("/remote-io/registers/bar-can-move", test_bar_can_move);
    qtest_add_func("/remote-io/registers/devices-are-apart",
                   test_devices_are_apart);
    return g_test_run();
}
