/* oracle.c: queries in pipelines, each in a transaction of its own, so that one that fails disturbs no other. */
#include "where.h"

static void broken(PGconn *conn)
{
	fprintf(stderr, "Postgres: %s\n", PQerrorMessage(conn));
	abort();
}

void w_run(PGconn *conn, const char *sql)
{
	PGresult *result = PQexec(conn, sql);

	if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK) {
		fprintf(stderr, "%s\n", sql);
		broken(conn);
	}
	PQclear(result);
}

/* As the product's sessions (src/pg/conn.c). */
void w_session(PGconn *conn)
{
	w_run(conn, "SET bytea_output = 'hex'; SET DateStyle = 'ISO, DMY'; SET TimeZone = 'UTC';"
		    "SET extra_float_digits = 1; SET IntervalStyle = 'iso_8601'; SET client_min_messages = error;"
		    "SET statement_timeout = '60s'; SET jit = off; SET synchronous_commit = off");
}

void w_ask(PGconn *conn, const struct wquery *queries, unsigned len, PGresult **ret_results)
{
	if (len == 0)
		return;
	if (!PQenterPipelineMode(conn))
		broken(conn);
	/* Queries and answers of one window fit into the socket's buffers, so that neither side waits for the other. */
	for (unsigned from = 0; from < len; from += 32) {
		unsigned to = CU_MIN(from + 32, len);

		for (unsigned i = from; i < to; i++) {
			if (!PQsendQueryParams(conn, queries[i].sql, (int)queries[i].params_len, NULL,
					       queries[i].params, NULL, NULL, 0) ||
			    !PQpipelineSync(conn))
				broken(conn);
		}
		for (unsigned i = from; i < to; i++) {
			PGresult *result = PQgetResult(conn);

			if (!result)
				broken(conn);
			ret_results[i] = result;
			result = PQgetResult(conn);
			if (result != NULL)
				broken(conn);
			result = PQgetResult(conn);
			if (PQresultStatus(result) != PGRES_PIPELINE_SYNC)
				broken(conn);
			PQclear(result);
		}
	}
	if (!PQexitPipelineMode(conn))
		broken(conn);
}
