/*
 * remote-io-server: homes, the threads in which connections and modules live
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "system/iothread.h"
#include "internal.h"

/*
 * How long the default home polls before it sleeps, when that paid off
 * lately.  It is halved each time it did not: QEMU's own default would forget
 * all at once, and a client that is interrupted for a moment would find the
 * server asleep for its next few accesses.
 */
#define POLL_MAX_NS 65536
#include "trace.h"

static QLIST_HEAD(, RiodHome) homes = QLIST_HEAD_INITIALIZER(homes);

struct RiodCall {
    RiodTask task;
    void (*fn)(void *);
    void *opaque;
    Coroutine *co;              /* of a long call */
    QemuEvent event;            /* done, or @main_fn is to be run */
    bool done;
    void (*main_fn)(void *);
    void *main_opaque;
};

static RiodTask *home_take(RiodHome *home)
{
    RiodTask *task;

    QEMU_LOCK_GUARD(&home->lock);
    task = QSIMPLEQ_FIRST(&home->tasks);
    if (task) {
        QSIMPLEQ_REMOVE_HEAD(&home->tasks, next);
    }
    qatomic_set(&home->wanted, !QSIMPLEQ_EMPTY(&home->tasks));
    return task;
}

static void home_bh(void *opaque)
{
    RiodHome *home = opaque;
    RiodTask *task;

    riod_home_begin(home);
    while ((task = home_take(home))) {
        task->run(task);
        riod_jobs_run(home);
    }
    riod_home_flush(home);
}

void riod_home_post(RiodHome *home, RiodTask *task)
{
    WITH_QEMU_LOCK_GUARD(&home->lock) {
        QSIMPLEQ_INSERT_TAIL(&home->tasks, task, next);
        qatomic_set(&home->wanted, true);
    }
    qemu_bh_schedule(home->bh);
}

static void call_done(RiodCall *call)
{
    qatomic_store_release(&call->done, true);
    qemu_event_set(&call->event);
}

static void call_run(RiodTask *task)
{
    RiodCall *call = container_of(task, RiodCall, task);

    call->fn(call->opaque);
    call_done(call);
}

void riod_home_call(RiodHome *home, void (*fn)(void *), void *opaque)
{
    RiodCall call = {
        .task.run = call_run,
        .fn = fn,
        .opaque = opaque,
    };

    qemu_event_init(&call.event, false);
    riod_home_post(home, &call.task);
    qemu_event_wait(&call.event);
    qemu_event_destroy(&call.event);
}

/* ---- long calls -------------------------------------------------------- */

static void coroutine_fn long_call_entry(void *opaque)
{
    RiodCall *call = opaque;

    call->fn(call->opaque);
    call_done(call);
}

static void long_call_run(RiodTask *task)
{
    RiodCall *call = container_of(task, RiodCall, task);
    Coroutine *co = call->co;

    qemu_coroutine_enter(co);
}

void riod_home_call_long(RiodHome *home, void (*fn)(void *), void *opaque)
{
    RiodCall call = {
        .task.run = long_call_run,
        .fn = fn,
        .opaque = opaque,
    };

    call.co = qemu_coroutine_create(long_call_entry, &call);
    qemu_event_init(&call.event, false);
    home->call = &call;
    riod_home_post(home, &call.task);
    while (true) {
        qemu_event_wait(&call.event);
        qemu_event_reset(&call.event);
        if (qatomic_load_acquire(&call.done)) {
            break;
        }
        call.main_fn(call.main_opaque);
        riod_home_post(home, &call.task);
    }
    home->call = NULL;
    qemu_event_destroy(&call.event);
}

void riod_home_call_main(RiodHome *home, void (*fn)(void *), void *opaque)
{
    RiodCall *call = home->call;

    call->main_fn = fn;
    call->main_opaque = opaque;
    qemu_event_set(&call->event);
    qemu_coroutine_yield();
}

/* ---- the end of a run --------------------------------------------------- */

void riod_home_begin(RiodHome *home)
{
    home->in_run = true;
}

void riod_home_stir(RiodHome *home)
{
    if (!home->in_run) {
        qemu_bh_schedule(home->bh);
    }
}

static void flush_session(RiodSession *s)
{
    RiodConnection *conn = s->conn;

    if (!s->ended) {
        QEMU_LOCK_GUARD(&conn->lock);
        if (riod_session_push_locked(s)) {
            riod_connection_send_locked(conn);
        }
    }
}

void riod_home_flush(RiodHome *home)
{
    RiodSession *s;

    home->in_run = true;
    do {
        riod_jobs_run(home);
        s = QSIMPLEQ_FIRST(&home->dirty);
        if (s) {
            QSIMPLEQ_REMOVE_HEAD(&home->dirty, dirty_next);
            s->dirty = false;
            flush_session(s);
            riod_session_unref(s);
        }
    } while (s || !QSIMPLEQ_EMPTY(&home->ready));
    home->in_run = false;
}

static RiodHome *home_find(const Object *thread)
{
    RiodHome *home;

    QLIST_FOREACH(home, &homes, node) {
        if (home->thread == thread) {
            return home;
        }
    }
    return NULL;
}

static RiodHome *home_new(const char *name, IOThread *thread)
{
    RiodHome *home = g_new0(RiodHome, 1);

    home->name = g_strdup(name);
    home->thread = object_ref(OBJECT(thread));
    home->ctx = iothread_get_aio_context(thread);
    aio_context_ref(home->ctx);
    home->bh = aio_bh_new(home->ctx, home_bh, home);
    qemu_mutex_init(&home->lock);
    QSIMPLEQ_INIT(&home->tasks);
    QSIMPLEQ_INIT(&home->dirty);
    QSIMPLEQ_INIT(&home->ready);
    home->jobs = g_hash_table_new(NULL, NULL);
    QLIST_INSERT_HEAD(&homes, home, node);
    return home;
}

RiodHome *riod_home_get(const char *iothread, Error **errp)
{
    IOThread *thread;
    RiodHome *home;

    if (!iothread) {
        return riod_home_default();
    }
    thread = iothread_by_id(iothread);
    if (!thread) {
        error_setg(errp, "there is no iothread '%s': put --object "
                   "iothread,id=%s before it", iothread, iothread);
        return NULL;
    }
    home = home_find(OBJECT(thread));
    return home ?: home_new(iothread, thread);
}

RiodHome *riod_home_default(void)
{
    static RiodHome *home;

    if (!home) {
        home = home_new(NULL, iothread_create("remote-io-worker",
                                              &error_fatal));
        aio_context_set_poll_params(home->ctx, POLL_MAX_NS, 2, 2,
                                    &error_abort);
    }
    return home;
}

static void home_nothing(void *opaque)
{
}

/* What was posted before is still carried out */
void riod_homes_close_all(void)
{
    RiodHome *home, *next;

    QLIST_FOREACH(home, &homes, node) {
        riod_home_call(home, home_nothing, NULL);
    }
    QLIST_FOREACH_SAFE(home, &homes, node, next) {
        QLIST_REMOVE(home, node);
        qemu_bh_delete(home->bh);
        if (!home->name) {
            iothread_destroy(IOTHREAD(home->thread));
        }
        object_unref(home->thread);
        aio_context_unref(home->ctx);
        qemu_mutex_destroy(&home->lock);
        g_hash_table_destroy(home->jobs);
        g_free(home->name);
        g_free(home);
    }
}
