/*
 * remote-io codec: bodies of the messages that modules and drivers cause
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The messages on the path of an access stand first.  The size of a body was
 * compared with the bounds of its opcode before; what a body says of the
 * size of its parts is judged here.
 */

#include "net/remote-io/codec-internal.h"

/* Refuse the value of one field of a message */
#define BAD(err, m, fmt, ...) \
    rio_error_set(err, RIO_STATUS_PROTOCOL, "%s: " fmt, \
                  rio_op_name((m)->op), __VA_ARGS__)

static bool bad_reserved(const RioMessage *m, unsigned offset, RioError *err)
{
    return BAD(err, m, "reserved bytes at %u of the body are not 0", offset);
}

/* The part of the payload from @fixed on is what the caller gets as payload */
static bool keep_payload(RioMessage *m, uint32_t fixed)
{
    m->payload.data += fixed;
    m->payload.len -= fixed;
    return true;
}

/* --- accesses --- */

static bool valid_size(uint8_t size)
{
    return size == 1 || size == 2 || size == 4 || size == 8;
}

/* Region, size, six reserved bytes, offset: how every access begins */
static bool get_access(const RioMessage *m, const uint8_t *p, uint8_t *region,
                       uint8_t *size, uint64_t *offset, RioError *err)
{
    *region = p[0];
    *size = p[1];
    *offset = rio_get64(p + 8);
    if (G_UNLIKELY(rio_get64(p) >> 16)) {
        return bad_reserved(m, 2, err);
    }
    if (G_UNLIKELY(*region >= RIO_MAX_REGIONS)) {
        return BAD(err, m, "region %u, the last is %u", *region,
                   RIO_MAX_REGIONS - 1);
    }
    if (G_UNLIKELY(!valid_size(*size))) {
        return BAD(err, m, "size %u is not 1, 2, 4 or 8", *size);
    }
    if (G_UNLIKELY(*offset > UINT64_MAX - *size)) {
        return BAD(err, m, "offset 0x%" G_GINT64_MODIFIER "x wraps around",
                   *offset);
    }
    return true;
}

static void put_access(uint8_t *p, uint8_t region, uint8_t size,
                       uint64_t offset)
{
    rio_put64(p, region | size << 8);
    rio_put64(p + 8, offset);
}

static bool get_write(const RioMessage *m, const uint8_t *p, RioWrite *w,
                      RioError *err)
{
    if (!get_access(m, p, &w->region, &w->size, &w->offset, err)) {
        return false;
    }
    w->value = rio_get64(p + 16);
    if (G_UNLIKELY(w->size < 8 && w->value >> (8 * w->size))) {
        return BAD(err, m, "value 0x%" G_GINT64_MODIFIER "x in %u bytes",
                   w->value, w->size);
    }
    return true;
}

static void put_write(uint8_t *p, const RioWrite *w)
{
    put_access(p, w->region, w->size, w->offset);
    rio_put64(p + 16, w->value);
}

static bool must_be_posted(const RioMessage *m, RioError *err)
{
    return m->flags & RIO_FLAG_POSTED ||
           BAD(err, m, "flags 0x%02x lack POSTED", m->flags);
}

static bool decode_batch(RioMessage *m, RioError *err)
{
    const uint8_t *p = m->payload.data;
    uint32_t count = rio_get32(p);
    RioWrite w;

    m->batch.count = count;
    if (rio_get32(p + 4)) {
        return bad_reserved(m, 4, err);
    }
    if (count < 1 || count > RIO_MAX_BATCH ||
        m->payload.len != 8 + count * RIO_BATCH_ENTRY) {
        return BAD(err, m, "%u writes in a body of %u bytes", count,
                   m->payload.len);
    }
    keep_payload(m, 8);
    for (uint32_t i = 0; i < count; i++) {
        if (!get_write(m, m->payload.data + i * RIO_BATCH_ENTRY, &w, err)) {
            return false;
        }
    }
    return must_be_posted(m, err);
}

RioWrite rio_batch_get(const RioMessage *m, uint32_t i)
{
    const uint8_t *p = m->payload.data + i * RIO_BATCH_ENTRY;

    return (RioWrite) {
        .region = p[0],
        .size = p[1],
        .offset = rio_get64(p + 8),
        .value = rio_get64(p + 16),
    };
}

size_t rio_batch_append(uint8_t *encoded, const RioWrite *w)
{
    uint8_t *body = encoded + RIO_HEADER_SIZE;
    uint32_t count = rio_get32(body);

    if (count >= RIO_MAX_BATCH) {
        return 0;
    }
    put_write(body + 8 + count * RIO_BATCH_ENTRY, w);
    rio_put32(body, count + 1);
    rio_put32(encoded + RIO_HDR_LENGTH,
              rio_encoded_length(encoded) + RIO_BATCH_ENTRY);
    return RIO_BATCH_ENTRY;
}

size_t rio_batch_from_write(uint8_t *encoded)
{
    uint8_t *body = encoded + RIO_HEADER_SIZE;

    memmove(body + 8, body, RIO_BATCH_ENTRY);
    rio_put64(body, 1);
    encoded[RIO_HDR_OP] = RIO_OP_REGION_WRITE_BATCH;
    rio_put32(encoded + RIO_HDR_LENGTH, RIO_BATCH_FIRST);
    return 8;
}

/* --- interrupts and reset --- */

static bool decode_irq_level(RioMessage *m, RioError *err)
{
    const uint8_t *p = m->payload.data;

    m->irq_level.line = rio_get16(p);
    m->irq_level.level = p[2];
    if (m->irq_level.line >= RIO_MAX_LINES || m->irq_level.level > 1) {
        return BAD(err, m, "line %u, level %u", m->irq_level.line,
                   m->irq_level.level);
    }
    return rio_all_zero(p + 3, 5) || bad_reserved(m, 3, err);
}

static bool decode_irq_message(RioMessage *m, RioError *err)
{
    const uint8_t *p = m->payload.data;
    uint16_t vector = rio_get16(p + 2);
    uint8_t kind = p[0];

    m->irq_message.kind = kind;
    m->irq_message.vector = vector;
    if (!((kind == RIO_IRQ_MSI && vector < RIO_MAX_MSI) ||
          (kind == RIO_IRQ_MSIX && vector < RIO_MAX_MSIX))) {
        return BAD(err, m, "kind %u, vector %u", kind, vector);
    }
    return !(p[1] || rio_get32(p + 4)) || bad_reserved(m, 1, err);
}

/* One byte between 1 and @max, seven reserved: RESET, QUIESCE */
static bool decode_kind(RioMessage *m, uint8_t *kind, uint8_t max,
                        RioError *err)
{
    *kind = m->payload.data[0];
    if (*kind < 1 || *kind > max) {
        return BAD(err, m, "kind %u is not between 1 and %u", *kind, max);
    }
    return rio_all_zero(m->payload.data + 1, 7) || bad_reserved(m, 1, err);
}

/* --- the rest has rooms of its own --- */

bool rio_body_decode(RioMessage *m, RioError *err)
{
    const uint8_t *p = m->payload.data;

    switch (m->op) {
    case RIO_OP_REGION_READ:
        return get_access(m, p, &m->read.region, &m->read.size,
                          &m->read.offset, err) && keep_payload(m, 16);
    case RIO_OP_REGION_READ_REPLY:
        m->value.value = rio_get64(p);
        return keep_payload(m, 8);
    case RIO_OP_REGION_WRITE:
        return get_write(m, p, &m->write, err) && keep_payload(m, 24);
    case RIO_OP_REGION_WRITE_BATCH:
        return decode_batch(m, err);
    case RIO_OP_IRQ_LEVEL:
        return decode_irq_level(m, err) && keep_payload(m, 8);
    case RIO_OP_IRQ_MESSAGE:
        return decode_irq_message(m, err) && keep_payload(m, 8);
    case RIO_OP_RESET:
        return decode_kind(m, &m->reset.kind, RIO_RESET_FUNCTION, err) &&
               keep_payload(m, 8);
    case RIO_OP_QUIESCE:
        return decode_kind(m, &m->quiesce.kind, RIO_QUIESCE_GO, err) &&
               keep_payload(m, 8);
    case RIO_OP_DOORBELL:
        return get_write(m, p, &m->doorbell.write, err) &&
               must_be_posted(m, err) && rio_memory_decode(m, err);
    default:
        return rio_op_info(m->op)->scope == RIO_SCOPE_SEQUENCED ?
               rio_memory_decode(m, err) : rio_control_decode(m, err);
    }
}

size_t rio_body_size(const RioMessage *m)
{
    if (G_UNLIKELY(rio_body_is_reason(m->op, m->status))) {
        return 2 + strnlen(m->reason, sizeof(m->reason));
    }
    switch (m->op) {
    case RIO_OP_REGION_READ:
        return 16;
    case RIO_OP_REGION_READ_REPLY:
    case RIO_OP_IRQ_LEVEL:
    case RIO_OP_IRQ_MESSAGE:
    case RIO_OP_RESET:
    case RIO_OP_QUIESCE:
        return 8;
    case RIO_OP_REGION_WRITE:
        return 24;
    case RIO_OP_REGION_WRITE_BATCH:
        return 8 + (size_t)m->payload.len;
    default:
        return rio_op_info(m->op)->scope == RIO_SCOPE_SEQUENCED ?
               rio_memory_size(m) : rio_control_size(m);
    }
}

static bool encode_batch(const RioMessage *m, uint8_t *body)
{
    if (m->batch.count < 1 || m->batch.count > RIO_MAX_BATCH ||
        m->payload.len != m->batch.count * RIO_BATCH_ENTRY) {
        return false;
    }
    rio_put64(body, m->batch.count);
    memcpy(body + 8, m->payload.data, m->payload.len);
    return true;
}

bool rio_body_encode(const RioMessage *m, uint8_t *body, size_t size)
{
    if (G_UNLIKELY(rio_body_is_reason(m->op, m->status))) {
        return rio_reason_encode(m, body, size);
    }
    switch (m->op) {
    case RIO_OP_REGION_READ:
        put_access(body, m->read.region, m->read.size, m->read.offset);
        return true;
    case RIO_OP_REGION_READ_REPLY:
        rio_put64(body, m->value.value);
        return true;
    case RIO_OP_REGION_WRITE:
        put_write(body, &m->write);
        return true;
    case RIO_OP_REGION_WRITE_BATCH:
        return encode_batch(m, body);
    case RIO_OP_IRQ_LEVEL:
        rio_put64(body, m->irq_level.line | m->irq_level.level << 16);
        return true;
    case RIO_OP_IRQ_MESSAGE:
        rio_put64(body, m->irq_message.kind | m->irq_message.vector << 16);
        return true;
    case RIO_OP_RESET:
        rio_put64(body, m->reset.kind);
        return true;
    case RIO_OP_QUIESCE:
        rio_put64(body, m->quiesce.kind);
        return true;
    case RIO_OP_DOORBELL:
        put_write(body, &m->doorbell.write);
        return rio_memory_encode(m, body, size);
    default:
        return rio_op_info(m->op)->scope == RIO_SCOPE_SEQUENCED ?
               rio_memory_encode(m, body, size) :
               rio_control_encode(m, body, size);
    }
}
