/*
 * remote-io-server: types of modules
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Built-in modules and those of --module-path, under one roof: a list of
 * tables by name.  A table is checked once, when it is met; nobody looks at
 * its version again.
 */

#include "qemu/osdep.h"
#include <gmodule.h>
#include "qapi/error.h"

#include "internal.h"
#include "modules/builtin.h"

/* Bytes of a table before members were added at its end */
#define TABLE_SIZE_FIRST offsetof(RioModule, state)

static GPtrArray *riod_types;   /* const RioModule *, by name */

static int riod_registry_compare(gconstpointer a, gconstpointer b)
{
    const RioModule *const *x = a;
    const RioModule *const *y = b;

    return strcmp((*x)->name, (*y)->name);
}

static const RioModule *riod_registry_lookup(const char *name)
{
    for (guint i = 0; i < riod_types->len; i++) {
        const RioModule *type = g_ptr_array_index(riod_types, i);

        if (!strcmp(type->name, name)) {
            return type;
        }
    }
    return NULL;
}

static bool riod_registry_name_is_valid(const char *name)
{
    if (!name || !g_ascii_islower(*name)) {
        return false;
    }
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") ==
           strlen(name);
}

bool riod_registry_check(const RioModule *type, const char *where,
                         Error **errp)
{
    const char *lacks = NULL;

    if (!type) {
        error_setg(errp, "%s: registers no module", where);
        return false;
    }
    if (type->api_version != RIO_MODULE_API_VERSION ||
        type->struct_size < TABLE_SIZE_FIRST) {
        error_setg(errp, "%s: made for module API version %" PRIu32
                   " (table of %" PRIu32 " bytes); this server has version "
                   "%d (%zu bytes): compile it against this server's "
                   "remote-io-module.h", where, type->api_version,
                   type->struct_size, RIO_MODULE_API_VERSION,
                   TABLE_SIZE_FIRST);
        return false;
    }
    if (!riod_registry_name_is_valid(type->name)) {
        lacks = "a name of the form [a-z][a-z0-9-]*";
    } else if (!type->summary) {
        lacks = "a summary";
    } else if (!type->describe) {
        lacks = "the callback 'describe'";
    } else if (!type->read) {
        lacks = "the callback 'read'";
    } else if (!type->write) {
        lacks = "the callback 'write'";
    }
    if (lacks) {
        error_setg(errp, "%s: the module lacks %s", where, lacks);
        return false;
    }
    return true;
}

const RioModuleState *riod_registry_state(const RioModule *type)
{
    return type->struct_size >= sizeof(RioModule) ? type->state : NULL;
}

static bool riod_registry_add(const RioModule *type, const char *where,
                              Error **errp)
{
    if (!riod_registry_check(type, where, errp)) {
        return false;
    }
    if (riod_registry_lookup(type->name)) {
        error_setg(errp, "%s: there is a module '%s' already", where,
                   type->name);
        return false;
    }
    g_ptr_array_add(riod_types, (void *)type);
    g_ptr_array_sort(riod_types, riod_registry_compare);
    return true;
}

/* The first call brings in what is built in */
static void riod_registry_init(void)
{
    if (riod_types) {
        return;
    }
    riod_types = g_ptr_array_new();
    for (size_t i = 0; riod_builtin_modules[i]; i++) {
        riod_registry_add(riod_builtin_modules[i](), "built-in module",
                          &error_abort);
    }
}

/* A shared object stays loaded for good: its table is part of the server */
static bool riod_registry_load(const char *path, Error **errp)
{
    const RioModule *(*init)(void) = NULL;
    GModule *so = g_module_open(path, G_MODULE_BIND_LOCAL);

    if (!so) {
        error_setg(errp, "cannot load %s: %s", path,
                   g_module_error());
        return false;
    }
    if (!g_module_symbol(so, "rio_module_init", (gpointer *)&init) || !init) {
        error_setg(errp, "%s has no rio_module_init: is "
                   "RIO_REGISTER_MODULE missing?", path);
        g_module_close(so);
        return false;
    }
    if (!riod_registry_add(init(), path, errp)) {
        g_module_close(so);
        return false;
    }
    g_module_make_resident(so);
    return true;
}

bool riod_registry_load_dir(const char *dir, Error **errp)
{
    g_autoptr(GError) gerr = NULL;
    GDir *d = g_dir_open(dir, 0, &gerr);
    const char *name;
    bool ok = true;

    riod_registry_init();
    if (!d) {
        error_setg(errp, "cannot read modules: %s", gerr->message);
        return false;
    }
    while (ok && (name = g_dir_read_name(d))) {
        if (g_str_has_suffix(name, ".so")) {
            g_autofree char *path = g_build_filename(dir, name, NULL);

            ok = riod_registry_load(path, errp);
        }
    }
    g_dir_close(d);
    return ok;
}

const RioModule *riod_registry_find(const char *name, Error **errp)
{
    const RioModule *type;

    riod_registry_init();
    type = riod_registry_lookup(name);
    if (!type) {
        error_setg(errp, "there is no module type '%s'; --module help lists "
                   "them, --module-path adds more", name);
    }
    return type;
}

void riod_registry_help(void)
{
    riod_registry_init();
    printf("Modules:\n");
    for (guint i = 0; i < riod_types->len; i++) {
        const RioModule *type = g_ptr_array_index(riod_types, i);

        printf("  %-16s %s\n", type->name, type->summary);
    }
}

static const char *riod_registry_param_type(const RioParam *param)
{
    switch (param->type) {
    case RIO_PARAM_UINT:
        return "number";
    case RIO_PARAM_BOOL:
        return "on|off";
    case RIO_PARAM_STRING:
    default:
        return "string";
    }
}

void riod_registry_help_type(const RioModule *type)
{
    printf("%s: %s\n\n--module %s,id=ID[,iothread=ID][,interrupt-vm=VM]",
           type->name, type->summary, type->name);
    for (const RioParam *p = type->params; p && p->name; p++) {
        printf(p->mandatory ? ",%s=..." : "[,%s=...]", p->name);
    }
    printf("\n\n");
    for (const RioParam *p = type->params; p && p->name; p++) {
        printf("  %-16s %-7s %s%s%s%s\n", p->name,
               riod_registry_param_type(p), p->help,
               p->fallback ? " (default: " : "",
               p->fallback ? p->fallback : "", p->fallback ? ")" : "");
    }
}
