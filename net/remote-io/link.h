/*
 * remote-io link: one framed stream, its handshake and its keep-alive
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A link turns the bytes of one connection into messages and the messages
 * of any number of sessions into bytes.  It speaks HELLO, PING, PONG and BYE
 * itself; everything else passes through to the caller.  Like the session it
 * knows no socket, no clock and no lock: the caller moves the bytes, says
 * what time it is, and serialises calls.
 *
 * Specification: docs/interop/remote-io.rst, "Handshake", "Keep-alive".
 */

#ifndef NET_REMOTE_IO_LINK_H
#define NET_REMOTE_IO_LINK_H

#include <sys/uio.h>

#include "net/remote-io/session.h"

typedef struct RioLink RioLink;

typedef enum {
    RIO_LINK_HELLO,             /* waiting for the peer's HELLO (or reply) */
    RIO_LINK_READY,             /* messages flow */
    RIO_LINK_CLOSING,           /* BYE queued; nothing else is accepted */
    RIO_LINK_CLOSED,            /* BYE received or an error found */
} RioLinkState;

/**
 * RioLinkWatch: shows somebody what happens on a link, for traces
 * @wanted: is it, now?  Asked for each message, so it should be cheap
 * @message: @m was received, or was given to the transport or to the queue in
 *     front of it; only its header is filled in
 * @state: the state's name
 *
 * Called under the lock of whoever calls the link; they call nothing back.
 */
typedef struct RioLinkWatch {
    bool (*wanted)(void);
    void (*message)(void *opaque, bool sent, const RioMessage *m);
    void (*state)(void *opaque, const char *state);
} RioLinkWatch;

/* What this side says of itself; copied by rio_link_new() */
typedef struct RioLinkConfig {
    RioSide side;               /* CLIENT sends HELLO, SERVER answers */
    uint8_t role;               /* RIO_ROLE_* */
    const char *name;           /* client id or server id */
    const char *software;       /* program and version, for the peer's log */
    uint8_t uuid[RIO_UUID_SIZE];
    uint64_t caps;              /* offered */
    uint32_t max_message;       /* accepted; 0 = RIO_MAX_MESSAGE */
    uint32_t keepalive_ms;      /* proposed by CLIENT; SERVER may raise it;
                                   0 = RIO_DEFAULT_KEEPALIVE_MS */
    uint32_t patience_ms;       /* CLIENT: silence that ends the link, if less
                                   than RIO_KEEPALIVE_MISSES intervals; at
                                   least one and a half; 0 = those */
    uint32_t client_id;         /* SERVER: given to the peer, see
                                   rio_link_set_client_id() */
    uint32_t server_id;         /* SERVER: own id */
    const RioLinkWatch *watch;  /* or NULL; not copied */
    void *watch_opaque;
} RioLinkConfig;

/* Counters since rio_link_new(); a frame is one rio_link_tx_done() call or
 * one rio_link_received() call */
typedef struct RioLinkStats {
    uint64_t tx_frames, tx_messages, tx_bytes;
    uint64_t rx_frames, rx_messages, rx_bytes;
} RioLinkStats;

/* A CLIENT link has its HELLO queued from the start */
RioLink *rio_link_new(const RioLinkConfig *config, int64_t now_ms);
void rio_link_free(RioLink *l);             /* NULL-safe; frees no session */

RioLinkState rio_link_state(const RioLink *l);
uint64_t rio_link_caps(const RioLink *l);           /* agreed, once READY */
const char *rio_link_peer_name(const RioLink *l);   /* "" before READY */
const char *rio_link_peer_software(const RioLink *l);
const uint8_t *rio_link_peer_uuid(const RioLink *l);
uint8_t rio_link_peer_role(const RioLink *l);
uint32_t rio_link_client_id(const RioLink *l);      /* agreed in HELLO */
uint32_t rio_link_server_id(const RioLink *l);
uint32_t rio_link_max_message(const RioLink *l);    /* agreed, once READY */
uint32_t rio_link_keepalive_ms(const RioLink *l);   /* agreed, once READY */
const RioLinkStats *rio_link_stats(const RioLink *l);

/**
 * RioLinkAdmit:
 * Called on a SERVER link when HELLO was decoded, before it is answered;
 * returns the client id to give the peer, or 0 with *err set to refuse it.
 */
typedef uint32_t RioLinkAdmit(void *opaque, const RioMessage *hello,
                              RioError *err);
void rio_link_set_admit(RioLink *l, RioLinkAdmit *admit, void *opaque);

/**
 * RioLinkRelay:
 * Called in rio_link_next() with each message that is not the link's own, of
 * which the header is judged and the body is not: is it to be forwarded?
 */
typedef bool RioLinkRelay(void *opaque, const RioMessage *header);
void rio_link_set_relay(RioLink *l, RioLinkRelay *relays, void *opaque);

/* --- receiving --- */

/**
 * rio_link_rx_space:
 * @space: set to the bytes that may be written at the returned pointer
 *
 * Where the transport shall put what it receives; at least 4 KiB (a small
 * buffer when idle, up to the largest message while one is incomplete).
 * Invalidates messages that rio_link_next() returned before.  The place stays
 * where it is while others send: a receiver may let go of the lock around
 * the transport's receive.
 */
uint8_t *rio_link_rx_space(RioLink *l, size_t *space);

/* @n bytes were put there */
void rio_link_received(RioLink *l, size_t n, int64_t now_ms);

/*
 * The @n bytes of the last rio_link_received() came with descriptors.  These
 * belong to the last message that begins in them; it has @files set.
 */
void rio_link_received_files(RioLink *l, size_t n);

/* True until that message was taken, or is known not to come */
bool rio_link_files_pending(const RioLink *l);

typedef enum {
    RIO_NEXT_MESSAGE,           /* *m is for the caller */
    RIO_NEXT_RELAY,             /* to be forwarded: the header is decoded,
                                   m->payload is the message as it came */
    RIO_NEXT_BAD_SESSION,       /* from a forwarder: the session that *m
                                   names broke a rule, *err says which; the
                                   link goes on */
    RIO_NEXT_NONE,              /* more bytes are needed */
    RIO_NEXT_CLOSED,            /* peer said BYE; *err has its reason */
    RIO_NEXT_BAD,               /* *err says what the peer did wrong; a BYE
                                   is queued, close after sending it */
} RioNextResult;

/**
 * rio_link_next: take the next message out of what was received
 *
 * Messages of the link itself are answered and not returned.  A message
 * before READY, of the wrong direction, of a capability not agreed on or
 * with ids in a link message is RIO_NEXT_BAD.
 */
RioNextResult rio_link_next(RioLink *l, RioMessage *m, RioError *err)
    G_GNUC_WARN_UNUSED_RESULT;

/* --- sending --- */

/*
 * Let the messages of @s go out on this link, fairly among its sessions.  A
 * session is on one link at most, and leaves it before it is freed.  What it
 * had begun to send when it leaves is completed, so that the stream is intact.
 */
void rio_link_add_session(RioLink *l, RioSession *s);
void rio_link_remove_session(RioLink *l, RioSession *s);

/*
 * Queue a message that is not sequenced (ATTACH, ACK, ...).  It overtakes what
 * sessions have waiting, except that DETACH comes after all that its session
 * sent before.
 */
void rio_link_send(RioLink *l, const RioMessage *m);

/*
 * The same for one that descriptors go along with; one at a time.  It is sent
 * alone: see rio_link_tx_files().
 */
void rio_link_send_files(RioLink *l, const RioMessage *m);

/* True from then on until its first byte, and the descriptors, have gone */
bool rio_link_files_wait(const RioLink *l);

/* Queue BYE and go to CLOSING */
void rio_link_bye(RioLink *l, uint8_t status, const char *reason);

/**
 * rio_link_tx: what to send next
 * @iov: filled with at most @max entries
 *
 * Returns: entries used, 0 when nothing waits.  Valid until the next call
 * that sends, on the link or one of its sessions: keep the lock until
 * rio_link_tx_done().  Queues the ACKs that sessions want first.
 */
int rio_link_tx(RioLink *l, struct iovec *iov, int max);

/*
 * True when what rio_link_tx() returned is the message that descriptors go
 * along with: they are to be sent with its first byte.
 */
bool rio_link_tx_files(const RioLink *l);

/* The transport took @n bytes of them (n > 0) */
void rio_link_tx_done(RioLink *l, size_t n, int64_t now_ms);

/**
 * rio_link_tx_past: @message was sent without being queued, @n bytes of it
 * @n: > 0; the rest is copied, and is sent before anything else
 *
 * For large messages that are relayed.  Only while rio_link_tx_pending() is
 * false and the link is READY.
 */
void rio_link_tx_past(RioLink *l, RioBytes message, size_t n, int64_t now_ms);

/* True when rio_link_tx() would return more than 0 (also an ACK it wants) */
bool rio_link_tx_pending(RioLink *l);

/* --- time --- */

/**
 * rio_link_tick: look at the clock
 * @next_ms: set to the time by which to call again
 *
 * The CLIENT side sends PING when it heard nothing for one interval.  Either
 * side finds the peer dead after RIO_KEEPALIVE_MISSES silent intervals (plus
 * one on the SERVER side), or after RIO_HANDSHAKE_TIMEOUT_MS without HELLO.
 * Returns: false with *@err when the peer is dead.
 */
bool rio_link_tick(RioLink *l, int64_t now_ms, int64_t *next_ms,
                   RioError *err)
    G_GNUC_WARN_UNUSED_RESULT;

/*
 * True once after each PING: an owner that calls rio_link_tick() then, awake
 * as it is, need not be woken by a timer while the peer is idle.
 */
bool rio_link_pinged(RioLink *l);

#endif /* NET_REMOTE_IO_LINK_H */
