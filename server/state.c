/*
 * remote-io-server: the state of an instance as bytes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The image of the module, and beside it what the server holds for it: what
 * interrupts still owe its sessions, and characters on their way.
 *
 *   magic "RIOS", u16 format, u16 flags, u32 length of the head
 *   head                         see state-image.h
 *   u32 length of the body, body the same
 *   sessions, characters         see below
 *   u32 CRC-32C                  of all that is before it
 *
 * What is between head and checksum is the rest that a journal writes often.
 */

#include "qemu/osdep.h"
#include "qemu/crc32c.h"
#include "qapi/error.h"
#include "internal.h"
#include "trace.h"

#define MAGIC 0x534f4952u       /* "RIOS" */
#define FORMAT 1
#define START 12u               /* bytes before the head */
#define FLAG_ONE_CLIENT 1u

/* Of a session: slot, level, told, pulsed, next tag, number of vectors */
#define SESSION_FIXED 24u

struct RiodSaver {
    RiodImagePlan *plan;
    size_t max;                 /* of the rest */
    void *image;                /* that save fills, NULL until it is needed */
};

/* ---- bytes --------------------------------------------------------------- */

static void put_u32(uint8_t **at, uint32_t value)
{
    stl_le_p(*at, value);
    *at += 4;
}

static bool get_u32(RioBytes *from, uint32_t *value)
{
    if (from->len < 4) {
        return false;
    }
    *value = ldl_le_p(from->data);
    from->data += 4;
    from->len -= 4;
    return true;
}

/* @len bytes off the front */
static bool get_bytes(RioBytes *from, uint32_t len, RioBytes *part)
{
    if (from->len < len) {
        return false;
    }
    *part = (RioBytes) { from->data, len };
    from->data += len;
    from->len -= len;
    return true;
}

static bool bad_state(RiodInstance *inst, Error **errp, const char *why)
{
    error_setg(errp, "module '%s' cannot load this state: %s", inst->id, why);
    return false;
}

/* ---- what there is ------------------------------------------------------- */

/* What the guest was told the device is; how long it lives is no part */
static uint32_t identity_of(const RiodInstance *inst)
{
    g_autofree RioDescription *desc = g_memdup2(&inst->desc,
                                                sizeof(inst->desc));
    g_autofree uint8_t *buf = g_malloc(RIO_MAX_DESCRIPTION);
    size_t len;

    desc->restart = RIO_RESTART_VOLATILE;
    len = rio_description_encode(desc, buf, RIO_MAX_DESCRIPTION);
    return crc32c(0xffffffff, buf, len);
}

static size_t session_max(const RiodInstance *inst)
{
    return SESSION_FIXED + DIV_ROUND_UP(riod_instance_vectors(inst), 8);
}

bool riod_state_init(RiodInstance *inst, Error **errp)
{
    const RioModuleState *state = riod_registry_state(inst->type);
    RiodSaver *saver;
    RioError err;

    if (!state) {
        return true;
    }
    saver = g_new0(RiodSaver, 1);
    saver->plan = riod_image_plan(inst->type->name, state, inst->max_clients,
                                  identity_of(inst), &err);
    if (!saver->plan) {
        g_free(saver);
        error_setg(errp, "%s", err.text);
        return false;
    }
    saver->max = 4 + riod_image_max_body(saver->plan) +
                 4 + inst->max_clients * session_max(inst) +
                 4 + riod_chars_save_max(inst);
    inst->saver = saver;
    return true;
}

void riod_state_fini(RiodInstance *inst)
{
    if (inst->saver) {
        riod_image_plan_free(inst->saver->plan);
        g_free(inst->saver->image);
        g_free(inst->saver);
    }
}

bool riod_state_possible(const RiodInstance *inst, Error **errp)
{
    if (!inst->saver) {
        error_setg(errp, "module '%s' cannot be saved, nor loaded or moved: "
                   "modules of type '%s' do not say what their state is",
                   inst->id, inst->type->name);
        return false;
    }
    return true;
}

RioBytes riod_state_head(const RiodInstance *inst)
{
    return inst->saver ? riod_image_head(inst->saver->plan)
                       : (RioBytes) { NULL, 0 };
}

size_t riod_state_max(const RiodInstance *inst)
{
    return inst->saver ? inst->saver->max : 0;
}

/* ---- saving -------------------------------------------------------------- */

static RiodImageClients clients_of(const RiodInstance *inst,
                                   const RiodSession *only)
{
    return (RiodImageClients) {
        .attached = (void *const *)inst->clients,
        .max = inst->max_clients,
        .only = only ? only->slot : -1,
    };
}

/* The image as it is now */
static const void *image_now(RiodInstance *inst)
{
    const RioModuleState *state = inst->type->state;
    RiodSaver *saver = inst->saver;

    if (!state->save) {
        return (const uint8_t *)inst->state + state->image_offset;
    }
    if (!saver->image) {
        saver->image = g_malloc0(state->image_size);
    }
    state->save(&inst->dev, inst->state, saver->image);
    return saver->image;
}

static uint8_t *save_session(const RiodSession *s, uint8_t *at)
{
    unsigned vectors = riod_instance_vectors(s->inst);

    put_u32(&at, s->slot);
    put_u32(&at, s->irqs.level);
    put_u32(&at, s->irqs.told);
    put_u32(&at, s->irqs.pulsed);
    put_u32(&at, s->next_tag);
    put_u32(&at, vectors);
    for (unsigned i = 0; i < vectors; i += 8, at++) {
        *at = s->irqs.messages[i / BITS_PER_LONG] >> (i % BITS_PER_LONG);
    }
    return at;
}

static uint8_t *save_sessions(const RiodInstance *inst,
                              const RiodSession *only, uint8_t *at)
{
    uint8_t *number = at;
    uint32_t n = 0;

    at += 4;
    for (unsigned i = 0; i < inst->max_clients; i++) {
        const RiodSession *s = inst->clients[i];

        if (s && (!only || s == only)) {
            at = save_session(s, at);
            n++;
        }
    }
    put_u32(&number, n);
    return at;
}

/* @buf has room for all that can be, saver->max */
static size_t save_rest(RiodInstance *inst, const RiodSession *only,
                        uint8_t *buf)
{
    RiodImageClients clients = clients_of(inst, only);
    uint8_t *at = buf + 4;
    size_t len;

    if (!riod_image_write(inst->saver->plan, image_now(inst), &clients, at,
                          riod_image_max_body(inst->saver->plan), &len)) {
        if (riod_rate_allows(&inst->rate, inst->id)) {
            riod_log("%s: error: the module's save counts more elements than "
                     "its state has", inst->id);
        }
        return 0;
    }
    put_u32(&buf, len);
    at = save_sessions(inst, only, at + len);
    put_u32(&at, !only);
    return (only ? at : riod_chars_save(inst, at)) - buf + 4;
}

size_t riod_state_save_into(RiodInstance *inst, uint8_t *buf, size_t size)
{
    if (!inst->saver || size < inst->saver->max) {
        return 0;
    }
    return save_rest(inst, NULL, buf);
}

GByteArray *riod_state_save(RiodInstance *inst, const RiodSession *only,
                            Error **errp)
{
    RioBytes head = riod_state_head(inst);
    GByteArray *out;
    uint8_t *at;
    size_t len;

    if (!riod_state_possible(inst, errp)) {
        return NULL;
    }
    only = inst->max_clients > 1 ? only : NULL;
    out = g_byte_array_new();
    g_byte_array_set_size(out, START + head.len + inst->saver->max + 4);
    at = out->data;
    put_u32(&at, MAGIC);
    put_u32(&at, FORMAT | (only ? FLAG_ONE_CLIENT : 0) << 16);
    put_u32(&at, head.len);
    memcpy(at, head.data, head.len);
    at += head.len;
    len = save_rest(inst, only, at);
    if (!len) {
        g_byte_array_unref(out);
        error_setg(errp, "module '%s' cannot be saved: its image is not "
                   "valid", inst->id);
        return NULL;
    }
    at += len;
    put_u32(&at, crc32c(0xffffffff, out->data, at - out->data));
    g_byte_array_set_size(out, at - out->data);
    trace_riod_state_save(inst->id, out->len);
    return out;
}

/* ---- loading ------------------------------------------------------------- */

/* Look at the sessions of @rest; @apply: they are good, take them over */
static const char *load_sessions(RiodInstance *inst, const RiodSession *only,
                                 RioBytes *rest, unsigned flags, bool apply)
{
    uint32_t n, v[6], last = 0;
    unsigned vectors = riod_instance_vectors(inst);
    unsigned there = 0;
    RioBytes bits;

    for (unsigned i = 0; i < inst->max_clients; i++) {
        there += inst->clients[i] && (!only || inst->clients[i] == only);
    }
    if (!get_u32(rest, &n) || n != there) {
        return "it is of other clients than those attached";
    }
    for (uint32_t i = 0; i < n; i++) {
        RiodSession *s;

        for (unsigned k = 0; k < ARRAY_SIZE(v); k++) {
            if (!get_u32(rest, &v[k])) {
                return "it ends in a session";
            }
        }
        if (v[5] != vectors ||
            !get_bytes(rest, DIV_ROUND_UP(vectors, 8), &bits)) {
            return "it has other interrupts";
        }
        v[0] = only ? only->slot : v[0];
        if ((i && v[0] <= last) || v[0] >= inst->max_clients ||
            !inst->clients[v[0]]) {
            return "it is of other clients than those attached";
        }
        if ((v[1] | v[2] | v[3]) & ~(uint32_t)MAKE_64BIT_MASK(0,
                                                inst->desc.lines)) {
            return "it has a line that the module has not";
        }
        last = v[0];
        s = inst->clients[v[0]];
        if (apply) {
            riod_session_irq_load(s, v[1], bits.data);
            if (flags & RIOD_STATE_SAME_SESSIONS) {
                s->irqs.told = v[2];
                s->irqs.pulsed = v[3];
                s->first_tag = s->next_tag = v[4];
                s->reborn = true;
            }
        }
    }
    return NULL;
}

/* All of it but the image; twice, as it must be good before it is applied */
static const char *load_rest(RiodInstance *inst, const RiodSession *only,
                             RioBytes rest, unsigned flags, bool apply)
{
    const char *wrong = load_sessions(inst, only, &rest, flags, apply);
    uint32_t chars;

    if (!wrong && (!get_u32(&rest, &chars) || chars != !only)) {
        wrong = "it has no part for characters";
    }
    if (!wrong && !only) {
        wrong = riod_chars_load(inst, &rest,
                                apply && (flags & RIOD_STATE_SAME_SESSIONS));
    }
    return wrong ?: rest.len ? wrong ?: "bytes follow its end" : NULL;
}

/* @image, which was read and @version wrote: may it be, then be it */
static bool load_image(RiodInstance *inst, const void *image,
                       uint32_t version, Error **errp)
{
    const RioModuleState *state = inst->type->state;

    if (state->check &&
        state->check(&inst->dev, inst->state, image, version) < 0) {
        bad_state(inst, errp, inst->open_error ?
                  error_get_pretty(inst->open_error) :
                  "the module does not say why");
        error_free(inst->open_error);
        inst->open_error = NULL;
        return false;
    }
    return true;
}

static void apply_image(RiodInstance *inst, const void *image)
{
    const RioModuleState *state = inst->type->state;

    if (!state->save && state->image_size) {
        memcpy((uint8_t *)inst->state + state->image_offset, image,
               state->image_size);
    }
    if (state->load) {
        state->load(&inst->dev, inst->state, image);
    }
}

static bool load(RiodInstance *inst, const RiodSession *only, RioBytes head,
                 RioBytes rest, unsigned flags, Error **errp)
{
    const RioModuleState *state = inst->type->state;
    RiodImageClients clients = clients_of(inst, only);
    g_autofree void *image = g_malloc0(MAX(state->image_size, 1));
    const char *wrong;
    uint32_t len, version;
    RioBytes body;
    RioError err;

    if (only && state->image_size) {
        /* The parts of the others stay as they are */
        memcpy(image, image_now(inst), state->image_size);
    }
    if (!get_u32(&rest, &len) || !get_bytes(&rest, len, &body)) {
        return bad_state(inst, errp, "it ends too early");
    }
    if (!riod_image_read(inst->saver->plan, head, body, &clients, image,
                         &version, &err)) {
        return bad_state(inst, errp, err.text);
    }
    wrong = load_rest(inst, only, rest, flags, false);
    if (wrong) {
        return bad_state(inst, errp, wrong);
    }
    if (!load_image(inst, image, version, errp)) {
        return false;
    }
    load_rest(inst, only, rest, flags, true);
    if (!only) {
        riod_jobs_disown(inst);         /* else they may be of others */
    }
    apply_image(inst, image);
    riod_journal_touch(inst);
    trace_riod_state_load(inst->id, version, len);
    return true;
}

static bool may_load(RiodInstance *inst, const RiodSession *only, Error **errp)
{
    if (!riod_state_possible(inst, errp)) {
        return false;
    }
    if (only ? !only->quiet : !riod_instance_stopped(inst)) {
        error_setg(errp, "module '%s' must be stopped to load a state",
                   inst->id);
        return false;
    }
    return true;
}

bool riod_state_load_parts(RiodInstance *inst, RioBytes head, RioBytes rest,
                           unsigned flags, Error **errp)
{
    return may_load(inst, NULL, errp) &&
           load(inst, NULL, head, rest, flags, errp);
}

bool riod_state_load(RiodInstance *inst, const RiodSession *only,
                     RioBytes data, unsigned flags, Error **errp)
{
    uint32_t magic, format, len;
    RioBytes from = data, head;

    only = inst->max_clients > 1 ? only : NULL;
    if (!may_load(inst, only, errp)) {
        return false;
    }
    if (!get_u32(&from, &magic) || magic != MAGIC) {
        return bad_state(inst, errp, "it is no state of a module");
    }
    if (!get_u32(&from, &format) || (format & 0xffff) != FORMAT) {
        return bad_state(inst, errp, "it has a format that this server does "
                         "not know");
    }
    if (!get_u32(&from, &len) || from.len < 4 || len > from.len - 4 ||
        crc32c(0xffffffff, data.data, data.len - 4) !=
        ldl_le_p(data.data + data.len - 4)) {
        return bad_state(inst, errp, "it was cut or changed on its way: its "
                         "checksum is wrong");
    }
    if (format >> 16 != (only ? FLAG_ONE_CLIENT : 0)) {
        return bad_state(inst, errp, only ? "it is of a whole module, not of "
                         "one client" : "it is of one client, not of a whole "
                         "module");
    }
    get_bytes(&from, len, &head);
    from.len -= 4;
    return load(inst, only, head, from, flags, errp);
}
