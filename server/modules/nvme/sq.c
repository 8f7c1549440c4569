/*
 * nvme module: submission queues and the life of a command
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * NVM Express 1.4, sections 4.1 (queues), 4.2 (submission queue entry).
 *
 * A doorbell only starts a task.  The task reads all new entries with one
 * DMA, which the doorbell's recipe brought along, and starts a task for each
 * of them, in order.  A single entry it carries out itself: at depth 1 a
 * command costs one task.
 */

#include <errno.h>
#include "nvme.h"

/* ---- commands ---------------------------------------------------------- */

static void nvme_sq_unref(NvmeSq *sq)
{
    if (!--sq->refs) {
        nvme_cq_unref(sq->cq);
        g_free(sq);
    }
}

NvmeCmd *nvme_cmd_new(NvmeCtrl *n, NvmeSq *sq, const uint8_t *sqe,
                      uint32_t cost)
{
    NvmeCmd *cmd = g_new0(NvmeCmd, 1);

    cmd->n = n;
    cmd->sq = sq;
    cmd->cost = cost;
    cmd->parameter = 0xffff;
    memcpy(cmd->sqe, sqe, NVME_SQE_SIZE);
    cmd->prev = n->last;
    *(n->last ? &n->last->next : &n->first) = cmd;
    n->last = cmd;
    sq->refs++;
    sq->inflight++;
    n->commands++;
    n->buffers += cost;
    return cmd;
}

void nvme_cmd_free(NvmeCmd *cmd)
{
    NvmeCtrl *n = cmd->n;

    *(cmd->prev ? &cmd->prev->next : &n->first) = cmd->next;
    *(cmd->next ? &cmd->next->prev : &n->last) = cmd->prev;
    n->commands--;
    n->buffers -= cmd->cost;
    cmd->sq->inflight--;
    nvme_sq_unref(cmd->sq);
    g_free(cmd);
}

static void nvme_wake_starved(NvmeCtrl *n);

void nvme_cmd_end(NvmeCmd *cmd)
{
    NvmeCtrl *n = cmd->n;
    NvmeSq *sq = cmd->sq;
    NvmeCmd *deletion = NULL;

    if (sq->live && sq->deletion && sq->inflight == 1) {
        deletion = sq->deletion;
        sq->deletion = NULL;
        nvme_sq_remove(n, sq);
    }
    nvme_cmd_free(cmd);
    if (n->starved) {
        nvme_wake_starved(n);
    }
    if (deletion) {
        nvme_complete(deletion, NVME_SC_SUCCESS);
    }
}

void nvme_complete(NvmeCmd *cmd, uint16_t status)
{
    if (!nvme_live(cmd)) {
        nvme_cmd_end(cmd);
        return;
    }
    cmd->status = status;
    cmd->done = true;
    if (status) {
        nvme_log_error(cmd);
    }
    nvme_cq_complete(cmd);
}

static void nvme_cmd_run(NvmeCmd *cmd)
{
    uint16_t status = cmd->sq->id ? nvme_io(cmd) : nvme_admin(cmd);

    if (status != NVME_NO_COMPLETION) {
        nvme_complete(cmd, status);
    }
}

void nvme_cmd_resume(NvmeCmd *cmd)
{
    if (!nvme_live(cmd)) {
        nvme_cmd_end(cmd);
    } else if (cmd->done) {
        nvme_cq_complete(cmd);
    } else {
        nvme_cmd_run(cmd);
    }
}

static void nvme_cmd_task(RioDevice *dev, void *s, void *arg)
{
    (void)dev;
    nvme_cmd_run(arg);
    nvme_task_end(s);
}

/* ---- fetching ---------------------------------------------------------- */

/* Task.  Read @count entries from the head on, around the end */
static int nvme_sq_read(NvmeCtrl *n, NvmeSq *sq, uint32_t count,
                        uint8_t *entries)
{
    uint32_t first = MIN(count, sq->entries - sq->head);
    const RioModuleSegment segs[2] = {
        { sq->base + (uint64_t)sq->head * NVME_SQE_SIZE,
          first * NVME_SQE_SIZE },
        { sq->base, (count - first) * NVME_SQE_SIZE },
    };

    return rio_dma_readv(n->dev, n->client, segs, first < count ? 2 : 1,
                         entries);
}

/* Is there room for a command of @cost now?  One alone always has */
static bool nvme_room(const NvmeCtrl *n, uint32_t cost)
{
    return n->commands < NVME_MAX_COMMANDS &&
           (!n->buffers || n->buffers + cost <= NVME_MAX_BUFFERS);
}

/*
 * Start a task for each of @count entries, as far as there is room.
 * Returns: a command that is @alone, for the caller to run, or NULL.
 */
static NvmeCmd *nvme_sq_dispatch(NvmeCtrl *n, NvmeSq *sq, uint32_t count,
                                 const uint8_t *entries, bool alone)
{
    uint32_t i;

    for (i = 0; i < count; i++) {
        const uint8_t *sqe = entries + i * NVME_SQE_SIZE;
        uint32_t cost = sq->id ? nvme_io_cost(n, sqe) : 0;
        NvmeCmd *cmd;

        if (!nvme_room(n, cost)) {
            sq->starved = true;
            n->starved++;
            return NULL;
        }
        cmd = nvme_cmd_new(n, sq, sqe, cost);
        sq->head = (sq->head + 1) % sq->entries;
        if (alone && count == 1 && sq->head == sq->tail) {
            return cmd;
        }
        nvme_task_start(n, nvme_cmd_task, cmd);
    }
    return NULL;
}

/* Task.  How many entries are new?  With shadow doorbells, ask memory */
static uint32_t nvme_sq_news(NvmeCtrl *n, NvmeSq *sq)
{
    while (sq->head == sq->tail && sq->rung) {
        uint32_t tail;

        sq->rung = false;
        if (nvme_shadowed(n, sq->id) &&
            nvme_shadow_sync(n, sq->id, false, sq->tail, sq->entries,
                             &tail)) {
            /* Until it says there is nothing, the host need not ring */
            sq->rung |= tail != sq->tail;
            sq->tail = tail;
        }
    }
    return (sq->tail + sq->entries - sq->head) % sq->entries;
}

static bool nvme_sq_running(const NvmeCtrl *n, const NvmeSq *sq)
{
    return sq->live && !sq->deletion && !sq->starved &&
           !(n->csts & NVME_CSTS_CFS);
}

/* Task.  Fetch and start what is new; returns a command to be run */
static NvmeCmd *nvme_sq_fetch(NvmeCtrl *n, NvmeSq *sq)
{
    uint8_t entries[NVME_FETCH * NVME_SQE_SIZE];
    NvmeCmd *only = NULL;
    bool alone = true;
    uint32_t count;

    while (!only && nvme_sq_running(n, sq) && (count = nvme_sq_news(n, sq))) {
        int ret;

        count = MIN(count, NVME_FETCH);
        ret = nvme_sq_read(n, sq, count, entries);
        if (!nvme_sq_running(n, sq)) {
            break;
        }
        if (ret == -EFAULT) {
            nvme_fatal(n, "no access to a submission queue at", sq->base);
        }
        if (ret) {
            break;
        }
        only = nvme_sq_dispatch(n, sq, count, entries, alone);
        alone = false;
    }
    return only;
}

static void nvme_sq_fetch_start(NvmeCtrl *n, NvmeSq *sq);

static void nvme_sq_fetch_task(RioDevice *dev, void *s, void *arg)
{
    NvmeCtrl *n = s;
    NvmeSq *sq = arg;
    NvmeCmd *only = nvme_sq_fetch(n, sq);

    (void)dev;
    sq->fetching = false;
    if (only && sq->rung) {
        /* The shadow is to be looked at again, beside the command */
        nvme_sq_fetch_start(n, sq);
    }
    nvme_sq_unref(sq);
    if (only) {
        nvme_cmd_run(only);
    }
    nvme_task_end(n);
}

static void nvme_sq_fetch_start(NvmeCtrl *n, NvmeSq *sq)
{
    if (!sq->fetching && !sq->starved) {
        sq->fetching = true;
        sq->refs++;
        nvme_task_start(n, nvme_sq_fetch_task, sq);
    }
}

/* There may be room again: let the queues that stopped go on, in turn */
static void nvme_wake_starved(NvmeCtrl *n)
{
    unsigned i;

    n->turn++;
    for (i = 0; i <= n->queues && nvme_room(n, 0); i++) {
        NvmeSq *sq = n->sqs[(n->turn + i) % (n->queues + 1)];

        if (sq && sq->starved) {
            sq->starved = false;
            n->starved--;
            nvme_sq_fetch_start(n, sq);
        }
    }
}

void nvme_sqs_go(NvmeCtrl *n)
{
    unsigned i;

    for (i = 0; i <= n->queues; i++) {
        NvmeSq *sq = n->sqs[i];

        if (sq) {
            /* Memory may be ahead of what was seen of it */
            sq->rung = nvme_shadowed(n, i);
            if (sq->rung || sq->head != sq->tail) {
                nvme_sq_fetch_start(n, sq);
            }
        }
    }
}

bool nvme_sq_doorbell(NvmeCtrl *n, NvmeSq *sq, uint32_t tail)
{
    if (tail >= sq->entries) {
        return false;
    }
    if (nvme_shadowed(n, sq->id)) {
        /* Memory may be ahead of @tail, even now */
        sq->rung = true;
    } else {
        sq->tail = tail;
    }
    nvme_sq_fetch_start(n, sq);
    return true;
}

/* ---- creation and deletion --------------------------------------------- */

NvmeSq *nvme_sq_new(NvmeCtrl *n, unsigned id, uint64_t base,
                    uint32_t entries, NvmeCq *cq)
{
    NvmeSq *sq = g_new0(NvmeSq, 1);

    sq->refs = 1;
    sq->id = id;
    sq->live = true;
    sq->base = base;
    sq->entries = entries;
    sq->cq = cq;
    cq->refs++;
    cq->users++;
    n->sqs[id] = sq;
    nvme_recipe_set(n, sq);
    return sq;
}

void nvme_sq_remove(NvmeCtrl *n, NvmeSq *sq)
{
    nvme_recipe_clear(n, sq);
    n->sqs[sq->id] = NULL;
    sq->live = false;
    sq->cq->users--;
    if (sq->starved) {
        sq->starved = false;
        n->starved--;
    }
    nvme_cq_drop(sq->cq, sq);
    if (sq->deletion) {
        /* A reset came first, and took the queue of this command too */
        nvme_cmd_free(sq->deletion);
        sq->deletion = NULL;
    }
    nvme_sq_unref(sq);
}

uint16_t nvme_sq_delete(NvmeCmd *cmd, NvmeSq *sq)
{
    nvme_cq_drop(sq->cq, sq);
    if (sq->inflight) {
        sq->deletion = cmd;
        return NVME_NO_COMPLETION;
    }
    nvme_sq_remove(cmd->n, sq);
    return NVME_SC_SUCCESS;
}
