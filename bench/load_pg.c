/* load_pg.c: the measured write, and `load bare`: a replication connection that does nothing but note when a commit
 * message arrives. What a sync engine adds to that is its own latency. */
#include "bench/pgwrite.h"

#include "base/clock.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

static void write_ready(cu_watch *watch, uint32_t events)
{
	cu_pgwrite *write = CU_CONTAINER_OF(watch, cu_pgwrite, watch);
	PGresult *result;

	(void)events;
	if (!PQconsumeInput(write->conn)) {
		fprintf(stderr, "load: %s", PQerrorMessage(write->conn));
		exit(1);
	}
	while (!PQisBusy(write->conn) && (result = PQgetResult(write->conn))) {
		ExecStatusType status = PQresultStatus(result);

		if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
			fprintf(stderr, "load: %s", PQresultErrorMessage(result));
			write->failed = true;
		}
		write->commit_ns = cu_now_ns();
		PQclear(result);
	}
}

int cu_pgwrite_open(cu_pgwrite *write, cu_client *client, const struct cu_load_opts *opts)
{
	write->opts = opts;
	if (opts->shell || opts->signal_pid)
		return 0;
	if (!opts->db || !opts->write) {
		fprintf(stderr, "load: --db and --write (or --shell, or sse: --signal) are needed\n");
		return CU_EINVAL;
	}
	write->conn = PQconnectdb(opts->db);
	if (PQstatus(write->conn) != CONNECTION_OK) {
		fprintf(stderr, "load: %s", PQerrorMessage(write->conn));
		return CU_EPG;
	}
	write->watch.ready = write_ready;
	return cu_client_watch(client, PQsocket(write->conn), &write->watch, EPOLLIN);
}

void cu_pgwrite_close(cu_pgwrite *write)
{
	if (write->conn)
		PQfinish(write->conn);
	write->conn = NULL;
}

int cu_pgwrite_start(cu_pgwrite *write)
{
	write->commit_ns = 0;
	write->sent_ns = cu_now_ns();
	if (write->opts->signal_pid) {
		/* A real-time signal is queued: none is lost when the process is late. */
		if (sigqueue(write->opts->signal_pid, SIGRTMIN, (union sigval){ 0 }) < 0) {
			perror("load: sigqueue");
			return CU_EIO;
		}
		write->commit_ns = cu_now_ns();
		return 0;
	}
	if (!write->conn) {
		int status = system(write->opts->shell);

		write->commit_ns = cu_now_ns();
		if (status == 0)
			return 0;
		fprintf(stderr, "load: the command ended with status %d\n", status);
		return CU_EPG;
	}
	if (PQsendQuery(write->conn, write->opts->write))
		return 0;
	fprintf(stderr, "load: %s", PQerrorMessage(write->conn));
	return CU_EPG;
}

/* The bare reader. */
struct bare {
	cu_watch watch; /* first */
	PGconn *conn;
	uint64_t done_ns; /* the commit message of this round */
	uint64_t changes;
};

static uint64_t be64(const char *bytes)
{
	uint64_t value = 0;

	for (int i = 0; i < 8; i++)
		value = value << 8 | (unsigned char)bytes[i];
	return value;
}

/* Tells the walsender that everything it sent has been taken. */
static int bare_confirm(struct bare *b, uint64_t lsn)
{
	char message[34] = { 'r' };

	for (int part = 0; part < 3; part++) {
		for (int i = 0; i < 8; i++)
			message[1 + part * 8 + i] = (char)(lsn >> (56 - 8 * i));
	}
	return PQputCopyData(b->conn, message, sizeof message) == 1 && PQflush(b->conn) == 0 ? 0 : CU_EPG;
}

static void bare_message(struct bare *b, const char *data, int len)
{
	if (len > 25 && data[0] == 'w') {
		if (data[25] == 'C')
			b->done_ns = cu_now_ns();
		else if (strchr("IUD", data[25]))
			b->changes++;
	} else if (len >= 18 && data[0] == 'k' && data[17]) {
		bare_confirm(b, be64(data + 1));
	}
}

static void bare_ready(cu_watch *watch, uint32_t events)
{
	struct bare *b = CU_CONTAINER_OF(watch, struct bare, watch);
	char *data = NULL;
	int len;

	(void)events;
	if (!PQconsumeInput(b->conn)) {
		fprintf(stderr, "load: %s", PQerrorMessage(b->conn));
		exit(1);
	}
	while ((len = PQgetCopyData(b->conn, &data, 1)) > 0) {
		bare_message(b, data, len);
		PQfreemem(data);
	}
	if (len < 0) {
		fprintf(stderr, "load: the replication stream ended: %s", PQerrorMessage(b->conn));
		exit(1);
	}
}

static int bare_open(struct bare *b, cu_client *client, const struct cu_load_opts *opts)
{
	const char *const names[] = { "dbname", "replication", NULL }; /* dbname may be a whole connection string */
	const char *const values[] = { opts->db, "database", NULL };
	cu_buf text = CU_BUF_INIT;
	PGresult *result = NULL;
	char slot[64];
	int rc = CU_EPG;

	snprintf(slot, sizeof slot, "copper_bare_%d", (int)getpid());
	b->conn = PQconnectdbParams(names, values, 1);
	if (PQstatus(b->conn) != CONNECTION_OK) {
		fprintf(stderr, "load: %s", PQerrorMessage(b->conn));
		goto out;
	}
	cu_buf_printf(&text, "CREATE_REPLICATION_SLOT %s TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT", slot);
	result = PQexec(b->conn, cu_buf_str(&text));
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		goto fail;
	PQclear(result);
	cu_buf_clear(&text);
	cu_buf_printf(&text, "START_REPLICATION SLOT %s LOGICAL 0/0 (proto_version '1', publication_names '\"%s\"')",
		      slot, opts->publication);
	result = PQexec(b->conn, cu_buf_str(&text));
	if (PQresultStatus(result) != PGRES_COPY_BOTH)
		goto fail;
	b->watch.ready = bare_ready;
	rc = cu_client_watch(client, PQsocket(b->conn), &b->watch, EPOLLIN);
	goto out;
fail:
	fprintf(stderr, "load: %s", PQresultErrorMessage(result));
out:
	PQclear(result);
	cu_buf_fini(&text);
	return rc;
}

/* Runs the loop until the time has come, or until both ends of the round are known. */
static int bare_run(cu_client *client, struct bare *b, cu_pgwrite *write, unsigned ms, bool settle)
{
	uint64_t end = cu_now_ns() + ms * 1000000ull;
	uint64_t now;

	while ((now = cu_now_ns()) < end) {
		if (!settle && b->done_ns && write->commit_ns)
			return 0;
		cu_client_step(client, (int)((end - now) / 1000000u) + 1);
		if (write->failed)
			return CU_EPG;
	}
	if (settle)
		return 0;
	fprintf(stderr, "load: no commit message within %u ms\n", ms);
	return CU_ECLOSED;
}

int cu_load_bare(const struct cu_load_opts *opts)
{
	struct cu_client_hooks no_hooks = { NULL, NULL };
	struct bare b = { 0 };
	cu_pgwrite write = { 0 };
	cu_samples sent = { 0 };
	cu_samples commit = { 0 };
	cu_client *client = NULL;
	int rc = CU_EINVAL;

	if (!opts->db || !opts->write || !opts->publication) {
		fprintf(stderr, "load: bare wants --db, --write and --publication\n");
		return CU_EINVAL;
	}
	/* Only for its loop: nothing is connected to that address. */
	rc = cu_client_new("http://127.0.0.1:1", no_hooks, &client);
	if (rc == 0)
		rc = cu_pgwrite_open(&write, client, opts);
	if (rc == 0)
		rc = bare_open(&b, client, opts);
	for (unsigned round = 0; rc == 0 && round < opts->warmup + opts->rounds; round++) {
		rc = bare_run(client, &b, &write, opts->settle_ms, true);
		if (rc < 0)
			break;
		b.done_ns = 0;
		rc = cu_pgwrite_start(&write);
		if (rc == 0)
			rc = bare_run(client, &b, &write, opts->limit_s * 1000, false);
		if (rc == 0 && round >= opts->warmup) {
			cu_samples_add(&sent, ((double)b.done_ns - (double)write.sent_ns) / 1e6);
			cu_samples_add(&commit, ((double)b.done_ns - (double)write.commit_ns) / 1e6);
		}
	}
	if (rc == 0) {
		printf("bare replication connection, %u writes\n", opts->rounds);
		cu_load_print_samples("sent to commit message", &sent);
		cu_load_print_samples("commit to commit message", &commit);
		printf("{\"bench\":\"bare\",\"rounds\":%u,\"changes\":%llu", opts->rounds,
		       (unsigned long long)b.changes);
		cu_load_json_samples("sent_ms", &sent);
		cu_load_json_samples("commit_ms", &commit);
		printf("}\n");
	}
	if (b.conn)
		PQfinish(b.conn);
	cu_pgwrite_close(&write);
	cu_client_free(&client);
	cu_samples_fini(&sent);
	cu_samples_fini(&commit);
	return rc;
}
