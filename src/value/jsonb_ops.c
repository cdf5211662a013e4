/* jsonb_ops.c: the functions of jsonb. What builds a value copies nodes of 16 bytes, never what they point to.
 *
 * There is no jsonb_cmp: its result is whatever strcoll() or memcmp() gave, of which only the sign means something. */
#include "value/array.h"
#include "value/internal.h"
#include "value/json_parse.h"
#include "value/jsonb.h"

#include <limits.h>

static bool is_scalar(const struct cu_jsonb *jsonb)
{
	return jsonb->kind < CU_JSONB_ARRAY;
}

static int return_bool(bool value, struct cu_datum *ret_datum)
{
	*ret_datum = (struct cu_datum){ .boolean = value };
	return 0;
}

/* NULL: nothing there. */
static int return_jsonb(const struct cu_jsonb *jsonb, struct cu_datum *ret_datum)
{
	*ret_datum = jsonb ? (struct cu_datum){ .jsonb = jsonb } : CU_DATUM_NULL;
	return 0;
}

/* As ->> gives it: null is NULL, a string without quotes. */
static int return_text(const struct cu_function_call *call, const struct cu_jsonb *jsonb, struct cu_datum *ret_datum)
{
	cu_buf out = CU_BUF_INIT;

	if (!jsonb || jsonb->kind == CU_JSONB_NULL) {
		*ret_datum = CU_DATUM_NULL;
		return 0;
	}
	if (jsonb->kind == CU_JSONB_STRING) {
		*ret_datum = (struct cu_datum){ .len = jsonb->len, .bytes = jsonb->string };
		return 0;
	}
	return cu_json_return_text(call, cu_jsonb_put(jsonb, &out), &out, ret_datum);
}

static int jsonb_object_field(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return return_jsonb(cu_jsonb_get(call->args[0].jsonb, call->args[1].bytes, call->args[1].len), ret_datum);
}

static int jsonb_object_field_text(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return return_text(call, cu_jsonb_get(call->args[0].jsonb, call->args[1].bytes, call->args[1].len), ret_datum);
}

/* A scalar at the top is an array of one element to Postgres here. */
static const struct cu_jsonb *element_at(const struct cu_jsonb *jsonb, int64_t at)
{
	uint32_t len = jsonb->kind == CU_JSONB_ARRAY ? jsonb->len : 1;

	if (jsonb->kind == CU_JSONB_OBJECT)
		return NULL;
	if (at < 0)
		at += len;
	if (at < 0 || at >= len)
		return NULL;
	return jsonb->kind == CU_JSONB_ARRAY ? &jsonb->elements[at] : jsonb;
}

static int jsonb_array_element(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return return_jsonb(element_at(call->args[0].jsonb, call->args[1].integer), ret_datum);
}

static int jsonb_array_element_text(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return return_text(call, element_at(call->args[0].jsonb, call->args[1].integer), ret_datum);
}

static const struct cu_jsonb *walk(const struct cu_function_call *call)
{
	const struct cu_array *path = call->args[1].array;

	return cu_jsonb_walk(call->args[0].jsonb, path->elems, path->len);
}

static int jsonb_extract_path(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return return_jsonb(walk(call), ret_datum);
}

static int jsonb_extract_path_text(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return return_text(call, walk(call), ret_datum);
}

static int jsonb_contains(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return return_bool(cu_jsonb_contains(call->args[0].jsonb, call->args[1].jsonb), ret_datum);
}

static int jsonb_contained(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return return_bool(cu_jsonb_contains(call->args[1].jsonb, call->args[0].jsonb), ret_datum);
}

static bool is_string(const struct cu_jsonb *jsonb, const struct cu_datum *text)
{
	return jsonb->kind == CU_JSONB_STRING && jsonb->len == text->len &&
	       memcmp(jsonb->string, text->bytes, text->len) == 0;
}

/* A key of an object, a string element of an array, or the string itself. */
static bool exists(const struct cu_jsonb *jsonb, const struct cu_datum *text)
{
	if (jsonb->kind == CU_JSONB_OBJECT)
		return cu_jsonb_get(jsonb, text->bytes, text->len) != NULL;
	if (jsonb->kind != CU_JSONB_ARRAY)
		return is_string(jsonb, text);
	for (uint32_t i = 0; i < jsonb->len; i++)
		if (is_string(&jsonb->elements[i], text))
			return true;
	return false;
}

static int jsonb_exists(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return return_bool(exists(call->args[0].jsonb, &call->args[1]), ret_datum);
}

static int jsonb_exists_any(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	const struct cu_array *keys = call->args[1].array;

	for (uint32_t i = 0; i < keys->len; i++)
		if (!keys->elems[i].is_null && exists(call->args[0].jsonb, &keys->elems[i]))
			return return_bool(true, ret_datum);
	return return_bool(false, ret_datum);
}

static int jsonb_exists_all(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	const struct cu_array *keys = call->args[1].array;

	for (uint32_t i = 0; i < keys->len; i++)
		if (!keys->elems[i].is_null && !exists(call->args[0].jsonb, &keys->elems[i]))
			return return_bool(false, ret_datum);
	return return_bool(true, ret_datum);
}

/* Room for a container of at most len items and its node. */
static struct cu_jsonb *new_array(cu_arena *arena, size_t len, struct cu_jsonb **ret_elements)
{
	struct cu_jsonb *jsonb = cu_arena_alloc(arena, sizeof *jsonb);

	*ret_elements = cu_arena_alloc(arena, len * sizeof **ret_elements);
	if (!jsonb || !*ret_elements)
		return NULL;
	*jsonb = (struct cu_jsonb){ .kind = CU_JSONB_ARRAY, .elements = *ret_elements };
	return jsonb;
}

static struct cu_jsonb *new_object(cu_arena *arena, size_t len, struct cu_jsonb_pair **ret_pairs)
{
	struct cu_jsonb *jsonb = cu_arena_alloc(arena, sizeof *jsonb);

	*ret_pairs = cu_arena_alloc(arena, len * sizeof **ret_pairs);
	if (!jsonb || !*ret_pairs)
		return NULL;
	*jsonb = (struct cu_jsonb){ .kind = CU_JSONB_OBJECT, .pairs = *ret_pairs };
	return jsonb;
}

static int key_order(const struct cu_jsonb_pair *a, const struct cu_jsonb_pair *b)
{
	if (a->key_len != b->key_len)
		return a->key_len < b->key_len ? -1 : 1;
	return memcmp(a->key, b->key, a->key_len);
}

static int concat_objects(const struct cu_function_call *call, const struct cu_jsonb *a, const struct cu_jsonb *b,
			  struct cu_datum *ret_datum)
{
	struct cu_jsonb_pair *pairs;
	struct cu_jsonb *result = new_object(call->arena, (size_t)a->len + b->len, &pairs);
	uint32_t i = 0, j = 0;

	if (!result)
		return CU_ENOMEM;
	while (i < a->len || j < b->len) {
		int order = i == a->len ? 1 : j == b->len ? -1 : key_order(&a->pairs[i], &b->pairs[j]);

		pairs[result->len++] = order < 0 ? a->pairs[i] : b->pairs[j];
		i += order <= 0;
		j += order >= 0;
	}
	return return_jsonb(result, ret_datum);
}

/* Elements of an array, or the one value that anything else is here. */
static void append_elements(const struct cu_jsonb *jsonb, struct cu_jsonb *result, struct cu_jsonb *elements)
{
	if (jsonb->kind != CU_JSONB_ARRAY) {
		elements[result->len++] = *jsonb;
		return;
	}
	if (jsonb->len)
		memcpy(elements + result->len, jsonb->elements, jsonb->len * sizeof *elements);
	result->len += jsonb->len;
}

static int jsonb_concat(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	const struct cu_jsonb *a = call->args[0].jsonb, *b = call->args[1].jsonb;
	bool merge = a->kind == CU_JSONB_OBJECT && b->kind == CU_JSONB_OBJECT;
	size_t len = merge ? (size_t)a->len + b->len : 0;
	struct cu_jsonb *result, *elements;

	if (!merge)
		len = (size_t)(a->kind == CU_JSONB_ARRAY ? a->len : 1) + (b->kind == CU_JSONB_ARRAY ? b->len : 1);
	/* A clause may grow a row's value again and again. */
	if (len * sizeof(struct cu_jsonb_pair) > CU_VALUE_RESULT_MAX)
		return cu_value_fail(call->err, "54000", "number of jsonb elements exceeds the maximum allowed (%zu)",
				     CU_VALUE_RESULT_MAX / sizeof(struct cu_jsonb_pair));
	if (merge)
		return concat_objects(call, a, b, ret_datum);
	result = new_array(call->arena, len, &elements);
	if (!result)
		return CU_ENOMEM;
	append_elements(a, result, elements);
	append_elements(b, result, elements);
	return return_jsonb(result, ret_datum);
}

static bool among(const char *text, uint32_t len, const struct cu_datum *keys, uint32_t keys_len)
{
	for (uint32_t i = 0; i < keys_len; i++)
		if (!keys[i].is_null && keys[i].len == len && memcmp(keys[i].bytes, text, len) == 0)
			return true;
	return false;
}

/* Without the fields and string elements that are among keys. */
static int delete_keys(const struct cu_function_call *call, const struct cu_datum *keys, uint32_t keys_len,
		       struct cu_datum *ret_datum)
{
	const struct cu_jsonb *jsonb = call->args[0].jsonb;
	struct cu_jsonb_pair *pairs;
	struct cu_jsonb *result, *elements;

	if (is_scalar(jsonb))
		return cu_value_fail(call->err, "22023", "cannot delete from scalar");
	if (jsonb->kind == CU_JSONB_OBJECT) {
		result = new_object(call->arena, jsonb->len, &pairs);
		for (uint32_t i = 0; result && i < jsonb->len; i++)
			if (!among(jsonb->pairs[i].key, jsonb->pairs[i].key_len, keys, keys_len))
				pairs[result->len++] = jsonb->pairs[i];
	} else {
		result = new_array(call->arena, jsonb->len, &elements);
		for (uint32_t i = 0; result && i < jsonb->len; i++) {
			const struct cu_jsonb *element = &jsonb->elements[i];

			if (element->kind != CU_JSONB_STRING || !among(element->string, element->len, keys, keys_len))
				elements[result->len++] = *element;
		}
	}
	return result ? return_jsonb(result, ret_datum) : CU_ENOMEM;
}

static int jsonb_delete(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return delete_keys(call, &call->args[1], 1, ret_datum);
}

static int jsonb_delete_array(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	const struct cu_array *keys = call->args[1].array;

	if (keys->ndim > 1)
		return cu_value_fail(call->err, "2202E", "wrong number of array subscripts");
	return delete_keys(call, keys->elems, keys->len, ret_datum);
}

/* The array without its element at. */
static struct cu_jsonb *without_element(cu_arena *arena, const struct cu_jsonb *jsonb, uint32_t at)
{
	struct cu_jsonb *elements, *result = new_array(arena, jsonb->len, &elements);

	if (!result)
		return NULL;
	for (uint32_t i = 0; i < jsonb->len; i++)
		if (i != at)
			elements[result->len++] = jsonb->elements[i];
	return result;
}

static int jsonb_delete_idx(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	const struct cu_jsonb *jsonb = call->args[0].jsonb;
	int64_t at = call->args[1].integer;

	if (is_scalar(jsonb))
		return cu_value_fail(call->err, "22023", "cannot delete from scalar");
	if (jsonb->kind == CU_JSONB_OBJECT)
		return cu_value_fail(call->err, "22023", "cannot delete from object using integer index");
	if (at < 0)
		at += jsonb->len;
	if (at < 0 || at >= jsonb->len)
		return return_jsonb(jsonb, ret_datum);
	jsonb = without_element(call->arena, jsonb, (uint32_t)at);
	return jsonb ? return_jsonb(jsonb, ret_datum) : CU_ENOMEM;
}

static int delete_path(const struct cu_function_call *call, uint32_t level, const struct cu_jsonb *jsonb,
		       struct cu_jsonb *ret_jsonb);

static int delete_path_object(const struct cu_function_call *call, uint32_t level, const struct cu_jsonb *jsonb,
			      struct cu_jsonb *ret_jsonb)
{
	const struct cu_array *path = call->args[1].array;
	const struct cu_datum *key = &path->elems[level];
	const struct cu_jsonb *value = cu_jsonb_get(jsonb, key->bytes, key->len);
	struct cu_jsonb_pair *pairs;
	struct cu_jsonb *result;
	int rc = 0;

	*ret_jsonb = *jsonb;
	if (!value)
		return 0;
	result = new_object(call->arena, jsonb->len, &pairs);
	if (!result)
		return CU_ENOMEM;
	for (uint32_t i = 0; rc == 0 && i < jsonb->len; i++) {
		bool here = &jsonb->pairs[i].value == value;

		if (here && level + 1 == path->len)
			continue;
		pairs[result->len] = jsonb->pairs[i];
		if (here)
			rc = delete_path(call, level + 1, value, &pairs[result->len].value);
		result->len++;
	}
	*ret_jsonb = *result;
	return rc;
}

static int delete_path_array(const struct cu_function_call *call, uint32_t level, const struct cu_jsonb *jsonb,
			     struct cu_jsonb *ret_jsonb)
{
	const struct cu_array *path = call->args[1].array;
	const struct cu_datum *step = &path->elems[level];
	struct cu_jsonb *elements, *result;
	int64_t from_start;
	int at;

	if (!cu_json_subscript(step->bytes, step->len, &at)) {
		cu_buf fmt = CU_BUF_INIT;
		int rc;

		cu_buf_printf(&fmt, "path element at position %u is not an integer: \"%%s\"", level + 1);
		rc = cu_value_fail_text(call->err, "22P02", cu_buf_str(&fmt), step->bytes, step->len);
		cu_buf_fini(&fmt);
		return rc;
	}
	from_start = at < 0 ? (int64_t)jsonb->len + at : at;
	*ret_jsonb = *jsonb;
	if (from_start < 0 || from_start >= jsonb->len)
		return 0;
	if (level + 1 == path->len) {
		result = without_element(call->arena, jsonb, (uint32_t)from_start);
		if (!result)
			return CU_ENOMEM;
		*ret_jsonb = *result;
		return 0;
	}
	result = new_array(call->arena, jsonb->len, &elements);
	if (!result)
		return CU_ENOMEM;
	memcpy(elements, jsonb->elements, jsonb->len * sizeof *elements);
	result->len = jsonb->len;
	*ret_jsonb = *result;
	return delete_path(call, level + 1, &jsonb->elements[from_start], &elements[from_start]);
}

/* Recursion ends with the path or the value, whichever is less deep. */
static int delete_path(const struct cu_function_call *call, uint32_t level, const struct cu_jsonb *jsonb,
		       struct cu_jsonb *ret_jsonb)
{
	if (call->args[1].array->elems[level].is_null)
		return cu_value_fail(call->err, "22004", "path element at position %u is null", level + 1);
	if (jsonb->kind == CU_JSONB_OBJECT)
		return delete_path_object(call, level, jsonb, ret_jsonb);
	if (jsonb->kind == CU_JSONB_ARRAY)
		return delete_path_array(call, level, jsonb, ret_jsonb);
	*ret_jsonb = *jsonb;
	return 0;
}

static int jsonb_delete_path(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	const struct cu_jsonb *jsonb = call->args[0].jsonb;
	const struct cu_array *path = call->args[1].array;
	struct cu_jsonb *result;
	int rc;

	if (path->ndim > 1)
		return cu_value_fail(call->err, "2202E", "wrong number of array subscripts");
	if (is_scalar(jsonb))
		return cu_value_fail(call->err, "22023", "cannot delete path in scalar");
	if (jsonb->len == 0 || path->len == 0)
		return return_jsonb(jsonb, ret_datum);
	result = cu_arena_alloc(call->arena, sizeof *result);
	if (!result)
		return CU_ENOMEM;
	rc = delete_path(call, 0, jsonb, result);
	return rc ? rc : return_jsonb(result, ret_datum);
}

static int strip_nulls(cu_arena *arena, const struct cu_jsonb *jsonb, struct cu_jsonb *ret_jsonb)
{
	struct cu_jsonb_pair *pairs;
	struct cu_jsonb *result, *elements;
	int rc = 0;

	*ret_jsonb = *jsonb;
	if (is_scalar(jsonb))
		return 0;
	if (jsonb->kind == CU_JSONB_ARRAY) {
		result = new_array(arena, jsonb->len, &elements);
		if (!result)
			return CU_ENOMEM;
		for (; rc == 0 && result->len < jsonb->len; result->len++)
			rc = strip_nulls(arena, &jsonb->elements[result->len], &elements[result->len]);
	} else {
		result = new_object(arena, jsonb->len, &pairs);
		if (!result)
			return CU_ENOMEM;
		for (uint32_t i = 0; rc == 0 && i < jsonb->len; i++) {
			if (jsonb->pairs[i].value.kind == CU_JSONB_NULL)
				continue;
			pairs[result->len] = jsonb->pairs[i];
			rc = strip_nulls(arena, &jsonb->pairs[i].value, &pairs[result->len].value);
			result->len++;
		}
	}
	*ret_jsonb = *result;
	return rc;
}

static int jsonb_strip_nulls(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	struct cu_jsonb *result = cu_arena_alloc(call->arena, sizeof *result);
	int rc;

	if (!result)
		return CU_ENOMEM;
	rc = strip_nulls(call->arena, call->args[0].jsonb, result);
	return rc ? rc : return_jsonb(result, ret_datum);
}

static int jsonb_typeof(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	static const char *const names[] = { "null", "string", "number", "boolean", "array", "object" };
	const char *name = names[call->args[0].jsonb->kind];

	*ret_datum = (struct cu_datum){ .len = (uint32_t)strlen(name), .bytes = name };
	return 0;
}

static int jsonb_array_length(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	const struct cu_jsonb *jsonb = call->args[0].jsonb;

	if (is_scalar(jsonb))
		return cu_value_fail(call->err, "22023", "cannot get array length of a scalar");
	if (jsonb->kind != CU_JSONB_ARRAY)
		return cu_value_fail(call->err, "22023", "cannot get array length of a non-array");
	*ret_datum = (struct cu_datum){ .integer = jsonb->len };
	return 0;
}

static int jsonb_eq(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return return_bool(cu_jsonb_equal(call->args[0].jsonb, call->args[1].jsonb), ret_datum);
}

static int jsonb_ne(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return return_bool(!cu_jsonb_equal(call->args[0].jsonb, call->args[1].jsonb), ret_datum);
}

static int order_of(const struct cu_function_call *call)
{
	return cu_jsonb_compare(call->args[0].jsonb, call->args[1].jsonb, call->collation);
}

static int jsonb_lt(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return return_bool(order_of(call) < 0, ret_datum);
}

static int jsonb_le(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return return_bool(order_of(call) <= 0, ret_datum);
}

static int jsonb_gt(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return return_bool(order_of(call) > 0, ret_datum);
}

static int jsonb_ge(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return return_bool(order_of(call) >= 0, ret_datum);
}

static int fail_cast(const struct cu_function_call *call, const char *type)
{
	static const char *const names[] = { "null", "string", "numeric", "boolean", "array", "object" };

	return cu_value_fail(call->err, "22023", "cannot cast jsonb %s to type %s", names[call->args[0].jsonb->kind],
			     type);
}

static int jsonb_bool(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	if (call->args[0].jsonb->kind != CU_JSONB_BOOL)
		return fail_cast(call, "boolean");
	return return_bool(call->args[0].jsonb->boolean, ret_datum);
}

static int jsonb_numeric(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	if (call->args[0].jsonb->kind != CU_JSONB_NUMERIC)
		return fail_cast(call, "numeric");
	*ret_datum = (struct cu_datum){ .numeric = call->args[0].jsonb->numeric };
	return 0;
}

/* Casts on as numeric itself is cast. */
static int cast_number(const struct cu_function_call *call, const char *type, const char *prosrc,
		       struct cu_datum *ret_datum)
{
	const struct cu_type *numeric = cu_type_builtin(CU_NUMERICOID);
	struct cu_function_call cast = *call;
	struct cu_datum number;
	cu_function function;

	if (call->args[0].jsonb->kind != CU_JSONB_NUMERIC)
		return fail_cast(call, type);
	function = cu_function_find(prosrc, 0);
	CU_ASSERT(function);
	number = (struct cu_datum){ .numeric = call->args[0].jsonb->numeric };
	cast.types = &numeric;
	cast.args = &number;
	return function(&cast, ret_datum);
}

static int jsonb_int2(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return cast_number(call, "smallint", "numeric_int2", ret_datum);
}

static int jsonb_int4(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return cast_number(call, "integer", "numeric_int4", ret_datum);
}

static int jsonb_int8(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return cast_number(call, "bigint", "numeric_int8", ret_datum);
}

static int jsonb_float4(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return cast_number(call, "real", "numeric_float4", ret_datum);
}

static int jsonb_float8(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return cast_number(call, "double precision", "numeric_float8", ret_datum);
}

/* Since 18 a jsonb null casts to NULL. */
#define CASTS(X) X(bool) X(numeric) X(int2) X(int4) X(int8) X(float4) X(float8)
#define CAST_18(type)                                                                                 \
	static int jsonb_##type##_18(const struct cu_function_call *call, struct cu_datum *ret_datum) \
	{                                                                                             \
		if (call->args[0].jsonb->kind != CU_JSONB_NULL)                                       \
			return jsonb_##type(call, ret_datum);                                         \
		*ret_datum = CU_DATUM_NULL;                                                           \
		return 0;                                                                             \
	}
#define CAST_18_ENTRY(type) { "jsonb_" #type " 18", jsonb_##type##_18 },
CASTS(CAST_18)

static const struct cu_function_entry jsonb_entries[] = {
	/* clang-format off */
	CASTS(CAST_18_ENTRY)
	/* clang-format on */
	{ "jsonb_array_element", jsonb_array_element },
	{ "jsonb_array_element_text", jsonb_array_element_text },
	{ "jsonb_array_length", jsonb_array_length },
	{ "jsonb_bool", jsonb_bool },
	{ "jsonb_concat", jsonb_concat },
	{ "jsonb_contained", jsonb_contained },
	{ "jsonb_contains", jsonb_contains },
	{ "jsonb_delete", jsonb_delete },
	{ "jsonb_delete_array", jsonb_delete_array },
	{ "jsonb_delete_idx", jsonb_delete_idx },
	{ "jsonb_delete_path", jsonb_delete_path },
	{ "jsonb_eq", jsonb_eq },
	{ "jsonb_exists", jsonb_exists },
	{ "jsonb_exists_all", jsonb_exists_all },
	{ "jsonb_exists_any", jsonb_exists_any },
	{ "jsonb_extract_path", jsonb_extract_path },
	{ "jsonb_extract_path_text", jsonb_extract_path_text },
	{ "jsonb_float4", jsonb_float4 },
	{ "jsonb_float8", jsonb_float8 },
	{ "jsonb_ge", jsonb_ge },
	{ "jsonb_gt", jsonb_gt },
	{ "jsonb_int2", jsonb_int2 },
	{ "jsonb_int4", jsonb_int4 },
	{ "jsonb_int8", jsonb_int8 },
	{ "jsonb_le", jsonb_le },
	{ "jsonb_lt", jsonb_lt },
	{ "jsonb_ne", jsonb_ne },
	{ "jsonb_numeric", jsonb_numeric },
	{ "jsonb_object_field", jsonb_object_field },
	{ "jsonb_object_field_text", jsonb_object_field_text },
	{ "jsonb_strip_nulls", jsonb_strip_nulls },
	{ "jsonb_typeof", jsonb_typeof },
};
CU_FUNCTION_TABLE(cu_functions_jsonb, jsonb_entries);
