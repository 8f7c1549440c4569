/*
 * remote-io-server: events on their way to QMP clients
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU's monitor knows an event by its number in QEMU's schema, and holds some
 * of them back when they come too often.  The numbers of the server's schema
 * are others, so those events are passed on under a number that means none of
 * these; their name is in the event itself.
 */

#include "qemu/osdep.h"
#include "qapi/qapi-emit-events.h"
#include "emit.h"

void riod_event_emit(unsigned event, QDict *qdict)
{
    qapi_event_emit(QAPI_EVENT_SHUTDOWN, qdict);
}
