/*
 * remote-io-server: tasks of modules
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A task is a coroutine in the home of its instance.  It is entered from the
 * home's list of tasks that are ready, never from under a lock, or by the
 * block layer when a request of its own is done.  The list is worked off
 * between two messages and at the end of each run of callbacks, before what
 * they all gave rise to is sent: so a frame carries as much as there is.
 */

#include "qemu/osdep.h"
#include "block/aio-wait.h"
#include "qemu/coroutine.h"
#include "internal.h"
#include "trace.h"

struct RiodJob {
    RiodInstance *inst;         /* referenced */
    RioTask *task;
    void *arg;
    Coroutine *co;
    RiodDoorbell *doorbell;     /* oldest that it may look into, or NULL */
    bool ready;                 /* in a list of those that can go on */
    bool sleeping;
    bool disowned;              /* the instance became another since */
    QemuCoSleep sleep;
    QSIMPLEQ_ENTRY(RiodJob) next;       /* home->ready */
    QLIST_ENTRY(RiodJob) node;          /* inst->jobs */
};

static void job_end(RiodJob *job)
{
    RiodInstance *inst = job->inst;

    QLIST_REMOVE(job, node);
    g_hash_table_remove(inst->home->jobs, job->co);
    riod_doorbell_unref(job->doorbell);
    g_free(job);
    qatomic_set(&inst->num_jobs, inst->num_jobs - 1);
    if (unlikely(inst->closing)) {
        aio_wait_kick();
    }
    riod_instance_unref(inst);
}

static void coroutine_fn job_entry(void *opaque)
{
    RiodJob *job = opaque;

    job->task(&job->inst->dev, job->inst->state, job->arg);
    job_end(job);
}

RiodJob *riod_job_self(RiodInstance *inst)
{
    return qemu_in_coroutine() ?
           g_hash_table_lookup(inst->home->jobs, qemu_coroutine_self()) : NULL;
}

RiodDoorbell *riod_job_doorbell(const RiodJob *job)
{
    return job->doorbell;
}

void riod_job_set_doorbell(RiodJob *job, RiodDoorbell *doorbell)
{
    RiodDoorbell *old = job->doorbell;

    job->doorbell = riod_doorbell_ref(doorbell);
    riod_doorbell_unref(old);
}

void riod_job_wake(RiodJob *job)
{
    RiodHome *home = job->inst->home;

    if (!job->ready) {
        job->ready = true;
        QSIMPLEQ_INSERT_TAIL(&home->ready, job, next);
        riod_home_stir(home);
    }
}

void coroutine_fn riod_job_wait(RiodJob *job)
{
    qemu_coroutine_yield();
}

void riod_jobs_run(RiodHome *home)
{
    RiodJob *job;

    while ((job = QSIMPLEQ_FIRST(&home->ready))) {
        QSIMPLEQ_REMOVE_HEAD(&home->ready, next);
        if (unlikely(job->inst->stops && !job->inst->closing)) {
            QSIMPLEQ_INSERT_TAIL(&job->inst->held_jobs, job, next);
            continue;
        }
        job->ready = false;
        riod_journal_touch(job->inst);
        qemu_coroutine_enter(job->co);
    }
}

void coroutine_fn riod_job_park(RiodJob *job)
{
    RiodInstance *inst = job->inst;

    while (unlikely(inst->stops && !inst->closing)) {
        job->ready = true;
        QSIMPLEQ_INSERT_TAIL(&inst->held_jobs, job, next);
        qemu_coroutine_yield();
    }
}

void riod_jobs_go(RiodInstance *inst)
{
    if (!QSIMPLEQ_EMPTY(&inst->held_jobs)) {
        QSIMPLEQ_CONCAT(&inst->home->ready, &inst->held_jobs);
        riod_home_stir(inst->home);
    }
}

void riod_jobs_disown(RiodInstance *inst)
{
    RiodJob *job;

    QLIST_FOREACH(job, &inst->jobs, node) {
        job->disowned = true;
    }
}

int riod_job_error(const RiodJob *job)
{
    return job->disowned || job->inst->closing ? -ECANCELED : 0;
}

void riod_jobs_cancel(RiodInstance *inst)
{
    RiodJob *job;

    riod_jobs_go(inst);
again:
    QLIST_FOREACH(job, &inst->jobs, node) {
        if (job->sleeping) {
            /* It runs at once, and the list may change meanwhile */
            job->sleeping = false;
            qemu_co_sleep_wake(&job->sleep);
            goto again;
        }
    }
}

/* ---- host calls -------------------------------------------------------- */

void riod_task_start(RioDevice *dev, RioTask *task, void *arg)
{
    RiodInstance *inst = riod_instance(dev);
    RiodJob *self = riod_job_self(inst);
    RiodJob *job;

    if (inst->closed) {
        riod_log("%s: error: the module starts a task when it closes",
                 inst->id);
        return;
    }
    job = g_new0(RiodJob, 1);
    job->inst = riod_instance_ref(inst);
    job->task = task;
    job->arg = arg;
    job->doorbell = riod_doorbell_ref(self ? self->doorbell : inst->ringing);
    job->co = qemu_coroutine_create(job_entry, job);
    QLIST_INSERT_HEAD(&inst->jobs, job, node);
    g_hash_table_insert(inst->home->jobs, job->co, job);
    qatomic_set(&inst->num_jobs, inst->num_jobs + 1);
    riod_job_wake(job);
}

void riod_task_sleep(RioDevice *dev, int64_t ns)
{
    RiodInstance *inst = riod_instance(dev);
    RiodJob *self = riod_job_self(inst);

    if (!self) {
        riod_complain_not_task(inst, "rio_task_sleep");
        return;
    }
    self->sleeping = true;
    qemu_co_sleep_ns_wakeable(&self->sleep, QEMU_CLOCK_REALTIME,
                              riod_job_error(self) ? 0 : MAX(ns, 0));
    self->sleeping = false;
    riod_journal_touch(inst);
    riod_job_park(self);
}
