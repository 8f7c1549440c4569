/*
 * remote-io device: properties, plug, reset, unplug
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/epoll.h>
#include "qapi/clone-visitor.h"
#include "qapi/error.h"
#include "qapi/qapi-visit-remote-io.h"
#include "qapi/qapi-visit-sockets.h"
#include "qapi/visitor.h"
#include "qemu/main-loop.h"
#include "qemu/uuid.h"
#include "hw/qdev-properties.h"
#include "system/replay.h"
#include "system/reset.h"
#include "system/system.h"
#include "hw/remote-io/remote-io.h"
#include "core.h"
#include "trace.h"

/* Properties */

static void get_address(Object *obj, Visitor *v, const char *name,
                        void *opaque, Error **errp)
{
    SocketAddress **ptr = object_field_prop_ptr(obj, opaque);
    g_autofree char *text = *ptr ? rio_address_text(*ptr) : g_strdup("");

    visit_type_str(v, name, &text, errp);
}

SocketAddress *remote_io_address_copy(const SocketAddress *a)
{
    return QAPI_CLONE(SocketAddress, a);
}

SocketAddress *remote_io_address(const RemoteIOAddress *a, Error **errp)
{
    SocketAddress *addr;

    if (a->type != QTYPE_QSTRING) {
        return remote_io_address_copy((SocketAddress *)&a->u.address);
    }
    addr = rio_address_parse(a->u.text, errp);
    if (!addr) {
        error_prepend(errp, "server=%s: ", a->u.text);
    }
    return addr;
}

static void set_address(Object *obj, Visitor *v, const char *name,
                        void *opaque, Error **errp)
{
    SocketAddress **ptr = object_field_prop_ptr(obj, opaque);
    g_autoptr(RemoteIOAddress) value = NULL;
    SocketAddress *addr;

    if (!visit_type_RemoteIOAddress(v, name, &value, errp)) {
        return;
    }
    addr = remote_io_address(value, errp);
    if (!addr) {
        return;
    }
    qapi_free_SocketAddress(*ptr);
    *ptr = addr;
}

static void release_address(Object *obj, const char *name, void *opaque)
{
    SocketAddress **ptr = object_field_prop_ptr(obj, opaque);

    qapi_free_SocketAddress(*ptr);
    *ptr = NULL;
}

const PropertyInfo remote_io_prop_address = {
    .type = "RemoteIOAddress",
    .description = "tcp:host:port, unix:path, vsock:cid:port, or a "
                   "SocketAddress",
    .get = get_address,
    .set = set_address,
    .release = release_address,
};

static void get_policy(Object *obj, Visitor *v, const char *name,
                       void *opaque, Error **errp)
{
    visit_type_RemoteIOLossPolicy(v, name, object_field_prop_ptr(obj, opaque),
                                  errp);
}

static void set_policy(Object *obj, Visitor *v, const char *name,
                       void *opaque, Error **errp)
{
    RemoteIOLossPolicy *ptr = object_field_prop_ptr(obj, opaque);
    g_autofree char *text = NULL;
    int value;

    if (!visit_type_str(v, name, &text, errp)) {
        return;
    }
    value = qapi_enum_parse(&RemoteIOLossPolicy_lookup, text, -1, NULL);
    if (value < 0) {
        error_setg(errp, "%s=%s: use pause, fail, wait or unplug", name, text);
    } else {
        *ptr = value;
    }
}

static void set_default_policy(ObjectProperty *op, const Property *prop)
{
    object_property_set_default_str(op, RemoteIOLossPolicy_str(prop->defval.i));
}

const PropertyInfo remote_io_prop_loss_policy = {
    .type = "RemoteIOLossPolicy",
    .description = "pause/fail/wait/unplug",
    .enum_table = &RemoteIOLossPolicy_lookup,
    .get = get_policy,
    .set = set_policy,
    .set_default_value = set_default_policy,
};

/* Reset */

/* When the log is full the module hears of it after what is in there */
void remote_io_send_reset_locked(RemoteIOCore *s)
{
    RioMessage m = {
        .op = RIO_OP_RESET,
        .reset.kind = RIO_RESET_SYSTEM,
    };

    s->reset_owed = !remote_io_lazy_submit_locked(s) ||
                    !rio_session_send(s->session, &m);
    s->resets_pending += !s->reset_owed;
}

void remote_io_core_reset(RemoteIOCore *s)
{
    if (!s->session) {
        return;
    }
    trace_remote_io_reset(s->name);
    WITH_QEMU_LOCK_GUARD(&s->lock) {
        s->stats.resets++;
        if (s->quiet) {
            /* Who is attached later begins with a reset anyway */
        } else if (s->frozen) {
            s->reset_owed = true;
        } else if (s->state_lost) {
            /* The module is as after power-on, and now so is the guest */
            remote_io_accept_loss_locked(s);
        } else {
            remote_io_send_reset_locked(s);
        }
        remote_io_flush_locked(s);
    }
    remote_io_share_reset(s);
    remote_io_irq_reset(s);
}

/* Parked accesses of processors that were reset have nothing to return to */
static void machine_reset(void *opaque)
{
    RemoteIOCore *s = opaque;

    s->machine_resets++;
}

/* Plug */

static bool check_string(const char *name, const char *value, Error **errp)
{
    const char *p;

    if (!value) {
        return true;
    }
    if (strlen(value) > RIO_MAX_STRING || !g_utf8_validate(value, -1, NULL)) {
        error_setg(errp, "%s must be UTF-8 text of at most %u bytes",
                   name, RIO_MAX_STRING);
        return false;
    }
    for (p = value; *p; p++) {
        if (g_ascii_iscntrl(*p)) {
            error_setg(errp, "%s must not hold control characters", name);
            return false;
        }
    }
    return true;
}

bool remote_io_check_properties(RemoteIOCore *s, Error **errp)
{
    if (!s->server && !s->directory_text) {
        error_setg(errp, "property server is missing: say where the device "
                   "server is, e.g. server=tcp:localhost:6440 or "
                   "server=unix:/path; or directory=file:/path or "
                   "directory=etcd:http://host:2379");
        return false;
    }
    if (!s->module || !s->module[0]) {
        error_setg(errp, "property module is missing: say which module of "
                   "the server, e.g. module=com1");
        return false;
    }
    if (!s->loss_timeout_ms || !s->reconnect_ms || !s->connect_timeout_ms) {
        error_setg(errp, "loss-timeout, reconnect-ms and connect-timeout "
                   "must be at least 1 (milliseconds)");
        return false;
    }
    if (replay_mode != REPLAY_MODE_NONE) {
        error_setg(errp, "record/replay cannot repeat what a device server "
                   "did");
        return false;
    }
    if (s->on_loss == REMOTE_IO_LOSS_POLICY_UNPLUG &&
        !remote_io_check_pull_out(s, errp)) {
        error_prepend(errp, "on-loss=unplug: ");
        return false;
    }
    if (s->share.enabled &&
        (!s->server || s->server->type != SOCKET_ADDRESS_TYPE_UNIX)) {
        g_autofree char *text = s->server ? rio_address_text(s->server)
                                          : g_strdup("a directory");

        error_setg(errp, "share-memory=on: memory can be shared over "
                   "server=unix:PATH only, not over %s", text);
        return false;
    }
    return check_string("module", s->module, errp) &&
           check_string("server-id", s->server_id, errp) &&
           check_string("client-id", s->client_id, errp) &&
           check_string("vm-id", s->vm_id, errp) &&
           check_string("id", s->dev->id, errp);
}

/* The same for all devices of this process */
static char *default_vm_id(void)
{
    static char *generated;
    QemuUUID uuid;

    if (qemu_get_vm_name()) {
        return g_strdup(qemu_get_vm_name());
    }
    if (qemu_uuid_set) {
        return qemu_uuid_unparse_strdup(&qemu_uuid);
    }
    if (!generated) {
        qemu_uuid_generate(&uuid);
        generated = qemu_uuid_unparse_strdup(&uuid);
    }
    return g_strdup(generated);
}

static void fill_defaults(RemoteIOCore *s)
{
    if (!s->client_id || !s->client_id[0]) {
        g_free(s->client_id);
        s->client_id = g_strdup(g_get_host_name());
    }
    if (!s->vm_id || !s->vm_id[0]) {
        g_free(s->vm_id);
        s->vm_id = default_vm_id();
    }
    g_free(s->name);
    g_free(s->path);
    g_free(s->server_text);
    s->name = qdev_get_human_name(s->dev);
    s->path = object_get_canonical_path(OBJECT(s->dev));
    s->server_text = s->server ? rio_address_text(s->server)
                               : g_strdup(s->directory_text);
    if (strlen(s->name) > RIO_MAX_STRING) {
        s->name[RIO_MAX_STRING] = '\0';
    }
}

static const char *bus_name(uint8_t bus)
{
    return bus == RIO_BUS_PCI ? "a PCI" : bus == RIO_BUS_ISA ? "an ISA"
                                                             : "another";
}

static bool take_description(RemoteIOCore *s, uint8_t bus, Error **errp)
{
    RioBytes bytes = { s->desc_bytes, s->desc_len };
    RioError err;
    unsigned i;

    if (!rio_description_decode(bytes, &s->desc, &err)) {
        error_setg(errp, "module '%s' of server %s describes itself badly: "
                   "%s", s->module, s->server_text, err.text);
        return false;
    }
    if (s->desc.bus != bus) {
        error_setg(errp, "module '%s' of server %s is %s device: use "
                   "-device %s", s->module, s->server_text,
                   bus_name(s->desc.bus),
                   s->desc.bus == RIO_BUS_PCI ? TYPE_REMOTE_IO_PCI
                                              : TYPE_REMOTE_IO_ISA);
        return false;
    }
    for (i = 0; i < s->desc.num_regions; i++) {
        if (s->desc.regions[i].kind == RIO_REGION_MEMORY) {
            error_setg(errp, "module '%s' of server %s has a region of plain "
                       "memory, which this version does not support",
                       s->module, s->server_text);
            return false;
        }
    }
    return true;
}


bool remote_io_build(RemoteIOCore *s, uint8_t *desc, uint32_t len,
                     Error **errp)
{
    unsigned i;

    WITH_QEMU_LOCK_GUARD(&s->lock) {
        g_free(s->desc_bytes);
        s->desc_bytes = desc;
        s->desc_len = len;
        if (!take_description(s, s->bus, errp)) {
            return false;
        }
    }
    s->num_regions = s->desc.num_regions;
    for (i = 0; i < s->num_regions; i++) {
        remote_io_region_init(s, &s->region[i], &s->desc.regions[i]);
    }
    return s->build(s, errp);
}

static bool attach(RemoteIOCore *s, Error **errp)
{
    int64_t start = remote_io_now_ns();
    RemoteIOAttach a = { };
    RemoteIOConn *conn;
    int64_t left;
    bool ok;

    conn = remote_io_connect(s, s->connect_timeout_ms, errp);
    if (!conn) {
        return false;
    }
    left = s->connect_timeout_ms - (remote_io_now_ns() - start) / SCALE_MS;
    if (!remote_io_attach(s, conn, &a, MAX(left, 1), errp)) {
        remote_io_conn_free(conn);
        return false;
    }
    WITH_QEMU_LOCK_GUARD(&s->lock) {
        remote_io_start_session_locked(s, &a);
        remote_io_install_locked(s, conn);
    }
    ok = remote_io_build(s, a.desc, a.desc_len, errp);
    if (ok) {
        WITH_QEMU_LOCK_GUARD(&s->lock) {
            remote_io_recipes_start_locked(s);
        }
    }
    return ok;
}

static bool open_fds(RemoteIOCore *s, Error **errp)
{
    int ret;

    s->epfd = epoll_create1(EPOLL_CLOEXEC);
    if (s->epfd < 0) {
        error_setg_errno(errp, errno, "cannot create an epoll descriptor");
        return false;
    }
    ret = event_notifier_init(&s->kick, 0);
    if (ret < 0) {
        error_setg_errno(errp, -ret, "cannot create an event notifier");
        return false;
    }
    s->kick_ready = true;
    return remote_io_pace_init(s, errp);
}

/*
 * A machine that migrates is awaited: its module is taken until it comes.  All
 * there is to see now is whether the server can be reached from here.
 */
static bool defer(RemoteIOCore *s, Error **errp)
{
    RemoteIOConn *conn = remote_io_connect(s, s->connect_timeout_ms, errp);

    if (!conn) {
        return false;
    }
    remote_io_conn_free(conn);
    s->deferred = true;
    s->frozen = true;
    return true;
}

static void at_exit(Notifier *n, void *unused)
{
    RemoteIOCore *s = container_of(n, RemoteIOCore, exit);

    remote_io_stop_thread(s);
}

bool remote_io_core_realize(RemoteIOCore *s, uint8_t bus,
                            RemoteIOBuild *build, Error **errp)
{
    bool ok;

    s->bus = bus;
    s->build = build;
    if (!remote_io_check_properties(s, errp)) {
        return false;
    }
    if (!remote_io_lookup_init(s, errp)) {
        return false;
    }
    fill_defaults(s);
    ok = remote_io_share_check(s, errp) && open_fds(s, errp) &&
         (runstate_check(RUN_STATE_INMIGRATE) ? defer(s, errp)
                                              : attach(s, errp));
    if (!ok) {
        remote_io_core_unrealize(s);
        return false;
    }
    s->running = runstate_is_running();
    s->vmstate_change =
        qemu_add_vm_change_state_handler(remote_io_vm_state_change, s);
    qemu_register_reset(machine_reset, s);
    s->exit.notify = at_exit;
    qemu_add_exit_notifier(&s->exit);
    remote_io_migrate_start(s);
    remote_io_list_add(s);
    qemu_thread_create(&s->thread, "remote-io", remote_io_thread, s,
                       QEMU_THREAD_JOINABLE);
    s->thread_started = true;
    remote_io_share_start(s);
    return true;
}

/* Unplug */

/* Detach and end the thread, which may be waiting for the BQL */
void remote_io_stop_thread(RemoteIOCore *s)
{
    bool locked = bql_locked();

    if (!s->thread_started) {
        return;
    }
    WITH_QEMU_LOCK_GUARD(&s->lock) {
        s->stopping = true;
        remote_io_fail_all_locked(s);
        qatomic_set(&s->detaching, true);
        qatomic_set(&s->hurry, true);
        remote_io_kick(s);
    }
    if (locked) {
        bql_unlock();
    }
    qemu_thread_join(&s->thread);
    if (locked) {
        bql_lock();
    }
    s->thread_started = false;
}

/* Until no access is inside, but those that are parked: these keep us alive */
static void expel_accesses(RemoteIOCore *s)
{
    bql_unlock();
    WITH_QEMU_LOCK_GUARD(&s->lock) {
        s->stopping = true;
        remote_io_fail_all_locked(s);
        while (s->num_waiting > s->num_parked) {
            qemu_cond_wait(&s->idle, &s->lock);
        }
    }
    bql_lock();
}

static void close_session(RemoteIOCore *s)
{
    WITH_QEMU_LOCK_GUARD(&s->lock) {
        if (s->conn) {
            RioMessage m = {
                .op = RIO_OP_DETACH,
                .ids = *rio_session_ids(s->session),
                .epoch = rio_session_epoch(s->session),
            };

            /* Plugging failed after the module was attached */
            rio_link_send(s->conn->link, &m);
            rio_link_bye(s->conn->link, RIO_STATUS_OK, "not plugged in");
            remote_io_flush_locked(s);
            remote_io_conn_lost_locked(s, "not plugged in");
        }
        rio_session_free(s->session);
        s->session = NULL;
    }
}

void remote_io_core_unrealize(RemoteIOCore *s)
{
    remote_io_list_remove(s);
    remote_io_migrate_stop(s);
    remote_io_share_stop(s);
    if (s->vmstate_change) {
        expel_accesses(s);
        qemu_del_vm_change_state_handler(s->vmstate_change);
        s->vmstate_change = NULL;
        qemu_unregister_reset(machine_reset, s);
        qemu_remove_exit_notifier(&s->exit);
    }
    remote_io_stop_thread(s);
    close_session(s);
    if (s->kick_ready) {
        event_notifier_cleanup(&s->kick);
        s->kick_ready = false;
    }
    if (s->epfd >= 0) {
        close(s->epfd);
        s->epfd = -1;
    }
    remote_io_pace_finalize(s);
}

void remote_io_core_init(RemoteIOCore *s, DeviceState *dev)
{
    s->dev = dev;
    s->epfd = -1;
    s->run_timer = -1;
    qemu_mutex_init(&s->lock);
    qemu_cond_init(&s->idle);
    QTAILQ_INIT(&s->waiters);
    remote_io_dma_init(s);
}

void remote_io_core_finalize(RemoteIOCore *s)
{
    remote_io_dma_finalize(s);
    remote_io_recipes_finalize(s);
    remote_io_lookup_finalize(s);
    g_free(s->stage.buf);
    qapi_free_RemoteIORouteInfo(s->route.info);
    g_free(s->route.refusal);
    error_free(s->order_error);
    g_free(s->lost_reason);
    g_free(s->gone_reason);
    g_free(s->call.reason);
    g_free(s->move.refusal);
    g_free(s->move.hint);
    g_free(s->move.hint_name);
    g_free(s->outage_reason);
    g_free(s->desc_bytes);
    g_free(s->name);
    g_free(s->path);
    g_free(s->server_text);
    qemu_cond_destroy(&s->idle);
    qemu_mutex_destroy(&s->lock);
}
