/* date.c: arithmetic and casts of dates. */
#include "value/datetime_impl.h"

CU_FN(date_mi)
{
	int64_t a = CU_ARG_INT(0), b = CU_ARG_INT(1);

	if (!cu_date_is_finite(a) || !cu_date_is_finite(b))
		return cu_value_fail(call->err, "22008", "cannot subtract infinite dates");
	return cu_return_int(ret, a - b);
}

static int add_days(const struct cu_function_call *call, int64_t days, struct cu_datum *ret)
{
	int64_t date = CU_ARG_INT(0);

	if (!cu_date_is_finite(date))
		return cu_return_int(ret, date);
	if (!cu_date_is_valid(date + days))
		return cu_value_fail(call->err, "22008", "date out of range");
	return cu_return_int(ret, date + days);
}

CU_FN(date_pli)
{
	return add_days(call, CU_ARG_INT(1), ret);
}

CU_FN(date_mii)
{
	return add_days(call, -CU_ARG_INT(1), ret);
}

int cu_date_to_timestamp(int64_t date, int64_t *ret_timestamp, struct cu_value_error *err)
{
	if (!cu_date_is_finite(date)) {
		*ret_timestamp = date < 0 ? TIMESTAMP_NOBEGIN : TIMESTAMP_NOEND;
		return 0;
	}
	if (date >= TIMESTAMP_DATE_END)
		return cu_value_fail(err, "22008", "date out of range for timestamp");
	*ret_timestamp = date * USECS_PER_DAY;
	return 0;
}

CU_FN(date_pl_interval)
{
	int64_t timestamp = 0;
	int rc = cu_date_to_timestamp(CU_ARG_INT(0), &timestamp, call->err);

	if (rc == 0)
		rc = cu_timestamp_add(timestamp, call->args[1].interval, &timestamp, call->err);
	return rc ? rc : cu_return_int(ret, timestamp);
}

CU_FN(date_mi_interval)
{
	int64_t timestamp = 0;
	int rc = cu_date_to_timestamp(CU_ARG_INT(0), &timestamp, call->err);

	if (rc == 0)
		rc = cu_timestamp_sub(timestamp, call->args[1].interval, &timestamp, call->err);
	return rc ? rc : cu_return_int(ret, timestamp);
}

CU_FN(date_timestamp)
{
	int64_t timestamp = 0;
	int rc = cu_date_to_timestamp(CU_ARG_INT(0), &timestamp, call->err);

	return rc ? rc : cu_return_int(ret, timestamp);
}

CU_FN(date_timestamptz)
{
	return cu_fn_date_timestamp(call, ret);
}

CU_FN(datetime_timestamp)
{
	int64_t timestamp = 0;
	int rc = cu_date_to_timestamp(CU_ARG_INT(0), &timestamp, call->err);

	if (rc)
		return rc;
	if (cu_timestamp_is_finite(timestamp)) {
		timestamp += CU_ARG_INT(1);
		if (!cu_timestamp_is_valid(timestamp))
			return cu_value_fail(call->err, "22008", "timestamp out of range");
	}
	return cu_return_int(ret, timestamp);
}

CU_FN(datetimetz_timestamptz)
{
	const struct cu_timetz *time = call->args[1].timetz;
	int64_t timestamp = 0;
	int rc = cu_date_to_timestamp(CU_ARG_INT(0), &timestamp, call->err);

	if (rc)
		return rc;
	if (cu_timestamp_is_finite(timestamp)) {
		timestamp += time->time + time->zone * USECS_PER_SEC;
		if (!cu_timestamp_is_valid(timestamp))
			return cu_value_fail(call->err, "22008", "date out of range for timestamp");
	}
	return cu_return_int(ret, timestamp);
}

static int fail_date(const struct cu_function_call *call, const char *what, int64_t year)
{
	return cu_value_fail(call->err, "22008", "date%s out of range: %d-%02d-%02d", what, (int)year,
			     (int)CU_ARG_INT(1), (int)CU_ARG_INT(2));
}

int cu_make_date(const struct cu_function_call *call, bool changed, int64_t *ret_days)
{
	int64_t year = CU_ARG_INT(0), month = CU_ARG_INT(1), day = CU_ARG_INT(2), shown = year;
	bool is_valid = year != 0 && year != INT32_MIN;

	if (year < 0 && is_valid) {
		year++;
		shown = changed ? year : shown;
	}
	if (!is_valid || month < 1 || month > 12 || day < 1 || day > cu_month_days((int)year, (int)month))
		return fail_date(call, " field value", shown);
	if (!cu_julian_is_valid((int)year, (int)month))
		return fail_date(call, "", shown);
	*ret_days = cu_days_of(year, (int)month, day);
	return 0;
}

CU_FN(make_date)
{
	int64_t days = 0, year = CU_ARG_INT(0);
	int rc = cu_make_date(call, true, &days);

	if (rc)
		return rc;
	if (!cu_date_is_valid(days))
		return fail_date(call, "", year < 0 ? year + 1 : year);
	return cu_return_int(ret, days);
}
