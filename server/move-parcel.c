/*
 * remote-io-server: a module and its sessions, out of one server, into another
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "move.h"

/* --- out --- */

static bool pack_session(const RiodSession *s, GByteArray *to, Error **errp)
{
    uint8_t bytes[RIO_PARCEL_SESSION_MAX];
    g_autoptr(GByteArray) record = NULL;
    RioParcelSession out = {
        .slot = s->slot,
        .caps = s->caps,
    };

    WITH_QEMU_LOCK_GUARD(&s->conn->lock) {
        out.max_message = s->max_message;
        record = rio_session_export(s->rio);
    }
    if (!record || s->broken) {
        error_setg(errp, "device %s of VM %s (client %s) is just being "
                   "detached", s->device, s->vm->name, s->client->name);
        return false;
    }
    memcpy(out.client_uuid, s->client->uuid, RIO_UUID_SIZE);
    memcpy(out.vm_uuid, s->vm->uuid, RIO_UUID_SIZE);
    g_strlcpy(out.client, s->client->name, sizeof(out.client));
    g_strlcpy(out.vm, s->vm->name, sizeof(out.vm));
    g_strlcpy(out.device, s->device, sizeof(out.device));
    out.record = (RioBytes) { record->data, record->len };
    g_byte_array_append(to, bytes, rio_parcel_session_put(bytes, &out));
    g_byte_array_append(to, record->data, record->len);
    return true;
}

GByteArray *riod_parcel_pack(RiodInstance *inst, Error **errp)
{
    g_autoptr(GByteArray) state = riod_state_save(inst, NULL, errp);
    g_autoptr(GByteArray) out = g_byte_array_new();
    uint8_t head[RIO_PARCEL_HEAD_MAX];
    RioParcel parcel = { };

    if (!state) {
        return NULL;
    }
    for (unsigned i = 0; i < inst->max_clients; i++) {
        parcel.sessions += inst->clients[i] != NULL;
    }
    parcel.state_version = riod_registry_state(inst->type)->version;
    parcel.state = (RioBytes) { state->data, state->len };
    g_strlcpy(parcel.driver, inst->type->name, sizeof(parcel.driver));
    g_byte_array_append(out, head, rio_parcel_put(head, &parcel));
    g_byte_array_append(out, state->data, state->len);
    for (unsigned i = 0; i < inst->max_clients; i++) {
        if (inst->clients[i] && !pack_session(inst->clients[i], out, errp)) {
            return NULL;
        }
    }
    if (out->len > RIO_MAX_PARCEL) {
        error_setg(errp, "module '%s' and what its clients have not "
                   "acknowledged are %u bytes, the limit is %u", inst->id,
                   out->len, RIO_MAX_PARCEL);
        return NULL;
    }
    return g_steal_pointer(&out);
}

/* --- in --- */

static bool unpack_session(RiodInstance *inst, const RioParcelSession *in,
                           RioError *err)
{
    RiodSessionOrigin origin = {
        .slot = in->slot,
        .caps = in->caps,
        .max_message = in->max_message,
        .client = in->client, .vm = in->vm, .device = in->device,
        .client_uuid = in->client_uuid, .vm_uuid = in->vm_uuid,
    };
    RioSession *rio;

    if (in->slot >= inst->max_clients || inst->clients[in->slot]) {
        return rio_error_set(err, RIO_STATUS_LIMIT, "client %u of the module,"
                             " here it has %u", in->slot, inst->max_clients);
    }
    if (in->caps & ~RIOD_MOVE_CAPS) {
        return rio_error_set(err, RIO_STATUS_UNSUPPORTED, "a session with the"
                             " capabilities 0x%" PRIx64, in->caps);
    }
    rio = rio_session_import(in->record, RIO_SIDE_SERVER, err);
    return rio && riod_session_adopt(inst, &origin, rio, err);
}

bool riod_parcel_unpack(RiodInstance *inst, RioBytes bytes, Error **errp)
{
    g_autofree RioParcelSession *s = g_new(RioParcelSession, 1);
    uint32_t at = 0;
    RioParcel parcel;
    RioError err;

    if (!rio_parcel_get(bytes, &parcel, &err)) {
        error_setg(errp, "%s", err.text);
        return false;
    }
    if (!g_str_equal(parcel.driver, inst->type->name)) {
        error_setg(errp, "module '%s' is a '%s', and not a '%.60s'", inst->id,
                   inst->type->name, parcel.driver);
        return false;
    }
    while (rio_parcel_session(&parcel, &at, s)) {
        if (!unpack_session(inst, s, &err)) {
            error_setg(errp, "%s", err.text);
            return false;
        }
    }
    return riod_state_load(inst, NULL, parcel.state,
                           RIOD_STATE_SAME_SESSIONS, errp);
}

/* --- and gone --- */

/* Lock held.  Returns: true when it knows where to go from now on */
static bool tell_moved_locked(RiodSession *s, const char *server,
                              const char *address)
{
    RioMessage m;

    if (s->conn->closed || !(rio_link_caps(s->conn->link) & RIO_CAP_MOVE)) {
        return false;
    }
    rio_message_init(&m, RIO_OP_MOVED, 0, 0);
    m.ids = s->ids;
    m.epoch = rio_session_epoch(s->rio);
    g_strlcpy(m.moved.server, server, sizeof(m.moved.server));
    g_strlcpy(m.moved.address, address, sizeof(m.moved.address));
    riod_connection_control_locked(s->conn, &m);
    riod_connection_send_locked(s->conn);
    return true;
}

/*
 * To who does not know MOVED this server is a forwarder that lost its way: it
 * sends RESUME here, and that is sent on.
 */
static void session_gone(RiodSession *s, const char *server,
                         const char *address)
{
    static const char reason[] = "the module has moved to another server";
    RiodConnection *conn = riod_connection_ref(s->conn);
    bool told, shared = false;

    WITH_QEMU_LOCK_GUARD(&conn->lock) {
        told = tell_moved_locked(s, server, address);
        shared = !conn->closed && riod_connection_is_forwarder(conn);
    }
    riod_session_end(s, RIO_STATUS_UNREACHABLE,
                     shared && !told ? reason : NULL);
    if (!shared && !told) {
        QEMU_LOCK_GUARD(&conn->lock);
        riod_connection_bye_locked(conn, RIO_STATUS_UNREACHABLE, reason);
    }
    riod_connection_unref(conn);
}

void riod_parcel_gone(RiodInstance *inst, const char *server,
                      const char *address)
{
    riod_instance_forget(inst);
    for (unsigned i = 0; i < inst->max_clients; i++) {
        if (inst->clients[i]) {
            session_gone(inst->clients[i], server, address);
        }
    }
}
