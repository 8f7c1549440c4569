/*
 * nvme module: parameters, description and registers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * NVM Express 1.4, section 3.1 "Register Definition".  There is no
 * controller memory buffer, no persistent memory region and no boot
 * partition: their registers read as 0.
 */

#include <ctype.h>
#include "nvme.h"

/* ---- registers --------------------------------------------------------- */

static uint64_t nvme_cap(void)
{
    return (NVME_MAX_ENTRIES - 1) | NVME_CAP_CQR |
           (uint64_t)NVME_TIMEOUT << NVME_CAP_TO_SHIFT | NVME_CAP_CSS_NVM |
           (uint64_t)NVME_MPS_MAX << NVME_CAP_MPSMAX_SHIFT;
}

static uint32_t nvme_reg_read32(const NvmeCtrl *n, uint64_t offset)
{
    switch (offset) {
    case NVME_REG_CAP:
        return nvme_cap();
    case NVME_REG_CAP + 4:
        return nvme_cap() >> 32;
    case NVME_REG_VS:
        return NVME_VERSION;
    case NVME_REG_INTMS:
    case NVME_REG_INTMC:
        return n->intms;
    case NVME_REG_CC:
        return n->cc;
    case NVME_REG_CSTS:
        return n->csts;
    case NVME_REG_AQA:
        return n->aqa;
    case NVME_REG_ASQ:
        return n->asq;
    case NVME_REG_ASQ + 4:
        return n->asq >> 32;
    case NVME_REG_ACQ:
        return n->acq;
    case NVME_REG_ACQ + 4:
        return n->acq >> 32;
    default:
        return 0;
    }
}

static uint64_t nvme_read(RioDevice *dev, void *s, unsigned client,
                          unsigned region, uint64_t offset, unsigned size)
{
    const NvmeCtrl *n = s;
    uint64_t word = nvme_reg_read32(n, offset & ~3ull);

    (void)dev;
    (void)client;
    (void)region;
    if (size == 8 && !(offset & 3)) {
        word |= (uint64_t)nvme_reg_read32(n, offset + 4) << 32;
    }
    return word >> (offset & 3) * 8;
}

static void nvme_put_low(uint64_t *reg, uint32_t value)
{
    *reg = (*reg & ~0xffffffffull) | (value & 0xfffff000);
}

static void nvme_put_high(uint64_t *reg, uint32_t value)
{
    *reg = (*reg & 0xffffffffull) | (uint64_t)value << 32;
}

static void nvme_reg_write32(NvmeCtrl *n, uint64_t offset, uint32_t value)
{
    switch (offset) {
    case NVME_REG_INTMS:
        n->intms |= value;
        nvme_irq_update(n);
        break;
    case NVME_REG_INTMC:
        n->intms &= ~value;
        nvme_irq_update(n);
        break;
    case NVME_REG_CC:
        nvme_cc_write(n, value);
        break;
    case NVME_REG_AQA:
        n->aqa = value & 0x0fff0fff;
        break;
    case NVME_REG_ASQ:
        nvme_put_low(&n->asq, value);
        break;
    case NVME_REG_ASQ + 4:
        nvme_put_high(&n->asq, value);
        break;
    case NVME_REG_ACQ:
        nvme_put_low(&n->acq, value);
        break;
    case NVME_REG_ACQ + 4:
        nvme_put_high(&n->acq, value);
        break;
    default:
        rio_log(n->dev, RIO_LOG_GUEST, "write of 0x%x to register 0x%" PRIx64
                ", which cannot be written", value, offset);
    }
}

static void nvme_write(RioDevice *dev, void *s, unsigned client,
                       unsigned region, uint64_t offset, unsigned size,
                       uint64_t value)
{
    NvmeCtrl *n = s;

    (void)client;
    (void)region;
    if (size < 4 || (offset & (size - 1))) {
        rio_log(dev, RIO_LOG_GUEST, "write of %u bytes to register 0x%" PRIx64
                ": only aligned words of 4 or 8 bytes work", size, offset);
    } else if (offset >= NVME_REG_DOORBELLS) {
        nvme_doorbell(n, offset - NVME_REG_DOORBELLS, value);
    } else {
        nvme_reg_write32(n, offset, value);
        if (size == 8) {
            nvme_reg_write32(n, offset + 4, value >> 32);
        }
    }
}

/* ---- clients ----------------------------------------------------------- */

static void nvme_attach(RioDevice *dev, void *s, unsigned client)
{
    NvmeCtrl *n = s;

    (void)dev;
    n->client = client;
    n->line = false;
}

static void nvme_detach(RioDevice *dev, void *s, unsigned client)
{
    (void)dev;
    (void)client;
    nvme_ctrl_reset(s);
}

static void nvme_reset(RioDevice *dev, void *s, unsigned client, int kind)
{
    (void)dev;
    (void)client;
    (void)kind;
    nvme_ctrl_reset(s);
}

/* ---- parameters -------------------------------------------------------- */

static const RioParam nvme_params[] = {
    { .name = "drive", .type = RIO_PARAM_STRING, .mandatory = true,
      .help = "node name of the disk (--blockdev)" },
    { .name = "serial", .type = RIO_PARAM_STRING,
      .help = "serial number, up to 20 characters (default: the module id)" },
    { .name = "model", .type = RIO_PARAM_STRING,
      .fallback = "remote-io NVMe disk",
      .help = "model number, up to 40 characters" },
    { .name = "logical-block-size", .type = RIO_PARAM_UINT,
      .fallback = "512", .help = "bytes per block: 512 or 4096" },
    { .name = "queues", .type = RIO_PARAM_UINT, .fallback = "8",
      .help = "pairs of I/O queues, 1 to 63" },
    { .name = "mdts", .type = RIO_PARAM_UINT, .fallback = "7",
      .help = "largest transfer, 4 KiB << mdts: 1 to 10" },
    { .name = "read-only", .type = RIO_PARAM_BOOL, .fallback = "off",
      .help = "the guest must not write" },
    { .name = "shadow-doorbells", .type = RIO_PARAM_BOOL, .fallback = "off",
      .help = "offer doorbells in memory: good only where memory is shared" },
    { .name = NULL }
};

/* Is @text printable ASCII, as identification must be (1.5)? */
static int nvme_open_text(RioDevice *dev, const char *name, const char *text,
                          char *to, size_t max)
{
    const char *p;

    for (p = text; *p; p++) {
        if (*p < 0x20 || *p > 0x7e) {
            return rio_fail(dev, "%s='%s' has a character that is not "
                            "printable ASCII", name, text);
        }
    }
    if (!*text || strlen(text) > max) {
        return rio_fail(dev, "%s='%s' must have 1 to %zu characters", name,
                        text, max);
    }
    memcpy(to, text, strlen(text) + 1);
    return 0;
}

/* A name based UUID (RFC 4122, version 5) of what tells disks apart */
static void nvme_make_uuid(NvmeCtrl *n)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA1);
    uint8_t digest[20];
    gsize len = sizeof(digest);

    g_checksum_update(sum, (const guchar *)n->model, strlen(n->model) + 1);
    g_checksum_update(sum, (const guchar *)n->serial, strlen(n->serial) + 1);
    g_checksum_get_digest(sum, digest, &len);
    memcpy(n->uuid, digest, sizeof(n->uuid));
    n->uuid[6] = (n->uuid[6] & 0x0f) | 0x50;
    n->uuid[8] = (n->uuid[8] & 0x3f) | 0x80;
}

static int nvme_open_identity(RioDevice *dev, NvmeCtrl *n)
{
    const char *serial = rio_param_string(dev, "serial");
    g_autofree char *fallback = g_strndup(dev->id, sizeof(n->serial) - 1);

    if (nvme_open_text(dev, "serial", serial ? serial : fallback, n->serial,
                       sizeof(n->serial) - 1) ||
        nvme_open_text(dev, "model", rio_param_string(dev, "model"),
                       n->model, sizeof(n->model) - 1)) {
        return -1;
    }
    nvme_make_uuid(n);
    return 0;
}

static int nvme_open_numbers(RioDevice *dev, NvmeCtrl *n)
{
    uint64_t size = rio_param_uint(dev, "logical-block-size");
    uint64_t queues = rio_param_uint(dev, "queues");
    uint64_t mdts = rio_param_uint(dev, "mdts");

    if (size != 512 && size != 4096) {
        return rio_fail(dev, "logical-block-size=%" PRIu64
                        " must be 512 or 4096", size);
    }
    if (queues < 1 || queues > NVME_MAX_QUEUES) {
        return rio_fail(dev, "queues=%" PRIu64 " must be 1 to %d", queues,
                        NVME_MAX_QUEUES);
    }
    if (mdts < 1 || mdts > NVME_MAX_MDTS) {
        return rio_fail(dev, "mdts=%" PRIu64 " must be 1 to %d", mdts,
                        NVME_MAX_MDTS);
    }
    n->block_shift = size == 512 ? 9 : 12;
    n->queues = queues;
    n->mdts = mdts;
    n->shadow_supported = rio_param_bool(dev, "shadow-doorbells");
    return 0;
}

/* ---- the disk ---------------------------------------------------------- */

static void nvme_disk_update(NvmeCtrl *n)
{
    rio_block_info(n->dev, n->blk, &n->disk);
    n->blocks = n->disk.length >> n->block_shift;
}

void nvme_disk_changed(NvmeCtrl *n, uint64_t before)
{
    if (n->blocks != before) {
        n->namespace_changed = true;
        if (n->event_config & NVME_EVENTS_NAMESPACE) {
            nvme_event(n, NVME_EVENT_NOTICE, NVME_EVENT_NAMESPACE,
                       NVME_LOG_CHANGED_NS);
        }
    }
}

static void nvme_resized(RioDevice *dev, void *s)
{
    NvmeCtrl *n = s;
    uint64_t before = n->blocks;

    (void)dev;
    nvme_disk_update(n);
    nvme_disk_changed(n, before);
}

static const RioBlockOps nvme_block_ops = {
    .resized = nvme_resized,
};

static int nvme_open_disk(RioDevice *dev, NvmeCtrl *n)
{
    const char *node = rio_param_string(dev, "drive");
    bool read_only = rio_param_bool(dev, "read-only");

    n->blk = rio_block_open(dev, node, !read_only, &nvme_block_ops);
    if (!n->blk) {
        return -1;
    }
    nvme_disk_update(n);
    n->read_only = read_only || n->disk.read_only;
    if (!n->blocks) {
        return rio_fail(dev, "drive=%s has %" PRIu64 " bytes, less than one "
                        "block of %u", node, n->disk.length,
                        1u << n->block_shift);
    }
    return 0;
}

static int nvme_open(RioDevice *dev, void *s)
{
    NvmeCtrl *n = s;

    n->dev = dev;
    n->power_on_ns = rio_clock_ns(dev);
    nvme_features_reset(n);
    if (nvme_open_identity(dev, n) || nvme_open_numbers(dev, n)) {
        return -1;
    }
    return nvme_open_disk(dev, n);
}

static void nvme_close(RioDevice *dev, void *s)
{
    (void)dev;
    nvme_ctrl_reset(s);
}

/* ---- description ------------------------------------------------------- */

static const RioModuleRegion nvme_regions[] = {
    { .index = 0, .space = RIO_MODULE_MMIO, .flags = RIO_MODULE_BAR_64,
      .size = NVME_BAR_SIZE },
};

static void nvme_describe(RioDevice *dev, void *s, RioModuleInfo *info)
{
    NvmeCtrl *n = s;

    (void)dev;
    /* The guest polls CSTS, so it need not wait for its writes either */
    n->ranges[0] = (RioModuleRange) {
        .sizes = 4 | 8, .attrs = RIO_MODULE_POSTED | RIO_MODULE_PURE,
        .offset = 0, .length = NVME_REG_DOORBELLS,
    };
    n->ranges[1] = (RioModuleRange) {
        .sizes = 4, .attrs = RIO_MODULE_POSTED | RIO_MODULE_DOORBELL,
        .offset = NVME_REG_DOORBELLS, .length = 8 * (n->queues + 1),
    };
    info->bus = RIO_MODULE_PCI;
    info->vendor_id = info->subsystem_vendor_id = NVME_VENDOR;
    info->device_id = info->subsystem_id = NVME_DEVICE;
    info->class_code = 0x010802;        /* NVM Express I/O controller */
    info->revision = 1;
    info->lines = 1;
    info->msix_vectors = n->queues + 1;
    info->msix_table_bar = info->msix_pba_bar = 0;
    info->msix_table_offset = NVME_MSIX_TABLE;
    info->msix_pba_offset = NVME_MSIX_PBA;
    info->regions = nvme_regions;
    info->num_regions = G_N_ELEMENTS(nvme_regions);
    info->ranges = n->ranges;
    info->num_ranges = G_N_ELEMENTS(n->ranges);
}

static RioModule nvme_module = {
    .name = "nvme",
    .summary = "NVM Express 1.4 controller with one disk",
    .params = nvme_params,
    .state_size = sizeof(NvmeCtrl),
    .max_clients = 1,
    .restart = RIO_MODULE_JOURNALED,
    .open = nvme_open,
    .close = nvme_close,
    .describe = nvme_describe,
    .attach = nvme_attach,
    .detach = nvme_detach,
    .read = nvme_read,
    .write = nvme_write,
    .reset = nvme_reset,
    .state = &nvme_state,
};

RIO_REGISTER_MODULE(nvme, nvme_module)
