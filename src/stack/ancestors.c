#include "stack/ancestors.h"

#include "base/clock.h"
#include "base/limits.h"
#include "shape/snapshot_range.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define RETRY_MS 5

struct ancestors {
	uint32_t oid;
	uint32_t xid;
	uint32_t *oids;
	unsigned max;
	int result;
	bool done;
	pthread_mutex_t lock;
	pthread_cond_t cond;
};

/* One row per ancestor behind one row that only has the snapshot. */
static int read_ancestors(struct ancestors *ask, const PGresult *result)
{
	cu_snapshot_range range = { 0 };
	int n = PQntuples(result) - 1, rc;

	rc = n < 0 ? CU_ECORRUPT : cu_snapshot_range_parse(PQgetvalue(result, 0, 0), &range);
	if (rc < 0)
		return rc;
	/* A transaction is streamed a moment before others see it: a partition that it made would seem to have no root. */
	rc = cu_snapshot_range_holds_xid(&range, ask->xid) ? n : CU_EAGAIN;
	cu_snapshot_range_fini(&range);
	if (rc > (int)ask->max)
		return CU_ETOOBIG;
	for (int i = 0; i < rc; i++)
		ask->oids[i] = (uint32_t)strtoul(PQgetvalue(result, i + 1, 1), NULL, 10);
	return rc;
}

static int query_ancestors(struct ancestors *ask, PGconn *conn)
{
	uint64_t deadline = cu_now_ms() + CU_TABLE_WRITERS_WAIT_MS;
	struct cu_pg_error err;
	char oid[16];
	const char *params[] = { oid };
	int rc;

	snprintf(oid, sizeof oid, "%" PRIu32, ask->oid);
	for (;;) {
		PGresult *result = NULL;

		rc = cu_pg_query(conn,
				 "SELECT pg_catalog.pg_current_snapshot()::text, NULL::oid, 0 UNION ALL "
				 "SELECT NULL, a.relid::oid, a.n FROM pg_catalog.pg_class c, "
				 "pg_catalog.pg_partition_ancestors(c.oid) WITH ORDINALITY AS a(relid, n) "
				 "WHERE c.oid = $1::oid AND c.relispartition AND a.relid <> c.oid ORDER BY 3",
				 1, params, &result, &err);
		if (rc == 0)
			rc = read_ancestors(ask, result);
		PQclear(result);
		if (rc != CU_EAGAIN || cu_now_ms() >= deadline)
			return rc;
		poll(NULL, 0, RETRY_MS);
	}
}

static void run_ancestors(PGconn *conn, const struct cu_pg_error *err, void *arg)
{
	struct ancestors *ask = arg;
	int result = conn ? query_ancestors(ask, conn) : CU_EPG;

	(void)err;
	pthread_mutex_lock(&ask->lock);
	ask->result = result;
	ask->done = true;
	pthread_cond_signal(&ask->cond);
	pthread_mutex_unlock(&ask->lock);
}

int cu_ancestors_of(cu_pool *pool, uint32_t oid, uint32_t xid, uint32_t *ret_oids, unsigned max)
{
	struct ancestors ask = {
		.oid = oid,
		.xid = xid,
		.oids = ret_oids,
		.max = max,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.cond = PTHREAD_COND_INITIALIZER,
	};
	int rc = cu_pool_submit(pool, CU_POOL_SHORT, run_ancestors, &ask);

	if (rc < 0)
		return rc;
	pthread_mutex_lock(&ask.lock);
	while (!ask.done)
		pthread_cond_wait(&ask.cond, &ask.lock);
	pthread_mutex_unlock(&ask.lock);
	pthread_cond_destroy(&ask.cond);
	pthread_mutex_destroy(&ask.lock);
	return ask.result;
}
