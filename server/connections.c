/*
 * remote-io-server: the connections there are, and who may make one
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/resource.h>
#include "qapi/error.h"
#include "qemu-version.h"
#include "filter.h"
#include "forward.h"
#include "trace.h"

/* Connections that have not said who they are; more are turned away */
#define MAX_STRANGERS 256u

#define MAX_CONNECTIONS 65536u

/* Tables' lock, but for the atomic number of strangers */
static QLIST_HEAD(, RiodConnection) connections =
    QLIST_HEAD_INITIALIZER(connections);
static uint64_t last_number;
static unsigned strangers;
static unsigned num_connections;

/* --- who comes in --- */

static bool check_name(const RioMessage *hello, RioError *err)
{
    const char *name = hello->hello.name;

    if (hello->hello.role == RIO_ROLE_SERVER &&
        g_str_equal(name, riod_config.server_name)) {
        return rio_error_set(err, RIO_STATUS_DENIED, "this is server '%.200s':"
                             " give each its own server id", name);
    }
    if (riod_config.gateway && !g_str_equal(name, riod_config.server_name)) {
        return rio_error_set(err, RIO_STATUS_DENIED, "this is the gateway of "
                             "client platform '%.80s', not of '%.80s'",
                             riod_config.server_name, name);
    }
    return true;
}

static uint32_t conn_admit(void *opaque, const RioMessage *hello,
                           RioError *err)
{
    RiodConnection *conn = opaque;

    if (!check_name(hello, err)) {
        return 0;
    }
    /* All clients of a gateway are on its host, in containers maybe */
    conn->client = riod_client_get(hello->hello.name, riod_config.gateway ?
                                   riod_config.uuid : hello->hello.uuid,
                                   hello->hello.role == RIO_ROLE_SERVER, err);
    if (!conn->client) {
        return 0;
    }
    qatomic_dec(&strangers);
    trace_riod_connection_hello(conn->number, conn->client->name,
                                conn->client->id, hello->hello.software);
    return conn->client->id;
}

static RioLink *conn_new_link(RiodConnection *conn, const RioTransport *t,
                              bool client)
{
    bool files = !riod_config.gateway && rio_transport_passes_files(t);
    RioLinkConfig config = {
        .side = client ? RIO_SIDE_CLIENT : RIO_SIDE_SERVER,
        .role = client && riod_config.gateway ? RIO_ROLE_GATEWAY
                                              : RIO_ROLE_SERVER,
        .name = riod_config.server_name,
        .software = "remote-io-server " QEMU_FULL_VERSION,
        .caps = client ? RIOD_FORWARD_CAPS | RIO_CAP_ANNOUNCE :
                RIO_CAP_RESUME | RIO_CAP_DMA | RIO_CAP_RECIPES |
                RIO_CAP_LONG | RIO_CAP_LAZY | RIO_CAP_ROUTE |
                RIO_CAP_STATE | RIO_CAP_ANNOUNCE | RIO_CAP_MOVE |
                (files ? RIO_CAP_SHM : 0),
        .server_id = riod_config.server_id,
        .watch = &riod_connection_watch,
        .watch_opaque = conn,
    };

    memcpy(config.uuid, riod_config.uuid, RIO_UUID_SIZE);
    return rio_link_new(&config, get_clock() / SCALE_MS);
}

/*
 * Descriptors that connections may have.  The rest is for chardevs, disks and
 * the monitor; when all are gone, not even a client can be turned away.
 */
static unsigned conn_limit(void)
{
    static unsigned limit;
    struct rlimit files;

    if (!limit) {
        limit = MAX_CONNECTIONS;
        if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
            files.rlim_cur = files.rlim_max;
            setrlimit(RLIMIT_NOFILE, &files);
            getrlimit(RLIMIT_NOFILE, &files);
            limit = MIN(limit, files.rlim_cur - files.rlim_cur / 4);
        }
    }
    return limit;
}

/* Why nobody can come in now, or NULL */
static const char *conn_no_room(void)
{
    unsigned count;

    riod_tables_lock();
    count = num_connections;
    riod_tables_unlock();
    if (count >= conn_limit()) {
        return "there are as many connections as this process may have";
    }
    if (qatomic_read(&strangers) >= MAX_STRANGERS) {
        return "too many connections have not said HELLO yet";
    }
    return NULL;
}

static RiodConnection *conn_new(RioTransport *transport, RiodPeer *next_hop)
{
    RiodConnection *conn = g_new0(RiodConnection, 1);

    riod_tables_lock();
    conn->number = ++last_number;
    riod_tables_unlock();
    conn->refs = 1;
    conn->label = g_strdup_printf("connection %" PRIu64, conn->number);
    conn->peer = g_strdup(rio_transport_peer(transport));
    conn->next_hop = next_hop;
    conn->forwards = next_hop;
    conn->transport = transport;
    conn->link = conn_new_link(conn, transport, next_hop);
    conn->labels = riod_labels_new();
    conn->home = riod_home_default();
    qemu_mutex_init(&conn->lock);
    QLIST_INIT(&conn->sessions);
    riod_tables_lock();
    QLIST_INSERT_HEAD(&connections, conn, node);
    num_connections++;
    riod_tables_unlock();
    trace_riod_connection_new(conn->number, conn->peer);
    return conn;
}

RiodConnection *riod_connection_nowhere(void)
{
    static RiodConnection *nowhere;

    riod_tables_lock();
    if (!nowhere) {
        nowhere = g_new0(RiodConnection, 1);
        nowhere->refs = 1;
        nowhere->label = g_strdup("nowhere");
        nowhere->peer = g_strdup("nowhere");
        nowhere->labels = riod_labels_new();
        nowhere->home = riod_home_default();
        nowhere->closing = true;
        nowhere->closed = true;
        qemu_mutex_init(&nowhere->lock);
        QLIST_INIT(&nowhere->sessions);
    }
    riod_tables_unlock();
    return riod_connection_ref(nowhere);
}

void riod_connection_open(RiodPeer *peer, RioTransport *transport)
{
    riod_connection_start(conn_new(transport, peer));
}

void riod_connection_new(QIOChannelSocket *ioc)
{
    static RiodRate rate;
    const char *full;
    RioTransport *transport;
    RiodConnection *conn;
    Error *err = NULL;

    transport = rio_transport_new(ioc, &err);
    if (!transport) {
        riod_log("a connection was dropped: %s", error_get_pretty(err));
        error_free(err);
        return;
    }
    full = conn_no_room();
    if (full) {
        if (riod_rate_allows(&rate, "listener")) {
            riod_log("client at %s: turned away, %s",
                     rio_transport_peer(transport), full);
        }
        rio_transport_free(transport);
        return;
    }
    qatomic_inc(&strangers);
    conn = conn_new(transport, NULL);
    rio_link_set_admit(conn->link, conn_admit, conn);
    riod_connection_post_start(conn, conn->home);
}

/* --- all of them --- */

void riod_connections_remove(RiodConnection *conn)
{
    if (!conn->client && !conn->next_hop) {
        qatomic_dec(&strangers);
    }
    riod_tables_lock();
    QLIST_REMOVE(conn, node);
    num_connections--;
    riod_tables_unlock();
}

void riod_connections_foreach(void (*fn)(RiodConnection *, void *),
                              void *opaque)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    RiodConnection *conn;

    riod_tables_lock();
    QLIST_FOREACH(conn, &connections, node) {
        g_ptr_array_add(all, riod_connection_ref(conn));
    }
    riod_tables_unlock();
    for (guint i = 0; i < all->len; i++) {
        fn(all->pdata[i], opaque);
        riod_connection_unref(all->pdata[i]);
    }
}

static void conn_shutdown(RiodConnection *conn, void *opaque)
{
    QEMU_LOCK_GUARD(&conn->lock);
    riod_connection_bye_locked(conn, RIO_STATUS_SHUTDOWN,
                               "the server was told to quit");
}

static bool connections_left(void)
{
    bool left;

    riod_tables_lock();
    left = !QLIST_EMPTY(&connections);
    riod_tables_unlock();
    return left;
}

/* A peer that takes nothing is cut off after LINGER_MS by its own timer */
void riod_connections_shutdown(void)
{
    riod_connections_foreach(conn_shutdown, NULL);
    while (connections_left()) {
        g_usleep(1000);
    }
}
