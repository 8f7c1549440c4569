/*
 * A host for one remote-io module, for unit tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Plays the server to a module, strictly by the letter of the module API:
 * virtual time that only fake_advance() moves, interrupts that are counted,
 * and a character device whose other end is the test.  What the API forbids
 * (a host call from outside a callback, a bad description, more bytes than
 * there is room) ends the test.
 */

#ifndef TEST_REMOTE_IO_MODULE_HOST_H
#define TEST_REMOTE_IO_MODULE_HOST_H

#include <glib.h>

#include "remote-io-module.h"

#define FAKE_CLIENTS 4
#define FAKE_VECTORS 32

typedef struct FakeMemory FakeMemory;

typedef struct FakeHost {
    RioDevice dev;              /* first: what the module sees of this */
    RioHost services;
    const RioModule *module;
    void *state;
    RioModuleInfo info;         /* what describe said */
    GHashTable *params;
    bool inside;                /* a callback runs */
    void *attached[FAKE_CLIENTS];       /* NULL = not */

    int64_t now;
    GSList *timers;             /* of RioTimer */

    /* Interrupts, per client */
    bool line[FAKE_CLIENTS];
    unsigned line_changes[FAKE_CLIENTS];
    unsigned messages[FAKE_CLIENTS][FAKE_VECTORS];

    /* What was said */
    GString *failure;           /* through rio_fail */
    unsigned guest_errors;      /* lines of RIO_LOG_GUEST */
    unsigned other_logs;
    bool quiet;                 /* do not print them */

    /* The chardev; only one */
    RioChar *chr;
    GString *sent;              /* what the module wrote and was taken */
    size_t take;                /* how much more is taken */
    bool stalled;               /* a write was short */
    unsigned writes;            /* calls of rio_char_write */
    GByteArray *coming;         /* what the module had no room for */
    bool has_modem;
    unsigned modem_in;
    unsigned modem_out;
    unsigned modem_sets;
    RioCharLine set_line;
    unsigned line_sets;
    bool brk;
    unsigned brk_changes;

    FakeMemory *mem;            /* tasks, guest memory, a disk */
} FakeHost;

/**
 * fake_open: make an instance and describe it
 * @params: "name=value,..." or ""
 * Returns: the host, on which no client is attached yet.  When the module
 *          refused, @state is NULL and @failure says why.
 */
FakeHost *fake_open(const RioModule *module, const char *params);
void fake_close(FakeHost *h);

/* Tasks and events that a callback left behind, when fake_* did not call it */
void fake_settle(FakeHost *h);

/* An instance with client 0 attached; a refusal fails the test */
FakeHost *fake_start(const RioModule *module, const char *params);

void fake_attach(FakeHost *h, unsigned client);
void fake_detach(FakeHost *h, unsigned client);
void fake_reset(FakeHost *h, unsigned client, RioModuleReset kind);

/* Accesses of @client; without one, of client 0 to region 0 */
uint64_t fake_read_of(FakeHost *h, unsigned client, uint64_t offset,
                      unsigned size);
void fake_write_of(FakeHost *h, unsigned client, uint64_t offset,
                   unsigned size, uint64_t value);
uint64_t fake_read(FakeHost *h, uint64_t offset, unsigned size);
void fake_write(FakeHost *h, uint64_t offset, unsigned size, uint64_t value);

/* Attributes that the description gives the byte at @offset of region 0 */
unsigned fake_attrs(FakeHost *h, uint64_t offset);

/* Do accesses of @size at @offset of region 0 reach the module? */
bool fake_size_allowed(FakeHost *h, uint64_t offset, unsigned size);

/* Lets @ns pass; timers fire in order, each at its own time */
void fake_advance(FakeHost *h, int64_t ns);

/* Time to the next armed timer, or -1 */
int64_t fake_next_timer(FakeHost *h);

/*
 * The other end of the chardev.  Bytes for which there is no room wait, and
 * are offered again only when the module says that there is.
 */
void fake_type(FakeHost *h, const void *bytes, size_t len);
void fake_event(FakeHost *h, RioCharEvent event);
void fake_take(FakeHost *h, size_t room);       /* SIZE_MAX: everything */

#endif /* TEST_REMOTE_IO_MODULE_HOST_H */
