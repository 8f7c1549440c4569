/*
 * Tasks, guest memory and a disk for the module test host
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Tasks are coroutines.  By default each host call of a task is done at
 * once.  A test that wants to look at what happens in between holds them:
 * then every call marked "task" suspends, nothing of it has happened yet,
 * and the test says which goes on.
 *
 * The host also plays the client's part of a doorbell recipe, written from
 * the comment of RioRecipe alone, and counts the reads of guest memory that
 * it did not foresee: each would be a round trip.
 */

#ifndef TEST_REMOTE_IO_MODULE_MEMORY_H
#define TEST_REMOTE_IO_MODULE_MEMORY_H

#include "remote-io-module-host.h"

#define FAKE_RAM_SIZE (16u << 20)
#define FAKE_RECIPES 256

typedef enum {
    FAKE_CALL_NONE,
    FAKE_CALL_SLEEP,
    FAKE_CALL_DMA_READ,
    FAKE_CALL_DMA_WRITE,
    FAKE_CALL_BLOCK_READ,
    FAKE_CALL_BLOCK_WRITE,
    FAKE_CALL_BLOCK_ZERO,
    FAKE_CALL_BLOCK_DISCARD,
    FAKE_CALL_BLOCK_FLUSH,
    FAKE_CALLS,
} FakeCall;

struct FakeMemory {
    /* Guest memory: [0, FAKE_RAM_SIZE); the rest is refused */
    uint8_t *ram;
    bool no_bus_master;         /* refuse everything */
    bool frozen;                /* a change to it or the disk is a failure */

    /* The disk: node "d0", "ro0" (read-only), or "tiny0" (511 bytes) */
    uint8_t *disk;
    RioBlockInfo disk_info;
    int errors[FAKE_CALLS];     /* errno that calls of a kind return */
    bool unflushed;             /* data was written and not made stable */
    uint64_t discarded;         /* bytes */
    unsigned last_flags;        /* of the last write or write zeroes */

    bool hold;                  /* calls of tasks suspend */
    GQueue *ready;              /* tasks that can run */
    GQueue *waiting;            /* tasks in a call, oldest first */
    unsigned tasks;             /* that have not returned */
    unsigned max_tasks;         /* most there ever were */
    bool closing;

    unsigned calls[FAKE_CALLS];
    unsigned round_trips;       /* DMA reads of what did not come along */
    RioRecipe recipes[FAKE_RECIPES];
    uint32_t tails[FAKE_RECIPES];
    GArray *along;              /* RioModuleSegment: what came along */
    RioBlock *block;
};

/* Called by the host itself */
void fake_memory_init(FakeHost *h);
void fake_memory_run(FakeHost *h);
void fake_memory_drain(FakeHost *h);
void fake_memory_free(FakeHost *h);

/* A state was loaded: calls of the tasks that there are return -ECANCELED */
void fake_memory_disown(FakeHost *h);

/* Guest memory and the disk of @from become those of @to */
void fake_memory_hand_over(FakeHost *from, FakeHost *to);

/* A write to a doorbell of region 0 by client 0, recipes included */
void fake_ring(FakeHost *h, uint64_t offset, uint32_t value);

/* Held calls: how many of @call (FAKE_CALL_NONE: any) */
unsigned fake_held(FakeHost *h, FakeCall call);

/* Let the oldest held call of @call go on; false when there is none */
bool fake_release(FakeHost *h, FakeCall call);

/*
 * Let held call number @i (of fake_held(h, FAKE_CALL_NONE)) go on; DMA
 * writes stay in order all the same.
 */
void fake_release_nth(FakeHost *h, unsigned i);

/* Let everything go on until nothing is left, and hold no more */
void fake_release_all(FakeHost *h);

void fake_resize(FakeHost *h, uint64_t length);

#endif /* TEST_REMOTE_IO_MODULE_MEMORY_H */
