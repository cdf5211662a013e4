/* replay.c: fan-out records to tails. */
#include "shape/replay.h"

#include "base/mutant.h"

void cu_replay_init(cu_replay *replay, cu_shape_set *shapes)
{
	*replay = (cu_replay){ .shapes = shapes };
}

static void end_transaction(cu_replay *replay, bool commit)
{
	for (size_t i = 0; i < replay->touched.len; i++) {
		cu_shape *shape = replay->touched.list[i];

		if (!shape->log) {
			/* Nothing of it was its own. */
		} else if (commit) {
			cu_tail_commit(&shape->log->tail, cu_shape_set_chunk_bytes(replay->shapes));
			cu_tail_show(&shape->log->tail);
		} else {
			cu_tail_abort(&shape->log->tail);
		}
		shape->touched = false;
	}
	cu_shape_list_clear(&replay->touched);
	/* Of an aborted transaction nobody needs anything: its segments may have been dropped. */
	for (size_t i = 0; i < replay->lacking.len && (commit || CU_MUTANT(REPLAY_WANTS_ABORTED)); i++)
		cu_shape_list_add(&replay->lacking_for_good, replay->lacking.list[i]);
	cu_shape_list_clear(&replay->lacking);
}

void cu_replay_fini(cu_replay *replay)
{
	end_transaction(replay, false);
	cu_shape_list_fini(&replay->touched);
	cu_shape_list_fini(&replay->lacking);
	cu_shape_list_fini(&replay->lacking_for_good);
}

void cu_replay_remove_lacking(cu_replay *replay)
{
	for (size_t i = 0; i < replay->lacking_for_good.len; i++)
		cu_shape_set_remove(replay->shapes, replay->lacking_for_good.list[i], "its log has lost an item", NULL);
}

static void touch(cu_replay *replay, cu_shape *shape)
{
	if (shape->touched)
		return;
	shape->touched = true;
	cu_shape_list_add(&replay->touched, shape);
}

static int append_runs(cu_replay *replay, cu_shape *shape, const struct cu_fanout *fanout,
		       const struct cu_fanout_shape *entry, const struct cu_changelog_item *items)
{
	uint64_t bytes_max = cu_tail_run_bytes_max(cu_shape_set_chunk_bytes(replay->shapes));
	struct cu_tail_run run = { .tx = fanout->tx, .xid = fanout->xid };
	cu_offset sealed_end = cu_shape_log_sealed_end(cu_shape_log_of(shape));
	int rc = 0;

	for (uint32_t r = 0; rc == 0 && r < entry->runs_len; r++) {
		const struct cu_fanout_run *range = &fanout->runs[entry->runs_at + r];

		for (uint32_t i = range->first; rc == 0 && i < range->first + range->len; i++) {
			if (cu_offset_cmp(cu_offset_of(fanout->tx, items[i].op), sealed_end) <= 0 &&
			    !CU_MUTANT(REPLAY_SHOWS_SEALED))
				continue; /* it stands in a sealed chunk */
			if (items[i].pos == 0) {
				cu_shape_list_add(&replay->lacking, shape);
				return 0;
			}
			if (cu_tail_run_extend(&run, items[i].pos, items[i].len, items[i].op, bytes_max))
				continue;
			rc = cu_shape_append(shape, &run);
			run.items = 0;
			cu_tail_run_extend(&run, items[i].pos, items[i].len, items[i].op, bytes_max);
		}
	}
	if (rc == 0 && run.items)
		rc = cu_shape_append(shape, &run);
	return rc;
}

int cu_replay_fanout(void *ctx, const struct cu_fanout *fanout, const struct cu_changelog_item *items)
{
	cu_replay *replay = ctx;
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < fanout->shapes_len; i++) {
		const struct cu_fanout_shape *entry = &fanout->shapes[i];
		cu_shape *shape = cu_shape_set_by_id(replay->shapes, entry->shape_id);

		if (!shape)
			continue;
		if (!cu_shape_holds(shape, fanout->xid, fanout->tx) || CU_MUTANT(REPLAY_SHOWS_HELD)) {
			touch(replay, shape);
			rc = append_runs(replay, shape, fanout, entry, items);
		}
		cu_shape_unref(&shape);
	}
	if (fanout->flags & (CU_FANOUT_COMMIT | CU_FANOUT_ABORT))
		end_transaction(replay, (fanout->flags & CU_FANOUT_COMMIT) != 0);
	return rc;
}
