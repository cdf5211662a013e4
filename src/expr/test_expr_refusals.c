/* What is refused, in whose words, and where: Postgres is asked the same wherever it refuses too. */
#include "expr/test_help.h"

#include "pg_cluster.h"

#include <libpq-fe.h>

static cu_expr_scope *scope;
static PGconn *pg;

/* Postgres' message and the position within the clause; false: it has nothing against it. */
static bool ask_postgres(const char *clause, cu_buf *message, unsigned *position)
{
	static const char before[] = "SELECT 1 FROM items WHERE ";
	cu_buf sql = CU_BUF_INIT;
	const char *at;
	PGresult *result;
	bool refused;

	cu_buf_puts(&sql, before);
	cu_buf_puts(&sql, clause);
	result = PQexec(pg, cu_buf_str(&sql));
	refused = PQresultStatus(result) != PGRES_TUPLES_OK;
	if (refused) {
		at = PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION);
		*position = at ? (unsigned)atoi(at) - (unsigned)(sizeof before - 1) : 0;
		cu_buf_puts(message, PQresultErrorField(result, PG_DIAG_SQLSTATE));
		cu_buf_putc(message, ' ');
		cu_buf_puts(message, PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
	}
	PQclear(result);
	cu_buf_fini(&sql);
	return refused;
}

static void ask_both(const char *clause, unsigned *failed)
{
	cu_buf theirs = CU_BUF_INIT, ours = CU_BUF_INIT;
	struct test_answer answer;
	unsigned position = 0;

	if (!ask_postgres(clause, &theirs, &position))
		fail_msg("Postgres accepts: %s", clause);
	test_ask(scope, clause, NULL, 0, &answer);
	if (answer.rc == 0 && answer.truth != CU_FAILED)
		fail_msg("accepted: %s, where Postgres says: %s", clause, cu_buf_str(&theirs));
	/* What only the row's values show is said of the row. */
	if (answer.rc == 0)
		cu_buf_printf(&ours, "%s %s", answer.row_error.sqlstate, answer.row_error.message);
	else
		cu_buf_printf(&ours, "%s %s", answer.error.sqlstate, cu_buf_str(&answer.error.message));
	if (strcmp(cu_buf_str(&ours), cu_buf_str(&theirs)) != 0 || answer.error.position != position) {
		print_message("%s:\n  Postgres: %s @%u\n  here:     %s @%u\n", clause, cu_buf_str(&theirs), position,
			      cu_buf_str(&ours), answer.error.position);
		*failed += 1;
	}
	cu_buf_fini(&theirs);
	cu_buf_fini(&ours);
	cu_buf_fini(&answer.error.message);
}

static void what_postgres_refuses_is_refused_in_its_words_at_its_place(void **state)
{
	static const char *const clauses[] = {
		"",
		"   ",
		"-- nothing",
		"id = 1 /* open",
		"'abc",
		"t = e'\\'",
		"id, b",
		"id = ",
		"id == 1",
		"id = = 1",
		"(id = 1",
		"id = 1)",
		"id = 1 2",
		"id in ()",
		"nope = 1",
		"id = 'é' || nope",
		"items.nope = 1",
		"other.id = 1",
		"id = 'x'",
		"id",
		"t",
		"id + 1",
		"null::int",
		"t = 5",
		"id = t",
		"t + 1 = 2",
		"- t = 'x'",
		"j = j",
		"m = 'furious'",
		"m = t",
		"ia = '{1,x}'",
		"d = '2020-02-30'",
		"u = 'x'",
		"jb = '{'",
		"b = 'maybe'",
		"i2 = '70000'",
		"1 / 0 = 1",
		"1/0 = 1 and false",
		"case when id > 0 then 1/0 else 1 end = 1",
		"id = 1 and b and id",
		"id or b",
		"not id",
		"id is true",
		"t is not unknown",
		"case when id then 1 end = 1",
		"case id when 'x' then 1 end = 1",
		"case when b then id else t end = id",
		"coalesce(id, t) = 1",
		"greatest(j, j) is null",
		"nullif(id, 'x') = 1",
		"lower(id) = 'x'",
		"pg_catalog.nofunction(id) = 1",
		"length(t, 5) = 1",
		"length() = 1",
		"substr(t) = 'x'",
		"count(*) > 1",
		"sum(id) > 1",
		"count(distinct id) > 1",
		"row_number() over () = 1",
		"row_number() = 1",
		"sum(id) over () = 1",
		"lower(t) over () = 'x'",
		"lower(distinct t) = 'x'",
		"lower(*) = 'x'",
		"generate_series(1, 2) = 1",
		"id::varchar(0) = 'a'",
		"n::numeric(0) = 1",
		"n::numeric(1001) = 1",
		"t::int(4) = 1",
		"id::uuid = u",
		"b::date = d",
		"cast(id as uuid) = u",
		"uuid 'x' = u",
		"date 'x' = d",
		"id collate \"C\" = 1",
		"(t collate \"C\") = (v collate \"POSIX\")",
		"id = any(t)",
		"id = any(5)",
		"id = any(ta)",
		"id + any(ia)",
		"t like any(ia)",
		"(1, 2) = (1, 2, 3)",
		"(id, t) = (1, 2)",
		"(id, t) ~~ ('1', '2')",
		"id between 't' and 5",
		"id between 1 and 'y'",
		"id in (1, 'x')",
		"id in (1, b)",
		"t in (id, 'x')",
		"array[] = ia",
		"array[1, 't'] = ia",
		"array[1, b] = ia",
		"ia[t] = 1",
		"ia['x'] = 1",
		"id[1] = 1",
		"(id).x = 1",
		"jb[1:2] is null",
		"jb[1.5] is null",
		"ia[1][1][1][1][1][1][1] = 1",
		"ts at time zone 5 = tz",
		"ts + 1 = ts",
		"t || 1 = 2",
		"id is distinct from 'x'",
		"t like 'x' escape 'yy'",
		"t::json is null and 'x'::json is null",
		"'{1'::int[] = ia",
		"jb ? 1",
		"jb -> true = 1",
		"array_length(id, 1) = 1",
		"array_position(ia, 't') = 1",
		"concat_ws() = 't'",
		"position(1 in t) = 1",
		"default = 1",
		"grouping(id) = 1",
		"$",
		"id = $1",
		"\"\" = 1",
		"b = 1",
		"id = true",
		"t = u",
		"f8 % 2 = 1",
		"d - ts = 1",
		"tz > tm",
		"iv > 5",
		"nm = 5",
		"by = 'é'::int",
		"ma = '{sad,bad}'",
		"'bad' = any(ma)",
		"m in ('sad', 'bad')",
		"ci = 5",
		"tc = tp",
		"tc ilike tp",
		"tc || tp = 'x'",
		"lower(tc || tp) = 'x'",
		"upper(tc || tp) = 'x'",
		"initcap(tc || tp) = 'x'",
		"position(tc in tp) = 1",
		"starts_with(tc, tp)",
		"replace(tc, tp, 'x') = 'x'",
		"split_part(tc, tp, 1) = 'x'",
		"tc in (tp, 'x')",
		"array[tc, tp] @> array['x']",
		"greatest(tc, tp) = 'x'",
		"tc is distinct from tp",
		"nullif(tc, tp) = 'x'",
		"case tc when tp then true end",
		"array_position(array[tc], tp) = 1",
		"tc::varchar(3) = tp",
		"concat_ws(tp, tc) = 'x'",
		"(tc, id) < (tp, 1)",
		"array[tc] < array[tp]",
		"tc collate \"C\" < tp collate \"POSIX\"",
		"string_to_array(tc, tp) = '{}'",
	};

	/* 14 has other words for these, and its "char" is not supported. */
	static const char *const since_15[] = {
		"extract(fortnight from ts) = 1",
		"id = 99999999999999999999999999999999x",
		"id = 1e",
		"ch = 5",
	};
	unsigned failed = 0;

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(clauses); i++)
		ask_both(clauses[i], &failed);
	for (size_t i = 0; PQserverVersion(pg) >= 150000 && i < CU_ARRAY_LEN(since_15); i++)
		ask_both(since_15[i], &failed);
	assert_int_equal(failed, 0);
}

static void what_only_we_refuse_is_refused_with_a_reason(void **state)
{
	static const struct {
		const char *clause, *message;
		unsigned position;
	} cases[] = {
		{ "id = 1; delete from items", "syntax error at or near \";\"", 7 },
		{ "id = 1) or (true", "syntax error at or near \")\"", 7 },
		{ "id = 1 order by id", "syntax error at or near \"order\"", 8 },
		{ "id = 1 union select 1", "syntax error at or near \"union\"", 8 },
		{ "id = 1 for update", "syntax error at or near \"for\"", 8 },
		{ "id in (select 1)", "subqueries are not supported in where clauses", 4 },
		{ "b and exists (select 1)", "subqueries are not supported in where clauses", 7 },
		{ "now() > tz", "function now is not supported in where clauses", 1 },
		{ "b and random() < 1", "function random is volatile, which is not supported in where clauses", 7 },
		{ "current_date = d",
		  "the current date, time, user and schema are not supported in where clauses: the answer would change "
		  "without a change of the row",
		  1 },
		{ "ctid is null", "system column \"ctid\" is not supported in where clauses", 1 },
		{ "items is null", "whole-row references are not supported in where clauses", 1 },
		{ "b and pt is null", "column \"pt\" of type point is not supported in where clauses", 7 },
		{ "'1.1.1.1'::inet is null", "type inet is not supported in where clauses", 12 },
		{ "id::foo = 1", "type \"foo\" does not exist, or no column of this table has it", 5 },
		{ "make_interval(days => 1) = iv", "named arguments are not supported in where clauses", 15 },
		{ "xmlelement(name x) is null", "type xml is not supported in where clauses", 1 },
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		struct test_answer answer;

		test_ask(scope, cases[i].clause, NULL, 0, &answer);
		assert_int_equal(answer.rc, CU_EINVAL);
		assert_string_equal(cu_buf_str(&answer.error.message), cases[i].message);
		assert_int_equal(answer.error.position, cases[i].position);
		cu_buf_fini(&answer.error.message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_postgres_refuses_is_refused_in_its_words_at_its_place),
		cmocka_unit_test(what_only_we_refuse_is_refused_with_a_reason),
	};
	struct pg_cluster *cluster;
	cu_buf sql = CU_BUF_INIT;
	int failed;

	if (!pg_cluster_available()) {
		print_message("no Postgres on this machine\n");
		return 0;
	}
	cluster = pg_cluster_new(NULL);
	pg = PQconnectdb(pg_cluster_url(cluster, NULL));
	test_put_table(&sql);
	cu_buf_puts(&sql, "; SET DateStyle = 'ISO, DMY'; SET TimeZone = 'UTC'; SET IntervalStyle = 'iso_8601';"
			  "SET client_min_messages = error");
	PQclear(PQexec(pg, cu_buf_str(&sql)));
	assert_string_equal(PQerrorMessage(pg), "");
	scope = test_scope(PQserverVersion(pg) / 10000);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	cu_expr_scope_unref(&scope);
	PQfinish(pg);
	cu_buf_fini(&sql);
	pg_cluster_free(&cluster);
	return failed;
}
