/*
 * remote-io module API: character devices
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Part of remote-io-module.h, which is the one to include.  Any chardev of the
 * server (--chardev) can be the other end of a line.  One instance uses a
 * chardev at a time.
 */

#ifndef REMOTE_IO_MODULE_CHAR_H
#define REMOTE_IO_MODULE_CHAR_H

#ifndef REMOTE_IO_MODULE_H
#error "include remote-io-module.h, which brings this part along"
#endif

typedef enum {
    RIO_CHAR_OPENED,            /* somebody is at the other end */
    RIO_CHAR_CLOSED,            /* nobody any more */
    RIO_CHAR_BREAK,             /* a break was received */
} RioCharEvent;

struct RioCharOps {
    /**
     * Mandatory.  How many bytes receive can take now.  Nothing is lost:
     * what exceeds it stays in the chardev.
     */
    size_t (*room)(RioDevice *dev, void *s);

    /* Mandatory.  @len bytes arrived, at least 1 and at most room */
    void (*receive)(RioDevice *dev, void *s, const uint8_t *buf, size_t len);

    /* Optional.  Something other than a byte arrived */
    void (*event)(RioDevice *dev, void *s, RioCharEvent event);

    /* Optional.  After a short rio_char_write: there is room again */
    void (*writable)(RioDevice *dev, void *s);
};

/**
 * RioCharLine: how a serial line sends
 * @speed: bits per second
 * @parity: 'N' none, 'O' odd, 'E' even
 * @data_bits: 5 to 8
 * @stop_bits: 1 or 2
 */
struct RioCharLine {
    unsigned speed;
    char parity;
    uint8_t data_bits;
    uint8_t stop_bits;
};

/* Modem lines: DTR and RTS are the module's to set, the others to read */
enum {
    RIO_CHAR_DTR = 1 << 0,      /* outputs */
    RIO_CHAR_RTS = 1 << 1,
    RIO_CHAR_CTS = 1 << 2,      /* inputs */
    RIO_CHAR_DSR = 1 << 3,
    RIO_CHAR_RI = 1 << 4,
    RIO_CHAR_DCD = 1 << 5,
};

/**
 * rio_char_open: connect to the server's chardev @chardev; from open only
 *
 * Returns: NULL after saying why through rio_fail() (unknown or taken).
 */
static inline RioChar *rio_char_open(RioDevice *dev, const char *chardev,
                                     const RioCharOps *ops)
{
    return dev->host->char_open(dev, chardev, ops);
}

/**
 * rio_char_write: send @len bytes of @buf, as many as are taken now
 *
 * Returns: how many were.  When fewer than @len, keep the rest: writable
 * will be called once.  Bytes that nobody is there to get count as taken.
 */
static inline size_t rio_char_write(RioDevice *dev, RioChar *chr,
                                    const uint8_t *buf, size_t len)
{
    return dev->host->char_write(chr, buf, len);
}

/**
 * rio_char_room_changed: room would now return more than before
 *
 * Without this call, bytes that wait may wait for ever.  receive is not
 * called before the present callback has returned.
 */
static inline void rio_char_room_changed(RioDevice *dev, RioChar *chr)
{
    dev->host->char_room_changed(chr);
}

/*
 * The three that follow are without effect on chardevs that have no line.
 * They set speed and format, the outputs DTR and RTS (a sum of RIO_CHAR_*),
 * and send a break as long as it is on.
 */
static inline void rio_char_set_line(RioDevice *dev, RioChar *chr,
                                     const RioCharLine *line)
{
    dev->host->char_set_line(chr, line);
}

static inline void rio_char_set_modem(RioDevice *dev, RioChar *chr,
                                      unsigned outputs)
{
    dev->host->char_set_modem(chr, outputs);
}

static inline void rio_char_break(RioDevice *dev, RioChar *chr, bool on)
{
    dev->host->char_break(chr, on);
}

/**
 * rio_char_get_modem: the modem's lines now, RIO_CHAR_*
 *
 * Returns: false when the chardev has no modem lines; @lines is set then to
 * CTS, DSR and DCD on, as a null modem would.
 */
static inline bool rio_char_get_modem(RioDevice *dev, RioChar *chr,
                                      unsigned *lines)
{
    return dev->host->char_get_modem(chr, lines);
}

#endif /* REMOTE_IO_MODULE_CHAR_H */
