/*
 * The doorbell module, register by register
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "remote-io-module-host.h"

/* As in the module's page */
enum {
    ID = 0x00, VECTORS = 0x04, POSITION = 0x08, PLACES = 0x0c,
    PRESENT = 0x10, NOTIFY = 0x18, MISSED = 0x1c, RING = 0x20,
};

const RioModule *rio_module_doorbell_init(void);

static FakeHost *start(const char *params)
{
    return fake_start(rio_module_doorbell_init(), params);
}

static void ring(FakeHost *h, unsigned from, unsigned to, unsigned vector)
{
    fake_write_of(h, from, RING, 4, to << 16 | vector);
}

static void test_each_machine_learns_its_number(void)
{
    FakeHost *h = start("vectors=5");

    fake_attach(h, 2);
    g_assert_cmphex(fake_read_of(h, 0, ID, 4), ==, 0x4c4c4542);
    g_assert_cmpuint(fake_read_of(h, 0, VECTORS, 4), ==, 5);
    g_assert_cmpuint(fake_read_of(h, 0, POSITION, 4), ==, 0);
    g_assert_cmpuint(fake_read_of(h, 2, POSITION, 4), ==, 2);
    g_assert_cmpuint(fake_read_of(h, 2, PLACES, 4), ==, 64);
    g_assert_cmphex(fake_read_of(h, 2, PRESENT, 8), ==, 5);
    g_assert_cmphex(fake_read_of(h, 2, PRESENT + 4, 4), ==, 0);
    fake_detach(h, 0);
    g_assert_cmphex(fake_read_of(h, 2, PRESENT, 4), ==, 4);
    fake_close(h);
}

static void test_ring_reaches_whom_it_names(void)
{
    FakeHost *h = start("");

    fake_attach(h, 1);
    fake_attach(h, 3);
    ring(h, 0, 1, 3);
    ring(h, 0, 1, 3);
    ring(h, 1, 3, 7);
    ring(h, 3, 3, 0);
    for (unsigned c = 0; c < FAKE_CLIENTS; c++) {
        for (unsigned v = 0; v < 8; v++) {
            g_assert_cmpuint(h->messages[c][v], ==,
                             c == 1 && v == 3 ? 2 :
                             c == 3 && (v == 7 || v == 0) ? 1 : 0);
        }
    }
    fake_close(h);
}

static void test_rings_in_vain_are_counted(void)
{
    FakeHost *h = start("vectors=4");

    fake_attach(h, 1);
    ring(h, 0, 1, 4);
    ring(h, 0, 2, 0);
    ring(h, 0, 63, 0);
    ring(h, 0, 64, 0);
    ring(h, 0, 0xffff, 0xffff);
    g_assert_cmpuint(fake_read_of(h, 0, MISSED, 4), ==, 5);
    g_assert_cmpuint(fake_read_of(h, 1, MISSED, 4), ==, 0);
    g_assert_cmpuint(h->guest_errors, ==, 5);
    for (unsigned c = 0; c < FAKE_CLIENTS; c++) {
        g_assert_cmpuint(h->messages[c][0], ==, 0);
    }
    fake_reset(h, 0, RIO_MODULE_RESET_SYSTEM);
    g_assert_cmpuint(fake_read_of(h, 0, MISSED, 4), ==, 0);
    fake_close(h);
}

static void test_who_wants_it_is_told_of_the_others(void)
{
    FakeHost *h = start("");

    g_assert_cmphex(fake_read(h, NOTIFY, 4), ==, 0xffffffff);
    fake_attach(h, 1);
    fake_write_of(h, 0, NOTIFY, 4, 2);
    fake_attach(h, 2);
    fake_detach(h, 1);
    g_assert_cmpuint(h->messages[0][2], ==, 2);
    g_assert_cmpuint(h->messages[2][2], ==, 0);
    /* A vector that it does not have is as good as none */
    fake_write_of(h, 0, NOTIFY, 4, 8);
    fake_detach(h, 2);
    g_assert_cmpuint(h->messages[0][2], ==, 2);
    /* Who attaches finds it as after power-on */
    fake_write_of(h, 0, NOTIFY, 4, 1);
    fake_detach(h, 0);
    fake_attach(h, 0);
    g_assert_cmphex(fake_read(h, NOTIFY, 4), ==, 0xffffffff);
    fake_close(h);
}

static void test_ring_is_posted_and_the_rest_is_not(void)
{
    FakeHost *h = start("");

    g_assert_true(fake_attrs(h, RING) & RIO_MODULE_POSTED);
    g_assert_false(fake_attrs(h, NOTIFY) & RIO_MODULE_POSTED);
    g_assert_true(fake_size_allowed(h, PRESENT, 8));
    g_assert_false(fake_size_allowed(h, RING, 8));
    g_assert_false(fake_size_allowed(h, RING, 2));
    g_assert_cmphex(fake_read(h, RING, 4), ==, 0);
    g_assert_cmpuint(h->info.msix_vectors, ==, 8);
    fake_close(h);
}

static void test_bad_parameters_are_refused(void)
{
    static const char *const bad[] = { "vectors=0", "vectors=33" };

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        FakeHost *h = fake_open(rio_module_doorbell_init(), bad[i]);

        g_assert_null(h->state);
        g_assert_nonnull(strstr(h->failure->str, bad[i]));
        fake_close(h);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define T(name, func) g_test_add_func("/doorbell/" name, func)
    T("each-machine-learns-its-number", test_each_machine_learns_its_number);
    T("ring-reaches-whom-it-names", test_ring_reaches_whom_it_names);
    T("rings-in-vain-are-counted", test_rings_in_vain_are_counted);
    T("who-wants-it-is-told-of-the-others",
      test_who_wants_it_is_told_of_the_others);
    T("ring-is-posted-and-the-rest-is-not",
      test_ring_is_posted_and_the_rest_is_not);
    T("bad-parameters-are-refused", test_bad_parameters_are_refused);
#undef T
    return g_test_run();
}
