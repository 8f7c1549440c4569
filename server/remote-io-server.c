/*
 * remote-io-server: hosts device modules for virtual machines elsewhere
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu-version.h"
#include "system/runstate.h"

/* QEMU's signal handlers, which the block layer brings, end here. */
void qemu_system_killed(int signal, pid_t pid)
{
    exit(EXIT_SUCCESS);
}

int main(int argc, char **argv)
{
    if (argc == 2 && g_str_equal(argv[1], "--version")) {
        printf("remote-io-server version " QEMU_FULL_VERSION "\n");
        return EXIT_SUCCESS;
    }
    fprintf(stderr, "remote-io-server: try --version\n");
    return EXIT_FAILURE;
}
