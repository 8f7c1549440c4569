/*
 * remote-io-server: what survives the process
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "crypto/random.h"
#include "internal.h"
#include "trace.h"

/* Of an instance's area, in front of the head of its state */
typedef struct JournalIdentity {
    uint32_t number;            /* the module id on the wire */
    uint32_t state_max;
} JournalIdentity;

/* The journal of an instance; home only */
struct RiodJournal {
    RiodInstance *inst;
    RiodArea *area;
    uint64_t set;
    uint64_t word;              /* of the last commit */
    uint32_t record_max;
    bool state_touched;
    bool renew;                 /* the area is of another version */
    bool queued;                /* in home->journals */
    QSIMPLEQ_HEAD(, RiodKept) touched;
    QSIMPLEQ_ENTRY(RiodJournal) next;
};

static RiodStore *store;        /* NULL = no --journal */
static bool durable;
static bool started;            /* commits are made; atomic */
static GPtrArray *left;         /* names of instances nobody took over */

/* --- the folder --- */

bool riod_journal_in_use(void)
{
    return store;
}

bool riod_journal_keeps(const RioModule *type)
{
    return store && type->restart == RIO_MODULE_JOURNALED &&
           riod_registry_state(type);
}

/* Numbers that kept sessions know modules by are not given to others */
static void note_area(const char *name)
{
    RiodArea *area = riod_area_load(store, name, NULL);
    const JournalIdentity *id;
    uint32_t len;

    if (area) {
        id = (const JournalIdentity *)riod_area_identity(area, &len);
        if (len >= sizeof(*id)) {
            riod_instance_reserve(id->number);
        }
        riod_area_free(area);
    }
    g_ptr_array_add(left, g_strdup(name));
}

bool riod_journal_use(const char *path, bool on_disk, Error **errp)
{
    g_auto(GStrv) names = NULL;

    if (store) {
        error_setg(errp, "there is a journal already, '%s'",
                   riod_store_path(store));
        return false;
    }
    if (riod_instances_exist()) {
        error_setg(errp, "the journal must come before the modules: put "
                   "--journal before --module");
        return false;
    }
    store = riod_store_open(path, on_disk, errp);
    if (!store) {
        return false;
    }
    durable = on_disk;
    left = g_ptr_array_new_with_free_func(g_free);
    names = riod_store_list(store);
    for (char **name = names; *name; name++) {
        if (!strchr(*name, '@')) {
            note_area(*name);
        }
    }
    return true;
}

static void note_instance(RiodInstance *inst, void *opaque)
{
    g_ptr_array_add(opaque, inst);
}

static void call_each(void (*fn)(void *))
{
    g_autoptr(GPtrArray) all = g_ptr_array_new();

    riod_tables_lock();
    riod_instances_foreach_locked(note_instance, all);
    riod_tables_unlock();
    for (guint i = 0; i < all->len; i++) {
        RiodInstance *inst = g_ptr_array_index(all, i);

        riod_home_call(inst->home, fn, inst);
    }
}

static void start_in_home(void *opaque)
{
    riod_journal_touch(opaque);
}

void riod_journal_start(void)
{
    qatomic_set(&started, true);
    call_each(start_in_home);
    for (guint i = 0; left && i < left->len; i++) {
        const char *name = g_ptr_array_index(left, i);

        riod_log("the journal in '%s' has a module '%s', which is not here: "
                 "its clients are refused until it is added",
                 riod_store_path(store), name);
    }
}

static void taken_over(const char *name)
{
    guint i;

    if (g_ptr_array_find_with_equal_func(left, name, g_str_equal, &i)) {
        g_ptr_array_remove_index(left, i);
    }
}

/* All sessions of @inst that the folder has; for g_strfreev() */
static char **session_names(const RiodInstance *inst)
{
    g_autofree char *prefix = g_strconcat(inst->id, "@", NULL);
    g_auto(GStrv) all = riod_store_list(store);
    GPtrArray *names = g_ptr_array_new();

    for (char **name = all; *name; name++) {
        if (g_str_has_prefix(*name, prefix)) {
            g_ptr_array_add(names, g_strdup(*name));
        }
    }
    g_ptr_array_add(names, NULL);
    return (char **)g_ptr_array_free(names, false);
}

static void remove_areas(const RiodInstance *inst)
{
    g_auto(GStrv) names = session_names(inst);

    for (char **name = names; *name; name++) {
        riod_store_remove(store, *name);
    }
    riod_store_remove(store, inst->id);
}

/* --- what is to be committed --- */

static void journal_queue(RiodJournal *j)
{
    RiodHome *home = j->inst->home;

    if (!j->queued) {
        j->queued = true;
        QSIMPLEQ_INSERT_TAIL(&home->journals, j, next);
        riod_home_stir(home);
    }
}

void riod_journal_touched(RiodInstance *inst)
{
    inst->journal->state_touched = true;
    journal_queue(inst->journal);
}

static void kept_touched(RiodJournal *j, RiodKept *kept)
{
    if (!kept->touched) {
        kept->touched = true;
        QSIMPLEQ_INSERT_TAIL(&j->touched, kept, next);
    }
    journal_queue(j);
}

void riod_journal_touched_session(RiodSession *s)
{
    kept_touched(s->inst->journal, s->kept);
}

/* Is nothing changed by a load of @m? */
static bool is_pure(const RiodInstance *inst, const RioMessage *m)
{
    unsigned region = MIN(m->read.region, RIO_MAX_REGIONS - 1);

    for (unsigned i = inst->first_range[region];
         i < inst->first_range[region + 1]; i++) {
        const RioRange *r = &inst->desc.ranges[i];

        if (m->read.offset >= r->offset &&
            m->read.offset - r->offset < r->length) {
            return r->attrs & RIO_RANGE_PURE &&
                   m->read.size <= r->length - (m->read.offset - r->offset);
        }
    }
    return false;
}

void riod_journal_message(RiodSession *s, const RioMessage *m)
{
    if (likely(!s->kept)) {
        return;
    }
    riod_journal_touched_session(s);
    if (m->op != RIO_OP_REGION_READ || !is_pure(s->inst, m)) {
        s->inst->journal->state_touched = true;
    }
}

/* --- a commit --- */

static bool journal_create(RiodJournal *j, Error **errp);

static void journal_free(RiodJournal *j)
{
    if (j->queued) {
        QSIMPLEQ_REMOVE(&j->inst->home->journals, j, RiodJournal, next);
    }
    riod_chars_follow(j->inst, NULL, 0);
    riod_area_free(j->area);
    g_free(j);
}

static void kept_forget(RiodKept *kept)
{
    RiodSession *s = kept->session;

    if (s) {
        s->kept = NULL;
        WITH_QEMU_LOCK_GUARD(&s->conn->lock) {
            s->fenced = false;
            rio_session_unfence(s->rio);
            riod_connection_send_locked(s->conn);
        }
    }
    riod_kept_free(store, kept, true);
}

/* It goes on as if it had never had a journal */
static void journal_give_up(RiodJournal *j, const char *why)
{
    RiodInstance *inst = j->inst;
    RiodKept *kept;

    riod_log("%s: error: its journal in '%s' ends: %s; its state is lost if "
             "the server crashes", inst->id, riod_store_path(store), why);
    while ((kept = QSIMPLEQ_FIRST(&j->touched))) {
        QSIMPLEQ_REMOVE_HEAD(&j->touched, next);
        kept->touched = false;
        if (!kept->session) {
            kept_forget(kept);
        }
    }
    for (unsigned i = 0; i < inst->max_clients; i++) {
        if (inst->clients[i] && inst->clients[i]->kept) {
            kept_forget(inst->clients[i]->kept);
        }
    }
    riod_store_remove(store, inst->id);
    inst->journal = NULL;
    journal_free(j);
    riod_chars_commit(inst);
}

/* Bytes that a record may have */
static uint32_t record_max(const RiodInstance *inst)
{
    return riod_state_max(inst) + RIOD_AREA_LIVE * sizeof(uint64_t);
}

/* The state, and behind it what chardevs had taken then.  0 = it cannot be */
static size_t record_write(RiodInstance *inst, uint8_t *to)
{
    size_t len = riod_state_save_into(inst, to, riod_state_max(inst));
    uint64_t saved[RIOD_AREA_LIVE];
    size_t more = riod_chars_saved(inst, saved, RIOD_AREA_LIVE) *
                  sizeof(saved[0]);

    memcpy(to + len, saved, more);
    return len ? len + more : 0;
}

static bool write_state(RiodJournal *j, uint64_t word)
{
    uint8_t *at = riod_area_begin(j->area, word, j->record_max);
    size_t len = at ? record_write(j->inst, at) : 0;

    if (!len) {
        return false;
    }
    riod_area_end(j->area, len);
    j->state_touched = false;
    return !durable || riod_area_sync(j->area);
}

static bool write_session(RiodKept *kept, uint64_t word)
{
    bool ok;

    if (kept->session) {
        QEMU_LOCK_GUARD(&kept->session->conn->lock);
        ok = riod_kept_write(kept, word);
    } else {
        ok = riod_kept_write(kept, word);
    }
    return ok && (!durable || riod_area_sync(kept->area));
}

/* The client may know of it now */
static void let_go(RiodKept *kept)
{
    RiodSession *s = kept->session;

    kept->touched = false;
    if (!s) {
        riod_kept_free(store, kept, true);
        return;
    }
    riod_kept_tidy(kept);
    WITH_QEMU_LOCK_GUARD(&s->conn->lock) {
        rio_session_commit(s->rio);
        riod_connection_send_locked(s->conn);
    }
}

static void journal_commit(RiodJournal *j)
{
    RiodInstance *inst = j->inst;
    uint64_t word;
    Error *err = NULL;
    bool state = j->state_touched;
    RiodKept *kept;

    if (unlikely(!qatomic_read(&started))) {
        return;
    }
    if (j->renew && !journal_create(j, &err)) {
        journal_give_up(j, error_get_pretty(err));
        error_free(err);
        return;
    }
    j->renew = false;
    word = j->word + 1;
    if (state && !write_state(j, word)) {
        journal_give_up(j, "there is no room for its state");
        return;
    }
    QSIMPLEQ_FOREACH(kept, &j->touched, next) {
        if (!write_session(kept, word)) {
            journal_give_up(j, "there is no room for its messages");
            return;
        }
    }
    if (!riod_area_publish(j->area, word)) {
        journal_give_up(j, "the disk failed");
        return;
    }
    j->word = word;
    while ((kept = QSIMPLEQ_FIRST(&j->touched))) {
        QSIMPLEQ_REMOVE_HEAD(&j->touched, next);
        let_go(kept);
    }
    if (state) {
        riod_chars_commit(inst);
    }
}

void riod_journal_commit(RiodHome *home)
{
    RiodJournal *j;

    while ((j = QSIMPLEQ_FIRST(&home->journals))) {
        QSIMPLEQ_REMOVE_HEAD(&home->journals, next);
        j->queued = false;
        journal_commit(j);
    }
}

/* --- sessions come and go --- */

void riod_journal_add(RiodSession *s)
{
    RiodJournal *j;
    Error *err = NULL;

    /* One that had its place, and has just ended, goes first */
    riod_journal_commit(s->inst->home);
    j = s->inst->journal;
    if (!j) {
        return;
    }
    s->kept = riod_kept_new(store, s, j->set, &err);
    if (!s->kept) {
        journal_give_up(j, error_get_pretty(err));
        error_free(err);
        return;
    }
    WITH_QEMU_LOCK_GUARD(&s->conn->lock) {
        s->fenced = true;
        rio_session_fence(s->rio);
    }
    riod_journal_touched_session(s);
    j->state_touched = true;
}

void riod_journal_remove(RiodSession *s)
{
    RiodKept *kept = s->kept;

    if (kept) {
        riod_journal_touched_session(s);
        s->inst->journal->state_touched = true;
        s->kept = NULL;
        kept->session = NULL;
    }
}

/* --- an instance comes and goes --- */

/* Its identity, as bytes */
static GByteArray *make_identity(const RiodInstance *inst)
{
    RioBytes head = riod_state_head(inst);
    JournalIdentity id = {
        .number = inst->number,
        .state_max = riod_state_max(inst),
    };
    GByteArray *bytes = g_byte_array_new();

    g_byte_array_append(bytes, (const uint8_t *)&id, sizeof(id));
    g_byte_array_append(bytes, head.data, head.len);
    return bytes;
}

/*
 * A new area, with what @inst is now.  It goes on with the commits where
 * @j->word ended, so that a set keeps its sessions.
 */
static bool journal_create(RiodJournal *j, Error **errp)
{
    RiodInstance *inst = j->inst;
    g_autoptr(GByteArray) identity = make_identity(inst);
    g_autofree uint8_t *state = NULL;
    RiodAreaConfig config = {
        .set = j->set,
        .identity = identity->data,
        .identity_len = identity->len,
        .word = j->word + 1,
    };

    j->record_max = record_max(inst);
    config.slot = j->record_max;
    config.record = state = g_malloc(j->record_max);
    config.record_len = record_write(inst, state);
    if (!config.record_len || config.identity_len > RIOD_AREA_IDENTITY) {
        error_setg(errp, "module '%s' cannot be kept in a journal: its state "
                   "is not valid", inst->id);
        return false;
    }
    riod_chars_follow(inst, NULL, 0);
    riod_area_free(j->area);
    j->area = riod_area_new(store, inst->id, &config, errp);
    j->word++;
    if (j->area) {
        riod_chars_follow(inst, riod_area_live(j->area), RIOD_AREA_LIVE);
    }
    return j->area;
}

static bool journal_begin(RiodJournal *j, Error **errp)
{
    remove_areas(j->inst);
    j->word = 0;
    return qcrypto_random_bytes(&j->set, sizeof(j->set), errp) == 0 &&
           journal_create(j, errp);
}

/* Sessions must be there before the state, which speaks of them */
static bool load_sessions(RiodJournal *j, uint64_t word, unsigned *n,
                          Error **errp)
{
    g_auto(GStrv) names = session_names(j->inst);
    RiodKept *kept;

    for (char **name = names; *name; name++) {
        if (!riod_kept_load(store, j->inst, *name, j->set, word, &kept,
                            errp)) {
            return false;
        }
        *n += kept != NULL;
    }
    return true;
}

static bool load_state(RiodJournal *j, RioBytes head, RioBytes rest,
                       Error **errp)
{
    uint64_t *live = riod_area_live(j->area);
    uint64_t saved[RIOD_AREA_LIVE];
    unsigned n = riod_chars_saved(j->inst, saved, RIOD_AREA_LIVE);
    bool ok;

    if (rest.len < n * sizeof(saved[0])) {
        error_setg(errp, "its record is too short");
        return false;
    }
    rest.len -= n * sizeof(saved[0]);
    memcpy(saved, rest.data + rest.len, n * sizeof(saved[0]));
    riod_instance_begin_stopped(j->inst);
    ok = riod_state_load_parts(j->inst, head, rest, RIOD_STATE_SAME_SESSIONS,
                               errp);
    if (ok) {
        riod_chars_skip(j->inst, saved, live, n);
        riod_chars_follow(j->inst, live, RIOD_AREA_LIVE);
    }
    riod_instance_go(j->inst, 0);
    return ok;
}

/* Returns: false when there is nothing to go on from, or with *@errp */
static bool journal_load(RiodJournal *j, Error **errp)
{
    const JournalIdentity *id;
    const uint8_t *state;
    unsigned sessions = 0;
    uint32_t len, id_len;
    RioBytes head;

    j->area = riod_area_load(store, j->inst->id, errp);
    if (!j->area || !riod_area_word(j->area, &j->word, errp) ||
        !riod_area_record(j->area, j->word, &state, &len, errp)) {
        return false;
    }
    id = (const JournalIdentity *)riod_area_identity(j->area, &id_len);
    if (!state) {
        return false;
    }
    if (id_len < sizeof(*id)) {
        error_setg(errp, "it is of another server");
        return false;
    }
    j->set = riod_area_set(j->area);
    j->inst->number = id->number;
    head = (RioBytes) { (const uint8_t *)(id + 1), id_len - sizeof(*id) };
    if (!load_sessions(j, j->word, &sessions, errp) ||
        !load_state(j, head, (RioBytes) { state, len }, errp)) {
        return false;
    }
    riod_log("%s: goes on from the journal in '%s', with %u client%s",
             j->inst->id, riod_store_path(store), sessions,
             sessions == 1 ? "" : "s");
    return true;
}

/* What was made of a journal that turned out to be bad */
static void end_sessions(RiodInstance *inst)
{
    for (unsigned i = 0; i < inst->max_clients; i++) {
        RiodSession *s = inst->clients[i];

        if (s) {
            riod_kept_free(store, s->kept, true);
            s->kept = NULL;
            riod_session_end(s, RIO_STATUS_OK, NULL);
        }
    }
}

/*
 * The state may have been written by another version, in another form: with
 * the first commit it is written by this one.
 */
static void journal_renew(RiodJournal *j)
{
    g_autoptr(GByteArray) now = make_identity(j->inst);
    uint32_t len;
    const uint8_t *was = riod_area_identity(j->area, &len);

    j->record_max = record_max(j->inst);
    j->renew = len != now->len || memcmp(was, now->data, len);
}

/* It is for the program before to go on from it */
static void journal_abandon(RiodJournal *j)
{
    RiodInstance *inst = j->inst;

    inst->journal = j;
    riod_journal_release(inst);
}

bool riod_journal_open(RiodInstance *inst, Error **errp)
{
    RiodJournal *j;
    Error *err = NULL;
    uint32_t number = inst->number;

    if (!riod_journal_keeps(inst->type)) {
        return true;
    }
    j = g_new0(RiodJournal, 1);
    j->inst = inst;
    QSIMPLEQ_INIT(&j->touched);
    if (g_ptr_array_find_with_equal_func(left, inst->id, g_str_equal, NULL)) {
        taken_over(inst->id);
        if (journal_load(j, &err)) {
            journal_renew(j);
            inst->journal = j;
            riod_journal_touched(inst);
            return true;
        }
        if (err && riod_upgrade_pending()) {
            error_propagate_prepend(errp, err, "its journal: ");
            journal_abandon(j);
            return false;
        }
        if (err) {
            riod_log("%s: its journal in '%s' cannot be used, it begins "
                     "anew: %s", inst->id, riod_store_path(store),
                     error_get_pretty(err));
            error_free(err);
        }
        end_sessions(inst);
        inst->number = number;
    }
    if (!journal_begin(j, errp)) {
        journal_free(j);
        return false;
    }
    inst->journal = j;
    return true;
}

void riod_journal_drop(RiodInstance *inst)
{
    RiodJournal *j = inst->journal;
    RiodKept *kept;

    if (!j) {
        return;
    }
    while ((kept = QSIMPLEQ_FIRST(&j->touched))) {
        QSIMPLEQ_REMOVE_HEAD(&j->touched, next);
        riod_kept_free(store, kept, true);
    }
    inst->journal = NULL;
    remove_areas(inst);
    journal_free(j);
}

/* What is in the folder stays as the last commit left it */
void riod_journal_release(RiodInstance *inst)
{
    for (unsigned i = 0; inst->journal && i < inst->max_clients; i++) {
        RiodSession *s = inst->clients[i];

        if (s && s->kept) {
            riod_kept_free(store, s->kept, false);
            s->kept = NULL;
        }
    }
    if (inst->journal) {
        journal_free(inst->journal);
        inst->journal = NULL;
    }
}

/* --- the end of the process --- */

static void leave_in_home(void *opaque)
{
    RiodInstance *inst = opaque;

    riod_home_flush(inst->home);
    riod_journal_release(inst);
}

void riod_journal_leave(void)
{
    call_each(leave_in_home);
    riod_store_close(store);
    store = NULL;
}
