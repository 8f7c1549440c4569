# SPDX-License-Identifier: GPL-2.0-or-later
"""A client with guest memory, for modules that use DMA.

It answers DMA_READ, carries out DMA_WRITE and follows doorbell recipes, as
docs/interop/remote-io.rst has them, and writes down what came in which
frame: so a test can count round trips and see what shared a frame.
"""

import struct

from riowire import CAP_DMA, CAP_RECIPES, HEADER, POSTED, OPS, Session

MORE = 2
BUFFER, PRP, PRP_LIST = 1, 2, 3
STATUS_DMA = 16
MAX_DATA, MAX_SEGMENTS = 131072 - 4096, 256
CAPS = CAP_DMA | CAP_RECIPES


def segments(body, count, at):
    """(address, length) of a list of segments, and where it ends."""
    found = [struct.unpack_from('<QI', body, at + 16 * i)
             for i in range(count)]
    return found, at + 16 * count


def in_messages(pieces):
    """Lists of pieces, each small enough for one message."""
    part, room = [], MAX_DATA
    for address, piece, step in pieces:
        while piece:
            if not room or len(part) == MAX_SEGMENTS:
                yield part
                part, room = [], MAX_DATA
            now = piece[:room]
            part.append((address, now, step))
            room -= len(now)
            address, piece = address + len(now), piece[len(now):]
    yield part


class MemorySession(Session):
    """A session whose VM has memory from 0 up."""

    def __init__(self, *args):
        super().__init__(*args)
        self.memory = bytearray(8 << 20)
        self.recipes = {}
        self.round_trips = 0        # DMA_READ messages
        self.dma_bytes = 0          # of DMA_WRITE messages
        self.events = []            # (frame, what, ...) in order
        self.answering = True       # or put DMA_READ aside, in waiting
        self.along = True           # follow recipes
        self.waiting = []
        self.piece = 131072         # bytes of one DMA_READ_REPLY
        self._unacked = 0

    # --- what the server sends ---

    def take(self, message):
        super().take(message)
        if message.op == 'DMA_READ':
            self.round_trips += 1
            if self.answering:
                self.answer(message)
            else:
                self.waiting.append(message)
        elif message.op == 'DMA_WRITE':
            self._write(message)
        elif message.op == 'RECIPE':
            slot, region, kind = struct.unpack_from('<HBB', message.body)
            assert region == 0
            self.recipes.pop(slot, None)
            if kind:
                self.recipes[slot] = Recipe(message.body)
        elif message.op == 'IRQ_MESSAGE':
            self.events.append((self.wire.frames, 'irq', self.vectors[-1]))
        self._unacked += message.length
        if self._unacked > 16384:
            self._unacked = 0
            self.wire.send('ACK', ids=self.ids, epoch=self.epoch,
                           ack=self.received)

    def _reply(self, message, body, flags=0, status=0):
        self.sent += 1
        self.wire.send_raw(HEADER.pack(
            HEADER.size + len(body), OPS['DMA_READ_REPLY'], flags, 0, status,
            *self.ids, self.epoch, message.tag, self.sent, self.received) +
            body)

    def answer(self, message):
        count, total = struct.unpack_from('<II', message.body)
        parts, _ = segments(message.body, count, 8)
        if any(address + n > len(self.memory) for address, n in parts):
            reason = b'no memory'
            self._reply(message, struct.pack('<H', len(reason)) + reason,
                        status=STATUS_DMA)
            return
        data = b''.join(self.memory[address:address + n]
                        for address, n in parts)
        assert len(data) == total
        for at in range(0, total, self.piece):
            piece = data[at:at + self.piece]
            self._reply(message, struct.pack('<II', at, 0) + piece,
                        MORE if at + len(piece) < total else 0)

    def _write(self, message):
        count, total = struct.unpack_from('<II', message.body)
        parts, at = segments(message.body, count, 8)
        assert message.flags & POSTED and len(message.body) == at + total
        self.dma_bytes += total
        for address, n in parts:
            if address + n <= len(self.memory):
                self.memory[address:address + n] = message.body[at:at + n]
            self.events.append((self.wire.frames, 'write', address, n))
            at += n

    def wait(self):
        self.wire.receive()

    # --- doorbells ---

    def ring(self, offset, value):
        """Write to a doorbell; what the recipe wants goes along with it."""
        pieces = []
        for recipe in self.recipes.values():
            if recipe.doorbell == offset and self.along:
                pieces = recipe.follow(self.memory, value)
        if not pieces:
            self.write(offset, value, posted=True)
            return
        parts = list(in_messages(pieces))
        for number, part in enumerate(parts, 1):
            data = b''.join(piece for _, piece, _ in part)
            body = self.write_body(offset, value) + \
                struct.pack('<II', len(part), len(data)) + \
                b''.join(struct.pack('<QII', address, len(piece), step)
                         for address, piece, step in part) + data
            self.post('DOORBELL', body,
                      POSTED | (MORE if number < len(parts) else 0))


class Recipe:
    """One recipe of the server's."""

    def __init__(self, body):
        (self.doorbell, self.base, self.entries, self.size, self.tail,
         self.mask, index_address, _, steps, self.max_entries,
         self.max_bytes) = struct.unpack_from('<QQIIIIQBBHI', body, 8)
        assert index_address == 0 and len(body) == 64 + 48 * steps
        self.steps = [body[64 + 48 * i:112 + 48 * i] for i in range(steps)]

    def follow(self, memory, value):
        """(address, bytes, step) of all that goes along."""
        pieces = []
        new = (value & self.mask) % self.entries
        while self.tail != new:
            at = self.base + self.tail * self.size
            entry = bytes(memory[at:at + self.size])
            pieces.append((at, entry, 0))
            for number, step in enumerate(self.steps, 1):
                pieces += [(address, bytes(memory[address:address + n]),
                            number)
                           for address, n in self._step(memory, entry, step)]
            self.tail = (self.tail + 1) % self.entries
        assert sum(len(piece) for _, piece, _ in pieces) <= self.max_bytes
        return pieces

    @staticmethod
    def _matches(entry, match):
        at, size, _, mask, value = struct.unpack('<HBBII', match)
        field = int.from_bytes(entry[at:at + size], 'little')
        return not size or field & mask == value

    def _step(self, memory, entry, step):
        if not (self._matches(entry, step[:12]) and
                self._matches(entry, step[12:24])):
            return []
        kind, shift, one, two, at, size, unit = struct.unpack_from(
            '<BBHHHBB', step, 24)
        mask, add, most = struct.unpack_from('<III', step, 36)
        field = int.from_bytes(entry[at:at + size], 'little') & mask
        length = (field + add) << unit
        first = int.from_bytes(entry[one:one + 8], 'little')
        if kind == BUFFER:
            return [(first, min(length, most))]
        if kind not in (PRP, PRP_LIST):
            return []
        second = int.from_bytes(entry[two:two + 8], 'little')
        lists, data = self._prp(memory, first, second, length, 1 << shift)
        return lists + (self._cut(data, most) if kind == PRP else [])

    @staticmethod
    def _cut(data, most):
        """Of all the data only the first bytes."""
        short = []
        for address, n in data:
            short.append((address, min(n, most)))
            most -= short[-1][1]
        return [(address, n) for address, n in short if n]

    @staticmethod
    def _prp(memory, first, second, length, page):
        """The lists and the data of a pair of PRPs (one list at most)."""
        n = min(length, page - first % page)
        lists, data = [], [(first, n)]
        left = length - n
        if left > page:
            count = -(-left // page)
            lists = [(second, 8 * count)]
            pages = struct.unpack_from(f'<{count}Q', memory, second)
        else:
            pages = [second] if left else []
        for address in pages:
            n = min(left, page)
            data.append((address, n))
            left -= n
        return lists, data
