/*
 * remote-io-server internals: what generated code calls to emit an event
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef SERVER_EMIT_H
#define SERVER_EMIT_H

#include "qobject/qdict.h"

/* Any thread.  @event: its number in the server's schema */
void riod_event_emit(unsigned event, QDict *qdict);

#endif /* SERVER_EMIT_H */
