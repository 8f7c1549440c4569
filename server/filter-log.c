/*
 * remote-io-server: fault filters that record what passes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One JSON object a line, written at once, so that the last line is there
 * when the server was killed.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/timer.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "qobject/qnum.h"
#include "filter.h"

struct RiodFilterLog {
    QemuMutex lock;
    FILE *file;                 /* NULL = the server's log */
    char *path;
    int64_t start;
    bool failed;                /* said once */
};

RiodFilterLog *riod_filter_log_open(const char *path, Error **errp)
{
    RiodFilterLog *log = g_new0(RiodFilterLog, 1);

    if (path) {
        log->file = fopen(path, "ae");
        if (!log->file) {
            error_setg_errno(errp, errno, "cannot write to '%s'", path);
            g_free(log);
            return NULL;
        }
        setvbuf(log->file, NULL, _IOLBF, BUFSIZ);
        log->path = g_strdup(path);
    }
    qemu_mutex_init(&log->lock);
    log->start = get_clock();
    return log;
}

void riod_filter_log_close(RiodFilterLog *log)
{
    if (log) {
        if (log->file) {
            fclose(log->file);
        }
        qemu_mutex_destroy(&log->lock);
        g_free(log->path);
        g_free(log);
    }
}

static void put_uint(QDict *line, const char *key, uint64_t value)
{
    qdict_put(line, key, qnum_from_uint(value));
}

static QDict *line_new(const RiodFilterLog *log)
{
    QDict *line = qdict_new();

    qdict_put_int(line, "ns", get_clock() - log->start);
    return line;
}

static void write_line(RiodFilter *f, QDict *line)
{
    RiodFilterLog *log = f->log;
    g_autoptr(GString) text = qobject_to_json(QOBJECT(line));

    qobject_unref(line);
    if (!log->file) {
        riod_log("%s: %s", f->id, text->str);
        return;
    }
    QEMU_LOCK_GUARD(&log->lock);
    g_string_append_c(text, '\n');
    if (fputs(text->str, log->file) == EOF && !log->failed) {
        log->failed = true;
        riod_log("filter '%s': cannot write to '%s': %s; what follows is not "
                 "recorded", f->id, log->path, strerror(errno));
    }
}

static void put_place(QDict *line, const RiodEvent *e)
{
    if (e->kind & RIOD_KIND_ACCESS) {
        put_uint(line, "region", e->region);
        put_uint(line, "offset", e->offset);
        put_uint(line, "size", e->size);
    } else if (e->kind & RIOD_KIND_DMA) {
        put_uint(line, "address", e->offset);
        put_uint(line, "size", e->size);
    } else if (e->kind & RIOD_KIND_IRQ) {
        put_uint(line, "number", e->region);
    }
}

void riod_filter_log_event(RiodFilter *f, RiodSession *s,
                           const RiodFate *fate)
{
    const RiodEvent *e = &fate->event;
    QDict *line = line_new(f->log);

    qdict_put_str(line, "module", s->inst->id);
    qdict_put_str(line, "client", s->client->name);
    qdict_put_str(line, "vm", s->vm->name);
    qdict_put_str(line, "device", s->device);
    qdict_put_str(line, "kind", riod_filter_kind_name(e->kind));
    put_place(line, e);
    if (e->kind & (RIOD_KIND_ACCESS | RIOD_KIND_RESET)) {
        put_uint(line, "value", e->value);
    }
    if (fate->delay_ns) {
        qdict_put_int(line, "late-ns", fate->delay_ns);
    }
    if (fate->stopped) {
        qdict_put_bool(line, "stopped", true);
    }
    if (fate->status != RIO_STATUS_OK) {
        qdict_put_str(line, "status", rio_status_name(fate->status));
    }
    write_line(f, line);
}

void riod_filter_log_message(RiodFilter *f, RiodConnection *conn, bool sent,
                             const RioMessage *m)
{
    QDict *line = line_new(f->log);

    put_uint(line, "connection", conn->number);
    qdict_put_str(line, "client", rio_link_peer_name(conn->link));
    qdict_put_str(line, "way", sent ? "out" : "in");
    qdict_put_str(line, "op", rio_op_name(m->op));
    put_uint(line, "vm", m->ids.vm);
    put_uint(line, "module", m->ids.module);
    put_uint(line, "epoch", m->epoch);
    put_uint(line, "tag", m->tag);
    put_uint(line, "seq", m->seq);
    put_uint(line, "ack", m->ack);
    put_uint(line, "length", m->length);
    if (m->status != RIO_STATUS_OK) {
        qdict_put_str(line, "status", rio_status_name(m->status));
    }
    write_line(f, line);
}
