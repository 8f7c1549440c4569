/*
 * remote-io device: the machine moves to another host, or is saved
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The module stays where it is when the machine migrates: what goes over is
 * our end of the session.  While memory is copied the device works on.  When
 * the machine has stopped, and before the last pages go, it is frozen: it
 * receives nothing any more, so that no DMA is lost behind the pages and no
 * message behind the picture of the session.  What the server sends meanwhile
 * it sends again.  The target begins frozen, too, and resumes the session,
 * with a greater epoch, when its machine starts to run; this is what fences
 * the source.  If the migration fails the source goes on as after a pause.
 *
 * A snapshot is another matter: it is the module's state that is saved, and
 * the session goes on (snapshot.c).
 *
 * A target does not attach: the module is taken, by the source.  It gets to
 * know what the device is from the stream, and builds it before the PCI core
 * loads the function's registers.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qapi/qapi-types-migration.h"
#include "qemu/cutils.h"
#include "migration/client-options.h"
#include "migration/misc.h"
#include "migration/vmstate.h"
#include "system/runstate.h"
#include "core.h"
#include "trace.h"

/* How long the machine stands still for a DMA to end */
#define FREEZE_NS NANOSECONDS_PER_SECOND
#define LOOK_MS 10

/* No module's state, nor what a session may owe, is larger */
#define MAX_BLOB (80u * 1024 * 1024)

/* ---- frozen: nothing is received, nothing is said ------------------------ */

static void thaw(RemoteIOCore *s, const char *why)
{
    WITH_QEMU_LOCK_GUARD(&s->lock) {
        if (!s->frozen) {
            return;
        }
        trace_remote_io_thaw(s->name, why);
        s->frozen = false;
        if (!s->conn && !s->quiet) {
            s->lost_ns = remote_io_now_ns();
            s->retry_ns = 0;
            s->backoff_ns = 0;
        }
        if (s->conn) {
            remote_io_arm_locked(s);
            remote_io_submit_locked(s);
        }
        remote_io_kick(s);
    }
}

/* Returns: false when somebody still receives, and the device is not frozen */
static bool freeze_locked(RemoteIOCore *s)
{
    int64_t deadline = remote_io_now_ns() + FREEZE_NS;

    s->frozen = true;
    remote_io_arm_locked(s);
    while (s->leader || s->dma.busy) {
        if (remote_io_now_ns() > deadline) {
            s->frozen = false;
            remote_io_arm_locked(s);
            return false;
        }
        qemu_cond_timedwait(&s->idle, &s->lock, LOOK_MS);
    }
    return true;
}

/* BQL; the machine has stopped, the last pages have not gone */
static void freeze(RemoteIOCore *s)
{
    bool frozen;

    WITH_QEMU_LOCK_GUARD(&s->lock) {
        g_clear_pointer(&s->move_error, g_free);
        frozen = freeze_locked(s);
        if (!frozen) {
            s->move_error = g_strdup("the module's access to memory does not "
                                     "end");
        } else if (s->order) {
            s->move_error = g_strdup("it is being attached or detached");
        } else if (!s->quiet && !remote_io_lazy_submit_locked(s)) {
            s->move_error = g_strdup("stores find no room in the log");
        } else if (s->num_waiting) {
            s->move_error = g_strdup_printf("%u accesses of the guest wait "
                                            "for server %s", s->num_waiting,
                                            s->server_text);
        }
        trace_remote_io_freeze(s->name, s->num_waiting);
    }
    remote_io_irq_apply(s);
}

/* The target has it all: not even the end of the session is ours to say */
static void hand_over(RemoteIOCore *s)
{
    WITH_QEMU_LOCK_GUARD(&s->lock) {
        if (s->frozen) {
            remote_io_conn_lost_locked(s, "the machine has migrated");
        }
    }
}

/* ---- what QEMU tells of a migration ------------------------------------- */

/* BQL; a migration or snapshot begins.  Returns: false with *@errp */
static bool check_movable(RemoteIOCore *s, Error **errp)
{
    const char *why = NULL;
    bool running = runstate_is_running();

    WITH_QEMU_LOCK_GUARD(&s->lock) {
        if (s->num_waiting && !running) {
            why = "accesses of the guest wait for it";
        } else if (s->move.active) {
            why = "its module is being moved";
        } else if (s->order) {
            why = "it is being attached or detached";
        } else if (s->state_lost) {
            why = "its server has lost its state: cont or system_reset first";
        } else if (migrate_background_snapshot()) {
            why = "a background snapshot cannot stop its module";
        } else if (s->share.enabled && migrate_postcopy_ram()) {
            why = "its server has memory mapped (share-memory=on), and would "
                  "not wait for pages that come later (postcopy-ram)";
        }
    }
    if (why) {
        error_setg(errp, "remote-io %s: module '%s' of server %s: %s",
                   s->name, s->module, s->server_text, why);
    }
    return !why;
}

static int begin(RemoteIOCore *s, Error **errp)
{
    if (!check_movable(s, errp)) {
        return -EBUSY;
    }
    s->snapshot = !migration_thread_is_self();
    s->saved.valid = true;
    if (s->snapshot && !s->quiet) {
        return remote_io_snapshot_take(s, errp) ? 0 : -EIO;
    }
    WITH_QEMU_LOCK_GUARD(&s->lock) {
        s->migrating = true;
    }
    return 0;
}

static void end(RemoteIOCore *s)
{
    if (s->snapshot) {
        remote_io_snapshot_end(s);
        s->snapshot = false;
    }
    g_clear_pointer(&s->move_error, g_free);    /* the next one may do */
    remote_io_saved_clear(s);
    WITH_QEMU_LOCK_GUARD(&s->lock) {
        s->migrating = false;
    }
}

static int on_precopy(NotifierWithReturn *n, void *data, Error **errp)
{
    RemoteIOCore *s = container_of(n, RemoteIOCore, precopy);
    PrecopyNotifyData *what = data;

    switch (what->reason) {
    case PRECOPY_NOTIFY_SETUP:
        return begin(s, errp);
    case PRECOPY_NOTIFY_COMPLETE:
        freeze(s);
        break;
    case PRECOPY_NOTIFY_CLEANUP:
        end(s);
        break;
    default:
        break;
    }
    return 0;
}

/* A device may not be unplugged while the machine migrates, but now it may */
static void pull_out_at_last(RemoteIOCore *s)
{
    WITH_QEMU_LOCK_GUARD(&s->lock) {
        if (s->failing && s->on_loss == REMOTE_IO_LOSS_POLICY_UNPLUG) {
            remote_io_pull_out_later_locked(s, s->outage_reason);
        }
    }
}

static int on_migration(NotifierWithReturn *n, MigrationEvent *e,
                        Error **errp)
{
    RemoteIOCore *s = container_of(n, RemoteIOCore, migration);

    if (e->type == MIG_EVENT_PRECOPY_DONE) {
        hand_over(s);
    } else if (e->type == MIG_EVENT_PRECOPY_FAILED) {
        thaw(s, "the migration failed");
        pull_out_at_last(s);
    }
    return 0;
}

void remote_io_migrate_start(RemoteIOCore *s)
{
    s->precopy.notify = on_precopy;
    precopy_add_notifier(&s->precopy);
    migration_add_notifier(&s->migration, on_migration);
    s->told_of_migration = true;
}

void remote_io_migrate_stop(RemoteIOCore *s)
{
    if (s->told_of_migration) {
        precopy_remove_notifier(&s->precopy);
        migration_remove_notifier(&s->migration);
        s->told_of_migration = false;
    }
    remote_io_saved_clear(s);
    g_clear_pointer(&s->move_error, g_free);
}

void remote_io_migrate_running(RemoteIOCore *s)
{
    if (s->deferred) {
        error_report("remote-io %s: the machine that migrated had no such "
                     "device, so nothing is attached: unplug it and plug it "
                     "in again", s->name);
        WITH_QEMU_LOCK_GUARD(&s->lock) {
            s->deferred = false;
            s->quiet = true;
            s->frozen = false;
        }
        return;
    }
    thaw(s, "the machine runs");
}

/* ---- the stream --------------------------------------------------------- */

void remote_io_saved_clear(RemoteIOCore *s)
{
    RemoteIOSaved *v = &s->saved;
    int i;

    g_free(v->desc);
    if (v->valid) {
        for (i = 0; i < v->num_recipes; i++) {
            g_free(v->recipes[i].data);
        }
        for (i = 0; i < v->num_owed; i++) {
            g_free(v->owed[i].data);
        }
        g_free(v->recipes);
        g_free(v->owed);
        g_free(v->session);
        g_free(v->state);
    }
    memset(v, 0, sizeof(*v));
}

static void save_session_locked(RemoteIOCore *s)
{
    RemoteIOSaved *v = &s->saved;
    g_autoptr(GByteArray) bytes = rio_session_export(s->session);

    v->session_len = bytes ? bytes->len : 0;
    v->session = bytes ? g_memdup2(bytes->data, bytes->len) : NULL;
    v->caps = s->caps;
    v->max_outstanding = s->max_outstanding;
    v->log_limit = s->log_limit;
    v->next_tag = s->next_tag;
    v->abandoned = s->abandoned;
    v->resets_pending = s->resets_pending;
    v->reset_owed = s->reset_owed;
    v->quiesces = s->quiesces;
    v->go_owed = s->go_owed;
    remote_io_dma_save_locked(s, v);
    remote_io_recipes_save_locked(s, v);
}

static int known_pre_save(void *opaque)
{
    RemoteIOCore *s = opaque;

    g_free(s->saved.desc);
    s->saved.desc = g_memdup2(s->desc_bytes, s->desc_len);
    s->saved.desc_len = s->desc_len;
    return 0;
}

static int core_pre_save(void *opaque)
{
    RemoteIOCore *s = opaque;
    RemoteIOSaved *v = &s->saved;
    unsigned i;

    if (s->move_error) {
        error_report("remote-io %s: cannot migrate now: %s", s->name,
                     s->move_error);
        return -EBUSY;
    }
    QEMU_LOCK_GUARD(&s->lock);
    v->valid = true;
    if (!s->snapshot && !s->frozen) {
        error_report("remote-io %s: cannot be saved in this way", s->name);
        return -EINVAL;
    }
    v->quiet = s->quiet;
    v->snapshot = s->snapshot;
    v->levels = v->applied = 0;
    for (i = 0; i < s->desc.lines; i++) {
        v->levels |= (uint32_t)s->irq.level[i] << i;
        v->applied |= (uint32_t)s->irq.applied[i] << i;
    }
    remote_io_vm_uuid(v->vm_uuid);
    pstrcpy((char *)v->module, sizeof(v->module), s->module);
    pstrcpy((char *)v->server_id, sizeof(v->server_id), s->server_id ?: "");
    if (!s->quiet && !s->snapshot) {
        save_session_locked(s);
    }
    return 0;
}

/* Only what must be there, and not more than anybody needs */
static bool lengths_are_sane(void *opaque, int version_id)
{
    RemoteIOSaved *v = &((RemoteIOCore *)opaque)->saved;

    return v->session_len <= MAX_BLOB && v->state_len <= MAX_BLOB &&
           v->num_recipes >= 0 && v->num_recipes <= RIO_MAX_RECIPES &&
           v->num_owed >= 0 && v->num_owed <= RIO_MAX_DMA_PENDING;
}

static bool desc_length_is_sane(void *opaque, int version_id)
{
    RemoteIOCore *s = opaque;

    return s->saved.desc_len && s->saved.desc_len <= RIO_MAX_DESCRIPTION;
}

/* What an earlier stream left that ended in the middle is not to be trusted */
static int known_pre_load(void *opaque)
{
    RemoteIOCore *s = opaque;

    remote_io_saved_clear(s);
    return 0;
}

static int known_post_load(void *opaque, int version_id)
{
    RemoteIOCore *s = opaque;
    RioBytes bytes = { s->saved.desc, s->saved.desc_len };
    g_autofree RioDescription *d = g_new(RioDescription, 1);
    g_autofree char *difference = NULL;
    Error *err = NULL;
    RioError why;

    if (s->deferred) {
        if (!remote_io_build(s, g_memdup2(bytes.data, bytes.len), bytes.len,
                             &err)) {
            error_reportf_err(err, "remote-io %s: ", s->name);
            return -EINVAL;
        }
        return 0;
    }
    if (!rio_description_decode(bytes, d, &why)) {
        error_report("remote-io %s: saved description: %s", s->name,
                     why.text);
        return -EINVAL;
    }
    difference = remote_io_difference(&s->desc, d);
    if (difference) {
        error_report("remote-io %s: module '%s' of server %s is not the "
                     "device that was saved: there, %s", s->name, s->module,
                     s->server_text, difference);
        return -EINVAL;
    }
    return 0;
}

static bool load_session_locked(RemoteIOCore *s, Error **errp)
{
    RemoteIOSaved *v = &s->saved;
    RioBytes bytes = { v->session, v->session_len };
    RioError err;

    rio_session_free(s->session);
    s->session = rio_session_import(bytes, RIO_SIDE_CLIENT, &err);
    if (!s->session) {
        error_setg(errp, "saved session: %s", err.text);
        return false;
    }
    s->epoch = rio_session_epoch(s->session);
    s->caps = v->caps;
    s->max_outstanding = MAX(v->max_outstanding, 1);
    s->log_limit = MIN(v->log_limit, RIO_MAX_LOG);
    s->next_tag = v->next_tag;
    s->abandoned = v->abandoned;
    s->resets_pending = v->resets_pending;
    s->reset_owed = v->reset_owed;
    s->quiesces = v->quiesces;
    s->go_owed = v->go_owed;
    return remote_io_dma_load_locked(s, v, errp) &&
           remote_io_recipes_load_locked(s, v, errp);
}

/* The place may have changed since the source was started */
static bool load_place(RemoteIOCore *s, Error **errp)
{
    RemoteIOSaved *v = &s->saved;

    v->module[sizeof(v->module) - 1] = '\0';
    v->server_id[sizeof(v->server_id) - 1] = '\0';
    g_free(s->module);
    g_free(s->server_id);
    s->module = g_strdup((char *)v->module);
    s->server_id = g_strdup((char *)v->server_id);
    return remote_io_check_properties(s, errp);
}

static bool load_live(RemoteIOCore *s, Error **errp)
{
    RemoteIOSaved *v = &s->saved;
    unsigned i;

    if (!s->deferred) {
        error_setg(errp, "a machine that migrates must be received by one "
                   "that was started with -incoming");
        return false;
    }
    if (!load_place(s, errp)) {
        return false;
    }
    remote_io_set_vm_uuid(v->vm_uuid);
    QEMU_LOCK_GUARD(&s->lock);
    s->quiet = v->quiet;
    if (!s->quiet && !load_session_locked(s, errp)) {
        return false;
    }
    for (i = 0; i < s->desc.lines; i++) {
        s->irq.level[i] = v->levels & (1u << i);
        s->irq.applied[i] = v->applied & (1u << i);
    }
    s->deferred = false;
    return true;
}

static bool load_snapshot(RemoteIOCore *s, Error **errp)
{
    RemoteIOSaved *v = &s->saved;
    unsigned i;

    if (s->deferred) {
        error_setg(errp, "a snapshot is loaded with loadvm, not as a machine "
                   "that migrates");
        return false;
    }
    if (s->quiet && v->quiet) {
        return true;
    }
    if (s->quiet || v->quiet) {
        error_setg(errp, "the device is %s now, and was %s when it was saved",
                   s->quiet ? "detached" : "attached",
                   v->quiet ? "detached" : "attached");
        return false;
    }
    for (i = 0; i < s->desc.lines; i++) {
        s->irq.applied[i] = v->applied & (1u << i);
    }
    return remote_io_snapshot_put(s, v->state, v->state_len, errp);
}

static int core_post_load(void *opaque, int version_id)
{
    RemoteIOCore *s = opaque;
    Error *err = NULL;
    bool ok;

    s->saved.valid = true;
    ok = s->saved.snapshot ? load_snapshot(s, &err) : load_live(s, &err);
    remote_io_saved_clear(s);
    if (!ok) {
        error_reportf_err(err, "remote-io %s: ", s->name);
        return -EINVAL;
    }
    trace_remote_io_loaded(s->name, s->epoch);
    return 0;
}

const VMStateDescription vmstate_remote_io_known = {
    .name = "remote-io/known",
    .version_id = 1,
    .minimum_version_id = 1,
    .pre_save = known_pre_save,
    .pre_load = known_pre_load,
    .post_load = known_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(saved.desc_len, RemoteIOCore),
        VMSTATE_VALIDATE("length of the description", desc_length_is_sane),
        VMSTATE_VBUFFER_ALLOC_UINT32(saved.desc, RemoteIOCore, 1, NULL,
                                     saved.desc_len),
        VMSTATE_END_OF_LIST()
    },
};

static bool recipe_length_is_sane(void *opaque, int version_id)
{
    return ((RemoteIOSavedRecipe *)opaque)->len <= RIO_MAX_MESSAGE;
}

static const VMStateDescription vmstate_recipe = {
    .name = "remote-io/recipe",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(len, RemoteIOSavedRecipe),
        VMSTATE_VALIDATE("length of a recipe", recipe_length_is_sane),
        VMSTATE_VBUFFER_ALLOC_UINT32(data, RemoteIOSavedRecipe, 1, NULL,
                                     len),
        VMSTATE_END_OF_LIST()
    },
};

static bool owed_length_is_sane(void *opaque, int version_id)
{
    return ((RemoteIOSavedOwed *)opaque)->len <= RIO_MAX_DMA;
}

static const VMStateDescription vmstate_owed = {
    .name = "remote-io/owed",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT8(op, RemoteIOSavedOwed),
        VMSTATE_UINT8(status, RemoteIOSavedOwed),
        VMSTATE_UINT32(tag, RemoteIOSavedOwed),
        VMSTATE_UINT32(len, RemoteIOSavedOwed),
        VMSTATE_UINT32(done, RemoteIOSavedOwed),
        VMSTATE_UINT64(refused_at, RemoteIOSavedOwed),
        VMSTATE_UINT32(refused_len, RemoteIOSavedOwed),
        VMSTATE_VALIDATE("length of a reply", owed_length_is_sane),
        VMSTATE_VBUFFER_ALLOC_UINT32(data, RemoteIOSavedOwed, 1, NULL, len),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_failed_write = {
    .name = "remote-io/failed-write",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_BOOL(used, RemoteIOFailedWrite),
        VMSTATE_UINT32(tag, RemoteIOFailedWrite),
        VMSTATE_UINT64(at.address, RemoteIOFailedWrite),
        VMSTATE_UINT32(at.length, RemoteIOFailedWrite),
        VMSTATE_END_OF_LIST()
    },
};

const VMStateDescription vmstate_remote_io_core = {
    .name = "remote-io/core",
    .version_id = 1,
    .minimum_version_id = 1,
    .pre_save = core_pre_save,
    .post_load = core_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_BOOL(saved.quiet, RemoteIOCore),
        VMSTATE_BOOL(saved.snapshot, RemoteIOCore),
        VMSTATE_UINT32(saved.levels, RemoteIOCore),
        VMSTATE_UINT32(saved.applied, RemoteIOCore),
        VMSTATE_BUFFER(saved.vm_uuid, RemoteIOCore),
        VMSTATE_BUFFER(saved.module, RemoteIOCore),
        VMSTATE_BUFFER(saved.server_id, RemoteIOCore),
        VMSTATE_UINT64(saved.caps, RemoteIOCore),
        VMSTATE_UINT32(saved.max_outstanding, RemoteIOCore),
        VMSTATE_UINT32(saved.log_limit, RemoteIOCore),
        VMSTATE_UINT32(saved.next_tag, RemoteIOCore),
        VMSTATE_UINT64(saved.abandoned, RemoteIOCore),
        VMSTATE_UINT32(saved.resets_pending, RemoteIOCore),
        VMSTATE_BOOL(saved.reset_owed, RemoteIOCore),
        VMSTATE_UINT32(saved.quiesces, RemoteIOCore),
        VMSTATE_BOOL(saved.go_owed, RemoteIOCore),
        VMSTATE_STRUCT_ARRAY(dma.failed, RemoteIOCore,
                             REMOTE_IO_FAILED_WRITES, 1,
                             vmstate_failed_write, RemoteIOFailedWrite),
        VMSTATE_UINT32(saved.session_len, RemoteIOCore),
        VMSTATE_UINT32(saved.state_len, RemoteIOCore),
        VMSTATE_INT32(saved.num_recipes, RemoteIOCore),
        VMSTATE_INT32(saved.num_owed, RemoteIOCore),
        VMSTATE_VALIDATE("lengths", lengths_are_sane),
        VMSTATE_VBUFFER_ALLOC_UINT32(saved.session, RemoteIOCore, 1, NULL,
                                     saved.session_len),
        VMSTATE_VBUFFER_ALLOC_UINT32(saved.state, RemoteIOCore, 1, NULL,
                                     saved.state_len),
        VMSTATE_STRUCT_VARRAY_ALLOC(saved.recipes, RemoteIOCore,
                                    saved.num_recipes, 1, vmstate_recipe,
                                    RemoteIOSavedRecipe),
        VMSTATE_STRUCT_VARRAY_ALLOC(saved.owed, RemoteIOCore,
                                    saved.num_owed, 1, vmstate_owed,
                                    RemoteIOSavedOwed),
        VMSTATE_END_OF_LIST()
    },
};
