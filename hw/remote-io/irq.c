/*
 * remote-io device: interrupts, from messages to the guest
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The only file that drives a line or sends a message.  Interrupts arrive in
 * any thread, without the BQL, and are noted; who holds the BQL next delivers
 * them: the access that received them, before it returns to the guest, or the
 * device's thread.  What is noted takes a fixed room: of a line its level and
 * whether it changed in between, so that no edge is lost; of a message that
 * it came.
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "hw/irq.h"
#include "hw/pci/msi.h"
#include "hw/pci/msix.h"
#include "core.h"
#include "trace.h"

/* BQL: true while the guest has chosen messages, which silences the line */
static bool uses_messages(RemoteIOCore *s)
{
    return s->pci && (msix_enabled(s->pci) || msi_enabled(s->pci));
}

/* BQL */
static void drive_line(RemoteIOCore *s, unsigned line, bool level)
{
    if (s->irq.applied[line] == level) {
        return;
    }
    s->irq.applied[line] = level;
    trace_remote_io_irq_line(s->name, line, level);
    qemu_set_irq(s->irq.lines[line], level);
}

/* BQL */
static void send_message(RemoteIOCore *s, unsigned vector)
{
    if (!s->pci) {
        return;
    }
    trace_remote_io_irq_message(s->name, vector);
    if (msix_enabled(s->pci)) {
        if (vector < s->desc.msix_vectors) {
            msix_notify(s->pci, vector);
        }
    } else if (msi_enabled(s->pci)) {
        if (vector < s->desc.msi_vectors) {
            msi_notify(s->pci, vector);
        }
    }
}

void remote_io_irq_apply(RemoteIOCore *s)
{
    RemoteIOIrqState *irq = &s->irq;
    DECLARE_BITMAP(messages, RIO_MAX_MSIX);
    bool level[RIO_MAX_LINES], toggled[RIO_MAX_LINES];
    unsigned vectors = MAX(s->desc.msi_vectors, s->desc.msix_vectors);
    bool muted = uses_messages(s);
    unsigned i;

    WITH_QEMU_LOCK_GUARD(&s->lock) {
        memcpy(level, irq->level, sizeof(level));
        memcpy(toggled, irq->toggled, sizeof(toggled));
        memset(irq->toggled, 0, sizeof(irq->toggled));
        if (vectors) {
            bitmap_copy(messages, irq->messages, vectors);
            bitmap_zero(irq->messages, vectors);
        }
        qatomic_set(&irq->pending, false);
    }
    for (i = 0; i < s->desc.lines; i++) {
        if (toggled[i] && !muted && irq->applied[i] == level[i]) {
            drive_line(s, i, !level[i]);
        }
        drive_line(s, i, level[i] && !muted);
    }
    for (i = vectors ? find_first_bit(messages, vectors) : 0; i < vectors;
         i = find_next_bit(messages, vectors, i + 1)) {
        send_message(s, i);
    }
}

void remote_io_irq_mode_changed(RemoteIOCore *s)
{
    remote_io_irq_apply(s);
}

/* The bus has cleared its side of the lines already; the module will too */
void remote_io_irq_reset(RemoteIOCore *s)
{
    unsigned i;

    WITH_QEMU_LOCK_GUARD(&s->lock) {
        remote_io_irq_lower_all_locked(s);
        memset(s->irq.toggled, 0, sizeof(s->irq.toggled));  /* no edge */
        bitmap_zero(s->irq.messages, RIO_MAX_MSIX);
    }
    for (i = 0; i < s->desc.lines; i++) {
        s->irq.applied[i] = false;
        qemu_set_irq(s->irq.lines[i], 0);
    }
}

void remote_io_irq_level_locked(RemoteIOCore *s, unsigned line, bool level)
{
    /* Lowering is what a reset does, too */
    if (s->irq.level[line] == level || (level && remote_io_resetting(s))) {
        return;
    }
    s->irq.level[line] = level;
    s->irq.toggled[line] = true;
    s->stats.interrupts++;
    qatomic_set(&s->irq.pending, true);
}

void remote_io_irq_message_locked(RemoteIOCore *s, unsigned vector)
{
    if (remote_io_resetting(s)) {
        return;
    }
    set_bit(vector, s->irq.messages);
    s->stats.interrupts++;
    qatomic_set(&s->irq.pending, true);
}

void remote_io_irq_lower_all_locked(RemoteIOCore *s)
{
    unsigned i;

    for (i = 0; i < s->desc.lines; i++) {
        remote_io_irq_level_locked(s, i, false);
    }
}
