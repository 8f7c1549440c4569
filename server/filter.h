/*
 * remote-io-server: fault filters, between clients and modules
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A filter stands in front of one module, or of connections, and makes a bad
 * device or a bad network of a good one: it delays, refuses, drops, cuts,
 * slows down or records what passes.  Several on the same module are a chain;
 * the one that was given first is the nearest to the client.
 *
 *   client -> connection filters -> session -> module filters -> module
 *
 * Rules that every filter keeps:
 *  - Module filters act behind the session, where a message has been received
 *    for good.  What they do is what a strange module would do, so the wire's
 *    promises (order, exactly once) hold.  Connection filters act below the
 *    session, as a network does.
 *  - Nobody waits: what is delayed lies in a queue of its session, and what
 *    comes behind it in that session stays behind it.
 *  - A decision depends on the filter's seed and on how many events it has
 *    seen, never on the clock: a run can be repeated.
 *  - Without filters an access costs one test of a pointer.
 *
 * Threads: a module's chain is read and changed in the home of the module;
 * that it is not empty may be asked by any thread.  Connection filters are
 * under a lock of their own, which is taken with connections' locks held.
 */

#ifndef SERVER_FILTER_H
#define SERVER_FILTER_H

#include "internal.h"

/* --------------------------------------------------------- what passes */

/* Kinds of events at a module; bits, so that kind= may name several */
enum {
    RIOD_KIND_READ      = 1 << 0,       /* of a register */
    RIOD_KIND_WRITE     = 1 << 1,
    RIOD_KIND_DMA_READ  = 1 << 2,       /* the module reads guest memory */
    RIOD_KIND_DMA_WRITE = 1 << 3,
    RIOD_KIND_LINE      = 1 << 4,       /* an interrupt line rises */
    RIOD_KIND_MESSAGE   = 1 << 5,       /* MSI or MSI-X */
    RIOD_KIND_RESET     = 1 << 6,
    RIOD_KIND_RECEIVE   = 1 << 7,       /* bytes from a connection */
};

#define RIOD_KIND_ACCESS (RIOD_KIND_READ | RIOD_KIND_WRITE)
#define RIOD_KIND_DMA (RIOD_KIND_DMA_READ | RIOD_KIND_DMA_WRITE)
#define RIOD_KIND_IRQ (RIOD_KIND_LINE | RIOD_KIND_MESSAGE)

/**
 * RiodEvent: something that passes the filters
 * @kind: one bit of the above
 * @region: of a read or write; of an interrupt, the line or vector
 * @offset: in the region; of DMA, the first address
 * @size: bytes
 * @value: of a write; of a line, its level; of a read, once it is carried out
 */
typedef struct RiodEvent {
    unsigned kind;
    unsigned region;
    uint64_t offset;
    uint64_t size;
    uint64_t value;
} RiodEvent;

/**
 * RiodFate: what the filters have decided about one event.  Zeroed = none
 * asked yet.
 * @judged: the chain was asked
 * @stopped: it goes no further: not carried out, or not raised
 * @status: RIO_STATUS_*, what the reply to a stopped access says ...
 * @value: ... or, when that is OK, what a stopped read gives
 * @delay_ns: for how long it is held
 * @cut, @reset: end the connection, with RST
 * @each: of a batch of writes, the fate of each; freed by the owner
 * @event: what it is about, for those who record it
 * @depth: filters that it has passed
 */
struct RiodFate {
    bool judged;
    bool stopped;
    bool cut;
    bool reset;
    uint8_t status;
    unsigned depth;
    int64_t delay_ns;
    uint64_t value;
    RiodFate *each;
    RiodEvent event;
};

/* --------------------------------------------------------- filters */

/**
 * RiodMatch: which events a filter acts upon
 *
 * Of those that fit @kinds, @region and the range of offsets it leaves out
 * @from - 1, then takes each @every-th, with @probability, at most @count.
 */
typedef struct RiodMatch {
    unsigned kinds;
    bool any_region;
    unsigned region;
    uint64_t offset, length;    /* length 0 = to the end */
    uint64_t from, every;       /* from 1 on */
    uint64_t count;             /* 0 = no end */
    double probability;
    uint64_t seed;
} RiodMatch;

typedef struct RiodFilterLog RiodFilterLog;

/**
 * RiodFilterType: one row of the table of types
 * @kinds: what kind= may name; @usual: without it.  0 = there is no kind=
 * @modules, @connections: what it may stand in front of
 * @params: its own parameters, ending with a NULL name
 * @setup: read them; false with *@errp.  They are of their declared types
 * @act: Optional.  An event that matches; called once for each
 * @done: Optional.  An event that matches was carried out, or stopped
 */
typedef struct RiodFilterType {
    const char *name;
    const char *summary;
    unsigned kinds, usual;
    bool modules, connections;
    const RioParam *params;
    bool (*setup)(RiodFilter *f, const QDict *args, Error **errp);
    void (*act)(RiodFilter *f, RiodFate *fate);
    void (*done)(RiodFilter *f, RiodSession *s, const RiodFate *fate);
} RiodFilterType;

struct RiodFilter {
    /* Constant */
    char *id;
    const RiodFilterType *type;
    RiodInstance *inst;         /* NULL = connections ... */
    char *client;               /* ... of this client; NULL = all */
    RiodMatch match;
    int64_t ns, jitter_ns;      /* delay */
    uint64_t value;             /* error */
    uint8_t status;
    uint64_t messages, bytes, ms;       /* cut */
    bool reset;
    uint64_t per_second;        /* rate: events ... */
    uint64_t bytes_per_second;  /* ... and bytes */
    RiodFilterLog *log;         /* log */

    /* Home of @inst, or the lock of connection filters; read by QMP */
    uint64_t seen;              /* events that fit */
    uint64_t acted;             /* ... and that it acted upon */
    uint64_t random;            /* state of the generator */
    int64_t free_at;            /* rate: when the next may pass */
    RiodFilter *next;           /* farther from the client */

    QTAILQ_ENTRY(RiodFilter) node;      /* main loop */
};

/* Parameter @name, which was checked; @fallback when it was not given */
uint64_t riod_filter_uint(const QDict *args, const char *name,
                          uint64_t fallback);

/* ------------------------------------------------------ filter-types.c */

/* The table; the last has a NULL name */
extern const RiodFilterType riod_filter_types[];

/* Is @event one that @f acts upon?  Counts it */
bool riod_filter_matches(RiodFilter *f, const RiodEvent *event);

/* "read+irq" to bits; false with *@errp.  @allowed: bits it may name */
bool riod_filter_parse_kinds(const char *text, unsigned allowed,
                             unsigned *kinds, Error **errp);

/* Name of the one bit @kind, as kind= takes it and the log gives it */
const char *riod_filter_kind_name(unsigned kind);

/* -------------------------------------------------------- filter-log.c */

/* @path NULL: to the server's log.  NULL with *@errp */
RiodFilterLog *riod_filter_log_open(const char *path, Error **errp);
void riod_filter_log_close(RiodFilterLog *log);     /* NULL-safe */

/* Record an event of @s, or a message of @conn; any thread */
void riod_filter_log_event(RiodFilter *f, RiodSession *s,
                           const RiodFate *fate);
void riod_filter_log_message(RiodFilter *f, RiodConnection *conn, bool sent,
                             const RioMessage *m);

/* -------------------------------------------------------- filter-add.c */

/*
 * Main loop.  @args: type, on, id, client and the type's parameters, as
 * strings.  False with *@errp and nothing left behind.
 */
bool riod_filter_add(const QDict *args, Error **errp);
bool riod_filter_del(const char *id, Error **errp);

/* Main loop.  @inst is closed: its filters go; NULL: those of connections */
void riod_filters_drop(RiodInstance *inst);

/* Main loop.  --filter help, and --filter TYPE,help */
void riod_filter_help(const char *type);

/* Main loop, for QMP: the one after @f in the order given; NULL = first */
const RiodFilter *riod_filter_next(const RiodFilter *f);

/* ------------------------------------------------------------ filter.c */

/* Any thread.  Does something stand in front of @inst? */
static inline bool riod_filters_exist(const RiodInstance *inst)
{
    return qatomic_read(&inst->filters) != NULL;
}

/* Home: into, and out of, the chain of f->inst; at its end */
void riod_filter_insert(RiodFilter *f);
void riod_filter_remove(RiodFilter *f);

/**
 * riod_filter_message: home, no lock held
 * @task: what delivers @m to the module; run later when this returns true
 * @fate: of @m, zeroed at first
 *
 * A message of @s has come.  Ask the chain about it and hold it if it is to
 * be late, or if one before it is.
 */
bool riod_filter_message(RiodSession *s, const RioMessage *m, RiodFate *fate,
                         RiodTask *task);

/*
 * Home, lock of s->conn held: a message that had a fate was carried out, or
 * stopped.  The router has put into it what became of it.
 */
void riod_filter_done(RiodSession *s, const RiodFate *fate);

/* Home: the module raises an interrupt for @s */
void riod_filter_irq_level(RiodSession *s, unsigned line, bool level);
void riod_filter_irq_message(RiodSession *s, unsigned vector);

/**
 * riod_filter_dma: home, in a task.  The module accesses guest memory of @s
 * Returns: 0 when it may go on, maybe later, or what to fail with.
 */
int coroutine_fn riod_filter_dma(RiodSession *s, bool write, uint64_t addr,
                                 uint64_t size);

/* ------------------------------------------------------- filter-late.c */

/* Home: run @task @delay_ns from now, but behind all that came before it */
void riod_late_message(RiodSession *s, RiodTask *task, int64_t delay_ns);
bool riod_late_has_messages(const RiodSession *s);

/* Home: raise an interrupt later.  A line that is to fall waits for its rise */
void riod_late_irq(RiodSession *s, bool message, unsigned number, bool level,
                   int64_t delay_ns);
bool riod_late_has_rise(const RiodSession *s, unsigned line);

/*
 * Home.  Does the module hold @line high, whatever was made of it?  Returns
 * whether that is new.
 */
bool riod_late_note_level(RiodSession *s, unsigned line, bool level);

/*
 * Home, no lock held: all that is late leaves now.  An instance that is to
 * come to rest must carry out what was acknowledged.
 */
void riod_late_release(RiodInstance *inst);

/*
 * Home: forget interrupts that are late; the machine was reset, or a state was
 * loaded with lines at @level
 */
void riod_late_drop_irqs(RiodSession *s, uint32_t level);

/* Home, no lock held: the session has ended: let go of all */
void riod_late_end(RiodSession *s);

/* ------------------------------------------------- filter-connection.c */

/* True when connections are filtered at all; any thread */
extern bool riod_connection_filters;

static inline bool riod_connections_filtered(void)
{
    return qatomic_read(&riod_connection_filters);
}

/* Main loop: into, and out of, the chain of all connections */
void riod_connection_filter_insert(RiodFilter *f);
void riod_connection_filter_remove(RiodFilter *f);

/**
 * riod_filter_received: home of @conn, its lock held
 * @size: bytes that came; set to those that still count before a cut
 *
 * Returns: for how long they are to be held, in nanoseconds.  conn->cut is
 * set when the connection is to end behind them.
 */
int64_t riod_filter_received(RiodConnection *conn, ssize_t *size);

/* Home of @conn, its lock held: messages were handled; cut it if it is time */
void riod_filter_count_messages(RiodConnection *conn);

/*
 * Home of @conn, its lock held: is it to be cut at @now_ms?  If not, and if
 * it will be at some time, *@next is at most that.
 */
bool riod_filter_cut_now(RiodConnection *conn, int64_t now_ms,
                         int64_t *next);

/* Traces messages of a connection, and records them; its opaque is @conn */
extern const RioLinkWatch riod_connection_watch;

#endif /* SERVER_FILTER_H */
