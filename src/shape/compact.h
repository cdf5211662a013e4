/* compact.h: merges the superseded updates of a stretch of a shape's log.
 *
 * What comes out says the same in fewer items: between two inserts or deletes of a key (or the stretch's ends) its updates
 * become one, at the place of the last of them and with that one's headers. Its value has every column that one of them
 * had, the latest text of each; its old_value, with replica=full, the earliest. Updates that a delete of their key follows
 * are left out. Inserts, deletes and single updates stay byte for byte.
 *
 * So a client that stands at any offset, inside the stretch as well, ends as it would have without: an update that it has
 * seen may come again, below the later ones of its key; one that it has not seen comes with a later one, or a delete makes
 * it pointless. The last item of the stretch always stays, at its offset. Compacting what was compacted with more items
 * behind it gives what compacting all of the plain items gives.
 *
 * Threads: one at a time. Cost: one pass per item when it is added (bench_compact), one more over the updates that are
 * merged. Memory: about 64 bytes per item and 32 per key; the items are borrowed
 * until cu_compaction_free(), so the caller bounds both (compact_parts.h).
 */
#ifndef CU_SHAPE_COMPACT_H
#define CU_SHAPE_COMPACT_H

#include "base/base.h"

typedef struct cu_compaction cu_compaction;

cu_compaction *cu_compaction_new(void);
void cu_compaction_free(cu_compaction **compaction); /* NULL is fine */

/* In the order of the log; a whole item with its closing braces (item.h, CU_ITEM_END). CU_ECORRUPT: it is not one, or
 * its offset is not behind the one before; CU_ENOMEM; CU_ETOOBIG: 4 GiB or more. After an error nothing but _free() is
 * allowed. */
int cu_compaction_add(cu_compaction *compaction, uint64_t tx, uint64_t op, const char *item, size_t len);

/* Bytes of the items that will not come out by themselves, because a later one says it all: about the most that can be
 * saved. Tells whether it is worth while before anything is written. */
size_t cu_compaction_superseded(const cu_compaction *compaction);

struct cu_compacted {
	uint64_t tx;
	uint64_t op;
	const char *item; /* valid until the next call */
	size_t len;
};

/* The next item that comes out; nothing can be added any more. 1: there is one; 0: that was the last; CU_ENOMEM. */
int cu_compaction_next(cu_compaction *compaction, struct cu_compacted *ret_item);

#endif
