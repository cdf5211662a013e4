/* cond.h: condition variables whose timed waits go by the monotonic clock.
 *
 * Threads: any. pthread_cond_timedwait(cond, mutex, &until) with until from cu_until_…().
 */
#ifndef CU_BASE_COND_H
#define CU_BASE_COND_H

#include "base/base.h"
#include "base/clock.h"

#include <pthread.h>

static inline void cu_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t monotonic;

	CU_ASSERT(pthread_condattr_init(&monotonic) == 0);
	CU_ASSERT(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
	CU_ASSERT(pthread_cond_init(cond, &monotonic) == 0);
	pthread_condattr_destroy(&monotonic);
}

/* A time of cu_now_ns(), of cu_now_ms(), as the wait wants it. */
static inline struct timespec cu_until_ns(uint64_t ns)
{
	return (struct timespec){ (time_t)(ns / 1000000000u), (long)(ns % 1000000000u) };
}
static inline struct timespec cu_until_ms(uint64_t ms)
{
	return (struct timespec){ (time_t)(ms / 1000u), (long)(ms % 1000u) * 1000000 };
}

#endif
