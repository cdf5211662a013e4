/* conditions.c: whether a row meets the conditions that the router would index. Written from expr.h alone. */
#include "where.h"

#include "value/array.h"

/* The column's value as one of the condition's type: where the two types hold their values differently, through text. */
static bool value_of(struct cu_expr_row *row, const struct cu_type *from, const struct cu_type *to,
		     const struct cu_datum *datum, struct cu_datum *ret)
{
	cu_buf text = CU_BUF_INIT;
	bool ok;

	if (from->repr == to->repr || to->repr == CU_REPR_NONE) {
		*ret = *datum;
		return true;
	}
	CU_ASSERT(cu_value_out(from, datum, &text) == 0);
	ok = cu_value_in(to, -1, cu_arena_copy(&row->arena, text.data, text.len), text.len, &row->arena, ret, NULL) ==
	     0;
	cu_buf_fini(&text);
	return ok;
}

/* By the key that an index would have; the order need not agree with it (citext under a nondeterministic collation). */
static bool equal(const struct cu_condition *c, const struct cu_datum *a, const struct cu_datum *b)
{
	cu_buf keys[2] = { CU_BUF_INIT, CU_BUF_INIT };
	bool same;

	if (cu_value_put_key(c->type, c->collation, a, &keys[0]) == 0 &&
	    cu_value_put_key(c->type, c->collation, b, &keys[1]) == 0)
		same = keys[0].len == keys[1].len &&
		       (keys[0].len == 0 || memcmp(keys[0].data, keys[1].data, keys[0].len) == 0);
	else
		same = cu_value_compare(c->type, c->collation, a, b) == 0;
	cu_buf_fini(&keys[0]);
	cu_buf_fini(&keys[1]);
	return same;
}

static bool is_among(const struct cu_condition *c, const struct cu_datum *datum)
{
	for (size_t i = 0; i < c->values_len; i++)
		if (equal(c, datum, &c->values[i]))
			return true;
	return false;
}

static bool in_range(const struct cu_condition *c, const struct cu_datum *datum)
{
	const struct cu_datum *bound = c->values;
	int order;

	if (c->has_lower) {
		order = cu_value_compare(c->type, c->collation, datum, bound++);
		if (order < 0 || (order == 0 && !c->lower_inclusive))
			return false;
	}
	if (c->has_upper) {
		order = cu_value_compare(c->type, c->collation, datum, bound);
		if (order > 0 || (order == 0 && !c->upper_inclusive))
			return false;
	}
	return true;
}

static bool array_has(struct cu_expr_row *row, const struct cu_condition *c, const struct cu_type *elem,
		      const struct cu_array *array, const struct cu_datum *wanted)
{
	for (uint32_t i = 0; i < array->len; i++) {
		struct cu_datum one;

		if (!array->elems[i].is_null && value_of(row, elem, c->type, &array->elems[i], &one) &&
		    equal(c, &one, wanted))
			return true;
	}
	return false;
}

static bool array_holds(struct cu_expr_row *row, const struct cu_condition *c, const struct cu_type *elem,
			const struct cu_array *array)
{
	bool all = c->kind == CU_COND_CONTAINS;

	for (size_t i = 0; i < c->values_len; i++)
		if (array_has(row, c, elem, array, &c->values[i]) != all)
			return !all;
	return all;
}

static bool holds(const struct world *world, const struct cu_condition *c, struct cu_expr_row *row)
{
	const struct cu_datum *datum;
	const struct cu_type *type;
	struct cu_datum value;

	if (c->kind == CU_COND_ANY) {
		for (size_t i = 0; i < c->alternatives_len; i++)
			if (w_conditions_hold(world, &c->alternatives[i], row))
				return true;
		return false;
	}
	if (cu_expr_row_column(row, c->column, &datum, NULL) != 0)
		return false;
	if (c->kind == CU_COND_NULL)
		return datum->is_null;
	if (datum->is_null)
		return false;
	type = w_engine_type(world, world->columns[c->column].type);
	if (c->kind == CU_COND_CONTAINS || c->kind == CU_COND_OVERLAPS)
		return array_holds(row, c, type->elem, datum->array);
	if (!value_of(row, type, c->type, datum, &value))
		return false;
	switch (c->kind) {
	case CU_COND_EQUAL: return is_among(c, &value);
	case CU_COND_RANGE: return in_range(c, &value);
	default:
		CU_ASSERT(c->kind == CU_COND_PREFIX);
		return value.len >= c->values[0].len && memcmp(value.bytes, c->values[0].bytes, c->values[0].len) == 0;
	}
}

bool w_conditions_hold(const struct world *world, const struct cu_conditions *conditions, struct cu_expr_row *row)
{
	for (size_t i = 0; i < conditions->all_len; i++)
		if (!holds(world, &conditions->all[i], row))
			return false;
	return true;
}
