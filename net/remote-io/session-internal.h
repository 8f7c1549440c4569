/*
 * remote-io session: what a link sees of it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A link with ten thousand sessions must find those with work in one step.
 * So a session tells its link when it gets some, and the link keeps it in
 * lists that go through the session itself.  Only session and link include
 * this.
 */

#ifndef NET_REMOTE_IO_SESSION_INTERNAL_H
#define NET_REMOTE_IO_SESSION_INTERNAL_H

#include "net/remote-io/session.h"

/* Membership in one of the link's lists; unlinked when @next is NULL */
typedef struct RioListNode {
    struct RioListNode *next;
    struct RioListNode *prev;
} RioListNode;

/* What a session tells its link; set while it is added to one */
typedef struct RioSessionOwner {
    /*
     * Bytes or an acknowledgement wait and @awake is false, or something
     * happened at all and @recent is false.
     */
    void (*wake)(RioSession *s);
    /*
     * The transmit position is about to be given up: complete the message
     * that is in progress from a copy.
     */
    void (*abandon)(RioSession *s);
    /* The session is freed */
    void (*leave)(RioSession *s);
} RioSessionOwner;

struct RioSession {
    /* Identity; constant from rio_session_start() on, except the epoch */
    RioIds ids;
    uint8_t side;               /* RioSide */
    uint8_t state;              /* RioSessionState */
    uint32_t epoch;
    uint32_t log_limit;
    uint8_t token[RIO_TOKEN_SIZE];

    /* Numbers: acked <= begun <= sent */
    uint64_t sent;              /* last seq in the log */
    uint64_t begun;             /* last seq of which a byte was transmitted */
    uint64_t reached;           /* last seq wholly sent before some resume */
    uint64_t acked;             /* last seq that left the log */
    uint64_t received;          /* last seq delivered */

    /*
     * The log: messages acked + 1 to sent, without gaps, at
     * log[head..tail); head <= tx <= tx_end <= tail <= size.  The message in
     * progress ends at tx_end; tx == tx_end between two messages.
     */
    uint8_t *log;
    uint32_t size;
    uint32_t head;
    uint32_t tx;
    uint32_t tx_end;
    uint32_t tail;
    uint32_t last;              /* start of the last message, if @mergeable */
    uint32_t peak;              /* most bytes since the log was empty */
    uint8_t small_rounds;       /* times it emptied with a small peak */
    bool mergeable;             /* the last message is a posted write */
    bool relay;                 /* only a queue, see rio_session_new_relay() */

    /* Received since something that carries an ack was last queued */
    uint32_t unacked_messages;
    uint32_t unacked_bytes;
    bool ack_due;               /* the link's clock wants one now */

    /* Delivered, but not to be acknowledged yet */
    uint32_t held_messages;
    uint32_t held_bytes;

    /* Somebody else decides what may go out, see rio_session_fence() */
    bool fenced;
    uint32_t fenced_bytes;      /* of the log, at its tail: not committed */
    uint64_t committed;         /* what may be said to have been received */

    /* The link's; see RioSessionOwner */
    const RioSessionOwner *owner;
    void *link;
    bool awake;                 /* in the ready list */
    bool recent;                /* in the list that the next tick looks at */
    uint8_t idle_ticks;         /* ticks since something happened */
    uint32_t turn_left;         /* bytes left of a turn cut short, or 0 */
    RioListNode member_node;
    RioListNode ready_node;
    RioListNode recent_node;
};

/*
 * Like rio_session_tx(), but ends at the first message boundary at or after
 * @quantum bytes.
 */
size_t rio_session_tx_some(RioSession *s, const uint8_t **data,
                           size_t quantum);

/* What is left of the message in progress, 0 bytes between two messages */
size_t rio_session_tx_rest(const RioSession *s, const uint8_t **data);

/* There is something to send, or (@work false) something happened */
void rio_session_wake(RioSession *s, bool work);

/* True when rio_session_tx() would give bytes */
bool rio_session_tx_waits(const RioSession *s);

/* Give memory back that only a burst needed; no message is lost */
void rio_session_trim(RioSession *s);

#endif /* NET_REMOTE_IO_SESSION_INTERNAL_H */
