/*
 * remote-io codec: bodies of the messages of links and of session control
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "net/remote-io/codec-internal.h"

#define BAD(err, m, fmt, ...) \
    rio_error_set(err, RIO_STATUS_PROTOCOL, "%s: " fmt, \
                  rio_op_name((m)->op), __VA_ARGS__)

/* Bytes before the first string or record of a body */
#define HELLO_FIXED     44u
#define ATTACH_FIXED    24u
#define ATTACHED_FIXED  32u
#define TRACE_FIXED     4u
#define LIST_FIXED      8u

static bool at_end(const RioMessage *m, const RioReader *r, RioError *err)
{
    return r->p == r->end ||
           BAD(err, m, "%zu bytes after the last field",
               (size_t)(r->end - r->p));
}

static bool not_empty(const RioMessage *m, const char *s, const char *what,
                      RioError *err)
{
    return *s || BAD(err, m, "%s is empty", what);
}

/* --- handshake --- */

/*
 * Ranges that no honest peer names.  A limit above ours is fine: the smaller
 * one will hold.
 */
static bool check_hello(const RioMessage *m, RioError *err)
{
    if (!m->hello.version_min || m->hello.version_min > m->hello.version_max ||
        (m->op == RIO_OP_HELLO_REPLY &&
         m->hello.version_min != m->hello.version_max)) {
        return BAD(err, m, "versions %u to %u", m->hello.version_min,
                   m->hello.version_max);
    }
    if (m->hello.max_message < RIO_MIN_MAX_MESSAGE) {
        return BAD(err, m, "messages of at most %u bytes, %u is the least",
                   m->hello.max_message, RIO_MIN_MAX_MESSAGE);
    }
    if (m->hello.keepalive_ms < RIO_MIN_KEEPALIVE_MS ||
        m->hello.keepalive_ms > RIO_MAX_KEEPALIVE_MS) {
        return BAD(err, m, "keep-alive interval of %u ms, allowed are "
                   "%u to %u", m->hello.keepalive_ms, RIO_MIN_KEEPALIVE_MS,
                   RIO_MAX_KEEPALIVE_MS);
    }
    if (m->hello.role < RIO_ROLE_CLIENT || m->hello.role > RIO_ROLE_SERVER) {
        return BAD(err, m, "role %u", m->hello.role);
    }
    return not_empty(m, m->hello.name, "name", err);
}

/*
 * The magic comes first: whoever speaks another protocol is told so, and not
 * that some string is wrong.
 */
static bool decode_hello(RioMessage *m, RioError *err)
{
    const uint8_t *p = m->payload.data;
    RioReader r = { p + HELLO_FIXED, p + m->payload.len };

    m->payload.len = 0;
    if (rio_get32(p) != RIO_MAGIC) {
        return BAD(err, m, "magic 0x%08x, expected 0x%08x", rio_get32(p),
                   RIO_MAGIC);
    }
    m->hello.version_min = rio_get16(p + 4);
    m->hello.version_max = rio_get16(p + 6);
    m->hello.caps = rio_get64(p + 8);
    m->hello.max_message = rio_get32(p + 16);
    m->hello.keepalive_ms = rio_get32(p + 20);
    m->hello.role = p[24];
    memcpy(m->hello.uuid, p + 28, RIO_UUID_SIZE);
    if (!rio_all_zero(p + 25, 3)) {
        return BAD(err, m, "reserved bytes at %u of the body are not 0", 25);
    }
    return rio_read_string(&r, m->hello.name, "name", err) &&
           rio_read_string(&r, m->hello.software, "software", err) &&
           at_end(m, &r, err) && check_hello(m, err);
}

static void encode_hello(const RioMessage *m, RioWriter *w)
{
    uint8_t *p = w->p;

    rio_put32(p, RIO_MAGIC);
    rio_put16(p + 4, m->hello.version_min);
    rio_put16(p + 6, m->hello.version_max);
    rio_put64(p + 8, m->hello.caps);
    rio_put32(p + 16, m->hello.max_message);
    rio_put32(p + 20, m->hello.keepalive_ms);
    rio_put32(p + 24, m->hello.role);
    memcpy(p + 28, m->hello.uuid, RIO_UUID_SIZE);
    w->p += HELLO_FIXED;
    rio_write_string(w, m->hello.name);
    rio_write_string(w, m->hello.software);
}

/* --- sessions --- */

/* Whose virtual machine it is; said by forwarders only */
static bool decode_platform(RioMessage *m, RioReader *r, RioError *err)
{
    if (!rio_read_string(r, m->attach.client, "client", err) ||
        !not_empty(m, m->attach.client, "client", err)) {
        return false;
    }
    if (r->end - r->p < RIO_UUID_SIZE) {
        return BAD(err, m, "%zu bytes are left for a UUID",
                   (size_t)(r->end - r->p));
    }
    memcpy(m->attach.client_uuid, r->p, RIO_UUID_SIZE);
    r->p += RIO_UUID_SIZE;
    return true;
}

/*
 * Only the module must have a name; the others help people and may be
 * missing.
 */
static bool decode_attach(RioMessage *m, RioError *err)
{
    const uint8_t *p = m->payload.data;
    RioReader r = { p + ATTACH_FIXED, p + m->payload.len };

    m->payload.len = 0;
    m->attach.caps = rio_get64(p);
    memcpy(m->attach.vm_uuid, p + 8, RIO_UUID_SIZE);
    return rio_read_string(&r, m->attach.server, "server", err) &&
           rio_read_string(&r, m->attach.module, "module", err) &&
           rio_read_string(&r, m->attach.vm, "VM", err) &&
           rio_read_string(&r, m->attach.device, "device", err) &&
           (!m->hops || decode_platform(m, &r, err)) &&
           at_end(m, &r, err) &&
           not_empty(m, m->attach.module, "module", err);
}

static void encode_attach(const RioMessage *m, RioWriter *w)
{
    rio_put64(w->p, m->attach.caps);
    memcpy(w->p + 8, m->attach.vm_uuid, RIO_UUID_SIZE);
    w->p += ATTACH_FIXED;
    rio_write_string(w, m->attach.server);
    rio_write_string(w, m->attach.module);
    rio_write_string(w, m->attach.vm);
    rio_write_string(w, m->attach.device);
    if (m->hops) {
        rio_write_string(w, m->attach.client);
        rio_write_bytes(w, (RioBytes) { m->attach.client_uuid,
                                        RIO_UUID_SIZE });
    }
}

/*
 * The description is left to rio_description_decode(): it is large, and
 * wanted in a place of its own.
 */
static bool decode_attached(RioMessage *m, RioError *err)
{
    const uint8_t *p = m->payload.data;

    memcpy(m->attached.token, p, RIO_TOKEN_SIZE);
    m->attached.caps = rio_get64(p + 16);
    m->attached.log_limit = rio_get32(p + 24);
    m->attached.max_outstanding = rio_get32(p + 28);
    m->payload.data += ATTACHED_FIXED;
    m->payload.len -= ATTACHED_FIXED;
    if (m->attached.log_limit < RIO_MIN_LOG ||
        m->attached.log_limit > RIO_MAX_LOG || !m->attached.max_outstanding) {
        return BAD(err, m, "log of %u bytes (%u to %u), %u outstanding "
                   "requests (at least 1)", m->attached.log_limit,
                   RIO_MIN_LOG, RIO_MAX_LOG, m->attached.max_outstanding);
    }
    return true;
}

static void encode_attached(const RioMessage *m, RioWriter *w)
{
    memcpy(w->p, m->attached.token, RIO_TOKEN_SIZE);
    rio_put64(w->p + 16, m->attached.caps);
    rio_put32(w->p + 24, m->attached.log_limit);
    rio_put32(w->p + 28, m->attached.max_outstanding);
    w->p += ATTACHED_FIXED;
    rio_write_bytes(w, m->payload);
}

/* --- routing --- */

/* One record: server u32, hops u8, 3 reserved, nanoseconds u64, name */
static bool check_trace_record(const RioMessage *m, RioReader *r,
                               RioError *err)
{
    RioString name;

    if (r->end - r->p < 16) {
        return BAD(err, m, "%zu bytes are left for a record",
                   (size_t)(r->end - r->p));
    }
    if (r->p[4] > RIO_MAX_HOPS || !rio_all_zero(r->p + 5, 3)) {
        return BAD(err, m, "record of hop %u, or reserved bytes not 0",
                   r->p[4]);
    }
    r->p += 16;
    return rio_read_string(r, name, "server of a record", err);
}

size_t rio_trace_put(uint8_t *p, const RioTraceRecord *record)
{
    RioWriter w = { p + 16, p + RIO_TRACE_RECORD_MAX, false };

    rio_put32(p, record->server);
    rio_put32(p + 4, record->hops);
    rio_put64(p + 8, record->nanoseconds);
    rio_write_string(&w, record->name);
    return w.p - p;
}

/* What is here was checked when the message was decoded. */
bool rio_trace_get(RioBytes records, size_t *offset, RioTraceRecord *record)
{
    RioReader r = { records.data + *offset, records.data + records.len };
    const uint8_t *p = r.p;

    if (r.end - r.p < 16) {
        return false;
    }
    r.p += 16;
    if (!rio_read_string(&r, record->name, "server of a record", NULL)) {
        return false;
    }
    record->server = rio_get32(p);
    record->hops = p[4];
    record->nanoseconds = rio_get64(p + 8);
    *offset += r.p - p;
    return true;
}

/*
 * Records are checked and stay where they are: nobody needs them in another
 * form, and forwarders append to them.
 */
static bool check_trace_records(RioMessage *m, RioReader *r, uint16_t count,
                                RioError *err)
{
    m->payload.data = r->p;
    m->payload.len = r->end - r->p;
    if (count > RIO_MAX_HOPS + 1) {
        return BAD(err, m, "%u records, the limit is %u", count,
                   RIO_MAX_HOPS + 1);
    }
    for (uint16_t i = 0; i < count; i++) {
        if (!check_trace_record(m, r, err)) {
            return false;
        }
    }
    return at_end(m, r, err);
}

static bool decode_trace(RioMessage *m, RioError *err)
{
    const uint8_t *p = m->payload.data;
    RioReader r = { p + TRACE_FIXED, p + m->payload.len };

    m->trace.count = rio_get16(p);
    if (rio_get16(p + 2)) {
        return BAD(err, m, "reserved bytes at %u of the body are not 0", 2);
    }
    return rio_read_string(&r, m->trace.server, "server", err) &&
           rio_read_string(&r, m->trace.module, "module", err) &&
           check_trace_records(m, &r, m->trace.count, err);
}

static void encode_trace(const RioMessage *m, RioWriter *w)
{
    rio_put32(w->p, m->trace.count);
    w->p += TRACE_FIXED;
    rio_write_string(w, m->trace.server);
    rio_write_string(w, m->trace.module);
    rio_write_bytes(w, m->payload);
}

static bool decode_traced(RioMessage *m, RioError *err)
{
    const uint8_t *p = m->payload.data;
    RioReader r = { p + LIST_FIXED, p + m->payload.len };

    m->traced.count = rio_get16(p);
    if (!rio_all_zero(p + 2, 6)) {
        return BAD(err, m, "reserved bytes at %u of the body are not 0", 2);
    }
    return check_trace_records(m, &r, m->traced.count, err);
}

/* --- announcements --- */

size_t rio_announce_put(uint8_t *p, const RioAnnounceEntry *entry)
{
    RioWriter w = { p + 2, p + RIO_ANNOUNCE_ENTRY_MAX, false };

    p[0] = entry->distance;
    p[1] = 0;
    rio_write_string(&w, entry->server);
    rio_write_string(&w, entry->module);
    return w.p - p;
}

/* Returns: false with *@err, if that is not NULL, when it is not valid */
static bool read_announced(const RioMessage *m, RioReader *r,
                           RioAnnounceEntry *entry, RioError *err)
{
    const uint8_t *p = r->p;

    if (r->end - p < 2) {
        return BAD(err, m, "%zu bytes are left for an entry",
                   (size_t)(r->end - p));
    }
    entry->distance = p[0];
    if ((p[0] >= RIO_MAX_HOPS && p[0] != RIO_ANNOUNCE_GONE) || p[1]) {
        return BAD(err, m, "entry of distance %u, or reserved byte not 0",
                   p[0]);
    }
    r->p += 2;
    return rio_read_string(r, entry->server, "server of an entry", err) &&
           rio_read_string(r, entry->module, "module of an entry", err) &&
           not_empty(m, entry->server, "server of an entry", err);
}

/* What is here was checked when the message was decoded. */
bool rio_announce_get(RioBytes entries, size_t *offset,
                      RioAnnounceEntry *entry)
{
    static const RioMessage m = { .op = RIO_OP_ANNOUNCE };
    RioReader r = { entries.data + *offset, entries.data + entries.len };

    if (r.p == r.end || !read_announced(&m, &r, entry, NULL)) {
        return false;
    }
    *offset = r.p - entries.data;
    return true;
}

/* Entries stay where they are; who keeps them copies them anyway */
static bool decode_announce(RioMessage *m, RioError *err)
{
    const uint8_t *p = m->payload.data;
    RioReader r = { p + LIST_FIXED, p + m->payload.len };
    RioAnnounceEntry entry;

    m->announce.count = rio_get32(p);
    if (rio_get32(p + 4)) {
        return BAD(err, m, "reserved bytes at %u of the body are not 0", 4);
    }
    m->payload.data = r.p;
    m->payload.len = r.end - r.p;
    for (uint32_t i = 0; i < m->announce.count; i++) {
        if (!read_announced(m, &r, &entry, err)) {
            return false;
        }
    }
    return at_end(m, &r, err);
}

/* --- shared memory and state --- */

static RioMemory get_memory(const uint8_t *p)
{
    return (RioMemory) {
        .address = rio_get64(p),
        .size = rio_get64(p + 8),
        .offset = rio_get64(p + 16),
        .file = rio_get32(p + 24),
        .flags = rio_get32(p + 28),
    };
}

RioMemory rio_memory_get(const RioMessage *m, uint32_t i)
{
    return get_memory(m->payload.data + i * RIO_MEMORY_SIZE);
}

unsigned rio_memory_files(const RioMessage *m)
{
    unsigned files = 0;

    for (uint32_t i = 0; i < m->mem_table.count; i++) {
        files = MAX(files, rio_memory_get(m, i).file + 1);
    }
    return files;
}

void rio_memory_put(uint8_t *payload, uint32_t i, const RioMemory *mem)
{
    uint8_t *p = payload + i * RIO_MEMORY_SIZE;

    rio_put64(p, mem->address);
    rio_put64(p + 8, mem->size);
    rio_put64(p + 16, mem->offset);
    rio_put32(p + 24, mem->file);
    rio_put32(p + 28, mem->flags);
}

/*
 * Whether memory of that size exists is seen when it is mapped; here only
 * that no entry wraps around and that each begins behind the one before.
 */
static bool decode_mem_table(RioMessage *m, RioError *err)
{
    uint32_t count = rio_get32(m->payload.data);
    uint64_t end = 0;

    m->mem_table.count = count;
    if (rio_get32(m->payload.data + 4) || count > RIO_MAX_MEMORY ||
        m->payload.len != LIST_FIXED + count * RIO_MEMORY_SIZE) {
        return BAD(err, m, "%u entries in a body of %u bytes, or reserved "
                   "bytes not 0", count, m->payload.len);
    }
    m->payload.data += LIST_FIXED;
    m->payload.len -= LIST_FIXED;
    for (uint32_t i = 0; i < count; i++) {
        RioMemory mem = rio_memory_get(m, i);

        if (!mem.size || mem.address < end ||
            mem.address > UINT64_MAX - mem.size ||
            mem.offset > UINT64_MAX - mem.size ||
            mem.file >= RIO_MAX_FILES || mem.flags > RIO_MEMORY_READONLY) {
            return BAD(err, m, "entry of 0x%" G_GINT64_MODIFIER "x bytes at "
                       "0x%" G_GINT64_MODIFIER "x is not valid", mem.size,
                       mem.address);
        }
        end = mem.address + mem.size;
    }
    return true;
}

/*
 * What a state means is the module's business; that offset and length can be
 * added is ours.
 */
static bool decode_state(RioMessage *m, RioError *err)
{
    m->state.offset = rio_get64(m->payload.data);
    m->payload.data += LIST_FIXED;
    m->payload.len -= LIST_FIXED;
    return m->state.offset <= UINT64_MAX - m->payload.len ||
           BAD(err, m, "offset 0x%" G_GINT64_MODIFIER "x wraps around",
               m->state.offset);
}

static void encode_resume(const RioMessage *m, RioWriter *w)
{
    if (m->op == RIO_OP_RESUME) {
        memcpy(w->p, m->resume.token, RIO_TOKEN_SIZE);
        w->p += RIO_TOKEN_SIZE;
    }
    rio_put64(w->p, m->resume.received);
    w->p += 8;
}

static bool decode_resume(RioMessage *m)
{
    const uint8_t *p = m->payload.data;

    if (m->op == RIO_OP_RESUME) {
        memcpy(m->resume.token, p, RIO_TOKEN_SIZE);
        p += RIO_TOKEN_SIZE;
    }
    m->resume.received = rio_get64(p);
    m->payload.len = 0;
    return true;
}

static bool decode_ping(RioMessage *m)
{
    m->ping.cookie = rio_get64(m->payload.data);
    m->payload.len = 0;
    return true;
}

/* --- doors --- */

bool rio_control_decode(RioMessage *m, RioError *err)
{
    switch (m->op) {
    case RIO_OP_HELLO:
    case RIO_OP_HELLO_REPLY:
        return decode_hello(m, err);
    case RIO_OP_PING:
    case RIO_OP_PONG:
        return decode_ping(m);
    case RIO_OP_ATTACH:
        return decode_attach(m, err);
    case RIO_OP_ATTACH_REPLY:
        return decode_attached(m, err);
    case RIO_OP_RESUME:
    case RIO_OP_RESUME_REPLY:
        return decode_resume(m);
    case RIO_OP_ROUTE_TRACE:
        return decode_trace(m, err);
    case RIO_OP_ROUTE_TRACE_REPLY:
        return decode_traced(m, err);
    case RIO_OP_ANNOUNCE:
        return decode_announce(m, err);
    case RIO_OP_MEM_TABLE:
        return decode_mem_table(m, err);
    case RIO_OP_STATE_SAVE:
    case RIO_OP_STATE_SAVE_REPLY:
    case RIO_OP_STATE_LOAD:
        return decode_state(m, err);
    case RIO_OP_MOVE:
    case RIO_OP_MOVE_REPLY:
    case RIO_OP_MOVED:
    case RIO_OP_MOVE_OFFER:
    case RIO_OP_MOVE_DATA:
    case RIO_OP_MOVE_STEP:
    case RIO_OP_MOVE_STEP_REPLY:
        return rio_move_decode(m, err);
    default:
        return true;            /* DETACH, ACK, ...: the body is empty */
    }
}

size_t rio_control_size(const RioMessage *m)
{
    switch (m->op) {
    case RIO_OP_HELLO:
    case RIO_OP_HELLO_REPLY:
        return HELLO_FIXED + rio_string_size(m->hello.name) +
               rio_string_size(m->hello.software);
    case RIO_OP_PING:
    case RIO_OP_PONG:
    case RIO_OP_RESUME_REPLY:
    case RIO_OP_STATE_SAVE:
        return 8;
    case RIO_OP_ATTACH:
        return ATTACH_FIXED + rio_string_size(m->attach.server) +
               rio_string_size(m->attach.module) +
               rio_string_size(m->attach.vm) +
               rio_string_size(m->attach.device) +
               (m->hops ? rio_string_size(m->attach.client) + RIO_UUID_SIZE
                        : 0);
    case RIO_OP_ATTACH_REPLY:
        return ATTACHED_FIXED + (size_t)m->payload.len;
    case RIO_OP_RESUME:
        return RIO_TOKEN_SIZE + 8;
    case RIO_OP_ROUTE_TRACE:
        return TRACE_FIXED + rio_string_size(m->trace.server) +
               rio_string_size(m->trace.module) + (size_t)m->payload.len;
    case RIO_OP_ROUTE_TRACE_REPLY:
    case RIO_OP_ANNOUNCE:
    case RIO_OP_MEM_TABLE:
    case RIO_OP_STATE_SAVE_REPLY:
    case RIO_OP_STATE_LOAD:
        return LIST_FIXED + (size_t)m->payload.len;
    case RIO_OP_MOVE:
    case RIO_OP_MOVE_REPLY:
    case RIO_OP_MOVED:
    case RIO_OP_MOVE_OFFER:
    case RIO_OP_MOVE_DATA:
    case RIO_OP_MOVE_STEP:
    case RIO_OP_MOVE_STEP_REPLY:
        return rio_move_size(m);
    default:
        return 0;
    }
}

bool rio_control_encode(const RioMessage *m, uint8_t *body, size_t size)
{
    RioWriter w = { body, body + size, false };

    switch (m->op) {
    case RIO_OP_HELLO:
    case RIO_OP_HELLO_REPLY:
        encode_hello(m, &w);
        break;
    case RIO_OP_PING:
    case RIO_OP_PONG:
        rio_put64(body, m->ping.cookie);
        break;
    case RIO_OP_ATTACH:
        encode_attach(m, &w);
        break;
    case RIO_OP_ATTACH_REPLY:
        encode_attached(m, &w);
        break;
    case RIO_OP_RESUME:
    case RIO_OP_RESUME_REPLY:
        encode_resume(m, &w);
        break;
    case RIO_OP_ROUTE_TRACE:
        encode_trace(m, &w);
        break;
    case RIO_OP_ROUTE_TRACE_REPLY:
        rio_put64(body, m->traced.count);
        w.p += LIST_FIXED;
        rio_write_bytes(&w, m->payload);
        break;
    case RIO_OP_ANNOUNCE:
        rio_put64(body, m->announce.count);
        w.p += LIST_FIXED;
        rio_write_bytes(&w, m->payload);
        break;
    case RIO_OP_MEM_TABLE:
        rio_put64(body, m->mem_table.count);
        w.p += LIST_FIXED;
        rio_write_bytes(&w, m->payload);
        break;
    case RIO_OP_STATE_SAVE:
        rio_put64(body, m->state.offset);
        break;
    case RIO_OP_STATE_SAVE_REPLY:
    case RIO_OP_STATE_LOAD:
        rio_put64(body, m->state.offset);
        w.p += LIST_FIXED;
        rio_write_bytes(&w, m->payload);
        break;
    case RIO_OP_MOVE:
    case RIO_OP_MOVE_REPLY:
    case RIO_OP_MOVED:
    case RIO_OP_MOVE_OFFER:
    case RIO_OP_MOVE_DATA:
    case RIO_OP_MOVE_STEP:
    case RIO_OP_MOVE_STEP_REPLY:
        return rio_move_encode(m, body, size);
    default:
        break;
    }
    return !w.full;
}

bool rio_reason_encode(const RioMessage *m, uint8_t *body, size_t size)
{
    RioWriter w = { body, body + size, false };

    rio_write_string(&w, m->reason);
    return !w.full;
}
