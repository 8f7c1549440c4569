/*
 * remote-io device: the monitor of a QEMU that has no such device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-remote-io.h"

RemoteIORouteInfo *qmp_query_remote_io_route(const char *id, Error **errp)
{
    error_setg(errp, "there is no remote-io device '%s'", id);
    return NULL;
}

void qmp_remote_io_detach(const char *id, bool has_surprise, bool surprise,
                          Error **errp)
{
    error_setg(errp, "there is no remote-io device '%s'", id);
}

void qmp_remote_io_attach(const char *id, RemoteIOAddress *server,
                          const char *module, const char *server_id,
                          Error **errp)
{
    error_setg(errp, "there is no remote-io device '%s'", id);
}

void qmp_remote_io_move(const char *id, const char *server,
                        const char *module, const char *job_id, Error **errp)
{
    error_setg(errp, "there is no remote-io device '%s'", id);
}

RemoteIOInfoList *qmp_query_remote_io(Error **errp)
{
    return NULL;
}
