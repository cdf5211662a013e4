/* interval.c: spans of months, days and microseconds, which are not converted into each other unless asked. */
#include "value/datetime_impl.h"

#include <math.h>

#define CU_ENTRY(name) { #name, cu_fn_##name },
static const struct cu_function_entry entries[] = { CU_INTERVAL_FUNCTIONS(CU_ENTRY) };
CU_FUNCTION_TABLE(cu_functions_interval, entries);

static int fail_infinite(const struct cu_function_call *call)
{
	return cu_value_fail(call->err, "0A000", "infinite intervals are not supported: Postgres' versions differ");
}

int cu_return_interval(const struct cu_function_call *call, struct cu_datum *ret, const struct cu_interval *value)
{
	const struct cu_interval *copy = cu_arena_copy(call->arena, value, sizeof *value);

	if (cu_interval_is_infinite(value))
		return fail_infinite(call);
	if (!copy)
		return CU_ENOMEM;
	*ret = (struct cu_datum){ .interval = copy };
	return 0;
}

static int out_of_range(struct cu_value_error *err)
{
	return cu_value_fail(err, "22008", "interval out of range");
}

static void put_part(cu_buf *out, int64_t value, char unit)
{
	if (value)
		cu_buf_printf(out, "%" PRId64 "%c", value, unit);
}

/* ISO 8601 with designators, as IntervalStyle iso_8601 writes it: every part with its own sign. */
int cu_interval_out(const struct cu_type *type, const struct cu_datum *datum, cu_buf *out)
{
	const struct cu_interval *i = datum->interval;
	int second = (int)(i->time / USECS_PER_SEC % 60), usec = (int)(i->time % USECS_PER_SEC);

	(void)type;
	if (!i->month && !i->day && !i->time) {
		cu_buf_puts(out, "PT0S");
		goto done;
	}
	cu_buf_putc(out, 'P');
	put_part(out, i->month / MONTHS_PER_YEAR, 'Y');
	put_part(out, i->month % MONTHS_PER_YEAR, 'M');
	put_part(out, i->day, 'D');
	if (i->time)
		cu_buf_putc(out, 'T');
	put_part(out, i->time / USECS_PER_HOUR, 'H');
	put_part(out, i->time / USECS_PER_MINUTE % 60, 'M');
	if (second || usec) {
		cu_buf_printf(out, "%s%d", second < 0 || usec < 0 ? "-" : "", second < 0 ? -second : second);
		cu_put_usecs(out, usec < 0 ? -usec : usec);
		cu_buf_putc(out, 'S');
	}
done:
	return cu_buf_failed(out) ? CU_ENOMEM : 0;
}

/* A month counts for 30 days, a day for 24 hours. */
__int128 cu_interval_span(const struct cu_interval *interval)
{
	return interval->time + ((__int128)interval->month * DAYS_PER_MONTH + interval->day) * USECS_PER_DAY;
}

static int compare(const struct cu_interval *a, const struct cu_interval *b)
{
	__int128 left = cu_interval_span(a), right = cu_interval_span(b);

	return left < right ? -1 : left > right;
}

static int interval_compare(const struct cu_type *type, const struct cu_collation *collation, const struct cu_datum *a,
			    const struct cu_datum *b)
{
	(void)type, (void)collation;
	return compare(a->interval, b->interval);
}

static int interval_put_key(const struct cu_type *type, const struct cu_collation *collation,
			    const struct cu_datum *datum, cu_buf *out)
{
	unsigned __int128 span = (unsigned __int128)cu_interval_span(datum->interval);

	(void)type, (void)collation;
	cu_buf_put_le64(out, (uint64_t)span);
	cu_buf_put_le64(out, (uint64_t)(span >> 64));
	return cu_buf_failed(out) ? CU_ENOMEM : 0;
}

const struct cu_repr_ops cu_repr_ops_interval = { cu_interval_in, cu_interval_out, cu_interval_typmod, interval_compare,
						  interval_put_key };

#define INTERVAL_ORDER compare(call->args[0].interval, call->args[1].interval)
#define COMPARE(name, op)                                        \
	CU_FN(interval_##name)                                   \
	{                                                        \
		return cu_return_bool(ret, INTERVAL_ORDER op 0); \
	}
COMPARE(eq, ==)
COMPARE(ne, !=)
COMPARE(lt, <)
COMPARE(le, <=)
COMPARE(gt, >)
COMPARE(ge, >=)

CU_FN(interval_cmp)
{
	return cu_return_int(ret, INTERVAL_ORDER);
}

CU_FN(interval_larger)
{
	*ret = call->args[INTERVAL_ORDER > 0 ? 0 : 1];
	return 0;
}

CU_FN(interval_smaller)
{
	*ret = call->args[INTERVAL_ORDER < 0 ? 0 : 1];
	return 0;
}

CU_FN(interval_finite)
{
	(void)call;
	return cu_return_bool(ret, true);
}

CU_FN(interval_um)
{
	const struct cu_interval *a = call->args[0].interval;
	struct cu_interval r;

	if (__builtin_sub_overflow(0, a->month, &r.month) || __builtin_sub_overflow(0, a->day, &r.day) ||
	    __builtin_sub_overflow(0, a->time, &r.time))
		return out_of_range(call->err);
	return cu_return_interval(call, ret, &r);
}

CU_FN(interval_pl)
{
	const struct cu_interval *a = call->args[0].interval, *b = call->args[1].interval;
	struct cu_interval r;

	if (__builtin_add_overflow(a->month, b->month, &r.month) || __builtin_add_overflow(a->day, b->day, &r.day) ||
	    __builtin_add_overflow(a->time, b->time, &r.time))
		return out_of_range(call->err);
	return cu_return_interval(call, ret, &r);
}

CU_FN(interval_mi)
{
	const struct cu_interval *a = call->args[0].interval, *b = call->args[1].interval;
	struct cu_interval r;

	if (__builtin_sub_overflow(a->month, b->month, &r.month) || __builtin_sub_overflow(a->day, b->day, &r.day) ||
	    __builtin_sub_overflow(a->time, b->time, &r.time))
		return out_of_range(call->err);
	return cu_return_interval(call, ret, &r);
}

static bool to_int32(double value, int32_t *ret_value)
{
	if (!(value >= INT32_MIN && value <= INT32_MAX))
		return false;
	*ret_value = (int32_t)value;
	return true;
}

static double to_usecs(double seconds_or_days)
{
	return rint(seconds_or_days * 1e6) / 1e6;
}

/* months, days, time: products or quotients as they came out. What is not whole in months becomes days, what is not
 * whole in days becomes time, rounded on the way to hide what binary fractions miss. */
static int cascade(const struct cu_function_call *call, double months, double days, double time, struct cu_datum *ret)
{
	double month_days, seconds;
	struct cu_interval r;
	int64_t day;

	if (!to_int32(months, &r.month) || !to_int32(days, &r.day))
		return out_of_range(call->err);
	month_days = to_usecs((months - r.month) * DAYS_PER_MONTH);
	seconds = to_usecs((days - r.day + month_days - (int)month_days) * SECS_PER_DAY);
	day = r.day;
	if (fabs(seconds) >= SECS_PER_DAY) {
		day += (int)(seconds / SECS_PER_DAY);
		seconds -= (int)(seconds / SECS_PER_DAY) * SECS_PER_DAY;
	}
	day += (int32_t)month_days;
	time = rint(time + seconds * 1e6);
	if (day < INT32_MIN || day > INT32_MAX || !(time >= -0x1p63 && time < 0x1p63))
		return out_of_range(call->err);
	r.day = (int32_t)day;
	r.time = (int64_t)time;
	return cu_return_interval(call, ret, &r);
}

static int multiply(const struct cu_function_call *call, const struct cu_interval *i, double factor,
		    struct cu_datum *ret)
{
	if (isinf(factor))
		return fail_infinite(call);
	return cascade(call, i->month * factor, i->day * factor, (double)i->time * factor, ret);
}

CU_FN(interval_mul)
{
	return multiply(call, call->args[0].interval, call->args[1].real, ret);
}

CU_FN(mul_d_interval)
{
	return multiply(call, call->args[1].interval, call->args[0].real, ret);
}

CU_FN(interval_div)
{
	const struct cu_interval *i = call->args[0].interval;
	double factor = call->args[1].real;

	if (factor == 0.0)
		return cu_value_fail(call->err, "22012", "division by zero");
	return cascade(call, i->month / factor, i->day / factor, (double)i->time / factor, ret);
}

/* Older versions of Postgres give wrapped numbers, later ones say out of range. */
static int is_wrapped(struct cu_value_error *err)
{
	return cu_value_fail(err, "0A000", "interval out of range, where versions of Postgres differ");
}

/* Days and time of one sign. */
static void justify_signs(struct cu_interval *i)
{
	if (i->day > 0 && i->time < 0) {
		i->time += USECS_PER_DAY;
		i->day--;
	} else if (i->day < 0 && i->time > 0) {
		i->time -= USECS_PER_DAY;
		i->day++;
	}
}

int cu_interval_justify_hours(struct cu_interval *interval, struct cu_value_error *err)
{
	int32_t days = (int32_t)(interval->time / USECS_PER_DAY);

	interval->time %= USECS_PER_DAY;
	if (__builtin_add_overflow(interval->day, days, &interval->day))
		return is_wrapped(err);
	justify_signs(interval);
	return 0;
}

CU_FN(interval_justify_hours)
{
	struct cu_interval r = *call->args[0].interval;
	int rc = cu_interval_justify_hours(&r, call->err);

	return rc ? rc : cu_return_interval(call, ret, &r);
}

CU_FN(interval_justify_days)
{
	struct cu_interval r = *call->args[0].interval;
	int32_t months = r.day / DAYS_PER_MONTH;

	r.day %= DAYS_PER_MONTH;
	if (__builtin_add_overflow(r.month, months, &r.month))
		return is_wrapped(call->err);
	if (r.month > 0 && r.day < 0) {
		r.day += DAYS_PER_MONTH;
		r.month--;
	} else if (r.month < 0 && r.day > 0) {
		r.day -= DAYS_PER_MONTH;
		r.month++;
	}
	return cu_return_interval(call, ret, &r);
}

CU_FN(interval_justify_interval)
{
	struct cu_interval r = *call->args[0].interval;
	int64_t days = r.day + r.time / USECS_PER_DAY;
	int64_t months = r.month + days / DAYS_PER_MONTH;

	if (days < INT32_MIN || days > INT32_MAX)
		return is_wrapped(call->err);
	r.time %= USECS_PER_DAY;
	days %= DAYS_PER_MONTH;
	/* The limit is looked at before signs are evened out. */
	if (months < INT32_MIN || months > INT32_MAX)
		return is_wrapped(call->err);
	if (months > 0 && (days < 0 || (days == 0 && r.time < 0))) {
		days += DAYS_PER_MONTH;
		months--;
	} else if (months < 0 && (days > 0 || (days == 0 && r.time > 0))) {
		days -= DAYS_PER_MONTH;
		months++;
	}
	r.day = (int32_t)days;
	r.month = (int32_t)months;
	justify_signs(&r);
	return cu_return_interval(call, ret, &r);
}

CU_FN(interval_scale)
{
	*ret = call->args[0];
	return cu_interval_typmod(NULL, (int32_t)CU_ARG_INT(1), true, call->arena, ret, call->err);
}

CU_FN(interval_trunc)
{
	struct cu_interval r = *call->args[1].interval;
	char name[CU_UNIT_NAME_MAX];
	size_t len = cu_unit_name(&call->args[0], name);
	enum cu_unit unit = cu_unit_of_span(name, len);
	int32_t months = 1;
	int64_t usecs = 1;

	switch (unit) {
	case CU_UNIT_MILLENNIUM: months = 12000; break;
	case CU_UNIT_CENTURY: months = 1200; break;
	case CU_UNIT_DECADE: months = 120; break;
	case CU_UNIT_YEAR: months = 12; break;
	case CU_UNIT_QUARTER: months = 3; break;
	case CU_UNIT_MONTH: break;
	case CU_UNIT_DAY: usecs = 0; break;
	case CU_UNIT_HOUR: usecs = USECS_PER_HOUR; break;
	case CU_UNIT_MINUTE: usecs = USECS_PER_MINUTE; break;
	case CU_UNIT_SECOND: usecs = USECS_PER_SEC; break;
	case CU_UNIT_MILLISECOND: usecs = 1000; break;
	case CU_UNIT_MICROSECOND: break;
	default: return cu_unit_fail(call->err, unit != CU_UNIT_NONE, name, "interval");
	}
	if (unit >= CU_UNIT_MONTH) {
		r.month -= r.month % months;
		r.day = 0;
		usecs = 0;
	}
	r.time = usecs ? r.time - r.time % usecs : 0;
	return cu_return_interval(call, ret, &r);
}

CU_FN(make_interval)
{
	int64_t months = CU_ARG_INT(0) * MONTHS_PER_YEAR + CU_ARG_INT(1);
	int64_t days = CU_ARG_INT(2) * 7 + CU_ARG_INT(3);
	double usecs = rint(call->args[6].real * 1e6);
	__int128 time = (__int128)CU_ARG_INT(4) * USECS_PER_HOUR + CU_ARG_INT(5) * USECS_PER_MINUTE;
	struct cu_interval r;

	if (!isfinite(call->args[6].real))
		return out_of_range(call->err);
	if (months < INT32_MIN || months > INT32_MAX || days < INT32_MIN || days > INT32_MAX ||
	    !(usecs >= -0x1p63 && usecs < 0x1p63))
		return is_wrapped(call->err);
	time += (int64_t)usecs;
	if (time < INT64_MIN || time > INT64_MAX)
		return is_wrapped(call->err);
	r.month = (int32_t)months;
	r.day = (int32_t)days;
	r.time = (int64_t)time;
	return cu_return_interval(call, ret, &r);
}
