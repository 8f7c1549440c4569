/*
 * remote-io session: numbering, acknowledgement, replay
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "net/remote-io/session-internal.h"

#define LOG_MIN         1024u   /* first allocation */
#define LOG_KEEP        4096u   /* what an idle session may hold on to */
#define SMALL_ROUNDS    64u     /* emptied so often with little in it: shrink */

/* --- life --- */

RioSession *rio_session_new(RioSide side)
{
    RioSession *s = g_new0(RioSession, 1);

    s->side = side;
    s->state = RIO_SESSION_NEW;
    return s;
}

void rio_session_free(RioSession *s)
{
    if (s) {
        if (s->owner) {
            s->owner->leave(s);
        }
        g_free(s->log);
        g_free(s);
    }
}

RioSessionState rio_session_state(const RioSession *s)
{
    return s->state;
}

const RioIds *rio_session_ids(const RioSession *s)
{
    return &s->ids;
}

uint32_t rio_session_epoch(const RioSession *s)
{
    return s->epoch;
}

const uint8_t *rio_session_token(const RioSession *s)
{
    return s->token;
}

uint32_t rio_session_log_limit(const RioSession *s)
{
    return s->log_limit;
}

uint64_t rio_session_received(const RioSession *s)
{
    return s->received;
}

uint64_t rio_session_sent(const RioSession *s)
{
    return s->sent;
}

uint64_t rio_session_acked(const RioSession *s)
{
    return s->acked;
}

static const char *state_name(RioSessionState state)
{
    static const char *const names[] = {
        [RIO_SESSION_NEW] = "new",
        [RIO_SESSION_LIVE] = "live",
        [RIO_SESSION_LOST] = "lost",
        [RIO_SESSION_CLOSED] = "closed",
    };

    return names[state];
}

void rio_session_wake(RioSession *s, bool work)
{
    s->idle_ticks = 0;
    if (s->owner && (!s->recent || (work && !s->awake))) {
        s->owner->wake(s);
    }
}

static void abandon(RioSession *s)
{
    if (s->owner) {
        s->owner->abandon(s);
    }
}

/* --- the log --- */

/* Messages numbered from @seq on wait, the first of them at @tx */
static void set_tx(RioSession *s, uint32_t tx, uint64_t seq)
{
    s->tx = tx;
    s->tx_end = tx;
    s->begun = seq - 1;
    s->mergeable = false;
}

/*
 * The log holds nothing.  Its memory stays as long as the traffic of late
 * used it; a session whose bursts became small gives the rest back here,
 * because whoever is busy all the time is never seen idle by the clock.
 */
static void log_emptied(RioSession *s)
{
    s->small_rounds = s->peak <= s->size / 4 ? s->small_rounds + 1 : 0;
    s->peak = 0;
    s->head = s->tx = s->tx_end = s->tail = 0;
    s->mergeable = false;
    if (s->small_rounds >= SMALL_ROUNDS) {
        s->small_rounds = 0;
        if (s->size > LOG_KEEP) {
            s->size = MAX(s->size / 4, LOG_KEEP);
            g_free(s->log);
            s->log = g_malloc(s->size);
        }
    }
}

/*
 * Carry what the log holds to @to, which may be the start of the log itself.
 * Offsets follow; bytes that have left the log are not copied.
 */
static void log_move(RioSession *s, uint8_t *to)
{
    uint32_t gone = s->head;

    if (s->tail > gone) {
        memmove(to, s->log + gone, s->tail - gone);
    }
    s->head = 0;
    s->tx -= gone;
    s->tx_end -= gone;
    s->tail -= gone;
    s->last -= gone;
}

/*
 * Room for @n more bytes at the tail.  Bytes are moved down only when at
 * least as many have left the log since, so that moving costs no more than
 * sending did.
 */
static void log_make_room(RioSession *s, uint32_t n)
{
    uint32_t used = s->tail - s->head;
    uint32_t size = MAX(s->size, LOG_MIN);
    uint8_t *bigger;

    if (s->head >= used && used + n <= s->size) {
        log_move(s, s->log);
        return;
    }
    while (size < 2 * used + n) {
        size *= 2;
    }
    bigger = g_malloc(size);
    log_move(s, bigger);
    g_free(s->log);
    s->log = bigger;
    s->size = size;
}

/*
 * May @n bytes be added?  One message is always admitted to an empty log, or
 * a message larger than the limit would wait for ever.
 */
static bool log_admits(const RioSession *s, size_t n)
{
    uint32_t used = s->tail - s->head;

    return (s->state == RIO_SESSION_LIVE || s->state == RIO_SESSION_LOST) &&
           (used == 0 || used + n <= s->log_limit);
}

/* Something that carries an ack was queued, or none is owed any more */
static void ack_sent(RioSession *s)
{
    s->unacked_messages = 0;
    s->unacked_bytes = 0;
    s->ack_due = false;
}

/*
 * @n bytes were added at the tail.  They carry an acknowledgement of all
 * that was received, so none is owed any more.
 */
static void log_grew(RioSession *s, uint32_t n)
{
    s->tail += n;
    s->peak = MAX(s->peak, s->tail - s->head);
    if (s->fenced) {
        s->fenced_bytes += n;
    }
    ack_sent(s);
    rio_session_wake(s, true);
}

/*
 * Called when nothing happened for a while: the log is allocated again with
 * the next message, which costs less than ten thousand idle sessions'
 * memory.
 */
void rio_session_trim(RioSession *s)
{
    if (s->head == s->tail && s->size > LOG_KEEP) {
        g_free(s->log);
        s->log = NULL;
        s->size = 0;
        s->head = s->tx = s->tx_end = s->tail = 0;
        s->mergeable = false;
    }
}

/* --- attachment --- */

void rio_session_start(RioSession *s, const RioIds *ids, uint32_t epoch,
                       const uint8_t *token, uint32_t log_limit)
{
    g_assert(s->state == RIO_SESSION_NEW);
    s->ids = *ids;
    s->epoch = epoch;
    memcpy(s->token, token, RIO_TOKEN_SIZE);
    s->log_limit = MIN(log_limit, RIO_MAX_LOG);
    s->state = RIO_SESSION_LIVE;
}

void rio_session_lost(RioSession *s)
{
    if (s->state == RIO_SESSION_LIVE) {
        abandon(s);
        s->state = RIO_SESSION_LOST;
    }
}

void rio_session_close(RioSession *s)
{
    abandon(s);
    s->state = RIO_SESSION_CLOSED;
    g_free(s->log);
    s->log = NULL;
    s->size = 0;
    s->head = s->tail = 0;
    s->fenced_bytes = 0;
    s->acked = s->sent;
    ack_sent(s);
    set_tx(s, 0, s->sent + 1);
}

/* Last message whose last byte was given to the transport */
static uint64_t wholly_sent(const RioSession *s)
{
    return s->begun - (s->tx < s->tx_end);
}

/*
 * Last message that the peer may have.  One that named less in its last resume
 * than it had received (the rest was not kept yet) has more than was sent to
 * it again since.
 */
static uint64_t perhaps_known(const RioSession *s)
{
    return MAX(s->reached, wholly_sent(s));
}

/* What the peer has leaves the log; @seq is between acked and wholly sent */
static void forget_until(RioSession *s, uint64_t seq)
{
    if (seq == s->sent) {
        s->head = s->tail;
        s->acked = seq;
    }
    while (s->acked < seq) {
        s->head += rio_encoded_length(s->log + s->head);
        s->acked++;
    }
    if (s->head == s->tail) {
        log_emptied(s);
    }
}

/* What was received and acted upon */
static uint64_t acted_upon(const RioSession *s)
{
    return s->received - s->held_messages;
}

/* What may be said to have been received, whatever leaves with it */
uint64_t rio_session_acknowledged(const RioSession *s)
{
    return s->fenced ? s->committed : acted_upon(s);
}

/* Everything left in the log goes out again, in the name of the new epoch */
static void restamp_log(RioSession *s)
{
    for (uint32_t at = s->head; at < s->tail;
         at += rio_encoded_length(s->log + at)) {
        rio_restamp(s->log + at, s->epoch, rio_session_acknowledged(s));
    }
}

bool rio_session_resume(RioSession *s, uint32_t epoch,
                        uint64_t peer_received, RioError *err)
{
    if (s->state != RIO_SESSION_LIVE && s->state != RIO_SESSION_LOST) {
        return rio_error_set(err, RIO_STATUS_UNKNOWN_SESSION,
                             "resume of a session that is %s",
                             state_name(s->state));
    }
    if (epoch <= s->epoch) {
        return rio_error_set(err, RIO_STATUS_STALE_EPOCH,
                             "resume with epoch %u, the session has %u",
                             epoch, s->epoch);
    }
    if (peer_received < s->acked || peer_received > perhaps_known(s)) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL,
                             "resume after message %" G_GUINT64_FORMAT
                             ", acknowledged %" G_GUINT64_FORMAT
                             ", sent %" G_GUINT64_FORMAT, peer_received,
                             s->acked, perhaps_known(s));
    }
    s->reached = perhaps_known(s);
    abandon(s);
    s->state = RIO_SESSION_LIVE;
    s->epoch = epoch;
    ack_sent(s);
    forget_until(s, peer_received);
    set_tx(s, s->head, peer_received + 1);
    restamp_log(s);
    rio_session_wake(s, true);
    return true;
}

/* --- sending --- */

/*
 * The fields of the header that are the session's business.  The ack is as
 * fresh as it can be; it only gets older while the message waits.  A message
 * of the log waits behind the fence until what it acknowledges is committed.
 */
static void stamp(RioSession *s, RioMessage *m, uint64_t seq)
{
    m->ids = s->ids;
    m->epoch = s->epoch;
    m->seq = seq;
    m->ack = seq ? acted_upon(s) : rio_session_acknowledged(s);
}

bool rio_session_send(RioSession *s, RioMessage *m)
{
    size_t n = rio_encoded_size(m);

    if (!log_admits(s, n) || n > RIO_MAX_MESSAGE) {
        return false;
    }
    if (n > s->size - s->tail) {
        log_make_room(s, n);
    }
    stamp(s, m, s->sent + 1);
    if (!rio_encode(m, s->log + s->tail, n)) {
        return false;
    }
    s->sent++;
    s->last = s->tail;
    s->mergeable = m->op == RIO_OP_REGION_WRITE && m->flags == RIO_FLAG_POSTED;
    log_grew(s, n);
    return true;
}

/*
 * A message of which a byte was transmitted is not touched: the peer may
 * have read its length already.
 */
static bool can_merge(const RioSession *s)
{
    return s->mergeable && s->last >= s->tx_end && !s->fenced &&
           log_admits(s, RIO_BATCH_FIRST);
}

/* Add @w to the last message; false when that batch is full */
static bool merge(RioSession *s, const RioWrite *w)
{
    uint8_t *last;
    size_t n;

    if (s->size - s->tail < RIO_BATCH_FIRST) {
        log_make_room(s, RIO_BATCH_FIRST);
    }
    last = s->log + s->last;
    if (rio_encoded_op(last) == RIO_OP_REGION_WRITE) {
        s->tail += rio_batch_from_write(last);
    }
    n = rio_batch_append(last, w);
    if (!n) {
        return false;
    }
    rio_restamp(last, s->epoch, acted_upon(s));
    log_grew(s, n);
    return true;
}

bool rio_session_post(RioSession *s, const RioWrite *w)
{
    RIO_UNINITIALIZED RioMessage m;

    if (can_merge(s) && merge(s, w)) {
        return true;
    }
    rio_message_init(&m, RIO_OP_REGION_WRITE, RIO_FLAG_POSTED, 0);
    m.write = *w;
    return rio_session_send(s, &m);
}

/* --- receiving --- */

/*
 * Epoch first: a late message of an old connection is no reason to complain
 * about anything else that may be wrong with it.
 */
static bool check_receive(RioSession *s, const RioMessage *m, RioError *err)
{
    if (G_UNLIKELY(m->epoch != s->epoch)) {
        return rio_error_set(err, m->epoch < s->epoch ?
                             RIO_STATUS_STALE_EPOCH : RIO_STATUS_PROTOCOL,
                             "%s with epoch %u, the session has %u",
                             rio_op_name(m->op), m->epoch, s->epoch);
    }
    if (G_UNLIKELY(s->state != RIO_SESSION_LIVE)) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL,
                             "%s in a session that is %s",
                             rio_op_name(m->op), state_name(s->state));
    }
    if (G_UNLIKELY(!(s->side == RIO_SIDE_CLIENT ? rio_op_from_server(m->op)
                                                : rio_op_from_client(m->op)))) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL,
                             "%s from the %s", rio_op_name(m->op),
                             s->side == RIO_SIDE_CLIENT ? "server" : "client");
    }
    return true;
}

/*
 * An ack of what was never wholly transmitted cannot be true.  What is being
 * transmitted once more stays in the log until that is done.
 */
static bool take_ack(RioSession *s, const RioMessage *m, RioError *err)
{
    uint64_t ack = MIN(m->ack, wholly_sent(s));

    if (G_UNLIKELY(m->ack > perhaps_known(s))) {
        return rio_error_set(err, RIO_STATUS_PROTOCOL,
                             "%s acknowledges message %" G_GUINT64_FORMAT
                             ", sent were %" G_GUINT64_FORMAT,
                             rio_op_name(m->op), m->ack, perhaps_known(s));
    }
    if (ack > s->acked) {
        forget_until(s, ack);
    }
    return true;
}

RioReceiveResult rio_session_receive(RioSession *s, const RioMessage *m,
                                     RioError *err)
{
    if (s->state == RIO_SESSION_CLOSED) {
        return RIO_RECEIVE_DROP;
    }
    if (!check_receive(s, m, err) || !take_ack(s, m, err)) {
        return RIO_RECEIVE_BAD;
    }
    if (!m->seq) {
        return m->op == RIO_OP_ACK ? RIO_RECEIVE_DROP : RIO_RECEIVE_DELIVER;
    }
    if (m->seq > s->received + 1) {
        rio_error_set(err, RIO_STATUS_PROTOCOL,
                      "%s is message %" G_GUINT64_FORMAT
                      ", expected %" G_GUINT64_FORMAT, rio_op_name(m->op),
                      m->seq, s->received + 1);
        return RIO_RECEIVE_BAD;
    }
    s->unacked_messages++;
    s->unacked_bytes += m->length;
    rio_session_wake(s, rio_session_wants_ack(s));
    if (m->seq <= s->received) {
        return RIO_RECEIVE_DROP;
    }
    s->received++;
    return RIO_RECEIVE_DELIVER;
}

/* Received bytes after which an acknowledgement is owed */
static uint32_t ack_bytes(const RioSession *s)
{
    return MIN(MAX(RIO_ACK_BYTES, s->log_limit / 32), s->log_limit / 4);
}

bool rio_session_wants_ack(const RioSession *s)
{
    return s->state == RIO_SESSION_LIVE &&
           (!s->fenced || s->committed == acted_upon(s)) &&
           (s->unacked_messages >= RIO_ACK_MESSAGES ||
            s->unacked_bytes >= ack_bytes(s) ||
            s->ack_due) && s->unacked_messages;
}

void rio_session_make_ack(RioSession *s, RioMessage *m)
{
    rio_message_init(m, RIO_OP_ACK, 0, 0);
    stamp(s, m, 0);
    ack_sent(s);
}

/* It counts as received when it is released */
void rio_session_hold(RioSession *s, uint32_t length)
{
    s->held_messages++;
    s->held_bytes += length;
    s->unacked_messages -= MIN(s->unacked_messages, 1);
    s->unacked_bytes -= MIN(s->unacked_bytes, length);
}

void rio_session_release(RioSession *s, uint32_t length)
{
    g_assert(s->held_messages && s->held_bytes >= length);
    s->held_messages--;
    s->held_bytes -= length;
    if (s->state == RIO_SESSION_LIVE) {
        s->unacked_messages++;
        s->unacked_bytes += length;
        rio_session_wake(s, rio_session_wants_ack(s));
    }
}

size_t rio_session_held(const RioSession *s)
{
    return s->held_bytes;
}

void rio_session_drop_held(RioSession *s)
{
    s->received = acted_upon(s);
    s->held_messages = 0;
    s->held_bytes = 0;
}

/* --- forwarding --- */

RioSession *rio_session_new_relay(const RioIds *ids, uint32_t limit)
{
    RioSession *s = rio_session_new(RIO_SIDE_CLIENT);

    s->ids = *ids;
    s->log_limit = limit;
    s->state = RIO_SESSION_LIVE;
    s->relay = true;
    return s;
}

bool rio_session_relay(RioSession *s, RioBytes message, uint8_t hops)
{
    if (!log_admits(s, message.len)) {
        return false;
    }
    if (message.len > s->size - s->tail) {
        log_make_room(s, message.len);
    }
    memcpy(s->log + s->tail, message.data, message.len);
    rio_relabel(s->log + s->tail, &s->ids, hops);
    s->sent++;
    log_grew(s, message.len);
    return true;
}

void rio_session_relay_clear(RioSession *s)
{
    abandon(s);
    s->head = s->tail;
    s->acked = s->sent;
    set_tx(s, s->tail, s->sent + 1);
    log_emptied(s);
}

/* --- the fence --- */

void rio_session_fence(RioSession *s)
{
    s->fenced = true;
    s->committed = acted_upon(s);
}

void rio_session_commit(RioSession *s)
{
    s->committed = acted_upon(s);
    s->fenced_bytes = 0;
    rio_session_wake(s, true);
}

void rio_session_unfence(RioSession *s)
{
    if (s->fenced) {
        rio_session_commit(s);
        s->fenced = false;
    }
}

void rio_session_image(const RioSession *s, RioSessionImage *image)
{
    image->epoch = s->epoch;
    image->sent = s->sent;
    image->acked = s->acked;
    image->received = acted_upon(s);
    image->log = (RioBytes) { s->log + s->head, s->tail - s->head };
    image->fresh = s->fenced_bytes;
}

/* --- transmitting --- */

/* Where that ends in the log which may be transmitted */
static uint32_t tx_limit(const RioSession *s)
{
    return s->tail - s->fenced_bytes;
}

bool rio_session_tx_waits(const RioSession *s)
{
    return s->state == RIO_SESSION_LIVE && s->tx < tx_limit(s);
}

size_t rio_session_tx(RioSession *s, const uint8_t **data)
{
    if (!rio_session_tx_waits(s)) {
        return 0;
    }
    *data = s->log + s->tx;
    return tx_limit(s) - s->tx;
}

/*
 * Only lengths are looked at, from the message in progress on; a turn is
 * short, so this is cheap however long the log is.
 */
size_t rio_session_tx_some(RioSession *s, const uint8_t **data,
                           size_t quantum)
{
    uint32_t end = s->tx_end;

    if (rio_session_tx(s, data) <= quantum) {
        return rio_session_tx(s, data);
    }
    while (end - s->tx < quantum) {
        end += rio_encoded_length(s->log + end);
    }
    return end - s->tx;
}

size_t rio_session_tx_rest(const RioSession *s, const uint8_t **data)
{
    *data = s->log + s->tx;
    return s->state == RIO_SESSION_LIVE ? s->tx_end - s->tx : 0;
}

/*
 * The common case is that everything went out: then no message is looked at.
 */
size_t rio_session_tx_done(RioSession *s, size_t n)
{
    size_t rest;

    g_assert(n <= s->tail - s->tx);
    s->tx += n;
    if (s->tx == s->tail) {
        s->tx_end = s->tail;
        s->begun = s->sent;
    }
    while (s->tx_end < s->tx) {
        s->tx_end += rio_encoded_length(s->log + s->tx_end);
        s->begun++;
    }
    rest = s->tx_end - s->tx;
    if (s->relay) {
        /* Nobody acknowledges it to us: what was sent is gone */
        s->head = s->tx;
        s->acked = wholly_sent(s);
        if (s->head == s->tail) {
            log_emptied(s);
        }
    }
    return rest;
}

size_t rio_session_log_bytes(const RioSession *s)
{
    return s->tail - s->head;
}

size_t rio_session_tx_bytes(const RioSession *s)
{
    return s->tail - s->tx;
}
