/*
 * remote-io-server: devices for virtual machines elsewhere
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Only wiring: bring up QEMU's libraries, let the options make what they
 * name, serve until asked to stop, take everything down in reverse order.
 */

#include "qemu/osdep.h"
#include <sys/prctl.h>
#include "block/block.h"
#include "chardev/char.h"
#include "crypto/init.h"
#include "monitor/monitor.h"
#include "qapi/error.h"
#include "qemu/config-file.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/job.h"
#include "qemu/log.h"
#include "qemu/main-loop.h"
#include "qemu/module.h"
#include "qom/object_interfaces.h"
#include "server/qapi/qapi-commands.h"
#include "system/runstate.h"
#include "trace/control.h"

#include "directory.h"
#include "filter.h"
#include "forward.h"

static bool quit_requested;

/* The names of these two are QEMU's: its libraries call them */
void qemu_system_killed(int signal, pid_t pid)
{
    qatomic_set(&quit_requested, true);
    qemu_notify_event();
}

void qmp_quit(Error **errp)
{
    qatomic_set(&quit_requested, true);
}

bool riod_quit_requested(void)
{
    return qatomic_read(&quit_requested);
}

static char *pidfile;           /* absolute, once it was written */

static void pidfile_remove(void)
{
    unlink(pidfile);
}

void riod_abandon(void)
{
    riod_listen_close();
    if (pidfile) {
        pidfile_remove();
    }
    _exit(EXIT_FAILURE);
}

static void pidfile_write(const char *path)
{
    Error *err = NULL;

    if (!qemu_write_pidfile(path, &err)) {
        error_reportf_err(err, "--pidfile: cannot write '%s': ", path);
        exit(EXIT_FAILURE);
    }
    pidfile = realpath(path, NULL);
    if (!pidfile) {
        error_report("--pidfile: cannot resolve '%s': %s", path,
                     strerror(errno));
        unlink(path);
        exit(EXIT_FAILURE);
    }
    atexit(pidfile_remove);
}

static void bring_up(void)
{
    module_call_init(MODULE_INIT_QOM);
    module_call_init(MODULE_INIT_TRACE);
    qemu_add_opts(&qemu_trace_opts);
    qcrypto_init(&error_fatal);
    bdrv_init();
    monitor_init_globals();
    riod_monitor_init();
    riod_share_init();
    if (!trace_init_backends()) {
        exit(EXIT_FAILURE);
    }
    qemu_set_log(LOG_TRACE, &error_fatal);
    qemu_init_main_loop(&error_fatal);
}

static void close_routes(void *opaque)
{
    riod_announce_stop();
    riod_routes_close_all();
}

static void take_down(void)
{
    riod_homes_watch();
    riod_listen_close();
    riod_directories_stop();
    riod_peers_stop();
    riod_connections_shutdown();
    riod_journal_leave();
    riod_home_call(riod_home_default(), close_routes, NULL);
    riod_instances_close_all();
    riod_filters_drop(NULL);
    riod_homes_close_all();
    bdrv_drain_all_begin();
    job_cancel_sync_all();
    bdrv_close_all();
    monitor_cleanup();
    qemu_chr_cleanup();
    user_creatable_cleanup();
}

/* The parent may end before we could ask to be told */
static void exit_with_parent(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) {
        exit(EXIT_SUCCESS);
    }
}

int main(int argc, char **argv)
{
    pid_t parent = getppid();
    RiodOptions opts = { 0 };

    riod_upgrade_start(argv);
    signal(SIGPIPE, SIG_IGN);
    error_init(argv[0]);
    qemu_init_exec_dir(argv[0]);
    os_setup_signal_handling();

    riod_options_early(argc, argv, &opts);
    if (opts.exit_with_parent) {
        exit_with_parent(parent);
    }
    if (opts.daemonize && !riod_upgrade_pending()) {
        os_set_daemonize(true);
    }
    os_daemonize();

    bring_up();
    riod_options_make(argc, argv);
    riod_config_complete();
    if (opts.pidfile) {
        pidfile_write(opts.pidfile);
    }
    riod_journal_start();
    riod_peers_start();
    riod_directories_start(&error_fatal);
    riod_listen_start();
    riod_upgrade_serves();
    os_setup_post();

    while (!riod_quit_requested()) {
        main_loop_wait(false);
    }
    take_down();
    return EXIT_SUCCESS;
}
