/*
 * remote-io link: state shared by its files
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef NET_REMOTE_IO_LINK_INTERNAL_H
#define NET_REMOTE_IO_LINK_INTERNAL_H

#include "net/remote-io/link.h"
#include "net/remote-io/session-internal.h"

#define RIO_LINK_PLAN 64        /* most iovecs of one rio_link_tx() */

/* A growing queue of bytes: data[head..tail) */
typedef struct RioQueue {
    uint8_t *data;
    size_t size;
    size_t head;
    size_t tail;
} RioQueue;

/* One iovec of rio_link_tx(): whose bytes; NULL = the control queue */
typedef struct RioPlanned {
    RioSession *session;
    const uint8_t *data;
    size_t len;
} RioPlanned;

struct RioLink {
    /* What this side said, and what both agreed on */
    RioLinkConfig config;       /* strings are owned here */
    RioLinkAdmit *admit;
    void *admit_opaque;
    RioLinkRelay *relays;
    void *relays_opaque;
    RioLinkState state;
    uint64_t caps;
    uint32_t max_message;
    uint32_t keepalive_ms;
    uint32_t client_id;
    uint32_t server_id;

    /* The peer */
    RioString peer_name;
    RioString peer_software;
    uint8_t peer_uuid[RIO_UUID_SIZE];
    uint8_t peer_role;

    /* Receiving; the place of rx.data changes only in rio_link_rx_space() */
    RioQueue rx;
    uint32_t rx_target;         /* size that the traffic of late asks for */
    uint8_t rx_small;           /* receives in a row that were far below it */
    size_t rx_space;            /* room that was given out last */
    bool rx_keep;               /* large messages come: keep what they need */
    uint64_t rx_swept;          /* bytes received until the last sweep */
    uint64_t files_from;        /* bytes of the stream that came ... */
    uint64_t files_to;          /* ... with descriptors; 0 = none */

    /*
     * Sending.  Control goes before sessions, except that a session's
     * message in progress (@partial, first of @ready) is completed first.
     */
    RioQueue control;
    size_t control_rest;        /* its start: of a message that has begun */
    bool files_queued;          /* a message with descriptors is in there ... */
    size_t files_skip;          /* ... after so many bytes, ... */
    size_t files_len;           /* ... and so long */
    RioSession *partial;
    RioListNode members;        /* all sessions that were added */
    RioListNode ready;          /* sessions with something to send */
    RioListNode recent;         /* sessions in which something happened */
    RioPlanned plan[RIO_LINK_PLAN];
    int planned;

    /* Time, all in ms of the caller's clock */
    int64_t born_ms;
    int64_t closing_ms;         /* since when CLOSING or CLOSED, or -1 */
    int64_t last_rx_ms;
    int64_t last_tx_ms;
    int64_t last_ping_ms;
    int64_t sweep_ms;           /* last look at @recent */
    uint64_t cookie;
    bool pinged;                /* since rio_link_pinged() was last asked */

    RioLinkStats stats;
};

void rio_link_set_state(RioLink *l, RioLinkState state);

/* Show the watch all messages that begin in @begun of @len bytes */
void rio_link_show_sent(RioLink *l, const uint8_t *data, size_t begun,
                        size_t len);

static inline bool rio_link_watched(const RioLink *l)
{
    return l->config.watch && l->config.watch->wanted();
}

/* Bytes of whole messages in the control queue: what the peer asked for */
static inline size_t rio_link_control_waits(const RioLink *l)
{
    return l->control.tail - l->control.head - l->control_rest;
}

/* Room for @n bytes at the tail of @q, moving or growing what is there */
void rio_queue_reserve(RioQueue *q, size_t n);
void rio_queue_free(RioQueue *q);

/* Like rio_link_send(), in any state */
void rio_link_queue(RioLink *l, const RioMessage *m);

/* Queue HELLO, or HELLO_REPLY with these agreed values */
void rio_link_queue_hello(RioLink *l);

/* Act on a message of the link itself; see rio_link_next() */
RioNextResult rio_link_own_message(RioLink *l, RioMessage *m, RioError *err)
    G_GNUC_WARN_UNUSED_RESULT;

/* Queue BYE with @err's status and text; @m has room for it */
void rio_link_queue_bye(RioLink *l, uint8_t status, const char *reason);

/* ACKs that are late, memory that a burst left behind */
void rio_link_sweep(RioLink *l);

/* Lists through sessions */
static inline void rio_list_init(RioListNode *list)
{
    list->next = list->prev = list;
}

static inline bool rio_list_empty(const RioListNode *list)
{
    return list->next == list;
}

static inline void rio_list_append(RioListNode *list, RioListNode *node)
{
    node->next = list;
    node->prev = list->prev;
    list->prev->next = node;
    list->prev = node;
}

static inline void rio_list_remove(RioListNode *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->next = node->prev = NULL;
}

#define RIO_SESSION_OF(node, member) \
    ((RioSession *)((char *)(node) - offsetof(RioSession, member)))

#endif /* NET_REMOTE_IO_LINK_INTERNAL_H */
