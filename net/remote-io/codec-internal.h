/*
 * remote-io codec: what its files share with each other
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Nothing outside the codec includes this, the session's and link's own
 * files included: they see bytes only through codec.h.
 */

#ifndef NET_REMOTE_IO_CODEC_INTERNAL_H
#define NET_REMOTE_IO_CODEC_INTERNAL_H

#include <string.h>

#include "net/remote-io/codec.h"

/* Integers of the wire, little-endian and at any alignment */

static inline uint16_t rio_get16(const uint8_t *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof(v));
    return GUINT16_FROM_LE(v);
}

static inline uint32_t rio_get32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return GUINT32_FROM_LE(v);
}

static inline uint64_t rio_get64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return GUINT64_FROM_LE(v);
}

static inline void rio_put16(uint8_t *p, uint16_t v)
{
    v = GUINT16_TO_LE(v);
    memcpy(p, &v, sizeof(v));
}

static inline void rio_put32(uint8_t *p, uint32_t v)
{
    v = GUINT32_TO_LE(v);
    memcpy(p, &v, sizeof(v));
}

static inline void rio_put64(uint8_t *p, uint64_t v)
{
    v = GUINT64_TO_LE(v);
    memcpy(p, &v, sizeof(v));
}

typedef enum {
    RIO_SCOPE_NONE,             /* not an opcode */
    RIO_SCOPE_LINK,
    RIO_SCOPE_CONTROL,
    RIO_SCOPE_SEQUENCED,
} RioScope;

typedef enum {
    RIO_FROM_CLIENT = 1 << 0,
    RIO_FROM_SERVER = 1 << 1,
    RIO_FROM_ANY    = RIO_FROM_CLIENT | RIO_FROM_SERVER,
} RioFrom;

/* One row of RIO_OPS, and what follows from the opcode besides */
typedef struct RioOpInfo {
    const char *name;
    uint8_t scope;              /* RioScope */
    uint8_t from;               /* RioFrom */
    uint8_t flags;              /* RIO_FLAG_* that may be set */
    bool reply;                 /* may carry a status other than OK */
    uint32_t min;               /* body sizes of a message that is OK */
    uint32_t max;
} RioOpInfo;

/* Row of @op; scope is RIO_SCOPE_NONE when there is none */
const RioOpInfo *rio_op_info(uint8_t op);

/* A body that consists of a reason: refusals, BYE, SESSION_GONE */
static inline bool rio_body_is_reason(uint8_t op, uint8_t status)
{
    return status != RIO_STATUS_OK || op == RIO_OP_BYE ||
           op == RIO_OP_SESSION_GONE;
}

/* Where decoding stands in bytes that somebody else owns */
typedef struct RioReader {
    const uint8_t *p;
    const uint8_t *end;
} RioReader;

/*
 * Take a string (u16 length, bytes).  Returns: false with *@err when it is
 * cut, too long, not UTF-8 or holds a control character.
 */
bool rio_read_string(RioReader *r, RioString out, const char *what,
                     RioError *err) G_GNUC_WARN_UNUSED_RESULT;

/* The same check for @len bytes at @p, without the length before them */
bool rio_check_string(const uint8_t *p, size_t len, RioString out,
                      const char *what, RioError *err)
    G_GNUC_WARN_UNUSED_RESULT;

/* True when the @n bytes at @p are zero */
bool rio_all_zero(const uint8_t *p, size_t n);

/* Where encoding stands; @full is set when something did not fit */
typedef struct RioWriter {
    uint8_t *p;
    const uint8_t *end;
    bool full;
} RioWriter;

void rio_write_bytes(RioWriter *w, RioBytes bytes);
void rio_write_string(RioWriter *w, const RioString s);

/* What it takes on the wire; one that has no end is too long to be encoded */
static inline size_t rio_string_size(const RioString s)
{
    return 2 + strnlen(s, RIO_MAX_STRING + 1);
}

/*
 * Bodies: what an access needs is in the first room, the others have the
 * rest of the sequenced messages (memory) and those that are not (control).
 * A decoder gets a body whose size is within the bounds of its opcode; op,
 * flags, status and payload of @m are set.  An encoder gets the room that
 * the size function asked for.
 */
bool rio_body_decode(RioMessage *m, RioError *err) G_GNUC_WARN_UNUSED_RESULT;
size_t rio_body_size(const RioMessage *m);      /* 0 is a size */
bool rio_body_encode(const RioMessage *m, uint8_t *body, size_t size)
    G_GNUC_WARN_UNUSED_RESULT;

bool rio_memory_decode(RioMessage *m, RioError *err)
    G_GNUC_WARN_UNUSED_RESULT;
size_t rio_memory_size(const RioMessage *m);
bool rio_memory_encode(const RioMessage *m, uint8_t *body, size_t size)
    G_GNUC_WARN_UNUSED_RESULT;

bool rio_control_decode(RioMessage *m, RioError *err)
    G_GNUC_WARN_UNUSED_RESULT;
size_t rio_control_size(const RioMessage *m);
bool rio_control_encode(const RioMessage *m, uint8_t *body, size_t size)
    G_GNUC_WARN_UNUSED_RESULT;
/* Those of a move, for rio_control_*() */
bool rio_move_decode(RioMessage *m, RioError *err) G_GNUC_WARN_UNUSED_RESULT;
size_t rio_move_size(const RioMessage *m);
bool rio_move_encode(const RioMessage *m, uint8_t *body, size_t size)
    G_GNUC_WARN_UNUSED_RESULT;
bool rio_reason_encode(const RioMessage *m, uint8_t *body, size_t size)
    G_GNUC_WARN_UNUSED_RESULT;

#endif /* NET_REMOTE_IO_CODEC_INTERNAL_H */
