/*
 * nvme module: admin commands on queues, and the way to the others
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * NVM Express 1.4, section 5 "Admin Command Set": 5.1 Abort, 5.3 Create I/O
 * Completion Queue, 5.4 Create I/O Submission Queue, 5.5 and 5.6 Delete, 5.7
 * Doorbell Buffer Config.
 */

#include "nvme.h"

/* Value of CC.IOSQES and CC.IOCQES: powers of two */
#define NVME_SQE_SHIFT 6
#define NVME_CQE_SHIFT 4

/* What both Create commands have in common: CDW10 and the address */
static uint16_t nvme_create_check(NvmeCmd *cmd, bool exists, bool sizes_set)
{
    NvmeCtrl *n = cmd->n;
    uint32_t id = nvme_cdw(cmd, 10) & 0xffff;
    uint32_t size = nvme_cdw(cmd, 10) >> 16;
    uint64_t base = nvme_get64(cmd->sqe + NVME_SQE_PRP1);

    if (!id || id > n->queues || exists) {
        return nvme_fail_at(cmd, NVME_SQE_CDW10, NVME_SC_INVALID_QID);
    }
    if (!size || size >= NVME_MAX_ENTRIES || !sizes_set) {
        return nvme_fail_at(cmd, NVME_SQE_CDW10 + 2, NVME_SC_QUEUE_SIZE);
    }
    if (!(nvme_cdw(cmd, 11) & 1)) {
        /* PC: physically contiguous, see CAP.CQR */
        return nvme_fail_at(cmd, NVME_SQE_CDW11, NVME_SC_INVALID_FIELD);
    }
    if (base & (nvme_page_size(n) - 1)) {
        return nvme_fail_at(cmd, NVME_SQE_PRP1, NVME_SC_PRP_OFFSET);
    }
    return 0;
}

static NvmeSq *nvme_sq_find(NvmeCtrl *n, uint32_t id)
{
    return id && id <= n->queues ? n->sqs[id] : NULL;
}

static NvmeCq *nvme_cq_find(NvmeCtrl *n, uint32_t id)
{
    return id && id <= n->queues ? n->cqs[id] : NULL;
}

/*
 * Task.  A queue made after Doorbell Buffer Config starts from 0 in memory
 * too.  Before it is made: from there to the end of the command nothing waits,
 * so that a command that is carried out again finds no queue of its own.
 */
static uint16_t nvme_shadow_start(NvmeCmd *cmd, unsigned id, bool cq)
{
    if (nvme_shadowed(cmd->n, id)) {
        nvme_shadow_index(cmd->n, id, cq, 0);
    }
    return nvme_live(cmd) ? 0 : NVME_SC_ABORT_REQUESTED;
}

static uint16_t nvme_create_cq(NvmeCmd *cmd)
{
    NvmeCtrl *n = cmd->n;
    uint32_t id = nvme_cdw(cmd, 10) & 0xffff;
    uint32_t vector = nvme_cdw(cmd, 11) >> 16;
    uint16_t status = nvme_create_check(cmd, nvme_cq_find(n, id),
                                        NVME_CC_IOCQES(n->cc) ==
                                        NVME_CQE_SHIFT);

    if (status) {
        return status;
    }
    if (vector > n->queues) {
        return nvme_fail_at(cmd, NVME_SQE_CDW11 + 2, NVME_SC_INVALID_VECTOR);
    }
    status = nvme_shadow_start(cmd, id, true);
    if (status) {
        return status;
    }
    if (nvme_cq_find(n, id)) {
        return nvme_fail_at(cmd, NVME_SQE_CDW10, NVME_SC_INVALID_QID);
    }
    nvme_cq_new(n, id, nvme_get64(cmd->sqe + NVME_SQE_PRP1),
                (nvme_cdw(cmd, 10) >> 16) + 1, nvme_cdw(cmd, 11) & 2, vector);
    return 0;
}

static uint16_t nvme_create_sq(NvmeCmd *cmd)
{
    NvmeCtrl *n = cmd->n;
    uint32_t id = nvme_cdw(cmd, 10) & 0xffff;
    uint32_t cqid = nvme_cdw(cmd, 11) >> 16;
    NvmeCq *cq;
    uint16_t status = nvme_create_check(cmd, nvme_sq_find(n, id),
                                        NVME_CC_IOSQES(n->cc) ==
                                        NVME_SQE_SHIFT);

    if (!status) {
        status = nvme_shadow_start(cmd, id, false);
    }
    if (status) {
        return status;
    }
    if (nvme_sq_find(n, id)) {
        return nvme_fail_at(cmd, NVME_SQE_CDW10, NVME_SC_INVALID_QID);
    }
    cq = nvme_cq_find(n, cqid);
    if (!cq) {
        /* Not one that could be, or one that is not */
        return nvme_fail_at(cmd, NVME_SQE_CDW11 + 2,
                            !cqid || cqid > n->queues ? NVME_SC_INVALID_QID :
                                                        NVME_SC_INVALID_CQ);
    }
    nvme_sq_new(n, id, nvme_get64(cmd->sqe + NVME_SQE_PRP1),
                (nvme_cdw(cmd, 10) >> 16) + 1, cq);
    return 0;
}

static uint16_t nvme_delete_sq(NvmeCmd *cmd)
{
    NvmeSq *sq = nvme_sq_find(cmd->n, nvme_cdw(cmd, 10) & 0xffff);

    if (!sq || sq->deletion) {
        return nvme_fail_at(cmd, NVME_SQE_CDW10, NVME_SC_INVALID_QID);
    }
    return nvme_sq_delete(cmd, sq);
}

static uint16_t nvme_delete_cq(NvmeCmd *cmd)
{
    NvmeCq *cq = nvme_cq_find(cmd->n, nvme_cdw(cmd, 10) & 0xffff);

    if (!cq) {
        return nvme_fail_at(cmd, NVME_SQE_CDW10, NVME_SC_INVALID_QID);
    }
    if (cq->users) {
        return nvme_fail_at(cmd, NVME_SQE_CDW10, NVME_SC_QUEUE_DELETION);
    }
    nvme_cq_remove(cmd->n, cq);
    return 0;
}

/*
 * 5.1: the controller may leave a command alone (bit 0 of the result is 1).
 * Requests for events are the ones that never end by themselves.
 */
static uint16_t nvme_abort(NvmeCmd *cmd)
{
    uint32_t sqid = nvme_cdw(cmd, 10) & 0xffff;
    NvmeCmd *victim = NULL;

    if (sqid > cmd->n->queues || !cmd->n->sqs[sqid]) {
        return nvme_fail_at(cmd, NVME_SQE_CDW10, NVME_SC_INVALID_FIELD);
    }
    if (!sqid) {
        victim = nvme_event_take(cmd->n, nvme_cdw(cmd, 10) >> 16);
    }
    cmd->result = !victim;
    if (victim) {
        nvme_complete(victim, NVME_SC_ABORT_REQUESTED);
    }
    return 0;
}

static uint16_t nvme_doorbell_config(NvmeCmd *cmd)
{
    NvmeCtrl *n = cmd->n;
    uint64_t shadow = nvme_get64(cmd->sqe + NVME_SQE_PRP1);
    uint64_t index = nvme_get64(cmd->sqe + NVME_SQE_PRP2);
    uint32_t page = nvme_page_size(n);
    unsigned i;

    if (!n->shadow_supported) {
        return nvme_fail_at(cmd, NVME_SQE_OPCODE, NVME_SC_INVALID_OPCODE);
    }
    if (!shadow || (shadow & (page - 1))) {
        return nvme_fail_at(cmd, NVME_SQE_PRP1, NVME_SC_INVALID_FIELD);
    }
    if (!index || (index & (page - 1))) {
        return nvme_fail_at(cmd, NVME_SQE_PRP2, NVME_SC_INVALID_FIELD);
    }
    n->shadow = shadow;
    n->event_index = index;
    for (i = 1; i <= n->queues; i++) {
        if (n->sqs[i]) {
            /* As if rung: writes the index and looks */
            nvme_sq_doorbell(n, n->sqs[i], n->sqs[i]->tail);
        }
    }
    return 0;
}

static uint16_t nvme_admin_check(NvmeCmd *cmd)
{
    if (cmd->sqe[NVME_SQE_FLAGS] &
        (NVME_SQE_FUSE_MASK | NVME_SQE_PSDT_MASK)) {
        /* 4.2: admin commands over PCIe use PRPs */
        return nvme_fail_at(cmd, NVME_SQE_FLAGS, NVME_SC_INVALID_FIELD);
    }
    return 0;
}

uint16_t nvme_admin(NvmeCmd *cmd)
{
    uint16_t status = nvme_admin_check(cmd);

    if (status) {
        return status;
    }
    switch (cmd->sqe[NVME_SQE_OPCODE]) {
    case NVME_ADMIN_DELETE_SQ:
        return nvme_delete_sq(cmd);
    case NVME_ADMIN_CREATE_SQ:
        return nvme_create_sq(cmd);
    case NVME_ADMIN_GET_LOG:
        return nvme_get_log(cmd);
    case NVME_ADMIN_DELETE_CQ:
        return nvme_delete_cq(cmd);
    case NVME_ADMIN_CREATE_CQ:
        return nvme_create_cq(cmd);
    case NVME_ADMIN_IDENTIFY:
        return nvme_identify(cmd);
    case NVME_ADMIN_ABORT:
        return nvme_abort(cmd);
    case NVME_ADMIN_SET_FEATURES:
        return nvme_set_features(cmd);
    case NVME_ADMIN_GET_FEATURES:
        return nvme_get_features(cmd);
    case NVME_ADMIN_ASYNC_EVENT:
        return nvme_event_request(cmd);
    case NVME_ADMIN_DOORBELL_CONFIG:
        return nvme_doorbell_config(cmd);
    default:
        return nvme_fail_at(cmd, NVME_SQE_OPCODE, NVME_SC_INVALID_OPCODE);
    }
}
