/*
 * nvme module: where the data of a command is, and the way there
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * NVM Express 1.4, sections 4.3 (Physical Region Page Entry and List) and
 * 4.4 (Scatter Gather List).
 *
 * Lists are read with exactly the extents that the doorbell recipe sends
 * along, so that they are found without a round trip.
 */

#include "nvme.h"

#define NVME_MAX_SGL_CHUNK      256u    /* descriptors read at a time */
#define NVME_MAX_SGL_READS      64u     /* and how often */

static void nvme_map_init(NvmeMap *map)
{
    map->segs = map->few;
    map->n = 0;
    map->room = NVME_INLINE_SEGMENTS;
    map->len = 0;
}

void nvme_map_free(NvmeMap *map)
{
    if (map->segs != map->few) {
        g_free(map->segs);
    }
}

static void nvme_map_add(NvmeMap *map, uint64_t addr, uint32_t len)
{
    RioModuleSegment *last = map->n ? &map->segs[map->n - 1] : NULL;

    map->len += len;
    if (last && last->addr + last->len == addr) {
        last->len += len;
        return;
    }
    if (map->n == map->room) {
        RioModuleSegment *old = map->segs == map->few ? NULL : map->segs;

        map->room *= 4;
        map->segs = g_renew(RioModuleSegment, old, map->room);
        if (!old) {
            memcpy(map->segs, map->few, sizeof(map->few));
        }
    }
    map->segs[map->n++] = (RioModuleSegment) { addr, len };
}

/* Task.  Read a list; 0 or the status that ends the command */
static uint16_t nvme_read_list(NvmeCmd *cmd, uint64_t addr, void *buf,
                               uint32_t len)
{
    int ret = rio_dma_read(cmd->n->dev, cmd->n->client, addr, buf, len);

    if (!nvme_live(cmd)) {
        return NVME_SC_ABORT_REQUESTED;
    }
    return ret ? NVME_SC_DATA_TRANSFER : 0;
}

/* ---- PRP (4.3) --------------------------------------------------------- */

/* Add @count page pointers, and @len bytes or less, to @map */
static uint16_t nvme_prp_add(NvmeCmd *cmd, const uint8_t *list,
                             uint32_t count, uint32_t len, NvmeMap *map)
{
    uint32_t page = nvme_page_size(cmd->n);
    uint32_t i;

    for (i = 0; i < count; i++) {
        uint64_t addr = nvme_get64(list + 8 * i);

        if (addr & (page - 1)) {
            return nvme_fail_at(cmd, NVME_SQE_PRP2, NVME_SC_PRP_OFFSET);
        }
        nvme_map_add(map, addr, MIN(page, len));
        len -= MIN(page, len);
    }
    return 0;
}

/*
 * Task.  Add the @len bytes that the list at @addr describes.  A list ends
 * with its page; when that is not enough, its last entry points to the next.
 */
static uint16_t nvme_prp_list(NvmeCmd *cmd, uint64_t addr, uint32_t len,
                              NvmeMap *map)
{
    uint32_t page = nvme_page_size(cmd->n);
    uint32_t need = (len + page - 1) / page;
    g_autofree uint8_t *list = g_malloc(MIN(need, page / 8) * 8);

    for (;;) {
        uint32_t slots = (page - (addr & (page - 1))) / 8;
        uint32_t data = need > slots ? slots - 1 : need;
        uint16_t status;

        if (addr & 7) {
            return nvme_fail_at(cmd, NVME_SQE_PRP2, NVME_SC_PRP_OFFSET);
        }
        status = nvme_read_list(cmd, addr, list, MIN(need, slots) * 8);
        if (!status) {
            status = nvme_prp_add(cmd, list, data, len, map);
        }
        if (status || data == need) {
            return status;
        }
        len -= data * page;
        need -= data;
        addr = nvme_get64(list + 8 * data);
        if (addr & (page - 1)) {
            /* Only the first list may start inside a page */
            return nvme_fail_at(cmd, NVME_SQE_PRP2, NVME_SC_PRP_OFFSET);
        }
    }
}

static uint16_t nvme_map_prp(NvmeCmd *cmd, uint32_t len, NvmeMap *map)
{
    uint32_t page = nvme_page_size(cmd->n);
    uint64_t prp1 = nvme_get64(cmd->sqe + NVME_SQE_PRP1);
    uint64_t prp2 = nvme_get64(cmd->sqe + NVME_SQE_PRP2);
    uint32_t first = MIN(len, page - (prp1 & (page - 1)));

    if (prp1 & 3) {
        return nvme_fail_at(cmd, NVME_SQE_PRP1, NVME_SC_PRP_OFFSET);
    }
    nvme_map_add(map, prp1, first);
    len -= first;
    if (!len) {
        return 0;
    }
    if (len <= page) {
        return nvme_prp_add(cmd, cmd->sqe + NVME_SQE_PRP2, 1, len, map);
    }
    return nvme_prp_list(cmd, prp2, len, map);
}

/* ---- SGL (4.4) --------------------------------------------------------- */

typedef struct NvmeSgl {
    uint64_t addr;
    uint32_t len;
    uint8_t type;
    uint8_t subtype;
} NvmeSgl;

static NvmeSgl nvme_sgl_get(const uint8_t *p)
{
    return (NvmeSgl) {
        .addr = nvme_get64(p),
        .len = nvme_get32(p + 8),
        .type = p[15] >> 4,
        .subtype = p[15] & 15,
    };
}

/* Add data descriptor @d to @map, which is to hold @len bytes */
static uint16_t nvme_sgl_add(NvmeCmd *cmd, const NvmeSgl *d, uint32_t len,
                             NvmeMap *map)
{
    if (d->type != NVME_SGL_DATA || d->subtype) {
        return nvme_fail_at(cmd, NVME_SQE_PRP1, NVME_SC_SGL_TYPE);
    }
    if (d->len > len - map->len) {
        return nvme_fail_at(cmd, NVME_SQE_PRP1, NVME_SC_SGL_LENGTH);
    }
    if (d->len) {
        nvme_map_add(map, d->addr, d->len);
    }
    return 0;
}

static bool nvme_sgl_is_segment(const NvmeSgl *d)
{
    return d->type == NVME_SGL_SEGMENT || d->type == NVME_SGL_LAST;
}

/*
 * Add @count descriptors of a segment to @map.  @end: the last of them ends
 * the segment.  When that continues the list it is left in *@seg.
 */
static uint16_t nvme_sgl_chunk(NvmeCmd *cmd, const uint8_t *list,
                               uint32_t count, bool end, uint32_t len,
                               NvmeSgl *seg, NvmeMap *map)
{
    uint32_t i;

    for (i = 0; i < count; i++) {
        NvmeSgl d = nvme_sgl_get(list + NVME_SGL_SIZE * i);
        uint16_t status;

        if (nvme_sgl_is_segment(&d)) {
            if (!end || i + 1 < count) {
                return nvme_fail_at(cmd, NVME_SQE_PRP1, NVME_SC_SGL_COUNT);
            }
            if (seg->type == NVME_SGL_LAST) {
                break;
            }
            *seg = d;
            return 0;
        }
        status = nvme_sgl_add(cmd, &d, len, map);
        if (status) {
            return status;
        }
    }
    /* All data: right only in, or inside, a last segment */
    if (i == count && (!end || seg->type == NVME_SGL_LAST)) {
        return 0;
    }
    return nvme_fail_at(cmd, NVME_SQE_PRP1, NVME_SC_SGL_SEGMENT);
}

/* Task.  Follow the list that @seg describes */
static uint16_t nvme_sgl_list(NvmeCmd *cmd, NvmeSgl seg, uint32_t len,
                              NvmeMap *map)
{
    g_autofree uint8_t *list = NULL;
    unsigned reads;

    for (reads = 0; reads < NVME_MAX_SGL_READS; reads++) {
        uint32_t count = MIN(seg.len / NVME_SGL_SIZE, NVME_MAX_SGL_CHUNK);
        bool last = seg.type == NVME_SGL_LAST;
        bool end = count * NVME_SGL_SIZE == seg.len;
        uint16_t status;

        if (seg.subtype || !count || seg.len % NVME_SGL_SIZE ||
            (seg.addr & 7)) {
            return nvme_fail_at(cmd, NVME_SQE_PRP1, NVME_SC_SGL_SEGMENT);
        }
        list = g_realloc(list, count * NVME_SGL_SIZE);
        status = nvme_read_list(cmd, seg.addr, list, count * NVME_SGL_SIZE);
        if (!status) {
            seg.addr += count * NVME_SGL_SIZE;
            seg.len -= count * NVME_SGL_SIZE;
            status = nvme_sgl_chunk(cmd, list, count, end, len, &seg, map);
        }
        if (status || (last && end)) {
            return status;
        }
    }
    return nvme_fail_at(cmd, NVME_SQE_PRP1, NVME_SC_SGL_COUNT);
}

static uint16_t nvme_map_sgl(NvmeCmd *cmd, uint32_t len, NvmeMap *map)
{
    NvmeSgl d = nvme_sgl_get(cmd->sqe + NVME_SQE_PRP1);
    uint16_t status;

    if (nvme_sgl_is_segment(&d)) {
        status = nvme_sgl_list(cmd, d, len, map);
    } else {
        status = nvme_sgl_add(cmd, &d, len, map);
    }
    if (!status && map->len < len) {
        status = nvme_fail_at(cmd, NVME_SQE_PRP1, NVME_SC_SGL_LENGTH);
    }
    return status;
}

/* ---- both -------------------------------------------------------------- */

uint16_t nvme_map(NvmeCmd *cmd, uint32_t len, NvmeMap *map)
{
    uint8_t psdt = cmd->sqe[NVME_SQE_FLAGS] & NVME_SQE_PSDT_MASK;
    uint16_t status;

    nvme_map_init(map);
    if (!psdt) {
        status = nvme_map_prp(cmd, len, map);
    } else {
        status = nvme_map_sgl(cmd, len, map);
    }
    if (status) {
        nvme_map_free(map);
    }
    return status;
}

/* What a host call said about a transfer, as a status */
static uint16_t nvme_transferred(NvmeCmd *cmd, int ret)
{
    if (!nvme_live(cmd)) {
        return NVME_SC_ABORT_REQUESTED;
    }
    return ret ? NVME_SC_DATA_TRANSFER : 0;
}

/* How many segments from @i on go into one call, and how many bytes */
static unsigned nvme_batch(const NvmeMap *map, unsigned i, uint32_t *len)
{
    unsigned count = MIN(map->n - i, RIO_MODULE_MAX_SEGMENTS);
    unsigned k;

    *len = 0;
    for (k = 0; k < count; k++) {
        *len += map->segs[i + k].len;
    }
    return count;
}

uint16_t nvme_from_guest(NvmeCmd *cmd, const NvmeMap *map, void *buf)
{
    uint8_t *p = buf;
    uint16_t status = 0;
    unsigned i, count;
    uint32_t len;

    for (i = 0; i < map->n && !status; i += count, p += len) {
        count = nvme_batch(map, i, &len);
        status = nvme_transferred(cmd,
            rio_dma_readv(cmd->n->dev, cmd->n->client, map->segs + i, count,
                          p));
    }
    return status;
}

uint16_t nvme_to_guest(NvmeCmd *cmd, const NvmeMap *map, const void *buf)
{
    const uint8_t *p = buf;
    uint16_t status = 0;
    unsigned i, count;
    uint32_t len;

    for (i = 0; i < map->n && !status; i += count, p += len) {
        count = nvme_batch(map, i, &len);
        status = nvme_transferred(cmd,
            rio_dma_writev(cmd->n->dev, cmd->n->client, map->segs + i, count,
                           p));
    }
    return status;
}

uint16_t nvme_reply_data(NvmeCmd *cmd, const void *buf, uint32_t len)
{
    NvmeMap map;
    uint16_t status = nvme_map(cmd, len, &map);

    if (!status) {
        status = nvme_to_guest(cmd, &map, buf);
        nvme_map_free(&map);
    }
    return status;
}
