/*
 * uart16550: what there is to tell the guest
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "remote-io-module.h"
#include "uart16550.h"

/* The receiver reached its trigger level (8.5) */
static bool uart_rx_triggered(const UartState *s)
{
    static const uint8_t level[4] = { 1, 4, 8, 14 };

    return s->r.rx_count >= (uart_fifo_on(s)
                             ? level[s->r.fcr >> FCR_TRIGGER] : 1);
}

/* Start bit, data, parity and stop bits at the speed set */
static int64_t uart_char_ns(const UartState *s)
{
    unsigned bits = 1 + 5 + (s->r.lcr & LCR_BITS) + 1
                    + !!(s->r.lcr & LCR_PARITY) + !!(s->r.lcr & LCR_STOP2);

    return (int64_t)(bits * 1000000000ull * uart_divisor(s) / s->baudbase);
}

/* The interrupt of the highest priority (table IV) */
uint8_t uart_interrupt(const UartState *s)
{
    const UartRegs *r = &s->r;

    if ((r->ier & IER_RLS) && r->errors) {
        return IIR_RLS;
    }
    if ((r->ier & IER_RDA) && uart_rx_triggered(s)) {
        return IIR_RDA;
    }
    if ((r->ier & IER_RDA) && r->timeout_pending) {
        return IIR_CTI;
    }
    if ((r->ier & IER_THRE) && r->thre_pending) {
        return IIR_THRE;
    }
    if ((r->ier & IER_MS) && (r->msr & MSR_DELTAS)) {
        return IIR_MS;
    }
    return IIR_NONE;
}

/*
 * FIFO timeout (8.11): something waits in the FIFO, and nothing came or was
 * taken for four character times.  Once pending, only taking clears it.
 */
void uart_check_timeout(RioDevice *dev, UartState *s)
{
    UartRegs *r = &s->r;
    int64_t due = 0;

    if (!uart_fifo_on(s) || r->rx_count == 0) {
        r->timeout_pending = false;
    } else if ((r->ier & IER_RDA) && !r->timeout_pending) {
        due = r->rx_time + 4 * uart_char_ns(s);
        if (rio_clock_ns(dev) >= due) {
            r->timeout_pending = true;
            due = 0;
        }
    }
    if (due != s->timeout_at) {
        s->timeout_at = due;
        if (due) {
            rio_timer_set(dev, s->timeout_timer, due);
        } else {
            rio_timer_cancel(dev, s->timeout_timer);
        }
    }
}

/*
 * The only place that drives the interrupt.  A PC's board passes INTR on
 * through a gate that the OUT2 pin opens, and in loopback the pin is off
 * (8.8); a PCI card has no such gate.
 */
void uart_update(RioDevice *dev, UartState *s)
{
    bool gate = s->pci || (s->r.mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;

    uart_check_timeout(dev, s);
    rio_irq_set(dev, RIO_ALL_CLIENTS, 0,
                gate && uart_interrupt(s) != IIR_NONE);
}
