/* label: unit
 * Which columns were rewritten between two looks, from what the catalog says. The SQL is proved by the end-to-end story
 * rotation. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "stack/rewrites.h"

#define INT 23
#define BIGINT 20

static bool rewritten(const char *file, const char *columns, const char *column, uint32_t type_oid)
{
	cu_rewrites *rewrites = cu_rewrites_new();
	bool answer;

	cu_rewrites_note(rewrites, 7, "100", ",\"a\":500/23/-1,\"b\":500/23/-1,\"c\"\"\":500/23/-1,");
	assert_false(cu_rewrites_has_table(rewrites, 7)); /* nothing was known before */
	cu_rewrites_end(rewrites);
	cu_rewrites_note(rewrites, 7, file, columns);
	answer = cu_rewrites_has_column(rewrites, 7, column, type_oid, -1);
	assert_false(cu_rewrites_has_column(rewrites, 8, column, type_oid, -1));
	cu_rewrites_end(rewrites);
	cu_rewrites_free(&rewrites);
	return answer;
}

static void a_new_file_and_a_new_row_of_the_column_make_a_rewrite(void **state)
{
	(void)state;
	assert_false(rewritten("100", ",\"a\":500/23/-1,", "a", INT));
	assert_false(rewritten("100", ",\"a\":501/23/-1,", "a", INT)); /* SET NOT NULL */
	assert_false(rewritten("101", ",\"a\":500/23/-1,", "a", INT)); /* VACUUM FULL */
	assert_true(rewritten("101", ",\"a\":501/23/-1,", "a", INT));
	assert_false(rewritten("101", ",\"a\":501/23/-1,\"b\":500/23/-1,", "b", INT));
	assert_true(rewritten("101", ",\"c\"\"\":501/23/-1,", "c\"", INT));
	/* gone, new, or a name that another ends with */
	assert_false(rewritten("101", ",\"a\":501/23/-1,", "b", INT));
	assert_false(rewritten("101", ",\"d\":501/23/-1,", "d", INT));
	assert_false(rewritten("101", ",\"ab\":501/23/-1,", "b", INT));
}

static void who_has_the_new_type_came_after_it(void **state)
{
	(void)state;
	assert_true(rewritten("101", ",\"a\":501/20/-1,", "a", INT));
	assert_false(rewritten("101", ",\"a\":501/20/-1,", "a", BIGINT));
}

static void columns_that_came_or_were_never_noted_may_be_others(void **state)
{
	cu_rewrites *rewrites = cu_rewrites_new();

	(void)state;
	cu_rewrites_note(rewrites, 7, "100", ",\"a\":500/23/-1,");
	assert_true(cu_rewrites_may_have_other_columns(rewrites, 7));
	assert_false(cu_rewrites_may_have_other_columns(rewrites, 8));
	cu_rewrites_end(rewrites);
	cu_rewrites_note(rewrites, 7, "101", ",\"a\":500/23/-1,");
	assert_false(cu_rewrites_may_have_other_columns(rewrites, 7));
	cu_rewrites_end(rewrites);
	/* A look that was given up is as if it had not been. */
	for (int i = 0; i < 2; i++) {
		cu_rewrites_note(rewrites, 7, "101", ",\"a\":500/23/-1,\"b\":500/23/-1,");
		assert_true(cu_rewrites_may_have_other_columns(rewrites, 7));
		cu_rewrites_cancel(rewrites);
	}
	cu_rewrites_free(&rewrites);
}

/* What a look has seen is compared with the first one of the next process, unless its bytes are damaged. */
static void a_look_outlives_the_process(void **state)
{
	cu_rewrites *rewrites = cu_rewrites_new();
	cu_buf bytes = CU_BUF_INIT;

	(void)state;
	cu_rewrites_note(rewrites, 7, "100", ",\"a\":500/23/-1,");
	cu_rewrites_note(rewrites, 9, "200", "");
	assert_true(cu_rewrites_end(rewrites));
	cu_rewrites_note(rewrites, 7, "100", ",\"a\":500/23/-1,");
	cu_rewrites_note(rewrites, 9, "200", "");
	assert_false(cu_rewrites_end(rewrites));
	cu_rewrites_put(rewrites, &bytes);
	for (size_t flipped = 0; flipped <= bytes.len; flipped++) {
		bool whole = flipped == bytes.len;

		if (!whole)
			bytes.data[flipped] ^= 4;
		cu_rewrites_free(&rewrites);
		rewrites = cu_rewrites_new();
		cu_rewrites_restore(rewrites, bytes.data, bytes.len);
		cu_rewrites_note(rewrites, 7, "101", ",\"a\":501/23/-1,");
		cu_rewrites_note(rewrites, 9, "200", "");
		assert_int_equal(cu_rewrites_has_column(rewrites, 7, "a", INT, -1), whole);
		assert_false(cu_rewrites_has_table(rewrites, 9));
		assert_int_equal(cu_rewrites_may_have_other_columns(rewrites, 9), !whole);
		if (!whole)
			bytes.data[flipped] ^= 4;
	}
	cu_rewrites_free(&rewrites);
	cu_buf_fini(&bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_file_and_a_new_row_of_the_column_make_a_rewrite),
		cmocka_unit_test(who_has_the_new_type_came_after_it),
		cmocka_unit_test(a_look_outlives_the_process),
		cmocka_unit_test(columns_that_came_or_were_never_noted_may_be_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
