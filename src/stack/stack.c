/* stack.c: the parts of a stack and the strings between them. */
#include "stack/stack.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/ticker.h"
#include "shape/chunk_check.h"
#include "shape/consumer.h"
#include "shape/replay.h"
#include "shape/retention.h"
#include "shape/snapshot.h"
#include "stack/ancestors.h"
#include "stack/database.h"
#include "stack/peer.h"
#include "stack/table_watch.h"

#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define STACK_ID "default"
#define DRAIN_GRACE_MS 5000u
#define POOL_BESIDE_POOLED 4u /* direct connections for catalog and publication when snapshots have others */
#define VERSION_WITH_GENERATED_COLUMNS 180000

struct cu_stack {
	struct cu_stack_opts opts;

	struct cu_pg_names names;
	cu_pg_config *config;
	cu_pg_config *pooled_config; /* NULL: all connections are made by the other */
	cu_shape_set *shapes;
	cu_store *store;
	struct cu_checkpoint checkpoint;
	uint64_t *broken; /* ids of stored shapes that cannot be served: removed after the store is open */
	size_t broken_len;
	cu_router *router;
	cu_actor_system *actors;
	cu_consumer_registry *registry;
	struct cu_consumers consumers;
	cu_recent_xids *recent;
	cu_catalog *catalog;
	cu_publication *publication;
	cu_pool *pool;
	cu_pool *pooled; /* NULL: snapshots run in the other */
	cu_snapshots *snapshots;
	cu_sealer *sealer;
	cu_chunk_checks *checks;
	cu_replication *replication;
	cu_collector *collector;
	cu_table_watch *table_watch;
	cu_retention *retention; /* NULL: there is no limit */
	cu_ticker *retention_ticker;
	cu_ticker *memory_ticker;
	_Atomic(cu_http_server *) http;
	cu_api *idle_api;                        /* answers as long as there is no other */
	_Atomic(cu_api *) api;                   /* NULL until everything that it needs runs */
	_Atomic bool waits;                      /* another instance has the directory */
	char instance[CU_API_INSTANCE_TEXT_MAX]; /* what it knows us by */
	char mark[sizeof CU_API_RELAYED ": \r\n" + CU_API_INSTANCE_TEXT_MAX];
	bool published; /* … is in the directory, which is ours */

	/* while the store is opened */
	struct restored {
		cu_shape *shape; /* a reference */
		struct cu_route_key route_key;
	} * restored;
	size_t restored_len, restored_cap;
	uint64_t loaded; /* rows, and shapes that listen */

	_Atomic bool was_active;
};

/* ---- callbacks of the shape set ---- */

static void shape_created(void *ctx, cu_shape *shape)
{
	struct cu_stack *stack = ctx;

	cu_snapshots_take(stack->snapshots, shape);
}

static void shape_forgotten(void *ctx, cu_shape *shape)
{
	struct cu_stack *stack = ctx;
	struct cu_exit_reason reason;
	cu_actor_id consumer;

	cu_router_remove(stack->router, shape->def->oid, shape->def, &shape->route);
	if (!stack->registry)
		return; /* what was stored of it is damaged: nobody runs yet */
	consumer = cu_consumer_registry_whereis(stack->registry, shape->handle);
	cu_consumer_registry_remove(stack->registry, shape->handle);
	if (consumer != CU_ACTOR_NONE) {
		cu_exit_reason_set(&reason, CU_EXIT_CLEANUP, 0, "its shape is removed");
		cu_actor_kill(stack->actors, consumer, &reason);
	}
}

static void shape_woken(void *ctx, uint64_t shape_id, uint64_t loops)
{
	struct cu_stack *stack = ctx;
	cu_http_server *http = atomic_load(&stack->http);

	if (http)
		cu_http_wake(http, shape_id, loops);
}

/* ---- what the store holds ---- */

/* With many shapes loading takes seconds. CU_ECLOSED: the process is to end. */
static int go_on(struct cu_stack *stack)
{
	if (!stack->opts.is_ending || stack->loaded++ % CU_LOADING_SLICE)
		return 0;
	return stack->opts.is_ending() ? CU_ECLOSED : 0;
}

static int load_checkpoint(void *ctx, const struct cu_checkpoint *checkpoint)
{
	struct cu_stack *stack = ctx;

	stack->checkpoint = *checkpoint;
	return 0;
}

static int load_definition(void *ctx, uint64_t id, const void *body, size_t len)
{
	struct cu_stack *stack = ctx;
	int rc = cu_shape_set_restore_definition(stack->shapes, id, body, len);

	if (rc < 0)
		cu_warn("a stored definition cannot be read; its shapes are made anew when asked for",
			CU_KV_U64("definition", id), CU_KV("error", cu_strerror(rc)));
	return 0;
}

static void remember_restored(struct cu_stack *stack, const struct cu_shape_row *row)
{
	if (stack->restored_len == stack->restored_cap) {
		stack->restored_cap = stack->restored_cap ? 2 * stack->restored_cap : 64;
		stack->restored = cu_xrealloc(stack->restored, stack->restored_cap * sizeof *stack->restored);
	}
	stack->restored[stack->restored_len++] = (struct restored){
		cu_shape_set_by_id(stack->shapes, row->id),
		{ row->snapshot.has_route_key, row->snapshot.route_column, row->snapshot.route_hash },
	};
}

static void note_broken(struct cu_stack *stack, uint64_t shape_id)
{
	if (stack->broken_len && stack->broken[stack->broken_len - 1] == shape_id)
		return;
	stack->broken = cu_xrealloc(stack->broken, (stack->broken_len + 1) * sizeof *stack->broken);
	stack->broken[stack->broken_len++] = shape_id;
}

static int load_shape_count(void *ctx, uint64_t count)
{
	struct cu_stack *stack = ctx;

	cu_shape_set_expect(stack->shapes, count);
	return 0;
}

static int load_shape(void *ctx, const struct cu_shape_row *row)
{
	struct cu_stack *stack = ctx;
	int rc = CU_EAGAIN;

	if (row->snapshot_complete)
		rc = cu_shape_set_restore(stack->shapes, row);
	if (rc == 0) {
		remember_restored(stack, row);
		cu_publication_version_restore(stack->publication,
					       stack->restored[stack->restored_len - 1].shape->def->oid,
					       row->snapshot.published);
		return go_on(stack);
	}
	cu_warn(rc == CU_EAGAIN ? "a stored shape's snapshot was interrupted; it is made anew when asked for"
				: "a stored shape cannot be read; it is made anew when asked for",
		CU_KV("handle", row->handle), CU_KV("error", cu_strerror(rc)));
	note_broken(stack, row->id);
	return go_on(stack);
}

static int load_log_chunk(void *ctx, const struct cu_log_chunk_row *row)
{
	struct cu_stack *stack = ctx;
	int rc = cu_shape_set_restore_log_chunk(stack->shapes, row);

	if (rc == CU_ECORRUPT || rc == CU_ENOTFOUND) { /* not there: it is broken already, or its row was lost */
		cu_warn("a stored shape's log cannot be read; it is made anew when asked for",
			CU_KV_U64("shape_id", row->shape_id));
		note_broken(stack, row->shape_id);
	}
	return rc == CU_ENOMEM ? rc : go_on(stack);
}

static int load_damaged(void *ctx, bool is_definition, uint64_t id)
{
	/* Without their definition the shapes cannot be read. */
	if (!is_definition)
		note_broken(ctx, id);
	return 0;
}

/* Those that were restored before they turned out to be broken are in the set. */
static void remove_broken(struct cu_stack *stack)
{
	for (size_t i = 0; i < stack->broken_len; i++) {
		cu_shape *shape = cu_shape_set_by_id(stack->shapes, stack->broken[i]);

		if (shape)
			cu_shape_set_remove(stack->shapes, shape, "what is stored of it cannot be read", NULL);
		else
			cu_store_remove_shape(stack->store, stack->broken[i], NULL, NULL);
		cu_shape_unref(&shape);
	}
}

/* The restored shapes listen. The list goes. */
static int listen_for_restored(struct cu_stack *stack)
{
	int rc = 0;

	for (size_t i = 0; i < stack->restored_len; i++) {
		cu_shape *shape = stack->restored[i].shape;

		if (rc == 0)
			rc = go_on(stack);
		if (rc == 0 && cu_router_add(stack->router, shape->def->oid, shape->def, shape->def->scope,
					     &shape->route, &stack->restored[i].route_key) < 0)
			cu_shape_set_remove(stack->shapes, shape, "its stored where clause cannot be read", NULL);
		cu_shape_unref(&stack->restored[i].shape);
	}
	free(stack->restored);
	stack->restored = NULL;
	stack->restored_len = 0;
	return rc;
}

/* When the start fails before they listen. */
static void forget_restored(struct cu_stack *stack)
{
	for (size_t i = 0; i < stack->restored_len; i++)
		cu_shape_unref(&stack->restored[i].shape);
	free(stack->restored);
	stack->restored = NULL;
	stack->restored_len = stack->restored_cap = 0;
}

/* What the disk holds is unknown: going on would mean confirming WAL that may be gone. A start recovers from the last
 * checkpoint, so leaving at once loses nothing. */
static void storage_lost(void *ctx)
{
	struct cu_stack *stack = ctx;

	cu_error("the storage failed; copper leaves and recovers at its next start",
		 CU_KV("directory", stack->opts.storage_dir),
		 CU_KV("next", "check the disk, then start copper again (a supervisor does)"));
	_exit(EXIT_FAILURE);
}

static cu_shape_set *new_shapes(struct cu_stack *stack)
{
	struct cu_shape_set_opts opts = {
		.chunk_bytes = stack->opts.chunk_bytes,
		.create = shape_created,
		.forget = shape_forgotten,
		.wake = shape_woken,
		.ctx = stack,
	};

	return cu_shape_set_new(&opts);
}

static void directory_locked(void *ctx)
{
	struct cu_stack *stack = ctx;

	atomic_store(&stack->waits, false);
	stack->published =
		cu_peer_publish(stack->opts.storage_dir, stack->opts.host, cu_stack_port(stack), stack->instance) == 0;
}

static int load_store(struct cu_stack *stack)
{
	struct cu_store_loader loader = {
		.metadata = { .ctx = stack,
			      .checkpoint = load_checkpoint,
			      .definition = load_definition,
			      .shapes = load_shape_count,
			      .shape = load_shape,
			      .log_chunk = load_log_chunk,
			      .damaged = load_damaged },
		.locked = directory_locked,
		.replay = cu_replay_fanout,
	};
	cu_replay replay;
	int rc;

	cu_replay_init(&replay, stack->shapes);
	loader.replay_ctx = &replay;
	rc = cu_store_open(stack->opts.storage_dir, NULL, &loader, &stack->store);
	if (rc < 0) {
		cu_replay_fini(&replay);
		return rc;
	}
	cu_metadata_on_damage(cu_store_metadata(stack->store), storage_lost, stack);
	cu_shape_set_end_restore(stack->shapes, stack->store, stack->checkpoint.lsn);
	rc = listen_for_restored(stack);
	if (rc < 0) {
		cu_replay_fini(&replay);
		return rc;
	}
	remove_broken(stack);
	cu_replay_remove_lacking(&replay);
	cu_replay_fini(&replay);
	/* What only the start needed is given back to the system: a stack that holds many shapes stays as large as they are. */
	malloc_trim(0);
	cu_info("storage opened", CU_KV("directory", stack->opts.storage_dir),
		CU_KV_U64("shapes", cu_shape_set_len(stack->shapes)), CU_KV_LSN("checkpoint", stack->checkpoint.lsn));
	return 0;
}

/* What cannot be read as a whole is put aside, and every shape is made anew: a server that does not start would be worse. */
static int open_store(struct cu_stack *stack)
{
	int rc = load_store(stack);

	if (rc != CU_ECORRUPT)
		return rc;
	cu_error("the storage is damaged: it is put aside, every shape is made anew and its readers refetch",
		 CU_KV("directory", stack->opts.storage_dir), CU_KV("kept", "metadata.damaged.sqlite3"),
		 CU_KV("next", "check the disk and the file system"));
	/* First: another instance may take the directory now, and this one loads it again when that is gone. */
	forget_restored(stack);
	cu_shape_set_free(&stack->shapes);
	stack->shapes = new_shapes(stack);
	cu_publication_forget(stack->publication, 0);
	stack->checkpoint = (struct cu_checkpoint){ 0 };
	stack->broken_len = 0;
	rc = cu_store_set_aside(stack->opts.storage_dir, NULL);
	if (rc < 0)
		return rc;
	return load_store(stack);
}

static int ancestors_of(void *ctx, uint32_t oid, uint32_t xid, uint32_t *ret_oids, unsigned max)
{
	struct cu_stack *stack = ctx;

	return cu_ancestors_of(stack->pool, oid, xid, ret_oids, max);
}

/* ---- health ---- */

static void replication_state(void *arg, enum cu_replication_state state)
{
	struct cu_stack *stack = arg;
	cu_api *api = atomic_load(&stack->api);

	if (state == CU_REPLICATION_STREAMING)
		atomic_store(&stack->was_active, true);
	else if (state == CU_REPLICATION_WAITING_LOCK)
		atomic_store(&stack->was_active, false);
	if (api && state != CU_REPLICATION_CONNECTING && state != CU_REPLICATION_PREPARING &&
	    state != CU_REPLICATION_SLEEPING)
		cu_api_resume(api);
}

static bool may_sleep(void *arg)
{
	struct cu_stack *stack = arg;
	struct cu_http_stats stats = { 0 };
	cu_http_server *http = atomic_load(&stack->http);

	if (http)
		cu_http_server_stats(http, &stats);
	/* Whoever waits for changes wants them. */
	return stats.parked == 0;
}

static bool touch(void *ctx)
{
	struct cu_stack *stack = ctx;

	return cu_replication_touch(stack->replication);
}

/* The first look at the tables waits for what the stream says about the slot and the publication. */
static bool not_now(void *ctx)
{
	struct cu_stack *stack = ctx;

	return !cu_collector_server_version(stack->collector) ||
	       cu_replication_state_get(stack->replication) == CU_REPLICATION_SLEEPING;
}

static enum cu_api_health health(void *ctx)
{
	struct cu_stack *stack = ctx;

	enum cu_replication_state state = cu_replication_state_get(stack->replication);

	if (state == CU_REPLICATION_WAITING_LOCK)
		return CU_API_WAITING;
	if (!atomic_load(&stack->was_active) || !cu_collector_server_version(stack->collector))
		return CU_API_STARTING;
	if (state == CU_REPLICATION_SLEEPING)
		return CU_API_SLEEPING;
	return state == CU_REPLICATION_STREAMING ? CU_API_ACTIVE : CU_API_DISCONNECTED;
}

static bool generated_in_stream(void *ctx)
{
	struct cu_stack *stack = ctx;

	return cu_collector_server_version(stack->collector) >= VERSION_WITH_GENERATED_COLUMNS;
}

/* ---- starting ---- */

static int start_consumers(struct cu_stack *stack)
{
	struct cu_consumer_registry_opts opts = {
		.start_consumer = cu_consumers_start,
		.remove_shapes = cu_consumers_remove_shapes,
		.ctx = &stack->consumers,
	};
	int rc = cu_actor_system_new(NULL, &stack->actors);

	if (rc < 0)
		return rc;
	opts.system = stack->actors;
	rc = cu_consumer_registry_new(STACK_ID, &opts, &stack->registry);
	if (rc < 0)
		return rc;
	stack->consumers = (struct cu_consumers){ stack->actors, stack->registry, stack->shapes };
	cu_stack_config_put(STACK_ID, CU_CONFIG_ENABLE_SUSPEND, stack->opts.enable_suspend);
	cu_stack_config_put(STACK_ID, CU_CONFIG_HIBERNATE_AFTER, stack->opts.hibernate_after_ms);
	cu_stack_config_put(STACK_ID, CU_CONFIG_SUSPEND_AFTER, stack->opts.suspend_after_ms);
	return 0;
}

static int start_sealer(struct cu_stack *stack)
{
	struct cu_sealer_opts opts = {
		.stack_id = STACK_ID,
		.shapes = stack->shapes,
		.store = stack->store,
		.log_bytes_max = stack->opts.change_log_bytes_max,
	};
	int rc;

	/* Only whole segments can be dropped. */
	cu_changelog_limit_segments(cu_store_changelog(stack->store),
				    (size_t)CU_MIN(opts.log_bytes_max / 4, (uint64_t)CU_SEGMENT_BYTES));
	rc = cu_sealer_start(&opts, &stack->sealer);
	if (rc == 0)
		cu_sealer_checkpoint(stack->sealer, stack->checkpoint.log_pos);
	return rc;
}

static int start_postgres(struct cu_stack *stack)
{
	struct cu_replication_opts replication = {
		.config = stack->config,
		.manual_publication = stack->opts.manual_publishing,
		.temporary_slot = stack->opts.temporary_slot,
		.idle_ms = stack->opts.idle_ms,
		.may_sleep = may_sleep,
		.resume_lsn = stack->checkpoint.lsn,
		.resume_system_id = stack->checkpoint.system_id,
		.resume_timeline = stack->checkpoint.timeline,
		.on_state = replication_state,
		.arg = stack,
	};
	struct cu_pool_opts pool = { .config = stack->config, .connections_max = stack->opts.db_pool_size };
	struct cu_pool_opts pooled = { .config = stack->pooled_config };
	struct cu_collector_opts collector = {
		.stack_id = STACK_ID,
		.store = stack->store,
		.router = stack->router,
		.registry = stack->registry,
		.shapes = stack->shapes,
		.recent = stack->recent,
		.catalog = stack->catalog,
		.checkpoint_ms = stack->opts.checkpoint_ms,
		.checkpoint = stack->checkpoint,
		.storage_lost = storage_lost,
		.ancestors = ancestors_of,
		.ctx = stack,
	};
	int rc = 0;

	if (stack->opts.temporary_slot && stack->opts.random_slot_name)
		rc = cu_database_random_slot(&stack->names);
	if (rc < 0)
		return rc;
	replication.names = stack->names;
	if (stack->opts.temporary_slot && stack->opts.idle_ms)
		cu_warn("the connections stay open: a temporary slot would not outlive them");
	if (stack->pooled_config) {
		pool.connections_max = CU_MIN(CU_MAX(stack->opts.db_pool_size / 4, 1u), POOL_BESIDE_POOLED);
		pooled.connections_max = stack->opts.db_pool_size - pool.connections_max;
	}
	if (rc == 0)
		rc = cu_pool_new(&pool, &stack->pool);
	if (rc == 0 && stack->pooled_config)
		rc = cu_pool_new(&pooled, &stack->pooled);
	if (rc == 0)
		rc = cu_replication_new(&replication, &stack->replication);
	if (rc < 0)
		return rc;
	stack->snapshots = cu_snapshots_new(&(struct cu_snapshot_env){
		.shapes = stack->shapes,
		.store = stack->store,
		.router = stack->router,
		.publication = stack->publication,
		.catalog = stack->catalog,
		.recent = stack->recent,
		.pool = stack->pooled ? stack->pooled : stack->pool,
		.owner_pool = stack->pooled ? stack->pool : NULL,
		.chunk_bytes = stack->opts.chunk_bytes,
	});
	rc = start_sealer(stack);
	if (rc < 0)
		return rc;
	collector.sealer = stack->sealer;
	collector.replication = stack->replication;
	collector.publication = stack->publication;
	rc = cu_collector_start(&collector, &stack->collector);
	return rc < 0 ? rc : cu_replication_start(stack->replication);
}

static int start_table_watch(struct cu_stack *stack)
{
	struct cu_table_watch_opts opts = {
		.pool = stack->pool,
		.shapes = stack->shapes,
		.catalog = stack->catalog,
		.publication = stack->publication,
		.metadata = cu_store_metadata(stack->store),
		.period_ms = stack->opts.publication_refresh_ms,
		.not_now = not_now,
		.ctx = stack,
	};

	return cu_table_watch_start(&opts, &stack->table_watch);
}

static void retain(void *ctx)
{
	struct cu_stack *stack = ctx;

	cu_retention_run(stack->retention, cu_now_ms());
}

static int start_retention(struct cu_stack *stack)
{
	struct cu_retention_opts opts = {
		.shapes = stack->shapes,
		.store = stack->store,
		.shapes_max = stack->opts.max_shapes,
		.bytes_max = stack->opts.max_storage_bytes,
		.idle_ms_max = stack->opts.shape_max_idle_ms,
	};

	if (!opts.shapes_max && !opts.bytes_max && !opts.idle_ms_max)
		return 0;
	stack->retention = cu_retention_new(&opts);
	return cu_ticker_start("retention", CU_RETENTION_CHECK_MS, retain, stack, &stack->retention_ticker);
}

static void stop_retention(struct cu_stack *stack)
{
	cu_ticker_stop(&stack->retention_ticker);
	if (stack->retention)
		cu_retention_save(stack->retention);
	cu_retention_free(&stack->retention);
}

static void trim_memory(void *ctx)
{
	(void)ctx;
	malloc_trim(0);
}

static void wake_everywhere(void *ctx, cu_shape *shape)
{
	shape_woken(ctx, shape->id, CU_HTTP_ALL_LOOPS);
}

static enum cu_api_health health_idle(void *ctx)
{
	struct cu_stack *stack = ctx;

	return atomic_load(&stack->waits) ? CU_API_WAITING : CU_API_LOADING;
}

static void on_request(void *ctx, cu_http_request *req)
{
	struct cu_stack *stack = ctx;
	cu_api *api = atomic_load(&stack->api);

	cu_api_on_request(api ? api : stack->idle_api, req);
}

/* Requests that came before it was known who answers them. */
static void answer_held(struct cu_stack *stack)
{
	cu_http_wake(atomic_load(&stack->http), CU_API_LOADED_KEY, CU_HTTP_ALL_LOOPS);
}

static void on_wave_end(void *ctx, cu_http_loop *loop, uint64_t key)
{
	struct cu_stack *stack = ctx;
	cu_api *api = atomic_load(&stack->api);

	if (api)
		cu_api_on_wave_end(api, loop, key);
}

static bool active_peer(void *ctx, struct cu_api_peer *ret_peer)
{
	struct cu_stack *stack = ctx;

	return atomic_load(&stack->waits) && cu_peer_find(stack->opts.storage_dir, ret_peer);
}

/* The api until everything runs. */
static void make_idle_api(struct cu_stack *stack)
{
	const struct cu_stack_opts *opts = &stack->opts;
	struct cu_api_opts api = {
		.health = health_idle,
		.again = on_request,
		.active_peer = active_peer,
		.instance = stack->instance,
		.ctx = stack,
		.long_poll_ms = opts->long_poll_ms,
		.headers = { opts->cache_max_age_s, opts->cache_stale_age_s, opts->long_poll_ms, opts->sse_timeout_ms },
		.secret = opts->secret,
		.allow_shape_deletion = opts->allow_shape_deletion,
		.max_requests_initial = opts->max_requests_initial,
		.max_requests_existing = opts->max_requests_existing,
	};

	stack->idle_api = cu_api_new(&api);
}

static void make_api(struct cu_stack *stack)
{
	const struct cu_stack_opts *opts = &stack->opts;
	struct cu_api_opts api = {
		.shapes = stack->shapes,
		.store = stack->store,
		.catalog = stack->catalog,
		.pool = stack->pool,
		.collector = stack->collector,
		.snapshots = stack->snapshots,
		.checks = stack->checks,
		.storage_dir = opts->storage_dir,
		.health = health,
		.generated_in_stream = generated_in_stream,
		.touch = touch,
		.instance = stack->instance,
		.ctx = stack,
		.headers = { opts->cache_max_age_s, opts->cache_stale_age_s, opts->long_poll_ms, opts->sse_timeout_ms },
		.secret = opts->secret,
		.compression = opts->compression,
		.allow_shape_deletion = opts->allow_shape_deletion,
		.long_poll_ms = opts->long_poll_ms,
		.max_requests_initial = opts->max_requests_initial,
		.max_requests_existing = opts->max_requests_existing,
	};

	atomic_store(&stack->api, cu_api_new(&api));
	answer_held(stack);
	/* Readers may have parked already, and what they wait for may have happened, before anybody could wake them. */
	cu_shape_set_each(stack->shapes, wake_everywhere, stack);
}

static int start_http(struct cu_stack *stack)
{
	const struct cu_stack_opts *opts = &stack->opts;
	struct cu_http_opts http = {
		.host = opts->host,
		.port = (uint16_t)opts->port,
		.loops = opts->http_loops,
		.idle_ms = opts->idle_timeout_ms,
		.send_stall_ms = opts->send_timeout_ms,
		.mark = stack->mark,
		.handlers = { .on_request = on_request, .on_wave_end = on_wave_end },
		.ctx = stack,
	};
	cu_http_server *server = NULL;
	int rc;

	snprintf(stack->mark, sizeof stack->mark, CU_API_RELAYED ": %s\r\n", stack->instance);
	rc = cu_http_server_start(&http, &server);
	if (rc == 0)
		atomic_store(&stack->http, server);
	return rc;
}

/* Everything but HTTP, which answers meanwhile. CU_EBUSY: another process has the directory; nothing has been done. */
static int run_all(struct cu_stack *stack)
{
	int rc = open_store(stack);

	if (atomic_exchange(&stack->waits, rc == CU_EBUSY) != (rc == CU_EBUSY))
		answer_held(stack);
	if (rc < 0)
		return rc;
	rc = start_consumers(stack);
	if (rc == 0)
		rc = cu_catalog_new(0, &stack->catalog);
	if (rc == 0)
		rc = start_postgres(stack);
	if (rc == 0)
		rc = start_table_watch(stack);
	if (rc == 0)
		rc = cu_chunk_checks_start(stack->shapes, stack->store, &stack->checks);
	if (rc == 0)
		rc = start_retention(stack);
	if (rc == 0)
		rc = cu_ticker_start("memory", CU_MEMORY_TRIM_MS, trim_memory, NULL, &stack->memory_ticker);
	if (rc == 0)
		make_api(stack);
	return rc == CU_EBUSY ? CU_EIO : rc;
}

int cu_stack_take_over(cu_stack *stack)
{
	int rc;

	CU_ASSERT(cu_stack_waits(stack));
	rc = run_all(stack);
	if (rc == 0)
		cu_info("the storage directory is free: taken over", CU_KV("directory", stack->opts.storage_dir));
	return rc;
}

bool cu_stack_waits(const cu_stack *stack)
{
	return !atomic_load(&stack->api);
}

int cu_stack_start(const struct cu_stack_opts *opts, cu_stack **ret_stack)
{
	struct cu_stack *stack = cu_xzalloc(sizeof *stack);
	int rc;

	stack->opts = *opts;
	rc = cu_database_configure(opts, opts->database_url, "DATABASE_URL", &stack->config);
	if (rc == 0 && opts->pooled_database_url) {
		rc = cu_database_configure(opts, opts->pooled_database_url, "ELECTRIC_POOLED_DATABASE_URL",
					   &stack->pooled_config);
		if (rc == 0)
			cu_pg_config_set_pooled(stack->pooled_config);
	}
	if (rc < 0)
		goto out;
	rc = cu_pg_names_init(&stack->names, opts->stream_id);
	if (rc < 0)
		cu_error("the replication stream id may only have the characters a-z, 0-9 and _ and must be short",
			 CU_KV("stream_id", opts->stream_id));
	if (rc == 0)
		rc = cu_publication_new(stack->names.publication, opts->manual_publishing, 0, &stack->publication);
	if (rc == 0)
		rc = cu_peer_name(stack->instance);
	if (rc < 0)
		goto out;
	stack->shapes = new_shapes(stack);
	stack->router = cu_router_new();
	stack->recent = cu_recent_xids_new();
	make_idle_api(stack);
	rc = start_http(stack);
	if (rc == 0)
		rc = run_all(stack);
	if (rc == CU_EBUSY && atomic_load(&stack->waits)) {
		cu_info("another copper has the storage directory: waiting to take over",
			CU_KV("directory", opts->storage_dir));
		rc = 0;
	}
	if (rc < 0)
		goto out;
	*ret_stack = stack;
	stack = NULL;
out:
	cu_stack_stop(&stack);
	return rc;
}

uint16_t cu_stack_port(const cu_stack *stack)
{
	return cu_http_server_port(atomic_load(&stack->http));
}

void cu_stack_stop(cu_stack **ref)
{
	struct cu_stack *stack = *ref;
	cu_http_server *http;
	cu_api *api;

	if (!stack)
		return;
	*ref = NULL;
	http = atomic_load(&stack->http);
	if (http)
		cu_http_server_drain(http, DRAIN_GRACE_MS);
	cu_ticker_stop(&stack->memory_ticker);
	stop_retention(stack);
	/* Snapshots under way fail; their shapes are made anew when asked for. */
	if (stack->pool)
		cu_pool_stop(stack->pool);
	/* After the other, which its jobs may wait for. */
	if (stack->pooled)
		cu_pool_stop(stack->pooled);
	cu_table_watch_stop(&stack->table_watch);
	if (stack->collector)
		cu_collector_stop(stack->collector);
	if (stack->replication)
		cu_replication_stop(stack->replication);
	if (stack->actors)
		cu_actor_system_stop(stack->actors);
	cu_chunk_checks_free(&stack->checks);
	if (stack->store)
		cu_metadata_sync(cu_store_metadata(stack->store));
	/* The last checkpoint's callback and the metadata's `done` calls are over: nobody wakes any more. */
	cu_collector_free(&stack->collector);
	cu_sealer_free(&stack->sealer);
	if (stack->store && stack->published) /* who has no store has not the lock any more either */
		cu_peer_withdraw(stack->opts.storage_dir);
	cu_store_free(&stack->store);
	cu_api_stop(atomic_load(&stack->api));
	atomic_store(&stack->http, NULL);
	cu_http_server_free(&http);
	api = atomic_exchange(&stack->api, NULL);
	cu_api_free(&api);
	cu_api_free(&stack->idle_api);
	cu_replication_free(&stack->replication);
	cu_pool_free(&stack->pool);
	cu_pool_free(&stack->pooled);
	cu_snapshots_free(&stack->snapshots);
	cu_publication_free(&stack->publication);
	cu_catalog_free(&stack->catalog);
	cu_consumer_registry_free(&stack->registry);
	cu_actor_system_free(&stack->actors);
	cu_recent_xids_free(&stack->recent);
	forget_restored(stack);
	cu_shape_set_free(&stack->shapes);
	cu_router_free(&stack->router);
	cu_pg_config_free(&stack->config);
	cu_pg_config_free(&stack->pooled_config);
	free(stack->broken);
	free(stack);
}
