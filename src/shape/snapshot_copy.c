/* snapshot_copy.c: rows to items to chunks; the end of a snapshot, good or bad. */
#include "shape/snapshot_copy.h"

#include "base/limits.h"
#include "base/log.h"
#include "base/mutant.h"

#include <stdio.h>
#include <stdlib.h>

struct cu_snapshot_copy *cu_snapshot_copy_new(const struct cu_snapshot_env *env, cu_shape *shape)
{
	struct cu_snapshot_copy *copy = cu_xzalloc(sizeof *copy);

	copy->env = env;
	copy->shape = cu_shape_ref(shape);
	cu_copy_row_init(&copy->row, shape->def->columns_len);
	return copy;
}

void cu_snapshot_copy_free(struct cu_snapshot_copy **ref)
{
	struct cu_snapshot_copy *copy = *ref;

	*ref = NULL;
	cu_chunk_writer_free(&copy->writer);
	cu_copy_row_fini(&copy->row);
	cu_buf_fini(&copy->item);
	cu_buf_fini(&copy->small);
	free(copy->chunks);
	cu_shape_unref(&copy->shape);
	free(copy);
}

bool cu_snapshot_copy_wanted(const struct cu_snapshot_copy *copy)
{
	return cu_shape_status(copy->shape).state == CU_SHAPE_CREATING;
}

void cu_snapshot_copy_begin(struct cu_snapshot_copy *copy, const cu_snapshot_range *range)
{
	cu_snapshot_range mine = *range;
	cu_shape *shape = copy->shape;

	mine.xip = range->xip_len ? cu_xmemdup(range->xip, range->xip_len * sizeof *range->xip) : NULL;
	cu_shape_lock(shape);
	if (shape->log)
		cu_tail_filter(&shape->log->tail, &mine, cu_shape_set_chunk_bytes(copy->env->shapes));
	/* Replaces that of a transaction in which its turn did not come. */
	cu_shape_set_range(shape, &mine);
	cu_shape_unlock(shape);
}

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

/* The open chunk is full, or the last: readers can have it. */
static int chunk_end(struct cu_snapshot_copy *copy, bool last)
{
	cu_shape *shape = copy->shape;
	struct cu_chunk_info info;
	bool wanted;
	int rc;

	rc = cu_chunk_writer_finish(&copy->writer, false, &info);
	if (rc < 0)
		return rc;
	copy->chunks = cu_xrealloc(copy->chunks, (copy->chunks_len + 1) * sizeof *copy->chunks);
	copy->chunks[copy->chunks_len++] = info;
	cu_shape_lock(shape);
	wanted = shape->state == CU_SHAPE_CREATING;
	shape->chunks_len = copy->chunks_len;
	shape->chunks_good = copy->chunks_len;
	shape->snapshot_complete = last;
	cu_shape_unlock(shape);
	cu_shape_set_wake(copy->env->shapes, shape);
	return wanted ? 0 : CU_ECLOSED;
}

/* All of it was small: readers can have it, and no file was made. */
static int small_end(struct cu_snapshot_copy *copy)
{
	cu_shape *shape = copy->shape;
	char *bytes = cu_try_malloc(copy->small.len);
	bool wanted;

	if (!bytes)
		return CU_ENOMEM;
	memcpy(bytes, copy->small.data, copy->small.len);
	cu_shape_lock(shape);
	wanted = shape->state == CU_SHAPE_CREATING;
	cu_shape_set_small(shape, bytes, copy->small.len);
	cu_shape_unlock(shape);
	cu_shape_set_wake(copy->env->shapes, shape);
	return wanted ? 0 : CU_ECLOSED;
}

static int chunk_begin(struct cu_snapshot_copy *copy)
{
	return cu_chunk_writer_new(cu_store_chunks(copy->env->store), copy->shape->id, CU_CHUNK_SNAPSHOT,
				   copy->chunks_len, &copy->writer);
}

/* It is not small after all: what there is of it goes to a file. */
static int small_spill(struct cu_snapshot_copy *copy)
{
	int rc = chunk_begin(copy);

	if (rc == 0 && copy->small_items)
		rc = cu_chunk_writer_append(copy->writer, copy->small.data, copy->small.len, copy->small_items);
	cu_buf_fini(&copy->small);
	return rc;
}

/* The item that is in copy->item. */
static int add_item(struct cu_snapshot_copy *copy)
{
	int rc;

	if (cu_buf_failed(&copy->item))
		return CU_ENOMEM;
	if (!copy->writer && copy->small.len + 1 + copy->item.len > CU_SNAPSHOT_SMALL_MAX) {
		rc = small_spill(copy);
		if (rc < 0)
			return rc;
	}
	if (copy->writer)
		return cu_chunk_writer_add_item(copy->writer, copy->item.data, copy->item.len);
	if (copy->small_items++)
		cu_buf_putc(&copy->small, ',');
	cu_buf_append(&copy->small, copy->item.data, copy->item.len);
	return cu_buf_failed(&copy->small) ? CU_ENOMEM : 0;
}

static int add_row(struct cu_snapshot_copy *copy, const char *line, size_t len)
{
	const cu_definition *def = copy->shape->def;
	int rc;

	if ((copy->writer ? cu_chunk_writer_bytes(copy->writer) : copy->small.len) >= copy->env->chunk_bytes) {
		rc = copy->writer ? 0 : small_spill(copy);
		if (rc == 0)
			rc = chunk_end(copy, false);
		if (rc == 0)
			rc = chunk_begin(copy);
		if (rc < 0)
			return rc;
	}
	rc = cu_copy_row_parse(&copy->row, line, len);
	if (rc < 0)
		return rc;
	cu_buf_clear(&copy->item);
	cu_item_put_snapshot(&copy->item, def->layout, copy->row.values);
	return add_item(copy);
}

static int copy_line(void *ctx, const char *line, size_t len)
{
	return add_row(ctx, line, len);
}

int cu_snapshot_copy_run(struct cu_snapshot_copy *copy, PGconn *conn, struct cu_pg_patience *patience)
{
	const cu_definition *def = copy->shape->def;
	cu_buf sql = CU_BUF_INIT;
	int rc;

	/* What our SQL cannot name, like the = of IS DISTINCT FROM, is Postgres' own. */
	cu_buf_puts(&sql, "SET LOCAL search_path = pg_catalog; COPY (");
	cu_definition_put_query(def, copy->shape->route.where, &sql);
	cu_buf_puts(&sql, def->changes_only ? " LIMIT 0) TO STDOUT" : ") TO STDOUT");
	rc = cu_buf_failed(&sql) ? CU_ENOMEM
				 : cu_pg_copy_out(conn, cu_buf_str(&sql), patience, copy_line, copy, &copy->err);
	cu_buf_fini(&sql);
	if (rc < 0)
		return rc;
	/* The last item of all says which transactions the snapshot holds. */
	cu_buf_clear(&copy->item);
	cu_snapshot_range_put_message(&copy->shape->birth->range, &copy->item);
	rc = add_item(copy);
	if (rc < 0)
		return rc;
	return copy->writer ? chunk_end(copy, true) : small_end(copy);
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
	/* When it could not be recorded it stays in memory, as long as this process lives. */
	if (rc == 0)
		cu_shape_drop_small(shape);
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

int cu_snapshot_copy_complete(struct cu_snapshot_copy *copy)
{
	const cu_snapshot_range *range = &copy->shape->birth->range; /* kept as long as the shape is being created */
	struct completion *completion;
	struct cu_snapshot_info info = {
		.xmin = range->xmin,
		.xmax = range->xmax,
		.lsn = range->lsn,
		.chunks = copy->chunks,
		.chunks_len = copy->chunks_len,
		.published = copy->published.text,
		.has_route_key = copy->route_key.known,
		.route_column = copy->route_key.column,
		.route_hash = copy->route_key.hash,
		.is_small = copy->chunks_len == 0,
		.small = copy->small.data,
		.small_len = copy->small.len,
	};
	cu_buf xip = CU_BUF_INIT;
	int rc = 0;

	/* Only now, all at once: readers did not have to wait for the disk, and a crash before this rotates the shape. */
	for (uint32_t n = 0; rc == 0 && n < copy->chunks_len; n++)
		rc = cu_chunk_sync(cu_store_chunks(copy->env->store), copy->shape->id, CU_CHUNK_SNAPSHOT, n);
	if (rc == 0 && copy->chunks_len)
		rc = cu_chunks_sync_shape(cu_store_chunks(copy->env->store), copy->shape->id);
	if (rc < 0)
		return rc;
	cu_snapshot_range_put_xip(range, &xip);
	info.xip = cu_buf_str(&xip);
	completion = cu_xmalloc(sizeof *completion);
	*completion = (struct completion){ copy->env->shapes, cu_shape_ref(copy->shape) };
	rc = cu_metadata_set_snapshot(cu_store_metadata(copy->env->store), copy->shape->id, &info, complete_stored,
				      completion);
	cu_buf_fini(&xip);
	if (rc < 0) {
		cu_shape_unref(&completion->shape);
		free(completion);
	}
	return rc;
}

/* What the shape's first readers are told, by what went wrong. */
void cu_snapshot_copy_fail(struct cu_snapshot_copy *copy, int rc, const char *doing)
{
	const struct cu_pg_error *err = &copy->err;
	struct cu_shape_failure failure = { 503, NULL };
	cu_buf text = CU_BUF_INIT;
	char why[256];

	/* The pool ends the connection of a COPY to stop. */
	bool stopping = rc == CU_EPG && !cu_pg_thread_pause(0);

	/* Its files go with it: then whatever failed did so because of that. */
	if (!cu_snapshot_copy_wanted(copy) || stopping)
		rc = CU_ECLOSED;
	/* Removed before its first file was made: then that one, and its directory, are still there. */
	if (!cu_snapshot_copy_wanted(copy) && (copy->writer || copy->chunks_len) && !CU_MUTANT(COPY_LEAVES_FILES))
		(void)cu_store_remove_shape(copy->env->store, copy->shape->id, NULL, NULL);
	if (rc == CU_EPG && err->kind == CU_PG_QUERY && table_changed(err->sqlstate)) {
		/* The table was dropped or altered since the request was checked: refetch finds out. */
		failure.status = 409;
		cu_catalog_invalidate(copy->env->catalog, copy->shape->def->oid);
		cu_buf_puts(&text, "Schema changed while creating snapshot");
	} else if (rc == CU_EPG && err->kind == CU_PG_QUERY) {
		/* What the clause makes of a row; of 22023 also a table that no publication takes, like a system table or
		 * an unlogged one. Asking again is no help against either. */
		failure.status = cu_pg_error_is_data(err) ? 400 : 500;
		cu_buf_printf(&text, "Unexpected error while creating snapshot: %s%s%s", err->message,
			      err->detail[0] ? ": " : "", err->detail);
	} else if (rc == CU_EPG && !err->sqlstate[0] && (err->kind == CU_PG_CONFIG || err->kind == CU_PG_PERMISSION)) {
		/* Not Postgres' refusal, ours: it says what has to be set up. */
		cu_buf_puts(&text, err->message);
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
		cu_warn("a snapshot failed; its shape is removed", CU_KV("handle", copy->shape->handle),
			CU_KV("doing", doing), CU_KV("error", cu_buf_str(&text)), CU_KV("sqlstate", err->sqlstate));
	snprintf(why, sizeof why, stopping ? "copper stops while %s" : "its snapshot failed while %s", doing);
	failure.message = cu_buf_steal(&text, NULL);
	cu_shape_set_remove(copy->env->shapes, copy->shape, why, &failure);
}
