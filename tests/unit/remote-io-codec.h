/*
 * One message in a buffer, and what the codec must say to it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_UNIT_REMOTE_IO_CODEC_H
#define TESTS_UNIT_REMOTE_IO_CODEC_H

#include "remote-io-messages.h"

/* Layouts are typed here again on purpose: an independent witness */
#define BODY 48

static uint8_t buf[RIO_MAX_MESSAGE], payload[RIO_MAX_MESSAGE];

static inline GRand *new_rand(void)
{
    return g_rand_new_with_seed(g_test_rand_int());
}

/* A valid message of @op in @buf; its length.  Never a refusal. */
static inline size_t encode_valid(GRand *r, uint8_t op, RioMessage *m)
{
    size_t n;

    do {
        rio_test_message(r, op, m, payload, 600);
    } while (m->status && op != RIO_OP_BYE && op != RIO_OP_SESSION_GONE);
    n = rio_encode(m, buf, sizeof(buf));
    g_assert_cmpuint(n, >=, BODY);
    return n;
}

static inline RioDecodeResult decode(size_t n, RioError *err)
{
    RioMessage m;

    return rio_decode(buf, n, RIO_MAX_MESSAGE, &m, err);
}

/* @buf must be refused with @status, and the text must hold @text */
static inline void assert_bad(size_t n, uint8_t status, const char *text)
{
    RioError err = { 0 };

    g_assert_cmpint(decode(n, &err), ==, RIO_DECODE_BAD);
    g_assert_cmpuint(err.status, ==, status);
    if (!strstr(err.text, text)) {
        g_error("\"%s\" does not say \"%s\"", err.text, text);
    }
}

static inline void assert_ok(size_t n)
{
    RioError err = { 0 };

    if (decode(n, &err) != RIO_DECODE_OK) {
        g_error("refused: %s", err.text);
    }
}

static inline void put(uint8_t *p, uint64_t value, unsigned size)
{
    while (size--) {
        *p++ = value;
        value >>= 8;
    }
}

#endif
