/* copy_out.c: waiting for a COPY's lines, with others looking on. */
#include "pg/copy_out.h"

#include "base/clock.h"

#include <poll.h>

/* Waits for something to read; while others wait for us, no longer than their patience. -1: the connection is lost. -2:
 * nobody wants it any more. */
static int wait_for_input(PGconn *conn, struct cu_pg_patience *patience)
{
	struct pollfd fds[2] = {
		{ .fd = PQsocket(conn), .events = POLLIN },
		{ .fd = cu_pg_thread_job_cancel_fd_get(), .events = POLLIN },
	};
	uint64_t now = cu_now_ms();

	if (patience->lost && now >= patience->until_ms) {
		patience->lost(patience->ctx);
		patience->lost = NULL;
	}
	if (poll(fds, 2, patience->lost ? (int)(patience->until_ms - now) : -1) <= 0)
		return 0;
	if (fds[1].revents)
		return -2;
	return fds[0].revents && !PQconsumeInput(conn) ? -1 : 0;
}

/* As PQexec(). The server says that the COPY has begun only when it sends the first rows, for a clause that few rows meet
 * after minutes. */
static PGresult *start(PGconn *conn, const char *sql, struct cu_pg_patience *patience)
{
	PGresult *last = NULL, *next;

	if (!PQsendQuery(conn, sql))
		return NULL;
	do {
		while (PQisBusy(conn)) {
			int rc = wait_for_input(conn, patience);

			if (rc == -2) {
				PQclear(last);
				return NULL;
			}
			if (rc < 0)
				break;
		}
		next = PQgetResult(conn);
		if (!next)
			break;
		PQclear(last);
		last = next;
	} while (PQresultStatus(last) != PGRES_COPY_OUT && PQstatus(conn) == CONNECTION_OK);
	return last;
}

/* As PQgetCopyData(). */
static int next_line(PGconn *conn, struct cu_pg_patience *patience, char **ret_line)
{
	int len;

	while ((len = PQgetCopyData(conn, ret_line, 1)) == 0) {
		if (wait_for_input(conn, patience) < 0)
			return -2;
	}
	return len;
}

/* What follows the last line: whether all went well. */
static int copy_end(PGconn *conn, struct cu_pg_error *err)
{
	PGresult *result;
	int rc = 0;

	while (rc == 0 && (result = PQgetResult(conn))) {
		if (PQresultStatus(result) != PGRES_COMMAND_OK)
			rc = cu_pg_error_of(conn, result, err);
		PQclear(result);
	}
	return rc;
}

int cu_pg_copy_out(PGconn *conn, const char *sql, struct cu_pg_patience *patience,
		   int (*on_line)(void *ctx, const char *line, size_t len), void *ctx, struct cu_pg_error *err)
{
	struct cu_pg_patience nobody = { 0 };
	PGresult *result;
	int rc;

	if (!patience)
		patience = &nobody;
	result = start(conn, sql, patience);
	rc = PQresultStatus(result) == PGRES_COPY_OUT ? 0 : cu_pg_error_of(conn, result, err);
	PQclear(result);
	while (rc == 0) {
		char *line;
		int len = next_line(conn, patience, &line);

		if (len == -1)
			return copy_end(conn, err);
		if (len < 0)
			return cu_pg_error_of(conn, NULL, err);
		rc = on_line(ctx, line, (size_t)len);
		PQfreemem(line);
	}
	return rc;
}
