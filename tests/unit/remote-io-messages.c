/*
 * Messages of every kind, for tests of the remote-io wire
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "remote-io-messages.h"

const uint8_t rio_test_ops[] = {
#define X(name, op, scope, from, min, max) RIO_OP_##name,
    RIO_OPS(X)
#undef X
    0
};

static uint32_t below(GRand *r, uint32_t n)
{
    return g_rand_int(r) % n;
}

static uint64_t rand64(GRand *r)
{
    return (uint64_t)g_rand_int(r) << 32 | g_rand_int(r);
}

static void rand_bytes(GRand *r, uint8_t *p, size_t n)
{
    while (n--) {
        *p++ = g_rand_int(r);
    }
}

/* @min to @max characters of one or two bytes */
static void rand_string(GRand *r, RioString s, unsigned min, unsigned max)
{
    static const char *const chars[] = { "a", "Z", "0", "-", " ", "é", "ß" };
    unsigned n = min + below(r, max - min + 1);

    for (*s = '\0'; n--; ) {
        strcat(s, chars[below(r, G_N_ELEMENTS(chars))]);
    }
}

static RioWrite rand_write(GRand *r)
{
    RioWrite w = {
        .region = below(r, RIO_MAX_REGIONS),
        .size = 1 << below(r, 4),
        .offset = rand64(r) >> (1 + below(r, 60)),
    };

    w.value = rand64(r) >> (64 - 8 * w.size);
    return w;
}

static void rand_batch(GRand *r, RioMessage *m, uint8_t *payload)
{
    uint8_t *encoded = g_malloc(RIO_MAX_MESSAGE);
    uint32_t n = 1 + below(r, RIO_MAX_BATCH);
    RioMessage first = {
        .op = RIO_OP_REGION_WRITE,
        .flags = RIO_FLAG_POSTED,
        .write = rand_write(r),
    };

    g_assert_cmpuint(rio_encode(&first, encoded, RIO_MAX_MESSAGE), >, 0);
    rio_batch_from_write(encoded);
    for (uint32_t i = 1; i < n; i++) {
        RioWrite w = rand_write(r);

        g_assert_cmpuint(rio_batch_append(encoded, &w), ==, RIO_BATCH_ENTRY);
    }
    m->flags |= RIO_FLAG_POSTED;
    m->batch.count = n;
    m->payload.len = n * RIO_BATCH_ENTRY;
    memcpy(payload, encoded + RIO_HEADER_SIZE + 8, m->payload.len);
    g_free(encoded);
}

/* Returns: the bytes that the segments name; they are at most @most */
static uint32_t rand_segments(GRand *r, uint8_t *payload, uint32_t *count,
                              uint32_t most, uint32_t steps)
{
    uint32_t total = 0, n = 1 + below(r, RIO_MAX_SEGMENTS);

    for (*count = 0; *count < n && total < most; ++*count) {
        RioSegment seg = {
            .address = rand64(r) >> 1,
            .length = 1 + below(r, MIN(most - total, 8192)),
            .step = below(r, steps + 1),
        };

        rio_segment_put(payload, *count, &seg);
        total += seg.length;
    }
    return total;
}

static void rand_dma(GRand *r, RioMessage *m, uint8_t *payload, uint32_t most)
{
    uint32_t list;

    m->dma.total = rand_segments(r, payload, &m->dma.count,
                                 MAX(MIN(most, RIO_MAX_DMA), 1), 0);
    list = m->dma.count * RIO_SEGMENT_SIZE;
    m->payload.len = list;
    if (m->op == RIO_OP_DMA_WRITE) {
        m->flags = below(r, 2) ? RIO_FLAG_POSTED : RIO_FLAG_MORE;
        m->payload.len += m->dma.total;
        rand_bytes(r, payload + list, m->dma.total);
    }
}

static void rand_doorbell(GRand *r, RioMessage *m, uint8_t *payload,
                          uint32_t most)
{
    uint32_t list;

    m->flags = RIO_FLAG_POSTED;
    m->doorbell.write = rand_write(r);
    m->doorbell.count = m->doorbell.total = 0;
    if (below(r, 4)) {
        m->doorbell.total = rand_segments(r, payload, &m->doorbell.count,
                                          MAX(MIN(most, 65536), 1),
                                          RIO_MAX_STEPS);
    }
    list = m->doorbell.count * RIO_SEGMENT_SIZE;
    m->payload.len = list + m->doorbell.total;
    rand_bytes(r, payload + list, m->doorbell.total);
}

static void put(uint8_t *p, uint64_t value, unsigned size)
{
    while (size--) {
        *p++ = value;
        value >>= 8;
    }
}

static void rand_step(GRand *r, uint8_t *p)
{
    static const uint8_t kinds[] = {
        RIO_STEP_BUFFER, RIO_STEP_PRP, RIO_STEP_PRP_LIST, RIO_STEP_SGL,
        RIO_STEP_SGL_LIST,
    };

    memset(p, 0, 48);
    if (below(r, 2)) {
        put(p, below(r, 60), 2);
        p[2] = 1 << below(r, 3);
        put(p + 4, g_rand_int(r), 4);
        put(p + 8, g_rand_int(r), 4);
    }
    p[24] = kinds[below(r, G_N_ELEMENTS(kinds))];
    put(p + 26, 24, 2);
    if (p[24] == RIO_STEP_PRP || p[24] == RIO_STEP_PRP_LIST) {
        p[25] = 12;
        put(p + 28, 32, 2);
    }
    if (below(r, 2)) {
        put(p + 30, 48, 2);
        p[32] = 1 << below(r, 3);
        put(p + 36, 0xffff, 4);
    }
    p[33] = below(r, 32);
    put(p + 40, below(r, 4096), 4);
    put(p + 44, 1 + below(r, RIO_MAX_STEP_BYTES), 4);
}

static void rand_recipe(GRand *r, RioMessage *m, uint8_t *payload)
{
    uint8_t steps = below(r, RIO_MAX_STEPS + 1);

    memset(payload, 0, 64);
    m->recipe.slot = below(r, RIO_MAX_RECIPES);
    m->recipe.kind = below(r, 3);
    put(payload, m->recipe.slot, 2);
    payload[3] = m->recipe.kind;
    m->payload.len = 64;
    if (m->recipe.kind == RIO_RECIPE_NONE) {
        return;
    }
    payload[2] = below(r, RIO_MAX_REGIONS);
    put(payload + 8, rand64(r), 8);
    if (m->recipe.kind == RIO_RECIPE_LAZY) {
        return;
    }
    put(payload + 16, rand64(r) >> 1, 8);
    put(payload + 24, 1024, 4);
    put(payload + 28, 64, 4);
    put(payload + 32, below(r, 1024), 4);
    put(payload + 36, g_rand_int(r), 4);
    if (below(r, 2)) {
        put(payload + 40, 1 + (rand64(r) >> 1), 8);
        payload[48] = 2;
    }
    payload[49] = steps;
    put(payload + 50, 1 + below(r, 65535), 2);
    put(payload + 52, 1 + below(r, RIO_MAX_DMA), 4);
    for (uint8_t i = 0; i < steps; i++) {
        rand_step(r, payload + 64 + i * 48);
    }
    m->payload.len += steps * 48;
}

/* Records of ROUTE_TRACE and its reply; returns how many */
static uint16_t rand_records(GRand *r, RioMessage *m, uint8_t *payload)
{
    uint16_t n = below(r, RIO_MAX_HOPS + 2);
    uint8_t *p = payload;

    for (uint16_t i = 0; i < n; i++) {
        RioString name;
        uint16_t len;

        rand_string(r, name, 0, 40);
        len = strlen(name);
        put(p, g_rand_int(r), 4);
        put(p + 4, i, 4);
        put(p + 8, rand64(r), 8);
        put(p + 16, len, 2);
        memcpy(p + 18, name, len);
        p += 18 + len;
    }
    m->payload.len = p - payload;
    return n;
}

static void rand_announce(GRand *r, RioMessage *m, uint8_t *payload)
{
    uint8_t *p = payload;

    m->announce.count = 1 + below(r, 20);
    for (uint32_t i = 0; i < m->announce.count; i++) {
        RioString names[2];

        rand_string(r, names[0], 1, 40);
        rand_string(r, names[1], 0, 40);
        put(p, below(r, 4) ? below(r, RIO_MAX_HOPS) : RIO_ANNOUNCE_GONE, 2);
        p += 2;
        for (unsigned n = 0; n < 2; n++) {
            uint16_t len = strlen(names[n]);

            put(p, len, 2);
            memcpy(p + 2, names[n], len);
            p += 2 + len;
        }
    }
    m->payload.len = p - payload;
}

static void rand_mem_table(GRand *r, RioMessage *m, uint8_t *payload)
{
    uint64_t at = 0;

    m->mem_table.count = below(r, RIO_MAX_MEMORY + 1);
    m->payload.len = m->mem_table.count * 32;
    for (uint32_t i = 0; i < m->mem_table.count; i++, payload += 32) {
        uint64_t size = 1 + (rand64(r) >> 9);

        at += rand64(r) >> 9;
        put(payload, at, 8);
        put(payload + 8, size, 8);
        put(payload + 16, rand64(r) >> 2, 8);
        put(payload + 24, below(r, RIO_MAX_FILES), 4);
        put(payload + 28, below(r, 2), 4);
        at += size;
    }
}

static void rand_data(GRand *r, RioMessage *m, uint8_t *payload, uint32_t min,
                      uint32_t most)
{
    m->payload.len = min + below(r, MAX(most, min + 1) - min);
    rand_bytes(r, payload, m->payload.len);
}

static void rand_hello(GRand *r, RioMessage *m)
{
    m->hello.version_min = 1 + below(r, 10);
    m->hello.version_max = m->hello.version_min;
    if (m->op == RIO_OP_HELLO) {
        m->hello.version_max += below(r, 10);
    } else {
        m->ids.client = 1 + below(r, 1000);
        m->ids.server = 1 + below(r, 1000);
    }
    m->hello.caps = rand64(r);
    m->hello.max_message = RIO_MIN_MAX_MESSAGE + below(r, 1 << 20);
    m->hello.keepalive_ms = RIO_MIN_KEEPALIVE_MS + below(r, 10000);
    m->hello.role = RIO_ROLE_CLIENT + below(r, 3);
    rand_bytes(r, m->hello.uuid, RIO_UUID_SIZE);
    rand_string(r, m->hello.name, 1, 127);
    rand_string(r, m->hello.software, 0, 127);
}

static void rand_attach(GRand *r, RioMessage *m)
{
    m->attach.caps = rand64(r);
    rand_bytes(r, m->attach.vm_uuid, RIO_UUID_SIZE);
    rand_string(r, m->attach.server, 0, 127);
    rand_string(r, m->attach.module, 1, 127);
    rand_string(r, m->attach.vm, 0, 127);
    rand_string(r, m->attach.device, 0, 127);
    rand_string(r, m->attach.client, 1, 127);
    for (int i = 0; i < RIO_UUID_SIZE; i++) {
        m->attach.client_uuid[i] = g_rand_int(r);
    }
}

static void rand_attached(GRand *r, RioMessage *m, uint8_t *payload)
{
    RioDescription d;

    rand_bytes(r, m->attached.token, RIO_TOKEN_SIZE);
    m->attached.caps = rand64(r);
    m->attached.log_limit = RIO_MIN_LOG + below(r, 1 << 20);
    m->attached.max_outstanding = 1 + below(r, 1000);
    rio_test_description(r, &d);
    m->payload.len = rio_description_encode(&d, payload, RIO_MAX_DESCRIPTION);
    g_assert_cmpuint(m->payload.len, >, 0);
}

static void rand_update(GRand *r, RioMessage *m, uint8_t *payload,
                        uint32_t most)
{
    m->mem_update.region = below(r, RIO_MAX_REGIONS);
    m->mem_update.kind = RIO_MEM_DATA + below(r, 2);
    m->mem_update.offset = rand64(r) >> 1;
    if (m->mem_update.kind == RIO_MEM_DATA) {
        rand_data(r, m, payload, 1, MIN(most, RIO_MAX_DMA));
        m->mem_update.fill = 0;
        m->mem_update.length = m->payload.len;
    } else {
        m->mem_update.fill = g_rand_int(r);
        m->mem_update.length = 1 + below(r, 1 << 30);
    }
}

static void rand_small_body(GRand *r, RioMessage *m)
{
    switch (m->op) {
    case RIO_OP_PING:
    case RIO_OP_PONG:
        m->ping.cookie = rand64(r);
        break;
    case RIO_OP_RESUME:
        rand_bytes(r, m->resume.token, RIO_TOKEN_SIZE);
        /* fall through */
    case RIO_OP_RESUME_REPLY:
        m->resume.received = rand64(r);
        break;
    case RIO_OP_REGION_READ: {
        RioWrite w = rand_write(r);

        m->read.region = w.region;
        m->read.size = w.size;
        m->read.offset = w.offset;
        break;
    }
    case RIO_OP_REGION_READ_REPLY:
        m->value.value = rand64(r);
        break;
    case RIO_OP_REGION_WRITE:
        m->flags = below(r, 2) ? RIO_FLAG_POSTED : 0;
        m->write = rand_write(r);
        break;
    case RIO_OP_IRQ_LEVEL:
        m->irq_level.line = below(r, RIO_MAX_LINES);
        m->irq_level.level = below(r, 2);
        break;
    case RIO_OP_IRQ_MESSAGE:
        m->irq_message.kind = RIO_IRQ_MSI + below(r, 2);
        m->irq_message.vector =
            below(r, m->irq_message.kind == RIO_IRQ_MSI ? RIO_MAX_MSI
                                                        : RIO_MAX_MSIX);
        break;
    case RIO_OP_RESET:
        m->reset.kind = RIO_RESET_SYSTEM + below(r, 2);
        break;
    case RIO_OP_QUIESCE:
        m->quiesce.kind = RIO_QUIESCE_STOP + below(r, 2);
        break;
    case RIO_OP_TIME_SYNC:
        m->time.now_ns = rand64(r);
        m->time.horizon_ns = rand64(r);
        break;
    }
}

static void rand_move(GRand *r, RioMessage *m, uint8_t *payload,
                      uint32_t most)
{
    switch (m->op) {
    case RIO_OP_MOVE:
        m->move.kind = RIO_MOVE_START + below(r, 3);
        if (m->move.kind == RIO_MOVE_START) {
            rand_string(r, m->move.server, 1, 50);
            rand_string(r, m->move.module, 0, 50);
        }
        break;
    case RIO_OP_MOVE_REPLY:
        m->moving.phase = below(r, RIO_MOVE_COMMITTED + 1);
        m->moving.done = rand64(r);
        m->moving.total = rand64(r);
        break;
    case RIO_OP_MOVED:
        rand_string(r, m->moved.server, 0, 50);
        rand_string(r, m->moved.address, 0, 50);
        break;
    case RIO_OP_MOVE_OFFER:
        rand_bytes(r, m->offer.id, RIO_UUID_SIZE);
        m->offer.caps = rand64(r);
        m->offer.state_version = g_rand_int(r);
        m->offer.sessions = g_rand_int(r);
        rand_string(r, m->offer.module, 1, 50);
        rand_string(r, m->offer.driver, 0, 50);
        break;
    case RIO_OP_MOVE_DATA:
        m->flags = below(r, 2) ? RIO_FLAG_MORE : 0;
        rand_bytes(r, m->parcel.id, RIO_UUID_SIZE);
        m->parcel.offset = below(r, RIO_MAX_PARCEL / 2);
        rand_data(r, m, payload, 1, MIN(most, RIO_MAX_DMA));
        break;
    case RIO_OP_MOVE_STEP:
        rand_bytes(r, m->step.id, RIO_UUID_SIZE);
        m->step.kind = RIO_MOVE_COMMIT + below(r, 3);
        break;
    case RIO_OP_MOVE_STEP_REPLY:
        m->stepped.phase = below(r, RIO_MOVE_COMMITTED + 1);
        m->stepped.received = rand64(r);
        break;
    }
}

static void rand_body(GRand *r, RioMessage *m, uint8_t *payload,
                      uint32_t most)
{
    switch (m->op) {
    case RIO_OP_HELLO:
    case RIO_OP_HELLO_REPLY:
        rand_hello(r, m);
        break;
    case RIO_OP_ATTACH:
        rand_attach(r, m);
        break;
    case RIO_OP_ATTACH_REPLY:
        rand_attached(r, m, payload);
        break;
    case RIO_OP_ROUTE_TRACE:
        rand_string(r, m->trace.server, 0, 50);
        rand_string(r, m->trace.module, 0, 50);
        m->trace.count = rand_records(r, m, payload);
        break;
    case RIO_OP_ROUTE_TRACE_REPLY:
        m->traced.count = rand_records(r, m, payload);
        break;
    case RIO_OP_ANNOUNCE:
        rand_announce(r, m, payload);
        break;
    case RIO_OP_REGION_WRITE_BATCH:
        rand_batch(r, m, payload);
        break;
    case RIO_OP_DOORBELL:
        rand_doorbell(r, m, payload, most);
        break;
    case RIO_OP_RECIPE:
        rand_recipe(r, m, payload);
        break;
    case RIO_OP_DMA_READ:
    case RIO_OP_DMA_WRITE:
        rand_dma(r, m, payload, most);
        break;
    case RIO_OP_DMA_READ_REPLY:
        rand_data(r, m, payload, 1, MIN(most, RIO_MAX_DMA / 2));
        m->dma_data.offset = below(r, RIO_MAX_DMA / 2);
        break;
    case RIO_OP_MEM_TABLE:
        rand_mem_table(r, m, payload);
        break;
    case RIO_OP_STATE_SAVE:
        m->state.offset = rand64(r) >> 1;
        break;
    case RIO_OP_STATE_SAVE_REPLY:
    case RIO_OP_STATE_LOAD:
        m->flags = below(r, 2) ? RIO_FLAG_MORE : 0;
        m->state.offset = rand64(r) >> 1;
        rand_data(r, m, payload, 0, MIN(most, RIO_MAX_DMA));
        break;
    case RIO_OP_MOVE:
    case RIO_OP_MOVE_REPLY:
    case RIO_OP_MOVED:
    case RIO_OP_MOVE_OFFER:
    case RIO_OP_MOVE_DATA:
    case RIO_OP_MOVE_STEP:
    case RIO_OP_MOVE_STEP_REPLY:
        rand_move(r, m, payload, most);
        break;
    case RIO_OP_MEM_UPDATE:
        rand_update(r, m, payload, most);
        break;
    default:
        rand_small_body(r, m);
    }
}

static bool is_link(uint8_t op)
{
    return !rio_op_of_session(op);
}

void rio_test_message(GRand *r, uint8_t op, RioMessage *m, uint8_t *payload,
                      uint32_t most)
{
    bool goodbye = op == RIO_OP_BYE || op == RIO_OP_SESSION_GONE;
    bool reply = g_str_has_suffix(rio_op_name(op), "_REPLY");

    memset(m, 0, sizeof(*m));
    m->op = op;
    m->payload.data = payload;
    if (!is_link(op)) {
        m->hops = below(r, RIO_MAX_HOPS + 1);
        m->ids.client = g_rand_int(r);
        m->ids.vm = g_rand_int(r);
        m->ids.server = g_rand_int(r);
        m->ids.module = g_rand_int(r);
        m->epoch = g_rand_int(r);
        m->tag = g_rand_int(r);
        m->seq = rio_op_sequenced(op) ? 1 + (rand64(r) >> 1) : 0;
        m->ack = rand64(r);
    }
    if (goodbye || (reply && below(r, 4) == 0)) {
        m->status = below(r, RIO_STATUS_SHUTDOWN) + (goodbye ? 0 : 1);
        rand_string(r, m->reason, 0, 127);
        return;
    }
    rand_body(r, m, payload, most);
}

/* --- descriptions --- */

static void rand_pci(GRand *r, RioDescription *d)
{
    d->vendor_id = below(r, 0xffff);
    d->device_id = g_rand_int(r);
    d->subsystem_vendor_id = g_rand_int(r);
    d->subsystem_id = g_rand_int(r);
    d->class_code = below(r, 1 << 24);
    d->revision = g_rand_int(r);
    d->lines = d->interrupt_pin = below(r, 2);
    d->msi_vectors = below(r, 2) ? 1 << below(r, 6) : 0;
    if (below(r, 2)) {
        d->msix_vectors = 1 + below(r, RIO_MAX_MSIX);
        d->msix_table_bar = d->msix_pba_bar = 5;
        d->msix_pba_offset = 0x8000;
    }
    for (unsigned i = 0; i < 4; i += 2) {
        RioRegion *region = &d->regions[d->num_regions++];

        region->index = i;
        region->kind = below(r, 2) ? RIO_REGION_MMIO : RIO_REGION_PIO;
        region->size = 1u << (4 + below(r, 10));
        if (region->kind == RIO_REGION_MMIO) {
            region->flags = below(r, 4);
        }
    }
}

static void rand_isa(GRand *r, RioDescription *d)
{
    d->lines = 1;
    d->isa_irq = below(r, 16);
    d->num_regions = 1;
    d->regions[0] = (RioRegion) {
        .kind = RIO_REGION_PIO, .size = 8, .base = below(r, 65528),
    };
}

static void rand_sysbus(GRand *r, RioDescription *d)
{
    d->lines = below(r, RIO_MAX_LINES + 1);
    d->num_regions = RIO_MAX_REGIONS;
    for (unsigned i = 0; i < RIO_MAX_REGIONS; i++) {
        d->regions[i] = (RioRegion) {
            .index = i,
            .kind = RIO_REGION_MMIO + 2 * below(r, 2),
            .size = 4096 + below(r, 100000),
        };
    }
}

void rio_test_description(GRand *r, RioDescription *d)
{
    memset(d, 0, sizeof(*d));
    d->bus = RIO_BUS_PCI + below(r, 3);
    d->restart = RIO_RESTART_STATELESS + below(r, 3);
    switch (d->bus) {
    case RIO_BUS_PCI:
        rand_pci(r, d);
        break;
    case RIO_BUS_ISA:
        rand_isa(r, d);
        break;
    default:
        rand_sysbus(r, d);
    }
    for (unsigned i = 0; i < d->num_regions; i++) {
        d->ranges[d->num_ranges++] = (RioRange) {
            .region = d->regions[i].index,
            .sizes = 1 + below(r, 15),
            .attrs = below(r, 2) ? RIO_RANGE_POSTED
                                 : RIO_RANGE_PURE | RIO_RANGE_CACHEABLE,
            .offset = below(r, 4),
            .length = 1 + below(r, 4),
        };
    }
    rand_string(r, d->driver, 0, 60);
    rand_string(r, d->acpi_hid, 0, 8);
    rand_string(r, d->serial, 0, 60);
}

/* --- comparison --- */

#define SAME(field) g_assert_cmpuint(a->field, ==, b->field)
#define SAME_BYTES(field) \
    g_assert_cmpmem(a->field, sizeof(a->field), b->field, sizeof(b->field))

static void same_write(const RioWrite *a, const RioWrite *b)
{
    SAME(region);
    SAME(size);
    SAME(offset);
    SAME(value);
}

static void same_header(const RioMessage *a, const RioMessage *b)
{
    SAME(op);
    SAME(flags);
    SAME(hops);
    SAME(status);
    SAME(ids.client);
    SAME(ids.vm);
    SAME(ids.server);
    SAME(ids.module);
    SAME(epoch);
    SAME(tag);
    SAME(seq);
    SAME(ack);
}

static void same_move(const RioMessage *a, const RioMessage *b)
{
    switch (a->op) {
    case RIO_OP_MOVE:
        SAME(move.kind);
        g_assert_cmpstr(a->move.server, ==, b->move.server);
        g_assert_cmpstr(a->move.module, ==, b->move.module);
        break;
    case RIO_OP_MOVE_REPLY:
        SAME(moving.phase);
        SAME(moving.done);
        SAME(moving.total);
        break;
    case RIO_OP_MOVED:
        g_assert_cmpstr(a->moved.server, ==, b->moved.server);
        g_assert_cmpstr(a->moved.address, ==, b->moved.address);
        break;
    case RIO_OP_MOVE_OFFER:
        SAME_BYTES(offer.id);
        SAME(offer.caps);
        SAME(offer.state_version);
        SAME(offer.sessions);
        g_assert_cmpstr(a->offer.module, ==, b->offer.module);
        g_assert_cmpstr(a->offer.driver, ==, b->offer.driver);
        break;
    case RIO_OP_MOVE_DATA:
        SAME_BYTES(parcel.id);
        SAME(parcel.offset);
        break;
    case RIO_OP_MOVE_STEP:
        SAME_BYTES(step.id);
        SAME(step.kind);
        break;
    case RIO_OP_MOVE_STEP_REPLY:
        SAME(stepped.phase);
        SAME(stepped.received);
        break;
    }
}

static void same_control(const RioMessage *a, const RioMessage *b)
{
    switch (a->op) {
    case RIO_OP_HELLO:
    case RIO_OP_HELLO_REPLY:
        SAME(hello.version_min);
        SAME(hello.version_max);
        SAME(hello.caps);
        SAME(hello.max_message);
        SAME(hello.keepalive_ms);
        SAME(hello.role);
        SAME_BYTES(hello.uuid);
        g_assert_cmpstr(a->hello.name, ==, b->hello.name);
        g_assert_cmpstr(a->hello.software, ==, b->hello.software);
        break;
    case RIO_OP_PING:
    case RIO_OP_PONG:
        SAME(ping.cookie);
        break;
    case RIO_OP_ATTACH:
        SAME(attach.caps);
        SAME_BYTES(attach.vm_uuid);
        g_assert_cmpstr(a->attach.server, ==, b->attach.server);
        g_assert_cmpstr(a->attach.module, ==, b->attach.module);
        g_assert_cmpstr(a->attach.vm, ==, b->attach.vm);
        g_assert_cmpstr(a->attach.device, ==, b->attach.device);
        if (a->hops) {
            g_assert_cmpstr(a->attach.client, ==, b->attach.client);
            SAME_BYTES(attach.client_uuid);
        }
        break;
    case RIO_OP_ATTACH_REPLY:
        SAME_BYTES(attached.token);
        SAME(attached.caps);
        SAME(attached.log_limit);
        SAME(attached.max_outstanding);
        break;
    case RIO_OP_RESUME:
        SAME_BYTES(resume.token);
        /* fall through */
    case RIO_OP_RESUME_REPLY:
        SAME(resume.received);
        break;
    case RIO_OP_ROUTE_TRACE:
        SAME(trace.count);
        g_assert_cmpstr(a->trace.server, ==, b->trace.server);
        g_assert_cmpstr(a->trace.module, ==, b->trace.module);
        break;
    case RIO_OP_ROUTE_TRACE_REPLY:
        SAME(traced.count);
        break;
    case RIO_OP_ANNOUNCE:
        SAME(announce.count);
        break;
    case RIO_OP_MEM_TABLE:
        SAME(mem_table.count);
        break;
    case RIO_OP_STATE_SAVE:
    case RIO_OP_STATE_SAVE_REPLY:
    case RIO_OP_STATE_LOAD:
        SAME(state.offset);
        break;
    default:
        same_move(a, b);
    }
}

static void same_sequenced(const RioMessage *a, const RioMessage *b)
{
    switch (a->op) {
    case RIO_OP_REGION_READ:
        SAME(read.region);
        SAME(read.size);
        SAME(read.offset);
        break;
    case RIO_OP_REGION_READ_REPLY:
        SAME(value.value);
        break;
    case RIO_OP_REGION_WRITE:
        same_write(&a->write, &b->write);
        break;
    case RIO_OP_REGION_WRITE_BATCH:
        SAME(batch.count);
        break;
    case RIO_OP_DOORBELL:
        same_write(&a->doorbell.write, &b->doorbell.write);
        SAME(doorbell.count);
        SAME(doorbell.total);
        break;
    case RIO_OP_RECIPE:
        SAME(recipe.slot);
        SAME(recipe.kind);
        break;
    case RIO_OP_IRQ_LEVEL:
        SAME(irq_level.line);
        SAME(irq_level.level);
        break;
    case RIO_OP_IRQ_MESSAGE:
        SAME(irq_message.kind);
        SAME(irq_message.vector);
        break;
    case RIO_OP_RESET:
        SAME(reset.kind);
        break;
    case RIO_OP_QUIESCE:
        SAME(quiesce.kind);
        break;
    case RIO_OP_DMA_READ:
    case RIO_OP_DMA_WRITE:
        SAME(dma.count);
        SAME(dma.total);
        break;
    case RIO_OP_DMA_READ_REPLY:
        SAME(dma_data.offset);
        break;
    case RIO_OP_MEM_UPDATE:
        SAME(mem_update.region);
        SAME(mem_update.kind);
        SAME(mem_update.fill);
        SAME(mem_update.length);
        SAME(mem_update.offset);
        break;
    case RIO_OP_TIME_SYNC:
        SAME(time.now_ns);
        SAME(time.horizon_ns);
        break;
    }
}

void rio_test_assert_same(const RioMessage *a, const RioMessage *b)
{
    same_header(a, b);
    if (a->status || a->op == RIO_OP_BYE || a->op == RIO_OP_SESSION_GONE) {
        g_assert_cmpstr(a->reason, ==, b->reason);
        return;
    }
    same_control(a, b);
    same_sequenced(a, b);
    g_assert_cmpmem(a->payload.data, a->payload.len, b->payload.data,
                    b->payload.len);
}
