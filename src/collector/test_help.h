/* test_help.h: a collector without thread and connection, on a real store, fed with pgoutput messages made here.
 * Included by tests only. */
#ifndef CU_COLLECTOR_TEST_HELP_H
#define CU_COLLECTOR_TEST_HELP_H

#include "collector/internal.h"
#include "shape/log_reader.h"
#include "shape/replay.h"
#include "shape/test_help.h"
#include "store/test_help.h"

#include <pthread.h>
#include <semaphore.h>

#define HELP_STACK "collector-test"

struct world {
	char *dir;
	const struct cu_file_ops *ops;
	cu_store *store;
	cu_shape_set *set;
	cu_router *router;
	cu_actor_system *actors;
	cu_consumer_registry *registry;
	struct cu_consumers consumers;
	cu_recent_xids *recent;
	cu_catalog *catalog;
	cu_publication *publication;
	struct cu_collector *c;
	struct cu_checkpoint checkpoint; /* as loaded */
	uint32_t ancestor;               /* of LEAF_OID; 0: none */
	uint64_t lsn;                    /* of the next transaction's begin */
	cu_buf message;
};

static void world_create(void *ctx, cu_shape *shape)
{
	(void)ctx;
	(void)shape;
}

static void world_forget(void *ctx, cu_shape *shape)
{
	struct world *w = ctx;

	cu_router_remove(w->router, shape->def->oid, shape->def, &shape->route);
	cu_consumer_registry_remove(w->registry, shape->handle);
}

static void world_wake(void *ctx, uint64_t shape_id, uint64_t loops)
{
	(void)ctx;
	(void)shape_id;
	(void)loops;
}

static int world_load_checkpoint(void *ctx, const struct cu_checkpoint *checkpoint)
{
	struct world *w = ctx;

	w->checkpoint = *checkpoint;
	return 0;
}

static int world_load_definition(void *ctx, uint64_t id, const void *body, size_t len)
{
	struct world *w = ctx;

	return cu_shape_set_restore_definition(w->set, id, body, len);
}

static int world_load_shape(void *ctx, const struct cu_shape_row *row)
{
	struct world *w = ctx;

	return cu_shape_set_restore(w->set, row);
}

static void world_listen(void *ctx, cu_shape *shape)
{
	struct world *w = ctx;

	cu_router_add(w->router, shape->def->oid, shape->def, shape->def->scope, &shape->route,
		      &(struct cu_route_key){ 0 });
}

static int world_ancestors(void *ctx, uint32_t oid, uint32_t xid, uint32_t *ret_oids, unsigned max)
{
	struct world *w = ctx;

	(void)max;
	(void)xid;
	if (oid == HELP_OID || !w->ancestor)
		return 0;
	ret_oids[0] = w->ancestor;
	return 1;
}

static void world_open(struct world *w)
{
	struct cu_shape_set_opts shapes = {
		.chunk_bytes = 4000, .create = world_create, .forget = world_forget, .wake = world_wake, .ctx = w
	};
	struct cu_consumer_registry_opts registry = { .start_consumer = cu_consumers_start,
						      .remove_shapes = cu_consumers_remove_shapes,
						      .ctx = &w->consumers };
	struct cu_store_loader loader = {
		.metadata = { .ctx = w,
			      .checkpoint = world_load_checkpoint,
			      .definition = world_load_definition,
			      .shape = world_load_shape },
		.replay = cu_replay_fanout,
	};
	cu_replay replay;
	struct cu_collector *c;

	w->set = cu_shape_set_new(&shapes);
	w->router = cu_router_new();
	cu_replay_init(&replay, w->set);
	loader.replay_ctx = &replay;
	CU_ASSERT(cu_store_open(w->dir, w->ops, &loader, &w->store) == 0);
	cu_replay_fini(&replay);
	cu_shape_set_end_restore(w->set, w->store, 0);
	cu_shape_set_each(w->set, world_listen, w);
	CU_ASSERT(cu_actor_system_new(NULL, &w->actors) == 0);
	registry.system = w->actors;
	CU_ASSERT(cu_consumer_registry_new(HELP_STACK, &registry, &w->registry) == 0);
	w->consumers = (struct cu_consumers){ w->actors, w->registry, w->set };
	w->recent = cu_recent_xids_new();
	CU_ASSERT(cu_catalog_new(0, &w->catalog) == 0);
	CU_ASSERT(cu_publication_new("electric_publication_test", false, 0, &w->publication) == 0);

	/* As cu_collector_start() does, without the thread. */
	c = cu_xzalloc(sizeof *c);
	c->opts = (struct cu_collector_opts){
		.stack_id = HELP_STACK,
		.store = w->store,
		.router = w->router,
		.registry = w->registry,
		.shapes = w->set,
		.recent = w->recent,
		.publication = w->publication,
		.catalog = w->catalog,
		.checkpoint_ms = 1000,
		.checkpoint = w->checkpoint,
		.ancestors = world_ancestors,
		.ctx = w,
	};
	c->log = cu_store_changelog(w->store);
	c->saved = w->checkpoint;
	c->safe_lsn = w->checkpoint.lsn;
	c->seen_tx = w->checkpoint.last_tx;
	atomic_init(&c->last_tx, CU_MAX(w->checkpoint.last_tx, w->checkpoint.lsn));
	cu_pgoutput_decoder_init(&c->decoder);
	cu_fragment_init(&c->fragment);
	CU_ASSERT(pthread_mutex_init(&c->lock, NULL) == 0);
	CU_ASSERT(pthread_cond_init(&c->checkpoint_done, NULL) == 0);
	w->c = c;
}

static void world_close(struct world *w)
{
	cu_collector_abort(w->c);
	cu_actor_system_stop(w->actors);
	cu_metadata_sync(cu_store_metadata(w->store));
	cu_collector_free(&w->c);
	cu_store_free(&w->store);
	cu_publication_free(&w->publication);
	cu_catalog_free(&w->catalog);
	cu_consumer_registry_free(&w->registry);
	cu_actor_system_free(&w->actors);
	cu_recent_xids_free(&w->recent);
	cu_shape_set_free(&w->set);
	cu_router_free(&w->router);
}

__attribute__((unused)) static struct world *world_new(const struct cu_file_ops *ops)
{
	struct world *w = cu_xzalloc(sizeof *w);

	w->dir = help_dir_new();
	w->ops = ops;
	w->lsn = 1000;
	world_open(w);
	return w;
}

__attribute__((unused)) static void world_free(struct world *w)
{
	world_close(w);
	cu_buf_fini(&w->message);
	help_dir_free(&w->dir);
	free(w);
}

static void world_over(void *ctx, int rc)
{
	CU_ASSERT(rc == 0);
	sem_post(ctx);
}

/* Makes a checkpoint, as the collector would, then closes everything and opens it again. */
__attribute__((unused)) static void world_restart(struct world *w)
{
	struct cu_checkpoint cp = { .lsn = w->c->safe_lsn,
				    .log_pos = cu_changelog_end(w->c->log),
				    .last_tx = w->c->committed_tx,
				    .system_id = 1,
				    .timeline = 1 };
	sem_t over;

	sem_init(&over, 0, 0);
	CU_ASSERT(cu_store_checkpoint(w->store, &cp, world_over, &over) == 0);
	sem_wait(&over);
	sem_destroy(&over);
	world_close(w);
	world_open(w);
}

/* A stored, live shape that listens. where NULL: none. Returns a reference. */
__attribute__((unused)) static cu_shape *world_shape_where(struct world *w, cu_definition *def, const char *where,
							   const char *snapshot)
{
	cu_definition *entered = cu_shape_set_enter_definition(w->set, def);
	struct cu_expr_error error = { .message = CU_BUF_INIT };
	cu_expr *clause = NULL;
	cu_shape *shape;
	struct cu_snapshot_info info = { .xip = "" };
	cu_snapshot_range range;
	cu_buf xip = CU_BUF_INIT;

	CU_ASSERT(!where || cu_expr_new(entered->scope, where, strlen(where), NULL, 0, &clause, &error) == 0);
	shape = cu_shape_set_get_or_create(w->set, entered, clause);
	CU_ASSERT(cu_snapshot_range_parse(snapshot, &range) == 0);
	range.lsn = info.lsn = UINT64_MAX; /* the numbers alone decide */
	cu_snapshot_range_put_xip(&range, &xip);
	info.xmin = range.xmin;
	info.xmax = range.xmax;
	info.xip = cu_buf_str(&xip);
	CU_ASSERT(cu_metadata_set_snapshot(cu_store_metadata(w->store), shape->id, &info, NULL, NULL) == 0);
	CU_ASSERT(cu_metadata_sync(cu_store_metadata(w->store)) == 0);
	cu_buf_fini(&xip);
	cu_shape_lock(shape);
	cu_shape_set_range(shape, &range);
	shape->snapshot_complete = true;
	shape->state = CU_SHAPE_LIVE;
	cu_shape_unlock(shape);
	CU_ASSERT(cu_router_add(w->router, shape->def->oid, shape->def, shape->def->scope, &shape->route,
				&(struct cu_route_key){ 0 }) == 0);
	return shape;
}

__attribute__((unused)) static cu_shape *world_shape(struct world *w, cu_definition *def, const char *snapshot)
{
	return world_shape_where(w, def, NULL, snapshot);
}

/* The whole log of a shape, as its readers get it. Returns owned. */
__attribute__((unused)) static char *world_log(struct world *w, cu_shape *shape)
{
	cu_buf out = CU_BUF_INIT, piece = CU_BUF_INIT;
	cu_log_reader reader;
	int rc;

	cu_log_reader_init(&reader, shape, w->store, CU_OFFSET_SNAPSHOT_END, cu_shape_status(shape).latest);
	do {
		cu_buf_clear(&piece);
		rc = cu_log_reader_next_bytes(&reader, &piece);
		CU_ASSERT(rc >= 0);
		cu_buf_append(&out, piece.data, piece.len);
	} while (rc == 1);
	cu_log_reader_fini(&reader);
	cu_buf_fini(&piece);
	return cu_buf_steal(&out, NULL);
}

/* ---- pgoutput ---- */

static void put_be(cu_buf *buf, uint64_t value, unsigned bytes)
{
	while (bytes--)
		cu_buf_putc(buf, (char)(value >> 8 * bytes));
}

static void put_text(cu_buf *buf, const char *text)
{
	cu_buf_append(buf, text, strlen(text) + 1);
}

/* Values: NULL is null, "\1" is an unchanged TOAST value. */
static void put_tuple(cu_buf *buf, const char *const *values, unsigned len)
{
	put_be(buf, len, 2);
	for (unsigned i = 0; i < len; i++) {
		if (!values[i] || strcmp(values[i], "\1") == 0) {
			cu_buf_putc(buf, values[i] ? 'u' : 'n');
			continue;
		}
		cu_buf_putc(buf, 't');
		put_be(buf, strlen(values[i]), 4);
		cu_buf_puts(buf, values[i]);
	}
}

static int send_message(struct world *w)
{
	/* Memory of its own, so that ASan sees what outlives the call. */
	uint8_t *bytes = cu_xmemdup(w->message.data, w->message.len);
	int rc = cu_collector_message(w->c, bytes, w->message.len);

	free(bytes);
	cu_buf_clear(&w->message);
	return rc;
}

__attribute__((unused)) static int send_begin(struct world *w, uint32_t xid)
{
	cu_buf_putc(&w->message, 'B');
	put_be(&w->message, w->lsn, 8);
	put_be(&w->message, 0, 8);
	put_be(&w->message, xid, 4);
	return send_message(w);
}

/* The next transaction begins 100 bytes further on. */
__attribute__((unused)) static int send_commit(struct world *w)
{
	cu_buf_puts(&w->message, "C");
	put_be(&w->message, 0, 1);
	put_be(&w->message, w->lsn, 8);
	put_be(&w->message, w->lsn + 50, 8);
	put_be(&w->message, 0, 8);
	w->lsn += 100;
	return send_message(w);
}

struct column {
	const char *name;
	uint32_t type;
	int32_t typmod;
};

static const struct column items_columns[] = { { "id", 23, -1 }, { "name", 25, -1 }, { "note", 1043, 14 } };

__attribute__((unused)) static int send_relation_of(struct world *w, uint32_t oid, const char *name, char identity,
						    const struct column *columns, unsigned len)
{
	cu_buf *m = &w->message;

	cu_buf_putc(m, 'R');
	put_be(m, oid, 4);
	put_text(m, "public");
	put_text(m, name);
	cu_buf_putc(m, identity);
	put_be(m, len, 2);
	for (unsigned i = 0; i < len; i++) {
		put_be(m, 1, 1);
		put_text(m, columns[i].name);
		put_be(m, columns[i].type, 4);
		put_be(m, (uint32_t)columns[i].typmod, 4);
	}
	return send_message(w);
}

__attribute__((unused)) static int send_relation(struct world *w, uint32_t oid)
{
	return send_relation_of(w, oid, "items", 'f', items_columns, 3);
}

/* old_row NULL: an insert; new_row NULL: a delete. */
__attribute__((unused)) static int send_change(struct world *w, uint32_t oid, const char *const *old_row,
					       const char *const *new_row, char old_kind)
{
	cu_buf *m = &w->message;

	cu_buf_putc(m, !old_row && old_kind == 'O' ? 'I' : new_row ? 'U' : 'D');
	put_be(m, oid, 4);
	if (old_row) {
		cu_buf_putc(m, old_kind);
		put_tuple(m, old_row, 3);
	}
	if (new_row) {
		cu_buf_putc(m, 'N');
		put_tuple(m, new_row, 3);
	}
	return send_message(w);
}

#define ROW(...) ((const char *const[]){ __VA_ARGS__ })
#define INSERT(w, oid, ...) assert_int_equal(send_change(w, oid, NULL, ROW(__VA_ARGS__), 'O'), 0)
#define DELETE(w, oid, ...) assert_int_equal(send_change(w, oid, ROW(__VA_ARGS__), NULL, 'O'), 0)
#define UPDATE(w, oid, old_row, new_row) assert_int_equal(send_change(w, oid, old_row, new_row, 'O'), 0)
#define BEGIN(w, xid) assert_int_equal(send_begin(w, xid), 0)
#define COMMIT(w) assert_int_equal(send_commit(w), 0)

__attribute__((unused)) static int send_truncate(struct world *w, uint32_t oid)
{
	cu_buf_putc(&w->message, 'T');
	put_be(&w->message, 1, 4);
	put_be(&w->message, 0, 1);
	put_be(&w->message, oid, 4);
	return send_message(w);
}

#endif
