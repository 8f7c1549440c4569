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

/*
 * When the server is to end: how long a callback of a module may take to
 * return, and how often somebody who waits for it looks whether it is time.
 */
#define GRACE_MS 10000
#define CALL_WAIT_MS 200
#include "trace.h"

static QLIST_HEAD(, RiodHome) homes = QLIST_HEAD_INITIALIZER(homes);

struct RiodCall {
    RiodTask task;
    void (*fn)(void *);
    void *opaque;
    Coroutine *co;              /* of a long call */
    QemuSemaphore sem;          /* done, or @main_fn is to be run */
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
    qemu_sem_post(&call->sem);
}

/* A home that is stuck must not keep the process from ending */
static void call_wait(RiodCall *call)
{
    while (qemu_sem_timedwait(&call->sem, CALL_WAIT_MS) < 0) {
        if (riod_quit_requested()) {
            riod_homes_watch();
        }
    }
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

    qemu_sem_init(&call.sem, 0);
    riod_home_post(home, &call.task);
    call_wait(&call);
    qemu_sem_destroy(&call.sem);
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
    qemu_sem_init(&call.sem, 0);
    home->call = &call;
    riod_home_post(home, &call.task);
    while (true) {
        call_wait(&call);
        if (qatomic_load_acquire(&call.done)) {
            break;
        }
        call.main_fn(call.main_opaque);
        riod_home_post(home, &call.task);
    }
    home->call = NULL;
    qemu_sem_destroy(&call.sem);
}

void riod_home_call_main(RiodHome *home, void (*fn)(void *), void *opaque)
{
    RiodCall *call = home->call;

    call->main_fn = fn;
    call->main_opaque = opaque;
    qemu_sem_post(&call->sem);
    qemu_coroutine_yield();
}

/* ---- homes that are stuck ----------------------------------------------- */

typedef struct RiodPing {
    RiodTask task;
    QemuSemaphore sem;
} RiodPing;

static GPtrArray *watched;      /* homes */
static QemuThread watcher;
static QemuSemaphore watch_end;

static void ping_run(RiodTask *task)
{
    qemu_sem_post(&container_of(task, RiodPing, task)->sem);
}

/* The time is counted in slices: the process may be stopped meanwhile */
static bool home_answers(RiodHome *home)
{
    RiodPing ping = { .task.run = ping_run };
    bool answers = false;

    qemu_sem_init(&ping.sem, 0);
    riod_home_post(home, &ping.task);
    for (int i = 0; i < GRACE_MS / CALL_WAIT_MS && !answers; i++) {
        answers = qemu_sem_timedwait(&ping.sem, CALL_WAIT_MS) == 0;
    }
    if (!answers) {
        return false;           /* @ping is in its list; the process ends */
    }
    qemu_sem_destroy(&ping.sem);
    return true;
}

static void *watch_homes(void *opaque)
{
    do {
        for (guint i = 0; i < watched->len; i++) {
            RiodHome *home = g_ptr_array_index(watched, i);

            if (!home_answers(home)) {
                g_autofree char *who = riod_instances_in_home(home);

                riod_log("a callback of %s has not returned for %d s: ending "
                         "without it; what disks had not flushed may be lost",
                         who, GRACE_MS / 1000);
                riod_abandon();
            }
        }
    } while (qemu_sem_timedwait(&watch_end, CALL_WAIT_MS) < 0);
    return NULL;
}

void riod_homes_watch(void)
{
    RiodHome *home;

    if (watched) {
        return;
    }
    watched = g_ptr_array_new();
    QLIST_FOREACH(home, &homes, node) {
        g_ptr_array_add(watched, home);
    }
    qemu_sem_init(&watch_end, 0);
    qemu_thread_create(&watcher, "quit-watch", watch_homes, NULL,
                       QEMU_THREAD_JOINABLE);
}

static void watch_stop(void)
{
    if (watched) {
        qemu_sem_post(&watch_end);
        qemu_thread_join(&watcher);
        qemu_sem_destroy(&watch_end);
        g_ptr_array_free(watched, true);
        watched = NULL;
    }
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
        } else {
            riod_journal_commit(home);
        }
    } while (s || riod_home_has_work(home));
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
    QSIMPLEQ_INIT(&home->journals);
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
    watch_stop();
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
