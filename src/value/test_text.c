/* test_text.c: text, its functions and LIKE against a private Postgres, under several collations. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "test_collation.h"
#include "test_differ.h"
#include "value/text_internal.h"

static struct pg_cluster *cluster;
static cu_collation *database; /* its default collation */

#define E_ACUTE_4 "\u00e9\u00e9\u00e9\u00e9"
static const char *const texts[] = {
	"",
	" ",
	"a",
	"abc",
	"ABC",
	"aBc dEf",
	"  pad  ",
	"abcabc",
	"bc",
	"a,b,,c",
	",",
	"\u00df\u0130\u0131\u03a3\u03c2",
	"e\u0301\u00e9",
	"\U0001f600x\U0001f600",
	"\ufb01\u01c6",
	"100%",
	"it's",
	"back\\slash",
	"%",
	"_",
	"\\",
	"%b%",
	"a_c",
	"\\101",
	"xy" E_ACUTE_4 E_ACUTE_4 E_ACUTE_4 E_ACUTE_4 E_ACUTE_4 E_ACUTE_4 E_ACUTE_4 E_ACUTE_4 " ",
	"0123456789012345678901234567890123456789012345678901234567890123456789 0123456789",
};
static const char *const ascii_chars[] = { "a", "Z", " ", "0", "\\001", "~" };
static const char *const all_chars[] = { "", "a", "Z", " ", "\\377", "\\200", "~" };
static const char *const bools[] = { "t", "f" };
static const char *const ints[] = { "0",  "1",   "-1",  "2",          "3",           "-2",          "5",
				    "63", "100", "233", "2147483647", "-2147483648", "-2147483647", "128512" };
static const char *const bigs[] = { "0", "1", "-1", "255", "9223372036854775807", "-9223372036854775808" };
static const char *const points[] = { "1",     "127",   "128",    "233",        "2047",       "2048",    "55295",
				      "55296", "57343", "57344",  "65535",      "65536",      "1114111", "1114112",
				      "0",     "-1",    "128512", "2147483647", "-2147483648" };
static const char *const byteas[] = { "\\x", "\\x25", "\\x61255c", "\\x5c", "\\x00ff", "\\x5f", "\\x2561" };

static void put_random(struct differ *d, const char *const *alphabet, size_t len, unsigned chars_max, cu_buf *out)
{
	for (uint64_t n = differ_rand(d) % (chars_max + 1); n > 0; n--)
		cu_buf_puts(out, alphabet[differ_rand(d) % len]);
}

static void random_text(struct differ *d, cu_buf *out)
{
	static const char *const alphabet[] = { "a", "b",      "c",      "A",      "B",          " ",      "1",
						",", "%",      "_",      "\\",     "'",          "\u00e9", "\u00c9",
						"I", "\u0130", "\u0131", "\u03a3", "\u03c3",     "\u00df", "\u0301",
						"i", "\ufb01", "\u01c5", "\u4e2d", "\U0001f600", "-" };

	put_random(d, alphabet, CU_ARRAY_LEN(alphabet), 9, out);
}

static void random_pattern(struct differ *d, cu_buf *out)
{
	static const char *const alphabet[] = { "a", "b", "a", "b", "%", "_", "\\", "\u00e9", "\u00ea", "\U0001f600" };

	put_random(d, alphabet, CU_ARRAY_LEN(alphabet), 9, out);
}

static void random_bytea(struct differ *d, cu_buf *out)
{
	static const char *const alphabet[] = { "61", "62", "61", "62", "25", "5f", "5c", "c3", "a9", "00" };

	cu_buf_puts(out, "\\x");
	put_random(d, alphabet, CU_ARRAY_LEN(alphabet), 9, out);
}

static void random_int(struct differ *d, cu_buf *out)
{
	cu_buf_printf(out, "%d", (int)(differ_rand(d) % 24) - 8);
}

static void open_differ(struct differ *d)
{
	differ_open(d, cluster);
	d->ops[CU_REPR_TEXT] = &cu_repr_ops_text;
	d->ops[CU_REPR_BOOL] = &cu_repr_ops_bool;
	d->ops[CU_REPR_INT] = &cu_repr_ops_int;
	d->ops[CU_REPR_BYTEA] = &cu_repr_ops_bytea;
	d->tables[0] = &cu_functions_text;
	d->tables[1] = &cu_functions_like;
	d->collation = database;
	if (getenv("CU_TEST_SEED"))
		d->seed = strtoull(getenv("CU_TEST_SEED"), NULL, 10);
}

/* Longer, by hand: CU_TEST_CASES=20 CU_TEST_SEED=7 test_text */
static size_t times(size_t cases)
{
	return getenv("CU_TEST_CASES") ? cases * strtoul(getenv("CU_TEST_CASES"), NULL, 10) : cases;
}

#define POOL(type, texts, random)                        \
	{                                                \
		type, texts, CU_ARRAY_LEN(texts), random \
	}
static const struct differ_pool pools[] = {
	POOL(CU_TEXTOID, texts, random_text),
	POOL(CU_BPCHAROID, texts, random_text),
	POOL(CU_NAMEOID, texts, random_text),
	POOL(CU_INT4OID, ints, random_int),
	POOL(CU_INT8OID, bigs, NULL),
	POOL(CU_CHAROID, all_chars, NULL),
	POOL(CU_BYTEAOID, byteas, random_bytea),
};
static const struct differ_pool pattern_pools[] = {
	POOL(CU_TEXTOID, texts, random_pattern),
	POOL(CU_BPCHAROID, texts, random_pattern),
	POOL(CU_NAMEOID, texts, random_pattern),
	POOL(CU_BYTEAOID, byteas, random_bytea),
};
static const struct differ_pool point_pools[] = { POOL(CU_INT4OID, points, NULL) };
static const struct differ_pool char_pools[] = { POOL(CU_CHAROID, ascii_chars, NULL) };
static const char *const typmods[] = { "-1", "3", "4", "5", "6", "8", "67" };
static const struct differ_pool typmod_pools[] = {
	POOL(CU_BPCHAROID, texts, random_text),
	POOL(CU_VARCHAROID, texts, random_text),
	POOL(CU_INT4OID, typmods, NULL),
	POOL(CU_BOOLOID, bools, NULL),
};

static bool is_one_of(const char *name, const char *const *names, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

/* What Postgres' pg_proc does not name so, or what wants pools of its own. */
static bool is_special(const char *prosrc)
{
	static const char *const names[] = {
		"text_concat", "text_concat_ws", "char_bpchar", "chr", "bpchar", "varchar"
	};

	return strncmp(prosrc, "citext", 6) == 0 || is_one_of(prosrc, names, CU_ARRAY_LEN(names));
}

/* The table without those that are special, or only those that the names tell. */
static size_t chosen(const char *const *names, size_t names_len, struct cu_function_entry *entries, size_t entries_max)
{
	size_t len = 0;

	for (size_t i = 0; i < cu_functions_text.len; i++) {
		const struct cu_function_entry *entry = &cu_functions_text.entries[i];

		if (names ? is_one_of(entry->prosrc, names, names_len) : !is_special(entry->prosrc)) {
			assert_true(len < entries_max);
			entries[len++] = *entry;
		}
	}
	return len;
}

static void functions(struct differ *d, const char *const *names, size_t names_len, const struct differ_pool *of,
		      size_t of_len, size_t cases)
{
	struct cu_function_entry entries[160];
	struct cu_function_table table = { entries, chosen(names, names_len, entries, CU_ARRAY_LEN(entries)) };

	differ_functions(d, &table, of, of_len, NULL, cases);
}

static void functions_answer_as_postgres_does(void **state)
{
	static const char *const chr[] = { "chr" }, *const chars[] = { "char_bpchar" },
				 *const casts[] = { "bpchar", "varchar" };
	struct differ d;

	(void)state;
	open_differ(&d);
	functions(&d, NULL, 0, pools, CU_ARRAY_LEN(pools), times(60));
	functions(&d, chr, 1, point_pools, CU_ARRAY_LEN(point_pools), 40);
	functions(&d, casts, 2, typmod_pools, CU_ARRAY_LEN(typmod_pools), 400);
	assert_int_equal(differ_close(&d), 0);
	/* Postgres makes a NUL byte of an empty "char": we refuse that. */
	open_differ(&d);
	d.may_refuse = true;
	functions(&d, chars, 1, char_pools, CU_ARRAY_LEN(char_pools), 40);
	assert_int_equal(differ_close(&d), 0);
}

static void like_matches_as_postgres_does(void **state)
{
	struct differ d;

	(void)state;
	open_differ(&d);
	differ_functions(&d, &cu_functions_like, pattern_pools, CU_ARRAY_LEN(pattern_pools), NULL, times(250));
	assert_int_equal(differ_close(&d), 0);
}

static void concat_writes_every_type_as_postgres_does(void **state)
{
	static const struct {
		uint32_t type;
		const char *text;
	} args[] = { { CU_TEXTOID, "a" },     { CU_TEXTOID, "" },      { CU_TEXTOID, NULL },       { CU_BOOLOID, "t" },
		     { CU_INT4OID, "-7" },    { CU_BPCHAROID, "x  " }, { CU_BYTEAOID, "\\x00ff" }, { CU_NAMEOID, "n" },
		     { CU_CHAROID, "\\200" }, { CU_INT8OID, NULL },    { CU_VARCHAROID, "\u00e9" } };
	struct differ d;

	(void)state;
	open_differ(&d);
	for (int n = 0; n < 300; n++) {
		const struct cu_type *types[5] = { cu_type_builtin(CU_TEXTOID) };
		const char *given[5] = { n % 7 ? "," : NULL };
		unsigned len = 2 + (unsigned)(differ_rand(&d) % 4);

		for (unsigned i = 1; i < len; i++) {
			size_t at = differ_rand(&d) % CU_ARRAY_LEN(args);

			types[i] = cu_type_builtin(args[at].type);
			given[i] = args[at].text;
		}
		differ_call(&d, "text_concat_ws", "concat_ws", types[0], types, given, len);
		differ_call(&d, "text_concat", "concat", types[0], types, given, len);
	}
	assert_int_equal(differ_close(&d), 0);
}

/* Types named so that every argument is written with a COLLATE behind it. */
struct collated {
	struct cu_type types[3];
	char names[3][96];
};

static void collate(struct differ *d, struct collated *collated, const cu_collation *collation)
{
	static const uint32_t oids[3] = { CU_TEXTOID, CU_BPCHAROID, CU_NAMEOID };

	for (int i = 0; i < 3; i++) {
		collated->types[i] = *cu_type_builtin(oids[i]);
		snprintf(collated->names[i], sizeof collated->names[i], "%s COLLATE %s", collated->types[i].name,
			 cu_collation_desc(collation)->name);
		collated->types[i].name = collated->names[i];
		d->types[i] = &collated->types[i];
	}
	d->collation = collation;
}

static void functions_follow_the_collation(void **state)
{
	static const char *const names[] = { "C", "tr-x-icu", "nocase" };
	size_t differing = 0;

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(names); i++) {
		struct collated collated;
		struct differ d;
		cu_collation *collation;

		open_differ(&d);
		collation = test_collation(d.conn, names[i]);
		if (collation) {
			collate(&d, &collated, collation);
			functions(&d, NULL, 0, pools, CU_ARRAY_LEN(pools), times(16));
			differ_functions(&d, &cu_functions_like, pools, CU_ARRAY_LEN(pools), NULL, times(40));
		}
		differing += differ_close(&d);
		cu_collation_free(&collation);
	}
	assert_int_equal(differing, 0);
}

static void values_go_in_and_out_as_in_postgres(void **state)
{
	static const uint32_t oids[] = { CU_TEXTOID, CU_VARCHAROID, CU_BPCHAROID, CU_NAMEOID };
	struct differ d;

	(void)state;
	open_differ(&d);
	for (size_t t = 0; t < CU_ARRAY_LEN(oids); t++)
		for (size_t i = 0; i < CU_ARRAY_LEN(texts); i++)
			differ_in(&d, cu_type_builtin(oids[t]), texts[i]);
	assert_int_equal(differ_close(&d), 0);
}

/* The modifier as on input: cuts blanks only. */
static void input_applies_the_modifier(void **state)
{
	static const struct {
		uint32_t oid;
		const char *in;
	} types[] = { { CU_VARCHAROID, "varcharin" }, { CU_BPCHAROID, "bpcharin" } };
	struct differ d;

	(void)state;
	open_differ(&d);
	for (size_t t = 0; t < 2; t++) {
		for (size_t i = 0; i < CU_ARRAY_LEN(texts) * CU_ARRAY_LEN(typmods); i++) {
			const char *text = texts[i / CU_ARRAY_LEN(typmods)],
				   *typmod = typmods[i % CU_ARRAY_LEN(typmods)];
			const struct cu_type *type = cu_type_builtin(types[t].oid);
			char *quoted = PQescapeLiteral(d.conn, text, strlen(text));
			struct cu_value_error err = { 0 };
			struct cu_datum datum = { 0 };
			cu_buf sql = CU_BUF_INIT, ours = CU_BUF_INIT;
			int rc;

			cu_buf_printf(&sql, "%s(%s::cstring, 0, %s)", types[t].in, quoted, typmod);
			rc = cu_repr_ops_text.in(type, atoi(typmod), text, strlen(text), &d.arena, &datum, &err);
			differ_put_result(&d, type, rc, &datum, &err, &ours);
			differ_expect(&d, cu_buf_str(&sql), cu_buf_str(&ours));
			PQfreemem(quoted);
			cu_buf_fini(&sql);
			cu_buf_fini(&ours);
		}
	}
	assert_int_equal(differ_close(&d), 0);
}

static void order_and_keys_agree_with_postgres(void **state)
{
	static const char *const some[] = { "",  "a",      "a ",      "A",      "ab",        "a b",    "B",
					    "b", "\u00e9", "e\u0301", "E",      "\u0130",    "\u0131", "I",
					    "i", "\u03a3", "\u03c2",  "\u03c3", "\U0001f600" };
	static const uint32_t oids[] = { CU_TEXTOID, CU_VARCHAROID, CU_BPCHAROID, CU_NAMEOID };
	struct collated collated;
	cu_collation *icu;
	struct differ d;

	(void)state;
	open_differ(&d);
	for (size_t t = 0; t < CU_ARRAY_LEN(oids); t++) {
		d.collation = oids[t] == CU_NAMEOID ? cu_collation_c : database;
		differ_laws(&d, cu_type_builtin(oids[t]), some, CU_ARRAY_LEN(some));
	}
	icu = test_collation(d.conn, "en-x-icu");
	if (icu) {
		collate(&d, &collated, icu);
		for (size_t t = 0; t < 3; t++)
			differ_laws(&d, &collated.types[t], some, CU_ARRAY_LEN(some));
	}
	assert_int_equal(differ_close(&d), 0);
	cu_collation_free(&icu);
}

static void citext_call(struct differ *d, const struct cu_type *citext, const struct cu_type *ret, const char *prosrc,
			const char *proname, const char *a, const char *b)
{
	const struct cu_type *types[2] = { citext, citext };
	struct cu_datum args[2] = { { .len = (uint32_t)strlen(a), .bytes = a },
				    { .len = (uint32_t)strlen(b), .bytes = b } };
	struct cu_value_error err = { 0 };
	struct cu_function_call call = { &d->arena, types, ret, d->collation, args, 2, &err };
	cu_buf sql = CU_BUF_INIT, ours = CU_BUF_INIT;
	struct cu_datum result = { 0 };
	int rc = differ_find(d, prosrc)(&call, &result);

	differ_put_result(d, ret, rc, &result, &err, &ours);
	cu_buf_printf(&sql, "%s(", proname);
	differ_put_literal(d, &sql, citext, a);
	cu_buf_puts(&sql, ", ");
	differ_put_literal(d, &sql, citext, b);
	cu_buf_putc(&sql, ')');
	differ_expect(d, cu_buf_str(&sql), cu_buf_str(&ours));
	cu_buf_fini(&sql);
	cu_buf_fini(&ours);
}

static void citext_with(struct differ *d, const struct cu_type *citext)
{
	const struct cu_type *boolean = cu_type_builtin(CU_BOOLOID);

	for (size_t f = 0; f < cu_functions_text.len; f++) {
		const char *prosrc = cu_functions_text.entries[f].prosrc;
		bool chooses = strstr(prosrc, "larger") || strstr(prosrc, "smaller");

		if (strncmp(prosrc, "citext", 6) != 0)
			continue;
		for (int i = 0; i < 150; i++) {
			cu_buf a = CU_BUF_INIT, b = CU_BUF_INIT;

			random_text(d, &a);
			random_text(d, &b);
			if (i % 3 == 0) {
				cu_buf_clear(&b);
				(void)cu_collation_case(database, 'u', a.data, a.len, &b);
			}
			citext_call(d, citext, chooses ? citext : boolean, prosrc, prosrc, cu_buf_str(&a),
				    cu_buf_str(&b));
			if (f % 4 == 0)
				citext_call(d, citext, boolean, "texticlike", "texticlike", cu_buf_str(&a),
					    cu_buf_str(&b));
			cu_buf_fini(&a);
			cu_buf_fini(&b);
		}
	}
}

static void citext_folds_under_the_databases_collation(void **state)
{
	struct cu_type citext = *cu_type_builtin(CU_TEXTOID);
	struct cu_collation_desc turkish = { .encoding = "UTF8" };
	cu_collation *plain, *explicit = NULL;
	struct differ d;
	PGresult *row;

	(void)state;
	open_differ(&d);
	row = PQexec(d.conn, "CREATE EXTENSION citext");
	if (PQresultStatus(row) != PGRES_COMMAND_OK) {
		PQclear(row);
		differ_close(&d);
		skip();
	}
	PQclear(row);
	row = PQexec(d.conn, "SELECT 'citext'::regtype::oid");
	citext.oid = (uint32_t)strtoul(PQgetvalue(row, 0, 0), NULL, 10);
	PQclear(row);
	citext.name = "citext";
	citext.citext = true;
	citext_with(&d, &citext);
	differ_laws(&d, &citext, texts, CU_ARRAY_LEN(texts));
	plain = test_collation(d.conn, "tr-x-icu");
	if (plain) {
		turkish = *cu_collation_desc(plain);
		turkish.database = database;
		assert_int_equal(cu_collation_new(&turkish, &explicit), 0);
		citext.name = "citext COLLATE \"tr-x-icu\"";
		d.collation = explicit;
		citext_with(&d, &citext);
	}
	assert_int_equal(differ_close(&d), 0);
	cu_collation_free(&explicit);
	cu_collation_free(&plain);
}

static void a_result_beyond_the_limit_is_refused(void **state)
{
	const struct cu_type *types[2] = { cu_type_builtin(CU_TEXTOID), cu_type_builtin(CU_INT4OID) };
	struct cu_datum args[2] = { { .len = 2, .bytes = "ab" }, { .integer = CU_VALUE_RESULT_MAX / 2 + 1 } }, ret;
	struct cu_value_error err = { 0 };
	cu_arena arena = CU_ARENA_INIT;
	struct cu_function_call call = { &arena, types, types[0], cu_collation_c, args, 2, &err };

	(void)state;
	assert_int_equal(cu_text_repeat(&call, &ret), CU_EINVAL);
	assert_string_equal(err.sqlstate, "0A000");
	args[1].integer--;
	assert_int_equal(cu_text_repeat(&call, &ret), 0);
	assert_int_equal(ret.len, CU_VALUE_RESULT_MAX);
	cu_arena_fini(&arena);
}

/* Each function with every allocation failing in turn: out of memory is said and nothing is lost. */
static void out_of_memory_is_an_error(void **state)
{
	static const char *const prosrcs[] = { "upper",     "initcap", "texticlike",     "citext_eq", "replace_text",
					       "translate", "btrim",   "text_concat_ws", "repeat",    "chr" };
	struct cu_collation_desc desc = { 1, "\"x\"", 'c', true, "C.UTF-8", NULL, NULL, "UTF8", NULL };
	const struct cu_type *text = cu_type_builtin(CU_TEXTOID), *int4 = cu_type_builtin(CU_INT4OID);
	const struct cu_datum texts_of[3] = { { .len = 4, .bytes = "a\u00e9b" },
					      { .len = 1, .bytes = "a" },
					      { .len = 3, .bytes = "\u4e2d" } };
	struct cu_datum ints_of[2] = { texts_of[0], { .integer = 200 } };
	const struct cu_type *text_types[3] = { text, text, text }, *int_types[2] = { text, int4 };
	cu_collation *collation;
	struct differ d = { .tables = { &cu_functions_text, &cu_functions_like } };

	(void)state;
	assert_int_equal(cu_collation_new(&desc, &collation), 0);
	for (size_t i = 0; i < CU_ARRAY_LEN(prosrcs); i++) {
		bool is_repeat = strcmp(prosrcs[i], "repeat") == 0, is_chr = strcmp(prosrcs[i], "chr") == 0;
		const struct cu_datum *args = is_repeat ? ints_of : is_chr ? &ints_of[1] : texts_of;
		cu_function function = differ_find(&d, prosrcs[i]);
		unsigned failed = 0;

		for (;;) {
			cu_arena arena = CU_ARENA_INIT;
			struct cu_value_error err;
			struct cu_function_call call = { &arena, is_repeat ? int_types : text_types, text, collation,
							 args,   is_repeat ? 2 : is_chr ? 1 : 3,     &err };
			struct cu_datum ret;
			int rc;

			cu_fault_alloc_at(failed + 1);
			rc = function(&call, &ret);
			cu_fault_alloc_at(0);
			cu_arena_fini(&arena);
			if (rc == 0)
				break;
			assert_int_equal(rc, CU_ENOMEM);
			failed++;
		}
		assert_true(failed > 0);
	}
	cu_collation_free(&collation);
}

static void nondeterministic_texts_have_no_key(void **state)
{
	struct cu_collation_desc desc = { 1, "\"x\"", 'i', false, "und-u-ks-level2", "1", NULL, "UTF8", NULL };
	struct cu_datum datum = { .len = 1, .bytes = "a" };
	cu_collation *collation;
	cu_buf key = CU_BUF_INIT;

	(void)state;
	assert_int_equal(cu_collation_new(&desc, &collation), 0);
	assert_int_equal(cu_repr_ops_text.put_key(cu_type_builtin(CU_TEXTOID), collation, &datum, &key),
			 CU_EUNSUPPORTED);
	cu_buf_fini(&key);
	cu_collation_free(&collation);
}

static void cluster_begin(void)
{
	PGconn *conn;

	cluster = pg_cluster_new(NULL);
	conn = PQconnectdb(pg_cluster_url(cluster, NULL));
	database = test_collation(conn, "C.utf8");
	PQclear(PQexec(conn, "CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', "
			     "deterministic = false)"));
	PQfinish(conn);
	CU_ASSERT(database);
}

int main(void)
{
	const struct CMUnitTest alone[] = {
		cmocka_unit_test(a_result_beyond_the_limit_is_refused),
		cmocka_unit_test(out_of_memory_is_an_error),
		cmocka_unit_test(nondeterministic_texts_have_no_key),
	};
	const struct CMUnitTest against[] = {
		cmocka_unit_test(functions_answer_as_postgres_does),
		cmocka_unit_test(like_matches_as_postgres_does),
		cmocka_unit_test(concat_writes_every_type_as_postgres_does),
		cmocka_unit_test(functions_follow_the_collation),
		cmocka_unit_test(values_go_in_and_out_as_in_postgres),
		cmocka_unit_test(input_applies_the_modifier),
		cmocka_unit_test(order_and_keys_agree_with_postgres),
		cmocka_unit_test(citext_folds_under_the_databases_collation),
	};
	int failed = cmocka_run_group_tests(alone, NULL, NULL);

	if (!pg_cluster_available())
		return failed;
	cluster_begin();
	failed += cmocka_run_group_tests(against, NULL, NULL);
	cu_collation_free(&database);
	pg_cluster_free(&cluster);
	return failed;
}
