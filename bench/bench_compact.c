/* bench_compact.c: how many bytes of log per second one core compacts, without I/O.
 *
 * Usage: bench_compact [MiB]. Items of four columns: updates of 1,000 keys, updates of as many keys as items (nothing to
 * gain), and inserts and deletes. Prints one line each; the best of five rounds.
 */
#include "base/buf.h"
#include "shape/compact.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS 5

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void item_put(cu_buf *out, const char *operation, unsigned long key, unsigned long n)
{
	cu_buf_printf(
		out,
		"{\"key\":\"\\\"public\\\".\\\"items\\\"/\\\"%lu\\\"\",\"value\":{\"at\":\"2026-11-22 21:00:00.123456+00\",\"id\":"
		"\"%lu\",\"n\":\"%lu\",\"title\":\"title of row %lu\"},\"headers\":{\"operation\":\"%s\",\"relation\":[\"public\","
		"\"items\"],\"lsn\":\"26672376\",\"op_position\":%lu,\"txids\":[745]}}",
		key, key, n, key, operation, n);
}

static double round_run(const cu_buf *in, const size_t *ends, size_t items, size_t *ret_out)
{
	cu_compaction *compaction = cu_compaction_new();
	double from = now();
	struct cu_compacted item;
	size_t at = 0;

	*ret_out = 0;
	for (size_t i = 0; i < items; i++) {
		CU_ASSERT(cu_compaction_add(compaction, 1, i, in->data + at, ends[i] - at) == 0);
		at = ends[i];
	}
	while (cu_compaction_next(compaction, &item) == 1)
		*ret_out += item.len;
	cu_compaction_free(&compaction);
	return now() - from;
}

static void case_run(const char *name, size_t bytes, unsigned long keys, const char *odd, const char *even)
{
	cu_buf in = CU_BUF_INIT;
	size_t *ends = cu_xmalloc((bytes / 128 + 1) * sizeof *ends);
	size_t items = 0, out = 0;
	double best = 1e9;

	for (; in.len < bytes; items++) {
		item_put(&in, items % 2 ? odd : even, (items / 2 * 7919 + items % 2) % keys, items);
		ends[items] = in.len;
	}
	for (unsigned i = 0; i < ROUNDS; i++) {
		double took = round_run(&in, ends, items, &out);

		best = CU_MIN(best, took);
	}
	printf("%-24s %6.0f MB/s  %5.2f M items/s  %zu MB -> %.1f MB\n", name, (double)in.len / best / 1e6,
	       (double)items / best / 1e6, in.len / 1000000, (double)out / 1e6);
	cu_buf_fini(&in);
	free(ends);
}

int main(int argc, char **argv)
{
	size_t bytes = (size_t)(argc > 1 ? strtoul(argv[1], NULL, 10) : 64) << 20;

	case_run("updates of 1,000 keys", bytes, 1000, "update", "update");
	case_run("updates of many keys", bytes, 1ul << 62, "update", "update");
	case_run("inserts and deletes", bytes, 1000, "insert", "delete");
	return 0;
}
