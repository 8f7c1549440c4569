/*
 * remote-io-server internals: what survives the process
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Part of internal.h.  With --journal, an instance that can be saved and is
 * JOURNALED, and its sessions, have a copy in memory that outlives the process
 * (journal-store.h).  The rule that makes it exact:
 *
 *   Nothing leaves before it is committed.
 *
 * What a run of callbacks did (accesses carried out, messages put into logs,
 * characters written) is committed as one at the end of the run, in
 * riod_home_flush(), and only then handed to the transports.  So a process
 * that is started again goes on from the last commit, and what was done after
 * it has been seen by nobody: clients send it again.  Sessions see to that
 * themselves (rio_session_fence), and so do chardevs.
 *
 * Whoever changes something that is kept says so with one of the two
 * functions called touch; a run that touched nothing commits nothing.
 */

#ifndef SERVER_JOURNAL_H
#define SERVER_JOURNAL_H

/* ---------------------------------------------------------- journal.c */

/*
 * Main loop, before the first module: keep journals in the folder @path.
 * @durable: on a disk, and there before a client is told anything
 */
bool riod_journal_use(const char *path, bool durable, Error **errp);

/* Does this server keep journals at all? */
bool riod_journal_in_use(void);

/*
 * Main loop, when all modules are there: from here on they are committed,
 * until then nothing of what is in the folder changes, but that a journal is
 * begun anew.  Says what of it nobody has taken over.
 */
void riod_journal_start(void);

/* Any thread.  Would an instance of @type be kept? */
bool riod_journal_keeps(const RioModule *type);

/**
 * riod_journal_open: home, once @inst is described and before it is known
 *
 * Goes on from the journal of a former process, or begins one.  A journal
 * that is damaged or of something else is said to be so, and removed.
 * Returns: false with *@errp when there is no room for one.
 */
bool riod_journal_open(RiodInstance *inst, Error **errp);

/* Home: @inst goes and will not come back */
void riod_journal_drop(RiodInstance *inst);

/* Home: it is not kept any more here, but may be gone on from */
void riod_journal_release(RiodInstance *inst);

/*
 * Main loop, when no connection is left: commit everything and let go, so that
 * another process can go on while this one ends.
 */
void riod_journal_leave(void);

/* --- commits; home, and cheap where no journal is kept --- */

/* Not inline: the state of @inst may have changed, and then a session too */
void riod_journal_touched(RiodInstance *inst);
void riod_journal_touched_session(RiodSession *s);

static inline void riod_journal_touch(RiodInstance *inst)
{
    if (unlikely(inst->journal)) {
        riod_journal_touched(inst);
    }
}

static inline void riod_journal_touch_session(RiodSession *s)
{
    if (unlikely(s->kept && s->inst->journal)) {
        riod_journal_touched_session(s);
    }
}

/* @m is about to be carried out for @s */
void riod_journal_message(RiodSession *s, const RioMessage *m);

/* No lock held: commit what was touched, and send what waited for that */
void riod_journal_commit(RiodHome *home);

/* @s is attached: from now on it is kept, if its instance is */
void riod_journal_add(RiodSession *s);

/* @s ended: with the next commit it is gone from the journal */
void riod_journal_remove(RiodSession *s);

/* -------------------------------------------------- journal-session.c */

/* Of a session, what does not change; as it is in memory, for one host */
typedef struct RiodKeptIdentity RiodKeptIdentity;
struct RiodKeptIdentity {
    RioIds ids;
    uint32_t slot;
    uint32_t log_limit;
    uint32_t max_message;
    uint32_t reserved;
    uint64_t caps;
    uint8_t token[RIO_TOKEN_SIZE];
    uint8_t client_uuid[RIO_UUID_SIZE];
    uint8_t vm_uuid[RIO_UUID_SIZE];
    RioString client;
    RioString vm;
    RioString device;
};

/* A session in the journal; home only */
struct RiodKept {
    RiodSession *session;       /* NULL once it has ended */
    char *name;                 /* of its area */
    RiodArea *area;
    bool touched;
    uint64_t sent, acked;       /* as they were committed ... */
    uint64_t from, to;          /* ... and where in the area's log that is */
    unsigned small_rounds;      /* commits since much of it was used */
    QSIMPLEQ_ENTRY(RiodKept) next;      /* to be committed */
};

/* Make the area; NULL with *@errp */
RiodKept *riod_kept_new(RiodStore *store, RiodSession *s, uint64_t set,
                        Error **errp);

/*
 * What a former process left as @name, and is to be @slot of @inst.  Returns:
 * false with *@errp when it is damaged; *@kept is NULL when the session has
 * ended or was never committed.
 */
bool riod_kept_load(RiodStore *store, RiodInstance *inst, const char *name,
                    uint64_t set, uint64_t word, RiodKept **kept,
                    Error **errp);

/* Lock of its connection held: write it for commit @word.  False: no room */
bool riod_kept_write(RiodKept *kept, uint64_t word);

/* The commit happened, and nothing of the former one is needed any more */
void riod_kept_tidy(RiodKept *kept);

/* @forget: remove its area, too */
void riod_kept_free(RiodStore *store, RiodKept *kept, bool forget);

/* ---------------------------------------------------------- upgrade.c */

/* First thing in main(): note how we were started, and perhaps after whom */
void riod_upgrade_start(char **argv);

/* Main loop: another program went before, and this one may go back to it */
bool riod_upgrade_pending(void);

/*
 * Main loop: the sockets (int) that it left for the --listen option number
 * @listener, from 0; NULL = none
 */
const GArray *riod_upgrade_sockets(unsigned listener);

/* Main loop: riod_upgrade_serves() was called */
bool riod_upgrade_serving(void);

/* Main loop: from now on clients are served, and there is no way back */
void riod_upgrade_serves(void);

#endif /* SERVER_JOURNAL_H */
