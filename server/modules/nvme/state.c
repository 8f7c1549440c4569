/*
 * nvme module: its state, saved and loaded
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Registers, queues, features, logs, and the commands that were fetched and
 * whose completion the guest cannot have seen.  Those are carried out again
 * where the state is loaded, unless only their completion was missing: a
 * command of the disk changes nothing when it is done twice before it was
 * completed, and admin commands are written so that it holds for them.
 *
 * What makes this true is that a completion enters guest memory and its
 * command leaves the list in one go, with no host call that waits between
 * them; and that an entry is taken off a queue and enters the list likewise.
 */

#include <errno.h>
#include "nvme.h"

/* What is to be done with a command */
enum { NVME_SAVED_RUN, NVME_SAVED_POST, NVME_SAVED_EVENT };

/* Entries of a queue: the admin queue's may be the most (3.1.8) */
#define NVME_MOST_ENTRIES 4096u

typedef struct NvmeCqImage {
    uint64_t base;
    uint32_t entries, head, tail;
    uint16_t id, vector;
    bool interrupts, phase;
} NvmeCqImage;

typedef struct NvmeSqImage {
    uint64_t base;
    uint32_t entries, head, tail;
    uint16_t id, cqid;
} NvmeSqImage;

typedef struct NvmeCmdImage {
    uint64_t lba;
    uint32_t result;
    uint16_t sqid, status, parameter;
    uint8_t what;               /* NVME_SAVED_* */
    bool took_change;
    uint8_t sqe[NVME_SQE_SIZE];
} NvmeCmdImage;

typedef struct NvmeImage {
    /* The guest would notice another */
    char serial[20], model[40];
    uint8_t block_shift;
    uint64_t blocks;

    uint64_t power_on_age;
    uint32_t cc, csts, aqa, intms;
    uint64_t asq, acq;
    bool resetting, messages;
    uint64_t shadow, event_index;

    uint32_t num_cqs, num_sqs, num_cmds;
    NvmeCqImage cqs[NVME_MAX_QUEUES + 1];
    NvmeSqImage sqs[NVME_MAX_QUEUES + 1];
    NvmeCmdImage cmds[NVME_MAX_COMMANDS];

    bool event_pending[NVME_EVENT_TYPES], event_masked[NVME_EVENT_TYPES];
    uint32_t event_result[NVME_EVENT_TYPES];
    bool namespace_changed;

    uint32_t arbitration, error_recovery, coalescing, atomicity, workload;
    uint32_t event_config;
    uint16_t hot, cold;
    bool write_cache;
    bool vector_plain[NVME_MAX_QUEUES + 1];

    uint64_t read_units, write_units, reads, writes, media_errors, failures;
    uint32_t error_bytes;
    uint8_t errors[NVME_ERRORS * NVME_ERROR_SIZE];
} NvmeImage;

static const RioField nvme_cq_fields[] = {
    { RIO_STATE(NvmeCqImage, UINT, base) },
    { RIO_STATE(NvmeCqImage, UINT, entries) },
    { RIO_STATE(NvmeCqImage, UINT, head) },
    { RIO_STATE(NvmeCqImage, UINT, tail) },
    { RIO_STATE(NvmeCqImage, UINT, id) },
    { RIO_STATE(NvmeCqImage, UINT, vector) },
    { RIO_STATE(NvmeCqImage, BOOL, interrupts) },
    { RIO_STATE(NvmeCqImage, BOOL, phase) },
    { .name = NULL },
};

static const RioField nvme_sq_fields[] = {
    { RIO_STATE(NvmeSqImage, UINT, base) },
    { RIO_STATE(NvmeSqImage, UINT, entries) },
    { RIO_STATE(NvmeSqImage, UINT, head) },
    { RIO_STATE(NvmeSqImage, UINT, tail) },
    { RIO_STATE(NvmeSqImage, UINT, id) },
    { RIO_STATE(NvmeSqImage, UINT, cqid) },
    { .name = NULL },
};

static const RioField nvme_cmd_fields[] = {
    { RIO_STATE(NvmeCmdImage, UINT, lba) },
    { RIO_STATE(NvmeCmdImage, UINT, result) },
    { RIO_STATE(NvmeCmdImage, UINT, sqid) },
    { RIO_STATE(NvmeCmdImage, UINT, status) },
    { RIO_STATE(NvmeCmdImage, UINT, parameter) },
    { RIO_STATE(NvmeCmdImage, UINT, what) },
    { RIO_STATE(NvmeCmdImage, BOOL, took_change) },
    { RIO_STATE_ARRAY(NvmeCmdImage, BYTES, sqe) },
    { .name = NULL },
};

static const RioField nvme_fields[] = {
    { RIO_STATE_ARRAY(NvmeImage, BYTES, serial) },
    { RIO_STATE_ARRAY(NvmeImage, BYTES, model) },
    { RIO_STATE(NvmeImage, UINT, block_shift) },
    { RIO_STATE(NvmeImage, UINT, blocks) },
    { RIO_STATE(NvmeImage, UINT, power_on_age) },
    { RIO_STATE(NvmeImage, UINT, cc) },
    { RIO_STATE(NvmeImage, UINT, csts) },
    { RIO_STATE(NvmeImage, UINT, aqa) },
    { RIO_STATE(NvmeImage, UINT, intms) },
    { RIO_STATE(NvmeImage, UINT, asq) },
    { RIO_STATE(NvmeImage, UINT, acq) },
    { RIO_STATE(NvmeImage, BOOL, resetting) },
    { RIO_STATE(NvmeImage, BOOL, messages) },
    { RIO_STATE(NvmeImage, UINT, shadow) },
    { RIO_STATE(NvmeImage, UINT, event_index) },
    { RIO_STATE_STRUCTS_USED(NvmeImage, cqs, nvme_cq_fields, num_cqs) },
    { RIO_STATE_STRUCTS_USED(NvmeImage, sqs, nvme_sq_fields, num_sqs) },
    { RIO_STATE_STRUCTS_USED(NvmeImage, cmds, nvme_cmd_fields, num_cmds) },
    { RIO_STATE_ARRAY(NvmeImage, BOOL, event_pending) },
    { RIO_STATE_ARRAY(NvmeImage, BOOL, event_masked) },
    { RIO_STATE_ARRAY(NvmeImage, UINT, event_result) },
    { RIO_STATE(NvmeImage, BOOL, namespace_changed) },
    { RIO_STATE(NvmeImage, UINT, arbitration) },
    { RIO_STATE(NvmeImage, UINT, error_recovery) },
    { RIO_STATE(NvmeImage, UINT, coalescing) },
    { RIO_STATE(NvmeImage, UINT, atomicity) },
    { RIO_STATE(NvmeImage, UINT, workload) },
    { RIO_STATE(NvmeImage, UINT, event_config) },
    { RIO_STATE(NvmeImage, UINT, hot) },
    { RIO_STATE(NvmeImage, UINT, cold) },
    { RIO_STATE(NvmeImage, BOOL, write_cache) },
    { RIO_STATE_ARRAY(NvmeImage, BOOL, vector_plain) },
    { RIO_STATE(NvmeImage, UINT, read_units) },
    { RIO_STATE(NvmeImage, UINT, write_units) },
    { RIO_STATE(NvmeImage, UINT, reads) },
    { RIO_STATE(NvmeImage, UINT, writes) },
    { RIO_STATE(NvmeImage, UINT, media_errors) },
    { RIO_STATE(NvmeImage, UINT, failures) },
    { RIO_STATE_USED(NvmeImage, BYTES, errors, error_bytes) },
    { .name = NULL },
};

/* ---- saving -------------------------------------------------------------- */

/* Entries that were given a place and are not in guest memory yet go back */
static void nvme_save_cq(const NvmeCq *cq, NvmeCqImage *image)
{
    uint32_t tail = (cq->tail + cq->entries - cq->posting) % cq->entries;

    *image = (NvmeCqImage) {
        .base = cq->base, .entries = cq->entries, .head = cq->head,
        .tail = tail, .id = cq->id, .vector = cq->vector,
        .interrupts = cq->interrupts,
        .phase = tail > cq->tail ? !cq->phase : cq->phase,
    };
}

static void nvme_save_queues(const NvmeCtrl *n, NvmeImage *image)
{
    unsigned i;

    image->num_cqs = image->num_sqs = 0;
    for (i = 0; i <= n->queues; i++) {
        const NvmeSq *sq = n->sqs[i];

        if (n->cqs[i]) {
            nvme_save_cq(n->cqs[i], &image->cqs[image->num_cqs++]);
        }
        if (sq) {
            image->sqs[image->num_sqs++] = (NvmeSqImage) {
                .base = sq->base, .entries = sq->entries, .head = sq->head,
                .tail = sq->tail, .id = sq->id, .cqid = sq->cq->id,
            };
        }
    }
}

static void nvme_save_commands(const NvmeCtrl *n, NvmeImage *image)
{
    const NvmeCmd *cmd;

    image->num_cmds = 0;
    for (cmd = n->first; cmd; cmd = cmd->next) {
        NvmeCmdImage *to = &image->cmds[image->num_cmds];

        if (!nvme_live(cmd) || image->num_cmds == NVME_MAX_COMMANDS) {
            continue;
        }
        to->lba = cmd->lba;
        to->result = cmd->result;
        to->sqid = cmd->sq->id;
        to->status = cmd->status;
        to->parameter = cmd->parameter;
        to->what = cmd->done ? NVME_SAVED_POST :
                   cmd->parked ? NVME_SAVED_EVENT : NVME_SAVED_RUN;
        to->took_change = cmd->took_change;
        memcpy(to->sqe, cmd->sqe, NVME_SQE_SIZE);
        image->num_cmds++;
    }
}

static void nvme_save_features(const NvmeCtrl *n, NvmeImage *image)
{
    memcpy(image->event_pending, n->event_pending, sizeof(n->event_pending));
    memcpy(image->event_masked, n->event_masked, sizeof(n->event_masked));
    memcpy(image->event_result, n->event_result, sizeof(n->event_result));
    image->namespace_changed = n->namespace_changed;
    image->arbitration = n->arbitration;
    image->error_recovery = n->error_recovery;
    image->coalescing = n->coalescing;
    image->atomicity = n->atomicity;
    image->workload = n->workload;
    image->event_config = n->event_config;
    image->hot = n->hot;
    image->cold = n->cold;
    image->write_cache = n->write_cache;
    memcpy(image->vector_plain, n->vector_plain, sizeof(n->vector_plain));
}

static void nvme_save_logs(const NvmeCtrl *n, NvmeImage *image)
{
    image->read_units = n->stats.read_units;
    image->write_units = n->stats.write_units;
    image->reads = n->stats.reads;
    image->writes = n->stats.writes;
    image->media_errors = n->stats.media_errors;
    image->failures = n->stats.errors;
    image->error_bytes = MIN(n->stats.errors, NVME_ERRORS) * NVME_ERROR_SIZE;
    memcpy(image->errors, n->errors, image->error_bytes);
}

static void nvme_save(RioDevice *dev, void *s, void *to)
{
    const NvmeCtrl *n = s;
    NvmeImage *image = to;

    memcpy(image->serial, n->serial, sizeof(image->serial));
    memcpy(image->model, n->model, sizeof(image->model));
    image->block_shift = n->block_shift;
    image->blocks = n->blocks;
    image->power_on_age = rio_clock_ns(dev) - n->power_on_ns;
    image->cc = n->cc;
    image->csts = n->csts;
    image->aqa = n->aqa;
    image->intms = n->intms;
    image->asq = n->asq;
    image->acq = n->acq;
    image->resetting = n->resetting;
    image->messages = n->messages;
    image->shadow = n->shadow;
    image->event_index = n->event_index;
    nvme_save_queues(n, image);
    nvme_save_commands(n, image);
    nvme_save_features(n, image);
    nvme_save_logs(n, image);
}

/* ---- judging ------------------------------------------------------------- */

static int nvme_check_disk(RioDevice *dev, const NvmeCtrl *n,
                           const NvmeImage *image)
{
    if (memcmp(image->serial, n->serial, sizeof(image->serial)) ||
        memcmp(image->model, n->model, sizeof(image->model))) {
        return rio_fail(dev, "it is of a disk with another serial= or "
                        "model=; this one is '%s', '%s'", n->serial,
                        n->model);
    }
    if (image->block_shift != n->block_shift || image->blocks > n->blocks) {
        return rio_fail(dev, "it is of a disk of %" PRIu64 " blocks of %u "
                        "bytes, this one has %" PRIu64 " of %u",
                        image->blocks, 1u << (image->block_shift & 31),
                        n->blocks, 1u << n->block_shift);
    }
    return 0;
}

static int nvme_check_registers(RioDevice *dev, const NvmeImage *image)
{
    const uint32_t known = NVME_CSTS_RDY | NVME_CSTS_CFS |
                           NVME_CSTS_SHST_MASK;
    bool runs = (image->csts & NVME_CSTS_RDY) && !image->resetting;

    if ((image->cc & ~NVME_CC_WRITABLE) || (image->csts & ~known) ||
        (image->aqa & ~0x0fff0fffu) ||
        (runs && NVME_CC_MPS(image->cc) > NVME_MPS_MAX)) {
        return rio_fail(dev, "CC 0x%x, CSTS 0x%x or AQA 0x%x cannot be",
                        image->cc, image->csts, image->aqa);
    }
    if (runs ? !image->num_cqs || !image->num_sqs || image->cqs[0].id ||
               image->sqs[0].id : image->num_cqs || image->num_sqs) {
        return rio_fail(dev, "CSTS 0x%x does not go with its %u and %u "
                        "queues", image->csts, image->num_cqs,
                        image->num_sqs);
    }
    if (image->power_on_age > INT64_MAX / 2) {
        return rio_fail(dev, "it is on since %" PRIu64 " ns",
                        image->power_on_age);
    }
    return 0;
}

static int nvme_check_ring(RioDevice *dev, const NvmeCtrl *n, unsigned id,
                           unsigned before, uint32_t entries, uint32_t head,
                           uint32_t tail)
{
    if (id > n->queues || id < before || entries < 2 ||
        entries > NVME_MOST_ENTRIES || head >= entries || tail >= entries) {
        return rio_fail(dev, "queue %u with head %u, tail %u of %u entries "
                        "cannot be", id, head, tail, entries);
    }
    return 0;
}

static const NvmeCqImage *nvme_image_cq(const NvmeImage *image, unsigned id)
{
    uint32_t i;

    for (i = 0; i < image->num_cqs; i++) {
        if (image->cqs[i].id == id) {
            return &image->cqs[i];
        }
    }
    return NULL;
}

static const NvmeSqImage *nvme_image_sq(const NvmeImage *image, unsigned id)
{
    uint32_t i;

    for (i = 0; i < image->num_sqs; i++) {
        if (image->sqs[i].id == id) {
            return &image->sqs[i];
        }
    }
    return NULL;
}

/* Queues come in the order of their ids, so none is there twice */
static int nvme_check_queues(RioDevice *dev, const NvmeCtrl *n,
                             const NvmeImage *image)
{
    unsigned before = 0;
    uint32_t i;

    for (i = 0; i < image->num_cqs; i++) {
        const NvmeCqImage *cq = &image->cqs[i];

        if (nvme_check_ring(dev, n, cq->id, before, cq->entries, cq->head,
                            cq->tail)) {
            return -1;
        }
        if (cq->vector > n->queues) {
            return rio_fail(dev, "queue %u has vector %u", cq->id,
                            cq->vector);
        }
        before = cq->id + 1;
    }
    before = 0;
    for (i = 0; i < image->num_sqs; i++) {
        const NvmeSqImage *sq = &image->sqs[i];

        if (nvme_check_ring(dev, n, sq->id, before, sq->entries, sq->head,
                            sq->tail)) {
            return -1;
        }
        if (!nvme_image_cq(image, sq->cqid) || !sq->id != !sq->cqid) {
            return rio_fail(dev, "queue %u completes on queue %u", sq->id,
                            sq->cqid);
        }
        before = sq->id + 1;
    }
    return 0;
}

static int nvme_check_commands(RioDevice *dev, const NvmeCtrl *n,
                               const NvmeImage *image)
{
    uint64_t cost = 0, most = 0;
    unsigned events = 0;
    uint32_t i;

    for (i = 0; i < image->num_cmds; i++) {
        const NvmeCmdImage *cmd = &image->cmds[i];
        uint8_t opcode = cmd->sqe[NVME_SQE_OPCODE];
        bool event = cmd->what == NVME_SAVED_EVENT;

        events += event;
        if (!nvme_image_sq(image, cmd->sqid) ||
            cmd->what > NVME_SAVED_EVENT || events > NVME_MAX_EVENTS ||
            (event && (cmd->sqid || opcode != NVME_ADMIN_ASYNC_EVENT))) {
            return rio_fail(dev, "command 0x%02x of queue %u cannot be under "
                            "way like that", opcode, cmd->sqid);
        }
        if (cmd->sqid) {
            uint32_t one = nvme_io_cost(n, cmd->sqe);

            cost += one;
            most = MAX(most, one);
        }
    }
    if (cost - most > NVME_MAX_BUFFERS) {
        return rio_fail(dev, "its commands need %" PRIu64 " bytes of buffers",
                        cost);
    }
    return 0;
}

static int nvme_check(RioDevice *dev, void *s, const void *from,
                      uint32_t version)
{
    const NvmeCtrl *n = s;
    const NvmeImage *image = from;

    (void)version;
    if (nvme_check_disk(dev, n, image) || nvme_check_registers(dev, image) ||
        nvme_check_queues(dev, n, image) ||
        nvme_check_commands(dev, n, image)) {
        return -1;
    }
    if (image->error_bytes != MIN(image->failures, NVME_ERRORS) *
                              NVME_ERROR_SIZE) {
        return rio_fail(dev, "its error log has %u bytes", image->error_bytes);
    }
    return 0;
}

/* ---- loading ------------------------------------------------------------- */

static void nvme_load_features(NvmeCtrl *n, const NvmeImage *image)
{
    memcpy(n->event_pending, image->event_pending, sizeof(n->event_pending));
    memcpy(n->event_masked, image->event_masked, sizeof(n->event_masked));
    memcpy(n->event_result, image->event_result, sizeof(n->event_result));
    n->namespace_changed = image->namespace_changed;
    n->arbitration = image->arbitration;
    n->error_recovery = image->error_recovery;
    n->coalescing = image->coalescing;
    n->atomicity = image->atomicity;
    n->workload = image->workload;
    n->event_config = image->event_config;
    n->hot = image->hot;
    n->cold = image->cold;
    n->write_cache = image->write_cache;
    memcpy(n->vector_plain, image->vector_plain, sizeof(n->vector_plain));
}

static void nvme_load_logs(NvmeCtrl *n, const NvmeImage *image)
{
    n->stats = (NvmeStats) {
        .read_units = image->read_units, .write_units = image->write_units,
        .reads = image->reads, .writes = image->writes,
        .media_errors = image->media_errors, .errors = image->failures,
    };
    memset(n->errors, 0, sizeof(n->errors));
    memcpy(n->errors, image->errors, image->error_bytes);
}

static void nvme_load_registers(NvmeCtrl *n, const NvmeImage *image)
{
    n->power_on_ns = rio_clock_ns(n->dev) - (int64_t)image->power_on_age;
    n->cc = image->cc;
    n->csts = image->csts;
    n->aqa = image->aqa;
    n->intms = image->intms;
    n->asq = image->asq;
    n->acq = image->acq;
    n->resetting = image->resetting;
    n->messages = image->messages;
    n->shadow = image->shadow;
    n->event_index = image->event_index;
}

static void nvme_load_queues(NvmeCtrl *n, const NvmeImage *image)
{
    uint32_t i;

    for (i = 0; i < image->num_cqs; i++) {
        const NvmeCqImage *from = &image->cqs[i];
        NvmeCq *cq = nvme_cq_new(n, from->id, from->base, from->entries,
                                 from->interrupts, from->vector);

        cq->head = from->head;
        cq->tail = from->tail;
        cq->phase = from->phase;
    }
    for (i = 0; i < image->num_sqs; i++) {
        const NvmeSqImage *from = &image->sqs[i];
        NvmeSq *sq = nvme_sq_new(n, from->id, from->base, from->entries,
                                 n->cqs[from->cqid]);

        sq->head = from->head;
        sq->tail = from->tail;
    }
}

static void nvme_load_task(RioDevice *dev, void *s, void *arg)
{
    NvmeCmd *cmd = arg;

    (void)dev;
    nvme_cmd_resume(cmd);
    nvme_task_end(s);
}

/* All of them exist before the first goes on */
static void nvme_load_commands(NvmeCtrl *n, const NvmeImage *image)
{
    NvmeCmd *cmd;
    uint32_t i;

    for (i = 0; i < image->num_cmds; i++) {
        const NvmeCmdImage *from = &image->cmds[i];

        cmd = nvme_cmd_new(n, n->sqs[from->sqid], from->sqe,
                           from->sqid ? nvme_io_cost(n, from->sqe) : 0);
        cmd->lba = from->lba;
        cmd->parameter = from->parameter;
        cmd->done = from->what == NVME_SAVED_POST;
        if (cmd->done) {
            cmd->result = from->result;
            cmd->status = from->status;
        } else if (from->what == NVME_SAVED_EVENT) {
            nvme_event_park(cmd);
        } else if (from->took_change) {
            n->namespace_changed = true;        /* it is to be told again */
        }
    }
    for (cmd = n->first; cmd; cmd = cmd->next) {
        if (nvme_live(cmd) && !cmd->parked) {
            nvme_task_start(n, nvme_load_task, cmd);
        }
    }
}

static void nvme_load(RioDevice *dev, void *s, const void *from)
{
    NvmeCtrl *n = s;
    const NvmeImage *image = from;

    nvme_ctrl_reset(n);
    n->life++;
    nvme_load_registers(n, image);
    nvme_load_queues(n, image);
    nvme_load_features(n, image);
    nvme_load_logs(n, image);
    nvme_load_commands(n, image);
    nvme_ctrl_go(n);
    nvme_sqs_go(n);
    nvme_events_go(n);
    nvme_disk_changed(n, image->blocks);
    nvme_irq_update(n);
    rio_irq_set(dev, n->client, 0, n->line);
}

const RioModuleState nvme_state = {
    .version = 1,
    .image_size = sizeof(NvmeImage),
    .fields = nvme_fields,
    .save = nvme_save,
    .check = nvme_check,
    .load = nvme_load,
};
