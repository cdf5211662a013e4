/* snapshot.c: shapes that wait, shared among workers; a transaction for some of them, with the stream running beside it. */
#include "shape/snapshot.h"

#include "base/clock.h"
#include "base/limits.h"
#include "shape/snapshot_copy.h"
#include "shape/table_check.h"
#include "shape/table_shapes.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#define SNAPSHOT_RETRY_MS 20

struct cu_snapshots {
	struct cu_snapshot_env env;
	cu_table_checks *checks;
	pthread_mutex_t lock; /* guards the rest */
	struct cu_snapshot_copy *first, **last;
	size_t waiting;
	unsigned workers; /* jobs that the pool has of us */
};

/* The shapes of one table that share a transaction. */
struct batch {
	struct cu_snapshots *snapshots;
	const struct cu_snapshot_env *env;
	PGconn *conn;
	struct cu_snapshot_copy *copies[CU_SNAPSHOT_SHARED_MAX];
	size_t len;
	struct cu_pg_error err;
	uint64_t started_ms;
	size_t copied; /* of the copies: the next one is being copied */
};

static void work(PGconn *conn, const struct cu_pg_error *err, void *arg);

cu_snapshots *cu_snapshots_new(const struct cu_snapshot_env *env)
{
	cu_snapshots *snapshots = cu_xzalloc(sizeof *snapshots);

	snapshots->env = *env;
	snapshots->checks = cu_table_checks_new(env->catalog);
	snapshots->last = &snapshots->first;
	CU_ASSERT(pthread_mutex_init(&snapshots->lock, NULL) == 0);
	return snapshots;
}

void cu_snapshots_free(cu_snapshots **ref)
{
	cu_snapshots *snapshots = *ref;

	if (!snapshots)
		return;
	*ref = NULL;
	CU_ASSERT(!snapshots->first);
	cu_table_checks_free(&snapshots->checks);
	pthread_mutex_destroy(&snapshots->lock);
	free(snapshots);
}

/* ---- the queue ---- */

static void push(cu_snapshots *snapshots, struct cu_snapshot_copy *copy)
{
	copy->next = NULL;
	*snapshots->last = copy;
	snapshots->last = &copy->next;
	snapshots->waiting++;
}

/* Takes a share of those that wait for the oldest one's table: so that others can take theirs at the same time. */
static void take_share(cu_snapshots *snapshots, struct batch *batch)
{
	size_t share = CU_MIN(CU_MAX(snapshots->waiting / 4, (size_t)1), (size_t)CU_SNAPSHOT_SHARED_MAX);
	struct cu_snapshot_copy **at = &snapshots->first;
	uint32_t oid = snapshots->first ? snapshots->first->shape->def->oid : 0;

	batch->len = 0;
	while (*at && batch->len < share) {
		struct cu_snapshot_copy *copy = *at;

		if (copy->shape->def->oid != oid) {
			at = &copy->next;
			continue;
		}
		*at = copy->next;
		if (!copy->next)
			snapshots->last = at;
		copy->next = NULL;
		batch->copies[batch->len++] = copy;
		snapshots->waiting--;
	}
}

/* Those from `from` on wait again, before all others: their turn has come already. Another worker may have them. */
static void give_back(struct batch *batch, size_t from)
{
	cu_snapshots *snapshots = batch->snapshots;
	bool hire;

	if (batch->len <= from)
		return;
	pthread_mutex_lock(&snapshots->lock);
	while (batch->len > from) {
		struct cu_snapshot_copy *copy = batch->copies[--batch->len];

		copy->next = snapshots->first;
		snapshots->first = copy;
		if (!copy->next)
			snapshots->last = &copy->next;
		snapshots->waiting++;
	}
	hire = snapshots->workers < CU_SNAPSHOT_WORKERS_MAX;
	snapshots->workers += hire;
	pthread_mutex_unlock(&snapshots->lock);
	if (hire && cu_pool_submit(snapshots->env.pool, CU_POOL_LONG, work, snapshots) < 0) {
		/* Nobody else: this worker looks again when it is done. */
		pthread_mutex_lock(&snapshots->lock);
		snapshots->workers--;
		pthread_mutex_unlock(&snapshots->lock);
	}
}

static bool takes_long(const struct batch *batch)
{
	return cu_now_ms() - batch->started_ms > CU_SNAPSHOT_SHARE_MS;
}

/* Takes the copy out of the batch, for better or worse. rc 0: it is complete. */
static void finish(struct batch *batch, size_t at, int rc, const char *doing)
{
	struct cu_snapshot_copy *copy = batch->copies[at];
	cu_shape *shape = copy->shape;

	if (rc < 0)
		cu_snapshot_copy_fail(copy, rc, doing);
	/* Removed while it was being made: forget() may have run before we listened. */
	if (!cu_snapshot_copy_wanted(copy) && cu_shape_status(shape).state != CU_SHAPE_LIVE)
		cu_router_remove(batch->env->router, shape->def->oid, shape->def, &shape->route);
	batch->len--;
	memmove(&batch->copies[at], &batch->copies[at + 1], (batch->len - at) * sizeof(*batch->copies));
	cu_snapshot_copy_free(&copy);
}

/* The same failure for all of them. */
static void finish_all(struct batch *batch, int rc, const char *doing)
{
	while (batch->len) {
		batch->copies[0]->err = batch->err;
		finish(batch, 0, rc, doing);
	}
}

/* ---- one transaction ---- */

/* The table joins the stream, and the shape listens. */
static int listen_for(struct batch *batch, struct cu_snapshot_copy *copy)
{
	cu_shape *shape = copy->shape;
	struct cu_table *table = NULL;
	int rc;

	if (!cu_snapshot_copy_wanted(copy))
		return CU_ECLOSED;
	rc = cu_catalog_lookup_oid(batch->env->catalog, batch->conn, shape->def->oid, &table, &copy->err);
	if (rc == CU_ENOTFOUND)
		rc = cu_pg_error_set(&copy->err, CU_EPG, CU_PG_QUERY, "42P01", "the table does not exist any more");
	if (rc == 0)
		rc = batch->env->owner_pool
			     ? cu_publication_join_in(batch->env->publication, batch->env->owner_pool, table,
						      &copy->err)
			     : cu_publication_join(batch->env->publication, batch->conn, table, &copy->err);
	cu_table_unref(&table);
	/* It may listen already, when it was given back by another transaction. */
	if (rc == 0) {
		cu_publication_version_get(batch->env->publication, shape->def->oid, &copy->published);
		rc = cu_router_add(batch->env->router, shape->def->oid, shape->def, shape->def->scope, &shape->route,
				   &copy->route_key);
	}
	return rc;
}

static int set_altered(struct cu_pg_error *err)
{
	return cu_pg_error_set(err, CU_EPG, CU_PG_QUERY, "42703", "the table was altered");
}

/* As the transaction sees it. Copies whose table was altered leave the batch, and others that were made before the mark go. */
static int check_unchanged(struct batch *batch, const char *version, uint64_t mark)
{
	struct cu_table *table = NULL;
	int rc = cu_table_checks_read(batch->snapshots->checks, batch->conn, batch->copies[0]->shape->def->oid, version,
				      &table, &batch->err);

	if (rc < 0 && rc != CU_ENOTFOUND)
		return rc;
	/* Those of the batch are told more. */
	for (size_t i = 0; i < batch->len;) {
		struct cu_snapshot_copy *copy = batch->copies[i];

		if (table && cu_table_fits(table, copy->shape->def, copy->shape->route.where)) {
			i++;
			continue;
		}
		set_altered(&copy->err);
		finish(batch, i, CU_EPG, "looking at the table");
	}
	if (table)
		cu_table_shapes_compare(batch->env->shapes, table, mark);
	cu_table_unref(&table);
	return 0;
}

/* Version of the table as the transaction sees it: appended; empty: there is no such table. */
static int current_snapshot(PGconn *conn, const cu_definition *def, cu_snapshot_range *ret_range, cu_buf *version,
			    struct cu_pg_error *err)
{
	PGresult *result = NULL;
	cu_buf sql = CU_BUF_INIT;
	int rc;

	/* The lock comes before the snapshot: a TRUNCATE, or an ALTER that rewrites the table, between snapshot and COPY would
	 * show an empty table to the COPY, and a rewrite leaves no trace in the stream. */
	cu_buf_printf(&sql,
		      "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; " CU_PG_DISPLAY_SETTINGS_LOCAL
		      " SET LOCAL lock_timeout = '%ums'; LOCK TABLE ",
		      CU_SNAPSHOT_LOCK_WAIT_MS);
	cu_pg_put_relation(&sql, def->schema, def->name);
	cu_buf_puts(&sql, " IN ACCESS SHARE MODE; SELECT pg_catalog.pg_current_snapshot()::text, "
			  "pg_catalog.pg_current_wal_insert_lsn()::text, ");
	cu_table_checks_put_version(def->oid, &sql);
	rc = cu_buf_failed(&sql) ? CU_ENOMEM : cu_pg_exec(conn, cu_buf_str(&sql), &result, err);
	cu_buf_fini(&sql);
	if (rc == 0)
		rc = PQntuples(result) == 1 ? cu_snapshot_range_parse(PQgetvalue(result, 0, 0), ret_range)
					    : CU_ECORRUPT;
	if (rc == 0)
		rc = cu_lsn_parse(PQgetvalue(result, 0, 1), &ret_range->lsn);
	if (rc == 0)
		cu_buf_puts(version, PQgetvalue(result, 0, 2));
	PQclear(result);
	return rc;
}

/* Opens the transaction with a snapshot that misses nothing of what the stream has passed. */
static int begin(cu_recent_xids *recent, PGconn *conn, const cu_definition *def, uint64_t mark,
		 cu_snapshot_range *ret_range, cu_buf *version, struct cu_pg_error *err)
{
	int rc;

	for (unsigned tries = 0;; tries++) {
		cu_buf_clear(version);
		rc = current_snapshot(conn, def, ret_range, version, err);
		if (rc < 0 || !cu_recent_xids_missed(recent, mark, ret_range))
			return rc;
		cu_snapshot_range_fini(ret_range);
		*ret_range = (cu_snapshot_range){ 0 };
		rc = cu_pg_exec(conn, "ROLLBACK", NULL, err);
		if (rc < 0)
			return rc;
		if (tries == CU_SNAPSHOT_RETRIES)
			return cu_pg_error_set(err, CU_EAGAIN, CU_PG_BUSY, "",
					       "transactions that are already in the stream are not visible yet");
		poll(NULL, 0, SNAPSHOT_RETRY_MS);
	}
}

int cu_snapshots_begin(cu_snapshots *snapshots, PGconn *conn, const cu_definition *def, cu_snapshot_range *ret_range,
		       struct cu_pg_error *err)
{
	cu_recent_xids *recent = snapshots->env.recent;
	cu_snapshot_range range = { 0 };
	struct cu_table *table = NULL;
	cu_buf version = CU_BUF_INIT;
	int rc;

	rc = begin(recent, conn, def, cu_recent_xids_mark(recent), &range, &version, err);
	if (rc == 0)
		rc = cu_table_checks_read(snapshots->checks, conn, def->oid, version.len ? cu_buf_str(&version) : NULL,
					  &table, err);
	if (rc == CU_ENOTFOUND || (rc == 0 && !cu_table_fits(table, def, NULL)))
		rc = set_altered(err);
	if (rc == 0) {
		*ret_range = range;
		range = (cu_snapshot_range){ 0 };
	}
	cu_table_unref(&table);
	cu_buf_fini(&version);
	cu_snapshot_range_fini(&range);
	return rc;
}

static void complete_copied(struct batch *batch)
{
	while (batch->copied > 0) {
		batch->copied--;
		finish(batch, batch->copied, cu_snapshot_copy_complete(batch->copies[batch->copied]),
		       "completing the snapshot");
	}
}

/* The copy in hand takes long: neither those behind it nor those before it wait for its end. */
static void let_others_go(void *arg)
{
	struct batch *batch = arg;

	give_back(batch, batch->copied + 1);
	complete_copied(batch);
}

/* Copies one after the other. Those whose turn does not come are given back, so that the batch has those that were. */
static void copy_each(struct batch *batch)
{
	for (batch->copied = 0; batch->copied < batch->len; batch->copied++) {
		struct cu_pg_patience patience = { batch->started_ms + CU_SNAPSHOT_SHARE_MS, NULL, batch };
		int rc;

		if (batch->len > 1)
			patience.lost = let_others_go;
		rc = cu_snapshot_copy_run(batch->copies[batch->copied], batch->conn, &patience);
		if (rc < 0) {
			/* The transaction has failed, or the connection is in the middle of a COPY. What was copied before is
			 * as good as ever. */
			finish(batch, batch->copied, rc, "copying the table");
			give_back(batch, batch->copied);
			break;
		}
	}
}

static void run_batch(struct batch *batch)
{
	cu_snapshot_range range = { 0 };
	cu_buf version = CU_BUF_INIT;
	uint64_t mark, shapes_mark;
	int rc;

	batch->started_ms = cu_now_ms();
	for (size_t i = 0; i < batch->len;) {
		rc = listen_for(batch, batch->copies[i]);
		if (rc < 0) {
			finish(batch, i, rc, "adding the table to the publication");
		} else if (++i < batch->len && takes_long(batch)) {
			give_back(batch, i);
		}
	}
	if (batch->len == 0)
		return;
	mark = cu_recent_xids_mark(batch->env->recent);
	shapes_mark = cu_table_shapes_mark(batch->env->shapes);
	rc = begin(batch->env->recent, batch->conn, batch->copies[0]->shape->def, mark, &range, &version, &batch->err);
	if (rc == 0)
		rc = check_unchanged(batch, version.len ? cu_buf_str(&version) : NULL, shapes_mark);
	if (rc < 0) {
		finish_all(batch, rc, "starting the snapshot");
		goto out;
	}
	if (batch->len == 0)
		goto out; /* the pool ends the transaction */
	for (size_t i = 0; i < batch->len; i++)
		cu_snapshot_copy_begin(batch->copies[i], &range);
	copy_each(batch);
	/* Nothing was written. In the middle of a COPY this fails, and the pool replaces the connection. */
	(void)cu_pg_exec(batch->conn, "COMMIT", NULL, &batch->err);
	complete_copied(batch);
out:
	cu_buf_fini(&version);
	cu_snapshot_range_fini(&range);
}

/* ---- workers ---- */

/* A worker that cannot go on leaves; whoever waits waits for the others. False: it is the only one, and stays. */
static bool leave_to_others(cu_snapshots *snapshots)
{
	bool others;

	pthread_mutex_lock(&snapshots->lock);
	others = snapshots->workers > 1;
	snapshots->workers -= others;
	pthread_mutex_unlock(&snapshots->lock);
	return others;
}

/* Why the pool does not take a job. */
static void pool_error(struct cu_pg_error *err, int rc)
{
	if (rc == CU_ECLOSED)
		cu_pg_error_set(err, CU_EPG, CU_PG_CANCELED, "", "stopping");
	else
		cu_pg_error_set(err, CU_EAGAIN, CU_PG_BUSY, "", "too many snapshots are waiting");
}

static void work(PGconn *conn, const struct cu_pg_error *err, void *arg)
{
	cu_snapshots *snapshots = arg;
	struct batch batch = { .snapshots = snapshots, .env = &snapshots->env, .conn = conn };
	struct cu_pg_error refused;
	int rc;

	for (;;) {
		bool usable = conn && PQstatus(conn) == CONNECTION_OK && PQtransactionStatus(conn) == PQTRANS_IDLE;

		pthread_mutex_lock(&snapshots->lock);
		if (conn && !usable && snapshots->waiting) {
			/* Another job gets another connection. */
			pthread_mutex_unlock(&snapshots->lock);
			rc = cu_pool_submit(snapshots->env.pool, CU_POOL_LONG, work, snapshots);
			if (rc == 0 || leave_to_others(snapshots))
				return;
			pool_error(&refused, rc);
			err = &refused;
			conn = NULL;
			pthread_mutex_lock(&snapshots->lock);
		}
		take_share(snapshots, &batch);
		if (batch.len == 0)
			snapshots->workers--;
		pthread_mutex_unlock(&snapshots->lock);
		if (batch.len == 0)
			return;
		if (conn) {
			run_batch(&batch);
		} else {
			batch.err = *err;
			finish_all(&batch, err->kind == CU_PG_BUSY ? CU_EAGAIN : CU_EPG, "connecting to the database");
		}
	}
}

void cu_snapshots_take(cu_snapshots *snapshots, cu_shape *shape)
{
	struct cu_snapshot_copy *copy = cu_snapshot_copy_new(&snapshots->env, shape);
	struct cu_pg_error err;
	bool hire;
	int rc;

	pthread_mutex_lock(&snapshots->lock);
	push(snapshots, copy);
	hire = snapshots->workers < CU_SNAPSHOT_WORKERS_MAX;
	snapshots->workers += hire;
	pthread_mutex_unlock(&snapshots->lock);
	if (!hire)
		return;
	rc = cu_pool_submit(snapshots->env.pool, CU_POOL_LONG, work, snapshots);
	if (rc == 0 || leave_to_others(snapshots))
		return;
	/* Whoever waits here would wait for nobody. */
	pool_error(&err, rc);
	work(NULL, &err, snapshots);
}
