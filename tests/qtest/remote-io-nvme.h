/*
 * The nvme module on a small disk, driven by hand
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A completion entry is in memory before its interrupt, and this before the
 * reply to a later load; so who wants a completion repeats a load and looks.
 * The queues are as short as can be: a queue is good for as many commands as
 * it has entries, in all.
 */

#ifndef TESTS_QTEST_REMOTE_IO_NVME_H
#define TESTS_QTEST_REMOTE_IO_NVME_H

#include "remote-io-helpers.h"

/* Registers */
#define NVME_CSTS 0x1c
#define NVME_SQ_BELL(q) (0x1000 + 8 * (q))

#define NVME_ENTRIES 8
#define NVME_PAGE 4096

/* Guest memory */
#define NVME_SQ(q) (0x100000 + (q) * 0x10000)
#define NVME_CQ(q) (NVME_SQ(q) + 0x8000)
#define NVME_LIST 0x200000
#define NVME_DATA 0x300000
#define NVME_BLOCKS 256         /* of one transfer: 128 KiB */
#define NVME_BYTES (NVME_BLOCKS * 512)

typedef struct RioNvme {
    RioServer *server;
    char *disk;
    QTestState *qts;
    QPCIBus *bus;
    QPCIDevice *dev;
    QPCIBar bar;
    unsigned tail[2], head[2];
} RioNvme;

/**
 * rio_nvme_start: a server with a disk, a machine with the controller
 * @listen: as for rio_server_new()
 * @machine: options of QEMU, the machine and its memory
 * @device: more properties of the device, from a comma on, or ""
 */
void rio_nvme_start(RioNvme *t, const char *listen, const char *machine,
                    const char *device);
void rio_nvme_stop(RioNvme *t);

/* Enable the controller, with an admin queue */
void rio_nvme_enable(RioNvme *t);

/* Put a command into queue @q; the doorbell is not rung */
void rio_nvme_put(RioNvme *t, unsigned q, uint32_t opcode, uint64_t prp1,
                  uint64_t prp2, uint32_t dw10, uint32_t dw11, uint32_t dw12);

/* Ring and wait.  Returns: the status field of the completion */
unsigned rio_nvme_complete(RioNvme *t, unsigned q);

/* Make queue 1 */
void rio_nvme_create_queue(RioNvme *t);

/*
 * Write (@opcode 1) or read (2) NVME_BYTES from block 0 on, by a list of pages
 * that is not in order in memory
 */
unsigned rio_nvme_transfer(RioNvme *t, unsigned opcode, uint64_t data);

#endif /* TESTS_QTEST_REMOTE_IO_NVME_H */
