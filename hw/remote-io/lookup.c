/*
 * remote-io device: where its server is, when a directory says it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The directory is asked anew before each attempt to connect, so that a module
 * that reappears elsewhere is found again.  A session stays with its server as
 * long as the directory names that, even if others have the module, too: only
 * there is its state.  What was found last stays in use while the directory
 * cannot be asked.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "core.h"
#include "trace.h"

bool remote_io_lookup_init(RemoteIOCore *s, Error **errp)
{
    if (!s->directory_text) {
        return true;
    }
    if (s->server) {
        error_setg(errp, "give server or directory, not both");
        return false;
    }
    rio_directory_free(s->directory);
    s->directory = rio_directory_parse(s->directory_text, errp);
    if (!s->directory) {
        error_prepend(errp, "directory=%s: ", s->directory_text);
    }
    return s->directory;
}

void remote_io_lookup_finalize(RemoteIOCore *s)
{
    rio_directory_entry_free(s->found);
    rio_directory_free(s->directory);
}

/* Only the server that it was, if it is among them */
static void stay(RemoteIOCore *s, GPtrArray *entries)
{
    for (guint i = 0; s->found && i < entries->len; i++) {
        RioDirectoryEntry *e = entries->pdata[i];

        if (g_str_equal(e->server, s->found->server)) {
            RioDirectoryEntry *only = rio_directory_entry_copy(e);

            g_ptr_array_set_size(entries, 0);
            g_ptr_array_add(entries, only);
            return;
        }
    }
}

/* Returns: whom to try, in turn; NULL with *@errp */
static GPtrArray *find(RemoteIOCore *s, int64_t timeout_ms, Error **errp)
{
    bool down;
    Error *err = NULL;
    GPtrArray *entries = rio_directory_lookup(s->directory, s->module,
                                              s->server_id, timeout_ms,
                                              &s->hurry, &down, &err);

    if (entries) {
        stay(s, entries);
    } else if (down && s->found) {
        trace_remote_io_directory_down(s->name, error_get_pretty(err),
                                       s->found->server);
        error_free(err);
        entries = rio_directory_entries_new();
        g_ptr_array_add(entries, rio_directory_entry_copy(s->found));
    } else {
        error_propagate(errp, err);
    }
    return entries;
}

static RioTransport *try(RemoteIOCore *s, const RioDirectoryEntry *e,
                         int64_t timeout_ms, Error **errp)
{
    RioTransport *transport = NULL;
    Error *err = NULL;

    for (char **text = e->addresses; *text && !transport; text++) {
        SocketAddress *addr = rio_address_parse(*text, &error_abort);

        error_free(g_steal_pointer(&err));
        trace_remote_io_directory_try(s->name, e->server, *text);
        transport = rio_transport_connect(addr, timeout_ms, &s->hurry, &err);
        qapi_free_SocketAddress(addr);
    }
    error_propagate(errp, err);
    return transport;
}

/* Each gets an equal share of what time is left */
RioTransport *remote_io_reach(RemoteIOCore *s, int64_t timeout_ms,
                              Error **errp)
{
    int64_t deadline = remote_io_now_ns() + timeout_ms * SCALE_MS;
    g_autoptr(GPtrArray) entries = NULL;
    RioTransport *transport = NULL;
    Error *err = NULL;

    if (s->server) {
        return rio_transport_connect(s->server, timeout_ms, &s->hurry, errp);
    }
    entries = find(s, timeout_ms, errp);
    for (guint i = 0; entries && i < entries->len && !transport; i++) {
        RioDirectoryEntry *e = entries->pdata[i];
        int64_t left = (deadline - remote_io_now_ns()) / SCALE_MS;

        error_free(g_steal_pointer(&err));
        transport = try(s, e, MAX(left / (entries->len - i), 1), &err);
        if (transport) {
            QEMU_LOCK_GUARD(&s->lock);
            rio_directory_entry_free(s->found);
            s->found = rio_directory_entry_copy(e);
        }
    }
    if (err && !transport) {
        error_propagate_prepend(errp, err, "directory %s: ",
                                s->directory_text);
    } else {
        error_free(err);
    }
    return transport;
}

char *remote_io_where_locked(RemoteIOCore *s)
{
    g_autofree char *addresses = NULL;

    if (s->server || !s->found) {
        return g_strdup(s->server_text);
    }
    addresses = g_strjoinv(" or ", s->found->addresses);
    return g_strdup_printf("%s at %s", s->found->server, addresses);
}
