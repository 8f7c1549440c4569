/*
 * remote-io: a module reads and writes memory of the guest
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The nvme module on a small disk, driven by hand.  A completion entry is in
 * memory before its interrupt, and this before the reply to a later load; so
 * who wants a completion repeats a load and looks.
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "libqos/pci-pc.h"
#include "remote-io-helpers.h"

#define CC 0x14
#define CSTS 0x1c
#define AQA 0x24
#define ASQ 0x28
#define ACQ 0x30
#define SQ_BELL(q) (0x1000 + 8 * (q))

#define ENTRIES 8
#define PAGE 4096
#define RAM_BYTES (128 * 1024 * 1024)

/* Guest memory */
#define SQ(q) (0x100000 + (q) * 0x10000)
#define CQ(q) (SQ(q) + 0x8000)
#define LIST 0x200000
#define DATA 0x300000
#define BLOCKS 256              /* of one transfer: 128 KiB */

typedef struct Setup {
    RioServer *server;
    char *disk;
    QTestState *qts;
    QPCIBus *bus;
    QPCIDevice *dev;
    QPCIBar bar;
    unsigned tail[2], head[2];
} Setup;

static void setup(Setup *t)
{
    g_autofree char *options = NULL;
    int fd = g_file_open_tmp("remote-io-XXXXXX", &t->disk, NULL);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, 1024 * 1024), ==, 0);
    close(fd);
    options = g_strdup_printf("--blockdev file,node-name=d0,filename=%s "
                              "--module nvme,id=m0,drive=d0", t->disk);
    t->server = rio_server_new("unix", options);
    t->qts = rio_qemu("-machine q35 -m 128 -device remote-io,id=d0,addr=4,"
                      "server=%s,module=m0", t->server->address);
    t->bus = qpci_new_pc(t->qts, NULL);
    t->dev = rio_pci_device(t->bus, 4);
    t->bar = qpci_iomap(t->dev, 0, NULL);
}

static void teardown(Setup *t)
{
    g_free(t->dev);
    qpci_free_pc(t->bus);
    qtest_quit(t->qts);
    rio_server_free(t->server);
    unlink(t->disk);
    g_free(t->disk);
}

/* Loads are what makes QEMU look at the connection here */
static void wait_ready(Setup *t, uint32_t ready)
{
    while ((qpci_io_readl(t->dev, t->bar, CSTS) & 1) != ready) {
        g_assert_cmphex(qpci_io_readl(t->dev, t->bar, CSTS) & 2, ==, 0);
    }
}

static void enable(Setup *t)
{
    qpci_io_writel(t->dev, t->bar, AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1));
    qpci_io_writeq(t->dev, t->bar, ASQ, SQ(0));
    qpci_io_writeq(t->dev, t->bar, ACQ, CQ(0));
    qpci_io_writel(t->dev, t->bar, CC, 4 << 20 | 6 << 16 | 1);
    wait_ready(t, 1);
}

static void put_entry(Setup *t, unsigned q, uint32_t opcode, uint64_t prp1,
                      uint64_t prp2, uint32_t dw10, uint32_t dw11,
                      uint32_t dw12)
{
    uint32_t e[16] = { opcode | (t->tail[q] + 1) << 16, opcode < 3 && q };

    e[6] = prp1;
    e[7] = prp1 >> 32;
    e[8] = prp2;
    e[10] = dw10;
    e[11] = dw11;
    e[12] = dw12;
    qtest_memwrite(t->qts, SQ(q) + t->tail[q] * 64, e, sizeof(e));
    t->tail[q] = (t->tail[q] + 1) % ENTRIES;
}

/* Ring and wait.  Returns: the status field of the completion */
static unsigned complete(Setup *t, unsigned q)
{
    uint64_t at = CQ(q) + t->head[q] * 16 + 14;
    uint16_t status;

    g_assert_cmpuint(t->head[q], <, ENTRIES);       /* one phase will do */
    qpci_io_writel(t->dev, t->bar, SQ_BELL(q), t->tail[q]);
    do {
        g_assert_cmphex(qpci_io_readl(t->dev, t->bar, CSTS), ==, 1);
        status = qtest_readw(t->qts, at);
    } while (!(status & 1));
    t->head[q]++;
    return status >> 1;
}

static void create_queue(Setup *t)
{
    put_entry(t, 0, 5, CQ(1), 0, (ENTRIES - 1) << 16 | 1, 1, 0);
    g_assert_cmphex(complete(t, 0), ==, 0);
    put_entry(t, 0, 1, SQ(1), 0, (ENTRIES - 1) << 16 | 1, 1 << 16 | 1, 0);
    g_assert_cmphex(complete(t, 0), ==, 0);
}

/* BLOCKS blocks by a list of pages, that is not in order in memory */
static unsigned transfer(Setup *t, unsigned opcode, uint64_t data)
{
    unsigned pages = BLOCKS * 512 / PAGE;

    for (unsigned i = 1; i < pages; i++) {
        qtest_writeq(t->qts, LIST + (i - 1) * 8,
                     data + (pages - i) * PAGE);
    }
    put_entry(t, 1, opcode, data, LIST, 0, 0, BLOCKS - 1);
    return complete(t, 1);
}

static void test_identify_is_written_to_memory(void)
{
    Setup t = { };

    setup(&t);
    enable(&t);
    put_entry(&t, 0, 6, DATA, 0, 1, 0, 0);
    g_assert_cmphex(complete(&t, 0), ==, 0);
    g_assert_cmphex(qtest_readw(t.qts, DATA), ==, 0x1234);
    g_assert_cmpuint(rio_stat(t.qts, "d0", "dma-bytes"), ==, PAGE + 16);
    g_assert_cmpuint(rio_stat(t.qts, "d0", "dma-refused"), ==, 0);
    /* The entry came along with the doorbell */
    g_assert_cmpuint(rio_stat(t.qts, "d0", "dma-reads"), ==, 0);
    g_assert_cmpuint(rio_stat(t.qts, "d0", "doorbell-bytes"), ==, 64);
    teardown(&t);
}

static void test_data_takes_no_further_round_trip(void)
{
    g_autofree uint8_t *out = g_malloc(BLOCKS * 512);
    g_autofree uint8_t *in = g_malloc0(BLOCKS * 512);
    uint64_t bells, bytes, dma;
    Setup t = { };

    for (unsigned i = 0; i < BLOCKS * 512; i++) {
        out[i] = i * 2654435761u >> 13;
    }
    setup(&t);
    enable(&t);
    create_queue(&t);
    bells = rio_stat(t.qts, "d0", "doorbells");
    bytes = rio_stat(t.qts, "d0", "doorbell-bytes");
    qtest_memwrite(t.qts, DATA, out, BLOCKS * 512);
    g_assert_cmphex(transfer(&t, 1, DATA), ==, 0);
    g_assert_cmpuint(rio_stat(t.qts, "d0", "doorbells"), ==, bells + 1);
    g_assert_cmpuint(rio_stat(t.qts, "d0", "doorbell-bytes"), ==,
                     bytes + 64 + 31 * 8 + BLOCKS * 512);

    dma = rio_stat(t.qts, "d0", "dma-bytes");
    g_assert_cmphex(transfer(&t, 2, DATA + BLOCKS * 512), ==, 0);
    qtest_memread(t.qts, DATA + BLOCKS * 512, in, BLOCKS * 512);
    g_assert_cmpmem(in, BLOCKS * 512, out, BLOCKS * 512);
    g_assert_cmpuint(rio_stat(t.qts, "d0", "dma-bytes"), ==,
                     dma + BLOCKS * 512 + 16);
    g_assert_cmpuint(rio_stat(t.qts, "d0", "dma-reads"), ==, 0);
    teardown(&t);
}

static void test_ring_wraps_around(void)
{
    Setup t = { };

    setup(&t);
    enable(&t);
    for (unsigned i = 0; i < ENTRIES - 2; i++) {
        put_entry(&t, 0, 6, DATA, 0, 1, 0, 0);
        g_assert_cmphex(complete(&t, 0), ==, 0);
    }
    /* Three at once: the last two slots of the ring, and the first */
    for (unsigned i = 0; i < 3; i++) {
        put_entry(&t, 0, 6, DATA + i * PAGE, 0, 1, 0, 0);
    }
    g_assert_cmpuint(t.tail[0], ==, 1);
    g_assert_cmphex(complete(&t, 0), ==, 0);
    g_assert_cmpuint(rio_stat(t.qts, "d0", "doorbell-bytes"), ==,
                     (ENTRIES - 2 + 3) * 64);
    g_assert_cmpuint(rio_stat(t.qts, "d0", "dma-reads"), ==, 0);
    teardown(&t);
}

/* Neither memory that is not there nor a register may be reached */
static void test_what_is_not_memory_is_refused(void)
{
    uint64_t where[] = { RAM_BYTES + 0x10000000ull, 0xfec00000, 1ull << 40 };
    Setup t = { };

    setup(&t);
    enable(&t);
    create_queue(&t);
    for (unsigned i = 0; i < ARRAY_SIZE(where); i++) {
        put_entry(&t, 1, 1, where[i], 0, 0, 0, 0);
        g_assert_cmphex(complete(&t, 1), !=, 0);
        g_assert_cmpuint(rio_stat(t.qts, "d0", "dma-refused"), ==, i + 1);
        g_assert_cmpuint(rio_stat(t.qts, "d0", "dma-reads"), ==, i + 1);
    }
    put_entry(&t, 1, 1, DATA, 0, 0, 0, 0);
    g_assert_cmphex(complete(&t, 1), ==, 0);
    teardown(&t);
}

static void test_bus_mastering_off_is_refused(void)
{
    uint16_t command;
    Setup t = { };

    setup(&t);
    enable(&t);
    command = qpci_config_readw(t.dev, PCI_COMMAND);
    qpci_config_writew(t.dev, PCI_COMMAND, command & ~PCI_COMMAND_MASTER);
    put_entry(&t, 0, 6, DATA, 0, 1, 0, 0);
    qpci_io_writel(t.dev, t.bar, SQ_BELL(0), t.tail[0]);
    while (!rio_stat(t.qts, "d0", "dma-refused")) {
        qpci_io_readl(t.dev, t.bar, CSTS);
    }
    g_assert_cmpuint(rio_stat(t.qts, "d0", "doorbells"), ==, 0);
    g_assert_cmpuint(rio_stat(t.qts, "d0", "dma-bytes"), ==, 0);
    g_assert_cmphex(qtest_readl(t.qts, DATA), ==, 0);
    teardown(&t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/remote-io/dma/identify-is-written-to-memory",
                   test_identify_is_written_to_memory);
    qtest_add_func("/remote-io/dma/data-takes-no-further-round-trip",
                   test_data_takes_no_further_round_trip);
    qtest_add_func("/remote-io/dma/ring-wraps-around",
                   test_ring_wraps_around);
    qtest_add_func("/remote-io/dma/what-is-not-memory-is-refused",
                   test_what_is_not_memory_is_refused);
    qtest_add_func("/remote-io/dma/bus-mastering-off-is-refused",
                   test_bus_mastering_off_is_refused);
    return g_test_run();
}
