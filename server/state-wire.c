/*
 * remote-io-server: QUIESCE, STATE_SAVE and STATE_LOAD of the wire
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A client may stop what belongs to it.  Of a module of one client that is
 * everything; of a module that others use as well, its interrupts and its
 * guest memory.  Either way accesses are still carried out: the VM that is
 * stopped may be reset and looked at.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "internal.h"
#include "trace.h"

/* How long a request to a disk may take before the client hears of it */
#define STOP_PATIENCE_MS 30000

/* A state may come from a module that has more fields than ours */
#define LOAD_SLACK 65536u

/* Before the data of a piece: the header, and where it belongs */
#define PIECE_HEADER (RIO_HEADER_SIZE + 8u)

struct RiodTalk {
    enum { GOING, STOPPING, STOPPED } stage;
    uint32_t tag;               /* of the QUIESCE that waits */
    bool gone;                  /* the session ended while STOPPING */
    GByteArray *saved;          /* since offset 0 was asked for, or NULL */
    GByteArray *coming;         /* what was given so far */
};

static RiodTalk *talk_of(RiodSession *s)
{
    s->talk = s->talk ?: g_new0(RiodTalk, 1);
    return s->talk;
}

static void drop(GByteArray **bytes)
{
    if (*bytes) {
        g_byte_array_unref(*bytes);
        *bytes = NULL;
    }
}

static void reply_quiesce(RiodSession *s, uint32_t tag, const char *trouble)
{
    RioMessage m;

    rio_message_init(&m, RIO_OP_QUIESCE_REPLY, 0, tag);
    if (trouble) {
        riod_set_reason(&m, RIO_STATUS_IO, trouble);
    }
    riod_session_reply(s, &m);
}

/* ---- stopping ------------------------------------------------------------ */

static bool is_shared(const RiodSession *s)
{
    return s->inst->max_clients > 1;
}

static void resume_alone(RiodSession *s)
{
    s->quiet = false;
    riod_session_mark_dirty(s);
    riod_dma_room(s);
}

static void stopped(RiodInstance *inst, const char *trouble, void *opaque)
{
    RiodSession *s = opaque;
    RiodConnection *conn = s->conn;
    RiodTalk *talk = s->talk;

    talk->stage = trouble ? GOING : STOPPED;
    if (talk->gone) {
        if (!trouble) {
            riod_instance_go(inst, 0);
        }
        talk->stage = GOING;
    } else {
        QEMU_LOCK_GUARD(&conn->lock);
        reply_quiesce(s, talk->tag, trouble);
        riod_connection_send_locked(conn);
    }
    riod_session_unref(s);
}

static void stop(RiodSession *s, RiodTalk *talk, const RioMessage *m)
{
    if (talk->stage == STOPPING) {
        reply_quiesce(s, m->tag, "it is being stopped already");
    } else if (talk->stage == STOPPED) {
        reply_quiesce(s, m->tag, NULL);
    } else if (is_shared(s)) {
        talk->stage = STOPPED;
        s->quiet = true;
        reply_quiesce(s, m->tag, NULL);
    } else {
        talk->stage = STOPPING;
        talk->tag = m->tag;
        riod_session_ref(s);
        riod_instance_stop(s->inst, 0, STOP_PATIENCE_MS, stopped, s);
    }
}

static void go(RiodSession *s, RiodTalk *talk)
{
    if (talk->stage == STOPPED) {
        talk->stage = GOING;
        if (is_shared(s)) {
            resume_alone(s);
        } else {
            riod_instance_go(s->inst, 0);
        }
    }
    drop(&talk->saved);
    drop(&talk->coming);
}

void riod_quiesce(RiodSession *s, const RioMessage *m)
{
    RiodTalk *talk = talk_of(s);

    if (m->quiesce.kind == RIO_QUIESCE_STOP) {
        stop(s, talk, m);
    } else if (talk->stage == STOPPING) {
        reply_quiesce(s, m->tag, "it is still being stopped");
    } else {
        go(s, talk);
        reply_quiesce(s, m->tag, NULL);
    }
}

void riod_talk_end(RiodSession *s)
{
    if (s->talk) {
        s->talk->gone = true;
        go(s, s->talk);
    }
}

void riod_talk_free(RiodSession *s)
{
    if (s->talk) {
        drop(&s->talk->saved);
        drop(&s->talk->coming);
        g_free(s->talk);
    }
}

/* ---- pieces of state ----------------------------------------------------- */

static void reply_piece(RiodSession *s, RioMessage *m, const RioMessage *to,
                        uint8_t status, const char *text)
{
    m->ids = s->ids;
    m->epoch = rio_session_epoch(s->rio);
    m->tag = to->tag;
    if (status) {
        riod_set_reason(m, status, text);
    }
    riod_connection_control_locked(s->conn, m);
}

static bool take_state(RiodSession *s, RiodTalk *talk, RioMessage *reply,
                       const RioMessage *m)
{
    Error *err = NULL;

    drop(&talk->saved);
    talk->saved = riod_state_save(s->inst, s, &err);
    if (!talk->saved) {
        reply_piece(s, reply, m, RIO_STATUS_UNSUPPORTED,
                    error_get_pretty(err));
        error_free(err);
    }
    return talk->saved;
}

void riod_state_save_piece(RiodSession *s, const RioMessage *m)
{
    uint32_t room = s->max_message - PIECE_HEADER;
    RiodTalk *talk = talk_of(s);
    uint64_t offset = m->state.offset;
    RioMessage reply;

    rio_message_init(&reply, RIO_OP_STATE_SAVE_REPLY, 0, m->tag);
    if (talk->stage != STOPPED) {
        reply_piece(s, &reply, m, RIO_STATUS_IO, "the module is not stopped");
        return;
    }
    if (!offset && !take_state(s, talk, &reply, m)) {
        return;
    }
    if (!talk->saved || offset >= talk->saved->len) {
        reply_piece(s, &reply, m, RIO_STATUS_RANGE, talk->saved ?
                    "the offset is beyond the state" :
                    "begin with offset 0");
        return;
    }
    reply.state.offset = offset;
    reply.payload.data = talk->saved->data + offset;
    reply.payload.len = MIN(room, talk->saved->len - offset);
    if (offset + reply.payload.len < talk->saved->len) {
        reply.flags = RIO_FLAG_MORE;
    }
    reply_piece(s, &reply, m, RIO_STATUS_OK, NULL);
}

/* No state of this module can be larger */
static size_t largest(const RiodInstance *inst)
{
    return riod_state_max(inst) + riod_state_head(inst).len + LOAD_SLACK;
}

/* All pieces are here */
static void load(RiodSession *s, RiodTalk *talk, RioMessage *reply,
                 const RioMessage *m)
{
    RioBytes bytes = { talk->coming->data, talk->coming->len };
    Error *err = NULL;

    if (!riod_state_load(s->inst, s, bytes, 0, &err)) {
        riod_log("%s: device %s of VM %s (client %s): %s", s->inst->id,
                 s->device, s->vm->name, s->client->name,
                 error_get_pretty(err));
        reply_piece(s, reply, m, RIO_STATUS_UNSUPPORTED,
                    error_get_pretty(err));
        error_free(err);
    } else {
        reply_piece(s, reply, m, RIO_STATUS_OK, NULL);
    }
    drop(&talk->coming);
}

void riod_state_load_piece(RiodSession *s, const RioMessage *m)
{
    RiodTalk *talk = talk_of(s);
    RioMessage reply;

    rio_message_init(&reply, RIO_OP_STATE_LOAD_REPLY, 0, m->tag);
    if (talk->stage != STOPPED) {
        reply_piece(s, &reply, m, RIO_STATUS_IO, "the module is not stopped");
        return;
    }
    if (!m->state.offset) {
        drop(&talk->coming);
        talk->coming = g_byte_array_new();
    }
    if (!talk->coming || m->state.offset != talk->coming->len) {
        drop(&talk->coming);
        reply_piece(s, &reply, m, RIO_STATUS_RANGE,
                    "a piece is missing: begin again at 0");
        return;
    }
    if (m->payload.len > largest(s->inst) - talk->coming->len) {
        drop(&talk->coming);
        reply_piece(s, &reply, m, RIO_STATUS_UNSUPPORTED,
                    "that is more than any state of this module");
        return;
    }
    g_byte_array_append(talk->coming, m->payload.data, m->payload.len);
    if (m->flags & RIO_FLAG_MORE) {
        reply_piece(s, &reply, m, RIO_STATUS_OK, NULL);
    } else {
        load(s, talk, &reply, m);
    }
}
