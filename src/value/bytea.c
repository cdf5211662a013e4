/* bytea.c: byte strings. Length is counted in bytes everywhere. */
#include "value/internal.h"

/* The length of the character at text, for a message that shows one. */
static size_t char_len(const char *text, const char *end)
{
	unsigned char lead = (unsigned char)*text;
	size_t len = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;

	return CU_MIN(len, (size_t)(end - text));
}

/* \x…: pairs of hex digits; blanks may stand between them. */
static int hex_in(const char *at, const char *end, char *out, size_t *ret_len, struct cu_value_error *err)
{
	size_t len = 0;

	while (at < end) {
		int high, low;

		if (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r') {
			at++;
			continue;
		}
		high = cu_hex_digit(*at);
		if (high < 0)
			return cu_value_fail_text(err, "22023", "invalid hexadecimal digit: \"%s\"", at,
						  char_len(at, end));
		if (++at == end)
			return cu_value_fail(err, "22023", "invalid hexadecimal data: odd number of digits");
		low = cu_hex_digit(*at);
		if (low < 0)
			return cu_value_fail_text(err, "22023", "invalid hexadecimal digit: \"%s\"", at,
						  char_len(at, end));
		at++;
		out[len++] = (char)(high << 4 | low);
	}
	*ret_len = len;
	return 0;
}

/* The old form: \\ is a backslash, \ooo a byte, everything else itself. */
static int escape_in(const char *at, const char *end, char *out, size_t *ret_len, struct cu_value_error *err)
{
	size_t len = 0;

	while (at < end) {
		if (*at != '\\') {
			out[len++] = *at++;
		} else if (end - at >= 4 && at[1] >= '0' && at[1] <= '3' && at[2] >= '0' && at[2] <= '7' &&
			   at[3] >= '0' && at[3] <= '7') {
			out[len++] = (char)((at[1] - '0') << 6 | (at[2] - '0') << 3 | (at[3] - '0'));
			at += 4;
		} else if (end - at >= 2 && at[1] == '\\') {
			out[len++] = '\\';
			at += 2;
		} else {
			return cu_value_fail(err, "22P02", "invalid input syntax for type bytea");
		}
	}
	*ret_len = len;
	return 0;
}

static int bytea_in(const struct cu_type *type, int32_t typmod, const char *text, size_t len, cu_arena *arena,
		    struct cu_datum *ret_datum, struct cu_value_error *err)
{
	char *bytes = cu_arena_alloc(arena, len ? len : 1);
	size_t bytes_len = 0;
	int rc;

	(void)type, (void)typmod;
	if (!bytes)
		return CU_ENOMEM;
	if (len >= 2 && text[0] == '\\' && text[1] == 'x')
		rc = hex_in(text + 2, text + len, bytes, &bytes_len, err);
	else
		rc = escape_in(text, text + len, bytes, &bytes_len, err);
	if (rc == 0)
		*ret_datum = (struct cu_datum){ .bytes = bytes, .len = (uint32_t)bytes_len };
	return rc;
}

static int bytea_out(const struct cu_type *type, const struct cu_datum *datum, cu_buf *out)
{
	static const char hex[] = "0123456789abcdef";
	size_t text_len = 2 + 2 * (size_t)datum->len;
	char *at;

	(void)type;
	if (!cu_buf_reserve(out, text_len))
		return CU_ENOMEM;
	at = out->data + out->len;
	*at++ = '\\';
	*at++ = 'x';
	for (uint32_t i = 0; i < datum->len; i++) {
		unsigned char byte = (unsigned char)datum->bytes[i];

		*at++ = hex[byte >> 4];
		*at++ = hex[byte & 15];
	}
	out->len += text_len;
	return 0;
}

static int order(const struct cu_datum *a, const struct cu_datum *b)
{
	uint32_t len = CU_MIN(a->len, b->len);
	int diff = len ? memcmp(a->bytes, b->bytes, len) : 0;

	return diff ? diff : (a->len > b->len) - (a->len < b->len);
}

static int bytea_compare(const struct cu_type *type, const struct cu_collation *collation, const struct cu_datum *a,
			 const struct cu_datum *b)
{
	(void)type, (void)collation;
	return order(a, b);
}

static int bytea_put_key(const struct cu_type *type, const struct cu_collation *collation, const struct cu_datum *datum,
			 cu_buf *out)
{
	(void)type, (void)collation;
	cu_buf_append(out, datum->bytes, datum->len);
	return cu_buf_failed(out) ? CU_ENOMEM : 0;
}

const struct cu_repr_ops cu_repr_ops_bytea = {
	.in = bytea_in,
	.out = bytea_out,
	.compare = bytea_compare,
	.put_key = bytea_put_key,
};

#define CALL const struct cu_function_call *call, struct cu_datum *ret

#define COMPARISON(function, op)                                                                   \
	static int function(CALL)                                                                  \
	{                                                                                          \
		*ret = (struct cu_datum){ .boolean = order(&call->args[0], &call->args[1]) op 0 }; \
		return 0;                                                                          \
	}

COMPARISON(byteaeq, ==)
COMPARISON(byteane, !=)
COMPARISON(bytealt, <)
COMPARISON(byteale, <=)
COMPARISON(byteagt, >)
COMPARISON(byteage, >=)

static int give(struct cu_datum *ret, int64_t value)
{
	*ret = (struct cu_datum){ .integer = value };
	return 0;
}

static int byteaoctetlen(CALL)
{
	return give(ret, call->args[0].len);
}

/* a's bytes [from, to) of which each end is cut to what is there. Borrowed, as the argument is. */
static struct cu_datum part(const struct cu_datum *a, int64_t from, int64_t to)
{
	from = CU_MIN(CU_MAX(from, 0), (int64_t)a->len);
	to = CU_MIN(CU_MAX(to, from), (int64_t)a->len);
	return (struct cu_datum){ .bytes = a->bytes + from, .len = (uint32_t)(to - from) };
}

static int bytea_substr(CALL)
{
	int32_t start = (int32_t)call->args[1].integer, len = (int32_t)call->args[2].integer;

	if (len < 0)
		return cu_value_fail(call->err, "22011", "negative substring length not allowed");
	*ret = part(&call->args[0], (int64_t)start - 1, (int64_t)start - 1 + len);
	return 0;
}

static int bytea_substr_no_len(CALL)
{
	*ret = part(&call->args[0], (int64_t)(int32_t)call->args[1].integer - 1, INT64_MAX);
	return 0;
}

/* The bytes of several parts in one. */
static int joined(CALL, const struct cu_datum *parts, unsigned parts_len)
{
	size_t len = 0;
	char *bytes, *at;

	for (unsigned i = 0; i < parts_len; i++)
		len += parts[i].len;
	at = bytes = cu_arena_alloc(call->arena, len ? len : 1);
	if (!bytes || len > UINT32_MAX)
		return CU_ENOMEM;
	for (unsigned i = 0; i < parts_len; i++) {
		if (parts[i].len)
			memcpy(at, parts[i].bytes, parts[i].len);
		at += parts[i].len;
	}
	*ret = (struct cu_datum){ .bytes = bytes, .len = (uint32_t)len };
	return 0;
}

static int byteacat(CALL)
{
	return joined(call, ret, call->args, 2);
}

static int overlay(CALL, int32_t len)
{
	int32_t start = (int32_t)call->args[2].integer, after;
	struct cu_datum parts[3];

	if (start <= 0)
		return cu_value_fail(call->err, "22011", "negative substring length not allowed");
	if (__builtin_add_overflow(start, len, &after))
		return cu_value_fail(call->err, "22003", "integer out of range");
	parts[0] = part(&call->args[0], 0, start - 1);
	parts[1] = call->args[1];
	parts[2] = part(&call->args[0], (int64_t)after - 1, INT64_MAX);
	return joined(call, ret, parts, 3);
}

static int byteaoverlay(CALL)
{
	return overlay(call, ret, (int32_t)call->args[3].integer);
}

static int byteaoverlay_no_len(CALL)
{
	return overlay(call, ret, (int32_t)call->args[1].len);
}

static int byteapos(CALL)
{
	const struct cu_datum *a = &call->args[0], *b = &call->args[1];
	const char *at;

	if (b->len == 0)
		return give(ret, 1);
	at = a->len ? memmem(a->bytes, a->len, b->bytes, b->len) : NULL;
	return give(ret, at ? at - a->bytes + 1 : 0);
}

/* Cuts the bytes that stand in the second argument off one end or both. */
static int trimmed(CALL, bool left, bool right)
{
	struct cu_datum a = call->args[0];
	const struct cu_datum *set = &call->args[1];

	while (left && a.len && set->len && memchr(set->bytes, a.bytes[0], set->len)) {
		a.bytes++;
		a.len--;
	}
	while (right && a.len && set->len && memchr(set->bytes, a.bytes[a.len - 1], set->len))
		a.len--;
	*ret = a;
	return 0;
}

static int byteatrim(CALL)
{
	return trimmed(call, ret, true, true);
}

static int bytealtrim(CALL)
{
	return trimmed(call, ret, true, false);
}

static int byteartrim(CALL)
{
	return trimmed(call, ret, false, true);
}

/* The index, when it lies within [0, len). */
static int index_of(const struct cu_function_call *call, int64_t len, int64_t *ret_index)
{
	*ret_index = call->args[1].integer;
	if (*ret_index < 0 || *ret_index >= len)
		return cu_value_fail(call->err, "2202E", "index %" PRId64 " out of valid range, 0..%" PRId64,
				     *ret_index, len - 1);
	return 0;
}

static int byteaGetByte(CALL)
{
	int64_t at;
	int rc = index_of(call, call->args[0].len, &at);

	return rc ? rc : give(ret, (unsigned char)call->args[0].bytes[at]);
}

static int byteaGetBit(CALL)
{
	int64_t at;
	int rc = index_of(call, (int64_t)call->args[0].len * 8, &at);

	return rc ? rc : give(ret, (unsigned char)call->args[0].bytes[at / 8] >> (at % 8) & 1);
}

static int byteaSetByte(CALL)
{
	int64_t at;
	int rc = index_of(call, call->args[0].len, &at);

	if (rc == 0)
		rc = joined(call, ret, call->args, 1);
	if (rc == 0)
		((char *)(uintptr_t)ret->bytes)[at] = (char)call->args[2].integer;
	return rc;
}

static int byteaSetBit(CALL)
{
	int64_t bit = (int32_t)call->args[2].integer, at;
	int rc = index_of(call, (int64_t)call->args[0].len * 8, &at);

	if (rc == 0 && bit != 0 && bit != 1)
		rc = cu_value_fail(call->err, "22023", "new bit must be 0 or 1");
	if (rc == 0)
		rc = joined(call, ret, call->args, 1);
	if (rc == 0) {
		char *byte = (char *)(uintptr_t)ret->bytes + at / 8;

		*byte = (char)((*byte & ~(1 << at % 8)) | (int)bit << at % 8);
	}
	return rc;
}

static int bytea_bit_count(CALL)
{
	int64_t count = 0;

	for (uint32_t i = 0; i < call->args[0].len; i++)
		count += __builtin_popcount((unsigned char)call->args[0].bytes[i]);
	return give(ret, count);
}

/* byteacmp is left out: its number is whatever memcmp() of the server's libc makes of it. */
static const struct cu_function_entry bytea_entries[] = {
	{ "byteaeq", byteaeq },
	{ "byteane", byteane },
	{ "bytealt", bytealt },
	{ "byteale", byteale },
	{ "byteagt", byteagt },
	{ "byteage", byteage },
	{ "byteaoctetlen", byteaoctetlen },
	{ "bytea_substr", bytea_substr },
	{ "bytea_substr_no_len", bytea_substr_no_len },
	{ "byteacat", byteacat },
	{ "byteaoverlay", byteaoverlay },
	{ "byteaoverlay_no_len", byteaoverlay_no_len },
	{ "byteapos", byteapos },
	{ "byteatrim", byteatrim },
	{ "bytealtrim", bytealtrim },
	{ "byteartrim", byteartrim },
	{ "byteaGetByte", byteaGetByte },
	{ "byteaGetBit", byteaGetBit },
	{ "byteaSetByte", byteaSetByte },
	{ "byteaSetBit", byteaSetBit },
	{ "bytea_bit_count", bytea_bit_count },
};

CU_FUNCTION_TABLE(cu_functions_bytea, bytea_entries);
