/*
 * remote-io: plugging devices in and out while the machine runs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqos/pci-pc.h"
#include "qobject/qdict.h"
#include "remote-io-helpers.h"

#define DEMO_ID 0x00
#define COUNTER_COUNT_READ 0x80

#define CYCLES 200
#define WARM_UP 20

/* QMP device_add; returns the reply's error text, or NULL */
static char *device_add(QTestState *qts, const char *driver,
                        const char *server, const char *module,
                        const char *bus, const char *addr)
{
    QDict *rsp = qtest_qmp(qts, "{ 'execute': 'device_add', 'arguments': "
                           "{ 'driver': %s, 'id': 'hot', 'server': %s, "
                           "'module': %s, 'bus': %s, 'addr': %s } }",
                           driver, server, module, bus, addr);
    QDict *error = qdict_get_qdict(rsp, "error");
    char *text = error ? g_strdup(qdict_get_str(error, "desc")) : NULL;

    qobject_unref(rsp);
    return text;
}

static void device_del(QTestState *qts)
{
    qtest_qmp_device_del_send(qts, "hot");
    qtest_qmp_eventwait(qts, "DEVICE_DELETED");
}

/* On i440fx a device is ejected by a write to the hotplug controller */
static void eject_pc(QTestState *qts, int slot)
{
    qtest_qmp_device_del_send(qts, "hot");
    qtest_outl(qts, 0xae08, 1u << slot);
    qtest_qmp_eventwait(qts, "DEVICE_DELETED");
}

static void check_works(QTestState *qts, int slot)
{
    QPCIBus *bus = qpci_new_pc(qts, NULL);
    QPCIDevice *dev = rio_pci_device(bus, slot);
    QPCIBar bar = qpci_iomap(dev, 0, NULL);

    g_assert_cmphex(qpci_io_readl(dev, bar, DEMO_ID), ==, 0x4f4d4544);
    g_free(dev);
    qpci_free_pc(bus);
}

static void test_pc_plug_and_unplug(void)
{
    RioServer *server = rio_server_new("unix", "--module demo,id=m0");
    QTestState *qts = rio_qemu("-machine pc");

    for (int i = 0; i < 3; i++) {
        g_assert_null(device_add(qts, "remote-io", server->address, "m0",
                                 "pci.0", "5"));
        check_works(qts, 5);
        eject_pc(qts, 5);
    }
    qtest_quit(qts);
    rio_server_free(server);
}

/*
 * The port's own hotplug, not ACPI's: a guest without a driver for it leaves
 * the slot powered off, so a request to unplug is carried out at once.
 */
static void test_q35_root_port_plug_and_unplug(void)
{
    RioServer *server = rio_server_new("unix", "--module demo,id=m0");
    QTestState *qts = rio_qemu("-machine q35 -device pcie-root-port,id=rp0,"
                               "slot=1 -global ICH9-LPC.acpi-pci-hotplug-"
                               "with-bridge-support=off");

    for (int i = 0; i < 3; i++) {
        g_assert_null(device_add(qts, "remote-io", server->address, "m0",
                                 "rp0", "0"));
        g_assert_cmpuint(rio_stat(qts, "hot", "failed"), ==, 0);
        device_del(qts);
    }
    qtest_quit(qts);
    rio_server_free(server);
}

typedef struct Size {
    unsigned files, threads, resident;
} Size;

static Size size_of(pid_t pid)
{
    return (Size) {
        .files = rio_count_files(pid),
        .threads = rio_count_threads(pid),
        .resident = rio_resident_kib(pid),
    };
}

static void check_no_growth(const Size *before, const Size *after)
{
    g_assert_cmpuint(after->files, <=, before->files);
    g_assert_cmpuint(after->threads, <=, before->threads);
#ifndef __SANITIZE_ADDRESS__    /* which keeps freed memory, and finds leaks */
    /* Less than 8 KiB for each cycle would hide in the allocator */
    g_assert_cmpuint(after->resident, <, before->resident + 1024);
#endif
}

static void test_many_cycles_do_not_grow(void)
{
    RioServer *server = rio_server_new("unix", "--module demo,id=m0");
    QTestState *qts = rio_qemu("-machine pc");
    Size qemu = { }, peer = { }, now;

    for (int i = 0; i < CYCLES; i++) {
        if (i == WARM_UP) {
            qemu = size_of(qtest_pid(qts));
            peer = size_of(server->pid);
        }
        g_assert_null(device_add(qts, "remote-io", server->address, "m0",
                                 "pci.0", "5"));
        if (i % 10 == 0) {
            check_works(qts, 5);
        }
        eject_pc(qts, 5);
    }
    now = size_of(qtest_pid(qts));
    check_no_growth(&qemu, &now);
    now = size_of(server->pid);
    check_no_growth(&peer, &now);
    qtest_quit(qts);
    rio_server_free(server);
}

/* Each refusal names what is wrong, and leaves QEMU as it was */
static void test_refused_plug_leaves_nothing(void)
{
    static const struct {
        const char *driver, *module, *says;
    } cases[] = {
        { "remote-io", "nobody", "nobody" },
        { "remote-io", "isa0", "remote-io-isa" },
        { "remote-io", "taken", "taken" },
    };
    RioServer *server = rio_server_new("unix", "--module demo,id=m0 "
                                       "--module demo,id=taken "
                                       "--module demo,id=isa0,bus=isa");
    QTestState *other = rio_qemu("-machine pc -name other -device remote-io,"
                                 "server=%s,module=taken", server->address);
    QTestState *qts = rio_qemu("-machine pc");
    Size before, after;

    before = size_of(qtest_pid(qts));
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        g_autofree char *text = device_add(qts, cases[i].driver,
                                           server->address, cases[i].module,
                                           "pci.0", "5");

        g_assert_nonnull(text);
        g_test_message("%s", text);
        g_assert_nonnull(strstr(text, cases[i].says));
        g_assert_null(strchr(text, '\n'));
    }
    after = size_of(qtest_pid(qts));
    g_assert_cmpuint(after.files, ==, before.files);
    g_assert_cmpuint(after.threads, ==, before.threads);

    g_assert_null(device_add(qts, "remote-io", server->address, "m0",
                             "pci.0", "5"));
    check_works(qts, 5);
    qtest_quit(qts);
    qtest_quit(other);
    rio_server_free(server);
}

static void test_plug_works_once_the_server_does(void)
{
    RioServer *server = rio_server_new("unix", "--module demo,id=m0");
    QTestState *qts = rio_qemu("-machine pc");
    g_autofree char *text = NULL;

    rio_server_kill(server, SIGTERM);
    text = device_add(qts, "remote-io", server->address, "m0", "pci.0", "5");
    g_assert_nonnull(text);
    g_assert_nonnull(strstr(text, server->address));
    rio_server_start(server, "--module demo,id=m0");
    g_assert_null(device_add(qts, "remote-io", server->address, "m0",
                             "pci.0", "5"));
    check_works(qts, 5);
    qtest_quit(qts);
    rio_server_free(server);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/remote-io/hotplug/pc-plug-and-unplug",
                   test_pc_plug_and_unplug);
    qtest_add_func("/remote-io/hotplug/q35-root-port-plug-and-unplug",
                   test_q35_root_port_plug_and_unplug);
    qtest_add_func("/remote-io/hotplug/many-cycles-do-not-grow",
                   test_many_cycles_do_not_grow);
    qtest_add_func("/remote-io/hotplug/refused-plug-leaves-nothing",
                   test_refused_plug_leaves_nothing);
    qtest_add_func("/remote-io/hotplug/plug-works-once-the-server-does",
                   test_plug_works_once_the_server_does);
    return g_test_run();
}
