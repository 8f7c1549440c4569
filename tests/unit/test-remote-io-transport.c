/*
 * remote-io transport: one suite, run for every kind of socket
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "qapi/error.h"
#include "qapi/qapi-types-sockets.h"
#include "qemu/atomic.h"
#include "qemu/module.h"
#include "qemu/sockets.h"
#include "net/remote-io/transport.h"

#define TIMEOUT_MS  60000
#define HOUR_MS     3600000
#define PATIENT_NS  60000000000ll      /* ends a test that hangs */

/* A kind of socket; @listen_on has %s for a temporary folder */
typedef struct Kind {
    const char *name;
    const char *listen_on;
    bool tcp;
} Kind;

static const Kind kinds[] = {
    { "tcp4", "tcp:127.0.0.1:0", true },
    { "tcp6", "tcp:[::1]:0", true },
    { "unix", "unix:%s/socket", false },
    { "vsock", "vsock:1:4294967295", false },
    { "pair", NULL, false },
};

/* Two connected transports */
typedef struct Ends {
    RioTransport *a;
    RioTransport *b;
    char *dir;
    char *path;
} Ends;

static QIOChannelSocket *listen_on(const char *text, Error **errp)
{
    g_autoptr(SocketAddress) addr = rio_address_parse(text, &error_abort);
    QIOChannelSocket *listener = qio_channel_socket_new();

    if (qio_channel_socket_listen_sync(listener, addr, 1, errp) < 0) {
        object_unref(OBJECT(listener));
        return NULL;
    }
    return listener;
}

static char *address_of(QIOChannelSocket *listener)
{
    g_autoptr(SocketAddress) addr =
        qio_channel_socket_get_local_address(listener, &error_abort);

    return rio_address_text(addr);
}

static RioTransport *connect_to(const char *text, int64_t timeout_ms,
                                Error **errp)
{
    g_autoptr(SocketAddress) addr = rio_address_parse(text, &error_abort);

    return rio_transport_connect(addr, timeout_ms, NULL, errp);
}

static RioTransport *from_fd(int fd)
{
    QIOChannelSocket *ioc = qio_channel_socket_new_fd(fd, &error_abort);
    RioTransport *t = rio_transport_new(ioc, &error_abort);

    object_unref(OBJECT(ioc));
    return t;
}

static bool open_pair(Ends *e)
{
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    e->a = from_fd(fds[0]);
    e->b = from_fd(fds[1]);
    return true;
}

static void close_ends(Ends *e)
{
    rio_transport_free(e->a);
    rio_transport_free(e->b);
    if (e->path) {
        unlink(e->path);
        rmdir(e->dir);
    }
    g_free(e->path);
    g_free(e->dir);
}

/* False, and the test skipped, where this machine has no such socket */
static bool open_ends(const Kind *kind, Ends *e)
{
    g_autofree char *text = NULL, *address = NULL;
    QIOChannelSocket *listener, *accepted;
    Error *err = NULL;

    *e = (Ends) { 0 };
    if (!kind->listen_on) {
        return open_pair(e);
    }
    e->dir = g_dir_make_tmp("remote-io-XXXXXX", NULL);
    e->path = g_build_filename(e->dir, "socket", NULL);
    text = g_strdup_printf(kind->listen_on, e->dir);
    listener = listen_on(text, &err);
    if (!listener) {
        g_test_skip(error_get_pretty(err));
        error_free(err);
        close_ends(e);
        return false;
    }
    address = address_of(listener);
    e->a = connect_to(address, TIMEOUT_MS, &err);
    if (!e->a) {
        g_test_skip(error_get_pretty(err));
        error_free(err);
        object_unref(OBJECT(listener));
        close_ends(e);
        return false;
    }
    g_assert_cmpstr(rio_transport_peer(e->a), ==, address);
    accepted = qio_channel_socket_accept(listener, &error_abort);
    e->b = rio_transport_new(accepted, &error_abort);
    object_unref(OBJECT(accepted));
    object_unref(OBJECT(listener));
    return true;
}

static void send_all(RioTransport *t, const void *bytes, size_t n)
{
    while (n) {
        struct iovec iov = { (void *)bytes, n };
        ssize_t done = rio_transport_send(t, &iov, 1, &error_abort);

        if (done == RIO_TRANSPORT_AGAIN) {
            g_assert_cmpint(rio_transport_wait(t, G_IO_OUT, PATIENT_NS), ==,
                            G_IO_OUT);
            continue;
        }
        g_assert_cmpint(done, >, 0);
        bytes = (const uint8_t *)bytes + done;
        n -= done;
    }
}

static void recv_all(RioTransport *t, void *bytes, size_t n)
{
    while (n) {
        ssize_t done = rio_transport_recv(t, bytes, n, &error_abort);

        if (done == RIO_TRANSPORT_AGAIN) {
            g_assert_cmpint(rio_transport_wait(t, G_IO_IN, PATIENT_NS), ==,
                            G_IO_IN);
            continue;
        }
        g_assert_cmpint(done, >, 0);
        bytes = (uint8_t *)bytes + done;
        n -= done;
    }
}

/* --- the suite --- */

static void test_bytes_go_both_ways(const void *kind)
{
    Ends e;
    char got[6] = "";

    if (!open_ends(kind, &e)) {
        return;
    }
    send_all(e.a, "hello", 5);
    recv_all(e.b, got, 5);
    g_assert_cmpstr(got, ==, "hello");
    send_all(e.b, "world", 5);
    recv_all(e.a, got, 5);
    g_assert_cmpstr(got, ==, "world");
    close_ends(&e);
}

static void test_pieces_of_one_send_arrive_in_order(const void *kind)
{
    Ends e;
    struct iovec iov[] = { { (void *)"ab", 2 }, { (void *)"", 0 },
                           { (void *)"cde", 3 } };
    char got[6] = "";

    if (!open_ends(kind, &e)) {
        return;
    }
    g_assert_cmpint(rio_transport_send(e.a, iov, 3, &error_abort), ==, 5);
    recv_all(e.b, got, 5);
    g_assert_cmpstr(got, ==, "abcde");
    close_ends(&e);
}

static void test_nothing_blocks(const void *kind)
{
    static uint8_t chunk[65536];
    Ends e;
    struct iovec iov = { chunk, sizeof(chunk) };
    uint8_t byte;
    ssize_t done;
    size_t sent = 0;

    if (!open_ends(kind, &e)) {
        return;
    }
    g_assert_cmpint(rio_transport_recv(e.a, &byte, 1, &error_abort), ==,
                    RIO_TRANSPORT_AGAIN);
    g_assert_cmpint(rio_transport_wait(e.a, G_IO_IN, 0), ==, 0);
    g_assert_cmpint(rio_transport_wait(e.a, G_IO_IN, 1000000), ==, 0);
    do {                                    /* until the kernel is full */
        done = rio_transport_send(e.a, &iov, 1, &error_abort);
        sent += MAX(done, 0);
    } while (done > 0);
    g_assert_cmpint(done, ==, RIO_TRANSPORT_AGAIN);
    g_assert_cmpuint(sent, >, 0);
    close_ends(&e);
}

typedef struct Sender {
    RioTransport *t;
    size_t n;
} Sender;

static uint8_t pattern(size_t i)
{
    return i ^ i >> 8 ^ i >> 16;
}

static gpointer send_pattern(gpointer opaque)
{
    Sender *s = opaque;
    uint8_t chunk[10007];

    for (size_t i = 0; i < s->n; i += sizeof(chunk)) {
        for (size_t j = 0; j < sizeof(chunk); j++) {
            chunk[j] = pattern(i + j);
        }
        send_all(s->t, chunk, sizeof(chunk));
    }
    return NULL;
}

/* More than any socket buffer holds, sent and received by two threads */
static void test_bulk_survives_partial_io(const void *kind)
{
    Ends e;
    Sender s = { .n = 500 * 10007 };
    GThread *thread;
    uint8_t got[7919];

    if (!open_ends(kind, &e)) {
        return;
    }
    s.t = e.a;
    thread = g_thread_new("sender", send_pattern, &s);
    for (size_t i = 0; i < s.n; ) {
        size_t part = MIN(sizeof(got), s.n - i);

        recv_all(e.b, got, part);
        for (size_t j = 0; j < part; j++, i++) {
            g_assert_cmphex(got[j], ==, pattern(i));
        }
    }
    g_thread_join(thread);
    close_ends(&e);
}

static void test_end_of_stream_is_seen(const void *kind)
{
    Ends e;
    char got;

    if (!open_ends(kind, &e)) {
        return;
    }
    send_all(e.a, "x", 1);
    rio_transport_free(e.a);
    e.a = NULL;
    recv_all(e.b, &got, 1);
    g_assert_cmpint(rio_transport_wait(e.b, G_IO_IN, PATIENT_NS), ==, G_IO_IN);
    g_assert_cmpint(rio_transport_recv(e.b, &got, 1, &error_abort), ==, 0);
    close_ends(&e);
}

static void test_send_to_a_closed_peer_is_an_error(const void *kind)
{
    Ends e;
    Error *err = NULL;
    ssize_t done;
    struct iovec iov = { (void *)"x", 1 };

    if (!open_ends(kind, &e)) {
        return;
    }
    rio_transport_free(e.b);
    e.b = NULL;
    do {                                    /* the first may still be taken */
        g_assert_cmpint(rio_transport_wait(e.a, G_IO_OUT, PATIENT_NS), ==,
                        G_IO_OUT);
        done = rio_transport_send(e.a, &iov, 1, &err);
    } while (done != RIO_TRANSPORT_ERROR);
    g_assert_nonnull(strstr(error_get_pretty(err), "cannot send to"));
    g_assert_nonnull(strstr(error_get_pretty(err), rio_transport_peer(e.a)));
    error_free(err);
    close_ends(&e);
}

static gpointer wait_for_input(gpointer t)
{
    return GINT_TO_POINTER(rio_transport_wait(t, G_IO_IN, -1));
}

static void test_shutdown_wakes_who_waits(const void *kind)
{
    Ends e;
    GThread *thread;
    uint8_t byte;

    if (!open_ends(kind, &e)) {
        return;
    }
    thread = g_thread_new("waiter", wait_for_input, e.a);
    rio_transport_shutdown(e.a);
    g_assert_cmpint(GPOINTER_TO_INT(g_thread_join(thread)), ==, G_IO_IN);
    g_assert_cmpint(rio_transport_recv(e.a, &byte, 1, NULL), <=, 0);
    close_ends(&e);
}

static int tcp_option(const RioTransport *t, int option)
{
    int value = -1;
    socklen_t len = sizeof(value);

    g_assert_cmpint(getsockopt(rio_transport_fd(t), IPPROTO_TCP, option,
                               &value, &len), ==, 0);
    return value;
}

static void test_nothing_is_delayed(const void *opaque)
{
    const Kind *kind = opaque;
    Ends e;

    if (!open_ends(kind, &e)) {
        return;
    }
    g_assert_cmpint(tcp_option(e.a, TCP_NODELAY), !=, 0);
    g_assert_cmpint(tcp_option(e.b, TCP_NODELAY), !=, 0);
    g_assert_cmpint(tcp_option(e.a, TCP_USER_TIMEOUT), >, 0);
    close_ends(&e);
}

/* --- connecting --- */

static void test_refusal_names_the_address(void)
{
    g_autofree char *text = NULL;
    QIOChannelSocket *listener = listen_on("tcp:127.0.0.1:0", &error_abort);
    Error *err = NULL;

    text = address_of(listener);
    object_unref(OBJECT(listener));         /* nobody listens there now */
    g_assert_null(connect_to(text, TIMEOUT_MS, &err));
    g_assert_nonnull(strstr(error_get_pretty(err), text));
    g_assert_nonnull(strstr(error_get_pretty(err), "refused"));
    error_free(err);

    err = NULL;
    g_assert_null(connect_to("unix:/nonexistent/socket", TIMEOUT_MS, &err));
    g_assert_cmpstr(error_get_pretty(err), ==,
                    "cannot connect to unix:/nonexistent/socket: "
                    "No such file or directory");
    error_free(err);
}

/* Connections to @text until its queue is full, and so *@err */
static GPtrArray *fill_queue(const char *text, Error **err)
{
    GPtrArray *made =
        g_ptr_array_new_with_free_func((GDestroyNotify)rio_transport_free);
    RioTransport *t;

    while ((t = connect_to(text, 100, err))) {
        g_ptr_array_add(made, t);
        g_assert_cmpuint(made->len, <, 10000);
    }
    return made;
}

/* A listener whose queue is full answers nobody, as a dead host does */
static void test_connect_gives_up_in_time(void)
{
    g_autofree char *dir = g_dir_make_tmp("remote-io-XXXXXX", NULL);
    g_autofree char *text = g_strdup_printf("unix:%s/socket", dir);
    QIOChannelSocket *listener = listen_on(text, &error_abort);
    Error *err = NULL;
    g_autoptr(GPtrArray) made = fill_queue(text, &err);

    g_assert_nonnull(strstr(error_get_pretty(err), "no answer in time"));
    g_assert_nonnull(strstr(error_get_pretty(err), text));
    error_free(err);
    object_unref(OBJECT(listener));
    unlink(text + strlen("unix:"));
    rmdir(dir);
}

typedef struct Attempt {
    const char *text;
    bool cancel;                /* qatomic */
    Error *err;
} Attempt;

static gpointer attempt(gpointer opaque)
{
    Attempt *a = opaque;
    g_autoptr(SocketAddress) addr = rio_address_parse(a->text, &error_abort);

    return rio_transport_connect(addr, HOUR_MS, &a->cancel, &a->err);
}

/* The test's time is up long before that of the attempt */
static void check_cancel(const char *listen)
{
    QIOChannelSocket *listener = listen_on(listen, &error_abort);
    g_autofree char *text = address_of(listener);
    Error *err = NULL;
    g_autoptr(GPtrArray) made = fill_queue(text, &err);
    Attempt a = { .text = text };
    GThread *thread;

    error_free(err);
    thread = g_thread_new("attempt", attempt, &a);
    qatomic_set(&a.cancel, true);
    g_assert_null(g_thread_join(thread));
    g_assert_nonnull(strstr(error_get_pretty(a.err), "cancelled"));
    g_assert_nonnull(strstr(error_get_pretty(a.err), text));
    error_free(a.err);
    object_unref(OBJECT(listener));
}

static void test_connect_can_be_cancelled(void)
{
    g_autofree char *dir = g_dir_make_tmp("remote-io-XXXXXX", NULL);
    g_autofree char *text = g_strdup_printf("unix:%s/socket", dir);

    check_cancel("tcp:127.0.0.1:0");
    check_cancel(text);
    unlink(text + strlen("unix:"));
    rmdir(dir);
}

static void test_name_is_looked_up(void)
{
    QIOChannelSocket *listener = listen_on("tcp:127.0.0.1:0", &error_abort);
    g_autofree char *numeric = address_of(listener), *text = NULL;
    RioTransport *t;

    text = g_strdup_printf("tcp:localhost%s", strrchr(numeric, ':'));
    t = connect_to(text, TIMEOUT_MS, &error_abort);
    g_assert_cmpstr(rio_transport_peer(t), ==, text);
    rio_transport_free(t);
    object_unref(OBJECT(listener));
}

static void test_unknown_name_is_named(void)
{
    Error *err = NULL;

    g_assert_null(connect_to("tcp:no-such-host.invalid:1", TIMEOUT_MS, &err));
    g_assert_nonnull(strstr(error_get_pretty(err), "no-such-host.invalid"));
    error_free(err);
}

/* --- addresses --- */

static void test_address_survives_a_round_trip(void)
{
    static const char *const texts[] = {
        "tcp:host:1", "tcp:127.0.0.1:65535", "tcp:[::1]:5", "tcp::7",
        "unix:/a/b:c", "unix:x", "vsock:2:1234", "vsock:4294967295:0",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(SocketAddress) addr = rio_address_parse(texts[i],
                                                          &error_abort);
        g_autofree char *back = rio_address_text(addr);

        g_assert_cmpstr(back, ==, texts[i]);
    }
}

static void test_bad_address_is_explained(void)
{
    static const struct {
        const char *text;
        const char *what;
    } cases[] = {
        { "", "unknown kind" },
        { "host:1", "unknown kind" },
        { "udp:host:1", "unknown kind" },
        { "tcp:host", "no port" },
        { "tcp:host:", "no port" },
        { "tcp:host:65536", "no port" },
        { "tcp:host:-1", "no port" },
        { "tcp:host:0x1", "no port" },
        { "tcp:host:1 ", "no port" },
        { "tcp:::1:5", "brackets" },
        { "tcp:[::1:5", "']'" },
        { "unix:", "empty" },
        { "vsock:2", "CID" },
        { "vsock:a:1", "CID" },
        { "vsock:1:2:3", "CID" },
        { "vsock:4294967296:1", "CID" },
    };
    g_autofree char *path = g_strnfill(200, 'x');
    g_autofree char *text = g_strdup_printf("unix:%s", path);
    Error *err = NULL;

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        err = NULL;
        g_assert_null(rio_address_parse(cases[i].text, &err));
        g_assert_nonnull(strstr(error_get_pretty(err), cases[i].what));
        g_assert_nonnull(strstr(error_get_pretty(err), cases[i].text));
        g_assert_nonnull(strstr(error_get_pretty(err), "tcp:HOST:PORT"));
        error_free(err);
    }
    err = NULL;
    g_assert_null(rio_address_parse(text, &err));
    g_assert_nonnull(strstr(error_get_pretty(err), "longer than 107"));
    error_free(err);
}

static void add(const Kind *kind, const char *name, GTestDataFunc func)
{
    g_autofree char *path = g_strdup_printf("/remote-io/transport/%s/%s",
                                            kind->name, name);

    g_test_add_data_func(path, kind, func);
}

static void add_suite(const Kind *kind)
{
    add(kind, "bytes-go-both-ways", test_bytes_go_both_ways);
    add(kind, "pieces-of-one-send-arrive-in-order",
        test_pieces_of_one_send_arrive_in_order);
    add(kind, "nothing-blocks", test_nothing_blocks);
    add(kind, "bulk-survives-partial-io", test_bulk_survives_partial_io);
    add(kind, "end-of-stream-is-seen", test_end_of_stream_is_seen);
    add(kind, "send-to-a-closed-peer-is-an-error",
        test_send_to_a_closed_peer_is_an_error);
    add(kind, "shutdown-wakes-who-waits", test_shutdown_wakes_who_waits);
    if (kind->tcp) {                        /* the others never delay */
        add(kind, "nothing-is-delayed", test_nothing_is_delayed);
    }
}

int main(int argc, char **argv)
{
    module_call_init(MODULE_INIT_QOM);
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        add_suite(&kinds[i]);
    }
#define T(name, func) g_test_add_func("/remote-io/transport/" name, func)
    T("refusal-names-the-address", test_refusal_names_the_address);
    T("connect-gives-up-in-time", test_connect_gives_up_in_time);
    T("connect-can-be-cancelled", test_connect_can_be_cancelled);
    T("name-is-looked-up", test_name_is_looked_up);
    T("unknown-name-is-named", test_unknown_name_is_named);
    T("address-survives-a-round-trip", test_address_survives_a_round_trip);
    T("bad-address-is-explained", test_bad_address_is_explained);
    return g_test_run();
}
