/* datetime_impl.h: what the files about dates and times share (calendar.c and its users). Not for others. */
#ifndef CU_DATETIME_IMPL_H
#define CU_DATETIME_IMPL_H

#include "value/datetime.h"
#include "value/internal.h"

#define USECS_PER_SEC INT64_C(1000000)
#define USECS_PER_MINUTE INT64_C(60000000)
#define USECS_PER_HOUR INT64_C(3600000000)
#define USECS_PER_DAY INT64_C(86400000000)
#define SECS_PER_DAY 86400
#define MONTHS_PER_YEAR 12
#define DAYS_PER_MONTH 30        /* where an interval's months must be days */
#define EPOCH_JDATE 2451545      /* 2000-01-01, our day 0 */
#define UNIX_EPOCH_JDATE 2440588 /* 1970-01-01 */
#define DATE_NOBEGIN INT32_MIN
#define DATE_NOEND INT32_MAX
#define DATE_MIN (0 - EPOCH_JDATE)                   /* 4714-11-24 BC */
#define DATE_END (2147483494 - EPOCH_JDATE)          /* 5874898-01-01 */
#define TIMESTAMP_DATE_END (109203528 - EPOCH_JDATE) /* 294277-01-01 */
#define TIMESTAMP_NOBEGIN INT64_MIN
#define TIMESTAMP_NOEND INT64_MAX
#define TIMESTAMP_MIN (DATE_MIN * USECS_PER_DAY)
#define TIMESTAMP_END (TIMESTAMP_DATE_END * USECS_PER_DAY)
#define UNIX_EPOCH_TIMESTAMP ((UNIX_EPOCH_JDATE - EPOCH_JDATE) * USECS_PER_DAY)
/* Bits of an interval's type modifier. */
#define INTERVAL_MONTH (1 << 1)
#define INTERVAL_YEAR (1 << 2)
#define INTERVAL_DAY (1 << 3)
#define INTERVAL_HOUR (1 << 10)
#define INTERVAL_MINUTE (1 << 11)
#define INTERVAL_SECOND (1 << 12)
#define INTERVAL_FULL_RANGE 0x7fff
#define INTERVAL_FULL_PRECISION 0xffff

/* A point in time in its parts; year 0 is 1 BC. */
struct cu_parts {
	int year, month, day;
	int hour, minute, second, usec;
};

static inline bool cu_date_is_finite(int64_t date)
{
	return date != DATE_NOBEGIN && date != DATE_NOEND;
}
static inline bool cu_timestamp_is_finite(int64_t timestamp)
{
	return timestamp != TIMESTAMP_NOBEGIN && timestamp != TIMESTAMP_NOEND;
}
static inline bool cu_date_is_valid(int64_t date)
{
	return date >= DATE_MIN && date < DATE_END;
}
static inline bool cu_timestamp_is_valid(__int128 timestamp)
{
	return timestamp >= TIMESTAMP_MIN && timestamp < TIMESTAMP_END;
}
/* Rounded towards minus infinity. */
static inline int64_t cu_floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b != 0 && (a < 0) != (b < 0));
}
/* What Postgres computes where it does not look for overflow: it is built with -fwrapv. */
static inline int64_t cu_wrap_add(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

/* calendar.c */
int cu_month_days(int year, int month);
/* Days since 2000-01-01, of any year, month 1 … 12, any day. */
int64_t cu_days_of(int64_t year, int month, int64_t day);
void cu_days_split(int64_t days, int *ret_year, int *ret_month, int *ret_day);
bool cu_julian_is_valid(int year, int month); /* the range in which Postgres computes with dates at all */
void cu_timestamp_split(int64_t timestamp, struct cu_parts *ret_parts);
/* False when out of range. zone: seconds west of UTC. */
bool cu_timestamp_join(const struct cu_parts *parts, int zone, int64_t *ret_timestamp);
int cu_day_of_week(int64_t days); /* 0 = Sunday */
void cu_iso_week(int64_t days, int *ret_year, int *ret_week);
void cu_put_padded(cu_buf *out, int value, int width); /* with zeros; value >= 0 */
void cu_put_time_parts(cu_buf *out, int hour, int minute, int second, int usec);
void cu_put_usecs(cu_buf *out, int usec); /* ".5", "" for 0 */
int64_t cu_time_round(int64_t time, int precision);

/* datetime_in.c: texts of ours and of Postgres, see there. */
int cu_date_in(const struct cu_type *type, int32_t typmod, const char *text, size_t len, cu_arena *arena,
	       struct cu_datum *ret_datum, struct cu_value_error *err);
int cu_time_in(const struct cu_type *type, int32_t typmod, const char *text, size_t len, cu_arena *arena,
	       struct cu_datum *ret_datum, struct cu_value_error *err);
int cu_timetz_in(const struct cu_type *type, int32_t typmod, const char *text, size_t len, cu_arena *arena,
		 struct cu_datum *ret_datum, struct cu_value_error *err);
int cu_timestamp_in(const struct cu_type *type, int32_t typmod, const char *text, size_t len, cu_arena *arena,
		    struct cu_datum *ret_datum, struct cu_value_error *err);
int cu_timestamp_typmod(const struct cu_type *type, int32_t typmod, bool is_explicit, cu_arena *arena,
			struct cu_datum *datum, struct cu_value_error *err);
int cu_time_typmod(const struct cu_type *type, int32_t typmod, bool is_explicit, cu_arena *arena,
		   struct cu_datum *datum, struct cu_value_error *err);
int cu_timetz_typmod(const struct cu_type *type, int32_t typmod, bool is_explicit, cu_arena *arena,
		     struct cu_datum *datum, struct cu_value_error *err);

/* interval_in.c */
int cu_interval_in(const struct cu_type *type, int32_t typmod, const char *text, size_t len, cu_arena *arena,
		   struct cu_datum *ret_datum, struct cu_value_error *err);
int cu_interval_typmod(const struct cu_type *type, int32_t typmod, bool is_explicit, cu_arena *arena,
		       struct cu_datum *datum, struct cu_value_error *err);
int cu_interval_out(const struct cu_type *type, const struct cu_datum *datum, cu_buf *out); /* interval.c */
__int128 cu_interval_span(const struct cu_interval *interval);                              /* its order */
/* Which the largest and the smallest one are since 17; before, they are like the others. */
static inline bool cu_interval_is_infinite(const struct cu_interval *i)
{
	return (i->month == INT32_MAX && i->day == INT32_MAX && i->time == INT64_MAX) ||
	       (i->month == INT32_MIN && i->day == INT32_MIN && i->time == INT64_MIN);
}

/* units.c: the names of fields, as Postgres knows them. */
enum cu_unit {
	CU_UNIT_NONE,
	CU_UNIT_MICROSECOND,
	CU_UNIT_MILLISECOND,
	CU_UNIT_SECOND,
	CU_UNIT_MINUTE,
	CU_UNIT_HOUR,
	CU_UNIT_DAY,
	CU_UNIT_WEEK,
	CU_UNIT_MONTH,
	CU_UNIT_QUARTER,
	CU_UNIT_YEAR,
	CU_UNIT_DECADE,
	CU_UNIT_CENTURY,
	CU_UNIT_MILLENNIUM,
	CU_UNIT_ZONE,
	CU_UNIT_ZONE_HOUR,
	CU_UNIT_ZONE_MINUTE,
	/* not of spans of time: */
	CU_UNIT_DOW,
	CU_UNIT_ISODOW,
	CU_UNIT_DOY,
	CU_UNIT_ISOYEAR,
	CU_UNIT_JULIAN,
	CU_UNIT_EPOCH,
	CU_UNIT_RESERVED, /* now, infinity …: known, of no use as a field */
};
#define CU_UNIT_NAME_MAX 64                                  /* NAMEDATALEN */
enum cu_unit cu_unit_of_span(const char *name, size_t len);  /* lower case: what intervals and date_trunc take */
enum cu_unit cu_unit_of_field(const char *name, size_t len); /* … and what else extract takes */
/* The argument as Postgres looks it up and shows it: lower case, cut. Returns its length. */
size_t cu_unit_name(const struct cu_datum *text, char name[CU_UNIT_NAME_MAX]);
int cu_unit_fail(struct cu_value_error *err, bool known, const char *name, const char *type);

/* timezone.c: seconds west of UTC, or CU_EINVAL. */
int cu_zone_of_text(const struct cu_datum *text, int *ret_zone, struct cu_value_error *err);
int cu_zone_of_interval(const struct cu_datum *datum, int *ret_zone, struct cu_value_error *err);

/* date.c, time.c: from the arguments 0 … 2, and at … at + 2. changed: errors show the year without a year 0. */
int cu_make_date(const struct cu_function_call *call, bool changed, int64_t *ret_days);
bool cu_make_time(const struct cu_function_call *call, unsigned at, int64_t *ret_time);
int cu_make_time_fail(const struct cu_function_call *call, unsigned at, const char *message);

/* timestamp.c */
int cu_date_to_timestamp(int64_t date, int64_t *ret_timestamp, struct cu_value_error *err);
int cu_timestamp_add(int64_t timestamp, const struct cu_interval *span, int64_t *ret_timestamp,
		     struct cu_value_error *err);
int cu_timestamp_sub(int64_t timestamp, const struct cu_interval *span, int64_t *ret_timestamp,
		     struct cu_value_error *err);
/* interval.c */
int cu_interval_justify_hours(struct cu_interval *interval, struct cu_value_error *err);

/* Results. */
static inline int cu_return_bool(struct cu_datum *ret, bool value)
{
	*ret = (struct cu_datum){ .boolean = value };
	return 0;
}
static inline int cu_return_int(struct cu_datum *ret, int64_t value)
{
	*ret = (struct cu_datum){ .integer = value };
	return 0;
}
int cu_return_interval(const struct cu_function_call *call, struct cu_datum *ret, const struct cu_interval *value);
int cu_return_timetz(const struct cu_function_call *call, struct cu_datum *ret, int64_t time, int32_t zone);

#define CU_FN(name) int cu_fn_##name(const struct cu_function_call *call, struct cu_datum *ret)
#define CU_ARG_INT(n) (call->args[n].integer)

/* Every function of cu_functions_datetime; datetime.c makes the table. */
/* clang-format off */
#define CU_COMPARISONS(X, left, right)                                                                           \
	X(left##_eq##right) X(left##_ne##right) X(left##_lt##right) X(left##_le##right) X(left##_gt##right)      \
	X(left##_ge##right) X(left##_cmp##right)
#define CU_DATETIME_FUNCTIONS(X)                                                                                 \
	/* datetime.c */                                                                                         \
	CU_COMPARISONS(X, date, )                                                                                \
	CU_COMPARISONS(X, date, _timestamp)                                                                      \
	CU_COMPARISONS(X, date, _timestamptz)                                                                    \
	CU_COMPARISONS(X, timestamp, )                                                                           \
	CU_COMPARISONS(X, timestamp, _date)                                                                      \
	CU_COMPARISONS(X, timestamp, _timestamptz)                                                               \
	CU_COMPARISONS(X, timestamptz, _date)                                                                    \
	CU_COMPARISONS(X, timestamptz, _timestamp)                                                               \
	CU_COMPARISONS(X, time, )                                                                                \
	CU_COMPARISONS(X, timetz, )                                                                              \
	X(date_larger) X(date_smaller) X(time_larger) X(time_smaller) X(timetz_larger) X(timetz_smaller)         \
	X(timestamp_larger) X(timestamp_smaller) X(overlaps_time) X(overlaps_timetz) X(overlaps_timestamp)       \
	X(date_finite) X(timestamp_finite)                                                                       \
	/* date.c */                                                                                             \
	X(date_mi) X(date_pli) X(date_mii) X(date_pl_interval) X(date_mi_interval) X(date_timestamp)             \
	X(date_timestamptz) X(datetime_timestamp) X(datetimetz_timestamptz) X(make_date)                         \
	/* time.c */                                                                                             \
	X(time_interval) X(interval_time) X(time_mi_time) X(time_pl_interval) X(time_mi_interval) X(time_timetz) \
	X(time_scale) X(timetz_pl_interval) X(timetz_mi_interval) X(timetz_time) X(timetz_scale) X(make_time)    \
	X(timetz_izone) X(timetz_zone)                                                                           \
	/* timestamp.c */                                                                                        \
	X(timestamp_date) X(timestamptz_date) X(timestamp_time) X(timestamptz_time) X(timestamptz_timetz)        \
	X(timestamp_timestamptz) X(timestamptz_timestamp) X(timestamp_scale) X(timestamptz_scale)                \
	X(timestamp_pl_interval) X(timestamp_mi_interval) X(timestamptz_pl_interval) X(timestamptz_mi_interval)  \
	X(timestamp_mi) X(timestamp_age) X(timestamptz_age) X(timestamp_bin) X(timestamptz_bin)                  \
	X(make_timestamp) X(make_timestamptz) X(float8_timestamptz)                                              \
	X(timestamp_trunc) X(timestamptz_trunc) X(timestamptz_trunc_zone)                                        \
	/* timezone.c */                                                                                         \
	X(timestamp_zone) X(timestamptz_zone) X(timestamp_izone) X(timestamptz_izone)                            \
	/* extract.c */                                                                                          \
	X(extract_date) X(extract_time) X(extract_timetz) X(extract_timestamp) X(extract_timestamptz)            \
	X(time_part) X(timetz_part) X(timestamp_part) X(timestamptz_part)
/* … and of cu_functions_interval, whose table interval.c makes. */
#define CU_INTERVAL_FUNCTIONS(X)                                                                                 \
	CU_COMPARISONS(X, interval, )                                                                            \
	X(interval_larger) X(interval_smaller) X(interval_finite) X(interval_um) X(interval_pl) X(interval_mi)   \
	X(interval_mul) X(mul_d_interval) X(interval_div) X(interval_justify_hours) X(interval_justify_days)     \
	X(interval_justify_interval) X(interval_scale) X(interval_trunc) X(make_interval)                        \
	/* extract.c */                                                                                          \
	X(extract_interval) X(interval_part)
/* clang-format on */
#define CU_FN_DECLARE(name) CU_FN(name);
CU_DATETIME_FUNCTIONS(CU_FN_DECLARE)
CU_FN_DECLARE(timestamp_trunc_18)
CU_FN_DECLARE(timestamptz_trunc_zone_18)
CU_INTERVAL_FUNCTIONS(CU_FN_DECLARE)

#endif
