/*
 * nvme module: Identify
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * NVM Express 1.4, section 5.15: Identify Namespace (figure 245), Identify
 * Controller (figure 247), Active Namespace ID list, Namespace
 * Identification Descriptor list.  Fields that are not set are 0, which
 * means "no" or "not reported".
 */

#include <stdio.h>
#include "nvme.h"

enum {                          /* figure 247: offsets */
    NVME_IDC_VID        = 0,
    NVME_IDC_SSVID      = 2,
    NVME_IDC_SN         = 4,
    NVME_IDC_MN         = 24,
    NVME_IDC_FR         = 64,
    NVME_IDC_RAB        = 72,
    NVME_IDC_MDTS       = 77,
    NVME_IDC_VER        = 80,
    NVME_IDC_RTD3R      = 84,
    NVME_IDC_RTD3E      = 88,
    NVME_IDC_OAES       = 92,
    NVME_IDC_CNTRLTYPE  = 111,
    NVME_IDC_OACS       = 256,
    NVME_IDC_ACL        = 258,
    NVME_IDC_AERL       = 259,
    NVME_IDC_FRMW       = 260,
    NVME_IDC_LPA        = 261,
    NVME_IDC_ELPE       = 262,
    NVME_IDC_WCTEMP     = 266,
    NVME_IDC_CCTEMP     = 268,
    NVME_IDC_SQES       = 512,
    NVME_IDC_CQES       = 513,
    NVME_IDC_NN         = 516,
    NVME_IDC_ONCS       = 520,
    NVME_IDC_VWC        = 525,
    NVME_IDC_SGLS       = 536,
    NVME_IDC_SUBNQN     = 768,
    NVME_IDC_PSD0       = 2048,
};

enum {                          /* figure 245: offsets */
    NVME_IDN_NSZE       = 0,
    NVME_IDN_NCAP       = 8,
    NVME_IDN_NUSE       = 16,
    NVME_IDN_NSFEAT     = 24,
    NVME_IDN_DLFEAT     = 33,
    NVME_IDN_NPWG       = 64,   /* and NPWA, NPDG, NPDA */
    NVME_IDN_NOWS       = 72,
    NVME_IDN_NSATTR     = 99,
    NVME_IDN_LBAF0      = 128,
};

#define NVME_OAES_NAMESPACE     (1u << 8)
#define NVME_OACS_DOORBELL      (1u << 8)
#define NVME_LPA_EFFECTS        (1u << 1)
#define NVME_LPA_EXTENDED       (1u << 2)
#define NVME_ONCS_COMPARE       (1u << 0)
#define NVME_ONCS_DSM           (1u << 2)
#define NVME_ONCS_ZEROES        (1u << 3)
#define NVME_ONCS_SELECT        (1u << 4)
#define NVME_SGLS_ANY           1       /* no alignment asked for */
#define NVME_NSFEAT_OPTPERF     (1u << 4)
#define NVME_DLFEAT_DEAC        (1u << 3)
#define NVME_NSATTR_PROTECTED   (1u << 0)
#define NVME_NID_UUID           3

/* ASCII, filled up with blanks, not terminated (1.5) */
static void nvme_put_text(uint8_t *p, const char *text, size_t len)
{
    size_t n = MIN(strlen(text), len);

    memset(p, ' ', len);
    memcpy(p, text, n);
}

static void nvme_put_nqn(uint8_t *p, const uint8_t *u)
{
    char nqn[256];

    snprintf(nqn, sizeof(nqn), "nqn.2014-08.org.nvmexpress:uuid:"
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
             "%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2], u[3], u[4], u[5],
             u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14],
             u[15]);
    memcpy(p, nqn, strlen(nqn));
}

/* What the controller can do: bytes 256 on */
static void nvme_identify_abilities(const NvmeCtrl *n, uint8_t *p)
{
    uint16_t oncs = NVME_ONCS_COMPARE | NVME_ONCS_ZEROES | NVME_ONCS_SELECT;

    if (n->disk.can_discard) {
        oncs |= NVME_ONCS_DSM;
    }
    if (n->shadow_supported) {
        nvme_put16(p + NVME_IDC_OACS, NVME_OACS_DOORBELL);
    }
    p[NVME_IDC_ACL] = 3;
    p[NVME_IDC_AERL] = NVME_MAX_EVENTS - 1;
    p[NVME_IDC_FRMW] = 1 << 1 | 1;      /* one slot, read only */
    p[NVME_IDC_LPA] = NVME_LPA_EFFECTS | NVME_LPA_EXTENDED;
    p[NVME_IDC_ELPE] = NVME_ERRORS - 1;
    nvme_put16(p + NVME_IDC_WCTEMP, 343);
    nvme_put16(p + NVME_IDC_CCTEMP, 373);
    p[NVME_IDC_SQES] = 0x66;            /* 64 bytes, no more, no less */
    p[NVME_IDC_CQES] = 0x44;
    nvme_put32(p + NVME_IDC_NN, 1);
    nvme_put16(p + NVME_IDC_ONCS, oncs);
    p[NVME_IDC_VWC] = 3 << 1 | 1;       /* there; flush takes any NSID */
    nvme_put32(p + NVME_IDC_SGLS, NVME_SGLS_ANY);
    nvme_put_nqn(p + NVME_IDC_SUBNQN, n->uuid);
    nvme_put16(p + NVME_IDC_PSD0, 2500);        /* centiwatts */
}

static void nvme_identify_controller(const NvmeCtrl *n, uint8_t *p)
{
    nvme_put16(p + NVME_IDC_VID, NVME_VENDOR);
    nvme_put16(p + NVME_IDC_SSVID, NVME_VENDOR);
    nvme_put_text(p + NVME_IDC_SN, n->serial, 20);
    nvme_put_text(p + NVME_IDC_MN, n->model, 40);
    nvme_put_text(p + NVME_IDC_FR, NVME_FIRMWARE, 8);
    p[NVME_IDC_RAB] = 6;
    p[NVME_IDC_MDTS] = n->mdts;
    nvme_put32(p + NVME_IDC_VER, NVME_VERSION);
    nvme_put32(p + NVME_IDC_RTD3R, 500000);     /* microseconds */
    nvme_put32(p + NVME_IDC_RTD3E, 10000000);
    nvme_put32(p + NVME_IDC_OAES, NVME_OAES_NAMESPACE);
    p[NVME_IDC_CNTRLTYPE] = 1;                  /* I/O controller */
    nvme_identify_abilities(n, p);
}

static void nvme_identify_namespace(const NvmeCtrl *n, uint8_t *p)
{
    uint32_t grain = n->disk.request_alignment >> n->block_shift;
    unsigned i;

    nvme_put64(p + NVME_IDN_NSZE, n->blocks);
    nvme_put64(p + NVME_IDN_NCAP, n->blocks);
    nvme_put64(p + NVME_IDN_NUSE, n->blocks);
    p[NVME_IDN_DLFEAT] = NVME_DLFEAT_DEAC;
    if (grain > 1) {
        /* Smaller writes work, by reading and writing more */
        p[NVME_IDN_NSFEAT] = NVME_NSFEAT_OPTPERF;
        for (i = 0; i < 4; i++) {
            nvme_put16(p + NVME_IDN_NPWG + 2 * i, MIN(grain, 65536) - 1);
        }
        nvme_put16(p + NVME_IDN_NOWS, MIN(grain, 65536) - 1);
    }
    if (n->read_only) {
        p[NVME_IDN_NSATTR] = NVME_NSATTR_PROTECTED;
    }
    nvme_put32(p + NVME_IDN_LBAF0, n->block_shift << 16);
}

static void nvme_identify_descriptors(const NvmeCtrl *n, uint8_t *p)
{
    p[0] = NVME_NID_UUID;
    p[1] = sizeof(n->uuid);
    memcpy(p + 4, n->uuid, sizeof(n->uuid));
}

static uint16_t nvme_identify_fill(NvmeCmd *cmd, uint8_t *p)
{
    NvmeCtrl *n = cmd->n;
    uint32_t nsid = nvme_nsid(cmd);

    switch (nvme_cdw(cmd, 10) & 0xff) {
    case NVME_CNS_CONTROLLER:
        nvme_identify_controller(n, p);
        return 0;
    case NVME_CNS_ACTIVE_LIST:
        if (nsid >= NVME_NSID_ALL - 1) {
            break;
        }
        nvme_put32(p, nsid < 1);        /* those above @nsid */
        return 0;
    case NVME_CNS_NAMESPACE:
    case NVME_CNS_DESCRIPTORS:
        if (nsid != 1) {
            break;
        }
        if ((nvme_cdw(cmd, 10) & 0xff) == NVME_CNS_NAMESPACE) {
            nvme_identify_namespace(n, p);
        } else {
            nvme_identify_descriptors(n, p);
        }
        return 0;
    default:
        return nvme_fail_at(cmd, NVME_SQE_CDW10, NVME_SC_INVALID_FIELD);
    }
    return nvme_fail_at(cmd, NVME_SQE_NSID, NVME_SC_INVALID_NSID);
}

uint16_t nvme_identify(NvmeCmd *cmd)
{
    g_autofree uint8_t *p = g_malloc0(NVME_IDENTIFY_SIZE);
    uint16_t status = nvme_identify_fill(cmd, p);

    return status ? status : nvme_reply_data(cmd, p, NVME_IDENTIFY_SIZE);
}
