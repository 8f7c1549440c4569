/*
 * uart16550: the receiver
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "remote-io-module.h"
#include "uart16550.h"

/*
 * For guests that look neither at IIR nor at LSR: when to receive again.
 * Longer than a few round trips.
 */
#define UART_REST_NS (10 * 1000 * 1000)

/* Errors belong to a character and show when it is next to be read (8.4) */
static void uart_rx_show(UartState *s)
{
    if (s->r.rx_count) {
        s->r.errors |= s->r.rx_errors[s->r.rx_head];
    }
}

/* A full FIFO loses the new character, a full register the old one (8.4) */
void uart_rx_push(RioDevice *dev, UartState *s, uint8_t data,
                  uint8_t errors)
{
    UartRegs *r = &s->r;
    unsigned slot;

    if (r->rx_count == uart_capacity(s)) {
        r->errors |= LSR_OE;
        if (uart_fifo_on(s)) {
            return;
        }
        r->rx_count = 0;
    }
    slot = (r->rx_head + r->rx_count) % UART_FIFO_SIZE;
    r->rx[slot] = data;
    r->rx_errors[slot] = errors;
    r->rx_count++;
    r->rx_time = rio_clock_ns(dev);
    r->fifo_error |= uart_fifo_on(s) && errors;
    if (r->rx_count == 1) {
        uart_rx_show(s);
    }
}

/*
 * Room for the chardev.  In loopback nothing listens to it (8.8), and rather
 * than be lost its characters wait; as they do while the guest takes those
 * that it has.
 */
size_t uart_room(RioDevice *dev, void *opaque)
{
    UartState *s = (UartState *)opaque;

    (void)dev;
    if (!s->attached || uart_loop(s) || s->rx_resting || s->break_waiting) {
        return 0;
    }
    return uart_capacity(s) - s->r.rx_count;
}

/*
 * A break is one zero character whose stop bit is missing too, and whose
 * parity bit is zero: with odd parity, a third error (8.4).
 */
void uart_rx_break(RioDevice *dev, UartState *s)
{
    uint8_t errors = LSR_BI | LSR_FE;
    unsigned parity = s->r.lcr & (LCR_PARITY | LCR_EVEN | LCR_STICK);

    if (parity == LCR_PARITY || parity == (LCR_PARITY | LCR_STICK)) {
        errors |= LSR_PE;
    }
    if (uart_room(dev, s) == 0) {
        s->break_waiting = true;
        return;
    }
    uart_rx_push(dev, s, 0, errors);
}

/* There may be room again: for a break that waits, then for the chardev */
void uart_rx_more(RioDevice *dev, UartState *s)
{
    if (s->break_waiting) {
        s->break_waiting = false;
        uart_rx_break(dev, s);
    }
    rio_char_room_changed(dev, s->chr);
}

/* The guest begins to take characters: let it come to an end */
static void uart_rx_rest(RioDevice *dev, UartState *s)
{
    s->rx_polls = 0;
    if (!s->rx_resting) {
        s->rx_resting = true;
        rio_timer_set(dev, s->rest_timer, s->r.rx_time + UART_REST_NS);
    }
}

/* It has */
void uart_rx_resume(RioDevice *dev, UartState *s)
{
    if (s->rx_resting) {
        s->rx_resting = false;
        rio_timer_cancel(dev, s->rest_timer);
        uart_rx_more(dev, s);
    }
}

uint8_t uart_rx_pop(RioDevice *dev, UartState *s)
{
    UartRegs *r = &s->r;

    if (r->rx_count) {
        r->rbr = r->rx[r->rx_head];
        r->rx_head = (r->rx_head + 1) % UART_FIFO_SIZE;
        r->rx_count--;
        r->rx_time = rio_clock_ns(dev);
        r->timeout_pending = false;
        uart_rx_show(s);
        uart_rx_rest(dev, s);
    }
    return r->rbr;
}

void uart_rx_clear(RioDevice *dev, UartState *s)
{
    s->r.rx_count = 0;
    s->r.timeout_pending = false;
    s->r.fifo_error = false;
    uart_rx_more(dev, s);
}

/* Counted from the last character, not from the first */
void uart_rested(RioDevice *dev, void *opaque)
{
    UartState *s = (UartState *)opaque;
    int64_t end = s->r.rx_time + UART_REST_NS;

    if (rio_clock_ns(dev) < end) {
        rio_timer_set(dev, s->rest_timer, end);
        return;
    }
    uart_rx_resume(dev, s);
    uart_update(dev, s);
}
