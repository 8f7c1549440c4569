# SPDX-License-Identifier: GPL-2.0-or-later
"""A driver of QEMU's intel-iommu: one domain for one device.

Numbers are those of the VT-d specification, typed again: legacy root and
context tables, second-level page tables of three levels.
"""

import struct

REGISTERS = 0xfed90000
CAP, ECAP, GCMD, GSTS, RTADDR, CCMD, FSTS = \
    0x08, 0x10, 0x18, 0x1c, 0x20, 0x28, 0x34
TE, SRTP = 1 << 31, 1 << 30
READ, WRITE = 1, 2
PAGE = 4096


class Vtd:
    """@do carries out a line of QEMU's test protocol.

    The tables are put into @memory from @at on, 64 KiB at most.
    """

    def __init__(self, do, memory, at, devfn):
        self.do = do
        self.memory = memory
        self.at = self.next = at
        memory[at:at + 65536] = bytes(65536)
        self.root, self.context, self.top = (self._page() for _ in range(3))
        memory[self.root:self.root + 8] = \
            struct.pack('<Q', self.context | 1)
        entry = self.context + 16 * devfn
        memory[entry:entry + 16] = struct.pack('<QQ', self.top | 1,
                                               1 << 8 | 1)

    def _page(self):
        self.next += PAGE
        assert self.next <= self.at + 65536
        return self.next - PAGE

    # --- registers ---

    def read(self, reg, size='l'):
        return self.do(f'read{size} {REGISTERS + reg:#x}')

    def write(self, reg, value, size='l'):
        self.do(f'write{size} {REGISTERS + reg:#x} {value:#x}')

    def enable(self):
        self.write(RTADDR, self.root, 'q')
        self.write(GCMD, SRTP)
        self.write(GCMD, TE)
        assert self.read(GSTS) & TE
        self.flush()

    def disable(self):
        self.write(GCMD, 0)
        assert not self.read(GSTS) & TE

    def flush(self):
        """Forget all that was cached."""
        self.write(CCMD, 1 << 63 | 1 << 61, 'q')
        iotlb = (self.read(ECAP, 'q') >> 8 & 0x3ff) * 16 + 8
        self.write(iotlb, 1 << 63 | 1 << 60, 'q')

    def take_fault(self):
        """(address of the page, was it a read), or None; it is cleared."""
        first = (self.read(CAP, 'q') >> 24 & 0x3ff) * 16
        record = self.read(first, 'q'), self.read(first + 8, 'q')
        if not record[1] >> 63:
            return None
        self.write(first + 12, 1 << 31)
        self.write(FSTS, 1)
        return record[0], bool(record[1] >> 62 & 1)

    # --- pages ---

    def _slot(self, iova):
        table = self.top
        for shift in 30, 21:
            slot = table + (iova >> shift & 511) * 8
            entry = struct.unpack_from('<Q', self.memory, slot)[0]
            if not entry:
                entry = self._page() | READ | WRITE
                self.memory[slot:slot + 8] = struct.pack('<Q', entry)
            table = entry & ~4095
        return table + (iova >> 12 & 511) * 8

    def map(self, iova, address, length=PAGE, flags=READ | WRITE):
        """Map pages; @address None takes the mapping away."""
        for at in range(0, length, PAGE):
            slot = self._slot(iova + at)
            entry = 0 if address is None else address + at | flags
            self.memory[slot:slot + 8] = struct.pack('<Q', entry)

    def unmap(self, iova, length=PAGE):
        self.map(iova, None, length)
        self.flush()
