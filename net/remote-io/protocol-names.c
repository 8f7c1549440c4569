/*
 * remote-io protocol: the lists of opcodes and statuses as tables
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Everything here is derived from the lists of protocol.h, so that a log
 * and the wire can never disagree.
 */

#include "net/remote-io/codec-internal.h"

/* Where a flag makes sense; constant expressions, for the table below */
#define OP_TRACE(op) \
    ((op) == RIO_OP_REGION_READ || (op) == RIO_OP_REGION_WRITE || \
     (op) == RIO_OP_REGION_WRITE_BATCH)
#define OP_POSTED(op) \
    ((op) == RIO_OP_REGION_WRITE || (op) == RIO_OP_REGION_WRITE_BATCH || \
     (op) == RIO_OP_DOORBELL || (op) == RIO_OP_DMA_WRITE)
#define OP_MORE(op) \
    ((op) == RIO_OP_DOORBELL || (op) == RIO_OP_DMA_WRITE || \
     (op) == RIO_OP_DMA_READ_REPLY || (op) == RIO_OP_STATE_SAVE_REPLY || \
     (op) == RIO_OP_STATE_LOAD || (op) == RIO_OP_MOVE_DATA)
#define OP_FLAGS(op) \
    ((OP_TRACE(op) ? RIO_FLAG_TRACE : 0) | \
     (OP_POSTED(op) ? RIO_FLAG_POSTED : 0) | \
     (OP_MORE(op) ? RIO_FLAG_MORE : 0))

/* What answers a request, and so may refuse it */
#define OP_REPLY(op) \
    ((op) == RIO_OP_HELLO_REPLY || (op) == RIO_OP_ATTACH_REPLY || \
     (op) == RIO_OP_RESUME_REPLY || (op) == RIO_OP_DETACH_REPLY || \
     (op) == RIO_OP_ROUTE_TRACE_REPLY || \
     (op) == RIO_OP_REGION_READ_REPLY || \
     (op) == RIO_OP_REGION_WRITE_REPLY || (op) == RIO_OP_RESET_REPLY || \
     (op) == RIO_OP_DMA_READ_REPLY || (op) == RIO_OP_DMA_WRITE_REPLY || \
     (op) == RIO_OP_MEM_TABLE_REPLY || (op) == RIO_OP_QUIESCE_REPLY || \
     (op) == RIO_OP_STATE_SAVE_REPLY || (op) == RIO_OP_STATE_LOAD_REPLY || \
     (op) == RIO_OP_MOVE_REPLY || (op) == RIO_OP_MOVE_STEP_REPLY)

static const RioOpInfo op_table[256] = {
#define X(op_name, op, op_scope, op_from, op_min, op_max) \
    [op] = { \
        .name = #op_name, \
        .scope = RIO_SCOPE_##op_scope, \
        .from = RIO_FROM_##op_from, \
        .flags = OP_FLAGS(op), \
        .reply = OP_REPLY(op), \
        .min = op_min, \
        .max = op_max, \
    },
    RIO_OPS(X)
#undef X
};

static const char *const status_names[] = {
#define X(name, value, text) [value] = #name,
    RIO_STATUSES(X)
#undef X
};

static const char *const status_texts[] = {
#define X(name, value, text) [value] = text,
    RIO_STATUSES(X)
#undef X
};

const RioOpInfo *rio_op_info(uint8_t op)
{
    return &op_table[op];
}

bool rio_op_sequenced(uint8_t op)
{
    return op_table[op].scope == RIO_SCOPE_SEQUENCED;
}

bool rio_op_from_client(uint8_t op)
{
    return op_table[op].from & RIO_FROM_CLIENT;
}

bool rio_op_from_server(uint8_t op)
{
    return op_table[op].from & RIO_FROM_SERVER;
}

bool rio_op_of_session(uint8_t op)
{
    return op_table[op].scope >= RIO_SCOPE_CONTROL;
}

uint64_t rio_op_cap(uint8_t op)
{
    switch (op) {
    case RIO_OP_RESUME:
    case RIO_OP_RESUME_REPLY:
        return RIO_CAP_RESUME;
    case RIO_OP_ROUTE_TRACE:
    case RIO_OP_ROUTE_TRACE_REPLY:
        return RIO_CAP_ROUTE;
    case RIO_OP_ANNOUNCE:
        return RIO_CAP_ANNOUNCE;
    case RIO_OP_DOORBELL:
    case RIO_OP_RECIPE:
        return RIO_CAP_RECIPES;
    case RIO_OP_DMA_READ:
    case RIO_OP_DMA_READ_REPLY:
    case RIO_OP_DMA_WRITE:
    case RIO_OP_DMA_WRITE_REPLY:
        return RIO_CAP_DMA;
    case RIO_OP_MEM_TABLE:
    case RIO_OP_MEM_TABLE_REPLY:
        return RIO_CAP_SHM;
    case RIO_OP_QUIESCE:
    case RIO_OP_QUIESCE_REPLY:
    case RIO_OP_STATE_SAVE:
    case RIO_OP_STATE_SAVE_REPLY:
    case RIO_OP_STATE_LOAD:
    case RIO_OP_STATE_LOAD_REPLY:
        return RIO_CAP_STATE;
    case RIO_OP_MOVE:
    case RIO_OP_MOVE_REPLY:
    case RIO_OP_MOVED:
    case RIO_OP_MOVE_OFFER:
    case RIO_OP_MOVE_DATA:
    case RIO_OP_MOVE_STEP:
    case RIO_OP_MOVE_STEP_REPLY:
        return RIO_CAP_MOVE;
    case RIO_OP_MEM_UPDATE:
        return RIO_CAP_MEMORY;
    case RIO_OP_TIME_SYNC:
        return RIO_CAP_TIME;
    default:
        return 0;
    }
}

const char *rio_op_name(uint8_t op)
{
    return op_table[op].name ?: "unknown";
}

const char *rio_status_name(uint8_t status)
{
    return status < G_N_ELEMENTS(status_names) ? status_names[status]
                                               : "unknown";
}

const char *rio_status_text(uint8_t status)
{
    return status < G_N_ELEMENTS(status_texts) ? status_texts[status]
                                               : "unknown";
}
