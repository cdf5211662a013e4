/* snapshot.h: takes the snapshots of new shapes, several in one transaction, on a pool's connections.
 *
 *	join the publication ─► listen (router) ─► BEGIN, pg_current_snapshot() ─► COPY each ─► chunks ─► complete
 *
 * Listening starts before the snapshot exists, so no change is lost; the snapshot's xmin/xmax/xip tell which of the
 * changes that arrived meanwhile it holds already, so none is shown twice. A chunk is readable as soon as it is full.
 *
 * Shapes that wait together share a transaction: a worker takes some of those that wait. When it takes long, be it in the
 * middle of a COPY, it completes those that it has copied and gives back those that it has not begun, so that small ones do
 * not wait for a large one.
 *
 * Fails: the shape is removed, its readers get the failure (4xx/5xx with Postgres' message); nothing of it stays.
 * Threads: any may take; the work is done on the pool's workers.
 */
#ifndef CU_SNAPSHOT_H
#define CU_SNAPSHOT_H

#include "pg/pool.h"
#include "pg/publication.h"
#include "router/router.h"
#include "shape/recent_xids.h"
#include "shape/shape_set.h"

/* Borrowed for the life of the pool. */
struct cu_snapshot_env {
	cu_shape_set *shapes;
	cu_store *store;
	cu_router *router;
	cu_publication *publication;
	cu_catalog *catalog;
	cu_recent_xids *recent;
	cu_pool *pool;
	cu_pool *owner_pool;  /* whose role may alter publication and tables; NULL: that of `pool` */
	uint64_t chunk_bytes; /* a chunk is closed once it has this many */
};

typedef struct cu_snapshots cu_snapshots;

cu_snapshots *cu_snapshots_new(const struct cu_snapshot_env *env);
void cu_snapshots_free(cu_snapshots **snapshots); /* after the pool has stopped; NULL is fine */
/* Queues the snapshot of this shape. When the pool takes no more and no worker is under way, the shape is removed
 * with a 503. */
void cu_snapshots_take(cu_snapshots *snapshots, cu_shape *shape);

/* For a reader of a table at the side (subset.h): opens a transaction as a shape's snapshot has it, with the table locked
 * against a TRUNCATE, looking like the definition, and nothing missing that the stream has passed already. CU_EPG, CU_EAGAIN
 * with err (42703: the table was altered); the pool ends what was begun. Any of the pool's workers. */
int cu_snapshots_begin(cu_snapshots *snapshots, PGconn *conn, const cu_definition *def, cu_snapshot_range *ret_range,
		       struct cu_pg_error *err);

#endif
