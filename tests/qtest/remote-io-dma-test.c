/*
 * remote-io: a module reads and writes memory of the guest
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "remote-io-nvme.h"

#define RAM_BYTES (128 * 1024 * 1024)

static void setup(RioNvme *t)
{
    rio_nvme_start(t, "unix", "-machine q35 -m 128", "");
    rio_nvme_enable(t);
}

static void test_identify_is_written_to_memory(void)
{
    RioNvme t = { };

    setup(&t);
    rio_nvme_put(&t, 0, 6, NVME_DATA, 0, 1, 0, 0);
    g_assert_cmphex(rio_nvme_complete(&t, 0), ==, 0);
    g_assert_cmphex(qtest_readw(t.qts, NVME_DATA), ==, 0x1234);
    g_assert_cmpuint(rio_stat(t.qts, "d0", "dma-bytes"), ==, NVME_PAGE + 16);
    g_assert_cmpuint(rio_stat(t.qts, "d0", "dma-refused"), ==, 0);
    /* The entry came along with the doorbell */
    g_assert_cmpuint(rio_stat(t.qts, "d0", "dma-reads"), ==, 0);
    g_assert_cmpuint(rio_stat(t.qts, "d0", "doorbell-bytes"), ==, 64);
    rio_nvme_stop(&t);
}

static void test_data_takes_no_further_round_trip(void)
{
    g_autofree uint8_t *out = g_malloc(NVME_BYTES);
    g_autofree uint8_t *in = g_malloc0(NVME_BYTES);
    uint64_t bells, bytes, dma;
    RioNvme t = { };

    for (unsigned i = 0; i < NVME_BYTES; i++) {
        out[i] = i * 2654435761u >> 13;
    }
    setup(&t);
    rio_nvme_create_queue(&t);
    bells = rio_stat(t.qts, "d0", "doorbells");
    bytes = rio_stat(t.qts, "d0", "doorbell-bytes");
    qtest_memwrite(t.qts, NVME_DATA, out, NVME_BYTES);
    g_assert_cmphex(rio_nvme_transfer(&t, 1, NVME_DATA), ==, 0);
    g_assert_cmpuint(rio_stat(t.qts, "d0", "doorbells"), ==, bells + 1);
    g_assert_cmpuint(rio_stat(t.qts, "d0", "doorbell-bytes"), ==,
                     bytes + 64 + 31 * 8 + NVME_BYTES);

    dma = rio_stat(t.qts, "d0", "dma-bytes");
    g_assert_cmphex(rio_nvme_transfer(&t, 2, NVME_DATA + NVME_BYTES), ==, 0);
    qtest_memread(t.qts, NVME_DATA + NVME_BYTES, in, NVME_BYTES);
    g_assert_cmpmem(in, NVME_BYTES, out, NVME_BYTES);
    g_assert_cmpuint(rio_stat(t.qts, "d0", "dma-bytes"), ==,
                     dma + NVME_BYTES + 16);
    g_assert_cmpuint(rio_stat(t.qts, "d0", "dma-reads"), ==, 0);
    rio_nvme_stop(&t);
}

static void test_ring_wraps_around(void)
{
    RioNvme t = { };

    setup(&t);
    for (unsigned i = 0; i < NVME_ENTRIES - 2; i++) {
        rio_nvme_put(&t, 0, 6, NVME_DATA, 0, 1, 0, 0);
        g_assert_cmphex(rio_nvme_complete(&t, 0), ==, 0);
    }
    /* Three at once: the last two slots of the ring, and the first */
    for (unsigned i = 0; i < 3; i++) {
        rio_nvme_put(&t, 0, 6, NVME_DATA + i * NVME_PAGE, 0, 1, 0, 0);
    }
    g_assert_cmpuint(t.tail[0], ==, 1);
    g_assert_cmphex(rio_nvme_complete(&t, 0), ==, 0);
    g_assert_cmpuint(rio_stat(t.qts, "d0", "doorbell-bytes"), ==,
                     (NVME_ENTRIES - 2 + 3) * 64);
    g_assert_cmpuint(rio_stat(t.qts, "d0", "dma-reads"), ==, 0);
    rio_nvme_stop(&t);
}

/* Neither memory that is not there nor a register may be reached */
static void test_what_is_not_memory_is_refused(void)
{
    uint64_t where[] = { RAM_BYTES + 0x10000000ull, 0xfec00000, 1ull << 40 };
    RioNvme t = { };

    setup(&t);
    rio_nvme_create_queue(&t);
    for (unsigned i = 0; i < ARRAY_SIZE(where); i++) {
        rio_nvme_put(&t, 1, 1, where[i], 0, 0, 0, 0);
        g_assert_cmphex(rio_nvme_complete(&t, 1), !=, 0);
        g_assert_cmpuint(rio_stat(t.qts, "d0", "dma-refused"), ==, i + 1);
        g_assert_cmpuint(rio_stat(t.qts, "d0", "dma-reads"), ==, i + 1);
    }
    rio_nvme_put(&t, 1, 1, NVME_DATA, 0, 0, 0, 0);
    g_assert_cmphex(rio_nvme_complete(&t, 1), ==, 0);
    rio_nvme_stop(&t);
}

static void test_bus_mastering_off_is_refused(void)
{
    uint16_t command;
    RioNvme t = { };

    setup(&t);
    command = qpci_config_readw(t.dev, PCI_COMMAND);
    qpci_config_writew(t.dev, PCI_COMMAND, command & ~PCI_COMMAND_MASTER);
    rio_nvme_put(&t, 0, 6, NVME_DATA, 0, 1, 0, 0);
    qpci_io_writel(t.dev, t.bar, NVME_SQ_BELL(0), t.tail[0]);
    while (!rio_stat(t.qts, "d0", "dma-refused")) {
        qpci_io_readl(t.dev, t.bar, NVME_CSTS);
    }
    g_assert_cmpuint(rio_stat(t.qts, "d0", "doorbells"), ==, 0);
    g_assert_cmpuint(rio_stat(t.qts, "d0", "dma-bytes"), ==, 0);
    g_assert_cmphex(qtest_readl(t.qts, NVME_DATA), ==, 0);
    rio_nvme_stop(&t);
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
