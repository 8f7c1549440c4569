# SPDX-License-Identifier: GPL-2.0-or-later
"""What crossed the wire, for people to read."""

import sys


def microseconds(nanoseconds):
    return f'{nanoseconds / 1000:.1f} \u00b5s'


def rows_of(device):
    """Name and value of what is said about one device."""
    count, latency = device['stats'], device['latency']
    rows = [
        ('accesses', f"{count['accesses']}: {count['reads']} reads, "
                     f"{count['writes']} writes"),
        ('round trips', f"{count['round-trips']}; {count['posted-writes']} "
                        'writes were posted and did not wait'),
        ('latency', f"median {microseconds(latency['p50-ns'])}, "
                    f"p99 {microseconds(latency['p99-ns'])}, "
                    f"longest {microseconds(latency['max-ns'])}"),
        ('interrupts', f"{count['interrupts']}"),
        ('frames', f"{count['tx-frames']} sent, "
                   f"{count['rx-frames']} received"),
        ('messages', f"{count['tx-messages']} sent, "
                     f"{count['rx-messages']} received"),
        ('bytes', f"{count['tx-bytes']} sent, "
                  f"{count['rx-bytes']} received"),
        ('reconnects', f"{count['reconnects']}")]
    if count['dma-reads'] or count['dma-writes']:
        rows[4:4] = [
            ('doorbells', f"{count['doorbells']}, which took "
                          f"{count['doorbell-bytes']} bytes along"),
            ('DMA', f"{count['dma-reads']} reads, "
                    f"{count['dma-writes']} writes, "
                    f"{count['dma-bytes']} bytes of guest memory")]
    return rows


def report(devices, newline='\n'):
    """Print the counters of every device of the machine."""
    for device in devices:
        lines = [f"What crossed the wire to {device['server']} for "
                 f"{device.get('id', device['qom-path'])} "
                 f"(module {device['module']}, {device['driver']}):"]
        lines += [f'  {name:<12} {value}' for name, value in rows_of(device)]
        sys.stdout.write(newline.join(['', *lines, '']))
    sys.stdout.flush()
