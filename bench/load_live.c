/* load_live.c: `load drain`, `load wait` and `load idle`: readers that wait for what comes next.
 *
 * `wait` works in rounds: park every reader at its newest offset, let the server settle, write, and note when each
 * reader's answer was complete. Everything runs on one loop, the database connection included, so the moment of the
 * commit and the moments of the answers come from one clock in one process.
 */
#include "bench/load.h"
#include "bench/pgwrite.h"
#include "bench/scan.h"

#include "base/clock.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum live_phase {
	LIVE_WALK,  /* a leader reads its shape up to its end */
	LIVE_PARK,  /* readers wait; an answer parks its reader again */
	LIVE_ROUND, /* a write is under way: the first answer with news is the measured one */
	LIVE_DRAIN, /* one reader follows the shape */
};

struct live {
	const struct cu_load_opts *opts;
	cu_client *client;
	cu_reader *readers; /* opts->readers of the shape, then opts->others_len of the other one */
	unsigned readers_len;
	enum live_phase phase;
	uint64_t progress_ns;

	/* walk */
	bool walk_done;

	/* park and round */
	uint64_t reparked;
	unsigned pending;
	uint64_t *done_ns; /* of each reader, in this round */

	/* drain */
	cu_scan items;
	cu_scan marker;
	bool has_marker;
	uint64_t found_ns;
	uint64_t body_bytes;
	uint64_t answers;

	/* stdin */
	cu_watch input;
	bool input_line;
	bool input_end;
};

static struct live *live_of; /* hooks get the reader, this is the rest */

static void round_answer(struct live *l, cu_reader *reader, const cu_answer *answer, bool news)
{
	if (!news || reader->answered) {
		l->reparked++;
		cu_reader_ask(reader, l->opts, true);
		return;
	}
	/* Not parked again before the round is over, so that the server's work is that of one release. */
	reader->answered = true;
	l->done_ns[reader->index] = answer->done_ns;
	l->pending--;
}

static void on_answer(cu_conn *conn, void *user, const cu_answer *answer)
{
	struct live *l = live_of;
	cu_reader *reader = user;
	bool news;

	(void)conn;
	l->progress_ns = answer->done_ns;
	news = strcmp(reader->offset, answer->offset) != 0;
	if (!cu_reader_take(reader, answer))
		return;
	l->answers++;
	if (answer->status == 409 && l->phase != LIVE_WALK && l->phase != LIVE_DRAIN) {
		fprintf(stderr, "load: the shape was dropped (409) while readers waited for it\n");
		exit(1);
	}
	switch (l->phase) {
	case LIVE_WALK:
		if (answer->up_to_date)
			l->walk_done = true;
		else
			cu_reader_ask(reader, l->opts, false);
		break;
	case LIVE_PARK:
		l->reparked++;
		cu_reader_ask(reader, l->opts, true);
		break;
	case LIVE_ROUND: round_answer(l, reader, answer, news && !reader->parked_only); break;
	case LIVE_DRAIN:
		l->body_bytes += answer->body_bytes;
		cu_reader_ask(reader, l->opts, answer->up_to_date);
		break;
	}
}

static void drain_body(cu_conn *conn, void *user, const char *data, size_t len)
{
	struct live *l = live_of;

	(void)conn;
	(void)user;
	if (l->phase != LIVE_DRAIN || l->found_ns)
		return;
	cu_scan_feed(&l->items, data, len);
	if (l->has_marker)
		cu_scan_feed(&l->marker, data, len);
	if ((l->has_marker && l->marker.count) || (l->opts->items && l->items.count >= l->opts->items))
		l->found_ns = cu_now_ns();
}

static void input_ready(cu_watch *watch, uint32_t events)
{
	struct live *l = CU_CONTAINER_OF(watch, struct live, input);
	char bytes[256];
	ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);

	(void)events;
	if (n > 0 && memchr(bytes, '\n', (size_t)n))
		l->input_line = true;
	if (n == 0) {
		l->input_end = true;
		cu_client_unwatch(l->client, STDIN_FILENO);
	}
}

/* Files cannot be watched; they are at their end at once, as far as we are concerned. */
static int input_watch(struct live *l)
{
	l->input.ready = input_ready;
	return cu_client_watch(l->client, STDIN_FILENO, &l->input, EPOLLIN);
}

static int live_step(struct live *l, int timeout_ms)
{
	cu_client_step(l->client, timeout_ms);
	if (cu_now_ns() - l->progress_ns > l->opts->limit_s * 1000000000ull) {
		fprintf(stderr, "load: no answer for %u s\n", l->opts->limit_s);
		return CU_ECLOSED;
	}
	return 0;
}

/* Runs the loop for a while, whatever happens on it. */
static int live_settle(struct live *l, unsigned ms)
{
	uint64_t end = cu_now_ns() + ms * 1000000ull;
	uint64_t now;

	while ((now = cu_now_ns()) < end) {
		int rc = live_step(l, (int)((end - now) / 1000000u) + 1);

		if (rc < 0)
			return rc;
	}
	return 0;
}

static int live_open(struct live *l, const struct cu_load_opts *opts, bool bodies)
{
	struct cu_client_hooks hooks = { on_answer, bodies ? drain_body : NULL };
	int rc;

	live_of = l;
	l->opts = opts;
	l->readers_len = opts->readers + opts->others_len;
	l->readers = cu_xzalloc(l->readers_len * sizeof *l->readers);
	l->done_ns = cu_xzalloc(l->readers_len * sizeof *l->done_ns);
	rc = cu_client_new(opts->base, hooks, &l->client);
	for (unsigned i = 0; rc == 0 && i < l->readers_len; i++) {
		cu_reader *reader = &l->readers[i];

		reader->index = i;
		reader->parked_only = i >= opts->readers;
		reader->table = reader->parked_only ? opts->others : opts->table;
		cu_reader_rewind(reader);
		rc = cu_client_connect(l->client, reader, &reader->conn);
	}
	l->progress_ns = cu_now_ns();
	return rc;
}

static void live_close(struct live *l)
{
	cu_client_free(&l->client);
	free(l->readers);
	free(l->done_ns);
}

/* Lets one reader walk to the end of its shape. */
static int live_walk(struct live *l, cu_reader *leader)
{
	int rc = 0;

	l->phase = LIVE_WALK;
	l->walk_done = false;
	cu_reader_ask(leader, l->opts, false);
	while (rc == 0 && !l->walk_done)
		rc = live_step(l, 1000);
	return rc;
}

/* Walks with the first reader of each shape, gives its position to the others of that shape, and parks all. */
static int live_park_all(struct live *l)
{
	unsigned leaders[2] = { 0, l->opts->readers };
	int rc = 0;

	bool each = l->opts->query && strstr(l->opts->query, "{}"); /* has a shape of its own */

	for (unsigned i = 0; rc == 0 && !each && i < 2 && leaders[i] < l->readers_len; i++)
		rc = live_walk(l, &l->readers[leaders[i]]);
	for (unsigned i = 0; rc == 0 && each && i < l->readers_len; i++)
		rc = live_walk(l, &l->readers[i]);
	if (rc < 0)
		return rc;
	l->phase = LIVE_PARK;
	for (unsigned i = 0; i < l->readers_len; i++) {
		const cu_reader *leader = &l->readers[l->readers[i].parked_only ? leaders[1] : 0];

		if (!each && leader != &l->readers[i]) {
			strcpy(l->readers[i].handle, leader->handle);
			strcpy(l->readers[i].offset, leader->offset);
		}
		cu_reader_ask(&l->readers[i], l->opts, true);
	}
	return 0;
}

int cu_load_idle(const struct cu_load_opts *opts)
{
	struct live l = { 0 };
	int rc = live_open(&l, opts, false);

	if (rc == 0)
		rc = live_park_all(&l);
	if (rc == 0)
		rc = live_settle(&l, opts->settle_ms + opts->readers / 10);
	if (rc == 0) {
		printf("{\"bench\":\"idle\",\"parked\":%u,\"reparked\":%llu,\"unavailable\":%llu}\n", opts->readers,
		       (unsigned long long)l.reparked, (unsigned long long)cu_load_failures.unavailable);
		rc = input_watch(&l);
	}
	while (rc == 0 && !l.input_end)
		rc = live_step(&l, 1000);
	live_close(&l);
	return rc;
}

static void drain_report(struct live *l, uint64_t start)
{
	double seconds = (double)(l->found_ns - start) / 1e9;

	printf("%llu items in %.4f s: %.0f items/s, %llu answers, %.1f MB\n", (unsigned long long)l->items.count,
	       seconds, (double)l->items.count / seconds, (unsigned long long)l->answers, (double)l->body_bytes / 1e6);
	printf("{\"bench\":\"drain\",\"seconds\":%.6f,\"items\":%llu,\"items_per_s\":%.1f,\"answers\":%llu,"
	       "\"body_bytes\":%llu,\"marker\":%s,\"broken\":%llu,\"unavailable\":%llu,\"refetches\":%llu}\n",
	       seconds, (unsigned long long)l->items.count, (double)l->items.count / seconds,
	       (unsigned long long)l->answers, (unsigned long long)l->body_bytes,
	       l->has_marker && l->marker.count ? "true" : "false", (unsigned long long)cu_load_failures.broken,
	       (unsigned long long)cu_load_failures.unavailable, (unsigned long long)cu_load_failures.refetches);
}

int cu_load_drain(const struct cu_load_opts *opts)
{
	struct live l = { 0 };
	cu_reader *reader;
	uint64_t start = 0;
	int rc;

	if (!opts->items && !opts->marker) {
		fprintf(stderr, "load: drain wants --items or --marker\n");
		return CU_EINVAL;
	}
	cu_scan_init(&l.items, "\"operation\":\"");
	l.has_marker = opts->marker != NULL;
	cu_scan_init(&l.marker, opts->marker ? opts->marker : "-");
	rc = live_open(&l, opts, true);
	reader = l.readers;
	if (rc == 0 && opts->handle && opts->offset && strlen(opts->handle) < sizeof reader->handle &&
	    strlen(opts->offset) < sizeof reader->offset) {
		strcpy(reader->handle, opts->handle);
		strcpy(reader->offset, opts->offset);
	} else if (rc == 0) {
		rc = live_walk(&l, reader);
	}
	if (rc == 0)
		rc = input_watch(&l);
	if (rc < 0)
		goto out;
	l.phase = LIVE_DRAIN;
	l.answers = 0;
	cu_reader_ask(reader, opts, true);
	printf("{\"bench\":\"drain\",\"ready\":true,\"handle\":\"%s\",\"offset\":\"%s\"}\n", reader->handle,
	       reader->offset);
	while (rc == 0 && !l.found_ns) {
		rc = live_step(&l, 1000);
		if (start || !(l.input_line || l.input_end))
			continue;
		start = cu_now_ns();
		l.progress_ns = start;
		if (opts->cont_pid && kill(opts->cont_pid, SIGCONT) < 0) {
			perror("load: --cont");
			rc = CU_EIO;
		}
	}
	if (rc == 0 && !start) {
		fprintf(stderr, "load: everything was readable before the clock started\n");
		rc = CU_EINVAL;
	}
	if (rc == 0)
		drain_report(&l, start);
out:
	live_close(&l);
	cu_scan_fini(&l.items);
	cu_scan_fini(&l.marker);
	return rc;
}

/* What the rounds measured; in milliseconds. */
struct wait_result {
	cu_samples all_sent;   /* each answer, since the write was sent */
	cu_samples all_commit; /* each answer, since its commit returned */
	cu_samples median_commit;
	cu_samples p99_commit;
	cu_samples last_commit; /* per round */
	cu_samples last_sent;
	cu_samples spread; /* first to last answer of a round */
};

static void round_record(struct live *l, const cu_pgwrite *write, struct wait_result *result)
{
	cu_samples round = { 0 };
	double base = (double)(write->commit_ns - write->sent_ns) / 1e6;
	double last;

	for (unsigned i = 0; i < l->opts->readers; i++) {
		double sent = ((double)l->done_ns[i] - (double)write->sent_ns) / 1e6;

		cu_samples_add(&round, sent - base);
		cu_samples_add(&result->all_sent, sent);
		cu_samples_add(&result->all_commit, sent - base);
	}
	last = cu_samples_at(&round, 1);
	cu_samples_add(&result->median_commit, cu_samples_at(&round, 0.5));
	cu_samples_add(&result->p99_commit, cu_samples_at(&round, 0.99));
	cu_samples_add(&result->last_commit, last);
	cu_samples_add(&result->last_sent, last + base);
	cu_samples_add(&result->spread, last - cu_samples_at(&round, 0));
	cu_samples_fini(&round);
}

static int wait_round(struct live *l, cu_pgwrite *write)
{
	int rc = live_settle(l, l->opts->settle_ms);

	if (rc < 0)
		return rc;
	l->phase = LIVE_ROUND;
	l->pending = l->opts->readers;
	for (unsigned i = 0; i < l->readers_len; i++)
		l->readers[i].answered = false;
	l->progress_ns = cu_now_ns();
	rc = cu_pgwrite_start(write);
	while (rc == 0 && (l->pending || !write->commit_ns)) {
		rc = live_step(l, 1000);
		if (rc == 0)
			rc = write->failed ? CU_EPG : 0;
	}
	return rc;
}

static void wait_report(struct live *l, const struct cu_load_opts *opts, struct wait_result *result)
{
	printf("%u waiting readers%s, %u writes (%llu answers without news)\n", opts->readers,
	       opts->others ? " beside those of another shape" : "", opts->rounds, (unsigned long long)l->reparked);
	cu_load_print_samples("sent to answer, each", &result->all_sent);
	cu_load_print_samples("commit to answer, each", &result->all_commit);
	cu_load_print_samples("  a round's median", &result->median_commit);
	cu_load_print_samples("  a round's p99", &result->p99_commit);
	cu_load_print_samples("  a round's last", &result->last_commit);
	cu_load_print_samples("  a round's last since sent", &result->last_sent);
	cu_load_print_samples("  a round's first to last", &result->spread);
	printf("{\"bench\":\"wait\",\"readers\":%u,\"others\":%u,\"rounds\":%u", opts->readers, opts->others_len,
	       opts->rounds);
	cu_load_json_samples("sent_ms", &result->all_sent);
	cu_load_json_samples("commit_ms", &result->all_commit);
	cu_load_json_samples("round_median_ms", &result->median_commit);
	cu_load_json_samples("round_p99_ms", &result->p99_commit);
	cu_load_json_samples("round_last_ms", &result->last_commit);
	cu_load_json_samples("round_last_sent_ms", &result->last_sent);
	cu_load_json_samples("round_spread_ms", &result->spread);
	printf(",\"reparked\":%llu,\"broken\":%llu,\"unavailable\":%llu}\n", (unsigned long long)l->reparked,
	       (unsigned long long)cu_load_failures.broken, (unsigned long long)cu_load_failures.unavailable);
}

int cu_load_wait(const struct cu_load_opts *opts)
{
	struct live l = { 0 };
	struct wait_result result = { 0 };
	cu_pgwrite write = { 0 };
	int rc = live_open(&l, opts, false);

	if (rc == 0)
		rc = cu_pgwrite_open(&write, l.client, opts);
	if (rc == 0)
		rc = live_park_all(&l);
	if (rc == 0)
		rc = live_settle(&l, l.readers_len / 10);
	if (rc == 0)
		printf("{\"bench\":\"wait\",\"parked\":%u}\n", l.readers_len);
	for (unsigned round = 0; rc == 0 && round < opts->warmup + opts->rounds; round++) {
		rc = wait_round(&l, &write);
		if (rc < 0)
			break;
		if (round >= opts->warmup)
			round_record(&l, &write, &result);
		l.phase = LIVE_PARK;
		for (unsigned i = 0; i < opts->readers; i++)
			cu_reader_ask(&l.readers[i], opts, true);
	}
	if (rc == 0)
		wait_report(&l, opts, &result);
	cu_pgwrite_close(&write);
	live_close(&l);
	cu_samples_fini(&result.all_sent);
	cu_samples_fini(&result.all_commit);
	cu_samples_fini(&result.median_commit);
	cu_samples_fini(&result.p99_commit);
	cu_samples_fini(&result.last_commit);
	cu_samples_fini(&result.last_sent);
	cu_samples_fini(&result.spread);
	return rc;
}
