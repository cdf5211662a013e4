/* Offsets and LSNs as text: what is read, what is refused, and in which order they stand.
 * label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/offset.h"

/* Ascending. */
static const struct {
	const char *text;
	cu_offset offset;
} table[] = {
	{ "-1", { 0, 0, true } },
	{ "0_0", { 0, 0, false } },
	{ "0_1", { 0, 1, false } },
	{ "0_18446744073709551614", { 0, UINT64_MAX - 1, false } },
	{ "0_inf", { 0, CU_OP_INF, false } },
	{ "1_0", { 1, 0, false } },
	{ "26800584_0", { 26800584, 0, false } },
	{ "26800584_2", { 26800584, 2, false } },
	{ "26800584_inf", { 26800584, CU_OP_INF, false } },
	{ "18446744073709551615_0", { UINT64_MAX, 0, false } },
	{ "18446744073709551615_inf", { UINT64_MAX, CU_OP_INF, false } },
};

static void an_offset_reads_and_writes_as_itself(void **state)
{
	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(table); i++) {
		char text[CU_OFFSET_TEXT_MAX];
		cu_offset offset;

		assert_int_equal(cu_offset_parse(table[i].text, strlen(table[i].text), &offset), 0);
		assert_true(offset.tx == table[i].offset.tx && offset.op == table[i].offset.op);
		assert_int_equal(offset.before_all, table[i].offset.before_all);
		assert_int_equal(cu_offset_format(offset, text), strlen(table[i].text));
		assert_string_equal(text, table[i].text);
	}
}

static void offsets_are_ordered_by_transaction_then_op_with_inf_greatest(void **state)
{
	(void)state;
	for (size_t a = 0; a < CU_ARRAY_LEN(table); a++) {
		for (size_t b = 0; b < CU_ARRAY_LEN(table); b++) {
			int cmp = cu_offset_cmp(table[a].offset, table[b].offset);

			assert_true(a < b ? cmp < 0 : a > b ? cmp > 0 : cmp == 0);
		}
	}
	assert_int_equal(cu_offset_cmp(CU_OFFSET_SNAPSHOT_END, cu_offset_of(0, CU_OP_INF)), 0);
	assert_int_equal(cu_offset_cmp(CU_OFFSET_BEFORE_ALL, CU_OFFSET_BEFORE_ALL), 0);
}

static void anything_else_is_refused_and_nothing_is_written(void **state)
{
	static const char *const garbage[] = {
		"",
		"-",
		"1",
		"_",
		"_0",
		"1_",
		"1__0",
		"1_0_0",
		"1_-1",
		"-1_0",
		"-2",
		"-1 ",
		" -1",
		"--1",
		"1_0 ",
		" 1_0",
		"1 _0",
		"+1_0",
		"1_+0",
		"0x1_0",
		"1_0x1",
		"1_in",
		"1_INF",
		"1_inff",
		"1_infinity",
		"inf_0",
		"inf",
		"now",
		"1.0_0",
		"1e3_0",
		"18446744073709551616_0",
		"18446744073709551620_0",
		"99999999999999999999999_0",
		"0_18446744073709551615",
		"0_18446744073709551616",
		"0_99999999999999999999999",
		"1,0",
		"1-0",
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(garbage); i++) {
		cu_offset offset = { 11, 22, true };

		assert_int_equal(cu_offset_parse(garbage[i], strlen(garbage[i]), &offset), CU_EINVAL);
		assert_true(offset.tx == 11 && offset.op == 22 && offset.before_all);
	}
}

static void the_length_decides_not_a_nul(void **state)
{
	cu_offset offset;

	(void)state;
	assert_int_equal(cu_offset_parse("12_34xyz", 5, &offset), 0);
	assert_true(offset.tx == 12 && offset.op == 34);
	assert_int_equal(cu_offset_parse("12_3\0", 5, &offset), CU_EINVAL);
	assert_int_equal(cu_offset_parse("-1\0", 3, &offset), CU_EINVAL);
	assert_int_equal(cu_offset_parse("12_inf_", 6, &offset), 0);
}

static void an_lsn_reads_as_postgres_writes_it(void **state)
{
	static const struct {
		const char *text;
		uint64_t lsn;
	} good[] = {
		{ "0/0", 0 }, { "16/B374D848", 0x16b374d848 },     { "16/b374d848", 0x16b374d848 },
		{ "0/1", 1 }, { "FFFFFFFF/FFFFFFFF", UINT64_MAX }, { "1/0", 0x100000000 },
	};
	static const char *const bad[] = {
		"",     "/",    "0",    "0/",    "/0",    "0/0/0", "0/0 ",        " 0/0",        "0 /0", "0/ 0",
		"-1/0", "0/-1", "+1/0", "0x1/0", "0/0x1", "G/0",   "100000000/0", "0/100000000", "0-0",
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(good); i++) {
		uint64_t lsn = 7;

		assert_int_equal(cu_lsn_parse(good[i].text, &lsn), 0);
		assert_true(lsn == good[i].lsn);
	}
	for (size_t i = 0; i < CU_ARRAY_LEN(bad); i++) {
		uint64_t lsn = 7;

		if (cu_lsn_parse(bad[i], &lsn) != CU_EINVAL)
			fail_msg("read as an LSN: \"%s\"", bad[i]);
		assert_true(lsn == 7);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_offset_reads_and_writes_as_itself),
		cmocka_unit_test(offsets_are_ordered_by_transaction_then_op_with_inf_greatest),
		cmocka_unit_test(anything_else_is_refused_and_nothing_is_written),
		cmocka_unit_test(the_length_decides_not_a_nul),
		cmocka_unit_test(an_lsn_reads_as_postgres_writes_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
