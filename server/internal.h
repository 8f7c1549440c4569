/*
 * remote-io-server internals: the map of the server
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One banner per file, in the order in which a request meets them.  These have
 * maps of their own:
 *   task-services.h   tasks: guest memory, disks, doorbells
 *   forward.h         routing to other servers; directory.h: who has a module
 *   state.h           a module's state as bytes; quiesce.c brings it to rest
 *   journal.h         what outlives the process; upgrade.c
 *   move.h            a module goes to another server
 *   filter.h          fault filters, between session and module
 *
 * Threads: the main loop listens, answers QMP, runs chardevs and adds and
 * removes modules.  Everything else happens in homes: threads with an event
 * loop.  A module instance has one home for life and all its callbacks run
 * there.  A connection is read in one home at a time and moves to that of
 * the first instance it attaches, so that usually an access is received,
 * carried out and answered by one thread without a hand-over.
 *
 * Locks, in the order in which they may be taken:
 *   1. RiodConnection.lock   (two of them: the lower number first)
 *   2. the lock of the server's tables (instances, sessions, names)
 *   3. RiodHome.lock, RiodChar.lock (RioChar)
 *   4. locks that one file has for itself, under which no other of these is
 *      taken: of peers, of filters of connections, of etcd
 * Module callbacks run under no lock but, while an access is carried out,
 * that of the connection it came from; host calls take only locks of step 3.
 */

#ifndef SERVER_INTERNAL_H
#define SERVER_INTERNAL_H

#include "block/aio.h"
#include "qemu/bitmap.h"
#include "qemu/coroutine.h"
#include "qemu/lockable.h"
#include "qemu/queue.h"
#include "qemu/thread.h"
#include "qapi/qapi-types-sockets.h"
#include "qobject/qdict.h"
#include "io/channel-socket.h"
#include "net/remote-io/link.h"
#include "net/remote-io/trace-link.h"
#include "net/remote-io/transport.h"
#include "identity.h"
#include "labels.h"
#include "remote-io-module.h"

typedef struct RiodHome RiodHome;
typedef struct RiodTask RiodTask;
typedef struct RiodInstance RiodInstance;
typedef struct RiodPeer RiodPeer;
typedef struct RiodJob RiodJob;
typedef struct RiodDoorbell RiodDoorbell;
typedef struct RiodRecipe RiodRecipe;
typedef struct RiodReadMessage RiodReadMessage;
typedef struct RiodCall RiodCall;
typedef struct RiodShare RiodShare;
typedef struct RiodSaver RiodSaver;
typedef struct RiodStop RiodStop;
typedef struct RiodTalk RiodTalk;
typedef struct RiodFiles RiodFiles;
typedef struct RiodFilter RiodFilter;
typedef struct RiodFate RiodFate;
typedef struct RiodLate RiodLate;
typedef struct RiodJournal RiodJournal;
typedef struct RiodKept RiodKept;

/* Requests that one session may have without an answer */
#define RIOD_MAX_OUTSTANDING 64u

/* Of the log, what interrupts leave free for that many refusals in words */
#define RIOD_LOG_RESERVE (RIOD_MAX_OUTSTANDING * 320u)

/* Log of a session with DMA: a megabyte in each of several requests must
 * not wait for acknowledgements.  It takes memory only while it is full. */
#define RIOD_DMA_LOG (16u * 1024 * 1024)

/*
 * DMA that waits for the transport: a session puts no more into its log before
 * some has gone out, because the reply to an access must come behind it.
 */
#define RIOD_MAX_UNSENT (256u * 1024)

/* Memory that came along with doorbells and that a session may keep, about */
#define RIOD_MAX_PIECES (16u * 1024 * 1024)

/*
 * Messages under way from one connection to other homes before it is no
 * longer read, and when it is read again
 */
#define RIOD_QUEUE_HIGH 512u
#define RIOD_QUEUE_LOW 128u

/* ------------------------------------------------------------- log.c */

/* One line to the log, prefixed with the program's name; any thread */
void riod_log(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

/* Refuse with @text, cut to what a string of the wire may be; any thread */
void riod_set_reason(RioMessage *m, uint8_t status, const char *text);

/* At most a few lines a second from one source.  Zeroed = ready. */
typedef struct RiodRate {
    int64_t second;             /* the one that is being counted */
    unsigned lines;
    unsigned muted;
} RiodRate;

/* Returns: true when a line may go out; says itself how many did not */
bool riod_rate_allows(RiodRate *rate, const char *whose);

/* ---------------------------------------------------------- options.c */

typedef struct RiodOptions {
    const char *pidfile;        /* NULL = none */
    bool daemonize;
    bool exit_with_parent;
} RiodOptions;

/*
 * Two passes: before daemonizing what concerns the process, after it what
 * makes objects, in the order given.  Both end the process on a bad option.
 */
void riod_options_early(int argc, char **argv, RiodOptions *opts);
void riod_options_make(int argc, char **argv);

/* ----------------------------------------------------------- config.c */

/* What the server says of itself; constant once it serves */
typedef struct RiodConfig {
    char *server_name;          /* --server-id */
    uint8_t uuid[RIO_UUID_SIZE];
    uint32_t server_id;         /* on the wire */
    bool gateway;               /* --gateway */
    int64_t lease_ms;           /* --session-lease */
} RiodConfig;

extern RiodConfig riod_config;

/* The number on the wire of a server called @name */
uint32_t riod_config_number(const char *name);

/* Fill in what no option gave: name from the host, uuid from the machine */
void riod_config_complete(void);

/* ----------------------------------------------------------- listen.c */

/* Main loop.  Listen at @addr; false with *@errp and nothing left behind */
bool riod_listen_add(SocketAddress *addr, Error **errp);

/* From here on clients are accepted; says where on stdout */
void riod_listen_start(void);

/* Stop and remove Unix sockets; also runs when the process exits */
void riod_listen_close(void);

/* The sockets (int) of each --listen, in a GArray; caller frees */
GPtrArray *riod_listen_sockets(void);

/* The addresses with the ports that were given; caller frees */
GStrv riod_listen_addresses(void);

/* ------------------------------------------------------------- home.c */

/**
 * RiodTask: work for a home, embedded in what it works on
 * @run: called once in the home, without locks; frees what embeds it
 */
struct RiodTask {
    void (*run)(RiodTask *task);
    QSIMPLEQ_ENTRY(RiodTask) next;
};

struct RiodHome {
    /* Constant */
    char *name;                 /* of the iothread; NULL = default */
    AioContext *ctx;
    Object *thread;             /* the IOThread, referenced */
    QEMUBH *bh;

    QemuMutex lock;
    QSIMPLEQ_HEAD(, RiodTask) tasks;    /* @lock */
    bool wanted;                /* atomic: there are tasks */

    /* Home only: sessions with something that is not sent yet */
    QSIMPLEQ_HEAD(, RiodSession) dirty;
    QSIMPLEQ_HEAD(, RiodJournal) journals;      /* to be committed */
    QSIMPLEQ_HEAD(, RiodJob) ready;     /* tasks that can go on */
    GHashTable *jobs;           /* Coroutine -> RiodJob, those alive */
    bool in_run;                /* riod_home_flush() follows */
    RiodCall *call;             /* the main loop waits for this one */
    const RiodConnection *last_conn;    /* who spoke last; only compared */
    unsigned crowd;             /* > 0: several connections are busy */
    int64_t yield_ns;           /* no yielding before; see connection.c */

    QLIST_ENTRY(RiodHome) node;         /* main loop only */
};

/*
 * Main loop.  @iothread: id of an iothread object, NULL = the default one.
 * A home stays until the end of the process, because connections live there
 * that may outlast its modules.
 */
RiodHome *riod_home_get(const char *iothread, Error **errp);
RiodHome *riod_home_default(void);      /* any thread */
void riod_homes_close_all(void);

/* Any thread.  Tasks of one home run in the order in which they came. */
void riod_home_post(RiodHome *home, RiodTask *task);

/* Main loop.  Run @fn in @home, wait for it; after the tasks posted before */
void riod_home_call(RiodHome *home, void (*fn)(void *), void *opaque);

/*
 * The same for a long call: @fn is a coroutine, and may have
 * riod_home_call_main() run something in the main loop's thread, while the
 * home goes on.
 */
void riod_home_call_long(RiodHome *home, void (*fn)(void *), void *opaque);
void riod_home_call_main(RiodHome *home, void (*fn)(void *), void *opaque);

/*
 * Main loop, once the server is to end: from here until all homes are closed,
 * a home that does nothing for long ends the process.  A callback that never
 * returns cannot be stopped in any other way.
 */
void riod_homes_watch(void);

/*
 * A run of callbacks in @home begins, and ends, no lock held: tasks that are
 * ready go on, and what all of them gave rise to is sent.
 */
void riod_home_begin(RiodHome *home);
void riod_home_flush(RiodHome *home);

/* Home: is there something for riod_home_flush() to do? */
static inline bool riod_home_has_work(const RiodHome *home)
{
    return !QSIMPLEQ_EMPTY(&home->dirty) || !QSIMPLEQ_EMPTY(&home->ready) ||
           !QSIMPLEQ_EMPTY(&home->journals);
}

/* Home: riod_home_has_work() from now on */
void riod_home_stir(RiodHome *home);

/* ---------------------------------------------------------- memory.c */

/* How busy a connection was of late.  Zeroed = ready. */
typedef struct RiodQuiet {
    uint64_t bytes;             /* that it had moved at the last tick */
    unsigned ticks;             /* in which it was quiet ... */
    bool busy;                  /* ... since it was busy */
} RiodQuiet;

/*
 * Any thread: a tick of a connection that has moved @bytes so far.  When it
 * has become quiet, free memory goes back to the system.
 */
void riod_memory_tick(RiodQuiet *q, uint64_t bytes);

/* ------------------------------------------------------- connection.c */

struct RiodConnection {
    uint32_t refs;              /* atomic */
    uint64_t number;            /* constant; order of locks */
    char *peer;                 /* constant; address for messages */
    char *label;                /* constant; "connection NUMBER" in traces */
    RiodPeer *next_hop;         /* constant; we are the client, or NULL */

    /* Home thread only */
    QEMUTimer *tick;            /* keep-alive and handshake timeout */
    ssize_t rx_ready;           /* what polling received, 0 = nothing */
    bool rx_failed;             /* polling saw the end of the stream */
    Error *rx_error;
    char *last_words;           /* of a next hop: why it ends, or NULL */
    QEMUTimer *hold;            /* of filters, or NULL */
    bool held;                  /* what was received is to wait ... */
    bool let_through;           /* ... and has waited */
    int64_t since_ms;           /* it was started */
    int64_t asked_age;          /* filters know how old it is ... */
    uint64_t asked_messages;    /* ... and what it has brought */
    bool started;               /* descriptor is watched ... */
    bool watch_read;            /* for something to receive */
    bool watch_write;           /* for room to send */
    unsigned poll_misses;       /* polls in vain since something came */
    int spin_credit;            /* spin for the next message while > 0 */
    RioLinkState tick_state;    /* of the link when @tick was last set */
    RiodQuiet quiet;

    QemuMutex lock;
    QEMUBH *bh;                 /* others changed fields; NULL while moving */
    RiodHome *home;             /* changed by the home under @lock */
    RioTransport *transport;    /* NULL once closed; receives without @lock */
    RioLink *link;              /* and the sessions on it */
    RiodClient *client;         /* since HELLO */
    QLIST_HEAD(, RiodSession) sessions;
    GHashTable *labels;         /* ids -> RiodLabel, of sessions and routes */
    RiodLabel *hot;             /* the one that spoke last, or NULL */
    RiodLabel *relayed;         /* whose message is to be forwarded */
    bool forwards;              /* it is in the default home, and stays */
    bool flushing;              /* in the list of riod_routes_flush() */
    bool listens;               /* home only: it is told of modules */
    unsigned asks;              /* default home only: without an answer */
    unsigned queued;            /* messages under way to other homes */
    bool paused;                /* not read until @queued falls */
    bool blocked;               /* the transport took not everything */
    unsigned unread;            /* control messages queued since then */
    bool awaited;               /* a session waits until all is sent */
    bool closing;               /* close when all is sent */
    bool closed;
    bool left;                  /* the peer said it will not come back */
    bool cut;                   /* by a filter: nothing goes out any more */
    RiodHome *move_to;          /* wanted */
    RioMessage message;         /* the one that is being handled */
    RiodFiles *files;           /* that came with it, or NULL */
    RiodRate rate;

    QLIST_ENTRY(RiodConnection) node;   /* tables' lock */
};

/* Begin to read it: in its home, and from elsewhere in @home */
void riod_connection_start(RiodConnection *conn);
void riod_connection_post_start(RiodConnection *conn, RiodHome *home);

/* Lock held: does a client speak here for others? */
static inline bool riod_connection_is_forwarder(const RiodConnection *conn)
{
    return !conn->next_hop &&
           rio_link_peer_role(conn->link) != RIO_ROLE_CLIENT;
}

/*
 * Any thread: a reference to the connection of sessions that never had one in
 * this process.  It is closed.
 */
RiodConnection *riod_connection_nowhere(void);

RiodConnection *riod_connection_ref(RiodConnection *conn);
void riod_connection_unref(RiodConnection *conn);       /* NULL-safe */

/* Both hold the lock: send what waits as far as the transport takes it */
void riod_connection_send_locked(RiodConnection *conn);

/* Lock held, any thread: say @status and @reason, close when it is sent */
void riod_connection_bye_locked(RiodConnection *conn, uint8_t status,
                                const char *reason);

/*
 * Lock held, any thread: queue a message that no log keeps.  A peer that
 * does not read is cut off before this fills the memory.
 */
void riod_connection_control_locked(RiodConnection *conn,
                                    const RioMessage *m);

/* Lock held, any thread: end it as a network does; @reset: with RST */
void riod_connection_cut_locked(RiodConnection *conn, bool reset);

/* Lock held, any thread: wake the home to look at the fields above */
void riod_connection_wake_locked(RiodConnection *conn);

/*
 * Lock held, any thread: the peer broke the rules.  One line here, BYE
 * there, and the end.
 */
void riod_connection_bad_locked(RiodConnection *conn, const RioError *err);

/* "client NAME (tcp:192.0.2.1:34567)", for messages; lock held */
char *riod_connection_describe_locked(RiodConnection *conn);

/* ------------------------------------------------------ connections.c */

/* Main loop: serve what was accepted; takes a reference of @ioc */
void riod_connection_new(QIOChannelSocket *ioc);

/* Default home: be the client of @peer over @transport, which it takes */
void riod_connection_open(RiodPeer *peer, RioTransport *transport);

/* Home of @conn, which is closed: forget it */
void riod_connections_remove(RiodConnection *conn);

/* Number of connections; those before their HELLO are limited */
void riod_connections_foreach(void (*fn)(RiodConnection *, void *),
                              void *opaque);

/* Main loop, at the end: BYE to everybody, then close */
void riod_connections_shutdown(void);

/* ---------------------------------------------------------- deliver.c */

/* Home of @conn, its lock held.  Act on @m or hand it over. */
void riod_deliver(RiodConnection *conn, const RioMessage *m);

/* The same for one whose body is bad, from a forwarder: ends the session */
void riod_deliver_bad(RiodConnection *conn, const RioMessage *m,
                      const RioError *err);

/* ---------------------------------------------------------- session.c */

/* What the guest's interrupts still owe; home only */
typedef struct RiodIrqs {
    uint32_t level;             /* per line: as the module set it */
    uint32_t told;              /* ... as the client knows it */
    uint32_t pulsed;            /* ... was there and back since */
    unsigned num_messages;      /* bits set in @messages */
    unsigned long *messages;    /* vectors to send, NULL = none declared */
} RiodIrqs;

/* Counters of DMA; written by the home, read by QMP */
typedef struct RiodDmaStats {
    uint64_t dma_reads;         /* DMA_READ messages: round trips */
    uint64_t dma_read_bytes;
    uint64_t dma_writes;        /* DMA_WRITE messages */
    uint64_t dma_write_bytes;
    uint64_t dma_refused;       /* reads that the client refused */
    uint64_t doorbells;
    uint64_t doorbell_bytes;    /* that came along with them ... */
    uint64_t doorbell_used;     /* ... and that the module read */
    uint64_t shared_bytes;      /* guest memory that is mapped now */
    uint64_t shared_accesses;   /* to it, without a message */
    uint64_t shared_access_bytes;
} RiodDmaStats;

struct RiodSession {
    uint32_t refs;              /* atomic */

    /* Constant */
    RiodInstance *inst;
    unsigned slot;              /* the module's number for this client */
    RioIds ids;
    RiodLabel label;
    RiodClient *client;
    RiodVM *vm;
    RioString device;
    uint64_t caps;              /* agreed in ATTACH */
    uint32_t log_limit;

    /*
     * Lock of @conn.  conn itself is changed by the home of the instance,
     * under the locks of the old and the new one; it is never NULL.
     */
    RiodConnection *conn;
    RioSession *rio;
    unsigned queued;            /* of conn->queued, those for this one */
    bool hold;                  /* its messages wait, the instance is stopped */
    bool want_room;             /* something waits for room in the log */
    bool unsent;                /* something in the log is not sent yet */
    uint32_t max_message;       /* of the connection */
    bool broken;                /* a reply was lost: never to be resumed */
    bool adopted;               /* opened elsewhere: ids as RESUME says */
    bool fenced;                /* kept: acknowledged when it was acted upon */

    /* Home of the instance only */
    bool ended;
    bool dirty;                 /* in home->dirty */
    bool quiet;                 /* no interrupt and no DMA: QUIESCE */
    RiodTalk *talk;             /* about its state; NULL = there was none */
    RiodIrqs irqs;
    QEMUTimer *lease;           /* while the link is lost */
    RiodRate rate;
    RiodLate *late;             /* what filters hold back, or NULL */
    QSIMPLEQ_HEAD(, RiodRecipe) recipes;

    /* Home only: DMA */
    CoMutex gate;               /* one task at a time fills the log ... */
    RiodJob *gate_job;          /* ... and waits there, if not NULL */
    CoMutex credit;             /* the same for reads on their way */
    RiodJob *credit_job;
    QTAILQ_HEAD(, RiodReadMessage) waiting; /* on their way */
    unsigned num_reads;
    uint32_t read_bytes;
    uint32_t next_tag;
    uint32_t first_tag;         /* if @reborn: replies to earlier ... */
    bool reborn;                /* ... ones are dropped */

    /* Home only: memory that the client shares */
    RiodShare *share;           /* NULL = none */
    uint64_t unfenced;          /* last write by message, 0: all happened */
    bool fence;                 /* wait for it before @share is used */
    CoMutex fence_lock;

    /* Home only: what came along with doorbells */
    QTAILQ_HEAD(, RiodDoorbell) doorbells;
    RiodDoorbell *filling;      /* its last message is still to come */
    size_t pieces_cost;         /* at most RIOD_MAX_PIECES */

    /* Written by the home, read by QMP */
    uint64_t reads, writes, posted, interrupts, refused, resumes;
    RiodDmaStats stats;
    bool lost;

    RiodKept *kept;             /* in the journal, or NULL; home only */

    QSIMPLEQ_ENTRY(RiodSession) dirty_next;
    QLIST_ENTRY(RiodSession) on_conn;   /* lock of @conn */
    QLIST_ENTRY(RiodSession) node;      /* tables' lock */
};

RiodSession *riod_session_ref(RiodSession *s);
void riod_session_unref(RiodSession *s);

/**
 * riod_session_open: home of @inst.  Make a session in @slot, on @conn (lock
 * held, link READY).
 * Returns: NULL with *@err when a limit is hit.
 */
RiodSession *riod_session_open(RiodInstance *inst, unsigned slot,
                               RiodConnection *conn, const RioMessage *attach,
                               RioError *err);

/* Whose a session is that another process opened */
typedef struct RiodSessionOrigin {
    unsigned slot;              /* free, and below inst->max_clients */
    uint64_t caps;              /* agreed on in ATTACH */
    uint32_t max_message;       /* that the client takes, about */
    const char *client, *vm, *device;
    const uint8_t *client_uuid, *vm_uuid;
} RiodSessionOrigin;

/**
 * riod_session_adopt: home of @inst, no lock held
 * @rio: from rio_session_import(), with the ids that the client knows; is
 *     taken in any case
 *
 * Go on with a session that was opened elsewhere: @inst has it in that slot,
 * its module is told of the client, and the lease runs until RESUME comes.
 * The ids are the client's word then, see "Moving a module".
 * Returns: NULL with *@err when a limit is hit.  It is the instance's, as one
 * of riod_session_open().
 */
RiodSession *riod_session_adopt(RiodInstance *inst,
                                const RiodSessionOrigin *origin,
                                RioSession *rio, RioError *err);

/*
 * Home, lock of s->conn held: answer @attach, from here on the session sends.
 * Nothing happens when the connection has gone meanwhile.
 */
void riod_session_begin_locked(RiodSession *s, const RioMessage *attach);

/**
 * riod_session_end: home of the instance, no lock held.  Detach for good.
 * @status, @reason: told to the client, unless @reason is NULL
 */
void riod_session_end(RiodSession *s, uint8_t status, const char *reason);

/*
 * Home of the instance, lock of s->conn held: the client broke the rules of
 * the session.  That ends the connection, or on one that others share, the
 * session.
 */
void riod_session_bad_locked(RiodSession *s, const RioError *err);

/*
 * Tables' lock held.  Is a virtual machine of @client there as @name with
 * another UUID?  One that is lost is ended instead.
 */
bool riod_session_vm_is_claimed_locked(const RiodClient *client,
                                       const char *name,
                                       const uint8_t *uuid);

/* Home, no lock held: the link was lost; keep the session for the lease */
void riod_session_lost(RiodSession *s, RiodConnection *conn);

/* Home, no lock held: carry on on @conn */
void riod_session_resume(RiodSession *s, RiodConnection *conn,
                         const RioMessage *resume);

/*
 * Any thread: the session that shows @token to its own client, or, when that is
 * NULL, over a forwarder; a reference
 */
RiodSession *riod_session_find(const RioMessage *resume, RiodClient *client);

/**
 * riod_session_reply: home; lock of s->conn held.  Queue @m after the
 * interrupts that were raised before it.  A client that left no room in the
 * log breaks its promise; its session is ended then.
 */
void riod_session_reply(RiodSession *s, RioMessage *m);

/* Home, lock of s->conn held: move recipes and interrupts into the log while
 * there is room.  Returns: true when something is to be sent. */
bool riod_session_push_locked(RiodSession *s);

/* Home, lock of s->conn held: may something that is no reply and no
 * interrupt take @size bytes of the log? */
bool riod_session_log_room_locked(const RiodSession *s, size_t size);

/* Any thread, lock of @conn held: all is sent, and somebody waits for that */
void riod_sessions_drained_locked(RiodConnection *conn);

/* Home, lock of s->conn held: the log has room again */
void riod_session_room_locked(RiodSession *s);

/* Home: what it has is pushed and sent at the next flush */
void riod_session_mark_dirty(RiodSession *s);

/* Home: note an interrupt; it goes out with the next flush */
void riod_session_irq_level(RiodSession *s, unsigned line, bool level);
void riod_session_irq_message(RiodSession *s, unsigned vector);

/* Home: lines low, and nothing owed that was raised before */
void riod_session_irq_drop(RiodSession *s);

/* Home: owe what @level and the bitmap @messages of all vectors say */
void riod_session_irq_load(RiodSession *s, uint32_t level,
                           const uint8_t *messages);

/* ----------------------------------------------------------- attach.c */

/* Lock of @conn held, its home: ATTACH, RESUME and DETACH */
void riod_attach(RiodConnection *conn, const RioMessage *m);
void riod_resume(RiodConnection *conn, const RioMessage *m);
void riod_detach(RiodSession *s, const RioMessage *m);

/* --------------------------------------------------------------- ask.c */

/* Lock of @conn held: answer ROUTE_TRACE, or ask others who can */
void riod_trace(RiodConnection *conn, const RioMessage *m);

/* Lock of @conn held: @m has the flag TRACE and came here */
void riod_trace_report_locked(RiodConnection *conn, const RioMessage *m);

/* ----------------------------------------------------------- router.c */

/**
 * riod_route: home of the instance, lock of s->conn held
 * @m: a sequenced message of the client, delivered in order
 *
 * The only place where an access is judged: does it lie within a region,
 * is its size allowed there.  Carries it out and queues the reply.
 */
void riod_route(RiodSession *s, const RioMessage *m);

/* --------------------------------------------------------- registry.c */

/* Types of modules: built in, or loaded.  Main loop only. */
bool riod_registry_load_dir(const char *dir, Error **errp);
const RioModule *riod_registry_find(const char *name, Error **errp);
void riod_registry_help(void);
void riod_registry_help_type(const RioModule *type);

/* Returns: false with *@errp naming what @type lacks */
bool riod_registry_check(const RioModule *type, const char *where,
                         Error **errp);

/* What @type says of its state; NULL: nothing, it is perhaps an older one */
const RioModuleState *riod_registry_state(const RioModule *type);

/* --------------------------------------------------------- instance.c */

struct RiodInstance {
    RioDevice dev;              /* what the module sees; first member */
    uint32_t refs;              /* atomic */

    /* Constant once open succeeded */
    char *id;
    uint32_t number;            /* module id on the wire */
    const RioModule *type;
    RiodHome *home;
    void *state;
    QDict *params;              /* name -> string, fallbacks filled in */
    QDict *args;                /* that it was added with */
    RioDescription desc;
    uint8_t *encoded_desc;
    size_t encoded_desc_len;
    unsigned max_clients;

    /* What the router asks at each access, copied out of @desc */
    uint64_t region_size[RIO_MAX_REGIONS];
    uint8_t first_range[RIO_MAX_REGIONS + 1];

    /* Home only */
    Error *open_error;          /* set by rio_fail() */
    QLIST_HEAD(, RioTimer) timers;
    bool opened;
    bool closing;               /* tasks are to return */
    bool closed;
    QLIST_HEAD(, RiodJob) jobs; /* its tasks */
    unsigned num_jobs;          /* atomic to read elsewhere */
    RiodSaver *saver;           /* how it is saved; NULL = it cannot be */

    /* Home only: while it is stopped, see state.h */
    unsigned stops;             /* nothing leaves it ... */
    unsigned holds;             /* ... and accesses wait, too */
    bool settled;               /* it has come to rest */
    bool forgotten;             /* it lives elsewhere */
    unsigned in_block;          /* tasks in a disk request */
    unsigned thawed_chars;      /* that are not yet at rest */
    QSIMPLEQ_HEAD(, RiodTask) held;     /* accesses, attaches ... */
    QSIMPLEQ_HEAD(, RiodJob) held_jobs; /* tasks that could go on */
    QLIST_HEAD(, RiodStop) stopping;    /* who waits for it */
    RiodDoorbell *ringing;      /* while its write is carried out */
    char **irq_vm;              /* per vector: who handles it, or NULL */
    RiodFilter *filters;        /* nearest to clients first; atomic */
    RiodFate *fate;             /* of the message that is carried out */
    RiodJournal *journal;       /* or NULL */
    bool added;                 /* by QMP, not by an option */
    RiodRate rate;

    /* Home writes under the tables' lock, so it reads without */
    RiodSession **clients;      /* [max_clients], NULL = free */

    /* Moves, see move.h */
    bool waits;                 /* atomic: for a module that moves in */
    bool moving;                /* default home: it moves out */
    void *arrival;              /* default home: what moves in, or NULL */

    QLIST_HEAD(, RioChar) chars;        /* main loop, or home in open */
    QLIST_HEAD(, RioBlock) blocks;      /* the same */
    bool removing;                      /* tables' lock */
    QTAILQ_ENTRY(RiodInstance) node;    /* tables' lock */
};

/*
 * Main loop.  @args: driver, id, iothread, incoming, interrupt-vm and the
 * parameters as strings
 */
bool riod_instance_add(const QDict *args, Error **errp);

/*
 * Main loop: what is in @inst is elsewhere, or was never used.  It is closed,
 * and one like it waits in its place for a module that moves in.
 */
bool riod_instance_renew(RiodInstance *inst, Error **errp);
bool riod_instance_del(const char *id, Error **errp);
void riod_instances_close_all(void);

/* Any thread, for messages: "module 'a'", "one of the modules 'a', 'b'" */
char *riod_instances_in_home(const RiodHome *home);

/* Any thread.  A reference, or NULL with *@err listing what there is */
RiodInstance *riod_instance_find(const char *id, RioError *err);
RiodInstance *riod_instance_ref(RiodInstance *inst);
void riod_instance_unref(RiodInstance *inst);

/* Main loop: is there any? */
bool riod_instances_exist(void);

/* Main loop: module ids on the wire up to @number are taken */
void riod_instance_reserve(uint32_t number);

/* Tables' lock held */
void riod_instances_foreach_locked(void (*fn)(RiodInstance *, void *),
                                   void *opaque);

/* Interrupt messages that it has, of either kind */
static inline unsigned riod_instance_vectors(const RiodInstance *inst)
{
    return MAX(inst->desc.msi_vectors, inst->desc.msix_vectors);
}

static inline RiodInstance *riod_instance(RioDevice *dev)
{
    return (RiodInstance *)dev;
}

/* ----------------------------------------------------------- params.c */

/* Returns: parameters of @type as strings with fallbacks, checked */
QDict *riod_params_check(const RioModule *type, const QDict *args,
                         Error **errp);
bool riod_params_uint(const char *text, uint64_t *value);
bool riod_params_bool(const char *text, bool *value);

/* ----------------------------------------------------------- describe.c */

/* Home.  Ask the module what it is, check it, encode it */
bool riod_describe(RiodInstance *inst, Error **errp);

/* ------------------------------------------------------------- host.c */

extern const RioHost riod_host;

/* The module used a @what with number @n that it does not have */
void riod_complain(RiodInstance *inst, const char *what, unsigned n);

/* ----------------------------------------------------------- timers.c */

RioTimer *riod_timer_new(RioDevice *dev, void (*fire)(RioDevice *, void *));
void riod_timer_set(RioTimer *timer, int64_t at_ns);
void riod_timer_cancel(RioTimer *timer);
void riod_timers_free(RiodInstance *inst);      /* home */
void riod_timers_go(RiodInstance *inst);        /* home: fire those due */

/* ---------------------------------------------------------- chardev.c */

RioChar *riod_char_open(RioDevice *dev, const char *chardev,
                        const RioCharOps *ops);
size_t riod_char_write(RioChar *chr, const uint8_t *buf, size_t len);
void riod_char_room_changed(RioChar *chr);
void riod_char_set_line(RioChar *chr, const RioCharLine *line);
void riod_char_set_modem(RioChar *chr, unsigned outputs);
bool riod_char_get_modem(RioChar *chr, unsigned *lines);
void riod_char_break(RioChar *chr, bool on);

/*
 * Main loop.  After open: let data flow.  Before close: no event is posted
 * any more.  After close: let go of the chardev.
 */
void riod_chars_start(RiodInstance *inst);
void riod_chars_stop(RiodInstance *inst);
void riod_chars_free(RiodInstance *inst);

/*
 * Home.  Nothing comes from chardevs or goes to them; when that is so for all,
 * inst->thawed_chars is 0 and riod_stop_look() is called.
 */
void riod_chars_freeze(RiodInstance *inst);
void riod_chars_thaw(RiodInstance *inst);

/*
 * Home.  Bytes that saving takes at most; save to @at, returning what is
 * behind it; take off the front of @from what was saved and, when @apply, have
 * it.  Returns: NULL, or what is wrong.
 */
size_t riod_chars_save_max(const RiodInstance *inst);
uint8_t *riod_chars_save(RiodInstance *inst, uint8_t *at);
const char *riod_chars_load(RiodInstance *inst, RioBytes *from, bool apply);

/* Home.  Drop what is on its way, either way */
void riod_chars_forget(RiodInstance *inst);

/* Home: what modules wrote is committed, and may go to the chardevs */
void riod_chars_commit(RiodInstance *inst);

/*
 * Home.  How many bytes each of the first @n chardevs has taken is to be in
 * @live, too, at any time; NULL = no more
 */
void riod_chars_follow(RiodInstance *inst, uint64_t *live, unsigned n);

/* Home.  How many they had taken at the last save.  Returns: chardevs, to @n */
unsigned riod_chars_saved(RiodInstance *inst, uint64_t *saved, unsigned n);

/*
 * Home, after a load of what was saved when chardevs had taken @saved: they
 * have taken @live, so drop what is theirs already
 */
void riod_chars_skip(RiodInstance *inst, const uint64_t *saved,
                     const uint64_t *live, unsigned n);

/* --------------------------------------------------------- monitor.c */

void riod_monitor_init(void);

/*
 * events.c; home: QMP events.  emit.c brings those of our schema past the
 * numbers of QEMU's.
 */
void riod_event_attached(RiodSession *s);
void riod_event_detached(RiodSession *s);

/* Home: a server was found in, or is gone from, what @source says */
void riod_event_server(const char *server, const char *source, bool found);

/* Home: what @source says has changed; @trouble: it cannot be asked */
void riod_event_directory(const char *source, const char *trouble,
                          unsigned modules);

/* Any thread: another server has our id in @source, at @address */
void riod_event_taken(const char *source, const char *address);

/* Default home: @module moved to @server, or did not because of @trouble */
void riod_event_moved(const char *module, const char *server, const char *as,
                      const char *trouble);

/* Home: it came from @server */
void riod_event_moved_in(RiodInstance *inst, const char *server);

/* Lock of the server's tables */
void riod_tables_lock(void);
void riod_tables_unlock(void);

/* Any thread.  True when the process was asked to end */
bool riod_quit_requested(void);

/* Any thread.  End at once, taking along no more than files of ours */
G_NORETURN void riod_abandon(void);

#include "task-services.h"
#include "state.h"

#include "journal-store.h"
#include "journal.h"

#endif /* SERVER_INTERNAL_H */
