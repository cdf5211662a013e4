/* snapshot_copy.h: one shape's part of a snapshot: from COPY to chunks, and what its readers are told when that fails.
 *
 * Threads: the pool's worker that has it.
 */
#ifndef CU_SNAPSHOT_COPY_H
#define CU_SNAPSHOT_COPY_H

#include "pg/copy_out.h"
#include "pg/copy_row.h"
#include "shape/snapshot.h"

/* A shape on its way. */
struct cu_snapshot_copy {
	struct cu_snapshot_copy *next; /* in the queue */
	const struct cu_snapshot_env *env;
	cu_shape *shape; /* a reference */
	struct cu_pg_error err;
	struct cu_copy_row row;
	cu_buf item;
	cu_buf small; /* the first chunk, for as long as it is small enough to do without a file */
	uint64_t small_items;
	cu_chunk_writer *writer; /* NULL: all is in `small` so far */
	struct cu_chunk_info *chunks;
	uint32_t chunks_len;
	struct cu_route_key route_key;           /* of its where clause, for storage */
	struct cu_publication_version published; /* how its table is, for storage */
};

struct cu_snapshot_copy *cu_snapshot_copy_new(const struct cu_snapshot_env *env, cu_shape *shape);
void cu_snapshot_copy_free(struct cu_snapshot_copy **copy);
bool cu_snapshot_copy_wanted(const struct cu_snapshot_copy *copy); /* its shape has not been removed meanwhile */

/* The transaction's snapshot is this shape's: whatever it holds goes from the tail. Copies the range. */
void cu_snapshot_copy_begin(struct cu_snapshot_copy *copy, const cu_snapshot_range *range);
/* COPY to chunks, or to a small snapshot. CU_ECLOSED: the shape was removed. The connection may be in the middle of a COPY then. */
int cu_snapshot_copy_run(struct cu_snapshot_copy *copy, PGconn *conn, struct cu_pg_patience *patience);
/* The transaction is over: makes the chunks durable and tells metadata, which takes a small snapshot as it is. */
int cu_snapshot_copy_complete(struct cu_snapshot_copy *copy);
/* Removes the shape; copy->err is what Postgres said when rc is CU_EPG or CU_EAGAIN. doing: for the log. */
void cu_snapshot_copy_fail(struct cu_snapshot_copy *copy, int rc, const char *doing);

#endif
