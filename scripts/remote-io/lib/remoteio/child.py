# SPDX-License-Identifier: GPL-2.0-or-later
"""A process that cannot outlive the one that started it."""

import ctypes
import os
import select
import signal
import subprocess

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


class ChildEnded(Exception):
    """A process that was needed has ended, or does not do its part."""


def _die_with_parent(parent):
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


class Child:
    """A running program with its output in a log file.

    It has a session of its own, so that a Ctrl-C on the terminal reaches
    us only, and the kernel kills it when we die, whatever kills us.  Use it
    as a context manager, or call stop().

    @side   of a delay line: the network namespace to live in
    """

    def __init__(self, name, argv, log, side=None):
        self.name = name
        self.argv = argv
        self.log = log
        parent = os.getpid()

        def prepare():
            if side:
                side.enter()
            _die_with_parent(parent)

        try:
            with open(log, 'ab') as output:
                self._process = subprocess.Popen(
                    argv, stdin=subprocess.DEVNULL, stdout=output,
                    stderr=subprocess.STDOUT, start_new_session=True,
                    preexec_fn=prepare)
        except OSError as error:
            raise ChildEnded(f'{name} does not start: {error.strerror}: '
                             f'{argv[0]}') from error
        self.pid = self._process.pid
        # Readable once the process has ended.
        self._pidfd = os.pidfd_open(self.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def fileno(self):
        """A descriptor that polls readable when the process has ended."""
        return self._pidfd

    @property
    def running(self):
        return self._process.poll() is None

    def wait(self, timeout):
        """Wait for the end; return the exit code, negative for a signal."""
        return self._process.wait(timeout)

    def ends_within(self, timeout):
        """Wait for the end; whether it came in time."""
        try:
            self.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def signal(self, number):
        """Send a signal, unless the process has ended."""
        self._process.send_signal(number)

    def stop(self, timeout=5):
        """End the process, politely at first.  May be called twice."""
        if self._pidfd < 0:
            return
        if self.running:
            self.signal(signal.SIGTERM)
            self.signal(signal.SIGCONT)
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        os.close(self._pidfd)
        self._pidfd = -1

    def kill(self):
        """End the process at once, as a crash would."""
        self._process.kill()
        self._process.wait()

    def last_words(self):
        """How the process ended and the last line it wrote."""
        code = self._process.poll()
        if code is None:
            how = 'still runs'
        elif code < 0:
            how = f'was killed by {signal.Signals(-code).name}'
        else:
            how = f'ended with code {code}'
        try:
            with open(self.log, encoding='utf-8', errors='replace') as log:
                lines = log.read().strip().splitlines()
        except OSError:
            lines = []
        said = f', last line "{lines[-1]}"' if lines else ''
        return f'{self.name} {how}{said} (log: {self.log})'

    def accept(self, listener, timeout):
        """Wait until this process connects to @listener."""
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        poll.register(self._pidfd, select.POLLIN)
        ready = dict(poll.poll(timeout * 1000))
        if listener.fileno() in ready:
            return listener.accept()[0]
        if self._pidfd in ready:
            self._process.wait()
            raise ChildEnded(self.last_words())
        raise ChildEnded(f'{self.name} does not connect within {timeout} s '
                         f'(log: {self.log})')
