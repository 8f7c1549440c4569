/*
 * remote-io device: unplug without asking the guest
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * As when a card is pulled out while it is in use.  A PCI Express slot that
 * does its own hotplug tells the guest: nothing is present any more, the link
 * is down.  Where ACPI does the hotplug there is no such message; the guest
 * notices by loads that give all ones, or when it scans the bus.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "hw/hotplug.h"
#include "hw/pci/msi.h"
#include "hw/pci/msix.h"
#include "hw/pci/pci_bridge.h"
#include "hw/pci/pci_bus.h"
#include "hw/pci/pcie.h"
#include "hw/pci/pcie_port.h"
#include "hw/qdev-core.h"
#include "migration/misc.h"
#include "qapi/qapi-events-remote-io.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "core.h"
#include "trace.h"

/* The port's interrupt for hotplug events, as far as the guest wants one */
static void tell_guest(PCIDevice *port, uint16_t events)
{
    uint8_t *cap = port->config + port->exp.exp_cap;
    uint16_t control = pci_get_word(cap + PCI_EXP_SLTCTL);
    unsigned vector = (pci_get_word(cap + PCI_EXP_FLAGS) &
                       PCI_EXP_FLAGS_IRQ) >> 9;

    if (!(control & PCI_EXP_SLTCTL_HPIE) || !(control & events)) {
        return;
    }
    port->exp.hpev_notified = true;
    if (msix_enabled(port)) {
        msix_notify(port, vector);
    } else if (msi_enabled(port)) {
        msi_notify(port, vector);
    } else if (pci_intx(port) >= 0) {
        pci_set_irq(port, 1);
    }
}

static void empty_slot(PCIDevice *port)
{
    uint8_t *cap = port->config + port->exp.exp_cap;

    pci_word_test_and_clear_mask(cap + PCI_EXP_SLTSTA, PCI_EXP_SLTSTA_PDS);
    pci_word_test_and_clear_mask(cap + PCI_EXP_LNKSTA, PCI_EXP_LNKSTA_DLLLA);
    pci_word_test_and_set_mask(cap + PCI_EXP_SLTSTA,
                               PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_DLLSC);
    tell_guest(port, PCI_EXP_SLTSTA_PDC);
}

bool remote_io_check_pull_out(RemoteIOCore *s, Error **errp)
{
    g_autofree char *name = qdev_get_human_name(s->dev);
    Error *err = NULL;

    if (!s->pci || !qdev_get_hotplug_handler(s->dev) ||
        !qdev_hotunplug_allowed(s->dev, &err)) {
        error_setg(errp, "device '%s' cannot be pulled out: %s", name,
                   err ? error_get_pretty(err)
                       : "its bus does not support hotplug");
        error_free(err);
        return false;
    }
    return true;
}

bool remote_io_pull_out(RemoteIOCore *s, const char *reason, Error **errp)
{
    DeviceState *dev = s->dev;
    HotplugHandler *handler = qdev_get_hotplug_handler(dev);
    Error *err = NULL;
    PCIDevice *port;

    if (!remote_io_check_pull_out(s, errp)) {
        return false;
    }
    if (migration_is_running()) {
        error_setg(errp, "device '%s' cannot be pulled out while the machine "
                   "migrates", s->name);
        return false;
    }
    trace_remote_io_pull_out(s->name, reason);
    qapi_event_send_remote_io_detached(dev->id, s->path, s->module,
                                       s->server_text, reason);
    port = object_dynamic_cast(OBJECT(handler), TYPE_PCIE_SLOT)
           ? PCI_DEVICE(handler) : NULL;
    hotplug_handler_unplug(handler, dev, &err);
    if (err) {
        error_propagate(errp, err);
        return false;
    }
    object_unparent(OBJECT(dev));
    if (port && !pci_bridge_get_sec_bus(PCI_BRIDGE(port))->devices[0]) {
        empty_slot(port);
    }
    return true;
}

/* ---- on-loss=unplug ----------------------------------------------------- */

typedef struct PullOut {
    RemoteIOCore *s;            /* its device is referenced */
    char *reason;
} PullOut;

static void pull_out_bh(void *opaque)
{
    PullOut *p = opaque;
    RemoteIOCore *s = p->s;
    Error *err = NULL;
    bool wanted;

    WITH_QEMU_LOCK_GUARD(&s->lock) {
        wanted = !s->stopping && !s->quiet && s->failing;
        s->pulling = false;
    }
    if (wanted && !remote_io_pull_out(s, p->reason, &err)) {
        warn_reportf_err(err, "on-loss=unplug: ");
    }
    object_unref(OBJECT(s->dev));
    g_free(p->reason);
    g_free(p);
}

void remote_io_pull_out_later_locked(RemoteIOCore *s, const char *reason)
{
    PullOut *p;

    if (s->pulling) {
        return;
    }
    s->pulling = true;
    p = g_new(PullOut, 1);
    p->s = s;
    p->reason = g_strdup(reason);
    object_ref(OBJECT(s->dev));
    aio_bh_schedule_oneshot(qemu_get_aio_context(), pull_out_bh, p);
}
