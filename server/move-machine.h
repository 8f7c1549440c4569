/*
 * remote-io-server internals: the course of a move, without sockets
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Both ends of a move as pure state machines: what happened goes in, what is
 * to be done comes out.  That never both act, and that one does in the end,
 * is shown by tests/unit/test-remote-io-move.c over all courses of events.
 * The C library alone.
 */

#ifndef SERVER_MOVE_MACHINE_H
#define SERVER_MOVE_MACHINE_H

#include <stdbool.h>

/* --- the source --- */

typedef enum RiodMoveState {
    RIOD_MOVE_OFFERING,         /* the module does as always */
    RIOD_MOVE_STOPPING,         /* it is told to stop */
    RIOD_MOVE_DOOMED,           /* the same, and the move has failed */
    RIOD_MOVE_SENDING,          /* it is stopped, the parcel is on its way */
    RIOD_MOVE_COMMITTING,       /* fenced: the target may act */
    RIOD_MOVE_DONE,             /* final: the target acts */
    RIOD_MOVE_FAILED,           /* final: the source acts */
} RiodMoveState;

typedef enum RiodMoveEvent {
    /* The target's phase, in an answer to the last request */
    RIOD_MOVE_SAYS_NONE,        /* also: it refuses */
    RIOD_MOVE_SAYS_OFFERED,
    RIOD_MOVE_SAYS_LOADED,
    RIOD_MOVE_SAYS_COMMITTED,
    RIOD_MOVE_STOPPED,          /* the module is, and was saved */
    RIOD_MOVE_NOT_STOPPED,      /* ... or could not be; it goes on */
    RIOD_MOVE_LOST,             /* the connection to the target */
    RIOD_MOVE_BACK,             /* there is one again */
    RIOD_MOVE_GIVE_UP,          /* the user, or patience, is at an end */
    RIOD_MOVE_EVENTS,
} RiodMoveEvent;

typedef enum RiodMoveAction {
    RIOD_MOVE_NOTHING,
    RIOD_MOVE_STOP,             /* stop and save: STOPPED or NOT_STOPPED */
    RIOD_MOVE_SEND,             /* the parcel */
    RIOD_MOVE_SEND_COMMIT,
    RIOD_MOVE_SEND_ASK,
    RIOD_MOVE_SEND_ABORT,       /* the module was never stopped, or goes on */
    RIOD_MOVE_GO_ON,            /* the same, and let the module go on */
    RIOD_MOVE_HAND_OVER,        /* forget it, and tell the clients */
} RiodMoveAction;

/* Returns: what is to be done; *@state is the new one */
RiodMoveAction riod_move_next(RiodMoveState *state, RiodMoveEvent event);

/* May the source's module act, now or after GO_ON?  False: it is fenced */
bool riod_move_may_act(RiodMoveState state);

/* --- the target; its state is the RIO_MOVE_* phase of the wire --- */

typedef enum RiodMoveTargetEvent {
    RIOD_TARGET_DATA,           /* a piece, more follow */
    RIOD_TARGET_WHOLE,          /* the last piece */
    RIOD_TARGET_COMMIT,
    RIOD_TARGET_ABORT,
    RIOD_TARGET_TIMEOUT,        /* nothing was heard for long */
    RIOD_TARGET_EVENTS,
} RiodMoveTargetEvent;

typedef enum RiodMoveTargetAction {
    RIOD_TARGET_TELL,           /* the phase, nothing else */
    RIOD_TARGET_KEEP,           /* the piece */
    RIOD_TARGET_LOAD,           /* then LOADED, or it fails: forget */
    RIOD_TARGET_ACT,            /* then COMMITTED, or it fails: forget */
    RIOD_TARGET_FORGET,
    RIOD_TARGET_REFUSE,         /* the piece comes at the wrong time */
} RiodMoveTargetAction;

/* What @event asks for in @phase, which it does not change */
RiodMoveTargetAction riod_move_target_next(unsigned phase,
                                           RiodMoveTargetEvent event);

#endif /* SERVER_MOVE_MACHINE_H */
