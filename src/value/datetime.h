/* datetime.h: date, time, timetz, timestamp, timestamptz and interval values.
 *
 * The numbers are Postgres' own: microseconds, days since 2000-01-01, months. The sessions' time zone is UTC, which is
 * why a timestamptz computes as a timestamp does.
 *
 * Threads: plain data, any. Ownership: whoever made the datum; functions put theirs into the call's arena.
 */
#ifndef CU_DATETIME_H
#define CU_DATETIME_H

#include "base/base.h"

struct cu_interval {
	int64_t time; /* microseconds */
	int32_t day;
	int32_t month;
};

struct cu_timetz {
	int64_t time; /* microseconds since midnight, local */
	int32_t zone; /* seconds west of UTC: +02 is -7200 */
};

#endif
