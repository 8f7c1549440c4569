/*
 * remote-io-server internals: the map of routing
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A forwarder (a server with --peer, or a gateway) carries sessions whose
 * ends are elsewhere.  It has a connection to each next hop, a route for each
 * session that goes over it, and an ask for each request that makes a way
 * (ATTACH, RESUME, ROUTE_TRACE) and has no answer yet.
 *
 * Everything here belongs to the default home: routes, peers and asks are
 * touched by its thread alone and need no lock.  Connections with routes are
 * read there.  A relayed message passes from one connection to the other
 * while neither is locked; the lock of one connection is taken at a time.
 */

#ifndef SERVER_FORWARD_H
#define SERVER_FORWARD_H

#include "internal.h"

typedef struct RiodAsk RiodAsk;

/* Of the queue of a session beyond its log limit: what no log keeps */
#define RIOD_QUEUE_SLACK (RIO_MAX_MESSAGE + 65536u)

/* Requests for a way that one client, and all, may have without an answer */
#define RIOD_MAX_ASKS 64u
#define RIOD_MAX_ASKS_FORWARDER 16384u
#define RIOD_MAX_ASKS_ALL 65536u

/* What may be agreed on for a session that is forwarded: no descriptors */
#define RIOD_FORWARD_CAPS \
    (RIO_CAP_RESUME | RIO_CAP_DMA | RIO_CAP_RECIPES | RIO_CAP_ROUTE | \
     RIO_CAP_LONG | RIO_CAP_LAZY | RIO_CAP_STATE | RIO_CAP_MOVE)

/* Without these nothing can be forwarded to a server */
#define RIOD_FORWARD_NEEDS (RIO_CAP_RESUME | RIO_CAP_ROUTE)

/* ------------------------------------------------------------- peer.c */

/*
 * A next hop: those that --peer names, in that order, then those that were
 * found in a directory, when they are needed for the first time.  The former
 * are for ever.  One of the latter is connected to while somebody needs it,
 * and ends when nobody does and no directory names it.
 */
struct RiodPeer {
    /* Constant */
    char *id;                   /* server id that it must have */
    bool found;                 /* in a directory */

    /* Home only */
    RiodConnection *conn;       /* past its handshake, or NULL */
    unsigned links;             /* connections, @conn included */
    unsigned users;             /* routes over it, and asks that may use it */
    bool listed;                /* a directory names it */
    bool over;                  /* @found, and to be freed by its thread */
    bool trying;                /* the thread has been told to connect */
    char *text;                 /* where it is, for messages */
    uint64_t connects;
    char *trouble;              /* why there is no @conn, for people */
    GHashTable *heard;          /* what it announces, see announced.h; NULL:
                                   nothing yet */

    /* The thread that connects */
    QemuThread thread;
    bool started;
    bool stop;                  /* atomic; also cancels a connect */
    QemuMutex lock;
    QemuCond cond;
    char **addresses;           /* @lock: in the short form, best first */
    bool wanted;                /* @lock: make a connection */
    bool hurry;                 /* @lock: do not wait before */

    QTAILQ_ENTRY(RiodPeer) node;
};

/* Main loop, before the start.  @args: id, addr; false with *@errp */
bool riod_peer_add(const QDict *args, Error **errp);

/* Main loop: begin to connect; end all connects */
void riod_peers_start(void);
void riod_peers_stop(void);

/* Any thread: is this a forwarder, with peers or a directory? */
bool riod_peers_exist(void);

/* Home.  By name; the one after @peer, or the first for NULL; or NULL */
RiodPeer *riod_peer_find(const char *id);
RiodPeer *riod_peer_next(RiodPeer *peer);

/*
 * Home.  The server @id, which a directory says is at @addresses; makes a peer
 * if there is none.  One of --peer stays where that option says.
 */
RiodPeer *riod_peer_found(const char *id, char **addresses);

/* Home.  No directory names @peer any more */
void riod_peer_gone(RiodPeer *peer);

/* Home.  Whoever holds one has it stay, and be connected again when lost */
RiodPeer *riod_peer_ref(RiodPeer *peer);
void riod_peer_unref(RiodPeer *peer);

/* Home.  Somebody waits for a connection: try now */
void riod_peer_hurry(RiodPeer *peer);

/* Home, no lock held: @conn has done its handshake; @conn is over */
void riod_peer_ready(RiodConnection *conn);
void riod_peer_lost(RiodConnection *conn, const char *reason);

/* Home, no lock held: a message of a next hop that is not relayed */
void riod_peer_message(RiodConnection *conn, const RioMessage *m);

/* -------------------------------------------------------------- ask.c */

/**
 * riod_ask: any thread, lock of @conn held.  Ask other servers for what @m
 * (ATTACH, RESUME or ROUTE_TRACE) asks for; somebody is answered in the end
 * @err: the answer when nobody knows better
 */
void riod_ask(RiodConnection *conn, const RioMessage *m, const RioError *err);

/* Home: @peer can be asked now, or cannot; the answers that are owed fail */
void riod_asks_peer_ready(RiodPeer *peer);
void riod_asks_peer_failed(RiodPeer *peer, const char *text);

/* Home: nobody waits for an answer about @r any more */
void riod_asks_forget_route(RiodRoute *r);

/* Home, no lock held: an answer of a next hop */
void riod_ask_answered(RiodConnection *conn, const RioMessage *m);

/* ------------------------------------------------------------ route.c */

typedef enum RiodRouteState {
    RIOD_ROUTE_LIVE,            /* messages pass */
    RIOD_ROUTE_RESUMING,        /* RESUME was sent, messages are dropped */
    RIOD_ROUTE_LOST,            /* one of the connections is lost */
} RiodRouteState;

/* Ways of a message: to the client, to the module */
enum { RIOD_UP, RIOD_DOWN };

/* A session that is forwarded */
struct RiodRoute {
    RiodRouteState state;
    RiodPeer *peer;
    uint8_t token[RIO_TOKEN_SIZE];      /* key in the table of routes */
    uint32_t epoch;             /* of the last RESUME that was sent on */
    uint64_t caps;
    uint32_t log_limit;

    /* Whose it is, for people; vm is NULL when this process came later */
    RiodClient *client;
    RiodVM *vm;
    RioString device;
    RioString module;

    /* Towards the client, and towards the module */
    RiodLabel up, down;
    RioSession *up_queue, *down_queue;  /* lock of the connection */
    RiodConnection *up_conn, *down_conn;        /* NULL: lost */

    QEMUTimer *lease;
    uint64_t messages[2];       /* that were forwarded, by their way */
    uint64_t bytes[2];
    uint64_t resumes;

    QTAILQ_ENTRY(RiodRoute) node;
};

/**
 * riod_route_new: @conn attached a module of another server
 * @attach: its request
 * @reply: the answer of @peer, whose status is OK
 * Answers @conn, or returns false with *@err.
 */
bool riod_route_new(RiodConnection *conn, RiodPeer *peer,
                    const RioMessage *attach, const RioMessage *reply,
                    RioError *err);

/* May @attach of @client make a route?  Ends lost ones of a VM before it. */
bool riod_route_check_vm(const RiodClient *client, const RioMessage *attach,
                         RioError *err);

/* Those that @token names, or NULL */
RiodRoute *riod_route_find(const uint8_t *token);

/*
 * Its server has left the directory and cannot be reached, and another one has
 * the module now: what is left is to ask that one
 */
bool riod_route_orphaned(const RiodRoute *r);

/* Forget it, without a word to anybody */
void riod_route_drop(RiodRoute *r);

/* @conn wants to go on with @r; false with *@err when it may not */
bool riod_route_resume(RiodRoute *r, RiodConnection *conn,
                       const RioMessage *resume, RioError *err);

/* The session that @token names is here now: its client is to say RESUME */
void riod_route_is_here(const uint8_t *token);

/* The next hop agrees (status OK) or not; answers the client */
void riod_route_resumed(RiodRoute *r, const RioMessage *resume,
                        const RioMessage *reply);

/* This process does not know the session, but @peer does: remember it */
bool riod_route_adopt(RiodConnection *conn, RiodPeer *peer,
                      const RioMessage *resume, const RioMessage *reply,
                      RioError *err);

/* Home, no lock held: forward a message, which conn->relayed names */
void riod_route_message(RiodConnection *conn, const RioMessage *m);

/* Home, no lock held: send what was forwarded */
void riod_routes_flush(void);

/* Home, no lock held: @conn is over */
void riod_routes_lost(RiodConnection *conn, const char *reason);

/* Home */
void riod_routes_foreach(void (*fn)(RiodRoute *, void *), void *opaque);

/* Home: end all of them, at the end */
void riod_routes_close_all(void);

#endif /* SERVER_FORWARD_H */
