/* snapshot.h: takes the snapshot of a new shape, as one job on a pool's connection.
 *
 *	join the publication ─► listen (router) ─► BEGIN, pg_current_snapshot() ─► COPY ─► chunks ─► complete
 *
 * Listening starts before the snapshot exists, so no change is lost; the snapshot's xmin/xmax/xip tell which of the
 * changes that arrived meanwhile it holds already, so none is shown twice. A chunk is readable as soon as it is full.
 *
 * Fails: the shape is removed, its readers get the failure (4xx/5xx with Postgres' message); nothing of it stays.
 * Threads: a pool's worker.
 */
#ifndef CU_SNAPSHOT_H
#define CU_SNAPSHOT_H

#include "pg/pool.h"
#include "pg/publication.h"
#include "router/router.h"
#include "shape/recent_xids.h"
#include "shape/shape_set.h"

struct cu_snapshot_env {
	cu_shape_set *shapes;
	cu_store *store;
	cu_router *router;
	cu_publication *publication;
	cu_catalog *catalog;
	cu_recent_xids *recent;
	cu_pool *pool;
	uint64_t chunk_bytes; /* a chunk is closed once it has this many */
};

/* Queues the snapshot of this shape. env is borrowed for the life of the pool. When the queue is full the shape is
 * removed with a 503. */
void cu_snapshot_start(struct cu_snapshot_env *env, cu_shape *shape);

#endif
