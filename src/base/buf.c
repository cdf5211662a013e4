/* buf.c: growable buffers, JSON escaping, and the cursor that reads untrusted bytes. */
#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

#define BUF_CAP_MIN 64

void cu_buf_init(cu_buf *buf)
{
	*buf = (cu_buf)CU_BUF_INIT;
}

void cu_buf_fini(cu_buf *buf)
{
	free(buf->data);
	cu_buf_init(buf);
}

void cu_buf_clear(cu_buf *buf)
{
	buf->len = 0;
	buf->failed = false;
}

bool cu_buf_reserve(cu_buf *buf, size_t more)
{
	if (buf->failed)
		return false;
	if (buf->cap - buf->len >= more)
		return true;
	cu_buf_grow(buf, more);
	return !buf->failed;
}

void cu_buf_grow(cu_buf *buf, size_t more)
{
	size_t cap = buf->cap ? buf->cap : BUF_CAP_MIN;
	char *data;

	if (more > SIZE_MAX / 4 || buf->len > SIZE_MAX / 4) {
		buf->failed = true;
		buf->cap = buf->len;
		return;
	}
	while (cap - buf->len < more)
		cap *= 2;
	data = cu_try_realloc(buf->data, cap);
	if (!data) {
		buf->failed = true;
		buf->cap = buf->len; /* later appends take the slow path and see the error */
		return;
	}
	buf->data = data;
	buf->cap = cap;
}

void cu_buf_vprintf(cu_buf *buf, const char *fmt, va_list args)
{
	va_list again;
	int len;

	va_copy(again, args);
	len = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	CU_ASSERT(len >= 0);
	if (!cu_buf_reserve(buf, (size_t)len + 1))
		return;
	vsnprintf(buf->data + buf->len, (size_t)len + 1, fmt, args);
	buf->len += (size_t)len;
}

void cu_buf_printf(cu_buf *buf, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	cu_buf_vprintf(buf, fmt, args);
	va_end(args);
}

const char *cu_buf_str(cu_buf *buf)
{
	if (!cu_buf_reserve(buf, 1))
		return "";
	buf->data[buf->len] = '\0';
	return buf->data;
}

char *cu_buf_steal(cu_buf *buf, size_t *ret_len)
{
	char *data;

	if (!cu_buf_reserve(buf, 1)) {
		cu_buf_fini(buf);
		return NULL;
	}
	buf->data[buf->len] = '\0';
	data = buf->data;
	if (ret_len)
		*ret_len = buf->len;
	cu_buf_init(buf);
	return data;
}

void cu_buf_put_u64(cu_buf *buf, uint64_t value)
{
	char digits[20];
	size_t at = sizeof digits;

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	cu_buf_append(buf, digits + at, sizeof digits - at);
}

/* Which bytes need escaping in a JSON string: control characters, the quote and the backslash. UTF-8 passes
 * as it is: Postgres has validated it (client_encoding is UTF8). */
static const uint8_t json_escaped[256] = {
	[0 ... 31] = 1,
	['"'] = 1,
	['\\'] = 1,
};

/* True when one of the eight bytes needs escaping; the usual "has a byte less than / equal to" bit tricks. */
static inline bool word_needs_escape(uint64_t w)
{
	const uint64_t ones = 0x0101010101010101ull, high = 0x8080808080808080ull;
	uint64_t control = (w - ones * 0x20) & ~w;
	uint64_t quote = w ^ (ones * '"'), slash = w ^ (ones * '\\');

	quote = (quote - ones) & ~quote;
	slash = (slash - ones) & ~slash;
	return ((control | quote | slash) & high) != 0;
}

void cu_buf_put_json_body(cu_buf *buf, const char *text, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	size_t from = 0, at = 0;

	while (at < len) {
		uint64_t word;
		unsigned char c;

		if (len - at >= 8) {
			memcpy(&word, text + at, 8);
			if (!word_needs_escape(word)) {
				at += 8;
				continue;
			}
		}
		c = (unsigned char)text[at];
		if (!json_escaped[c]) {
			at++;
			continue;
		}
		cu_buf_append(buf, text + from, at - from);
		switch (c) {
		case '"': cu_buf_append(buf, "\\\"", 2); break;
		case '\\': cu_buf_append(buf, "\\\\", 2); break;
		case '\n': cu_buf_append(buf, "\\n", 2); break;
		case '\r': cu_buf_append(buf, "\\r", 2); break;
		case '\t': cu_buf_append(buf, "\\t", 2); break;
		case '\b': cu_buf_append(buf, "\\b", 2); break;
		case '\f': cu_buf_append(buf, "\\f", 2); break;
		default: {
			char esc[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };

			cu_buf_append(buf, esc, sizeof esc);
		}
		}
		from = ++at;
	}
	cu_buf_append(buf, text + from, at - from);
}

void cu_buf_put_json(cu_buf *buf, const char *text, size_t len)
{
	cu_buf_putc(buf, '"');
	cu_buf_put_json_body(buf, text, len);
	cu_buf_putc(buf, '"');
}

void cu_buf_put_le32(cu_buf *buf, uint32_t value)
{
	uint8_t b[4] = { (uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16), (uint8_t)(value >> 24) };

	cu_buf_append(buf, b, sizeof b);
}

void cu_buf_put_le64(cu_buf *buf, uint64_t value)
{
	cu_buf_put_le32(buf, (uint32_t)value);
	cu_buf_put_le32(buf, (uint32_t)(value >> 32));
}

void cu_buf_put_varint(cu_buf *buf, uint64_t value)
{
	uint8_t b[10];
	size_t n = 0;

	while (value >= 0x80) {
		b[n++] = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	b[n++] = (uint8_t)value;
	cu_buf_append(buf, b, n);
}

const void *cu_cursor_bytes(cu_cursor *cur, size_t len)
{
	const uint8_t *at = cur->at;

	if (cur->failed || cu_cursor_left(cur) < len) {
		cur->failed = true;
		return NULL;
	}
	cur->at += len;
	return at;
}

static uint64_t read_be(cu_cursor *cur, size_t len)
{
	const uint8_t *b = cu_cursor_bytes(cur, len);
	uint64_t value = 0;

	for (size_t i = 0; b && i < len; i++)
		value = value << 8 | b[i];
	return value;
}

uint8_t cu_cursor_u8(cu_cursor *cur)
{
	return (uint8_t)read_be(cur, 1);
}

uint16_t cu_cursor_be16(cu_cursor *cur)
{
	return (uint16_t)read_be(cur, 2);
}

uint32_t cu_cursor_be32(cu_cursor *cur)
{
	return (uint32_t)read_be(cur, 4);
}

uint64_t cu_cursor_be64(cu_cursor *cur)
{
	return read_be(cur, 8);
}

uint32_t cu_cursor_le32(cu_cursor *cur)
{
	return __builtin_bswap32((uint32_t)read_be(cur, 4));
}

uint64_t cu_cursor_le64(cu_cursor *cur)
{
	return __builtin_bswap64(read_be(cur, 8));
}

uint64_t cu_cursor_varint(cu_cursor *cur)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t b = cu_cursor_u8(cur);

		if (shift == 63 && b > 1)
			break;
		value |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return cur->failed ? 0 : value;
	}
	cur->failed = true;
	return 0;
}

const char *cu_cursor_cstr(cu_cursor *cur)
{
	size_t left = cu_cursor_left(cur);
	const uint8_t *nul = left && !cur->failed ? memchr(cur->at, 0, left) : NULL;

	if (!nul) {
		cur->failed = true;
		return NULL;
	}
	return cu_cursor_bytes(cur, (size_t)(nul - cur->at) + 1);
}
