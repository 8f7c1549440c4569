/*
 * remote-io-server: a bounded ring of bytes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "ring.h"

void riod_ring_init(RiodRing *ring, uint32_t size)
{
    ring->data = g_malloc(size);
    ring->size = size;
    ring->head = ring->used = 0;
}

void riod_ring_free(RiodRing *ring)
{
    g_free(ring->data);
    ring->data = NULL;
}

uint32_t riod_ring_push(RiodRing *ring, const uint8_t *buf, uint32_t len)
{
    uint32_t tail = (ring->head + ring->used) % ring->size;
    uint32_t n = MIN(len, riod_ring_room(ring));
    uint32_t first = MIN(n, ring->size - tail);

    memcpy(ring->data + tail, buf, first);
    memcpy(ring->data, buf + first, n - first);
    ring->used += n;
    return n;
}

uint32_t riod_ring_peek(const RiodRing *ring, uint8_t *buf, uint32_t len)
{
    uint32_t n = MIN(len, ring->used);
    uint32_t first = MIN(n, ring->size - ring->head);

    memcpy(buf, ring->data + ring->head, first);
    memcpy(buf + first, ring->data, n - first);
    return n;
}

void riod_ring_drop(RiodRing *ring, uint32_t n)
{
    assert(n <= ring->used);
    ring->head = (ring->head + n) % ring->size;
    ring->used -= n;
}

void riod_ring_prepend(RiodRing *ring, const uint8_t *old, uint32_t len)
{
    g_autofree uint8_t *young = g_malloc(ring->size);
    uint32_t n = riod_ring_peek(ring, young, ring->used);

    riod_ring_drop(ring, n);
    riod_ring_push(ring, old, len);
    riod_ring_push(ring, young, n);
}
