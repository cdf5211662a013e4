/* numeric_math.c: power, exp, ln and log of numeric.
 *
 * Postgres computes these with a few more digits than it shows and rounds at the end. How many it shows is a chain of
 * rules over estimates in double precision, which is followed here step by step. The value itself comes from MPFR, and
 * is the same once rounded, unless the digits that were cut off lie so close to one half that Postgres' own error
 * decides: such a call, about one in a million, is refused (0A000) rather than guessed.
 */
#include "value/numeric_impl.h"

#include <math.h>
#include <mpfr.h>
#include <stdio.h>
#include <stdlib.h>

#define CALL const struct cu_function_call *call, struct cu_datum *ret

#define GUARD_DIGITS 8        /* computed beyond what is shown */
#define GUARD_UNIT 100000000  /* 10^GUARD_DIGITS */
#define GUARD_DOUBT 100       /* so close to one half, in those digits, and we do not know */
#define EXP_ARGUMENT_MAX 6000 /* exp() of more overflows, of less is zero */
#define LOG10_E 0.434294481903252

/* A decimal on the way: x × 10^-scale. */
struct decimal {
	mpz_t x;
	int scale;
};

static int give(CALL, const mpz_t x, int scale, int dscale)
{
	const struct cu_numeric *numeric;
	int rc = cu_numeric_make(call->arena, x, scale, dscale, &numeric, call->err);

	if (rc == 0)
		*ret = (struct cu_datum){ .numeric = numeric };
	return rc;
}

static int give_small(CALL, int value, int dscale)
{
	mpz_t x;
	int rc;

	mpz_init_set_si(x, value);
	rc = give(call, ret, x, 0, dscale);
	mpz_clear(x);
	return rc;
}

static int give_special(CALL, enum cu_numeric_kind kind)
{
	const struct cu_numeric *numeric;
	int rc = cu_numeric_special(call->arena, kind, &numeric);

	if (rc == 0)
		*ret = (struct cu_datum){ .numeric = numeric };
	return rc;
}

static int fail_overflow(struct cu_value_error *err)
{
	return cu_value_fail(err, "22003", "value overflows numeric format");
}

static int fail_doubt(struct cu_value_error *err)
{
	return cu_value_fail(err, "0A000", "the last digit of this numeric result cannot be reproduced");
}

static int choose_scale(int scale, int dscale_a, int dscale_b)
{
	scale = CU_MAX(CU_MAX(scale, 0), CU_MAX(dscale_a, dscale_b));
	return CU_MIN(scale, NUMERIC_DISPLAY_SCALE_MAX);
}

/* x with GUARD_DIGITS too many, which it loses. False: in doubt. */
static bool round_guarded(mpz_t x)
{
	mpz_t rest;
	long cut;
	bool sure;

	mpz_init(rest);
	mpz_tdiv_qr_ui(x, rest, x, GUARD_UNIT);
	cut = mpz_get_si(rest);
	mpz_clear(rest);
	sure = labs(labs(cut) - GUARD_UNIT / 2) > GUARD_DOUBT;
	if (labs(cut) >= GUARD_UNIT / 2) {
		if (cut > 0)
			mpz_add_ui(x, x, 1);
		else
			mpz_sub_ui(x, x, 1);
	}
	return sure;
}

/* Sets value to x × 10^-scale. */
static void to_mpfr(mpfr_t value, const mpz_t x, int scale)
{
	mpz_t power;

	mpz_init(power);
	mpz_ui_pow_ui(power, 10, (unsigned long)abs(scale));
	mpfr_set_z(value, x, MPFR_RNDN);
	if (scale > 0)
		mpfr_div_z(value, value, power, MPFR_RNDN);
	else
		mpfr_mul_z(value, value, power, MPFR_RNDN);
	mpz_clear(power);
}

/* value as an integer of `scale` decimals, rounded half away. False: in doubt. */
static bool from_mpfr(mpz_t x, mpfr_t value, int scale)
{
	mpz_t power;

	mpz_init(power);
	mpz_ui_pow_ui(power, 10, (unsigned long)scale + GUARD_DIGITS);
	mpfr_mul_z(value, value, power, MPFR_RNDN);
	mpfr_get_z(x, value, MPFR_RNDZ);
	mpz_clear(power);
	return round_guarded(x);
}

static mpfr_prec_t bits_of(long digits)
{
	return (mpfr_prec_t)(CU_MAX(digits, 1) + 2 * GUARD_DIGITS) * 10 / 3 + 64;
}

/* ln of a positive number, with `scale` decimals. */
static bool ln_of(mpz_t x, const struct cu_numeric *numeric, int scale)
{
	mpfr_t value;
	mpz_t view;
	bool sure;

	mpfr_init2(value, bits_of(scale));
	to_mpfr(value, cu_numeric_view(numeric, view), numeric->scale);
	mpfr_log(value, value, MPFR_RNDN);
	sure = from_mpfr(x, value, scale);
	mpfr_clear(value);
	mpfr_free_cache2(MPFR_FREE_LOCAL_CACHE); /* a thread's own; nobody would free it */
	return sure;
}

/* exp of a decimal of at most EXP_ARGUMENT_MAX, with `scale` decimals. */
static bool exp_of(mpz_t x, const struct decimal *argument, double estimate, int scale)
{
	mpfr_t value;
	bool sure;

	mpfr_init2(value, bits_of(scale + (long)fabs(estimate * LOG10_E)));
	to_mpfr(value, argument->x, argument->scale);
	mpfr_exp(value, value, MPFR_RNDN);
	sure = mpz_sgn(argument->x) == 0;
	sure |= from_mpfr(x, value, scale);
	mpfr_clear(value);
	mpfr_free_cache2(MPFR_FREE_LOCAL_CACHE); /* a thread's own; nobody would free it */
	return sure;
}

static double to_double(const mpz_t x, int scale)
{
	size_t size = mpz_sizeinbase(x, 10) + 32, len;
	char *digits = cu_xmalloc(size);
	double value;

	mpz_get_str(digits, 10, x);
	len = strlen(digits);
	snprintf(digits + len, size - len, "e%d", -scale);
	value = strtod(digits, NULL);
	free(digits);
	return value;
}

/* The leading groups of four digits, as Postgres stores them: the first one's place, up to four of them, how many of
 * these are needed (zeros at the end are not stored). */
struct groups {
	int weight;
	int len;
	int digits[4];
};

static struct groups groups_of(const mpz_t x, int scale)
{
	struct groups groups = { 0, 0, { 0, 0, 0, 0 } };
	long top = cu_numeric_digits(x) - 1 - scale;
	int to, shown = scale;
	bool more;
	mpz_t head;
	uint64_t value;

	if (mpz_sgn(x) == 0)
		return groups;
	groups.weight = (int)(top >= 0 ? top / 4 : -((-top + 3) / 4));
	to = 4 * (3 - groups.weight);
	mpz_init(head);
	mpz_abs(head, x);
	if (scale < to)
		cu_numeric_shift(head, (unsigned long)(to - scale));
	else
		cu_numeric_truncate(head, &shown, to);
	value = mpz_get_ui(head);
	for (int i = 3; i >= 0; i--) {
		groups.digits[i] = (int)(value % 10000);
		value /= 10000;
	}
	groups.len = 4;
	/* Zeros count when another digit follows. */
	if (scale > to) {
		cu_numeric_shift(head, (unsigned long)(scale - to));
		more = mpz_cmpabs(head, x) != 0;
	} else {
		more = false;
	}
	while (!more && groups.len > 1 && groups.digits[groups.len - 1] == 0)
		groups.len--;
	mpz_clear(head);
	return groups;
}

/* The place of the first digit of ln(numeric), roughly, as Postgres estimates it. */
static int estimate_ln_place(const struct cu_numeric *numeric)
{
	int scale = CU_MAX(numeric->scale, 1), place = 0;
	struct groups groups;
	mpz_t x, one, tenth;

	mpz_inits(x, one, tenth, NULL);
	/* Between 0.9 and 1.1? Large numbers need not be written out for that. */
	cu_numeric_align(x, numeric, scale);
	mpz_ui_pow_ui(one, 10, (unsigned long)scale);
	mpz_ui_pow_ui(tenth, 10, (unsigned long)scale - 1);
	groups = groups_of(x, scale);
	mpz_sub(x, x, one);
	if (mpz_cmpabs(x, tenth) <= 0) {
		groups = groups_of(x, scale);
		if (mpz_sgn(x) != 0)
			place = groups.weight * 4 + (int)log10(groups.digits[0]);
	} else {
		int digits = groups.digits[0], weight = groups.weight * 4;

		if (groups.len > 1) {
			digits = digits * 10000 + groups.digits[1];
			weight -= 4;
		}
		place = (int)log10(fabs(log((double)digits) + weight * 2.302585092994046));
	}
	mpz_clears(x, one, tenth, NULL);
	return place;
}

static int fail_logarithm(struct cu_value_error *err, const struct cu_numeric *numeric)
{
	return cu_value_fail(err, "2201E", "cannot take logarithm of %s",
			     cu_numeric_sign(numeric) < 0 ? "a negative number" : "zero");
}

static int numeric_ln(CALL)
{
	const struct cu_numeric *a = call->args[0].numeric;
	int scale, rc;
	mpz_t x;

	if (a->kind != CU_NUMERIC_FINITE && cu_numeric_sign(a) > 0) {
		*ret = call->args[0];
		return 0;
	}
	if (cu_numeric_sign(a) <= 0)
		return fail_logarithm(call->err, a);
	scale = choose_scale(NUMERIC_SIG_DIGITS_MIN - estimate_ln_place(a), a->dscale, 0);
	mpz_init(x);
	rc = ln_of(x, a, scale) ? give(call, ret, x, scale, scale) : fail_doubt(call->err);
	mpz_clear(x);
	return rc;
}

static int special_log(CALL)
{
	const struct cu_numeric *base = call->args[0].numeric, *a = call->args[1].numeric;

	if (base->kind == CU_NUMERIC_NAN || a->kind == CU_NUMERIC_NAN)
		return give_special(call, ret, CU_NUMERIC_NAN);
	if (cu_numeric_sign(base) < 0 || cu_numeric_sign(a) < 0)
		return cu_value_fail(call->err, "2201E", "cannot take logarithm of a negative number");
	if (cu_numeric_sign(base) == 0 || cu_numeric_sign(a) == 0)
		return cu_value_fail(call->err, "2201E", "cannot take logarithm of zero");
	if (base->kind == CU_NUMERIC_PINF)
		return a->kind == CU_NUMERIC_PINF ? give_special(call, ret, CU_NUMERIC_NAN)
						  : give_small(call, ret, 0, 0);
	return give_special(call, ret, CU_NUMERIC_PINF);
}

/* log(base, a) = ln(a) / ln(base) */
static int numeric_log(CALL)
{
	const struct cu_numeric *base = call->args[0].numeric, *a = call->args[1].numeric;
	int place_base, place_a, place, scale, rc;
	struct decimal x, y;

	if (base->kind != CU_NUMERIC_FINITE || a->kind != CU_NUMERIC_FINITE)
		return special_log(call, ret);
	if (cu_numeric_sign(base) <= 0)
		return fail_logarithm(call->err, base);
	place_base = estimate_ln_place(base);
	if (cu_numeric_sign(a) <= 0)
		return fail_logarithm(call->err, a);
	place_a = estimate_ln_place(a);
	place = place_a - place_base;
	scale = choose_scale(NUMERIC_SIG_DIGITS_MIN - place, base->dscale, a->dscale);
	mpz_inits(x.x, y.x, NULL);
	y.scale = CU_MAX(scale + place - place_base + 8, 0);
	x.scale = CU_MAX(scale + place - place_a + 8, 0);
	ln_of(y.x, base, y.scale);
	ln_of(x.x, a, x.scale);
	if (mpz_sgn(y.x) == 0) {
		rc = cu_value_fail(call->err, "22012", "division by zero");
	} else {
		int shift = scale + GUARD_DIGITS - x.scale + y.scale;

		cu_numeric_shift(shift >= 0 ? x.x : y.x, (unsigned long)abs(shift));
		mpz_tdiv_q(x.x, x.x, y.x);
		rc = round_guarded(x.x) ? give(call, ret, x.x, scale, scale) : fail_doubt(call->err);
	}
	mpz_clears(x.x, y.x, NULL);
	return rc;
}

/* exp of a decimal, shown with `scale` decimals; sign: of the result. */
static int give_exp(CALL, const struct decimal *argument, int scale, int sign)
{
	double estimate = to_double(argument->x, argument->scale);
	mpz_t x;
	int rc;

	if (fabs(estimate) >= EXP_ARGUMENT_MAX)
		return estimate > 0 ? fail_overflow(call->err) : give_small(call, ret, 0, scale);
	mpz_init(x);
	rc = exp_of(x, argument, estimate, scale) ? 0 : fail_doubt(call->err);
	if (sign < 0)
		mpz_neg(x, x);
	if (rc == 0)
		rc = give(call, ret, x, scale, scale);
	mpz_clear(x);
	return rc;
}

static int numeric_exp(CALL)
{
	const struct cu_numeric *a = call->args[0].numeric;
	struct decimal x;
	double place;
	mpz_t view;
	int rc;

	if (a->kind != CU_NUMERIC_FINITE) {
		if (cu_numeric_sign(a) < 0)
			return give_small(call, ret, 0, 0);
		*ret = call->args[0];
		return 0;
	}
	mpz_init_set(x.x, cu_numeric_view(a, view));
	x.scale = a->scale;
	place = CU_MIN(CU_MAX(to_double(x.x, x.scale) * LOG10_E, -2000), 2000);
	rc = give_exp(call, ret, &x, choose_scale(NUMERIC_SIG_DIGITS_MIN - (int)place, a->dscale, 0), 1);
	mpz_clear(x.x);
	return rc;
}

/* +1, 0 or -1 as a is above, at or below a small integer. */
static int compare_small(const struct cu_function_call *call, const struct cu_numeric *a, int value, int *ret_order)
{
	const struct cu_numeric *small;
	int rc = cu_numeric_from_int(call->arena, value, 0, &small);

	if (rc == 0)
		*ret_order = cu_numeric_compare(a, small);
	return rc;
}

static bool is_integral(const struct cu_numeric *numeric)
{
	int scale = numeric->scale;
	mpz_t view, x;
	bool integral;

	if (numeric->kind != CU_NUMERIC_FINITE)
		return numeric->kind != CU_NUMERIC_NAN;
	if (numeric->scale <= 0)
		return true;
	mpz_init_set(x, cu_numeric_view(numeric, view));
	cu_numeric_truncate(x, &scale, 0);
	cu_numeric_shift(x, (unsigned long)numeric->scale);
	integral = mpz_cmp(x, cu_numeric_view(numeric, view)) == 0;
	mpz_clear(x);
	return integral;
}

/* Of a number that is_integral(). */
static bool is_odd_integer(const struct cu_numeric *numeric)
{
	int scale = numeric->scale;
	mpz_t view, x;
	bool odd;

	if (numeric->kind != CU_NUMERIC_FINITE || numeric->scale < 0)
		return false;
	mpz_init_set(x, cu_numeric_view(numeric, view));
	cu_numeric_truncate(x, &scale, 0);
	odd = mpz_odd_p(x) != 0;
	mpz_clear(x);
	return odd;
}

/* What the SQL standard wants refused; 0: nothing. */
static int check_power(CALL)
{
	const struct cu_numeric *a = call->args[0].numeric, *b = call->args[1].numeric;

	(void)ret;
	if (cu_numeric_sign(a) == 0 && cu_numeric_sign(b) < 0)
		return cu_value_fail(call->err, "2201F", "zero raised to a negative power is undefined");
	if (cu_numeric_sign(a) < 0 && !is_integral(b))
		return cu_value_fail(call->err, "2201F",
				     "a negative number raised to a non-integer power yields a complex result");
	return 0;
}

/* Powers with NaN or an infinity: POSIX' table for pow(). */
static int special_power(CALL)
{
	const struct cu_numeric *a = call->args[0].numeric, *b = call->args[1].numeric;
	int sign_a = cu_numeric_sign(a), sign_b = cu_numeric_sign(b);
	int to_one, to_minus_one, rc;

	rc = compare_small(call, a, 1, &to_one);
	if (rc == 0)
		rc = compare_small(call, a, -1, &to_minus_one);
	if (rc)
		return rc;
	if (a->kind == CU_NUMERIC_NAN)
		return sign_b == 0 ? give_small(call, ret, 1, 0) : give_special(call, ret, CU_NUMERIC_NAN);
	if (b->kind == CU_NUMERIC_NAN)
		return to_one == 0 ? give_small(call, ret, 1, 0) : give_special(call, ret, CU_NUMERIC_NAN);
	rc = check_power(call, ret);
	if (rc)
		return rc;
	if (to_one == 0 || sign_b == 0)
		return give_small(call, ret, 1, 0);
	if (b->kind != CU_NUMERIC_FINITE) {
		bool grows = to_one > 0 || to_minus_one < 0;

		if (to_minus_one == 0)
			return give_small(call, ret, 1, 0);
		return grows == (sign_b > 0) ? give_special(call, ret, CU_NUMERIC_PINF) : give_small(call, ret, 0, 0);
	}
	if (sign_b < 0)
		return give_small(call, ret, 0, 0);
	return give_special(call, ret, sign_a < 0 && is_odd_integer(b) ? CU_NUMERIC_NINF : CU_NUMERIC_PINF);
}

/* x × y, rounded to `scale` decimals, no more than both have. False when something was cut off. */
static bool multiply(struct decimal *x, const struct decimal *y, int scale)
{
	int from;
	bool exact;

	mpz_mul(x->x, x->x, y->x);
	x->scale += y->scale;
	from = x->scale;
	cu_numeric_round(x->x, &x->scale, scale);
	/* A round value may have been cut without loss; that it counts as a loss costs a doubt at most. */
	exact = x->scale == from;
	return exact;
}

static int weight_of(const struct decimal *x)
{
	return groups_of(x->x, x->scale).weight;
}

/* base ^ exponent by squaring, with as many digits on the way as Postgres keeps. CU_ETOOBIG: overflow. */
static int power_by_squaring(struct decimal *result, const struct decimal *base, int64_t exponent, int digits,
			     bool *ret_exact)
{
	struct decimal square;
	int rc = 0;

	*ret_exact = true;
	mpz_init_set(square.x, base->x);
	square.scale = base->scale;
	if (exponent & 1) {
		mpz_set(result->x, base->x);
		result->scale = base->scale;
	} else {
		mpz_set_ui(result->x, 1);
		result->scale = 0;
	}
	while ((exponent >>= 1) > 0) {
		int scale = digits - 2 * weight_of(&square) * 4;

		*ret_exact &= multiply(&square, &square, CU_MAX(scale, 0));
		if (exponent & 1) {
			scale = digits - (weight_of(&square) + weight_of(result)) * 4;
			*ret_exact &= multiply(result, &square, CU_MAX(scale, 0));
		}
		if (weight_of(&square) > INT16_MAX || weight_of(result) > INT16_MAX) {
			rc = CU_ETOOBIG;
			break;
		}
	}
	mpz_clear(square.x);
	return rc;
}

/* x or 1 / x, cut to `scale` decimals. CU_EUNSUPPORTED: in doubt. */
static int finish_power(struct decimal *x, bool inverse, bool exact, int scale)
{
	bool sure = true;

	if (inverse) {
		mpz_t one;

		mpz_init_set_ui(one, 1);
		cu_numeric_shift(one, (unsigned long)scale + GUARD_DIGITS + (unsigned long)x->scale);
		mpz_tdiv_q(x->x, one, x->x);
		mpz_clear(one);
		x->scale = scale;
		return round_guarded(x->x) ? 0 : CU_EUNSUPPORTED;
	}
	if (!exact) {
		struct decimal guarded;

		mpz_init_set(guarded.x, x->x);
		guarded.scale = x->scale;
		cu_numeric_truncate(guarded.x, &guarded.scale, scale + GUARD_DIGITS);
		cu_numeric_shift(guarded.x, (unsigned long)(scale + GUARD_DIGITS - guarded.scale));
		sure = round_guarded(guarded.x);
		mpz_clear(guarded.x);
	}
	cu_numeric_round(x->x, &x->scale, scale);
	return sure ? 0 : CU_EUNSUPPORTED;
}

/* The place of the first digit of base ^ exponent, in the double arithmetic that Postgres does. */
static double estimate_power(const struct decimal *base, int exponent)
{
	struct groups groups = groups_of(base->x, base->scale);
	double first = groups.digits[0];
	int place = groups.weight * 4;

	if (mpz_sgn(base->x) == 0)
		return 0;
	for (int i = 1; i < groups.len; i++) {
		first = first * 10000 + groups.digits[i];
		place -= 4;
	}
	return exponent * (log10(first) + place);
}

/* base ^ exponent with `scale` decimals. CU_ETOOBIG: overflow; CU_EUNSUPPORTED: in doubt. */
static int power_at_scale(struct decimal *x, const struct decimal *base, int exponent, double place, int scale)
{
	bool exact = true;
	int rc;

	mpz_set(x->x, base->x);
	x->scale = base->scale;
	if (exponent == 0) {
		mpz_set_ui(x->x, 1);
		x->scale = 0;
		return 0;
	}
	if (exponent == 1 || mpz_sgn(base->x) == 0)
		return finish_power(x, false, true, scale);
	if (exponent == -1) {
		/* Postgres divides exactly here. */
		mpz_t one;

		mpz_init_set_ui(one, 1);
		cu_numeric_quotient(x->x, one, base->x, scale + base->scale);
		mpz_clear(one);
		x->scale = scale;
		return 0;
	}
	if (exponent == 2) {
		/* The product is cut two groups of digits behind what is shown. */
		exact = (base->scale + 3) / 4 * 2 <= (scale + 3) / 4 + 2;
		multiply(x, base, INT32_MAX);
		return finish_power(x, false, exact, scale);
	}
	if (place > (INT16_MAX + 1) * 4.0)
		return CU_ETOOBIG;
	if (place + 1 < -scale || place + 1 < -NUMERIC_DISPLAY_SCALE_MAX) {
		mpz_set_ui(x->x, 0);
		return 0;
	}
	rc = power_by_squaring(x, base, llabs((long long)exponent),
			       1 + scale + (int)place + (int)log(fabs((double)exponent)) + 8, &exact);
	if (rc == CU_ETOOBIG && exponent < 0) {
		mpz_set_ui(x->x, 0);
		return 0;
	}
	return rc ? rc : finish_power(x, exponent < 0, exact, scale);
}

/* Version 16 and newer show sixteen significant digits and no less than the exponent does, older ones sixteen decimals. */
static int integer_power(CALL, const struct decimal *base, int exponent, bool is_old)
{
	int dscale_a = call->args[0].numeric->dscale, dscale_b = call->args[1].numeric->dscale, scale, rc;
	double place = estimate_power(base, exponent);
	struct decimal x;

	if (mpz_sgn(base->x) == 0 && exponent < 0)
		return cu_value_fail(call->err, "22012", "division by zero");
	if (is_old)
		scale = choose_scale(NUMERIC_SIG_DIGITS_MIN, dscale_a, 0);
	else
		scale = choose_scale(NUMERIC_SIG_DIGITS_MIN - (int)CU_MIN(CU_MAX(place, -1e6), 1e6), dscale_a,
				     dscale_b);
	mpz_init(x.x);
	rc = power_at_scale(&x, base, exponent, place, scale);
	if (rc == CU_ETOOBIG)
		rc = fail_overflow(call->err);
	else if (rc)
		rc = fail_doubt(call->err);
	else
		rc = give(call, ret, x.x, x.scale, scale);
	mpz_clear(x.x);
	return rc;
}

/* e ^ (exponent × ln(base)), after a first look at how large that will be. */
static int real_power(CALL, const struct cu_numeric *base, int sign)
{
	const struct cu_numeric *exponent = call->args[1].numeric;
	int place = estimate_ln_place(base), scale, digits, rc;
	struct decimal ln, b;
	double estimate;
	mpz_t view;

	mpz_init(ln.x);
	mpz_init_set(b.x, cu_numeric_view(exponent, view));
	b.scale = exponent->scale;
	ln.scale = CU_MAX(8 - place, 0);
	ln_of(ln.x, base, ln.scale);
	multiply(&ln, &b, ln.scale);
	estimate = to_double(ln.x, ln.scale);
	if (fabs(estimate) > EXP_ARGUMENT_MAX / 3.0 * 3.01) {
		rc = estimate > 0 ? fail_overflow(call->err) : give_small(call, ret, 0, NUMERIC_DISPLAY_SCALE_MAX);
	} else {
		estimate *= LOG10_E;
		scale = choose_scale(NUMERIC_SIG_DIGITS_MIN - (int)estimate, base->dscale, exponent->dscale);
		digits = CU_MAX(scale + (int)estimate, 0);
		ln.scale = CU_MAX(digits - place + 8, 0);
		ln_of(ln.x, base, ln.scale);
		multiply(&ln, &b, ln.scale);
		rc = give_exp(call, ret, &ln, scale, sign);
	}
	mpz_clears(ln.x, b.x, NULL);
	return rc;
}

static int power(CALL, bool is_old)
{
	const struct cu_numeric *a = call->args[0].numeric, *b = call->args[1].numeric, *positive;
	struct decimal base;
	bool fits = false;
	int rc, exponent = 0;
	mpz_t view, x;

	if (a->kind != CU_NUMERIC_FINITE || b->kind != CU_NUMERIC_FINITE)
		return special_power(call, ret);
	rc = check_power(call, ret);
	if (rc)
		return rc;
	mpz_init_set(base.x, cu_numeric_view(a, view));
	base.scale = a->scale;
	if (is_integral(b) && b->scale > -20) {
		int scale = b->scale;

		mpz_init_set(x, cu_numeric_view(b, view));
		cu_numeric_truncate(x, &scale, 0);
		cu_numeric_shift(x, (unsigned long)-scale);
		fits = mpz_fits_sint_p(x) != 0;
		exponent = fits ? (int)mpz_get_si(x) : 0;
		mpz_clear(x);
	}
	if (fits) {
		rc = integer_power(call, ret, &base, exponent, is_old);
	} else if (mpz_sgn(base.x) == 0) {
		rc = give_small(call, ret, 0, NUMERIC_SIG_DIGITS_MIN);
	} else {
		mpz_abs(base.x, base.x);
		rc = cu_numeric_make(call->arena, base.x, a->scale, a->dscale, &positive, call->err);
		if (rc == 0)
			rc = real_power(call, ret, positive, cu_numeric_sign(a) < 0 && is_odd_integer(b) ? -1 : 1);
	}
	mpz_clear(base.x);
	return rc;
}

static int numeric_power_14(CALL)
{
	return power(call, ret, true);
}

static int numeric_power_16(CALL)
{
	return power(call, ret, false);
}

static const struct cu_function_entry numeric_math_entries[] = {
	{ "numeric_power", numeric_power_14 }, { "numeric_power 16", numeric_power_16 }, { "numeric_exp", numeric_exp },
	{ "numeric_ln", numeric_ln },          { "numeric_log", numeric_log },
};

CU_FUNCTION_TABLE(cu_functions_numeric_math, numeric_math_entries);
