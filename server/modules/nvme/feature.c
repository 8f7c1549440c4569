/*
 * nvme module: Get Features and Set Features
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * NVM Express 1.4, sections 5.13 and 5.21.  Nothing is saved over a reset
 * of the controller, which the capabilities of each feature say.
 */

#include "nvme.h"

#define NVME_HOT_DEFAULT        343     /* kelvin */
#define NVME_COLD_DEFAULT       0

enum {                          /* Get: Select (5.13) */
    NVME_SELECT_CURRENT         = 0,
    NVME_SELECT_DEFAULT         = 1,
    NVME_SELECT_SAVED           = 2,
    NVME_SELECT_CAPABILITIES    = 3,
};
#define NVME_CAP_CHANGEABLE     (1u << 2)
#define NVME_CAP_NAMESPACE      (1u << 1)

#define NVME_FEATURE_SAVE       (1u << 31)      /* Set: CDW10 */

/* A feature is get or set by value @v, from or for CDW11 of @cmd */
typedef uint16_t NvmeFeatureGet(NvmeCmd *cmd, bool defaults, uint32_t *v);
typedef uint16_t NvmeFeatureSet(NvmeCmd *cmd, uint32_t v);

typedef struct NvmeFeature {
    uint8_t id;
    uint8_t capabilities;
    NvmeFeatureGet *get;
    NvmeFeatureSet *set;
} NvmeFeature;

void nvme_features_reset(NvmeCtrl *n)
{
    n->arbitration = n->error_recovery = n->workload = 0;
    n->coalescing = n->atomicity = n->event_config = 0;
    n->hot = NVME_HOT_DEFAULT;
    n->cold = NVME_COLD_DEFAULT;
    n->write_cache = true;
    memset(n->vector_plain, 0, sizeof(n->vector_plain));
}

static uint16_t nvme_bad_value(NvmeCmd *cmd)
{
    return nvme_fail_at(cmd, NVME_SQE_CDW11, NVME_SC_INVALID_FIELD);
}

/* ---- 5.21.1.1 Arbitration ---------------------------------------------- */

static uint16_t nvme_get_arbitration(NvmeCmd *cmd, bool defaults, uint32_t *v)
{
    *v = defaults ? 0 : cmd->n->arbitration;
    return 0;
}

static uint16_t nvme_set_arbitration(NvmeCmd *cmd, uint32_t v)
{
    cmd->n->arbitration = v & 0xffffff07;
    return 0;
}

/* ---- 5.21.1.2 Power Management: one state ------------------------------ */

static uint16_t nvme_get_power(NvmeCmd *cmd, bool defaults, uint32_t *v)
{
    *v = defaults ? 0 : cmd->n->workload;
    return 0;
}

static uint16_t nvme_set_power(NvmeCmd *cmd, uint32_t v)
{
    if (v & 0x1f) {
        return nvme_bad_value(cmd);
    }
    cmd->n->workload = v & 0xe0;
    return 0;
}

/* ---- 5.21.1.4 Temperature Threshold ------------------------------------ */

/* The threshold that CDW11 selects: of the composite sensor, the only one */
static uint16_t *nvme_threshold(NvmeCmd *cmd, bool *cold, bool setting)
{
    uint32_t v = nvme_cdw(cmd, 11);
    unsigned sensor = v >> 16 & 15;
    unsigned select = v >> 20 & 3;

    if ((sensor && !(setting && sensor == 15)) || select > 1) {
        return NULL;
    }
    *cold = select;
    return select ? &cmd->n->cold : &cmd->n->hot;
}

static uint16_t nvme_get_temperature(NvmeCmd *cmd, bool defaults, uint32_t *v)
{
    bool cold;
    uint16_t *threshold = nvme_threshold(cmd, &cold, false);

    if (!threshold) {
        return nvme_bad_value(cmd);
    }
    *v = defaults ? (cold ? NVME_COLD_DEFAULT : NVME_HOT_DEFAULT) :
                    *threshold;
    return 0;
}

static uint16_t nvme_set_temperature(NvmeCmd *cmd, uint32_t v)
{
    NvmeCtrl *n = cmd->n;
    bool cold;
    uint16_t *threshold = nvme_threshold(cmd, &cold, true);

    if (!threshold) {
        return nvme_bad_value(cmd);
    }
    *threshold = v;
    if (nvme_warnings(n) & n->event_config) {
        nvme_event(n, NVME_EVENT_SMART, NVME_EVENT_TEMPERATURE,
                   NVME_LOG_SMART);
    }
    return 0;
}

/* ---- 5.21.1.5 Error Recovery ------------------------------------------- */

static uint16_t nvme_get_recovery(NvmeCmd *cmd, bool defaults, uint32_t *v)
{
    *v = defaults ? 0 : cmd->n->error_recovery;
    return 0;
}

static uint16_t nvme_set_recovery(NvmeCmd *cmd, uint32_t v)
{
    if (v & 0x10000) {
        /* DULBE: the namespace does not offer it */
        return nvme_bad_value(cmd);
    }
    cmd->n->error_recovery = v & 0xffff;
    return 0;
}

/* ---- 5.21.1.6 Volatile Write Cache ------------------------------------- */

static uint16_t nvme_get_cache(NvmeCmd *cmd, bool defaults, uint32_t *v)
{
    *v = defaults || cmd->n->write_cache;
    return 0;
}

static uint16_t nvme_set_cache(NvmeCmd *cmd, uint32_t v)
{
    NvmeCtrl *n = cmd->n;
    int ret = 0;

    n->write_cache = v & 1;
    if (!n->write_cache) {
        /*
         * What was cached until now must not be left behind.  It may have
         * been off already because this command is carried out again.
         */
        ret = rio_block_flush(n->dev, n->blk);
    }
    return ret < 0 ? NVME_SC_INTERNAL : 0;
}

/* ---- 5.21.1.7 Number of Queues ----------------------------------------- */

static uint16_t nvme_get_queues(NvmeCmd *cmd, bool defaults, uint32_t *v)
{
    uint32_t last = cmd->n->queues - 1;

    (void)defaults;
    *v = last | last << 16;
    return 0;
}

static uint16_t nvme_set_queues(NvmeCmd *cmd, uint32_t v)
{
    NvmeCtrl *n = cmd->n;
    unsigned i;

    if ((v & 0xffff) == 0xffff || v >> 16 == 0xffff) {
        return nvme_bad_value(cmd);
    }
    for (i = 1; i <= n->queues; i++) {
        if (n->sqs[i] || n->cqs[i]) {
            return nvme_fail(NVME_SC_SEQUENCE);
        }
    }
    return nvme_get_queues(cmd, false, &cmd->result);
}

/* ---- 5.21.1.8 Interrupt Coalescing ------------------------------------- */

/* The host recommends; interrupts are sent at once all the same */
static uint16_t nvme_get_coalescing(NvmeCmd *cmd, bool defaults, uint32_t *v)
{
    *v = defaults ? 0 : cmd->n->coalescing;
    return 0;
}

static uint16_t nvme_set_coalescing(NvmeCmd *cmd, uint32_t v)
{
    cmd->n->coalescing = v & 0xffff;
    return 0;
}

/* ---- 5.21.1.9 Interrupt Vector Configuration --------------------------- */

static uint16_t nvme_get_vector(NvmeCmd *cmd, bool defaults, uint32_t *v)
{
    uint32_t vector = nvme_cdw(cmd, 11) & 0xffff;

    if (vector > cmd->n->queues) {
        return nvme_bad_value(cmd);
    }
    *v = vector | (uint32_t)(!defaults && cmd->n->vector_plain[vector]) << 16;
    return 0;
}

static uint16_t nvme_set_vector(NvmeCmd *cmd, uint32_t v)
{
    if ((v & 0xffff) > cmd->n->queues) {
        return nvme_bad_value(cmd);
    }
    cmd->n->vector_plain[v & 0xffff] = v & 0x10000;
    return 0;
}

/* ---- 5.21.1.10 Write Atomicity Normal ---------------------------------- */

static uint16_t nvme_get_atomicity(NvmeCmd *cmd, bool defaults, uint32_t *v)
{
    *v = defaults ? 0 : cmd->n->atomicity;
    return 0;
}

static uint16_t nvme_set_atomicity(NvmeCmd *cmd, uint32_t v)
{
    cmd->n->atomicity = v & 1;
    return 0;
}

/* ---- 5.21.1.11 Asynchronous Event Configuration ------------------------ */

static uint16_t nvme_get_events(NvmeCmd *cmd, bool defaults, uint32_t *v)
{
    *v = defaults ? 0 : cmd->n->event_config;
    return 0;
}

static uint16_t nvme_set_events(NvmeCmd *cmd, uint32_t v)
{
    NvmeCtrl *n = cmd->n;

    n->event_config = v;
    if (nvme_warnings(n) & v) {
        nvme_event(n, NVME_EVENT_SMART, NVME_EVENT_TEMPERATURE,
                   NVME_LOG_SMART);
    }
    return 0;
}

/* ---- dispatch ---------------------------------------------------------- */

static const NvmeFeature nvme_features[] = {
    { NVME_FEAT_ARBITRATION, NVME_CAP_CHANGEABLE,
      nvme_get_arbitration, nvme_set_arbitration },
    { NVME_FEAT_POWER, NVME_CAP_CHANGEABLE,
      nvme_get_power, nvme_set_power },
    { NVME_FEAT_TEMPERATURE, NVME_CAP_CHANGEABLE,
      nvme_get_temperature, nvme_set_temperature },
    { NVME_FEAT_ERROR_RECOVERY, NVME_CAP_CHANGEABLE | NVME_CAP_NAMESPACE,
      nvme_get_recovery, nvme_set_recovery },
    { NVME_FEAT_WRITE_CACHE, NVME_CAP_CHANGEABLE,
      nvme_get_cache, nvme_set_cache },
    { NVME_FEAT_QUEUES, NVME_CAP_CHANGEABLE,
      nvme_get_queues, nvme_set_queues },
    { NVME_FEAT_COALESCING, NVME_CAP_CHANGEABLE,
      nvme_get_coalescing, nvme_set_coalescing },
    { NVME_FEAT_VECTOR, NVME_CAP_CHANGEABLE,
      nvme_get_vector, nvme_set_vector },
    { NVME_FEAT_ATOMICITY, NVME_CAP_CHANGEABLE,
      nvme_get_atomicity, nvme_set_atomicity },
    { NVME_FEAT_EVENTS, NVME_CAP_CHANGEABLE,
      nvme_get_events, nvme_set_events },
};

static const NvmeFeature *nvme_feature_find(NvmeCmd *cmd)
{
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(nvme_features); i++) {
        if (nvme_features[i].id == (nvme_cdw(cmd, 10) & 0xff)) {
            return &nvme_features[i];
        }
    }
    return NULL;
}

/* 5.13, 5.21: does the feature have to do with the namespace named? */
static uint16_t nvme_feature_scope(NvmeCmd *cmd, const NvmeFeature *f,
                                   bool setting)
{
    uint32_t nsid = nvme_nsid(cmd);

    if (f->capabilities & NVME_CAP_NAMESPACE) {
        if (nsid == 1 || (setting && nsid == NVME_NSID_ALL)) {
            return 0;
        }
    } else if (!nsid || nsid == NVME_NSID_ALL || (!setting && nsid == 1)) {
        return 0;
    } else if (nsid == 1) {
        return nvme_fail_at(cmd, NVME_SQE_NSID, NVME_SC_NOT_NAMESPACE);
    }
    return nvme_fail_at(cmd, NVME_SQE_NSID, NVME_SC_INVALID_NSID);
}

uint16_t nvme_get_features(NvmeCmd *cmd)
{
    const NvmeFeature *f = nvme_feature_find(cmd);
    unsigned select = nvme_cdw(cmd, 10) >> 8 & 7;
    uint16_t status;

    if (!f || select > NVME_SELECT_CAPABILITIES) {
        return nvme_fail_at(cmd, NVME_SQE_CDW10, NVME_SC_INVALID_FIELD);
    }
    if (select == NVME_SELECT_CAPABILITIES) {
        cmd->result = f->capabilities;
        return 0;
    }
    status = nvme_feature_scope(cmd, f, false);
    if (status) {
        return status;
    }
    /* Nothing can be saved: what is saved is the default (5.13) */
    return f->get(cmd, select != NVME_SELECT_CURRENT, &cmd->result);
}

uint16_t nvme_set_features(NvmeCmd *cmd)
{
    const NvmeFeature *f = nvme_feature_find(cmd);
    uint16_t status;

    if (!f) {
        return nvme_fail_at(cmd, NVME_SQE_CDW10, NVME_SC_INVALID_FIELD);
    }
    if (nvme_cdw(cmd, 10) & NVME_FEATURE_SAVE) {
        return nvme_fail_at(cmd, NVME_SQE_CDW10, NVME_SC_NOT_SAVEABLE);
    }
    status = nvme_feature_scope(cmd, f, true);
    return status ? status : f->set(cmd, nvme_cdw(cmd, 11));
}
