/*
 * remote-io-server: requests that make a way over other servers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * ATTACH, RESUME and ROUTE_TRACE.  One next hop after another is asked, those
 * first that the directory names; a refusal that only says "not here" leads to
 * the next one, anything else is the answer.
 */

#include "qemu/osdep.h"
#include "directory.h"
#include "move.h"
#include "trace.h"

struct RiodAsk {
    RiodTask task;
    RiodConnection *from;
    RioMessage m;               /* the request as it came */
    uint8_t *records;           /* its payload */
    int64_t since_ns;           /* when it came */
    bool begun;
    bool sent;                  /* to @peer, as number @tag */
    uint32_t tag;
    RiodPeer *peer;             /* that is asked now */
    GPtrArray *candidates;      /* RiodPeer, to be asked in turn ... */
    guint next;                 /* ... this one next */
    RiodRoute *route;           /* RESUME of one that is known */
    RioString module;           /* RESUME: that it was with, or "" */
    RioError err;               /* the answer when all have refused */
    QTAILQ_ENTRY(RiodAsk) node;
};

static QTAILQ_HEAD(, RiodAsk) asks = QTAILQ_HEAD_INITIALIZER(asks);
static unsigned num_asks;
static uint32_t last_tag;

static void ask_next(RiodAsk *ask);

static void ask_free(RiodAsk *ask)
{
    if (ask->begun) {
        QTAILQ_REMOVE(&asks, ask, node);
        ask->from->asks--;
        num_asks--;
    }
    riod_connection_unref(ask->from);
    if (ask->candidates) {
        g_ptr_array_unref(ask->candidates);
    }
    g_free(ask->records);
    g_free(ask);
}

static uint8_t reply_op(uint8_t op)
{
    return op == RIO_OP_ATTACH ? RIO_OP_ATTACH_REPLY :
           op == RIO_OP_RESUME ? RIO_OP_RESUME_REPLY :
                                 RIO_OP_ROUTE_TRACE_REPLY;
}

/* @m goes to who asked; its tag and ids are set here */
static void answer(RiodConnection *conn, const RioMessage *request,
                   RioMessage *m)
{
    QEMU_LOCK_GUARD(&conn->lock);
    m->tag = request->tag;
    m->ids = request->ids;
    m->epoch = request->epoch;
    m->hops = rio_link_caps(conn->link) & RIO_CAP_ROUTE ? m->hops : 0;
    riod_connection_control_locked(conn, m);
    riod_connection_send_locked(conn);
}

static void ask_refuse(RiodAsk *ask, const RioError *err)
{
    RioMessage m;

    trace_riod_ask_refused(rio_op_name(ask->m.op),
                           rio_status_name(err->status), err->text);
    rio_message_init(&m, reply_op(ask->m.op), 0, 0);
    riod_set_reason(&m, err->status, err->text);
    answer(ask->from, &ask->m, &m);
    ask_free(ask);
}

/* --- ROUTE_TRACE: records --- */

/* This server's own record, behind @len bytes of others at @to */
static size_t append_record(uint8_t *to, size_t len, uint8_t hops)
{
    RioTraceRecord record = {
        .server = riod_config.server_id,
        .hops = hops,
    };

    g_strlcpy(record.name, riod_config.server_name, sizeof(record.name));
    return len + rio_trace_put(to + len, &record);
}

/* Set the time of the record with @hops, whose server this is */
static void set_record_time(uint8_t *records, size_t len, uint8_t hops,
                            int64_t since_ns)
{
    RioBytes all = { records, len };
    RioTraceRecord record;
    size_t at = 0, begin = 0;

    while (rio_trace_get(all, &at, &record)) {
        if (record.hops == hops) {
            record.nanoseconds = MAX(get_clock() - since_ns, 1);
            rio_trace_put(records + begin, &record);
            return;
        }
        begin = at;
    }
}

static bool was_here(const RioMessage *m)
{
    RioTraceRecord record;
    size_t at = 0;

    while (rio_trace_get(m->payload, &at, &record)) {
        if (g_str_equal(record.name, riod_config.server_name)) {
            return true;
        }
    }
    return false;
}

/* The end of the way: the module is here, or only this server is asked for */
static void trace_answer_locked(RiodConnection *conn, const RioMessage *m,
                                int64_t since_ns)
{
    g_autofree uint8_t *records =
        g_malloc(m->payload.len + RIO_TRACE_RECORD_MAX);
    RioMessage reply;

    if (m->payload.len) {
        memcpy(records, m->payload.data, m->payload.len);
    }
    rio_message_init(&reply, RIO_OP_ROUTE_TRACE_REPLY, 0, m->tag);
    reply.ids = m->ids;
    reply.traced.count = m->trace.count + 1;
    reply.payload.data = records;
    reply.payload.len = append_record(records, m->payload.len, m->hops);
    set_record_time(records, reply.payload.len, m->hops, since_ns);
    riod_connection_control_locked(conn, &reply);
}

void riod_trace_report_locked(RiodConnection *conn, const RioMessage *m)
{
    uint8_t records[RIO_TRACE_RECORD_MAX];
    RioMessage reply;

    rio_message_init(&reply, RIO_OP_ROUTE_TRACE_REPLY, 0, m->tag);
    reply.ids = m->ids;
    reply.epoch = m->epoch;
    reply.traced.count = 1;
    reply.payload.data = records;
    reply.payload.len = append_record(records, 0, m->hops);
    riod_connection_control_locked(conn, &reply);
}

static void trace_refuse_locked(RiodConnection *conn, const RioMessage *m,
                                const RioError *err)
{
    RioMessage reply;

    rio_message_init(&reply, RIO_OP_ROUTE_TRACE_REPLY, 0, m->tag);
    reply.ids = m->ids;
    riod_set_reason(&reply, err->status, err->text);
    riod_connection_control_locked(conn, &reply);
}

void riod_trace(RiodConnection *conn, const RioMessage *m)
{
    int64_t since_ns = get_clock();
    bool mine = !*m->trace.server ||
                g_str_equal(m->trace.server, riod_config.server_name);
    RiodInstance *inst = NULL;
    RioError err;

    if (m->trace.count > RIO_MAX_HOPS) {
        /* One record more is what nobody would take */
        rio_error_set(&err, RIO_STATUS_LOOP, "%u servers have added a record, "
                      "that is the limit", m->trace.count);
        trace_refuse_locked(conn, m, &err);
        return;
    }
    rio_error_set(&err, RIO_STATUS_UNKNOWN_SERVER, "this is server '%.90s', "
                  "not '%.90s'", riod_config.server_name, m->trace.server);
    if (mine && *m->trace.module) {
        inst = riod_instance_find(m->trace.module, &err);
    }
    if (inst || (mine && !*m->trace.module)) {
        trace_answer_locked(conn, m, since_ns);
        if (inst) {
            riod_instance_unref(inst);
        }
        return;
    }
    if (riod_peers_exist()) {
        riod_ask(conn, m, &err);
        return;
    }
    trace_refuse_locked(conn, m, &err);
}

/* --- asking --- */

static const char *wanted_server(const RiodAsk *ask)
{
    const char *name = ask->m.op == RIO_OP_ATTACH ? ask->m.attach.server :
                       ask->m.op == RIO_OP_ROUTE_TRACE ? ask->m.trace.server
                                                       : "";

    return g_str_equal(name, riod_config.server_name) ? "" : name;
}

static void fill_attach(RiodAsk *ask, RioMessage *m, uint64_t caps)
{
    m->attach.caps &= caps & rio_link_caps(ask->from->link) &
                      RIOD_FORWARD_CAPS;
    g_strlcpy(m->attach.server, wanted_server(ask), sizeof(RioString));
    if (!ask->m.hops) {
        g_strlcpy(m->attach.client, ask->from->client->name,
                  sizeof(RioString));
        memcpy(m->attach.client_uuid, ask->from->client->uuid,
               RIO_UUID_SIZE);
    }
}

static void fill_trace(RiodAsk *ask, RioMessage *m)
{
    g_strlcpy(m->trace.server, wanted_server(ask), sizeof(RioString));
    m->payload.len = append_record(ask->records, ask->m.payload.len,
                                   ask->m.hops);
    m->payload.data = ask->records;
    m->trace.count++;
}

/* The way must carry the largest message that one of its ends may send */
static bool check_limit(RiodAsk *ask, RiodConnection *to, RioError *err)
{
    uint32_t here = rio_link_max_message(ask->from->link);
    uint32_t there = rio_link_max_message(to->link);

    return here == there ||
           rio_error_set(err, RIO_STATUS_LIMIT, "messages of up to %u bytes "
                         "here and %u to server '%.80s': a way has one limit",
                         here, there, to->next_hop->id);
}

static void ask_send(RiodAsk *ask)
{
    RiodConnection *to = ask->peer->conn;
    RioMessage m = ask->m;

    if (!check_limit(ask, to, &ask->err)) {
        ask_next(ask);
        return;
    }
    m.hops++;
    m.tag = ask->tag = ++last_tag;
    m.ids = (RioIds) { .client = rio_link_client_id(to->link) };
    if (m.op == RIO_OP_ATTACH) {
        fill_attach(ask, &m, rio_link_caps(to->link));
    } else if (m.op == RIO_OP_ROUTE_TRACE) {
        fill_trace(ask, &m);
    } else {
        m.ids = ask->route ? ask->route->down.ids : ask->m.ids;
    }
    ask->sent = true;
    trace_riod_ask(rio_op_name(m.op), ask->peer->id, m.tag);
    QEMU_LOCK_GUARD(&to->lock);
    riod_connection_control_locked(to, &m);
    riod_connection_send_locked(to);
}

/* A session that is not known is maybe at the server whose number it has */
static GPtrArray *find_candidates(RiodAsk *ask)
{
    const RioMessage *m = &ask->m;

    if (m->op == RIO_OP_RESUME) {
        return riod_directory_candidates(ask->module, "", m->ids.server);
    }
    return riod_directory_candidates(m->op == RIO_OP_ATTACH ?
                                     m->attach.module : m->trace.module,
                                     wanted_server(ask), 0);
}

/* A session that was here: only who has it now is asked, or NULL */
static GPtrArray *moved_to(RiodAsk *ask)
{
    RiodPeer *peer = ask->m.op == RIO_OP_RESUME ?
                     riod_move_whereabouts(ask->m.resume.token) : NULL;
    GPtrArray *only = NULL;

    if (peer) {
        only = g_ptr_array_new_with_free_func((GDestroyNotify)
                                              riod_peer_unref);
        g_ptr_array_add(only, riod_peer_ref(peer));
    }
    return only;
}

static RiodPeer *next_candidate(RiodAsk *ask)
{
    if (ask->route) {
        return ask->next++ ? NULL : ask->route->peer;
    }
    if (!ask->candidates) {
        ask->candidates = moved_to(ask) ?: find_candidates(ask);
    }
    return ask->next < ask->candidates->len ?
           ask->candidates->pdata[ask->next++] : NULL;
}

/* It is done before the route hears of it, which may be the end of it */
static void resumed(RiodAsk *ask, const RioMessage *reply)
{
    RioMessage request = ask->m;
    RiodRoute *r = ask->route;

    ask_free(ask);
    riod_route_resumed(r, &request, reply);
}

static void ask_next(RiodAsk *ask)
{
    ask->sent = false;
    ask->peer = next_candidate(ask);
    if (!ask->peer) {
        if (ask->route) {
            RioMessage refusal;

            rio_message_init(&refusal, RIO_OP_RESUME_REPLY, 0, 0);
            riod_set_reason(&refusal, ask->err.status, ask->err.text);
            resumed(ask, &refusal);
        } else {
            ask_refuse(ask, &ask->err);
        }
    } else if (ask->peer->conn) {
        ask_send(ask);
    } else {
        riod_peer_hurry(ask->peer);
    }
}

/* --- a request comes in --- */

static bool same_attach(const RiodAsk *a, const RiodAsk *b)
{
    const RioMessage *x = &a->m, *y = &b->m;
    const char *client = x->hops ? x->attach.client : a->from->client->name;

    return x->op == RIO_OP_ATTACH && y->op == RIO_OP_ATTACH &&
           g_str_equal(client, y->attach.client) &&
           g_str_equal(x->attach.vm, y->attach.vm) &&
           !memcmp(x->attach.vm_uuid, y->attach.vm_uuid, RIO_UUID_SIZE) &&
           g_str_equal(x->attach.device, y->attach.device) &&
           g_str_equal(x->attach.module, y->attach.module);
}

/* Servers that know each other ask each other for a session that is gone */
static bool same_resume(const RiodAsk *a, const RiodAsk *b)
{
    return a->m.op == RIO_OP_RESUME && b->m.op == RIO_OP_RESUME &&
           !memcmp(a->m.resume.token, b->m.resume.token, RIO_TOKEN_SIZE);
}

static bool check_loop(const RiodAsk *ask, RioError *err)
{
    RiodAsk *other;

    if (ask->m.hops >= RIO_MAX_HOPS) {
        return rio_error_set(err, RIO_STATUS_LOOP, "%u servers have passed it "
                             "on, that is the limit", ask->m.hops);
    }
    if (ask->m.op == RIO_OP_ROUTE_TRACE && was_here(&ask->m)) {
        return rio_error_set(err, RIO_STATUS_LOOP, "it was at server '%.90s' "
                             "before", riod_config.server_name);
    }
    QTAILQ_FOREACH(other, &asks, node) {
        if (ask->m.hops > other->m.hops && same_resume(other, ask)) {
            return rio_error_set(err, RIO_STATUS_UNKNOWN_SESSION, "server "
                                 "'%.90s' was asked for it before",
                                 riod_config.server_name);
        }
        if (ask->m.hops > other->m.hops && same_attach(other, ask)) {
            return rio_error_set(err, RIO_STATUS_LOOP, "it was at server "
                                 "'%.90s' before", riod_config.server_name);
        }
    }
    return true;
}

static bool check_attach(const RiodAsk *ask, RioError *err)
{
    RiodClient *client = riod_client_of(ask->from, &ask->m, err);
    bool ok = client && riod_route_check_vm(client, &ask->m, err);

    riod_client_put(client);
    return ok;
}

static RiodRoute *find_route(RiodAsk *ask)
{
    RiodRoute *r = riod_route_find(ask->m.resume.token);

    if (r && riod_route_orphaned(r)) {
        memcpy(ask->module, r->module, sizeof(ask->module));
        riod_route_drop(r);
        r = NULL;
    }
    return r;
}

static bool ask_check(RiodAsk *ask, RioError *err)
{
    unsigned most = rio_link_peer_role(ask->from->link) == RIO_ROLE_CLIENT ?
                    RIOD_MAX_ASKS : RIOD_MAX_ASKS_FORWARDER;

    if (ask->from->asks >= most) {
        return rio_error_set(err, RIO_STATUS_LIMIT, "%u requests wait for "
                             "their answer", ask->from->asks);
    }
    if (num_asks >= RIOD_MAX_ASKS_ALL) {
        /* Of clients that have left, too: a next hop owes the answers */
        return rio_error_set(err, RIO_STATUS_LIMIT, "%u requests of all "
                             "clients wait for their answer", num_asks);
    }
    if (!check_loop(ask, err)) {
        return false;
    }
    if (ask->m.op == RIO_OP_ATTACH) {
        return check_attach(ask, err);
    }
    if (ask->m.op == RIO_OP_RESUME) {
        ask->route = find_route(ask);
        return !ask->route ||
               riod_route_resume(ask->route, ask->from, &ask->m, err);
    }
    return true;
}

static void ask_run(RiodTask *task);

/* In the home that the connection leaves, or has left */
static void ask_follow(RiodTask *task)
{
    task->run = ask_run;
    riod_home_post(riod_home_default(), task);
}

/*
 * Routes are for connections that are read in the default home, and stay.
 * Returns: the home from which @conn must come first, or NULL
 */
static RiodHome *call_home_locked(RiodConnection *conn)
{
    if (conn->home != riod_home_default()) {
        conn->move_to = riod_home_default();
        riod_connection_wake_locked(conn);
        return conn->home;
    }
    conn->forwards = true;
    conn->move_to = NULL;
    return NULL;
}

static void ask_run(RiodTask *task)
{
    RiodAsk *ask = container_of(task, RiodAsk, task);
    RiodConnection *conn = ask->from;
    RiodHome *away = NULL;
    RioError err;
    bool closed;

    WITH_QEMU_LOCK_GUARD(&conn->lock) {
        closed = conn->closed || conn->closing;
        if (!closed) {
            away = call_home_locked(conn);
        }
    }
    if (closed) {
        ask_free(ask);
    } else if (away) {
        /* Once around, so that neither home waits for the other */
        task->run = ask_follow;
        riod_home_post(away, task);
    } else if (!ask_check(ask, &err)) {
        ask_refuse(ask, &err);
    } else {
        ask->begun = true;
        conn->asks++;
        num_asks++;
        QTAILQ_INSERT_TAIL(&asks, ask, node);
        ask_next(ask);
        riod_routes_flush();
    }
}

void riod_ask(RiodConnection *conn, const RioMessage *m, const RioError *err)
{
    RiodAsk *ask = g_new0(RiodAsk, 1);

    ask->task.run = ask_run;
    ask->from = riod_connection_ref(conn);
    ask->m = *m;
    ask->err = *err;
    ask->since_ns = get_clock();
    if (m->op == RIO_OP_ROUTE_TRACE) {
        ask->records = g_malloc(m->payload.len + RIO_TRACE_RECORD_MAX);
        if (m->payload.len) {
            memcpy(ask->records, m->payload.data, m->payload.len);
        }
        ask->m.payload.data = ask->records;
    } else {
        ask->m.payload = (RioBytes) { NULL, 0 };
    }
    riod_home_post(riod_home_default(), &ask->task);
}

/* --- answers --- */

/* It only says that the module is not there: another one may have it */
static bool is_not_here(uint8_t status)
{
    return status == RIO_STATUS_UNKNOWN_SERVER ||
           status == RIO_STATUS_UNKNOWN_MODULE ||
           status == RIO_STATUS_UNKNOWN_SESSION ||
           status == RIO_STATUS_UNREACHABLE || status == RIO_STATUS_LOOP;
}

static void refused(RiodAsk *ask, const RioMessage *m)
{
    rio_error_set(&ask->err, m->status, "%.200s", m->reason);
    if (is_not_here(m->status)) {
        ask_next(ask);
        return;
    }
    ask_refuse(ask, &ask->err);
}

static void traced(RiodAsk *ask, const RioMessage *m)
{
    g_autofree uint8_t *records = g_memdup2(m->payload.data, m->payload.len);
    RioMessage reply = *m;

    set_record_time(records, m->payload.len, ask->m.hops, ask->since_ns);
    reply.payload.data = records;
    reply.hops++;
    answer(ask->from, &ask->m, &reply);
    ask_free(ask);
}

static RiodAsk *ask_find(RiodPeer *peer, const RioMessage *m)
{
    RiodAsk *ask;

    QTAILQ_FOREACH(ask, &asks, node) {
        if (ask->sent && ask->peer == peer && ask->tag == m->tag &&
            reply_op(ask->m.op) == m->op) {
            return ask;
        }
    }
    return NULL;
}

void riod_ask_answered(RiodConnection *conn, const RioMessage *m)
{
    RiodAsk *ask = ask_find(conn->next_hop, m);
    bool ok = m->status == RIO_STATUS_OK;

    if (!ask) {
        trace_riod_peer_ignored(conn->next_hop->id, rio_op_name(m->op),
                                m->ids.vm, m->ids.module);
    } else if (ask->route) {
        resumed(ask, m);
    } else if (!ok) {
        refused(ask, m);
    } else if (m->op == RIO_OP_ROUTE_TRACE_REPLY) {
        traced(ask, m);
    } else if (m->op == RIO_OP_ATTACH_REPLY ?
               !riod_route_new(ask->from, ask->peer, &ask->m, m, &ask->err) :
               !riod_route_adopt(ask->from, ask->peer, &ask->m, m,
                                 &ask->err)) {
        ask_refuse(ask, &ask->err);
    } else {
        ask_free(ask);
    }
}

void riod_asks_peer_ready(RiodPeer *peer)
{
    RiodAsk *ask, *next;

    QTAILQ_FOREACH_SAFE(ask, &asks, node, next) {
        if (ask->peer == peer && !ask->sent) {
            ask_send(ask);
        }
    }
}

void riod_asks_peer_failed(RiodPeer *peer, const char *text)
{
    RiodAsk *ask, *next;

    QTAILQ_FOREACH_SAFE(ask, &asks, node, next) {
        if (ask->peer == peer) {
            rio_error_set(&ask->err, RIO_STATUS_UNREACHABLE, "server '%.60s' "
                          "at %.60s: %.100s", peer->id, peer->text, text);
            ask_next(ask);
        }
    }
}

void riod_asks_forget_route(RiodRoute *r)
{
    RiodAsk *ask, *next;

    QTAILQ_FOREACH_SAFE(ask, &asks, node, next) {
        if (ask->route == r) {
            ask_free(ask);
        }
    }
}
