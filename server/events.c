/*
 * remote-io-server: what QMP clients are told without asking
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "server/qapi/qapi-events-remote-io-server.h"
#include "internal.h"
#include "trace.h"

void riod_event_attached(RiodSession *s)
{
    qapi_event_send_remote_io_client_attached(s->inst->id, s->client->name,
                                              s->vm->name, s->device);
}

/* Who is told to go on elsewhere was not detached */
void riod_event_detached(RiodSession *s)
{
    if (!s->inst->forgotten && !qatomic_read(&s->inst->waits)) {
        qapi_event_send_remote_io_client_detached(s->inst->id,
                                                  s->client->name,
                                                  s->vm->name, s->device);
    }
}

void riod_event_moved(const char *module, const char *server, const char *as,
                      const char *trouble)
{
    if (trouble) {
        qapi_event_send_remote_io_module_move_failed(module, server, trouble);
    } else {
        qapi_event_send_remote_io_module_moved(module, server, as);
    }
}

void riod_event_moved_in(RiodInstance *inst, const char *server)
{
    qapi_event_send_remote_io_module_moved_in(inst->id, server);
}

void riod_event_server(const char *server, const char *source, bool found)
{
    trace_riod_directory_server(source, server, found);
    if (found) {
        qapi_event_send_remote_io_server_found(server, source);
    } else {
        qapi_event_send_remote_io_server_gone(server, source);
    }
}

void riod_event_directory(const char *source, const char *trouble,
                          unsigned modules)
{
    qapi_event_send_remote_io_directory_changed(source, modules, trouble);
}

void riod_event_taken(const char *source, const char *address)
{
    qapi_event_send_remote_io_server_id_taken(riod_config.server_name,
                                              source, address);
}
