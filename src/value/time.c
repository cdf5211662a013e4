/* time.c: arithmetic and casts of times of day. */
#include "value/datetime_impl.h"

#include <math.h>
#include <stdio.h>

/* Of a day; sums wrap where Postgres' do. */
static int64_t time_within_day(int64_t time)
{
	time %= USECS_PER_DAY;
	return time < 0 ? time + USECS_PER_DAY : time;
}

static int64_t negated(int64_t time)
{
	return (int64_t)(0 - (uint64_t)time);
}

CU_FN(time_interval)
{
	struct cu_interval interval = { .time = CU_ARG_INT(0) };

	return cu_return_interval(call, ret, &interval);
}

CU_FN(interval_time)
{
	/* Postgres 15 overflows here and gives what is no time. */
	if (call->args[0].interval->time < USECS_PER_DAY - INT64_MAX)
		return cu_value_fail(call->err, "0A000", "interval out of the range supported here");
	return cu_return_int(ret, time_within_day(call->args[0].interval->time));
}

CU_FN(time_mi_time)
{
	struct cu_interval interval = { .time = CU_ARG_INT(0) - CU_ARG_INT(1) };

	return cu_return_interval(call, ret, &interval);
}

CU_FN(time_pl_interval)
{
	return cu_return_int(ret, time_within_day(cu_wrap_add(CU_ARG_INT(0), call->args[1].interval->time)));
}

CU_FN(time_mi_interval)
{
	return cu_return_int(ret, time_within_day(cu_wrap_add(CU_ARG_INT(0), negated(call->args[1].interval->time))));
}

CU_FN(time_timetz)
{
	return cu_return_timetz(call, ret, CU_ARG_INT(0), 0);
}

CU_FN(time_scale)
{
	*ret = call->args[0];
	return cu_time_typmod(NULL, (int32_t)CU_ARG_INT(1), true, call->arena, ret, call->err);
}

CU_FN(timetz_pl_interval)
{
	const struct cu_timetz *t = call->args[0].timetz;

	return cu_return_timetz(call, ret, time_within_day(cu_wrap_add(t->time, call->args[1].interval->time)),
				t->zone);
}

CU_FN(timetz_mi_interval)
{
	const struct cu_timetz *t = call->args[0].timetz;

	return cu_return_timetz(call, ret, time_within_day(cu_wrap_add(t->time, negated(call->args[1].interval->time))),
				t->zone);
}

CU_FN(timetz_time)
{
	return cu_return_int(ret, call->args[0].timetz->time);
}

CU_FN(timetz_scale)
{
	*ret = call->args[0];
	return cu_timetz_typmod(NULL, (int32_t)CU_ARG_INT(1), true, call->arena, ret, call->err);
}

bool cu_make_time(const struct cu_function_call *call, unsigned at, int64_t *ret_time)
{
	int64_t hour = CU_ARG_INT(at), minute = CU_ARG_INT(at + 1), time;
	double usecs = rint(call->args[at + 2].real * 1e6);

	if (hour < 0 || hour > 24 || minute < 0 || minute > 59 || !(usecs >= 0 && usecs <= 60e6))
		return false;
	time = hour * USECS_PER_HOUR + minute * USECS_PER_MINUTE + (int64_t)usecs;
	if (time > USECS_PER_DAY)
		return false;
	*ret_time = time;
	return true;
}

/* Postgres has a printf() of its own, in which NaN and infinity have other names. */
int cu_make_time_fail(const struct cu_function_call *call, unsigned at, const char *message)
{
	double seconds = call->args[at + 2].real;
	char text[64];

	if (isnan(seconds))
		snprintf(text, sizeof text, "NaN");
	else if (isinf(seconds))
		snprintf(text, sizeof text, "%s", seconds < 0 ? "-Infinity" : "Infinity");
	else
		snprintf(text, sizeof text, "%02g", seconds);
	return cu_value_fail(call->err, "22008", "%s%d:%02d:%s", message, (int)CU_ARG_INT(at), (int)CU_ARG_INT(at + 1),
			     text);
}

CU_FN(make_time)
{
	int64_t time;

	if (!cu_make_time(call, 0, &time))
		return cu_make_time_fail(call, 0, "time field value out of range: ");
	return cu_return_int(ret, time);
}

/* To another zone: the same moment. */
static int rezone(const struct cu_function_call *call, const struct cu_timetz *t, int32_t zone, struct cu_datum *ret)
{
	int64_t time = t->time + (t->zone - zone) * USECS_PER_SEC;

	/* 24:00:00 stays as it is where it fits. */
	while (time < 0)
		time += USECS_PER_DAY;
	while (time >= USECS_PER_DAY)
		time -= USECS_PER_DAY;
	return cu_return_timetz(call, ret, time, zone);
}

CU_FN(timetz_zone)
{
	int zone = 0;
	int rc = cu_zone_of_text(&call->args[0], &zone, call->err);

	return rc ? rc : rezone(call, call->args[1].timetz, zone, ret);
}

CU_FN(timetz_izone)
{
	int zone = 0;
	int rc = cu_zone_of_interval(&call->args[0], &zone, call->err);

	return rc ? rc : rezone(call, call->args[1].timetz, zone, ret);
}
