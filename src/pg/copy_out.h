/* copy_out.h: COPY … TO STDOUT, line by line.
 *
 * Threads: the connection's. Blocks; a cancel request ends it. Cost: libpq's copy of each line.
 */
#ifndef CU_PG_COPY_OUT_H
#define CU_PG_COPY_OUT_H

#include "pg/conn.h"

/* Others wait for the end of a copy: when it goes on beyond a time, they are told so, once. */
struct cu_pg_patience {
	uint64_t until_ms;
	void (*lost)(void *ctx); /* NULL: nobody waits, or they know */
	void *ctx;
};

/* sql: may be several statements, COPY the last. Each line, with its newline, goes to on_line, which borrows it; what that
 * returns below 0 ends the copy at once, with the connection in the middle of it (the pool replaces such a one). patience
 * may be NULL. CU_EPG with err. */
int cu_pg_copy_out(PGconn *conn, const char *sql, struct cu_pg_patience *patience,
		   int (*on_line)(void *ctx, const char *line, size_t len), void *ctx, struct cu_pg_error *err);

#endif
