/*
 * uart16550: a PC serial port with a National Semiconductor PC16550D
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * After the data sheet "PC16550D Universal Asynchronous Receiver/Transmitter
 * with FIFOs"; sections named below are its own.  The wire of the UART is a
 * chardev, and a chardev has no bit clock.  What follows from that:
 *
 * - The guest's interrupt handler must come to an end.  On a real line it
 *   does because it is faster than the line; here the guest may be slower
 *   than the chardev by far.  So while it takes characters no others come,
 *   and what it sends stays in the FIFO, until it has seen in IIR that there
 *   is nothing more to do, or polls LSR, or has been quiet for a while.
 * - A burst of stores to THR leaves in one piece.
 * - The receiver asks for no more than fits: only loopback can overrun it.
 * - Character times count where the guest can tell: the FIFO timeout.
 * - Characters of 5 to 7 bits pass whole; a chardev that is a real line is
 *   told the format and cuts them itself.  Loopback cuts them here.
 *
 * Not modelled: the DMA pins (FCR bit 3 is kept, without effect), stick
 * parity and 1.5 stop bits on the chardev (passed on as parity and 2).
 */

#include <string.h>

#include "remote-io-module.h"
#include "uart16550.h"

/* 9600 baud, as PC firmware leaves it; undefined in the data sheet (8.3) */
#define UART_POWER_ON_DIVISOR 12

/*
 * For guests that look neither at IIR nor at LSR: when to send, and when to
 * receive again.  Longer than a few round trips.
 */
#define UART_GATHER_NS (1000 * 1000)
#define UART_REST_NS (10 * 1000 * 1000)

/* Modem lines of a real port must be polled, while their interrupt is on */
#define UART_MODEM_POLL_NS (10 * 1000 * 1000)

/*
 * All stores are posted: the order of the stream is the order of the
 * accesses, so a load finds what the stores before it did.  Loads of 0, 2,
 * 5 and 6 take something away.  A 16 or 32 bit access is cut into bytes, as
 * the bus of a PC does for an 8 bit card.
 */
#define UART_WIDTHS (1 | 2 | 4)
static const RioModuleRange uart_ranges[] = {
    { .offset = UART_RBR, .length = 1, .sizes = UART_WIDTHS,
      .attrs = RIO_MODULE_POSTED },
    { .offset = UART_IER, .length = 1, .sizes = UART_WIDTHS,
      .attrs = RIO_MODULE_POSTED | RIO_MODULE_PURE },
    { .offset = UART_IIR, .length = 1, .sizes = UART_WIDTHS,
      .attrs = RIO_MODULE_POSTED },
    { .offset = UART_LCR, .length = 2, .sizes = UART_WIDTHS,
      .attrs = RIO_MODULE_POSTED | RIO_MODULE_PURE },
    { .offset = UART_LSR, .length = 2, .sizes = UART_WIDTHS,
      .attrs = RIO_MODULE_POSTED },
    { .offset = UART_SCR, .length = 1, .sizes = UART_WIDTHS,
      .attrs = RIO_MODULE_POSTED | RIO_MODULE_PURE },
};

static bool uart_fifo_on(const UartState *s)
{
    return s->r.fcr & FCR_FIFO;
}

static bool uart_loop(const UartState *s)
{
    return s->r.mcr & MCR_LOOP;
}

static unsigned uart_capacity(const UartState *s)
{
    return uart_fifo_on(s) ? UART_FIFO_SIZE : 1;
}

/* The receiver reached its trigger level (8.5) */
static bool uart_rx_triggered(const UartState *s)
{
    static const uint8_t level[4] = { 1, 4, 8, 14 };

    return s->r.rx_count >= (uart_fifo_on(s)
                             ? level[s->r.fcr >> FCR_TRIGGER] : 1);
}

static unsigned uart_divisor(const UartState *s)
{
    return s->r.divisor ? s->r.divisor : 1;
}

/* Start bit, data, parity and stop bits at the speed set */
static int64_t uart_char_ns(const UartState *s)
{
    unsigned bits = 1 + 5 + (s->r.lcr & LCR_BITS) + 1
                    + !!(s->r.lcr & LCR_PARITY) + !!(s->r.lcr & LCR_STOP2);

    return (int64_t)(bits * 1000000000ull * uart_divisor(s) / s->baudbase);
}

/* Interrupts */

/* The interrupt of the highest priority (table IV) */
static uint8_t uart_interrupt(const UartState *s)
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
static void uart_check_timeout(RioDevice *dev, UartState *s)
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
static void uart_update(RioDevice *dev, UartState *s)
{
    bool gate = s->pci || (s->r.mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;

    uart_check_timeout(dev, s);
    rio_irq_set(dev, RIO_ALL_CLIENTS, 0,
                gate && uart_interrupt(s) != IIR_NONE);
}

/* Receiver */

/* Errors belong to a character and show when it is next to be read (8.4) */
static void uart_rx_show(UartState *s)
{
    if (s->r.rx_count) {
        s->r.errors |= s->r.rx_errors[s->r.rx_head];
    }
}

/* A full FIFO loses the new character, a full register the old one (8.4) */
static void uart_rx_push(RioDevice *dev, UartState *s, uint8_t data,
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
static size_t uart_room(RioDevice *dev, void *opaque)
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
static void uart_rx_break(RioDevice *dev, UartState *s)
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
static void uart_rx_more(RioDevice *dev, UartState *s)
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
static void uart_rx_resume(RioDevice *dev, UartState *s)
{
    if (s->rx_resting) {
        s->rx_resting = false;
        rio_timer_cancel(dev, s->rest_timer);
        uart_rx_more(dev, s);
    }
}

static uint8_t uart_rx_pop(RioDevice *dev, UartState *s)
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

static void uart_rx_clear(RioDevice *dev, UartState *s)
{
    s->r.rx_count = 0;
    s->r.timeout_pending = false;
    s->r.fifo_error = false;
    uart_rx_more(dev, s);
}

/* Transmitter */

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
static void uart_tx_flush(RioDevice *dev, UartState *s)
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

static void uart_tx_push(RioDevice *dev, UartState *s, uint8_t data)
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
        rio_timer_set(dev, s->gather_timer,
                      rio_clock_ns(dev) + UART_GATHER_NS);
    }
}

static void uart_tx_clear(UartState *s)
{
    s->r.thre_pending |= s->r.tx_count != 0;
    s->r.tx_count = 0;
}

/* Line and modem */

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
static void uart_outputs(RioDevice *dev, UartState *s)
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
static uint8_t uart_modem_inputs(RioDevice *dev, UartState *s, bool *real)
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
static void uart_poll_modem(RioDevice *dev, UartState *s)
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

static uint64_t uart_read(RioDevice *dev, void *opaque, unsigned client,
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

static void uart_write(RioDevice *dev, void *opaque, unsigned client,
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

/* Chardev and timers */

static void uart_receive(RioDevice *dev, void *opaque, const uint8_t *buf,
                         size_t len)
{
    UartState *s = (UartState *)opaque;
    size_t i;

    for (i = 0; i < len; i++) {
        uart_rx_push(dev, s, buf[i], 0);
    }
    uart_update(dev, s);
}

static void uart_event(RioDevice *dev, void *opaque, RioCharEvent event)
{
    UartState *s = (UartState *)opaque;

    if (event == RIO_CHAR_BREAK) {
        uart_rx_break(dev, s);
    } else {
        uart_poll_modem(dev, s);
    }
    uart_update(dev, s);
}

static void uart_writable(RioDevice *dev, void *opaque)
{
    UartState *s = (UartState *)opaque;

    s->tx_blocked = false;
    uart_tx_flush(dev, s);
    uart_update(dev, s);
}

static const RioCharOps uart_char_ops = {
    .room = uart_room,
    .receive = uart_receive,
    .event = uart_event,
    .writable = uart_writable,
};

static void uart_gathered(RioDevice *dev, void *opaque)
{
    UartState *s = (UartState *)opaque;

    uart_tx_flush(dev, s);
    uart_update(dev, s);
}

/* Counted from the last character, not from the first */
static void uart_rested(RioDevice *dev, void *opaque)
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

static void uart_timed_out(RioDevice *dev, void *opaque)
{
    UartState *s = (UartState *)opaque;

    s->timeout_at = 0;
    uart_update(dev, s);
}

static void uart_modem_due(RioDevice *dev, void *opaque)
{
    UartState *s = (UartState *)opaque;

    uart_poll_modem(dev, s);
    uart_update(dev, s);
}

/* Reset and life */

/* Table I; SCR and the divisor, which it leaves open, as at power-on */
static void uart_power_on(RioDevice *dev, UartState *s)
{
    bool real;

    uart_tx_flush(dev, s);
    rio_timer_cancel(dev, s->gather_timer);
    rio_timer_cancel(dev, s->rest_timer);
    s->rx_resting = false;
    s->r = (UartRegs) { .divisor = UART_POWER_ON_DIVISOR };
    s->r.msr = uart_modem_inputs(dev, s, &real);
    uart_poll_modem(dev, s);
    uart_outputs(dev, s);
    uart_update(dev, s);
}

static void uart_reset(RioDevice *dev, void *opaque, unsigned client,
                       int kind)
{
    UartState *s = (UartState *)opaque;

    (void)client, (void)kind;
    uart_power_on(dev, s);
    uart_rx_more(dev, s);
    uart_update(dev, s);
}

static void uart_attach(RioDevice *dev, void *opaque, unsigned client)
{
    UartState *s = (UartState *)opaque;

    s->attached = true;
    uart_reset(dev, s, client, RIO_MODULE_RESET_SYSTEM);
}

static void uart_detach(RioDevice *dev, void *opaque, unsigned client)
{
    UartState *s = (UartState *)opaque;

    (void)client;
    s->attached = false;
    uart_power_on(dev, s);
}

static const RioParam uart_params[] = {
    { .name = "chardev", .type = RIO_PARAM_STRING, .mandatory = true,
      .help = "id of the --chardev at the other end of the line" },
    { .name = "bus", .type = RIO_PARAM_STRING, .fallback = "isa",
      .help = "isa or pci" },
    { .name = "com", .type = RIO_PARAM_UINT, .fallback = "1",
      .help = "bus=isa: ports and IRQ of COM1 to COM4" },
    { .name = "iobase", .type = RIO_PARAM_UINT,
      .help = "bus=isa: first of the 8 ports, in place of com's" },
    { .name = "irq", .type = RIO_PARAM_UINT,
      .help = "bus=isa: IRQ 1 to 15, in place of com's" },
    { .name = "baudbase", .type = RIO_PARAM_UINT, .fallback = "115200",
      .help = "bits per second at divisor 1" },
    { .name = NULL },
};

static int uart_open_isa(RioDevice *dev, UartState *s)
{
    static const uint16_t bases[4] = { 0x3f8, 0x2f8, 0x3e8, 0x2e8 };
    static const uint8_t irqs[4] = { 4, 3, 4, 3 };
    uint64_t com = rio_param_uint(dev, "com");
    uint64_t base = rio_param_uint(dev, "iobase");
    uint64_t irq = rio_param_uint(dev, "irq");

    if (com < 1 || com > 4) {
        return rio_fail(dev, "com=%llu: use 1 to 4, or iobase= and irq=",
                        (unsigned long long)com);
    }
    if (base > 0x10000 - UART_SIZE) {
        return rio_fail(dev, "iobase=0x%llx: ports end at 0xffff",
                        (unsigned long long)base);
    }
    if (irq > 15) {
        return rio_fail(dev, "irq=%llu: use 1 to 15",
                        (unsigned long long)irq);
    }
    s->region.base = base ? base : bases[com - 1];
    s->irq = irq ? (uint8_t)irq : irqs[com - 1];
    return 0;
}

static int uart_open(RioDevice *dev, void *opaque)
{
    UartState *s = (UartState *)opaque;
    const char *bus = rio_param_string(dev, "bus");

    s->pci = !strcmp(bus, "pci");
    if (!s->pci && strcmp(bus, "isa")) {
        return rio_fail(dev, "bus=%s: use isa or pci", bus);
    }
    s->baudbase = rio_param_uint(dev, "baudbase");
    if (s->baudbase < 1 || s->baudbase > 100000000) {
        return rio_fail(dev, "baudbase=%llu: use 1 to 100000000",
                        (unsigned long long)s->baudbase);
    }
    s->region.space = RIO_MODULE_PIO;
    s->region.size = UART_SIZE;
    if (!s->pci && uart_open_isa(dev, s) < 0) {
        return -1;
    }
    s->chr = rio_char_open(dev, rio_param_string(dev, "chardev"),
                           &uart_char_ops);
    if (!s->chr) {
        return -1;
    }
    s->gather_timer = rio_timer_new(dev, uart_gathered);
    s->rest_timer = rio_timer_new(dev, uart_rested);
    s->timeout_timer = rio_timer_new(dev, uart_timed_out);
    s->modem_timer = rio_timer_new(dev, uart_modem_due);
    s->r.divisor = UART_POWER_ON_DIVISOR;
    return 0;
}

static void uart_describe(RioDevice *dev, void *opaque, RioModuleInfo *info)
{
    UartState *s = (UartState *)opaque;

    (void)dev;
    info->lines = 1;
    info->regions = &s->region;
    info->num_regions = 1;
    info->ranges = uart_ranges;
    info->num_ranges = sizeof(uart_ranges) / sizeof(uart_ranges[0]);
    if (!s->pci) {
        info->bus = RIO_MODULE_ISA;
        info->isa_irq = s->irq;
        info->acpi_hid = "PNP0501";
        return;
    }
    info->bus = RIO_MODULE_PCI;
    /* The ids of QEMU's own PCI serial port; Linux's driver goes by class */
    info->vendor_id = 0x1b36;
    info->device_id = 0x0002;
    info->subsystem_vendor_id = 0x1af4;
    info->subsystem_id = 0x1100;
    info->class_code = 0x070002;        /* serial, 16550 compatible */
    info->revision = 1;
}

static RioModule uart_module = {
    .name = "uart16550",
    .summary = "16550A serial port on a chardev, ISA or PCI",
    .params = uart_params,
    .state_size = sizeof(UartState),
    .max_clients = 1,
    .restart = RIO_MODULE_VOLATILE,
    .open = uart_open,
    .describe = uart_describe,
    .attach = uart_attach,
    .detach = uart_detach,
    .read = uart_read,
    .write = uart_write,
    .reset = uart_reset,
};

RIO_REGISTER_MODULE(uart16550, uart_module)
