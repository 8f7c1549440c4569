# SPDX-License-Identifier: GPL-2.0-or-later
"""qemu-system-x86_64 as a child process."""

import os

from .child import Child
from .qmp import PATIENCE, Qmp

# No device but those a caller asks for.
BARE = ('-nodefaults', '-no-user-config', '-display', 'none')


class Vm:
    """A virtual machine; its monitor answers once start() has returned.

    @binary   build/qemu-system-x86_64
    @folder   existing folder for the socket and the log
    @args     further options
    @side     of a delay line: the network namespace it lives in
    """

    def __init__(self, binary, folder, args=(), name='qemu', timeout=PATIENCE,
                 side=None):
        self.name = name
        self.log = os.path.join(folder, f'{name}.log')
        self.qmp = Qmp(os.path.join(folder, f'{name}.qmp'))
        self.child = None
        self._timeout = timeout
        self._side = side
        self.argv = [binary, *BARE, '-chardev', self.qmp.chardev('qmp'),
                     '-mon', 'chardev=qmp,mode=control', *args]

    def __enter__(self):
        return self if self.child else self.start()

    def __exit__(self, *_):
        self.close()

    def start(self):
        self.stop()
        self.child = Child(self.name, self.argv, self.log, self._side)
        self.qmp.accept(self.child, self._timeout)
        return self

    def remote_io(self, ident=None):
        """What query-remote-io says of the device @ident, or of all."""
        devices = self.qmp.cmd('query-remote-io')
        if ident is None:
            return devices
        return next(dev for dev in devices if dev.get('id') == ident)

    def stop(self):
        if self.child:
            self.qmp.disconnect()
            self.child.stop()
            self.child = None

    def close(self):
        """End it and remove what it leaves behind, except the log."""
        self.stop()
        self.qmp.close()
