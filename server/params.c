/*
 * remote-io-server: parameters of modules
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A module declares what it accepts; the server checks what it was given
 * against that before the module is opened, so that a module never sees a
 * parameter it does not know or a number that is none.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "qobject/qdict.h"
#include "qobject/qstring.h"

#include "internal.h"

/* Keys of --module that are the server's own */
static const char *const riod_own_keys[] = { "driver", "id", "incoming",
                                            "interrupt-vm", "iothread" };

bool riod_params_uint(const char *text, uint64_t *value)
{
    const char *end;

    if (*text == '-' || *text == '\0') {
        return false;
    }
    if (!qemu_strtou64(text, NULL, 0, value)) {
        return true;
    }
    return !qemu_strtosz(text, &end, value) && *end == '\0';
}

bool riod_params_bool(const char *text, bool *value)
{
    return qapi_bool_parse("", text, value, NULL);
}

static const RioParam *riod_params_find(const RioModule *type,
                                        const char *name)
{
    for (const RioParam *p = type->params; p && p->name; p++) {
        if (!strcmp(p->name, name)) {
            return p;
        }
    }
    return NULL;
}

static bool riod_params_is_own(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(riod_own_keys); i++) {
        if (!strcmp(riod_own_keys[i], name)) {
            return true;
        }
    }
    return false;
}

static bool riod_params_check_value(const RioModule *type,
                                    const RioParam *param, const char *text,
                                    Error **errp)
{
    uint64_t number;
    bool flag;

    switch (param->type) {
    case RIO_PARAM_UINT:
        if (!riod_params_uint(text, &number)) {
            error_setg(errp, "module '%s': parameter '%s' takes a number, "
                       "as in 16, 0x10 or 4k, not '%s'",
                       type->name, param->name, text);
            return false;
        }
        return true;
    case RIO_PARAM_BOOL:
        if (!riod_params_bool(text, &flag)) {
            error_setg(errp, "module '%s': parameter '%s' takes on or off, "
                       "not '%s'", type->name, param->name, text);
            return false;
        }
        return true;
    case RIO_PARAM_STRING:
    default:
        return true;
    }
}

/* Everything given is declared and of its type */
static bool riod_params_take(const RioModule *type, const QDict *args,
                             QDict *out, Error **errp)
{
    for (const QDictEntry *e = qdict_first(args); e;
         e = qdict_next(args, e)) {
        const char *name = qdict_entry_key(e);
        const char *text = qdict_get_try_str(args, name);
        const RioParam *param = riod_params_find(type, name);

        if (riod_params_is_own(name)) {
            continue;
        }
        if (!param) {
            error_setg(errp, "module '%s' has no parameter '%s'; "
                       "--module %s,help lists them",
                       type->name, name, type->name);
            return false;
        }
        if (!text) {
            error_setg(errp, "module '%s': parameter '%s' takes one value",
                       type->name, name);
            return false;
        }
        if (!riod_params_check_value(type, param, text, errp)) {
            return false;
        }
        qdict_put_str(out, name, text);
    }
    return true;
}

QDict *riod_params_check(const RioModule *type, const QDict *args,
                         Error **errp)
{
    g_autoptr(QDict) out = qdict_new();

    if (!riod_params_take(type, args, out, errp)) {
        return NULL;
    }
    for (const RioParam *p = type->params; p && p->name; p++) {
        if (qdict_haskey(out, p->name)) {
            continue;
        }
        if (p->mandatory) {
            error_setg(errp, "module '%s' needs parameter '%s' (%s)",
                       type->name, p->name, p->help);
            return NULL;
        }
        if (p->fallback) {
            qdict_put_str(out, p->name, p->fallback);
        }
    }
    return g_steal_pointer(&out);
}
