/*
 * QEMU's own test of NVMe controllers, run on the nvme module
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The cases are QEMU's, unchanged; only the node of the device graph is
 * ours: device remote-io, whose registers are those of module nvme in a real
 * server.  They run on QEMU's own device, too, as the file registers them
 * for it: what is asked of ours is what that one does.
 *
 * Two of QEMU's cases are for properties of its device that the module has
 * no counterpart of, the controller memory buffer and the persistent memory
 * region: both are memory of the controller, which a guest would reach over
 * the network word by word.
 */

#include "qemu/osdep.h"
#include "qemu/module.h"
#include "libqos/qgraph.h"
#include "remote-io-helpers.h"

#include "tests/qtest/nvme-test.c"

#define NODE "remote-io-nvme"

static RioServer *server;

static void end_server(void)
{
    rio_server_free(server);
}

static void register_nodes(void)
{
    g_autofree char *device = NULL;
    QOSGraphEdgeOptions opts = { };

    server = rio_server_new("unix", "--blockdev null-co,node-name=d0,"
                            "size=67108864,read-zeroes=on "
                            "--module nvme,id=m0,drive=d0");
    atexit(end_server);
    device = g_strdup_printf("addr=04.0,server=%s,module=m0",
                             server->address);
    opts.extra_device_opts = device;
    add_qpci_address(&opts, &(QPCIAddress) { .devfn = QPCI_DEVFN(4, 0) });

    qos_node_create_driver_named(NODE, "remote-io", nvme_create);
    qos_node_consumes(NODE, "pci-bus", &opts);
    qos_node_produces(NODE, "pci-device");
    qos_add_test("reg-read", NODE, nvmetest_reg_read_test, NULL);
}

libqos_init(register_nodes);
