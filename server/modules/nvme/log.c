/*
 * nvme module: Get Log Page
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * NVM Express 1.4, section 5.14: error information, SMART / health,
 * firmware slots, changed namespaces, commands supported and effects.
 */

#include "nvme.h"

#define NVME_LOG_MAX    4096

enum {                          /* 5.14.1.1 Error Information: offsets */
    NVME_ERR_COUNT      = 0,
    NVME_ERR_SQID       = 8,
    NVME_ERR_CID        = 10,
    NVME_ERR_STATUS     = 12,
    NVME_ERR_PARAMETER  = 14,
    NVME_ERR_LBA        = 16,
    NVME_ERR_NSID       = 24,
};

enum {                          /* 5.14.1.2 SMART / Health: offsets */
    NVME_SMART_WARNING      = 0,
    NVME_SMART_TEMPERATURE  = 1,
    NVME_SMART_SPARE        = 3,
    NVME_SMART_THRESHOLD    = 4,
    NVME_SMART_UNITS_READ   = 32,
    NVME_SMART_UNITS_WRITE  = 48,
    NVME_SMART_READS        = 64,
    NVME_SMART_WRITES       = 80,
    NVME_SMART_POWER_CYCLES = 112,
    NVME_SMART_HOURS        = 128,
    NVME_SMART_MEDIA_ERRORS = 160,
    NVME_SMART_ERRORS       = 176,
    NVME_SMART_SIZE         = 512,
};
#define NVME_WARNING_TEMPERATURE    (1u << 1)

/* 5.14.1.5 Commands Supported and Effects */
#define NVME_EFFECT_SUPPORTED   (1u << 0)
#define NVME_EFFECT_CONTENT     (1u << 1)   /* logical blocks may change */
#define NVME_EFFECTS_IO         1024        /* offset of I/O commands */

void nvme_log_error(NvmeCmd *cmd)
{
    NvmeCtrl *n = cmd->n;
    uint8_t *e;

    if (cmd->status == NVME_SC_ABORT_REQUESTED) {
        return;                 /* the host asked for it */
    }
    cmd->status |= NVME_SC_MORE;
    e = n->errors[n->stats.errors++ % NVME_ERRORS];
    memset(e, 0, NVME_ERROR_SIZE);
    nvme_put64(e + NVME_ERR_COUNT, n->stats.errors);
    nvme_put16(e + NVME_ERR_SQID, cmd->sq->id);
    memcpy(e + NVME_ERR_CID, cmd->sqe + NVME_SQE_CID, 2);
    nvme_put16(e + NVME_ERR_STATUS, cmd->status << 1);
    nvme_put16(e + NVME_ERR_PARAMETER, cmd->parameter);
    nvme_put64(e + NVME_ERR_LBA, cmd->lba);
    nvme_put32(e + NVME_ERR_NSID, nvme_nsid(cmd));
}

uint8_t nvme_warnings(const NvmeCtrl *n)
{
    bool temperature = NVME_KELVIN >= n->hot || NVME_KELVIN <= n->cold;

    return temperature ? NVME_WARNING_TEMPERATURE : 0;
}

/* Newest first */
static uint32_t nvme_fill_errors(const NvmeCtrl *n, uint8_t *p)
{
    uint64_t count = MIN(n->stats.errors, NVME_ERRORS);
    uint64_t i;

    for (i = 0; i < count; i++) {
        memcpy(p + i * NVME_ERROR_SIZE,
               n->errors[(n->stats.errors - 1 - i) % NVME_ERRORS],
               NVME_ERROR_SIZE);
    }
    return NVME_ERRORS * NVME_ERROR_SIZE;
}

/* Thousands of 512 bytes, rounded up */
static uint64_t nvme_smart_units(uint64_t units)
{
    return (units + 999) / 1000;
}

static uint32_t nvme_fill_smart(const NvmeCtrl *n, uint8_t *p)
{
    const NvmeStats *stats = &n->stats;
    int64_t up = rio_clock_ns(n->dev) - n->power_on_ns;

    p[NVME_SMART_WARNING] = nvme_warnings(n);
    nvme_put16(p + NVME_SMART_TEMPERATURE, NVME_KELVIN);
    p[NVME_SMART_SPARE] = 100;
    p[NVME_SMART_THRESHOLD] = 10;
    nvme_put64(p + NVME_SMART_UNITS_READ,
               nvme_smart_units(stats->read_units));
    nvme_put64(p + NVME_SMART_UNITS_WRITE,
               nvme_smart_units(stats->write_units));
    nvme_put64(p + NVME_SMART_READS, stats->reads);
    nvme_put64(p + NVME_SMART_WRITES, stats->writes);
    nvme_put64(p + NVME_SMART_POWER_CYCLES, 1);
    nvme_put64(p + NVME_SMART_HOURS, up / 1000000000 / 3600);
    nvme_put64(p + NVME_SMART_MEDIA_ERRORS, stats->media_errors);
    nvme_put64(p + NVME_SMART_ERRORS, stats->errors);
    return NVME_SMART_SIZE;
}

static uint32_t nvme_fill_firmware(uint8_t *p)
{
    p[0] = 1;                   /* slot 1 is active */
    memset(p + 8, ' ', 8);
    memcpy(p + 8, NVME_FIRMWARE, strlen(NVME_FIRMWARE));
    return 512;
}

static uint32_t nvme_fill_changed(const NvmeCtrl *n, uint8_t *p)
{
    nvme_put32(p, n->namespace_changed);
    return 4096;
}

static uint32_t nvme_fill_effects(const NvmeCtrl *n, uint8_t *p)
{
    static const uint8_t admin[] = {
        NVME_ADMIN_DELETE_SQ, NVME_ADMIN_CREATE_SQ, NVME_ADMIN_GET_LOG,
        NVME_ADMIN_DELETE_CQ, NVME_ADMIN_CREATE_CQ, NVME_ADMIN_IDENTIFY,
        NVME_ADMIN_ABORT, NVME_ADMIN_SET_FEATURES, NVME_ADMIN_GET_FEATURES,
        NVME_ADMIN_ASYNC_EVENT,
    };
    static const struct {
        uint8_t opcode, effect;
    } io[] = {
        { NVME_IO_FLUSH, NVME_EFFECT_SUPPORTED },
        { NVME_IO_READ, NVME_EFFECT_SUPPORTED },
        { NVME_IO_COMPARE, NVME_EFFECT_SUPPORTED },
        { NVME_IO_WRITE, NVME_EFFECT_SUPPORTED | NVME_EFFECT_CONTENT },
        { NVME_IO_WRITE_ZEROES, NVME_EFFECT_SUPPORTED | NVME_EFFECT_CONTENT },
    };
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(admin); i++) {
        p[4 * admin[i]] = NVME_EFFECT_SUPPORTED;
    }
    if (n->shadow_supported) {
        p[4 * NVME_ADMIN_DOORBELL_CONFIG] = NVME_EFFECT_SUPPORTED;
    }
    for (i = 0; i < G_N_ELEMENTS(io); i++) {
        p[NVME_EFFECTS_IO + 4 * io[i].opcode] = io[i].effect;
    }
    if (n->disk.can_discard) {
        p[NVME_EFFECTS_IO + 4 * NVME_IO_DSM] = NVME_EFFECT_SUPPORTED |
                                               NVME_EFFECT_CONTENT;
    }
    return 4096;
}

/* The log @id into @p; returns its size, 0 when there is none such */
static uint32_t nvme_log_fill(const NvmeCtrl *n, uint8_t id, uint8_t *p)
{
    switch (id) {
    case NVME_LOG_ERROR:
        return nvme_fill_errors(n, p);
    case NVME_LOG_SMART:
        return nvme_fill_smart(n, p);
    case NVME_LOG_FIRMWARE:
        return nvme_fill_firmware(p);
    case NVME_LOG_CHANGED_NS:
        return nvme_fill_changed(n, p);
    case NVME_LOG_EFFECTS:
        return nvme_fill_effects(n, p);
    default:
        return 0;
    }
}

/*
 * 5.2: reading its log lets events of a type be told again.  From when the
 * log was filled on, as what happens later is not in it.
 */
static void nvme_log_seen(NvmeCmd *cmd, uint8_t id)
{
    if (nvme_cdw(cmd, 10) & NVME_LOG_RAE) {
        return;
    }
    switch (id) {
    case NVME_LOG_ERROR:
        nvme_event_clear(cmd->n, NVME_EVENT_ERROR);
        break;
    case NVME_LOG_SMART:
        nvme_event_clear(cmd->n, NVME_EVENT_SMART);
        break;
    case NVME_LOG_CHANGED_NS:
        cmd->took_change = cmd->n->namespace_changed;
        cmd->n->namespace_changed = false;
        nvme_event_clear(cmd->n, NVME_EVENT_NOTICE);
        break;
    }
}

static uint16_t nvme_log_reply(NvmeCmd *cmd, const uint8_t *log,
                               uint32_t size, uint64_t offset, uint32_t len)
{
    g_autofree uint8_t *p = g_malloc0(len);

    memcpy(p, log + offset, MIN(len, size - offset));
    return nvme_reply_data(cmd, p, len);
}

uint16_t nvme_get_log(NvmeCmd *cmd)
{
    NvmeCtrl *n = cmd->n;
    uint8_t id = nvme_cdw(cmd, 10);
    uint64_t dwords = (nvme_cdw(cmd, 10) >> 16 |
                       (uint64_t)(nvme_cdw(cmd, 11) & 0xffff) << 16) + 1;
    uint64_t offset = nvme_get64(cmd->sqe + NVME_SQE_CDW12);
    g_autofree uint8_t *log = g_malloc0(NVME_LOG_MAX);
    uint32_t nsid = nvme_nsid(cmd);
    uint32_t size;
    uint16_t status;

    if (nsid > 1 && nsid != NVME_NSID_ALL) {
        return nvme_fail_at(cmd, NVME_SQE_NSID, NVME_SC_INVALID_NSID);
    }
    if (dwords * 4 > 4096u << n->mdts) {
        return nvme_fail_at(cmd, NVME_SQE_CDW10 + 2, NVME_SC_INVALID_FIELD);
    }
    size = nvme_log_fill(n, id, log);
    if (!size) {
        return nvme_fail_at(cmd, NVME_SQE_CDW10, NVME_SC_INVALID_LOG);
    }
    if (offset > size || (offset & 3)) {
        return nvme_fail_at(cmd, NVME_SQE_CDW12, NVME_SC_INVALID_FIELD);
    }
    nvme_log_seen(cmd, id);
    status = nvme_log_reply(cmd, log, size, offset, dwords * 4);
    if (status && id == NVME_LOG_CHANGED_NS) {
        n->namespace_changed |= nvme_get32(log);
    }
    return status;
}
