/*
 * remote-io codec: the head of an exported session
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "net/remote-io/codec-internal.h"

#define RECORD_MAGIC    0x534f4952u     /* "RIOS" */
#define RECORD_VERSION  1

/* Offsets, see docs/interop/remote-io.rst, "The record of a session" */
enum {
    REC_MAGIC       = 0,
    REC_VERSION     = 4,
    REC_SIDE        = 6,
    REC_RESERVED    = 7,
    REC_IDS         = 8,
    REC_EPOCH       = 24,
    REC_LOG_LIMIT   = 28,
    REC_TOKEN       = 32,
    REC_SENT        = 48,
    REC_ACKED       = 56,
    REC_RECEIVED    = 64,
    REC_LOG_LENGTH  = 72,
    REC_RESERVED_2  = 76,
    REC_LOG         = 80,
};

G_STATIC_ASSERT(REC_LOG == RIO_SESSION_RECORD_HEAD);
G_STATIC_ASSERT(REC_TOKEN + RIO_TOKEN_SIZE == REC_SENT);

void rio_session_record_put(uint8_t *p, const RioSessionRecord *record)
{
    rio_put32(p + REC_MAGIC, RECORD_MAGIC);
    rio_put16(p + REC_VERSION, RECORD_VERSION);
    p[REC_SIDE] = record->server_side ? 2 : 1;
    p[REC_RESERVED] = 0;
    rio_put32(p + REC_IDS, record->ids.client);
    rio_put32(p + REC_IDS + 4, record->ids.vm);
    rio_put32(p + REC_IDS + 8, record->ids.server);
    rio_put32(p + REC_IDS + 12, record->ids.module);
    rio_put32(p + REC_EPOCH, record->epoch);
    rio_put32(p + REC_LOG_LIMIT, record->log_limit);
    memcpy(p + REC_TOKEN, record->token, RIO_TOKEN_SIZE);
    rio_put64(p + REC_SENT, record->sent);
    rio_put64(p + REC_ACKED, record->acked);
    rio_put64(p + REC_RECEIVED, record->received);
    rio_put32(p + REC_LOG_LENGTH, record->log.len);
    rio_put32(p + REC_RESERVED_2, 0);
}

/* What the head says about itself and about the bytes that follow */
static bool check_form(RioBytes bytes, RioError *err)
{
    const uint8_t *p = bytes.data;

    if (bytes.len < REC_LOG) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL, "a session in %u "
                             "bytes, its head alone has %u", bytes.len,
                             REC_LOG);
    }
    if (rio_get32(p + REC_MAGIC) != RECORD_MAGIC) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL, "magic 0x%08x of a "
                             "session, expected 0x%08x",
                             rio_get32(p + REC_MAGIC), RECORD_MAGIC);
    }
    if (rio_get16(p + REC_VERSION) != RECORD_VERSION) {
        return rio_error_set(err, RIO_STATUS_VERSION, "a session in version "
                             "%u, this program reads version %u",
                             rio_get16(p + REC_VERSION), RECORD_VERSION);
    }
    if (p[REC_SIDE] < 1 || p[REC_SIDE] > 2 || p[REC_RESERVED] ||
        rio_get32(p + REC_RESERVED_2)) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL, "side %u of a session,"
                             " or reserved bytes that are not 0",
                             p[REC_SIDE]);
    }
    if (rio_get32(p + REC_LOG_LENGTH) != bytes.len - REC_LOG) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL, "a session with a log "
                             "of %u bytes, %u are there",
                             rio_get32(p + REC_LOG_LENGTH),
                             bytes.len - REC_LOG);
    }
    return true;
}

static bool check_values(const RioSessionRecord *r, RioError *err)
{
    if (!r->ids.client || !r->ids.vm || !r->ids.server || !r->ids.module ||
        !r->epoch) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL, "a session with the "
                             "ids %u, %u, %u, %u and epoch %u: 0 is none",
                             r->ids.client, r->ids.vm, r->ids.server,
                             r->ids.module, r->epoch);
    }
    if (r->log_limit < RIO_MIN_LOG || r->log_limit > RIO_MAX_LOG) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL, "a session with a log "
                             "limit of %u, not %u to %u", r->log_limit,
                             RIO_MIN_LOG, RIO_MAX_LOG);
    }
    /* No number may wrap around, however long the session goes on */
    if (r->acked > r->sent || r->sent > UINT64_MAX / 2 ||
        r->received > UINT64_MAX / 2) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL, "a session that sent "
                             "%" G_GUINT64_FORMAT ", of which %"
                             G_GUINT64_FORMAT " acknowledged, and received %"
                             G_GUINT64_FORMAT, r->sent, r->acked,
                             r->received);
    }
    return true;
}

bool rio_session_record_get(RioBytes bytes, RioSessionRecord *record,
                            RioError *err)
{
    const uint8_t *p = bytes.data;

    if (!check_form(bytes, err)) {
        return false;
    }
    record->server_side = p[REC_SIDE] == 2;
    record->ids.client = rio_get32(p + REC_IDS);
    record->ids.vm = rio_get32(p + REC_IDS + 4);
    record->ids.server = rio_get32(p + REC_IDS + 8);
    record->ids.module = rio_get32(p + REC_IDS + 12);
    record->epoch = rio_get32(p + REC_EPOCH);
    record->log_limit = rio_get32(p + REC_LOG_LIMIT);
    memcpy(record->token, p + REC_TOKEN, RIO_TOKEN_SIZE);
    record->sent = rio_get64(p + REC_SENT);
    record->acked = rio_get64(p + REC_ACKED);
    record->received = rio_get64(p + REC_RECEIVED);
    record->log.data = p + REC_LOG;
    record->log.len = bytes.len - REC_LOG;
    return check_values(record, err);
}
