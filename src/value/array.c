/* array.c: shapes of arrays, their elements and slices, their order and keys. */
#include "value/array.h"

#include "value/array_internal.h"
#include "value/collation.h"
#include "value/text_internal.h"

#include <limits.h>

static const struct cu_datum no_elems[1]; /* so that copies of none have an address */
const struct cu_array cu_array_empty = { .elems = no_elems };

static int fail_size(struct cu_value_error *err)
{
	return cu_value_fail(err, "54000", "array size exceeds the maximum allowed (%d)", CU_ARRAY_LEN_MAX);
}

static int fail_ndim(struct cu_value_error *err, int ndim)
{
	return cu_value_fail(err, "54000", "number of array dimensions (%d) exceeds the maximum allowed (%d)", ndim,
			     CU_ARRAY_NDIM_MAX);
}

static int fail_nested(struct cu_value_error *err)
{
	return cu_value_fail(err, "2202E",
			     "multidimensional arrays must have array expressions with matching dimensions");
}

static int count_items(int ndim, const int *dims, const int *lbounds, uint32_t *ret_len, struct cu_value_error *err)
{
	int64_t len = ndim > 0;
	int upper;

	for (int i = 0; i < ndim; i++) {
		if (dims[i] < 0)
			return fail_size(err);
		len *= dims[i]; /* both fit into 31 bits */
		if (len > INT_MAX)
			return fail_size(err);
	}
	if (len > CU_ARRAY_LEN_MAX)
		return fail_size(err);
	for (int i = 0; i < ndim; i++)
		if (__builtin_add_overflow(dims[i], lbounds[i], &upper))
			return cu_value_fail(err, "54000", "array lower bound is too large: %d", lbounds[i]);
	*ret_len = (uint32_t)len;
	return 0;
}

int cu_array_new(int ndim, const int *dims, const int *lbounds, cu_arena *arena, struct cu_array **ret_array,
		 struct cu_datum **ret_elems, struct cu_value_error *err)
{
	struct cu_array *array;
	struct cu_datum *elems;
	uint32_t len = 0;
	int rc;

	if (ndim > CU_ARRAY_NDIM_MAX)
		return fail_ndim(err, ndim);
	rc = count_items(ndim, dims, lbounds, &len, err);
	if (rc)
		return rc;
	array = cu_arena_alloc(arena, sizeof *array);
	elems = cu_arena_alloc(arena, len * sizeof *elems);
	if (!array || !elems)
		return CU_ENOMEM;
	*array = (struct cu_array){ .len = len, .elems = elems };
	if (len) {
		array->ndim = ndim;
		memcpy(array->dims, dims, (size_t)ndim * sizeof *dims);
		memcpy(array->lbounds, lbounds, (size_t)ndim * sizeof *lbounds);
	}
	*ret_array = array;
	*ret_elems = elems;
	return 0;
}

int cu_array_new_like(const struct cu_array *like, cu_arena *arena, struct cu_array **ret_array,
		      struct cu_datum **ret_elems)
{
	return cu_array_new(like->ndim, like->dims, like->lbounds, arena, ret_array, ret_elems, NULL);
}

void cu_array_note_nulls(struct cu_array *array)
{
	array->has_nulls = false;
	for (uint32_t i = 0; i < array->len && !array->has_nulls; i++)
		array->has_nulls = array->elems[i].is_null;
}

int cu_array_make(const struct cu_datum *elems, size_t len, cu_arena *arena, const struct cu_array **ret_array,
		  struct cu_value_error *err)
{
	static const int lbound = 1;
	int dim = (int)len, rc;
	struct cu_array *array;
	struct cu_datum *copy;

	if (len > CU_ARRAY_LEN_MAX)
		return fail_size(err);
	rc = cu_array_new(1, &dim, &lbound, arena, &array, &copy, err);
	if (rc)
		return rc;
	if (len)
		memcpy(copy, elems, len * sizeof *elems);
	cu_array_note_nulls(array);
	*ret_array = array;
	return 0;
}

static bool same_shape(const struct cu_array *a, const struct cu_array *b)
{
	size_t bytes = (size_t)a->ndim * sizeof *a->dims;

	return a->ndim == b->ndim && memcmp(a->dims, b->dims, bytes) == 0 && memcmp(a->lbounds, b->lbounds, bytes) == 0;
}

int cu_array_make_nested(const struct cu_datum *arrays, size_t len, cu_arena *arena, const struct cu_array **ret_array,
			 struct cu_value_error *err)
{
	int dims[CU_ARRAY_NDIM_MAX], lbounds[CU_ARRAY_NDIM_MAX], rc;
	const struct cu_array *first = NULL;
	struct cu_array *array;
	struct cu_datum *elems;
	bool has_empty = false;

	for (size_t i = 0; i < len; i++) {
		if (arrays[i].is_null || arrays[i].array->ndim == 0)
			has_empty = true;
		else if (first && !same_shape(first, arrays[i].array))
			return fail_nested(err);
		else if (!first && arrays[i].array->ndim == CU_ARRAY_NDIM_MAX)
			return fail_ndim(err, CU_ARRAY_NDIM_MAX + 1);
		else if (!first)
			first = arrays[i].array;
	}
	if (!first) {
		*ret_array = &cu_array_empty;
		return 0;
	}
	if (has_empty)
		return fail_nested(err);
	if (len > CU_ARRAY_LEN_MAX)
		return fail_size(err);
	dims[0] = (int)len;
	lbounds[0] = 1;
	memcpy(dims + 1, first->dims, (size_t)first->ndim * sizeof *dims);
	memcpy(lbounds + 1, first->lbounds, (size_t)first->ndim * sizeof *lbounds);
	rc = cu_array_new(first->ndim + 1, dims, lbounds, arena, &array, &elems, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < len; i++)
		memcpy(elems + i * first->len, arrays[i].array->elems, first->len * sizeof *elems);
	cu_array_note_nulls(array);
	*ret_array = array;
	return 0;
}

struct cu_datum cu_array_get_element(const struct cu_array *array, const int32_t *subscripts, unsigned len)
{
	int64_t at = 0;

	if ((int)len != array->ndim || len == 0)
		return CU_DATUM_NULL;
	for (unsigned i = 0; i < len; i++) {
		int64_t offset = (int64_t)subscripts[i] - array->lbounds[i];

		if (offset < 0 || offset >= array->dims[i])
			return CU_DATUM_NULL;
		at = at * array->dims[i] + offset;
	}
	return array->elems[at];
}

/* Copies the box of dims at offsets, row by row of the last dimension. */
static void copy_box(const struct cu_array *from, const int *offsets, const int *dims, struct cu_datum *to)
{
	int index[CU_ARRAY_NDIM_MAX] = { 0 };
	size_t row = (size_t)dims[from->ndim - 1];
	int d;

	do {
		size_t at = 0;

		for (d = 0; d < from->ndim; d++)
			at = at * (size_t)from->dims[d] + (size_t)(offsets[d] + index[d]);
		memcpy(to, from->elems + at, row * sizeof *to);
		to += row;
		for (d = from->ndim - 2; d >= 0; d--) {
			if (++index[d] < dims[d])
				break;
			index[d] = 0;
		}
	} while (d >= 0);
}

int cu_array_get_slice(const struct cu_array *array, const struct cu_array_bound *bounds, unsigned len, cu_arena *arena,
		       const struct cu_array **ret_array, struct cu_value_error *err)
{
	int offsets[CU_ARRAY_NDIM_MAX], dims[CU_ARRAY_NDIM_MAX], lbounds[CU_ARRAY_NDIM_MAX], rc;
	struct cu_array *slice;
	struct cu_datum *elems;

	*ret_array = &cu_array_empty;
	if (array->ndim == 0 || (int)len > array->ndim)
		return 0;
	for (int i = 0; i < array->ndim; i++) {
		int64_t first = array->lbounds[i], last = first + array->dims[i] - 1, lower = first, upper = last;

		if (i < (int)len && bounds[i].has_lower)
			lower = CU_MAX(first, (int64_t)bounds[i].lower);
		if (i < (int)len && bounds[i].has_upper)
			upper = CU_MIN(last, (int64_t)bounds[i].upper);
		if (lower > upper)
			return 0;
		offsets[i] = (int)(lower - first);
		dims[i] = (int)(upper - lower + 1);
		lbounds[i] = 1;
	}
	rc = cu_array_new(array->ndim, dims, lbounds, arena, &slice, &elems, err);
	if (rc)
		return rc;
	copy_box(array, offsets, dims, elems);
	cu_array_note_nulls(slice);
	*ret_array = slice;
	return 0;
}

int cu_array_map(const struct cu_array *array, cu_array_mapper map, void *arg, cu_arena *arena,
		 const struct cu_array **ret_array)
{
	struct cu_array *result;
	struct cu_datum *elems;
	int rc = cu_array_new_like(array, arena, &result, &elems);

	for (uint32_t i = 0; rc == 0 && i < array->len; i++)
		rc = map(arg, &array->elems[i], &elems[i]);
	if (rc)
		return rc;
	cu_array_note_nulls(result);
	*ret_array = result;
	return 0;
}

static uint32_t without_blanks(const struct cu_datum *datum)
{
	uint32_t len = datum->len;

	while (len > 0 && datum->bytes[len - 1] == ' ')
		len--;
	return len;
}

bool cu_array_elem_equal(const struct cu_type *elem, const struct cu_collation *collation, const struct cu_datum *a,
			 const struct cu_datum *b)
{
	uint32_t a_len = a->len, b_len = b->len;

	if (elem->repr == CU_REPR_JSONB)
		return cu_value_compare(elem, NULL, a, b) == 0;
	if (elem->citext)
		return cu_text_citext_equal(collation, a, b);
	if (elem->repr != CU_REPR_TEXT)
		return cu_value_compare(elem, collation, a, b) == 0;
	if (elem->oid == CU_BPCHAROID) {
		a_len = without_blanks(a);
		b_len = without_blanks(b);
	}
	if (collation && elem->oid != CU_NAMEOID)
		return cu_collation_equal(collation, a->bytes, a_len, b->bytes, b_len);
	return a_len == b_len && memcmp(a->bytes, b->bytes, a_len) == 0;
}

static int compare_ints(int a, int b)
{
	return (a > b) - (a < b);
}

/* Two NULLs are equal, and greater than anything else. */
static int compare_elems(const struct cu_type *elem, const struct cu_collation *collation, const struct cu_datum *a,
			 const struct cu_datum *b)
{
	if (a->is_null || b->is_null)
		return (int)a->is_null - (int)b->is_null;
	return cu_value_compare(elem, collation, a, b);
}

static int array_compare(const struct cu_type *type, const struct cu_collation *collation, const struct cu_datum *a,
			 const struct cu_datum *b)
{
	const struct cu_array *left = a->array, *right = b->array;
	int order = 0;

	for (uint32_t i = 0; order == 0 && i < CU_MIN(left->len, right->len); i++)
		order = compare_elems(type->elem, collation, &left->elems[i], &right->elems[i]);
	if (order == 0)
		order = compare_ints((int)left->len, (int)right->len);
	if (order == 0)
		order = compare_ints(left->ndim, right->ndim);
	for (int i = 0; order == 0 && i < left->ndim; i++)
		order = compare_ints(left->dims[i], right->dims[i]);
	for (int i = 0; order == 0 && i < left->ndim; i++)
		order = compare_ints(left->lbounds[i], right->lbounds[i]);
	return order;
}

static int array_put_key(const struct cu_type *type, const struct cu_collation *collation, const struct cu_datum *datum,
			 cu_buf *out)
{
	const struct cu_array *array = datum->array;

	cu_buf_putc(out, (char)array->ndim);
	for (int i = 0; i < array->ndim; i++) {
		cu_buf_put_le32(out, (uint32_t)array->dims[i]);
		cu_buf_put_le32(out, (uint32_t)array->lbounds[i]);
	}
	for (uint32_t i = 0; i < array->len; i++) {
		size_t start = out->len + 4;
		uint32_t len = UINT32_MAX; /* NULL */
		int rc;

		cu_buf_put_le32(out, len);
		if (array->elems[i].is_null)
			continue;
		rc = cu_value_put_key(type->elem, collation, &array->elems[i], out);
		if (rc)
			return rc;
		if (cu_buf_failed(out))
			return CU_ENOMEM;
		len = (uint32_t)(out->len - start);
		memcpy(out->data + start - sizeof len, &len, sizeof len); /* not read back, so any order of bytes */
	}
	return cu_buf_failed(out) ? CU_ENOMEM : 0;
}

static int array_typmod(const struct cu_type *type, int32_t typmod, bool is_explicit, cu_arena *arena,
			struct cu_datum *datum, struct cu_value_error *err)
{
	const struct cu_array *array = datum->array;
	struct cu_array *result;
	struct cu_datum *elems;
	int rc = cu_array_new_like(array, arena, &result, &elems);

	for (uint32_t i = 0; rc == 0 && i < array->len; i++) {
		elems[i] = array->elems[i];
		if (!elems[i].is_null)
			rc = cu_value_typmod(type->elem, typmod, is_explicit, arena, &elems[i], err);
	}
	if (rc == 0) {
		result->has_nulls = array->has_nulls;
		datum->array = result;
	}
	return rc;
}

const struct cu_repr_ops cu_repr_ops_array = {
	.in = cu_array_in,
	.out = cu_array_out,
	.typmod = array_typmod,
	.compare = array_compare,
	.put_key = array_put_key,
};
