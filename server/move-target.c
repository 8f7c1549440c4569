/*
 * remote-io-server: modules that move in
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Everything here runs in the default home.  While a move is busy (it loads,
 * or begins to act, in other threads) what its source asks for waits.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/main-loop.h"
#include "move.h"
#include "trace.h"

/* Moves that are over are known for a while: their source may ask late */
#define KEPT 64u

typedef struct Arrival {
    uint8_t id[RIO_UUID_SIZE];
    unsigned phase;             /* RIO_MOVE_* */
    bool busy;
    bool touched;               /* the instance is not as it was opened */
    char *source;               /* name of the server */
    RiodInstance *inst;         /* NULL once it is over */
    GByteArray *parcel;
    Error *err;                 /* of what was busy */
    QEMUTimer *timer;
    /* The last request, answered when it is done */
    RiodConnection *from;
    uint32_t tag;
    int late;                   /* step that came meanwhile, or 0 */
    RiodTask task;
    QTAILQ_ENTRY(Arrival) node;
} Arrival;

static QTAILQ_HEAD(, Arrival) arrivals = QTAILQ_HEAD_INITIALIZER(arrivals);
static unsigned num_arrivals;

/* --- answers --- */

static void answer(RiodConnection *conn, uint32_t tag, const Arrival *a,
                   const RioError *err)
{
    RioMessage m;

    rio_message_init(&m, RIO_OP_MOVE_STEP_REPLY, 0, tag);
    if (err) {
        riod_set_reason(&m, err->status, err->text);
    } else {
        m.stepped.phase = a ? a->phase : RIO_MOVE_NONE;
        m.stepped.received = a && a->parcel ? a->parcel->len : 0;
    }
    QEMU_LOCK_GUARD(&conn->lock);
    m.ids.client = conn->client->id;
    riod_connection_control_locked(conn, &m);
    riod_connection_send_locked(conn);
}

static void note_request(Arrival *a, RiodConnection *conn, uint32_t tag)
{
    riod_connection_unref(a->from);
    a->from = riod_connection_ref(conn);
    a->tag = tag;
    timer_mod(a->timer, get_clock() / SCALE_MS + RIOD_MOVE_SOURCE_MS);
}

/* --- the end of one --- */

/* Its instance is not its any more */
static void let_go(Arrival *a)
{
    if (a->inst) {
        a->inst->arrival = NULL;
        riod_instance_unref(a->inst);
        a->inst = NULL;
    }
    timer_del(a->timer);
}

static void arrival_free(Arrival *a)
{
    QTAILQ_REMOVE(&arrivals, a, node);
    num_arrivals--;
    let_go(a);
    timer_free(a->timer);
    riod_connection_unref(a->from);
    g_byte_array_unref(a->parcel);
    error_free(a->err);
    g_free(a->source);
    g_free(a);
}

/* Main loop.  Of what was loaded nothing may stay */
static void renew_in_main(void *opaque)
{
    RiodInstance *inst = opaque;
    Error *err = NULL;

    if (!riod_instance_renew(inst, &err)) {
        riod_log("module '%s' waits for nothing any more: %s", inst->id,
                 error_get_pretty(err));
        error_free(err);
    }
    riod_instance_unref(inst);
}

static void forget(Arrival *a, const char *why)
{
    riod_log("module '%s' does not move in from server %s: %s", a->inst->id,
             a->source, why);
    trace_riod_move_target(a->inst->id, a->source, "forgotten");
    if (a->touched) {
        aio_bh_schedule_oneshot(qemu_get_aio_context(), renew_in_main,
                                riod_instance_ref(a->inst));
    }
    arrival_free(a);
}

static void forget_old_ones(void)
{
    Arrival *a, *next;

    QTAILQ_FOREACH_SAFE(a, &arrivals, node, next) {
        if (num_arrivals > KEPT && a->phase == RIO_MOVE_COMMITTED) {
            arrival_free(a);
        }
    }
}

static void source_is_silent(void *opaque)
{
    Arrival *a = opaque;

    if (a->busy) {
        timer_mod(a->timer, get_clock() / SCALE_MS + RIOD_MOVE_SOURCE_MS);
    } else if (riod_move_target_next(a->phase, RIOD_TARGET_TIMEOUT) ==
               RIOD_TARGET_FORGET) {
        forget(a, "the source is silent");
    }
}

/* --- loading --- */

static void take_step(Arrival *a, int kind);

/* Default home: what was busy is done; a->err says whether it went well */
static void work_done(Arrival *a, unsigned phase)
{
    RioError err;

    a->busy = false;
    if (a->err) {
        rio_error_set(&err, RIO_STATUS_UNSUPPORTED, "%.200s",
                      error_get_pretty(a->err));
        answer(a->from, a->tag, NULL, &err);
        forget(a, err.text);
        return;
    }
    a->phase = phase;
    trace_riod_move_target(a->inst->id, a->source,
                           phase == RIO_MOVE_LOADED ? "loaded" : "committed");
    answer(a->from, a->tag, a, NULL);
    if (phase == RIO_MOVE_COMMITTED) {
        let_go(a);
        g_byte_array_unref(a->parcel);
        a->parcel = g_byte_array_new();
    }
    if (a->late) {
        int kind = a->late;

        a->late = 0;
        take_step(a, kind);
    }
}

static void loaded_run(RiodTask *task)
{
    work_done(container_of(task, Arrival, task), RIO_MOVE_LOADED);
}

static void load_run(RiodTask *task)
{
    Arrival *a = container_of(task, Arrival, task);

    if (a->inst->closing || !riod_instance_stopped(a->inst)) {
        error_setg(&a->err, "module '%s' is being %s", a->inst->id,
                   a->inst->closing ? "removed" : "opened");
    } else {
        riod_parcel_unpack(a->inst, (RioBytes) { a->parcel->data,
                                                 a->parcel->len }, &a->err);
    }
    a->task.run = loaded_run;
    riod_home_post(riod_home_default(), &a->task);
}

static void load(Arrival *a)
{
    a->busy = a->touched = true;
    a->task.run = load_run;
    riod_home_post(a->inst->home, &a->task);
}

/* --- acting --- */

/* Clients whose way led over here to where the module was: it leads here */
static void drop_old_ways(Arrival *a)
{
    g_autofree RioParcelSession *s = g_new(RioParcelSession, 1);
    RioSessionRecord record;
    RioParcel parcel;
    uint32_t at = 0;
    RioError err;

    if (rio_parcel_get((RioBytes) { a->parcel->data, a->parcel->len },
                       &parcel, &err)) {
        while (rio_parcel_session(&parcel, &at, s)) {
            if (rio_session_record_get(s->record, &record, &err)) {
                riod_route_is_here(record.token);
                riod_move_is_here(record.token);
            }
        }
    }
    riod_routes_flush();
}

static void acts_run(RiodTask *task)
{
    Arrival *a = container_of(task, Arrival, task);

    if (!a->err) {
        drop_old_ways(a);
    }
    work_done(a, RIO_MOVE_COMMITTED);
}

static void go_run(RiodTask *task)
{
    Arrival *a = container_of(task, Arrival, task);
    RiodInstance *inst = a->inst;

    if (inst->closing) {
        error_setg(&a->err, "module '%s' was removed", inst->id);
    }
    if (!a->err) {
        qatomic_set(&inst->waits, false);
        for (unsigned i = 0; i < inst->max_clients; i++) {
            if (inst->clients[i]) {
                riod_session_lost(inst->clients[i], inst->clients[i]->conn);
            }
        }
        riod_instance_go(inst, RIOD_STOP_ACCESSES);
        riod_home_flush(inst->home);
        riod_event_moved_in(inst, a->source);
    }
    a->task.run = acts_run;
    riod_home_post(riod_home_default(), &a->task);
}

/* Main loop: its disks are ours now */
static void act_in_main(void *opaque)
{
    Arrival *a = opaque;

    riod_blocks_activate(a->inst, &a->err);
    a->task.run = go_run;
    riod_home_post(a->inst->home, &a->task);
}

static void act(Arrival *a)
{
    a->busy = true;
    aio_bh_schedule_oneshot(qemu_get_aio_context(), act_in_main, a);
}

/* --- requests --- */

static Arrival *find(const uint8_t *id)
{
    Arrival *a;

    QTAILQ_FOREACH(a, &arrivals, node) {
        if (!memcmp(a->id, id, RIO_UUID_SIZE)) {
            return a;
        }
    }
    return NULL;
}

static void take_step(Arrival *a, int kind)
{
    switch (kind == RIO_MOVE_ASK ? RIOD_TARGET_TELL :
            riod_move_target_next(a->phase, kind == RIO_MOVE_COMMIT ?
                                  RIOD_TARGET_COMMIT : RIOD_TARGET_ABORT)) {
    case RIOD_TARGET_ACT:
        act(a);
        break;
    case RIOD_TARGET_FORGET:
        answer(a->from, a->tag, NULL, NULL);
        forget(a, "the source keeps it");
        break;
    default:
        answer(a->from, a->tag, a, NULL);
    }
}

static void step(RiodConnection *conn, const RioMessage *m)
{
    Arrival *a = find(m->step.id);

    if (!a) {
        answer(conn, m->tag, NULL, NULL);
        return;
    }
    note_request(a, conn, m->tag);
    if (a->busy) {
        a->late = m->step.kind;
    } else {
        take_step(a, m->step.kind);
        forget_old_ones();
    }
}

static void data(RiodConnection *conn, const RioMessage *m)
{
    Arrival *a = find(m->parcel.id);
    bool more = m->flags & RIO_FLAG_MORE;
    RioError err;

    if (!a) {
        answer(conn, m->tag, NULL, NULL);
        return;
    }
    if (a->busy || m->parcel.offset != a->parcel->len ||
        riod_move_target_next(a->phase, RIOD_TARGET_DATA) !=
        RIOD_TARGET_KEEP) {
        rio_error_set(&err, RIO_STATUS_RANGE, "a piece at %" PRIu64 ", there "
                      "are %u bytes", m->parcel.offset, a->parcel->len);
        answer(conn, m->tag, NULL, &err);
        if (!a->busy && a->phase != RIO_MOVE_COMMITTED) {
            forget(a, err.text);
        }
        return;
    }
    note_request(a, conn, m->tag);
    g_byte_array_append(a->parcel, m->payload.data, m->payload.len);
    if (more) {
        answer(conn, m->tag, a, NULL);
    } else {
        load(a);
    }
}

static bool check_state(const RiodInstance *inst, const RioMessage *m,
                        RioError *err)
{
    const RioModuleState *state = riod_registry_state(inst->type);

    if (!g_str_equal(m->offer.driver, inst->type->name)) {
        return rio_error_set(err, RIO_STATUS_UNSUPPORTED, "module '%.60s' of "
                             "server '%.60s' is a '%.40s', not a '%.40s'",
                             inst->id, riod_config.server_name,
                             inst->type->name, m->offer.driver);
    }
    if (!state || m->offer.state_version > state->version ||
        m->offer.state_version < (state->oldest ?: state->version)) {
        return rio_error_set(err, RIO_STATUS_UNSUPPORTED, "server '%.60s' "
                             "does not read version %u of the state of a "
                             "'%.60s'", riod_config.server_name,
                             m->offer.state_version, inst->type->name);
    }
    if (m->offer.caps & ~RIOD_MOVE_CAPS) {
        return rio_error_set(err, RIO_STATUS_UNSUPPORTED, "server '%.60s' "
                             "lacks the capabilities 0x%" PRIx64,
                             riod_config.server_name,
                             (uint64_t)(m->offer.caps & ~RIOD_MOVE_CAPS));
    }
    if (m->offer.sessions && !riod_config.lease_ms) {
        return rio_error_set(err, RIO_STATUS_UNSUPPORTED, "server '%.60s' "
                             "holds no sessions (--session-lease 0)",
                             riod_config.server_name);
    }
    return true;
}

/* Another move has it: one that its source has forgotten makes room */
static bool check_arrival(RiodInstance *inst, const char *source,
                          RioError *err)
{
    Arrival *a = inst->arrival;

    if (!a) {
        return true;
    }
    if (!a->busy && a->phase != RIO_MOVE_COMMITTED &&
        g_str_equal(a->source, source)) {
        bool touched = a->touched;

        forget(a, "the source began anew");
        return !touched ||
               rio_error_set(err, RIO_STATUS_MODULE_BUSY, "module '%.60s' of "
                             "server '%.60s' is being made ready: try again",
                             inst->id, riod_config.server_name);
    }
    return rio_error_set(err, RIO_STATUS_MODULE_BUSY, "module '%.60s' of "
                         "server '%.60s' waits for another move, from server "
                         "'%.60s'", inst->id, riod_config.server_name,
                         a->source);
}

static bool check_offer(RiodInstance *inst, const RioMessage *m,
                        const char *source, RioError *err)
{
    if (!qatomic_read(&inst->waits)) {
        return rio_error_set(err, RIO_STATUS_MODULE_BUSY, "module '%.60s' of "
                             "server '%.60s' does not wait for a module that "
                             "moves in: add it with incoming=on", inst->id,
                             riod_config.server_name);
    }
    return check_state(inst, m, err) && check_arrival(inst, source, err);
}

static void offer(RiodConnection *conn, const RioMessage *m)
{
    const char *source = conn->client->name;
    RiodInstance *inst;
    RioError err;
    Arrival *a;

    if (find(m->offer.id)) {
        rio_error_set(&err, RIO_STATUS_MODULE_BUSY, "this move is known");
        answer(conn, m->tag, NULL, &err);
        return;
    }
    inst = riod_instance_find(m->offer.module, &err);
    if (!inst || !check_offer(inst, m, source, &err)) {
        answer(conn, m->tag, NULL, &err);
        if (inst) {
            riod_instance_unref(inst);
        }
        return;
    }
    a = g_new0(Arrival, 1);
    memcpy(a->id, m->offer.id, RIO_UUID_SIZE);
    a->phase = RIO_MOVE_OFFERED;
    a->source = g_strdup(source);
    a->inst = inst;
    a->parcel = g_byte_array_new();
    a->timer = aio_timer_new(riod_home_default()->ctx, QEMU_CLOCK_REALTIME,
                             SCALE_MS, source_is_silent, a);
    inst->arrival = a;
    QTAILQ_INSERT_TAIL(&arrivals, a, node);
    num_arrivals++;
    trace_riod_move_target(inst->id, source, "offered");
    note_request(a, conn, m->tag);
    answer(conn, m->tag, a, NULL);
}

/* --- on the way to the default home --- */

typedef struct RequestTask {
    RiodTask task;
    RiodConnection *conn;
    RioMessage message;
    uint8_t payload[];
} RequestTask;

static void request_run(RiodTask *task)
{
    RequestTask *t = container_of(task, RequestTask, task);

    switch (t->message.op) {
    case RIO_OP_MOVE_OFFER:
        offer(t->conn, &t->message);
        break;
    case RIO_OP_MOVE_DATA:
        data(t->conn, &t->message);
        break;
    case RIO_OP_MOVE_STEP:
        step(t->conn, &t->message);
        break;
    }
    riod_connection_unref(t->conn);
    g_free(t);
}

void riod_move_offered(RiodConnection *conn, const RioMessage *m)
{
    RequestTask *t = g_malloc(sizeof(*t) + m->payload.len);

    t->task.run = request_run;
    t->conn = riod_connection_ref(conn);
    t->message = *m;
    t->message.payload.data = t->payload;
    if (m->payload.len) {
        memcpy(t->payload, m->payload.data, m->payload.len);
    }
    riod_home_post(riod_home_default(), &t->task);
}
