/* label: unit
 * test_copy_row.c: COPY lines, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "pg/copy_row.h"

#define NIL "\1null" /* stands for a null among the expectations */

/* The line is parsed from an exact allocation, so that ASan sees a read past its end. */
static int parse(struct cu_copy_row *row, const char *line, size_t len, char **ret_line)
{
	*ret_line = malloc(len ? len : 1);
	memcpy(*ret_line, line, len);
	return cu_copy_row_parse(row, *ret_line, len);
}

static void lines_become_values(void **state)
{
	static const struct {
		const char *line;
		unsigned n;
		const char *values[4];
	} cases[] = {
		{ "1\ttwo\t3\n", 3, { "1", "two", "3" } },
		{ "no newline at the end\tx", 2, { "no newline at the end", "x" } },
		{ "\n", 1, { "" } },
		{ "", 1, { "" } },
		{ "\n", 0, { NULL } },
		{ "", 0, { NULL } },
		{ "\t\t\n", 3, { "", "", "" } },
		{ "\\N\n", 1, { NIL } },
		{ "\\N\t\\N\t\\N\n", 3, { NIL, NIL, NIL } },
		{ "a\t\\N\t\n", 3, { "a", NIL, "" } },
		{ "\\\\N\n", 1, { "\\N" } },
		{ "\\\\.\n", 1, { "\\." } },
		{ "\\b\\f\\n\\r\\t\\v\\\\\n", 1, { "\b\f\n\r\t\v\\" } },
		{ "before\\tafter\tplain\t\\nx\tlong enough to cross words\\\\\n",
		  4,
		  { "before\tafter", "plain", "\nx", "long enough to cross words\\" } },
		{ "z\xc3\xbcrich\t\xf0\x9f\x98\x80\n", 2, { "z\xc3\xbcrich", "\xf0\x9f\x98\x80" } },
		{ "1234567\t12345678\t123456789\n", 3, { "1234567", "12345678", "123456789" } },
		{ "\x08raw control\x0b\n", 1, { "\x08raw control\x0b" } },
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		struct cu_copy_row row;
		char *line;

		cu_copy_row_init(&row, cases[i].n);
		assert_int_equal(parse(&row, cases[i].line, strlen(cases[i].line), &line), 0);
		for (unsigned c = 0; c < cases[i].n; c++) {
			const char *want = cases[i].values[c];

			if (strcmp(want, NIL) == 0) {
				assert_int_equal(row.values[c].kind, CU_PG_NULL);
				assert_null(row.values[c].data);
				continue;
			}
			assert_int_equal(row.values[c].kind, CU_PG_TEXT);
			assert_int_equal(row.values[c].len, strlen(want));
			assert_memory_equal(row.values[c].data, want, strlen(want));
		}
		free(line);
		cu_copy_row_fini(&row);
	}
}

static void malformed_lines_are_corrupt_with_a_reason(void **state)
{
	static const struct {
		const char *line;
		unsigned n;
		const char *reason;
	} cases[] = {
		{ "1\t2\n", 1, "a row has too many columns" },
		{ "1\t2\n", 3, "a row has too few columns" },
		{ "\n", 2, "a row has too few columns" },
		{ "x\n", 0, "a row without columns is not empty" },
		{ "a\nb\n", 1, "a newline inside a row" },
		{ "a\\", 1, "an escape that COPY never writes" },
		{ "\\", 1, "an escape that COPY never writes" },
		{ "\\\n", 1, "an escape that COPY never writes" },
		{ "\\x41\n", 1, "an escape that COPY never writes" },
		{ "\\101\n", 1, "an escape that COPY never writes" },
		{ "\\.\n", 1, "an escape that COPY never writes" },
		{ "\\Nx\n", 1, "an escape that COPY never writes" },
		{ "x\\N\n", 1, "an escape that COPY never writes" },
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		struct cu_copy_row row;
		char *line;

		cu_copy_row_init(&row, cases[i].n);
		assert_int_equal(parse(&row, cases[i].line, strlen(cases[i].line), &line), CU_ECORRUPT);
		assert_string_equal(row.reason, cases[i].reason);
		free(line);
		cu_copy_row_fini(&row);
	}
}

static void plain_values_are_not_copied(void **state)
{
	static const char line[] = "plain\tesc\\naped\n";
	struct cu_copy_row row;

	(void)state;
	cu_copy_row_init(&row, 2);
	assert_int_equal(cu_copy_row_parse(&row, line, sizeof line - 1), 0);
	assert_ptr_equal(row.values[0].data, line);
	assert_false(row.values[1].data >= line && row.values[1].data < line + sizeof line);
	cu_copy_row_fini(&row);
}

static void row_is_reusable_after_an_error_and_with_longer_lines(void **state)
{
	struct cu_copy_row row;
	cu_buf line = CU_BUF_INIT;

	(void)state;
	cu_copy_row_init(&row, 2);
	assert_int_equal(cu_copy_row_parse(&row, "a\\nb\n", 5), CU_ECORRUPT);
	for (unsigned i = 0; i < (1u << 20) / 4; i++)
		cu_buf_puts(&line, "ab\\n");
	cu_buf_puts(&line, "\t\\\\\n");
	assert_int_equal(cu_copy_row_parse(&row, line.data, line.len), 0);
	assert_null(row.reason);
	assert_int_equal(row.values[0].len, (1u << 20) / 4 * 3);
	assert_memory_equal(row.values[0].data + row.values[0].len - 3, "ab\n", 3);
	assert_int_equal(row.values[1].len, 1);
	assert_memory_equal(row.values[1].data, "\\", 1);
	cu_buf_fini(&line);
	cu_copy_row_fini(&row);
}

static void failed_allocation_is_reported_and_survived(void **state)
{
	struct cu_copy_row row;

	(void)state;
	cu_copy_row_init(&row, 1);
	cu_fault_alloc_at(1);
	assert_int_equal(cu_copy_row_parse(&row, "a\\n\n", 4), CU_ENOMEM);
	cu_fault_alloc_at(0);
	assert_int_equal(cu_copy_row_parse(&row, "a\\n\n", 4), 0);
	assert_memory_equal(row.values[0].data, "a\n", 2);
	cu_copy_row_fini(&row);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_become_values),
		cmocka_unit_test(malformed_lines_are_corrupt_with_a_reason),
		cmocka_unit_test(plain_values_are_not_copied),
		cmocka_unit_test(row_is_reusable_after_an_error_and_with_longer_lines),
		cmocka_unit_test(failed_allocation_is_reported_and_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
