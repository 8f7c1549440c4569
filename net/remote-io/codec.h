/*
 * remote-io codec: bytes of the wire to RioMessage and back
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The only room that swaps bytes or compares lengths.  It does no input or
 * output, allocates nothing, keeps no state and takes no lock: every
 * function may be called from any thread.  Decoding is total: any bytes give
 * a valid message, "more bytes are needed" or an error that names the
 * message and the values; after it nobody checks a length again.
 *
 * Layouts: docs/interop/remote-io.rst, section "Messages".
 */

#ifndef NET_REMOTE_IO_CODEC_H
#define NET_REMOTE_IO_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <glib.h>

#include "net/remote-io/protocol.h"

/**
 * RioError: why something was refused
 * @status: RIO_STATUS_*, what may be told to the peer
 * @text: one line for the log of this side, naming message and values
 *
 * Filled by the function that finds the cause; nobody adds to it later.
 */
typedef struct RioError {
    uint8_t status;
    char text[240];
} RioError;

/**
 * rio_error_set:
 * @err: filled, or NULL
 *
 * Set @err; always returns false, so that a check can end with it.
 */
bool rio_error_set(RioError *err, uint8_t status, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);

/* Bytes inside a buffer that somebody else owns */
typedef struct RioBytes {
    const uint8_t *data;
    uint32_t len;
} RioBytes;

/* A string of the wire: UTF-8 without control characters, NUL-terminated */
typedef char RioString[RIO_MAX_STRING + 1];

/* The four ids of a header; 0 = not yet agreed */
typedef struct RioIds {
    uint32_t client;
    uint32_t vm;
    uint32_t server;
    uint32_t module;
} RioIds;

/* One store: @size is 1, 2, 4 or 8; the upper bits of @value are zero */
typedef struct RioWrite {
    uint8_t region;
    uint8_t size;
    uint64_t offset;
    uint64_t value;
} RioWrite;

/* A piece of guest memory, in the bus addresses of the device */
typedef struct RioSegment {
    uint64_t address;
    uint32_t length;
    uint32_t step;              /* DOORBELL: step it came from; else 0 */
} RioSegment;

/* Guest memory in a file that the module may map: an entry of MEM_TABLE */
typedef struct RioMemory {
    uint64_t address;           /* bus address of the device */
    uint64_t size;              /* bytes, not 0 */
    uint64_t offset;            /* in the file */
    uint32_t file;              /* which of the descriptors */
    uint32_t flags;             /* RIO_MEMORY_* */
} RioMemory;

/**
 * RioMessage: one decoded message
 *
 * Which member of the union holds the body follows from @op; bodies that are
 * empty have none.  When @status is not RIO_STATUS_OK the body is @reason,
 * whatever @op is (also for BYE and SESSION_GONE, with any status).
 * @payload points into the buffer that was decoded and lives as long as it.
 */
typedef struct RioMessage {
    uint8_t op;
    uint8_t flags;
    uint8_t hops;
    uint8_t status;
    RioIds ids;
    uint32_t epoch;
    uint32_t tag;
    uint64_t seq;
    uint64_t ack;
    uint32_t length;            /* whole message; set by rio_decode() */
    bool files;                 /* descriptors came with it; set by the link */
    RioBytes payload;           /* what follows the fixed part of the body */
    RioBytes tail;              /* DMA_WRITE, to encode: the rest of that, if */
                                /* it lies elsewhere.  Decoded: empty */
    union {
        RioString reason;       /* BYE, SESSION_GONE, refused replies */
        struct {                /* HELLO, HELLO_REPLY */
            uint16_t version_min;
            uint16_t version_max;   /* reply: min = max = the choice */
            uint64_t caps;
            uint32_t max_message;
            uint32_t keepalive_ms;
            uint8_t role;           /* RIO_ROLE_* */
            uint8_t uuid[RIO_UUID_SIZE];
            RioString name;         /* client id or server id */
            RioString software;     /* for logs only */
        } hello;
        struct {                /* PING, PONG */
            uint64_t cookie;        /* PONG returns that of its PING */
        } ping;
        struct {                /* ATTACH */
            uint64_t caps;
            uint8_t vm_uuid[RIO_UUID_SIZE];
            RioString server;       /* empty: the server connected to */
            RioString module;
            RioString vm;
            RioString device;       /* the VMM's name for the device */
            RioString client;       /* hops > 0: the client platform ... */
            uint8_t client_uuid[RIO_UUID_SIZE];     /* ... and its UUID */
        } attach;
        struct {                /* ATTACH_REPLY; payload: description */
            uint8_t token[RIO_TOKEN_SIZE];
            uint64_t caps;
            uint32_t log_limit;     /* bytes that may be unacknowledged */
            uint32_t max_outstanding;   /* requests awaiting a reply */
        } attached;
        struct {                /* RESUME (token, received), its reply */
            uint8_t token[RIO_TOKEN_SIZE];
            uint64_t received;      /* last seq received from the peer */
        } resume;
        struct {                /* REGION_READ */
            uint8_t region;
            uint8_t size;
            uint64_t offset;
        } read;
        struct {                /* REGION_READ_REPLY */
            uint64_t value;
        } value;
        RioWrite write;         /* REGION_WRITE */
        struct {                /* REGION_WRITE_BATCH, see rio_batch_get() */
            uint32_t count;
        } batch;
        struct {                /* IRQ_LEVEL */
            uint16_t line;
            uint8_t level;          /* 0 or 1 */
        } irq_level;
        struct {                /* IRQ_MESSAGE */
            uint8_t kind;           /* RIO_IRQ_* */
            uint16_t vector;
        } irq_message;
        struct {                /* RESET */
            uint8_t kind;           /* RIO_RESET_* */
        } reset;
        struct {                /* ROUTE_TRACE; payload: records */
            uint16_t count;
            RioString server;
            RioString module;
        } trace;
        struct {                /* ROUTE_TRACE_REPLY; payload: records */
            uint16_t count;
        } traced;
        struct {                /* ANNOUNCE; payload: entries, see
                                   rio_announce_get() */
            uint32_t count;
        } announce;
        struct {                /* DOORBELL; payload: segments, bytes */
            RioWrite write;
            uint32_t count;         /* segments, see rio_segment_get() */
            uint32_t total;         /* bytes behind them */
        } doorbell;
        struct {                /* RECIPE; payload: the whole recipe */
            uint16_t slot;
            uint8_t kind;           /* RIO_RECIPE_* */
        } recipe;
        struct {                /* DMA_READ, DMA_WRITE; payload: segments,
                                   and the bytes of DMA_WRITE */
            uint32_t count;
            uint32_t total;         /* sum of the segments' lengths */
        } dma;
        struct {                /* DMA_READ_REPLY; payload: bytes */
            uint32_t offset;        /* of this piece in the transfer */
        } dma_data;
        struct {                /* MOVE */
            uint8_t kind;           /* RIO_MOVE_START, ... */
            RioString server;       /* START: not empty; else empty */
            RioString module;       /* empty: the same name; else empty */
        } move;
        struct {                /* MOVE_REPLY */
            uint8_t phase;          /* RIO_MOVE_NONE, ... */
            uint64_t done;
            uint64_t total;         /* 0: not known yet */
        } moving;
        struct {                /* MOVED */
            RioString server;       /* or empty */
            RioString address;      /* or empty */
        } moved;
        struct {                /* MOVE_OFFER */
            uint8_t id[RIO_UUID_SIZE];
            uint64_t caps;
            uint32_t state_version;
            uint32_t sessions;
            RioString module;       /* not empty */
            RioString driver;
        } offer;
        struct {                /* MOVE_DATA; payload: data */
            uint8_t id[RIO_UUID_SIZE];
            uint64_t offset;
        } parcel;
        struct {                /* MOVE_STEP */
            uint8_t id[RIO_UUID_SIZE];
            uint8_t kind;           /* RIO_MOVE_COMMIT, ... */
        } step;
        struct {                /* MOVE_STEP_REPLY */
            uint8_t phase;          /* RIO_MOVE_NONE, ... */
            uint64_t received;
        } stepped;
        struct {                /* MEM_TABLE; payload: entries */
            uint32_t count;
        } mem_table;
        struct {                /* QUIESCE */
            uint8_t kind;           /* RIO_QUIESCE_* */
        } quiesce;
        struct {                /* STATE_SAVE, its reply and STATE_LOAD;
                                   payload: bytes of the state */
            uint64_t offset;
        } state;
        struct {                /* MEM_UPDATE; payload: bytes (DATA) */
            uint8_t region;
            uint8_t kind;           /* RIO_MEM_* */
            uint8_t fill;           /* FILL: the byte */
            uint32_t length;        /* bytes changed; DATA: payload.len */
            uint64_t offset;
        } mem_update;
        struct {                /* TIME_SYNC */
            uint64_t now_ns;        /* the sender's time */
            uint64_t horizon_ns;    /* the receiver may run until then */
        } time;
    };
} RioMessage;

/*
 * For a RioMessage on the stack of a hot path: QEMU is compiled so that the
 * compiler clears local variables, which costs more than to send a message.
 */
#ifdef __has_attribute
#if __has_attribute(uninitialized)
#define RIO_UNINITIALIZED __attribute__((uninitialized))
#endif
#endif
#ifndef RIO_UNINITIALIZED
#define RIO_UNINITIALIZED
#endif

/*
 * Set what rio_session_send() and rio_link_send() do not fill in; the body
 * of @op is the caller's, and so are the ids of what is not sequenced.
 */
static inline void rio_message_init(RioMessage *m, uint8_t op, uint8_t flags,
                                    uint32_t tag)
{
    m->op = op;
    m->flags = flags;
    m->hops = 0;
    m->status = RIO_STATUS_OK;
    m->ids = (RioIds) { 0 };
    m->epoch = 0;
    m->tag = tag;
    m->seq = 0;
    m->ack = 0;
    m->payload = (RioBytes) { NULL, 0 };
    m->tail = (RioBytes) { NULL, 0 };
}

/* A window of registers, see "Description" in the specification */
typedef struct RioRegion {
    uint8_t index;              /* PCI: BAR number; ISA: 0, 1, ... */
    uint8_t kind;               /* RIO_REGION_MMIO, ... */
    uint8_t flags;              /* RIO_REGION_64BIT | ... */
    uint64_t size;              /* bytes; a power of two on PCI */
    uint64_t base;              /* ISA: default port; else 0 */
} RioRegion;

/* Attributes of part of a region; ranges of one region do not overlap */
typedef struct RioRange {
    uint8_t region;             /* index of the region */
    uint8_t sizes;              /* access sizes allowed: 1|2|4|8 */
    uint16_t attrs;             /* RIO_RANGE_* */
    uint64_t offset;
    uint64_t length;
} RioRange;

/**
 * RioDescription: what a module looks like to a guest
 *
 * Valid only as rio_description_decode() left it: counts within limits,
 * regions unique and sized for their bus, ranges inside their region.
 */
typedef struct RioDescription {
    uint8_t bus;                /* RIO_BUS_* */
    uint8_t restart;            /* RIO_RESTART_* */
    uint16_t vendor_id;         /* PCI identity; 0 on other buses */
    uint16_t device_id;
    uint16_t subsystem_vendor_id;
    uint16_t subsystem_id;
    uint32_t class_code;        /* 24 bits: class, subclass, interface */
    uint8_t revision;
    uint8_t interrupt_pin;      /* PCI: 0 none, 1 INTA */
    uint8_t lines;              /* level lines (PCI: 0 or 1) */
    uint8_t msi_vectors;        /* 0 or a power of two to 32 */
    uint16_t msix_vectors;      /* 0 to 2048 */
    uint8_t msix_table_bar;     /* may share a BAR with registers */
    uint8_t msix_pba_bar;
    uint32_t msix_table_offset;
    uint32_t msix_pba_offset;
    uint8_t isa_irq;            /* ISA: default IRQ of line 0 */
    uint8_t num_regions;
    uint8_t num_ranges;
    RioRegion regions[RIO_MAX_REGIONS];
    RioRange ranges[RIO_MAX_RANGES];
    RioString driver;           /* RIO_PROP_DRIVER */
    RioString acpi_hid;         /* RIO_PROP_ACPI_HID, empty if none */
    RioString serial;           /* RIO_PROP_SERIAL, empty if none */
} RioDescription;

/* Bytes that @m needs encoded; never more than RIO_MAX_MESSAGE */
size_t rio_encoded_size(const RioMessage *m);

/**
 * rio_encode:
 * @m: a message this side built; @m->length is ignored
 * @buf: where it goes
 * @size: room in @buf
 *
 * Returns: bytes written, or 0 when @buf is too small or a string or payload
 * of @m is too long for its message.
 */
size_t rio_encode(const RioMessage *m, uint8_t *buf, size_t size);

typedef enum {
    RIO_DECODE_OK,              /* *m is valid, m->length bytes were used */
    RIO_DECODE_MORE,            /* a prefix of a possibly valid message */
    RIO_DECODE_BAD,             /* *err says why; the stream is lost */
} RioDecodeResult;

/**
 * rio_decode:
 * @buf: the stream, at the start of a message
 * @len: bytes available
 * @max_message: limit agreed on in the handshake
 * @m: filled on RIO_DECODE_OK, undefined otherwise
 * @err: filled on RIO_DECODE_BAD
 *
 * Checks everything that can be judged without state: length, opcode, flags,
 * reserved bytes, every field and string of the body.  A message that is too
 * long is refused from its first four bytes.
 */
RioDecodeResult rio_decode(const uint8_t *buf, size_t len,
                           uint32_t max_message, RioMessage *m, RioError *err)
    G_GNUC_WARN_UNUSED_RESULT;

/**
 * rio_decode_header: the first half of rio_decode()
 *
 * Judges the header alone.  On RIO_DECODE_OK the message is there as a whole,
 * the fields of the header are set and @m->payload is the body as it came.
 * rio_decode_body() does the rest, in place.
 */
RioDecodeResult rio_decode_header(const uint8_t *buf, size_t len,
                                  uint32_t max_message, RioMessage *m,
                                  RioError *err)
    G_GNUC_WARN_UNUSED_RESULT;
bool rio_decode_body(RioMessage *m, RioError *err)
    G_GNUC_WARN_UNUSED_RESULT;

/* Write number @i (< m->batch.count) of a decoded REGION_WRITE_BATCH */
RioWrite rio_batch_get(const RioMessage *m, uint32_t i);

/**
 * rio_batch_append:
 * @encoded: an encoded REGION_WRITE_BATCH, with room behind it
 * @w: the write to add
 *
 * Returns: bytes the message grew by, or 0 when it holds RIO_MAX_BATCH.
 */
size_t rio_batch_append(uint8_t *encoded, const RioWrite *w);

/* Segment @i (< count) of a decoded DMA_READ, DMA_WRITE or DOORBELL */
RioSegment rio_segment_get(const RioMessage *m, uint32_t i);

/* The bytes behind the segments of a decoded DMA_WRITE or DOORBELL */
RioBytes rio_segment_bytes(const RioMessage *m);

/* Write @seg where a payload to be encoded has its segment @i */
#define RIO_SEGMENT_SIZE 16u
void rio_segment_put(uint8_t *payload, uint32_t i, const RioSegment *seg);

/* Entry @i (< count) of a decoded MEM_TABLE: ascending, not overlapping */
RioMemory rio_memory_get(const RioMessage *m, uint32_t i);

/* Descriptors that a decoded MEM_TABLE needs: they come along with it */
unsigned rio_memory_files(const RioMessage *m);

/* Write @mem where a payload to be encoded has its entry @i */
#define RIO_MEMORY_SIZE 32u
void rio_memory_put(uint8_t *payload, uint32_t i, const RioMemory *mem);

/*
 * Make a REGION_WRITE_BATCH of one write out of an encoded, posted
 * REGION_WRITE, in its place; returns the bytes it grew by.
 */
size_t rio_batch_from_write(uint8_t *encoded);

/* An encoded REGION_WRITE_BATCH of one write; RIO_BATCH_FIRST bytes long */
#define RIO_BATCH_ENTRY 24u
#define RIO_BATCH_FIRST (RIO_HEADER_SIZE + 8u + RIO_BATCH_ENTRY)

/* Length field of an encoded message of ours (trusted, at least a header) */
uint32_t rio_encoded_length(const uint8_t *encoded);

/* Opcode and sequence number of an encoded message of ours */
uint8_t rio_encoded_op(const uint8_t *encoded);
uint64_t rio_encoded_seq(const uint8_t *encoded);

/* Change epoch and ack of an encoded message before it is sent (again) */
void rio_restamp(uint8_t *encoded, uint32_t epoch, uint64_t ack);

/* Change ids and hops of an encoded message that is forwarded */
void rio_relabel(uint8_t *encoded, const RioIds *ids, uint8_t hops);

/* Records of ROUTE_TRACE: what one server says of itself */
typedef struct RioTraceRecord {
    uint32_t server;
    uint8_t hops;
    uint64_t nanoseconds;
    RioString name;
} RioTraceRecord;

#define RIO_TRACE_RECORD_MAX (18u + RIO_MAX_STRING)

/* Returns: bytes written at @p, which has room for RIO_TRACE_RECORD_MAX */
size_t rio_trace_put(uint8_t *p, const RioTraceRecord *record);

/*
 * Take a record out of decoded ones, from @offset on, which moves behind it.
 * Returns: false when there is none.
 */
bool rio_trace_get(RioBytes records, size_t *offset, RioTraceRecord *record);

/* Entries of ANNOUNCE: a module that can be reached */
typedef struct RioAnnounceEntry {
    uint8_t distance;           /* servers behind the sender, or ..._GONE */
    RioString server;           /* that hosts it */
    RioString module;           /* empty: the server itself */
} RioAnnounceEntry;

#define RIO_ANNOUNCE_ENTRY_MAX (6u + 2 * RIO_MAX_STRING)

/* Returns: bytes written at @p, which has room for RIO_ANNOUNCE_ENTRY_MAX */
size_t rio_announce_put(uint8_t *p, const RioAnnounceEntry *entry);

/*
 * Take an entry out of a decoded ANNOUNCE, from @offset on, which moves behind
 * it.  Returns: false when there is none.
 */
bool rio_announce_get(RioBytes entries, size_t *offset,
                      RioAnnounceEntry *entry);

/* Largest encoding of a description */
#define RIO_MAX_DESCRIPTION 8192u

/* Returns: bytes written to @buf, 0 when it does not fit */
size_t rio_description_encode(const RioDescription *d, uint8_t *buf,
                              size_t size);

/* Returns: false with *@err set when @bytes are not a valid description */
bool rio_description_decode(RioBytes bytes, RioDescription *d, RioError *err)
    G_GNUC_WARN_UNUSED_RESULT;

/*
 * The @i-th RIO_PROP_RECIPE of @bytes, which rio_description_decode() took.
 * Returns: false when there are not so many.
 */
bool rio_description_recipe(RioBytes bytes, unsigned i, RioBytes *recipe);

/* Check a recipe: body of RECIPE, or value of RIO_PROP_RECIPE */
bool rio_recipe_check(const uint8_t *p, size_t len, RioError *err)
    G_GNUC_WARN_UNUSED_RESULT;

/**
 * RioSessionRecord: head of an exported session, see session.h
 *
 * Specification: "The record of a session".  All that can be judged without
 * looking into @log is judged by the reader.
 */
typedef struct RioSessionRecord {
    bool server_side;           /* whose end of the session it is */
    RioIds ids;
    uint32_t epoch;
    uint32_t log_limit;
    uint8_t token[RIO_TOKEN_SIZE];
    uint64_t sent;              /* acked <= sent */
    uint64_t acked;
    uint64_t received;
    RioBytes log;               /* encoded messages acked + 1 to sent */
} RioSessionRecord;

/* Bytes before the log */
#define RIO_SESSION_RECORD_HEAD 80u

/* Write all but the log, which follows, at @p */
void rio_session_record_put(uint8_t *p, const RioSessionRecord *record);

/* Returns: false with *@err; @record->log points into @bytes */
bool rio_session_record_get(RioBytes bytes, RioSessionRecord *record,
                            RioError *err) G_GNUC_WARN_UNUSED_RESULT;

/**
 * RioParcel: a module that moves, see "The parcel"
 *
 * The reader judges the whole parcel, except the record of each session,
 * which rio_session_import() does.
 */
typedef struct RioParcel {
    RioString driver;
    uint32_t state_version;
    uint32_t sessions;
    RioBytes state;
    RioBytes rest;              /* sessions, see rio_parcel_session() */
} RioParcel;

/* One session of it */
typedef struct RioParcelSession {
    uint32_t slot;
    uint64_t caps;
    uint32_t max_message;
    uint8_t client_uuid[RIO_UUID_SIZE];
    uint8_t vm_uuid[RIO_UUID_SIZE];
    RioString client;           /* not empty */
    RioString vm;
    RioString device;
    RioBytes record;            /* see rio_session_import() */
} RioParcelSession;

/* Bytes that a head, and a session without its record, may take */
#define RIO_PARCEL_HEAD_MAX (26u + RIO_MAX_STRING)
#define RIO_PARCEL_SESSION_MAX (62u + 3 * RIO_MAX_STRING)

/* Returns: bytes written at @p: all before the state, whose length is given */
size_t rio_parcel_put(uint8_t *p, const RioParcel *parcel);

/* Returns: bytes written at @p: all before the record, which follows */
size_t rio_parcel_session_put(uint8_t *p, const RioParcelSession *session);

/* Returns: false with *@err when @bytes are no parcel */
bool rio_parcel_get(RioBytes bytes, RioParcel *parcel, RioError *err)
    G_GNUC_WARN_UNUSED_RESULT;

/*
 * Take the next session out of a parcel that was judged, from @at on, which
 * moves behind it.  Returns: false when there is none.
 */
bool rio_parcel_session(const RioParcel *parcel, uint32_t *at,
                        RioParcelSession *session);

/* True when @op is sequenced, and when a message of it may come from a side */
bool rio_op_sequenced(uint8_t op);
bool rio_op_from_client(uint8_t op);
bool rio_op_from_server(uint8_t op);

/* True when messages of it name a session, or ask for one */
bool rio_op_of_session(uint8_t op);

/* The capability that a message belongs to, 0 for what every peer speaks */
uint64_t rio_op_cap(uint8_t op);

/*
 * Names for logs and traces: "REGION_READ", "MODULE_BUSY", "module is taken";
 * never NULL, unknown numbers give "unknown".
 */
const char *rio_op_name(uint8_t op);
const char *rio_status_name(uint8_t status);
const char *rio_status_text(uint8_t status);

#endif /* NET_REMOTE_IO_CODEC_H */
