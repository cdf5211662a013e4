/* pgwrite.h: the measured write of `load wait`, `sse` and `bare`: SQL over libpq on the client's loop, a command, or a signal.
 *
 * Threads: the loop's. A command blocks the loop until it ends; answers that arrive meanwhile are noted late, so SQL
 * is the one to measure with.
 */
#ifndef CU_BENCH_PGWRITE_H
#define CU_BENCH_PGWRITE_H

#include "bench/load.h"

#include <libpq-fe.h>

typedef struct cu_pgwrite {
	cu_watch watch; /* first */
	PGconn *conn;   /* NULL: --shell or --signal */
	const struct cu_load_opts *opts;
	uint64_t sent_ns;
	uint64_t commit_ns; /* 0 while the write is under way */
	bool failed;
} cu_pgwrite;

int cu_pgwrite_open(cu_pgwrite *write, cu_client *client, const struct cu_load_opts *opts);
void cu_pgwrite_close(cu_pgwrite *write);
int cu_pgwrite_start(cu_pgwrite *write);

#endif
