# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest with the module "counter", whose server can be stopped.

Module counter counts its accesses, so a read that was lost or done twice
shows.
"""

import time

from riotest import SERVER, FlatGuest, Server

VENDOR, DEVICE = 0x1234, 0x10e1
ID, READS, WRITES, COUNT_READ, POST = 0x00, 0x08, 0x10, 0x80, 0x88
COUNTER_ID = 0x544e4352
ALL_ONES = 0xffffffff
PORTS = 0xb00       # where the form for the ISA bus is

NEVER = 600000      # a loss timeout that no test outlives, in milliseconds
SOON = 2000         # one that every test of it waits for
GRACE = 0.2         # what a command may take longer than the loss timeout


class Machine:
    """A server with a counter, and a flat guest that has it as a device.

    @bus      "pci", or "isa": its registers are ports then
    @args     further options of QEMU
    @options  further properties of the device
    @how      further arguments of FlatGuest
    """

    def __init__(self, folder, policy='pause', timeout=NEVER, args=(),
                 listen='unix', bus='pci', options=None, **how):
        self.bus = bus
        self.server = Server(
            SERVER, folder, listen=listen,
            args=('--module', f'counter,id=count,bus={bus}'))
        driver = {'pci': 'remote-io', 'isa': 'remote-io-isa'}[bus]
        self.properties = {
            'driver': driver, 'id': 'dev', 'server': self.server.address,
            'module': 'count', 'on-loss': policy, 'loss-timeout': timeout,
            **(options or {})}
        words = (f'{name}={value}' for name, value in self.properties.items())
        self.guest = FlatGuest(folder, args=(
            '-device', ','.join(words), *args), **how)
        self.qmp = self.guest.qmp
        self.base = None

    def __enter__(self):
        self.server.start()
        self.guest.start()
        self.find()
        return self

    def __exit__(self, *_):
        self.guest.close()
        self.server.close()

    def find(self):
        """Switch it on, once or again after a reset."""
        self.base = PORTS
        if self.bus == 'pci':
            bdf = self.guest.find_pci(VENDOR, DEVICE)
            self.guest.enable_pci(bdf)
            self.base = self.guest.bar(bdf)
        assert self.read(ID) == COUNTER_ID

    def plug(self):
        """Plug it in again, where it was."""
        before = self.base
        self.qmp.cmd('device_add', **self.properties)
        bdf = self.guest.find_pci(VENDOR, DEVICE)
        # Nobody but us gives it an address now
        self.guest.config_write(bdf, 0x10, before)
        self.find()

    def access(self, kind, register, *more):
        """The flat guest's words: @kind "R" or "W", 32 bits."""
        kind = kind if self.bus == 'pci' else kind.lower()
        return ' '.join((f'{kind}32', *(f'{word:x}' for word in
                                        (self.base + register, *more))))

    def read(self, register):
        return self.guest.do(self.access('R', register))

    def begin_read(self):
        """Send processor 0 into a counted read; it returns the count."""
        self.guest.post(self.access('R', COUNT_READ))

    def status(self):
        return self.qmp.cmd('query-status')['status']

    def device(self):
        return self.guest.vm.remote_io('dev')

    def wait_device(self, **wanted):
        """Until query-remote-io says so of the device."""
        end = time.monotonic() + 60
        while True:
            device = self.device()
            if wanted.items() <= device.items():
                return device
            assert time.monotonic() < end, (wanted, device)

    def check_processor_1_runs(self):
        """Its loop and its timer go on, and processor 0's read does not."""
        self.guest.wait_heartbeat()
        for _ in range(50):
            assert self.guest.poll() is None
        self.guest.wait_heartbeat()

    def check_counts(self, reads):
        """The module was read exactly so often, and still works."""
        assert self.read(READS) == reads
        self.begin_read()
        assert self.guest.wait() == reads + 1


def seconds(action):
    """How long an action took."""
    start = time.monotonic()
    action()
    took = time.monotonic() - start
    print(f'# {took * 1000:.1f} ms')
    return took
