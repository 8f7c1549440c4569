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
 * It brings its parts along, one for each subject, installed beside it:
 *
 *   remote-io-module-describe.h   regions, interrupts, ids: RioModuleInfo
 *   remote-io-module-host.h       the table of the server's services
 *   remote-io-module-char.h       serial lines and other chardevs
 *   remote-io-module-memory.h     tasks, DMA, doorbell recipes
 *   remote-io-module-block.h      disks
 *   remote-io-module-state.h      state that is saved and loaded
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

/* What the guest will see: buses, regions, interrupts */
#include "remote-io-module-describe.h"

/* What of it can be saved */
#include "remote-io-module-state.h"

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

    /* Optional.  Without it the module cannot be saved, loaded or moved */
    const RioModuleState *state;
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

/* The server's services: the table behind the functions that follow */
#include "remote-io-module-host.h"

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

/* More of them, by subject */
#include "remote-io-module-char.h"
#include "remote-io-module-memory.h"
#include "remote-io-module-block.h"

#ifdef __cplusplus
}
#endif

#endif /* REMOTE_IO_MODULE_H */
