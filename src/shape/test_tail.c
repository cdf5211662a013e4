/* A tail's runs: how they grow, when they are seen, where one seeks to and where an answer ends.
 * label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "shape/tail.h"
#include "store/span.h"

#define CHUNK 100u

/* A run of `items` items with ops 0, 2 …, of `bytes` in all. */
static struct cu_tail_run run_of(uint64_t tx, uint32_t xid, uint64_t first_op, uint32_t items, uint32_t bytes)
{
	return (struct cu_tail_run){
		.tx = tx,
		.xid = xid,
		.first_op = first_op,
		.last_op = first_op + 2 * (uint64_t)(items - 1),
		.pos = tx * 1000,
		.span = bytes,
		.items = items,
		.bytes = bytes,
	};
}

static void add(cu_tail *tail, uint64_t tx, uint32_t items, uint32_t bytes)
{
	struct cu_tail_run run = run_of(tx, (uint32_t)tx, 0, items, bytes);

	assert_int_equal(cu_tail_append(tail, &run), 0);
	cu_tail_commit(tail, CHUNK);
}

static bool offset_is(cu_offset offset, uint64_t tx, uint64_t op)
{
	return !cu_offset_cmp(offset, cu_offset_of(tx, op));
}

static void neighbours_become_one_run_and_nothing_else_does(void **state)
{
	struct cu_tail_run run = { .tx = 5 };
	uint64_t second = 1000 + 50 + cu_span_prefix(2), far = second + 60 + cu_span_prefix(300);

	(void)state;
	assert_true(cu_tail_run_extend(&run, 1000, 50, 0, UINT64_MAX));
	assert_true(cu_tail_run_extend(&run, second, 60, 2, UINT64_MAX));
	assert_false(
		cu_tail_run_extend(&run, far - 1, 70, 300, UINT64_MAX)); /* the op's varint is longer: another prefix */
	assert_false(cu_tail_run_extend(&run, far + 1, 70, 300, UINT64_MAX));
	assert_false(cu_tail_run_extend(&run, 500, 70, 300, UINT64_MAX));
	assert_true(cu_tail_run_extend(&run, far, 70, 300, UINT64_MAX));
	assert_int_equal(run.items, 3);
	assert_int_equal(run.bytes, 180);
	assert_int_equal(run.first_op, 0);
	assert_int_equal(run.last_op, 300);
	assert_int_equal(run.pos, 1000);
	assert_int_equal(run.span, far + 70 - 1000);
	/* A neighbour it is, but the run is as long as it may be. */
	assert_false(cu_tail_run_extend(&run, far + 70 + cu_span_prefix(302), 10, 302, 180));
	assert_true(cu_tail_run_extend(&run, far + 70 + cu_span_prefix(302), 10, 302, 181));
}

static void nothing_is_seen_before_it_is_committed_and_shown(void **state)
{
	cu_tail tail = { 0 };
	struct cu_tail_run run = run_of(10, 7, 0, 3, 30);

	(void)state;
	assert_int_equal(cu_tail_append(&tail, &run), 0);
	assert_false(cu_tail_show(&tail));
	cu_tail_commit(&tail, CHUNK);
	assert_int_equal(tail.visible, 0);
	assert_int_equal(cu_tail_seek(&tail, CU_OFFSET_BEFORE_ALL), 0);
	assert_true(cu_tail_show(&tail));
	assert_false(cu_tail_show(&tail));
	assert_true(offset_is(cu_tail_latest(&tail), 10, 4));
	cu_tail_fini(&tail);
}

static void an_abort_drops_the_open_transaction_alone(void **state)
{
	cu_tail tail = { 0 };
	struct cu_tail_run first = run_of(20, 8, 0, 2, 20), second = run_of(20, 8, 4, 1, 10);

	(void)state;
	add(&tail, 10, 2, 20);
	assert_int_equal(cu_tail_append(&tail, &first), 0);
	assert_int_equal(cu_tail_append(&tail, &second), 0);
	cu_tail_abort(&tail);
	cu_tail_commit(&tail, CHUNK); /* an empty one changes nothing */
	cu_tail_show(&tail);
	assert_int_equal(tail.len, 1);
	assert_true(offset_is(cu_tail_latest(&tail), 10, 2));
	assert_int_equal(tail.chunk_bytes, 20);
	assert_int_equal(cu_tail_append(&tail, &first), 0); /* the same transaction comes again */
	assert_int_equal(cu_tail_append(&tail, &second), 0);
	cu_tail_commit(&tail, CHUNK);
	cu_tail_show(&tail);
	assert_true(offset_is(cu_tail_latest(&tail), 20, 4));
	assert_false(cu_tail_run_at(&tail, 1)->last);
	assert_true(cu_tail_run_at(&tail, 0)->last && cu_tail_run_at(&tail, 2)->last);
	cu_tail_fini(&tail);
}

static void no_memory_for_a_run_leaves_the_tail_as_it_was(void **state)
{
	cu_tail tail = { 0 };
	unsigned failures = 0;

	(void)state;
	for (uint64_t tx = 1; tx < 50; tx++) {
		struct cu_tail_run run = run_of(tx, (uint32_t)tx, 0, 1, 1);
		size_t len = tail.len;

		cu_fault_alloc_at(1);
		if (cu_tail_append(&tail, &run) == CU_ENOMEM) {
			failures++;
			assert_int_equal(tail.len, len);
			cu_fault_alloc_at(0);
			assert_int_equal(cu_tail_append(&tail, &run), 0);
		}
		cu_fault_alloc_at(0);
		assert_int_equal(tail.len, len + 1);
	}
	assert_true(failures > 3);
	cu_tail_fini(&tail);
}

static void seek_finds_the_run_with_the_next_item_from_any_offset(void **state)
{
	cu_tail tail = { 0 };

	(void)state;
	for (uint64_t tx = 10; tx <= 50; tx += 10)
		add(&tail, tx, 3, 10); /* ops 0, 2, 4 */
	cu_tail_show(&tail);
	assert_int_equal(cu_tail_seek(&tail, CU_OFFSET_BEFORE_ALL), 0);
	assert_int_equal(cu_tail_seek(&tail, CU_OFFSET_SNAPSHOT_END), 0);
	for (uint64_t tx = 5; tx <= 55; tx++) {
		for (uint64_t op = 0; op <= 6; op++) {
			cu_offset offset = cu_offset_of(tx, op == 6 ? CU_OP_INF : op);
			size_t expected = 0;

			while (expected < 5 && cu_offset_cmp(cu_offset_of(10 * (expected + 1), 4), offset) <= 0)
				expected++;
			assert_int_equal(cu_tail_seek(&tail, offset), expected);
		}
	}
	cu_tail_fini(&tail);
}

static void an_answer_ends_at_the_next_chunk_end_or_at_the_latest(void **state)
{
	cu_tail tail = { 0 };

	(void)state;
	for (uint64_t tx = 1; tx <= 7; tx++)
		add(&tail, tx, 2, 40); /* 100 bytes are passed with every third */
	cu_tail_show(&tail);
	assert_int_equal(tail.chunk_ends_len, 2);
	assert_true(offset_is(cu_tail_answer_end(&tail, CU_OFFSET_SNAPSHOT_END), 3, 2));
	assert_true(offset_is(cu_tail_answer_end(&tail, cu_offset_of(2, 2)), 3, 2));
	assert_true(
		offset_is(cu_tail_answer_end(&tail, cu_offset_of(3, 0)), 3, 2)); /* from the middle of the last run */
	assert_true(offset_is(cu_tail_answer_end(&tail, cu_offset_of(3, 2)), 6, 2));
	assert_true(offset_is(cu_tail_answer_end(&tail, cu_offset_of(5, CU_OP_INF)), 6, 2));
	assert_true(offset_is(cu_tail_answer_end(&tail, cu_offset_of(6, 2)), 7, 2));
	assert_true(offset_is(cu_tail_answer_end(&tail, cu_offset_of(7, 2)), 7, 2));
	assert_true(offset_is(cu_tail_answer_end(&tail, cu_offset_of(99, 0)), 7, 2));
	cu_tail_fini(&tail);
}

static void a_chunk_end_that_is_not_shown_yet_is_no_end(void **state)
{
	cu_tail tail = { 0 };

	(void)state;
	add(&tail, 1, 1, 60);
	cu_tail_show(&tail);
	add(&tail, 2, 1, 60);
	assert_int_equal(tail.chunk_ends_len, 1);
	assert_true(offset_is(cu_tail_answer_end(&tail, CU_OFFSET_SNAPSHOT_END), 1, 0));
	cu_tail_show(&tail);
	assert_true(offset_is(cu_tail_answer_end(&tail, CU_OFFSET_SNAPSHOT_END), 2, 0));
	cu_tail_fini(&tail);
}

static void chunk_ends_never_move_as_the_log_grows(void **state)
{
	cu_tail tail = { 0 };
	size_t before[200];
	size_t len = 0;

	(void)state;
	for (uint64_t tx = 1; tx <= 400; tx++) {
		add(&tail, tx, 1 + (uint32_t)(tx % 3), 1 + (uint32_t)(tx * 37 % 90));
		assert_in_range(tail.chunk_ends_len, len, len + 1);
		for (size_t i = 0; i < len; i++)
			assert_int_equal(tail.chunk_ends[i], before[i]);
		len = tail.chunk_ends_len;
		if (len)
			before[len - 1] = tail.chunk_ends[len - 1];
	}
	assert_true(len > 50);
	cu_tail_fini(&tail);
}

/* What is filtered when the snapshot becomes known equals a tail that never had it. */
static void filtering_equals_never_having_had_it(void **state)
{
	cu_snapshot_range range;
	cu_tail tail = { 0 }, never = { 0 };
	struct cu_tail_run open = run_of(31, 31, 0, 2, 15), held = run_of(32, 13, 0, 2, 15);

	(void)state;
	assert_int_equal(cu_snapshot_range_parse("10:20:12,15", &range), 0);
	range.lsn = 1000;
	for (uint64_t tx = 1; tx <= 30; tx++) {
		add(&tail, tx, 2, 35);
		if (tx == 14 || tx == 22)
			cu_tail_show(&tail);
		if (!cu_snapshot_range_holds(&range, (uint32_t)tx, tx)) {
			add(&never, tx, 2, 35);
			if (tx <= 22)
				cu_tail_show(&never);
		}
	}
	assert_int_equal(cu_tail_append(&tail, &open), 0);
	assert_int_equal(cu_tail_append(&never, &open), 0);
	assert_int_equal(cu_tail_append(&tail, &held), 0);
	cu_tail_filter(&tail, &range, CHUNK);
	assert_int_equal(tail.len, never.len);
	assert_int_equal(tail.committed, never.committed);
	assert_int_equal(tail.visible, never.visible);
	for (size_t i = 0; i < tail.len; i++) {
		assert_int_equal(cu_tail_run_at(&tail, i)->tx, cu_tail_run_at(&never, i)->tx);
		assert_int_equal(cu_tail_run_at(&tail, i)->last, cu_tail_run_at(&never, i)->last);
	}
	assert_int_equal(tail.chunk_ends_len, never.chunk_ends_len);
	assert_memory_equal(tail.chunk_ends, never.chunk_ends, tail.chunk_ends_len * sizeof *tail.chunk_ends);
	assert_int_equal(tail.chunk_bytes, never.chunk_bytes);
	cu_tail_fini(&tail);
	cu_tail_fini(&never);
	cu_snapshot_range_fini(&range);
}

/* An array, and what a tail has done to it. */
struct model {
	struct cu_tail_run runs[4096];
	size_t len, committed, visible;
};

static void assert_is_model(const cu_tail *tail, const struct model *model)
{
	assert_int_equal(tail->len, model->len);
	assert_int_equal(tail->committed, model->committed);
	assert_int_equal(tail->visible, model->visible);
	for (size_t i = 0; i < model->len; i++) {
		assert_int_equal(cu_tail_run_at(tail, i)->tx, model->runs[i].tx);
		assert_int_equal(cu_tail_run_at(tail, i)->pos, model->runs[i].pos);
	}
}

static void drop_first(cu_tail *tail, struct model *model, size_t n)
{
	cu_tail_drop_first(tail, n);
	model->len -= n;
	model->committed -= n;
	model->visible -= n;
	memmove(model->runs, model->runs + n, model->len * sizeof model->runs[0]);
}

static void blocks_hold_what_an_array_would(void **state)
{
	static struct model model;
	cu_tail tail = { 0 };
	uint64_t dice = 42, tx = 0;

	(void)state;
	for (int step = 0; step < 4000; step++) {
		unsigned what;
		size_t n;

		dice = dice * 6364136223846793005ull + 1442695040888963407ull;
		what = (unsigned)(dice >> 60);
		n = (dice >> 32) % 5;
		for (size_t i = 0; what < 10 && i < n; i++) {
			struct cu_tail_run run = run_of(tx + 1, (uint32_t)tx, 0, 1, 10);

			assert_int_equal(cu_tail_append(&tail, &run), 0);
			model.runs[model.len++] = run;
			tx++;
		}
		if (what < 8) {
			cu_tail_commit(&tail, CHUNK);
			model.committed = model.len;
		} else if (what == 10) {
			cu_tail_abort(&tail);
			model.len = model.committed;
		} else if (what < 14) {
			cu_tail_show(&tail);
			model.visible = model.committed;
		} else {
			/* Some, often enough all: small ones are one array, and become blocks again. */
			drop_first(&tail, &model, n == 4 ? model.visible : CU_MIN(model.visible, (dice >> 36) % 40));
		}
		assert_is_model(&tail, &model);
		assert_true(!cu_tail_next_run(&tail) || cu_tail_next_run(&tail) == cu_tail_run_at(&tail, tail.len));
	}
	assert_true(tx > 4000);
	cu_tail_fini(&tail);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(neighbours_become_one_run_and_nothing_else_does),
		cmocka_unit_test(nothing_is_seen_before_it_is_committed_and_shown),
		cmocka_unit_test(an_abort_drops_the_open_transaction_alone),
		cmocka_unit_test(no_memory_for_a_run_leaves_the_tail_as_it_was),
		cmocka_unit_test(seek_finds_the_run_with_the_next_item_from_any_offset),
		cmocka_unit_test(an_answer_ends_at_the_next_chunk_end_or_at_the_latest),
		cmocka_unit_test(a_chunk_end_that_is_not_shown_yet_is_no_end),
		cmocka_unit_test(chunk_ends_never_move_as_the_log_grows),
		cmocka_unit_test(filtering_equals_never_having_had_it),
		cmocka_unit_test(blocks_hold_what_an_array_would),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
