/*
 * remote-io session: the fence, before which the peer is told nothing
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "net/remote-io/session.h"

static const RioIds ids = { 1, 2, 3, 4 };
static const uint8_t token[RIO_TOKEN_SIZE] = { 5, 6, 7 };

static RioSession *new_session(RioSide side, bool fenced)
{
    RioSession *s = rio_session_new(side);

    rio_session_start(s, &ids, 1, token, RIO_MIN_LOG);
    if (fenced) {
        rio_session_fence(s);
    }
    return s;
}

static void reply(RioSession *s, uint64_t value)
{
    RioMessage m = { .op = RIO_OP_REGION_READ_REPLY, .value = { value } };

    g_assert_true(rio_session_send(s, &m));
}

static void request(RioSession *s)
{
    RioMessage m = { .op = RIO_OP_REGION_READ, .read = { .size = 4 } };

    g_assert_true(rio_session_send(s, &m));
}

/* Bytes that may go out */
static size_t waits(RioSession *s)
{
    const uint8_t *data;

    return rio_session_tx(s, &data);
}

/* Carry the next message of @from to @to; returns what it acknowledged */
static uint64_t carry(RioSession *from, RioSession *to)
{
    const uint8_t *data;
    size_t n = rio_session_tx(from, &data);
    RioMessage m;
    RioError err;

    g_assert_cmpint(rio_decode(data, n, RIO_MAX_MESSAGE, &m, &err), ==,
                    RIO_DECODE_OK);
    g_assert_cmpuint(rio_session_tx_done(from, m.length), ==, 0);
    g_assert_cmpint(rio_session_receive(to, &m, &err), ==,
                    RIO_RECEIVE_DELIVER);
    return m.ack;
}

static void test_message_waits_for_the_commit(void)
{
    RioSession *client = new_session(RIO_SIDE_CLIENT, false);
    RioSession *server = new_session(RIO_SIDE_SERVER, true);
    RioSessionImage image;

    request(client);
    carry(client, server);
    reply(server, 1);
    g_assert_cmpuint(waits(server), ==, 0);
    rio_session_image(server, &image);
    g_assert_cmpuint(image.fresh, ==, image.log.len);
    g_assert_cmpuint(image.received, ==, 1);
    rio_session_commit(server);
    g_assert_cmpuint(waits(server), ==, image.log.len);
    reply(server, 2);
    g_assert_cmpuint(waits(server), ==, image.log.len);
    g_assert_cmpuint(carry(server, client), ==, 1);
    g_assert_cmpuint(waits(server), ==, 0);
    rio_session_commit(server);
    carry(server, client);
    rio_session_free(client);
    rio_session_free(server);
}

static void test_receipt_is_not_acknowledged_before(void)
{
    RioSession *client = new_session(RIO_SIDE_CLIENT, false);
    RioSession *server = new_session(RIO_SIDE_SERVER, true);
    RioMessage m;

    for (unsigned i = 0; i < RIO_ACK_MESSAGES; i++) {
        request(client);
        carry(client, server);
    }
    g_assert_false(rio_session_wants_ack(server));
    g_assert_cmpuint(rio_session_acknowledged(server), ==, 0);
    rio_session_make_ack(server, &m);
    g_assert_cmpuint(m.ack, ==, 0);
    for (unsigned i = 0; i < RIO_ACK_MESSAGES; i++) {
        request(client);
        carry(client, server);
    }
    rio_session_commit(server);
    g_assert_true(rio_session_wants_ack(server));
    rio_session_make_ack(server, &m);
    g_assert_cmpuint(m.ack, ==, 2 * RIO_ACK_MESSAGES);
    rio_session_free(client);
    rio_session_free(server);
}

/* What was sent before comes again, and acknowledges no more than is kept */
static void test_resume_tells_only_what_is_kept(void)
{
    RioSession *client = new_session(RIO_SIDE_CLIENT, false);
    RioSession *server = new_session(RIO_SIDE_SERVER, true);
    const uint8_t *data;
    RioMessage m;
    RioError err;
    size_t n;

    request(client);
    carry(client, server);
    reply(server, 1);
    rio_session_commit(server);
    n = rio_session_tx(server, &data);
    rio_session_tx_done(server, n);
    request(client);
    carry(client, server);
    reply(server, 2);
    rio_session_lost(server);
    g_assert_true(rio_session_resume(server, 2, 0, &err));
    g_assert_cmpuint(rio_session_acknowledged(server), ==, 1);
    n = rio_session_tx(server, &data);
    g_assert_cmpint(rio_decode(data, n, RIO_MAX_MESSAGE, &m, &err), ==,
                    RIO_DECODE_OK);
    g_assert_cmpuint(m.length, ==, n);          /* and no more */
    g_assert_cmpuint(m.epoch, ==, 2);
    g_assert_cmpuint(m.ack, ==, 1);
    rio_session_commit(server);
    g_assert_cmpuint(waits(server), ==, 2 * n);
    rio_session_free(client);
    rio_session_free(server);
}

/* A peer cannot have, and so not acknowledge, what did not leave */
static void test_peer_cannot_know_what_waits(void)
{
    RioSession *server = new_session(RIO_SIDE_SERVER, true);
    RioError err;

    reply(server, 1);
    rio_session_lost(server);
    g_assert_false(rio_session_resume(server, 2, 1, &err));
    g_assert_cmpuint(err.status, ==, RIO_STATUS_PROTOCOL);
    rio_session_free(server);
}

static void test_without_the_fence_all_goes_out(void)
{
    RioSession *client = new_session(RIO_SIDE_CLIENT, false);
    RioSession *server = new_session(RIO_SIDE_SERVER, true);

    request(client);
    carry(client, server);
    reply(server, 1);
    rio_session_unfence(server);
    g_assert_cmpuint(carry(server, client), ==, 1);
    reply(server, 2);
    carry(server, client);
    rio_session_free(client);
    rio_session_free(server);
}

/* A log that is moved to other memory keeps its fence */
static void test_fence_moves_with_the_log(void)
{
    RioSession *client = new_session(RIO_SIDE_CLIENT, false);
    RioSession *server = new_session(RIO_SIDE_SERVER, true);
    RioSessionImage image;

    for (unsigned i = 0; i < 200; i++) {
        size_t before;

        request(client);
        carry(client, server);
        reply(server, i);
        rio_session_commit(server);
        before = waits(server);
        reply(server, i);
        g_assert_cmpuint(waits(server), ==, before);
        rio_session_image(server, &image);
        g_assert_cmpuint(image.fresh, ==, before);
        rio_session_commit(server);
        carry(server, client);
        carry(server, client);
    }
    g_assert_cmpuint(rio_session_received(client), ==, 400);
    rio_session_free(client);
    rio_session_free(server);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remote-io/session-fence/send",
                    test_message_waits_for_the_commit);
    g_test_add_func("/remote-io/session-fence/ack",
                    test_receipt_is_not_acknowledged_before);
    g_test_add_func("/remote-io/session-fence/resume",
                    test_resume_tells_only_what_is_kept);
    g_test_add_func("/remote-io/session-fence/peer",
                    test_peer_cannot_know_what_waits);
    g_test_add_func("/remote-io/session-fence/unfence",
                    test_without_the_fence_all_goes_out);
    g_test_add_func("/remote-io/session-fence/move",
                    test_fence_moves_with_the_log);
    return g_test_run();
}
