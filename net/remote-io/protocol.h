/*
 * remote-io wire protocol, version 1: numbers, sizes and limits
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * This header is the only place where an opcode, an offset, a status or a
 * limit of the wire is written down as a number.  The text that explains
 * them is docs/interop/remote-io.rst; the section is named at each group.
 * It includes nothing but <stdint.h>, so that another implementation, a
 * fuzzer or a dissector generator can use it alone.
 *
 * All integers on the wire are little-endian.  A stream is a sequence of
 * messages; a message is a header of RIO_HEADER_SIZE bytes and a body.  A
 * frame is what one send of the transport carried: one or more messages.
 */

#ifndef NET_REMOTE_IO_PROTOCOL_H
#define NET_REMOTE_IO_PROTOCOL_H

#include <stdint.h>

/* "Handshake": the first four bytes of the bodies of HELLO and HELLO_REPLY */
#define RIO_MAGIC                   0x314f4952u     /* "RIO1" */
#define RIO_VERSION                 1               /* newest spoken here */
#define RIO_VERSION_MIN             1               /* oldest spoken here */

/*
 * "Limits".  A message over RIO_MAX_MESSAGE, or over the smaller limit that
 * the peer named in its HELLO, ends the connection.
 */
#define RIO_HEADER_SIZE             48
#define RIO_MAX_MESSAGE             (128u * 1024 + 4096)
#define RIO_MIN_MAX_MESSAGE         8192u   /* smallest limit HELLO may name */
#define RIO_MAX_STRING              255u
#define RIO_MAX_HOPS                16u
#define RIO_MAX_REGIONS             8u      /* 6 BARs, expansion ROM, spare */
#define RIO_MAX_RANGES              64u
#define RIO_MAX_PROPERTIES          32u
#define RIO_MAX_LINES               16u
#define RIO_MAX_MSI                 32u
#define RIO_MAX_MSIX                2048u
#define RIO_MAX_BATCH               128u    /* writes in REGION_WRITE_BATCH */
#define RIO_MAX_SEGMENTS            256u    /* scatter list of one DMA */
#define RIO_MAX_DMA                 (128u * 1024)   /* bytes of one DMA */
#define RIO_MAX_DMA_PENDING         1024u   /* DMA messages to be answered */
#define RIO_MAX_DMA_BYTES           (8u * 1024 * 1024)  /* that these read */
#define RIO_MAX_DMA_UNFINISHED      64u     /* DMA_WRITEs begun with MORE */
#define RIO_MAX_RECIPES             256u    /* recipe slots of a session */
#define RIO_MAX_STEPS               8u      /* steps of one recipe */
#define RIO_MAX_STEP_BYTES          (1024u * 1024)  /* with CAP_LONG; */
                                            /* else RIO_MAX_DMA */
#define RIO_MAX_ENTRY               4096u   /* bytes of one ring entry */
#define RIO_MAX_MEMORY              64u     /* entries of MEM_TABLE */
#define RIO_MAX_FILES               16u     /* descriptors with MEM_TABLE */
#define RIO_MAX_ANNOUNCED           16384u  /* modules that one server names */
#define RIO_MAX_PARCEL              (64u * 1024 * 1024) /* a moving module */
#define RIO_TOKEN_SIZE              16u
#define RIO_UUID_SIZE               16u
#define RIO_DEFAULT_LOG             (1024u * 1024)  /* unacknowledged bytes */
#define RIO_MIN_LOG                 16384u  /* smallest log in ATTACH_REPLY */
#define RIO_MAX_LOG                 (64u * 1024 * 1024)     /* largest */
#define RIO_ACK_MESSAGES            64u     /* received without an answer: */
#define RIO_ACK_BYTES               32768u  /* send an ACK by itself; */
                                            /* more if the log is large */
#define RIO_DEFAULT_KEEPALIVE_MS    1000u
#define RIO_MIN_KEEPALIVE_MS        10u
#define RIO_MAX_KEEPALIVE_MS        600000u
#define RIO_KEEPALIVE_MISSES        3u      /* silent intervals until dead */
#define RIO_HANDSHAKE_TIMEOUT_MS    5000u

/* "Header": offsets.  Every message starts with these 48 bytes. */
enum {
    RIO_HDR_LENGTH      = 0,    /* u32: whole message, header included */
    RIO_HDR_OP          = 4,    /* u8:  RIO_OP_* */
    RIO_HDR_FLAGS       = 5,    /* u8:  RIO_FLAG_* */
    RIO_HDR_HOPS        = 6,    /* u8:  servers passed so far */
    RIO_HDR_STATUS      = 7,    /* u8:  RIO_STATUS_*; 0 in requests */
    RIO_HDR_CLIENT      = 8,    /* u32: client id */
    RIO_HDR_VM          = 12,   /* u32: VM id */
    RIO_HDR_SERVER      = 16,   /* u32: server id */
    RIO_HDR_MODULE      = 20,   /* u32: module id */
    RIO_HDR_EPOCH       = 24,   /* u32: epoch of the session */
    RIO_HDR_TAG         = 28,   /* u32: a reply carries its request's tag */
    RIO_HDR_SEQ         = 32,   /* u64: 1, 2, ... per session and direction;
                                   0 in messages that are not sequenced */
    RIO_HDR_ACK         = 40,   /* u64: last seq received from the peer */
};

/* "Header": flags.  A flag that is not listed here must be 0. */
enum {
    RIO_FLAG_POSTED     = 1 << 0,   /* a write that gets no reply */
    RIO_FLAG_MORE       = 1 << 1,   /* DMA: further pieces follow */
    RIO_FLAG_TRACE      = 1 << 2,   /* routing: report each hop */
};
#define RIO_FLAGS_KNOWN (RIO_FLAG_POSTED | RIO_FLAG_MORE | RIO_FLAG_TRACE)

/*
 * "Messages": X(name, opcode, scope, from, smallest body, largest body)
 *
 * scope: LINK       concerns the connection; all header fields after status
 *                   are 0, except that HELLO_REPLY names the client id and
 *                   the server id
 *        CONTROL    concerns one session, not sequenced
 *        SEQUENCED  part of one session's ordered, exactly-once stream
 * from:  CLIENT (the VM's side), SERVER (the module's side) or ANY
 *
 * The body sizes are those of a message whose status is OK.  A reply with
 * another status carries one string (the reason) and nothing else.
 * RIO_VAR is the largest body that any message may have.
 *
 * What each is for; a name in parentheses is the answer that is due:
 *
 * HELLO (HELLO_REPLY)     first on a connection: version, capabilities, names
 * PING (PONG)             a sign of life is asked for, by the client's end
 * BYE                     last on a connection: why it ends
 * ATTACH (ATTACH_REPLY)   make a session with a module; its description
 * RESUME (RESUME_REPLY)   carry a session on, on another connection
 * DETACH (DETACH_REPLY)   end a session
 * ACK                     what was received, where nothing else says so soon
 * SESSION_GONE            the server has ended, or does not know, a session
 * ROUTE_TRACE (ROUTE_TRACE_REPLY)
 *                         which servers a request passes on its way
 * ANNOUNCE                which modules can be reached over the server
 * REGION_READ (REGION_READ_REPLY)
 *                         a load
 * REGION_WRITE (REGION_WRITE_REPLY)
 *                         a store; with RIO_FLAG_POSTED there is no answer
 * REGION_WRITE_BATCH      posted stores, in their order
 * DOORBELL                a posted store, and what a recipe takes along
 * RECIPE                  what a store to a doorbell shall take along
 * IRQ_LEVEL               a line is high, or low: a state
 * IRQ_MESSAGE             a message interrupt: an event
 * RESET (RESET_REPLY)     the machine, or the function, was reset
 * DMA_READ (DMA_READ_REPLY, maybe in pieces)
 *                         guest memory is asked for
 * DMA_WRITE (DMA_WRITE_REPLY, unless it is posted)
 *                         guest memory is written
 * MEM_TABLE (MEM_TABLE_REPLY)
 *                         files that are guest memory, to be mapped
 * QUIESCE (QUIESCE_REPLY) stop, or go on, before and after a migration
 * STATE_SAVE (STATE_SAVE_REPLY), STATE_LOAD (STATE_LOAD_REPLY)
 *                         a piece of the module's state
 * MOVE (MOVE_REPLY)       a client has its module moved to another server
 * MOVED                   the session goes on at another server
 * MOVE_OFFER, MOVE_DATA, MOVE_STEP (MOVE_STEP_REPLY)
 *                         a server gives a module to another
 * MEM_UPDATE              plain memory of a region has changed
 * TIME_SYNC               the sender's time, and how far the other may run
 */
#define RIO_VAR (RIO_MAX_MESSAGE - RIO_HEADER_SIZE)
#define RIO_OPS(X) \
    X(HELLO,              0x01, LINK,      CLIENT,   48,     558) \
    X(HELLO_REPLY,        0x02, LINK,      SERVER,   48,     558) \
    X(PING,               0x03, LINK,      ANY,       8,       8) \
    X(PONG,               0x04, LINK,      ANY,       8,       8) \
    X(BYE,                0x05, LINK,      ANY,       2,     257) \
    X(ATTACH,             0x10, CONTROL,   CLIENT,   32,    1325) \
    X(ATTACH_REPLY,       0x11, CONTROL,   SERVER,   96, RIO_VAR) \
    X(RESUME,             0x12, CONTROL,   CLIENT,   24,      24) \
    X(RESUME_REPLY,       0x13, CONTROL,   SERVER,    8,       8) \
    X(DETACH,             0x14, CONTROL,   CLIENT,    0,       0) \
    X(DETACH_REPLY,       0x15, CONTROL,   SERVER,    0,       0) \
    X(ACK,                0x16, CONTROL,   ANY,       0,       0) \
    X(SESSION_GONE,       0x17, CONTROL,   SERVER,    2,     257) \
    X(ROUTE_TRACE,        0x18, CONTROL,   CLIENT,    8, RIO_VAR) \
    X(ROUTE_TRACE_REPLY,  0x19, CONTROL,   SERVER,    8, RIO_VAR) \
    X(ANNOUNCE,           0x1a, LINK,      SERVER,    8, RIO_VAR) \
    X(REGION_READ,        0x20, SEQUENCED, CLIENT,   16,      16) \
    X(REGION_READ_REPLY,  0x21, SEQUENCED, SERVER,    8,       8) \
    X(REGION_WRITE,       0x22, SEQUENCED, CLIENT,   24,      24) \
    X(REGION_WRITE_REPLY, 0x23, SEQUENCED, SERVER,    0,       0) \
    X(REGION_WRITE_BATCH, 0x24, SEQUENCED, CLIENT,   32,    3080) \
    X(DOORBELL,           0x26, SEQUENCED, CLIENT,   32, RIO_VAR) \
    X(RECIPE,             0x27, SEQUENCED, SERVER,   64,     448) \
    X(IRQ_LEVEL,          0x30, SEQUENCED, SERVER,    8,       8) \
    X(IRQ_MESSAGE,        0x31, SEQUENCED, SERVER,    8,       8) \
    X(RESET,              0x40, SEQUENCED, CLIENT,    8,       8) \
    X(RESET_REPLY,        0x41, SEQUENCED, SERVER,    0,       0) \
    X(DMA_READ,           0x50, SEQUENCED, SERVER,   24, RIO_VAR) \
    X(DMA_READ_REPLY,     0x51, SEQUENCED, CLIENT,    9, RIO_VAR) \
    X(DMA_WRITE,          0x52, SEQUENCED, SERVER,   25, RIO_VAR) \
    X(DMA_WRITE_REPLY,    0x53, SEQUENCED, CLIENT,    0,       0) \
    X(MEM_TABLE,          0x58, CONTROL,   CLIENT,    8, RIO_VAR) \
    X(MEM_TABLE_REPLY,    0x59, CONTROL,   SERVER,    0,       0) \
    X(QUIESCE,            0x60, SEQUENCED, CLIENT,    8,       8) \
    X(QUIESCE_REPLY,      0x61, SEQUENCED, SERVER,    0,       0) \
    X(STATE_SAVE,         0x62, CONTROL,   CLIENT,    8,       8) \
    X(STATE_SAVE_REPLY,   0x63, CONTROL,   SERVER,    8, RIO_VAR) \
    X(STATE_LOAD,         0x64, CONTROL,   CLIENT,    8, RIO_VAR) \
    X(STATE_LOAD_REPLY,   0x65, CONTROL,   SERVER,    0,       0) \
    X(MOVE,               0x68, CONTROL,   CLIENT,   12,     522) \
    X(MOVE_REPLY,         0x69, CONTROL,   SERVER,   24,      24) \
    X(MOVED,              0x6a, CONTROL,   SERVER,    4,     514) \
    X(MOVE_OFFER,         0x6b, CONTROL,   CLIENT,   37,     546) \
    X(MOVE_DATA,          0x6c, CONTROL,   CLIENT,   25, RIO_VAR) \
    X(MOVE_STEP,          0x6d, CONTROL,   CLIENT,   24,      24) \
    X(MOVE_STEP_REPLY,    0x6e, CONTROL,   SERVER,   16,      16) \
    X(MEM_UPDATE,         0x70, SEQUENCED, ANY,      16, RIO_VAR) \
    X(TIME_SYNC,          0x78, SEQUENCED, ANY,      16,      16)

enum {
#define X(name, op, scope, from, min, max) RIO_OP_##name = op,
    RIO_OPS(X)
#undef X
};

/* "Status": what a reply, BYE or SESSION_GONE says about its outcome */
#define RIO_STATUSES(X) \
    X(OK,              0, "ok") \
    X(PROTOCOL,        1, "protocol violation") \
    X(VERSION,         2, "no common protocol version") \
    X(UNKNOWN_SERVER,  3, "unknown server id") \
    X(UNKNOWN_MODULE,  4, "unknown module id") \
    X(MODULE_BUSY,     5, "module is taken") \
    X(UNKNOWN_SESSION, 6, "unknown session") \
    X(STALE_EPOCH,     7, "session was taken over by a later epoch") \
    X(DENIED,          8, "not permitted") \
    X(RANGE,           9, "offset or size is out of range") \
    X(UNSUPPORTED,    10, "not supported") \
    X(LIMIT,          11, "limit exceeded") \
    X(LOOP,           12, "too many hops") \
    X(UNREACHABLE,    13, "next server is unreachable") \
    X(GONE,           14, "module was removed") \
    X(IO,             15, "input/output error") \
    X(DMA,            16, "guest memory is not accessible") \
    X(TIMEOUT,        17, "peer was silent too long") \
    X(SHUTDOWN,       18, "peer is shutting down")

enum {
#define X(name, value, text) RIO_STATUS_##name = value,
    RIO_STATUSES(X)
#undef X
};

/*
 * "Capabilities": bits of HELLO (connection) and ATTACH (session).  Both
 * sides offer, HELLO_REPLY and ATTACH_REPLY name the intersection.  A
 * message that belongs to a bit not agreed on is out of state.
 */
#define RIO_CAP_DMA         (1ull << 0)     /* DMA_* */
#define RIO_CAP_RECIPES     (1ull << 1)     /* DOORBELL, recipe properties */
#define RIO_CAP_SHM         (1ull << 2)     /* MEM_TABLE, Unix sockets only */
#define RIO_CAP_MEMORY      (1ull << 3)     /* MEM_UPDATE, memory regions */
#define RIO_CAP_TIME        (1ull << 4)     /* TIME_SYNC */
#define RIO_CAP_STATE       (1ull << 5)     /* QUIESCE, STATE_* */
#define RIO_CAP_ROUTE       (1ull << 6)     /* ROUTE_TRACE, hops > 0 */
#define RIO_CAP_RESUME      (1ull << 7)     /* RESUME */
#define RIO_CAP_LONG        (1ull << 8)     /* steps beyond MAX_DMA */
#define RIO_CAP_MOVE        (1ull << 9)     /* MOVE, MOVED, MOVE_* */
#define RIO_CAP_ANNOUNCE    (1ull << 10)    /* ANNOUNCE */
#define RIO_CAP_LAZY        (1ull << 11)    /* recipes of kind LAZY */

/* "Handshake": who speaks */
enum {
    RIO_ROLE_CLIENT     = 1,    /* a VMM with a device */
    RIO_ROLE_GATEWAY    = 2,    /* a client platform's gateway */
    RIO_ROLE_SERVER     = 3,    /* a server, also when it forwards */
};

/* "Announcements": distance of an entry that is no longer true */
enum {
    RIO_ANNOUNCE_GONE   = 255,
};

/* "Description": bus of a module */
enum {
    RIO_BUS_PCI         = 1,
    RIO_BUS_ISA         = 2,
    RIO_BUS_SYSBUS      = 3,
};

/* "Description": what is left of a session when the server process is lost */
enum {
    RIO_RESTART_STATELESS = 1,  /* nothing to lose: attach again and go on */
    RIO_RESTART_VOLATILE  = 2,  /* state is lost: the device's policy decides */
    RIO_RESTART_JOURNALED = 3,  /* state is kept: RESUME works */
};

/* "Description": kind of a region */
enum {
    RIO_REGION_MMIO     = 1,    /* trapped memory */
    RIO_REGION_PIO      = 2,    /* trapped ports */
    RIO_REGION_MEMORY   = 3,    /* plain memory in the client (CAP_MEMORY) */
};

/* "Description": flags of a region */
enum {
    RIO_REGION_64BIT    = 1 << 0,   /* 64-bit BAR */
    RIO_REGION_PREFETCH = 1 << 1,   /* prefetchable BAR */
};

/*
 * "Description": attributes of a range.  What no range covers has none:
 * reads wait, writes wait for a reply, every power of two to 8 is a size.
 */
enum {
    RIO_RANGE_POSTED    = 1 << 0,   /* writes are posted */
    RIO_RANGE_PURE      = 1 << 1,   /* reads have no side effect */
    RIO_RANGE_CACHEABLE = 1 << 2,   /* pure, and only the server's pushed
                                       updates change it (CAP_MEMORY) */
    RIO_RANGE_DOORBELL  = 1 << 3,   /* a write tells of work in memory */
};

/* "Interrupts": kind in IRQ_MESSAGE */
enum {
    RIO_IRQ_MSI         = 1,
    RIO_IRQ_MSIX        = 2,
};

/* "Quiesce": kind in QUIESCE */
enum {
    RIO_QUIESCE_STOP    = 1,    /* no DMA and no interrupt after the reply */
    RIO_QUIESCE_GO      = 2,
};

/* "Moving a module": how far a move is */
enum {
    RIO_MOVE_NONE       = 0,    /* not known, or given up */
    RIO_MOVE_OFFERED    = 1,    /* the target has a module that waits */
    RIO_MOVE_LOADED     = 2,    /* it has all, and does not act */
    RIO_MOVE_COMMITTED  = 3,    /* it acts */
};

/* "Moving a module": kind in MOVE */
enum {
    RIO_MOVE_START      = 1,
    RIO_MOVE_CANCEL     = 2,
    RIO_MOVE_PROGRESS   = 3,    /* ASK in the specification */
};

/* "Moving a module": kind in MOVE_STEP */
enum {
    RIO_MOVE_COMMIT     = 1,
    RIO_MOVE_ABORT      = 2,
    RIO_MOVE_ASK        = 3,
};

/* "Memory updates": kind in MEM_UPDATE */
enum {
    RIO_MEM_DATA        = 1,    /* these bytes */
    RIO_MEM_FILL        = 2,    /* one byte, repeated */
};

/* "Shared memory": flags of an entry of MEM_TABLE */
enum {
    RIO_MEMORY_READONLY = 1 << 0,   /* the module must not write there */
};

/* "Doorbells": kind of a recipe, and of one of its steps */
enum {
    RIO_RECIPE_NONE     = 0,    /* the slot is free */
    RIO_RECIPE_RING     = 1,    /* new entries of a ring */
    RIO_RECIPE_LAZY     = 2,    /* nothing comes along; it may wait */
};
enum {
    RIO_STEP_BUFFER     = 1,    /* what one pointer of the entry points to */
    RIO_STEP_PRP        = 2,    /* an NVMe PRP pair: lists and data */
    RIO_STEP_PRP_LIST   = 3,    /* an NVMe PRP pair: only the lists */
    RIO_STEP_SGL        = 4,    /* an NVMe SGL: its segments and data */
    RIO_STEP_SGL_LIST   = 5,    /* an NVMe SGL: only the segments */
};

/* "Reset": kind in RESET */
enum {
    RIO_RESET_SYSTEM    = 1,    /* the VM was reset or powered on */
    RIO_RESET_FUNCTION  = 2,    /* only this function (FLR, bus reset) */
};

/* "Description": properties, a list of (type, length, bytes) */
enum {
    RIO_PROP_DRIVER     = 1,    /* string: what kind of module this is */
    RIO_PROP_ACPI_HID   = 2,    /* string: e.g. PNP0501 */
    RIO_PROP_RECIPE     = 3,    /* doorbell recipe (CAP_RECIPES) */
    RIO_PROP_SERIAL     = 4,    /* string: serial number of the device */
};

#endif /* NET_REMOTE_IO_PROTOCOL_H */
