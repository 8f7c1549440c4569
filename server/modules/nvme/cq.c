/*
 * nvme module: completion queues and interrupts
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * NVM Express 1.4, sections 4.1 (queues), 4.6 (completion queue entry), 7.5
 * (interrupts).
 *
 * A completion is a DMA write and an interrupt in one go, right behind the
 * DMA write of the data: they share a frame.  A queue without room holds
 * what is done until the host has read on.
 */

#include "nvme.h"

void nvme_cq_unref(NvmeCq *cq)
{
    if (!--cq->refs) {
        g_queue_clear(&cq->held);
        g_free(cq);
    }
}

NvmeCq *nvme_cq_new(NvmeCtrl *n, unsigned id, uint64_t base,
                    uint32_t entries, bool interrupts, unsigned vector)
{
    NvmeCq *cq = g_new0(NvmeCq, 1);

    cq->refs = 1;
    cq->id = id;
    cq->base = base;
    cq->entries = entries;
    cq->interrupts = interrupts;
    cq->vector = vector;
    cq->phase = true;
    g_queue_init(&cq->held);
    n->cqs[id] = cq;
    nvme_recipe_set_lazy(n, cq);
    if (vector && interrupts) {
        /* A pin has one vector (7.5): the host uses messages */
        n->messages = true;
        nvme_irq_update(n);
    }
    return cq;
}

void nvme_cq_remove(NvmeCtrl *n, NvmeCq *cq)
{
    nvme_recipe_clear_lazy(n, cq);
    n->cqs[cq->id] = NULL;
    nvme_cq_unref(cq);
    nvme_irq_update(n);
}

/* ---- interrupts ------------------------------------------------------- */

/* 7.5.1: the pin is asserted while a queue with interrupts has news */
void nvme_irq_update(NvmeCtrl *n)
{
    bool level = false;
    unsigned i;

    for (i = 0; i <= n->queues && !n->messages && !(n->intms & 1); i++) {
        const NvmeCq *cq = n->cqs[i];

        level |= cq && cq->interrupts && cq->head != cq->tail;
    }
    if (level != n->line) {
        n->line = level;
        rio_irq_set(n->dev, n->client, 0, level);
    }
}

static void nvme_cq_notify(NvmeCtrl *n, const NvmeCq *cq)
{
    if (cq->interrupts) {
        rio_irq_message(n->dev, n->client, cq->vector);
        nvme_irq_update(n);
    }
}

/* ---- entries ---------------------------------------------------------- */

static bool nvme_cq_full(const NvmeCq *cq)
{
    return (cq->tail + 1) % cq->entries == cq->head;
}

static bool nvme_cq_move(NvmeCq *cq, uint32_t head)
{
    uint32_t used = (cq->tail + cq->entries - cq->head) % cq->entries;
    uint32_t moved = (head + cq->entries - cq->head) % cq->entries;

    if (moved > used) {
        return false;
    }
    cq->head = head;
    return true;
}

/* Task.  Is there room, as far as we know, or as the host's memory says? */
static bool nvme_cq_room(NvmeCtrl *n, NvmeCq *cq)
{
    uint32_t head;

    if (nvme_cq_full(cq) && nvme_shadowed(n, cq->id) &&
        nvme_shadow_sync(n, cq->id, true, cq->head, cq->entries, &head)) {
        /* Older than a doorbell that came meanwhile?  Then it is refused */
        nvme_cq_move(cq, head);
    }
    return !nvme_cq_full(cq);
}

/* Task.  Post the completion of @cmd; there is room */
static void nvme_cq_post(NvmeCtrl *n, NvmeCq *cq, NvmeCmd *cmd)
{
    uint64_t at = cq->base + (uint64_t)cq->tail * NVME_CQE_SIZE;
    uint8_t cqe[NVME_CQE_SIZE] = { 0 };
    int ret;

    nvme_put32(cqe + NVME_CQE_RESULT, cmd->result);
    nvme_put16(cqe + NVME_CQE_SQHD, cmd->sq->head);
    nvme_put16(cqe + NVME_CQE_SQID, cmd->sq->id);
    memcpy(cqe + NVME_CQE_CID, cmd->sqe + NVME_SQE_CID, 2);
    nvme_put16(cqe + NVME_CQE_STATUS, cmd->status << 1 | cq->phase);
    cq->posting++;
    if (++cq->tail == cq->entries) {
        cq->tail = 0;
        cq->phase = !cq->phase;
    }
    if (cq->interrupts && !n->messages && nvme_shadowed(n, cq->id)) {
        /* The pin must fall when the host has read on: be rung then */
        nvme_shadow_index(n, cq->id, true, cq->head);
    }
    ret = rio_dma_write(n->dev, n->client, at, cqe, sizeof(cqe));
    /* From here until the command is freed nothing waits, see state.c */
    cq->posting--;
    if (!ret && nvme_live(cmd)) {
        nvme_cq_notify(n, cq);
    }
}

/* Post what the queue had no room for, as far as it has now */
static void nvme_cq_flush_task(RioDevice *dev, void *s, void *arg)
{
    NvmeCtrl *n = s;
    NvmeCq *cq = arg;

    (void)dev;
    while (cq->held.length && nvme_cq_room(n, cq)) {
        NvmeCmd *cmd = g_queue_pop_head(&cq->held);

        if (cmd) {
            nvme_cq_post(n, cq, cmd);
            nvme_cmd_end(cmd);
        }
    }
    cq->flushing = false;
    nvme_cq_unref(cq);
    nvme_task_end(n);
}

static void nvme_cq_flush_start(NvmeCtrl *n, NvmeCq *cq)
{
    if (!cq->flushing && cq->held.length) {
        cq->flushing = true;
        cq->refs++;
        nvme_task_start(n, nvme_cq_flush_task, cq);
    }
}

void nvme_cq_complete(NvmeCmd *cmd)
{
    NvmeCtrl *n = cmd->n;
    NvmeCq *cq = cmd->sq->cq;

    if (!cq->held.length && !cq->flushing && !nvme_cq_full(cq)) {
        nvme_cq_post(n, cq, cmd);
        nvme_cmd_end(cmd);
    } else if (cmd->sq->deletion) {
        /* The host may never look again (5.6) */
        nvme_cmd_end(cmd);
    } else {
        g_queue_push_tail(&cq->held, cmd);
        if (nvme_shadowed(n, cq->id)) {
            nvme_cq_flush_start(n, cq);
        }
    }
}

void nvme_cq_drop(NvmeCq *cq, const NvmeSq *sq)
{
    GList *l, *next;

    for (l = cq->held.head; l; l = next) {
        NvmeCmd *cmd = l->data;

        next = l->next;
        if (cmd->sq == sq) {
            g_queue_delete_link(&cq->held, l);
            nvme_cmd_free(cmd);
        }
    }
}

bool nvme_cq_doorbell(NvmeCtrl *n, NvmeCq *cq, uint32_t head)
{
    if (head >= cq->entries || !nvme_cq_move(cq, head)) {
        /* What memory told may be later than what a doorbell says */
        return head < cq->entries && nvme_shadowed(n, cq->id);
    }
    nvme_cq_flush_start(n, cq);
    nvme_irq_update(n);
    return true;
}
