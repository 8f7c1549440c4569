# SPDX-License-Identifier: GPL-2.0-or-later
"""A Debian system on a disk in remote-io-server."""

import os
import subprocess

from .child import ChildEnded
from .guest import WIDE, Guest


def escaped(value):
    """As it is written in an option: a comma is doubled."""
    return value.replace(',', ',,')


def qemu_img(build, *arguments):
    """Run qemu-img of the build; return what it prints."""
    binary = os.path.join(build, 'qemu-img')
    try:
        done = subprocess.run([binary, *arguments], capture_output=True,
                              text=True, check=False)
    except OSError as error:
        raise ChildEnded(f'{binary} does not start: {error.strerror}') \
            from error
    if done.returncode:
        raise ChildEnded(done.stderr.strip())
    return done.stdout


class DiskGuest(Guest):
    """A guest that its firmware starts from a disk in remote-io-server.

    @disk      qcow2 image that the guest writes to, see new_disk()
    @firmware  file name for -bios; None is SeaBIOS
    @size      of the terminal, in the words of stty
    @reboots   False: a reboot of the guest ends the machine

    The disk is "disk0" on the server's side (module, block node) and on
    the machine's.  A reboot goes through the firmware, as that of any
    machine.
    """

    POWER_OFF = b'poweroff\n'

    def __init__(self, build, folder, disk, firmware=None, size=WIDE,
                 reboots=True, modules=(), devices=(), memory=512):
        self.disk = disk
        size = size.replace('=', ' ')
        self._prepare(
            build, folder,
            ('--blockdev', 'driver=qcow2,node-name=disk0,discard=unmap,'
                           'file.driver=file,'
                           f'file.filename={escaped(disk)}',
             '--module', 'nvme,id=disk0,drive=disk0', *modules),
            ('-m', str(memory),
             '-device', 'remote-io,id=disk0,server=@SERVER@,module=disk0,'
                        'on-loss=wait,bootindex=0',
             '-fw_cfg', f'name=opt/org.remote-io/terminal,string={size}',
             *(('-bios', firmware) if firmware else ()),
             *(() if reboots else ('-no-reboot',)), *devices))

    @staticmethod
    def new_disk(build, system, path, alone=False):
        """Make a disk with what is on @system, a raw image.

        It needs @system to stay as it is, unless it is to stand @alone.
        """
        if alone:
            qemu_img(build, 'convert', '-f', 'raw', '-O', 'qcow2', system,
                     f'{path}.new')
            os.rename(f'{path}.new', path)
        else:
            qemu_img(build, 'create', '-q', '-f', 'qcow2', '-F', 'raw',
                     '-b', os.path.abspath(system), path)
        return path
