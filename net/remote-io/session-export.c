/*
 * remote-io session: out of one process, into another
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is read here came over a network or from a file: nothing of it is
 * believed before it was held against the rest.
 */

#include <string.h>

#include "net/remote-io/session-internal.h"

GByteArray *rio_session_export(const RioSession *s)
{
    RioSessionRecord record = {
        .server_side = s->side == RIO_SIDE_SERVER,
        .ids = s->ids,
        .epoch = s->epoch,
        .log_limit = s->log_limit,
        .sent = s->sent,
        .acked = s->acked,
        .received = s->received - s->held_messages,
        .log = { s->log + s->head, s->tail - s->head },
    };
    uint8_t head[RIO_SESSION_RECORD_HEAD];
    GByteArray *bytes;

    if (s->relay ||
        (s->state != RIO_SESSION_LIVE && s->state != RIO_SESSION_LOST)) {
        return NULL;
    }
    memcpy(record.token, s->token, RIO_TOKEN_SIZE);
    rio_session_record_put(head, &record);
    bytes = g_byte_array_sized_new(sizeof(head) + record.log.len);
    g_byte_array_append(bytes, head, sizeof(head));
    if (record.log.len) {
        g_byte_array_append(bytes, record.log.data, record.log.len);
    }
    return bytes;
}

/* Is @m what the session would have put into its log as message @seq? */
static bool check_logged(const RioSessionRecord *record, const RioMessage *m,
                         uint64_t seq, RioError *err)
{
    bool mine = record->server_side ? rio_op_from_server(m->op)
                                    : rio_op_from_client(m->op);

    if (!mine || m->seq != seq || m->epoch != record->epoch || m->hops ||
        memcmp(&m->ids, &record->ids, sizeof(m->ids)) ||
        m->ack > record->received) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL, "message %"
                             G_GUINT64_FORMAT " in the log of a session is %s"
                             ", number %" G_GUINT64_FORMAT ", epoch %u, ack %"
                             G_GUINT64_FORMAT, seq, rio_op_name(m->op),
                             m->seq, m->epoch, m->ack);
    }
    return true;
}

static bool check_log(const RioSessionRecord *record, RioError *err)
{
    uint64_t seq = record->acked;
    uint32_t at = 0;
    RIO_UNINITIALIZED RioMessage m;

    while (at < record->log.len) {
        switch (rio_decode(record->log.data + at, record->log.len - at,
                           RIO_MAX_MESSAGE, &m, err)) {
        case RIO_DECODE_OK:
            break;
        case RIO_DECODE_MORE:
            return rio_error_set(err, RIO_STATUS_PROTOCOL, "the log of a "
                                 "session ends within a message");
        case RIO_DECODE_BAD:
            return false;
        }
        if (!check_logged(record, &m, ++seq, err)) {
            return false;
        }
        at += m.length;
    }
    if (seq != record->sent) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL, "the log of a session "
                             "ends with message %" G_GUINT64_FORMAT ", sent "
                             "were %" G_GUINT64_FORMAT, seq, record->sent);
    }
    /* One message alone may be longer, see rio_session_send() */
    if (at > record->log_limit && seq > record->acked + 1) {
        return rio_error_set(err, RIO_STATUS_LIMIT, "the log of a session has"
                             " %u bytes, its limit is %u", at,
                             record->log_limit);
    }
    return true;
}

RioSession *rio_session_import(RioBytes bytes, RioSide side, RioError *err)
{
    RioSessionRecord record;
    RioSession *s;

    if (!rio_session_record_get(bytes, &record, err)) {
        return NULL;
    }
    if (record.server_side != (side == RIO_SIDE_SERVER)) {
        rio_error_set(err, RIO_STATUS_PROTOCOL, "a session of the %s's side",
                      record.server_side ? "server" : "client");
        return NULL;
    }
    if (!check_log(&record, err)) {
        return NULL;
    }
    s = rio_session_new(side);
    rio_session_start(s, &record.ids, record.epoch, record.token,
                      record.log_limit);
    s->sent = record.sent;
    s->begun = record.sent;
    s->reached = record.sent;
    s->acked = record.acked;
    s->received = record.received;
    s->log = g_memdup2(record.log.data, record.log.len);
    s->size = record.log.len;
    s->tail = s->tx = s->tx_end = record.log.len;
    s->peak = s->tail;
    s->state = RIO_SESSION_LOST;
    return s;
}

void rio_session_set_ids(RioSession *s, const RioIds *ids)
{
    g_assert(!s->owner);
    s->ids = *ids;
    for (uint32_t at = s->head; at < s->tail;
         at += rio_encoded_length(s->log + at)) {
        rio_relabel(s->log + at, ids, 0);
    }
}
