# SPDX-License-Identifier: GPL-2.0-or-later
"""The figures of the benchmark of register accesses, and their goals."""

from figures import row
import machine

NAMES = {'unix': 'Unix', 'tcp': 'TCP'}
READ_GOAL = {'unix': 1.25, 'tcp': 1.15}
PACE_GOAL = 1.2
TAIL_GOAL = 2
POSTED_GOAL_US = 1.5
IDLE_GOAL = 2
WAKEUP_SLACK = 0.001
BUSY_SHARE = 0.05               # of a CPU; a polling thread takes all of one


def _ratio(rounds, figure, series, against, base, goal, **keys):
    ratio = rounds.ratio(series, base, **keys)
    words = None if goal is None else f'ratio <= {goal}'
    return row(figure, rounds.us(series, keys.get('key', 'p50')), 'µs',
               against, ratio, words, None if goal is None else ratio <= goal)


def _posted(rounds, figure, series, base, against):
    more = rounds.more(series, base)
    return row(figure, rounds.us(series), 'µs', against,
               rounds.ratio(series, base),
               f'<= {POSTED_GOAL_US} µs more', more <= POSTED_GOAL_US)


def _plain(rounds, figure, series):
    return row(figure, rounds.us(series), 'µs')


def _floors(rounds):
    yield _plain(rounds, 'edu read p50', 'edu.read')
    yield _plain(rounds, 'edu write p50', 'edu.write')
    yield _plain(rounds, 'edu write in bursts p50', 'edu.burst')
    yield _plain(rounds, 'edu read every 10 ms p50', 'edu.pace')
    for kind, name in NAMES.items():
        yield _plain(rounds, f'raw busy {name} p50', f'{kind}.raw')
        yield _plain(rounds, f'raw blocking {name} every 10 ms p50',
                     f'{kind}.raw-pace')


def _times(rounds, kind, name):
    read, write = f'{kind}.read', f'{kind}.write'
    yield _ratio(rounds, f'read {name} p50', read, f'raw busy {name} p50',
                 f'{kind}.raw', READ_GOAL[kind])
    yield _ratio(rounds, f'read {name} p99', read, f'read {name} p50', read,
                 TAIL_GOAL, key='p99')
    yield _ratio(rounds, f'read {name} every 10 ms p50', f'{kind}.pace',
                 f'raw blocking {name} every 10 ms p50', f'{kind}.raw-pace',
                 PACE_GOAL)
    yield _posted(rounds, f'posted write {name} p50', write, 'edu.write',
                  'edu write p50')
    yield _posted(rounds, f'posted write {name} in bursts p50',
                  f'{kind}.burst', 'edu.burst', 'edu write in bursts p50')
    yield _ratio(rounds, f'posted write {name} mean', write, 'edu write p50',
                 'edu.write', None, key='mean')


def _exactly(figure, numbers, counter, goal, slack=0):
    """A counter of the device per operation that the guest has made."""
    each = numbers[f'count-{counter}'] / numbers['made']
    words = f'= {goal}' if not slack else f'<= {slack}'
    return row(figure, each, '', goal=words, met=abs(each - goal) <= slack)


def _counted(rounds, counts, kind, name):
    reads = {}
    for one in rounds.rounds:
        for key, value in one[f'{kind}.read'].items():
            reads[key] = reads.get(key, 0) + value
    writes = counts[f'{kind}.write']
    config = counts[f'{kind}.config']
    # Where the other side lost its CPU to somebody, the wait ends in a sleep
    yield _exactly(f'wake-ups per read {name}', reads, 'wake-ups', 0,
                   WAKEUP_SLACK)
    yield _exactly(f'round trips per read {name}', reads, 'round-trips', 1)
    yield _exactly(f'round trips per posted write {name}', writes,
                   'round-trips', 0)
    yield _exactly(f'round trips per config access {name}', config,
                   'round-trips', 0)


def _wakeups(figure, threads, devices, seconds, goal):
    each = sum(wakes for _, wakes, _ in threads) / seconds / devices
    return row(figure, each, '/s', goal=goal and f'<= {goal}',
               met=each <= goal if goal else None)


def _idle(idle, devices, seconds):
    yield _wakeups('idle wake-ups per device, device and server',
                   idle['device'] + idle['server'], devices, seconds,
                   IDLE_GOAL)
    yield _wakeups('idle wake-ups per device, device', idle['device'],
                   devices, seconds, None)
    yield _wakeups('idle wake-ups per device, server', idle['server'],
                   devices, seconds, None)
    busy = sum(run_ns / 1e9 / seconds > BUSY_SHARE
               for _, _, run_ns in idle['qemu'] + idle['server'])
    yield row('busy threads while idle', busy, '', goal='= 0', met=busy == 0)


def _conditions(conditions):
    yield from machine.conditions(conditions)
    pinned = ('QEMU on CPU 0, server on CPU 1' if conditions['pinned']
              else 'not pinned')
    yield machine.note('threads', pinned + (
        ', real-time priority' if conditions['realtime'] else ''))
    yield row('guest clock, part of every access',
              conditions['clock']['overhead'] / 1000, 'µs')


def rows(rounds, counts, idle, conditions, devices):
    """@idle: seconds watched and, by who, (name, wake-ups, ns) of threads."""
    seconds = idle.pop('seconds')
    found = list(_conditions(conditions)) + list(_floors(rounds))
    for kind, name in NAMES.items():
        found += _times(rounds, kind, name)
        found += _counted(rounds, counts, kind, name)
    return found + list(_idle(idle, devices, seconds))
