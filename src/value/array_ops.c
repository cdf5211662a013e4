/* array_ops.c: the functions of arrays. The type of the elements is that of the array argument. */
#include "value/array_internal.h"
#include "value/collation.h"
#include "value/json_parse.h"

#include <limits.h>

static int return_bool(bool value, struct cu_datum *ret_datum)
{
	*ret_datum = (struct cu_datum){ .boolean = value };
	return 0;
}

static int return_int(int64_t value, struct cu_datum *ret_datum)
{
	*ret_datum = (struct cu_datum){ .integer = value };
	return 0;
}

static int return_array(const struct cu_array *array, struct cu_datum *ret_datum)
{
	*ret_datum = (struct cu_datum){ .array = array };
	return 0;
}

static int return_null(struct cu_datum *ret_datum)
{
	*ret_datum = CU_DATUM_NULL;
	return 0;
}

/* json has no order and no equality, which Postgres finds out only when it has to compare. */
static int need_equality(const struct cu_function_call *call, const struct cu_type *elem)
{
	if (elem->repr == CU_REPR_JSON)
		return cu_value_fail(call->err, "42883", "could not identify an equality operator for type %s",
				     elem->name);
	return 0;
}

static int need_order(const struct cu_function_call *call, const struct cu_type *elem)
{
	if (elem->repr == CU_REPR_JSON)
		return cu_value_fail(call->err, "42883", "could not identify a comparison function for type %s",
				     elem->name);
	return 0;
}

static bool equal(const struct cu_function_call *call, const struct cu_type *elem, const struct cu_datum *a,
		  const struct cu_datum *b)
{
	return cu_array_elem_equal(elem, call->collation, a, b);
}

static bool same_shape(const struct cu_array *a, const struct cu_array *b)
{
	size_t bytes = (size_t)a->ndim * sizeof *a->dims;

	return a->ndim == b->ndim && memcmp(a->dims, b->dims, bytes) == 0 && memcmp(a->lbounds, b->lbounds, bytes) == 0;
}

static int arrays_equal(const struct cu_function_call *call, bool *ret_equal)
{
	const struct cu_array *a = call->args[0].array, *b = call->args[1].array;
	const struct cu_type *elem = call->types[0]->elem;
	int rc = 0;

	*ret_equal = same_shape(a, b);
	if (*ret_equal)
		rc = need_equality(call, elem);
	for (uint32_t i = 0; rc == 0 && *ret_equal && i < a->len; i++) {
		if (a->elems[i].is_null || b->elems[i].is_null)
			*ret_equal = a->elems[i].is_null && b->elems[i].is_null;
		else
			*ret_equal = equal(call, elem, &a->elems[i], &b->elems[i]);
	}
	return rc;
}

static int array_eq(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	bool same;
	int rc = arrays_equal(call, &same);

	return rc ? rc : return_bool(same, ret_datum);
}

static int array_ne(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	bool same;
	int rc = arrays_equal(call, &same);

	return rc ? rc : return_bool(!same, ret_datum);
}

static int order_of(const struct cu_function_call *call, int *ret_order)
{
	int rc = need_order(call, call->types[0]->elem), order;

	if (rc)
		return rc;
	order = cu_repr_ops_array.compare(call->types[0], call->collation, &call->args[0], &call->args[1]);
	*ret_order = (order > 0) - (order < 0);
	return 0;
}

static int array_lt(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	int order, rc = order_of(call, &order);

	return rc ? rc : return_bool(order < 0, ret_datum);
}

static int array_le(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	int order, rc = order_of(call, &order);

	return rc ? rc : return_bool(order <= 0, ret_datum);
}

static int array_gt(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	int order, rc = order_of(call, &order);

	return rc ? rc : return_bool(order > 0, ret_datum);
}

static int array_ge(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	int order, rc = order_of(call, &order);

	return rc ? rc : return_bool(order >= 0, ret_datum);
}

static int btarraycmp(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	int order, rc = order_of(call, &order);

	return rc ? rc : return_int(order, ret_datum);
}

static int array_larger(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	int order, rc = order_of(call, &order);

	return rc ? rc : return_array(call->args[order > 0 ? 0 : 1].array, ret_datum);
}

static int array_smaller(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	int order, rc = order_of(call, &order);

	return rc ? rc : return_array(call->args[order < 0 ? 0 : 1].array, ret_datum);
}

/* all: every element of part is in whole; else: any is. NULL is in nothing. */
static int is_part(const struct cu_function_call *call, const struct cu_array *part, const struct cu_array *whole,
		   bool all, struct cu_datum *ret_datum)
{
	const struct cu_type *elem = call->types[0]->elem;
	int rc = need_equality(call, elem);

	if (rc)
		return rc;
	for (uint32_t i = 0; i < part->len; i++) {
		bool found = false;

		for (uint32_t j = 0; j < whole->len && !found && !part->elems[i].is_null; j++)
			found = !whole->elems[j].is_null && equal(call, elem, &part->elems[i], &whole->elems[j]);
		if (found != all)
			return return_bool(found, ret_datum);
	}
	return return_bool(all, ret_datum);
}

static int arraycontains(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return is_part(call, call->args[1].array, call->args[0].array, true, ret_datum);
}

static int arraycontained(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return is_part(call, call->args[0].array, call->args[1].array, true, ret_datum);
}

static int arrayoverlap(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return is_part(call, call->args[0].array, call->args[1].array, false, ret_datum);
}

static int fail_incompatible(const struct cu_function_call *call)
{
	return cu_value_fail(call->err, "2202E", "cannot concatenate incompatible arrays");
}

/* a and b one after the other in an array of this shape. */
static int join(const struct cu_function_call *call, int ndim, const int *dims, const int *lbounds,
		const struct cu_array *a, const struct cu_array *b, struct cu_array **ret_array)
{
	struct cu_array *result = NULL;
	struct cu_datum *elems;
	int rc;

	/* A clause may grow a row's array again and again. */
	if (((size_t)a->len + b->len) * sizeof *elems > CU_VALUE_RESULT_MAX)
		return cu_value_fail(call->err, "54000", "array size exceeds the maximum allowed (%d)",
				     (int)(CU_VALUE_RESULT_MAX / sizeof *elems));
	rc = cu_array_new(ndim, dims, lbounds, call->arena, &result, &elems, call->err);
	if (rc)
		return rc;
	memcpy(elems, a->elems, a->len * sizeof *elems);
	memcpy(elems + a->len, b->elems, b->len * sizeof *elems);
	result->has_nulls = a->has_nulls || b->has_nulls;
	*ret_array = result;
	return 0;
}

/* Of two arrays that are not empty, the outer has as many dimensions as the inner one or one more. */
static int array_cat(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	const struct cu_array *a = call->args[0].array, *b = call->args[1].array, *outer, *inner;
	int dims[CU_ARRAY_NDIM_MAX], shift, rc;
	struct cu_array *result = NULL;

	if (call->args[0].is_null || call->args[1].is_null) {
		*ret_datum = call->args[call->args[0].is_null ? 1 : 0];
		return 0;
	}
	if (a->ndim == 0 || b->ndim == 0)
		return return_array(b->ndim == 0 ? a : b, ret_datum);
	outer = a->ndim >= b->ndim ? a : b;
	inner = outer == a ? b : a;
	shift = outer->ndim - inner->ndim;
	if (shift > 1)
		return fail_incompatible(call);
	memcpy(dims, outer->dims, sizeof dims);
	for (int i = shift ? 0 : 1; i < inner->ndim; i++)
		if (inner->dims[i] != outer->dims[i + shift] || inner->lbounds[i] != outer->lbounds[i + shift])
			return fail_incompatible(call);
	if (__builtin_add_overflow(dims[0], shift ? 1 : inner->dims[0], &dims[0]))
		dims[0] = INT_MAX; /* too many as well */
	rc = join(call, outer->ndim, dims, outer->lbounds, a, b, &result);
	return rc ? rc : return_array(result, ret_datum);
}

static int push_elem(const struct cu_function_call *call, const struct cu_datum *array_arg,
		     const struct cu_datum *elem_arg, bool at_end, struct cu_datum *ret_datum)
{
	const struct cu_array *array = array_arg->is_null ? &cu_array_empty : array_arg->array;
	struct cu_array one = { .ndim = 1, .dims = { 1 }, .lbounds = { 1 }, .len = 1, .elems = elem_arg };
	int at = 1, lbound = 1, dim = 1, rc;
	struct cu_array *result = NULL;
	bool overflow;

	if (array->ndim > 1)
		return cu_value_fail(call->err, "22000", "argument must be empty or one-dimensional array");
	if (array->ndim == 1) {
		lbound = array->lbounds[0];
		dim = array->dims[0] + 1;
		overflow = at_end ? __builtin_add_overflow(lbound, array->dims[0], &at)
				  : __builtin_sub_overflow(lbound, 1, &at);
		if (overflow)
			return cu_value_fail(call->err, "22003", "integer out of range");
	}
	one.has_nulls = elem_arg->is_null;
	/* What is put in front pushes the bound down while the limits are checked; then the array gets its own back. */
	rc = join(call, 1, &dim, at_end ? &lbound : &at, at_end ? array : &one, at_end ? &one : array, &result);
	if (rc)
		return rc;
	result->lbounds[0] = lbound;
	return return_array(result, ret_datum);
}

static int array_append(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return push_elem(call, &call->args[0], &call->args[1], true, ret_datum);
}

static int array_prepend(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return push_elem(call, &call->args[1], &call->args[0], false, ret_datum);
}

static int array_ndims(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	int ndim = call->args[0].array->ndim;

	return ndim ? return_int(ndim, ret_datum) : return_null(ret_datum);
}

static int array_dims(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	const struct cu_array *array = call->args[0].array;
	cu_buf out = CU_BUF_INIT;

	if (!array->ndim)
		return return_null(ret_datum);
	for (int i = 0; i < array->ndim; i++)
		cu_buf_printf(&out, "[%d:%d]", array->lbounds[i], array->lbounds[i] + (array->dims[i] - 1));
	return cu_json_return_text(call, 0, &out, ret_datum);
}

/* The dimension that the second argument names, from 0; -1: none. */
static int dimension(const struct cu_function_call *call)
{
	int64_t number = call->args[1].integer;

	return number >= 1 && number <= call->args[0].array->ndim ? (int)number - 1 : -1;
}

static int array_lower(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	int d = dimension(call);

	return d < 0 ? return_null(ret_datum) : return_int(call->args[0].array->lbounds[d], ret_datum);
}

static int array_upper(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	const struct cu_array *array = call->args[0].array;
	int d = dimension(call);

	return d < 0 ? return_null(ret_datum) : return_int((int64_t)array->lbounds[d] + array->dims[d] - 1, ret_datum);
}

static int array_length(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	int d = dimension(call);

	return d < 0 ? return_null(ret_datum) : return_int(call->args[0].array->dims[d], ret_datum);
}

static int array_cardinality(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return return_int(call->args[0].array->len, ret_datum);
}

static bool matches(const struct cu_function_call *call, const struct cu_datum *elem, const struct cu_datum *wanted)
{
	if (elem->is_null || wanted->is_null)
		return elem->is_null && wanted->is_null;
	return equal(call, call->types[0]->elem, elem, wanted);
}

static int fail_multidimensional(const struct cu_function_call *call, const char *what)
{
	return cu_value_fail(call->err, "0A000", "%s elements %s multidimensional arrays is not supported", what,
			     strcmp(what, "removing") == 0 ? "from" : "in");
}

static int position(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	const struct cu_array *array = call->args[0].array;
	const struct cu_datum *wanted = &call->args[1];
	int64_t first = INT_MIN;
	int rc;

	if (call->args[0].is_null)
		return return_null(ret_datum);
	if (array->ndim > 1)
		return fail_multidimensional(call, "searching for");
	if (array->ndim == 0 || (wanted->is_null && !array->has_nulls))
		return return_null(ret_datum);
	if (call->args_len == 3) {
		if (call->args[2].is_null)
			return cu_value_fail(call->err, "22004", "initial position must not be null");
		first = call->args[2].integer;
	}
	rc = need_equality(call, call->types[0]->elem);
	if (rc)
		return rc;
	for (uint32_t i = 0; i < array->len; i++) {
		int64_t at = (int64_t)array->lbounds[0] + i;

		if (at >= first && matches(call, &array->elems[i], wanted))
			return return_int(at, ret_datum);
	}
	return return_null(ret_datum);
}

static int array_positions(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	const struct cu_array *array = call->args[0].array, *result = &cu_array_empty;
	const struct cu_datum *wanted = &call->args[1];
	struct cu_datum *found;
	size_t found_len = 0;
	int rc;

	if (call->args[0].is_null)
		return return_null(ret_datum);
	if (array->ndim > 1)
		return fail_multidimensional(call, "searching for");
	if (array->ndim == 0 || (wanted->is_null && !array->has_nulls))
		return return_array(result, ret_datum);
	rc = need_equality(call, call->types[0]->elem);
	if (rc)
		return rc;
	found = cu_arena_alloc(call->arena, array->len * sizeof *found);
	if (!found)
		return CU_ENOMEM;
	for (uint32_t i = 0; i < array->len; i++)
		if (matches(call, &array->elems[i], wanted))
			found[found_len++] = (struct cu_datum){ .integer = (int64_t)array->lbounds[0] + i };
	rc = cu_array_make(found, found_len, call->arena, &result, call->err);
	return rc ? rc : return_array(result, ret_datum);
}

static int array_remove(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	const struct cu_array *array = call->args[0].array;
	struct cu_array *result = NULL;
	struct cu_datum *elems;
	uint32_t kept = 0;
	int rc;

	if (call->args[0].is_null)
		return return_null(ret_datum);
	if (array->len == 0)
		return return_array(array, ret_datum);
	if (array->ndim > 1)
		return fail_multidimensional(call, "removing");
	rc = need_equality(call, call->types[0]->elem);
	if (rc == 0)
		rc = cu_array_new_like(array, call->arena, &result, &elems);
	if (rc)
		return rc;
	for (uint32_t i = 0; i < array->len; i++)
		if (!matches(call, &array->elems[i], &call->args[1]))
			elems[kept++] = array->elems[i];
	if (kept == 0)
		return return_array(&cu_array_empty, ret_datum);
	result->len = kept;
	result->dims[0] = (int)kept;
	cu_array_note_nulls(result);
	return return_array(result, ret_datum);
}

static int array_replace(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	const struct cu_array *array = call->args[0].array;
	struct cu_array *result = NULL;
	struct cu_datum *elems;
	int rc;

	if (call->args[0].is_null)
		return return_null(ret_datum);
	if (array->len == 0)
		return return_array(array, ret_datum);
	rc = need_equality(call, call->types[0]->elem);
	if (rc == 0)
		rc = cu_array_new_like(array, call->arena, &result, &elems);
	if (rc)
		return rc;
	for (uint32_t i = 0; i < array->len; i++)
		elems[i] = matches(call, &array->elems[i], &call->args[1]) ? call->args[2] : array->elems[i];
	cu_array_note_nulls(result);
	return return_array(result, ret_datum);
}

static int trim_array(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	const struct cu_array *array = call->args[0].array, *result;
	int64_t count = call->args[1].integer;
	int len = array->ndim ? array->dims[0] : 0, rc;
	struct cu_array_bound bound = { .has_upper = true };

	if (count < 0 || count > len)
		return cu_value_fail(call->err, "2202E", "number of elements to trim must be between 0 and %d", len);
	/* At the lowest bound there is this wraps around, and trims nothing, as in Postgres. */
	bound.upper = (int32_t)(uint32_t)((int64_t)array->lbounds[0] + len - count - 1);
	rc = cu_array_get_slice(array, &bound, 1, call->arena, &result, call->err);
	return rc ? rc : return_array(result, ret_datum);
}

/* null_text NULL: elements that are NULL are left out. */
static int to_text(const struct cu_function_call *call, const struct cu_datum *null_text, struct cu_datum *ret_datum)
{
	const struct cu_array *array = call->args[0].array;
	const struct cu_datum *separator = &call->args[1];
	cu_buf out = CU_BUF_INIT;
	bool any = false;
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < array->len; i++) {
		const struct cu_datum *elem = &array->elems[i];

		if (elem->is_null && !null_text)
			continue;
		if (any)
			cu_buf_append(&out, separator->bytes, separator->len);
		if (elem->is_null)
			cu_buf_append(&out, null_text->bytes, null_text->len);
		else
			rc = cu_value_out(call->types[0]->elem, elem, &out);
		if (rc == 0 && out.len > CU_VALUE_RESULT_MAX)
			rc = cu_value_fail(call->err, "0A000",
					   "the result is longer than %u bytes, which is not supported here",
					   CU_VALUE_RESULT_MAX);
		any = true;
	}
	return cu_json_return_text(call, rc, &out, ret_datum);
}

static int array_to_text(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return to_text(call, NULL, ret_datum);
}

static int array_to_text_null(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	if (call->args[0].is_null || call->args[1].is_null)
		return return_null(ret_datum);
	return to_text(call, call->args[2].is_null ? NULL : &call->args[2], ret_datum);
}

struct splitter {
	const struct cu_function_call *call;
	const struct cu_datum *null_text; /* NULL: none */
	cu_buf fields;                    /* of struct cu_datum */
};

static void push_field(struct splitter *s, const char *text, size_t len)
{
	struct cu_datum field = { .len = (uint32_t)len, .bytes = text };

	if (s->null_text && equal(s->call, cu_type_builtin(CU_TEXTOID), &field, s->null_text))
		field = CU_DATUM_NULL;
	cu_buf_append(&s->fields, &field, sizeof field);
}

static size_t char_len(const char *at, const char *end)
{
	unsigned char c = (unsigned char)*at;
	size_t len = c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	return CU_MIN(len, (size_t)(end - at));
}

static void split_chars(struct splitter *s, const char *at, const char *end)
{
	while (at < end) {
		size_t len = char_len(at, end);

		push_field(s, at, len);
		at += len;
	}
}

static void split_at(struct splitter *s, const char *at, const char *end, const struct cu_datum *separator)
{
	const char *next;

	while (separator->len && (next = memmem(at, (size_t)(end - at), separator->bytes, separator->len))) {
		push_field(s, at, (size_t)(next - at));
		at = next + separator->len;
	}
	push_field(s, at, (size_t)(end - at));
}

static int split(const struct cu_function_call *call, const struct cu_datum *null_text, struct cu_datum *ret_datum)
{
	struct splitter s = { .call = call, .null_text = null_text, .fields = CU_BUF_INIT };
	const struct cu_datum *separator = &call->args[1];
	const struct cu_array *result = NULL;
	const char *text, *end;
	int rc;

	if (call->args[0].is_null)
		return return_null(ret_datum);
	text = call->args[0].bytes;
	end = text + call->args[0].len;
	if (separator->is_null)
		split_chars(&s, text, end);
	else if (text < end && separator->len && call->collation && !cu_collation_desc(call->collation)->deterministic)
		return cu_value_fail(call->err, "0A000",
				     "nondeterministic collations are not supported for substring searches");
	else if (text < end)
		split_at(&s, text, end, separator);
	rc = cu_buf_failed(&s.fields)
		     ? CU_ENOMEM
		     : cu_array_make((const struct cu_datum *)(const void *)s.fields.data,
				     s.fields.len / sizeof(struct cu_datum), call->arena, &result, call->err);
	cu_buf_fini(&s.fields);
	return rc ? rc : return_array(result, ret_datum);
}

static int text_to_array(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return split(call, NULL, ret_datum);
}

static int text_to_array_null(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return split(call, call->args[2].is_null ? NULL : &call->args[2], ret_datum);
}

static const struct cu_function_entry array_entries[] = {
	{ "array_append", array_append },
	{ "array_cardinality", array_cardinality },
	{ "array_cat", array_cat },
	{ "array_dims", array_dims },
	{ "array_eq", array_eq },
	{ "array_ge", array_ge },
	{ "array_gt", array_gt },
	{ "array_larger", array_larger },
	{ "array_le", array_le },
	{ "array_length", array_length },
	{ "array_lower", array_lower },
	{ "array_lt", array_lt },
	{ "array_ndims", array_ndims },
	{ "array_ne", array_ne },
	{ "array_position", position },
	{ "array_position_start", position },
	{ "array_positions", array_positions },
	{ "array_prepend", array_prepend },
	{ "array_remove", array_remove },
	{ "array_replace", array_replace },
	{ "array_smaller", array_smaller },
	{ "array_to_text", array_to_text },
	{ "array_to_text_null", array_to_text_null },
	{ "array_upper", array_upper },
	{ "arraycontained", arraycontained },
	{ "arraycontains", arraycontains },
	{ "arrayoverlap", arrayoverlap },
	{ "btarraycmp", btarraycmp },
	{ "text_to_array", text_to_array },
	{ "text_to_array_null", text_to_array_null },
	{ "trim_array", trim_array },
};
CU_FUNCTION_TABLE(cu_functions_array, array_entries);
