/*
 * remote-io module API, version 1
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A module is a device model (or the front of a real device) that lives in a
 * remote-io-server.  This header is all it sees: it fills in one table of
 * callbacks and registers it.  The same source builds into the server or as
 * a shared object for --module-path.  The guide is
 * docs/devel/remote-io-module.rst; the smallest example is
 * server/modules/null, the one to learn from is server/modules/demo.
 *
 * Life of an instance (one --module option or remote-io-module-add):
 *
 *   open -> describe -> [ attach -> read/write/reset ... -> detach ]* -> close
 *                     timers and character input at any time between
 *
 * Threads: all callbacks of one instance run in the instance's home thread,
 * one at a time, and are never re-entered: a host call made from a callback
 * returns before any other callback of that instance runs.  Different
 * instances may run in parallel, so keep state in the instance, not in
 * globals.  Host calls (rio_*) may be made from callbacks only.
 *
 * A callback must not wait: no sleep, no blocking read or write.
 */

#ifndef REMOTE_IO_MODULE_H
#define REMOTE_IO_MODULE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RIO_MODULE_API_VERSION 1

#if defined(__GNUC__)
#define RIO_MODULE_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define RIO_MODULE_PRINTF(f, a)
#endif

/* The server's; a module only hands pointers to them back */
typedef struct RioHost RioHost;
typedef struct RioTimer RioTimer;
typedef struct RioChar RioChar;

/**
 * RioDevice: one instance, as the server hands it to every callback
 * @host: the server's services; use the rio_* functions below instead
 * @id: the module id (id= of --module); never changes
 */
typedef struct RioDevice {
    const RioHost *host;
    const char *id;
} RioDevice;

/*
 * A client is one VM's device attached to the instance: a small number from
 * 0 to max_clients - 1, given to attach and reused after detach.  Where a
 * host call takes a client, this stands for all that are attached.
 */
#define RIO_ALL_CLIENTS (~0u)

/*
 * Parameters: what --module NAME,id=...,key=value accepts.  The server checks
 * names, types and that no mandatory one is missing before open is called.
 */

typedef enum {
    RIO_PARAM_STRING,
    RIO_PARAM_UINT,             /* decimal, 0x..., suffixes k, M, G */
    RIO_PARAM_BOOL,             /* on, off, yes, no, true, false */
} RioParamType;

/**
 * RioParam: one parameter
 * @name: lower case, words joined with '-'; "id" is the server's own
 * @type: what is accepted as a value
 * @mandatory: without it the module is not opened
 * @fallback: value when not given, as it would be typed; NULL = none
 * @help: one line for --module NAME,help
 */
typedef struct RioParam {
    const char *name;
    RioParamType type;
    bool mandatory;
    const char *fallback;
    const char *help;
} RioParam;

/*
 * Description: what the guest will see.  The numbers are those of the wire.
 */

/* Which kind of -device a guest uses it with: remote-io or remote-io-isa */
typedef enum { RIO_MODULE_PCI = 1, RIO_MODULE_ISA = 2 } RioModuleBus;

/*
 * What a restart of the server means to a client.  STATELESS: nothing was
 * lost, it attaches again and goes on.  VOLATILE: the device's state is gone
 * and the client's on-loss policy decides; the safe default.
 */
typedef enum {
    RIO_MODULE_STATELESS = 1,
    RIO_MODULE_VOLATILE = 2,
} RioModuleRestart;

/* Memory, or I/O ports */
typedef enum { RIO_MODULE_MMIO = 1, RIO_MODULE_PIO = 2 } RioModuleSpace;

/* RioModuleRegion.flags, for PCI */
enum {
    RIO_MODULE_BAR_64 = 1 << 0,
    RIO_MODULE_BAR_PREFETCH = 1 << 1,
};

/*
 * RioModuleRange.attrs
 *
 * Writes that lower a level line should not be POSTED: the guest's interrupt
 * handler would return before the line is low, and be called again.
 */
enum {
    RIO_MODULE_POSTED = 1 << 0,     /* the guest does not wait for writes */
    RIO_MODULE_PURE = 1 << 1,       /* reads have no side effect */
    RIO_MODULE_DOORBELL = 1 << 3,   /* writes tell of work in guest memory */
};

/**
 * RioModuleRegion: a window of registers, a BAR on PCI, ports or memory on ISA
 * @index: PCI: number of the BAR; ISA: 0, 1, ...
 * @space: a RioModuleSpace
 * @flags: RIO_MODULE_BAR_*, or 0
 * @size: bytes, a power of two; on PCI at least 16 of MMIO, or 4 of PIO
 * @base: ISA: default address or port; PCI: 0
 */
typedef struct RioModuleRegion {
    uint8_t index;
    uint8_t space;
    uint8_t flags;
    uint64_t size;
    uint64_t base;
} RioModuleRegion;

/**
 * RioModuleRange: what is special about a part of a region
 * @region: the region's index
 * @sizes: access sizes that are passed on, the sum of 1, 2, 4, 8; 0 = all.
 *         An access of another size never reaches the module.
 * @attrs: RIO_MODULE_POSTED ...
 * @offset, @length: bytes of the region; ranges do not overlap
 *
 * Outside of all ranges every size from 1 to 8 is passed on, reads are taken
 * to have side effects, and writes wait for their reply.
 */
typedef struct RioModuleRange {
    uint8_t region;
    uint8_t sizes;
    uint16_t attrs;
    uint64_t offset;
    uint64_t length;
} RioModuleRange;

/**
 * RioModuleInfo: the description of an instance
 * @bus: a RioModuleBus
 * @vendor_id ... @revision: PCI identity; @class_code is 0xCCSSPP, e.g.
 *         0x070002 for a 16550
 * @lines: level lines, 0 or 1: INTA on PCI, an IRQ on ISA
 * @msi_vectors: 0 or a power of two to 32
 * @msix_vectors: 0 to 2048
 * @msix_table_bar ... @msix_pba_offset: where the MSI-X table and pending
 *         bits lie.  They may share a BAR with registers; the client owns
 *         them, and the module never sees an access there.
 * @isa_irq: ISA: default IRQ
 * @acpi_hid: ISA: how ACPI names the device, e.g. "PNP0501"; NULL = not
 * @regions, @ranges: arrays of @num_regions (1 to 8), @num_ranges (to 64)
 *
 * What belongs to PCI stays 0 on ISA and the other way round, and the places
 * of MSI-X without vectors; a description that is not valid ends open.
 */
typedef struct RioModuleInfo {
    uint8_t bus;
    uint16_t vendor_id, device_id;
    uint16_t subsystem_vendor_id, subsystem_id;
    uint32_t class_code;
    uint8_t revision;
    uint8_t lines;
    uint8_t msi_vectors;
    uint16_t msix_vectors;
    uint8_t msix_table_bar;
    uint8_t msix_pba_bar;
    uint32_t msix_table_offset;
    uint32_t msix_pba_offset;
    uint8_t isa_irq;
    const char *acpi_hid;
    const RioModuleRegion *regions;
    unsigned num_regions;
    const RioModuleRange *ranges;
    unsigned num_ranges;
} RioModuleInfo;

typedef enum {
    RIO_MODULE_RESET_SYSTEM = 1,    /* the VM was reset or powered on */
    RIO_MODULE_RESET_FUNCTION = 2,  /* function level or bus reset */
} RioModuleReset;

/*
 * The table.  Absent (NULL) optional callback = feature absent.
 */

typedef struct RioModule {
    uint32_t struct_size;       /* set by RIO_REGISTER_MODULE */
    uint32_t api_version;       /* set by RIO_REGISTER_MODULE */

    const char *name;           /* Mandatory.  [a-z][a-z0-9-]* */
    const char *summary;        /* Mandatory.  One line for help */
    const RioParam *params;     /* Optional.  Ends with a NULL name */
    size_t state_size;          /* zeroed bytes per instance, the @s below */
    unsigned max_clients;       /* 0 means 1 */
    uint8_t restart;            /* RioModuleRestart; 0 means VOLATILE */

    /**
     * Optional.  Parameters were checked; open what they name.
     * Returns: 0, or -1 after rio_fail(); close is not called then.
     */
    int (*open)(RioDevice *dev, void *s);

    /* Optional.  Last callback; timers and chardevs are released after it */
    void (*close)(RioDevice *dev, void *s);

    /**
     * Mandatory.  Called once, after open.  What @info points to must live
     * as long as the instance.  @info is zeroed.
     */
    void (*describe)(RioDevice *dev, void *s, RioModuleInfo *info);

    /**
     * Optional.  @client came, or left for good; a lost network is neither.
     * What a new client finds should be the state after power-on.
     */
    void (*attach)(RioDevice *dev, void *s, unsigned client);
    void (*detach)(RioDevice *dev, void *s, unsigned client);

    /**
     * Mandatory.  A load of @size bytes (1, 2, 4, 8) at @offset of @region;
     * the access lies within the region.  Bits above @size are ignored.
     */
    uint64_t (*read)(RioDevice *dev, void *s, unsigned client,
                     unsigned region, uint64_t offset, unsigned size);

    /* Mandatory.  A store; bits of @value above @size are zero */
    void (*write)(RioDevice *dev, void *s, unsigned client, unsigned region,
                  uint64_t offset, unsigned size, uint64_t value);

    /**
     * Optional.  @kind is a RioModuleReset.  It comes in the stream of
     * accesses: what the guest did before it has been done.  A module of one
     * client returns to power-on state and drops its interrupts; one of
     * several clients resets what belongs to @client.
     */
    void (*reset)(RioDevice *dev, void *s, unsigned client, int kind);
} RioModule;

/**
 * RIO_REGISTER_MODULE: make @table the module of this source file
 * @ident: a C identifier, the same as the name with '-' as '_'
 * @table: a static RioModule; the server may read it until it ends
 *
 * Stands once, at the bottom of the file, and exports the only symbol that a
 * module has.  It notes the size and version that the module was compiled
 * with, so that a later server still knows what an older module means.
 */
#ifdef RIO_MODULE_BUILTIN
#define RIO_REGISTER_MODULE(ident, table)                                   \
    const RioModule *rio_module_##ident##_init(void);                       \
    const RioModule *rio_module_##ident##_init(void)                        \
    {                                                                       \
        (table).struct_size = sizeof(RioModule);                            \
        (table).api_version = RIO_MODULE_API_VERSION;                       \
        return &(table);                                                    \
    }
#else
const RioModule *rio_module_init(void);

#define RIO_REGISTER_MODULE(ident, table)                                   \
    __attribute__((visibility("default")))                                  \
    const RioModule *rio_module_init(void)                                  \
    {                                                                       \
        (table).struct_size = sizeof(RioModule);                            \
        (table).api_version = RIO_MODULE_API_VERSION;                       \
        return &(table);                                                    \
    }
#endif

/*
 * Character devices: any chardev of the server (--chardev).  One instance
 * uses a chardev at a time.
 */

typedef enum {
    RIO_CHAR_OPENED,            /* somebody is at the other end */
    RIO_CHAR_CLOSED,            /* nobody any more */
    RIO_CHAR_BREAK,             /* a break was received */
} RioCharEvent;

typedef struct RioCharOps {
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
} RioCharOps;

/**
 * RioCharLine: how a serial line sends
 * @speed: bits per second
 * @parity: 'N' none, 'O' odd, 'E' even
 * @data_bits: 5 to 8
 * @stop_bits: 1 or 2
 */
typedef struct RioCharLine {
    unsigned speed;
    char parity;
    uint8_t data_bits;
    uint8_t stop_bits;
} RioCharLine;

/* Modem lines: DTR and RTS are the module's to set, the others to read */
enum {
    RIO_CHAR_DTR = 1 << 0,      /* outputs */
    RIO_CHAR_RTS = 1 << 1,
    RIO_CHAR_CTS = 1 << 2,      /* inputs */
    RIO_CHAR_DSR = 1 << 3,
    RIO_CHAR_RI = 1 << 4,
    RIO_CHAR_DCD = 1 << 5,
};

/*
 * Tasks, guest memory and disks
 *
 * A callback must not wait; a task may.  A task is a function that runs in
 * the home thread like a callback, but the calls of this section that are
 * marked "task" suspend it, and only it, until they are done: other
 * callbacks and tasks of the instance run meanwhile.  Check again what you
 * knew before such a call.
 */

typedef void RioTask(RioDevice *dev, void *s, void *arg);

/* A piece of guest memory, as the device's bus sees it */
typedef struct RioModuleSegment {
    uint64_t addr;
    uint32_t len;
} RioModuleSegment;

#define RIO_MODULE_MAX_SEGMENTS 256     /* per call */
#define RIO_MODULE_MAX_DMA (4u << 20)   /* bytes per call */

typedef struct RioBlock RioBlock;

typedef struct RioBlockInfo {
    uint64_t length;            /* bytes */
    uint32_t request_alignment; /* bytes; a help to speed, not a demand */
    bool read_only;
    bool can_discard;
} RioBlockInfo;

typedef struct RioBlockOps {
    /* Optional.  The length changed, see rio_block_info() */
    void (*resized)(RioDevice *dev, void *s);
} RioBlockOps;

enum {                          /* flags of block requests */
    RIO_BLOCK_FUA = 1 << 0,     /* write: on stable storage when done */
    RIO_BLOCK_UNMAP = 1 << 1,   /* write zeroes: may deallocate */
};

/*
 * Doorbell recipe: what the client shall send along with a write to a
 * doorbell, so that fetching it costs no round trip.  Data, not code: the
 * client checks each address as it would any DMA.  rio_dma_read() finds what
 * came along; a module works the same, slower, where recipes are off.
 *
 * The written value is the ring's new tail index.  The client sends the
 * entries from the old tail (at first 0) up to the new one, and for each
 * entry that a rule matches the data that the entry points to.
 */
#define RIO_RECIPE_RULES 8

/**
 * RioRecipeShape: how an entry tells where its data is
 * @RIO_RECIPE_LINEAR: a pointer, then length bytes
 * @RIO_RECIPE_PAGES: NVMe's PRP.  Two pointers; the first may start inside a
 *     page; the second is that of the second page or, when more than two
 *     pages are needed, of a list of page pointers.  The last entry of a
 *     list, at the end of its page, points to the next list when there are
 *     more pages still.
 * @RIO_RECIPE_SGL: NVMe's SGL.  A 16-byte descriptor (address, 32-bit
 *     length, type in bits 127:124) of data (type 0), or of an array of
 *     descriptors, the last of which may (type 2) or may not (type 3)
 *     continue it with another array.
 */
typedef enum {
    RIO_RECIPE_LINEAR = 1,
    RIO_RECIPE_PAGES = 2,
    RIO_RECIPE_SGL = 3,
} RioRecipeShape;

/**
 * RioRecipeRule: what goes along with some entries
 * @mask: the rule applies when (32-bit word at offset 0 & @mask) == @match
 * @shape: RioRecipeShape
 * @lists_only: PAGES, SGL: the lists and not the data; for transfers to the
 *     guest, where only the places are needed
 * @pointer: offset of the 64-bit pointer (the second follows it), or of the
 *     descriptor
 * @length_field: offset of a little-endian field of @length_bytes (1, 2, 4;
 *     0 = none).  The length is (field + @length_add) * @length_unit; of an
 *     SGL no more data than that goes along.
 * @length_unit: a power of two
 * @page_size: PAGES: a power of two, 4096 to 65536
 */
typedef struct RioRecipeRule {
    uint32_t mask, match;
    uint8_t shape;
    bool lists_only;
    uint16_t pointer;
    uint16_t length_field;
    uint8_t length_bytes;
    uint32_t length_add;
    uint32_t length_unit;
    uint32_t page_size;
} RioRecipeRule;

/**
 * RioRecipe:
 * @region: the doorbell register is at @offset of this region
 * @ring: address of entry 0 of @entries
 * @entry_size: bytes, 8 to 256
 * @max_data: bytes of lists and data along with one write, entries not
 *     counted; the client may send less
 * @rules: all that apply to an entry are used
 */
typedef struct RioRecipe {
    uint8_t region;
    uint64_t offset;
    uint64_t ring;
    uint32_t entries;
    uint16_t entry_size;
    uint32_t max_data;
    unsigned num_rules;
    RioRecipeRule rules[RIO_RECIPE_RULES];
} RioRecipe;

/*
 * Host services.  The table is the server's; call the functions below it.
 * A call with a client, line or vector that the instance does not have is
 * told in the log and does nothing.
 */

/*
 * ERROR: the operator must act.  GUEST: the guest did what hardware forbids;
 * shown with -d guest_errors, rate limited.
 */
typedef enum {
    RIO_LOG_ERROR,
    RIO_LOG_WARN,
    RIO_LOG_INFO,
    RIO_LOG_GUEST,
} RioLogLevel;

struct RioHost {
    uint32_t struct_size;
    uint32_t api_version;
    void (*fail)(RioDevice *dev, const char *fmt,
                 va_list ap) RIO_MODULE_PRINTF(2, 0);
    void (*log)(RioDevice *dev, RioLogLevel level, const char *fmt,
                va_list ap) RIO_MODULE_PRINTF(3, 0);
    const char *(*param_string)(RioDevice *dev, const char *name);
    uint64_t (*param_uint)(RioDevice *dev, const char *name);
    bool (*param_bool)(RioDevice *dev, const char *name);
    void (*irq_set)(RioDevice *dev, unsigned client, unsigned line,
                    bool level);
    void (*irq_message)(RioDevice *dev, unsigned client, unsigned vector);
    int64_t (*clock_ns)(RioDevice *dev);
    RioTimer *(*timer_new)(RioDevice *dev, void (*fire)(RioDevice *dev,
                                                        void *s));
    void (*timer_set)(RioTimer *timer, int64_t at_ns);
    void (*timer_cancel)(RioTimer *timer);
    RioChar *(*char_open)(RioDevice *dev, const char *chardev,
                          const RioCharOps *ops);
    size_t (*char_write)(RioChar *chr, const uint8_t *buf, size_t len);
    void (*char_room_changed)(RioChar *chr);
    void (*char_set_line)(RioChar *chr, const RioCharLine *line);
    void (*char_set_modem)(RioChar *chr, unsigned outputs);
    bool (*char_get_modem)(RioChar *chr, unsigned *lines);
    void (*char_break)(RioChar *chr, bool on);
    void (*task_start)(RioDevice *dev, RioTask *task, void *arg);
    void (*task_sleep)(RioDevice *dev, int64_t ns);
    int (*dma_read)(RioDevice *dev, unsigned client,
                    const RioModuleSegment *segs, unsigned n, void *buf);
    int (*dma_write)(RioDevice *dev, unsigned client,
                     const RioModuleSegment *segs, unsigned n,
                     const void *buf);
    void (*recipe_set)(RioDevice *dev, unsigned client, unsigned id,
                       const RioRecipe *recipe);
    RioBlock *(*block_open)(RioDevice *dev, const char *node, bool writable,
                            const RioBlockOps *ops);
    void (*block_info)(RioBlock *blk, RioBlockInfo *info);
    int (*block_read)(RioBlock *blk, uint64_t offset, void *buf, size_t len);
    int (*block_write)(RioBlock *blk, uint64_t offset, const void *buf,
                       size_t len, unsigned flags);
    int (*block_zero)(RioBlock *blk, uint64_t offset, uint64_t len,
                      unsigned flags);
    int (*block_discard)(RioBlock *blk, uint64_t offset, uint64_t len);
    int (*block_flush)(RioBlock *blk);
};

/**
 * rio_fail: say why open fails; the text goes to the operator as
 *           "module 'ID': TEXT".  Returns -1.
 */
static inline int RIO_MODULE_PRINTF(2, 3)
rio_fail(RioDevice *dev, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    dev->host->fail(dev, fmt, ap);
    va_end(ap);
    return -1;
}

/* rio_log: one line to the server's log, prefixed with the module id */
static inline void RIO_MODULE_PRINTF(3, 4)
rio_log(RioDevice *dev, RioLogLevel level, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    dev->host->log(dev, level, fmt, ap);
    va_end(ap);
}

/* Value of a declared parameter, or its fallback; NULL, 0, false without */
static inline const char *rio_param_string(RioDevice *dev, const char *name)
{
    return dev->host->param_string(dev, name);
}

static inline uint64_t rio_param_uint(RioDevice *dev, const char *name)
{
    return dev->host->param_uint(dev, name);
}

static inline bool rio_param_bool(RioDevice *dev, const char *name)
{
    return dev->host->param_bool(dev, name);
}

/**
 * rio_irq_set: drive level line @line (0) of @client, or RIO_ALL_CLIENTS
 *
 * Only changes travel.  A client that attaches finds the line low.  The
 * guest sees the change after every reply and DMA write that went before,
 * and before every reply that comes after.
 */
static inline void rio_irq_set(RioDevice *dev, unsigned client,
                               unsigned line, bool level)
{
    dev->host->irq_set(dev, client, line, level);
}

/**
 * rio_irq_message: send MSI or MSI-X @vector, whichever the guest enabled
 * @vector: below the number of vectors of that kind
 *
 * It tells of an event and is never lost, but may arrive twice.  Nothing
 * happens while the guest has enabled neither, so a module may drive its
 * line and send messages alike, and the guest gets what it chose.
 */
static inline void rio_irq_message(RioDevice *dev, unsigned client,
                                   unsigned vector)
{
    dev->host->irq_message(dev, client, vector);
}

/**
 * rio_clock_ns: monotonic time of the server in nanoseconds
 *
 * It has no relation to the guest's clock and goes on while a VM is stopped.
 */
static inline int64_t rio_clock_ns(RioDevice *dev)
{
    return dev->host->clock_ns(dev);
}

/**
 * rio_timer_new: a timer, not armed; released with the instance
 * @fire: called in the home thread once per rio_timer_set()
 */
static inline RioTimer *rio_timer_new(RioDevice *dev,
                                      void (*fire)(RioDevice *dev, void *s))
{
    return dev->host->timer_new(dev, fire);
}

/**
 * rio_timer_set: fire at @at_ns of rio_clock_ns(); replaces an earlier time
 *
 * A time that is past fires soon, but not before the callback has returned.
 */
static inline void rio_timer_set(RioDevice *dev, RioTimer *timer,
                                 int64_t at_ns)
{
    dev->host->timer_set(timer, at_ns);
}

/* rio_timer_cancel: @timer will not fire until it is set again */
static inline void rio_timer_cancel(RioDevice *dev, RioTimer *timer)
{
    dev->host->timer_cancel(timer);
}

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

/**
 * rio_task_start: run @task(dev, s, @arg) as a task, starting soon
 *
 * Close waits until every task of the instance has returned; calls marked
 * "task" fail with -ECANCELED from then on, so that they do.
 */
static inline void rio_task_start(RioDevice *dev, RioTask *task, void *arg)
{
    dev->host->task_start(dev, task, arg);
}

/* rio_task_sleep: task.  Suspend for @ns; 0 lets others run */
static inline void rio_task_sleep(RioDevice *dev, int64_t ns)
{
    dev->host->task_sleep(dev, ns);
}

/**
 * rio_dma_readv, rio_dma_read: task.  Copy guest memory of @client to @buf
 *
 * Returns: 0; -EFAULT when the client refused an address (bus mastering is
 * off, no memory there, no permission); -ENOTCONN when @client is gone;
 * -ECANCELED when the instance closes.  On failure @buf is undefined.
 */
static inline int rio_dma_readv(RioDevice *dev, unsigned client,
                                const RioModuleSegment *segs, unsigned n,
                                void *buf)
{
    return dev->host->dma_read(dev, client, segs, n, buf);
}

static inline int rio_dma_read(RioDevice *dev, unsigned client,
                               uint64_t addr, void *buf, uint32_t len)
{
    RioModuleSegment seg = { addr, len };

    return dev->host->dma_read(dev, client, &seg, 1, buf);
}

/**
 * rio_dma_writev, rio_dma_write: task.  Copy @buf to guest memory
 *
 * Posted, as writes on a bus are: returns when @buf was taken, which is
 * before the client has it, and suspends only for back-pressure.  Writes
 * arrive in order, before interrupts and read replies that come later.  A
 * refused address is counted and logged by the client's side.
 * Returns: 0, -ENOTCONN or -ECANCELED.
 */
static inline int rio_dma_writev(RioDevice *dev, unsigned client,
                                 const RioModuleSegment *segs, unsigned n,
                                 const void *buf)
{
    return dev->host->dma_write(dev, client, segs, n, buf);
}

static inline int rio_dma_write(RioDevice *dev, unsigned client,
                                uint64_t addr, const void *buf, uint32_t len)
{
    RioModuleSegment seg = { addr, len };

    return dev->host->dma_write(dev, client, &seg, 1, buf);
}

/* rio_recipe_set: install or (NULL) remove recipe @id (0 to 255) */
static inline void rio_recipe_set(RioDevice *dev, unsigned client,
                                  unsigned id, const RioRecipe *recipe)
{
    dev->host->recipe_set(dev, client, id, recipe);
}

/**
 * rio_block_open: use block node @node (--blockdev); from open only
 *
 * Returns: NULL after saying why through rio_fail().
 */
static inline RioBlock *rio_block_open(RioDevice *dev, const char *node,
                                       bool writable, const RioBlockOps *ops)
{
    return dev->host->block_open(dev, node, writable, ops);
}

static inline void rio_block_info(RioDevice *dev, RioBlock *blk,
                                  RioBlockInfo *info)
{
    dev->host->block_info(blk, info);
}

/* Task.  The calls that follow return 0 or a negative errno value */
static inline int rio_block_read(RioDevice *dev, RioBlock *blk,
                                 uint64_t offset, void *buf, size_t len)
{
    return dev->host->block_read(blk, offset, buf, len);
}

static inline int rio_block_write(RioDevice *dev, RioBlock *blk,
                                  uint64_t offset, const void *buf,
                                  size_t len, unsigned flags)
{
    return dev->host->block_write(blk, offset, buf, len, flags);
}

static inline int rio_block_zero(RioDevice *dev, RioBlock *blk,
                                 uint64_t offset, uint64_t len,
                                 unsigned flags)
{
    return dev->host->block_zero(blk, offset, len, flags);
}

static inline int rio_block_discard(RioDevice *dev, RioBlock *blk,
                                    uint64_t offset, uint64_t len)
{
    return dev->host->block_discard(blk, offset, len);
}

static inline int rio_block_flush(RioDevice *dev, RioBlock *blk)
{
    return dev->host->block_flush(blk);
}

#ifdef __cplusplus
}
#endif

#endif /* REMOTE_IO_MODULE_H */
