/*
 * remote-io-server: how a client comes to a module, back to it, and leaves
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the names mean is found out where the message was read.  The rest
 * happens in the home of the module, as a task: there the list of its
 * clients does not change, and no connection is locked, so that two of them
 * can be when a session moves.
 */

#include "qemu/osdep.h"
#include "internal.h"
#include "forward.h"
#include "trace.h"

typedef struct AttachTask {
    RiodTask task;
    RiodConnection *conn;
    RiodInstance *inst;
    RiodSession *session;       /* RESUME and DETACH */
    RioMessage message;
} AttachTask;

static void attach_task_free(AttachTask *t)
{
    if (t->session) {
        riod_session_unref(t->session);
    }
    riod_instance_unref(t->inst);
    riod_connection_unref(t->conn);
    g_free(t);
}

static void post(RiodInstance *inst, RiodConnection *conn, RiodSession *s,
                 const RioMessage *m, void (*run)(RiodTask *))
{
    AttachTask *t = g_new0(AttachTask, 1);

    t->task.run = run;
    t->conn = riod_connection_ref(conn);
    t->inst = riod_instance_ref(inst);
    t->session = s ? riod_session_ref(s) : NULL;
    t->message = *m;
    riod_home_post(inst->home, &t->task);
}

static void refuse(RiodConnection *conn, const RioMessage *m, uint8_t op,
                   const RioError *err)
{
    g_autofree char *who = riod_connection_describe_locked(conn);
    RioMessage reply;

    rio_message_init(&reply, op, 0, m->tag);
    reply.ids = m->ids;
    reply.epoch = m->epoch;
    riod_set_reason(&reply, err->status, err->text);
    riod_connection_control_locked(conn, &reply);
    if (riod_rate_allows(&conn->rate, who)) {
        riod_log("%s: %s refused: %s", who,
                 op == RIO_OP_ATTACH_REPLY ? "ATTACH" : "RESUME", err->text);
    }
}

/* --- ATTACH --- */

static bool same_device(const RiodSession *s, const RiodConnection *conn,
                        const RioMessage *m)
{
    const char *client = m->hops ? m->attach.client : conn->client->name;

    return g_str_equal(s->client->name, client) &&
           (qatomic_read(&s->lost) ||
            !memcmp(s->vm->uuid, m->attach.vm_uuid, RIO_UUID_SIZE)) &&
           g_str_equal(s->vm->name, m->attach.vm) &&
           g_str_equal(s->device, m->attach.device);
}

/*
 * A VMM that was restarted does not know its old session's token.  It would
 * find the module taken by itself until the lease ends.
 */
static void end_predecessors(RiodInstance *inst, RiodConnection *conn,
                             const RioMessage *m)
{
    for (unsigned i = 0; i < inst->max_clients; i++) {
        RiodSession *s = inst->clients[i];

        if (s && same_device(s, conn, m)) {
            riod_session_end(s, RIO_STATUS_STALE_EPOCH,
                             "the same device attached anew");
        }
    }
}

static bool find_slot(RiodInstance *inst, unsigned *slot, RioError *err)
{
    const RiodSession *s;

    for (unsigned i = 0; i < inst->max_clients; i++) {
        if (!inst->clients[i]) {
            *slot = i;
            return true;
        }
    }
    s = inst->clients[0];
    if (inst->max_clients == 1) {
        return rio_error_set(err, RIO_STATUS_MODULE_BUSY, "module '%s' is "
                             "taken by device '%.60s' of VM '%.60s' of client "
                             "'%.60s'%s", inst->id, s->device, s->vm->name,
                             s->client->name,
                             s->lost ? ", whose connection is lost" : "");
    }
    return rio_error_set(err, RIO_STATUS_MODULE_BUSY, "module '%s' has all "
                         "its %u clients", inst->id, inst->max_clients);
}

/* Ids must tell the sessions of one connection apart */
static bool check_twice(RiodInstance *inst, RiodConnection *conn,
                        const RioMessage *m, RioError *err)
{
    RiodSession *s;

    if (riod_connection_is_forwarder(conn)) {
        return true;            /* it gets ids of its own */
    }
    QLIST_FOREACH(s, &conn->sessions, on_conn) {
        if (s->inst == inst && g_str_equal(s->vm->name, m->attach.vm) &&
            !memcmp(s->vm->uuid, m->attach.vm_uuid, RIO_UUID_SIZE)) {
            return rio_error_set(err, RIO_STATUS_MODULE_BUSY, "device "
                                 "'%.100s' of this VM is attached to module "
                                 "'%s' over the same connection", s->device,
                                 inst->id);
        }
    }
    return true;
}

static RiodSession *attach_locked(RiodInstance *inst, RiodConnection *conn,
                                  const RioMessage *m)
{
    RiodSession *s = NULL;
    unsigned slot;
    RioError err;

    if (inst->closing || inst->forgotten) {
        rio_error_set(&err, RIO_STATUS_GONE, "module '%s' was %s", inst->id,
                      inst->forgotten ? "moved" : "removed");
    } else if (check_twice(inst, conn, m, &err) &&
               find_slot(inst, &slot, &err)) {
        s = riod_session_open(inst, slot, conn, m, &err);
    }
    if (!s) {
        refuse(conn, m, RIO_OP_ATTACH_REPLY, &err);
    }
    return s;
}

/* The first module decides where a connection lives */
static void follow_home(RiodConnection *conn, RiodInstance *inst)
{
    RiodSession *only = QLIST_FIRST(&conn->sessions);

    if (conn->home != inst->home && !QLIST_NEXT(only, on_conn) &&
        !conn->forwards && !riod_connection_is_forwarder(conn)) {
        conn->move_to = inst->home;
        riod_connection_wake_locked(conn);
    }
}

static void attach_run(RiodTask *task)
{
    AttachTask *t = container_of(task, AttachTask, task);
    RiodInstance *inst = t->inst;
    RiodConnection *conn = t->conn;
    RiodSession *s = NULL;

    if (riod_instance_hold(inst, task)) {
        return;
    }
    if (!inst->closing) {
        end_predecessors(inst, conn, &t->message);
    }
    WITH_QEMU_LOCK_GUARD(&conn->lock) {
        if (!conn->closed && !conn->closing) {
            s = attach_locked(inst, conn, &t->message);
        }
        if (s) {
            trace_riod_session_open(inst->id, s->client->name, s->vm->name,
                                    s->device, conn->number);
            if (inst->type->attach) {
                inst->type->attach(&inst->dev, inst->state, s->slot);
            }
            follow_home(conn, inst);
        }
        riod_connection_send_locked(conn);
    }
    if (s) {
        /* Who was told that it is attached finds it so ever after */
        riod_journal_add(s);
        riod_journal_commit(inst->home);
        WITH_QEMU_LOCK_GUARD(&conn->lock) {
            riod_session_begin_locked(s, &t->message);
            riod_connection_send_locked(conn);
        }
        riod_event_attached(s);
    }
    attach_task_free(t);
}

static bool check_server(const char *asked, RioError *err)
{
    return !*asked || g_str_equal(asked, riod_config.server_name) ||
           rio_error_set(err, RIO_STATUS_UNKNOWN_SERVER, "this is server "
                         "'%.90s', not '%.90s'", riod_config.server_name,
                         asked);
}

void riod_attach(RiodConnection *conn, const RioMessage *m)
{
    RiodInstance *inst = NULL;
    RioError err;

    if (check_server(m->attach.server, &err)) {
        inst = riod_instance_find(m->attach.module, &err);
    }
    if (inst && qatomic_read(&inst->waits)) {
        /* A forwarder asks the next server then, which perhaps has it */
        rio_error_set(&err, RIO_STATUS_UNKNOWN_MODULE, "module '%.90s' waits "
                      "for one that moves in from another server", inst->id);
        riod_instance_unref(inst);
        inst = NULL;
    }
    if (!inst && riod_peers_exist()) {
        riod_ask(conn, m, &err);
        return;
    }
    if (!inst) {
        refuse(conn, m, RIO_OP_ATTACH_REPLY, &err);
        return;
    }
    post(inst, conn, NULL, m, attach_run);
    riod_instance_unref(inst);
}

/* --- RESUME --- */

/* A forwarder may have been started again since, and know the token alone */
static bool check_resume(const RiodSession *s, const RioMessage *m,
                         RioError *err)
{
    if (s && (m->hops || s->adopted ||
              !memcmp(&s->ids, &m->ids, sizeof(m->ids)))) {
        return true;
    }
    return rio_error_set(err, RIO_STATUS_UNKNOWN_SESSION, "no session of VM "
                         "%u with module %u has this token: attach again",
                         m->ids.vm, m->ids.module);
}

static void resume_run(RiodTask *task)
{
    AttachTask *t = container_of(task, AttachTask, task);
    RioError err;

    if (!t->session->ended) {
        riod_session_resume(t->session, t->conn, &t->message);
        WITH_QEMU_LOCK_GUARD(&t->conn->lock) {
            if (!QLIST_EMPTY(&t->conn->sessions)) {
                follow_home(t->conn, t->inst);
            }
        }
    } else if (!check_resume(NULL, &t->message, &err) && riod_peers_exist()) {
        /* It has moved away since it was found */
        riod_ask(t->conn, &t->message, &err);
    } else {
        WITH_QEMU_LOCK_GUARD(&t->conn->lock) {
            refuse(t->conn, &t->message, RIO_OP_RESUME_REPLY, &err);
            riod_connection_send_locked(t->conn);
        }
    }
    attach_task_free(t);
}

void riod_resume(RiodConnection *conn, const RioMessage *m)
{
    RiodSession *s = riod_session_find(m, m->hops ? NULL : conn->client);
    RioError err;

    if (!s) {
        s = riod_session_find(m, NULL);     /* the machine has migrated */
    }
    if (!check_resume(s, m, &err) && !s && riod_peers_exist()) {
        riod_ask(conn, m, &err);
    } else if (!check_resume(s, m, &err)) {
        refuse(conn, m, RIO_OP_RESUME_REPLY, &err);
    } else {
        post(s->inst, conn, s, m, resume_run);
    }
    if (s) {
        riod_session_unref(s);
    }
}

/* --- DETACH --- */

static void detach_run(RiodTask *task)
{
    AttachTask *t = container_of(task, AttachTask, task);
    RioMessage reply;

    if (riod_instance_hold(t->inst, task)) {
        return;
    }
    riod_session_end(t->session, RIO_STATUS_OK, NULL);
    rio_message_init(&reply, RIO_OP_DETACH_REPLY, 0, t->message.tag);
    reply.ids = t->message.ids;
    reply.epoch = t->message.epoch;
    WITH_QEMU_LOCK_GUARD(&t->conn->lock) {
        riod_connection_control_locked(t->conn, &reply);
        riod_connection_send_locked(t->conn);
    }
    attach_task_free(t);
}

void riod_detach(RiodSession *s, const RioMessage *m)
{
    post(s->inst, s->conn, s, m, detach_run);
}
