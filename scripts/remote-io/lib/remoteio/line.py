# SPDX-License-Identifier: GPL-2.0-or-later
"""A slow or broken network between two namespaces of this host."""

import ctypes
import os
import select
import signal
import socket
import subprocess

from .child import ChildEnded, _die_with_parent

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000


class LineError(Exception):
    """The line cannot be made, or does not know a command."""


def _enter(path, kind):
    """Move this process, which has one thread, into a namespace."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _LIBC.setns(fd, kind) < 0:
            code = ctypes.get_errno()
            raise OSError(code, f'{os.strerror(code)}: setns {path}')
    finally:
        os.close(fd)


class Side:
    """One end of a line: a network namespace with an address.

    @address   of this end, as seen from both
    @path      of the namespace, for nsenter(1), or for another line's @a
    """

    def __init__(self, address, user, path):
        self.address = address
        self.path = path
        self._user = user

    def enter(self):
        """For preexec_fn: the new process lives on this side."""
        self.enter_user()
        _enter(self.path, _CLONE_NEWNET)

    def enter_user(self):
        """Become who owns the namespace, where that is not who we are."""
        if os.readlink(self._user) != os.readlink('/proc/self/ns/user'):
            _enter(self._user, _CLONE_NEWUSER)

    def socket(self, kind=socket.SOCK_STREAM):
        """A socket of this side that anybody may use."""
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with here, there:
            pid = os.fork()
            if not pid:
                self._send_socket(there, kind)
            os.waitpid(pid, 0)
            said, fds, _, _ = socket.recv_fds(here, 256, 1)
            if not fds:
                raise LineError(said.decode())
            return socket.socket(fileno=fds[0])

    def _send_socket(self, channel, kind):
        """The part of the process in between.  Does not return."""
        try:
            self.enter()
            with socket.socket(socket.AF_INET, kind) as made:
                socket.send_fds(channel, [b'ok'], [made.fileno()])
        except OSError as error:
            channel.send(str(error).encode())
        finally:
            os._exit(0)


class DelayLine:
    """A remote-io-delay-line; use it as a context manager.

    @binary    build/tests/remote-io/remote-io-delay-line
    @options   its options by name: delay_us=5000, loss=0.01, ...
    @a, @b     sides of other lines, to make a network of several lines

    The namespaces end with the process, and the process with us, whatever
    ends us: there is nothing to be cleaned up by hand.
    """

    def __init__(self, binary, a=None, b=None, **options):
        argv = [binary] + [f'--{name.replace("_", "-")}={value}'
                           for name, value in options.items()]
        for name, side in ('a', a), ('b', b):
            if side:
                argv.append(f'--{name}={side.path}')
        parent = os.getpid()

        def prepare():
            _die_with_parent(parent)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            if a or b:
                (a or b).enter_user()

        try:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True, preexec_fn=prepare)
        except OSError as error:
            raise LineError(f'{binary}: {error.strerror}') from error
        self.pid = self._process.pid
        try:
            self._begin(options.get('net', 0))
        except Exception:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _begin(self, net):
        words = self._line().split()
        if not words or words[0] != 'ready':
            raise LineError(self._process.stderr.read().strip() or
                            'the delay line says nothing')
        found = dict(word.split('=', 1) for word in words[1:])
        self.a = Side(f'10.9.{net}.1', found['user'], found['a'])
        self.b = Side(f'10.9.{net}.2', found['user'], found['b'])

    def _line(self, timeout=30):
        if not select.select([self._process.stdout], [], [], timeout)[0]:
            raise ChildEnded(f'the delay line is silent for {timeout} s')
        return self._process.stdout.readline()

    def _command(self, text):
        try:
            self._process.stdin.write(text + '\n')
            self._process.stdin.flush()
        except BrokenPipeError:
            pass                    # what it said at its end is read below
        answer = self._line().strip()
        if answer.partition(' ')[0] != 'ok':
            raise LineError(f'delay line, "{text}": {answer or "it ended"}')
        return answer

    def set(self, **values):
        """set(delay_us=600, loss=0): for packets that enter from now on."""
        for name, value in values.items():
            self._command(f'set {name.replace("_", "-")} {value}')

    def cut(self, milliseconds=None):
        """Lose everything: for so long, or until mend()."""
        self._command('cut' if milliseconds is None
                      else f'cut {milliseconds}')

    def mend(self):
        self._command('mend')

    def stats(self):
        """{'a': {'in': packets, 'out': ..., 'lost', 'full', 'cut',
        'due-us'}, 'b': ...}: what entered at that side."""
        found = {'a': {}, 'b': {}}
        for word in self._command('stats').split()[1:]:
            key, _, value = word.partition('=')
            found[key[0]][key[2:]] = int(value)
        return found

    def close(self):
        """End it, and the namespaces unless somebody lives there still."""
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._process.stderr.close()
