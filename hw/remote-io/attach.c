/*
 * remote-io device: detach and attach by command
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A detached device stays on its bus, and is quiet: loads give all ones,
 * stores are dropped, it interrupts nobody.  It is attached again to the same
 * module or to another one, here or elsewhere, if that is the device that the
 * guest knows; the module is reset then, and the guest's driver must set it
 * up anew.
 *
 * What waits for the network is done by the device's thread, as an order.
 * The monitor's coroutine looks now and then whether it is carried out, and
 * holds up nobody.
 */

#include "qemu/osdep.h"
#include "monitor/hmp.h"
#include "monitor/monitor.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-remote-io.h"
#include "qapi/qapi-events-remote-io.h"
#include "qemu/coroutine.h"
#include "qemu/main-loop.h"
#include "qemu/module.h"
#include "qobject/qdict.h"
#include "core.h"
#include "trace.h"

#define LOOK_NS (1 * SCALE_MS)
#define LET_GO_US 20

/* Where a device is attached: what a failed attempt puts back */
typedef struct RemoteIOPlace {
    SocketAddress *server;
    char *module;
    char *server_id;
    char *server_text;
} RemoteIOPlace;

/* ---- the device's thread ------------------------------------------------ */

void remote_io_start_session_locked(RemoteIOCore *s, const RemoteIOAttach *a)
{
    s->session = rio_session_new(RIO_SIDE_CLIENT);
    rio_session_start(s->session, &a->ids, a->epoch, a->token, a->log_limit);
    s->max_outstanding = MAX(a->max_outstanding, 1);
    s->log_limit = a->log_limit;
    s->caps = a->caps;
    s->epoch = 0;
}

/* No message of it will come any more, and nothing is owed to it */
static void forget_session_locked(RemoteIOCore *s)
{
    rio_session_close(s->session);
    remote_io_dma_forget_locked(s);
    remote_io_recipes_forget_locked(s);
    remote_io_lazy_drop_locked(s);
    if (s->detached) {
        remote_io_share_forget_locked(s);
    }
    s->abandoned = 0;
    s->resets_pending = 0;
    s->reset_owed = false;
    s->quiesces = 0;
    s->go_owed = s->resting = false;
    s->state_lost = s->outage = s->failing = s->gone = s->fenced = false;
    s->busy = s->burst = false;
    s->lost_ns = 0;
    g_clear_pointer(&s->lost_reason, g_free);
}

static void detach_locked(RemoteIOCore *s)
{
    remote_io_leave_locked(s, "device was detached");
    forget_session_locked(s);
}

/* Is what @a describes the device that the guest knows? */
static bool check_fit(RemoteIOCore *s, const RemoteIOAttach *a,
                      RioDescription *d, Error **errp)
{
    RioBytes bytes = { a->desc, a->desc_len };
    g_autofree char *difference = NULL;
    uint64_t missing = s->caps & ~a->caps & RIO_CAP_DMA;
    RioError err;

    if (!rio_description_decode(bytes, d, &err)) {
        error_setg(errp, "module '%s' of server %s describes itself badly: "
                   "%s", s->module, s->server_text, err.text);
        return false;
    }
    difference = remote_io_difference(&s->desc, d);
    if (!difference && missing) {
        difference = g_strdup("it has no access to memory");
    }
    if (difference) {
        error_setg(errp, "module '%s' of server %s is not the device that "
                   "the guest knows as %s: %s; use another module, or unplug "
                   "the device and plug it in again", s->module,
                   s->server_text, s->name, difference);
        return false;
    }
    return true;
}

/* BQL and lock: @conn carries the device from now on */
static void adopt_locked(RemoteIOCore *s, RemoteIOConn *conn,
                         RemoteIOAttach *a, const RioDescription *d)
{
    RioMessage reset = {
        .op = RIO_OP_RESET,
        .reset.kind = RIO_RESET_FUNCTION,
    };

    s->desc = *d;
    g_free(s->desc_bytes);
    s->desc_bytes = g_steal_pointer(&a->desc);
    s->desc_len = a->desc_len;
    remote_io_region_renew(s);
    rio_session_free(s->session);
    remote_io_start_session_locked(s, a);
    remote_io_install_locked(s, conn);
    remote_io_recipes_start_locked(s);
    s->resets_pending += rio_session_send(s->session, &reset);
    s->quiet = false;
}

/* Returns: the connection, with *@a and *@d; NULL with *@errp */
static RemoteIOConn *connect_anew(RemoteIOCore *s, RemoteIOAttach *a,
                                  RioDescription *d, Error **errp)
{
    int64_t deadline = remote_io_now_ns() +
                       (int64_t)s->connect_timeout_ms * SCALE_MS;
    RemoteIOConn *conn = remote_io_connect(s, s->connect_timeout_ms, errp);
    int64_t left = (deadline - remote_io_now_ns()) / SCALE_MS;

    if (!conn) {
        return NULL;
    }
    if (!remote_io_attach(s, conn, a, MAX(left, 1), errp)) {
        remote_io_conn_free(conn);
        return NULL;
    }
    if (!check_fit(s, a, d, errp)) {
        remote_io_give_back(conn, a, "it is another device");
        g_clear_pointer(&a->desc, g_free);
        return NULL;
    }
    return conn;
}

static void attach_locked(RemoteIOCore *s)
{
    g_autofree RioDescription *d = g_new(RioDescription, 1);
    RemoteIOAttach a = { };
    RemoteIOConn *conn;
    Error *err = NULL;

    remote_io_unlock(s);
    conn = connect_anew(s, &a, d, &err);
    if (!conn) {
        remote_io_lock(s);
        s->order_error = err;
        return;
    }
    bql_lock();
    remote_io_lock(s);
    conn->refs++;
    qatomic_set(&s->leader, s);
    adopt_locked(s, conn, &a, d);
    bql_unlock();
    remote_io_begin_locked(s, conn);
}

void remote_io_obey_locked(RemoteIOCore *s)
{
    RemoteIOOrder order = s->order;

    qatomic_set(&s->hurry, s->detaching);
    if (order == REMOTE_IO_ORDER_DETACH) {
        detach_locked(s);
    } else if (order == REMOTE_IO_ORDER_ATTACH) {
        attach_locked(s);
    }
    s->order = REMOTE_IO_ORDER_NONE;
}

/* ---- the monitor -------------------------------------------------------- */

static RemoteIOCore *find(const char *id, Error **errp)
{
    RemoteIOCore *s = remote_io_find(id);

    if (!s) {
        error_setg(errp, "there is no remote-io device '%s': query-remote-io "
                   "lists them", id);
    }
    return s;
}

static bool check_free_locked(RemoteIOCore *s, Error **errp)
{
    if (s->stopping) {
        error_setg(errp, "device '%s' is being unplugged", s->name);
    } else if (s->order) {
        error_setg(errp, "device '%s' is being %s: try again later", s->name,
                   s->order == REMOTE_IO_ORDER_ATTACH ? "attached"
                                                      : "detached");
    } else {
        return true;
    }
    return false;
}

static void give_order_locked(RemoteIOCore *s, RemoteIOOrder order)
{
    s->order = order;
    qatomic_set(&s->hurry, true);
    remote_io_kick(s);
}

/*
 * The thread takes it to deliver an interrupt and to adopt a module.  The main
 * loop lets go of it between two turns, but the human monitor waits for a
 * coroutine in a loop that does not.
 */
void remote_io_let_thread_have_bql(void)
{
    bql_unlock();
    g_usleep(LET_GO_US);
    bql_lock();
}

/* Returns: false with *@errp */
static bool coroutine_fn await_order(RemoteIOCore *s, Error **errp)
{
    bool done = false, gone = false;

    while (!done && !gone) {
        qemu_co_sleep_ns(QEMU_CLOCK_REALTIME, LOOK_NS);
        remote_io_let_thread_have_bql();
        WITH_QEMU_LOCK_GUARD(&s->lock) {
            gone = s->stopping;
            done = !s->order;
            if (done && s->order_error) {
                error_propagate(errp, g_steal_pointer(&s->order_error));
                return false;
            }
        }
    }
    if (gone) {
        error_setg(errp, "device '%s' was unplugged meanwhile", s->name);
    }
    return !gone;
}

static bool coroutine_fn detach(RemoteIOCore *s, Error **errp)
{
    WITH_QEMU_LOCK_GUARD(&s->lock) {
        if (!check_free_locked(s, errp)) {
            return false;
        }
        if (s->quiet) {
            error_setg(errp, "device '%s' is detached already", s->name);
            return false;
        }
        if (s->deferred) {
            error_setg(errp, "device '%s' waits for the machine that "
                       "migrates, and is attached to nothing yet", s->name);
            return false;
        }
        trace_remote_io_detach(s->name, s->module, s->server_text);
        s->quiet = true;
        remote_io_fail_all_locked(s);
        give_order_locked(s, REMOTE_IO_ORDER_DETACH);
    }
    if (!await_order(s, errp)) {
        return false;
    }
    remote_io_irq_reset(s);
    qapi_event_send_remote_io_detached(s->dev->id, s->path, s->module,
                                       s->server_text, "remote-io-detach");
    return true;
}

static void surprise(RemoteIOCore *s, Error **errp)
{
    WITH_QEMU_LOCK_GUARD(&s->lock) {
        if (!check_free_locked(s, errp)) {
            return;
        }
    }
    remote_io_pull_out(s, "surprise removal by remote-io-detach", errp);
}

void coroutine_fn qmp_remote_io_detach(const char *id, bool has_surprise,
                                       bool is_surprise, Error **errp)
{
    RemoteIOCore *s = find(id, errp);

    if (!s) {
        return;
    }
    object_ref(OBJECT(s->dev));
    if (is_surprise) {
        surprise(s, errp);
    } else {
        detach(s, errp);
    }
    object_unref(OBJECT(s->dev));
}

static RemoteIOPlace take_place(RemoteIOCore *s)
{
    return (RemoteIOPlace) {
        .server = g_steal_pointer(&s->server),
        .module = g_steal_pointer(&s->module),
        .server_id = g_steal_pointer(&s->server_id),
        .server_text = g_steal_pointer(&s->server_text),
    };
}

static void free_place(RemoteIOPlace *p)
{
    qapi_free_SocketAddress(p->server);
    g_free(p->module);
    g_free(p->server_id);
    g_free(p->server_text);
}

static void put_place(RemoteIOCore *s, RemoteIOPlace *p)
{
    s->server = g_steal_pointer(&p->server);
    s->module = g_steal_pointer(&p->module);
    s->server_id = g_steal_pointer(&p->server_id);
    s->server_text = g_steal_pointer(&p->server_text);
}

static void swap_place(RemoteIOCore *s, RemoteIOPlace *p)
{
    RemoteIOPlace now = take_place(s);

    put_place(s, p);
    *p = now;
}

/* What is not given is as before; another server is another server's name */
static bool new_place(RemoteIOCore *s, RemoteIOAddress *server,
                      const char *module, const char *server_id,
                      RemoteIOPlace *p, Error **errp)
{
    p->server = server ? remote_io_address(server, errp)
             : s->server ? remote_io_address_copy(s->server) : NULL;
    if (!p->server && (server || s->server)) {
        return false;
    }
    p->server_text = p->server ? rio_address_text(p->server)
                               : g_strdup(s->directory_text);
    p->module = g_strdup(module ?: s->module);
    p->server_id = g_strdup(server_id ?: server ? server_id : s->server_id);
    return true;
}

static bool coroutine_fn attach(RemoteIOCore *s, RemoteIOPlace *p,
                                Error **errp)
{
    WITH_QEMU_LOCK_GUARD(&s->lock) {
        if (!check_free_locked(s, errp)) {
            return false;
        }
        if (!s->quiet) {
            error_setg(errp, "device '%s' is attached to module '%s' of "
                       "server %s: use remote-io-detach before", s->name,
                       s->module, s->server_text);
            return false;
        }
        swap_place(s, p);
        if (!remote_io_check_properties(s, errp)) {
            swap_place(s, p);
            return false;
        }
        give_order_locked(s, REMOTE_IO_ORDER_ATTACH);
    }
    if (!await_order(s, errp)) {
        WITH_QEMU_LOCK_GUARD(&s->lock) {
            swap_place(s, p);
        }
        return false;
    }
    trace_remote_io_attach(s->name, s->module, s->server_text);
    qapi_event_send_remote_io_attached(s->dev->id, s->path, s->module,
                                       s->server_text, "remote-io-attach");
    return true;
}

void coroutine_fn qmp_remote_io_attach(const char *id,
                                       RemoteIOAddress *server,
                                       const char *module,
                                       const char *server_id, Error **errp)
{
    RemoteIOCore *s = find(id, errp);
    RemoteIOPlace p = { };

    if (!s) {
        return;
    }
    object_ref(OBJECT(s->dev));
    if (new_place(s, server, module, server_id, &p, errp)) {
        attach(s, &p, errp);
    }
    free_place(&p);
    object_unref(OBJECT(s->dev));
}

static void coroutine_fn hmp_remote_io_detach(Monitor *mon,
                                              const QDict *qdict)
{
    Error *err = NULL;

    qmp_remote_io_detach(qdict_get_str(qdict, "id"), true,
                         qdict_get_try_bool(qdict, "surprise", false), &err);
    hmp_handle_error(mon, err);
}

static void coroutine_fn hmp_remote_io_attach(Monitor *mon,
                                              const QDict *qdict)
{
    const char *server = qdict_get_try_str(qdict, "server");
    RemoteIOAddress address = {
        .type = QTYPE_QSTRING,
        .u.text = (char *)server,
    };
    Error *err = NULL;

    qmp_remote_io_attach(qdict_get_str(qdict, "id"),
                         server ? &address : NULL,
                         qdict_get_try_str(qdict, "module"), NULL, &err);
    hmp_handle_error(mon, err);
}

static void remote_io_attach_register(void)
{
    monitor_register_hmp("remote-io-detach", false, hmp_remote_io_detach);
    monitor_register_hmp("remote-io-attach", false, hmp_remote_io_attach);
}
type_init(remote_io_attach_register)
