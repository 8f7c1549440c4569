/*
 * Helpers of remote-io's qtests: a real server, and QEMU's counters
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_QTEST_REMOTE_IO_HELPERS_H
#define TESTS_QTEST_REMOTE_IO_HELPERS_H

#include "libqtest.h"
#include "libqos/pci.h"

/* A remote-io-server of its own folder; the address is in the short form */
typedef struct RioServer {
    GPid pid;
    char *dir;
    char *address;
    FILE *out;
} RioServer;

/**
 * rio_server_new:
 * @listen: "unix" for a socket in a folder of its own, or an address
 * @options: further options of the server, one string, split at spaces
 *
 * Returns when the server accepts clients.
 */
RioServer *rio_server_new(const char *listen, const char *options);

/* Start a server that was killed again, at the same address */
void rio_server_start(RioServer *server, const char *options);

void rio_server_kill(RioServer *server, int signal);

/* Ends it (it must end well if it still runs) and removes its folder */
void rio_server_free(RioServer *server);

/* QEMU with @format's options; %s of "server=%s" are up to the caller */
QTestState *rio_qemu(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* The device at slot @slot of bus 0, enabled */
QPCIDevice *rio_pci_device(QPCIBus *bus, int slot);

/* What most tests need: a server, and a machine with a device of it */
typedef struct RioMachine {
    RioServer *server;
    QTestState *qts;
    QPCIBus *bus;               /* NULL, as what follows: not a PCI device */
    QPCIDevice *dev;
    QPCIBar bar;
} RioMachine;

/**
 * rio_machine_start: a machine with device d0 of module m0, a PCI function
 * @m: its server runs; the rest is filled in
 * @machine: options of QEMU, the machine and its memory
 * @address: of the server; NULL: where it listens
 * @device: more properties of the device, from a comma on, or ""
 */
void rio_machine_start(RioMachine *m, const char *machine,
                       const char *address, const char *device);

/* Ends the machine, then the server; both must end well */
void rio_machine_stop(RioMachine *m);

/* Member @name of "stats" in query-remote-io of device @id */
uint64_t rio_stat(QTestState *qts, const char *id, const char *name);

/* Device @id of query-remote-io; the caller unrefs it */
QDict *rio_info(QTestState *qts, const char *id);

/* Threads and open files of @pid, resident memory in KiB */
unsigned rio_count_files(pid_t pid);
unsigned rio_count_threads(pid_t pid);
unsigned rio_resident_kib(pid_t pid);

#endif /* TESTS_QTEST_REMOTE_IO_HELPERS_H */
