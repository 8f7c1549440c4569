/*
 * remote-io: what the guest sees of a link that breaks, and of a new server
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Between QEMU and the real server stands a proxy that cuts the connection
 * after any byte.  The module "counter" counts what reaches it and whether
 * it was in order, so an access that was lost, done twice or overtaken shows.
 */

#include "qemu/osdep.h"
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "libqos/pci-pc.h"
#include "qobject/qdict.h"
#include "remote-io-helpers.h"

#define COUNTER_READS 0x08
#define COUNTER_WRITES 0x10
#define COUNTER_ORDER_LAST 0x28
#define COUNTER_ORDER_ERRORS 0x30
#define COUNTER_COUNT_READ 0x80
#define COUNTER_ORDER 0x98
#define COUNTER_ORDER_WAIT 0xa0

#define ALL_ONES 0xffffffffu
#define NEVER_MS 600000
#define SOON_MS 2000
#define LATE_MS 10000           /* a server starts sooner than that */

/* Which way bytes go through the proxy; also an index */
enum { TO_SERVER, TO_CLIENT };

typedef struct Proxy {
    GThread *thread;
    char *dir, *path;
    char *server_path;
    int listener;
    int wake[2];                /* a byte: the state below has changed */
    int fd[2];                  /* thread: where bytes of a direction go */
    GMutex lock;
    GCond changed;
    /* lock: */
    int64_t left[2];            /* bytes that still pass; -1: no limit */
    int64_t next_left[2];       /* the same on the next connection */
    bool down;                  /* who connects is turned away */
    bool cut_now;
    bool quit;
    unsigned cuts;
} Proxy;

/* --- the proxy's thread --- */

static int new_socket(const char *path, struct sockaddr_un *sun)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpint(fd, >=, 0);
    *sun = (struct sockaddr_un) { .sun_family = AF_UNIX };
    g_strlcpy(sun->sun_path, path, sizeof(sun->sun_path));
    return fd;
}

static void proxy_hang_up(Proxy *p)
{
    for (int way = 0; way < 2; way++) {
        if (p->fd[way] >= 0) {
            close(p->fd[way]);
            p->fd[way] = -1;
        }
    }
}

static void proxy_cut(Proxy *p)
{
    proxy_hang_up(p);
    g_mutex_lock(&p->lock);
    p->cuts++;
    p->left[TO_SERVER] = p->left[TO_CLIENT] = -1;
    p->cut_now = false;
    g_cond_broadcast(&p->changed);
    g_mutex_unlock(&p->lock);
}

static void proxy_accept(Proxy *p)
{
    int client = accept(p->listener, NULL, NULL);
    struct sockaddr_un sun;
    int server;
    bool down;

    g_assert_cmpint(client, >=, 0);
    g_mutex_lock(&p->lock);
    down = p->down;
    for (int way = 0; way < 2 && !down; way++) {
        p->left[way] = p->next_left[way];
        p->next_left[way] = -1;
    }
    g_mutex_unlock(&p->lock);
    server = new_socket(p->server_path, &sun);
    if (down || connect(server, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
        close(client);
        close(server);
        return;
    }
    proxy_hang_up(p);
    p->fd[TO_SERVER] = server;
    p->fd[TO_CLIENT] = client;
}

/* Bytes that may pass: never 0, since the cut comes with the last one */
static size_t proxy_may_pass(Proxy *p, int way, size_t max)
{
    size_t n;

    g_mutex_lock(&p->lock);
    n = p->left[way] < 0 ? max : MIN(max, p->left[way]);
    g_mutex_unlock(&p->lock);
    return n;
}

/* Returns: true when these were the last bytes before a cut */
static bool proxy_has_passed(Proxy *p, int way, size_t n)
{
    bool cut = false;

    g_mutex_lock(&p->lock);
    if (p->left[way] >= 0) {
        p->left[way] -= MIN(p->left[way], n);
        cut = p->left[way] == 0;
    }
    g_mutex_unlock(&p->lock);
    return cut;
}

static void proxy_forward(Proxy *p, int way)
{
    char buf[4096];
    size_t max = proxy_may_pass(p, way, sizeof(buf));
    ssize_t n = max ? recv(p->fd[!way], buf, max, MSG_DONTWAIT) : 0;
    ssize_t done = 0, sent;

    if (max && n < 0 && errno == EAGAIN) {
        return;
    }
    while (done < n) {
        sent = send(p->fd[way], buf + done, n - done, MSG_NOSIGNAL);
        if (sent < 0) {
            proxy_hang_up(p);
            return;
        }
        done += sent;
    }
    if (!max || proxy_has_passed(p, way, MAX(n, 0))) {
        proxy_cut(p);
    } else if (n <= 0) {
        proxy_hang_up(p);
    }
}

/* Take orders.  Returns: false at the end. */
static bool proxy_obey(Proxy *p)
{
    bool cut, quit;
    char byte;

    g_assert_cmpint(read(p->wake[0], &byte, 1), ==, 1);
    g_mutex_lock(&p->lock);
    cut = p->cut_now;
    quit = p->quit;
    g_mutex_unlock(&p->lock);
    if (cut) {
        proxy_cut(p);
    }
    return !quit;
}

static gpointer proxy_thread(gpointer opaque)
{
    Proxy *p = opaque;

    for (;;) {
        /* What comes from one side is sent to the other */
        struct pollfd fds[] = {
            { .fd = p->fd[TO_CLIENT], .events = POLLIN },
            { .fd = p->fd[TO_SERVER], .events = POLLIN },
            { .fd = p->listener, .events = POLLIN },
            { .fd = p->wake[0], .events = POLLIN },
        };

        poll(fds, ARRAY_SIZE(fds), -1);
        if (fds[3].revents) {
            if (!proxy_obey(p)) {
                break;
            }
            continue;
        }
        for (int way = 0; way < 2; way++) {
            if (fds[way].revents && p->fd[way] >= 0) {
                proxy_forward(p, way);
            }
        }
        if (fds[2].revents) {
            proxy_accept(p);
        }
    }
    proxy_hang_up(p);
    return NULL;
}

/* --- what tests ask of it --- */

static Proxy *proxy_new(RioServer *server)
{
    Proxy *p = g_new0(Proxy, 1);
    struct sockaddr_un sun;

    p->dir = g_dir_make_tmp("remote-io-XXXXXX", NULL);
    p->path = g_strdup_printf("%s/p", p->dir);
    p->server_path = g_strdup(server->address + strlen("unix:"));
    p->listener = new_socket(p->path, &sun);
    g_assert_cmpint(bind(p->listener, (struct sockaddr *)&sun, sizeof(sun)),
                    ==, 0);
    g_assert_cmpint(listen(p->listener, 16), ==, 0);
    g_assert_cmpint(pipe(p->wake), ==, 0);
    for (int way = 0; way < 2; way++) {
        p->fd[way] = -1;
        p->left[way] = p->next_left[way] = -1;
    }
    g_mutex_init(&p->lock);
    g_cond_init(&p->changed);
    p->thread = g_thread_new("proxy", proxy_thread, p);
    return p;
}

static void proxy_order(Proxy *p)
{
    g_assert_cmpint(write(p->wake[1], "", 1), ==, 1);
}

static void proxy_free(Proxy *p)
{
    g_mutex_lock(&p->lock);
    p->quit = true;
    g_mutex_unlock(&p->lock);
    proxy_order(p);
    g_thread_join(p->thread);
    close(p->listener);
    close(p->wake[0]);
    close(p->wake[1]);
    unlink(p->path);
    g_assert_cmpint(rmdir(p->dir), ==, 0);
    g_mutex_clear(&p->lock);
    g_cond_clear(&p->changed);
    g_free(p->server_path);
    g_free(p->path);
    g_free(p->dir);
    g_free(p);
}

/* Cut after @bytes more have gone @way; returns at once */
static void proxy_cut_after(Proxy *p, int way, unsigned bytes)
{
    g_mutex_lock(&p->lock);
    p->left[way] = bytes;
    g_mutex_unlock(&p->lock);
}

/* Cut now, and the next connection after @bytes that go @way */
static void proxy_cut_twice(Proxy *p, int way, unsigned bytes)
{
    g_mutex_lock(&p->lock);
    p->next_left[way] = bytes;
    p->cut_now = true;
    g_mutex_unlock(&p->lock);
    proxy_order(p);
}

/* Cut, and turn away who connects, or let it be again */
static void proxy_set_down(Proxy *p, bool down)
{
    g_mutex_lock(&p->lock);
    p->down = down;
    p->cut_now = down;
    g_mutex_unlock(&p->lock);
    proxy_order(p);
}

static unsigned proxy_cuts(Proxy *p)
{
    unsigned cuts;

    g_mutex_lock(&p->lock);
    cuts = p->cuts;
    g_mutex_unlock(&p->lock);
    return cuts;
}

static void proxy_wait_cuts(Proxy *p, unsigned cuts)
{
    g_mutex_lock(&p->lock);
    while (p->cuts < cuts) {
        g_cond_wait(&p->changed, &p->lock);
    }
    g_mutex_unlock(&p->lock);
}

/* --- the machine --- */

typedef struct Setup {
    RioMachine m;
    Proxy *proxy;               /* between the device and the server */
    unsigned reads, order;      /* how often this was done */
} Setup;

static void setup(Setup *t, const char *module, const char *on_loss,
                  unsigned loss_timeout_ms)
{
    g_autofree char *address = NULL;
    g_autofree char *device =
        g_strdup_printf(",on-loss=%s,loss-timeout=%u,reconnect-ms=5,"
                        "connect-timeout=20000", on_loss, loss_timeout_ms);

    t->m.server = rio_server_new("unix", module);
    t->proxy = proxy_new(t->m.server);
    address = g_strdup_printf("unix:%s", t->proxy->path);
    rio_machine_start(&t->m, "-machine q35", address, device);
}

static void teardown(Setup *t)
{
    rio_machine_stop(&t->m);
    proxy_free(t->proxy);
}

static uint32_t load(Setup *t, unsigned offset)
{
    return qpci_io_readl(t->m.dev, t->m.bar, offset);
}

static void store(Setup *t, unsigned offset, uint32_t value)
{
    qpci_io_writel(t->m.dev, t->m.bar, offset, value);
}

/* Each kind of access, once */
static void work(Setup *t)
{
    store(t, COUNTER_ORDER, ++t->order);
    store(t, COUNTER_ORDER, ++t->order);
    g_assert_cmpuint(load(t, COUNTER_COUNT_READ), ==, ++t->reads);
    store(t, COUNTER_ORDER_WAIT, ++t->order);
}

/* Everything arrived once, and stores in their order */
static void check_exact(Setup *t)
{
    g_assert_cmpuint(load(t, COUNTER_READS), ==, t->reads);
    g_assert_cmpuint(load(t, COUNTER_WRITES), ==, t->order);
    g_assert_cmpuint(load(t, COUNTER_ORDER_LAST), ==, t->order);
    g_assert_cmpuint(load(t, COUNTER_ORDER_ERRORS), ==, 0);
}

static void check_no_event(Setup *t)
{
    /* The monitor's answer comes after the events before it */
    qobject_unref(rio_info(t->m.qts, "d0"));
    g_assert_null(qtest_qmp_event_ref(t->m.qts, "REMOTE_IO_LOST"));
    g_assert_null(qtest_qmp_event_ref(t->m.qts, "REMOTE_IO_RESTORED"));
}

static void expect_lost(Setup *t, const char *on_loss, const char *reason)
{
    QDict *event = qtest_qmp_eventwait_ref(t->m.qts, "REMOTE_IO_LOST");
    QDict *data = qdict_get_qdict(event, "data");

    g_assert_cmpstr(qdict_get_str(data, "id"), ==, "d0");
    g_assert_cmpstr(qdict_get_str(data, "module"), ==, "m0");
    g_assert_cmpstr(qdict_get_str(data, "action"), ==, on_loss);
    if (reason) {
        g_assert_nonnull(strstr(qdict_get_str(data, "reason"), reason));
    }
    g_assert_cmpint(strlen(qdict_get_str(data, "reason")), >, 0);
    qobject_unref(event);
}

static void expect_restored(Setup *t, bool state_kept)
{
    QDict *event = qtest_qmp_eventwait_ref(t->m.qts, "REMOTE_IO_RESTORED");
    QDict *data = qdict_get_qdict(event, "data");

    g_assert_cmpstr(qdict_get_str(data, "id"), ==, "d0");
    g_assert_cmpint(qdict_get_bool(data, "state-kept"), ==, state_kept);
    g_assert_cmpint(qdict_get_int(data, "downtime-ms"), >=, 0);
    qobject_unref(event);
}

/* --- the link breaks --- */

/* A load or store is 64 or 72 bytes, so that each byte is a place to cut */
static void test_cut_after_any_byte(const void *opaque)
{
    int way = GPOINTER_TO_INT(opaque);
    Setup t = { };
    unsigned bytes;

    setup(&t, "--module counter,id=m0", "pause", NEVER_MS);
    for (bytes = 1; bytes <= 160; bytes++) {
        proxy_cut_after(t.proxy, way, bytes);
        while (proxy_cuts(t.proxy) < bytes) {
            work(&t);
        }
        work(&t);
    }
    check_exact(&t);
    g_assert_cmpuint(rio_stat(t.m.qts, "d0", "reconnects"), ==, bytes - 1);
    g_assert_cmpuint(rio_stat(t.m.qts, "d0", "failed"), ==, 0);
    check_no_event(&t);
    teardown(&t);
}

/* HELLO, RESUME, what is said again: the second cut is in one of these */
static void test_cut_while_resuming(const void *opaque)
{
    int way = GPOINTER_TO_INT(opaque);
    Setup t = { };
    unsigned cuts = 0, bytes;

    setup(&t, "--module counter,id=m0", "pause", NEVER_MS);
    for (bytes = 1; bytes <= 400; bytes += 3) {
        proxy_cut_twice(t.proxy, way, bytes);
        cuts += 2;
        while (proxy_cuts(t.proxy) < cuts) {
            work(&t);
        }
        work(&t);
    }
    check_exact(&t);
    g_assert_cmpuint(rio_stat(t.m.qts, "d0", "reconnects"), >=, cuts / 2);
    g_assert_cmpuint(rio_stat(t.m.qts, "d0", "reconnects"), <=, cuts);
    check_no_event(&t);
    teardown(&t);
}

/* Stores that the guest does not wait for, at any time of the outage */
static void test_posted_stores_wait_for_the_link(void)
{
    Setup t = { };

    setup(&t, "--module counter,id=m0", "wait", NEVER_MS);
    for (unsigned round = 1; round <= 20; round++) {
        proxy_set_down(t.proxy, true);
        proxy_wait_cuts(t.proxy, round);
        for (unsigned n = 0; n < 50; n++) {
            store(&t, COUNTER_ORDER, ++t.order);
        }
        proxy_set_down(t.proxy, false);
        check_exact(&t);
    }
    check_no_event(&t);
    teardown(&t);
}

/* An outage longer than the loss timeout is announced, once, and ends */
static void test_outage_is_announced(const void *policy)
{
    Setup t = { };

    setup(&t, "--module counter,id=m0", policy, SOON_MS);
    for (unsigned round = 1; round <= 2; round++) {
        work(&t);
        check_exact(&t);
        proxy_set_down(t.proxy, true);
        expect_lost(&t, policy, NULL);
        check_no_event(&t);
        proxy_set_down(t.proxy, false);
        expect_restored(&t, true);
        work(&t);
        check_exact(&t);
        check_no_event(&t);
    }
    teardown(&t);
}

/* --- another server --- */

static void test_fail_gives_ones_until_the_server_is_back(void)
{
    Setup t = { };
    unsigned n;

    setup(&t, "--module counter,id=m0", "fail", SOON_MS);
    for (n = 0; n < 5; n++) {
        work(&t);
    }
    rio_server_kill(t.m.server, SIGKILL);
    g_assert_cmpuint(load(&t, COUNTER_COUNT_READ), ==, ALL_ONES);
    expect_lost(&t, "fail", NULL);
    for (n = 0; n < 100; n++) {
        g_assert_cmpuint(load(&t, COUNTER_COUNT_READ), ==, ALL_ONES);
        store(&t, COUNTER_ORDER, n);
        store(&t, COUNTER_ORDER_WAIT, n);
    }
    g_assert_cmpuint(rio_stat(t.m.qts, "d0", "failed"), ==, 301);
    check_no_event(&t);
    rio_server_start(t.m.server, "--module counter,id=m0");
    expect_restored(&t, false);
    /* The module is as after power-on: nothing of before was said to it */
    t.reads = t.order = 0;
    check_exact(&t);
    work(&t);
    check_exact(&t);
    teardown(&t);
}

static void test_fail_announces_a_server_that_was_restarted(void)
{
    Setup t = { };

    setup(&t, "--module counter,id=m0", "fail", NEVER_MS);
    work(&t);
    rio_server_kill(t.m.server, SIGKILL);
    rio_server_start(t.m.server, "--module counter,id=m0");
    expect_lost(&t, "fail", "state is lost");
    expect_restored(&t, false);
    t.reads = t.order = 0;
    work(&t);
    check_exact(&t);
    teardown(&t);
}

static void test_stateless_module_goes_on_on_a_new_server(const void *policy)
{
    Setup t = { };

    setup(&t, "--module null,id=m0,value=0x2a", policy, NEVER_MS);
    for (unsigned round = 1; round <= 3; round++) {
        g_assert_cmpuint(load(&t, 0), ==, 0x2a);
        rio_server_kill(t.m.server, SIGKILL);
        store(&t, 0, round);            /* posted: waits for the new one */
        rio_server_start(t.m.server, "--module null,id=m0,value=0x2a");
        g_assert_cmpuint(load(&t, 0), ==, 0x2a);
        store(&t, 0xff0, round);
        g_assert_cmpuint(rio_stat(t.m.qts, "d0", "reconnects"), ==, round);
    }
    g_assert_cmpuint(rio_stat(t.m.qts, "d0", "failed"), ==, 0);
    check_no_event(&t);
    teardown(&t);
}

/* What is there now is not what the guest's driver found */
static void test_another_module_of_this_name_is_not_taken(void)
{
    Setup t = { };

    setup(&t, "--module null,id=m0,value=0x2a", "fail", LATE_MS);
    g_assert_cmpuint(load(&t, 0), ==, 0x2a);
    rio_server_kill(t.m.server, SIGKILL);
    rio_server_start(t.m.server, "--module counter,id=m0");
    expect_lost(&t, "fail", "another device");
    g_assert_cmpuint(load(&t, 0), ==, ALL_ONES);
    rio_server_kill(t.m.server, SIGTERM);
    rio_server_start(t.m.server, "--module null,id=m0,value=0x2a");
    expect_restored(&t, true);
    g_assert_cmpuint(load(&t, 0), ==, 0x2a);
    teardown(&t);
}

int main(int argc, char **argv)
{
    static const char *const policies[] = { "pause", "fail", "wait" };

    g_test_init(&argc, &argv, NULL);
    qtest_add_data_func("/remote-io/session/cut-after-any-byte/to-server",
                        GINT_TO_POINTER(TO_SERVER), test_cut_after_any_byte);
    qtest_add_data_func("/remote-io/session/cut-after-any-byte/to-client",
                        GINT_TO_POINTER(TO_CLIENT), test_cut_after_any_byte);
    qtest_add_data_func("/remote-io/session/cut-while-resuming/to-server",
                        GINT_TO_POINTER(TO_SERVER), test_cut_while_resuming);
    qtest_add_data_func("/remote-io/session/cut-while-resuming/to-client",
                        GINT_TO_POINTER(TO_CLIENT), test_cut_while_resuming);
    qtest_add_func("/remote-io/session/posted-stores-wait-for-the-link",
                   test_posted_stores_wait_for_the_link);
    for (int i = 0; i < ARRAY_SIZE(policies); i++) {
        g_autofree char *outage =
            g_strdup_printf("/remote-io/session/outage-is-announced/%s",
                            policies[i]);
        g_autofree char *stateless =
            g_strdup_printf("/remote-io/session/stateless-module-goes-on/%s",
                            policies[i]);

        qtest_add_data_func(outage, policies[i], test_outage_is_announced);
        qtest_add_data_func(stateless, policies[i],
                            test_stateless_module_goes_on_on_a_new_server);
    }
    qtest_add_func("/remote-io/session/fail-gives-ones-until-server-is-back",
                   test_fail_gives_ones_until_the_server_is_back);
    qtest_add_func("/remote-io/session/fail-announces-a-restarted-server",
                   test_fail_announces_a_server_that_was_restarted);
    qtest_add_func("/remote-io/session/another-module-is-not-taken",
                   test_another_module_of_this_name_is_not_taken);
    return g_test_run();
}
