# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of the wire, written from its specification.

It shares no code with net/remote-io, so that two that agree have understood
docs/interop/remote-io.rst and not each other.  It does what a test tells it,
also what no honest client would.
"""

import socket
import struct
import uuid

HEADER = struct.Struct('<IBBBBIIIIIIQQ')
MAGIC = 0x314f4952
POSTED = 1
CAP_DMA, CAP_RECIPES, CAP_ROUTE, CAP_RESUME = 1 << 0, 1 << 1, 1 << 6, 1 << 7
CAP_LONG, CAP_MOVE, CAP_ANNOUNCE = 1 << 8, 1 << 9, 1 << 10
CAP_STATE = 1 << 5

OPS = {
    'HELLO': 0x01, 'HELLO_REPLY': 0x02, 'PING': 0x03, 'PONG': 0x04,
    'BYE': 0x05, 'ATTACH': 0x10, 'ATTACH_REPLY': 0x11, 'RESUME': 0x12,
    'RESUME_REPLY': 0x13, 'DETACH': 0x14, 'DETACH_REPLY': 0x15, 'ACK': 0x16,
    'SESSION_GONE': 0x17, 'REGION_READ': 0x20, 'REGION_READ_REPLY': 0x21,
    'REGION_WRITE': 0x22, 'REGION_WRITE_REPLY': 0x23,
    'REGION_WRITE_BATCH': 0x24, 'IRQ_LEVEL': 0x30, 'IRQ_MESSAGE': 0x31,
    'RESET': 0x40, 'RESET_REPLY': 0x41, 'QUIESCE': 0x60,
    'QUIESCE_REPLY': 0x61, 'STATE_SAVE': 0x62, 'STATE_SAVE_REPLY': 0x63,
    'STATE_LOAD': 0x64, 'STATE_LOAD_REPLY': 0x65,
    'DOORBELL': 0x26, 'RECIPE': 0x27, 'DMA_READ': 0x50,
    'MEM_TABLE': 0x58, 'MEM_TABLE_REPLY': 0x59,
    'DMA_READ_REPLY': 0x51, 'DMA_WRITE': 0x52, 'DMA_WRITE_REPLY': 0x53,
    'ROUTE_TRACE': 0x18, 'ROUTE_TRACE_REPLY': 0x19, 'ANNOUNCE': 0x1a,
    'MOVE': 0x68, 'MOVE_REPLY': 0x69, 'MOVED': 0x6a, 'MOVE_OFFER': 0x6b,
    'MOVE_DATA': 0x6c, 'MOVE_STEP': 0x6d, 'MOVE_STEP_REPLY': 0x6e,
}
NAMES = {number: name for name, number in OPS.items()}

STATUSES = ['OK', 'PROTOCOL', 'VERSION', 'UNKNOWN_SERVER', 'UNKNOWN_MODULE',
            'MODULE_BUSY', 'UNKNOWN_SESSION', 'STALE_EPOCH', 'DENIED',
            'RANGE', 'UNSUPPORTED', 'LIMIT', 'LOOP', 'UNREACHABLE', 'GONE',
            'IO', 'DMA', 'TIMEOUT', 'SHUTDOWN']


def string(text):
    data = text.encode()
    return struct.pack('<H', len(data)) + data


class Refused(Exception):
    """The server answered with a status other than OK."""

    def __init__(self, message):
        super().__init__(f'{message.op}: {message.status}: {message.reason}')
        self.status = message.status
        self.reason = message.reason


class Closed(Exception):
    """The server ended the connection."""


class Message:
    """One message that came."""

    def __init__(self, data):
        (self.length, op, self.flags, self.hops, status, client, vm, server,
         module, self.epoch, self.tag, self.seq,
         self.ack) = HEADER.unpack_from(data)
        self.number = op
        self.op = NAMES.get(op, hex(op))
        self.status = STATUSES[status]
        self.ids = (client, vm, server, module)
        self.body = data[HEADER.size:]
        self.reason = ''
        if status or self.op in ('BYE', 'SESSION_GONE'):
            self.reason = self.body[2:].decode()

    def __repr__(self):
        return f'<{self.op} {self.status} {self.reason} seq {self.seq}>'

    @property
    def value(self):
        return struct.unpack('<Q', self.body[:8])[0]

    def check(self):
        if self.status != 'OK':
            raise Refused(self)
        return self


class Wire:
    """One connection, to an address or over a socket that has one."""

    def __init__(self, address, client='tester', client_uuid=None, hello=True,
                 timeout=60, keepalive_ms=60000, caps=CAP_RESUME,
                 max_message=135168, role=1):
        kind, _, rest = address.partition(':') \
            if isinstance(address, str) else ('', '', '')
        if not kind:
            self.sock = address
            self.sock.settimeout(timeout)
        elif kind == 'unix':
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout)
            self.sock.connect(rest)
        else:
            host, _, port = rest.rpartition(':')
            self.sock = socket.create_connection((host.strip('[]'),
                                                  int(port)), timeout)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.client = client
        self.uuid = client_uuid or uuid.uuid5(uuid.NAMESPACE_DNS, client)
        self.keepalive_ms = keepalive_ms
        self.caps = caps
        self.max_message = max_message
        self.role = role
        self.data = b''
        self.frames = 0
        self.sessions = []
        self.client_id = self.server_id = 0
        if hello:
            self.hello()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Cut the line, without a word."""
        self.sock.close()

    # --- messages ---

    def send_raw(self, data):
        self.sock.sendall(data)

    def pack(self, op, body=b'', ids=(0, 0, 0, 0), epoch=0, tag=0, seq=0,
             ack=0, flags=0):
        number = OPS[op] if isinstance(op, str) else op
        return HEADER.pack(HEADER.size + len(body), number, flags, 0, 0,
                           *ids, epoch, tag, seq, ack) + body

    def send(self, op, body=b'', **header):
        self.send_raw(self.pack(op, body, **header))

    def _fill(self):
        try:
            data = self.sock.recv(1 << 16)
        except ConnectionResetError:
            data = b''
        if not data:
            raise Closed()
        self.frames += 1
        self.data += data

    def receive(self):
        """The next message of the stream, whosesoever it is."""
        while len(self.data) < HEADER.size or \
                len(self.data) < HEADER.unpack_from(self.data)[0]:
            self._fill()
        length = HEADER.unpack_from(self.data)[0]
        message = Message(self.data[:length])
        self.data = self.data[length:]
        for session in self.sessions:
            if message.seq and session.ids == message.ids:
                session.take(message)
        return message

    def expect(self, *ops):
        """The next message that is one of @ops; others are passed over."""
        while True:
            message = self.receive()
            if message.op in ops:
                return message
            if message.op in ('BYE', 'SESSION_GONE'):
                raise Refused(message)

    def closed(self):
        """True when nothing but the end of the stream follows."""
        try:
            while True:
                self.receive()
        except Closed:
            return True
        except socket.timeout:
            return False

    def pause(self):
        """Everything sent so far was looked at when this returns."""
        self.send('PING', struct.pack('<Q', 7))
        self.expect('PONG')

    # --- the handshake and sessions ---

    def hello_body(self, **other):
        f = {'magic': MAGIC, 'low': 1, 'high': 1, 'caps': self.caps,
             'max_message': self.max_message, 'role': self.role}
        f.update(other)
        return struct.pack('<IHHQIIBxxx', f['magic'], f['low'], f['high'],
                           f['caps'], f['max_message'], self.keepalive_ms,
                           f['role']) + \
            self.uuid.bytes + string(self.client) + string('riowire')

    def hello(self):
        self.send('HELLO', self.hello_body())
        reply = self.receive().check()
        assert reply.op == 'HELLO_REPLY', reply
        self.client_id, _, self.server_id, _ = reply.ids
        self.server_name = reply.body[46:46 + reply.body[44]].decode()
        return reply

    def attach_body(self, module, vm='vm', device='dev', server='',
                    vm_uuid=None, caps=0):
        vm_uuid = vm_uuid or uuid.uuid5(uuid.NAMESPACE_DNS, vm)
        return struct.pack('<Q', caps) + vm_uuid.bytes + string(server) + \
            string(module) + string(vm) + string(device)

    def attach(self, module, session=None, **names):
        self.send('ATTACH', self.attach_body(module, **names), tag=99,
                  ids=(self.client_id, 0, 0, 0))
        reply = self.expect('ATTACH_REPLY').check()
        assert reply.tag == 99
        return (session or Session)(self, reply.ids, reply.body[:16],
                                    reply.body[32:])

    def bye(self, status=0):
        body = string('')
        self.send_raw(HEADER.pack(HEADER.size + len(body), OPS['BYE'], 0, 0,
                                  status, 0, 0, 0, 0, 0, 0, 0, 0) + body)


class Session:
    """One device's session; it may outlive its connection."""

    def __init__(self, wire, ids, token, description=b''):
        self.wire = wire
        self.ids = ids
        self.token = token
        self.description = description
        self.epoch = 1
        self.sent = self.received = self.tag = 0
        self.log = {}
        self.lines = {}
        self.level_changes = []
        self.vectors = []
        wire.sessions.append(self)

    def take(self, message):
        """Note a sequenced message of the server."""
        assert message.epoch == self.epoch, message
        assert message.seq == self.received + 1, (message, self.received)
        self.received = message.seq
        if message.op == 'IRQ_LEVEL':
            line, level = struct.unpack('<HB', message.body[:3])
            self.lines[line] = level
            self.level_changes.append(level)
        elif message.op == 'IRQ_MESSAGE':
            self.vectors.append(struct.unpack('<BxH', message.body[:4])[1])

    def pack(self, op, body, flags=0):
        """A sequenced message, kept for a replay."""
        self.sent += 1
        self.tag += 1
        self.log[self.sent] = (op, body, flags, self.tag)
        return self._pack(self.sent)

    def _pack(self, seq):
        op, body, flags, tag = self.log[seq]
        return self.wire.pack(op, body, ids=self.ids, epoch=self.epoch,
                              tag=tag, seq=seq, ack=self.received,
                              flags=flags)

    def post(self, op, body, flags=0):
        """Send a request; its tag is returned."""
        self.wire.send_raw(self.pack(op, body, flags))
        return self.tag

    def reply(self, tag):
        while True:
            message = self.wire.expect('REGION_READ_REPLY',
                                       'REGION_WRITE_REPLY', 'RESET_REPLY')
            if message.tag == tag and message.ids == self.ids:
                return message.check()

    @staticmethod
    def read_body(offset, size=4, region=0):
        return struct.pack('<BB6xQ', region, size, offset)

    @staticmethod
    def write_body(offset, value, size=4, region=0):
        return struct.pack('<BB6xQQ', region, size, offset, value)

    def read(self, offset, size=4, region=0):
        tag = self.post('REGION_READ', self.read_body(offset, size, region))
        return self.reply(tag).value

    def write(self, offset, value, size=4, region=0, posted=False):
        body = self.write_body(offset, value, size, region)
        tag = self.post('REGION_WRITE', body, POSTED if posted else 0)
        if not posted:
            self.reply(tag)

    def write_batch(self, offset, values, size=4, region=0):
        """Posted writes of @values, one after the other, in one message."""
        self.post('REGION_WRITE_BATCH', struct.pack('<I4x', len(values)) +
                  b''.join(self.write_body(offset, value, size, region)
                           for value in values), POSTED)

    def reset(self):
        self.reply(self.post('RESET', struct.pack('<B7x', 1)))

    def detach(self):
        self.wire.send('DETACH', ids=self.ids, epoch=self.epoch, tag=5,
                       ack=self.received)
        self.wire.expect('DETACH_REPLY').check()
        self.wire.sessions.remove(self)

    def resume(self, wire, epoch=None):
        """Go on on another connection; what was not received is sent again."""
        epoch = epoch or self.epoch + 1
        wire.send('RESUME', self.token + struct.pack('<Q', self.received),
                  ids=self.ids, epoch=epoch, tag=6)
        reply = wire.expect('RESUME_REPLY').check()
        self.wire = wire
        self.epoch = epoch
        wire.sessions.append(self)
        for seq in range(reply.value + 1, self.sent + 1):
            wire.send_raw(self._pack(seq))
        return reply.value
