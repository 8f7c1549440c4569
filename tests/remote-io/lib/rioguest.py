# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian guest of "make run", for tests."""

import os
import subprocess

from riotest import TOP, Skip

TOOLS = os.path.join(TOP, 'scripts', 'remote-io')
INIT = os.path.join(TOP, 'tests', 'remote-io', 'guest', 'init')


def cached_guest(folder, *modules):
    """Return kernel and initrd; skip where they cannot be had.

    @modules   the kernel's, by name, that are loaded at boot
    """
    done = subprocess.run([os.path.join(TOOLS, 'fetch-kernel')],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, check=False)
    if done.returncode:
        raise Skip(done.stderr.strip().splitlines()[-1])
    found = dict(line.split('=', 1) for line in done.stdout.splitlines())
    initrd = os.path.join(folder, 'initrd')
    subprocess.run([os.path.join(TOOLS, 'build-initramfs'),
                    f'--busybox={found["BUSYBOX"]}', f'--init={INIT}',
                    f'--modules={found["MODULES"]}',
                    *(f'--module={name}' for name in modules), initrd],
                   check=True)
    return found['KERNEL'], initrd
