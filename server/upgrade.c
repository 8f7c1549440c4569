/*
 * remote-io-server: one process becomes another
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A hot upgrade is a crash that was meant: the process executes the new
 * program, which keeps the process id and the listening sockets and goes on
 * from the journal, as after kill -9.  Clients find their connections cut,
 * knock at a socket that was never closed, and resume.
 *
 * Until the new program serves, it can go back: it changes nothing in the
 * journal, has the old program open, and executes it when it has to exit.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include <glib-unix.h>
#include "server/qapi/qapi-commands-remote-io-server.h"
#include "internal.h"

/*
 * "OLD:WORDS:FD,FD;FD": the old program and its command line, as descriptors,
 * or "back:"; then the sockets of each --listen
 */
#define VARIABLE "REMOTE_IO_UPGRADE"

/* The answer to the command that asked for it goes out first */
#define REPLY_MS 20

static char **arguments;        /* as we were started */
static char *program;           /* path of the file we are */
static int folder = -1;         /* where we were started */
static char *wanted;            /* path of the next program */
static bool serving;
static QEMUTimer *timer;

/* In the new program, until it serves */
static bool began;              /* another one went before */
static int old = -1;            /* it, open, to go back to ... */
static int old_words = -1;      /* ... with these arguments */
static GPtrArray *sockets;      /* GArray of int for each --listen */

/* --- coming from another program --- */

static GArray *parse_sockets(const char *text)
{
    g_auto(GStrv) words = g_strsplit(text, ",", -1);
    GArray *fds = g_array_new(false, false, sizeof(int));

    for (char **word = words; *word; word++) {
        int fd = atoi(*word);

        if (**word && fcntl(fd, F_GETFD) >= 0) {
            qemu_set_cloexec(fd);
            g_array_append_val(fds, fd);
        }
    }
    return fds;
}

static void parse_variable(const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, ":", 3);
    g_auto(GStrv) listeners = NULL;

    began = true;
    sockets = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);
    if (g_strv_length(parts) < 3) {
        return;
    }
    if (!g_str_equal(parts[0], "back")) {
        old = atoi(parts[0]);
        old_words = atoi(parts[1]);
        qemu_set_cloexec(old);
        qemu_set_cloexec(old_words);
    }
    listeners = g_strsplit(parts[2], ";", -1);
    for (char **one = listeners; *one; one++) {
        g_ptr_array_add(sockets, parse_sockets(*one));
    }
}

static void execute(int fd, const char *path, const char *from,
                    GPtrArray *pass);

/* A command line, which is shorter than the kernel's limit, in a file */
static int save_words(char **words)
{
    int fd = memfd_create("arguments", 0);

    for (; fd >= 0 && *words; words++) {
        size_t len = strlen(*words) + 1;

        if (write(fd, *words, len) != (ssize_t)len) {
            close(fd);
            return -1;
        }
    }
    return fd;
}

static char **load_words(int fd)
{
    off_t len = lseek(fd, 0, SEEK_END);
    char *text = len > 0 ? g_malloc(len) : NULL;
    GPtrArray *words = g_ptr_array_new();

    if (text && pread(fd, text, len, 0) == len && !text[len - 1]) {
        for (char *word = text; word < text + len; word += strlen(word) + 1) {
            g_ptr_array_add(words, word);
        }
    }
    g_ptr_array_add(words, NULL);
    return (char **)g_ptr_array_free(words, false);
}

/* The process exits before it serves: be what it was before */
static void go_back(void)
{
    if (old >= 0 && began) {
        riod_log("going back to the program before");
        arguments = load_words(old_words);
        execute(old, NULL, "back:", sockets);
        riod_log("cannot go back: %s", strerror(errno));
    }
}

void riod_upgrade_start(char **argv)
{
    const char *variable = g_getenv(VARIABLE);

    arguments = g_strdupv(argv);
    program = g_file_read_link("/proc/self/exe", NULL);
    folder = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (variable) {
        parse_variable(variable);
        unsetenv(VARIABLE);
        atexit(go_back);
    }
}

bool riod_upgrade_pending(void)
{
    return began;
}

const GArray *riod_upgrade_sockets(unsigned listener)
{
    GArray *fds = began && listener < sockets->len ?
                  sockets->pdata[listener] : NULL;

    return fds && fds->len ? fds : NULL;
}

bool riod_upgrade_serving(void)
{
    return serving;
}

/* Those that were inherited live on as copies in the listeners */
static void close_sockets(void)
{
    for (guint i = 0; i < sockets->len; i++) {
        const GArray *fds = sockets->pdata[i];

        for (guint k = 0; k < fds->len; k++) {
            close(g_array_index(fds, int, k));
        }
    }
    g_ptr_array_free(sockets, true);
    sockets = NULL;
}

static gboolean signalled(void *opaque)
{
    Error *err = NULL;

    qmp_remote_io_upgrade(NULL, &err);
    if (err) {
        riod_log("no upgrade: %s", error_get_pretty(err));
        error_free(err);
    }
    return G_SOURCE_CONTINUE;
}

void riod_upgrade_serves(void)
{
    serving = true;
    if (began) {
        began = false;
        close_sockets();
        if (old >= 0) {
            close(old);
            close(old_words);
            old = -1;
            riod_log("this program took over and serves on");
        } else {
            riod_log("the program before serves on");
        }
    }
    g_unix_signal_add(SIGUSR2, signalled, NULL);
}

/* --- going --- */

static char *socket_list(GPtrArray *pass)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < pass->len; i++) {
        const GArray *fds = pass->pdata[i];

        for (guint k = 0; k < fds->len; k++) {
            int fd = g_array_index(fds, int, k);

            fcntl(fd, F_SETFD, 0);
            g_string_append_printf(text, "%s%d", k ? "," : "", fd);
        }
        if (i + 1 < pass->len) {
            g_string_append_c(text, ';');
        }
    }
    return g_string_free(text, false);
}

static void keep_sockets(GPtrArray *pass)
{
    for (guint i = 0; i < pass->len; i++) {
        const GArray *fds = pass->pdata[i];

        for (guint k = 0; k < fds->len; k++) {
            qemu_set_cloexec(g_array_index(fds, int, k));
        }
    }
}

/* Returns only when it cannot be, with errno, and all is as it was before */
static void execute(int fd, const char *path, const char *from,
                    GPtrArray *pass)
{
    g_autofree char *list = socket_list(pass);
    g_autofree char *value = g_strdup_printf("%s:%s", from, list);
    int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sigset_t none, before;
    int error = 0;

    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, &before);
    if (folder >= 0 && fchdir(folder) < 0) {
        error = errno;
    }
    if (!error) {
        setenv(VARIABLE, value, true);
        if (path) {
            execv(path, arguments);
        } else {
            fcntl(fd, F_SETFD, 0);
            fexecve(fd, arguments, environ);
        }
        error = errno;
        unsetenv(VARIABLE);
    }
    if (here >= 0) {
        error = fchdir(here) < 0 ? errno : error;
        close(here);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    keep_sockets(pass);
    errno = error;
}

static void go(void *opaque)
{
    g_autofree char *from = NULL;
    g_autoptr(GPtrArray) pass = riod_listen_sockets();
    int self = open("/proc/self/exe", O_RDONLY);
    int words = save_words(arguments);

    from = g_strdup_printf("%d:%d", self, words);
    fflush(NULL);
    if (self >= 0 && words >= 0) {      /* or there would be no way back */
        riod_log("becoming '%s'", wanted);
        execute(-1, wanted, from, pass);
    }
    riod_log("cannot become '%s': %s; serving on", wanted, strerror(errno));
    if (self >= 0) {
        close(self);
    }
    if (words >= 0) {
        close(words);
    }
    g_free(g_steal_pointer(&wanted));
}

/* Does it run here at all, and is it one of us? */
static bool check_program(const char *path, Error **errp)
{
    const char *argv[] = { path, "--version", NULL };
    g_autofree char *out = NULL;
    GError *err = NULL;
    int status = 0;

    if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_STDERR_TO_DEV_NULL,
                      NULL, NULL, &out, NULL, &status, &err)) {
        error_setg(errp, "'%s' cannot be run: %s", path, err->message);
        g_error_free(err);
        return false;
    }
    if (status || !out || !g_str_has_prefix(out, "remote-io-server ")) {
        error_setg(errp, "'%s' is no remote-io-server: it does not tell its "
                   "version", path);
        return false;
    }
    return true;
}

typedef struct Judgement {
    char *why;
} Judgement;

/* Tables' lock held: would clients of @inst lose anything? */
static void judge(RiodInstance *inst, void *opaque)
{
    Judgement *j = opaque;
    bool clients = false;

    for (unsigned i = 0; i < inst->max_clients; i++) {
        clients |= inst->clients[i] != NULL;
    }
    if (j->why) {
        return;
    }
    if (inst->added) {
        j->why = g_strdup_printf("module '%s' was added with QMP, and the new "
                                 "process would not have it: remove it, or "
                                 "name it on the command line", inst->id);
    } else if (clients && !inst->journal &&
               inst->desc.restart != RIO_RESTART_STATELESS) {
        j->why = g_strdup_printf("module '%s' has clients and is in no "
                                 "journal: they would lose its state",
                                 inst->id);
    }
}

void qmp_remote_io_upgrade(const char *binary, Error **errp)
{
    const char *path = binary ?: program;
    Judgement j = { };

    if (wanted) {
        error_setg(errp, "the server is about to become '%s'", wanted);
        return;
    }
    riod_tables_lock();
    riod_instances_foreach_locked(judge, &j);
    riod_tables_unlock();
    if (j.why) {
        error_setg(errp, "%s", j.why);
        g_free(j.why);
        return;
    }
    if (!path || *path != '/') {
        error_setg(errp, "a program is named by its whole path");
        return;
    }
    if (!check_program(path, errp)) {
        return;
    }
    wanted = g_strdup(path);
    if (!timer) {
        timer = timer_new_ms(QEMU_CLOCK_REALTIME, go, NULL);
    }
    timer_mod(timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + REPLY_MS);
}
