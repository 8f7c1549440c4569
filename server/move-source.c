/*
 * remote-io-server: modules that move out
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A move and its list belong to the default home.  What happens to the
 * instance happens in its home, and in the main loop where that must be; each
 * of these comes back as a task with an event for move-machine.c.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/main-loop.h"
#include "crypto/random.h"
#include "move.h"
#include "trace.h"

/* Moves that are over and can still be asked for */
#define KEPT 16u

/* Pieces on their way before one was answered: a megabyte */
#define WINDOW 8u

typedef struct RiodMove RiodMove;

struct RiodMove {
    RiodMoveState state;
    bool ended;                 /* final, and all that follows is done */
    char *module, *to, *as;
    RiodPeer *peer;             /* NULL once it ended */
    RiodInstance *inst;         /* NULL once it ended */
    uint8_t id[RIO_UUID_SIZE];
    uint16_t number;            /* upper half of its tags */
    uint16_t seq;               /* lower half of the last one */
    uint16_t valid;             /* answers to older ones mean nothing */
    GByteArray *parcel;         /* NULL once it ended */
    size_t sent, done, total;
    unsigned unanswered;
    char *trouble;
    int64_t stopped_ns, blackout_ns;
    QEMUTimer *timer;
    RiodSession *client;        /* that asked for it, or NULL */
    uint32_t client_tag;
    QTAILQ_ENTRY(RiodMove) node;
};

/* On the way between threads; one of a move at a time */
typedef struct Work {
    RiodTask task;
    RiodMove *mv;
    RiodInstance *inst;
    GByteArray *parcel;
    char *address;              /* of the target; its home changes it */
    Error *err;
} Work;

static QTAILQ_HEAD(, RiodMove) moves = QTAILQ_HEAD_INITIALIZER(moves);
static unsigned num_moves;
static uint16_t last_number;

static void happens(RiodMove *mv, RiodMoveEvent event, const char *trouble);

/* --- what the client that asked is told --- */

typedef struct TellTask {
    RiodTask task;
    RiodSession *session;
    RioMessage message;
} TellTask;

static void tell_run(RiodTask *task)
{
    TellTask *t = container_of(task, TellTask, task);
    RiodConnection *conn = t->session->conn;

    WITH_QEMU_LOCK_GUARD(&conn->lock) {
        if (!t->session->ended) {
            t->message.ids = t->session->ids;
            t->message.epoch = rio_session_epoch(t->session->rio);
            riod_connection_control_locked(conn, &t->message);
            riod_connection_send_locked(conn);
        }
    }
    riod_session_unref(t->session);
    g_free(t);
}

static unsigned phase_of(const RiodMove *mv)
{
    switch (mv->state) {
    case RIOD_MOVE_COMMITTING:
        return RIO_MOVE_LOADED;
    case RIOD_MOVE_DONE:
        return RIO_MOVE_COMMITTED;
    case RIOD_MOVE_FAILED:
        return RIO_MOVE_NONE;
    default:
        return RIO_MOVE_OFFERED;
    }
}

static void tell(RiodSession *s, uint32_t tag, const RiodMove *mv,
                 const RioError *err)
{
    TellTask *t = g_new0(TellTask, 1);

    t->task.run = tell_run;
    t->session = riod_session_ref(s);
    rio_message_init(&t->message, RIO_OP_MOVE_REPLY, 0, tag);
    if (err) {
        riod_set_reason(&t->message, err->status, err->text);
    } else if (mv) {
        t->message.moving.phase = phase_of(mv);
        t->message.moving.done = mv->done;
        t->message.moving.total = mv->total;
    }
    riod_home_post(s->inst->home, &t->task);
}

static void tell_client(RiodMove *mv)
{
    RioError err;

    if (mv->client && mv->state == RIOD_MOVE_FAILED) {
        rio_error_set(&err, RIO_STATUS_IO, "%.230s", mv->trouble);
        tell(mv->client, mv->client_tag, NULL, &err);
    } else if (mv->client) {
        tell(mv->client, mv->client_tag, mv, NULL);
    }
}

/* --- messages to the target --- */

static void send_to(RiodMove *mv, RioMessage *m)
{
    RiodConnection *conn = mv->peer->conn;

    if (!conn) {
        return;
    }
    m->tag = (uint32_t)mv->number << 16 | ++mv->seq;
    m->hops = 1;
    m->ids.client = rio_link_client_id(conn->link);
    WITH_QEMU_LOCK_GUARD(&conn->lock) {
        riod_connection_control_locked(conn, m);
        riod_connection_send_locked(conn);
    }
    if (mv->state != RIOD_MOVE_COMMITTING) {
        timer_mod(mv->timer, get_clock() / SCALE_MS + RIOD_MOVE_ANSWER_MS);
    }
}

static void send_offer(RiodMove *mv)
{
    RiodInstance *inst = mv->inst;
    RioMessage m;

    rio_message_init(&m, RIO_OP_MOVE_OFFER, 0, 0);
    memcpy(m.offer.id, mv->id, RIO_UUID_SIZE);
    m.offer.caps = 0;
    m.offer.state_version = riod_registry_state(inst->type)->version;
    m.offer.sessions = 0;
    riod_tables_lock();
    for (unsigned i = 0; i < inst->max_clients; i++) {
        if (inst->clients[i]) {
            m.offer.caps |= inst->clients[i]->caps;
            m.offer.sessions++;
        }
    }
    riod_tables_unlock();
    g_strlcpy(m.offer.module, mv->as, sizeof(m.offer.module));
    g_strlcpy(m.offer.driver, inst->type->name, sizeof(m.offer.driver));
    send_to(mv, &m);
}

static void send_step(RiodMove *mv, uint8_t kind)
{
    RioMessage m;

    rio_message_init(&m, RIO_OP_MOVE_STEP, 0, 0);
    memcpy(m.step.id, mv->id, RIO_UUID_SIZE);
    m.step.kind = kind;
    mv->valid = mv->seq + 1;
    send_to(mv, &m);
}

static void send_pieces(RiodMove *mv)
{
    size_t most = mv->peer->conn ?
                  rio_link_max_message(mv->peer->conn->link) - 4096 : 0;
    RioMessage m;

    while (mv->peer->conn && mv->unanswered < WINDOW &&
           mv->sent < mv->parcel->len) {
        size_t n = MIN(most, mv->parcel->len - mv->sent);

        rio_message_init(&m, RIO_OP_MOVE_DATA,
                         mv->sent + n < mv->parcel->len ? RIO_FLAG_MORE : 0,
                         0);
        memcpy(m.parcel.id, mv->id, RIO_UUID_SIZE);
        m.parcel.offset = mv->sent;
        m.payload = (RioBytes) { mv->parcel->data + mv->sent, n };
        mv->sent += n;
        mv->unanswered++;
        send_to(mv, &m);
    }
}

/* --- its end --- */

static void move_free(RiodMove *mv)
{
    QTAILQ_REMOVE(&moves, mv, node);
    num_moves--;
    timer_free(mv->timer);
    g_free(mv->trouble);
    g_free(mv->module);
    g_free(mv->to);
    g_free(mv->as);
    g_free(mv);
}

/* Before a new one, and not when one ends: somebody is looking at it then */
static void forget_old_ones(void)
{
    RiodMove *mv, *next;

    QTAILQ_FOREACH_SAFE(mv, &moves, node, next) {
        if (mv->ended && num_moves >= KEPT) {
            move_free(mv);
        }
    }
}

/* The instance is nobody's business here any more */
static void end(RiodMove *mv)
{
    bool ok = mv->state == RIOD_MOVE_DONE;

    mv->ended = true;
    if (mv->stopped_ns) {
        mv->blackout_ns = get_clock() - mv->stopped_ns;
    }
    if (!ok) {
        riod_log("module '%s' does not move to server %s: %s", mv->module,
                 mv->to, mv->trouble);
        tell_client(mv);
    }
    trace_riod_move_end(mv->module, mv->to, ok ? "" : mv->trouble);
    riod_event_moved(mv->module, mv->to, mv->as, ok ? NULL
                                                          : mv->trouble);
    mv->inst->moving = false;
    g_clear_pointer(&mv->inst, riod_instance_unref);
    g_clear_pointer(&mv->peer, riod_peer_unref);
    g_clear_pointer(&mv->client, riod_session_unref);
    g_clear_pointer(&mv->parcel, g_byte_array_unref);
    timer_del(mv->timer);
}

static void end_run(RiodTask *task)
{
    Work *w = container_of(task, Work, task);

    end(w->mv);
    g_free(w);
}

static Work *work_new(RiodMove *mv, void (*run)(RiodTask *))
{
    Work *w = g_new0(Work, 1);

    w->task.run = run;
    w->mv = mv;
    w->inst = mv->inst;
    return w;
}

static void work_back(Work *w, void (*run)(RiodTask *))
{
    w->task.run = run;
    riod_home_post(riod_home_default(), &w->task);
}

static void work_in_main(Work *w, void (*run)(void *))
{
    aio_bh_schedule_oneshot(qemu_get_aio_context(), run, w);
}

/* --- stopping and saving --- */

static void stopped_run(RiodTask *task)
{
    Work *w = container_of(task, Work, task);
    RiodMove *mv = w->mv;

    if (w->parcel) {
        mv->parcel = w->parcel;
        mv->total = w->parcel->len;
        happens(mv, RIOD_MOVE_STOPPED, NULL);
    } else {
        happens(mv, RIOD_MOVE_NOT_STOPPED, error_get_pretty(w->err));
    }
    error_free(w->err);
    g_free(w);
}

/* Home: it cannot be saved after all */
static void go_back_run(RiodTask *task)
{
    Work *w = container_of(task, Work, task);

    riod_instance_go(w->inst, RIOD_STOP_ACCESSES);
    riod_home_flush(w->inst->home);
    work_back(w, stopped_run);
}

static void go_back_in_main(void *opaque)
{
    Work *w = opaque;
    Error *err = NULL;

    if (!riod_blocks_activate(w->inst, &err)) {
        riod_log("module '%s': %s", w->inst->id, error_get_pretty(err));
        error_free(err);
    }
    w->task.run = go_back_run;
    riod_home_post(w->inst->home, &w->task);
}

static void save_run(RiodTask *task)
{
    Work *w = container_of(task, Work, task);

    if (!w->err && w->inst->closing) {
        error_setg(&w->err, "module '%s' is being removed", w->inst->id);
    }
    if (!w->err) {
        w->parcel = riod_parcel_pack(w->inst, &w->err);
    }
    if (w->parcel) {
        work_back(w, stopped_run);
    } else {
        work_in_main(w, go_back_in_main);
    }
}

/* Whoever has the disks next must find all of them written, and unlocked */
static void let_disks_go_in_main(void *opaque)
{
    Work *w = opaque;

    riod_blocks_inactivate(w->inst, &w->err);
    w->task.run = save_run;
    riod_home_post(w->inst->home, &w->task);
}

static void stopped(RiodInstance *inst, const char *trouble, void *opaque)
{
    Work *w = opaque;

    if (trouble) {
        error_setg(&w->err, "module '%s' does not stop: %s", inst->id,
                   trouble);
        work_back(w, stopped_run);
    } else {
        work_in_main(w, let_disks_go_in_main);
    }
}

static void stop_run(RiodTask *task)
{
    Work *w = container_of(task, Work, task);

    if (w->inst->closing) {
        error_setg(&w->err, "module '%s' is being removed", w->inst->id);
        work_back(w, stopped_run);
    } else {
        riod_instance_stop(w->inst, RIOD_STOP_ACCESSES, RIOD_MOVE_STOP_MS,
                           stopped, w);
    }
}

/* --- going on here --- */

static void go_on_run(RiodTask *task)
{
    Work *w = container_of(task, Work, task);

    riod_instance_go(w->inst, RIOD_STOP_ACCESSES);
    riod_home_flush(w->inst->home);
    work_back(w, end_run);
}

static void go_on_in_main(void *opaque)
{
    Work *w = opaque;
    Error *err = NULL;

    if (!riod_blocks_activate(w->inst, &err)) {
        riod_log("module '%s' goes on here without its disk: %s",
                 w->inst->id, error_get_pretty(err));
        error_free(err);
    }
    w->task.run = go_on_run;
    riod_home_post(w->inst->home, &w->task);
}

/* --- it is there --- */

static void renew_in_main(void *opaque)
{
    Work *w = opaque;
    Error *err = NULL;

    if (!riod_instance_renew(w->inst, &err)) {
        riod_log("module '%s' moved, and does not wait for its return: %s",
                 w->inst->id, error_get_pretty(err));
        error_free(err);
    }
    work_back(w, end_run);
}

static void hand_over_run(RiodTask *task)
{
    Work *w = container_of(task, Work, task);

    riod_parcel_gone(w->inst, w->mv->to, w->address);
    g_free(w->address);
    riod_home_flush(w->inst->home);
    work_in_main(w, renew_in_main);
}

static void hand_over(RiodMove *mv)
{
    Work *w = work_new(mv, hand_over_run);

    w->address = g_strdup(mv->peer->text);
    riod_home_post(mv->inst->home, &w->task);
}

/* --- the course --- */

static void perform(RiodMove *mv, RiodMoveAction action)
{
    switch (action) {
    case RIOD_MOVE_NOTHING:
        break;
    case RIOD_MOVE_STOP:
        timer_del(mv->timer);
        mv->stopped_ns = get_clock();
        riod_home_post(mv->inst->home, &work_new(mv, stop_run)->task);
        break;
    case RIOD_MOVE_SEND:
        send_pieces(mv);
        break;
    case RIOD_MOVE_SEND_COMMIT:
        timer_del(mv->timer);
        send_step(mv, RIO_MOVE_COMMIT);
        break;
    case RIOD_MOVE_SEND_ASK:
        send_step(mv, RIO_MOVE_ASK);
        break;
    case RIOD_MOVE_SEND_ABORT:
        send_step(mv, RIO_MOVE_ABORT);
        end(mv);
        break;
    case RIOD_MOVE_GO_ON:
        send_step(mv, RIO_MOVE_ABORT);
        work_in_main(work_new(mv, NULL), go_on_in_main);
        break;
    case RIOD_MOVE_HAND_OVER:
        riod_move_went(mv->parcel, mv->peer);
        tell_client(mv);
        hand_over(mv);
        break;
    }
}

static const char *state_name(RiodMoveState state)
{
    static const char *const names[] = {
        [RIOD_MOVE_OFFERING] = "offering",
        [RIOD_MOVE_STOPPING] = "stopping",
        [RIOD_MOVE_DOOMED] = "given up",
        [RIOD_MOVE_SENDING] = "sending",
        [RIOD_MOVE_COMMITTING] = "committing",
        [RIOD_MOVE_DONE] = "done",
        [RIOD_MOVE_FAILED] = "failed",
    };

    return names[state];
}

/* @trouble: the first is the reason, if it fails */
static void happens(RiodMove *mv, RiodMoveEvent event, const char *trouble)
{
    RiodMoveState before = mv->state;
    RiodMoveAction action;

    if (mv->ended) {
        return;
    }
    if (trouble && before != RIOD_MOVE_COMMITTING && !mv->trouble) {
        mv->trouble = g_strdup(trouble);
    }
    action = riod_move_next(&mv->state, event);
    if (mv->state == RIOD_MOVE_FAILED && !mv->trouble) {
        mv->trouble = g_strdup(trouble ?: "the target does not know it");
    }
    if (mv->state != before) {
        trace_riod_move_source(mv->module, mv->to,
                               state_name(mv->state));
        if (mv->state != RIOD_MOVE_FAILED && mv->state != RIOD_MOVE_DONE) {
            tell_client(mv);
        }
    }
    perform(mv, action);
}

static void answer_is_late(void *opaque)
{
    RiodMove *mv = opaque;
    g_autofree char *text = g_strdup_printf("server %s does not answer",
                                            mv->to);

    happens(mv, RIOD_MOVE_GIVE_UP, text);
}

/* --- from the target --- */

static RiodMove *find_by_tag(RiodPeer *peer, uint32_t tag)
{
    RiodMove *mv;

    QTAILQ_FOREACH(mv, &moves, node) {
        if (!mv->ended && mv->peer == peer && mv->number == tag >> 16) {
            return mv;
        }
    }
    return NULL;
}

void riod_move_answered(RiodConnection *conn, const RioMessage *m)
{
    RiodMove *mv = find_by_tag(conn->next_hop, m->tag);
    g_autofree char *text = NULL;

    if (!mv || (uint16_t)m->tag < mv->valid) {
        return;
    }
    if (m->status != RIO_STATUS_OK) {
        text = g_strdup_printf("server %s refuses: %s", mv->to,
                               m->reason);
        happens(mv, RIOD_MOVE_SAYS_NONE, text);
        return;
    }
    if (mv->state == RIOD_MOVE_SENDING) {
        mv->unanswered -= !!mv->unanswered;
        mv->done = MIN(m->stepped.received, mv->parcel->len);
        timer_mod(mv->timer, get_clock() / SCALE_MS + RIOD_MOVE_ANSWER_MS);
        send_pieces(mv);
    }
    happens(mv, RIOD_MOVE_SAYS_NONE + m->stepped.phase, NULL);
}

void riod_moves_peer_ready(RiodPeer *peer)
{
    RiodMove *mv, *next;

    QTAILQ_FOREACH_SAFE(mv, &moves, node, next) {
        if (mv->peer == peer) {
            happens(mv, RIOD_MOVE_BACK, NULL);
        }
    }
}

void riod_moves_peer_lost(RiodPeer *peer)
{
    g_autofree char *text = g_strdup_printf("the connection to server %s was "
                                            "lost", peer->id);
    RiodMove *mv, *next;

    QTAILQ_FOREACH_SAFE(mv, &moves, node, next) {
        if (mv->peer == peer) {
            mv->valid = mv->seq + 1;
            happens(mv, RIOD_MOVE_LOST, text);
        }
    }
}

/* --- from this side --- */

static RiodMove *find_running(const char *module)
{
    RiodMove *mv;

    QTAILQ_FOREACH(mv, &moves, node) {
        if (!mv->ended && g_str_equal(mv->module, module)) {
            return mv;
        }
    }
    return NULL;
}

static RiodPeer *check_peer(const char *server, RioError *err)
{
    RiodPeer *peer = riod_peer_find(server);

    if (!peer) {
        rio_error_set(err, RIO_STATUS_UNKNOWN_SERVER, "server '%.60s' has no "
                      "peer '%.60s': name it with --peer",
                      riod_config.server_name, server);
        return NULL;
    }
    if (!peer->conn) {
        rio_error_set(err, RIO_STATUS_UNREACHABLE, "server %.60s at %.60s is "
                      "not connected: %.100s", peer->id, peer->text,
                      peer->trouble ?: "it was not reached yet");
        return NULL;
    }
    if (!(rio_link_caps(peer->conn->link) & RIO_CAP_MOVE)) {
        rio_error_set(err, RIO_STATUS_UNSUPPORTED, "server %.60s cannot take "
                      "modules: it is older", peer->id);
        return NULL;
    }
    return peer;
}

static bool check_instance(RiodInstance *inst, RioError *err)
{
    Error *local_err = NULL;

    if (qatomic_read(&inst->waits)) {
        return rio_error_set(err, RIO_STATUS_MODULE_BUSY, "module '%.60s' is "
                             "not here: it waits for one that moves in",
                             inst->id);
    }
    if (inst->moving) {
        return rio_error_set(err, RIO_STATUS_MODULE_BUSY, "module '%.60s' "
                             "moves already", inst->id);
    }
    if (riod_journal_keeps(inst->type)) {
        /* After a crash it would go on from there, and at the target, too */
        return rio_error_set(err, RIO_STATUS_UNSUPPORTED, "module '%.60s' is "
                             "kept in the journal, and does not move",
                             inst->id);
    }
    if (!riod_state_possible(inst, &local_err)) {
        rio_error_set(err, RIO_STATUS_UNSUPPORTED, "%.230s",
                      error_get_pretty(local_err));
        error_free(local_err);
        return false;
    }
    return true;
}

static bool start(RiodInstance *inst, const char *server, const char *as,
                  RiodMove **out, RioError *err)
{
    RiodPeer *peer = check_peer(server, err);
    uint8_t id[RIO_UUID_SIZE];
    RiodMove *mv;

    if (!peer || !check_instance(inst, err)) {
        return false;
    }
    if (qcrypto_random_bytes(id, sizeof(id), NULL) < 0) {
        return rio_error_set(err, RIO_STATUS_IO, "no random numbers");
    }
    forget_old_ones();
    mv = g_new0(RiodMove, 1);
    memcpy(mv->id, id, sizeof(id));
    mv->module = g_strdup(inst->id);
    mv->as = g_strdup(as && *as ? as : inst->id);
    mv->to = g_strdup(peer->id);
    mv->peer = riod_peer_ref(peer);
    mv->inst = riod_instance_ref(inst);
    mv->number = ++last_number;
    mv->timer = aio_timer_new(riod_home_default()->ctx, QEMU_CLOCK_REALTIME,
                              SCALE_MS, answer_is_late, mv);
    inst->moving = true;
    QTAILQ_INSERT_TAIL(&moves, mv, node);
    num_moves++;
    trace_riod_move_source(mv->module, peer->id, state_name(mv->state));
    *out = mv;
    send_offer(mv);
    return true;
}

bool riod_move_start(const char *module, const char *server, const char *as,
                     RioError *err)
{
    RiodInstance *inst = riod_instance_find(module, err);
    RiodMove *mv;
    bool ok;

    if (!inst) {
        return false;
    }
    ok = start(inst, server, as, &mv, err);
    riod_instance_unref(inst);
    return ok;
}

bool riod_move_cancel(const char *module, RioError *err)
{
    RiodMove *mv = find_running(module);

    if (!mv) {
        return rio_error_set(err, RIO_STATUS_UNKNOWN_MODULE, "no module "
                             "'%.60s' is moving", module);
    }
    happens(mv, RIOD_MOVE_GIVE_UP, "it was cancelled");
    if (!riod_move_may_act(mv->state)) {
        return rio_error_set(err, RIO_STATUS_MODULE_BUSY, "module '%.60s' is "
                             "server %.60s's already: it is too late",
                             module, mv->to);
    }
    return true;
}

void riod_moves_foreach(void (*fn)(const RiodMoveInfo *, void *),
                        void *opaque)
{
    RiodMove *mv;

    QTAILQ_FOREACH(mv, &moves, node) {
        RiodMoveInfo info = {
            .module = mv->module, .server = mv->to, .as = mv->as,
            .state = mv->state,
            .trouble = mv->state == RIOD_MOVE_FAILED ? mv->trouble : NULL,
            .done = mv->done, .total = mv->total,
            .blackout_ns = mv->ended || !mv->stopped_ns ? mv->blackout_ns :
                           get_clock() - mv->stopped_ns,
        };

        fn(&info, opaque);
    }
}

/* --- from the client --- */

/* Who moves a module moves it for all; so nobody else may have it */
static bool check_alone(RiodInstance *inst, RioError *err)
{
    unsigned n = 0;

    riod_tables_lock();
    for (unsigned i = 0; i < inst->max_clients; i++) {
        n += inst->clients[i] != NULL;
    }
    riod_tables_unlock();
    return n == 1 ||
           rio_error_set(err, RIO_STATUS_DENIED, "module '%.60s' has %u "
                         "clients: its server moves it, by QMP", inst->id, n);
}

static void request_start(RiodSession *s, const RioMessage *m)
{
    RiodMove *mv;
    RioError err;

    if (!check_alone(s->inst, &err) ||
        !start(s->inst, m->move.server, m->move.module, &mv, &err)) {
        tell(s, m->tag, NULL, &err);
        return;
    }
    mv->client = riod_session_ref(s);
    mv->client_tag = m->tag;
}

static void request_run(RiodTask *task)
{
    TellTask *t = container_of(task, TellTask, task);
    RiodSession *s = t->session;
    RiodMove *mv;

    if (t->message.move.kind == RIO_MOVE_START) {
        request_start(s, &t->message);
    } else {
        mv = find_running(s->inst->id);
        if (mv && t->message.move.kind == RIO_MOVE_CANCEL) {
            happens(mv, RIOD_MOVE_GIVE_UP, "its client cancelled it");
        }
        tell(s, t->message.tag, mv, NULL);
    }
    riod_session_unref(s);
    g_free(t);
}

void riod_move_requested(RiodSession *s, const RioMessage *m)
{
    TellTask *t = g_new0(TellTask, 1);

    t->task.run = request_run;
    t->session = riod_session_ref(s);
    t->message = *m;
    t->message.payload = (RioBytes) { NULL, 0 };
    riod_home_post(riod_home_default(), &t->task);
}
