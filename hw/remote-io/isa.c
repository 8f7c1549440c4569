/*
 * remote-io: the ISA shell
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Maps what the core got from the module into ports, memory windows and an
 * IRQ of the ISA bus, and describes them in ACPI.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "exec/ioport.h"
#include "hw/acpi/acpi_aml_interface.h"
#include "hw/isa/isa.h"
#include "hw/qdev-properties.h"
#include "hw/resettable.h"
#include "migration/vmstate.h"
#include "qemu/module.h"
#include "hw/remote-io/remote-io.h"
#include "core.h"

OBJECT_DECLARE_SIMPLE_TYPE(RemoteIOISAState, REMOTE_IO_ISA)

#define ISA_UNSET UINT32_MAX

#define ISA_PORTS 0x10000

/* Where a PC has the memory of its cards; RAM is on both sides */
#define ISA_MEMORY_START 0xa0000
#define ISA_MEMORY_END 0x100000

/* Unique ids in ACPI start beyond those of the machine's own devices */
#define ISA_FIRST_UID 0x10

struct RemoteIOISAState {
    ISADevice parent_obj;

    RemoteIOCore core;
    uint32_t iobase;            /* of region 0; unset: the module's */
    uint32_t irq;               /* of line 0; unset: the module's */
    unsigned uid;
};

static uint64_t remote_io_isa_base(RemoteIOISAState *s, unsigned i)
{
    const RioRegion *info = &s->core.region[i].info;

    return i == 0 && s->iobase != ISA_UNSET ? s->iobase : info->base;
}

static uint32_t remote_io_isa_irq(RemoteIOISAState *s)
{
    return s->irq != ISA_UNSET ? s->irq : s->core.desc.isa_irq;
}

/* What of the machine is between @base and @end, NULL if nothing is */
static MemoryRegion *find_taken(MemoryRegion *space, hwaddr base, hwaddr end)
{
    hwaddr at;

    for (at = base; at < end; at++) {
        MemoryRegion *mr = memory_region_find(space, at, 1).mr;

        if (!mr) {
            continue;
        }
        memory_region_unref(mr);    /* held by where it is mapped, and BQL */
        if (mr->ops != &unassigned_io_ops) {
            return mr;
        }
    }
    return NULL;
}

/*
 * The server says where a region is, and must not put it over memory or
 * devices of the machine: it would be told what the guest does there.
 */
static bool check_place(RemoteIOISAState *s, unsigned i, Error **errp)
{
    const RioRegion *info = &s->core.region[i].info;
    bool pio = info->kind == RIO_REGION_PIO;
    uint64_t base = remote_io_isa_base(s, i);
    uint64_t start = pio ? 0 : ISA_MEMORY_START;
    uint64_t end = pio ? ISA_PORTS : ISA_MEMORY_END;
    MemoryRegion *taken;

    if (base < start || base > end || info->size > end - base) {
        error_setg(errp, "region %u of module '%s' (0x%" PRIx64 " bytes at "
                   "0x%" PRIx64 ") lies beyond the %s of the ISA bus, 0x%"
                   PRIx64 " to 0x%" PRIx64 "%s", info->index, s->core.module,
                   info->size, base, pio ? "ports" : "memory", start, end - 1,
                   i ? "" : ": use another iobase");
        return false;
    }
    taken = find_taken(pio ? isa_address_space_io(ISA_DEVICE(s))
                           : isa_address_space(ISA_DEVICE(s)),
                       base, base + info->size);
    if (taken) {
        error_setg(errp, "region %u of module '%s' cannot be at %s 0x%" PRIx64
                   " to 0x%" PRIx64 ": '%s' of this machine is there; %sleave "
                   "that out (-nodefaults leaves out much), or set another "
                   "address in the server", info->index, s->core.module,
                   pio ? "ports" : "memory", base, base + info->size - 1,
                   memory_region_name(taken),
                   i ? "" : "use another iobase, ");
        return false;
    }
    return true;
}

static bool remote_io_isa_check(RemoteIOISAState *s, Error **errp)
{
    unsigned i;

    for (i = 0; i < s->core.num_regions; i++) {
        if (!check_place(s, i, errp)) {
            return false;
        }
    }
    if (s->core.desc.lines && remote_io_isa_irq(s) >= ISA_NUM_IRQS) {
        error_setg(errp, "irq=%u: the ISA bus has IRQs 0 to %d",
                   remote_io_isa_irq(s), ISA_NUM_IRQS - 1);
        return false;
    }
    return true;
}

static void remote_io_isa_map(RemoteIOISAState *s)
{
    ISADevice *isa = ISA_DEVICE(s);
    unsigned i;

    for (i = 0; i < s->core.num_regions; i++) {
        RemoteIORegion *r = &s->core.region[i];
        uint64_t base = remote_io_isa_base(s, i);

        if (r->info.kind == RIO_REGION_PIO) {
            isa_register_ioport(isa, &r->mr, base);
        } else {
            memory_region_add_subregion_overlap(isa_address_space(isa), base,
                                                &r->mr, 1);
        }
    }
}

/* Also called when the stream of a machine that migrates has come so far */
static bool remote_io_isa_build(RemoteIOCore *core, Error **errp)
{
    RemoteIOISAState *s = REMOTE_IO_ISA(core->dev);

    if (!remote_io_isa_check(s, errp)) {
        return false;
    }
    if (s->core.desc.lines) {
        s->core.irq.lines[0] = isa_get_irq(ISA_DEVICE(s),
                                           remote_io_isa_irq(s));
    }
    remote_io_isa_map(s);
    return true;
}

static void remote_io_isa_realize(DeviceState *dev, Error **errp)
{
    RemoteIOISAState *s = REMOTE_IO_ISA(dev);
    static unsigned next_uid = ISA_FIRST_UID;

    if (remote_io_core_realize(&s->core, RIO_BUS_ISA, remote_io_isa_build,
                               errp)) {
        s->uid = next_uid++;
    }
}

static const VMStateDescription vmstate_remote_io_isa = {
    .name = "remote-io-isa",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_STRUCT(core, RemoteIOISAState, 1, vmstate_remote_io_known,
                       RemoteIOCore),
        VMSTATE_STRUCT(core, RemoteIOISAState, 1, vmstate_remote_io_core,
                       RemoteIOCore),
        VMSTATE_END_OF_LIST()
    },
};

static void remote_io_isa_unrealize(DeviceState *dev)
{
    RemoteIOISAState *s = REMOTE_IO_ISA(dev);
    unsigned i;

    for (i = 0; i < s->core.num_regions; i++) {
        MemoryRegion *mr = &s->core.region[i].mr;

        if (mr->container) {
            memory_region_del_subregion(mr->container, mr);
        }
    }
    remote_io_core_unrealize(&s->core);
}

/* As ACPI has it: ABC0123 (an EISA id) or ABCD0123; NULL: it is neither */
static Aml *build_hid(const char *hid)
{
    static const char upper[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char upper_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    static const char hex[] = "0123456789ABCDEF";
    size_t len = strlen(hid);

    if (len == 7 && strspn(hid, upper) >= 3 && strspn(hid + 3, hex) == 4) {
        return aml_eisaid(hid);
    }
    if (len == 8 && strspn(hid, upper_digits) >= 4 &&
        strspn(hid + 4, hex) == 4) {
        return aml_string("%s", hid);
    }
    return NULL;
}

static void remote_io_isa_build_aml(AcpiDevAmlIf *adev, Aml *scope)
{
    RemoteIOISAState *s = REMOTE_IO_ISA(adev);
    Aml *hid = build_hid(s->core.desc.acpi_hid);
    unsigned i;
    Aml *dev, *crs;

    if (!hid) {
        return;
    }
    crs = aml_resource_template();
    for (i = 0; i < s->core.num_regions; i++) {
        const RioRegion *info = &s->core.region[i].info;
        uint64_t base = remote_io_isa_base(s, i);

        if (info->kind == RIO_REGION_PIO) {
            aml_append(crs, aml_io(AML_DECODE16, base, base, 0,
                                   MIN(info->size, 0xff)));
        } else {
            aml_append(crs, aml_memory32_fixed(base, info->size,
                                               AML_READ_WRITE));
        }
    }
    if (s->core.desc.lines) {
        aml_append(crs, aml_irq_no_flags(remote_io_isa_irq(s)));
    }
    dev = aml_device("RI%02X", s->uid);
    aml_append(dev, aml_name_decl("_HID", hid));
    aml_append(dev, aml_name_decl("_UID", aml_int(s->uid)));
    aml_append(dev, aml_name_decl("_STA", aml_int(0xf)));
    aml_append(dev, aml_name_decl("_CRS", crs));
    aml_append(scope, dev);
}

static void remote_io_isa_reset_hold(Object *obj, ResetType type)
{
    remote_io_core_reset(&REMOTE_IO_ISA(obj)->core);
}

static void remote_io_isa_init(Object *obj)
{
    remote_io_core_init(&REMOTE_IO_ISA(obj)->core, DEVICE(obj));
}

static void remote_io_isa_finalize(Object *obj)
{
    remote_io_core_finalize(&REMOTE_IO_ISA(obj)->core);
}

static const Property remote_io_isa_properties[] = {
    DEFINE_REMOTE_IO_PROPERTIES(RemoteIOISAState, core),
    DEFINE_PROP_UINT32("iobase", RemoteIOISAState, iobase, ISA_UNSET),
    DEFINE_PROP_UINT32("irq", RemoteIOISAState, irq, ISA_UNSET),
};

static void remote_io_isa_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    ResettableClass *rc = RESETTABLE_CLASS(klass);
    AcpiDevAmlIfClass *adevc = ACPI_DEV_AML_IF_CLASS(klass);

    dc->desc = "ISA device in a remote-io-server";
    dc->realize = remote_io_isa_realize;
    dc->unrealize = remote_io_isa_unrealize;
    device_class_set_props(dc, remote_io_isa_properties);
    dc->vmsd = &vmstate_remote_io_isa;
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    rc->phases.hold = remote_io_isa_reset_hold;
    adevc->build_dev_aml = remote_io_isa_build_aml;
}

static const TypeInfo remote_io_isa_types[] = {
    {
        .name = TYPE_REMOTE_IO_ISA,
        .parent = TYPE_ISA_DEVICE,
        .instance_size = sizeof(RemoteIOISAState),
        .instance_init = remote_io_isa_init,
        .instance_finalize = remote_io_isa_finalize,
        .class_init = remote_io_isa_class_init,
        .interfaces = (InterfaceInfo[]) {
            { TYPE_ACPI_DEV_AML_IF },
            { },
        },
    },
};

DEFINE_TYPES(remote_io_isa_types)
