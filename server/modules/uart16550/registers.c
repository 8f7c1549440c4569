/*
 * uart16550: loads and stores
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "remote-io-module.h"
#include "uart16550.h"

/* Loads */

/* A handler that is told of nothing more will return: now things go on */
static uint8_t uart_read_iir(RioDevice *dev, UartState *s)
{
    uint8_t id;

    uart_check_timeout(dev, s);
    id = uart_interrupt(s);
    if (id == IIR_THRE) {
        s->r.thre_pending = false;
    } else if (id == IIR_NONE) {
        uart_tx_flush(dev, s);
        uart_rx_resume(dev, s);
    }
    return id | (uart_fifo_on(s) ? IIR_FIFO : 0);
}

/*
 * A handler looks here once to see that it took all, and then in IIR; who
 * looks twice is polling.
 */
static uint8_t uart_read_lsr(RioDevice *dev, UartState *s)
{
    UartRegs *r = &s->r;
    uint8_t lsr;
    unsigned i;

    uart_tx_flush(dev, s);
    if (r->rx_count == 0 && ++s->rx_polls > 1) {
        uart_rx_resume(dev, s);
    }
    lsr = r->errors;
    lsr |= r->rx_count ? LSR_DR : 0;
    lsr |= r->tx_count ? 0 : LSR_THRE | LSR_TEMT;
    lsr |= r->fifo_error ? LSR_FIFO : 0;

    /* Told; what is left are the errors of characters further back */
    r->errors = 0;
    r->fifo_error = false;
    for (i = 1; i < r->rx_count; i++) {
        r->fifo_error |= r->rx_errors[(r->rx_head + i) % UART_FIFO_SIZE] != 0;
    }
    return lsr;
}

static uint8_t uart_read_msr(RioDevice *dev, UartState *s)
{
    uint8_t msr;

    uart_poll_modem(dev, s);
    msr = s->r.msr;
    s->r.msr &= ~MSR_DELTAS;
    return msr;
}

static uint8_t uart_read_byte(RioDevice *dev, UartState *s, unsigned reg)
{
    const UartRegs *r = &s->r;
    bool dlab = r->lcr & LCR_DLAB;

    switch (reg) {
    case UART_RBR:
        return dlab ? r->divisor & 0xff : uart_rx_pop(dev, s);
    case UART_IER:
        return dlab ? r->divisor >> 8 : r->ier;
    case UART_IIR:
        return uart_read_iir(dev, s);
    case UART_LCR:
        return r->lcr;
    case UART_MCR:
        return r->mcr;
    case UART_LSR:
        return uart_read_lsr(dev, s);
    case UART_MSR:
        return uart_read_msr(dev, s);
    default:
        return r->scr;
    }
}

uint64_t uart_read(RioDevice *dev, void *opaque, unsigned client,
                   unsigned region, uint64_t offset, unsigned size)
{
    UartState *s = (UartState *)opaque;
    uint64_t value = 0;
    unsigned i;

    (void)client, (void)region;
    for (i = 0; i < size; i++) {
        value |= (uint64_t)uart_read_byte(dev, s, (unsigned)offset + i)
                 << (8 * i);
    }
    uart_update(dev, s);
    return value;
}

/* Stores */

/* To enable the interrupt while THR is empty sets it off (8.11) */
static void uart_write_ier(RioDevice *dev, UartState *s, uint8_t value)
{
    uint8_t risen = value & ~s->r.ier;

    s->r.ier = value & IER_KNOWN;
    if ((risen & IER_THRE) && s->r.tx_count == 0) {
        s->r.thre_pending = true;
    }
    uart_poll_modem(dev, s);
}

/*
 * Without FCR_FIFO the other bits are not taken; a change of it empties both
 * FIFOs, and the first interrupt of the transmitter is immediate (8.5, 8.11)
 */
static void uart_write_fcr(RioDevice *dev, UartState *s, uint8_t value)
{
    bool changed = (value ^ s->r.fcr) & FCR_FIFO;

    if (!(value & FCR_FIFO)) {
        value = 0;
    }
    uart_tx_flush(dev, s);
    s->r.fcr = value & FCR_KEPT;
    if (changed || (value & FCR_TX_CLEAR)) {
        uart_tx_clear(s);
    }
    if (changed || (value & FCR_RX_CLEAR)) {
        uart_rx_clear(dev, s);
    }
    s->r.thre_pending |= changed;
}

static void uart_write_mcr(RioDevice *dev, UartState *s, uint8_t value)
{
    bool was_loop = uart_loop(s);

    uart_tx_flush(dev, s);
    s->r.mcr = value & MCR_KNOWN;
    uart_outputs(dev, s);
    uart_poll_modem(dev, s);
    if (was_loop && !uart_loop(s)) {
        uart_rx_more(dev, s);
    }
}

/* Characters written before a change of the line leave as they were meant */
static void uart_write_lcr(RioDevice *dev, UartState *s, uint8_t value)
{
    uart_tx_flush(dev, s);
    s->r.lcr = value;
    uart_outputs(dev, s);
}

static void uart_write_byte(RioDevice *dev, UartState *s, unsigned reg,
                            uint8_t value)
{
    UartRegs *r = &s->r;
    bool dlab = r->lcr & LCR_DLAB;

    switch (reg) {
    case UART_THR:
        if (dlab) {
            r->divisor = (uint16_t)((r->divisor & 0xff00) | value);
        } else {
            uart_tx_push(dev, s, value);
        }
        break;
    case UART_IER:
        if (dlab) {
            r->divisor = (uint16_t)((r->divisor & 0xff) | value << 8);
        } else {
            uart_write_ier(dev, s, value);
        }
        break;
    case UART_FCR:
        uart_write_fcr(dev, s, value);
        break;
    case UART_LCR:
        uart_write_lcr(dev, s, value);
        break;
    case UART_MCR:
        uart_write_mcr(dev, s, value);
        break;
    case UART_SCR:
        r->scr = value;
        break;
    default:
        rio_log(dev, RIO_LOG_GUEST, "store of 0x%02x to %s: it is read only",
                value, reg == UART_LSR ? "LSR" : "MSR");
    }
}

void uart_write(RioDevice *dev, void *opaque, unsigned client,
                unsigned region, uint64_t offset, unsigned size,
                uint64_t value)
{
    UartState *s = (UartState *)opaque;
    unsigned i;

    (void)client, (void)region;
    for (i = 0; i < size; i++) {
        uart_write_byte(dev, s, (unsigned)offset + i,
                        (uint8_t)(value >> (8 * i)));
    }
    uart_update(dev, s);
}
