/*
 * remote-io-server: sessions, the bond between a VM's device and a module
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "crypto/random.h"
#include "filter.h"
#include "trace.h"

static QLIST_HEAD(, RiodSession) sessions = QLIST_HEAD_INITIALIZER(sessions);

RiodSession *riod_session_ref(RiodSession *s)
{
    qatomic_inc(&s->refs);
    return s;
}

void riod_session_unref(RiodSession *s)
{
    if (qatomic_fetch_dec(&s->refs) > 1) {
        return;
    }
    rio_session_free(s->rio);
    riod_vm_put(s->client, s->vm);
    riod_client_put(s->client);
    riod_connection_unref(s->conn);
    riod_instance_unref(s->inst);
    g_free(s->irqs.messages);
    riod_recipes_free(s);
    riod_talk_free(s);
    g_free(s);
}

/* --- interrupts --- */

void riod_session_irq_level(RiodSession *s, unsigned line, bool level)
{
    RiodIrqs *irqs = &s->irqs;
    uint32_t bit = 1u << line;

    if (!(irqs->level & bit) == !level) {
        return;
    }
    trace_riod_irq_level(s->inst->id, s->ids.vm, line, level);
    irqs->level ^= bit;
    if (!((irqs->level ^ irqs->told) & bit)) {
        irqs->pulsed |= bit;
    }
    riod_session_mark_dirty(s);
}

void riod_session_irq_message(RiodSession *s, unsigned vector)
{
    RiodIrqs *irqs = &s->irqs;

    trace_riod_irq_message(s->inst->id, s->ids.vm, vector);
    if (!test_and_set_bit(vector, irqs->messages)) {
        irqs->num_messages++;
    }
    riod_session_mark_dirty(s);
}

void riod_session_irq_drop(RiodSession *s)
{
    riod_late_drop_irqs(s, 0);
    if (s->irqs.num_messages) {
        bitmap_zero(s->irqs.messages, riod_instance_vectors(s->inst));
        s->irqs.num_messages = 0;
    }
    for (unsigned line = 0; line < s->inst->desc.lines; line++) {
        riod_session_irq_level(s, line, false);
    }
}

void riod_session_irq_load(RiodSession *s, uint32_t level,
                           const uint8_t *messages)
{
    RiodIrqs *irqs = &s->irqs;

    riod_late_drop_irqs(s, level);
    irqs->level = level;
    irqs->pulsed = 0;
    irqs->num_messages = 0;
    for (unsigned i = 0; i < riod_instance_vectors(s->inst); i++) {
        if (messages[i / 8] & (1 << (i % 8))) {
            set_bit(i, irqs->messages);
            irqs->num_messages++;
        } else {
            clear_bit(i, irqs->messages);
        }
    }
    riod_session_mark_dirty(s);
}

void riod_session_mark_dirty(RiodSession *s)
{
    riod_journal_touch(s->inst);
    riod_journal_touch_session(s);
    if (!s->dirty) {
        s->dirty = true;
        riod_session_ref(s);
        QSIMPLEQ_INSERT_TAIL(&s->inst->home->dirty, s, dirty_next);
        riod_home_stir(s->inst->home);
    }
}

static bool log_has_room(const RiodSession *s)
{
    return rio_session_log_bytes(s->rio) < s->log_limit - RIOD_LOG_RESERVE;
}

bool riod_session_log_room_locked(const RiodSession *s, size_t size)
{
    return rio_session_log_bytes(s->rio) + size <=
           s->log_limit - 2 * RIOD_LOG_RESERVE;
}

static bool push_level(RiodSession *s, unsigned line)
{
    RIO_UNINITIALIZED RioMessage m;

    if (!log_has_room(s)) {
        return false;
    }
    rio_message_init(&m, RIO_OP_IRQ_LEVEL, 0, 0);
    m.irq_level.line = line;
    m.irq_level.level = !(s->irqs.told & (1u << line));
    if (!rio_session_send(s->rio, &m)) {
        return false;
    }
    s->irqs.told ^= 1u << line;
    s->interrupts++;
    return true;
}

/*
 * A line that went away and came back is told as such: an edge must not get
 * lost between two equal states.
 */
static bool push_line(RiodSession *s, unsigned line)
{
    RiodIrqs *irqs = &s->irqs;
    uint32_t bit = 1u << line;

    if (irqs->pulsed & bit) {
        if (!((irqs->level ^ irqs->told) & bit) && !push_level(s, line)) {
            return false;
        }
        irqs->pulsed &= ~bit;
    }
    return !((irqs->level ^ irqs->told) & bit) || push_level(s, line);
}

static bool push_message(RiodSession *s, unsigned vector)
{
    RIO_UNINITIALIZED RioMessage m;

    if (!log_has_room(s)) {
        return false;
    }
    rio_message_init(&m, RIO_OP_IRQ_MESSAGE, 0, 0);
    m.irq_message.kind = vector < s->inst->desc.msix_vectors ? RIO_IRQ_MSIX
                                                             : RIO_IRQ_MSI;
    m.irq_message.vector = vector;
    if (!rio_session_send(s->rio, &m)) {
        return false;
    }
    clear_bit(vector, s->irqs.messages);
    s->irqs.num_messages--;
    s->interrupts++;
    return true;
}

static bool push_all(RiodSession *s)
{
    RiodIrqs *irqs = &s->irqs;
    uint32_t lines = (irqs->level ^ irqs->told) | irqs->pulsed;
    unsigned vectors = riod_instance_vectors(s->inst);
    unsigned long vector;

    for (; lines; lines &= lines - 1) {
        if (!push_line(s, ctz32(lines))) {
            return false;
        }
    }
    while (irqs->num_messages) {
        vector = find_first_bit(irqs->messages, vectors);
        if (!push_message(s, vector)) {
            return false;
        }
    }
    return true;
}

bool riod_session_push_locked(RiodSession *s)
{
    uint64_t before = s->interrupts;
    bool unsent;

    if (unlikely(s->quiet || s->inst->stops)) {
        s->want_room = s->gate_job;     /* marked dirty when it goes on */
    } else {
        s->want_room = !riod_session_push_recipes_locked(s) ||
                       !push_all(s) || s->gate_job;
    }
    unsent = s->unsent || s->interrupts != before;
    s->unsent = false;
    if (unsent) {
        riod_journal_touch(s->inst);
        riod_journal_touch_session(s);
    }
    return unsent;
}

void riod_session_room_locked(RiodSession *s)
{
    riod_session_push_locked(s);
    riod_dma_room(s);
}

void riod_session_reply(RiodSession *s, RioMessage *m)
{
    RioError err;

    if (unlikely(s->dirty)) {
        riod_session_push_locked(s);
    }
    if (unlikely(!rio_session_send(s->rio, m)) && !s->broken) {
        s->broken = true;
        rio_error_set(&err, RIO_STATUS_LIMIT, "%s of device %s: %zu bytes "
                      "were not acknowledged, there is no room for %s",
                      s->inst->id, s->device, rio_session_log_bytes(s->rio),
                      rio_op_name(m->op));
        riod_session_bad_locked(s, &err);
    }
}

/* --- a client that breaks the rules, or its promise --- */

typedef struct BadTask {
    RiodTask task;
    RiodSession *session;
    RioError err;
} BadTask;

static void bad_task_run(RiodTask *task)
{
    BadTask *t = container_of(task, BadTask, task);

    riod_session_end(t->session, t->err.status, t->err.text);
    riod_session_unref(t->session);
    g_free(t);
}

/* Not at once: whoever found out is in the middle of something */
static void session_end_later(RiodSession *s, const RioError *err)
{
    BadTask *t = g_new(BadTask, 1);

    t->task.run = bad_task_run;
    t->session = riod_session_ref(s);
    t->err = *err;
    riod_home_post(s->inst->home, &t->task);
}

void riod_session_bad_locked(RiodSession *s, const RioError *err)
{
    if (!riod_connection_is_forwarder(s->conn)) {
        riod_connection_bad_locked(s->conn, err);
        return;
    }
    s->broken = true;
    if (riod_rate_allows(&s->conn->rate, s->inst->id)) {
        riod_log("%s: device %s of VM %s (client %s): %s", s->inst->id,
                 s->device, s->vm->name, s->client->name, err->text);
    }
    session_end_later(s, err);
}

bool riod_session_vm_is_claimed_locked(const RiodClient *client,
                                       const char *name, const uint8_t *uuid)
{
    RioError err;
    RiodSession *s;

    rio_error_set(&err, RIO_STATUS_STALE_EPOCH,
                  "the virtual machine was started again");
    QLIST_FOREACH(s, &sessions, node) {
        if (s->client == client && g_str_equal(s->vm->name, name) &&
            memcmp(s->vm->uuid, uuid, RIO_UUID_SIZE)) {
            if (!qatomic_read(&s->lost)) {
                return true;
            }
            session_end_later(s, &err);
        }
    }
    return false;
}

/* --- opening --- */

static void session_put_in_tables(RiodSession *s)
{
    riod_tables_lock();
    s->inst->clients[s->slot] = s;
    QLIST_INSERT_HEAD(&sessions, s, node);
    riod_tables_unlock();
}

void riod_session_begin_locked(RiodSession *s, const RioMessage *attach)
{
    RioMessage m;

    if (s->conn->closed || s->conn->closing) {
        return;
    }
    rio_message_init(&m, RIO_OP_ATTACH_REPLY, 0, attach->tag);
    m.ids = s->ids;
    m.epoch = 1;
    memcpy(m.attached.token, rio_session_token(s->rio), RIO_TOKEN_SIZE);
    m.attached.caps = s->caps;
    m.attached.log_limit = s->log_limit;
    m.attached.max_outstanding = RIOD_MAX_OUTSTANDING;
    m.payload.data = s->inst->encoded_desc;
    m.payload.len = s->inst->encoded_desc_len;
    riod_connection_control_locked(s->conn, &m);
    rio_link_add_session(s->conn->link, s->rio);
}

static void session_accept_files(const RiodSession *s, RiodConnection *conn)
{
    if (s->caps & rio_link_caps(conn->link) & RIO_CAP_SHM) {
        rio_transport_accept_files(conn->transport);
    }
}

static RiodSession *session_new(RiodInstance *inst, unsigned slot,
                                RiodConnection *conn, RiodClient *client,
                                RiodVM *vm)
{
    RiodSession *s = g_new0(RiodSession, 1);

    s->refs = 1;
    s->inst = riod_instance_ref(inst);
    s->slot = slot;
    s->ids.client = client->id;
    s->ids.vm = vm->id;
    s->ids.server = riod_config.server_id;
    s->ids.module = inst->number;
    s->client = client;
    s->vm = vm;
    s->conn = riod_connection_ref(conn);
    QSIMPLEQ_INIT(&s->recipes);
    QTAILQ_INIT(&s->waiting);
    QTAILQ_INIT(&s->doorbells);
    qemu_co_mutex_init(&s->gate);
    qemu_co_mutex_init(&s->credit);
    qemu_co_mutex_init(&s->fence_lock);
    s->irqs.messages = bitmap_new(riod_instance_vectors(inst));
    s->hold = inst->holds;
    return s;
}

/*
 * The ids tell the sessions of one connection apart.  A machine that attaches
 * a module twice over a forwarder gets another number for the module.
 */
static void session_join_locked(RiodSession *s, RiodConnection *conn)
{
    static uint32_t alias;

    s->label.session = s;
    s->label.ids = s->ids;
    while (!riod_label_add_locked(conn, &s->label)) {
        s->ids.module = (1u << 31) | qatomic_fetch_inc(&alias);
        s->label.ids = s->ids;
    }
    if (memcmp(&s->ids, rio_session_ids(s->rio), sizeof(s->ids)) &&
        rio_session_state(s->rio) != RIO_SESSION_NEW) {
        rio_session_set_ids(s->rio, &s->ids);
    }
}

/* What goes by message can be kept until it is committed; memory cannot */
static uint64_t session_caps(const RiodInstance *inst, uint64_t caps)
{
    return inst->journal ? caps & ~RIO_CAP_SHM : caps;
}

RiodSession *riod_session_open(RiodInstance *inst, unsigned slot,
                               RiodConnection *conn, const RioMessage *attach,
                               RioError *err)
{
    uint8_t token[RIO_TOKEN_SIZE];
    Error *local_err = NULL;
    RiodClient *client;
    RiodSession *s;
    RiodVM *vm;

    if (qcrypto_random_bytes(token, sizeof(token), &local_err) < 0) {
        rio_error_set(err, RIO_STATUS_IO, "no random numbers: %s",
                      error_get_pretty(local_err));
        error_free(local_err);
        return NULL;
    }
    client = riod_client_of(conn, attach, err);
    if (!client) {
        return NULL;
    }
    vm = riod_vm_get(client, attach->attach.vm, attach->attach.vm_uuid, err);
    if (!vm) {
        riod_client_put(client);
        return NULL;
    }
    s = session_new(inst, slot, conn, client, vm);
    s->rio = rio_session_new(RIO_SIDE_SERVER);
    s->max_message = rio_link_max_message(conn->link);
    session_join_locked(s, conn);
    memcpy(s->device, attach->attach.device, sizeof(s->device));
    s->caps = session_caps(inst, attach->attach.caps &
                                 rio_link_caps(conn->link));
    if (!inst->saver) {
        s->caps &= ~RIO_CAP_STATE;
    }
    s->log_limit = s->caps & RIO_CAP_DMA ? RIOD_DMA_LOG : RIO_DEFAULT_LOG;
    rio_session_start(s->rio, &s->ids, 1, token, s->log_limit);
    session_accept_files(s, conn);
    session_put_in_tables(s);
    riod_session_ref(s);
    QLIST_INSERT_HEAD(&conn->sessions, s, on_conn);
    return s;
}

/* --- losing, resuming, ending --- */

static void session_stop_lease(RiodSession *s)
{
    timer_free(s->lease);
    s->lease = NULL;
    qatomic_set(&s->lost, false);
}

/* Off its connection, whose lock is held */
static bool session_leave_locked(RiodSession *s, RiodConnection *conn)
{
    bool there = QLIST_IS_INSERTED(s, on_conn);

    if (there) {
        QLIST_SAFE_REMOVE(s, on_conn);
        riod_label_remove_locked(conn, &s->label);
        rio_link_remove_session(conn->link, s->rio);
    }
    return there;
}

static void session_tell_gone(RiodSession *s, RiodConnection *conn,
                              uint8_t status, const char *reason)
{
    RioMessage m;

    rio_message_init(&m, RIO_OP_SESSION_GONE, 0, 0);
    m.ids = s->ids;
    m.epoch = rio_session_epoch(s->rio);
    riod_set_reason(&m, status, reason);
    riod_connection_control_locked(conn, &m);
}

void riod_session_end(RiodSession *s, uint8_t status, const char *reason)
{
    RiodConnection *conn = s->conn;
    RiodInstance *inst = s->inst;
    bool there;

    if (s->ended) {
        return;
    }
    s->ended = true;
    session_stop_lease(s);
    WITH_QEMU_LOCK_GUARD(&conn->lock) {
        there = session_leave_locked(s, conn);
        rio_session_close(s->rio);
        if (there && reason) {
            session_tell_gone(s, conn, status, reason);
            riod_connection_send_locked(conn);
        }
    }
    riod_tables_lock();
    inst->clients[s->slot] = NULL;
    QLIST_REMOVE(s, node);
    riod_tables_unlock();
    trace_riod_session_end(inst->id, s->client->name, s->vm->name, s->device,
                           reason ?: "");
    riod_talk_end(s);
    riod_dma_end(s);
    riod_late_end(s);
    riod_share_drop(s);
    riod_doorbells_clear(s);
    if (inst->type->detach) {
        inst->type->detach(&inst->dev, inst->state, s->slot);
    }
    riod_journal_touch(inst);
    riod_journal_remove(s);
    riod_event_detached(s);
    if (there) {
        riod_session_unref(s);
    }
    riod_session_unref(s);
}

static void lease_over(void *opaque)
{
    RiodSession *s = opaque;

    riod_log("%s: client %s did not come back for device %s of VM %s in "
             "%" PRId64 " ms, detached", s->inst->id, s->client->name,
             s->device, s->vm->name, riod_config.lease_ms);
    riod_session_end(s, RIO_STATUS_TIMEOUT, NULL);
}

void riod_session_lost(RiodSession *s, RiodConnection *conn)
{
    if (s->ended || s->conn != conn) {
        return;
    }
    riod_share_drop(s);         /* who cannot ask for it back has it back */
    if (s->broken || !riod_config.lease_ms) {
        riod_session_end(s, RIO_STATUS_LIMIT, NULL);
        return;
    }
    trace_riod_session_lost(s->inst->id, s->client->name, s->vm->name,
                            s->device);
    qatomic_set(&s->lost, true);
    if (!s->lease) {
        s->lease = aio_timer_new(s->inst->home->ctx, QEMU_CLOCK_REALTIME,
                                 SCALE_MS, lease_over, s);
    }
    timer_mod(s->lease, get_clock() / SCALE_MS + riod_config.lease_ms);
}

static bool adopt_check(const RioSession *rio, RioError *err)
{
    if (!riod_config.lease_ms) {
        return rio_error_set(err, RIO_STATUS_UNSUPPORTED, "server '%.90s' "
                             "holds no session whose client is away: start "
                             "it with a --session-lease",
                             riod_config.server_name);
    }
    return rio_session_log_limit(rio) >= RIO_DEFAULT_LOG ||
           rio_error_set(err, RIO_STATUS_UNSUPPORTED, "the log limit of a "
                         "session is %u, here it is at least %u",
                         rio_session_log_limit(rio), RIO_DEFAULT_LOG);
}

RiodSession *riod_session_adopt(RiodInstance *inst,
                                const RiodSessionOrigin *origin,
                                RioSession *rio, RioError *err)
{
    RiodConnection *nowhere = riod_connection_nowhere();
    RiodClient *client = riod_client_get(origin->client, origin->client_uuid,
                                         false, err);
    RiodVM *vm = client ? riod_vm_get(client, origin->vm, origin->vm_uuid,
                                      err) : NULL;
    RiodSession *s = NULL;

    if (vm && adopt_check(rio, err)) {
        s = session_new(inst, origin->slot, nowhere, client, vm);
        s->rio = rio;
        s->ids = s->label.ids = *rio_session_ids(rio);
        s->label.session = s;
        s->adopted = true;
        s->caps = origin->caps;
        s->log_limit = rio_session_log_limit(rio);
        s->max_message = MIN(MAX(origin->max_message, RIO_MIN_MAX_MESSAGE),
                             RIO_MAX_MESSAGE);
        g_strlcpy(s->device, origin->device, sizeof(s->device));
        session_put_in_tables(s);
        if (inst->type->attach) {
            inst->type->attach(&inst->dev, inst->state, s->slot);
        }
        riod_session_lost(s, nowhere);
    } else {
        rio_session_free(rio);
        if (vm) {
            riod_vm_put(client, vm);
        }
        riod_client_put(client);
    }
    riod_connection_unref(nowhere);
    return s;
}

/* Different, whatever the place of the first difference, in the same time */
static bool token_matches(const uint8_t *a, const uint8_t *b)
{
    uint8_t difference = 0;

    for (unsigned i = 0; i < RIO_TOKEN_SIZE; i++) {
        difference |= a[i] ^ b[i];
    }
    return !difference;
}

RiodSession *riod_session_find(const RioMessage *resume, RiodClient *client)
{
    RiodSession *s, *found = NULL;

    riod_tables_lock();
    QLIST_FOREACH(s, &sessions, node) {
        if ((!client || s->client == client) &&
            !qatomic_read(&s->inst->waits) && !s->inst->forgotten &&
            token_matches(rio_session_token(s->rio), resume->resume.token)) {
            found = riod_session_ref(s);
            break;
        }
    }
    riod_tables_unlock();
    return found;
}

static void refuse_resume(RiodConnection *conn, const RioMessage *resume,
                          const RioError *err)
{
    RioMessage m;

    rio_message_init(&m, RIO_OP_RESUME_REPLY, 0, resume->tag);
    m.ids = resume->ids;
    m.epoch = resume->epoch;
    riod_set_reason(&m, err->status, err->text);
    riod_connection_control_locked(conn, &m);
}

/*
 * Both locks held: what is under way to the module of @s counts for @conn from
 * now on, so that nobody else would see @old fall below its limit.
 */
static void session_move_queue(RiodSession *s, RiodConnection *old,
                               RiodConnection *conn)
{
    old->queued -= s->queued;
    conn->queued += s->queued;
    if (old->paused && old->queued <= RIOD_QUEUE_LOW) {
        riod_connection_wake_locked(old);
    }
    if (conn->queued >= RIOD_QUEUE_HIGH &&
        !riod_connection_is_forwarder(conn)) {
        conn->paused = true;
        riod_connection_wake_locked(conn);
    }
}

/*
 * Whether it can be on @conn by ids that the client knows, or takes.  One that
 * was opened elsewhere has those that RESUME names.
 */
static bool session_ids_fit_locked(RiodSession *s, RiodConnection *conn,
                                   const RioMessage *resume)
{
    const RioIds *ids = s->adopted && !resume->hops ? &resume->ids : &s->ids;
    RiodLabel *other = riod_label_find_locked(conn, ids);

    if (other && other != &s->label) {
        return s->adopted && rio_link_caps(conn->link) & RIO_CAP_MOVE;
    }
    if (s->adopted && !QLIST_IS_INSERTED(s, on_conn)) {
        s->ids = *ids;
    }
    return true;
}

/* Both locks held */
static bool session_take_over(RiodSession *s, RiodConnection *old,
                              RiodConnection *conn, const RioMessage *resume)
{
    RioMessage m;
    RioError err;
    bool there;

    if (s->broken) {
        rio_error_set(&err, RIO_STATUS_UNKNOWN_SESSION,
                      "the session lost a reply for which its log had no "
                      "room: attach again");
        refuse_resume(conn, resume, &err);
        return false;
    }
    there = QLIST_IS_INSERTED(s, on_conn);
    if (!session_ids_fit_locked(s, conn, resume)) {
        rio_error_set(&err, RIO_STATUS_UNKNOWN_SESSION, "another session of "
                      "this connection has these ids");
        refuse_resume(conn, resume, &err);
        return false;
    }
    if (!rio_session_resume(s->rio, resume->epoch, resume->resume.received,
                            &err)) {
        refuse_resume(conn, resume, &err);
        return false;
    }
    /* What waits for its turn comes again, or credits would count it twice */
    rio_session_drop_held(s->rio);
    riod_share_drop(s);         /* a table ends with its connection */
    session_accept_files(s, conn);
    session_move_queue(s, old, conn);
    session_leave_locked(s, old);
    session_join_locked(s, conn);
    rio_message_init(&m, RIO_OP_RESUME_REPLY, 0, resume->tag);
    m.ids = s->ids;
    m.epoch = resume->epoch;
    m.resume.received = rio_session_acknowledged(s->rio);
    riod_connection_control_locked(conn, &m);
    rio_link_add_session(conn->link, s->rio);
    QLIST_INSERT_HEAD(&conn->sessions, s, on_conn);
    s->conn = conn;
    conn->awaited |= s->want_room;
    s->max_message = rio_link_max_message(conn->link);
    if (!there) {
        riod_session_ref(s);
    }
    return true;
}

static void say_stale(RiodSession *s, RiodConnection *old)
{
    if (old->closed) {
        return;
    }
    if (!g_hash_table_size(old->labels) &&
        !riod_connection_is_forwarder(old)) {
        riod_connection_bye_locked(old, RIO_STATUS_STALE_EPOCH,
                                   "the session goes on on another "
                                   "connection");
    } else {
        session_tell_gone(s, old, RIO_STATUS_STALE_EPOCH,
                          "the session goes on on another connection");
        riod_connection_send_locked(old);
    }
}

static void lock_two(RiodConnection *a, RiodConnection *b)
{
    if (a->number > b->number) {
        RiodConnection *c = a;

        a = b;
        b = c;
    }
    qemu_mutex_lock(&a->lock);
    if (a != b) {
        qemu_mutex_lock(&b->lock);
    }
}

static void unlock_two(RiodConnection *a, RiodConnection *b)
{
    qemu_mutex_unlock(&a->lock);
    if (a != b) {
        qemu_mutex_unlock(&b->lock);
    }
}

void riod_session_resume(RiodSession *s, RiodConnection *conn,
                         const RioMessage *resume)
{
    RiodConnection *old = s->conn;
    bool done = false;

    lock_two(old, conn);
    if (!conn->closed && !conn->closing) {
        done = session_take_over(s, old, conn, resume);
        if (done && old != conn) {
            riod_connection_ref(conn);
            say_stale(s, old);
        }
        riod_session_push_locked(s);
        riod_connection_send_locked(conn);
    }
    unlock_two(old, conn);
    if (done) {
        trace_riod_session_resume(s->inst->id, s->client->name, s->vm->name,
                                  s->device, resume->epoch);
        session_stop_lease(s);
        s->resumes++;
        riod_log("%s: device %s of VM %s (client %s) is back, from %s",
                 s->inst->id, s->device, s->vm->name, s->client->name,
                 conn->peer);
    }
    if (done && old != conn) {
        riod_connection_unref(old);
    }
}
