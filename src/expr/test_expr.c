/* What a clause answers, what it shares, what it says to an index, and where it ends. */
#include "base/limits.h"
#include "expr/test_help.h"

static cu_expr_scope *scope;

static cu_expr *expr_of(const char *text)
{
	struct cu_expr_error error = { 0 };
	cu_expr *expr = NULL;

	if (cu_expr_new(scope, text, strlen(text), NULL, 0, &expr, &error) < 0)
		fail_msg("%s: %s", text, cu_buf_str(&error.message));
	return expr;
}

static enum cu_truth truth_of(const char *text)
{
	struct test_answer answer;

	test_ask(scope, text, NULL, 0, &answer);
	if (answer.rc < 0)
		fail_msg("%s: %s", text, cu_buf_str(&answer.error.message));
	cu_buf_fini(&answer.error.message);
	return answer.truth;
}

static void clauses_answer_true_false_or_unknown(void **state)
{
	static const struct {
		const char *clause;
		enum cu_truth truth;
	} cases[] = {
		{ "id = 5", CU_TRUE },
		{ "id <> 5", CU_FALSE },
		{ "nul = 5", CU_UNKNOWN },
		{ "nul = 5 and id = 6", CU_FALSE },
		{ "nul = 5 or id = 5", CU_TRUE },
		{ "not (nul = 5)", CU_UNKNOWN },
		{ "nul is null and id is not null", CU_TRUE },
		{ "(nul = 5) is unknown", CU_TRUE },
		{ "b is not false", CU_TRUE },
		{ "id in (1, 5)", CU_TRUE },
		{ "id not in (1, 2, null)", CU_UNKNOWN },
		{ "id in (1, 2, 3, 4, 5, 6, null)", CU_TRUE },
		{ "id not in (1, 2, 3, 4, 6, 7, 8, null)", CU_UNKNOWN },
		{ "id not in (1, 2, 3, 4, 6, 7, 8)", CU_TRUE },
		{ "t in ('a', 'b', 'c', 'd', 'hello', 'z')", CU_TRUE },
		{ "id in (i8, 5, i2)", CU_TRUE },
		{ "id = any ('{}')", CU_FALSE },
		{ "id = all ('{}')", CU_TRUE },
		{ "id < any ('{1,6}')", CU_TRUE },
		{ "id < all ('{1,6}')", CU_FALSE },
		{ "nul = any (ia)", CU_UNKNOWN },
		{ "3 = any (ia)", CU_UNKNOWN },
		{ "2 = any (ia)", CU_TRUE },
		{ "id between 1 and 5", CU_TRUE },
		{ "id between 5 and 1", CU_FALSE },
		{ "id between symmetric 5 and 1", CU_TRUE },
		{ "id not between symmetric 5 and 1", CU_FALSE },
		{ "nul is distinct from 5", CU_TRUE },
		{ "nul is not distinct from null", CU_TRUE },
		{ "(id, t) = (5, 'hello')", CU_TRUE },
		{ "(id, t) <> (5, 'hello')", CU_FALSE },
		{ "(id, t) < (5, 'z')", CU_TRUE },
		{ "(id, t) >= (5, 'hello')", CU_TRUE },
		{ "(id, nul) < (6, 1)", CU_TRUE },
		{ "(id, nul) < (5, 1)", CU_UNKNOWN },
		{ "(id, nul) is null", CU_FALSE },
		{ "(id, nul) is not null", CU_FALSE },
		{ "case when nul = 1 then true when id = 5 then b else false end", CU_TRUE },
		{ "case id when 4 then false when 5 then true end", CU_TRUE },
		{ "case when nul = 1 then true end", CU_UNKNOWN },
		{ "coalesce(nul, id) = 5", CU_TRUE },
		{ "nullif(id, 5) is null", CU_TRUE },
		{ "greatest(nul, id, 3) = 5 and least(nul, id, 3) = 3", CU_TRUE },
		{ "ia[2] = 2 and ia[9] is null and ia[nul] is null", CU_TRUE },
		{ "ia[1:2] = array[1, 2] and ia[2:] = '{2,NULL}'", CU_TRUE },
		{ "array[id, 6] = '{5,6}'", CU_TRUE },
		{ "array[array[1, id], array[2, 3]] = '{{1,5},{2,3}}'", CU_TRUE },
		{ "ia::text[] = '{1,2,NULL}' and ta::varchar(1)[] = '{a,B}'", CU_TRUE },
		{ "jb['a']['b'][0] = '1' and jb -> 'a' @> '{\"b\": [2]}'", CU_TRUE },
		{ "m > 'sad' and m < 'happy' and m = any (ma)", CU_TRUE },
		{ "ci = 'mixed' and ci like 'MI%'", CU_TRUE },
		{ "v5 = 'abc' and bc = 'ab' and bc = 'ab  '", CU_TRUE },
		{ "n2 = 12.5 and n = 3.14", CU_TRUE },
		{ "'abcd'::varchar(2) = 'ab' and 'ab '::char(5) = 'ab'", CU_TRUE },
		{ "t collate \"C\" > 'Z' and lower(v) = 'world'", CU_TRUE },
		{ "round(n) = 3 and interval '1 day' + d = '2020-03-01'", CU_TRUE },
		{ "extract(year from ts) = 2020 and tz at time zone 'UTC' > ts", CU_TRUE },
		{ "id = 5 -- the end", CU_TRUE },
		{ "tc like tp", CU_FALSE },
		{ "tc < t and tc collate \"POSIX\" < tp and coalesce(tc, tp) is not null", CU_TRUE },
		{ "t >= (case when false then tp else t end)", CU_TRUE },
		{ "(case when false then tp else t end) < ('z' collate \"C\")", CU_TRUE },
		{ "t >= coalesce(null collate \"C\", t, v)", CU_TRUE },
		{ "t >= coalesce(null collate \"C\", t)", CU_TRUE },
		{ "coalesce(tc || null, 'x') < (t collate \"POSIX\")", CU_FALSE },
		{ "case 'x' collate \"C\" when t then true when 'x' then b end", CU_TRUE },
		{ "case 'hello' when t then b end", CU_TRUE },
		{ "case when b then t when false then tp else 'x' end > 'a'", CU_TRUE },
		{ "'a'::name::text < t", CU_TRUE },
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		enum cu_truth truth = truth_of(cases[i].clause);

		if (truth != cases[i].truth)
			fail_msg("%s is %d, not %d", cases[i].clause, truth, cases[i].truth);
	}
}

static void errors_of_a_row_fail_that_row_only_where_it_gets_there(void **state)
{
	(void)state;
	assert_int_equal(truth_of("10 / (id - 5) = 1"), CU_FAILED);
	assert_int_equal(truth_of("id <> 5 and 10 / (id - 5) = 1"), CU_FALSE);
	assert_int_equal(truth_of("id = 5 or 10 / (id - 5) = 1"), CU_TRUE);
	assert_int_equal(truth_of("case when id = 5 then true else 10 / (id - 5) = 1 end"), CU_TRUE);
	assert_int_equal(truth_of("coalesce(b, 10 / (id - 5) = 1)"), CU_TRUE);
	assert_int_equal(truth_of("t::int = 1"), CU_FAILED);
}

static void constant_parts_are_computed_beforehand_as_the_planner_does(void **state)
{
	static const struct {
		const char *clause, *sql;
	} cases[] = {
		{ "id = 1 + 2 * 3", "(\"id\" OPERATOR(pg_catalog.=) 7)" },
		{ "true and id = 1", "(\"id\" OPERATOR(pg_catalog.=) 1)" },
		{ "id = 1 or true", "TRUE" },
		{ "false and 1 / 0 = 1", "FALSE" },
		{ "null and id = 1", "((\"id\" OPERATOR(pg_catalog.=) 1) AND NULL::pg_catalog.bool)" },
		{ "id = null", "NULL::pg_catalog.bool" },
		{ "case when false then 1 / 0 when true then 3 else id end = id", "(3 OPERATOR(pg_catalog.=) \"id\")" },
		{ "coalesce(null, 2, 1 / 0) = id", "(2 OPERATOR(pg_catalog.=) \"id\")" },
		{ "t = upper('x' || 'y')", "(\"t\" OPERATOR(pg_catalog.=) 'XY'::pg_catalog.text)" },
		{ "id in (1, 1 + 1)", "(\"id\" OPERATOR(pg_catalog.=) ANY ('{1,2}'::pg_catalog._int4))" },
		{ "t < upper('x' collate \"C\")",
		  "(\"t\" OPERATOR(pg_catalog.<) (('X'::pg_catalog.text) COLLATE pg_catalog.\"C\"))" },
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		cu_expr *expr = expr_of(cases[i].clause);
		cu_buf sql = CU_BUF_INIT;

		assert_int_equal(cu_expr_put_sql(expr, &sql), 0);
		assert_string_equal(cu_buf_str(&sql), cases[i].sql);
		cu_buf_fini(&sql);
		cu_expr_unref(&expr);
	}
}

static void parameters_become_typed_constants(void **state)
{
	static const struct cu_expr_param params[] = { { "5", 1 }, { "he'l\\lo", 7 }, { NULL, 0 }, { "{5,6}", 5 } };
	static const struct {
		const char *clause, *message;
		unsigned position;
	} refused[] = {
		{ "id = $3", "there is no parameter $3", 6 },
		{ "id = $5", "there is no parameter $5", 6 },
		{ "id = $2", "invalid input syntax for type integer: \"he'l\\lo\"", 6 },
		{ "$1 = id and $1 = t", "operator does not exist: integer = text", 16 },
		{ "$1 is null", "could not determine data type of parameter $1", 0 },
		{ "concat(t, $1) = 'x'", "could not determine data type of parameter $1", 0 },
	};
	struct test_answer answer;
	cu_expr *expr = NULL;
	cu_buf sql = CU_BUF_INIT;
	static const char clause[] = "id = $1 and t <> $2 and id = any($4) and i8 > $1::int8";

	(void)state;
	test_ask(scope, "id = $1 and t <> $2 and id = any($4)", params, 4, &answer);
	assert_int_equal(answer.rc, 0);
	assert_int_equal(answer.truth, CU_TRUE);
	assert_int_equal(cu_expr_new(scope, clause, sizeof clause - 1, params, 4, &expr, NULL), 0);
	assert_int_equal(cu_expr_put_sql(expr, &sql), 0);
	assert_string_equal(cu_buf_str(&sql), "((\"id\" OPERATOR(pg_catalog.=) 5) AND "
					      "(\"t\" OPERATOR(pg_catalog.<>) E'he''l\\\\lo'::pg_catalog.text) AND "
					      "(\"id\" OPERATOR(pg_catalog.=) ANY ('{5,6}'::pg_catalog._int4)) AND "
					      "(\"i8\" OPERATOR(pg_catalog.>) '5'::pg_catalog.int8))");
	cu_buf_fini(&sql);
	cu_expr_unref(&expr);
	for (size_t i = 0; i < CU_ARRAY_LEN(refused); i++) {
		test_ask(scope, refused[i].clause, params, 4, &answer);
		assert_int_equal(answer.rc, CU_EINVAL);
		assert_string_equal(cu_buf_str(&answer.error.message), refused[i].message);
		assert_int_equal(answer.error.position, refused[i].position);
		cu_buf_fini(&answer.error.message);
	}
}

static void clauses_that_differ_in_constants_share_a_program(void **state)
{
	cu_expr *a = expr_of("id = 1 and t like 'x%'"), *b = expr_of("t like 'y%' and id = 1");
	cu_expr *c = expr_of("id = 5 and t like 'h%'");
	struct cu_pg_value values[TEST_COLUMNS_LEN];
	struct cu_expr_row row;

	(void)state;
	assert_true(cu_program_equal(cu_expr_program(a), cu_expr_program(c)));
	assert_true(cu_program_hash(cu_expr_program(a)) == cu_program_hash(cu_expr_program(c)));
	assert_false(cu_program_equal(cu_expr_program(a), cu_expr_program(b)));
	cu_expr_use_program(c, cu_expr_program(a));
	assert_ptr_equal(cu_expr_program(a), cu_expr_program(c));
	cu_expr_unref(&a);
	test_values(values);
	assert_int_equal(cu_expr_row_init(&row, scope), 0);
	cu_expr_row_set(&row, values);
	assert_int_equal(cu_expr_eval(c, &row, NULL), CU_TRUE);
	cu_expr_row_fini(&row);
	cu_expr_unref(&b);
	cu_expr_unref(&c);
}

static void the_columns_are_those_that_are_looked_at(void **state)
{
	cu_expr *expr = expr_of("t = 'a' or (id = 1 and t = 'b') or 'x' = nm");
	size_t len;
	const uint16_t *columns = cu_expr_columns(expr, &len);

	(void)state;
	assert_int_equal(len, 3);
	assert_int_equal(columns[0], 0);
	assert_string_equal(test_columns[columns[1]].name, "t");
	assert_string_equal(test_columns[columns[2]].name, "nm");
	cu_expr_unref(&expr);
}

static void a_value_that_is_not_in_the_stream_is_asked_for_only_when_needed(void **state)
{
	cu_expr *expr = expr_of("id = 6 and t = 'x'"), *other = expr_of("id = 5 and t = 'x'");
	struct cu_pg_value values[TEST_COLUMNS_LEN];
	const struct cu_datum *datum;
	struct cu_value_error error;
	struct cu_expr_row row;

	(void)state;
	test_values(values);
	values[8] = (struct cu_pg_value){ .kind = CU_PG_UNCHANGED };
	assert_int_equal(cu_expr_row_init(&row, scope), 0);
	cu_expr_row_set(&row, values);
	assert_int_equal(cu_expr_eval(expr, &row, &error), CU_FALSE);
	assert_int_equal(cu_expr_eval(other, &row, &error), CU_FAILED);
	assert_int_equal(cu_expr_row_column(&row, 8, &datum, &error), CU_EAGAIN);
	assert_int_equal(cu_expr_row_column(&row, 0, &datum, &error), 0);
	assert_int_equal(datum->integer, 5);
	values[27].data = "new label";
	values[27].len = 9;
	assert_int_equal(cu_expr_row_column(&row, 27, &datum, &error), CU_EINVAL);
	cu_expr_row_fini(&row);
	cu_expr_unref(&expr);
	cu_expr_unref(&other);
}

/* A condition as text. */
static void put_conditions(const struct cu_conditions *conditions, cu_buf *out)
{
	static const char *const kinds[] = { "=", "range", "prefix", "null", "contains", "overlaps", "any" };

	for (size_t i = 0; i < conditions->all_len; i++) {
		const struct cu_condition *c = &conditions->all[i];

		cu_buf_puts(out, i ? " & " : "");
		if (c->kind == CU_COND_ANY) {
			for (size_t a = 0; a < c->alternatives_len; a++) {
				cu_buf_puts(out, a ? " | (" : "(");
				put_conditions(&c->alternatives[a], out);
				cu_buf_putc(out, ')');
			}
			continue;
		}
		cu_buf_printf(out, "%s %s", test_columns[c->column].name, kinds[c->kind]);
		if (c->has_lower)
			cu_buf_puts(out, c->lower_inclusive ? " from" : " above");
		for (size_t v = 0; v < c->values_len; v++) {
			if (c->kind == CU_COND_RANGE && v == c->has_lower)
				cu_buf_puts(out, c->upper_inclusive ? " to" : " below");
			cu_buf_putc(out, ' ');
			assert_int_equal(cu_value_out(c->type, &c->values[v], out), 0);
		}
	}
	cu_buf_puts(out, conditions->exact ? "" : " …");
}

static void conditions_say_what_an_index_can_serve(void **state)
{
	static const struct {
		const char *clause, *conditions;
	} cases[] = {
		{ "id = 1", "id = 1" },
		{ "1 = id and t = 'x'", "id = 1 & t = x" },
		{ "id in (3, 1, 2, null)", "id = 3 1 2" },
		{ "id = any('{1,2}')", "id = 1 2" },
		{ "id = 5000000000", " …" },
		{ "id = 5::int8", "id = 5" },
		{ "i2 = 7", "i2 = 7" },
		{ "id = 1.5", " …" },
		{ "f4 = 1.5::float8", " …" },
		{ "f8 = 1.5", "f8 = 1.5" },
		{ "n = 1.50", "n = 1.50" },
		{ "v = 'x'", "v = x" },
		{ "bc = 'ab'", "bc = ab" },
		{ "m = 'ok' and jb = '{\"a\": 1}'", "m = ok & jb = {\"a\": 1}" },
		{ "ci = 'X'", "ci = X" },
		{ "b", "b = t" },
		{ "not b", "b = f" },
		{ "b is false", "b = f" },
		{ "b is unknown or nul is null", "(b null) | (nul null)" },
		{ "nul is not null and id = 1", "id = 1 …" },
		{ "id > 1 and id <= 7", "id range above 1 to 7" },
		{ "7 >= id and id > 1", "id range above 1 to 7" },
		{ "id between 1 and 7 and i8 < 3", "id range from 1 to 7 & i8 range below 3" },
		{ "ts >= '2020-01-01'", "ts range from 2020-01-01 00:00:00" },
		{ "t like 'ab%'", "t prefix ab" },
		{ "t like 'ab%c'", "t prefix ab …" },
		{ "t like 'a\\%b%'", "t prefix a%b" },
		{ "t like 'abc'", "t = abc" },
		{ "t like '%abc'", " …" },
		{ "starts_with(t, 'ab') and t ^@ 'abc'", "t prefix ab & t prefix abc" },
		{ "bc like 'ab%'", " …" },
		{ "ia @> '{1,2}'", "ia contains 1 2" },
		{ "'{1}' <@ ia", "ia contains 1" },
		{ "ia && '{1,2,NULL}'", "ia overlaps 1 2" },
		{ "3 = any(ia)", "ia overlaps 3" },
		{ "ia @> '{}'", " …" },
		{ "id = 1 or t = 'x'", "(id = 1) | (t = x)" },
		{ "id = 1 or length(t) = 3", " …" },
		{ "(id = 1 and length(t) = 3) or t = 'x'", "(id = 1 …) | (t = x) …" },
		{ "id is not distinct from 1", "id = 1" },
		{ "length(t) = 3", " …" },
		{ "true", "" },
		{ "(id, t) = (1, 'x')", "id = 1 & t = x" },
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		cu_expr *expr = expr_of(cases[i].clause);
		cu_buf text = CU_BUF_INIT;

		put_conditions(cu_expr_conditions(expr), &text);
		if (strcmp(cu_buf_str(&text), cases[i].conditions) != 0)
			fail_msg("%s: %s, not %s", cases[i].clause, cu_buf_str(&text), cases[i].conditions);
		cu_buf_fini(&text);
		cu_expr_unref(&expr);
	}
}

/* before, unit times `times`, middle, after times `times`. */
static int refusal_of(const char *unit, const char *middle, const char *after, unsigned times,
		      struct cu_expr_error *err)
{
	cu_buf text = CU_BUF_INIT;
	cu_expr *expr = NULL;
	int rc;

	for (unsigned i = 0; i < times; i++)
		cu_buf_puts(&text, unit);
	cu_buf_puts(&text, middle);
	for (unsigned i = 0; i < times; i++)
		cu_buf_puts(&text, after);
	rc = cu_expr_new(scope, text.data, text.len, NULL, 0, &expr, err);
	cu_expr_unref(&expr);
	cu_buf_fini(&text);
	return rc;
}

static void depth_is_bounded_and_whatever_is_below_the_bound_works(void **state)
{
	static const struct {
		const char *unit, *middle, *after;
		unsigned works;
	} shapes[] = {
		{ "not ", "b", "", 250 },
		{ "(", "b", ")", 250 },
		{ "id + ", "id = 1", "", 250 },
		{ "id = id + (", "id", ")", 0 },
		{ "abs(", "id", ") = 1", 0 },
		{ "case when b then ", "b", " end", 250 },
		{ "b is true = (", "b", ")", 120 },
		{ "coalesce(", "b", ")", 250 },
		{ "b between b and not ", "b", "", 0 },
		{ "", "id", "::int8::int4", 0 },
		{ "array[", "1", "]", 0 },
		{ "(select ", "b", ")", 0 },
		{ "b union select ", "b", "", 0 },
		{ "((b) join c on ", "b", ")", 0 },
		{ "ia[", "1", "]", 0 },
		{ "- ", "id = 1", "", 250 },
		{ "b and (b or ", "b", ")", 120 },
		{ "t collate \"C\" || (", "t", ")", 0 },
		{ "case case ", "b", " when b then b end when b then b end", 0 },
	};
	struct cu_expr_error error = { 0 };

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(shapes); i++) {
		static const unsigned times[] = { 100, 255, 256, 257, 1000, 3000, 20000 };

		if (shapes[i].works &&
		    refusal_of(shapes[i].unit, shapes[i].middle, shapes[i].after, shapes[i].works, &error) < 0)
			fail_msg("%s × %u: %s", shapes[i].unit, shapes[i].works, cu_buf_str(&error.message));
		for (size_t t = 0; t < CU_ARRAY_LEN(times); t++)
			(void)refusal_of(shapes[i].unit, shapes[i].middle, shapes[i].after, times[t], &error);
		/* Brackets alone are not a level of anything. */
		if (strcmp(shapes[i].unit, "(") != 0)
			assert_true(refusal_of(shapes[i].unit, shapes[i].middle, shapes[i].after, 20000, &error) < 0);
	}
	cu_buf_fini(&error.message);
}

static void length_and_nodes_are_bounded(void **state)
{
	struct cu_expr_error error = { 0 };
	cu_buf text = CU_BUF_INIT;
	cu_expr *expr = NULL;

	(void)state;
	cu_buf_puts(&text, "t = '");
	while (text.len < CU_WHERE_BYTES_MAX)
		cu_buf_puts(&text, "0123456789abcdef");
	cu_buf_putc(&text, '\'');
	assert_int_equal(cu_expr_new(scope, text.data, text.len, NULL, 0, &expr, &error), CU_EINVAL);
	assert_string_equal(error.sqlstate, "54000");
	/* A list as long as may be, and a longer one. */
	for (unsigned len = 50000; len <= 300000; len += 250000) {
		cu_buf_clear(&text);
		cu_buf_puts(&text, "id in (1");
		for (unsigned i = 1; i < len; i++)
			cu_buf_puts(&text, i % 7 ? ",5" : ",6");
		cu_buf_putc(&text, ')');
		if (len == 50000) {
			assert_int_equal(cu_expr_new(scope, text.data, text.len, NULL, 0, &expr, &error), 0);
			cu_expr_unref(&expr);
		} else {
			assert_int_equal(cu_expr_new(scope, text.data, text.len, NULL, 0, &expr, &error), CU_EINVAL);
			assert_string_equal(error.sqlstate, "54001");
		}
	}
	/* Doubling: BETWEEN takes its left side twice. */
	cu_buf_clear(&text);
	for (unsigned i = 0; i < 40; i++)
		cu_buf_putc(&text, '(');
	cu_buf_puts(&text, "b");
	for (unsigned i = 0; i < 40; i++)
		cu_buf_puts(&text, " between b and b)");
	assert_int_equal(cu_expr_new(scope, text.data, text.len, NULL, 0, &expr, &error), CU_EINVAL);
	assert_string_equal(error.sqlstate, "54001");
	cu_buf_fini(&text);
	cu_buf_fini(&error.message);
}

static void text_that_is_not_utf8_is_refused_where_it_stops_being_so(void **state)
{
	static const char *const texts[] = { "t = '\xff'", "t = '\xc3'", "t = '\xc0\x80'", "t = '\xed\xa0\x80'",
					     "t = '\xf5\x80\x80\x80'" };
	struct cu_expr_error error = { 0 };
	cu_expr *expr = NULL;

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(texts); i++) {
		assert_int_equal(cu_expr_new(scope, texts[i], strlen(texts[i]), NULL, 0, &expr, &error), CU_EINVAL);
		assert_string_equal(error.sqlstate, "22021");
		assert_int_equal(error.position, 6);
	}
	assert_int_equal(cu_expr_new(scope, "b\0", 2, NULL, 0, &expr, &error), CU_EINVAL);
	assert_string_equal(error.sqlstate, "22021");
	cu_buf_fini(&error.message);
}

static void out_of_memory_anywhere_is_an_error_and_no_leak(void **state)
{
	static const char clause[] = "id in (1, 2, 3, 4, 5, 6) and t like 'h%' and (jb @> '{\"a\": 1}' or ia && '{1}')";
	unsigned n = 1;

	(void)state;
	for (;; n++) {
		struct cu_expr_error error = { 0 };
		cu_expr *expr = NULL;
		int rc;

		cu_fault_alloc_at(n);
		rc = cu_expr_new(scope, clause, sizeof clause - 1, NULL, 0, &expr, &error);
		if (cu_fault_alloc_at(0) > 0) {
			assert_int_equal(rc, 0);
			cu_expr_unref(&expr);
			break;
		}
		if (rc == 0)
			cu_expr_unref(&expr);
		else
			assert_true(rc == CU_ENOMEM || rc == CU_EINVAL);
		cu_buf_fini(&error.message);
	}
	assert_true(n > 10);
}

/* What where_found asks servers of each version, for those who have one only. */
static void a_clause_means_what_it_means_to_the_servers_version(void **state)
{
	static const struct {
		int pg_version;
		const char *clause;
		enum cu_truth truth; /* CU_FAILED: refused */
	} cases[] = {
		{ 15, "(n2 ^ 2)::text = '156.2500000000000000'", CU_TRUE },
		{ 16, "(n2 ^ 2)::text = '156.2500000000000000'", CU_FALSE },
		{ 16, "(n2 ^ 2)::text = '156.25000000000000'", CU_TRUE },
		{ 17, "tc NOT LIKE tp", CU_TRUE },
		{ 18, "tc NOT LIKE tp", CU_FAILED },
		{ 14, "ch = 'x'", CU_FAILED },
		{ 15, "ch = 'x'", CU_TRUE },
		{ 14, "n::numeric(2,4) IS NULL", CU_FAILED },
		{ 14, "iv < '1.3 years'", CU_FAILED },
		{ 14, "iv < '1.5 seconds'", CU_FALSE },
		{ 15, "iv < '1.3 years'", CU_TRUE },
		{ 17, "'null'::jsonb::integer IS NULL", CU_FAILED },
		{ 18, "'null'::jsonb::integer IS NULL", CU_TRUE },
		{ 15, "id = 1 OR date_trunc('day', tz, 'UTC') < tz", CU_TRUE },
		{ 15, "id = 5 OR date_trunc('day', tz, 'nowhere') = tz", CU_TRUE },
		{ 16, "id = 5 OR date_trunc('day', '2020-01-01'::timestamptz, 'nowhere') = tz", CU_FAILED },
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		cu_expr_scope *versioned = test_scope(cases[i].pg_version);
		struct test_answer answer;
		enum cu_truth truth;

		test_ask(versioned, cases[i].clause, NULL, 0, &answer);
		truth = answer.rc < 0 ? CU_FAILED : answer.truth;
		if (truth != cases[i].truth)
			fail_msg("%d: %s: %d %s", cases[i].pg_version, cases[i].clause, truth,
				 cu_buf_str(&answer.error.message));
		cu_buf_fini(&answer.error.message);
		cu_expr_scope_unref(&versioned);
	}
}

/* Citext folds under the database's collation, of which this machine may have another version. */
static void citext_without_case_tables_is_refused(void **state)
{
	static const char *const clauses[] = { "ci = 'x'",
					       "'{x}'::citext[] = ARRAY[ci]",
					       "GREATEST(ci, 'x') = 'x'::text",
					       "ARRAY[ci] IS DISTINCT FROM '{x}'::citext[]",
					       "array_position(ARRAY[ci], 'x') = 1",
					       "ARRAY[ci] @> '{x}'::citext[]" };
	const struct cu_collation_desc desc = { .oid = 100,
						.name = "\"default\"",
						.provider = 'i',
						.deterministic = true,
						.locale = "en",
						.version = "1.0",
						.encoding = "UTF8" };
	struct cu_expr_column column = { .name = "ci", .type = &test_citext, .type_name = "citext", .typmod = -1 };
	cu_collation *collation;
	cu_expr_scope *foreign;

	(void)state;
	assert_int_equal(cu_collation_new(&desc, &collation), 0);
	column.collation = collation;
	foreign = cu_expr_scope_new("items", &column, 1, collation, 15, NULL, NULL);
	for (size_t i = 0; i < CU_ARRAY_LEN(clauses); i++) {
		struct cu_expr_error error = { 0 };
		cu_expr *expr;

		assert_int_equal(cu_expr_new(foreign, clauses[i], strlen(clauses[i]), NULL, 0, &expr, &error),
				 CU_EINVAL);
		assert_non_null(strstr(cu_buf_str(&error.message), "ICU"));
		cu_buf_fini(&error.message);
	}
	cu_expr_scope_unref(&foreign);
	cu_collation_free(&collation);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_clause_means_what_it_means_to_the_servers_version),
		cmocka_unit_test(citext_without_case_tables_is_refused),
		cmocka_unit_test(clauses_answer_true_false_or_unknown),
		cmocka_unit_test(errors_of_a_row_fail_that_row_only_where_it_gets_there),
		cmocka_unit_test(constant_parts_are_computed_beforehand_as_the_planner_does),
		cmocka_unit_test(parameters_become_typed_constants),
		cmocka_unit_test(clauses_that_differ_in_constants_share_a_program),
		cmocka_unit_test(the_columns_are_those_that_are_looked_at),
		cmocka_unit_test(a_value_that_is_not_in_the_stream_is_asked_for_only_when_needed),
		cmocka_unit_test(conditions_say_what_an_index_can_serve),
		cmocka_unit_test(depth_is_bounded_and_whatever_is_below_the_bound_works),
		cmocka_unit_test(length_and_nodes_are_bounded),
		cmocka_unit_test(text_that_is_not_utf8_is_refused_where_it_stops_being_so),
		cmocka_unit_test(out_of_memory_anywhere_is_an_error_and_no_leak),
	};
	int failed;

	scope = test_scope(15);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	cu_expr_scope_unref(&scope);
	return failed;
}
