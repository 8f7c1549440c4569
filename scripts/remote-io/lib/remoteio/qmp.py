# SPDX-License-Identifier: GPL-2.0-or-later
"""A QMP monitor: commands, out-of-band commands and events."""

import json
import os
import select
import socket
import time

from .child import ChildEnded

# Seconds; far more than an answer takes, also where much else runs
PATIENCE = 60


class QmpError(Exception):
    """A command failed, or the monitor gave no answer."""


class Qmp:
    """The client side of one monitor.

    We listen and the program connects (and connects again, if it is
    started again): call accept() after every start.
    """

    def __init__(self, path):
        self.path = path
        self.events = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(1)
        # True once the other side has closed the monitor.
        self.closed = False
        self._socket = None
        self._buffer = b''
        self._replies = {}
        self._next_id = 0

    def chardev(self, ident):
        """Value of --chardev for the program to be watched."""
        return f'socket,id={ident},path={self.path},server=off'

    def fileno(self):
        return self._socket.fileno()

    def accept(self, child, timeout=PATIENCE):
        """Wait for @child to connect; its main loop runs afterwards."""
        self.disconnect()
        self._socket = child.accept(self._listener, timeout)
        self._socket.setblocking(False)
        self.closed = False
        self._buffer = b''
        self._replies = {}
        try:
            greeting = self._wait(lambda: self._replies.pop('greeting', None),
                                  timeout, f'{child.name} does not get ready')
            self.cmd('qmp_capabilities', timeout=timeout,
                     enable=greeting['capabilities'])
        except QmpError as error:
            # The program's own last line says more than a closed monitor.
            if child.ends_within(5 if self.closed else 0):
                raise ChildEnded(child.last_words()) from error
            raise

    def disconnect(self):
        if self._socket:
            self._socket.close()
            self._socket = None

    def close(self):
        self.disconnect()
        self._listener.close()
        if os.path.exists(self.path):
            os.unlink(self.path)

    def send(self, command, oob=False, **arguments):
        """Send a command; return the id that reply() wants."""
        self._next_id += 1
        message = {'exec-oob' if oob else 'execute': command,
                   'id': self._next_id}
        if arguments:
            message['arguments'] = {key.replace('_', '-'): value
                                    for key, value in arguments.items()}
        try:
            self._socket.sendall(json.dumps(message).encode() + b'\n')
        except OSError as error:
            self.closed = True
            raise QmpError(f'{command}: {error.strerror}') from error
        return self._next_id

    def reply(self, ident, timeout=PATIENCE, command='command'):
        """Wait for the answer to the command that has this id."""
        message = self._wait(lambda: self._replies.pop(ident, None),
                             timeout, f'no answer to {command}')
        if 'error' in message:
            raise QmpError(f"{command}: {message['error']['desc']}")
        return message['return']

    def cmd(self, command, timeout=PATIENCE, oob=False, **arguments):
        """Carry out a command: "_" in a name of an argument means "-"."""
        ident = self.send(command, oob, **arguments)
        return self.reply(ident, timeout, command)

    def hmp(self, line, timeout=PATIENCE):
        """Carry out a command of the human monitor; return its output."""
        return self.cmd('human-monitor-command', timeout, command_line=line)

    def wait_event(self, name, timeout=PATIENCE, **data):
        """Take the first event @name whose data contains @data."""
        wanted = {key.replace('_', '-'): value for key, value in data.items()}

        def take():
            for event in self.events:
                if event['event'] == name and \
                        wanted.items() <= event.get('data', {}).items():
                    self.events.remove(event)
                    return event
            return None

        return self._wait(take, timeout, f'no event {name} {wanted or ""}')

    def pump(self):
        """Take in what has arrived.  Return False at the end of file."""
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return True
        except ConnectionError:
            data = b''
        *lines, self._buffer = (self._buffer + data).split(b'\n')
        for line in lines:
            self._file(json.loads(line))
        self.closed = not data
        return bool(data)

    def _file(self, message):
        if 'QMP' in message:
            self._replies['greeting'] = message['QMP']
        elif 'event' in message:
            self.events.append(message)
        else:
            self._replies[message.get('id')] = message

    def _wait(self, take, timeout, complaint):
        end = time.monotonic() + timeout
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while True:
            found = take()
            if found is not None:
                return found
            left = end - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                raise QmpError(f'{complaint} within {timeout} s')
            if not self.pump():
                found = take()
                if found is not None:
                    return found
                raise QmpError(f'{complaint}: the monitor was closed')
