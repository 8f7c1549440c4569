/*
 * remote-io-server: command line
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * In two passes, as qemu-storage-daemon does it: what concerns the process
 * before it may go to the background, what makes objects after that, in the
 * order in which it was written.
 */

#include "qemu/osdep.h"
#include <getopt.h>
#include "block/block.h"
#include "chardev/char.h"
#include "monitor/monitor.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-block-core.h"
#include "qapi/qapi-visit-block-core.h"
#include "qapi/qapi-visit-control.h"
#include "qapi/qapi-visit-sockets.h"
#include "qapi/qobject-input-visitor.h"
#include "qemu-version.h"
#include "qemu/config-file.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/keyval.h"
#include "qemu/log.h"
#include "qemu/option.h"
#include "qobject/qdict.h"
#include "qom/object_interfaces.h"
#include "system/os-posix.h"
#include "trace/control.h"

#include "directory.h"
#include "filter.h"
#include "forward.h"

enum {
    OPTION_ADVERTISE = 256,
    OPTION_BLOCKDEV,
    OPTION_CHARDEV,
    OPTION_DAEMONIZE,
    OPTION_DIRECTORY,
    OPTION_EXIT_WITH_PARENT,
    OPTION_FILTER,
    OPTION_GATEWAY,
    OPTION_JOURNAL,
    OPTION_LISTEN,
    OPTION_MODULE,
    OPTION_MODULE_PATH,
    OPTION_MONITOR,
    OPTION_OBJECT,
    OPTION_PEER,
    OPTION_PIDFILE,
    OPTION_SERVER_ID,
    OPTION_SESSION_LEASE,
};

static const struct option riod_options[] = {
    { "advertise", required_argument, NULL, OPTION_ADVERTISE },
    { "blockdev", required_argument, NULL, OPTION_BLOCKDEV },
    { "chardev", required_argument, NULL, OPTION_CHARDEV },
    { "daemonize", no_argument, NULL, OPTION_DAEMONIZE },
    { "directory", required_argument, NULL, OPTION_DIRECTORY },
    { "exit-with-parent", no_argument, NULL, OPTION_EXIT_WITH_PARENT },
    { "filter", required_argument, NULL, OPTION_FILTER },
    { "gateway", no_argument, NULL, OPTION_GATEWAY },
    { "help", no_argument, NULL, 'h' },
    { "journal", required_argument, NULL, OPTION_JOURNAL },
    { "listen", required_argument, NULL, OPTION_LISTEN },
    { "log", required_argument, NULL, 'd' },
    { "logfile", required_argument, NULL, 'D' },
    { "module", required_argument, NULL, OPTION_MODULE },
    { "module-path", required_argument, NULL, OPTION_MODULE_PATH },
    { "monitor", required_argument, NULL, OPTION_MONITOR },
    { "object", required_argument, NULL, OPTION_OBJECT },
    { "peer", required_argument, NULL, OPTION_PEER },
    { "pidfile", required_argument, NULL, OPTION_PIDFILE },
    { "server-id", required_argument, NULL, OPTION_SERVER_ID },
    { "session-lease", required_argument, NULL, OPTION_SESSION_LEASE },
    { "trace", required_argument, NULL, 'T' },
    { "version", no_argument, NULL, 'V' },
    { 0 }
};

static const char riod_help[] =
"Usage: remote-io-server [options]\n"
"Serve devices to virtual machines on other hosts\n"
"\n"
"  -h, --help             show this text\n"
"  -V, --version          show the version\n"
"\n"
"  --listen ADDRESS       accept clients at tcp:HOST:PORT, tcp:[V6]:PORT,\n"
"                         unix:PATH, vsock:CID:PORT, or a SocketAddress as\n"
"                         type=inet,host=...,port=... or JSON; repeatable\n"
"  --server-id NAME       name of this server (default: the host's name)\n"
"  --session-lease SECONDS\n"
"                         how long a lost client's devices are kept for it\n"
"                         (default: 60)\n"
"\n"
"  --module TYPE,id=ID[,iothread=ID][,incoming=on][,KEY=VALUE...]\n"
"                         host a module; 'help' lists the types,\n"
"                         'TYPE,help' its parameters; incoming=on: it waits\n"
"                         for one that moves in; repeatable\n"
"  --module-path DIR      also know the shared objects in DIR\n"
"  --filter TYPE,on=MODULE|connection[,KEY=VALUE...]\n"
"                         inject faults, or record, in front of a module or of\n"
"                         connections; 'help' lists the types, 'TYPE,help'\n"
"                         the parameters of one; repeatable, a chain\n"
"\n"
"  --journal DIR[,durable=on|off]\n"
"                         keep what modules are and were told in DIR, in memory\n"
"                         that outlives the process: one that is started\n"
"                         again goes on where this one ended; durable=on: on\n"
"                         a disk, for a crash of the host\n"
"\n"
"  --peer id=NAME,addr=ADDRESS\n"
"                         forward what concerns modules that are not here to\n"
"                         the server NAME; repeatable, asked in this order\n"
"  --directory file:PATH | etcd:URL[,prefix=P][,ttl=SECONDS]\n"
"                         find servers in a file or in etcd, and keep this\n"
"                         one in etcd; repeatable\n"
"  --advertise ADDRESS    where others reach this server, if not where it\n"
"                         listens; repeatable\n"
"  --gateway              be the gateway of this host's virtual machines: one\n"
"                         connection to each peer, and no modules;\n"
"                         --server-id then is the name of this host\n"
"\n"
"  --blockdev OPTIONS     make a block node, as qemu-storage-daemon does\n"
"  --chardev OPTIONS      make a character device, as QEMU does\n"
"  --object TYPE,id=ID[,KEY=VALUE...]\n"
"                         make an object; 'help' lists the types\n"
"  --monitor [chardev=]ID[,pretty=on|off]\n"
"                         serve QMP on a character device\n"
"\n"
"  --daemonize            go to the background once clients are accepted\n"
"  --exit-with-parent     end when the process that started this one ends\n"
"  --pidfile PATH         write the process id to PATH\n"
"  -d, --log ITEMS        log ITEMS too, such as guest_errors; 'help' lists\n"
"                         them\n"
"  -D, --logfile PATH     write the log to PATH instead of standard error\n"
"  -T, --trace [[enable=]PATTERN][,events=FILE][,file=FILE]\n"
"                         trace events\n"
"\n"
"What an option refers to must come before it.\n";

/* Options of the first pass; all others belong to the second */
static bool riod_option_is_early(int c)
{
    return c == '?' || c == ':' || c == 'h' || c == 'V' ||
           c == OPTION_DAEMONIZE || c == OPTION_EXIT_WITH_PARENT ||
           c == OPTION_PIDFILE;
}

/* Like getopt_long(), and tells error messages which option they concern */
static int riod_option_next(int argc, char **argv)
{
    int before = optind;
    int c;

    optarg = NULL;
    opterr = 0;
    c = getopt_long(argc, argv, "-:d:D:hT:V", riod_options, NULL);
    if (optarg) {
        loc_set_cmdline(argv, before, MAX(1, optind - before));
    }
    return c;
}

/* ---------------------------------------------------------- first pass */

/* The monitor, through which error_report() goes, is not there yet */
static G_NORETURN void G_GNUC_PRINTF(1, 2) early_error(const char *fmt, ...)
{
    va_list ap;
    char *text;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    riod_log("%s", text);
    g_free(text);
    exit(EXIT_FAILURE);
}

static void riod_option_early(int c, const char *arg, RiodOptions *opts)
{
    switch (c) {
    case '?':
        if (optopt) {
            early_error("there is no option '-%c'; --help lists them", optopt);
        }
        early_error("there is no option '%s'; --help lists them", arg);
    case ':':
        early_error("option '%s' needs a value; --help shows its form", arg);
    case 'h':
        fputs(riod_help, stdout);
        exit(EXIT_SUCCESS);
    case 'V':
        printf("remote-io-server version " QEMU_FULL_VERSION "\n");
        exit(EXIT_SUCCESS);
    case OPTION_DAEMONIZE:
        opts->daemonize = true;
        break;
    case OPTION_EXIT_WITH_PARENT:
        opts->exit_with_parent = true;
        break;
    case OPTION_PIDFILE:
        opts->pidfile = optarg;
        break;
    default:
        g_assert_not_reached();
    }
}

void riod_options_early(int argc, char **argv, RiodOptions *opts)
{
    int c;

    optind = 1;
    while ((c = riod_option_next(argc, argv)) != -1) {
        if (riod_option_is_early(c)) {
            riod_option_early(c, argv[optind - 1], opts);
        }
    }
    loc_set_none();
    if (opts->daemonize && opts->exit_with_parent) {
        early_error("--daemonize and --exit-with-parent exclude each other: "
                    "leave one out");
    }
}

/* --------------------------------------------------------- second pass */

static void riod_option_blockdev(const char *text)
{
    Visitor *v = qobject_input_visitor_new_str(text, "driver", &error_fatal);
    BlockdevOptions *options;

    visit_type_BlockdevOptions(v, NULL, &options, &error_fatal);
    visit_free(v);
    qmp_blockdev_add(options, &error_fatal);
    qapi_free_BlockdevOptions(options);
}

/* Declared nowhere; qemu-storage-daemon does it so too */
extern QemuOptsList qemu_chardev_opts;

static void riod_option_chardev(const char *text)
{
    QemuOpts *opts = qemu_opts_parse_noisily(&qemu_chardev_opts, text, true);

    if (!opts) {
        exit(EXIT_FAILURE);
    }
    if (!qemu_chr_new_from_opts(opts, NULL, &error_fatal)) {
        /* No error and no chardev: help was asked for, and shown */
        exit(EXIT_SUCCESS);
    }
    qemu_opts_del(opts);
}

static void riod_option_monitor(const char *text)
{
    Visitor *v = qobject_input_visitor_new_str(text, "chardev", &error_fatal);
    MonitorOptions *options;

    visit_type_MonitorOptions(v, NULL, &options, &error_fatal);
    visit_free(v);
    monitor_init(options, false, &error_fatal);
    qapi_free_MonitorOptions(options);
}

/* The forms of QEMU's SocketAddress start with { or name their type */
static bool riod_address_is_structured(const char *text)
{
    return *text == '{' || strstr(text, "type=");
}

static void riod_option_listen(const char *text)
{
    SocketAddress *addr;

    if (riod_address_is_structured(text)) {
        Visitor *v = qobject_input_visitor_new_str(text, "type",
                                                   &error_fatal);

        visit_type_SocketAddress(v, NULL, &addr, &error_fatal);
        visit_free(v);
    } else {
        addr = rio_address_parse(text, &error_fatal);
    }
    riod_listen_add(addr, &error_fatal);
    qapi_free_SocketAddress(addr);
}

static void riod_option_module_help(QDict *args)
{
    const char *driver = qdict_get_try_str(args, "driver");

    if (driver) {
        riod_registry_help_type(riod_registry_find(driver, &error_fatal));
    } else {
        riod_registry_help();
    }
    exit(EXIT_SUCCESS);
}

static void riod_option_module(const char *text)
{
    g_autoptr(QDict) args = NULL;
    bool help = false;

    args = keyval_parse(text, "driver", &help, &error_fatal);
    if (help) {
        riod_option_module_help(args);
    }
    riod_instance_add(args, &error_fatal);
}

static void riod_option_filter(const char *text)
{
    g_autoptr(QDict) args = NULL;
    bool help = false;

    args = keyval_parse(text, "type", &help, &error_fatal);
    if (help) {
        riod_filter_help(qdict_get_try_str(args, "type"));
        exit(EXIT_SUCCESS);
    }
    riod_filter_add(args, &error_fatal);
}

/* DIR[,durable=on|off] */
static void riod_option_journal(const char *text)
{
    g_autoptr(QDict) args = keyval_parse(text, "path", NULL, &error_fatal);
    const char *path = qdict_get_try_str(args, "path");
    const char *flag = qdict_get_try_str(args, "durable");
    bool durable = false;

    if (!path || qdict_size(args) != 1 + (flag != NULL)) {
        error_report("--journal takes a folder, and durable=on|off");
        exit(EXIT_FAILURE);
    }
    if (flag && !riod_params_bool(flag, &durable)) {
        error_report("durable is on or off, not '%s'", flag);
        exit(EXIT_FAILURE);
    }
    riod_journal_use(path, durable, &error_fatal);
}

static void riod_option_peer(const char *text)
{
    g_autoptr(QDict) args = keyval_parse(text, NULL, NULL, &error_fatal);

    riod_peer_add(args, &error_fatal);
}

static void riod_option_server_id(const char *text)
{
    size_t len = strlen(text);

    if (!len || len > RIO_MAX_STRING) {
        error_report("a server id has 1 to %u characters", RIO_MAX_STRING);
        exit(EXIT_FAILURE);
    }
    if (!g_utf8_validate(text, len, NULL)) {
        error_report("a server id is UTF-8 text");
        exit(EXIT_FAILURE);
    }
    for (const char *c = text; *c; c = g_utf8_next_char(c)) {
        if (g_unichar_iscntrl(g_utf8_get_char(c))) {
            error_report("a server id has no control characters");
            exit(EXIT_FAILURE);
        }
    }
    g_free(riod_config.server_name);
    riod_config.server_name = g_strdup(text);
}

static void riod_option_session_lease(const char *text)
{
    unsigned seconds;

    if (qemu_strtoui(text, NULL, 10, &seconds) || seconds > 24 * 60 * 60) {
        error_report("the lease is a number of seconds from 0 to 86400, "
                     "not '%s'", text);
        exit(EXIT_FAILURE);
    }
    riod_config.lease_ms = seconds * INT64_C(1000);
}

static void riod_option_log(const char *text)
{
    int mask = qemu_str_to_log_mask(text);

    if (g_str_equal(text, "help")) {
        qemu_print_log_usage(stdout);
        exit(EXIT_SUCCESS);
    }
    if (!mask) {
        error_report("there is no log item '%s'; -d help lists them", text);
        exit(EXIT_FAILURE);
    }
    qemu_set_log(mask | LOG_TRACE, &error_fatal);
}

/* QEMU's message about a file that is not there does not name the option */
static void riod_option_trace(const char *text)
{
    QemuOpts *opts = qemu_opts_parse_noisily(&qemu_trace_opts, text, true);
    const char *events;

    if (!opts) {
        exit(EXIT_FAILURE);
    }
    events = qemu_opt_get(opts, "events");
    if (events && access(events, R_OK) < 0) {
        error_report("cannot read '%s': %s", events, strerror(errno));
        exit(EXIT_FAILURE);
    }
    qemu_opts_del(opts);
    trace_opt_parse(text);
    trace_init_file();
}

static void riod_option_make(int c)
{
    switch (c) {
    case OPTION_ADVERTISE:
        riod_directory_advertise(optarg, &error_fatal);
        break;
    case OPTION_BLOCKDEV:
        riod_option_blockdev(optarg);
        break;
    case OPTION_CHARDEV:
        riod_option_chardev(optarg);
        break;
    case OPTION_DIRECTORY:
        riod_directory_add(optarg, &error_fatal);
        break;
    case OPTION_FILTER:
        riod_option_filter(optarg);
        break;
    case OPTION_JOURNAL:
        riod_option_journal(optarg);
        break;
    case OPTION_LISTEN:
        riod_option_listen(optarg);
        break;
    case OPTION_MODULE:
        riod_option_module(optarg);
        break;
    case OPTION_MODULE_PATH:
        riod_registry_load_dir(optarg, &error_fatal);
        break;
    case OPTION_MONITOR:
        riod_option_monitor(optarg);
        break;
    case OPTION_OBJECT:
        user_creatable_process_cmdline(optarg);
        break;
    case OPTION_GATEWAY:
        riod_config.gateway = true;
        break;
    case OPTION_PEER:
        riod_option_peer(optarg);
        break;
    case OPTION_SERVER_ID:
        riod_option_server_id(optarg);
        break;
    case OPTION_SESSION_LEASE:
        riod_option_session_lease(optarg);
        break;
    case 'T':
        riod_option_trace(optarg);
        break;
    case 'd':
        riod_option_log(optarg);
        break;
    case 'D':
        qemu_set_log_filename(optarg, &error_fatal);
        break;
    case 1:
        error_report("'%s' is not an option; --help lists them", optarg);
        exit(EXIT_FAILURE);
    default:
        g_assert_not_reached();
    }
}

void riod_options_make(int argc, char **argv)
{
    bool listens = false, hosts = false;
    int c;

    optind = 1;
    while ((c = riod_option_next(argc, argv)) != -1) {
        if (!riod_option_is_early(c)) {
            riod_option_make(c);
        }
        listens |= c == OPTION_LISTEN;
        hosts |= c == OPTION_MODULE;
    }
    loc_set_none();
    if (riod_config.gateway && (hosts || !riod_peers_exist())) {
        error_report("--gateway: a gateway has peers and no modules: put "
                     "%s", hosts ? "the modules into a server of their own"
                                 : "--peer id=NAME,addr=ADDRESS, or "
                                   "--directory");
        exit(EXIT_FAILURE);
    }
    if (!listens) {
        error_report("no --listen: say where clients shall connect, as in "
                     "--listen tcp:0.0.0.0:7000");
        exit(EXIT_FAILURE);
    }
}
