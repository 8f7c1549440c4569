/*
 * nvme module: what the client sends along with a doorbell
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * NVM Express 1.4, sections 4.2 (submission queue entry), 4.3 (PRP), 4.4
 * (SGL), and the commands of section 6 that point to data.
 *
 * With these recipes the entries, the data of a write, and the PRP or SGL
 * lists of all commands are here when the doorbell is: every command costs
 * one round trip, as long as its data is no more than one DMA may carry (128
 * KiB, the default of mdts).  Admin commands are rare: only their entries
 * come along.
 */

#include "nvme.h"

/* The slot of a doorbell is its place in the doorbell registers */
#define NVME_RECIPE_SQ(id) (2 * (id))
#define NVME_RECIPE_CQ(id) (2 * (id) + 1)

/*
 * 1 MiB: two commands of the default MDTS rung at once, and lists
 */
#define NVME_RECIPE_DATA (1120 * 1024)

/* Commands whose opcode under @mask is @opcode: by PRP, then by SGL */
static void nvme_recipe_data(RioRecipe *r, uint32_t mask, uint32_t opcode,
                             const RioRecipeRule *base)
{
    RioRecipeRule *prp = &r->rules[r->num_rules++];
    RioRecipeRule *sgl = &r->rules[r->num_rules++];

    *prp = *base;
    prp->shape = RIO_RECIPE_PAGES;
    prp->mask = mask | (NVME_SQE_FUSE_MASK | NVME_SQE_PSDT_MASK) << 8;
    prp->match = opcode;

    *sgl = *prp;
    sgl->shape = RIO_RECIPE_SGL;
    sgl->match = opcode | NVME_SQE_PSDT_SGL << 8;
}

void nvme_recipe_set(NvmeCtrl *n, const NvmeSq *sq)
{
    RioRecipeRule blocks = {
        .pointer = NVME_SQE_PRP1,
        .page_size = nvme_page_size(n),
        .length_field = NVME_SQE_CDW12, .length_bytes = 2,
        .length_add = 1, .length_unit = 1u << n->block_shift,
    };
    RioRecipeRule ranges = blocks;
    RioRecipe r = {
        .region = 0,
        .offset = NVME_REG_DOORBELLS + 8 * sq->id,
        .ring = sq->base,
        .entries = sq->entries,
        .entry_size = NVME_SQE_SIZE,
        .max_data = NVME_RECIPE_DATA,
    };

    if (sq->id) {
        /* Write is 01h and Compare 05h: one bit apart */
        nvme_recipe_data(&r, 0xfb, NVME_IO_WRITE, &blocks);
        blocks.lists_only = true;
        nvme_recipe_data(&r, 0xff, NVME_IO_READ, &blocks);
        ranges.length_field = NVME_SQE_CDW10;
        ranges.length_bytes = 1;
        ranges.length_unit = NVME_DSM_RANGE_SIZE;
        nvme_recipe_data(&r, 0xff, NVME_IO_DSM, &ranges);
    }
    rio_recipe_set(n->dev, n->client, NVME_RECIPE_SQ(sq->id), &r);
}

void nvme_recipe_clear(NvmeCtrl *n, const NvmeSq *sq)
{
    rio_recipe_set(n->dev, n->client, NVME_RECIPE_SQ(sq->id), NULL);
}

/*
 * How far the host has read completions matters when the queue is full.  One
 * of this size is not before the host has rung for more commands, which
 * brings the write along, or the write was old enough to come by itself.
 */
#define NVME_LAZY_ENTRIES 64

void nvme_recipe_set_lazy(NvmeCtrl *n, const NvmeCq *cq)
{
    RioRecipe r = {
        .region = 0,
        .offset = NVME_REG_DOORBELLS + 8 * cq->id + 4,
    };

    if (cq->entries < NVME_LAZY_ENTRIES) {
        return;
    }
    rio_recipe_set(n->dev, n->client, NVME_RECIPE_CQ(cq->id), &r);
}

void nvme_recipe_clear_lazy(NvmeCtrl *n, const NvmeCq *cq)
{
    if (cq->entries >= NVME_LAZY_ENTRIES) {
        rio_recipe_set(n->dev, n->client, NVME_RECIPE_CQ(cq->id), NULL);
    }
}
