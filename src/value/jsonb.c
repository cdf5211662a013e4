/* jsonb.c: how jsonb values compare, contain each other and are looked into; the operations of the type. */
#include "value/jsonb.h"

#include "value/collation.h"
#include "value/internal.h"
#include "value/json_parse.h"

static struct cu_datum numeric_datum(const struct cu_jsonb *jsonb)
{
	return (struct cu_datum){ .numeric = jsonb->numeric };
}

static int numeric_compare(const struct cu_jsonb *a, const struct cu_jsonb *b)
{
	struct cu_datum da = numeric_datum(a), db = numeric_datum(b);

	return cu_repr_ops_numeric.compare(cu_type_builtin(CU_NUMERICOID), NULL, &da, &db);
}

static int string_compare(const char *a, uint32_t a_len, const char *b, uint32_t b_len,
			  const struct cu_collation *collation)
{
	int order;

	if (a_len == b_len && memcmp(a, b, a_len) == 0)
		return 0;
	if (collation)
		return cu_collation_compare(collation, a, a_len, b, b_len);
	order = memcmp(a, b, CU_MIN(a_len, b_len));
	return order ? order : a_len < b_len ? -1 : 1;
}

static int value_compare(const struct cu_jsonb *a, const struct cu_jsonb *b, const struct cu_collation *collation)
{
	int order = 0;

	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	switch (a->kind) {
	case CU_JSONB_NULL: break;
	case CU_JSONB_STRING: order = string_compare(a->string, a->len, b->string, b->len, collation); break;
	case CU_JSONB_NUMERIC: order = numeric_compare(a, b); break;
	case CU_JSONB_BOOL: order = (a->boolean > b->boolean) - (a->boolean < b->boolean); break;
	case CU_JSONB_ARRAY:
		if (a->len != b->len)
			return a->len < b->len ? -1 : 1;
		for (uint32_t i = 0; order == 0 && i < a->len; i++)
			order = value_compare(&a->elements[i], &b->elements[i], collation);
		break;
	case CU_JSONB_OBJECT:
		if (a->len != b->len)
			return a->len < b->len ? -1 : 1;
		for (uint32_t i = 0; order == 0 && i < a->len; i++) {
			const struct cu_jsonb_pair *pa = &a->pairs[i], *pb = &b->pairs[i];

			order = string_compare(pa->key, pa->key_len, pb->key, pb->key_len, collation);
			if (order == 0)
				order = value_compare(&pa->value, &pb->value, collation);
		}
		break;
	}
	return order;
}

static bool is_scalar(const struct cu_jsonb *jsonb)
{
	return jsonb->kind < CU_JSONB_ARRAY;
}

/* Postgres stores a scalar at the top as an array of one element that is marked, and compares the numbers of elements
 * before it looks at the mark's order: an empty array sorts before every scalar. */
int cu_jsonb_compare(const struct cu_jsonb *a, const struct cu_jsonb *b, const struct cu_collation *collation)
{
	if (a->kind == CU_JSONB_ARRAY && a->len == 0 && is_scalar(b))
		return -1;
	if (b->kind == CU_JSONB_ARRAY && b->len == 0 && is_scalar(a))
		return 1;
	return value_compare(a, b, collation);
}

bool cu_jsonb_equal(const struct cu_jsonb *a, const struct cu_jsonb *b)
{
	return value_compare(a, b, NULL) == 0;
}

const struct cu_jsonb *cu_jsonb_get(const struct cu_jsonb *jsonb, const char *key, size_t len)
{
	uint32_t low = 0, high = jsonb->kind == CU_JSONB_OBJECT ? jsonb->len : 0;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct cu_jsonb_pair *pair = &jsonb->pairs[middle];
		int order = len != pair->key_len ? (len < pair->key_len ? -1 : 1) : memcmp(key, pair->key, len);

		if (order == 0)
			return &pair->value;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

const struct cu_jsonb *cu_jsonb_walk(const struct cu_jsonb *jsonb, const struct cu_datum *path, size_t path_len)
{
	for (size_t i = 0; i < path_len; i++)
		if (path[i].is_null)
			return NULL;
	for (size_t i = 0; i < path_len && jsonb; i++) {
		int at;

		if (jsonb->kind == CU_JSONB_OBJECT) {
			jsonb = cu_jsonb_get(jsonb, path[i].bytes, path[i].len);
		} else if (jsonb->kind == CU_JSONB_ARRAY && cu_json_subscript(path[i].bytes, path[i].len, &at)) {
			int64_t from_start = at < 0 ? (int64_t)jsonb->len + at : at;

			jsonb = from_start >= 0 && from_start < jsonb->len ? &jsonb->elements[from_start] : NULL;
		} else {
			jsonb = NULL;
		}
	}
	return jsonb;
}

static bool value_contains(const struct cu_jsonb *a, const struct cu_jsonb *b)
{
	if (a->kind != b->kind)
		return false;
	if (is_scalar(a))
		return value_compare(a, b, NULL) == 0;
	if (a->kind == CU_JSONB_OBJECT) {
		if (a->len < b->len)
			return false;
		for (uint32_t i = 0; i < b->len; i++) {
			const struct cu_jsonb *value = cu_jsonb_get(a, b->pairs[i].key, b->pairs[i].key_len);

			if (!value || !value_contains(value, &b->pairs[i].value))
				return false;
		}
		return true;
	}
	for (uint32_t i = 0; i < b->len; i++) {
		uint32_t j = 0;

		while (j < a->len && !value_contains(&a->elements[j], &b->elements[i]))
			j++;
		if (j == a->len)
			return false;
	}
	return true;
}

bool cu_jsonb_contains(const struct cu_jsonb *a, const struct cu_jsonb *b)
{
	/* At the top, and there only, an array contains a scalar that is among its elements. */
	if (a->kind == CU_JSONB_ARRAY && is_scalar(b)) {
		for (uint32_t i = 0; i < a->len; i++)
			if (value_contains(&a->elements[i], b))
				return true;
		return false;
	}
	return value_contains(a, b);
}

static int put_key(const struct cu_jsonb *jsonb, cu_buf *out)
{
	struct cu_datum datum;
	size_t start;
	int rc = 0;

	cu_buf_putc(out, (char)jsonb->kind);
	switch (jsonb->kind) {
	case CU_JSONB_NULL: break;
	case CU_JSONB_STRING:
		cu_buf_put_varint(out, jsonb->len);
		cu_buf_append(out, jsonb->string, jsonb->len);
		break;
	case CU_JSONB_NUMERIC:
		datum = numeric_datum(jsonb);
		cu_buf_put_le32(out, 0);
		start = out->len;
		rc = cu_repr_ops_numeric.put_key(cu_type_builtin(CU_NUMERICOID), NULL, &datum, out);
		if (rc == 0 && !cu_buf_failed(out)) {
			uint32_t len = (uint32_t)(out->len - start);

			/* Not read back, so any order of its bytes does. */
			memcpy(out->data + start - sizeof len, &len, sizeof len);
		}
		break;
	case CU_JSONB_BOOL: cu_buf_putc(out, (char)jsonb->boolean); break;
	case CU_JSONB_ARRAY:
		cu_buf_put_varint(out, jsonb->len);
		for (uint32_t i = 0; rc == 0 && i < jsonb->len; i++)
			rc = put_key(&jsonb->elements[i], out);
		break;
	case CU_JSONB_OBJECT:
		cu_buf_put_varint(out, jsonb->len);
		for (uint32_t i = 0; rc == 0 && i < jsonb->len; i++) {
			cu_buf_put_varint(out, jsonb->pairs[i].key_len);
			cu_buf_append(out, jsonb->pairs[i].key, jsonb->pairs[i].key_len);
			rc = put_key(&jsonb->pairs[i].value, out);
		}
		break;
	}
	return rc;
}

static int jsonb_in(const struct cu_type *type, int32_t typmod, const char *text, size_t len, cu_arena *arena,
		    struct cu_datum *ret_datum, struct cu_value_error *err)
{
	struct cu_jsonb *jsonb = cu_arena_alloc(arena, sizeof *jsonb);
	int rc;

	(void)type;
	(void)typmod;
	if (!jsonb)
		return CU_ENOMEM;
	rc = cu_jsonb_parse(text, len, arena, jsonb, err);
	if (rc == 0)
		*ret_datum = (struct cu_datum){ .jsonb = jsonb };
	return rc;
}

static int jsonb_out(const struct cu_type *type, const struct cu_datum *datum, cu_buf *out)
{
	(void)type;
	return cu_jsonb_put(datum->jsonb, out);
}

static int jsonb_compare(const struct cu_type *type, const struct cu_collation *collation, const struct cu_datum *a,
			 const struct cu_datum *b)
{
	(void)type;
	return cu_jsonb_compare(a->jsonb, b->jsonb, collation);
}

static int jsonb_put_key(const struct cu_type *type, const struct cu_collation *collation, const struct cu_datum *datum,
			 cu_buf *out)
{
	int rc;

	(void)type;
	(void)collation;
	rc = put_key(datum->jsonb, out);
	return rc == 0 && cu_buf_failed(out) ? CU_ENOMEM : rc;
}

const struct cu_repr_ops cu_repr_ops_jsonb = {
	.in = jsonb_in,
	.out = jsonb_out,
	.compare = jsonb_compare,
	.put_key = jsonb_put_key,
};
