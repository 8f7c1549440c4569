/*
 * remote-io-server: the course of a move, without sockets
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "net/remote-io/protocol.h"
#include "move-machine.h"

static RiodMoveAction become(RiodMoveState *state, RiodMoveState next,
                             RiodMoveAction action)
{
    *state = next;
    return action;
}

static RiodMoveAction offering(RiodMoveState *state, RiodMoveEvent event)
{
    switch (event) {
    case RIOD_MOVE_SAYS_OFFERED:
        return become(state, RIOD_MOVE_STOPPING, RIOD_MOVE_STOP);
    case RIOD_MOVE_BACK:
        return RIOD_MOVE_NOTHING;
    default:
        return become(state, RIOD_MOVE_FAILED, RIOD_MOVE_SEND_ABORT);
    }
}

static RiodMoveAction stopping(RiodMoveState *state, RiodMoveEvent event)
{
    switch (event) {
    case RIOD_MOVE_STOPPED:
        return become(state, RIOD_MOVE_SENDING, RIOD_MOVE_SEND);
    case RIOD_MOVE_NOT_STOPPED:
        return become(state, RIOD_MOVE_FAILED, RIOD_MOVE_SEND_ABORT);
    case RIOD_MOVE_BACK:
        return RIOD_MOVE_NOTHING;
    default:
        /* Whether it stops or not is known later */
        return become(state, RIOD_MOVE_DOOMED, RIOD_MOVE_NOTHING);
    }
}

static RiodMoveAction doomed(RiodMoveState *state, RiodMoveEvent event)
{
    switch (event) {
    case RIOD_MOVE_STOPPED:
        return become(state, RIOD_MOVE_FAILED, RIOD_MOVE_GO_ON);
    case RIOD_MOVE_NOT_STOPPED:
        return become(state, RIOD_MOVE_FAILED, RIOD_MOVE_SEND_ABORT);
    default:
        return RIOD_MOVE_NOTHING;
    }
}

static RiodMoveAction sending(RiodMoveState *state, RiodMoveEvent event)
{
    switch (event) {
    case RIOD_MOVE_SAYS_OFFERED:
    case RIOD_MOVE_BACK:
        return RIOD_MOVE_NOTHING;
    case RIOD_MOVE_SAYS_LOADED:
        return become(state, RIOD_MOVE_COMMITTING, RIOD_MOVE_SEND_COMMIT);
    default:
        return become(state, RIOD_MOVE_FAILED, RIOD_MOVE_GO_ON);
    }
}

/* Only the target's word ends this */
static RiodMoveAction committing(RiodMoveState *state, RiodMoveEvent event)
{
    switch (event) {
    case RIOD_MOVE_SAYS_COMMITTED:
        return become(state, RIOD_MOVE_DONE, RIOD_MOVE_HAND_OVER);
    case RIOD_MOVE_SAYS_NONE:
        return become(state, RIOD_MOVE_FAILED, RIOD_MOVE_GO_ON);
    case RIOD_MOVE_SAYS_LOADED:
        return RIOD_MOVE_SEND_COMMIT;
    case RIOD_MOVE_BACK:
        return RIOD_MOVE_SEND_ASK;
    default:
        return RIOD_MOVE_NOTHING;
    }
}

RiodMoveAction riod_move_next(RiodMoveState *state, RiodMoveEvent event)
{
    switch (*state) {
    case RIOD_MOVE_OFFERING:
        return offering(state, event);
    case RIOD_MOVE_STOPPING:
        return stopping(state, event);
    case RIOD_MOVE_DOOMED:
        return doomed(state, event);
    case RIOD_MOVE_SENDING:
        return sending(state, event);
    case RIOD_MOVE_COMMITTING:
        return committing(state, event);
    default:
        return RIOD_MOVE_NOTHING;
    }
}

bool riod_move_may_act(RiodMoveState state)
{
    return state != RIOD_MOVE_COMMITTING && state != RIOD_MOVE_DONE;
}

RiodMoveTargetAction riod_move_target_next(unsigned phase,
                                           RiodMoveTargetEvent event)
{
    bool open = phase == RIO_MOVE_OFFERED;
    bool held = open || phase == RIO_MOVE_LOADED;

    switch (event) {
    case RIOD_TARGET_DATA:
        return open ? RIOD_TARGET_KEEP : RIOD_TARGET_REFUSE;
    case RIOD_TARGET_WHOLE:
        return open ? RIOD_TARGET_LOAD : RIOD_TARGET_REFUSE;
    case RIOD_TARGET_COMMIT:
        /* Of what is not whole there is nothing to commit */
        return phase == RIO_MOVE_LOADED ? RIOD_TARGET_ACT :
               open ? RIOD_TARGET_FORGET : RIOD_TARGET_TELL;
    default:
        return held ? RIOD_TARGET_FORGET : RIOD_TARGET_TELL;
    }
}
