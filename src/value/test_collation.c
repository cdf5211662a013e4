/* test_collation.c: order, equality and case under each kind of collation, against a private Postgres. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "pg_cluster.h"
#include "value/test_collation.h"
#include "value/utf8.h"

#include <gnu/libc-version.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXTS_RANDOM 60

/* glibc's newlocale() loses its list of directories when LOCPATH is set. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:argz_add_sep\n";
}

static struct pg_cluster *cluster;
static PGconn *conn;
static char locales_dir[] = "/tmp/cu-locales-XXXXXX";

static const char *const fixed_texts[] = {
	"",
	"a",
	"A",
	"b",
	"B",
	"ab",
	"aB",
	"Ab",
	"AB",
	"a b",
	"a-b",
	"a_b",
	"ab ",
	" ab",
	"co-op",
	"coop",
	"CO-OP",
	"1",
	"10",
	"2",
	"\u00df",
	"ss",
	"SS",
	"\u1e9e",
	"stra\u00dfe",
	"STRASSE",
	"i",
	"I",
	"\u0130",
	"\u0131",
	"i\u0307",
	"\u0130I\u0131i",
	"\u03a3",
	"\u03c3",
	"\u03c2",
	"\u039f\u0394\u039f\u03a3",
	"\u03bf\u03b4\u03bf\u03c2 \u03a3",
	"\u00e9",
	"e\u0301",
	"\u00c9",
	"E\u0301",
	"\u00e4",
	"ae",
	"\u00c4",
	"z",
	"\u00f6",
	"\ufb01",
	"fi",
	"\ufb03x",
	"\U0001f600",
	"\U0001f600\u200d\U0001f525",
	"\U00010428",
	"\U00010400",
	"\uffff",
	"\ufeffa",
	"\u01c6abc",
	"\u01c4",
	"\u01c5",
	"\u0149",
	"\u0390",
	"\u1f80",
	"\u10d0\u1c90",
	"hello world",
	"o'neil x",
	"o\u2019neil",
	"one\u00b7two",
	"\u0661\u0662",
	"foo3bar baz",
	"\u00aa\u00ba",
	"ij",
	"ijs",
	"IJS",
	"\u0132",
	"\u4e2d\u6587",
	"\uac00",
	"\u1100\u1161",
	"\u00c0B",
	"A\u0300b",
	"\u212b",
	"\u00e5",
	"\u0e40\u0e01",
	"\u00ad",
	"a\u00adb",
};

static char *texts[CU_ARRAY_LEN(fixed_texts) + TEXTS_RANDOM];
#define TEXTS_LEN CU_ARRAY_LEN(texts)

static uint64_t seed = 4;

static uint32_t draw(uint32_t below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % below;
}

static void texts_init(void)
{
	static const uint32_t starts[] = { 0x20,   0x41,   0x61,   0xc0,    0x100,  0x250,  0x300,
					   0x370,  0x400,  0x10a0, 0x1e00,  0x1f00, 0x2000, 0x2160,
					   0x2c00, 0xa640, 0xff21, 0x10400, 0x1d400 };
	size_t n = 0;

	for (size_t i = 0; i < CU_ARRAY_LEN(fixed_texts); i++)
		texts[n++] = cu_xstrdup(fixed_texts[i]);
	while (n < TEXTS_LEN) {
		cu_buf buf = CU_BUF_INIT;

		for (unsigned i = draw(7) + 1; i > 0; i--)
			cu_utf8_put(&buf, starts[draw(CU_ARRAY_LEN(starts))] + draw(48));
		texts[n++] = cu_buf_steal(&buf, NULL);
	}
}

static PGresult *ask(const char *sql)
{
	PGresult *result = PQexec(conn, sql);

	if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
		fail_msg("%s: %s", sql, PQerrorMessage(conn));
	return result;
}

static void run(const char *sql)
{
	PQclear(ask(sql));
}

static int sign(int order)
{
	return (order > 0) - (order < 0);
}

/* Every pair of texts: <, = and > as Postgres has them. */
static size_t compare_pairs(const cu_collation *collation)
{
	size_t differ = 0;
	char sql[512];
	PGresult *rows;

	snprintf(
		sql, sizeof sql,
		"SELECT string_agg(CASE WHEN a.s < b.s COLLATE %s THEN '<' WHEN a.s = b.s COLLATE %s THEN '=' ELSE '>' END,"
		" '' ORDER BY b.i) FROM texts a, texts b GROUP BY a.i ORDER BY a.i",
		cu_collation_desc(collation)->name, cu_collation_desc(collation)->name);
	rows = ask(sql);
	assert_int_equal(PQntuples(rows), TEXTS_LEN);
	for (size_t i = 0; i < TEXTS_LEN; i++) {
		const char *theirs = PQgetvalue(rows, (int)i, 0);

		for (size_t j = 0; j < TEXTS_LEN; j++) {
			const char *a = texts[i], *b = texts[j];
			int order = sign(cu_collation_compare(collation, a, strlen(a), b, strlen(b)));
			bool equal = cu_collation_equal(collation, a, strlen(a), b, strlen(b));

			if ("<=>"[order + 1] != theirs[j] || equal != (theirs[j] == '=')) {
				differ++;
				fprintf(stderr, "%s: \"%s\" %c \"%s\", ours %c\n", cu_collation_desc(collation)->name,
					a, theirs[j], b, "<=>"[order + 1]);
			}
		}
	}
	PQclear(rows);
	return differ;
}

/* rows: text, lower, upper, initcap. */
static size_t compare_cases(const cu_collation *collation, PGresult *rows)
{
	size_t differ = 0;
	cu_buf buf = CU_BUF_INIT;

	for (int i = 0; i < PQntuples(rows); i++) {
		const char *text = PQgetvalue(rows, i, 0);

		for (int which = 0; which < 3; which++) {
			const char *theirs = PQgetvalue(rows, i, which + 1);

			cu_buf_clear(&buf);
			assert_int_equal(cu_collation_case(collation, "lui"[which], text, strlen(text), &buf), 0);
			if (strcmp(cu_buf_str(&buf), theirs) == 0)
				continue;
			differ++;
			fprintf(stderr, "%s: %c of \"%s\" is \"%s\", ours \"%s\"\n", cu_collation_desc(collation)->name,
				"lui"[which], text, theirs, cu_buf_str(&buf));
		}
	}
	cu_buf_fini(&buf);
	return differ;
}

static size_t compare_text_cases(const cu_collation *collation)
{
	const char *name = cu_collation_desc(collation)->name;
	size_t differ;
	char sql[512];
	PGresult *rows;

	snprintf(sql, sizeof sql,
		 "SELECT s, lower(s COLLATE %s), upper(s COLLATE %s), initcap(s COLLATE %s) FROM texts ORDER BY i",
		 name, name, name);
	rows = ask(sql);
	differ = compare_cases(collation, rows);
	PQclear(rows);
	return differ;
}

/* Every character of the planes that have case, alone and between letters. */
static size_t compare_char_cases(const cu_collation *collation)
{
	const char *name = cu_collation_desc(collation)->name;
	size_t differ;
	char sql[512];
	PGresult *rows;

	snprintf(sql, sizeof sql,
		 "SELECT s, lower(s COLLATE %s), upper(s COLLATE %s), initcap(s COLLATE %s) FROM "
		 "(SELECT CASE WHEN c %% 2 = 0 THEN chr(c) ELSE 'x' || chr(c) || 'y' END AS s "
		 "FROM generate_series(1, 131071) c WHERE c NOT BETWEEN 55296 AND 57343 "
		 "AND c NOT BETWEEN 13312 AND 40000 AND c NOT BETWEEN 44032 AND 55295) t",
		 name, name, name);
	rows = ask(sql);
	differ = compare_cases(collation, rows);
	PQclear(rows);
	return differ;
}

static void a_collation_orders_as_postgres_does(void **state)
{
	static const char *const names[] = { "C",        "POSIX",    "C.utf8",   "en-x-icu", "und-x-icu", "tr-x-icu",
					     "el-x-icu", "lt-x-icu", "nl-x-icu", "de_phone", "numeric",   "nocase",
					     "noaccent", "shifted",  "upper",    "en_US",    "tr_TR" };
	size_t differ = 0, compared = 0, refused = 0;

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(names); i++) {
		cu_collation *collation = test_collation(conn, names[i]);
		const char *why = collation ? cu_collation_why_unordered(collation) : NULL;

		if (!collation)
			continue;
		if (why) {
			fprintf(stderr, "%s\n", why);
			refused++;
		} else {
			assert_null(cu_collation_why_uncased(collation));
			differ += compare_pairs(collation);
			differ += compare_text_cases(collation);
			compared++;
		}
		cu_collation_free(&collation);
	}
	printf("%zu collations compared\n", compared);
	assert_int_equal(differ, 0);
	assert_true(compared + refused >= 15);
	/* A Postgres of another build may bring another ICU; the one installed here uses ours. */
	if (!getenv("COPPER_TEST_PG_BIN"))
		assert_int_equal(refused, 0);
}

static void every_character_changes_case_as_in_postgres(void **state)
{
	static const char *const names[] = { "C.utf8", "und-x-icu", "tr_TR" };
	size_t differ = 0;

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(names); i++) {
		cu_collation *collation = test_collation(conn, names[i]);

		if (collation && !cu_collation_why_uncased(collation))
			differ += compare_char_cases(collation);
		cu_collation_free(&collation);
	}
	assert_int_equal(differ, 0);
}

static const char *why(struct cu_collation_desc desc, bool cased, char *buf, size_t size)
{
	cu_collation *collation;
	const char *text;

	assert_int_equal(cu_collation_new(&desc, &collation), 0);
	text = cased ? cu_collation_why_uncased(collation) : cu_collation_why_unordered(collation);
	snprintf(buf, size, "%s", text ? text : "");
	cu_collation_free(&collation);
	return buf;
}

static void another_version_is_refused_with_a_sentence(void **state)
{
	struct cu_collation_desc libc = { 1, "\"x\"", 'c', true, "C.UTF-8", NULL, NULL, "UTF8", NULL };
	struct cu_collation_desc icu = { 1, "\"x\"", 'i', true, "en", "1.0", NULL, "UTF8", NULL };
	char buf[256];

	(void)state;
	assert_string_equal(why(libc, false, buf, sizeof buf), "");
	libc.locale = "xx_XX.UTF-8";
	assert_string_equal(why(libc, false, buf, sizeof buf),
			    "The database does not tell which version of the C library sorts its collation \"x\".");
	libc.version = gnu_get_libc_version();
	assert_string_equal(why(libc, true, buf, sizeof buf),
			    "The locale xx_XX.UTF-8 of collation \"x\" is not installed where Copper runs.");
	libc.version = "0.1";
	assert_non_null(strstr(why(libc, false, buf, sizeof buf), "with version 0.1 of the C library"));
	libc.locale = NULL;
	assert_non_null(strstr(why(libc, false, buf, sizeof buf), "different locales"));
	assert_non_null(strstr(why(icu, false, buf, sizeof buf), "with version 1.0 of ICU's collator"));
	icu.rules = "&a < b";
	assert_non_null(strstr(why(icu, false, buf, sizeof buf), "rules of its own"));
}

static void a_refused_collation_still_tells_equal_texts(void **state)
{
	struct cu_collation_desc desc = { 1, "\"x\"", 'c', true, "en_US.UTF-8", "0.1", NULL, "UTF8", NULL };
	cu_collation *collation;
	cu_buf buf = CU_BUF_INIT;

	(void)state;
	assert_int_equal(cu_collation_new(&desc, &collation), 0);
	assert_true(cu_collation_equal(collation, "ab", 2, "ab", 2));
	assert_false(cu_collation_equal(collation, "ab", 2, "aB", 2));
	assert_int_equal(cu_collation_case(collation, 'l', "A", 1, &buf), CU_EUNSUPPORTED);
	cu_collation_free(&collation);
}

static void equal_descriptions_are_one_collation(void **state)
{
	struct cu_collation_desc desc = { 1, "\"x\"", 'i', true, "en", "1", NULL, "UTF8", NULL };
	cu_collation *a, *b, *c;

	(void)state;
	assert_int_equal(cu_collation_new(&desc, &a), 0);
	assert_int_equal(cu_collation_new(&desc, &b), 0);
	desc.version = NULL;
	assert_int_equal(cu_collation_new(&desc, &c), 0);
	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, c);
}

static void postgres_own_provider_orders_by_byte(void **state)
{
	struct cu_collation_desc desc = { 1, "\"x\"", 'b', true, "C.UTF-8", "1", NULL, "UTF8", NULL };
	char buf[256];

	(void)state;
	assert_string_equal(why(desc, false, buf, sizeof buf), "");
	assert_non_null(strstr(why(desc, true, buf, sizeof buf), "own case tables"));
	desc.locale = "C";
	assert_string_equal(why(desc, true, buf, sizeof buf), "");
}

static void another_encoding_has_bytes_only(void **state)
{
	struct cu_collation_desc desc = { 1, "\"x\"", 'c', true, "C", NULL, NULL, "LATIN1", NULL };
	char buf[256];

	(void)state;
	assert_string_equal(why(desc, false, buf, sizeof buf), "");
	desc.encoding = "EUC_JP";
	assert_non_null(strstr(why(desc, false, buf, sizeof buf), "encoding is EUC_JP"));
	desc.encoding = "LATIN1";
	desc.locale = "C.UTF-8";
	assert_non_null(strstr(why(desc, false, buf, sizeof buf), "encoding is LATIN1"));
}

/* Locales made for this test where the machine has what they are made of; both processes find them by LOCPATH. */
static void locales_make(void)
{
	static const char *const names[] = { "en_US", "tr_TR" };
	char command[256];

	if (access("/usr/bin/localedef", X_OK) != 0 || !mkdtemp(locales_dir) || chmod(locales_dir, 0755) != 0)
		return;
	for (size_t i = 0; i < CU_ARRAY_LEN(names); i++) {
		snprintf(command, sizeof command, "localedef -i %s -f UTF-8 %s/%s.UTF-8 >/dev/null 2>&1", names[i],
			 locales_dir, names[i]);
		if (system(command) != 0)
			fprintf(stderr, "no locale %s here\n", names[i]);
	}
	snprintf(command, sizeof command, "%s:/usr/lib/locale", locales_dir);
	setenv("LOCPATH", command, 1);
}

static void locales_remove(void)
{
	char command[256];

	if (!strstr(locales_dir, "XXXXXX")) {
		snprintf(command, sizeof command, "rm -r %s", locales_dir);
		if (system(command) != 0)
			perror(command);
	}
}

static void collations_make(void)
{
	static const char *const libc[] = { "en_US", "tr_TR" };
	char sql[256];

	run("CREATE COLLATION de_phone (provider = icu, locale = 'de@collation=phonebook')");
	run("CREATE COLLATION numeric (provider = icu, locale = 'en-u-kn-true')");
	run("CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)");
	run("CREATE COLLATION noaccent (provider = icu, locale = 'und-u-ks-level1-kc-true', deterministic = false)");
	run("CREATE COLLATION shifted (provider = icu, locale = 'und-u-ka-shifted', deterministic = false)");
	run("CREATE COLLATION upper (provider = icu, locale = 'und-u-kf-upper')");
	for (size_t i = 0; i < CU_ARRAY_LEN(libc); i++) {
		snprintf(sql, sizeof sql, "CREATE COLLATION \"%s\" (provider = libc, locale = '%s.UTF-8')", libc[i],
			 libc[i]);
		PQclear(PQexec(conn, sql)); /* where there is such a locale */
	}
}

static void table_make(void)
{
	run("CREATE TABLE texts (i int, s text)");
	for (size_t i = 0; i < TEXTS_LEN; i++) {
		char number[16];
		const char *values[2] = { number, texts[i] };

		snprintf(number, sizeof number, "%zu", i);
		PQclear(PQexecParams(conn, "INSERT INTO texts VALUES ($1, $2)", 2, NULL, values, NULL, NULL, 0));
	}
}

int main(void)
{
	const struct CMUnitTest alone[] = {
		cmocka_unit_test(another_version_is_refused_with_a_sentence),
		cmocka_unit_test(a_refused_collation_still_tells_equal_texts),
		cmocka_unit_test(equal_descriptions_are_one_collation),
		cmocka_unit_test(postgres_own_provider_orders_by_byte),
		cmocka_unit_test(another_encoding_has_bytes_only),
	};
	const struct CMUnitTest against[] = {
		cmocka_unit_test(a_collation_orders_as_postgres_does),
		cmocka_unit_test(every_character_changes_case_as_in_postgres),
	};
	int failed = cmocka_run_group_tests(alone, NULL, NULL);

	if (!pg_cluster_available())
		return failed;
	locales_make();
	texts_init();
	cluster = pg_cluster_new(NULL);
	conn = PQconnectdb(pg_cluster_url(cluster, NULL));
	run("SET client_min_messages = error");
	collations_make();
	table_make();
	failed += cmocka_run_group_tests(against, NULL, NULL);
	PQfinish(conn);
	pg_cluster_free(&cluster);
	locales_remove();
	for (size_t i = 0; i < TEXTS_LEN; i++)
		free(texts[i]);
	return failed;
}
