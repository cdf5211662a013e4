/* offset.c: offsets and LSNs as text. */
#include "base/offset.h"

#include <stdio.h>

static const char *parse_u64(const char *at, const char *end, uint64_t *ret_value)
{
	uint64_t value = 0;
	const char *from = at;

	for (; at < end && *at >= '0' && *at <= '9'; at++) {
		unsigned digit = (unsigned)(*at - '0');

		if (value > (UINT64_MAX - digit) / 10)
			return NULL;
		value = value * 10 + digit;
	}
	if (at == from)
		return NULL;
	*ret_value = value;
	return at;
}

int cu_offset_parse(const char *text, size_t len, cu_offset *ret_offset)
{
	const char *at = text, *end = text + len;
	cu_offset offset = { 0, 0, false };

	if (len == 2 && memcmp(text, "-1", 2) == 0) {
		*ret_offset = CU_OFFSET_BEFORE_ALL;
		return 0;
	}
	at = parse_u64(at, end, &offset.tx);
	if (!at || at == end || *at++ != '_')
		return CU_EINVAL;
	if (end - at == 3 && memcmp(at, "inf", 3) == 0) {
		offset.op = CU_OP_INF;
	} else {
		at = parse_u64(at, end, &offset.op);
		if (at != end || offset.op == CU_OP_INF)
			return CU_EINVAL;
	}
	*ret_offset = offset;
	return 0;
}

size_t cu_offset_format(cu_offset offset, char *out)
{
	int len;

	if (offset.before_all)
		len = snprintf(out, CU_OFFSET_TEXT_MAX, "-1");
	else if (offset.op == CU_OP_INF)
		len = snprintf(out, CU_OFFSET_TEXT_MAX, "%" PRIu64 "_inf", offset.tx);
	else
		len = snprintf(out, CU_OFFSET_TEXT_MAX, "%" PRIu64 "_%" PRIu64, offset.tx, offset.op);
	return (size_t)len;
}

/* Up to 8 hexadecimal digits and nothing else: sscanf() would take spaces, signs and 0x as well. */
static const char *parse_hex32(const char *at, uint32_t *ret_value)
{
	uint32_t value = 0;
	size_t len = strspn(at, "0123456789abcdefABCDEF");

	if (len == 0 || len > 8)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		uint32_t c = (uint32_t)at[i];

		value = value << 4 | (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	*ret_value = value;
	return at + len;
}

int cu_lsn_parse(const char *text, uint64_t *ret_lsn)
{
	uint32_t high, low;

	text = parse_hex32(text, &high);
	if (!text || *text++ != '/')
		return CU_EINVAL;
	text = parse_hex32(text, &low);
	if (!text || *text)
		return CU_EINVAL;
	*ret_lsn = (uint64_t)high << 32 | low;
	return 0;
}
