# SPDX-License-Identifier: GPL-2.0-or-later
"""What the machine did meanwhile: load, stolen time, wake-ups of threads."""

import os
import platform
import shutil
import subprocess

from figures import row


def read(path):
    with open(path, encoding='utf-8', errors='replace') as stream:
        return stream.read()


class CpuTime:
    """How the time of all CPUs was spent from now on.

    Steal is what the hypervisor below gave to others; busy is what anybody
    here used.
    """

    def __init__(self):
        self._start = self._now()

    @staticmethod
    def _now():
        # user nice system idle iowait irq softirq steal
        return [int(word) for word in read('/proc/stat').split()[1:9]]

    def percent(self):
        """Return (steal, busy) so far, in per cent of all CPU time."""
        spent = [now - then for now, then in zip(self._now(), self._start)]
        total = sum(spent) or 1
        return (100 * spent[7] / total,
                100 * (total - spent[3] - spent[4]) / total)


def load_average():
    return os.getloadavg()[0]


def _first_line(argv):
    try:
        done = subprocess.run(argv, capture_output=True, text=True,
                              check=False)
    except OSError:
        return 'unknown'
    return done.stdout.partition('\n')[0] or 'unknown'


def describe():
    """One line that tells this machine from another."""
    model = 'unknown CPU'
    for line in read('/proc/cpuinfo').splitlines():
        if line.startswith('model name'):
            model = line.partition(':')[2].strip()
            break
    return (f'{os.cpu_count()} x {model}, {platform.system()} '
            f'{platform.release()}, '
            f'{_first_line([shutil.which("cc") or "cc", "--version"])}')


class Threads:
    """The threads of a process from now on.

    @only   None for all, or a predicate on a thread's name
    """

    def __init__(self, pid, only=None):
        self._pid = pid
        self._only = only
        self._start = self._now()

    def _now(self):
        found = {}
        for tid in os.listdir(f'/proc/{self._pid}/task'):
            folder = f'/proc/{self._pid}/task/{tid}'
            try:
                name = read(f'{folder}/comm').strip()
                run_ns = int(read(f'{folder}/schedstat').split()[0])
                status = read(f'{folder}/status')
            except FileNotFoundError:
                continue        # the thread has ended
            if self._only is None or self._only(name):
                switches = next(int(line.split()[1])
                                for line in status.splitlines()
                                if line.startswith('voluntary_ctxt'))
                found[tid] = (name, switches, run_ns)
        return found

    def since(self):
        """Yield (name, wake-ups, ns of CPU time) of each thread.

        A thread that sleeps has given up its CPU of its own will, and each
        time it is woken it does so once again.
        """
        for tid, (name, switches, run_ns) in self._now().items():
            _, old_switches, old_run_ns = self._start.get(tid, (name, 0, 0))
            yield name, switches - old_switches, run_ns - old_run_ns


def note(figure, text):
    """A remark on the run, among its figures."""
    return row(figure, text, 'note')


def conditions(found):
    """What the figures of a run were taken on, and under which load."""
    yield note('machine', describe())
    yield note('load average at start', f'{found["load"]:.2f}')
    yield note('CPU time used, median round', f'{found["busy"]:.0f} %')
    yield note('steal, worst round', f'{found["steal"]:.2f} %')
    yield note('rounds dropped', str(found['dropped']))
