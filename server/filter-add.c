/*
 * remote-io-server: fault filters, added and removed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/util.h"
#include "qemu/cutils.h"
#include "qemu/id.h"
#include "qobject/qdict.h"
#include "filter.h"

/* Where a filter stands if not in front of a module */
#define CONNECTIONS "connection"

/* In the order given; main loop */
static QTAILQ_HEAD(, RiodFilter) filters = QTAILQ_HEAD_INITIALIZER(filters);

/* Which events: parameters that every type has */
static const RioParam match_params[] = {
    { "from", RIO_PARAM_UINT, false, "1",
      "act from this event on, the first is 1" },
    { "every", RIO_PARAM_UINT, false, "1",
      "... upon each so many-th" },
    { "count", RIO_PARAM_UINT, false, NULL,
      "... so often, 0 = without end (default: 1 for cut, 0)" },
    { "probability", RIO_PARAM_STRING, false, "1",
      "... with this probability, as in 0.01" },
    { "seed", RIO_PARAM_UINT, false, "1",
      "of what is random: the same seed, the same choices" },
    { 0 }
};

/* ... and those of types with kinds, in front of modules */
static const RioParam place_params[] = {
    { "kind", RIO_PARAM_STRING, false, NULL,
      "which events, joined with '+'" },
    { "region", RIO_PARAM_UINT, false, NULL,
      "only this region; of interrupts, this line or vector" },
    { "offset", RIO_PARAM_UINT, false, "0",
      "only from this offset in the region (of DMA: address) on ..." },
    { "length", RIO_PARAM_UINT, false, "0",
      "... and so many bytes, 0 = to the end" },
    { 0 }
};

/* ------------------------------------------------------------- parameters */

static const RiodFilterType *find_type(const char *name, Error **errp)
{
    g_autoptr(GString) known = g_string_new(NULL);

    for (const RiodFilterType *t = riod_filter_types; t->name; t++) {
        if (g_str_equal(t->name, name)) {
            return t;
        }
        g_string_append_printf(known, "%s%s", known->len ? ", " : "", t->name);
    }
    error_setg(errp, "there is no filter '%s', only %s", name, known->str);
    return NULL;
}

static const RioParam *find_in(const RioParam *params, const char *name)
{
    for (const RioParam *p = params; p && p->name; p++) {
        if (g_str_equal(p->name, name)) {
            return p;
        }
    }
    return NULL;
}

static const RioParam *find_param(const RiodFilter *f, const char *name)
{
    const RioParam *p = find_in(f->type->params, name) ?:
                        find_in(match_params, name);

    return p || !f->inst ? p : find_in(place_params, name);
}

static bool check_value(const RioParam *p, const char *text, Error **errp)
{
    uint64_t number;
    bool flag;

    if (!text) {
        error_setg(errp, "%s= takes one value", p->name);
    } else if (p->type == RIO_PARAM_UINT && !riod_params_uint(text, &number)) {
        error_setg(errp, "%s= takes a number, as in 16, 0x10 or 4k, not '%s'",
                   p->name, text);
    } else if (p->type == RIO_PARAM_BOOL && !riod_params_bool(text, &flag)) {
        error_setg(errp, "%s= takes on or off, not '%s'", p->name, text);
    } else {
        return true;
    }
    return false;
}

static bool check_params(const RiodFilter *f, const QDict *args, Error **errp)
{
    for (const QDictEntry *e = qdict_first(args); e; e = qdict_next(args, e)) {
        const char *name = qdict_entry_key(e);
        const RioParam *p;

        if (g_str_equal(name, "type") || g_str_equal(name, "on") ||
            g_str_equal(name, "id") ||
            (g_str_equal(name, "client") && !f->inst)) {
            continue;
        }
        p = find_param(f, name);
        if (!p) {
            error_setg(errp, "it has no parameter '%s' with on=%s; --filter "
                       "%s,help lists them", name,
                       f->inst ? f->inst->id : CONNECTIONS, f->type->name);
            return false;
        }
        if (!check_value(p, qdict_get_try_str(args, name), errp)) {
            return false;
        }
    }
    return true;
}

uint64_t riod_filter_uint(const QDict *args, const char *name,
                          uint64_t fallback)
{
    const char *text = qdict_get_try_str(args, name);
    uint64_t value = fallback;

    if (text) {
        riod_params_uint(text, &value);
    }
    return value;
}

static bool set_match(RiodFilter *f, const QDict *args, Error **errp)
{
    const char *probability = qdict_get_try_str(args, "probability");
    const char *kind = qdict_get_try_str(args, "kind");
    bool once = g_str_equal(f->type->name, "cut");
    RiodMatch *m = &f->match;

    m->kinds = f->inst ? f->type->usual : RIOD_KIND_RECEIVE;
    m->any_region = !qdict_haskey(args, "region");
    m->region = riod_filter_uint(args, "region", 0);
    m->offset = riod_filter_uint(args, "offset", 0);
    m->length = riod_filter_uint(args, "length", 0);
    m->from = riod_filter_uint(args, "from", 1);
    m->every = riod_filter_uint(args, "every", 1);
    m->count = riod_filter_uint(args, "count", once ? 1 : 0);
    m->seed = f->random = riod_filter_uint(args, "seed", 1);
    m->probability = 1;
    if (!m->from || !m->every) {
        error_setg(errp, "from= and every= count from 1 on");
        return false;
    }
    if (probability &&
        (qemu_strtod_finite(probability, NULL, &m->probability) ||
         m->probability < 0 || m->probability > 1)) {
        error_setg(errp, "probability= is a number from 0 to 1, not '%s'",
                   probability);
        return false;
    }
    return !kind || riod_filter_parse_kinds(kind, f->type->kinds, &m->kinds,
                                            errp);
}

/* ---------------------------------------------------------- one of them */

static void filter_free(RiodFilter *f)
{
    riod_filter_log_close(f->log);
    if (f->inst) {
        riod_instance_unref(f->inst);
    }
    g_free(f->client);
    g_free(f->id);
    g_free(f);
}

static RiodFilter *find_filter(const char *id)
{
    RiodFilter *f;

    QTAILQ_FOREACH(f, &filters, node) {
        if (g_str_equal(f->id, id)) {
            return f;
        }
    }
    return NULL;
}

static char *choose_id(void)
{
    for (unsigned i = 0; ; i++) {
        g_autofree char *id = g_strdup_printf("filter%u", i);

        if (!find_filter(id)) {
            return g_steal_pointer(&id);
        }
    }
}

/* What it stands in front of */
static bool set_place(RiodFilter *f, const QDict *args, Error **errp)
{
    const char *on = qdict_get_try_str(args, "on");
    RioError err;

    if (!on) {
        error_setg(errp, "say what it stands in front of: on=ID of a module, "
                   "or on=" CONNECTIONS);
        return false;
    }
    if (!g_str_equal(on, CONNECTIONS)) {
        f->inst = riod_instance_find(on, &err);
        if (!f->inst) {
            error_setg(errp, "on=%s: %s; a filter comes behind its module",
                       on, err.text);
            return false;
        }
    }
    if (f->inst ? !f->type->modules : !f->type->connections) {
        error_setg(errp, "it cannot stand in front of %s",
                   f->inst ? "a module" : "connections");
        return false;
    }
    f->client = f->inst ? NULL : g_strdup(qdict_get_try_str(args, "client"));
    return true;
}

static bool set_id(RiodFilter *f, const QDict *args, Error **errp)
{
    const char *id = qdict_get_try_str(args, "id");

    if (id && !id_wellformed(id)) {
        error_setg(errp, "'%.64s' is no id: letters, digits, '-', '.' and "
                   "'_', the first a letter", id);
        return false;
    }
    if (id && find_filter(id)) {
        error_setg(errp, "there is a filter '%s' already", id);
        return false;
    }
    f->id = id ? g_strdup(id) : choose_id();
    return true;
}

static bool set_up(RiodFilter *f, const QDict *args, Error **errp)
{
    return set_id(f, args, errp) && set_place(f, args, errp) &&
           check_params(f, args, errp) && set_match(f, args, errp) &&
           (!f->type->setup || f->type->setup(f, args, errp));
}

/* ---------------------------------------------------------------- doors */

static void insert_in_home(void *opaque)
{
    riod_filter_insert(opaque);
}

static void remove_in_home(void *opaque)
{
    riod_filter_remove(opaque);
}

static void wake(RiodConnection *conn, void *opaque)
{
    QEMU_LOCK_GUARD(&conn->lock);
    riod_connection_wake_locked(conn);
}

bool riod_filter_add(const QDict *args, Error **errp)
{
    const char *name = qdict_get_try_str(args, "type");
    const RiodFilterType *type;
    Error *err = NULL;
    RiodFilter *f;

    if (!name) {
        error_setg(errp, "name the type of the filter first; --filter help "
                   "lists them");
        return false;
    }
    type = find_type(name, errp);
    if (!type) {
        return false;
    }
    f = g_new0(RiodFilter, 1);
    f->type = type;
    if (!set_up(f, args, &err)) {
        error_propagate_prepend(errp, err, "filter '%s': ", name);
        filter_free(f);
        return false;
    }
    QTAILQ_INSERT_TAIL(&filters, f, node);
    if (f->inst) {
        riod_home_call(f->inst->home, insert_in_home, f);
    } else {
        riod_connection_filter_insert(f);
        riod_connections_foreach(wake, NULL);
    }
    return true;
}

static void filter_end(RiodFilter *f)
{
    QTAILQ_REMOVE(&filters, f, node);
    if (f->inst) {
        riod_home_call(f->inst->home, remove_in_home, f);
    } else {
        riod_connection_filter_remove(f);
    }
    filter_free(f);
}

bool riod_filter_del(const char *id, Error **errp)
{
    RiodFilter *f = find_filter(id);

    if (!f) {
        error_set(errp, ERROR_CLASS_DEVICE_NOT_FOUND,
                  "there is no filter '%s'", id);
        return false;
    }
    filter_end(f);
    return true;
}

void riod_filters_drop(RiodInstance *inst)
{
    RiodFilter *f, *next;

    QTAILQ_FOREACH_SAFE(f, &filters, node, next) {
        if (f->inst == inst) {
            filter_end(f);
        }
    }
}

const RiodFilter *riod_filter_next(const RiodFilter *f)
{
    return f ? QTAILQ_NEXT(f, node) : QTAILQ_FIRST(&filters);
}

/* ----------------------------------------------------------------- help */

static void help_params(const RioParam *params)
{
    for (const RioParam *p = params; p && p->name; p++) {
        printf("  %s=%s%s%s%s%s\n    %s\n", p->name,
               p->type == RIO_PARAM_UINT ? "NUMBER" :
               p->type == RIO_PARAM_BOOL ? "on|off" : "TEXT",
               p->fallback ? " (default: " : "", p->fallback ?: "",
               p->fallback ? ")" : "", "", p->help);
    }
}

void riod_filter_help(const char *type)
{
    const RiodFilterType *t;

    if (!type) {
        printf("Types of filters; --filter TYPE,help shows the parameters:\n");
        for (t = riod_filter_types; t->name; t++) {
            printf("  %-10s %s\n", t->name, t->summary);
        }
        return;
    }
    t = find_type(type, &error_fatal);
    printf("%s: %s\n", t->name, t->summary);
    printf("  on=MODULE%s\n", t->connections ? "|connection" : "");
    help_params(t->params);
    help_params(match_params);
    help_params(place_params);
    if (t->connections) {
        printf("  client=NAME\n    with on=connection: only this client's\n");
    }
}
