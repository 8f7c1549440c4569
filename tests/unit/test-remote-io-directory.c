/*
 * remote-io directory: files and keys that are as they should be, and others
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "net/remote-io/directory.h"
#include "net/remote-io/etcd.h"

#define ADDR "\"addresses\": [\"tcp:192.0.2.1:7000\"]"

static void test_file_is_read(void)
{
    GPtrArray *all = rio_directory_file_parse(
        "{\"servers\": [\n"
        "  {\"id\": \"srv1\", \"addresses\": [\"tcp:a:1\", \"unix:/b\"],\n"
        "   \"modules\": [\"disk\", \"line\"]},\n"
        "  {\"id\": \"srv2\", " ADDR "},\n"
        "  {\"id\": \"srv3\", " ADDR ", \"modules\": []}]}\n", "f",
        &error_abort);
    RioDirectoryEntry *e = all->pdata[0];

    g_assert_cmpuint(all->len, ==, 3);
    g_assert_cmpstr(e->server, ==, "srv1");
    g_assert_cmpstr(e->addresses[0], ==, "tcp:a:1");
    g_assert_cmpstr(e->addresses[1], ==, "unix:/b");
    g_assert_null(e->addresses[2]);
    g_assert_cmpstr(e->modules[1], ==, "line");
    g_assert_null(((RioDirectoryEntry *)all->pdata[1])->modules);
    g_assert_null(((RioDirectoryEntry *)all->pdata[2])->modules[0]);
    g_ptr_array_unref(all);

    all = rio_directory_file_parse("{\"servers\": []}", "f", &error_abort);
    g_assert_cmpuint(all->len, ==, 0);
    g_ptr_array_unref(all);
}

static const struct {
    const char *json;
    const char *text;           /* in the message */
} bad_files[] = {
    { "", "f, line 1" },
    { "\n\n{\"servers\": [\n  \xff ]}", "f, line 4" },
    { "{\"servers\": [}", "f, line 1" },
    { "{\"servers\": [", "f, line 1" },
    { "{\"servers\": []} {}", "more than one" },
    { "[]", "f: it holds no object" },
    { "7", "f: it holds no object" },
    { "{}", "f: servers" },
    { "{\"servers\": {}}", "f: servers" },
    { "{\"servers\": [], \"modules\": []}", "f: modules: there is no" },
    { "{\"servers\": [7]}", "servers[0].id" },
    { "{\"servers\": [{" ADDR "}]}", "servers[0].id" },
    { "{\"servers\": [{\"id\": \"\", " ADDR "}]}", "servers[0].id" },
    { "{\"servers\": [{\"id\": \"a\\nb\", " ADDR "}]}", "servers[0].id" },
    { "{\"servers\": [{\"id\": 7, " ADDR "}]}", "servers[0].id" },
    { "{\"servers\": [{\"id\": \"a\"}]}", "servers[0].addresses" },
    { "{\"servers\": [{\"id\": \"a\", \"addresses\": []}]}",
      "servers[0].addresses" },
    { "{\"servers\": [{\"id\": \"a\", \"addresses\": [7]}]}",
      "servers[0].addresses[0]" },
    { "{\"servers\": [{\"id\": \"a\", \"addresses\": [\"tcp:1\"]}]}",
      "servers[0].addresses[0]" },
    { "{\"servers\": [{\"id\": \"a\", " ADDR ", \"module\": []}]}",
      "servers[0].module: there is no" },
    { "{\"servers\": [{\"id\": \"a\", " ADDR ", \"modules\": {}}]}",
      "servers[0].modules is not" },
    { "{\"servers\": [{\"id\": \"a\", " ADDR ", \"modules\": [\"x\", 1]}]}",
      "servers[0].modules[1]" },
    { "{\"servers\": [{\"id\": \"a\", " ADDR "}, {\"id\": \"a\", " ADDR "}]}",
      "servers[1].id: there is a server 'a'" },
};

static void test_bad_file_is_refused_by_place(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(bad_files); i++) {
        Error *err = NULL;
        GPtrArray *all = rio_directory_file_parse(bad_files[i].json, "f",
                                                  &err);

        g_assert_null(all);
        if (!strstr(error_get_pretty(err), bad_files[i].text)) {
            g_error("%s: \"%s\" does not say \"%s\"", bad_files[i].json,
                    error_get_pretty(err), bad_files[i].text);
        }
        error_free(err);
    }
}

/* Whatever is in it: entries or an error, and no more */
static void test_any_bytes_are_judged(void)
{
    static const char good[] =
        "{\"servers\": [{\"id\": \"srv1\", " ADDR ", \"modules\": [\"m\"]}]}";
    g_autoptr(GRand) r = g_rand_new_with_seed(4711);

    for (int i = 0; i < 20000; i++) {
        g_autofree char *json = g_strdup(good);
        size_t len = sizeof(good) - 1;
        Error *err = NULL;
        GPtrArray *all;

        for (int n = g_rand_int_range(r, 1, 4); n; n--) {
            json[g_rand_int_range(r, 0, len)] = g_rand_int_range(r, 1, 256);
        }
        json[g_rand_int_range(r, len / 2, len + 1)] = '\0';
        all = rio_directory_file_parse(json, "f", &err);
        g_assert_true(!all == !!err);
        if (all) {
            g_ptr_array_unref(all);
        }
        error_free(err);
    }
}

static RioDirectoryEntry *key(const char *name, const char *value,
                              char **module, Error **errp)
{
    static RioDirectory d = { .prefix = (char *)"/remote-io/" };
    g_autofree char *key64 = rio_etcd_put_text(name);
    g_autofree char *value64 = rio_etcd_put_text(value);
    g_autoptr(QDict) kv = qdict_from_jsonf_nofail("{'key': %s, 'value': %s}",
                                                  key64, value64);

    *module = NULL;
    return rio_etcd_take_key(&d, kv, module, errp);
}

static void test_key_is_read(void)
{
    char *module;
    RioDirectoryEntry *e = key("/remote-io/servers/a/b", "{" ADDR "}",
                               &module, &error_abort);

    g_assert_cmpstr(e->server, ==, "a/b");
    g_assert_null(module);
    g_assert_cmpstr(e->addresses[0], ==, "tcp:192.0.2.1:7000");
    rio_directory_entry_free(e);

    e = key("/remote-io/modules/disk/a/b", "{" ADDR ", \"owner\": \"x\"}",
            &module, &error_abort);
    g_assert_cmpstr(e->server, ==, "a/b");
    g_assert_cmpstr(module, ==, "disk");
    g_assert_cmpstr(e->owner, ==, "x");
    g_free(module);
    rio_directory_entry_free(e);
}

static void test_bad_key_is_refused(void)
{
    static const struct {
        const char *key, *value;
    } bad[] = {
        { "/remote-io/servers/", "{" ADDR "}" },
        { "/remote-io/servers/a\nb", "{" ADDR "}" },
        { "/remote-io/modules/disk", "{" ADDR "}" },
        { "/remote-io/modules/disk/", "{" ADDR "}" },
        { "/remote-io/modules//a", "{" ADDR "}" },
        { "/remote-io/other/a", "{" ADDR "}" },
        { "/else/servers/a", "{" ADDR "}" },
        { "/remote-io/servers/a", "{}" },
        { "/remote-io/servers/a", "[]" },
        { "/remote-io/servers/a", "{" },
        { "/remote-io/servers/a", "{\"addresses\": [\"nonsense\"]}" },
        { "/remote-io/servers/a", "{\"addresses\": \"tcp:a:1\"}" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        Error *err = NULL;
        char *module;

        g_assert_null(key(bad[i].key, bad[i].value, &module, &err));
        g_assert_nonnull(err);
        error_free(err);
    }
}

static void test_text_is_read(void)
{
    RioDirectory *d = rio_directory_parse("file:/etc/x", &error_abort);

    g_assert_cmpstr(d->path, ==, "/etc/x");
    rio_directory_free(d);
#ifdef CONFIG_CURL
    d = rio_directory_parse("etcd:http://a:1+http://b:2/,ttl=3,prefix=/p",
                            &error_abort);
    g_assert_null(d->path);
    g_assert_cmpstr(d->urls[0], ==, "http://a:1");
    g_assert_cmpstr(d->urls[1], ==, "http://b:2");
    g_assert_cmpstr(d->prefix, ==, "/p/");
    g_assert_cmpuint(d->ttl, ==, 3);
    rio_directory_free(d);
#endif
}

static void test_bad_text_is_refused(void)
{
    static const char *const bad[] = {
        "", "x", "file:", "etcd:", "etcd:host:2379", "file:/a,ttl=3",
        "etcd:http://a,ttl=0", "etcd:http://a,ttl=x", "etcd:http://a,tll=3",
        "etcd:http://a,prefix=x", "etcd:http://a+ftp://b", ",ttl=3",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        Error *err = NULL;

        g_assert_null(rio_directory_parse(bad[i], &err));
        g_assert_nonnull(err);
        error_free(err);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remote-io/directory/file-is-read", test_file_is_read);
    g_test_add_func("/remote-io/directory/bad-file-is-refused-by-place",
                    test_bad_file_is_refused_by_place);
    g_test_add_func("/remote-io/directory/any-bytes-are-judged",
                    test_any_bytes_are_judged);
    g_test_add_func("/remote-io/directory/key-is-read", test_key_is_read);
    g_test_add_func("/remote-io/directory/bad-key-is-refused",
                    test_bad_key_is_refused);
    g_test_add_func("/remote-io/directory/text-is-read", test_text_is_read);
    g_test_add_func("/remote-io/directory/bad-text-is-refused",
                    test_bad_text_is_refused);
    return g_test_run();
}
