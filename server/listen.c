/*
 * remote-io-server: where clients come in
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/un.h>
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "qemu/sockets.h"
#include "io/net-listener.h"
#include "internal.h"

#define BACKLOG 128

static GPtrArray *listeners;    /* QIONetListener */

/*
 * Without waiting: a server that is stopped, and whose queue is full, would
 * never answer, but it is there.
 */
static bool somebody_listens(const char *path)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    bool there;
    int fd;

    if (strlen(path) >= sizeof(un.sun_path)) {
        return false;                   /* listening will say so */
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return false;
    }
    pstrcpy(un.sun_path, sizeof(un.sun_path), path);
    there = connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0 ||
            errno == EAGAIN;
    close(fd);
    return there;
}

/*
 * Listening replaces what is at a path.  That may be the socket of a server
 * that runs, or a file that somebody needs.
 */
static bool path_is_free(const UnixSocketAddress *addr, Error **errp)
{
    struct stat st;

#ifdef CONFIG_LINUX
    if (addr->has_abstract && addr->abstract) {
        return true;
    }
#endif
    if (lstat(addr->path, &st) < 0) {
        return true;
    }
    if (!S_ISSOCK(st.st_mode)) {
        error_setg(errp, "'%s' exists and is not a socket: name another path",
                   addr->path);
        return false;
    }
    if (somebody_listens(addr->path)) {
        error_setg(errp, "another server is at '%s': end it, or name "
                   "another path", addr->path);
        return false;
    }
    return true;
}

static bool check_address(const SocketAddress *addr, Error **errp)
{
    switch (addr->type) {
    case SOCKET_ADDRESS_TYPE_UNIX:
        return path_is_free(&addr->u.q_unix, errp);
    case SOCKET_ADDRESS_TYPE_INET:
    case SOCKET_ADDRESS_TYPE_VSOCK:
        return true;
    default:
        error_setg(errp, "cannot listen at an address of type '%s': use "
                   "inet, unix or vsock", SocketAddressType_str(addr->type));
        return false;
    }
}

static void listener_free(void *opaque)
{
    QIONetListener *listener = opaque;

    qio_net_listener_set_client_func(listener, NULL, NULL, NULL);
    qio_net_listener_disconnect(listener);
    object_unref(OBJECT(listener));
}

/* The program before has use for a path that clients know */
static void listen_exit(void)
{
    if (!riod_upgrade_pending()) {
        riod_listen_close();
    }
}

/* Sockets of the program before, of which it keeps its own descriptors */
static bool listener_inherit(QIONetListener *listener, const GArray *fds,
                             Error **errp)
{
    for (guint i = 0; i < fds->len; i++) {
        int fd = qemu_dup(g_array_index(fds, int, i));
        QIOChannelSocket *sioc;

        if (fd < 0) {
            error_setg_errno(errp, errno, "cannot copy a socket");
            return false;
        }
        sioc = qio_channel_socket_new_fd(fd, errp);
        if (!sioc) {
            close(fd);
            return false;
        }
        qio_net_listener_add(listener, sioc);
        object_unref(OBJECT(sioc));
    }
    return true;
}

static bool listener_open(QIONetListener *listener, SocketAddress *addr,
                          const GArray *fds, Error **errp)
{
    if (fds) {
        return listener_inherit(listener, fds, errp);
    }
    return qio_net_listener_open_sync(listener, addr, BACKLOG, errp) == 0;
}

bool riod_listen_add(SocketAddress *addr, Error **errp)
{
    QIONetListener *listener;
    const GArray *fds;
    Error *err = NULL;

    fds = riod_upgrade_sockets(listeners ? listeners->len : 0);
    if (!fds && !check_address(addr, errp)) {
        return false;
    }
    listener = qio_net_listener_new();
    qio_net_listener_set_name(listener, "remote-io-listener");
    if (!listener_open(listener, addr, fds, &err)) {
        g_autofree char *text = rio_address_text(addr);

        error_setg(errp, "cannot listen at %s: %s", text,
                   error_get_pretty(err));
        error_free(err);
        object_unref(OBJECT(listener));
        return false;
    }
    if (!listeners) {
        listeners = g_ptr_array_new_with_free_func(listener_free);
        atexit(listen_exit);
    }
    g_ptr_array_add(listeners, listener);
    return true;
}

static void accepted(QIONetListener *listener, QIOChannelSocket *ioc,
                     void *opaque)
{
    riod_connection_new(ioc);
}

void riod_listen_start(void)
{
    g_auto(GStrv) addresses = riod_listen_addresses();

    for (guint i = 0; listeners && i < listeners->len; i++) {
        qio_net_listener_set_client_func(listeners->pdata[i], accepted, NULL,
                                         NULL);
    }
    for (char **text = addresses; *text; text++) {
        printf("listening at %s\n", *text);
    }
    fflush(stdout);
}

void riod_listen_close(void)
{
    if (listeners) {
        g_ptr_array_free(listeners, true);
        listeners = NULL;
    }
}

GPtrArray *riod_listen_sockets(void)
{
    GPtrArray *all =
        g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);

    for (guint i = 0; listeners && i < listeners->len; i++) {
        QIONetListener *listener = listeners->pdata[i];
        GArray *fds = g_array_new(false, false, sizeof(int));

        for (size_t j = 0; j < listener->nsioc; j++) {
            g_array_append_val(fds, listener->sioc[j]->fd);
        }
        g_ptr_array_add(all, fds);
    }
    return all;
}

GStrv riod_listen_addresses(void)
{
    GPtrArray *texts = g_ptr_array_new();

    for (guint i = 0; listeners && i < listeners->len; i++) {
        QIONetListener *listener = listeners->pdata[i];

        for (size_t j = 0; j < listener->nsioc; j++) {
            g_autoptr(SocketAddress) addr =
                qio_channel_socket_get_local_address(listener->sioc[j], NULL);

            if (addr) {
                g_ptr_array_add(texts, rio_address_text(addr));
            }
        }
    }
    g_ptr_array_add(texts, NULL);
    return (GStrv)g_ptr_array_free(texts, false);
}
