/* Any bytes as a log chunk: every range that is found lies within its items, and a walk ends. */
#include "store/log_chunk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_range(const uint8_t *data, size_t len, cu_offset from, cu_offset to)
{
	uint64_t at, bytes;

	if (cu_log_chunk_range(data, len, from, to, &at, &bytes) == 0)
		CU_ASSERT(at <= len && bytes <= len - at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct cu_log_chunk_cursor cursor;
	struct cu_log_chunk_item item;
	size_t end = 0;

	check_range(data, len, CU_OFFSET_BEFORE_ALL, cu_offset_of(UINT64_MAX, UINT64_MAX));
	if (cu_log_chunk_walk(data, len, &cursor) < 0)
		return 0;
	while (cu_log_chunk_next(&cursor, &item) == 1) {
		size_t at = (size_t)((const uint8_t *)item.wire - data);

		CU_ASSERT(at >= end && at <= len && item.len <= len - at);
		end = at + item.len;
		check_range(data, len, cu_offset_of(item.tx, item.op), cu_offset_of(item.tx + 1, 0));
		check_range(data, len, CU_OFFSET_SNAPSHOT_END, cu_offset_of(item.tx, item.op));
	}
	return 0;
}
