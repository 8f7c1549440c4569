/*
 * remote-io-server internals: what modules do in tasks
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The part of the map that tells of guest memory, doorbells and disks; it is
 * included by internal.h, where threads and locks are explained.
 */

#ifndef SERVER_TASK_SERVICES_H
#define SERVER_TASK_SERVICES_H

/* ------------------------------------------------------------ tasks.c */

void riod_task_start(RioDevice *dev, RioTask *task, void *arg);
void riod_task_sleep(RioDevice *dev, int64_t ns);

/* Home.  The task that runs, or NULL: this is a callback */
RiodJob *riod_job_self(RiodInstance *inst);

/* Home.  Suspend the task that runs; who wakes it knows that it waits */
void coroutine_fn riod_job_wait(RiodJob *job);
void riod_job_wake(RiodJob *job);

/* Home, no lock held: let those go on that are ready */
void riod_jobs_run(RiodHome *home);

/* Home.  The instance is closing: wake those that sleep or were put aside */
void riod_jobs_cancel(RiodInstance *inst);

/* Task.  Wait while the instance is stopped */
void coroutine_fn riod_job_park(RiodJob *job);

/* Home.  The instance goes on: so do its tasks */
void riod_jobs_go(RiodInstance *inst);

/*
 * Home.  The instance has become another: host calls of the tasks that there
 * are fail with -ECANCELED
 */
void riod_jobs_disown(RiodInstance *inst);

/* Home.  What a host call of @job fails with: 0, -ECANCELED */
int riod_job_error(const RiodJob *job);

/* Home.  The oldest doorbell whose memory @job may use, or NULL */
RiodDoorbell *riod_job_doorbell(const RiodJob *job);
void riod_job_set_doorbell(RiodJob *job, RiodDoorbell *doorbell);

/* -------------------------------------------------------------- dma.c */

/* A piece of guest memory and where it goes to, or comes from */
typedef struct RiodGap {
    uint64_t addr;
    uint8_t *to;
    uint32_t len;
} RiodGap;

int riod_dma_read(RioDevice *dev, unsigned client,
                  const RioModuleSegment *segs, unsigned n, void *buf);
int riod_dma_write(RioDevice *dev, unsigned client,
                   const RioModuleSegment *segs, unsigned n, const void *buf);

/* Home, lock of s->conn held: a DMA_READ_REPLY */
void riod_dma_reply(RiodSession *s, const RioMessage *m);

/* Home.  The log has room again; the session has ended */
void riod_dma_room(RiodSession *s);
void riod_dma_end(RiodSession *s);

/* The module called a task's function @call from elsewhere */
void riod_complain_not_task(RiodInstance *inst, const char *call);

/* ------------------------------------------------------------ share.c */

/* Descriptors that came with a message */
struct RiodFiles {
    unsigned num;
    int fd[RIO_TRANSPORT_FILES];
};

RiodFiles *riod_files_take(RioTransport *t);
void riod_files_free(RiodFiles *files);         /* NULL-safe, closes */

/* Main loop, once */
void riod_share_init(void);

/* Home, lock of s->conn held: a MEM_TABLE; @files are the caller's */
void riod_share_table(RiodSession *s, const RioMessage *m,
                      const RiodFiles *files);

/* Home.  Use it no more: unmap */
void riod_share_drop(RiodSession *s);

/**
 * riod_share_access: home.  Read or write guest memory without a message
 * @ret: 0, or what to fail with
 *
 * Returns: false when not all of it is shared, or when it must not pass what
 * went as messages before; nothing was done then.
 */
bool riod_share_access(RiodSession *s, const RiodGap *gaps, unsigned n,
                       bool write, int *ret);

/* ----------------------------------------------------------- pieces.c */

/**
 * riod_doorbell_receive: home.  Keep what a DOORBELL brought along
 * Returns: a reference, or NULL while messages for it are still to come
 */
RiodDoorbell *riod_doorbell_receive(RiodSession *s, const RioMessage *m);
RiodDoorbell *riod_doorbell_ref(RiodDoorbell *d);
void riod_doorbell_unref(RiodDoorbell *d);      /* NULL-safe */

/* Whose it is */
RiodSession *riod_doorbell_session(const RiodDoorbell *d);

/**
 * riod_doorbell_take: copy what @d and later doorbells brought of @want
 * @gaps: array of RiodGap; what they did not bring is appended
 * @seen: set to the doorbell with which entries of a ring came
 */
void riod_doorbell_take(RiodDoorbell *d, const RiodGap *want, GArray *gaps,
                        RiodDoorbell **seen);

/* Home.  Forget it all */
void riod_doorbells_clear(RiodSession *s);

/* ----------------------------------------------------------- recipe.c */

void riod_recipe_set(RioDevice *dev, unsigned client, unsigned id,
                     const RioRecipe *recipe);

/* Home, lock of s->conn held.  False when the log has no room for them */
bool riod_session_push_recipes_locked(RiodSession *s);

/* Home.  Is some of this in a ring that a recipe is for? */
bool riod_recipe_covers(const RiodSession *s, uint64_t addr, uint32_t len);
void riod_recipes_free(RiodSession *s);

/* ----------------------------------------------------------- blocks.c */

RioBlock *riod_block_open(RioDevice *dev, const char *node, bool writable,
                          const RioBlockOps *ops);
void riod_block_info(RioBlock *block, RioBlockInfo *info);
int riod_block_read(RioBlock *block, uint64_t offset, void *buf, size_t len);
int riod_block_write(RioBlock *block, uint64_t offset, const void *buf,
                     size_t len, unsigned flags);
int riod_block_zero(RioBlock *block, uint64_t offset, uint64_t len,
                    unsigned flags);
int riod_block_discard(RioBlock *block, uint64_t offset, uint64_t len);
int riod_block_flush(RioBlock *block);

/* Main loop, after close */
void riod_blocks_free(RiodInstance *inst);

/*
 * Main loop, of a stopped instance: all of its disks are written and given
 * away, locks included; or they are taken (back).  Nothing is done to what is
 * so already.  False with *@errp.
 */
bool riod_blocks_inactivate(RiodInstance *inst, Error **errp);
bool riod_blocks_activate(RiodInstance *inst, Error **errp);

#endif /* SERVER_TASK_SERVICES_H */
