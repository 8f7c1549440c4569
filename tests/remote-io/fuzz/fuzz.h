/*
 * Fuzzing the ends of the wire: what a harness and its driver share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A harness is a file with the two functions below.  Linked with libFuzzer it
 * is guided by coverage; linked with driver.c it needs nothing but a C
 * compiler, and its inputs come from the corpus and a seeded mutator that
 * knows what a message is.
 */

#ifndef TESTS_REMOTE_IO_FUZZ_H
#define TESTS_REMOTE_IO_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include <glib.h>

/* Feed one input; aborts when a promise of the headers is broken */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A promise; unlike an assertion it cannot be compiled out */
#define PROMISE(cond) \
    do { \
        if (!(cond)) { \
            g_error("%s:%d: broken promise: %s", __FILE__, __LINE__, #cond); \
        } \
    } while (0)

#endif
