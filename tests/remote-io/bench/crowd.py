# SPDX-License-Identifier: GPL-2.0-or-later
"""Many virtual machines, and many sessions, at one server.

    latency()   p99 of reads of one VM alone, and of one among many
    memory()    what a server needs for one more VM and idle module
    idle()      what sessions cost that do nothing

The VMs have no processor (QEMU's accelerator "qtest"): what they do is read a
register as often as they are told.  Latency is what their devices measured.
"""

import contextlib
import os
import resource
import selectors
import statistics
import time

from riocluster import Node
from rioidle import private_kib
from riomachine import BAR, Machine
from riowire import CAP_RESUME, CAP_ROUTE, Wire

VMS = 100
ALONE = 3                       # VMs measured one after the other
READS_PER_SECOND = 20           # of each VM
SECONDS = 10
START = 4                       # devices that are there before the count

SESSIONS, GATEWAYS = 10000, 10
IDLE_SECONDS = 10
KEEPALIVE_MS = 1000
ROLE_GATEWAY = 2


def cpu_seconds(pid):
    with open(f'/proc/{pid}/stat', encoding='ascii') as stat:
        fields = stat.read().rpartition(')')[2].split()
    return sum(int(ticks) for ticks in fields[11:13]) / \
        os.sysconf('SC_CLK_TCK')


class Site:
    """A server with a module for each VM, and the VMs' gateway."""

    def __init__(self, folder, vms):
        raise_file_limit()
        args = []
        for i in range(vms):
            args += ['--module', f'counter,id=m{i}']
        self.folder = folder
        self.server = Node(folder, 'srv1', args=args)
        self.gateway = Node(folder, 'host', [self.server],
                            args=('--gateway',))

    def __enter__(self):
        self.server.start()
        self.gateway.start()
        return self

    def __exit__(self, *_):
        self.gateway.close()
        self.server.close()

    def machine(self, number):
        folder = os.path.join(self.folder, f'vm{number}')
        os.mkdir(folder)
        return Machine(folder, '-nodefaults', '-m', '16', '-uuid',
                       f'00000000-0000-4000-8000-{number:012}', '-device',
                       f'remote-io,id=d0,addr=4,module=m{number},'
                       f'client-id=host,vm-id=vm{number},server={self.gateway.address}')


def raise_file_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def read_in_turns(machines, rate, seconds):
    """Let each VM read @rate times a second; none waits for another."""
    pause = 1 / (rate * len(machines))
    selector = selectors.DefaultSelector()
    free = set(machines)
    for machine in machines:
        selector.register(machine.stream, selectors.EVENT_READ, machine)
    skipped = made = 0
    start = time.monotonic()
    while (now := time.monotonic() - start) < seconds:
        turn = machines[made % len(machines)]
        if now >= made * pause:
            made += 1
            if turn in free:
                turn.stream.write(f'readl {BAR:#x}\n'.encode())
                free.discard(turn)
            else:
                skipped += 1
            continue
        for key, _ in selector.select(made * pause - now):
            key.data.stream.readline()
            free.add(key.data)
    while len(free) < len(machines):
        for key, _ in selector.select(10):
            key.data.stream.readline()
            free.add(key.data)
    selector.close()
    return made, skipped


def p99(machine):
    return machine.vm.remote_io('d0')['latency']['p99-ns']


def measure_machines(folder, say, vms=VMS):
    """{alone, among: p99 in ns; kib: of the server for a VM and module}."""
    with contextlib.ExitStack() as stack:
        site = stack.enter_context(Site(folder, vms + ALONE))
        alone = []
        for i in range(ALONE):
            with site.machine(vms + i) as machine:
                machine.map_bar()
                read_in_turns([machine], READS_PER_SECOND, SECONDS)
                alone.append(p99(machine))
        say(f'starting {vms} virtual machines ...')
        machines = []
        before = 0
        for i in range(vms):
            machines.append(stack.enter_context(site.machine(i)))
            machines[-1].map_bar()
            if i + 1 == START:
                before = private_kib(site.server.child.pid)
        used = private_kib(site.server.child.pid) - before
        made, skipped = read_in_turns(machines, READS_PER_SECOND, SECONDS)
        return {'alone': statistics.median(alone),
                'among': statistics.median(map(p99, machines)),
                'worst': max(map(p99, machines)),
                'reads': made, 'skipped': skipped,
                'kib': used / (vms - START)}


def measure_idle(folder, say, sessions=SESSIONS):
    """{server, none: CPU seconds per second with sessions, and without}."""
    each = sessions // GATEWAYS
    args = []
    for i in range(GATEWAYS):
        args += ['--module', f'null,id=n{i}']
    raise_file_limit()
    with Node(folder, 'idle', args=args) as node, contextlib.ExitStack() as \
            stack:
        wires = [stack.enter_context(contextlib.closing(
            Wire(node.address, f'host{i}', keepalive_ms=KEEPALIVE_MS,
                 caps=CAP_RESUME | CAP_ROUTE))) for i in range(GATEWAYS)]
        none = idle_share(node, wires)
        say(f'attaching {sessions} sessions ...')
        for i, wire in enumerate(wires):
            for j in range(each):
                wire.attach(f'n{i}', vm=f'vm{j}')
                if j % 200 == 0:
                    keep_alive(wires)
        return {'none': none, 'server': idle_share(node, wires)}


def keep_alive(wires):
    for wire in wires:
        wire.pause()


def idle_share(node, wires):
    """Of one processor, what the server needs to keep the sessions."""
    pid = node.child.pid
    for _ in range(4):
        keep_alive(wires)
        time.sleep(KEEPALIVE_MS / 4000)
    used, start = cpu_seconds(pid), time.monotonic()
    while time.monotonic() - start < IDLE_SECONDS:
        keep_alive(wires)
        time.sleep(KEEPALIVE_MS / 4000)
    return (cpu_seconds(pid) - used) / (time.monotonic() - start)
