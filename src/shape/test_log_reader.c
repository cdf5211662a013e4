/* A range of a shape's log, read in pieces, is byte for byte the naive concatenation of its items; the same log read
 * back from disk gives the same tails.
 * label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "shape/test_log_help.h"

static void any_range_is_the_naive_concatenation(void **state)
{
	struct world *w = world_new(0);

	(void)state;
	random_state = 1;
	write_random(w, 30, 200);
	assert_every_range(w, w->shapes, 1);
	world_free(w);
}

static void runs_across_segment_borders_read_the_same(void **state)
{
	struct world *w = world_new(700);

	(void)state;
	random_state = 2;
	write_random(w, 30, 200);
	assert_every_range(w, w->shapes, 1);
	world_free(w);
}

static void long_logs_come_in_bounded_pieces(void **state)
{
	struct world *w = world_new(100000);

	(void)state;
	random_state = 3;
	write_random(w, 60, 5000);
	assert_every_range(w, w->shapes, 23);
	world_free(w);
}

/* Some are twice a piece, some end right at its border. */
static void items_larger_than_a_piece_read_whole(void **state)
{
	static const size_t lens[] = {
		10, 65500, 65535, 65536, 65537, 200000, 1, 65510, 65520, 30, 131072, 65518, 65519
	};
	struct world *w = world_new(300000);

	(void)state;
	for (unsigned t = 1; t <= 4; t++) {
		begin(w, 1000 * t, 100 + t);
		for (size_t i = 0; i < CU_ARRAY_LEN(lens); i++)
			item(w, t == 2 ? 7 : 1u << i % SHAPES, lens[(i * t) % CU_ARRAY_LEN(lens)]);
		commit(w);
	}
	assert_every_range(w, w->shapes, 3);
	world_free(w);
}

static void one_transaction_of_many_small_items_is_one_run(void **state)
{
	uint64_t usual = chunk_bytes;
	struct world *w;

	(void)state;
	chunk_bytes = 8u << 20;
	w = world_new(0);
	begin(w, 1000, 100);
	for (unsigned i = 0; i < 500; i++)
		item(w, 1, 400);
	commit(w);
	assert_int_equal(cu_shape_log_of(w->shapes[0])->tail.len, 1);
	for (size_t i = 0; i < 500; i += 7)
		assert_reads(w, 0, w->shapes[0], cu_offset_of(1000, 2 * i), cu_shape_status(w->shapes[0]).latest,
			     i % 2);
	world_free(w);
	chunk_bytes = usual;
}

static void a_transaction_larger_than_a_chunk_comes_in_chunks(void **state)
{
	struct world *w = world_new(0);
	cu_offset from = CU_OFFSET_SNAPSHOT_END, latest;
	unsigned answers = 0;

	(void)state;
	begin(w, 1000, 100);
	for (unsigned i = 0; i < 500; i++)
		item(w, 1, 400);
	commit(w);
	latest = cu_shape_status(w->shapes[0]).latest;
	while (cu_offset_cmp(from, latest) < 0) {
		cu_offset end = cu_shape_log_answer_end(cu_shape_log_of(w->shapes[0]), from);
		uint64_t items = (end.op - (answers ? from.op : 0)) / 2;

		assert_reads(w, 0, w->shapes[0], from, end, false);
		assert_in_range(items * 400, 0, chunk_bytes + cu_tail_run_bytes_max(chunk_bytes) + 400);
		from = end;
		answers++;
	}
	assert_in_range(answers, 200000 / (chunk_bytes + cu_tail_run_bytes_max(chunk_bytes) + 400),
			200000 / chunk_bytes + 1);
	world_free(w);
}

static void a_shape_that_goes_closes_its_readers(void **state)
{
	struct world *w = world_new(0);
	struct cu_log_file file;
	cu_buf out = CU_BUF_INIT;
	cu_log_reader reader;

	(void)state;
	begin(w, 1000, 100);
	for (unsigned i = 0; i < 500; i++)
		item(w, 1, 400);
	commit(w);
	cu_log_reader_init(&reader, w->shapes[0], w->store, CU_OFFSET_BEFORE_ALL, cu_shape_status(w->shapes[0]).latest);
	assert_int_equal(cu_log_reader_next(&reader, &out, &file), 1);
	w->shapes[0]->state = CU_SHAPE_REMOVING;
	cu_buf_clear(&out);
	assert_int_equal(cu_log_reader_next(&reader, &out, &file), CU_ECLOSED);
	assert_int_equal(out.len, 0);
	w->shapes[0]->state = CU_SHAPE_GONE;
	assert_int_equal(cu_log_reader_next(&reader, &out, &file), CU_ECLOSED);
	cu_log_reader_fini(&reader);
	cu_buf_fini(&out);
	world_free(w);
}

static void a_lost_segment_is_damage(void **state)
{
	struct world *w = world_new(1000);
	cu_offset end;
	struct cu_log_file file;
	cu_buf out = CU_BUF_INIT;
	cu_log_reader reader;

	(void)state;
	random_state = 4;
	write_random(w, 30, 300);
	end = cu_shape_status(w->shapes[0]).latest;
	assert_int_equal(cu_changelog_drop_before(w->log, cu_changelog_flushed(w->log)), 0);
	cu_log_reader_init(&reader, w->shapes[0], w->store, CU_OFFSET_BEFORE_ALL, end);
	assert_int_equal(cu_log_reader_next(&reader, &out, &file), CU_ECORRUPT);
	cu_log_reader_fini(&reader);
	cu_buf_fini(&out);
	world_free(w);
}

static void no_memory_for_the_window_is_told(void **state)
{
	struct world *w = world_new(0);
	struct cu_log_file file;
	cu_log_reader reader;
	unsigned n = 0;
	int rc;

	(void)state;
	random_state = 5;
	write_random(w, 10, 300);
	do {
		cu_buf out = CU_BUF_INIT;

		cu_log_reader_init(&reader, w->shapes[1], w->store, CU_OFFSET_BEFORE_ALL,
				   cu_shape_status(w->shapes[1]).latest);
		cu_fault_alloc_at(++n);
		rc = cu_log_reader_next(&reader, &out, &file);
		cu_fault_alloc_at(0);
		assert_true(rc == 0 || rc == CU_ENOMEM);
		cu_log_reader_fini(&reader);
		cu_buf_fini(&out);
	} while (rc != 0);
	assert_true(n > 2);
	world_free(w);
}

/* ---- replay ---- */

static void assert_same_tail(const cu_tail *a, const cu_tail *b)
{
	assert_int_equal(a->len, b->len);
	assert_int_equal(a->committed, b->committed);
	assert_int_equal(a->visible, b->visible);
	for (size_t i = 0; i < a->len; i++) {
		const struct cu_tail_run *x = cu_tail_run_at(a, i), *y = cu_tail_run_at(b, i);

		assert_int_equal(x->tx, y->tx);
		assert_int_equal(x->xid, y->xid);
		assert_int_equal(x->first_op, y->first_op);
		assert_int_equal(x->last_op, y->last_op);
		assert_int_equal(x->pos, y->pos);
		assert_int_equal(x->span, y->span);
		assert_int_equal(x->items, y->items);
		assert_int_equal(x->bytes, y->bytes);
		assert_int_equal(x->last, y->last);
	}
	assert_int_equal(a->chunk_ends_len, b->chunk_ends_len);
	for (size_t i = 0; i < a->chunk_ends_len; i++)
		assert_int_equal(a->chunk_ends[i], b->chunk_ends[i]);
	assert_int_equal(a->chunk_bytes, b->chunk_bytes);
}

static void replay_gives_the_same_tails_and_bytes(void **state)
{
	(void)state;
	for (unsigned seed = 10; seed < 20; seed++) {
		struct world *w = world_new(seed % 2 ? 0 : 900);
		cu_shape *shapes[SHAPES];
		cu_shape_set *set;

		random_state = seed;
		write_random(w, 40, 300);
		set = replayed(w, shapes);
		for (uint32_t s = 0; s < SHAPES; s++)
			assert_same_tail(&cu_shape_log_of(shapes[s])->tail, &cu_shape_log_of(w->shapes[s])->tail);
		assert_true(cu_shape_log_of(w->shapes[0])->tail.chunk_ends_len > 1);
		assert_every_range(w, shapes, 9);
		for (uint32_t s = 0; s < SHAPES; s++)
			cu_shape_unref(&shapes[s]);
		cu_shape_set_free(&set);
		world_free(w);
	}
}

static void an_aborted_transaction_leaves_nothing_after_replay(void **state)
{
	struct world *w = world_new(0);
	cu_shape *shapes[SHAPES];
	cu_shape_set *set;

	(void)state;
	begin(w, 1000, 100);
	item(w, 7, 10);
	end_fragment(w, 0);
	item(w, 7, 10);
	abort_tx(w);
	begin(w, 1000, 100); /* it comes again */
	item(w, 1, 10);
	commit(w);
	set = replayed(w, shapes);
	assert_int_equal(cu_shape_log_of(shapes[0])->tail.visible, 1);
	assert_int_equal(cu_shape_log_of(shapes[1])->tail.len, 0);
	assert_int_equal(cu_shape_log_of(shapes[2])->tail.len, 0);
	assert_every_range(w, shapes, 1);
	for (uint32_t s = 0; s < SHAPES; s++)
		cu_shape_unref(&shapes[s]);
	cu_shape_set_free(&set);
	world_free(w);
}

static void records_of_unknown_shapes_are_skipped(void **state)
{
	struct world *w = world_new(0);
	struct cu_fanout_shape shape = { 99, 0, 1 };
	struct cu_fanout_run run = { 0, 1 };
	struct cu_fanout fanout = { .tx = 1000,
				    .end_lsn = 1001,
				    .xid = 100,
				    .flags = CU_FANOUT_COMMIT,
				    .shapes = &shape,
				    .runs = &run,
				    .shapes_len = 1,
				    .runs_len = 1 };
	cu_shape *shapes[SHAPES];
	cu_shape_set *set;

	(void)state;
	assert_int_equal(cu_changelog_append_item(w->log, 1000, 0, "x", 1, NULL), 0);
	assert_int_equal(cu_changelog_append_fanout(w->log, &fanout), 0);
	set = replayed(w, shapes);
	for (uint32_t s = 0; s < SHAPES; s++) {
		assert_int_equal(cu_shape_log_of(shapes[s])->tail.len, 0);
		cu_shape_unref(&shapes[s]);
	}
	cu_shape_set_free(&set);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_range_is_the_naive_concatenation),
		cmocka_unit_test(runs_across_segment_borders_read_the_same),
		cmocka_unit_test(long_logs_come_in_bounded_pieces),
		cmocka_unit_test(items_larger_than_a_piece_read_whole),
		cmocka_unit_test(one_transaction_of_many_small_items_is_one_run),
		cmocka_unit_test(a_transaction_larger_than_a_chunk_comes_in_chunks),
		cmocka_unit_test(a_shape_that_goes_closes_its_readers),
		cmocka_unit_test(a_lost_segment_is_damage),
		cmocka_unit_test(no_memory_for_the_window_is_told),
		cmocka_unit_test(replay_gives_the_same_tails_and_bytes),
		cmocka_unit_test(an_aborted_transaction_leaves_nothing_after_replay),
		cmocka_unit_test(records_of_unknown_shapes_are_skipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
