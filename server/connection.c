/*
 * remote-io-server: the life of one connection
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A connection is read by one home at a time.  All messages of one receive
 * are handled under one hold of the lock, and what they gave rise to leaves
 * in one send: a reply and the interrupts before it are one frame.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/main-loop.h"
#include "directory.h"
#include "filter.h"
#include "forward.h"
#include "trace.h"

/* Time that is left for a last message to get out */
#define LINGER_MS 500

/*
 * After an answer the next request of a busy client is only microseconds
 * away: ask the socket again for so long before going back to the event
 * loop.  A client that is not so quick turns this off for a while.
 */
#define SPIN_NS 12000
#define SPIN_CREDIT_MAX 64

/* Messages in a row before others of this home have their turn */
#define SPIN_TURNS 32

/*
 * Polls in vain until a connection counts as quiet; of a quiet one, one poll
 * in so many asks the kernel
 */
#define POLL_QUIET 64
#define POLL_SELDOM 16

/*
 * Between two polls the processor is offered to others.  One that keeps it for
 * so long is not waiting for us: offer it no more for a while.
 */
#define YIELD_MAX_NS SCALE_MS
#define YIELD_PAUSE_NS (20 * SCALE_MS)

/* Turns of a connection alone in its home until it may spin (again) */
#define CROWD_TURNS 16

/*
 * Messages without a place in a log that a peer may leave unread.  Behind one
 * that speaks for others thousands may come back in the same moment.
 */
#define MAX_UNREAD 1024u
#define MAX_UNREAD_SHARED (2 * RIOD_MAX_ASKS_FORWARDER)

typedef struct ConnTask {
    RiodTask task;
    RiodConnection *conn;
    RiodSession *session;
    bool left;
} ConnTask;

static void conn_close(RiodConnection *conn);

static int64_t now_ms(void)
{
    return get_clock() / SCALE_MS;
}

RiodConnection *riod_connection_ref(RiodConnection *conn)
{
    qatomic_inc(&conn->refs);
    return conn;
}

void riod_connection_unref(RiodConnection *conn)
{
    if (!conn || qatomic_fetch_dec(&conn->refs) > 1) {
        return;
    }
    assert(QLIST_EMPTY(&conn->sessions) && !conn->started);
    rio_link_free(conn->link);
    g_hash_table_destroy(conn->labels);
    riod_client_put(conn->client);
    error_free(conn->rx_error);
    g_free(conn->last_words);
    qemu_mutex_destroy(&conn->lock);
    g_free(conn->peer);
    g_free(conn->label);
    g_free(conn);
}

char *riod_connection_describe_locked(RiodConnection *conn)
{
    const char *name = rio_link_peer_name(conn->link);

    if (conn->next_hop) {
        return g_strdup_printf("server %s (%s)", conn->next_hop->id,
                               conn->peer);
    }
    if (!*name) {
        return g_strdup_printf("client at %s", conn->peer);
    }
    return g_strdup_printf("client %s (%s)", name, conn->peer);
}

/* Why it ends.  Of a next hop peer.c says it, once for all attempts */
static void conn_blame_locked(RiodConnection *conn, const char *text)
{
    g_autofree char *who = riod_connection_describe_locked(conn);

    if (conn->next_hop) {
        g_free(conn->last_words);
        conn->last_words = g_strdup(text);
    } else {
        riod_log("%s: %s", who, text);
    }
}

/* --- sending --- */

static void conn_sent_all_locked(RiodConnection *conn)
{
    conn->unread = 0;
    if (unlikely(conn->awaited)) {
        conn->awaited = false;
        riod_sessions_drained_locked(conn);
    }
    if (unlikely(conn->blocked || conn->closing)) {
        conn->blocked = false;
        riod_connection_wake_locked(conn);
    }
}

/* The peer broke the rules: one line here, BYE there, and the end */
void riod_connection_bad_locked(RiodConnection *conn, const RioError *err)
{
    if (conn->closed || conn->closing) {
        return;
    }
    conn_blame_locked(conn, err->text);
    rio_link_bye(conn->link, err->status, err->text);
    conn->closing = true;
}

void riod_connection_control_locked(RiodConnection *conn, const RioMessage *m)
{
    bool shared = conn->next_hop || riod_connection_is_forwarder(conn);
    RioError err;

    if (conn->closed || conn->closing) {
        return;
    }
    if (conn->blocked &&
        ++conn->unread > (shared ? MAX_UNREAD_SHARED : MAX_UNREAD)) {
        rio_error_set(&err, RIO_STATUS_LIMIT, "it asks but does not read: %u "
                      "answers wait", conn->unread);
        riod_connection_bad_locked(conn, &err);
        return;
    }
    rio_link_send(conn->link, m);
}

void riod_connection_send_locked(RiodConnection *conn)
{
    struct iovec iov[16];
    Error *err = NULL;
    ssize_t sent;
    int n;

    if (conn->closed || unlikely(conn->cut)) {
        return;
    }
    while ((n = rio_link_tx(conn->link, iov, ARRAY_SIZE(iov))) > 0) {
        sent = rio_transport_send(conn->transport, iov, n, &err);
        if (sent == RIO_TRANSPORT_AGAIN) {
            conn->blocked = true;
            riod_connection_wake_locked(conn);
            return;
        }
        if (sent < 0) {
            trace_riod_connection_send_failed(conn->number,
                                              error_get_pretty(err));
            error_free(err);
            conn->closing = true;
            conn->blocked = false;
            break;
        }
        rio_link_tx_done(conn->link, sent, rio_transport_now_ms());
    }
    conn_sent_all_locked(conn);
}

void riod_connection_bye_locked(RiodConnection *conn, uint8_t status,
                                const char *reason)
{
    if (!conn->closed && !conn->closing) {
        rio_link_bye(conn->link, status, reason);
        conn->closing = true;
        riod_connection_send_locked(conn);
        riod_connection_wake_locked(conn);
    }
}

/* What is there is not sent, and what was sent may still arrive, or not */
void riod_connection_cut_locked(RiodConnection *conn, bool reset)
{
    struct linger now = { .l_onoff = 1 };

    if (conn->closed || conn->cut) {
        return;
    }
    if (reset) {
        setsockopt(rio_transport_fd(conn->transport), SOL_SOCKET, SO_LINGER,
                   &now, sizeof(now));
    }
    conn->cut = true;
    conn->closing = true;
    conn->blocked = false;
    riod_connection_wake_locked(conn);
}

void riod_connection_wake_locked(RiodConnection *conn)
{
    if (!conn->closed && conn->bh) {
        qemu_bh_schedule(conn->bh);
    }
}

/* --- messages --- */

/* A peer that leaves of its own will does not come back for its sessions */
static void conn_bye(RiodConnection *conn, const RioError *err)
{
    trace_riod_connection_bye(conn->number, err->text);
    if (conn->next_hop) {
        conn_blame_locked(conn, err->text);
    } else if (err->status == RIO_STATUS_OK ||
               err->status == RIO_STATUS_SHUTDOWN) {
        /* Those for whom a forwarder speaks may come back another way */
        conn->left = !riod_connection_is_forwarder(conn);
    } else {
        conn_blame_locked(conn, err->text);
    }
    conn->closing = true;
}

/* No lock is held while another connection's is */
static void conn_pass_on(RiodConnection *conn, const RioMessage *m,
                         void (*fn)(RiodConnection *, const RioMessage *))
{
    qemu_mutex_unlock(&conn->lock);
    fn(conn, m);
    qemu_mutex_lock(&conn->lock);
}

/* A filter may end it here */
static void conn_count_messages_locked(RiodConnection *conn)
{
    if (unlikely(riod_connections_filtered())) {
        riod_filter_count_messages(conn);
    }
}

/* Returns: false when tasks are ready, which come before the next message */
static bool conn_some_messages_locked(RiodConnection *conn)
{
    RioMessage *m = &conn->message;
    RIO_UNINITIALIZED RioError err;

    while (!conn->closing && !conn->paused) {
        if (unlikely(!QSIMPLEQ_EMPTY(&conn->home->ready))) {
            return false;
        }
        switch (rio_link_next(conn->link, m, &err)) {
        case RIO_NEXT_MESSAGE:
            if (unlikely(m->files)) {
                conn->files = riod_files_take(conn->transport);
            }
            if (unlikely(conn->next_hop)) {
                conn_pass_on(conn, m, riod_peer_message);
            } else {
                riod_deliver(conn, m);
            }
            if (unlikely(conn->files)) {
                riod_files_free(g_steal_pointer(&conn->files));
            }
            break;
        case RIO_NEXT_RELAY:
            conn_pass_on(conn, m, riod_route_message);
            break;
        case RIO_NEXT_BAD_SESSION:
            riod_deliver_bad(conn, m, &err);
            break;
        case RIO_NEXT_NONE:
            conn_count_messages_locked(conn);
            return true;
        case RIO_NEXT_CLOSED:
            conn_bye(conn, &err);
            break;
        case RIO_NEXT_BAD:
            riod_connection_bad_locked(conn, &err);
            break;
        }
        conn_count_messages_locked(conn);
    }
    return true;
}

/* Nobody takes those any more that came with another message, or with none */
static void conn_close_files(RiodConnection *conn)
{
    if (rio_transport_has_files(conn->transport) &&
        !rio_link_files_pending(conn->link)) {
        rio_transport_take_files(conn->transport, NULL);
    }
}

/*
 * Lock held; lets go of it for tasks: a doorbell's task is to find what came
 * with it before the next doorbell is rung.
 */
static void conn_messages_locked(RiodConnection *conn)
{
    while (unlikely(!conn_some_messages_locked(conn))) {
        qemu_mutex_unlock(&conn->lock);
        riod_jobs_run(conn->home);
        qemu_mutex_lock(&conn->lock);
    }
    conn_close_files(conn);
    riod_connection_send_locked(conn);
}

/* --- receiving --- */

/*
 * Ask the socket, for @poll_ns if not 0.  True when there is something to
 * handle: bytes, or the end.
 */
static bool conn_receive(RiodConnection *conn, int64_t poll_ns)
{
    size_t space;
    uint8_t *to = rio_link_rx_space(conn->link, &space);
    ssize_t n;

    if (poll_ns) {
        n = rio_transport_poll(conn->transport, to, space,
                               get_clock() + poll_ns, &conn->rx_error);
    } else {
        n = rio_transport_recv(conn->transport, to, space, &conn->rx_error);
    }
    if (n == RIO_TRANSPORT_AGAIN) {
        return false;
    }
    if (n > 0) {
        conn->rx_ready = n;
    } else {
        conn->rx_failed = true;
    }
    return true;
}

static void conn_rearm_tick(RiodConnection *conn)
{
    int64_t next = 0;
    RioError err;
    bool alive = true;

    WITH_QEMU_LOCK_GUARD(&conn->lock) {
        const RioLinkStats *stats = rio_link_stats(conn->link);

        alive = rio_link_tick(conn->link, now_ms(), &next, &err);
        riod_memory_tick(&conn->quiet, stats->rx_bytes + stats->tx_bytes);
        if (!alive) {
            conn_blame_locked(conn, err.text);
            conn->closing = true;
            conn->blocked = false;
        } else {
            riod_connection_send_locked(conn);
            alive = likely(!riod_connections_filtered()) ||
                    !riod_filter_cut_now(conn, now_ms(), &next);
        }
    }
    if (alive) {
        timer_mod(conn->tick, next);
    } else {
        conn_close(conn);
    }
}

/* Handle what conn_receive() found.  False when the connection is over. */
static bool conn_handle(RiodConnection *conn)
{
    bool over;

    riod_home_begin(conn->home);
    qemu_mutex_lock(&conn->lock);
    if (likely(conn->rx_ready)) {
        rio_link_received(conn->link, conn->rx_ready, rio_transport_now_ms());
        if (unlikely(rio_transport_got_files(conn->transport))) {
            rio_link_received_files(conn->link, conn->rx_ready);
        }
        conn->rx_ready = 0;
        conn_messages_locked(conn);
    }
    if (unlikely(conn->rx_failed)) {
        conn->closing = true;
        conn->blocked = false;
    }
    over = conn->closing && !conn->blocked;
    qemu_mutex_unlock(&conn->lock);
    if (conn->forwards) {
        riod_routes_flush();
    }
    if (unlikely(riod_home_has_work(conn->home))) {
        riod_home_flush(conn->home);
    }
    conn->home->in_run = false;
    return !over;
}

static bool conn_spin(RiodConnection *conn)
{
    if (conn->spin_credit <= 0 || conn->home->crowd || conn->paused ||
        g_hash_table_size(conn->home->jobs) ||
        qatomic_read(&conn->home->wanted)) {
        conn->spin_credit++;
        return false;
    }
    if (conn_receive(conn, SPIN_NS)) {
        conn->spin_credit = SPIN_CREDIT_MAX;
        return true;
    }
    conn->spin_credit -= SPIN_CREDIT_MAX / 4;
    return false;
}

/* Spinning for one connection is unfair where several are busy */
static void home_note(RiodHome *home, const RiodConnection *conn)
{
    if (home->last_conn != conn) {
        home->last_conn = conn;
        home->crowd = CROWD_TURNS;
    } else if (home->crowd) {
        home->crowd--;
    }
}

static void conn_ready(void *opaque);
static void conn_watch(RiodConnection *conn, bool read, bool write);

/* What filters held back has waited long enough */
static void conn_let_through(void *opaque)
{
    RiodConnection *conn = riod_connection_ref(opaque);

    conn->held = false;
    conn->let_through = true;
    conn_ready(conn);
    WITH_QEMU_LOCK_GUARD(&conn->lock) {
        riod_connection_wake_locked(conn);
    }
    riod_connection_unref(conn);
}

/* Returns: true when what was received is to wait.  Nothing more is read. */
static bool conn_is_held(RiodConnection *conn)
{
    int64_t ns;

    if (conn->let_through || !conn->rx_ready) {
        conn->let_through = false;
        return false;
    }
    WITH_QEMU_LOCK_GUARD(&conn->lock) {
        ns = riod_filter_received(conn, &conn->rx_ready);
        conn->rx_failed |= conn->cut;
    }
    if (!ns) {
        return false;
    }
    if (!conn->hold) {
        conn->hold = aio_timer_new(conn->home->ctx, QEMU_CLOCK_REALTIME,
                                   SCALE_NS, conn_let_through, conn);
    }
    conn->held = true;
    conn_watch(conn, false, conn->watch_write);
    timer_mod_ns(conn->hold, get_clock() + ns);
    return true;
}

/* The handshake is over: a forwarder may want to know of our modules */
static void conn_met(RiodConnection *conn)
{
    QEMU_LOCK_GUARD(&conn->lock);
    if (rio_link_state(conn->link) == RIO_LINK_READY &&
        rio_link_caps(conn->link) & RIO_CAP_ANNOUNCE &&
        riod_connection_is_forwarder(conn)) {
        riod_announce_subscribe_locked(conn);
    }
}

static void conn_ready(void *opaque)
{
    RiodConnection *conn = opaque;
    unsigned turns = SPIN_TURNS;

    if (!conn->started || conn->paused || conn->held) {
        return;
    }
    if (!conn->rx_ready && !conn->rx_failed && !conn_receive(conn, 0)) {
        return;
    }
    home_note(conn->home, conn);
    do {
        if (unlikely(riod_connections_filtered() || conn->let_through) &&
            conn_is_held(conn)) {
            return;
        }
        if (!conn_handle(conn)) {
            conn_close(conn);
            return;
        }
    } while (--turns && conn_spin(conn));
    if (unlikely(rio_link_pinged(conn->link) ||
                 rio_link_state(conn->link) != conn->tick_state)) {
        if (conn->next_hop && conn->tick_state == RIO_LINK_HELLO &&
            rio_link_state(conn->link) == RIO_LINK_READY) {
            riod_peer_ready(conn);
        }
        if (!conn->next_hop && conn->tick_state == RIO_LINK_HELLO) {
            conn_met(conn);
        }
        conn->tick_state = rio_link_state(conn->link);
        conn_rearm_tick(conn);
    }
}

/*
 * Who is to answer may be waiting for this processor: another server on the
 * same host, to which we forward, or which forwards to us.  But who only
 * computes would keep it for a whole slice, again and again.
 */
static void home_yield(RiodHome *home)
{
    int64_t now = get_clock();

    if (now >= home->yield_ns) {
        sched_yield();
        if (get_clock() - now > YIELD_MAX_NS) {
            home->yield_ns = now + YIELD_PAUSE_NS;
        }
    }
}

/*
 * One busy connection makes the event loop ask all of its home, again and
 * again.  Those that were quiet for long are asked now and then only; as soon
 * as nobody is busy they are waited for like any other descriptor.
 */
static bool conn_poll(void *opaque)
{
    RiodConnection *conn = opaque;

    if (conn->rx_ready || conn->rx_failed) {
        return true;
    }
    if (++conn->poll_misses > POLL_QUIET && conn->poll_misses % POLL_SELDOM) {
        return false;
    }
    if (!conn_receive(conn, 0)) {
        if (conn->home->last_conn == conn &&
            (conn->forwards || riod_connection_is_forwarder(conn))) {
            home_yield(conn->home);
        }
        return false;
    }
    conn->poll_misses = 0;
    return true;
}

static void conn_writable(void *opaque)
{
    RiodConnection *conn = opaque;

    WITH_QEMU_LOCK_GUARD(&conn->lock) {
        conn->blocked = false;
        riod_connection_send_locked(conn);
        riod_connection_wake_locked(conn);
    }
}

/* --- being woken, moving, starting and ending; all in the home --- */

static void conn_watch(RiodConnection *conn, bool read, bool write)
{
    aio_set_fd_handler(conn->home->ctx, rio_transport_fd(conn->transport),
                       read ? conn_ready : NULL, write ? conn_writable : NULL,
                       read ? conn_poll : NULL, read ? conn_ready : NULL,
                       conn);
    conn->watch_read = read;
    conn->watch_write = write;
}

static void conn_unwatch(RiodConnection *conn)
{
    conn_watch(conn, false, false);
    timer_free(conn->tick);
    conn->tick = NULL;
    timer_free(conn->hold);
    conn->hold = NULL;
    conn->started = false;
    WITH_QEMU_LOCK_GUARD(&conn->lock) {
        qemu_bh_delete(conn->bh);
        conn->bh = NULL;
    }
}

static void start_task_run(RiodTask *task)
{
    ConnTask *t = container_of(task, ConnTask, task);

    riod_connection_start(t->conn);
    riod_connection_unref(t->conn);
    g_free(t);
}

void riod_connection_post_start(RiodConnection *conn, RiodHome *home)
{
    ConnTask *t = g_new0(ConnTask, 1);

    t->task.run = start_task_run;
    t->conn = riod_connection_ref(conn);
    riod_home_post(home, &t->task);
}

static void conn_move(RiodConnection *conn, RiodHome *to)
{
    trace_riod_connection_move(conn->number, to->name ?: "worker");
    conn_unwatch(conn);
    WITH_QEMU_LOCK_GUARD(&conn->lock) {
        conn->home = to;
        conn->move_to = NULL;
    }
    riod_connection_post_start(conn, to);
}

/* Somebody changed a field that the home acts on */
static void conn_woken(void *opaque)
{
    RiodConnection *conn = opaque;
    RiodHome *to = NULL;
    bool over, closing, read, write;

    riod_home_begin(conn->home);
    qemu_mutex_lock(&conn->lock);
    if (conn->paused && conn->queued <= RIOD_QUEUE_LOW) {
        conn->paused = false;
        conn_messages_locked(conn);
    }
    over = conn->closing && !conn->blocked;
    closing = conn->closing;
    read = !conn->paused && !conn->held && !closing;
    write = conn->blocked;
    to = conn->move_to;
    qemu_mutex_unlock(&conn->lock);
    if (conn->forwards) {
        riod_routes_flush();
    }
    riod_home_flush(conn->home);
    if (over) {
        conn_close(conn);
    } else if (to && to != conn->home && !conn->held) {
        conn_move(conn, to);
    } else {
        if (read != conn->watch_read || write != conn->watch_write) {
            conn_watch(conn, read, write);
        }
        if (closing) {
            timer_mod(conn->tick, now_ms() + LINGER_MS);
        } else if (unlikely(conn->let_through) && read) {
            conn_ready(conn);
        } else if (unlikely(riod_connections_filtered())) {
            conn_rearm_tick(conn);
        }
    }
}

static void conn_tick(void *opaque)
{
    RiodConnection *conn = opaque;
    bool closing;

    WITH_QEMU_LOCK_GUARD(&conn->lock) {
        closing = conn->closing;
    }
    if (closing) {
        conn_close(conn);
    } else {
        conn_rearm_tick(conn);
    }
}

void riod_connection_start(RiodConnection *conn)
{
    AioContext *ctx = conn->home->ctx;

    WITH_QEMU_LOCK_GUARD(&conn->lock) {
        if (conn->closed) {
            return;
        }
        conn->bh = aio_bh_new(ctx, conn_woken, conn);
    }
    conn->tick = aio_timer_new(ctx, QEMU_CLOCK_REALTIME, SCALE_MS, conn_tick,
                               conn);
    conn->tick_state = rio_link_state(conn->link);
    conn->spin_credit = SPIN_CREDIT_MAX;
    conn->since_ms = conn->since_ms ?: now_ms();
    conn->started = true;
    conn_watch(conn, true, false);
    qemu_bh_schedule(conn->bh);
    conn_rearm_tick(conn);
}

static void lost_task_run(RiodTask *task)
{
    ConnTask *t = container_of(task, ConnTask, task);

    if (t->left) {
        riod_session_end(t->session, RIO_STATUS_OK, NULL);
    } else {
        riod_session_lost(t->session, t->conn);
    }
    riod_session_unref(t->session);
    riod_connection_unref(t->conn);
    g_free(t);
}

/* The sessions stay; each one's home decides for how long */
static void conn_lose_session(RiodConnection *conn, RiodSession *s)
{
    ConnTask *t = g_new0(ConnTask, 1);

    QLIST_SAFE_REMOVE(s, on_conn);
    riod_label_remove_locked(conn, &s->label);
    rio_link_remove_session(conn->link, s->rio);
    rio_session_lost(s->rio);
    t->task.run = lost_task_run;
    t->conn = riod_connection_ref(conn);
    t->session = s;             /* the reference that the list had */
    t->left = conn->left;
    riod_home_post(s->inst->home, &t->task);
}

/* Before it counts as closed: who is told of it may use it no more */
static void conn_lose_routes(RiodConnection *conn)
{
    const char *reason = conn->last_words ?:
                         conn->rx_error ? error_get_pretty(conn->rx_error)
                                        : "the connection was closed";

    WITH_QEMU_LOCK_GUARD(&conn->lock) {
        conn->closing = true;
        conn->closed = true;
    }
    riod_routes_lost(conn, reason);
    if (conn->next_hop) {
        riod_peer_lost(conn, reason);
    }
    riod_routes_flush();
}

static void conn_close(RiodConnection *conn)
{
    RiodSession *s;

    trace_riod_connection_close(conn->number, conn->rx_error ?
                                error_get_pretty(conn->rx_error) : "");
    conn_unwatch(conn);
    riod_announce_unsubscribe(conn);
    if (conn->forwards) {
        conn_lose_routes(conn);
    }
    WITH_QEMU_LOCK_GUARD(&conn->lock) {
        conn->closed = true;
        conn->closing = true;
        conn->hot = NULL;
        while ((s = QLIST_FIRST(&conn->sessions))) {
            conn_lose_session(conn, s);
        }
        rio_transport_free(conn->transport);
        conn->transport = NULL;
    }
    riod_connections_remove(conn);
    riod_connection_unref(conn);
}
