/*
 * remote-io-server: where modules live
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Each --directory is a source with a table of the servers that it names.  A
 * server of a table becomes a peer when somebody needs it for the first time.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-types-sockets.h"
#include "announced.h"
#include "directory.h"
#include "trace.h"

struct RiodSource {
    /* Constant after the start */
    RioDirectory *directory;
    RiodFile *file;
    RiodEtcd *etcd;             /* one of these two */

    /* Home only */
    GPtrArray *entries;         /* RioDirectoryEntry, in the source's order */
    char *trouble;              /* why it cannot be asked, or NULL */
    bool registered;
};

static GPtrArray *sources;      /* RiodSource; constant after the start */
static GPtrArray *advertised;   /* --advertise: text */

bool riod_directories_exist(void)
{
    return sources;
}

/* --- what the sources say, in the home --- */

static RioDirectoryEntry *find_entry(const RiodSource *s, const char *server,
                                     guint *index)
{
    for (guint i = 0; s->entries && i < s->entries->len; i++) {
        RioDirectoryEntry *e = s->entries->pdata[i];

        if (g_str_equal(e->server, server)) {
            if (index) {
                *index = i;
            }
            return e;
        }
    }
    return NULL;
}

/* The first source that names it */
static RioDirectoryEntry *find_server(const char *server)
{
    RioDirectoryEntry *e = NULL;

    for (guint i = 0; sources && i < sources->len && !e; i++) {
        e = find_entry(sources->pdata[i], server, NULL);
    }
    return e;
}

/* A peer of that name, if there is one, hears of where it is */
static void tell_peer(const char *server)
{
    RiodPeer *peer = riod_peer_find(server);
    RioDirectoryEntry *e = find_server(server);

    if (peer && e) {
        riod_peer_found(server, e->addresses);
    } else if (peer) {
        riod_peer_gone(peer);
    }
}

static void count_modules(const RiodSource *s)
{
    unsigned count = 0;

    for (guint i = 0; i < s->entries->len; i++) {
        RioDirectoryEntry *e = s->entries->pdata[i];

        count += e->modules ? g_strv_length(e->modules) : 0;
    }
    riod_event_directory(s->directory->text, s->trouble, count);
}

/* Returns: whether it changes anything.  Takes @entry. */
static bool update_one(RiodSource *s, RioDirectoryEntry *entry)
{
    guint at = 0;
    RioDirectoryEntry *old = find_entry(s, entry->server, &at);
    bool gone = !entry->addresses;

    if (old ? !gone && rio_directory_entry_equal(old, entry) : gone) {
        rio_directory_entry_free(entry);
        return false;
    }
    trace_riod_directory_entry(s->directory->text, entry->server, gone);
    if (gone) {
        g_ptr_array_remove_index(s->entries, at);
    } else if (old) {
        rio_directory_entry_free(old);
        s->entries->pdata[at] = rio_directory_entry_copy(entry);
    } else {
        g_ptr_array_add(s->entries, rio_directory_entry_copy(entry));
    }
    tell_peer(entry->server);
    if (!old || gone) {
        riod_event_server(entry->server, s->directory->text, !gone);
    }
    rio_directory_entry_free(entry);
    return true;
}

/* A server that @entries do not have is an entry without addresses */
static bool replace_all(RiodSource *s, GPtrArray *entries)
{
    g_autoptr(GHashTable) names = g_hash_table_new_full(g_str_hash,
                                                        g_str_equal, g_free,
                                                        NULL);
    bool changed = false;

    for (guint i = 0; i < entries->len; i++) {
        RioDirectoryEntry *e = entries->pdata[i];

        g_hash_table_add(names, g_strdup(e->server));
        changed |= update_one(s, rio_directory_entry_copy(e));
    }
    for (guint i = s->entries->len; i-- > 0; ) {
        RioDirectoryEntry *e = s->entries->pdata[i];

        if (!g_hash_table_contains(names, e->server)) {
            changed |= update_one(s, rio_directory_entry_new(e->server));
        }
    }
    return changed;
}

/* --- from a back-end to the home --- */

typedef struct SourceTask {
    RiodTask task;
    RiodSource *source;
    GPtrArray *entries;         /* to replace all, or */
    RioDirectoryEntry *entry;   /* to replace one, or NULL */
    char *trouble;
    bool registered;
} SourceTask;

static SourceTask *new_task(RiodSource *source, void (*run)(RiodTask *))
{
    SourceTask *t = g_new0(SourceTask, 1);

    t->task.run = run;
    t->source = source;
    return t;
}

static void post(SourceTask *t)
{
    riod_home_post(riod_home_default(), &t->task);
}

static void update_run(RiodTask *task)
{
    SourceTask *t = container_of(task, SourceTask, task);
    bool changed = t->entries ? replace_all(t->source, t->entries)
                              : update_one(t->source, t->entry);

    if (changed) {
        count_modules(t->source);
    }
    if (t->entries) {
        g_ptr_array_unref(t->entries);
    }
    g_free(t);
}

void riod_source_replace(RiodSource *source, GPtrArray *entries)
{
    SourceTask *t = new_task(source, update_run);

    t->entries = entries;
    post(t);
}

void riod_source_update(RiodSource *source, RioDirectoryEntry *entry)
{
    SourceTask *t = new_task(source, update_run);

    t->entry = entry;
    post(t);
}

static void trouble_run(RiodTask *task)
{
    SourceTask *t = container_of(task, SourceTask, task);
    RiodSource *s = t->source;

    /* Of a file each bad version is another trouble */
    if (!s->trouble != !t->trouble ||
        (s->directory->path && g_strcmp0(s->trouble, t->trouble))) {
        if (t->trouble) {
            riod_log("directory %s: %s; what is known stays in use",
                     s->directory->text, t->trouble);
        } else {
            riod_log("directory %s: it is back", s->directory->text);
        }
        g_free(s->trouble);
        s->trouble = g_steal_pointer(&t->trouble);
        count_modules(s);
    }
    g_free(t->trouble);
    g_free(t);
}

void riod_source_trouble(RiodSource *source, const char *text)
{
    SourceTask *t = new_task(source, trouble_run);

    t->trouble = g_strdup(text);
    post(t);
}

static void registered_run(RiodTask *task)
{
    SourceTask *t = container_of(task, SourceTask, task);

    if (t->source->registered != t->registered) {
        t->source->registered = t->registered;
        count_modules(t->source);
    }
    g_free(t);
}

void riod_source_registered(RiodSource *source, bool registered)
{
    SourceTask *t = new_task(source, registered_run);

    t->registered = registered;
    post(t);
}

/* --- whom to ask, in the home --- */

static void unref_peer(gpointer peer)
{
    riod_peer_unref(peer);
}

static void add_candidate(GPtrArray *list, RiodPeer *peer)
{
    if (peer && !g_ptr_array_find(list, peer, NULL)) {
        g_ptr_array_add(list, riod_peer_ref(peer));
    }
}

/* The server itself, which is not us */
static void add_server(GPtrArray *list, const RioDirectoryEntry *e)
{
    if (!g_str_equal(e->server, riod_config.server_name)) {
        add_candidate(list, riod_peer_found(e->server, e->addresses));
    }
}

typedef struct Nearest {
    const char *module;
    int distance;               /* -1: it has none */
} Nearest;

static void note_nearest(const char *server, const char *module,
                         unsigned distance, void *opaque)
{
    Nearest *n = opaque;

    if (g_str_equal(module, n->module) &&
        (n->distance < 0 || distance < n->distance)) {
        n->distance = distance;
    }
}

/* How far behind @peer a module is, which it announced; or -1 */
static int announced(const RiodPeer *peer, const char *module,
                     const char *server)
{
    Nearest n = { .module = module, .distance = -1 };

    if (!peer->heard) {
        return -1;
    }
    if (*server) {
        return riod_announced_find(peer->heard, server, module);
    }
    riod_announced_foreach(peer->heard, note_nearest, &n);
    return n.distance;
}

/* Next hops that announce it, the nearest first; those of --peer, or all */
static void add_announced(GPtrArray *list, const char *module,
                          const char *server, int furthest, bool all)
{
    RiodPeer *peer;

    for (int distance = 0; distance <= furthest; distance++) {
        for (peer = riod_peer_next(NULL); peer; peer = riod_peer_next(peer)) {
            if ((all || !peer->found) &&
                announced(peer, module, server) == distance) {
                add_candidate(list, peer);
            }
        }
    }
}

/* Servers of which a directory says that they have @module, or may have it */
static void add_listed(GPtrArray *list, const char *module, bool certain)
{
    for (guint i = 0; sources && i < sources->len; i++) {
        RiodSource *s = sources->pdata[i];

        for (guint j = 0; j < s->entries->len; j++) {
            RioDirectoryEntry *e = s->entries->pdata[j];

            if (certain ? e->modules && g_strv_contains(
                    (const char **)e->modules, module) : !e->modules) {
                add_server(list, e);
            }
        }
    }
}

bool riod_directory_names(const char *module)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(unref_peer);

    add_listed(list, module, true);
    return list->len;
}

static void add_number(GPtrArray *list, uint32_t number)
{
    for (guint i = 0; sources && i < sources->len; i++) {
        RiodSource *s = sources->pdata[i];

        for (guint j = 0; j < s->entries->len; j++) {
            RioDirectoryEntry *e = s->entries->pdata[j];

            if (riod_config_number(e->server) == number) {
                add_server(list, e);
            }
        }
    }
}

GPtrArray *riod_directory_candidates(const char *module, const char *server,
                                     uint32_t number)
{
    GPtrArray *list = g_ptr_array_new_with_free_func(unref_peer);
    RiodPeer *peer = NULL;

    if (*server) {
        RioDirectoryEntry *e = find_server(server);

        if (e) {
            add_server(list, e);
        }
        add_candidate(list, riod_peer_find(server));
        if (list->len) {
            return list;
        }
    }
    if (number) {
        add_number(list, number);
    }
    if (*module || *server) {
        add_announced(list, module, server, 0, false);
        if (!*server) {
            add_listed(list, module, true);
        }
        add_announced(list, module, server, RIO_MAX_HOPS, true);
    }
    while ((peer = riod_peer_next(peer))) {
        /* Of those that were found it is known what they have */
        if (!peer->found || (!*module && peer->conn)) {
            add_candidate(list, peer);
        }
    }
    if (*module && !*server) {
        add_listed(list, module, false);
    }
    return list;
}

/* --- what is known, in the home --- */

typedef struct Foreach {
    void (*fn)(const RiodKnown *, void *);
    void *opaque;
    const char *peer;
} Foreach;

static void show_announced(const char *server, const char *module,
                           unsigned distance, void *opaque)
{
    Foreach *f = opaque;
    RiodKnown known = {
        .server = server, .module = module, .peer = f->peer,
        .distance = distance,
    };

    f->fn(&known, f->opaque);
}

static void show_entry(const RiodSource *s, const RioDirectoryEntry *e,
                       Foreach *f)
{
    RiodKnown known = {
        .server = e->server, .module = "", .addresses = e->addresses,
        .source = s->directory->text,
    };

    f->fn(&known, f->opaque);
    for (char **module = e->modules; module && *module; module++) {
        known.module = *module;
        f->fn(&known, f->opaque);
    }
}

void riod_directory_foreach(void (*fn)(const RiodKnown *, void *),
                            void *opaque)
{
    Foreach f = { .fn = fn, .opaque = opaque };
    RiodPeer *peer = NULL;

    for (guint i = 0; sources && i < sources->len; i++) {
        RiodSource *s = sources->pdata[i];

        for (guint j = 0; j < s->entries->len; j++) {
            show_entry(s, s->entries->pdata[j], &f);
        }
    }
    while ((peer = riod_peer_next(peer))) {
        if (peer->heard) {
            f.peer = peer->id;
            riod_announced_foreach(peer->heard, show_announced, &f);
        }
    }
}

void riod_sources_foreach(void (*fn)(const RiodSourceInfo *, void *),
                          void *opaque)
{
    for (guint i = 0; sources && i < sources->len; i++) {
        RiodSource *s = sources->pdata[i];
        RiodSourceInfo info = {
            .text = s->directory->text,
            .trouble = s->trouble,
            .registers = s->etcd && !riod_config.gateway,
            .registered = s->registered,
        };

        fn(&info, opaque);
    }
}

/* --- main loop --- */

bool riod_directory_add(const char *text, Error **errp)
{
    RioDirectory *d = rio_directory_parse(text, errp);
    RiodSource *s;

    if (!d) {
        return false;
    }
    if (!sources) {
        sources = g_ptr_array_new();
    }
    s = g_new0(RiodSource, 1);
    s->directory = d;
    s->entries = rio_directory_entries_new();
    g_ptr_array_add(sources, s);
    return true;
}

bool riod_directory_advertise(const char *text, Error **errp)
{
    SocketAddress *addr = rio_address_parse(text, errp);

    if (!addr) {
        return false;
    }
    qapi_free_SocketAddress(addr);
    if (!advertised) {
        advertised = g_ptr_array_new();
    }
    if (advertised->len == RIO_DIRECTORY_MAX_ADDRESSES) {
        error_setg(errp, "a server has at most %u addresses",
                   RIO_DIRECTORY_MAX_ADDRESSES);
        return false;
    }
    g_ptr_array_add(advertised, g_strdup(text));
    return true;
}

/* "0.0.0.0" is no address for others: the host's name is */
static char *address_for_others(const char *text)
{
    SocketAddress *addr = rio_address_parse(text, NULL);
    char *result;

    if (!addr) {
        return NULL;            /* a descriptor, or of a form of its own */
    }
    if (addr->type == SOCKET_ADDRESS_TYPE_INET &&
        (g_str_equal(addr->u.inet.host, "0.0.0.0") ||
         g_str_equal(addr->u.inet.host, "::") || !*addr->u.inet.host)) {
        g_free(addr->u.inet.host);
        addr->u.inet.host = g_strdup(g_get_host_name());
    }
    result = rio_address_text(addr);
    qapi_free_SocketAddress(addr);
    return result;
}

static GStrv own_addresses(void)
{
    GPtrArray *texts = g_ptr_array_new();
    g_auto(GStrv) listen = riod_listen_addresses();

    for (guint i = 0; advertised && i < advertised->len; i++) {
        g_ptr_array_add(texts, g_strdup(advertised->pdata[i]));
    }
    for (char **text = listen; !advertised && *text &&
         texts->len < RIO_DIRECTORY_MAX_ADDRESSES; text++) {
        char *address = address_for_others(*text);

        if (address && !g_ptr_array_find_with_equal_func(texts, address,
                                                         g_str_equal, NULL)) {
            g_ptr_array_add(texts, address);
        } else {
            g_free(address);
        }
    }
    g_ptr_array_add(texts, NULL);
    return (GStrv)g_ptr_array_free(texts, false);
}

static bool source_start(RiodSource *s, Error **errp)
{
    g_auto(GStrv) addresses = NULL;

    if (s->directory->path) {
        s->file = riod_file_start(s, s->directory, errp);
        return s->file;
    }
    addresses = riod_config.gateway ? g_new0(char *, 1) : own_addresses();
    s->etcd = riod_etcd_start(s, s->directory, addresses);
    return true;
}

bool riod_directories_start(Error **errp)
{
    for (guint i = 0; sources && i < sources->len; i++) {
        if (!source_start(sources->pdata[i], errp)) {
            return false;
        }
    }
    riod_directory_modules_changed();
    return true;
}

void riod_directories_stop(void)
{
    for (guint i = 0; sources && i < sources->len; i++) {
        RiodSource *s = sources->pdata[i];

        riod_file_stop(g_steal_pointer(&s->file));
        riod_etcd_stop(g_steal_pointer(&s->etcd));
    }
}

bool riod_directory_reload(Error **errp)
{
    for (guint i = 0; sources && i < sources->len; i++) {
        RiodSource *s = sources->pdata[i];

        if (s->file && !riod_file_reload(s->file, errp)) {
            return false;
        }
    }
    return true;
}

static void add_module(RiodInstance *inst, void *opaque)
{
    g_ptr_array_add(opaque, g_strdup(inst->id));
}

static GStrv own_modules(void)
{
    GPtrArray *names = g_ptr_array_new();

    riod_tables_lock();
    riod_instances_foreach_locked(add_module, names);
    riod_tables_unlock();
    g_ptr_array_add(names, NULL);
    return (GStrv)g_ptr_array_free(names, false);
}

void riod_directory_modules_changed(void)
{
    riod_announce_modules_changed();
    for (guint i = 0; sources && i < sources->len; i++) {
        RiodSource *s = sources->pdata[i];

        if (s->etcd) {
            riod_etcd_set_modules(s->etcd, own_modules());
        }
    }
}
