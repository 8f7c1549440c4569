/*
 * remote-io announcements: what servers tell each other comes to rest
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Servers are simulated: each has a table per next hop, and tells those who
 * listen to it, in rounds, as directory-announce.c does.
 */

#include "qemu/osdep.h"
#include "server/announced.h"

/* --- one table --- */

static void tell_bytes(RioBytes entries, uint32_t count, void *opaque)
{
    GByteArray *all = opaque;

    g_byte_array_append(all, entries.data, entries.len);
}

/* What turns @told into @table, in one piece */
static GByteArray *difference(GHashTable *table, GHashTable *told, size_t max)
{
    GByteArray *all = g_byte_array_new();

    riod_announced_tell(table, told, max, tell_bytes, all);
    return all;
}

static bool hear(GHashTable *heard, GByteArray *said, const char *self,
                 RioError *err)
{
    bool changed = false;

    return riod_announced_take(heard, (RioBytes) { said->data, said->len },
                               self, &changed, err);
}

static void test_difference_is_told(void)
{
    g_autoptr(GHashTable) one = riod_announced_new();
    g_autoptr(GHashTable) two = riod_announced_new();
    g_autoptr(GHashTable) told = riod_announced_new();
    g_autoptr(GHashTable) heard = riod_announced_new();
    GByteArray *said;

    riod_announced_add(one, "a", "", 0);
    riod_announced_add(one, "a", "disk", 0);
    riod_announced_add(one, "b", "line", 3);
    riod_announced_add(one, "b", "line", 2);
    riod_announced_add(one, "b", "line", 4);
    said = difference(one, told, 4096);
    g_assert_true(hear(heard, said, "me", NULL));
    g_byte_array_unref(said);
    g_assert_cmpint(riod_announced_find(heard, "a", "disk"), ==, 0);
    g_assert_cmpint(riod_announced_find(heard, "b", "line"), ==, 2);

    riod_announced_add(two, "a", "", 0);
    riod_announced_add(two, "b", "line", 5);
    said = difference(two, told, 4096);
    g_assert_true(hear(heard, said, "me", NULL));
    g_assert_cmpint(riod_announced_find(heard, "a", "disk"), ==, -1);
    g_assert_cmpint(riod_announced_find(heard, "b", "line"), ==, 5);
    g_assert_cmpint(riod_announced_find(heard, "a", ""), ==, 0);
    g_assert_cmpuint(g_hash_table_size(heard), ==, 2);
    g_byte_array_unref(said);

    said = difference(two, told, 4096);
    g_assert_cmpuint(said->len, ==, 0);
    g_byte_array_unref(said);
}

static void test_entries_of_oneself_are_ignored(void)
{
    g_autoptr(GHashTable) table = riod_announced_new();
    g_autoptr(GHashTable) told = riod_announced_new();
    g_autoptr(GHashTable) heard = riod_announced_new();
    GByteArray *said;

    riod_announced_add(table, "me", "disk", 1);
    riod_announced_add(table, "you", "disk", 1);
    said = difference(table, told, 4096);
    g_assert_true(hear(heard, said, "me", NULL));
    g_assert_cmpuint(g_hash_table_size(heard), ==, 1);
    g_assert_cmpint(riod_announced_find(heard, "you", "disk"), ==, 1);
    g_byte_array_unref(said);
}

static void test_nobody_is_told_of_itself_or_too_far(void)
{
    g_autoptr(GHashTable) heard = riod_announced_new();
    g_autoptr(GHashTable) table = riod_announced_new();

    riod_announced_add(heard, "to", "disk", 1);
    riod_announced_add(heard, "too", "disk", 1);
    riod_announced_add(heard, "far", "disk", RIO_MAX_HOPS - 2);
    riod_announced_add(heard, "further", "disk", RIO_MAX_HOPS - 1);
    riod_announced_pass(table, heard, "to");
    g_assert_cmpuint(g_hash_table_size(table), ==, 2);
    g_assert_cmpint(riod_announced_find(table, "too", "disk"), ==, 2);
    g_assert_cmpint(riod_announced_find(table, "far", "disk"), ==,
                    RIO_MAX_HOPS - 1);
}

/* A server that has more tells of the nearest; the other takes no more */
static void test_number_of_entries_is_bounded(void)
{
    g_autoptr(GHashTable) table = riod_announced_new();
    g_autoptr(GHashTable) told = riod_announced_new();
    g_autoptr(GHashTable) heard = riod_announced_new();
    GByteArray *said;
    RioError err;

    for (unsigned i = 0; i < RIO_MAX_ANNOUNCED + 100; i++) {
        g_autofree char *name = g_strdup_printf("m%u", i);

        riod_announced_add(table, "a", name, i < 1000 ? 5 : 3);
    }
    said = difference(table, told, 8136);
    g_assert_true(hear(heard, said, "me", &err));
    g_byte_array_unref(said);
    g_assert_cmpuint(g_hash_table_size(heard), ==, RIO_MAX_ANNOUNCED);
    g_assert_cmpint(riod_announced_find(heard, "a", "m5000"), ==, 3);

    g_hash_table_remove_all(table);
    g_hash_table_remove_all(told);
    riod_announced_add(table, "a", "one more", 0);
    said = difference(table, told, 8136);
    g_assert_false(hear(heard, said, "me", &err));
    g_assert_cmpint(err.status, ==, RIO_STATUS_LIMIT);
    g_byte_array_unref(said);
}

static unsigned longest;

static void note_length(RioBytes entries, uint32_t count, void *opaque)
{
    longest = MAX(longest, entries.len);
    *(unsigned *)opaque += count;
}

static void test_messages_keep_to_their_limit(void)
{
    g_autoptr(GHashTable) table = riod_announced_new();
    g_autoptr(GHashTable) told = riod_announced_new();
    char name[RIO_MAX_STRING + 1];
    unsigned count = 0;

    memset(name, 'x', sizeof(name));
    name[RIO_MAX_STRING] = '\0';
    for (unsigned i = 0; i < 200; i++) {
        name[0] = 'a' + i / 26;
        name[1] = 'a' + i % 26;
        riod_announced_add(table, name, name, 1);
    }
    longest = 0;
    riod_announced_tell(table, told, 1000, note_length, &count);
    g_assert_cmpuint(count, ==, 200);
    g_assert_cmpuint(longest, <=, 1000);
}

/* --- several servers --- */

#define NODES 8

typedef struct Node {
    char name[8];
    bool up;
    bool hosts;                         /* the module */
    GHashTable *heard[NODES];           /* from those that it forwards to */
    GHashTable *told[NODES];            /* to those that forward to it */
} Node;

static Node nodes[NODES];

static void nodes_init(void)
{
    for (int i = 0; i < NODES; i++) {
        nodes[i] = (Node) { .up = true };
        g_snprintf(nodes[i].name, sizeof(nodes[i].name), "srv%d", i);
    }
}

static void nodes_free(void)
{
    for (int i = 0; i < NODES; i++) {
        for (int j = 0; j < NODES; j++) {
            g_clear_pointer(&nodes[i].heard[j], g_hash_table_unref);
            g_clear_pointer(&nodes[i].told[j], g_hash_table_unref);
        }
    }
}

/* @from forwards to @to, so @to tells it */
static void connect_nodes(int from, int to)
{
    nodes[from].heard[to] = riod_announced_new();
    nodes[to].told[from] = riod_announced_new();
}

static GHashTable *view(const Node *n, const char *to)
{
    GHashTable *table = riod_announced_new();

    if (n->hosts) {
        riod_announced_add(table, n->name, "m", 0);
    }
    for (int i = 0; i < NODES; i++) {
        if (n->heard[i] && nodes[i].up && !g_str_equal(nodes[i].name, to)) {
            riod_announced_pass(table, n->heard[i], to);
        }
    }
    return table;
}

/* Returns: how many bytes were said */
static unsigned one_round(void)
{
    unsigned bytes = 0;

    for (int i = 0; i < NODES; i++) {
        for (int j = 0; j < NODES; j++) {
            g_autoptr(GHashTable) table = NULL;
            GByteArray *said;

            if (!nodes[i].told[j] || !nodes[i].up || !nodes[j].up) {
                continue;
            }
            table = view(&nodes[i], nodes[j].name);
            said = difference(table, nodes[i].told[j], 8136);
            g_assert_true(hear(nodes[j].heard[i], said, nodes[j].name,
                               NULL));
            bytes += said->len;
            g_byte_array_unref(said);
        }
    }
    return bytes;
}

/* Returns: rounds until nobody has anything to say */
static unsigned settle(void)
{
    unsigned rounds = 0;

    while (one_round()) {
        g_assert_cmpuint(++rounds, <, 100);
    }
    return rounds;
}

static int distance(int from, const char *server)
{
    g_autoptr(GHashTable) table = view(&nodes[from], "nobody");

    return riod_announced_find(table, server, "m");
}

static void test_chain_counts_its_servers(void)
{
    nodes_init();
    for (int i = 0; i + 1 < NODES; i++) {
        connect_nodes(i, i + 1);
    }
    nodes[NODES - 1].hosts = true;
    settle();
    for (int i = 0; i < NODES; i++) {
        g_assert_cmpint(distance(i, "srv7"), ==, NODES - 1 - i);
    }
    nodes[NODES - 1].hosts = false;
    settle();
    for (int i = 0; i < NODES; i++) {
        g_assert_cmpint(distance(i, "srv7"), ==, -1);
    }
    nodes_free();
}

/* Two that name each other: nothing is left when the third dies */
static void test_two_do_not_believe_each_other(void)
{
    nodes_init();
    connect_nodes(0, 1);
    connect_nodes(1, 0);
    connect_nodes(0, 2);
    connect_nodes(1, 2);
    nodes[2].hosts = true;
    settle();
    g_assert_cmpint(distance(0, "srv2"), ==, 1);
    nodes[2].up = false;
    g_assert_cmpuint(settle(), <=, 2);
    g_assert_cmpint(distance(0, "srv2"), ==, -1);
    g_assert_cmpint(distance(1, "srv2"), ==, -1);
    nodes_free();
}

/* All name all: they count up to the limit, and then it is gone */
static void test_loops_come_to_an_end(void)
{
    nodes_init();
    for (int i = 0; i < NODES; i++) {
        for (int j = 0; j < NODES; j++) {
            if (i != j) {
                connect_nodes(i, j);
            }
        }
    }
    nodes[NODES - 1].hosts = true;
    settle();
    for (int i = 0; i + 1 < NODES; i++) {
        g_assert_cmpint(distance(i, "srv7"), ==, 1);
    }
    nodes[NODES - 1].up = false;
    g_assert_cmpuint(settle(), <=, RIO_MAX_HOPS + 1);
    for (int i = 0; i + 1 < NODES; i++) {
        g_assert_cmpint(distance(i, "srv7"), ==, -1);
    }
    nodes_free();
}

static void test_ring_finds_the_other_way(void)
{
    nodes_init();
    for (int i = 0; i < NODES; i++) {
        connect_nodes(i, (i + 1) % NODES);
        connect_nodes((i + 1) % NODES, i);
    }
    nodes[0].hosts = true;
    settle();
    g_assert_cmpint(distance(1, "srv0"), ==, 1);
    g_assert_cmpint(distance(4, "srv0"), ==, 4);
    nodes[NODES - 1].up = false;
    settle();
    g_assert_cmpint(distance(6, "srv0"), ==, 6);
    nodes_free();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remote-io/announced/difference-is-told",
                    test_difference_is_told);
    g_test_add_func("/remote-io/announced/entries-of-oneself-are-ignored",
                    test_entries_of_oneself_are_ignored);
    g_test_add_func("/remote-io/announced/nobody-is-told-of-itself-or-too-far",
                    test_nobody_is_told_of_itself_or_too_far);
    g_test_add_func("/remote-io/announced/number-of-entries-is-bounded",
                    test_number_of_entries_is_bounded);
    g_test_add_func("/remote-io/announced/messages-keep-to-their-limit",
                    test_messages_keep_to_their_limit);
    g_test_add_func("/remote-io/announced/chain-counts-its-servers",
                    test_chain_counts_its_servers);
    g_test_add_func("/remote-io/announced/two-do-not-believe-each-other",
                    test_two_do_not_believe_each_other);
    g_test_add_func("/remote-io/announced/loops-come-to-an-end",
                    test_loops_come_to_an_end);
    g_test_add_func("/remote-io/announced/ring-finds-the-other-way",
                    test_ring_finds_the_other_way);
    return g_test_run();
}
