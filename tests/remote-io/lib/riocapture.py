# SPDX-License-Identifier: GPL-2.0-or-later
"""What crosses a network interface: recorded, written to a file, decoded.

A recording is taken from the interface itself, by a packet socket.  So it
shows what was on the wire, whatever the programs at its ends believe.
"""

import os
import select
import socket
import struct
import threading

from riotest import Skip
from riowire import HEADER, Message

_ALL = 0x0003
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_SO_RCVBUFFORCE, _SO_TIMESTAMPNS = 33, 35
_OUTGOING = 4


class Capture:
    """A recording of @interface of @host, from now until stop().

    packets   (time in seconds, Ethernet frame), in their order
    """

    def __init__(self, host, interface):
        self.packets = []
        self._socket = _packet_socket(host, interface)
        self._socket.setblocking(False)
        # What comes in at "lo" was seen when it went out.
        self._both = interface != 'lo'
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _run(self):
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while not self._stop.is_set():
            if poll.poll(200):
                with self._lock:
                    self._drain()

    def _drain(self):
        try:
            while True:
                data, extra, _, address = self._socket.recvmsg(
                    1 << 18, socket.CMSG_SPACE(16))
                if self._both or address[2] != _OUTGOING:
                    seconds, ns = struct.unpack('qq', extra[0][2])
                    self.packets.append((seconds + ns / 1e9, data))
        except BlockingIOError:
            pass

    def mark(self):
        """What was sent before this call is recorded; how many packets."""
        with self._lock:
            if not self._stop.is_set():
                self._drain()
            return len(self.packets)

    def stop(self):
        """End it; fails if packets were lost on their way to us."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join()
        self._drain()
        seen, dropped = struct.unpack('II', self._socket.getsockopt(
            _SOL_PACKET, _PACKET_STATISTICS, 8))
        self._socket.close()
        assert not dropped, f'{dropped} of {seen} packets were not recorded'

    def write(self, path):
        """Write a file that Wireshark reads."""
        write_pcap(path, self.packets)

    def messages(self, since=0):
        """The messages whose last byte came after a mark()."""
        self.mark()
        return [message for message in decode(self.packets)
                if message.packet >= since]


def _packet_socket(host, interface):
    """A packet socket of that host, bound before it can miss anything."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with here, there:
        pid = os.fork()
        if not pid:
            _send_packet_socket(there, host, interface)
        os.waitpid(pid, 0)
        said, fds, _, _ = socket.recv_fds(here, 256, 1)
    if not fds:
        raise Skip(said.decode())
    return socket.socket(fileno=fds[0])


def _send_packet_socket(channel, host, interface):
    """The part of the process in between.  Does not return."""
    try:
        host.enter()
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                           socket.htons(_ALL)) as made:
            try:
                made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
            except PermissionError:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
            # When it was sent, not when we came to see it
            made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            made.bind((interface, _ALL))
            socket.send_fds(channel, [b'ok'], [made.fileno()])
    except OSError as error:
        channel.send(f'packets cannot be recorded here: {error}'.encode())
    finally:
        os._exit(0)


def write_pcap(path, packets):
    with open(path, 'wb') as f:
        f.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 1 << 18, 1))
        for when, data in packets:
            f.write(struct.pack('<IIII', int(when), int(when % 1 * 1e6),
                                len(data), len(data)) + data)


# --- decoding ---


class _Stream:
    """One direction of one TCP connection."""

    def __init__(self, source, target):
        self.source, self.target = source, target
        self.next = None            # sequence number that is due
        self.early = {}             # what came before its turn
        self.data = b''

    def take(self, number, syn, payload):
        if syn:
            self.next = number + 1 & 0xffffffff
            return
        if self.next is None:
            self.next = number
        if payload:
            self.early[number] = payload
        while self.early:
            at = next((n for n, part in self.early.items()
                       if (self.next - n & 0xffffffff) <= len(part)), None)
            if at is None:
                return
            part = self.early.pop(at)
            fresh = part[self.next - at & 0xffffffff:]
            self.data += fresh
            self.next = self.next + len(fresh) & 0xffffffff

    def messages(self):
        while len(self.data) >= HEADER.size:
            length = HEADER.unpack_from(self.data)[0]
            assert length >= HEADER.size, f'{self.source}: no message'
            if len(self.data) < length:
                return
            yield self.data[:length]
            self.data = self.data[length:]


def _tcp(frame):
    """(source, target, sequence number, SYN, payload), or None."""
    if frame[12:14] != b'\x08\x00' or frame[14] >> 4 != 4 or frame[23] != 6:
        return None
    total = struct.unpack_from('>H', frame, 16)[0]
    ip = frame[14:14 + total] if total else frame[14:]
    tcp = ip[(ip[0] & 15) * 4:]
    near, far, number = struct.unpack_from('>HHI', tcp)
    return ((socket.inet_ntoa(ip[12:16]), near),
            (socket.inet_ntoa(ip[16:20]), far), number,
            bool(tcp[13] & 2), tcp[(tcp[12] >> 4) * 4:])


def decode(packets):
    """The messages of all connections, in the order of their last bytes.

    Each is a riowire.Message that also has: packet (its number), time,
    source and target ((address, port) each), and raw, its bytes.
    """
    streams, found = {}, []
    for number, (when, frame) in enumerate(packets):
        parts = _tcp(frame)
        if not parts:
            continue
        source, target, at, syn, payload = parts
        stream = streams.get((source, target))
        if not stream or syn:
            stream = streams[source, target] = _Stream(source, target)
        stream.take(at, syn, payload)
        for raw in stream.messages():
            message = Message(raw)
            message.packet, message.time = number, when
            message.source, message.target = source, target
            message.raw = raw
            found.append(message)
    return found


def invent(pieces, port=7070):
    """Packets of one TCP connection that never was.

    @pieces   (from the client or not, bytes) in their order; what is large
              comes in several packets
    """
    ends = {True: (b'\x0a\x00\x00\x01', 40000), False: (b'\x0a\x00\x00\x02',
                                                        port)}
    sent = {True: 1000, False: 2000}
    packets = []

    def packet(ours, flags, payload=b''):
        (source, near), (target, far) = ends[ours], ends[not ours]
        tcp = struct.pack('>HHIIBBHHH', near, far, sent[ours],
                          sent[not ours], 5 << 4, flags, 65535, 0, 0)
        ip = struct.pack('>BBHHHBBH4s4s', 0x45, 0, 40 + len(payload), 0, 0,
                         64, 6, 0, source, target)
        packets.append((1e9 + len(packets) / 1e6,
                        bytes(12) + b'\x08\x00' + ip + tcp + payload))
        sent[ours] += len(payload) + bool(flags & 2)

    packet(True, 0x02)
    packet(False, 0x12)
    for ours, data in pieces:
        for at in range(0, len(data), 1400):
            packet(ours, 0x18, data[at:at + 1400])
    return packets
