/*
 * remote-io-server: the fault filters of a module
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A message of a session passes the chain once, when it has come to the home
 * of its module; what the filters decided travels with it until it is carried
 * out.  Interrupts and DMA pass the other way, from the module to the client.
 */

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "filter.h"
#include "trace.h"

/* ------------------------------------------------------------ the chain */

void riod_filter_insert(RiodFilter *f)
{
    RiodFilter **at = &f->inst->filters;

    while (*at) {
        at = &(*at)->next;
    }
    f->next = NULL;
    qatomic_set(at, f);
}

void riod_filter_remove(RiodFilter *f)
{
    RiodFilter **at = &f->inst->filters;

    while (*at && *at != f) {
        at = &(*at)->next;
    }
    if (*at) {
        qatomic_set(at, f->next);
    }
}

/* Ask @f.  Returns: false when the event goes no further */
static bool ask(RiodFilter *f, RiodFate *fate)
{
    if (f->type->act && riod_filter_matches(f, &fate->event)) {
        f->type->act(f, fate);
        trace_riod_filter(f->id, riod_filter_kind_name(fate->event.kind),
                          fate->event.region, fate->event.offset,
                          fate->delay_ns, fate->stopped, fate->cut);
    }
    fate->depth++;
    return !fate->stopped;
}

/* Towards the module */
static void judge(RiodInstance *inst, RiodFate *fate)
{
    fate->judged = true;
    for (RiodFilter *f = inst->filters; f && ask(f, fate); f = f->next) {
        /* goes on */
    }
}

/* Towards the client: @f is asked after all behind it */
static bool judge_from(RiodFilter *f, RiodFate *fate)
{
    return !f || (judge_from(f->next, fate) && ask(f, fate));
}

static void judge_back(RiodInstance *inst, RiodFate *fate)
{
    fate->judged = true;
    judge_from(inst->filters, fate);
}

/* Those record it that it has passed: the last @depth of the chain */
static unsigned tell_from(RiodFilter *f, RiodSession *s, const RiodFate *fate)
{
    unsigned behind;

    if (!f) {
        return 0;
    }
    behind = tell_from(f->next, s, fate);
    if (behind < fate->depth && f->type->done &&
        riod_filter_matches(f, &fate->event)) {
        f->type->done(f, s, fate);
    }
    return behind + 1;
}

static void cut(RiodSession *s, const RiodFate *fate)
{
    RiodConnection *conn = s->conn;

    QEMU_LOCK_GUARD(&conn->lock);
    riod_connection_cut_locked(conn, fate->reset);
}

/* ------------------------------------------------------------- accesses */

static void write_event(RiodEvent *e, const RioWrite *w)
{
    e->kind = RIOD_KIND_WRITE;
    e->region = w->region;
    e->offset = w->offset;
    e->size = w->size;
    e->value = w->value;
}

/* Returns: false for a message that is no event: it only keeps its place */
static bool event_of(const RioMessage *m, RiodEvent *e)
{
    switch (m->op) {
    case RIO_OP_REGION_READ:
        e->kind = RIOD_KIND_READ;
        e->region = m->read.region;
        e->offset = m->read.offset;
        e->size = m->read.size;
        return true;
    case RIO_OP_REGION_WRITE:
        write_event(e, &m->write);
        return true;
    case RIO_OP_DOORBELL:
        write_event(e, &m->doorbell.write);
        return !(m->flags & RIO_FLAG_MORE);     /* rung by the last one */
    case RIO_OP_RESET:
        e->kind = RIOD_KIND_RESET;
        e->value = m->reset.kind;
        return true;
    default:
        return false;
    }
}

/* The message is as late as the latest of its writes */
static void judge_batch(RiodInstance *inst, const RioMessage *m,
                        RiodFate *fate)
{
    fate->each = g_new0(RiodFate, m->batch.count);
    for (uint32_t i = 0; i < m->batch.count; i++) {
        RiodFate *one = &fate->each[i];
        RioWrite w = rio_batch_get(m, i);

        write_event(&one->event, &w);
        judge(inst, one);
        fate->delay_ns = MAX(fate->delay_ns, one->delay_ns);
        fate->cut |= one->cut;
        fate->reset |= one->reset;
    }
}

bool riod_filter_message(RiodSession *s, const RioMessage *m, RiodFate *fate,
                         RiodTask *task)
{
    if (fate->judged || s->ended) {
        return false;
    }
    fate->judged = true;
    if (m->op == RIO_OP_REGION_WRITE_BATCH) {
        judge_batch(s->inst, m, fate);
    } else if (event_of(m, &fate->event)) {
        judge(s->inst, fate);
    }
    if (fate->cut) {
        cut(s, fate);
    }
    if (!fate->delay_ns && !riod_late_has_messages(s)) {
        return false;
    }
    riod_late_message(s, task, fate->delay_ns);
    return true;
}

/* Those that it passed, from the client's side */
void riod_filter_done(RiodSession *s, const RiodFate *fate)
{
    unsigned depth = fate->depth;

    for (RiodFilter *f = s->inst->filters; f && depth--; f = f->next) {
        if (f->type->done && riod_filter_matches(f, &fate->event)) {
            f->type->done(f, s, fate);
        }
    }
}

/* ----------------------------------------------------------- interrupts */

/* Returns: true when it may be raised now */
static bool irq_passes(RiodSession *s, bool message, unsigned number)
{
    RiodFate fate = {
        .event = {
            .kind = message ? RIOD_KIND_MESSAGE : RIOD_KIND_LINE,
            .region = number,
            .value = 1,
        },
    };

    judge_back(s->inst, &fate);
    tell_from(s->inst->filters, s, &fate);
    if (fate.stopped) {
        return false;
    }
    if (fate.delay_ns || (!message && riod_late_has_rise(s, number))) {
        riod_late_irq(s, message, number, true, fate.delay_ns);
        return false;
    }
    return true;
}

void riod_filter_irq_level(RiodSession *s, unsigned line, bool level)
{
    if (!riod_late_note_level(s, line, level)) {
        return;
    }
    if (!level && riod_late_has_rise(s, line)) {
        riod_late_irq(s, false, line, false, 0);
    } else if (!level || irq_passes(s, false, line)) {
        riod_session_irq_level(s, line, level);
    }
}

void riod_filter_irq_message(RiodSession *s, unsigned vector)
{
    if (irq_passes(s, true, vector)) {
        riod_session_irq_message(s, vector);
    }
}

/* ------------------------------------------------------------------ DMA */

int coroutine_fn riod_filter_dma(RiodSession *s, bool write, uint64_t addr,
                                 uint64_t size)
{
    RiodFate fate = {
        .event = {
            .kind = write ? RIOD_KIND_DMA_WRITE : RIOD_KIND_DMA_READ,
            .offset = addr,
            .size = size,
        },
    };

    judge_back(s->inst, &fate);
    if (fate.cut) {
        cut(s, &fate);
    }
    fate.status = fate.stopped ? RIO_STATUS_DMA : RIO_STATUS_OK;
    tell_from(s->inst->filters, s, &fate);
    if (fate.delay_ns) {
        riod_task_sleep(&s->inst->dev, fate.delay_ns);
    }
    return fate.stopped ? -EFAULT : 0;
}
