/*
 * remote-io-server: the router, from a request to a module and back
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The one place where an access is judged.  What passes lies within one
 * region and has a size that the module allows there; a module need not look
 * again.
 */

#include "qemu/osdep.h"
#include "qemu/log.h"
#include "filter.h"
#include "trace.h"

/* What about an access is wrong: one line for the operator, at times */
static void note_refused(RiodSession *s, const char *what, unsigned region,
                         uint64_t offset, unsigned size, const char *why)
{
    s->refused++;
    trace_riod_refused(s->inst->id, s->ids.vm, what, region, offset, size);
    if (qemu_loglevel_mask(LOG_GUEST_ERROR) &&
        riod_rate_allows(&s->rate, s->inst->id)) {
        riod_log("%s: VM %s: %s of %u bytes at 0x%" PRIx64 " of region %u %s",
                 s->inst->id, s->vm->name, what, size, offset, region, why);
    }
}

static bool overlaps(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
    return a < b + b_len && b < a + a_len;
}

/* The client answers accesses to these itself, so none should get here */
static bool in_msix(const RioDescription *d, unsigned region,
                    uint64_t offset, unsigned size)
{
    uint64_t table = (uint64_t)d->msix_vectors * 16;
    uint64_t pba = DIV_ROUND_UP(d->msix_vectors, 64) * 8;

    return (region == d->msix_table_bar &&
            overlaps(offset, size, d->msix_table_offset, table)) ||
           (region == d->msix_pba_bar &&
            overlaps(offset, size, d->msix_pba_offset, pba));
}

/* Returns: NULL, or what is wrong */
static const char *judge(const RiodInstance *inst, unsigned region,
                         uint64_t offset, unsigned size)
{
    const RioDescription *d = &inst->desc;

    if (unlikely(region >= RIO_MAX_REGIONS || !inst->region_size[region])) {
        return "which the module does not have";
    }
    if (unlikely(offset > inst->region_size[region] ||
                 size > inst->region_size[region] - offset)) {
        return "is beyond its end";
    }
    for (unsigned i = inst->first_range[region];
         i < inst->first_range[region + 1]; i++) {
        const RioRange *r = &d->ranges[i];

        if (overlaps(offset, size, r->offset, r->length) &&
            !(r->sizes & size)) {
            return "has a size that is not allowed there";
        }
    }
    if (unlikely(d->msix_vectors && in_msix(d, region, offset, size))) {
        return "is in the client's MSI-X table";
    }
    return NULL;
}

/* Has a filter stopped the access that is being carried out? */
static bool is_stopped(const RiodInstance *inst)
{
    return unlikely(inst->fate) && inst->fate->stopped;
}

/* The reply is complete: those who record it want to see it */
static void note_fate(const RiodInstance *inst, const RioMessage *reply)
{
    if (unlikely(inst->fate)) {
        inst->fate->status = reply->status;
        if (reply->op == RIO_OP_REGION_READ_REPLY) {
            inst->fate->event.value = reply->status == RIO_STATUS_OK ?
                                      reply->value.value : UINT64_MAX;
        }
    }
}

/* A filter's answer in place of the module's */
static uint64_t answer_stopped(const RiodInstance *inst, RioMessage *reply)
{
    if (inst->fate->status != RIO_STATUS_OK) {
        riod_set_reason(reply, inst->fate->status,
                        "a filter of the server refuses it");
        return 0;
    }
    return inst->fate->value;
}

static void route_read(RiodSession *s, const RioMessage *m)
{
    RiodInstance *inst = s->inst;
    RIO_UNINITIALIZED RioMessage reply;
    const char *wrong = judge(inst, m->read.region, m->read.offset,
                              m->read.size);

    rio_message_init(&reply, RIO_OP_REGION_READ_REPLY, 0, m->tag);
    s->reads++;
    if (unlikely(wrong)) {
        note_refused(s, "read", m->read.region, m->read.offset, m->read.size,
                     wrong);
        riod_set_reason(&reply, RIO_STATUS_RANGE, wrong);
    } else {
        reply.value.value = is_stopped(inst) ? answer_stopped(inst, &reply) :
                            inst->type->read(&inst->dev, inst->state, s->slot,
                                             m->read.region, m->read.offset,
                                             m->read.size);
        if (m->read.size < 8) {
            reply.value.value &= (1ull << (m->read.size * 8)) - 1;
        }
        trace_riod_read(inst->id, s->ids.vm, m->read.region, m->read.offset,
                        m->read.size, reply.value.value);
    }
    note_fate(inst, &reply);
    riod_session_reply(s, &reply);
}

/* Returns: NULL, or why the module did not get it */
static const char *write_one(RiodSession *s, const RioWrite *w)
{
    RiodInstance *inst = s->inst;
    const char *wrong = judge(inst, w->region, w->offset, w->size);

    if (unlikely(wrong)) {
        note_refused(s, "write", w->region, w->offset, w->size, wrong);
        return wrong;
    }
    trace_riod_write(inst->id, s->ids.vm, w->region, w->offset, w->size,
                     w->value);
    if (is_stopped(inst)) {
        return NULL;
    }
    inst->type->write(&inst->dev, inst->state, s->slot, w->region, w->offset,
                      w->size, w->value);
    return NULL;
}

static void route_write(RiodSession *s, const RioMessage *m)
{
    RIO_UNINITIALIZED RioMessage reply;
    const char *wrong = write_one(s, &m->write);

    s->writes++;
    if (m->flags & RIO_FLAG_POSTED) {
        s->posted++;
        return;
    }
    rio_message_init(&reply, RIO_OP_REGION_WRITE_REPLY, 0, m->tag);
    if (unlikely(wrong)) {
        riod_set_reason(&reply, RIO_STATUS_RANGE, wrong);
    } else if (is_stopped(s->inst)) {
        answer_stopped(s->inst, &reply);
    }
    note_fate(s->inst, &reply);
    riod_session_reply(s, &reply);
}

static void route_batch(RiodSession *s, const RioMessage *m)
{
    for (uint32_t i = 0; i < m->batch.count; i++) {
        RioWrite w = rio_batch_get(m, i);

        write_one(s, &w);
    }
    s->writes += m->batch.count;
    s->posted += m->batch.count;
}

/* The memory first, then the write: it starts the tasks that may use it */
static void route_doorbell(RiodSession *s, const RioMessage *m)
{
    RiodDoorbell *doorbell = riod_doorbell_receive(s, m);

    s->stats.doorbell_bytes += m->doorbell.total;
    if (!doorbell) {
        return;
    }
    s->stats.doorbells++;
    s->writes++;
    s->posted++;
    s->inst->ringing = doorbell;
    write_one(s, &m->doorbell.write);
    s->inst->ringing = NULL;
    riod_doorbell_unref(doorbell);
}

static void route_reset(RiodSession *s, const RioMessage *m)
{
    RiodInstance *inst = s->inst;
    RioMessage reply;

    trace_riod_reset(inst->id, s->ids.vm, m->reset.kind);
    /*
     * Before the module's turn, which may raise what it has after power-on:
     * the client drops what comes before the reply.
     */
    riod_session_irq_drop(s);
    rio_message_init(&reply, RIO_OP_RESET_REPLY, 0, m->tag);
    riod_session_reply(s, &reply);
    if (inst->type->reset) {
        inst->type->reset(&inst->dev, inst->state, s->slot, m->reset.kind);
    }
}

/* What the session may say at all */
static uint64_t needs(uint8_t op)
{
    switch (op) {
    case RIO_OP_REGION_READ:
    case RIO_OP_REGION_WRITE:
    case RIO_OP_REGION_WRITE_BATCH:
    case RIO_OP_RESET:
        return 0;
    case RIO_OP_DOORBELL:
        return RIO_CAP_RECIPES;
    case RIO_OP_DMA_READ_REPLY:
        return RIO_CAP_DMA;
    case RIO_OP_QUIESCE:
    case RIO_OP_STATE_SAVE:
    case RIO_OP_STATE_LOAD:
        return RIO_CAP_STATE;
    default:
        return UINT64_MAX;      /* not offered */
    }
}

void riod_route(RiodSession *s, const RioMessage *m)
{
    RioError err;

    if (unlikely(needs(m->op) & ~s->caps)) {
        rio_error_set(&err, RIO_STATUS_UNSUPPORTED, "%s, which was not "
                      "agreed on", rio_op_name(m->op));
        riod_session_bad_locked(s, &err);
        return;
    }
    if (unlikely(m->flags & RIO_FLAG_TRACE)) {
        riod_trace_report_locked(s->conn, m);
    }
    switch (m->op) {
    case RIO_OP_REGION_READ:
        route_read(s, m);
        break;
    case RIO_OP_REGION_WRITE:
        route_write(s, m);
        break;
    case RIO_OP_REGION_WRITE_BATCH:
        route_batch(s, m);
        break;
    case RIO_OP_RESET:
        route_reset(s, m);
        break;
    case RIO_OP_DOORBELL:
        route_doorbell(s, m);
        break;
    case RIO_OP_DMA_READ_REPLY:
        riod_dma_reply(s, m);
        break;
    case RIO_OP_QUIESCE:
        riod_quiesce(s, m);
        break;
    case RIO_OP_STATE_SAVE:
        riod_state_save_piece(s, m);
        break;
    case RIO_OP_STATE_LOAD:
        riod_state_load_piece(s, m);
        break;
    }
}
