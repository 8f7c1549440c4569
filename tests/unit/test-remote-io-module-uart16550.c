/*
 * The uart16550 module against the data sheet of the PC16550D
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Registers and bits are typed again from the data sheet, as an independent
 * witness of those in the module.
 */

#include "qemu/osdep.h"
#include "remote-io-module-host.h"

#define RBR 0
#define THR 0
#define DLL 0
#define IER 1
#define DLM 1
#define IIR 2
#define FCR 2
#define LCR 3
#define MCR 4
#define LSR 5
#define MSR 6
#define SCR 7

/* What IIR shows: without FIFOs, and with them */
#define NO_INT      0x01
#define RLS_INT     0x06
#define RDA_INT     0x04
#define THRE_INT    0x02
#define MS_INT      0x00
#define F_NO_INT    0xc1
#define F_RLS_INT   0xc6
#define F_RDA_INT   0xc4
#define F_CTI_INT   0xcc
#define F_THRE_INT  0xc2

#define OUT2        0x08
#define LOOP        0x10

/* One character of 8N1 at 115200: 10 bits of 8680 ns */
#define CHAR_NS     (10 * 1000000000ll / 115200)

/* A burst of stores to THR is sent this late at the latest */
#define GATHER_NS   100000

const RioModule *rio_module_uart16550_init(void);

/* Fresh from reset, with the line set to 8N1 at 115200 */
static FakeHost *start(const char *params)
{
    char *all = g_strdup_printf("chardev=c0%s%s", *params ? "," : "", params);
    FakeHost *h = fake_start(rio_module_uart16550_init(), all);

    fake_write(h, LCR, 1, 0x83);
    fake_write(h, DLL, 1, 1);
    fake_write(h, DLM, 1, 0);
    fake_write(h, LCR, 1, 0x03);
    g_free(all);
    return h;
}

/* The same with interrupts let through and FIFOs on, trigger level 1 */
static FakeHost *start_fifo(uint8_t trigger)
{
    FakeHost *h = start("");

    fake_write(h, MCR, 1, OUT2);
    fake_write(h, FCR, 1, 0x01 | trigger);
    return h;
}

static uint8_t in(FakeHost *h, unsigned reg)
{
    return fake_read(h, reg, 1);
}

static void out(FakeHost *h, unsigned reg, uint8_t value)
{
    fake_write(h, reg, 1, value);
}

static void put(FakeHost *h, const char *text)
{
    for (; *text; text++) {
        out(h, THR, *text);
    }
}

static void type(FakeHost *h, const char *text)
{
    fake_type(h, text, strlen(text));
}

/* Takes as many characters as @text has from RBR and compares */
static void expect(FakeHost *h, const char *text)
{
    for (; *text; text++) {
        g_assert_cmphex(in(h, RBR), ==, *text);
    }
}

static unsigned taken_line_changes(FakeHost *h)
{
    unsigned n = h->line_changes[0];

    h->line_changes[0] = 0;
    return n;
}

/* ---- Reset, table I ---- */

static void assert_reset_values(FakeHost *h)
{
    g_assert_cmphex(in(h, IER), ==, 0x00);
    g_assert_cmphex(in(h, IIR), ==, 0x01);
    g_assert_cmphex(in(h, LCR), ==, 0x00);
    g_assert_cmphex(in(h, MCR), ==, 0x00);
    g_assert_cmphex(in(h, LSR), ==, 0x60);
    g_assert_cmphex(in(h, MSR) & 0x0f, ==, 0x00);
    g_assert_false(h->line[0]);
}

static void test_power_on_values(void)
{
    FakeHost *h = fake_start(rio_module_uart16550_init(), "chardev=c0");

    assert_reset_values(h);
    fake_close(h);
}

static void test_reset_restores_power_on_values(void)
{
    FakeHost *h = start_fifo(0x80);

    out(h, IER, 0x0f);
    out(h, MCR, 0x0b);
    out(h, LCR, 0x5f);
    type(h, "x");
    g_assert_true(h->line[0]);
    fake_reset(h, 0, RIO_MODULE_RESET_SYSTEM);
    assert_reset_values(h);
    g_assert_cmphex(h->modem_out, ==, 0);
    g_assert_false(h->brk);
    fake_close(h);
}

/* ---- Latches ---- */

static void test_scratch_keeps_what_is_written(void)
{
    FakeHost *h = start("");
    unsigned i;

    for (i = 0; i < 256; i++) {
        out(h, SCR, i);
        g_assert_cmphex(in(h, SCR), ==, i);
    }
    fake_close(h);
}

/* Bits 4 to 7 of IER and 5 to 7 of MCR are always 0 (8.7, 8.8) */
static void test_reserved_bits_stay_zero(void)
{
    FakeHost *h = start("");

    out(h, IER, 0xff);
    out(h, MCR, 0xff);
    g_assert_cmphex(in(h, IER), ==, 0x0f);
    g_assert_cmphex(in(h, MCR), ==, 0x1f);
    fake_close(h);
}

static void test_dlab_opens_the_divisor_latch(void)
{
    FakeHost *h = start("");

    out(h, IER, 0x05);
    out(h, LCR, 0x83);
    g_assert_cmphex(in(h, DLL), ==, 0x01);
    out(h, DLL, 0x34);
    out(h, DLM, 0x12);
    g_assert_cmphex(in(h, DLL), ==, 0x34);
    g_assert_cmphex(in(h, DLM), ==, 0x12);
    out(h, LCR, 0x03);
    g_assert_cmphex(in(h, IER), ==, 0x05);
    fake_advance(h, GATHER_NS);
    g_assert_cmpuint(h->sent->len, ==, 0);
    fake_close(h);
}

/* A 16 bit access is two of 8 bits, low address first */
static void test_wide_accesses_are_cut_into_bytes(void)
{
    FakeHost *h = start("");

    out(h, LCR, 0x83);
    fake_write(h, DLL, 2, 0x1234);
    g_assert_cmphex(in(h, DLL), ==, 0x34);
    g_assert_cmphex(in(h, DLM), ==, 0x12);
    g_assert_cmphex(fake_read(h, DLL, 2), ==, 0x1234);
    g_assert_cmphex(fake_read(h, DLL, 4), ==, 0x83011234);
    fake_close(h);
}

static void test_writes_to_status_registers_are_told(void)
{
    FakeHost *h = start("");

    out(h, LSR, 0xff);
    out(h, MSR, 0xff);
    g_assert_cmpuint(h->guest_errors, ==, 2);
    g_assert_cmphex(in(h, LSR), ==, 0x60);
    fake_close(h);
}

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
    g_assert_cmphex(in(h, RBR), ==, 'a');
    g_assert_cmpuint(h->coming->len, ==, 1);
    expect(h, "bc");
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
        g_assert_cmphex(in(h, LSR) & 0x83, ==, 0x01);
        g_assert_cmphex(in(h, RBR), ==, bytes[i]);
    }
    g_assert_cmphex(in(h, LSR), ==, 0x60);
    fake_close(h);
}

static void test_chardev_waits_for_a_client(void)
{
    FakeHost *h = fake_open(rio_module_uart16550_init(), "chardev=c0");

    type(h, "ab");
    g_assert_cmpuint(h->coming->len, ==, 2);
    fake_attach(h, 0);
    g_assert_cmphex(in(h, RBR), ==, 'a');
    g_assert_cmphex(in(h, RBR), ==, 'b');
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
    g_assert_cmphex(in(h, LSR), ==, 0x79);
    g_assert_cmphex(in(h, RBR), ==, 0);
    g_assert_cmphex(in(h, RBR), ==, 'b');
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

/* A driver that stays in its handler never sees the line move */
static void test_a_looping_driver_gets_no_second_interrupt(void)
{
    FakeHost *h = start_fifo(0);
    unsigned i;

    out(h, IER, 0x02);
    g_assert_cmpuint(taken_line_changes(h), ==, 1);
    g_assert_cmphex(in(h, IIR), ==, F_THRE_INT);
    g_assert_cmpuint(taken_line_changes(h), ==, 1);
    for (i = 0; i < 100; i++) {
        put(h, "0123456789abcdef");
        g_assert_cmphex(in(h, IIR), ==, F_THRE_INT);
    }
    g_assert_cmpuint(taken_line_changes(h), ==, 0);
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

/* ---- FIFO control ---- */

static void test_iir_tells_that_fifos_are_on(void)
{
    FakeHost *h = start("");

    g_assert_cmphex(in(h, IIR), ==, 0x01);
    out(h, FCR, 0x01);
    g_assert_cmphex(in(h, IIR), ==, 0xc1);
    out(h, FCR, 0x00);
    g_assert_cmphex(in(h, IIR), ==, 0x01);
    fake_close(h);
}

static void test_fcr_clears_the_receiver(void)
{
    FakeHost *h = start_fifo(0);

    type(h, "abc");
    out(h, FCR, 0x03);
    g_assert_cmphex(in(h, LSR), ==, 0x60);
    type(h, "d");
    expect(h, "d");
    fake_close(h);
}

/* What the chardev still holds is not in the FIFO */
static void test_cleared_receiver_takes_more_from_the_chardev(void)
{
    FakeHost *h = start_fifo(0);

    type(h, "0123456789abcdefXY");
    out(h, FCR, 0x03);
    expect(h, "XY");
    fake_close(h);
}

static void test_fcr_clears_the_transmitter(void)
{
    FakeHost *h = start_fifo(0);

    out(h, IER, 0x02);
    in(h, IIR);
    fake_take(h, 0);
    put(h, "abc");
    g_assert_cmphex(in(h, LSR), ==, 0x00);
    out(h, FCR, 0x05);
    g_assert_cmphex(in(h, LSR), ==, 0x60);
    g_assert_cmphex(in(h, IIR), ==, F_THRE_INT);
    fake_take(h, SIZE_MAX);
    g_assert_cmpuint(h->sent->len, ==, 0);
    put(h, "d");
    in(h, LSR);
    g_assert_cmpstr(h->sent->str, ==, "d");
    fake_close(h);
}

static void test_change_of_mode_empties_the_fifo(void)
{
    FakeHost *h = start_fifo(0);

    type(h, "abc");
    out(h, FCR, 0x00);
    g_assert_cmphex(in(h, LSR), ==, 0x60);
    fake_close(h);
}

/* The trigger is not taken when FCR bit 0 is 0 (8.5) */
static void test_fcr_bits_need_the_enable_bit(void)
{
    FakeHost *h = start_fifo(0);

    out(h, FCR, 0xc0);
    out(h, FCR, 0x01);
    out(h, IER, 0x01);
    type(h, "x");
    g_assert_cmphex(in(h, IIR), ==, F_RDA_INT);
    fake_close(h);
}

/* ---- Priorities, table IV ---- */

static void test_interrupt_priorities(void)
{
    FakeHost *h = start("");

    h->has_modem = true;
    h->modem_in = 0;
    out(h, MCR, OUT2);
    in(h, MSR);
    h->modem_in = RIO_CHAR_CTS;
    out(h, IER, 0x0f);
    fake_event(h, RIO_CHAR_BREAK);
    g_assert_cmphex(in(h, IIR), ==, RLS_INT);
    in(h, LSR);
    g_assert_cmphex(in(h, IIR), ==, RDA_INT);
    in(h, RBR);
    g_assert_cmphex(in(h, IIR), ==, THRE_INT);
    g_assert_cmphex(in(h, IIR), ==, MS_INT);
    in(h, MSR);
    g_assert_cmphex(in(h, IIR), ==, NO_INT);
    g_assert_false(h->line[0]);
    fake_close(h);
}

/* ---- Modem ---- */

static void test_modem_outputs(void)
{
    FakeHost *h = start("");

    out(h, MCR, 0x01);
    g_assert_cmphex(h->modem_out, ==, RIO_CHAR_DTR);
    out(h, MCR, 0x02);
    g_assert_cmphex(h->modem_out, ==, RIO_CHAR_RTS);
    out(h, MCR, 0x03);
    g_assert_cmphex(h->modem_out, ==, RIO_CHAR_DTR | RIO_CHAR_RTS);
    out(h, MCR, 0x0f);
    g_assert_cmpuint(h->modem_sets, ==, 3);
    fake_detach(h, 0);
    g_assert_cmphex(h->modem_out, ==, 0);
    fake_close(h);
}

static void test_a_plain_chardev_looks_like_a_null_modem(void)
{
    FakeHost *h = start("");

    g_assert_cmphex(in(h, MSR), ==, 0xb0);
    fake_close(h);
}

static void test_modem_inputs_and_their_changes(void)
{
    static const struct { unsigned line; uint8_t status, on, off; } table[] = {
        { RIO_CHAR_CTS, 0x10, 0x01, 0x01 },
        { RIO_CHAR_DSR, 0x20, 0x02, 0x02 },
        { RIO_CHAR_RI,  0x40, 0x00, 0x04 },     /* only the trailing edge */
        { RIO_CHAR_DCD, 0x80, 0x08, 0x08 },
    };
    FakeHost *h = start("");
    unsigned i;

    h->has_modem = true;
    h->modem_in = 0;
    in(h, MSR);
    for (i = 0; i < G_N_ELEMENTS(table); i++) {
        g_assert_cmphex(in(h, MSR), ==, 0);
        h->modem_in = table[i].line;
        g_assert_cmphex(in(h, MSR), ==, table[i].status | table[i].on);
        g_assert_cmphex(in(h, MSR), ==, table[i].status);
        h->modem_in = 0;
        g_assert_cmphex(in(h, MSR), ==, table[i].off);
    }
    fake_close(h);
}

/* The lines of a real port are watched only while the guest wants to know */
static void test_modem_status_interrupt(void)
{
    FakeHost *h = start("");

    h->has_modem = true;
    h->modem_in = 0;
    out(h, MCR, OUT2);
    in(h, MSR);
    g_assert_cmpint(fake_next_timer(h), ==, -1);
    out(h, IER, 0x08);
    h->modem_in = RIO_CHAR_DCD;
    fake_advance(h, 10 * 1000 * 1000);
    g_assert_true(h->line[0]);
    g_assert_cmphex(in(h, IIR), ==, MS_INT);
    g_assert_cmphex(in(h, MSR), ==, 0x88);
    g_assert_false(h->line[0]);
    out(h, IER, 0x00);
    g_assert_cmpint(fake_next_timer(h), ==, -1);
    fake_close(h);
}

static void test_a_plain_chardev_needs_no_polling(void)
{
    FakeHost *h = start("");

    out(h, IER, 0x0f);
    g_assert_cmpint(fake_next_timer(h), ==, -1);
    fake_close(h);
}

/* ---- OUT2 ---- */

static void test_out2_gates_the_interrupt_of_a_pc(void)
{
    FakeHost *h = start("");

    out(h, IER, 0x02);
    g_assert_false(h->line[0]);
    out(h, MCR, OUT2);
    g_assert_true(h->line[0]);
    out(h, MCR, OUT2 | LOOP);
    g_assert_false(h->line[0]);
    out(h, MCR, 0);
    g_assert_false(h->line[0]);
    g_assert_cmphex(in(h, IIR), ==, THRE_INT);
    fake_close(h);
}

static void test_pci_interrupt_has_no_gate(void)
{
    FakeHost *h = start("bus=pci");

    out(h, IER, 0x02);
    g_assert_true(h->line[0]);
    in(h, IIR);
    g_assert_false(h->line[0]);
    fake_close(h);
}

/* ---- Loopback, 8.8 ---- */

static void test_loopback_returns_data_and_sends_none(void)
{
    FakeHost *h = start_fifo(0);

    out(h, MCR, LOOP);
    put(h, "abc");
    g_assert_cmphex(in(h, LSR), ==, 0x61);
    expect(h, "abc");
    g_assert_cmpuint(h->sent->len, ==, 0);
    fake_close(h);
}

static void test_loopback_cuts_to_the_word_length(void)
{
    static const uint8_t masks[4] = { 0x1f, 0x3f, 0x7f, 0xff };
    FakeHost *h = start("");
    unsigned i;

    out(h, MCR, LOOP);
    for (i = 0; i < 4; i++) {
        out(h, LCR, i);
        out(h, THR, 0xff);
        g_assert_cmphex(in(h, RBR), ==, masks[i]);
    }
    fake_close(h);
}

static void test_loopback_connects_modem_outputs_to_inputs(void)
{
    static const struct { uint8_t mcr, msr; } table[] = {
        { 0x01, 0x20 }, { 0x02, 0x10 }, { 0x04, 0x40 }, { 0x08, 0x80 },
        { 0x0a, 0x90 }, { 0x0f, 0xf0 }, { 0x00, 0x00 },
    };
    FakeHost *h = start("");
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(table); i++) {
        out(h, MCR, LOOP | table[i].mcr);
        g_assert_cmphex(in(h, MSR) & 0xf0, ==, table[i].msr);
    }
    fake_close(h);
}

static void test_loopback_modem_changes_interrupt(void)
{
    FakeHost *h = start("bus=pci");

    out(h, MCR, LOOP);
    in(h, MSR);
    out(h, IER, 0x08);
    g_assert_false(h->line[0]);
    out(h, MCR, LOOP | 0x04);
    g_assert_false(h->line[0]);
    out(h, MCR, LOOP);
    g_assert_true(h->line[0]);
    g_assert_cmphex(in(h, MSR), ==, 0x04);
    fake_close(h);
}

static void test_loopback_switches_the_outputs_off(void)
{
    FakeHost *h = start("");

    out(h, MCR, 0x03);
    out(h, MCR, LOOP | 0x03);
    g_assert_cmphex(h->modem_out, ==, 0);
    out(h, MCR, 0x03);
    g_assert_cmphex(h->modem_out, ==, RIO_CHAR_DTR | RIO_CHAR_RTS);
    fake_close(h);
}

/* What was written before loopback leaves, what comes during it waits */
static void test_loopback_loses_nothing_at_its_ends(void)
{
    FakeHost *h = start_fifo(0);

    put(h, "out");
    out(h, MCR, LOOP);
    g_assert_cmpstr(h->sent->str, ==, "out");
    type(h, "in");
    g_assert_cmphex(in(h, LSR), ==, 0x60);
    out(h, MCR, 0);
    expect(h, "in");
    fake_close(h);
}

/* ---- The line ---- */

static void test_line_settings_reach_the_chardev(void)
{
    FakeHost *h = start("");

    g_assert_cmpuint(h->set_line.speed, ==, 115200);
    g_assert_cmpint(h->set_line.parity, ==, 'N');
    g_assert_cmpuint(h->set_line.data_bits, ==, 8);
    g_assert_cmpuint(h->set_line.stop_bits, ==, 1);
    out(h, LCR, 0x9e);
    out(h, DLL, 0x80);
    out(h, DLM, 0x01);
    out(h, LCR, 0x1e);
    g_assert_cmpuint(h->set_line.speed, ==, 300);
    g_assert_cmpint(h->set_line.parity, ==, 'E');
    g_assert_cmpuint(h->set_line.data_bits, ==, 7);
    g_assert_cmpuint(h->set_line.stop_bits, ==, 2);
    out(h, LCR, 0x0a);
    g_assert_cmpint(h->set_line.parity, ==, 'O');
    fake_close(h);
}

static void test_half_a_divisor_is_never_set(void)
{
    FakeHost *h = start("");
    unsigned before = h->line_sets;

    out(h, LCR, 0x83);
    out(h, DLL, 0x00);
    out(h, DLM, 0x03);
    g_assert_cmpuint(h->line_sets, ==, before);
    out(h, LCR, 0x03);
    g_assert_cmpuint(h->line_sets, ==, before + 1);
    g_assert_cmpuint(h->set_line.speed, ==, 150);
    out(h, LCR, 0x03);
    g_assert_cmpuint(h->line_sets, ==, before + 1);
    fake_close(h);
}

static void test_baudbase_parameter(void)
{
    FakeHost *h = start("bus=pci,baudbase=921600");

    g_assert_cmpuint(h->set_line.speed, ==, 921600);
    fake_close(h);
}

/* A guest may write any divisor */
static void test_divisor_zero_is_harmless(void)
{
    FakeHost *h = start_fifo(0xc0);

    out(h, IER, 0x01);
    out(h, LCR, 0x83);
    out(h, DLL, 0);
    out(h, DLM, 0);
    out(h, LCR, 0x03);
    type(h, "x");
    fake_advance(h, 5 * CHAR_NS);
    g_assert_cmphex(in(h, RBR), ==, 'x');
    fake_close(h);
}

static void test_break_out(void)
{
    FakeHost *h = start_fifo(0);

    put(h, "x");
    out(h, LCR, 0x43);
    g_assert_true(h->brk);
    g_assert_cmpstr(h->sent->str, ==, "x");
    out(h, LCR, 0x03);
    g_assert_false(h->brk);
    g_assert_cmpuint(h->brk_changes, ==, 2);
    fake_close(h);
}

/* ---- Description and parameters ---- */

static void test_com_ports(void)
{
    static const struct { const char *params; uint64_t base; unsigned irq; }
    table[] = {
        { "", 0x3f8, 4 }, { "com=1", 0x3f8, 4 }, { "com=2", 0x2f8, 3 },
        { "com=3", 0x3e8, 4 }, { "com=4", 0x2e8, 3 },
        { "iobase=0x1000,irq=7", 0x1000, 7 }, { "com=2,irq=9", 0x2f8, 9 },
    };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(table); i++) {
        FakeHost *h = start(table[i].params);

        g_assert_cmpuint(h->info.bus, ==, RIO_MODULE_ISA);
        g_assert_cmphex(h->info.regions[0].base, ==, table[i].base);
        g_assert_cmpuint(h->info.isa_irq, ==, table[i].irq);
        g_assert_cmpstr(h->info.acpi_hid, ==, "PNP0501");
        fake_close(h);
    }
}

/* The class is what Linux's 8250_pci goes by, with one BAR of 8 ports */
static void test_pci_identity(void)
{
    FakeHost *h = start("bus=pci");

    g_assert_cmpuint(h->info.bus, ==, RIO_MODULE_PCI);
    g_assert_cmphex(h->info.class_code, ==, 0x070002);
    g_assert_cmpuint(h->info.num_regions, ==, 1);
    g_assert_cmpuint(h->info.regions[0].space, ==, RIO_MODULE_PIO);
    g_assert_cmpuint(h->info.regions[0].size, ==, 8);
    g_assert_cmpuint(h->info.lines, ==, 1);
    fake_close(h);
}

static void test_all_stores_are_posted(void)
{
    FakeHost *h = start("");
    unsigned i;

    for (i = 0; i < 8; i++) {
        g_assert_cmphex(fake_attrs(h, i) & RIO_MODULE_POSTED, ==,
                        RIO_MODULE_POSTED);
        g_assert_false(fake_size_allowed(h, i, 8));
    }
    fake_close(h);
}

/* Loads that take something away must not be called pure */
static void test_pure_loads(void)
{
    FakeHost *h = start("");
    unsigned i;

    for (i = 0; i < 8; i++) {
        bool pure = i == IER || i == LCR || i == MCR || i == SCR;

        g_assert_true(!!(fake_attrs(h, i) & RIO_MODULE_PURE) == pure);
    }
    fake_close(h);
}

static void test_bad_parameters_are_refused(void)
{
    static const struct { const char *params, *word; } table[] = {
        { "chardev=c0,bus=mca", "bus=mca" },
        { "chardev=c0,com=5", "com=5" },
        { "chardev=c0,com=0", "com=0" },
        { "chardev=c0,iobase=0xfff9", "iobase=0xfff9" },
        { "chardev=c0,irq=16", "irq=16" },
        { "chardev=c0,baudbase=0", "baudbase=0" },
        { "chardev=c9", "c9" },
    };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(table); i++) {
        FakeHost *h = fake_open(rio_module_uart16550_init(),
                                table[i].params);

        g_assert_nonnull(strstr(h->failure->str, table[i].word));
        fake_close(h);
    }
}

#define ADD(name, fn) g_test_add_func("/uart16550/" name, test_##fn)

static void add_receiver(void)
{
    ADD("received-data-is-read-in-order", received_data_is_read_in_order);
    ADD("without-fifo-one-character-at-a-time",
        without_fifo_one_character_at_a_time);
    ADD("nothing-from-the-chardev-is-lost",
        nothing_from_the_chardev_is_lost);
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
    ADD("a-looping-driver-gets-no-second-interrupt",
        a_looping_driver_gets_no_second_interrupt);
    ADD("polled-output-makes-no-interrupt",
        polled_output_makes_no_interrupt);
}

static void add_control(void)
{
    ADD("iir-tells-that-fifos-are-on", iir_tells_that_fifos_are_on);
    ADD("fcr-clears-the-receiver", fcr_clears_the_receiver);
    ADD("cleared-receiver-takes-more-from-the-chardev",
        cleared_receiver_takes_more_from_the_chardev);
    ADD("fcr-clears-the-transmitter", fcr_clears_the_transmitter);
    ADD("change-of-mode-empties-the-fifo", change_of_mode_empties_the_fifo);
    ADD("fcr-bits-need-the-enable-bit", fcr_bits_need_the_enable_bit);
    ADD("interrupt-priorities", interrupt_priorities);
    ADD("modem-outputs", modem_outputs);
    ADD("a-plain-chardev-looks-like-a-null-modem",
        a_plain_chardev_looks_like_a_null_modem);
    ADD("modem-inputs-and-their-changes", modem_inputs_and_their_changes);
    ADD("modem-status-interrupt", modem_status_interrupt);
    ADD("a-plain-chardev-needs-no-polling",
        a_plain_chardev_needs_no_polling);
    ADD("out2-gates-the-interrupt-of-a-pc",
        out2_gates_the_interrupt_of_a_pc);
    ADD("pci-interrupt-has-no-gate", pci_interrupt_has_no_gate);
}

static void add_line(void)
{
    ADD("loopback-returns-data-and-sends-none",
        loopback_returns_data_and_sends_none);
    ADD("loopback-cuts-to-the-word-length",
        loopback_cuts_to_the_word_length);
    ADD("loopback-connects-modem-outputs-to-inputs",
        loopback_connects_modem_outputs_to_inputs);
    ADD("loopback-modem-changes-interrupt",
        loopback_modem_changes_interrupt);
    ADD("loopback-switches-the-outputs-off",
        loopback_switches_the_outputs_off);
    ADD("loopback-loses-nothing-at-its-ends",
        loopback_loses_nothing_at_its_ends);
    ADD("line-settings-reach-the-chardev", line_settings_reach_the_chardev);
    ADD("half-a-divisor-is-never-set", half_a_divisor_is_never_set);
    ADD("baudbase-parameter", baudbase_parameter);
    ADD("divisor-zero-is-harmless", divisor_zero_is_harmless);
    ADD("break-out", break_out);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("power-on-values", power_on_values);
    ADD("reset-restores-power-on-values", reset_restores_power_on_values);
    ADD("scratch-keeps-what-is-written", scratch_keeps_what_is_written);
    ADD("reserved-bits-stay-zero", reserved_bits_stay_zero);
    ADD("dlab-opens-the-divisor-latch", dlab_opens_the_divisor_latch);
    ADD("wide-accesses-are-cut-into-bytes",
        wide_accesses_are_cut_into_bytes);
    ADD("writes-to-status-registers-are-told",
        writes_to_status_registers_are_told);
    add_receiver();
    add_transmitter();
    add_control();
    add_line();
    ADD("com-ports", com_ports);
    ADD("pci-identity", pci_identity);
    ADD("all-stores-are-posted", all_stores_are_posted);
    ADD("pure-loads", pure_loads);
    ADD("bad-parameters-are-refused", bad_parameters_are_refused);
    return g_test_run();
}
