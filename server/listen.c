/*
 * remote-io-server: where clients come in
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/un.h>
#include "qapi/error.h"
#include "qemu/sockets.h"
#include "io/net-listener.h"
#include "internal.h"

#define BACKLOG 128

static GPtrArray *listeners;    /* QIONetListener */

/*
 * Listening replaces what is at a path.  That may be the socket of a server
 * that runs, or a file that somebody needs.
 */
static bool path_is_free(const UnixSocketAddress *addr, Error **errp)
{
    struct stat st;
    int fd;

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
    fd = unix_connect(addr->path, NULL);
    if (fd >= 0) {
        close(fd);
        error_setg(errp, "another server answers at '%s': end it, or name "
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

static void listen_exit(void)
{
    riod_listen_close();
}

bool riod_listen_add(SocketAddress *addr, Error **errp)
{
    QIONetListener *listener;
    Error *err = NULL;

    if (!check_address(addr, errp)) {
        return false;
    }
    listener = qio_net_listener_new();
    qio_net_listener_set_name(listener, "remote-io-listener");
    if (qio_net_listener_open_sync(listener, addr, BACKLOG, &err) < 0) {
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
