/*
 * remote-io-server: memory that outlives the process
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/file.h>
#include <sys/mman.h>
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/cutils.h"
#include "journal-store.h"

#define MAGIC       UINT64_C(0x4c414e52554f4a52)        /* "RJOURNAL" */
#define VERSION     1u
#define LOCK        "lock"
#define SUFFIX      ".area"

/* Memory is taken from the file system in pieces of so much */
#define PIECE       (64u * 1024)

/* Of an area, that its numbers may not exceed when it is read */
#define MAX_SLOT    (16u * 1024 * 1024)
#define MAX_LOG     (UINT64_C(1) << 30)

struct RiodStore {
    char *path;
    int dir;
    int lock;
    bool durable;
};

/* At the start of the file; the identity follows, at the end is the word */
typedef struct AreaHead {
    uint64_t magic;
    uint32_t version;
    uint32_t slot;
    uint64_t log;
    uint64_t set;
    uint32_t identity_len;
    uint32_t reserved;
    uint64_t sum;               /* of the fields above and the identity */
} AreaHead;

/* The number of the last commit stands alone in its cache line */
#define WORD_SIZE   64u

/* In front of a record */
typedef struct SlotHead {
    uint64_t word;              /* of its commit, written first */
    uint32_t len;
    uint32_t reserved;
    uint64_t sum;
} SlotHead;

/* In front of a message in the log */
typedef struct LogHead {
    uint32_t len;
    uint32_t sum;
} LogHead;

struct RiodArea {
    RiodStore *store;
    int fd;
    uint8_t *map;
    size_t size;
    uint32_t head;              /* bytes in front of the slots */
    uint32_t slot;              /* bytes of one, with its head */
    uint64_t log;
    unsigned next;              /* slot that the next commit writes */
    uint64_t word;              /* of the commit that is written */
    uint64_t taken[3];          /* of slot 0, slot 1 and the log */
    size_t dirty_from, dirty_to;        /* durable: not on the disk yet */
};

/* --- sums --- */

/*
 * A word is a number and its check, stored at once: one that was hit by
 * chance is told from one that was written.
 */
static uint64_t word_make(uint64_t number)
{
    uint64_t mixed = (number + 1) * UINT64_C(0x9e3779b97f4a7c15);

    return number << 16 | (mixed ^ mixed >> 32) >> 48;
}

static bool word_read(uint64_t word, uint64_t *number)
{
    *number = word >> 16;
    return word == word_make(*number);
}

static uint64_t sum_step(uint64_t sum, uint64_t word)
{
    sum = (sum ^ word) * UINT64_C(0x9fb21c651e98df25);
    return sum ^ sum >> 29;
}

static uint64_t get_word(const uint8_t *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof(word));
    return word;
}

/* Four sums side by side: the processor does not wait for each product */
static uint64_t sum_bytes(uint64_t seed, const void *data, size_t len)
{
    uint64_t sum[4] = { seed ^ len, seed + 1, seed + 2, seed + 3 };
    const uint8_t *p = data;
    uint64_t rest = 0;

    for (; len >= 32; len -= 32, p += 32) {
        for (int i = 0; i < 4; i++) {
            sum[i] = sum_step(sum[i], get_word(p + 8 * i));
        }
    }
    for (; len >= 8; len -= 8, p += 8) {
        sum[0] = sum_step(sum[0], get_word(p));
    }
    memcpy(&rest, p, len);
    sum[0] = sum_step(sum[0], rest);
    for (int i = 1; i < 4; i++) {
        sum[0] = sum_step(sum[0], sum[i]);
    }
    return sum[0];
}

/* --- the folder --- */

/* Who can write here can forge what modules are; nobody else may */
static bool check_folder(const char *path, int dir, Error **errp)
{
    struct stat st;

    if (fstat(dir, &st) < 0) {
        error_setg_errno(errp, errno, "cannot look at '%s'", path);
        return false;
    }
    if (st.st_uid != geteuid()) {
        error_setg(errp, "'%s' belongs to user %u, not to the user %u of this "
                   "process: name a folder of its own", path, st.st_uid,
                   geteuid());
        return false;
    }
    if (st.st_mode & (S_IWGRP | S_IWOTH)) {
        error_setg(errp, "'%s' can be written by others (mode %03o): chmod "
                   "700 it, or name another folder", path,
                   st.st_mode & 0777);
        return false;
    }
    return true;
}

static bool lock_folder(RiodStore *store, Error **errp)
{
    store->lock = openat(store->dir, LOCK, O_RDWR | O_CREAT | O_CLOEXEC |
                         O_NOFOLLOW, 0600);
    if (store->lock < 0) {
        error_setg_errno(errp, errno, "cannot make '%s/" LOCK "'",
                         store->path);
        return false;
    }
    if (flock(store->lock, LOCK_EX | LOCK_NB) < 0) {
        error_setg(errp, "another server uses '%s': give each its own folder",
                   store->path);
        return false;
    }
    return true;
}

RiodStore *riod_store_open(const char *path, bool durable, Error **errp)
{
    RiodStore *store = g_new0(RiodStore, 1);

    store->path = g_strdup(path);
    store->durable = durable;
    store->lock = -1;
    store->dir = -1;
    if (g_mkdir_with_parents(path, 0700) == 0) {
        store->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (store->dir < 0) {
        error_setg_errno(errp, errno, "cannot make the folder '%s'", path);
    } else if (check_folder(path, store->dir, errp) &&
               lock_folder(store, errp)) {
        return store;
    }
    riod_store_close(store);
    return NULL;
}

void riod_store_close(RiodStore *store)
{
    if (!store) {
        return;
    }
    if (store->lock >= 0) {
        close(store->lock);
    }
    if (store->dir >= 0) {
        close(store->dir);
    }
    g_free(store->path);
    g_free(store);
}

const char *riod_store_path(const RiodStore *store)
{
    return store->path;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **riod_store_list(const RiodStore *store)
{
    GPtrArray *names = g_ptr_array_new();
    GDir *dir = g_dir_open(store->path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        if (g_str_has_suffix(name, SUFFIX)) {
            g_ptr_array_add(names, g_strndup(name, strlen(name) -
                                             strlen(SUFFIX)));
        }
    }
    if (dir) {
        g_dir_close(dir);
    }
    if (names->len) {
        qsort(names->pdata, names->len, sizeof(char *), compare_names);
    }
    g_ptr_array_add(names, NULL);
    return (char **)g_ptr_array_free(names, false);
}

static char *file_name(const char *name)
{
    return g_strconcat(name, SUFFIX, NULL);
}

void riod_store_remove(RiodStore *store, const char *name)
{
    g_autofree char *file = file_name(name);

    unlinkat(store->dir, file, 0);
}

/* --- the file --- */

static AreaHead *area_head(const RiodArea *area)
{
    return (AreaHead *)area->map;
}

static SlotHead *area_slot(const RiodArea *area, unsigned i)
{
    return (SlotHead *)(area->map + area->head + (size_t)i * area->slot);
}

static uint64_t *area_word(const RiodArea *area)
{
    return (uint64_t *)(area->map + area->head - WORD_SIZE);
}

static uint8_t *area_log(const RiodArea *area)
{
    return (uint8_t *)area_slot(area, 2);
}

static void mark_dirty(RiodArea *area, const void *from, size_t len)
{
    size_t at = (const uint8_t *)from - area->map;

    if (area->store->durable) {
        area->dirty_from = area->dirty_to ? MIN(area->dirty_from, at) : at;
        area->dirty_to = MAX(area->dirty_to, at + len);
    }
}

/*
 * The file system's memory for @upto bytes of a part: without it a store
 * would end the process.
 */
static bool take(RiodArea *area, unsigned part, uint64_t upto)
{
    size_t start = area->head + (size_t)part * area->slot;
    uint64_t limit = part == 2 ? area->log : area->slot;
    uint64_t end;

    if (likely(upto <= area->taken[part])) {
        return true;
    }
    if (upto > limit) {
        return false;
    }
    end = MIN(ROUND_UP(upto, PIECE), limit);
    if (posix_fallocate(area->fd, start + area->taken[part],
                        end - area->taken[part])) {
        return false;
    }
    area->taken[part] = end;
    return true;
}

static uint64_t head_sum(const AreaHead *head)
{
    return sum_bytes(sum_bytes(0, head, offsetof(AreaHead, sum)), head + 1,
                     head->identity_len);
}

static bool area_map(RiodArea *area, const char *file, Error **errp)
{
    area->map = mmap(NULL, area->size, PROT_READ | PROT_WRITE, MAP_SHARED,
                     area->fd, 0);
    if (area->map == MAP_FAILED) {
        area->map = NULL;
        error_setg_errno(errp, errno, "cannot map '%s/%s'", area->store->path,
                         file);
        return false;
    }
    return true;
}

static RiodArea *area_alloc(RiodStore *store, int fd)
{
    RiodArea *area = g_new0(RiodArea, 1);

    area->store = store;
    area->fd = fd;
    return area;
}

static uint64_t head_size(uint32_t identity_len)
{
    return ROUND_UP(sizeof(AreaHead) + (uint64_t)identity_len + WORD_SIZE,
                    4096);
}

static void set_sizes(RiodArea *area, uint32_t identity_len, uint32_t slot,
                      uint64_t log)
{
    area->head = head_size(identity_len);
    area->slot = slot;
    area->log = log;
    area->size = area->head + 2 * (size_t)slot + log;
}

static void area_init(RiodArea *area, const RiodAreaConfig *config)
{
    AreaHead *head = area_head(area);

    *head = (AreaHead) {
        .magic = MAGIC,
        .version = VERSION,
        .slot = area->slot,
        .log = area->log,
        .set = config->set,
        .identity_len = config->identity_len,
    };
    memcpy(head + 1, config->identity, config->identity_len);
    head->sum = head_sum(head);
    for (int i = 0; i < 2; i++) {
        area_slot(area, i)->word = word_make(0);
    }
    *area_word(area) = word_make(config->word);
    mark_dirty(area, area->map, area->head + 2 * (size_t)area->slot);
}

/* The commit that it has from the start */
static bool area_first(RiodArea *area, const RiodAreaConfig *config)
{
    uint8_t *to;

    if (config->word) {
        to = riod_area_begin(area, config->word, config->record_len);
        if (!to) {
            return false;
        }
        memcpy(to, config->record, config->record_len);
        riod_area_end(area, config->record_len);
    }
    return true;
}

static bool area_fill(RiodArea *area)
{
    return ftruncate(area->fd, area->size) == 0 &&
           posix_fallocate(area->fd, 0, area->head) == 0 &&
           take(area, 0, 1) && take(area, 1, 1);
}

/* The name reaches the disk when the folder does */
static bool area_name(RiodArea *area, const char *draft, const char *file)
{
    RiodStore *store = area->store;

    return riod_area_sync(area) &&
           renameat(store->dir, draft, store->dir, file) == 0 &&
           (!store->durable || fsync(store->dir) == 0);
}

/* Under another name until it is whole: a half made one is never found */
RiodArea *riod_area_new(RiodStore *store, const char *name,
                        const RiodAreaConfig *config, Error **errp)
{
    g_autofree char *file = file_name(name);
    g_autofree char *draft = g_strconcat(file, ".new", NULL);
    RiodArea *area;
    int fd;

    assert(config->identity_len <= RIOD_AREA_IDENTITY);
    unlinkat(store->dir, draft, 0);
    fd = openat(store->dir, draft, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC |
                O_NOFOLLOW, 0600);
    if (fd < 0) {
        error_setg_errno(errp, errno, "cannot make '%s/%s'", store->path,
                         draft);
        return NULL;
    }
    area = area_alloc(store, fd);
    set_sizes(area, config->identity_len,
              ROUND_UP(config->slot + sizeof(SlotHead), 4096),
              ROUND_UP(config->log, 4096));
    if (!area_fill(area)) {
        error_setg(errp, "there is no room in '%s' for '%s'", store->path,
                   name);
    } else if (area_map(area, draft, errp)) {
        area_init(area, config);
        if (area_first(area, config) && area_name(area, draft, file)) {
            return area;
        }
        error_setg_errno(errp, errno, "cannot write '%s/%s'", store->path,
                         file);
    }
    unlinkat(store->dir, draft, 0);
    riod_area_free(area);
    return NULL;
}

/* Sizes before the file is mapped, all else after */
static bool check_sizes(const AreaHead *head, const struct stat *st)
{
    return head->magic == MAGIC && head->version == VERSION &&
           head->slot > sizeof(SlotHead) && head->slot <= MAX_SLOT &&
           head->slot % 4096 == 0 && head->log <= MAX_LOG &&
           head->identity_len <= RIOD_AREA_IDENTITY &&
           (uint64_t)st->st_size == head_size(head->identity_len) +
                                    2 * (uint64_t)head->slot + head->log;
}

static bool area_open(RiodArea *area, const char *file, Error **errp)
{
    AreaHead head;
    struct stat st;

    if (fstat(area->fd, &st) < 0 || !S_ISREG(st.st_mode) ||
        pread(area->fd, &head, sizeof(head), 0) != sizeof(head)) {
        error_setg(errp, "'%s/%s' is no area of a journal", area->store->path,
                   file);
        return false;
    }
    if (head.magic == MAGIC && head.version != VERSION) {
        error_setg(errp, "'%s/%s' has version %u, this server reads %u",
                   area->store->path, file, head.version, VERSION);
        return false;
    }
    if (!check_sizes(&head, &st)) {
        error_setg(errp, "'%s/%s' is damaged", area->store->path, file);
        return false;
    }
    set_sizes(area, head.identity_len, head.slot, head.log);
    if (!area_map(area, file, errp)) {
        return false;
    }
    if (memcmp(&head, area->map, sizeof(head)) ||
        head_sum(area_head(area)) != head.sum) {
        error_setg(errp, "'%s/%s' is damaged", area->store->path, file);
        return false;
    }
    return true;
}

RiodArea *riod_area_load(RiodStore *store, const char *name, Error **errp)
{
    g_autofree char *file = file_name(name);
    RiodArea *area;
    int fd;

    fd = openat(store->dir, file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        error_setg_errno(errp, errno, "cannot open '%s/%s'", store->path,
                         file);
        return NULL;
    }
    area = area_alloc(store, fd);
    if (area_open(area, file, errp)) {
        return area;
    }
    riod_area_free(area);
    return NULL;
}

void riod_area_free(RiodArea *area)
{
    if (!area) {
        return;
    }
    if (area->map) {
        munmap(area->map, area->size);
    }
    close(area->fd);
    g_free(area);
}

uint64_t riod_area_set(const RiodArea *area)
{
    return area_head(area)->set;
}

const uint8_t *riod_area_identity(const RiodArea *area, uint32_t *len)
{
    *len = area_head(area)->identity_len;
    return (const uint8_t *)(area_head(area) + 1);
}

uint64_t riod_area_log_size(const RiodArea *area)
{
    return area->log;
}

/* In the cache line of the word */
uint64_t *riod_area_live(const RiodArea *area)
{
    return area_word(area) + 1;
}

/* --- reading --- */

static bool damaged(const char *what, Error **errp)
{
    error_setg(errp, "%s is damaged", what);
    return false;
}

bool riod_area_word(const RiodArea *area, uint64_t *word, Error **errp)
{
    return word_read(*area_word(area), word) ||
           damaged("the number of the last commit", errp);
}

/* A file may have holes, for which there is no memory any more */
static bool slot_is_whole(RiodArea *area, unsigned i)
{
    const SlotHead *slot = area_slot(area, i);

    return slot->len <= area->slot - sizeof(*slot) &&
           take(area, i, sizeof(*slot) + (uint64_t)slot->len) &&
           slot->sum == sum_bytes(slot->word, slot + 1, slot->len);
}

bool riod_area_record(RiodArea *area, uint64_t word, const uint8_t **data,
                      uint32_t *len, Error **errp)
{
    uint64_t number[2];
    int newest = -1;

    *data = NULL;
    *len = 0;
    for (int i = 0; i < 2; i++) {
        if (!take(area, i, 1) ||
            !word_read(area_slot(area, i)->word, &number[i])) {
            return damaged("the number of a record", errp);
        }
        if (number[i] > word) {
            area_slot(area, i)->word = word_make(0);
            mark_dirty(area, area_slot(area, i), sizeof(SlotHead));
            number[i] = 0;
        }
        if (number[i] && (newest < 0 || number[i] > number[newest])) {
            newest = i;
        }
    }
    area->next = newest == 0;
    /* Else a later commit, of other areas, would make it valid again */
    if (!riod_area_sync(area)) {
        return damaged("the disk", errp);
    }
    if (newest < 0) {
        return true;
    }
    if (number[0] == number[1] || !slot_is_whole(area, newest)) {
        return damaged("a record", errp);
    }
    *data = (uint8_t *)(area_slot(area, newest) + 1);
    *len = area_slot(area, newest)->len;
    return true;
}

static uint32_t log_sum(uint64_t at, const uint8_t *message, uint32_t len)
{
    uint64_t sum = sum_bytes(at, message, len);

    return sum ^ sum >> 32;
}

uint64_t riod_area_log_cost(uint32_t len)
{
    return sizeof(LogHead) + ROUND_UP((uint64_t)len, 8);
}

bool riod_area_get(RiodArea *area, uint64_t *at, uint64_t end,
                   const uint8_t **message, uint32_t *len)
{
    const LogHead *head;

    if (*at % 8 || *at > end || end > area->log ||
        end - *at < sizeof(*head) || !take(area, 2, end)) {
        return false;
    }
    head = (const LogHead *)(area_log(area) + *at);
    if (riod_area_log_cost(head->len) > end - *at ||
        head->sum != log_sum(*at, (const uint8_t *)(head + 1), head->len)) {
        return false;
    }
    *message = (const uint8_t *)(head + 1);
    *len = head->len;
    *at += riod_area_log_cost(head->len);
    return true;
}

uint64_t riod_area_skip(const RiodArea *area, uint64_t at)
{
    const LogHead *head = (const LogHead *)(area_log(area) + at);

    return at + riod_area_log_cost(head->len);
}

/* --- writing --- */

uint8_t *riod_area_begin(RiodArea *area, uint64_t word, uint32_t room)
{
    SlotHead *slot = area_slot(area, area->next);

    if (!take(area, area->next, sizeof(*slot) + (uint64_t)room)) {
        return NULL;
    }
    area->word = word_make(word);
    qatomic_set(&slot->word, area->word);
    smp_wmb();
    return (uint8_t *)(slot + 1);
}

void riod_area_end(RiodArea *area, uint32_t len)
{
    SlotHead *slot = area_slot(area, area->next);

    slot->len = len;
    slot->sum = sum_bytes(area->word, slot + 1, len);
    mark_dirty(area, slot, sizeof(*slot) + len);
    area->next ^= 1;
}

uint64_t riod_area_put(RiodArea *area, uint64_t at, const uint8_t *message,
                       uint32_t len)
{
    uint64_t end = at + riod_area_log_cost(len);
    LogHead *head;

    if (!take(area, 2, end)) {
        return 0;
    }
    head = (LogHead *)(area_log(area) + at);
    head->len = len;
    head->sum = log_sum(at, message, len);
    memcpy(head + 1, message, len);
    mark_dirty(area, head, end - at);
    return end;
}

void riod_area_trim(RiodArea *area, uint64_t end)
{
    uint64_t keep = ROUND_UP(end, PIECE);

    if (keep < area->taken[2] &&
        fallocate(area->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  area->head + 2 * (size_t)area->slot + keep,
                  area->taken[2] - keep) == 0) {
        area->taken[2] = keep;
    }
}

bool riod_area_sync(RiodArea *area)
{
    size_t page = qemu_real_host_page_size();
    size_t from = ROUND_DOWN(area->dirty_from, page);
    bool ok;

    if (!area->dirty_to) {
        return true;
    }
    ok = msync(area->map + from, area->dirty_to - from, MS_SYNC) == 0;
    area->dirty_to = 0;
    return ok;
}

bool riod_area_publish(RiodArea *area, uint64_t word)
{
    uint64_t *p = area_word(area);

    qatomic_store_release(p, word_make(word));
    mark_dirty(area, p, sizeof(*p));
    return riod_area_sync(area);
}
