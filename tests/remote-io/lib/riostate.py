# SPDX-License-Identifier: GPL-2.0-or-later
"""Stopping, saving and loading over the wire, from its specification."""

import struct

MORE = 2
STOP, GO = 1, 2
PIECE = 4000


def crc32c(data):
    """The checksum at the end of a state (Castagnoli, bit by bit)."""
    value = 0xffffffff
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82f63b78 if value & 1 else 0)
    return value ^ 0xffffffff


def seal(data):
    """@data, whose last four bytes become the checksum of the others."""
    return data[:-4] + struct.pack('<I', crc32c(data[:-4]))


def quiesce(session, kind):
    """STOP or GO; the reply."""
    tag = session.post('QUIESCE', struct.pack('<B7x', kind))
    while True:
        reply = session.wire.expect('QUIESCE_REPLY')
        if reply.tag == tag:
            return reply


def control(session, op, body, flags=0):
    """A control message of the session; its reply."""
    session.tag += 1
    session.wire.send(op, body, ids=session.ids, epoch=session.epoch,
                      tag=session.tag, ack=session.received, flags=flags)
    while True:
        reply = session.wire.expect(op + '_REPLY')
        if reply.tag == session.tag:
            return reply


def save_piece(session, offset):
    return control(session, 'STATE_SAVE', struct.pack('<Q', offset))


def load_piece(session, offset, data, more=False):
    return control(session, 'STATE_LOAD', struct.pack('<Q', offset) + data,
                   MORE if more else 0)


def save(session):
    """All of the state of a module that is stopped."""
    data = b''
    while True:
        reply = save_piece(session, len(data)).check()
        offset, = struct.unpack('<Q', reply.body[:8])
        assert offset == len(data), (offset, len(data))
        data += reply.body[8:]
        if not reply.flags & MORE:
            return data


def load(session, data, piece=PIECE):
    """Give it all; the reply that says whether it was taken."""
    at = 0
    while at + piece < len(data):
        load_piece(session, at, data[at:at + piece], True).check()
        at += piece
    return load_piece(session, at, data[at:])
