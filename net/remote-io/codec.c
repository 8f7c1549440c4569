/*
 * remote-io codec: headers, strings and the way in and out
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <stdarg.h>

#include "net/remote-io/codec-internal.h"

G_STATIC_ASSERT(RIO_HDR_ACK + 8 == RIO_HEADER_SIZE);
G_STATIC_ASSERT(RIO_BATCH_FIRST + (RIO_MAX_BATCH - 1) * RIO_BATCH_ENTRY <=
                RIO_MIN_MAX_MESSAGE);

/* Bytes of a message by which its opcode, flags and length can be judged */
#define HEADER_START (RIO_HDR_STATUS + 1)

/* Cut to size when it is too long; that is a log line's business. */
bool rio_error_set(RioError *err, uint8_t status, const char *fmt, ...)
{
    va_list ap;

    if (err) {
        err->status = status;
        va_start(ap, fmt);
        g_vsnprintf(err->text, sizeof(err->text), fmt, ap);
        va_end(ap);
    }
    return false;
}

bool rio_all_zero(const uint8_t *p, size_t n)
{
    uint8_t any = 0;

    while (n--) {
        any |= *p++;
    }
    return !any;
}

/* Control characters of ASCII and of Latin-1 (U+0080 to U+009F) */
static bool has_control(const char *s)
{
    for (; *s; s = g_utf8_next_char(s)) {
        if (g_unichar_iscntrl(g_utf8_get_char(s))) {
            return true;
        }
    }
    return false;
}

/*
 * Copied first and judged in the copy, which is terminated: what is judged
 * is what the caller will use.
 */
bool rio_check_string(const uint8_t *p, size_t len, RioString out,
                      const char *what, RioError *err)
{
    if (len > RIO_MAX_STRING) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL,
                             "%s is %zu bytes long, the limit is %u", what,
                             len, RIO_MAX_STRING);
    }
    memcpy(out, p, len);
    out[len] = '\0';
    if (!g_utf8_validate(out, len, NULL)) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL,
                             "%s is not UTF-8 or holds a NUL", what);
    }
    if (has_control(out)) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL,
                             "%s holds a control character", what);
    }
    return true;
}

bool rio_read_string(RioReader *r, RioString out, const char *what,
                     RioError *err)
{
    size_t left = r->end - r->p;
    size_t len;

    if (left < 2) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL,
                             "%s: %zu bytes are left for a length of 2",
                             what, left);
    }
    len = rio_get16(r->p);
    if (len > left - 2) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL,
                             "%s of %zu bytes, %zu are left", what, len,
                             left - 2);
    }
    if (!rio_check_string(r->p + 2, len, out, what, err)) {
        return false;
    }
    r->p += 2 + len;
    return true;
}

/*
 * The bounds of the opcode, or of a reason.  Lists inside a body are
 * compared with their counts where they are decoded.
 */
static bool check_body_length(uint8_t op, uint8_t status, uint32_t body,
                              RioError *err)
{
    const RioOpInfo *info = rio_op_info(op);
    bool reason = rio_body_is_reason(op, status);
    uint32_t min = reason ? 2 : info->min;
    uint32_t max = reason ? 2 + RIO_MAX_STRING : info->max;

    if (G_LIKELY(body >= min && body <= max)) {
        return true;
    }
    return rio_error_set(err, RIO_STATUS_PROTOCOL,
                         "%s: body of %u bytes, expected %u to %u",
                         info->name, body, min, max);
}

/* --- encoding --- */

void rio_write_bytes(RioWriter *w, RioBytes bytes)
{
    if (bytes.len > (size_t)(w->end - w->p)) {
        w->full = true;
    } else if (bytes.len) {
        memcpy(w->p, bytes.data, bytes.len);
        w->p += bytes.len;
    }
}

void rio_write_string(RioWriter *w, const RioString s)
{
    size_t len = strnlen(s, RIO_MAX_STRING + 1);

    if (len > RIO_MAX_STRING || len + 2 > (size_t)(w->end - w->p)) {
        w->full = true;
        return;
    }
    rio_put16(w->p, len);
    memcpy(w->p + 2, s, len);
    w->p += 2 + len;
}

size_t rio_encoded_size(const RioMessage *m)
{
    return RIO_HEADER_SIZE + rio_body_size(m);
}

/* Written last, when it is certain that the body could be encoded. */
static void put_header(const RioMessage *m, uint8_t *buf, size_t length)
{
    rio_put32(buf + RIO_HDR_LENGTH, length);
    buf[RIO_HDR_OP] = m->op;
    buf[RIO_HDR_FLAGS] = m->flags;
    buf[RIO_HDR_HOPS] = m->hops;
    buf[RIO_HDR_STATUS] = m->status;
    rio_put32(buf + RIO_HDR_CLIENT, m->ids.client);
    rio_put32(buf + RIO_HDR_VM, m->ids.vm);
    rio_put32(buf + RIO_HDR_SERVER, m->ids.server);
    rio_put32(buf + RIO_HDR_MODULE, m->ids.module);
    rio_put32(buf + RIO_HDR_EPOCH, m->epoch);
    rio_put32(buf + RIO_HDR_TAG, m->tag);
    rio_put64(buf + RIO_HDR_SEQ, m->seq);
    rio_put64(buf + RIO_HDR_ACK, m->ack);
}

size_t rio_encode(const RioMessage *m, uint8_t *buf, size_t size)
{
    size_t body = rio_body_size(m);

    if (size < RIO_HEADER_SIZE || body > size - RIO_HEADER_SIZE ||
        !check_body_length(m->op, m->status, MIN(body, UINT32_MAX), NULL) ||
        !rio_body_encode(m, buf + RIO_HEADER_SIZE, body)) {
        return 0;
    }
    put_header(m, buf, RIO_HEADER_SIZE + body);
    return RIO_HEADER_SIZE + body;
}

uint32_t rio_encoded_length(const uint8_t *encoded)
{
    return rio_get32(encoded + RIO_HDR_LENGTH);
}

uint8_t rio_encoded_op(const uint8_t *encoded)
{
    return encoded[RIO_HDR_OP];
}

uint64_t rio_encoded_seq(const uint8_t *encoded)
{
    return rio_get64(encoded + RIO_HDR_SEQ);
}

/* The only fields that differ when a message is sent again. */
void rio_restamp(uint8_t *encoded, uint32_t epoch, uint64_t ack)
{
    rio_put32(encoded + RIO_HDR_EPOCH, epoch);
    rio_put64(encoded + RIO_HDR_ACK, ack);
}

/* The only fields that differ between two hops. */
void rio_relabel(uint8_t *encoded, const RioIds *ids, uint8_t hops)
{
    encoded[RIO_HDR_HOPS] = hops;
    rio_put32(encoded + RIO_HDR_CLIENT, ids->client);
    rio_put32(encoded + RIO_HDR_VM, ids->vm);
    rio_put32(encoded + RIO_HDR_SERVER, ids->server);
    rio_put32(encoded + RIO_HDR_MODULE, ids->module);
}

/* --- decoding --- */

static void get_header(const uint8_t *buf, RioMessage *m)
{
    m->length = rio_get32(buf + RIO_HDR_LENGTH);
    m->op = buf[RIO_HDR_OP];
    m->flags = buf[RIO_HDR_FLAGS];
    m->hops = buf[RIO_HDR_HOPS];
    m->status = buf[RIO_HDR_STATUS];
    m->ids.client = rio_get32(buf + RIO_HDR_CLIENT);
    m->ids.vm = rio_get32(buf + RIO_HDR_VM);
    m->ids.server = rio_get32(buf + RIO_HDR_SERVER);
    m->ids.module = rio_get32(buf + RIO_HDR_MODULE);
    m->epoch = rio_get32(buf + RIO_HDR_EPOCH);
    m->tag = rio_get32(buf + RIO_HDR_TAG);
    m->seq = rio_get64(buf + RIO_HDR_SEQ);
    m->ack = rio_get64(buf + RIO_HDR_ACK);
}

/* What the first four bytes tell: no message is shorter or longer */
static bool check_length(uint32_t length, uint32_t max_message, RioError *err)
{
    if (length < RIO_HEADER_SIZE) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL,
                             "message of %u bytes is shorter than its header",
                             length);
    }
    if (length > max_message) {
        return rio_error_set(err, RIO_STATUS_LIMIT,
                             "message of %u bytes is longer than the limit "
                             "of %u", length, max_message);
    }
    return true;
}

/*
 * A later version may add a status only together with a capability, so an
 * unknown one is a mistake.
 */
static bool check_status(const RioOpInfo *info, uint8_t op, uint8_t status,
                         RioError *err)
{
    if (strcmp(rio_status_name(status), "unknown") == 0) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL,
                             "%s: unknown status %u", info->name, status);
    }
    if (status != RIO_STATUS_OK && !info->reply &&
        !rio_body_is_reason(op, RIO_STATUS_OK)) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL,
                             "%s: status %s in what is no reply", info->name,
                             rio_status_name(status));
    }
    return true;
}

/* What the first HEADER_START bytes tell, so that garbage is refused early */
static bool check_start(const uint8_t *buf, RioError *err)
{
    uint8_t op = buf[RIO_HDR_OP];
    const RioOpInfo *info = rio_op_info(op);

    if (G_UNLIKELY(info->scope == RIO_SCOPE_NONE)) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL,
                             "unknown opcode 0x%02x", op);
    }
    if (G_UNLIKELY(buf[RIO_HDR_FLAGS] & ~info->flags)) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL,
                             "%s: flags 0x%02x, allowed are 0x%02x",
                             info->name, buf[RIO_HDR_FLAGS], info->flags);
    }
    if (G_UNLIKELY(buf[RIO_HDR_HOPS] > RIO_MAX_HOPS)) {
        return rio_error_set(err, RIO_STATUS_LOOP,
                             "%s: %u hops, the limit is %u", info->name,
                             buf[RIO_HDR_HOPS], RIO_MAX_HOPS);
    }
    if (G_UNLIKELY(buf[RIO_HDR_STATUS]) &&
        !check_status(info, op, buf[RIO_HDR_STATUS], err)) {
        return false;
    }
    return check_body_length(op, buf[RIO_HDR_STATUS],
                             rio_get32(buf + RIO_HDR_LENGTH) -
                             RIO_HEADER_SIZE, err);
}

/* Link messages belong to no session: all that names one must be 0 */
static bool check_link_header(const RioMessage *m, RioError *err)
{
    bool named = m->op == RIO_OP_HELLO_REPLY && m->status == RIO_STATUS_OK;

    if (m->hops || m->ids.vm || m->ids.module || m->epoch || m->tag ||
        m->seq || m->ack || (!named && (m->ids.client || m->ids.server))) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL,
                             "%s: a header field is set that belongs to "
                             "sessions", rio_op_name(m->op));
    }
    if (named && (!m->ids.client || !m->ids.server)) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL,
                             "HELLO_REPLY: client id %u and server id %u, "
                             "0 is no id", m->ids.client, m->ids.server);
    }
    return true;
}

/*
 * The number of a message must be there exactly when its opcode is
 * sequenced; what the number should be is the session's business.
 */
static bool check_header(const RioMessage *m, RioError *err)
{
    RioScope scope = rio_op_info(m->op)->scope;

    if (G_UNLIKELY(scope == RIO_SCOPE_LINK)) {
        return check_link_header(m, err);
    }
    if (G_UNLIKELY((scope == RIO_SCOPE_SEQUENCED) != (m->seq != 0))) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL,
                             "%s: sequence number %" G_GUINT64_FORMAT
                             " in what is %ssequenced", rio_op_name(m->op),
                             m->seq, m->seq ? "not " : "");
    }
    return true;
}

/* A refusal has the same body whatever it refuses. */
static bool decode_reason(RioMessage *m, RioError *err)
{
    RioReader r = { m->payload.data, m->payload.data + m->payload.len };

    if (!rio_read_string(&r, m->reason, "reason", err)) {
        return false;
    }
    if (r.p != r.end) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL,
                             "%s: %zu bytes after the reason",
                             rio_op_name(m->op), (size_t)(r.end - r.p));
    }
    m->payload.len = 0;
    return true;
}

bool rio_decode_body(RioMessage *m, RioError *err)
{
    if (G_UNLIKELY(rio_body_is_reason(m->op, m->status))) {
        return decode_reason(m, err);
    }
    return rio_body_decode(m, err);
}

/*
 * Each check is made as soon as its bytes are there: a receiver allocates
 * for a long message only after its first eight bytes made sense.
 */
RioDecodeResult rio_decode_header(const uint8_t *buf, size_t len,
                                  uint32_t max_message, RioMessage *m,
                                  RioError *err)
{
    uint32_t length;

    if (len < RIO_HDR_LENGTH + 4) {
        return RIO_DECODE_MORE;
    }
    length = rio_get32(buf + RIO_HDR_LENGTH);
    if (!check_length(length, MIN(max_message, RIO_MAX_MESSAGE), err)) {
        return RIO_DECODE_BAD;
    }
    if (len < HEADER_START) {
        return RIO_DECODE_MORE;
    }
    if (!check_start(buf, err)) {
        return RIO_DECODE_BAD;
    }
    if (len < length) {
        return RIO_DECODE_MORE;
    }
    get_header(buf, m);
    m->payload.data = buf + RIO_HEADER_SIZE;
    m->tail = (RioBytes) { NULL, 0 };
    m->payload.len = length - RIO_HEADER_SIZE;
    return check_header(m, err) ? RIO_DECODE_OK : RIO_DECODE_BAD;
}

RioDecodeResult rio_decode(const uint8_t *buf, size_t len,
                           uint32_t max_message, RioMessage *m, RioError *err)
{
    RioDecodeResult result = rio_decode_header(buf, len, max_message, m, err);

    if (result == RIO_DECODE_OK && !rio_decode_body(m, err)) {
        return RIO_DECODE_BAD;
    }
    return result;
}
