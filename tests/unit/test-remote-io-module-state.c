/*
 * Modules that move behave as if they had not
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The same accesses, chosen at random, are made to a module that stays and
 * to one that is moved in between, again and again.  Whatever the guest can
 * see must be the same: values, levels, messages, characters.
 */

#include "qemu/osdep.h"
#include "remote-io-module-state.h"
#include "server/state-image.h"

#define STEPS 300
#define SEEDS 12

const RioModule *rio_module_counter_init(void);
const RioModule *rio_module_demo_init(void);
const RioModule *rio_module_doorbell_init(void);
const RioModule *rio_module_null_init(void);
const RioModule *rio_module_uart16550_init(void);

/* A step of a module's life; what was seen goes to @seen */
typedef void Step(FakeHost *h, GRand *rand, GString *seen);

static void note(GString *seen, const char *what, uint64_t value)
{
    g_string_append_printf(seen, "%s %" PRIx64 "\n", what, value);
}

static void note_interrupts(FakeHost *h, GString *seen)
{
    for (unsigned c = 0; c < FAKE_CLIENTS; c++) {
        note(seen, "level", h->line[c]);
        for (unsigned v = 0; v < FAKE_VECTORS; v++) {
            if (h->messages[c][v]) {
                note(seen, "vector", v << 16 | h->messages[c][v]);
            }
        }
    }
}

/* @every: it is moved at one step of so many, 0 = never */
static char *live(const RioModule *module, const char *params, Step *step,
                  unsigned clients, uint32_t seed, unsigned every)
{
    FakeHost *h = fake_start(module, params);
    GRand *rand = g_rand_new_with_seed(seed);
    GRand *moves = g_rand_new_with_seed(seed + 1);
    GString *seen = g_string_new(NULL);

    h->quiet = true;
    for (unsigned c = 1; c < clients; c++) {
        fake_attach(h, c);
    }
    for (unsigned i = 0; i < STEPS; i++) {
        if (every && !g_rand_int_range(moves, 0, every)) {
            h = fake_move(h, params);
        }
        g_string_append_printf(seen, "%u: ", i);
        step(h, rand, seen);
        note_interrupts(h, seen);
    }
    g_string_append(seen, h->sent->str);
    fake_close(h);
    g_rand_free(rand);
    g_rand_free(moves);
    return g_string_free(seen, false);
}

static void check_moves(const RioModule *module, const char *params,
                        Step *step, unsigned clients)
{
    for (uint32_t seed = 0; seed < SEEDS; seed++) {
        g_autofree char *stays = live(module, params, step, clients, seed, 0);
        g_autofree char *moves = live(module, params, step, clients, seed,
                                      1 + seed % 10);

        g_test_message("seed %u", seed);
        g_assert_cmpstr(moves, ==, stays);
    }
}

/* --- demo --- */

static void demo_step(FakeHost *h, GRand *rand, GString *seen)
{
    static const uint8_t registers[] = { 0x08, 0x0c, 0x10, 0x14, 0x1c, 0x20,
                                         0x24, 0x28, 0x30, 0x44, 0x7c };
    uint8_t reg = registers[g_rand_int_range(rand, 0,
                                             G_N_ELEMENTS(registers))];
    uint32_t value = g_rand_int(rand) & (reg == 0x30 ? 0xfff : ~0u);

    switch (g_rand_int_range(rand, 0, 3)) {
    case 0:
        note(seen, "read", fake_read(h, reg, 4));
        break;
    case 1:
        fake_write(h, reg, 4, value);
        break;
    default:
        /* A computation that is moved begins again, so let it end */
        fake_advance(h, 40000);
    }
}

static void test_demo(void)
{
    check_moves(rio_module_demo_init(), "", demo_step, 1);
    check_moves(rio_module_demo_init(), "bus=isa", demo_step, 1);
}

static void demo_use(FakeHost *h)
{
    fake_advance(h, 1000000);
    fake_write(h, 0x0c, 4, 5);
    g_assert_cmpuint(fake_read(h, 0x0c, 4), ==, 5);
    fake_write(h, 0x20, 4, 0xffffffff);
    fake_write(h, 0x28, 4, 0xffffffff);
    g_assert_false(h->line[0]);
}

static void test_demo_damaged(void)
{
    FakeHost *h = fake_start(rio_module_demo_init(), "");

    fake_write(h, 0x20, 4, 3);
    fake_write(h, 0x24, 4, 1);
    fake_write(h, 0x30, 4, 100000);
    fake_write(h, 0x10, 4, 9);
    fake_state_hostile(h, "", demo_use);
    fake_close(h);
}

/* --- doorbell --- */

static void doorbell_step(FakeHost *h, GRand *rand, GString *seen)
{
    static const uint8_t registers[] = { 0x08, 0x10, 0x18, 0x1c };
    unsigned client = g_rand_int_range(rand, 0, 3);
    uint32_t value = g_rand_int_range(rand, 0, 5) << 16 |
                     g_rand_int_range(rand, 0, 9);

    switch (g_rand_int_range(rand, 0, 4)) {
    case 0:
        note(seen, "read", fake_read_of(h, client, registers[value & 3], 4));
        break;
    case 1:
        fake_write_of(h, client, 0x18, 4, value & 0xffff);
        break;
    case 2:
        fake_reset(h, client, RIO_MODULE_RESET_FUNCTION);
        break;
    default:
        fake_write_of(h, client, 0x20, 4, value);
    }
}

static void test_doorbell(void)
{
    check_moves(rio_module_doorbell_init(), "", doorbell_step, 3);
}

static void doorbell_use(FakeHost *h)
{
    fake_write(h, 0x20, 4, 1 << 16 | 2);
    g_assert_cmpuint(h->messages[1][2], >, 0);
    fake_detach(h, 1);
}

static void test_doorbell_damaged(void)
{
    FakeHost *h = fake_start(rio_module_doorbell_init(), "");

    fake_attach(h, 1);
    fake_write(h, 0x18, 4, 3);
    fake_state_hostile(h, "", doorbell_use);
    fake_close(h);
}

/* --- null --- */

static void test_null(void)
{
    FakeHost *h = fake_start(rio_module_null_init(), "value=7");

    h = fake_move(h, "value=7");
    g_assert_cmpuint(fake_read(h, 0, 4), ==, 7);
    fake_close(h);
}

/* --- uart16550 --- */

static void uart_step(FakeHost *h, GRand *rand, GString *seen)
{
    static const uint8_t fcr[] = { 0, 1, 0x41, 0x81, 0xc1, 3, 5, 7 };
    uint8_t value = g_rand_int(rand);
    unsigned reg = g_rand_int_range(rand, 0, 8);
    char text[8];

    switch (g_rand_int_range(rand, 0, 8)) {
    case 0 ... 2:
        note(seen, "read", reg << 8 | fake_read(h, reg, 1));
        break;
    case 3:
        if (reg == 2) {
            value = fcr[value % G_N_ELEMENTS(fcr)];
        } else if (reg == 3) {
            value &= 0x7f;              /* no divisor: no odd speeds */
        } else if (reg == 0) {
            value = 'a' + value % 26;
        }
        fake_write(h, reg, 1, value);
        break;
    case 4:
        snprintf(text, sizeof(text), "%c%u", 'A' + value % 26, reg);
        fake_type(h, text, strlen(text));
        break;
    case 5:
        if (value < 100) {
            fake_event(h, RIO_CHAR_BREAK);
        } else {
            fake_take(h, value < 180 ? value % 4 : SIZE_MAX);
        }
        break;
    default:
        /* What a guest waits for at most, many times over */
        fake_advance(h, 50 * 1000 * 1000);
    }
}

static void test_uart(void)
{
    check_moves(rio_module_uart16550_init(), "chardev=c0", uart_step, 1);
    check_moves(rio_module_uart16550_init(), "chardev=c0,bus=pci", uart_step,
                1);
}

static void uart_use(FakeHost *h)
{
    fake_take(h, SIZE_MAX);
    fake_type(h, "0123456789012345678", 19);
    fake_advance(h, 1000000000);
    for (unsigned i = 0; i < 64; i++) {
        fake_read(h, i % 8, 1);
        fake_write(h, 0, 1, 'x');
    }
    fake_reset(h, 0, RIO_MODULE_RESET_SYSTEM);
    fake_write(h, 7, 1, 0x5a);
    g_assert_cmphex(fake_read(h, 7, 1), ==, 0x5a);
}

static void test_uart_damaged(void)
{
    FakeHost *h = fake_start(rio_module_uart16550_init(), "chardev=c0");

    fake_write(h, 2, 1, 1);
    fake_write(h, 1, 1, 15);
    fake_write(h, 4, 1, 8);
    fake_take(h, 2);
    fake_type(h, "hello", 5);
    fake_event(h, RIO_CHAR_BREAK);
    for (unsigned i = 0; i < 5; i++) {
        fake_write(h, 0, 1, 'a' + i);
    }
    fake_read(h, 5, 1);
    fake_state_hostile(h, "chardev=c0", uart_use);
    fake_close(h);
}

/* --- the image alone: versions, tables that are wrong --- */

typedef struct Inner {
    uint16_t a;
    uint32_t used;
    uint64_t list[4];
} Inner;

typedef struct Image {
    uint8_t x;
    bool flag;
    uint32_t y;
    uint32_t n;
    Inner inner[3];
    uint32_t z;
} Image;

static const RioField inner_fields[] = {
    { RIO_STATE(Inner, UINT, a) },
    { RIO_STATE_USED(Inner, UINT, list, used) },
    { .name = NULL },
};

static const RioField first_fields[] = {
    { RIO_STATE(Image, UINT, x) },
    { RIO_STATE(Image, BOOL, flag) },
    { RIO_STATE_STRUCTS_USED(Image, inner, inner_fields, n) },
    { .name = NULL },
};

static const RioField second_fields[] = {
    { RIO_STATE(Image, UINT, z), .since = 2 },
    { RIO_STATE_STRUCTS_USED(Image, inner, inner_fields, n) },
    { RIO_STATE(Image, BOOL, flag) },
    { RIO_STATE(Image, UINT, x) },
    { .name = NULL },
};

static const RioModuleState first = {
    .version = 1, .image_size = sizeof(Image), .fields = first_fields,
};
static const RioModuleState second = {
    .version = 2, .oldest = 1, .image_size = sizeof(Image),
    .fields = second_fields,
};
static const RioModuleState strict = {
    .version = 2, .image_size = sizeof(Image), .fields = second_fields,
};

static const Image sample = {
    .x = 9, .flag = true, .z = 0xdddddddd, .n = 2,
    .inner = { { .a = 0x1234, .used = 3, .list = { 1, 2, 1ull << 63 } },
               { .a = 0xffff } },
};

static const RiodImageClients nobody = { .only = -1 };

static RiodImagePlan *plan(const RioModuleState *state, RioError *err)
{
    return riod_image_plan("m", state, 1, 77, err);
}

/* From @from's form to @to's; NULL or what is wrong */
static char *carry(const RioModuleState *from, const RioModuleState *to,
                   const Image *image, Image *out)
{
    RiodImagePlan *a = plan(from, NULL), *b = plan(to, NULL);
    uint8_t body[512];
    uint32_t version;
    RioError err;
    size_t len;
    bool ok;

    g_assert_true(riod_image_write(a, image, &nobody, body, sizeof(body),
                                   &len));
    g_assert_cmpuint(len, <=, riod_image_max_body(a));
    for (size_t less = 0; less < len; less++) {
        size_t unused;

        g_assert_false(riod_image_write(a, image, &nobody, body, less,
                                        &unused));
    }
    g_assert_true(riod_image_write(a, image, &nobody, body, len, &len));
    memset(out, 0, sizeof(*out));
    ok = riod_image_read(b, riod_image_head(a), (RioBytes) { body, len },
                         &nobody, out, &version, &err);
    if (ok) {
        g_assert_cmpuint(version, ==, from->version);
    }
    riod_image_plan_free(a);
    riod_image_plan_free(b);
    return ok ? NULL : g_strdup(err.text);
}

static void check_sample(const Image *image, bool with_z)
{
    g_assert_cmpuint(image->x, ==, 9);
    g_assert_true(image->flag);
    g_assert_cmphex(image->z, ==, with_z ? 0xdddddddd : 0);
    g_assert_cmpuint(image->n, ==, 2);
    g_assert_cmpmem(image->inner, sizeof(image->inner), sample.inner,
                    sizeof(sample.inner));
}

static void test_versions(void)
{
    g_autofree char *newer = NULL, *old = NULL;
    Image out;

    g_assert_null(carry(&first, &first, &sample, &out));
    check_sample(&out, false);
    g_assert_null(carry(&second, &second, &sample, &out));
    check_sample(&out, true);
    g_assert_null(carry(&first, &second, &sample, &out));
    check_sample(&out, false);
    newer = carry(&second, &first, &sample, &out);
    g_assert_nonnull(strstr(newer, "version 2, this server takes 1 to 1"));
    old = carry(&first, &strict, &sample, &out);
    g_assert_nonnull(strstr(old, "version 1, this server takes 2 to 2"));
}

static void test_count_beyond_its_array_is_not_written(void)
{
    RiodImagePlan *p = plan(&first, NULL);
    Image image = sample;
    uint8_t body[512];
    size_t len;

    image.n = 4;
    g_assert_false(riod_image_write(p, &image, &nobody, body, sizeof(body),
                                    &len));
    image.n = 2;
    image.inner[1].used = UINT32_MAX;
    g_assert_false(riod_image_write(p, &image, &nobody, body, sizeof(body),
                                    &len));
    riod_image_plan_free(p);
}

static void check_bad_table(const RioField *fields, const char *word)
{
    RioModuleState state = {
        .version = 1, .image_size = sizeof(Image), .fields = fields,
    };
    RioError err;

    g_assert_null(plan(&state, &err));
    g_assert_nonnull(strstr(err.text, word));
}

static void test_tables_that_are_wrong(void)
{
    static const RioField deep[] = {
        { .name = "deep", .type = RIO_FIELD_STRUCT, .size = 8, .count = 1,
          .fields = deep },
        { .name = NULL },
    };
    static const RioField bad[][3] = {
        { { RIO_STATE(Image, UINT, x) }, { RIO_STATE(Image, UINT, x) } },
        { { .name = "out", .type = RIO_FIELD_UINT, .size = 4, .count = 1,
            .offset = sizeof(Image) - 3 } },
        { { .name = "odd", .type = RIO_FIELD_UINT, .size = 3, .count = 1 } },
        { { .name = "none", .type = 9, .size = 4, .count = 1 } },
        { { .name = "many", .type = RIO_FIELD_BYTES, .size = 1,
            .count = UINT32_MAX } },
        { { .name = "by", .type = RIO_FIELD_UINT, .size = 1, .count = 1,
            .per_client = true } },
        { { .name = "no", .type = RIO_FIELD_UINT, .size = 4 } },
        { { .name = "a-name-of-more-than-31-characters",
            .type = RIO_FIELD_UINT, .size = 1, .count = 1 } },
    };
    static const char *const words[] = {
        "twice", "not in the struct", "size", "type", "not in the struct",
        "by client", "not in the struct", "31 characters",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        check_bad_table(bad[i], words[i]);
    }
    check_bad_table(deep, "deep");
}

static void test_cost(void)
{
    FakeHost *demo = fake_start(rio_module_demo_init(), "");
    FakeHost *uart = fake_start(rio_module_uart16550_init(), "chardev=c0");
    FakeHost *counter = fake_start(rio_module_counter_init(), "");

    fake_write(uart, 2, 1, 1);
    fake_type(uart, "0123456789012345", 16);
    fake_save_cost(counter);
    fake_save_cost(demo);
    fake_save_cost(uart);
    fake_close(counter);
    fake_close(demo);
    fake_close(uart);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define T(name, func) g_test_add_func("/module-state/" name, func)
    T("null/moves", test_null);
    T("demo/moves", test_demo);
    T("demo/damaged", test_demo_damaged);
    T("doorbell/moves", test_doorbell);
    T("doorbell/damaged", test_doorbell_damaged);
    T("uart16550/moves", test_uart);
    T("uart16550/damaged", test_uart_damaged);
    T("cost", test_cost);
    T("image/versions", test_versions);
    T("image/count-beyond-its-array-is-not-written",
      test_count_beyond_its_array_is_not_written);
    T("image/tables-that-are-wrong", test_tables_that_are_wrong);
#undef T
    return g_test_run();
}
