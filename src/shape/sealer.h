/* sealer.h: moves what tails hold into sealed chunks, so that neither the change log nor the memory of tails grows without
 * bound (docs/architecture.md, "Storage").
 *
 * A tail that has a whole chunk (cu_tail's chunk ends) is sealed up to it. When the change log is longer than it may be,
 * every tail that begins in its older half is sealed as a whole, small ones together, and the segments that no tail needs
 * are dropped. In between, sealed logs are compacted (compactor.h), one at a time. A compaction that is on its way pauses for what the
 * next checkpoint brings, so that the change log keeps to its bound meanwhile. Only what a durable checkpoint covers is sealed: what a
 * crash cuts from the change log is never in a chunk.
 *
 * Threads: one of its own does all the work; note and checkpoint may come from any thread and do not wait. Start and stop:
 * the owner.
 * Errors: what the disk refuses is tried again after the next checkpoint. A shape that is removed meanwhile is left alone.
 */
#ifndef CU_SHAPE_SEALER_H
#define CU_SHAPE_SEALER_H

#include "shape/shape_set.h"

typedef struct cu_sealer cu_sealer;

struct cu_sealer_opts {
	const char *stack_id; /* for the log */
	cu_shape_set *shapes;
	cu_store *store;
	uint64_t log_bytes_max; /* of the change log; more only as long as a transaction or a snapshot is longer */
};

/* Looks through the shapes that are there for what their tails hold. CU_EAGAIN: no thread. */
int cu_sealer_start(const struct cu_sealer_opts *opts, cu_sealer **ret_sealer);
/* Waits for what it is writing. What it has not sealed stays in the tails. NULL is fine. */
void cu_sealer_free(cu_sealer **sealer);

/* Asks whether the shape's tail has got its first run, or its first chunk end. Called with the shape's lock held. sealer NULL: no. */
void cu_sealer_note(cu_sealer *sealer, cu_shape *shape);
/* A checkpoint is durable (sealer NULL: nobody cares): what it covers may be sealed, and dropped from the change log once no tail needs it. */
void cu_sealer_checkpoint(cu_sealer *sealer, uint64_t log_pos);

/* True: the change log is CU_SEALER_LOG_FACTOR times as long as it may be and is being drained: whoever appends to it waits. Comes
 * back when it is not so any more, or after at most ms. The thread that appends; sealer NULL: false. */
bool cu_sealer_hold_up(cu_sealer *sealer, unsigned ms);

/* Waits until everything that could be done for the last checkpoint is done. */
void cu_sealer_wait(cu_sealer *sealer);

struct cu_sealer_stats {
	uint64_t chunks;  /* sealed since the start */
	uint64_t bytes;   /* of their items */
	uint64_t drains;  /* times that the change log was too long */
	uint64_t dropped; /* bytes of the change log dropped */
	uint64_t compactions;
	uint64_t compacted_from, compacted_to; /* bytes of items */
};
void cu_sealer_stats_get(cu_sealer *sealer, struct cu_sealer_stats *ret_stats);

#endif
