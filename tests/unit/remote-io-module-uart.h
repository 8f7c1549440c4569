/*
 * The registers of the PC16550D, and a guest that uses them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Typed again from the data sheet, as an independent witness of those in the
 * module.
 */

#ifndef TEST_REMOTE_IO_MODULE_UART_H
#define TEST_REMOTE_IO_MODULE_UART_H

#include "remote-io-module-host.h"

#define RBR 0
#define THR 0
#define DLL 0
#define IER 1
#define DLM 1
#define IIR 2
#define FCR 2
#define LCR 3
#define MCR 4
#define LSR 5
#define MSR 6
#define SCR 7

/* What IIR shows: without FIFOs, and with them */
#define NO_INT      0x01
#define RLS_INT     0x06
#define RDA_INT     0x04
#define THRE_INT    0x02
#define MS_INT      0x00
#define F_NO_INT    0xc1
#define F_RLS_INT   0xc6
#define F_RDA_INT   0xc4
#define F_CTI_INT   0xcc
#define F_THRE_INT  0xc2

#define OUT2        0x08
#define LOOP        0x10

/* One character of 8N1 at 115200: 10 bits of 8680 ns */
#define CHAR_NS     (10 * 1000000000ll / 115200)

/* A burst of stores to THR is sent this late at the latest */
#define GATHER_NS   1000000

/* The receiver goes on this long after the last character was taken */
#define REST_NS     10000000

const RioModule *rio_module_uart16550_init(void);

/* Fresh from reset, with the line set to 8N1 at 115200 */
static inline FakeHost *start(const char *params)
{
    char *all = g_strdup_printf("chardev=c0%s%s", *params ? "," : "", params);
    FakeHost *h = fake_start(rio_module_uart16550_init(), all);

    fake_write(h, LCR, 1, 0x83);
    fake_write(h, DLL, 1, 1);
    fake_write(h, DLM, 1, 0);
    fake_write(h, LCR, 1, 0x03);
    g_free(all);
    return h;
}

/* The same with interrupts let through and FIFOs on, trigger level 1 */
static inline FakeHost *start_fifo(uint8_t trigger)
{
    FakeHost *h = start("");

    fake_write(h, MCR, 1, OUT2);
    fake_write(h, FCR, 1, 0x01 | trigger);
    return h;
}

static inline uint8_t in(FakeHost *h, unsigned reg)
{
    return fake_read(h, reg, 1);
}

static inline void out(FakeHost *h, unsigned reg, uint8_t value)
{
    fake_write(h, reg, 1, value);
}

static inline void put(FakeHost *h, const char *text)
{
    for (; *text; text++) {
        out(h, THR, *text);
    }
}

static inline void type(FakeHost *h, const char *text)
{
    fake_type(h, text, strlen(text));
}

/* Takes as many characters as @text has from RBR and compares */
static inline void expect(FakeHost *h, const char *text)
{
    for (; *text; text++) {
        g_assert_cmphex(in(h, RBR), ==, *text);
    }
}

/* Takes a character as a guest without interrupts does */
static inline uint8_t poll_char(FakeHost *h)
{
    unsigned looks = 0;

    while (!(in(h, LSR) & 1)) {
        g_assert_cmpuint(++looks, <, 3);
    }
    return in(h, RBR);
}

static inline unsigned taken_line_changes(FakeHost *h)
{
    unsigned n = h->line_changes[0];

    h->line_changes[0] = 0;
    return n;
}

#endif /* TEST_REMOTE_IO_MODULE_UART_H */
