/*
 * remote-io module API: what the guest will see
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Part of remote-io-module.h, which is the one to include.  A module fills in a
 * RioModuleInfo in its describe callback; the numbers are those of the wire.
 */

#ifndef REMOTE_IO_MODULE_DESCRIBE_H
#define REMOTE_IO_MODULE_DESCRIBE_H

#ifndef REMOTE_IO_MODULE_H
#error "include remote-io-module.h, which brings this part along"
#endif

/* Which kind of -device a guest uses it with: remote-io or remote-io-isa */
typedef enum { RIO_MODULE_PCI = 1, RIO_MODULE_ISA = 2 } RioModuleBus;

/*
 * What a restart of the server means to a client.  STATELESS: nothing was
 * lost, it attaches again and goes on.  VOLATILE: the device's state is gone
 * and the client's on-loss policy decides; the safe default.  JOURNALED: a
 * server that keeps a journal has the state; without one it is as VOLATILE.
 */
typedef enum {
    RIO_MODULE_STATELESS = 1,
    RIO_MODULE_VOLATILE = 2,
    RIO_MODULE_JOURNALED = 3,
} RioModuleRestart;

/* Memory, or I/O ports */
typedef enum { RIO_MODULE_MMIO = 1, RIO_MODULE_PIO = 2 } RioModuleSpace;

/* RioModuleRegion.flags, for PCI */
enum {
    RIO_MODULE_BAR_64 = 1 << 0,
    RIO_MODULE_BAR_PREFETCH = 1 << 1,
};

/*
 * RioModuleRange.attrs
 *
 * Writes that lower a level line should not be POSTED: the guest's interrupt
 * handler would return before the line is low, and be called again.
 */
enum {
    RIO_MODULE_POSTED = 1 << 0,     /* the guest does not wait for writes */
    RIO_MODULE_PURE = 1 << 1,       /* reads have no side effect */
    RIO_MODULE_DOORBELL = 1 << 3,   /* writes tell of work in guest memory */
};

/**
 * RioModuleRegion: a window of registers, a BAR on PCI, ports or memory on ISA
 * @index: PCI: number of the BAR; ISA: 0, 1, ...
 * @space: a RioModuleSpace
 * @flags: RIO_MODULE_BAR_*, or 0
 * @size: bytes, a power of two; on PCI at least 16 of MMIO, or 4 of PIO
 * @base: ISA: default address or port; PCI: 0
 */
typedef struct RioModuleRegion {
    uint8_t index;
    uint8_t space;
    uint8_t flags;
    uint64_t size;
    uint64_t base;
} RioModuleRegion;

/**
 * RioModuleRange: what is special about a part of a region
 * @region: the region's index
 * @sizes: access sizes that are passed on, the sum of 1, 2, 4, 8; 0 = all.
 *         An access of another size never reaches the module.
 * @attrs: RIO_MODULE_POSTED ...
 * @offset, @length: bytes of the region; ranges do not overlap
 *
 * Outside of all ranges every size from 1 to 8 is passed on, reads are taken
 * to have side effects, and writes wait for their reply.
 */
typedef struct RioModuleRange {
    uint8_t region;
    uint8_t sizes;
    uint16_t attrs;
    uint64_t offset;
    uint64_t length;
} RioModuleRange;

/**
 * RioModuleInfo: the description of an instance
 * @bus: a RioModuleBus
 * @vendor_id ... @revision: PCI identity; @class_code is 0xCCSSPP, e.g.
 *         0x070002 for a 16550
 * @lines: level lines, 0 or 1: INTA on PCI, an IRQ on ISA
 * @msi_vectors: 0 or a power of two to 32
 * @msix_vectors: 0 to 2048
 * @msix_table_bar ... @msix_pba_offset: where the MSI-X table and pending
 *         bits lie.  They may share a BAR with registers; the client owns
 *         them, and the module never sees an access there.
 * @isa_irq: ISA: default IRQ
 * @acpi_hid: ISA: how ACPI names the device, e.g. "PNP0501"; NULL = not
 * @regions, @ranges: arrays of @num_regions (1 to 8), @num_ranges (to 64)
 *
 * What belongs to PCI stays 0 on ISA and the other way round, and the places
 * of MSI-X without vectors; a description that is not valid ends open.
 */
typedef struct RioModuleInfo {
    uint8_t bus;
    uint16_t vendor_id, device_id;
    uint16_t subsystem_vendor_id, subsystem_id;
    uint32_t class_code;
    uint8_t revision;
    uint8_t lines;
    uint8_t msi_vectors;
    uint16_t msix_vectors;
    uint8_t msix_table_bar;
    uint8_t msix_pba_bar;
    uint32_t msix_table_offset;
    uint32_t msix_pba_offset;
    uint8_t isa_irq;
    const char *acpi_hid;
    const RioModuleRegion *regions;
    unsigned num_regions;
    const RioModuleRange *ranges;
    unsigned num_ranges;
} RioModuleInfo;

typedef enum {
    RIO_MODULE_RESET_SYSTEM = 1,    /* the VM was reset or powered on */
    RIO_MODULE_RESET_FUNCTION = 2,  /* function level or bus reset */
} RioModuleReset;

#endif /* REMOTE_IO_MODULE_DESCRIBE_H */
