/*
 * Read a register of a remote-io module, again and again
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a server costs without a guest and a VMM around it: a client of the
 * wire that polls its socket.  In the same run, turn by turn, it bounces 64
 * bytes off a thread of its own over the same kind of socket: the floor.
 *
 *   remote-io-ping-client SOCKET MODULE [ROUNDS [COUNT [PAUSE_US]]]
 *
 * SOCKET is the path of a Unix socket, or HOST:PORT.  Prints a line a round.
 */

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "net/remote-io/link.h"

#define WARM_UP 2000

static int64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static void die(const char *what, const char *why)
{
    fprintf(stderr, "remote-io-ping-client: %s: %s\n", what, why);
    exit(1);
}

/* --- sockets --- */

static int connect_unix(const char *path)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    if (strlen(path) >= sizeof(un.sun_path)) {
        die(path, "too long");
    }
    strcpy(un.sun_path, path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0) {
        die(path, strerror(errno));
    }
    return fd;
}

static void no_delay(int fd)
{
    int one = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static int connect_tcp(const char *address)
{
    g_autofree char *host = g_strdup(address);
    char *port = strrchr(host, ':');
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *ai;
    int fd;

    *port++ = '\0';
    if (getaddrinfo(host, port, &hints, &ai)) {
        die(address, "no such host");
    }
    fd = socket(ai->ai_family, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, ai->ai_addr, ai->ai_addrlen) < 0) {
        die(address, strerror(errno));
    }
    freeaddrinfo(ai);
    no_delay(fd);
    return fd;
}

static bool is_unix(const char *address)
{
    return address[0] == '/' || !strchr(address, ':');
}

static void pair_tcp(int fd[2])
{
    struct sockaddr_in in = { .sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(in);
    int l = socket(AF_INET, SOCK_STREAM, 0);

    fd[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (l < 0 || bind(l, (struct sockaddr *)&in, sizeof(in)) < 0 ||
        listen(l, 1) < 0 || getsockname(l, (struct sockaddr *)&in, &len) < 0 ||
        connect(fd[0], (struct sockaddr *)&in, sizeof(in)) < 0) {
        die("loopback", strerror(errno));
    }
    fd[1] = accept(l, NULL, NULL);
    close(l);
    no_delay(fd[0]);
    no_delay(fd[1]);
}

static size_t poll_recv(int fd, uint8_t *buf, size_t size)
{
    ssize_t n;

    do {
        n = recv(fd, buf, size, MSG_DONTWAIT);
    } while (n < 0 && (errno == EAGAIN || errno == EINTR));
    return n < 0 ? 0 : n;
}

/* --- the floor --- */

#define FLOOR_BYTES 64

static void *bounce(void *opaque)
{
    int fd = *(int *)opaque;
    uint8_t buf[FLOOR_BYTES];
    size_t n;

    while ((n = poll_recv(fd, buf, sizeof(buf))) > 0) {
        if (send(fd, buf, n, MSG_NOSIGNAL) < 0) {
            break;
        }
    }
    return NULL;
}

static void floor_once(int fd)
{
    uint8_t buf[FLOOR_BYTES] = { 0 };
    size_t got = 0;

    if (send(fd, buf, sizeof(buf), MSG_NOSIGNAL) != sizeof(buf)) {
        die("floor", strerror(errno));
    }
    while (got < sizeof(buf)) {
        got += poll_recv(fd, buf, sizeof(buf) - got);
    }
}

/* --- the client --- */

typedef struct Client {
    int fd;
    RioLink *link;
    RioSession *session;
    RioMessage reply;
    uint32_t tag;
} Client;

static void client_flush(Client *c)
{
    struct iovec iov[16];
    struct msghdr msg = { .msg_iov = iov };
    ssize_t n;

    while ((msg.msg_iovlen = rio_link_tx(c->link, iov, 16)) > 0) {
        n = sendmsg(c->fd, &msg, MSG_NOSIGNAL);
        if (n < 0) {
            die("send", strerror(errno));
        }
        rio_link_tx_done(c->link, n, now_ns() / 1000000);
    }
}

static bool client_take(Client *c)
{
    RioError err;

    switch (rio_link_next(c->link, &c->reply, &err)) {
    case RIO_NEXT_NONE:
        return false;
    case RIO_NEXT_MESSAGE:
        break;
    default:
        die("server", err.text);
    }
    if (rio_session_state(c->session) == RIO_SESSION_LIVE &&
        rio_session_receive(c->session, &c->reply, &err) ==
        RIO_RECEIVE_BAD) {
        die("session", err.text);
    }
    return true;
}

static void client_wait(Client *c, uint8_t op)
{
    size_t space, n;

    do {
        while (!client_take(c)) {
            uint8_t *to = rio_link_rx_space(c->link, &space);

            n = poll_recv(c->fd, to, space);
            if (!n) {
                die("server", "closed the connection");
            }
            rio_link_received(c->link, n, now_ns() / 1000000);
        }
    } while (c->reply.op != op);
    if (c->reply.status != RIO_STATUS_OK) {
        die(rio_status_text(c->reply.status), c->reply.reason);
    }
}

static void client_open(Client *c, const char *address, const char *module)
{
    RioLinkConfig config = {
        .side = RIO_SIDE_CLIENT,
        .role = RIO_ROLE_CLIENT,
        .name = "ping-client",
        .software = "remote-io-ping-client",
        .keepalive_ms = 60000,      /* silent while the floor is measured */
        .caps = RIO_CAP_RESUME,
    };
    RioMessage m;

    c->fd = is_unix(address) ? connect_unix(address) : connect_tcp(address);
    c->link = rio_link_new(&config, now_ns() / 1000000);
    c->session = rio_session_new(RIO_SIDE_CLIENT);
    rio_message_init(&m, RIO_OP_ATTACH, 0, 1);
    memset(&m.ids, 0, sizeof(m.ids));
    memset(&m.attach, 0, sizeof(m.attach));
    g_strlcpy(m.attach.module, module, sizeof(m.attach.module));
    strcpy(m.attach.vm, "ping");
    strcpy(m.attach.device, "ping0");
    client_flush(c);
    while (rio_link_state(c->link) == RIO_LINK_HELLO) {
        size_t space;
        uint8_t *to = rio_link_rx_space(c->link, &space);
        size_t n = poll_recv(c->fd, to, space);

        if (!n) {
            die("server", "closed the connection");
        }
        rio_link_received(c->link, n, now_ns() / 1000000);
        client_take(c);
    }
    rio_link_send(c->link, &m);
    client_flush(c);
    client_wait(c, RIO_OP_ATTACH_REPLY);
    rio_session_start(c->session, &c->reply.ids, c->reply.epoch,
                      c->reply.attached.token, c->reply.attached.log_limit);
    rio_link_add_session(c->link, c->session);
}

static void client_read(Client *c)
{
    RIO_UNINITIALIZED RioMessage m;

    rio_message_init(&m, RIO_OP_REGION_READ, 0, ++c->tag);
    m.read.region = 0;
    m.read.size = 4;
    m.read.offset = 0;
    if (!rio_session_send(c->session, &m)) {
        die("session", "the log is full");
    }
    client_flush(c);
    client_wait(c, RIO_OP_REGION_READ_REPLY);
}

/* --- rounds --- */

static int compare(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

typedef struct Samples {
    int64_t *ns;
    int count;
} Samples;

static double percentile(Samples *s, double p)
{
    qsort(s->ns, s->count, sizeof(*s->ns), compare);
    return s->ns[(int)((s->count - 1) * p)] / 1000.0;
}

static void pause_us(long us)
{
    struct timespec ts = { us / 1000000, us % 1000000 * 1000 };

    if (us) {
        nanosleep(&ts, NULL);
    }
}

/* Its thread polls, so it must not live while the server is measured */
static void measure_floor(bool local, Samples *f)
{
    pthread_t thread;
    int raw[2];

    if (!local) {
        pair_tcp(raw);
    } else if (socketpair(AF_UNIX, SOCK_STREAM, 0, raw) < 0) {
        die("socketpair", strerror(errno));
    }
    pthread_create(&thread, NULL, bounce, &raw[1]);
    for (int i = -WARM_UP; i < f->count; i++) {
        int64_t start = now_ns();

        floor_once(raw[0]);
        f->ns[MAX(i, 0)] = now_ns() - start;
    }
    shutdown(raw[0], SHUT_RDWR);
    pthread_join(thread, NULL);
    close(raw[0]);
    close(raw[1]);
}

static void measure_server(Client *c, Samples *s, long pause)
{
    for (int i = pause ? 0 : -WARM_UP; i < s->count; i++) {
        int64_t start;

        pause_us(pause);
        start = now_ns();
        client_read(c);
        s->ns[MAX(i, 0)] = now_ns() - start;
    }
}

int main(int argc, char **argv)
{
    int rounds = argc > 3 ? atoi(argv[3]) : 5;
    int count = argc > 4 ? atoi(argv[4]) : 50000;
    long pause = argc > 5 ? atol(argv[5]) : 0;
    Client c = { 0 };

    if (argc < 3 || count < 1) {
        fprintf(stderr, "usage: remote-io-ping-client SOCKET MODULE "
                "[ROUNDS [COUNT [PAUSE_US]]]\n");
        return 1;
    }
    client_open(&c, argv[1], argv[2]);
    for (int i = 0; i < rounds; i++) {
        Samples s = { g_new0(int64_t, count), count };
        Samples f = { g_new0(int64_t, count), count };

        measure_floor(is_unix(argv[1]), &f);
        measure_server(&c, &s, pause);
        printf("read p50 %.2f us p99 %.2f us; floor p50 %.2f us p99 %.2f us; "
               "ratio %.3f\n", percentile(&s, 0.5), percentile(&s, 0.99),
               percentile(&f, 0.5), percentile(&f, 0.99),
               percentile(&s, 0.5) / percentile(&f, 0.5));
        g_free(s.ns);
        g_free(f.ns);
    }
    return 0;
}
