# SPDX-License-Identifier: GPL-2.0-or-later
"""Several servers that know each other."""

from riotest import SERVER, Server


class Node(Server):
    """A server with a name and peers.

    @peers    the nodes (or (id, address) pairs) that it forwards to
    @where    listen= and side= of Server
    """

    def __init__(self, folder, name, peers=(), args=(), more=(), **where):
        peer_args = []
        for peer in peers:
            node, address = peer if isinstance(peer, tuple) else \
                (peer.name, peer.address)
            peer_args += ['--peer', f'id={node},addr={address}']
        super().__init__(SERVER, folder, name=name,
                         args=('--server-id', name, *peer_args, *args, *more),
                         **where)

    def modules(self):
        """What its modules say of themselves, by id."""
        return {module['id']: module
                for module in self.qmp.cmd('query-remote-io-modules')}

    def sessions(self, module):
        return self.modules()[module]['sessions']


class Chain:
    """@length servers, each a peer of the one before; the last has modules.

    first     the node to connect to
    last      the one that hosts what @args says
    """

    def __init__(self, folder, length, args):
        self.nodes = []
        for i in reversed(range(length)):
            peers = self.nodes[:1]
            self.nodes.insert(0, Node(folder, f'srv{i + 1}', peers,
                                      () if peers else args))
        self.first = self.nodes[0]
        self.last = self.nodes[-1]

    def __enter__(self):
        for node in reversed(self.nodes):
            node.start()
        return self

    def __exit__(self, *_):
        for node in self.nodes:
            node.close()
