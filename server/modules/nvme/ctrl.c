/*
 * nvme module: enable, reset and shutdown of the controller
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * NVM Express 1.4, sections 3.1.5 (CC), 7.3 (Resets), 7.6 (Controller
 * Initialization and Shutdown Processing).
 *
 * A reset drops the queues at once: from then on no entry is fetched and no
 * completion is posted.  Tasks that wait for the disk or for guest memory
 * return by and by; only when the last one has does CSTS.RDY become 0, or,
 * when the host wants the controller enabled, 1.  So a write to the disk
 * that was under way cannot overtake one that comes after the reset.
 */

#include <errno.h>
#include "nvme.h"

#define NVME_SAY_NS         1000000000  /* at most one log line a second */

bool nvme_may_say(NvmeCtrl *n)
{
    int64_t now = rio_clock_ns(n->dev);

    if (n->said_ns && now - n->said_ns < NVME_SAY_NS) {
        n->unsaid++;
        return false;
    }
    n->said_ns = now;
    return true;
}

void nvme_fatal(NvmeCtrl *n, const char *why, uint64_t value)
{
    /* Nobody may look into the guest: the operator sees its disk stop */
    if (!(n->csts & NVME_CSTS_CFS) && nvme_may_say(n)) {
        rio_log(n->dev, RIO_LOG_WARN, "the guest's controller stops "
                "(CSTS.CFS) until it is reset: %s (0x%" PRIx64 "; %u more "
                "errors since the last line)", why, value, n->unsaid);
        n->unsaid = 0;
    }
    n->csts |= NVME_CSTS_CFS;
}

/* 3.1.5, 3.1.8 to 3.1.10: is what the host set before CC.EN possible? */
static bool nvme_config_check(NvmeCtrl *n)
{
    uint32_t page = nvme_page_size(n);

    if (NVME_CC_MPS(n->cc) > NVME_MPS_MAX) {
        nvme_fatal(n, "memory page size over CAP.MPSMAX, CC", n->cc);
    } else if (NVME_CC_CSS(n->cc)) {
        nvme_fatal(n, "command set other than NVM, CC", n->cc);
    } else if (NVME_CC_AMS(n->cc)) {
        nvme_fatal(n, "arbitration other than round robin, CC", n->cc);
    } else if (!(n->aqa & 0xfff) || !(n->aqa >> 16 & 0xfff)) {
        nvme_fatal(n, "admin queue of one entry, AQA", n->aqa);
    } else if (n->asq & (page - 1)) {
        nvme_fatal(n, "ASQ is not on a page boundary", n->asq);
    } else if (n->acq & (page - 1)) {
        nvme_fatal(n, "ACQ is not on a page boundary", n->acq);
    } else {
        return true;
    }
    return false;
}

static void nvme_enable(NvmeCtrl *n)
{
    NvmeCq *cq;

    if (!nvme_config_check(n)) {
        return;
    }
    cq = nvme_cq_new(n, 0, n->acq, (n->aqa >> 16 & 0xfff) + 1, true, 0);
    nvme_sq_new(n, 0, n->asq, (n->aqa & 0xfff) + 1, cq);
    n->csts |= NVME_CSTS_RDY;
}

static void nvme_drop_queues(NvmeCtrl *n)
{
    unsigned i;

    nvme_events_reset(n);
    for (i = 0; i <= n->queues; i++) {
        if (n->sqs[i]) {
            nvme_sq_remove(n, n->sqs[i]);
        }
    }
    for (i = 0; i <= n->queues; i++) {
        if (n->cqs[i]) {
            nvme_cq_remove(n, n->cqs[i]);
        }
    }
    n->intms = 0;
    n->messages = false;
    n->shadow = n->event_index = 0;
    n->starved = 0;
    nvme_irq_update(n);
    nvme_features_reset(n);
}

/* Go on to the state that CC asks for, if no task is in the way */
static void nvme_settle(NvmeCtrl *n)
{
    if (n->tasks) {
        return;
    }
    if (n->resetting) {
        n->resetting = false;
        n->csts = 0;
    }
    if ((n->cc & NVME_CC_EN) && !(n->csts & (NVME_CSTS_RDY | NVME_CSTS_CFS))) {
        nvme_enable(n);
    }
}

void nvme_task_start(NvmeCtrl *n, RioTask *task, void *arg)
{
    n->tasks++;
    rio_task_start(n->dev, task, arg);
}

void nvme_task_end(NvmeCtrl *n)
{
    n->tasks--;
    nvme_settle(n);
}

static bool nvme_shutting_down(const NvmeCtrl *n)
{
    return (n->csts & NVME_CSTS_SHST_MASK) == NVME_CSTS_SHST_BUSY;
}

/*
 * 7.6.2: everything that was completed is to survive a loss of power.  One
 * task does it for as many shutdowns as the host asks for meanwhile.
 */
static void nvme_shutdown_task(RioDevice *dev, void *s, void *arg)
{
    NvmeCtrl *n = s;
    unsigned shutdown;
    int ret;

    do {
        shutdown = n->shutdowns;
        ret = rio_block_flush(dev, n->blk);
        if (ret < 0 && ret != -ECANCELED && nvme_may_say(n)) {
            rio_log(dev, RIO_LOG_ERROR, "flush at shutdown failed: %s",
                    g_strerror(-ret));
            n->unsaid = 0;
        }
        if (n->life != GPOINTER_TO_UINT(arg)) {
            nvme_task_end(n);   /* a state was loaded, which starts another */
            return;
        }
    } while (shutdown != n->shutdowns && nvme_shutting_down(n));
    if (nvme_shutting_down(n)) {
        n->csts &= ~NVME_CSTS_SHST_MASK;
        n->csts |= NVME_CSTS_SHST_DONE;
    }
    n->shutdown_task = false;
    nvme_task_end(n);
}

static void nvme_shutdown_start(NvmeCtrl *n)
{
    nvme_task_start(n, nvme_shutdown_task, GUINT_TO_POINTER(n->life));
}

static void nvme_shutdown(NvmeCtrl *n)
{
    n->shutdowns++;
    n->csts &= ~NVME_CSTS_SHST_MASK;
    n->csts |= NVME_CSTS_SHST_BUSY;
    if (!n->shutdown_task) {
        n->shutdown_task = true;
        nvme_shutdown_start(n);
    }
}

void nvme_ctrl_go(NvmeCtrl *n)
{
    n->shutdown_task = nvme_shutting_down(n);
    if (n->shutdown_task) {
        nvme_shutdown_start(n);
    }
    nvme_settle(n);
}

void nvme_cc_write(NvmeCtrl *n, uint32_t value)
{
    uint32_t old = n->cc;

    n->cc = value & NVME_CC_WRITABLE;
    if ((old & NVME_CC_EN) && !(n->cc & NVME_CC_EN)) {
        n->resetting = true;
        n->shutdowns++;
        nvme_drop_queues(n);
    }
    if (NVME_CC_SHN(n->cc) && !NVME_CC_SHN(old)) {
        nvme_shutdown(n);
    } else if (!NVME_CC_SHN(n->cc) && NVME_CC_SHN(old)) {
        n->shutdowns++;
        n->csts &= ~NVME_CSTS_SHST_MASK;
    }
    nvme_settle(n);
}

void nvme_ctrl_reset(NvmeCtrl *n)
{
    n->resetting = false;
    n->shutdowns++;
    n->cc = n->csts = n->aqa = 0;
    n->asq = n->acq = 0;
    nvme_drop_queues(n);
}
