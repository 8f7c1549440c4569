/*
 * remote-io codec: bodies of the messages that move a module
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "net/remote-io/codec-internal.h"

#define BAD(err, m, fmt, ...) \
    rio_error_set(err, RIO_STATUS_PROTOCOL, "%s: " fmt, \
                  rio_op_name((m)->op), __VA_ARGS__)

/* Bytes before the first string, or the data, of a body */
#define MOVE_FIXED      8u
#define OFFER_FIXED     32u
#define DATA_FIXED      24u

static bool read_two(const RioMessage *m, RioReader *r, RioString a,
                     const char *a_name, RioString b, const char *b_name,
                     RioError *err)
{
    return rio_read_string(r, a, a_name, err) &&
           rio_read_string(r, b, b_name, err) &&
           (r->p == r->end ||
            BAD(err, m, "%zu bytes after the last field",
                (size_t)(r->end - r->p)));
}

static bool decode_move(RioMessage *m, RioError *err)
{
    const uint8_t *p = m->payload.data;
    RioReader r = { p + MOVE_FIXED, p + m->payload.len };
    bool start = p[0] == RIO_MOVE_START;

    m->payload.len = 0;
    m->move.kind = p[0];
    if (p[0] < RIO_MOVE_START || p[0] > RIO_MOVE_PROGRESS ||
        !rio_all_zero(p + 1, 7)) {
        return BAD(err, m, "kind %u, or reserved bytes not 0", p[0]);
    }
    if (!read_two(m, &r, m->move.server, "server of MOVE", m->move.module,
                  "module of MOVE", err)) {
        return false;
    }
    return start ? *m->move.server || BAD(err, m, "%s is empty", "server")
                 : !(*m->move.server || *m->move.module) ||
                   BAD(err, m, "kind %u names a server or module", p[0]);
}

static bool check_phase(const RioMessage *m, const uint8_t *p, RioError *err)
{
    return (p[0] <= RIO_MOVE_COMMITTED && rio_all_zero(p + 1, 7)) ||
           BAD(err, m, "phase %u, or reserved bytes not 0", p[0]);
}

static bool decode_moving(RioMessage *m, RioError *err)
{
    const uint8_t *p = m->payload.data;

    m->payload.len = 0;
    m->moving.phase = p[0];
    m->moving.done = rio_get64(p + 8);
    m->moving.total = rio_get64(p + 16);
    return check_phase(m, p, err);
}

static bool decode_moved(RioMessage *m, RioError *err)
{
    const uint8_t *p = m->payload.data;
    RioReader r = { p, p + m->payload.len };

    m->payload.len = 0;
    return read_two(m, &r, m->moved.server, "server of MOVED",
                    m->moved.address, "address of MOVED", err);
}

static bool decode_offer(RioMessage *m, RioError *err)
{
    const uint8_t *p = m->payload.data;
    RioReader r = { p + OFFER_FIXED, p + m->payload.len };

    m->payload.len = 0;
    memcpy(m->offer.id, p, RIO_UUID_SIZE);
    m->offer.caps = rio_get64(p + 16);
    m->offer.state_version = rio_get32(p + 24);
    m->offer.sessions = rio_get32(p + 28);
    return read_two(m, &r, m->offer.module, "module of MOVE_OFFER",
                    m->offer.driver, "driver of MOVE_OFFER", err) &&
           (*m->offer.module || BAD(err, m, "%s is empty", "module"));
}

/* What the bytes mean is seen when all of them are there. */
static bool decode_data(RioMessage *m, RioError *err)
{
    const uint8_t *p = m->payload.data;

    memcpy(m->parcel.id, p, RIO_UUID_SIZE);
    m->parcel.offset = rio_get64(p + 16);
    m->payload.data += DATA_FIXED;
    m->payload.len -= DATA_FIXED;
    return m->parcel.offset <= RIO_MAX_PARCEL - m->payload.len ||
           BAD(err, m, "%u bytes at %" G_GUINT64_FORMAT ", a parcel has at "
               "most %u", m->payload.len, m->parcel.offset, RIO_MAX_PARCEL);
}

static bool decode_step(RioMessage *m, RioError *err)
{
    const uint8_t *p = m->payload.data;

    m->payload.len = 0;
    memcpy(m->step.id, p, RIO_UUID_SIZE);
    m->step.kind = p[16];
    return (p[16] >= RIO_MOVE_COMMIT && p[16] <= RIO_MOVE_ASK &&
            rio_all_zero(p + 17, 7)) ||
           BAD(err, m, "kind %u, or reserved bytes not 0", p[16]);
}

static bool decode_stepped(RioMessage *m, RioError *err)
{
    const uint8_t *p = m->payload.data;

    m->payload.len = 0;
    m->stepped.phase = p[0];
    m->stepped.received = rio_get64(p + 8);
    return check_phase(m, p, err);
}

bool rio_move_decode(RioMessage *m, RioError *err)
{
    switch (m->op) {
    case RIO_OP_MOVE:
        return decode_move(m, err);
    case RIO_OP_MOVE_REPLY:
        return decode_moving(m, err);
    case RIO_OP_MOVED:
        return decode_moved(m, err);
    case RIO_OP_MOVE_OFFER:
        return decode_offer(m, err);
    case RIO_OP_MOVE_DATA:
        return decode_data(m, err);
    case RIO_OP_MOVE_STEP:
        return decode_step(m, err);
    default:
        return decode_stepped(m, err);
    }
}

size_t rio_move_size(const RioMessage *m)
{
    switch (m->op) {
    case RIO_OP_MOVE:
        return MOVE_FIXED + rio_string_size(m->move.server) +
               rio_string_size(m->move.module);
    case RIO_OP_MOVE_REPLY:
        return 24;
    case RIO_OP_MOVED:
        return rio_string_size(m->moved.server) +
               rio_string_size(m->moved.address);
    case RIO_OP_MOVE_OFFER:
        return OFFER_FIXED + rio_string_size(m->offer.module) +
               rio_string_size(m->offer.driver);
    case RIO_OP_MOVE_DATA:
        return DATA_FIXED + (size_t)m->payload.len;
    case RIO_OP_MOVE_STEP:
        return 24;
    default:
        return 16;
    }
}

static void encode_offer(const RioMessage *m, RioWriter *w)
{
    memcpy(w->p, m->offer.id, RIO_UUID_SIZE);
    rio_put64(w->p + 16, m->offer.caps);
    rio_put32(w->p + 24, m->offer.state_version);
    rio_put32(w->p + 28, m->offer.sessions);
    w->p += OFFER_FIXED;
    rio_write_string(w, m->offer.module);
    rio_write_string(w, m->offer.driver);
}

bool rio_move_encode(const RioMessage *m, uint8_t *body, size_t size)
{
    RioWriter w = { body, body + size, false };

    switch (m->op) {
    case RIO_OP_MOVE:
        rio_put64(body, m->move.kind);
        w.p += MOVE_FIXED;
        rio_write_string(&w, m->move.server);
        rio_write_string(&w, m->move.module);
        break;
    case RIO_OP_MOVE_REPLY:
        rio_put64(body, m->moving.phase);
        rio_put64(body + 8, m->moving.done);
        rio_put64(body + 16, m->moving.total);
        break;
    case RIO_OP_MOVED:
        rio_write_string(&w, m->moved.server);
        rio_write_string(&w, m->moved.address);
        break;
    case RIO_OP_MOVE_OFFER:
        encode_offer(m, &w);
        break;
    case RIO_OP_MOVE_DATA:
        memcpy(body, m->parcel.id, RIO_UUID_SIZE);
        rio_put64(body + 16, m->parcel.offset);
        w.p += DATA_FIXED;
        rio_write_bytes(&w, m->payload);
        break;
    case RIO_OP_MOVE_STEP:
        memcpy(body, m->step.id, RIO_UUID_SIZE);
        rio_put64(body + 16, m->step.kind);
        break;
    default:
        rio_put64(body, m->stepped.phase);
        rio_put64(body + 8, m->stepped.received);
        break;
    }
    return !w.full;
}
