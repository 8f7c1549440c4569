# SPDX-License-Identifier: GPL-2.0-or-later
"""A server of the wire that does what a test tells it, right or wrong.

Like riowire it is written from the specification and shares no code with
net/remote-io.  Each connection gets a thread that runs the test's function
with a Line; when the function returns or the client leaves, it is closed.
"""

import os
import queue
import socket
import struct
import threading

from riowire import (CAP_DMA, CAP_RECIPES, CAP_RESUME, HEADER, MAGIC, NAMES,
                     OPS, POSTED, STATUSES, Closed, Message, string)

IDS = (1, 1, 1, 1)


def pack(op, body=b'', ids=(0, 0, 0, 0), status='OK', epoch=0, tag=0, seq=0,
         ack=0, flags=0, length=None):
    """A message; @length other than the real one is a lie."""
    number = OPS[op] if isinstance(op, str) else op
    return HEADER.pack(HEADER.size + len(body) if length is None else length,
                       number, flags, 0, STATUSES.index(status), *ids, epoch,
                       tag, seq, ack) + body


def isa_description(kind, base, size, acpi_hid=b''):
    """Of an ISA module with one region; @kind is that of the wire."""
    fixed = bytearray(64)
    fixed[0], fixed[1], fixed[33] = 2, 1, 1
    fixed[35] = bool(acpi_hid)
    region = struct.pack('<BBB5xQQ', 0, kind, 0, size, base)
    hid = struct.pack('<HH', 2, len(acpi_hid)) + acpi_hid
    return bytes(fixed) + region + (hid if acpi_hid else b'')


class Line:
    """One connection, seen from the server."""

    def __init__(self, sock):
        self.sock = sock
        self.data = b''

    def send_raw(self, data):
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise Closed() from error

    def send(self, op, body=b'', **header):
        self.send_raw(pack(op, body, **header))

    def receive(self):
        """The next message of the client."""
        while len(self.data) < HEADER.size or \
                len(self.data) < HEADER.unpack_from(self.data)[0]:
            self.fill()
        length = HEADER.unpack_from(self.data)[0]
        message = Message(self.data[:length])
        self.data = self.data[length:]
        return message

    def fill(self):
        try:
            data = self.sock.recv(1 << 16)
        except OSError as error:
            raise Closed() from error
        if not data:
            raise Closed()
        self.data += data

    def expect(self, op):
        message = self.receive()
        assert message.op == op, (op, message)
        return message

    def drain(self):
        """Read until the client leaves."""
        while True:
            self.fill()

    def hello_body(self, **other):
        f = {'magic': MAGIC, 'low': 1, 'high': 1, 'caps': CAP_RESUME,
             'max_message': 135168, 'keepalive_ms': 60000, 'role': 3}
        f.update(other)
        return struct.pack('<IHHQIIBxxx', f['magic'], f['low'], f['high'],
                           f['caps'], f['max_message'], f['keepalive_ms'],
                           f['role']) + bytes(16) + string('fake') + \
            string('riofake')

    def hello(self, **other):
        """Take HELLO and answer it."""
        message = self.expect('HELLO')
        self.send('HELLO_REPLY', self.hello_body(**other), ids=(1, 0, 1, 0))
        return message

    def attach(self, description, caps=CAP_RESUME, log=1 << 20):
        """Take ATTACH and answer it; a RESUME before it is turned down."""
        message = self.receive()
        if message.op == 'RESUME':
            self.send('RESUME_REPLY', string(''), ids=message.ids,
                      epoch=message.epoch, tag=message.tag,
                      status='UNKNOWN_SESSION')
            message = self.receive()
        assert message.op == 'ATTACH', message
        body = bytes(16) + struct.pack('<QII', caps, log, 64)
        self.send('ATTACH_REPLY', body + description, ids=IDS, epoch=1,
                  tag=message.tag)
        return message


class FakeServer:
    """Listens at @address; @behave(line) serves each connection."""

    def __init__(self, folder, behave, name='fake'):
        path = os.path.join(folder, name)
        self.address = f'unix:{path}'
        self.behave = behave
        self.faults = []
        self.connections = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(16)
        self._open = set()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        if not kind:
            assert not self.faults, self.faults

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._open.add(sock)
                self.connections += 1
            threading.Thread(target=self._serve, args=(sock,),
                             daemon=True).start()

    def _serve(self, sock):
        try:
            self.behave(Line(sock))
        except Closed:
            pass
        except Exception as fault:          # pylint: disable=broad-except
            self.faults.append(repr(fault))
        with self._changed:
            self._open.discard(sock)
            self._changed.notify_all()
            sock.close()

    def hang_up(self):
        """Cut all connections that are open now."""
        with self._lock:
            for sock in self._open:
                sock.shutdown(socket.SHUT_RDWR)

    def wait_alone(self, timeout=60):
        """Wait until no client is connected; whether it came to that."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._open, timeout)


class Puppet(FakeServer):
    """A server of one device that answers accesses, and does DMA on command.

    @description   the device it shows
    @registers     offset: value of what a load gives, else 0
    """

    CAPS = CAP_RESUME | CAP_DMA | CAP_RECIPES

    def __init__(self, folder, description, max_message=135168, log=1 << 20):
        super().__init__(folder, self._serve_device)
        self.description = description
        self.max_message = max_message
        self.log = log
        self.registers = {}
        self.replies = queue.Queue()    # to DMA
        self.stores = queue.Queue()     # REGION_WRITE, DOORBELL, RESET
        self.holding_resets = False
        self.acknowledging = True
        self.attached = threading.Event()
        self.reading = threading.Event()    # or let the client's socket fill
        self.reading.set()
        self.seen = []                  # (op, length) of all that was read
        self._line = self._epoch = None
        self._seq = self._received = self._ack = self._tag = 0
        self._sending = threading.Lock()

    def _serve_device(self, line):
        line.hello(caps=self.CAPS, max_message=self.max_message)
        line.attach(self.description, self.CAPS, self.log)
        with self._sending:
            self._line, self._epoch = line, 1
            self._seq = self._received = self._ack = 0
        self.attached.set()
        try:
            while True:
                self.reading.wait()
                self._take(line.receive())
        finally:
            self.attached.clear()

    def _take(self, message):
        self._received = message.seq or self._received
        self.seen.append((message.op, message.length))
        if message.op == 'PING':
            self._line.send('PONG', message.body)
        elif message.op == 'REGION_READ':
            offset = struct.unpack_from('<Q', message.body, 8)[0]
            value = struct.pack('<Q', self.registers.get(offset, 0))
            self.send('REGION_READ_REPLY', value, tag=message.tag)
        elif message.op in ('DMA_READ_REPLY', 'DMA_WRITE_REPLY'):
            self.replies.put(message)
        elif message.op == 'DETACH':
            self._line.send('DETACH_REPLY', ids=IDS, epoch=self._epoch,
                            ack=self._received, tag=message.tag)
        elif message.op in ('REGION_WRITE', 'REGION_WRITE_BATCH', 'DOORBELL',
                            'RESET'):
            self.stores.put(message)
            if message.op == 'RESET' and not self.holding_resets:
                self.send('RESET_REPLY', tag=message.tag)

    def send(self, op, body=b'', **header):
        """A sequenced message."""
        with self._sending:
            self._seq += 1
            if self.acknowledging:
                self._ack = self._received
            self._line.send(op, body, ids=IDS, epoch=self._epoch,
                            seq=self._seq, ack=self._ack, **header)

    @staticmethod
    def segments(*segments):
        """The body of DMA for (address, length), ..."""
        return struct.pack('<II', len(segments),
                           sum(n for _, n in segments) & 0xffffffff) + \
            b''.join(struct.pack('<QII', address, n, 0)
                     for address, n in segments)

    def ask(self, op, body, flags=0):
        """Send DMA; its tag, which the reply will have."""
        self._tag += 1
        self.send(op, body, tag=self._tag, flags=flags)
        return self._tag

    def reply(self, tag, timeout=60):
        """(status, data) of the DMA with this tag, of all its pieces."""
        data = b''
        while True:
            message = self.replies.get(timeout=timeout)
            assert message.tag == tag, (message.tag, tag)
            if message.status != 'OK':
                return message.status, message.reason
            offset = struct.unpack_from('<I', message.body)[0] \
                if message.body else 0
            assert offset == len(data), (offset, len(data))
            data += message.body[8:]
            if not message.flags & 2:
                return message.status, data

    def dma_read(self, *segments):
        return self.reply(self.ask('DMA_READ', self.segments(*segments)))

    def dma_write(self, data, *segments, posted=False):
        """Write @data; the status, or None when none comes."""
        tag = self.ask('DMA_WRITE', self.segments(*segments) + data,
                       POSTED if posted else 0)
        return None if posted else self.reply(tag)[0]


__all__ = ['IDS', 'NAMES', 'OPS', 'Closed', 'FakeServer', 'Line', 'Puppet',
           'isa_description', 'pack']
