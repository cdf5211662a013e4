/* extract.c: extract(), which gives numeric, and date_part(), which gives double precision. */
#include "value/datetime_impl.h"

#include <math.h>

/* One field, both ways: value / 10^scale, and what Postgres computes in floating point. */
struct field {
	enum { FIELD_VALUE, FIELD_NULL, FIELD_INFINITE, FIELD_UNSUPPORTED, FIELD_UNKNOWN } kind;
	bool is_negative; /* of an infinite one */
	int scale;
	__int128 value;
	double real;
};

static struct field whole(int64_t value)
{
	return (struct field){ .value = value, .real = (double)value };
}

static struct field scaled(__int128 value, int scale, double real)
{
	return (struct field){ .value = value, .scale = scale, .real = real };
}

static struct field failed(bool known)
{
	return (struct field){ .kind = known ? FIELD_UNSUPPORTED : FIELD_UNKNOWN };
}

static int return_numeric(const struct cu_function_call *call, const struct field *field, struct cu_datum *ret)
{
	unsigned __int128 left = field->value < 0 ? -(unsigned __int128)field->value : (unsigned __int128)field->value;
	char text[48];
	char *at = text + sizeof text;

	if (field->kind == FIELD_INFINITE) {
		const char *infinity = field->is_negative ? "-Infinity" : "Infinity";

		return cu_repr_ops_numeric.in(call->ret_type, -1, infinity, strlen(infinity), call->arena, ret,
					      call->err);
	}
	/* The text form keeps the scale: trailing zeros are part of the answer. */
	for (int i = 0; i <= field->scale || left; i++, left /= 10) {
		if (i == field->scale && i)
			*--at = '.';
		*--at = (char)('0' + (int)(left % 10));
	}
	if (field->value < 0)
		*--at = '-';
	return cu_repr_ops_numeric.in(call->ret_type, -1, at, (size_t)(text + sizeof text - at), call->arena, ret,
				      call->err);
}

static int finish(const struct cu_function_call *call, const struct field *field, const char *name, const char *type,
		  struct cu_datum *ret)
{
	switch (field->kind) {
	case FIELD_UNSUPPORTED:
	case FIELD_UNKNOWN: return cu_unit_fail(call->err, field->kind == FIELD_UNSUPPORTED, name, type);
	case FIELD_NULL: *ret = CU_DATUM_NULL; return 0;
	default: break;
	}
	if (call->ret_type->repr == CU_REPR_NUMERIC)
		return return_numeric(call, field, ret);
	*ret = (struct cu_datum){ .real = field->kind != FIELD_INFINITE ? field->real
					  : field->is_negative          ? -INFINITY
									: INFINITY };
	return 0;
}

static struct field field_of_seconds(enum cu_unit unit, int second, int usec)
{
	int64_t usecs = second * USECS_PER_SEC + usec;

	switch (unit) {
	case CU_UNIT_MICROSECOND: return scaled(usecs, 0, second * 1000000.0 + usec);
	case CU_UNIT_MILLISECOND: return scaled(usecs, 3, second * 1000.0 + usec / 1000.0);
	default: return scaled(usecs, 6, second + usec / 1000000.0);
	}
}

/* Fields of a day; FIELD_UNKNOWN: not one. */
static struct field field_of_date(enum cu_unit unit, int64_t days, int year, int month, int day)
{
	int iso_year, iso_week;

	switch (unit) {
	case CU_UNIT_DAY: return whole(day);
	case CU_UNIT_MONTH: return whole(month);
	case CU_UNIT_QUARTER: return whole((month - 1) / 3 + 1);
	case CU_UNIT_WEEK: cu_iso_week(days, &iso_year, &iso_week); return whole(iso_week);
	case CU_UNIT_ISOYEAR: /* Where the rest has no year 0, this has one, and Postgres corrects only below it. */
		cu_iso_week(days, &iso_year, &iso_week);
		return whole(iso_year <= 0 ? iso_year - 1 : iso_year);
	case CU_UNIT_YEAR: return whole(year > 0 ? year : year - 1);
	case CU_UNIT_DECADE: return whole(cu_floor_div(year, 10));
	case CU_UNIT_CENTURY: return whole(year > 0 ? (year + 99) / 100 : -((100 - year) / 100));
	case CU_UNIT_MILLENNIUM: return whole(year > 0 ? (year + 999) / 1000 : -((1000 - year) / 1000));
	case CU_UNIT_DOW: return whole(cu_day_of_week(days));
	case CU_UNIT_ISODOW: return whole((cu_day_of_week(days) + 6) % 7 + 1);
	case CU_UNIT_DOY: return whole(days - cu_days_of(year, 1, 1) + 1);
	default: return failed(false);
	}
}

/* Of infinity, what grows without end is infinite, what comes again and again is NULL; FIELD_UNKNOWN: neither. */
static struct field field_of_infinity(enum cu_unit unit, bool is_negative)
{
	switch (unit) {
	case CU_UNIT_DAY:
	case CU_UNIT_MONTH:
	case CU_UNIT_QUARTER:
	case CU_UNIT_WEEK:
	case CU_UNIT_DOW:
	case CU_UNIT_ISODOW:
	case CU_UNIT_DOY: return (struct field){ .kind = FIELD_NULL };
	case CU_UNIT_YEAR:
	case CU_UNIT_DECADE:
	case CU_UNIT_CENTURY:
	case CU_UNIT_MILLENNIUM:
	case CU_UNIT_JULIAN:
	case CU_UNIT_ISOYEAR:
	case CU_UNIT_EPOCH: return (struct field){ .kind = FIELD_INFINITE, .is_negative = is_negative };
	default: return failed(false);
	}
}

CU_FN(extract_date)
{
	int64_t date = CU_ARG_INT(1);
	char name[CU_UNIT_NAME_MAX];
	size_t len = cu_unit_name(&call->args[0], name);
	enum cu_unit unit = cu_unit_of_field(name, len);
	struct field field;
	int year, month, day;

	if (!unit) {
		field = failed(false);
	} else if (!cu_date_is_finite(date)) {
		field = field_of_infinity(unit, date < 0);
	} else if (unit == CU_UNIT_EPOCH) {
		field = whole((date + EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY);
	} else if (unit == CU_UNIT_JULIAN) {
		field = whole(date + EPOCH_JDATE);
	} else {
		cu_days_split(date, &year, &month, &day);
		field = field_of_date(unit, date, year, month, day);
	}
	if (unit && field.kind == FIELD_UNKNOWN)
		field.kind = FIELD_UNSUPPORTED;
	return finish(call, &field, name, "date", ret);
}

static struct field field_of_zone(enum cu_unit unit, int zone)
{
	switch (unit) {
	case CU_UNIT_ZONE: return whole(-zone);
	case CU_UNIT_ZONE_MINUTE: return whole(-zone / 60 % 60);
	default: return whole(-zone / 3600);
	}
}

static struct field field_of_time(enum cu_unit unit, int64_t time, const int *zone)
{
	switch (unit) {
	case CU_UNIT_NONE:
	case CU_UNIT_RESERVED: return failed(false);
	case CU_UNIT_ZONE:
	case CU_UNIT_ZONE_MINUTE:
	case CU_UNIT_ZONE_HOUR: return zone ? field_of_zone(unit, *zone) : failed(true);
	case CU_UNIT_MICROSECOND:
	case CU_UNIT_MILLISECOND:
	case CU_UNIT_SECOND:
		return field_of_seconds(unit, (int)(time / USECS_PER_SEC % 60), (int)(time % USECS_PER_SEC));
	case CU_UNIT_MINUTE: return whole(time / USECS_PER_MINUTE % 60);
	case CU_UNIT_HOUR: return whole(time / USECS_PER_HOUR);
	case CU_UNIT_EPOCH:
		if (zone)
			return scaled(time + *zone * USECS_PER_SEC, 6, (double)time / 1000000.0 + *zone);
		return scaled(time, 6, (double)time / 1000000.0);
	default: return failed(true);
	}
}

CU_FN(extract_time)
{
	char name[CU_UNIT_NAME_MAX];
	size_t len = cu_unit_name(&call->args[0], name);
	struct field field = field_of_time(cu_unit_of_field(name, len), CU_ARG_INT(1), NULL);

	return finish(call, &field, name, "time without time zone", ret);
}

CU_FN(extract_timetz)
{
	const struct cu_timetz *timetz = call->args[1].timetz;
	char name[CU_UNIT_NAME_MAX];
	size_t len = cu_unit_name(&call->args[0], name);
	struct field field = field_of_time(cu_unit_of_field(name, len), timetz->time, &timetz->zone);

	return finish(call, &field, name, "time with time zone", ret);
}

/* Days, and the part of the day as a quotient of numerics: to as many places as Postgres' rule for sixteen significant
 * digits of a quotient says, in which digits are counted in groups of four. */
static struct field field_of_julian(int64_t timestamp)
{
	int64_t days = cu_floor_div(timestamp, USECS_PER_DAY), jday = days + EPOCH_JDATE;
	int64_t time = timestamp - days * USECS_PER_DAY, first = time;
	int weight = 0, quotient_weight, scale;
	unsigned __int128 numerator = (unsigned __int128)time, denominator = USECS_PER_DAY, value, unit = 1;
	struct cu_parts p;

	for (; first >= 10000; first /= 10000)
		weight++;
	/* 86400000000 is 864, 0000, 0000. */
	quotient_weight = weight - 2 - (first <= 864);
	scale = 16 - quotient_weight * 4;
	for (int i = 0; i < scale; i++)
		unit *= 10;
	numerator *= unit;
	value = numerator / denominator + (numerator % denominator * 2 >= denominator);
	cu_timestamp_split(timestamp, &p);
	return scaled((__int128)jday * (__int128)unit + (__int128)value, scale,
		      (double)jday + ((((p.hour * 60) + p.minute) * 60) + p.second + (p.usec / 1000000.0)) /
					     (double)SECS_PER_DAY);
}

static struct field field_of_timestamp(enum cu_unit unit, int64_t timestamp, bool with_zone)
{
	static const int utc = 0;
	struct cu_parts p;

	if (!cu_timestamp_is_finite(timestamp)) {
		struct field field = field_of_infinity(unit, timestamp < 0);

		if (field.kind != FIELD_UNKNOWN)
			return field;
		switch (unit) {
		case CU_UNIT_MICROSECOND:
		case CU_UNIT_MILLISECOND:
		case CU_UNIT_SECOND:
		case CU_UNIT_MINUTE:
		case CU_UNIT_HOUR: return (struct field){ .kind = FIELD_NULL };
		case CU_UNIT_ZONE: /* … even of a timestamp that has none */
		case CU_UNIT_ZONE_MINUTE:
		case CU_UNIT_ZONE_HOUR: return (struct field){ .kind = FIELD_NULL };
		default: return failed(unit != CU_UNIT_NONE);
		}
	}
	cu_timestamp_split(timestamp, &p);
	switch (unit) {
	case CU_UNIT_NONE: return failed(false);
	case CU_UNIT_RESERVED: return failed(true);
	case CU_UNIT_MICROSECOND:
	case CU_UNIT_MILLISECOND:
	case CU_UNIT_SECOND: return field_of_seconds(unit, p.second, p.usec);
	case CU_UNIT_MINUTE: return whole(p.minute);
	case CU_UNIT_HOUR: return whole(p.hour);
	case CU_UNIT_ZONE:
	case CU_UNIT_ZONE_MINUTE:
	case CU_UNIT_ZONE_HOUR: return with_zone ? field_of_zone(unit, utc) : failed(true);
	case CU_UNIT_EPOCH: {
		__int128 usecs = (__int128)timestamp - UNIX_EPOCH_TIMESTAMP;

		if (usecs < INT64_MAX)
			return scaled(usecs, 6, (double)(int64_t)usecs / 1000000.0);
		/* Here Postgres divides numerics, which gives four places, then six. */
		return scaled((usecs + 50) / 100 * 100, 6, ((double)timestamp - UNIX_EPOCH_TIMESTAMP) / 1000000.0);
	}
	case CU_UNIT_JULIAN: return field_of_julian(timestamp);
	default: return field_of_date(unit, cu_floor_div(timestamp, USECS_PER_DAY), p.year, p.month, p.day);
	}
}

static int part_of_timestamp(const struct cu_function_call *call, bool with_zone, struct cu_datum *ret)
{
	char name[CU_UNIT_NAME_MAX];
	size_t len = cu_unit_name(&call->args[0], name);
	struct field field = field_of_timestamp(cu_unit_of_field(name, len), CU_ARG_INT(1), with_zone);

	return finish(call, &field, name, with_zone ? "timestamp with time zone" : "timestamp without time zone", ret);
}

CU_FN(extract_timestamp)
{
	return part_of_timestamp(call, false, ret);
}

CU_FN(extract_timestamptz)
{
	return part_of_timestamp(call, true, ret);
}

/* Which of the two it is, the result type tells. */
CU_FN(time_part)
{
	return cu_fn_extract_time(call, ret);
}

CU_FN(timetz_part)
{
	return cu_fn_extract_timetz(call, ret);
}

CU_FN(timestamp_part)
{
	return part_of_timestamp(call, false, ret);
}

CU_FN(timestamptz_part)
{
	return part_of_timestamp(call, true, ret);
}

/* A year has 365.25 days here. */
static struct field interval_epoch(const struct cu_interval *i)
{
	int years = i->month / MONTHS_PER_YEAR, months = i->month % MONTHS_PER_YEAR;
	int64_t quarter_days = (int64_t)1461 * years + (int64_t)4 * DAYS_PER_MONTH * months + (int64_t)4 * i->day;
	__int128 usecs = (__int128)quarter_days * (SECS_PER_DAY / 4) * USECS_PER_SEC + i->time;
	double real = (double)i->time / 1000000.0;

	real += (365.25 * SECS_PER_DAY) * years;
	real += ((double)DAYS_PER_MONTH * SECS_PER_DAY) * months;
	real += (double)SECS_PER_DAY * i->day;
	return scaled(usecs, 6, real);
}

CU_FN(extract_interval)
{
	const struct cu_interval *i = call->args[1].interval;
	int years = i->month / MONTHS_PER_YEAR, months = i->month % MONTHS_PER_YEAR;
	char name[CU_UNIT_NAME_MAX];
	size_t len = cu_unit_name(&call->args[0], name);
	enum cu_unit unit = cu_unit_of_field(name, len);
	struct field field;

	switch (unit) {
	case CU_UNIT_NONE:
	case CU_UNIT_RESERVED: field = failed(false); break;
	case CU_UNIT_MICROSECOND:
	case CU_UNIT_MILLISECOND:
	case CU_UNIT_SECOND:
		field = field_of_seconds(unit, (int)(i->time / USECS_PER_SEC % 60), (int)(i->time % USECS_PER_SEC));
		break;
	case CU_UNIT_MINUTE: field = whole(i->time / USECS_PER_MINUTE % 60); break;
	case CU_UNIT_HOUR: field = whole(i->time / USECS_PER_HOUR); break;
	case CU_UNIT_DAY: field = whole(i->day); break;
	case CU_UNIT_MONTH: field = whole(months); break;
	case CU_UNIT_QUARTER: field = whole(months / 3 + 1); break;
	case CU_UNIT_YEAR: field = whole(years); break;
	case CU_UNIT_DECADE: field = whole(years / 10); break;
	case CU_UNIT_CENTURY: field = whole(years / 100); break;
	case CU_UNIT_MILLENNIUM: field = whole(years / 1000); break;
	case CU_UNIT_EPOCH: field = interval_epoch(i); break;
	default: field = failed(true); break;
	}
	return finish(call, &field, name, "interval", ret);
}

CU_FN(interval_part)
{
	return cu_fn_extract_interval(call, ret);
}
