#include "value/internal.h"

#include <stdio.h>

/* How much of a text fits into max bytes: what is cut off must not leave half a character behind, for the message goes
 * into JSON. */
static size_t cut_utf8(const char *text, size_t len, size_t max)
{
	size_t cut = CU_MIN(len, max);
	size_t from = cut;

	if (len <= max)
		return len;
	while (from > 0 && cut - from < 3 && ((unsigned char)text[from - 1] & 0xc0) == 0x80)
		from--;
	if (from > 0 && (unsigned char)text[from - 1] >= 0xc0) {
		unsigned char lead = (unsigned char)text[from - 1];
		size_t width = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;

		if (cut - from + 1 < width)
			cut = from - 1;
	}
	return cut;
}

int cu_value_fail(struct cu_value_error *err, const char *sqlstate, const char *fmt, ...)
{
	va_list args;
	int len;

	if (!err)
		return CU_EINVAL;
	CU_ASSERT(strlen(sqlstate) == 5);
	memcpy(err->sqlstate, sqlstate, 6);
	va_start(args, fmt);
	len = vsnprintf(err->message, sizeof err->message, fmt, args);
	va_end(args);
	if (len >= (int)sizeof err->message)
		err->message[cut_utf8(err->message, sizeof err->message, sizeof err->message - 1)] = '\0';
	return CU_EINVAL;
}

int cu_value_fail_text(struct cu_value_error *err, const char *sqlstate, const char *fmt_of_one_s, const char *text,
		       size_t len)
{
	const char *hole = strstr(fmt_of_one_s, "%s");
	size_t around, cut;

	CU_ASSERT(hole);
	around = strlen(fmt_of_one_s) - 2;
	CU_ASSERT(around < sizeof err->message - 1);
	cut = cut_utf8(text, len, sizeof err->message - 1 - around);
	return cu_value_fail(err, sqlstate, "%.*s%.*s%s", (int)(hole - fmt_of_one_s), fmt_of_one_s, (int)cut, text,
			     hole + 2);
}

int cu_value_fail_syntax(struct cu_value_error *err, const char *name, const char *text, size_t len)
{
	char fmt[128];

	snprintf(fmt, sizeof fmt, "invalid input syntax for type %s: \"%%s\"", name);
	return cu_value_fail_text(err, "22P02", fmt, text, len);
}

/* 0x1F and 1_000 are numbers since 16, 1e 5 was one before. */
static bool is_number_to_some(const char *at, const char *end)
{
	const char *exponent;

	while (at < end && cu_value_is_space(*at))
		at++;
	at += at < end && (*at == '-' || *at == '+');
	if (at == end || !((*at >= '0' && *at <= '9') || *at == '.'))
		return false;
	if (*at == '0' && end - at > 2 && memchr("xXoObB", at[1], 6))
		return true;
	exponent = memchr(at, 'e', (size_t)(end - at));
	exponent = exponent ? exponent : memchr(at, 'E', (size_t)(end - at));
	return memchr(at, '_', (size_t)(end - at)) ||
	       (exponent && exponent + 1 < end && cu_value_is_space(exponent[1]));
}

int cu_value_fail_number(struct cu_value_error *err, const char *name, const char *text, size_t len)
{
	char fmt[128];

	if (!is_number_to_some(text, text + len))
		return cu_value_fail_syntax(err, name, text, len);
	snprintf(fmt, sizeof fmt, "this form of type %s is not supported, Postgres' versions differ: \"%%s\"", name);
	return cu_value_fail_text(err, "0A000", fmt, text, len);
}
