/* clock.h: the two clocks. Threads: any. */
#ifndef CU_CLOCK_H
#define CU_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Monotonic, for durations and deadlines. */
static inline uint64_t cu_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}
static inline uint64_t cu_now_ms(void)
{
	return cu_now_ns() / 1000000u;
}
/* Wall clock, microseconds since 1970, for handles, cursors and headers. */
static inline uint64_t cu_wall_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000ull + (uint64_t)ts.tv_nsec / 1000u;
}

#endif
