# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures: what a benchmark claims, in the form all benchmarks share.

A benchmark writes build/bench/NAME.json, an array of rows

    {figure, value, unit, against, ratio, goal, met}

@against is the figure that @value was compared with in the same run, @ratio
the quotient of the two, @goal the words of what must be reached and @met
whether it was: true, false, or null where nothing is demanded.  A column
that does not apply is null.  A row whose unit is "note" is a remark on the
run: @value is its text.
"""

import json
import os
import statistics

KEYS = ('figure', 'value', 'unit', 'against', 'ratio', 'goal', 'met')


def row(figure, value, unit, against=None, ratio=None, goal=None, met=None):
    """One row; numbers are cut to what the measurement can support."""
    def cut(number):
        return round(number, 3) if isinstance(number, float) else number

    return dict(zip(KEYS, (figure, cut(value), unit, against, cut(ratio),
                           goal, met)))


def save(path, rows):
    """Write rows, completely or not at all."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    partial = f'{path}.{os.getpid()}'
    with open(partial, 'w', encoding='utf-8') as stream:
        json.dump(rows, stream, indent=1)
        stream.write('\n')
    os.replace(partial, path)


def load(path):
    """Read rows; ValueError says what is wrong with the file."""
    with open(path, encoding='utf-8') as stream:
        rows = json.load(stream)
    if not isinstance(rows, list):
        raise ValueError('not an array of rows')
    for number, one in enumerate(rows, 1):
        if not isinstance(one, dict) or set(one) != set(KEYS):
            raise ValueError(f'row {number} has other keys than '
                             f'{", ".join(KEYS)}')
    return rows


def _text(value):
    if value is None:
        return ''
    if isinstance(value, float):
        return f'{value:.0f}' if abs(value) >= 1000 else f'{value:.4g}'
    return str(value)


def table(rows):
    """The rows as text: remarks, then one a line, columns aligned."""
    notes = ''.join(f"{one['figure']}: {one['value']}\n" for one in rows
                    if one['unit'] == 'note')
    rows = [one for one in rows if one['unit'] != 'note']
    verdict = {True: 'yes', False: 'NO', None: ''}
    lines = [('figure', 'value', '', 'against', 'ratio', 'goal', 'met')]
    lines += [tuple(_text(one[key]) for key in KEYS[:-1]) +
              (verdict[one['met']],) for one in rows]
    width = [max(len(line[i]) for line in lines) for i in range(len(KEYS))]
    right = (1, 4)              # numbers stand under each other
    return notes + '\n'.join(
        '  '.join(cell.rjust(width[i]) if i in right else cell.ljust(width[i])
                  for i, cell in enumerate(line)).rstrip()
        for line in lines)


class Rounds:
    """What was measured, round by round; the figures are medians.

    Two things are compared within each round, because they then met the
    same state of the machine; the median is taken of these comparisons.
    """

    def __init__(self):
        self.rounds = []

    def add(self, measured):
        """@measured: name of a series -> {p50, p99, ...} in nanoseconds."""
        self.rounds.append(measured)

    def us(self, series, key='p50'):
        """Median over the rounds, in microseconds."""
        return statistics.median(one[series][key] / 1000
                                 for one in self.rounds)

    def ratio(self, series, base, key='p50', base_key='p50'):
        return statistics.median(one[series][key] / one[base][base_key]
                                 for one in self.rounds)

    def more(self, series, base, key='p50'):
        """Median of how much more than @base, in microseconds."""
        return statistics.median((one[series][key] - one[base][key]) / 1000
                                 for one in self.rounds)
