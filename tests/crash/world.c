/* world.c: starting and stopping, as src/stack does it. */
#include "crash/world.h"

#include "base/log.h"
#include "crash/removal.h"
#include "shape/consumer.h"
#include "shape/replay.h"
#include "shape/sealer.h"
#include "shape/snapshot_copy.h"
#include "shape/test_help.h"
#include "sim/sim.h"
#include "store/test_help.h"

#include <sqlite3.h>
#include <stdio.h>

#define CHUNK_BYTES 1500u

/* Of SQLite, for connections that open: bytes; pages of the write-ahead file before it is folded in. */
static unsigned page_size, pages_max;

/* The product's log is part of the trace. */
void cu_log_write(enum cu_log_level level, const char *msg, const struct cu_kv *kvs)
{
	(void)level;
	cu_sim_note("log: %s", msg);
	for (; kvs->kind != CU_KV_END; kvs++) {
		if (kvs->kind == CU_KV_KIND_STR)
			cu_sim_note("     %s=%s", kvs->key, kvs->str ? kvs->str : "");
		else
			cu_sim_note("     %s=%llu", kvs->key, (unsigned long long)kvs->num);
	}
}

static void pause_on(pthread_mutex_t *mtx, pthread_cond_t *never)
{
	struct timespec until = { 0, 0 };

	pthread_mutex_lock(mtx);
	pthread_cond_timedwait(never, mtx, &until);
	pthread_mutex_unlock(mtx);
}

int crash_poll(const struct pollfd *fds, unsigned count, int ms)
{
	static pthread_mutex_t mtx = PTHREAD_MUTEX_INITIALIZER;
	static pthread_cond_t never = PTHREAD_COND_INITIALIZER;

	(void)fds;
	(void)count;
	(void)ms;
	pause_on(&mtx, &never);
	return 0;
}

/* Every connection of SQLite: small pages, so that a page is more than one write, and folded in early. */
static int connection_opened(sqlite3 *db, char **ret_message, const struct sqlite3_api_routines *api)
{
	char sql[64];

	(void)ret_message;
	(void)api;
	snprintf(sql, sizeof sql, "PRAGMA page_size = %u", page_size);
	sqlite3_exec(db, sql, NULL, NULL, NULL);
	return sqlite3_wal_autocheckpoint(db, (int)pages_max);
}

static cu_definition *definition_new(unsigned n)
{
	static const char *const columns[] = { "id", "name" };
	struct cu_table table = help_table(POSTGRES_OID(n / 4));
	struct cu_definition_request request = { .replica_full = n & 1 };
	char name[] = { 't', (char)('0' + n / 4), '\0' };
	cu_buf message = CU_BUF_INIT;
	cu_definition *def = NULL;

	table.name = name;
	if (n & 2) {
		request.columns = columns;
		request.columns_len = CU_ARRAY_LEN(columns);
	}
	CU_ASSERT(cu_definition_new(&table, &request, &def, &message) == 0);
	return def;
}

/* A shape that is not complete yet, or not known to be, may be taken down by a truncation that its snapshot will hold. */
static void truncated(void *ctx, unsigned table)
{
	struct world *world = ctx;

	for (struct known *known = world->known; known; known = known->next) {
		if (known_table(known) == table && !known->live)
			known->may_go = true;
	}
}

struct world *world_new(void)
{
	struct world *world = cu_xzalloc(sizeof *world);

	world->root = help_dir_new();
	world->dir = cu_file_path("%s/copper", world->root);
	world->disk = disk_new(world->root);
	world->pg = postgres_new();
	world->pg->truncated = truncated;
	world->pg->ctx = world;
	world->checkpoint_ms = 1 + cu_sim_random(cu_sim_random(2) ? 40 : 1000);
	world->log_bytes_max = LOG_BYTES_MIN << cu_sim_random(5);
	world->shapes_max = cu_sim_random(DEFINITIONS);
	page_size = 512u << cu_sim_random(4);
	pages_max = 2 + cu_sim_random(60);
	for (unsigned i = 0; i < DEFINITIONS; i++)
		world->definitions[i] = definition_new(i);
	disk_sqlite(world->disk);
	sqlite3_auto_extension((void (*)(void))connection_opened);
	pthread_mutex_init(&world->mtx, NULL);
	pthread_cond_init(&world->work, NULL);
	pthread_cond_init(&world->never, NULL);
	return world;
}

static void known_free(struct known *known)
{
	free(known->handle);
	free(known->ends);
	free(known->items);
	cu_buf_fini(&known->snapshot);
	cu_buf_fini(&known->log);
	cu_shape_unref(&known->shape);
	free(known);
}

void world_free(struct world **ref)
{
	struct world *world = *ref;

	*ref = NULL;
	sqlite3_cancel_auto_extension((void (*)(void))connection_opened);
	disk_sqlite(NULL);
	while (world->known) {
		struct known *known = world->known;

		world->known = known->next;
		known_free(known);
	}
	for (unsigned i = 0; i < DEFINITIONS; i++)
		cu_definition_unref(&world->definitions[i]);
	postgres_free(&world->pg);
	disk_free(&world->disk);
	help_dir_free(&world->root);
	pthread_mutex_destroy(&world->mtx);
	pthread_cond_destroy(&world->work);
	pthread_cond_destroy(&world->never);
	free(world->dir);
	free(world);
}

struct known *world_find(struct world *world, const char *handle)
{
	struct known *known = world->known;

	while (known && strcmp(known->handle, handle) != 0)
		known = known->next;
	return known;
}

/* ---- snapshots: as src/shape/snapshot.c takes them, one at a time ---- */

/* What the snapshot must say, and from where on the log goes. */
static void remember_snapshot(const struct world *world, struct known *known, const struct pg_copy *copy)
{
	const cu_definition *def = world->definitions[known->definition];
	struct cu_pg_value values[POSTGRES_COLUMNS];

	for (size_t i = 0; i < copy->len; i++) {
		pg_row_values(&copy->rows[i], values);
		cu_item_put_snapshot(&known->snapshot, def->layout, values);
		cu_buf_putc(&known->snapshot, ',');
	}
	cu_snapshot_range_put_message(&copy->range, &known->snapshot);
	known->has_snapshot = true;
	known->snapshot_txs = known->txs = world->pg->txs_len;
}

static int snapshot_run(struct world *world, struct cu_snapshot_copy *copy)
{
	struct cu_pg_patience patience = { 0, NULL, NULL };
	cu_shape *shape = copy->shape;
	struct known *known = world_find(world, shape->handle);
	struct pg_copy *conn;
	int rc;

	if (!cu_snapshot_copy_wanted(copy))
		return CU_ECLOSED;
	rc = cu_router_add(world->router, shape->def->oid, shape->def, shape->def->scope, &shape->route,
			   &copy->route_key);
	if (rc < 0)
		return rc;
	cu_sim_point("snapshot", __FILE__, __LINE__);
	conn = postgres_snapshot(world->pg, known_table(known));
	remember_snapshot(world, known, conn);
	cu_snapshot_copy_begin(copy, &conn->range);
	rc = cu_snapshot_copy_run(copy, (PGconn *)(void *)conn, &patience);
	if (rc == 0)
		rc = cu_snapshot_copy_complete(copy);
	pg_copy_free(&conn);
	return rc;
}

static void snapshot_take(struct world *world, cu_shape *shape)
{
	struct cu_snapshot_env env = {
		.shapes = world->set,
		.store = world->store,
		.router = world->router,
		.recent = world->recent,
		.catalog = world->catalog,
		.chunk_bytes = CHUNK_BYTES,
	};
	struct cu_snapshot_copy *copy = cu_snapshot_copy_new(&env, shape);
	int rc = world->stopping ? CU_ECLOSED : snapshot_run(world, copy);

	if (rc < 0)
		cu_snapshot_copy_fail(copy, rc, "simulating");
	if (!cu_snapshot_copy_wanted(copy) && cu_shape_status(shape).state != CU_SHAPE_LIVE)
		cu_router_remove(world->router, shape->def->oid, shape->def, &shape->route);
	cu_snapshot_copy_free(&copy);
}

static void *snapshots_main(void *arg)
{
	struct world *world = arg;

	pthread_mutex_lock(&world->mtx);
	while (!world->stopping || world->waiting_len) {
		cu_shape *shape;

		if (!world->waiting_len) {
			pthread_cond_wait(&world->work, &world->mtx);
			continue;
		}
		shape = world->waiting[--world->waiting_len];
		pthread_mutex_unlock(&world->mtx);
		snapshot_take(world, shape);
		cu_shape_unref(&shape);
		pthread_mutex_lock(&world->mtx);
	}
	pthread_mutex_unlock(&world->mtx);
	return NULL;
}

/* ---- callbacks of the shape set ---- */

static void shape_created(void *ctx, cu_shape *shape)
{
	struct world *world = ctx;
	struct known *known = cu_xzalloc(sizeof *known);

	known->handle = cu_xstrdup(shape->handle);
	while (strcmp(world->definitions[known->definition]->key, shape->def->key) != 0)
		known->definition++;
	known->shape = cu_shape_ref(shape);
	known->next = world->known;
	world->known = known;
	pthread_mutex_lock(&world->mtx);
	CU_ASSERT(world->waiting_len < CU_ARRAY_LEN(world->waiting));
	world->waiting[world->waiting_len++] = cu_shape_ref(shape);
	pthread_cond_signal(&world->work);
	pthread_mutex_unlock(&world->mtx);
}

static void shape_forgotten(void *ctx, cu_shape *shape)
{
	struct world *world = ctx;

	cu_router_remove(world->router, shape->def->oid, shape->def, &shape->route);
	removal_forgotten(world, shape);
}

static void shape_woken(void *ctx, uint64_t shape_id, uint64_t loops)
{
	(void)ctx;
	(void)shape_id;
	(void)loops;
}

/* The consumers decide, without actors: those have their own simulation (tests/sim). */
size_t cu_consumer_registry_publish(cu_consumer_registry *reg, struct cu_delivery *deliveries, size_t count)
{
	(void)reg;
	for (size_t i = 0; i < count; i++) {
		cu_consumer_decide(deliveries[i].event);
		deliveries[i].status = CU_DELIVERED;
	}
	return 0;
}

/* ---- loading ---- */

static int load_checkpoint(void *ctx, const struct cu_checkpoint *checkpoint)
{
	struct world *world = ctx;

	world->checkpoint = *checkpoint;
	return 0;
}

static int load_definition(void *ctx, uint64_t id, const void *body, size_t len)
{
	struct world *world = ctx;

	CU_SIM_CHECK(cu_shape_set_restore_definition(world->set, id, body, len) == 0);
	return 0;
}

static void note_broken(struct world *world, uint64_t shape_id)
{
	world->broken = cu_xrealloc(world->broken, (world->broken_len + 1) * sizeof *world->broken);
	world->broken[world->broken_len++] = shape_id;
}

static int load_shape(void *ctx, const struct cu_shape_row *row)
{
	struct world *world = ctx;
	int rc = CU_EAGAIN;

	if (row->snapshot_complete)
		rc = cu_shape_set_restore(world->set, row);
	if (rc == 0)
		return 0;
	/* A removal that the disk refused may have left a row without its definition. */
	CU_SIM_CHECK(rc == CU_EAGAIN || world->had_trouble);
	note_broken(world, row->id);
	return 0;
}

static int load_log_chunk(void *ctx, const struct cu_log_chunk_row *row)
{
	struct world *world = ctx;
	int rc = cu_shape_set_restore_log_chunk(world->set, row);

	CU_SIM_CHECK(rc == 0 || (rc == CU_ENOTFOUND && world->broken_len > 0)); /* of one that is broken */
	return 0;
}

static void listen_restored(void *ctx, cu_shape *shape)
{
	struct world *world = ctx;
	struct cu_route_key key = { 0 };

	CU_SIM_CHECK(
		cu_router_add(world->router, shape->def->oid, shape->def, shape->def->scope, &shape->route, &key) == 0);
}

/* ---- starting ---- */

static int ancestors(void *ctx, uint32_t oid, uint32_t xid, uint32_t *ret_oids, unsigned max)
{
	(void)ctx;
	(void)oid;
	(void)xid;
	(void)ret_oids;
	(void)max;
	return 0;
}

/* The server would leave here. */
static void storage_lost(void *ctx)
{
	struct world *world = ctx;

	CU_SIM_CHECK(disk_crashed(world->disk) || disk_failed(world->disk));
	world->lost = true;
}

static void remove_broken(struct world *world)
{
	/* What refused a removal before may refuse it again. */
	if (world->broken_len && world->had_trouble && cu_sim_random(2))
		disk_refuse_metadata(world->disk, 1);
	for (size_t i = 0; i < world->broken_len; i++) {
		cu_shape *shape = cu_shape_set_by_id(world->set, world->broken[i]);

		if (shape)
			cu_shape_set_remove(world->set, shape, "broken", NULL);
		else
			cu_store_remove_shape(world->store, world->broken[i], NULL, NULL);
		cu_shape_unref(&shape);
	}
}

/* A start repairs a `format` without its bytes, but it never has to: the name comes when the bytes are there. */
static void check_format(const struct world *world)
{
	char *path = cu_file_path("%s/format", world->dir), text[sizeof CU_STORE_FORMAT + 1];
	FILE *file = fopen(path, "re");

	if (file) {
		size_t len = fread(text, 1, sizeof text, file);

		CU_SIM_CHECK(len == strlen(CU_STORE_FORMAT) && memcmp(text, CU_STORE_FORMAT, len) == 0);
		fclose(file);
	}
	free(path);
}

static int load_store(struct world *world)
{
	struct cu_store_loader loader = {
		.metadata = { .ctx = world,
			      .checkpoint = load_checkpoint,
			      .definition = load_definition,
			      .shape = load_shape,
			      .log_chunk = load_log_chunk },
		.replay = cu_replay_fanout,
	};
	cu_replay replay;
	int rc;

	check_format(world);
	world->pg->confirmed_at_start = world->pg->was_confirmed ? world->pg->confirmed : 0;
	world->checkpoint = (struct cu_checkpoint){ 0 };
	world->broken_len = 0;
	cu_replay_init(&replay, world->set);
	loader.replay_ctx = &replay;
	rc = cu_store_open(world->dir, disk_ops(world->disk), &loader, &world->store);
	if (rc < 0) {
		cu_replay_fini(&replay);
		cu_sim_note("the store does not open: %s", cu_strerror(rc));
		return rc;
	}
	cu_shape_set_end_restore(world->set, world->store, world->checkpoint.lsn);
	cu_shape_set_each(world->set, listen_restored, world);
	CU_SIM_CHECK(replay.lacking_for_good.len == 0 || world->had_trouble); /* of removals that the disk refused */
	cu_replay_remove_lacking(&replay);
	cu_replay_fini(&replay);
	remove_broken(world);
	return 0;
}

static cu_shape_set *new_shapes(struct world *world)
{
	struct cu_shape_set_opts opts = {
		.chunk_bytes = CHUNK_BYTES,
		.create = shape_created,
		.forget = shape_forgotten,
		.wake = shape_woken,
		.ctx = world,
	};

	return cu_shape_set_new(&opts);
}

static int open_store(struct world *world)
{
	int rc = load_store(world);

	/* As the server does: every shape is made anew. */
	if (rc == CU_ECORRUPT && disk_lost_metadata(world->disk)) {
		cu_sim_note("damaged metadata are put aside");
		world->pg->was_confirmed = false;
		world->pg->oldest = world->pg->confirmed;
		rc = cu_store_set_aside(world->dir, disk_ops(world->disk));
		cu_shape_set_free(&world->set);
		world->set = new_shapes(world);
		if (rc == 0)
			rc = load_store(world);
	}
	CU_SIM_CHECK(rc == 0 || disk_crashed(world->disk) || disk_failed(world->disk));
	return rc;
}

bool world_start(struct world *world)
{
	for (struct known *known = world->known; known; known = known->next)
		cu_shape_unref(&known->shape); /* of the process before: kept for what it had told */
	world->set = new_shapes(world);
	world->router = cu_router_new_with(1);
	world->recent = cu_recent_xids_new();
	CU_ASSERT(cu_catalog_new(0, &world->catalog) == 0);
	CU_ASSERT(cu_publication_new("electric_publication_crash", false, 0, &world->publication) == 0);
	if (open_store(world) == 0)
		return true;
	world_stop(world);
	return false;
}

void world_follow(struct world *world)
{
	struct cu_collector_opts opts = {
		.stack_id = "crash",
		.replication = (cu_replication *)(void *)world->pg,
		.store = world->store,
		.router = world->router,
		.shapes = world->set,
		.recent = world->recent,
		.publication = world->publication,
		.catalog = world->catalog,
		.checkpoint_ms = world->churn ? CHURN_CHECKPOINT_MS : world->checkpoint_ms,
		.checkpoint = world->checkpoint,
		.storage_lost = storage_lost,
		.ancestors = ancestors,
		.ctx = world,
	};
	struct cu_sealer_opts sealer = {
		.stack_id = "crash",
		.shapes = world->set,
		.store = world->store,
	};
	struct cu_retention_opts retention;
	uint64_t log_bytes_max = world->churn ? LOG_BYTES_MIN : world->log_bytes_max;

	sealer.log_bytes_max = log_bytes_max;
	/* Only whole segments can be dropped. */
	cu_changelog_limit_segments(cu_store_changelog(world->store),
				    (size_t)CU_MIN(log_bytes_max / 4, (uint64_t)CU_SEGMENT_BYTES));
	CU_ASSERT(cu_sealer_start(&sealer, &world->sealer) == 0);
	cu_sealer_checkpoint(world->sealer, world->checkpoint.log_pos);
	opts.sealer = world->sealer;
	/* As the replication thread does: what was found in the store is told to Postgres again. */
	if (world->checkpoint.system_id)
		cu_replication_confirm(opts.replication, world->checkpoint.lsn);
	retention = (struct cu_retention_opts){
		.shapes = world->set,
		.store = world->store,
		.shapes_max = world->shapes_max,
	};
	world->retention = cu_retention_new(&retention);
	world->stopping = world->lost = false;
	CU_ASSERT(cu_collector_start(&opts, &world->collector) == 0);
	CU_ASSERT(pthread_create(&world->snapshots, NULL, snapshots_main, world) == 0);
}

void world_stop(struct world *world)
{
	if (world->collector) {
		pthread_mutex_lock(&world->mtx);
		world->stopping = true;
		pthread_cond_signal(&world->work);
		pthread_mutex_unlock(&world->mtx);
		pthread_join(world->snapshots, NULL);
		cu_retention_save(world->retention);
		cu_retention_free(&world->retention);
		cu_collector_stop(world->collector);
		cu_metadata_sync(cu_store_metadata(world->store));
	}
	cu_collector_free(&world->collector);
	cu_sealer_free(&world->sealer);
	cu_store_free(&world->store);
	postgres_disconnect(world->pg);
	cu_publication_free(&world->publication);
	cu_catalog_free(&world->catalog);
	cu_recent_xids_free(&world->recent);
	cu_shape_set_free(&world->set);
	cu_router_free(&world->router);
	free(world->broken);
	world->broken = NULL;
}

/* ---- going on ---- */

void world_pause(struct world *world)
{
	pause_on(&world->mtx, &world->never);
}

bool world_catch_up(struct world *world)
{
	while (!world_is_over(world) && !postgres_is_caught_up(world->pg))
		world_pause(world);
	return !world_is_over(world);
}

bool world_is_over(const struct world *world)
{
	return disk_crashed(world->disk) || world->lost;
}

void world_retain(struct world *world)
{
	if (cu_retention_run(world->retention, 0) == 0)
		return;
	for (struct known *known = world->known; known; known = known->next)
		known->asked_to_go |= known->shape && cu_shape_status(known->shape).state > CU_SHAPE_LIVE;
}

void world_create(struct world *world, unsigned definition)
{
	cu_definition *def = cu_shape_set_enter_definition(world->set, definition_new(definition));
	cu_shape *shape = cu_shape_set_get_or_create(world->set, def, NULL);

	CU_ASSERT(shape);
	cu_shape_unref(&shape);
}
