/* array_in.c: arrays as text: {1,2}, [0:1]={…}, quotes, NULL.
 *
 * Reading is in two steps, as in Postgres: first the whole structure, then the elements, so that a text that is wrong in
 * both ways is refused for its structure.
 */
#include "value/array_internal.h"

#include <limits.h>
#include <strings.h>

#define TEXT_MAX (1u << 30)

struct raw_elem {
	const char *start;
	uint32_t len;
	bool quoted;  /* or escaped: not the word NULL */
	bool escaped; /* has backslashes to take out */
};

struct reader {
	const char *at, *end;
	const char
		*quoted; /* the text as a refusal quotes it: Postgres leaves out the dimensions once it is past them */
	struct cu_value_error *err;
	cu_buf elems; /* of struct raw_elem */
	int ndim;
	int dims[CU_ARRAY_NDIM_MAX];
	int lbounds[CU_ARRAY_NDIM_MAX];
};

static int fail_malformed(const struct reader *r)
{
	return cu_value_fail_text(r->err, "22P02", "malformed array literal: \"%s\"", r->quoted,
				  (size_t)(r->end - r->quoted));
}

static int fail_ndim(const struct reader *r, int ndim)
{
	return cu_value_fail(r->err, "54000", "number of array dimensions (%d) exceeds the maximum allowed (%d)", ndim,
			     CU_ARRAY_NDIM_MAX);
}

static void skip_space(struct reader *r)
{
	while (r->at < r->end && cu_value_is_space(*r->at))
		r->at++;
}

static bool next_is(const struct reader *r, char c)
{
	return r->at < r->end && *r->at == c;
}

static int read_bound(struct reader *r, int *ret_bound)
{
	bool negative = next_is(r, '-');
	int64_t value = 0;
	const char *digits;

	r->at += negative || next_is(r, '+');
	digits = r->at;
	for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++) {
		value = value * 10 + (*r->at - '0');
		if (value > (int64_t)INT_MAX + 1)
			return cu_value_fail(r->err, "0A000",
					     "array bound is out of integer range, where versions of Postgres differ");
	}
	if (r->at == digits)
		return fail_malformed(r);
	value = negative ? -value : value;
	if (value > INT_MAX)
		return cu_value_fail(r->err, "0A000",
				     "array bound is out of integer range, where versions of Postgres differ");
	*ret_bound = (int)value;
	return 0;
}

/* [3] or [0:2], after the bracket. */
static int read_dimension(struct reader *r)
{
	int lower = 1, upper, size, rc;

	if (r->ndim >= CU_ARRAY_NDIM_MAX)
		return fail_ndim(r, r->ndim + 1);
	rc = read_bound(r, &upper);
	if (rc == 0 && next_is(r, ':')) {
		r->at++;
		lower = upper;
		rc = read_bound(r, &upper);
	}
	if (rc)
		return rc;
	if (!next_is(r, ']'))
		return fail_malformed(r);
	r->at++;
	if (upper < lower)
		return cu_value_fail(r->err, "2202E", "upper bound cannot be less than lower bound");
	if (__builtin_sub_overflow(upper, lower, &size) || size == INT_MAX)
		size = -2; /* no braces hold so many: malformed */
	r->dims[r->ndim] = size + 1;
	r->lbounds[r->ndim] = lower;
	r->ndim++;
	return 0;
}

static int push_elem(struct reader *r, struct raw_elem elem)
{
	cu_buf_append(&r->elems, &elem, sizeof elem);
	return cu_buf_failed(&r->elems) ? CU_ENOMEM : 0;
}

/* At the opening quote. */
static int read_quoted(struct reader *r)
{
	struct raw_elem elem = { .start = ++r->at, .quoted = true };

	while (r->at < r->end && *r->at != '"') {
		if (*r->at == '\\') {
			elem.escaped = true;
			r->at++;
			if (r->at == r->end)
				break;
		}
		r->at++;
	}
	if (r->at == r->end)
		return fail_malformed(r);
	elem.len = (uint32_t)(r->at - elem.start);
	r->at++;
	return push_elem(r, elem);
}

/* Up to a delimiter; blanks at its end that are not escaped do not count. */
static int read_plain(struct reader *r)
{
	struct raw_elem elem = { .start = r->at };
	const char *last = r->at;

	while (r->at < r->end && *r->at != ',' && *r->at != '}') {
		if (*r->at == '"' || *r->at == '{')
			return fail_malformed(r);
		if (*r->at == '\\') {
			elem.escaped = elem.quoted = true;
			r->at++;
			if (r->at == r->end)
				return fail_malformed(r);
			last = ++r->at;
		} else if (!cu_value_is_space(*r->at++)) {
			last = r->at;
		}
	}
	elem.len = (uint32_t)(last - elem.start);
	return push_elem(r, elem);
}

/* The braces: elements stand at one depth only, and all lists of a depth are equally long. */
static int read_braces(struct reader *r, int *ret_ndim, int *dims)
{
	int depth = 0, elem_depth = 0, counts[CU_ARRAY_NDIM_MAX], rc;
	bool want_item = true, fresh = false; /* fresh: right behind a { */

	for (int i = 0; i < CU_ARRAY_NDIM_MAX; i++)
		dims[i] = -1;
	do {
		skip_space(r);
		if (r->at == r->end)
			return fail_malformed(r);
		if (want_item && *r->at == '{') {
			if (depth == CU_ARRAY_NDIM_MAX)
				return fail_ndim(r, depth + 1);
			if (elem_depth && depth >= elem_depth)
				return fail_malformed(r);
			counts[depth++] = 0;
			fresh = true;
			r->at++;
		} else if (want_item && fresh && depth == 1 && *r->at == '}') {
			depth = 0;
			r->at++;
		} else if (want_item && fresh && *r->at == '}') {
			return cu_value_fail(r->err, "0A000",
					     "an empty list within an array literal is not supported: only Postgres 17 "
					     "and newer read it");
		} else if (want_item) {
			if (*r->at == '}' || *r->at == ',' || (elem_depth && depth != elem_depth))
				return fail_malformed(r);
			rc = *r->at == '"' ? read_quoted(r) : read_plain(r);
			if (rc)
				return rc;
			elem_depth = depth;
			counts[depth - 1]++;
			want_item = fresh = false;
		} else if (*r->at == ',') {
			r->at++;
			want_item = true;
			fresh = false;
		} else if (*r->at == '}') {
			r->at++;
			depth--;
			if (dims[depth] >= 0 && dims[depth] != counts[depth])
				return fail_malformed(r);
			dims[depth] = counts[depth];
			if (depth)
				counts[depth - 1]++;
		} else {
			return fail_malformed(r);
		}
	} while (depth);
	skip_space(r);
	if (r->at != r->end)
		return fail_malformed(r);
	*ret_ndim = elem_depth;
	return 0;
}

static int read_structure(struct reader *r)
{
	int ndim = 0, dims[CU_ARRAY_NDIM_MAX], rc;
	const char *whole = r->at;

	for (;;) {
		skip_space(r);
		if (!next_is(r, '['))
			break;
		r->at++;
		rc = read_dimension(r);
		if (rc)
			return rc;
	}
	if (r->ndim) {
		if (!next_is(r, '='))
			return fail_malformed(r);
		r->at++;
		skip_space(r);
	}
	if (!next_is(r, '{'))
		return fail_malformed(r);
	r->quoted = r->at;
	rc = read_braces(r, &ndim, dims);
	if (rc)
		return rc;
	r->quoted = whole;
	if (r->ndim == 0) {
		r->ndim = ndim;
		for (int i = 0; i < ndim; i++) {
			r->dims[i] = dims[i];
			r->lbounds[i] = 1;
		}
		return 0;
	}
	if (r->ndim != ndim || memcmp(r->dims, dims, (size_t)ndim * sizeof *dims) != 0)
		return fail_malformed(r);
	return 0;
}

/* Takes the backslashes out. */
static const char *unescape(const struct raw_elem *raw, cu_arena *arena, size_t *ret_len)
{
	char *text = cu_arena_alloc(arena, raw->len), *to = text;

	if (!text)
		return NULL;
	for (const char *at = raw->start, *end = raw->start + raw->len; at < end; at++) {
		at += *at == '\\';
		*to++ = *at;
	}
	*ret_len = (size_t)(to - text);
	return text;
}

static int read_elem(const struct raw_elem *raw, const struct cu_type *elem, int32_t typmod, cu_arena *arena,
		     struct cu_datum *ret_datum, struct cu_value_error *err)
{
	const char *text = raw->start;
	size_t len = raw->len;

	if (!raw->quoted && len == 4 && strncasecmp(text, "null", 4) == 0) {
		*ret_datum = CU_DATUM_NULL;
		return 0;
	}
	if (raw->escaped) {
		text = unescape(raw, arena, &len);
		if (!text)
			return CU_ENOMEM;
	}
	return cu_value_in(elem, typmod, text, len, arena, ret_datum, err);
}

int cu_array_in(const struct cu_type *type, int32_t typmod, const char *text, size_t len, cu_arena *arena,
		struct cu_datum *ret_datum, struct cu_value_error *err)
{
	struct reader r = { .quoted = text, .at = text, .end = text + len, .err = err, .elems = CU_BUF_INIT };
	const struct raw_elem *raw;
	struct cu_array *array = NULL;
	struct cu_datum *elems = NULL;
	int rc;

	rc = read_structure(&r);
	if (rc == 0)
		rc = cu_array_new(r.ndim, r.dims, r.lbounds, arena, &array, &elems, err);
	raw = (const struct raw_elem *)(const void *)r.elems.data;
	for (uint32_t i = 0; rc == 0 && i < array->len; i++)
		rc = read_elem(&raw[i], type->elem, typmod, arena, &elems[i], err);
	if (rc == 0) {
		cu_array_note_nulls(array);
		*ret_datum = (struct cu_datum){ .array = array };
	}
	cu_buf_fini(&r.elems);
	return rc;
}

static bool needs_quotes(const char *text, size_t len)
{
	if (len == 0 || (len == 4 && strncasecmp(text, "null", 4) == 0))
		return true;
	for (size_t i = 0; i < len; i++)
		if (text[i] == '"' || text[i] == '\\' || text[i] == '{' || text[i] == '}' || text[i] == ',' ||
		    cu_value_is_space(text[i]))
			return true;
	return false;
}

static void put_quoted(const char *text, size_t len, cu_buf *out)
{
	cu_buf_putc(out, '"');
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"' || text[i] == '\\')
			cu_buf_putc(out, '\\');
		cu_buf_putc(out, text[i]);
	}
	cu_buf_putc(out, '"');
}

static int put_elem(const struct cu_type *elem, const struct cu_datum *datum, cu_buf *scratch, cu_buf *out)
{
	int rc;

	if (datum->is_null) {
		cu_buf_append(out, "NULL", 4);
		return 0;
	}
	cu_buf_clear(scratch);
	rc = cu_value_out(elem, datum, scratch);
	if (rc)
		return rc;
	if (needs_quotes(scratch->data, scratch->len))
		put_quoted(scratch->data, scratch->len, out);
	else
		cu_buf_append(out, scratch->data, scratch->len);
	return 0;
}

static void put_bounds(const struct cu_array *array, cu_buf *out)
{
	bool needed = false;

	for (int i = 0; i < array->ndim; i++)
		needed |= array->lbounds[i] != 1;
	for (int i = 0; needed && i < array->ndim; i++)
		cu_buf_printf(out, "[%d:%d]", array->lbounds[i], array->lbounds[i] + (array->dims[i] - 1));
	if (needed)
		cu_buf_putc(out, '=');
}

/* The braces that open before element i (or, counted backwards, close behind it): one for each innermost dimension that
 * starts there. */
static int braces_at(const struct cu_array *array, uint32_t i)
{
	uint32_t size = 1;
	int count = 0;

	for (int d = array->ndim - 1; d >= 0; d--) {
		size *= (uint32_t)array->dims[d];
		if (i % size)
			break;
		count++;
	}
	return count;
}

int cu_array_out(const struct cu_type *type, const struct cu_datum *datum, cu_buf *out)
{
	const struct cu_array *array = datum->array;
	cu_buf scratch = CU_BUF_INIT;
	int rc = 0;

	put_bounds(array, out);
	if (array->ndim == 0)
		cu_buf_append(out, "{}", 2);
	for (uint32_t i = 0; rc == 0 && i < array->len; i++) {
		if (i)
			cu_buf_putc(out, ',');
		for (int n = braces_at(array, i); n > 0; n--)
			cu_buf_putc(out, '{');
		rc = put_elem(type->elem, &array->elems[i], &scratch, out);
		for (int n = braces_at(array, i + 1); n > 0; n--)
			cu_buf_putc(out, '}');
		/* Elements may be shared, so a small array may have a long text; Postgres has no longer ones. */
		if (out->len > TEXT_MAX)
			rc = CU_ENOMEM;
	}
	cu_buf_fini(&scratch);
	return rc == 0 && cu_buf_failed(out) ? CU_ENOMEM : rc;
}
