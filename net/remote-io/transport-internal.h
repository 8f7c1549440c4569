/*
 * remote-io transport: what its files share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef NET_REMOTE_IO_TRANSPORT_INTERNAL_H
#define NET_REMOTE_IO_TRANSPORT_INTERNAL_H

#include "net/remote-io/transport.h"

/* How long to wait for a connection */
typedef struct RioPatience {
    int64_t deadline_us;        /* of g_get_monotonic_time() */
    const bool *cancel;         /* no longer once this is true; may be NULL */
} RioPatience;

/* A connected socket for @addr within @p, or -1 with *@errp set */
int rio_connect(const SocketAddress *addr, const RioPatience *p, Error **errp);

/* Wait for @events of poll() on @fd; the events, 0 after @timeout_ns */
int rio_poll(int fd, short events, int64_t timeout_ns);

#endif /* NET_REMOTE_IO_TRANSPORT_INTERNAL_H */
