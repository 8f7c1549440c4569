/*
 * Saving and loading for the module test host
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "remote-io-module-memory.h"
#include "remote-io-module-state.h"
#include "server/state-image.h"

#define IDENTITY 1

static RiodImagePlan *plan_of(FakeHost *h, RiodImageClients *clients)
{
    unsigned max = MAX(h->module->max_clients, 1);
    RiodImagePlan *plan;
    RioError err;

    g_assert_nonnull(h->module->state);
    plan = riod_image_plan(h->module->name, h->module->state, max, IDENTITY,
                           &err);
    g_assert_nonnull(plan);
    *clients = (RiodImageClients) {
        .attached = h->attached, .max = MIN(max, FAKE_CLIENTS), .only = -1,
    };
    return plan;
}

GByteArray *fake_save(FakeHost *h)
{
    const RioModuleState *state = h->module->state;
    g_autofree uint8_t *image = g_malloc0(MAX(state->image_size, 1));
    RiodImageClients clients;
    RiodImagePlan *plan = plan_of(h, &clients);
    size_t max = riod_image_max_body(plan);
    g_autofree uint8_t *body = g_malloc(max + 1);
    RioBytes head = riod_image_head(plan);
    uint32_t head_len = GUINT32_TO_LE(head.len);
    GByteArray *out = g_byte_array_new();
    size_t len;

    memcpy(image, (uint8_t *)h->state + state->image_offset,
           state->save ? 0 : state->image_size);
    if (state->save) {
        g_assert_false(h->inside);
        h->inside = true;
        state->save(&h->dev, h->state, image);
        h->inside = false;
    }
    g_assert_true(riod_image_write(plan, image, &clients, body, max, &len));
    g_byte_array_append(out, (const uint8_t *)&head_len, sizeof(head_len));
    g_byte_array_append(out, head.data, head.len);
    g_byte_array_append(out, body, len);
    riod_image_plan_free(plan);
    return out;
}

void fake_save_cost(FakeHost *h)
{
    const RioModuleState *state = h->module->state;
    g_autofree uint8_t *image = g_malloc0(MAX(state->image_size, 1));
    RiodImageClients clients;
    RiodImagePlan *plan = plan_of(h, &clients);
    size_t max = riod_image_max_body(plan), len = 0;
    g_autofree uint8_t *body = g_malloc(max + 1);
    const uint8_t *from = state->save ? image
                                      : (uint8_t *)h->state +
                                        state->image_offset;
    const unsigned rounds = 100000;
    gint64 start = g_get_monotonic_time();

    h->inside = true;
    for (unsigned i = 0; i < rounds; i++) {
        if (state->save) {
            state->save(&h->dev, h->state, image);
        }
        g_assert_true(riod_image_write(plan, from, &clients, body, max,
                                       &len));
    }
    h->inside = false;
    g_test_message("%s: %zu bytes (%zu at most) in %" G_GINT64_FORMAT " ns",
                   h->module->name, len, max,
                   (g_get_monotonic_time() - start) * 1000 / rounds);
    riod_image_plan_free(plan);
}

/* Read @bytes into @image; NULL, or why that cannot be */
static char *read_image(FakeHost *h, const uint8_t *bytes, size_t len,
                        void *image, uint32_t *version)
{
    RiodImageClients clients;
    RiodImagePlan *plan;
    uint32_t head_len;
    RioError err = { 0 };
    bool ok;

    if (len < sizeof(head_len)) {
        return g_strdup("too short");
    }
    memcpy(&head_len, bytes, sizeof(head_len));
    head_len = GUINT32_FROM_LE(head_len);
    bytes += sizeof(head_len);
    len -= sizeof(head_len);
    if (head_len > len) {
        return g_strdup("its head is cut");
    }
    plan = plan_of(h, &clients);
    ok = riod_image_read(plan, (RioBytes) { bytes, head_len },
                         (RioBytes) { bytes + head_len, len - head_len },
                         &clients, image, version, &err);
    riod_image_plan_free(plan);
    return ok ? NULL : g_strdup(err.text);
}

char *fake_load(FakeHost *h, const uint8_t *bytes, size_t len)
{
    const RioModuleState *state = h->module->state;
    g_autofree uint8_t *image = g_malloc0(MAX(state->image_size, 1));
    /* What is read must not be read beyond its end */
    g_autofree uint8_t *exact = g_memdup2(bytes, MAX(len, 1));
    uint32_t version;
    char *why = read_image(h, exact, len, image, &version);
    int ret = 0;

    if (why) {
        return why;
    }
    g_assert_false(h->inside);
    h->inside = true;
    if (state->check) {
        ret = state->check(&h->dev, h->state, image, version);
        g_assert_cmpint(ret, ==, h->failure->len ? -1 : 0);
    }
    if (ret) {
        h->inside = false;
        why = g_strdup(h->failure->str);
        g_string_truncate(h->failure, 0);
        return why;
    }
    fake_memory_disown(h);
    if (!state->save) {
        memcpy((uint8_t *)h->state + state->image_offset, image,
               state->image_size);
    }
    if (state->load) {
        state->load(&h->dev, h->state, image);
    }
    h->inside = false;
    return NULL;
}

/* What was sent, and what the module had no room for yet */
static void fake_char_hand_over(FakeHost *h, FakeHost *to)
{
    g_string_assign(to->sent, h->sent->str);
    g_byte_array_append(to->coming, h->coming->data, h->coming->len);
    to->take = h->take;
    to->writes = h->writes;
    to->has_modem = h->has_modem;
    to->modem_in = h->modem_in;
}

FakeHost *fake_move(FakeHost *h, const char *params)
{
    g_autoptr(GByteArray) saved = fake_save(h);
    FakeHost *to = fake_open(h->module, params);
    char *why;

    g_assert_cmpstr(to->failure->str, ==, "");
    to->now = h->now + 12345;       /* another host's clock */
    to->quiet = h->quiet;
    for (unsigned i = 0; i < FAKE_CLIENTS; i++) {
        if (h->attached[i]) {
            fake_attach(to, i);
        }
        to->line[i] = h->line[i];
        memcpy(to->messages[i], h->messages[i], sizeof(h->messages[i]));
    }
    fake_memory_hand_over(h, to);
    fake_char_hand_over(h, to);
    why = fake_load(to, saved->data, saved->len);
    g_assert_cmpstr(why, ==, NULL);
    fake_settle(to);
    fake_close(h);
    return to;
}

void fake_state_hostile(FakeHost *h, const char *params,
                        void (*use)(FakeHost *h))
{
    g_autoptr(GByteArray) saved = fake_save(h);
    unsigned taken = 0, refused = 0;

    for (size_t len = 0; len < saved->len; len++) {
        g_autofree char *why = fake_load(h, saved->data, len);
        g_autoptr(GByteArray) now = fake_save(h);

        g_assert_nonnull(why);
        g_assert_cmpmem(now->data, now->len, saved->data, saved->len);
    }
    for (size_t i = 0; i < saved->len; i++) {
        static const uint8_t flips[] = { 0x01, 0x80, 0xff };

        for (unsigned k = 0; k < G_N_ELEMENTS(flips); k++) {
            g_autofree uint8_t *bad = g_memdup2(saved->data, saved->len);
            g_autofree char *why = NULL;
            FakeHost *other = fake_open(h->module, params);

            other->quiet = true;
            for (unsigned c = 0; c < FAKE_CLIENTS; c++) {
                if (h->attached[c]) {
                    fake_attach(other, c);
                }
            }
            bad[i] ^= flips[k];
            why = fake_load(other, bad, saved->len);
            fake_settle(other);
            taken += !why;
            refused += !!why;
            use(other);
            fake_close(other);
        }
    }
    g_test_message("%u damaged states taken, %u refused", taken, refused);
    g_assert_cmpuint(refused, >, 0);
}
