/*
 * remote-io-server: its QMP commands
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "monitor/monitor.h"
#include "monitor/monitor-internal.h"
#include "qapi/error.h"
#include "qapi/qmp-registry.h"
#include "qapi/util.h"
#include "qobject/qbool.h"
#include "qobject/qdict.h"
#include "qobject/qnum.h"
#include "qobject/qstring.h"
#include "server/qapi/qapi-commands.h"
#include "server/qapi/qapi-init-commands.h"

#include "directory.h"
#include "filter.h"
#include "move.h"
#include "irqvm.h"

/* ------------------------------------------------------------ queries */

static RemoteIORestart riod_monitor_restart(uint8_t restart)
{
    switch (restart) {
    case RIO_RESTART_STATELESS:
        return REMOTE_IO_RESTART_STATELESS;
    case RIO_RESTART_JOURNALED:
        return REMOTE_IO_RESTART_JOURNALED;
    default:
        return REMOTE_IO_RESTART_VOLATILE;
    }
}

static RemoteIOSession *riod_monitor_session(const RiodSession *s)
{
    RemoteIOSession *out = g_new0(RemoteIOSession, 1);

    out->client = g_strdup(s->client->name);
    out->client_id = s->ids.client;
    out->vm = g_strdup(s->vm->name);
    out->vm_id = s->ids.vm;
    out->device = g_strdup(s->device);
    out->lost = qatomic_read(&s->lost);
    out->reads = qatomic_read(&s->reads);
    out->writes = qatomic_read(&s->writes);
    out->posted_writes = qatomic_read(&s->posted);
    out->refused = qatomic_read(&s->refused);
    out->interrupts = qatomic_read(&s->interrupts);
    out->resumes = qatomic_read(&s->resumes);
    out->dma_reads = qatomic_read(&s->stats.dma_reads);
    out->dma_read_bytes = qatomic_read(&s->stats.dma_read_bytes);
    out->dma_writes = qatomic_read(&s->stats.dma_writes);
    out->dma_write_bytes = qatomic_read(&s->stats.dma_write_bytes);
    out->dma_refused = qatomic_read(&s->stats.dma_refused);
    out->doorbells = qatomic_read(&s->stats.doorbells);
    out->doorbell_bytes = qatomic_read(&s->stats.doorbell_bytes);
    out->doorbell_bytes_used = qatomic_read(&s->stats.doorbell_used);
    out->shared_memory = qatomic_read(&s->stats.shared_bytes);
    out->shared_accesses = qatomic_read(&s->stats.shared_accesses);
    out->shared_bytes = qatomic_read(&s->stats.shared_access_bytes);
    return out;
}

/* Tables' lock held */
static void riod_monitor_module(RiodInstance *inst, void *opaque)
{
    RemoteIOModuleList ***tail = opaque;
    RemoteIOModule *out = g_new0(RemoteIOModule, 1);
    RemoteIOSessionList **sessions = &out->sessions;

    out->id = g_strdup(inst->id);
    out->driver = g_strdup(inst->type->name);
    out->module_id = inst->number;
    out->incoming = qatomic_read(&inst->waits);
    out->restart = riod_monitor_restart(inst->desc.restart);
    out->iothread = g_strdup(inst->home->name ?: "");
    out->max_clients = inst->max_clients;
    for (unsigned i = 0; i < inst->max_clients; i++) {
        if (inst->clients[i]) {
            QAPI_LIST_APPEND(sessions, riod_monitor_session(inst->clients[i]));
        }
    }
    QAPI_LIST_APPEND(*tail, out);
}

RemoteIOModuleList *qmp_query_remote_io_modules(Error **errp)
{
    RemoteIOModuleList *list = NULL, **tail = &list;

    riod_tables_lock();
    riod_instances_foreach_locked(riod_monitor_module, &tail);
    riod_tables_unlock();
    return list;
}

static void riod_monitor_connection(RiodConnection *conn, void *opaque)
{
    RemoteIOConnectionList ***tail = opaque;
    RemoteIOConnection *out = g_new0(RemoteIOConnection, 1);
    const RioLinkStats *stats;
    RiodSession *s;

    QEMU_LOCK_GUARD(&conn->lock);
    stats = rio_link_stats(conn->link);
    out->peer = g_strdup(conn->peer);
    out->client = g_strdup(rio_link_peer_name(conn->link));
    out->software = g_strdup(rio_link_peer_software(conn->link));
    QLIST_FOREACH(s, &conn->sessions, on_conn) {
        out->sessions++;
    }
    out->frames_in = stats->rx_frames;
    out->frames_out = stats->tx_frames;
    out->messages_in = stats->rx_messages;
    out->messages_out = stats->tx_messages;
    out->bytes_in = stats->rx_bytes;
    out->bytes_out = stats->tx_bytes;
    QAPI_LIST_APPEND(*tail, out);
}

RemoteIOServerInfo *qmp_query_remote_io_server(Error **errp)
{
    RemoteIOServerInfo *out = g_new0(RemoteIOServerInfo, 1);
    RemoteIOConnectionList **tail = &out->connections;
    strList **addresses = &out->listen;
    g_auto(GStrv) listen = riod_listen_addresses();

    out->name = g_strdup(riod_config.server_name);
    out->server_id = riod_config.server_id;
    out->version = RIO_VERSION;
    for (char **text = listen; text && *text; text++) {
        QAPI_LIST_APPEND(addresses, g_strdup(*text));
    }
    riod_connections_foreach(riod_monitor_connection, &tail);
    return out;
}

static void riod_monitor_route(RiodRoute *r, void *opaque)
{
    RemoteIOPeerList *l = opaque;
    RemoteIORoute *out;

    while (!g_str_equal(l->value->id, r->peer->id)) {
        l = l->next;
    }
    out = g_new0(RemoteIORoute, 1);
    out->client = g_strdup(r->client->name);
    out->vm = g_strdup(r->vm ? r->vm->name : "");
    out->device = g_strdup(r->device);
    out->module = g_strdup(r->module);
    out->state = r->state == RIOD_ROUTE_LIVE ? REMOTE_IO_ROUTE_STATE_LIVE :
                 r->state == RIOD_ROUTE_LOST ? REMOTE_IO_ROUTE_STATE_LOST :
                                           REMOTE_IO_ROUTE_STATE_RESUMING;
    out->epoch = r->epoch;
    out->resumes = r->resumes;
    out->messages_up = r->messages[RIOD_UP];
    out->messages_down = r->messages[RIOD_DOWN];
    out->bytes_up = r->bytes[RIOD_UP];
    out->bytes_down = r->bytes[RIOD_DOWN];
    QAPI_LIST_PREPEND(l->value->routes, out);
}

static void riod_monitor_peers(void *opaque)
{
    RemoteIOPeerList **list = opaque, **tail = list;
    RiodPeer *peer = NULL;

    while ((peer = riod_peer_next(peer))) {
        RemoteIOPeer *out = g_new0(RemoteIOPeer, 1);

        out->id = g_strdup(peer->id);
        out->address = g_strdup(peer->text);
        out->connected = peer->conn;
        out->trouble = g_strdup(peer->trouble);
        out->connects = peer->connects;
        QAPI_LIST_APPEND(tail, out);
    }
    riod_routes_foreach(riod_monitor_route, *list);
}

RemoteIOPeerList *qmp_query_remote_io_peers(Error **errp)
{
    RemoteIOPeerList *list = NULL;

    riod_home_call(riod_home_default(), riod_monitor_peers, &list);
    return list;
}

RemoteIOFilterList *qmp_query_remote_io_filters(Error **errp)
{
    RemoteIOFilterList *list = NULL, **tail = &list;
    const RiodFilter *f = NULL;

    while ((f = riod_filter_next(f))) {
        RemoteIOFilter *out = g_new0(RemoteIOFilter, 1);

        out->id = g_strdup(f->id);
        out->type = g_strdup(f->type->name);
        out->on = g_strdup(f->inst ? f->inst->id : "connection");
        out->client = g_strdup(f->client);
        out->seen = qatomic_read(&f->seen);
        out->acted = qatomic_read(&f->acted);
        QAPI_LIST_APPEND(tail, out);
    }
    return list;
}

static void riod_monitor_source(const RiodSourceInfo *info, void *opaque)
{
    RemoteIODirectorySourceList ***tail = opaque;
    RemoteIODirectorySource *out = g_new0(RemoteIODirectorySource, 1);

    out->directory = g_strdup(info->text);
    out->trouble = g_strdup(info->trouble);
    out->has_registered = info->registers;
    out->registered = info->registered;
    QAPI_LIST_APPEND(*tail, out);
}

static void riod_monitor_known(const RiodKnown *known, void *opaque)
{
    RemoteIOKnownModuleList ***tail = opaque;
    RemoteIOKnownModule *out = g_new0(RemoteIOKnownModule, 1);
    strList **addresses = &out->addresses;

    out->server = g_strdup(known->server);
    out->module = g_strdup(known->module);
    out->directory = g_strdup(known->source);
    out->peer = g_strdup(known->peer);
    out->distance = known->distance;
    out->has_addresses = known->addresses;
    for (char **text = known->addresses; text && *text; text++) {
        QAPI_LIST_APPEND(addresses, g_strdup(*text));
    }
    QAPI_LIST_APPEND(*tail, out);
}

static void riod_monitor_directory(void *opaque)
{
    RemoteIODirectory *out = opaque;
    RemoteIODirectorySourceList **sources = &out->sources;
    RemoteIOKnownModuleList **known = &out->known;

    riod_sources_foreach(riod_monitor_source, &sources);
    riod_directory_foreach(riod_monitor_known, &known);
}

RemoteIODirectory *qmp_query_remote_io_directory(Error **errp)
{
    RemoteIODirectory *out = g_new0(RemoteIODirectory, 1);

    riod_home_call(riod_home_default(), riod_monitor_directory, out);
    return out;
}

static RemoteIOMovePhase riod_monitor_phase(RiodMoveState state)
{
    switch (state) {
    case RIOD_MOVE_OFFERING:
        return REMOTE_IO_MOVE_PHASE_OFFERING;
    case RIOD_MOVE_STOPPING:
    case RIOD_MOVE_DOOMED:
        return REMOTE_IO_MOVE_PHASE_STOPPING;
    case RIOD_MOVE_SENDING:
        return REMOTE_IO_MOVE_PHASE_SENDING;
    case RIOD_MOVE_COMMITTING:
        return REMOTE_IO_MOVE_PHASE_COMMITTING;
    case RIOD_MOVE_DONE:
        return REMOTE_IO_MOVE_PHASE_DONE;
    default:
        return REMOTE_IO_MOVE_PHASE_FAILED;
    }
}

static void riod_monitor_move(const RiodMoveInfo *info, void *opaque)
{
    RemoteIOMoveList ***tail = opaque;
    RemoteIOMove *out = g_new0(RemoteIOMove, 1);

    out->id = g_strdup(info->module);
    out->to = g_strdup(info->server);
    out->module = g_strdup(info->as);
    out->phase = riod_monitor_phase(info->state);
    out->error = g_strdup(info->trouble);
    out->bytes = info->done;
    out->total = info->total;
    out->blackout_us = info->blackout_ns / SCALE_US;
    QAPI_LIST_APPEND(*tail, out);
}

static void riod_monitor_moves(void *opaque)
{
    RemoteIOMoveList **tail = opaque;

    riod_moves_foreach(riod_monitor_move, &tail);
}

RemoteIOMoveList *qmp_query_remote_io_moves(Error **errp)
{
    RemoteIOMoveList *list = NULL;

    riod_home_call(riod_home_default(), riod_monitor_moves, &list);
    return list;
}

/* ------------------------------------------------------------ changes */

void qmp_remote_io_directory_reload(Error **errp)
{
    riod_directory_reload(errp);
}

typedef struct MoveCall {
    const char *id, *to, *module;
    bool ok;
    RioError err;
} MoveCall;

static void riod_monitor_start_move(void *opaque)
{
    MoveCall *call = opaque;

    call->ok = riod_move_start(call->id, call->to, call->module, &call->err);
}

void qmp_remote_io_module_move(const char *id, const char *to,
                               const char *module, Error **errp)
{
    MoveCall call = { .id = id, .to = to, .module = module };

    if (module && strlen(module) > RIO_MAX_STRING) {
        error_setg(errp, "a module id has at most %u bytes", RIO_MAX_STRING);
        return;
    }
    riod_home_call(riod_home_default(), riod_monitor_start_move, &call);
    if (!call.ok) {
        error_setg(errp, "%s", call.err.text);
    }
}

static void riod_monitor_cancel_move(void *opaque)
{
    MoveCall *call = opaque;

    call->ok = riod_move_cancel(call->id, &call->err);
}

void qmp_remote_io_module_move_cancel(const char *id, Error **errp)
{
    MoveCall call = { .id = id };

    riod_home_call(riod_home_default(), riod_monitor_cancel_move, &call);
    if (!call.ok) {
        error_setg(errp, "%s", call.err.text);
    }
}

/* A member of the command as the text that --module would have had */
static char *riod_monitor_text(const char *key, QObject *value, Error **errp)
{
    switch (qobject_type(value)) {
    case QTYPE_QSTRING:
        return g_strdup(qstring_get_str(qobject_to(QString, value)));
    case QTYPE_QNUM:
        return qnum_to_string(qobject_to(QNum, value));
    case QTYPE_QBOOL:
        return g_strdup(qbool_get_bool(qobject_to(QBool, value)) ? "on"
                                                                 : "off");
    default:
        error_setg(errp, "parameter '%s' takes a string, a number or a "
                   "boolean", key);
        return NULL;
    }
}

/* All members as text, or NULL with *@errp */
static QDict *riod_monitor_texts(const QDict *qdict, Error **errp)
{
    g_autoptr(QDict) args = qdict_new();

    for (const QDictEntry *e = qdict_first(qdict); e;
         e = qdict_next(qdict, e)) {
        const char *key = qdict_entry_key(e);
        g_autofree char *text =
            riod_monitor_text(key, qdict_entry_value(e), errp);

        if (!text) {
            return NULL;
        }
        qdict_put_str(args, key, text);
    }
    return g_steal_pointer(&args);
}

static void qmp_remote_io_module_add(QDict *qdict, QObject **ret_data,
                                     Error **errp)
{
    g_autoptr(QDict) args = riod_monitor_texts(qdict, errp);

    if (args) {
        riod_instance_add(args, errp);
    }
}

static void qmp_remote_io_filter_add(QDict *qdict, QObject **ret_data,
                                     Error **errp)
{
    g_autoptr(QDict) args = riod_monitor_texts(qdict, errp);

    if (args) {
        riod_filter_add(args, errp);
    }
}

void qmp_remote_io_filter_del(const char *id, Error **errp)
{
    riod_filter_del(id, errp);
}

void qmp_remote_io_module_del(const char *id, Error **errp)
{
    riod_instance_del(id, errp);
}

void qmp_remote_io_interrupt_vm(const char *id, bool has_vector,
                                uint16_t vector, const char *vm, Error **errp)
{
    RiodInstance *inst;
    RioError err;

    inst = riod_instance_find(id, &err);
    if (!inst) {
        error_setg(errp, "%s", err.text);
        return;
    }
    riod_irq_vm_set(inst, has_vector ? vector : -1, vm, errp);
    riod_instance_unref(inst);
}

void riod_monitor_init(void)
{
    qmp_init_marshal(&qmp_commands);
    qmp_register_command(&qmp_commands, "remote-io-module-add",
                         qmp_remote_io_module_add, 0, 0);
    qmp_register_command(&qmp_commands, "remote-io-filter-add",
                         qmp_remote_io_filter_add, 0, 0);

    QTAILQ_INIT(&qmp_cap_negotiation_commands);
    qmp_register_command(&qmp_cap_negotiation_commands, "qmp_capabilities",
                         qmp_marshal_qmp_capabilities,
                         QCO_ALLOW_PRECONFIG, 0);
}
