# SPDX-License-Identifier: GPL-2.0-or-later
"""An NVMe driver of few words, for tests that look over its shoulder.

What it drives is a "device", any object with

    memory                          guest memory: bytes that can be assigned
    read(offset, size=4)            load from a register
    write(offset, value, size=4, posted=False)      store to one
    ring(offset, value)             store to a doorbell
    wait()                          let the other side go on for a moment

so the same commands go over a wire client of our own (riomemory) and
through a real QEMU (riomachine).  Numbers are those of the NVM Express
specification, revision 1.4, typed again.
"""

import struct

CC, CSTS, AQA, ASQ, ACQ, DOORBELLS = 0x14, 0x1c, 0x24, 0x28, 0x30, 0x1000
CC_ON = 6 << 16 | 4 << 20 | 1
READY, FATAL = 1, 2

DELETE_SQ, CREATE_SQ, GET_LOG, CREATE_CQ, IDENTIFY = 0, 1, 2, 5, 6
FLUSH, WRITE, READ, COMPARE, ZEROES, DSM = 0, 1, 2, 5, 8, 9

# Statuses: type and code, and whether to try again
INVALID_OPCODE, DATA_TRANSFER, INTERNAL, LBA_RANGE = 1, 4, 6, 0x080
CAPACITY, WRITE_PROTECTED = 0x081, 0x020
WRITE_FAULT, READ_ERROR, ACCESS_DENIED = 0x280, 0x281, 0x286
DNR, MORE = 0x4000, 0x2000

BLOCK, PAGE = 512, 4096


def code(status):
    """A status without the bits that say more about it."""
    return status & 0x7ff


class Queue:
    """A pair of queues."""

    def __init__(self, ident, sq, cq, entries):
        self.ident, self.sq, self.cq, self.entries = ident, sq, cq, entries
        self.tail = self.head = 0
        self.phase = 1


class Nvme:
    """One controller; its structures begin at @base, data goes to @data."""

    def __init__(self, dev, base=0, entries=32):
        self.dev = dev
        self.base = base
        self.entries = entries
        self.lists = base + 0x20000
        self.data = base + 0x100000
        self.cid = 0
        self.forget()

    def forget(self):
        """Queues as they are before they are made."""
        room = 0x2000 if self.entries <= 128 else 0x8000    # to 512
        at = self.base + (0x10000 if self.entries <= 128 else 0xc0000)
        self.admin = Queue(0, at, at + room, self.entries)
        self.io = Queue(1, at + 2 * room, at + 3 * room, self.entries)
        for at in (self.admin.cq, self.io.cq):
            self.dev.memory[at:at + 16 * self.entries] = \
                bytes(16 * self.entries)

    # --- the controller ---

    def wait_ready(self, ready=1):
        while self.dev.read(CSTS) & READY != ready:
            self.dev.wait()

    def enable(self):
        dev = self.dev
        dev.write(AQA, (self.entries - 1) << 16 | (self.entries - 1))
        dev.write(ASQ, self.admin.sq, 8)
        dev.write(ACQ, self.admin.cq, 8)
        dev.write(CC, CC_ON)
        self.wait_ready()

    def disable(self):
        self.dev.write(CC, 0)
        self.wait_ready(0)
        self.forget()

    def create_queues(self, interrupts=True, vector=1):
        size = (self.entries - 1) << 16 | 1
        for opcode, prp, flags in (
                (CREATE_CQ, self.io.cq, vector << 16 | 1 | 2 * interrupts),
                (CREATE_SQ, self.io.sq, 1 << 16 | 1)):
            self.run(self.admin, opcode, prp, cdw10=size, cdw11=flags)

    def start(self, **how):
        self.enable()
        self.create_queues(**how)
        return self

    def restart(self, **how):
        self.disable()
        return self.start(**how)

    # --- commands ---

    def put(self, queue, opcode, prp1=0, prp2=0, nsid=0, cdw10=0, cdw11=0,
            cdw12=0, flags=0):
        """Write an entry, for ring(); its command id is returned."""
        self.cid = self.cid + 1 & 0xffff
        self.put_raw(queue, struct.pack(
            '<BBHI16xQQIII12x', opcode, flags, self.cid, nsid, prp1, prp2,
            cdw10, cdw11, cdw12))
        return self.cid

    def put_raw(self, queue, entry):
        at = queue.sq + queue.tail * 64
        self.dev.memory[at:at + 64] = entry
        queue.tail = (queue.tail + 1) % queue.entries

    def ring(self, queue):
        self.dev.ring(DOORBELLS + 8 * queue.ident, queue.tail)

    def poll(self, queue):
        """The next completion as (command id, status), or None."""
        at = queue.cq + queue.head * 16
        if self.dev.memory[at + 14] & 1 != queue.phase:
            return None
        cid, status = struct.unpack_from('<HH', self.dev.memory, at + 12)
        queue.head = (queue.head + 1) % queue.entries
        if not queue.head:
            queue.phase ^= 1
        self.dev.write(DOORBELLS + 8 * queue.ident + 4, queue.head,
                       posted=True)
        return cid, status >> 1

    def complete(self, queue):
        done = self.poll(queue)
        while done is None:
            self.dev.wait()
            done = self.poll(queue)
        return done

    def submit(self, queue, *args, **names):
        """One command; its status is returned."""
        cid = self.put(queue, *args, **names)
        self.ring(queue)
        done, status = self.complete(queue)
        assert done == cid, (done, cid)
        return status

    def run(self, queue, *args, **names):
        """One command, which must succeed."""
        status = self.submit(queue, *args, **names)
        assert status == 0, hex(status)

    # --- data ---

    def put_io(self, opcode, lba=0, length=PAGE, data=None):
        """A read or write; its pages are data, data + PAGE, ..."""
        data = self.data if data is None else data
        pages = [data + at for at in range(0, length, PAGE)]
        prp2 = 0
        if len(pages) == 2:
            prp2 = pages[1]
        elif len(pages) > 2:
            prp2 = self.lists + self.io.tail * PAGE
            self.dev.memory[prp2:prp2 + 8 * (len(pages) - 1)] = \
                struct.pack(f'<{len(pages) - 1}Q', *pages[1:])
        return self.put(self.io, opcode, data, prp2, nsid=1,
                        cdw10=lba & 0xffffffff, cdw11=lba >> 32,
                        cdw12=length // BLOCK - 1 if length else 0)

    def io_status(self, opcode, **names):
        """One read or write; its status is returned."""
        cid = self.put_io(opcode, **names)
        self.ring(self.io)
        done, status = self.complete(self.io)
        assert done == cid, (done, cid)
        return status

    def write(self, lba, data):
        """Write bytes to the disk, which must succeed."""
        self.dev.memory[self.data:self.data + len(data)] = data
        status = self.io_status(WRITE, lba=lba, length=len(data))
        assert status == 0, hex(status)

    def read(self, lba, length=PAGE):
        """Read bytes from the disk, which must succeed."""
        end = self.data + length
        self.dev.memory[self.data:end] = b'\xa5' * length
        status = self.io_status(READ, lba=lba, length=length)
        assert status == 0, hex(status)
        return bytes(self.dev.memory[self.data:end])

    def errors(self, count=16):
        """The error log, newest first, as dictionaries."""
        page = self.lists
        self.run(self.admin, GET_LOG, page, nsid=0xffffffff,
                 cdw10=(count * 16 - 1) << 16 | 1)
        found = []
        for at in range(page, page + count * 64, 64):
            number, queue, cid, status, byte, lba, nsid = \
                struct.unpack_from('<QHHHHQI', self.dev.memory, at)
            if number:
                found.append({'number': number, 'queue': queue, 'cid': cid,
                              'status': status >> 1, 'byte': byte,
                              'lba': lba, 'nsid': nsid})
        return found

    def health(self):
        """(media errors, entries ever made in the error log)."""
        self.run(self.admin, GET_LOG, self.lists, nsid=0xffffffff,
                 cdw10=127 << 16 | 2)
        return struct.unpack_from('<Q8xQ', self.dev.memory,
                                  self.lists + 160)


def pattern(seed, length):
    """Bytes that tell where they are."""
    return bytes((seed * 31 + i * 7 + (i >> 8)) & 0xff for i in range(length))
