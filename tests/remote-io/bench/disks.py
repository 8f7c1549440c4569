# SPDX-License-Identifier: GPL-2.0-or-later
"""A Linux guest that measures its disks with fio.

    fio_files()   what the guest needs of this host's fio
    boot_images() the kernel, and a file system with fio
    DiskGuest     the guest's shell, over its serial port
    Job           one measurement of one disk
"""

import os
import re
import shutil
import subprocess

from programs import BenchError, BenchGuest

HERE = os.path.dirname(os.path.realpath(__file__))
TOOLS = os.path.join(HERE, '../../../scripts/remote-io')

MODULES = ('nvme', 'virtio_pci', 'virtio_blk')

# Of fio's terse output, version 3: where a job's name and error are, and
# where the numbers of reads and of writes begin.
NAME, ERROR, READ, WRITE = 2, 4, 5, 46
BANDWIDTH, IOPS, PERCENTILES = 1, 2, slice(12, 32)


def fio_files():
    """--file options of build-initramfs: fio and its shared libraries."""
    binary = shutil.which('fio')
    if not binary:
        raise BenchError('there is no fio: apt-get install fio')
    done = subprocess.run(['ldd', binary], stdout=subprocess.PIPE, text=True,
                          check=True)
    found = [f'--file=usr/bin/fio={binary}']
    for path in re.findall(r'(/\S+) \(0x', done.stdout):
        found.append(f'--file={path}={os.path.realpath(path)}')
    return found


def tool(*argv):
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True,
                          check=False)
    if done.returncode:
        raise BenchError(f'{os.path.basename(argv[0])} failed (see above)')
    return done.stdout


def boot_images(folder):
    """Return the paths of the kernel and of a file system with fio."""
    found = dict(line.split('=', 1) for line in
                 tool(f'{TOOLS}/fetch-kernel').splitlines())
    initrd = os.path.join(folder, 'initrd')
    tool(f'{TOOLS}/build-initramfs', f'--busybox={found["BUSYBOX"]}',
         f'--init={HERE}/fio-init', f'--modules={found["MODULES"]}',
         *(f'--module={name}' for name in MODULES), *fio_files(), initrd)
    return found['KERNEL'], initrd


class Job:
    """What fio does to a disk.

    @disk    name of the disk, as its serial number
    @kind    name of the work, a key of WORK
    @ms      for how long; None: the work says how much
    """

    WORK = {
        'read-1': ('randread', '4k', 1),
        'write-1': ('randwrite', '4k', 1),
        'read-32': ('randread', '4k', 32),
        'write-32': ('randwrite', '4k', 32),
        'read-1m': ('read', '1m', 8),
        'write-1m': ('write', '1m', 8),
    }

    def __init__(self, disk, kind, ms=None, options=()):
        self.disk = disk
        self.kind = kind
        self.name = f'{disk}.{kind}'
        self._ms = ms
        self._options = options

    def words(self, device):
        verb, size, depth = self.WORK[self.kind]
        timed = () if self._ms is None else ('--time_based',
                                             f'--runtime={self._ms}ms')
        return (f'--name={self.name}', '--stonewall',
                f'--filename={device}', f'--rw={verb}', f'--bs={size}',
                f'--iodepth={depth}', *timed, *self._options)


def _numbers(fields):
    """What one line of terse output says, as Rounds wants it."""
    if fields[ERROR] != '0':
        raise BenchError(f'fio: error {fields[ERROR]} in {fields[NAME]}')
    start = WRITE if '.write' in fields[NAME] else READ
    part = fields[start:start + WRITE - READ]
    percentiles = dict(word.split('%=') for word in part[PERCENTILES]
                       if '%=' in word)
    return {'p50': float(percentiles['50.000000']) * 1000,
            'p99': float(percentiles['99.000000']) * 1000,
            'iops': float(part[IOPS]),
            'bandwidth': float(part[BANDWIDTH]) * 1024}


class DiskGuest(BenchGuest):
    """The guest; its disks are known by their serial numbers."""

    def __init__(self, folder):
        super().__init__(folder)
        self._devices = {}

    def shell(self, command, timeout=120):
        """Carry out a command of the shell; return the lines it printed."""
        self._socket.sendall(command.encode() + b'\n')
        lines = []
        while True:
            line = self._line(timeout)
            if line.startswith('done '):
                break
            lines.append(line)
        if line != 'done 0':
            raise BenchError(f'the guest\'s "{command[:60]}" ends with '
                             f'{line[5:]}: {" / ".join(lines[-4:])}')
        return lines

    def find_disks(self, wanted):
        """Wait for the disks with these serial numbers; all else is bad."""
        self.shell('i=0; while [ $(ls -d /sys/block/nvme*n1 '
                   f'/sys/block/vd? | wc -l) -lt {len(wanted)} ] && '
                   '[ $i -lt 60 ]; do sleep 1; i=$((i+1)); done')
        for line in self.shell(
                'for d in /sys/block/nvme*n1 /sys/block/vd?; do '
                'echo $(basename $d) $(cat $d/device/serial $d/serial '
                '2>/dev/null); done; true'):
            device, _, serial = line.partition(' ')
            self._devices[serial.strip()] = f'/dev/{device}'
        missing = set(wanted) - set(self._devices)
        if missing:
            raise BenchError(f'the guest has no disk {" ".join(missing)} '
                             f'(its console: {self.console})')

    def fio(self, jobs, size):
        """Carry out jobs one after the other; {name: numbers}.

        @size: bytes of each disk that are used
        """
        words = ['fio', '--thread', '--direct=1', '--ioengine=libaio',
                 '--output-format=terse', '--terse-version=3',
                 '--randrepeat=0', '--norandommap', f'--size={size}']
        for job in jobs:
            words += job.words(self._devices[job.disk])
        found = {}
        for line in self.shell(' '.join(words), 300):
            fields = line.split(';')
            if fields[0] == '3':
                found[fields[NAME]] = _numbers(fields)
        for job in jobs:
            if job.name not in found:
                raise BenchError(f'fio says nothing of {job.name}')
        return found
