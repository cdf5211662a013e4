/* encoded.h: compressed copies of files of shapes, each made once, by a thread of its own, at the first wish.
 *
 * A copy is the middle of a gzip or zstd stream (encoding.h) in a file of its own directory. What it is a copy of is told
 * by the file itself (device, inode, time) and the range: a file that was removed or replaced is never found again, and
 * its copy goes when others need the room. Nothing here survives a restart: the directory is emptied at the start.
 *
 * Threads: any. Cost of a look: an fstat, an open, a short lock. Limits: CU_ENCODED_… (limits.h). Ownership: a copy's
 * descriptor is the receiver's.
 */
#ifndef CU_API_ENCODED_H
#define CU_API_ENCODED_H

#include "api/encoding.h"
#include "store/file.h"

typedef struct cu_encoded cu_encoded;

/* bytes of fd, from 0 on. */
struct cu_encoded_copy {
	int fd;
	uint64_t bytes;
	uint32_t crc; /* of what is compressed (encoding.h) */
};

/* Called once, from any thread. copy NULL: there is none, send the file as it is. */
typedef void cu_encoded_done(void *arg, const struct cu_encoded_copy *copy);

struct cu_encoded_opts {
	const char *dir; /* copied */
	const struct cu_file_ops *ops;
	uint64_t bytes_max;
	uint32_t copies_max;
};

/* NULL: the directory cannot be used; the reason has been logged. */
cu_encoded *cu_encoded_new(const struct cu_encoded_opts *opts);
/* Nothing is made any more; those who wait are told NULL before it returns. NULL is fine. */
void cu_encoded_stop(cu_encoded *encoded);
void cu_encoded_free(cu_encoded **encoded); /* stopped; NULL is fine */

/* 0: here it is. CU_ENOTFOUND: it can be made. CU_EFULL: not now, send the file as it is. */
int cu_encoded_find(cu_encoded *encoded, enum cu_encoding encoding, int fd, uint64_t at, uint64_t len,
		    struct cu_encoded_copy *ret_copy);
/* Makes it, or waits with those who want it already. done() may come before this returns. */
void cu_encoded_make(cu_encoded *encoded, enum cu_encoding encoding, int fd, uint64_t at, uint64_t len,
		     cu_encoded_done *done, void *arg);

#endif
