/*
 * remote-io-server internals: the image of a module as bytes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Knows the tables of remote-io-module-state.h and nothing of the server, so
 * that the tests of modules, and the fuzzer, use the very same code.
 *
 * Bytes come in two parts, both little-endian and without padding:
 *
 *   head  what there is: name of the module, version of its state, and each
 *         field with name, type and size.  It is the same for the whole life
 *         of an instance.
 *   body  the values, in the order of the head.  An array of which not all is
 *         used begins with the number (u32) of those that are; one by client
 *         with their number, and each element with the client's (u32).
 *
 * A reader takes the head apart first and then the body by it, so both may
 * come from another version, or from an enemy.
 */

#ifndef SERVER_STATE_IMAGE_H
#define SERVER_STATE_IMAGE_H

#include <glib.h>
#include "net/remote-io/codec.h"
#include "remote-io-module.h"

/* Fields of a module, those of nested tables included */
#define RIOD_IMAGE_MAX_FIELDS 1024u
#define RIOD_IMAGE_MAX_DEPTH 4u
#define RIOD_IMAGE_MAX_NAME 31u

/* Body and head together are never larger */
#define RIOD_IMAGE_MAX (16u * 1024 * 1024)

/* Which clients it is about */
typedef struct RiodImageClients {
    void *const *attached;      /* [max], NULL = not there */
    unsigned max;
    int only;                   /* of the arrays by client only this, or -1 */
} RiodImageClients;

typedef struct RiodImagePlan RiodImagePlan;

/**
 * riod_image_plan: how to write the image of a module
 * @name: of the module; lives as long as the plan, as @state does
 * @state: its table
 * @clients: how many there may be at most
 * @identity: a number that tells differently configured instances apart
 *
 * Returns: NULL with *@err when @state breaks the rules of its header.
 */
RiodImagePlan *riod_image_plan(const char *name, const RioModuleState *state,
                               unsigned clients, uint32_t identity,
                               RioError *err);
void riod_image_plan_free(RiodImagePlan *plan);         /* NULL-safe */

/* The head, owned by @plan */
RioBytes riod_image_head(const RiodImagePlan *plan);

/* No body is larger than this */
size_t riod_image_max_body(const RiodImagePlan *plan);

/**
 * riod_image_write: write the body of @image
 * @buf: of @size bytes
 * @len: set to the bytes written
 *
 * Allocates nothing and costs little more than copying.
 * Returns: false when @size is too small or a count in @image is beyond its
 * array, which is a bug of the module.
 */
bool riod_image_write(const RiodImagePlan *plan, const void *image,
                      const RiodImageClients *clients, uint8_t *buf,
                      size_t size, size_t *len) G_GNUC_WARN_UNUSED_RESULT;

/**
 * riod_image_read: the opposite
 * @image: zeroed, or what fields that are not in @body are to have
 * @version: set to the version that wrote it
 *
 * With @clients->only, @body must have that one client, whatever its number
 * was, and it becomes @clients->only.  Else the clients of @body must be
 * those that are attached.
 *
 * Returns: false with *@err, which says what is wrong; @image is undefined
 * then.  The values themselves are not judged, except that a bool is one.
 */
bool riod_image_read(const RiodImagePlan *plan, RioBytes head, RioBytes body,
                     const RiodImageClients *clients, void *image,
                     uint32_t *version, RioError *err)
    G_GNUC_WARN_UNUSED_RESULT;

#endif /* SERVER_STATE_IMAGE_H */
