# SPDX-License-Identifier: GPL-2.0-or-later
"""A QEMU whose memory lies open, and PCI devices of it.

Machine has no processor: its accesses are the test's, one line of QEMU's
test protocol each.  SharedMemory gives any QEMU guest memory that is a file
which the test has mapped, so that it can be filled and looked at like a
bytearray, without QEMU's help and while QEMU writes to it.
"""

import mmap
import os
import socket
import time

from riotest import QEMU, Vm

SLOT, BAR = 4, 0xfe000000
# The registers of this machine that eject a PCI device, as its guest would
EJECT, EJECT_BUS = 0xae08, 0xae10


class SharedMemory:
    """Guest memory from address 0 up, below what a PC has at 3 GiB."""

    def __init__(self, folder, mib=64, name='ram'):
        self.size = mib << 20
        self.path = os.path.join(folder, name)
        with open(self.path, 'w+b') as f:
            f.truncate(self.size)
            self.bytes = mmap.mmap(f.fileno(), self.size)
        self.args = ('-machine', 'memory-backend=ram', '-m', str(mib),
                     '-object', f'memory-backend-file,id=ram,size={mib}M,'
                                f'mem-path={self.path},share=on')

    def close(self):
        self.bytes.close()
        os.unlink(self.path)


class Machine:
    """A QEMU without a processor: its accesses are ours.

    @side   the host that it runs on, if not this one
    """

    def __init__(self, folder, *args, machine='pc', memory=None, side=None):
        path = os.path.join(folder, 'qtest')
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(1)
        self.memory = SharedMemory(folder, memory) if memory else None
        self.vm = Vm(QEMU, folder, args=(
            '-machine', machine, '-accel', 'qtest', '-qtest', f'unix:{path}',
            '-qtest-log', 'none', *(self.memory.args if memory else ()),
            *args), side=side)
        self.qmp = self.vm.qmp
        self.stream = None
        self.before = None

    def __enter__(self):
        self.vm.start()
        self.stream = self.listener.accept()[0].makefile('rwb', buffering=0)
        self.before = self.usage()
        return self

    def __exit__(self, *_):
        self.stream.close()
        self.vm.close()
        self.listener.close()
        if self.memory:
            self.memory.close()

    def do(self, command):
        self.stream.write(command.encode() + b'\n')
        answer = self.stream.readline().split()
        assert answer[:1] == [b'OK'], (answer, self.vm.child.last_words())
        return int(answer[1], 16) if len(answer) > 1 else 0

    def config_read(self, reg, slot=SLOT):
        self.do(f'outl 0xcf8 {0x80000000 | slot << 11 | reg:#x}')
        return self.do('inl 0xcfc')

    def config_write(self, reg, value, slot=SLOT):
        self.do(f'outl 0xcf8 {0x80000000 | slot << 11 | reg:#x}')
        self.do(f'outl 0xcfc {value:#x}')

    def map_bar(self, command=0x7):
        self.config_write(0x10, BAR)
        self.config_write(0x04, command)

    def eject(self, ident):
        """device_del, and the guest's part of it."""
        self.qmp.cmd('device_del', id=ident)
        self.do(f'outl {EJECT_BUS:#x} 0')
        self.do(f'outl {EJECT:#x} {1 << SLOT:#x}')
        self.qmp.wait_event('DEVICE_DELETED', 30, device=ident)

    def usage(self):
        """Threads, files, KiB of memory."""
        task = f'/proc/{self.vm.child.pid}'
        with open(f'{task}/status', encoding='utf-8') as status:
            memory = next(int(line.split()[1]) for line in status
                          if line.startswith('VmRSS'))
        return (len(os.listdir(f'{task}/task')),
                len(os.listdir(f'{task}/fd')), memory)

    def stats(self, ident):
        return self.vm.remote_io(ident)['stats']

    def warnings(self):
        with open(self.vm.log, encoding='utf-8', errors='replace') as log:
            return [line for line in log if 'warning' in line]

    def check(self):
        assert self.vm.child.running, self.vm.child.last_words()
        self.qmp.cmd('query-status')
        self.qmp.events.clear()

    def check_nothing_left(self):
        """Threads that have ended may take a moment to be gone."""
        threads, files, memory = self.before
        until(lambda: self.usage()[0] <= threads and
              self.usage()[1] <= files, 20)
        now = self.usage()
        assert now[2] < memory + 65536, (self.before, now)

    def check_quits(self):
        self.qmp.cmd('quit')
        assert self.vm.child.wait(20) == 0, self.vm.child.last_words()


class Device:
    """The PCI device in SLOT of a Machine, for its registers in BAR 0."""

    def __init__(self, machine):
        self.machine = machine
        self.memory = machine.memory and machine.memory.bytes

    def read(self, offset, size=4):
        return self.machine.do(f'read{"bw?l???q"[size - 1]} '
                               f'{BAR + offset:#x}')

    def write(self, offset, value, size=4, posted=False):
        del posted                      # the module has said what is posted
        self.machine.do(f'write{"bw?l???q"[size - 1]} {BAR + offset:#x} '
                        f'{value:#x}')

    def ring(self, offset, value):
        self.write(offset, value)

    def wait(self):
        """Let QEMU's own thread go on."""
        assert self.machine.vm.child.running, \
            self.machine.vm.child.last_words()
        time.sleep(0.001)


def until(condition, timeout=60, what=None):
    """Wait until @condition() is true; its value is returned."""
    end = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < end, what() if what else condition
        time.sleep(0.002)
    return value


class FlatDevice:
    """A PCI device of a flat guest: its accesses are a real processor's."""

    def __init__(self, guest, memory, vendor, device):
        self.guest = guest
        self.memory = memory.bytes
        self._vendor, self._device = vendor, device
        self.bar = None
        self.find()

    def find(self):
        """Find it and switch it on, after the machine was reset too."""
        bdf = self.guest.find_pci(self._vendor, self._device)
        self.guest.enable_pci(bdf)
        self.bar = self.guest.bar(bdf)

    def read(self, offset, size=4):
        return self.guest.read(self.bar + offset, size * 8)

    def write(self, offset, value, size=4, posted=False):
        del posted                      # the module has said what is posted
        self.guest.write(self.bar + offset, value, size * 8)

    def ring(self, offset, value):
        self.write(offset, value)

    def wait(self):
        self.guest.heartbeat()

    def begin_read(self, offset):
        """Send the processor into a load; guest.wait() has its value."""
        self.guest.post(f'R32 {self.bar + offset:x}')
