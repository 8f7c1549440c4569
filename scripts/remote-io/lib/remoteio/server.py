# SPDX-License-Identifier: GPL-2.0-or-later
"""remote-io-server as a child process."""

import os
import signal
import socket

from .child import Child
from .qmp import PATIENCE, Qmp


_kept = []


def free_port(host='127.0.0.1'):
    """A TCP port nobody listens on, and that nobody else is given.

    A socket of ours stays bound to it, without listening, until we end: a
    server may listen there all the same, as it may after one that crashed.
    """
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    keeper = socket.socket(family)
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeper.bind((host, 0))
    _kept.append(keeper)
    return keeper.getsockname()[1]


class Server:
    """A device server that listens from the moment start() returns.

    @binary   build/remote-io-server
    @folder   existing folder for the socket and the log
    @args     further options: --module, --chardev, ...
    @listen   an address for --listen, or "tcp" or "unix" for a new one

    @side     of a delay line: the network namespace it lives in

    The address stays the same over kill() and start(), so that a client
    can find the server again.
    """

    def __init__(self, binary, folder, args=(), listen='unix',
                 name='remote-io-server', timeout=PATIENCE, side=None):
        if listen == 'unix':
            listen = f'unix:{os.path.join(folder, name)}.sock'
        elif listen == 'tcp':
            listen = f'tcp:127.0.0.1:{free_port()}'
        self.address = listen
        self.name = name
        self.log = os.path.join(folder, f'{name}.log')
        self.qmp = Qmp(os.path.join(folder, f'{name}.qmp'))
        self.child = None
        self._timeout = timeout
        self._side = side
        self.argv = [binary, '--chardev', self.qmp.chardev('qmp'),
                     '--monitor', 'chardev=qmp', '--listen', listen, *args]

    def __enter__(self):
        return self if self.child else self.start()

    def __exit__(self, *_):
        self.close()

    def start(self):
        """Start, or start again; listens and answers QMP afterwards."""
        self.stop()
        self._remove_socket()
        self.child = Child(self.name, self.argv, self.log, self._side)
        # The monitor answers only when the main loop runs, and by then
        # every option, --listen among them, has been acted upon.
        self.qmp.accept(self.child, self._timeout)
        return self

    def freeze(self):
        """Stop the process in its tracks: connected, but silent."""
        self.child.signal(signal.SIGSTOP)
        # The signal is under way: wait until no thread runs any more.
        os.waitid(os.P_PID, self.child.pid,
                  os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def thaw(self):
        self.child.signal(signal.SIGCONT)

    def kill(self):
        """End it at once, as a crash would."""
        self.child.kill()
        self.qmp.disconnect()

    def stop(self):
        """End it politely."""
        if self.child:
            self.qmp.disconnect()
            self.child.stop()
            self.child = None

    def close(self):
        """End it and remove what it leaves behind, except the log."""
        self.stop()
        self.qmp.close()
        self._remove_socket()

    def _remove_socket(self):
        kind, _, path = self.address.partition(':')
        if kind == 'unix' and os.path.exists(path):
            os.unlink(path)
