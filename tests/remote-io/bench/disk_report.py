# SPDX-License-Identifier: GPL-2.0-or-later
"""The figures of the benchmark of disks, and their goals."""

from figures import row
import machine

RIVALS = {'virtio': 'virtio-blk on NBD', 'nvme': 'nvme on NBD'}
REMOTE, LOCAL = 'remote nvme', 'local nvme'

# Work: its words, the key that is judged, its unit, and by how much the
# numbers of fio (ns, 1/s, bytes/s) are divided for that
WORK = {
    'read-1': ('4k read, depth 1, p50', 'p50', 'µs', 1e3),
    'write-1': ('4k write, depth 1, p50', 'p50', 'µs', 1e3),
    'read-32': ('4k read, depth 32', 'iops', 'IO/s', 1),
    'write-32': ('4k write, depth 32', 'iops', 'IO/s', 1),
    'read-1m': ('1 MiB read, depth 8', 'bandwidth', 'MB/s', 1e6),
    'write-1m': ('1 MiB write, depth 8', 'bandwidth', 'MB/s', 1e6),
}

LATENCY_GOAL = 1.1              # paths of these
LATENCY_PATHS = ('1.2', '10')
IOPS_GOAL, IOPS_GOAL_LOOPBACK = 1.0, 0.8
STREAM_GOAL = 0.9


def _goal(path, kind):
    """(bound, whether the ratio must be below it), or None."""
    if kind.endswith('-1'):
        return (LATENCY_GOAL, True) if path in LATENCY_PATHS else None
    if kind.endswith('-32'):
        return (IOPS_GOAL_LOOPBACK if path == 'lo' else IOPS_GOAL, False)
    return STREAM_GOAL, False


def _value(rounds, series, kind):
    _, key, _, unit = WORK[kind]
    return rounds.us(series, key) * 1000 / unit


def _figure(path_name, kind, who):
    return f'{path_name}: {WORK[kind][0]}, {who}'


def _duel(rounds, path, path_name, kind, rival):
    _, key, unit, _ = WORK[kind]
    series = f'{path}.remote.{kind}'
    ratio = rounds.ratio(series, f'{path}.{rival}.{kind}', key, key)
    goal = _goal(path, kind)
    words = met = None
    if goal:
        bound, below = goal
        words = f'ratio {"<=" if below else ">="} {bound}'
        met = ratio <= bound if below else ratio >= bound
    return row(_figure(path_name, kind, REMOTE), _value(rounds, series, kind),
               unit, _figure(path_name, kind, RIVALS[rival]), ratio, words,
               met)


def _plain(rounds, path, path_name, kind, who, name):
    return row(_figure(path_name, kind, name),
               _value(rounds, f'{path}.{who}.{kind}', kind), WORK[kind][2])


def _path(rounds, path, path_name):
    for kind in WORK:
        if path == 'lo':
            yield _plain(rounds, path, path_name, kind, 'local', LOCAL)
        for rival, name in RIVALS.items():
            yield _plain(rounds, path, path_name, kind, rival, name)
        for rival in RIVALS:
            yield _duel(rounds, path, path_name, kind, rival)


def _exact(counts):
    """A command is a doorbell and its completion; more is too much."""
    for name, c in counts.items():
        each = ((c['doorbells'] + c['dma-reads'] + c['round-trips']) /
                max(c['doorbells'], 1))
        yield row(f'round trips per 4k {name}', each, '', goal='= 1',
                  met=each == 1)


def _conditions(conditions):
    yield from machine.conditions(conditions)
    if conditions['no_line']:
        yield machine.note('loopback only', conditions['no_line'])


def rows(rounds, paths, counts, conditions):
    """@paths: those that were measured, with their names."""
    found = list(_conditions(conditions))
    for path, name in paths.items():
        found.append(row(f'{name}: TCP round trip p50',
                         conditions['pings'][path] / 1000, 'µs'))
    found += _exact(counts)
    for path, name in paths.items():
        found += _path(rounds, path, name)
    return found
