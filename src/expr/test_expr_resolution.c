/* Which operator and function is meant, for every pair of types, by asking Postgres the same: an expression e answers r
 * there, so here e::text COLLATE "C" IS NOT DISTINCT FROM 'r' is true; what is refused there is refused here.
 *
 * CU_TEST_CASES: every n-th case (1: all of them, a million). */
#include "expr/test_help.h"

#include "pg_cluster.h"

#include <libpq-fe.h>

static cu_expr_scope *scope;
static PGconn *pg;
static unsigned asked, every; /* CU_TEST_CASES, or 0; every which case is asked */

struct tally {
	unsigned cases, same, refused_alike, unsupported, different;
};

/* Expressions wait here until there are enough of them for one question. */
#define BATCH 500u
static char *batch[BATCH];
static unsigned batch_len;

/* The message is what counts; Postgres' begins after the five characters of its state. 14 has other words. */
static bool is_same_refusal(const char *state, const char *message, const char *theirs)
{
	if (PQserverVersion(pg) < 150000)
		return strncmp(state, theirs, 5) == 0;
	return strcmp(message, theirs + 6) == 0;
}

/* A function or a cast that the catalog of 15 does not have. */
static bool is_newer(const char *state)
{
	return PQserverVersion(pg) / 10000 != 15 && (strcmp(state, "42883") == 0 || strcmp(state, "42846") == 0);
}

static void compare(const char *expression, const char *answer, struct tally *tally)
{
	cu_buf clause = CU_BUF_INIT;
	struct test_answer ours;
	const char *message, *state;

	tally->cases++;
	cu_buf_printf(&clause, "(%s)::text COLLATE \"C\" IS NOT DISTINCT FROM ", expression);
	if (answer[0] == '!') {
		cu_buf_puts(&clause, "'x'");
	} else if (answer[0] == '-') {
		cu_buf_puts(&clause, "NULL::text");
	} else {
		cu_buf_putc(&clause, 'E');
		cu_buf_putc(&clause, '\'');
		for (const char *p = answer + 1; *p; p++) {
			if (*p == '\'' || *p == '\\')
				cu_buf_putc(&clause, *p);
			cu_buf_putc(&clause, *p);
		}
		cu_buf_putc(&clause, '\'');
	}
	test_ask(scope, cu_buf_str(&clause), NULL, 0, &ours);
	message = ours.rc < 0 ? cu_buf_str(&ours.error.message) : ours.row_error.message;
	state = ours.rc < 0 ? ours.error.sqlstate : ours.row_error.sqlstate;
	if (strcmp(state, "0A000") == 0) {
		tally->unsupported++;
	} else if (answer[0] == '!') {
		if ((ours.rc < 0 || ours.truth == CU_FAILED) && is_same_refusal(state, message, answer + 1)) {
			tally->refused_alike++;
		} else if (is_newer(state)) {
			tally->unsupported++;
		} else if (strncmp(answer + 1, "0A000", 5) != 0) {
			tally->different++;
			print_message("%s: Postgres: %s, here: %s (%d)\n", expression, answer + 1, message, ours.truth);
		}
	} else if (is_newer(state)) {
		tally->unsupported++;
	} else if (ours.rc < 0 || ours.truth != CU_TRUE) {
		tally->different++;
		print_message("%s: Postgres: %s, here: %s (%d)\n", expression, answer, message, ours.truth);
	} else {
		tally->same++;
	}
	cu_buf_fini(&ours.error.message);
	cu_buf_fini(&clause);
}

static void flush(struct tally *tally)
{
	cu_buf array = CU_BUF_INIT;
	const char *value;
	PGresult *result;

	if (batch_len == 0)
		return;
	cu_buf_putc(&array, '{');
	for (unsigned i = 0; i < batch_len; i++) {
		cu_buf_puts(&array, i ? ",\"" : "\"");
		for (const char *p = batch[i]; *p; p++) {
			if (*p == '"' || *p == '\\')
				cu_buf_putc(&array, '\\');
			cu_buf_putc(&array, *p);
		}
		cu_buf_putc(&array, '"');
	}
	cu_buf_putc(&array, '}');
	value = cu_buf_str(&array);
	result = PQexecParams(pg, "SELECT try(c) FROM unnest($1::text[]) WITH ORDINALITY u(c, i) ORDER BY i", 1, NULL,
			      &value, NULL, NULL, 0);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		fail_msg("%s", PQerrorMessage(pg));
	assert_int_equal(PQntuples(result), batch_len);
	for (unsigned i = 0; i < batch_len; i++) {
		compare(batch[i], PQgetvalue(result, (int)i, 0), tally);
		free(batch[i]);
	}
	batch_len = 0;
	PQclear(result);
	cu_buf_fini(&array);
}

static unsigned turn;

static void ask(struct tally *tally, const char *fmt, ...) CU_PRINTF(2, 3);
static void ask(struct tally *tally, const char *fmt, ...)
{
	cu_buf text = CU_BUF_INIT;
	va_list args;

	if (turn++ % every != 0)
		return;
	va_start(args, fmt);
	cu_buf_vprintf(&text, fmt, args);
	va_end(args);
	batch[batch_len++] = cu_buf_steal(&text, NULL);
	if (batch_len == BATCH)
		flush(tally);
}

static void report(const char *what, const struct tally *tally)
{
	print_message("%s: %u cases: %u same answer, %u refused alike, %u not supported here, %u different\n", what,
		      tally->cases, tally->same, tally->refused_alike, tally->unsupported, tally->different);
	assert_int_equal(tally->different, 0);
	assert_true(tally->same > 0);
}

/* Every column, and literals whose type is to be found. */
static const char *operand(unsigned i)
{
	static const char *const literals[] = { "'1'", "'a'", "NULL", "3", "2.5", "'{1}'", "'2020-01-01'" };

	return i < TEST_COLUMNS_LEN - 1 ? test_columns[i].name : literals[i - (TEST_COLUMNS_LEN - 1)];
}
#define OPERANDS (TEST_COLUMNS_LEN - 1 + 7)

static void operators_resolve_as_in_postgres(void **state)
{
	static const char *const ops[] = { "=",  "<>",  "<",  "<=",  ">",   ">=",  "+",    "-",  "*",  "/",
					   "%",  "^",   "||", "~~",  "!~~", "~~*", "!~~*", "~",  "~*", "^@",
					   "->", "->>", "#>", "#>>", "@>",  "<@",  "?",    "?|", "?&", "&&",
					   "&",  "|",   "#",  "<<",  ">>",  "#-",  "@@" };
	static const char *const prefixes[] = { "-", "+", "@", "~", "|/", "||/", "!!" };
	struct tally tally = { 0 };

	(void)state;
	every = asked ? asked : 5;
	for (size_t o = 0; o < CU_ARRAY_LEN(ops); o++) {
		for (unsigned a = 0; a < OPERANDS; a++) {
			for (unsigned b = 0; b < OPERANDS; b++)
				ask(&tally, "%s %s %s", operand(a), ops[o], operand(b));
		}
	}
	for (size_t o = 0; o < CU_ARRAY_LEN(prefixes); o++) {
		for (unsigned a = 0; a < OPERANDS; a++)
			ask(&tally, "%s %s", prefixes[o], operand(a));
	}
	flush(&tally);
	report("operators", &tally);
}

static void casts_resolve_as_in_postgres(void **state)
{
	static const char *const types[] = {
		"int2",         "int4",         "int8",    "float4",       "float8",      "numeric",
		"numeric(4,1)", "text",         "varchar", "varchar(2)",   "char",        "char(3)",
		"name",         "\"char\"",     "oid",     "uuid",         "bytea",       "bool",
		"date",         "time",         "timetz",  "timestamp",    "timestamptz", "interval",
		"json",         "jsonb",        "int4[]",  "text[]",       "mood",        "mood[]",
		"citext",       "timestamp(0)", "int8[]",  "varchar(1)[]", "interval(0)", "interval day"
	};
	struct tally tally = { 0 };

	(void)state;
	every = asked ? asked : 1;
	for (size_t t = 0; t < CU_ARRAY_LEN(types); t++) {
		for (unsigned a = 0; a < OPERANDS; a++)
			ask(&tally, "%s::%s", operand(a), types[t]);
	}
	flush(&tally);
	report("casts", &tally);
}

/* Every function name of the catalog that could be asked with columns and literals. */
static void functions_resolve_as_in_postgres(void **state)
{
	struct tally tally = { 0 };
	PGresult *result;

	(void)state;
	every = asked ? asked : 31;
	result = PQexec(
		pg,
		"SELECT DISTINCT proname::text, pronargs FROM pg_proc p WHERE pronamespace = 'pg_catalog'::regnamespace "
		"AND prokind = 'f' AND provolatile <> 'v' AND NOT proretset AND pronargs <= 3 "
		"AND proname !~ '^(pg_|has_|current_|session_|inet_|txid_|now|statement_timestamp|transaction_timestamp|"
		"row_security|version|getdatabase|obj_desc|col_desc|shobj|to_reg|format_type|.*_?(in|out|send|recv)$|.*(_transfn|_finalfn|_final)$|interval$|ginarray|hash|to_ts|"
		"ts_|query_to|table_to|schema_to|database_to|cursor_to|array_to_ts|json_to_ts|jsonb_to_ts|age$|date_trunc$|"
		"xml|timeofday|mxid|enum_range|to_char|to_date|to_number|to_timestamp|.*sel$|.*support$)' ORDER BY 1, 2");
	assert_int_equal(PQresultStatus(result), PGRES_TUPLES_OK);
	for (int i = 0; i < PQntuples(result); i++) {
		const char *name = PQgetvalue(result, i, 0);
		int args = atoi(PQgetvalue(result, i, 1));

		for (unsigned a = 0; args == 1 && a < OPERANDS; a++)
			ask(&tally, "pg_catalog.\"%s\"(%s)", name, operand(a));
		for (unsigned a = 0; args == 2 && a < OPERANDS; a++) {
			for (unsigned b = 0; b < OPERANDS; b += 1 + a % 3)
				ask(&tally, "pg_catalog.\"%s\"(%s, %s)", name, operand(a), operand(b));
		}
		for (unsigned a = 0; args == 3 && a < OPERANDS; a++)
			ask(&tally, "pg_catalog.\"%s\"(%s, %s, %s)", name, operand(a), operand((a * 7 + 3) % OPERANDS),
			    operand((a * 5 + 1) % OPERANDS));
	}
	PQclear(result);
	flush(&tally);
	report("functions", &tally);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(operators_resolve_as_in_postgres),
		cmocka_unit_test(casts_resolve_as_in_postgres),
		cmocka_unit_test(functions_resolve_as_in_postgres),
	};
	struct pg_cluster *cluster;
	cu_buf sql = CU_BUF_INIT;
	int failed;

	if (!pg_cluster_available()) {
		print_message("no Postgres on this machine\n");
		return 0;
	}
	if (getenv("CU_TEST_CASES"))
		asked = (unsigned)CU_MAX(atoi(getenv("CU_TEST_CASES")), 1);
	cluster = pg_cluster_new(NULL);
	pg = PQconnectdb(pg_cluster_url(cluster, NULL));
	test_put_table(&sql);
	cu_buf_puts(&sql, "; SET DateStyle = 'ISO, DMY'; SET TimeZone = 'UTC'; SET IntervalStyle = 'iso_8601';"
			  "SET client_min_messages = error;"
			  "CREATE FUNCTION try(c text) RETURNS text LANGUAGE plpgsql AS $f$ DECLARE r text; BEGIN "
			  "EXECUTE 'SELECT (' || c || ')::text FROM items' INTO r; RETURN coalesce('=' || r, '-'); "
			  "EXCEPTION WHEN OTHERS THEN RETURN '!' || SQLSTATE || ' ' || SQLERRM; END $f$");
	PQclear(PQexec(pg, cu_buf_str(&sql)));
	if (*PQerrorMessage(pg)) {
		print_error("%s", PQerrorMessage(pg));
		return 1;
	}
	scope = test_scope(PQserverVersion(pg) / 10000);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	cu_expr_scope_unref(&scope);
	PQfinish(pg);
	cu_buf_fini(&sql);
	pg_cluster_free(&cluster);
	return failed;
}
