/*
 * remote-io: the PCI shell
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Maps what the core got from the module into a PCI function.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "hw/pci/msi.h"
#include "hw/pci/msix.h"
#include "hw/pci/pci_bus.h"
#include "hw/pci/pci_device.h"
#include "hw/pci/pcie.h"
#include "hw/qdev-properties.h"
#include "hw/resettable.h"
#include "migration/vmstate.h"
#include "qemu/module.h"
#include "system/system.h"
#include "hw/remote-io/remote-io.h"
#include "core.h"

OBJECT_DECLARE_SIMPLE_TYPE(RemoteIOPCIState, REMOTE_IO_PCI)

struct RemoteIOPCIState {
    PCIDevice parent_obj;

    RemoteIOCore core;
    int32_t bootindex;          /* where the firmware tries it; -1: anywhere */
    MemoryRegion msix_bar[2];   /* table, PBA: where no register shares it */
};

static void remote_io_pci_identify(PCIDevice *pci, const RioDescription *d)
{
    uint8_t *config = pci->config;

    pci_config_set_vendor_id(config, d->vendor_id);
    pci_config_set_device_id(config, d->device_id);
    pci_config_set_class(config, d->class_code >> 8);
    pci_config_set_prog_interface(config, d->class_code & 0xff);
    pci_config_set_revision(config, d->revision);
    pci_set_word(config + PCI_SUBSYSTEM_VENDOR_ID, d->subsystem_vendor_id);
    pci_set_word(config + PCI_SUBSYSTEM_ID, d->subsystem_id);
    pci_config_set_interrupt_pin(config, d->interrupt_pin);
}

static void remote_io_pci_map(PCIDevice *pci, RemoteIORegion *r)
{
    uint8_t type = PCI_BASE_ADDRESS_SPACE_MEMORY;

    if (r->info.kind == RIO_REGION_PIO) {
        type = PCI_BASE_ADDRESS_SPACE_IO;
    }
    if (r->info.flags & RIO_REGION_64BIT) {
        type |= PCI_BASE_ADDRESS_MEM_TYPE_64;
    }
    if (r->info.flags & RIO_REGION_PREFETCH) {
        type |= PCI_BASE_ADDRESS_MEM_PREFETCH;
    }
    pci_register_bar(pci, r->info.index, type, &r->mr);
}

/* The region that is BAR @bar; one of its own if there are no registers */
static MemoryRegion *remote_io_pci_msix_bar(RemoteIOPCIState *s, uint8_t bar,
                                            uint64_t end, MemoryRegion *own)
{
    unsigned i;

    for (i = 0; i < s->core.num_regions; i++) {
        if (s->core.region[i].info.index == bar) {
            return &s->core.region[i].mr;
        }
    }
    memory_region_init(own, OBJECT(s), "remote-io-msix",
                       MAX(pow2ceil(end), 4096));
    pci_register_bar(&s->parent_obj, bar, PCI_BASE_ADDRESS_SPACE_MEMORY, own);
    return own;
}

static bool remote_io_pci_init_msix(RemoteIOPCIState *s, Error **errp)
{
    const RioDescription *d = &s->core.desc;
    uint64_t table_end = d->msix_table_offset +
                         d->msix_vectors * PCI_MSIX_ENTRY_SIZE;
    uint64_t pba_end = d->msix_pba_offset +
                       QEMU_ALIGN_UP(d->msix_vectors, 64) / 8;
    MemoryRegion *table, *pba;
    int i, ret;

    if (!d->msix_vectors || !msi_nonbroken) {
        return true;            /* the driver falls back to MSI or INTx */
    }
    if (d->msix_table_bar == d->msix_pba_bar) {
        table_end = MAX(table_end, pba_end);
    }
    table = remote_io_pci_msix_bar(s, d->msix_table_bar, table_end,
                                   &s->msix_bar[0]);
    pba = d->msix_table_bar == d->msix_pba_bar ? table :
          remote_io_pci_msix_bar(s, d->msix_pba_bar, pba_end,
                                 &s->msix_bar[1]);
    ret = msix_init(&s->parent_obj, d->msix_vectors, table, d->msix_table_bar,
                    d->msix_table_offset, pba, d->msix_pba_bar,
                    d->msix_pba_offset, 0, errp);
    for (i = 0; ret == 0 && i < d->msix_vectors; i++) {
        msix_vector_use(&s->parent_obj, i);
    }
    return ret == 0;
}

static bool remote_io_pci_init_interrupts(RemoteIOPCIState *s, Error **errp)
{
    PCIDevice *pci = &s->parent_obj;
    const RioDescription *d = &s->core.desc;

    if (d->lines) {
        s->core.irq.lines[0] = pci_allocate_irq(pci);
    }
    if (d->msi_vectors && msi_nonbroken &&
        msi_init(pci, 0, d->msi_vectors, true, true, errp) < 0) {
        return false;
    }
    return remote_io_pci_init_msix(s, errp);
}

static void remote_io_pci_exit(PCIDevice *pci)
{
    RemoteIOPCIState *s = REMOTE_IO_PCI(pci);

    remote_io_core_unrealize(&s->core);
    if (msix_present(pci)) {
        msix_unuse_all_vectors(pci);
        msix_uninit(pci, pci->io_regions[s->core.desc.msix_table_bar].memory,
                    pci->io_regions[s->core.desc.msix_pba_bar].memory);
    }
    msi_uninit(pci);
    if (pci_is_express(pci) && pci->exp.exp_cap) {
        pcie_cap_exit(pci);
    }
    if (s->core.irq.lines[0]) {
        qemu_free_irq(s->core.irq.lines[0]);
        s->core.irq.lines[0] = NULL;
    }
}

/* Also called when the stream of a machine that migrates has come so far */
static bool remote_io_pci_build(RemoteIOCore *core, Error **errp)
{
    PCIDevice *pci = core->pci;
    RemoteIOPCIState *s = REMOTE_IO_PCI(pci);
    unsigned i;

    remote_io_pci_identify(pci, &s->core.desc);
    for (i = 0; i < s->core.num_regions; i++) {
        remote_io_pci_map(pci, &s->core.region[i]);
    }
    if (pci_bus_is_express(pci_get_bus(pci)) &&
        pcie_endpoint_cap_init(pci, 0) < 0) {
        error_setg(errp, "no room for the PCI Express capability");
        return false;
    }
    return remote_io_pci_init_interrupts(s, errp);
}

static void remote_io_pci_realize(PCIDevice *pci, Error **errp)
{
    RemoteIOPCIState *s = REMOTE_IO_PCI(pci);

    if (!remote_io_core_realize(&s->core, RIO_BUS_PCI, remote_io_pci_build,
                                errp)) {
        remote_io_pci_exit(pci);
    }
}

static const VMStateDescription vmstate_remote_io_pci = {
    .name = "remote-io-pci",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_STRUCT(core, RemoteIOPCIState, 1, vmstate_remote_io_known,
                       RemoteIOCore),
        VMSTATE_PCI_DEVICE(parent_obj, RemoteIOPCIState),
        VMSTATE_MSIX(parent_obj, RemoteIOPCIState),
        VMSTATE_STRUCT(core, RemoteIOPCIState, 1, vmstate_remote_io_core,
                       RemoteIOCore),
        VMSTATE_END_OF_LIST()
    },
};

/* The guest may have enabled messages, which silences the line */
static void remote_io_pci_config_write(PCIDevice *pci, uint32_t addr,
                                       uint32_t value, int len)
{
    pci_default_write_config(pci, addr, value, len);
    remote_io_irq_mode_changed(&REMOTE_IO_PCI(pci)->core);
}

static void remote_io_pci_reset_hold(Object *obj, ResetType type)
{
    RemoteIOPCIState *s = REMOTE_IO_PCI(obj);

    remote_io_core_reset(&s->core);
}

static void remote_io_pci_init(Object *obj)
{
    RemoteIOPCIState *s = REMOTE_IO_PCI(obj);

    remote_io_core_init(&s->core, DEVICE(obj));
    s->core.pci = PCI_DEVICE(obj);
    /* On a conventional bus the larger config space does no harm */
    s->core.pci->cap_present |= QEMU_PCI_CAP_EXPRESS;
    /* What the module is, is not known yet: its path is the PCI function's */
    device_add_bootindex_property(obj, &s->bootindex, "bootindex", NULL,
                                  DEVICE(obj));
}

static void remote_io_pci_finalize(Object *obj)
{
    remote_io_core_finalize(&REMOTE_IO_PCI(obj)->core);
}

static const Property remote_io_pci_properties[] = {
    DEFINE_REMOTE_IO_PROPERTIES(RemoteIOPCIState, core),
    DEFINE_PROP_BOOL("share-memory", RemoteIOPCIState, core.share.enabled,
                     false),
    DEFINE_PROP_BOOL("recipes", RemoteIOPCIState, core.use_recipes, true),
};

static void remote_io_pci_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);
    ResettableClass *rc = RESETTABLE_CLASS(klass);

    dc->desc = "device in a remote-io-server";
    device_class_set_props(dc, remote_io_pci_properties);
    dc->vmsd = &vmstate_remote_io_pci;
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    rc->phases.hold = remote_io_pci_reset_hold;
    pc->realize = remote_io_pci_realize;
    pc->exit = remote_io_pci_exit;
    pc->config_write = remote_io_pci_config_write;
}

static const TypeInfo remote_io_pci_types[] = {
    {
        .name = TYPE_REMOTE_IO_PCI,
        .parent = TYPE_PCI_DEVICE,
        .instance_size = sizeof(RemoteIOPCIState),
        .instance_init = remote_io_pci_init,
        .instance_finalize = remote_io_pci_finalize,
        .class_init = remote_io_pci_class_init,
        .interfaces = (InterfaceInfo[]) {
            { INTERFACE_PCIE_DEVICE },
            { INTERFACE_CONVENTIONAL_PCI_DEVICE },
            { },
        },
    },
};

DEFINE_TYPES(remote_io_pci_types)
