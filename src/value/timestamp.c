/* timestamp.c: arithmetic and casts of timestamps. The sessions' zone is UTC, so that the functions of timestamptz are
 * those of timestamp. */
#include "value/datetime_impl.h"

#include <math.h>
#include <stdio.h>

CU_FN(timestamp_date)
{
	int64_t timestamp = CU_ARG_INT(0);

	if (!cu_timestamp_is_finite(timestamp))
		return cu_return_int(ret, timestamp < 0 ? DATE_NOBEGIN : DATE_NOEND);
	return cu_return_int(ret, cu_floor_div(timestamp, USECS_PER_DAY));
}

CU_FN(timestamptz_date)
{
	return cu_fn_timestamp_date(call, ret);
}

static int64_t time_of_day(int64_t timestamp)
{
	return timestamp - cu_floor_div(timestamp, USECS_PER_DAY) * USECS_PER_DAY;
}

CU_FN(timestamp_time)
{
	int64_t timestamp = CU_ARG_INT(0);

	*ret = CU_DATUM_NULL;
	return cu_timestamp_is_finite(timestamp) ? cu_return_int(ret, time_of_day(timestamp)) : 0;
}

CU_FN(timestamptz_time)
{
	return cu_fn_timestamp_time(call, ret);
}

CU_FN(timestamptz_timetz)
{
	int64_t timestamp = CU_ARG_INT(0);

	*ret = CU_DATUM_NULL;
	return cu_timestamp_is_finite(timestamp) ? cu_return_timetz(call, ret, time_of_day(timestamp), 0) : 0;
}

CU_FN(timestamp_timestamptz)
{
	return cu_return_int(ret, CU_ARG_INT(0));
}

CU_FN(timestamptz_timestamp)
{
	return cu_return_int(ret, CU_ARG_INT(0));
}

CU_FN(timestamp_scale)
{
	*ret = call->args[0];
	return cu_timestamp_typmod(NULL, (int32_t)CU_ARG_INT(1), true, call->arena, ret, call->err);
}

CU_FN(timestamptz_scale)
{
	return cu_fn_timestamp_scale(call, ret);
}

/* Months first, to the last day of a month that is too short, then days, then the time: each sum must be a timestamp. */
static int add(int64_t timestamp, int64_t months, int64_t days, __int128 time, int64_t *ret_timestamp,
	       struct cu_value_error *err)
{
	__int128 sum;

	if (!cu_timestamp_is_finite(timestamp)) {
		*ret_timestamp = timestamp;
		return 0;
	}
	if (months) {
		struct cu_parts p;
		int64_t year, month;

		cu_timestamp_split(timestamp, &p);
		month = p.month - 1 + months;
		year = p.year + cu_floor_div(month, MONTHS_PER_YEAR);
		p.year = (int)year;
		p.month = (int)(month - cu_floor_div(month, MONTHS_PER_YEAR) * MONTHS_PER_YEAR + 1);
		p.day = CU_MIN(p.day, cu_month_days(p.year, p.month));
		if (!cu_timestamp_join(&p, 0, &timestamp))
			goto out_of_range;
	}
	sum = timestamp + (__int128)days * USECS_PER_DAY;
	if (!cu_timestamp_is_valid(sum))
		goto out_of_range;
	sum += time;
	if (!cu_timestamp_is_valid(sum))
		goto out_of_range;
	*ret_timestamp = (int64_t)sum;
	return 0;
out_of_range:
	return cu_value_fail(err, "22008", "timestamp out of range");
}

int cu_timestamp_add(int64_t timestamp, const struct cu_interval *span, int64_t *ret_timestamp,
		     struct cu_value_error *err)
{
	return add(timestamp, span->month, span->day, span->time, ret_timestamp, err);
}

int cu_timestamp_sub(int64_t timestamp, const struct cu_interval *span, int64_t *ret_timestamp,
		     struct cu_value_error *err)
{
	return add(timestamp, -(int64_t)span->month, -(int64_t)span->day, -(__int128)span->time, ret_timestamp, err);
}

CU_FN(timestamp_pl_interval)
{
	int64_t timestamp = 0;
	int rc = cu_timestamp_add(CU_ARG_INT(0), call->args[1].interval, &timestamp, call->err);

	return rc ? rc : cu_return_int(ret, timestamp);
}

CU_FN(timestamp_mi_interval)
{
	int64_t timestamp = 0;
	int rc = cu_timestamp_sub(CU_ARG_INT(0), call->args[1].interval, &timestamp, call->err);

	return rc ? rc : cu_return_int(ret, timestamp);
}

CU_FN(timestamptz_pl_interval)
{
	return cu_fn_timestamp_pl_interval(call, ret);
}

CU_FN(timestamptz_mi_interval)
{
	return cu_fn_timestamp_mi_interval(call, ret);
}

CU_FN(timestamp_mi)
{
	int64_t a = CU_ARG_INT(0), b = CU_ARG_INT(1);
	struct cu_interval interval = { 0 };
	int rc;

	if (!cu_timestamp_is_finite(a) || !cu_timestamp_is_finite(b))
		return cu_value_fail(call->err, "0A000",
				     "subtraction of infinite timestamps is not supported: Postgres' versions differ");
	/* More than 292,000 years: Postgres 15 gives a wrong answer, later ones an error. */
	if (__builtin_sub_overflow(a, b, &interval.time))
		return cu_value_fail(call->err, "0A000", "interval out of range, where versions of Postgres differ");
	rc = cu_interval_justify_hours(&interval, call->err);
	return rc ? rc : cu_return_interval(call, ret, &interval);
}

/* Field by field from the later one, each borrowing from the next. A borrowed month has as many days as the earlier
 * one's. */
CU_FN(timestamp_age)
{
	int64_t a = CU_ARG_INT(0), b = CU_ARG_INT(1), months, time;
	struct cu_parts late, early;
	struct cu_interval interval;
	int days;

	if (!cu_timestamp_is_finite(a) || !cu_timestamp_is_finite(b))
		return cu_value_fail(call->err, "0A000",
				     "age() of an infinite timestamp is not supported: Postgres' versions differ");
	cu_timestamp_split(a < b ? b : a, &late);
	cu_timestamp_split(a < b ? a : b, &early);
	months = ((int64_t)late.year - early.year) * MONTHS_PER_YEAR + late.month - early.month;
	days = late.day - early.day;
	time = time_of_day(a < b ? b : a) - time_of_day(a < b ? a : b);
	if (time < 0) {
		time += USECS_PER_DAY;
		days--;
	}
	while (days < 0) {
		days += cu_month_days(early.year, early.month);
		months--;
	}
	interval.month = (int32_t)(a < b ? -months : months);
	interval.day = a < b ? -days : days;
	interval.time = a < b ? -time : time;
	return cu_return_interval(call, ret, &interval);
}

CU_FN(timestamptz_age)
{
	return cu_fn_timestamp_age(call, ret);
}

CU_FN(timestamp_bin)
{
	const struct cu_interval *stride = call->args[0].interval;
	int64_t timestamp = CU_ARG_INT(1), origin = CU_ARG_INT(2);
	__int128 width, since, bin;

	if (!cu_timestamp_is_finite(timestamp))
		return cu_return_int(ret, timestamp);
	if (!cu_timestamp_is_finite(origin))
		return cu_value_fail(call->err, "22008", "origin out of range");
	if (stride->month)
		return cu_value_fail(call->err, "0A000",
				     "timestamps cannot be binned into intervals containing months or years");
	width = (__int128)stride->day * USECS_PER_DAY + stride->time;
	if (width > INT64_MAX || width < INT64_MIN)
		return cu_value_fail(call->err, "22008", "interval out of range");
	if (width <= 0)
		return cu_value_fail(call->err, "22008", "stride must be greater than zero");
	since = (__int128)timestamp - origin;
	if (since > INT64_MAX || since < INT64_MIN)
		return cu_value_fail(call->err, "22008", "interval out of range");
	bin = since - since % width;
	if (since % width < 0)
		bin -= width;
	bin += origin;
	if (!cu_timestamp_is_valid(bin))
		return cu_value_fail(call->err, "22008", "timestamp out of range");
	return cu_return_int(ret, (int64_t)bin);
}

CU_FN(timestamptz_bin)
{
	return cu_fn_timestamp_bin(call, ret);
}

CU_FN(make_timestamp)
{
	int64_t days = 0, time = 0, year = CU_ARG_INT(0);
	__int128 timestamp;
	char date[64];
	int rc = cu_make_date(call, false, &days);

	if (rc)
		return rc;
	if (!cu_make_time(call, 3, &time))
		return cu_make_time_fail(call, 3, "time field value out of range: ");
	timestamp = (__int128)days * USECS_PER_DAY + time;
	if (!cu_timestamp_is_valid(timestamp))
		goto out_of_range;
	return cu_return_int(ret, (int64_t)timestamp);
out_of_range:
	snprintf(date, sizeof date, "timestamp out of range: %d-%02d-%02d ", (int)year, (int)CU_ARG_INT(1),
		 (int)CU_ARG_INT(2));
	return cu_make_time_fail(call, 3, date);
}

CU_FN(make_timestamptz)
{
	return cu_fn_make_timestamp(call, ret);
}

/* to_timestamp(double precision) */
CU_FN(float8_timestamptz)
{
	double seconds = call->args[0].real, usecs;

	if (isnan(seconds))
		return cu_value_fail(call->err, "22008", "timestamp cannot be NaN");
	if (isinf(seconds))
		return cu_return_int(ret, seconds < 0 ? TIMESTAMP_NOBEGIN : TIMESTAMP_NOEND);
	if (seconds < (double)SECS_PER_DAY * (0 - UNIX_EPOCH_JDATE) ||
	    seconds >= (double)SECS_PER_DAY * (TIMESTAMP_DATE_END + (EPOCH_JDATE - UNIX_EPOCH_JDATE)))
		goto out_of_range;
	usecs = rint((seconds - (double)(EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY) * 1e6);
	if (!(usecs >= (double)TIMESTAMP_MIN && usecs < (double)TIMESTAMP_END))
		goto out_of_range;
	return cu_return_int(ret, (int64_t)usecs);
out_of_range:
	return cu_value_fail(call->err, "22008", "timestamp out of range: \"%g\"", seconds);
}

/* Years that begin centuries and so on: there is no year 0, and the first of each begins with year 1. */
static int year_trunc(int year, enum cu_unit unit)
{
	int len = unit == CU_UNIT_MILLENNIUM ? 1000 : 100;

	if (unit == CU_UNIT_DECADE)
		return (int)cu_floor_div(year, 10) * 10;
	return (int)cu_floor_div(year - 1, len) * len + 1;
}

/* False: not a unit to cut at. */
static bool parts_trunc(struct cu_parts *p, enum cu_unit unit)
{
	switch (unit) {
	case CU_UNIT_WEEK: {
		int64_t days = cu_days_of(p->year, p->month, p->day);

		cu_days_split(days - (cu_day_of_week(days) + 6) % 7, &p->year, &p->month, &p->day);
		p->hour = p->minute = p->second = p->usec = 0;
		return true;
	}
	case CU_UNIT_MILLENNIUM:
	case CU_UNIT_CENTURY:
	case CU_UNIT_DECADE:
		p->year = year_trunc(p->year, unit);
		/* fallthrough */
	case CU_UNIT_YEAR: p->month = 1;                             /* fallthrough */
	case CU_UNIT_QUARTER: p->month = (p->month - 1) / 3 * 3 + 1; /* fallthrough */
	case CU_UNIT_MONTH: p->day = 1;                              /* fallthrough */
	case CU_UNIT_DAY: p->hour = 0;                               /* fallthrough */
	case CU_UNIT_HOUR: p->minute = 0;                            /* fallthrough */
	case CU_UNIT_MINUTE: p->second = 0;                          /* fallthrough */
	case CU_UNIT_SECOND: p->usec = 0; return true;
	case CU_UNIT_MILLISECOND: p->usec -= p->usec % 1000; return true;
	case CU_UNIT_MICROSECOND: return true;
	default: return false;
	}
}

static int trunc_to(const struct cu_function_call *call, int zone, struct cu_datum *ret)
{
	const char *type =
		call->types[1]->repr == CU_REPR_TIMESTAMP ? "timestamp without time zone" : "timestamp with time zone";
	char name[CU_UNIT_NAME_MAX];
	size_t len = cu_unit_name(&call->args[0], name);
	enum cu_unit unit = cu_unit_of_span(name, len);
	int64_t timestamp = CU_ARG_INT(1) - zone * USECS_PER_SEC;
	struct cu_parts p;

	cu_timestamp_split(timestamp, &p);
	if (!unit || !parts_trunc(&p, unit))
		return cu_unit_fail(call->err, unit != CU_UNIT_NONE, name, type);
	if (!cu_timestamp_join(&p, zone, &timestamp))
		return cu_value_fail(call->err, "22008", "timestamp out of range");
	return cu_return_int(ret, timestamp);
}

CU_FN(timestamp_trunc)
{
	if (!cu_timestamp_is_finite(CU_ARG_INT(1)))
		return cu_return_int(ret, CU_ARG_INT(1));
	return trunc_to(call, 0, ret);
}

CU_FN(timestamptz_trunc)
{
	return cu_fn_timestamp_trunc(call, ret);
}

/* Since 18 the unit of what is infinite is looked at too. */
static int trunc_to_18(const struct cu_function_call *call, int zone, struct cu_datum *ret)
{
	const struct cu_datum args[2] = { call->args[0], { .integer = 0 } };
	struct cu_function_call finite = *call;
	int rc;

	if (cu_timestamp_is_finite(CU_ARG_INT(1)))
		return trunc_to(call, zone, ret);
	finite.args = args;
	rc = trunc_to(&finite, 0, ret);
	return rc ? rc : cu_return_int(ret, CU_ARG_INT(1));
}

CU_FN(timestamp_trunc_18)
{
	return trunc_to_18(call, 0, ret);
}

CU_FN(timestamptz_trunc_zone_18)
{
	int zone = 0, rc = cu_zone_of_text(&call->args[2], &zone, call->err);

	return rc ? rc : trunc_to_18(call, zone, ret);
}

CU_FN(timestamptz_trunc_zone)
{
	int zone = 0, rc;

	if (!cu_timestamp_is_finite(CU_ARG_INT(1)))
		return cu_return_int(ret, CU_ARG_INT(1));
	rc = cu_zone_of_text(&call->args[2], &zone, call->err);
	return rc ? rc : trunc_to(call, zone, ret);
}
