/* label: unit
 * json and jsonb against Postgres: texts, functions, order and keys; the table of edges first, then drawn documents. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "value/array.h"
#include "value/json_parse.h"
#include "value/jsonb.h"
#include "value/test_differ.h"

#define TEXTS 1009

static struct pg_cluster *cluster;

static const char *const documents[] = {
	"null",
	"true",
	" false ",
	"0",
	"-0",
	"1.0",
	"1.00",
	"1e2",
	"1E+2",
	"1e-2",
	"-1.5e+3",
	"12345678901234567890.123456789012345678901234567890",
	"1e308",
	"1e400",
	"\"\"",
	"\"a\"",
	" \"a\" ",
	"\"1\"",
	"\"\\u00e9\"",
	"\"\xc3\xa9\"",
	"\"\\ud83d\\ude00\"",
	"\"\\uD83D\\uDE00x\"",
	"\"\\b\\f\\n\\r\\t\\\"\\\\\\/\"",
	"\"\x7f\"",
	"\"\\u0001\\u001f\"",
	"[]",
	"{}",
	" [ ] ",
	"\n{\t}\r",
	"[1]",
	"[[]]",
	"[{}]",
	"[1,2,3]",
	"[3,1,2]",
	"[1,[2,[3,[4]]]]",
	"[[1,2,3],[4,5]]",
	"[\"a\",\"b\",\"a\"]",
	"[\"b\", 1, true, null]",
	"[null]",
	"{\"a\":1}",
	"{\"a\":1.0}",
	"{\"a\":null}",
	"{\"a\":1,\"a\":2}",
	"{\"a\":{\"b\":1},\"a\":{\"c\":2}}",
	"{\"a\":[1,2],\"a\":[3]}",
	"{\"b\":1,\"a\":2,\"aa\":3,\"\":4}",
	"{\"aa\":1,\"b\":2}",
	"{\"a\":{\"b\":{\"c\":[1,{\"d\":null}]}}}",
	"{\"a\":[{\"b\":1},{\"b\":2}],\"b\":\"a\"}",
	"{\"1\":\"one\",\"0\":\"zero\"}",
	"{\"a\" : [ 1 , \"x\" ] , \"b\" : { \"c\" : \"\\u00e9\" } }",
	"{\"a\":\"\\u0041\"}",
	"{\"\\u0061\":5}",
	"{\"a\":{\"a\":null,\"b\":[null,{\"a\":null}]}}",
};

/* Refused, or refused by one of the two types only. */
static const char *const doubtful[] = {
	"",
	" ",
	"nul",
	"nulll",
	"True",
	"NaN",
	"Infinity",
	"01",
	"-",
	"+1",
	".5",
	"1.",
	"1.e2",
	"1e",
	"1e+",
	"1x",
	"1_0",
	"0x10",
	"--1",
	"1 2",
	"1e1000000",
	"1e131072",
	"1e131071",
	"1e-16384",
	"[1e131072 x",
	"[1e131072, x",
	"'a'",
	"\"",
	"\"\\\"",
	"\"\\",
	"\"a\tb\"",
	"\"a\nb\"",
	"\"\\x\"",
	"\"\\u\"",
	"\"\\u12\"",
	"\"\\u12g4\"",
	"\"\\u0000\"",
	"\"\\ud800\"",
	"\"\\ud800x\"",
	"\"\\ud800\\n\"",
	"\"\\ud800\\ud800\"",
	"\"\\ud800\\u0041\"",
	"\"\\udc00\"",
	"\"\\ud83d\\ude00\\ude00\"",
	"{\"\\u0000\":1}",
	"[\"\\u0000\"]",
	"[\"a\", \"\\ud800\"]",
	"{\"a\":\"\\ud800\"}",
	"[",
	"]",
	"[1",
	"[1,",
	"[1,]",
	"[,1]",
	"[1 2]",
	"[1}",
	"{",
	"}",
	"{\"a\"",
	"{\"a\":",
	"{\"a\":1",
	"{\"a\":1,",
	"{\"a\":1,}",
	"{\"a\",1}",
	"{a:1}",
	"{1:1}",
	"{\"a\":1]",
	"{\"a\"::1}",
	"{,}",
	"[]]",
	"[] []",
	"true false",
	"[1,2]x",
	"\xc3\xa9",
	"[\xc3\xa9]",
	"true\xc3\xa9",
	"/**/1",
	"[1]//",
	"\v1",
};

static const char *const keys[] = { "a", "b", "aa", "", "0", "1", "-1", "c", "\xc3\xa9", "A", "true", "x" };
static const char *const ints[] = { "0", "1", "2", "-1", "-2", "-3", "5", "2147483647", "-2147483648" };
static const char *const paths[] = {
	"{}",           "{a}",         "{a,b}",          "{a,b,c}",    "{0}",           "{-1}",
	"{1,0}",        "{1,-1}",      "{a,0}",          "{a,0,b}",    "{a,-1,b}",      "{NULL}",
	"{a,NULL}",     "{b}",         "{b,c}",          "{\" 1\"}",   "{\"+1\"}",      "{\"1 \"}",
	"{1x}",         "{\"\"}",      "{a,\"\"}",       "{aa}",       "{99999999999}", "{-2147483648}",
	"{2147483647}", "{a,b,c,1,d}", "{{a,b},{c,d}}",  "{a,2,b}",    "{1,1}",         "{1,1,1,0}",
	"{a,1}",        "{a,x}",       "{\"\xc3\xa9\"}", "{a,b,NULL}",
};

static size_t pick(struct differ *d, size_t len)
{
	return differ_rand(d) % len;
}

static void put_space(struct differ *d, cu_buf *out)
{
	static const char spaces[] = " \t\n\r";

	while (pick(d, 6) == 0)
		cu_buf_putc(out, spaces[pick(d, 4)]);
}

static void put_random(struct differ *d, unsigned depth, cu_buf *out)
{
	static const char *const scalars[] = { "null",  "true",        "false",   "0",           "1",
					       "1.0",   "-1",          "2",       "10",          "1e1",
					       "0.5",   "\"\"",        "\"a\"",   "\"b\"",       "\"ab\"",
					       "\"1\"", "\"\\u0061\"", "\"\\n\"", "\"\xc3\xa9\"" };
	static const char *const names[] = { "\"a\"", "\"b\"", "\"c\"", "\"aa\"", "\"\"", "\"\\u0061\"", "\"1\"" };
	size_t kind = pick(d, depth ? 5 : 3), len;

	put_space(d, out);
	if (kind < 3) {
		cu_buf_puts(out, scalars[pick(d, CU_ARRAY_LEN(scalars))]);
	} else {
		len = pick(d, 5);
		cu_buf_putc(out, kind == 3 ? '[' : '{');
		for (size_t i = 0; i < len; i++) {
			if (i)
				cu_buf_putc(out, ',');
			if (kind == 4) {
				put_space(d, out);
				cu_buf_puts(out, names[pick(d, CU_ARRAY_LEN(names))]);
				put_space(d, out);
				cu_buf_putc(out, ':');
			}
			put_random(d, depth - 1, out);
		}
		cu_buf_putc(out, kind == 3 ? ']' : '}');
	}
	put_space(d, out);
}

static void random_document(struct differ *d, cu_buf *out)
{
	static const char bytes[] = "{}[],:\"\\0123456789-+.eEutrflsn \t\n";

	put_random(d, 4, out);
	if (pick(d, 16) == 0) {
		size_t at = pick(d, out->len);

		if (!((unsigned char)out->data[at] & 0x80))
			out->data[at] = bytes[pick(d, sizeof bytes - 1)];
	}
}

static void random_path(struct differ *d, cu_buf *out)
{
	static const char *const steps[] = { "a", "b", "c", "0", "1", "-1", "2", "aa", "-2", "\"\"" };
	size_t len = 1 + pick(d, 4);

	cu_buf_putc(out, '{');
	for (size_t i = 0; i < len; i++) {
		if (i)
			cu_buf_putc(out, ',');
		cu_buf_puts(out, pick(d, 40) ? steps[pick(d, CU_ARRAY_LEN(steps))] : "NULL");
	}
	cu_buf_putc(out, '}');
}

static const struct differ_pool pools[] = {
	{ CU_JSONOID, documents, CU_ARRAY_LEN(documents), random_document },
	{ CU_JSONBOID, documents, CU_ARRAY_LEN(documents), random_document },
	{ CU_TEXTOID, keys, CU_ARRAY_LEN(keys), NULL },
	{ CU_INT4OID, ints, CU_ARRAY_LEN(ints), NULL },
	{ TEXTS, paths, CU_ARRAY_LEN(paths), random_path },
};

static void open_differ(struct differ *d)
{
	differ_open(d, cluster);
	d->ops[CU_REPR_BOOL] = &cu_repr_ops_bool;
	d->ops[CU_REPR_INT] = &cu_repr_ops_int;
	d->ops[CU_REPR_FLOAT4] = &cu_repr_ops_float4;
	d->ops[CU_REPR_FLOAT8] = &cu_repr_ops_float8;
	d->ops[CU_REPR_NUMERIC] = &cu_repr_ops_numeric;
	d->ops[CU_REPR_TEXT] = &cu_repr_ops_text;
	d->ops[CU_REPR_JSON] = &cu_repr_ops_json;
	d->ops[CU_REPR_JSONB] = &cu_repr_ops_jsonb;
	d->ops[CU_REPR_ARRAY] = &cu_repr_ops_array;
	d->tables[0] = &cu_functions_json;
	d->tables[1] = &cu_functions_jsonb;
}

static void texts_read_and_write_as_in_postgres(void **state)
{
	const struct cu_type *types[] = { cu_type_builtin(CU_JSONOID), cu_type_builtin(CU_JSONBOID) };
	cu_buf text = CU_BUF_INIT;
	struct differ d;

	(void)state;
	open_differ(&d);
	for (size_t t = 0; t < CU_ARRAY_LEN(types); t++) {
		for (size_t i = 0; i < CU_ARRAY_LEN(documents); i++)
			differ_in(&d, types[t], documents[i]);
		for (size_t i = 0; i < CU_ARRAY_LEN(doubtful); i++)
			differ_in(&d, types[t], doubtful[i]);
		for (unsigned i = 0; i < 2000; i++) {
			cu_buf_clear(&text);
			random_document(&d, &text);
			differ_in(&d, types[t], cu_buf_str(&text));
		}
	}
	cu_buf_fini(&text);
	assert_int_equal(differ_close(&d), 0);
}

/* An operator, where the function behind it is variadic. */
static void ask_path(struct differ *d, const char *prosrc, uint32_t json, const char *op, uint32_t ret,
		     const char *const *texts)
{
	const struct cu_type *types[] = { cu_type_builtin(json), cu_type_builtin(TEXTS) };
	struct cu_value_error err = { 0 };
	struct cu_datum args[2], result = { 0 };
	struct cu_function_call call = { &d->arena, types, cu_type_builtin(ret), NULL, args, 2, &err };
	cu_buf sql = CU_BUF_INIT, ours = CU_BUF_INIT;
	int rc = 0;

	cu_arena_reset(&d->arena);
	for (unsigned i = 0; rc == 0 && i < 2; i++)
		rc = differ_ops(d, types[i])->in(types[i], -1, texts[i], strlen(texts[i]), &d->arena, &args[i], &err);
	if (rc == 0)
		rc = differ_find(d, prosrc)(&call, &result);
	differ_put_result(d, call.ret_type, rc, &result, &err, &ours);
	differ_put_literal(d, &sql, types[0], texts[0]);
	cu_buf_printf(&sql, " %s ", op);
	differ_put_literal(d, &sql, types[1], texts[1]);
	differ_expect(d, cu_buf_str(&sql), cu_buf_str(&ours));
	cu_buf_fini(&sql);
	cu_buf_fini(&ours);
}

static void paths_and_lists_of_keys_answer_as_in_postgres(void **state)
{
	static const struct {
		const char *prosrc, *op;
		uint32_t json, ret;
	} operators[] = {
		{ "json_extract_path", "#>", CU_JSONOID, CU_JSONOID },
		{ "json_extract_path_text", "#>>", CU_JSONOID, CU_TEXTOID },
		{ "jsonb_extract_path", "#>", CU_JSONBOID, CU_JSONBOID },
		{ "jsonb_extract_path_text", "#>>", CU_JSONBOID, CU_TEXTOID },
		{ "jsonb_delete_array", "-", CU_JSONBOID, CU_JSONBOID },
	};
	cu_buf document = CU_BUF_INIT, path = CU_BUF_INIT;
	struct differ d;

	(void)state;
	open_differ(&d);
	for (size_t o = 0; o < CU_ARRAY_LEN(operators); o++) {
		for (size_t i = 0; i < CU_ARRAY_LEN(documents); i++)
			for (size_t j = 0; j < CU_ARRAY_LEN(paths); j++)
				ask_path(&d, operators[o].prosrc, operators[o].json, operators[o].op, operators[o].ret,
					 (const char *[]){ documents[i], paths[j] });
		for (unsigned i = 0; i < 1500; i++) {
			cu_buf_clear(&document);
			cu_buf_clear(&path);
			random_document(&d, &document);
			random_path(&d, &path);
			ask_path(&d, operators[o].prosrc, operators[o].json, operators[o].op, operators[o].ret,
				 (const char *[]){ cu_buf_str(&document), cu_buf_str(&path) });
		}
		for (size_t i = 0; i < CU_ARRAY_LEN(doubtful); i++)
			ask_path(&d, operators[o].prosrc, operators[o].json, operators[o].op, operators[o].ret,
				 (const char *[]){ doubtful[i], "{}" });
	}
	cu_buf_fini(&document);
	cu_buf_fini(&path);
	assert_int_equal(differ_close(&d), 0);
}

/* A table without the functions that have to be called with VARIADIC. */
static void call_all(struct differ *d, const struct cu_function_table *table, size_t cases)
{
	struct cu_function_entry entries[64];
	struct cu_function_table some = { entries, 0 };

	for (size_t i = 0; i < table->len; i++)
		if (!strstr(table->entries[i].prosrc, "extract_path") &&
		    strcmp(table->entries[i].prosrc, "jsonb_delete_array"))
			entries[some.len++] = table->entries[i];
	differ_functions(d, &some, pools, CU_ARRAY_LEN(pools), NULL, cases);
}

static void functions_of_json_answer_as_in_postgres(void **state)
{
	struct differ d;

	(void)state;
	open_differ(&d);
	call_all(&d, &cu_functions_json, 500);
	assert_int_equal(differ_close(&d), 0);
}

static void functions_of_jsonb_answer_as_in_postgres(void **state)
{
	struct differ d;

	(void)state;
	open_differ(&d);
	call_all(&d, &cu_functions_jsonb, 300);
	assert_int_equal(differ_close(&d), 0);
}

static void jsonb_sorts_as_in_postgres_and_equal_values_have_equal_keys(void **state)
{
	const char *texts[CU_ARRAY_LEN(documents) + 60];
	cu_buf random[60];
	struct differ d;

	(void)state;
	open_differ(&d);
	memcpy(texts, documents, sizeof documents);
	memset(random, 0, sizeof random);
	for (size_t i = 0; i < CU_ARRAY_LEN(random); i++) {
		put_random(&d, 3, &random[i]);
		texts[CU_ARRAY_LEN(documents) + i] = cu_buf_str(&random[i]);
	}
	differ_laws(&d, cu_type_builtin(CU_JSONBOID), texts, CU_ARRAY_LEN(texts));
	for (size_t i = 0; i < CU_ARRAY_LEN(random); i++)
		cu_buf_fini(&random[i]);
	assert_int_equal(differ_close(&d), 0);
}

static void what_is_deeper_than_the_limit_is_refused(void **state)
{
	cu_arena arena = CU_ARENA_INIT;
	struct cu_value_error err;
	struct cu_jsonb jsonb;
	char text[2 * (CU_VALUE_DEPTH_MAX + 1)];

	(void)state;
	memset(text, '[', CU_VALUE_DEPTH_MAX + 1);
	memset(text + CU_VALUE_DEPTH_MAX + 1, ']', CU_VALUE_DEPTH_MAX + 1);
	assert_int_equal(cu_jsonb_parse(text + 1, 2 * CU_VALUE_DEPTH_MAX, &arena, &jsonb, &err), 0);
	assert_int_equal(cu_json_check(text + 1, 2 * CU_VALUE_DEPTH_MAX, &err), 0);
	assert_int_equal(cu_jsonb_parse(text, sizeof text, &arena, &jsonb, &err), CU_EINVAL);
	assert_string_equal(err.sqlstate, "54001");
	assert_int_equal(cu_json_check(text, sizeof text, &err), CU_EINVAL);
	assert_string_equal(err.sqlstate, "54001");
	cu_arena_fini(&arena);
}

static void running_out_of_memory_is_told(void **state)
{
	static const char text[] = "{\"b\":[1,\"\\n\",{\"x\":true}],\"a\":2.5}";
	struct cu_value_error err;
	int rc = CU_ENOMEM;

	(void)state;
	for (unsigned n = 1; rc; n++) {
		cu_arena arena = CU_ARENA_INIT;
		struct cu_jsonb jsonb;

		assert_true(n < 1000);
		cu_fault_alloc_at(n);
		rc = cu_jsonb_parse(text, sizeof text - 1, &arena, &jsonb, &err);
		cu_fault_alloc_at(0);
		assert_true(rc == 0 || rc == CU_ENOMEM);
		cu_arena_fini(&arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_read_and_write_as_in_postgres),
		cmocka_unit_test(paths_and_lists_of_keys_answer_as_in_postgres),
		cmocka_unit_test(functions_of_json_answer_as_in_postgres),
		cmocka_unit_test(functions_of_jsonb_answer_as_in_postgres),
		cmocka_unit_test(jsonb_sorts_as_in_postgres_and_equal_values_have_equal_keys),
		cmocka_unit_test(what_is_deeper_than_the_limit_is_refused),
		cmocka_unit_test(running_out_of_memory_is_told),
	};
	int failed;

	if (!pg_cluster_available())
		return 0; /* as every test that wants a Postgres */
	cluster = pg_cluster_new(NULL);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	pg_cluster_free(&cluster);
	return failed;
}
