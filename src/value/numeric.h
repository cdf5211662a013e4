/* numeric.h: Postgres' numeric: a decimal number of any size, its display scale, NaN and the infinities.
 *
 * The arithmetic on integers is GMP's; where a digit is cut or rounded, and how many are shown, is decided as Postgres
 * decides it.
 *
 * Threads: immutable; any thread. Cost: under a microsecond for numbers of a few words.
 * Ownership: lives in the arena it was made in. GMP's own temporaries abort when memory is out; they are bounded by the
 * largest numeric, some 60 kB.
 */
#ifndef CU_VALUE_NUMERIC_H
#define CU_VALUE_NUMERIC_H

#include "value/value.h"

#include <gmp.h>

enum cu_numeric_kind {
	CU_NUMERIC_NINF, /* in their order */
	CU_NUMERIC_FINITE,
	CU_NUMERIC_PINF,
	CU_NUMERIC_NAN,
};

/* coefficient × 10^-scale. scale may be negative: 1e131071 is small here, too. */
struct cu_numeric {
	enum cu_numeric_kind kind;
	int32_t dscale; /* decimals shown; 0 to 16383, and not less than scale */
	int32_t scale;
	int32_t size; /* limbs of the coefficient, negative for a negative one, 0 for zero: as in mpz_t */
	mp_limb_t limbs[];
};

/* value × 10^-scale, shown with so many decimals: 1234, 2 is 12.34. scale from 0. CU_ENOMEM. */
int cu_numeric_from_int(cu_arena *arena, int64_t value, int scale, const struct cu_numeric **ret_numeric);
int cu_numeric_special(cu_arena *arena, enum cu_numeric_kind kind, const struct cu_numeric **ret_numeric);

#endif
