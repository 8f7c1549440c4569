/*
 * The hwrng module: registers, queue, and what a bad driver may do
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Offsets are those of the virtio specification's legacy interface.
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "remote-io-module-memory.h"
#include "remote-io-module-state.h"

enum {
    HOST_FEATURES = 0, GUEST_FEATURES = 4, QUEUE_PAGE = 8, QUEUE_SIZE = 12,
    QUEUE_SELECT = 14, NOTIFY = 16, STATUS = 18, ISR = 19,

    DESC = 0x10000, AVAIL = DESC + 8 * 16, USED = DESC + 0x1000,
    DATA = 0x20000,

    NEXT = 1, WRITE = 2,
};

const RioModule *rio_module_hwrng_init(void);

/* The file that the "random" bytes are from, and what it has */
static char *source;

static void source_holds(const char *bytes)
{
    FILE *f = fopen(source, "w");       /* the same file, where it is open */

    g_assert_nonnull(f);
    fputs(bytes, f);
    g_assert_cmpint(fclose(f), ==, 0);
}

static FakeHost *open_device(void)
{
    g_autofree char *params = g_strdup_printf("filename=%s", source);

    return fake_start(rio_module_hwrng_init(), params);
}

static void put(FakeHost *h, uint32_t at, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size; i++) {
        h->mem->ram[at + i] = value >> (8 * i);
    }
}

static uint32_t get(FakeHost *h, uint32_t at, unsigned size)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < size; i++) {
        value |= (uint32_t)h->mem->ram[at + i] << (8 * i);
    }
    return value;
}

static void set_desc(FakeHost *h, unsigned i, uint64_t addr, uint32_t len,
                     uint16_t flags, uint16_t next)
{
    put(h, DESC + 16 * i, 8, addr);
    put(h, DESC + 16 * i + 8, 4, len);
    put(h, DESC + 16 * i + 12, 2, flags);
    put(h, DESC + 16 * i + 14, 2, next);
}

/* The driver's buffer number @n, from 0, is at descriptor @head */
static void offer(FakeHost *h, unsigned n, uint16_t head)
{
    put(h, AVAIL + 4 + n % 8 * 2, 2, head);
    put(h, AVAIL + 2, 2, n + 1);
}

static void drive(FakeHost *h)
{
    fake_write(h, STATUS, 1, 1);
    fake_write(h, STATUS, 1, 3);
    fake_write(h, QUEUE_SELECT, 2, 0);
    fake_write(h, QUEUE_PAGE, 4, DESC / 4096);
    fake_write(h, STATUS, 1, 7);
}

static FakeHost *start(const char *bytes)
{
    FakeHost *h;

    source_holds(bytes);
    h = open_device();
    drive(h);
    return h;
}

static void test_is_what_the_stock_driver_binds_to(void)
{
    FakeHost *h = start("");

    g_assert_cmphex(h->info.vendor_id, ==, 0x1af4);
    g_assert_cmphex(h->info.device_id, ==, 0x1005);
    g_assert_cmphex(h->info.subsystem_id, ==, 4);
    g_assert_cmpuint(h->info.revision, ==, 0);
    g_assert_cmpuint(h->info.regions[0].space, ==, RIO_MODULE_PIO);
    g_assert_cmphex(fake_read(h, HOST_FEATURES, 4), ==, 0);
    g_assert_cmpuint(fake_read(h, QUEUE_SIZE, 2), ==, 8);
    g_assert_cmphex(fake_read(h, QUEUE_PAGE, 4), ==, DESC / 4096);
    g_assert_cmphex(fake_read(h, STATUS, 1), ==, 7);
    fake_write(h, QUEUE_SELECT, 2, 1);
    g_assert_cmpuint(fake_read(h, QUEUE_SIZE, 2), ==, 0);
    g_assert_cmphex(fake_read(h, QUEUE_PAGE, 4), ==, 0);
    fake_write(h, QUEUE_PAGE, 4, 77);
    fake_write(h, QUEUE_SELECT, 2, 0);
    g_assert_cmphex(fake_read(h, QUEUE_PAGE, 4), ==, DESC / 4096);
    g_assert_cmpuint(fake_attrs(h, NOTIFY), ==, RIO_MODULE_POSTED);
    g_assert_cmpuint(fake_attrs(h, ISR), ==, 0);
    fake_close(h);
}

static void test_fills_a_buffer_and_interrupts(void)
{
    FakeHost *h = start("seventeen letters");

    set_desc(h, 3, DATA, 9, WRITE, 0);
    offer(h, 0, 3);
    fake_write(h, NOTIFY, 2, 0);
    g_assert_cmpmem(h->mem->ram + DATA, 10, "seventeen\0", 10);
    g_assert_cmpuint(get(h, USED + 2, 2), ==, 1);
    g_assert_cmpuint(get(h, USED + 4, 4), ==, 3);
    g_assert_cmpuint(get(h, USED + 8, 4), ==, 9);
    g_assert_true(h->line[0]);
    g_assert_cmpuint(fake_read(h, ISR, 1), ==, 1);
    g_assert_false(h->line[0]);
    g_assert_cmpuint(fake_read(h, ISR, 1), ==, 0);
    /* The file has fewer than are asked for */
    set_desc(h, 0, DATA, 4096, WRITE, 0);
    offer(h, 1, 0);
    fake_write(h, NOTIFY, 2, 0);
    g_assert_cmpmem(h->mem->ram + DATA, 9, " lettersn", 9);
    g_assert_cmpuint(get(h, USED + 16, 4), ==, 8);
    fake_close(h);
}

static void test_gives_each_of_many_buffers_its_own(void)
{
    FakeHost *h;
    GString *text = g_string_new(NULL);
    unsigned n;

    for (n = 0; n < 100; n++) {
        g_string_append_printf(text, "%04u", n);
    }
    h = start(text->str);
    for (n = 0; n < 100; n++) {
        set_desc(h, n % 8, DATA + 4 * n, 4, WRITE, 0);
        offer(h, n, n % 8);
        if (n % 5 == 4) {
            fake_write(h, NOTIFY, 2, 0);
        }
    }
    g_assert_cmpmem(h->mem->ram + DATA, 400, text->str, 400);
    g_assert_cmpuint(get(h, USED + 2, 2), ==, 100);
    g_string_free(text, true);
    fake_close(h);
}

static void test_does_not_interrupt_who_does_not_want_it(void)
{
    FakeHost *h = start("random");

    put(h, AVAIL, 2, 1);
    set_desc(h, 0, DATA, 6, WRITE, 0);
    offer(h, 0, 0);
    fake_write(h, NOTIFY, 2, 0);
    g_assert_cmpuint(get(h, USED + 2, 2), ==, 1);
    g_assert_false(h->line[0]);
    g_assert_cmpuint(h->line_changes[0], ==, 0);
    fake_close(h);
}

static void test_finds_the_writable_part_of_a_chain(void)
{
    FakeHost *h = start("random");

    set_desc(h, 5, DATA, 4, NEXT, 6);
    set_desc(h, 6, DATA + 0x100, 6, WRITE, 0);
    offer(h, 0, 5);
    fake_write(h, NOTIFY, 2, 0);
    g_assert_cmpmem(h->mem->ram + DATA + 0x100, 6, "random", 6);
    g_assert_cmpuint(h->mem->ram[DATA], ==, 0);
    g_assert_cmpuint(get(h, USED + 4, 4), ==, 5);
    fake_close(h);
}

static void release_until_asleep(FakeHost *h)
{
    while (fake_held(h, FAKE_CALL_NONE) && !fake_held(h, FAKE_CALL_SLEEP)) {
        fake_release_nth(h, 0);
    }
}

static void test_waits_for_a_file_that_has_nothing(void)
{
    FakeHost *h = start("");

    h->quiet = true;
    h->mem->hold = true;
    set_desc(h, 0, DATA, 6, WRITE, 0);
    offer(h, 0, 0);
    fake_write(h, NOTIFY, 2, 0);
    for (unsigned i = 0; i < 5; i++) {
        release_until_asleep(h);
        g_assert_cmpuint(fake_held(h, FAKE_CALL_SLEEP), ==, 1);
        g_assert_cmpuint(fake_read(h, STATUS, 1), ==, 7);
        g_assert_true(fake_release(h, FAKE_CALL_SLEEP));
    }
    g_assert_cmpuint(h->other_logs, ==, 1);
    g_assert_cmpuint(get(h, USED + 2, 2), ==, 0);
    source_holds("random");
    fake_release_all(h);
    g_assert_cmpmem(h->mem->ram + DATA, 6, "random", 6);
    g_assert_true(h->line[0]);
    fake_close(h);
}

static void test_nonsense_is_ignored_until_a_reset(void)
{
    static const struct {
        uint16_t offered, head, next;
    } table[] = {
        { 1, 8, 0 }, { 1, 0xffff, 0 }, { 1, 0, 0 }, { 1, 0, 1 },
        { 1, 0, 8 }, { 9, 0, 0 }, { 0xffff, 0, 0 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        FakeHost *h = start("random");

        h->quiet = true;
        set_desc(h, 0, DATA, 6, NEXT, table[i].next);
        set_desc(h, 1, DATA, 6, NEXT, 0);
        offer(h, 0, table[i].head);
        put(h, AVAIL + 2, 2, table[i].offered);
        fake_write(h, NOTIFY, 2, 0);
        g_assert_cmpuint(h->guest_errors, ==, 1);
        fake_write(h, NOTIFY, 2, 0);
        g_assert_cmpuint(h->guest_errors, ==, 1);
        g_assert_cmpuint(get(h, USED + 2, 2), ==, 0);

        fake_write(h, STATUS, 1, 0);
        put(h, AVAIL + 2, 2, 0);
        drive(h);
        set_desc(h, 0, DATA, 6, WRITE, 0);
        offer(h, 0, 0);
        fake_write(h, NOTIFY, 2, 0);
        g_assert_cmpmem(h->mem->ram + DATA, 6, "random", 6);
        fake_close(h);
    }
}

static void test_memory_that_is_not_there_is_told_once(void)
{
    FakeHost *h = start("random");

    h->quiet = true;
    fake_write(h, QUEUE_PAGE, 4, 0xfffff);
    fake_write(h, NOTIFY, 2, 0);
    fake_write(h, NOTIFY, 2, 0);
    g_assert_cmpuint(h->guest_errors, ==, 1);
    fake_close(h);
}

static void test_nothing_comes_after_a_reset(void)
{
    for (unsigned kind = 0; kind < 2; kind++) {
        for (unsigned steps = 0; steps < 5; steps++) {
            FakeHost *h = start("random");

            h->mem->hold = true;
            set_desc(h, 0, DATA, 6, WRITE, 0);
            offer(h, 0, 0);
            fake_write(h, NOTIFY, 2, 0);
            for (unsigned i = 0; i < steps; i++) {
                fake_release_nth(h, 0);
            }
            if (kind) {
                fake_write(h, STATUS, 1, 0);
            } else {
                fake_reset(h, 0, RIO_MODULE_RESET_SYSTEM);
            }
            fake_release_all(h);
            g_assert_false(h->line[0]);
            g_assert_cmpuint(fake_read(h, STATUS, 1), ==, 0);
            g_assert_cmpuint(get(h, USED + 2, 2), ==, 0);
            g_assert_cmpuint(h->mem->tasks, ==, 0);
            fake_close(h);
        }
    }
}

/* A move at each point of the work: each buffer is given back once */
static void test_moves_with_a_buffer_under_way(void)
{
    g_autofree char *params = g_strdup_printf("filename=%s", source);

    for (unsigned steps = 0; steps < 9; steps++) {
        FakeHost *h = start("random");

        h->mem->hold = true;
        set_desc(h, 0, DATA, 6, WRITE, 0);
        offer(h, 0, 0);
        fake_write(h, NOTIFY, 2, 0);
        for (unsigned i = 0; i < steps && fake_held(h, FAKE_CALL_NONE); i++) {
            fake_release_nth(h, 0);
        }
        h = fake_move(h, params);
        fake_release_all(h);
        g_assert_cmpuint(get(h, USED + 2, 2), ==, 1);
        g_assert_cmpmem(h->mem->ram + DATA, 6, "random", 6);
        g_assert_cmpuint(fake_read(h, ISR, 1), ==, 1);
        g_assert_cmpuint(fake_read(h, STATUS, 1), ==, 7);
        fake_close(h);
    }
}

static void use(FakeHost *h)
{
    fake_write(h, NOTIFY, 2, 0);
    fake_read(h, ISR, 1);
    fake_write(h, STATUS, 1, 0);
    drive(h);
    fake_write(h, NOTIFY, 2, 0);
}

static void test_saved_state_is_input(void)
{
    FakeHost *h = fake_start(rio_module_hwrng_init(), "filename=/dev/zero");

    h->quiet = true;
    drive(h);
    set_desc(h, 0, DATA, 6, WRITE, 0);
    offer(h, 0, 0);
    fake_write(h, NOTIFY, 2, 0);
    fake_state_hostile(h, "filename=/dev/zero", use);
    fake_close(h);
}

static void test_bad_file_is_refused_in_words(void)
{
    static const char *const bad[] = { "/nowhere/hwrng", "/tmp" };

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *params = g_strdup_printf("filename=%s", bad[i]);
        FakeHost *h = fake_open(rio_module_hwrng_init(), params);

        g_assert_null(h->state);
        g_assert_nonnull(strstr(h->failure->str, bad[i]));
        fake_close(h);
    }
}

int main(int argc, char **argv)
{
    int fd = g_file_open_tmp("hwrng-XXXXXX", &source, NULL);
    int ret;

    close(fd);
    g_test_init(&argc, &argv, NULL);
#define ADD(name) g_test_add_func("/remote-io/module/hwrng/" #name, \
                                  test_##name)
    ADD(is_what_the_stock_driver_binds_to);
    ADD(fills_a_buffer_and_interrupts);
    ADD(gives_each_of_many_buffers_its_own);
    ADD(does_not_interrupt_who_does_not_want_it);
    ADD(finds_the_writable_part_of_a_chain);
    ADD(waits_for_a_file_that_has_nothing);
    ADD(nonsense_is_ignored_until_a_reset);
    ADD(memory_that_is_not_there_is_told_once);
    ADD(nothing_comes_after_a_reset);
    ADD(moves_with_a_buffer_under_way);
    ADD(saved_state_is_input);
    ADD(bad_file_is_refused_in_words);
#undef ADD
    ret = g_test_run();
    g_unlink(source);
    g_free(source);
    return ret;
}
