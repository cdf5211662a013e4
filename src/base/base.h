/* base.h: what every module may use: error codes, assertions, allocation.
 *
 * Threads: any. Cost: none worth naming.
 *
 * A bug asserts, in release builds too. The world's failures are negative CU_E… codes.
 * Out of memory aborts for small fixed structures (cu_x…); whatever a client or a file sizes goes
 * through cu_try_… and its failure is an error for that client.
 */
#ifndef CU_BASE_H
#define CU_BASE_H

#include "copper/error.h" /* CU_E… and cu_strerror(), shared with the public headers */

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Aborts with file, line and text, in release builds too. For bugs only. */
#define CU_ASSERT(cond) ((cond) ? (void)0 : cu_assert_failed(__FILE__, __LINE__, #cond))
_Noreturn void cu_assert_failed(const char *file, int line, const char *text);

#define CU_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CU_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define CU_PRINTF(fmt_at, args_at) __attribute__((format(printf, fmt_at, args_at)))
#define CU_MIN(a, b) ((a) < (b) ? (a) : (b))
#define CU_MAX(a, b) ((a) > (b) ? (a) : (b))

/* A disk or file that failed, full or broken. */
static inline bool cu_is_disk_error(int rc)
{
	return rc == CU_EIO || rc == CU_ENOSPC;
}

/* What an errno of a file operation comes to. */
static inline int cu_disk_error(int of_errno)
{
	return of_errno == ENOSPC || of_errno == EDQUOT ? CU_ENOSPC : CU_EIO;
}

/* The value of a hex digit, -1: it is none. */
static inline int cu_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Allocation that aborts when it fails: small structures of a size we chose. Returns owned. */
void *cu_xmalloc(size_t size);
void *cu_xzalloc(size_t size);
void *cu_xaligned_alloc(size_t alignment, size_t size); /* a power of two */
void *cu_xrealloc(void *ptr, size_t size);
char *cu_xstrdup(const char *text);
char *cu_xstrndup(const char *text, size_t len);
void *cu_xmemdup(const void *data, size_t len);

/* Allocation that may fail (returns NULL): anything a client or a file sizes. Returns owned. */
void *cu_try_malloc(size_t size);
void *cu_try_zalloc(size_t size);
void *cu_try_realloc(void *ptr, size_t size);

/* Zeroed pages of their own, for what is large and sparse: a page costs memory once it is touched. NULL on failure.
 * cu_unmap() with the same size; NULL is fine. */
void *cu_try_map(size_t size);
void cu_unmap(void *ptr, size_t size);

/* For fault tests: the n-th cu_try_… allocation of this thread from now on fails, once (1 = the next).
 * 0 switches it off. Returns how many were still to go. */
unsigned cu_fault_alloc_at(unsigned n);
/* The same, and every one after it, until it is switched off. */
unsigned cu_fault_alloc_from(unsigned n);

#endif
