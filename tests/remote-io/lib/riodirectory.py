# SPDX-License-Identifier: GPL-2.0-or-later
"""What a server knows of modules elsewhere, and waiting until it does."""

import json
import os

from riomemory import CAPS
from riowire import CAP_RESUME, CAP_ROUTE, Refused, Wire

COUNT_READ = 0x80
COUNTER = ('--module', 'counter,id=count')


def wire(server, **names):
    return Wire(server.address, caps=CAPS | CAP_RESUME | CAP_ROUTE, **names)


def refused(node, status, module='count', **names):
    """An ATTACH that must fail; returns the reason."""
    with wire(node, **names) as w:
        try:
            w.attach(module)
        except Refused as why:
            assert why.status == status, why
            return why.reason
    raise AssertionError('it was attached')


def known(node, by='peer'):
    """{(server, module): what it knows of it, from next hops

    or, with by='directory', from --directory.
    """
    return {(entry['server'], entry['module']): entry for entry in
            node.qmp.cmd('query-remote-io-directory')['known']
            if by in entry}


def until(node, condition, by='peer'):
    """Wait until condition(known(node, by)); return what is known then.

    What is known changes with an event, and only then.
    """
    while True:
        now = known(node, by)
        if condition(now):
            return now
        node.qmp.wait_event('REMOTE_IO_DIRECTORY_CHANGED')


def until_known(node, server, module, by='peer'):
    return until(node, lambda all: (server, module) in all,
                 by)[server, module]


def until_gone(node, server, module, by='peer'):
    until(node, lambda all: (server, module) not in all, by)


def write_file(path, servers):
    """Replace a directory file at once: (id, address, modules or None)."""
    new = path + '.new'
    entries = []
    for name, address, modules in servers:
        entry = {'id': name, 'addresses': [address]}
        if modules is not None:
            entry['modules'] = list(modules)
        entries.append(entry)
    with open(new, 'w', encoding='utf-8') as f:
        json.dump({'servers': entries}, f)
    os.rename(new, path)


def log_lines(node, text):
    with open(node.log, encoding='utf-8') as log:
        return [line for line in log if text in line]
