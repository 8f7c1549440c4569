# SPDX-License-Identifier: GPL-2.0-or-later
"""A real etcd as a child process."""

import base64
import json
import os
import time
import urllib.error
import urllib.request

from riotest import Child
from remoteio.server import free_port


class Etcd:
    """One etcd that listens on this host, from start() on.

    What it holds survives kill() and start().
    """

    def __init__(self, folder):
        self.url = f'http://127.0.0.1:{free_port()}'
        peer = f'http://127.0.0.1:{free_port()}'
        self._log = os.path.join(folder, 'etcd.log')
        self._argv = ['etcd', '--data-dir', os.path.join(folder, 'etcd.data'),
                      '--listen-client-urls', self.url,
                      '--advertise-client-urls', self.url,
                      '--listen-peer-urls', peer,
                      '--initial-advertise-peer-urls', peer,
                      '--initial-cluster', f'default={peer}']
        self.child = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()

    def directory(self, **options):
        """What --directory says of it."""
        return f'etcd:{self.url}' + ''.join(
            f',{key}={value}' for key, value in options.items())

    def start(self, timeout=60):
        self.child = Child('etcd', self._argv, self._log)
        end = time.monotonic() + timeout
        while True:
            try:
                self.call('kv/range', key=self._text('x'))
                return self
            except (OSError, urllib.error.URLError) as why:
                if time.monotonic() > end:
                    raise TimeoutError(f'etcd does not start: {why}') from why
                time.sleep(0.02)

    def kill(self):
        if self.child:
            self.child.kill()
            self.child = None

    @staticmethod
    def _text(text):
        return base64.b64encode(text.encode()).decode()

    def call(self, path, **request):
        question = urllib.request.Request(f'{self.url}/v3/{path}',
                                          json.dumps(request).encode())
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}))
        with opener.open(question, timeout=10) as answer:
            return json.load(answer)

    def put(self, key, value):
        self.call('kv/put', key=self._text(key), value=self._text(value))

    def delete(self, key):
        self.call('kv/deleterange', key=self._text(key))
