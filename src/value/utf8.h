/* utf8.h: steps through text that Postgres has already found to be UTF-8, as its pg_mblen() takes them.
 *
 * Text that is not (a literal nobody checked) gives odd characters, never a step past the end.
 */
#ifndef CU_VALUE_UTF8_H
#define CU_VALUE_UTF8_H

#include "base/buf.h"

/* Bytes of the character at text; len > 0. */
static inline size_t cu_utf8_char(const char *text, size_t len)
{
	unsigned char c = (unsigned char)*text;
	size_t size = c < 0x80 ? 1 : (c & 0xe0) == 0xc0 ? 2 : (c & 0xf0) == 0xe0 ? 3 : (c & 0xf8) == 0xf0 ? 4 : 1;

	return CU_MIN(size, len);
}

/* Characters. */
static inline size_t cu_utf8_len(const char *text, size_t len)
{
	size_t chars = 0;

	for (size_t i = 0; i < len; i++)
		chars += ((unsigned char)text[i] & 0xc0) != 0x80;
	return chars;
}

/* Bytes of the first `chars` characters, or of all when there are fewer. */
static inline size_t cu_utf8_offset(const char *text, size_t len, size_t chars)
{
	size_t at = 0;

	while (at < len && chars--)
		at += cu_utf8_char(text + at, len - at);
	return at;
}

/* The code point at text, len > 0; returns its bytes. */
static inline size_t cu_utf8_decode(const char *text, size_t len, uint32_t *ret_point)
{
	const unsigned char *c = (const unsigned char *)text;
	size_t size = cu_utf8_char(text, len);

	if (size == 1)
		*ret_point = c[0];
	else if (size == 2)
		*ret_point = (c[0] & 0x1fu) << 6 | (c[1] & 0x3fu);
	else if (size == 3)
		*ret_point = (c[0] & 0x0fu) << 12 | (c[1] & 0x3fu) << 6 | (c[2] & 0x3fu);
	else
		*ret_point = (c[0] & 0x07u) << 18 | (c[1] & 0x3fu) << 12 | (c[2] & 0x3fu) << 6 | (c[3] & 0x3fu);
	return size;
}

static inline void cu_utf8_put(cu_buf *out, uint32_t point)
{
	char bytes[4];
	size_t len = 0;

	if (point < 0x80) {
		bytes[len++] = (char)point;
	} else if (point < 0x800) {
		bytes[len++] = (char)(0xc0 | point >> 6);
		bytes[len++] = (char)(0x80 | (point & 0x3f));
	} else if (point < 0x10000) {
		bytes[len++] = (char)(0xe0 | point >> 12);
		bytes[len++] = (char)(0x80 | (point >> 6 & 0x3f));
		bytes[len++] = (char)(0x80 | (point & 0x3f));
	} else {
		bytes[len++] = (char)(0xf0 | (point >> 18 & 0x07));
		bytes[len++] = (char)(0x80 | (point >> 12 & 0x3f));
		bytes[len++] = (char)(0x80 | (point >> 6 & 0x3f));
		bytes[len++] = (char)(0x80 | (point & 0x3f));
	}
	cu_buf_append(out, bytes, len);
}

#endif
