/*
 * nvme module: doorbells, in registers and in memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * NVM Express 1.4, sections 3.1.24 and 3.1.25 (doorbell registers), 5.7
 * (Doorbell Buffer Config) and 7.13 (updating them).
 *
 * With doorbells in memory the host rings a register only when it passes
 * the index that the controller wrote beside it.  The tail that counts is
 * then the one in memory.  The admin queue is left out: drivers keep to its
 * registers, so what memory says of it means nothing.
 */

#include <errno.h>
#include "nvme.h"

static uint64_t nvme_shadow_slot(uint64_t base, unsigned id, bool cq)
{
    return base + (2 * id + cq) * 4;
}

bool nvme_shadowed(const NvmeCtrl *n, unsigned id)
{
    return n->shadow && id;
}

int nvme_shadow_index(NvmeCtrl *n, unsigned id, bool cq, uint32_t index)
{
    uint8_t buf[4];

    if (!n->event_index) {
        return -ECANCELED;      /* reset meanwhile */
    }
    nvme_put32(buf, index);
    return rio_dma_write(n->dev, n->client,
                         nvme_shadow_slot(n->event_index, id, cq), buf,
                         sizeof(buf));
}

bool nvme_shadow_sync(NvmeCtrl *n, unsigned id, bool cq, uint32_t index,
                      uint32_t entries, uint32_t *value)
{
    uint64_t at = nvme_shadow_slot(n->shadow, id, cq);
    uint8_t buf[4];

    if (nvme_shadow_index(n, id, cq, index) ||
        rio_dma_read(n->dev, n->client, at, buf, sizeof(buf))) {
        return false;
    }
    *value = nvme_get32(buf);
    if (*value >= entries) {
        rio_log(n->dev, RIO_LOG_GUEST, "shadow doorbell of %s queue %u: "
                "value 0x%x out of range", cq ? "completion" : "submission",
                id, *value);
        return false;
    }
    return true;
}

/* Say which was wrong, to the log and to the host */
static void nvme_doorbell_bad(NvmeCtrl *n, uint64_t offset, uint32_t value,
                              unsigned info)
{
    rio_log(n->dev, RIO_LOG_GUEST, "doorbell 0x%" PRIx64 ": %s (value 0x%x)",
            NVME_REG_DOORBELLS + offset, info == NVME_EVENT_BAD_DOORBELL ?
            "no such queue" : "value out of range", value);
    nvme_event(n, NVME_EVENT_ERROR, info, NVME_LOG_ERROR);
}

void nvme_doorbell(NvmeCtrl *n, uint64_t offset, uint32_t value)
{
    unsigned id = offset / 8;
    bool cq = offset & 4;

    if (!(n->csts & NVME_CSTS_RDY) || n->resetting ||
        (n->csts & NVME_CSTS_CFS)) {
        rio_log(n->dev, RIO_LOG_GUEST, "doorbell 0x%" PRIx64 " written "
                "while the controller is not ready",
                NVME_REG_DOORBELLS + offset);
    } else if (id > n->queues || (cq ? !n->cqs[id] : !n->sqs[id])) {
        nvme_doorbell_bad(n, offset, value, NVME_EVENT_BAD_DOORBELL);
    } else if (!(cq ? nvme_cq_doorbell(n, n->cqs[id], value) :
                      nvme_sq_doorbell(n, n->sqs[id], value))) {
        nvme_doorbell_bad(n, offset, value, NVME_EVENT_BAD_VALUE);
    }
}
