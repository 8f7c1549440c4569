/*
 * remote-io-server internals: stopping, saving and loading instances
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Part of internal.h.  How the three are put together by those that move an
 * instance, keep a journal of it, or serve QUIESCE and STATE_* of the wire:
 *
 *   riod_instance_stop     accesses wait, tasks are put aside, disk requests
 *                          drained; from the answer on nothing leaves
 *   riod_state_save        as often as wanted, here or without having stopped
 *   riod_state_load        into a stopped instance of the same type
 *   riod_instance_go       everything that waited happens, in order
 *
 * A state that was taken while tasks were under way holds their work as the
 * module knows it (a command that was fetched and not completed): loaded
 * elsewhere, they begin again.  Where they are they just go on.
 *
 * Order at the receiving end of a move or a restart: open the instance, stop
 * it, make its sessions in the same slots (calling attach of the module), load
 * with RIOD_STATE_SAME_SESSIONS, go.
 */

#ifndef SERVER_STATE_H
#define SERVER_STATE_H

#include "state-image.h"

/* ---------------------------------------------------------- quiesce.c */

/**
 * RiodStopped: in the home, no lock held
 * @trouble: NULL = it is stopped; else why not, and it goes on as before
 */
typedef void RiodStopped(RiodInstance *inst, const char *trouble,
                         void *opaque);

enum {
    RIOD_STOP_ACCESSES = 1 << 0,        /* accesses wait, too */
};

/**
 * riod_instance_stop: home.  Stop @inst
 * @flags: RIOD_STOP_*
 * @timeout_ms: how long disk requests may take
 *
 * No DMA, interrupt or recipe leaves it from the call on, and timers,
 * characters and new tasks wait.  Tasks that wait for guest memory or sleep
 * are put aside where they are, those in a disk request when it is done.  With
 * RIOD_STOP_ACCESSES accesses, attaches and detaches wait in inst->held, in
 * order, and accesses are not acknowledged; without it they are carried out.
 *
 * @done is called later, never from within the call; the main loop has to run
 * meanwhile.  Stops nest: each needs its riod_instance_go().  When it cannot
 * be stopped in time @done is told so, and no go is needed.
 */
void riod_instance_stop(RiodInstance *inst, unsigned flags,
                        int64_t timeout_ms, RiodStopped *done, void *opaque);

/*
 * Home, no lock of a connection held.  The opposite, with the same @flags.
 * Accesses that waited are carried out before it returns, tasks and timers go
 * on at the end of the home's turn.
 */
void riod_instance_go(RiodInstance *inst, unsigned flags);

/*
 * Home, of an instance that nobody knows yet: it is stopped from the start,
 * until riod_instance_go(inst, 0).
 */
void riod_instance_begin_stopped(RiodInstance *inst);

/* Home.  Nothing leaves it now: riod_instance_stop() has succeeded */
bool riod_instance_stopped(const RiodInstance *inst);

/*
 * Home, of a stopped instance that lives elsewhere now: what waits is dropped
 * when its turn comes, so that riod_instance_del() carries out none of it, and
 * no character is sent.  Its sessions are not the caller's business any more.
 */
void riod_instance_forget(RiodInstance *inst);

/*
 * Home, in a task of the home that is for @inst: true when it is stopped, and
 * @task will be run when it goes on.  For what a client caused.
 */
bool riod_instance_hold(RiodInstance *inst, RiodTask *task);

/* Home.  Something that a stop waits for may have happened */
void riod_stop_look(RiodInstance *inst);

/* Home.  The instance is closing: what was held is run, to be dropped */
void riod_stop_abort(RiodInstance *inst);

/* ------------------------------------------------------------ state.c */

/* riod_state_load() */
enum {
    /* The sessions are those of the state: they were told what it says */
    RIOD_STATE_SAME_SESSIONS = 1 << 0,
};

/* Home, after its description is known; at the end of its life */
bool riod_state_init(RiodInstance *inst, Error **errp);
void riod_state_fini(RiodInstance *inst);

/* Any thread.  Can it be saved at all?  Else *@errp says why not */
bool riod_state_possible(const RiodInstance *inst, Error **errp);

/**
 * riod_state_head: any thread, once it was opened.  The part of its state
 * that never changes, for who saves often; owned by @inst.
 */
RioBytes riod_state_head(const RiodInstance *inst);

/* Any thread.  riod_state_save_into() never needs more than this */
size_t riod_state_max(const RiodInstance *inst);

/**
 * riod_state_save_into: home, between two callbacks.  The rest of the state
 * @buf: of @size bytes
 *
 * Allocates nothing after the first call; for a module of few registers it
 * takes some hundred nanoseconds.
 * Returns: bytes written; 0 when @size is too small or it cannot be saved.
 */
size_t riod_state_save_into(RiodInstance *inst, uint8_t *buf, size_t size);

/**
 * riod_state_save: home, between two callbacks.  All of it, with a checksum
 * @only: the part of this client alone, NULL = of all; a module of one client
 *     has no parts
 *
 * Returns: NULL with *@errp.
 */
GByteArray *riod_state_save(RiodInstance *inst, const RiodSession *only,
                            Error **errp);

/**
 * riod_state_load: home.  Become what @data, from riod_state_save(), says
 * @only: as when it was saved, though perhaps with another client
 * @flags: RIOD_STATE_*
 *
 * @inst must be stopped and be of the same type with a description that is
 * the same; without @only, the clients that were attached must be attached
 * now, in the same slots.
 *
 * Returns: false with *@errp naming what is wrong; nothing was changed then.
 */
bool riod_state_load(RiodInstance *inst, const RiodSession *only,
                     RioBytes data, unsigned flags, Error **errp);

/* The same from riod_state_head() and riod_state_save_into() */
bool riod_state_load_parts(RiodInstance *inst, RioBytes head, RioBytes rest,
                           unsigned flags, Error **errp);

/* ------------------------------------------------------- state-wire.c */

/* Home, lock of s->conn held: QUIESCE, STATE_SAVE, STATE_LOAD */
void riod_quiesce(RiodSession *s, const RioMessage *m);
void riod_state_save_piece(RiodSession *s, const RioMessage *m);
void riod_state_load_piece(RiodSession *s, const RioMessage *m);

/* Home, no lock held: the session ends, and what it stopped goes on */
void riod_talk_end(RiodSession *s);
void riod_talk_free(RiodSession *s);

#endif /* SERVER_STATE_H */
