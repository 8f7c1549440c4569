/*
 * Helpers of remote-io's qtests: a real server, and QEMU's counters
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/wait.h>
#include "libqos/pci-pc.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "remote-io-helpers.h"

static const char *server_program(void)
{
    const char *path = g_getenv("QTEST_REMOTE_IO_SERVER");

    return path ? path : "./remote-io-server";
}

/* The first line that the server prints says where it listens */
static void read_address(RioServer *server)
{
    char line[512];
    char *text;

    text = fgets(line, sizeof(line), server->out);
    g_assert_nonnull(text);
    g_assert_true(g_str_has_prefix(line, "listening at "));
    g_free(server->address);
    server->address = g_strstrip(g_strdup(line + strlen("listening at ")));
}

static void spawn(RioServer *server, const char *listen, const char *options)
{
    g_autofree char *line = g_strdup_printf("%s --exit-with-parent "
                                            "--listen %s %s",
                                            server_program(), listen,
                                            options);
    g_auto(GStrv) argv = g_strsplit(line, " ", 0);
    g_autoptr(GError) err = NULL;
    int out;

    g_spawn_async_with_pipes(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD,
                             NULL, NULL, &server->pid, NULL, &out, NULL,
                             &err);
    g_assert_no_error(err);
    server->out = fdopen(out, "r");
    read_address(server);
}

RioServer *rio_server_new(const char *listen, const char *options)
{
    RioServer *server = g_new0(RioServer, 1);
    g_autofree char *path = NULL;

    server->dir = g_dir_make_tmp("remote-io-XXXXXX", NULL);
    g_assert_nonnull(server->dir);
    path = g_strdup_printf("unix:%s/s", server->dir);
    spawn(server, g_str_equal(listen, "unix") ? path : listen, options);
    return server;
}

void rio_server_start(RioServer *server, const char *options)
{
    g_autofree char *listen = g_strdup(server->address);

    g_assert_cmpint(server->pid, ==, 0);
    spawn(server, listen, options);
}

void rio_server_kill(RioServer *server, int signal)
{
    siginfo_t info;
    int status;

    kill(server->pid, signal);
    if (signal == SIGSTOP) {
        /* On its way until no thread runs any more */
        waitid(P_PID, server->pid, &info, WSTOPPED | WEXITED | WNOWAIT);
    }
    if (signal == SIGSTOP || signal == SIGCONT) {
        return;
    }
    g_assert_cmpint(waitpid(server->pid, &status, 0), ==, server->pid);
    if (signal == SIGTERM) {
        g_assert_true(WIFEXITED(status));
        g_assert_cmpint(WEXITSTATUS(status), ==, 0);
    }
    g_spawn_close_pid(server->pid);
    fclose(server->out);
    server->pid = 0;
}

void rio_server_free(RioServer *server)
{
    g_autofree char *path = g_build_filename(server->dir, "s", NULL);

    if (server->pid) {
        rio_server_kill(server, SIGTERM);
    }
    unlink(path);
    g_assert_cmpint(rmdir(server->dir), ==, 0);
    g_free(server->dir);
    g_free(server->address);
    g_free(server);
}

QTestState *rio_qemu(const char *format, ...)
{
    g_autofree char *options = NULL;
    va_list ap;

    va_start(ap, format);
    options = g_strdup_vprintf(format, ap);
    va_end(ap);
    return qtest_init(options);
}

QPCIDevice *rio_pci_device(QPCIBus *bus, int slot)
{
    QPCIDevice *dev = qpci_device_find(bus, QPCI_DEVFN(slot, 0));

    g_assert_nonnull(dev);
    qpci_device_enable(dev);
    return dev;
}

void rio_machine_start(RioMachine *m, const char *machine,
                       const char *address, const char *device)
{
    m->qts = rio_qemu("%s -device remote-io,id=d0,addr=4,server=%s,module=m0"
                      "%s", machine, address ?: m->server->address, device);
    m->bus = qpci_new_pc(m->qts, NULL);
    m->dev = rio_pci_device(m->bus, 4);
    m->bar = qpci_iomap(m->dev, 0, NULL);
}

void rio_machine_stop(RioMachine *m)
{
    g_free(m->dev);
    if (m->bus) {
        qpci_free_pc(m->bus);
    }
    qtest_quit(m->qts);
    rio_server_free(m->server);
}

QDict *rio_info(QTestState *qts, const char *id)
{
    QDict *rsp = qtest_qmp(qts, "{ 'execute': 'query-remote-io' }");
    QDict *found = NULL;
    const QListEntry *e;

    g_assert_true(qdict_haskey(rsp, "return"));
    QLIST_FOREACH_ENTRY(qdict_get_qlist(rsp, "return"), e) {
        QDict *info = qobject_to(QDict, qlist_entry_obj(e));

        if (g_str_equal(qdict_get_try_str(info, "id") ?: "", id)) {
            found = qobject_ref(info);
        }
    }
    qobject_unref(rsp);
    g_assert_nonnull(found);
    return found;
}

uint64_t rio_stat(QTestState *qts, const char *id, const char *name)
{
    QDict *info = rio_info(qts, id);
    QDict *stats = qdict_get_qdict(info, "stats");
    uint64_t value;

    g_assert_true(qdict_haskey(stats, name));
    value = qdict_get_int(stats, name);
    qobject_unref(info);
    return value;
}

unsigned rio_count_files(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd", pid);
    GDir *dir = g_dir_open(path, 0, NULL);
    unsigned n = 0;

    g_assert_nonnull(dir);
    while (g_dir_read_name(dir)) {
        n++;
    }
    g_dir_close(dir);
    return n;
}

/* Value of a line of /proc/PID/status */
static unsigned status_value(pid_t pid, const char *key)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status", pid);
    g_autofree char *text = NULL;
    char *line;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    line = strstr(text, key);
    g_assert_nonnull(line);
    return strtoul(line + strlen(key), NULL, 10);
}

unsigned rio_count_threads(pid_t pid)
{
    return status_value(pid, "\nThreads:");
}

unsigned rio_resident_kib(pid_t pid)
{
    return status_value(pid, "\nVmRSS:");
}
