/*
 * remote-io-server: doorbell recipes, from the module's form to the wire's
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A module may install one while an access is carried out, under the lock of
 * the connection, so the message waits here until something is sent anyway.
 * Only the last word on a slot counts.
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "internal.h"
#include "trace.h"

#define FIXED 64
#define STEP 48

/* Entries that one doorbell may bring; they are small */
#define MAX_ENTRIES 256u

struct RiodRecipe {
    uint16_t slot;
    bool pending;               /* to be sent */
    uint64_t ring, ring_len;    /* 0 = removed */
    uint32_t len;
    uint8_t bytes[FIXED + RIO_MAX_STEPS * STEP];
    QSIMPLEQ_ENTRY(RiodRecipe) next;
};

QEMU_BUILD_BUG_ON(RIO_RECIPE_RULES > RIO_MAX_STEPS);

/* ---- encoding ---------------------------------------------------------- */

static uint8_t step_kind(const RioRecipeRule *rule)
{
    switch (rule->shape) {
    case RIO_RECIPE_LINEAR:
        return RIO_STEP_BUFFER;
    case RIO_RECIPE_PAGES:
        return rule->lists_only ? RIO_STEP_PRP_LIST : RIO_STEP_PRP;
    case RIO_RECIPE_SGL:
        return rule->lists_only ? RIO_STEP_SGL_LIST : RIO_STEP_SGL;
    default:
        return 0;
    }
}

static void encode_step(const RioRecipe *r, const RioRecipeRule *rule,
                        uint32_t max_bytes, uint8_t *p)
{
    bool pages = rule->shape == RIO_RECIPE_PAGES;

    if (rule->mask) {
        p[2] = 4;
        stl_le_p(p + 4, rule->mask);
        stl_le_p(p + 8, rule->match);
    }
    p[24] = step_kind(rule);
    p[25] = pages && rule->page_size ? ctz32(rule->page_size) : 0;
    stw_le_p(p + 26, rule->pointer);
    stw_le_p(p + 28, pages ? rule->pointer + 8 : 0);
    if (rule->length_bytes) {
        stw_le_p(p + 30, rule->length_field);
        p[32] = rule->length_bytes;
        stl_le_p(p + 36, MAKE_64BIT_MASK(0, rule->length_bytes * 8));
    }
    p[33] = rule->length_unit ? ctz32(rule->length_unit) : 0;
    stl_le_p(p + 40, rule->length_add);
    stl_le_p(p + 44, MIN(MAX(r->max_data, 1), max_bytes));
}

static void encode(RiodRecipe *to, const RioRecipe *r, bool may_be_long)
{
    uint32_t max_bytes = may_be_long ? RIO_MAX_STEP_BYTES : RIO_MAX_DMA;
    uint32_t entries = MIN(r->entries, MAX_ENTRIES);
    uint8_t *p = to->bytes;

    p[2] = r->region;
    stq_le_p(p + 8, r->offset);
    if (!r->entries) {
        p[3] = RIO_RECIPE_LAZY;
        return;
    }
    p[3] = RIO_RECIPE_RING;
    stq_le_p(p + 16, r->ring);
    stl_le_p(p + 24, r->entries);
    stl_le_p(p + 28, r->entry_size);
    stl_le_p(p + 36, UINT32_MAX);
    p[49] = r->num_rules;
    stw_le_p(p + 50, entries);
    stl_le_p(p + 52, r->max_data + entries * r->entry_size);
    for (unsigned i = 0; i < r->num_rules; i++) {
        encode_step(r, &r->rules[i], max_bytes, p + FIXED + i * STEP);
    }
    to->len = FIXED + r->num_rules * STEP;
    to->ring = r->ring;
    to->ring_len = (uint64_t)r->entries * r->entry_size;
}

/* The codec is the judge, as at the other end */
static bool check(RiodInstance *inst, const RiodRecipe *recipe)
{
    RioError err;

    if (rio_recipe_check(recipe->bytes, recipe->len, &err)) {
        return true;
    }
    if (riod_rate_allows(&inst->rate, inst->id)) {
        riod_log("%s: error: the module's recipe %u is not valid: %s",
                 inst->id, recipe->slot, err.text);
    }
    return false;
}

/* ---- the table --------------------------------------------------------- */

static RiodRecipe *recipe_get(RiodSession *s, unsigned slot)
{
    RiodRecipe *recipe;

    QSIMPLEQ_FOREACH(recipe, &s->recipes, next) {
        if (recipe->slot == slot) {
            return recipe;
        }
    }
    recipe = g_new0(RiodRecipe, 1);
    recipe->slot = slot;
    QSIMPLEQ_INSERT_TAIL(&s->recipes, recipe, next);
    return recipe;
}

static void recipe_set(RiodSession *s, unsigned slot, const RioRecipe *r)
{
    RiodRecipe new = { .slot = slot, .len = FIXED };
    RiodRecipe *recipe;

    if (!(s->caps & RIO_CAP_RECIPES)) {
        return;
    }
    if (r && !r->entries && !(s->caps & RIO_CAP_LAZY)) {
        r = NULL;               /* each write is sent at once, then */
    }
    if (r) {
        encode(&new, r, s->caps & RIO_CAP_LONG);
    }
    stw_le_p(new.bytes, slot);
    if (!check(s->inst, &new)) {
        return;
    }
    recipe = recipe_get(s, slot);
    recipe->pending = true;
    recipe->ring = new.ring;
    recipe->ring_len = new.ring_len;
    recipe->len = new.len;
    memcpy(recipe->bytes, new.bytes, new.len);
    riod_session_mark_dirty(s);
}

void riod_recipe_set(RioDevice *dev, unsigned client, unsigned id,
                     const RioRecipe *recipe)
{
    RiodInstance *inst = riod_instance(dev);

    if (id >= RIO_MAX_RECIPES ||
        (recipe && recipe->num_rules > RIO_RECIPE_RULES)) {
        riod_complain(inst, "recipe", id);
    } else if (client != RIO_ALL_CLIENTS && client >= inst->max_clients) {
        riod_complain(inst, "client", client);
    } else {
        for (unsigned i = 0; inst->clients && i < inst->max_clients; i++) {
            bool meant = client == RIO_ALL_CLIENTS || client == i;

            if (meant && inst->clients[i]) {
                recipe_set(inst->clients[i], id, recipe);
            }
        }
    }
}

bool riod_session_push_recipes_locked(RiodSession *s)
{
    RIO_UNINITIALIZED RioMessage m;
    RiodRecipe *recipe;

    QSIMPLEQ_FOREACH(recipe, &s->recipes, next) {
        if (!recipe->pending) {
            continue;
        }
        rio_message_init(&m, RIO_OP_RECIPE, 0, 0);
        m.recipe.slot = recipe->slot;
        m.recipe.kind = recipe->bytes[3];
        m.payload.data = recipe->bytes;
        m.payload.len = recipe->len;
        if (!riod_session_log_room_locked(s, sizeof(recipe->bytes) * 2) ||
            !rio_session_send(s->rio, &m)) {
            return false;
        }
        recipe->pending = false;
        s->unsent = true;
        trace_riod_recipe(s->inst->id, s->ids.vm, recipe->slot, recipe->ring,
                          recipe->ring_len);
    }
    return true;
}

bool riod_recipe_covers(const RiodSession *s, uint64_t addr, uint32_t len)
{
    const RiodRecipe *recipe;

    QSIMPLEQ_FOREACH(recipe, &s->recipes, next) {
        if (recipe->ring_len && addr < recipe->ring + recipe->ring_len &&
            recipe->ring < addr + len) {
            return true;
        }
    }
    return false;
}

void riod_recipes_free(RiodSession *s)
{
    RiodRecipe *recipe;

    while ((recipe = QSIMPLEQ_FIRST(&s->recipes))) {
        QSIMPLEQ_REMOVE_HEAD(&s->recipes, next);
        g_free(recipe);
    }
}
