/* label: unit
 * Arrays against Postgres: texts, functions, order and keys, subscripts and slices, ARRAY[…]; edges, then drawn arrays
 * of several element types.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "value/array.h"
#include "value/test_collation.h"
#include "value/test_differ.h"

static struct pg_cluster *cluster;

/* An element type with what its elements may look like. */
struct kind {
	uint32_t oid;
	const char *const *texts; /* the first one is not quoted in an array */
	size_t len;
};

static const char *const int_texts[] = { "1", "2", "3", "-1", "0", "2147483647" };
static const char *const text_texts[] = { "a",  "b", "",  "NULL", "null", "a b",      " a", "b ", "a\"b",
					  "\\", "{", "}", "a,b",  "\t",   "\xc3\xa9", "A",  "aa", "\\N" };
static const char *const bpchar_texts[] = { "a", "a ", "b", "", " ", "a  b" };
static const char *const float_texts[] = { "1", "1.5", "-0", "0", "NaN", "Infinity", "-Infinity", "1e300" };
static const char *const numeric_texts[] = { "1", "1.0", "1.00", "-1", "0", "NaN", "12345678901234567890.5" };
static const char *const bool_texts[] = { "t", "f" };
static const char *const jsonb_texts[] = { "1", "1.0", "{\"a\": 1}", "[]", "\"a\"", "null" };
static const char *const json_texts[] = { "1", "{\"a\" : 1}", "[]" };
static const char *const uuid_texts[] = { "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
					  "00000000-0000-0000-0000-000000000000" };

#define KIND(oid, texts)                        \
	{                                       \
		oid, texts, CU_ARRAY_LEN(texts) \
	}
static const struct kind kinds[] = {
	KIND(CU_INT4OID, int_texts),        KIND(CU_TEXTOID, text_texts),
	KIND(CU_BPCHAROID, bpchar_texts),   KIND(CU_FLOAT8OID, float_texts),
	KIND(CU_NUMERICOID, numeric_texts), KIND(CU_BOOLOID, bool_texts),
	KIND(CU_JSONBOID, jsonb_texts),     KIND(CU_UUIDOID, uuid_texts),
	KIND(CU_JSONOID, json_texts), /* the last: it has no equality */
};
#define COMPARABLE (CU_ARRAY_LEN(kinds) - 1)

static const char *const int_arrays[] = {
	"{}",
	" { } ",
	"{1}",
	"{NULL}",
	"{1,2,3}",
	"{1,2,NULL}",
	"{NULL,1}",
	"{2,1}",
	" {  1 ,2 , 3 }  ",
	"{{1,2},{3,4}}",
	"{{1,2,3}}",
	"{{1},{2},{3}}",
	"{{{1,2},{3,4}},{{5,6},{7,8}}}",
	"{{{{{{1}}}}}}",
	"[1:3]={1,2,3}",
	"[0:2]={1,2,3}",
	"[-2:0]={1,2,3}",
	"[3]={1,2,3}",
	" [2:3] = {1,2}",
	"[2:3]={1,2}",
	"[0:1][2:3]={{1,2},{3,4}}",
	"[2][2]={{1,2},{3,4}}",
	"[1:1] [5:6]={{1,NULL}}",
	"[2147483646:2147483646]={1}",
	"[-2147483648:-2147483647]={1,2}",
	"{2147483647}",
};

/* Most of these are refused. */
static const char *const doubtful[] = {
	"",
	" ",
	"1",
	"{",
	"}",
	"{1",
	"{1,",
	"{1,}",
	"{,1}",
	"{,}",
	"{1,,2}",
	"{1}}",
	"{1}x",
	"x{1}",
	"{1} {2}",
	"{{1}",
	"{{}}",
	"{{},{}}",
	"{1,{2}}",
	"{{1},2}",
	"{{1,2},{3}}",
	"{{1},{2,3}}",
	"{{1},{}}",
	"{{1,2},{3,4},{5}}",
	"{{{{{{{1}}}}}}}",
	"{{{{{{{",
	"{\"1\"}",
	"{\"1\" }",
	"{\"1\"2}",
	"{1\"2\"}",
	"{\"1\"\"2\"}",
	"{\"1",
	"{\"\\",
	"{\\1}",
	"{1\\2}",
	"{\\",
	"{1 2}",
	"{\"\"}",
	"{NULL,null,Null,nUlL}",
	"{\"NULL\"}",
	"{\\NULL}",
	"{NUL}",
	"{x}",
	"{1,x}",
	"{2147483648}",
	"{1.5}",
	"[1:2]={1}",
	"[1:2]={1,2,3}",
	"[1:2]={{1,2}}",
	"[2:1]={1}",
	"[1:0]={}",
	"[0]={}",
	"[1]={}",
	"[1:2]{1,2}",
	"[1:2]=",
	"[1:2]=1,2",
	"[1:2",
	"[1:]={1}",
	"[:1]={1}",
	"[]={1}",
	"[a:b]={1}",
	"[1:2x]={1,2}",
	"[ 1:2]={1,2}",
	"[1:2]x={1,2}",
	"[+1:+2]={1,2}",
	"[1][1][1][1][1][1][1]={1}",
	"[1:2147483647]={1}",
	"[2147483647:2147483647]={1}",
	"[-2147483648:2147483646]={1}",
	"[-5:2147483640]={1}",
	"[1][1]={{1}}",
	"{\v1\f}",
	"{\xc3\xa9}",
	"{1;2}",
	"(1,2)",
};

static size_t pick(struct differ *d, size_t len)
{
	return differ_rand(d) % len;
}

static void put_space(struct differ *d, cu_buf *out)
{
	static const char spaces[] = " \t\n\r\v\f";

	while (pick(d, 10) == 0)
		cu_buf_putc(out, spaces[pick(d, 6)]);
}

static void put_elem(struct differ *d, const struct kind *kind, cu_buf *out)
{
	const char *text = kind->texts[pick(d, kind->len)];

	if (pick(d, 6) == 0) {
		cu_buf_puts(out, "NULL");
		return;
	}
	if (text == kind->texts[0] && pick(d, 2)) {
		cu_buf_puts(out, text);
		return;
	}
	cu_buf_putc(out, '"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			cu_buf_putc(out, '\\');
		cu_buf_putc(out, *text);
	}
	cu_buf_putc(out, '"');
}

static void put_level(struct differ *d, const struct kind *kind, int ndim, const int *dims, cu_buf *out)
{
	put_space(d, out);
	if (ndim == 0) {
		put_elem(d, kind, out);
	} else {
		cu_buf_putc(out, '{');
		for (int i = 0; i < dims[0]; i++) {
			if (i)
				cu_buf_putc(out, ',');
			put_level(d, kind, ndim - 1, dims + 1, out);
		}
		cu_buf_putc(out, '}');
	}
	put_space(d, out);
}

static void put_array(struct differ *d, const struct kind *kind, cu_buf *out)
{
	static const char bytes[] = "{}[],:=\"\\01a \t";
	int ndim = (int)pick(d, 5) % 4, dims[3], lower;

	for (int i = 0; i < ndim; i++)
		dims[i] = 1 + (int)pick(d, 3);
	if (ndim && pick(d, 5) == 0) {
		put_space(d, out);
		for (int i = 0; i < ndim; i++) {
			lower = (int)pick(d, 5) - 2;
			cu_buf_printf(out, "[%d:%d]", lower, lower + dims[i] - 1);
		}
		cu_buf_putc(out, '=');
	}
	if (ndim)
		put_level(d, kind, ndim, dims, out);
	else
		cu_buf_puts(out, "{}");
	if (pick(d, 24) == 0) {
		/* Not in the bounds, where Postgres 15 reads "-11-1" as -11; later ones refuse it, as we do. */
		size_t braces = (size_t)(strchr(cu_buf_str(out), '{') - out->data);
		size_t at = braces + pick(d, out->len - braces);

		if (!((unsigned char)out->data[at] & 0x80))
			out->data[at] = bytes[pick(d, sizeof bytes - 1)];
	}
}

static void set_ops(struct differ *d)
{
	d->ops[CU_REPR_BOOL] = &cu_repr_ops_bool;
	d->ops[CU_REPR_INT] = &cu_repr_ops_int;
	d->ops[CU_REPR_FLOAT8] = &cu_repr_ops_float8;
	d->ops[CU_REPR_NUMERIC] = &cu_repr_ops_numeric;
	d->ops[CU_REPR_TEXT] = &cu_repr_ops_text;
	d->ops[CU_REPR_UUID] = &cu_repr_ops_uuid;
	d->ops[CU_REPR_JSON] = &cu_repr_ops_json;
	d->ops[CU_REPR_JSONB] = &cu_repr_ops_jsonb;
	d->ops[CU_REPR_ARRAY] = &cu_repr_ops_array;
	d->tables[0] = &cu_functions_array;
	d->collation = cu_collation_c; /* of the cluster */
}

static void open_differ(struct differ *d)
{
	differ_open(d, cluster);
	set_ops(d);
}

static void texts_read_and_write_as_in_postgres(void **state)
{
	cu_buf text = CU_BUF_INIT;
	struct differ d;

	(void)state;
	open_differ(&d);
	d.may_refuse = true; /* empty lists within a list, which only some versions read */
	for (size_t k = 0; k < CU_ARRAY_LEN(kinds); k++) {
		const struct cu_type *type = cu_type_builtin(kinds[k].oid)->array;

		for (size_t i = 0; i < CU_ARRAY_LEN(int_arrays); i++)
			differ_in(&d, type, int_arrays[i]);
		for (size_t i = 0; i < CU_ARRAY_LEN(doubtful); i++)
			differ_in(&d, type, doubtful[i]);
		for (unsigned i = 0; i < 600; i++) {
			cu_buf_clear(&text);
			put_array(&d, &kinds[k], &text);
			differ_in(&d, type, cu_buf_str(&text));
		}
	}
	cu_buf_fini(&text);
	assert_int_equal(differ_close(&d), 0);
	assert_true(d.refused * 20 < d.asked);
}

/* A: array, E: element, I: integer, T: text, P: integer[], X: text[], B: boolean. */
static const struct signature {
	const char *prosrc, *proname, *args;
	char ret;
	bool strict;
} signatures[] = {
	{ "array_append", "array_append", "AE", 'A', false },
	{ "array_cardinality", "cardinality", "A", 'I', true },
	{ "array_cat", "array_cat", "AA", 'A', false },
	{ "array_dims", "array_dims", "A", 'T', true },
	{ "array_eq", "array_eq", "AA", 'B', true },
	{ "array_ge", "array_ge", "AA", 'B', true },
	{ "array_gt", "array_gt", "AA", 'B', true },
	{ "array_larger", "array_larger", "AA", 'A', true },
	{ "array_le", "array_le", "AA", 'B', true },
	{ "array_length", "array_length", "AI", 'I', true },
	{ "array_lower", "array_lower", "AI", 'I', true },
	{ "array_lt", "array_lt", "AA", 'B', true },
	{ "array_ndims", "array_ndims", "A", 'I', true },
	{ "array_ne", "array_ne", "AA", 'B', true },
	{ "array_position", "array_position", "AE", 'I', false },
	{ "array_position_start", "array_position", "AEI", 'I', false },
	{ "array_positions", "array_positions", "AE", 'P', false },
	{ "array_prepend", "array_prepend", "EA", 'A', false },
	{ "array_remove", "array_remove", "AE", 'A', false },
	{ "array_replace", "array_replace", "AEE", 'A', false },
	{ "array_smaller", "array_smaller", "AA", 'A', true },
	{ "array_to_text", "array_to_string", "AT", 'T', true },
	{ "array_to_text_null", "array_to_string", "ATT", 'T', false },
	{ "array_upper", "array_upper", "AI", 'I', true },
	{ "arraycontained", "arraycontained", "AA", 'B', true },
	{ "arraycontains", "arraycontains", "AA", 'B', true },
	{ "arrayoverlap", "arrayoverlap", "AA", 'B', true },
	{ "btarraycmp", "btarraycmp", "AA", 'I', true },
	{ "trim_array", "trim_array", "AI", 'A', true },
	{ "text_to_array", "string_to_array", "TT", 'X', false },
	{ "text_to_array_null", "string_to_array", "TTT", 'X', false },
};

static const struct cu_type *type_of(const struct kind *kind, char letter)
{
	const struct cu_type *elem = cu_type_builtin(kind->oid);

	switch (letter) {
	case 'A': return elem->array;
	case 'E': return elem;
	case 'I': return cu_type_builtin(CU_INT4OID);
	case 'T': return cu_type_builtin(CU_TEXTOID);
	case 'P': return cu_type_builtin(CU_INT4OID)->array;
	case 'X': return cu_type_builtin(CU_TEXTOID)->array;
	default: return cu_type_builtin(CU_BOOLOID);
	}
}

static void call_drawn(struct differ *d, const struct kind *kind, const struct signature *signature)
{
	static const char *const ints[] = { "1", "2", "0", "3", "-1", "2147483647", "-2147483648" };
	static const char *const separators[] = { ",",        "",           "a", "a,b,,c", "xx",   "aa", "a b",
						  "\xc3\xa9", "a\xc3\xa9z", "b", "aaa",    "NULL", ",," };
	const struct cu_type *types[3];
	const char *texts[3];
	cu_buf bufs[3];
	unsigned len = (unsigned)strlen(signature->args);

	memset(bufs, 0, sizeof bufs);
	for (unsigned i = 0; i < len; i++) {
		char letter = signature->args[i];

		types[i] = type_of(kind, letter);
		if (!signature->strict && pick(d, 8) == 0) {
			texts[i] = NULL;
		} else if (letter == 'A' && i && pick(d, 6) == 0 && texts[i - 1] && types[i - 1] == types[i]) {
			texts[i] = texts[i - 1];
		} else if (letter == 'A' && kind->oid == CU_INT4OID && pick(d, 3) == 0) {
			texts[i] = int_arrays[pick(d, CU_ARRAY_LEN(int_arrays))];
		} else if (letter == 'A') {
			put_array(d, kind, &bufs[i]);
			texts[i] = cu_buf_str(&bufs[i]);
		} else if (letter == 'E') {
			texts[i] = kind->texts[pick(d, kind->len)];
		} else if (letter == 'I') {
			texts[i] = ints[pick(d, CU_ARRAY_LEN(ints))];
		} else {
			texts[i] = separators[pick(d, CU_ARRAY_LEN(separators))];
		}
	}
	differ_call(d, signature->prosrc, signature->proname, type_of(kind, signature->ret), types, texts, len);
	for (unsigned i = 0; i < len; i++)
		cu_buf_fini(&bufs[i]);
}

static void functions_answer_as_in_postgres(void **state)
{
	struct differ d;

	(void)state;
	open_differ(&d);
	d.may_refuse = true; /* empty lists within a list, which only some versions read */
	assert_int_equal(CU_ARRAY_LEN(signatures), cu_functions_array.len);
	for (size_t k = 0; k < CU_ARRAY_LEN(kinds); k++)
		for (size_t s = 0; s < CU_ARRAY_LEN(signatures); s++)
			for (unsigned n = 0; n < 100; n++)
				call_drawn(&d, &kinds[k], &signatures[s]);
	assert_int_equal(differ_close(&d), 0);
	assert_true(d.refused * 20 < d.asked);
}

static void arrays_sort_as_in_postgres_and_equal_values_have_equal_keys(void **state)
{
	enum { DRAWN = 30 };
	struct differ d;

	(void)state;
	open_differ(&d);
	differ_laws(&d, cu_type_builtin(CU_INT4OID)->array, int_arrays, CU_ARRAY_LEN(int_arrays));
	for (size_t k = 0; k < COMPARABLE; k++) {
		const struct cu_type *type = cu_type_builtin(kinds[k].oid)->array;
		const char *texts[DRAWN];
		cu_buf bufs[DRAWN];

		memset(bufs, 0, sizeof bufs);
		for (size_t i = 0; i < DRAWN; i++) {
			struct cu_datum datum;

			do {
				cu_buf_clear(&bufs[i]);
				put_array(&d, &kinds[k], &bufs[i]);
				texts[i] = cu_buf_str(&bufs[i]);
			} while (cu_value_in(type, -1, texts[i], bufs[i].len, &d.arena, &datum, NULL));
		}
		differ_laws(&d, type, texts, DRAWN);
		for (size_t i = 0; i < DRAWN; i++)
			cu_buf_fini(&bufs[i]);
	}
	assert_int_equal(differ_close(&d), 0);
}

static const struct cu_array *read_ints(struct differ *d, const char *text)
{
	struct cu_datum datum;

	assert_int_equal(
		cu_value_in(cu_type_builtin(CU_INT4OID)->array, -1, text, strlen(text), &d->arena, &datum, NULL), 0);
	return datum.array;
}

static void subscripts_and_slices_are_those_of_postgres(void **state)
{
	const struct cu_type *type = cu_type_builtin(CU_INT4OID)->array;
	struct differ d;

	(void)state;
	open_differ(&d);
	for (size_t i = 0; i < CU_ARRAY_LEN(int_arrays); i++) {
		for (unsigned n = 0; n < 60; n++) {
			struct cu_array_bound bounds[CU_ARRAY_NDIM_MAX];
			int32_t subscripts[CU_ARRAY_NDIM_MAX];
			unsigned len = 1 + (unsigned)pick(&d, 3);
			cu_buf element = CU_BUF_INIT, slice = CU_BUF_INIT, ours = CU_BUF_INIT;
			struct cu_value_error err = { 0 };
			const struct cu_array *array = read_ints(&d, int_arrays[i]), *result = NULL;
			struct cu_datum datum;
			int rc;

			cu_buf_printf(&element, "('%s'::int[])", int_arrays[i]);
			cu_buf_printf(&slice, "('%s'::int[])", int_arrays[i]);
			for (unsigned s = 0; s < len; s++) {
				struct cu_array_bound *bound = &bounds[s];

				subscripts[s] = (int32_t)pick(&d, 5) - 1;
				*bound = (struct cu_array_bound){ pick(&d, 3) > 0, pick(&d, 3) > 0,
								  (int32_t)pick(&d, 6) - 2, (int32_t)pick(&d, 6) - 1 };
				cu_buf_printf(&element, "[%d]", subscripts[s]);
				cu_buf_putc(&slice, '[');
				if (bound->has_lower)
					cu_buf_printf(&slice, "%d", bound->lower);
				cu_buf_putc(&slice, ':');
				if (bound->has_upper)
					cu_buf_printf(&slice, "%d", bound->upper);
				cu_buf_putc(&slice, ']');
			}
			datum = cu_array_get_element(array, subscripts, len);
			differ_put_result(&d, type->elem, 0, &datum, &err, &ours);
			differ_expect(&d, cu_buf_str(&element), cu_buf_str(&ours));
			rc = cu_array_get_slice(array, bounds, len, &d.arena, &result, &err);
			datum = (struct cu_datum){ .array = result };
			cu_buf_clear(&ours);
			differ_put_result(&d, type, rc, &datum, &err, &ours);
			differ_expect(&d, cu_buf_str(&slice), cu_buf_str(&ours));
			cu_buf_fini(&element);
			cu_buf_fini(&slice);
			cu_buf_fini(&ours);
			cu_arena_reset(&d.arena);
		}
	}
	assert_int_equal(differ_close(&d), 0);
}

static void constructed_arrays_are_those_of_postgres(void **state)
{
	static const char *const parts[] = { "{1}",        "{2}",     "{1,2}",       "{3,4}",         "{}",
					     NULL,         "{{1,2}}", "[0:1]={1,2}", "{{{{{{1}}}}}}", "{{1,2},{3,4}}",
					     "{{{{{1}}}}}" };
	const struct cu_type *type = cu_type_builtin(CU_INT4OID)->array;
	struct differ d;

	(void)state;
	open_differ(&d);
	for (unsigned n = 0; n < 1500; n++) {
		struct cu_datum items[3], datum = { 0 };
		struct cu_value_error err = { 0 };
		cu_buf sql = CU_BUF_INIT, ours = CU_BUF_INIT;
		const char *same = parts[pick(&d, CU_ARRAY_LEN(parts))];
		size_t len = 1 + pick(&d, 3);
		bool nested = n % 3 > 0;
		int rc;

		cu_buf_puts(&sql, "ARRAY[");
		for (size_t i = 0; i < len; i++) {
			const char *part = pick(&d, 3) ? same : parts[pick(&d, CU_ARRAY_LEN(parts))];

			cu_buf_puts(&sql, i ? ", " : "");
			items[i] = CU_DATUM_NULL;
			if (nested) {
				differ_put_literal(&d, &sql, type, part);
				if (part)
					items[i].array = read_ints(&d, part), items[i].is_null = false;
			} else {
				cu_buf_printf(&sql, part ? "%u" : "NULL::int", (unsigned)i);
				if (part)
					items[i] = (struct cu_datum){ .integer = (int64_t)i };
			}
		}
		cu_buf_putc(&sql, ']');
		rc = nested ? cu_array_make_nested(items, len, &d.arena, &datum.array, &err)
			    : cu_array_make(items, len, &d.arena, &datum.array, &err);
		differ_put_result(&d, type, rc, &datum, &err, &ours);
		differ_expect(&d, cu_buf_str(&sql), cu_buf_str(&ours));
		cu_buf_fini(&sql);
		cu_buf_fini(&ours);
		cu_arena_reset(&d.arena);
	}
	assert_int_equal(differ_close(&d), 0);
}

static int refuse_threes(void *arg, const struct cu_datum *elem, struct cu_datum *ret_elem)
{
	if (!elem->is_null && elem->integer == 3)
		return cu_value_fail(arg, "22003", "smallint out of range");
	*ret_elem = *elem;
	return 0;
}

static void a_mapped_array_keeps_its_shape_and_an_element_that_fails_ends_it(void **state)
{
	const struct cu_type *type = cu_type_builtin(CU_INT4OID)->array;
	const struct cu_array *result;
	struct cu_value_error err;
	cu_buf out = CU_BUF_INIT;
	struct differ d;

	(void)state;
	open_differ(&d);
	assert_int_equal(
		cu_array_map(read_ints(&d, "[0:1][2:3]={{1,2},{NULL,4}}"), refuse_threes, &err, &d.arena, &result), 0);
	assert_true(result->has_nulls);
	assert_int_equal(cu_repr_ops_array.out(type, &(struct cu_datum){ .array = result }, &out), 0);
	assert_string_equal(cu_buf_str(&out), "[0:1][2:3]={{1,2},{NULL,4}}");
	assert_int_equal(cu_array_map(read_ints(&d, "{1,3}"), refuse_threes, &err, &d.arena, &result), CU_EINVAL);
	assert_string_equal(err.sqlstate, "22003");
	cu_buf_fini(&out);
	assert_int_equal(differ_close(&d), 0);
}

static void a_modifier_is_applied_to_every_element(void **state)
{
	const struct cu_type *type = cu_type_builtin(CU_VARCHAROID)->array;
	struct cu_value_error err;
	struct cu_datum datum;
	cu_buf out = CU_BUF_INIT;
	cu_arena arena = CU_ARENA_INIT;

	(void)state;
	assert_int_equal(cu_value_in(type, 4 + 2, "{ab,cde}", 8, &arena, &datum, &err), CU_EINVAL);
	assert_string_equal(err.message, "value too long for type character varying(2)");
	assert_int_equal(cu_value_in(type, -1, "{ab,NULL,cde}", 13, &arena, &datum, &err), 0);
	assert_int_equal(cu_value_typmod(type, 4 + 2, true, &arena, &datum, &err), 0);
	assert_int_equal(cu_value_out(type, &datum, &out), 0);
	assert_string_equal(cu_buf_str(&out), "{ab,NULL,cd}");
	assert_int_equal(cu_value_in(type, -1, "{ab,cde}", 8, &arena, &datum, &err), 0);
	assert_int_equal(cu_value_typmod(type, 4 + 2, false, &arena, &datum, &err), CU_EINVAL);
	cu_buf_fini(&out);
	cu_arena_fini(&arena);
}

static void running_out_of_memory_is_told(void **state)
{
	static const char text[] = "[0:1][1:2]={{\"a\\\"\",b},{c,NULL}}";
	const struct cu_type *type = cu_type_builtin(CU_TEXTOID)->array;
	int rc = CU_ENOMEM;

	(void)state;
	for (unsigned n = 1; rc; n++) {
		cu_arena arena = CU_ARENA_INIT;
		cu_buf out = CU_BUF_INIT;
		struct cu_datum datum;

		assert_true(n < 1000);
		cu_fault_alloc_at(n);
		rc = cu_value_in(type, -1, text, sizeof text - 1, &arena, &datum, NULL);
		if (rc == 0)
			rc = cu_value_out(type, &datum, &out);
		if (rc == 0)
			rc = cu_value_put_key(type, NULL, &datum, &out);
		cu_fault_alloc_at(0);
		assert_true(rc == 0 || rc == CU_ENOMEM);
		cu_buf_fini(&out);
		cu_arena_fini(&arena);
	}
}

/* jsonb has no collation of its own: the default one of the database is given. */
static void order_under_a_collation_is_passed_on(void **state)
{
	static const char *const arrays[] = { "{a,B}",     "{A,b}", "{a,b}",      "{B}", "{_a}",
					      "{\"a b\"}", "{ab}",  "{\xc3\xa4}", "{z}" };
	static const char *const documents[] = { "\"a\"",        "\"B\"",   "\"b\"",     "\"A\"",
						 "[\"a\"]",      "[\"B\"]", "{\"a\":1}", "{\"B\":1}",
						 "\"\xc3\xa4\"", "\"z\"",   "[]" };
	char url[256];
	struct differ d;
	cu_collation *collation;

	(void)state;
	pg_cluster_sql(cluster, "CREATE DATABASE ordered TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu "
				"ICU_LOCALE 'en' LOCALE 'C'");
	snprintf(url, sizeof url, "%s", pg_cluster_url(cluster, NULL));
	strcpy(strrchr(url, '/') + 1, "ordered");
	differ_open_url(&d, url);
	set_ops(&d);
	collation = test_collation(d.conn, "en-x-icu");
	assert_non_null(collation);
	d.collation = collation;
	differ_laws(&d, cu_type_builtin(CU_TEXTOID)->array, arrays, CU_ARRAY_LEN(arrays));
	differ_laws(&d, cu_type_builtin(CU_JSONBOID), documents, CU_ARRAY_LEN(documents));
	assert_int_equal(differ_close(&d), 0);
	cu_collation_free(&collation);
}

/* A call under a collation, against an expression that says COLLATE. */
static void ask_collated(struct differ *d, const char *sql, const char *prosrc, uint32_t ret, const uint32_t *oids,
			 const char *const *texts)
{
	const struct cu_type *types[2] = { cu_type_builtin(oids[0]), cu_type_builtin(oids[1]) };
	struct cu_value_error err = { 0 };
	struct cu_datum args[2], result = { 0 };
	struct cu_function_call call = { &d->arena, types, cu_type_builtin(ret), d->collation, args, 2, &err };
	cu_buf ours = CU_BUF_INIT;

	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(cu_value_in(types[i], -1, texts[i], strlen(texts[i]), &d->arena, &args[i], NULL), 0);
	differ_put_result(d, call.ret_type, differ_find(d, prosrc)(&call, &result), &result, &err, &ours);
	differ_expect(d, sql, cu_buf_str(&ours));
	cu_buf_fini(&ours);
	cu_arena_reset(&d->arena);
}

static void elements_that_a_collation_takes_for_equal_are_equal(void **state)
{
	static const uint32_t arrays[] = { 1009, 1009 }, element[] = { 1009, CU_TEXTOID },
			      texts[] = { CU_TEXTOID, CU_TEXTOID };
	cu_collation *collation;
	struct differ d;

	(void)state;
	pg_cluster_sql(cluster, "CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', "
				"deterministic = false)");
	open_differ(&d);
	collation = test_collation(d.conn, "nocase");
	assert_non_null(collation);
	d.collation = collation;
	ask_collated(&d, "'{a,B}'::text[] COLLATE nocase = '{A,b}'::text[]", "array_eq", CU_BOOLOID, arrays,
		     (const char *[]){ "{a,B}", "{A,b}" });
	ask_collated(&d, "'{a,B}'::text[] COLLATE nocase = '{A,c}'::text[]", "array_eq", CU_BOOLOID, arrays,
		     (const char *[]){ "{a,B}", "{A,c}" });
	ask_collated(&d, "'{a,B}'::text[] COLLATE nocase <= '{A,b}'::text[]", "array_le", CU_BOOLOID, arrays,
		     (const char *[]){ "{a,B}", "{A,b}" });
	ask_collated(&d, "'{a,B}'::text[] COLLATE nocase @> '{b}'::text[]", "arraycontains", CU_BOOLOID, arrays,
		     (const char *[]){ "{a,B}", "{b}" });
	ask_collated(&d, "array_position('{a,B}'::text[], 'b' COLLATE nocase)", "array_position", CU_INT4OID, element,
		     (const char *[]){ "{a,B}", "b" });
	ask_collated(&d, "array_remove('{a,B}'::text[], 'A' COLLATE nocase)", "array_remove", 1009, element,
		     (const char *[]){ "{a,B}", "A" });
	ask_collated(&d, "string_to_array('a,B', ',' COLLATE nocase)", "text_to_array", 1009, texts,
		     (const char *[]){ "a,B", "," });
	assert_int_equal(differ_close(&d), 0);
	cu_collation_free(&collation);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_read_and_write_as_in_postgres),
		cmocka_unit_test(functions_answer_as_in_postgres),
		cmocka_unit_test(arrays_sort_as_in_postgres_and_equal_values_have_equal_keys),
		cmocka_unit_test(subscripts_and_slices_are_those_of_postgres),
		cmocka_unit_test(constructed_arrays_are_those_of_postgres),
		cmocka_unit_test(a_mapped_array_keeps_its_shape_and_an_element_that_fails_ends_it),
		cmocka_unit_test(a_modifier_is_applied_to_every_element),
		cmocka_unit_test(running_out_of_memory_is_told),
		cmocka_unit_test(order_under_a_collation_is_passed_on),
		cmocka_unit_test(elements_that_a_collation_takes_for_equal_are_equal),
	};
	int failed;

	if (!pg_cluster_available())
		return 0; /* as every test that wants a Postgres */
	cluster = pg_cluster_new(NULL);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	pg_cluster_free(&cluster);
	return failed;
}
