# SPDX-License-Identifier: GPL-2.0-or-later
"""What one more disk and its client cost a server that has nothing to do.

Memory is what the server has written (private dirty pages, and what was
swapped out), counted before and after so many modules with a client each were
added; each client has used its disk and is still attached.
"""

import os
import re
import time

from riotest import SERVER, Server
from riowire import CAP_RESUME, Wire
from riomemory import CAPS, MemorySession
from rionvme import READ, WRITE, Nvme, pattern

GOAL_KIB = 256
MODULES = 16
WARM = 8
LENGTHS = (512, 4096, 131072)
DATA = 0x100000

# A server gives memory back some keep-alive intervals after the last use
KEEPALIVE_MS = 100
SETTLED_S = 6
PATIENCE_S = 60


def private_kib(pid):
    with open(f'/proc/{pid}/smaps_rollup', encoding='ascii') as rollup:
        text = rollup.read()
    return sum(int(kib) for kib in
               re.findall(r'^(?:Private_Dirty|Swap):\s+(\d+)', text, re.M))


def threads(pid):
    return len(os.listdir(f'/proc/{pid}/task'))


def _use(disk):
    for length in LENGTHS:
        data = pattern(length >> 9, length)
        disk.dev.memory[DATA:DATA + length] = data
        assert disk.io_status(WRITE, length=length) == 0
        assert disk.io_status(READ, length=length) == 0


class Disks:
    """Modules of a server, each with a client that has used it."""

    def __init__(self, server, folder):
        self.server = server
        self.folder = folder
        self.wires = []

    def add(self):
        number = len(self.wires)
        image = os.path.join(self.folder, f'disk{number}')
        with open(image, 'wb') as f:
            f.truncate(1 << 20)
        qmp = self.server.qmp
        qmp.cmd('blockdev-add', **{'driver': 'file', 'filename': image,
                                   'node-name': f'd{number}'})
        qmp.cmd('remote-io-module-add', **{'driver': 'nvme',
                                           'id': f'm{number}',
                                           'drive': f'd{number}'})
        wire = Wire(self.server.address, f'c{number}', caps=CAPS | CAP_RESUME,
                    keepalive_ms=KEEPALIVE_MS)
        self.wires.append(wire)
        dev = wire.attach(f'm{number}', session=MemorySession, caps=CAPS)
        _use(Nvme(dev).start())
        dev.memory = None
        wire.pause()
        wire.send('ACK', ids=dev.ids, epoch=dev.epoch, ack=dev.received)
        self.keep_alive()

    def keep_alive(self):
        for wire in self.wires:
            wire.pause()

    def settle(self):
        """What the server has, once that has not changed for a while."""
        pid = self.server.child.pid
        least = private_kib(pid)
        since = start = time.monotonic()
        while time.monotonic() - since < SETTLED_S:
            assert time.monotonic() - start < PATIENCE_S, least
            self.keep_alive()
            time.sleep(KEEPALIVE_MS / 4000)
            now = private_kib(pid)
            if now < least:
                least, since = now, time.monotonic()
        return least, threads(pid)

    def close(self):
        for wire in self.wires:
            wire.close()


def measure(folder, modules=MODULES):
    """(KiB, threads) of one more module and client."""
    with Server(SERVER, folder) as server:
        disks = Disks(server, folder)
        try:
            # What is there once for all of them
            for _ in range(WARM // 2):
                disks.add()
            disks.settle()
            for _ in range(WARM // 2):
                disks.add()
            before = disks.settle()
            for _ in range(modules):
                disks.add()
            after = disks.settle()
        finally:
            disks.close()
    return tuple((b - a) / modules for a, b in zip(before, after))
