#include "value/internal.h"

/* Where a label stands. Linear: enums are short, and constants are read once. */
static int enum_in(const struct cu_type *type, int32_t typmod, const char *text, size_t len, cu_arena *arena,
		   struct cu_datum *ret_datum, struct cu_value_error *err)
{
	(void)typmod, (void)arena;
	for (unsigned i = 0; i < type->labels_len; i++) {
		if (strlen(type->labels[i]) == len && memcmp(type->labels[i], text, len) == 0) {
			*ret_datum = (struct cu_datum){ .integer = i };
			return 0;
		}
	}
	return cu_value_fail(err, "22P02", "invalid input value for enum %s: \"%.*s\"", type->name,
			     (int)CU_MIN(len, 1024), text);
}

static int enum_out(const struct cu_type *type, const struct cu_datum *datum, cu_buf *out)
{
	CU_ASSERT(datum->integer >= 0 && datum->integer < type->labels_len);
	cu_buf_puts(out, type->labels[datum->integer]);
	return cu_buf_failed(out) ? CU_ENOMEM : 0;
}

static int order(const struct cu_datum *a, const struct cu_datum *b)
{
	return (a->integer > b->integer) - (a->integer < b->integer);
}

static int enum_compare(const struct cu_type *type, const struct cu_collation *collation, const struct cu_datum *a,
			const struct cu_datum *b)
{
	(void)type, (void)collation;
	return order(a, b);
}

static int enum_put_key(const struct cu_type *type, const struct cu_collation *collation, const struct cu_datum *datum,
			cu_buf *out)
{
	(void)type, (void)collation;
	cu_buf_put_le32(out, (uint32_t)datum->integer);
	return cu_buf_failed(out) ? CU_ENOMEM : 0;
}

const struct cu_repr_ops cu_repr_ops_enum = {
	.in = enum_in,
	.out = enum_out,
	.compare = enum_compare,
	.put_key = enum_put_key,
};

#define COMPARISON(function, op)                                                                   \
	static int function(const struct cu_function_call *call, struct cu_datum *ret)             \
	{                                                                                          \
		*ret = (struct cu_datum){ .boolean = order(&call->args[0], &call->args[1]) op 0 }; \
		return 0;                                                                          \
	}

COMPARISON(enum_eq, ==)
COMPARISON(enum_ne, !=)
COMPARISON(enum_lt, <)
COMPARISON(enum_le, <=)
COMPARISON(enum_gt, >)
COMPARISON(enum_ge, >=)

static int enum_cmp(const struct cu_function_call *call, struct cu_datum *ret)
{
	*ret = (struct cu_datum){ .integer = order(&call->args[0], &call->args[1]) };
	return 0;
}

static int enum_larger(const struct cu_function_call *call, struct cu_datum *ret)
{
	*ret = call->args[order(&call->args[0], &call->args[1]) > 0 ? 0 : 1];
	return 0;
}

static int enum_smaller(const struct cu_function_call *call, struct cu_datum *ret)
{
	*ret = call->args[order(&call->args[0], &call->args[1]) < 0 ? 0 : 1];
	return 0;
}

static const struct cu_function_entry enum_entries[] = {
	{ "enum_eq", enum_eq },   { "enum_ne", enum_ne },         { "enum_lt", enum_lt },
	{ "enum_le", enum_le },   { "enum_gt", enum_gt },         { "enum_ge", enum_ge },
	{ "enum_cmp", enum_cmp }, { "enum_larger", enum_larger }, { "enum_smaller", enum_smaller },
};

CU_FUNCTION_TABLE(cu_functions_enum, enum_entries);
