/*
 * remote-io device: doorbell recipes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A write to a doorbell that a recipe knows takes along what the module would
 * read next: the new entries of a ring, and what these point to.  All of it
 * is read like any DMA of the module (dma.c).  What cannot be read, or is
 * more than allowed, is left out, and the module reads it itself.
 *
 * Accesses come with the BQL held, so there is one doorbell at a time, and the
 * buffers here need no other lock.  The table is changed by whoever receives,
 * under the lock; memory is read without it, from a copy of the recipe.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bswap.h"
#include "core.h"
#include "trace.h"

#define FIXED 64
#define STEP 48
#define DESCRIPTOR 16           /* of an SGL */

/* What one doorbell may bring, whatever the recipe says */
#define MAX_BYTES (1152u * 1024)
#define MAX_PIECES 1024u

/* Data leave this much of it to entries and lists of further commands */
#define LIST_SHARE(max) ((max) / 16)

/* Segments of a message are put right before its bytes */
#define HEADROOM (RIO_MAX_SEGMENTS * RIO_SEGMENT_SIZE)
#define DOORBELL_BODY 32u

/* Segments and headers of all that one doorbell may bring */
#define OVERHEAD (MAX_PIECES * RIO_SEGMENT_SIZE + 16384)

typedef struct Recipe {
    uint64_t serial;            /* no two recipes have the same */
    bool lazy;                  /* all below but the doorbell is 0 */
    uint8_t region;
    uint8_t steps;
    uint64_t doorbell;
    uint64_t base;
    uint32_t entries, entry_size;
    uint32_t index, index_mask;
    uint64_t index_address;
    uint8_t index_size;
    uint16_t max_entries;
    uint32_t max_bytes;
    uint8_t step[RIO_MAX_STEPS][STEP];
} Recipe;

struct RemoteIORecipes {
    Recipe *slot[RIO_MAX_RECIPES];
    unsigned last;              /* slots from here on are free */
    uint64_t serial;            /* given out last */
};

/* What a doorbell brings */
struct RemoteIOBell {
    uint8_t *buf;               /* HEADROOM, then the bytes */
    RioSegment seg[MAX_PIECES];
    unsigned num_segs;
    uint32_t len, max;
};

typedef RemoteIOBell Bell;

/* ---- the table --------------------------------------------------------- */

static void parse(Recipe *r, const uint8_t *p)
{
    unsigned i;

    r->region = p[2];
    r->doorbell = ldq_le_p(p + 8);
    r->base = ldq_le_p(p + 16);
    r->entries = ldl_le_p(p + 24);
    r->entry_size = ldl_le_p(p + 28);
    r->index = ldl_le_p(p + 32);
    r->index_mask = ldl_le_p(p + 36);
    r->index_address = ldq_le_p(p + 40);
    r->index_size = p[48];
    r->steps = p[49];
    r->max_entries = lduw_le_p(p + 50);
    r->max_bytes = ldl_le_p(p + 52);
    for (i = 0; i < r->steps; i++) {
        memcpy(r->step[i], p + FIXED + i * STEP, STEP);
    }
}

static void free_slot(RemoteIOCore *s, unsigned slot)
{
    RemoteIORecipes *t = s->recipes;

    if (t->slot[slot]) {
        s->num_lazy -= t->slot[slot]->lazy;
        g_clear_pointer(&t->slot[slot], g_free);
        qatomic_set(&s->num_recipes, s->num_recipes - 1);
    }
}

static void set_slot(RemoteIOCore *s, const uint8_t *recipe)
{
    unsigned slot = lduw_le_p(recipe);
    unsigned kind = recipe[3];

    if (!s->recipes) {
        s->recipes = g_new0(RemoteIORecipes, 1);
    }
    free_slot(s, slot);
    if (kind != RIO_RECIPE_NONE) {
        Recipe *r = g_new0(Recipe, 1);

        parse(r, recipe);
        r->lazy = kind == RIO_RECIPE_LAZY;
        s->num_lazy += r->lazy;
        r->serial = ++s->recipes->serial;
        s->recipes->slot[slot] = r;
        s->recipes->last = MAX(s->recipes->last, slot + 1);
        qatomic_set(&s->num_recipes, s->num_recipes + 1);
    }
    trace_remote_io_recipe(s->name, slot, kind);
}

bool remote_io_recipe_locked(RemoteIOCore *s, const RioMessage *m)
{
    if (!s->use_recipes ||
        (m->recipe.kind == RIO_RECIPE_LAZY &&
         !(s->caps & RIO_CAP_LAZY))) {
        return false;
    }
    set_slot(s, m->payload.data);
    return true;
}

void remote_io_recipes_start_locked(RemoteIOCore *s)
{
    RioBytes bytes = { s->desc_bytes, s->desc_len };
    RioBytes recipe;
    unsigned i;

    if (s->conn && rio_link_caps(s->conn->link) & RIO_CAP_RECIPES) {
        for (i = 0; rio_description_recipe(bytes, i, &recipe); i++) {
            set_slot(s, recipe.data);
        }
    }
}

/* Serial numbers go on: a doorbell may be on its way with an old recipe */
void remote_io_recipes_forget_locked(RemoteIOCore *s)
{
    unsigned i;

    for (i = 0; s->recipes && i < RIO_MAX_RECIPES; i++) {
        free_slot(s, i);
    }
}

/* The inverse of parse() */
static uint8_t *put(const Recipe *r, unsigned slot)
{
    uint8_t *p = g_malloc0(FIXED + r->steps * STEP);
    unsigned i;

    stw_le_p(p, slot);
    p[2] = r->region;
    p[3] = r->lazy ? RIO_RECIPE_LAZY : RIO_RECIPE_RING;
    stq_le_p(p + 8, r->doorbell);
    stq_le_p(p + 16, r->base);
    stl_le_p(p + 24, r->entries);
    stl_le_p(p + 28, r->entry_size);
    stl_le_p(p + 32, r->index);
    stl_le_p(p + 36, r->index_mask);
    stq_le_p(p + 40, r->index_address);
    p[48] = r->index_size;
    p[49] = r->steps;
    stw_le_p(p + 50, r->max_entries);
    stl_le_p(p + 52, r->max_bytes);
    for (i = 0; i < r->steps; i++) {
        memcpy(p + FIXED + i * STEP, r->step[i], STEP);
    }
    return p;
}

void remote_io_recipes_save_locked(RemoteIOCore *s, RemoteIOSaved *v)
{
    RemoteIORecipes *t = s->recipes;
    unsigned i;

    v->recipes = g_new0(RemoteIOSavedRecipe, s->num_recipes);
    for (i = 0; t && i < t->last; i++) {
        if (t->slot[i]) {
            v->recipes[v->num_recipes++] = (RemoteIOSavedRecipe) {
                .len = FIXED + t->slot[i]->steps * STEP,
                .data = put(t->slot[i], i),
            };
        }
    }
}

bool remote_io_recipes_load_locked(RemoteIOCore *s, const RemoteIOSaved *v,
                                   Error **errp)
{
    RioError err;
    int i;

    remote_io_recipes_forget_locked(s);
    for (i = 0; i < v->num_recipes; i++) {
        if (!rio_recipe_check(v->recipes[i].data, v->recipes[i].len, &err)) {
            error_setg(errp, "saved recipe %d: %s", i, err.text);
            return false;
        }
        if (s->use_recipes) {
            set_slot(s, v->recipes[i].data);
        }
    }
    return true;
}

void remote_io_recipes_finalize(RemoteIOCore *s)
{
    remote_io_recipes_forget_locked(s);
    g_free(s->recipes);
    if (s->bell) {
        g_free(s->bell->buf);
        g_free(s->bell);
    }
}

static Recipe *find_locked(RemoteIOCore *s, const RioWrite *w)
{
    RemoteIORecipes *t = s->recipes;
    unsigned i;

    for (i = 0; t && i < t->last; i++) {
        Recipe *r = t->slot[i];

        if (r && r->doorbell == w->offset && r->region == w->region) {
            return r;
        }
    }
    return NULL;
}

/* ---- gathering --------------------------------------------------------- */

static uint8_t *bytes_at(Bell *b, uint32_t at)
{
    return b->buf + HEADROOM + at;
}

/* Take memory along.  Returns: false when it is not to be had */
static bool take(RemoteIOCore *s, Bell *b, unsigned step, uint64_t addr,
                 uint64_t len)
{
    RioSegment *last = b->num_segs ? &b->seg[b->num_segs - 1] : NULL;
    bool joins = last && last->step == step &&
                 last->address + last->length == addr;

    if (!len) {
        return true;
    }
    if (len > b->max - b->len || addr > UINT64_MAX - len ||
        (!joins && b->num_segs == MAX_PIECES) ||
        !remote_io_dma_fetch(s, addr, bytes_at(b, b->len), len)) {
        return false;
    }
    if (joins) {
        last->length += len;
    } else {
        b->seg[b->num_segs++] = (RioSegment) { addr, len, step };
    }
    b->len += len;
    return true;
}

static bool matches(const uint8_t *p, const uint8_t *entry)
{
    return !p[2] ||
           (ldn_le_p(entry + lduw_le_p(p), p[2]) & ldl_le_p(p + 4)) ==
           ldl_le_p(p + 8);
}

/* All that the entry is about; lists tell where it is, up to the end */
static uint64_t length_of(const uint8_t *p, const uint8_t *entry)
{
    uint64_t n = p[32] ? ldn_le_p(entry + lduw_le_p(p + 30), p[32]) &
                         ldl_le_p(p + 36) : 0;

    return (n + ldl_le_p(p + 40)) << p[33];
}

/* How much of it may come along as data */
static uint64_t data_of(const uint8_t *p)
{
    bool lists = p[24] == RIO_STEP_PRP_LIST || p[24] == RIO_STEP_SGL_LIST;

    return lists ? 0 : ldl_le_p(p + 44);
}

/* Data: of @len bytes what *@data still allows; none after a failure */
static void take_data(RemoteIOCore *s, Bell *b, unsigned step, uint64_t addr,
                      uint64_t len, uint64_t *data)
{
    uint32_t limit = b->max - LIST_SHARE(b->max);

    len = MIN(len, *data);
    if (b->len > limit || len > limit - b->len ||
        !take(s, b, step, addr, len)) {
        *data = 0;
    } else {
        *data -= len;
    }
}

/*
 * A list of pages at @at, which tells of @left bytes.  A list that points to
 * itself ends, as each turn takes from what the doorbell may bring.
 */
static void take_prp_list(RemoteIOCore *s, Bell *b, unsigned step,
                          uint64_t at, uint64_t left, uint32_t page,
                          uint64_t data)
{
    while (left && !(at & 7)) {
        uint32_t room = (page - (at & (page - 1))) / 8;
        uint64_t pages = DIV_ROUND_UP(left, page);
        uint32_t n = MIN(pages, room);
        bool chained = pages > room;
        uint32_t list = b->len, i;

        if (!take(s, b, step, at, n * 8)) {
            return;
        }
        for (i = 0; i < n - chained; i++) {
            uint64_t addr = ldq_le_p(bytes_at(b, list + i * 8));
            uint64_t len = MIN(left, page);

            if (addr & (page - 1)) {
                return;
            }
            take_data(s, b, step, addr, len, &data);
            left -= len;
        }
        at = chained ? ldq_le_p(bytes_at(b, list + i * 8)) : 0;
    }
}

static void take_prp(RemoteIOCore *s, Bell *b, unsigned step,
                     const uint8_t *p, const uint8_t *entry)
{
    uint64_t first = ldq_le_p(entry + lduw_le_p(p + 26));
    uint64_t second = ldq_le_p(entry + lduw_le_p(p + 28));
    uint64_t left = length_of(p, entry);
    uint32_t page = 1u << p[25];
    uint64_t data = data_of(p);
    uint64_t n = MIN(left, page - (first & (page - 1)));

    take_data(s, b, step, first, n, &data);
    left -= n;
    if (left > page) {
        take_prp_list(s, b, step, second, left, page, data);
    } else if (!(second & (page - 1))) {
        take_data(s, b, step, second, left, &data);
    }
}

/* An array of descriptors.  Returns: true with *@next: there is another */
static bool take_sgl_array(RemoteIOCore *s, Bell *b, unsigned step,
                           const uint8_t *desc, uint64_t *left,
                           uint64_t *data, uint8_t *next)
{
    uint32_t len = ldl_le_p(desc + 8);
    uint32_t at = b->len, i;
    bool may_chain = desc[15] == 0x20;

    if (!len || len % DESCRIPTOR ||
        !take(s, b, step, ldq_le_p(desc), len)) {
        return false;
    }
    for (i = 0; i < len; i += DESCRIPTOR) {
        const uint8_t *p = bytes_at(b, at + i);
        uint64_t n = MIN(ldl_le_p(p + 8), *left);

        if (p[15] == 0) {
            take_data(s, b, step, ldq_le_p(p), n, data);
            *left -= n;
        } else if (may_chain && i + DESCRIPTOR == len) {
            memcpy(next, p, DESCRIPTOR);
            return true;
        } else {
            return false;
        }
    }
    return false;
}

static void take_sgl(RemoteIOCore *s, Bell *b, unsigned step,
                     const uint8_t *p, const uint8_t *entry)
{
    uint64_t left = length_of(p, entry);
    uint64_t data = data_of(p);
    uint8_t desc[DESCRIPTOR];

    memcpy(desc, entry + lduw_le_p(p + 26), DESCRIPTOR);
    if (desc[15] == 0) {
        take_data(s, b, step, ldq_le_p(desc), MIN(left, ldl_le_p(desc + 8)),
                  &data);
        return;
    }
    while ((desc[15] == 0x20 || desc[15] == 0x30) &&
           take_sgl_array(s, b, step, desc, &left, &data, desc)) {
        /* it has set desc */
    }
}

static void follow_entry(RemoteIOCore *s, Bell *b, const Recipe *r,
                         const uint8_t *entry)
{
    uint64_t data;
    unsigned i;

    for (i = 0; i < r->steps; i++) {
        const uint8_t *p = r->step[i];

        if (!matches(p, entry) || !matches(p + 12, entry)) {
            continue;
        }
        switch (p[24]) {
        case RIO_STEP_BUFFER:
            data = data_of(p);
            take_data(s, b, i + 1, ldq_le_p(entry + lduw_le_p(p + 26)),
                      length_of(p, entry), &data);
            break;
        case RIO_STEP_PRP:
        case RIO_STEP_PRP_LIST:
            take_prp(s, b, i + 1, p, entry);
            break;
        default:
            take_sgl(s, b, i + 1, p, entry);
            break;
        }
    }
}

/* Entries from r->index to @end, then what they point to */
static void follow_ring(RemoteIOCore *s, Bell *b, const Recipe *r,
                        uint32_t end)
{
    uint32_t n = (end >= r->index ? 0 : r->entries) + end - r->index;
    uint32_t at = b->len, first, i;

    n = MIN(n, r->max_entries);
    n = MIN(n, (b->max - b->len) / r->entry_size);
    first = MIN(n, r->entries - r->index);
    if (!take(s, b, 0, r->base + (uint64_t)r->index * r->entry_size,
              (uint64_t)first * r->entry_size) ||
        !take(s, b, 0, r->base, (uint64_t)(n - first) * r->entry_size)) {
        return;
    }
    for (i = 0; i < n; i++) {
        follow_entry(s, b, r, bytes_at(b, at + i * r->entry_size));
    }
}

/* Fill @b with @max bytes or less.  Returns: the new index */
static uint32_t gather(RemoteIOCore *s, Bell *b, const Recipe *r,
                       uint64_t value, uint32_t max)
{
    uint32_t end;

    b->num_segs = 0;
    b->len = 0;
    /* What the server reads for itself need not come along */
    b->max = qatomic_read(&s->share.active) ? 0 :
             MIN(r->max_bytes, max);
    /* What the driver stored before it rang is seen by the loads below */
    smp_mb();
    if (r->index_address) {
        if (!take(s, b, 0, r->index_address, r->index_size)) {
            return r->index;
        }
        value = ldn_le_p(bytes_at(b, 0), r->index_size);
    }
    end = (value & r->index_mask) % r->entries;
    follow_ring(s, b, r, end);
    return end;
}

/* ---- sending ----------------------------------------------------------- */

/*
 * One message with as much as fits, from segment *@seg and its byte *@skip
 * and byte *@at of all on.  The bytes before *@at are gone already, so that
 * the list of segments may take their place.
 */
static bool send_some_locked(RemoteIOCore *s, Bell *b, const RioWrite *w,
                             unsigned *seg, uint32_t *skip, uint32_t *at)
{
    RioSegment list[RIO_MAX_SEGMENTS];
    uint32_t room = s->dma.max_body - DOORBELL_BODY;
    uint32_t total = 0, count = 0, i;
    RIO_UNINITIALIZED RioMessage m;
    uint8_t *payload;

    while (*seg < b->num_segs && count < RIO_MAX_SEGMENTS &&
           room > RIO_SEGMENT_SIZE) {
        const RioSegment *from = &b->seg[*seg];
        uint32_t n = MIN(from->length - *skip, room - RIO_SEGMENT_SIZE);

        list[count++] = (RioSegment) { from->address + *skip, n, from->step };
        total += n;
        room -= n + RIO_SEGMENT_SIZE;
        *skip += n;
        if (*skip == from->length) {
            *skip = 0;
            (*seg)++;
        }
    }
    payload = bytes_at(b, *at) - count * RIO_SEGMENT_SIZE;
    for (i = 0; i < count; i++) {
        rio_segment_put(payload, i, &list[i]);
    }
    rio_message_init(&m, RIO_OP_DOORBELL, RIO_FLAG_POSTED |
                     (*seg < b->num_segs ? RIO_FLAG_MORE : 0), 0);
    m.doorbell.write = *w;
    m.doorbell.count = count;
    m.doorbell.total = total;
    m.payload = (RioBytes) { payload, count * RIO_SEGMENT_SIZE + total };
    *at += total;
    return rio_session_send(s->session, &m);
}

/*
 * How many bytes may go along now: half of the log is for doorbells, so that
 * a guest that rings faster than the network is does not stop everything
 */
static uint32_t room_locked(RemoteIOCore *s)
{
    uint64_t used = rio_session_log_bytes(s->session) + OVERHEAD;
    uint64_t limit = s->log_limit / 2;

    return used < limit ? MIN(limit - used, MAX_BYTES) : 0;
}

/* All of it, or nothing: a message with MORE must not remain alone */
static bool send_locked(RemoteIOCore *s, Bell *b, const RioWrite *w)
{
    uint32_t skip = 0, at = 0;
    unsigned seg = 0;

    if (!b->num_segs || s->num_unsubmitted || s->state_lost || s->stopping ||
        s->failing || s->frozen || b->len > room_locked(s) ||
        !remote_io_lazy_submit_locked(s)) {
        return false;
    }
    do {
        if (!send_some_locked(s, b, w, &seg, &skip, &at)) {
            return false;       /* the session is closed */
        }
    } while (seg < b->num_segs);
    s->stats.doorbells++;
    s->stats.doorbell_bytes += b->len;
    trace_remote_io_doorbell(s->name, w->offset, w->value, b->num_segs,
                             b->len);
    return true;
}

static Bell *bell_get(RemoteIOCore *s)
{
    if (!s->bell) {
        s->bell = g_new0(Bell, 1);
        s->bell->buf = g_malloc(HEADROOM + MAX_BYTES);
    }
    return s->bell;
}

bool remote_io_doorbell(RemoteIOCore *s, const RioWrite *w, bool *lazy)
{
    Bell *b = bell_get(s);
    Recipe *r, copy;
    uint32_t index, max;
    bool sent;

    remote_io_lock(s);
    r = s->quiet ? NULL : find_locked(s, w);
    if (!r || r->lazy) {
        *lazy = r;
        remote_io_unlock(s);
        return false;
    }
    copy = *r;
    max = room_locked(s);
    remote_io_unlock(s);

    index = gather(s, b, &copy, w->value, max);

    remote_io_lock(s);
    r = find_locked(s, w);
    if (r && r->serial == copy.serial) {
        r->index = index;
    }
    sent = !s->quiet && send_locked(s, b, w);
    if (sent) {
        s->stats.writes++;
        s->stats.posted_writes++;
        remote_io_flush_soon_locked(s);
    }
    remote_io_unlock(s);
    return sent;
}
