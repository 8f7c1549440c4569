/*
 * Messages of every kind, for tests of the remote-io wire
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_UNIT_REMOTE_IO_MESSAGES_H
#define TESTS_UNIT_REMOTE_IO_MESSAGES_H

#include "net/remote-io/codec.h"

/* Every opcode of the wire, in order; ends with 0 */
extern const uint8_t rio_test_ops[];

/**
 * rio_test_message: a valid message with random fields
 * @r: where the randomness comes from
 * @op: what message
 * @m: filled
 * @payload: room for its payload, RIO_MAX_MESSAGE bytes
 * @most: about as many bytes of payload as there may be
 */
void rio_test_message(GRand *r, uint8_t op, RioMessage *m, uint8_t *payload,
                      uint32_t most);

/* A valid description with random fields, for any bus */
void rio_test_description(GRand *r, RioDescription *d);

/* Fail unless @a and @b say the same; @b was decoded */
void rio_test_assert_same(const RioMessage *a, const RioMessage *b);

#endif
