/*
 * remote-io-server: memory that outlives the process
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is said of a process that is killed holds for any mixture of the
 * stores that it had made; so files are put together here that hold the start
 * of what a commit wrote, byte by byte.
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include "qapi/error.h"
#include "server/journal-store.h"

#define SET 77u

typedef struct Folder {
    char *path;
    RiodStore *store;
} Folder;

static Folder folder_new(void)
{
    Folder f = { .path = g_dir_make_tmp("rio-journal-XXXXXX", NULL) };

    g_assert_nonnull(f.path);
    f.store = riod_store_open(f.path, false, &error_abort);
    return f;
}

static void folder_free(Folder *f)
{
    g_autofree char *lock = g_build_filename(f->path, "lock", NULL);
    g_auto(GStrv) names = riod_store_list(f->store);

    for (char **name = names; *name; name++) {
        riod_store_remove(f->store, *name);
    }
    riod_store_close(f->store);
    g_unlink(lock);
    g_assert_cmpint(g_rmdir(f->path), ==, 0);
    g_free(f->path);
}

static char *area_path(const Folder *f, const char *name)
{
    g_autofree char *file = g_strconcat(name, ".area", NULL);

    return g_build_filename(f->path, file, NULL);
}

static RiodArea *area_new(const Folder *f, const char *name)
{
    const RiodAreaConfig config = {
        .set = SET, .slot = 1000, .log = 65536,
        .identity = "who", .identity_len = 3,
    };

    return riod_area_new(f->store, name, &config, &error_abort);
}

static void commit(RiodArea *area, uint64_t word, const char *text)
{
    uint32_t len = strlen(text);
    uint8_t *to = riod_area_begin(area, word, len);

    g_assert_nonnull(to);
    memcpy(to, text, len);
    riod_area_end(area, len);
    g_assert_true(riod_area_publish(area, word));
}

/* What is committed in @area, or NULL with *@errp */
static char *record(RiodArea *area, Error **errp)
{
    const uint8_t *data;
    uint64_t word;
    uint32_t len;

    if (!riod_area_word(area, &word, errp) ||
        !riod_area_record(area, word, &data, &len, errp)) {
        return NULL;
    }
    return data ? g_strndup((const char *)data, len) : g_strdup("");
}

static char *load_record(const Folder *f, const char *name, Error **errp)
{
    RiodArea *area = riod_area_load(f->store, name, errp);
    char *text = area ? record(area, errp) : NULL;

    riod_area_free(area);
    return text;
}

static void assert_refused(Error *err, const char *text)
{
    g_assert_nonnull(err);
    if (!strstr(error_get_pretty(err), text)) {
        g_error("\"%s\" does not say \"%s\"", error_get_pretty(err), text);
    }
    error_free(err);
}

/* --- the folder --- */

static void test_folder_is_ours_alone(void)
{
    g_autofree char *path = g_dir_make_tmp("rio-journal-XXXXXX", NULL);
    Error *err = NULL;

    g_assert_cmpint(chmod(path, 0770), ==, 0);
    g_assert_null(riod_store_open(path, false, &err));
    assert_refused(err, "can be written by others (mode 770)");
    g_assert_cmpint(g_rmdir(path), ==, 0);
}

static void test_folder_has_one_user(void)
{
    Folder f = folder_new();
    Error *err = NULL;
    int status;

    if (fork() == 0) {
        _exit(riod_store_open(f.path, false, &err) ? 1 :
              strstr(error_get_pretty(err), "another server uses") ? 0 : 2);
    }
    wait(&status);
    g_assert_cmpint(status, ==, 0);
    folder_free(&f);
}

static void test_folder_is_made(void)
{
    g_autofree char *top = g_dir_make_tmp("rio-journal-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(top, "a", "b", NULL);
    g_autofree char *a = g_build_filename(top, "a", NULL);
    g_autofree char *lock = g_build_filename(path, "lock", NULL);
    RiodStore *store = riod_store_open(path, false, &error_abort);
    struct stat st;

    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpint(st.st_mode & 0777, ==, 0700);
    riod_store_close(store);
    g_unlink(lock);
    g_rmdir(path);
    g_rmdir(a);
    g_assert_cmpint(g_rmdir(top), ==, 0);
}

/* --- commits --- */

static void test_last_commit_is_found(void)
{
    Folder f = folder_new();
    RiodArea *area = area_new(&f, "m");
    const uint8_t *identity;
    uint32_t len;

    for (uint64_t i = 1; i <= 5; i++) {
        g_autofree char *text = g_strdup_printf("state %" PRIu64, i);
        g_autofree char *found = NULL;

        commit(area, i, text);
        found = load_record(&f, "m", &error_abort);
        g_assert_cmpstr(found, ==, text);
    }
    identity = riod_area_identity(area, &len);
    g_assert_cmpmem(identity, len, "who", 3);
    g_assert_cmpuint(riod_area_set(area), ==, SET);
    riod_area_free(area);
    folder_free(&f);
}

static void test_commit_that_was_not_published_is_wiped(void)
{
    Folder f = folder_new();
    RiodArea *area = area_new(&f, "m");
    g_autofree char *found = NULL;
    g_autofree char *again = NULL;

    commit(area, 1, "one");
    memcpy(riod_area_begin(area, 2, 3), "two", 3);
    riod_area_end(area, 3);
    riod_area_free(area);
    found = load_record(&f, "m", &error_abort);
    g_assert_cmpstr(found, ==, "one");

    /* Nor does it come back with the next commit of that number */
    area = riod_area_load(f.store, "m", &error_abort);
    g_assert_true(riod_area_publish(area, 2));
    again = record(area, &error_abort);
    g_assert_cmpstr(again, ==, "one");
    riod_area_free(area);
    folder_free(&f);
}

/* An area that a commit did not touch keeps what it has */
static void test_areas_of_a_set_commit_together(void)
{
    Folder f = folder_new();
    RiodArea *first = area_new(&f, "m"), *second = area_new(&f, "m.0");
    const uint8_t *data;
    uint32_t len;

    memcpy(riod_area_begin(first, 1, 1), "a", 1);
    riod_area_end(first, 1);
    memcpy(riod_area_begin(second, 1, 1), "b", 1);
    riod_area_end(second, 1);
    g_assert_true(riod_area_record(second, 0, &data, &len, &error_abort));
    g_assert_null(data);        /* and is wiped: it never happened */
    memcpy(riod_area_begin(second, 1, 1), "b", 1);
    riod_area_end(second, 1);
    riod_area_publish(first, 1);
    commit(first, 2, "c");
    g_assert_true(riod_area_record(second, 2, &data, &len, &error_abort));
    g_assert_cmpmem(data, len, "b", 1);
    riod_area_free(first);
    riod_area_free(second);
    folder_free(&f);
}

typedef struct Image {
    char *bytes;
    gsize len;
} Image;

static Image image_of(const char *path)
{
    Image image;

    g_assert_true(g_file_get_contents(path, &image.bytes, &image.len, NULL));
    return image;
}

/*
 * A commit is cut at every byte of what it wrote: the start of it is there,
 * the rest is as it was, and the word is the old one.
 */
static void test_torn_commit_at_every_byte(void)
{
    Folder f = folder_new();
    RiodArea *area = area_new(&f, "m");
    g_autofree char *path = area_path(&f, "m");
    Image old, new;
    unsigned differing = 0;

    commit(area, 1, "the first state of the module");
    commit(area, 2, "the second state, which is longer than the first");
    old = image_of(path);
    memcpy(riod_area_begin(area, 3, 40),
           "the third state takes the place of a", 36);
    riod_area_end(area, 36);
    new = image_of(path);
    riod_area_free(area);
    for (gsize cut = 0; cut < old.len; cut++) {
        g_autofree char *found = NULL;

        if (old.bytes[cut] == new.bytes[cut]) {
            continue;
        }
        old.bytes[cut] = new.bytes[cut];
        differing++;
        if (cut < 4096 + 8) {
            continue;           /* the slot's number is one store */
        }
        g_assert_true(g_file_set_contents(path, old.bytes, old.len, NULL));
        found = load_record(&f, "m", &error_abort);
        g_assert_cmpstr(found, ==,
                        "the second state, which is longer than the first");
    }
    g_assert_cmpuint(differing, >, 30);
    g_free(old.bytes);
    g_free(new.bytes);
    folder_free(&f);
}

/* Every bit of the file: either it is refused or nothing changed */
static void test_flipped_bit_is_noticed(void)
{
    Folder f = folder_new();
    RiodArea *area = area_new(&f, "m");
    g_autofree char *path = area_path(&f, "m");
    unsigned refused = 0;
    Image image;
    int fd;

    commit(area, 1, "one");
    commit(area, 2, "two, which counts");
    riod_area_free(area);
    image = image_of(path);
    fd = open(path, O_RDWR);
    g_assert_cmpint(fd, >=, 0);
    for (gsize at = 0; at < 4096 + 2 * 4096; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            char byte = image.bytes[at] ^ 1 << bit;
            g_autofree char *found = NULL;
            Error *err = NULL;

            g_assert_cmpint(pwrite(fd, &byte, 1, at), ==, 1);
            found = load_record(&f, "m", &err);
            if (err) {
                g_assert_null(found);
                error_free(err);
                refused++;
            } else {
                g_assert_cmpstr(found, ==, "two, which counts");
            }
            /* Reading may have wiped a slot that seemed too young */
            g_assert_cmpint(pwrite(fd, image.bytes, 3 * 4096, 0), ==,
                            3 * 4096);
        }
    }
    /* The head, three words, the record that counts and its length and sum */
    g_assert_cmpuint(refused, >=, 8 * (3 * 8 + 17 + 4 + 8 + 40));
    close(fd);
    g_free(image.bytes);
    folder_free(&f);
}

static void test_foreign_files_are_refused(void)
{
    static const char *const junk[] = { "", "x", "RJOURNAL" };
    Folder f = folder_new();
    g_autofree char *path = area_path(&f, "m");

    for (unsigned i = 0; i < G_N_ELEMENTS(junk); i++) {
        Error *err = NULL;

        g_assert_true(g_file_set_contents(path, junk[i], -1, NULL));
        g_assert_null(riod_area_load(f.store, "m", &err));
        assert_refused(err, "is no area of a journal");
    }
    folder_free(&f);
}

static void test_truncated_area_is_refused(void)
{
    Folder f = folder_new();
    RiodArea *area = area_new(&f, "m");
    g_autofree char *path = area_path(&f, "m");
    Error *err = NULL;

    commit(area, 1, "one");
    riod_area_free(area);
    g_assert_cmpint(truncate(path, 8192), ==, 0);
    g_assert_null(riod_area_load(f.store, "m", &err));
    assert_refused(err, "is damaged");
    folder_free(&f);
}

/* --- the log --- */

static void test_messages_are_found_again(void)
{
    Folder f = folder_new();
    RiodArea *area = area_new(&f, "m.0");
    uint64_t at = 0, end = 0;
    const uint8_t *message;
    uint32_t len;

    for (uint32_t i = 1; i < 100; i++) {
        g_autofree uint8_t *bytes = g_malloc(i);

        memset(bytes, i, i);
        end = riod_area_put(area, end, bytes, i);
        g_assert_cmpuint(end, >, 0);
    }
    g_assert_cmpuint(riod_area_skip(area, 0), ==, riod_area_log_cost(1));
    for (uint32_t i = 1; i < 100; i++) {
        g_assert_true(riod_area_get(area, &at, end, &message, &len));
        g_assert_cmpuint(len, ==, i);
        g_assert_cmpuint(message[i - 1], ==, i);
    }
    g_assert_cmpuint(at, ==, end);
    g_assert_false(riod_area_get(area, &at, end, &message, &len));
    riod_area_free(area);
    folder_free(&f);
}

static void test_damaged_message_is_noticed(void)
{
    Folder f = folder_new();
    RiodArea *area = area_new(&f, "m.0");
    g_autofree char *path = area_path(&f, "m.0");
    uint64_t end = riod_area_put(area, 0, (const uint8_t *)"message", 7);
    const uint8_t *message;
    Image image = image_of(path);
    int fd = open(path, O_RDWR);
    uint32_t len;

    for (gsize i = 0; i < 8 + 7; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            gsize place = image.len - 65536 + i;
            char byte = image.bytes[place] ^ 1 << bit;
            uint64_t at = 0;

            g_assert_cmpint(pwrite(fd, &byte, 1, place), ==, 1);
            g_assert_false(riod_area_get(area, &at, end, &message, &len));
            g_assert_cmpint(pwrite(fd, &image.bytes[place], 1, place), ==, 1);
        }
    }
    close(fd);
    g_free(image.bytes);
    riod_area_free(area);
    folder_free(&f);
}

static void test_log_has_an_end(void)
{
    Folder f = folder_new();
    RiodArea *area = area_new(&f, "m.0");
    g_autofree uint8_t *bytes = g_malloc0(65536);

    g_assert_cmpuint(riod_area_put(area, 0, bytes, 65536), ==, 0);
    g_assert_cmpuint(riod_area_put(area, 0, bytes, 65528), ==, 65536);
    g_assert_null(riod_area_begin(area, 1, 5000));
    riod_area_free(area);
    folder_free(&f);
}

/* --- no room --- */

/* In a child: the limit on the size of files stands for a full file system */
static int make_areas_without_room(const Folder *f)
{
    const RiodAreaConfig small = { .slot = 100, .identity = "" };
    struct rlimit limit = { 64 * 1024, 64 * 1024 };
    Error *err = NULL;
    RiodArea *area;

    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    area = riod_area_new(f->store, "small", &small, &err);
    if (!area) {
        return 1;
    }
    riod_area_free(area);
    area = riod_area_new(f->store, "large", &(RiodAreaConfig) {
        .slot = 200000, .identity = "",
    }, &err);
    if (area || !strstr(error_get_pretty(err), "there is no room")) {
        return 2;
    }
    return 0;
}

static void test_no_room_is_said(void)
{
    Folder f = folder_new();
    g_autofree char *path = area_path(&f, "large");
    int status;

    if (fork() == 0) {
        _exit(make_areas_without_room(&f));
    }
    wait(&status);
    g_assert_cmpint(status, ==, 0);
    g_assert_cmpint(access(path, F_OK), ==, -1);
    folder_free(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remote-io/journal-store/folder/ours",
                    test_folder_is_ours_alone);
    g_test_add_func("/remote-io/journal-store/folder/one-user",
                    test_folder_has_one_user);
    g_test_add_func("/remote-io/journal-store/folder/made",
                    test_folder_is_made);
    g_test_add_func("/remote-io/journal-store/commit/last",
                    test_last_commit_is_found);
    g_test_add_func("/remote-io/journal-store/commit/not-published",
                    test_commit_that_was_not_published_is_wiped);
    g_test_add_func("/remote-io/journal-store/commit/set",
                    test_areas_of_a_set_commit_together);
    g_test_add_func("/remote-io/journal-store/commit/torn",
                    test_torn_commit_at_every_byte);
    g_test_add_func("/remote-io/journal-store/damage/bits",
                    test_flipped_bit_is_noticed);
    g_test_add_func("/remote-io/journal-store/damage/foreign",
                    test_foreign_files_are_refused);
    g_test_add_func("/remote-io/journal-store/damage/truncated",
                    test_truncated_area_is_refused);
    g_test_add_func("/remote-io/journal-store/log/messages",
                    test_messages_are_found_again);
    g_test_add_func("/remote-io/journal-store/log/damaged",
                    test_damaged_message_is_noticed);
    g_test_add_func("/remote-io/journal-store/log/end",
                    test_log_has_an_end);
    g_test_add_func("/remote-io/journal-store/no-room",
                    test_no_room_is_said);
    return g_test_run();
}
