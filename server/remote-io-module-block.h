/*
 * remote-io module API: disks
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Part of remote-io-module.h, which is the one to include.  A disk is a node
 * of the server's block layer (--blockdev): any format, any protocol.  It is
 * opened in open and released after close; requests are made in tasks, any
 * number at a time, and complete in any order.
 */

#ifndef REMOTE_IO_MODULE_BLOCK_H
#define REMOTE_IO_MODULE_BLOCK_H

#ifndef REMOTE_IO_MODULE_H
#error "include remote-io-module.h, which brings this part along"
#endif

/**
 * RioBlockInfo: what a disk is now
 * @length: bytes; changes with resized, not otherwise
 * @request_alignment: bytes; a help to speed, not a demand
 * @read_only: it was opened so; writes fail with -EROFS
 * @can_discard: rio_block_discard() is of use
 */
struct RioBlockInfo {
    uint64_t length;
    uint32_t request_alignment;
    bool read_only;
    bool can_discard;
};

struct RioBlockOps {
    /* Optional.  The length changed, see rio_block_info(); a callback */
    void (*resized)(RioDevice *dev, void *s);
};

enum {                          /* flags of block requests */
    RIO_BLOCK_FUA = 1 << 0,     /* write: on stable storage when done */
    RIO_BLOCK_UNMAP = 1 << 1,   /* write zeroes: may deallocate */
};

/**
 * rio_block_open: use block node @node (--blockdev); from open only
 * @writable: demand that the node can be written
 * @ops: static, or NULL
 *
 * Returns: NULL after saying why through rio_fail().
 */
static inline RioBlock *rio_block_open(RioDevice *dev, const char *node,
                                       bool writable, const RioBlockOps *ops)
{
    return dev->host->block_open(dev, node, writable, ops);
}

/* rio_block_info: any callback or task */
static inline void rio_block_info(RioDevice *dev, RioBlock *blk,
                                  RioBlockInfo *info)
{
    dev->host->block_info(blk, info);
}

/**
 * rio_block_read: task.  Copy @len bytes at @offset of the disk to @buf
 *
 * This and the calls that follow return 0 or a negative errno value: -EIO
 * beyond the end or when the disk fails, -ECANCELED when the instance closes.
 * @buf must stay until the call returns.
 */
static inline int rio_block_read(RioDevice *dev, RioBlock *blk,
                                 uint64_t offset, void *buf, size_t len)
{
    return dev->host->block_read(blk, offset, buf, len);
}

/**
 * rio_block_write: task.  Copy @buf to the disk
 * @flags: RIO_BLOCK_FUA, or 0: it may be lost until rio_block_flush()
 */
static inline int rio_block_write(RioDevice *dev, RioBlock *blk,
                                  uint64_t offset, const void *buf,
                                  size_t len, unsigned flags)
{
    return dev->host->block_write(blk, offset, buf, len, flags);
}

/**
 * rio_block_zero: task.  The bytes read as zero afterwards
 * @flags: RIO_BLOCK_FUA, RIO_BLOCK_UNMAP, or 0
 */
static inline int rio_block_zero(RioDevice *dev, RioBlock *blk,
                                 uint64_t offset, uint64_t len,
                                 unsigned flags)
{
    return dev->host->block_zero(blk, offset, len, flags);
}

/* rio_block_discard: task.  The bytes are not needed; what they read is open */
static inline int rio_block_discard(RioDevice *dev, RioBlock *blk,
                                    uint64_t offset, uint64_t len)
{
    return dev->host->block_discard(blk, offset, len);
}

/* rio_block_flush: task.  What was written before is on stable storage */
static inline int rio_block_flush(RioDevice *dev, RioBlock *blk)
{
    return dev->host->block_flush(blk);
}

#endif /* REMOTE_IO_MODULE_BLOCK_H */
