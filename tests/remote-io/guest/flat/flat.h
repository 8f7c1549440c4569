/*
 * What the flat guest's C and its assembler know of each other
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef FLAT_H
#define FLAT_H

#include <stdint.h>

/* An entry of the interrupt table, as the processor reads it. */
typedef struct Gate {
    uint16_t low, segment, type, high;
} Gate;

/* In C: filled by processor 0, loaded by every processor that arrives. */
extern Gate idt[256];

/* Code to be copied below 1 MiB, where a further processor starts. */
extern const char ap_start[], ap_end[];

/* 256 pieces of code of 16 bytes each, one per vector. */
extern const char stubs[];

/* How many processors have been here; the last one is still on its way. */
extern uint32_t arrived;

/*
 * Called once on every processor, on a stack of its own and with interrupts
 * off.  @number counts from 0 in the order of arrival.
 */
void processor_main(uint32_t number);

/* Called for every interrupt and exception, with interrupts off. */
void interrupt(uint32_t vector);

#endif /* FLAT_H */
