/*
 * The counter module, register by register
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Register offsets are typed again from its page, as an independent witness.
 */

#include "qemu/osdep.h"
#include "remote-io-module-host.h"
#include "remote-io-module-state.h"

#define ID              0x00
#define READS           0x08
#define WRITES          0x10
#define LAST            0x18
#define SUM             0x20
#define ORDER_LAST      0x28
#define ORDER_ERRORS    0x30
#define RESETS          0x38
#define READS_BY_SIZE   0x40
#define WRITES_BY_SIZE  0x60
#define COUNT_READ      0x80
#define POST            0x88
#define WAIT            0x90
#define ORDER           0x98
#define ORDER_WAIT      0xa0
#define CLEAR           0xa8

const RioModule *rio_module_counter_init(void);

static FakeHost *start(const char *params)
{
    return fake_start(rio_module_counter_init(), params);
}

static void test_identifies_itself(void)
{
    FakeHost *h = start("");

    g_assert_cmphex(fake_read(h, ID, 4), ==, 0x544e4352);
    g_assert_cmphex(fake_read(h, ID + 4, 4), ==, 1);
    g_assert_cmphex(fake_read(h, ID, 8), ==, 0x1544e4352ull);
    fake_close(h);
}

/* Each read of COUNT_READ counts; reads of what shows the count do not */
static void test_counts_reads(void)
{
    FakeHost *h = start("");
    unsigned i;

    for (i = 1; i <= 1000; i++) {
        g_assert_cmpuint(fake_read(h, COUNT_READ, 4), ==, i);
        g_assert_cmpuint(fake_read(h, READS, 8), ==, i);
    }
    g_assert_cmpuint(fake_read(h, WRITES, 8), ==, 0);
    fake_close(h);
}

static void test_counts_reads_by_size(void)
{
    FakeHost *h = start("");
    unsigned i, n;

    for (i = 0; i < 4; i++) {
        for (n = 0; n <= i; n++) {
            fake_read(h, COUNT_READ, 1 << i);
        }
    }
    for (i = 0; i < 4; i++) {
        g_assert_cmpuint(fake_read(h, READS_BY_SIZE + 8 * i, 8), ==, i + 1);
    }
    g_assert_cmpuint(fake_read(h, READS, 8), ==, 10);
    fake_close(h);
}

static void test_counts_and_sums_writes(void)
{
    FakeHost *h = start("");

    fake_write(h, POST, 4, 5);
    fake_write(h, WAIT, 8, 0x100000000ull);
    fake_write(h, POST, 1, 2);
    g_assert_cmpuint(fake_read(h, WRITES, 8), ==, 3);
    g_assert_cmphex(fake_read(h, LAST, 8), ==, 2);
    g_assert_cmphex(fake_read(h, SUM, 8), ==, 0x100000007ull);
    g_assert_cmpuint(fake_read(h, READS, 8), ==, 0);
    fake_close(h);
}

static void test_counts_writes_by_size(void)
{
    FakeHost *h = start("");
    unsigned i, n;

    for (i = 0; i < 4; i++) {
        for (n = 0; n <= i; n++) {
            fake_write(h, n & 1 ? POST : WAIT, 1 << i, 1);
        }
    }
    for (i = 0; i < 4; i++) {
        g_assert_cmpuint(fake_read(h, WRITES_BY_SIZE + 8 * i, 8), ==, i + 1);
    }
    fake_close(h);
}

static void test_halves_of_a_counter_can_be_read(void)
{
    FakeHost *h = start("");

    fake_write(h, POST, 8, 0x1122334455667788ull);
    g_assert_cmphex(fake_read(h, LAST, 4), ==, 0x55667788);
    g_assert_cmphex(fake_read(h, LAST + 4, 4), ==, 0x11223344);
    fake_close(h);
}

/* Posted and waiting stores share one order */
static void test_stores_in_order_are_no_error(void)
{
    FakeHost *h = start("");
    unsigned i;

    for (i = 1; i <= 300; i++) {
        fake_write(h, i % 3 ? ORDER : ORDER_WAIT, 4, i);
    }
    g_assert_cmpuint(fake_read(h, ORDER_ERRORS, 8), ==, 0);
    g_assert_cmpuint(fake_read(h, ORDER_LAST, 8), ==, 300);
    g_assert_cmpuint(fake_read(h, WRITES, 8), ==, 300);
    fake_close(h);
}

static void test_a_lost_store_is_an_error(void)
{
    FakeHost *h = start("");

    fake_write(h, ORDER, 4, 1);
    fake_write(h, ORDER, 4, 3);
    fake_write(h, ORDER, 4, 4);
    g_assert_cmpuint(fake_read(h, ORDER_ERRORS, 8), ==, 1);
    fake_close(h);
}

static void test_a_repeated_store_is_an_error(void)
{
    FakeHost *h = start("");

    fake_write(h, ORDER, 4, 1);
    fake_write(h, ORDER, 4, 1);
    g_assert_cmpuint(fake_read(h, ORDER_ERRORS, 8), ==, 1);
    fake_close(h);
}

static void test_swapped_stores_are_an_error(void)
{
    FakeHost *h = start("");

    fake_write(h, ORDER, 4, 1);
    fake_write(h, ORDER, 4, 3);
    fake_write(h, ORDER, 4, 2);
    fake_write(h, ORDER, 4, 4);
    g_assert_cmpuint(fake_read(h, ORDER_ERRORS, 8), ==, 3);
    fake_close(h);
}

/* A one byte store can say no more than the low byte of its number */
static void test_order_wraps_at_the_width(void)
{
    FakeHost *h = start("");
    unsigned i;

    for (i = 1; i <= 600; i++) {
        fake_write(h, ORDER, 1, i & 0xff);
    }
    g_assert_cmpuint(fake_read(h, ORDER_ERRORS, 8), ==, 0);
    fake_close(h);
}

static void test_clear_zeroes_all_but_resets(void)
{
    FakeHost *h = start("");

    fake_reset(h, 0, RIO_MODULE_RESET_SYSTEM);
    fake_read(h, COUNT_READ, 4);
    fake_write(h, ORDER, 4, 9);
    fake_write(h, CLEAR, 4, 0);
    g_assert_cmpuint(fake_read(h, READS, 8), ==, 0);
    g_assert_cmpuint(fake_read(h, WRITES, 8), ==, 0);
    g_assert_cmpuint(fake_read(h, SUM, 8), ==, 0);
    g_assert_cmpuint(fake_read(h, LAST, 8), ==, 0);
    g_assert_cmpuint(fake_read(h, ORDER_ERRORS, 8), ==, 0);
    g_assert_cmpuint(fake_read(h, ORDER_LAST, 8), ==, 0);
    g_assert_cmpuint(fake_read(h, RESETS, 8), ==, 1);
    fake_close(h);
}

static void test_reset_zeroes_and_is_counted(void)
{
    FakeHost *h = start("");

    fake_write(h, POST, 4, 1);
    fake_reset(h, 0, RIO_MODULE_RESET_SYSTEM);
    fake_reset(h, 0, RIO_MODULE_RESET_FUNCTION);
    g_assert_cmpuint(fake_read(h, WRITES, 8), ==, 0);
    g_assert_cmpuint(fake_read(h, RESETS, 8), ==, 2);
    fake_close(h);
}

static void test_clients_do_not_share_counters(void)
{
    FakeHost *h = start("");

    fake_attach(h, 1);
    fake_write_of(h, 0, POST, 4, 3);
    fake_write_of(h, 1, POST, 4, 4);
    fake_write_of(h, 1, POST, 4, 5);
    fake_reset(h, 0, RIO_MODULE_RESET_SYSTEM);
    g_assert_cmpuint(fake_read_of(h, 0, WRITES, 8), ==, 0);
    g_assert_cmpuint(fake_read_of(h, 1, WRITES, 8), ==, 2);
    g_assert_cmpuint(fake_read_of(h, 1, SUM, 8), ==, 9);
    g_assert_cmpuint(fake_read_of(h, 1, RESETS, 8), ==, 0);
    fake_close(h);
}

static void test_next_client_finds_zero(void)
{
    FakeHost *h = start("");

    fake_write(h, POST, 4, 3);
    fake_reset(h, 0, RIO_MODULE_RESET_SYSTEM);
    fake_detach(h, 0);
    fake_attach(h, 0);
    g_assert_cmpuint(fake_read(h, WRITES, 8), ==, 0);
    g_assert_cmpuint(fake_read(h, RESETS, 8), ==, 0);
    fake_close(h);
}

static void test_only_the_posted_registers_are_posted(void)
{
    FakeHost *h = start("");

    g_assert_cmphex(fake_attrs(h, POST), ==, RIO_MODULE_POSTED);
    g_assert_cmphex(fake_attrs(h, ORDER), ==, RIO_MODULE_POSTED);
    g_assert_cmphex(fake_attrs(h, WAIT), ==, 0);
    g_assert_cmphex(fake_attrs(h, ORDER_WAIT), ==, 0);
    g_assert_cmphex(fake_attrs(h, CLEAR), ==, 0);
    fake_close(h);
}

static void test_only_the_showing_half_is_pure(void)
{
    FakeHost *h = start("");

    g_assert_cmphex(fake_attrs(h, READS), ==, RIO_MODULE_PURE);
    g_assert_cmphex(fake_attrs(h, WRITES_BY_SIZE + 0x1f), ==,
                    RIO_MODULE_PURE);
    g_assert_cmphex(fake_attrs(h, COUNT_READ), ==, 0);
    g_assert_true(fake_size_allowed(h, READS, 4));
    g_assert_true(fake_size_allowed(h, READS, 8));
    g_assert_false(fake_size_allowed(h, READS, 1));
    g_assert_false(fake_size_allowed(h, READS, 2));
    fake_close(h);
}

static void test_stray_accesses_are_told_and_do_nothing(void)
{
    FakeHost *h = start("");

    g_assert_cmphex(fake_read(h, CLEAR + 8, 4), ==, 0);
    g_assert_cmphex(fake_read(h, POST, 4), ==, 0);
    g_assert_cmphex(fake_read(h, 0xff8, 8), ==, 0);
    fake_write(h, READS, 8, 99);
    fake_write(h, POST + 1, 1, 99);
    fake_write(h, 0xff8, 8, 99);
    g_assert_cmpuint(h->guest_errors, ==, 6);
    g_assert_cmpuint(fake_read(h, READS, 8), ==, 0);
    g_assert_cmpuint(fake_read(h, WRITES, 8), ==, 0);
    fake_close(h);
}

static void test_isa_form_has_the_same_registers(void)
{
    FakeHost *h = start("bus=isa");

    g_assert_cmphex(h->info.regions[0].base, ==, 0xb00);
    g_assert_cmpuint(h->info.regions[0].size, ==, 0x100);
    fake_write(h, POST, 4, 7);
    g_assert_cmphex(fake_read(h, SUM, 4), ==, 7);
    fake_close(h);
}

static void test_bad_parameters_are_refused(void)
{
    FakeHost *h = fake_open(rio_module_counter_init(), "bus=vlb");

    g_assert_nonnull(strstr(h->failure->str, "bus=vlb"));
    fake_close(h);
    h = fake_open(rio_module_counter_init(), "bus=isa,iobase=0xff01");
    g_assert_nonnull(strstr(h->failure->str, "iobase=0xff01"));
    fake_close(h);
}

/* State */

static void count_some(FakeHost *h, unsigned client)
{
    for (unsigned i = 1; i <= 5; i++) {
        fake_read_of(h, client, COUNT_READ, 1 << (i & 3));
        fake_write_of(h, client, ORDER, 4, i * (client + 1));
    }
    fake_reset(h, client, RIO_MODULE_RESET_FUNCTION);
    fake_read_of(h, client, COUNT_READ, 8);
    fake_write_of(h, client, ORDER_WAIT, 8, 1000 + client);
}

/* Nothing that can be read is another, and counting goes on */
static void test_moves(void)
{
    FakeHost *h = start("");
    uint64_t before[2][16];

    fake_attach(h, 2);
    count_some(h, 0);
    count_some(h, 2);
    for (unsigned i = 0; i < 16; i++) {
        before[0][i] = fake_read_of(h, 0, i * 8, 8);
        before[1][i] = fake_read_of(h, 2, i * 8, 8);
    }
    h = fake_move(h, "");
    for (unsigned i = 0; i < 16; i++) {
        g_assert_cmphex(fake_read_of(h, 0, i * 8, 8), ==, before[0][i]);
        g_assert_cmphex(fake_read_of(h, 2, i * 8, 8), ==, before[1][i]);
    }
    g_assert_cmpuint(fake_read_of(h, 2, COUNT_READ, 8), ==, 2);
    g_assert_cmpuint(fake_read_of(h, 0, RESETS, 8), ==, 1);
    fake_close(h);
}

static void test_is_of_the_same_clients(void)
{
    FakeHost *h = start("");
    FakeHost *other = fake_open(rio_module_counter_init(), "");
    g_autoptr(GByteArray) saved = fake_save(h);
    g_autofree char *none = fake_load(other, saved->data, saved->len);
    g_autofree char *wrong = NULL;

    g_assert_nonnull(strstr(none, "1 clients, attached are 0"));
    fake_attach(other, 1);
    wrong = fake_load(other, saved->data, saved->len);
    g_assert_nonnull(strstr(wrong, "client 0 of it is not attached"));
    fake_close(other);
    fake_close(h);
}

static void use_counters(FakeHost *h)
{
    count_some(h, 0);
    g_assert_cmpuint(fake_read(h, ORDER_LAST, 8), ==, 1000);
}

static void test_damaged_state(void)
{
    FakeHost *h = start("");

    count_some(h, 0);
    fake_attach(h, 3);
    count_some(h, 3);
    fake_state_hostile(h, "", use_counters);
    fake_close(h);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/counter/identifies-itself", test_identifies_itself);
    g_test_add_func("/counter/counts-reads", test_counts_reads);
    g_test_add_func("/counter/counts-reads-by-size",
                    test_counts_reads_by_size);
    g_test_add_func("/counter/counts-and-sums-writes",
                    test_counts_and_sums_writes);
    g_test_add_func("/counter/counts-writes-by-size",
                    test_counts_writes_by_size);
    g_test_add_func("/counter/halves-of-a-counter-can-be-read",
                    test_halves_of_a_counter_can_be_read);
    g_test_add_func("/counter/stores-in-order-are-no-error",
                    test_stores_in_order_are_no_error);
    g_test_add_func("/counter/a-lost-store-is-an-error",
                    test_a_lost_store_is_an_error);
    g_test_add_func("/counter/a-repeated-store-is-an-error",
                    test_a_repeated_store_is_an_error);
    g_test_add_func("/counter/swapped-stores-are-an-error",
                    test_swapped_stores_are_an_error);
    g_test_add_func("/counter/order-wraps-at-the-width",
                    test_order_wraps_at_the_width);
    g_test_add_func("/counter/clear-zeroes-all-but-resets",
                    test_clear_zeroes_all_but_resets);
    g_test_add_func("/counter/reset-zeroes-and-is-counted",
                    test_reset_zeroes_and_is_counted);
    g_test_add_func("/counter/clients-do-not-share-counters",
                    test_clients_do_not_share_counters);
    g_test_add_func("/counter/next-client-finds-zero",
                    test_next_client_finds_zero);
    g_test_add_func("/counter/only-the-posted-registers-are-posted",
                    test_only_the_posted_registers_are_posted);
    g_test_add_func("/counter/only-the-showing-half-is-pure",
                    test_only_the_showing_half_is_pure);
    g_test_add_func("/counter/stray-accesses-are-told-and-do-nothing",
                    test_stray_accesses_are_told_and_do_nothing);
    g_test_add_func("/counter/isa-form-has-the-same-registers",
                    test_isa_form_has_the_same_registers);
    g_test_add_func("/counter/bad-parameters-are-refused",
                    test_bad_parameters_are_refused);
    g_test_add_func("/counter/state/moves", test_moves);
    g_test_add_func("/counter/state/is-of-the-same-clients",
                    test_is_of_the_same_clients);
    g_test_add_func("/counter/state/damaged", test_damaged_state);
    return g_test_run();
}
