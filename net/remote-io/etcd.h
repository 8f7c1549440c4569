/*
 * remote-io directory in etcd: questions to it, and how our keys look
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * By etcd's HTTP and JSON gateway (version 3, as etcd 3.4 and later have it),
 * with libcurl.  A RioEtcd is for one thread, which blocks in it; others may
 * only wake it.  Without libcurl rio_etcd_available() says what to install,
 * and nothing else here is called.
 *
 * Keys, below the prefix of the directory:
 *
 *   servers/SERVER           value: {"addresses": [TEXT, ...],
 *                                    "owner": TEXT, "host": TEXT,
 *                                    "uuid": TEXT}
 *   modules/MODULE/SERVER    the same value, so that one look-up is enough
 *
 * All of one server hang on its lease.  A module id has no '/'.
 */

#ifndef NET_REMOTE_IO_ETCD_H
#define NET_REMOTE_IO_ETCD_H

#include "net/remote-io/directory.h"

typedef struct RioEtcd RioEtcd;

/* Returns: false with *@errp saying what to install */
bool rio_etcd_available(Error **errp);

/* @d outlives it; asks the first URL first, the next when one fails */
RioEtcd *rio_etcd_new(const RioDirectory *d);
void rio_etcd_free(RioEtcd *e);                         /* NULL-safe */

/* Any thread: have it look at its cancel flag now */
void rio_etcd_wake(RioEtcd *e);

/**
 * rio_etcd_call: ask, and wait for the answer
 * @path: as in "kv/range", below /v3/
 * @request: the body; taken
 * @timeout_ms: how long each of the URLs may be silent; all of an answer may
 *     take ten times as long
 * @cancel: give up when it is set, or NULL
 *
 * Returns: the answer; NULL with *@errp naming the URL and the cause.  An
 * answer that is an error of etcd is one here.
 */
QDict *rio_etcd_call(RioEtcd *e, const char *path, QDict *request,
                     int64_t timeout_ms, const bool *cancel, Error **errp);

/* Of the last call that failed: was it etcd itself that refused? */
bool rio_etcd_answered(const RioEtcd *e);

/**
 * rio_etcd_stream: the same for an answer that does not end
 * @line: called with each object that comes; false ends the stream
 * @idle_ms: end it when nothing came for so long
 *
 * Returns: true when it was @line or @idle_ms that ended it, or @cancel;
 * false with *@errp when it was etcd.
 */
bool rio_etcd_stream(RioEtcd *e, const char *path, QDict *request,
                     int64_t idle_ms, const bool *cancel,
                     bool (*line)(void *opaque, const QDict *answer),
                     void *opaque, Error **errp);

/* Text as etcd's JSON has it, and back (NULL: is none); caller frees */
char *rio_etcd_put_text(const char *text);
char *rio_etcd_get_text(const QDict *dict, const char *key);

/* A number, which JSON of etcd has as text; 0 when it is not there */
uint64_t rio_etcd_get_number(const QDict *dict, const char *key);

/* A request for all keys that begin with @prefix (and @rest) */
QDict *rio_etcd_range(const char *prefix, const char *rest);

/**
 * rio_etcd_take_key: what is in one of our keys
 * @kv: as etcd answers it, with the whole key
 * @module: set to the module's id, or NULL for the key of a server
 *
 * Returns: an entry, with addresses unless the key was deleted; NULL with
 * *@errp when it is none of ours.
 */
RioDirectoryEntry *rio_etcd_take_key(const RioDirectory *d, const QDict *kv,
                                     char **module, Error **errp);

/* For rio_directory_lookup(): those that have @module, the latest first */
GPtrArray *rio_etcd_find(const RioDirectory *d, const char *module,
                         int64_t timeout_ms, const bool *cancel,
                         Error **errp);

#endif /* NET_REMOTE_IO_ETCD_H */
