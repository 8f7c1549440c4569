/*
 * uart16550: its state, saved and loaded
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the chardev was told last (speed, modem outputs, break) is not saved:
 * the one at the other server is told what the registers say.
 */

#include <string.h>

#include "remote-io-module.h"
#include "uart16550.h"

/* All errors that a character, or LSR, may have */
#define UART_ERRORS (LSR_OE | LSR_PE | LSR_FE | LSR_BI)

typedef struct UartImage {
    uint64_t rx_age;            /* ns since the last character in or out */
    uint32_t rx_polls;
    uint32_t rx_count;
    uint32_t tx_count;
    uint16_t divisor;
    uint8_t ier, fcr, lcr, mcr, msr, scr;
    uint8_t errors;
    uint8_t rbr;
    bool fifo_error;
    bool thre_pending;
    bool timeout_pending;
    bool rx_resting;
    bool break_waiting;
    bool tx_blocked;
    uint8_t rx[UART_FIFO_SIZE]; /* oldest first */
    uint8_t rx_errors[UART_FIFO_SIZE];
    uint8_t tx[UART_FIFO_SIZE];
} UartImage;

static const RioField uart_fields[] = {
    { RIO_STATE(UartImage, UINT, rx_age) },
    { RIO_STATE(UartImage, UINT, rx_polls) },
    { RIO_STATE(UartImage, UINT, divisor) },
    { RIO_STATE(UartImage, UINT, ier) },
    { RIO_STATE(UartImage, UINT, fcr) },
    { RIO_STATE(UartImage, UINT, lcr) },
    { RIO_STATE(UartImage, UINT, mcr) },
    { RIO_STATE(UartImage, UINT, msr) },
    { RIO_STATE(UartImage, UINT, scr) },
    { RIO_STATE(UartImage, UINT, errors) },
    { RIO_STATE(UartImage, UINT, rbr) },
    { RIO_STATE(UartImage, BOOL, fifo_error) },
    { RIO_STATE(UartImage, BOOL, thre_pending) },
    { RIO_STATE(UartImage, BOOL, timeout_pending) },
    { RIO_STATE(UartImage, BOOL, rx_resting) },
    { RIO_STATE(UartImage, BOOL, break_waiting) },
    { RIO_STATE(UartImage, BOOL, tx_blocked) },
    { RIO_STATE_USED(UartImage, BYTES, rx, rx_count) },
    { RIO_STATE_ARRAY(UartImage, BYTES, rx_errors) },
    { RIO_STATE_USED(UartImage, BYTES, tx, tx_count) },
    { .name = NULL },
};

static void uart_save(RioDevice *dev, void *opaque, void *to)
{
    const UartState *s = (const UartState *)opaque;
    const UartRegs *r = &s->r;
    UartImage *image = (UartImage *)to;
    unsigned i;

    *image = (UartImage) {
        .rx_age = (uint64_t)(rio_clock_ns(dev) - r->rx_time),
        .rx_polls = s->rx_polls, .rx_count = r->rx_count,
        .tx_count = r->tx_count, .divisor = r->divisor,
        .ier = r->ier, .fcr = r->fcr, .lcr = r->lcr, .mcr = r->mcr,
        .msr = r->msr, .scr = r->scr, .errors = r->errors, .rbr = r->rbr,
        .fifo_error = r->fifo_error, .thre_pending = r->thre_pending,
        .timeout_pending = r->timeout_pending,
        .rx_resting = s->rx_resting, .break_waiting = s->break_waiting,
        .tx_blocked = s->tx_blocked,
    };
    if (image->rx_age > INT64_MAX / 2) {
        image->rx_age = INT64_MAX / 2;
    }
    for (i = 0; i < r->rx_count; i++) {
        unsigned slot = (r->rx_head + i) % UART_FIFO_SIZE;

        image->rx[i] = r->rx[slot];
        image->rx_errors[i] = r->rx_errors[slot];
    }
    memcpy(image->tx, r->tx, r->tx_count);
}

static int uart_check(RioDevice *dev, void *opaque, const void *from,
                      uint32_t version)
{
    const UartImage *image = (const UartImage *)from;
    unsigned room = image->fcr & FCR_FIFO ? UART_FIFO_SIZE : 1;
    unsigned errors = image->errors;
    unsigned i;

    (void)opaque, (void)version;
    for (i = 0; i < UART_FIFO_SIZE; i++) {
        errors |= image->rx_errors[i];
    }
    if (image->rx_count > room || image->tx_count > room) {
        return rio_fail(dev, "its FIFOs hold %u and %u characters, where %u "
                        "have room", image->rx_count, image->tx_count, room);
    }
    if ((image->ier & ~IER_KNOWN) || (image->mcr & ~MCR_KNOWN) ||
        (image->fcr & ~FCR_KEPT) || (errors & ~UART_ERRORS)) {
        return rio_fail(dev, "a register has bits that there are not: IER "
                        "0x%02x, FCR 0x%02x, MCR 0x%02x, errors 0x%02x",
                        image->ier, image->fcr, image->mcr, errors);
    }
    if (image->rx_age > INT64_MAX / 2) {
        return rio_fail(dev, "its last character is %llu ns old",
                        (unsigned long long)image->rx_age);
    }
    return 0;
}

static void uart_load_regs(RioDevice *dev, UartState *s,
                           const UartImage *image)
{
    s->r = (UartRegs) {
        .divisor = image->divisor, .ier = image->ier, .fcr = image->fcr,
        .lcr = image->lcr, .mcr = image->mcr, .msr = image->msr,
        .scr = image->scr, .errors = image->errors, .rbr = image->rbr,
        .fifo_error = image->fifo_error,
        .thre_pending = image->thre_pending,
        .timeout_pending = image->timeout_pending,
        .rx_count = image->rx_count, .tx_count = image->tx_count,
        .rx_time = rio_clock_ns(dev) - (int64_t)image->rx_age,
    };
    memcpy(s->r.rx, image->rx, sizeof(s->r.rx));
    memcpy(s->r.rx_errors, image->rx_errors, sizeof(s->r.rx_errors));
    memcpy(s->r.tx, image->tx, sizeof(s->r.tx));
}

static void uart_load(RioDevice *dev, void *opaque, const void *from)
{
    UartState *s = (UartState *)opaque;
    const UartImage *image = (const UartImage *)from;

    rio_timer_cancel(dev, s->gather_timer);
    rio_timer_cancel(dev, s->rest_timer);
    rio_timer_cancel(dev, s->timeout_timer);
    s->timeout_at = 0;
    uart_load_regs(dev, s, image);
    s->rx_polls = image->rx_polls;
    s->break_waiting = image->break_waiting;
    s->rx_resting = image->rx_resting;
    if (s->rx_resting) {
        /* When it goes off it sees how long it still is */
        rio_timer_set(dev, s->rest_timer, rio_clock_ns(dev));
    }
    uart_outputs(dev, s);
    s->tx_blocked = false;
    if (image->tx_blocked) {
        uart_tx_flush(dev, s);          /* perhaps this chardev takes it */
    } else if (s->r.tx_count) {
        uart_tx_gather(dev, s);
    }
    uart_poll_modem(dev, s);
    uart_update(dev, s);
    rio_char_room_changed(dev, s->chr);
}

const RioModuleState uart_state = {
    .version = 1,
    .image_size = sizeof(UartImage),
    .fields = uart_fields,
    .save = uart_save,
    .check = uart_check,
    .load = uart_load,
};
