/* spool.h: an answer that is being made: in memory while it is small, else in a file without a name.
 *
 * For whoever must know all of it before the first byte goes out, and may not hold it in memory: a slow client then holds
 * a file, not a connection of ours to Postgres.
 *
 * Threads: one at a time. Bound: CU_SPOOL_MEMORY per spool, CU_SPOOL_FILES_MAX in all files together. A crash can leave an
 * empty file "spool-…" behind.
 */
#ifndef CU_STORE_SPOOL_H
#define CU_STORE_SPOOL_H

#include "base/buf.h"
#include "store/file.h"

typedef struct cu_spool {
	const char *dir; /* borrowed */
	const struct cu_file_ops *ops;
	cu_buf memory; /* append here, then put(); after finish() all of it, unless there is a file */
	int fd;        /* -1: no file */
	uint64_t file_bytes;
} cu_spool;

/* ops NULL: the system. */
void cu_spool_init(cu_spool *spool, const char *dir, const struct cu_file_ops *ops);
void cu_spool_fini(cu_spool *spool);
/* Makes room in memory when there is too much. CU_ENOMEM, CU_EIO (has been logged), CU_EFULL: too much in files. */
int cu_spool_put(cu_spool *spool);
/* All of it is there: in memory, or in the file from its beginning. Fails like put. */
int cu_spool_finish(cu_spool *spool);

#endif
