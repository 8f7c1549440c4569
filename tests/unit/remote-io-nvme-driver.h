/*
 * A small NVMe driver for tests of the nvme module
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Numbers are typed again from the NVM Express specification, revision 1.4,
 * as an independent witness: this includes nothing of the module.
 */

#ifndef TEST_REMOTE_IO_NVME_DRIVER_H
#define TEST_REMOTE_IO_NVME_DRIVER_H

#include "remote-io-module-memory.h"

#define NV_PAGE 4096u
#define NV_QUEUES 9

/* Registers */
#define NV_CAP      0x00
#define NV_VS       0x08
#define NV_INTMS    0x0c
#define NV_INTMC    0x10
#define NV_CC       0x14
#define NV_CSTS     0x1c
#define NV_AQA      0x24
#define NV_ASQ      0x28
#define NV_ACQ      0x30
#define NV_SQ_DOORBELL(q) (0x1000 + 8 * (q))
#define NV_CQ_DOORBELL(q) (0x1004 + 8 * (q))

#define NV_CC_ON    0x00460001u     /* 64 and 16 byte entries, enabled */
#define NV_RDY      1u
#define NV_CFS      2u

/* A submission queue entry, as numbers */
typedef struct NvSqe {
    uint8_t opcode;
    uint8_t flags;
    uint32_t nsid;
    uint64_t prp1, prp2;        /* or the 16 bytes of SGL1 */
    uint32_t cdw10, cdw11, cdw12, cdw13;
} NvSqe;

typedef struct NvCqe {
    uint32_t result;
    uint16_t sqhd, sqid, cid;
    uint16_t status;            /* type and code, without More and DNR */
    bool dnr;
} NvCqe;

typedef struct NvQueue {
    unsigned id;
    uint64_t sq, cq;
    uint32_t sq_size, cq_size;
    uint32_t tail, head;
    bool phase;
    uint16_t next_cid;
} NvQueue;

typedef struct Nv {
    FakeHost *h;
    NvQueue q[NV_QUEUES];
    uint64_t next_page;         /* of guest memory, never given back */
    uint32_t cc;                /* written to enable */
} Nv;

/* An instance on node d0 with @params, its controller not enabled */
Nv *nv_new(const char *params);
void nv_free(Nv *nv);

/* Addresses of @pages fresh pages, one after the other */
uint64_t nv_pages(Nv *nv, unsigned pages);
uint8_t *nv_at(Nv *nv, uint64_t addr);

/* Enable with admin queues of 32 entries; must become ready */
void nv_enable(Nv *nv);
void nv_disable(Nv *nv);

/* nv_new, nv_enable, and I/O queue 1 of 64 entries on vector 1 */
Nv *nv_start(const char *params);

/* Make queue pair @id; the status of what failed first, or 0 */
uint16_t nv_create(Nv *nv, unsigned id, uint32_t size, unsigned vector);

/* Put an entry into queue @q and, with nv_ring, tell; returns its cid */
uint16_t nv_put(Nv *nv, unsigned q, const NvSqe *sqe);
void nv_ring(Nv *nv, unsigned q);

/* Take the next completion, if there is one; the head doorbell is written */
bool nv_take(Nv *nv, unsigned q, NvCqe *cqe);

/* The same, but the head doorbell is not written */
bool nv_peek(Nv *nv, unsigned q, NvCqe *cqe);

/* Submit, and take the completion, which must be there at once */
NvCqe nv_do(Nv *nv, unsigned q, const NvSqe *sqe);

/* Shorthand for nv_do(): the status */
uint16_t nv_admin(Nv *nv, uint8_t opcode, uint32_t cdw10, uint32_t cdw11);
uint16_t nv_rw(Nv *nv, uint8_t opcode, uint64_t lba, uint32_t blocks,
               uint64_t prp1, uint64_t prp2);

/* A read or write of @blocks at @lba, to be changed and submitted */
NvSqe nv_rw_sqe(uint8_t opcode, uint64_t lba, uint32_t blocks, uint64_t prp1,
                uint64_t prp2);

/* Little-endian numbers in guest memory or buffers */
uint16_t nv_get16(const uint8_t *p);
uint32_t nv_get32(const uint8_t *p);
uint64_t nv_get64(const uint8_t *p);
void nv_put32(uint8_t *p, uint32_t v);
void nv_put64(uint8_t *p, uint64_t v);

/* Bytes that tell where they are: @seed and their index */
void nv_pattern(uint8_t *p, size_t len, uint32_t seed);
bool nv_is_pattern(const uint8_t *p, size_t len, uint32_t seed);

#endif /* TEST_REMOTE_IO_NVME_DRIVER_H */
