/*
 * remote-io-server: the types of fault filters
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What each type takes, and what it makes of an event that matches.  The
 * chain itself, and what becomes of its decisions, is elsewhere.
 */

#include "qemu/osdep.h"
#include <math.h>
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "qemu/timer.h"
#include "qobject/qdict.h"
#include "filter.h"

#define ARRIVING (RIOD_KIND_ACCESS | RIOD_KIND_DMA | RIOD_KIND_IRQ | \
                  RIOD_KIND_RESET)

#define MAX_MS (24 * 60 * 60 * 1000.0)
#define NS_PER_SECOND INT64_C(1000000000)

/* ------------------------------------------------------------ matching */

static const struct {
    unsigned kind;
    const char *name;
} kind_names[] = {
    { RIOD_KIND_READ, "read" },
    { RIOD_KIND_WRITE, "write" },
    { RIOD_KIND_DMA_READ, "dma-read" },
    { RIOD_KIND_DMA_WRITE, "dma-write" },
    { RIOD_KIND_LINE, "line" },
    { RIOD_KIND_MESSAGE, "message" },
    { RIOD_KIND_RESET, "reset" },
    /* Shorthands: behind the single ones, so that these name a kind */
    { RIOD_KIND_DMA, "dma" },
    { RIOD_KIND_IRQ, "irq" },
};

const char *riod_filter_kind_name(unsigned kind)
{
    for (unsigned i = 0; i < ARRAY_SIZE(kind_names); i++) {
        if (kind_names[i].kind & kind) {
            return kind_names[i].name;
        }
    }
    return "receive";
}

static unsigned kind_of(const char *name, unsigned allowed)
{
    for (unsigned i = 0; i < ARRAY_SIZE(kind_names); i++) {
        if (g_str_equal(kind_names[i].name, name)) {
            return kind_names[i].kind & allowed;
        }
    }
    return 0;
}

static void bad_kind(const char *word, unsigned allowed, Error **errp)
{
    g_autoptr(GString) known = g_string_new(NULL);

    for (unsigned i = 0; i < ARRAY_SIZE(kind_names); i++) {
        if (kind_names[i].kind & allowed) {
            g_string_append_printf(known, "%s%s", known->len ? ", " : "",
                                   kind_names[i].name);
        }
    }
    error_setg(errp, "kind '%s' is none that it can act upon: %s, joined "
               "with '+'", word, known->str);
}

bool riod_filter_parse_kinds(const char *text, unsigned allowed,
                             unsigned *kinds, Error **errp)
{
    g_auto(GStrv) words = g_strsplit(text, "+", -1);

    *kinds = 0;
    for (char **word = words; *word; word++) {
        unsigned kind = kind_of(*word, allowed);

        if (!kind) {
            bad_kind(*word, allowed, errp);
            return false;
        }
        *kinds |= kind;
    }
    if (!*kinds) {
        bad_kind("", allowed, errp);        /* no word at all */
    }
    return *kinds;
}

/* splitmix64: small, and the same everywhere for a seed */
static uint64_t next_random(RiodFilter *f)
{
    uint64_t z = f->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static bool in_range(const RiodMatch *m, const RiodEvent *e)
{
    if (!m->any_region && e->region != m->region) {
        return false;
    }
    return e->offset + MAX(e->size, 1) > m->offset &&
           (!m->length || (e->offset < m->offset ||
                           e->offset - m->offset < m->length));
}

bool riod_filter_matches(RiodFilter *f, const RiodEvent *event)
{
    const RiodMatch *m = &f->match;
    uint64_t number;

    if (!(m->kinds & event->kind) || !in_range(m, event)) {
        return false;
    }
    number = f->seen + 1;
    qatomic_set(&f->seen, number);
    if (number < m->from || (number - m->from) % m->every ||
        (m->count && f->acted >= m->count)) {
        return false;
    }
    if (m->probability < 1 &&
        ldexp(next_random(f) >> 11, -53) >= m->probability) {
        return false;
    }
    qatomic_set(&f->acted, f->acted + 1);
    return true;
}

/* ------------------------------------------------------- their parameters */

static bool get_ms(const QDict *args, const char *name, int64_t *ns,
                   Error **errp)
{
    const char *text = qdict_get_try_str(args, name);
    double ms = 0;

    if (text && (qemu_strtod_finite(text, NULL, &ms) || ms < 0 ||
                 ms > MAX_MS)) {
        error_setg(errp, "%s is a number of milliseconds, as in 5 or 0.25, "
                   "not '%s'", name, text);
        return false;
    }
    *ns = ms * SCALE_MS;
    return true;
}

/* ---- delay */

static bool delay_setup(RiodFilter *f, const QDict *args, Error **errp)
{
    if (!get_ms(args, "ms", &f->ns, errp) ||
        !get_ms(args, "jitter", &f->jitter_ns, errp)) {
        return false;
    }
    if (!f->ns && !f->jitter_ns) {
        error_setg(errp, "it delays by nothing: give it ms=, or jitter=");
        return false;
    }
    return true;
}

static void delay_act(RiodFilter *f, RiodFate *fate)
{
    fate->delay_ns += f->ns;
    if (f->jitter_ns) {
        fate->delay_ns += next_random(f) % f->jitter_ns;
    }
}

/* ---- error */

static bool parse_status(const char *text, uint8_t *status)
{
    static const struct {
        const char *name;
        uint8_t value;
    } names[] = {
#define X(name, value, text) { #name, value },
        RIO_STATUSES(X)
#undef X
    };

    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        g_autofree char *name = g_ascii_strdown(names[i].name, -1);

        if (g_str_equal(g_strdelimit(name, "_", '-'), text)) {
            *status = names[i].value;
            return true;
        }
    }
    return false;
}

static bool error_setup(RiodFilter *f, const QDict *args, Error **errp)
{
    const char *status = qdict_get_try_str(args, "status");
    bool value = qdict_haskey(args, "value");

    f->value = value ? riod_filter_uint(args, "value", 0) : UINT64_MAX;
    if (!status) {
        return true;
    }
    if (value) {
        error_setg(errp, "value= and status= exclude each other: a reply "
                   "with a status has no value");
        return false;
    }
    if (!parse_status(status, &f->status) || f->status == RIO_STATUS_OK) {
        error_setg(errp, "status '%s' is none that refuses: io, timeout, "
                   "range, ... as the wire specification has them", status);
        return false;
    }
    return true;
}

static void error_act(RiodFilter *f, RiodFate *fate)
{
    fate->stopped = true;
    fate->value = f->value;
    fate->status = f->status;
}

/* ---- drop-irq */

static void drop_act(RiodFilter *f, RiodFate *fate)
{
    fate->stopped = true;
}

/* ---- cut */

static bool cut_setup(RiodFilter *f, const QDict *args, Error **errp)
{
    const char *reset = qdict_get_try_str(args, "reset");
    unsigned limits = qdict_haskey(args, "messages") +
                      qdict_haskey(args, "bytes") + qdict_haskey(args, "ms");

    f->messages = riod_filter_uint(args, "messages", 0);
    f->bytes = riod_filter_uint(args, "bytes", 0);
    f->ms = riod_filter_uint(args, "ms", 0);
    if (reset) {
        riod_params_bool(reset, &f->reset);
    }
    if (f->inst) {
        if (limits) {
            error_setg(errp, "messages=, bytes= and ms= are for "
                       "on=connection; in front of a module use from=");
        }
        return !limits;
    }
    if (limits != 1 || (!f->messages && !f->bytes && !f->ms)) {
        error_setg(errp, "say after what a connection is cut, with one of "
                   "messages=, bytes= and ms=");
        return false;
    }
    return true;
}

static void cut_act(RiodFilter *f, RiodFate *fate)
{
    fate->cut = true;
    fate->reset = f->reset;
}

/* ---- rate */

static bool rate_setup(RiodFilter *f, const QDict *args, Error **errp)
{
    f->per_second = riod_filter_uint(args, "accesses", 0);
    f->bytes_per_second = riod_filter_uint(args, "bytes", 0);
    if (!f->per_second && !f->bytes_per_second) {
        error_setg(errp, "it allows nothing: give it accesses=, or bytes=, "
                   "for each second");
        return false;
    }
    if (!f->inst && f->per_second) {
        error_setg(errp, "accesses= is for modules; connections have "
                   "bytes=");
        return false;
    }
    return true;
}

/* An event takes its time; the next one comes behind it */
static void rate_act(RiodFilter *f, RiodFate *fate)
{
    bool bytes = fate->event.kind & (RIOD_KIND_DMA | RIOD_KIND_RECEIVE);
    uint64_t rate = bytes ? f->bytes_per_second : f->per_second;
    int64_t now = get_clock();
    double cost;

    if (!rate) {
        return;
    }
    cost = (bytes ? fate->event.size : 1) * (double)NS_PER_SECOND / rate;
    f->free_at = MAX(f->free_at, now + fate->delay_ns) +
                 (int64_t)MIN(cost, MAX_MS * SCALE_MS);
    fate->delay_ns = f->free_at - now;
}

/* ---- log */

static bool log_setup(RiodFilter *f, const QDict *args, Error **errp)
{
    f->log = riod_filter_log_open(qdict_get_try_str(args, "file"), errp);
    return f->log;
}

/* ------------------------------------------------------------ the table */

static const RioParam delay_params[] = {
    { "ms", RIO_PARAM_STRING, false, NULL,
      "milliseconds by which it is late, as in 5 or 0.25" },
    { "jitter", RIO_PARAM_STRING, false, NULL,
      "up to so many more, at random" },
    { 0 }
};

static const RioParam error_params[] = {
    { "value", RIO_PARAM_UINT, false, NULL,
      "what reads give (default: all ones)" },
    { "status", RIO_PARAM_STRING, false, NULL,
      "refuse with this status of the wire instead" },
    { 0 }
};

static const RioParam cut_params[] = {
    { "messages", RIO_PARAM_UINT, false, NULL,
      "of a connection: when it has brought so many" },
    { "bytes", RIO_PARAM_UINT, false, NULL,
      "... or so many bytes, be it within a message" },
    { "ms", RIO_PARAM_UINT, false, NULL,
      "... or is so many milliseconds old" },
    { "reset", RIO_PARAM_BOOL, false, "off",
      "with a reset (RST) instead of an end (FIN)" },
    { 0 }
};

static const RioParam rate_params[] = {
    { "accesses", RIO_PARAM_UINT, false, NULL,
      "reads, writes and interrupts in a second" },
    { "bytes", RIO_PARAM_UINT, false, NULL,
      "bytes of DMA, or of a connection, in a second" },
    { 0 }
};

static const RioParam log_params[] = {
    { "file", RIO_PARAM_STRING, false, NULL,
      "write there, one JSON object a line (default: the log)" },
    { 0 }
};

const RiodFilterType riod_filter_types[] = {
    {
        .name = "delay",
        .summary = "make events late, and all that comes behind them",
        .kinds = ARRIVING,
        .usual = RIOD_KIND_ACCESS,
        .modules = true,
        .connections = true,
        .params = delay_params,
        .setup = delay_setup,
        .act = delay_act,
    }, {
        .name = "error",
        .summary = "let accesses fail without carrying them out",
        .kinds = RIOD_KIND_ACCESS | RIOD_KIND_DMA,
        .usual = RIOD_KIND_ACCESS,
        .modules = true,
        .params = error_params,
        .setup = error_setup,
        .act = error_act,
    }, {
        .name = "drop-irq",
        .summary = "lose interrupts before the session has them",
        .kinds = RIOD_KIND_IRQ,
        .usual = RIOD_KIND_IRQ,
        .modules = true,
        .act = drop_act,
    }, {
        .name = "cut",
        .summary = "end the connection",
        .kinds = RIOD_KIND_ACCESS | RIOD_KIND_DMA | RIOD_KIND_RESET,
        .usual = RIOD_KIND_ACCESS,
        .modules = true,
        .connections = true,
        .params = cut_params,
        .setup = cut_setup,
        .act = cut_act,
    }, {
        .name = "rate",
        .summary = "let only so much pass in a second",
        .kinds = RIOD_KIND_ACCESS | RIOD_KIND_DMA | RIOD_KIND_IRQ,
        .usual = RIOD_KIND_ACCESS | RIOD_KIND_DMA,
        .modules = true,
        .connections = true,
        .params = rate_params,
        .setup = rate_setup,
        .act = rate_act,
    }, {
        .name = "log",
        .summary = "record what passes, in a form that can be read back",
        .kinds = ARRIVING,
        .usual = ARRIVING,
        .modules = true,
        .connections = true,
        .params = log_params,
        .setup = log_setup,
        .done = riod_filter_log_event,
    },
    { 0 }
};
