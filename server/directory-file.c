/*
 * remote-io-server: a directory in a file
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Everything is done in the main loop, which the kernel tells of changes.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/filemonitor.h"
#include "qemu/timer.h"
#include "directory.h"

/* Whoever writes the file may do so in several steps */
#define SETTLE_MS 50

struct RiodFile {
    RiodSource *source;
    const RioDirectory *directory;
    QFileMonitor *monitor;      /* NULL: the folder cannot be watched */
    char *folder;
    int64_t watch;
    QEMUTimer *settle;
};

bool riod_file_reload(RiodFile *f, Error **errp)
{
    GPtrArray *entries = rio_directory_file_read(f->directory->path, errp);

    if (!entries) {
        return false;
    }
    riod_source_replace(f->source, entries);
    riod_source_trouble(f->source, NULL);
    return true;
}

/* A bad version keeps the old one */
static void settled(void *opaque)
{
    RiodFile *f = opaque;
    Error *err = NULL;

    if (!riod_file_reload(f, &err)) {
        riod_source_trouble(f->source, error_get_pretty(err));
        error_free(err);
    }
}

static void changed(int64_t id, QFileMonitorEvent event, const char *name,
                    void *opaque)
{
    RiodFile *f = opaque;

    timer_mod(f->settle, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + SETTLE_MS);
}

/* Without it there is still remote-io-directory-reload */
static void watch(RiodFile *f)
{
    g_autofree char *name = g_path_get_basename(f->directory->path);
    Error *err = NULL;

    f->folder = g_path_get_dirname(f->directory->path);
    f->monitor = qemu_file_monitor_new(&err);
    if (f->monitor) {
        f->watch = qemu_file_monitor_add_watch(f->monitor, f->folder, name,
                                               changed, f, &err);
    }
    if (err) {
        riod_log("directory %s: changes will not be seen: %s; use "
                 "remote-io-directory-reload", f->directory->text,
                 error_get_pretty(err));
        error_free(err);
        qemu_file_monitor_free(g_steal_pointer(&f->monitor));
    }
}

RiodFile *riod_file_start(RiodSource *source, const RioDirectory *d,
                          Error **errp)
{
    RiodFile *f = g_new0(RiodFile, 1);

    f->source = source;
    f->directory = d;
    f->settle = timer_new_ms(QEMU_CLOCK_REALTIME, settled, f);
    watch(f);
    if (!riod_file_reload(f, errp)) {
        riod_file_stop(f);
        return NULL;
    }
    return f;
}

void riod_file_stop(RiodFile *f)
{
    if (!f) {
        return;
    }
    if (f->monitor) {
        qemu_file_monitor_remove_watch(f->monitor, f->folder, f->watch);
        qemu_file_monitor_free(f->monitor);
    }
    timer_free(f->settle);
    g_free(f->folder);
    g_free(f);
}
