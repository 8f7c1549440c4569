/*
 * remote-io transport: addresses in the short form
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/un.h>

#include "qapi/error.h"
#include "qemu/ctype.h"
#include "qemu/cutils.h"
#include "net/remote-io/transport.h"

#define FORMS "tcp:HOST:PORT, tcp:[IPV6]:PORT, unix:PATH or vsock:CID:PORT"

/* What is wrong comes before the forms that would be right */
static SocketAddress *bad(Error **errp, const char *text, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);

static SocketAddress *bad(Error **errp, const char *text, const char *fmt, ...)
{
    g_autofree char *what = NULL;
    va_list ap;

    va_start(ap, fmt);
    what = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    error_setg(errp, "address '%s': %s; write " FORMS, text, what);
    return NULL;
}

/* A decimal number up to @max and nothing else */
static bool is_number(const char *s, uint64_t max)
{
    uint64_t value;

    return qemu_isdigit(*s) && parse_uint_full(s, 10, &value) == 0 &&
           value <= max;
}

static SocketAddress *parse_tcp(const char *text, const char *rest,
                                Error **errp)
{
    const char *colon = strrchr(rest, ':');
    g_autofree char *host = NULL;
    SocketAddress *addr;
    size_t len;

    if (!colon || !is_number(colon + 1, UINT16_MAX)) {
        return bad(errp, text, "no port from 0 to 65535 at its end");
    }
    len = colon - rest;
    if (*rest == '[') {
        if (len < 2 || rest[len - 1] != ']') {
            return bad(errp, text, "'[' without ']' before the port");
        }
        host = g_strndup(rest + 1, len - 2);
    } else if (memchr(rest, ':', len)) {
        return bad(errp, text, "an IPv6 address needs brackets");
    } else {
        host = g_strndup(rest, len);
    }
    addr = g_new0(SocketAddress, 1);
    addr->type = SOCKET_ADDRESS_TYPE_INET;
    addr->u.inet.host = g_steal_pointer(&host);
    addr->u.inet.port = g_strdup(colon + 1);
    return addr;
}

static SocketAddress *parse_unix(const char *text, const char *path,
                                 Error **errp)
{
    const size_t max = sizeof_field(struct sockaddr_un, sun_path) - 1;
    SocketAddress *addr;

    if (!*path) {
        return bad(errp, text, "the path is empty");
    }
    if (strlen(path) > max) {
        return bad(errp, text, "the path is longer than %zu bytes", max);
    }
    addr = g_new0(SocketAddress, 1);
    addr->type = SOCKET_ADDRESS_TYPE_UNIX;
    addr->u.q_unix.path = g_strdup(path);
    return addr;
}

static SocketAddress *parse_vsock(const char *text, const char *rest,
                                  Error **errp)
{
    g_auto(GStrv) parts = g_strsplit(rest, ":", 0);
    SocketAddress *addr;

    if (g_strv_length(parts) != 2 || !is_number(parts[0], UINT32_MAX) ||
        !is_number(parts[1], UINT32_MAX)) {
        return bad(errp, text, "CID and port must be numbers up to %u",
                   UINT32_MAX);
    }
    addr = g_new0(SocketAddress, 1);
    addr->type = SOCKET_ADDRESS_TYPE_VSOCK;
    addr->u.vsock.cid = g_strdup(parts[0]);
    addr->u.vsock.port = g_strdup(parts[1]);
    return addr;
}

SocketAddress *rio_address_parse(const char *text, Error **errp)
{
    const char *rest;

    if (strstart(text, "tcp:", &rest)) {
        return parse_tcp(text, rest, errp);
    }
    if (strstart(text, "unix:", &rest)) {
        return parse_unix(text, rest, errp);
    }
    if (strstart(text, "vsock:", &rest)) {
        return parse_vsock(text, rest, errp);
    }
    return bad(errp, text, "unknown kind");
}

char *rio_address_text(const SocketAddress *addr)
{
    const InetSocketAddress *inet = &addr->u.inet;

    switch (addr->type) {
    case SOCKET_ADDRESS_TYPE_INET:
        return g_strdup_printf(strchr(inet->host, ':') ? "tcp:[%s]:%s"
                                                       : "tcp:%s:%s",
                               inet->host, inet->port);
    case SOCKET_ADDRESS_TYPE_UNIX:
        return g_strdup_printf("unix:%s", addr->u.q_unix.path);
    case SOCKET_ADDRESS_TYPE_VSOCK:
        return g_strdup_printf("vsock:%s:%s", addr->u.vsock.cid,
                               addr->u.vsock.port);
    case SOCKET_ADDRESS_TYPE_FD:
        return g_strdup_printf("fd:%s", addr->u.fd.str);
    default:
        g_assert_not_reached();
    }
}
