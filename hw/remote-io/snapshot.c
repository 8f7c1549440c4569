/*
 * remote-io device: the module's state, for savevm and loadvm
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The machine has stopped.  The module is stopped, too, so that it neither
 * accesses memory nor interrupts; its state is fetched, or replaced, piece by
 * piece, and it is told to go on.  The main thread waits for each answer, for
 * the loss timeout at most, and receives meanwhile like an access does.
 * Whatever goes wrong, the module is told to go on.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "core.h"
#include "trace.h"

#define SLICE_NS (5 * SCALE_MS)

/* ---- one question, one answer -------------------------------------------- */

/*
 * Nobody waits for the answer, and a lost link does not lose it.  It must not
 * come before the answer to a STOP: the server would refuse it.
 */
static void go_locked(RemoteIOCore *s)
{
    RioMessage m = {
        .op = RIO_OP_QUIESCE,
        .quiesce.kind = RIO_QUIESCE_GO,
    };

    s->go_owed = s->quiesces || !rio_session_send(s->session, &m);
    s->quiesces += !s->go_owed;
    remote_io_flush_locked(s);
}

void remote_io_go_on_locked(RemoteIOCore *s)
{
    if (s->go_owed && !s->quiesces) {
        go_locked(s);
    }
}

const char *remote_io_state_reply_locked(RemoteIOCore *s, const RioMessage *m)
{
    RemoteIOCall *c = &s->call;

    if (m->op == RIO_OP_QUIESCE_REPLY) {
        if (!s->quiesces) {
            return "nobody asked for it";
        }
        s->quiesces--;
        remote_io_go_on_locked(s);
    } else if (!c->tag) {
        return "nobody asked for it";
    }
    if (!c->waiter || c->waiter->done || m->tag != c->tag ||
        m->op != c->op) {
        return NULL;            /* whoever asked has given up, or has it */
    }
    c->status = m->status;
    g_free(c->reason);
    c->reason = m->status == RIO_STATUS_OK ? NULL :
        g_strdup(m->reason[0] ? m->reason : rio_status_text(m->status));
    c->more = m->flags & RIO_FLAG_MORE;
    if (m->op == RIO_OP_STATE_SAVE_REPLY && m->status == RIO_STATUS_OK) {
        c->offset = m->state.offset;
        g_byte_array_append(c->bytes, m->payload.data, m->payload.len);
    }
    qatomic_store_release(&c->waiter->done, true);
    remote_io_wake_locked(c->waiter);
    return NULL;
}

/* Queue @m.  Returns: false when the log is full, or there is no link */
static bool send_locked(RemoteIOCore *s, RioMessage *m)
{
    if (!s->conn) {
        return false;
    }
    if (m->op == RIO_OP_QUIESCE) {
        if (!remote_io_lazy_submit_locked(s) ||
            !rio_session_send(s->session, m)) {
            return false;
        }
        s->quiesces++;
    } else {
        m->ids = *rio_session_ids(s->session);
        m->epoch = rio_session_epoch(s->session);
        rio_link_send(s->conn->link, m);
    }
    remote_io_flush_locked(s);
    return true;
}

static bool no_answer(RemoteIOCore *s, const RioMessage *m, Error **errp)
{
    error_setg(errp, "remote-io %s: module '%s' of server %s: no answer to "
               "%s%s%s", s->name, s->module, s->server_text,
               rio_op_name(m->op), s->conn ? "" : ", the link is lost: ",
               s->conn ? "" : s->lost_reason);
    return false;
}

/* Ask @m and wait for @reply.  Lock is dropped inside. */
static bool ask_locked(RemoteIOCore *s, RioMessage *m, uint8_t reply,
                       Error **errp)
{
    int64_t now = remote_io_now_ns();
    int64_t deadline = now + (int64_t)s->loss_timeout_ms * SCALE_MS;
    RemoteIOWaiter w = { };
    RemoteIOCall *c = &s->call;
    bool sent = false;

    m->tag = ++c->tag ?: ++c->tag;
    c->op = reply;
    c->waiter = &w;
    while (!w.done && now < deadline && (s->conn || !sent)) {
        sent = sent || send_locked(s, m);
        remote_io_wait_slice_locked(s, &w, now + SLICE_NS, NULL);
        now = remote_io_now_ns();
    }
    c->waiter = NULL;
    if (!w.done) {
        return no_answer(s, m, errp);
    }
    if (c->status != RIO_STATUS_OK) {
        error_setg(errp, "remote-io %s: module '%s' of server %s: %s: %s",
                   s->name, s->module, s->server_text, rio_op_name(m->op),
                   c->reason);
        return false;
    }
    return true;
}

static bool stop_locked(RemoteIOCore *s, Error **errp)
{
    RioMessage m = {
        .op = RIO_OP_QUIESCE,
        .quiesce.kind = RIO_QUIESCE_STOP,
    };

    return ask_locked(s, &m, RIO_OP_QUIESCE_REPLY, errp);
}

/*
 * Go on, and wait for the answer: the levels that the state asks for come
 * before it, so that no line drops for a moment that was and stays high.
 */
static bool go_and_wait_locked(RemoteIOCore *s, Error **errp)
{
    RioMessage m = {
        .op = RIO_OP_QUIESCE,
        .quiesce.kind = RIO_QUIESCE_GO,
    };

    return ask_locked(s, &m, RIO_OP_QUIESCE_REPLY, errp);
}

static bool check_can_save(RemoteIOCore *s, Error **errp)
{
    if (!(s->caps & RIO_CAP_STATE)) {
        error_setg(errp, "remote-io %s: module '%s' (%s) of server %s cannot "
                   "save its state, so this machine cannot be saved; it can "
                   "migrate", s->name, s->module, s->desc.driver,
                   s->server_text);
        return false;
    }
    return true;
}

/* ---- saving -------------------------------------------------------------- */

static bool fetch_locked(RemoteIOCore *s, GByteArray *bytes, Error **errp)
{
    RemoteIOCall *c = &s->call;
    bool ok;

    c->bytes = bytes;
    do {
        RioMessage m = {
            .op = RIO_OP_STATE_SAVE,
            .state.offset = bytes->len,
        };
        uint64_t before = bytes->len;

        ok = ask_locked(s, &m, RIO_OP_STATE_SAVE_REPLY, errp);
        if (ok && (c->offset != before || bytes->len > RIO_MAX_PARCEL ||
                   (c->more && bytes->len == before))) {
            error_setg(errp, "remote-io %s: server %s saves module '%s' "
                       "badly", s->name, s->server_text, s->module);
            ok = false;
        }
    } while (ok && c->more);
    c->bytes = NULL;
    return ok;
}

bool remote_io_snapshot_take(RemoteIOCore *s, Error **errp)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    bool ok;

    if (!check_can_save(s, errp)) {
        return false;
    }
    QEMU_LOCK_GUARD(&s->lock);
    if (s->num_waiting) {
        error_setg(errp, "remote-io %s: %u accesses of the guest wait for "
                   "server %s: save when they are done", s->name,
                   s->num_waiting, s->server_text);
        return false;
    }
    ok = stop_locked(s, errp) && fetch_locked(s, bytes, errp);
    trace_remote_io_snapshot(s->name, "saved", bytes->len, ok);
    if (!ok) {
        go_locked(s);
        return false;
    }
    s->resting = true;
    s->saved.state_len = bytes->len;
    s->saved.state = g_byte_array_steal(bytes, NULL);
    return true;
}

void remote_io_snapshot_end(RemoteIOCore *s)
{
    QEMU_LOCK_GUARD(&s->lock);
    if (s->resting) {
        s->resting = false;
        go_locked(s);
    }
}

/* ---- loading ------------------------------------------------------------- */

static bool give_locked(RemoteIOCore *s, const uint8_t *data, uint32_t len,
                        Error **errp)
{
    uint32_t done = 0;
    bool ok;

    do {
        uint32_t n = MIN(len - done, s->dma.max_body - 8);
        RioMessage m = {
            .op = RIO_OP_STATE_LOAD,
            .flags = done + n < len ? RIO_FLAG_MORE : 0,
            .state.offset = done,
            .payload = { data + done, n },
        };

        ok = ask_locked(s, &m, RIO_OP_STATE_LOAD_REPLY, errp);
        done += n;
    } while (ok && done < len);
    return ok;
}

bool remote_io_snapshot_put(RemoteIOCore *s, const uint8_t *data,
                            uint32_t len, Error **errp)
{
    bool ok;

    if (!check_can_save(s, errp)) {
        return false;
    }
    QEMU_LOCK_GUARD(&s->lock);
    ok = stop_locked(s, errp) && give_locked(s, data, len, errp);
    trace_remote_io_snapshot(s->name, "loaded", len, ok);
    if (ok) {
        ok = go_and_wait_locked(s, errp);
    } else {
        go_locked(s);
    }
    qatomic_set(&s->irq.pending, true);
    remote_io_kick(s);
    return ok;
}
