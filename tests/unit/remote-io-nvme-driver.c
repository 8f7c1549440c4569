/*
 * A small NVMe driver for tests of the nvme module
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "remote-io-nvme-driver.h"

const RioModule *rio_module_nvme_init(void);

uint16_t nv_get16(const uint8_t *p)
{
    return p[0] | p[1] << 8;
}

uint32_t nv_get32(const uint8_t *p)
{
    return nv_get16(p) | (uint32_t)nv_get16(p + 2) << 16;
}

uint64_t nv_get64(const uint8_t *p)
{
    return nv_get32(p) | (uint64_t)nv_get32(p + 4) << 32;
}

void nv_put32(uint8_t *p, uint32_t v)
{
    unsigned i;

    for (i = 0; i < 4; i++) {
        p[i] = v >> 8 * i;
    }
}

void nv_put64(uint8_t *p, uint64_t v)
{
    nv_put32(p, v);
    nv_put32(p + 4, v >> 32);
}

void nv_pattern(uint8_t *p, size_t len, uint32_t seed)
{
    size_t i;

    for (i = 0; i < len; i++) {
        p[i] = (seed * 2654435761u + i * 40503u) >> 8;
    }
}

bool nv_is_pattern(const uint8_t *p, size_t len, uint32_t seed)
{
    size_t i;

    for (i = 0; i < len; i++) {
        if (p[i] != (uint8_t)((seed * 2654435761u + i * 40503u) >> 8)) {
            return false;
        }
    }
    return true;
}

Nv *nv_new(const char *params)
{
    Nv *nv = g_new0(Nv, 1);
    g_autofree char *all = g_strdup_printf("drive=d0%s%s", *params ? "," : "",
                                           params);

    nv->h = fake_start(rio_module_nvme_init(), all);
    nv->next_page = 16 * NV_PAGE;
    nv->cc = NV_CC_ON;
    return nv;
}

void nv_free(Nv *nv)
{
    fake_close(nv->h);
    g_free(nv);
}

uint64_t nv_pages(Nv *nv, unsigned pages)
{
    uint64_t addr = nv->next_page;

    nv->next_page += pages * NV_PAGE;
    g_assert_cmpuint(nv->next_page, <=, FAKE_RAM_SIZE);
    return addr;
}

uint8_t *nv_at(Nv *nv, uint64_t addr)
{
    return nv->h->mem->ram + addr;
}

static void nv_queue_init(Nv *nv, unsigned id, uint32_t size)
{
    NvQueue *q = &nv->q[id];

    if (!q->sq || q->sq_size != size) {
        q->sq = nv_pages(nv, (size * 64 + NV_PAGE - 1) / NV_PAGE);
        q->cq = nv_pages(nv, (size * 16 + NV_PAGE - 1) / NV_PAGE);
    }
    memset(nv_at(nv, q->cq), 0, size * 16);
    q->id = id;
    q->sq_size = q->cq_size = size;
    q->tail = q->head = 0;
    q->phase = true;
}

void nv_enable(Nv *nv)
{
    nv_queue_init(nv, 0, 32);
    fake_write(nv->h, NV_AQA, 4, 31 << 16 | 31);
    fake_write(nv->h, NV_ASQ, 8, nv->q[0].sq);
    fake_write(nv->h, NV_ACQ, 8, nv->q[0].cq);
    fake_write(nv->h, NV_CC, 4, nv->cc);
    g_assert_cmphex(fake_read(nv->h, NV_CSTS, 4), ==, NV_RDY);
}

void nv_disable(Nv *nv)
{
    fake_write(nv->h, NV_CC, 4, nv->cc & ~1u);
}

Nv *nv_start(const char *params)
{
    Nv *nv = nv_new(params);

    nv_enable(nv);
    g_assert_cmphex(nv_create(nv, 1, 64, 1), ==, 0);
    return nv;
}

uint16_t nv_create(Nv *nv, unsigned id, uint32_t size, unsigned vector)
{
    NvSqe sqe = { .opcode = 0x05 };
    NvCqe cqe;

    nv_queue_init(nv, id, size);
    sqe.prp1 = nv->q[id].cq;
    sqe.cdw10 = id | (size - 1) << 16;
    sqe.cdw11 = vector << 16 | 3;
    cqe = nv_do(nv, 0, &sqe);
    if (cqe.status) {
        return cqe.status;
    }
    sqe.opcode = 0x01;
    sqe.prp1 = nv->q[id].sq;
    sqe.cdw11 = id << 16 | 1;
    return nv_do(nv, 0, &sqe).status;
}

uint16_t nv_put(Nv *nv, unsigned id, const NvSqe *sqe)
{
    NvQueue *q = &nv->q[id];
    uint8_t *p = nv_at(nv, q->sq + 64 * q->tail);
    uint16_t cid = q->next_cid++;

    memset(p, 0, 64);
    nv_put32(p, sqe->opcode | sqe->flags << 8 | (uint32_t)cid << 16);
    nv_put32(p + 4, sqe->nsid);
    nv_put64(p + 24, sqe->prp1);
    nv_put64(p + 32, sqe->prp2);
    nv_put32(p + 40, sqe->cdw10);
    nv_put32(p + 44, sqe->cdw11);
    nv_put32(p + 48, sqe->cdw12);
    nv_put32(p + 52, sqe->cdw13);
    q->tail = (q->tail + 1) % q->sq_size;
    return cid;
}

void nv_ring(Nv *nv, unsigned id)
{
    fake_ring(nv->h, NV_SQ_DOORBELL(id), nv->q[id].tail);
}

bool nv_peek(Nv *nv, unsigned id, NvCqe *cqe)
{
    NvQueue *q = &nv->q[id];
    const uint8_t *p = nv_at(nv, q->cq + 16 * q->head);
    uint16_t status = nv_get16(p + 14);

    if ((status & 1) != q->phase) {
        return false;
    }
    cqe->result = nv_get32(p);
    cqe->sqhd = nv_get16(p + 8);
    cqe->sqid = nv_get16(p + 10);
    cqe->cid = nv_get16(p + 12);
    cqe->status = status >> 1 & 0x7ff;
    cqe->dnr = status >> 15;
    q->head = (q->head + 1) % q->cq_size;
    q->phase ^= !q->head;
    return true;
}

bool nv_take(Nv *nv, unsigned id, NvCqe *cqe)
{
    if (!nv_peek(nv, id, cqe)) {
        return false;
    }
    fake_write(nv->h, NV_CQ_DOORBELL(id), 4, nv->q[id].head);
    return true;
}

NvCqe nv_do(Nv *nv, unsigned id, const NvSqe *sqe)
{
    uint16_t cid = nv_put(nv, id, sqe);
    NvCqe cqe;

    nv_ring(nv, id);
    g_assert_true(nv_take(nv, id, &cqe));
    g_assert_cmpuint(cqe.cid, ==, cid);
    g_assert_cmpuint(cqe.sqid, ==, id);
    g_assert_cmpuint(cqe.sqhd, ==, nv->q[id].tail);
    return cqe;
}

uint16_t nv_admin(Nv *nv, uint8_t opcode, uint32_t cdw10, uint32_t cdw11)
{
    const NvSqe sqe = { .opcode = opcode, .cdw10 = cdw10, .cdw11 = cdw11 };

    return nv_do(nv, 0, &sqe).status;
}

NvSqe nv_rw_sqe(uint8_t opcode, uint64_t lba, uint32_t blocks, uint64_t prp1,
                uint64_t prp2)
{
    return (NvSqe) {
        .opcode = opcode, .nsid = 1, .prp1 = prp1, .prp2 = prp2,
        .cdw10 = lba, .cdw11 = lba >> 32, .cdw12 = blocks - 1,
    };
}

uint16_t nv_rw(Nv *nv, uint8_t opcode, uint64_t lba, uint32_t blocks,
               uint64_t prp1, uint64_t prp2)
{
    const NvSqe sqe = nv_rw_sqe(opcode, lba, blocks, prp1, prp2);

    return nv_do(nv, 1, &sqe).status;
}
