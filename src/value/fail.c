#include "value/internal.h"

#include <stdio.h>

int cu_value_fail(struct cu_value_error *err, const char *sqlstate, const char *fmt, ...)
{
	va_list args;

	if (!err)
		return CU_EINVAL;
	CU_ASSERT(strlen(sqlstate) == 5);
	memcpy(err->sqlstate, sqlstate, 6);
	va_start(args, fmt);
	vsnprintf(err->message, sizeof err->message, fmt, args);
	va_end(args);
	return CU_EINVAL;
}

/* What was cut off must not leave half a character behind: the message goes into JSON. */
static size_t cut_utf8(const char *text, size_t len, size_t max)
{
	if (len <= max)
		return len;
	while (max > 0 && ((unsigned char)text[max] & 0xc0) == 0x80)
		max--;
	return max;
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
