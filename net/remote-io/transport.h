/*
 * remote-io transport: TCP, Unix and vsock sockets
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A thin layer over QIOChannel that never delays: TCP_NODELAY is set on every
 * TCP socket, sends and receives do not block, and the waiting is a call of
 * its own so that its owner decides how long to spin.  One thread may send
 * while one other receives.
 */

#ifndef NET_REMOTE_IO_TRANSPORT_H
#define NET_REMOTE_IO_TRANSPORT_H

#include <sys/uio.h>
#include <time.h>

#include "io/channel-socket.h"
#include "qapi/qapi-types-sockets.h"

typedef struct RioTransport RioTransport;

/**
 * rio_address_parse:
 * @text: "tcp:host:port", "tcp:[v6]:port", "unix:path", "vsock:cid:port"
 * @errp: says what is wrong with @text and shows the forms
 *
 * Returns: a SocketAddress the caller frees, or NULL.
 */
SocketAddress *rio_address_parse(const char *text, Error **errp);

/* The same short form of an address, for messages; caller frees */
char *rio_address_text(const SocketAddress *addr);

/**
 * rio_transport_connect:
 * @timeout_ms: give up after this time (each address of a name shares it)
 * @cancel: give up soon after another thread sets this (qatomic); or NULL
 *
 * Blocks; call it from a thread that may.  Needs neither BQL nor main loop.
 * Returns: NULL with *@errp naming the address and the cause.
 */
RioTransport *rio_transport_connect(const SocketAddress *addr,
                                    int64_t timeout_ms, const bool *cancel,
                                    Error **errp);

/* Take over an accepted (or paired) connection; takes a reference of @ioc */
RioTransport *rio_transport_new(QIOChannelSocket *ioc, Error **errp);

void rio_transport_free(RioTransport *t);           /* NULL-safe, closes */

/* The peer's address in the short form, for messages */
const char *rio_transport_peer(const RioTransport *t);

/* For poll and epoll */
int rio_transport_fd(const RioTransport *t);

/*
 * What time it is for rio_link_received() and rio_link_tx_done(), in
 * milliseconds of the monotonic clock.  Up to a tick of the kernel late, which
 * a keep-alive does not mind, and a fifth of the price of the exact time: these
 * are called for each message.
 */
static inline int64_t rio_transport_now_ms(void)
{
#ifdef CLOCK_MONOTONIC_COARSE
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return ts.tv_sec * 1000ll + ts.tv_nsec / 1000000;
#else
    return g_get_monotonic_time() / 1000;
#endif
}

/* Results below 0 of the two calls that follow */
#define RIO_TRANSPORT_AGAIN (-1)    /* nothing now; wait, then try again */
#define RIO_TRANSPORT_ERROR (-2)    /* *errp is set; the connection is over */

/* Returns: bytes taken (> 0) or one of the above; never blocks */
ssize_t rio_transport_send(RioTransport *t, const struct iovec *iov, int n,
                           Error **errp);

/* Returns: bytes received, 0 at end of stream, or one of the above */
ssize_t rio_transport_recv(RioTransport *t, void *buf, size_t size,
                           Error **errp);

/**
 * rio_transport_poll:
 * @until_ns: time of the monotonic clock
 *
 * Like rio_transport_recv(), but ask the socket again and again until
 * something is there or it is @until_ns; at least once.
 */
ssize_t rio_transport_poll(RioTransport *t, void *buf, size_t size,
                           int64_t until_ns, Error **errp);

/**
 * rio_transport_wait:
 * @events: G_IO_IN | G_IO_OUT
 * @timeout_ns: at most this long; < 0 = for ever
 *
 * Returns: the events that are there, 0 on timeout or signal.
 */
int rio_transport_wait(RioTransport *t, int events, int64_t timeout_ns);

/* --- file descriptors: Unix sockets only --- */

/* Most that may go with one send, and that are kept of those received */
#define RIO_TRANSPORT_FILES 16u

/* Can they go along at all? */
bool rio_transport_passes_files(const RioTransport *t);

/* Like rio_transport_send(); @files go with the first byte and stay open */
ssize_t rio_transport_send_files(RioTransport *t, const struct iovec *iov,
                                 int n, const int *files, unsigned num,
                                 Error **errp);

/*
 * Take those that the peer sends, from now on; any thread.  Without this the
 * kernel closes them.  It costs a little with each receive.
 */
void rio_transport_accept_files(RioTransport *t);

/**
 * rio_transport_take_files: those that came with the last receive
 * @files: room for RIO_TRANSPORT_FILES; they are the caller's now
 *
 * What is not taken is closed with the next ones, or by this.
 * Returns: how many, 0 when none came.  @files NULL: close them.
 */
unsigned rio_transport_take_files(RioTransport *t, int *files);

/* Did any come that were not taken? */
bool rio_transport_has_files(const RioTransport *t);

/* Did some come with the last receive?  True once */
bool rio_transport_got_files(RioTransport *t);

/* End the connection now; wakes whoever waits on it; any thread */
void rio_transport_shutdown(RioTransport *t);

#endif /* NET_REMOTE_IO_TRANSPORT_H */
