/*
 * remote-io device: the monitor of a QEMU that has no such device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/qapi-commands-remote-io.h"

RemoteIOInfoList *qmp_query_remote_io(Error **errp)
{
    return NULL;
}
