/* pool.h: threads with a connection each, for everything that blocks on Postgres: catalog, publication, snapshots.
 *
 * A worker starts with the first job that finds nobody idle, connects, runs jobs, and after idle_ms without one closes
 * its connection and ends. Long jobs (snapshots) never take the last two workers, so that a look-up does not stand
 * behind a million rows. The queue is bounded: CU_EFULL, answer 503.
 *
 * Threads: any may submit. A job runs on a worker, exactly once, also when the database is unreachable (conn NULL, err
 * set) and when the pool stops (conn NULL, err kind CU_PG_CANCELED). A job leaves the connection outside a transaction;
 * if it does not, the worker rolls back, and a broken connection is replaced before the next job.
 */
#ifndef CU_PG_POOL_H
#define CU_PG_POOL_H

#include "pg/conn.h"

typedef struct cu_pool cu_pool;

enum cu_pool_class { CU_POOL_SHORT, CU_POOL_LONG };

/* conn borrowed; NULL: err says why. */
typedef void cu_pool_run(PGconn *conn, const struct cu_pg_error *err, void *arg);

struct cu_pool_opts {
	const cu_pg_config *config; /* borrowed for the life of the pool */
	unsigned connections_max;   /* 0 = CU_POOL_CONNECTIONS_MAX; threads are the same number */
	unsigned jobs_max;          /* 0 = CU_POOL_JOBS_MAX */
	unsigned idle_ms;           /* 0 = CU_POOL_IDLE_MS */
};

int cu_pool_new(const struct cu_pool_opts *opts, cu_pool **ret_pool);
/* CU_EFULL: too many jobs wait; CU_ECLOSED: stopping. The job did not and will not run then. */
int cu_pool_submit(cu_pool *pool, enum cu_pool_class kind, cu_pool_run *run, void *arg);
/* Cancels running statements, gives waiting jobs their NULL, joins all threads. */
void cu_pool_stop(cu_pool *pool);
void cu_pool_free(cu_pool **pool);

struct cu_pool_stats {
	unsigned threads;
	unsigned connections;
	unsigned running;
	unsigned queued;
};
void cu_pool_stats_get(cu_pool *pool, struct cu_pool_stats *ret_stats);

#endif
