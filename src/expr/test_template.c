/* Clauses loaded from their SQL answer as the parsed ones do, whether or not another of their kind came before. label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "expr/expr.h"
#include "value/collation.h"

#include <stdlib.h>

static cu_expr_scope *scope_new(void)
{
	const struct cu_expr_column columns[] = {
		{ .name = "k", .type = cu_type_builtin(CU_INT4OID), .typmod = -1 },
		{ .name = "t 1", .type = cu_type_builtin(CU_TEXTOID), .typmod = -1, .collation = cu_collation_c },
		{ .name = "n", .type = cu_type_builtin(CU_NUMERICOID), .typmod = -1 },
	};

	return cu_expr_scope_new("items", columns, CU_ARRAY_LEN(columns), cu_collation_c, 15, NULL, NULL);
}

static unsigned met; /* rows whose text told that the clause is true */

/* Parsed, put into SQL, loaded: and both asked about every row. */
static void assert_loads(cu_expr_scope *scope, cu_expr_templates *templates, const char *clause)
{
	static const char *const ks[] = { NULL, "-7", "1", "2", "8", "12" };
	static const char *const ts[] = { NULL, "", "it's", "it''s", "a\\b", "1", "8", "1%", "a_b", "a%b", "a", "ab" };
	static const char *const ns[] = { NULL, "8.00", "8.25", "2" };
	enum { KS = CU_ARRAY_LEN(ks), TS = CU_ARRAY_LEN(ts), NS = CU_ARRAY_LEN(ns) };
	struct cu_expr_error err = { .message = CU_BUF_INIT };
	cu_expr *parsed = NULL, *loaded = NULL;
	struct cu_expr_row row;
	cu_buf sql = CU_BUF_INIT;

	if (cu_expr_new(scope, clause, strlen(clause), NULL, 0, &parsed, &err) < 0)
		fail_msg("%s: %s", clause, cu_buf_str(&err.message));
	assert_int_equal(cu_expr_put_sql(parsed, &sql), 0);
	assert_int_equal(cu_expr_templates_load(templates, sql.data, sql.len, &loaded), 0);
	assert_int_equal(cu_expr_row_init(&row, scope), 0);
	for (size_t i = 0; i < KS * TS * NS; i++) {
		const char *const texts[] = { ks[i % KS], ts[i / KS % TS], ns[i / (KS * TS)] };
		struct cu_pg_value values[3];
		enum cu_truth a, b;

		for (size_t c = 0; c < 3; c++)
			values[c] = (struct cu_pg_value){ texts[c] ? CU_PG_TEXT : CU_PG_NULL,
							  texts[c] ? (uint32_t)strlen(texts[c]) : 0, texts[c] };
		cu_expr_row_set(&row, values);
		a = cu_expr_eval(parsed, &row, NULL);
		b = cu_expr_eval(loaded, &row, NULL);
		if (a != b)
			fail_msg("%s (%s), row %zu: parsed %d, loaded %d", clause, cu_buf_str(&sql), i, a, b);
		if (cu_expr_templates_is_met(templates, sql.data, sql.len, &row)) {
			met++;
			assert_int_equal(a, CU_TRUE);
		}
	}
	cu_expr_row_fini(&row);
	cu_expr_unref(&parsed);
	cu_expr_unref(&loaded);
	cu_buf_fini(&sql);
	cu_buf_fini(&err.message);
}

static void a_loaded_clause_answers_as_the_parsed_one(void **state)
{
	/* Each more than once with other constants; modifiers that look like constants; texts that look like SQL. */
	static const char *const clauses[] = {
		"k = 1",
		"k = 2",
		"k = -7",
		"k = 12",
		"\"t 1\" = '8'",
		"\"t 1\" = 'it''s'",
		"\"t 1\" = 'a\\b'",
		"\"t 1\" = ''",
		"\"t 1\" = 'it''''s'",
		"n = 8",
		"n = 8.25",
		"k = 1::bigint",
		"k = 2 AND n = 2",
		"n::numeric(8,2) = 8",
		"n::numeric(9,2) = 8",
		"n::numeric(8,1) = 8.2",
		"n::numeric(8,2) = 9",
		"k IN (1,2)",
		"k IN (8,12)",
		"k IN (1,2,3,4,5,6,7,8,9)",
		"k IN (12,2,3,4,5,6,7,8,9)",
		"k BETWEEN 1 AND 8",
		"k BETWEEN 2 AND 12",
		"k > 1 AND \"t 1\" LIKE '1%'",
		"k > 2 AND \"t 1\" LIKE '%8'",
		"k = 1 OR k = 2",
		"k = 8 OR k = 12",
		"CASE WHEN k = 1 THEN true ELSE k > 2 END",
		"CASE WHEN k = 2 THEN false ELSE k > 8 END",
		"coalesce(k, 1) = 1",
		"coalesce(k, 2) = 1",
		"\"t 1\" LIKE 'it%'",
		"\"t 1\" LIKE 'it''%'",
		"\"t 1\" LIKE 'it''''s%'",
		"\"t 1\" LIKE 'i_%'",
		"\"t 1\" LIKE 'a\\%'",
		"\"t 1\" LIKE 'a\\%%'",
		"\"t 1\" LIKE 'a\\_%'",
		"\"t 1\" LIKE 'a\\\\%'",
		"\"t 1\" LIKE 'a\\b%'",
		"\"t 1\" LIKE 'it\\''%'",
		"\"t 1\" LIKE '%''%'",
		"\"t 1\" LIKE '1%%'",
		"\"t 1\" LIKE '1'",
		"\"t 1\" LIKE '%'",
		"\"t 1\" LIKE ''",
		"\"t 1\" NOT LIKE 'a%'",
		"\"t 1\" ^@ '1%'",
		"\"t 1\" ^@ 'a%'",
		"'1' LIKE \"t 1\"",
		"\"t 1\" COLLATE \"POSIX\" LIKE 'a%'",
		"\"t 1\" = NULL",
		"k = 1 AND true",
		"left(\"t 1\", 1) = '1'",
		"left(\"t 1\", 2) = 'it'",
		"\"t 1\" = '\" = 1 OR '''",
		"(k, n) = (8, 8.00)",
		"(k, n) = (2, 2)",
		"k = k",
		"true",
	};
	cu_expr_scope *scope = scope_new();
	cu_expr_templates *templates = cu_expr_templates_new(scope);

	(void)state;
	for (int again = 0; again < 2; again++) {
		for (size_t i = 0; i < CU_ARRAY_LEN(clauses); i++)
			assert_loads(scope, templates, clauses[i]);
	}
	assert_true(met > 0);
	cu_expr_templates_free(&templates);
	cu_expr_scope_unref(&scope);
}

/* What must be said, so that nothing is loaded for it; and what looks like it and must not. */
static void a_text_tells_that_an_equality_or_a_prefix_is_met(void **state)
{
	static const struct {
		const char *clause, *text;
		bool met;
	} cases[] = {
		{ "\"t 1\" = 'it'", "it", true },
		{ "\"t 1\" = 'it'", "it ", false },
		{ "\"t 1\" LIKE 'group 1%'", "group", false },
		{ "\"t 1\" LIKE 'group 1%'", "group 1", true },
		{ "\"t 1\" LIKE 'group 1%'", "group 12", true },
		{ "\"t 1\" LIKE 'group 1%'", "group 2", false },
		{ "\"t 1\" LIKE 'a''b%'", "a'bc", true },
		{ "\"t 1\" LIKE 'a\\_b%'", "a_bc", true },
		{ "\"t 1\" LIKE 'a\\_b%'", "a\\_bc", false },
		{ "\"t 1\" LIKE 'a\\\\%'", "a\\b", true },
		{ "\"t 1\" LIKE 'a\\%'", "a%", false },
		{ "\"t 1\" LIKE 'a\\%%'", "a%b", true },
		{ "\"t 1\" LIKE 'a\\''%'", "a'b", true },
		{ "\"t 1\" ^@ 'a%'", "a", false },
		{ "\"t 1\" LIKE 'a%' AND k = 1", "a", false },
	};
	cu_expr_scope *scope = scope_new();
	cu_expr_templates *templates = cu_expr_templates_new(scope);
	struct cu_expr_row row;

	(void)state;
	assert_int_equal(cu_expr_row_init(&row, scope), 0);
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		struct cu_pg_value values[3] = { { .kind = CU_PG_NULL },
						 { CU_PG_TEXT, (uint32_t)strlen(cases[i].text), cases[i].text },
						 { .kind = CU_PG_NULL } };
		cu_expr *expr = NULL, *loaded = NULL;
		cu_buf sql = CU_BUF_INIT;

		assert_int_equal(cu_expr_new(scope, cases[i].clause, strlen(cases[i].clause), NULL, 0, &expr, NULL), 0);
		assert_int_equal(cu_expr_put_sql(expr, &sql), 0);
		assert_int_equal(cu_expr_templates_load(templates, sql.data, sql.len, &loaded), 0);
		cu_expr_row_set(&row, values);
		if (cu_expr_templates_is_met(templates, sql.data, sql.len, &row) != cases[i].met)
			fail_msg("%s: %s", cases[i].clause, cases[i].text);
		cu_expr_unref(&expr);
		cu_expr_unref(&loaded);
		cu_buf_fini(&sql);
	}
	cu_expr_row_fini(&row);
	cu_expr_templates_free(&templates);
	cu_expr_scope_unref(&scope);
}

static void what_is_no_clause_is_refused(void **state)
{
	static const char *const texts[] = { "", "(", "'", "k = ", "x = 1", "k = 1; select 1" };
	cu_expr_scope *scope = scope_new();
	cu_expr_templates *templates = cu_expr_templates_new(scope);
	cu_expr *expr = NULL;

	(void)state;
	assert_int_equal(cu_expr_templates_load(templates, "(\"k\" OPERATOR(pg_catalog.=) 1)", 30, &expr), 0);
	cu_expr_unref(&expr);
	/* of its kind, and no number that it could be */
	assert_int_equal(cu_expr_templates_load(templates, "(\"k\" OPERATOR(pg_catalog.=) 99999999999)", 40, &expr), 0);
	cu_expr_unref(&expr);
	for (size_t i = 0; i < CU_ARRAY_LEN(texts); i++)
		assert_int_equal(cu_expr_templates_load(templates, texts[i], strlen(texts[i]), &expr), CU_EINVAL);
	cu_expr_templates_free(&templates);
	cu_expr_scope_unref(&scope);
}

static void memory_that_fails_is_said(void **state)
{
	cu_expr_scope *scope = scope_new();
	cu_expr_templates *templates = cu_expr_templates_new(scope);
	const char *sql = "(\"t 1\" OPERATOR(pg_catalog.=) 'x'::pg_catalog.text)";
	int rc = CU_ENOMEM;

	(void)state;
	for (unsigned n = 1; rc == CU_ENOMEM; n++) {
		cu_expr *expr = NULL;

		cu_fault_alloc_at(n);
		rc = cu_expr_templates_load(templates, sql, strlen(sql), &expr);
		cu_fault_alloc_at(0);
		assert_true(rc == 0 || rc == CU_ENOMEM);
		cu_expr_unref(&expr);
	}
	cu_expr_templates_free(&templates);
	cu_expr_scope_unref(&scope);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_loaded_clause_answers_as_the_parsed_one),
		cmocka_unit_test(a_text_tells_that_an_equality_or_a_prefix_is_met),
		cmocka_unit_test(what_is_no_clause_is_refused),
		cmocka_unit_test(memory_that_fails_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
