/* fuzz_compact.c: any lines as the items of a log: refused, or compacted to items that can be read, are not more bytes, end with
 * the same offset, and stay as they are when they are compacted again. */
#include "shape/compact.h"
#include "shape/item_scan.h"

#include "base/buf.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Adds the lines of `text` with the offsets (1, 0), (1, 1) … or, when there are some, these. */
static cu_compaction *lines_add(const char *text, size_t len, const uint64_t *ops, uint64_t *ret_last)
{
	cu_compaction *compaction = cu_compaction_new();
	uint64_t n = 0;

	for (const char *at = text, *end = text + len; at < end;) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));

		if (!line_end)
			line_end = end;
		*ret_last = ops ? ops[n] : n;
		if (cu_compaction_add(compaction, 1, *ret_last, at, (size_t)(line_end - at)) < 0) {
			cu_compaction_free(&compaction);
			break;
		}
		n++;
		at = line_end + 1;
	}
	return compaction;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint64_t last = 0, *ops = cu_xmalloc((len + 1) * sizeof *ops);
	cu_buf out = CU_BUF_INIT, again = CU_BUF_INIT;
	cu_compaction *compaction = NULL;
	struct cu_item_parts parts;
	struct cu_compacted item;
	size_t n = 0;

	if (len > 0)
		compaction = lines_add((const char *)data, len, NULL, &last);
	if (!compaction)
		goto out;
	while (cu_compaction_next(compaction, &item) == 1) {
		CU_ASSERT(cu_item_scan(item.item, item.len, &parts) == 0);
		cu_buf_append(&out, item.item, item.len);
		cu_buf_putc(&out, '\n');
		ops[n++] = item.op;
	}
	CU_ASSERT(out.len <= len + 1 && n > 0 && ops[n - 1] == last);
	cu_compaction_free(&compaction);

	compaction = lines_add(out.data, out.len, ops, &last);
	CU_ASSERT(compaction && cu_compaction_superseded(compaction) == 0);
	while (cu_compaction_next(compaction, &item) == 1) {
		cu_buf_append(&again, item.item, item.len);
		cu_buf_putc(&again, '\n');
	}
	CU_ASSERT(again.len == out.len && memcmp(again.data, out.data, out.len) == 0);
out:
	cu_compaction_free(&compaction);
	cu_buf_fini(&out);
	cu_buf_fini(&again);
	free(ops);
	return 0;
}
