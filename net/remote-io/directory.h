/*
 * remote-io directory: which server has a module, and at which address
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A directory is a file, or keys in etcd.  This room knows how both are
 * written and asks them, for a client that wants one module (look-up) and for
 * a server that wants to know all of it and to be in it (server/directory.h).
 *
 * In text a directory is
 *
 *   file:PATH
 *   etcd:URL[+URL...][,prefix=P][,ttl=SECONDS][,cacert=F][,cert=F,key=F]
 *
 * Entries are plain data: whoever holds one owns it.  Nothing here has a
 * thread or a lock of its own.
 */

#ifndef NET_REMOTE_IO_DIRECTORY_H
#define NET_REMOTE_IO_DIRECTORY_H

#include "qapi/error.h"
#include "qemu/units.h"
#include "qobject/qdict.h"

/* Of a directory: what one file or one answer of etcd may hold, in bytes */
#define RIO_DIRECTORY_MAX_BYTES (64 * MiB)

/* Addresses of one server */
#define RIO_DIRECTORY_MAX_ADDRESSES 16u

/* Where a directory is; constant once parsed */
typedef struct RioDirectory {
    char *text;                 /* as it was given, for messages */
    char *path;                 /* the file, or NULL: etcd */
    char **urls;                /* etcd: where it can be asked, >= 1 */
    char *prefix;               /* of all keys; begins and ends with '/' */
    unsigned ttl;               /* seconds until a silent server is gone */
    char *cacert, *cert, *key;  /* files for https; or NULL */
} RioDirectory;

/* One server, as a directory names it */
typedef struct RioDirectoryEntry {
    char *server;               /* server id */
    char **addresses;           /* >= 1, in the short form; best first */
    char **modules;             /* that it hosts; NULL: the directory does
                                   not say */
    char *owner;                /* etcd: which process registered it; else
                                   NULL */
} RioDirectoryEntry;

/**
 * rio_directory_parse:
 *
 * Main thread, before other threads ask.
 * Returns: NULL with *@errp saying what is wrong and how it is written.
 */
RioDirectory *rio_directory_parse(const char *text, Error **errp);
void rio_directory_free(RioDirectory *d);               /* NULL-safe */

/**
 * rio_directory_lookup: where is module @module?
 * @server: of this server, or NULL or "" for any
 * @timeout_ms: give up after this time
 * @cancel: give up soon after another thread sets this (qatomic); or NULL
 *
 * Blocks; any thread that may.
 * Returns: entries (RioDirectoryEntry, freed with the array), those that name
 * the module, the latest registration first, before those that do not say;
 * at least one.  NULL with *@errp when nobody has it or the directory cannot
 * be asked; then *@down, if not NULL, tells the two apart.
 */
GPtrArray *rio_directory_lookup(const RioDirectory *d, const char *module,
                                const char *server, int64_t timeout_ms,
                                const bool *cancel, bool *down,
                                Error **errp);

/* --- entries --- */

RioDirectoryEntry *rio_directory_entry_new(const char *server);
RioDirectoryEntry *rio_directory_entry_copy(const RioDirectoryEntry *e);
bool rio_directory_entry_equal(const RioDirectoryEntry *a,
                               const RioDirectoryEntry *b);
void rio_directory_entry_free(void *entry);             /* NULL-safe */

/* A list of entries that frees them */
GPtrArray *rio_directory_entries_new(void);

/*
 * Take "addresses" out of @dict, the value of a key or a server in a file;
 * @where is the place of @dict, for messages
 */
bool rio_directory_take_addresses(RioDirectoryEntry *e, const QDict *dict,
                                  const char *where, Error **errp);

/* May it be a server id (or another name of the wire)? */
bool rio_directory_name_ok(const char *name);

/* --- files --- */

/**
 * rio_directory_file_parse:
 * @json: the file's contents
 * @path: its name, for messages
 *
 * Returns: all entries in their order, maybe none; NULL with *@errp naming
 * file and line, or the place of the value that is wrong.
 */
GPtrArray *rio_directory_file_parse(const char *json, const char *path,
                                    Error **errp);

/* The same for a file that is read first.  Blocks as long as that takes */
GPtrArray *rio_directory_file_read(const char *path, Error **errp);

#endif /* NET_REMOTE_IO_DIRECTORY_H */
