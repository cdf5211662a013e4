#include "value/internal.h"

#include <strings.h>

/* Postgres' parse_bool: a unique prefix of a word, in any case. */
static bool parse_bool(const char *text, size_t len, bool *ret_value)
{
	static const struct {
		const char *word;
		size_t len_min;
		bool value;
	} words[] = {
		{ "true", 1, true }, { "false", 1, false }, { "yes", 1, true }, { "no", 1, false },
		{ "on", 2, true },   { "off", 2, false },   { "1", 1, true },   { "0", 1, false },
	};

	for (size_t i = 0; i < CU_ARRAY_LEN(words); i++) {
		if (len >= words[i].len_min && len <= strlen(words[i].word) &&
		    strncasecmp(text, words[i].word, len) == 0) {
			*ret_value = words[i].value;
			return true;
		}
	}
	return false;
}

static int bool_in(const struct cu_type *type, int32_t typmod, const char *text, size_t len, cu_arena *arena,
		   struct cu_datum *ret_datum, struct cu_value_error *err)
{
	size_t from = 0, to = len;
	bool value;

	(void)type, (void)typmod, (void)arena;
	while (from < to && cu_value_is_space(text[from]))
		from++;
	while (to > from && cu_value_is_space(text[to - 1]))
		to--;
	if (!parse_bool(text + from, to - from, &value))
		return cu_value_fail_syntax(err, "boolean", text, len);
	*ret_datum = (struct cu_datum){ .boolean = value };
	return 0;
}

static int bool_out(const struct cu_type *type, const struct cu_datum *datum, cu_buf *out)
{
	(void)type;
	cu_buf_putc(out, datum->boolean ? 't' : 'f');
	return cu_buf_failed(out) ? CU_ENOMEM : 0;
}

static int bool_compare(const struct cu_type *type, const struct cu_collation *collation, const struct cu_datum *a,
			const struct cu_datum *b)
{
	(void)type, (void)collation;
	return (int)a->boolean - (int)b->boolean;
}

static int bool_put_key(const struct cu_type *type, const struct cu_collation *collation, const struct cu_datum *datum,
			cu_buf *out)
{
	(void)collation;
	return bool_out(type, datum, out);
}

const struct cu_repr_ops cu_repr_ops_bool = {
	.in = bool_in,
	.out = bool_out,
	.compare = bool_compare,
	.put_key = bool_put_key,
};

#define COMPARISON(function, op)                                                                                 \
	static int function(const struct cu_function_call *call, struct cu_datum *ret)                           \
	{                                                                                                        \
		*ret = (struct cu_datum){ .boolean = (int)call->args[0].boolean op(int) call->args[1].boolean }; \
		return 0;                                                                                        \
	}

COMPARISON(booleq, ==)
COMPARISON(boolne, !=)
COMPARISON(boollt, <)
COMPARISON(boolle, <=)
COMPARISON(boolgt, >)
COMPARISON(boolge, >=)

static int btboolcmp(const struct cu_function_call *call, struct cu_datum *ret)
{
	*ret = (struct cu_datum){ .integer = (int)call->args[0].boolean - (int)call->args[1].boolean };
	return 0;
}

static int bool_int4(const struct cu_function_call *call, struct cu_datum *ret)
{
	*ret = (struct cu_datum){ .integer = call->args[0].boolean };
	return 0;
}

static int int4_bool(const struct cu_function_call *call, struct cu_datum *ret)
{
	*ret = (struct cu_datum){ .boolean = (int32_t)call->args[0].integer != 0 };
	return 0;
}

static int booltext(const struct cu_function_call *call, struct cu_datum *ret)
{
	bool value = call->args[0].boolean;

	*ret = (struct cu_datum){ .bytes = value ? "true" : "false", .len = value ? 4 : 5 };
	return 0;
}

static const struct cu_function_entry bool_entries[] = {
	{ "booleq", booleq },       { "boolne", boolne },     { "boollt", boollt },       { "boolle", boolle },
	{ "boolgt", boolgt },       { "boolge", boolge },     { "btboolcmp", btboolcmp }, { "bool_int4", bool_int4 },
	{ "int4_bool", int4_bool }, { "booltext", booltext },
};

CU_FUNCTION_TABLE(cu_functions_bool, bool_entries);
