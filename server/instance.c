/*
 * remote-io-server: instances of modules
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "block/aio-wait.h"
#include "qapi/error.h"
#include "qemu/id.h"
#include "qobject/qdict.h"
#include "directory.h"
#include "filter.h"
#include "irqvm.h"
#include "trace.h"

#define MAX_CLIENTS 65536u

/* How long what has just been opened may take to come to rest */
#define WAIT_MS 10000

/* Ids that a refusal names, so that it fits into a reason */
#define LISTED_IDS 8

/* In the order in which they were added */
static QTAILQ_HEAD(, RiodInstance) instances =
    QTAILQ_HEAD_INITIALIZER(instances);
static RiodInstance *ending;    /* is being closed; tables' lock */
static uint32_t last_number;

RiodInstance *riod_instance_ref(RiodInstance *inst)
{
    qatomic_inc(&inst->refs);
    return inst;
}

void riod_instance_unref(RiodInstance *inst)
{
    if (qatomic_fetch_dec(&inst->refs) > 1) {
        return;
    }
    qobject_unref(inst->params);
    qobject_unref(inst->args);
    riod_irq_vm_free(inst);
    riod_state_fini(inst);
    error_free(inst->open_error);
    g_free(inst->encoded_desc);
    g_free(inst->clients);
    g_free(inst->state);
    g_free(inst->id);
    g_free(inst);
}

static RiodInstance *find_locked(const char *id)
{
    RiodInstance *inst;

    QTAILQ_FOREACH(inst, &instances, node) {
        if (g_str_equal(inst->id, id)) {
            return inst;
        }
    }
    return NULL;
}

static char *list_ids_locked(void)
{
    GString *list = g_string_new("");
    RiodInstance *inst;
    int n = 0;

    QTAILQ_FOREACH(inst, &instances, node) {
        if (n++ == LISTED_IDS) {
            g_string_append(list, ", ...");
            break;
        }
        g_string_append_printf(list, "%s%.24s", n > 1 ? ", " : "", inst->id);
    }
    return g_string_free(list, false);
}

RiodInstance *riod_instance_find(const char *id, RioError *err)
{
    g_autofree char *known = NULL;
    RiodInstance *inst;

    riod_tables_lock();
    inst = find_locked(id);
    if (inst) {
        riod_instance_ref(inst);
    } else {
        known = list_ids_locked();
    }
    riod_tables_unlock();
    if (!inst) {
        rio_error_set(err, RIO_STATUS_UNKNOWN_MODULE, "server '%.60s' has no "
                      "module '%.60s', it has %s", riod_config.server_name, id,
                      *known ? known : "none");
    }
    return inst;
}

bool riod_instances_exist(void)
{
    return !QTAILQ_EMPTY(&instances);
}

void riod_instance_reserve(uint32_t number)
{
    last_number = MAX(last_number, number);
}

void riod_instances_foreach_locked(void (*fn)(RiodInstance *, void *),
                                   void *opaque)
{
    RiodInstance *inst;

    QTAILQ_FOREACH(inst, &instances, node) {
        fn(inst, opaque);
    }
}

/* --- in the home --- */

/* From here on task calls fail, so that tasks return */
static void cancel_in_home(void *opaque)
{
    RiodInstance *inst = opaque;

    inst->closing = true;
    for (unsigned i = 0; i < inst->max_clients; i++) {
        if (inst->clients && inst->clients[i]) {
            riod_session_end(inst->clients[i], RIO_STATUS_GONE,
                             "the module was removed");
        }
    }
    riod_jobs_cancel(inst);
    riod_stop_abort(inst);
    riod_home_flush(inst->home);
}

/* No task is left */
static void close_in_home(void *opaque)
{
    RiodInstance *inst = opaque;

    inst->closed = true;
    riod_journal_drop(inst);
    if (inst->type->close) {
        inst->type->close(&inst->dev, inst->state);
    }
    riod_timers_free(inst);
    riod_home_flush(inst->home);
}

/* A coroutine: open may have the main loop open a disk */
static void open_in_home(void *opaque)
{
    RiodInstance *inst = opaque;

    if (inst->type->open && inst->type->open(&inst->dev, inst->state) < 0) {
        if (!inst->open_error) {
            error_setg(&inst->open_error, "it does not say why");
        }
        return;
    }
    inst->opened = true;
    if (riod_describe(inst, &inst->open_error) &&
        riod_state_init(inst, &inst->open_error)) {
        inst->clients = g_new0(RiodSession *, inst->max_clients);
        riod_journal_open(inst, &inst->open_error);
    }
}

static void unopen_in_home(void *opaque)
{
    RiodInstance *inst = opaque;

    if (inst->opened) {
        close_in_home(inst);
    } else {
        inst->closed = true;
        riod_timers_free(inst);
    }
}

/* The next attempt may succeed, and go on */
static void release_in_home(void *opaque)
{
    riod_journal_release(opaque);
}

static void nothing_in_home(void *opaque)
{
}

/* --- main loop --- */

static bool check_id(const char *id, Error **errp)
{
    if (!id) {
        error_setg(errp, "a module needs id=ID, the name by which clients "
                   "ask for it");
        return false;
    }
    if (!id_wellformed(id) || strlen(id) > RIO_MAX_STRING) {
        error_setg(errp, "'%.64s' is no module id: letters, digits, '-', '.' "
                   "and '_', the first a letter", id);
        return false;
    }
    if (find_locked(id)) {
        error_setg(errp, "there is a module '%s' already", id);
        return false;
    }
    return true;
}

static RiodInstance *instance_new(const RioModule *type, const char *id,
                                  RiodHome *home, QDict *params)
{
    RiodInstance *inst = g_new0(RiodInstance, 1);

    inst->refs = 1;
    inst->id = g_strdup(id);
    inst->dev.host = &riod_host;
    inst->dev.id = inst->id;
    inst->number = ++last_number;
    inst->type = type;
    inst->home = home;
    inst->params = params;
    inst->state = g_malloc0(MAX(type->state_size, 1));
    inst->max_clients = MIN(MAX(type->max_clients, 1), MAX_CLIENTS);
    QLIST_INIT(&inst->timers);
    QLIST_INIT(&inst->chars);
    QLIST_INIT(&inst->blocks);
    QLIST_INIT(&inst->jobs);
    QSIMPLEQ_INIT(&inst->held);
    QSIMPLEQ_INIT(&inst->held_jobs);
    QLIST_INIT(&inst->stopping);
    return inst;
}

/* For one that moves in: nothing happens in it before */
static void waiting(RiodInstance *inst, const char *trouble, void *opaque)
{
    if (trouble) {
        riod_log("module '%s' cannot wait: %s", inst->id, trouble);
    }
}

static void wait_in_home(void *opaque)
{
    RiodInstance *inst = opaque;

    riod_instance_stop(inst, RIOD_STOP_ACCESSES, WAIT_MS, waiting, NULL);
}

/*
 * Events of chardevs and timers, and tasks, can be on their way until the
 * module is closed; the last call lets those pass that closing itself gave
 * rise to.
 */
static void instance_end(RiodInstance *inst, void (*close)(void *))
{
    riod_home_call(inst->home, cancel_in_home, inst);
    AIO_WAIT_WHILE_UNLOCKED(NULL, qatomic_read(&inst->num_jobs));
    riod_home_call(inst->home, close, inst);
    riod_home_call(inst->home, nothing_in_home, NULL);
    riod_blocks_free(inst);
    riod_chars_free(inst);
}

static bool instance_open(RiodInstance *inst, const char *irq_vm,
                          Error **errp)
{
    riod_home_call_long(inst->home, open_in_home, inst);
    if (inst->open_error) {
        riod_home_call(inst->home, release_in_home, inst);
        error_setg(errp, "module '%s': %s", inst->id,
                   error_get_pretty(inst->open_error));
        instance_end(inst, unopen_in_home);
        return false;
    }
    if (irq_vm && !riod_irq_vm_parse(inst, irq_vm, errp)) {
        riod_home_call(inst->home, release_in_home, inst);
        instance_end(inst, unopen_in_home);
        return false;
    }
    if (inst->waits) {
        riod_home_call(inst->home, wait_in_home, inst);
    }
    riod_chars_start(inst);
    riod_tables_lock();
    QTAILQ_INSERT_TAIL(&instances, inst, node);
    riod_tables_unlock();
    trace_riod_instance_open(inst->id, inst->type->name, inst->number);
    riod_directory_modules_changed();
    return true;
}

static bool check_incoming(const QDict *args, const RioModule *type,
                           bool *waits, Error **errp)
{
    const char *text = qdict_get_try_str(args, "incoming");

    *waits = false;
    if (text && !riod_params_bool(text, waits)) {
        error_setg(errp, "incoming is on or off, not '%.64s'", text);
        return false;
    }
    if (*waits && !riod_registry_state(type)) {
        error_setg(errp, "no module of type '%s' can move in: the type does "
                   "not say what its state is", type->name);
        return false;
    }
    if (*waits && riod_journal_keeps(type)) {
        error_setg(errp, "no module of type '%s' can move in: it would be in "
                   "the journal here, which does not know of moves",
                   type->name);
        return false;
    }
    return true;
}

bool riod_instance_add(const QDict *args, Error **errp)
{
    const char *driver = qdict_get_try_str(args, "driver");
    const char *id = qdict_get_try_str(args, "id");
    const RioModule *type;
    RiodInstance *inst;
    RiodHome *home;
    QDict *params;
    bool waits;

    if (!driver) {
        error_setg(errp, "name the type of the module first; --module help "
                   "lists them");
        return false;
    }
    type = riod_registry_find(driver, errp);
    if (!type || !check_id(id, errp)) {
        return false;
    }
    params = riod_params_check(type, args, errp);
    if (!params) {
        return false;
    }
    home = riod_home_get(qdict_get_try_str(args, "iothread"), errp);
    if (!home || !check_incoming(args, type, &waits, errp)) {
        qobject_unref(params);
        return false;
    }
    inst = instance_new(type, id, home, params);
    inst->added = riod_upgrade_serving();
    inst->args = qdict_clone_shallow(args);
    inst->waits = waits;
    if (!instance_open(inst, qdict_get_try_str(args, "interrupt-vm"), errp)) {
        riod_instance_unref(inst);
        return false;
    }
    return true;
}

char *riod_instances_in_home(const RiodHome *home)
{
    GString *text = g_string_new(NULL);
    RiodInstance *inst;
    unsigned count = 0;

    riod_tables_lock();
    if (ending && ending->home == home) {
        g_string_printf(text, "'%s'", ending->id);
        count++;
    }
    QTAILQ_FOREACH(inst, &instances, node) {
        if (inst->home == home) {
            g_string_append_printf(text, "%s'%s'", count ? ", " : "",
                                   inst->id);
            count++;
        }
    }
    riod_tables_unlock();
    g_string_prepend(text, count > 1 ? "one of the modules " : "module ");
    return g_string_free(text, false);
}

static void instance_close(RiodInstance *inst)
{
    riod_tables_lock();
    ending = inst;
    QTAILQ_REMOVE(&instances, inst, node);
    riod_tables_unlock();
    riod_directory_modules_changed();
    riod_chars_stop(inst);
    instance_end(inst, close_in_home);
    riod_tables_lock();
    ending = NULL;
    riod_tables_unlock();
    riod_filters_drop(inst);
    trace_riod_instance_close(inst->id);
    riod_instance_unref(inst);
}

bool riod_instance_del(const char *id, Error **errp)
{
    RiodInstance *inst = find_locked(id);

    if (!inst) {
        error_set(errp, ERROR_CLASS_DEVICE_NOT_FOUND,
                  "there is no module '%s'", id);
        return false;
    }
    instance_close(inst);
    return true;
}

bool riod_instance_renew(RiodInstance *inst, Error **errp)
{
    g_autoptr(QDict) args = NULL;

    if (find_locked(inst->id) != inst) {
        error_setg(errp, "it was removed");
        return false;
    }
    args = qdict_clone_shallow(inst->args);
    qdict_put_str(args, "incoming", "on");
    instance_close(inst);
    return riod_instance_add(args, errp);
}

void riod_instances_close_all(void)
{
    RiodInstance *inst;

    while ((inst = QTAILQ_LAST(&instances))) {
        instance_close(inst);
    }
}
