# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts made of network namespaces, and the cables between them.

A host is a namespace in which programs run; all share the folders of the
test.  Whoever may not make namespaces (root may) gets a user namespace that
owns them, where the kernel allows that.  They have no names and end with us.
"""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys

from remoteio.line import Side
from riotest import Skip

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG = 1


def _unshare(kind, what):
    if _LIBC.unshare(kind) < 0:
        raise OSError(f'{what}: {os.strerror(ctypes.get_errno())}')


def _become_root():
    """Own a user namespace, and be root there."""
    uid, gid = os.geteuid(), os.getegid()
    _unshare(_CLONE_NEWUSER, 'user namespaces are not permitted here')
    for name, text in (('setgroups', 'deny'), ('uid_map', f'0 {uid} 1'),
                       ('gid_map', f'0 {gid} 1')):
        with open(f'/proc/self/{name}', 'w', encoding='utf-8') as f:
            f.write(text)


class Host(Side):
    """One host; give it to Server, Vm or Child as @side.

    @like   another host, whose owner is to own this one, too
    """

    def __init__(self, name, like=None):
        self.name = name
        self.addresses = {}             # of this host, by neighbour
        here, there = socket.socketpair()
        parent = os.getpid()
        self._pid = os.fork()
        if not self._pid:
            here.close()
            self._live(there, like, parent)
        there.close()
        self._life = here
        said = here.recv(256).decode()
        if said != 'ok':
            self.close()
            raise Skip(said or 'a namespace could not be made')
        super().__init__('', f'/proc/{self._pid}/ns/user',
                         f'/proc/{self._pid}/ns/net')

    @staticmethod
    def _live(line, like, parent):
        """The process that keeps the namespace.  Does not return."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            if like:
                like.enter_user()
            elif _LIBC.unshare(_CLONE_NEWNET) < 0:
                _become_root()
            _unshare(_CLONE_NEWNET, 'network namespaces are not permitted '
                                    'here')
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            line.send(b'ok' if os.getppid() == parent else b'')
            line.recv(1)
        except OSError as error:
            line.send(str(error).encode())
        finally:
            os._exit(0)

    def run(self, *argv):
        """Run a command on this host; its output."""
        done = subprocess.run(argv, stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.STDOUT, check=False,
                              preexec_fn=self.enter)
        if done.returncode:
            raise Skip(f'{" ".join(argv)}: {done.stdout.strip()}')
        return done.stdout

    def close(self):
        os.kill(self._pid, signal.SIGKILL)
        self._life.close()
        os.waitpid(self._pid, 0)

    def cable(self, other, number):
        """Join two hosts: 10.7.@number.1 is here, .2 is there.

        The interface has the name of the neighbour.
        """
        self.run('ip', 'link', 'add', other.name, 'type', 'veth', 'peer',
                 'name', self.name, 'netns', str(other._pid))
        for host, peer, last in (self, other, 1), (other, self, 2):
            address = f'10.7.{number}.{last}'
            host.addresses[peer.name] = address
            host.run('ip', 'address', 'add', f'{address}/24', 'dev',
                     peer.name)
            host.run('ip', 'link', 'set', peer.name, 'up')


class Network:
    """Hosts by name, and cables between pairs of them.

    with Network(('A', 's1'), ('s1', 's2')) as net: net['A'].run('ip', 'a')
    """

    def __init__(self, *cables):
        self._cables = cables
        self._hosts = {}

    def __enter__(self):
        if not shutil.which('ip'):
            raise Skip('the program ip (package iproute2) is not there')
        try:
            first = None
            for name in dict.fromkeys(name for cable in self._cables
                                      for name in cable):
                self._hosts[name] = Host(name, first)
                first = first or self._hosts[name]
                self._hosts[name].run('ip', 'link', 'set', 'lo', 'up')
            for number, (one, other) in enumerate(self._cables, 1):
                self._hosts[one].cable(self._hosts[other], number)
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *_):
        for host in self._hosts.values():
            host.close()
        self._hosts.clear()

    def __getitem__(self, name):
        return self._hosts[name]

    def address(self, of, seen_from):
        """Where one host finds its neighbour."""
        return self._hosts[of].addresses[seen_from]
