/*
 * remote-io-server: a directory in etcd
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Two threads, because both block: the watcher reads everything once and then
 * what changes; the keeper keeps this server in there, under a lease.  Neither
 * is waited for by anybody but at the end.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/uuid.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"
#include "qobject/qstring.h"
#include "net/remote-io/etcd.h"
#include "directory.h"
#include "trace.h"

#define CALL_MS 3000
#define RETRY_MS 500
#define REVOKE_MS 500

/* Operations in one transaction; etcd takes 128 */
#define BATCH 100u

typedef struct Known Known;

struct RiodEtcd {
    /* Constant */
    RiodSource *source;
    const RioDirectory *directory;
    char **addresses;           /* empty: do not register */
    char *owner;                /* this process; nobody else has that */
    char *host;                 /* this boot of this host */
    char *key;                  /* of this server */
    char *value;                /* of all our keys */

    QemuThread keeper, watcher;
    bool stop;                  /* atomic */
    RioEtcd *keeper_http, *watcher_http;

    QemuMutex lock;
    QemuCond cond;
    char **modules;             /* @lock: that are to be registered */
    bool changed;               /* @lock: since they were */
    bool robbed;                /* @lock: somebody else has our key */

    /* Keeper only */
    uint64_t lease;             /* 0 = none */
    bool claimed;               /* our key is ours */
    bool held;                  /* it was before */
    bool said_taken, said_refused;
    GHashTable *written;        /* module -> has it a key, or only perhaps? */

    /* Watcher only */
    GHashTable *known;          /* server id -> Known */
    uint64_t revision;          /* the first that was not seen yet */
    bool compacted;             /* what comes next is not there any more */
};

/* A server as its keys show it */
struct Known {
    RioDirectoryEntry *entry;   /* NULL: its own key was not seen */
    GHashTable *modules;        /* a set */
};

static bool stopped(const RiodEtcd *e)
{
    return qatomic_read(&e->stop);
}

/* Until @ms are over, or the end; with @for_news, until there is some */
static void nap(RiodEtcd *e, int ms, bool for_news)
{
    QEMU_LOCK_GUARD(&e->lock);
    if (!e->stop && !(for_news && (e->changed || e->robbed))) {
        qemu_cond_timedwait(&e->cond, &e->lock, ms);
    }
}

/* --- keeper --- */

static QDict *keeper_call(RiodEtcd *e, const char *path, QDict *request,
                          Error **errp)
{
    return rio_etcd_call(e->keeper_http, path, request, CALL_MS, &e->stop,
                         errp);
}

static QDict *put_op(RiodEtcd *e, const char *key)
{
    g_autofree char *key64 = rio_etcd_put_text(key);
    g_autofree char *value64 = rio_etcd_put_text(e->value);
    g_autofree char *lease = g_strdup_printf("%" PRIu64, e->lease);

    return qdict_from_jsonf_nofail("{'request_put': {'key': %s, 'value': %s, "
                                   "'lease': %s}}", key64, value64, lease);
}

static QDict *delete_op(const char *key)
{
    g_autofree char *key64 = rio_etcd_put_text(key);

    return qdict_from_jsonf_nofail("{'request_delete_range': {'key': %s}}",
                                   key64);
}

static bool grant(RiodEtcd *e, Error **errp)
{
    g_autofree char *ttl = g_strdup_printf("%u", e->directory->ttl);
    g_autoptr(QDict) answer =
        keeper_call(e, "lease/grant",
                    qdict_from_jsonf_nofail("{'TTL': %s}", ttl), errp);

    e->lease = rio_etcd_get_number(answer, "ID");
    if (answer && !e->lease) {
        error_setg(errp, "etcd has granted no lease");
    }
    return e->lease;
}

/* Returns: false with *@errp; a lease that is over is no error */
static bool keep_alive(RiodEtcd *e, Error **errp)
{
    g_autofree char *id = g_strdup_printf("%" PRIu64, e->lease);
    g_autoptr(QDict) answer =
        keeper_call(e, "lease/keepalive",
                    qdict_from_jsonf_nofail("{'ID': %s}", id), errp);
    QDict *result = answer ? qobject_to(QDict, qdict_get(answer, "result"))
                           : NULL;

    if (!answer) {
        return false;
    }
    if (!rio_etcd_get_number(result, "TTL")) {
        trace_riod_etcd_lease_over(e->directory->text, e->lease);
        e->lease = 0;
        e->claimed = false;
    }
    return true;
}

/* Put our key if its @target is @number; else *@there is who has it */
static bool claim_if(RiodEtcd *e, const char *target, const char *field,
                     uint64_t number, bool *won, QDict **there, Error **errp)
{
    g_autofree char *key64 = rio_etcd_put_text(e->key);
    g_autofree char *text = g_strdup_printf("%" PRIu64, number);
    QDict *compare = qdict_from_jsonf_nofail("{'key': %s, 'target': %s, "
                                             "'result': 'EQUAL'}", key64,
                                             target);
    g_autoptr(QDict) answer = NULL;
    QList *responses, *kvs;
    QDict *range;

    qdict_put_str(compare, field, text);
    answer = keeper_call(e, "kv/txn", qdict_from_jsonf_nofail(
        "{'compare': [%p], 'success': [%p], "
        "'failure': [{'request_range': {'key': %s}}]}",
        QOBJECT(compare), QOBJECT(put_op(e, e->key)), key64), errp);
    if (!answer) {
        return false;
    }
    *won = qdict_get_try_bool(answer, "succeeded", false);
    responses = qobject_to(QList, qdict_get(answer, "responses"));
    range = !*won && responses && qlist_size(responses) ?
            qobject_to(QDict, qlist_peek(responses)) : NULL;
    range = range ? qobject_to(QDict, qdict_get(range, "response_range"))
                  : NULL;
    kvs = range ? qobject_to(QList, qdict_get(range, "kvs")) : NULL;
    *there = kvs && qlist_size(kvs) ? qobject_to(QDict, qlist_peek(kvs))
                                    : NULL;
    qobject_ref(*there);
    return true;
}

/*
 * A server that was started again finds what it left behind.  Nobody else can
 * listen at its addresses on its host while it does.  If somebody took the key
 * from this process, though, that one is no process of before.
 */
static bool is_ours(RiodEtcd *e, const QDict *kv, char **at)
{
    g_autofree char *text = rio_etcd_get_text(kv, "value");
    QObject *obj = text ? qobject_from_json(text, NULL) : NULL;
    QDict *value = qobject_to(QDict, obj);
    RioDirectoryEntry *there = rio_directory_entry_new("");
    bool ours = false;

    *at = NULL;
    if (value && rio_directory_take_addresses(there, value, "", NULL)) {
        const char *owner = qdict_get_try_str(value, "owner");
        const char *host = qdict_get_try_str(value, "host");

        *at = g_strjoinv(" or ", there->addresses);
        ours = (owner && g_str_equal(owner, e->owner)) ||
               (!e->held && host && g_str_equal(host, e->host) &&
                g_strv_equal((const char * const *)there->addresses,
                             (const char * const *)e->addresses));
    }
    rio_directory_entry_free(there);
    qobject_unref(obj);
    return ours;
}

static void say_taken(RiodEtcd *e, const char *at)
{
    if (!e->said_taken) {
        riod_log("directory %s: another server is registered as '%s', at %s: "
                 "give each its own --server-id; this one is not registered "
                 "until that one has left", e->directory->text,
                 riod_config.server_name, at ?: "an unknown address");
        riod_event_taken(e->directory->text, at ?: "");
        e->said_taken = true;
    }
}

static bool claim(RiodEtcd *e, Error **errp)
{
    g_autoptr(QDict) there = NULL;
    g_autofree char *at = NULL;
    bool won;

    if (!claim_if(e, "CREATE", "create_revision", 0, &won, &there, errp)) {
        return false;
    }
    if (!won && there && is_ours(e, there, &at)) {
        g_autoptr(QDict) other = NULL;

        if (!claim_if(e, "MOD", "mod_revision",
                      rio_etcd_get_number(there, "mod_revision"), &won,
                      &other, errp)) {
            return false;
        }
    } else if (!won && there) {
        say_taken(e, at);
    }
    if (won) {
        trace_riod_etcd_claimed(e->directory->text, e->key);
        g_hash_table_remove_all(e->written);
        e->said_taken = false;
        e->held = true;
    }
    e->claimed = won;
    riod_source_registered(e->source, won);
    return true;
}

static char *module_key(RiodEtcd *e, const char *module)
{
    return g_strdup_printf("%smodules/%s/%s", e->directory->prefix, module,
                           riod_config.server_name);
}

static bool commit(RiodEtcd *e, QList **ops, Error **errp)
{
    QDict *request;
    g_autoptr(QDict) answer = NULL;

    if (!qlist_size(*ops)) {
        return true;
    }
    request = qdict_from_jsonf_nofail("{'success': %p}", QOBJECT(*ops));
    *ops = qlist_new();
    answer = keeper_call(e, "kv/txn", request, errp);
    return answer;
}

/*
 * What is new gets a key; @written is brought up to date when all went well.
 * Until then a key may be there, or not: a request whose answer is lost may
 * have been carried out.
 */
static bool write_modules(RiodEtcd *e, char **modules, Error **errp)
{
    QList *ops = qlist_new();
    GHashTableIter iter;
    gpointer name;
    bool ok = true;

    g_hash_table_iter_init(&iter, e->written);
    while (ok && g_hash_table_iter_next(&iter, &name, NULL)) {
        if (!g_strv_contains((const char **)modules, name)) {
            g_autofree char *key = module_key(e, name);

            qlist_append(ops, delete_op(key));
            ok = qlist_size(ops) < BATCH || commit(e, &ops, errp);
        }
    }
    for (char **m = modules; ok && *m; m++) {
        if (!g_hash_table_lookup(e->written, *m)) {
            g_autofree char *key = module_key(e, *m);

            g_hash_table_insert(e->written, g_strdup(*m), NULL);
            qlist_append(ops, put_op(e, key));
            ok = qlist_size(ops) < BATCH || commit(e, &ops, errp);
        }
    }
    ok = ok && commit(e, &ops, errp);
    qobject_unref(ops);
    if (ok) {
        g_hash_table_remove_all(e->written);
        for (char **m = modules; *m; m++) {
            g_hash_table_insert(e->written, g_strdup(*m),
                                GINT_TO_POINTER(true));
        }
    }
    return ok;
}

/* What changes while it is written is written in the next round */
static bool update_modules(RiodEtcd *e, Error **errp)
{
    g_auto(GStrv) modules = NULL;

    WITH_QEMU_LOCK_GUARD(&e->lock) {
        if (!e->changed && g_hash_table_size(e->written)) {
            return true;
        }
        modules = g_strdupv(e->modules);
        e->changed = false;
    }
    if (!write_modules(e, modules, errp)) {
        QEMU_LOCK_GUARD(&e->lock);
        e->changed = true;
        return false;
    }
    return true;
}

static void check_robbed(RiodEtcd *e)
{
    QEMU_LOCK_GUARD(&e->lock);
    if (e->robbed && e->claimed) {
        e->claimed = false;     /* and claim() says who has it */
        e->changed = true;
    }
    e->robbed = false;
}

/* One round: whatever is missing, in its order */
static bool keep(RiodEtcd *e, Error **errp)
{
    bool had_lease = e->lease;

    check_robbed(e);
    if (e->lease && !keep_alive(e, errp)) {
        return false;
    }
    if (!e->lease && !grant(e, errp)) {
        return false;
    }
    if (!had_lease || !e->claimed) {
        WITH_QEMU_LOCK_GUARD(&e->lock) {
            e->changed = true;
        }
        if (!claim(e, errp)) {
            return false;
        }
    }
    return !e->claimed || update_modules(e, errp);
}

/* That it cannot be reached, the watcher says; a refusal it does not see */
static void say_failed(RiodEtcd *e, Error *err)
{
    if (rio_etcd_answered(e->keeper_http) && !e->said_refused &&
        !stopped(e)) {
        riod_log("directory %s: this server cannot be registered: %s",
                 e->directory->text, error_get_pretty(err));
        e->said_refused = true;
    }
    error_free(err);
}

static void *keeper_thread(void *opaque)
{
    RiodEtcd *e = opaque;
    int period = e->directory->ttl * 1000 / 3;

    while (!stopped(e)) {
        Error *err = NULL;

        if (!keep(e, &err)) {
            say_failed(e, err);
            nap(e, MIN(RETRY_MS, period), false);
        } else if (!e->claimed) {
            nap(e, MIN(RETRY_MS, period), false);
        } else {
            e->said_refused = false;
            nap(e, period, true);
        }
    }
    if (e->lease) {
        g_autofree char *id = g_strdup_printf("%" PRIu64, e->lease);
        QDict *answer = rio_etcd_call(e->keeper_http, "lease/revoke",
                                      qdict_from_jsonf_nofail("{'ID': %s}",
                                                              id),
                                      REVOKE_MS, NULL, NULL);

        qobject_unref(answer);
    }
    return NULL;
}

/* --- watcher --- */

static void known_free(void *opaque)
{
    Known *k = opaque;

    rio_directory_entry_free(k->entry);
    g_hash_table_unref(k->modules);
    g_free(k);
}

static Known *know(RiodEtcd *e, const char *server)
{
    Known *k = g_hash_table_lookup(e->known, server);

    if (!k) {
        k = g_new0(Known, 1);
        k->modules = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                           NULL);
        g_hash_table_insert(e->known, g_strdup(server), k);
    }
    return k;
}

static int compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char **)a, *(char **)b);
}

/* As the others see it: gone when its own key is */
static RioDirectoryEntry *as_entry(const char *server, Known *k)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    RioDirectoryEntry *entry;
    GHashTableIter iter;
    gpointer name;

    if (!k || !k->entry) {
        return rio_directory_entry_new(server);
    }
    entry = rio_directory_entry_copy(k->entry);
    g_hash_table_iter_init(&iter, k->modules);
    while (g_hash_table_iter_next(&iter, &name, NULL)) {
        g_ptr_array_add(names, name);
    }
    g_ptr_array_sort(names, compare_names);
    g_ptr_array_add(names, NULL);
    entry->modules = g_strdupv((char **)names->pdata);
    return entry;
}

static void look_for_robber(RiodEtcd *e, const RioDirectoryEntry *entry)
{
    if (!entry->owner || g_str_equal(entry->owner, e->owner) ||
        !g_str_equal(entry->server, riod_config.server_name)) {
        return;
    }
    QEMU_LOCK_GUARD(&e->lock);
    e->robbed = true;
    qemu_cond_signal(&e->cond);
}

/* Takes @entry, which is without addresses when the key was deleted */
static void take_entry(RiodEtcd *e, RioDirectoryEntry *entry,
                       const char *module)
{
    Known *k = know(e, entry->server);

    if (module && entry->addresses) {
        g_hash_table_add(k->modules, g_strdup(module));
    } else if (module) {
        g_hash_table_remove(k->modules, module);
    } else {
        look_for_robber(e, entry);
        rio_directory_entry_free(k->entry);
        k->entry = entry->addresses ? g_steal_pointer(&entry) : NULL;
    }
    rio_directory_entry_free(entry);
}

/* Returns: the server whose key it is, or NULL; caller frees */
static char *take_kv(RiodEtcd *e, QDict *kv, bool deleted)
{
    g_autofree char *module = NULL;
    RioDirectoryEntry *entry;
    Error *err = NULL;
    char *server;

    if (deleted) {
        qdict_del(kv, "value");
    }
    entry = rio_etcd_take_key(e->directory, kv, &module, &err);
    if (!entry || (!deleted && !entry->addresses)) {
        trace_riod_etcd_bad_key(e->directory->text,
                                err ? error_get_pretty(err) : "no value");
        rio_directory_entry_free(entry);
        error_free(err);
        return NULL;
    }
    server = g_strdup(entry->server);
    take_entry(e, entry, module);
    return server;
}

static void publish_all(RiodEtcd *e)
{
    GPtrArray *entries = rio_directory_entries_new();
    GHashTableIter iter;
    gpointer server, k;

    g_hash_table_iter_init(&iter, e->known);
    while (g_hash_table_iter_next(&iter, &server, &k)) {
        if (((Known *)k)->entry) {
            g_ptr_array_add(entries, as_entry(server, k));
        }
    }
    riod_source_replace(e->source, entries);
}

static bool read_all(RiodEtcd *e, Error **errp)
{
    g_autoptr(QDict) answer =
        rio_etcd_call(e->watcher_http, "kv/range",
                      rio_etcd_range(e->directory->prefix, ""), CALL_MS,
                      &e->stop, errp);
    QDict *header = answer ? qobject_to(QDict, qdict_get(answer, "header"))
                           : NULL;
    QList *kvs = answer ? qobject_to(QList, qdict_get(answer, "kvs")) : NULL;
    const QListEntry *item;

    if (!answer) {
        return false;
    }
    e->revision = rio_etcd_get_number(header, "revision") + 1;
    g_hash_table_remove_all(e->known);
    if (kvs) {
        QLIST_FOREACH_ENTRY(kvs, item) {
            QDict *kv = qobject_to(QDict, qlist_entry_obj(item));

            if (kv) {
                g_free(take_kv(e, kv, false));
            }
        }
    }
    publish_all(e);
    return true;
}

static void forget_if_empty(RiodEtcd *e, const char *server)
{
    Known *k = g_hash_table_lookup(e->known, server);

    if (k && !k->entry && !g_hash_table_size(k->modules)) {
        g_hash_table_remove(e->known, server);
    }
}

/* All keys of a server that ended go at once: it is told once */
static void take_events(RiodEtcd *e, QList *events)
{
    g_autoptr(GHashTable) dirty = g_hash_table_new_full(g_str_hash,
                                                        g_str_equal, g_free,
                                                        NULL);
    const QListEntry *item;
    GHashTableIter iter;
    gpointer server;

    QLIST_FOREACH_ENTRY(events, item) {
        QDict *event = qobject_to(QDict, qlist_entry_obj(item));
        QDict *kv = event ? qobject_to(QDict, qdict_get(event, "kv")) : NULL;
        const char *type = event ? qdict_get_try_str(event, "type") : NULL;
        char *whose = kv ? take_kv(e, kv, type &&
                                   g_str_equal(type, "DELETE")) : NULL;

        if (whose) {
            g_hash_table_add(dirty, whose);
        }
    }
    g_hash_table_iter_init(&iter, dirty);
    while (g_hash_table_iter_next(&iter, &server, NULL)) {
        riod_source_update(e->source,
                           as_entry(server,
                                    g_hash_table_lookup(e->known, server)));
        forget_if_empty(e, server);
    }
}

static bool watch_line(void *opaque, const QDict *answer)
{
    RiodEtcd *e = opaque;
    QDict *result = qobject_to(QDict, qdict_get(answer, "result"));
    QDict *header = result ? qobject_to(QDict, qdict_get(result, "header"))
                           : NULL;
    QList *events = result ? qobject_to(QList, qdict_get(result, "events"))
                           : NULL;

    if (!result || qdict_get_try_bool(result, "canceled", false)) {
        e->compacted = true;
        return false;
    }
    if (events) {
        take_events(e, events);
        e->revision = MAX(e->revision,
                          rio_etcd_get_number(header, "revision") + 1);
    }
    return true;
}

/* Ends now and then by itself: an etcd that is stopped says nothing either */
static bool watch(RiodEtcd *e, Error **errp)
{
    QDict *create = rio_etcd_range(e->directory->prefix, "");
    g_autofree char *revision = g_strdup_printf("%" PRIu64, e->revision);

    e->compacted = false;
    qdict_put_str(create, "start_revision", revision);
    return rio_etcd_stream(e->watcher_http, "watch",
                           qdict_from_jsonf_nofail("{'create_request': %p}",
                                                   QOBJECT(create)),
                           e->directory->ttl * INT64_C(1000), &e->stop,
                           watch_line, e, errp);
}

static void *watcher_thread(void *opaque)
{
    RiodEtcd *e = opaque;

    while (!stopped(e)) {
        Error *err = NULL;
        bool ok = read_all(e, &err);

        if (ok) {
            riod_source_trouble(e->source, NULL);
        }
        while (ok && !e->compacted && !stopped(e)) {
            ok = watch(e, &err);
        }
        e->compacted = false;
        if (!ok && !stopped(e)) {
            riod_source_trouble(e->source, error_get_pretty(err));
            WITH_QEMU_LOCK_GUARD(&e->lock) {
                if (!e->stop) {
                    qemu_cond_timedwait(&e->cond, &e->lock, RETRY_MS);
                }
            }
        }
        error_free(err);
    }
    return NULL;
}

/* --- main loop --- */

static char *host_id(void)
{
    char *text = NULL;

    if (!g_file_get_contents("/proc/sys/kernel/random/boot_id", &text, NULL,
                             NULL)) {
        return g_strdup(g_get_host_name());
    }
    return g_strchomp(text);
}

static char *make_value(const RiodEtcd *e)
{
    g_autofree char *uuid = NULL;
    g_autoptr(GString) json = NULL;
    QList *addresses = qlist_new();
    QDict *value;
    QemuUUID id;

    memcpy(id.data, riod_config.uuid, sizeof(id.data));
    uuid = qemu_uuid_unparse_strdup(&id);
    for (char **text = e->addresses; *text; text++) {
        qlist_append_str(addresses, *text);
    }
    value = qdict_from_jsonf_nofail("{'addresses': %p, 'owner': %s, "
                                    "'host': %s, 'uuid': %s}",
                                    QOBJECT(addresses), e->owner, e->host,
                                    uuid);
    json = qobject_to_json(QOBJECT(value));
    qobject_unref(value);
    return g_strdup(json->str);
}

RiodEtcd *riod_etcd_start(RiodSource *source, const RioDirectory *d,
                          char **addresses)
{
    RiodEtcd *e = g_new0(RiodEtcd, 1);

    e->source = source;
    e->directory = d;
    e->addresses = g_strdupv(addresses);
    e->owner = g_uuid_string_random();
    e->host = host_id();
    e->key = g_strdup_printf("%sservers/%s", d->prefix,
                             riod_config.server_name);
    e->value = make_value(e);
    e->modules = g_new0(char *, 1);
    e->written = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                       NULL);
    e->known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                     known_free);
    qemu_mutex_init(&e->lock);
    qemu_cond_init(&e->cond);
    e->watcher_http = rio_etcd_new(d);
    e->keeper_http = rio_etcd_new(d);
    qemu_thread_create(&e->watcher, "remote-io-watch", watcher_thread, e,
                       QEMU_THREAD_JOINABLE);
    if (*e->addresses) {
        qemu_thread_create(&e->keeper, "remote-io-lease", keeper_thread, e,
                           QEMU_THREAD_JOINABLE);
    }
    return e;
}

void riod_etcd_stop(RiodEtcd *e)
{
    if (!e) {
        return;
    }
    WITH_QEMU_LOCK_GUARD(&e->lock) {
        qatomic_set(&e->stop, true);
        qemu_cond_broadcast(&e->cond);
    }
    rio_etcd_wake(e->watcher_http);
    rio_etcd_wake(e->keeper_http);
    qemu_thread_join(&e->watcher);
    if (*e->addresses) {
        qemu_thread_join(&e->keeper);
    }
    rio_etcd_free(e->watcher_http);
    rio_etcd_free(e->keeper_http);
    g_hash_table_unref(e->known);
    g_hash_table_unref(e->written);
    qemu_cond_destroy(&e->cond);
    qemu_mutex_destroy(&e->lock);
    g_strfreev(e->addresses);
    g_strfreev(e->modules);
    g_free(e->owner);
    g_free(e->host);
    g_free(e->key);
    g_free(e->value);
    g_free(e);
}

void riod_etcd_set_modules(RiodEtcd *e, char **modules)
{
    QEMU_LOCK_GUARD(&e->lock);
    g_strfreev(e->modules);
    e->modules = modules;
    e->changed = true;
    qemu_cond_broadcast(&e->cond);
}
