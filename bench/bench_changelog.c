/* bench_changelog.c: how fast the change log takes items and reads them back at start, on one core.
 *
 * Usage: bench_changelog DIR [items] [bytes]. DIR must be empty or missing; it is filled with a log. Prints the best of
 * three rounds: appends with a flush per 100 items (a transaction) into the page cache, one fdatasync of it all, and
 * the scan of a start with its replay; and fan-out records of one item to 10,000 shapes.
 */
#include "store/changelog.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#define ROUNDS 3
#define TX_ITEMS 100u
#define SHAPES 10000u
#define FANOUTS 2000u

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void check(int rc)
{
	if (rc < 0) {
		fprintf(stderr, "bench_changelog: %s\n", cu_strerror(rc));
		exit(1);
	}
}

static uint64_t replayed;

static int replay(void *ctx, const struct cu_fanout *fanout, const struct cu_changelog_item *items)
{
	(void)ctx;
	(void)items;
	replayed += fanout->items_len;
	return 0;
}

static void append(cu_changelog *cl, uint64_t items, const char *payload, size_t len)
{
	struct cu_fanout_run run = { 0, TX_ITEMS };
	struct cu_fanout_shape shape = { 1, 0, 1 };
	struct cu_fanout fanout = {
		.flags = CU_FANOUT_COMMIT, .shapes = &shape, .shapes_len = 1, .runs = &run, .runs_len = 1
	};

	for (uint64_t i = 0; i < items; i++) {
		check(cu_changelog_append_item(cl, fanout.tx, 2 * (i % TX_ITEMS), payload, len, NULL));
		if (i % TX_ITEMS == TX_ITEMS - 1) {
			check(cu_changelog_append_fanout(cl, &fanout));
			check(cu_changelog_flush(cl));
			fanout.tx++;
		}
	}
}

static void fanouts(cu_changelog *cl)
{
	struct cu_fanout_shape *shapes = cu_xzalloc(SHAPES * sizeof *shapes);
	struct cu_fanout_run run = { 0, 1 };
	struct cu_fanout fanout = {
		.flags = CU_FANOUT_COMMIT, .shapes = shapes, .shapes_len = SHAPES, .runs = &run, .runs_len = 1
	};
	uint64_t before = cu_changelog_end(cl);
	double start = now(), took;

	for (unsigned i = 0; i < SHAPES; i++)
		shapes[i] = (struct cu_fanout_shape){ 1 + i, 0, 1 };
	for (unsigned i = 0; i < FANOUTS; i++) {
		check(cu_changelog_append_item(cl, i, 0, "x", 1, NULL));
		check(cu_changelog_append_fanout(cl, &fanout));
		check(cu_changelog_flush(cl));
	}
	took = now() - start;
	printf("fan-out to %u shapes: %.1f us and %.0f bytes each\n", SHAPES, took / FANOUTS * 1e6,
	       (double)(cu_changelog_end(cl) - before) / FANOUTS);
	free(shapes);
}

int main(int argc, char **argv)
{
	uint64_t items = argc > 2 ? strtoull(argv[2], NULL, 10) : 2000000;
	size_t len = argc > 3 ? (size_t)strtoull(argv[3], NULL, 10) : 200;
	double best_append = 1e9, best_sync = 1e9, best_scan = 1e9, start;
	struct cu_changelog_opts opts = { .replay = replay };
	char *payload = cu_xzalloc(len + 1);
	cu_changelog *cl = NULL;
	double mb;
	uint64_t end;

	if (argc < 2) {
		fprintf(stderr, "usage: bench_changelog DIR [items] [bytes]\n");
		return 2;
	}
	items -= items % TX_ITEMS;
	opts.dir = argv[1];
	mkdir(argv[1], 0700);
	for (int round = 0; round < ROUNDS; round++) {
		opts.end_pos = 0; /* no checkpoint: what the round before left is cut */
		check(cu_changelog_open(&opts, &cl));
		start = now();
		append(cl, items, payload, len);
		best_append = CU_MIN(best_append, now() - start);
		end = cu_changelog_end(cl);
		start = now();
		check(cu_changelog_sync(cl, end));
		best_sync = CU_MIN(best_sync, now() - start);
		cu_changelog_free(&cl);
		opts.end_pos = end;
		start = now();
		check(cu_changelog_open(&opts, &cl));
		best_scan = CU_MIN(best_scan, now() - start);
		cu_changelog_free(&cl);
	}
	mb = (double)end / 1e6;
	printf("append %zu bytes: %.2f M items/s, %.0f MB/s\n", len, (double)items / best_append / 1e6,
	       mb / best_append);
	printf("fdatasync of %.0f MB: %.2f s, %.0f MB/s\n", mb, best_sync, mb / best_sync);
	printf("scan and replay: %.2f M items/s, %.0f MB/s (%" PRIu64 " items)\n", (double)items / best_scan / 1e6,
	       mb / best_scan, replayed / ROUNDS);
	check(cu_changelog_open(&opts, &cl));
	fanouts(cl);
	cu_changelog_free(&cl);
	free(payload);
	return 0;
}
