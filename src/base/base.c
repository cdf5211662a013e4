/* base.c: error texts, assertions, allocation. */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

static _Thread_local unsigned fault_alloc_countdown;
static _Thread_local bool fault_alloc_lasts;
static _Thread_local bool fault_alloc_struck; /* and lasts */

const char *cu_strerror(int code)
{
	switch (code) {
	case CU_OK: return "success";
	case CU_ENOMEM: return "out of memory";
	case CU_EINVAL: return "invalid argument";
	case CU_EFULL: return "full";
	case CU_ENOTFOUND: return "not found";
	case CU_EEXIST: return "already exists";
	case CU_EIO: return "input/output error";
	case CU_ECORRUPT: return "corrupt data";
	case CU_ETOOBIG: return "too large";
	case CU_ECLOSED: return "closed";
	case CU_EAGAIN: return "try again later";
	case CU_EPG: return "Postgres reported an error";
	case CU_EUNSUPPORTED: return "not supported";
	case CU_EBUSY: return "in use by somebody else";
	case CU_ENOSPC: return "no space left on the disk";
	default: return "unknown error";
	}
}

_Noreturn void cu_assert_failed(const char *file, int line, const char *text)
{
	fprintf(stderr, "copper: bug: %s:%d: assertion failed: %s\n", file, line, text);
	fflush(stderr);
	abort();
}

static _Noreturn void out_of_memory(size_t size)
{
	fprintf(stderr, "copper: out of memory (%zu bytes)\n", size);
	fflush(stderr);
	abort();
}

void *cu_xmalloc(size_t size)
{
	void *ptr = malloc(size ? size : 1);

	if (!ptr)
		out_of_memory(size);
	return ptr;
}

void *cu_xzalloc(size_t size)
{
	void *ptr = calloc(1, size ? size : 1);

	if (!ptr)
		out_of_memory(size);
	return ptr;
}

void *cu_xaligned_alloc(size_t alignment, size_t size)
{
	void *ptr;

	if (posix_memalign(&ptr, alignment, size) != 0)
		out_of_memory(size);
	return ptr;
}

void *cu_xrealloc(void *ptr, size_t size)
{
	void *moved = realloc(ptr, size ? size : 1);

	if (!moved)
		out_of_memory(size);
	return moved;
}

char *cu_xstrndup(const char *text, size_t len)
{
	char *copy = cu_xmalloc(len + 1);

	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

char *cu_xstrdup(const char *text)
{
	return cu_xstrndup(text, strlen(text));
}

void *cu_xmemdup(const void *data, size_t len)
{
	void *copy = cu_xmalloc(len);

	memcpy(copy, data, len);
	return copy;
}

static bool fault_now(void)
{
	if (fault_alloc_countdown == 0)
		return fault_alloc_struck;
	if (--fault_alloc_countdown != 0)
		return false;
	fault_alloc_struck = fault_alloc_lasts;
	return true;
}

unsigned cu_fault_alloc_at(unsigned n)
{
	unsigned left = fault_alloc_countdown;

	fault_alloc_countdown = n;
	fault_alloc_lasts = false;
	fault_alloc_struck = false;
	return left;
}

unsigned cu_fault_alloc_from(unsigned n)
{
	unsigned left = cu_fault_alloc_at(n);

	fault_alloc_lasts = true;
	return left;
}

void *cu_try_malloc(size_t size)
{
	return fault_now() ? NULL : malloc(size ? size : 1);
}

void *cu_try_zalloc(size_t size)
{
	return fault_now() ? NULL : calloc(1, size ? size : 1);
}

void *cu_try_realloc(void *ptr, size_t size)
{
	return fault_now() ? NULL : realloc(ptr, size ? size : 1);
}

void *cu_try_map(size_t size)
{
	void *ptr =
		fault_now() ? MAP_FAILED : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return ptr == MAP_FAILED ? NULL : ptr;
}

void cu_unmap(void *ptr, size_t size)
{
	if (ptr)
		(void)munmap(ptr, size);
}
