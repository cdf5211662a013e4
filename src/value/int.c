/* int.c: smallint, integer, bigint, oid and "char", and the functions over them.
 *
 * A function reads its arguments through the C type of the SQL type (INT2(0) …): a cast that Postgres calls binary
 * coercible (integer to oid) then needs no work at all.
 */
#include "value/internal.h"

#include <ctype.h>
#include <stdio.h>

typedef __int128 wide;

/* What differs between the types. */
struct width {
	const char *name;
	wide min, max;
};

static const struct width int2_width = { "smallint", INT16_MIN, INT16_MAX };
static const struct width int4_width = { "integer", INT32_MIN, INT32_MAX };
static const struct width int8_width = { "bigint", INT64_MIN, INT64_MAX };

static int fail_width(const struct width *width, const char *text, size_t len, struct cu_value_error *err)
{
	char fmt[80];

	snprintf(fmt, sizeof fmt, "value \"%%s\" is out of range for type %s", width->name);
	return cu_value_fail_text(err, "22003", fmt, text, len);
}

static int parse_int(const struct width *width, const char *text, size_t len, struct cu_datum *ret_datum,
		     struct cu_value_error *err)
{
	const char *at = text, *end = text + len;
	bool negative = false;
	wide value = 0;

	while (at < end && cu_value_is_space(*at))
		at++;
	if (at < end && (*at == '-' || *at == '+'))
		negative = *at++ == '-';
	if (at == end || !isdigit((unsigned char)*at))
		return cu_value_fail_number(err, width->name, text, len);
	/* Too large is said before anything about what follows the digits. */
	for (; at < end && isdigit((unsigned char)*at); at++) {
		value = value * 10 + (*at - '0');
		if (value > -width->min)
			return fail_width(width, text, len, err);
	}
	while (at < end && cu_value_is_space(*at))
		at++;
	if (at < end)
		return cu_value_fail_number(err, width->name, text, len);
	if (negative)
		value = -value;
	if (value > width->max)
		return fail_width(width, text, len, err);
	*ret_datum = (struct cu_datum){ .integer = (int64_t)value };
	return 0;
}

/* oidin: strtoul(), and a number that fits as a signed one wraps around. */
static int parse_oid(const char *text, size_t len, struct cu_datum *ret_datum, struct cu_value_error *err)
{
	static const struct width width = { "oid", 0, UINT32_MAX };
	const char *at = text, *end = text + len;
	bool negative = false, huge = false;
	uint64_t value = 0;

	while (at < end && cu_value_is_space(*at))
		at++;
	if (at < end && (*at == '-' || *at == '+'))
		negative = *at++ == '-';
	if (at == end || !isdigit((unsigned char)*at))
		return cu_value_fail_number(err, width.name, text, len);
	if (*at == '0' && at + 1 < end && isdigit((unsigned char)at[1]))
		return cu_value_fail_text(
			err, "0A000", "leading zeros in type oid are not supported, Postgres' versions differ: \"%s\"",
			text, len); /* octal since 16 */
	for (; at < end && isdigit((unsigned char)*at); at++)
		huge |= __builtin_mul_overflow(value, 10, &value) ||
			__builtin_add_overflow(value, (uint64_t)(*at - '0'), &value);
	if (huge)
		return fail_width(&width, text, len, err);
	while (at < end && cu_value_is_space(*at))
		at++;
	if (at < end)
		return cu_value_fail_number(err, width.name, text, len);
	if (negative)
		value = -value;
	if (value != (uint32_t)value && value != (uint64_t)(int64_t)(int32_t)value)
		return fail_width(&width, text, len, err);
	*ret_datum = (struct cu_datum){ .integer = (uint32_t)value };
	return 0;
}

static bool is_octal(char c)
{
	return c >= '0' && c <= '7';
}

/* charin: one byte, or \ooo for one above 127; whatever follows is dropped, nothing is the zero byte. */
static int64_t parse_char(const char *text, size_t len)
{
	if (len == 4 && text[0] == '\\' && is_octal(text[1]) && is_octal(text[2]) && is_octal(text[3]))
		return (int8_t)(uint8_t)((text[1] - '0') * 64 + (text[2] - '0') * 8 + (text[3] - '0'));
	return len ? (int8_t)text[0] : 0;
}

static int int_in(const struct cu_type *type, int32_t typmod, const char *text, size_t len, cu_arena *arena,
		  struct cu_datum *ret_datum, struct cu_value_error *err)
{
	(void)typmod, (void)arena;
	switch (type->oid) {
	case CU_INT2OID: return parse_int(&int2_width, text, len, ret_datum, err);
	case CU_INT4OID: return parse_int(&int4_width, text, len, ret_datum, err);
	case CU_OIDOID: return parse_oid(text, len, ret_datum, err);
	case CU_CHAROID: *ret_datum = (struct cu_datum){ .integer = parse_char(text, len) }; return 0;
	default: return parse_int(&int8_width, text, len, ret_datum, err);
	}
}

/* The value as the type has it: see above about binary coercible types. */
int64_t cu_int_value(const struct cu_type *type, const struct cu_datum *datum)
{
	switch (type->oid) {
	case CU_INT2OID: return (int16_t)datum->integer;
	case CU_INT4OID: return (int32_t)datum->integer;
	case CU_OIDOID: return (uint32_t)datum->integer;
	case CU_CHAROID: return (uint8_t)datum->integer; /* which is how its operators see it */
	default: return datum->integer;
	}
}

static void put_char(uint8_t value, cu_buf *out)
{
	if (value & 0x80) {
		cu_buf_putc(out, '\\');
		cu_buf_putc(out, (char)('0' + (value >> 6)));
		cu_buf_putc(out, (char)('0' + (value >> 3 & 7)));
		cu_buf_putc(out, (char)('0' + (value & 7)));
	} else if (value) {
		cu_buf_putc(out, (char)value);
	}
}

static int int_out(const struct cu_type *type, const struct cu_datum *datum, cu_buf *out)
{
	int64_t value = cu_int_value(type, datum);

	if (type->oid == CU_CHAROID) {
		put_char((uint8_t)value, out);
	} else {
		if (value < 0)
			cu_buf_putc(out, '-');
		cu_buf_put_u64(out, value < 0 ? -(uint64_t)value : (uint64_t)value);
	}
	return cu_buf_failed(out) ? CU_ENOMEM : 0;
}

static int int_compare(const struct cu_type *type, const struct cu_collation *collation, const struct cu_datum *a,
		       const struct cu_datum *b)
{
	int64_t left = cu_int_value(type, a), right = cu_int_value(type, b);

	(void)collation;
	return (left > right) - (left < right);
}

/* The same eight bytes whatever the width. */
static int int_put_key(const struct cu_type *type, const struct cu_collation *collation, const struct cu_datum *datum,
		       cu_buf *out)
{
	(void)collation;
	cu_buf_put_le64(out, (uint64_t)cu_int_value(type, datum));
	return cu_buf_failed(out) ? CU_ENOMEM : 0;
}

const struct cu_repr_ops cu_repr_ops_int = {
	.in = int_in,
	.out = int_out,
	.compare = int_compare,
	.put_key = int_put_key,
};

#define CALL const struct cu_function_call *call, struct cu_datum *ret
#define ARG(ctype, n) ((ctype)call->args[n].integer)

static int fail_range(struct cu_value_error *err, const char *name)
{
	return cu_value_fail(err, "22003", "%s out of range", name);
}

static int fail_zero(struct cu_value_error *err)
{
	return cu_value_fail(err, "22012", "division by zero");
}

static int give(struct cu_datum *ret, int64_t value)
{
	*ret = (struct cu_datum){ .integer = value };
	return 0;
}

static int give_bool(struct cu_datum *ret, bool value)
{
	*ret = (struct cu_datum){ .boolean = value };
	return 0;
}

/* The value when it fits. */
static int give_fit(const struct cu_function_call *call, struct cu_datum *ret, wide value, wide min, wide max,
		    const char *name)
{
	if (value < min || value > max)
		return fail_range(call->err, name);
	return give(ret, (int64_t)value);
}

#define COMPARISON(function, a, b, op)                                     \
	static int function(CALL)                                          \
	{                                                                  \
		return give_bool(ret, (wide)ARG(a, 0) op(wide) ARG(b, 1)); \
	}

#define COMPARISONS(prefix, a, b)        \
	COMPARISON(prefix##eq, a, b, ==) \
	COMPARISON(prefix##ne, a, b, !=) \
	COMPARISON(prefix##lt, a, b, <)  \
	COMPARISON(prefix##le, a, b, <=) \
	COMPARISON(prefix##gt, a, b, >)  \
	COMPARISON(prefix##ge, a, b, >=)

#define ORDER(function, a, b)                                      \
	static int function(CALL)                                  \
	{                                                          \
		wide left = ARG(a, 0), right = ARG(b, 1);          \
                                                                   \
		return give(ret, (left > right) - (left < right)); \
	}

/* The narrow types' support functions give the difference itself. */
#define ORDER_BY_DIFFERENCE(function, a)                           \
	static int function(CALL)                                  \
	{                                                          \
		return give(ret, (int)ARG(a, 0) - (int)ARG(a, 1)); \
	}

#define OPERATION(function, a, b, r, op)                                                                     \
	static int function(CALL)                                                                            \
	{                                                                                                    \
		return give_fit(call, ret, (wide)ARG(a, 0) op(wide) ARG(b, 1), r##_width.min, r##_width.max, \
				r##_width.name);                                                             \
	}

#define DIVISION(function, a, b, r)                                                                         \
	static int function(CALL)                                                                           \
	{                                                                                                   \
		if (ARG(b, 1) == 0)                                                                         \
			return fail_zero(call->err);                                                        \
		return give_fit(call, ret, (wide)ARG(a, 0) / (wide)ARG(b, 1), r##_width.min, r##_width.max, \
				r##_width.name);                                                            \
	}

#define ARITHMETIC(prefix, a, b, r)        \
	OPERATION(prefix##pl, a, b, r, +)  \
	OPERATION(prefix##mi, a, b, r, -)  \
	OPERATION(prefix##mul, a, b, r, *) \
	DIVISION(prefix##div, a, b, r)

/* What each type has with itself alone. Bits: the wide shift count is masked as the machine's instruction does it. */
#define OWN(prefix, t, r, unsigned_t, shift_mask)                                                                     \
	static int prefix##mod(CALL)                                                                                  \
	{                                                                                                             \
		if (ARG(t, 1) == 0)                                                                                   \
			return fail_zero(call->err);                                                                  \
		return give(ret, (int64_t)((wide)ARG(t, 0) % (wide)ARG(t, 1)));                                       \
	}                                                                                                             \
	static int prefix##um(CALL)                                                                                   \
	{                                                                                                             \
		return give_fit(call, ret, -(wide)ARG(t, 0), r##_width.min, r##_width.max, r##_width.name);           \
	}                                                                                                             \
	static int prefix##abs(CALL)                                                                                  \
	{                                                                                                             \
		wide value = ARG(t, 0);                                                                               \
                                                                                                                      \
		return give_fit(call, ret, value < 0 ? -value : value, r##_width.min, r##_width.max, r##_width.name); \
	}                                                                                                             \
	static int prefix##up(CALL)                                                                                   \
	{                                                                                                             \
		return give(ret, ARG(t, 0));                                                                          \
	}                                                                                                             \
	static int prefix## and (CALL)                                                                                \
	{                                                                                                             \
		return give(ret, ARG(t, 0) & ARG(t, 1));                                                              \
	}                                                                                                             \
	static int prefix## or (CALL)                                                                                 \
	{                                                                                                             \
		return give(ret, ARG(t, 0) | ARG(t, 1));                                                              \
	}                                                                                                             \
	static int prefix## xor (CALL) { return give(ret, ARG(t, 0) ^ ARG(t, 1)); } static int prefix##not(CALL)      \
	{                                                                                                             \
		return give(ret, ~ARG(t, 0));                                                                         \
	}                                                                                                             \
	static int prefix##shl(CALL)                                                                                  \
	{                                                                                                             \
		return give(ret, (t)((unsigned_t)ARG(t, 0) << (ARG(int32_t, 1) & (shift_mask))));                     \
	}                                                                                                             \
	static int prefix##shr(CALL)                                                                                  \
	{                                                                                                             \
		return give(ret, ARG(t, 0) >> (ARG(int32_t, 1) & (shift_mask)));                                      \
	}                                                                                                             \
	static int prefix##larger(CALL)                                                                               \
	{                                                                                                             \
		return give(ret, CU_MAX(ARG(t, 0), ARG(t, 1)));                                                       \
	}                                                                                                             \
	static int prefix##smaller(CALL)                                                                              \
	{                                                                                                             \
		return give(ret, CU_MIN(ARG(t, 0), ARG(t, 1)));                                                       \
	}

COMPARISONS(int2, int16_t, int16_t)
COMPARISONS(int4, int32_t, int32_t)
COMPARISONS(int8, int64_t, int64_t)
COMPARISONS(int24, int16_t, int32_t)
COMPARISONS(int42, int32_t, int16_t)
COMPARISONS(int28, int16_t, int64_t)
COMPARISONS(int82, int64_t, int16_t)
COMPARISONS(int48, int32_t, int64_t)
COMPARISONS(int84, int64_t, int32_t)
COMPARISONS(oid, uint32_t, uint32_t)
COMPARISONS(char, uint8_t, uint8_t)
ORDER_BY_DIFFERENCE(btint2cmp, int16_t)
ORDER_BY_DIFFERENCE(btcharcmp, uint8_t)
ORDER(btint4cmp, int32_t, int32_t)
ORDER(btint8cmp, int64_t, int64_t)
ORDER(btoidcmp, uint32_t, uint32_t)
ORDER(btint24cmp, int16_t, int32_t)
ORDER(btint42cmp, int32_t, int16_t)
ORDER(btint28cmp, int16_t, int64_t)
ORDER(btint82cmp, int64_t, int16_t)
ORDER(btint48cmp, int32_t, int64_t)
ORDER(btint84cmp, int64_t, int32_t)
ARITHMETIC(int2, int16_t, int16_t, int2)
ARITHMETIC(int4, int32_t, int32_t, int4)
ARITHMETIC(int8, int64_t, int64_t, int8)
ARITHMETIC(int24, int16_t, int32_t, int4)
ARITHMETIC(int42, int32_t, int16_t, int4)
ARITHMETIC(int28, int16_t, int64_t, int8)
ARITHMETIC(int82, int64_t, int16_t, int8)
ARITHMETIC(int48, int32_t, int64_t, int8)
ARITHMETIC(int84, int64_t, int32_t, int8)
OWN(int2, int16_t, int2, uint32_t, 31)
OWN(int4, int32_t, int4, uint32_t, 31)
OWN(int8, int64_t, int8, uint64_t, 63)

static int oidlarger(CALL)
{
	return give(ret, CU_MAX(ARG(uint32_t, 0), ARG(uint32_t, 1)));
}

static int oidsmaller(CALL)
{
	return give(ret, CU_MIN(ARG(uint32_t, 0), ARG(uint32_t, 1)));
}

static wide magnitude(int64_t value)
{
	return value < 0 ? -(wide)value : value;
}

static wide common_divisor(wide a, wide b)
{
	while (b) {
		wide rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

static int divisor_of(CALL, const struct width *width)
{
	wide a = magnitude(call->args[0].integer), b = magnitude(call->args[1].integer);

	return give_fit(call, ret, common_divisor(a, b), width->min, width->max, width->name);
}

static int multiple_of(CALL, const struct width *width)
{
	wide a = magnitude(call->args[0].integer), b = magnitude(call->args[1].integer);

	if (!a || !b)
		return give(ret, 0);
	return give_fit(call, ret, a / common_divisor(a, b) * b, width->min, width->max, width->name);
}

static int int4gcd(CALL)
{
	return divisor_of(call, ret, &int4_width);
}

static int int8gcd(CALL)
{
	return divisor_of(call, ret, &int8_width);
}

static int int4lcm(CALL)
{
	return multiple_of(call, ret, &int4_width);
}

static int int8lcm(CALL)
{
	return multiple_of(call, ret, &int8_width);
}

/* Casts. */
static int i2toi4(CALL)
{
	return give(ret, ARG(int16_t, 0));
}

static int int28(CALL)
{
	return give(ret, ARG(int16_t, 0));
}

static int int48(CALL)
{
	return give(ret, ARG(int32_t, 0));
}

static int oidtoi8(CALL)
{
	return give(ret, ARG(uint32_t, 0));
}

static int chartoi4(CALL)
{
	return give(ret, ARG(int8_t, 0));
}

static int i4toi2(CALL)
{
	return give_fit(call, ret, ARG(int32_t, 0), INT16_MIN, INT16_MAX, "smallint");
}

static int int82(CALL)
{
	return give_fit(call, ret, ARG(int64_t, 0), INT16_MIN, INT16_MAX, "smallint");
}

static int int84(CALL)
{
	return give_fit(call, ret, ARG(int64_t, 0), INT32_MIN, INT32_MAX, "integer");
}

static int i8tooid(CALL)
{
	return give_fit(call, ret, ARG(int64_t, 0), 0, UINT32_MAX, "OID");
}

static int i4tochar(CALL)
{
	return give_fit(call, ret, ARG(int32_t, 0), INT8_MIN, INT8_MAX, "\"char\"");
}

static int char_text(CALL)
{
	cu_buf text = CU_BUF_INIT;
	const char *copy;

	put_char(ARG(uint8_t, 0), &text);
	copy = cu_buf_failed(&text) ? NULL : cu_arena_copy(call->arena, text.data, text.len);
	if (copy)
		*ret = (struct cu_datum){ .bytes = copy, .len = (uint32_t)text.len };
	cu_buf_fini(&text);
	return copy ? 0 : CU_ENOMEM;
}

static int text_char(CALL)
{
	return give(ret, parse_char(call->args[0].bytes, call->args[0].len));
}

static int hex_text(CALL, uint64_t value)
{
	char text[17];
	int len = snprintf(text, sizeof text, "%" PRIx64, value);
	const char *copy = cu_arena_copy(call->arena, text, (size_t)len);

	if (!copy)
		return CU_ENOMEM;
	*ret = (struct cu_datum){ .bytes = copy, .len = (uint32_t)len };
	return 0;
}

static int to_hex32(CALL)
{
	return hex_text(call, ret, ARG(uint32_t, 0));
}

static int to_hex64(CALL)
{
	return hex_text(call, ret, ARG(uint64_t, 0));
}

#define ENTRY(function)             \
	{                           \
#function, function \
	}
#define COMPARISON_ENTRIES(prefix) \
	ENTRY(prefix##eq), ENTRY(prefix##ne), ENTRY(prefix##lt), ENTRY(prefix##le), ENTRY(prefix##gt), ENTRY(prefix##ge)
#define ARITHMETIC_ENTRIES(prefix) ENTRY(prefix##pl), ENTRY(prefix##mi), ENTRY(prefix##mul), ENTRY(prefix##div)
#define OWN_ENTRIES(prefix)                                                                                           \
	ENTRY(prefix##mod), ENTRY(prefix##um), ENTRY(prefix##abs), ENTRY(prefix##up), ENTRY(prefix##and),             \
		ENTRY(prefix## or), ENTRY(prefix## xor), ENTRY(prefix##not ), ENTRY(prefix##shl), ENTRY(prefix##shr), \
		ENTRY(prefix##larger), ENTRY(prefix##smaller)

static const struct cu_function_entry int_entries[] = {
	COMPARISON_ENTRIES(int2),
	COMPARISON_ENTRIES(int4),
	COMPARISON_ENTRIES(int8),
	COMPARISON_ENTRIES(int24),
	COMPARISON_ENTRIES(int42),
	COMPARISON_ENTRIES(int28),
	COMPARISON_ENTRIES(int82),
	COMPARISON_ENTRIES(int48),
	COMPARISON_ENTRIES(int84),
	COMPARISON_ENTRIES(oid),
	COMPARISON_ENTRIES(char),
	ENTRY(btint2cmp),
	ENTRY(btint4cmp),
	ENTRY(btint8cmp),
	ENTRY(btoidcmp),
	ENTRY(btcharcmp),
	ENTRY(btint24cmp),
	ENTRY(btint42cmp),
	ENTRY(btint28cmp),
	ENTRY(btint82cmp),
	ENTRY(btint48cmp),
	ENTRY(btint84cmp),
	ARITHMETIC_ENTRIES(int2),
	ARITHMETIC_ENTRIES(int4),
	ARITHMETIC_ENTRIES(int8),
	ARITHMETIC_ENTRIES(int24),
	ARITHMETIC_ENTRIES(int42),
	ARITHMETIC_ENTRIES(int28),
	ARITHMETIC_ENTRIES(int82),
	ARITHMETIC_ENTRIES(int48),
	ARITHMETIC_ENTRIES(int84),
	OWN_ENTRIES(int2),
	OWN_ENTRIES(int4),
	OWN_ENTRIES(int8),
	ENTRY(oidlarger),
	ENTRY(oidsmaller),
	ENTRY(int4gcd),
	ENTRY(int8gcd),
	ENTRY(int4lcm),
	ENTRY(int8lcm),
	ENTRY(i2toi4),
	ENTRY(int28),
	ENTRY(int48),
	ENTRY(oidtoi8),
	ENTRY(chartoi4),
	ENTRY(i4toi2),
	ENTRY(int82),
	ENTRY(int84),
	ENTRY(i8tooid),
	ENTRY(i4tochar),
	ENTRY(char_text),
	ENTRY(text_char),
	ENTRY(to_hex32),
	ENTRY(to_hex64),
};

CU_FUNCTION_TABLE(cu_functions_int, int_entries);
