/*
 * remote-io link: its sessions take turns, and none is cut off
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "remote-io-wire.h"

#define SESSIONS 20

static void test_sessions_take_turns(void)
{
    Wire w = new_ready();
    RioSession *s[SESSIONS];
    int got[SESSIONS] = { 0 };
    RioMessage m;

    for (int i = 0; i < SESSIONS; i++) {
        s[i] = new_session(RIO_SIDE_CLIENT, i + 1);
        rio_link_add_session(w.client, s[i]);
        for (int j = 0; j < 1000; j++) {
            m = (RioMessage) {
                .op = RIO_OP_REGION_READ,
                .read = { .size = 4, .offset = j },
            };
            g_assert_true(rio_session_send(s[i], &m));
        }
    }
    while (rio_link_tx_pending(w.client)) {
        struct iovec iov[4];
        int n = rio_link_tx(w.client, iov, 4);
        size_t part = MIN(iov[0].iov_len, 5000);    /* a slow socket */
        int least = 1000, most = 0;

        g_assert_cmpint(n, >, 0);
        give(w.server, iov[0].iov_base, part, 0);
        rio_link_tx_done(w.client, part, 0);
        while (next(w.server, &m) == RIO_NEXT_MESSAGE) {
            g_assert_cmpuint(m.read.offset, ==, got[m.ids.vm - 1]);
            got[m.ids.vm - 1]++;
        }
        for (int i = 0; i < SESSIONS; i++) {
            least = MIN(least, got[i]);
            most = MAX(most, got[i]);
        }
        g_assert_cmpint(most - least, <=, 2 * (16384 / 64) + 1);
    }
    for (int i = 0; i < SESSIONS; i++) {
        g_assert_cmpint(got[i], ==, 1000);
        rio_session_free(s[i]);
    }
    free_wire(&w);
}

static void test_one_session_sends_in_one_piece(void)
{
    Wire w = new_ready();
    RioSession *s = new_session(RIO_SIDE_CLIENT, 1);
    struct iovec iov[4];

    rio_link_add_session(w.client, s);
    for (int i = 0; i < 1000; i++) {
        RioMessage m = { .op = RIO_OP_REGION_READ, .read = { .size = 1 } };

        g_assert_true(rio_session_send(s, &m));
    }
    g_assert_cmpint(rio_link_tx(w.client, iov, 4), ==, 1);
    g_assert_cmpuint(iov[0].iov_len, ==, 64 * 1000);
    rio_session_free(s);
    free_wire(&w);
}

/* The message in progress, then control, then what the session has besides */
static void test_control_waits_for_the_message_in_progress_only(void)
{
    Wire w = new_ready();
    RioSession *s = new_session(RIO_SIDE_CLIENT, 1);
    RioSession *other = new_session(RIO_SIDE_CLIENT, 2);
    static const uint8_t expected[] = {
        RIO_OP_REGION_READ, RIO_OP_REGION_READ, RIO_OP_ATTACH,
        RIO_OP_REGION_READ,
    };
    RioMessage m = { .op = RIO_OP_REGION_READ, .read = { .size = 1 } };
    struct iovec iov[4];

    rio_link_add_session(w.client, s);
    rio_link_add_session(w.client, other);
    g_assert_true(rio_session_send(s, &m));
    g_assert_true(rio_session_send(s, &m));
    g_assert_true(rio_session_send(other, &m));
    g_assert_cmpint(rio_link_tx(w.client, iov, 4), ==, 2);
    give(w.server, iov[0].iov_base, 10, 0);
    rio_link_tx_done(w.client, 10, 0);
    m = (RioMessage) { .op = RIO_OP_ATTACH, .attach = { .module = "m" } };
    rio_link_send(w.client, &m);
    carry(&w, w.client, w.server);
    for (unsigned i = 0; i < G_N_ELEMENTS(expected); i++) {
        g_assert_cmpint(next(w.server, &m), ==, RIO_NEXT_MESSAGE);
        g_assert_cmpuint(m.op, ==, expected[i]);
    }
    rio_session_free(s);
    rio_session_free(other);
    free_wire(&w);
}

static void test_detach_comes_after_the_writes_before_it(void)
{
    Wire w = new_ready();
    RioSession *s = new_session(RIO_SIDE_CLIENT, 1);
    RioSession *other = new_session(RIO_SIDE_CLIENT, 2);
    RioMessage m = { .op = RIO_OP_REGION_READ, .read = { .size = 1 } };
    RioError err;
    struct iovec iov[4];

    rio_link_add_session(w.client, other);
    rio_link_add_session(w.client, s);
    g_assert_true(rio_session_send(s, &m));
    g_assert_cmpint(rio_link_tx(w.client, iov, 4), ==, 1);
    give(w.server, iov[0].iov_base, 10, 0);
    rio_link_tx_done(w.client, 10, 0);
    for (int i = 0; i < 3; i++) {
        RioWrite write = { .size = 4, .value = i };

        g_assert_true(rio_session_post(s, &write));
        g_assert_true(rio_session_send(other, &m));
    }
    m = (RioMessage) { .op = RIO_OP_DETACH, .ids = { 10, 1, 20, 1 } };
    rio_link_send(w.client, &m);
    g_assert_cmpuint(rio_session_tx_bytes(s), ==, 0);
    carry(&w, w.client, w.server);
    g_assert_cmpint(next(w.server, &m), ==, RIO_NEXT_MESSAGE);
    g_assert_cmpuint(m.op, ==, RIO_OP_REGION_READ);
    g_assert_cmpint(next(w.server, &m), ==, RIO_NEXT_MESSAGE);
    g_assert_cmpuint(m.op, ==, RIO_OP_REGION_WRITE_BATCH);
    g_assert_cmpuint(m.batch.count, ==, 3);
    g_assert_cmpint(next(w.server, &m), ==, RIO_NEXT_MESSAGE);
    g_assert_cmpuint(m.op, ==, RIO_OP_DETACH);
    m = (RioMessage) { .op = RIO_OP_ACK, .epoch = 1, .ack = 2 };
    g_assert_cmpint(rio_session_receive(s, &m, &err), ==, RIO_RECEIVE_DROP);
    rio_session_free(s);
    rio_session_free(other);
    free_wire(&w);
}

/* However a session goes, half a message never stays in the stream */
static void test_leaving_session_completes_its_message(void)
{
    for (int how = 0; how < 4; how++) {
        Wire w = new_ready();
        RioSession *s = new_session(RIO_SIDE_CLIENT, 1);
        RioSession *other = new_session(RIO_SIDE_CLIENT, 2);
        struct iovec iov[4];
        RioMessage m = { .op = RIO_OP_REGION_READ, .read = { .size = 1 } };

        rio_link_add_session(w.client, s);
        rio_link_add_session(w.client, other);
        g_assert_true(rio_session_send(s, &m));
        g_assert_true(rio_session_send(s, &m));
        g_assert_true(rio_session_send(other, &m));
        rio_link_tx(w.client, iov, 4);
        give(w.server, iov[0].iov_base, 33, 0);
        rio_link_tx_done(w.client, 33, 0);
        switch (how) {
        case 0:
            rio_link_remove_session(w.client, s);
            break;
        case 1:
            rio_session_close(s);
            break;
        case 2:
            rio_session_lost(s);
            break;
        case 3:
            rio_session_free(s);
            break;
        }
        carry(&w, w.client, w.server);
        g_assert_cmpint(next(w.server, &m), ==, RIO_NEXT_MESSAGE);
        g_assert_cmpuint(m.ids.vm, ==, 1);
        g_assert_cmpint(next(w.server, &m), ==, RIO_NEXT_MESSAGE);
        g_assert_cmpuint(m.ids.vm, ==, 2);
        g_assert_cmpint(next(w.server, &m), ==, RIO_NEXT_NONE);
        if (how != 3) {
            rio_session_free(s);
        }
        rio_session_free(other);
        free_wire(&w);
    }
}

static void test_session_moves_to_another_link(void)
{
    Wire old = new_ready(), new = new_ready();
    RioSession *s = new_session(RIO_SIDE_CLIENT, 1);
    RioMessage m = { .op = RIO_OP_REGION_READ, .read = { .size = 1 } };
    RioError err;

    rio_link_add_session(old.client, s);
    g_assert_true(rio_session_send(s, &m));
    carry(&old, old.client, old.server);
    rio_link_remove_session(old.client, s);
    rio_session_lost(s);
    g_assert_true(rio_session_send(s, &m));
    rio_link_add_session(new.client, s);
    g_assert_false(rio_link_tx_pending(new.client));
    g_assert_true(rio_session_resume(s, 2, 0, &err));
    carry(&new, new.client, new.server);
    for (int i = 1; i <= 2; i++) {
        g_assert_cmpint(next(new.server, &m), ==, RIO_NEXT_MESSAGE);
        g_assert_cmpuint(m.seq, ==, i);
        g_assert_cmpuint(m.epoch, ==, 2);
    }
    rio_session_free(s);
    free_wire(&old);
    free_wire(&new);
}

static void test_link_freed_before_its_sessions(void)
{
    Wire w = new_ready();
    RioSession *s = new_session(RIO_SIDE_CLIENT, 1);
    RioMessage m = { .op = RIO_OP_REGION_READ, .read = { .size = 1 } };

    rio_link_add_session(w.client, s);
    free_wire(&w);
    g_assert_true(rio_session_send(s, &m));
    rio_session_free(s);
}

/* Work per turn does not grow with the number of sessions that sleep */
static void test_many_sleeping_sessions_cost_nothing(void)
{
    enum { MANY = 10000 };
    g_autofree RioSession **s = g_new(RioSession *, MANY);
    Wire w = new_ready();
    struct iovec iov[4];
    RioMessage m;
    int64_t at;

    for (int i = 0; i < MANY; i++) {
        s[i] = new_session(RIO_SIDE_CLIENT, i + 1);
        rio_link_add_session(w.client, s[i]);
    }
    for (int i = 1; i <= 3; i++) {          /* they fall asleep */
        g_assert_true(tick(w.client, i * 900, &at));
        carry(&w, w.client, w.server);
        g_assert_cmpint(next(w.server, &m), ==, RIO_NEXT_NONE);
        w.now = i * 900;
        carry(&w, w.server, w.client);
        g_assert_cmpint(next(w.client, &m), ==, RIO_NEXT_NONE);
    }
    g_assert_true(tick(w.client, w.now, &at));
    g_assert_cmpint(at, >=, w.now + INTERVAL);
    for (int i = 0; i < 200000; i++) {
        RioSession *one = s[i % MANY];

        m = (RioMessage) { .op = RIO_OP_REGION_READ, .read = { .size = 1 } };
        g_assert_true(rio_session_send(one, &m));
        g_assert_cmpint(rio_link_tx(w.client, iov, 4), ==, 1);
        g_assert_cmpuint(iov[0].iov_len, ==, 64);
        rio_link_tx_done(w.client, 64, 0);
        g_assert_false(rio_link_tx_pending(w.client));
    }
    for (int i = 0; i < MANY; i++) {
        rio_session_free(s[i]);
    }
    free_wire(&w);
}

/*
 * One interrupt now and then is too few for an ACK by count; without one the
 * server would find a client dead that has nothing to say.
 */
static void test_late_acks_go_with_the_clock(void)
{
    Wire w = new_ready();
    RioSession *c = new_session(RIO_SIDE_CLIENT, 1);
    RioSession *s = new_session(RIO_SIDE_SERVER, 1);
    int64_t at;

    rio_link_add_session(w.client, c);
    rio_link_add_session(w.server, s);
    for (; w.now < 20 * INTERVAL; w.now += INTERVAL / 2) {
        RioMessage m = { .op = RIO_OP_IRQ_LEVEL };
        RioError err;

        g_assert_true(rio_session_send(s, &m));
        carry(&w, w.server, w.client);
        g_assert_cmpint(next(w.client, &m), ==, RIO_NEXT_MESSAGE);
        g_assert_cmpint(rio_session_receive(c, &m, &err), ==,
                        RIO_RECEIVE_DELIVER);
        g_assert_true(tick(w.client, w.now, &at));
        carry(&w, w.client, w.server);
        while (next(w.server, &m) == RIO_NEXT_MESSAGE) {
            g_assert_cmpint(rio_session_receive(s, &m, &err), ==,
                            RIO_RECEIVE_DROP);
        }
        g_assert_true(tick(w.server, w.now, &at));
        g_assert_cmpuint(rio_session_log_bytes(s), <=, 4 * 56);
    }
    g_assert_cmpuint(rio_session_acked(s), >=, 36);
    rio_session_free(c);
    rio_session_free(s);
    free_wire(&w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define T(name, func) g_test_add_func("/remote-io/turns/" name, func)
    T("late-acks-go-with-the-clock", test_late_acks_go_with_the_clock);
    T("sessions-take-turns", test_sessions_take_turns);
    T("one-session-sends-in-one-piece", test_one_session_sends_in_one_piece);
    T("control-waits-for-the-message-in-progress-only",
      test_control_waits_for_the_message_in_progress_only);
    T("detach-comes-after-the-writes-before-it",
      test_detach_comes_after_the_writes_before_it);
    T("leaving-session-completes-its-message",
      test_leaving_session_completes_its_message);
    T("session-moves-to-another-link", test_session_moves_to_another_link);
    T("link-freed-before-its-sessions", test_link_freed_before_its_sessions);
    T("many-sleeping-sessions-cost-nothing",
      test_many_sleeping_sessions_cost_nothing);
    return g_test_run();
}
