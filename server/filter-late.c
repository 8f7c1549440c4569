/*
 * remote-io-server: what fault filters hold back
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A session that was ever filtered has two queues, of messages from its
 * client and of interrupts for it, each with a timer.  Both keep their order:
 * what is put in leaves not before what is in there already.  All of this
 * belongs to the home of the module.
 */

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "filter.h"

typedef struct LateMessage {
    RiodTask *task;
    int64_t due;
    QSIMPLEQ_ENTRY(LateMessage) next;
} LateMessage;

typedef struct LateIrq {
    bool message, level;
    unsigned number;
    int64_t due;
    QSIMPLEQ_ENTRY(LateIrq) next;
} LateIrq;

struct RiodLate {
    QSIMPLEQ_HEAD(, LateMessage) messages;
    QSIMPLEQ_HEAD(, LateIrq) irqs;
    int64_t last_message, last_irq;     /* due times of the last in each */
    QEMUTimer *message_timer;
    QEMUTimer *irq_timer;
    uint32_t level;             /* of lines, as the module holds them */
};

/* ------------------------------------------------------------- messages */

static void arm(QEMUTimer *timer, int64_t due)
{
    timer_mod_ns(timer, due);
}

/* Not by the timer's own clock: who is due together leaves together */
static void release_messages(RiodSession *s, bool all)
{
    RiodLate *late = s->late;
    int64_t now = get_clock();
    LateMessage *m;

    while ((m = QSIMPLEQ_FIRST(&late->messages)) && (all || m->due <= now)) {
        RiodTask *task = m->task;

        QSIMPLEQ_REMOVE_HEAD(&late->messages, next);
        g_free(m);
        task->run(task);
        riod_jobs_run(s->inst->home);
        late = s->late;
        if (!late) {
            return;             /* it ended the session */
        }
    }
    if (m) {
        arm(late->message_timer, m->due);
    }
}

static void messages_due(void *opaque)
{
    RiodSession *s = riod_session_ref(opaque);
    RiodHome *home = s->inst->home;

    riod_home_begin(home);
    release_messages(s, false);
    riod_home_flush(home);
    riod_session_unref(s);
}

/* ----------------------------------------------------------- interrupts */

static void raise_late(RiodSession *s, const LateIrq *irq)
{
    if (irq->message) {
        riod_session_irq_message(s, irq->number);
    } else {
        riod_session_irq_level(s, irq->number, irq->level);
    }
}

static void release_irqs(RiodSession *s, bool all)
{
    RiodLate *late = s->late;
    int64_t now = get_clock();
    LateIrq *irq;

    while ((irq = QSIMPLEQ_FIRST(&late->irqs)) && (all || irq->due <= now)) {
        QSIMPLEQ_REMOVE_HEAD(&late->irqs, next);
        raise_late(s, irq);
        g_free(irq);
    }
    if (irq) {
        arm(late->irq_timer, irq->due);
    }
}

static void irqs_due(void *opaque)
{
    RiodSession *s = opaque;
    RiodHome *home = s->inst->home;

    riod_home_begin(home);
    release_irqs(s, false);
    riod_home_flush(home);
}

/* ------------------------------------------------------------ the queues */

static RiodLate *late_of(RiodSession *s)
{
    AioContext *ctx = s->inst->home->ctx;
    RiodLate *late = s->late;

    if (!late) {
        late = s->late = g_new0(RiodLate, 1);
        QSIMPLEQ_INIT(&late->messages);
        QSIMPLEQ_INIT(&late->irqs);
        late->message_timer = aio_timer_new(ctx, QEMU_CLOCK_REALTIME, SCALE_NS,
                                            messages_due, s);
        late->irq_timer = aio_timer_new(ctx, QEMU_CLOCK_REALTIME, SCALE_NS,
                                        irqs_due, s);
        late->level = s->irqs.level;
    }
    return late;
}

void riod_late_message(RiodSession *s, RiodTask *task, int64_t delay_ns)
{
    RiodLate *late = late_of(s);
    LateMessage *m = g_new0(LateMessage, 1);
    bool first = QSIMPLEQ_EMPTY(&late->messages);

    m->task = task;
    m->due = MAX(get_clock() + delay_ns, late->last_message);
    late->last_message = m->due;
    QSIMPLEQ_INSERT_TAIL(&late->messages, m, next);
    if (first) {
        arm(late->message_timer, m->due);
    }
}

bool riod_late_has_messages(const RiodSession *s)
{
    return s->late && !QSIMPLEQ_EMPTY(&s->late->messages);
}

void riod_late_irq(RiodSession *s, bool message, unsigned number, bool level,
                   int64_t delay_ns)
{
    RiodLate *late = late_of(s);
    LateIrq *irq = g_new0(LateIrq, 1);
    bool first = QSIMPLEQ_EMPTY(&late->irqs);

    irq->message = message;
    irq->number = number;
    irq->level = level;
    irq->due = MAX(get_clock() + delay_ns, late->last_irq);
    late->last_irq = irq->due;
    QSIMPLEQ_INSERT_TAIL(&late->irqs, irq, next);
    if (first) {
        arm(late->irq_timer, irq->due);
    }
}

bool riod_late_has_rise(const RiodSession *s, unsigned line)
{
    LateIrq *irq;

    if (!s->late) {
        return false;
    }
    QSIMPLEQ_FOREACH(irq, &s->late->irqs, next) {
        if (!irq->message && irq->number == line) {
            return true;
        }
    }
    return false;
}

bool riod_late_note_level(RiodSession *s, unsigned line, bool level)
{
    RiodLate *late = late_of(s);
    uint32_t bit = 1u << line;

    if (!(late->level & bit) == !level) {
        return false;
    }
    late->level ^= bit;
    return true;
}

void riod_late_release(RiodInstance *inst)
{
    for (unsigned i = 0; inst->clients && i < inst->max_clients; i++) {
        RiodSession *s = inst->clients[i];

        if (s && s->late) {
            riod_session_ref(s);
            release_messages(s, true);
            if (s->late) {
                release_irqs(s, true);
            }
            riod_session_unref(s);
        }
    }
}

static void free_irqs(RiodLate *late)
{
    LateIrq *irq;

    while ((irq = QSIMPLEQ_FIRST(&late->irqs))) {
        QSIMPLEQ_REMOVE_HEAD(&late->irqs, next);
        g_free(irq);
    }
    timer_del(late->irq_timer);
}

void riod_late_drop_irqs(RiodSession *s, uint32_t level)
{
    if (s->late) {
        free_irqs(s->late);
        s->late->level = level;
    }
}

void riod_late_end(RiodSession *s)
{
    RiodLate *late = s->late;

    if (late) {
        release_messages(s, true);
        s->late = NULL;
        free_irqs(late);
        timer_free(late->message_timer);
        timer_free(late->irq_timer);
        g_free(late);
    }
}
