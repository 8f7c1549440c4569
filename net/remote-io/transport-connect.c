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
#include "qemu/cutils.h"
#include "io/dns-resolver.h"
#include "net/remote-io/transport-internal.h"

/* A Unix listener whose queue is full cannot be waited for, only asked */
#define UNIX_RETRY_NS 2000000

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

/* True when the lookup ended before @deadline_us; else it is not ours now */
static bool lookup_wait(Lookup *lookup, int64_t deadline_us)
{
    bool done;

    g_mutex_lock(&lookup->lock);
    while (!lookup->done &&
           g_cond_wait_until(&lookup->cond, &lookup->lock, deadline_us)) {
        continue;
    }
    done = lookup->done;
    lookup->abandoned = !done;
    g_mutex_unlock(&lookup->lock);
    return done;
}

static SocketAddress **resolve(const SocketAddress *addr, int64_t deadline_us,
                               size_t *count, Error **errp)
{
    Lookup *lookup = g_new0(Lookup, 1);
    SocketAddress **found = NULL;

    g_mutex_init(&lookup->lock);
    g_cond_init(&lookup->cond);
    lookup->addr = QAPI_CLONE(SocketAddress, addr);
    g_thread_unref(g_thread_new("rio-lookup", lookup_thread, lookup));
    if (!lookup_wait(lookup, deadline_us)) {
        error_setg(errp, "the name '%s' could not be looked up in time",
                   addr->u.inet.host);
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

static int64_t left_ns(int64_t deadline_us)
{
    return MAX(deadline_us - g_get_monotonic_time(), 0) * 1000;
}

/* Returns: 0 or the errno of the connection attempt that has begun on @fd */
static int await_connected(int fd, int64_t deadline_us)
{
    socklen_t len = sizeof(int);
    int err = 0;

    while (!rio_poll(fd, POLLOUT, left_ns(deadline_us))) {
        if (!left_ns(deadline_us)) {
            return ETIMEDOUT;
        }
    }
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0 ? errno : err;
}

static int connect_fd(int fd, const AnySockaddr *to, socklen_t len,
                      int64_t deadline_us)
{
    while (connect(fd, &to->any, len) < 0) {
        if (errno == EINPROGRESS) {
            return await_connected(fd, deadline_us);
        }
        if (errno == EAGAIN && left_ns(deadline_us)) {
            g_usleep(MIN(UNIX_RETRY_NS, left_ns(deadline_us)) / 1000);
        } else if (errno != EINTR) {
            return errno == EAGAIN ? ETIMEDOUT : errno;
        }
    }
    return 0;
}

static int connect_one(const SocketAddress *addr, int64_t deadline_us,
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
    err = connect_fd(fd, &to, len, deadline_us);
    if (err) {
        close(fd);
        error_setg(errp, "%s", err == ETIMEDOUT ? "no answer in time"
                                                : strerror(err));
        return -1;
    }
    return fd;
}

/* --- all addresses of a name --- */

static int connect_any(SocketAddress **found, size_t count,
                       int64_t deadline_us, Error **errp)
{
    Error *err = NULL;
    int fd = -1;

    for (size_t i = 0; i < count && fd < 0; i++) {
        int64_t now = g_get_monotonic_time();
        int64_t share = MAX(deadline_us - now, 0) / (int64_t)(count - i);

        error_free(g_steal_pointer(&err));
        fd = connect_one(found[i], now + share, &err);
    }
    if (fd < 0) {
        error_propagate(errp, err);
    } else {
        error_free(err);
    }
    return fd;
}

int rio_connect(const SocketAddress *addr, int64_t deadline_us, Error **errp)
{
    SocketAddress **found;
    size_t count = 0;
    int fd;

    if (addr->type == SOCKET_ADDRESS_TYPE_FD) {
        return socket_connect((SocketAddress *)addr, errp);
    }
    if (addr->type != SOCKET_ADDRESS_TYPE_INET ||
        g_hostname_is_ip_address(addr->u.inet.host)) {
        return connect_one(addr, deadline_us, errp);
    }
    found = resolve(addr, deadline_us, &count, errp);
    if (!found) {
        return -1;
    }
    fd = connect_any(found, count, deadline_us, errp);
    free_found(found, count);
    return fd;
}
