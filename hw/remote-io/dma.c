/*
 * remote-io device: the module reads and writes memory of the guest
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Done by whoever receives, in the order of the stream: a write is in memory
 * before the reply or interrupt behind it is looked at.  The lock is let go
 * meanwhile, so that accesses can send; s->dma.busy keeps the connection's
 * buffer and the session in place until it is taken again.  An IOMMU may
 * report a fault in here by an interrupt, which takes the BQL: one more
 * reason not to hold the lock.
 *
 * Memory is reached through the bus-master address space of the function, so
 * bus mastering and a virtual IOMMU are honoured; what is not RAM is refused.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/rcu.h"
#include "exec/address-spaces.h"
#include "hw/pci/pci_device.h"
#include "core.h"
#include "trace.h"

/* Replies that wait for the transport; more wait outside of the log */
#define MAX_UNSENT (256u * 1024)

/* Of refused DMAs, one is reported in this time */
#define REPORT_NS (10 * NANOSECONDS_PER_SECOND)

struct RemoteIOOwed {
    QSIMPLEQ_ENTRY(RemoteIOOwed) next;
    uint8_t op;
    uint8_t status;
    uint32_t tag;
    uint32_t len, done;
    uint64_t refused_at;        /* status is DMA */
    uint32_t refused_len;
    uint8_t data[];
};

/* ---- memory ------------------------------------------------------------ */

static MemTxAttrs attrs_of(RemoteIOCore *s)
{
    return (MemTxAttrs) {
        .memory = 1,
        .requester_id = pci_requester_id(s->pci),
    };
}

/*
 * RAM from one end to the other?  In an RCU read section.  What would not be
 * accessed directly is ROM, or memory that is a register behind the scenes.
 */
static bool reachable(AddressSpace *as, MemTxAttrs attrs, uint64_t addr,
                      uint32_t size, bool is_write)
{
    hwaddr left = size;

    while (left) {
        hwaddr xlat, len = left;
        MemoryRegion *mr = address_space_translate(as, addr, &xlat, &len,
                                                   is_write, attrs);

        if (!len || !memory_access_is_direct(mr, is_write, attrs)) {
            return false;
        }
        addr += len;
        left -= len;
    }
    return true;
}

bool remote_io_dma_fetch(RemoteIOCore *s, uint64_t addr, void *buf,
                         uint32_t len)
{
    AddressSpace *as = pci_get_address_space(s->pci);
    MemTxAttrs attrs = attrs_of(s);

    RCU_READ_LOCK_GUARD();
    return reachable(as, attrs, addr, len, false) &&
           address_space_read(as, addr, attrs, buf, len) == MEMTX_OK;
}

static bool store(RemoteIOCore *s, uint64_t addr, const void *buf,
                  uint32_t len)
{
    AddressSpace *as = pci_get_address_space(s->pci);
    MemTxAttrs attrs = attrs_of(s);

    RCU_READ_LOCK_GUARD();
    return reachable(as, attrs, addr, len, true) &&
           address_space_write(as, addr, attrs, buf, len) == MEMTX_OK;
}

/* All of @m's segments to @buf; false with *@bad */
static bool fetch_all(RemoteIOCore *s, const RioMessage *m, uint8_t *buf,
                      RioSegment *bad)
{
    uint32_t i;

    smp_mb();
    for (i = 0; i < m->dma.count; i++) {
        RioSegment seg = rio_segment_get(m, i);

        if (!remote_io_dma_fetch(s, seg.address, buf, seg.length)) {
            *bad = seg;
            return false;
        }
        buf += seg.length;
    }
    return true;
}

/* All that can be written of @m; false with *@bad: the first that cannot */
static bool store_all(RemoteIOCore *s, const RioMessage *m, RioSegment *bad)
{
    const uint8_t *data = rio_segment_bytes(m).data;
    bool ok = true;
    uint32_t i;

    for (i = 0; i < m->dma.count; i++) {
        RioSegment seg = rio_segment_get(m, i);

        if (!store(s, seg.address, data, seg.length) && ok) {
            *bad = seg;
            ok = false;
        }
        data += seg.length;
    }
    smp_mb();
    return ok;
}

/* ---- around it --------------------------------------------------------- */

static void begin(RemoteIOCore *s, const RioMessage *m)
{
    s->dma.busy = true;
    rio_session_hold(s->session, m->length);
    remote_io_unlock(s);
}

static void end(RemoteIOCore *s, bool ok, const RioMessage *m)
{
    remote_io_lock(s);
    s->dma.busy = false;
    rio_session_release(s->session, m->length);
    s->stats.dma_bytes += ok ? m->dma.total : 0;
    if (!s->conn || s->detaching || s->frozen) {
        qemu_cond_broadcast(&s->idle);
        remote_io_kick(s);      /* the thread had to wait for us */
    }
}

static void refused_locked(RemoteIOCore *s, const char *what,
                           const RioSegment *seg)
{
    int64_t now = remote_io_now_ns();

    s->stats.dma_refused++;
    trace_remote_io_dma_refused(s->name, what, seg->address, seg->length);
    if (s->dma.reported_ns && now - s->dma.reported_ns < REPORT_NS) {
        s->dma.unreported++;
        return;
    }
    warn_report("remote-io %s: refused: DMA %s of %u bytes at 0x%" PRIx64
                " by module '%s': no memory that the device may reach (%"
                PRIu64 " more before)", s->name, what, seg->length,
                seg->address, s->module, s->dma.unreported);
    s->dma.reported_ns = now;
    s->dma.unreported = 0;
}

/* ---- replies ----------------------------------------------------------- */

/* Returns: false when the log is full; @o->done says how far it came */
static bool send_reply_locked(RemoteIOCore *s, RemoteIOOwed *o,
                              const uint8_t *data)
{
    RIO_UNINITIALIZED RioMessage m;
    uint32_t n;

    if (o->status != RIO_STATUS_OK || !o->len) {
        rio_message_init(&m, o->op, 0, o->tag);
        m.status = o->status;
        snprintf(m.reason, sizeof(m.reason), "%u bytes at 0x%" PRIx64
                 ": no memory that the device may reach", o->refused_len,
                 o->refused_at);
        return rio_session_send(s->session, &m);
    }
    while (o->done < o->len) {
        n = MIN(o->len - o->done, s->dma.max_body - 8);
        rio_message_init(&m, o->op, o->done + n < o->len ? RIO_FLAG_MORE : 0,
                         o->tag);
        m.dma_data.offset = o->done;
        m.payload = (RioBytes) { data + o->done, n };
        if (!rio_session_send(s->session, &m)) {
            return false;
        }
        o->done += n;
    }
    return true;
}

/* An access of the guest comes behind what is in the log: not megabytes */
static bool crowded_locked(RemoteIOCore *s)
{
    return rio_session_tx_bytes(s->session) >= MAX_UNSENT;
}

static const char no_dma[] = "the device is on a bus without DMA";
static const char too_many[] = "too many replies to its DMA wait for "
                               "acknowledgements";
static const char too_many_failed[] = "too many unfinished DMA writes of it "
                                      "have failed";

/* Reply now, or as soon as there is room.  Returns: NULL, or too_many */
static const char *reply_locked(RemoteIOCore *s, RemoteIOOwed *o,
                         const uint8_t *data)
{
    RemoteIOOwed *copy;

    if (QSIMPLEQ_EMPTY(&s->dma.owed) && !crowded_locked(s) &&
        send_reply_locked(s, o, data)) {
        return NULL;
    }
    if (s->dma.num_owed >= RIO_MAX_DMA_PENDING ||
        s->dma.owed_bytes + o->len > RIO_MAX_DMA_BYTES) {
        return too_many;
    }
    copy = g_malloc(sizeof(*copy) + o->len);
    *copy = *o;
    if (o->len) {
        memcpy(copy->data, data, o->len);
    }
    QSIMPLEQ_INSERT_TAIL(&s->dma.owed, copy, next);
    s->dma.num_owed++;
    s->dma.owed_bytes += o->len;
    return NULL;
}

static void pop_owed_locked(RemoteIOCore *s)
{
    RemoteIOOwed *o = QSIMPLEQ_FIRST(&s->dma.owed);

    QSIMPLEQ_REMOVE_HEAD(&s->dma.owed, next);
    s->dma.num_owed--;
    s->dma.owed_bytes -= o->len;
    g_free(o);
}

static void forget_owed_locked(RemoteIOCore *s)
{
    while (!QSIMPLEQ_EMPTY(&s->dma.owed)) {
        pop_owed_locked(s);
    }
}

bool remote_io_dma_submit_locked(RemoteIOCore *s)
{
    RemoteIOOwed *o;
    bool any = false;

    while ((o = QSIMPLEQ_FIRST(&s->dma.owed)) && !crowded_locked(s) &&
           send_reply_locked(s, o, o->data)) {
        pop_owed_locked(s);
        any = true;
    }
    return any;
}

/* ---- messages ---------------------------------------------------------- */

/* Not what the guest is now has asked for it, but what it was before */
static bool late_locked(RemoteIOCore *s, const RioMessage *m, RioSegment *bad)
{
    if (!remote_io_resetting(s)) {
        return false;
    }
    *bad = rio_segment_get(m, 0);
    s->stats.dma_refused++;
    trace_remote_io_dma_refused(s->name, "of before the reset", bad->address,
                                bad->length);
    return true;
}

static bool fetch_locked(RemoteIOCore *s, const RioMessage *m,
                         RioSegment *bad)
{
    bool ok;

    if (late_locked(s, m, bad)) {
        return false;
    }
    if (!s->dma.buf) {
        s->dma.buf = g_malloc(RIO_MAX_DMA);
    }
    begin(s, m);
    ok = fetch_all(s, m, s->dma.buf, bad);
    end(s, ok, m);
    trace_remote_io_dma(s->name, "read", m->dma.count, m->dma.total, ok);
    if (!ok) {
        refused_locked(s, "read", bad);
    }
    return ok;
}

static bool store_locked(RemoteIOCore *s, const RioMessage *m,
                         RioSegment *bad)
{
    bool ok;

    if (late_locked(s, m, bad)) {
        return false;
    }
    begin(s, m);
    ok = store_all(s, m, bad);
    end(s, ok, m);
    trace_remote_io_dma(s->name, "write", m->dma.count, m->dma.total, ok);
    if (!ok) {
        refused_locked(s, "write", bad);
    }
    return ok;
}

const char *remote_io_dma_read_locked(RemoteIOCore *s, const RioMessage *m)
{
    RemoteIOOwed o = { .op = RIO_OP_DMA_READ_REPLY, .tag = m->tag };
    RioSegment bad = { };

    if (!s->pci) {
        return no_dma;
    }
    s->stats.dma_reads++;
    if (fetch_locked(s, m, &bad)) {
        o.len = m->dma.total;
    } else {
        o.status = RIO_STATUS_DMA;
        o.refused_at = bad.address;
        o.refused_len = bad.length;
    }
    return reply_locked(s, &o, s->dma.buf);
}

static RemoteIOFailedWrite *find_failed(RemoteIOCore *s, uint32_t tag,
                                        bool used)
{
    unsigned i;

    for (i = 0; i < REMOTE_IO_FAILED_WRITES; i++) {
        RemoteIOFailedWrite *f = &s->dma.failed[i];

        if (f->used == used && (!used || f->tag == tag)) {
            return f;
        }
    }
    return NULL;
}

/* The write @m, which wants a reply, has come to a piece that is refused */
static bool note_failed(RemoteIOCore *s, const RioMessage *m,
                        const RioSegment *bad)
{
    RemoteIOFailedWrite *f = find_failed(s, m->tag, true);

    if (!f) {
        f = find_failed(s, 0, false);
        if (!f) {
            return false;
        }
        *f = (RemoteIOFailedWrite) { .used = true, .tag = m->tag,
                                     .at = *bad };
    }
    return true;
}

const char *remote_io_dma_write_locked(RemoteIOCore *s, const RioMessage *m)
{
    RemoteIOOwed o = { .op = RIO_OP_DMA_WRITE_REPLY, .tag = m->tag };
    RemoteIOFailedWrite *f;
    RioSegment bad = { };
    bool ok;

    if (!s->pci) {
        return no_dma;
    }
    s->stats.dma_writes++;
    ok = store_locked(s, m, &bad);
    if (m->flags & RIO_FLAG_POSTED) {
        return NULL;
    }
    if (!ok && !note_failed(s, m, &bad)) {
        return too_many_failed;
    }
    if (m->flags & RIO_FLAG_MORE) {
        return NULL;
    }
    f = find_failed(s, m->tag, true);
    if (f) {
        o.status = RIO_STATUS_DMA;
        o.refused_at = f->at.address;
        o.refused_len = f->at.length;
        f->used = false;
    }
    return reply_locked(s, &o, NULL);
}

/* ---- migration --------------------------------------------------------- */

void remote_io_dma_save_locked(RemoteIOCore *s, RemoteIOSaved *v)
{
    RemoteIOOwed *o;

    v->owed = g_new0(RemoteIOSavedOwed, s->dma.num_owed);
    QSIMPLEQ_FOREACH(o, &s->dma.owed, next) {
        v->owed[v->num_owed++] = (RemoteIOSavedOwed) {
            .op = o->op,
            .status = o->status,
            .tag = o->tag,
            .len = o->len,
            .done = o->done,
            .refused_at = o->refused_at,
            .refused_len = o->refused_len,
            .data = g_memdup2(o->data, o->len),
        };
    }
}

bool remote_io_dma_load_locked(RemoteIOCore *s, const RemoteIOSaved *v,
                               Error **errp)
{
    RemoteIOOwed *o;
    int i;

    forget_owed_locked(s);
    for (i = 0; i < v->num_owed; i++) {
        const RemoteIOSavedOwed *from = &v->owed[i];

        if ((from->op != RIO_OP_DMA_READ_REPLY &&
             (from->op != RIO_OP_DMA_WRITE_REPLY || from->len)) ||
            from->done > from->len ||
            (from->status != RIO_STATUS_OK &&
             from->status != RIO_STATUS_DMA) ||
            s->dma.owed_bytes + from->len > RIO_MAX_DMA_BYTES) {
            error_setg(errp, "saved reply %d to the module's DMA is bad", i);
            return false;
        }
        o = g_malloc0(sizeof(*o) + from->len);
        o->op = from->op;
        o->status = from->status;
        o->tag = from->tag;
        o->len = from->len;
        o->done = from->done;
        o->refused_at = from->refused_at;
        o->refused_len = from->refused_len;
        if (from->len) {
            memcpy(o->data, from->data, from->len);
        }
        QSIMPLEQ_INSERT_TAIL(&s->dma.owed, o, next);
        s->dma.num_owed++;
        s->dma.owed_bytes += o->len;
    }
    return true;
}

/* ---- life -------------------------------------------------------------- */

void remote_io_dma_init(RemoteIOCore *s)
{
    QSIMPLEQ_INIT(&s->dma.owed);
}

void remote_io_dma_forget_locked(RemoteIOCore *s)
{
    forget_owed_locked(s);
    memset(s->dma.failed, 0, sizeof(s->dma.failed));
}

void remote_io_dma_finalize(RemoteIOCore *s)
{
    remote_io_dma_forget_locked(s);
    g_free(s->dma.buf);
}
