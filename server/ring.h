/*
 * remote-io-server: a bounded ring of bytes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU's own Fifo8 brings its migration code along, which a tool has not.
 * Not locked; its owner does that.
 */

#ifndef SERVER_RING_H
#define SERVER_RING_H

typedef struct RiodRing {
    uint8_t *data;
    uint32_t size;
    uint32_t head;              /* place of the oldest byte */
    uint32_t used;
} RiodRing;

void riod_ring_init(RiodRing *ring, uint32_t size);
void riod_ring_free(RiodRing *ring);

static inline uint32_t riod_ring_room(const RiodRing *ring)
{
    return ring->size - ring->used;
}

/* Returns: how many of @len bytes there was room for */
uint32_t riod_ring_push(RiodRing *ring, const uint8_t *buf, uint32_t len);

/* Returns: how many of the oldest bytes were copied, at most @len */
uint32_t riod_ring_peek(const RiodRing *ring, uint8_t *buf, uint32_t len);

/* Take the @n oldest bytes out; there are so many */
void riod_ring_drop(RiodRing *ring, uint32_t n);

/* Put @old, at most the ring's size, before what is there; the end may go */
void riod_ring_prepend(RiodRing *ring, const uint8_t *old, uint32_t len);

#endif /* SERVER_RING_H */
