/*
 * remote-io-server internals: memory that outlives the process
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A journal is a folder of areas.  An area is a file that is mapped: what is
 * stored into it is there when the process is killed, at whatever
 * instruction, and a commit is a store.  On a tmpfs nothing is ever written
 * to a disk.
 *
 *   head       written once: whose it is, the identity that its owner gave
 *   word       the number of the last commit (of the first area of a set)
 *   slot 0, 1  the record, twice: each commit writes the older of the two
 *   log        messages, one after the other, where the record says
 *
 * Areas of one set (a module and its sessions) commit together: each is
 * written with the number of the commit that is to come, and then that number
 * becomes the word of the first area.  A reader takes of each area the newest
 * slot that is not younger than the word, so it sees all of a commit or
 * nothing of it.  Every word carries a check, every record and message a sum;
 * an area in which one is wrong is refused, and nothing of it is used.
 *
 * No locks: an area is used by one thread at a time.
 */

#ifndef SERVER_JOURNAL_STORE_H
#define SERVER_JOURNAL_STORE_H

/* --- the folder --- */

typedef struct RiodStore RiodStore;

/**
 * riod_store_open: make @path a journal's folder, or use what is there
 * @durable: a commit reaches the disk before riod_area_publish() returns
 *
 * Returns: NULL with *@errp when the folder is not ours alone to write, when
 * another process uses it, or when it cannot be made.
 */
RiodStore *riod_store_open(const char *path, bool durable, Error **errp);
void riod_store_close(RiodStore *store);        /* NULL-safe */
const char *riod_store_path(const RiodStore *store);

/* Names of the areas that are there, sorted; for g_strfreev() */
char **riod_store_list(const RiodStore *store);

/* The area of that name is gone, if there was one */
void riod_store_remove(RiodStore *store, const char *name);

/* --- areas --- */

/* Bytes that an identity may have */
#define RIOD_AREA_IDENTITY (1024u * 1024)

typedef struct RiodArea RiodArea;

/* What a new area is made with */
typedef struct RiodAreaConfig {
    uint64_t set;               /* areas of one set have the same number */
    uint32_t slot;              /* largest record */
    uint64_t log;               /* largest log, 0 = none */
    const void *identity;       /* what riod_area_identity() will give */
    uint32_t identity_len;
    uint64_t word;              /* of a commit that it has from the start */
    const void *record;         /* ... and what was committed */
    uint32_t record_len;
} RiodAreaConfig;

/*
 * Make an area, in place of one of that name, all at once.  NULL with *@errp
 * when there is no room, which is taken only as far as it is needed.
 */
RiodArea *riod_area_new(RiodStore *store, const char *name,
                        const RiodAreaConfig *config, Error **errp);

/**
 * riod_area_load: the area that a former process left
 *
 * Returns: NULL with *@errp when it is damaged or of another version.
 */
RiodArea *riod_area_load(RiodStore *store, const char *name, Error **errp);
void riod_area_free(RiodArea *area);            /* NULL-safe; the file stays */

uint64_t riod_area_set(const RiodArea *area);
const uint8_t *riod_area_identity(const RiodArea *area, uint32_t *len);
uint64_t riod_area_log_size(const RiodArea *area);

/*
 * The number of the last commit of the set, 0 = none; of its first area.
 * False with *@errp when it is damaged.
 */
bool riod_area_word(const RiodArea *area, uint64_t *word, Error **errp);

/**
 * riod_area_record: what was committed last
 * @word: of the set
 * @data: set to it, NULL when nothing was
 *
 * What a commit that did not happen wrote is wiped.  Returns: false with
 * *@errp when the area is damaged.
 */
bool riod_area_record(RiodArea *area, uint64_t word, const uint8_t **data,
                      uint32_t *len, Error **errp);

/*
 * Numbers beside the commits, each stored at once: 0 at first, and never
 * undone.  For what happens outside of the process and is not committed.
 */
#define RIOD_AREA_LIVE 7u
uint64_t *riod_area_live(const RiodArea *area);

/* --- a commit --- */

/**
 * riod_area_begin: write a record for commit @word
 *
 * Returns: where, up to @room bytes; NULL when there is no room for it.  The
 * record that was committed last stays as it is.
 */
uint8_t *riod_area_begin(RiodArea *area, uint64_t word, uint32_t room);

/* It has @len bytes; until riod_area_publish() it does not count */
void riod_area_end(RiodArea *area, uint32_t len);

/**
 * riod_area_put: a message of the log
 * @at: in the log; what was committed must not be there
 *
 * Returns: where the next one goes, 0 when there is no room.
 */
uint64_t riod_area_put(RiodArea *area, uint64_t at, const uint8_t *message,
                       uint32_t len);

/* Bytes of the log that a message of @len takes */
uint64_t riod_area_log_cost(uint32_t len);

/*
 * The message at *@at, which is moved behind it; only a reader's.  Returns:
 * false when there is none, or none that is whole, before @end.
 */
bool riod_area_get(RiodArea *area, uint64_t *at, uint64_t end,
                   const uint8_t **message, uint32_t *len);

/* The same for who wrote it: only the length is looked at */
uint64_t riod_area_skip(const RiodArea *area, uint64_t at);

/* Nothing that matters is in the log behind @end: give memory back */
void riod_area_trim(RiodArea *area, uint64_t end);

/* Durable: what was written of @area reaches the disk.  False: it did not */
bool riod_area_sync(RiodArea *area);

/*
 * Commit @word happened: @area is the first of the set.  Returns: false when
 * the store is durable and the disk failed.
 */
bool riod_area_publish(RiodArea *area, uint64_t word);

#endif /* SERVER_JOURNAL_STORE_H */
