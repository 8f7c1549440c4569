/*
 * Numbers of the NVM Express Base Specification, revision 1.4
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Only what the controller uses.  Each group names its section; offsets in
 * structures are bytes, as in the specification's figures.  Nothing here is
 * specific to this implementation.
 */

#ifndef NVME_SPEC_H
#define NVME_SPEC_H

#define NVME_VERSION            0x00010400u     /* 3.1.2 VS */

/* Section 3.1 "Register Definition" */
enum {
    NVME_REG_CAP        = 0x00,     /* 3.1.1, 64 bits */
    NVME_REG_VS         = 0x08,
    NVME_REG_INTMS      = 0x0c,     /* 3.1.3 */
    NVME_REG_INTMC      = 0x10,     /* 3.1.4 */
    NVME_REG_CC         = 0x14,     /* 3.1.5 */
    NVME_REG_CSTS       = 0x1c,     /* 3.1.6 */
    NVME_REG_AQA        = 0x24,     /* 3.1.8 */
    NVME_REG_ASQ        = 0x28,     /* 3.1.9, 64 bits */
    NVME_REG_ACQ        = 0x30,     /* 3.1.10, 64 bits */
    NVME_REG_DOORBELLS  = 0x1000,   /* 3.1.24, 3.1.25: SQyTDBL, CQyHDBL */
};

/* 3.1.1 CAP: Controller Capabilities */
#define NVME_CAP_CQR            (1ull << 16)    /* contiguous queues only */
#define NVME_CAP_TO_SHIFT       24              /* units of 500 ms */
#define NVME_CAP_CSS_NVM        (1ull << 37)
#define NVME_CAP_MPSMAX_SHIFT   52

/* 3.1.5 CC: Controller Configuration */
#define NVME_CC_EN              (1u << 0)
#define NVME_CC_CSS(cc)         (((cc) >> 4) & 7)
#define NVME_CC_MPS(cc)         (((cc) >> 7) & 15)
#define NVME_CC_AMS(cc)         (((cc) >> 11) & 7)
#define NVME_CC_SHN(cc)         (((cc) >> 14) & 3)
#define NVME_CC_IOSQES(cc)      (((cc) >> 16) & 15)
#define NVME_CC_IOCQES(cc)      (((cc) >> 20) & 15)
#define NVME_CC_WRITABLE        0x00fffff1u

/* 3.1.6 CSTS: Controller Status */
#define NVME_CSTS_RDY           (1u << 0)
#define NVME_CSTS_CFS           (1u << 1)
#define NVME_CSTS_SHST_MASK     (3u << 2)
#define NVME_CSTS_SHST_BUSY     (1u << 2)
#define NVME_CSTS_SHST_DONE     (2u << 2)

/* 4.2 "Submission Queue Entry" (figure 105): offsets */
#define NVME_SQE_SIZE           64
enum {
    NVME_SQE_OPCODE     = 0,
    NVME_SQE_FLAGS      = 1,        /* FUSE in 1:0, PSDT in 7:6 */
    NVME_SQE_CID        = 2,
    NVME_SQE_NSID       = 4,
    NVME_SQE_PRP1       = 24,       /* or SGL1, 16 bytes */
    NVME_SQE_PRP2       = 32,
    NVME_SQE_CDW10      = 40,
    NVME_SQE_CDW11      = 44,
    NVME_SQE_CDW12      = 48,
    NVME_SQE_CDW13      = 52,
};
#define NVME_SQE_FUSE_MASK      0x03
#define NVME_SQE_PSDT_MASK      0xc0
#define NVME_SQE_PSDT_SGL       0x40    /* metadata by address */
#define NVME_SQE_PSDT_SGL_META  0x80    /* metadata by SGL */

/* 4.4 "Scatter Gather List": type of a descriptor (bits 127:124) */
#define NVME_SGL_SIZE           16
enum {
    NVME_SGL_DATA       = 0,
    NVME_SGL_SEGMENT    = 2,
    NVME_SGL_LAST       = 3,
};

/* 4.6 "Completion Queue Entry": offsets, and the status word at 14 */
#define NVME_CQE_SIZE           16
enum {
    NVME_CQE_RESULT     = 0,
    NVME_CQE_SQHD       = 8,
    NVME_CQE_SQID       = 10,
    NVME_CQE_CID        = 12,
    NVME_CQE_STATUS     = 14,       /* phase in bit 0, status in 15:1 */
};

/*
 * 4.6.1 "Status Field", without the phase bit: code in 7:0, type in 10:8,
 * More in 13, Do Not Retry in 14
 */
#define NVME_SC_MORE            0x2000
#define NVME_SC_DNR             0x4000
enum {
    /* Generic Command Status */
    NVME_SC_SUCCESS             = 0x000,
    NVME_SC_INVALID_OPCODE      = 0x001,
    NVME_SC_INVALID_FIELD       = 0x002,
    NVME_SC_DATA_TRANSFER       = 0x004,
    NVME_SC_INTERNAL            = 0x006,
    NVME_SC_ABORT_REQUESTED     = 0x007,
    NVME_SC_INVALID_NSID        = 0x00b,
    NVME_SC_SEQUENCE            = 0x00c,
    NVME_SC_SGL_SEGMENT         = 0x00d,
    NVME_SC_SGL_COUNT           = 0x00e,
    NVME_SC_SGL_LENGTH          = 0x00f,
    NVME_SC_SGL_TYPE            = 0x011,
    NVME_SC_PRP_OFFSET          = 0x013,
    NVME_SC_WRITE_PROTECTED     = 0x020,
    NVME_SC_LBA_RANGE           = 0x080,
    NVME_SC_CAPACITY            = 0x081,
    /* Command Specific Status */
    NVME_SC_INVALID_CQ          = 0x100,
    NVME_SC_INVALID_QID         = 0x101,
    NVME_SC_QUEUE_SIZE          = 0x102,
    NVME_SC_AER_LIMIT           = 0x105,
    NVME_SC_INVALID_VECTOR      = 0x108,
    NVME_SC_INVALID_LOG         = 0x109,
    NVME_SC_QUEUE_DELETION      = 0x10c,
    NVME_SC_NOT_SAVEABLE        = 0x10d,
    NVME_SC_NOT_NAMESPACE       = 0x10f,
    /* Media and Data Integrity Errors */
    NVME_SC_WRITE_FAULT         = 0x280,
    NVME_SC_READ_ERROR          = 0x281,
    NVME_SC_COMPARE             = 0x285,
    NVME_SC_ACCESS_DENIED       = 0x286,
};

/* Section 5, "Opcodes for Admin Commands" */
enum {
    NVME_ADMIN_DELETE_SQ        = 0x00,
    NVME_ADMIN_CREATE_SQ        = 0x01,
    NVME_ADMIN_GET_LOG          = 0x02,
    NVME_ADMIN_DELETE_CQ        = 0x04,
    NVME_ADMIN_CREATE_CQ        = 0x05,
    NVME_ADMIN_IDENTIFY         = 0x06,
    NVME_ADMIN_ABORT            = 0x08,
    NVME_ADMIN_SET_FEATURES     = 0x09,
    NVME_ADMIN_GET_FEATURES     = 0x0a,
    NVME_ADMIN_ASYNC_EVENT      = 0x0c,
    NVME_ADMIN_DOORBELL_CONFIG  = 0x7c,
};

/* Section 6, "Opcodes for NVM Commands" (figure 346) */
enum {
    NVME_IO_FLUSH               = 0x00,
    NVME_IO_WRITE               = 0x01,
    NVME_IO_READ                = 0x02,
    NVME_IO_COMPARE             = 0x05,
    NVME_IO_WRITE_ZEROES        = 0x08,
    NVME_IO_DSM                 = 0x09,
};
#define NVME_IO_FUA             (1u << 30)      /* CDW12 of 6.6, 6.9, 6.15 */
#define NVME_IO_DEAC            (1u << 25)      /* CDW12 of Write Zeroes */
#define NVME_IO_DTYPE           (15u << 20)     /* CDW12 of Write */
#define NVME_DSM_DEALLOCATE     (1u << 2)       /* CDW11 of 6.7 */
#define NVME_DSM_RANGE_SIZE     16

#define NVME_EVENTS_NAMESPACE   (1u << 8)       /* 5.21.1.11 */

#define NVME_NSID_ALL           0xffffffffu

/* 5.2 "Asynchronous Event Request": type of an event, and information */
enum {
    NVME_EVENT_ERROR            = 0,
    NVME_EVENT_SMART            = 1,
    NVME_EVENT_NOTICE           = 2,
};
enum {
    NVME_EVENT_BAD_DOORBELL     = 0,    /* of ERROR: register */
    NVME_EVENT_BAD_VALUE        = 1,    /* of ERROR: value */
    NVME_EVENT_TEMPERATURE      = 1,    /* of SMART */
    NVME_EVENT_NAMESPACE        = 0,    /* of NOTICE */
};

/* 5.14 "Get Log Page": log page identifiers */
enum {
    NVME_LOG_ERROR              = 0x01,
    NVME_LOG_SMART              = 0x02,
    NVME_LOG_FIRMWARE           = 0x03,
    NVME_LOG_CHANGED_NS         = 0x04,
    NVME_LOG_EFFECTS            = 0x05,
};
#define NVME_LOG_RAE            (1u << 15)      /* CDW10: keep the event */

/* 5.15 "Identify": controller or namespace structure */
enum {
    NVME_CNS_NAMESPACE          = 0x00,
    NVME_CNS_CONTROLLER         = 0x01,
    NVME_CNS_ACTIVE_LIST        = 0x02,
    NVME_CNS_DESCRIPTORS        = 0x03,
};
#define NVME_IDENTIFY_SIZE      4096

/* 5.21.1 "Feature Specific Information": feature identifiers */
enum {
    NVME_FEAT_ARBITRATION       = 0x01,
    NVME_FEAT_POWER             = 0x02,
    NVME_FEAT_TEMPERATURE       = 0x04,
    NVME_FEAT_ERROR_RECOVERY    = 0x05,
    NVME_FEAT_WRITE_CACHE       = 0x06,
    NVME_FEAT_QUEUES            = 0x07,
    NVME_FEAT_COALESCING        = 0x08,
    NVME_FEAT_VECTOR            = 0x09,
    NVME_FEAT_ATOMICITY         = 0x0a,
    NVME_FEAT_EVENTS            = 0x0b,
};

#endif
