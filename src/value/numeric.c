/* numeric.c: the functions over numeric. How many decimals a result shows is Postgres' rule, told beside each. */
#include "value/float.h"
#include "value/numeric_impl.h"

#include <math.h>
#include <stdio.h>

#define CALL const struct cu_function_call *call, struct cu_datum *ret
#define ARG(n) (call->args[n].numeric)

static int give(struct cu_datum *ret, const struct cu_numeric *numeric)
{
	*ret = (struct cu_datum){ .numeric = numeric };
	return 0;
}

static int give_int(struct cu_datum *ret, int64_t value)
{
	*ret = (struct cu_datum){ .integer = value };
	return 0;
}

static int give_number(CALL, const mpz_t x, int scale, int dscale)
{
	const struct cu_numeric *numeric;
	int rc = cu_numeric_make(call->arena, x, scale, dscale, &numeric, call->err);

	return rc ? rc : give(ret, numeric);
}

static int give_special(CALL, enum cu_numeric_kind kind)
{
	const struct cu_numeric *numeric;
	int rc = cu_numeric_special(call->arena, kind, &numeric);

	return rc ? rc : give(ret, numeric);
}

static int give_small(CALL, int64_t value)
{
	const struct cu_numeric *numeric;
	int rc = cu_numeric_from_int(call->arena, value, 0, &numeric);

	return rc ? rc : give(ret, numeric);
}

static int give_infinity(CALL, int sign)
{
	return give_special(call, ret, sign < 0 ? CU_NUMERIC_NINF : CU_NUMERIC_PINF);
}

static int fail_zero(struct cu_value_error *err)
{
	return cu_value_fail(err, "22012", "division by zero");
}

static bool is_special(const struct cu_numeric *numeric)
{
	return numeric->kind != CU_NUMERIC_FINITE;
}

static bool is_nan(const struct cu_numeric *numeric)
{
	return numeric->kind == CU_NUMERIC_NAN;
}

#define COMPARISON(function, op)                                                                \
	static int function(CALL)                                                               \
	{                                                                                       \
		*ret = (struct cu_datum){ .boolean = cu_numeric_compare(ARG(0), ARG(1)) op 0 }; \
		return 0;                                                                       \
	}

COMPARISON(numeric_eq, ==)
COMPARISON(numeric_ne, !=)
COMPARISON(numeric_lt, <)
COMPARISON(numeric_le, <=)
COMPARISON(numeric_gt, >)
COMPARISON(numeric_ge, >=)

static int numeric_cmp(CALL)
{
	return give_int(ret, cu_numeric_compare(ARG(0), ARG(1)));
}

static int numeric_larger(CALL)
{
	return give(ret, cu_numeric_compare(ARG(0), ARG(1)) > 0 ? ARG(0) : ARG(1));
}

static int numeric_smaller(CALL)
{
	return give(ret, cu_numeric_compare(ARG(0), ARG(1)) < 0 ? ARG(0) : ARG(1));
}

/* a ± b: as many decimals as the one that has more. */
static int sum(CALL, int sign)
{
	const struct cu_numeric *a = ARG(0), *b = ARG(1);
	int scale = CU_MAX(a->scale, b->scale), rc;
	mpz_t x, y;

	if (is_nan(a) || is_nan(b))
		return give_special(call, ret, CU_NUMERIC_NAN);
	if (is_special(a) && is_special(b) && cu_numeric_sign(a) != sign * cu_numeric_sign(b))
		return give_special(call, ret, CU_NUMERIC_NAN);
	if (is_special(a) || is_special(b))
		return give_infinity(call, ret, is_special(a) ? cu_numeric_sign(a) : sign * cu_numeric_sign(b));
	mpz_inits(x, y, NULL);
	cu_numeric_align(x, a, scale);
	cu_numeric_align(y, b, scale);
	if (sign > 0)
		mpz_add(x, x, y);
	else
		mpz_sub(x, x, y);
	rc = give_number(call, ret, x, scale, CU_MAX(a->dscale, b->dscale));
	mpz_clears(x, y, NULL);
	return rc;
}

static int numeric_add(CALL)
{
	return sum(call, ret, 1);
}

static int numeric_sub(CALL)
{
	return sum(call, ret, -1);
}

/* As many decimals as both together, all of them significant, up to what can be held. */
static int numeric_mul(CALL)
{
	const struct cu_numeric *a = ARG(0), *b = ARG(1);
	int scale = a->scale + b->scale, dscale = CU_MIN(a->dscale + b->dscale, NUMERIC_DSCALE_MAX), rc;
	mpz_t view_a, view_b, x;

	if (is_nan(a) || is_nan(b))
		return give_special(call, ret, CU_NUMERIC_NAN);
	if (is_special(a) || is_special(b)) {
		int sign = cu_numeric_sign(a) * cu_numeric_sign(b);

		return sign ? give_infinity(call, ret, sign) : give_special(call, ret, CU_NUMERIC_NAN);
	}
	mpz_init(x);
	mpz_mul(x, cu_numeric_view(a, view_a), cu_numeric_view(b, view_b));
	cu_numeric_round(x, &scale, dscale);
	rc = give_number(call, ret, x, scale, dscale);
	mpz_clear(x);
	return rc;
}

static int floor_div(long a, int b)
{
	return (int)(a >= 0 ? a / b : -((-a + b - 1) / b));
}

/* Where Postgres' first digit stands and what it is: its digits are of base 10000, counted from the point. */
static void first_digit(const struct cu_numeric *numeric, int *ret_weight, long *ret_digit)
{
	mpz_t view, x;
	long top;
	int scale;

	*ret_weight = 0;
	*ret_digit = 0;
	if (numeric->size == 0)
		return;
	mpz_init_set(x, cu_numeric_view(numeric, view));
	mpz_abs(x, x);
	scale = numeric->scale;
	top = cu_numeric_digits(x) - 1 - scale;
	*ret_weight = floor_div(top, 4);
	if (scale < -4 * *ret_weight)
		cu_numeric_shift(x, (unsigned long)(-4L * *ret_weight - scale));
	else
		cu_numeric_truncate(x, &scale, -4 * *ret_weight);
	*ret_digit = mpz_get_si(x);
	mpz_clear(x);
}

/* Sixteen significant digits at least, whole groups of four, and no fewer decimals than the arguments have. */
static int quotient_scale(const struct cu_numeric *a, const struct cu_numeric *b)
{
	int weight_a, weight_b, weight, scale;
	long digit_a, digit_b;

	first_digit(a, &weight_a, &digit_a);
	first_digit(b, &weight_b, &digit_b);
	weight = weight_a - weight_b - (digit_a <= digit_b);
	scale = NUMERIC_SIG_DIGITS_MIN - weight * 4;
	scale = CU_MAX(CU_MAX(scale, a->dscale), CU_MAX(b->dscale, 0));
	return CU_MIN(scale, NUMERIC_DISPLAY_SCALE_MAX);
}

/* What division gives when NaN or an infinity takes part; false: none does. */
static bool special_quotient(CALL, int *ret_rc)
{
	const struct cu_numeric *a = ARG(0), *b = ARG(1);

	if (!is_special(a) && !is_special(b))
		return false;
	if (is_nan(a) || is_nan(b) || (is_special(a) && is_special(b)))
		*ret_rc = give_special(call, ret, CU_NUMERIC_NAN);
	else if (is_special(b))
		*ret_rc = give_small(call, ret, 0);
	else if (cu_numeric_sign(b) == 0)
		*ret_rc = fail_zero(call->err);
	else
		*ret_rc = give_infinity(call, ret, cu_numeric_sign(a) * cu_numeric_sign(b));
	return true;
}

static int numeric_div(CALL)
{
	const struct cu_numeric *a = ARG(0), *b = ARG(1);
	int scale, rc;
	mpz_t view_a, view_b, x;

	if (special_quotient(call, ret, &rc))
		return rc;
	if (b->size == 0)
		return fail_zero(call->err);
	scale = quotient_scale(a, b);
	mpz_init(x);
	/* The coefficients are divided as they are; their scales move the quotient's point. */
	cu_numeric_quotient(x, cu_numeric_view(a, view_a), cu_numeric_view(b, view_b), scale - a->scale + b->scale);
	rc = give_number(call, ret, x, scale, scale);
	mpz_clear(x);
	return rc;
}

/* The quotient without its decimals, and the rest. Both finite, b not zero. */
static void divide(const struct cu_numeric *a, const struct cu_numeric *b, mpz_t quotient, mpz_t rest)
{
	int scale = CU_MAX(a->scale, b->scale);
	mpz_t y;

	mpz_init(y);
	cu_numeric_align(rest, a, scale);
	cu_numeric_align(y, b, scale);
	mpz_tdiv_qr(quotient, rest, rest, y);
	mpz_clear(y);
}

static int numeric_div_trunc(CALL)
{
	mpz_t quotient, rest;
	int rc;

	if (special_quotient(call, ret, &rc))
		return rc;
	if (ARG(1)->size == 0)
		return fail_zero(call->err);
	mpz_inits(quotient, rest, NULL);
	divide(ARG(0), ARG(1), quotient, rest);
	rc = give_number(call, ret, quotient, 0, 0);
	mpz_clears(quotient, rest, NULL);
	return rc;
}

static int numeric_mod(CALL)
{
	const struct cu_numeric *a = ARG(0), *b = ARG(1);
	mpz_t quotient, rest;
	int rc;

	if (is_nan(a) || is_nan(b))
		return give_special(call, ret, CU_NUMERIC_NAN);
	if (cu_numeric_sign(b) == 0)
		return fail_zero(call->err);
	if (is_special(a))
		return give_special(call, ret, CU_NUMERIC_NAN);
	if (is_special(b))
		return give(ret, a);
	mpz_inits(quotient, rest, NULL);
	divide(a, b, quotient, rest);
	rc = give_number(call, ret, rest, CU_MAX(a->scale, b->scale), CU_MAX(a->dscale, b->dscale));
	mpz_clears(quotient, rest, NULL);
	return rc;
}

/* Greatest common divisor, least common multiple: of the numbers as multiples of their last decimal. */
static int common(CALL, bool multiple)
{
	const struct cu_numeric *a = ARG(0), *b = ARG(1);
	int scale = CU_MAX(a->scale, b->scale), rc;
	mpz_t x, y;

	if (is_special(a) || is_special(b))
		return give_special(call, ret, CU_NUMERIC_NAN);
	mpz_inits(x, y, NULL);
	cu_numeric_align(x, a, scale);
	cu_numeric_align(y, b, scale);
	if (multiple)
		mpz_lcm(x, x, y);
	else
		mpz_gcd(x, x, y);
	rc = give_number(call, ret, x, scale, CU_MAX(a->dscale, b->dscale));
	mpz_clears(x, y, NULL);
	return rc;
}

static int numeric_gcd(CALL)
{
	return common(call, ret, false);
}

static int numeric_lcm(CALL)
{
	return common(call, ret, true);
}

/* round(n, s), trunc(n, s): exactly s decimals are shown, none when s is negative. */
static int cut(CALL, void (*cut_to)(mpz_t x, int *scale, int to))
{
	const struct cu_numeric *a = ARG(0);
	int to = (int32_t)call->args[1].integer, scale = a->scale, rc;
	mpz_t view, x;

	if (is_special(a))
		return give(ret, a);
	/* As since 15.10; before, Postgres took 2000 for the most either way. */
	to = CU_MIN(CU_MAX(to, -NUMERIC_INTEGER_DIGITS_MAX - 1), NUMERIC_DSCALE_MAX);
	mpz_init_set(x, cu_numeric_view(a, view));
	cut_to(x, &scale, to);
	rc = give_number(call, ret, x, scale, CU_MAX(to, 0));
	mpz_clear(x);
	return rc;
}

static int numeric_round(CALL)
{
	return cut(call, ret, cu_numeric_round);
}

static int numeric_trunc(CALL)
{
	return cut(call, ret, cu_numeric_truncate);
}

static int whole(CALL, bool up)
{
	const struct cu_numeric *a = ARG(0);
	mpz_t view, x, power;
	int rc;

	if (is_special(a))
		return give(ret, a);
	mpz_init_set(x, cu_numeric_view(a, view));
	mpz_init_set_ui(power, 1);
	if (a->scale > 0) {
		cu_numeric_shift(power, (unsigned long)a->scale);
		if (up)
			mpz_cdiv_q(x, x, power);
		else
			mpz_fdiv_q(x, x, power);
	}
	rc = give_number(call, ret, x, CU_MIN(a->scale, 0), 0);
	mpz_clears(x, power, NULL);
	return rc;
}

static int numeric_ceil(CALL)
{
	return whole(call, ret, true);
}

static int numeric_floor(CALL)
{
	return whole(call, ret, false);
}

static int signed_as(CALL, int sign)
{
	const struct cu_numeric *a = ARG(0);
	mpz_t view, x;
	int rc;

	if (is_nan(a))
		return give(ret, a);
	if (is_special(a))
		return give_infinity(call, ret, sign);
	mpz_init(x);
	mpz_abs(x, cu_numeric_view(a, view));
	if (sign < 0)
		mpz_neg(x, x);
	rc = give_number(call, ret, x, a->scale, a->dscale);
	mpz_clear(x);
	return rc;
}

static int numeric_abs(CALL)
{
	return signed_as(call, ret, 1);
}

static int numeric_uminus(CALL)
{
	return signed_as(call, ret, -cu_numeric_sign(ARG(0)));
}

static int numeric_uplus(CALL)
{
	return give(ret, ARG(0));
}

static int numeric_sign(CALL)
{
	return is_nan(ARG(0)) ? give(ret, ARG(0)) : give_small(call, ret, cu_numeric_sign(ARG(0)));
}

static int numeric_scale(CALL)
{
	if (is_special(ARG(0))) {
		*ret = CU_DATUM_NULL;
		return 0;
	}
	return give_int(ret, ARG(0)->dscale);
}

/* The decimals that are needed. */
static int needed_scale(const struct cu_numeric *numeric)
{
	mpz_t view, x, ten;
	int scale = numeric->scale;

	if (numeric->size == 0)
		return 0;
	mpz_init(x);
	mpz_init_set_ui(ten, 10);
	scale -= (int)mpz_remove(x, cu_numeric_view(numeric, view), ten);
	mpz_clears(x, ten, NULL);
	return CU_MAX(scale, 0);
}

static int numeric_min_scale(CALL)
{
	if (is_special(ARG(0))) {
		*ret = CU_DATUM_NULL;
		return 0;
	}
	return give_int(ret, needed_scale(ARG(0)));
}

static int numeric_trim_scale(CALL)
{
	const struct cu_numeric *a = ARG(0);
	int scale = a->scale, to, rc;
	mpz_t view, x;

	if (is_special(a))
		return give(ret, a);
	to = needed_scale(a);
	mpz_init_set(x, cu_numeric_view(a, view));
	cu_numeric_truncate(x, &scale, to);
	rc = give_number(call, ret, x, scale, to);
	mpz_clear(x);
	return rc;
}

/* Sixteen significant digits at least, and no fewer decimals than the argument has. */
static int numeric_sqrt(CALL)
{
	const struct cu_numeric *a = ARG(0);
	int weight, scale, rc, half = 0;
	long digit;
	mpz_t view, x, rest;

	if (is_special(a) && cu_numeric_sign(a) > 0)
		return give(ret, a);
	if (cu_numeric_sign(a) < 0)
		return cu_value_fail(call->err, "2201F", "cannot take square root of a negative number");
	first_digit(a, &weight, &digit);
	/* The place of the root's first digit, as far as the weight alone tells. */
	scale = NUMERIC_SIG_DIGITS_MIN - (weight >= 0 ? (weight + 1) * 2 - 1 : 1 - (1 - weight * 4) / 2);
	scale = CU_MAX(CU_MAX(scale, a->dscale), 0);
	scale = CU_MIN(scale, NUMERIC_DISPLAY_SCALE_MAX);
	mpz_init_set(x, cu_numeric_view(a, view));
	mpz_init(rest);
	/* x := a × 10^(2 scale), whose root has `scale` decimals. What is cut off of x is below the root's last. */
	if (2 * scale >= a->scale) {
		cu_numeric_shift(x, (unsigned long)(2 * scale - a->scale));
	} else {
		int from = a->scale;

		cu_numeric_truncate(x, &from, 2 * scale);
	}
	mpz_sqrtrem(x, rest, x);
	/* (r + 1/2)² = r² + r + 1/4: the root is above r + 1/2 when the rest is above r. */
	half = mpz_cmp(rest, x) > 0;
	mpz_add_ui(x, x, (unsigned long)half);
	rc = give_number(call, ret, x, scale, scale);
	mpz_clears(x, rest, NULL);
	return rc;
}

static int numeric_fac(CALL)
{
	int64_t n = call->args[0].integer;
	mpz_t x;
	int rc;

	if (n < 0)
		return cu_value_fail(call->err, "22003", "factorial of a negative number is undefined");
	if (n > 32177) /* the first whose factorial does not fit */
		return cu_value_fail(call->err, "22003", "value overflows numeric format");
	mpz_init(x);
	mpz_fac_ui(x, (unsigned long)n);
	rc = give_number(call, ret, x, 0, 0);
	mpz_clear(x);
	return rc;
}

/* numeric(p, s) */
static int numeric(CALL)
{
	const struct cu_numeric *result;
	int rc = cu_numeric_typmod(ARG(0), (int32_t)call->args[1].integer, call->arena, &result, call->err);

	return rc ? rc : give(ret, result);
}

/* Casts. */
static int int_numeric(CALL)
{
	return give_small(call, ret, call->args[0].integer);
}

static int int2_numeric(CALL)
{
	return give_small(call, ret, (int16_t)call->args[0].integer);
}

static int int4_numeric(CALL)
{
	return give_small(call, ret, (int32_t)call->args[0].integer);
}

/* Through the shortest decimal that is sure to be right: DBL_DIG, FLT_DIG digits. */
static int float_numeric(CALL, int digits)
{
	const struct cu_numeric *numeric;
	double value = call->args[0].real;
	char text[64];
	int rc;

	if (isnan(value))
		return give_special(call, ret, CU_NUMERIC_NAN);
	if (isinf(value))
		return give_infinity(call, ret, value < 0 ? -1 : 1);
	snprintf(text, sizeof text, "%.*g", digits, value);
	rc = cu_numeric_parse(text, strlen(text), -1, call->arena, &numeric, call->err);
	return rc ? rc : give(ret, numeric);
}

static int float8_numeric(CALL)
{
	return float_numeric(call, ret, 15);
}

static int float4_numeric(CALL)
{
	return float_numeric(call, ret, 6);
}

static int numeric_float(CALL,
			 int (*parse)(const char *text, size_t len, double *ret_value, struct cu_value_error *err))
{
	cu_buf text = CU_BUF_INIT;
	double value = 0;
	int rc;

	cu_numeric_print(ARG(0), &text);
	rc = cu_buf_failed(&text) ? CU_ENOMEM : parse(text.data, text.len, &value, call->err);
	cu_buf_fini(&text);
	if (rc == 0)
		*ret = (struct cu_datum){ .real = value };
	return rc;
}

static int numeric_float8(CALL)
{
	return numeric_float(call, ret, cu_float8_parse);
}

static int numeric_float4(CALL)
{
	return numeric_float(call, ret, cu_float4_parse);
}

static int numeric_int(CALL, int64_t min, int64_t max, const char *name)
{
	const struct cu_numeric *a = ARG(0);
	int scale = a->scale;
	bool fits = true;
	mpz_t view, x;

	if (is_special(a))
		return cu_value_fail(call->err, "0A000", "cannot convert %s to %s", is_nan(a) ? "NaN" : "infinity",
				     name);
	mpz_init_set(x, cu_numeric_view(a, view));
	cu_numeric_round(x, &scale, 0);
	/* Not all of 1e131071 needs to be written out for that. */
	fits = mpz_sgn(x) == 0 || scale >= -20;
	if (fits && scale < 0)
		cu_numeric_shift(x, (unsigned long)-scale);
	fits = fits && mpz_cmp_si(x, min) >= 0 && mpz_cmp_si(x, max) <= 0;
	if (fits)
		give_int(ret, mpz_get_si(x));
	mpz_clear(x);
	return fits ? 0 : cu_value_fail(call->err, "22003", "%s out of range", name);
}

static int numeric_int2(CALL)
{
	return numeric_int(call, ret, INT16_MIN, INT16_MAX, "smallint");
}

static int numeric_int4(CALL)
{
	return numeric_int(call, ret, INT32_MIN, INT32_MAX, "integer");
}

static int numeric_int8(CALL)
{
	return numeric_int(call, ret, INT64_MIN, INT64_MAX, "bigint");
}

#define ENTRY(function)             \
	{                           \
#function, function \
	}

static const struct cu_function_entry numeric_entries[] = {
	ENTRY(numeric_eq),        ENTRY(numeric_ne),
	ENTRY(numeric_lt),        ENTRY(numeric_le),
	ENTRY(numeric_gt),        ENTRY(numeric_ge),
	ENTRY(numeric_cmp),       ENTRY(numeric_larger),
	ENTRY(numeric_smaller),   ENTRY(numeric_add),
	ENTRY(numeric_sub),       ENTRY(numeric_mul),
	ENTRY(numeric_div),       ENTRY(numeric_div_trunc),
	ENTRY(numeric_mod),       ENTRY(numeric_gcd),
	ENTRY(numeric_lcm),       ENTRY(numeric_round),
	ENTRY(numeric_trunc),     ENTRY(numeric_ceil),
	ENTRY(numeric_floor),     ENTRY(numeric_abs),
	ENTRY(numeric_uminus),    ENTRY(numeric_uplus),
	ENTRY(numeric_sign),      ENTRY(numeric_scale),
	ENTRY(numeric_min_scale), ENTRY(numeric_trim_scale),
	ENTRY(numeric_sqrt),      ENTRY(numeric_fac),
	ENTRY(numeric),           ENTRY(int2_numeric),
	ENTRY(int4_numeric),      { "int8_numeric", int_numeric },
	ENTRY(float4_numeric),    ENTRY(float8_numeric),
	ENTRY(numeric_float4),    ENTRY(numeric_float8),
	ENTRY(numeric_int2),      ENTRY(numeric_int4),
	ENTRY(numeric_int8),
};

CU_FUNCTION_TABLE(cu_functions_numeric, numeric_entries);
