/*
 * remote-io directory in etcd: our keys in etcd's JSON
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"
#include "net/remote-io/etcd.h"

char *rio_etcd_put_text(const char *text)
{
    return g_base64_encode((const guchar *)text, strlen(text));
}

char *rio_etcd_get_text(const QDict *dict, const char *key)
{
    const char *encoded = qdict_get_try_str(dict, key);
    gsize len = 0;
    guchar *bytes;
    char *text;

    if (!encoded) {
        return NULL;
    }
    bytes = g_base64_decode(encoded, &len);
    text = g_strndup((const char *)bytes, len);
    g_free(bytes);
    if (strlen(text) != len || !g_utf8_validate(text, -1, NULL)) {
        g_free(text);
        return NULL;
    }
    return text;
}

uint64_t rio_etcd_get_number(const QDict *dict, const char *key)
{
    const char *text = dict ? qdict_get_try_str(dict, key) : NULL;

    return text ? g_ascii_strtoull(text, NULL, 10) : 0;
}

/* The end of a range is the first key that is not in it */
QDict *rio_etcd_range(const char *prefix, const char *rest)
{
    g_autofree char *from = g_strconcat(prefix, rest, NULL);
    g_autofree char *key = rio_etcd_put_text(from);
    g_autofree char *end = NULL;

    from[strlen(from) - 1]++;
    end = rio_etcd_put_text(from);
    return qdict_from_jsonf_nofail("{'key': %s, 'range_end': %s}", key, end);
}

/* Returns: the server's part of @key, with the module in *@module */
static const char *split_key(const RioDirectory *d, const char *key,
                             char **module)
{
    const char *rest, *slash;

    *module = NULL;
    if (!strstart(key, d->prefix, &key)) {
        return NULL;
    }
    if (strstart(key, "servers/", &rest)) {
        return rest;
    }
    if (!strstart(key, "modules/", &rest)) {
        return NULL;
    }
    slash = strchr(rest, '/');
    if (!slash) {
        return NULL;
    }
    *module = g_strndup(rest, slash - rest);
    return slash + 1;
}

static bool take_value(RioDirectoryEntry *e, const char *key,
                       const char *value, Error **errp)
{
    QObject *obj = qobject_from_json(value, errp);
    QDict *dict = qobject_to(QDict, obj);
    bool ok;

    if (!dict) {
        if (obj) {
            error_setg(errp, "it is no object");
        }
        error_prepend(errp, "value of key %s: ", key);
        qobject_unref(obj);
        return false;
    }
    ok = rio_directory_take_addresses(e, dict, key, errp);
    e->owner = g_strdup(qdict_get_try_str(dict, "owner"));
    qobject_unref(obj);
    return ok;
}

RioDirectoryEntry *rio_etcd_take_key(const RioDirectory *d, const QDict *kv,
                                     char **module, Error **errp)
{
    g_autofree char *key = rio_etcd_get_text(kv, "key");
    g_autofree char *value = rio_etcd_get_text(kv, "value");
    g_autofree char *found = NULL;
    const char *server = key ? split_key(d, key, &found) : NULL;
    RioDirectoryEntry *e;

    if (!server || !rio_directory_name_ok(server) ||
        (found && !rio_directory_name_ok(found))) {
        error_setg(errp, "key %s: not PREFIX/servers/SERVER or "
                   "PREFIX/modules/MODULE/SERVER", key ?: "without text");
        return NULL;
    }
    e = rio_directory_entry_new(server);
    if (value && !take_value(e, key, value, errp)) {
        rio_directory_entry_free(e);
        return NULL;
    }
    *module = g_steal_pointer(&found);
    return e;
}

/* Those that are not as they should be do not hide the others */
static GPtrArray *take_found(const RioDirectory *d, const QDict *answer,
                             Error **errp)
{
    QList *kvs = qobject_to(QList, qdict_get(answer, "kvs"));
    GPtrArray *found = rio_directory_entries_new();
    Error *bad = NULL;
    const QListEntry *item;

    if (!kvs) {
        return found;
    }
    QLIST_FOREACH_ENTRY(kvs, item) {
        QDict *kv = qobject_to(QDict, qlist_entry_obj(item));
        g_autofree char *module = NULL;
        RioDirectoryEntry *e;

        e = kv ? rio_etcd_take_key(d, kv, &module, bad ? NULL : &bad) : NULL;
        if (e && module && e->addresses) {
            e->modules = g_new0(char *, 2);
            e->modules[0] = g_steal_pointer(&module);
            g_ptr_array_add(found, e);
        } else {
            rio_directory_entry_free(e);
        }
    }
    if (bad && !found->len) {
        g_ptr_array_unref(found);
        error_propagate(errp, bad);
        return NULL;
    }
    error_free(bad);
    return found;
}

GPtrArray *rio_etcd_find(const RioDirectory *d, const char *module,
                         int64_t timeout_ms, const bool *cancel,
                         Error **errp)
{
    g_autofree char *rest = g_strdup_printf("modules/%s/", module);
    RioEtcd *e = rio_etcd_new(d);
    QDict *request = rio_etcd_range(d->prefix, rest);
    g_autoptr(QDict) answer = NULL;

    qdict_put_str(request, "sort_order", "DESCEND");
    qdict_put_str(request, "sort_target", "CREATE");
    answer = rio_etcd_call(e, "kv/range", request, timeout_ms, cancel, errp);
    rio_etcd_free(e);
    return answer ? take_found(d, answer, errp) : NULL;
}
