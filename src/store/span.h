/* span.h: walks neighbouring item records in bytes that cu_changelog_read() gave (docs/storage-format.md, "Change log").
 *
 * Threads: any; no state but the cursor.
 */
#ifndef CU_STORE_SPAN_H
#define CU_STORE_SPAN_H

#include "base/buf.h"
#include "store/crc32c.h"

/* Bytes of an item's record in front of its payload. Two items are neighbours when the second payload begins that many
 * bytes behind the end of the first: then no segment border and no other record lies between them. */
static inline unsigned cu_span_prefix(uint64_t op)
{
	unsigned len = 8 + 1 + 8 + 1; /* len and crc, kind, tx, first byte of op */

	for (; op >= 0x80; op >>= 7)
		len++;
	return len;
}

struct cu_span_item {
	uint64_t op;
	const char *payload; /* borrowed from the span */
	size_t len;
};

/* The next whole item at the cursor, which stands at a record's first byte. False at the end of the span, also when its
 * last record is cut off (cur is left in front of it); cur->failed: not an item record, or its checksum is wrong: the bytes are corrupt. */
static inline bool cu_span_next(cu_cursor *cur, struct cu_span_item *ret_item)
{
	cu_cursor at = *cur;
	size_t len, head;
	const uint8_t *body;
	uint32_t crc;

	if (cu_cursor_left(cur) < 8)
		return false;
	len = cu_cursor_le32(&at);
	crc = cu_cursor_le32(&at);
	if (cu_cursor_left(&at) < len)
		return false;
	body = at.at;
	if (cu_cursor_u8(&at) != 1 || cu_crc32c(0, body, len) != crc) {
		cur->failed = true;
		return false;
	}
	cu_cursor_le64(&at);
	ret_item->op = cu_cursor_varint(&at);
	head = (size_t)(at.at - body);
	if (at.failed || head > len) {
		cur->failed = true;
		return false;
	}
	ret_item->payload = (const char *)at.at;
	ret_item->len = len - head;
	cur->at = at.at + ret_item->len;
	return true;
}

#endif
