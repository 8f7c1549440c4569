/*
 * remote-io codec: a module that moves, as one string of bytes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "net/remote-io/codec.h"

static const uint8_t record[] = { 1, 2, 3, 4, 5 };

static void add_session(GByteArray *to, uint32_t slot)
{
    uint8_t bytes[RIO_PARCEL_SESSION_MAX];
    RioParcelSession s = {
        .slot = slot, .caps = 5, .max_message = 8192,
        .client_uuid = { 6 }, .vm_uuid = { 7 },
        .client = "host a", .vm = "vm", .device = "d0",
        .record = { record, sizeof(record) },
    };

    g_byte_array_append(to, bytes, rio_parcel_session_put(bytes, &s));
    g_byte_array_append(to, record, sizeof(record));
}

static GByteArray *some_parcel(void)
{
    static const uint8_t state[] = { 9, 8, 7 };
    RioParcel parcel = {
        .driver = "counter", .state_version = 4, .sessions = 2,
        .state = { state, sizeof(state) },
    };
    uint8_t head[RIO_PARCEL_HEAD_MAX];
    GByteArray *bytes = g_byte_array_new();

    g_byte_array_append(bytes, head, rio_parcel_put(head, &parcel));
    g_byte_array_append(bytes, state, sizeof(state));
    add_session(bytes, 1);
    add_session(bytes, 5);
    return bytes;
}

static bool get(const GByteArray *bytes, RioParcel *parcel, RioError *err)
{
    return rio_parcel_get((RioBytes) { bytes->data, bytes->len }, parcel,
                          err);
}

static void test_what_was_written_is_read(void)
{
    g_autoptr(GByteArray) bytes = some_parcel();
    RioParcelSession s;
    RioParcel parcel;
    uint32_t at = 0;
    RioError err;

    g_assert_true(get(bytes, &parcel, &err));
    g_assert_cmpstr(parcel.driver, ==, "counter");
    g_assert_cmpuint(parcel.state_version, ==, 4);
    g_assert_cmpuint(parcel.state.len, ==, 3);
    g_assert_cmpuint(parcel.state.data[2], ==, 7);
    g_assert_true(rio_parcel_session(&parcel, &at, &s));
    g_assert_cmpuint(s.slot, ==, 1);
    g_assert_cmpuint(s.caps, ==, 5);
    g_assert_cmpuint(s.max_message, ==, 8192);
    g_assert_cmpuint(s.client_uuid[0], ==, 6);
    g_assert_cmpuint(s.vm_uuid[0], ==, 7);
    g_assert_cmpstr(s.client, ==, "host a");
    g_assert_cmpstr(s.vm, ==, "vm");
    g_assert_cmpstr(s.device, ==, "d0");
    g_assert_cmpmem(s.record.data, s.record.len, record, sizeof(record));
    g_assert_true(rio_parcel_session(&parcel, &at, &s));
    g_assert_cmpuint(s.slot, ==, 5);
    g_assert_false(rio_parcel_session(&parcel, &at, &s));
}

static void test_every_truncation_is_refused(void)
{
    g_autoptr(GByteArray) all = some_parcel();

    for (guint len = 0; len < all->len; len++) {
        g_autofree uint8_t *cut = g_memdup2(all->data, len);
        RioParcel parcel;
        RioError err = { 0 };

        g_assert_false(rio_parcel_get((RioBytes) { cut, len }, &parcel,
                                      &err));
        g_assert_cmpuint(err.status, !=, RIO_STATUS_OK);
    }
}

/* The sessions of what is taken can be read, and are as many as it says */
static void assert_whole(const GByteArray *bytes)
{
    RioParcelSession s;
    RioParcel parcel;
    RioError err = { 0 };
    uint32_t at = 0, n = 0;

    if (get(bytes, &parcel, &err)) {
        while (rio_parcel_session(&parcel, &at, &s)) {
            n++;
        }
        g_assert_cmpuint(n, ==, parcel.sessions);
        g_assert_cmpuint(at, ==, parcel.rest.len);
    } else {
        g_assert_cmpuint(err.status, !=, RIO_STATUS_OK);
    }
}

static void test_every_bit_is_judged(void)
{
    g_autoptr(GByteArray) bytes = some_parcel();

    for (guint bit = 0; bit < bytes->len * 8; bit++) {
        bytes->data[bit / 8] ^= 1 << bit % 8;
        assert_whole(bytes);
        bytes->data[bit / 8] ^= 1 << bit % 8;
    }
}

static void test_random_bytes_are_judged(void)
{
    for (int i = 0; i < 2000; i++) {
        g_autoptr(GByteArray) bytes = some_parcel();
        guint at = g_test_rand_int_range(0, bytes->len);

        for (guint n = g_test_rand_int_range(1, 16); n && at < bytes->len;
             n--) {
            bytes->data[at++] = g_test_rand_int_range(0, 256);
        }
        assert_whole(bytes);
    }
}

static void test_each_refusal_says_why(void)
{
    static const struct {
        unsigned at;
        uint8_t value;
        uint8_t status;
        const char *text;
    } cases[] = {
        { 0, 'X', RIO_STATUS_PROTOCOL, "magic" },
        { 4, 2, RIO_STATUS_VERSION, "version 2, this program reads" },
        { 6, 1, RIO_STATUS_PROTOCOL, "reserved" },
        { 8, 3, RIO_STATUS_PROTOCOL, "0 are left" },
        { 8, 1, RIO_STATUS_PROTOCOL, "after the last session" },
        { 15, 1, RIO_STATUS_PROTOCOL, "bytes of state" },
        { 23, 1, RIO_STATUS_PROTOCOL, "reserved" },
        { 24, 0, RIO_STATUS_PROTOCOL, "driver ''" },
        { 24, 255, RIO_STATUS_PROTOCOL, "driver" },
        /* The first session is at 24 + 9 + 3 */
        { 36, 0, RIO_STATUS_PROTOCOL, "a session of 0 bytes" },
        { 36 + 4, 6, RIO_STATUS_PROTOCOL, "slot 5 behind 7" },
        { 36 + 4, 255, RIO_STATUS_PROTOCOL, "slot 5 behind 256" },
        { 36 + 20, 1, RIO_STATUS_PROTOCOL, "reserved" },
        { 36 + 56, 0, RIO_STATUS_PROTOCOL, "" },
        { 36 + 56 + 1, 1, RIO_STATUS_PROTOCOL, "client of a parcel" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GByteArray) bytes = some_parcel();
        RioParcel parcel;
        RioError err = { 0 };

        bytes->data[cases[i].at] = cases[i].value;
        g_assert_false(get(bytes, &parcel, &err));
        g_assert_cmpuint(err.status, ==, cases[i].status);
        if (!strstr(err.text, cases[i].text)) {
            g_error("case %u: \"%s\" does not say \"%s\"", i, err.text,
                    cases[i].text);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define T(name, func) g_test_add_func("/remote-io/parcel/" name, func)
    T("what-was-written-is-read", test_what_was_written_is_read);
    T("every-truncation-is-refused", test_every_truncation_is_refused);
    T("every-bit-is-judged", test_every_bit_is_judged);
    T("random-bytes-are-judged", test_random_bytes_are_judged);
    T("each-refusal-says-why", test_each_refusal_says_why);
    return g_test_run();
}
