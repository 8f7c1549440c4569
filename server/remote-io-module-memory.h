/*
 * remote-io module API: tasks, guest memory, doorbell recipes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Part of remote-io-module.h, which is the one to include.
 * 
 * A callback must not wait; a task may.  A task is a function that runs in
 * the home thread like a callback, but the calls that are marked "task" suspend
 * it, and only it, until they are done: other callbacks and tasks of the
 * instance run meanwhile.  Check again what you knew before such a call.
 */

#ifndef REMOTE_IO_MODULE_MEMORY_H
#define REMOTE_IO_MODULE_MEMORY_H

#ifndef REMOTE_IO_MODULE_H
#error "include remote-io-module.h, which brings this part along"
#endif

/* A piece of guest memory, as the device's bus sees it */
struct RioModuleSegment {
    uint64_t addr;
    uint32_t len;
};

#define RIO_MODULE_MAX_SEGMENTS 256     /* per call */
#define RIO_MODULE_MAX_DMA (4u << 20)   /* bytes per call */

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
 * @entries: 0 means that nothing comes along and that the write tells the
 *     module nothing it waits for (how far the driver has read completions):
 *     it may arrive some milliseconds late, with what the guest does next;
 *     everything below is 0 then, and @ring
 * @entry_size: bytes, 8 to 256
 * @max_data: bytes of lists and data along with one write, entries not
 *     counted; the client may send less.  Of one entry at most
 *     128 KiB of data come along, and its lists in full
 * @rules: all that apply to an entry are used
 */
struct RioRecipe {
    uint8_t region;
    uint64_t offset;
    uint64_t ring;
    uint32_t entries;
    uint16_t entry_size;
    uint32_t max_data;
    unsigned num_rules;
    RioRecipeRule rules[RIO_RECIPE_RULES];
};

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

#endif /* REMOTE_IO_MODULE_MEMORY_H */
