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
#include "hw/acpi/acpi_aml_interface.h"
#include "hw/isa/isa.h"
#include "hw/qdev-properties.h"
#include "hw/resettable.h"
#include "qemu/module.h"
#include "hw/remote-io/remote-io.h"
#include "core.h"

OBJECT_DECLARE_SIMPLE_TYPE(RemoteIOISAState, REMOTE_IO_ISA)

#define ISA_UNSET UINT32_MAX

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

static bool remote_io_isa_check(RemoteIOISAState *s, Error **errp)
{
    unsigned i;

    for (i = 0; i < s->core.num_regions; i++) {
        const RioRegion *info = &s->core.region[i].info;
        uint64_t base = remote_io_isa_base(s, i);
        uint64_t end = info->kind == RIO_REGION_PIO ? 0x10000 : 1ull << 32;

        if (base > end || info->size > end - base) {
            error_setg(errp, "region %u of module '%s' (0x%" PRIx64 " bytes "
                       "at 0x%" PRIx64 ") lies beyond the ISA bus: use "
                       "another iobase", info->index, s->core.module,
                       info->size, base);
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

static void remote_io_isa_realize(DeviceState *dev, Error **errp)
{
    RemoteIOISAState *s = REMOTE_IO_ISA(dev);
    static unsigned next_uid = ISA_FIRST_UID;

    if (!remote_io_core_realize(&s->core, RIO_BUS_ISA, errp)) {
        return;
    }
    if (!remote_io_isa_check(s, errp)) {
        remote_io_core_unrealize(&s->core);
        return;
    }
    if (s->core.desc.lines) {
        s->core.irq.lines[0] = isa_get_irq(ISA_DEVICE(dev),
                                           remote_io_isa_irq(s));
    }
    s->uid = next_uid++;
    remote_io_isa_map(s);
}

static void remote_io_isa_unrealize(DeviceState *dev)
{
    RemoteIOISAState *s = REMOTE_IO_ISA(dev);
    unsigned i;

    for (i = 0; i < s->core.num_regions; i++) {
        MemoryRegion *mr = &s->core.region[i].mr;

        memory_region_del_subregion(mr->container, mr);
    }
    remote_io_core_unrealize(&s->core);
}

static void remote_io_isa_build_aml(AcpiDevAmlIf *adev, Aml *scope)
{
    RemoteIOISAState *s = REMOTE_IO_ISA(adev);
    const char *hid = s->core.desc.acpi_hid;
    unsigned i;
    Aml *dev, *crs;

    if (!hid[0]) {
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
    /* Seven characters of the form ABC0123 are an EISA id */
    aml_append(dev, aml_name_decl("_HID", strlen(hid) == 7 ? aml_eisaid(hid)
                                                           : aml_string("%s",
                                                                        hid)));
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
