/* item_scan.c: one pass over an item. Each function takes where it stands and the end, and returns where it got to, or
 * NULL when the bytes are not what they must be. */
#include "shape/item_scan.h"

#define ONES 0x0101010101010101ull
#define HIGHS 0x8080808080808080ull

/* Is any of the eight bytes equal to c? */
static inline uint64_t bytes_equal(uint64_t eight, uint8_t c)
{
	uint64_t x = eight ^ (ONES * c);

	return (x - ONES) & ~x & HIGHS;
}

/* Is any of the eight bytes a quote, a backslash or a control character? It may say yes without reason, never no. */
static inline bool bytes_special(uint64_t eight)
{
	uint64_t controls = (eight - ONES * 0x20) & ~eight & HIGHS;

	return (bytes_equal(eight, '"') | bytes_equal(eight, '\\') | controls) != 0;
}

static inline bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Behind a backslash. */
static const char *escape_skip(const char *at, const char *end)
{
	if (at == end)
		return NULL;
	if (*at != 'u')
		return memchr("\"\\/bfnrt", *at, 8) ? at + 1 : NULL;
	if (end - at < 5)
		return NULL;
	for (unsigned i = 1; i <= 4; i++) {
		if (!is_hex(at[i]))
			return NULL;
	}
	return at + 5;
}

/* From behind the opening quote to behind the closing one. */
static const char *string_skip(const char *at, const char *end)
{
	uint64_t eight;

	for (;;) {
		while (end - at >= 8 && (memcpy(&eight, at, 8), !bytes_special(eight)))
			at += 8;
		for (; at < end && *at != '"' && *at != '\\'; at++) {
			if ((uint8_t)*at < 0x20)
				return NULL;
		}
		if (at == end)
			return NULL;
		if (*at == '"')
			return at + 1;
		at = escape_skip(at + 1, end);
		if (!at)
			return NULL;
	}
}

/* Exactly this text. */
static inline const char *text_skip(const char *at, const char *end, const char *text, size_t len)
{
	return (size_t)(end - at) >= len && memcmp(at, text, len) == 0 ? at + len : NULL;
}

#define SKIP(at, end, text) text_skip(at, end, text, sizeof(text) - 1)

/* "name":"text" or "name":null */
static inline const char *column_skip(const char *at, const char *end, size_t *ret_name_len)
{
	const char *name = at + 1;

	if (at == end || *at != '"')
		return NULL;
	at = string_skip(name, end);
	if (!at || at == end || *at != ':')
		return NULL;
	*ret_name_len = (size_t)(at - name) - 1;
	at++;
	if (at < end && *at == '"')
		return string_skip(at + 1, end);
	return SKIP(at, end, "null");
}

/* From behind the opening brace to behind the closing one. */
static const char *columns_skip(const char *at, const char *end)
{
	size_t name_len;

	if (at < end && *at == '}')
		return at + 1;
	for (;;) {
		at = column_skip(at, end, &name_len);
		if (!at || at == end)
			return NULL;
		if (*at == '}')
			return at + 1;
		if (*at != ',')
			return NULL;
		at++;
	}
}

/* A string, or a number or word: whatever has no meaning of its own in JSON. */
static const char *scalar_skip(const char *at, const char *end)
{
	const char *from = at;

	if (at < end && *at == '"')
		return string_skip(at + 1, end);
	while (at < end && ((*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'z') || *at == '-' || *at == '.'))
		at++;
	return at > from ? at : NULL;
}

/* [scalar,…], from behind the opening bracket to behind the closing one. */
static const char *array_skip(const char *at, const char *end)
{
	if (at < end && *at == ']')
		return at + 1;
	for (;;) {
		at = scalar_skip(at, end);
		if (!at || at == end)
			return NULL;
		if (*at == ']')
			return at + 1;
		if (*at != ',')
			return NULL;
		at++;
	}
}

/* ,"name":value … up to and including the two closing braces, which must be the item's end. */
static bool headers_end(const char *at, const char *end)
{
	while (at && at < end && *at == ',') {
		at = SKIP(at, end, ",\"");
		at = at ? string_skip(at, end) : NULL;
		at = at ? SKIP(at, end, ":") : NULL;
		if (!at)
			return false;
		at = at < end && *at == '[' ? array_skip(at + 1, end) : scalar_skip(at, end);
	}
	return at && end - at == 2 && at[0] == '}' && at[1] == '}';
}

static const char *operation_skip(const char *at, const char *end, uint8_t *ret_operation)
{
	const char *behind;

	if ((behind = SKIP(at, end, "update\"")))
		*ret_operation = CU_ITEM_UPDATE;
	else if ((behind = SKIP(at, end, "insert\"")))
		*ret_operation = CU_ITEM_INSERT;
	else if ((behind = SKIP(at, end, "delete\"")))
		*ret_operation = CU_ITEM_DELETE;
	return behind;
}

static struct cu_item_span span_of(const char *item, const char *from, const char *behind)
{
	return (struct cu_item_span){ (uint32_t)(from - item), (uint32_t)(behind - 1 - from) };
}

int cu_item_scan_key(const char *item, size_t len, struct cu_item_span *ret_key)
{
	const char *from, *at;

	if (len >= UINT32_MAX)
		return CU_ETOOBIG;
	from = SKIP(item, item + len, "{\"key\":\"");
	at = from ? string_skip(from, item + len) : NULL;
	if (!at)
		return CU_ECORRUPT;
	*ret_key = span_of(item, from, at);
	return 0;
}

int cu_item_scan(const char *item, size_t len, struct cu_item_parts *ret_parts)
{
	struct cu_item_parts parts = { 0 };
	const char *end = item + len, *at, *from;
	int rc = cu_item_scan_key(item, len, &parts.key);

	if (rc < 0)
		return rc;
	at = item + parts.key.at + parts.key.len + 1; /* behind its quote */

	from = SKIP(at, end, ",\"value\":{");
	at = from ? columns_skip(from, end) : NULL;
	if (!at)
		return CU_ECORRUPT;
	parts.value = span_of(item, from, at);

	from = SKIP(at, end, ",\"old_value\":{");
	if (from) {
		at = columns_skip(from, end);
		if (!at)
			return CU_ECORRUPT;
		parts.old_value = span_of(item, from, at);
	}

	parts.headers_at = (uint32_t)(at - item);
	at = SKIP(at, end, ",\"headers\":{\"operation\":\"");
	at = at ? operation_skip(at, end, &parts.operation) : NULL;
	if (!at || !headers_end(at, end))
		return CU_ECORRUPT;
	*ret_parts = parts;
	return 0;
}

bool cu_item_scan_column(const char **at, const char *end, struct cu_item_column *ret_column)
{
	const char *text = *at;
	const char *behind;
	size_t name_len;

	if (text == end)
		return false;
	behind = column_skip(text, end, &name_len);
	CU_ASSERT(behind);
	*ret_column = (struct cu_item_column){ text + 1, name_len, text, (size_t)(behind - text) };
	*at = behind < end ? behind + 1 : end; /* behind the comma */
	return true;
}
