/*
 * remote-io-server: what QMP clients are told without asking
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The monitor comes from QEMU and limits the rate of some events, which it
 * knows by their number in QEMU's own schema.  Ours has other numbers: the
 * functions that are generated for our events would hit upon those limits, or
 * worse.  So events are sent by name, under a number that is not limited.
 */

#include "qemu/osdep.h"
#include "qapi/qmp-event.h"
#include "qobject/qdict.h"
#include "server/qapi/qapi-emit-events.h"
#include "internal.h"
#include "trace.h"

#define NOT_LIMITED 0

/* Takes @data */
static void emit(const char *name, QDict *data)
{
    QDict *event = qmp_event_build_dict(name);

    qdict_put(event, "data", data);
    qapi_event_emit(NOT_LIMITED, event);
    qobject_unref(event);
}

static QDict *client_data(const RiodSession *s)
{
    QDict *data = qdict_new();

    qdict_put_str(data, "module", s->inst->id);
    qdict_put_str(data, "client", s->client->name);
    qdict_put_str(data, "vm", s->vm->name);
    qdict_put_str(data, "device", s->device);
    return data;
}

void riod_event_attached(RiodSession *s)
{
    emit("REMOTE_IO_CLIENT_ATTACHED", client_data(s));
}

/* Who is told to go on elsewhere was not detached */
void riod_event_detached(RiodSession *s)
{
    if (!s->inst->forgotten && !qatomic_read(&s->inst->waits)) {
        emit("REMOTE_IO_CLIENT_DETACHED", client_data(s));
    }
}

void riod_event_moved(const char *module, const char *server, const char *as,
                      const char *trouble)
{
    QDict *data = qdict_new();

    qdict_put_str(data, "id", module);
    qdict_put_str(data, "to", server);
    if (trouble) {
        qdict_put_str(data, "error", trouble);
        emit("REMOTE_IO_MODULE_MOVE_FAILED", data);
    } else {
        qdict_put_str(data, "module", as);
        emit("REMOTE_IO_MODULE_MOVED", data);
    }
}

void riod_event_moved_in(RiodInstance *inst, const char *server)
{
    QDict *data = qdict_new();

    qdict_put_str(data, "id", inst->id);
    qdict_put_str(data, "from", server);
    emit("REMOTE_IO_MODULE_MOVED_IN", data);
}

void riod_event_server(const char *server, const char *source, bool found)
{
    QDict *data = qdict_new();

    trace_riod_directory_server(source, server, found);
    qdict_put_str(data, "server", server);
    qdict_put_str(data, "source", source);
    emit(found ? "REMOTE_IO_SERVER_FOUND" : "REMOTE_IO_SERVER_GONE", data);
}

void riod_event_directory(const char *source, const char *trouble,
                          unsigned modules)
{
    QDict *data = qdict_new();

    qdict_put_str(data, "source", source);
    qdict_put_int(data, "modules", modules);
    if (trouble) {
        qdict_put_str(data, "trouble", trouble);
    }
    emit("REMOTE_IO_DIRECTORY_CHANGED", data);
}

void riod_event_taken(const char *source, const char *address)
{
    QDict *data = qdict_new();

    qdict_put_str(data, "server", riod_config.server_name);
    qdict_put_str(data, "source", source);
    qdict_put_str(data, "address", address);
    emit("REMOTE_IO_SERVER_ID_TAKEN", data);
}
