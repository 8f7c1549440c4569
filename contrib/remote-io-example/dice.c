/*
 * dice: a device that rolls a die, as an example of a module of your own
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * It needs nothing but the header that remote-io-server installs.  "make"
 * builds dice.so; a server that is started with --module-path DIR, where
 * DIR holds it, knows the module "dice".
 */

#include <remote-io-module.h>

/* Registers of BAR 0, 32 bits each */
enum {
    DICE_ROLL  = 0x0,           /* R:  rolls, gives 1 to SIDES */
    DICE_SIDES = 0x4,           /* RW: sides that the die has */
    DICE_COUNT = 0x8,           /* R:  rolls since the last reset */
    DICE_SIZE  = 0x10,
};

typedef struct DiceState {
    uint64_t random;            /* never 0 */
    uint32_t first_sides;       /* what a reset comes back to */
    uint32_t sides;
    uint32_t count;
} DiceState;

static const RioModuleRegion dice_region = {
    .index = 0, .space = RIO_MODULE_MMIO, .size = DICE_SIZE,
};

/*
 * A load of ROLL changes the die, so it is not pure; the others may be called
 * so.  The guest need not wait for a store to SIDES: what it loads later
 * comes after it in any case.
 */
static const RioModuleRange dice_ranges[] = {
    { .offset = DICE_ROLL, .length = 4, .sizes = 4 },
    { .offset = DICE_SIDES, .length = 4, .sizes = 4,
      .attrs = RIO_MODULE_PURE | RIO_MODULE_POSTED },
    { .offset = DICE_COUNT, .length = 8, .sizes = 4,
      .attrs = RIO_MODULE_PURE },
};

static const RioParam dice_params[] = {
    { .name = "sides", .type = RIO_PARAM_UINT, .fallback = "6",
      .help = "sides of the die, 1 to 1000000" },
    { .name = "seed", .type = RIO_PARAM_UINT, .fallback = "1",
      .help = "the same seed rolls the same numbers" },
    { .name = NULL },
};

static int dice_open(RioDevice *dev, void *opaque)
{
    DiceState *s = opaque;
    uint64_t sides = rio_param_uint(dev, "sides");

    if (sides < 1 || sides > 1000000) {
        return rio_fail(dev, "sides=%llu: use 1 to 1000000",
                        (unsigned long long)sides);
    }
    s->first_sides = s->sides = (uint32_t)sides;
    s->random = rio_param_uint(dev, "seed") * 2 + 1;
    return 0;
}

static void dice_describe(RioDevice *dev, void *opaque, RioModuleInfo *info)
{
    (void)dev, (void)opaque;
    info->bus = RIO_MODULE_PCI;
    info->vendor_id = 0x1234;           /* belongs to nobody */
    info->device_id = 0xd1ce;
    info->class_code = 0xff0000;        /* fits no class */
    info->regions = &dice_region;
    info->num_regions = 1;
    info->ranges = dice_ranges;
    info->num_ranges = sizeof(dice_ranges) / sizeof(dice_ranges[0]);
}

/* Marsaglia's xorshift with the shifts 13, 7, 17 */
static uint32_t dice_roll(DiceState *s)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    s->count++;
    return (uint32_t)(s->random >> 32) % s->sides + 1;
}

static uint64_t dice_read(RioDevice *dev, void *opaque, unsigned client,
                          unsigned region, uint64_t offset, unsigned size)
{
    DiceState *s = opaque;

    (void)dev, (void)client, (void)region, (void)size;
    switch (offset) {
    case DICE_ROLL:
        return dice_roll(s);
    case DICE_SIDES:
        return s->sides;
    case DICE_COUNT:
        return s->count;
    default:
        return 0;
    }
}

static void dice_write(RioDevice *dev, void *opaque, unsigned client,
                       unsigned region, uint64_t offset, unsigned size,
                       uint64_t value)
{
    DiceState *s = opaque;

    (void)client, (void)region, (void)size;
    if (offset != DICE_SIDES) {
        rio_log(dev, RIO_LOG_GUEST, "store at 0x%x: it is read only",
                (unsigned)offset);
    } else if (value == 0) {
        rio_log(dev, RIO_LOG_GUEST, "a die without sides");
    } else {
        s->sides = (uint32_t)value;
    }
}

/* The numbers go on: a reset of the VM does not take luck back */
static void dice_reset(RioDevice *dev, void *opaque, unsigned client,
                       int kind)
{
    DiceState *s = opaque;

    (void)dev, (void)client, (void)kind;
    s->sides = s->first_sides;
    s->count = 0;
}

static RioModule dice_module = {
    .name = "dice",
    .summary = "rolls a die",
    .params = dice_params,
    .state_size = sizeof(DiceState),
    .open = dice_open,
    .describe = dice_describe,
    .read = dice_read,
    .write = dice_write,
    .reset = dice_reset,
};

RIO_REGISTER_MODULE(dice, dice_module)
