/*
 * remote-io-server: sessions in the journal
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A session's area has its identity, a record of its numbers, and a copy of
 * its log.  A commit appends what is new in the log and says in the record
 * where the log begins and ends.  When the end of a window is reached, the
 * log, of which the peer has most by then, is written again at the start.
 * What was committed last is never written over.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "internal.h"

/* The part of an area's log that is used as long as little waits in it */
#define WINDOW      (64u * 1024)

/* Commits with little in the log until memory is given back */
#define SMALL_ROUNDS 1024u

/* What a commit writes */
typedef struct KeptRecord {
    uint32_t ended;             /* the session is no more */
    uint32_t epoch;
    uint64_t sent;
    uint64_t acked;
    uint64_t received;
    uint64_t from;              /* the log: messages acked + 1 to sent */
    uint64_t to;
} KeptRecord;

/*
 * Three logs fit: the one that was committed, that which takes its place,
 * and a message over the limit.  A message has a head of 48 bytes, so what an
 * area adds to it is at most a third.
 */
static uint64_t log_size(uint32_t log_limit)
{
    return 4 * ((uint64_t)log_limit + RIO_MAX_MESSAGE);
}

/* --- writing --- */

static RiodKeptIdentity identity_of(const RiodSession *s)
{
    RiodKeptIdentity id;

    memset(&id, 0, sizeof(id));
    id.ids = s->ids;
    id.slot = s->slot;
    id.log_limit = s->log_limit;
    id.max_message = s->max_message;
    id.caps = s->caps;
    memcpy(id.token, rio_session_token(s->rio), RIO_TOKEN_SIZE);
    memcpy(id.client_uuid, s->client->uuid, RIO_UUID_SIZE);
    memcpy(id.vm_uuid, s->vm->uuid, RIO_UUID_SIZE);
    pstrcpy(id.client, sizeof(id.client), s->client->name);
    pstrcpy(id.vm, sizeof(id.vm), s->vm->name);
    pstrcpy(id.device, sizeof(id.device), s->device);
    return id;
}

RiodKept *riod_kept_new(RiodStore *store, RiodSession *s, uint64_t set,
                        Error **errp)
{
    g_autofree char *name = g_strdup_printf("%s@%u", s->inst->id, s->slot);
    RiodKeptIdentity id = identity_of(s);
    const RiodAreaConfig config = {
        .set = set,
        .slot = sizeof(KeptRecord),
        .log = log_size(s->log_limit),
        .identity = &id,
        .identity_len = sizeof(id),
    };
    RiodArea *area = riod_area_new(store, name, &config, errp);
    RiodKept *kept;

    if (!area) {
        return NULL;
    }
    kept = g_new0(RiodKept, 1);
    kept->session = s;
    kept->name = g_steal_pointer(&name);
    kept->area = area;
    return kept;
}

/* The peer has what is gone from the log */
static void forget_acked(RiodKept *kept, uint64_t acked)
{
    if (acked >= kept->sent) {
        kept->from = kept->to;
        kept->acked = kept->sent;
    }
    while (kept->acked < acked) {
        kept->from = riod_area_skip(kept->area, kept->from);
        kept->acked++;
    }
}

static uint64_t cost_of(RioBytes messages)
{
    uint64_t cost = 0;

    for (uint32_t at = 0; at < messages.len;
         at += rio_encoded_length(messages.data + at)) {
        cost += riod_area_log_cost(rio_encoded_length(messages.data + at));
    }
    return cost;
}

/* Returns: where they end in the area's log, 0 when there is no room */
static uint64_t put_messages(RiodKept *kept, uint64_t to, RioBytes messages)
{
    uint32_t len;

    for (uint32_t at = 0; at < messages.len; at += len) {
        len = rio_encoded_length(messages.data + at);
        to = riod_area_put(kept->area, to, messages.data + at, len);
        if (!to) {
            return 0;
        }
    }
    return to;
}

/* Bring the area's log to what @image has */
static bool write_log(RiodKept *kept, const RioSessionImage *image)
{
    RioBytes fresh = { image->log.data + image->log.len - image->fresh,
                       image->fresh };
    uint64_t committed = kept->from;
    uint64_t window = MAX(WINDOW, 2 * (uint64_t)image->log.len);
    uint64_t all, to;

    forget_acked(kept, image->acked);
    if (!fresh.len) {
        return true;
    }
    if (kept->to + cost_of(fresh) > window) {
        all = cost_of(image->log);
        if (all <= committed) {
            to = put_messages(kept, 0, image->log);
            kept->from = 0;
            kept->to = to;
            return to;
        }
    }
    to = put_messages(kept, kept->to, fresh);
    kept->to = to;
    return to;
}

bool riod_kept_write(RiodKept *kept, uint64_t word)
{
    KeptRecord *record;
    RioSessionImage image;

    record = (KeptRecord *)riod_area_begin(kept->area, word,
                                           sizeof(*record));
    if (!record) {
        return false;
    }
    if (!kept->session) {
        *record = (KeptRecord) { .ended = true };
    } else {
        rio_session_image(kept->session->rio, &image);
        if (!write_log(kept, &image)) {
            return false;
        }
        kept->sent = image.sent;
        *record = (KeptRecord) {
            .epoch = image.epoch,
            .sent = image.sent,
            .acked = kept->acked,
            .received = image.received,
            .from = kept->from,
            .to = kept->to,
        };
    }
    riod_area_end(kept->area, sizeof(*record));
    return true;
}

void riod_kept_tidy(RiodKept *kept)
{
    kept->small_rounds = kept->to <= WINDOW ? kept->small_rounds + 1 : 0;
    if (kept->small_rounds == SMALL_ROUNDS) {
        riod_area_trim(kept->area, WINDOW);
    }
}

void riod_kept_free(RiodStore *store, RiodKept *kept, bool forget)
{
    if (!kept) {
        return;
    }
    riod_area_free(kept->area);
    if (forget) {
        riod_store_remove(store, kept->name);
    }
    g_free(kept->name);
    g_free(kept);
}

/* --- loading --- */

static bool bad(const char *name, const char *why, Error **errp)
{
    error_setg(errp, "session '%s': %s", name, why);
    return false;
}

static bool string_ends(const RioString text)
{
    return memchr(text, 0, sizeof(RioString)) != NULL;
}

static const RiodKeptIdentity *get_identity(const RiodArea *area,
                                            const RiodInstance *inst,
                                            const char *name, Error **errp)
{
    uint32_t len;
    const RiodKeptIdentity *id =
        (const RiodKeptIdentity *)riod_area_identity(area, &len);
    g_autofree char *expected = NULL;

    if (len != sizeof(*id) || !string_ends(id->client) ||
        !string_ends(id->vm) || !string_ends(id->device) ||
        id->log_limit < RIO_MIN_LOG || id->log_limit > RIO_MAX_LOG ||
        id->slot >= inst->max_clients || inst->clients[id->slot] ||
        riod_area_log_size(area) < log_size(id->log_limit)) {
        bad(name, "it is of another server", errp);
        return NULL;
    }
    expected = g_strdup_printf("%s@%u", inst->id, id->slot);
    if (!g_str_equal(expected, name)) {
        bad(name, "it has another name", errp);
        return NULL;
    }
    return id;
}

/*
 * The messages in one piece, as they would be after a resume: with which ids
 * and epoch they went out last is not known.
 */
static bool get_log(RiodKept *kept, const RioIds *ids,
                    const KeptRecord *record, GByteArray *log)
{
    uint64_t at = record->from;
    const uint8_t *message;
    uint8_t *copy;
    uint32_t len;

    while (at != record->to) {
        if (!riod_area_get(kept->area, &at, record->to, &message, &len) ||
            len < RIO_HEADER_SIZE ||
            log->len + (uint64_t)len > RIO_MAX_LOG + RIO_MAX_MESSAGE) {
            return false;
        }
        g_byte_array_append(log, message, len);
        copy = log->data + log->len - len;
        rio_restamp(copy, record->epoch, record->received);
        rio_relabel(copy, ids, 0);
    }
    return true;
}

static RioSession *get_session(RiodKept *kept, const RiodKeptIdentity *id,
                               const KeptRecord *record, RioError *err)
{
    RioSessionRecord head = {
        .server_side = true,
        .ids = id->ids,
        .epoch = record->epoch,
        .log_limit = id->log_limit,
        .sent = record->sent,
        .acked = record->acked,
        .received = record->received,
    };
    g_autoptr(GByteArray) log = g_byte_array_new();
    g_autoptr(GByteArray) bytes = g_byte_array_new();

    if (!get_log(kept, &id->ids, record, log)) {
        rio_error_set(err, RIO_STATUS_PROTOCOL, "its log is damaged");
        return NULL;
    }
    memcpy(head.token, id->token, RIO_TOKEN_SIZE);
    head.log = (RioBytes) { log->data, log->len };
    g_byte_array_set_size(bytes, RIO_SESSION_RECORD_HEAD);
    rio_session_record_put(bytes->data, &head);
    g_byte_array_append(bytes, log->data, log->len);
    return rio_session_import((RioBytes) { bytes->data, bytes->len },
                              RIO_SIDE_SERVER, err);
}

static RiodSession *adopt(RiodKept *kept, RiodInstance *inst,
                          const RiodKeptIdentity *id,
                          const KeptRecord *record, RioError *err)
{
    const RiodSessionOrigin origin = {
        .slot = id->slot,
        .caps = id->caps & ~RIO_CAP_SHM,
        .max_message = id->max_message,
        .client = id->client,
        .vm = id->vm,
        .device = id->device,
        .client_uuid = id->client_uuid,
        .vm_uuid = id->vm_uuid,
    };
    RioSession *rio = get_session(kept, id, record, err);
    RiodSession *s = rio ? riod_session_adopt(inst, &origin, rio, err) : NULL;

    if (s) {
        s->fenced = true;
        rio_session_fence(s->rio);
    }
    return s;
}

/* Returns: false when there is no session any more, or *@errp */
static bool load_session(RiodKept *kept, RiodInstance *inst, uint64_t word,
                         Error **errp)
{
    const RiodKeptIdentity *id = get_identity(kept->area, inst, kept->name,
                                              errp);
    const KeptRecord *record;
    const uint8_t *data;
    uint32_t len;
    RioError err;

    if (!id || !riod_area_record(kept->area, word, &data, &len, errp)) {
        return false;
    }
    record = (const KeptRecord *)data;
    if (!record || (len == sizeof(*record) && record->ended)) {
        return false;
    }
    if (len != sizeof(*record)) {
        return bad(kept->name, "its record is of another server", errp);
    }
    kept->sent = record->sent;
    kept->acked = record->acked;
    kept->from = record->from;
    kept->to = record->to;
    kept->session = adopt(kept, inst, id, record, &err);
    return kept->session || bad(kept->name, err.text, errp);
}

bool riod_kept_load(RiodStore *store, RiodInstance *inst, const char *name,
                    uint64_t set, uint64_t word, RiodKept **kept,
                    Error **errp)
{
    RiodArea *area = riod_area_load(store, name, errp);
    bool foreign;
    Error *err = NULL;
    RiodKept *k;

    *kept = NULL;
    if (!area) {
        return false;
    }
    foreign = riod_area_set(area) != set;
    k = g_new0(RiodKept, 1);
    k->name = g_strdup(name);
    k->area = area;
    if (foreign || !load_session(k, inst, word, &err)) {
        riod_kept_free(store, k, !err);
        error_propagate(errp, err);
        return !err;
    }
    k->session->kept = k;
    *kept = k;
    return true;
}
