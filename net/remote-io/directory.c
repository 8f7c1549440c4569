/*
 * remote-io directory: how it is written, and what a client asks of it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "qemu/keyval.h"
#include "qemu/option.h"
#include "qobject/qlist.h"
#include "qobject/qstring.h"
#include "net/remote-io/directory.h"
#include "net/remote-io/etcd.h"
#include "net/remote-io/protocol.h"
#include "net/remote-io/transport.h"

#define FORMS "file:PATH or etcd:URL[,prefix=P][,ttl=SECONDS]"

#define DEFAULT_PREFIX "/remote-io/"
#define DEFAULT_TTL 10u
#define MAX_TTL 3600u

/* --- entries --- */

bool rio_directory_name_ok(const char *name)
{
    if (!*name || strlen(name) > RIO_MAX_STRING ||
        !g_utf8_validate(name, -1, NULL)) {
        return false;
    }
    for (; *name; name = g_utf8_next_char(name)) {
        if (g_unichar_iscntrl(g_utf8_get_char(name))) {
            return false;
        }
    }
    return true;
}

RioDirectoryEntry *rio_directory_entry_new(const char *server)
{
    RioDirectoryEntry *e = g_new0(RioDirectoryEntry, 1);

    e->server = g_strdup(server);
    return e;
}

RioDirectoryEntry *rio_directory_entry_copy(const RioDirectoryEntry *e)
{
    RioDirectoryEntry *copy = rio_directory_entry_new(e->server);

    copy->addresses = g_strdupv(e->addresses);
    copy->modules = g_strdupv(e->modules);
    copy->owner = g_strdup(e->owner);
    return copy;
}

static bool same_strings(char **a, char **b)
{
    return a == b || (a && b && g_strv_equal((const char * const *)a,
                                             (const char * const *)b));
}

bool rio_directory_entry_equal(const RioDirectoryEntry *a,
                               const RioDirectoryEntry *b)
{
    return g_str_equal(a->server, b->server) &&
           !g_strcmp0(a->owner, b->owner) &&
           same_strings(a->addresses, b->addresses) &&
           same_strings(a->modules, b->modules);
}

void rio_directory_entry_free(void *entry)
{
    RioDirectoryEntry *e = entry;

    if (e) {
        g_free(e->server);
        g_strfreev(e->addresses);
        g_strfreev(e->modules);
        g_free(e->owner);
        g_free(e);
    }
}

GPtrArray *rio_directory_entries_new(void)
{
    return g_ptr_array_new_with_free_func(rio_directory_entry_free);
}

/* A descriptor of ours, or a file that only we see, is no address for others */
static char *take_address(const QObject *value, const char *where, size_t i,
                          Error **errp)
{
    QString *text = qobject_to(QString, value);
    SocketAddress *addr;

    if (!text) {
        error_setg(errp, "%s.addresses[%zu] is not a string", where, i);
        return NULL;
    }
    addr = rio_address_parse(qstring_get_str(text), errp);
    if (!addr) {
        error_prepend(errp, "%s.addresses[%zu]: ", where, i);
        return NULL;
    }
    qapi_free_SocketAddress(addr);
    return g_strdup(qstring_get_str(text));
}

bool rio_directory_take_addresses(RioDirectoryEntry *e, const QDict *dict,
                                  const char *where, Error **errp)
{
    QList *list = qobject_to(QList, qdict_get(dict, "addresses"));
    size_t count = list ? qlist_size(list) : 0, i = 0;
    const QListEntry *item;

    if (!count || count > RIO_DIRECTORY_MAX_ADDRESSES) {
        error_setg(errp, "%s.addresses: say where the server is, in a list "
                   "of 1 to %u strings such as [\"tcp:192.0.2.1:7000\"]",
                   where, RIO_DIRECTORY_MAX_ADDRESSES);
        return false;
    }
    g_strfreev(e->addresses);
    e->addresses = g_new0(char *, count + 1);
    QLIST_FOREACH_ENTRY(list, item) {
        e->addresses[i] = take_address(qlist_entry_obj(item), where, i, errp);
        if (!e->addresses[i++]) {
            return false;
        }
    }
    return true;
}

/* --- how it is written --- */

void rio_directory_free(RioDirectory *d)
{
    if (d) {
        g_free(d->text);
        g_free(d->path);
        g_strfreev(d->urls);
        g_free(d->prefix);
        g_free(d->cacert);
        g_free(d->cert);
        g_free(d->key);
        g_free(d);
    }
}

/* The slash at its end keeps "/remote-io" apart from "/remote-io-2" */
static char *make_prefix(const char *text)
{
    return text[strlen(text) - 1] == '/' ? g_strdup(text)
                                         : g_strconcat(text, "/", NULL);
}

static bool take_urls(RioDirectory *d, const char *text, Error **errp)
{
    d->urls = g_strsplit(text, "+", 0);
    for (char **url = d->urls; *url; url++) {
        size_t len = strlen(*url);

        if (!g_str_has_prefix(*url, "http://") &&
            !g_str_has_prefix(*url, "https://")) {
            error_setg(errp, "'%s' is no address of etcd: write "
                       "etcd:http://HOST:2379", *url);
            return false;
        }
        if ((*url)[len - 1] == '/') {
            (*url)[len - 1] = '\0';
        }
    }
    return true;
}

static bool take_ttl(RioDirectory *d, const char *text, Error **errp)
{
    if (text && (qemu_strtoui(text, NULL, 10, &d->ttl) || !d->ttl ||
                 d->ttl > MAX_TTL)) {
        error_setg(errp, "ttl=%s: a number of seconds from 1 to %u", text,
                   MAX_TTL);
        return false;
    }
    return true;
}

static bool take_options(RioDirectory *d, QDict *args, Error **errp)
{
    const char *prefix = qdict_get_try_str(args, "prefix");
    static const char *const known[] = {
        "where", "prefix", "ttl", "cacert", "cert", "key", NULL,
    };

    for (const QDictEntry *e = qdict_first(args); e;
         e = qdict_next(args, e)) {
        if (!g_strv_contains(known, qdict_entry_key(e)) ||
            qobject_type(qdict_entry_value(e)) != QTYPE_QSTRING) {
            error_setg(errp, "a directory has no option '%s': write " FORMS,
                       qdict_entry_key(e));
            return false;
        }
    }
    if (prefix && *prefix != '/') {
        error_setg(errp, "prefix=%s: a prefix of keys begins with '/'",
                   prefix);
        return false;
    }
    d->prefix = make_prefix(prefix ?: DEFAULT_PREFIX);
    d->cacert = g_strdup(qdict_get_try_str(args, "cacert"));
    d->cert = g_strdup(qdict_get_try_str(args, "cert"));
    d->key = g_strdup(qdict_get_try_str(args, "key"));
    return take_ttl(d, qdict_get_try_str(args, "ttl"), errp);
}

static bool take_text(RioDirectory *d, QDict *args, Error **errp)
{
    const char *where = qdict_get_try_str(args, "where");
    const char *rest;

    if (where && strstart(where, "file:", &rest) && *rest) {
        if (qdict_size(args) > 1) {
            error_setg(errp, "a directory in a file has no further options");
            return false;
        }
        d->path = g_strdup(rest);
        return true;
    }
    if (where && strstart(where, "etcd:", &rest) && *rest) {
        return take_urls(d, rest, errp) && take_options(d, args, errp) &&
               rio_etcd_available(errp);
    }
    error_setg(errp, "'%s' is no directory: write " FORMS, where ?: "");
    return false;
}

RioDirectory *rio_directory_parse(const char *text, Error **errp)
{
    g_autoptr(QDict) args = keyval_parse(text, "where", NULL, errp);
    RioDirectory *d;

    if (!args) {
        return NULL;
    }
    d = g_new0(RioDirectory, 1);
    d->text = g_strdup(text);
    d->ttl = DEFAULT_TTL;
    if (!take_text(d, args, errp)) {
        rio_directory_free(d);
        return NULL;
    }
    return d;
}

/* --- look-up --- */

/* Those that name @module before those that do not say; the others go */
static GPtrArray *select_entries(GPtrArray *all, const char *module,
                                 const char *server)
{
    GPtrArray *found = rio_directory_entries_new();

    for (int silent = 0; silent < 2; silent++) {
        for (guint i = 0; i < all->len; i++) {
            const RioDirectoryEntry *e = all->pdata[i];

            if ((server && *server && !g_str_equal(e->server, server)) ||
                (e->modules ? 0 : 1) != silent ||
                (e->modules && !g_strv_contains((const char **)e->modules,
                                                module))) {
                continue;
            }
            g_ptr_array_add(found, rio_directory_entry_copy(e));
        }
    }
    g_ptr_array_unref(all);
    return found;
}

GPtrArray *rio_directory_lookup(const RioDirectory *d, const char *module,
                                const char *server, int64_t timeout_ms,
                                const bool *cancel, bool *down, Error **errp)
{
    GPtrArray *all, *found;

    all = d->path ? rio_directory_file_read(d->path, errp)
                  : rio_etcd_find(d, module, timeout_ms, cancel, errp);
    if (down) {
        *down = !all;
    }
    if (!all) {
        return NULL;
    }
    found = select_entries(all, module, server);
    if (!found->len) {
        error_setg(errp, "directory %s names no server%s%s%s that has module "
                   "'%s': is it running, and registered there?", d->text,
                   server && *server ? " '" : "", server ?: "",
                   server && *server ? "'" : "", module);
        g_ptr_array_unref(found);
        return NULL;
    }
    return found;
}
