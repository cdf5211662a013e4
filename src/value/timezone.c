/* timezone.c: AT TIME ZONE for UTC and fixed offsets. Named zones have a history that belongs to the database server:
 * refused. */
#include "value/datetime_impl.h"

/* [+-]h, [+-]hh, [+-]hh:mm, which Postgres reads as POSIX does: positive is west of Greenwich. */
static bool offset_of(const char *at, size_t len, int *ret_zone)
{
	int parts[2] = { 0, 0 }, sign = 1;
	size_t i = 0, n = 0;

	if (len && (*at == '+' || *at == '-'))
		sign = at[i++] == '-' ? -1 : 1;
	for (int part = 0; part < 2; part++) {
		for (n = 0; i < len && at[i] >= '0' && at[i] <= '9' && n < 2; i++, n++)
			parts[part] = parts[part] * 10 + (at[i] - '0');
		if (n == 0 || (part == 1 && n != 2))
			return false;
		if (i == len)
			break;
		if (part == 1 || at[i++] != ':')
			return false;
	}
	if (parts[0] > 15 || parts[1] > 59)
		return false;
	*ret_zone = sign * (parts[0] * 3600 + parts[1] * 60);
	return true;
}

int cu_zone_of_text(const struct cu_datum *text, int *ret_zone, struct cu_value_error *err)
{
	static const char *const utc[] = { "utc", "gmt", "z", "zulu", "ut" };
	char name[CU_UNIT_NAME_MAX];
	size_t len = cu_unit_name(text, name);

	for (size_t i = 0; i < CU_ARRAY_LEN(utc); i++) {
		if (strcmp(name, utc[i]) == 0) {
			*ret_zone = 0;
			return 0;
		}
	}
	if (offset_of(name, len, ret_zone))
		return 0;
	return cu_value_fail_text(err, "0A000",
				  "time zone \"%s\" is not supported here: only UTC and fixed offsets like '+02:00'",
				  text->bytes, text->len);
}

int cu_zone_of_interval(const struct cu_datum *datum, int *ret_zone, struct cu_value_error *err)
{
	const struct cu_interval *interval = datum->interval;

	if (interval->month || interval->day) {
		cu_buf text = CU_BUF_INIT;
		int rc = cu_interval_out(NULL, datum, &text);

		if (rc == 0)
			rc = cu_value_fail_text(err, "22023",
						"interval time zone \"%s\" must not include months or days", text.data,
						text.len);
		cu_buf_fini(&text);
		return rc;
	}
	/* Postgres cuts this to 32 bits. */
	*ret_zone = (int)(uint32_t)(uint64_t)(interval->time / USECS_PER_SEC);
	if (*ret_zone == INT32_MIN)
		return cu_value_fail(err, "0A000", "interval time zone out of the range supported here");
	*ret_zone = -*ret_zone;
	return 0;
}

/* A local time and a UTC one differ by the zone either way. */
static int shift(const struct cu_function_call *call, int64_t seconds, struct cu_datum *ret)
{
	int64_t timestamp = CU_ARG_INT(1);
	__int128 shifted = timestamp;

	if (!cu_timestamp_is_finite(timestamp))
		return cu_return_int(ret, timestamp);
	shifted += (__int128)seconds * USECS_PER_SEC;
	if (!cu_timestamp_is_valid(shifted))
		return cu_value_fail(call->err, "22008", "timestamp out of range");
	return cu_return_int(ret, (int64_t)shifted);
}

CU_FN(timestamp_zone)
{
	int zone = 0, rc = 0;

	if (cu_timestamp_is_finite(CU_ARG_INT(1)))
		rc = cu_zone_of_text(&call->args[0], &zone, call->err);
	return rc ? rc : shift(call, zone, ret);
}

CU_FN(timestamptz_zone)
{
	int zone = 0, rc = 0;

	if (cu_timestamp_is_finite(CU_ARG_INT(1)))
		rc = cu_zone_of_text(&call->args[0], &zone, call->err);
	return rc ? rc : shift(call, -(int64_t)zone, ret);
}

CU_FN(timestamp_izone)
{
	int zone = 0, rc = 0;

	if (cu_timestamp_is_finite(CU_ARG_INT(1)))
		rc = cu_zone_of_interval(&call->args[0], &zone, call->err);
	return rc ? rc : shift(call, zone, ret);
}

CU_FN(timestamptz_izone)
{
	int zone = 0, rc = 0;

	if (cu_timestamp_is_finite(CU_ARG_INT(1)))
		rc = cu_zone_of_interval(&call->args[0], &zone, call->err);
	return rc ? rc : shift(call, -(int64_t)zone, ret);
}
