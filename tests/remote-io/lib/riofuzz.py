# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests with hostile peers share: seeds, time, and mischief.

RIO_FUZZ_SECONDS   how long each test goes on; the default suits `make check`
RIO_FUZZ_SEED      repeats a run, as far as the other end's timing allows
"""

import os
import random
import struct
import time

from riowire import HEADER, OPS

SECONDS = float(os.environ.get('RIO_FUZZ_SECONDS', 6))

# Numbers at which checks of sizes and counts go wrong
EDGES = (0, 1, 2, 7, 8, 0x2f, 0x30, 0x31, 0x7f, 0x80, 0xff, 0x100, 0xfff,
         0x1000, 0x7fff, 0x8000, 0xffff, 0x10000, 0x21000, 0x7fffffff,
         0x80000000, 0xffffffff, 0x100000000, 0x7fffffffffffffff,
         0x8000000000000000, 0xffffffffffffffff)


class Fuzz:
    """A run with a seed, which is printed, and an end."""

    def __init__(self):
        self.seed = int(os.environ.get('RIO_FUZZ_SEED') or
                        int.from_bytes(os.urandom(4), 'little'))
        self.rng = random.Random(self.seed)
        self.rounds = 0
        self._end = time.monotonic() + SECONDS
        print(f'# RIO_FUZZ_SEED={self.seed}', flush=True)

    def go_on(self):
        """Count a round; False when it was the last."""
        self.rounds += 1
        return time.monotonic() < self._end

    def tell(self):
        print(f'# {self.rounds} rounds', flush=True)


def damage(rng, data, first=0):
    """@data with some of it other than before, from byte @first on."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        if len(data) <= first:
            break
        at = rng.randrange(first, len(data))
        size = min(rng.choice((1, 2, 4, 8)), len(data) - at)
        kind = rng.randrange(3)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at] = rng.randrange(256)
        else:
            edge = struct.pack('<Q', rng.choice(EDGES))
            data[at:at + size] = edge[:size]
    return bytes(data)


def _length(rng, data):
    return struct.pack('<I', rng.choice(EDGES) & 0xffffffff) + data[4:]


def _op(rng, data):
    op = rng.choice((rng.randrange(256), *OPS.values()))
    return data[:4] + bytes((op,)) + data[5:]


def _cut(rng, data):
    """Less of it, and the header says so."""
    data = data[:rng.randrange(HEADER.size, len(data) + 1)]
    return struct.pack('<I', len(data)) + data[4:]


def _grow(rng, data):
    """More of it, and the header says so."""
    data += rng.randbytes(rng.choice((1, 8, 64, 4096, 8192, 140000)))
    return struct.pack('<I', len(data)) + data[4:]


def _noise(rng, _):
    return rng.randbytes(rng.choice((1, 47, 48, 200, 5000)))


def mischief(rng, messages):
    """Bytes that no honest peer sends, made of some that one does."""
    data = rng.choice(messages)
    kind = rng.randrange(10)
    if kind < 3:
        return damage(rng, data)
    if kind < 5:
        return damage(rng, data, 4)         # the length stays right
    if kind == 5:
        return data * rng.randrange(2, 20)
    return rng.choice((_length, _op, _cut, _grow, _noise))(rng, data)
