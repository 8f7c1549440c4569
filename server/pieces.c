/*
 * remote-io-server: guest memory that came along with doorbells
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What came with a doorbell is how memory was when the doorbell was rung, so
 * it is good for the work that was announced then and for none that came
 * later.  It is tied to that work: the tasks that the doorbell's write
 * started, and those that these start, hold it and may look into it and into
 * what came with later doorbells (younger still, so good enough).  It is freed
 * with the last of them.  Every byte is given out once; who reads it again
 * wants to know how it is now.
 *
 * A task may also find work that was announced after its own doorbell, when
 * it reads more entries of a ring.  From then on what is older than these
 * entries is out of its sight.
 */

#include "qemu/osdep.h"
#include "internal.h"
#include "trace.h"

/* Of RIOD_MAX_PIECES, besides its bytes */
#define PIECE_COST 2048u

typedef struct RiodPiece {
    uint64_t addr;
    const uint8_t *data;
    uint32_t len;               /* 0 = given out */
    bool entries;               /* of the ring itself */
} RiodPiece;

/* What one message brought; the bytes lie behind the array */
typedef struct RiodLoad {
    struct RiodLoad *next;
    unsigned num_pieces;
    RiodPiece pieces[];
} RiodLoad;

struct RiodDoorbell {
    unsigned refs;
    RiodSession *session;       /* referenced */
    size_t cost;                /* of all @loads, see cost_of() */
    RiodLoad *loads;
    QTAILQ_ENTRY(RiodDoorbell) node;    /* in the order of arrival */
};

static void doorbell_empty(RiodDoorbell *d)
{
    RiodLoad *load;

    while ((load = d->loads)) {
        d->loads = load->next;
        g_free(load);
    }
    d->session->pieces_cost -= d->cost;
    d->cost = 0;
}

RiodDoorbell *riod_doorbell_ref(RiodDoorbell *d)
{
    if (d) {
        d->refs++;
    }
    return d;
}

void riod_doorbell_unref(RiodDoorbell *d)
{
    RiodSession *s;

    if (!d || --d->refs) {
        return;
    }
    s = d->session;
    doorbell_empty(d);
    QTAILQ_REMOVE(&s->doorbells, d, node);
    g_free(d);
    riod_session_unref(s);
}

RiodSession *riod_doorbell_session(const RiodDoorbell *d)
{
    return d->session;
}

static RiodDoorbell *doorbell_new(RiodSession *s)
{
    RiodDoorbell *d = g_new0(RiodDoorbell, 1);

    d->refs = 1;
    d->session = riod_session_ref(s);
    QTAILQ_INSERT_TAIL(&s->doorbells, d, node);
    return d;
}

static void doorbell_load(RiodDoorbell *d, const RioMessage *m, size_t cost)
{
    uint32_t n = m->doorbell.count;
    RioBytes bytes = rio_segment_bytes(m);
    RiodLoad *load = g_malloc(sizeof(*load) + n * sizeof(RiodPiece) +
                              bytes.len);
    uint8_t *data = (uint8_t *)&load->pieces[n];

    memcpy(data, bytes.data, bytes.len);
    for (uint32_t i = 0; i < n; i++) {
        RioSegment seg = rio_segment_get(m, i);

        load->pieces[i] = (RiodPiece) {
            .addr = seg.address,
            .data = data,
            .len = seg.length,
            .entries = !seg.step,
        };
        data += seg.length;
    }
    load->num_pieces = n;
    load->next = d->loads;
    d->loads = load;
    d->cost += cost;
    d->session->pieces_cost += cost;
}

/*
 * What @m takes of RIOD_MAX_PIECES.  All pieces are looked through for each
 * that is wanted, so a crumb costs more than its bytes.
 */
static size_t cost_of(const RioMessage *m)
{
    return sizeof(RiodLoad) + m->doorbell.count * PIECE_COST +
           m->doorbell.total;
}

/* Room for @cost more, at the expense of what is older than @d */
static bool make_room(RiodDoorbell *d, size_t cost)
{
    RiodSession *s = d->session;
    RiodDoorbell *old;

    QTAILQ_FOREACH(old, &s->doorbells, node) {
        if (old == d || s->pieces_cost + cost <= RIOD_MAX_PIECES) {
            break;
        }
        doorbell_empty(old);
    }
    return s->pieces_cost + cost <= RIOD_MAX_PIECES;
}

RiodDoorbell *riod_doorbell_receive(RiodSession *s, const RioMessage *m)
{
    RiodDoorbell *d = s->filling ?: doorbell_new(s);
    size_t cost = cost_of(m);

    if (m->doorbell.count && make_room(d, cost)) {
        doorbell_load(d, m, cost);
    }
    s->filling = m->flags & RIO_FLAG_MORE ? d : NULL;
    return s->filling ? NULL : d;
}

void riod_doorbells_clear(RiodSession *s)
{
    RiodDoorbell *d, *filling = s->filling;

    QTAILQ_FOREACH(d, &s->doorbells, node) {
        doorbell_empty(d);
    }
    s->filling = NULL;
    riod_doorbell_unref(filling);
}

/* ---- giving out ------------------------------------------------------- */

/* Cut [@at, @at + @len) out of @p, which holds it */
static void piece_cut(RiodDoorbell *d, RiodPiece *p, uint64_t at, uint32_t len)
{
    uint32_t before = at - p->addr;
    uint32_t after = p->len - before - len;

    if (before && after) {
        RiodLoad *rest = g_malloc(sizeof(*rest) + sizeof(*p));

        rest->num_pieces = 1;
        rest->pieces[0] = (RiodPiece) {
            .addr = at + len,
            .data = p->data + before + len,
            .len = after,
            .entries = p->entries,
        };
        rest->next = d->loads;
        d->loads = rest;
    }
    if (before) {
        p->len = before;
    } else {
        p->addr += len;
        p->data += len;
        p->len = after;
    }
}

static RiodPiece *doorbell_find(RiodDoorbell *d, uint64_t addr, uint32_t len)
{
    for (RiodLoad *load = d->loads; load; load = load->next) {
        for (unsigned i = 0; i < load->num_pieces; i++) {
            RiodPiece *p = &load->pieces[i];

            if (p->len && p->addr < addr + len && addr < p->addr + p->len) {
                return p;
            }
        }
    }
    return NULL;
}

/*
 * Copy what one piece has of @want.  Returns: false when there is none; else
 * *@before and *@after are what is left of it, or have no length
 */
static bool take_piece(RiodDoorbell *d, const RiodGap *want, RiodGap *before,
                       RiodGap *after, RiodDoorbell **seen)
{
    RiodPiece *p = NULL;
    uint64_t from, to;

    for (; d; d = QTAILQ_NEXT(d, node)) {
        p = doorbell_find(d, want->addr, want->len);
        if (p) {
            break;
        }
    }
    if (!p) {
        return false;
    }
    from = MAX(want->addr, p->addr);
    to = MIN(want->addr + want->len, p->addr + p->len);
    memcpy(want->to + (from - want->addr), p->data + (from - p->addr),
           to - from);
    d->session->stats.doorbell_used += to - from;
    if (p->entries) {
        *seen = d;
    }
    piece_cut(d, p, from, to - from);
    *before = (RiodGap) { want->addr, want->to, from - want->addr };
    *after = (RiodGap) { to, want->to + (to - want->addr),
                         want->addr + want->len - to };
    return true;
}

/*
 * Not by recursion: the client says in how many pieces memory comes, and a
 * task's stack is small.
 */
void riod_doorbell_take(RiodDoorbell *d, const RiodGap *want, GArray *gaps,
                        RiodDoorbell **seen)
{
    g_autoptr(GArray) later = NULL;
    RiodGap gap = *want;

    while (true) {
        RiodGap before = { }, after = { };

        if (!take_piece(d, &gap, &before, &after, seen)) {
            g_array_append_val(gaps, gap);
        }
        if (after.len) {
            later = later ?: g_array_new(false, false, sizeof(RiodGap));
            g_array_append_val(later, after);
        }
        if (before.len) {
            gap = before;
        } else if (later && later->len) {
            gap = g_array_index(later, RiodGap, later->len - 1);
            g_array_set_size(later, later->len - 1);
        } else {
            return;
        }
    }
}
