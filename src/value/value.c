/* value.c: the dispatch by representation. */
#include "value/internal.h"

static const struct cu_repr_ops *const ops_table[] = {
	[CU_REPR_BOOL] = &cu_repr_ops_bool,
	[CU_REPR_INT] = &cu_repr_ops_int,
	[CU_REPR_FLOAT4] = &cu_repr_ops_float4,
	[CU_REPR_FLOAT8] = &cu_repr_ops_float8,
	[CU_REPR_NUMERIC] = &cu_repr_ops_numeric,
	[CU_REPR_TEXT] = &cu_repr_ops_text,
	[CU_REPR_BYTEA] = &cu_repr_ops_bytea,
	[CU_REPR_UUID] = &cu_repr_ops_uuid,
	[CU_REPR_DATE] = &cu_repr_ops_date,
	[CU_REPR_TIME] = &cu_repr_ops_time,
	[CU_REPR_TIMETZ] = &cu_repr_ops_timetz,
	[CU_REPR_TIMESTAMP] = &cu_repr_ops_timestamp,
	[CU_REPR_TIMESTAMPTZ] = &cu_repr_ops_timestamptz,
	[CU_REPR_INTERVAL] = &cu_repr_ops_interval,
	[CU_REPR_ENUM] = &cu_repr_ops_enum,
	[CU_REPR_JSON] = &cu_repr_ops_json,
	[CU_REPR_JSONB] = &cu_repr_ops_jsonb,
	[CU_REPR_ARRAY] = &cu_repr_ops_array,
};

static const struct cu_repr_ops *ops_of(const struct cu_type *type)
{
	CU_ASSERT(type->repr > CU_REPR_NONE && (size_t)type->repr < CU_ARRAY_LEN(ops_table));
	return ops_table[type->repr];
}

int cu_value_in(const struct cu_type *type, int32_t typmod, const char *text, size_t len, cu_arena *arena,
		struct cu_datum *ret_datum, struct cu_value_error *err)
{
	/* A datum counts its bytes in 32 bits; Postgres' own limit is 1 GB. */
	if (len > INT32_MAX)
		return cu_value_fail(err, "54000", "value is too long");
	return ops_of(type)->in(type, typmod, text, len, arena, ret_datum, err);
}

int cu_value_out(const struct cu_type *type, const struct cu_datum *datum, cu_buf *out)
{
	CU_ASSERT(!datum->is_null);
	return ops_of(type)->out(type, datum, out);
}

int cu_value_typmod(const struct cu_type *type, int32_t typmod, bool is_explicit, cu_arena *arena,
		    struct cu_datum *datum, struct cu_value_error *err)
{
	const struct cu_repr_ops *ops = ops_of(type);

	if (typmod == -1 || datum->is_null || !ops->typmod)
		return 0;
	return ops->typmod(type, typmod, is_explicit, arena, datum, err);
}

int cu_value_compare(const struct cu_type *type, const struct cu_collation *collation, const struct cu_datum *a,
		     const struct cu_datum *b)
{
	const struct cu_repr_ops *ops = ops_of(type);

	CU_ASSERT(ops->compare && !a->is_null && !b->is_null);
	return ops->compare(type, collation, a, b);
}

bool cu_value_order_word(const struct cu_type *type, const struct cu_datum *datum, int64_t *ret_word)
{
	CU_ASSERT(!datum->is_null);
	switch (type->repr) {
	case CU_REPR_INT: *ret_word = cu_int_value(type, datum); return true;
	case CU_REPR_DATE:
	case CU_REPR_TIME:
	case CU_REPR_TIMESTAMP:
	case CU_REPR_TIMESTAMPTZ:
	case CU_REPR_ENUM: *ret_word = datum->integer; return true;
	default: return false;
	}
}

int cu_value_put_key(const struct cu_type *type, const struct cu_collation *collation, const struct cu_datum *datum,
		     cu_buf *out)
{
	const struct cu_repr_ops *ops = ops_of(type);

	CU_ASSERT(!datum->is_null);
	return ops->put_key ? ops->put_key(type, collation, datum, out) : CU_EUNSUPPORTED;
}
