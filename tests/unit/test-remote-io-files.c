/*
 * remote-io: descriptors that travel with a message
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qom/object.h"
#include "qemu/module.h"
#include "net/remote-io/transport.h"
#include "remote-io-wire.h"

static Wire new_sharing(void)
{
    RioLinkConfig c = client_config(), s = server_config();
    Wire w;

    c.caps |= RIO_CAP_SHM;
    s.caps |= RIO_CAP_SHM;
    w = new_wire(&c, &s);
    shake_hands(&w);
    return w;
}

static RioMessage table_message(uint8_t *payload)
{
    RioMemory mem = { .address = 4096, .size = 8192, .file = 2 };
    RioMessage m = {
        .op = RIO_OP_MEM_TABLE,
        .ids = { 10, 1, 20, 1 },
        .epoch = 1,
        .tag = 7,
        .mem_table.count = 1,
        .payload = { payload, RIO_MEMORY_SIZE },
    };

    rio_memory_put(payload, 0, &mem);
    return m;
}

static RioMessage ack_message(void)
{
    return (RioMessage) {
        .op = RIO_OP_ACK, .ids = { 10, 1, 20, 1 }, .epoch = 1,
    };
}

/* --- the link: sending --- */

/* Send one piece, of @most bytes; true if descriptors go along with it */
static bool send_piece(Wire *w, size_t most, size_t *sent)
{
    struct iovec iov[8];
    int n = rio_link_tx(w->client, iov, G_N_ELEMENTS(iov));
    bool files = rio_link_tx_files(w->client);

    *sent = n ? MIN(iov[0].iov_len, most) : 0;
    if (n) {
        g_assert_true(!files || n == 1);
        give(w->server, iov[0].iov_base, *sent, w->now);
        rio_link_tx_done(w->client, *sent, w->now);
    }
    return files;
}

/* Whatever is before and behind it, and however little goes at a time */
static void test_message_with_files_is_sent_alone(void)
{
    uint8_t payload[RIO_MEMORY_SIZE];
    RioMessage ack = ack_message(), m = table_message(payload);
    RioMessage read = { .op = RIO_OP_REGION_READ, .read.size = 4 };

    for (size_t most = 1; most < 500; most += 7) {
        Wire w = new_sharing();
        RioSession *s = new_session(RIO_SIDE_CLIENT, 1);
        unsigned with = 0, tables = 0, all = 0;
        RioMessage got;
        size_t n;

        rio_link_add_session(w.client, s);
        g_assert_true(rio_session_send(s, &read));
        send_piece(&w, 20, &n);         /* the middle of a message */
        rio_link_send(w.client, &ack);
        rio_link_send_files(w.client, &m);
        rio_link_send(w.client, &ack);
        g_assert_true(rio_session_send(s, &read));
        do {
            g_assert_true(rio_link_files_wait(w.client) == !with);
            with += send_piece(&w, most, &n);
        } while (n);
        g_assert_cmpuint(with, ==, 1);
        while (next(w.server, &got) == RIO_NEXT_MESSAGE) {
            all++;
            tables += got.op == RIO_OP_MEM_TABLE;
        }
        g_assert_cmpuint(tables, ==, 1);
        g_assert_cmpuint(all, ==, 5);
        rio_session_free(s);
        free_wire(&w);
    }
}

/* --- the link: receiving --- */

static size_t encode(const RioMessage *m, uint8_t *to)
{
    size_t n = rio_encode(m, to, 512);

    g_assert_cmpuint(n, >, 0);
    return n;
}

/*
 * An ACK, a table and an ACK in two receives, cut at every place: those that
 * come with the first belong to the last message that begins in it.
 */
static void test_files_belong_to_the_last_that_begins(void)
{
    uint8_t payload[RIO_MEMORY_SIZE], bytes[1536];
    RioMessage ack = ack_message(), m = table_message(payload);
    size_t start = encode(&ack, bytes);
    size_t end = start + encode(&m, bytes + start);
    size_t total = end + encode(&ack, bytes + end);

    for (size_t cut = 1; cut <= total; cut++) {
        Wire w = new_sharing();
        unsigned owner = cut <= start ? 0 : cut <= end ? 1 : 2;
        RioMessage got;

        give(w.server, bytes, cut, 0);
        rio_link_received_files(w.server, cut);
        g_assert_true(rio_link_files_pending(w.server));
        for (unsigned i = 0; i < 3; i++) {
            if (next(w.server, &got) == RIO_NEXT_NONE) {
                g_assert_cmpint(rio_link_files_pending(w.server), ==,
                                i <= owner);
                give(w.server, bytes + cut, total - cut, 0);
                g_assert_cmpint(next(w.server, &got), ==, RIO_NEXT_MESSAGE);
            }
            g_assert_cmpint(got.files, ==, i == owner);
        }
        g_assert_false(rio_link_files_pending(w.server));
        free_wire(&w);
    }
}

/* It has begun before: they are nobody's */
static void test_files_with_the_middle_are_nobodys(void)
{
    uint8_t payload[RIO_MEMORY_SIZE], bytes[512];
    RioMessage m = table_message(payload), got;
    size_t n = encode(&m, bytes);
    Wire w = new_sharing();

    give(w.server, bytes, 10, 0);
    g_assert_cmpint(next(w.server, &got), ==, RIO_NEXT_NONE);
    give(w.server, bytes + 10, n - 10, 0);
    rio_link_received_files(w.server, n - 10);
    g_assert_cmpint(next(w.server, &got), ==, RIO_NEXT_MESSAGE);
    g_assert_false(got.files);
    g_assert_false(rio_link_files_pending(w.server));
    free_wire(&w);
}

/* --- the transport --- */

typedef struct Pair {
    RioTransport *a, *b;
} Pair;

static Pair open_pair(void)
{
    RioTransport *t[2];
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    for (int i = 0; i < 2; i++) {
        QIOChannelSocket *ioc = qio_channel_socket_new_fd(fds[i],
                                                          &error_abort);

        t[i] = rio_transport_new(ioc, &error_abort);
        object_unref(OBJECT(ioc));
    }
    return (Pair) { t[0], t[1] };
}

static unsigned open_files(void)
{
    GDir *dir = g_dir_open("/proc/self/fd", 0, NULL);
    unsigned n = 0;

    while (g_dir_read_name(dir)) {
        n++;
    }
    g_dir_close(dir);
    return n;
}

static void send_with(RioTransport *t, unsigned num)
{
    struct iovec iov = { (void *)"x", 1 };
    int files[RIO_TRANSPORT_FILES];

    for (unsigned i = 0; i < num; i++) {
        files[i] = open("/dev/null", O_RDONLY);
        g_assert_cmpint(files[i], >=, 0);
    }
    g_assert_cmpint(rio_transport_send_files(t, &iov, 1, files, num,
                                             &error_abort), ==, 1);
    for (unsigned i = 0; i < num; i++) {
        close(files[i]);
    }
}

static void receive_byte(RioTransport *t)
{
    char byte;

    g_assert_cmpint(rio_transport_recv(t, &byte, 1, &error_abort), ==, 1);
    g_assert_cmpint(byte, ==, 'x');
}

static void test_files_arrive(void)
{
    int files[RIO_TRANSPORT_FILES];
    Pair p = open_pair();
    unsigned before = open_files();

    g_assert_true(rio_transport_passes_files(p.a));
    rio_transport_accept_files(p.b);
    send_with(p.a, 3);
    g_assert_false(rio_transport_got_files(p.b));
    receive_byte(p.b);
    g_assert_true(rio_transport_got_files(p.b));
    g_assert_false(rio_transport_got_files(p.b));
    g_assert_cmpuint(open_files(), ==, before + 3);
    g_assert_cmpuint(rio_transport_take_files(p.b, files), ==, 3);
    g_assert_false(rio_transport_has_files(p.b));
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpint(fcntl(files[i], F_GETFD), ==, FD_CLOEXEC);
        close(files[i]);
    }
    g_assert_cmpuint(open_files(), ==, before);
    rio_transport_free(p.a);
    rio_transport_free(p.b);
}

static void test_files_do_not_pile_up(void)
{
    Pair p = open_pair();
    unsigned before = open_files();

    send_with(p.a, 5);
    receive_byte(p.b);                  /* not accepted yet */
    g_assert_cmpuint(open_files(), ==, before);
    rio_transport_accept_files(p.b);
    for (unsigned i = 0; i < 10; i++) {
        send_with(p.a, RIO_TRANSPORT_FILES - i);
        receive_byte(p.b);
        g_assert_cmpuint(open_files(), ==, before + RIO_TRANSPORT_FILES - i);
    }
    g_assert_cmpuint(rio_transport_take_files(p.b, NULL), >, 0);
    g_assert_cmpuint(open_files(), ==, before);
    send_with(p.a, 1);
    receive_byte(p.b);
    rio_transport_free(p.a);
    rio_transport_free(p.b);
    g_assert_cmpuint(open_files(), ==, before - 2);
}

int main(int argc, char **argv)
{
    module_call_init(MODULE_INIT_QOM);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remote-io/files/message-with-files-is-sent-alone",
                    test_message_with_files_is_sent_alone);
    g_test_add_func("/remote-io/files/files-belong-to-the-last-that-begins",
                    test_files_belong_to_the_last_that_begins);
    g_test_add_func("/remote-io/files/files-with-the-middle-are-nobodys",
                    test_files_with_the_middle_are_nobodys);
    g_test_add_func("/remote-io/files/files-arrive", test_files_arrive);
    g_test_add_func("/remote-io/files/files-do-not-pile-up",
                    test_files_do_not_pile_up);
    return g_test_run();
}
