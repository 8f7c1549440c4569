/*
 * remote-io link: what goes out next
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Each turn a session gets up to a quantum of bytes, ending between two of
 * its messages; then the next one has its turn.  A link with one session
 * sends everything that waits in one piece.
 */

#include <string.h>

#include "net/remote-io/link-internal.h"

#define QUANTUM         16384u
#define CONTROL_KEEP    4096u   /* what an empty control queue may hold */
#define ACKS_AT_ONCE    8192u   /* bytes of ACKs queued in one turn */

void rio_link_show_sent(RioLink *l, const uint8_t *data, size_t begun,
                        size_t len)
{
    size_t at = 0;
    RioMessage m;
    RioError err;

    while (at < begun && rio_decode_header(data + at, len - at,
                                           RIO_MAX_MESSAGE, &m, &err) ==
                         RIO_DECODE_OK) {
        l->config.watch->message(l->config.watch_opaque, true, &m);
        at += m.length;
    }
}

/* --- the control queue --- */

/*
 * A message that cannot be encoded is a mistake of this side; losing it is
 * better than to send half of it or to stop.
 */
void rio_link_queue(RioLink *l, const RioMessage *m)
{
    size_t n = rio_encoded_size(m);

    rio_queue_reserve(&l->control, n);
    if (!rio_encode(m, l->control.data + l->control.tail, n)) {
        g_warning("remote-io: %s of %zu bytes cannot be encoded",
                  rio_op_name(m->op), n);
        return;
    }
    if (G_UNLIKELY(rio_link_watched(l))) {
        rio_link_show_sent(l, l->control.data + l->control.tail, n, n);
    }
    l->control.tail += n;
    l->stats.tx_messages++;
}

static void control_taken(RioLink *l, size_t n)
{
    if (G_UNLIKELY(l->files_queued)) {
        l->files_queued = l->files_skip != 0;
        l->files_skip -= MIN(l->files_skip, n);
    }
    l->control.head += n;
    l->control_rest -= MIN(l->control_rest, n);
    if (l->control.head == l->control.tail) {
        l->control.head = l->control.tail = 0;
        if (l->control.size > CONTROL_KEEP) {
            rio_queue_free(&l->control);
        }
    }
}

/* --- sessions --- */

static bool has_work(const RioSession *s)
{
    return rio_session_tx_waits(s) || rio_session_wants_ack(s);
}

static void ready_add(RioLink *l, RioSession *s)
{
    if (!s->awake) {
        s->awake = true;
        rio_list_append(&l->ready, &s->ready_node);
    }
}

static void ready_remove(RioSession *s)
{
    if (s->awake) {
        s->awake = false;
        rio_list_remove(&s->ready_node);
    }
}

/*
 * The session calls this in the middle of a send or receive, so it only puts
 * itself into lists.
 */
static void session_wake(RioSession *s)
{
    RioLink *l = s->link;

    if (!s->recent) {
        s->recent = true;
        rio_list_append(&l->recent, &s->recent_node);
    }
    if (has_work(s)) {
        ready_add(l, s);
    }
}

/*
 * The control queue stands between two messages whenever a session's message
 * is in progress, so the rest of that one goes in front of it.
 */
static void session_abandon(RioSession *s)
{
    RioLink *l = s->link;
    const uint8_t *rest;
    size_t n;

    l->planned = 0;
    if (l->partial != s) {
        return;
    }
    l->partial = NULL;
    n = rio_session_tx_rest(s, &rest);
    rio_queue_reserve(&l->control, n);
    memmove(l->control.data + l->control.head + n,
            l->control.data + l->control.head,
            l->control.tail - l->control.head);
    memcpy(l->control.data + l->control.head, rest, n);
    l->control.tail += n;
    l->control_rest += n;
    l->files_skip += n;
}

static void session_leave(RioSession *s)
{
    rio_link_remove_session(s->link, s);
}

static const RioSessionOwner link_owner = {
    .wake = session_wake,
    .abandon = session_abandon,
    .leave = session_leave,
};

void rio_link_add_session(RioLink *l, RioSession *s)
{
    g_assert(!s->link);
    s->link = l;
    s->owner = &link_owner;
    rio_list_append(&l->members, &s->member_node);
    session_wake(s);
}

/*
 * Harmless for a session that is not on this link: both ends of a connection
 * that breaks may find that out at the same time.
 */
void rio_link_remove_session(RioLink *l, RioSession *s)
{
    if (s->link != l) {
        return;
    }
    session_abandon(s);
    ready_remove(s);
    if (s->recent) {
        s->recent = false;
        rio_list_remove(&s->recent_node);
    }
    rio_list_remove(&s->member_node);
    s->owner = NULL;
    s->link = NULL;
}

static RioSession *find_session(RioLink *l, const RioIds *ids)
{
    RioListNode *node = l->members.next;

    for (; node != &l->members; node = node->next) {
        RioSession *s = RIO_SESSION_OF(node, member_node);

        if (!memcmp(&s->ids, ids, sizeof(*ids))) {
            return s;
        }
    }
    return NULL;
}

/* Everything that @s has waiting goes before what is queued from now on */
static void queue_waiting(RioLink *l, RioSession *s)
{
    const uint8_t *data;
    size_t n;

    session_abandon(s);
    n = rio_session_tx_rest(s, &data);
    if (n) {
        rio_session_tx_done(s, n);
    }
    n = rio_session_tx(s, &data);
    if (n) {
        rio_queue_reserve(&l->control, n);
        memcpy(l->control.data + l->control.tail, data, n);
        l->control.tail += n;
        if (G_UNLIKELY(rio_link_watched(l))) {
            rio_link_show_sent(l, data, n, n);
        }
        rio_session_tx_done(s, n);
    }
}

void rio_link_send(RioLink *l, const RioMessage *m)
{
    RioSession *s;

    if (l->state != RIO_LINK_HELLO && l->state != RIO_LINK_READY) {
        return;
    }
    s = m->op == RIO_OP_DETACH ? find_session(l, &m->ids) : NULL;
    if (s) {
        queue_waiting(l, s);
    }
    rio_link_queue(l, m);
}

void rio_link_send_files(RioLink *l, const RioMessage *m)
{
    if (l->state != RIO_LINK_READY) {
        return;
    }
    g_assert(!l->files_queued);
    l->files_queued = true;
    l->files_skip = l->control.tail - l->control.head;
    rio_link_queue(l, m);
    l->files_len = l->control.tail - l->control.head - l->files_skip;
}

bool rio_link_files_wait(const RioLink *l)
{
    return l->files_queued;
}

/*
 * Once per interval, over the sessions in which something happened since
 * they were last found idle: acknowledge what would stay in the peer's log
 * for long, and give back memory.  A session leaves the list after one
 * interval without events.
 */
void rio_link_sweep(RioLink *l)
{
    RioListNode *node, *next;

    for (node = l->recent.next; node != &l->recent; node = next) {
        RioSession *s = RIO_SESSION_OF(node, recent_node);

        next = node->next;
        if (s->unacked_messages) {
            s->ack_due = true;
            session_wake(s);
        } else if (s->idle_ticks++) {
            rio_session_trim(s);
            s->recent = false;
            rio_list_remove(node);
        }
    }
}

/* --- taking turns --- */

/*
 * Queue the ACKs that sessions want, until @max sessions with bytes were
 * seen; who wanted nothing else leaves the list.
 */
static void queue_acks(RioLink *l, int max)
{
    RioListNode *node, *next;

    for (node = l->ready.next; node != &l->ready && max; node = next) {
        RioSession *s = RIO_SESSION_OF(node, ready_node);

        next = node->next;
        if (rio_session_wants_ack(s)) {
            RioMessage m;

            if (rio_link_control_waits(l) > ACKS_AT_ONCE) {
                return;
            }
            rio_session_make_ack(s, &m);
            rio_link_queue(l, &m);
        }
        if (rio_session_tx_waits(s)) {
            max--;
        } else {
            ready_remove(s);
        }
    }
}

static void plan(RioLink *l, struct iovec *iov, RioSession *s,
                 const uint8_t *data, size_t len)
{
    if (len) {
        iov[l->planned].iov_base = (void *)data;
        iov[l->planned].iov_len = len;
        l->plan[l->planned].session = s;
        l->plan[l->planned].data = data;
        l->plan[l->planned].len = len;
        l->planned++;
    }
}

/*
 * A closing link sends the rest of the message in progress and nothing more
 * of a session, so that the BYE behind it is understood.
 */
static void plan_session(RioLink *l, struct iovec *iov, RioSession *s,
                         bool alone)
{
    const uint8_t *data;
    size_t len;

    if (l->state != RIO_LINK_READY) {
        len = rio_session_tx_rest(s, &data);
    } else if (alone) {
        len = rio_session_tx(s, &data);
    } else {
        len = rio_session_tx_some(s, &data, s->turn_left ?: QUANTUM);
    }
    plan(l, iov, s, data, len);
}

static void plan_others(RioLink *l, struct iovec *iov, int max)
{
    RioListNode *node = l->ready.next;
    bool alone = node->next == &l->ready;

    for (; node != &l->ready && l->planned < max; node = node->next) {
        RioSession *s = RIO_SESSION_OF(node, ready_node);

        if (s != l->partial && rio_session_tx_waits(s)) {
            plan_session(l, iov, s, alone);
        }
    }
}

/* How much of the control queue may go out in one piece */
static size_t control_len(const RioLink *l)
{
    return !l->files_queued ? l->control.tail - l->control.head :
           l->files_skip ?: l->files_len;
}

/* Descriptors go with the first byte of what is sent, and of nothing else */
static int plan_files(RioLink *l, struct iovec *iov)
{
    if (l->partial) {
        plan_session(l, iov, l->partial, false);
    } else {
        plan(l, iov, NULL, l->control.data + l->control.head, control_len(l));
    }
    return l->planned;
}

bool rio_link_tx_files(const RioLink *l)
{
    return l->files_queued && !l->files_skip && l->planned &&
           !l->plan[0].session;
}

/*
 * The order is: the message in progress, control, the other sessions.  What
 * was planned is remembered until rio_link_tx_done() says how much of it
 * went.
 */
int rio_link_tx(RioLink *l, struct iovec *iov, int max)
{
    bool flowing = l->state == RIO_LINK_READY;

    max = MIN(max, RIO_LINK_PLAN);
    l->planned = 0;
    if (flowing) {
        queue_acks(l, max);
    }
    if (G_UNLIKELY(l->files_queued && !l->files_skip) && max > 0) {
        return plan_files(l, iov);
    }
    if (l->partial && max > 0) {
        plan_session(l, iov, l->partial,
                     l->control.head == l->control.tail &&
                     l->ready.next->next == &l->ready);
    }
    if (l->planned < max && l->control.head < l->control.tail) {
        plan(l, iov, NULL, l->control.data + l->control.head,
             control_len(l));
    }
    if (flowing && !l->files_queued) {
        plan_others(l, iov, max);
    }
    return l->planned;
}

/* @taken of the bytes planned went out: show which messages that began */
static void show_taken(RioLink *l, const RioPlanned *p, size_t taken)
{
    const uint8_t *unused;
    size_t rest = 0;

    if (l->partial == p->session) {
        rest = rio_session_tx_rest(p->session, &unused);
    }
    if (taken > rest) {
        rio_link_show_sent(l, p->data + rest, taken - rest, p->len - rest);
    }
}

/* @taken of the @planned bytes of @s went out; true when its turn is over */
static bool session_taken(RioLink *l, RioSession *s, size_t taken,
                          size_t planned)
{
    uint64_t whole = s->begun - (l->partial == s);
    size_t rest = rio_session_tx_done(s, taken);

    l->partial = rest ? s : NULL;
    l->stats.tx_messages += s->begun - (rest != 0) - whole;
    if (taken < planned) {
        s->turn_left = MIN(planned - taken, QUANTUM);
        return false;
    }
    s->turn_left = 0;
    ready_remove(s);
    if (has_work(s)) {
        ready_add(l, s);
    }
    return true;
}

void rio_link_tx_done(RioLink *l, size_t n, int64_t now_ms)
{
    l->stats.tx_frames++;
    l->stats.tx_bytes += n;
    l->last_tx_ms = now_ms;
    for (int i = 0; i < l->planned && n; i++) {
        const RioPlanned *p = &l->plan[i];
        size_t taken = MIN(n, p->len);

        n -= taken;
        if (p->session && G_UNLIKELY(rio_link_watched(l))) {
            show_taken(l, p, taken);
        }
        if (!p->session) {
            control_taken(l, taken);
        } else if (!session_taken(l, p->session, taken, p->len)) {
            break;
        }
    }
    g_assert(!n);
    l->planned = 0;
}

void rio_link_tx_past(RioLink *l, RioBytes message, size_t n, int64_t now_ms)
{
    size_t rest = message.len - n;

    g_assert(!l->partial && l->control.head == l->control.tail);
    l->stats.tx_frames++;
    l->stats.tx_messages++;
    l->stats.tx_bytes += n;
    l->last_tx_ms = now_ms;
    if (G_UNLIKELY(rio_link_watched(l))) {
        rio_link_show_sent(l, message.data, message.len, message.len);
    }
    if (rest) {
        rio_queue_reserve(&l->control, rest);
        memcpy(l->control.data + l->control.tail, message.data + n, rest);
        l->control.tail += rest;
        l->control_rest = rest;
    }
}

/*
 * A session in the list may have lost its reason to be there: its connection
 * was lost, or a message carried the ACK it wanted.
 */
bool rio_link_tx_pending(RioLink *l)
{
    if (l->control.head != l->control.tail || l->partial) {
        return true;
    }
    if (l->state != RIO_LINK_READY) {
        return false;
    }
    while (!rio_list_empty(&l->ready)) {
        RioSession *s = RIO_SESSION_OF(l->ready.next, ready_node);

        if (has_work(s)) {
            return true;
        }
        ready_remove(s);
    }
    return false;
}
