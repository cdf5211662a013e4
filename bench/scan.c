#include "bench/scan.h"

#include "base/base.h"

#include <stdlib.h>

void cu_scan_init(cu_scan *scan, const char *needle)
{
	scan->needle = needle;
	scan->needle_len = strlen(needle);
	scan->count = 0;
	scan->tail = cu_xzalloc(2 * scan->needle_len);
	scan->tail_len = 0;
}

void cu_scan_fini(cu_scan *scan)
{
	free(scan->tail);
	scan->tail = NULL;
}

void cu_scan_feed(cu_scan *scan, const char *data, size_t len)
{
	const char *at = data;
	const char *end = data + len;
	const char *hit;
	size_t keep = scan->needle_len - 1;
	size_t join = CU_MIN(keep, len);

	/* What straddles: the kept tail and as much of the new piece as could complete it. */
	memcpy(scan->tail + scan->tail_len, data, join);
	if (memmem(scan->tail, scan->tail_len + join, scan->needle, scan->needle_len))
		scan->count++;
	while ((hit = memmem(at, (size_t)(end - at), scan->needle, scan->needle_len))) {
		scan->count++;
		at = hit + scan->needle_len;
	}
	if (len >= keep) {
		memcpy(scan->tail, end - keep, keep);
		scan->tail_len = keep;
	} else {
		size_t all = scan->tail_len + len;
		size_t drop = all > keep ? all - keep : 0;

		memmove(scan->tail, scan->tail + drop, all - drop);
		scan->tail_len = all - drop;
	}
}
