# SPDX-License-Identifier: GPL-2.0-or-later
"""A counter and a disk at the end of a path on which everything goes wrong.

    with Path(folder, gateway=False) as path:
        load = Load(path, random.Random(1))
        faults = Faults(path, random.Random(1), longest=300)
        for kind in faults.kinds:
            faults.run(kind, load)
            load.check()
        load.check_all()
        faults.times                # kind -> milliseconds to the first access
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor

from riomachine import Device, Machine
from rionvme import BLOCK, PAGE, Nvme
from riorelay import Relay
from riotest import SERVER, Server

READS, SUM, ORDER_ERRORS = 0x08, 0x20, 0x30
COUNT_READ, ORDER = 0x80, 0x98
COUNTER_SLOT, COUNTER_BAR = 5, 0xfe100000
BLOCKS = 64                     # places of the disk that are written


class Path:
    """Servers, a path that breaks, and a QEMU at its end."""

    def __init__(self, folder, gateway):
        image = os.path.join(folder, 'disk')
        with open(image, 'wb') as file:
            file.truncate(16 << 20)
        self.server = Server(SERVER, folder, name='home', args=(
            '--server-id', 'home', '--journal', os.path.join(folder, 'kept'),
            '--blockdev', f'file,node-name=d,filename={image}',
            '--module', 'counter,id=count', '--module', 'nvme,id=disk,drive=d'))
        self.relay = Relay(folder, self.server.address, tcp=True)
        self.gateway = gateway and Server(SERVER, folder, name='gate', args=(
            '--gateway', '--server-id', 'host', '--peer',
            f'id=home,addr={self.relay.address}'))
        near = self.gateway.address if gateway else self.relay.address
        more = ',client-id=host' if gateway else ''
        how = f'server={near},on-loss=wait,loss-timeout=600000,' \
              f'reconnect-ms=10{more}'
        self.machine = Machine(
            folder, '-device', f'remote-io,id=disk,addr=4,module=disk,{how}',
            '-device', f'remote-io,id=count,addr={COUNTER_SLOT},'
                       f'module=count,{how}', memory=64)
        self.disk = None

    def __enter__(self):
        self.server.start()
        if self.gateway:
            self.gateway.start()
        machine = self.machine.__enter__()
        machine.map_bar()
        machine.config_write(0x10, COUNTER_BAR, COUNTER_SLOT)
        machine.config_write(0x04, 0x7, COUNTER_SLOT)
        self.disk = Nvme(Device(machine)).start()
        return self

    def __exit__(self, *_):
        self.machine.__exit__()
        if self.gateway:
            self.gateway.close()
        self.relay.close()
        self.server.close()


class Load:
    """What the guest does, and what it must find."""

    def __init__(self, path, rng):
        self.path = path
        self.rng = rng
        self.reads = self.sum = self.order = 0
        self.model = {}

    def counter(self, command):
        return self.path.machine.do(command)

    def load(self):
        self.reads += 1
        value = self.counter(f'readl {COUNTER_BAR + COUNT_READ:#x}')
        assert value == self.reads, (value, self.reads)

    def store(self):
        for _ in range(self.rng.randrange(1, 20)):
            self.order += 1
            self.sum += self.order
            self.counter(f'writel {COUNTER_BAR + ORDER:#x} {self.order:#x}')

    def write(self):
        place = self.rng.randrange(BLOCKS)
        data = self.rng.randbytes(self.rng.choice((1, 2, 5)) * PAGE)
        self.path.disk.write(place * 8 * PAGE // BLOCK, data)
        self.model[place] = data

    def read(self, place=None):
        if not self.model:
            return
        if place is None:
            place = self.rng.choice(list(self.model))
        data = self.model[place]
        found = self.path.disk.read(place * 8 * PAGE // BLOCK, len(data))
        assert found == data, f'place {place} differs'

    def step(self):
        self.rng.choice((self.load, self.store, self.write, self.read))()

    def check(self):
        for register, wanted in (READS, self.reads), (ORDER_ERRORS, 0), \
                (SUM, self.sum):
            found = self.counter(f'readl {COUNTER_BAR + register:#x}')
            assert found == wanted & 0xffffffff, (hex(register), found, wanted)

    def check_all(self):
        """The counts, and every block that was ever written."""
        self.check()
        for place in self.model:
            self.read(place)
        for device in 'disk', 'count':
            stats = self.path.machine.stats(device)
            assert stats['failed'] == 0 and stats['reconnects'] > 0, stats


class Faults:
    """One fault after the other, beside the load.

    All of them in one thread: a child ends with the thread that started it.
    """

    def __init__(self, path, rng, longest):
        self.path = path
        self.rng = rng
        self.longest = longest
        self.kinds = [self.cut, self.cut_at_byte, self.reset, self.silence,
                      self.stop, self.kill, self.upgrade]
        if path.gateway:
            self.kinds.append(self.kill_gateway)
        self.times = {}
        self.returned = 0
        self.thread = ThreadPoolExecutor(max_workers=1)

    def pause(self):
        """5 ms to the longest, the short ones as often as the long."""
        ms = 5 * (self.longest / 5) ** self.rng.random()
        time.sleep(ms / 1000)

    def cut(self):
        self.path.relay.block()
        self.path.relay.cut()
        self.pause()
        self.path.relay.unblock()

    def cut_at_byte(self):
        self.path.relay.cut_after(self.rng.randrange(1, 20000))
        time.sleep(0.01)
        self.path.relay.cut()           # if so many bytes have not passed

    def reset(self):
        self.path.relay.cut(reset=True)

    def silence(self):
        self.path.relay.stop()
        self.pause()
        self.path.relay.go()

    def stop(self):
        self.path.server.freeze()
        self.pause()
        self.path.server.thaw()

    def kill(self):
        self.path.server.kill()
        self.path.server.start()

    def kill_gateway(self):
        self.path.gateway.kill()
        self.path.gateway.start()

    def upgrade(self):
        server = self.path.server
        server.qmp.cmd('remote-io-upgrade')
        server.qmp.disconnect()
        server.qmp.accept(server.child, 60)

    def run(self, kind, load):
        """@kind happens while the load goes on; it goes on after it."""
        def happen():
            try:
                kind()
            finally:
                self.returned = time.monotonic()

        self.returned = 0
        done = self.thread.submit(happen)
        while not self.returned:
            load.step()
        load.load()
        took = time.monotonic() - self.returned
        done.result()
        self.times.setdefault(kind.__name__, []).append(took * 1000)
