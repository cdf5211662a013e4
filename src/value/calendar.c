/* calendar.c: the proleptic Gregorian calendar, and times in their parts. */
#include "value/datetime_impl.h"

static bool is_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

int cu_month_days(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	CU_ASSERT(month >= 1 && month <= 12);
	return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

/* Years are counted from March here, so that the leap day is the last of its year and months repeat every 153 days
 * per five; 400 years are 146097 days. */
int64_t cu_days_of(int64_t year, int month, int64_t day)
{
	int64_t y = year - (month <= 2);
	int64_t era = cu_floor_div(y, 400);
	int64_t of_era = y - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 730425;
}

void cu_days_split(int64_t days, int *ret_year, int *ret_month, int *ret_day)
{
	int64_t z = days + 730425; /* days since 0000-03-01 */
	int64_t era = cu_floor_div(z, 146097);
	int64_t of_era = z - era * 146097;
	int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
	int64_t m = (5 * of_year + 2) / 153;

	*ret_day = (int)(of_year - (153 * m + 2) / 5 + 1);
	*ret_month = (int)(m < 10 ? m + 3 : m - 9);
	*ret_year = (int)(year + era * 400 + (*ret_month <= 2));
}

/* Up to a few days wider than the range of date on both sides, as in Postgres, where it decides which error comes. */
bool cu_julian_is_valid(int year, int month)
{
	return (year > -4713 || (year == -4713 && month >= 11)) && (year < 5874898 || (year == 5874898 && month < 6));
}

void cu_timestamp_split(int64_t timestamp, struct cu_parts *ret_parts)
{
	int64_t days = cu_floor_div(timestamp, USECS_PER_DAY);
	int64_t time = timestamp - days * USECS_PER_DAY;

	cu_days_split(days, &ret_parts->year, &ret_parts->month, &ret_parts->day);
	ret_parts->hour = (int)(time / USECS_PER_HOUR);
	ret_parts->minute = (int)(time / USECS_PER_MINUTE % 60);
	ret_parts->second = (int)(time / USECS_PER_SEC % 60);
	ret_parts->usec = (int)(time % USECS_PER_SEC);
}

bool cu_timestamp_join(const struct cu_parts *parts, int zone, int64_t *ret_timestamp)
{
	__int128 timestamp;

	if (!cu_julian_is_valid(parts->year, parts->month))
		return false;
	timestamp = (__int128)cu_days_of(parts->year, parts->month, parts->day) * USECS_PER_DAY;
	timestamp += parts->hour * USECS_PER_HOUR + parts->minute * USECS_PER_MINUTE +
		     (parts->second + (int64_t)zone) * USECS_PER_SEC + parts->usec;
	if (!cu_timestamp_is_valid(timestamp))
		return false;
	*ret_timestamp = (int64_t)timestamp;
	return true;
}

int cu_day_of_week(int64_t days)
{
	return (int)(((days + 6) % 7 + 7) % 7); /* 2000-01-01 was a Saturday */
}

/* A week belongs to the year of its Thursday. */
void cu_iso_week(int64_t days, int *ret_year, int *ret_week)
{
	int64_t thursday = days - (cu_day_of_week(days) + 6) % 7 + 3;
	int year, month, day;

	cu_days_split(thursday, &year, &month, &day);
	*ret_year = year;
	*ret_week = (int)((thursday - cu_days_of(year, 1, 1)) / 7 + 1);
}

void cu_put_usecs(cu_buf *out, int usec)
{
	char digits[8];
	int len = 6;

	if (!usec)
		return;
	for (int i = 5; i >= 0; i--, usec /= 10)
		digits[i] = (char)('0' + usec % 10);
	while (digits[len - 1] == '0')
		len--;
	cu_buf_putc(out, '.');
	cu_buf_append(out, digits, (size_t)len);
}

void cu_put_padded(cu_buf *out, int value, int width)
{
	char digits[12];
	int len = 0;

	for (; value || len < width; value /= 10)
		digits[sizeof digits - (size_t)++len] = (char)('0' + value % 10);
	cu_buf_append(out, digits + sizeof digits - (size_t)len, (size_t)len);
}

void cu_put_time_parts(cu_buf *out, int hour, int minute, int second, int usec)
{
	cu_put_padded(out, hour, 2);
	cu_buf_putc(out, ':');
	cu_put_padded(out, minute, 2);
	cu_buf_putc(out, ':');
	cu_put_padded(out, second, 2);
	cu_put_usecs(out, usec);
}

/* Half away from zero, to so many decimal places; it may wrap, as Postgres does. */
int64_t cu_time_round(int64_t time, int precision)
{
	int64_t scale = 1;

	for (int i = precision; i < 6; i++)
		scale *= 10;
	if (scale == 1)
		return time;
	if (time >= 0)
		return cu_wrap_add(time, scale / 2) / scale * scale;
	/* -INT64_MIN wraps to itself. */
	return (int64_t)(0 - (uint64_t)(cu_wrap_add((int64_t)(0 - (uint64_t)time), scale / 2) / scale * scale));
}
