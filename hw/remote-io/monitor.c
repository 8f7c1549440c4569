/*
 * remote-io device: query-remote-io and "info remote-io"
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "monitor/hmp.h"
#include "monitor/monitor.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-remote-io.h"
#include "qemu/module.h"
#include "core.h"

static QLIST_HEAD(, RemoteIOCore) devices = QLIST_HEAD_INITIALIZER(devices);

void remote_io_list_add(RemoteIOCore *s)
{
    QLIST_INSERT_HEAD(&devices, s, next);
    s->listed = true;
}

void remote_io_list_remove(RemoteIOCore *s)
{
    if (s->listed) {
        QLIST_REMOVE(s, next);
        s->listed = false;
    }
}

RemoteIOCore *remote_io_find(const char *id)
{
    RemoteIOCore *s;

    QLIST_FOREACH(s, &devices, next) {
        if (g_str_equal(id, s->path) ||
            (s->dev->id && g_str_equal(id, s->dev->id))) {
            return s;
        }
    }
    return NULL;
}

RemoteIOState remote_io_state_locked(RemoteIOCore *s)
{
    if (s->stopping || s->quiet || !s->session) {
        return REMOTE_IO_STATE_DETACHED;
    }
    if (!s->conn) {
        return REMOTE_IO_STATE_RECONNECTING;
    }
    return s->state_lost ? REMOTE_IO_STATE_STATE_LOST
                         : REMOTE_IO_STATE_CONNECTED;
}

static RemoteIOInfo *info(RemoteIOCore *s)
{
    RemoteIOInfo *i = g_new0(RemoteIOInfo, 1);
    const char *id = s->dev->id;

    i->id = g_strdup(id);
    i->qom_path = g_strdup(s->path);
    i->server_id = g_strdup(s->server_id ?: "");
    i->module = g_strdup(s->module);
    i->driver = g_strdup(s->desc.driver);
    i->client_id = g_strdup(s->client_id);
    i->vm_id = g_strdup(s->vm_id);
    i->on_loss = s->on_loss;
    i->loss_timeout = s->loss_timeout_ms;

    WITH_QEMU_LOCK_GUARD(&s->lock) {
        i->server = remote_io_where_locked(s);
        i->state = remote_io_state_locked(s);
        i->epoch = s->session ? rio_session_epoch(s->session) : 0;
        i->waiting = s->num_waiting;
        i->parked = s->num_parked;
        i->lost_reason = g_strdup(s->lost_reason);
        i->stats = remote_io_stats_get_locked(s);
        i->latency = remote_io_stats_latency_get(&s->stats);
    }
    return i;
}

RemoteIOInfoList *qmp_query_remote_io(Error **errp)
{
    RemoteIOInfoList *list = NULL;
    RemoteIOCore *s;

    QLIST_FOREACH(s, &devices, next) {
        QAPI_LIST_PREPEND(list, info(s));
    }
    return list;
}

static void print_traffic(Monitor *mon, const RemoteIOStats *st)
{
    monitor_printf(mon, "  accesses: %" PRIu64 " (%" PRIu64 " loads, %" PRIu64
                   " stores, %" PRIu64 " of them posted), %" PRIu64
                   " round trips\n", st->accesses, st->reads, st->writes,
                   st->posted_writes, st->round_trips);
    monitor_printf(mon, "  failed: %" PRIu64 ", refused: %" PRIu64
                   ", parked: %" PRIu64 "\n", st->failed, st->refused,
                   st->parked);
    monitor_printf(mon, "  sent: %" PRIu64 " bytes in %" PRIu64
                   " messages, %" PRIu64 " frames\n", st->tx_bytes,
                   st->tx_messages, st->tx_frames);
    monitor_printf(mon, "  received: %" PRIu64 " bytes in %" PRIu64
                   " messages, %" PRIu64 " frames\n", st->rx_bytes,
                   st->rx_messages, st->rx_frames);
    monitor_printf(mon, "  wake-ups: %" PRIu64 " of processors, %" PRIu64
                   " of the device's thread; %" PRIu64
                   " waits ended while polling\n", st->vcpu_wakeups,
                   st->io_wakeups, st->spins);
    monitor_printf(mon, "  interrupts: %" PRIu64 ", resets: %" PRIu64
                   ", reconnects: %" PRIu64 "\n", st->interrupts, st->resets,
                   st->reconnects);
    monitor_printf(mon, "  DMA: %" PRIu64 " reads, %" PRIu64 " writes, %"
                   PRIu64 " bytes, %" PRIu64 " refused\n", st->dma_reads,
                   st->dma_writes, st->dma_bytes, st->dma_refused);
    monitor_printf(mon, "  doorbells with data: %" PRIu64 ", %" PRIu64
                   " bytes; memory shared: %" PRIu64 " bytes\n",
                   st->doorbells, st->doorbell_bytes, st->shared_memory);
}

static void hmp_info_remote_io(Monitor *mon, const QDict *qdict)
{
    g_autoptr(RemoteIOInfoList) list = qmp_query_remote_io(&error_abort);
    RemoteIOInfoList *l;

    for (l = list; l; l = l->next) {
        RemoteIOInfo *i = l->value;

        monitor_printf(mon, "%s: module %s (%s) of %s, %s, epoch %u\n",
                       i->id ?: i->qom_path, i->module, i->driver, i->server,
                       RemoteIOState_str(i->state), i->epoch);
        if (i->lost_reason) {
            monitor_printf(mon, "  no link: %s\n", i->lost_reason);
        }
        monitor_printf(mon, "  client %s, VM %s, on-loss=%s after %u ms, "
                       "%u waiting, %u parked\n", i->client_id, i->vm_id,
                       RemoteIOLossPolicy_str(i->on_loss), i->loss_timeout,
                       i->waiting, i->parked);
        print_traffic(mon, i->stats);
        monitor_printf(mon, "  latency: p50 %" PRIu64 " ns, p99 %" PRIu64
                       " ns, max %" PRIu64 " ns of %" PRIu64 "\n",
                       i->latency->p50_ns, i->latency->p99_ns,
                       i->latency->max_ns, i->latency->count);
    }
}

static void remote_io_monitor_register(void)
{
    monitor_register_hmp("remote-io", true, hmp_info_remote_io);
}
type_init(remote_io_monitor_register)
