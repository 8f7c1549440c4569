# SPDX-License-Identifier: GPL-2.0-or-later
"""Start, watch and end remote-io-server and QEMU.

    child.py    a process that cannot outlive us
    qmp.py      a monitor, QEMU's or the server's
    server.py   remote-io-server
    vm.py       QEMU
    guest.py    a Debian guest whose console is a remote UART
    disk.py     the same, started from a remote disk
    line.py     a slow or broken network between namespaces

Nothing here sleeps: every wait is for a descriptor.  QEMU and the server
connect to sockets that listen before they start, so there is no moment in
which a socket "does not exist yet".
"""

from .child import Child, ChildEnded
from .qmp import Qmp, QmpError
from .server import Server
from .vm import Vm
from .guest import Guest, GuestError
from .disk import DiskGuest
from .line import DelayLine, LineError

__all__ = ['Child', 'ChildEnded', 'DelayLine', 'DiskGuest', 'Guest',
           'GuestError', 'LineError', 'Qmp', 'QmpError', 'Server', 'Vm']
