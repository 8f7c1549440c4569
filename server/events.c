/*
 * remote-io-server: what QMP clients are told without asking
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "server/qapi/qapi-events-remote-io-server.h"
#include "internal.h"

void riod_event_attached(RiodSession *s)
{
    qapi_event_send_remote_io_client_attached(s->inst->id, s->client->name,
                                              s->vm->name, s->device);
}

void riod_event_detached(RiodSession *s)
{
    qapi_event_send_remote_io_client_detached(s->inst->id, s->client->name,
                                              s->vm->name, s->device);
}
