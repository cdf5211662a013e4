/* compactor.h: keeps a shape's sealed log short: superseded updates go (compact.h), small chunks become larger ones.
 *
 *	| compacted … | sealed, in time for the next compaction … | the newest CU_COMPACTION_WINDOW chunks | tail |
 *
 * The newest chunks stay as they are, so that readers close behind get what happened and not what came of it. Behind them sealed
 * chunks gather until they are as large as the compacted ones beside them; then all of these become one. So each byte is written
 * about twice in its life, and a hot table's log stays as large as its rows and that window, as long as its rows are not larger
 * than half of CU_COMPACTION_BYTES. What does not fit into CU_COMPACTION_MEMORY is in a file meanwhile (compact_parts.h). Many small chunks are put together sooner.
 *
 * What comes out is one chunk, never several: between two there would be an offset to ask for that a cache may hold an older answer
 * to, one that relies on updates which the first of the two has left to the second.
 *
 * Chunks that gain little are kept as they are and marked, so that they are looked at again only together with as
 * many new ones.
 *
 * Order: the new file is durable, then the metadata changes hands in one commit, then memory, then the old files go. A reader
 * in between finds the old chunk or the new one: the metadata keeps the old bytes until the shape's next chunk.
 *
 * Threads: the sealer's. cu_compactor_wants(): any, under the shape's lock.
 */
#ifndef CU_SHAPE_COMPACTOR_H
#define CU_SHAPE_COMPACTOR_H

#include "shape/shape_set.h"

/* Under the shape's lock: is there anything to do now? Cost: a look at the newest chunks. */
bool cu_compactor_wants(const cu_shape_log *log, uint64_t chunk_bytes);

struct cu_compacted_bytes {
	uint64_t before;
	uint64_t after; /* the same, when it was not worth while */
};

/* One compaction; waits until it is durable. 1: done, *ret_bytes says what came of it. 0: there was nothing to do, or the
 * shape is gone. CU_ECORRUPT: what is on disk is not what was written, the shape must go. CU_EIO, CU_ENOMEM: as before. */
int cu_compactor_run(cu_store *store, cu_shape *shape, uint64_t chunk_bytes, struct cu_compacted_bytes *ret_bytes);

#endif
