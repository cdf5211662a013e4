/* Snapshots of shapes that wait together, on a real Postgres. label: race */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "shape/subset.h"
#include "store/test_help.h"

#include "pg_cluster.h"

#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WAIT_S 20
#define SHAPES 8u

static struct pg_cluster *cluster;

struct world {
	char *dir;
	cu_pg_config *config;
	cu_store *store;
	cu_shape_set *set;
	cu_router *router;
	cu_publication *publication;
	cu_catalog *catalog;
	cu_recent_xids *recent;
	cu_pool *pool;
	cu_snapshots *snapshots;
	struct cu_table *table;
	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t changed;
	unsigned blocked; /* jobs that stand in the pool */
	bool open;        /* … and may go */
};

static void on_create(void *ctx, cu_shape *shape)
{
	(void)ctx;
	(void)shape;
}

static void on_forget(void *ctx, cu_shape *shape)
{
	struct world *w = ctx;

	cu_router_remove(w->router, shape->def->oid, shape->def, &shape->route);
}

static void on_wake(void *ctx, uint64_t shape_id, uint64_t loops)
{
	struct world *w = ctx;

	(void)shape_id;
	(void)loops;
	pthread_mutex_lock(&w->lock);
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

static void look_up(struct world *w)
{
	struct cu_table_name name = { .schema = "public", .name = "items" };
	struct cu_pg_error err;
	PGconn *conn = NULL;

	CU_ASSERT(cu_pg_connect(w->config, CU_PG_ORDINARY, -1, &conn, &err) == 0);
	CU_ASSERT(cu_catalog_lookup(w->catalog, conn, &name, &w->table, &err) == 0);
	PQfinish(conn);
}

/* connections: of the pool; jobs: that may wait there. */
static struct world *world_new(unsigned connections, unsigned jobs)
{
	struct world *w = cu_xzalloc(sizeof *w);
	struct cu_shape_set_opts shapes = {
		.chunk_bytes = 4000, .create = on_create, .forget = on_forget, .wake = on_wake, .ctx = w
	};
	struct cu_store_loader loader = { 0 };
	struct cu_pool_opts pool = { .connections_max = connections, .jobs_max = jobs };
	struct cu_pg_error err;

	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->changed, NULL);
	w->dir = help_dir_new();
	CU_ASSERT(cu_pg_config_new(pg_cluster_url(cluster, NULL), &w->config, &err) == 0);
	pool.config = w->config;
	w->set = cu_shape_set_new(&shapes);
	CU_ASSERT(cu_store_open(w->dir, NULL, &loader, &w->store) == 0);
	cu_shape_set_end_restore(w->set, w->store, 0);
	w->router = cu_router_new();
	w->recent = cu_recent_xids_new();
	CU_ASSERT(cu_catalog_new(0, &w->catalog) == 0);
	CU_ASSERT(cu_publication_new("pub", false, 0, &w->publication) == 0);
	CU_ASSERT(cu_pool_new(&pool, &w->pool) == 0);
	w->snapshots = cu_snapshots_new(&(struct cu_snapshot_env){
		.shapes = w->set,
		.store = w->store,
		.router = w->router,
		.publication = w->publication,
		.catalog = w->catalog,
		.recent = w->recent,
		.pool = w->pool,
		.chunk_bytes = 4000,
	});
	look_up(w);
	return w;
}

static void world_free(struct world *w)
{
	cu_pool_stop(w->pool);
	cu_metadata_sync(cu_store_metadata(w->store));
	cu_store_free(&w->store);
	cu_pool_free(&w->pool);
	cu_snapshots_free(&w->snapshots);
	cu_publication_free(&w->publication);
	cu_table_unref(&w->table);
	cu_catalog_free(&w->catalog);
	cu_recent_xids_free(&w->recent);
	cu_shape_set_free(&w->set);
	cu_router_free(&w->router);
	cu_pg_config_free(&w->config);
	help_dir_free(&w->dir);
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

/* The shape of `id = n`. Returns a reference. */
static cu_shape *shape_of(struct world *w, unsigned n)
{
	struct cu_definition_request request = { 0 };
	struct cu_expr_error err = { .message = CU_BUF_INIT };
	cu_buf message = CU_BUF_INIT;
	cu_definition *def = NULL;
	cu_expr *where = NULL;
	char text[32];

	snprintf(text, sizeof text, "id = %u", n);
	CU_ASSERT(cu_definition_new(w->table, &request, &def, &message) == 0);
	def = cu_shape_set_enter_definition(w->set, def);
	CU_ASSERT(cu_expr_new(def->scope, text, strlen(text), NULL, 0, &where, &err) == 0);
	return cu_shape_set_get_or_create(w->set, def, where);
}

static void stand(PGconn *conn, const struct cu_pg_error *err, void *arg)
{
	struct world *w = arg;

	(void)conn;
	(void)err;
	pthread_mutex_lock(&w->lock);
	w->blocked++;
	pthread_cond_broadcast(&w->changed);
	while (!w->open)
		pthread_cond_wait(&w->changed, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

/* The pool's workers for long jobs are all taken, until let_go(). */
static void block(struct world *w, unsigned workers)
{
	for (unsigned i = 0; i < workers; i++)
		assert_int_equal(cu_pool_submit(w->pool, CU_POOL_LONG, stand, w), 0);
	pthread_mutex_lock(&w->lock);
	while (w->blocked < workers)
		pthread_cond_wait(&w->changed, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

static void let_go(struct world *w)
{
	pthread_mutex_lock(&w->lock);
	w->open = true;
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

/* Waits until so many of the shapes are live. */
static void wait_live(struct world *w, cu_shape *const *shapes, unsigned want)
{
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_S;
	pthread_mutex_lock(&w->lock);
	for (;;) {
		unsigned live = 0;

		for (unsigned i = 0; i < SHAPES; i++) {
			atomic_store(&shapes[i]->waiting_loops, 1); /* as a reader does: the bit, then the look */
			live += cu_shape_status(shapes[i]).state == CU_SHAPE_LIVE;
		}
		if (live >= want || rc != 0)
			break;
		rc = pthread_cond_timedwait(&w->changed, &w->lock, &until);
	}
	pthread_mutex_unlock(&w->lock);
	assert_int_equal(rc, 0);
}

static void small_snapshots_do_not_wait_for_the_end_of_a_large_one(void **state)
{
	struct world *w = world_new(4, 0);
	cu_shape *shapes[SHAPES];
	const char *own;
	struct cu_pg_error err;
	PGconn *conn = NULL;

	(void)state;
	assert_int_equal(cu_pg_connect(w->config, CU_PG_ORDINARY, -1, &conn, &err), 0);
	assert_int_equal(cu_pg_exec(conn, "SELECT pg_advisory_lock(7)", NULL, &err), 0);
	block(w, 2);
	for (unsigned i = 0; i < SHAPES; i++)
		shapes[i] = shape_of(w, i);
	/* The first one's COPY lasts as long as we like. */
	own = shapes[0]->route.where;
	shapes[0]->route.where = "(SELECT pg_catalog.count(pg_catalog.pg_advisory_xact_lock_shared(7)) > 0)";
	for (unsigned i = 0; i < SHAPES; i++)
		cu_snapshots_take(w->snapshots, shapes[i]);
	let_go(w);
	wait_live(w, shapes, SHAPES - 1);
	assert_int_equal(cu_shape_status(shapes[0]).state, CU_SHAPE_CREATING);
	assert_int_equal(cu_pg_exec(conn, "SELECT pg_advisory_unlock(7)", NULL, &err), 0);
	wait_live(w, shapes, SHAPES);
	shapes[0]->route.where = own;
	PQfinish(conn);
	for (unsigned i = 0; i < SHAPES; i++)
		cu_shape_unref(&shapes[i]);
	world_free(w);
}

static void a_full_pool_refuses_nobody_whom_a_worker_will_come_to(void **state)
{
	struct world *w = world_new(1, 1);
	cu_shape *shapes[SHAPES];

	(void)state;
	block(w, 1);
	for (unsigned i = 0; i < SHAPES; i++) {
		shapes[i] = shape_of(w, i);
		cu_snapshots_take(w->snapshots, shapes[i]); /* the second and later ones find the pool full */
	}
	let_go(w);
	wait_live(w, shapes, SHAPES);
	for (unsigned i = 0; i < SHAPES; i++)
		cu_shape_unref(&shapes[i]);
	world_free(w);
}

static void those_that_wait_when_the_pool_stops_are_gone(void **state)
{
	struct world *w = world_new(1, 0);
	cu_shape *shapes[SHAPES];

	(void)state;
	block(w, 1);
	for (unsigned i = 0; i < SHAPES; i++) {
		shapes[i] = shape_of(w, i);
		cu_snapshots_take(w->snapshots, shapes[i]);
	}
	let_go(w);
	cu_pool_stop(w->pool);
	cu_metadata_sync(cu_store_metadata(w->store));
	for (unsigned i = 0; i < SHAPES; i++) {
		enum cu_shape_state is = cu_shape_status(shapes[i]).state;

		assert_true(is == CU_SHAPE_LIVE || is == CU_SHAPE_REMOVING || is == CU_SHAPE_GONE);
		cu_shape_unref(&shapes[i]);
	}
	world_free(w);
}

/* The body without the numbers that are different each time. */
static void assert_subset(struct world *w, PGconn *conn, const cu_shape *shape, const struct cu_subset *subset,
			  const char *expected)
{
	struct cu_pg_error err;
	cu_spool spool;
	const char *data;

	cu_spool_init(&spool, w->dir, NULL);
	assert_int_equal(cu_subset_read(w->snapshots, conn, shape->def, shape->route.where, subset, &spool, &err), 0);
	assert_int_equal(PQtransactionStatus(conn), PQTRANS_IDLE);
	assert_memory_equal(cu_buf_str(&spool.memory), "{\"metadata\":{\"database_lsn\":\"", 29);
	data = strstr(cu_buf_str(&spool.memory), ", \"data\": [");
	assert_non_null(data);
	for (const char *at = data; (at = strstr(at, "\"key\"")); at++) {
		/* Each item's id, in order: what is expected names them one after the other. */
		const char *id = strstr(at, "{\"id\":\"") + 7;
		size_t len = strcspn(id, "\"");

		assert_true(strncmp(expected, id, len) == 0 && expected[len] == ' ');
		expected += len + 1;
	}
	assert_string_equal(expected, "");
	cu_spool_fini(&spool);
}

static void a_subset_has_the_rows_that_both_clauses_let_pass(void **state)
{
	struct world *w = world_new(1, 0);
	cu_shape *shape = shape_of(w, 7);
	const char *own = shape->route.where;
	struct cu_subset all = { .limit = CU_SUBSET_ALL };
	struct cu_subset some = { .where = (char *)(uintptr_t) "id < 5 OR id > 90",
				  .order_by = (char *)(uintptr_t) "\"items\".\"id\" DESC NULLS LAST",
				  .limit = 4,
				  .offset = 1 };
	struct cu_pg_error err;
	PGconn *conn = NULL;

	(void)state;
	assert_int_equal(cu_pg_connect(w->config, CU_PG_ORDINARY, -1, &conn, &err), 0);
	assert_subset(w, conn, shape, &all, "7 ");
	assert_subset(w, conn, shape, &some, "");
	shape->route.where = "id < 95 OR id = 99";
	assert_subset(w, conn, shape, &some, "94 93 92 91 ");
	some.limit = CU_SUBSET_ALL;
	assert_subset(w, conn, shape, &some, "94 93 92 91 4 3 2 1 0 ");
	shape->route.where = NULL;
	some.offset = 8;
	assert_subset(w, conn, shape, &some, "91 4 3 2 1 0 ");
	shape->route.where = own;
	PQfinish(conn);
	cu_shape_unref(&shape);
	world_free(w);
}

static void a_subset_waits_for_what_the_stream_has_passed_already(void **state)
{
	struct world *w = world_new(1, 0);
	cu_shape *shape = shape_of(w, 7);
	struct cu_subset all = { .limit = CU_SUBSET_ALL };
	PGconn *conn = NULL, *writer = NULL;
	PGresult *result = NULL;
	struct cu_pg_error err;
	cu_spool spool;

	(void)state;
	assert_int_equal(cu_pg_connect(w->config, CU_PG_ORDINARY, -1, &conn, &err), 0);
	assert_int_equal(cu_pg_connect(w->config, CU_PG_ORDINARY, -1, &writer, &err), 0);
	assert_int_equal(cu_pg_exec(writer, "BEGIN; SELECT pg_current_xact_id()", &result, &err), 0);
	cu_recent_xids_push(w->recent, (uint32_t)strtoul(PQgetvalue(result, 0, 0), NULL, 10));
	PQclear(result);
	cu_spool_init(&spool, w->dir, NULL);
	assert_int_equal(cu_subset_read(w->snapshots, conn, shape->def, NULL, &all, &spool, &err), CU_EAGAIN);
	assert_int_equal(cu_pg_exec(writer, "COMMIT", NULL, &err), 0);
	assert_subset(w, conn, shape, &all, "7 ");
	cu_spool_fini(&spool);
	PQfinish(writer);
	PQfinish(conn);
	cu_shape_unref(&shape);
	world_free(w);
}

static void a_subset_of_a_table_that_was_altered_is_refused(void **state)
{
	struct world *w = world_new(1, 0);
	cu_shape *shape = shape_of(w, 7);
	struct cu_subset all = { .limit = CU_SUBSET_ALL };
	PGconn *conn = NULL;
	struct cu_pg_error err;
	cu_spool spool;

	(void)state;
	assert_int_equal(cu_pg_connect(w->config, CU_PG_ORDINARY, -1, &conn, &err), 0);
	assert_int_equal(cu_pg_exec(conn, "ALTER TABLE items ADD COLUMN more int", NULL, &err), 0);
	cu_spool_init(&spool, w->dir, NULL);
	assert_int_equal(cu_subset_read(w->snapshots, conn, shape->def, NULL, &all, &spool, &err), CU_EPG);
	assert_string_equal(err.sqlstate, "42703");
	assert_int_equal(cu_pg_exec(conn, "ROLLBACK; ALTER TABLE items DROP COLUMN more", NULL, &err), 0);
	cu_spool_fini(&spool);
	PQfinish(conn);
	cu_shape_unref(&shape);
	world_free(w);
}

/* Before its first row, in the middle of its rows, and when somebody else ends it. */
static void a_subset_that_takes_too_long_is_ended_and_says_so(void **state)
{
	static const struct {
		const char *where, *message;
		unsigned timeout_ms;
	} cases[] = {
		{ "pg_sleep(60) IS NULL", "its query took longer than 100 ms. See that", 100 },
		{ "CASE WHEN id > 90 THEN pg_sleep(60) IS NULL ELSE true END",
		  "its query took longer than 100 ms. See that", 100 },
		{ "CASE WHEN pg_cancel_backend(pg_backend_pid()) THEN pg_sleep(60) IS NULL END", "canceling statement",
		  0 },
	};
	struct world *w = world_new(1, 0);
	cu_shape *shape = shape_of(w, 7);

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		struct cu_subset subset = { .where = (char *)(uintptr_t)cases[i].where,
					    .limit = CU_SUBSET_ALL,
					    .timeout_ms = cases[i].timeout_ms };
		struct cu_pg_error err;
		PGconn *conn = NULL;
		cu_spool spool;

		assert_int_equal(cu_pg_connect(w->config, CU_PG_ORDINARY, -1, &conn, &err), 0);
		cu_spool_init(&spool, w->dir, NULL);
		assert_int_equal(cu_subset_read(w->snapshots, conn, shape->def, NULL, &subset, &spool, &err), CU_EPG);
		assert_int_equal(err.kind, CU_PG_CANCELED);
		assert_memory_equal(err.message, cases[i].message, strlen(cases[i].message));
		cu_spool_fini(&spool);
		PQfinish(conn);
	}
	cu_shape_unref(&shape);
	world_free(w);
}

static int group_setup(void **state)
{
	(void)state;
	cluster = pg_cluster_new(NULL);
	pg_cluster_sql(cluster, "CREATE PUBLICATION pub; CREATE TABLE items (id int PRIMARY KEY, name text); "
				"INSERT INTO items SELECT n, 'name ' || n FROM generate_series(0, 99) n");
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	pg_cluster_free(&cluster);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_snapshots_do_not_wait_for_the_end_of_a_large_one),
		cmocka_unit_test(a_full_pool_refuses_nobody_whom_a_worker_will_come_to),
		cmocka_unit_test(those_that_wait_when_the_pool_stops_are_gone),
		cmocka_unit_test(a_subset_has_the_rows_that_both_clauses_let_pass),
		cmocka_unit_test(a_subset_waits_for_what_the_stream_has_passed_already),
		cmocka_unit_test(a_subset_of_a_table_that_was_altered_is_refused),
		cmocka_unit_test(a_subset_that_takes_too_long_is_ended_and_says_so),
	};

	if (!pg_cluster_available())
		return 0;
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
