/*
 * remote-io: trace events of a link
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The link itself knows nothing of QEMU, so whoever makes one says in its
 * RioLinkConfig that rio_link_tracer is to watch it:
 *
 *     .watch = &rio_link_tracer, .watch_opaque = (void *)who
 *
 * @who is a string that names the link in each line of trace; it belongs to
 * the caller and lives as long as the link.  Shown are the rio_* events of
 * this folder: each message, and each change of the link's state.
 */

#ifndef NET_REMOTE_IO_TRACE_LINK_H
#define NET_REMOTE_IO_TRACE_LINK_H

#include "net/remote-io/link.h"

extern const RioLinkWatch rio_link_tracer;

#endif /* NET_REMOTE_IO_TRACE_LINK_H */
