/*
 * remote-io device: connect, handshake, attach, resume
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is here blocks, for a bounded time, and works on a connection that
 * nobody else knows yet: no lock is needed.  Plugging calls it from the main
 * thread, a reconnect from the device's thread.
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/uuid.h"
#include "qemu-version.h"
#include "qapi/error.h"
#include "system/system.h"
#include "hw/remote-io/remote-io.h"
#include "core.h"
#include "trace.h"

/*
 * Each interval wakes this end twice, for a PING and its PONG, and the other
 * end once: together less than two wake-ups a second.
 */
#define KEEPALIVE_MS 1600

/*
 * A half-open connection is found as soon as with three intervals of a second:
 * a PING that is not answered in time is not asked again, as TCP repeats it.
 * This is over before the default loss-timeout, so that there is time to find
 * a way around a dead link.
 */
#define PATIENCE_MS 3000

/* Granularity at which a blocking step looks whether it is still wanted */
#define SLICE_NS (20 * SCALE_MS)

static int64_t now_ms(void)
{
    return remote_io_now_ns() / SCALE_MS;
}

void remote_io_conn_free(RemoteIOConn *conn)
{
    if (!conn) {
        return;
    }
    rio_transport_free(conn->transport);
    rio_link_free(conn->link);
    g_free(conn);
}

/* The host's id: the same for all its machines, on every start */
static void host_uuid(uint8_t *uuid)
{
    g_autofree char *text = NULL;
    int i;

    memset(uuid, 0, RIO_UUID_SIZE);
    if (!g_file_get_contents("/etc/machine-id", &text, NULL, NULL) ||
        strlen(text) < 2 * RIO_UUID_SIZE) {
        return;
    }
    for (i = 0; i < RIO_UUID_SIZE; i++) {
        int hi = g_ascii_xdigit_value(text[2 * i]);
        int lo = g_ascii_xdigit_value(text[2 * i + 1]);

        if (hi < 0 || lo < 0) {
            memset(uuid, 0, RIO_UUID_SIZE);
            return;
        }
        uuid[i] = hi << 4 | lo;
    }
}

/* A PCI function can be a bus master, and a doorbell may take data along */
static uint64_t capabilities(RemoteIOCore *s)
{
    uint64_t recipes = RIO_CAP_RECIPES | RIO_CAP_LONG | RIO_CAP_LAZY;

    return RIO_CAP_RESUME | RIO_CAP_ROUTE | RIO_CAP_STATE |
           RIO_CAP_MOVE | (s->pci ? RIO_CAP_DMA : 0) |
           (s->use_recipes ? recipes : 0) |
           (s->share.enabled ? RIO_CAP_SHM : 0);
}

static RioLink *new_link(RemoteIOCore *s)
{
    RioLinkConfig config = {
        .side = RIO_SIDE_CLIENT,
        .role = RIO_ROLE_CLIENT,
        .name = s->client_id,
        .software = "QEMU " QEMU_VERSION,
        .caps = capabilities(s),
        .keepalive_ms = KEEPALIVE_MS,
        .patience_ms = PATIENCE_MS,
        .watch = &rio_link_tracer,
        .watch_opaque = s->name,
    };

    host_uuid(config.uuid);
    return rio_link_new(&config, now_ms());
}

static bool send_all(RemoteIOConn *conn, Error **errp)
{
    struct iovec iov[8];
    ssize_t sent;
    int n;

    while ((n = rio_link_tx(conn->link, iov, ARRAY_SIZE(iov))) > 0) {
        sent = rio_transport_send(conn->transport, iov, n, errp);
        if (sent == RIO_TRANSPORT_AGAIN) {
            return true;
        }
        if (sent < 0) {
            return false;
        }
        rio_link_tx_done(conn->link, sent, now_ms());
    }
    return true;
}

static bool receive_some(RemoteIOCore *s, RemoteIOConn *conn, Error **errp)
{
    size_t space;
    uint8_t *buf = rio_link_rx_space(conn->link, &space);
    ssize_t n = rio_transport_recv(conn->transport, buf, space, errp);

    if (n > 0) {
        rio_link_received(conn->link, n, now_ms());
    } else if (n == 0) {
        error_setg(errp, "server %s closed the connection", s->server_text);
    }
    return n > 0 || n == RIO_TRANSPORT_AGAIN;
}

/*
 * Take the next message of the handshake.  Returns 1 with *m, 0 when there is
 * none yet, -1 with *errp.
 */
static int take(RemoteIOCore *s, RemoteIOConn *conn, RioMessage *m,
                Error **errp)
{
    RioError err = { };

    switch (rio_link_next(conn->link, m, &err)) {
    case RIO_NEXT_MESSAGE:
        return 1;
    case RIO_NEXT_NONE:
        return 0;
    case RIO_NEXT_CLOSED:
        error_setg(errp, "server %s refused the connection: %s",
                   s->server_text, err.text);
        return -1;
    default:
        send_all(conn, NULL);
        error_setg(errp, "server %s does not speak the protocol: %s; is it a "
                   "remote-io-server?", s->server_text, err.text);
        return -1;
    }
}

/* Wait for the handshake's end (@m is NULL) or for a message */
static bool pump(RemoteIOCore *s, RemoteIOConn *conn, RioMessage *m,
                 int64_t deadline_ns, Error **errp)
{
    RioMessage dummy;
    int64_t left;
    int r;

    for (;;) {
        r = take(s, conn, m ?: &dummy, errp);
        if (r < 0) {
            return false;
        }
        if (r > 0 && m) {
            return true;
        }
        if (!m && rio_link_state(conn->link) == RIO_LINK_READY) {
            return true;
        }
        if (!send_all(conn, errp) || !receive_some(s, conn, errp)) {
            return false;
        }
        left = deadline_ns - remote_io_now_ns();
        if (left <= 0 || qatomic_read(&s->hurry)) {
            error_setg(errp, "server %s accepted the connection but did not "
                       "answer within %u ms: is it a remote-io-server, and "
                       "not stopped?", s->server_text, s->connect_timeout_ms);
            return false;
        }
        rio_transport_wait(conn->transport, G_IO_IN, MIN(left, SLICE_NS));
    }
}

RemoteIOConn *remote_io_connect(RemoteIOCore *s, int64_t timeout_ms,
                                Error **errp)
{
    return remote_io_connect_to(s, NULL, s->server_text, timeout_ms, errp);
}

RemoteIOConn *remote_io_connect_to(RemoteIOCore *s, SocketAddress *server,
                                   const char *text, int64_t timeout_ms,
                                   Error **errp)
{
    int64_t deadline = remote_io_now_ns() + timeout_ms * SCALE_MS;
    RemoteIOConn *conn = g_new0(RemoteIOConn, 1);
    Error *err = NULL;

    conn->refs = 1;
    trace_remote_io_connecting(s->name, text);
    conn->transport = server
        ? rio_transport_connect(server, timeout_ms, &s->hurry, &err)
        : remote_io_reach(s, timeout_ms, &err);
    if (!conn->transport) {
        error_setg(errp, "%s; does a remote-io-server listen there?",
                   error_get_pretty(err));
        error_free(err);
        remote_io_conn_free(conn);
        return NULL;
    }
    conn->link = new_link(s);
    if (!pump(s, conn, NULL, deadline, errp)) {
        remote_io_conn_free(conn);
        return NULL;
    }
    trace_remote_io_connected(s->name, rio_link_peer_name(conn->link),
                              rio_link_peer_software(conn->link));
    return conn;
}

/*
 * That of the machine, or one of this process: two machines that go by one
 * name must not be taken for one.
 */
static QemuUUID generated;

void remote_io_set_vm_uuid(const uint8_t *uuid)
{
    memcpy(generated.data, uuid, RIO_UUID_SIZE);
}

void remote_io_vm_uuid(uint8_t *uuid)
{
    if (qemu_uuid_set) {
        memcpy(uuid, qemu_uuid.data, RIO_UUID_SIZE);
        return;
    }
    if (qemu_uuid_is_null(&generated)) {
        qemu_uuid_generate(&generated);
    }
    memcpy(uuid, generated.data, RIO_UUID_SIZE);
}

static void fill_attach(RemoteIOCore *s, RioMessage *m)
{
    *m = (RioMessage) {
        .op = RIO_OP_ATTACH,
        .attach.caps = capabilities(s),
    };
    remote_io_vm_uuid(m->attach.vm_uuid);
    pstrcpy(m->attach.server, sizeof(m->attach.server), s->server_id ?: "");
    pstrcpy(m->attach.module, sizeof(m->attach.module), s->module);
    pstrcpy(m->attach.vm, sizeof(m->attach.vm), s->vm_id);
    pstrcpy(m->attach.device, sizeof(m->attach.device), s->name);
}

/* Say why ATTACH was refused, and what to do */
static void attach_error(RemoteIOCore *s, const RioMessage *m, Error **errp)
{
    const char *reason = m->reason[0] ? m->reason
                                      : rio_status_text(m->status);

    switch (m->status) {
    case RIO_STATUS_UNKNOWN_MODULE:
        error_setg(errp, "server %s has no module '%s': %s; its --module "
                   "options and query-remote-io-modules name them",
                   s->server_text, s->module, reason);
        break;
    case RIO_STATUS_UNKNOWN_SERVER:
        error_setg(errp, "server %s knows no server '%s' (property "
                   "server-id): %s", s->server_text, s->server_id ?: "",
                   reason);
        break;
    case RIO_STATUS_MODULE_BUSY:
        error_setg(errp, "module '%s' of server %s is taken: %s; unplug it "
                   "there, or use another module", s->module, s->server_text,
                   reason);
        break;
    default:
        error_setg(errp, "server %s refused to attach module '%s': %s",
                   s->server_text, s->module, reason);
    }
}

bool remote_io_attach(RemoteIOCore *s, RemoteIOConn *conn,
                      RemoteIOAttach *out, int64_t timeout_ms, Error **errp)
{
    int64_t deadline = remote_io_now_ns() + timeout_ms * SCALE_MS;
    RioMessage m;

    fill_attach(s, &m);
    m.ids.client = rio_link_client_id(conn->link);
    rio_link_send(conn->link, &m);
    if (!pump(s, conn, &m, deadline, errp)) {
        return false;
    }
    if (m.op != RIO_OP_ATTACH_REPLY) {
        error_setg(errp, "server %s answered ATTACH with %s",
                   s->server_text, rio_op_name(m.op));
        return false;
    }
    if (m.status != RIO_STATUS_OK) {
        attach_error(s, &m, errp);
        return false;
    }
    if (s->share.enabled && !(m.attached.caps & RIO_CAP_SHM)) {
        error_setg(errp, "server %s does not take the memory of module '%s': "
                   "leave out share-memory=on", s->server_text, s->module);
        return false;
    }
    out->ids = m.ids;
    out->epoch = m.epoch;
    out->caps = m.attached.caps;
    memcpy(out->token, m.attached.token, RIO_TOKEN_SIZE);
    out->log_limit = m.attached.log_limit;
    out->max_outstanding = m.attached.max_outstanding;
    out->desc = g_memdup2(m.payload.data, m.payload.len);
    out->desc_len = m.payload.len;
    trace_remote_io_attached(s->name, s->module, m.ids.client, m.ids.vm,
                             m.ids.server, m.ids.module, m.epoch);
    return true;
}

void remote_io_give_back(RemoteIOConn *conn, const RemoteIOAttach *a,
                         const char *why)
{
    RioMessage m = {
        .op = RIO_OP_DETACH,
        .ids = a->ids,
        .epoch = a->epoch,
    };

    rio_link_send(conn->link, &m);
    rio_link_bye(conn->link, RIO_STATUS_OK, why);
    send_all(conn, NULL);
    remote_io_conn_free(conn);
}

RemoteIOResume remote_io_resume(RemoteIOCore *s, RemoteIOConn *conn,
                                RioIds *ids, uint64_t *peer_received,
                                Error **errp)
{
    int64_t deadline = remote_io_now_ns() +
                       (int64_t)s->connect_timeout_ms * SCALE_MS;
    RioMessage m = {
        .op = RIO_OP_RESUME,
    };

    WITH_QEMU_LOCK_GUARD(&s->lock) {
        m.ids = *rio_session_ids(s->session);
        /* The server may have taken an attempt whose reply was lost */
        s->epoch = MAX(s->epoch, rio_session_epoch(s->session)) + 1;
        m.epoch = s->epoch;
        memcpy(m.resume.token, rio_session_token(s->session),
               RIO_TOKEN_SIZE);
        m.resume.received = rio_session_received(s->session);
    }
    *ids = m.ids;
    trace_remote_io_resuming(s->name, m.epoch, m.resume.received);
    rio_link_send(conn->link, &m);
    if (!pump(s, conn, &m, deadline, errp)) {
        return REMOTE_IO_NO_ANSWER;
    }
    if (m.op == RIO_OP_SESSION_GONE) {
        return REMOTE_IO_UNKNOWN;
    }
    if (m.op != RIO_OP_RESUME_REPLY) {
        error_setg(errp, "server %s answered RESUME with %s",
                   s->server_text, rio_op_name(m.op));
        return REMOTE_IO_NO_ANSWER;
    }
    switch (m.status) {
    case RIO_STATUS_OK:
        *peer_received = m.resume.received;
        if (rio_link_caps(conn->link) & RIO_CAP_MOVE) {
            *ids = m.ids;
        }
        return REMOTE_IO_RESUMED;
    case RIO_STATUS_UNKNOWN_SESSION:
    case RIO_STATUS_UNKNOWN_MODULE:
    case RIO_STATUS_GONE:
        return REMOTE_IO_UNKNOWN;
    default:
        error_setg(errp, "server %s refused to resume module '%s': %s",
                   s->server_text, s->module, m.reason);
        return REMOTE_IO_NO_ANSWER;
    }
}
