/*
 * uart16550: format of the line, modem lines, break
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "remote-io-module.h"
#include "uart16550.h"

/* Modem lines of a real port must be polled, while their interrupt is on */
#define UART_MODEM_POLL_NS (10 * 1000 * 1000)

static void uart_set_line(RioDevice *dev, UartState *s)
{
    const uint8_t lcr = s->r.lcr;
    RioCharLine line = {
        .speed = (unsigned)(s->baudbase / uart_divisor(s)),
        .parity = !(lcr & LCR_PARITY) ? 'N' : lcr & LCR_EVEN ? 'E' : 'O',
        .data_bits = (uint8_t)(5 + (lcr & LCR_BITS)),
        .stop_bits = lcr & LCR_STOP2 ? 2 : 1,
    };

    if (line.speed != s->line.speed || line.parity != s->line.parity ||
        line.data_bits != s->line.data_bits ||
        line.stop_bits != s->line.stop_bits) {
        s->line = line;
        rio_char_set_line(dev, s->chr, &line);
    }
}

/*
 * Bring the outputs to what the registers say.  A speed counts when the
 * divisor latch is closed, so that half of a divisor is never set.  In
 * loopback all outputs are off (8.8).
 */
void uart_outputs(RioDevice *dev, UartState *s)
{
    const UartRegs *r = &s->r;
    bool brk = (r->lcr & LCR_BREAK) && !uart_loop(s);
    unsigned modem = 0;

    if (!(r->lcr & LCR_DLAB)) {
        uart_set_line(dev, s);
    }
    if (!uart_loop(s)) {
        modem |= r->mcr & MCR_DTR ? RIO_CHAR_DTR : 0;
        modem |= r->mcr & MCR_RTS ? RIO_CHAR_RTS : 0;
    }
    if (modem != s->modem_out) {
        s->modem_out = modem;
        rio_char_set_modem(dev, s->chr, modem);
    }
    if (brk != s->break_out) {
        s->break_out = brk;
        rio_char_break(dev, s->chr, brk);
    }
}

/* Upper half of MSR: the pins, or in loopback the outputs (8.8, 8.9) */
uint8_t uart_modem_inputs(RioDevice *dev, UartState *s, bool *real)
{
    const uint8_t mcr = s->r.mcr;
    unsigned lines = 0;

    *real = false;
    if (uart_loop(s)) {
        return (mcr & MCR_RTS ? MSR_CTS : 0) | (mcr & MCR_DTR ? MSR_DSR : 0) |
               (mcr & MCR_OUT1 ? MSR_RI : 0) | (mcr & MCR_OUT2 ? MSR_DCD : 0);
    }
    *real = rio_char_get_modem(dev, s->chr, &lines);
    return (lines & RIO_CHAR_CTS ? MSR_CTS : 0) |
           (lines & RIO_CHAR_DSR ? MSR_DSR : 0) |
           (lines & RIO_CHAR_RI ? MSR_RI : 0) |
           (lines & RIO_CHAR_DCD ? MSR_DCD : 0);
}

/* Take in the modem lines, and come back while the guest watches them */
void uart_poll_modem(RioDevice *dev, UartState *s)
{
    bool real;
    uint8_t now = uart_modem_inputs(dev, s, &real);
    uint8_t changed = now ^ s->r.msr;

    s->r.msr = now | (s->r.msr & MSR_DELTAS) |
               (changed & MSR_CTS ? MSR_DCTS : 0) |
               (changed & MSR_DSR ? MSR_DDSR : 0) |
               (changed & ~now & MSR_RI ? MSR_TERI : 0) |
               (changed & MSR_DCD ? MSR_DDCD : 0);
    if (real && (s->r.ier & IER_MS)) {
        rio_timer_set(dev, s->modem_timer,
                      rio_clock_ns(dev) + UART_MODEM_POLL_NS);
    } else {
        rio_timer_cancel(dev, s->modem_timer);
    }
}
