/*
 * remote-io link: the messages it speaks itself
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "net/remote-io/link-internal.h"

#define CONTROL_LIMIT 65536u    /* a peer that asks but does not listen */

/* @text as a string that may go on the wire: cut to size, no control chars */
static void set_string(RioString out, const char *text)
{
    const char *end;

    g_utf8_validate(text, MIN(strlen(text), RIO_MAX_STRING), &end);
    memcpy(out, text, end - text);
    out[end - text] = '\0';
    for (char *p = out; *p; p = g_utf8_next_char(p)) {
        if (g_unichar_iscntrl(g_utf8_get_char(p))) {
            memset(p, '?', g_utf8_next_char(p) - p);
        }
    }
}

void rio_link_queue_bye(RioLink *l, uint8_t status, const char *reason)
{
    RioMessage m = { .op = RIO_OP_BYE, .status = status };

    set_string(m.reason, reason ?: "");
    rio_link_queue(l, &m);
}

/* Once only: a link that is closing has said all it will say. */
void rio_link_bye(RioLink *l, uint8_t status, const char *reason)
{
    if (l->state == RIO_LINK_HELLO || l->state == RIO_LINK_READY) {
        rio_link_queue_bye(l, status, reason);
        rio_link_set_state(l, RIO_LINK_CLOSING);
    }
}

/*
 * What HELLO and its reply have in common; the reply then narrows it down to
 * what was agreed on.
 */
static void fill_hello(const RioLink *l, RioMessage *m)
{
    m->hello.version_min = RIO_VERSION_MIN;
    m->hello.version_max = RIO_VERSION;
    m->hello.caps = l->config.caps;
    m->hello.max_message = l->config.max_message;
    m->hello.keepalive_ms = l->config.keepalive_ms;
    m->hello.role = l->config.role;
    memcpy(m->hello.uuid, l->config.uuid, RIO_UUID_SIZE);
    set_string(m->hello.name, l->config.name);
    set_string(m->hello.software, l->config.software);
}

void rio_link_queue_hello(RioLink *l)
{
    RioMessage m = { .op = RIO_OP_HELLO };

    fill_hello(l, &m);
    rio_link_queue(l, &m);
}

/*
 * Both ends compute the agreed capabilities and limit from both offers.  The
 * reply has the result already, and to intersect once more changes nothing.
 */
static void take_peer(RioLink *l, const RioMessage *m)
{
    memcpy(l->peer_name, m->hello.name, sizeof(l->peer_name));
    memcpy(l->peer_software, m->hello.software, sizeof(l->peer_software));
    memcpy(l->peer_uuid, m->hello.uuid, RIO_UUID_SIZE);
    l->peer_role = m->hello.role;
    l->caps = l->config.caps & m->hello.caps;
    l->max_message = MIN(l->config.max_message, m->hello.max_message);
}

/*
 * Both ranges go into the text: whoever reads it must know which end to
 * upgrade.
 */
static bool check_version(const RioMessage *m, RioError *err)
{
    if (m->hello.version_min <= RIO_VERSION &&
        m->hello.version_max >= RIO_VERSION_MIN) {
        return true;
    }
    return rio_error_set(err, RIO_STATUS_VERSION,
                         "this end speaks versions %u to %u, the peer "
                         "(\"%s\", %.60s) versions %u to %u", RIO_VERSION_MIN,
                         RIO_VERSION, m->hello.name, m->hello.software,
                         m->hello.version_min, m->hello.version_max);
}

/* A refused HELLO is answered by the refusal, which is the last message */
static RioNextResult refuse_hello(RioLink *l, const RioError *err)
{
    RioMessage m = { .op = RIO_OP_HELLO_REPLY, .status = err->status };

    set_string(m.reason, err->text);
    rio_link_queue(l, &m);
    rio_link_set_state(l, RIO_LINK_CLOSED);
    return RIO_NEXT_BAD;
}

static void answer_hello(RioLink *l, const RioMessage *hello)
{
    RioMessage m = { .op = RIO_OP_HELLO_REPLY };

    fill_hello(l, &m);
    m.ids.client = l->client_id;
    m.ids.server = l->server_id;
    m.hello.version_max = MIN(RIO_VERSION, hello->hello.version_max);
    m.hello.version_min = m.hello.version_max;
    m.hello.caps = l->caps;
    m.hello.max_message = l->max_message;
    m.hello.keepalive_ms = l->keepalive_ms;
    rio_link_queue(l, &m);
}

/*
 * The server's part: version, then admission, then everything else.  A
 * client that is not admitted learns nothing about this end but its reason.
 */
static RioNextResult on_hello(RioLink *l, const RioMessage *m, RioError *err)
{
    if (!check_version(m, err)) {
        return refuse_hello(l, err);
    }
    if (l->admit) {
        rio_error_set(err, RIO_STATUS_DENIED, "client \"%s\" is not admitted",
                      m->hello.name);
        l->client_id = l->admit(l->admit_opaque, m, err);
        if (!l->client_id) {
            return refuse_hello(l, err);
        }
    }
    take_peer(l, m);
    l->keepalive_ms = MAX(l->config.keepalive_ms, m->hello.keepalive_ms);
    answer_hello(l, m);
    rio_link_set_state(l, RIO_LINK_READY);
    return RIO_NEXT_NONE;
}

/*
 * The client's part.  The interval in the reply holds, also where a server
 * lowers it against the rule: it only makes this end ask more often.
 */
static RioNextResult on_hello_reply(RioLink *l, const RioMessage *m,
                                    RioError *err)
{
    if (m->status != RIO_STATUS_OK) {
        rio_error_set(err, m->status, "refused by the peer: %s (%.200s)",
                      rio_status_text(m->status), m->reason);
        rio_link_set_state(l, RIO_LINK_CLOSED);
        return RIO_NEXT_CLOSED;
    }
    if (!check_version(m, err)) {
        rio_link_queue_bye(l, err->status, err->text);
        rio_link_set_state(l, RIO_LINK_CLOSED);
        return RIO_NEXT_BAD;
    }
    take_peer(l, m);
    l->keepalive_ms = m->hello.keepalive_ms;
    l->client_id = m->ids.client;
    l->server_id = m->ids.server;
    rio_link_set_state(l, RIO_LINK_READY);
    return RIO_NEXT_NONE;
}

/*
 * An answer for each question would let a peer that never reads fill memory.
 */
static RioNextResult on_ping(RioLink *l, RioMessage *m, RioError *err)
{
    if (rio_link_control_waits(l) > CONTROL_LIMIT) {
        rio_error_set(err, RIO_STATUS_LIMIT,
                      "PING while %zu bytes wait for the peer to read them",
                      rio_link_control_waits(l));
        rio_link_queue_bye(l, err->status, err->text);
        rio_link_set_state(l, RIO_LINK_CLOSED);
        return RIO_NEXT_BAD;
    }
    l->pinged = true;
    m->op = RIO_OP_PONG;
    rio_link_queue(l, m);
    return RIO_NEXT_NONE;
}

/* What the peer queued for us is not wanted any more after its BYE */
static RioNextResult on_bye(RioLink *l, const RioMessage *m, RioError *err)
{
    rio_error_set(err, m->status, "the peer said BYE: %s%s%.200s",
                  rio_status_text(m->status), *m->reason ? ": " : "",
                  m->reason);
    l->control.head = l->control.tail = l->control_rest = 0;
    rio_link_set_state(l, RIO_LINK_CLOSED);
    return RIO_NEXT_CLOSED;
}

/* Direction and state were judged before, except that HELLO comes once. */
RioNextResult rio_link_own_message(RioLink *l, RioMessage *m, RioError *err)
{
    switch (m->op) {
    case RIO_OP_HELLO:
    case RIO_OP_HELLO_REPLY:
        if (l->state != RIO_LINK_HELLO) {
            break;
        }
        return m->op == RIO_OP_HELLO ? on_hello(l, m, err)
                                     : on_hello_reply(l, m, err);
    case RIO_OP_PING:
        return on_ping(l, m, err);
    case RIO_OP_PONG:
        return RIO_NEXT_NONE;   /* that it came was all */
    case RIO_OP_BYE:
        return on_bye(l, m, err);
    }
    rio_error_set(err, RIO_STATUS_PROTOCOL, "%s after the handshake",
                  rio_op_name(m->op));
    rio_link_queue_bye(l, err->status, err->text);
    rio_link_set_state(l, RIO_LINK_CLOSED);
    return RIO_NEXT_BAD;
}
