/* numeric_impl.h: what the files of numeric share: working on coefficients. */
#ifndef CU_VALUE_NUMERIC_IMPL_H
#define CU_VALUE_NUMERIC_IMPL_H

#include "value/internal.h"
#include "value/numeric.h"

/* Postgres' bounds. */
#define NUMERIC_INTEGER_DIGITS_MAX 131072 /* before the point */
#define NUMERIC_DSCALE_MAX 16383
#define NUMERIC_DISPLAY_SCALE_MAX 1000 /* of what division and the like choose */
#define NUMERIC_SIG_DIGITS_MIN 16      /* … which is this many digits at least */

/* The coefficient, read-only, sharing the limbs: as mpz_roinit_n() gives it. */
static inline mpz_srcptr cu_numeric_view(const struct cu_numeric *numeric, mpz_t view)
{
	return mpz_roinit_n(view, numeric->limbs, numeric->size);
}

/* x × 10^n. */
void cu_numeric_shift(mpz_t x, unsigned long n);
/* The coefficient at a scale that is not less than the number's own. */
void cu_numeric_align(mpz_t out, const struct cu_numeric *numeric, int scale);
/* Decimal digits of |x|, exactly; 0 for zero. */
long cu_numeric_digits(const mpz_t x);
/* Cuts x × 10^-*scale to `to` decimals (negative: before the point), rounding half away from zero or not at all.
 * Nothing happens when it has no more than those. */
void cu_numeric_round(mpz_t x, int *scale, int to);
void cu_numeric_truncate(mpz_t x, int *scale, int to);
/* a / b, both coefficients at the same scale, rounded half away from zero to `scale` decimals. b is not zero. */
void cu_numeric_quotient(mpz_t out, const mpz_t a, const mpz_t b, int scale);

/* The finished number in the arena: CU_EINVAL when Postgres could not hold it, CU_ENOMEM. */
int cu_numeric_make(cu_arena *arena, const mpz_t x, int scale, int dscale, const struct cu_numeric **ret_numeric,
		    struct cu_value_error *err);

/* Applies numeric(p,s) to x. */
int cu_numeric_apply_typmod(mpz_t x, int *scale, int *dscale, int32_t typmod, struct cu_value_error *err);
int cu_numeric_typmod(const struct cu_numeric *from, int32_t typmod, cu_arena *arena,
		      const struct cu_numeric **ret_numeric, struct cu_value_error *err);

int cu_numeric_parse(const char *text, size_t len, int32_t typmod, cu_arena *arena,
		     const struct cu_numeric **ret_numeric, struct cu_value_error *err);
void cu_numeric_print(const struct cu_numeric *numeric, cu_buf *out);
int cu_numeric_compare(const struct cu_numeric *a, const struct cu_numeric *b);

static inline int cu_numeric_sign(const struct cu_numeric *numeric)
{
	if (numeric->kind != CU_NUMERIC_FINITE)
		return numeric->kind == CU_NUMERIC_NINF ? -1 : 1;
	return (numeric->size > 0) - (numeric->size < 0);
}

#endif
