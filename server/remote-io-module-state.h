/*
 * remote-io module API: state that can be saved, checked and loaded
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Part of remote-io-module.h, which is the one to include.  With a
 * RioModuleState in its table a module can move to another server, be saved
 * with its VM, and survive its server.  The server does the writing and the
 * reading; the module says what there is, and judges what comes.
 *
 * The image.  What is saved is a struct of plain values, the image: no
 * pointers, no times of a clock (save what is left of them), no handles.  It
 * is either a part of the instance's state that the server reads as it is
 * (image_offset), or one that the callback save fills.
 *
 * What to put in: everything that the guest could tell apart, and work that
 * is under way (commands that were fetched and not completed, characters
 * that were not sent).  What open set from parameters is not saved; if the
 * guest can tell, the image has a copy that check compares.
 *
 * What the server saves beside it: level lines and messages that the client
 * was not told yet, characters on their way from and to chardevs.  What a
 * load has to set again: timers, recipes, lines, modem outputs.
 */

#ifndef REMOTE_IO_MODULE_STATE_H
#define REMOTE_IO_MODULE_STATE_H

#ifndef REMOTE_IO_MODULE_H
#error "include remote-io-module.h, which brings this part along"
#endif

typedef enum {
    RIO_FIELD_UINT = 1,         /* integers of 1, 2, 4 or 8 bytes */
    RIO_FIELD_BOOL,             /* bool; only 0 and 1 are taken back */
    RIO_FIELD_BYTES,            /* uint8_t or char, as they are */
    RIO_FIELD_STRUCT,           /* described by a table of its own */
} RioFieldType;

/**
 * RioField: one member of the image, or of a struct in it
 * @name: how it is called in saved states, for as long as it exists
 * @type: a RioFieldType
 * @per_client: an array with one element for each client; saved are those
 *         of clients that are attached.  Only in the outermost table
 * @offset: where it is in its struct, in bytes
 * @size: bytes of it, or of one element of an array
 * @count: elements, 1 when it is no array.  At most 65536
 * @used: 1 + the offset of a uint32_t in the same struct that says how many
 *         elements are in use, from the first on, and is at most @count;
 *         0 = all of them.  It needs no field of its own
 * @fields: RIO_FIELD_STRUCT: table of the element, ends with a NULL name
 * @since: version of the state that brought it, 0 = the first.  An older
 *         state does not have it, and it is 0 in the image
 *
 * Use the macros below and add what is special:
 *
 *   { RIO_STATE(MyImage, UINT, scratch) },
 *   { RIO_STATE_ARRAY(MyImage, UINT, color), .since = 2 },
 *
 * Tables may be nested 4 deep.  A name is at most 31 characters.
 */
typedef struct RioField RioField;
struct RioField {
    const char *name;
    uint8_t type;
    bool per_client;
    uint32_t offset;
    uint32_t size;
    uint32_t count;
    uint32_t used;
    const RioField *fields;
    uint16_t since;
};

#define RIO_FIELD_SIZEOF(t, m)  ((uint32_t)sizeof(((t *)0)->m))
#define RIO_FIELD_OFFSET(t, m)  ((uint32_t)offsetof(t, m))
#define RIO_FIELD_ELEMENTS(t, m)                                            \
    (RIO_FIELD_SIZEOF(t, m) / RIO_FIELD_SIZEOF(t, m[0]))

/* Member @m of struct @t, a UINT or BOOL */
#define RIO_STATE(t, kind, m)                                               \
    .name = #m, .type = RIO_FIELD_##kind,                                   \
    .offset = RIO_FIELD_OFFSET(t, m), .size = RIO_FIELD_SIZEOF(t, m),       \
    .count = 1

/* The same, an array of UINT, BOOL or BYTES */
#define RIO_STATE_ARRAY(t, kind, m)                                         \
    .name = #m, .type = RIO_FIELD_##kind,                                   \
    .offset = RIO_FIELD_OFFSET(t, m), .size = RIO_FIELD_SIZEOF(t, m[0]),    \
    .count = RIO_FIELD_ELEMENTS(t, m)

/* The same, of which as many elements are used as member @n says */
#define RIO_STATE_USED(t, kind, m, n)                                       \
    .name = #m, .type = RIO_FIELD_##kind,                                   \
    .offset = RIO_FIELD_OFFSET(t, m), .size = RIO_FIELD_SIZEOF(t, m[0]),    \
    .count = RIO_FIELD_ELEMENTS(t, m), .used = 1 + RIO_FIELD_OFFSET(t, n)

/* An array of structs that @table describes, all of them */
#define RIO_STATE_STRUCTS(t, m, table)                                      \
    RIO_STATE_ARRAY(t, STRUCT, m), .fields = (table)

/* The same, as many as member @n says */
#define RIO_STATE_STRUCTS_USED(t, m, table, n)                              \
    RIO_STATE_USED(t, STRUCT, m, n), .fields = (table)

/* An array of structs, one for each client */
#define RIO_STATE_CLIENTS(t, m, table)                                      \
    RIO_STATE_STRUCTS(t, m, table), .per_client = true

/**
 * RioModuleState: how a module is saved and loaded
 * @version: of the state, from 1 on.  Raise it with each change of @fields
 * @oldest: the earliest version that check understands; 0 = only @version
 * @image_size: bytes of the image; 0 and no @fields = the module keeps
 *         nothing
 * @image_offset: without save: where in the instance's state the image is
 * @fields: what of the image is saved, ends with a NULL name
 *
 * Each change of a module that its guest can see needs a new version, so
 * that an older server refuses the state instead of taking it for its own.
 */
typedef struct RioModuleState {
    uint32_t version;
    uint32_t oldest;
    size_t image_size;
    size_t image_offset;
    const RioField *fields;

    /**
     * Optional.  Fill in @image, which is zeroed or holds what was filled in
     * last time.  It may be called between any two callbacks, also of a
     * busy module and very often, and must change nothing; tasks may be
     * suspended in any host call that waits.
     */
    void (*save)(RioDevice *dev, void *s, void *image);

    /**
     * Optional.  May @image, which came from @version, be loaded?  It is
     * input that anybody may have written: every value that is used as an
     * index, a size or a count is judged here.  @s must not change.
     * Returns: 0, or -1 after rio_fail(); the module stays as it was.
     */
    int (*check)(RioDevice *dev, void *s, const void *image,
                 uint32_t version);

    /**
     * Mandatory with save.  Become what @image says.  It was checked, and
     * loading cannot fail.  The instance may be fresh or in use: from here
     * on host calls of tasks that exist already fail with -ECANCELED.  All
     * clients are attached.  Interrupts, tasks, DMA and characters that this
     * gives rise to wait until the instance goes on.
     *
     * Of a module of several clients that others go on using, @image has the
     * state of one client from elsewhere, and of the others as it is; tasks
     * are left alone.
     *
     * Without save the server has copied the image to its place before; then
     * this callback is optional, for timers and the like.
     */
    void (*load)(RioDevice *dev, void *s, const void *image);
} RioModuleState;

#endif /* REMOTE_IO_MODULE_STATE_H */
