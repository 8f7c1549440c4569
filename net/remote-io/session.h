/*
 * remote-io session: numbering, acknowledgement, replay
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A session is one device attached to one module.  It outlives the
 * connection that carries it: messages are numbered from 1 in each direction,
 * kept in a bounded log until the peer acknowledges them, and sent again
 * after a resume; what arrives twice is dropped.  So every message is
 * delivered exactly once and in order while both processes live.
 *
 * The log is also the send queue: a message is encoded once, into the log,
 * and transmitted from there.  The session is the same code at both ends and
 * a pure state machine: no socket, no clock, no thread, no lock.  The caller
 * serialises calls on one session; once it is added to a link, a call on the
 * session is a call on the link, under the same lock.
 *
 * Specification: docs/interop/remote-io.rst, "Sessions".
 */

#ifndef NET_REMOTE_IO_SESSION_H
#define NET_REMOTE_IO_SESSION_H

#include "net/remote-io/codec.h"

typedef struct RioSession RioSession;

typedef enum {
    RIO_SESSION_NEW,            /* no ids yet */
    RIO_SESSION_LIVE,           /* attached, its link is up */
    RIO_SESSION_LOST,           /* attached, no link: messages are logged */
    RIO_SESSION_CLOSED,         /* detached, gone or fenced; final */
} RioSessionState;

typedef enum {
    RIO_SIDE_CLIENT,            /* the VM's end */
    RIO_SIDE_SERVER,            /* the module's end */
} RioSide;

/* What rio_session_receive() made of a message */
typedef enum {
    RIO_RECEIVE_DELIVER,        /* next in order: act on it */
    RIO_RECEIVE_DROP,           /* seen before, or only an acknowledgement */
    RIO_RECEIVE_BAD,            /* *err says why; end the connection */
} RioReceiveResult;

RioSession *rio_session_new(RioSide side);
void rio_session_free(RioSession *s);       /* NULL-safe */

RioSessionState rio_session_state(const RioSession *s);
const RioIds *rio_session_ids(const RioSession *s);
uint32_t rio_session_epoch(const RioSession *s);
const uint8_t *rio_session_token(const RioSession *s);
uint32_t rio_session_log_limit(const RioSession *s);
uint64_t rio_session_received(const RioSession *s); /* last seq delivered */
uint64_t rio_session_sent(const RioSession *s);     /* last seq given out */
uint64_t rio_session_acked(const RioSession *s);    /* last seq peer has */

/**
 * rio_session_start: NEW -> LIVE, after ATTACH_REPLY was built or received
 * @ids: agreed ids
 * @epoch: agreed epoch (1 for a new session)
 * @token: RIO_TOKEN_SIZE bytes that RESUME must show
 * @log_limit: bytes of unacknowledged messages either side may hold
 */
void rio_session_start(RioSession *s, const RioIds *ids, uint32_t epoch,
                       const uint8_t *token, uint32_t log_limit);

/* LIVE -> LOST: the link is gone; what was not acknowledged stays */
void rio_session_lost(RioSession *s);

/**
 * rio_session_resume: LIVE or LOST -> LIVE on another link
 * @epoch: must be greater than the present one
 * @peer_received: last seq the peer has; what follows is sent again
 *
 * A peer may name less than it has received, if it had not kept the rest yet,
 * and more than that in its next resume or acknowledgement.
 *
 * Returns: false with *@err when @epoch or @peer_received cannot be true
 * (older than acknowledged, or never sent); the state is unchanged then.
 */
bool rio_session_resume(RioSession *s, uint32_t epoch,
                        uint64_t peer_received, RioError *err)
    G_GNUC_WARN_UNUSED_RESULT;

/* any -> CLOSED: the log is dropped, sends are refused from now on */
void rio_session_close(RioSession *s);

/**
 * rio_session_send:
 * @m: a sequenced message; ids, epoch, seq and ack are filled in here
 *
 * Encode @m at the end of the log.  Also allowed while LOST.  A message that
 * alone exceeds the limit is taken when the log is empty.
 * Returns: false when the log is full (wait for acknowledgements, then try
 * again), the session is NEW or CLOSED or @m cannot be encoded; nothing was
 * queued then.
 */
bool rio_session_send(RioSession *s, RioMessage *m)
    G_GNUC_WARN_UNUSED_RESULT;

/**
 * rio_session_post:
 * @w: a posted write
 *
 * Like rio_session_send() of a posted REGION_WRITE; while the last message
 * of the log is a posted write or a batch of which no byte was transmitted,
 * the two become one REGION_WRITE_BATCH.
 */
bool rio_session_post(RioSession *s, const RioWrite *w)
    G_GNUC_WARN_UNUSED_RESULT;

/**
 * rio_session_receive:
 * @m: a decoded message whose ids are this session's
 *
 * Judge epoch, direction, sequence and acknowledgement.  A sequenced message
 * that is DELIVERed counts as received from here on.  Acknowledged messages
 * leave the log, also when the result is DROP.  Of messages without sequence
 * ACK is dropped, DETACH, SESSION_GONE and others are delivered; ATTACH and
 * RESUME (and their replies) concern no running session and do not come here.
 *
 * BAD with RIO_STATUS_STALE_EPOCH is no crime of the peer: a later epoch took
 * over while the message was on its way.  Its sender is told SESSION_GONE and
 * the connection lives.
 */
RioReceiveResult rio_session_receive(RioSession *s, const RioMessage *m,
                                     RioError *err)
    G_GNUC_WARN_UNUSED_RESULT;

/*
 * The message of @length bytes that was delivered last is not acted upon yet:
 * do not acknowledge it before rio_session_release() is called for it, so that
 * the peer's log limit bounds what waits here.  First held, first released.
 */
void rio_session_hold(RioSession *s, uint32_t length);
void rio_session_release(RioSession *s, uint32_t length);

/* Bytes that are held now */
size_t rio_session_held(const RioSession *s);

/*
 * Forget what is held, as if it had never been received: the caller acts upon
 * none of it, does not release it, and the peer sends it again after the next
 * resume.  For a session that has no link, or is just being resumed.
 */
void rio_session_drop_held(RioSession *s);

/*
 * Last seq that was delivered, is not held and not behind the fence: what
 * RESUME and its reply may name
 */
uint64_t rio_session_acknowledged(const RioSession *s);

/* --- out of one process, into another --- */

/**
 * rio_session_export: all that makes up a LIVE or LOST session, in bytes
 *
 * Ids, side, epoch, token, log limit, the numbers and the log.  Nothing in @s
 * changes; it is a picture of this moment.  Two ends must not go on from it:
 * who lets the copy act has stopped sending and acknowledging on @s before
 * the picture was taken, for a message that one of them numbers later is not
 * known to the other.  Bytes of the log may still be transmitted meanwhile:
 * the copy reckons with it that the peer has any of them.
 *
 * What is held does not count as received (received - held is what is
 * written): no acknowledgement has left for it, so the peer still has it and
 * sends it again to the copy.  Whoever goes on with the copy must therefore
 * not have acted upon what @s holds; whoever goes on with @s loses nothing.
 *
 * Format: docs/interop/remote-io.rst, "The record of a session".
 * Returns: the bytes, for g_byte_array_unref(); NULL when @s is NEW or CLOSED
 * or is a queue of a forwarder.
 */
GByteArray *rio_session_export(const RioSession *s);

/**
 * rio_session_import: the inverse; the bytes may come from anybody
 * @side: that they must be of
 *
 * The session is LOST: what is sent is logged, nothing leaves before
 * rio_session_resume().  All of the log counts as transmitted once, so that
 * the resume may name any message of it as received.
 *
 * Returns: NULL with *@err when @bytes are no session: wrong magic, version,
 * length or side, numbers that contradict each other or the log, a log over
 * its limit or with a message that is not valid, not of this session or not
 * of this side.
 */
RioSession *rio_session_import(RioBytes bytes, RioSide side, RioError *err)
    G_GNUC_WARN_UNUSED_RESULT;

/*
 * The session has other ids from now on, also in what its log holds.  For one
 * that is on no link: a server gives those ids that it imports, a client
 * takes those that RESUME_REPLY names.
 */
void rio_session_set_ids(RioSession *s, const RioIds *ids);

/* --- the fence: what others keep before the peer may know of it --- */

/**
 * rio_session_fence: before anything is sent or received
 *
 * From here on messages wait in the log, and what was received is not
 * acknowledged, until rio_session_commit().  So whoever keeps a copy of the
 * session is never behind what the peer was told.
 */
void rio_session_fence(RioSession *s);

/* All that happened so far was kept: the peer may be told */
void rio_session_commit(RioSession *s);

/* Nobody keeps it any more: let everything go out */
void rio_session_unfence(RioSession *s);

/* What must be kept of a session, besides its identity */
typedef struct RioSessionImage {
    uint32_t epoch;
    uint64_t sent;              /* last seq in the log */
    uint64_t acked;             /* last seq that left it */
    uint64_t received;          /* last seq that was acted upon */
    /* Whole messages, acked + 1 to sent; until the next call on the session */
    RioBytes log;
    uint32_t fresh;             /* bytes at its end since the last commit */
} RioSessionImage;

void rio_session_image(const RioSession *s, RioSessionImage *image);

/* --- forwarding --- */

/**
 * rio_session_new_relay: a queue of messages that others have numbered
 * @ids: that the session has on the link it will be added to
 * @limit: bytes that may wait
 *
 * A forwarder's part of a session: it takes its turn on a link like any
 * other, but a message leaves the queue when it was transmitted, and nothing
 * is acknowledged.  Free it with rio_session_free().
 */
RioSession *rio_session_new_relay(const RioIds *ids, uint32_t limit);

/**
 * rio_session_relay: queue a message with other ids
 * @message: as it came; its header was judged
 *
 * Returns: false when the queue is full.
 */
bool rio_session_relay(RioSession *s, RioBytes message, uint8_t hops)
    G_GNUC_WARN_UNUSED_RESULT;

/*
 * Forget what waits, except the rest of a message that is in progress when
 * @s is on a link
 */
void rio_session_relay_clear(RioSession *s);

/**
 * rio_session_tx:
 * @data: set to the first byte not yet transmitted
 *
 * Returns: how many contiguous bytes wait there (whole messages, the first
 * possibly begun), 0 when nothing waits or the session is not LIVE.  The
 * pointer is valid until the next call on @s.
 */
size_t rio_session_tx(RioSession *s, const uint8_t **data);

/**
 * rio_session_tx_done: @n more bytes were taken by the transport
 *
 * Returns: bytes of the message in progress that are still to be sent; 0
 * when the transport stands between two messages of this session.
 */
size_t rio_session_tx_done(RioSession *s, size_t n);

/* True when enough was received without an answer that an ACK should go */
bool rio_session_wants_ack(const RioSession *s);

/* Fill @m with an ACK of this session and take note that it was sent */
void rio_session_make_ack(RioSession *s, RioMessage *m);

/* Bytes in the log, and of these not yet transmitted */
size_t rio_session_log_bytes(const RioSession *s);
size_t rio_session_tx_bytes(const RioSession *s);

#endif /* NET_REMOTE_IO_SESSION_H */
