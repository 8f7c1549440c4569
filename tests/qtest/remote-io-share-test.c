/*
 * remote-io: guest memory that is shared with the server
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is shared costs no message, and is taken back before whoever asked
 * for it goes on: that is seen in the list of the server's mappings.
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "remote-io-nvme.h"

#define MEMFD "-object memory-backend-memfd,id=mem,size=128M,share=on"
#define Q35 MEMFD " -machine q35,memory-backend=mem -m 128"
#define ON ",share-memory=on"

/* Of guest memory, in the server */
static unsigned mappings(RioNvme *t)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/maps", t->server->pid);
    g_autofree char *text = NULL;
    unsigned n = 0;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    for (char *at = text; (at = strstr(at, "/memfd:")); at++) {
        n++;
    }
    return n;
}

static uint64_t counter(RioNvme *t, const char *name)
{
    return rio_stat(t->qts, "d0", name);
}

static uint64_t messages(RioNvme *t)
{
    return counter(t, "dma-reads") + counter(t, "dma-writes") +
           counter(t, "doorbells");
}

/* Loads make QEMU look at what came */
static void wait_shared(RioNvme *t, bool shared)
{
    while (!counter(t, "shared-memory") == shared) {
        qpci_io_readl(t->dev, t->bar, NVME_CSTS);
    }
    g_assert_true(!mappings(t) != shared);
}

static void setup(RioNvme *t)
{
    rio_nvme_start(t, "unix", Q35, ON);
    wait_shared(t, true);
    rio_nvme_enable(t);
    rio_nvme_create_queue(t);
}

/* To the disk and back by another place */
static void check_copy(RioNvme *t, uint64_t to, uint8_t seed)
{
    g_autofree uint8_t *out = g_malloc(NVME_BYTES);
    g_autofree uint8_t *in = g_malloc0(NVME_BYTES);

    for (unsigned i = 0; i < NVME_BYTES; i++) {
        out[i] = (i + seed) * 2654435761u >> 13;
    }
    qtest_memwrite(t->qts, NVME_DATA, out, NVME_BYTES);
    qtest_memset(t->qts, to, 0, NVME_BYTES);
    g_assert_cmphex(rio_nvme_transfer(t, 1, NVME_DATA), ==, 0);
    g_assert_cmphex(rio_nvme_transfer(t, 2, to), ==, 0);
    qtest_memread(t->qts, to, in, NVME_BYTES);
    g_assert_cmpmem(in, NVME_BYTES, out, NVME_BYTES);
}

static void set_master(RioNvme *t, bool on)
{
    uint16_t command = qpci_config_readw(t->dev, PCI_COMMAND);

    qpci_config_writew(t->dev, PCI_COMMAND, on ?
                       command | PCI_COMMAND_MASTER :
                       command & ~PCI_COMMAND_MASTER);
}

static void test_transfers_cost_no_message(void)
{
    RioNvme t = { };

    setup(&t);
    check_copy(&t, NVME_DATA + NVME_BYTES, 1);
    check_copy(&t, NVME_DATA + NVME_BYTES * 3, 2);
    g_assert_cmpuint(messages(&t), ==, 0);
    g_assert_cmpuint(counter(&t, "dma-bytes"), ==, 0);
    g_assert_cmpuint(counter(&t, "shared-memory"), >=, 100 * 1024 * 1024);
    rio_nvme_stop(&t);
}

/* When the store to the command register is over, so is the sharing */
static void test_bus_mastering_off_takes_memory_back(void)
{
    uint8_t byte = 0x5a;
    RioNvme t = { };

    setup(&t);
    rio_nvme_put(&t, 0, 6, NVME_DATA, 0, 1, 0, 0);
    for (unsigned i = 0; i < 3; i++) {
        set_master(&t, false);
        g_assert_cmpuint(mappings(&t), ==, 0);
        g_assert_cmpuint(counter(&t, "shared-memory"), ==, 0);
        set_master(&t, true);
        wait_shared(&t, true);
    }
    g_assert_cmpuint(messages(&t), ==, 0);
    set_master(&t, false);
    qtest_memwrite(t.qts, NVME_DATA, &byte, 1);
    qpci_io_writel(t.dev, t.bar, NVME_SQ_BELL(0), t.tail[0]);
    while (!counter(&t, "dma-refused")) {
        qpci_io_readl(t.dev, t.bar, NVME_CSTS);
    }
    g_assert_cmphex(qtest_readb(t.qts, NVME_DATA), ==, byte);
    g_assert_cmpuint(mappings(&t), ==, 0);
    rio_nvme_stop(&t);
}

static void log_pages(RioNvme *t, unsigned ms)
{
    qtest_qmp_assert_success(t->qts, "{ 'execute': 'calc-dirty-rate',"
                             " 'arguments': { 'calc-time': %u,"
                             " 'calc-time-unit': 'millisecond',"
                             " 'mode': 'dirty-bitmap' } }", ms);
    wait_shared(t, false);
}

/*
 * Pages are logged for as long as is needed that one transfer lies wholly
 * within: what the server writes then comes as messages.
 */
static void test_dirty_logging_takes_memory_back(void)
{
    unsigned ms = 500;
    bool within;
    RioNvme t = { };

    setup(&t);
    check_copy(&t, NVME_DATA + NVME_BYTES, 1);
    g_assert_cmpuint(messages(&t), ==, 0);
    do {
        uint64_t before = messages(&t), after;

        log_pages(&t, ms);
        g_assert_cmphex(rio_nvme_transfer(&t, 2, NVME_DATA), ==, 0);
        after = messages(&t);
        within = !counter(&t, "shared-memory");
        g_assert_true(!within || after - before >= 3);
        wait_shared(&t, true);
        ms *= 4;
    } while (!within);
    check_copy(&t, NVME_DATA + NVME_BYTES, 3);
    rio_nvme_stop(&t);
}

/* What was written by messages is there before anything is shared again */
static void test_memory_comes_back_after_logging(void)
{
    uint64_t before;
    RioNvme t = { };

    setup(&t);
    log_pages(&t, 100);
    check_copy(&t, NVME_DATA + NVME_BYTES, 1);
    wait_shared(&t, true);
    check_copy(&t, NVME_DATA + NVME_BYTES, 2);
    before = messages(&t);
    check_copy(&t, NVME_DATA + NVME_BYTES * 2, 3);
    g_assert_cmpuint(messages(&t), ==, before);
    rio_nvme_stop(&t);
}

static uint64_t plug_memory(RioNvme *t)
{
    uint64_t addr;
    QDict *rsp;

    qtest_qmp_assert_success(t->qts, "{ 'execute': 'object-add', 'arguments':"
                             " { 'qom-type': 'memory-backend-memfd',"
                             " 'id': 'm1', 'share': true,"
                             " 'size': 134217728 } }");
    qtest_qmp_assert_success(t->qts, "{ 'execute': 'device_add', 'arguments':"
                             " { 'driver': 'pc-dimm', 'id': 'dimm1',"
                             " 'memdev': 'm1' } }");
    rsp = qtest_qmp(t->qts, "{ 'execute': 'qom-get', 'arguments':"
                    " { 'path': '/machine/peripheral/dimm1',"
                    " 'property': 'addr' } }");
    g_assert_true(qdict_haskey(rsp, "return"));
    addr = qdict_get_int(rsp, "return");
    qobject_unref(rsp);
    return addr;
}

static void test_memory_that_is_plugged_is_shared(void)
{
    uint64_t before, addr;
    unsigned maps;
    RioNvme t = { };

    rio_nvme_start(&t, "unix", MEMFD " -machine q35,memory-backend=mem"
                   " -m 128,slots=2,maxmem=1G", ON);
    wait_shared(&t, true);
    rio_nvme_enable(&t);
    rio_nvme_create_queue(&t);
    before = counter(&t, "shared-memory");
    maps = mappings(&t);
    addr = plug_memory(&t);
    while (counter(&t, "shared-memory") != before + 128 * 1024 * 1024) {
        qpci_io_readl(t.dev, t.bar, NVME_CSTS);
    }
    g_assert_cmpuint(mappings(&t), ==, maps + 1);
    check_copy(&t, addr + 64 * 1024 * 1024, 4);
    g_assert_cmpuint(messages(&t), ==, 0);
    rio_nvme_stop(&t);
}

/* Registers of intel-iommu: an empty root table, used and then enabled */
#define VTD 0xfed90000
#define VTD_GCMD 0x18
#define VTD_RTADDR 0x20
#define VTD_SRTP (1u << 30)
#define VTD_TE (1u << 31)

/* Addresses of the bus are no longer those of memory */
static void test_iommu_that_translates_takes_memory_back(void)
{
    RioNvme t = { };

    rio_nvme_start(&t, "unix", Q35 " -device intel-iommu,intremap=off", ON);
    wait_shared(&t, true);
    qtest_writeq(t.qts, VTD + VTD_RTADDR, NVME_LIST);
    qtest_writel(t.qts, VTD + VTD_GCMD, VTD_SRTP);
    g_assert_cmpuint(mappings(&t), >, 0);
    qtest_writel(t.qts, VTD + VTD_GCMD, VTD_TE);
    g_assert_cmpuint(mappings(&t), ==, 0);
    g_assert_cmpuint(counter(&t, "shared-memory"), ==, 0);
    qtest_writel(t.qts, VTD + VTD_GCMD, 0);
    wait_shared(&t, true);
    rio_nvme_stop(&t);
}

static void test_unplug_takes_memory_back(void)
{
    RioNvme t = { };

    rio_nvme_start(&t, "unix", MEMFD " -machine pc,memory-backend=mem -m 128",
                   ON);
    wait_shared(&t, true);
    qtest_qmp_device_del_send(t.qts, "d0");
    qtest_outl(t.qts, 0xae08, 1u << 4);
    qtest_qmp_eventwait(t.qts, "DEVICE_DELETED");
    g_assert_cmpuint(mappings(&t), ==, 0);
    rio_nvme_stop(&t);
}

/*
 * A module that has not heard of the reset yet, as its process stands still,
 * has nothing any more; one that has, gets what the device may reach then.
 */
static void test_reset_takes_memory_back(void)
{
    RioNvme t = { };

    setup(&t);
    rio_server_kill(t.server, SIGSTOP);
    qtest_system_reset_nowait(t.qts);
    while (counter(&t, "shared-memory")) {
        /* it waits for the server, for a second */
    }
    rio_server_kill(t.server, SIGCONT);
    qtest_qmp_eventwait(t.qts, "RESET");
    while (!counter(&t, "resets")) {
        qpci_io_readl(t.dev, t.bar, NVME_CSTS);
    }
    set_master(&t, true);
    qpci_iomap(t.dev, 0, NULL);
    qpci_device_enable(t.dev);
    wait_shared(&t, true);
    rio_nvme_stop(&t);
}

/* The machine stands still for a second, then goes on without the server */
static void test_server_that_hangs_loses_the_connection(void)
{
    RioNvme t = { };

    setup(&t);
    rio_server_kill(t.server, SIGSTOP);
    set_master(&t, false);
    g_assert_cmpuint(counter(&t, "shared-memory"), ==, 0);
    rio_server_kill(t.server, SIGCONT);
    while (!counter(&t, "reconnects")) {
        qpci_io_readl(t.dev, t.bar, NVME_CSTS);
    }
    qpci_io_readl(t.dev, t.bar, NVME_CSTS);
    g_assert_cmpuint(mappings(&t), ==, 0);
    set_master(&t, true);
    wait_shared(&t, true);
    check_copy(&t, NVME_DATA + NVME_BYTES, 5);
    g_assert_cmpuint(messages(&t), ==, 0);
    rio_nvme_stop(&t);
}

/* It would be a SIGBUS for the server, were it to shrink */
static void test_memory_that_may_shrink_is_not_used(void)
{
    RioNvme t = { };

    rio_nvme_start(&t, "unix", MEMFD ",seal=off -machine q35,"
                   "memory-backend=mem -m 128", ON);
    rio_nvme_enable(&t);
    rio_nvme_create_queue(&t);
    check_copy(&t, NVME_DATA + NVME_BYTES, 6);
    g_assert_cmpuint(counter(&t, "shared-memory"), ==, 0);
    g_assert_cmpuint(counter(&t, "dma-writes"), >, 0);
    g_assert_cmpuint(mappings(&t), ==, 0);
    rio_nvme_stop(&t);
}

/* Returns: why device_add refused share-memory=on */
static char *refused(const char *listen, const char *machine)
{
    RioServer *server = rio_server_new(listen, "--module demo,id=m0");
    QTestState *qts = rio_qemu("%s", machine);
    QDict *rsp = qtest_qmp(qts, "{ 'execute': 'device_add', 'arguments': "
                           "{ 'driver': 'remote-io', 'id': 'hot', 'server': "
                           "%s, 'module': 'm0', 'share-memory': true } }",
                           server->address);
    char *text;

    g_assert_true(qdict_haskey(rsp, "error"));
    text = g_strdup(qdict_get_str(qdict_get_qdict(rsp, "error"), "desc"));
    qobject_unref(rsp);
    qtest_quit(qts);
    rio_server_free(server);
    return text;
}

static void test_refused_over_tcp(void)
{
    g_autofree char *why = refused("tcp:127.0.0.1:0", MEMFD
                                   " -machine pc,memory-backend=mem -m 128");

    g_assert_nonnull(strstr(why, "share-memory=on"));
    g_assert_nonnull(strstr(why, "server=unix:"));
    g_assert_nonnull(strstr(why, "tcp:127.0.0.1:"));
}

static void test_refused_with_private_memory(void)
{
    g_autofree char *why = refused("unix", "-machine pc -m 128");

    g_assert_nonnull(strstr(why, "share-memory=on"));
    g_assert_nonnull(strstr(why, "memory-backend-memfd"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/remote-io/share/transfers-cost-no-message",
                   test_transfers_cost_no_message);
    qtest_add_func("/remote-io/share/bus-mastering-off-takes-memory-back",
                   test_bus_mastering_off_takes_memory_back);
    qtest_add_func("/remote-io/share/dirty-logging-takes-memory-back",
                   test_dirty_logging_takes_memory_back);
    qtest_add_func("/remote-io/share/memory-comes-back-after-logging",
                   test_memory_comes_back_after_logging);
    qtest_add_func("/remote-io/share/memory-that-is-plugged-is-shared",
                   test_memory_that_is_plugged_is_shared);
    qtest_add_func("/remote-io/share/iommu-that-translates-takes-memory-back",
                   test_iommu_that_translates_takes_memory_back);
    qtest_add_func("/remote-io/share/unplug-takes-memory-back",
                   test_unplug_takes_memory_back);
    qtest_add_func("/remote-io/share/reset-takes-memory-back",
                   test_reset_takes_memory_back);
    qtest_add_func("/remote-io/share/server-that-hangs-loses-the-connection",
                   test_server_that_hangs_loses_the_connection);
    qtest_add_func("/remote-io/share/memory-that-may-shrink-is-not-used",
                   test_memory_that_may_shrink_is_not_used);
    qtest_add_func("/remote-io/share/refused-over-tcp",
                   test_refused_over_tcp);
    qtest_add_func("/remote-io/share/refused-with-private-memory",
                   test_refused_with_private_memory);
    return g_test_run();
}
