/*
 * remote-io-delay-line: options, and commands on standard input
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "netdelay.h"

static const char usage[] =
"usage: remote-io-delay-line [OPTION]...\n"
"\n"
"Joins two network namespaces by a line that delays, narrows or loses\n"
"packets.  It makes the namespaces, prints where they are, and ends with its\n"
"standard input; the namespaces end with it.\n"
"\n"
"  --delay-us=N    one way (0)\n"
"  --jitter-us=N   up to this much more, evenly; packets keep their order (0)\n"
"  --rate=N        bit/s each way, 0: any (0)\n"
"  --queue=N       bytes that may wait for the rate (1048576)\n"
"  --loss=P        lose packets with this probability, 0 to 1 (0)\n"
"  --seed=N        which packets are lost, and how much jitter (1)\n"
"  --net=N         addresses are 10.9.N.1 and 10.9.N.2 (0)\n"
"  --mtu=N         largest packet (9000)\n"
"  --a=PATH        namespace of end A, of another line or of ip-netns(8)\n"
"  --b=PATH        the same for end B\n"
"  --help          print this\n"
"\n"
"Commands, one a line; each is answered by a line, \"ok ...\" or \"error ...\":\n"
"\n"
"  set NAME VALUE  delay-us, jitter-us, rate, queue, loss\n"
"  cut             lose every packet from now on\n"
"  cut MS          the same for so many milliseconds\n"
"  mend            end that\n"
"  stats           packets so far, by direction\n";

/* A thread that lives in the namespace of its side */
typedef struct Side {
    pthread_t thread;
    const char *join;
    int side;
    int tun;
    int tid;
    Line line;                  /* from here to the other side */
} Side;

static LineConfig config = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .queue = 1 << 20,
};
static Side sides[SIDES] = { { .side = SIDE_A }, { .side = SIDE_B } };
static unsigned net, mtu = 9000;
static pthread_barrier_t opened, started;

static void *side_main(void *opaque)
{
    Side *s = opaque;

    s->tun = side_open(s->join, s->side, net, mtu);
    s->tid = gettid();
    pthread_barrier_wait(&opened);
    pthread_barrier_wait(&started);
    line_run(&s->line);
    return NULL;
}

/* A number from 0 to @max, and nothing behind it */
static bool number(const char *text, double max, double *value)
{
    char *end;

    *value = strtod(text, &end);
    return end != text && !*end && *value >= 0 && *value <= max;
}

/* Returns: false when there is no such name or the value cannot be */
static bool set(const char *name, const char *text)
{
    bool ok = true;
    double value;

    if (!number(text, strcmp(name, "loss") ? 1e12 : 1, &value)) {
        return false;
    }
    pthread_mutex_lock(&config.lock);
    if (!strcmp(name, "delay-us")) {
        config.delay_us = value;
    } else if (!strcmp(name, "jitter-us")) {
        config.jitter_us = value;
    } else if (!strcmp(name, "rate")) {
        config.rate = value;
    } else if (!strcmp(name, "queue")) {
        config.queue = value;
    } else if (!strcmp(name, "loss")) {
        config.loss = value;
    } else {
        ok = false;
    }
    pthread_mutex_unlock(&config.lock);
    return ok;
}

static void cut_until(int64_t when)
{
    pthread_mutex_lock(&config.lock);
    config.cut_until = when;
    pthread_mutex_unlock(&config.lock);
}

static void print_counts(char name, const LineCounts *c)
{
    printf(" %c-in=%lu %c-out=%lu %c-lost=%lu %c-full=%lu %c-cut=%lu "
           "%c-due-us=%lu",
           name, __atomic_load_n(&c->in, __ATOMIC_RELAXED),
           name, __atomic_load_n(&c->out, __ATOMIC_RELAXED),
           name, __atomic_load_n(&c->lost, __ATOMIC_RELAXED),
           name, __atomic_load_n(&c->full, __ATOMIC_RELAXED),
           name, __atomic_load_n(&c->cut, __ATOMIC_RELAXED),
           name, __atomic_load_n(&c->due_us, __ATOMIC_RELAXED));
}

/* Returns: false when @verb is none, or what follows it is wrong */
static bool command(const char *verb, const char *first, const char *second)
{
    double ms;

    if (!strcmp(verb, "set") && second) {
        if (!set(first, second)) {
            return false;
        }
        printf("ok");
    } else if (!strcmp(verb, "cut") && !first) {
        cut_until(INT64_MAX);
        printf("ok");
    } else if (!strcmp(verb, "cut") && !second && number(first, 1e9, &ms)) {
        cut_until(line_now() + (int64_t)(ms * 1e6));
        printf("ok");
    } else if (!strcmp(verb, "mend") && !first) {
        cut_until(0);
        printf("ok");
    } else if (!strcmp(verb, "stats") && !first) {
        printf("ok");
        print_counts('a', &sides[SIDE_A].line.counts);
        print_counts('b', &sides[SIDE_B].line.counts);
    } else {
        return false;
    }
    return true;
}

static void serve(void)
{
    char line[128];

    while (fgets(line, sizeof(line), stdin)) {
        char *verb = strtok(line, "\n ");
        char *first = strtok(NULL, "\n ");
        char *second = strtok(NULL, "\n ");

        if (!verb || strtok(NULL, "\n ") || !command(verb, first, second)) {
            printf("error no such command, or a value out of range");
        }
        printf("\n");
        fflush(stdout);
    }
}

static void parse(int argc, char **argv, double *seed)
{
    static const struct option options[] = {
        { "delay-us", required_argument, NULL, 's' },
        { "jitter-us", required_argument, NULL, 's' },
        { "rate", required_argument, NULL, 's' },
        { "queue", required_argument, NULL, 's' },
        { "loss", required_argument, NULL, 's' },
        { "seed", required_argument, NULL, 'r' },
        { "net", required_argument, NULL, 'n' },
        { "mtu", required_argument, NULL, 'm' },
        { "a", required_argument, NULL, 'a' },
        { "b", required_argument, NULL, 'b' },
        { "help", no_argument, NULL, 'h' },
        { }
    };
    double value;
    int which, c;

    while ((c = getopt_long(argc, argv, "", options, &which)) >= 0) {
        bool ok = true;

        if (c == 's') {
            ok = set(options[which].name, optarg);
        } else if (c == 'r') {
            ok = number(optarg, 1e15, seed);
        } else if (c == 'n') {
            ok = number(optarg, 255, &value);
            net = value;
        } else if (c == 'm') {
            ok = number(optarg, 65535, &value) && value >= 68;
            mtu = value;
        } else if (c == 'a' || c == 'b') {
            sides[c == 'b'].join = optarg;
        } else if (c == 'h') {
            fputs(usage, stdout);
            exit(0);
        } else {
            exit(2);            /* getopt has said why */
        }
        if (!ok) {
            fprintf(stderr, "delay-line: --%s=%s is out of range; see "
                    "--help\n", options[which].name, optarg);
            exit(2);
        }
    }
    if (optind < argc) {
        fprintf(stderr, "delay-line: what is \"%s\"? see --help\n",
                argv[optind]);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    double seed = 1;
    int i;

    parse(argc, argv, &seed);
    if (!side_privilege()) {
        return 1;
    }
    pthread_barrier_init(&opened, NULL, SIDES + 1);
    pthread_barrier_init(&started, NULL, SIDES + 1);
    for (i = 0; i < SIDES; i++) {
        errno = pthread_create(&sides[i].thread, NULL, side_main, &sides[i]);
        if (errno) {
            perror("delay-line: thread");
            return 1;
        }
    }
    pthread_barrier_wait(&opened);
    if (sides[SIDE_A].tun < 0 || sides[SIDE_B].tun < 0) {
        return 1;               /* it has been said why */
    }
    for (i = 0; i < SIDES; i++) {
        sides[i].line.config = &config;
        sides[i].line.in = sides[i].tun;
        sides[i].line.out = sides[!i].tun;
        sides[i].line.random = (uint64_t)seed * SIDES + i;
    }
    pthread_barrier_wait(&started);
    printf("ready user=/proc/%d/ns/user a=/proc/%d/task/%d/ns/net "
           "b=/proc/%d/task/%d/ns/net\n", getpid(), getpid(),
           sides[SIDE_A].tid, getpid(), sides[SIDE_B].tid);
    fflush(stdout);
    serve();
    return 0;
}
