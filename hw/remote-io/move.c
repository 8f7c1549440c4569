/*
 * remote-io device: its module moves to another server
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The servers carry the module between them; the device has little to do with
 * it.  It asks for the move, as a job, and follows: told MOVED, it connects to
 * where the module is now and resumes there, as after a lost link, so that
 * accesses notice time and nothing else.  A move that somebody else asked for
 * (the server's operator) is followed in the same way.
 */

#include "qemu/osdep.h"
#include "monitor/hmp.h"
#include "monitor/monitor.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-remote-io.h"
#include "qapi/qapi-events-remote-io.h"
#include "qemu/coroutine.h"
#include "qemu/job.h"
#include "qemu/main-loop.h"
#include "qemu/module.h"
#include "qobject/qdict.h"
#include "core.h"
#include "trace.h"

#define LOOK_NS (5 * SCALE_MS)

/* ---- what the server says ------------------------------------------------ */

static void refuse_locked(RemoteIOMove *v, const RioMessage *m)
{
    g_free(v->refusal);
    v->refusal = g_strdup(m->reason[0] ? m->reason :
                          rio_status_text(m->status));
    v->over = true;
}

const char *remote_io_move_reply_locked(RemoteIOCore *s, const RioMessage *m)
{
    RemoteIOMove *v = &s->move;

    if (!v->last_tag) {
        return "nobody asked for it";
    }
    trace_remote_io_move_reply(s->name, m->tag, rio_status_name(m->status),
                               m->status == RIO_STATUS_OK ? m->moving.phase
                                                          : 0);
    if (!v->active) {
        return NULL;            /* whoever asked has given up */
    }
    if (m->tag == v->start_tag && m->status != RIO_STATUS_OK) {
        refuse_locked(v, m);
    } else if (m->status == RIO_STATUS_OK) {
        if (m->tag != v->start_tag && m->moving.phase == RIO_MOVE_NONE) {
            v->idle = true;     /* to ASK or CANCEL: nothing moves there */
            return NULL;
        }
        v->phase = m->moving.phase;
        v->done = m->moving.done;
        v->total = m->moving.total;
    }
    return NULL;
}

void remote_io_moved_locked(RemoteIOCore *s, const RioMessage *m)
{
    RemoteIOMove *v = &s->move;
    g_autofree char *reason = g_strdup_printf("the module moved to server "
                                              "'%s'", m->moved.server);

    trace_remote_io_moved(s->name, m->moved.server, m->moved.address);
    g_free(v->hint_name);
    g_free(v->hint);
    v->hint_name = g_strdup(m->moved.server);
    v->hint = m->moved.address[0] ? g_strdup(m->moved.address) : NULL;
    v->since_ns = remote_io_now_ns();
    v->moved = true;
    remote_io_conn_lost_locked(s, reason);
}

/* ---- the device's thread ------------------------------------------------- */

RemoteIOConn *remote_io_follow(RemoteIOCore *s, SocketAddress **where)
{
    g_autofree char *text = NULL;
    g_autofree char *name = NULL;
    RemoteIOConn *conn;
    Error *err = NULL;

    *where = NULL;
    WITH_QEMU_LOCK_GUARD(&s->lock) {
        text = g_strdup(s->move.hint);
        name = g_strdup(s->move.hint_name);
    }
    if (!text) {
        return NULL;
    }
    *where = rio_address_parse(text, &err);
    conn = *where ? remote_io_connect_to(s, *where, text,
                                         s->connect_timeout_ms, &err) : NULL;
    if (conn && !g_str_equal(rio_link_peer_name(conn->link), name)) {
        error_setg(&err, "server '%s' is there",
                   rio_link_peer_name(conn->link));
        remote_io_conn_free(conn);
        conn = NULL;
    }
    if (!conn) {
        /* The server that it left forwards */
        trace_remote_io_not_followed(s->name, text, error_get_pretty(err));
        error_free(err);
        g_clear_pointer(where, qapi_free_SocketAddress);
    }
    return conn;
}

/* BQL and lock: the session goes on at @where, NULL: over the same server */
void remote_io_followed_locked(RemoteIOCore *s, SocketAddress *where)
{
    RemoteIOMove *v = &s->move;
    g_autofree char *from = g_strdup(s->server_text);

    if (where && s->directory) {
        /* It will say where the module is now */
        g_clear_pointer(&s->found, rio_directory_entry_free);
        qapi_free_SocketAddress(where);
    } else if (where) {
        qapi_free_SocketAddress(s->server);
        s->server = where;
        g_free(s->server_text);
        s->server_text = rio_address_text(where);
        g_clear_pointer(&s->server_id, g_free);
    }
    if (v->active && v->module[0]) {
        g_free(s->module);
        s->module = g_strdup(v->module);
    }
    qapi_event_send_remote_io_moved(s->dev->id, s->path, s->module,
                                    s->server_text, v->hint_name, from,
                                    (remote_io_now_ns() - v->since_ns) /
                                    SCALE_MS);
    g_clear_pointer(&v->hint, g_free);
    g_clear_pointer(&v->hint_name, g_free);
    v->moved = false;
    v->over |= v->active;
}

/* ---- the job ------------------------------------------------------------- */

typedef struct RemoteIOMoveJob {
    Job common;
    RemoteIOCore *s;            /* its device is referenced */
    int64_t give_up_ns;         /* cancelled: wait for an answer until then */
} RemoteIOMoveJob;

static bool send_move_locked(RemoteIOCore *s, uint8_t kind,
                             const char *server, const char *module)
{
    RioMessage m = { .op = RIO_OP_MOVE, .move.kind = kind };
    RemoteIOMove *v = &s->move;

    if (!s->conn || !(rio_link_caps(s->conn->link) & RIO_CAP_MOVE)) {
        return false;
    }
    m.tag = ++v->last_tag ?: ++v->last_tag;
    m.ids = *rio_session_ids(s->session);
    m.epoch = rio_session_epoch(s->session);
    g_strlcpy(m.move.server, server, sizeof(RioString));
    g_strlcpy(m.move.module, module, sizeof(RioString));
    if (kind == RIO_MOVE_START) {
        v->start_tag = v->last_tag;
    }
    rio_link_send(s->conn->link, &m);
    remote_io_flush_locked(s);
    return true;
}

static bool start_locked(RemoteIOCore *s, const char *server,
                         const char *module, Error **errp)
{
    RemoteIOMove *v = &s->move;

    if (v->active || s->order || s->quiet || s->stopping || s->migrating) {
        error_setg(errp, "device '%s' is %s", s->name, v->active
                   ? "being moved already" : s->quiet ? "detached"
                   : s->migrating ? "migrating with its machine"
                   : "being attached, detached or unplugged");
        return false;
    }
    if (!s->conn) {
        error_setg(errp, "device '%s' has no link to server %s: %s", s->name,
                   s->server_text, s->lost_reason);
        return false;
    }
    if (!send_move_locked(s, RIO_MOVE_START, server, module)) {
        error_setg(errp, "server %s does not move modules (capability MOVE)",
                   s->server_text);
        return false;
    }
    trace_remote_io_move(s->name, server, module);
    g_strlcpy(v->module, module, sizeof(v->module));
    g_strlcpy(v->server, server, sizeof(v->server));
    g_clear_pointer(&v->refusal, g_free);
    v->active = true;
    v->over = v->idle = v->cancelling = false;
    v->phase = RIO_MOVE_NONE;
    v->done = v->total = 0;
    v->reconnects = s->stats.reconnects;
    return true;
}

/*
 * The link was lost and made anew in between: what has become of the move?
 * If nothing moves at the server that the session is with, it is over.
 */
static void ask_locked(RemoteIOCore *s)
{
    RemoteIOMove *v = &s->move;

    if (s->conn && v->reconnects != s->stats.reconnects && !v->over) {
        if (send_move_locked(s, RIO_MOVE_PROGRESS, "", "")) {
            v->reconnects = s->stats.reconnects;
        }
    }
    if (v->idle && !v->over && !v->moved) {
        v->over = true;
        if (v->phase != RIO_MOVE_COMMITTED && !v->refusal) {
            v->refusal = g_strdup(v->cancelling ? "it was cancelled" :
                                  "the link was lost, and nothing moves now");
        }
    }
}

/* An answer would say what became of it; but none may come, ever */
static void cancel_locked(RemoteIOMoveJob *job)
{
    RemoteIOCore *s = job->s;
    RemoteIOMove *v = &s->move;
    int64_t now = remote_io_now_ns();

    if (!v->cancelling && send_move_locked(s, RIO_MOVE_CANCEL, "", "")) {
        v->cancelling = true;
    }
    if (!job->give_up_ns) {
        job->give_up_ns = now + (int64_t)s->connect_timeout_ms * SCALE_MS;
    }
    if (!v->over && now >= job->give_up_ns) {
        v->over = true;
        v->refusal = v->refusal ?: g_strdup("it was cancelled, and the server "
                                            "does not answer");
    }
}

/* Returns: true when there is nothing to wait for any more */
static bool look(RemoteIOMoveJob *job)
{
    RemoteIOCore *s = job->s;
    RemoteIOMove *v = &s->move;
    uint64_t done, total;
    bool over;

    WITH_QEMU_LOCK_GUARD(&s->lock) {
        if (job_is_cancelled(&job->common)) {
            cancel_locked(job);
        }
        ask_locked(s);
        if (s->stopping || s->quiet) {
            v->over = true;
            v->refusal = v->refusal ?: g_strdup("the device was detached");
        }
        done = v->done;
        total = MAX(v->total, done);
        over = v->over;
    }
    job_progress_set_remaining(&job->common, total - done);
    job_progress_update(&job->common, done -
                        MIN(done, job->common.progress.current));
    return over;
}

static int coroutine_fn move_run(Job *common, Error **errp)
{
    RemoteIOMoveJob *job = container_of(common, RemoteIOMoveJob, common);
    RemoteIOCore *s = job->s;
    g_autofree char *refusal = NULL;

    job_transition_to_ready(common);
    while (!look(job)) {
        if (job_is_cancelled(common)) {
            /* A job's own sleep is over at once then, and keeps the BQL */
            qemu_co_sleep_ns(QEMU_CLOCK_REALTIME, LOOK_NS);
            remote_io_let_thread_have_bql();
        } else {
            job_sleep_ns(common, LOOK_NS);
        }
    }
    WITH_QEMU_LOCK_GUARD(&s->lock) {
        refusal = g_steal_pointer(&s->move.refusal);
        s->move.active = false;
    }
    if (refusal) {
        error_setg(errp, "module '%s' of server %s was not moved: %s",
                   s->module, s->server_text, refusal);
        return -EIO;
    }
    return 0;
}

static void move_free(Job *common)
{
    RemoteIOMoveJob *job = container_of(common, RemoteIOMoveJob, common);

    object_unref(OBJECT(job->s->dev));
}

static const JobDriver move_driver = {
    .instance_size = sizeof(RemoteIOMoveJob),
    .job_type = JOB_TYPE_REMOTE_IO_MOVE,
    .run = move_run,
    .free = move_free,
};

void qmp_remote_io_move(const char *id, const char *server,
                        const char *module, const char *job_id, Error **errp)
{
    RemoteIOCore *s = remote_io_find(id);
    RemoteIOMoveJob *job;
    bool ok;

    if (!s) {
        error_setg(errp, "there is no remote-io device '%s': query-remote-io "
                   "lists them", id);
        return;
    }
    if (!server[0] || strlen(server) > RIO_MAX_STRING ||
        strlen(module ?: "") > RIO_MAX_STRING) {
        error_setg(errp, "server and module are names of 1 to %u bytes",
                   RIO_MAX_STRING);
        return;
    }
    job = job_create(job_id ?: s->dev->id, &move_driver, NULL,
                     qemu_get_aio_context(), JOB_MANUAL_DISMISS, NULL, NULL,
                     errp);
    if (!job) {
        return;
    }
    job->s = s;
    object_ref(OBJECT(s->dev));
    WITH_QEMU_LOCK_GUARD(&s->lock) {
        ok = start_locked(s, server, module ?: "", errp);
    }
    if (ok) {
        job_start(&job->common);
    } else {
        job_early_fail(&job->common);
    }
}

static void hmp_remote_io_move(Monitor *mon, const QDict *qdict)
{
    Error *err = NULL;

    qmp_remote_io_move(qdict_get_str(qdict, "id"),
                       qdict_get_str(qdict, "server"),
                       qdict_get_try_str(qdict, "module"), NULL, &err);
    hmp_handle_error(mon, err);
}

static void remote_io_move_register(void)
{
    monitor_register_hmp("remote-io-move", false, hmp_remote_io_move);
}
type_init(remote_io_move_register)
