/*
 * remote-io transport: connecting within a given time
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU's own connect functions wait as long as the kernel does, which is
 * minutes when a host is down.  A guest's access may be waiting meanwhile.
 */

#include "qemu/osdep.h"
#include <netdb.h>
#include <poll.h>
#include <sys/un.h>
#ifdef CONFIG_AF_VSOCK
#include <linux/vm_sockets.h>
#endif

#include "qapi/clone-visitor.h"
#include "qapi/error.h"
#include "qapi/qapi-visit-sockets.h"
#include "qemu/atomic.h"
#include "qemu/cutils.h"
#include "io/dns-resolver.h"
#include "net/remote-io/transport-internal.h"

/* A Unix listener whose queue is full cannot be waited for, only asked */
#define UNIX_RETRY_NS 2000000

/* How soon a wait notices that its result is not wanted any more */
#define SLICE_NS 20000000

static bool cancelled(const RioPatience *p)
{
    return p->cancel && qatomic_read(p->cancel);
}

/* 0: stop waiting */
static int64_t left_ns(const RioPatience *p)
{
    return cancelled(p) ? 0 :
           MAX(p->deadline_us - g_get_monotonic_time(), 0) * 1000;
}

static int64_t slice_ns(const RioPatience *p)
{
    return MIN(left_ns(p), SLICE_NS);
}

/* Returns: -errno that says why the waiting ended */
static int out_of_patience(const RioPatience *p)
{
    return cancelled(p) ? -ECANCELED : -ETIMEDOUT;
}

/* --- names --- */

/*
 * A lookup cannot be interrupted, so it has a thread of its own, which is
 * left behind when it takes too long; whoever is last frees this.
 */
typedef struct Lookup {
    GMutex lock;                /* protects all that follows */
    GCond cond;
    bool done;
    bool abandoned;
    SocketAddress *addr;
    SocketAddress **found;
    size_t count;
    Error *err;
} Lookup;

static void free_found(SocketAddress **found, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        qapi_free_SocketAddress(found[i]);
    }
    g_free(found);
}

static void lookup_free(Lookup *lookup)
{
    qapi_free_SocketAddress(lookup->addr);
    free_found(lookup->found, lookup->count);
    error_free(lookup->err);
    g_mutex_clear(&lookup->lock);
    g_cond_clear(&lookup->cond);
    g_free(lookup);
}

/*
 * Runs beside whoever waits for it; after the lock is released the structure
 * is this thread's if it was abandoned, and the other's if not.
 */
static gpointer lookup_thread(gpointer opaque)
{
    Lookup *lookup = opaque;
    SocketAddress **found = NULL;
    size_t count = 0;
    Error *err = NULL;
    bool abandoned;

    qio_dns_resolver_lookup_sync(qio_dns_resolver_get_instance(),
                                 lookup->addr, &count, &found, &err);
    g_mutex_lock(&lookup->lock);
    lookup->done = true;
    lookup->found = found;
    lookup->count = count;
    lookup->err = err;
    abandoned = lookup->abandoned;
    g_cond_signal(&lookup->cond);
    g_mutex_unlock(&lookup->lock);
    if (abandoned) {
        lookup_free(lookup);
    }
    return NULL;
}

/* True when the lookup ended before patience did; else it is not ours now */
static bool lookup_wait(Lookup *lookup, const RioPatience *p)
{
    bool done;

    g_mutex_lock(&lookup->lock);
    while (!lookup->done && left_ns(p)) {
        g_cond_wait_until(&lookup->cond, &lookup->lock,
                          g_get_monotonic_time() + slice_ns(p) / 1000);
    }
    done = lookup->done;
    lookup->abandoned = !done;
    g_mutex_unlock(&lookup->lock);
    return done;
}

/* All addresses of a name, or NULL with *@errp set. */
static SocketAddress **resolve(const SocketAddress *addr, const RioPatience *p,
                               size_t *count, Error **errp)
{
    Lookup *lookup = g_new0(Lookup, 1);
    SocketAddress **found = NULL;

    g_mutex_init(&lookup->lock);
    g_cond_init(&lookup->cond);
    lookup->addr = QAPI_CLONE(SocketAddress, addr);
    g_thread_unref(g_thread_new("rio-lookup", lookup_thread, lookup));
    if (!lookup_wait(lookup, p)) {
        error_setg(errp, "the name '%s' could not be looked up in time%s",
                   addr->u.inet.host, cancelled(p) ? ": cancelled" : "");
        return NULL;
    }
    if (lookup->err) {
        error_propagate(errp, g_steal_pointer(&lookup->err));
    } else {
        found = g_steal_pointer(&lookup->found);
        *count = lookup->count;
    }
    lookup->count = found ? 0 : lookup->count;
    lookup_free(lookup);
    return found;
}

/* --- one address --- */

typedef union AnySockaddr {
    struct sockaddr any;
    struct sockaddr_storage storage;
    struct sockaddr_un un;
#ifdef CONFIG_AF_VSOCK
    struct sockaddr_vm vm;
#endif
} AnySockaddr;

static socklen_t fill_inet(const InetSocketAddress *inet, AnySockaddr *out,
                           Error **errp)
{
    struct addrinfo hints = {
        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
        .ai_socktype = SOCK_STREAM,
    };
    struct addrinfo *ai;
    socklen_t len;
    int rc = getaddrinfo(*inet->host ? inet->host : NULL, inet->port, &hints,
                         &ai);

    if (rc) {
        error_setg(errp, "%s", gai_strerror(rc));
        return 0;
    }
    len = ai->ai_addrlen;
    memcpy(out, ai->ai_addr, len);
    freeaddrinfo(ai);
    return len;
}

/*
 * A path is terminated and its length does not matter; an abstract name is
 * as long as it is said to be.
 */
static socklen_t fill_unix(const UnixSocketAddress *un, AnySockaddr *out,
                           Error **errp)
{
    size_t len = strlen(un->path);
    bool abstract = false, tight = true;

#ifdef CONFIG_LINUX
    abstract = un->has_abstract && un->abstract;
    tight = !un->has_tight || un->tight;
#endif
    if (abstract + len + !abstract > sizeof(out->un.sun_path)) {
        error_setg(errp, "the path is longer than %zu bytes",
                   sizeof(out->un.sun_path) - 1);
        return 0;
    }
    out->un.sun_family = AF_UNIX;
    memcpy(out->un.sun_path + abstract, un->path, len);
    return abstract && tight ?
           offsetof(struct sockaddr_un, sun_path) + 1 + len :
           sizeof(out->un);
}

static socklen_t fill_vsock(const VsockSocketAddress *vsock, AnySockaddr *out,
                            Error **errp)
{
#ifdef CONFIG_AF_VSOCK
    unsigned int cid, port;

    if (qemu_strtoui(vsock->cid, NULL, 10, &cid) < 0 ||
        qemu_strtoui(vsock->port, NULL, 10, &port) < 0) {
        error_setg(errp, "CID and port must be numbers");
        return 0;
    }
    out->vm.svm_family = AF_VSOCK;
    out->vm.svm_cid = cid;
    out->vm.svm_port = port;
    return sizeof(out->vm);
#else
    error_setg(errp, "this build has no vsock");
    return 0;
#endif
}

/* Numeric addresses only: names were resolved before. */
static socklen_t fill_sockaddr(const SocketAddress *addr, AnySockaddr *out,
                               Error **errp)
{
    memset(out, 0, sizeof(*out));
    switch (addr->type) {
    case SOCKET_ADDRESS_TYPE_INET:
        return fill_inet(&addr->u.inet, out, errp);
    case SOCKET_ADDRESS_TYPE_UNIX:
        return fill_unix(&addr->u.q_unix, out, errp);
    case SOCKET_ADDRESS_TYPE_VSOCK:
        return fill_vsock(&addr->u.vsock, out, errp);
    default:
        g_assert_not_reached();
    }
}

int rio_poll(int fd, short events, int64_t timeout_ns)
{
    struct pollfd pfd = { .fd = fd, .events = events };
    struct timespec ts = {
        .tv_sec = timeout_ns / NANOSECONDS_PER_SECOND,
        .tv_nsec = timeout_ns % NANOSECONDS_PER_SECOND,
    };

    return ppoll(&pfd, 1, timeout_ns < 0 ? NULL : &ts, NULL) > 0 ? pfd.revents
                                                                 : 0;
}

/* Returns: 0 or -errno of the connection attempt that has begun on @fd */
static int await_connected(int fd, const RioPatience *p)
{
    socklen_t len = sizeof(int);
    int err = 0;

    while (!rio_poll(fd, POLLOUT, slice_ns(p))) {
        if (!left_ns(p)) {
            return out_of_patience(p);
        }
    }
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0 ? -errno
                                                                : -err;
}

/*
 * Returns: 0 or -errno.  A Unix listener with a full queue answers EAGAIN at
 * once; every other kind of socket is waited for.
 */
static int connect_fd(int fd, const AnySockaddr *to, socklen_t len,
                      const RioPatience *p)
{
    while (connect(fd, &to->any, len) < 0) {
        if (errno == EINPROGRESS) {
            return await_connected(fd, p);
        }
        if (errno == EAGAIN && left_ns(p)) {
            g_usleep(MIN(UNIX_RETRY_NS, left_ns(p)) / 1000);
        } else if (errno != EINTR) {
            return errno == EAGAIN ? out_of_patience(p) : -errno;
        }
    }
    return 0;
}

static const char *failure_text(int err)
{
    return err == -ETIMEDOUT ? "no answer in time" :
           err == -ECANCELED ? "cancelled" : strerror(-err);
}

static int connect_one(const SocketAddress *addr, const RioPatience *p,
                       Error **errp)
{
    AnySockaddr to;
    socklen_t len = fill_sockaddr(addr, &to, errp);
    int fd, err;

    if (!len) {
        return -1;
    }
    fd = socket(to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                0);
    if (fd < 0) {
        error_setg_errno(errp, errno, "no socket");
        return -1;
    }
    err = connect_fd(fd, &to, len, p);
    if (err < 0) {
        close(fd);
        error_setg(errp, "%s", failure_text(err));
        return -1;
    }
    return fd;
}

/* --- all addresses of a name --- */

/*
 * One address after the other; each gets an equal share of the time that is
 * left, so that a dead one does not use up that of the next.
 */
static int connect_any(SocketAddress **found, size_t count,
                       const RioPatience *p, Error **errp)
{
    Error *err = NULL;
    int fd = -1;

    for (size_t i = 0; i < count && fd < 0; i++) {
        int64_t now = g_get_monotonic_time();
        int64_t left = MAX(p->deadline_us - now, 0);
        RioPatience share = { now + left / (int64_t)(count - i), p->cancel };

        error_free(g_steal_pointer(&err));
        fd = connect_one(found[i], &share, &err);
    }
    if (fd < 0) {
        error_propagate(errp, err);
    } else {
        error_free(err);
    }
    return fd;
}

/* A literal address needs no thread for its lookup. */
int rio_connect(const SocketAddress *addr, const RioPatience *p, Error **errp)
{
    SocketAddress **found;
    size_t count = 0;
    int fd;

    if (addr->type == SOCKET_ADDRESS_TYPE_FD) {
        return socket_connect((SocketAddress *)addr, errp);
    }
    if (addr->type != SOCKET_ADDRESS_TYPE_INET ||
        g_hostname_is_ip_address(addr->u.inet.host)) {
        return connect_one(addr, p, errp);
    }
    found = resolve(addr, p, &count, errp);
    if (!found) {
        return -1;
    }
    fd = connect_any(found, count, p, errp);
    free_found(found, count);
    return fd;
}
