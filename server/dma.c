/*
 * remote-io-server: guest memory, as modules read and write it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * All messages of a session pass one gate, in the order in which tasks come
 * to it; a task that finds the log full waits there, and those behind it with
 * it.  A write is done when it is in the log.  A read is, when all its
 * replies came; a lost link only makes that later, as the log is sent again.
 */

#include "qemu/osdep.h"
#include "filter.h"
#include "trace.h"

/* Of the client's log, what the replies to reads may take; and messages */
#define MAX_READ_BYTES (RIOD_DMA_LOG / 4)
#define MAX_READS 256u

/* Before the segments of a message */
#define DMA_HEADER (RIO_HEADER_SIZE + 8u)

/* One rio_dma_readv() that waits */
typedef struct RiodRead {
    RiodJob *job;
    unsigned pending;           /* messages without a complete reply */
    bool waiting;               /* for these, and for nothing else */
    int error;
} RiodRead;

/* A DMA_READ on its way */
struct RiodReadMessage {
    uint32_t tag;
    RiodRead *read;             /* on the stack of the task */
    uint32_t total, got;
    unsigned at;                /* gap that is being filled ... */
    uint32_t offset;            /* ... from here on */
    QTAILQ_ENTRY(RiodReadMessage) node;
    unsigned num_gaps;
    RiodGap gaps[];
};

void riod_complain_not_task(RiodInstance *inst, const char *call)
{
    if (riod_rate_allows(&inst->rate, inst->id)) {
        riod_log("%s: error: the module called %s() outside of a task",
                 inst->id, call);
    }
}

/* Returns: 0 with a reference in *@s, or what to fail with */
static int dma_begin(RiodInstance *inst, unsigned client, const char *call,
                     RiodJob **job, RiodSession **s)
{
    *job = riod_job_self(inst);
    if (!*job) {
        riod_complain_not_task(inst, call);
        return -EINVAL;
    }
    riod_job_park(*job);
    if (riod_job_error(*job)) {
        return -ECANCELED;
    }
    if (!inst->clients || client >= inst->max_clients ||
        !inst->clients[client]) {
        return -ENOTCONN;
    }
    if (!(inst->clients[client]->caps & RIO_CAP_DMA)) {
        return -EFAULT;
    }
    *s = riod_session_ref(inst->clients[client]);
    return 0;
}

static int dma_alive(const RiodSession *s, const RiodJob *job)
{
    return riod_job_error(job) ?: s->ended ? -ENOTCONN : 0;
}

static bool check_segments(RiodInstance *inst, const RioModuleSegment *segs,
                           unsigned n)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < n; i++) {
        if (!segs[i].len || segs[i].addr > UINT64_MAX - segs[i].len) {
            return false;       /* the bus has no such address */
        }
        sum += segs[i].len;
    }
    if (n && n <= RIO_MODULE_MAX_SEGMENTS && sum <= RIO_MODULE_MAX_DMA) {
        return true;
    }
    if (riod_rate_allows(&inst->rate, inst->id)) {
        riod_log("%s: error: the module wants DMA of %u segments, %" PRIu64
                 " bytes at once", inst->id, n, sum);
    }
    return false;
}

/* It may take long: the task is perhaps not to go on then */
static int coroutine_fn dma_filter(RiodSession *s, const RiodJob *job,
                                   bool write, const RioModuleSegment *segs,
                                   unsigned n)
{
    uint64_t size = 0;
    int ret;

    for (unsigned i = 0; i < n; i++) {
        size += segs[i].len;
    }
    ret = riod_filter_dma(s, write, n ? segs[0].addr : 0, size);
    return dma_alive(s, job) ?: ret;
}

/* ---- the gate ---------------------------------------------------------- */

/* What a message looks like when there is room for it, a slice of gaps */
typedef struct Slice {
    uint8_t op;
    uint32_t tag;
    const RiodGap *gaps;
    unsigned n;
    uint32_t total;
} Slice;

static size_t slice_size(const Slice *slice)
{
    return DMA_HEADER + slice->n * RIO_SEGMENT_SIZE +
           (slice->op == RIO_OP_DMA_WRITE ? slice->total : 0);
}

/* The gaps of a write follow each other in memory: copied once, to the log */
static bool slice_send_locked(RiodSession *s, const Slice *slice)
{
    bool write = slice->op == RIO_OP_DMA_WRITE;
    uint8_t list[RIO_MAX_SEGMENTS * RIO_SEGMENT_SIZE];
    RIO_UNINITIALIZED RioMessage m;

    rio_message_init(&m, slice->op, write ? RIO_FLAG_POSTED : 0, slice->tag);
    m.dma.count = slice->n;
    m.dma.total = slice->total;
    for (unsigned i = 0; i < slice->n; i++) {
        const RiodGap *gap = &slice->gaps[i];
        RioSegment seg = { gap->addr, gap->len, 0 };

        rio_segment_put(list, i, &seg);
    }
    m.payload = (RioBytes) { list, slice->n * RIO_SEGMENT_SIZE };
    if (write) {
        m.tail = (RioBytes) { slice->gaps[0].to, slice->total };
    }
    return rio_session_send(s->rio, &m);
}

static bool slice_try(RiodSession *s, const Slice *slice)
{
    RiodConnection *conn = s->conn;

    QEMU_LOCK_GUARD(&conn->lock);
    if (unlikely(s->quiet)) {
        s->want_room = true;
        return false;           /* GO wakes it */
    }
    if (rio_session_tx_bytes(s->rio) >= RIOD_MAX_UNSENT) {
        conn->awaited = true;
        s->want_room = true;
        return false;
    }
    if (riod_session_log_room_locked(s, slice_size(slice)) &&
        riod_session_push_recipes_locked(s) && slice_send_locked(s, slice)) {
        s->unsent = true;
        if (slice->op == RIO_OP_DMA_WRITE) {
            s->unfenced = rio_session_sent(s->rio);
        }
        return true;
    }
    s->want_room = true;
    return false;
}

/* Task.  Put a message into the log as soon as it is its turn */
static int coroutine_fn slice_send(RiodSession *s, RiodJob *job,
                                   const Slice *slice)
{
    int ret;

    qemu_co_mutex_lock(&s->gate);
    while (!(ret = dma_alive(s, job)) && !slice_try(s, slice)) {
        riod_session_mark_dirty(s);
        s->gate_job = job;
        riod_job_wait(job);
        s->gate_job = NULL;
    }
    qemu_co_mutex_unlock(&s->gate);
    if (!ret) {
        riod_session_mark_dirty(s);
    }
    return ret;
}

void riod_dma_room(RiodSession *s)
{
    if (s->gate_job) {
        riod_job_wake(s->gate_job);
    }
}

/*
 * The next slice of @gaps (of @n), which are cut where it ends: what fits
 * into one message.  Returns: gaps that are used up.
 */
static unsigned slice_next(RiodSession *s, const RiodGap *gaps, unsigned n,
                           Slice *slice, RiodGap *first, RiodGap *parts)
{
    uint32_t limit = s->max_message - DMA_HEADER;
    uint32_t used = 0;
    bool write = slice->op == RIO_OP_DMA_WRITE;
    unsigned whole = 0;

    slice->gaps = parts;
    slice->n = 0;
    slice->total = 0;
    while (whole < n && slice->n < RIO_MAX_SEGMENTS &&
           slice->total < RIO_MAX_DMA && used + RIO_SEGMENT_SIZE < limit) {
        RiodGap gap = whole ? gaps[whole] : *first;
        uint32_t room = RIO_MAX_DMA - slice->total;
        uint32_t take;

        used += RIO_SEGMENT_SIZE;
        take = MIN(gap.len, write ? MIN(room, limit - used) : room);
        used += write ? take : 0;
        parts[slice->n++] = (RiodGap) { gap.addr, gap.to, take };
        slice->total += take;
        if (take < gap.len) {
            *first = (RiodGap) { gap.addr + take, gap.to + take,
                                 gap.len - take };
            return whole;
        }
        whole++;
    }
    if (whole < n) {
        *first = gaps[whole];
    }
    return whole;
}

/* ---- reading ----------------------------------------------------------- */

static void read_message_end(RiodSession *s, RiodReadMessage *rm, int error)
{
    RiodRead *read = rm->read;

    QTAILQ_REMOVE(&s->waiting, rm, node);
    s->num_reads--;
    s->read_bytes -= rm->total;
    if (error) {
        read->error = error;
    }
    if (!--read->pending && read->waiting) {
        riod_job_wake(read->job);
    }
    if (s->credit_job) {
        riod_job_wake(s->credit_job);
    }
    g_free(rm);
}

static RiodReadMessage *read_message_find(RiodSession *s, uint32_t tag)
{
    RiodReadMessage *rm;

    QTAILQ_FOREACH(rm, &s->waiting, node) {
        if (rm->tag == tag) {
            return rm;
        }
    }
    return NULL;
}

static void read_message_fill(RiodReadMessage *rm, const uint8_t *data,
                              uint32_t len)
{
    rm->got += len;
    while (len) {
        const RiodGap *gap = &rm->gaps[rm->at];
        uint32_t n = MIN(len, gap->len - rm->offset);

        memcpy(gap->to + rm->offset, data, n);
        data += n;
        len -= n;
        rm->offset += n;
        if (rm->offset == gap->len) {
            rm->at++;
            rm->offset = 0;
        }
    }
}

void riod_dma_reply(RiodSession *s, const RioMessage *m)
{
    RiodReadMessage *rm = read_message_find(s, m->tag);
    bool more = m->flags & RIO_FLAG_MORE;
    RioError err;

    if (!rm && s->reborn && (int32_t)(m->tag - s->first_tag) < 0) {
        /* Asked for in an earlier life of the module, which asks again */
    } else if (!rm) {
        rio_error_set(&err, RIO_STATUS_PROTOCOL, "DMA_READ_REPLY with tag %u, "
                      "which nobody asked for", m->tag);
        riod_session_bad_locked(s, &err);
    } else if (m->status != RIO_STATUS_OK) {
        trace_riod_dma_refused(s->inst->id, s->ids.vm, rm->gaps[0].addr,
                               rm->total, m->reason);
        s->stats.dma_refused++;
        read_message_end(s, rm, -EFAULT);
    } else if (m->dma_data.offset != rm->got ||
               m->payload.len > rm->total - rm->got ||
               more != (m->payload.len < rm->total - rm->got)) {
        rio_error_set(&err, RIO_STATUS_PROTOCOL, "DMA_READ_REPLY of %u bytes "
                      "at %u%s, where %u of %u are missing", m->payload.len,
                      m->dma_data.offset, more ? " and more" : "",
                      rm->total - rm->got, rm->total);
        riod_session_bad_locked(s, &err);
    } else {
        read_message_fill(rm, m->payload.data, m->payload.len);
        if (!more) {
            read_message_end(s, rm, 0);
        }
    }
}

void riod_dma_end(RiodSession *s)
{
    while (!QTAILQ_EMPTY(&s->waiting)) {
        read_message_end(s, QTAILQ_FIRST(&s->waiting),
                         s->inst->closing ? -ECANCELED : -ENOTCONN);
    }
    if (s->gate_job) {
        riod_job_wake(s->gate_job);
    }
    if (s->credit_job) {
        riod_job_wake(s->credit_job);
    }
}

/* Task.  Wait until @bytes more may be on their way */
static int coroutine_fn read_credit(RiodSession *s, RiodJob *job,
                                    uint32_t bytes)
{
    int ret;

    qemu_co_mutex_lock(&s->credit);
    while (!(ret = dma_alive(s, job)) && s->num_reads &&
           (s->num_reads >= MAX_READS ||
            s->read_bytes + bytes > MAX_READ_BYTES)) {
        s->credit_job = job;
        riod_job_wait(job);
        s->credit_job = NULL;
    }
    if (!ret) {
        s->num_reads++;
        s->read_bytes += bytes;
    }
    qemu_co_mutex_unlock(&s->credit);
    return ret;
}

/* Task.  Send one DMA_READ.  It is in the list before its reply can come */
static int coroutine_fn read_send(RiodSession *s, RiodRead *read,
                                  Slice *slice)
{
    RiodReadMessage *rm;
    int ret = read_credit(s, read->job, slice->total);

    if (ret) {
        return ret;
    }
    rm = g_malloc0(sizeof(*rm) + slice->n * sizeof(RiodGap));
    rm->tag = slice->tag = s->next_tag++;
    rm->read = read;
    rm->total = slice->total;
    rm->num_gaps = slice->n;
    memcpy(rm->gaps, slice->gaps, slice->n * sizeof(RiodGap));
    read->pending++;
    QTAILQ_INSERT_TAIL(&s->waiting, rm, node);
    ret = slice_send(s, read->job, slice);
    if (!ret) {
        s->stats.dma_reads++;
        s->stats.dma_read_bytes += slice->total;
    } else if (read_message_find(s, slice->tag)) {
        read_message_end(s, rm, ret);
    }
    return ret;
}

static int coroutine_fn read_gaps(RiodSession *s, RiodJob *job,
                                  const RiodGap *gaps, unsigned n)
{
    g_autofree RiodGap *parts = g_new(RiodGap, MIN(n, RIO_MAX_SEGMENTS) + 1);
    RiodRead read = { .job = job };
    RiodGap first = gaps[0];
    unsigned at = 0;
    int ret = 0;

    while (at < n && !ret) {
        Slice slice = { .op = RIO_OP_DMA_READ };

        at += slice_next(s, gaps + at, n - at, &slice, &first, parts);
        ret = read_send(s, &read, &slice);
    }
    read.waiting = true;
    while (read.pending) {
        riod_job_wait(job);
    }
    return ret ?: read.error;
}

/*
 * Task.  Memory has become shared while writes were on their way as messages.
 * Wait once until they have happened; a read does not pass them.  Tasks that
 * come meanwhile wait, too, so that it is the last one.
 */
static void coroutine_fn share_fence(RiodSession *s, RiodJob *job,
                                     const RioModuleSegment *seg)
{
    uint8_t byte;
    RiodGap gap = { seg->addr, &byte, 1 };
    uint64_t behind;

    qemu_co_mutex_lock(&s->fence_lock);
    if (s->fence) {
        behind = s->unfenced;
        read_gaps(s, job, &gap, 1);
        s->unfenced = s->unfenced == behind ? 0 : s->unfenced;
        s->fence = false;
    }
    qemu_co_mutex_unlock(&s->fence_lock);
}

/* What did not come along with a doorbell */
static GArray *read_pieces(RiodSession *s, RiodJob *job,
                           const RioModuleSegment *segs, unsigned n,
                           uint8_t *buf)
{
    GArray *gaps = g_array_sized_new(false, false, sizeof(RiodGap), n);
    RiodDoorbell *doorbell = riod_job_doorbell(job);
    RiodDoorbell *seen = doorbell;

    if (doorbell && riod_doorbell_session(doorbell) != s) {
        doorbell = seen = NULL;
    }
    for (unsigned i = 0; i < n; i++) {
        RiodGap want = { segs[i].addr, buf, segs[i].len };

        riod_doorbell_take(doorbell, &want, gaps, &seen);
        buf += segs[i].len;
    }
    for (guint i = 0; i < gaps->len && seen; i++) {
        const RiodGap *gap = &g_array_index(gaps, RiodGap, i);

        /* Entries that came with no doorbell: nor did what they point to */
        if (riod_recipe_covers(s, gap->addr, gap->len)) {
            seen = NULL;
        }
    }
    if (seen != riod_job_doorbell(job)) {
        riod_job_set_doorbell(job, seen);
    }
    return gaps;
}

int riod_dma_read(RioDevice *dev, unsigned client,
                  const RioModuleSegment *segs, unsigned n, void *buf)
{
    RiodInstance *inst = riod_instance(dev);
    RiodSession *s;
    RiodJob *job;
    GArray *gaps;
    int ret = dma_begin(inst, client, "rio_dma_readv", &job, &s);

    if (ret) {
        return ret;
    }
    if (unlikely(riod_filters_exist(inst))) {
        ret = dma_filter(s, job, false, segs, n);
    }
    if (ret) {
        /* a filter's answer */
    } else if (check_segments(inst, segs, n)) {
        if (unlikely(s->fence)) {
            share_fence(s, job, segs);
        }
        gaps = read_pieces(s, job, segs, n, buf);
        if (gaps->len &&
            !riod_share_access(s, (const RiodGap *)gaps->data, gaps->len,
                               false, &ret)) {
            ret = read_gaps(s, job, (const RiodGap *)gaps->data, gaps->len);
        }
        g_array_free(gaps, true);
    } else {
        ret = -EFAULT;
    }
    riod_session_unref(s);
    return ret;
}

/* ---- writing ----------------------------------------------------------- */

static int coroutine_fn write_gaps(RiodSession *s, RiodJob *job,
                                   const RiodGap *gaps, unsigned n)
{
    g_autofree RiodGap *parts = g_new(RiodGap, n + 1);
    RiodGap first = gaps[0];
    unsigned at = 0;
    int ret = 0;

    while (at < n && !ret) {
        Slice slice = { .op = RIO_OP_DMA_WRITE };

        at += slice_next(s, gaps + at, n - at, &slice, &first, parts);
        ret = slice_send(s, job, &slice);
        s->stats.dma_writes++;
        s->stats.dma_write_bytes += slice.total;
    }
    return ret;
}

int riod_dma_write(RioDevice *dev, unsigned client,
                   const RioModuleSegment *segs, unsigned n, const void *buf)
{
    RiodInstance *inst = riod_instance(dev);
    g_autofree RiodGap *gaps = NULL;
    uint8_t *from = (uint8_t *)buf;     /* only read */
    RiodSession *s;
    RiodJob *job;
    int ret = dma_begin(inst, client, "rio_dma_writev", &job, &s);

    if (ret) {
        return ret;
    }
    if (unlikely(riod_filters_exist(inst))) {
        ret = dma_filter(s, job, true, segs, n);
    }
    if (ret) {
        /* a filter's answer */
    } else if (check_segments(inst, segs, n)) {
        if (unlikely(s->fence)) {
            share_fence(s, job, segs);
        }
        gaps = g_new(RiodGap, n);
        for (unsigned i = 0; i < n; i++) {
            gaps[i] = (RiodGap) { segs[i].addr, from, segs[i].len };
            from += segs[i].len;
        }
        if (!riod_share_access(s, gaps, n, true, &ret)) {
            ret = write_gaps(s, job, gaps, n);
        }
    } else {
        ret = -EFAULT;
    }
    riod_session_unref(s);
    return ret;
}
