/*
 * remote-io device: the core that the bus shells embed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The rooms and their doors, from the guest's side to the network's:
 *
 *   pci.c isa.c   shells: map regions and lines into a bus
 *   region.c      MemoryRegionOps: checks an access, knows its attributes
 *   access.c      carries one access out: send, wait, give the result
 *   pace.c        how to wait for a reply, and whether to collect stores
 *   park.c        an access that waits long lets the rest of the VM go on
 *   dispatch.c    what the server sends: replies, interrupts
 *   link.c        the bytes in and out of the connection
 *   connect.c     connect, handshake, attach, resume; blocking, bounded
 *   lookup.c      where the server is, when a directory says it
 *   thread.c      the device's own thread: receives when no access waits,
 *                 keep-alive, reconnects
 *   fresh.c       the server has lost the session
 *   loss.c        who waits too long, and what the policy does about it
 *   attach.c      detach and attach by command, while the device stays
 *   fit.c         is a module the device that the guest knows?
 *   surprise.c    unplug without asking the guest
 *   migrate.c     the machine moves to another host: VMState, freezing
 *   move.c        the module moves to another server: asked for, followed
 *   snapshot.c    the module's state, for savevm and loadvm
 *   dma.c         the module's reads and writes of guest memory
 *   recipe.c      what a doorbell takes along
 *   lazy.c        stores that wait for something to travel with
 *   share.c       guest memory that the server may map (same host)
 *   irq.c         the only file that drives lines and messages
 *   stats.c       counters; monitor.c: query-remote-io; route.c:
 *                 query-remote-io-route; stub.c: commands without the device
 *   core.c        properties, plug, reset, unplug
 *
 * Threads: virtual processors (accesses), the device's own thread, the main
 * thread (plug, reset, monitor, qtest).  Lock order: BQL, then lock.  A
 * thread that holds lock never takes the BQL.  Functions that end in _locked
 * are called with lock held.
 */

#ifndef HW_REMOTE_IO_CORE_H
#define HW_REMOTE_IO_CORE_H

#include "exec/memory.h"
#include "hw/irq.h"
#include "hw/pci/pci.h"
#include "hw/qdev-core.h"
#include "migration/misc.h"
#include "migration/vmstate.h"
#include "qapi/qapi-types-remote-io.h"
#include "qemu/event_notifier.h"
#include "qemu/queue.h"
#include "qemu/thread.h"
#include "system/runstate.h"

#include "net/remote-io/directory.h"
#include "net/remote-io/link.h"
#include "net/remote-io/trace-link.h"
#include "net/remote-io/transport.h"

typedef struct RemoteIOCore RemoteIOCore;
typedef struct RemoteIORecipes RemoteIORecipes;
typedef struct RemoteIOBell RemoteIOBell;
typedef struct RemoteIOOwed RemoteIOOwed;
typedef struct RemoteIOTable RemoteIOTable;

/* Histogram: 8 buckets for each power of two nanoseconds */
#define REMOTE_IO_BUCKETS (8 * 48)

/*
 * One connection.  Who uses it without lock holds a reference; the last one
 * closes it.
 */
typedef struct RemoteIOConn {
    RioTransport *transport;
    RioLink *link;
    unsigned refs;              /* lock */
    bool dead;                  /* lock: to be left by all who use it */
} RemoteIOConn;

/* What ATTACH_REPLY said */
typedef struct RemoteIOAttach {
    RioIds ids;
    uint32_t epoch;
    uint64_t caps;              /* RIO_CAP_* of the session */
    uint8_t token[RIO_TOKEN_SIZE];
    uint32_t log_limit;
    uint32_t max_outstanding;
    uint8_t *desc;              /* encoded description, to be freed */
    uint32_t desc_len;
} RemoteIOAttach;

/* A request that an access waits for; lives on the stack of the access */
typedef struct RemoteIOWaiter {
    QTAILQ_ENTRY(RemoteIOWaiter) next;  /* lock; in order of issue */
    QemuCond cond;              /* only while sleeping */
    RioWrite w;                 /* value: of a store */
    uint8_t op;                 /* RIO_OP_REGION_READ or _WRITE */
    bool posted;                /* done as soon as it is in the log */
    /* lock: */
    bool submitted;             /* in the session's log, or beyond */
    bool overdue;               /* the policy was applied */
    bool parked;
    bool sleeping;              /* on cond */
    uint32_t tag;
    int64_t since_ns;           /* issued, or VM resumed */
    uint64_t value;             /* result of a load */
    bool failed;                /* completed without the server */
    bool was_submitted, logged; /* see fresh.c */
    bool done;                  /* written under lock, read without */
} RemoteIOWaiter;

typedef QTAILQ_HEAD(, RemoteIOWaiter) RemoteIOWaiterList;

/* Whether polling pays, learned from waits of one kind */
typedef struct RemoteIOSpin {
    unsigned misses;            /* waits in a row that it did not end */
    unsigned skipped;           /* waits without it since the last trial */
} RemoteIOSpin;

/*
 * How an access waits: it polls, then polls and gives up the processor in
 * turn, then sleeps.  A time that is 0 or past: not at all.
 */
typedef struct RemoteIOPatience {
    int64_t spin_until_ns;
    int64_t yield_until_ns;
    bool paused;                /* the access comes after a pause */
} RemoteIOPatience;

typedef struct RemoteIORegion {
    RemoteIOCore *core;
    MemoryRegion mr;
    RioRegion info;
    unsigned num_ranges;
    const RioRange *ranges[RIO_MAX_RANGES];
} RemoteIORegion;

/* lock, except where noted; copied out by remote_io_stats_get() */
typedef struct RemoteIOCounters {
    uint64_t reads, writes, posted_writes;
    uint64_t failed, refused, round_trips;
    uint64_t vcpu_wakeups, io_wakeups, spins, parked;
    uint64_t interrupts, resets, reconnects;
    uint64_t dma_reads, dma_writes, dma_bytes, dma_refused;
    uint64_t doorbells, doorbell_bytes;
    RioLinkStats closed;        /* sum of the links that are gone */
    uint64_t latency_max_ns;
    uint64_t latency[REMOTE_IO_BUCKETS];
} RemoteIOCounters;

/* Lines and messages on their way from the server to the guest */
typedef struct RemoteIOIrqState {
    qemu_irq lines[RIO_MAX_LINES];      /* BQL */
    bool applied[RIO_MAX_LINES];        /* BQL: level of the qemu_irq */
    bool level[RIO_MAX_LINES];          /* lock: what the server last said */
    bool toggled[RIO_MAX_LINES];        /* lock: it changed in between */
    DECLARE_BITMAP(messages, RIO_MAX_MSIX);     /* lock: to be delivered */
    bool pending;                       /* written under lock */
} RemoteIOIrqState;

/* A DMA write in several messages, of which one was refused */
#define REMOTE_IO_FAILED_WRITES RIO_MAX_DMA_UNFINISHED
typedef struct RemoteIOFailedWrite {
    bool used;
    uint32_t tag;
    RioSegment at;
} RemoteIOFailedWrite;

/* lock, except where noted */
typedef struct RemoteIODma {
    bool busy;                  /* memory is accessed, without lock: no other
                                   thread may receive or reconnect */
    uint8_t *buf;               /* who set busy */
    uint32_t max_body;          /* of a message that the server takes */
    QSIMPLEQ_HEAD(, RemoteIOOwed) owed;     /* replies without room */
    unsigned num_owed;
    uint64_t owed_bytes;
    RemoteIOFailedWrite failed[REMOTE_IO_FAILED_WRITES];
    int64_t reported_ns;        /* last refusal that was logged */
    uint64_t unreported;
} RemoteIODma;

/* Guest memory that the server may map; see share.c */
typedef struct RemoteIOShare {
    bool enabled;               /* property; constant once realized */
    MemoryListener listener;
    bool listening;             /* BQL */
    RemoteIOTable *next;        /* BQL: in the making */

    /* lock: */
    bool logging;               /* dirty pages are being logged */
    RemoteIOTable *all;         /* what the device may reach */
    RemoteIOTable *none;        /* an empty one */
    RemoteIOTable *table;       /* what was sent last on this connection */
    uint32_t sent;              /* its number */
    uint32_t answered;          /* the last one that was answered */
    bool lent;                  /* a server may have memory mapped */
    bool active;                /* atomic: @table is in use and not empty */
    RemoteIOWaiter *waiter;     /* wants to hear of an answer */
} RemoteIOShare;

/* A question to the module of a machine that stands still; see snapshot.c */
typedef struct RemoteIOCall {
    uint32_t tag;               /* of the last one; 0: there was none */
    uint8_t op;                 /* of the answer */
    uint8_t status;
    bool more;
    uint64_t offset;
    char *reason;               /* of a refusal */
    GByteArray *bytes;          /* takes what STATE_SAVE_REPLY brings */
    RemoteIOWaiter *waiter;     /* who asked, NULL: has given up */
} RemoteIOCall;

/* lock: the module moves to another server; see move.c */
typedef struct RemoteIOMove {
    bool active;                /* a job of ours has asked for it */
    bool over;                  /* ... and it is done, or refused */
    bool idle;                  /* the server said that nothing moves */
    bool cancelling;
    uint32_t start_tag, last_tag;
    uint8_t phase;              /* RIO_MOVE_* */
    uint64_t done, total;       /* bytes; total is 0 until it is known */
    uint64_t reconnects;        /* counter, when the server was asked last */
    char *refusal;
    RioString server, module;   /* names at the target; module may be empty */

    bool moved;                 /* MOVED came: follow it */
    char *hint;                 /* address, NULL: none was given */
    char *hint_name;            /* of the server there */
    int64_t since_ns;           /* the link was given up */
} RemoteIOMove;

/* What travels of things that have no fixed size */
typedef struct RemoteIOSavedRecipe {
    uint32_t len;
    uint8_t *data;              /* as in RECIPE, index brought up to date */
} RemoteIOSavedRecipe;

typedef struct RemoteIOSavedOwed {
    uint8_t op;
    uint8_t status;
    uint32_t tag;
    uint32_t len, done;
    uint64_t refused_at;
    uint32_t refused_len;
    uint8_t *data;
} RemoteIOSavedOwed;

/*
 * The device in a stream: filled before it is written and after it is read,
 * empty otherwise.  What is read is believed by nobody before it was judged.
 */
typedef struct RemoteIOSaved {
    bool valid;                 /* pointers are; false while it is read */
    bool quiet;                 /* detached by command */
    bool snapshot;              /* @state, not @session */
    uint32_t levels, applied;   /* a bit for each line */
    uint8_t vm_uuid[RIO_UUID_SIZE];
    uint8_t module[RIO_MAX_STRING + 1];         /* text, as what follows */
    uint8_t server_id[RIO_MAX_STRING + 1];
    uint64_t caps;
    uint32_t max_outstanding, log_limit, next_tag;
    uint64_t abandoned;
    uint32_t resets_pending, quiesces;
    bool reset_owed, go_owed;
    uint32_t desc_len, session_len, state_len;
    uint8_t *desc;              /* encoded description */
    uint8_t *session;           /* record of our end of it */
    uint8_t *state;             /* of the module */
    int32_t num_recipes, num_owed;
    RemoteIOSavedRecipe *recipes;
    RemoteIOSavedOwed *owed;
} RemoteIOSaved;

typedef bool RemoteIOBuild(RemoteIOCore *s, Error **errp);

/* What a command wants of the device's thread; see attach.c */
typedef enum {
    REMOTE_IO_ORDER_NONE,
    REMOTE_IO_ORDER_DETACH,
    REMOTE_IO_ORDER_ATTACH,
} RemoteIOOrder;

/* Posted stores that wait in lazy.c; lock */
typedef struct RemoteIOLazy {
    RioWrite store[8];          /* in order */
    unsigned num;
    int64_t due_ns;             /* the first one must go */
    uint64_t interrupts;        /* counter, when one was last expected */
} RemoteIOLazy;

/* What the thread has taken from the link to send it without lock */
typedef struct RemoteIOStage {
    uint8_t *buf;               /* allocated when first used */
    size_t head, len;           /* bytes [head, len) are to be sent */
    bool sending;               /* the thread is in the system call */
} RemoteIOStage;

struct RemoteIOCore {
    /*
     * Properties.  The first three change while the device is quiet, under
     * the BQL; the others are constant once realized.
     */
    SocketAddress *server;
    char *module;
    char *server_id;
    char *directory_text;       /* instead of server, or NULL */
    char *client_id;
    char *vm_id;
    RemoteIOLossPolicy on_loss;
    uint32_t loss_timeout_ms;
    uint32_t reconnect_ms;
    uint32_t connect_timeout_ms;
    bool use_recipes;           /* PCI */

    /* Constant while realized */
    DeviceState *dev;
    PCIDevice *pci;             /* NULL on other buses */
    RioDirectory *directory;    /* NULL: none */
    char *name;                 /* for messages: id, or path */
    char *path;                 /* QOM path; found out under the BQL */
    unsigned num_regions;
    RemoteIORegion region[RIO_MAX_REGIONS];
    QemuThread thread;
    bool thread_started;
    int epfd;                   /* holds the connection's socket */
    EventNotifier kick;         /* wakes the thread */
    bool kick_ready;
    int run_timer;              /* tells the thread that loads have paused */
    VMChangeStateEntry *vmstate_change;
    Notifier exit;

    /* BQL */
    QLIST_ENTRY(RemoteIOCore) next;     /* list for the monitor */
    bool listed;
    RemoteIOIrqState irq;       /* see there */
    uint32_t machine_resets;    /* also read by parked accesses */

    /* BQL and lock to change, when another module is attached */
    char *server_text;
    RioDescription desc;
    uint8_t *desc_bytes;
    uint32_t desc_len;

    /* BQL */
    RemoteIOBell *bell;         /* the doorbell that is being rung */
    uint8_t bus;                /* RIO_BUS_* */
    RemoteIOBuild *build;       /* the shell's: map what desc says */
    bool deferred;              /* not built: the stream will say what it is */
    bool told_of_migration;     /* the two notifiers are registered */
    NotifierWithReturn precopy, migration;
    bool snapshot;              /* it is a snapshot that is being written */
    char *move_error;           /* why this migration cannot complete */
    RemoteIOSaved saved;        /* see there */

    QemuMutex lock;             /* protects all that follows */
    bool stopping;              /* unplug: no access waits any more */
    bool detaching;             /* the thread shall end; read without lock */
    bool hurry;                 /* ... or is wanted: give up connecting */
    bool quiet;                 /* detached by command: nobody answers */
    bool frozen;                /* receive and send nothing; see migrate.c */
    bool migrating;             /* wait a while before parking at a stop */
    bool resting;               /* the module was stopped for a snapshot */
    bool fenced;                /* somebody else goes on with the session */
    uint32_t quiesces;          /* QUIESCE_REPLYs to come */
    bool go_owed;               /* ... and then the module shall go on */
    RemoteIOCall call;          /* see there */
    RemoteIOMove move;          /* see there */
    RemoteIOOrder order;        /* the thread carries it out, and clears it */
    Error *order_error;         /* what became of the last one */

    RemoteIOConn *conn;         /* NULL while there is none */
    RioDirectoryEntry *found;   /* in the directory, and connected to last;
                                   read without lock by who connects */
    RioSession *session;
    uint64_t caps;              /* of the session */
    uint32_t epoch;             /* last one shown in a RESUME */
    uint32_t max_outstanding;
    uint32_t log_limit;
    bool state_lost;            /* fresh session, gated until resumed */
    bool gone;                  /* SESSION_GONE: do not resume */
    bool detached;              /* DETACH_REPLY came */
    unsigned resets_pending;    /* RESET_REPLYs to come */
    bool reset_owed;            /* RESET found no room in the log */

    RemoteIODma dma;
    RemoteIOShare share;        /* see there */
    RemoteIORecipes *recipes;
    unsigned num_recipes;       /* also read without lock */
    unsigned num_lazy;          /* of these, of kind LAZY */
    RemoteIOLazy lazy;

    RemoteIOWaiterList waiters;
    unsigned num_waiting, num_unsubmitted, num_parked;
    QemuCond idle;              /* stopping: an access left, parked, resigned */
    uint32_t next_tag;
    uint64_t abandoned;         /* replies that nobody waits for any more */

    /* Who receives: NULL nobody, the core itself its thread, or a waiter */
    void *leader;
    uint32_t armed;             /* epoll events of the socket; 0 = none */
    bool watched;               /* the socket is in epfd */
    bool tx_blocked;            /* the socket's buffer is full */
    RemoteIOStage stage;
    bool flush_asked;           /* the thread shall send what waits */
    int64_t wakes_ns;           /* the thread sleeps until then; 0: awake */

    /* See pace.c */
    bool busy;                  /* loads come without pause */
    bool burst;                 /* posted stores come without pause */
    unsigned busy_run, burst_run;
    int64_t begun_ns;           /* the last load */
    int64_t last_read_ns;       /* the last load ended */
    int64_t push_ns;            /* run_timer is to be pushed on ... */
    int64_t run_end_ns;         /* ... by so much */
    int64_t last_post_ns;
    uint64_t tick_posts;        /* counter at the last tick of a burst */
    int64_t tick_ns;            /* the next one */
    RemoteIOSpin spin[2];       /* in a run, after a pause */

    /* Loss */
    bool outage;                /* REMOTE_IO_LOST was sent */
    bool failing;               /* policy fail, or unplug, is in force */
    bool pulling;               /* policy unplug: on its way */
    bool running;               /* the VM, as its handler last heard */
    int64_t lost_ns;            /* link or replies missed since; 0 = not */
    int64_t grace_ns;           /* the VM was resumed: be patient until */
    char *lost_reason;          /* while conn is NULL */
    char *gone_reason;          /* with gone */
    char *outage_reason;        /* of the last REMOTE_IO_LOST */
    int64_t connected_ns;       /* this connection was made then */
    int64_t retry_ns;           /* next attempt to connect */
    int64_t backoff_ns;

    struct {
        bool waiting;           /* for the answer with @tag ... */
        uint32_t tag;
        int64_t sent_ns;
        RemoteIORouteInfo *info;        /* ... which is one of these */
        char *refusal;
    } route;

    RemoteIOCounters stats;
};

/* core.c: called by shells */
void remote_io_core_init(RemoteIOCore *s, DeviceState *dev);
void remote_io_core_finalize(RemoteIOCore *s);

/**
 * remote_io_core_realize: attach to the module
 * @bus: RIO_BUS_*, what the shell is
 * @build: maps @s->desc and @s->region into the bus
 *
 * Blocks, at most connect-timeout.  @build is called before this returns or,
 * when a machine that migrates is received, when the stream has said what the
 * device is.  Returns: false with *@errp; nothing is left of the core then.
 */
bool remote_io_core_realize(RemoteIOCore *s, uint8_t bus,
                            RemoteIOBuild *build, Error **errp);
/* BQL: a deferred device becomes what @desc says, which is taken over */
bool remote_io_build(RemoteIOCore *s, uint8_t *desc, uint32_t len,
                     Error **errp);
void remote_io_core_unrealize(RemoteIOCore *s);
void remote_io_core_reset(RemoteIOCore *s);
void remote_io_send_reset_locked(RemoteIOCore *s);
void remote_io_stop_thread(RemoteIOCore *s);

/* Properties make sense; NULL and *@errp when @a does not; a deep copy */
bool remote_io_check_properties(RemoteIOCore *s, Error **errp);
SocketAddress *remote_io_address(const RemoteIOAddress *a, Error **errp);
SocketAddress *remote_io_address_copy(const SocketAddress *a);

extern const PropertyInfo remote_io_prop_address;
extern const PropertyInfo remote_io_prop_loss_policy;

#define DEFINE_REMOTE_IO_PROPERTIES(_state, _core)                          \
    DEFINE_PROP("server", _state, _core.server, remote_io_prop_address,     \
                SocketAddress *),                                           \
    DEFINE_PROP_STRING("directory", _state, _core.directory_text),          \
    DEFINE_PROP_STRING("module", _state, _core.module),                     \
    DEFINE_PROP_STRING("server-id", _state, _core.server_id),               \
    DEFINE_PROP_STRING("client-id", _state, _core.client_id),               \
    DEFINE_PROP_STRING("vm-id", _state, _core.vm_id),                       \
    DEFINE_PROP_SIGNED("on-loss", _state, _core.on_loss,                    \
                       REMOTE_IO_LOSS_POLICY_PAUSE,                         \
                       remote_io_prop_loss_policy, RemoteIOLossPolicy),     \
    DEFINE_PROP_UINT32("loss-timeout", _state, _core.loss_timeout_ms, 5000), \
    DEFINE_PROP_UINT32("reconnect-ms", _state, _core.reconnect_ms, 1000),   \
    DEFINE_PROP_UINT32("connect-timeout", _state,                           \
                       _core.connect_timeout_ms, 3000)

/* region.c */
void remote_io_region_init(RemoteIOCore *s, RemoteIORegion *r,
                           const RioRegion *info);
/* BQL: s->desc was replaced by one that fits */
void remote_io_region_renew(RemoteIOCore *s);

/*
 * access.c: carry out an access.  Called by region.c with the BQL held;
 * @vcpu: straight from a virtual processor, so that the BQL may be dropped.
 */
uint64_t remote_io_read(RemoteIORegion *r, uint64_t offset, unsigned size,
                        bool vcpu);
void remote_io_write(RemoteIORegion *r, uint64_t offset, uint64_t value,
                     unsigned size, bool posted, bool vcpu);

/**
 * remote_io_wait_slice_locked: wait for @w, for a short while
 * @until_ns: not beyond this time
 * @p: how to wait before sleeping; NULL: not at all
 *
 * Leads or follows; lock is dropped inside.  Returns: true if it slept.
 */
bool remote_io_wait_slice_locked(RemoteIOCore *s, RemoteIOWaiter *w,
                                 int64_t until_ns,
                                 const RemoteIOPatience *p);

/* An access that will not return to access.c is over */
void remote_io_waiter_leave(RemoteIOCore *s, RemoteIOWaiter *w);

/*
 * pace.c.  A load or store that waits begins at @now: how?  It has ended,
 * after @ns: was that right?
 */
bool remote_io_pace_init(RemoteIOCore *s, Error **errp);
void remote_io_pace_finalize(RemoteIOCore *s);
RemoteIOPatience remote_io_patience_locked(RemoteIOCore *s, int64_t now);
void remote_io_waited_locked(RemoteIOCore *s, const RemoteIOPatience *p,
                             int64_t ns, bool slept);
/* A load begins; and the thread saw run_timer */
void remote_io_note_read_locked(RemoteIOCore *s, int64_t now);
void remote_io_run_ended_locked(RemoteIOCore *s);
/* A posted store is in the log.  Returns: true when it can stay there */
bool remote_io_in_burst_locked(RemoteIOCore *s);
/* The thread sends what was collected.  Returns: when to come back */
int64_t remote_io_burst_tick_locked(RemoteIOCore *s, int64_t now);

/* park.c: called without lock and BQL; returns with the BQL, @w is done */
void remote_io_park(RemoteIOCore *s, RemoteIOWaiter *w);

/* dispatch.c: act on all messages that the link holds; wakes waiters */
void remote_io_dispatch_locked(RemoteIOCore *s);
void remote_io_complete_locked(RemoteIOCore *s, RemoteIOWaiter *w,
                               uint64_t value, bool failed);
/* Put waiting requests into the log, as far as there is room */
void remote_io_submit_locked(RemoteIOCore *s);
bool remote_io_submit_one_locked(RemoteIOCore *s, RemoteIOWaiter *w);

/* link.c */
/* Send what waits, without blocking */
void remote_io_flush_locked(RemoteIOCore *s);
/*
 * The same, soon: by the thread when the server has much to do already, so
 * that the processor need not wait for the network stack, and what it stores
 * next goes out in the same frame.
 */
void remote_io_flush_soon_locked(RemoteIOCore *s);
/* The thread's flush: the lock is let go while the kernel sends */
void remote_io_flush_asked_locked(RemoteIOCore *s);
/* Nothing that was taken for one connection may go out on another */
void remote_io_stage_drop_locked(RemoteIOCore *s);
/*
 * Receive what is there, polling until @spin_until_ns (0: once) for it.  The
 * caller is the leader and holds a reference of @conn; lock is dropped inside.
 * Returns: true when something came or the connection ended.
 */
bool remote_io_receive_locked(RemoteIOCore *s, RemoteIOConn *conn,
                              int64_t spin_until_ns);
/* Watch the socket in the thread or not, as the state demands */
void remote_io_arm_locked(RemoteIOCore *s);
void remote_io_conn_unref_locked(RemoteIOCore *s, RemoteIOConn *conn);
void remote_io_schedule_retry_locked(RemoteIOCore *s);
/* The connection is of no use any more; the thread makes a new one */
void remote_io_conn_lost_locked(RemoteIOCore *s, const char *reason);

/* lookup.c */
bool remote_io_lookup_init(RemoteIOCore *s, Error **errp);
void remote_io_lookup_finalize(RemoteIOCore *s);
/* Blocking, without lock: to the server, or one that the directory names */
RioTransport *remote_io_reach(RemoteIOCore *s, int64_t timeout_ms,
                              Error **errp);
/* For people; caller frees */
char *remote_io_where_locked(RemoteIOCore *s);

/* connect.c: blocking, without lock; ends early once @hurry is set */
RemoteIOConn *remote_io_connect(RemoteIOCore *s, int64_t timeout_ms,
                                Error **errp);
/* The same, to @server if it is not NULL; @text is for people */
RemoteIOConn *remote_io_connect_to(RemoteIOCore *s, SocketAddress *server,
                                   const char *text, int64_t timeout_ms,
                                   Error **errp);
void remote_io_conn_free(RemoteIOConn *conn);
bool remote_io_attach(RemoteIOCore *s, RemoteIOConn *conn,
                      RemoteIOAttach *out, int64_t timeout_ms, Error **errp);
/* Of the machine, or made up; a machine that migrates keeps it */
void remote_io_vm_uuid(uint8_t *uuid);
void remote_io_set_vm_uuid(const uint8_t *uuid);
/* Give back what was attached over @conn, and end it; @why is for its log */
void remote_io_give_back(RemoteIOConn *conn, const RemoteIOAttach *a,
                         const char *why);

typedef enum {
    REMOTE_IO_RESUMED,
    REMOTE_IO_UNKNOWN,          /* the server does not know the session */
    REMOTE_IO_NO_ANSWER,        /* *errp is set; try again later */
} RemoteIOResume;

/* @ids: those that the session has from now on */
RemoteIOResume remote_io_resume(RemoteIOCore *s, RemoteIOConn *conn,
                                RioIds *ids, uint64_t *peer_received,
                                Error **errp);

/* thread.c */
void *remote_io_thread(void *opaque);
/* The thread: end the session and its connection */
void remote_io_leave_locked(RemoteIOCore *s, const char *why);
/* The thread: a connection was installed; work off what came already */
void remote_io_begin_locked(RemoteIOCore *s, RemoteIOConn *conn);
void remote_io_kick(RemoteIOCore *s);
void remote_io_install_locked(RemoteIOCore *s, RemoteIOConn *conn);

/* fresh.c: the server has lost the session and @conn has attached anew */
void remote_io_fresh_locked(RemoteIOCore *s, RemoteIOConn *conn,
                            const RemoteIOAttach *a);

/* loss.c */
int64_t remote_io_judge_locked(RemoteIOCore *s, int64_t now_ns);
void remote_io_restored_locked(RemoteIOCore *s, bool state_kept);
void remote_io_lost_event_locked(RemoteIOCore *s, const char *reason);
void remote_io_request_stop_locked(RemoteIOCore *s);
void remote_io_fail_all_locked(RemoteIOCore *s);
void remote_io_fail_from_now_on_locked(RemoteIOCore *s, const char *reason);
void remote_io_accept_loss_locked(RemoteIOCore *s);
void remote_io_vm_state_change(void *opaque, bool running, RunState state);

/* attach.c: the thread carries out s->order; lock is dropped inside */
void remote_io_obey_locked(RemoteIOCore *s);
/* A coroutine of the main loop that waits for the thread, between two looks */
void remote_io_let_thread_have_bql(void);
/* @a was answered: s->session is that session; the caller frees the last */
void remote_io_start_session_locked(RemoteIOCore *s, const RemoteIOAttach *a);

/*
 * migrate.c: BQL.  @running: the machine starts to run.  The two descriptions
 * go into the shell's: @known first, it makes the device what it is.
 */
void remote_io_migrate_start(RemoteIOCore *s);
void remote_io_migrate_stop(RemoteIOCore *s);
void remote_io_migrate_running(RemoteIOCore *s);
void remote_io_saved_clear(RemoteIOCore *s);
extern const VMStateDescription vmstate_remote_io_known;
extern const VMStateDescription vmstate_remote_io_core;

/*
 * snapshot.c: BQL, the machine has stopped.  @take stops the module and puts
 * its state into s->saved; @end lets it go on.  @put gives it a state.
 */
bool remote_io_snapshot_take(RemoteIOCore *s, Error **errp);
void remote_io_snapshot_end(RemoteIOCore *s);
bool remote_io_snapshot_put(RemoteIOCore *s, const uint8_t *data,
                            uint32_t len, Error **errp);
/* Tell a module that was stopped what found no room in the log before */
void remote_io_go_on_locked(RemoteIOCore *s);
/* An answer came.  Returns: NULL, or why the server must not send it */
const char *remote_io_state_reply_locked(RemoteIOCore *s,
                                         const RioMessage *m);

/*
 * move.c: MOVE_REPLY (NULL, or why the server must not send it) and MOVED came
 */
const char *remote_io_move_reply_locked(RemoteIOCore *s, const RioMessage *m);
void remote_io_moved_locked(RemoteIOCore *s, const RioMessage *m);
/*
 * The thread, without lock: connect to where the module is said to be.
 * Returns: NULL when that is not known or nobody is there; then *@where is
 * NULL, too, and the session goes on over the server as before.
 */
RemoteIOConn *remote_io_follow(RemoteIOCore *s, SocketAddress **where);
/* BQL and lock: resumed.  Takes over @where, which may be NULL */
void remote_io_followed_locked(RemoteIOCore *s, SocketAddress *where);

/* fit.c: what of @d differs from what the guest knows; NULL: nothing does */
char *remote_io_difference(const RioDescription *known,
                           const RioDescription *d);

/*
 * surprise.c: BQL.  @check: does the bus allow it?  @pull_out: not in an
 * access; the device is gone when this returns true.  @later: any thread; does
 * it soon, and sends the event with @reason.
 */
bool remote_io_check_pull_out(RemoteIOCore *s, Error **errp);
bool remote_io_pull_out(RemoteIOCore *s, const char *reason, Error **errp);
void remote_io_pull_out_later_locked(RemoteIOCore *s, const char *reason);

/*
 * dma.c: carry out DMA_READ and DMA_WRITE.  The lock is let go inside; the
 * connection may be lost after it.  Returns: NULL, or why the server must not
 * send this (no PCI device, or more than it may have outstanding).
 */
const char *remote_io_dma_read_locked(RemoteIOCore *s, const RioMessage *m);
const char *remote_io_dma_write_locked(RemoteIOCore *s, const RioMessage *m);
/*
 * Replies for which there was no room in the log, or that would have come
 * before the guest's next access.  Returns: true when some are in the log now.
 */
bool remote_io_dma_submit_locked(RemoteIOCore *s);
void remote_io_dma_forget_locked(RemoteIOCore *s);
/* To and from a stream; what is loaded is judged */
void remote_io_dma_save_locked(RemoteIOCore *s, RemoteIOSaved *v);
bool remote_io_dma_load_locked(RemoteIOCore *s, const RemoteIOSaved *v,
                               Error **errp);
void remote_io_dma_init(RemoteIOCore *s);
void remote_io_dma_finalize(RemoteIOCore *s);
/*
 * Read RAM as the device sees it, without lock.  Returns: false when it may
 * not, or not all of it; @buf is undefined then.
 */
bool remote_io_dma_fetch(RemoteIOCore *s, uint64_t addr, void *buf,
                         uint32_t len);

/* recipe.c: a RECIPE came; a session starts with those of the description */
bool remote_io_recipe_locked(RemoteIOCore *s, const RioMessage *m);
void remote_io_recipes_start_locked(RemoteIOCore *s);
void remote_io_recipes_forget_locked(RemoteIOCore *s);
void remote_io_recipes_save_locked(RemoteIOCore *s, RemoteIOSaved *v);
bool remote_io_recipes_load_locked(RemoteIOCore *s, const RemoteIOSaved *v,
                                   Error **errp);
void remote_io_recipes_finalize(RemoteIOCore *s);
/*
 * BQL held: the posted store @w, with what a recipe wants to come along.
 * Returns: false when there is nothing to come along; it is not sent then,
 * and *@lazy says whether it may wait.
 */
bool remote_io_doorbell(RemoteIOCore *s, const RioWrite *w, bool *lazy);

/* lazy.c.  Hold the posted store @w back.  Returns: false when it must go */
bool remote_io_lazy_hold_locked(RemoteIOCore *s, const RioWrite *w);
/*
 * Before anything else of the guest is put into the log.  Returns: false when
 * there is no room for what is held; nothing may pass it.
 */
bool remote_io_lazy_submit_locked(RemoteIOCore *s);
/* The module's state is gone, and what was held with it */
void remote_io_lazy_drop_locked(RemoteIOCore *s);
/* The thread sends what waits too long.  Returns: when to come back */
int64_t remote_io_lazy_tick_locked(RemoteIOCore *s, int64_t now);

/*
 * share.c: BQL.  Nothing happens where the property is off.  @check: can this
 * machine's memory be shared?  @stop takes back what the server has.
 */
bool remote_io_share_check(RemoteIOCore *s, Error **errp);
void remote_io_share_start(RemoteIOCore *s);
void remote_io_share_stop(RemoteIOCore *s);
/* BQL: the machine was reset; what works for the system that was lets go */
void remote_io_share_reset(RemoteIOCore *s);
/* Send the table, if it is another than before and that one is answered */
void remote_io_share_submit_locked(RemoteIOCore *s);
/* A new connection: the server has let go of what it had */
void remote_io_share_forget_locked(RemoteIOCore *s);
/* A MEM_TABLE_REPLY.  Returns: false when nobody asked for it */
bool remote_io_share_reply_locked(RemoteIOCore *s, const RioMessage *m);
/* Descriptors to send along with the MEM_TABLE that is queued */
const int *remote_io_share_files_locked(RemoteIOCore *s, unsigned *num);
/* Bytes that the server uses now */
uint64_t remote_io_share_bytes_locked(RemoteIOCore *s);

/* irq.c */
void remote_io_irq_level_locked(RemoteIOCore *s, unsigned line, bool level);
void remote_io_irq_message_locked(RemoteIOCore *s, unsigned vector);
void remote_io_irq_lower_all_locked(RemoteIOCore *s);
/* BQL held, lock not: hand what came to the guest */
void remote_io_irq_apply(RemoteIOCore *s);
/* BQL held: the guest switched between lines and messages, or was reset */
void remote_io_irq_mode_changed(RemoteIOCore *s);
void remote_io_irq_reset(RemoteIOCore *s);

/*
 * lock: was the machine reset, and has the module not answered yet?  What it
 * sends now has its cause before the reset: it must not be seen after it.
 */
static inline bool remote_io_resetting(const RemoteIOCore *s)
{
    return s->resets_pending || s->reset_owed;
}

static inline bool remote_io_irq_pending(RemoteIOCore *s)
{
    return qatomic_read(&s->irq.pending);
}

/* stats.c */
void remote_io_stats_latency_locked(RemoteIOCore *s, int64_t ns);
RemoteIOLatency *remote_io_stats_latency_get(const RemoteIOCounters *c);
RemoteIOStats *remote_io_stats_get_locked(RemoteIOCore *s);
void remote_io_stats_link_closed_locked(RemoteIOCore *s, RioLink *link);

/* route.c: an answer to ROUTE_TRACE */
void remote_io_route_reply_locked(RemoteIOCore *s, const RioMessage *m);

/* monitor.c: BQL; find by id or path, or NULL */
RemoteIOCore *remote_io_find(const char *id);
void remote_io_list_add(RemoteIOCore *s);
void remote_io_list_remove(RemoteIOCore *s);
RemoteIOState remote_io_state_locked(RemoteIOCore *s);

/*
 * The lock is held for microseconds, and an access that sleeps on it costs
 * more than that: poll for it before.
 */
static inline void remote_io_lock(RemoteIOCore *s)
{
    int i;

    for (i = 0; i < 400; i++) {
        if (qemu_mutex_trylock(&s->lock) == 0) {
            return;
        }
        cpu_relax();
    }
    qemu_mutex_lock(&s->lock);
}

static inline void remote_io_unlock(RemoteIOCore *s)
{
    qemu_mutex_unlock(&s->lock);
}

/* A waiter that polls sees for itself what has changed */
static inline void remote_io_wake_locked(RemoteIOWaiter *w)
{
    if (w->sleeping) {
        qemu_cond_signal(&w->cond);
    }
}

static inline int64_t remote_io_now_ns(void)
{
    return get_clock();
}

#endif /* HW_REMOTE_IO_CORE_H */
