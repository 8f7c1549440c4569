/*
 * The demo module, register by register
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Register offsets are typed again from its page, as an independent witness.
 */

#include "qemu/osdep.h"
#include "remote-io-module-host.h"

#define ID          0x00
#define VERSION     0x04
#define LIVENESS    0x08
#define SCRATCH     0x0c
#define FACTORIAL   0x10
#define STATUS      0x14
#define VECTORS     0x18
#define IRQ_STATUS  0x1c
#define IRQ_ENABLE  0x20
#define IRQ_RAISE   0x24
#define IRQ_ACK     0x28
#define TIMER       0x30
#define CLOCK       0x38
#define RAM         0x40

#define BUSY        0x1
#define RUNNING     0x2

#define FACTORIAL_IRQ 0x1
#define TIMER_IRQ     0x2

const RioModule *rio_module_demo_init(void);

static FakeHost *start(const char *params)
{
    return fake_start(rio_module_demo_init(), params);
}

static uint32_t in(FakeHost *h, uint64_t reg)
{
    return fake_read(h, reg, 4);
}

static void out(FakeHost *h, uint64_t reg, uint32_t value)
{
    fake_write(h, reg, 4, value);
}

static void test_identifies_itself(void)
{
    FakeHost *h = start("");

    g_assert_cmphex(in(h, ID), ==, 0x4f4d4544);
    g_assert_cmphex(in(h, VERSION), ==, 0x00010000);
    fake_close(h);
}

static void test_liveness_gives_the_complement(void)
{
    FakeHost *h = start("");

    g_assert_cmphex(in(h, LIVENESS), ==, 0xffffffff);
    out(h, LIVENESS, 0x12345678);
    g_assert_cmphex(in(h, LIVENESS), ==, 0xedcba987);
    fake_close(h);
}

static void test_scratch_keeps_what_is_written(void)
{
    FakeHost *h = start("");

    out(h, SCRATCH, 0xcafef00d);
    g_assert_cmphex(in(h, SCRATCH), ==, 0xcafef00d);
    fake_close(h);
}

/* ---- Factorial ---- */

static void test_factorial_takes_its_time(void)
{
    FakeHost *h = start("");

    out(h, FACTORIAL, 10);
    g_assert_cmphex(in(h, STATUS), ==, BUSY);
    fake_advance(h, 9999);
    g_assert_cmphex(in(h, STATUS), ==, BUSY);
    g_assert_cmpuint(in(h, FACTORIAL), ==, 10);
    fake_advance(h, 1);
    g_assert_cmphex(in(h, STATUS), ==, 0);
    g_assert_cmpuint(in(h, FACTORIAL), ==, 3628800);
    g_assert_cmphex(in(h, IRQ_STATUS), ==, FACTORIAL_IRQ);
    fake_close(h);
}

static void test_factorials(void)
{
    static const uint32_t table[] = { 1, 1, 2, 6, 24, 120, 720, 5040 };
    FakeHost *h = start("");
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(table); i++) {
        out(h, FACTORIAL, i);
        fake_advance(h, 8000);
        g_assert_cmpuint(in(h, FACTORIAL), ==, table[i]);
    }
    fake_close(h);
}

/* The result is taken modulo 2^32, and no number keeps the device busy */
static void test_factorial_of_anything_ends(void)
{
    static const struct { uint32_t n, result; } table[] = {
        { 13, 1932053504 }, { 33, 0x80000000 }, { 34, 0 },
        { 1000, 0 }, { UINT32_MAX, 0 },
    };
    FakeHost *h = start("");
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(table); i++) {
        out(h, FACTORIAL, table[i].n);
        fake_advance(h, 34000);
        g_assert_cmphex(in(h, STATUS), ==, 0);
        g_assert_cmphex(in(h, FACTORIAL), ==, table[i].result);
    }
    fake_close(h);
}

static void test_store_while_busy_is_told_and_ignored(void)
{
    FakeHost *h = start("");

    out(h, FACTORIAL, 5);
    out(h, FACTORIAL, 6);
    g_assert_cmpuint(h->guest_errors, ==, 1);
    fake_advance(h, 5000);
    g_assert_cmpuint(in(h, FACTORIAL), ==, 120);
    fake_close(h);
}

/* ---- Timer ---- */

static void test_timer_goes_off_once(void)
{
    FakeHost *h = start("");

    out(h, IRQ_ENABLE, TIMER_IRQ);
    out(h, TIMER, 5000);
    g_assert_cmphex(in(h, STATUS), ==, RUNNING);
    fake_advance(h, 4999);
    g_assert_false(h->line[0]);
    fake_advance(h, 1);
    g_assert_true(h->line[0]);
    g_assert_cmphex(in(h, STATUS), ==, 0);
    out(h, IRQ_ACK, TIMER_IRQ);
    fake_advance(h, 100000);
    g_assert_false(h->line[0]);
    g_assert_cmpuint(h->messages[0][1], ==, 1);
    fake_close(h);
}

static void test_timer_shows_what_is_left(void)
{
    FakeHost *h = start("");

    g_assert_cmpuint(in(h, TIMER), ==, 0);
    fake_write(h, TIMER, 8, 10000000000ull);
    fake_advance(h, 1000000000);
    g_assert_cmpuint(fake_read(h, TIMER, 8), ==, 9000000000ull);
    g_assert_cmphex(in(h, TIMER), ==, (uint32_t)9000000000ull);
    g_assert_cmphex(in(h, TIMER + 4), ==, 2);
    fake_close(h);
}

static void test_timer_can_be_moved_and_stopped(void)
{
    FakeHost *h = start("");

    out(h, TIMER, 1000);
    out(h, TIMER, 3000);
    fake_advance(h, 2000);
    g_assert_cmphex(in(h, IRQ_STATUS), ==, 0);
    out(h, TIMER, 0);
    g_assert_cmphex(in(h, STATUS), ==, 0);
    fake_advance(h, 100000);
    g_assert_cmphex(in(h, IRQ_STATUS), ==, 0);
    fake_close(h);
}

static void test_longest_timer_is_harmless(void)
{
    FakeHost *h = start("");

    fake_write(h, TIMER, 8, UINT64_MAX);
    g_assert_cmphex(in(h, STATUS), ==, RUNNING);
    fake_advance(h, 1000000000);
    g_assert_cmphex(in(h, STATUS), ==, RUNNING);
    g_assert_cmpuint(fake_read(h, TIMER, 8), >, 1ull << 60);
    fake_close(h);
}

static void test_clock_runs(void)
{
    FakeHost *h = start("");
    uint64_t before = fake_read(h, CLOCK, 8);

    fake_advance(h, 5000000000);
    g_assert_cmpuint(fake_read(h, CLOCK, 8), ==, before + 5000000000);
    g_assert_cmphex(in(h, CLOCK + 4), ==, (before + 5000000000) >> 32);
    fake_close(h);
}

/* ---- Interrupts ---- */

static void test_line_follows_status_and_enable(void)
{
    FakeHost *h = start("");

    out(h, IRQ_RAISE, 0x10);
    g_assert_false(h->line[0]);
    g_assert_cmphex(in(h, IRQ_STATUS), ==, 0x10);
    out(h, IRQ_ENABLE, 0x30);
    g_assert_true(h->line[0]);
    out(h, IRQ_RAISE, 0x20);
    out(h, IRQ_ACK, 0x10);
    g_assert_true(h->line[0]);
    out(h, IRQ_ACK, 0x20);
    g_assert_false(h->line[0]);
    out(h, IRQ_RAISE, 0x20);
    out(h, IRQ_ENABLE, 0);
    g_assert_false(h->line[0]);
    g_assert_cmphex(in(h, IRQ_STATUS), ==, 0x20);
    fake_close(h);
}

/* Cause n sends message n, the causes beyond start at message 0 again */
static void test_each_cause_sends_its_message(void)
{
    FakeHost *h = start("msi=0,msix=8");
    unsigned i;

    g_assert_cmpuint(in(h, VECTORS), ==, 8);
    out(h, IRQ_ENABLE, 0xffffffff);
    for (i = 0; i < 32; i++) {
        out(h, IRQ_RAISE, 1u << i);
        g_assert_cmpuint(h->messages[0][i % 8], ==, i / 8 + 1);
    }
    fake_close(h);
}

/* A message tells that a cause came up; a cause that is up says no more */
static void test_a_message_is_sent_once_per_rise(void)
{
    FakeHost *h = start("");

    out(h, IRQ_ENABLE, 0x1);
    out(h, IRQ_RAISE, 0x1);
    out(h, IRQ_RAISE, 0x1);
    g_assert_cmpuint(h->messages[0][0], ==, 1);
    out(h, IRQ_ACK, 0x1);
    out(h, IRQ_RAISE, 0x1);
    g_assert_cmpuint(h->messages[0][0], ==, 2);
    fake_close(h);
}

static void test_vectors_fit_both_kinds_of_message(void)
{
    static const struct { const char *params; unsigned vectors; } table[] = {
        { "", 4 }, { "msi=0", 8 }, { "msix=0", 4 }, { "msi=0,msix=0", 0 },
        { "msi=32,msix=3", 3 }, { "msi=1,msix=32", 1 },
    };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(table); i++) {
        FakeHost *h = start(table[i].params);

        g_assert_cmpuint(in(h, VECTORS), ==, table[i].vectors);
        out(h, IRQ_ENABLE, 0xffffffff);
        out(h, IRQ_RAISE, 0xffffffff);
        g_assert_true(h->line[0]);
        fake_close(h);
    }
}

/* ---- RAM ---- */

static void test_ram_takes_every_width(void)
{
    FakeHost *h = start("");

    fake_write(h, RAM, 8, 0x8877665544332211ull);
    g_assert_cmphex(fake_read(h, RAM, 8), ==, 0x8877665544332211ull);
    g_assert_cmphex(fake_read(h, RAM, 4), ==, 0x44332211);
    g_assert_cmphex(fake_read(h, RAM + 4, 4), ==, 0x88776655);
    g_assert_cmphex(fake_read(h, RAM + 2, 2), ==, 0x4433);
    g_assert_cmphex(fake_read(h, RAM + 7, 1), ==, 0x88);
    fake_write(h, RAM + 3, 1, 0xaa);
    fake_write(h, RAM + 4, 2, 0xbbbb);
    g_assert_cmphex(fake_read(h, RAM, 8), ==, 0x8877bbbbaa332211ull);
    fake_close(h);
}

static void test_ram_ends_after_64_bytes(void)
{
    FakeHost *h = start("");

    fake_write(h, RAM + 56, 8, UINT64_MAX);
    fake_write(h, RAM + 62, 4, 0x04030201);
    g_assert_cmphex(fake_read(h, RAM + 62, 2), ==, 0x0201);
    g_assert_cmphex(fake_read(h, RAM + 62, 4), ==, 0x0201);
    g_assert_cmphex(fake_read(h, RAM + 64, 1), ==, 0);
    fake_close(h);
}

/* ---- The rest ---- */

static void test_reset_forgets_everything(void)
{
    FakeHost *h = start("");

    out(h, SCRATCH, 1);
    out(h, LIVENESS, 1);
    fake_write(h, RAM, 8, UINT64_MAX);
    out(h, FACTORIAL, 10);
    out(h, TIMER, 1000);
    out(h, IRQ_ENABLE, 0x4);
    out(h, IRQ_RAISE, 0x4);
    g_assert_true(h->line[0]);
    fake_reset(h, 0, RIO_MODULE_RESET_SYSTEM);
    g_assert_false(h->line[0]);
    g_assert_cmpint(fake_next_timer(h), ==, -1);
    g_assert_cmphex(in(h, SCRATCH), ==, 0);
    g_assert_cmphex(in(h, LIVENESS), ==, 0xffffffff);
    g_assert_cmphex(in(h, STATUS), ==, 0);
    g_assert_cmphex(in(h, IRQ_STATUS), ==, 0);
    g_assert_cmphex(in(h, IRQ_ENABLE), ==, 0);
    g_assert_cmphex(fake_read(h, RAM, 8), ==, 0);
    fake_close(h);
}

static void test_next_client_finds_power_on_state(void)
{
    FakeHost *h = start("");

    out(h, SCRATCH, 1);
    out(h, TIMER, 1000);
    fake_detach(h, 0);
    fake_attach(h, 0);
    g_assert_cmphex(in(h, SCRATCH), ==, 0);
    g_assert_cmphex(in(h, STATUS), ==, 0);
    fake_close(h);
}

static void test_stray_accesses_are_told_and_do_nothing(void)
{
    FakeHost *h = start("");

    g_assert_cmphex(fake_read(h, 0x2c, 4), ==, 0);
    g_assert_cmphex(fake_read(h, IRQ_RAISE, 4), ==, 0);
    g_assert_cmphex(fake_read(h, 0x80, 8), ==, 0);
    g_assert_cmphex(fake_read(h, 0xfff, 1), ==, 0);
    out(h, ID, 1);
    out(h, VECTORS, 1);
    fake_write(h, TIMER + 4, 4, 1);
    fake_write(h, 0x80, 8, 1);
    g_assert_cmpuint(h->guest_errors, ==, 8);
    g_assert_cmphex(in(h, STATUS), ==, 0);
    g_assert_cmphex(in(h, ID), ==, 0x4f4d4544);
    fake_close(h);
}

/* The line must be low before the guest's handler returns */
static void test_stores_that_lower_the_line_wait(void)
{
    FakeHost *h = start("");

    g_assert_cmphex(fake_attrs(h, IRQ_ACK) & RIO_MODULE_POSTED, ==, 0);
    g_assert_cmphex(fake_attrs(h, IRQ_ENABLE) & RIO_MODULE_POSTED, ==, 0);
    g_assert_cmphex(fake_attrs(h, IRQ_RAISE), ==,
                    RIO_MODULE_POSTED | RIO_MODULE_PURE);
    g_assert_cmphex(fake_attrs(h, TIMER) & RIO_MODULE_POSTED, !=, 0);
    fake_close(h);
}

static void test_registers_take_only_their_width(void)
{
    FakeHost *h = start("");

    g_assert_false(fake_size_allowed(h, SCRATCH, 1));
    g_assert_false(fake_size_allowed(h, SCRATCH, 2));
    g_assert_true(fake_size_allowed(h, SCRATCH, 4));
    g_assert_false(fake_size_allowed(h, SCRATCH, 8));
    g_assert_true(fake_size_allowed(h, TIMER, 8));
    g_assert_true(fake_size_allowed(h, RAM + 63, 1));
    fake_close(h);
}

static void test_pci_identity(void)
{
    FakeHost *h = start("msi=16,msix=32");

    g_assert_cmpuint(h->info.bus, ==, RIO_MODULE_PCI);
    g_assert_cmphex(h->info.vendor_id, ==, 0x1234);
    g_assert_cmphex(h->info.device_id, ==, 0x10e2);
    g_assert_cmpuint(h->info.lines, ==, 1);
    g_assert_cmpuint(h->info.msi_vectors, ==, 16);
    g_assert_cmpuint(h->info.msix_vectors, ==, 32);
    g_assert_cmpuint(h->info.regions[0].size, ==, 4096);
    /* table and pending bits fit in, apart from the registers */
    g_assert_cmpuint(h->info.msix_table_offset, >=, 0x100);
    g_assert_cmpuint(h->info.msix_table_offset + 32 * 16, <=,
                     h->info.msix_pba_offset);
    g_assert_cmpuint(h->info.msix_pba_offset + 8, <=, 4096);
    fake_close(h);
}

static void test_isa_form(void)
{
    FakeHost *h = start("bus=isa");

    g_assert_cmpuint(h->info.bus, ==, RIO_MODULE_ISA);
    g_assert_cmphex(h->info.regions[0].base, ==, 0x200);
    g_assert_cmpuint(h->info.regions[0].size, ==, 128);
    g_assert_cmpuint(h->info.isa_irq, ==, 5);
    g_assert_cmpuint(in(h, VECTORS), ==, 0);
    out(h, IRQ_ENABLE, 1);
    out(h, IRQ_RAISE, 1);
    g_assert_true(h->line[0]);
    fake_close(h);
}

static void test_bad_parameters_are_refused(void)
{
    static const struct { const char *params, *word; } table[] = {
        { "bus=nubus", "bus=nubus" }, { "msi=3", "msi=3" },
        { "msi=64", "msi=64" }, { "msix=33", "msix=33" },
        { "bus=isa,iobase=0xff81", "iobase=0xff81" },
        { "bus=isa,irq=0", "irq=0" }, { "bus=isa,irq=16", "irq=16" },
    };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(table); i++) {
        FakeHost *h = fake_open(rio_module_demo_init(), table[i].params);

        g_assert_nonnull(strstr(h->failure->str, table[i].word));
        fake_close(h);
    }
}

#define ADD(name, fn) g_test_add_func("/demo/" name, test_##fn)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("identifies-itself", identifies_itself);
    ADD("liveness-gives-the-complement", liveness_gives_the_complement);
    ADD("scratch-keeps-what-is-written", scratch_keeps_what_is_written);
    ADD("factorial-takes-its-time", factorial_takes_its_time);
    ADD("factorials", factorials);
    ADD("factorial-of-anything-ends", factorial_of_anything_ends);
    ADD("store-while-busy-is-told-and-ignored",
        store_while_busy_is_told_and_ignored);
    ADD("timer-goes-off-once", timer_goes_off_once);
    ADD("timer-shows-what-is-left", timer_shows_what_is_left);
    ADD("timer-can-be-moved-and-stopped", timer_can_be_moved_and_stopped);
    ADD("longest-timer-is-harmless", longest_timer_is_harmless);
    ADD("clock-runs", clock_runs);
    ADD("line-follows-status-and-enable", line_follows_status_and_enable);
    ADD("each-cause-sends-its-message", each_cause_sends_its_message);
    ADD("a-message-is-sent-once-per-rise", a_message_is_sent_once_per_rise);
    ADD("vectors-fit-both-kinds-of-message",
        vectors_fit_both_kinds_of_message);
    ADD("ram-takes-every-width", ram_takes_every_width);
    ADD("ram-ends-after-64-bytes", ram_ends_after_64_bytes);
    ADD("reset-forgets-everything", reset_forgets_everything);
    ADD("next-client-finds-power-on-state",
        next_client_finds_power_on_state);
    ADD("stray-accesses-are-told-and-do-nothing",
        stray_accesses_are_told_and_do_nothing);
    ADD("stores-that-lower-the-line-wait", stores_that_lower_the_line_wait);
    ADD("registers-take-only-their-width",
        registers_take_only_their_width);
    ADD("pci-identity", pci_identity);
    ADD("isa-form", isa_form);
    ADD("bad-parameters-are-refused", bad_parameters_are_refused);
    return g_test_run();
}
