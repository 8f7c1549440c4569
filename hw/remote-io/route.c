/*
 * remote-io device: query-remote-io-route, the way to the module
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The request travels on the device's own connection, beside its accesses.
 * Whoever receives the answer files it; the monitor's coroutine looks for it
 * now and then and holds up nobody.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-remote-io.h"
#include "qemu/coroutine.h"
#include "core.h"

#define LOOK_NS (1 * SCALE_MS)

/* One server of the way, as it goes into the answer */
static RemoteIOHop *new_hop(const RioTraceRecord *record)
{
    RemoteIOHop *hop = g_new0(RemoteIOHop, 1);

    hop->server = g_strdup(record->name);
    hop->server_id = record->server;
    hop->hops = record->hops;
    hop->nanoseconds = record->nanoseconds;
    return hop;
}

void remote_io_route_reply_locked(RemoteIOCore *s, const RioMessage *m)
{
    RemoteIORouteInfo *info;
    RemoteIOHopList **tail;
    RioTraceRecord record;
    size_t at = 0;

    if (!s->route.waiting || m->tag != s->route.tag) {
        return;                 /* whoever asked has given up */
    }
    s->route.waiting = false;
    if (m->status != RIO_STATUS_OK) {
        s->route.refusal = g_strdup(m->reason[0] ? m->reason :
                                    rio_status_text(m->status));
        return;
    }
    info = g_new0(RemoteIORouteInfo, 1);
    info->nanoseconds = remote_io_now_ns() - s->route.sent_ns;
    tail = &info->hops;
    while (rio_trace_get(m->payload, &at, &record)) {
        QAPI_LIST_APPEND(tail, new_hop(&record));
    }
    s->route.info = info;
}

static bool ask_locked(RemoteIOCore *s, Error **errp)
{
    RioMessage m = { .op = RIO_OP_ROUTE_TRACE };

    if (s->route.waiting) {
        error_setg(errp, "the way of %s is being asked for already", s->name);
        return false;
    }
    if (!s->conn || s->stopping || s->quiet) {
        error_setg(errp, "%s is not connected: %s", s->name,
                   s->lost_reason ?: "it is being unplugged");
        return false;
    }
    if (!(rio_link_caps(s->conn->link) & RIO_CAP_ROUTE)) {
        error_setg(errp, "server %s does not report ways (capability ROUTE)",
                   s->server_text);
        return false;
    }
    m.tag = ++s->route.tag;
    m.ids.client = rio_link_client_id(s->conn->link);
    g_strlcpy(m.trace.server, s->server_id ?: "", sizeof(RioString));
    g_strlcpy(m.trace.module, s->module, sizeof(RioString));
    s->route.waiting = true;
    s->route.sent_ns = remote_io_now_ns();
    rio_link_send(s->conn->link, &m);
    remote_io_flush_locked(s);
    return true;
}

/* Take what came, if anything did.  True when there is nothing to wait for */
static bool take_locked(RemoteIOCore *s, int64_t deadline,
                        RemoteIORouteInfo **info, Error **errp)
{
    g_autofree char *refusal = g_steal_pointer(&s->route.refusal);

    *info = g_steal_pointer(&s->route.info);
    if (*info) {
        return true;
    }
    if (refusal) {
        error_setg(errp, "%s", refusal);
        return true;
    }
    if (remote_io_now_ns() < deadline && !s->stopping) {
        return false;
    }
    s->route.waiting = false;
    error_setg(errp, "no answer within %u ms", s->connect_timeout_ms);
    return true;
}

RemoteIORouteInfo *coroutine_fn qmp_query_remote_io_route(const char *id,
                                                          Error **errp)
{
    RemoteIOCore *s = remote_io_find(id);
    RemoteIORouteInfo *info = NULL;
    int64_t deadline;
    bool done = false;

    if (!s) {
        error_setg(errp, "there is no remote-io device '%s': query-remote-io "
                   "lists them", id);
        return NULL;
    }
    object_ref(OBJECT(s->dev));
    deadline = remote_io_now_ns() + (int64_t)s->connect_timeout_ms * SCALE_MS;
    WITH_QEMU_LOCK_GUARD(&s->lock) {
        done = !ask_locked(s, errp);
    }
    while (!done) {
        qemu_co_sleep_ns(QEMU_CLOCK_REALTIME, LOOK_NS);
        WITH_QEMU_LOCK_GUARD(&s->lock) {
            done = take_locked(s, deadline, &info, errp);
        }
    }
    object_unref(OBJECT(s->dev));
    return info;
}
