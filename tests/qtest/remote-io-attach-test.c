/*
 * remote-io: devices are detached and attached while the machine runs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "libqos/pci-pc.h"
#include "qobject/qdict.h"
#include "remote-io-helpers.h"

#define DEMO_ID 0x00
#define DEMO_SCRATCH 0x0c
#define DEMO_IRQ_STATUS 0x1c
#define DEMO_IRQ_ENABLE 0x20
#define DEMO_IRQ_RAISE 0x24
#define DEMO_ID_VALUE 0x4f4d4544

#define ALL_ONES 0xffffffff

/* Registers of a root port's PCI Express capability */
#define SLOT_STATUS 0x1a
#define SLOT_PRESENT (1 << 6)
#define SLOT_CHANGED (1 << 3)

/* Takes over @rsp.  Returns: the error's text, or NULL */
static char *error_of(QDict *rsp)
{
    QDict *error = qdict_get_qdict(rsp, "error");
    char *text = error ? g_strdup(qdict_get_str(error, "desc")) : NULL;

    if (text) {
        g_test_message("%s", text);
        g_assert_null(strchr(text, '\n'));
    }
    qobject_unref(rsp);
    return text;
}

static char *detach(QTestState *qts)
{
    return error_of(qtest_qmp(qts, "{ 'execute': 'remote-io-detach', "
                              "'arguments': { 'id': 'd0' } }"));
}

static char *pull_out(QTestState *qts)
{
    return error_of(qtest_qmp(qts, "{ 'execute': 'remote-io-detach', "
                              "'arguments': { 'id': 'd0', "
                              "'surprise': true } }"));
}

static char *attach(QTestState *qts)
{
    return error_of(qtest_qmp(qts, "{ 'execute': 'remote-io-attach', "
                              "'arguments': { 'id': 'd0' } }"));
}

static char *attach_to(QTestState *qts, const char *server,
                       const char *module)
{
    return error_of(qtest_qmp(qts, "{ 'execute': 'remote-io-attach', "
                              "'arguments': { 'id': 'd0', 'server': %s, "
                              "'module': %s } }", server, module));
}

static void expect_event(QTestState *qts, const char *name,
                         const char *server, const char *module)
{
    QDict *event = qtest_qmp_eventwait_ref(qts, name);
    QDict *data = qdict_get_qdict(event, "data");

    g_assert_cmpstr(qdict_get_str(data, "id"), ==, "d0");
    g_assert_cmpstr(qdict_get_str(data, "module"), ==, module);
    g_assert_cmpstr(qdict_get_str(data, "server"), ==, server);
    g_assert_cmpint(strlen(qdict_get_str(data, "reason")), >, 0);
    qobject_unref(event);
}

static void check_state(QTestState *qts, const char *state,
                        const char *module)
{
    QDict *info = rio_info(qts, "d0");

    g_assert_cmpstr(qdict_get_str(info, "state"), ==, state);
    g_assert_cmpstr(qdict_get_str(info, "module"), ==, module);
    qobject_unref(info);
}

static uint32_t load(RioMachine *m, unsigned offset)
{
    return qpci_io_readl(m->dev, m->bar, offset);
}

static void store(RioMachine *m, unsigned offset, uint32_t value)
{
    qpci_io_writel(m->dev, m->bar, offset, value);
}

static bool line_is_high(RioMachine *m)
{
    return qpci_config_readw(m->dev, PCI_STATUS) & PCI_STATUS_INTERRUPT;
}

static void raise_line(RioMachine *m)
{
    store(m, DEMO_IRQ_ENABLE, 1);
    store(m, DEMO_IRQ_RAISE, 1);
    g_assert_cmphex(load(m, DEMO_IRQ_STATUS), ==, 1);
    g_assert_true(line_is_high(m));
}

static void check_quiet(RioMachine *m)
{
    uint64_t failed = rio_stat(m->qts, "d0", "failed");

    check_state(m->qts, "detached", "m0");
    g_assert_false(line_is_high(m));
    g_assert_cmphex(load(m, DEMO_ID), ==, ALL_ONES);
    store(m, DEMO_SCRATCH, 7);
    g_assert_cmphex(load(m, DEMO_SCRATCH), ==, ALL_ONES);
    g_assert_cmpuint(rio_stat(m->qts, "d0", "failed"), ==, failed + 3);
}

/* As after power-on, and at work */
static void check_new(RioMachine *m)
{
    g_assert_cmphex(load(m, DEMO_ID), ==, DEMO_ID_VALUE);
    g_assert_cmphex(load(m, DEMO_SCRATCH), ==, 0);
    g_assert_cmphex(load(m, DEMO_IRQ_ENABLE), ==, 0);
    store(m, DEMO_SCRATCH, 0x1234);
    g_assert_cmphex(load(m, DEMO_SCRATCH), ==, 0x1234);
    raise_line(m);
}

static void test_detached_device_is_quiet_until_attached(void)
{
    RioMachine m = { .server = rio_server_new("unix", "--module demo,id=m0") };

    rio_machine_start(&m, "-machine q35", NULL, "");
    for (int i = 0; i < 20; i++) {
        check_new(&m);
        g_assert_null(detach(m.qts));
        expect_event(m.qts, "REMOTE_IO_DETACHED", m.server->address, "m0");
        check_quiet(&m);
        g_assert_null(attach(m.qts));
        expect_event(m.qts, "REMOTE_IO_ATTACHED", m.server->address, "m0");
        check_state(m.qts, "connected", "m0");
        g_assert_false(line_is_high(&m));
    }
    g_assert_cmpuint(rio_stat(m.qts, "d0", "reconnects"), ==, 0);
    rio_machine_stop(&m);
}

static void test_detached_device_frees_its_module(void)
{
    RioMachine m = { .server = rio_server_new("unix", "--module demo,id=m0") };
    g_autofree char *text = NULL;
    QTestState *other;

    rio_machine_start(&m, "-machine q35 -name one", NULL, "");
    g_assert_null(detach(m.qts));
    other = rio_qemu("-machine q35 -name other -device remote-io,server=%s,"
                     "module=m0", m.server->address);
    text = attach(m.qts);
    g_assert_nonnull(text);
    g_assert_nonnull(strstr(text, "is taken"));
    check_quiet(&m);
    qtest_quit(other);
    g_assert_null(attach(m.qts));
    check_new(&m);
    rio_machine_stop(&m);
}

static void test_attach_to_another_server(void)
{
    RioMachine m = { .server = rio_server_new("unix", "--module demo,id=m0") };
    RioServer *second = rio_server_new("unix", "--module demo,id=m1");
    g_autofree char *first = g_strdup(m.server->address);

    rio_machine_start(&m, "-machine q35", NULL, "");
    for (int i = 0; i < 5; i++) {
        g_assert_null(detach(m.qts));
        g_assert_null(attach_to(m.qts, second->address, "m1"));
        expect_event(m.qts, "REMOTE_IO_ATTACHED", second->address, "m1");
        check_state(m.qts, "connected", "m1");
        check_new(&m);
        g_assert_null(detach(m.qts));
        g_assert_null(attach_to(m.qts, first, "m0"));
        expect_event(m.qts, "REMOTE_IO_ATTACHED", first, "m0");
        check_new(&m);
    }
    rio_server_free(second);
    rio_machine_stop(&m);
}

/* Each refusal names what differs, and leaves device and module alone */
static void test_another_device_is_not_attached(void)
{
    static const struct {
        const char *module, *says;
    } cases[] = {
        { "other", "device id is" },
        { "vectors", "number of MSI-X vectors is 0x8, not 0x4" },
        { "isa", "bus" },
        { "nobody", "nobody" },
    };
    RioMachine m = {
        .server = rio_server_new("unix", "--module demo,id=m0,msix=4 "
                                 "--module counter,id=other "
                                 "--module demo,id=vectors,msix=8 "
                                 "--module demo,id=isa,bus=isa"),
    };
    g_autofree char *address = g_strdup(m.server->address);

    rio_machine_start(&m, "-machine q35", NULL, "");
    g_assert_null(detach(m.qts));
    for (int i = 0; i < ARRAY_SIZE(cases) * 2; i++) {
        const char *module = cases[i % ARRAY_SIZE(cases)].module;
        const char *says = cases[i % ARRAY_SIZE(cases)].says;
        g_autofree char *text = attach_to(m.qts, address, module);

        g_assert_nonnull(text);
        g_assert_nonnull(strstr(text, says));
        check_quiet(&m);
    }
    g_assert_null(attach(m.qts));
    check_new(&m);
    rio_machine_stop(&m);
}

static void test_commands_out_of_place_are_refused(void)
{
    RioMachine m = { .server = rio_server_new("unix", "--module demo,id=m0") };
    g_autofree char *attached = NULL, *detached = NULL, *nobody = NULL;
    g_autofree char *fixed = NULL, *address = NULL;

    rio_machine_start(&m, "-machine q35", NULL, "");
    attached = attach(m.qts);
    g_assert_nonnull(strstr(attached, "use remote-io-detach"));
    fixed = pull_out(m.qts);
    g_assert_nonnull(strstr(fixed, "cannot be pulled out"));
    check_new(&m);
    g_assert_null(detach(m.qts));
    detached = detach(m.qts);
    g_assert_nonnull(strstr(detached, "detached already"));
    address = attach_to(m.qts, "nonsense", "m0");
    g_assert_nonnull(strstr(address, "nonsense"));
    nobody = error_of(qtest_qmp(m.qts, "{ 'execute': 'remote-io-detach', "
                                "'arguments': { 'id': 'nobody' } }"));
    g_assert_nonnull(strstr(nobody, "nobody"));
    check_quiet(&m);
    qtest_system_reset(m.qts);
    qpci_device_enable(m.dev);
    m.bar = qpci_iomap(m.dev, 0, NULL);
    check_quiet(&m);
    rio_machine_stop(&m);
}

/* While the server is silent, the machine and its monitor are not */
static void test_attach_holds_up_nobody(void)
{
    RioMachine m = { .server = rio_server_new("unix", "--module demo,id=m0") };

    rio_machine_start(&m, "-machine q35", NULL, ",connect-timeout=60000");
    g_assert_null(detach(m.qts));
    rio_server_kill(m.server, SIGSTOP);
    qtest_qmp_send(m.qts, "{ 'execute': 'remote-io-attach', "
                   "'arguments': { 'id': 'd0' } }");
    for (int i = 0; i < 50; i++) {
        g_assert_cmphex(load(&m, DEMO_ID), ==, ALL_ONES);
        qtest_clock_step(m.qts, 1000);
    }
    rio_server_kill(m.server, SIGCONT);
    g_assert_null(error_of(qtest_qmp_receive(m.qts)));
    check_new(&m);
    rio_machine_stop(&m);
}

static void test_detach_does_not_need_the_server(void)
{
    RioMachine m = { .server = rio_server_new("unix", "--module demo,id=m0") };
    g_autofree char *text = NULL;

    rio_machine_start(&m, "-machine q35", NULL, ",connect-timeout=60000");
    rio_server_kill(m.server, SIGSTOP);
    store(&m, DEMO_SCRATCH, 1);
    g_assert_null(detach(m.qts));
    check_quiet(&m);
    rio_server_kill(m.server, SIGCONT);
    g_assert_null(attach(m.qts));
    check_new(&m);

    rio_server_kill(m.server, SIGKILL);
    g_assert_null(detach(m.qts));
    text = attach(m.qts);
    g_assert_nonnull(strstr(text, m.server->address));
    check_quiet(&m);
    rio_server_start(m.server, "--module demo,id=m0");
    g_assert_null(attach(m.qts));
    check_new(&m);
    rio_machine_stop(&m);
}

static bool job_is_over(QTestState *qts)
{
    QDict *rsp = qtest_qmp(qts, "{ 'execute': 'query-jobs' }");
    QList *jobs = qdict_get_qlist(rsp, "return");
    QDict *job = qobject_to(QDict, qlist_peek(jobs));
    bool over = g_str_equal(qdict_get_str(job, "status"), "concluded");

    qobject_unref(rsp);
    return over;
}

static void start_move(QTestState *qts)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'remote-io-move', "
                             "'arguments': { 'id': 'd0', 'server': 'other', "
                             "'job-id': 'j0' } }");
}

/* It neither holds up the monitor nor the end of the machine */
static void test_cancelled_move_does_not_need_the_server(void)
{
    RioMachine m = { .server = rio_server_new("unix", "--module demo,id=m0") };

    rio_machine_start(&m, "-machine q35", NULL, ",connect-timeout=300");
    rio_server_kill(m.server, SIGSTOP);
    start_move(m.qts);
    qtest_qmp_assert_success(m.qts, "{ 'execute': 'job-cancel', "
                             "'arguments': { 'id': 'j0' } }");
    while (!job_is_over(m.qts)) {
        g_usleep(1000);
    }
    qtest_qmp_assert_success(m.qts, "{ 'execute': 'job-dismiss', "
                             "'arguments': { 'id': 'j0' } }");
    start_move(m.qts);
    g_free(m.dev);
    qpci_free_pc(m.bus);
    qtest_quit(m.qts);
    rio_server_kill(m.server, SIGCONT);
    rio_server_free(m.server);
}

static void test_detached_device_can_be_unplugged(void)
{
    RioMachine m = { .server = rio_server_new("unix", "--module demo,id=m0") };

    rio_machine_start(&m, "-machine pc", NULL, "");
    g_assert_null(detach(m.qts));
    qtest_qmp_device_del_send(m.qts, "d0");
    qtest_outl(m.qts, 0xae08, 1u << 4);
    qtest_qmp_eventwait(m.qts, "DEVICE_DELETED");
    rio_machine_stop(&m);
}

/* A device in a root port's slot: pulled out by command, or by policy */
static void test_surprise_removal_tells_the_slot(const void *policy)
{
    RioServer *server = rio_server_new("unix", "--module demo,id=m0");
    QTestState *qts;
    QPCIDevice *port;
    QPCIBus *bus;
    uint16_t status;
    uint8_t cap;

    qts = rio_qemu("-machine q35 -global ICH9-LPC.acpi-pci-hotplug-with-"
                   "bridge-support=off -device pcie-root-port,id=rp0,slot=1,"
                   "addr=5 -device remote-io,id=d0,bus=rp0,server=%s,"
                   "module=m0%s", server->address,
                   policy ? ",on-loss=unplug,loss-timeout=100" : "");
    bus = qpci_new_pc(qts, NULL);
    port = qpci_device_find(bus, QPCI_DEVFN(5, 0));
    g_assert_nonnull(port);
    cap = qpci_find_capability(port, PCI_CAP_ID_EXP, 0);
    status = qpci_config_readw(port, cap + SLOT_STATUS);
    g_assert_cmphex(status & SLOT_PRESENT, !=, 0);

    if (policy) {
        rio_server_kill(server, SIGKILL);
        expect_event(qts, "REMOTE_IO_LOST", server->address, "m0");
    } else {
        g_assert_null(pull_out(qts));
    }
    expect_event(qts, "REMOTE_IO_DETACHED", server->address, "m0");
    qtest_qmp_eventwait(qts, "DEVICE_DELETED");
    status = qpci_config_readw(port, cap + SLOT_STATUS);
    g_assert_cmphex(status & SLOT_PRESENT, ==, 0);
    g_assert_cmphex(status & SLOT_CHANGED, !=, 0);
    g_free(port);
    qpci_free_pc(bus);
    qtest_quit(qts);
    rio_server_free(server);
}

/* The server is back, but with a device that was reset */
static void test_lost_state_unplugs(void)
{
    RioMachine m = { .server = rio_server_new("unix", "--module demo,id=m0") };

    rio_machine_start(&m, "-machine pc", NULL,
                      ",on-loss=unplug,loss-timeout=60000");
    rio_server_kill(m.server, SIGKILL);
    rio_server_start(m.server, "--module demo,id=m0");
    expect_event(m.qts, "REMOTE_IO_LOST", m.server->address, "m0");
    expect_event(m.qts, "REMOTE_IO_DETACHED", m.server->address, "m0");
    qtest_qmp_eventwait(m.qts, "DEVICE_DELETED");
    rio_machine_stop(&m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/remote-io/attach/detached-device-is-quiet",
                   test_detached_device_is_quiet_until_attached);
    qtest_add_func("/remote-io/attach/detached-device-frees-its-module",
                   test_detached_device_frees_its_module);
    qtest_add_func("/remote-io/attach/to-another-server",
                   test_attach_to_another_server);
    qtest_add_func("/remote-io/attach/another-device-is-refused",
                   test_another_device_is_not_attached);
    qtest_add_func("/remote-io/attach/commands-out-of-place-are-refused",
                   test_commands_out_of_place_are_refused);
    qtest_add_func("/remote-io/attach/holds-up-nobody",
                   test_attach_holds_up_nobody);
    qtest_add_func("/remote-io/attach/detach-does-not-need-the-server",
                   test_detach_does_not_need_the_server);
    qtest_add_func("/remote-io/attach/cancelled-move-ends-alone",
                   test_cancelled_move_does_not_need_the_server);
    qtest_add_func("/remote-io/attach/detached-device-can-be-unplugged",
                   test_detached_device_can_be_unplugged);
    qtest_add_data_func("/remote-io/attach/surprise-removal/command", NULL,
                        test_surprise_removal_tells_the_slot);
    qtest_add_data_func("/remote-io/attach/surprise-removal/policy", "unplug",
                        test_surprise_removal_tells_the_slot);
    qtest_add_func("/remote-io/attach/lost-state-unplugs",
                   test_lost_state_unplugs);
    return g_test_run();
}
