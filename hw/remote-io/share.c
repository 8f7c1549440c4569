/*
 * remote-io device: guest memory that the server may map
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * With share-memory=on the files behind guest memory go to a server on the
 * same host, over the Unix socket, as a table of what the device may reach.
 * The table follows the bus-master address space of the function: it is empty
 * while bus mastering is off, and behind an IOMMU that translates, as there
 * is no memory in that space then.  It is empty, too, while dirty pages are
 * logged, because nobody here would see what the server writes.
 *
 * To give is a matter of one message.  To take away is one that is waited
 * for: when the guest's store to the command register returns, or the log
 * of dirty pages begins, the server has let go.  Nobody can force it to; one
 * that does not answer loses the connection, and until it is back, which
 * proves that it has let go, no log of dirty pages can begin.
 *
 * TCG must see writes to memory that holds code it has translated, so there
 * the server may only read; it writes by messages.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/units.h"
#include "exec/address-spaces.h"
#include "exec/ramblock.h"
#include "hw/pci/pci_device.h"
#include "system/hostmem.h"
#include "system/tcg.h"
#include "core.h"
#include "trace.h"

/* Pieces below this come and go (a PC's firmware) and are not worth it */
#define MIN_SIZE (512 * KiB)

/* How long the machine stands still for a server that does not answer */
#define TAKE_BACK_NS NANOSECONDS_PER_SECOND
#define SLICE_NS SCALE_MS

struct RemoteIOTable {
    unsigned refs;              /* lock, once it is not in the making */
    unsigned num, num_files;
    uint64_t bytes;
    RioMemory mem[RIO_MAX_MEMORY];
    RAMBlock *block[RIO_MAX_FILES];     /* only compared */
    int fd[RIO_MAX_FILES];              /* our own */
};

/* ---- tables ------------------------------------------------------------- */

static RemoteIOTable *table_new(void)
{
    RemoteIOTable *t = g_new0(RemoteIOTable, 1);

    t->refs = 1;
    return t;
}

static RemoteIOTable *table_ref(RemoteIOTable *t)
{
    t->refs++;
    return t;
}

static void table_unref(RemoteIOTable *t)
{
    unsigned i;

    if (!t || --t->refs) {
        return;
    }
    for (i = 0; i < t->num_files; i++) {
        close(t->fd[i]);
    }
    g_free(t);
}

static bool shareable(MemoryRegion *mr)
{
    return memory_region_is_ram(mr) && !memory_region_is_rom(mr) &&
           !memory_region_is_ram_device(mr) &&
           !memory_region_has_ram_discard_manager(mr) &&
           !memory_region_has_guest_memfd(mr) &&
           !(memory_region_get_dirty_log_mask(mr) &
             (1 << DIRTY_MEMORY_VGA)) &&
           mr->ram_block && qemu_ram_is_shared(mr->ram_block) &&
           memory_region_get_fd(mr) >= 0;
}

/* Returns: number of the file of @block in @t, -1 when it has no room */
static int table_file(RemoteIOTable *t, RAMBlock *block)
{
    unsigned i;

    for (i = 0; i < t->num_files; i++) {
        if (t->block[i] == block) {
            return i;
        }
    }
    if (i == RIO_MAX_FILES) {
        return -1;
    }
    t->block[i] = block;
    t->fd[i] = qemu_dup(block->fd);
    if (t->fd[i] < 0) {
        return -1;
    }
    return t->num_files++;
}

/* What has no room is reached by messages */
static void table_add(RemoteIOTable *t, MemoryRegionSection *sec)
{
    RAMBlock *block = sec->mr->ram_block;
    int file;

    if (t->num == RIO_MAX_MEMORY || int128_get64(sec->size) < MIN_SIZE) {
        return;
    }
    file = table_file(t, block);
    if (file < 0) {
        return;
    }
    t->mem[t->num++] = (RioMemory) {
        .address = sec->offset_within_address_space,
        .size = int128_get64(sec->size),
        .offset = block->fd_offset + sec->offset_within_region,
        .file = file,
        .flags = tcg_enabled() ? RIO_MEMORY_READONLY : 0,
    };
    t->bytes += int128_get64(sec->size);
}

static int compare(const void *a, const void *b)
{
    const RioMemory *x = a, *y = b;

    return x->address < y->address ? -1 : x->address > y->address;
}

static bool same(const RemoteIOTable *a, const RemoteIOTable *b)
{
    return a->num == b->num && a->num_files == b->num_files &&
           !memcmp(a->mem, b->mem, a->num * sizeof(a->mem[0])) &&
           !memcmp(a->block, b->block, a->num_files * sizeof(a->block[0]));
}

/* Does @to lack something that @from has? */
static bool takes_away(const RemoteIOTable *from, const RemoteIOTable *to)
{
    unsigned i, k;

    for (i = 0; i < from->num; i++) {
        for (k = 0; k < to->num; k++) {
            if (!memcmp(&from->mem[i], &to->mem[k], sizeof(from->mem[0])) &&
                from->block[from->mem[i].file] ==
                to->block[to->mem[k].file]) {
                break;
            }
        }
        if (k == to->num) {
            return true;
        }
    }
    return false;
}

/* ---- messages ----------------------------------------------------------- */

static bool in_flight(const RemoteIOShare *sh)
{
    return sh->sent != sh->answered;
}

static RemoteIOTable *wanted_locked(RemoteIOCore *s)
{
    return s->share.logging || remote_io_resetting(s) ? s->share.none
                                                      : s->share.all;
}

static void replace(RemoteIOTable **place, RemoteIOTable *t)
{
    t->refs++;
    table_unref(*place);
    *place = t;
}

static void send_locked(RemoteIOCore *s, const RemoteIOTable *t)
{
    uint8_t payload[RIO_MAX_MEMORY * RIO_MEMORY_SIZE];
    RIO_UNINITIALIZED RioMessage m;
    unsigned i;

    rio_message_init(&m, RIO_OP_MEM_TABLE, 0, s->share.sent);
    m.ids = *rio_session_ids(s->session);
    m.epoch = rio_session_epoch(s->session);
    m.mem_table.count = t->num;
    for (i = 0; i < t->num; i++) {
        rio_memory_put(payload, i, &t->mem[i]);
    }
    m.payload = (RioBytes) { payload, t->num * RIO_MEMORY_SIZE };
    trace_remote_io_share_sent(s->name, s->share.sent, t->num, t->bytes);
    if (t->num) {
        rio_link_send_files(s->conn->link, &m);
    } else {
        rio_link_send(s->conn->link, &m);
    }
    remote_io_flush_locked(s);
}

void remote_io_share_submit_locked(RemoteIOCore *s)
{
    RemoteIOShare *sh = &s->share;

    if (!sh->table || !s->conn || in_flight(sh) ||
        !(rio_link_caps(s->conn->link) & RIO_CAP_SHM) ||
        same(sh->table, wanted_locked(s))) {
        return;
    }
    replace(&sh->table, wanted_locked(s));
    qatomic_set(&sh->active, false);
    sh->lent |= sh->table->num;
    sh->sent++;
    send_locked(s, sh->table);
}

const int *remote_io_share_files_locked(RemoteIOCore *s, unsigned *num)
{
    *num = s->share.table->num_files;
    return s->share.table->fd;
}

bool remote_io_share_reply_locked(RemoteIOCore *s, const RioMessage *m)
{
    RemoteIOShare *sh = &s->share;

    if (!in_flight(sh) || m->tag != sh->sent ||
        rio_link_files_wait(s->conn->link)) {
        return false;           /* no table of that number has gone out */
    }
    trace_remote_io_share_reply(s->name, m->tag, rio_status_name(m->status));
    sh->answered = sh->sent;
    sh->lent = m->status == RIO_STATUS_OK && sh->table->num;
    qatomic_set(&sh->active, sh->lent);
    if (m->status != RIO_STATUS_OK) {
        warn_report("remote-io %s: server %s does not use the memory that "
                    "share-memory=on gives it, and DMA goes by messages: %s",
                    s->name, s->server_text, m->reason);
    }
    remote_io_share_submit_locked(s);
    if (sh->waiter && !in_flight(sh)) {
        qatomic_store_release(&sh->waiter->done, true);
        remote_io_wake_locked(sh->waiter);
    }
    return true;
}

void remote_io_share_forget_locked(RemoteIOCore *s)
{
    RemoteIOShare *sh = &s->share;

    if (sh->table) {
        replace(&sh->table, sh->none);
        sh->lent = false;
        sh->answered = sh->sent;
    }
}

uint64_t remote_io_share_bytes_locked(RemoteIOCore *s)
{
    return s->share.active ? s->share.table->bytes : 0;
}

/* ---- taking back -------------------------------------------------------- */

/* Is what the server uses what it shall use? */
static bool in_force(RemoteIOCore *s)
{
    RemoteIOShare *sh = &s->share;

    return s->conn ? !in_flight(sh) && same(sh->table, wanted_locked(s))
                   : !sh->lent;
}

/*
 * BQL, and lock, which is let go inside: until the server has answered the
 * table of now.  A server that does not loses the connection.
 */
static void wait_locked(RemoteIOCore *s)
{
    int64_t now = remote_io_now_ns();
    int64_t deadline = now + TAKE_BACK_NS;

    while (s->conn && !in_force(s) && now < deadline) {
        RemoteIOWaiter w = { };

        s->share.waiter = &w;
        remote_io_wait_slice_locked(s, &w, now + SLICE_NS, 0);
        s->share.waiter = NULL;
        now = remote_io_now_ns();
    }
    if (s->conn && !in_force(s)) {
        warn_report("remote-io %s: server %s does not give back the guest's "
                    "memory (share-memory=on) and loses the connection; it "
                    "may use the memory until it notices", s->name,
                    s->server_text);
        remote_io_conn_lost_locked(s, "the server does not give back the "
                                   "guest's memory");
    }
}

/*
 * BQL and lock: what the server shall have has changed.  Returns: false when
 * it may still use what was taken from it.
 */
static bool update_locked(RemoteIOCore *s)
{
    bool ok = true;

    if (takes_away(s->share.table, wanted_locked(s)) || !s->conn) {
        remote_io_share_submit_locked(s);
        wait_locked(s);
        ok = in_force(s);
    } else {
        remote_io_share_submit_locked(s);
    }
    if (remote_io_irq_pending(s)) {
        remote_io_kick(s);      /* it came while we received */
    }
    return ok;
}

void remote_io_share_reset(RemoteIOCore *s)
{
    if (s->share.listening) {
        remote_io_lock(s);
        update_locked(s);
        remote_io_unlock(s);
    }
}

/* ---- the bus-master address space --------------------------------------- */

static RemoteIOCore *core_of(MemoryListener *listener)
{
    return container_of(listener, RemoteIOCore, share.listener);
}

static void share_begin(MemoryListener *listener)
{
    RemoteIOCore *s = core_of(listener);

    table_unref(s->share.next);
    s->share.next = table_new();
}

static void share_section(MemoryListener *listener, MemoryRegionSection *sec)
{
    if (shareable(sec->mr)) {
        table_add(core_of(listener)->share.next, sec);
    }
}

static void share_commit(MemoryListener *listener)
{
    RemoteIOCore *s = core_of(listener);
    RemoteIOTable *t = g_steal_pointer(&s->share.next);

    qsort(t->mem, t->num, sizeof(t->mem[0]), compare);
    remote_io_lock(s);
    replace(&s->share.all, t);
    table_unref(t);
    update_locked(s);
    remote_io_unlock(s);
}

static bool share_log_start(MemoryListener *listener, Error **errp)
{
    RemoteIOCore *s = core_of(listener);
    bool ok;

    remote_io_lock(s);
    s->share.logging = true;
    ok = update_locked(s);
    s->share.logging = ok;
    remote_io_unlock(s);
    if (!ok) {
        error_setg(errp, "remote-io %s: server %s has the guest's memory "
                   "(share-memory=on) and does not answer, so what it "
                   "writes cannot be logged", s->name, s->server_text);
    }
    return ok;
}

static void share_log_stop(MemoryListener *listener)
{
    RemoteIOCore *s = core_of(listener);

    remote_io_lock(s);
    s->share.logging = false;
    update_locked(s);
    remote_io_unlock(s);
}

/* ---- life --------------------------------------------------------------- */

static int any_shareable(Object *obj, void *opaque)
{
    HostMemoryBackend *backend = (HostMemoryBackend *)
        object_dynamic_cast(obj, TYPE_MEMORY_BACKEND);

    return backend && host_memory_backend_is_mapped(backend) &&
           shareable(host_memory_backend_get_memory(backend));
}

bool remote_io_share_check(RemoteIOCore *s, Error **errp)
{
    if (!s->share.enabled ||
        object_child_foreach_recursive(object_get_root(), any_shareable,
                                       NULL)) {
        return true;
    }
    error_setg(errp, "share-memory=on: this machine's memory is private; give "
               "it some that can be shared: -object memory-backend-memfd,"
               "id=mem,share=on,size=SIZE -machine memory-backend=mem");
    return false;
}

void remote_io_share_start(RemoteIOCore *s)
{
    RemoteIOShare *sh = &s->share;

    if (!sh->enabled) {
        return;
    }
    sh->listener = (MemoryListener) {
        .name = "remote-io",
        .priority = MEMORY_LISTENER_PRIORITY_DEV_BACKEND,
        .begin = share_begin,
        .region_add = share_section,
        .region_nop = share_section,
        .commit = share_commit,
        .log_global_start = share_log_start,
        .log_global_stop = share_log_stop,
    };
    WITH_QEMU_LOCK_GUARD(&s->lock) {
        sh->none = table_new();
        sh->all = table_ref(sh->none);
        sh->table = table_ref(sh->none);
    }
    sh->listening = true;
    memory_listener_register(&sh->listener, pci_get_address_space(s->pci));
}

void remote_io_share_stop(RemoteIOCore *s)
{
    RemoteIOShare *sh = &s->share;

    if (sh->listening) {
        memory_listener_unregister(&sh->listener);
        sh->listening = false;
    }
    WITH_QEMU_LOCK_GUARD(&s->lock) {
        g_clear_pointer(&sh->table, table_unref);
        g_clear_pointer(&sh->all, table_unref);
        g_clear_pointer(&sh->none, table_unref);
    }
    g_clear_pointer(&sh->next, table_unref);
}
