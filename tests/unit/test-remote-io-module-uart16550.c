/*
 * The uart16550 module: control, modem and line registers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sections and tables are those of the data sheet of the PC16550D.
 */

#include "qemu/osdep.h"
#include "remote-io-module-uart.h"

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

static void test_fcr_clears_errors_that_wait_in_the_receiver(void)
{
    FakeHost *h = start_fifo(0xc0);

    type(h, "a");
    fake_event(h, RIO_CHAR_BREAK);
    out(h, FCR, 0x03);
    g_assert_cmphex(in(h, LSR), ==, 0x60);
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

/* No other bit is taken when FCR bit 0 is 0 (8.5) */
static void test_fcr_bits_need_the_enable_bit(void)
{
    FakeHost *h = start("");

    type(h, "x");
    out(h, FCR, 0xc6);
    g_assert_cmphex(in(h, LSR), ==, 0x61);
    g_assert_cmphex(in(h, RBR), ==, 'x');
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
    out(h, DLL, 0x80);
    out(h, MCR, 0x03);
    out(h, DLM, 0x01);
    g_assert_cmpuint(h->line_sets, ==, before);
    out(h, LCR, 0x03);
    g_assert_cmpuint(h->line_sets, ==, before + 1);
    g_assert_cmpuint(h->set_line.speed, ==, 300);
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

/* In loopback the output is at rest (8.8) */
static void test_no_break_out_in_loopback(void)
{
    FakeHost *h = start("");

    out(h, MCR, LOOP);
    out(h, LCR, 0x43);
    g_assert_false(h->brk);
    out(h, MCR, 0);
    g_assert_true(h->brk);
    out(h, MCR, LOOP);
    g_assert_false(h->brk);
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

static void add_control(void)
{
    ADD("iir-tells-that-fifos-are-on", iir_tells_that_fifos_are_on);
    ADD("fcr-clears-the-receiver", fcr_clears_the_receiver);
    ADD("fcr-clears-errors-that-wait-in-the-receiver",
        fcr_clears_errors_that_wait_in_the_receiver);
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
    ADD("no-break-out-in-loopback", no_break_out_in_loopback);
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
    ADD("com-ports", com_ports);
    ADD("pci-identity", pci_identity);
    ADD("all-stores-are-posted", all_stores_are_posted);
    ADD("pure-loads", pure_loads);
    ADD("bad-parameters-are-refused", bad_parameters_are_refused);
    add_control();
    add_line();
    return g_test_run();
}
