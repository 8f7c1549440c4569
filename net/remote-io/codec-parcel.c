/*
 * remote-io codec: a module that moves, as one string of bytes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "net/remote-io/codec-internal.h"

#define PARCEL_MAGIC    0x4d4f4952u     /* "RIOM" */
#define PARCEL_VERSION  1

/* Bytes before the first string, see "The parcel" in the specification */
#define HEAD_FIXED      24u
#define SESSION_FIXED   56u

/* --- writing --- */

size_t rio_parcel_put(uint8_t *p, const RioParcel *parcel)
{
    RioWriter w = { p + HEAD_FIXED, p + RIO_PARCEL_HEAD_MAX, false };

    rio_put32(p, PARCEL_MAGIC);
    rio_put16(p + 4, PARCEL_VERSION);
    rio_put16(p + 6, 0);
    rio_put32(p + 8, parcel->sessions);
    rio_put32(p + 12, parcel->state.len);
    rio_put32(p + 16, parcel->state_version);
    rio_put32(p + 20, 0);
    rio_write_string(&w, parcel->driver);
    return w.p - p;
}

size_t rio_parcel_session_put(uint8_t *p, const RioParcelSession *s)
{
    RioWriter w = { p + SESSION_FIXED, p + RIO_PARCEL_SESSION_MAX, false };

    rio_put32(p + 4, s->slot);
    rio_put64(p + 8, s->caps);
    rio_put32(p + 16, s->max_message);
    rio_put32(p + 20, 0);
    memcpy(p + 24, s->client_uuid, RIO_UUID_SIZE);
    memcpy(p + 40, s->vm_uuid, RIO_UUID_SIZE);
    rio_write_string(&w, s->client);
    rio_write_string(&w, s->vm);
    rio_write_string(&w, s->device);
    rio_put32(p, w.p - p + s->record.len);
    return w.p - p;
}

/* --- reading --- */

static bool read_names(RioReader *r, RioParcelSession *s, RioError *err)
{
    return rio_read_string(r, s->client, "client of a parcel", err) &&
           rio_read_string(r, s->vm, "VM of a parcel", err) &&
           rio_read_string(r, s->device, "device of a parcel", err) &&
           (*s->client ||
            rio_error_set(err, RIO_STATUS_PROTOCOL, "client of a parcel is "
                          "empty"));
}

/* A session at @r, which moves behind it; the record is the session's room */
static bool read_session(RioReader *r, RioParcelSession *s, RioError *err)
{
    const uint8_t *p = r->p;
    size_t left = r->end - r->p;
    uint32_t length = left >= 4 ? rio_get32(p) : 0;
    RioReader body = { p + SESSION_FIXED, p + length };

    if (length < SESSION_FIXED || length > left) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL, "a session of %u bytes"
                             " in a parcel, %zu are left", length, left);
    }
    s->slot = rio_get32(p + 4);
    s->caps = rio_get64(p + 8);
    s->max_message = rio_get32(p + 16);
    memcpy(s->client_uuid, p + 24, RIO_UUID_SIZE);
    memcpy(s->vm_uuid, p + 40, RIO_UUID_SIZE);
    if (rio_get32(p + 20)) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL, "reserved bytes of a "
                             "session in a parcel are not 0");
    }
    if (!read_names(&body, s, err)) {
        return false;
    }
    s->record = (RioBytes) { body.p, body.end - body.p };
    r->p = body.end;
    return true;
}

/* Each session has a slot of its own; those of one module are few */
static bool check_sessions(const RioParcel *parcel, RioError *err)
{
    RioReader r = { parcel->rest.data, parcel->rest.data + parcel->rest.len };
    RIO_UNINITIALIZED RioParcelSession s;
    uint32_t least = 0;

    for (uint32_t i = 0; i < parcel->sessions; i++) {
        if (!read_session(&r, &s, err)) {
            return false;
        }
        if (s.slot < least || s.slot == UINT32_MAX) {
            return rio_error_set(err, RIO_STATUS_PROTOCOL, "a parcel with "
                                 "slot %u behind %u", s.slot, least);
        }
        least = s.slot + 1;
    }
    return r.p == r.end ||
           rio_error_set(err, RIO_STATUS_PROTOCOL, "%zu bytes after the last "
                         "session of a parcel", (size_t)(r.end - r.p));
}

static bool check_head(RioBytes bytes, RioError *err)
{
    const uint8_t *p = bytes.data;

    if (bytes.len < HEAD_FIXED || bytes.len > RIO_MAX_PARCEL) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL, "a parcel of %u bytes,"
                             " not %u to %u", bytes.len, HEAD_FIXED,
                             RIO_MAX_PARCEL);
    }
    if (rio_get32(p) != PARCEL_MAGIC) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL, "magic 0x%08x of a "
                             "parcel, expected 0x%08x", rio_get32(p),
                             PARCEL_MAGIC);
    }
    if (rio_get16(p + 4) != PARCEL_VERSION) {
        return rio_error_set(err, RIO_STATUS_VERSION, "a parcel in version "
                             "%u, this program reads version %u",
                             rio_get16(p + 4), PARCEL_VERSION);
    }
    return (!rio_get16(p + 6) && !rio_get32(p + 20)) ||
           rio_error_set(err, RIO_STATUS_PROTOCOL, "reserved bytes of a "
                         "parcel are not 0");
}

bool rio_parcel_get(RioBytes bytes, RioParcel *parcel, RioError *err)
{
    const uint8_t *p = bytes.data;
    RioReader r = { p + HEAD_FIXED, p + bytes.len };
    uint32_t state_len;

    if (!check_head(bytes, err) ||
        !rio_read_string(&r, parcel->driver, "driver of a parcel", err)) {
        return false;
    }
    state_len = rio_get32(p + 12);
    if (!*parcel->driver || state_len > r.end - r.p) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL, "a parcel with driver "
                             "'%.60s' and %u bytes of state, %zu are left",
                             parcel->driver, state_len,
                             (size_t)(r.end - r.p));
    }
    parcel->sessions = rio_get32(p + 8);
    parcel->state_version = rio_get32(p + 16);
    parcel->state = (RioBytes) { r.p, state_len };
    r.p += state_len;
    parcel->rest = (RioBytes) { r.p, r.end - r.p };
    return check_sessions(parcel, err);
}

bool rio_parcel_session(const RioParcel *parcel, uint32_t *at,
                        RioParcelSession *session)
{
    RioReader r = { parcel->rest.data + *at,
                    parcel->rest.data + parcel->rest.len };

    if (*at == parcel->rest.len || !read_session(&r, session, NULL)) {
        return false;
    }
    *at = r.p - parcel->rest.data;
    return true;
}
