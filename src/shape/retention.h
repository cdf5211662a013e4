/* retention.h: which shapes go when there are too many, when they take too much room, or when nobody reads them.
 *
 * The least recently read go first; readers that wait count as reading. An evicted shape is removed like any other: its
 * readers get 409 and may ask for it anew. Shapes whose snapshot is being made are left alone.
 *
 * Last reads are kept in memory only (struct cu_shape); cu_retention_save() stores them as ages, so that time in which Copper
 * did not run counts for nothing. A shape without a stored age counts as read when it was restored.
 *
 * Threads: new, run, save and free: one at a time. Cost: a look that finds nothing to do costs a comparison, but for the idle
 * limit, which visits all shapes twenty times in its length, and the byte limit, which looks at all files (usage.h) and then
 * rests twenty times as long.
 */
#ifndef CU_SHAPE_RETENTION_H
#define CU_SHAPE_RETENTION_H

#include "shape/shape_set.h"

typedef struct cu_retention cu_retention;

/* 0: no such limit. */
struct cu_retention_opts {
	cu_shape_set *shapes; /* borrowed, as is the store; the restoring must be over */
	cu_store *store;
	unsigned shapes_max;
	uint64_t bytes_max; /* on disk: snapshots, sealed logs and metadata; the change log has its own bound */
	uint64_t idle_ms_max;
};

/* Waits for the metadata: the last reads that were stored. */
cu_retention *cu_retention_new(const struct cu_retention_opts *opts);
void cu_retention_free(cu_retention **retention); /* NULL is fine */

/* One look, at now_ms (cu_now_ms()). Returns how many shapes were evicted. */
size_t cu_retention_run(cu_retention *retention, uint64_t now_ms);
/* Does not wait for the disk. */
void cu_retention_save(cu_retention *retention);

#endif
