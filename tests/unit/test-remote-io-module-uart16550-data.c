/*
 * The uart16550 module: characters, both ways, and their interrupts
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sections and tables are those of the data sheet of the PC16550D.
 */

#include "qemu/osdep.h"
#include "remote-io-module-uart.h"

/* ---- Receiver ---- */

static void test_received_data_is_read_in_order(void)
{
    FakeHost *h = start_fifo(0);

    type(h, "hello");
    g_assert_cmphex(in(h, LSR), ==, 0x61);
    expect(h, "hello");
    g_assert_cmphex(in(h, LSR), ==, 0x60);
    fake_close(h);
}

/* 16450 mode: one character, and the next when it was taken */
static void test_without_fifo_one_character_at_a_time(void)
{
    FakeHost *h = start("");

    type(h, "abc");
    g_assert_cmpuint(h->coming->len, ==, 2);
    g_assert_cmphex(poll_char(h), ==, 'a');
    g_assert_cmphex(poll_char(h), ==, 'b');
    g_assert_cmphex(poll_char(h), ==, 'c');
    g_assert_cmphex(in(h, LSR), ==, 0x60);
    fake_close(h);
}

static void test_nothing_from_the_chardev_is_lost(void)
{
    FakeHost *h = start_fifo(0xc0);
    uint8_t bytes[1000];
    unsigned i;

    for (i = 0; i < sizeof(bytes); i++) {
        bytes[i] = i * 7;
    }
    fake_type(h, bytes, sizeof(bytes));
    g_assert_cmpuint(h->coming->len, ==, sizeof(bytes) - 16);
    for (i = 0; i < sizeof(bytes); i++) {
        g_assert_cmphex(poll_char(h), ==, bytes[i]);
    }
    g_assert_cmphex(in(h, LSR), ==, 0x60);
    fake_close(h);
}

/* As Linux's does: IIR, then LSR and RBR in turn, and IIR again */
static unsigned handle_interrupt(FakeHost *h, GString *got)
{
    unsigned loops = 0;

    while (in(h, IIR) != F_NO_INT) {
        while (in(h, LSR) & 1) {
            g_string_append_c(got, in(h, RBR));
        }
        loops++;
    }
    return loops;
}

/* However much is waiting, each interrupt brings one FIFO and has an end */
static void test_handler_comes_to_an_end(void)
{
    FakeHost *h = start_fifo(0x80);
    GString *got = g_string_new(NULL);
    unsigned i;

    out(h, IER, 0x01);
    type(h, "0123456789abcdef0123456789abcdef0123456789abcdef");
    for (i = 1; i <= 3; i++) {
        g_assert_true(h->line[0]);
        g_assert_cmpuint(handle_interrupt(h, got), ==, 1);
        g_assert_cmpuint(got->len, ==, 16 * i);
    }
    g_assert_false(h->line[0]);
    g_assert_cmpstr(got->str, ==,
                    "0123456789abcdef0123456789abcdef0123456789abcdef");
    g_string_free(got, TRUE);
    fake_close(h);
}

/* The line goes low in between: an edge is all that ISA's PIC sees */
static void test_each_fifo_is_an_edge(void)
{
    FakeHost *h = start_fifo(0x80);
    GString *got = g_string_new(NULL);

    out(h, IER, 0x01);
    type(h, "0123456789abcdef0123456789abcdef");
    taken_line_changes(h);
    handle_interrupt(h, got);
    g_assert_true(h->line[0]);
    g_assert_cmpuint(taken_line_changes(h), ==, 2);
    g_string_free(got, TRUE);
    fake_close(h);
}

/* A guest that takes a character and looks at nothing else gets the rest */
static void test_receiver_goes_on_after_a_rest(void)
{
    FakeHost *h = start("");

    type(h, "ab");
    g_assert_cmphex(in(h, RBR), ==, 'a');
    fake_advance(h, REST_NS - 1);
    g_assert_cmpuint(h->coming->len, ==, 1);
    fake_advance(h, 1);
    g_assert_cmphex(in(h, RBR), ==, 'b');
    fake_close(h);
}

/* The rest is counted from the last character taken */
static void test_a_slow_handler_is_not_disturbed(void)
{
    FakeHost *h = start_fifo(0x80);
    unsigned i;

    type(h, "0123456789abcdefX");
    for (i = 0; i < 16; i++) {
        in(h, RBR);
        fake_advance(h, REST_NS - 1);
        g_assert_cmpuint(h->coming->len, ==, 1);
    }
    fake_advance(h, 1);
    g_assert_cmphex(in(h, RBR), ==, 'X');
    fake_close(h);
}

static void test_chardev_waits_for_a_client(void)
{
    FakeHost *h = fake_open(rio_module_uart16550_init(), "chardev=c0");

    type(h, "ab");
    g_assert_cmpuint(h->coming->len, ==, 2);
    fake_attach(h, 0);
    g_assert_cmphex(poll_char(h), ==, 'a');
    g_assert_cmphex(poll_char(h), ==, 'b');
    fake_detach(h, 0);
    type(h, "c");
    g_assert_cmpuint(h->coming->len, ==, 1);
    fake_attach(h, 0);
    g_assert_cmphex(in(h, RBR), ==, 'c');
    fake_close(h);
}

static void test_received_data_interrupt(void)
{
    FakeHost *h = start("");

    out(h, MCR, OUT2);
    out(h, IER, 0x01);
    g_assert_cmphex(in(h, IIR), ==, NO_INT);
    type(h, "x");
    g_assert_true(h->line[0]);
    g_assert_cmphex(in(h, IIR), ==, RDA_INT);
    in(h, RBR);
    g_assert_false(h->line[0]);
    g_assert_cmphex(in(h, IIR), ==, NO_INT);
    fake_close(h);
}

/* The interrupt comes at the level and goes below it (8.11) */
static void test_trigger_levels(void)
{
    static const struct { uint8_t fcr, level; } table[] = {
        { 0x00, 1 }, { 0x40, 4 }, { 0x80, 8 }, { 0xc0, 14 },
    };
    unsigned i, n;

    for (i = 0; i < G_N_ELEMENTS(table); i++) {
        FakeHost *h = start_fifo(table[i].fcr);

        out(h, IER, 0x01);
        for (n = 1; n < table[i].level; n++) {
            type(h, "x");
            g_assert_false(h->line[0]);
            g_assert_cmphex(in(h, IIR), ==, F_NO_INT);
            g_assert_cmphex(in(h, LSR) & 1, ==, 1);
        }
        type(h, "x");
        g_assert_true(h->line[0]);
        g_assert_cmphex(in(h, IIR), ==, F_RDA_INT);
        in(h, RBR);
        g_assert_false(h->line[0]);
        fake_close(h);
    }
}

/* ---- FIFO timeout, 8.11 ---- */

static void test_timeout_after_four_character_times(void)
{
    FakeHost *h = start_fifo(0x80);

    out(h, IER, 0x01);
    type(h, "abc");
    fake_advance(h, 4 * CHAR_NS - 1000);
    g_assert_false(h->line[0]);
    g_assert_cmphex(in(h, IIR), ==, F_NO_INT);
    fake_advance(h, 1100);
    g_assert_true(h->line[0]);
    g_assert_cmphex(in(h, IIR), ==, F_CTI_INT);
    fake_close(h);
}

static void test_timeout_is_cleared_by_taking_a_character(void)
{
    FakeHost *h = start_fifo(0x80);

    out(h, IER, 0x01);
    type(h, "abc");
    fake_advance(h, 4 * CHAR_NS + 100);
    in(h, IIR);
    in(h, LSR);
    g_assert_true(h->line[0]);
    g_assert_cmphex(in(h, RBR), ==, 'a');
    g_assert_false(h->line[0]);
    g_assert_cmphex(in(h, IIR), ==, F_NO_INT);
    /* two are left, and the time runs again */
    fake_advance(h, 4 * CHAR_NS + 100);
    g_assert_cmphex(in(h, IIR), ==, F_CTI_INT);
    expect(h, "bc");
    fake_advance(h, 100 * CHAR_NS);
    g_assert_false(h->line[0]);
    fake_close(h);
}

static void test_timeout_runs_anew_with_each_character(void)
{
    FakeHost *h = start_fifo(0x80);
    unsigned i;

    out(h, IER, 0x01);
    for (i = 0; i < 7; i++) {
        type(h, "x");
        fake_advance(h, 3 * CHAR_NS);
        g_assert_false(h->line[0]);
    }
    fake_advance(h, CHAR_NS + 100);
    g_assert_true(h->line[0]);
    fake_close(h);
}

/* A character time follows divisor and format: 12 bits at 9600 */
static void test_timeout_follows_the_line_settings(void)
{
    FakeHost *h = start_fifo(0x80);
    int64_t char_ns = 12 * 1000000000ll / 9600;

    out(h, LCR, 0x9f);
    out(h, DLL, 12);
    out(h, LCR, 0x1f);
    out(h, IER, 0x01);
    type(h, "x");
    fake_advance(h, 4 * char_ns - 1000);
    g_assert_false(h->line[0]);
    fake_advance(h, 1100);
    g_assert_true(h->line[0]);
    fake_close(h);
}

static void test_no_timeout_without_fifo(void)
{
    FakeHost *h = start("");

    out(h, MCR, OUT2);
    out(h, IER, 0x01);
    type(h, "x");
    fake_advance(h, 100 * CHAR_NS);
    g_assert_cmphex(in(h, IIR), ==, RDA_INT);
    g_assert_cmpint(fake_next_timer(h), ==, -1);
    fake_close(h);
}

/* It needs no timer while nobody wants the interrupt; then it is due */
static void test_timeout_counts_from_the_character(void)
{
    FakeHost *h = start_fifo(0x80);

    type(h, "x");
    g_assert_cmpint(fake_next_timer(h), ==, -1);
    fake_advance(h, 10 * CHAR_NS);
    out(h, IER, 0x01);
    g_assert_true(h->line[0]);
    g_assert_cmphex(in(h, IIR), ==, F_CTI_INT);
    fake_close(h);
}

/* ---- Line status errors ---- */

/* Loopback is the one way to overrun this receiver */
static void test_overrun_of_the_fifo_loses_the_new_character(void)
{
    FakeHost *h = start_fifo(0);

    out(h, MCR, LOOP);
    put(h, "0123456789abcdef");
    g_assert_cmphex(in(h, LSR), ==, 0x61);
    put(h, "X");
    g_assert_cmphex(in(h, LSR), ==, 0x63);
    g_assert_cmphex(in(h, LSR), ==, 0x61);
    expect(h, "0123456789abcdef");
    g_assert_cmphex(in(h, LSR), ==, 0x60);
    fake_close(h);
}

static void test_overrun_of_the_register_loses_the_old_character(void)
{
    FakeHost *h = start("");

    out(h, MCR, LOOP);
    put(h, "aX");
    g_assert_cmphex(in(h, LSR), ==, 0x63);
    g_assert_cmphex(in(h, RBR), ==, 'X');
    g_assert_cmphex(in(h, LSR), ==, 0x60);
    fake_close(h);
}

static void test_line_status_interrupt(void)
{
    FakeHost *h = start("bus=pci");

    out(h, MCR, LOOP);
    out(h, IER, 0x04);
    put(h, "a");
    g_assert_false(h->line[0]);
    put(h, "b");
    g_assert_true(h->line[0]);
    g_assert_cmphex(in(h, IIR), ==, RLS_INT);
    g_assert_cmphex(in(h, IIR), ==, RLS_INT);
    g_assert_cmphex(in(h, LSR) & 0x02, ==, 0x02);
    g_assert_false(h->line[0]);
    g_assert_cmphex(in(h, IIR), ==, NO_INT);
    fake_close(h);
}

/* A break is one zero with BI and, no stop bit being there, FE */
static void test_break_in(void)
{
    FakeHost *h = start("");

    fake_event(h, RIO_CHAR_BREAK);
    g_assert_cmphex(in(h, LSR), ==, 0x79);
    g_assert_cmphex(in(h, LSR), ==, 0x61);
    g_assert_cmphex(in(h, RBR), ==, 0);
    g_assert_cmphex(in(h, LSR), ==, 0x60);
    fake_close(h);
}

static void test_break_in_with_odd_parity_is_a_parity_error_too(void)
{
    FakeHost *h = start("");

    out(h, LCR, 0x0b);
    fake_event(h, RIO_CHAR_BREAK);
    g_assert_cmphex(in(h, LSR), ==, 0x7d);
    in(h, RBR);
    in(h, IIR);
    out(h, LCR, 0x1b);
    fake_event(h, RIO_CHAR_BREAK);
    g_assert_cmphex(in(h, LSR), ==, 0x79);
    fake_close(h);
}

/* In the FIFO an error waits for its character; bit 7 tells of it before */
static void test_break_shows_when_its_character_is_next(void)
{
    FakeHost *h = start_fifo(0xc0);

    out(h, IER, 0x04);
    type(h, "a");
    fake_event(h, RIO_CHAR_BREAK);
    type(h, "b");
    g_assert_false(h->line[0]);
    g_assert_cmphex(in(h, LSR), ==, 0xe1);
    g_assert_cmphex(in(h, RBR), ==, 'a');
    g_assert_true(h->line[0]);
    g_assert_cmphex(in(h, IIR), ==, F_RLS_INT);
    g_assert_cmphex(in(h, LSR), ==, 0xf9);
    g_assert_cmphex(in(h, LSR), ==, 0x61);
    g_assert_cmphex(in(h, RBR), ==, 0);
    g_assert_cmphex(in(h, RBR), ==, 'b');
    fake_close(h);
}

/* Bit 7 goes when LSR was read and no error is further back (8.4) */
static void test_fifo_error_bit_outlives_its_character(void)
{
    FakeHost *h = start_fifo(0);

    fake_event(h, RIO_CHAR_BREAK);
    in(h, RBR);
    g_assert_cmphex(in(h, LSR), ==, 0xf8);
    g_assert_cmphex(in(h, LSR), ==, 0x60);
    fake_close(h);
}

static void test_break_waits_for_room(void)
{
    FakeHost *h = start("");

    type(h, "a");
    fake_event(h, RIO_CHAR_BREAK);
    type(h, "b");
    g_assert_cmphex(in(h, LSR), ==, 0x61);
    g_assert_cmphex(in(h, RBR), ==, 'a');
    g_assert_cmphex(in(h, LSR), ==, 0x60);
    g_assert_cmphex(in(h, IIR), ==, NO_INT);
    g_assert_cmphex(in(h, LSR), ==, 0x79);
    g_assert_cmphex(poll_char(h), ==, 0);
    g_assert_cmphex(poll_char(h), ==, 'b');
    fake_close(h);
}

/* ---- Transmitter ---- */

static void test_sent_characters_reach_the_chardev(void)
{
    FakeHost *h = start_fifo(0);

    put(h, "hello");
    fake_advance(h, GATHER_NS);
    g_assert_cmpstr(h->sent->str, ==, "hello");
    fake_close(h);
}

/* Whoever looks at LSR finds the transmitter empty: no wait per character */
static void test_a_look_at_lsr_sends(void)
{
    FakeHost *h = start("");

    put(h, "x");
    g_assert_cmphex(in(h, LSR), ==, 0x60);
    g_assert_cmpstr(h->sent->str, ==, "x");
    fake_close(h);
}

static void test_full_fifo_sends(void)
{
    FakeHost *h = start_fifo(0);

    put(h, "0123456789abcdefX");
    g_assert_cmpstr(h->sent->str, ==, "0123456789abcdef");
    fake_advance(h, GATHER_NS);
    g_assert_cmpstr(h->sent->str, ==, "0123456789abcdefX");
    g_assert_cmpuint(h->guest_errors, ==, 0);
    fake_close(h);
}

static void test_without_fifo_each_character_sends(void)
{
    FakeHost *h = start("");

    put(h, "ab");
    g_assert_cmpstr(h->sent->str, ==, "a");
    fake_advance(h, GATHER_NS);
    g_assert_cmpstr(h->sent->str, ==, "ab");
    fake_close(h);
}

static void test_slow_chardev_holds_the_transmitter(void)
{
    FakeHost *h = start_fifo(0);

    fake_take(h, 2);
    put(h, "abcd");
    g_assert_cmphex(in(h, LSR), ==, 0x00);
    g_assert_cmpstr(h->sent->str, ==, "ab");
    fake_advance(h, 10 * GATHER_NS);
    g_assert_cmphex(in(h, LSR), ==, 0x00);
    fake_take(h, 1);
    g_assert_cmphex(in(h, LSR), ==, 0x00);
    fake_take(h, SIZE_MAX);
    g_assert_cmphex(in(h, LSR), ==, 0x60);
    g_assert_cmpstr(h->sent->str, ==, "abcd");
    fake_close(h);
}

/* A guest that polls LSR does not make the module poll the chardev */
static void test_slow_chardev_is_not_asked_again(void)
{
    FakeHost *h = start_fifo(0);
    unsigned i;

    fake_take(h, 0);
    put(h, "a");
    g_assert_cmphex(in(h, LSR), ==, 0x00);
    g_assert_cmpuint(h->writes, ==, 1);
    for (i = 0; i < 100; i++) {
        g_assert_cmphex(in(h, LSR), ==, 0x00);
    }
    put(h, "b");
    fake_advance(h, 10 * GATHER_NS);
    g_assert_cmpuint(h->writes, ==, 1);
    fake_take(h, SIZE_MAX);
    g_assert_cmpuint(h->writes, ==, 2);
    g_assert_cmpstr(h->sent->str, ==, "ab");
    fake_close(h);
}

static void test_store_to_a_full_transmitter_is_lost_and_told(void)
{
    FakeHost *h = start_fifo(0);

    fake_take(h, 0);
    put(h, "0123456789abcdefX");
    g_assert_cmpuint(h->guest_errors, ==, 1);
    fake_take(h, SIZE_MAX);
    g_assert_cmpstr(h->sent->str, ==, "0123456789abcdef");
    fake_close(h);
}

/* ---- THRE interrupt, 8.6, 8.7, 8.11, table IV ---- */

static void test_thre_when_enabled_while_empty(void)
{
    FakeHost *h = start("");

    out(h, MCR, OUT2);
    out(h, IER, 0x02);
    g_assert_true(h->line[0]);
    g_assert_cmphex(in(h, IIR), ==, THRE_INT);
    fake_close(h);
}

static void test_thre_is_cleared_by_reading_iir(void)
{
    FakeHost *h = start("");

    out(h, MCR, OUT2);
    out(h, IER, 0x02);
    g_assert_cmphex(in(h, IIR), ==, THRE_INT);
    g_assert_false(h->line[0]);
    g_assert_cmphex(in(h, IIR), ==, NO_INT);
    fake_close(h);
}

/* Only if IIR told of it: another source with priority leaves it pending */
static void test_thre_survives_iir_that_told_another_source(void)
{
    FakeHost *h = start("");

    out(h, MCR, OUT2);
    out(h, IER, 0x03);
    type(h, "x");
    g_assert_cmphex(in(h, IIR), ==, RDA_INT);
    in(h, RBR);
    g_assert_true(h->line[0]);
    g_assert_cmphex(in(h, IIR), ==, THRE_INT);
    fake_close(h);
}

static void test_thre_is_cleared_by_writing_thr(void)
{
    FakeHost *h = start_fifo(0);

    out(h, IER, 0x02);
    g_assert_true(h->line[0]);
    put(h, "x");
    g_assert_false(h->line[0]);
    fake_close(h);
}

static void test_thre_when_the_last_character_left(void)
{
    FakeHost *h = start_fifo(0);

    out(h, IER, 0x02);
    in(h, IIR);
    put(h, "x");
    g_assert_false(h->line[0]);
    fake_advance(h, GATHER_NS);
    g_assert_true(h->line[0]);
    g_assert_cmphex(in(h, IIR), ==, F_THRE_INT);
    fake_close(h);
}

/* Not before the chardev took the whole FIFO */
static void test_thre_waits_for_the_chardev(void)
{
    FakeHost *h = start_fifo(0);

    out(h, IER, 0x02);
    in(h, IIR);
    fake_take(h, 1);
    put(h, "xy");
    fake_advance(h, GATHER_NS);
    g_assert_false(h->line[0]);
    g_assert_cmphex(in(h, IIR), ==, F_NO_INT);
    fake_take(h, SIZE_MAX);
    g_assert_true(h->line[0]);
    fake_close(h);
}

/* Drivers test for UARTs that do not do this */
static void test_thre_again_when_enabled_again(void)
{
    FakeHost *h = start("");

    out(h, MCR, OUT2);
    out(h, IER, 0x02);
    g_assert_cmphex(in(h, IIR), ==, THRE_INT);
    out(h, IER, 0x00);
    out(h, IER, 0x02);
    g_assert_cmphex(in(h, IIR), ==, THRE_INT);
    /* but not by a store that leaves it enabled */
    out(h, IER, 0x02);
    g_assert_cmphex(in(h, IIR), ==, NO_INT);
    fake_close(h);
}

static void test_thre_masked_while_disabled(void)
{
    FakeHost *h = start_fifo(0);

    put(h, "x");
    fake_advance(h, GATHER_NS);
    g_assert_false(h->line[0]);
    g_assert_cmphex(in(h, IIR), ==, F_NO_INT);
    fake_close(h);
}

static void test_thre_at_once_when_the_fifo_is_switched_on(void)
{
    FakeHost *h = start("");

    out(h, MCR, OUT2);
    out(h, IER, 0x02);
    in(h, IIR);
    out(h, FCR, 0x01);
    g_assert_true(h->line[0]);
    g_assert_cmphex(in(h, IIR), ==, F_THRE_INT);
    fake_close(h);
}

/* Each FIFO that is sent is one interrupt, whose handler has an end */
static void test_one_interrupt_for_each_fifo(void)
{
    FakeHost *h = start_fifo(0);
    unsigned i;

    out(h, IER, 0x02);
    taken_line_changes(h);
    for (i = 0; i < 100; i++) {
        g_assert_true(h->line[0]);
        g_assert_cmphex(in(h, IIR), ==, F_THRE_INT);
        g_assert_cmphex(in(h, LSR), ==, 0x60);
        put(h, "0123456789abcdef");
        g_assert_false(h->line[0]);
        g_assert_cmphex(in(h, IIR), ==, F_NO_INT);
    }
    g_assert_cmpuint(taken_line_changes(h), ==, 200);
    g_assert_cmpuint(h->sent->len, ==, 1600);
    fake_close(h);
}

/* Polled output leaves the interrupt and the timers alone */
static void test_polled_output_makes_no_interrupt(void)
{
    FakeHost *h = start_fifo(0);
    unsigned i;

    for (i = 0; i < 100; i++) {
        g_assert_cmphex(in(h, LSR), ==, 0x60);
        put(h, "x");
    }
    in(h, LSR);
    g_assert_cmpint(fake_next_timer(h), ==, -1);
    g_assert_cmpuint(taken_line_changes(h), ==, 0);
    g_assert_cmpuint(h->sent->len, ==, 100);
    fake_close(h);
}

#define ADD(name, fn) g_test_add_func("/uart16550/" name, test_##fn)

static void add_receiver(void)
{
    ADD("received-data-is-read-in-order", received_data_is_read_in_order);
    ADD("without-fifo-one-character-at-a-time",
        without_fifo_one_character_at_a_time);
    ADD("nothing-from-the-chardev-is-lost",
        nothing_from_the_chardev_is_lost);
    ADD("handler-comes-to-an-end", handler_comes_to_an_end);
    ADD("each-fifo-is-an-edge", each_fifo_is_an_edge);
    ADD("receiver-goes-on-after-a-rest", receiver_goes_on_after_a_rest);
    ADD("a-slow-handler-is-not-disturbed", a_slow_handler_is_not_disturbed);
    ADD("chardev-waits-for-a-client", chardev_waits_for_a_client);
    ADD("received-data-interrupt", received_data_interrupt);
    ADD("trigger-levels", trigger_levels);
    ADD("timeout-after-four-character-times",
        timeout_after_four_character_times);
    ADD("timeout-is-cleared-by-taking-a-character",
        timeout_is_cleared_by_taking_a_character);
    ADD("timeout-runs-anew-with-each-character",
        timeout_runs_anew_with_each_character);
    ADD("timeout-follows-the-line-settings",
        timeout_follows_the_line_settings);
    ADD("no-timeout-without-fifo", no_timeout_without_fifo);
    ADD("timeout-counts-from-the-character",
        timeout_counts_from_the_character);
    ADD("overrun-of-the-fifo-loses-the-new-character",
        overrun_of_the_fifo_loses_the_new_character);
    ADD("overrun-of-the-register-loses-the-old-character",
        overrun_of_the_register_loses_the_old_character);
    ADD("line-status-interrupt", line_status_interrupt);
    ADD("break-in", break_in);
    ADD("break-in-with-odd-parity-is-a-parity-error-too",
        break_in_with_odd_parity_is_a_parity_error_too);
    ADD("break-shows-when-its-character-is-next",
        break_shows_when_its_character_is_next);
    ADD("fifo-error-bit-outlives-its-character",
        fifo_error_bit_outlives_its_character);
    ADD("break-waits-for-room", break_waits_for_room);
}

static void add_transmitter(void)
{
    ADD("sent-characters-reach-the-chardev",
        sent_characters_reach_the_chardev);
    ADD("a-look-at-lsr-sends", a_look_at_lsr_sends);
    ADD("full-fifo-sends", full_fifo_sends);
    ADD("without-fifo-each-character-sends",
        without_fifo_each_character_sends);
    ADD("slow-chardev-holds-the-transmitter",
        slow_chardev_holds_the_transmitter);
    ADD("slow-chardev-is-not-asked-again", slow_chardev_is_not_asked_again);
    ADD("store-to-a-full-transmitter-is-lost-and-told",
        store_to_a_full_transmitter_is_lost_and_told);
    ADD("thre-when-enabled-while-empty", thre_when_enabled_while_empty);
    ADD("thre-is-cleared-by-reading-iir", thre_is_cleared_by_reading_iir);
    ADD("thre-survives-iir-that-told-another-source",
        thre_survives_iir_that_told_another_source);
    ADD("thre-is-cleared-by-writing-thr", thre_is_cleared_by_writing_thr);
    ADD("thre-when-the-last-character-left",
        thre_when_the_last_character_left);
    ADD("thre-waits-for-the-chardev", thre_waits_for_the_chardev);
    ADD("thre-again-when-enabled-again", thre_again_when_enabled_again);
    ADD("thre-masked-while-disabled", thre_masked_while_disabled);
    ADD("thre-at-once-when-the-fifo-is-switched-on",
        thre_at_once_when_the_fifo_is_switched_on);
    ADD("one-interrupt-for-each-fifo", one_interrupt_for_each_fifo);
    ADD("polled-output-makes-no-interrupt",
        polled_output_makes_no_interrupt);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_receiver();
    add_transmitter();
    return g_test_run();
}
