/*
 * remote-io-server: disks for modules, any block node of the server
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A disk is a BlockBackend in the home of its instance, so that a request
 * costs no change of threads.  Nodes are opened and closed by the main loop
 * alone, which QEMU's block layer demands.
 */

#include "qemu/osdep.h"
#include "block/block_int-common.h"
#include "qapi/error.h"
#include "system/block-backend.h"
#include "internal.h"
#include "trace.h"

struct RioBlock {
    RiodInstance *inst;
    BlockBackend *blk;
    const RioBlockOps *ops;
    bool writable;
    QLIST_ENTRY(RioBlock) node;
};

/* ---- the length changed ------------------------------------------------ */

typedef struct ResizeTask {
    RiodTask task;
    RiodInstance *inst;
    RioBlock *block;
} ResizeTask;

static void resize_run(RiodTask *task)
{
    ResizeTask *t = container_of(task, ResizeTask, task);
    RiodInstance *inst = t->inst;

    if (riod_instance_hold(inst, task)) {
        return;
    }
    riod_journal_touch(inst);
    if (!inst->closed) {
        t->block->ops->resized(&inst->dev, inst->state);
    }
    riod_instance_unref(inst);
    g_free(t);
}

/* Any thread */
static void block_resized(void *opaque)
{
    RioBlock *block = opaque;
    ResizeTask *t;

    if (block->ops && block->ops->resized) {
        t = g_new0(ResizeTask, 1);
        t->task.run = resize_run;
        t->inst = riod_instance_ref(block->inst);
        t->block = block;
        riod_home_post(block->inst->home, &t->task);
    }
}

static const BlockDevOps block_dev_ops = {
    .resize_cb = block_resized,
};

/* ---- opening ----------------------------------------------------------- */

typedef struct OpenCall {
    RioBlock *block;
    const char *node;
    Error *err;
} OpenCall;

static void open_in_main(void *opaque)
{
    OpenCall *call = opaque;
    RioBlock *block = call->block;
    uint64_t perm = BLK_PERM_CONSISTENT_READ |
                    (block->writable ? BLK_PERM_WRITE : 0);
    uint64_t shared = BLK_PERM_CONSISTENT_READ | BLK_PERM_WRITE_UNCHANGED |
                      BLK_PERM_RESIZE;
    BlockDriverState *bs = bdrv_find_node(call->node);

    if (!bs) {
        error_setg(&call->err, "there is no block node '%s': put --blockdev "
                   "...,node-name=%s before it", call->node, call->node);
        return;
    }
    block->blk = blk_new(block->inst->home->ctx, perm, shared);
    /* A node that waits for another server is inactive, and may become so */
    blk_set_force_allow_inactivate(block->blk);
    if (blk_insert_bs(block->blk, bs, &call->err) < 0) {
        blk_unref(block->blk);
        block->blk = NULL;
        return;
    }
    blk_set_dev_ops(block->blk, &block_dev_ops, block);
}

RioBlock *riod_block_open(RioDevice *dev, const char *node, bool writable,
                          const RioBlockOps *ops)
{
    RiodInstance *inst = riod_instance(dev);
    RioBlock *block = g_new0(RioBlock, 1);
    OpenCall call = { .block = block, .node = node };

    block->inst = inst;
    block->ops = ops;
    block->writable = writable;
    if (inst->opened || riod_job_self(inst)) {
        riod_log("%s: error: the module opens a disk outside of open",
                 inst->id);
        g_free(block);
        return NULL;
    }
    if (!node) {
        error_setg(&call.err, "no block node is named");
    } else {
        riod_home_call_main(inst->home, open_in_main, &call);
    }
    if (call.err) {
        if (!inst->open_error) {
            error_propagate(&inst->open_error, call.err);
        } else {
            error_free(call.err);
        }
        g_free(block);
        return NULL;
    }
    QLIST_INSERT_HEAD(&inst->blocks, block, node);
    return block;
}

void riod_blocks_free(RiodInstance *inst)
{
    RioBlock *block;

    while ((block = QLIST_FIRST(&inst->blocks))) {
        QLIST_REMOVE(block, node);
        blk_set_dev_ops(block->blk, NULL, NULL);
        blk_unref(block->blk);
        g_free(block);
    }
}

bool riod_blocks_inactivate(RiodInstance *inst, Error **errp)
{
    RioBlock *block;

    QLIST_FOREACH(block, &inst->blocks, node) {
        Error *err = NULL;

        blk_drain(block->blk);
        if (blk_flush(block->blk) < 0 ||
            bdrv_inactivate(blk_bs(block->blk), &err) < 0) {
            error_setg(errp, "block node '%s' cannot be given away: %s",
                       bdrv_get_node_name(blk_bs(block->blk)),
                       err ? error_get_pretty(err) : "it cannot be flushed");
            error_free(err);
            return false;
        }
    }
    return true;
}

bool riod_blocks_activate(RiodInstance *inst, Error **errp)
{
    RioBlock *block;

    QLIST_FOREACH(block, &inst->blocks, node) {
        Error *err = NULL;
        int ret;

        WITH_GRAPH_RDLOCK_GUARD() {
            ret = bdrv_activate(blk_bs(block->blk), &err);
        }
        if (ret < 0) {
            error_setg(errp, "block node '%s' cannot be taken over: %s",
                       bdrv_get_node_name(blk_bs(block->blk)),
                       error_get_pretty(err));
            error_free(err);
            return false;
        }
    }
    return true;
}

void riod_block_info(RioBlock *block, RioBlockInfo *info)
{
    BlockDriverState *bs = blk_bs(block->blk);

    /* blk_getlength() would run an event loop inside the callback */
    info->length = bs->total_sectors * BDRV_SECTOR_SIZE;
    info->request_alignment = blk_get_request_alignment(block->blk);
    info->read_only = !block->writable;
    info->can_discard = block->writable &&
                        (bdrv_get_flags(bs) & BDRV_O_UNMAP);
}

/* ---- requests ---------------------------------------------------------- */

/* Returns: 0, or why the request cannot be made */
static int coroutine_fn block_begin(RioBlock *block, bool write,
                                    const char *call)
{
    RiodJob *job = riod_job_self(block->inst);

    if (!job) {
        riod_complain_not_task(block->inst, call);
        return -EINVAL;
    }
    riod_job_park(job);
    if (riod_job_error(job)) {
        return -ECANCELED;
    }
    if (write && !block->writable) {
        return -EROFS;
    }
    block->inst->in_block++;
    return 0;
}

/* Returns: @ret.  The block layer may have woken the task outside of a run */
static int coroutine_fn block_end(RioBlock *block, int ret)
{
    RiodInstance *inst = block->inst;

    inst->in_block--;
    riod_journal_touch(inst);
    if (unlikely(inst->stops)) {
        riod_stop_look(inst);
        riod_job_park(riod_job_self(inst));
    }
    return ret;
}

int riod_block_read(RioBlock *block, uint64_t offset, void *buf, size_t len)
{
    int ret = block_begin(block, false, "rio_block_read");

    return ret ?: block_end(block, blk_co_pread(block->blk, offset, len, buf,
                                                0));
}

int riod_block_write(RioBlock *block, uint64_t offset, const void *buf,
                     size_t len, unsigned flags)
{
    int ret = block_begin(block, true, "rio_block_write");

    return ret ?: block_end(block,
        blk_co_pwrite(block->blk, offset, len, buf,
                      flags & RIO_BLOCK_FUA ? BDRV_REQ_FUA : 0));
}

int riod_block_zero(RioBlock *block, uint64_t offset, uint64_t len,
                    unsigned flags)
{
    int ret = block_begin(block, true, "rio_block_zero");

    return ret ?: block_end(block,
        blk_co_pwrite_zeroes(block->blk, offset, len,
            (flags & RIO_BLOCK_FUA ? BDRV_REQ_FUA : 0) |
            (flags & RIO_BLOCK_UNMAP ? BDRV_REQ_MAY_UNMAP : 0)));
}

typedef struct Discard {
    Coroutine *co;
    int ret;
} Discard;

static void discarded(void *opaque, int ret)
{
    Discard *discard = opaque;

    discard->ret = ret;
    aio_co_wake(discard->co);
}

/* The call for coroutines is not the same in all of QEMU 10.0 */
int riod_block_discard(RioBlock *block, uint64_t offset, uint64_t len)
{
    int ret = block_begin(block, true, "rio_block_discard");
    Discard discard = { .co = qemu_coroutine_self() };

    if (ret) {
        return ret;
    }
    blk_aio_pdiscard(block->blk, offset, len, discarded, &discard);
    qemu_coroutine_yield();
    return block_end(block, discard.ret);
}

int riod_block_flush(RioBlock *block)
{
    int ret = block_begin(block, false, "rio_block_flush");

    return ret ?: block_end(block, blk_co_flush(block->blk));
}
