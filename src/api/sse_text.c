/* sse_text.c: items → events. */
#include "api/sse_text.h"

#include "base/limits.h"

#define WAIT_MS_MIN 64u /* rather than many short waits before a turn: late by so much */

/* The first character from `at` that matters: in a string its end or an escape, else a string's start or a brace. */
static size_t skip(const struct cu_sse_split *split, const char *items, size_t at, size_t len)
{
	if (split->string) {
		while (at < len && items[at] != '"' && items[at] != '\\')
			at++;
	} else {
		while (at < len && items[at] != '"' && items[at] != '{' && items[at] != '}')
			at++;
	}
	return at;
}

void cu_sse_put_items(struct cu_sse_split *split, const char *items, size_t len, cu_buf *out)
{
	size_t from = 0, at = 0;

	while (at < len) {
		if (split->escaped) {
			split->escaped = false;
			at++;
			continue;
		}
		at = skip(split, items, at, len);
		if (at == len)
			break;
		switch (items[at++]) {
		case '"': split->string = !split->string; break;
		case '\\': split->escaped = true; break;
		case '{':
			if (split->depth++ == 0) {
				cu_buf_puts(out, "data: ");
				from = at - 1; /* not the comma before it */
			}
			break;
		case '}':
			if (--split->depth == 0) {
				cu_buf_append(out, items + from, at - from);
				cu_buf_puts(out, "\n\n");
				from = at;
			}
			break;
		default: CU_ASSERT(!"skip() stops at these only");
		}
	}
	if (split->depth)
		cu_buf_append(out, items + from, len - from);
}

static uint64_t power_below(uint64_t n)
{
	return UINT64_C(1) << (63 - __builtin_clzll(n));
}

enum cu_sse_turn cu_sse_turn(uint64_t now_ms, uint64_t spoke_ms, uint64_t end_ms, uint32_t *ret_ms)
{
	uint64_t keep_alive_ms = spoke_ms + CU_SSE_KEEP_ALIVE_MS, wait;

	if (now_ms >= end_ms)
		return CU_SSE_END;
	if (now_ms >= keep_alive_ms)
		return CU_SSE_KEEP_ALIVE;
	wait = CU_MIN(keep_alive_ms, end_ms) - now_ms;
	/* Straight after it spoke, as a rule: the one timeout that is not a power of two. */
	if (wait != CU_SSE_KEEP_ALIVE_MS)
		wait = power_below(CU_MAX(wait, WAIT_MS_MIN));
	*ret_ms = (uint32_t)wait;
	return CU_SSE_WAIT;
}
