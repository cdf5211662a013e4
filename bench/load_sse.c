/* load_sse.c: `load sse`: many readers follow one shape by live_sse while it changes at a steady rate.
 *
 * Every write makes one item, so a reader's k-th item is that of the k-th write: how late each arrives is known without
 * looking into it, and a missing or doubled one shows. One clock, one loop, the database connection included.
 */
#include "bench/load.h"
#include "bench/pgwrite.h"
#include "bench/scan.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define BUCKETS 100000u
#define BUCKET_NS 50000u /* 0.05 ms; the last holds what took 5 s and longer */

struct sse {
	const struct cu_load_opts *opts;
	cu_client *client;
	cu_reader *readers;
	cu_scan *items; /* per reader */
	bool leading;   /* the first reader walks to the log's end */
	unsigned started;
	uint64_t *sent_ns; /* per write */
	uint64_t received; /* items, all readers */
	uint64_t pieces;   /* that brought them */
	uint64_t progress_ns;
	uint64_t buckets[BUCKETS];
	uint64_t worst_ns;
};

static struct sse *sse_of; /* hooks get the reader, this is the rest */

static void on_answer(cu_conn *conn, void *user, const cu_answer *answer)
{
	struct sse *s = sse_of;
	cu_reader *reader = user;

	(void)conn;
	if (!s->leading) {
		fprintf(stderr, "load: a stream ended (%d): let the server's --sse-timeout be longer than the run\n",
			answer->status);
		exit(1);
	}
	s->progress_ns = answer->done_ns;
	if (!cu_reader_take(reader, answer))
		return;
	s->leading = !answer->up_to_date;
	if (s->leading)
		cu_reader_ask(reader, s->opts, false);
}

static void on_body(cu_conn *conn, void *user, const char *data, size_t len)
{
	struct sse *s = sse_of;
	cu_reader *reader = user;
	cu_scan *items = &s->items[reader->index];
	uint64_t before = items->count, now;

	(void)conn;
	if (s->leading)
		return;
	cu_scan_feed(items, data, len);
	if (items->count == before)
		return;
	if (items->count > s->started) {
		fprintf(stderr, "load: an item that no write made, or the same twice\n");
		exit(1);
	}
	now = cu_now_ns();
	s->progress_ns = now;
	s->received += items->count - before;
	s->pieces++;
	for (uint64_t k = before; k < items->count; k++) {
		uint64_t took = now - s->sent_ns[k];

		s->buckets[CU_MIN(took / BUCKET_NS, BUCKETS - 1)]++;
		s->worst_ns = CU_MAX(s->worst_ns, took);
	}
}

static int step(struct sse *s, int timeout_ms)
{
	cu_client_step(s->client, timeout_ms);
	if (cu_now_ns() - s->progress_ns < s->opts->limit_s * 1000000000ull)
		return 0;
	fprintf(stderr, "load: nothing arrived for %u s\n", s->opts->limit_s);
	return CU_ECLOSED;
}

static int streams_open(struct sse *s)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < s->opts->readers; i++) {
		cu_reader *reader = &s->readers[i];

		reader->index = i;
		reader->table = s->opts->table;
		reader->sse = true;
		cu_reader_rewind(reader);
		cu_scan_init(&s->items[i], "\"operation\":\"");
		rc = cu_client_connect(s->client, reader, &reader->conn);
	}
	if (rc < 0)
		return rc;
	s->progress_ns = cu_now_ns();
	s->leading = true;
	cu_reader_ask(&s->readers[0], s->opts, false);
	while (rc == 0 && s->leading)
		rc = step(s, 1000);
	for (unsigned i = 0; rc == 0 && i < s->opts->readers; i++) {
		if (i) {
			strcpy(s->readers[i].handle, s->readers[0].handle);
			strcpy(s->readers[i].offset, s->readers[0].offset);
		}
		cu_reader_ask(&s->readers[i], s->opts, true);
	}
	for (uint64_t end = cu_now_ns() + s->opts->settle_ms * 1000000ull; rc == 0 && cu_now_ns() < end;)
		rc = step(s, 10);
	return rc;
}

/* Writes at the rate, one at a time: one that takes longer than its turn delays the next. */
static int run(struct sse *s, cu_pgwrite *write)
{
	uint64_t interval = 1000000000ull / s->opts->rate, start = cu_now_ns();
	uint64_t wanted = (uint64_t)s->opts->rounds * s->opts->readers;
	int rc = 0;

	s->progress_ns = start;
	while (rc == 0 && s->received < wanted) {
		uint64_t now = cu_now_ns(), due = start + s->started * interval;
		bool idle = s->started == 0 || write->commit_ns != 0;
		int timeout = 1000;

		if (write->failed)
			return CU_EPG;
		if (idle && s->started < s->opts->rounds && now >= due) {
			s->sent_ns[s->started++] = now;
			rc = cu_pgwrite_start(write);
			timeout = 0;
		} else if (idle && s->started < s->opts->rounds) {
			timeout = (int)((due - now) / 1000000u);
		}
		if (rc == 0)
			rc = step(s, timeout);
	}
	return rc;
}

static double bucket_at(const struct sse *s, double p)
{
	uint64_t rank = (uint64_t)((double)s->received * p), seen = 0;

	for (unsigned i = 0; i < BUCKETS; i++) {
		seen += s->buckets[i];
		if (seen > rank)
			return (double)(i + 1) * BUCKET_NS / 1e6;
	}
	return (double)s->worst_ns / 1e6;
}

static void report(const struct sse *s, double seconds)
{
	struct rusage usage;
	double cpu;

	getrusage(RUSAGE_SELF, &usage);
	cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	      (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
	printf("%u streams, %u writes in %.2f s: %llu items; since the write was sent: median %.2f  p90 %.2f  p99 %.2f  "
	       "max %.2f ms\n",
	       s->opts->readers, s->started, seconds, (unsigned long long)s->received, bucket_at(s, 0.5),
	       bucket_at(s, 0.9), bucket_at(s, 0.99), (double)s->worst_ns / 1e6);
	printf("{\"bench\":\"sse\",\"readers\":%u,\"writes\":%u,\"seconds\":%.3f,\"items\":%llu,\"median\":%.3f,\"p90\":%.3f,"
	       "\"p99\":%.3f,\"max\":%.3f,\"pieces\":%llu,\"cpu_seconds\":%.2f}\n",
	       s->opts->readers, s->started, seconds, (unsigned long long)s->received, bucket_at(s, 0.5),
	       bucket_at(s, 0.9), bucket_at(s, 0.99), (double)s->worst_ns / 1e6, (unsigned long long)s->pieces, cpu);
}

int cu_load_sse(const struct cu_load_opts *opts)
{
	struct sse *s = cu_xzalloc(sizeof *s);
	struct cu_client_hooks hooks = { on_answer, on_body };
	cu_pgwrite write = { 0 };
	uint64_t start = 0;
	int rc;

	sse_of = s;
	s->opts = opts;
	s->readers = cu_xzalloc(opts->readers * sizeof *s->readers);
	s->items = cu_xzalloc(opts->readers * sizeof *s->items);
	s->sent_ns = cu_xzalloc(opts->rounds * sizeof *s->sent_ns);
	rc = cu_client_new(opts->base, hooks, &s->client);
	if (rc == 0)
		rc = cu_pgwrite_open(&write, s->client, opts);
	if (rc == 0)
		rc = streams_open(s);
	if (rc == 0) {
		printf("{\"bench\":\"sse\",\"open\":%u}\n", opts->readers);
		start = cu_now_ns();
		rc = run(s, &write);
	}
	if (rc == 0)
		report(s, (double)(cu_now_ns() - start) / 1e9);
	cu_pgwrite_close(&write);
	cu_client_free(&s->client);
	for (unsigned i = 0; i < opts->readers; i++)
		if (s->items[i].needle)
			cu_scan_fini(&s->items[i]);
	free(s->items);
	free(s->readers);
	free(s->sent_ns);
	free(s);
	return rc;
}
