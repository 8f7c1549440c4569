/*
 * Any bytes to the codec: an answer, and never a message that is none
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "net/remote-io/codec.h"
#include "fuzz.h"

static uint8_t again[RIO_MAX_MESSAGE];

/* What was accepted has only one encoding: the bytes it came from */
static void check_message(const uint8_t *data, const RioMessage *m)
{
    PROMISE(m->length >= RIO_HEADER_SIZE && m->length <= RIO_MAX_MESSAGE);
    PROMISE(rio_encode(m, again, sizeof(again)) == m->length);
    PROMISE(!memcmp(again, data, m->length));
    PROMISE(rio_encode(m, again, m->length - 1) == 0);
    PROMISE(!m->payload.len ||
            (m->payload.data > data &&
             m->payload.data + m->payload.len <= data + m->length));
}

static void check_parts(const RioMessage *m)
{
    uint32_t segments = m->op == RIO_OP_DOORBELL ? m->doorbell.count
                                                 : m->dma.count;
    uint64_t total = 0;

    switch (m->op) {
    case RIO_OP_REGION_WRITE_BATCH:
        for (uint32_t i = 0; i < m->batch.count; i++) {
            RioWrite w = rio_batch_get(m, i);

            PROMISE(w.region < RIO_MAX_REGIONS && w.size <= 8);
        }
        break;
    case RIO_OP_DMA_READ:
    case RIO_OP_DMA_WRITE:
    case RIO_OP_DOORBELL:
        for (uint32_t i = 0; i < segments; i++) {
            RioSegment seg = rio_segment_get(m, i);

            PROMISE(seg.address + seg.length >= seg.address);
            total += seg.length;
        }
        PROMISE(total == (m->op == RIO_OP_DOORBELL ? m->doorbell.total
                                                   : m->dma.total));
        PROMISE(m->op == RIO_OP_DMA_READ ||
                rio_segment_bytes(m).len == total);
        break;
    }
}

static void check_description(RioBytes bytes)
{
    static uint8_t encoded[RIO_MAX_DESCRIPTION];
    RioDescription d, back;
    RioError err;
    size_t n;

    if (!rio_description_decode(bytes, &d, &err)) {
        PROMISE(err.status != RIO_STATUS_OK && *err.text);
        return;
    }
    /* Not always the same bytes: unknown properties are left out */
    n = rio_description_encode(&d, encoded, sizeof(encoded));
    PROMISE(n > 0 && n <= bytes.len);
    PROMISE(rio_description_decode((RioBytes) { encoded, n }, &back, &err));
    PROMISE(back.num_regions == d.num_regions);
    PROMISE(!strcmp(back.driver, d.driver));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    RioMessage m;
    RioError err = { 0 };
    RioDecodeResult result;

    check_description((RioBytes) { data, size });
    while ((result = rio_decode(data, size, RIO_MAX_MESSAGE, &m, &err)) ==
           RIO_DECODE_OK) {
        PROMISE(m.length <= size);
        check_message(data, &m);
        if (m.status == RIO_STATUS_OK) {
            check_parts(&m);
            if (m.op == RIO_OP_ATTACH_REPLY) {
                check_description(m.payload);
            }
        }
        data += m.length;
        size -= m.length;
    }
    PROMISE(result == RIO_DECODE_MORE || (err.status && *err.text));
    return 0;
}
