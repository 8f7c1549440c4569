/*
 * remote-io: the machine is saved and loaded, with the state of its modules
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "libqos/libqos.h"
#include "libqos/pci-pc.h"
#include "qobject/qdict.h"
#include "remote-io-helpers.h"

#define COUNTER_READS 0x08
#define COUNTER_COUNT_READ 0x80

#define DEMO_SCRATCH 0x0c
#define DEMO_FACTORIAL 0x10
#define DEMO_STATUS 0x14
#define DEMO_IRQ_STATUS 0x1c
#define DEMO_IRQ_ENABLE 0x20
#define DEMO_IRQ_RAISE 0x24
#define DEMO_IRQ_ACK 0x28

#define UART 0x3e8
#define UART_SCRATCH (UART + 7)

#define MACHINE "-machine q35 -m 32 -nodefaults"

typedef struct Setup {
    RioMachine m;
    char *dir, *disk;           /* where the snapshots are */
} Setup;

static void setup(Setup *t, const char *module)
{
    g_autofree char *options = g_strdup_printf("--module %s,id=m0", module);
    g_autofree char *machine = NULL;

    t->m.server = rio_server_new("unix", options);
    t->dir = g_dir_make_tmp("remote-io-XXXXXX", NULL);
    t->disk = g_build_filename(t->dir, "disk", NULL);
    mkqcow2(t->disk, 64);
    machine = g_strdup_printf(MACHINE " -blockdev driver=qcow2,node-name=disk,"
                              "file.driver=file,file.filename=%s", t->disk);
    rio_machine_start(&t->m, machine, NULL, ",loss-timeout=2000");
}

static void teardown(Setup *t)
{
    rio_machine_stop(&t->m);
    unlink(t->disk);
    g_assert_cmpint(rmdir(t->dir), ==, 0);
    g_free(t->disk);
    g_free(t->dir);
}

static uint32_t load(Setup *t, unsigned offset)
{
    return qpci_io_readl(t->m.dev, t->m.bar, offset);
}

static void store(Setup *t, unsigned offset, uint32_t value)
{
    qpci_io_writel(t->m.dev, t->m.bar, offset, value);
}

/* Returns: what went wrong, or NULL */
static char *hmp(Setup *t, const char *command)
{
    char *text = g_strstrip(qtest_hmp(t->m.qts, "%s", command));

    if (*text) {
        g_test_message("%s", text);
        return text;
    }
    g_free(text);
    return NULL;
}

static bool line_is_high(Setup *t)
{
    return qpci_config_readw(t->m.dev, PCI_STATUS) & PCI_STATUS_INTERRUPT;
}

static void test_registers_and_counts_are_as_saved(void)
{
    Setup t = { };

    setup(&t, "counter");
    for (unsigned i = 1; i <= 5; i++) {
        g_assert_cmpuint(load(&t, COUNTER_COUNT_READ), ==, i);
    }
    g_assert_null(hmp(&t, "savevm s"));
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 6; i <= 6 + round; i++) {
            g_assert_cmpuint(load(&t, COUNTER_COUNT_READ), ==, i);
        }
        g_assert_null(hmp(&t, "loadvm s"));
        g_assert_cmpuint(load(&t, COUNTER_READS), ==, 5);
    }
    g_assert_cmpuint(load(&t, COUNTER_COUNT_READ), ==, 6);
    g_assert_cmpuint(rio_stat(t.m.qts, "d0", "failed"), ==, 0);
    teardown(&t);
}

/* Whichever level it has when the other is loaded */
static void test_line_is_as_saved(void)
{
    Setup t = { };

    setup(&t, "demo");
    store(&t, DEMO_IRQ_ENABLE, 1);
    g_assert_cmphex(load(&t, DEMO_IRQ_STATUS), ==, 0);
    store(&t, DEMO_SCRATCH, 0x10);
    g_assert_null(hmp(&t, "savevm low"));
    store(&t, DEMO_IRQ_RAISE, 1);
    store(&t, DEMO_SCRATCH, 0x11);
    g_assert_cmphex(load(&t, DEMO_IRQ_STATUS), ==, 1);
    g_assert_true(line_is_high(&t));
    g_assert_null(hmp(&t, "savevm high"));
    for (unsigned i = 0; i < 3; i++) {
        g_assert_null(hmp(&t, "loadvm low"));
        g_assert_cmphex(load(&t, DEMO_IRQ_STATUS), ==, 0);
        g_assert_cmphex(load(&t, DEMO_SCRATCH), ==, 0x10);
        g_assert_false(line_is_high(&t));
        g_assert_null(hmp(&t, "loadvm high"));
        g_assert_cmphex(load(&t, DEMO_IRQ_STATUS), ==, 1);
        g_assert_cmphex(load(&t, DEMO_SCRATCH), ==, 0x11);
        g_assert_true(line_is_high(&t));
        g_assert_null(hmp(&t, "loadvm high"));
        g_assert_true(line_is_high(&t));    /* not only after an access */
        g_assert_cmphex(load(&t, DEMO_IRQ_STATUS), ==, 1);
    }
    store(&t, DEMO_IRQ_ACK, 1);
    g_assert_cmphex(load(&t, DEMO_IRQ_STATUS), ==, 0);
    g_assert_false(line_is_high(&t));
    teardown(&t);
}

static void test_isa_device_is_as_saved(void)
{
    Setup t = { };

    t.m.server = rio_server_new("unix", "--chardev null,id=c "
                                "--module uart16550,id=m0,chardev=c");
    t.dir = g_dir_make_tmp("remote-io-XXXXXX", NULL);
    t.disk = g_build_filename(t.dir, "disk", NULL);
    mkqcow2(t.disk, 64);
    t.m.qts = rio_qemu(MACHINE " -device remote-io-isa,id=d0,server=%s,"
                       "module=m0,iobase=%d -blockdev driver=qcow2,"
                       "node-name=disk,file.driver=file,file.filename=%s",
                       t.m.server->address, UART, t.disk);
    qtest_outb(t.m.qts, UART_SCRATCH, 0x5a);
    g_assert_null(hmp(&t, "savevm s"));
    qtest_outb(t.m.qts, UART_SCRATCH, 0xa5);
    g_assert_null(hmp(&t, "loadvm s"));
    g_assert_cmphex(qtest_inb(t.m.qts, UART_SCRATCH), ==, 0x5a);
    teardown(&t);
}

/* The error names device and module, and everything goes on */
static void test_silent_server_refuses(void)
{
    g_autofree char *save = NULL, *name = NULL;
    Setup t = { };

    setup(&t, "demo");
    store(&t, DEMO_SCRATCH, 0x10);
    g_assert_null(hmp(&t, "savevm s"));
    rio_server_kill(t.m.server, SIGSTOP);
    save = hmp(&t, "savevm bad");
    g_assert_nonnull(save);
    g_assert_nonnull(strstr(save, "d0"));
    g_assert_nonnull(strstr(save, "m0"));
    rio_server_kill(t.m.server, SIGCONT);
    g_assert_cmphex(load(&t, DEMO_SCRATCH), ==, 0x10);
    store(&t, DEMO_SCRATCH, 0x11);
    /* The module works on: what it does by itself is done */
    store(&t, DEMO_FACTORIAL, 5);
    while (load(&t, DEMO_STATUS) & 1) {
        g_assert_cmphex(load(&t, DEMO_SCRATCH), ==, 0x11);
    }
    g_assert_cmpuint(load(&t, DEMO_FACTORIAL), ==, 120);
    g_assert_null(hmp(&t, "loadvm s"));
    g_assert_cmphex(load(&t, DEMO_SCRATCH), ==, 0x10);
    teardown(&t);
}

static void test_detached_device_needs_no_module(void)
{
    g_autofree char *text = NULL;
    Setup t = { };

    setup(&t, "demo");
    store(&t, DEMO_SCRATCH, 0x10);
    g_assert_null(hmp(&t, "remote-io-detach d0"));
    g_assert_null(hmp(&t, "savevm s"));
    g_assert_null(hmp(&t, "loadvm s"));
    g_assert_cmphex(load(&t, DEMO_SCRATCH), ==, 0xffffffff);
    g_assert_null(hmp(&t, "remote-io-attach d0"));
    text = hmp(&t, "loadvm s");
    g_assert_nonnull(text);
    g_assert_cmphex(rio_stat(t.m.qts, "d0", "reconnects"), ==, 0);
    teardown(&t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (!have_qemu_img()) {
        printf("1..0 # SKIP no qemu-img: nothing to save to\n");
        return 0;
    }
    qtest_add_func("/remote-io/snapshot/registers-and-counts-are-as-saved",
                   test_registers_and_counts_are_as_saved);
    qtest_add_func("/remote-io/snapshot/line-is-as-saved",
                   test_line_is_as_saved);
    qtest_add_func("/remote-io/snapshot/isa-device-is-as-saved",
                   test_isa_device_is_as_saved);
    qtest_add_func("/remote-io/snapshot/silent-server-refuses",
                   test_silent_server_refuses);
    qtest_add_func("/remote-io/snapshot/detached-device-needs-no-module",
                   test_detached_device_needs_no_module);
    return g_test_run();
}
