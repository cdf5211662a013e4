/* Whatever part of a log is sealed, it reads the same, now and after a restart, and the change log does not grow without bound.
 * label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "shape/sealer.h"
#include "shape/test_log_help.h"
#include "shape/test_read.h"

#include <fcntl.h>

/* Seals what a checkpoint now would: whole chunks; all that is in the log's older half if it is longer than log_max. */
static void seal(struct world *w, uint64_t log_max)
{
	struct cu_sealer_opts opts = {
		.stack_id = "test", .shapes = w->set, .store = w->store, .log_bytes_max = log_max
	};
	struct cu_checkpoint cp = checkpoint(w);
	cu_sealer *sealer = NULL;

	assert_int_equal(cu_sealer_start(&opts, &sealer), 0);
	cu_sealer_checkpoint(sealer, cp.log_pos);
	cu_sealer_wait(sealer);
	cu_sealer_free(&sealer);
}

/* ---- sealed ---- */

static void assert_same_chunk(const struct cu_sealed *a, const struct cu_sealed *b)
{
	assert_int_equal(cu_offset_cmp(cu_sealed_last(a), cu_sealed_last(b)), 0);
	assert_int_equal(a->n, b->n);
	assert_int_equal(a->bytes, b->bytes);
	assert_int_equal(a->small, b->small);
	assert_int_equal(a->ends, b->ends);
	assert_int_equal(a->compacted, b->compacted);
	assert_int_equal(a->kept, b->kept);
}

/* At random moments all or only whole chunks are sealed; then the store is opened again, more is written and sealed. */
static void what_is_sealed_reads_the_same_now_and_after_a_restart(void **state)
{
	(void)state;
	for (unsigned seed = 30; seed < 32; seed++) {
		struct world *w = world_new(seed % 3 ? 0 : 900);
		cu_shape *shapes[SHAPES];
		cu_shape_set *set;

		random_state = seed;
		for (unsigned round = 0; round < 4; round++) {
			write_random_from(w, 1 + 20 * round, 20, seed % 2 ? 300 : 6000);
			seal(w, round % 2 ? 1 : UINT64_MAX);
		}
		assert_every_range(w, w->shapes, 61);
		assert_true(cu_shape_log_of(w->shapes[0])->sealed_len > 1);
		set = replayed(w, shapes);
		for (uint32_t s = 0; s < SHAPES; s++) {
			const cu_shape_log *is = cu_shape_log_of(shapes[s]), *was = cu_shape_log_of(w->shapes[s]);

			assert_int_equal(is->sealed_len, was->sealed_len);
			for (uint32_t i = 0; i < is->sealed_len; i++)
				assert_same_chunk(&is->sealed[i], &was->sealed[i]);
			assert_int_equal(is->next_n, is->sealed_len ? is->sealed[is->sealed_len - 1].n + 1 : 0);
		}
		assert_every_range(w, shapes, 61);
		for (uint32_t s = 0; s < SHAPES; s++)
			cu_shape_unref(&shapes[s]);
		cu_shape_set_free(&set);
		world_free(w);
	}
}

/* Where an answer ends does not depend on what is sealed. */
static void answers_end_where_they_ended_before_the_sealing(void **state)
{
	struct world *w = world_new(0);
	cu_offset *ends[SHAPES];

	(void)state;
	random_state = 50;
	write_random(w, 60, 900);
	for (uint32_t s = 0; s < SHAPES; s++) {
		ends[s] = cu_xmalloc((w->expected[s].committed + 1) * sizeof(cu_offset));
		for (size_t i = 0; i < w->expected[s].committed; i++)
			ends[s][i] =
				cu_shape_log_answer_end(cu_shape_log_of(w->shapes[s]), w->expected[s].items[i].offset);
	}
	seal(w, UINT64_MAX);
	assert_true(cu_shape_log_of(w->shapes[0])->sealed_len > 3);
	assert_true(cu_shape_log_of(w->shapes[0])->tail.len > 0);
	for (uint32_t s = 0; s < SHAPES; s++) {
		for (size_t i = 0; i < w->expected[s].committed; i++)
			assert_int_equal(cu_offset_cmp(ends[s][i],
						       cu_shape_log_answer_end(cu_shape_log_of(w->shapes[s]),
									       w->expected[s].items[i].offset)),
					 0);
		free(ends[s]);
	}
	world_free(w);
}

static void a_log_that_is_too_long_loses_its_segments_and_no_item(void **state)
{
	struct world *w = world_new(4096);
	uint64_t end;

	(void)state;
	random_state = 51;
	for (unsigned round = 0; round < 10; round++) {
		write_random_from(w, 1 + 20 * round, 20, 300);
		seal(w, 16384);
		end = cu_changelog_end(w->log);
		assert_in_range(end - cu_changelog_start(w->log), 0, 16384 + 2 * 4096);
	}
	assert_every_range(w, w->shapes, 83);
	assert_true(end > 100000);
	world_free(w);
}

/* Whatever its transactions are called: those of another history may have smaller LSNs than an earlier checkpoint. */
static void what_no_checkpoint_covers_is_not_sealed(void **state)
{
	struct world *w = world_new(0);
	struct cu_sealer_opts opts = { .stack_id = "test", .shapes = w->set, .store = w->store, .log_bytes_max = 1 };
	cu_sealer *sealer = NULL;
	cu_offset covered[SHAPES];
	uint64_t log_pos;

	(void)state;
	random_state = 52;
	write_random(w, 10, 900);
	log_pos = checkpoint(w).log_pos;
	for (uint32_t s = 0; s < SHAPES; s++)
		covered[s] = cu_shape_status(w->shapes[s]).latest;
	write_random_from(w, 11, 10, 900);
	assert_int_equal(cu_sealer_start(&opts, &sealer), 0);
	cu_sealer_checkpoint(sealer, log_pos);
	cu_sealer_wait(sealer);
	cu_sealer_free(&sealer);
	for (uint32_t s = 0; s < SHAPES; s++) {
		assert_true(cu_offset_cmp(cu_shape_status(w->shapes[s]).latest, covered[s]) > 0);
		assert_int_equal(cu_offset_cmp(cu_shape_log_sealed_end(cu_shape_log_of(w->shapes[s])), covered[s]), 0);
	}
	assert_every_range(w, w->shapes, 31);
	world_free(w);
}

/* It is served for as long as the process lives, so its tail must not hold the change log for as long. */
static void a_shape_whose_snapshot_could_not_be_recorded_is_sealed_like_others(void **state)
{
	struct world *w = world_new(4096);

	(void)state;
	random_state = 55;
	w->shapes[0]->state = CU_SHAPE_CREATING;
	for (unsigned round = 0; round < 4; round++) {
		write_random_from(w, 1 + 20 * round, 20, 300);
		seal(w, 16384);
		assert_in_range(cu_changelog_end(w->log) - cu_changelog_start(w->log), 0, 16384 + 2 * 4096);
	}
	assert_every_range(w, w->shapes, 83);
	/* Of one that is still being made nobody knows yet which transactions its snapshot holds. */
	w->shapes[1]->state = CU_SHAPE_CREATING;
	w->shapes[1]->snapshot_complete = false;
	write_random_from(w, 81, 40, 300);
	seal(w, 16384);
	assert_true(w->shapes[1]->log->tail.len > 20);
	world_free(w);
}

/* Its readers are told, but a crash would bring it back, and its log has to be whole then. */
static void the_log_of_a_shape_whose_removal_is_not_durable_is_kept(void **state)
{
	struct world *w = world_new(4096);

	(void)state;
	random_state = 56;
	write_random(w, 40, 300);
	help_metadata_exec(w->dir,
			   "CREATE TRIGGER broken BEFORE DELETE ON shape BEGIN SELECT RAISE(ABORT, 'the disk'); END");
	cu_shape_set_remove(w->set, w->shapes[0], "asked for", NULL);
	assert_int_equal(cu_metadata_sync(cu_store_metadata(w->store)), CU_EIO);
	assert_int_equal(cu_shape_status(w->shapes[0]).state, CU_SHAPE_GONE);
	help_metadata_exec(w->dir, "DROP TRIGGER broken");
	seal(w, 16384);
	assert_true(cu_tail_run_at(&w->shapes[0]->log->tail, 0)->pos > cu_changelog_start(w->log));
	assert_int_equal(cu_changelog_start(w->log), 0);
	cu_shape_set_retry_removals(w->set);
	assert_int_equal(cu_metadata_sync(cu_store_metadata(w->store)), 0);
	seal(w, 16384);
	assert_in_range(cu_changelog_end(w->log) - cu_changelog_start(w->log), 0, 16384 + 2 * 4096);
	world_free(w);
}

static void a_shape_that_is_gone_gets_no_chunk_and_no_directory(void **state)
{
	struct world *w = world_new(0);
	uint64_t bytes;
	int fd;

	(void)state;
	random_state = 53;
	write_random(w, 40, 6000);
	/* Its row goes while the set still has it. */
	assert_int_equal(cu_store_remove_shape(w->store, 1, NULL, NULL), 0);
	seal(w, 1);
	assert_int_equal(cu_shape_log_of(w->shapes[0])->sealed_len, 0);
	assert_int_equal(cu_chunk_open(cu_store_chunks(w->store), 1, CU_CHUNK_LOG, 0, &fd, &bytes), CU_ENOTFOUND);
	assert_true(cu_shape_log_of(w->shapes[1])->sealed_len > 0);
	world_free(w);
}

static void log_chunks_that_a_crash_left_are_removed(void **state)
{
	struct world *w = world_new(0);
	struct cu_log_chunk chunk = { 0 };
	cu_log_index index = CU_LOG_INDEX_INIT;
	cu_log_chunk_writer *writer = cu_log_chunk_writer_new(cu_store_chunks(w->store), 1, 77);
	char *wire = cu_xzalloc(100000);
	uint64_t bytes;
	int fd;

	(void)state;
	random_state = 54;
	write_random(w, 40, 6000);
	seal(w, 1);
	assert_int_equal(cu_log_chunk_writer_append(writer, wire, 100000), 0);
	cu_log_index_add(&index, 1, 0, 100000);
	assert_int_equal(cu_log_chunk_writer_finish(&writer, &index, true, &chunk), 0);
	seal(w, 1);
	assert_int_equal(cu_chunk_open(cu_store_chunks(w->store), 1, CU_CHUNK_LOG, 77, &fd, &bytes), CU_ENOTFOUND);
	assert_every_range(w, w->shapes, 61);
	free(wire);
	world_free(w);
}

/* The store as a kill leaves it, with the write-ahead file of its metadata damaged at a place (SIZE_MAX: lost). */
static void assert_reads_with_damaged_wal(struct world *w, size_t at)
{
	struct world was = *w;
	cu_shape_set *set = set_new();
	cu_shape *shapes[SHAPES];
	cu_replay replay;
	struct cu_store_loader loader = loader_into(set, &replay);
	char *copy, *wal;

	w->dir = help_dir_new();
	copy = cu_file_path("cp -r %s/. %s", was.dir, w->dir);
	wal = cu_file_path("%s/metadata.sqlite3-wal", w->dir);
	assert_int_equal(system(copy), 0);
	if (at == SIZE_MAX)
		unlink(wal);
	else
		help_flip(wal, (off_t)at);
	cu_replay_init(&replay, set);
	store_open(w, &loader);
	cu_shape_set_end_restore(set, w->store, 0);
	cu_replay_fini(&replay);
	for (uint32_t s = 0; s < SHAPES; s++)
		shapes[s] = cu_shape_set_by_id(set, s + 1);
	assert_every_range(w, shapes, 83);
	for (uint32_t s = 0; s < SHAPES; s++)
		cu_shape_unref(&shapes[s]);
	cu_store_free(&w->store);
	cu_shape_set_free(&set);
	help_dir_free(&w->dir);
	free(copy);
	free(wal);
	*w = was;
}

/* What SQLite finds damaged there it leaves out, with all behind it, and says nothing. */
static void a_damaged_write_ahead_file_takes_nothing_that_the_change_log_has_not(void **state)
{
	struct world *w = world_new(4096);
	char *wal = cu_file_path("%s/metadata.sqlite3-wal", w->dir);
	size_t size;

	(void)state;
	random_state = 57;
	for (unsigned round = 0; round < 3; round++) {
		write_random_from(w, 1 + 20 * round, 20, 300);
		seal(w, 16384);
		checkpoint(w);
		assert_true(cu_changelog_start(w->log) > 0);
		size = (size_t)help_size(wal);
		assert_true(size > 0);
		assert_reads_with_damaged_wal(w, SIZE_MAX);
		for (size_t at = 0; at < size; at += 1 + size / 12)
			assert_reads_with_damaged_wal(w, at);
	}
	free(wal);
	world_free(w);
}

/* Of a transaction that is sealed in part: whether a damaged item is in that part cannot be told. */
static void a_damaged_item_behind_the_sealed_part_of_its_transaction_costs_the_shape(void **state)
{
	struct world *w = world_new(0);
	cu_shape_set *set = set_new();
	cu_replay replay;
	struct cu_store_loader loader = loader_into(set, &replay);
	char *path = cu_file_path("%s/log/%016x.seg", w->dir, 0u);
	cu_shape *shape;
	uint64_t pos;
	int fd;

	(void)state;
	begin(w, 1000, 10);
	for (unsigned i = 0; i < 20; i++)
		item(w, 1, 600);
	commit(w);
	seal(w, UINT64_MAX);
	assert_true(w->shapes[0]->log->sealed_len > 0);
	assert_true(w->shapes[0]->log->tail.len > 1);
	pos = cu_tail_run_at(&w->shapes[0]->log->tail, 1)->pos;
	cu_store_free(&w->store);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "\377", 1, (off_t)pos), 1);
	close(fd);
	cu_replay_init(&replay, set);
	store_open(w, &loader);
	cu_shape_set_end_restore(set, w->store, 0);
	cu_replay_remove_lacking(&replay);
	cu_replay_fini(&replay);
	shape = cu_shape_set_by_id(set, 1);
	assert_true(!shape || cu_shape_status(shape).state > CU_SHAPE_LIVE);
	cu_shape_unref(&shape);
	assert_int_equal(cu_metadata_sync(cu_store_metadata(w->store)), 0);
	free(path);
	world_free(w);
	cu_shape_set_free(&set);
}

/* ---- in the middle of a compaction ---- */

#define ROWS 50u

/* Transactions of a few updates of the first shape's rows; the first of all inserts them. */
static void write_rows(struct world *w, unsigned txs)
{
	for (unsigned t = 0; t < txs; t++) {
		bool first = w->expected[0].len == 0;

		begin(w, w->tx + 1000, w->xid + 1);
		for (unsigned i = 0; i < (first ? ROWS : 7); i++) {
			unsigned key = first ? i : random_below(ROWS);
			cu_buf text = CU_BUF_INIT;

			cu_buf_printf(&text,
				      "{\"key\":\"%u\",\"value\":{\"c%u\":\"%" PRIu64 "_%u\",\"pad\":\"%0300u\"}", key,
				      random_below(5), w->tx, i, key);
			cu_buf_printf(&text, ",\"headers\":{\"operation\":\"%s\",\"lsn\":\"%" PRIu64 "\"",
				      first ? "insert" : "update", w->tx);
			item_of(w, 1, text.data, text.len);
			cu_buf_fini(&text);
		}
		commit(w);
	}
}

/* The rows of a client that has the first `len` items. */
static json_t *rows_after(const struct world *w, size_t len)
{
	json_t *rows = json_object();

	for (size_t i = 0; i < len; i++)
		test_client_apply(rows, w->expected[0].items[i].text, w->expected[0].items[i].len, true);
	return rows;
}

/* A client that stands behind any item ends with the rows that the plain log makes. */
static void assert_clients_agree(struct world *w, cu_shape *shape)
{
	const struct expected *expected = &w->expected[0];
	json_t *want = rows_after(w, expected->committed);

	for (size_t len = 0; len < expected->committed; len += 17) {
		json_t *rows = rows_after(w, len);
		json_t *items =
			test_read_range(w->store, shape, len ? expected->items[len - 1].offset : CU_OFFSET_SNAPSHOT_END,
					cu_shape_status(shape).latest);

		test_read_apply(rows, items);
		assert_true(json_equal(rows, want));
		json_decref(items);
		json_decref(rows);
	}
	json_decref(want);
}

/* What happens when the sealer's compaction opens one of the files that it reads. */
static struct {
	struct world *w;
	cu_sealer *sealer;
	struct cu_file_ops ops;
	bool busy;
	unsigned writes, sealed, drained;
	uint32_t sealed_len; /* before the last write */
	uint64_t log_start;
} middle;

static void look_in_the_middle(void)
{
	struct world *w = middle.w;
	cu_shape *shape = w->shapes[0];
	const cu_shape_log *log = shape->log;

	/* Between two reads there was a turn. */
	if (middle.writes) {
		assert_false(log->sealed[0].compacted);
		middle.sealed += log->sealed_len > middle.sealed_len;
		middle.drained += cu_changelog_start(w->log) > middle.log_start;
		assert_in_range(cu_changelog_end(w->log) - cu_changelog_start(w->log), 0, 40000 + 2 * 4096);
	}
	middle.writes++;
	middle.sealed_len = log->sealed_len;
	middle.log_start = cu_changelog_start(w->log);
	write_rows(w, 12);
	cu_shape_lock(shape);
	cu_sealer_note(middle.sealer, shape);
	cu_shape_unlock(shape);
	cu_sealer_checkpoint(middle.sealer, checkpoint(w).log_pos);
}

/* Not one that is on its way into the log: sealing opens that to sync it. */
static bool is_in_the_log(const char *path)
{
	static const char name[] = "/shapes/1/log.";
	const cu_shape_log *log = middle.w->shapes[0]->log;
	const char *at = strstr(path, name);
	bool known = false;

	for (uint32_t i = 0; at && !known && i < log->sealed_len; i++)
		known = log->sealed[i].n == strtoul(at + strlen(name), NULL, 10);
	return known;
}

static int watched_open(void *ctx, const char *path, int flags, mode_t mode)
{
	if (!middle.busy && middle.writes < 12 && (flags & O_ACCMODE) == O_RDONLY && is_in_the_log(path)) {
		middle.busy = true;
		look_in_the_middle();
		middle.busy = false;
	}
	return cu_file_system.open(ctx, path, flags, mode);
}

/* A compaction of gigabytes takes tens of seconds: the change log must not grow for so long, its own shape's either. */
static void a_compaction_holds_up_neither_sealing_nor_the_change_log(void **state)
{
	struct cu_sealer_opts opts = { .stack_id = "test", .log_bytes_max = 40000 };
	struct cu_sealer_stats stats;
	cu_shape *shapes[SHAPES];
	cu_shape_set *set;
	struct world *w;

	(void)state;
	random_state = 58;
	chunk_bytes = 20000;
	middle.ops = cu_file_system;
	middle.ops.open = watched_open;
	middle.busy = true;
	store_ops = &middle.ops;
	middle.w = w = world_new(4096);
	opts.shapes = w->set;
	opts.store = w->store;
	write_rows(w, 250);
	assert_int_equal(cu_sealer_start(&opts, &middle.sealer), 0);
	cu_sealer_wait(middle.sealer);
	middle.busy = false;
	cu_sealer_checkpoint(middle.sealer, checkpoint(w).log_pos);
	cu_sealer_wait(middle.sealer);
	middle.busy = true;
	cu_sealer_stats_get(middle.sealer, &stats);
	assert_int_equal(middle.writes, 12);
	assert_true(middle.sealed == 11 && middle.drained > 4);
	assert_true(stats.compactions > 0 && stats.compacted_to < stats.compacted_from / 2);
	assert_true(w->shapes[0]->log->sealed[0].compacted);
	cu_sealer_free(&middle.sealer);
	assert_clients_agree(w, w->shapes[0]);
	set = replayed(w, shapes);
	assert_clients_agree(w, shapes[0]);
	for (uint32_t s = 0; s < SHAPES; s++)
		cu_shape_unref(&shapes[s]);
	cu_shape_set_free(&set);
	world_free(w);
	store_ops = NULL;
	chunk_bytes = 4000;
}

static struct {
	cu_sealer *sealer;
	struct cu_file_ops ops;
	unsigned looks, held_up;
} far;

/* On the sealer's thread, in the middle of a round. */
static int far_open(void *ctx, const char *path, int flags, mode_t mode)
{
	if (far.sealer && strstr(path, "/shapes/1/log.")) {
		far.looks++;
		far.held_up += cu_sealer_hold_up(far.sealer, 1);
	}
	return cu_file_system.open(ctx, path, flags, mode);
}

static void the_stream_waits_while_a_log_that_is_far_too_long_is_drained_and_no_longer(void **state)
{
	struct cu_sealer_opts opts = { .stack_id = "test", .log_bytes_max = 10000 };
	struct world *w;

	(void)state;
	random_state = 59;
	chunk_bytes = 20000;
	far.ops = cu_file_system;
	far.ops.open = far_open;
	store_ops = &far.ops;
	w = world_new(4096);
	opts.shapes = w->set;
	opts.store = w->store;
	write_rows(w, 250);
	assert_true(cu_changelog_end(w->log) > CU_SEALER_LOG_FACTOR * opts.log_bytes_max);
	assert_false(cu_sealer_hold_up(NULL, 1));
	assert_int_equal(cu_sealer_start(&opts, &far.sealer), 0);
	cu_sealer_wait(far.sealer);
	far.looks = far.held_up = 0;
	assert_false(cu_sealer_hold_up(far.sealer, 1)); /* nobody drains it */
	cu_sealer_checkpoint(far.sealer, checkpoint(w).log_pos);
	cu_sealer_wait(far.sealer);
	assert_true(far.held_up > 0 && far.held_up < far.looks); /* compacting holds nobody up */
	assert_false(cu_sealer_hold_up(far.sealer, 1));
	assert_in_range(cu_changelog_end(w->log) - cu_changelog_start(w->log), 0, 2 * opts.log_bytes_max);
	cu_sealer_free(&far.sealer);
	world_free(w);
	store_ops = NULL;
	chunk_bytes = 4000;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_sealed_reads_the_same_now_and_after_a_restart),
		cmocka_unit_test(answers_end_where_they_ended_before_the_sealing),
		cmocka_unit_test(a_log_that_is_too_long_loses_its_segments_and_no_item),
		cmocka_unit_test(what_no_checkpoint_covers_is_not_sealed),
		cmocka_unit_test(a_shape_that_is_gone_gets_no_chunk_and_no_directory),
		cmocka_unit_test(log_chunks_that_a_crash_left_are_removed),
		cmocka_unit_test(a_damaged_write_ahead_file_takes_nothing_that_the_change_log_has_not),
		cmocka_unit_test(a_damaged_item_behind_the_sealed_part_of_its_transaction_costs_the_shape),
		cmocka_unit_test(a_shape_whose_snapshot_could_not_be_recorded_is_sealed_like_others),
		cmocka_unit_test(the_log_of_a_shape_whose_removal_is_not_durable_is_kept),
		cmocka_unit_test(a_compaction_holds_up_neither_sealing_nor_the_change_log),
		cmocka_unit_test(the_stream_waits_while_a_log_that_is_far_too_long_is_drained_and_no_longer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
