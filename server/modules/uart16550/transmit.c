/*
 * uart16550: the transmitter
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "remote-io-module.h"
#include "uart16550.h"

/*
 * For guests that look neither at IIR nor at LSR: when to send.  Longer than
 * a few round trips.
 */
#define UART_GATHER_NS (1000 * 1000)

/* The transmitter's shift register feeds the receiver's (8.8) */
static size_t uart_tx_loop(RioDevice *dev, UartState *s)
{
    uint8_t mask = 0xff >> (3 - (s->r.lcr & LCR_BITS));
    unsigned i;

    for (i = 0; i < s->r.tx_count; i++) {
        uart_rx_push(dev, s, s->r.tx[i] & mask, 0);
    }
    return i;
}

/* Send what waits, as far as the chardev takes it */
void uart_tx_flush(RioDevice *dev, UartState *s)
{
    UartRegs *r = &s->r;
    size_t done;

    if (r->tx_count == 0 || (s->tx_blocked && !uart_loop(s))) {
        return;
    }
    rio_timer_cancel(dev, s->gather_timer);
    if (uart_loop(s)) {
        done = uart_tx_loop(dev, s);
    } else {
        done = rio_char_write(dev, s->chr, r->tx, r->tx_count);
        s->tx_blocked = done < r->tx_count;
    }
    r->tx_count -= done;
    memmove(r->tx, r->tx + done, r->tx_count);
    r->thre_pending |= r->tx_count == 0;
}

void uart_tx_gather(RioDevice *dev, UartState *s)
{
    rio_timer_set(dev, s->gather_timer, rio_clock_ns(dev) + UART_GATHER_NS);
}

void uart_tx_push(RioDevice *dev, UartState *s, uint8_t data)
{
    UartRegs *r = &s->r;

    if (r->tx_count == uart_capacity(s)) {
        uart_tx_flush(dev, s);
    }
    r->thre_pending = false;
    if (r->tx_count == uart_capacity(s)) {
        rio_log(dev, RIO_LOG_GUEST,
                "store to THR while LSR says it is full: 0x%02x is lost",
                data);
        return;
    }
    r->tx[r->tx_count++] = data;
    if (uart_loop(s)) {
        uart_tx_flush(dev, s);
    } else if (r->tx_count == 1 && !s->tx_blocked) {
        uart_tx_gather(dev, s);
    }
}

void uart_tx_clear(UartState *s)
{
    s->r.thre_pending |= s->r.tx_count != 0;
    s->r.tx_count = 0;
}
