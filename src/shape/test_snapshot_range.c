/* Which transactions a snapshot holds, also where the 32 bits of the stream wrap; and which it would miss.
 * label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "shape/recent_xids.h"

#define EPOCH (UINT64_C(1) << 32)

static void a_snapshot_reads_and_writes_as_itself(void **state)
{
	static const char *const texts[] = {
		"1:1:",
		"740:743:740,742",
		"3:3:",
		"0:0:",
		"4294967295:4294967300:4294967295,4294967296",
		"18446744073709551614:18446744073709551615:18446744073709551614",
	};
	cu_buf out = CU_BUF_INIT;

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(texts); i++) {
		cu_snapshot_range range;

		assert_int_equal(cu_snapshot_range_parse(texts[i], &range), 0);
		cu_buf_clear(&out);
		cu_snapshot_range_put_text(&range, &out);
		assert_string_equal(cu_buf_str(&out), texts[i]);
		cu_snapshot_range_fini(&range);
		assert_null(range.xip);
	}
	cu_buf_fini(&out);
}

static void what_is_no_snapshot_is_refused(void **state)
{
	static const char *const texts[] = {
		"",
		":",
		"::",
		"1",
		"1:",
		"1:2",
		"1::",
		":2:",
		"2:1:",
		"1:2:3,",
		"1:2:,3",
		"1:2:3,,4",
		"1:2:x",
		"1:2:3x",
		"1:2:3 ,4",
		" 1:2:",
		"1 :2:",
		"-1:2:",
		"1:-2:",
		"1:2:-3",
		"+1:2:",
		"1:2: 3",
		"18446744073709551616:18446744073709551616:",
		"1:2:99999999999999999999",
		"1:2:3:",
		"a:b:c",
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(texts); i++) {
		cu_snapshot_range range = { .xmin = 77 };

		assert_int_equal(cu_snapshot_range_parse(texts[i], &range), CU_ECORRUPT);
		assert_int_equal(range.xmin, 77);
	}
}

static void no_memory_for_the_list_is_told(void **state)
{
	cu_snapshot_range range;

	(void)state;
	cu_fault_alloc_at(1);
	assert_int_equal(cu_snapshot_range_parse("1:9:3,4", &range), CU_ENOMEM);
	cu_fault_alloc_at(0);
}

static void a_snapshot_holds_what_had_ended_before_it(void **state)
{
	cu_snapshot_range range;

	(void)state;
	/* the list need not be in order */
	assert_int_equal(cu_snapshot_range_parse("100:110:107,100,103", &range), 0);
	for (uint32_t xid = 50; xid < 160; xid++) {
		bool running = xid == 100 || xid == 103 || xid == 107;

		assert_int_equal(cu_snapshot_range_holds_xid(&range, xid), xid < 110 && !running);
	}
	cu_snapshot_range_fini(&range);
}

static void xids_widen_across_the_wrap_in_both_directions(void **state)
{
	static const struct {
		uint64_t xmax;
		uint32_t xid;
		uint64_t full;
	} cases[] = {
		{ 1000, 999, 999 },
		{ 1000, 1000, 1000 },
		{ 1000, 0x7fffffff, 0x7fffffff },
		{ EPOCH - 10, 5, EPOCH + 5 }, /* the stream is past the wrap */
		{ EPOCH - 10, 4294967295u, EPOCH - 1 },
		{ EPOCH + 5, 4294967290u, EPOCH - 6 }, /* the stream is still before it */
		{ EPOCH + 5, 3, EPOCH + 3 },
		{ 7 * EPOCH, 4294967295u, 7 * EPOCH - 1 },
		{ 7 * EPOCH, 0, 7 * EPOCH },
		{ 7 * EPOCH + 0x80000000u, 0, 7 * EPOCH }, /* exactly half a turn: backwards */
		{ 7 * EPOCH + 0x80000000u, 0xffffffffu, 7 * EPOCH + 0xffffffffu },
		{ 7 * EPOCH + 0x7fffffffu, 0xfffffffeu, 7 * EPOCH + 0xfffffffeu },
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		cu_snapshot_range range = { .xmin = cases[i].xmax, .xmax = cases[i].xmax };

		assert_true(cu_snapshot_range_widen(&range, cases[i].xid) == cases[i].full);
	}
}

static void a_snapshot_at_the_wrap_holds_the_right_side(void **state)
{
	cu_snapshot_range range;

	(void)state;
	assert_int_equal(cu_snapshot_range_parse("4294967290:4294967301:4294967294,4294967297", &range), 0);
	for (uint64_t full = EPOCH - 100; full < EPOCH + 100; full++) {
		bool running = full == EPOCH - 2 || full == EPOCH + 1;

		assert_int_equal(cu_snapshot_range_holds_xid(&range, (uint32_t)full), full < EPOCH + 5 && !running);
	}
	cu_snapshot_range_fini(&range);
}

static void the_control_message_lists_strings(void **state)
{
	cu_snapshot_range range;
	cu_buf out = CU_BUF_INIT;

	(void)state;
	assert_int_equal(cu_snapshot_range_parse("100:110:103,100", &range), 0);
	cu_snapshot_range_put_message(&range, &out);
	assert_string_equal(cu_buf_str(&out),
			    "{\"headers\":{\"control\":\"snapshot-end\",\"xmin\":\"100\",\"xmax\":\"110\","
			    "\"xip_list\":[\"100\",\"103\"]}}");
	cu_snapshot_range_fini(&range);
	cu_buf_fini(&out);
}

/* ---- recent transactions ---- */

static void a_passed_transaction_that_the_snapshot_lacks_is_missed(void **state)
{
	cu_recent_xids *recent = cu_recent_xids_new();
	cu_snapshot_range range;
	uint64_t mark;

	(void)state;
	assert_int_equal(cu_snapshot_range_parse("100:110:103", &range), 0);
	assert_false(cu_recent_xids_missed(recent, cu_recent_xids_mark(recent), &range));
	cu_recent_xids_push(recent, 99);
	cu_recent_xids_push(recent, 105);
	assert_false(cu_recent_xids_missed(recent, cu_recent_xids_mark(recent), &range));
	mark = cu_recent_xids_mark(recent);
	cu_recent_xids_push(recent, 103); /* passed before the mark that is taken next */
	assert_false(cu_recent_xids_missed(recent, mark, &range));
	assert_true(cu_recent_xids_missed(recent, cu_recent_xids_mark(recent), &range));
	cu_snapshot_range_fini(&range);
	assert_int_equal(cu_snapshot_range_parse("104:110:", &range), 0); /* a later one has it */
	assert_false(cu_recent_xids_missed(recent, cu_recent_xids_mark(recent), &range));
	cu_recent_xids_push(recent, 120);
	assert_true(cu_recent_xids_missed(recent, cu_recent_xids_mark(recent), &range));
	cu_recent_xids_forget(recent); /* of another history */
	assert_false(cu_recent_xids_missed(recent, cu_recent_xids_mark(recent), &range));
	cu_recent_xids_free(&recent);
	assert_null(recent);
	cu_recent_xids_free(&recent);
	cu_snapshot_range_fini(&range);
}

static void what_comes_after_the_mark_is_not_asked_about(void **state)
{
	cu_recent_xids *recent = cu_recent_xids_new();
	cu_snapshot_range range = { .xmin = 100, .xmax = 100 };
	uint64_t mark = cu_recent_xids_mark(recent);

	(void)state;
	for (uint32_t xid = 100; xid < 200; xid++)
		cu_recent_xids_push(recent, xid);
	assert_false(cu_recent_xids_missed(recent, mark, &range));
	assert_true(cu_recent_xids_missed(recent, mark + 1, &range));
	cu_recent_xids_free(&recent);
}

static void the_ring_remembers_exactly_its_size(void **state)
{
	cu_recent_xids *recent = cu_recent_xids_new();
	cu_snapshot_range range = { .xmin = 1000, .xmax = 1000 };

	(void)state;
	cu_recent_xids_push(recent, 1000); /* not held */
	for (uint32_t i = 1; i < CU_RECENT_XIDS; i++)
		cu_recent_xids_push(recent, 1);
	assert_true(cu_recent_xids_missed(recent, cu_recent_xids_mark(recent), &range));
	cu_recent_xids_push(recent, 1); /* takes its place */
	assert_false(cu_recent_xids_missed(recent, cu_recent_xids_mark(recent), &range));
	cu_recent_xids_push(recent, 1001);
	assert_true(cu_recent_xids_missed(recent, cu_recent_xids_mark(recent), &range));
	assert_false(cu_recent_xids_missed(recent, cu_recent_xids_mark(recent) - 1, &range));
	cu_recent_xids_free(&recent);
}

/* A shape may live for more transactions than a 32-bit number can tell apart. */
static void numbers_that_have_come_around_are_not_held(void **state)
{
	cu_snapshot_range range;

	(void)state;
	assert_int_equal(cu_snapshot_range_parse("4294967396:4294967406:4294967401", &range),
			 0); /* 2^32 + 100, 110, 105 */
	range.lsn = 5000;
	assert_true(cu_snapshot_range_holds(&range, 104, 4999));
	assert_false(cu_snapshot_range_holds(&range, 105, 4999));
	/* 2^31 transactions later this number looks older than the snapshot */
	assert_true(cu_snapshot_range_holds_xid(&range, 0x80000100u));
	assert_false(cu_snapshot_range_holds(&range, 0x80000100u, 5000));
	assert_false(cu_snapshot_range_holds(&range, 104, UINT64_MAX));
	cu_snapshot_range_fini(&range);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_snapshot_reads_and_writes_as_itself),
		cmocka_unit_test(what_is_no_snapshot_is_refused),
		cmocka_unit_test(no_memory_for_the_list_is_told),
		cmocka_unit_test(a_snapshot_holds_what_had_ended_before_it),
		cmocka_unit_test(xids_widen_across_the_wrap_in_both_directions),
		cmocka_unit_test(a_snapshot_at_the_wrap_holds_the_right_side),
		cmocka_unit_test(numbers_that_have_come_around_are_not_held),
		cmocka_unit_test(the_control_message_lists_strings),
		cmocka_unit_test(a_passed_transaction_that_the_snapshot_lacks_is_missed),
		cmocka_unit_test(what_comes_after_the_mark_is_not_asked_about),
		cmocka_unit_test(the_ring_remembers_exactly_its_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
