/*
 * The guest of the benchmarks: its first and only process
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Runs as /init of a Debian kernel and makes register accesses, each timed by
 * itself.  Commands come one a line on the first serial port, so that the
 * host can interleave what it compares; each gets one line of answer.  A
 * device is named by its PCI address (0000:00:10.0).
 *
 *   devices                  "ok" and "address=vendor:device" of each
 *   clock                    ticks of the time stamp counter per ns, and what
 *                            reading it twice takes
 *   read  DEVICE OFFSET SIZE COUNT BURST GAP_US
 *   write DEVICE OFFSET SIZE COUNT BURST GAP_US
 *                            COUNT accesses to BAR 0; after each BURST of
 *                            them (0 = never) sleep GAP_US
 *   config DEVICE COUNT      COUNT reads of the vendor id in config space
 *   off                      power off
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "samples.h"

#define DEVICES "/sys/bus/pci/devices"

typedef struct Series {
    bool write;
    char device[32];
    unsigned offset;
    unsigned size;
    unsigned count;
    unsigned burst;
    unsigned gap_us;
} Series;

static Samples samples;
static double ticks_per_ns;
static FILE *commands, *port;      /* the two directions of the serial port */

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void fail(const char *what)
{
    fprintf(port, "error %s: %s\n", what, strerror(errno));
}

/*
 * The clock of the kernel may itself be a device; the counter is not, but
 * its speed has to be found out.
 */
static void calibrate(void)
{
    uint64_t ns = now_ns(), ticks = __rdtsc();

    while (now_ns() - ns < 300000000) {
        continue;
    }
    ticks = __rdtsc() - ticks;
    ns = now_ns() - ns;
    ticks_per_ns = (double)ticks / ns;
}

static void command_clock(void)
{
    uint64_t last = __rdtsc();

    samples.count = 0;
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t now = __rdtsc();

        samples_add(&samples, now - last);
        last = now;
    }
    qsort(samples.ticks, samples.count, sizeof(samples.ticks[0]),
          samples_compare);
    fprintf(port, "ok ticks_per_ns=%.6f overhead=%.0f\n", ticks_per_ns,
            samples_percentile(&samples, 50) / ticks_per_ns);
}

static unsigned read_attribute(const char *device, const char *name)
{
    char path[256];
    unsigned value = 0;
    FILE *f;

    snprintf(path, sizeof(path), DEVICES "/%s/%s", device, name);
    f = fopen(path, "r");
    if (f) {
        if (fscanf(f, "%x", &value) != 1) {
            value = 0;
        }
        fclose(f);
    }
    return value;
}

static void command_devices(void)
{
    DIR *dir = opendir(DEVICES);
    struct dirent *entry;

    fprintf(port, "ok");
    while (dir && (entry = readdir(dir))) {
        if (entry->d_name[0] != '.') {
            fprintf(port, " %s=%04x:%04x", entry->d_name,
                    read_attribute(entry->d_name, "vendor"),
                    read_attribute(entry->d_name, "device"));
        }
    }
    fprintf(port, "\n");
    if (dir) {
        closedir(dir);
    }
}

static bool enable(const char *device)
{
    char path[256];
    int fd;
    bool ok;

    snprintf(path, sizeof(path), DEVICES "/%s/enable", device);
    fd = open(path, O_WRONLY);
    ok = fd >= 0 && write(fd, "1", 1) == 1;
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

/* Map BAR 0; returns MAP_FAILED with errno set when that is not possible */
static void *map_bar(const char *device, size_t *size)
{
    char path[256];
    struct stat st;
    void *bar = MAP_FAILED;
    int fd;

    snprintf(path, sizeof(path), DEVICES "/%s/resource0", device);
    fd = open(path, O_RDWR | O_SYNC);
    if (fd >= 0 && !fstat(fd, &st)) {
        *size = st.st_size;
        bar = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    if (fd >= 0) {
        close(fd);
    }
    return bar;
}

static inline uint64_t timed_access(volatile void *reg, unsigned size,
                                    bool is_write, unsigned value)
{
    uint64_t start = __rdtsc();

#define ACCESS(type) \
    do { \
        if (is_write) { \
            *(volatile type *)reg = value; \
        } else { \
            (void)*(volatile type *)reg; \
        } \
    } while (0)
    switch (size) {
    case 1:
        ACCESS(uint8_t);
        break;
    case 2:
        ACCESS(uint16_t);
        break;
    case 4:
        ACCESS(uint32_t);
        break;
    default:
        ACCESS(uint64_t);
        break;
    }
#undef ACCESS
    return __rdtsc() - start;
}

/* Returns: how many were made, those that are not timed included */
static unsigned make_accesses(volatile void *reg, const Series *s)
{
    struct timespec gap = {
        .tv_sec = s->gap_us / 1000000,
        .tv_nsec = s->gap_us % 1000000 * 1000,
    };
    /* The first ones fill the translator's caches and wake the peer */
    unsigned warm_up = s->burst ? s->burst * 10 : 2000;

    samples.count = 0;
    for (unsigned i = 0; i < warm_up + s->count; i++) {
        uint64_t ticks;

        if (s->burst && i % s->burst == 0) {
            nanosleep(&gap, NULL);
        }
        ticks = timed_access(reg, s->size, s->write, i);
        if (i >= warm_up) {
            samples_add(&samples, ticks);
        }
    }
    return warm_up + s->count;
}

static void command_series(const Series *s)
{
    size_t size;
    char *bar;

    if (!enable(s->device)) {
        fail("enable");
        return;
    }
    bar = map_bar(s->device, &size);
    if (bar == MAP_FAILED) {
        fail("map");
        return;
    }
    if (s->offset + s->size > size) {
        fprintf(port, "error offset is outside of the BAR\n");
    } else {
        fprintf(port, "made=%u ", make_accesses(bar + s->offset, s));
        samples_print(&samples, ticks_per_ns, port);
    }
    munmap(bar, size);
}

static void command_config(const char *device, unsigned count)
{
    char path[256];
    unsigned char id[2];
    int fd;

    snprintf(path, sizeof(path), DEVICES "/%s/config", device);
    fd = open(path, O_RDONLY);
    if (fd < 0) {
        fail(path);
        return;
    }
    samples.count = 0;
    for (unsigned i = 0; i < count && i < SAMPLES_MAX; i++) {
        uint64_t start = __rdtsc();

        if (pread(fd, id, sizeof(id), 0) != sizeof(id)) {
            fail("config read");
            close(fd);
            return;
        }
        samples_add(&samples, __rdtsc() - start);
    }
    fprintf(port, "made=%u ", samples.count);
    samples_print(&samples, ticks_per_ns, port);
    close(fd);
}

static bool parse_series(const char *line, Series *s)
{
    char verb[8];

    if (sscanf(line, "%7s %31s %u %u %u %u %u", verb, s->device, &s->offset,
               &s->size, &s->count, &s->burst, &s->gap_us) != 7) {
        return false;
    }
    s->write = !strcmp(verb, "write");
    return (s->write || !strcmp(verb, "read")) &&
           (s->size == 1 || s->size == 2 || s->size == 4 || s->size == 8) &&
           s->count && s->count <= SAMPLES_MAX;
}

static void execute(const char *line)
{
    char device[32];
    unsigned count;
    Series s;

    if (parse_series(line, &s)) {
        command_series(&s);
    } else if (sscanf(line, "config %31s %u", device, &count) == 2) {
        command_config(device, count);
    } else if (!strcmp(line, "devices\n")) {
        command_devices();
    } else if (!strcmp(line, "clock\n")) {
        command_clock();
    } else if (!strcmp(line, "off\n")) {
        reboot(RB_POWER_OFF);
    } else {
        fprintf(port, "error bad command\n");
    }
}

static bool open_port(void)
{
    struct termios mode;
    int fd = open("/dev/ttyS0", O_RDWR | O_NOCTTY);

    if (fd < 0 || tcgetattr(fd, &mode)) {
        return false;
    }
    cfmakeraw(&mode);
    mode.c_iflag |= ICRNL;
    mode.c_lflag |= ICANON;
    tcsetattr(fd, TCSANOW, &mode);
    commands = fdopen(fd, "r");
    port = fdopen(dup(fd), "w");
    return commands && port;
}

int main(void)
{
    char line[128];

    mkdir("/proc", 0755);
    mkdir("/sys", 0755);
    if (mount("proc", "/proc", "proc", 0, NULL) ||
        mount("sys", "/sys", "sysfs", 0, NULL) ||
        mount("dev", "/dev", "devtmpfs", 0, NULL) || !open_port()) {
        perror("guest-access");
        reboot(RB_POWER_OFF);
    }
    memset(&samples, 0, sizeof(samples));
    calibrate();
    fprintf(port, "ready\n");
    fflush(port);
    while (fgets(line, sizeof(line), commands)) {
        execute(line);
        fflush(port);
    }
    reboot(RB_POWER_OFF);
    return 1;
}
