/* transaction.c: pgoutput messages → the open transaction → fragments.
 *
 * The router's read lock is taken with the first message of a batch that needs it and given back before anything is
 * delivered or removed: removing a shape takes the write lock.
 */
#include "collector/internal.h"

#include "base/log.h"
#include "base/mutant.h"

#include <stdlib.h>

static void lock_router(struct cu_collector *c)
{
	if (c->router_locked)
		return;
	cu_router_read_lock(c->opts.router);
	c->router_locked = true;
	c->look++;
}

void cu_collector_unlock_router(struct cu_collector *c)
{
	if (c->router_locked)
		cu_router_read_unlock(c->opts.router);
	c->router_locked = false;
}

void cu_collector_doom(struct cu_collector *c, cu_shape *shape, const char *why)
{
	if (shape->doomed)
		return; /* by an earlier change of the fragment: there may be thousands */
	shape->doomed = true;
	if (c->doomed_len == c->doomed_cap) {
		c->doomed_cap = c->doomed_cap ? c->doomed_cap * 2 : 16;
		c->doomed = cu_xrealloc(c->doomed, c->doomed_cap * sizeof *c->doomed);
	}
	c->doomed[c->doomed_len++] = (struct cu_doomed){ cu_shape_ref(shape), why };
}

struct dooming {
	struct cu_collector *c;
	const char *why;
};

static void doom_listener(void *ctx, cu_shape *shape)
{
	const struct dooming *dooming = ctx;
	struct cu_collector *c = dooming->c;

	if (shape->route.listed && !cu_shape_holds(shape, c->tx.xid, c->tx.tx))
		cu_collector_doom(c, shape, dooming->why);
}

/* Dooms the shapes of a group that do not hold this transaction already. Every change of a table that does not fit comes
 * here, and looking for the shapes is a walk over all that there are: once per look is enough. */
static void doom_group(struct cu_collector *c, const struct cu_router_group *group, const char *why)
{
	struct dooming dooming = { c, why };
	cu_definition *def = cu_router_group_key(group);

	if (def->doomed == c->look)
		return;
	def->doomed = c->look;
	cu_shape_set_each_of(c->opts.shapes, def, doom_listener, &dooming);
}

/* Calls back for the groups of a relation: of the table itself and of its partitioned ancestors. */
#define EACH_GROUP(c, relation, group)                                                                               \
	for (unsigned r_ = 0; r_ < (relation)->route_len; r_++)                                                      \
		for (struct cu_router_group *group = cu_router_groups((c)->opts.router, (relation)->route_oids[r_]); \
		     group; group = cu_router_group_next(group))

/* Dooms every shape that listens to the relation and does not hold this transaction already. */
static void doom_listeners(struct cu_collector *c, const struct cu_relation *relation, const char *why)
{
	lock_router(c);
	EACH_GROUP(c, relation, group)
	doom_group(c, group, why);
}

static int on_begin(struct cu_collector *c, const struct cu_pgoutput_msg *msg)
{
	int rc = cu_collector_compare_history(c, msg->u.begin.final_lsn);

	if (rc < 0)
		return rc;
	c->tx = (struct cu_transaction){
		.open = true,
		.skip = msg->u.begin.final_lsn < c->safe_lsn && !CU_MUTANT(TRANSACTION_TWICE),
		.tx = msg->u.begin.final_lsn,
		.xid = msg->u.begin.xid,
	};
	lock_router(c);
	c->look++; /* shapes that hold the transaction before may not hold this one */
	if (!c->tx.skip)
		cu_recent_xids_push(c->opts.recent, c->tx.xid);
	return 0;
}

struct missing {
	struct cu_collector *c;
	const cu_shape_view *view;
};

static void doom_if_it_misses(void *ctx, cu_shape *shape)
{
	const struct missing *missing = ctx;
	struct dooming dooming = { missing->c, "a column of its where clause was dropped or changed" };

	if (cu_shape_view_misses(missing->view, shape->def, shape->route.where))
		doom_listener(&dooming, shape);
}

static int on_relation(struct cu_collector *c, const struct cu_pgoutput_relation *message)
{
	uint32_t ancestors[CU_ANCESTORS_MAX];
	struct cu_relation *relation;
	bool changed;
	int n;

	cu_collector_unlock_router(c);
	n = c->opts.ancestors(c->opts.ctx, message->oid, c->tx.xid, ancestors, CU_ANCESTORS_MAX);
	if (n < 0)
		return n;
	relation = cu_relations_put(&c->relations, message, ancestors, (unsigned)n, &changed);
	for (unsigned r = 0; changed && r < relation->route_len; r++)
		cu_catalog_invalidate(c->opts.catalog, relation->route_oids[r]);
	if (c->tx.skip)
		return 0;
	if (relation->replica_identity != 'f') {
		/* Old rows would be missing. The next request for the table joins it to the publication anew. */
		for (unsigned r = 0; r < relation->route_len; r++)
			cu_publication_forget(c->opts.publication, relation->route_oids[r]);
		doom_listeners(c, relation, "the table lost REPLICA IDENTITY FULL");
		return 0;
	}
	lock_router(c);
	EACH_GROUP(c, relation, group)
	{
		cu_definition *def = cu_router_group_key(group);
		const char *why;
		const cu_shape_view *view = cu_shape_view_of(def, relation, &why);

		if (!view)
			doom_group(c, group, why);
		else if (!cu_shape_view_is_complete(view))
			cu_shape_set_each_of(c->opts.shapes, def, doom_if_it_misses, &(struct missing){ c, view });
	}
	return 0;
}

/* The rows of a change: as they came; in the fragment once somebody wants them; and the same as one group's definition
 * has its columns. */
struct rows {
	const struct cu_pgoutput_change *change;
	const uint8_t *wire;
	size_t wire_len;
	const char *copy; /* of the wire bytes, in the fragment; NULL: nobody has asked for them */
	const struct cu_pg_value *old_row, *new_row; /* in the group's order; NULL: there is none */
	const struct cu_pg_value *old_kept,
		*new_kept; /* … in the fragment; NULL as long as nobody in the group wants them */
};

/* Room for one row in another order than the stream's. */
static struct cu_pg_value *row_buffer(struct cu_pg_value **buffer, size_t *cap, size_t len)
{
	if (len > *cap) {
		struct cu_pg_value *larger = cu_try_realloc(*buffer, len * sizeof *larger);

		if (!larger)
			return NULL;
		*buffer = larger;
		*cap = len;
	}
	return *buffer;
}

/* Puts the rows into the group's order. */
static int view_rows(struct cu_collector *c, const cu_shape_view *view, const cu_definition *def, struct rows *rows)
{
	const struct cu_pgoutput_change *change = rows->change;
	struct cu_pg_value *buffer;

	rows->old_kept = rows->new_kept = NULL;
	rows->old_row = change->old_n ? change->old_row : NULL;
	rows->new_row = change->new_n ? change->new_row : NULL;
	if (cu_shape_view_is_identity(view))
		return 0;
	buffer = row_buffer(&c->view_buffer, &c->view_buffer_cap, 2 * (size_t)def->columns_len);
	if (!buffer)
		return CU_ENOMEM;
	if (rows->old_row) {
		cu_shape_view_row(view, rows->old_row, buffer);
		rows->old_row = buffer;
	}
	if (rows->new_row) {
		cu_shape_view_row(view, rows->new_row, buffer + def->columns_len);
		rows->new_row = buffer + def->columns_len;
	}
	return 0;
}

/* The first shape of the group wants the rows: they go into the fragment. */
static int keep_rows(struct cu_collector *c, const cu_definition *def, struct rows *rows)
{
	if (rows->old_kept || rows->new_kept)
		return 0;
	if (!rows->copy)
		rows->copy = cu_arena_copy(&c->fragment.arena, rows->wire, rows->wire_len);
	if (!rows->copy)
		return CU_ENOMEM;
	if (rows->old_row) {
		rows->old_kept = cu_fragment_row(&c->fragment, rows->old_row, def->columns_len, rows->wire, rows->copy);
		if (!rows->old_kept)
			return CU_ENOMEM;
	}
	if (rows->new_row) {
		rows->new_kept = cu_fragment_row(&c->fragment, rows->new_row, def->columns_len, rows->wire, rows->copy);
		if (!rows->new_kept)
			return CU_ENOMEM;
	}
	return 0;
}

static int touch(struct cu_collector *c, const struct cu_router_match *match, struct rows *rows, uint64_t op)
{
	cu_shape *shape = cu_shape_of_route(match->route);
	int rc;

	/* A transaction that the snapshot holds may carry the table's older form: nothing of it concerns us. */
	if (!shape->event && cu_shape_holds(shape, c->tx.xid, c->tx.tx))
		return 0;
	if (match->failed) {
		if (!shape->doomed)
			cu_warn("a where clause fails for a row, as it would in Postgres; its shape is removed",
				CU_KV("handle", shape->handle), CU_KV("table", shape->def->name),
				CU_KV("error", match->error->message), CU_KV_LSN("transaction", c->tx.tx));
		cu_collector_doom(c, shape, "its where clause failed for a row");
		return 0;
	}
	rc = keep_rows(c, shape->def, rows);
	if (rc == 0)
		rc = cu_fragment_touch(&c->fragment, shape, c->tx.tx, c->tx.xid, op,
				       match->old_in ? rows->old_kept : NULL, match->new_in ? rows->new_kept : NULL);
	return rc;
}

/* The change as the shapes of one group see it. */
static int touch_group(struct cu_collector *c, const struct cu_relation *relation, struct cu_router_group *group,
		       struct rows *rows, uint64_t op)
{
	cu_definition *def = cu_router_group_key(group);
	const struct cu_pgoutput_change *change = rows->change;
	const struct cu_router_match *matches;
	const char *why;
	const cu_shape_view *view = cu_shape_view_of(def, relation, &why);
	size_t len;
	int rc;

	if (!view || (change->new_n ? change->new_n : change->old_n) != relation->columns_len) {
		doom_group(c, group, view ? "a row does not fit its table's description" : why);
		return 0;
	}
	rc = view_rows(c, view, def, rows);
	if (rc == 0)
		rc = cu_router_match(c->opts.router, group, rows->old_row, rows->new_row, &matches, &len);
	for (size_t i = 0; rc == 0 && i < len; i++) {
		if (i + CU_SHAPES_AHEAD < len)
			cu_shape_prefetch(cu_shape_of_route(matches[i + CU_SHAPES_AHEAD].route));
		rc = touch(c, &matches[i], rows, op);
	}
	return rc;
}

static int on_change(struct cu_collector *c, const struct cu_pgoutput_msg *msg, const uint8_t *data, size_t len)
{
	const struct cu_pgoutput_change *change = &msg->u.change;
	const struct cu_relation *relation = cu_relations_get(&c->relations, change->oid);
	struct rows rows = { .change = change, .wire = data, .wire_len = len };
	uint64_t op = c->tx.next_op;
	int rc;

	if (!relation)
		return CU_ECORRUPT;
	c->tx.next_op += 2;
	if (c->tx.skip)
		return 0;
	c->fragment.changes++;
	c->fragment.bytes += len;
	if (msg->kind != CU_PGOUTPUT_INSERT && change->old_kind != CU_PGOUTPUT_OLD_FULL) {
		doom_listeners(c, relation, "a change came without its old row (REPLICA IDENTITY is not FULL)");
		return 0;
	}
	lock_router(c);
	EACH_GROUP(c, relation, group)
	{
		rc = touch_group(c, relation, group, &rows, op);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static void on_truncate(struct cu_collector *c, const struct cu_pgoutput_msg *msg)
{
	for (unsigned i = 0; i < msg->u.truncate.oids_n; i++) {
		const struct cu_relation *relation = cu_relations_get(&c->relations, cu_pgoutput_truncate_oid(msg, i));

		if (relation && !c->tx.skip)
			doom_listeners(c, relation, "the table was truncated");
	}
	c->tx.next_op += 2;
}

static int on_commit(struct cu_collector *c, const struct cu_pgoutput_msg *msg)
{
	int rc = 0;

	if (!c->tx.skip) {
		rc = cu_collector_deliver(c, true, msg->u.commit.end_lsn);
		if (rc < 0)
			return rc;
		c->committed_tx = c->tx.tx;
		atomic_fetch_add_explicit(&c->stat_transactions, 1, memory_order_relaxed);
	}
	c->safe_lsn = CU_MAX(c->safe_lsn, msg->u.commit.end_lsn);
	c->tx.open = false;
	return rc;
}

int cu_collector_message(struct cu_collector *c, const uint8_t *data, size_t len)
{
	struct cu_pgoutput_msg msg;
	int rc;

	rc = cu_pgoutput_decode(&c->decoder, data, len, &msg);
	if (rc < 0) {
		cu_error("the replication stream cannot be decoded; connecting anew",
			 CU_KV("reason", c->decoder.reason ? c->decoder.reason : cu_strerror(rc)),
			 CU_KV_LSN("transaction", c->tx.tx));
		return rc;
	}
	if (!c->tx.open && strchr("CRIUDT", (int)msg.kind) != NULL && msg.kind != CU_PGOUTPUT_RELATION) {
		cu_error("the replication stream has a change outside of a transaction; connecting anew");
		return CU_ECORRUPT;
	}
	switch (msg.kind) {
	case CU_PGOUTPUT_BEGIN: return on_begin(c, &msg);
	case CU_PGOUTPUT_COMMIT: return on_commit(c, &msg);
	case CU_PGOUTPUT_RELATION: return on_relation(c, &msg.u.relation);
	case CU_PGOUTPUT_TRUNCATE: on_truncate(c, &msg); return 0;
	case CU_PGOUTPUT_INSERT:
	case CU_PGOUTPUT_UPDATE:
	case CU_PGOUTPUT_DELETE:
		rc = on_change(c, &msg, data, len);
		if (rc == 0 && cu_fragment_is_full(&c->fragment))
			rc = cu_collector_deliver(c, false, 0);
		return rc;
	case CU_PGOUTPUT_ORIGIN:
	case CU_PGOUTPUT_TYPE:
	case CU_PGOUTPUT_MESSAGE: return 0; /* nothing of ours depends on them */
	}
	return CU_EUNSUPPORTED;
}

void cu_collector_abort(struct cu_collector *c)
{
	int rc = 0;

	cu_collector_unlock_router(c);
	cu_fragment_reset(&c->fragment);
	for (size_t i = 0; i < c->doomed_len; i++) {
		c->doomed[i].shape->doomed = false;
		cu_shape_unref(&c->doomed[i].shape);
	}
	c->doomed_len = 0;
	for (size_t i = 0; i < c->touched.len; i++) {
		cu_shape *shape = c->touched.list[i];

		cu_shape_lock(shape);
		if (shape->log)
			cu_tail_abort(&shape->log->tail);
		cu_shape_unlock(shape);
		shape->touched = false;
		cu_shape_unref(&c->touched.list[i]);
	}
	c->touched.len = 0;
	if (c->tx.open && c->tx.appended && !CU_MUTANT(ABORT_LEAVES_NO_RECORD)) {
		struct cu_fanout fanout = {
			.tx = c->tx.tx,
			.xid = c->tx.xid,
			.fragment = c->tx.fragment,
			.flags = CU_FANOUT_ABORT,
		};

		CU_RETRY_ON_DISK(c, rc, cu_changelog_append_fanout(c->log, &fanout));
		c->unclosed = rc < 0;
		if (rc < 0)
			cu_error("an aborted transaction could not be closed in the change log",
				 CU_KV("error", cu_strerror(rc)), CU_KV_LSN("transaction", c->tx.tx));
	}
	c->tx = (struct cu_transaction){ .open = false };
}
