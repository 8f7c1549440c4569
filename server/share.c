/*
 * remote-io-server: guest memory that the client shares
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A client on the same host may hand over its guest's memory as files, which
 * are mapped here: then DMA costs no message.  A table is used by the home of
 * the module alone, between two yields of a task; so when the home has
 * answered the next one, nobody uses the old one any more.
 *
 * What goes by messages and what is done here must keep its order.  A write
 * that went as a message has happened when the client acknowledged it; until
 * then everything else goes as a message, too.
 *
 * The client is not trusted: a file that could become shorter is refused, and
 * should the kernel find no page behind a mapping nevertheless (huge pages
 * that were taken back), the access fails and not the server.
 */

#include "qemu/osdep.h"
#include <setjmp.h>
#include <sys/mman.h>
#include "qemu/madvise.h"
#include "internal.h"
#include "trace.h"

typedef struct SharedMemory {
    uint64_t addr, size;        /* of the bus */
    uint8_t *host;
    bool readonly;
    void *map;                  /* what munmap() takes */
    size_t map_len;
} SharedMemory;

struct RiodShare {
    uint64_t bytes;
    unsigned num;
    SharedMemory mem[];         /* ascending */
};

/* ---- descriptors -------------------------------------------------------- */

RiodFiles *riod_files_take(RioTransport *t)
{
    RiodFiles *files = g_new0(RiodFiles, 1);

    files->num = rio_transport_take_files(t, files->fd);
    return files;
}

void riod_files_free(RiodFiles *files)
{
    for (unsigned i = 0; files && i < files->num; i++) {
        close(files->fd[i]);
    }
    g_free(files);
}

/* Only memory whose size is fixed: what it does not have would be SIGBUS */
static bool check_file(int fd, const RioMemory *mem, uint64_t *page,
                       RioError *err)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);

    if (seals < 0) {
        return rio_error_set(err, RIO_STATUS_DENIED, "memory at 0x%" PRIx64
                             " is no memfd: use memory-backend-memfd",
                             mem->address);
    }
    if (!(seals & F_SEAL_SHRINK)) {
        return rio_error_set(err, RIO_STATUS_DENIED, "memory at 0x%" PRIx64
                             " is in a file that may shrink: use seal=on",
                             mem->address);
    }
    if (fstat(fd, &st) < 0 || st.st_size < 0 ||
        mem->offset + mem->size > (uint64_t)st.st_size) {
        return rio_error_set(err, RIO_STATUS_RANGE, "memory at 0x%" PRIx64
                             ": 0x%" PRIx64 " bytes at 0x%" PRIx64 " of a file "
                             "of 0x%" PRIx64, mem->address, mem->size,
                             mem->offset, (uint64_t)st.st_size);
    }
    *page = MAX(st.st_blksize, qemu_real_host_page_size());
    return true;
}

static bool map_memory(SharedMemory *to, const RioMemory *mem, int fd,
                       RioError *err)
{
    bool readonly = mem->flags & RIO_MEMORY_READONLY;
    uint64_t page, skip, len;
    void *map;

    if (!check_file(fd, mem, &page, err)) {
        return false;
    }
    /* Whole pages, which may be huge, or they could not be unmapped */
    skip = mem->offset % page;
    len = ROUND_UP(mem->size + skip, page);
    map = mmap(NULL, len,
               readonly ? PROT_READ : PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_NORESERVE, fd, mem->offset - skip);
    if (map == MAP_FAILED) {
        return rio_error_set(err, RIO_STATUS_IO, "memory at 0x%" PRIx64
                             " cannot be mapped: %s", mem->address,
                             strerror(errno));
    }
    qemu_madvise(map, len, QEMU_MADV_DONTDUMP);
    *to = (SharedMemory) {
        .addr = mem->address,
        .size = mem->size,
        .host = (uint8_t *)map + skip,
        .readonly = readonly,
        .map = map,
        .map_len = len,
    };
    return true;
}

static void let_bus_errors_in(void);

/* ---- the table ---------------------------------------------------------- */

static void share_free(RiodShare *share)
{
    for (unsigned i = 0; share && i < share->num; i++) {
        munmap(share->mem[i].map, share->mem[i].map_len);
    }
    g_free(share);
}

static RiodShare *share_new(const RioMessage *m, const RiodFiles *files,
                            RioError *err)
{
    unsigned given = files ? files->num : 0;
    RiodShare *share = g_malloc0(sizeof(*share) +
                                 m->mem_table.count * sizeof(SharedMemory));

    for (uint32_t i = 0; i < m->mem_table.count; i++) {
        RioMemory mem = rio_memory_get(m, i);

        if (mem.file >= given) {
            rio_error_set(err, RIO_STATUS_RANGE, "memory at 0x%" PRIx64 " is "
                          "in file %u of %u that came", mem.address, mem.file,
                          given);
        } else if (map_memory(&share->mem[i], &mem, files->fd[mem.file],
                              err)) {
            share->num++;
            share->bytes += mem.size;
            continue;
        }
        share_free(share);
        return NULL;
    }
    return share;
}

void riod_share_drop(RiodSession *s)
{
    share_free(s->share);
    s->share = NULL;
    s->fence = false;
    qatomic_set(&s->stats.shared_bytes, 0);
}

/* Lock of s->conn held.  Did all happen that was sent as messages? */
static bool in_step_locked(RiodSession *s)
{
    if (s->unfenced && rio_session_acked(s->rio) >= s->unfenced) {
        s->unfenced = 0;
    }
    return !s->unfenced;
}

/* Stepping past what was sent as messages may take a fence, see there */
static void share_install(RiodSession *s, RiodShare *share)
{
    let_bus_errors_in();
    s->share = share;
    s->fence = !in_step_locked(s) && !share->mem[0].readonly;
    qatomic_set(&s->stats.shared_bytes, share->bytes);
}

void riod_share_table(RiodSession *s, const RioMessage *m,
                      const RiodFiles *files)
{
    RiodShare *share = NULL;
    RioMessage reply;
    RioError err;

    if (!(s->caps & RIO_CAP_SHM)) {
        rio_error_set(&err, RIO_STATUS_UNSUPPORTED, "%s, which was not "
                      "agreed on", rio_op_name(m->op));
        riod_connection_bad_locked(s->conn, &err);
        return;
    }
    if (m->epoch != rio_session_epoch(s->rio)) {
        return;         /* the session went on elsewhere while it waited */
    }
    riod_share_drop(s);
    rio_message_init(&reply, RIO_OP_MEM_TABLE_REPLY, 0, m->tag);
    reply.ids = s->ids;
    reply.epoch = rio_session_epoch(s->rio);
    if (m->mem_table.count) {
        share = share_new(m, files, &err);
        if (share) {
            share_install(s, share);
        } else {
            riod_set_reason(&reply, err.status, err.text);
            riod_log("%s: memory of client %s, device %s, is not shared: %s",
                     s->inst->id, s->client->name, s->device, err.text);
        }
    }
    trace_riod_share(s->inst->id, s->ids.vm, m->tag, m->mem_table.count,
                     s->stats.shared_bytes, rio_status_name(reply.status));
    riod_connection_control_locked(s->conn, &reply);
}

/* ---- access ------------------------------------------------------------- */

static __thread sigjmp_buf bus_return;
static __thread bool bus_guarded;

/* Memory that is not there after all: only a copy from or to it may meet it */
static void bus_error(int signal)
{
    if (bus_guarded) {
        siglongjmp(bus_return, 1);
    }
    sigaction(signal, &(struct sigaction) { .sa_handler = SIG_DFL }, NULL);
    raise(signal);
}

/* QEMU's threads have it blocked, and a blocked one ends the process */
static void let_bus_errors_in(void)
{
    static __thread bool done;
    sigset_t set;

    if (!done) {
        sigemptyset(&set);
        sigaddset(&set, SIGBUS);
        pthread_sigmask(SIG_UNBLOCK, &set, NULL);
        done = true;
    }
}

void riod_share_init(void)
{
    /* The jump out of the handler leaves the mask alone */
    struct sigaction action = {
        .sa_handler = bus_error,
        .sa_flags = SA_NODEFER,
    };

    sigaction(SIGBUS, &action, NULL);
}

/* Returns: false when there was no page to be had */
static bool copy(void *to, const void *from, size_t len)
{
    if (sigsetjmp(bus_return, 0)) {
        bus_guarded = false;
        return false;
    }
    bus_guarded = true;
    barrier();
    memcpy(to, from, len);
    barrier();
    bus_guarded = false;
    return true;
}

static const SharedMemory *share_find(const RiodShare *share, uint64_t addr)
{
    unsigned low = 0, high = share->num;

    while (low < high) {
        unsigned mid = (low + high) / 2;
        const SharedMemory *mem = &share->mem[mid];

        if (addr < mem->addr) {
            high = mid;
        } else if (addr - mem->addr >= mem->size) {
            low = mid + 1;
        } else {
            return mem;
        }
    }
    return NULL;
}

/* Is all of @gap there? */
static bool share_covers(const RiodShare *share, const RiodGap *gap,
                         bool write)
{
    uint64_t addr = gap->addr;
    uint64_t left = gap->len;

    while (left) {
        const SharedMemory *mem = share_find(share, addr);
        uint64_t n;

        if (!mem || (write && mem->readonly)) {
            return false;
        }
        n = MIN(left, mem->size - (addr - mem->addr));
        addr += n;
        left -= n;
    }
    return true;
}

static bool share_copy(const RiodShare *share, const RiodGap *gap, bool write)
{
    uint64_t addr = gap->addr;
    uint32_t done = 0;

    while (done < gap->len) {
        const SharedMemory *mem = share_find(share, addr);
        uint8_t *host = mem->host + (addr - mem->addr);
        uint64_t n = MIN(gap->len - done, mem->size - (addr - mem->addr));

        if (!copy(write ? host : gap->to + done,
                  write ? gap->to + done : host, n)) {
            return false;
        }
        addr += n;
        done += n;
    }
    return true;
}

static bool share_in_step(RiodSession *s)
{
    RiodConnection *conn = s->conn;

    if (!s->unfenced) {
        return true;
    }
    QEMU_LOCK_GUARD(&conn->lock);
    return in_step_locked(s);
}

bool riod_share_access(RiodSession *s, const RiodGap *gaps, unsigned n,
                       bool write, int *ret)
{
    uint64_t bytes = 0;

    if (!s->share || s->fence || !share_in_step(s)) {
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        if (!share_covers(s->share, &gaps[i], write)) {
            return false;
        }
    }
    *ret = 0;
    /* What the module wrote before comes before what it reads now */
    smp_mb();
    for (unsigned i = 0; i < n && !*ret; i++) {
        if (!share_copy(s->share, &gaps[i], write)) {
            s->stats.dma_refused++;
            *ret = -EFAULT;
        }
        bytes += gaps[i].len;
    }
    /* The same for what it reads next, and for the interrupt that follows */
    smp_mb();
    s->stats.shared_accesses++;
    s->stats.shared_access_bytes += bytes;
    return true;
}
