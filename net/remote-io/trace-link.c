/*
 * remote-io: trace events of a link
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "net/remote-io/trace-link.h"
#include "trace.h"

static bool tracer_wanted(void)
{
    return trace_event_get_state_backends(TRACE_RIO_SENT) ||
           trace_event_get_state_backends(TRACE_RIO_RECEIVED) ||
           trace_event_get_state_backends(TRACE_RIO_LINK_STATE);
}

static void tracer_message(void *who, bool sent, const RioMessage *m)
{
    if (sent) {
        trace_rio_sent(who, rio_op_name(m->op), rio_status_name(m->status),
                       m->ids.vm, m->ids.module, m->epoch, m->seq, m->ack,
                       m->tag, m->length);
    } else {
        trace_rio_received(who, rio_op_name(m->op),
                           rio_status_name(m->status), m->ids.vm,
                           m->ids.module, m->epoch, m->seq, m->ack, m->tag,
                           m->length);
    }
}

static void tracer_state(void *who, const char *state)
{
    trace_rio_link_state(who, state);
}

const RioLinkWatch rio_link_tracer = {
    .wanted = tracer_wanted,
    .message = tracer_message,
    .state = tracer_state,
};
