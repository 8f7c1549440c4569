/*
 * remote-io: the machine migrates, its devices' modules stay where they are
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Source and target are two QEMUs on this host.  The source stops where it
 * has copied memory and would hand over (pause-before-switchover), so that
 * each test decides what happens before and after; nothing here is about time.
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "libqos/pci-pc.h"
#include "qobject/qdict.h"
#include "remote-io-nvme.h"

#define COUNTER_READS 0x08
#define COUNTER_WRITES 0x10
#define COUNTER_ORDER_LAST 0x28
#define COUNTER_ORDER_ERRORS 0x30
#define COUNTER_COUNT_READ 0x80
#define COUNTER_ORDER 0x98
#define COUNTER_ORDER_WAIT 0xa0

#define DEMO_SCRATCH 0x0c
#define DEMO_IRQ_STATUS 0x1c
#define DEMO_IRQ_ENABLE 0x20
#define DEMO_IRQ_RAISE 0x24
#define DEMO_IRQ_ACK 0x28

#define ALL_ONES 0xffffffffu
#define MACHINE "-machine q35 -m 32 -name vm -nodefaults"

/* There and back, so often */
#define ROUNDS 20

typedef struct Setup {
    RioMachine m;               /* where the machine runs */
    const char *options;        /* of both QEMUs, with the device */
    char *dir;                  /* the migration's socket is here */
    unsigned reads, order;      /* how often this was done */
} Setup;

/* ---- the counter ---- */

static uint32_t load(Setup *t, unsigned offset)
{
    return qpci_io_readl(t->m.dev, t->m.bar, offset);
}

static void store(Setup *t, unsigned offset, uint32_t value)
{
    qpci_io_writel(t->m.dev, t->m.bar, offset, value);
}

/* Each kind of access, once */
static void work(Setup *t)
{
    store(t, COUNTER_ORDER, ++t->order);
    store(t, COUNTER_ORDER, ++t->order);
    g_assert_cmpuint(load(t, COUNTER_COUNT_READ), ==, ++t->reads);
    store(t, COUNTER_ORDER_WAIT, ++t->order);
    store(t, COUNTER_ORDER, ++t->order);        /* nobody waits for it */
}

static void check_exact(Setup *t)
{
    g_assert_cmpuint(load(t, COUNTER_READS), ==, t->reads);
    g_assert_cmpuint(load(t, COUNTER_WRITES), ==, t->order);
    g_assert_cmpuint(load(t, COUNTER_ORDER_LAST), ==, t->order);
    g_assert_cmpuint(load(t, COUNTER_ORDER_ERRORS), ==, 0);
}

/* ---- migration ---- */

static void setup(Setup *t, const char *module)
{
    g_autofree char *options = g_strdup_printf("--module %s,id=m0", module);

    t->m.server = rio_server_new("unix", options);
    t->dir = g_dir_make_tmp("remote-io-XXXXXX", NULL);
    rio_machine_start(&t->m, MACHINE, NULL, "");
}

static void teardown(Setup *t)
{
    rio_machine_stop(&t->m);
    g_assert_cmpint(rmdir(t->dir), ==, 0);
    g_free(t->dir);
}

static char *migration_status(QTestState *qts)
{
    QDict *rsp = qtest_qmp(qts, "{ 'execute': 'query-migrate' }");
    QDict *info = qdict_get_qdict(rsp, "return");
    char *status = g_strdup(qdict_get_try_str(info, "status") ?: "none");

    if (g_str_equal(status, "failed")) {
        g_test_message("%s", qdict_get_try_str(info, "error-desc") ?: "");
    }
    qobject_unref(rsp);
    return status;
}

/* The test's own patience ends a wait for what does not come */
static void await_status(QTestState *qts, const char *wanted)
{
    for (;;) {
        g_autofree char *status = migration_status(qts);

        if (g_str_equal(status, wanted)) {
            return;
        }
        g_assert_cmpstr(status, !=, "failed");
        g_assert_cmpstr(status, !=, "completed");
        g_usleep(500);
    }
}

static void capability(QTestState *qts)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'migrate-set-capabilities', "
                             "'arguments': { 'capabilities': [ "
                             "{ 'capability': 'pause-before-switchover', "
                             "'state': true } ] } }");
}

static QTestState *new_target(Setup *t, const char *more)
{
    return rio_qemu(MACHINE " %s -incoming unix:%s/migrate -device remote-io,"
                    "id=d0,addr=4,server=%s,module=m0", more, t->dir,
                    t->m.server->address);
}

/* Returns: the target; the source stands where it would hand over */
static QTestState *migrate_until_switchover(Setup *t, const char *more)
{
    QTestState *to = new_target(t, more);
    g_autofree char *uri = g_strdup_printf("unix:%s/migrate", t->dir);

    capability(t->m.qts);
    qtest_qmp_assert_success(t->m.qts, "{ 'execute': 'migrate', "
                             "'arguments': { 'uri': %s } }", uri);
    await_status(t->m.qts, "pre-switchover");
    return to;
}

static void switch_over(Setup *t)
{
    qtest_qmp_assert_success(t->m.qts, "{ 'execute': 'migrate-continue', "
                             "'arguments': { 'state': 'pre-switchover' } }");
}

static void unlink_socket(Setup *t)
{
    g_autofree char *path = g_build_filename(t->dir, "migrate", NULL);

    unlink(path);
}

/* The machine is @to from now on, at the same addresses */
static void become(Setup *t, QTestState *to)
{
    qtest_quit(t->m.qts);
    g_free(t->m.dev);
    qpci_free_pc(t->m.bus);
    unlink_socket(t);
    t->m.qts = to;
    t->m.bus = qpci_new_pc(to, NULL);
    t->m.dev = qpci_device_find(t->m.bus, QPCI_DEVFN(4, 0));
    g_assert_nonnull(t->m.dev);
}

static void complete(Setup *t, QTestState *to)
{
    switch_over(t);
    await_status(t->m.qts, "completed");
    qtest_qmp_eventwait(to, "RESUME");
    become(t, to);
}

static void check_connected(Setup *t)
{
    QDict *info = rio_info(t->m.qts, "d0");

    g_assert_cmpstr(qdict_get_str(info, "state"), ==, "connected");
    qobject_unref(info);
}

/* ---- tests ---- */

static void test_accesses_are_carried_out_once(void)
{
    Setup t = { };

    setup(&t, "counter");
    for (unsigned i = 0; i < 2 * ROUNDS; i++) {
        QTestState *to;

        work(&t);
        to = migrate_until_switchover(&t, "");
        work(&t);
        complete(&t, to);
        work(&t);
        check_connected(&t);
        g_assert_cmpuint(rio_stat(t.m.qts, "d0", "failed"), ==, 0);
    }
    check_exact(&t);
    g_assert_null(qtest_qmp_event_ref(t.m.qts, "REMOTE_IO_LOST"));
    teardown(&t);
}

static bool line_is_high(Setup *t)
{
    return qpci_config_readw(t->m.dev, PCI_STATUS) & PCI_STATUS_INTERRUPT;
}

static void test_line_is_high_on_both_sides(void)
{
    Setup t = { };

    setup(&t, "demo");
    store(&t, DEMO_SCRATCH, 0x4711);
    store(&t, DEMO_IRQ_ENABLE, 1);
    for (unsigned i = 0; i < 3; i++) {
        store(&t, DEMO_IRQ_RAISE, 1);
        g_assert_cmphex(load(&t, DEMO_IRQ_STATUS), ==, 1);
        g_assert_true(line_is_high(&t));
        complete(&t, migrate_until_switchover(&t, ""));
        g_assert_true(line_is_high(&t));
        g_assert_cmphex(load(&t, DEMO_SCRATCH), ==, 0x4711);
        store(&t, DEMO_IRQ_ACK, 1);
        g_assert_cmphex(load(&t, DEMO_IRQ_STATUS), ==, 0);
        g_assert_false(line_is_high(&t));
        complete(&t, migrate_until_switchover(&t, ""));
        g_assert_false(line_is_high(&t));
    }
    teardown(&t);
}

/* What ends a migration before the target has it all */
static void end_target(Setup *t, QTestState *to)
{
    qtest_quit(to);
    switch_over(t);
}

static void cancel(Setup *t, QTestState *to)
{
    qtest_qmp_assert_success(t->m.qts, "{ 'execute': 'migrate_cancel' }");
    qtest_set_expected_status(to, EXIT_FAILURE);
    qtest_wait_qemu(to);
    qtest_quit(to);
}

static void test_failed_migration_goes_on_at_the_source(const void *how)
{
    void (*fail)(Setup *t, QTestState *to) = how;
    Setup t = { };

    setup(&t, "counter");
    for (unsigned i = 0; i < 3; i++) {
        QTestState *to;

        work(&t);
        to = migrate_until_switchover(&t, "");
        work(&t);
        fail(&t, to);
        qtest_qmp_eventwait(t.m.qts, "RESUME");
        unlink_socket(&t);
        work(&t);
        check_exact(&t);
        /* and another one succeeds */
        complete(&t, migrate_until_switchover(&t, ""));
        work(&t);
        check_exact(&t);
    }
    g_assert_cmpuint(rio_stat(t.m.qts, "d0", "failed"), ==, 0);
    teardown(&t);
}

/* The source is gone before the target runs, and must not end the session */
static void test_source_may_end_before_the_target_runs(void)
{
    Setup t = { };
    QTestState *to;

    setup(&t, "counter");
    work(&t);
    to = migrate_until_switchover(&t, "-S");
    switch_over(&t);
    await_status(t.m.qts, "completed");
    become(&t, to);
    qtest_qmp_assert_success(to, "{ 'execute': 'cont' }");
    work(&t);
    check_exact(&t);
    teardown(&t);
}

static void test_detached_device_stays_detached(void)
{
    Setup t = { };

    setup(&t, "counter");
    work(&t);
    qtest_qmp_assert_success(t.m.qts, "{ 'execute': 'remote-io-detach', "
                             "'arguments': { 'id': 'd0' } }");
    complete(&t, migrate_until_switchover(&t, ""));
    g_assert_cmphex(load(&t, COUNTER_COUNT_READ), ==, ALL_ONES);
    qtest_qmp_assert_success(t.m.qts, "{ 'execute': 'remote-io-attach', "
                             "'arguments': { 'id': 'd0' } }");
    t.reads = t.order = 0;
    work(&t);
    check_exact(&t);
    teardown(&t);
}

/* Until the stream comes there is nothing that could be detached */
static void test_waiting_target_refuses_to_detach(void)
{
    Setup t = { };
    QTestState *to;
    QDict *rsp;

    setup(&t, "counter");
    work(&t);
    to = new_target(&t, "");
    rsp = qtest_qmp(to, "{ 'execute': 'remote-io-detach', "
                    "'arguments': { 'id': 'd0' } }");
    qmp_expect_error_and_unref(rsp, "GenericError");
    qtest_quit(to);
    unlink_socket(&t);
    /* and neither it nor its end took anything from the source */
    work(&t);
    check_exact(&t);
    teardown(&t);
}

/*
 * What the module writes into memory that was copied already goes over again,
 * and rings, recipes and interrupts work on at the target.
 */
static void test_memory_written_by_the_module_goes_over(void)
{
    g_autofree uint8_t *out = g_malloc(NVME_BYTES);
    g_autofree uint8_t *in = g_malloc0(NVME_BYTES);
    RioNvme n = { };
    Setup t = { };
    uint64_t bells;
    QTestState *to;

    for (unsigned i = 0; i < NVME_BYTES; i++) {
        out[i] = i * 2654435761u >> 13;
    }
    rio_nvme_start(&n, "unix", MACHINE, "");
    t.m = (RioMachine) {
        .server = n.server, .qts = n.qts, .bus = n.bus, .dev = n.dev,
        .bar = n.bar,
    };
    t.dir = g_dir_make_tmp("remote-io-XXXXXX", NULL);
    rio_nvme_enable(&n);
    rio_nvme_create_queue(&n);
    qtest_memwrite(n.qts, NVME_DATA, out, NVME_BYTES);
    g_assert_cmphex(rio_nvme_transfer(&n, 1, NVME_DATA), ==, 0);

    to = migrate_until_switchover(&t, "");
    g_assert_cmphex(rio_nvme_transfer(&n, 2, NVME_DATA + NVME_BYTES), ==, 0);
    complete(&t, to);
    n.qts = t.m.qts;
    n.bus = t.m.bus;
    n.dev = t.m.dev;
    qtest_memread(n.qts, NVME_DATA + NVME_BYTES, in, NVME_BYTES);
    g_assert_cmpmem(in, NVME_BYTES, out, NVME_BYTES);

    memset(in, 0, NVME_BYTES);
    bells = rio_stat(n.qts, "d0", "doorbells");
    g_assert_cmphex(rio_nvme_transfer(&n, 2, NVME_DATA + 2 * NVME_BYTES), ==,
                    0);
    qtest_memread(n.qts, NVME_DATA + 2 * NVME_BYTES, in, NVME_BYTES);
    g_assert_cmpmem(in, NVME_BYTES, out, NVME_BYTES);
    g_assert_cmpuint(rio_stat(n.qts, "d0", "doorbells"), ==, bells + 1);
    g_assert_cmpuint(rio_stat(n.qts, "d0", "dma-reads"), ==, 0);
    g_assert_cmpint(rmdir(t.dir), ==, 0);
    g_free(t.dir);
    rio_nvme_stop(&n);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/remote-io/migrate/accesses-are-carried-out-once",
                   test_accesses_are_carried_out_once);
    qtest_add_func("/remote-io/migrate/line-is-high-on-both-sides",
                   test_line_is_high_on_both_sides);
    qtest_add_data_func("/remote-io/migrate/failed/target-is-gone", end_target,
                        test_failed_migration_goes_on_at_the_source);
    qtest_add_data_func("/remote-io/migrate/failed/cancelled", cancel,
                        test_failed_migration_goes_on_at_the_source);
    qtest_add_func("/remote-io/migrate/source-ends-first",
                   test_source_may_end_before_the_target_runs);
    qtest_add_func("/remote-io/migrate/detached-device-stays-detached",
                   test_detached_device_stays_detached);
    qtest_add_func("/remote-io/migrate/waiting-target-refuses-to-detach",
                   test_waiting_target_refuses_to_detach);
    qtest_add_func("/remote-io/migrate/written-memory-goes-over",
                   test_memory_written_by_the_module_goes_over);
    return g_test_run();
}
