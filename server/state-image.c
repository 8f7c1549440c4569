/*
 * remote-io-server: the image of a module as bytes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The tables of a module become a list of steps once; members that lie side
 * by side are one step, so a struct without holes is copied whole.
 */

#include <string.h>

#include "state-image.h"

#define BIG (G_BYTE_ORDER == G_BIG_ENDIAN)

/* Bits of a field in the head */
enum { IMAGE_CLIENTS = 1 << 0, IMAGE_USED = 1 << 1 };

typedef enum StepKind {
    STEP_COPY,                  /* @len bytes */
    STEP_STRUCTS,               /* @count times what the steps in @sub say */
    STEP_USED,                  /* the same, as many as at @used ... */
    STEP_CLIENTS,               /* ... as clients are attached */
} StepKind;

typedef struct Step {
    StepKind kind;
    uint32_t offset;
    uint32_t len;               /* COPY: bytes; else: of an element */
    uint32_t swap;              /* COPY: bytes of an integer */
    uint32_t count;
    uint32_t used;
    GArray *sub;                /* of Step */
    size_t max;                 /* bytes that it writes at most */
} Step;

struct RiodImagePlan {
    const char *name;
    const RioModuleState *state;
    uint32_t identity;
    GByteArray *head;
    GArray *steps;              /* of Step */
    size_t max;
    unsigned fields;            /* while it is made */
};

static void steps_free(GArray *steps)
{
    for (guint i = 0; steps && i < steps->len; i++) {
        steps_free(g_array_index(steps, Step, i).sub);
    }
    if (steps) {
        g_array_free(steps, TRUE);
    }
}

/* ---- making a plan ----------------------------------------------------- */

static bool bad_table(RioError *err, const char *field, const char *why)
{
    return rio_error_set(err, RIO_STATUS_UNSUPPORTED, "its table of the state "
                         "is not valid: field '%.40s' %s", field, why);
}

static bool in_struct(uint64_t offset, uint64_t len, size_t size)
{
    return offset <= size && len <= size - offset;
}

static bool field_check(const RioField *f, size_t size, unsigned depth,
                        RioError *err)
{
    size_t used = f->used ? f->used - 1 : 0;

    if (!*f->name || strlen(f->name) > RIOD_IMAGE_MAX_NAME) {
        return bad_table(err, f->name, "has no name of 1 to 31 characters");
    }
    if (f->type < RIO_FIELD_UINT || f->type > RIO_FIELD_STRUCT ||
        (f->type == RIO_FIELD_STRUCT) != !!f->fields) {
        return bad_table(err, f->name, "has a type that is none");
    }
    if ((f->type == RIO_FIELD_UINT && f->size != 1 && f->size != 2 &&
         f->size != 4 && f->size != 8) ||
        (f->type == RIO_FIELD_BOOL && f->size != sizeof(bool)) ||
        (f->type == RIO_FIELD_BYTES && f->size != 1)) {
        return bad_table(err, f->name, "has a size that its type has not");
    }
    if (!f->size || !f->count || f->count > 65536 ||
        !in_struct(f->offset, (uint64_t)f->size * f->count, size) ||
        (f->used && !in_struct(used, 4, size))) {
        return bad_table(err, f->name, "is not in the struct");
    }
    if (f->per_client && (depth || f->used || f->type != RIO_FIELD_STRUCT)) {
        return bad_table(err, f->name, "cannot be by client");
    }
    if (depth == RIOD_IMAGE_MAX_DEPTH) {
        return bad_table(err, f->name, "is nested too deep");
    }
    return true;
}

static void put(GByteArray *to, const void *data, size_t len)
{
    g_byte_array_append(to, data, len);
}

static void put_le(GByteArray *to, uint64_t value, unsigned bytes)
{
    uint64_t le = GUINT64_TO_LE(value);

    put(to, &le, bytes);
}

static void put_name(GByteArray *to, const char *name)
{
    put_le(to, strlen(name), 1);
    put(to, name, strlen(name));
}

static void head_field(GByteArray *head, const RioField *f)
{
    put_name(head, f->name);
    put_le(head, f->type, 1);
    put_le(head, (f->per_client ? IMAGE_CLIENTS : 0) |
                 (f->used ? IMAGE_USED : 0), 1);
    put_le(head, f->type == RIO_FIELD_STRUCT ? 0 : f->size, 4);
    put_le(head, f->count, 4);
}

/* Append @step, or make the last one longer */
static void steps_add(GArray *steps, const Step *step)
{
    Step *last = steps->len ? &g_array_index(steps, Step, steps->len - 1)
                            : NULL;

    if (!BIG && last && last->kind == STEP_COPY && step->kind == STEP_COPY &&
        last->offset + last->len == step->offset) {
        last->len += step->len;
        last->max += step->len;
        return;
    }
    g_array_append_val(steps, *step);
}

/* All of an element, in one go? */
static bool is_plain(const GArray *steps, uint32_t size)
{
    const Step *only = &g_array_index(steps, Step, 0);

    return !BIG && steps->len == 1 && only->kind == STEP_COPY &&
           only->offset == 0 && only->len == size;
}

static GArray *plan_table(RiodImagePlan *plan, const RioField *fields,
                          size_t size, unsigned clients, unsigned depth,
                          RioError *err);

static bool plan_field(RiodImagePlan *plan, const RioField *f, GArray *steps,
                       unsigned clients, unsigned depth, RioError *err)
{
    Step step = {
        .offset = f->offset, .len = f->size, .swap = f->size,
        .count = f->count, .used = f->used ? f->used - 1 : 0,
    };
    size_t element = f->size;

    head_field(plan->head, f);
    if (f->type == RIO_FIELD_STRUCT) {
        step.sub = plan_table(plan, f->fields, f->size, clients, depth + 1,
                              err);
        if (!step.sub) {
            return false;
        }
        element = 0;
        for (guint i = 0; i < step.sub->len; i++) {
            element += g_array_index(step.sub, Step, i).max;
        }
        if (is_plain(step.sub, f->size)) {
            g_array_free(step.sub, TRUE);
            step.sub = NULL;
        }
    }
    step.max = element * f->count + (f->used ? 4 : 0);
    if (f->per_client) {
        if (f->count < clients) {
            steps_free(step.sub);
            return bad_table(err, f->name, "has less elements than there "
                             "may be clients");
        }
        step.kind = STEP_CLIENTS;
        step.count = clients;
        step.max = (element + 4) * clients + 4;
    } else if (f->used) {
        step.kind = STEP_USED;
    } else if (step.sub) {
        step.kind = STEP_STRUCTS;
    } else {
        step.kind = STEP_COPY;
        step.len = f->size * f->count;
    }
    steps_add(steps, &step);
    return true;
}

static GArray *plan_table(RiodImagePlan *plan, const RioField *fields,
                          size_t size, unsigned clients, unsigned depth,
                          RioError *err)
{
    GArray *steps = g_array_new(FALSE, FALSE, sizeof(Step));
    unsigned n = 0;

    while (fields[n].name) {
        n++;
    }
    plan->fields += n;
    if (!n || plan->fields > RIOD_IMAGE_MAX_FIELDS) {
        bad_table(err, n ? fields->name : "", "is one of none or too many");
        goto fail;
    }
    put_le(plan->head, n, 2);
    for (unsigned i = 0; i < n; i++) {
        for (unsigned k = 0; k < i; k++) {
            if (!strcmp(fields[i].name, fields[k].name)) {
                bad_table(err, fields[i].name, "is there twice");
                goto fail;
            }
        }
        if (!field_check(&fields[i], size, depth, err) ||
            !plan_field(plan, &fields[i], steps, clients, depth, err)) {
            goto fail;
        }
    }
    return steps;

fail:
    steps_free(steps);
    return NULL;
}

static bool state_check(const RioModuleState *st, RioError *err)
{
    if (!st->version || st->version > UINT16_MAX ||
        st->oldest > st->version) {
        return rio_error_set(err, RIO_STATUS_UNSUPPORTED, "the version of "
                             "its state, %u (oldest %u), is not valid",
                             st->version, st->oldest);
    }
    if (!st->fields != !st->image_size ||
        st->image_size > RIOD_IMAGE_MAX || (st->save && !st->load)) {
        return rio_error_set(err, RIO_STATUS_UNSUPPORTED, "its state has %s",
                             st->save && !st->load ? "save without load" :
                             "an image without fields, or fields without an "
                             "image");
    }
    return true;
}

RiodImagePlan *riod_image_plan(const char *name, const RioModuleState *state,
                               unsigned clients, uint32_t identity,
                               RioError *err)
{
    RiodImagePlan *plan = g_new0(RiodImagePlan, 1);

    plan->name = name;
    plan->state = state;
    plan->identity = identity;
    plan->head = g_byte_array_new();
    put_name(plan->head, name);
    put_le(plan->head, state->version, 4);
    put_le(plan->head, identity, 4);
    if (!state_check(state, err)) {
        goto fail;
    }
    if (!state->fields) {
        put_le(plan->head, 0, 2);
        plan->steps = g_array_new(FALSE, FALSE, sizeof(Step));
        return plan;
    }
    plan->steps = plan_table(plan, state->fields, state->image_size, clients,
                             0, err);
    if (!plan->steps) {
        goto fail;
    }
    for (guint i = 0; i < plan->steps->len; i++) {
        plan->max += g_array_index(plan->steps, Step, i).max;
    }
    if (plan->max + plan->head->len > RIOD_IMAGE_MAX) {
        rio_error_set(err, RIO_STATUS_UNSUPPORTED, "its state may take %zu "
                      "bytes, more than %u", plan->max, RIOD_IMAGE_MAX);
        goto fail;
    }
    return plan;

fail:
    riod_image_plan_free(plan);
    return NULL;
}

void riod_image_plan_free(RiodImagePlan *plan)
{
    if (plan) {
        steps_free(plan->steps);
        g_byte_array_free(plan->head, TRUE);
        g_free(plan);
    }
}

RioBytes riod_image_head(const RiodImagePlan *plan)
{
    return (RioBytes) { plan->head->data, plan->head->len };
}

size_t riod_image_max_body(const RiodImagePlan *plan)
{
    return plan->max;
}

/* ---- writing ----------------------------------------------------------- */

typedef struct Writer {
    uint8_t *at, *end;
    const RiodImageClients *clients;
} Writer;

static bool write_bytes(Writer *w, const uint8_t *from, size_t len,
                        uint32_t swap)
{
    if ((size_t)(w->end - w->at) < len) {
        return false;
    }
    memcpy(w->at, from, len);
    for (size_t i = 0; BIG && i < len; i += swap) {
        for (uint32_t k = 0; k < swap; k++) {
            w->at[i + k] = from[i + swap - 1 - k];
        }
    }
    w->at += len;
    return true;
}

static bool write_u32(Writer *w, uint32_t value)
{
    uint32_t le = GUINT32_TO_LE(value);

    return write_bytes(w, (const uint8_t *)&le, sizeof(le), 1);
}

static bool write_steps(Writer *w, const GArray *steps, const uint8_t *s);

static bool write_elements(Writer *w, const Step *step, const uint8_t *from,
                           uint32_t count)
{
    if (!step->sub) {
        return write_bytes(w, from, (size_t)count * step->len, step->swap);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!write_steps(w, step->sub, from + (size_t)i * step->len)) {
            return false;
        }
    }
    return true;
}

static bool is_meant(const RiodImageClients *c, unsigned i)
{
    return i < c->max && c->attached[i] &&
           (c->only < 0 || (unsigned)c->only == i);
}

static bool write_clients(Writer *w, const Step *step, const uint8_t *from)
{
    uint8_t *number = w->at;
    Writer head = { number, w->end, NULL };
    uint32_t n = 0;

    if (!write_u32(w, 0)) {
        return false;
    }
    for (uint32_t i = 0; i < step->count; i++) {
        if (is_meant(w->clients, i)) {
            n++;
            if (!write_u32(w, i) ||
                !write_elements(w, step, from + (size_t)i * step->len, 1)) {
                return false;
            }
        }
    }
    return write_u32(&head, n);
}

static bool write_used(Writer *w, const Step *step, const uint8_t *s)
{
    uint32_t n;

    memcpy(&n, s + step->used, sizeof(n));
    return n <= step->count && write_u32(w, n) &&
           write_elements(w, step, s + step->offset, n);
}

static bool write_steps(Writer *w, const GArray *steps, const uint8_t *s)
{
    for (guint i = 0; i < steps->len; i++) {
        const Step *step = &g_array_index(steps, Step, i);
        const uint8_t *from = s + step->offset;
        bool ok;

        switch (step->kind) {
        case STEP_COPY:
            ok = write_bytes(w, from, step->len, step->swap);
            break;
        case STEP_STRUCTS:
            ok = write_elements(w, step, from, step->count);
            break;
        case STEP_USED:
            ok = write_used(w, step, s);
            break;
        default:
            ok = write_clients(w, step, from);
        }
        if (!ok) {
            return false;
        }
    }
    return true;
}

bool riod_image_write(const RiodImagePlan *plan, const void *image,
                      const RiodImageClients *clients, uint8_t *buf,
                      size_t size, size_t *len)
{
    Writer w = { buf, buf + size, clients };

    if (!write_steps(&w, plan->steps, image)) {
        return false;
    }
    *len = w.at - buf;
    return true;
}

/* ---- reading ----------------------------------------------------------- */

typedef struct Reader {
    const uint8_t *at, *end;
    const RiodImageClients *clients;
    uint32_t version;           /* of who wrote it */
    unsigned fields;
    RioError *err;
} Reader;

/* A field of the head, and what it is called here */
typedef struct Found {
    const RioField *own;
    uint8_t bits;
    uint32_t count;
    GArray *sub;                /* of Found */
} Found;

static bool G_GNUC_PRINTF(2, 3)
unreadable(Reader *r, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    return rio_error_set(r->err, RIO_STATUS_UNSUPPORTED, "%.200s", text);
}

static bool take(Reader *r, void *to, size_t len)
{
    if ((size_t)(r->end - r->at) < len) {
        return unreadable(r, "it ends too early");
    }
    memcpy(to, r->at, len);
    r->at += len;
    return true;
}

static bool take_le(Reader *r, uint64_t *value, unsigned bytes)
{
    *value = 0;
    if (!take(r, value, bytes)) {
        return false;
    }
    *value = GUINT64_FROM_LE(*value);
    return true;
}

static bool take_u32(Reader *r, uint32_t *value)
{
    uint64_t v;
    bool ok = take_le(r, &v, 4);

    *value = v;
    return ok;
}

/* @name has room for 256 bytes; what is not printable becomes a '?' */
static bool take_name(Reader *r, char *name)
{
    uint64_t len;

    if (!take_le(r, &len, 1) || !take(r, name, len)) {
        return false;
    }
    for (unsigned i = 0; i < len; i++) {
        name[i] = g_ascii_isprint(name[i]) ? name[i] : '?';
    }
    name[len] = 0;
    return true;
}

static void found_free(GArray *found)
{
    for (guint i = 0; found && i < found->len; i++) {
        found_free(g_array_index(found, Found, i).sub);
    }
    if (found) {
        g_array_free(found, TRUE);
    }
}

static const RioField *own_field(const RioField *fields, const char *name)
{
    for (; fields->name; fields++) {
        if (!strcmp(fields->name, name)) {
            return fields;
        }
    }
    return NULL;
}

static bool is_found(const GArray *found, const RioField *own)
{
    for (guint i = 0; i < found->len; i++) {
        if (g_array_index(found, Found, i).own == own) {
            return true;
        }
    }
    return false;
}

static GArray *read_table(Reader *r, const RioField *fields, unsigned depth);

/* One field of the head, which must be one that this module has */
static bool read_field(Reader *r, const RioField *fields, GArray *found,
                       unsigned depth)
{
    uint64_t type, bits;
    Found f = { };
    char name[256];
    uint32_t size;

    if (!take_name(r, name) || !take_le(r, &type, 1) ||
        !take_le(r, &bits, 1) || !take_u32(r, &size) ||
        !take_u32(r, &f.count)) {
        return false;
    }
    f.own = own_field(fields, name);
    f.bits = bits;
    if (!f.own) {
        return unreadable(r, "field '%.40s' is unknown here", name);
    }
    if (is_found(found, f.own) || f.own->since > r->version) {
        return unreadable(r, "field '%.40s' is %s", name,
                          is_found(found, f.own) ? "there twice" :
                          "not of its version");
    }
    if (type != f.own->type ||
        bits != ((f.own->per_client ? IMAGE_CLIENTS : 0) |
                 (f.own->used ? IMAGE_USED : 0)) ||
        size != (type == RIO_FIELD_STRUCT ? 0 : f.own->size) ||
        (!bits && f.count != f.own->count)) {
        return unreadable(r, "field '%.40s' has another type or size", name);
    }
    if (type == RIO_FIELD_STRUCT) {
        f.sub = read_table(r, f.own->fields, depth + 1);
        if (!f.sub) {
            return false;
        }
    }
    g_array_append_val(found, f);
    return true;
}

static GArray *read_table(Reader *r, const RioField *fields, unsigned depth)
{
    GArray *found = g_array_new(FALSE, FALSE, sizeof(Found));
    uint64_t n;
    bool ok = take_le(r, &n, 2);

    if (ok && (n > RIOD_IMAGE_MAX_FIELDS - r->fields ||
               depth >= RIOD_IMAGE_MAX_DEPTH)) {
        ok = unreadable(r, "it has more fields than a module may have");
    }
    for (uint64_t i = 0; ok && i < n; i++) {
        r->fields++;
        ok = read_field(r, fields, found, depth);
    }
    for (; ok && fields->name; fields++) {
        if (fields->since <= r->version && !is_found(found, fields)) {
            ok = unreadable(r, "field '%.40s' is missing", fields->name);
        }
    }
    if (!ok) {
        found_free(found);
        return NULL;
    }
    return found;
}

static bool read_found(Reader *r, const GArray *found, uint8_t *s);

static bool read_plain(Reader *r, const Found *f, uint8_t *to, uint32_t count)
{
    const RioField *own = f->own;
    size_t len = (size_t)own->size * count;

    if ((size_t)(r->end - r->at) < len) {
        return unreadable(r, "it ends in field '%.40s'", own->name);
    }
    if (own->type == RIO_FIELD_BOOL) {
        for (size_t i = 0; i < len; i++) {
            if (r->at[i] > 1) {
                return unreadable(r, "field '%.40s' is neither true nor "
                                  "false", own->name);
            }
            ((bool *)to)[i] = r->at[i];
        }
    } else if (!BIG || own->size == 1) {
        memcpy(to, r->at, len);
    } else {
        for (size_t i = 0; i < len; i++) {
            to[i - i % own->size + own->size - 1 - i % own->size] = r->at[i];
        }
    }
    r->at += len;
    return true;
}

static bool read_elements(Reader *r, const Found *f, uint8_t *to,
                          uint32_t count)
{
    if (!f->sub) {
        return read_plain(r, f, to, count);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!read_found(r, f->sub, to + (size_t)i * f->own->size)) {
            return false;
        }
    }
    return true;
}

static bool read_used(Reader *r, const Found *f, uint8_t *s)
{
    uint32_t n;

    if (!take_u32(r, &n)) {
        return false;
    }
    if (n > f->own->count) {
        return unreadable(r, "field '%.40s' has %u elements, %u at most "
                          "are possible", f->own->name, n, f->own->count);
    }
    memcpy(s + f->own->used - 1, &n, sizeof(n));
    return read_elements(r, f, s + f->own->offset, n);
}

/* Those that were attached are attached now, in the order of their numbers */
static bool read_clients(Reader *r, const Found *f, uint8_t *to)
{
    const RiodImageClients *c = r->clients;
    uint32_t n, who, next = 0, there = 0;

    if (!take_u32(r, &n)) {
        return false;
    }
    for (unsigned i = 0; i < c->max; i++) {
        there += is_meant(c, i);
    }
    if (n != there) {
        return unreadable(r, "it is of %u clients, attached %s %u", n,
                          c->only < 0 ? "are" : "is", there);
    }
    for (uint32_t i = 0; i < n; i++) {
        if (!take_u32(r, &who)) {
            return false;
        }
        who = c->only < 0 ? who : (uint32_t)c->only;
        if (who < next || who >= f->own->count || !is_meant(c, who)) {
            return unreadable(r, "client %u of it is not attached", who);
        }
        next = who + 1;
        if (!read_elements(r, f, to + (size_t)who * f->own->size, 1)) {
            return false;
        }
    }
    return true;
}

static bool read_found(Reader *r, const GArray *found, uint8_t *s)
{
    for (guint i = 0; i < found->len; i++) {
        const Found *f = &g_array_index(found, Found, i);
        uint8_t *to = s + f->own->offset;

        if (f->bits & IMAGE_CLIENTS ? !read_clients(r, f, to) :
            f->bits & IMAGE_USED ? !read_used(r, f, s) :
            !read_elements(r, f, to, f->own->count)) {
            return false;
        }
    }
    return true;
}

/* Is it of this module, of a version that it understands? */
static bool read_start(const RiodImagePlan *plan, Reader *r)
{
    uint32_t oldest = plan->state->oldest ?: plan->state->version;
    uint32_t identity;
    char name[256];

    if (!take_name(r, name) || !take_u32(r, &r->version) ||
        !take_u32(r, &identity)) {
        return false;
    }
    if (strcmp(name, plan->name)) {
        return unreadable(r, "it is of a module of type '%.40s', this is "
                          "'%.40s'", name, plan->name);
    }
    if (r->version < oldest || r->version > plan->state->version) {
        return unreadable(r, "it has version %u, this server takes %u to %u",
                          r->version, oldest, plan->state->version);
    }
    if (identity != plan->identity) {
        return unreadable(r, "it is of a module with other parameters: the "
                          "guest would find another device");
    }
    return true;
}

bool riod_image_read(const RiodImagePlan *plan, RioBytes head, RioBytes body,
                     const RiodImageClients *clients, void *image,
                     uint32_t *version, RioError *err)
{
    static const RioField none[1];
    Reader r = { head.data, head.data + head.len, clients, .err = err };
    GArray *found;
    bool ok;

    if (!read_start(plan, &r)) {
        return false;
    }
    found = read_table(&r, plan->state->fields ?: none, 0);
    if (!found) {
        return false;
    }
    ok = r.at == r.end || unreadable(&r, "bytes follow its head");
    r.at = body.data;
    r.end = body.data + body.len;
    ok = ok && read_found(&r, found, image) &&
         (r.at == r.end || unreadable(&r, "bytes follow its values"));
    *version = r.version;
    found_free(found);
    return ok;
}
