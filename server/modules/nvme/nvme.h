/*
 * nvme module: an NVM Express 1.4 controller with one namespace
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How the rooms hang together, along the life of a command:
 *
 *   nvme.c      parameters, registers
 *   ctrl.c      enable, reset, shutdown
 *   doorbell.c  a doorbell wakes a submission queue
 *   recipe.c    what comes along with it
 *   sq.c        fetches the entries, starts a task for each
 *   io.c        the commands that touch the disk
 *   admin.c     the admin commands: queues, abort, and the way to
 *   identify.c, feature.c, log.c, event.c     the others
 *   data.c      PRPs and SGLs to segments, transfers
 *   cq.c        posts completions, interrupts
 *   state.c     all of it saved and loaded, at any time
 *
 * Everything runs in the instance's home thread, so there are no locks.  A
 * task loses control only in a host call marked "task"; after each of them
 * it asks nvme_live() whether its queue is still there, and touches
 * neither guest memory nor the disk when it is not.
 *
 * Who owns what: the controller's tables hold a reference to each queue, a
 * submission queue holds one to its completion queue, a command or a fetch
 * holds one to its submission queue.  A reset empties the tables at once
 * and waits for the tasks (NvmeCtrl.tasks) before it reports that it is
 * done, so that no DMA and no write to the disk comes after it.
 */

#ifndef NVME_H
#define NVME_H

#include <inttypes.h>
#include <string.h>
#include <glib.h>
#include "remote-io-module.h"
#include "spec.h"

#define NVME_MAX_QUEUES     63      /* I/O queue pairs; queues= */
#define NVME_MAX_ENTRIES    2048    /* of one queue, CAP.MQES + 1 */
#define NVME_MPS_MAX        4       /* CAP.MPSMAX: pages of up to 64 KiB */
#define NVME_MAX_MDTS       10      /* 4 MiB */
#define NVME_TIMEOUT        120     /* CAP.TO: 60 s, for slow disks */
#define NVME_MAX_COMMANDS   256     /* in flight, all queues together */
#define NVME_MAX_BUFFERS    (32u << 20)     /* bytes of data in flight */
#define NVME_FETCH          32      /* entries fetched at a time */
#define NVME_MAX_EVENTS     4       /* Asynchronous Event Requests (AERL) */
#define NVME_EVENT_TYPES    3
#define NVME_ERRORS         16      /* entries of the error log (ELPE) */
#define NVME_ERROR_SIZE     64
#define NVME_KELVIN         310     /* what the thermometer shows */
#define NVME_INLINE_SEGMENTS 4

/* BAR 0: registers, doorbells, MSI-X table and pending bits */
#define NVME_BAR_SIZE       0x4000
#define NVME_MSIX_TABLE     0x2000
#define NVME_MSIX_PBA       0x3000

#define NVME_VENDOR         0x1234
#define NVME_DEVICE         0x4e56
#define NVME_FIRMWARE       "1.0"

typedef struct NvmeCtrl NvmeCtrl;
typedef struct NvmeCmd NvmeCmd;

/* A completion queue (4.1) */
typedef struct NvmeCq {
    unsigned refs;
    uint16_t id;
    uint16_t vector;
    bool interrupts;            /* IEN */
    bool phase;                 /* of the next entry */
    bool flushing;              /* a task posts what was held */
    uint64_t base;
    uint32_t entries;
    uint32_t head, tail;
    uint32_t posting;           /* entries before @tail not in memory yet */
    unsigned users;             /* submission queues in the table */
    GQueue held;                /* NvmeCmd: done, but the queue was full */
} NvmeCq;

/* A submission queue (4.1) */
typedef struct NvmeSq {
    unsigned refs;
    uint16_t id;
    bool live;                  /* false once deleted or reset */
    bool fetching;              /* a task fetches entries */
    bool starved;               /* it stopped for want of room */
    bool rung;                  /* look at the doorbell in memory */
    uint64_t base;
    uint32_t entries;
    uint32_t head, tail;
    unsigned inflight;          /* commands fetched and not completed */
    NvmeCq *cq;
    NvmeCmd *deletion;          /* the Delete command that waits for them */
} NvmeSq;

/* Data of a command: where it is in guest memory */
typedef struct NvmeMap {
    RioModuleSegment *segs;     /* few, or on the heap */
    unsigned n, room;
    uint32_t len;               /* sum of the segments */
    RioModuleSegment few[NVME_INLINE_SEGMENTS];
} NvmeMap;

/* A command from fetch to completion */
struct NvmeCmd {
    NvmeCtrl *n;
    NvmeSq *sq;
    NvmeCmd *prev, *next;       /* NvmeCtrl.first */
    bool done;                  /* carried out; the completion is missing */
    bool parked;                /* in NvmeCtrl.events */
    bool took_change;           /* its log has told of a change */
    uint32_t cost;              /* what it counts in NvmeCtrl.buffers */
    uint32_t result;            /* DW0 of the completion */
    uint16_t status;
    uint16_t parameter;         /* error log: byte of the entry at fault */
    uint64_t lba;               /* error log */
    uint8_t sqe[NVME_SQE_SIZE];
};

typedef struct NvmeStats {      /* for the SMART log */
    uint64_t read_units, write_units;       /* of 512 bytes */
    uint64_t reads, writes;
    uint64_t media_errors;
    uint64_t errors;            /* entries ever made in the error log */
} NvmeStats;

struct NvmeCtrl {
    RioDevice *dev;
    unsigned client;

    /* Configuration, set by open */
    RioBlock *blk;
    RioBlockInfo disk;
    unsigned block_shift;       /* 9 or 12 */
    uint64_t blocks;            /* NSZE; changes when the disk is resized */
    unsigned queues;            /* I/O queue pairs */
    uint8_t mdts;
    bool shadow_supported;
    bool read_only;
    char serial[21], model[41];
    uint8_t uuid[16];
    int64_t power_on_ns;
    RioModuleRange ranges[2];

    /* Registers; power-on state is all zero */
    uint32_t cc, csts, aqa, intms;
    uint64_t asq, acq;

    unsigned life;              /* grows when a state is loaded */

    /* Reset and shutdown, see ctrl.c */
    unsigned tasks;             /* that have not returned */
    bool resetting;             /* CSTS.RDY goes to 0 when they have */
    unsigned shutdowns;         /* tells a late flush from the current */
    bool shutdown_task;         /* one is flushing */

    /* Queues by id; 0 is the admin queue */
    NvmeSq *sqs[NVME_MAX_QUEUES + 1];
    NvmeCq *cqs[NVME_MAX_QUEUES + 1];
    NvmeCmd *first, *last;      /* all there are, in the order of fetch */
    unsigned commands;          /* how many of them */
    uint32_t buffers;           /* sum of their costs */
    unsigned starved;           /* queues that wait for either */
    unsigned turn;              /* which of them is first */
    bool messages;              /* a vector above 0 is in use: no INTx */
    bool line;                  /* level of INTx */

    /* Doorbell Buffer Config (5.7); 0 = off */
    uint64_t shadow, event_index;

    /* Asynchronous events (5.2) */
    NvmeCmd *events[NVME_MAX_EVENTS];
    unsigned num_events;
    bool event_pending[NVME_EVENT_TYPES];   /* to be told */
    bool event_masked[NVME_EVENT_TYPES];    /* told, log not yet read */
    uint32_t event_result[NVME_EVENT_TYPES];
    bool namespace_changed;     /* for the Changed Namespace List */

    /* Features that can be set (5.21) */
    uint32_t arbitration, error_recovery, coalescing, atomicity, workload;
    uint32_t event_config;
    uint16_t hot, cold;         /* temperature thresholds */
    bool write_cache;
    bool vector_plain[NVME_MAX_QUEUES + 1]; /* Coalescing Disable */

    /* Logs (5.14) */
    NvmeStats stats;
    uint8_t errors[NVME_ERRORS][NVME_ERROR_SIZE];
    int64_t said_ns;            /* when an error was last logged */
    unsigned unsaid;            /* and how many since */
};

/*
 * Execution of a command returns a status of spec.h, or this: there will be
 * no completion now (an event request waits, a queue went away)
 */
#define NVME_NO_COMPLETION  0xffff

/* Little-endian fields of guest structures */
static inline uint16_t nvme_get16(const uint8_t *p)
{
    return p[0] | p[1] << 8;
}

static inline uint32_t nvme_get32(const uint8_t *p)
{
    return nvme_get16(p) | (uint32_t)nvme_get16(p + 2) << 16;
}

static inline uint64_t nvme_get64(const uint8_t *p)
{
    return nvme_get32(p) | (uint64_t)nvme_get32(p + 4) << 32;
}

static inline void nvme_put16(uint8_t *p, uint16_t v)
{
    p[0] = v;
    p[1] = v >> 8;
}

static inline void nvme_put32(uint8_t *p, uint32_t v)
{
    nvme_put16(p, v);
    nvme_put16(p + 2, v >> 16);
}

static inline void nvme_put64(uint8_t *p, uint64_t v)
{
    nvme_put32(p, v);
    nvme_put32(p + 4, v >> 32);
}

/* Command Dword @i (10 to 15) of @cmd */
static inline uint32_t nvme_cdw(const NvmeCmd *cmd, unsigned i)
{
    return nvme_get32(cmd->sqe + 4 * i);
}

static inline uint32_t nvme_nsid(const NvmeCmd *cmd)
{
    return nvme_get32(cmd->sqe + NVME_SQE_NSID);
}

static inline uint32_t nvme_page_size(const NvmeCtrl *n)
{
    return 4096u << NVME_CC_MPS(n->cc);
}

/* A status that will not change when the command is tried again */
static inline uint16_t nvme_fail(uint16_t status)
{
    return status | NVME_SC_DNR;
}

/* The same, naming the byte of the entry that is wrong for the error log */
static inline uint16_t nvme_fail_at(NvmeCmd *cmd, unsigned byte,
                                    uint16_t status)
{
    cmd->parameter = byte;
    return nvme_fail(status);
}

/* False once the queue of @cmd was deleted or reset: stop, touch nothing */
static inline bool nvme_live(const NvmeCmd *cmd)
{
    return cmd->sq->live;
}

/* ---- ctrl.c: enable, reset, shutdown -------------------------------- */

/* Run @task; resets wait until it has called nvme_task_end() */
void nvme_task_start(NvmeCtrl *n, RioTask *task, void *arg);

/* Task.  Last thing that a task does */
void nvme_task_end(NvmeCtrl *n);

/* A store to CC */
void nvme_cc_write(NvmeCtrl *n, uint32_t value);

/* Back to power-on state at once: system reset, function reset, detach */
void nvme_ctrl_reset(NvmeCtrl *n);

/* A state was loaded: finish the reset or the shutdown that was under way */
void nvme_ctrl_go(NvmeCtrl *n);

/*
 * May the operator be told of an error now?  Not of each of a million.  Who
 * does says how many were not told (unsaid), and begins to count again.
 */
bool nvme_may_say(NvmeCtrl *n);

/* The controller cannot go on (CSTS.CFS); @why goes to the log */
void nvme_fatal(NvmeCtrl *n, const char *why, uint64_t value);

/* ---- cq.c: completion queues and interrupts --------------------------- */

/* Make completion queue @id; the caller has checked everything */
NvmeCq *nvme_cq_new(NvmeCtrl *n, unsigned id, uint64_t base,
                    uint32_t entries, bool interrupts, unsigned vector);

/* Take @cq out of the table; no submission queue uses it */
void nvme_cq_remove(NvmeCtrl *n, NvmeCq *cq);
void nvme_cq_unref(NvmeCq *cq);

/* The host has read up to @head.  Returns: false when that cannot be */
bool nvme_cq_doorbell(NvmeCtrl *n, NvmeCq *cq, uint32_t head);

/* Task.  Post @cmd, whose status and result are set, and end it */
void nvme_cq_complete(NvmeCmd *cmd);

/* Forget completions for @sq that @cq has no room for */
void nvme_cq_drop(NvmeCq *cq, const NvmeSq *sq);

/* Bring INTx in line with queues and masks */
void nvme_irq_update(NvmeCtrl *n);

/* ---- sq.c: submission queues and commands ------------------------------ */

/* Make submission queue @id; the caller has checked everything */
NvmeSq *nvme_sq_new(NvmeCtrl *n, unsigned id, uint64_t base,
                    uint32_t entries, NvmeCq *cq);

/* Take @sq out of the table at once; its commands get no completion */
void nvme_sq_remove(NvmeCtrl *n, NvmeSq *sq);

/* Carry out @cmd, which deletes @sq: when its commands have completed */
uint16_t nvme_sq_delete(NvmeCmd *cmd, NvmeSq *sq);

/* There are entries up to @tail.  Returns: false when that cannot be */
bool nvme_sq_doorbell(NvmeCtrl *n, NvmeSq *sq, uint32_t tail);

/* A command that was fetched; @cost of nvme_io_cost() */
NvmeCmd *nvme_cmd_new(NvmeCtrl *n, NvmeSq *sq, const uint8_t *sqe,
                      uint32_t cost);

/* Task.  Carry @cmd out, or post what is missing of it */
void nvme_cmd_resume(NvmeCmd *cmd);

/* A state was loaded: fetch what is new */
void nvme_sqs_go(NvmeCtrl *n);

/* Task.  Complete @cmd with @status and free it */
void nvme_complete(NvmeCmd *cmd, uint16_t status);

/* Task.  @cmd was completed, or cannot be: free it, let others go on */
void nvme_cmd_end(NvmeCmd *cmd);

/* Free @cmd, which gets no completion */
void nvme_cmd_free(NvmeCmd *cmd);

/* ---- recipe.c ---------------------------------------------------------- */

/* Tell the client what to send along with the doorbell of @sq */
void nvme_recipe_set(NvmeCtrl *n, const NvmeSq *sq);
void nvme_recipe_clear(NvmeCtrl *n, const NvmeSq *sq);

/* Tell the client that the doorbell of @cq, if it is a large one, may wait */
void nvme_recipe_set_lazy(NvmeCtrl *n, const NvmeCq *cq);
void nvme_recipe_clear_lazy(NvmeCtrl *n, const NvmeCq *cq);

/* ---- doorbell.c: doorbells in registers and in memory ------------------ */

/* A store to the register at @offset from the first doorbell */
void nvme_doorbell(NvmeCtrl *n, uint64_t offset, uint32_t value);

/* Are the doorbells of the queues @id in memory? */
bool nvme_shadowed(const NvmeCtrl *n, unsigned id);

/* Task.  Ask to be rung when the host goes beyond @index */
int nvme_shadow_index(NvmeCtrl *n, unsigned id, bool cq, uint32_t index);

/* Task.  The same, then look how far it is now.  Returns: is *@value good? */
bool nvme_shadow_sync(NvmeCtrl *n, unsigned id, bool cq, uint32_t index,
                      uint32_t entries, uint32_t *value);

/* ---- admin.c, feature.c, identify.c, log.c, io.c: commands ------------ */

/* Task.  Carry out a command of the admin queue, or of an I/O queue */
uint16_t nvme_admin(NvmeCmd *cmd);
uint16_t nvme_io(NvmeCmd *cmd);

/* Bytes of buffer that I/O command @sqe will need; 0 when it is bad */
uint32_t nvme_io_cost(const NvmeCtrl *n, const uint8_t *sqe);

uint16_t nvme_identify(NvmeCmd *cmd);
uint16_t nvme_get_features(NvmeCmd *cmd);
uint16_t nvme_set_features(NvmeCmd *cmd);
void nvme_features_reset(NvmeCtrl *n);
uint16_t nvme_get_log(NvmeCmd *cmd);

/* Enter the failure of @cmd, whose status is set, in the error log */
void nvme_log_error(NvmeCmd *cmd);

/* Critical Warning of the SMART log */
uint8_t nvme_warnings(const NvmeCtrl *n);

/* ---- event.c: asynchronous events ------------------------------------- */

/* Task.  Park the event request @cmd, and tell what is to be told */
uint16_t nvme_event_request(NvmeCmd *cmd);

/* The first half of it alone; there is room */
void nvme_event_park(NvmeCmd *cmd);

/* A state was loaded: tell what is to be told */
void nvme_events_go(NvmeCtrl *n);

/* Something happened; tell the host when it listens.  From anywhere */
void nvme_event(NvmeCtrl *n, unsigned type, unsigned info, unsigned log);

/* The log that belongs to events of @type was read */
void nvme_event_clear(NvmeCtrl *n, unsigned type);

/* The parked request with command id @cid, taken out, or NULL */
NvmeCmd *nvme_event_take(NvmeCtrl *n, unsigned cid);

/* Drop parked requests and what is pending */
void nvme_events_reset(NvmeCtrl *n);

/* ---- nvme.c: the disk -------------------------------------------------- */

/* It had @before blocks when the guest last looked */
void nvme_disk_changed(NvmeCtrl *n, uint64_t before);

/* ---- state.c ----------------------------------------------------------- */

extern const RioModuleState nvme_state;

/* ---- data.c: PRP and SGL ---------------------------------------------- */

/*
 * Task.  Find the @len bytes of @cmd's data in guest memory.  On success
 * (0) @map must be released with nvme_map_free().
 */
uint16_t nvme_map(NvmeCmd *cmd, uint32_t len, NvmeMap *map);
void nvme_map_free(NvmeMap *map);

/* Task.  Copy all of @map to or from @buf */
uint16_t nvme_from_guest(NvmeCmd *cmd, const NvmeMap *map, void *buf);
uint16_t nvme_to_guest(NvmeCmd *cmd, const NvmeMap *map, const void *buf);

/* Task.  Map and copy @len bytes of @buf to the guest */
uint16_t nvme_reply_data(NvmeCmd *cmd, const void *buf, uint32_t len);

#endif
