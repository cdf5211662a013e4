/* compact_parts.h: compacts (compact.h) any number of bytes in bounded memory.
 *
 *	items → part by the key's hash → each part compacted by itself → merged by offset
 *
 * All items of a key are in one part, so what comes out is what compacting all at once gives. A stretch that fits into
 * the memory (CU_COMPACTION_MEMORY) is one part and stays there; else the parts are in a file without a name, each about half as large as
 * that memory. One that is larger all the same, because of a few hot keys, is compacted piece by piece, each piece with what came out of
 * those before; only when that does not fit either, some updates stay that another piece supersedes.
 *
 * Threads: one at a time. Cost: without a file one pass and compact.h's; with one, each byte is written and read twice more.
 * Memory: that, compact.h's about it, CU_COMPACTION_BLOCK per part, the largest item.
 * Errors: CU_ECORRUPT: what was added is no item, or its offset not behind the one before; CU_EIO: the file; CU_ENOMEM; CU_ETOOBIG: an
 * item of 4 GiB. After an error nothing but _free() is allowed.
 */
#ifndef CU_SHAPE_COMPACT_PARTS_H
#define CU_SHAPE_COMPACT_PARTS_H

#include "shape/compact.h"
#include "store/file.h"

typedef struct cu_compact_parts cu_compact_parts;

/* A compaction of gigabytes takes tens of seconds, so it lets its thread do something else now and then. */
struct cu_compaction_yield {
	int (*turn)(void *ctx); /* CU_ECLOSED: the compaction is to be given up; NULL: there is nothing else to do */
	void *ctx;
	uint64_t bytes; /* that it went through since the last turn */
};
/* It went through so many bytes: when there were CU_COMPACTION_YIELD of them, a turn. What the turn says, 0 without one. */
int cu_compaction_yield(struct cu_compaction_yield *yield, uint64_t bytes);

/* For about so many bytes, of which so many may be in memory at a time. dir: of the file; borrowed, as is ops. */
cu_compact_parts *cu_compact_parts_new(const struct cu_file_ops *ops, const char *dir, uint64_t bytes, size_t memory);
void cu_compact_parts_free(cu_compact_parts **parts); /* NULL is fine */

/* _merge() yields; what a turn says that is negative it returns. Borrowed. */
void cu_compact_parts_yield_to(cu_compact_parts *parts, struct cu_compaction_yield *yield);

/* In the order of the log; copied. */
int cu_compact_parts_add(cu_compact_parts *parts, uint64_t tx, uint64_t op, const char *item, size_t len);
/* All are added. *ret_gained: about so many bytes do not come out. */
int cu_compact_parts_merge(cu_compact_parts *parts, uint64_t *ret_gained);
/* The next item that comes out, in the order of the log. 1: there is one; 0: that was the last. */
int cu_compact_parts_next(cu_compact_parts *parts, struct cu_compacted *ret_item);

#endif
