/*
 * remote-io codec: bodies that carry or name memory, and guest time
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "net/remote-io/codec-internal.h"

#define BAD(err, m, fmt, ...) \
    rio_error_set(err, RIO_STATUS_PROTOCOL, "%s: " fmt, \
                  rio_op_name((m)->op), __VA_ARGS__)

/* Bytes before the list or the data of a body */
#define DMA_FIXED       8u
#define DOORBELL_FIXED  32u
#define UPDATE_FIXED    16u
#define RECIPE_FIXED    64u
#define RECIPE_STEP     48u
#define SGL_DESCRIPTOR  16u

static bool bad_reserved(const RioMessage *m, unsigned offset, RioError *err)
{
    return BAD(err, m, "reserved bytes at %u of the body are not 0", offset);
}

/* --- segments --- */

static RioSegment get_segment(const uint8_t *p)
{
    return (RioSegment) {
        .address = rio_get64(p),
        .length = rio_get32(p + 8),
        .step = rio_get32(p + 12),
    };
}

RioSegment rio_segment_get(const RioMessage *m, uint32_t i)
{
    return get_segment(m->payload.data + i * RIO_SEGMENT_SIZE);
}

RioBytes rio_segment_bytes(const RioMessage *m)
{
    uint32_t count = m->op == RIO_OP_DOORBELL ? m->doorbell.count
                                              : m->dma.count;

    return (RioBytes) {
        .data = m->payload.data + count * RIO_SEGMENT_SIZE,
        .len = m->payload.len - count * RIO_SEGMENT_SIZE,
    };
}

void rio_segment_put(uint8_t *payload, uint32_t i, const RioSegment *seg)
{
    uint8_t *p = payload + i * RIO_SEGMENT_SIZE;

    rio_put64(p, seg->address);
    rio_put32(p + 8, seg->length);
    rio_put32(p + 12, seg->step);
}

/*
 * @count segments at the start of the payload: none is empty or wraps around,
 * and together they are @total bytes.  @steps: largest step number.
 */
static bool check_segments(const RioMessage *m, uint32_t count,
                           uint32_t total, uint32_t steps, RioError *err)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < count; i++) {
        RioSegment seg = rio_segment_get(m, i);

        if (!seg.length || seg.length > RIO_MAX_MESSAGE ||
            seg.address > UINT64_MAX - seg.length || seg.step > steps) {
            return BAD(err, m, "segment %u: %u bytes at 0x%" G_GINT64_MODIFIER
                       "x, step %u", i, seg.length, seg.address, seg.step);
        }
        sum += seg.length;
    }
    return sum == total ||
           BAD(err, m, "segments of %" G_GUINT64_FORMAT " bytes, total %u",
               sum, total);
}

/*
 * The list of a DMA or doorbell in a body whose list starts at @fixed;
 * @data: bytes of the total that follow the list
 */
static bool decode_list(RioMessage *m, uint32_t fixed, uint32_t count,
                        uint32_t data, RioError *err)
{
    if (count > RIO_MAX_SEGMENTS ||
        m->payload.len != fixed + (uint64_t)count * RIO_SEGMENT_SIZE + data) {
        return BAD(err, m, "%u segments and %u bytes in a body of %u", count,
                   data, m->payload.len);
    }
    m->payload.data += fixed;
    m->payload.len -= fixed;
    return true;
}

/* DMA_WRITE has its bytes behind the list, DMA_READ has none. */
static bool decode_dma(RioMessage *m, RioError *err)
{
    uint32_t count = rio_get32(m->payload.data);
    uint32_t total = rio_get32(m->payload.data + 4);

    m->dma.count = count;
    m->dma.total = total;
    if (!count || !total || total > RIO_MAX_DMA) {
        return BAD(err, m, "%u segments, %u bytes (limit %u)", count, total,
                   RIO_MAX_DMA);
    }
    return decode_list(m, DMA_FIXED, count,
                       m->op == RIO_OP_DMA_WRITE ? total : 0, err) &&
           check_segments(m, count, total, 0, err);
}

/*
 * No limit of its own for the bytes: they are as many as the message holds,
 * so that a command and the largest transfer it names fit together.
 */
static bool decode_doorbell(RioMessage *m, RioError *err)
{
    uint32_t count = rio_get32(m->payload.data + 24);
    uint32_t total = rio_get32(m->payload.data + 28);

    m->doorbell.count = count;
    m->doorbell.total = total;
    return decode_list(m, DOORBELL_FIXED, count, total, err) &&
           check_segments(m, count, total, RIO_MAX_STEPS, err);
}

/* A piece of an answer; that the pieces follow each other is for who asked. */
static bool decode_dma_data(RioMessage *m, RioError *err)
{
    m->dma_data.offset = rio_get32(m->payload.data);
    if (rio_get32(m->payload.data + 4)) {
        return bad_reserved(m, 4, err);
    }
    m->payload.data += DMA_FIXED;
    m->payload.len -= DMA_FIXED;
    if (!m->payload.len || m->payload.len > RIO_MAX_DMA ||
        m->dma_data.offset > RIO_MAX_DMA - m->payload.len) {
        return BAD(err, m, "%u bytes at offset %u (limit %u)",
                   m->payload.len, m->dma_data.offset, RIO_MAX_DMA);
    }
    return true;
}

/* --- memory updates --- */

/*
 * FILL says in 16 bytes what a cleared screen would take megabytes for, and
 * so is not bounded by the message.
 */
static bool decode_update(RioMessage *m, RioError *err)
{
    const uint8_t *p = m->payload.data;

    m->mem_update.region = p[0];
    m->mem_update.kind = p[1];
    m->mem_update.fill = p[2];
    m->mem_update.length = rio_get32(p + 4);
    m->mem_update.offset = rio_get64(p + 8);
    m->payload.data += UPDATE_FIXED;
    m->payload.len -= UPDATE_FIXED;
    if (p[3] || (p[1] == RIO_MEM_DATA && p[2])) {
        return bad_reserved(m, 2, err);
    }
    if (p[0] >= RIO_MAX_REGIONS || p[1] < RIO_MEM_DATA ||
        p[1] > RIO_MEM_FILL || !m->mem_update.length ||
        m->mem_update.offset > UINT64_MAX - m->mem_update.length ||
        m->payload.len != (p[1] == RIO_MEM_DATA ? m->mem_update.length : 0)) {
        return BAD(err, m, "region %u, kind %u, %u bytes at 0x%"
                   G_GINT64_MODIFIER "x, %u of data", p[0], p[1],
                   m->mem_update.length, m->mem_update.offset,
                   m->payload.len);
    }
    return true;
}

static void encode_update(const RioMessage *m, RioWriter *w)
{
    w->p[0] = m->mem_update.region;
    w->p[1] = m->mem_update.kind;
    w->p[2] = m->mem_update.kind == RIO_MEM_FILL ? m->mem_update.fill : 0;
    w->p[3] = 0;
    rio_put32(w->p + 4, m->mem_update.length);
    rio_put64(w->p + 8, m->mem_update.offset);
    w->p += UPDATE_FIXED;
    if (m->mem_update.kind == RIO_MEM_DATA) {
        rio_write_bytes(w, m->payload);
    }
}

/* --- recipes --- */

static bool power_of_two_size(uint8_t size)
{
    return size == 1 || size == 2 || size == 4 || size == 8;
}

/* A field of @size bytes at @offset of an entry of @entry bytes */
static bool field_fits(uint16_t offset, uint8_t size, uint32_t entry)
{
    return power_of_two_size(size) && offset + (uint32_t)size <= entry;
}

/* Match: offset u16, size u8 (0: always true), reserved u8, mask, value u32 */
static bool check_match(const uint8_t *p, uint32_t entry)
{
    if (!p[2]) {
        return rio_all_zero(p, 12);
    }
    return p[2] <= 4 && !p[3] && field_fits(rio_get16(p), p[2], entry);
}

/*
 * One step of 48 bytes.  Every field that it names lies inside an entry, so
 * that whoever follows the recipe reads from an entry without looking again.
 */
static bool check_step(const uint8_t *p, uint32_t entry)
{
    uint8_t kind = p[24], page_shift = p[25], shift = p[33];
    bool prp = kind == RIO_STEP_PRP || kind == RIO_STEP_PRP_LIST;
    bool sgl = kind == RIO_STEP_SGL || kind == RIO_STEP_SGL_LIST;

    if (!check_match(p, entry) || !check_match(p + 12, entry) ||
        kind < RIO_STEP_BUFFER || kind > RIO_STEP_SGL_LIST ||
        rio_get16(p + 26) + (sgl ? SGL_DESCRIPTOR : 8) > entry ||
        rio_get16(p + 34) || shift > 31) {
        return false;
    }
    if (prp ? page_shift < 12 || page_shift > 16 ||
              !field_fits(rio_get16(p + 28), 8, entry)
            : page_shift || rio_get16(p + 28)) {
        return false;
    }
    if (p[32] ? p[32] > 4 || !field_fits(rio_get16(p + 30), p[32], entry)
              : rio_get16(p + 30) || rio_get32(p + 36)) {
        return false;
    }
    return rio_get32(p + 44) && rio_get32(p + 44) <= RIO_MAX_STEP_BYTES;
}

/*
 * The ring itself: it may lie anywhere, but it must not wrap around the end
 * of the address space.
 */
static bool check_ring(const uint8_t *p, RioError *err)
{
    uint32_t entries = rio_get32(p + 24), entry = rio_get32(p + 28);
    uint64_t base = rio_get64(p + 16), index_at = rio_get64(p + 40);
    uint8_t index_size = p[48];

    if (p[2] >= RIO_MAX_REGIONS || !entries || !entry ||
        entry > RIO_MAX_ENTRY ||
        base > UINT64_MAX - (uint64_t)entries * entry ||
        rio_get32(p + 32) >= entries) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL,
                             "RECIPE: region %u, ring of %u entries of %u "
                             "bytes, index %u", p[2], entries, entry,
                             rio_get32(p + 32));
    }
    if (index_at ? !power_of_two_size(index_size) ||
                   index_at > UINT64_MAX - index_size : index_size) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL,
                             "RECIPE: index of %u bytes at 0x%"
                             G_GINT64_MODIFIER "x", index_size, index_at);
    }
    if (!rio_get16(p + 50) || !rio_get32(p + 52)) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL,
                             "RECIPE: at most %u entries and %u bytes",
                             rio_get16(p + 50), rio_get32(p + 52));
    }
    for (uint8_t i = 0; i < p[49]; i++) {
        if (!check_step(p + RECIPE_FIXED + i * RECIPE_STEP, entry)) {
            return rio_error_set(err, RIO_STATUS_PROTOCOL,
                                 "RECIPE: step %u is not valid", i + 1);
        }
    }
    return true;
}

/* Whatever names no ring has nothing in it that could be followed */
static bool check_empty(const uint8_t *p, size_t len)
{
    bool lazy = p[3] == RIO_RECIPE_LAZY;

    if (lazy ? p[2] >= RIO_MAX_REGIONS : p[2] || rio_get64(p + 8)) {
        return false;
    }
    return rio_all_zero(p + 4, 4) && rio_all_zero(p + 16, len - 16);
}

/*
 * The one check for both ways in which a recipe comes.
 */
bool rio_recipe_check(const uint8_t *p, size_t len, RioError *err)
{
    if (len < RECIPE_FIXED || p[49] > RIO_MAX_STEPS ||
        len != RECIPE_FIXED + p[49] * RECIPE_STEP) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL,
                             "RECIPE: %u steps in %zu bytes",
                             len < RECIPE_FIXED ? 0 : p[49], len);
    }
    if (rio_get16(p) >= RIO_MAX_RECIPES || p[3] > RIO_RECIPE_LAZY) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL,
                             "RECIPE: slot %u, kind %u", rio_get16(p), p[3]);
    }
    if (p[3] == RIO_RECIPE_RING ? rio_get32(p + 4) || rio_get64(p + 56)
                                : !check_empty(p, len)) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL,
                             "RECIPE: reserved bytes are not 0");
    }
    return p[3] != RIO_RECIPE_RING || check_ring(p, err);
}

static bool decode_recipe(RioMessage *m, RioError *err)
{
    m->recipe.slot = rio_get16(m->payload.data);
    m->recipe.kind = m->payload.data[3];
    return rio_recipe_check(m->payload.data, m->payload.len, err);
}

/* --- doors --- */

bool rio_memory_decode(RioMessage *m, RioError *err)
{
    const uint8_t *p = m->payload.data;

    switch (m->op) {
    case RIO_OP_DOORBELL:
        return decode_doorbell(m, err);
    case RIO_OP_RECIPE:
        return decode_recipe(m, err);
    case RIO_OP_DMA_READ:
    case RIO_OP_DMA_WRITE:
        return decode_dma(m, err);
    case RIO_OP_DMA_READ_REPLY:
        return decode_dma_data(m, err);
    case RIO_OP_MEM_UPDATE:
        return decode_update(m, err);
    case RIO_OP_TIME_SYNC:
        m->time.now_ns = rio_get64(p);
        m->time.horizon_ns = rio_get64(p + 8);
        m->payload.len = 0;
        return true;
    default:
        return true;            /* replies whose body is empty */
    }
}

size_t rio_memory_size(const RioMessage *m)
{
    switch (m->op) {
    case RIO_OP_DOORBELL:
        return DOORBELL_FIXED + (size_t)m->payload.len;
    case RIO_OP_RECIPE:
        return m->payload.len;
    case RIO_OP_DMA_WRITE:
        return DMA_FIXED + (size_t)m->payload.len + m->tail.len;
    case RIO_OP_DMA_READ:
    case RIO_OP_DMA_READ_REPLY:
        return DMA_FIXED + (size_t)m->payload.len;
    case RIO_OP_MEM_UPDATE:
        return UPDATE_FIXED +
               (m->mem_update.kind == RIO_MEM_DATA ? (size_t)m->payload.len
                                                   : 0);
    case RIO_OP_TIME_SYNC:
        return 16;
    default:
        return 0;
    }
}

bool rio_memory_encode(const RioMessage *m, uint8_t *body, size_t size)
{
    RioWriter w = { body, body + size, false };

    switch (m->op) {
    case RIO_OP_DOORBELL:
        rio_put32(body + 24, m->doorbell.count);
        rio_put32(body + 28, m->doorbell.total);
        w.p += DOORBELL_FIXED;
        rio_write_bytes(&w, m->payload);
        break;
    case RIO_OP_RECIPE:
        rio_write_bytes(&w, m->payload);
        break;
    case RIO_OP_DMA_READ:
    case RIO_OP_DMA_WRITE:
        rio_put32(body, m->dma.count);
        rio_put32(body + 4, m->dma.total);
        w.p += DMA_FIXED;
        rio_write_bytes(&w, m->payload);
        if (m->op == RIO_OP_DMA_WRITE) {
            rio_write_bytes(&w, m->tail);
        }
        break;
    case RIO_OP_DMA_READ_REPLY:
        rio_put64(body, m->dma_data.offset);
        w.p += DMA_FIXED;
        rio_write_bytes(&w, m->payload);
        break;
    case RIO_OP_MEM_UPDATE:
        encode_update(m, &w);
        break;
    case RIO_OP_TIME_SYNC:
        rio_put64(body, m->time.now_ns);
        rio_put64(body + 8, m->time.horizon_ns);
        break;
    default:
        break;
    }
    return !w.full;
}
