/*
 * remote-io-server internals: where modules live
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The question is "which servers might have module M (of server S), and over
 * which next hop are they reached".  Answers come from
 *
 *   directory-announce.c   what next hops announce
 *   directory-file.c       --directory file:PATH
 *   directory-etcd.c       --directory etcd:URL: keys that servers keep there
 *
 * and are kept in directory.c.  They are hints: the answer of a server to
 * ATTACH decides.  What is known stays in use when a source cannot be asked.
 *
 * The tables belong to the default home, like all of routing.
 */

#ifndef SERVER_DIRECTORY_H
#define SERVER_DIRECTORY_H

#include "net/remote-io/directory.h"
#include "forward.h"

/* -------------------------------------------------------- directory.c */

/* A --directory; see the back-ends */
typedef struct RiodSource RiodSource;

/* Main loop, before the start.  @text: of --directory; false with *@errp */
bool riod_directory_add(const char *text, Error **errp);

/* Main loop, before the start: an address under which others reach us */
bool riod_directory_advertise(const char *text, Error **errp);

/* Main loop: begin once it is clear who we are and where; end */
bool riod_directories_start(Error **errp);
void riod_directories_stop(void);

/* Any thread */
bool riod_directories_exist(void);

/* Main loop: modules of this server came or went */
void riod_directory_modules_changed(void);

/* Main loop: read files again; false with *@errp when one is bad */
bool riod_directory_reload(Error **errp);

/**
 * riod_directory_candidates: home.  Whom to ask for @module, in turn
 * @module: or "" when a session is looked for
 * @server: the server that must have it, or ""
 * @number: on the wire, of the server that must have it; 0: not known
 *
 * Returns: RiodPeer, each with a reference that is given back when the array
 * is freed.
 */
GPtrArray *riod_directory_candidates(const char *module, const char *server,
                                     uint32_t number);

/* Home.  Does a --directory say that a server has @module? */
bool riod_directory_names(const char *module);

/* Home.  What is known, for QMP; @fn gets @peer or @source, the other NULL */
typedef struct RiodKnown {
    const char *server;
    const char *module;         /* "": the server itself */
    char **addresses;           /* or NULL */
    const char *source;         /* text of --directory, or NULL */
    const char *peer;           /* that announced it, or NULL */
    unsigned distance;          /* servers in between */
} RiodKnown;
void riod_directory_foreach(void (*fn)(const RiodKnown *, void *),
                            void *opaque);

/* Home.  The sources themselves */
typedef struct RiodSourceInfo {
    const char *text;
    const char *trouble;        /* NULL: it can be asked */
    bool registers;             /* we are to be in there ... */
    bool registered;            /* ... and are */
} RiodSourceInfo;
void riod_sources_foreach(void (*fn)(const RiodSourceInfo *, void *),
                          void *opaque);

/* --- for back-ends of --directory; any thread --- */

/* All that a source knows; what is not in @entries, which it takes, is gone */
void riod_source_replace(RiodSource *source, GPtrArray *entries);

/* One server; takes @entry.  One without addresses is gone */
void riod_source_update(RiodSource *source, RioDirectoryEntry *entry);

/*
 * It cannot be asked, or (NULL) can again.  Said once; what is known stays
 */
void riod_source_trouble(RiodSource *source, const char *text);

/* This server is in it, or is not */
void riod_source_registered(RiodSource *source, bool registered);

/* --------------------------------------------------- directory-file.c */

typedef struct RiodFile RiodFile;

/* Main loop.  Read @d->path, now and when it changes; NULL with *@errp when it
 * is bad now */
RiodFile *riod_file_start(RiodSource *source, const RioDirectory *d,
                          Error **errp);
void riod_file_stop(RiodFile *file);
bool riod_file_reload(RiodFile *file, Error **errp);

/* --------------------------------------------------- directory-etcd.c */

typedef struct RiodEtcd RiodEtcd;

/*
 * Main loop.  Watch @d, and keep a server in it that has @addresses (none: a
 * gateway, which is not in it).  Cannot fail: an etcd that is down may come.
 */
RiodEtcd *riod_etcd_start(RiodSource *source, const RioDirectory *d,
                          char **addresses);
void riod_etcd_stop(RiodEtcd *etcd);

/* Main loop: the modules of this server are @modules now; takes them */
void riod_etcd_set_modules(RiodEtcd *etcd, char **modules);

/* ----------------------------------------------- directory-announce.c */

/* Any thread, lock of @conn held: a forwarder that wants to be told */
void riod_announce_subscribe_locked(RiodConnection *conn);

/* Home of @conn, no lock held: it is over */
void riod_announce_unsubscribe(RiodConnection *conn);

/* Home, no lock held: a next hop has said something; its connection is over */
void riod_announce_heard(RiodConnection *conn, const RioMessage *m);
void riod_announce_forget(RiodPeer *peer);

/* Any thread: our own modules changed */
void riod_announce_modules_changed(void);

/* Home, at the end */
void riod_announce_stop(void);

#endif /* SERVER_DIRECTORY_H */
