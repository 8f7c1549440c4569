/*
 * remote-io-server internals: the map of moves
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A module goes to another server while guests use it.  The course of that is
 * decided by move-machine.c; move-source.c and move-target.c carry it out.
 * All moves belong to the default home, where the connections to other servers
 * are; what is done to an instance is a task of its home, what is done to
 * disks and chardevs a bottom half of the main loop, and both report back.
 *
 * Specification: docs/interop/remote-io.rst, "Moving a module".
 */

#ifndef SERVER_MOVE_H
#define SERVER_MOVE_H

#include "forward.h"
#include "move-machine.h"

/* How long each may take before a move is given up */
#define RIOD_MOVE_STOP_MS 10000         /* requests to a disk */
#define RIOD_MOVE_ANSWER_MS 10000       /* the target is silent */
#define RIOD_MOVE_SOURCE_MS 60000       /* the source is silent */

/* --------------------------------------------------- move-source.c */

/* What is told of a move, also for some time after its end */
typedef struct RiodMoveInfo {
    const char *module, *server, *as;
    RiodMoveState state;
    const char *trouble;        /* why it failed, or NULL */
    uint64_t done, total;       /* bytes of the parcel */
    int64_t blackout_ns;        /* since it stopped, or that it was stopped */
} RiodMoveInfo;

/**
 * riod_move_start: default home
 * @module: id of an instance here
 * @server: id of a peer
 * @as: its id there, NULL = the same
 *
 * Returns: false with *@err when it cannot even begin: nothing happened then.
 */
bool riod_move_start(const char *module, const char *server, const char *as,
                     RioError *err);

/* Default home: give it up.  False with *@err: it is none, or too late */
bool riod_move_cancel(const char *module, RioError *err);

/* Default home, from the oldest on */
void riod_moves_foreach(void (*fn)(const RiodMoveInfo *, void *),
                        void *opaque);

/* Lock of s->conn held: MOVE of a client */
void riod_move_requested(RiodSession *s, const RioMessage *m);

/* Default home, no lock held: MOVE_STEP_REPLY of a next hop */
void riod_move_answered(RiodConnection *conn, const RioMessage *m);

/* Default home: there is a connection to @peer (again); it was lost */
void riod_moves_peer_ready(RiodPeer *peer);
void riod_moves_peer_lost(RiodPeer *peer);

/* ---------------------------------------------------- move-trail.c */

/*
 * Default home.  The sessions of the parcel @bytes went to @peer; where the
 * one with @token went, or NULL; and that it is here again.
 */
void riod_move_went(const GByteArray *bytes, RiodPeer *peer);
RiodPeer *riod_move_whereabouts(const uint8_t *token);
void riod_move_is_here(const uint8_t *token);

/* --------------------------------------------------- move-target.c */

/* Lock of @conn held: MOVE_OFFER, MOVE_DATA or MOVE_STEP of a source */
void riod_move_offered(RiodConnection *conn, const RioMessage *m);

/* --------------------------------------------------- move-parcel.c */

/*
 * Home of @inst, which is stopped: the module and its sessions as a parcel.
 * Returns: NULL with *@errp.
 */
GByteArray *riod_parcel_pack(RiodInstance *inst, Error **errp);

/*
 * Home of @inst, which is stopped and has no client: become what @bytes say.
 * Returns: false with *@errp; it must be renewed then.
 */
bool riod_parcel_unpack(RiodInstance *inst, RioBytes bytes, Error **errp);

/*
 * Home of @inst, which has moved to @server at @address: its clients are told,
 * and leave
 */
void riod_parcel_gone(RiodInstance *inst, const char *server,
                      const char *address);

/* Any thread: bits that a session, and a move, may have agreed on */
#define RIOD_MOVE_CAPS \
    (RIOD_FORWARD_CAPS | RIO_CAP_SHM | RIO_CAP_MOVE | RIO_CAP_STATE)

#endif /* SERVER_MOVE_H */
