/*
 * remote-io-server: character devices of modules
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Chardevs live in the main loop, modules in their home.  Between the two
 * stand two bounded rings per connection of a module to a chardev; whoever
 * puts something in tells the other side, and a full ring holds the writer
 * up, so that nothing is lost and nothing waits.
 */

#include "qemu/osdep.h"
#include "chardev/char-fe.h"
#include "chardev/char-serial.h"
#include "qapi/error.h"
#include "qemu/main-loop.h"

#include "internal.h"
#include "ring.h"

#define RIOD_CHAR_RING 4096u
#define RIOD_CHAR_EVENTS 16u

/* What happened at a place in the stream of received bytes */
typedef struct RiodCharMark {
    uint64_t at;                /* bytes that were received before */
    RioCharEvent event;
} RiodCharMark;

struct RioChar {
    RiodInstance *inst;         /* constant */
    const RioCharOps *ops;      /* constant */

    /* Main loop only */
    CharBackend fe;
    guint watch;                /* waits for the chardev to take more */
    QEMUBH *bh;                 /* the home wants something */
    bool running;

    QemuMutex lock;             /* all that follows */
    RiodRing in;
    uint64_t in_taken;          /* bytes delivered to the module */
    RiodCharMark marks[RIOD_CHAR_EVENTS];
    unsigned num_marks;
    bool in_full;               /* the chardev was refused bytes */
    bool posted;                /* @deliver is on its way */
    RiodRing out;
    uint32_t out_fenced;        /* of these, not committed */
    uint64_t out_gone;          /* bytes that the chardev took ... */
    uint64_t out_saved;         /* ... when @out was saved last */
    uint64_t *out_live;         /* a copy that outlives us, or NULL */
    bool out_full;              /* the module was refused bytes */
    bool tell_writable;
    RioCharLine line;
    bool set_line;
    unsigned outputs;
    bool set_modem;
    bool break_on;
    bool set_break;
    bool frozen;                /* the instance is stopped */
    unsigned freezing;          /* turns of the main loop until it is known */
    unsigned modem;             /* lines, as they were last read */
    bool has_modem;
    bool get_modem;

    RiodTask deliver;           /* owned by the home's queue while @posted */
    RiodTask at_rest;           /* the same while @freezing reached 0 */
    bool asked;                 /* home only: whether it has come to rest */
    bool ask_again;
    QLIST_ENTRY(RioChar) node;  /* inst->chars */
};

/* ------------------------------------------------ chardev to module */

static void riod_char_post_locked(RioChar *chr)
{
    if (!chr->posted) {
        chr->posted = true;
        riod_home_post(chr->inst->home, &chr->deliver);
    }
}

/* Take one event out whose place in the stream was reached */
static bool riod_char_next_event_locked(RioChar *chr, RioCharEvent *event)
{
    if (!chr->num_marks || chr->marks[0].at > chr->in_taken) {
        return false;
    }
    *event = chr->marks[0].event;
    chr->num_marks--;
    memmove(&chr->marks[0], &chr->marks[1],
            chr->num_marks * sizeof(chr->marks[0]));
    return true;
}

/* Bytes up to the next event, as far as @room goes */
static size_t riod_char_next_bytes_locked(RioChar *chr, uint8_t *buf,
                                          size_t room)
{
    size_t n = MIN(room, chr->in.used);

    if (chr->num_marks) {
        n = MIN(n, chr->marks[0].at - chr->in_taken);
    }
    if (n) {
        riod_ring_peek(&chr->in, buf, n);
        riod_ring_drop(&chr->in, n);
        chr->in_taken += n;
        if (chr->in_full) {
            qemu_bh_schedule(chr->bh);
        }
    }
    return n;
}

/* Home.  Returns: false when there is nothing (more) the module can take */
static bool riod_char_deliver_one(RioChar *chr)
{
    RiodInstance *inst = chr->inst;
    uint8_t buf[256];
    RioCharEvent event;
    size_t room = MIN(chr->ops->room(&inst->dev, inst->state), sizeof(buf));
    size_t n = 0;
    bool is_event, writable;

    WITH_QEMU_LOCK_GUARD(&chr->lock) {
        writable = chr->tell_writable;
        chr->tell_writable = false;
        is_event = riod_char_next_event_locked(chr, &event);
        if (!is_event) {
            n = riod_char_next_bytes_locked(chr, buf, room);
        }
    }
    if (writable && chr->ops->writable) {
        chr->ops->writable(&inst->dev, inst->state);
    }
    if (is_event && chr->ops->event) {
        chr->ops->event(&inst->dev, inst->state, event);
    }
    if (n) {
        chr->ops->receive(&inst->dev, inst->state, buf, n);
    }
    return writable || is_event || n;
}

/* Home */
static void riod_char_deliver(RiodTask *task)
{
    RioChar *chr = container_of(task, RioChar, deliver);

    WITH_QEMU_LOCK_GUARD(&chr->lock) {
        chr->posted = false;
    }
    riod_journal_touch(chr->inst);
    while (!chr->inst->closed && !chr->inst->stops &&
           riod_char_deliver_one(chr)) {
        /* until the module has no room or there is nothing left */
    }
    riod_home_flush(chr->inst->home);
}

/* Main loop */
static int riod_char_can_read(void *opaque)
{
    RioChar *chr = opaque;

    QEMU_LOCK_GUARD(&chr->lock);
    chr->in_full = chr->frozen || !riod_ring_room(&chr->in);
    return chr->in_full ? 0 : riod_ring_room(&chr->in);
}

/* Main loop */
static void riod_char_read(void *opaque, const uint8_t *buf, int size)
{
    RioChar *chr = opaque;

    QEMU_LOCK_GUARD(&chr->lock);
    riod_ring_push(&chr->in, buf, size);
    riod_char_post_locked(chr);
}

static void riod_char_mark_locked(RioChar *chr, RioCharEvent event)
{
    if (chr->num_marks == RIOD_CHAR_EVENTS) {
        /* A peer that comes and goes faster than the module looks */
        chr->num_marks--;
    }
    chr->marks[chr->num_marks++] = (RiodCharMark) {
        .at = chr->in_taken + chr->in.used,
        .event = event,
    };
    riod_char_post_locked(chr);
}

/* Main loop */
static void riod_char_event(void *opaque, QEMUChrEvent event)
{
    RioChar *chr = opaque;

    QEMU_LOCK_GUARD(&chr->lock);
    switch (event) {
    case CHR_EVENT_OPENED:
        chr->get_modem = true;
        qemu_bh_schedule(chr->bh);
        riod_char_mark_locked(chr, RIO_CHAR_OPENED);
        break;
    case CHR_EVENT_CLOSED:
        riod_char_mark_locked(chr, RIO_CHAR_CLOSED);
        break;
    case CHR_EVENT_BREAK:
        riod_char_mark_locked(chr, RIO_CHAR_BREAK);
        break;
    default:
        break;
    }
}

/* ------------------------------------------------ module to chardev */

static void riod_char_drain(RioChar *chr);

static gboolean riod_char_watch(void *unused, GIOCondition cond, void *opaque)
{
    RioChar *chr = opaque;

    chr->watch = 0;
    riod_char_drain(chr);
    return G_SOURCE_REMOVE;
}

/* Drop @n bytes from the front, they are with the chardev */
static void riod_char_written(RioChar *chr, size_t n)
{
    QEMU_LOCK_GUARD(&chr->lock);
    riod_ring_drop(&chr->out, n);
    chr->out_gone += n;
    if (chr->out_live) {
        qatomic_set(chr->out_live, chr->out_gone);
    }
    if (chr->out_full) {
        chr->out_full = false;
        chr->tell_writable = true;
        riod_char_post_locked(chr);
    } else if (qatomic_read(&chr->inst->journal)) {
        riod_char_post_locked(chr);     /* the journal forgets them */
    }
}

/*
 * Main loop.  Give the chardev what it takes.  One that takes nothing and
 * cannot be waited for has nobody at its other end: the bytes are lost, as
 * on a wire without a peer.
 */
static void riod_char_drain(RioChar *chr)
{
    uint8_t buf[1024];
    uint32_t n;
    int done;

    while (!chr->watch) {
        WITH_QEMU_LOCK_GUARD(&chr->lock) {
            n = chr->frozen ? 0 :
                riod_ring_peek(&chr->out, buf,
                               MIN(sizeof(buf), chr->out.used -
                                                chr->out_fenced));
        }
        if (!n) {
            return;
        }
        done = qemu_chr_fe_write(&chr->fe, buf, n);
        if (done <= 0) {
            chr->watch = qemu_chr_fe_add_watch(&chr->fe, G_IO_OUT | G_IO_HUP,
                                               riod_char_watch, chr);
            done = chr->watch ? 0 : n;
        }
        if (done) {
            riod_char_written(chr, done);
        }
    }
}

/* Home */
size_t riod_char_write(RioChar *chr, const uint8_t *buf, size_t len)
{
    size_t n;

    QEMU_LOCK_GUARD(&chr->lock);
    n = riod_ring_push(&chr->out, buf, MIN(len, RIOD_CHAR_RING));
    if (n < len) {
        chr->out_full = true;
    }
    if (n && chr->inst->journal) {
        chr->out_fenced += n;
    } else if (n) {
        qemu_bh_schedule(chr->bh);
    }
    return n;
}

void riod_chars_follow(RiodInstance *inst, uint64_t *live, unsigned n)
{
    RioChar *chr;

    QLIST_FOREACH(chr, &inst->chars, node) {
        QEMU_LOCK_GUARD(&chr->lock);
        chr->out_live = live && n ? live : NULL;
        if (chr->out_live) {
            qatomic_set(chr->out_live, chr->out_gone);
            live++;
            n--;
        }
    }
}

unsigned riod_chars_saved(RiodInstance *inst, uint64_t *saved, unsigned n)
{
    unsigned i = 0;
    RioChar *chr;

    QLIST_FOREACH(chr, &inst->chars, node) {
        QEMU_LOCK_GUARD(&chr->lock);
        if (i < n) {
            saved[i++] = chr->out_saved;
        }
    }
    return i;
}

void riod_chars_skip(RiodInstance *inst, const uint64_t *saved,
                     const uint64_t *live, unsigned n)
{
    RioChar *chr;
    uint64_t gone;

    QLIST_FOREACH(chr, &inst->chars, node) {
        QEMU_LOCK_GUARD(&chr->lock);
        if (!n--) {
            return;
        }
        gone = *live - *saved;
        if (gone <= chr->out.used) {
            riod_ring_drop(&chr->out, gone);
            chr->out_gone = *live;
        }
        live++;
        saved++;
    }
}

void riod_chars_commit(RiodInstance *inst)
{
    RioChar *chr;

    QLIST_FOREACH(chr, &inst->chars, node) {
        QEMU_LOCK_GUARD(&chr->lock);
        if (chr->out_fenced) {
            chr->out_fenced = 0;
            qemu_bh_schedule(chr->bh);
        }
    }
}

/* ------------------------------------------------------------- line */

static void riod_char_apply_line(RioChar *chr, const RioCharLine *line)
{
    QEMUSerialSetParams params = {
        .speed = line->speed,
        .parity = line->parity,
        .data_bits = line->data_bits,
        .stop_bits = line->stop_bits,
    };

    qemu_chr_fe_ioctl(&chr->fe, CHR_IOCTL_SERIAL_SET_PARAMS, &params);
}

static const struct {
    int tiocm;
    unsigned line;
} riod_modem_lines[] = {
    { CHR_TIOCM_CTS, RIO_CHAR_CTS }, { CHR_TIOCM_CAR, RIO_CHAR_DCD },
    { CHR_TIOCM_DSR, RIO_CHAR_DSR }, { CHR_TIOCM_RI, RIO_CHAR_RI },
    { CHR_TIOCM_DTR, RIO_CHAR_DTR }, { CHR_TIOCM_RTS, RIO_CHAR_RTS },
};

static void riod_char_apply_modem(RioChar *chr, unsigned outputs)
{
    int flags = 0;

    if (qemu_chr_fe_ioctl(&chr->fe, CHR_IOCTL_SERIAL_GET_TIOCM, &flags)) {
        return;
    }
    flags &= ~(CHR_TIOCM_DTR | CHR_TIOCM_RTS);
    flags |= outputs & RIO_CHAR_DTR ? CHR_TIOCM_DTR : 0;
    flags |= outputs & RIO_CHAR_RTS ? CHR_TIOCM_RTS : 0;
    qemu_chr_fe_ioctl(&chr->fe, CHR_IOCTL_SERIAL_SET_TIOCM, &flags);
}

static void riod_char_read_modem(RioChar *chr)
{
    unsigned lines = 0;
    int flags = 0;
    bool has;

    has = !qemu_chr_fe_ioctl(&chr->fe, CHR_IOCTL_SERIAL_GET_TIOCM, &flags);
    for (unsigned i = 0; has && i < ARRAY_SIZE(riod_modem_lines); i++) {
        if (flags & riod_modem_lines[i].tiocm) {
            lines |= riod_modem_lines[i].line;
        }
    }
    QEMU_LOCK_GUARD(&chr->lock);
    chr->has_modem = has;
    chr->modem = lines;
}

/*
 * Main loop.  At the next turn nothing is on its way any more of what the
 * chardev was allowed to give in this one.
 */
static void riod_char_freeze_step_locked(RioChar *chr)
{
    if (!chr->freezing) {
        return;
    }
    if (--chr->freezing) {
        qemu_bh_schedule(chr->bh);
    } else {
        riod_home_post(chr->inst->home, &chr->at_rest);
    }
}

/* Main loop: do what the home asked for */
static void riod_char_bh(void *opaque)
{
    RioChar *chr = opaque;
    RioCharLine line;
    unsigned outputs;
    int on;
    bool set_line, set_modem, set_break, get_modem, accept;

    WITH_QEMU_LOCK_GUARD(&chr->lock) {
        line = chr->line;
        outputs = chr->outputs;
        on = chr->break_on;
        set_line = chr->set_line;
        set_modem = chr->set_modem;
        set_break = chr->set_break;
        get_modem = chr->get_modem || set_modem;
        accept = chr->in_full && !chr->frozen && riod_ring_room(&chr->in);
        riod_char_freeze_step_locked(chr);
        chr->set_line = chr->set_modem = chr->set_break = false;
        chr->get_modem = false;
    }
    if (!chr->running) {
        return;
    }
    if (set_line) {
        riod_char_apply_line(chr, &line);
    }
    if (set_modem) {
        riod_char_apply_modem(chr, outputs);
    }
    if (get_modem) {
        riod_char_read_modem(chr);
    }
    riod_char_drain(chr);
    if (set_break) {
        qemu_chr_fe_ioctl(&chr->fe, CHR_IOCTL_SERIAL_SET_BREAK, &on);
    }
    if (accept) {
        qemu_chr_fe_accept_input(&chr->fe);
    }
}

/* Home */
void riod_char_set_line(RioChar *chr, const RioCharLine *line)
{
    QEMU_LOCK_GUARD(&chr->lock);
    chr->line = *line;
    chr->set_line = true;
    qemu_bh_schedule(chr->bh);
}

/* Home */
void riod_char_set_modem(RioChar *chr, unsigned outputs)
{
    QEMU_LOCK_GUARD(&chr->lock);
    chr->outputs = outputs;
    chr->set_modem = true;
    qemu_bh_schedule(chr->bh);
}

/* Home.  The answer is as old as the last call, which asked for a fresh one */
bool riod_char_get_modem(RioChar *chr, unsigned *lines)
{
    QEMU_LOCK_GUARD(&chr->lock);
    if (!chr->has_modem) {
        *lines = RIO_CHAR_CTS | RIO_CHAR_DSR | RIO_CHAR_DCD;
        return false;
    }
    *lines = chr->modem;
    chr->get_modem = true;
    qemu_bh_schedule(chr->bh);
    return true;
}

/* Home */
void riod_char_break(RioChar *chr, bool on)
{
    QEMU_LOCK_GUARD(&chr->lock);
    chr->break_on = on;
    chr->set_break = true;
    qemu_bh_schedule(chr->bh);
}

/* Home */
void riod_char_room_changed(RioChar *chr)
{
    QEMU_LOCK_GUARD(&chr->lock);
    if (chr->in.used || chr->num_marks) {
        riod_char_post_locked(chr);
    }
}

/* -------------------------------------------------- stop, save, load */

/* Turns of the main loop from the wish to stop until nothing moves */
#define RIOD_CHAR_TURNS 2

static void riod_char_ask_locked(RioChar *chr)
{
    chr->freezing = RIOD_CHAR_TURNS;
    qemu_bh_schedule(chr->bh);
}

/* Home.  The answer may be one to an earlier question */
static void riod_char_at_rest(RiodTask *task)
{
    RioChar *chr = container_of(task, RioChar, at_rest);

    if (chr->ask_again) {
        chr->ask_again = false;
        QEMU_LOCK_GUARD(&chr->lock);
        riod_char_ask_locked(chr);
        return;
    }
    chr->asked = false;
    chr->inst->thawed_chars--;
    riod_stop_look(chr->inst);
}

void riod_chars_freeze(RiodInstance *inst)
{
    RioChar *chr;

    QLIST_FOREACH(chr, &inst->chars, node) {
        QEMU_LOCK_GUARD(&chr->lock);
        chr->frozen = true;
        chr->ask_again = chr->asked;
        if (!chr->asked) {
            chr->asked = true;
            inst->thawed_chars++;
            riod_char_ask_locked(chr);
        }
    }
}

void riod_chars_thaw(RiodInstance *inst)
{
    RioChar *chr;

    QLIST_FOREACH(chr, &inst->chars, node) {
        QEMU_LOCK_GUARD(&chr->lock);
        chr->frozen = false;
        qemu_bh_schedule(chr->bh);
        riod_char_post_locked(chr);
    }
}

void riod_chars_forget(RiodInstance *inst)
{
    RioChar *chr;

    QLIST_FOREACH(chr, &inst->chars, node) {
        QEMU_LOCK_GUARD(&chr->lock);
        riod_ring_drop(&chr->in, chr->in.used);
        riod_ring_drop(&chr->out, chr->out.used);
        chr->num_marks = 0;
    }
}

/* Of a chardev: bytes in, events, bytes out, each with its number before it */
#define RIOD_CHAR_EVENT 5u
#define RIOD_CHAR_SAVED (3 * 4 + 2 * RIOD_CHAR_RING + \
                         RIOD_CHAR_EVENTS * RIOD_CHAR_EVENT)

size_t riod_chars_save_max(const RiodInstance *inst)
{
    size_t n = 4;
    RioChar *chr;

    QLIST_FOREACH(chr, &inst->chars, node) {
        n += RIOD_CHAR_SAVED;
    }
    return n;
}

static uint8_t *riod_char_save_ring(const RiodRing *ring, uint8_t *at)
{
    stl_le_p(at, ring->used);
    return at + 4 + riod_ring_peek(ring, at + 4, ring->used);
}

static uint8_t *riod_char_save(RioChar *chr, uint8_t *at)
{
    QEMU_LOCK_GUARD(&chr->lock);
    at = riod_char_save_ring(&chr->in, at);
    stl_le_p(at, chr->num_marks);
    at += 4;
    for (unsigned i = 0; i < chr->num_marks; i++) {
        stl_le_p(at, chr->marks[i].at - chr->in_taken);
        at[4] = chr->marks[i].event;
        at += RIOD_CHAR_EVENT;
    }
    chr->out_saved = chr->out_gone;
    return riod_char_save_ring(&chr->out, at);
}

uint8_t *riod_chars_save(RiodInstance *inst, uint8_t *at)
{
    uint8_t *number = at;
    unsigned n = 0;
    RioChar *chr;

    at += 4;
    QLIST_FOREACH(chr, &inst->chars, node) {
        at = riod_char_save(chr, at);
        n++;
    }
    stl_le_p(number, n);
    return at;
}

/* Take a number and so many times @size bytes off the front of @from */
static bool riod_char_part(RioBytes *from, uint32_t most, uint32_t size,
                           RioBytes *part)
{
    uint32_t n = from->len < 4 ? UINT32_MAX : ldl_le_p(from->data);

    if (n > most || (from->len - 4) / size < n) {
        return false;
    }
    *part = (RioBytes) { from->data + 4, n * size };
    from->data += 4 + part->len;
    from->len -= 4 + part->len;
    return true;
}

static const char *riod_char_load(RioChar *chr, RioBytes *from, bool apply)
{
    RioBytes in, marks, out;

    if (!riod_char_part(from, RIOD_CHAR_RING, 1, &in) ||
        !riod_char_part(from, RIOD_CHAR_EVENTS, RIOD_CHAR_EVENT, &marks) ||
        !riod_char_part(from, RIOD_CHAR_RING, 1, &out)) {
        return "it ends in the characters, or has too many";
    }
    for (uint32_t i = 0; i < marks.len; i += RIOD_CHAR_EVENT) {
        if (ldl_le_p(marks.data + i) > in.len ||
            (i && ldl_le_p(marks.data + i) <
                  ldl_le_p(marks.data + i - RIOD_CHAR_EVENT)) ||
            marks.data[i + 4] > RIO_CHAR_BREAK) {
            return "it has an event of the character device that is none";
        }
    }
    if (!apply) {
        return NULL;
    }
    QEMU_LOCK_GUARD(&chr->lock);
    /* What is saved is older than what is there, which follows it */
    riod_ring_prepend(&chr->in, in.data, in.len);
    riod_ring_prepend(&chr->out, out.data, out.len);
    chr->num_marks = 0;         /* those here are of the chardev's opening */
    for (uint32_t i = 0; i < marks.len; i += RIOD_CHAR_EVENT) {
        chr->marks[chr->num_marks++] = (RiodCharMark) {
            .at = chr->in_taken + ldl_le_p(marks.data + i),
            .event = marks.data[i + 4],
        };
    }
    chr->tell_writable = true;  /* the module may have been refused bytes */
    return NULL;
}

const char *riod_chars_load(RiodInstance *inst, RioBytes *from, bool apply)
{
    RioChar *chr;
    uint32_t n = 0;

    QLIST_FOREACH(chr, &inst->chars, node) {
        n++;
    }
    if (from->len < 4 || ldl_le_p(from->data) != n) {
        return "it has another number of character devices";
    }
    from->data += 4;
    from->len -= 4;
    QLIST_FOREACH(chr, &inst->chars, node) {
        const char *wrong = riod_char_load(chr, from, apply);

        if (wrong) {
            return wrong;
        }
    }
    return NULL;
}

/* ------------------------------------------------------------- life */

/* Home, while the main loop waits for open */
RioChar *riod_char_open(RioDevice *dev, const char *chardev,
                        const RioCharOps *ops)
{
    RiodInstance *inst = riod_instance(dev);
    Chardev *found = chardev ? qemu_chr_find(chardev) : NULL;
    g_autofree RioChar *chr = g_new0(RioChar, 1);
    Error *err = NULL;

    if (!found) {
        rio_fail(dev, "chardev '%s' does not exist; "
                 "--chardev must come before --module",
                 chardev ? chardev : "");
        return NULL;
    }
    if (!qemu_chr_fe_init(&chr->fe, found, &err)) {
        rio_fail(dev, "chardev '%s' cannot be used: %s", chardev,
                 error_get_pretty(err));
        error_free(err);
        return NULL;
    }
    chr->inst = inst;
    chr->ops = ops;
    chr->deliver.run = riod_char_deliver;
    chr->at_rest.run = riod_char_at_rest;
    chr->bh = qemu_bh_new(riod_char_bh, chr);
    qemu_mutex_init(&chr->lock);
    riod_ring_init(&chr->in, RIOD_CHAR_RING);
    riod_ring_init(&chr->out, RIOD_CHAR_RING);
    QLIST_INSERT_HEAD(&inst->chars, chr, node);
    return g_steal_pointer(&chr);
}

void riod_chars_start(RiodInstance *inst)
{
    RioChar *chr;

    QLIST_FOREACH(chr, &inst->chars, node) {
        chr->running = true;
        qemu_chr_fe_set_handlers(&chr->fe, riod_char_can_read,
                                 riod_char_read, riod_char_event, NULL, chr,
                                 NULL, true);
        qemu_bh_schedule(chr->bh);
    }
}

void riod_chars_stop(RiodInstance *inst)
{
    RioChar *chr;

    QLIST_FOREACH(chr, &inst->chars, node) {
        if (chr->running) {
            WITH_QEMU_LOCK_GUARD(&chr->lock) {
                chr->frozen = false;    /* its last words */
            }
            riod_char_drain(chr);
            qemu_chr_fe_set_handlers(&chr->fe, NULL, NULL, NULL, NULL, NULL,
                                     NULL, true);
            chr->running = false;
        }
        if (chr->watch) {
            g_source_remove(chr->watch);
            chr->watch = 0;
        }
    }
}

void riod_chars_free(RiodInstance *inst)
{
    RioChar *chr, *next;

    QLIST_FOREACH_SAFE(chr, &inst->chars, node, next) {
        QLIST_REMOVE(chr, node);
        qemu_chr_fe_deinit(&chr->fe, false);
        qemu_bh_delete(chr->bh);
        riod_ring_free(&chr->in);
        riod_ring_free(&chr->out);
        qemu_mutex_destroy(&chr->lock);
        g_free(chr);
    }
}
