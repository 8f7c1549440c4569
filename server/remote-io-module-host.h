/*
 * remote-io module API: the server's services
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Part of remote-io-module.h, which is the one to include.  The table is the
 * server's; a module calls the rio_* functions, which are described where they
 * are defined.  A call with a client, line or vector that the instance does not
 * have is told in the log and does nothing.
 */

#ifndef REMOTE_IO_MODULE_HOST_H
#define REMOTE_IO_MODULE_HOST_H

#ifndef REMOTE_IO_MODULE_H
#error "include remote-io-module.h, which brings this part along"
#endif

/* Defined in the parts that explain them */
typedef struct RioCharOps RioCharOps;
typedef struct RioCharLine RioCharLine;
typedef struct RioModuleSegment RioModuleSegment;
typedef struct RioRecipe RioRecipe;
typedef struct RioBlock RioBlock;
typedef struct RioBlockInfo RioBlockInfo;
typedef struct RioBlockOps RioBlockOps;

/**
 * RioTask: a function that may wait, see rio_task_start()
 * @s: the instance's state
 * @arg: what rio_task_start() was given
 */
typedef void RioTask(RioDevice *dev, void *s, void *arg);

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

/**
 * RioHost: what rio_NAME(dev, ...) calls
 * @struct_size: bytes of the table that this server has; a later one may
 *     have more at the end, and none is ever moved or removed
 * @api_version: RIO_MODULE_API_VERSION of the server
 *
 * All of it is to be called in the instance's home thread, from a callback
 * or a task.  What is marked "task" may wait and so is for tasks only.
 */
struct RioHost {
    uint32_t struct_size;
    uint32_t api_version;
    /* open: why it failed; a line to the log; parameters */
    void (*fail)(RioDevice *dev, const char *fmt,
                 va_list ap) RIO_MODULE_PRINTF(2, 0);
    void (*log)(RioDevice *dev, RioLogLevel level, const char *fmt,
                va_list ap) RIO_MODULE_PRINTF(3, 0);
    const char *(*param_string)(RioDevice *dev, const char *name);
    uint64_t (*param_uint)(RioDevice *dev, const char *name);
    bool (*param_bool)(RioDevice *dev, const char *name);
    /* Interrupts, time */
    void (*irq_set)(RioDevice *dev, unsigned client, unsigned line,
                    bool level);
    void (*irq_message)(RioDevice *dev, unsigned client, unsigned vector);
    int64_t (*clock_ns)(RioDevice *dev);
    RioTimer *(*timer_new)(RioDevice *dev, void (*fire)(RioDevice *dev,
                                                        void *s));
    void (*timer_set)(RioTimer *timer, int64_t at_ns);
    void (*timer_cancel)(RioTimer *timer);
    /* Character devices */
    RioChar *(*char_open)(RioDevice *dev, const char *chardev,
                          const RioCharOps *ops);
    size_t (*char_write)(RioChar *chr, const uint8_t *buf, size_t len);
    void (*char_room_changed)(RioChar *chr);
    void (*char_set_line)(RioChar *chr, const RioCharLine *line);
    void (*char_set_modem)(RioChar *chr, unsigned outputs);
    bool (*char_get_modem)(RioChar *chr, unsigned *lines);
    void (*char_break)(RioChar *chr, bool on);
    /* Tasks, guest memory (task), doorbell recipes */
    void (*task_start)(RioDevice *dev, RioTask *task, void *arg);
    void (*task_sleep)(RioDevice *dev, int64_t ns);
    int (*dma_read)(RioDevice *dev, unsigned client,
                    const RioModuleSegment *segs, unsigned n, void *buf);
    int (*dma_write)(RioDevice *dev, unsigned client,
                     const RioModuleSegment *segs, unsigned n,
                     const void *buf);
    void (*recipe_set)(RioDevice *dev, unsigned client, unsigned id,
                       const RioRecipe *recipe);
    /* Disks; requests: task */
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

#endif /* REMOTE_IO_MODULE_HOST_H */
