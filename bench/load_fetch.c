/* load_fetch.c: `load fetch` and `load get`: throughput and latency of reading what is already there. */
#include "bench/load.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

struct fetch {
	const struct cu_load_opts *opts;
	cu_reader *readers;
	unsigned walking; /* readers that are not through */
	uint64_t asked;   /* requests made or promised by running walks */
	unsigned next;    /* --each: the first path that nobody has asked for */
	uint64_t answers;
	uint64_t body_bytes;
	uint64_t wire_bytes;
	uint64_t progress_ns;
	cu_samples request_ms;
	cu_samples first_ms; /* until the first byte */
	cu_samples walk_ms;

	/* --save: reader 0's first walk */
	FILE *save;
	unsigned saved;
	bool saving;
};

static struct fetch *fetch_of; /* the hooks get the reader, this is the rest */

static void ask_next(struct fetch *f, cu_reader *reader)
{
	f->asked++;
	if (f->opts->each)
		cu_conn_get(reader->conn, f->opts->targets[f->next++]);
	else if (f->opts->targets_len)
		cu_conn_get(reader->conn, f->opts->targets[reader->step++]);
	else
		cu_reader_ask(reader, f->opts, false);
}

static void save_open(struct fetch *f)
{
	cu_buf path = CU_BUF_INIT;

	cu_buf_printf(&path, "%s/%06u.body", f->opts->save, f->saved++);
	f->save = fopen(cu_buf_str(&path), "w");
	if (!f->save) {
		fprintf(stderr, "load: %s: %s\n", cu_buf_str(&path), strerror(errno));
		exit(1);
	}
	cu_buf_fini(&path);
}

static void save_body(cu_conn *conn, void *user, const char *data, size_t len)
{
	struct fetch *f = fetch_of;
	cu_reader *reader = user;

	(void)conn;
	if (!f->saving || reader->index != 0)
		return;
	if (!f->save)
		save_open(f);
	if (fwrite(data, 1, len, f->save) != len) {
		perror("load: --save");
		exit(1);
	}
}

static void walk_done(struct fetch *f, cu_reader *reader, uint64_t now)
{
	cu_samples_add(&f->walk_ms, (double)(now - reader->walk_ns) / 1e6);
	if (reader->index == 0)
		f->saving = false;
	reader->step = 0;
	cu_reader_rewind(reader);
	if (f->opts->each ? f->next < f->opts->targets_len : f->asked < f->opts->requests)
		ask_next(f, reader);
	else
		f->walking--;
}

static void on_answer(cu_conn *conn, void *user, const cu_answer *answer)
{
	struct fetch *f = fetch_of;
	cu_reader *reader = user;
	bool done;

	(void)conn;
	f->progress_ns = answer->done_ns;
	if (!cu_reader_take(reader, answer))
		return;
	if (f->save && reader->index == 0) {
		fclose(f->save);
		f->save = NULL;
	}
	f->answers++;
	f->body_bytes += answer->body_bytes;
	f->wire_bytes += answer->wire_bytes;
	cu_samples_add(&f->request_ms, (double)(answer->done_ns - answer->sent_ns) / 1e6);
	cu_samples_add(&f->first_ms, (double)(answer->first_ns - answer->sent_ns) / 1e6);
	done = f->opts->each || (f->opts->targets_len ? reader->step == f->opts->targets_len : answer->up_to_date);
	if (done)
		walk_done(f, reader, answer->done_ns);
	else
		ask_next(f, reader);
}

static void report(struct fetch *f, double seconds)
{
	double mb = (double)f->body_bytes / 1e6;

	printf("%u readers, %llu answers, %.1f MB of bodies in %.3f s: %.1f MB/s, %.0f answers/s\n", f->opts->readers,
	       (unsigned long long)f->answers, mb, seconds, mb / seconds, (double)f->answers / seconds);
	cu_load_print_samples("request", &f->request_ms);
	cu_load_print_samples("first byte", &f->first_ms);
	cu_load_print_samples("whole walk", &f->walk_ms);
	printf("{\"bench\":\"%s\",\"readers\":%u,\"answers\":%llu,\"body_bytes\":%llu,\"wire_bytes\":%llu,"
	       "\"seconds\":%.6f,\"mb_per_s\":%.2f,\"answers_per_s\":%.1f",
	       f->opts->targets_len ? "get" : "fetch", f->opts->readers, (unsigned long long)f->answers,
	       (unsigned long long)f->body_bytes, (unsigned long long)f->wire_bytes, seconds, mb / seconds,
	       (double)f->answers / seconds);
	cu_load_json_samples("request_ms", &f->request_ms);
	cu_load_json_samples("first_byte_ms", &f->first_ms);
	cu_load_json_samples("walk_ms", &f->walk_ms);
	printf(",\"broken\":%llu,\"unavailable\":%llu,\"refetches\":%llu}\n",
	       (unsigned long long)cu_load_failures.broken, (unsigned long long)cu_load_failures.unavailable,
	       (unsigned long long)cu_load_failures.refetches);
}

int cu_load_fetch(const struct cu_load_opts *opts)
{
	struct fetch f = { .opts = opts, .saving = opts->save != NULL };
	struct cu_client_hooks hooks = { on_answer, opts->save ? save_body : NULL };
	cu_client *client = NULL;
	uint64_t start;
	int rc;

	fetch_of = &f;
	f.readers = cu_xzalloc(opts->readers * sizeof *f.readers);
	rc = cu_client_new(opts->base, hooks, &client);
	if (rc < 0)
		goto out;
	for (unsigned i = 0; i < opts->readers; i++) {
		f.readers[i].index = i;
		f.readers[i].table = opts->table ? opts->table : "";
		rc = cu_client_connect(client, &f.readers[i], &f.readers[i].conn);
		if (rc < 0)
			goto out;
	}
	start = cu_now_ns();
	f.progress_ns = start;
	f.walking = opts->each ? CU_MIN(opts->readers, opts->targets_len) : opts->readers;
	for (unsigned i = 0; i < f.walking; i++) {
		cu_reader_rewind(&f.readers[i]);
		ask_next(&f, &f.readers[i]);
	}
	while (f.walking) {
		cu_client_step(client, 1000);
		if (cu_now_ns() - f.progress_ns > opts->limit_s * 1000000000ull) {
			fprintf(stderr, "load: no answer for %u s, %u readers not through\n", opts->limit_s, f.walking);
			rc = CU_ECLOSED;
			goto out;
		}
	}
	report(&f, (double)(cu_now_ns() - start) / 1e9);
	rc = 0;
out:
	cu_client_free(&client);
	free(f.readers);
	cu_samples_fini(&f.request_ms);
	cu_samples_fini(&f.first_ms);
	cu_samples_fini(&f.walk_ms);
	return rc;
}
