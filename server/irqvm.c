/*
 * remote-io-server: interrupts for another virtual machine
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A module raises a vector for the machine that it works for.  The operator
 * may say that another machine handles that vector: one that has attached the
 * same module, as the machine on whose behalf it is raised, or from another
 * client platform.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "irqvm.h"

/* Home only.  Set the machine of @vector, or of all; NULL: who it is for */
static void set_vm(RiodInstance *inst, int vector, const char *vm)
{
    unsigned n = riod_instance_vectors(inst);

    if (!inst->irq_vm) {
        inst->irq_vm = g_new0(char *, n);
    }
    for (unsigned i = 0; i < n; i++) {
        if (vector < 0 || i == vector) {
            g_free(inst->irq_vm[i]);
            inst->irq_vm[i] = g_strdup(vm);
        }
    }
}

void riod_irq_vm_free(RiodInstance *inst)
{
    if (inst->irq_vm) {
        set_vm(inst, -1, NULL);
        g_free(inst->irq_vm);
        inst->irq_vm = NULL;
    }
}

static bool check_vector(RiodInstance *inst, uint64_t vector, Error **errp)
{
    unsigned n = riod_instance_vectors(inst);

    if (!n) {
        error_setg(errp, "module '%s' has no interrupt vectors, so none can "
                   "be for another VM", inst->id);
    } else if (vector >= n) {
        error_setg(errp, "module '%s' has vectors 0 to %u, not %" PRIu64,
                   inst->id, n - 1, vector);
    }
    return vector < n;
}

/* "VM" for all vectors, or "VECTOR:VM", several of them joined with '+' */
bool riod_irq_vm_parse(RiodInstance *inst, const char *text, Error **errp)
{
    g_auto(GStrv) parts = g_strsplit(text, "+", -1);

    for (char **part = parts; *part; part++) {
        const char *vm = *part;
        uint64_t vector;
        bool one = !qemu_strtou64(*part, &vm, 10, &vector) && *vm == ':';

        if (!check_vector(inst, one ? vector : 0, errp)) {
            return false;
        }
        if (one) {
            vm++;
        } else {
            vm = *part;
        }
        if (!*vm || strlen(vm) > 2 * RIO_MAX_STRING) {
            error_setg(errp, "interrupt-vm=%s: use the vm-id of a machine, or "
                       "VECTOR:VM-ID, joined with '+'", text);
            return false;
        }
        set_vm(inst, one ? (int)vector : -1, vm);
    }
    return true;
}

/* --- QMP --- */

typedef struct SetCall {
    RiodInstance *inst;
    int vector;
    const char *vm;
} SetCall;

static void set_in_home(void *opaque)
{
    SetCall *call = opaque;

    set_vm(call->inst, call->vector, call->vm);
}

bool riod_irq_vm_set(RiodInstance *inst, int vector, const char *vm,
                     Error **errp)
{
    SetCall call = { inst, vector, vm };

    if (!check_vector(inst, MAX(vector, 0), errp)) {
        return false;
    }
    riod_home_call(inst->home, set_in_home, &call);
    return true;
}

/* --- raising --- */

/* @name is "VM", on the platform of @asker, or "CLIENT/VM" */
static bool is_named(const RiodSession *s, const RiodSession *asker,
                     const char *name)
{
    size_t len = strlen(s->client->name);

    if (s->client == asker->client && g_str_equal(s->vm->name, name)) {
        return true;
    }
    return !strncmp(name, s->client->name, len) && name[len] == '/' &&
           g_str_equal(name + len + 1, s->vm->name);
}

RiodSession *riod_irq_vm_find(RiodSession *asker, unsigned vector)
{
    RiodInstance *inst = asker->inst;
    const char *name = inst->irq_vm ? inst->irq_vm[vector] : NULL;

    if (!name) {
        return asker;
    }
    for (unsigned i = 0; i < inst->max_clients; i++) {
        if (inst->clients[i] && is_named(inst->clients[i], asker, name)) {
            return inst->clients[i];
        }
    }
    if (riod_rate_allows(&inst->rate, inst->id)) {
        riod_log("%s: vector %u, raised for VM %s, is for VM %s, which is not "
                 "attached", inst->id, vector, asker->vm->name, name);
    }
    return NULL;
}
