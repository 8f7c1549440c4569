# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian guests whose console is a 16550A in remote-io-server."""

import os
import re
import select
import socket

from .child import ChildEnded
from .server import Server
from .vm import Vm

# The shell's prompts; tests/remote-io/guest/init sets them, and so does
# the .bash_profile of the system on a disk.
PROMPT = re.compile(rb'guest:[/~][^\r\n]*?# |guest> ')

# busybox asks the terminal where its cursor is, before every prompt.
CURSOR_QUERY = b'\x1b[6n'

# The kernel's test of its timer is over before a busy host has emulated it.
ALWAYS = 'console=ttyS0,115200 panic=-1 no_timer_check'

# Wide enough that the shell does not fold the commands it echoes.
WIDE = 'rows=24 columns=500'


class GuestError(Exception):
    """The guest did not do what was waited for."""


class Guest:
    """One server, one virtual machine, and the line between them.

    @build     build folder with both programs
    @folder    existing folder for sockets and logs
    @kernel    bzImage
    @initrd    what build-initramfs wrote
    @append    further words for the kernel's command line
    @modules   further "--module" values (or other options) of the server
    @devices   further options of QEMU; "@SERVER@" stands for the address

    The server's end of the line is a socket of ours: what the guest sends
    is collected here, and what send() is given the guest receives.
    """

    # How to have the guest switch itself off, typed into its shell.
    POWER_OFF = b'poweroff -f\n'

    def __init__(self, build, folder, kernel, initrd, append=WIDE,
                 modules=(), devices=(), memory=512):
        self._prepare(build, folder, modules, (
            '-m', str(memory), '-no-reboot',
            '-kernel', kernel, '-initrd', initrd,
            '-append', f'{ALWAYS} {append}', *devices))

    def _prepare(self, build, folder, modules, options):
        # Called with what the guest says, and with each event of QEMU.
        self.output = lambda data: None
        self.notice = lambda event: None
        # Why the machine went off, once it has.
        self.shutdown = None
        self._text = b''
        self._path = os.path.join(folder, 'console.sock')
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self._path)
        self._listener.listen(1)
        self._line = None
        self.log = os.path.join(folder, 'console.log')
        self._log = open(self.log, 'wb')
        self.server = Server(
            os.path.join(build, 'remote-io-server'), folder, listen='tcp',
            args=('--chardev',
                  f'socket,id=c0,path={self._path},server=off',
                  '--module', 'uart16550,id=com1,chardev=c0', *modules))
        address = self.server.address
        self.vm = Vm(
            os.path.join(build, 'qemu-system-x86_64'), folder,
            args=('-M', 'q35', '-accel', 'tcg', '-no-shutdown',
                  # A console that is silent for a while is no reason to
                  # stop the machine.
                  '-device', f'remote-io-isa,id=com1,server={address},'
                             'module=com1,on-loss=wait',
                  *(word.replace('@SERVER@', address) for word in options)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def start(self):
        """Switch the machine on."""
        self.server.start()
        self._line = self.server.child.accept(self._listener, 10)
        self._line.setblocking(False)
        self.vm.start()
        return self

    # What happens: one event, or a wait for something to be said.

    def fds(self):
        """The descriptors whose readiness means that step() has work."""
        return [fd for fd in (self._line, self.vm.qmp, self.vm.child,
                              self.server.child) if fd]

    def step(self, timeout):
        """Handle what has happened; False if nothing did in @timeout s."""
        # Some may have come along with the answer to a command.
        if self._events():
            return True
        poll = select.poll()
        for source in self.fds():
            poll.register(source, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(timeout * 1000)}
        if not ready:
            return False
        if self._line and self._line.fileno() in ready:
            self._receive()
        for child in self.vm.child, self.server.child:
            if child.fileno() in ready:
                child.wait(1)
                raise ChildEnded(child.last_words())
        if self.vm.qmp.fileno() in ready and not self.vm.qmp.pump():
            raise ChildEnded(self.vm.child.last_words())
        self._events()
        return True

    def expect(self, pattern, silence=120):
        """Wait for @pattern in what the guest says.

        Returns what came before it, and the match.  Fails if nothing at
        all is said for @silence seconds, or the machine goes off.
        """
        if isinstance(pattern, bytes):
            pattern = re.compile(pattern)
        while True:
            match = pattern.search(self._text)
            if match:
                before = self._text[:match.start()]
                self._text = self._text[match.end():]
                return before, match
            if self.shutdown:
                raise GuestError(f'the guest went off ({self.shutdown})')
            if not self.step(silence):
                raise GuestError(f'the guest says nothing for {silence} s')

    def discard(self):
        """Forget what the guest has said and nobody waited for."""
        self._text = b''

    def send(self, data, silence=120):
        """Type into the guest."""
        while data:
            try:
                sent = self._line.send(data)
            except BlockingIOError:
                # Its FIFO is full: it may be waiting for us to listen.
                self._wait_writable(silence)
                continue
            except OSError as error:
                raise GuestError(f'the line is closed: {error.strerror}') \
                    from error
            data = data[sent:]

    def wait_prompt(self, silence=120):
        """Wait until the shell asks; return what was said before."""
        before, _ = self.expect(PROMPT, silence)
        return before

    def run(self, command, silence=120):
        """Carry out a shell command; return what it printed, as text."""
        self.send(command.encode() + b'\n')
        said = self.wait_prompt(silence).replace(CURSOR_QUERY, b'')
        _, _, answer = said.partition(b'\n')
        return answer.replace(b'\r\n', b'\n').decode(errors='replace')

    def power_off(self, silence=120):
        """Ask the guest to switch the machine off."""
        self.send(self.POWER_OFF)
        self.wait_shutdown(silence)

    def wait_shutdown(self, silence=120):
        """Wait for the end of the guest; the machine's state remains."""
        while not self.shutdown:
            if not self.step(silence):
                raise GuestError(f'the guest does not power off: it says '
                                 f'nothing for {silence} s')
        return self.shutdown

    # The end.

    def close(self):
        """End everything and remove the sockets; the logs remain."""
        try:
            self.vm.close()
            self.server.close()
            while self._line:
                self._receive()
        finally:
            self._listener.close()
            if os.path.exists(self._path):
                os.unlink(self._path)
            self._log.close()

    # Internals.

    def _receive(self):
        try:
            data = self._line.recv(65536)
        except OSError:
            data = b''
        if not data:
            self._line.close()
            self._line = None
            return
        self._text += data
        self._log.write(data)
        self._log.flush()
        self.output(data)

    def _events(self):
        events, self.vm.qmp.events = self.vm.qmp.events, []
        for event in events:
            if event['event'] == 'SHUTDOWN':
                self.shutdown = event['data']['reason']
            self.notice(event)
        return bool(events)

    def _wait_writable(self, timeout):
        poll = select.poll()
        poll.register(self._line, select.POLLIN | select.POLLOUT)
        ready = poll.poll(timeout * 1000)
        if not ready:
            raise GuestError(f'the guest takes no input for {timeout} s')
        if ready[0][1] & select.POLLIN:
            self._receive()
