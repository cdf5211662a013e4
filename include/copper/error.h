/* copper/error.h: what the public calls and every module return when the world fails.
 *
 * Threads: any. A call that can fail returns 0 (or a count) or one of these negative codes; outputs are written
 * only on success.
 */
#ifndef COPPER_ERROR_H
#define COPPER_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* The world's failures, each with its text in cu_strerror(). 0 is success. */
enum cu_err {
	CU_OK = 0,             /* it worked */
	CU_ENOMEM = -1,        /* out of memory for something a client or a file sizes */
	CU_EINVAL = -2,        /* the argument or the request is malformed */
	CU_EFULL = -3,         /* a bounded queue, table or buffer is full */
	CU_ENOTFOUND = -4,     /* no such thing */
	CU_EEXIST = -5,        /* already there */
	CU_EIO = -6,           /* a file or disk operation failed; errno has been logged */
	CU_ECORRUPT = -7,      /* bytes on disk or on the wire are not what they must be */
	CU_ETOOBIG = -8,       /* larger than its limit (limits.h) */
	CU_ECLOSED = -9,       /* the other side went away, or we are stopping */
	CU_EAGAIN = -10,       /* not now: try again later */
	CU_EPG = -11,          /* Postgres refused; the message is in the error buffer beside */
	CU_EUNSUPPORTED = -12, /* understood, but not offered */
	CU_EBUSY = -13,        /* somebody else has it */
	CU_ENOSPC = -14,       /* as CU_EIO, for want of room: the disk or a quota is full */
};

/* The fixed English text of a CU_E… code; never NULL. */
const char *cu_strerror(int code);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
