/* buf.h: a growable byte buffer with a sticky error.
 *
 * Threads: one at a time. Appends after a failed allocation do nothing; check cu_buf_failed() once, at the
 * end. Data is not NUL-terminated unless cu_buf_str() is called.
 */
#ifndef CU_BUF_H
#define CU_BUF_H

#include "base/base.h"

#include <stdarg.h>

typedef struct cu_buf {
	char *data;
	size_t len;
	size_t cap;
	bool failed; /* an allocation failed; the contents are incomplete */
} cu_buf;

#define CU_BUF_INIT               \
	{                         \
		NULL, 0, 0, false \
	}

void cu_buf_init(cu_buf *buf);
void cu_buf_fini(cu_buf *buf);                 /* frees the data; the buffer is empty and usable again */
void cu_buf_clear(cu_buf *buf);                /* keeps the memory, forgets contents and error */
bool cu_buf_reserve(cu_buf *buf, size_t more); /* room for `more` bytes behind len; false = failed */
void cu_buf_grow(cu_buf *buf, size_t more);    /* slow path of the appends */
void cu_buf_printf(cu_buf *buf, const char *fmt, ...) CU_PRINTF(2, 3);
void cu_buf_vprintf(cu_buf *buf, const char *fmt, va_list args) CU_PRINTF(2, 0);
const char *cu_buf_str(cu_buf *buf);              /* terminates; borrowed until the next change; "" when failed */
char *cu_buf_steal(cu_buf *buf, size_t *ret_len); /* returns owned, terminated; NULL when failed */

static inline bool cu_buf_failed(const cu_buf *buf)
{
	return buf->failed;
}

static inline void cu_buf_append(cu_buf *buf, const void *data, size_t len)
{
	if (buf->cap - buf->len < len && !cu_buf_reserve(buf, len))
		return;
	if (len)
		memcpy(buf->data + buf->len, data, len);
	buf->len += len;
}

static inline void cu_buf_putc(cu_buf *buf, char c)
{
	cu_buf_append(buf, &c, 1);
}

static inline void cu_buf_puts(cu_buf *buf, const char *text)
{
	cu_buf_append(buf, text, strlen(text));
}

void cu_buf_put_u64(cu_buf *buf, uint64_t value);                     /* decimal */
void cu_buf_put_json(cu_buf *buf, const char *text, size_t len);      /* a JSON string with its quotes */
void cu_buf_put_json_body(cu_buf *buf, const char *text, size_t len); /* escaped, without the quotes */

/* Little-endian integers and LEB128 varints, for files. */
void cu_buf_put_le32(cu_buf *buf, uint32_t value);
void cu_buf_put_le64(cu_buf *buf, uint64_t value);
void cu_buf_put_varint(cu_buf *buf, uint64_t value);

/* A bounded cursor over bytes that came from outside: reads past the end set `failed` and give zeros. */
typedef struct cu_cursor {
	const uint8_t *at;
	const uint8_t *end;
	bool failed;
} cu_cursor;

static inline cu_cursor cu_cursor_over(const void *data, size_t len)
{
	const uint8_t *at = (const uint8_t *)data;

	return (cu_cursor){ at, at + len, false };
}
static inline size_t cu_cursor_left(const cu_cursor *cur)
{
	return (size_t)(cur->end - cur->at);
}
uint8_t cu_cursor_u8(cu_cursor *cur);
uint16_t cu_cursor_be16(cu_cursor *cur);
uint32_t cu_cursor_be32(cu_cursor *cur);
uint64_t cu_cursor_be64(cu_cursor *cur);
uint32_t cu_cursor_le32(cu_cursor *cur);
uint64_t cu_cursor_le64(cu_cursor *cur);
uint64_t cu_cursor_varint(cu_cursor *cur);
const void *cu_cursor_bytes(cu_cursor *cur, size_t len); /* borrowed; NULL on failure */
const char *cu_cursor_cstr(cu_cursor *cur);              /* up to and including its NUL; NULL on failure */

#endif
