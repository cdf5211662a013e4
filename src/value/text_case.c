/* text_case.c: case, code points, digests, and casts between the text types. */
#include "value/md5.h"
#include "value/text_internal.h"

#include <stdlib.h>

int cu_text_case(const struct cu_collation *collation, char which, const struct cu_datum *text, cu_arena *arena,
		 struct cu_datum *ret_datum, struct cu_value_error *err)
{
	cu_buf buf = CU_BUF_INIT;
	char *bytes;
	int rc;

	if (cu_collation_why_uncased(collation))
		return cu_value_fail(err, "0A000", "%s", cu_collation_why_uncased(collation));
	if (which == 'l') {
		bytes = cu_arena_alloc(arena, CU_MAX(text->len, 1));
		if (!bytes)
			return CU_ENOMEM;
		if (cu_collation_lower_ascii(collation, text->bytes, text->len, bytes))
			return cu_text_return(ret_datum, bytes, text->len);
	}
	rc = cu_collation_case(collation, which, text->bytes, text->len, &buf);
	if (rc == 0) {
		bytes = cu_arena_alloc(arena, CU_MAX(buf.len, 1));
		if (bytes && buf.len)
			memcpy(bytes, buf.data, buf.len);
		rc = bytes ? cu_text_return(ret_datum, bytes, buf.len) : CU_ENOMEM;
	} else if (rc == CU_EINVAL) {
		rc = cu_value_fail(err, "22021", "invalid byte sequence for encoding \"UTF8\"");
	}
	cu_buf_fini(&buf);
	return rc;
}

int cu_text_fold_citext(const struct cu_collation *collation, const struct cu_datum *text, cu_arena *arena,
			struct cu_datum *ret_datum, struct cu_value_error *err)
{
	if (!collation)
		return cu_value_fail(err, "42P22", "could not determine which collation to use for string comparison");
	if (cu_collation_desc(collation)->database)
		collation = cu_collation_desc(collation)->database;
	return cu_text_case(collation, 'l', text, arena, ret_datum, err);
}

static int change_case(const struct cu_function_call *call, const char *name, char which, struct cu_datum *ret_datum)
{
	if (!call->collation)
		return cu_value_fail(call->err, "42P22", "could not determine which collation to use for %s function",
				     name);
	return cu_text_case(call->collation, which, &call->args[0], call->arena, ret_datum, call->err);
}

int cu_text_lower(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return change_case(call, "lower()", 'l', ret_datum);
}

int cu_text_upper(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return change_case(call, "upper()", 'u', ret_datum);
}

int cu_text_initcap(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return change_case(call, "initcap()", 'i', ret_datum);
}

int cu_text_ascii(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	uint32_t point = 0;

	if (call->args[0].len)
		(void)cu_utf8_decode(call->args[0].bytes, call->args[0].len, &point);
	return cu_text_return_int(ret_datum, point);
}

int cu_text_chr(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	int64_t point = call->args[0].integer;
	cu_buf buf = CU_BUF_INIT;
	const char *bytes;
	size_t len;

	if (point == 0)
		return cu_value_fail(call->err, "54000", "null character not permitted");
	if (point < 0 || point > 0x10ffff)
		return cu_value_fail(call->err, "54000", "requested character too large for encoding: %" PRId64, point);
	if (point >= 0xd800 && point <= 0xdfff)
		return cu_value_fail(call->err, "54000", "requested character not valid for encoding: %" PRId64, point);
	cu_utf8_put(&buf, (uint32_t)point);
	len = buf.len;
	bytes = cu_buf_failed(&buf) ? NULL : cu_arena_copy(call->arena, buf.data, len);
	cu_buf_fini(&buf);
	return bytes ? cu_text_return(ret_datum, bytes, len) : CU_ENOMEM;
}

int cu_text_chr_15(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	if (call->args[0].integer < 0)
		return cu_value_fail(call->err, "22023", "character number must be positive");
	return cu_text_chr(call, ret_datum);
}

int cu_text_md5_text(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	char *hex = cu_arena_alloc(call->arena, 32);

	if (!hex)
		return CU_ENOMEM;
	cu_md5_hex(call->args[0].bytes, call->args[0].len, hex);
	return cu_text_return(ret_datum, hex, 32);
}

int cu_text_quote_literal(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	const struct cu_datum *text = &call->args[0];
	size_t len = (size_t)text->len + 2, at = 0;
	bool escapes = false;
	char *bytes;
	int rc;

	for (size_t i = 0; i < text->len; i++) {
		len += text->bytes[i] == '\'' || text->bytes[i] == '\\';
		escapes |= text->bytes[i] == '\\';
	}
	rc = cu_text_alloc(call, len + escapes, &bytes);
	if (rc < 0)
		return rc;
	if (escapes)
		bytes[at++] = 'E';
	bytes[at++] = '\'';
	for (size_t i = 0; i < text->len; i++) {
		if (text->bytes[i] == '\'' || text->bytes[i] == '\\')
			bytes[at++] = text->bytes[i];
		bytes[at++] = text->bytes[i];
	}
	bytes[at++] = '\'';
	return cu_text_return(ret_datum, bytes, at);
}

int cu_text_quote_nullable(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	if (call->args[0].is_null)
		return cu_text_return(ret_datum, "NULL", 4);
	return cu_text_quote_literal(call, ret_datum);
}

/* The text forms of all arguments from `first` on that are not NULL, joined. */
static int join(const struct cu_function_call *call, unsigned first, const char *separator, size_t separator_len,
		struct cu_datum *ret_datum)
{
	cu_buf buf = CU_BUF_INIT;
	char *bytes = NULL;
	bool some = false;
	int rc = 0;

	for (unsigned i = first; i < call->args_len && rc == 0; i++) {
		if (call->args[i].is_null)
			continue;
		if (some)
			cu_buf_append(&buf, separator, separator_len);
		some = true;
		rc = cu_value_out(call->types[i], &call->args[i], &buf);
	}
	if (rc == 0)
		rc = cu_buf_failed(&buf) ? CU_ENOMEM : cu_text_alloc(call, buf.len, &bytes);
	if (rc == 0) {
		if (buf.len)
			memcpy(bytes, buf.data, buf.len);
		cu_text_return(ret_datum, bytes, buf.len);
	}
	cu_buf_fini(&buf);
	return rc;
}

int cu_text_text_concat(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return join(call, 0, "", 0, ret_datum);
}

int cu_text_text_concat_ws(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	if (call->args[0].is_null) {
		*ret_datum = CU_DATUM_NULL;
		return 0;
	}
	return join(call, 1, call->args[0].bytes, call->args[0].len, ret_datum);
}

/* A name holds whole characters of at most 63 bytes. */
static size_t name_len(const struct cu_datum *text)
{
	size_t at = 0;

	if (text->len <= CU_IDENTIFIER_MAX)
		return text->len;
	for (;;) {
		size_t step = cu_utf8_char(text->bytes + at, text->len - at);

		if (at + step > CU_IDENTIFIER_MAX)
			return at;
		at += step;
	}
}

int cu_text_text_name(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return cu_text_return(ret_datum, call->args[0].bytes, name_len(&call->args[0]));
}

int cu_text_bpchar_name(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	struct cu_datum name = call->args[0];

	name.len = (uint32_t)name_len(&name);
	return cu_text_return(ret_datum, name.bytes, cu_text_trimmed_len(&name));
}

int cu_text_name_text(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	*ret_datum = call->args[0];
	return 0;
}

int cu_text_name_bpchar(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	*ret_datum = call->args[0];
	return 0;
}

/* char(1) of a "char": a byte above 127 alone would be no text, and Postgres makes a NUL of an empty one; refused. */
int cu_text_char_bpchar(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	char byte = (char)call->args[0].integer, *bytes;

	if ((byte & 0x80) || byte == 0)
		return cu_value_fail(call->err, "0A000",
				     "a \"char\" that is empty or above 127 cannot become a character here");
	bytes = cu_arena_copy(call->arena, &byte, 1);
	return bytes ? cu_text_return(ret_datum, bytes, 1) : CU_ENOMEM;
}

/* What a cast to char(n) or varchar(n) calls: value, type modifier, whether it was written. */
static int apply_typmod(const struct cu_function_call *call, uint32_t oid, struct cu_datum *ret_datum)
{
	const struct cu_type type = { .oid = oid, .repr = CU_REPR_TEXT };
	struct cu_datum datum = call->args[0];
	int rc = cu_repr_ops_text.typmod(&type, (int32_t)call->args[1].integer, call->args[2].boolean, call->arena,
					 &datum, call->err);

	if (rc == 0)
		*ret_datum = datum;
	return rc;
}

int cu_text_bpchar(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return apply_typmod(call, CU_BPCHAROID, ret_datum);
}

int cu_text_varchar(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return apply_typmod(call, CU_VARCHAROID, ret_datum);
}
