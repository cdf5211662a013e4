/* ORDER BY of subsets: what is accepted becomes our own SQL; everything else is refused with words and a place. */
#include "expr/test_help.h"

#include "base/limits.h"
#include "expr/order_by.h"

static cu_expr_scope *scope;

static int parse(const char *text, cu_buf *sql, struct cu_expr_error *err)
{
	struct cu_order_by order = { NULL, 0 };
	int rc = cu_order_by_parse(scope, text, strlen(text), &order, err);

	if (rc == 0)
		cu_order_by_put_sql(&order, scope, sql);
	cu_order_by_fini(&order);
	return rc;
}

static void columns_with_direction_and_nulls_become_our_own_sql(void **state)
{
	static const char *const cases[][2] = {
		{ "id", "\"items\".\"id\"" },
		{ "ID", "\"items\".\"id\"" },
		{ "\"id\" ASC", "\"items\".\"id\"" },
		{ "id desc", "\"items\".\"id\" DESC" },
		{ "items.id DESC NULLS LAST , t nulls first",
		  "\"items\".\"id\" DESC NULLS LAST, \"items\".\"t\" NULLS FIRST" },
		{ "(id), ((t)) asc nulls last", "\"items\".\"id\", \"items\".\"t\" NULLS LAST" },
		{ "id -- the key", "\"items\".\"id\"" },
		{ "id /* , t */ , id", "\"items\".\"id\", \"items\".\"id\"" },
		{ "j, pt, jb, ma", "\"items\".\"j\", \"items\".\"pt\", \"items\".\"jb\", \"items\".\"ma\"" },
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		struct cu_expr_error err = { 0 };
		cu_buf sql = CU_BUF_INIT;

		if (parse(cases[i][0], &sql, &err) < 0)
			fail_msg("%s: %s", cases[i][0], cu_buf_str(&err.message));
		assert_string_equal(cu_buf_str(&sql), cases[i][1]);
		cu_buf_fini(&sql);
		cu_buf_fini(&err.message);
	}
}

static void everything_but_a_column_is_refused(void **state)
{
	static const struct {
		const char *text;
		unsigned position;
		const char *message;
	} cases[] = {
		{ "", 1, "syntax error at end of input" },
		{ "  -- nothing", 13, "syntax error at end of input" },
		{ "nope", 1, "column \"nope\" does not exist" },
		{ "t, \"ID\"", 4, "column \"ID\" does not exist" },
		{ "ctid", 1, "column \"ctid\" does not exist" },
		{ "items", 1, "column \"items\" does not exist" },
		{ "other.id", 1, "missing FROM-clause entry for table \"other\"" },
		{ "public.items.id", 1, "only a column may stand in ORDER BY" },
		{ "items.*", 1, "only a column may stand in ORDER BY" },
		{ "1", 1, "AConst expressions are not allowed in ORDER BY clauses" },
		{ "'id'", 1, "AConst expressions are not allowed in ORDER BY clauses" },
		{ "$1", 1, "parameter $1 is not supported in ORDER BY clauses" },
		{ "pg_sleep(5)", 1, "FuncCall expressions are not allowed in ORDER BY clauses" },
		{ "t, lower(t)", 4, "FuncCall expressions are not allowed in ORDER BY clauses" },
		{ "id::text", 3, "TypeCast expressions are not allowed in ORDER BY clauses" },
		{ "CAST((SELECT version()) AS int) DESC", 1,
		  "TypeCast expressions are not allowed in ORDER BY clauses" },
		{ "(SELECT count(*) FROM pg_tables)", 1, "SubLink expressions are not allowed in ORDER BY clauses" },
		{ "CASE WHEN (SELECT true) THEN 1 ELSE 0 END", 1,
		  "CaseExpr expressions are not allowed in ORDER BY clauses" },
		{ "id + 1", 4, "AExpr expressions are not allowed in ORDER BY clauses" },
		{ "t COLLATE \"C\"", 3, "CollateClause expressions are not allowed in ORDER BY clauses" },
		{ "(id, t)", 0, "RowExpr expressions are not allowed in ORDER BY clauses" },
		{ "id IS NULL", 0, "NullTest expressions are not allowed in ORDER BY clauses" },
		{ "id USING <", 10, "USING is not supported in ORDER BY clauses" },
		{ "id LIMIT 1", 0, "only columns may follow ORDER BY" },
		{ "id OFFSET 1", 0, "only columns may follow ORDER BY" },
		{ "id FOR UPDATE", 0, "only columns may follow ORDER BY" },
		{ "id UNION SELECT 1", 4, "syntax error at or near \"UNION\"" },
		{ "id; DROP TABLE items", 3, "syntax error at or near \";\"" },
		{ "id) , (t", 3, "syntax error at or near \")\"" },
		{ "id,", 4, "syntax error at end of input" },
		{ "id ASC DESC", 8, "syntax error at or near \"DESC\"" },
		{ "id NULLS", 4, "syntax error at or near \"NULLS\"" },
		{ "\"id", 1, "unterminated quoted identifier at or near \"\"id\"" },
		{ "id /* open", 4, "unterminated /* comment at or near \"/* open\"" },
		{ "\xc3\x28", 1, "invalid byte sequence for encoding \"UTF8\": 0xc3" },
	};
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		struct cu_expr_error err = { 0 };
		cu_buf sql = CU_BUF_INIT;
		int rc = parse(cases[i].text, &sql, &err);

		if (rc != CU_EINVAL || err.position != cases[i].position ||
		    strcmp(cu_buf_str(&err.message), cases[i].message) != 0) {
			print_error("%s: %d at %u: %s %s\n", cases[i].text, rc, err.position, cu_buf_str(&err.message),
				    cu_buf_str(&sql));
			wrong++;
		}
		cu_buf_fini(&sql);
		cu_buf_fini(&err.message);
	}
	assert_int_equal(wrong, 0);
}

static char *repeated(const char *text, size_t times, const char *middle)
{
	size_t len = strlen(text), middle_len = strlen(middle);
	char *all = cu_xzalloc(2 * times * len + middle_len + 1);

	for (size_t i = 0; i < times; i++)
		memcpy(all + i * len, text, len);
	memcpy(all + times * len, middle, middle_len);
	return all;
}

static void depth_and_length_are_bounded(void **state)
{
	struct cu_expr_error err = { 0 };
	cu_buf sql = CU_BUF_INIT;
	char *text;

	(void)state;
	text = repeated("(", 30000, "id");
	assert_int_equal(parse(text, &sql, &err), CU_EINVAL);
	free(text);
	text = repeated("- ", 30000, "id");
	assert_int_equal(parse(text, &sql, &err), CU_EINVAL);
	assert_non_null(strstr(cu_buf_str(&err.message), "nested more than"));
	free(text);
	text = repeated("id,", 100000, "id");
	assert_int_equal(parse(text, &sql, &err), CU_EINVAL);
	assert_string_equal(cu_buf_str(&err.message), "the ORDER BY clause is longer than 65536 bytes");
	free(text);
	text = repeated("id,", 1000, "t");
	assert_int_equal(parse(text, &sql, &err), 0);
	free(text);
	cu_buf_fini(&sql);
	cu_buf_fini(&err.message);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_with_direction_and_nulls_become_our_own_sql),
		cmocka_unit_test(everything_but_a_column_is_refused),
		cmocka_unit_test(depth_and_length_are_bounded),
	};
	int rc;

	scope = test_scope(15);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	cu_expr_scope_unref(&scope);
	return rc;
}
