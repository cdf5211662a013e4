/* compactor.h: keeps a shape's sealed log short: superseded updates go (compact.h), small chunks become larger ones.
 *
 *	| settled … | compacted … | sealed, in time for the next compaction … | the newest CU_COMPACTION_WINDOW chunks | tail |
 *
 * The newest chunks stay as they are, so that readers close behind get what happened and not what came of it. Behind them sealed
 * chunks gather until they are as large as the compacted ones beside them, of which half of CU_COMPACTION_BYTES take part; then all of
 * these are compacted. When more than CU_COMPACTION_BYTES have gathered so, and as much as is settled, everything is: that is what bounds
 * the log of a table whose rows are larger than these and are all updated in turn. So each byte is written a few times in its life, and
 * a log stays as large as twice its rows and that window. Many small chunks are put together sooner.
 *
 * What comes out are chunks of the usual size. Between two of them there is an offset to ask for, and a cache may hold an older answer to
 * one: that answer would rely on updates which the first of the two has left to the second. So such a chunk ends behind a transaction, at
 * an offset that nobody was given before (cu_sealed_boundary()). Whoever stands there has what that chunk left in, and what it left out
 * comes behind it, now and after any later compaction. At the end of the stretch everything was said, as it was before.
 *
 * Chunks that gain little are kept as they are and marked, so that they are looked at again only together with as
 * many new ones; so are those of a transaction that has left more than CU_COMPACTION_CHUNK_MAX, as an answer.
 *
 * Order: the new files are durable, then the metadata changes hands in one commit, then memory, then the old files go. A reader
 * in between finds the old chunks or the new ones: the metadata keeps the old bytes until the shape's next chunk.
 *
 * A large one yields (compact_parts.h): sealing goes on in the middle of it. It works on copies of what it has chosen, and what is
 * sealed meanwhile comes behind that, so places in the log stay what they are. Numbers of chunks are taken one by one, by both.
 *
 * Threads: the sealer's. cu_compactor_wants(): any, under the shape's lock.
 */
#ifndef CU_SHAPE_COMPACTOR_H
#define CU_SHAPE_COMPACTOR_H

#include "shape/compact_parts.h"
#include "shape/shape_set.h"

/* Bytes of items; tests choose others. */
struct cu_compactor_limits {
	uint64_t chunk_bytes; /* of what comes out: about */
	uint64_t memory;      /* held in memory (compact_parts.h) */
	uint64_t near, far;   /* compacted together: as a rule; when everything is */
	uint64_t chunk_max;   /* of what comes out: at most */

	/* A turn of whoever does the compaction; no lock is held meanwhile. It may seal more of the same shape, compact nothing. */
	int (*turn)(void *ctx);
	void *turn_ctx;
};
struct cu_compactor_limits cu_compactor_limits_of(uint64_t chunk_bytes);

/* Under the shape's lock: is there anything to do now? Cost: a look at the chunks that are not settled, and as much of the others. */
bool cu_compactor_wants(const cu_shape_log *log, const struct cu_compactor_limits *limits);

struct cu_compacted_bytes {
	uint64_t before;
	uint64_t after; /* the same, when it was not worth while */
};

/* One compaction; waits until it is durable. 1: done, *ret_bytes says what came of it. 0: there was nothing to do, the
 * shape is gone, or it is to stop. CU_ECORRUPT: what is on disk is not what was written, the shape must go. CU_EIO, CU_ENOMEM: as before. */
int cu_compactor_run(cu_store *store, cu_shape *shape, const struct cu_compactor_limits *limits,
		     struct cu_compacted_bytes *ret_bytes);

#endif
