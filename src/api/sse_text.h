/* sse_text.h: the text of server-sent events, and when a stream speaks.
 *
 * Pure: no socket, no clock of its own. Cost: one pass over the items.
 */
#ifndef CU_API_SSE_TEXT_H
#define CU_API_SSE_TEXT_H

#include "base/buf.h"

#define CU_SSE_KEEP_ALIVE_TEXT ": keep-alive\n\n"

/* Where a stretch of items was left. All zero at its start. */
struct cu_sse_split {
	unsigned depth; /* braces open; 0: between items */
	bool string;    /* inside a string */
	bool escaped;   /* behind a backslash in one */
};

/* Appends comma-joined JSON objects, which is how logs and snapshots hold their items, as one event each. The bytes may
 * be cut anywhere: the next call goes on. They are ours: valid JSON without line breaks. */
void cu_sse_put_items(struct cu_sse_split *split, const char *items, size_t len, cu_buf *out);

enum cu_sse_turn {
	CU_SSE_WAIT,
	CU_SSE_KEEP_ALIVE,
	CU_SSE_END,
};

/* What a stream without news does at `now_ms`: it spoke last at `spoke_ms` and lives until `end_ms`. For WAIT, *ret_ms
 * (> 0) is when to ask again, at the latest: never behind the next turn, often before it, because deadlines that many
 * streams share are few (http's deadline.c). */
enum cu_sse_turn cu_sse_turn(uint64_t now_ms, uint64_t spoke_ms, uint64_t end_ms, uint32_t *ret_ms);

#endif
