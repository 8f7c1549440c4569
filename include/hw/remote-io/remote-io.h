/*
 * remote-io: devices whose model runs in a device server
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU interface:
 *  + QOM type "remote-io": a PCI function, conventional or Express.  Identity,
 *    BARs, INTx, MSI and MSI-X are those of the module it is attached to;
 *    config space is answered here
 *  + QOM type "remote-io-isa": an ISA device.  Ports, memory windows and the
 *    IRQ are those of the module; it is described in ACPI when the module
 *    has a hardware id
 *  + QOM property "server": where the device server is: "tcp:host:port",
 *    "unix:path", "vsock:cid:port", or a SocketAddress object
 *  + QOM property "module": id of the module there (mandatory)
 *  + QOM property "server-id": name of the server that hosts the module, when
 *    it is another than the one that is connected to
 *  + QOM properties "client-id", "vm-id": names by which the server knows this
 *    host and this machine (default: host name; VM name or UUID)
 *  + QOM property "on-loss": pause, fail or wait: what an access does when no
 *    reply came for "loss-timeout" milliseconds, or the state was lost
 *  + QOM property "reconnect-ms": longest pause between two attempts
 *  + QOM property "connect-timeout": limit of plugging the device in
 *  + QOM properties "iobase", "irq" (ISA): in place of the module's
 *  + QMP command query-remote-io, HMP command "info remote-io"
 *  + QMP events REMOTE_IO_LOST, REMOTE_IO_RESTORED
 *
 * User guide: docs/system/devices/remote-io.rst.
 */

#ifndef HW_REMOTE_IO_H
#define HW_REMOTE_IO_H

#define TYPE_REMOTE_IO_PCI "remote-io"
#define TYPE_REMOTE_IO_ISA "remote-io-isa"

#endif /* HW_REMOTE_IO_H */
