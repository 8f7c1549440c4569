/*
 * Raw ping-pong: what a socket and a way of waiting cost by themselves
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Two processes exchange a request and a reply of given sizes; nobody looks
 * at the bytes.  No remote access over the same kind of socket with the same
 * way of waiting can be faster, so this is what reads are compared with.
 *
 * Commands come one a line on standard input, so that they can be
 * interleaved with other measurements; each gets one line of answer:
 *
 *   unix|tcp busy|block REQUEST REPLY COUNT PACE_US
 *
 * PACE_US > 0 sleeps so long before each exchange.  Between commands the
 * program sleeps and there is no second process.
 *
 *   --client-cpu=N, --server-cpu=N   pin the two processes
 */

#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "samples.h"

#define WARM_UP 2000
#define MESSAGE_MAX 4096

typedef struct Exchange {
    bool tcp;
    bool busy;
    unsigned request;
    unsigned reply;
    unsigned count;
    unsigned pace_us;
} Exchange;

static Samples samples;
static int client_cpu = -1, server_cpu = -1;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void pin(int cpu)
{
    cpu_set_t set;

    if (cpu >= 0) {
        CPU_ZERO(&set);
        CPU_SET(cpu, &set);
        if (sched_setaffinity(0, sizeof(set), &set)) {
            perror("raw-ping: sched_setaffinity");
            exit(1);
        }
    }
}

/* A listener that one connection is made to at once gives both its ends */
static bool make_tcp_pair(int fds[2])
{
    struct sockaddr_in addr = { .sin_family = AF_INET };
    socklen_t size = sizeof(addr);
    int one = 1;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    bool ok;

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    ok = listener >= 0 && fds[0] >= 0 &&
         !bind(listener, (void *)&addr, size) &&
         !listen(listener, 1) &&
         !getsockname(listener, (void *)&addr, &size) &&
         !connect(fds[0], (void *)&addr, size) &&
         (fds[1] = accept(listener, NULL, NULL)) >= 0;
    for (int i = 0; ok && i < 2; i++) {
        ok = !setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    close(listener);
    return ok;
}

static bool receive(int fd, void *buf, unsigned size, bool busy)
{
    unsigned got = 0;

    while (got < size) {
        ssize_t n = recv(fd, (char *)buf + got, size - got,
                         busy ? MSG_DONTWAIT : 0);

        if (n > 0) {
            got += n;
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            return false;
        }
    }
    return true;
}

static void serve(int fd, const Exchange *x)
{
    char buf[MESSAGE_MAX] = { 0 };

    pin(server_cpu);
    while (receive(fd, buf, x->request, x->busy) &&
           send(fd, buf, x->reply, MSG_NOSIGNAL) == x->reply) {
        continue;
    }
}

static bool measure(int fd, const Exchange *x)
{
    struct timespec pace = {
        .tv_sec = x->pace_us / 1000000,
        .tv_nsec = x->pace_us % 1000000 * 1000,
    };
    unsigned warm_up = x->pace_us ? x->count / 10 : WARM_UP;
    char buf[MESSAGE_MAX] = { 0 };

    samples.count = 0;
    for (unsigned i = 0; i < warm_up + x->count; i++) {
        uint64_t start;

        if (x->pace_us) {
            nanosleep(&pace, NULL);
        }
        start = now_ns();
        if (send(fd, buf, x->request, MSG_NOSIGNAL) != x->request ||
            !receive(fd, buf, x->reply, x->busy)) {
            return false;
        }
        if (i >= warm_up) {
            samples_add(&samples, now_ns() - start);
        }
    }
    return true;
}

static bool run(const Exchange *x)
{
    int fds[2];
    bool ok;
    pid_t child;

    if (x->tcp ? !make_tcp_pair(fds)
               : socketpair(AF_UNIX, SOCK_STREAM, 0, fds)) {
        return false;
    }
    child = fork();
    if (child == 0) {
        close(fds[0]);
        serve(fds[1], x);
        _exit(0);
    }
    close(fds[1]);
    ok = child > 0 && measure(fds[0], x);
    close(fds[0]);
    if (child > 0) {
        waitpid(child, NULL, 0);
    }
    return ok;
}

static bool parse(const char *line, Exchange *x)
{
    char kind[8], wait[8];

    if (sscanf(line, "%7s %7s %u %u %u %u", kind, wait, &x->request,
               &x->reply, &x->count, &x->pace_us) != 6) {
        return false;
    }
    x->tcp = !strcmp(kind, "tcp");
    x->busy = !strcmp(wait, "busy");
    return (x->tcp || !strcmp(kind, "unix")) &&
           (x->busy || !strcmp(wait, "block")) &&
           x->request && x->request <= MESSAGE_MAX &&
           x->reply && x->reply <= MESSAGE_MAX &&
           x->count && x->count <= SAMPLES_MAX;
}

int main(int argc, char **argv)
{
    char line[128];
    Exchange x;

    for (int i = 1; i < argc; i++) {
        if (sscanf(argv[i], "--client-cpu=%d", &client_cpu) != 1 &&
            sscanf(argv[i], "--server-cpu=%d", &server_cpu) != 1) {
            fprintf(stderr, "raw-ping: unknown option %s\n", argv[i]);
            return 1;
        }
    }
    memset(&samples, 0, sizeof(samples));
    pin(client_cpu);
    while (fgets(line, sizeof(line), stdin)) {
        if (!parse(line, &x)) {
            printf("error bad command\n");
        } else if (!run(&x)) {
            printf("error %s\n", strerror(errno));
        } else {
            samples_print(&samples, 1.0, stdout);
        }
        fflush(stdout);
    }
    return 0;
}
