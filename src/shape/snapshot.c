/* snapshot.c: COPY to chunks, with the stream running beside it. */
#include "shape/snapshot.h"

#include "base/limits.h"
#include "base/log.h"
#include "pg/copy_row.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define SNAPSHOT_RETRY_MS 20

struct job {
	struct cu_snapshot_env *env;
	cu_shape *shape;
	PGconn *conn;
	struct cu_pg_error err;

	struct cu_copy_row row;
	cu_buf item;
	cu_chunk_writer *writer;
	struct cu_chunk_info *chunks;
	uint32_t chunks_len;
};

/* Only what a refetch can find out: a reader that is sent back for anything else comes back for ever. */
static bool table_changed(const char *sqlstate)
{
	static const char *const states[] = { "42P01", "42703", "42883" }; /* undefined table, column, function */

	for (size_t i = 0; i < CU_ARRAY_LEN(states); i++) {
		if (strcmp(sqlstate, states[i]) == 0)
			return true;
	}
	return false;
}

static bool still_wanted(struct job *job)
{
	return cu_shape_status(job->shape).state == CU_SHAPE_CREATING;
}

/* What the shape's first readers are told, by what went wrong. */
static void fail(struct job *job, int rc, const char *doing)
{
	const struct cu_pg_error *err = &job->err;
	struct cu_shape_failure failure = { 503, NULL };
	cu_buf text = CU_BUF_INIT;
	char why[256];

	/* The pool ends the connection of a COPY to stop. */
	bool stopping = rc == CU_EPG && !cu_pg_thread_pause(0);

	/* Its files go with it: then whatever failed did so because of that. */
	if (!still_wanted(job) || stopping)
		rc = CU_ECLOSED;
	if (rc == CU_EPG && err->kind == CU_PG_QUERY && table_changed(err->sqlstate)) {
		/* The table was dropped or altered since the request was checked: refetch finds out. */
		failure.status = 409;
		cu_catalog_invalidate(job->env->catalog, job->shape->def->oid);
		cu_buf_puts(&text, "Schema changed while creating snapshot");
	} else if (rc == CU_EPG && err->kind == CU_PG_QUERY) {
		/* 22023: a table that no publication takes, like a system table or an unlogged one. */
		failure.status = strcmp(err->sqlstate, "22023") == 0 ? 400 : 500;
		cu_buf_printf(&text, "Unexpected error while creating snapshot: %s%s%s", err->message,
			      err->detail[0] ? ": " : "", err->detail);
	} else if (rc == CU_EPG || rc == CU_EAGAIN) {
		cu_buf_printf(&text, "Unable to create initial snapshot: %s", err->message);
	} else if (rc == CU_ECLOSED) {
		cu_buf_puts(&text,
			    stopping ? "Copper is stopping" : "The shape was removed while its snapshot was made");
	} else {
		failure.status = 500;
		cu_buf_printf(&text, "Unexpected error while creating snapshot: %s", cu_strerror(rc));
	}
	if (rc != CU_ECLOSED)
		cu_warn("a snapshot failed; its shape is removed", CU_KV("handle", job->shape->handle),
			CU_KV("doing", doing), CU_KV("error", cu_buf_str(&text)), CU_KV("sqlstate", err->sqlstate));
	snprintf(why, sizeof why, stopping ? "copper stops while %s" : "its snapshot failed while %s", doing);
	failure.message = cu_buf_steal(&text, NULL);
	cu_shape_set_remove(job->env->shapes, job->shape, why, &failure);
}

static int join(struct job *job)
{
	struct cu_table *table = NULL;
	int rc;

	rc = cu_catalog_lookup_oid(job->env->catalog, job->conn, job->shape->def->oid, &table, &job->err);
	if (rc == CU_ENOTFOUND)
		rc = cu_pg_error_set(&job->err, CU_EPG, CU_PG_QUERY, "42P01", "the table does not exist any more");
	if (rc == 0)
		rc = cu_publication_join(job->env->publication, job->conn, table, &job->err);
	cu_table_unref(&table);
	return rc;
}

/* Shapes of another table that had this one's name: dropped and created again, or renamed away. No message of the stream
 * tells of that. */
struct namesakes {
	const cu_definition *def;
	cu_shape **list;
	size_t len;
};

static void find_namesakes(void *ctx, uint32_t oid, struct cu_router_targets targets)
{
	struct namesakes *found = ctx;

	if (oid == found->def->oid)
		return;
	for (size_t i = 0; i < targets.len; i++) {
		cu_shape *shape = targets.list[i];

		if (strcmp(shape->def->name, found->def->name) != 0 ||
		    strcmp(shape->def->schema, found->def->schema) != 0)
			continue;
		found->list = cu_xrealloc(found->list, (found->len + 1) * sizeof(*found->list));
		found->list[found->len++] = cu_shape_ref(shape);
	}
}

static void remove_namesakes(struct job *job)
{
	struct namesakes found = { .def = job->shape->def };

	cu_router_each_table(job->env->router, find_namesakes, &found);
	for (size_t i = 0; i < found.len; i++) {
		cu_shape_set_remove(job->env->shapes, found.list[i], "another table has its name now", NULL);
		cu_shape_unref(&found.list[i]);
	}
	free(found.list);
}

/* Does the table, as the snapshot's transaction sees it, still look like the definition? */
static int check_unchanged(struct job *job)
{
	const cu_definition *def = job->shape->def;
	struct cu_table *table = NULL;
	unsigned found = 0;
	int rc;

	rc = cu_catalog_refresh(job->env->catalog, job->conn, def->oid, &table, &job->err);
	if (rc == CU_EPG)
		return rc;
	for (unsigned i = 0; rc == 0 && i < def->columns_len; i++) {
		const struct cu_column *column = cu_table_column(table, def->columns[i].name);

		found += column && column->type_oid == def->columns[i].type_oid &&
			 column->typmod == def->columns[i].typmod && column->pk_index == def->columns[i].pk_index;
	}
	if (rc < 0 || found != def->columns_len || strcmp(table->name, def->name) != 0 ||
	    strcmp(table->schema, def->schema) != 0)
		rc = cu_pg_error_set(&job->err, CU_EPG, CU_PG_QUERY, "42703", "the table was altered");
	cu_table_unref(&table);
	return rc;
}

static int current_snapshot(struct job *job, cu_snapshot_range *ret_range)
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
	cu_pg_put_relation(&sql, job->shape->def->schema, job->shape->def->name);
	cu_buf_puts(&sql, " IN ACCESS SHARE MODE; SELECT pg_catalog.pg_current_snapshot()::text, "
			  "pg_catalog.pg_current_wal_insert_lsn()::text");
	rc = cu_buf_failed(&sql) ? CU_ENOMEM : cu_pg_exec(job->conn, cu_buf_str(&sql), &result, &job->err);
	cu_buf_fini(&sql);
	if (rc == 0)
		rc = PQntuples(result) == 1 ? cu_snapshot_range_parse(PQgetvalue(result, 0, 0), ret_range)
					    : CU_ECORRUPT;
	if (rc == 0)
		rc = cu_lsn_parse(PQgetvalue(result, 0, 1), &ret_range->lsn);
	PQclear(result);
	return rc;
}

/* Opens the transaction with a snapshot that misses nothing of what the stream has passed, and tells the shape. */
static int begin(struct job *job, uint64_t mark)
{
	cu_shape *shape = job->shape;
	cu_snapshot_range range = { 0 };
	int rc;

	for (unsigned tries = 0;; tries++) {
		rc = current_snapshot(job, &range);
		if (rc < 0)
			return rc;
		if (!cu_recent_xids_missed(job->env->recent, mark, &range))
			break;
		cu_snapshot_range_fini(&range);
		rc = cu_pg_exec(job->conn, "ROLLBACK", NULL, &job->err);
		if (rc < 0)
			return rc;
		if (tries == CU_SNAPSHOT_RETRIES)
			return cu_pg_error_set(&job->err, CU_EAGAIN, CU_PG_BUSY, "",
					       "transactions that are already in the stream are not visible yet");
		poll(NULL, 0, SNAPSHOT_RETRY_MS);
	}
	rc = check_unchanged(job);
	if (rc < 0) {
		cu_snapshot_range_fini(&range);
		return rc;
	}
	remove_namesakes(job);
	cu_shape_lock(shape);
	shape->range = cu_xmemdup(&range, sizeof range);
	if (shape->tail)
		cu_tail_filter(shape->tail, &range, cu_shape_set_chunk_bytes(job->env->shapes));
	cu_shape_unlock(shape);
	return 0;
}

/* The open chunk is full, or the last: readers can have it. */
static int chunk_end(struct job *job, bool last)
{
	cu_shape *shape = job->shape;
	struct cu_chunk_info info;
	bool wanted;
	int rc;

	rc = cu_chunk_writer_finish(&job->writer, false, &info);
	if (rc < 0)
		return rc;
	job->chunks = cu_xrealloc(job->chunks, (job->chunks_len + 1) * sizeof *job->chunks);
	job->chunks[job->chunks_len++] = info;
	cu_shape_lock(shape);
	wanted = shape->state == CU_SHAPE_CREATING;
	shape->chunks_len = job->chunks_len;
	shape->snapshot_complete = last;
	cu_shape_unlock(shape);
	cu_shape_set_wake(job->env->shapes, shape);
	return wanted ? 0 : CU_ECLOSED;
}

static int add_row(struct job *job, const char *line, size_t len)
{
	const cu_definition *def = job->shape->def;
	int rc;

	if (cu_chunk_writer_bytes(job->writer) >= job->env->chunk_bytes) {
		rc = chunk_end(job, false);
		if (rc < 0)
			return rc;
		rc = cu_chunk_writer_new(cu_store_chunks(job->env->store), job->shape->id, job->chunks_len,
					 &job->writer);
		if (rc < 0)
			return rc;
	}
	rc = cu_copy_row_parse(&job->row, line, len);
	if (rc < 0)
		return rc;
	cu_buf_clear(&job->item);
	cu_item_put_snapshot(&job->item, def->layout, job->row.values);
	if (cu_buf_failed(&job->item))
		return CU_ENOMEM;
	return cu_chunk_writer_add_item(job->writer, job->item.data, job->item.len);
}

static int copy(struct job *job)
{
	cu_buf sql = CU_BUF_INIT;
	PGresult *result;
	int rc;

	rc = cu_chunk_writer_new(cu_store_chunks(job->env->store), job->shape->id, 0, &job->writer);
	if (rc < 0)
		return rc;
	cu_buf_puts(&sql, "COPY (");
	cu_definition_put_query(job->shape->def, &sql);
	cu_buf_puts(&sql, ") TO STDOUT");
	result = PQexec(job->conn, cu_buf_str(&sql));
	cu_buf_fini(&sql);
	rc = PQresultStatus(result) == PGRES_COPY_OUT ? 0 : cu_pg_error_of(job->conn, result, &job->err);
	PQclear(result);
	if (rc < 0)
		return rc;
	for (;;) {
		char *line;
		int len = PQgetCopyData(job->conn, &line, 0);

		if (len < 0) {
			rc = len == -1 ? 0 : cu_pg_error_of(job->conn, NULL, &job->err);
			break;
		}
		rc = add_row(job, line, (size_t)len);
		PQfreemem(line);
		if (rc < 0)
			return rc; /* in the middle of a COPY: the pool replaces the connection */
	}
	while (rc == 0 && (result = PQgetResult(job->conn))) {
		if (PQresultStatus(result) != PGRES_COMMAND_OK)
			rc = cu_pg_error_of(job->conn, result, &job->err);
		PQclear(result);
	}
	if (rc < 0)
		return rc;
	/* The last item of all says which transactions the snapshot holds. */
	cu_buf_clear(&job->item);
	cu_snapshot_range_put_message(job->shape->range, &job->item);
	rc = cu_buf_failed(&job->item) ? CU_ENOMEM
				       : cu_chunk_writer_add_item(job->writer, job->item.data, job->item.len);
	return rc < 0 ? rc : chunk_end(job, true);
}

struct completion {
	cu_shape_set *shapes;
	cu_shape *shape;
};

static void complete_stored(void *ctx, int rc)
{
	struct completion *completion = ctx;
	cu_shape *shape = completion->shape;
	bool live;

	cu_shape_lock(shape);
	live = rc == 0 && shape->state == CU_SHAPE_CREATING;
	if (live)
		shape->state = CU_SHAPE_LIVE;
	cu_shape_unlock(shape);
	if (live)
		cu_shape_set_keep_range(completion->shapes, shape);
	if (rc < 0 && rc != CU_ENOTFOUND)
		cu_error("a finished snapshot could not be recorded; it is made again after a restart",
			 CU_KV("handle", shape->handle), CU_KV("error", cu_strerror(rc)),
			 CU_KV("next", "check the storage directory's disk"));
	cu_shape_set_wake(completion->shapes, shape);
	cu_shape_unref(&completion->shape);
	free(completion);
}

static int complete(struct job *job)
{
	const cu_snapshot_range *range = job->shape->range; /* kept as long as the shape is being created */
	struct completion *completion;
	struct cu_snapshot_info info = {
		.xmin = range->xmin,
		.xmax = range->xmax,
		.lsn = range->lsn,
		.chunks = job->chunks,
		.chunks_len = job->chunks_len,
	};
	cu_buf xip = CU_BUF_INIT;
	int rc;

	rc = cu_pg_exec(job->conn, "COMMIT", NULL, &job->err);
	if (rc < 0)
		return rc;
	/* Only now, all at once: readers did not have to wait for the disk, and a crash before this rotates the shape. */
	for (uint32_t n = 0; rc == 0 && n < job->chunks_len; n++)
		rc = cu_chunk_sync(cu_store_chunks(job->env->store), job->shape->id, n);
	if (rc == 0)
		rc = cu_chunks_sync_shape(cu_store_chunks(job->env->store), job->shape->id);
	if (rc < 0)
		return rc;
	cu_snapshot_range_put_xip(range, &xip);
	info.xip = cu_buf_str(&xip);
	completion = cu_xmalloc(sizeof *completion);
	*completion = (struct completion){ job->env->shapes, cu_shape_ref(job->shape) };
	rc = cu_metadata_set_snapshot(cu_store_metadata(job->env->store), job->shape->id, &info, complete_stored,
				      completion);
	cu_buf_fini(&xip);
	if (rc < 0) {
		cu_shape_unref(&completion->shape);
		free(completion);
	}
	return rc;
}

static void run(PGconn *conn, const struct cu_pg_error *err, void *arg)
{
	struct job *job = arg;
	const char *doing = "connecting to the database";
	uint64_t mark;
	int rc = CU_EPG;

	job->conn = conn;
	if (!conn) {
		job->err = *err;
		goto out;
	}
	rc = CU_ECLOSED;
	if (!still_wanted(job))
		goto out;
	doing = "adding the table to the publication";
	rc = join(job);
	if (rc < 0)
		goto out;
	cu_router_add(job->env->router, job->shape->def->oid, job->shape);
	mark = cu_recent_xids_mark(job->env->recent);
	doing = "starting the snapshot";
	rc = begin(job, mark);
	if (rc < 0)
		goto out;
	doing = "copying the table";
	rc = copy(job);
	if (rc < 0)
		goto out;
	doing = "completing the snapshot";
	rc = complete(job);
out:
	if (rc < 0)
		fail(job, rc, doing);
	/* Removed while it was being made: forget() may have run before we listened. */
	if (!still_wanted(job) && cu_shape_status(job->shape).state != CU_SHAPE_LIVE)
		cu_router_remove(job->env->router, job->shape->def->oid, job->shape);
	cu_chunk_writer_free(&job->writer);
	cu_copy_row_fini(&job->row);
	cu_buf_fini(&job->item);
	free(job->chunks);
	cu_shape_unref(&job->shape);
	free(job);
}

void cu_snapshot_start(struct cu_snapshot_env *env, cu_shape *shape)
{
	struct job *job = cu_xzalloc(sizeof *job);
	int rc;

	job->env = env;
	job->shape = cu_shape_ref(shape);
	cu_copy_row_init(&job->row, shape->def->columns_len);
	rc = cu_pool_submit(env->pool, CU_POOL_LONG, run, job);
	if (rc < 0) {
		cu_pg_error_set(&job->err, CU_EAGAIN, CU_PG_BUSY, "", "too many snapshots are waiting");
		run(NULL, &job->err, job);
	}
}
