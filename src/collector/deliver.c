/* deliver.c: a fragment goes through: the consumers decide, the items are encoded and appended once, one fan-out record
 * says who sees which of them, and the tails learn where they stand.
 */
#include "collector/internal.h"

#include "base/limits.h"
#include "base/log.h"

#include <poll.h>
#include <stdlib.h>

/* What becomes of one event while its items are placed. */
struct cu_placing {
	bool has_items;
	bool dead; /* undeliverable, or an item of it cannot be written: the shape goes */
};

/* The items of one change as one definition has it, by decision: shapes that decide alike share them. */
struct shared {
	const cu_definition *def;
	uint64_t op;
	uint32_t items[CU_DECIDE_KEY_CHANGE +
		       1]; /* the first item's ordinal; CU_TOUCH_NONE: nobody has decided so yet */
};

bool cu_collector_wait_for_disk(struct cu_collector *c, int rc)
{
	if (cu_changelog_is_broken(c->log)) {
		c->opts.storage_lost(c->opts.ctx);
		return false;
	}
	cu_error("the change log cannot be written; replication pauses and tries again",
		 CU_KV("stack", c->opts.stack_id), CU_KV_LSN("transaction", c->tx.tx), CU_KV("error", cu_strerror(rc)),
		 CU_KV("next", "make room on the storage directory's disk, or repair it"));
	poll(NULL, 0, CU_DISK_RETRY_MS);
	return !atomic_load(&c->stopping);
}

/* Makes room for `len` entries of scratch; what was there is not kept. */
static void *scratch(void *list, size_t *cap, size_t len, size_t size)
{
	if (len <= *cap)
		return list;
	free(list);
	*cap = CU_MAX(len, (size_t)64);
	return cu_xmalloc(*cap * size);
}

static void remove_doomed(struct cu_collector *c)
{
	for (size_t i = 0; i < c->doomed_len; i++) {
		cu_shape_set_remove(c->opts.shapes, c->doomed[i].shape, c->doomed[i].why, NULL);
		c->doomed[i].shape->doomed = false;
		cu_shape_unref(&c->doomed[i].shape);
	}
	c->doomed_len = 0;
}

static void publish(struct cu_collector *c)
{
	cu_fragment *fragment = &c->fragment;
	size_t n = fragment->events_len, undeliverable;

	c->deliveries = scratch(c->deliveries, &c->deliveries_cap, n, sizeof *c->deliveries);
	c->placing = scratch(c->placing, &c->placing_cap, n, sizeof *c->placing);
	for (size_t i = 0; i < n; i++) {
		fragment->events[i].touches = fragment->touches;
		fragment->events[i].ahead =
			i + CU_SHAPES_AHEAD < n ? fragment->events[i + CU_SHAPES_AHEAD].shape : NULL;
		c->placing[i] = (struct cu_placing){ false, false };
		c->deliveries[i].handle = fragment->events[i].shape->handle;
		c->deliveries[i].event = &fragment->events[i];
	}
	undeliverable = cu_consumer_registry_publish(c->opts.registry, c->deliveries, n);
	for (size_t i = 0; undeliverable && i < n; i++) {
		const struct cu_delivery *delivery = &c->deliveries[i];

		if (delivery->status == CU_DELIVERED)
			continue;
		c->placing[i].dead = true;
		if (delivery->status == CU_NO_SHAPE || delivery->status == CU_SHAPE_REMOVED ||
		    delivery->reason.kind == CU_EXIT_CLEANUP)
			continue; /* somebody else removes it */
		cu_error("a consumer could not take a transaction; its shape is dropped and its readers refetch",
			 CU_KV("stack", c->opts.stack_id), CU_KV("handle", delivery->handle),
			 CU_KV("status", cu_delivery_status_name(delivery->status)),
			 CU_KV("exit", cu_exit_kind_name(delivery->reason.kind)),
			 CU_KV("reason", delivery->reason.text), CU_KV_LSN("transaction", c->tx.tx));
		cu_shape_set_remove(c->opts.shapes, fragment->events[i].shape, "its consumer failed", NULL);
	}
}

/* Appends what stands in c->item as the next item of the fragment, for the event. */
static int place(struct cu_collector *c, uint32_t event, uint64_t op, uint32_t *ret_at)
{
	uint64_t pos;
	int rc = CU_ENOMEM;

	if (!cu_buf_failed(&c->item))
		CU_RETRY_ON_DISK(c, rc,
				 cu_changelog_append_item(c->log, c->tx.tx, op, c->item.data, c->item.len, &pos));
	if (cu_is_disk_error(rc))
		return CU_ECLOSED; /* stopping with a broken disk */
	if (rc < 0) {
		c->placing[event].dead = true;
		cu_shape_set_remove(c->opts.shapes, c->fragment.events[event].shape, cu_strerror(rc), NULL);
		return 0;
	}
	*ret_at = cu_fragment_place(&c->fragment, pos, op, (uint32_t)c->item.len);
	c->tx.appended = true;
	return 0;
}

/* Writes the touch's items. Of its event none is written any more once one of them could not be. */
static int encode(struct cu_collector *c, const struct cu_definition *def, const struct cu_touch *touch,
		  uint32_t *ret_item)
{
	struct cu_item_op op = {
		.lsn = c->tx.tx,
		.op_position = touch->op,
		.txid = c->tx.xid,
		.replica_full = def->replica_full,
	};
	uint32_t second;
	int rc;

	cu_buf_clear(&c->item);
	switch (touch->decision) {
	case CU_DECIDE_NOTHING: return 0;
	case CU_DECIDE_INSERT: cu_item_put_insert(&c->item, def->layout, &op, touch->new_row); break;
	case CU_DECIDE_UPDATE: cu_item_put_update(&c->item, def->layout, &op, touch->old_row, touch->new_row); break;
	case CU_DECIDE_DELETE: cu_item_put_delete(&c->item, def->layout, &op, touch->old_row); break;
	case CU_DECIDE_KEY_CHANGE:
		cu_item_put_delete_key_change(&c->item, def->layout, &op, touch->old_row, touch->new_row);
		rc = place(c, touch->event, op.op_position, ret_item);
		if (rc < 0 || c->placing[touch->event].dead)
			return rc;
		op.op_position++;
		cu_buf_clear(&c->item);
		cu_item_put_insert_key_change(&c->item, def->layout, &op, touch->old_row, touch->new_row);
		return place(c, touch->event, op.op_position, &second);
	}
	return place(c, touch->event, op.op_position, ret_item);
}

/* Gives the touch its items: those of an earlier shape, or new ones. The touches of one change and definition are neighbours. */
static int give_items(struct cu_collector *c, struct cu_touch *touch, struct shared *shared)
{
	struct cu_placing *placing = &c->placing[touch->event];
	const cu_definition *def = c->fragment.events[touch->event].shape->def;
	uint32_t *item = &shared->items[touch->decision];
	int rc = 0;

	if (placing->dead || touch->decision == CU_DECIDE_NOTHING)
		return 0;
	if (shared->def != def || shared->op != touch->op) {
		*shared = (struct shared){ .def = def, .op = touch->op };
		for (size_t i = 0; i < CU_ARRAY_LEN(shared->items); i++)
			shared->items[i] = CU_TOUCH_NONE;
	}
	if (*item == CU_TOUCH_NONE) {
		rc = encode(c, def, touch, item);
		if (placing->dead)
			*item = CU_TOUCH_NONE;
	}
	touch->item = *item;
	placing->has_items |= touch->item != CU_TOUCH_NONE;
	return rc;
}

/* One entry of each growing scratch array. */
#define PUSH(c, list, value)                                                                     \
	do {                                                                                     \
		if ((c)->list##_len == (c)->list##_cap) {                                        \
			(c)->list##_cap = (c)->list##_cap ? (c)->list##_cap * 2 : 64;            \
			(c)->list = cu_xrealloc((c)->list, (c)->list##_cap * sizeof *(c)->list); \
		}                                                                                \
		(c)->list[(c)->list##_len++] = (value);                                          \
	} while (0)

/* Adds an item to the run of ordinals; one that it does not continue is finished. */
static void put_ordinal(struct cu_collector *c, uint32_t at, struct cu_fanout_run *range)
{
	if (range->len && at == range->first + range->len) {
		range->len++;
		return;
	}
	if (range->len)
		PUSH(c, fan_runs, *range);
	*range = (struct cu_fanout_run){ at, 1 };
}

/* From an event's items to the runs of the fan-out record. */
static void make_fan_runs(struct cu_collector *c, const struct cu_event *event)
{
	const struct cu_touch *touches = c->fragment.touches;
	struct cu_fanout_run range = { 0, 0 };

	for (uint32_t i = event->first; i != CU_TOUCH_NONE; i = touches[i].next) {
		if (touches[i].item == CU_TOUCH_NONE)
			continue;
		put_ordinal(c, touches[i].item, &range);
		if (touches[i].decision == CU_DECIDE_KEY_CHANGE)
			put_ordinal(c, touches[i].item + 1, &range);
	}
	PUSH(c, fan_runs, range);
}

/* The same for positions. */
static void put_position(struct cu_collector *c, uint32_t at, struct cu_tail_run *run, uint64_t bytes_max)
{
	const struct cu_placed *item = &c->fragment.placed[at];

	if (cu_tail_run_extend(run, item->pos, item->len, item->op, bytes_max))
		return;
	PUSH(c, tail_runs, *run);
	run->items = 0;
	cu_tail_run_extend(run, item->pos, item->len, item->op, bytes_max);
}

static void make_tail_runs(struct cu_collector *c, const struct cu_event *event)
{
	const struct cu_touch *touches = c->fragment.touches;
	uint64_t bytes_max = cu_tail_run_bytes_max(cu_shape_set_chunk_bytes(c->opts.shapes));
	struct cu_tail_run run = { .tx = c->tx.tx, .xid = c->tx.xid };

	c->tail_runs_len = 0;
	for (uint32_t i = event->first; i != CU_TOUCH_NONE; i = touches[i].next) {
		if (touches[i].item == CU_TOUCH_NONE)
			continue;
		put_position(c, touches[i].item, &run, bytes_max);
		if (touches[i].decision == CU_DECIDE_KEY_CHANGE)
			put_position(c, touches[i].item + 1, &run, bytes_max);
	}
	PUSH(c, tail_runs, run);
}

static bool has_items(const struct cu_collector *c, size_t event)
{
	return !c->placing[event].dead && c->placing[event].has_items;
}

/* Says who sees which of the fragment's items. */
static int record_fanout(struct cu_collector *c, bool commit, uint64_t end_lsn)
{
	const cu_fragment *fragment = &c->fragment;
	struct cu_fanout fanout = {
		.tx = c->tx.tx,
		.end_lsn = commit ? end_lsn : 0,
		.xid = c->tx.xid,
		.fragment = c->tx.fragment,
		.flags = commit ? CU_FANOUT_COMMIT : 0,
	};
	int rc;

	c->fan_shapes = scratch(c->fan_shapes, &c->fan_shapes_cap, fragment->events_len, sizeof *c->fan_shapes);
	c->fan_runs_len = 0;
	for (size_t i = 0; i < fragment->events_len; i++) {
		uint32_t runs_at = (uint32_t)c->fan_runs_len;

		if (i + CU_SHAPES_AHEAD < fragment->events_len)
			cu_shape_prefetch(fragment->events[i + CU_SHAPES_AHEAD].shape);
		if (!has_items(c, i))
			continue;
		make_fan_runs(c, &fragment->events[i]);
		c->fan_shapes[fanout.shapes_len++] = (struct cu_fanout_shape){
			fragment->events[i].shape->id,
			runs_at,
			(uint32_t)c->fan_runs_len - runs_at,
		};
	}
	fanout.shapes = c->fan_shapes;
	fanout.runs = c->fan_runs;
	fanout.runs_len = (uint32_t)c->fan_runs_len;
	CU_RETRY_ON_DISK(c, rc, cu_changelog_append_fanout(c->log, &fanout));
	if (cu_is_disk_error(rc))
		return CU_ECLOSED;
	CU_ASSERT(rc == 0 || rc == CU_ENOMEM);
	c->tx.fragment++;
	return rc;
}

/* Under the shape's lock. */
static void commit_tail(struct cu_collector *c, cu_shape *shape)
{
	if (shape->log) {
		cu_tail_commit(&shape->log->tail, cu_shape_set_chunk_bytes(c->opts.shapes));
		cu_shape_log_note_run(shape->log);
	}
	cu_sealer_note(c->opts.sealer, shape);
}

/* The shape has committed runs that are not shown yet. */
static void list_dirty(struct cu_collector *c, cu_shape *shape)
{
	if (shape->dirty)
		return;
	shape->dirty = true;
	cu_shape_list_add(&c->dirty, shape);
}

/* c->tail_runs go to the tail, unless the shape has learnt meanwhile that its snapshot holds this transaction. */
static int append_to_tail(struct cu_collector *c, cu_shape *shape, bool commit)
{
	int rc = 0;

	cu_shape_lock(shape);
	if (!cu_shape_holds_locked(shape, c->tx.xid, c->tx.tx)) {
		for (size_t i = 0; rc == 0 && i < c->tail_runs_len; i++)
			rc = cu_shape_append(shape, &c->tail_runs[i]);
	}
	if (commit)
		commit_tail(c, shape);
	cu_shape_unlock(shape);
	return rc;
}

/* A shape, its log and the runs are three places in memory, each known from the one before: asked for in three steps. */
static void prefetch_tails(const cu_fragment *fragment, size_t at)
{
	size_t n = fragment->events_len;

	if (at + 3 * CU_SHAPES_AHEAD < n)
		cu_shape_prefetch(fragment->events[at + 3 * CU_SHAPES_AHEAD].shape);
	if (at + 2 * CU_SHAPES_AHEAD < n)
		cu_shape_log_prefetch(fragment->events[at + 2 * CU_SHAPES_AHEAD].shape->log);
	if (at + CU_SHAPES_AHEAD < n)
		cu_shape_log_prefetch_run(fragment->events[at + CU_SHAPES_AHEAD].shape->log);
}

/* The tails get their runs. Where all of the transaction is in this fragment, they are committed in the same go. */
static void extend_tails(struct cu_collector *c, bool commit)
{
	const cu_fragment *fragment = &c->fragment;
	size_t n = fragment->events_len;

	for (size_t i = 0; i < n; i++) {
		cu_shape *shape = fragment->events[i].shape;
		bool whole = commit && !shape->touched;

		prefetch_tails(fragment, i);
		if (!has_items(c, i))
			continue;
		make_tail_runs(c, &fragment->events[i]);
		if (append_to_tail(c, shape, whole) < 0)
			cu_shape_set_remove(c->opts.shapes, shape, "out of memory for its log's positions", NULL);
		if (whole) {
			list_dirty(c, shape);
		} else if (!shape->touched) {
			shape->touched = true;
			cu_shape_list_add(&c->touched, shape);
		}
	}
}

/* Of the shapes with runs in an earlier fragment. */
static void commit_touched(struct cu_collector *c)
{
	for (size_t i = 0; i < c->touched.len; i++) {
		cu_shape *shape = c->touched.list[i];

		cu_shape_lock(shape);
		commit_tail(c, shape);
		cu_shape_unlock(shape);
		shape->touched = false;
		list_dirty(c, shape);
	}
	cu_shape_list_clear(&c->touched);
}

int cu_collector_deliver(struct cu_collector *c, bool commit, uint64_t end_lsn)
{
	cu_fragment *fragment = &c->fragment;
	struct shared shared = { .def = NULL };
	int rc = 0;

	cu_collector_unlock_router(c);
	remove_doomed(c);
	if (fragment->events_len)
		publish(c);
	for (size_t i = 0; rc == 0 && i < fragment->touches_len; i++)
		rc = give_items(c, &fragment->touches[i], &shared);
	/* A transaction that no shape sees leaves nothing in the log. */
	if (rc == 0 && c->tx.appended)
		rc = record_fanout(c, commit, end_lsn);
	if (rc == 0 && c->tx.appended)
		extend_tails(c, commit);
	if (rc == 0 && commit)
		commit_touched(c);
	atomic_fetch_add_explicit(&c->stat_changes, fragment->changes, memory_order_relaxed);
	atomic_fetch_add_explicit(&c->stat_items, fragment->placed_len, memory_order_relaxed);
	cu_fragment_reset(fragment);
	return rc;
}

int cu_collector_show(struct cu_collector *c)
{
	int rc;

	CU_RETRY_ON_DISK(c, rc, cu_changelog_flush(c->log));
	if (rc < 0)
		return CU_ECLOSED;
	for (size_t i = 0; i < c->dirty.len; i++) {
		cu_shape *shape = c->dirty.list[i];

		if (i + 2 * CU_SHAPES_AHEAD < c->dirty.len)
			cu_shape_prefetch(c->dirty.list[i + 2 * CU_SHAPES_AHEAD]);
		if (i + CU_SHAPES_AHEAD < c->dirty.len)
			cu_shape_log_prefetch(c->dirty.list[i + CU_SHAPES_AHEAD]->log);
		cu_shape_lock(shape);
		if (shape->log)
			cu_tail_show(&shape->log->tail);
		cu_shape_unlock(shape);
		shape->dirty = false;
		cu_shape_set_wake(c->opts.shapes, shape);
		cu_shape_unref(&c->dirty.list[i]);
	}
	c->dirty.len = 0;
	/* Last: it must never run ahead of what a reader of any shape can see. */
	if (c->committed_tx)
		atomic_store_explicit(&c->last_tx, c->committed_tx, memory_order_release);
	return 0;
}
