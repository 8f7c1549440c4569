/*
 * remote-io transport: what its files share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef NET_REMOTE_IO_TRANSPORT_INTERNAL_H
#define NET_REMOTE_IO_TRANSPORT_INTERNAL_H

#include "net/remote-io/transport.h"

/*
 * A connected socket for @addr, ready by @deadline_us (of
 * g_get_monotonic_time()), or -1 with *@errp set.
 */
int rio_connect(const SocketAddress *addr, int64_t deadline_us, Error **errp);

/* Wait for @events of poll() on @fd; the events, 0 after @timeout_ns */
int rio_poll(int fd, short events, int64_t timeout_ns);

#endif /* NET_REMOTE_IO_TRANSPORT_INTERNAL_H */
