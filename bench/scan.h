/* scan.h: counts a text in a stream of pieces, also where it straddles two. Threads: one. */
#ifndef CU_BENCH_SCAN_H
#define CU_BENCH_SCAN_H

#include <stddef.h>
#include <stdint.h>

typedef struct cu_scan {
	const char *needle; /* borrowed; not empty; no prefix of it is also its suffix (matches never overlap) */
	size_t needle_len;
	uint64_t count;
	char *tail; /* the last bytes of the stream, fewer than the needle has */
	size_t tail_len;
} cu_scan;

void cu_scan_init(cu_scan *scan, const char *needle);
void cu_scan_fini(cu_scan *scan);
void cu_scan_feed(cu_scan *scan, const char *data, size_t len);

#endif
