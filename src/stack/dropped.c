/* dropped.c: the tables of all shapes, looked up by oid; shapes whose table is not there under its name are removed. */
#include "stack/dropped.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

/* The definitions that shapes had before the database was asked: each had its table then. */
struct asked {
	cu_definition **list;
	size_t len;
};

struct cu_dropped {
	struct cu_dropped_opts opts;
	pthread_t thread;
	pthread_mutex_t lock; /* guards the next two */
	pthread_cond_t cond;
	bool stopping;
	bool asking;
};

static int by_oid(const void *a, const void *b)
{
	const cu_definition *const *x = a, *const *y = b;

	return ((*x)->oid > (*y)->oid) - ((*x)->oid < (*y)->oid);
}

static int query(PGconn *conn, const struct asked *asked, PGresult **ret_result)
{
	cu_buf oids = { 0 };
	const char *params[1];
	struct cu_pg_error err;
	uint32_t last = 0;
	int rc;

	cu_buf_puts(&oids, "{");
	for (size_t i = 0; i < asked->len; i++) {
		uint32_t oid = asked->list[i]->oid;

		if (oid != last)
			cu_buf_printf(&oids, "%s%" PRIu32, last ? "," : "", oid);
		last = oid;
	}
	cu_buf_puts(&oids, "}");
	params[0] = cu_buf_str(&oids);
	rc = cu_pg_query(conn,
			 "SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c "
			 "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
			 "WHERE c.oid = ANY ($1::oid[]) ORDER BY c.oid",
			 1, params, ret_result, &err);
	cu_buf_fini(&oids);
	return rc;
}

struct removal {
	struct cu_dropped *dropped;
	const char *why;
};

static void remove_shape(void *ctx, cu_shape *shape)
{
	struct removal *removal = ctx;

	cu_shape_set_remove(removal->dropped->opts.shapes, shape, removal->why, NULL);
}

static void remove_shapes(struct cu_dropped *dropped, const cu_definition *def, const char *why)
{
	struct removal removal = { dropped, why };

	cu_catalog_invalidate(dropped->opts.catalog, def->oid);
	cu_publication_forget(dropped->opts.publication, def->oid);
	cu_shape_set_each_of(dropped->opts.shapes, def, remove_shape, &removal);
}

/* Both sides are in the order of the oids. */
static void compare(struct cu_dropped *dropped, const struct asked *asked, const PGresult *found)
{
	int row = 0, rows = PQntuples(found);

	for (size_t i = 0; i < asked->len; i++) {
		const cu_definition *def = asked->list[i];
		uint32_t oid = 0;

		for (; row < rows; row++) {
			oid = (uint32_t)strtoul(PQgetvalue(found, row, 0), NULL, 10);
			if (oid >= def->oid)
				break;
		}
		if (row == rows || oid != def->oid)
			remove_shapes(dropped, def, "its table was dropped");
		else if (strcmp(PQgetvalue(found, row, 1), def->schema) != 0 ||
			 strcmp(PQgetvalue(found, row, 2), def->name) != 0)
			remove_shapes(dropped, def, "its table has another name now");
	}
}

static void run_check(PGconn *conn, const struct cu_pg_error *err, void *arg)
{
	struct cu_dropped *dropped = arg;
	struct asked asked = { 0 };
	PGresult *found = NULL;

	(void)err;
	if (conn) {
		asked.len = cu_shape_set_definitions(dropped->opts.shapes, &asked.list);
		if (asked.len)
			qsort(asked.list, asked.len, sizeof(*asked.list), by_oid);
		if (asked.len && query(conn, &asked, &found) == 0)
			compare(dropped, &asked, found);
		PQclear(found);
		for (size_t i = 0; i < asked.len; i++)
			cu_definition_unref(&asked.list[i]);
		free(asked.list);
	}
	pthread_mutex_lock(&dropped->lock);
	dropped->asking = false;
	pthread_cond_signal(&dropped->cond);
	pthread_mutex_unlock(&dropped->lock);
}

/* One question at a time: a database that takes long to answer is not asked twice. */
static void *run(void *arg)
{
	struct cu_dropped *dropped = arg;
	uint64_t due_ms = cu_now_ms() + CU_DROPPED_CHECK_MS;
	bool ask;

	pthread_mutex_lock(&dropped->lock);
	while (!dropped->stopping) {
		struct timespec due = { .tv_sec = (time_t)(due_ms / 1000), .tv_nsec = (long)(due_ms % 1000) * 1000000 };

		pthread_cond_timedwait(&dropped->cond, &dropped->lock, &due);
		if (dropped->stopping || cu_now_ms() < due_ms)
			continue;
		due_ms = cu_now_ms() + CU_DROPPED_CHECK_MS;
		ask = !dropped->asking && cu_shape_set_len(dropped->opts.shapes) > 0;
		if (!ask)
			continue;
		dropped->asking = true;
		pthread_mutex_unlock(&dropped->lock);
		ask = cu_pool_submit(dropped->opts.pool, CU_POOL_SHORT, run_check, dropped) == 0;
		pthread_mutex_lock(&dropped->lock);
		if (!ask)
			dropped->asking = false;
	}
	while (dropped->asking)
		pthread_cond_wait(&dropped->cond, &dropped->lock);
	pthread_mutex_unlock(&dropped->lock);
	return NULL;
}

int cu_dropped_start(const struct cu_dropped_opts *opts, cu_dropped **ret_dropped)
{
	cu_dropped *dropped = cu_xzalloc(sizeof *dropped);
	pthread_condattr_t monotonic;

	dropped->opts = *opts;
	CU_ASSERT(pthread_mutex_init(&dropped->lock, NULL) == 0);
	CU_ASSERT(pthread_condattr_init(&monotonic) == 0);
	CU_ASSERT(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
	CU_ASSERT(pthread_cond_init(&dropped->cond, &monotonic) == 0);
	pthread_condattr_destroy(&monotonic);
	if (pthread_create(&dropped->thread, NULL, run, dropped) != 0) {
		pthread_cond_destroy(&dropped->cond);
		pthread_mutex_destroy(&dropped->lock);
		free(dropped);
		return CU_EAGAIN;
	}
	*ret_dropped = dropped;
	return 0;
}

void cu_dropped_stop(cu_dropped **ref)
{
	cu_dropped *dropped = *ref;

	if (!dropped)
		return;
	*ref = NULL;
	pthread_mutex_lock(&dropped->lock);
	dropped->stopping = true;
	pthread_cond_signal(&dropped->cond);
	pthread_mutex_unlock(&dropped->lock);
	pthread_join(dropped->thread, NULL);
	pthread_cond_destroy(&dropped->cond);
	pthread_mutex_destroy(&dropped->lock);
	free(dropped);
}
