/*
 * Fuzzing without libFuzzer: a corpus, a mutator and a clock
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Usage: fuzz-NAME [--seconds=N] [--seed=N] [--prefix=HEX,...]
 *                  [--write=DIR] [FILE...]
 *
 * FILE holds inputs, one in a line: a name and hexadecimal bytes.  Messages
 * of every kind are inputs too; each --prefix is put before each of them, so
 * that a harness with a format of its own understands them.  A file whose name
 * starts with "crash-" is one binary input, and only that is run.
 *
 * An input that kills the harness is left as crash-SEED-NUMBER.  --write
 * runs nothing, but leaves the corpus as files for libFuzzer to begin with.
 */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../unit/remote-io-messages.h"
#include "fuzz.h"

#define MOST 40000              /* bytes of an input */

static GPtrArray *corpus;       /* of GBytes */
static uint8_t input[MOST];
static size_t input_size;
static char crash_name[64];
static uint64_t runs;

/* --- the corpus --- */

static uint32_t below(GRand *r, uint32_t n)
{
    return n ? g_rand_int(r) % n : 0;
}

static void add_input(const uint8_t *p, size_t n)
{
    g_ptr_array_add(corpus, g_bytes_new(p, MIN(n, MOST)));
}

static size_t from_hex(const char *hex, uint8_t *out, size_t room)
{
    size_t n = 0;

    for (; g_ascii_isxdigit(hex[0]) && g_ascii_isxdigit(hex[1]) && n < room;
         hex += 2) {
        out[n++] = g_ascii_xdigit_value(hex[0]) << 4 |
                   g_ascii_xdigit_value(hex[1]);
    }
    return n;
}

static void add_lines(const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", 0);
    uint8_t *bytes = g_malloc(MOST);

    for (char **line = lines; *line; line++) {
        const char *hex = strchr(*line, ' ');

        if (**line != '#' && hex) {
            add_input(bytes, from_hex(hex + 1, bytes, MOST));
        }
    }
    g_free(bytes);
}

/* A message of every kind, each in a few forms */
static void add_messages(GRand *r, const char *prefix_hex)
{
    uint8_t *bytes = g_malloc(2 * RIO_MAX_MESSAGE);
    uint8_t *payload = g_malloc(RIO_MAX_MESSAGE);
    size_t prefix = from_hex(prefix_hex, bytes, 16);

    for (const uint8_t *op = rio_test_ops; *op; op++) {
        for (int i = 0; i < 4; i++) {
            RioMessage m;
            size_t n;

            rio_test_message(r, *op, &m, payload, 300);
            if (rio_op_of_session(*op)) {
                m.ids = (RioIds) { 1, 1, 1, 1 };
                m.epoch = 1;
                m.seq = m.seq ? 1 + below(r, 3) : 0;
                m.ack = 0;
                m.hops = i;
            }
            n = rio_encode(&m, bytes + prefix, RIO_MAX_MESSAGE);
            if (prefix >= 2) {  /* a length before the bytes */
                bytes[prefix - 2] = n;
                bytes[prefix - 1] = n >> 8;
            }
            add_input(bytes, prefix + n);
        }
    }
    g_free(bytes);
    g_free(payload);
}

static void add_file(const char *name)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree char *base = g_path_get_basename(name);
    gsize len;

    if (!g_file_get_contents(name, &text, &len, &error)) {
        fprintf(stderr, "%s\n", error->message);
        exit(1);
    }
    if (g_str_has_prefix(base, "crash-")) {
        LLVMFuzzerTestOneInput((uint8_t *)text, len);
        printf("%s: nothing happened\n", name);
        exit(0);
    }
    add_lines(text);
}

/* --- the mutator --- */

static uint64_t interesting(GRand *r)
{
    static const uint64_t values[] = {
        0, 1, 2, 3, 7, 8, 9, 16, 24, 47, 48, 49, 63, 64, 127, 128, 129, 255,
        256, 257, 4095, 4096, 8191, 8192, 16384, 32767, 32768, 65535, 65536,
        131072, 131073, 135168, 135169, 0x7fffffff, 0x80000000, 0xffffffff,
        0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff,
    };

    return below(r, 4) ? values[below(r, G_N_ELEMENTS(values))]
                       : g_rand_int(r);
}

static void overwrite(GRand *r, size_t n)
{
    unsigned size = 1 << below(r, 4);
    uint64_t value = interesting(r);
    size_t at = below(r, n);

    for (; size-- && at < n; at++, value >>= 8) {
        input[at] = value;
    }
}

static size_t insert(GRand *r, size_t n)
{
    size_t at = below(r, n + 1), more = 1 + below(r, 64);

    more = MIN(more, MOST - n);
    memmove(input + at + more, input + at, n - at);
    for (size_t i = 0; i < more; i++) {
        input[at + i] = below(r, 2) ? 0 : g_rand_int(r);
    }
    return n + more;
}

static size_t erase(GRand *r, size_t n)
{
    size_t at = below(r, n), less = 1 + below(r, 64);

    less = MIN(less, n - at);
    memmove(input + at, input + at + less, n - at - less);
    return n - less;
}

/* Another input behind this one: streams of several messages */
static size_t append(GRand *r, size_t n)
{
    GBytes *other = g_ptr_array_index(corpus, below(r, corpus->len));
    gsize len;
    const uint8_t *p = g_bytes_get_data(other, &len);

    len = MIN(len, MOST - n);
    memcpy(input + n, p, len);
    return n + len;
}

/* A length field that is right again lets the rest be judged */
static void repair_length(GRand *r, size_t n)
{
    size_t at = below(r, 4) ? 0 : below(r, MIN(n, 8));

    if (n - at >= 48) {
        input[at] = (n - at);
        input[at + 1] = (n - at) >> 8;
        input[at + 2] = (n - at) >> 16;
        input[at + 3] = 0;
    }
}

static size_t mutate(GRand *r, size_t n)
{
    switch (below(r, n ? 7 : 1)) {
    case 0:
        return insert(r, n);
    case 1:
        return erase(r, n);
    case 2:
        return append(r, n);
    case 3:
        repair_length(r, n);
        return n;
    case 4:
        input[below(r, n)] ^= 1 << below(r, 8);
        return n;
    default:
        overwrite(r, n);
        return n;
    }
}

static void new_input(GRand *r)
{
    GBytes *from = g_ptr_array_index(corpus, below(r, corpus->len));
    gsize n;
    const uint8_t *p = g_bytes_get_data(from, &n);
    unsigned changes = below(r, 8);

    memcpy(input, p, n);
    while (changes--) {
        n = mutate(r, n);
    }
    input_size = n;
}

/* --- running --- */

/* Only what a signal handler may call */
static void on_crash(int sig)
{
    int fd = open(crash_name, O_WRONLY | O_CREAT | O_TRUNC, 0666);

    if (fd >= 0) {
        (void)!write(fd, input, input_size);
        close(fd);
    }
    (void)!write(2, "input left in ", 14);
    (void)!write(2, crash_name, strlen(crash_name));
    (void)!write(2, "\n", 1);
    raise(sig);
}

static void catch_crashes(void)
{
    static const int signals[] = { SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE,
                                   SIGTRAP };

    struct sigaction action = {
        .sa_handler = on_crash,
        .sa_flags = SA_RESETHAND,
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(signals); i++) {
        sigaction(signals[i], &action, NULL);
    }
}

static void run_corpus(void)
{
    for (guint i = 0; i < corpus->len; i++) {
        gsize n;
        const uint8_t *p = g_bytes_get_data(g_ptr_array_index(corpus, i), &n);

        memcpy(input, p, n);
        input_size = n;
        LLVMFuzzerTestOneInput(input, n);
        runs++;
    }
}

static bool write_corpus(const char *dir)
{
    bool ok = true;

    for (guint i = 0; i < corpus->len; i++) {
        g_autofree char *name = g_strdup_printf("%s/seed-%u", dir, i);
        gsize n;
        const void *p = g_bytes_get_data(g_ptr_array_index(corpus, i), &n);

        ok &= g_file_set_contents(name, p, n, NULL);
    }
    return ok;
}

static void run_for(GRand *r, unsigned seed, int seconds)
{
    gint64 until = g_get_monotonic_time() + seconds * G_TIME_SPAN_SECOND;

    while (g_get_monotonic_time() < until) {
        for (int i = 0; i < 100; i++) {
            new_input(r);
            snprintf(crash_name, sizeof(crash_name),
                     "crash-%u-%" G_GUINT64_FORMAT, seed, runs);
            LLVMFuzzerTestOneInput(input, input_size);
            runs++;
        }
    }
}

int main(int argc, char **argv)
{
    int seconds = 10, seed = 1;
    bool ok = true;
    g_autofree char *prefix = NULL, *write_to = NULL;
    g_auto(GStrv) prefixes = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(GOptionContext) options = g_option_context_new("[FILE...]");
    GOptionEntry entries[] = {
        { "seconds", 0, 0, G_OPTION_ARG_INT, &seconds, "how long", "N" },
        { "seed", 0, 0, G_OPTION_ARG_INT, &seed, "of the mutator", "N" },
        { "prefix", 0, 0, G_OPTION_ARG_STRING, &prefix,
          "before each message", "HEX,..." },
        { "write", 0, 0, G_OPTION_ARG_FILENAME, &write_to,
          "write the corpus and end", "DIR" },
        { 0 }
    };
    GRand *r;

    g_option_context_add_main_entries(options, entries, NULL);
    if (!g_option_context_parse(options, &argc, &argv, &error)) {
        fprintf(stderr, "%s\n", error->message);
        return 1;
    }
    corpus = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    r = g_rand_new_with_seed(seed);
    prefixes = g_strsplit(prefix ?: "-", ",", 0);
    for (char **p = prefixes; *p; p++) {
        add_messages(r, *p);
    }
    for (int i = 1; i < argc; i++) {
        add_file(argv[i]);
    }
    if (write_to) {
        ok = write_corpus(write_to);
    } else {
        snprintf(crash_name, sizeof(crash_name), "crash-corpus");
        catch_crashes();
        run_corpus();
        run_for(r, seed, seconds);
        printf("%" G_GUINT64_FORMAT " inputs, seed %d\n", runs, seed);
    }
    g_ptr_array_unref(corpus);
    g_rand_free(r);
    return ok ? 0 : 1;
}
