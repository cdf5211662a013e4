#include "value/internal.h"

#define UUID_LEN 16

/* As Postgres reads it: optional braces around all of it, an optional hyphen after every second byte. No blanks. */
static int uuid_in(const struct cu_type *type, int32_t typmod, const char *text, size_t len, cu_arena *arena,
		   struct cu_datum *ret_datum, struct cu_value_error *err)
{
	const char *at = text, *end = text + len;
	bool braces = len > 0 && *at == '{';
	char bytes[UUID_LEN];
	const char *copy;

	(void)type, (void)typmod;
	if (braces)
		at++;
	for (int i = 0; i < UUID_LEN; i++) {
		int high = end - at >= 2 ? cu_hex_digit(at[0]) : -1, low = end - at >= 2 ? cu_hex_digit(at[1]) : -1;

		if (high < 0 || low < 0)
			return cu_value_fail_syntax(err, "uuid", text, len);
		bytes[i] = (char)(high << 4 | low);
		at += 2;
		if (at < end && *at == '-' && i % 2 == 1 && i < UUID_LEN - 1)
			at++;
	}
	if (braces && (at == end || *at++ != '}'))
		return cu_value_fail_syntax(err, "uuid", text, len);
	if (at != end)
		return cu_value_fail_syntax(err, "uuid", text, len);
	copy = cu_arena_copy(arena, bytes, UUID_LEN);
	if (!copy)
		return CU_ENOMEM;
	*ret_datum = (struct cu_datum){ .bytes = copy, .len = UUID_LEN };
	return 0;
}

static int uuid_out(const struct cu_type *type, const struct cu_datum *datum, cu_buf *out)
{
	static const char hex[] = "0123456789abcdef";

	(void)type;
	for (int i = 0; i < UUID_LEN; i++) {
		unsigned char byte = (unsigned char)datum->bytes[i];

		if (i == 4 || i == 6 || i == 8 || i == 10)
			cu_buf_putc(out, '-');
		cu_buf_putc(out, hex[byte >> 4]);
		cu_buf_putc(out, hex[byte & 15]);
	}
	return cu_buf_failed(out) ? CU_ENOMEM : 0;
}

static int uuid_compare(const struct cu_type *type, const struct cu_collation *collation, const struct cu_datum *a,
			const struct cu_datum *b)
{
	(void)type, (void)collation;
	return memcmp(a->bytes, b->bytes, UUID_LEN);
}

static int uuid_put_key(const struct cu_type *type, const struct cu_collation *collation, const struct cu_datum *datum,
			cu_buf *out)
{
	(void)type, (void)collation;
	cu_buf_append(out, datum->bytes, UUID_LEN);
	return cu_buf_failed(out) ? CU_ENOMEM : 0;
}

const struct cu_repr_ops cu_repr_ops_uuid = {
	.in = uuid_in,
	.out = uuid_out,
	.compare = uuid_compare,
	.put_key = uuid_put_key,
};

#define COMPARISON(function, op)                                                                                     \
	static int function(const struct cu_function_call *call, struct cu_datum *ret)                               \
	{                                                                                                            \
		*ret = (struct cu_datum){ .boolean =                                                                 \
						  memcmp(call->args[0].bytes, call->args[1].bytes, UUID_LEN) op 0 }; \
		return 0;                                                                                            \
	}

COMPARISON(uuid_eq, ==)
COMPARISON(uuid_ne, !=)
COMPARISON(uuid_lt, <)
COMPARISON(uuid_le, <=)
COMPARISON(uuid_gt, >)
COMPARISON(uuid_ge, >=)

/* uuid_cmp is left out: its number is whatever memcmp() of the server's libc makes of it. */
static const struct cu_function_entry uuid_entries[] = {
	{ "uuid_eq", uuid_eq }, { "uuid_ne", uuid_ne }, { "uuid_lt", uuid_lt },
	{ "uuid_le", uuid_le }, { "uuid_gt", uuid_gt }, { "uuid_ge", uuid_ge },
};

CU_FUNCTION_TABLE(cu_functions_uuid, uuid_entries);
