/*
 * uart16550: registers and state
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Names, offsets and bits are those of the data sheet "PC16550D Universal
 * Asynchronous Receiver/Transmitter with FIFOs", National Semiconductor;
 * the section or table that defines each is named beside it.
 */

#ifndef SERVER_MODULES_UART16550_H
#define SERVER_MODULES_UART16550_H

#include "remote-io-module.h"

/* Table II.  0 and 1 are the divisor latch while LCR_DLAB is set (8.3) */
enum {
    UART_RBR = 0,       /* R:  receiver buffer */
    UART_THR = 0,       /* W:  transmitter holding register */
    UART_DLL = 0,       /* RW: divisor, low byte */
    UART_IER = 1,       /* RW: interrupt enable, 8.7 */
    UART_DLM = 1,       /* RW: divisor, high byte */
    UART_IIR = 2,       /* R:  interrupt identification, 8.6 */
    UART_FCR = 2,       /* W:  FIFO control, 8.5 */
    UART_LCR = 3,       /* RW: line control, 8.1 */
    UART_MCR = 4,       /* RW: modem control, 8.8 */
    UART_LSR = 5,       /* R:  line status, 8.4 */
    UART_MSR = 6,       /* R:  modem status, 8.9 */
    UART_SCR = 7,       /* RW: scratch, 8.10 */
    UART_SIZE = 8,
};

enum {
    /* Interrupt enable, 8.7 */
    IER_RDA   = 1 << 0, /* received data, and the FIFO timeout */
    IER_THRE  = 1 << 1,
    IER_RLS   = 1 << 2, /* receiver line status */
    IER_MS    = 1 << 3, /* modem status */
    IER_KNOWN = 0x0f,

    /* Interrupt identification by falling priority, table IV */
    IIR_RLS   = 0x06,
    IIR_RDA   = 0x04,
    IIR_CTI   = 0x0c,   /* character timeout */
    IIR_THRE  = 0x02,
    IIR_MS    = 0x00,
    IIR_NONE  = 0x01,
    IIR_FIFO  = 0xc0,   /* FIFOs are on */

    /* FIFO control, 8.5 */
    FCR_FIFO     = 1 << 0,
    FCR_RX_CLEAR = 1 << 1,
    FCR_TX_CLEAR = 1 << 2,
    FCR_TRIGGER  = 6,   /* shift of the receiver's trigger level */
    FCR_KEPT     = 0xc9,

    /* Line control, 8.1 */
    LCR_BITS   = 0x03,  /* 5 to 8 bits a character */
    LCR_STOP2  = 1 << 2,
    LCR_PARITY = 1 << 3,
    LCR_EVEN   = 1 << 4,
    LCR_STICK  = 1 << 5,
    LCR_BREAK  = 1 << 6,
    LCR_DLAB   = 1 << 7,

    /* Modem control, 8.8 */
    MCR_DTR   = 1 << 0,
    MCR_RTS   = 1 << 1,
    MCR_OUT1  = 1 << 2,
    MCR_OUT2  = 1 << 3, /* on a PC's board: lets interrupts through */
    MCR_LOOP  = 1 << 4,
    MCR_KNOWN = 0x1f,

    /* Line status, 8.4 */
    LSR_DR   = 1 << 0,
    LSR_OE   = 1 << 1,
    LSR_PE   = 1 << 2,
    LSR_FE   = 1 << 3,
    LSR_BI   = 1 << 4,
    LSR_THRE = 1 << 5,
    LSR_TEMT = 1 << 6,
    LSR_FIFO = 1 << 7,  /* an error is somewhere in the receiver's FIFO */

    /* Modem status, 8.9: changes since the last load, and the lines */
    MSR_DCTS   = 1 << 0,
    MSR_DDSR   = 1 << 1,
    MSR_TERI   = 1 << 2,
    MSR_DDCD   = 1 << 3,
    MSR_DELTAS = 0x0f,
    MSR_CTS    = 1 << 4,
    MSR_DSR    = 1 << 5,
    MSR_RI     = 1 << 6,
    MSR_DCD    = 1 << 7,
};

#define UART_FIFO_SIZE 16

/* What a reset forgets */
typedef struct UartRegs {
    uint16_t divisor;
    uint8_t ier, fcr, lcr, mcr, msr, scr;
    uint8_t errors;             /* OE, PE, FE, BI of LSR */
    bool fifo_error;            /* LSR_FIFO */
    bool thre_pending;          /* until IIR told it or THR was written */
    bool timeout_pending;

    uint8_t rbr;                /* what an empty receiver shows */
    uint8_t rx[UART_FIFO_SIZE];
    uint8_t rx_errors[UART_FIFO_SIZE];
    unsigned rx_head, rx_count;
    int64_t rx_time;            /* of the last character in or out */
    uint8_t tx[UART_FIFO_SIZE];
    unsigned tx_count;
} UartRegs;

typedef struct UartState {
    /* Set by open */
    bool pci;
    uint8_t irq;
    uint64_t baudbase;          /* speed at divisor 1: clock / 16 */
    RioModuleRegion region;
    RioChar *chr;
    RioTimer *gather_timer;
    RioTimer *rest_timer;
    RioTimer *timeout_timer;
    RioTimer *modem_timer;

    UartRegs r;
    bool attached;              /* before that, the chardev keeps its data */
    bool tx_blocked;            /* until the chardev calls writable */
    bool rx_resting;            /* while the guest takes, nothing comes */
    unsigned rx_polls;          /* of LSR, since the last character taken */
    bool break_waiting;         /* it came while there was no room */
    int64_t timeout_at;         /* what timeout_timer is set to, or 0 */

    /* What the chardev was told last */
    RioCharLine line;
    unsigned modem_out;
    bool break_out;
} UartState;

static inline bool uart_fifo_on(const UartState *s)
{
    return s->r.fcr & FCR_FIFO;
}

static inline bool uart_loop(const UartState *s)
{
    return s->r.mcr & MCR_LOOP;
}

static inline unsigned uart_capacity(const UartState *s)
{
    return uart_fifo_on(s) ? UART_FIFO_SIZE : 1;
}

static inline unsigned uart_divisor(const UartState *s)
{
    return s->r.divisor ? s->r.divisor : 1;
}

/* interrupt.c: the one of the highest priority, an IIR_* */
uint8_t uart_interrupt(const UartState *s);
/* Look whether the FIFO timeout is due, and set its timer */
void uart_check_timeout(RioDevice *dev, UartState *s);
/* After each change of state: the only place that drives the interrupt */
void uart_update(RioDevice *dev, UartState *s);

/*
 * receive.c.  A character with LSR_* @errors arrives; a break does; the
 * guest takes one; the FIFO is emptied.
 */
void uart_rx_push(RioDevice *dev, UartState *s, uint8_t data, uint8_t errors);
void uart_rx_break(RioDevice *dev, UartState *s);
uint8_t uart_rx_pop(RioDevice *dev, UartState *s);
void uart_rx_clear(RioDevice *dev, UartState *s);
/* There may be room again; the guest has come to an end, go on */
void uart_rx_more(RioDevice *dev, UartState *s);
void uart_rx_resume(RioDevice *dev, UartState *s);
/* For the chardev, and for rest_timer */
size_t uart_room(RioDevice *dev, void *opaque);
void uart_rested(RioDevice *dev, void *opaque);

/* transmit.c.  Send what waits, or later; a store to THR; empty the FIFO */
void uart_tx_flush(RioDevice *dev, UartState *s);
void uart_tx_gather(RioDevice *dev, UartState *s);
void uart_tx_push(RioDevice *dev, UartState *s, uint8_t data);
void uart_tx_clear(UartState *s);

/* line.c.  Bring the chardev's outputs to what the registers say */
void uart_outputs(RioDevice *dev, UartState *s);
/* Upper half of MSR; *@real: they are lines of a real port */
uint8_t uart_modem_inputs(RioDevice *dev, UartState *s, bool *real);
/* Take in the modem lines, and come back while the guest watches them */
void uart_poll_modem(RioDevice *dev, UartState *s);

/* registers.c: callbacks of the module */
uint64_t uart_read(RioDevice *dev, void *opaque, unsigned client,
                   unsigned region, uint64_t offset, unsigned size);
void uart_write(RioDevice *dev, void *opaque, unsigned client,
                unsigned region, uint64_t offset, unsigned size,
                uint64_t value);

/* state.c */
extern const RioModuleState uart_state;

#endif /* SERVER_MODULES_UART16550_H */
