/*
 * Saving and loading for the module test host
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The bytes are those of the server: its own code writes and reads them.
 */

#ifndef TEST_REMOTE_IO_MODULE_STATE_H
#define TEST_REMOTE_IO_MODULE_STATE_H

#include "remote-io-module-host.h"

/* The state as u32 length of the head, head, body; the module must have one */
GByteArray *fake_save(FakeHost *h);

/* Say how long a save takes and how large it is; a journal does many */
void fake_save_cost(FakeHost *h);

/**
 * fake_load: load @len bytes of fake_save()
 * Returns: NULL when @h took them, else why it did not (caller frees); then
 *          it is checked that @h is as it was before
 */
char *fake_load(FakeHost *h, const uint8_t *bytes, size_t len);

/**
 * fake_move: what a move to another server does to @h
 * @params: of the new instance, as of the old
 *
 * Saves @h, while its tasks are wherever they are, opens a second instance,
 * attaches the same clients, loads, and closes the first.  Guest memory, the
 * disk, time and what interrupts were seen so far go along; tasks do not.
 */
FakeHost *fake_move(FakeHost *h, const char *params);

/**
 * fake_state_hostile: a state is input
 * @use: does this and that with an instance that took what was damaged
 *
 * Every truncation is refused, and every single changed byte is either
 * refused or leaves an instance that can be used.
 */
void fake_state_hostile(FakeHost *h, const char *params,
                        void (*use)(FakeHost *h));

#endif /* TEST_REMOTE_IO_MODULE_STATE_H */
