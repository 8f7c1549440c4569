/*
 * Wire ping-pong: what a read costs without a guest and without QEMU
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A client of a remote-io-server that attaches to a module as the device does
 * and reads register 0 of its region 0.  Between this and raw-ping lies what
 * the wire's code and the server cost; between this and a read in a guest,
 * what QEMU costs.  With --self the far end is a process of our own that
 * answers every read at once: then only the wire's code is left.
 *
 *   wire-ping ADDRESS MODULE         unix:PATH, tcp:HOST:PORT, vsock:CID:PORT
 *   wire-ping --self unix|tcp
 *   wire-ping --memory read|post     no commands: round trips or posted writes
 *                                    between two ends in one thread, by
 *                                    copying; what the wire's code itself costs
 *
 * Commands come one a line on standard input; each gets one line of answer:
 *
 *   read busy|block COUNT PACE_US    PACE_US > 0: sleep before each
 *   write BURST COUNT                posted writes, sent BURST at a time; each
 *                                    BURST is one sample
 */

#include "qemu/osdep.h"
#include <sys/wait.h>
#include "qapi/error.h"
#include "qemu/module.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/iov.h"
#include "qemu/sockets.h"
#include "qemu/timer.h"
#include "net/remote-io/link.h"
#include "net/remote-io/transport.h"
#include "samples.h"

#define WARM_UP 2000
#define CONNECT_MS 3000

typedef struct Peer {
    RioTransport *transport;
    RioLink *link;
    RioSession *session;
    bool busy;                  /* poll instead of sleeping */
    uint64_t replies;
} Peer;

static Samples samples;

static int64_t now_ns(void)
{
    return get_clock();
}

static void G_NORETURN die(const char *what, Error *err)
{
    error_reportf_err(err, "wire-ping: %s: ", what);
    exit(1);
}

static void flush(Peer *p)
{
    Error *err = NULL;
    struct iovec iov[8];
    int n;

    while ((n = rio_link_tx(p->link, iov, ARRAY_SIZE(iov))) > 0) {
        ssize_t sent = rio_transport_send(p->transport, iov, n, &err);

        if (sent == RIO_TRANSPORT_AGAIN) {
            rio_transport_wait(p->transport, G_IO_OUT, -1);
        } else if (sent < 0) {
            die("send", err);
        } else {
            rio_link_tx_done(p->link, sent, now_ns() / SCALE_MS);
        }
    }
}

/* Returns: false at the end of the stream */
static bool receive(Peer *p)
{
    Error *err = NULL;
    size_t space;
    uint8_t *buf = rio_link_rx_space(p->link, &space);
    ssize_t n;

    while ((n = rio_transport_recv(p->transport, buf, space, &err)) ==
           RIO_TRANSPORT_AGAIN) {
        if (!p->busy) {
            rio_transport_wait(p->transport, G_IO_IN, -1);
        }
    }
    if (n < 0) {
        die("receive", err);
    }
    rio_link_received(p->link, n, now_ns() / SCALE_MS);
    return n > 0;
}

/* Take the next message; false when more bytes are needed first */
static bool next(Peer *p, RioMessage *m)
{
    RioError err;

    switch (rio_link_next(p->link, m, &err)) {
    case RIO_NEXT_MESSAGE:
        break;
    case RIO_NEXT_NONE:
        return false;
    default:
        error_report("wire-ping: %s", err.text);
        exit(1);
    }
    if (p->session &&
        rio_session_receive(p->session, m, &err) == RIO_RECEIVE_BAD) {
        error_report("wire-ping: %s", err.text);
        exit(1);
    }
    return true;
}

/* --- the far end of --self --- */

static void answer_attach(Peer *p)
{
    static const RioDescription desc = { .bus = RIO_BUS_PCI };
    const RioIds ids = { .client = 1, .vm = 1, .server = 1, .module = 1 };
    uint8_t bytes[RIO_MAX_DESCRIPTION];
    RioMessage m;

    rio_message_init(&m, RIO_OP_ATTACH_REPLY, 0, 0);
    m.ids = ids;
    m.epoch = 1;
    memset(m.attached.token, 1, sizeof(m.attached.token));
    m.attached.caps = 0;
    m.attached.log_limit = RIO_DEFAULT_LOG;
    m.attached.max_outstanding = 64;
    m.payload.data = bytes;
    m.payload.len = rio_description_encode(&desc, bytes, sizeof(bytes));
    rio_link_send(p->link, &m);
    p->session = rio_session_new(RIO_SIDE_SERVER);
    rio_session_start(p->session, &ids, 1, m.attached.token, RIO_DEFAULT_LOG);
    rio_link_add_session(p->link, p->session);
}

static void answer(Peer *p, const RioMessage *m)
{
    RIO_UNINITIALIZED RioMessage reply;

    if (m->op == RIO_OP_ATTACH) {
        answer_attach(p);
    } else if (m->op == RIO_OP_REGION_READ) {
        rio_message_init(&reply, RIO_OP_REGION_READ_REPLY, 0, m->tag);
        reply.value.value = 0;
        if (!rio_session_send(p->session, &reply)) {
            error_report("wire-ping: the log is full");
            exit(1);
        }
    }
}

static void serve(RioTransport *t)
{
    RioLinkConfig config = {
        .side = RIO_SIDE_SERVER,
        .role = RIO_ROLE_SERVER,
        .name = "self",
        .server_id = 1,
        .client_id = 1,
    };
    Peer p = { .transport = t, .busy = true };
    RIO_UNINITIALIZED RioMessage m;

    p.link = rio_link_new(&config, now_ns() / SCALE_MS);
    while (receive(&p)) {
        while (next(&p, &m)) {
            answer(&p, &m);
        }
        flush(&p);
    }
}

static RioTransport *start_self(const char *kind)
{
    bool tcp = !strcmp(kind, "tcp");
    g_autofree char *path = g_strdup_printf("%s/wire-ping.%d",
                                            g_get_tmp_dir(), getpid());
    g_autoptr(SocketAddress) addr = NULL;
    Error *err = NULL;
    RioTransport *t;
    int fd, conn;

    if (tcp) {
        addr = rio_address_parse("tcp:127.0.0.1:0", &error_fatal);
    } else {
        g_autofree char *text = g_strdup_printf("unix:%s", path);

        addr = rio_address_parse(text, &error_fatal);
    }
    fd = socket_listen(addr, 1, &error_fatal);
    if (fork() == 0) {
        conn = accept(fd, NULL, NULL);
        if (conn < 0) {
            _exit(1);
        }
        serve(rio_transport_new(qio_channel_socket_new_fd(conn, &error_fatal),
                                &error_fatal));
        _exit(0);
    }
    if (tcp) {
        qapi_free_SocketAddress(addr);
        addr = socket_local_address(fd, &error_fatal);
    }
    t = rio_transport_connect(addr, CONNECT_MS, NULL, &err);
    if (!t) {
        die("connect", err);
    }
    close(fd);
    unlink(path);
    return t;
}

/* --- the near end --- */

static RioTransport *connect_to(const char *text)
{
    g_autoptr(SocketAddress) addr = rio_address_parse(text, &error_fatal);
    Error *err = NULL;
    RioTransport *t = rio_transport_connect(addr, CONNECT_MS, NULL, &err);

    if (!t) {
        die("connect", err);
    }
    return t;
}

static void send_attach(Peer *p, const char *module)
{
    RioMessage m;

    rio_message_init(&m, RIO_OP_ATTACH, 0, 1);
    memset(&m.attach, 0, sizeof(m.attach));
    pstrcpy(m.attach.module, sizeof(m.attach.module), module);
    pstrcpy(m.attach.vm, sizeof(m.attach.vm), "wire-ping");
    pstrcpy(m.attach.device, sizeof(m.attach.device), "wire-ping");
    rio_link_send(p->link, &m);
}

static void start_session(Peer *p, const RioMessage *reply)
{
    if (reply->op != RIO_OP_ATTACH_REPLY || reply->status != RIO_STATUS_OK) {
        error_report("wire-ping: %s: %s", rio_op_name(reply->op),
                     rio_status_text(reply->status));
        exit(1);
    }
    p->session = rio_session_new(RIO_SIDE_CLIENT);
    rio_session_start(p->session, &reply->ids, reply->epoch,
                      reply->attached.token, reply->attached.log_limit);
    rio_link_add_session(p->link, p->session);
}

static void attach(Peer *p, const char *module)
{
    const RioLinkConfig config = {
        .side = RIO_SIDE_CLIENT,
        .role = RIO_ROLE_CLIENT,
        .name = "wire-ping",
    };
    RioMessage m;

    p->link = rio_link_new(&config, now_ns() / SCALE_MS);
    flush(p);
    while (rio_link_state(p->link) != RIO_LINK_READY) {
        if (!receive(p) || next(p, &m)) {
            error_report("wire-ping: no handshake");
            exit(1);
        }
    }
    send_attach(p, module);
    flush(p);
    while (receive(p) && !next(p, &m)) {
        continue;
    }
    start_session(p, &m);
}

static void wait_for_reply(Peer *p)
{
    uint64_t before = p->replies;
    RIO_UNINITIALIZED RioMessage m;

    while (p->replies == before) {
        if (!receive(p)) {
            error_report("wire-ping: the server has closed the connection");
            exit(1);
        }
        while (next(p, &m)) {
            p->replies += m.op == RIO_OP_REGION_READ_REPLY;
        }
    }
}

static void read_once(Peer *p)
{
    RIO_UNINITIALIZED RioMessage m;

    rio_message_init(&m, RIO_OP_REGION_READ, 0, p->replies + 1);
    m.read.region = 0;
    m.read.size = 4;
    m.read.offset = 0;
    if (!rio_session_send(p->session, &m)) {
        error_report("wire-ping: the log is full");
        exit(1);
    }
    flush(p);
    wait_for_reply(p);
}

static void measure_reads(Peer *p, unsigned count, unsigned pace_us)
{
    unsigned warm_up = pace_us ? count / 10 : WARM_UP;

    samples.count = 0;
    for (unsigned i = 0; i < warm_up + count; i++) {
        int64_t start;

        if (pace_us) {
            g_usleep(pace_us);
        }
        start = now_ns();
        read_once(p);
        if (i >= warm_up) {
            samples_add(&samples, now_ns() - start);
        }
    }
}

static void post(Peer *p, unsigned i)
{
    const RioWrite w = { .size = 4, .value = i };

    while (!rio_session_post(p->session, &w)) {
        RIO_UNINITIALIZED RioMessage m;

        flush(p);
        receive(p);
        while (next(p, &m)) {
            continue;
        }
    }
}

static void measure_writes(Peer *p, unsigned burst, unsigned count)
{
    samples.count = 0;
    for (unsigned i = 0; i < WARM_UP + count; i++) {
        int64_t start = now_ns();

        for (unsigned j = 0; j < burst; j++) {
            post(p, j);
        }
        flush(p);
        if (i >= WARM_UP) {
            samples_add(&samples, now_ns() - start);
        }
    }
    read_once(p);
}

/* --- both ends in one thread --- */

static void move(Peer *from, Peer *to)
{
    struct iovec iov[8];
    int n;

    while ((n = rio_link_tx(from->link, iov, ARRAY_SIZE(iov))) > 0) {
        size_t size = iov_size(iov, n), space;
        uint8_t *buf = rio_link_rx_space(to->link, &space);

        size = MIN(size, space);
        iov_to_buf(iov, n, 0, buf, size);
        rio_link_tx_done(from->link, size, 0);
        rio_link_received(to->link, size, 0);
    }
}

static void copy_once(Peer *near, Peer *far, bool read)
{
    RIO_UNINITIALIZED RioMessage m;
    const RioWrite w = { .size = 4 };

    if (read) {
        rio_message_init(&m, RIO_OP_REGION_READ, 0, 1);
        m.read.region = 0;
        m.read.size = 4;
        m.read.offset = 0;
    }
    if (!(read ? rio_session_send(near->session, &m)
               : rio_session_post(near->session, &w))) {
        error_report("wire-ping: the log is full");
        exit(1);
    }
    move(near, far);
    while (next(far, &m)) {
        answer(far, &m);
    }
    move(far, near);
    while (next(near, &m)) {
        continue;
    }
}

static void measure_memory(bool read)
{
    const RioLinkConfig client = {
        .side = RIO_SIDE_CLIENT, .role = RIO_ROLE_CLIENT, .name = "near",
    };
    const RioLinkConfig server = {
        .side = RIO_SIDE_SERVER, .role = RIO_ROLE_SERVER, .name = "far",
        .server_id = 1, .client_id = 1,
    };
    const unsigned batch = 100;
    Peer near = { .link = rio_link_new(&client, 0) };
    Peer far = { .link = rio_link_new(&server, 0) };
    RioMessage m;

    move(&near, &far);
    while (next(&far, &m)) {
        continue;
    }
    move(&far, &near);
    while (next(&near, &m)) {
        continue;
    }
    send_attach(&near, "memory");
    move(&near, &far);
    while (next(&far, &m)) {
        answer(&far, &m);
    }
    move(&far, &near);
    if (!next(&near, &m)) {
        error_report("wire-ping: no handshake");
        exit(1);
    }
    start_session(&near, &m);
    samples.count = 0;
    for (unsigned i = 0; i < 20000; i++) {
        int64_t start = now_ns();

        for (unsigned j = 0; j < batch; j++) {
            copy_once(&near, &far, read);
        }
        samples_add(&samples, now_ns() - start);
    }
    samples_print(&samples, batch, stdout);
}

static void command(Peer *p, const char *line)
{
    unsigned count, number;
    char wait[8];

    if (sscanf(line, "read %7s %u %u", wait, &count, &number) == 3 &&
        count <= SAMPLES_MAX) {
        p->busy = !strcmp(wait, "busy");
        measure_reads(p, count, number);
        samples_print(&samples, 1.0, stdout);
    } else if (sscanf(line, "write %u %u", &number, &count) == 2 &&
               count <= SAMPLES_MAX) {
        p->busy = false;
        measure_writes(p, number, count);
        samples_print(&samples, 1.0, stdout);
    } else {
        printf("error bad command\n");
    }
    fflush(stdout);
}

int main(int argc, char **argv)
{
    Peer p = { 0 };
    char line[128];

    if (argc != 3) {
        error_report("usage: wire-ping ADDRESS MODULE | --self unix|tcp | "
                     "--memory read|post");
        return 1;
    }
    module_call_init(MODULE_INIT_QOM);
    if (!strcmp(argv[1], "--memory")) {
        measure_memory(!strcmp(argv[2], "read"));
        return 0;
    }
    p.transport = strcmp(argv[1], "--self") ? connect_to(argv[1])
                                            : start_self(argv[2]);
    attach(&p, argv[2]);
    while (fgets(line, sizeof(line), stdin)) {
        command(&p, line);
    }
    return 0;
}
