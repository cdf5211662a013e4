/* datetime.c: dates, times and timestamps: their representations, their order, the table of their functions. */
#include "value/datetime_impl.h"

#define CU_ENTRY(name) { #name, cu_fn_##name },
static const struct cu_function_entry entries[] = {
	/* clang-format off */
	CU_DATETIME_FUNCTIONS(CU_ENTRY)
	/* clang-format on */
	{ "timestamp_trunc 18", cu_fn_timestamp_trunc_18 },
	{ "timestamptz_trunc 18", cu_fn_timestamp_trunc_18 },
	{ "timestamptz_trunc_zone 18", cu_fn_timestamptz_trunc_zone_18 },
};
CU_FUNCTION_TABLE(cu_functions_datetime, entries);

int cu_return_timetz(const struct cu_function_call *call, struct cu_datum *ret, int64_t time, int32_t zone)
{
	struct cu_timetz *timetz = cu_arena_alloc(call->arena, sizeof *timetz);

	if (!timetz)
		return CU_ENOMEM;
	timetz->time = time;
	timetz->zone = zone;
	*ret = (struct cu_datum){ .timetz = timetz };
	return 0;
}

/* Out. */

static int put_done(const cu_buf *out)
{
	return cu_buf_failed(out) ? CU_ENOMEM : 0;
}

static void put_date(cu_buf *out, int year, int month, int day)
{
	cu_put_padded(out, year > 0 ? year : 1 - year, 4);
	cu_buf_putc(out, '-');
	cu_put_padded(out, month, 2);
	cu_buf_putc(out, '-');
	cu_put_padded(out, day, 2);
}

static void put_zone(cu_buf *out, int zone)
{
	int seconds = zone < 0 ? -zone : zone;

	cu_buf_printf(out, "%c%02d", zone <= 0 ? '+' : '-', seconds / 3600);
	if (seconds % 3600)
		cu_buf_printf(out, ":%02d", seconds / 60 % 60);
	if (seconds % 60)
		cu_buf_printf(out, ":%02d", seconds % 60);
}

static void put_time(cu_buf *out, int64_t time)
{
	cu_put_time_parts(out, (int)(time / USECS_PER_HOUR), (int)(time / USECS_PER_MINUTE % 60),
			  (int)(time / USECS_PER_SEC % 60), (int)(time % USECS_PER_SEC));
}

static int date_out(const struct cu_type *type, const struct cu_datum *datum, cu_buf *out)
{
	int year, month, day;

	(void)type;
	if (!cu_date_is_finite(datum->integer)) {
		cu_buf_puts(out, datum->integer < 0 ? "-infinity" : "infinity");
		return put_done(out);
	}
	cu_days_split(datum->integer, &year, &month, &day);
	put_date(out, year, month, day);
	if (year <= 0)
		cu_buf_puts(out, " BC");
	return put_done(out);
}

static int time_out(const struct cu_type *type, const struct cu_datum *datum, cu_buf *out)
{
	(void)type;
	put_time(out, datum->integer);
	return put_done(out);
}

static int timetz_out(const struct cu_type *type, const struct cu_datum *datum, cu_buf *out)
{
	(void)type;
	put_time(out, datum->timetz->time);
	put_zone(out, datum->timetz->zone);
	return put_done(out);
}

static int timestamp_out(const struct cu_type *type, const struct cu_datum *datum, cu_buf *out)
{
	struct cu_parts p;

	if (!cu_timestamp_is_finite(datum->integer)) {
		cu_buf_puts(out, datum->integer < 0 ? "-infinity" : "infinity");
		return put_done(out);
	}
	cu_timestamp_split(datum->integer, &p);
	put_date(out, p.year, p.month, p.day);
	cu_buf_putc(out, ' ');
	cu_put_time_parts(out, p.hour, p.minute, p.second, p.usec);
	if (type->repr == CU_REPR_TIMESTAMPTZ)
		cu_buf_puts(out, "+00");
	if (p.year <= 0)
		cu_buf_puts(out, " BC");
	return put_done(out);
}

/* Order. */

static int compare_int(int64_t a, int64_t b)
{
	return a < b ? -1 : a > b;
}

/* By the time it is in UTC, then by zone: equal are only the same times in the same zone. */
static int compare_timetz(const struct cu_timetz *a, const struct cu_timetz *b)
{
	int order = compare_int(a->time + a->zone * USECS_PER_SEC, b->time + b->zone * USECS_PER_SEC);

	return order ? order : compare_int(a->zone, b->zone);
}

static int integer_compare(const struct cu_type *type, const struct cu_collation *collation, const struct cu_datum *a,
			   const struct cu_datum *b)
{
	(void)type, (void)collation;
	return compare_int(a->integer, b->integer);
}

static int timetz_compare(const struct cu_type *type, const struct cu_collation *collation, const struct cu_datum *a,
			  const struct cu_datum *b)
{
	(void)type, (void)collation;
	return compare_timetz(a->timetz, b->timetz);
}

static int integer_put_key(const struct cu_type *type, const struct cu_collation *collation,
			   const struct cu_datum *datum, cu_buf *out)
{
	(void)type, (void)collation;
	cu_buf_put_le64(out, (uint64_t)datum->integer);
	return put_done(out);
}

static int timetz_put_key(const struct cu_type *type, const struct cu_collation *collation,
			  const struct cu_datum *datum, cu_buf *out)
{
	(void)type, (void)collation;
	cu_buf_put_le64(out, (uint64_t)datum->timetz->time);
	cu_buf_put_le32(out, (uint32_t)datum->timetz->zone);
	return put_done(out);
}

const struct cu_repr_ops cu_repr_ops_date = { cu_date_in, date_out, NULL, integer_compare, integer_put_key };
const struct cu_repr_ops cu_repr_ops_time = { cu_time_in, time_out, cu_time_typmod, integer_compare, integer_put_key };
const struct cu_repr_ops cu_repr_ops_timetz = { cu_timetz_in, timetz_out, cu_timetz_typmod, timetz_compare,
						timetz_put_key };
const struct cu_repr_ops cu_repr_ops_timestamp = { cu_timestamp_in, timestamp_out, cu_timestamp_typmod, integer_compare,
						   integer_put_key };
const struct cu_repr_ops cu_repr_ops_timestamptz = { cu_timestamp_in, timestamp_out, cu_timestamp_typmod,
						     integer_compare, integer_put_key };

/* A date against a timestamp: dates reach further, and what no timestamp holds is later than all but infinity. */
static int compare_date_timestamp(int64_t date, int64_t timestamp)
{
	if (!cu_date_is_finite(date))
		return compare_int(date < 0 ? TIMESTAMP_NOBEGIN : TIMESTAMP_NOEND, timestamp);
	if (date >= TIMESTAMP_DATE_END)
		return timestamp == TIMESTAMP_NOEND ? -1 : 1;
	return compare_int(date * USECS_PER_DAY, timestamp);
}

#define COMPARE_BOOL(name, order, op)                    \
	CU_FN(name)                                      \
	{                                                \
		return cu_return_bool(ret, (order)op 0); \
	}
#define COMPARE(left, right, order)                 \
	COMPARE_BOOL(left##_eq##right, order, ==)   \
	COMPARE_BOOL(left##_ne##right, order, !=)   \
	COMPARE_BOOL(left##_lt##right, order, <)    \
	COMPARE_BOOL(left##_le##right, order, <=)   \
	COMPARE_BOOL(left##_gt##right, order, >)    \
	COMPARE_BOOL(left##_ge##right, order, >=)   \
	CU_FN(left##_cmp##right)                    \
	{                                           \
		return cu_return_int(ret, (order)); \
	}
#define PLAIN_ORDER compare_int(CU_ARG_INT(0), CU_ARG_INT(1))
#define TIMETZ_ORDER compare_timetz(call->args[0].timetz, call->args[1].timetz)

COMPARE(date, , PLAIN_ORDER)
COMPARE(time, , PLAIN_ORDER)
COMPARE(timestamp, , PLAIN_ORDER)
COMPARE(timestamp, _timestamptz, PLAIN_ORDER)
COMPARE(timestamptz, _timestamp, PLAIN_ORDER)
COMPARE(timetz, , TIMETZ_ORDER)
COMPARE(date, _timestamp, compare_date_timestamp(CU_ARG_INT(0), CU_ARG_INT(1)))
COMPARE(date, _timestamptz, compare_date_timestamp(CU_ARG_INT(0), CU_ARG_INT(1)))
COMPARE(timestamp, _date, -compare_date_timestamp(CU_ARG_INT(1), CU_ARG_INT(0)))
COMPARE(timestamptz, _date, -compare_date_timestamp(CU_ARG_INT(1), CU_ARG_INT(0)))

#define PICK(name, order)                               \
	CU_FN(name##_larger)                            \
	{                                               \
		*ret = call->args[(order) > 0 ? 0 : 1]; \
		return 0;                               \
	}                                               \
	CU_FN(name##_smaller)                           \
	{                                               \
		*ret = call->args[(order) < 0 ? 0 : 1]; \
		return 0;                               \
	}
PICK(date, PLAIN_ORDER)
PICK(time, PLAIN_ORDER)
PICK(timetz, TIMETZ_ORDER)
PICK(timestamp, PLAIN_ORDER)

static int order_of(const struct cu_function_call *call, const struct cu_datum *a, const struct cu_datum *b)
{
	if (call->types[0]->repr == CU_REPR_TIMETZ)
		return compare_timetz(a->timetz, b->timetz);
	return compare_int(a->integer, b->integer);
}

static void swap(const struct cu_datum **a, const struct cu_datum **b)
{
	const struct cu_datum *was = *a;

	*a = *b;
	*b = was;
}

/* The standard's OVERLAPS on two pairs, whose ends may stand in either order and be NULL: NULL where the answer would
 * depend on what is not known. */
static int overlaps(const struct cu_function_call *call, struct cu_datum *ret)
{
	const struct cu_datum *start[2], *end[2];
	int order;

	for (int i = 0; i < 2; i++) {
		start[i] = &call->args[2 * i];
		end[i] = &call->args[2 * i + 1];
		if (start[i]->is_null || (!end[i]->is_null && order_of(call, start[i], end[i]) > 0))
			swap(&start[i], &end[i]);
		if (start[i]->is_null) {
			*ret = CU_DATUM_NULL;
			return 0;
		}
	}
	order = order_of(call, start[0], start[1]);
	if (order == 0) {
		*ret = end[0]->is_null || end[1]->is_null ? CU_DATUM_NULL : (struct cu_datum){ .boolean = true };
		return 0;
	}
	/* Of the pair that starts first, the end decides. */
	if (order > 0) {
		swap(&start[0], &start[1]);
		swap(&end[0], &end[1]);
	}
	if (end[0]->is_null)
		*ret = CU_DATUM_NULL;
	else if (order_of(call, start[1], end[0]) < 0)
		*ret = (struct cu_datum){ .boolean = true };
	else
		*ret = end[1]->is_null ? CU_DATUM_NULL : (struct cu_datum){ .boolean = false };
	return 0;
}

CU_FN(overlaps_time)
{
	return overlaps(call, ret);
}

CU_FN(overlaps_timetz)
{
	return overlaps(call, ret);
}

CU_FN(overlaps_timestamp)
{
	return overlaps(call, ret);
}

CU_FN(date_finite)
{
	return cu_return_bool(ret, cu_date_is_finite(CU_ARG_INT(0)));
}

CU_FN(timestamp_finite)
{
	return cu_return_bool(ret, cu_timestamp_is_finite(CU_ARG_INT(0)));
}
