/*
 * remote-io-server: announcements, heard from next hops and told to others
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * For each forwarder that connects to us there is a table of what it was told.
 * When something has changed, what it should know is put together anew and the
 * difference is told.  Several changes within a moment are told at once, so
 * that a next hop that cannot make up its mind costs little.
 */

#include "qemu/osdep.h"
#include "announced.h"
#include "directory.h"
#include "trace.h"

/* Between two rounds of telling */
#define PACE_MS 20

/* A forwarder that is to be told; home only */
typedef struct Listener {
    RiodConnection *conn;
    GHashTable *told;
    QTAILQ_ENTRY(Listener) node;
} Listener;

static QTAILQ_HEAD(, Listener) listeners = QTAILQ_HEAD_INITIALIZER(listeners);
static QEMUTimer *pace;
static int64_t last_ms;         /* of the last round */

typedef struct AnnounceTask {
    RiodTask task;
    RiodConnection *conn;
} AnnounceTask;

/* --- telling, in the home --- */

static void add_own(RiodInstance *inst, void *opaque)
{
    riod_announced_add(opaque, riod_config.server_name, inst->id, 0);
}

/* What forwarder @to should know of */
static GHashTable *put_together(const char *to)
{
    GHashTable *table = riod_announced_new();
    RiodPeer *peer = NULL;

    riod_announced_add(table, riod_config.server_name, "", 0);
    riod_tables_lock();
    riod_instances_foreach_locked(add_own, table);
    riod_tables_unlock();
    while ((peer = riod_peer_next(peer))) {
        if (peer->heard && !g_str_equal(peer->id, to)) {
            riod_announced_pass(table, peer->heard, to);
        }
    }
    return table;
}

static void tell(RioBytes entries, uint32_t count, void *opaque)
{
    RiodConnection *conn = opaque;
    RioMessage m;

    rio_message_init(&m, RIO_OP_ANNOUNCE, 0, 0);
    m.announce.count = count;
    m.payload = entries;
    riod_connection_control_locked(conn, &m);
}

static void tell_listener(Listener *l)
{
    RiodConnection *conn = l->conn;
    g_autoptr(GHashTable) table = NULL;
    RioString name;

    WITH_QEMU_LOCK_GUARD(&conn->lock) {
        /* A gateway has the name of its host, which may be a server's, too */
        bool server = rio_link_peer_role(conn->link) == RIO_ROLE_SERVER;

        g_strlcpy(name, server ? rio_link_peer_name(conn->link) : "",
                  sizeof(name));
    }
    table = put_together(name);
    QEMU_LOCK_GUARD(&conn->lock);
    if (!conn->closed && !conn->closing) {
        riod_announced_tell(table, l->told, RIO_MIN_MAX_MESSAGE -
                            RIO_HEADER_SIZE - 8, tell, conn);
        riod_connection_send_locked(conn);
    }
}

static void tell_all(void *opaque)
{
    Listener *l;

    last_ms = get_clock() / SCALE_MS;
    QTAILQ_FOREACH(l, &listeners, node) {
        tell_listener(l);
    }
}

static void tell_soon(void)
{
    if (QTAILQ_EMPTY(&listeners)) {
        return;
    }
    if (!pace) {
        pace = aio_timer_new(riod_home_default()->ctx, QEMU_CLOCK_REALTIME,
                             SCALE_MS, tell_all, NULL);
    }
    if (!timer_pending(pace)) {
        timer_mod(pace, MAX(get_clock() / SCALE_MS, last_ms + PACE_MS));
    }
}

/* --- who is told --- */

static void post(RiodConnection *conn, void (*run)(RiodTask *))
{
    AnnounceTask *t = g_new0(AnnounceTask, 1);

    t->task.run = run;
    t->conn = conn ? riod_connection_ref(conn) : NULL;
    riod_home_post(riod_home_default(), &t->task);
}

static Listener *find_listener(const RiodConnection *conn)
{
    Listener *l;

    QTAILQ_FOREACH(l, &listeners, node) {
        if (l->conn == conn) {
            return l;
        }
    }
    return NULL;
}

static void listener_free(Listener *l)
{
    QTAILQ_REMOVE(&listeners, l, node);
    riod_connection_unref(l->conn);
    g_hash_table_unref(l->told);
    g_free(l);
}

static void subscribe_run(RiodTask *task)
{
    AnnounceTask *t = container_of(task, AnnounceTask, task);
    Listener *l = g_new0(Listener, 1);

    l->conn = t->conn;
    l->told = riod_announced_new();
    QTAILQ_INSERT_TAIL(&listeners, l, node);
    tell_listener(l);
    g_free(t);
}

/* A task of its own even in this home: it was maybe not subscribed yet */
static void unsubscribe_run(RiodTask *task)
{
    AnnounceTask *t = container_of(task, AnnounceTask, task);
    Listener *l = find_listener(t->conn);

    if (l) {
        listener_free(l);
    }
    riod_connection_unref(t->conn);
    g_free(t);
}

void riod_announce_subscribe_locked(RiodConnection *conn)
{
    conn->listens = true;
    post(conn, subscribe_run);
}

void riod_announce_unsubscribe(RiodConnection *conn)
{
    if (conn->listens) {
        conn->listens = false;
        post(conn, unsubscribe_run);
    }
}

static void changed_run(RiodTask *task)
{
    AnnounceTask *t = container_of(task, AnnounceTask, task);

    tell_soon();
    g_free(t);
}

void riod_announce_modules_changed(void)
{
    post(NULL, changed_run);
}

void riod_announce_stop(void)
{
    Listener *l;

    while ((l = QTAILQ_FIRST(&listeners))) {
        listener_free(l);
    }
    timer_free(pace);
    pace = NULL;
}

/* --- hearing, in the home --- */

typedef struct ServerEvents {
    GHashTable *other;          /* the state on the other side of a change */
    const char *peer;
    bool found;
} ServerEvents;

static void server_event(const char *server, const char *module,
                         unsigned distance, void *opaque)
{
    ServerEvents *e = opaque;

    if (*module || (e->other &&
                    riod_announced_find(e->other, server, "") >= 0)) {
        return;
    }
    riod_event_server(server, e->peer, e->found);
}

/* Servers that are in one of the two and not in the other */
static void server_events(const char *peer, GHashTable *before,
                          GHashTable *after)
{
    ServerEvents gone = { .other = after, .peer = peer };
    ServerEvents found = { .other = before, .peer = peer, .found = true };

    if (before) {
        riod_announced_foreach(before, server_event, &gone);
    }
    if (after) {
        riod_announced_foreach(after, server_event, &found);
    }
}

static void note_server(const char *server, const char *module,
                        unsigned distance, void *opaque)
{
    if (!*module) {
        riod_announced_add(opaque, server, module, distance);
    }
}

/* Only the servers: there are few of them */
static GHashTable *servers_of(GHashTable *heard)
{
    GHashTable *servers = riod_announced_new();

    riod_announced_foreach(heard, note_server, servers);
    return servers;
}

void riod_announce_heard(RiodConnection *conn, const RioMessage *m)
{
    RiodPeer *peer = conn->next_hop;
    g_autoptr(GHashTable) before = NULL;
    bool changed = false;
    RioError err;

    /* It may come together with HELLO_REPLY, before the peer is ready */
    if ((peer->conn && peer->conn != conn) ||
        !g_str_equal(rio_link_peer_name(conn->link), peer->id)) {
        return;
    }
    if (!peer->heard) {
        peer->heard = riod_announced_new();
    }
    before = servers_of(peer->heard);
    trace_riod_announced(peer->id, m->announce.count);
    if (!riod_announced_take(peer->heard, m->payload,
                             riod_config.server_name, &changed, &err)) {
        QEMU_LOCK_GUARD(&conn->lock);
        riod_connection_bad_locked(conn, &err);
    }
    if (changed) {
        server_events(peer->id, before, peer->heard);
        riod_event_directory(peer->id, NULL, g_hash_table_size(peer->heard));
        tell_soon();
    }
}

void riod_announce_forget(RiodPeer *peer)
{
    GHashTable *heard = g_steal_pointer(&peer->heard);

    if (heard) {
        server_events(peer->id, heard, NULL);
        riod_event_directory(peer->id, NULL, 0);
        g_hash_table_unref(heard);
        tell_soon();
    }
}
