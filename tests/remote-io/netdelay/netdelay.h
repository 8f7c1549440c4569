/*
 * remote-io-delay-line: a slow, narrow or broken network between two
 * network namespaces of one host
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 *   main.c   options, and commands on standard input
 *   side.c   a namespace with the TUN device of its end of the line
 *   line.c   packets from one end to the other
 *
 * The kernel of a test machine need not have netem: all that is asked of it
 * is /dev/net/tun and network namespaces.  Each end has a real TCP stack, and
 * what lies between them is this process.  The namespaces live as long as
 * this process does and have no names, so nothing is left behind, however
 * it ends.
 */

#ifndef REMOTE_IO_NETDELAY_H
#define REMOTE_IO_NETDELAY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* The two ends of a line, and of its address 10.9.N.1 and 10.9.N.2 */
enum { SIDE_A, SIDE_B, SIDES };

/*
 * What the line does to packets, in both directions.  Guarded by @lock;
 * what is set holds for packets that enter the line from then on.
 */
typedef struct LineConfig {
    pthread_mutex_t lock;
    double delay_us;            /* a packet leaves no sooner than this */
    double jitter_us;           /* up to this much later; order is kept */
    double rate;                /* bit/s; 0: any */
    double loss;                /* probability, 0 to 1 */
    uint64_t queue;             /* bytes that may wait for @rate */
    int64_t cut_until;          /* ns; INT64_MAX: until told otherwise */
} LineConfig;

/* Packets since the start; each field is written by one thread, atomically */
typedef struct LineCounts {
    uint64_t in;                /* entered: the sum of all others, and of */
                                /* those that are in the line */
    uint64_t out;               /* left at the other end */
    uint64_t lost;              /* by @loss */
    uint64_t full;              /* found no room in the queue */
    uint64_t cut;               /* came while the line was cut */
    uint64_t due_us;            /* sum of the delays given, rate excluded */
} LineCounts;

/* One direction.  Only its own thread touches what is not atomic */
typedef struct Line {
    LineConfig *config;
    LineCounts counts;
    int in, out;                /* TUN devices; packets are read from @in */
    uint64_t random;            /* state of its own: seeds are repeatable */
    int64_t link_free;          /* ns: what came so far has been clocked out */
    int64_t last_due;           /* ns */
    uint64_t held;              /* bytes in the line */
    struct LinePacket *first, **last;
} Line;

/* Now, of the clock that all times here are of */
int64_t line_now(void);

/* Carry packets for ever.  @line->config, in, out and random are set */
void line_run(Line *line);

/*
 * Make the calling thread live in a namespace and give it a TUN device.
 *
 * @join: path of a namespace to enter, or NULL for a new one
 * @side, @net: address 10.9.@net.(@side + 1)/24, device "rio@net[ab]"
 *
 * Returns: the device, or -1 after having said why not.
 */
int side_open(const char *join, int side, unsigned net, unsigned mtu);

/*
 * Become able to make namespaces: root is, anybody else gets a user namespace
 * of their own.  Before there are threads.  Returns: false after having said
 * why not.
 */
bool side_privilege(void);

#endif
