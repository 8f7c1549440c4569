/*
 * remote-io-server: the state of a module in a file, by QMP
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The commands are coroutines of the main loop, which goes on meanwhile: a
 * module with a character device cannot come to rest without it.
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "block/aio.h"
#include "qapi/error.h"
#include "server/qapi/qapi-commands.h"
#include "internal.h"

/* How long a request to a disk may take */
#define PATIENCE_MS 10000

typedef struct FileCall {
    RiodTask task;
    RiodInstance *inst;
    Coroutine *co;              /* of the command */
    RioBytes load;              /* to be loaded; data NULL: save */
    GByteArray *saved;
    Error *err;
} FileCall;

/* Home */
static void call_stopped(RiodInstance *inst, const char *trouble,
                         void *opaque)
{
    FileCall *call = opaque;

    if (trouble) {
        error_setg(&call->err, "module '%s' cannot be stopped: %s", inst->id,
                   trouble);
    } else {
        if (call->load.data) {
            riod_state_load(inst, NULL, call->load, 0, &call->err);
        } else {
            call->saved = riod_state_save(inst, NULL, &call->err);
        }
        riod_instance_go(inst, RIOD_STOP_ACCESSES);
    }
    aio_co_wake(call->co);
}

/* Home */
static void call_run(RiodTask *task)
{
    FileCall *call = container_of(task, FileCall, task);

    riod_instance_stop(call->inst, RIOD_STOP_ACCESSES, PATIENCE_MS,
                       call_stopped, call);
}

/* Returns: whether it was done; else *@errp */
static bool coroutine_fn call_module(const char *id, FileCall *call,
                                     Error **errp)
{
    RioError err;

    call->inst = riod_instance_find(id, &err);
    if (!call->inst) {
        error_set(errp, ERROR_CLASS_DEVICE_NOT_FOUND, "%s", err.text);
        return false;
    }
    if (!riod_state_possible(call->inst, errp)) {
        riod_instance_unref(call->inst);
        return false;
    }
    call->task.run = call_run;
    call->co = qemu_coroutine_self();
    riod_home_post(call->inst->home, &call->task);
    qemu_coroutine_yield();
    riod_instance_unref(call->inst);
    if (call->err) {
        error_propagate(errp, call->err);
        return false;
    }
    return true;
}

void coroutine_fn qmp_remote_io_module_save(const char *id,
                                            const char *filename,
                                            Error **errp)
{
    g_autoptr(GError) gerr = NULL;
    FileCall call = { };

    if (!call_module(id, &call, errp)) {
        return;
    }
    /* It has what the guest sent to the device: not for everybody */
    if (!g_file_set_contents_full(filename, (char *)call.saved->data,
                                  call.saved->len,
                                  G_FILE_SET_CONTENTS_CONSISTENT, 0600,
                                  &gerr)) {
        error_setg(errp, "cannot write the state: %s", gerr->message);
    }
    g_byte_array_unref(call.saved);
}

/* Not from a pipe, on which the main loop would wait */
static char *read_file(const char *filename, size_t *len, Error **errp)
{
    g_autoptr(GError) gerr = NULL;
    char *data = NULL;
    GStatBuf st;

    if (g_stat(filename, &st) < 0) {
        error_setg_file_open(errp, errno, filename);
    } else if (!S_ISREG(st.st_mode) || st.st_size > 2 * RIOD_IMAGE_MAX) {
        error_setg(errp, "%s is no file with the state of a module",
                   filename);
    } else if (!g_file_get_contents(filename, &data, len, &gerr)) {
        error_setg(errp, "cannot read the state: %s", gerr->message);
    }
    return data;
}

void coroutine_fn qmp_remote_io_module_load(const char *id,
                                            const char *filename,
                                            Error **errp)
{
    FileCall call = { };
    size_t len;
    g_autofree char *data = read_file(filename, &len, errp);

    if (data) {
        call.load = (RioBytes) { (const uint8_t *)data, len };
        call_module(id, &call, errp);
    }
}
