/* where_found.c: what where_diff found, once each, by name, against a private Postgres. label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "where.h"

#include "pg_cluster.h"

static struct pg_cluster *cluster;
static struct world world;

static const char table_sql[] =
	"CREATE EXTENSION citext;" W_COLLATIONS ";"
	"CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');"
	"CREATE DOMAIN feeling AS mood; CREATE DOMAIN small AS integer; CREATE DOMAIN few AS integer[];"
	"CREATE TABLE items (id integer, i8 bigint, n numeric, f float8, b boolean, t text, v varchar(3) COLLATE \"C\","
	" e text COLLATE \"en-x-icu\", nm name, c bpchar(4), q \"char\", ts timestamp(3), tz timestamptz, d date, iv interval,"
	" ia integer[], ta text[], m mood, fe feeling, sm small, j jsonb, ci citext, nc text COLLATE nocase, fa few);"
	"INSERT INTO items VALUES"
	" (1, 5, 1.50, 'NaN', true, 'a', 'a', 'a', 'a', 'a', 'a', '2020-01-01', '2020-01-01', '2020-01-01', '1 day', '{1,2}',"
	"  '{a,b}', 'ok', 'ok', 1, '{\"a\": 1}', 'A', 'A', '{1}'),"
	" (2, -5, 'NaN', '-0', false, 'x', 'B', 'B', 'B', 'b', '', 'infinity', 'infinity', 'infinity', '-1 mon', '{}',"
	"  '{}', 'sad', 'happy', 2, '[]', 'b', 'b', '{}'),"
	" (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),"
	" (4, 0, 0, 'Infinity', NULL, '', '', '', '', '', NULL, '1999-01-08 04:05:06', '0044-03-15 BC', '0001-01-01',"
	"  'P1Y', '{{1,2},{3,4}}', '{NULL}', 'happy', NULL, -1, 'null', '', '', '{{3}}')";

struct found {
	const char *name;
	const char *clause;
	const char *params[2];
	bool unsupported; /* refused on purpose, where Postgres answers */
};

static const struct found all[] = {
	{ "the smallest integer is an integer", "int4le(id, (-2147483648))", { 0 }, false },
	{ "a parameter is no literal: f($1) is not a cast", "float8($1) = f", { "1" }, false },
	{ "a parameter as the only argument of text() is one", "text($1) = t", { "a" }, false },
	{ "a parameter's value is read when the clause has been checked", "($1::boolean)::bigint", { "" }, false },
	{ "parameters' values are read in order", "id = $2 AND i8 = $1", { "x", "y" }, false },
	{ "values of parameters before constant expressions", "1 / 0 = 1 AND id = $1", { "x" }, false },
	{ "$1 IN: each item types a copy", "$1 IN (i8, '-1')", { "5" }, false },
	{ "$1 IN: what the array typed stays typed", "$1 IN (t, 'x', t, 'y', 'z')", { "x" }, false },
	{ "$1 IN: copies disagree", "$1 IN (ia, j)", { "" }, false },
	{ "IS NULL of a parameter typed elsewhere", "$1 IS NULL AND id = $1", { "1" }, false },
	{ "IS NULL of a parameter typed before", "id = $1 AND $1 IS NULL", { "1" }, false },
	{ "IS NULL of a parameter without a type", "$1 IS NULL AND id = 1", { "1" }, false },
	{ "precision of float", "id::float(54) = 1", { 0 }, false },
	{ "bit strings", "id::bit(3) = '1'", { 0 }, true },
	{ "types that no column has", "'x'::nosuchtype = t", { 0 }, true },
	{ "row comparisons are not folded", "1 / id > 0 AND (1, 2) < (0, 1)", { 0 }, false },
	{ "tests of constant rows", "(1, 2) IS NULL", { 0 }, true },
	{ "tests of rows", "(id, 2) IS NOT NULL AND (t, NULL) IS NULL", { 0 }, false },
	{ "a NULL array ends it before its subscripts", "(NULLIF(ia, ia))[t::integer] IS NULL", { 0 }, false },
	{ "upper bounds come first", "(ia)[t::integer:'x'::text::smallint] IS NULL", { 0 }, false },
	{ "length coercions by name", "\"varchar\"(v, 2147483647, b) IS NOT NULL", { 0 }, true },
	{ "numeric(n, m) by name", "\"numeric\"(n, 5) = 1", { 0 }, true },
	{ "AND within AND keeps one NULL", "b AND (NULL::boolean AND b) AND NULL", { 0 }, false },
	{ "AND that a row comparison makes", "((0, '') = (i8, NULL)) AND b", { 0 }, false },
	{ "casts to enums are left to the rows", "m = ANY (CAST('{x}'::varchar[] AS mood[]))", { 0 }, false },
	{ "name from text keeps its weak collation", "nm BETWEEN name('z'::text) AND NULL", { 0 }, false },
	{ "name from text beside a column", "pg_catalog.name('B'::text) >= v", { 0 }, false },
	{ "domains over enums have no operators", "fe = 'ok'", { 0 }, false },
	{ "domains over enums beside enums", "fe = m", { 0 }, false },
	{ "domains over enums, cast", "fe::mood = m", { 0 }, false },
	{ "domains over enums in functions", "enum_larger(fe, fe) IS NULL", { 0 }, false },
	{ "other domains are their base types", "sm = id AND sm IN (1, 2) AND COALESCE(sm, 1) = 1", { 0 }, false },
	{ "citext() is the extension's", "ci = citext(b)", { 0 }, false },
	{ "operators of arrays of citext", "'{}'::citext[] = ARRAY[ci]", { 0 }, false },
	{ "citext in row comparisons", "(ci, id) > ('', 1)", { 0 }, false },
	{ "a CASE whose collation does not survive its choice",
	  "ci < CASE 0 WHEN 7 THEN ci WHEN 2 THEN ci ELSE ci END",
	  { 0 },
	  false },
	{ "CASE of a constant that keeps one branch",
	  "CASE 1 WHEN float4(id) THEN true WHEN 5 THEN b END",
	  { 0 },
	  false },
	{ "intervals that old versions wrap", "make_interval(id, 2147483647, 2147483647) >= '1 day'", { 0 }, true },
	{ "differences that old versions wrap", "ts - '294276-02-09'::timestamp > iv", { 0 }, true },
	{ "an empty \"char\" is no text", "bpchar(q) = 'a'", { 0 }, true },
	{ "json from text is read beforehand",
	  "json_object_field_text(CAST(''::text AS json), 'a') = t",
	  { 0 },
	  false },
	{ "what GREATEST cannot compare is found out last", "GREATEST(t::json)", { 0 }, false },
	{ "a constant that keeps a column's collation is one",
	  "COALESCE('', ci) NOT ILIKE '' ESCAPE 'ab'",
	  { 0 },
	  false },
	{ "subscripts before their array",
	  "(('{6}' || '{{{5}}}'::real[]))[('10' * 3766::smallint)] > f",
	  { 0 },
	  false },
	{ "the left row before the right", "(t, CAST($1 AS integer), 1) > (t, 1, 1 / 0)", { "" }, false },
	{ "a parameter of any type, typed elsewhere", "NULL IN (concat_ws(t, '', $1, $1::real))", { "" }, false },
	{ "oids above integers", "(4294967295::oid)::integer = id - 2 AND (id - 2)::oid > 5", { 0 }, false },
	{ "oids of negative smallints", "(id - 2)::smallint::oid = (id - 2)::oid", { 0 }, false },
	{ "oids in arrays", "(ARRAY[id - 2]::oid[])[1] > 5", { 0 }, false },
	{ "a literal beside a domain over an array", "fa || '{\"2\"}' = ia", { 0 }, false },
	{ "domains over arrays in ANY", "id = ANY (fa || NULL)", { 0 }, false },
	{ "domains over arrays, subscripts and casts", "fa[1] = id AND fa::bigint[] = '{1}'", { 0 }, false },
	{ "arrays of domains", "ARRAY[sm] = ia", { 0 }, true },
	{ "array bounds beyond integers", "('[2345678901')::bigint[] IS NULL", { 0 }, true },
	{ "IS DISTINCT FROM NULL of a parameter", "CASE WHEN NULL IS DISTINCT FROM $1 THEN t END", { "" }, false },
	{ "names from an array of texts weigh as C",
	  "v < ANY (CAST(ta AS name[])) OR e = ANY (CAST(ta AS name[]))",
	  { 0 },
	  true },
	{ "slices of jsonb are refused unread",
	  "(jsonb_delete(NULL, 'a', 'b', ''::text))[id:'x' - t] IS NULL",
	  { 0 },
	  false },
	{ "a modifier that folding makes idle",
	  "ts = (CASE WHEN false THEN '2020-01-01' ELSE ts END)::timestamp(3)",
	  { 0 },
	  false },
	{ "functions of citext in SQL, under two collations", "strpos(ci, e::citext) = 1", { 0 }, true },
	{ "functions of citext in SQL", "strpos(ci, 'a') = 1 AND translate(ci, 'A'::citext, 'x') = t", { 0 }, false },
	{ "a CASE that cannot be written as its choice is not computed either",
	  "e < CASE WHEN (t::boolean OR 'y') THEN e ELSE nm END",
	  { 0 },
	  true },
	{ "a CASE that collapses to a column", "nm < CASE WHEN (t::boolean OR 'y') THEN t ELSE nm END", { 0 }, false },
	{ "a CASE whose argument has a collation of its own",
	  "substring(CASE \"varchar\"(''::name) WHEN ' ' THEN t END from t::integer) = ''::text",
	  { 0 },
	  false },
	{ "a list in brackets", "ta && ARRAY['blue', 'green']", { 0 }, false },
	{ "nondeterministic equality", "nc = 'a' AND nc IN ('A', 'b')", { 0 }, false },
	{ "nondeterministic LIKE", "nc LIKE 'a%'", { 0 }, true },
	{ "a function in SQL: its arguments are computed before its body",
	  "int2abs('-32768') + make_date(5, 4, 0) = d",
	  { 0 },
	  false },
	{ "a part that is written unfolded is no template", "nm = name(('a')::char(4))", { 0 }, false },
	{ "a part that is written unfolded, again", "nm = name(('B')::char(4))", { 0 }, false },
	{ "a constant that SQL cannot write",
	  "CASE WHEN id > 9 THEN t::timetz END < timezone('24h'::interval, '2:5'::timetz)",
	  { 0 },
	  true },
	{ "NULL is distinct beforehand, whatever the operator",
	  "NULL::timestamptz IS DISTINCT FROM timestamp 'epoch' OR ''::text::integer = id",
	  { 0 },
	  false },
	{ "NULLs of two types are not distinct beforehand",
	  "NULL::timestamptz IS NOT DISTINCT FROM NULL::timestamp OR ''::text::integer = id",
	  { 0 },
	  false },
	{ "citext under C folds by the database",
	  "citext_le(nm::citext, '\u0130') AND '{'::name::citext <= '\u0130'",
	  { 0 },
	  false },
	{ "citext under POSIX folds by the database",
	  "ci COLLATE \"POSIX\" <= '\u0130' AND '{}' <= '\u0130'::citext COLLATE \"POSIX\"",
	  { 0 },
	  false },
	{ "a COLLATE that folding puts under a cast",
	  "ts < rtrim('2020-01-01' COLLATE \"default\")::timestamp OR ta = rtrim('{a}' COLLATE \"C\")::text[]",
	  { 0 },
	  false },
	{ "elements of citext are equal by their folded bytes",
	  "array_remove(ARRAY[ci COLLATE nocase], '\u200b') = ARRAY[ci]",
	  { 0 },
	  false },
};

/* Where Postgres' versions differ. */
static const struct {
	int since, before; /* major versions that are asked; 0: all */
	struct found found;
} by_version[] = {
	{ 0,
	  0,
	  { "the scale of a power",
	    "(n ^ 3)::text > t OR (2.5 ^ -id)::text > t OR (0.5 ^ 2.00)::text > t",
	    { 0 },
	    false } },
	{ 0, 18, { "LIKE under two collations", "v LIKE e", { 0 }, false } },
	{ 18, 0, { "LIKE under two collations, since 18", "v LIKE e", { 0 }, true } },
	{ 0,
	  0,
	  { "LIKE under two collations, nothing to compare", "v LIKE NULL::text AND e NOT LIKE 'a'", { 0 }, false } },
	{ 0, 0, { "a zone that is read beforehand since 16", "date_trunc('month', tz, 'nowhere') = tz", { 0 }, true } },
	{ 0, 0, { "units of what is infinite", "date_trunc('x', ts) = ts", { 0 }, false } },
	{ 0, 0, { "a jsonb null", "(CASE WHEN id <> 4 THEN '1' ELSE j END)::integer = id", { 0 }, false } },
	{ 0, 0, { "a jsonb null, beforehand", "'null'::jsonb::boolean IS NULL", { 0 }, false } },
	{ 0, 0, { "characters below 0", "chr(id - 10) = t", { 0 }, false } },
	{ 0,
	  0,
	  { "scales below 0 and above the precision", "n::numeric(3,-2) = 100 OR n::numeric(2,4) = 0", { 0 }, false } },
	{ 0, 0, { "interval as text, beforehand", "CAST('9' AS interval)::text LIKE '\\'", { 0 }, false } },
	{ 15, 0, { "fractions of years", "iv < '1.3 years'", { 0 }, false } },
	{ 0, 15, { "fractions of years, before 15", "iv < '1.3 years'", { 0 }, true } },
	{ 0, 0, { "fractions of seconds", "iv < '1 day 2.5 seconds' AND iv <> 'P1DT0.5S'", { 0 }, false } },
	{ 0, 15, { "intervals from text, before 15", "iv > t::interval", { 0 }, true } },
	{ 15, 0, { "\"char\"", "q = 'a' OR q::text < 'b'", { 0 }, false } },
	{ 0, 15, { "\"char\", before 15", "q = 'a'", { 0 }, true } },
	{ 0, 15, { "\"char\" from text, before 15", "\"char\"(id) IS NULL", { 0 }, true } },
	{ 0, 0, { "infinite differences", "ts - '2020-01-01' > iv", { 0 }, true } },
	{ 0, 0, { "infinite products", "iv * (n * 'Infinity')::float8 > '1 day'", { 0 }, true } },
	{ 0, 0, { "an infinite interval", "iv < 'infinity'", { 0 }, true } },
	{ 0,
	  0,
	  { "hours that are days beyond all",
	    "justify_hours(iv + make_interval(0, 0, 0, 2147483647, 24)) > iv",
	    { 0 },
	    true } },
	{ 0, 0, { "integers since 16", "id = '0x1F'", { 0 }, true } },
	{ 0, 0, { "numerics since 16", "n = '1_000'", { 0 }, true } },
	{ 0, 0, { "numerics before 16", "n = '1e 5'", { 0 }, true } },
	{ 0, 0, { "oids in octal", "id::oid = '0010'", { 0 }, true } },
	{ 0, 0, { "lists without elements", "ia = '{{}}'", { 0 }, true } },
};

static bool is_right(const struct found *found)
{
	struct wcase c = { 0 };
	bool unsupported, right;

	cu_buf_puts(&c.text.sql, found->clause);
	for (unsigned k = 0; k < 2 && found->params[k]; k++)
		c.text.params[c.text.params_len++] = found->params[k];
	w_ours(&world, &c, -1);
	w_judge(&world, &c, 1, -1);
	unsupported = c.finding == W_UNSUPPORTED || c.finding == W_UNSUPPORTED_ROW;
	right = !w_is_hard(c.finding) && unsupported == found->unsupported;
	/* A Postgres of another build may bring another ICU. */
	right |= unsupported && getenv("COPPER_TEST_PG_BIN") && strstr(c.detail, "of ICU's collator");
	if (!right)
		fprintf(stderr, "%s: %s\n\t%s: %s\n\tour SQL: %s\n", found->name, found->clause,
			w_finding_names[c.finding], c.detail ? c.detail : "", cu_buf_str(&c.sql));
	w_case_fini(&c);
	return right;
}

static void what_versions_of_postgres_answer_is_answered(void **state)
{
	int version = PQserverVersion(world.conn) / 10000;
	unsigned failed = 0;

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(by_version); i++) {
		if (version >= by_version[i].since && (!by_version[i].before || version < by_version[i].before))
			failed += !is_right(&by_version[i].found);
	}
	assert_int_equal(failed, 0);
}

static void what_was_found_stays_right(void **state)
{
	unsigned failed = 0;

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(all); i++)
		failed += !is_right(&all[i]);
	assert_int_equal(failed, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_found_stays_right),
		cmocka_unit_test(what_versions_of_postgres_answer_is_answered),
	};
	char info[256];
	PGconn *conn;
	int rc;

	if (!pg_cluster_available())
		return 77;
	cluster = pg_cluster_new(NULL);
	pg_cluster_sql(cluster, "CREATE DATABASE found TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'");
	snprintf(info, sizeof info, "host=%s port=%d user=postgres dbname=found", pg_cluster_socket_dir(cluster),
		 pg_cluster_port(cluster));
	conn = PQconnectdb(info);
	w_session(conn);
	w_run(conn, table_sql);
	w_world_fixed(&world, conn);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	w_world_fini(&world);
	PQfinish(conn);
	pg_cluster_free(&cluster);
	return rc;
}
