/*
 * remote-io: what an access costs on the wire
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Round trips and frames are counted by the device and asserted here; they do
 * not depend on how fast this machine is today.
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "libqos/pci-pc.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "remote-io-helpers.h"

#define COUNTER_COUNT_READ 0x80
#define COUNTER_POST 0x88
#define COUNTER_WAIT 0x90
#define COUNTER_WRITES 0x10

#define N 1000

typedef struct Cost {
    uint64_t accesses, round_trips, messages, frames;
} Cost;

static void setup(RioMachine *t, const char *listen)
{
    t->server = rio_server_new(listen, "--module counter,id=m0");
    rio_machine_start(t, "-machine q35", NULL, "");
}

static Cost cost(RioMachine *t)
{
    return (Cost) {
        .accesses = rio_stat(t->qts, "d0", "accesses"),
        .round_trips = rio_stat(t->qts, "d0", "round-trips"),
        .messages = rio_stat(t->qts, "d0", "tx-messages"),
        .frames = rio_stat(t->qts, "d0", "tx-frames"),
    };
}

static Cost cost_since(RioMachine *t, const Cost *before)
{
    Cost now = cost(t);

    return (Cost) {
        .accesses = now.accesses - before->accesses,
        .round_trips = now.round_trips - before->round_trips,
        .messages = now.messages - before->messages,
        .frames = now.frames - before->frames,
    };
}

static void test_load_is_one_round_trip(const void *listen)
{
    RioMachine t = { };
    Cost c;

    setup(&t, listen);
    c = cost(&t);
    for (unsigned n = 1; n <= N; n++) {
        g_assert_cmpuint(qpci_io_readl(t.dev, t.bar, COUNTER_COUNT_READ), ==,
                         n);
    }
    c = cost_since(&t, &c);
    g_assert_cmpuint(c.accesses, ==, N);
    g_assert_cmpuint(c.round_trips, ==, N);
    rio_machine_stop(&t);
}

static void test_posted_store_is_no_round_trip(const void *listen)
{
    RioMachine t = { };
    Cost c;

    setup(&t, listen);
    c = cost(&t);
    for (unsigned n = 1; n <= N; n++) {
        qpci_io_writel(t.dev, t.bar, COUNTER_POST, n);
    }
    c = cost_since(&t, &c);
    g_assert_cmpuint(c.accesses, ==, N);
    g_assert_cmpuint(c.round_trips, ==, 0);
    g_assert_cmpuint(rio_stat(t.qts, "d0", "posted-writes"), ==, N);
    g_assert_cmpuint(qpci_io_readl(t.dev, t.bar, COUNTER_WRITES), ==, N);
    rio_machine_stop(&t);
}

static void test_waiting_store_is_one_round_trip(void)
{
    RioMachine t = { };
    Cost c;

    setup(&t, "unix");
    c = cost(&t);
    for (unsigned n = 1; n <= N; n++) {
        qpci_io_writel(t.dev, t.bar, COUNTER_WAIT, n);
    }
    c = cost_since(&t, &c);
    g_assert_cmpuint(c.round_trips, ==, N);
    rio_machine_stop(&t);
}

/* Config space is answered in QEMU: nothing is sent, not even later */
static void test_config_access_makes_no_traffic(void)
{
    RioMachine t = { };
    Cost c;

    setup(&t, "unix");
    qpci_io_readl(t.dev, t.bar, COUNTER_COUNT_READ);
    c = cost(&t);
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned reg = 0; reg < 256; reg += 4) {
            qpci_config_readl(t.dev, reg);
        }
    }
    qpci_config_writeb(t.dev, PCI_INTERRUPT_LINE, 11);
    c = cost_since(&t, &c);
    g_assert_cmpuint(c.accesses, ==, 0);
    g_assert_cmpuint(c.round_trips, ==, 0);
    rio_machine_stop(&t);
}

static void test_histogram_counts_each_round_trip(void)
{
    RioMachine t = { };
    const QListEntry *e;
    QDict *info, *latency;
    uint64_t sum = 0, below = 0;

    setup(&t, "unix");
    for (unsigned n = 0; n < N; n++) {
        qpci_io_readl(t.dev, t.bar, COUNTER_COUNT_READ);
    }
    info = rio_info(t.qts, "d0");
    latency = qdict_get_qdict(info, "latency");
    g_assert_cmpuint(qdict_get_int(latency, "count"), ==,
                     rio_stat(t.qts, "d0", "round-trips"));
    QLIST_FOREACH_ENTRY(qdict_get_qlist(latency, "buckets"), e) {
        QDict *bucket = qobject_to(QDict, qlist_entry_obj(e));

        g_assert_cmpuint(qdict_get_int(bucket, "below-ns"), >, below);
        below = qdict_get_int(bucket, "below-ns");
        sum += qdict_get_int(bucket, "count");
    }
    g_assert_cmpuint(sum, ==, qdict_get_int(latency, "count"));
    g_assert_cmpuint(qdict_get_int(latency, "p50-ns"), >, 0);
    g_assert_cmpuint(qdict_get_int(latency, "p99-ns"), >=,
                     qdict_get_int(latency, "p50-ns"));
    g_assert_cmpuint(qdict_get_int(latency, "max-ns"), >=,
                     qdict_get_int(latency, "p99-ns"));
    qobject_unref(info);
    rio_machine_stop(&t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_data_func("/remote-io/counters/load-is-one-round-trip/unix",
                        "unix", test_load_is_one_round_trip);
    qtest_add_data_func("/remote-io/counters/load-is-one-round-trip/tcp",
                        "tcp:127.0.0.1:0", test_load_is_one_round_trip);
    qtest_add_data_func(
        "/remote-io/counters/posted-store-is-no-round-trip/unix", "unix",
        test_posted_store_is_no_round_trip);
    qtest_add_data_func(
        "/remote-io/counters/posted-store-is-no-round-trip/tcp",
        "tcp:127.0.0.1:0", test_posted_store_is_no_round_trip);
    qtest_add_func("/remote-io/counters/waiting-store-is-one-round-trip",
                   test_waiting_store_is_one_round_trip);
    qtest_add_func("/remote-io/counters/config-access-makes-no-traffic",
                   test_config_access_makes_no_traffic);
    qtest_add_func("/remote-io/counters/histogram-counts-each-round-trip",
                   test_histogram_counts_each_round_trip);
    return g_test_run();
}
