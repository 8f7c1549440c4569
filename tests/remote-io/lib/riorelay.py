# SPDX-License-Identifier: GPL-2.0-or-later
"""A network that breaks when it is told to."""

import os
import socket
import struct
import threading


class Relay:
    """Passes the bytes of each connection on to a server's Unix socket.

    Connect to @address, a Unix socket or, with @tcp, a port of this host, which
    can be reset.  The counts of bytes and the faults are for all
    connections together, in both directions.
    """

    def __init__(self, folder, target, tcp=False):
        self._target = target.removeprefix('unix:')
        self._path = os.path.join(folder, 'relay.sock')
        self._tcp = tcp
        self._passes = threading.Event()    # cleared: silence
        self._passes.set()
        self._open = True           # to new connections
        self.connections = 0
        self._lock = threading.Lock()
        self._pairs = []            # under the lock, as are those below
        self._budget = None         # bytes that still pass before a cut
        if tcp:
            self._listener = socket.create_server(('127.0.0.1', 0))
            port = self._listener.getsockname()[1]
            self.address = f'tcp:127.0.0.1:{port}'
        else:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(self._path)
            self._listener.listen(8)
            self.address = f'unix:{self._path}'
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, reset=False):
        """Break every connection now; new ones are let through."""
        with self._lock:
            for near, _ in self._pairs if reset else ():
                near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                struct.pack('ii', 1, 0))
            self._cut_locked()

    def block(self):
        """Turn away who comes, until unblock()."""
        self._open = False

    def unblock(self):
        self._open = True

    def stop(self):
        """Silence: nothing passes, and nobody is told, until go()."""
        self._passes.clear()

    def go(self):
        self._passes.set()

    def cut_after(self, count):
        """Break every connection when @count more bytes have passed."""
        with self._lock:
            self._budget = count

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.go()
        self.cut()
        if not self._tcp:
            os.unlink(self._path)

    def _cut_locked(self):
        pairs, self._pairs = self._pairs, []
        self._budget = None
        for end in (end for pair in pairs for end in pair):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass                # The peer was quicker.

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            try:
                if not self._open:
                    raise ConnectionRefusedError
                far.connect(self._target)
            except OSError:
                near.close()
                far.close()
                continue
            if self._tcp:
                near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.connections += 1
                self._pairs.append((near, far))
            for source, sink in (near, far), (far, near):
                threading.Thread(target=self._pump, args=(source, sink),
                                 daemon=True).start()

    def _allow(self, data):
        """What of @data still passes, and whether that was the last."""
        with self._lock:
            if self._budget is None:
                return data, False
            data = data[:self._budget]
            self._budget -= len(data)
            return data, self._budget == 0

    def _pump(self, source, sink):
        try:
            while data := source.recv(65536):
                self._passes.wait()
                data, last = self._allow(data)
                sink.sendall(data)
                if last:
                    self.cut()
        except OSError:
            pass                    # Cut, or a peer that has gone.
        for end in source, sink:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
