/*
 * nvme module: commands that touch the disk
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * NVM Express 1.4, section 6 "NVM Command Set": 6.6 Compare, 6.7 Dataset
 * Management, 6.8 Flush, 6.9 Read, 6.15 Write, 6.17 Write Zeroes; the status
 * codes are those of 4.6.1.2.
 *
 * Each runs in a task of its own.  Commands that overlap may be carried out
 * in any order (6.4: ordering is up to the host).
 */

#include <errno.h>
#include <stdlib.h>
#include "nvme.h"

#define NVME_BUFFER_ALIGN   4096        /* what O_DIRECT asks for at most */

/* Blocks that a command is about */
typedef struct NvmeExtent {
    uint64_t offset;            /* bytes */
    uint64_t len;
} NvmeExtent;

/* ---- errors of the disk ------------------------------------------------ */

/* Say it to the operator, but not for each of a million commands */
static void nvme_disk_say(NvmeCmd *cmd, const char *what,
                          const NvmeExtent *e, int ret)
{
    NvmeCtrl *n = cmd->n;

    if (!nvme_may_say(n)) {
        return;
    }
    rio_log(n->dev, RIO_LOG_ERROR, "%s of %" PRIu64 " bytes at %" PRIu64
            " failed: %s (%u more errors since the last line)", what, e->len,
            e->offset, g_strerror(-ret), n->unsaid);
    n->unsaid = 0;
}

/*
 * The status for error @ret of the disk; @media is the usual one.  What may
 * pass (a path to the disk that comes back, memory) lets the host try again;
 * what only an operator, or another command, can change does not.
 */
static uint16_t nvme_disk_status(int ret, uint16_t media)
{
    switch (-ret) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return nvme_fail(NVME_SC_CAPACITY);
    case EROFS:
        return nvme_fail(NVME_SC_WRITE_PROTECTED);
    case EACCES:
    case EPERM:
        return nvme_fail(NVME_SC_ACCESS_DENIED);
    case EINVAL:
    case ENOTSUP:
        return nvme_fail(NVME_SC_INTERNAL);
    case ENOMEM:
        return NVME_SC_INTERNAL;
    default:
        return media;
    }
}

/* After each call to the disk: 0 to go on, or the status that ends @cmd */
static uint16_t nvme_disk_done(NvmeCmd *cmd, const char *what,
                               const NvmeExtent *e, int ret, uint16_t media)
{
    if (!nvme_live(cmd) || ret == -ECANCELED) {
        return NVME_SC_ABORT_REQUESTED;
    }
    if (ret >= 0) {
        return 0;
    }
    cmd->n->stats.media_errors++;
    cmd->lba = e->offset >> cmd->n->block_shift;
    nvme_disk_say(cmd, what, e, ret);
    return nvme_disk_status(ret, media);
}

static uint16_t nvme_disk_read(NvmeCmd *cmd, const NvmeExtent *e, void *buf)
{
    int ret = rio_block_read(cmd->n->dev, cmd->n->blk, e->offset, buf,
                             e->len);

    return nvme_disk_done(cmd, "read", e, ret, NVME_SC_READ_ERROR);
}

static uint16_t nvme_disk_flush(NvmeCmd *cmd)
{
    const NvmeExtent e = { 0, 0 };
    int ret = rio_block_flush(cmd->n->dev, cmd->n->blk);

    return nvme_disk_done(cmd, "flush", &e, ret, NVME_SC_WRITE_FAULT);
}

/* ---- arguments --------------------------------------------------------- */

/* 6.9: blocks from SLBA (CDW10, CDW11) on, NLB (CDW12, 0's based) */
static uint16_t nvme_extent(NvmeCmd *cmd, NvmeExtent *e)
{
    NvmeCtrl *n = cmd->n;
    uint64_t slba = nvme_get64(cmd->sqe + NVME_SQE_CDW10);
    uint32_t blocks = (nvme_cdw(cmd, 12) & 0xffff) + 1;

    cmd->lba = slba;
    if (slba >= n->blocks || blocks > n->blocks - slba) {
        return nvme_fail_at(cmd, NVME_SQE_CDW10, NVME_SC_LBA_RANGE);
    }
    e->offset = slba << n->block_shift;
    e->len = (uint64_t)blocks << n->block_shift;
    return 0;
}

/* The same for a command that transfers the data of its blocks */
static uint16_t nvme_data_extent(NvmeCmd *cmd, NvmeExtent *e)
{
    uint16_t status = nvme_extent(cmd, e);

    if (!status && e->len > 4096u << cmd->n->mdts) {
        status = nvme_fail_at(cmd, NVME_SQE_CDW12, NVME_SC_INVALID_FIELD);
    }
    return status;
}

static bool nvme_transfers(uint8_t opcode)
{
    return opcode == NVME_IO_READ || opcode == NVME_IO_WRITE ||
           opcode == NVME_IO_COMPARE;
}

uint32_t nvme_io_cost(const NvmeCtrl *n, const uint8_t *sqe)
{
    uint64_t len = (uint64_t)(nvme_get16(sqe + NVME_SQE_CDW12) + 1) <<
                   n->block_shift;

    if (!nvme_transfers(sqe[NVME_SQE_OPCODE]) || len > 4096u << n->mdts) {
        return 0;
    }
    return sqe[NVME_SQE_OPCODE] == NVME_IO_COMPARE ? 2 * len : len;
}

static void *nvme_buffer(size_t len)
{
    void *buf = NULL;

    return posix_memalign(&buf, NVME_BUFFER_ALIGN, len) ? NULL : buf;
}

/* Writes go to stable storage when the host turned the cache off (5.21.1.6) */
static unsigned nvme_write_flags(NvmeCmd *cmd)
{
    bool fua = (nvme_cdw(cmd, 12) & NVME_IO_FUA) || !cmd->n->write_cache;

    return fua ? RIO_BLOCK_FUA : 0;
}

static void nvme_count(uint64_t *commands, uint64_t *units,
                       const NvmeExtent *e)
{
    ++*commands;
    *units += e->len / 512;
}

/* ---- commands ---------------------------------------------------------- */

static uint16_t nvme_read_map(NvmeCmd *cmd, const NvmeExtent *e,
                              const NvmeMap *map)
{
    void *buf = nvme_buffer(e->len);
    uint16_t status = 0;

    if (!buf) {
        return NVME_SC_INTERNAL;
    }
    if (nvme_cdw(cmd, 12) & NVME_IO_FUA) {
        /* What is returned must be on stable storage */
        status = nvme_disk_flush(cmd);
    }
    if (!status) {
        status = nvme_disk_read(cmd, e, buf);
    }
    if (!status) {
        nvme_count(&cmd->n->stats.reads, &cmd->n->stats.read_units, e);
        status = nvme_to_guest(cmd, map, buf);
    }
    free(buf);
    return status;
}

static uint16_t nvme_write_map(NvmeCmd *cmd, const NvmeExtent *e,
                               const NvmeMap *map)
{
    NvmeCtrl *n = cmd->n;
    void *buf = nvme_buffer(e->len);
    uint16_t status;

    if (!buf) {
        return NVME_SC_INTERNAL;
    }
    status = nvme_from_guest(cmd, map, buf);
    if (!status) {
        int ret = rio_block_write(n->dev, n->blk, e->offset, buf, e->len,
                                  nvme_write_flags(cmd));

        status = nvme_disk_done(cmd, "write", e, ret, NVME_SC_WRITE_FAULT);
    }
    if (!status) {
        nvme_count(&n->stats.writes, &n->stats.write_units, e);
    }
    free(buf);
    return status;
}

static uint16_t nvme_compare_map(NvmeCmd *cmd, const NvmeExtent *e,
                                 const NvmeMap *map)
{
    uint8_t *buf = nvme_buffer(2 * e->len);
    uint16_t status;

    if (!buf) {
        return NVME_SC_INTERNAL;
    }
    status = nvme_from_guest(cmd, map, buf);
    if (!status) {
        status = nvme_disk_read(cmd, e, buf + e->len);
    }
    if (!status) {
        nvme_count(&cmd->n->stats.reads, &cmd->n->stats.read_units, e);
        if (memcmp(buf, buf + e->len, e->len)) {
            status = nvme_fail(NVME_SC_COMPARE);
        }
    }
    free(buf);
    return status;
}

typedef uint16_t NvmeMapped(NvmeCmd *cmd, const NvmeExtent *e,
                            const NvmeMap *map);

static uint16_t nvme_transfer(NvmeCmd *cmd, NvmeMapped *run)
{
    NvmeExtent e;
    NvmeMap map;
    uint16_t status = nvme_data_extent(cmd, &e);

    if (!status) {
        status = nvme_map(cmd, e.len, &map);
    }
    if (!status) {
        status = run(cmd, &e, &map);
        nvme_map_free(&map);
    }
    return status;
}

static uint16_t nvme_write(NvmeCmd *cmd)
{
    if (nvme_cdw(cmd, 12) & NVME_IO_DTYPE) {
        return nvme_fail_at(cmd, NVME_SQE_CDW12, NVME_SC_INVALID_FIELD);
    }
    return nvme_transfer(cmd, nvme_write_map);
}

static uint16_t nvme_write_zeroes(NvmeCmd *cmd)
{
    NvmeCtrl *n = cmd->n;
    unsigned flags = nvme_write_flags(cmd);
    NvmeExtent e;
    uint16_t status = nvme_extent(cmd, &e);
    int ret;

    if (status) {
        return status;
    }
    if (nvme_cdw(cmd, 12) & NVME_IO_DEAC) {
        flags |= RIO_BLOCK_UNMAP;
    }
    ret = rio_block_zero(n->dev, n->blk, e.offset, e.len, flags);
    return nvme_disk_done(cmd, "write of zeroes", &e, ret,
                          NVME_SC_WRITE_FAULT);
}

/* Range @i of a Dataset Management command (6.7.1, "Range Definition") */
static uint16_t nvme_dsm_range(NvmeCmd *cmd, const uint8_t *range,
                               NvmeExtent *e)
{
    NvmeCtrl *n = cmd->n;
    uint32_t blocks = nvme_get32(range + 4);
    uint64_t slba = nvme_get64(range + 8);

    if (slba > n->blocks || blocks > n->blocks - slba) {
        cmd->lba = slba;
        return nvme_fail(NVME_SC_LBA_RANGE);
    }
    e->offset = slba << n->block_shift;
    e->len = (uint64_t)blocks << n->block_shift;
    return 0;
}

static uint16_t nvme_discard(NvmeCmd *cmd, const uint8_t *ranges,
                             unsigned count)
{
    NvmeCtrl *n = cmd->n;
    uint16_t status = 0;
    NvmeExtent e;
    unsigned i;

    /* Nothing is touched when one of them is wrong */
    for (i = 0; i < count && !status; i++) {
        status = nvme_dsm_range(cmd, ranges + i * NVME_DSM_RANGE_SIZE, &e);
    }
    for (i = 0; i < count && !status; i++) {
        int ret = 0;

        status = nvme_dsm_range(cmd, ranges + i * NVME_DSM_RANGE_SIZE, &e);
        if (!status && e.len) {
            ret = rio_block_discard(n->dev, n->blk, e.offset, e.len);
        }
        if (!status && ret != -ENOTSUP) {
            /* Deallocation is a hint: a disk that cannot is no error */
            status = nvme_disk_done(cmd, "discard", &e, ret,
                                    NVME_SC_WRITE_FAULT);
        }
        if (!status && !nvme_live(cmd)) {
            status = NVME_SC_ABORT_REQUESTED;
        }
    }
    return status;
}

static uint16_t nvme_dsm(NvmeCmd *cmd)
{
    uint8_t ranges[256 * NVME_DSM_RANGE_SIZE];
    unsigned count = (nvme_cdw(cmd, 10) & 0xff) + 1;
    NvmeMap map;
    uint16_t status;

    if (!(nvme_cdw(cmd, 11) & NVME_DSM_DEALLOCATE)) {
        return 0;               /* hints about use; we have no use for them */
    }
    status = nvme_map(cmd, count * NVME_DSM_RANGE_SIZE, &map);
    if (!status) {
        status = nvme_from_guest(cmd, &map, ranges);
        nvme_map_free(&map);
    }
    return status ? status : nvme_discard(cmd, ranges, count);
}

/* ---- dispatch ---------------------------------------------------------- */

/* Does @cmd change the disk? */
static bool nvme_modifies(NvmeCmd *cmd)
{
    switch (cmd->sqe[NVME_SQE_OPCODE]) {
    case NVME_IO_WRITE:
    case NVME_IO_WRITE_ZEROES:
        return true;
    case NVME_IO_DSM:
        return nvme_cdw(cmd, 11) & NVME_DSM_DEALLOCATE;
    default:
        return false;
    }
}

/* Is it a command that ONCS of Identify Controller offers, or mandatory? */
static bool nvme_io_offered(const NvmeCtrl *n, uint8_t opcode)
{
    return opcode == NVME_IO_FLUSH || nvme_transfers(opcode) ||
           opcode == NVME_IO_WRITE_ZEROES ||
           (opcode == NVME_IO_DSM && n->disk.can_discard);
}

/* What can be said without looking at the command's own fields */
static uint16_t nvme_io_check(NvmeCmd *cmd)
{
    uint8_t flags = cmd->sqe[NVME_SQE_FLAGS];
    uint8_t opcode = cmd->sqe[NVME_SQE_OPCODE];
    uint32_t nsid = nvme_nsid(cmd);

    if (!nvme_io_offered(cmd->n, opcode)) {
        return nvme_fail_at(cmd, NVME_SQE_OPCODE, NVME_SC_INVALID_OPCODE);
    }
    if ((flags & NVME_SQE_FUSE_MASK) ||
        (flags & NVME_SQE_PSDT_MASK) == NVME_SQE_PSDT_MASK) {
        return nvme_fail_at(cmd, NVME_SQE_FLAGS, NVME_SC_INVALID_FIELD);
    }
    if (nsid != 1 && !(nsid == NVME_NSID_ALL && opcode == NVME_IO_FLUSH)) {
        return nvme_fail_at(cmd, NVME_SQE_NSID, NVME_SC_INVALID_NSID);
    }
    if (cmd->n->read_only && nvme_modifies(cmd)) {
        return nvme_fail(NVME_SC_WRITE_PROTECTED);
    }
    return 0;
}

uint16_t nvme_io(NvmeCmd *cmd)
{
    uint16_t status = nvme_io_check(cmd);

    if (status) {
        return status;
    }
    switch (cmd->sqe[NVME_SQE_OPCODE]) {
    case NVME_IO_FLUSH:
        return nvme_disk_flush(cmd);
    case NVME_IO_WRITE:
        return nvme_write(cmd);
    case NVME_IO_READ:
        return nvme_transfer(cmd, nvme_read_map);
    case NVME_IO_COMPARE:
        return nvme_transfer(cmd, nvme_compare_map);
    case NVME_IO_WRITE_ZEROES:
        return nvme_write_zeroes(cmd);
    default:
        return nvme_dsm(cmd);
    }
}
