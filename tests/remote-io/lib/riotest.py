# SPDX-License-Identifier: GPL-2.0-or-later
"""What the script tests share.

    import os, sys
    sys.path.insert(0, os.path.join(os.path.dirname(__file__), 'lib'))
    from riotest import FlatGuest, Qmp, Server, Vm, main

The classes Child, Qmp, Server, Vm and Guest are those that "make run" uses
itself.  A test is a function that takes a folder of its own; main() runs
them all, each with a TAP line named after it.
"""

import os
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.realpath(__file__))
TOP = os.path.realpath(os.path.join(HERE, '..', '..', '..'))
sys.path.insert(0, os.path.join(TOP, 'scripts', 'remote-io', 'lib'))

# pylint: disable=wrong-import-position
from remoteio import (Child, ChildEnded, DelayLine, DiskGuest,  # noqa: E402
                      Guest, GuestError, LineError, Qmp, QmpError, Server,
                      Vm)

__all__ = ['BUILD', 'QEMU', 'SERVER', 'TOP', 'Child', 'ChildEnded',
           'DelayLine', 'DiskGuest', 'FlatGuest', 'Guest', 'GuestError',
           'LineError', 'Qmp', 'QmpError', 'Server', 'Skip', 'Vm', 'main']

BUILD = os.environ.get('RIO_BUILD', os.path.join(TOP, 'build'))
QEMU = os.environ.get('RIO_QEMU', os.path.join(BUILD, 'qemu-system-x86_64'))
SERVER = os.environ.get('RIO_SERVER', os.path.join(BUILD, 'remote-io-server'))
FLAT = os.path.join(BUILD, 'tests', 'remote-io', 'flat-guest')


class Skip(Exception):
    """Raised by a test that cannot run here; the text says why."""


class FlatGuest:
    """The flat guest: single accesses of a VM's processor, on command.

    Processor 0 carries out accesses, processor 1 answers.  So a read that
    hangs leaves every method but wait() and the shorthands below it usable.

    @folder   existing folder for sockets and logs
    @args     further options of QEMU: the devices under test
    @cpus     processors 2 and up are workers like 0
    @accel    with "tcg,thread=single" all processors share a thread, and
              while one hangs none answers
    """

    def __init__(self, folder, args=(), cpus=2, memory=64, machine='q35',
                 accel='tcg,thread=multi'):
        self._path = os.path.join(folder, 'flat.sock')
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self._path)
        self._listener.listen(1)
        self._line = self._stream = None
        self._cpus = cpus
        self.vm = Vm(QEMU, folder, args=(
            '-M', machine, '-accel', accel, '-smp', str(cpus),
            '-m', str(memory), '-kernel', FLAT,
            '-chardev', f'socket,id=flat,path={self._path},server=off',
            '-device', 'isa-serial,chardev=flat,iobase=0x2f8,irq=3', *args))
        self.qmp = self.vm.qmp

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    def start(self, timeout=60):
        """Boot it; it answers afterwards."""
        self.vm.start()
        self._line = self.vm.child.accept(self._listener, timeout)
        self._line.settimeout(timeout)
        self._stream = self._line.makefile('rb')
        self.wait_ready()
        return self

    def reset(self):
        """Reset the machine; it answers afterwards, and knows nothing."""
        self.qmp.cmd('system_reset')
        self.wait_ready()

    def wait_ready(self):
        """Wait until it has started, again if it was reset."""
        while self._read_line() != 'ready':
            pass                        # The end of what was before.
        answer = self.ask('id')
        assert answer == f'flat {self._cpus:x}', answer

    def close(self):
        if self._line:
            self._stream.close()
            self._line.close()
            self._line = None
        self.vm.close()
        self._listener.close()
        if os.path.exists(self._path):
            os.unlink(self._path)

    def ask(self, command):
        """Send one command line of the flat guest; return its answer."""
        self.send(command)
        return self.answer()

    def send(self, command):
        """Send a command line whose answer may not come for now."""
        self._line.sendall(command.encode() + b'\n')

    def answer(self):
        answer = self._read_line()
        if answer == 'what?':
            raise ValueError('the flat guest does not know this command')
        return answer

    def _read_line(self):
        line = self._stream.readline()
        if not line:
            raise ChildEnded(self.vm.child.last_words())
        return line.decode().strip()

    def heartbeat(self):
        """(loops, timer interrupts) of processor 1: both only ever grow."""
        loops, ticks = self.ask('hb').split()
        return int(loops, 16), int(ticks, 16)

    def wait_heartbeat(self, timeout=60):
        """Processor 1 runs: wait until both of its counts have grown.

        How soon depends on the host, so that is no proof of anything.
        """
        first = last = self.heartbeat()
        end = time.monotonic() + timeout
        while last[0] == first[0] or last[1] == first[1]:
            assert time.monotonic() < end, (first, last)
            now = self.heartbeat()
            assert now[0] >= last[0] and now[1] >= last[1], (last, now)
            last = now

    def post(self, access, cpu=0):
        """Have a processor begin an access: "R32 fe000000", "w8 3f8 41"."""
        answer = self.ask(f'@{cpu:x} {access}')
        assert answer == 'ok', f'processor {cpu} is {answer}'

    def poll(self, cpu=0):
        """None while the access is not done, else the value read."""
        answer = self.ask(f'@{cpu:x} poll')
        return None if answer == 'busy' else int(answer.split()[1], 16)

    def wait(self, cpu=0):
        """Wait until the access is done; return the value read.

        For as long as the line's timeout: each question is answered by a
        processor that runs, so asking is not a busy wait of ours.
        """
        value = self.poll(cpu)
        while value is None:
            value = self.poll(cpu)
        return value

    def do(self, access, cpu=0):
        """Carry out an access and wait for it."""
        self.post(access, cpu)
        return self.wait(cpu)

    def read(self, address, bits=32, cpu=0):
        return self.do(f'R{bits} {address:x}', cpu)

    def write(self, address, value, bits=32, cpu=0):
        self.do(f'W{bits} {address:x} {value:x}', cpu)

    def port_read(self, port, bits=8, cpu=0):
        return self.do(f'r{bits} {port:x}', cpu)

    def port_write(self, port, value, bits=8, cpu=0):
        self.do(f'w{bits} {port:x} {value:x}', cpu)

    def config_read(self, bdf, reg):
        return int(self.ask(f'cr {bdf:x} {reg:x}'), 16)

    def config_write(self, bdf, reg, value):
        self.ask(f'cw {bdf:x} {reg:x} {value:x}')

    def find_pci(self, vendor, device, buses=4):
        """Bus, device and function, as one number, of the first match."""
        wanted = device << 16 | vendor
        for bdf in range(buses << 8):
            if self.config_read(bdf, 0) == wanted:
                return bdf
        raise LookupError(f'no PCI device {vendor:04x}:{device:04x}')

    def bar(self, bdf, number=0):
        """Address (or port) of a BAR, as the firmware has set it."""
        low = self.config_read(bdf, 0x10 + 4 * number)
        if low & 1:
            return low & ~0x3
        if low & 4 and self.config_read(bdf, 0x14 + 4 * number):
            raise LookupError('the BAR lies above 4 GiB')
        return low & ~0xf

    def enable_pci(self, bdf, bits=0x7):
        """Set bits of the command register: ports, memory, bus master."""
        self.config_write(bdf, 4, self.config_read(bdf, 4) & 0xffff | bits)

    def interrupts(self, vector):
        """How many interrupts have come with this vector."""
        return int(self.ask(f'irqs {vector:x}'), 16)


def _run(test):
    folder = tempfile.mkdtemp(prefix='remote-io-')
    try:
        test(folder)
    except Skip as why:
        return 'ok', f' # SKIP {why}'
    except Exception:                   # pylint: disable=broad-except
        for name in sorted(os.listdir(folder)):
            if name.endswith('.log'):
                _show_end(os.path.join(folder, name))
        # Last, where whoever shows but the end of it shows the reason
        print('# ' + traceback.format_exc().strip().replace('\n', '\n# '))
        return 'not ok', ''
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 'ok', ''


def _show_end(path, lines=20):
    with open(path, encoding='utf-8', errors='replace') as log:
        for line in log.read().splitlines()[-lines:]:
            print(f'# {os.path.basename(path)}: {line}')


def main(*tests):
    """Run the tests, or those named on the command line; exit as TAP."""
    # Whoever ends us, the folders and processes of a test go with it.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    wanted = sys.argv[1:]
    chosen = [test for test in tests
              if not wanted or test.__name__ in wanted]
    print(f'1..{len(chosen)}', flush=True)
    failed = 0
    for number, test in enumerate(chosen, 1):
        verdict, note = _run(test)
        failed += verdict != 'ok'
        name = test.__name__.removeprefix('test_').replace('_', '-')
        print(f'{verdict} {number} {name}{note}', flush=True)
    sys.exit(bool(failed))
