/*
 * remote-io directory in a file
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * {"servers": [{"id": "srv1", "addresses": ["tcp:192.0.2.1:7000"],
 *               "modules": ["disk0"]}]}
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/units.h"
#include "qobject/json-parser.h"
#include "qobject/qlist.h"
#include "qobject/qstring.h"
#include "net/remote-io/directory.h"

typedef struct FileParser {
    JSONMessageParser parser;
    QObject *value;             /* the first that came */
    bool more;                  /* than one came */
    Error *err;
} FileParser;

static void parsed(void *opaque, QObject *value, Error *err)
{
    FileParser *p = opaque;

    if (err) {
        if (p->err) {
            error_free(err);
        } else {
            p->err = err;
        }
    } else if (p->value) {
        p->more = true;
        qobject_unref(value);
    } else {
        p->value = value;
    }
}

/* Line by line, so that an error has a line */
static QObject *parse_json(const char *json, const char *path, Error **errp)
{
    FileParser p = { .value = NULL };
    unsigned line = 1;
    const char *end;

    json_message_parser_init(&p.parser, parsed, &p, NULL);
    while (!p.err && *json) {
        end = strchr(json, '\n');
        end = end ? end + 1 : json + strlen(json);
        json_message_parser_feed(&p.parser, json, end - json);
        line += !p.err && *end;
        json = end;
    }
    json_message_parser_flush(&p.parser);
    json_message_parser_destroy(&p.parser);
    if (!p.err && (!p.value || p.more)) {
        error_setg(&p.err, "there is %s", p.more ? "more than one value"
                                                 : "nothing");
    }
    if (p.err) {
        error_setg(errp, "%s, line %u or before: %s", path, line,
                   error_get_pretty(p.err));
        error_free(p.err);
        qobject_unref(p.value);
        return NULL;
    }
    return p.value;
}

static bool only_keys(const QDict *dict, const char *const *keys,
                      const char *where, Error **errp)
{
    for (const QDictEntry *e = qdict_first(dict); e;
         e = qdict_next(dict, e)) {
        if (!g_strv_contains(keys, qdict_entry_key(e))) {
            error_setg(errp, "%s%s%s: there is no such key", where,
                       *where ? "." : "", qdict_entry_key(e));
            return false;
        }
    }
    return true;
}

static bool take_modules(RioDirectoryEntry *e, const QDict *dict,
                         const char *where, Error **errp)
{
    QList *list = qobject_to(QList, qdict_get(dict, "modules"));
    const QListEntry *item;
    size_t i = 0;

    if (!qdict_haskey(dict, "modules")) {
        return true;
    }
    if (!list) {
        error_setg(errp, "%s.modules is not a list", where);
        return false;
    }
    e->modules = g_new0(char *, qlist_size(list) + 1);
    QLIST_FOREACH_ENTRY(list, item) {
        QString *text = qobject_to(QString, qlist_entry_obj(item));

        if (!text || !rio_directory_name_ok(qstring_get_str(text))) {
            error_setg(errp, "%s.modules[%zu] is not the name of a module",
                       where, i);
            return false;
        }
        e->modules[i++] = g_strdup(qstring_get_str(text));
    }
    return true;
}

static RioDirectoryEntry *take_server(const QObject *value, size_t i,
                                      Error **errp)
{
    static const char *const keys[] = { "id", "addresses", "modules", NULL };
    g_autofree char *where = g_strdup_printf("servers[%zu]", i);
    QDict *dict = qobject_to(QDict, value);
    const char *id = dict ? qdict_get_try_str(dict, "id") : NULL;
    RioDirectoryEntry *e;

    if (!id || !rio_directory_name_ok(id)) {
        error_setg(errp, "%s.id: give the server id, as in "
                   "{\"id\": \"srv1\", \"addresses\": "
                   "[\"tcp:192.0.2.1:7000\"]}", where);
        return NULL;
    }
    e = rio_directory_entry_new(id);
    if (!only_keys(dict, keys, where, errp) ||
        !rio_directory_take_addresses(e, dict, where, errp) ||
        !take_modules(e, dict, where, errp)) {
        rio_directory_entry_free(e);
        return NULL;
    }
    return e;
}

static bool is_double(GHashTable *ids, const RioDirectoryEntry *e, size_t i,
                      Error **errp)
{
    if (g_hash_table_add(ids, e->server)) {
        return false;
    }
    error_setg(errp, "servers[%zu].id: there is a server '%s' already: give "
               "each its own id", i, e->server);
    return true;
}

static GPtrArray *take_servers(const QDict *top, Error **errp)
{
    static const char *const keys[] = { "servers", NULL };
    QList *list = qobject_to(QList, qdict_get(top, "servers"));
    g_autoptr(GHashTable) ids = g_hash_table_new(g_str_hash, g_str_equal);
    GPtrArray *entries;
    const QListEntry *item;

    if (!list) {
        error_setg(errp, "servers: give a list of servers, "
                   "{\"servers\": [...]}");
        return NULL;
    }
    if (!only_keys(top, keys, "", errp)) {
        return NULL;
    }
    entries = rio_directory_entries_new();
    QLIST_FOREACH_ENTRY(list, item) {
        RioDirectoryEntry *e = take_server(qlist_entry_obj(item),
                                           entries->len, errp);

        if (!e || is_double(ids, e, entries->len, errp)) {
            rio_directory_entry_free(e);
            g_ptr_array_unref(entries);
            return NULL;
        }
        g_ptr_array_add(entries, e);
    }
    return entries;
}

GPtrArray *rio_directory_file_parse(const char *json, const char *path,
                                    Error **errp)
{
    QObject *value = parse_json(json, path, errp);
    QDict *top = qobject_to(QDict, value);
    GPtrArray *entries;

    if (!value) {
        return NULL;
    }
    if (!top) {
        error_setg(errp, "%s: it holds no object: {\"servers\": [...]}",
                   path);
        qobject_unref(value);
        return NULL;
    }
    entries = take_servers(top, errp);
    if (!entries) {
        error_prepend(errp, "%s: ", path);
    }
    qobject_unref(value);
    return entries;
}

GPtrArray *rio_directory_file_read(const char *path, Error **errp)
{
    g_autoptr(GError) why = NULL;
    g_autofree char *json = NULL;
    struct stat st;
    gsize len;

    if (stat(path, &st) == 0 &&
        (!S_ISREG(st.st_mode) || st.st_size > RIO_DIRECTORY_MAX_BYTES)) {
        error_setg(errp, "%s: no file of at most %u MiB", path,
                   (unsigned)(RIO_DIRECTORY_MAX_BYTES / MiB));
        return NULL;
    }
    if (!g_file_get_contents(path, &json, &len, &why)) {
        error_setg(errp, "%s", why->message);
        return NULL;
    }
    if (strlen(json) != len) {
        error_setg(errp, "%s: it holds a NUL byte", path);
        return NULL;
    }
    return rio_directory_file_parse(json, path, errp);
}
