/* table_watch.c: the tables of all shapes, looked up by oid. Shapes whose table is not there under its name, or has not been published
 * all the time, and those that its columns do not fit any more, are removed. */
#include "stack/table_watch.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/ticker.h"
#include "shape/table_shapes.h"
#include "stack/rewrites.h"

#include <pthread.h>
#include <stdlib.h>

#define TICK_MS 500u
#define LOOK_KEY "tables_last_look"

/* A definition that shapes had before the database was asked (each had its table then), and what was known of it. */
struct asked {
	cu_definition *def;
	struct cu_publication_version version;
	const char *why; /* its shapes have to go; NULL: they stay */
};

struct asked_list {
	struct asked *list;
	size_t len;
	uint64_t mark; /* shapes that were made after the look began are not judged by it */
};

struct cu_table_watch {
	struct cu_table_watch_opts opts;
	cu_ticker *ticker;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool asking;           /* under lock: a question is on its way */
	uint64_t due_ms;       /* of the ticker: the next look */
	cu_rewrites *rewrites; /* of the job that asks */
};

static int by_oid(const void *a, const void *b)
{
	const struct asked *x = a, *y = b;

	return (x->def->oid > y->def->oid) - (x->def->oid < y->def->oid);
}

static void asked_init(struct asked_list *asked, const struct cu_table_watch *watch)
{
	cu_definition **defs;

	asked->mark = cu_table_shapes_mark(watch->opts.shapes);
	asked->len = cu_shape_set_definitions(watch->opts.shapes, &defs);
	asked->list = cu_xzalloc(asked->len * sizeof *asked->list);
	for (size_t i = 0; i < asked->len; i++) {
		asked->list[i].def = defs[i];
		cu_publication_version_get(watch->opts.publication, defs[i]->oid, &asked->list[i].version);
	}
	if (asked->len)
		qsort(asked->list, asked->len, sizeof *asked->list, by_oid);
	free(defs);
}

static void asked_fini(struct asked_list *asked)
{
	for (size_t i = 0; i < asked->len; i++)
		cu_definition_unref(&asked->list[i].def);
	free(asked->list);
}

static int query(const struct cu_table_watch *watch, PGconn *conn, const struct asked_list *asked,
		 PGresult **ret_result)
{
	cu_buf sql = CU_BUF_INIT;
	struct cu_pg_error err;
	uint32_t last = 0;
	int rc;

	cu_buf_puts(&sql, "SELECT c.oid, n.nspname, c.relname, ");
	cu_publication_put_version(watch->opts.publication, PQserverVersion(conn), "c.oid", &sql);
	cu_buf_printf(&sql, ", %s", cu_rewrites_sql);
	cu_buf_puts(&sql, " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
			  "WHERE c.oid = ANY ('{");
	for (size_t i = 0; i < asked->len; i++) {
		uint32_t oid = asked->list[i].def->oid;

		if (oid != last)
			cu_buf_printf(&sql, "%s%" PRIu32, last ? "," : "", oid);
		last = oid;
	}
	cu_buf_puts(&sql, "}'::oid[]) ORDER BY c.oid");
	rc = cu_pg_exec(conn, cu_buf_str(&sql), ret_result, &err);
	if (rc < 0)
		cu_warn("the database could not be asked about the shapes' tables", CU_KV("error", err.message),
			CU_KV("next", "asking again"));
	cu_buf_fini(&sql);
	return rc;
}

static void look_at_snapshot(void *ctx, cu_shape *shape)
{
	bool *complete = ctx;

	*complete |= cu_shape_status(shape).snapshot_complete;
}

/* Only then must its table have been published; others may be about to join theirs. */
static bool has_snapshots(struct cu_table_watch *watch, const cu_definition *def)
{
	bool complete = false;

	cu_shape_set_each_of(watch->opts.shapes, def, look_at_snapshot, &complete);
	return complete;
}

/* Has the table been published all the time? Of one that was forgotten meanwhile nothing is known at first: it is noted. */
static void compare_version(struct cu_table_watch *watch, struct asked *asked,
			    const struct cu_publication_version *found)
{
	struct cu_publication_version now;

	cu_publication_version_get(watch->opts.publication, asked->def->oid, &now);
	if (strcmp(now.text, asked->version.text) != 0)
		return; /* it joined, or was forgotten, while the database was asked */
	if (*now.text && strcmp(now.text, found->text) == 0)
		return;
	if (!*now.text && *found->text) {
		cu_publication_version_note(watch->opts.publication, asked->def->oid, found);
		return;
	}
	if (*now.text || has_snapshots(watch, asked->def))
		asked->why =
			"its table left the publication, or its partitions or the publication's options changed, be it for a moment";
}

/* Both sides are in the order of the oids. */
static void compare(struct cu_table_watch *watch, struct asked_list *asked, const PGresult *found)
{
	int row = 0, rows = PQntuples(found);

	for (size_t i = 0; i < asked->len; i++) {
		const cu_definition *def = asked->list[i].def;
		struct cu_publication_version version;
		uint32_t oid = 0;

		for (; row < rows; row++) {
			oid = (uint32_t)strtoul(PQgetvalue(found, row, 0), NULL, 10);
			if (oid >= def->oid)
				break;
		}
		if (row == rows || oid != def->oid) {
			asked->list[i].why = "its table was dropped";
		} else if (strcmp(PQgetvalue(found, row, 1), def->schema) != 0 ||
			   strcmp(PQgetvalue(found, row, 2), def->name) != 0) {
			asked->list[i].why = "its table has another name now";
		} else {
			cu_publication_version_set(&version, PQgetvalue(found, row, 3));
			compare_version(watch, &asked->list[i], &version);
		}
	}
}

/* Does the shape depend on a column whose values were rewritten? */
static bool is_rewritten(const struct cu_table_watch *watch, const cu_definition *def, const char *where)
{
	for (unsigned i = 0; i < def->columns_len; i++) {
		const struct cu_definition_column *column = &def->columns[i];

		if (cu_definition_needs(def, i, where) &&
		    cu_rewrites_has_column(watch->rewrites, def->oid, column->name, column->type_oid, column->typmod))
			return true;
	}
	return false;
}

struct removal {
	const struct cu_table_watch *watch;
	uint64_t mark;
};

static void remove_if_rewritten(void *ctx, cu_shape *shape)
{
	const struct removal *removal = ctx;

	if (shape->id <= removal->mark && is_rewritten(removal->watch, shape->def, shape->route.where))
		cu_shape_set_remove(removal->watch->opts.shapes, shape, "a column of its table was rewritten", NULL);
}

/* The stream says nothing of it; rows that were not changed since would stay as they were. */
static void remove_rewritten(struct cu_table_watch *watch, const struct asked_list *asked)
{
	for (size_t i = 0; i < asked->len; i++) {
		struct removal removal = { watch, asked->mark };

		/* Looking for the shapes is a walk over all that there are. */
		if (!asked->list[i].why && cu_rewrites_has_table(watch->rewrites, asked->list[i].def->oid))
			cu_shape_set_each_of(watch->opts.shapes, asked->list[i].def, remove_if_rewritten, &removal);
	}
}

/* The stream says so with the table's next change, which may be long in coming. Negative: the database could not be asked. */
static int remove_altered(struct cu_table_watch *watch, PGconn *conn, const struct asked_list *asked)
{
	struct cu_pg_error err;
	uint32_t last = 0;
	int rc = 0;

	for (size_t i = 0; i < asked->len && rc == 0; i++) {
		uint32_t oid = asked->list[i].def->oid;
		struct cu_table *table = NULL;

		if (oid == last || asked->list[i].why || !cu_rewrites_may_have_other_columns(watch->rewrites, oid))
			continue;
		last = oid;
		rc = cu_catalog_refresh(watch->opts.catalog, conn, oid, &table, &err);
		if (rc == 0)
			cu_table_shapes_compare(watch->opts.shapes, table, asked->mark);
		else if (rc == CU_ENOTFOUND)
			rc = 0; /* dropped this moment: the next look says so */
		cu_table_unref(&table);
	}
	return rc;
}

/* The next one, be it after a restart, is compared with it. */
static void end_look(struct cu_table_watch *watch)
{
	cu_buf bytes = CU_BUF_INIT;

	if (cu_rewrites_end(watch->rewrites)) {
		cu_rewrites_put(watch->rewrites, &bytes);
		if (!cu_buf_failed(&bytes))
			(void)cu_metadata_set(watch->opts.metadata, LOOK_KEY, bytes.data, bytes.len, NULL, NULL);
	}
	cu_buf_fini(&bytes);
}

static void restore_look(struct cu_table_watch *watch)
{
	cu_buf bytes = CU_BUF_INIT;

	if (cu_metadata_get(watch->opts.metadata, LOOK_KEY, &bytes) == 0)
		cu_rewrites_restore(watch->rewrites, bytes.data, bytes.len);
	cu_buf_fini(&bytes);
}

static void look_at_columns(struct cu_table_watch *watch, PGconn *conn, const struct asked_list *asked,
			    const PGresult *found)
{
	for (int row = 0; row < PQntuples(found); row++)
		cu_rewrites_note(watch->rewrites, (uint32_t)strtoul(PQgetvalue(found, row, 0), NULL, 10),
				 PQgetvalue(found, row, 4), PQgetvalue(found, row, 5));
	/* First: what is made anew then is made of what the table is now. */
	if (remove_altered(watch, conn, asked) == 0) {
		remove_rewritten(watch, asked);
		end_look(watch);
	} else {
		cu_rewrites_cancel(watch->rewrites);
	}
}

/* All are forgotten first: several definitions may be of one table, and one made anew meanwhile has to join it again. */
static void remove_shapes(struct cu_table_watch *watch, const struct asked_list *asked)
{
	uint64_t mark;

	for (size_t i = 0; i < asked->len; i++) {
		if (!asked->list[i].why)
			continue;
		cu_warn("a table cannot be followed any more: its shapes are removed",
			CU_KV("schema", asked->list[i].def->schema), CU_KV("table", asked->list[i].def->name),
			CU_KV("why", asked->list[i].why),
			CU_KV("next", "their readers refetch, if the table is there"));
		cu_catalog_invalidate(watch->opts.catalog, asked->list[i].def->oid);
		cu_publication_forget(watch->opts.publication, asked->list[i].def->oid);
	}
	/* Not only those of before the look: whoever came before the table was forgotten took it for published. */
	mark = cu_table_shapes_mark(watch->opts.shapes);
	for (size_t i = 0; i < asked->len; i++) {
		if (asked->list[i].why)
			cu_table_shapes_remove(watch->opts.shapes, asked->list[i].def, mark, asked->list[i].why);
	}
}

static void run_check(PGconn *conn, const struct cu_pg_error *err, void *arg)
{
	struct cu_table_watch *watch = arg;
	struct asked_list asked;
	PGresult *found = NULL;

	(void)err;
	if (conn) {
		asked_init(&asked, watch);
		if (asked.len && query(watch, conn, &asked, &found) == 0) {
			compare(watch, &asked, found);
			remove_shapes(watch, &asked);
			look_at_columns(watch, conn, &asked, found);
			cu_debug("the shapes' tables were looked at", CU_KV_U64("definitions", asked.len));
		}
		PQclear(found);
		asked_fini(&asked);
	}
	pthread_mutex_lock(&watch->lock);
	watch->asking = false;
	pthread_cond_signal(&watch->cond);
	pthread_mutex_unlock(&watch->lock);
}

/* One question at a time: a database that takes long to answer is not asked twice. */
static void ask(void *ctx)
{
	cu_table_watch *watch = ctx;
	bool asks;

	if (cu_now_ms() < watch->due_ms || watch->opts.not_now(watch->opts.ctx))
		return;
	watch->due_ms = cu_now_ms() + watch->opts.period_ms;
	pthread_mutex_lock(&watch->lock);
	asks = !watch->asking && cu_shape_set_len(watch->opts.shapes) > 0;
	if (asks)
		watch->asking = true;
	pthread_mutex_unlock(&watch->lock);
	if (!asks || cu_pool_submit(watch->opts.pool, CU_POOL_SHORT, run_check, watch) == 0)
		return;
	pthread_mutex_lock(&watch->lock);
	watch->asking = false;
	pthread_mutex_unlock(&watch->lock);
}

static void watch_free(cu_table_watch *watch)
{
	pthread_cond_destroy(&watch->cond);
	pthread_mutex_destroy(&watch->lock);
	cu_rewrites_free(&watch->rewrites);
	free(watch);
}

int cu_table_watch_start(const struct cu_table_watch_opts *opts, cu_table_watch **ret_watch)
{
	cu_table_watch *watch = cu_xzalloc(sizeof *watch);
	int rc;

	watch->opts = *opts;
	watch->rewrites = cu_rewrites_new();
	CU_ASSERT(pthread_mutex_init(&watch->lock, NULL) == 0);
	CU_ASSERT(pthread_cond_init(&watch->cond, NULL) == 0);
	restore_look(watch);
	rc = cu_ticker_start("table watch", CU_MIN(opts->period_ms, TICK_MS), ask, watch, &watch->ticker);
	if (rc < 0)
		watch_free(watch);
	else
		*ret_watch = watch;
	return rc;
}

void cu_table_watch_stop(cu_table_watch **ref)
{
	cu_table_watch *watch = *ref;

	if (!watch)
		return;
	*ref = NULL;
	cu_ticker_stop(&watch->ticker);
	pthread_mutex_lock(&watch->lock);
	while (watch->asking)
		pthread_cond_wait(&watch->cond, &watch->lock);
	pthread_mutex_unlock(&watch->lock);
	watch_free(watch);
}
