# SPDX-License-Identifier: GPL-2.0-or-later
"""Two servers between which a module moves."""

import os

from riocluster import Node
from riotest import QmpError


class Pair:
    """Servers srv1 and srv2, each a peer of the other.

    @modules  options of a module, the same for both: at first it is at srv1,
              and one waits at srv2
    @own      more options of each of them
    here      the node that has the module now
    there     the other
    """

    def __init__(self, folder, *modules, own=((), ())):
        names = ('srv1', 'srv2')
        address = {name: f'unix:{os.path.join(folder, name)}.sock'
                   for name in names}
        self.module = modules[0].split('id=')[1].split(',')[0]
        self.nodes = []
        for name, other, args in zip(names, reversed(names), own):
            waits = ',incoming=on' if self.nodes else ''
            options = []
            for module in modules:
                options += ['--module', module + waits]
            self.nodes.append(Node(folder, name, [(other, address[other])],
                                   (*args, *options)))
        self.here, self.there = self.nodes

    def __enter__(self):
        for node in self.nodes:
            node.start()
        self.wait_peers()
        return self

    def __exit__(self, *_):
        for node in self.nodes:
            node.close()

    def wait_peers(self):
        for node in self.nodes:
            while not node.qmp.cmd('query-remote-io-peers')[0]['connected']:
                pass

    def begin(self, **more):
        self.here.qmp.cmd('remote-io-module-move', id=self.module,
                          to=self.there.name, **more)

    def move(self, **more):
        """There, wherever it is; returns what its server says of it."""
        self.begin(**more)
        self.wait_moved()
        return self.last(self.there)

    def wait_moved(self):
        end = self.ended()
        if end['event'] != 'REMOTE_IO_MODULE_MOVED':
            raise QmpError(f"{end['data']}")
        self.here, self.there = self.there, self.here

    def ended(self):
        """The event that ends the move that was begun."""
        return wait_any(self.here.qmp, 'REMOTE_IO_MODULE_MOVED',
                        'REMOTE_IO_MODULE_MOVE_FAILED')

    def last(self, node):
        return node.qmp.cmd('query-remote-io-moves')[-1]

    def failure(self, **more):
        """Begin one that fails later; returns why."""
        self.begin(**more)
        end = self.ended()
        assert end['event'] == 'REMOTE_IO_MODULE_MOVE_FAILED', end
        return end['data']['error']

    def refusal(self, command='remote-io-module-move', **arguments):
        """Of one that does not begin: why."""
        try:
            self.here.qmp.cmd(command, **arguments)
        except QmpError as why:
            return str(why)
        raise AssertionError(f'{command} {arguments} was not refused')


def wait_any(qmp, *names, timeout=60):
    """Take the first event that has one of these names."""
    # pylint: disable=protected-access
    def take():
        for event in qmp.events:
            if event['event'] in names:
                qmp.events.remove(event)
                return event
        return None

    return qmp._wait(take, timeout, f'no event of {names}')
