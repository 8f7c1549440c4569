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
    .restart = RIO_MODULE_JOURNALED,
    .open = uart_open,
    .describe = uart_describe,
    .attach = uart_attach,
    .detach = uart_detach,
    .read = uart_read,
    .write = uart_write,
    .reset = uart_reset,
    .state = &uart_state,
};

RIO_REGISTER_MODULE(uart16550, uart_module)
