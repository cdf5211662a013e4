/* float.c: real and double precision. A real's datum holds a double that is a float's value; its arithmetic is done in
 * float. NaN equals itself and is greater than everything else. Overflow and underflow are errors, as in Postgres;
 * what libm computes is what Postgres' libm computes, when it is the same one.
 */
#include "value/float.h"
#include "value/internal.h"

#include <errno.h>
#include <math.h>

static int float4_in(const struct cu_type *type, int32_t typmod, const char *text, size_t len, cu_arena *arena,
		     struct cu_datum *ret_datum, struct cu_value_error *err)
{
	double value;
	int rc = cu_float4_parse(text, len, &value, err);

	(void)type, (void)typmod, (void)arena;
	if (rc == 0)
		*ret_datum = (struct cu_datum){ .real = value };
	return rc;
}

static int float8_in(const struct cu_type *type, int32_t typmod, const char *text, size_t len, cu_arena *arena,
		     struct cu_datum *ret_datum, struct cu_value_error *err)
{
	double value;
	int rc = cu_float8_parse(text, len, &value, err);

	(void)type, (void)typmod, (void)arena;
	if (rc == 0)
		*ret_datum = (struct cu_datum){ .real = value };
	return rc;
}

static int float4_out(const struct cu_type *type, const struct cu_datum *datum, cu_buf *out)
{
	(void)type;
	cu_float4_print((float)datum->real, out);
	return cu_buf_failed(out) ? CU_ENOMEM : 0;
}

static int float8_out(const struct cu_type *type, const struct cu_datum *datum, cu_buf *out)
{
	(void)type;
	cu_float8_print(datum->real, out);
	return cu_buf_failed(out) ? CU_ENOMEM : 0;
}

static int order(double a, double b)
{
	if (isnan(a) || isnan(b))
		return (isnan(a) ? 1 : 0) - (isnan(b) ? 1 : 0);
	return (a > b) - (a < b);
}

static int float_compare(const struct cu_type *type, const struct cu_collation *collation, const struct cu_datum *a,
			 const struct cu_datum *b)
{
	(void)type, (void)collation;
	return order(a->real, b->real);
}

/* The same for real and double precision: equal across the two when the values are. */
static int float_put_key(const struct cu_type *type, const struct cu_collation *collation, const struct cu_datum *datum,
			 cu_buf *out)
{
	double value = isnan(datum->real) ? (double)NAN : datum->real == 0 ? 0 : datum->real;
	uint64_t bits;

	(void)type, (void)collation;
	memcpy(&bits, &value, sizeof bits);
	cu_buf_put_le64(out, bits);
	return cu_buf_failed(out) ? CU_ENOMEM : 0;
}

const struct cu_repr_ops cu_repr_ops_float4 = {
	.in = float4_in,
	.out = float4_out,
	.compare = float_compare,
	.put_key = float_put_key,
};

const struct cu_repr_ops cu_repr_ops_float8 = {
	.in = float8_in,
	.out = float8_out,
	.compare = float_compare,
	.put_key = float_put_key,
};

#define CALL const struct cu_function_call *call, struct cu_datum *ret
#define ARG(n) (call->args[n].real)
#define INT(n) (call->args[n].integer)

static int give(struct cu_datum *ret, double value)
{
	*ret = (struct cu_datum){ .real = value };
	return 0;
}

static int give_int(struct cu_datum *ret, int64_t value)
{
	*ret = (struct cu_datum){ .integer = value };
	return 0;
}

static int fail_overflow(struct cu_value_error *err)
{
	return cu_value_fail(err, "22003", "value out of range: overflow");
}

static int fail_underflow(struct cu_value_error *err)
{
	return cu_value_fail(err, "22003", "value out of range: underflow");
}

static int fail_zero(struct cu_value_error *err)
{
	return cu_value_fail(err, "22012", "division by zero");
}

/* An infinity that did not come in is an overflow, a zero that did not is an underflow. */
static int give_checked(CALL, double value, bool inf_ok, bool zero_ok)
{
	if (isinf(value) && !inf_ok)
		return fail_overflow(call->err);
	if (value == 0 && !zero_ok)
		return fail_underflow(call->err);
	return give(ret, value);
}

#define COMPARISON(function, op)                                                   \
	static int function(CALL)                                                  \
	{                                                                          \
		*ret = (struct cu_datum){ .boolean = order(ARG(0), ARG(1)) op 0 }; \
		return 0;                                                          \
	}
#define COMPARISONS(prefix)        \
	COMPARISON(prefix##eq, ==) \
	COMPARISON(prefix##ne, !=) \
	COMPARISON(prefix##lt, <)  \
	COMPARISON(prefix##le, <=) \
	COMPARISON(prefix##gt, >)  \
	COMPARISON(prefix##ge, >=)
#define ORDER(function)                                      \
	static int function(CALL)                            \
	{                                                    \
		return give_int(ret, order(ARG(0), ARG(1))); \
	}

/* t: what the operation is computed in. */
#define SUM(function, t, op)                                                                     \
	static int function(CALL)                                                                \
	{                                                                                        \
		t a = (t)ARG(0), b = (t)ARG(1);                                                  \
                                                                                                 \
		return give_checked(call, ret, (double)(t)(a op b), isinf(a) || isinf(b), true); \
	}
#define PRODUCT(function, t)                                                                                \
	static int function(CALL)                                                                           \
	{                                                                                                   \
		t a = (t)ARG(0), b = (t)ARG(1);                                                             \
                                                                                                            \
		return give_checked(call, ret, (double)(t)(a * b), isinf(a) || isinf(b), a == 0 || b == 0); \
	}
#define QUOTIENT(function, t)                                                                     \
	static int function(CALL)                                                                 \
	{                                                                                         \
		t a = (t)ARG(0), b = (t)ARG(1);                                                   \
                                                                                                  \
		if (b == 0)                                                                       \
			return isnan(a) ? give(ret, (double)NAN) : fail_zero(call->err);          \
		return give_checked(call, ret, (double)(t)(a / b), isinf(a), a == 0 || isinf(b)); \
	}
#define ARITHMETIC(prefix, t)   \
	SUM(prefix##pl, t, +)   \
	SUM(prefix##mi, t, -)   \
	PRODUCT(prefix##mul, t) \
	QUOTIENT(prefix##div, t)
#define OWN(prefix)                                                            \
	static int prefix##larger(CALL)                                        \
	{                                                                      \
		return give(ret, order(ARG(0), ARG(1)) > 0 ? ARG(0) : ARG(1)); \
	}                                                                      \
	static int prefix##smaller(CALL)                                       \
	{                                                                      \
		return give(ret, order(ARG(0), ARG(1)) < 0 ? ARG(0) : ARG(1)); \
	}                                                                      \
	static int prefix##abs(CALL)                                           \
	{                                                                      \
		return give(ret, fabs(ARG(0)));                                \
	}                                                                      \
	static int prefix##um(CALL)                                            \
	{                                                                      \
		return give(ret, -ARG(0));                                     \
	}                                                                      \
	static int prefix##up(CALL)                                            \
	{                                                                      \
		return give(ret, ARG(0));                                      \
	}

COMPARISONS(float4)
COMPARISONS(float8)
COMPARISONS(float48)
COMPARISONS(float84)
ORDER(btfloat4cmp)
ORDER(btfloat8cmp)
ORDER(btfloat48cmp)
ORDER(btfloat84cmp)
ARITHMETIC(float4, float)
ARITHMETIC(float8, double)
ARITHMETIC(float48, double)
ARITHMETIC(float84, double)
OWN(float4)
OWN(float8)

static int dceil(CALL)
{
	return give(ret, ceil(ARG(0)));
}

static int dfloor(CALL)
{
	return give(ret, floor(ARG(0)));
}

static int dround(CALL)
{
	return give(ret, rint(ARG(0)));
}

static int dtrunc(CALL)
{
	return give(ret, ARG(0) >= 0 ? floor(ARG(0)) : -floor(-ARG(0)));
}

static int dsign(CALL)
{
	return give(ret, (ARG(0) > 0) - (ARG(0) < 0));
}

static int dsqrt(CALL)
{
	if (ARG(0) < 0)
		return cu_value_fail(call->err, "2201F", "cannot take square root of a negative number");
	return give_checked(call, ret, sqrt(ARG(0)), isinf(ARG(0)), ARG(0) == 0);
}

static int dcbrt(CALL)
{
	return give_checked(call, ret, cbrt(ARG(0)), isinf(ARG(0)), ARG(0) == 0);
}

static int dexp(CALL)
{
	if (isnan(ARG(0)))
		return give(ret, ARG(0));
	if (isinf(ARG(0)))
		return give(ret, ARG(0) > 0 ? ARG(0) : 0);
	return give_checked(call, ret, exp(ARG(0)), false, false);
}

static int logarithm(CALL, double (*log_of)(double))
{
	if (ARG(0) == 0)
		return cu_value_fail(call->err, "2201E", "cannot take logarithm of zero");
	if (ARG(0) < 0)
		return cu_value_fail(call->err, "2201E", "cannot take logarithm of a negative number");
	return give_checked(call, ret, log_of(ARG(0)), isinf(ARG(0)), ARG(0) == 1);
}

static int dlog1(CALL)
{
	return logarithm(call, ret, log);
}

static int dlog10(CALL)
{
	return logarithm(call, ret, log10);
}

static bool is_odd(double value)
{
	return floor(value / 2) != value / 2;
}

/* Powers of and to infinity, by the standard's table rather than the libc's opinion. */
static double power_at_infinity(double a, double b)
{
	if (isinf(b)) {
		if (fabs(a) == 1)
			return 1;
		return (fabs(a) > 1) == (b > 0) ? (double)INFINITY : 0;
	}
	if (b == 0)
		return 1;
	if (a > 0)
		return b > 0 ? a : 0;
	if (b > 0)
		return is_odd(b) ? a : -a;
	return is_odd(b) ? -0.0 : 0.0;
}

static int dpow(CALL)
{
	double a = ARG(0), b = ARG(1), result;

	if (isnan(a))
		return give(ret, b == 0 ? 1 : (double)NAN);
	if (isnan(b))
		return give(ret, a == 1 ? 1 : (double)NAN);
	if (a == 0 && b < 0)
		return cu_value_fail(call->err, "2201F", "zero raised to a negative power is undefined");
	if (a < 0 && floor(b) != b)
		return cu_value_fail(call->err, "2201F",
				     "a negative number raised to a non-integer power yields a complex result");
	if (isinf(a) || isinf(b))
		return give(ret, power_at_infinity(a, b));
	errno = 0;
	result = pow(a, b);
	if (errno == ERANGE)
		return result != 0 ? fail_overflow(call->err) : fail_underflow(call->err);
	return give_checked(call, ret, result, false, a == 0);
}

static int dpi(CALL)
{
	(void)call;
	return give(ret, 3.14159265358979323846);
}

static int degrees(CALL)
{
	return give_checked(call, ret, ARG(0) / 0.0174532925199432957692, isinf(ARG(0)), ARG(0) == 0);
}

static int radians(CALL)
{
	return give_checked(call, ret, ARG(0) * 0.0174532925199432957692, isinf(ARG(0)), ARG(0) == 0);
}

/* Casts. */
static int ftod(CALL)
{
	return give(ret, ARG(0));
}

static int dtof(CALL)
{
	return give_checked(call, ret, (double)(float)ARG(0), isinf(ARG(0)), ARG(0) == 0);
}

static int i2tod(CALL)
{
	return give(ret, (int16_t)INT(0));
}

static int i4tod(CALL)
{
	return give(ret, (int32_t)INT(0));
}

static int i8tod(CALL)
{
	return give(ret, (double)INT(0));
}

static int i2tof(CALL)
{
	return give(ret, (int16_t)INT(0));
}

static int i4tof(CALL)
{
	return give(ret, (double)(float)(int32_t)INT(0));
}

static int i8tof(CALL)
{
	return give(ret, (double)(float)INT(0));
}

/* Half to even; min is a power of two and exact, max = -min - 1 need not be. */
static int give_rounded(CALL, double min, const char *name)
{
	double value = rint(ARG(0));

	if (isnan(value) || value < min || value >= -min)
		return cu_value_fail(call->err, "22003", "%s out of range", name);
	return give_int(ret, (int64_t)value);
}

static int dtoi2(CALL)
{
	return give_rounded(call, ret, INT16_MIN, "smallint");
}

static int dtoi4(CALL)
{
	return give_rounded(call, ret, INT32_MIN, "integer");
}

static int dtoi8(CALL)
{
	return give_rounded(call, ret, (double)INT64_MIN, "bigint");
}

#define ENTRY(function)             \
	{                           \
#function, function \
	}
#define COMPARISON_ENTRIES(prefix) \
	ENTRY(prefix##eq), ENTRY(prefix##ne), ENTRY(prefix##lt), ENTRY(prefix##le), ENTRY(prefix##gt), ENTRY(prefix##ge)
#define ARITHMETIC_ENTRIES(prefix) ENTRY(prefix##pl), ENTRY(prefix##mi), ENTRY(prefix##mul), ENTRY(prefix##div)
#define OWN_ENTRIES(prefix) \
	ENTRY(prefix##larger), ENTRY(prefix##smaller), ENTRY(prefix##abs), ENTRY(prefix##um), ENTRY(prefix##up)

/* A real's datum is a double: what rounds it, rounds it alike. */
static const struct cu_function_entry float_entries[] = {
	COMPARISON_ENTRIES(float4),
	COMPARISON_ENTRIES(float8),
	COMPARISON_ENTRIES(float48),
	COMPARISON_ENTRIES(float84),
	ENTRY(btfloat4cmp),
	ENTRY(btfloat8cmp),
	ENTRY(btfloat48cmp),
	ENTRY(btfloat84cmp),
	ARITHMETIC_ENTRIES(float4),
	ARITHMETIC_ENTRIES(float8),
	ARITHMETIC_ENTRIES(float48),
	ARITHMETIC_ENTRIES(float84),
	OWN_ENTRIES(float4),
	OWN_ENTRIES(float8),
	ENTRY(dceil),
	ENTRY(dfloor),
	ENTRY(dround),
	ENTRY(dtrunc),
	ENTRY(dsign),
	ENTRY(dsqrt),
	ENTRY(dcbrt),
	ENTRY(dexp),
	ENTRY(dlog1),
	ENTRY(dlog10),
	ENTRY(dpow),
	ENTRY(dpi),
	ENTRY(degrees),
	ENTRY(radians),
	ENTRY(ftod),
	ENTRY(dtof),
	ENTRY(i2tod),
	ENTRY(i4tod),
	ENTRY(i8tod),
	ENTRY(i2tof),
	ENTRY(i4tof),
	ENTRY(i8tof),
	ENTRY(dtoi2),
	ENTRY(dtoi4),
	ENTRY(dtoi8),
	{ "ftoi2", dtoi2 },
	{ "ftoi4", dtoi4 },
	{ "ftoi8", dtoi8 },
};

CU_FUNCTION_TABLE(cu_functions_float, float_entries);
