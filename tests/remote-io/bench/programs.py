# SPDX-License-Identifier: GPL-2.0-or-later
"""The two programs that measure: raw-ping on the host, our guest's init.

Both take one command a line and answer with one line, "ok key=value ..." or
"error reason".
"""

import os
import select
import socket
import subprocess
import time


class BenchError(Exception):
    """A measurement is not possible; the text says why."""


def parse(who, command, line):
    """Return the numbers of an answer as a dictionary."""
    words = line.split()
    if 'ok' not in words:
        raise BenchError(f'{who} answers "{line.strip()}" to "{command}"')
    pairs = (word.partition('=') for word in words if '=' in word)
    return {key: float(value) for key, _, value in pairs}


class RawPing:
    """raw-ping: sleeps except while it carries out a command."""

    def __init__(self, binary, args=()):
        try:
            self._process = subprocess.Popen(
                [binary, *args], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, text=True)
        except OSError as error:
            raise BenchError(f'{binary}: {error.strerror}') from error

    @property
    def pid(self):
        return self._process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait()

    def measure(self, kind, wait, sizes, count, pace_us=0):
        command = f'{kind} {wait} {sizes[0]} {sizes[1]} {count} {pace_us}'
        try:
            self._process.stdin.write(command + '\n')
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise BenchError('raw-ping has ended') from error
        return parse('raw-ping', command, self._process.stdout.readline())


class BenchGuest:
    """The far end of the guest's serial port.

    @folder: where the socket is made; vm_args() belong to the machine's
    command line.
    """

    def __init__(self, folder):
        self._path = os.path.join(folder, 'serial.sock')
        self.console = os.path.join(folder, 'console.log')
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self._path)
        self._listener.listen(1)
        self._socket = None
        self._buffer = b''

    def vm_args(self, kernel, initrd):
        """Options: our serial port, the kernel's messages, what to boot."""
        return ('-chardev', f'socket,id=serial,path={self._path},server=off',
                '-serial', 'chardev:serial',
                '-serial', f'file:{self.console}',
                '-kernel', kernel, '-initrd', initrd,
                '-append', 'console=ttyS1 panic=-1', '-no-reboot')

    def wait_ready(self, child, timeout):
        """Wait until the guest has booted."""
        self._socket = child.accept(self._listener, timeout)
        line = self._line(timeout)
        if line != 'ready':
            raise BenchError(f'the guest says "{line}" instead of "ready" '
                             f'(its console: {self.console})')

    def close(self):
        for one in (self._socket, self._listener):
            if one:
                one.close()

    def command(self, command, timeout=120):
        """Carry out a command; return the line of answer."""
        self._socket.sendall(command.encode() + b'\n')
        return self._line(timeout)

    def measure(self, command):
        return parse('the guest', command, self.command(command))

    def _line(self, timeout):
        end = time.monotonic() + timeout
        while b'\n' not in self._buffer:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._socket], [], [], left)[0]:
                raise BenchError(f'the guest is silent for {timeout} s '
                                 f'(its console: {self.console})')
            data = self._socket.recv(4096)
            if not data:
                raise BenchError('the guest has ended (its console: '
                                 f'{self.console})')
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b'\n')
        return line.decode(errors='replace').strip()
