/*
 * The nvme module on a small disk, driven by hand
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqos/pci-pc.h"
#include "remote-io-nvme.h"

#define CC 0x14
#define AQA 0x24
#define ASQ 0x28
#define ACQ 0x30

void rio_nvme_start(RioNvme *t, const char *listen, const char *machine,
                    const char *device)
{
    g_autofree char *options = NULL;
    int fd = g_file_open_tmp("remote-io-XXXXXX", &t->disk, NULL);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, 1024 * 1024), ==, 0);
    close(fd);
    options = g_strdup_printf("--blockdev file,node-name=d0,filename=%s "
                              "--module nvme,id=m0,drive=d0", t->disk);
    t->server = rio_server_new(listen, options);
    t->qts = rio_qemu("%s -device remote-io,id=d0,addr=4,server=%s,"
                      "module=m0%s", machine, t->server->address, device);
    t->bus = qpci_new_pc(t->qts, NULL);
    t->dev = rio_pci_device(t->bus, 4);
    t->bar = qpci_iomap(t->dev, 0, NULL);
}

void rio_nvme_stop(RioNvme *t)
{
    g_free(t->dev);
    qpci_free_pc(t->bus);
    qtest_quit(t->qts);
    rio_server_free(t->server);
    unlink(t->disk);
    g_free(t->disk);
}

/* Loads are what makes QEMU look at the connection here */
static void wait_ready(RioNvme *t, uint32_t ready)
{
    while ((qpci_io_readl(t->dev, t->bar, NVME_CSTS) & 1) != ready) {
        g_assert_cmphex(qpci_io_readl(t->dev, t->bar, NVME_CSTS) & 2, ==, 0);
    }
}

void rio_nvme_enable(RioNvme *t)
{
    qpci_io_writel(t->dev, t->bar, AQA, (NVME_ENTRIES - 1) * 0x10001);
    qpci_io_writeq(t->dev, t->bar, ASQ, NVME_SQ(0));
    qpci_io_writeq(t->dev, t->bar, ACQ, NVME_CQ(0));
    qpci_io_writel(t->dev, t->bar, CC, 4 << 20 | 6 << 16 | 1);
    wait_ready(t, 1);
}

void rio_nvme_put(RioNvme *t, unsigned q, uint32_t opcode, uint64_t prp1,
                  uint64_t prp2, uint32_t dw10, uint32_t dw11, uint32_t dw12)
{
    uint32_t e[16] = { opcode | (t->tail[q] + 1) << 16, opcode < 3 && q };

    e[6] = prp1;
    e[7] = prp1 >> 32;
    e[8] = prp2;
    e[10] = dw10;
    e[11] = dw11;
    e[12] = dw12;
    qtest_memwrite(t->qts, NVME_SQ(q) + t->tail[q] * 64, e, sizeof(e));
    t->tail[q] = (t->tail[q] + 1) % NVME_ENTRIES;
}

unsigned rio_nvme_complete(RioNvme *t, unsigned q)
{
    uint64_t at = NVME_CQ(q) + t->head[q] * 16 + 14;
    uint16_t status;

    g_assert_cmpuint(t->head[q], <, NVME_ENTRIES);  /* one phase will do */
    qpci_io_writel(t->dev, t->bar, NVME_SQ_BELL(q), t->tail[q]);
    do {
        g_assert_cmphex(qpci_io_readl(t->dev, t->bar, NVME_CSTS), ==, 1);
        status = qtest_readw(t->qts, at);
    } while (!(status & 1));
    t->head[q]++;
    return status >> 1;
}

void rio_nvme_create_queue(RioNvme *t)
{
    rio_nvme_put(t, 0, 5, NVME_CQ(1), 0, (NVME_ENTRIES - 1) << 16 | 1, 1, 0);
    g_assert_cmphex(rio_nvme_complete(t, 0), ==, 0);
    rio_nvme_put(t, 0, 1, NVME_SQ(1), 0, (NVME_ENTRIES - 1) << 16 | 1,
                 1 << 16 | 1, 0);
    g_assert_cmphex(rio_nvme_complete(t, 0), ==, 0);
}

unsigned rio_nvme_transfer(RioNvme *t, unsigned opcode, uint64_t data)
{
    unsigned pages = NVME_BYTES / NVME_PAGE;

    for (unsigned i = 1; i < pages; i++) {
        qtest_writeq(t->qts, NVME_LIST + (i - 1) * 8,
                     data + (pages - i) * NVME_PAGE);
    }
    rio_nvme_put(t, 1, opcode, data, NVME_LIST, 0, 0, NVME_BLOCKS - 1);
    return rio_nvme_complete(t, 1);
}
