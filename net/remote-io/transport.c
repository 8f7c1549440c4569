/*
 * remote-io transport: bytes through a connected socket
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include "qapi/error.h"
#include "qapi/qapi-visit-sockets.h"
#include "net/remote-io/transport-internal.h"

/* The kernel gives up on what was not acknowledged; keep-alive is earlier */
#define USER_TIMEOUT_MS     60000

/* Bytes that wait in the kernel cannot be overtaken by anything else */
#define NOT_SENT_LOW_WATER  (128 * 1024)

struct RioTransport {
    QIOChannelSocket *ioc;
    int fd;                     /* of @ioc */
    char *peer;
    bool accepts_files;         /* atomic */
    bool got_files;             /* by the last receive */
    unsigned num_files;
    int files[RIO_TRANSPORT_FILES];     /* received, not taken */
};

static bool is_tcp(const QIOChannelSocket *ioc)
{
    return ioc->localAddr.ss_family == AF_INET ||
           ioc->localAddr.ss_family == AF_INET6;
}

static void set_option(int fd, int option, int value)
{
    /* Each of them only makes things faster or fail earlier */
    (void)setsockopt(fd, IPPROTO_TCP, option, &value, sizeof(value));
}

/*
 * Nagle's algorithm and delayed acknowledgements would add up to 40 ms to
 * register accesses, which are small and wait for each other.
 */
static void tune_tcp(int fd)
{
    set_option(fd, TCP_NODELAY, 1);
#ifdef TCP_QUICKACK
    set_option(fd, TCP_QUICKACK, 1);
#endif
#ifdef TCP_USER_TIMEOUT
    set_option(fd, TCP_USER_TIMEOUT, USER_TIMEOUT_MS);
#endif
#ifdef TCP_NOTSENT_LOWAT
    set_option(fd, TCP_NOTSENT_LOWAT, NOT_SENT_LOW_WATER);
#endif
}

/* One end of a Unix socket has no name; that of the other end serves both */
static char *peer_text(QIOChannelSocket *ioc)
{
    g_autoptr(SocketAddress) remote =
        qio_channel_socket_get_remote_address(ioc, NULL);
    g_autoptr(SocketAddress) local =
        qio_channel_socket_get_local_address(ioc, NULL);

    if (remote && remote->type == SOCKET_ADDRESS_TYPE_UNIX &&
        !*remote->u.q_unix.path) {
        return local && *local->u.q_unix.path ? rio_address_text(local)
                                              : g_strdup("unix:(pair)");
    }
    return remote ? rio_address_text(remote) : g_strdup("unknown");
}

/* Takes over @ioc and @peer. */
static RioTransport *transport_new(QIOChannelSocket *ioc, char *peer)
{
    RioTransport *t = g_new0(RioTransport, 1);

    t->ioc = ioc;
    t->fd = ioc->fd;
    t->peer = peer;
    if (is_tcp(ioc)) {
        tune_tcp(t->fd);
    }
    return t;
}

RioTransport *rio_transport_new(QIOChannelSocket *ioc, Error **errp)
{
    if (qio_channel_set_blocking(QIO_CHANNEL(ioc), false, errp) < 0) {
        return NULL;
    }
    object_ref(OBJECT(ioc));
    return transport_new(ioc, peer_text(ioc));
}

/* The address is named once, here, whatever went wrong below. */
RioTransport *rio_transport_connect(const SocketAddress *addr,
                                    int64_t timeout_ms, const bool *cancel,
                                    Error **errp)
{
    g_autofree char *text = rio_address_text(addr);
    RioPatience p = { g_get_monotonic_time() + timeout_ms * 1000, cancel };
    QIOChannelSocket *ioc;
    int fd = rio_connect(addr, &p, errp);

    if (fd < 0) {
        error_prepend(errp, "cannot connect to %s: ", text);
        return NULL;
    }
    ioc = qio_channel_socket_new_fd(fd, errp);
    if (!ioc) {
        close(fd);
        error_prepend(errp, "cannot connect to %s: ", text);
        return NULL;
    }
    if (qio_channel_set_blocking(QIO_CHANNEL(ioc), false, errp) < 0) {
        object_unref(OBJECT(ioc));
        return NULL;
    }
    return transport_new(ioc, g_steal_pointer(&text));
}

void rio_transport_free(RioTransport *t)
{
    if (t) {
        rio_transport_take_files(t, NULL);
        object_unref(OBJECT(t->ioc));
        g_free(t->peer);
        g_free(t);
    }
}

const char *rio_transport_peer(const RioTransport *t)
{
    return t->peer;
}

int rio_transport_fd(const RioTransport *t)
{
    return t->fd;
}

/* An interrupted call is tried again like one that would have blocked. */
static ssize_t failed(const RioTransport *t, const char *what, Error **errp)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
        return RIO_TRANSPORT_AGAIN;
    }
    error_setg_errno(errp, errno, "cannot %s %s", what, t->peer);
    return RIO_TRANSPORT_ERROR;
}

/*
 * Not through QIOChannel: it prepares for file descriptors with each
 * message, and its error objects would be made for every EAGAIN of a
 * spinning reader.
 */
ssize_t rio_transport_send(RioTransport *t, const struct iovec *iov, int n,
                           Error **errp)
{
    ssize_t done;

    if (n == 1) {
        /* The usual case; the kernel need not copy in a header and a vector */
        done = send(t->fd, iov->iov_base, iov->iov_len,
                    MSG_NOSIGNAL | MSG_DONTWAIT);
    } else {
        struct msghdr msg = {
            .msg_iov = (struct iovec *)iov,
            .msg_iovlen = n,
        };

        done = sendmsg(t->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    return done >= 0 ? done : failed(t, "send to", errp);
}

/* --- file descriptors --- */

bool rio_transport_passes_files(const RioTransport *t)
{
    return qio_channel_has_feature(QIO_CHANNEL(t->ioc),
                                   QIO_CHANNEL_FEATURE_FD_PASS);
}

static ssize_t channel_result(const RioTransport *t, ssize_t done,
                              Error **errp)
{
    if (done >= 0) {
        return done;
    }
    if (done == QIO_CHANNEL_ERR_BLOCK) {
        return RIO_TRANSPORT_AGAIN;
    }
    error_prepend(errp, "%s: ", t->peer);
    return RIO_TRANSPORT_ERROR;
}

ssize_t rio_transport_send_files(RioTransport *t, const struct iovec *iov,
                                 int n, const int *files, unsigned num,
                                 Error **errp)
{
    return channel_result(t, qio_channel_writev_full(QIO_CHANNEL(t->ioc), iov,
                                                     n, (int *)files, num, 0,
                                                     errp), errp);
}

void rio_transport_accept_files(RioTransport *t)
{
    qatomic_set(&t->accepts_files, rio_transport_passes_files(t));
}

bool rio_transport_has_files(const RioTransport *t)
{
    return t->num_files;
}

bool rio_transport_got_files(RioTransport *t)
{
    bool got = t->got_files;

    t->got_files = false;
    return got;
}

unsigned rio_transport_take_files(RioTransport *t, int *files)
{
    unsigned n = t->num_files;

    for (unsigned i = 0; i < n; i++) {
        if (files) {
            files[i] = t->files[i];
        } else {
            close(t->files[i]);
        }
    }
    t->num_files = 0;
    return n;
}

/* What was not taken of the last ones goes when there are others */
static ssize_t recv_files(RioTransport *t, void *buf, size_t size,
                          Error **errp)
{
    struct iovec iov = { buf, size };
    g_autofree int *files = NULL;
    size_t n = 0;
    ssize_t done = qio_channel_readv_full(QIO_CHANNEL(t->ioc), &iov, 1,
                                          &files, &n, 0, errp);

    if (n) {
        rio_transport_take_files(t, NULL);
        t->got_files = true;
        for (size_t i = 0; i < n; i++) {
            if (i < RIO_TRANSPORT_FILES) {
                t->files[t->num_files++] = files[i];
            } else {
                close(files[i]);
            }
        }
    }
    return channel_result(t, done, errp);
}

/* --- receiving --- */

ssize_t rio_transport_recv(RioTransport *t, void *buf, size_t size,
                           Error **errp)
{
    ssize_t done;

    if (qatomic_read(&t->accepts_files)) {
        return recv_files(t, buf, size, errp);
    }
    done = recv(t->fd, buf, size, MSG_DONTWAIT);
    return done >= 0 ? done : failed(t, "receive from", errp);
}

/* Polls between two looks at the clock; one takes about half a microsecond */
#define POLLS 8

static int64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

ssize_t rio_transport_poll(RioTransport *t, void *buf, size_t size,
                           int64_t until_ns, Error **errp)
{
    int fd = t->fd;
    ssize_t done;

    if (qatomic_read(&t->accepts_files)) {
        do {
            done = recv_files(t, buf, size, errp);
        } while (done == RIO_TRANSPORT_AGAIN && now_ns() < until_ns);
        return done;
    }
    do {
        for (int i = 0; i < POLLS; i++) {
            /* What is done besides the call delays what it will find */
            done = recv(fd, buf, size, MSG_DONTWAIT);
            if (done >= 0) {
                return done;
            }
            if (errno != EAGAIN && errno != EINTR) {
                return failed(t, "receive from", errp);
            }
        }
    } while (now_ns() < until_ns);
    return RIO_TRANSPORT_AGAIN;
}

int rio_transport_wait(RioTransport *t, int events, int64_t timeout_ns)
{
    short wanted = (events & G_IO_IN ? POLLIN : 0) |
                   (events & G_IO_OUT ? POLLOUT : 0);
    short got = rio_poll(t->fd, wanted, timeout_ns);

    /* An error is found by whoever tries to send or receive next */
    if (got & (POLLERR | POLLHUP | POLLNVAL)) {
        return events;
    }
    return (got & POLLIN ? G_IO_IN : 0) | (got & POLLOUT ? G_IO_OUT : 0);
}

void rio_transport_shutdown(RioTransport *t)
{
    shutdown(t->fd, SHUT_RDWR);
}
