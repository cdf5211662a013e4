/* numeric_value.c: numeric as a value: made, read, written, compared, cut to its type. */
#include "value/numeric_impl.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#define TYPMOD_HEADER 4 /* VARHDRSZ */

void cu_numeric_shift(mpz_t x, unsigned long n)
{
	mpz_t power;

	if (n == 0 || mpz_sgn(x) == 0)
		return;
	if (n < 19) {
		unsigned long small = 10;

		for (unsigned long i = 1; i < n; i++)
			small *= 10;
		mpz_mul_ui(x, x, small);
		return;
	}
	mpz_init(power);
	mpz_ui_pow_ui(power, 10, n);
	mpz_mul(x, x, power);
	mpz_clear(power);
}

void cu_numeric_align(mpz_t out, const struct cu_numeric *numeric, int scale)
{
	mpz_t view;

	CU_ASSERT(scale >= numeric->scale);
	mpz_set(out, cu_numeric_view(numeric, view));
	cu_numeric_shift(out, (unsigned long)(scale - numeric->scale));
}

long cu_numeric_digits(const mpz_t x)
{
	long digits = (long)mpz_sizeinbase(x, 10); /* or one more than there are */
	mpz_t power;

	if (mpz_sgn(x) == 0)
		return 0;
	mpz_init(power);
	mpz_ui_pow_ui(power, 10, (unsigned long)digits - 1);
	if (mpz_cmpabs(x, power) < 0)
		digits--;
	mpz_clear(power);
	return digits;
}

static void cut(mpz_t x, int *scale, int to, bool round)
{
	mpz_t power, rest;
	long digits = *scale - (long)to;

	if (digits <= 0)
		return;
	*scale = to;
	/* Far below what is kept: no need to make the power of ten. */
	if (digits > (long)mpz_sizeinbase(x, 10) + 1) {
		mpz_set_ui(x, 0);
		return;
	}
	mpz_inits(power, rest, NULL);
	mpz_ui_pow_ui(power, 10, (unsigned long)digits);
	mpz_tdiv_qr(x, rest, x, power);
	mpz_mul_2exp(rest, rest, 1);
	if (round && mpz_cmpabs(rest, power) >= 0) {
		if (mpz_sgn(rest) > 0)
			mpz_add_ui(x, x, 1);
		else
			mpz_sub_ui(x, x, 1);
	}
	mpz_clears(power, rest, NULL);
}

void cu_numeric_round(mpz_t x, int *scale, int to)
{
	cut(x, scale, to, true);
}

void cu_numeric_truncate(mpz_t x, int *scale, int to)
{
	cut(x, scale, to, false);
}

void cu_numeric_quotient(mpz_t out, const mpz_t a, const mpz_t b, int scale)
{
	mpz_t divisor, rest;

	mpz_inits(divisor, rest, NULL);
	mpz_set(rest, a);
	mpz_set(divisor, b);
	cu_numeric_shift(scale >= 0 ? rest : divisor, (unsigned long)labs((long)scale));
	mpz_tdiv_qr(out, rest, rest, divisor);
	mpz_mul_2exp(rest, rest, 1);
	if (mpz_cmpabs(rest, divisor) >= 0) {
		if (mpz_sgn(rest) * mpz_sgn(divisor) > 0)
			mpz_add_ui(out, out, 1);
		else
			mpz_sub_ui(out, out, 1);
	}
	mpz_clears(divisor, rest, NULL);
}

static int fail_overflow(struct cu_value_error *err)
{
	return cu_value_fail(err, "22003", "value overflows numeric format");
}

static int make(cu_arena *arena, enum cu_numeric_kind kind, mpz_srcptr x, int scale, int dscale,
		const struct cu_numeric **ret_numeric)
{
	size_t limbs_len = x ? mpz_size(x) : 0;
	struct cu_numeric *numeric = cu_arena_alloc(arena, sizeof *numeric + limbs_len * sizeof(mp_limb_t));

	if (!numeric)
		return CU_ENOMEM;
	*numeric = (struct cu_numeric){ .kind = kind, .dscale = dscale, .scale = limbs_len ? scale : 0 };
	if (limbs_len) {
		numeric->size = mpz_sgn(x) < 0 ? -(int32_t)limbs_len : (int32_t)limbs_len;
		memcpy(numeric->limbs, mpz_limbs_read(x), limbs_len * sizeof(mp_limb_t));
	}
	*ret_numeric = numeric;
	return 0;
}

int cu_numeric_make(cu_arena *arena, const mpz_t x, int scale, int dscale, const struct cu_numeric **ret_numeric,
		    struct cu_value_error *err)
{
	long before = (long)mpz_sizeinbase(x, 10) - scale;

	CU_ASSERT(dscale >= 0 && (dscale >= scale || mpz_sgn(x) == 0));
	if (dscale > NUMERIC_DSCALE_MAX)
		return fail_overflow(err);
	if (mpz_sgn(x) != 0 && before > NUMERIC_INTEGER_DIGITS_MAX &&
	    cu_numeric_digits(x) - scale > NUMERIC_INTEGER_DIGITS_MAX)
		return fail_overflow(err);
	return make(arena, CU_NUMERIC_FINITE, x, scale, dscale, ret_numeric);
}

int cu_numeric_special(cu_arena *arena, enum cu_numeric_kind kind, const struct cu_numeric **ret_numeric)
{
	return make(arena, kind, NULL, 0, 0, ret_numeric);
}

int cu_numeric_from_int(cu_arena *arena, int64_t value, int scale, const struct cu_numeric **ret_numeric)
{
	mpz_t x;
	int rc;

	mpz_init_set_si(x, value);
	rc = make(arena, CU_NUMERIC_FINITE, x, scale, scale, ret_numeric);
	mpz_clear(x);
	return rc;
}

static int typmod_precision(int32_t typmod)
{
	return (typmod - TYPMOD_HEADER) >> 16 & 0xffff;
}

/* Eleven bits with sign. */
static int typmod_scale(int32_t typmod)
{
	return (((typmod - TYPMOD_HEADER) & 0x7ff) ^ 1024) - 1024;
}

int cu_numeric_apply_typmod(mpz_t x, int *scale, int *dscale, int32_t typmod, struct cu_value_error *err)
{
	int to = typmod_scale(typmod), precision = typmod_precision(typmod);

	if (typmod < TYPMOD_HEADER)
		return 0;
	cu_numeric_round(x, scale, to);
	*dscale = CU_MAX(to, 0);
	if (mpz_sgn(x) != 0 && cu_numeric_digits(x) - *scale > precision - to)
		return cu_value_fail(err, "22003", "numeric field overflow");
	return 0;
}

int cu_numeric_typmod(const struct cu_numeric *from, int32_t typmod, cu_arena *arena,
		      const struct cu_numeric **ret_numeric, struct cu_value_error *err)
{
	int scale = from->scale, dscale = from->dscale, rc;
	mpz_t view, x;

	*ret_numeric = from;
	if (typmod < TYPMOD_HEADER || from->kind == CU_NUMERIC_NAN)
		return 0;
	if (from->kind != CU_NUMERIC_FINITE)
		return cu_value_fail(err, "22003", "numeric field overflow");
	mpz_init_set(x, cu_numeric_view(from, view));
	rc = cu_numeric_apply_typmod(x, &scale, &dscale, typmod, err);
	if (rc == 0)
		rc = cu_numeric_make(arena, x, scale, dscale, ret_numeric, err);
	mpz_clear(x);
	return rc;
}

/* NaN and the infinities; the number of characters read, 0 when it is none of them. */
static size_t parse_special(const char *text, size_t len, enum cu_numeric_kind *ret_kind)
{
	static const struct {
		const char *word;
		enum cu_numeric_kind kind;
	} words[] = {
		{ "NaN", CU_NUMERIC_NAN },        { "Infinity", CU_NUMERIC_PINF }, { "+Infinity", CU_NUMERIC_PINF },
		{ "-Infinity", CU_NUMERIC_NINF }, { "inf", CU_NUMERIC_PINF },      { "+inf", CU_NUMERIC_PINF },
		{ "-inf", CU_NUMERIC_NINF },
	};

	if (len > 0 && isdigit((unsigned char)*text))
		return 0;
	for (size_t i = 0; i < CU_ARRAY_LEN(words); i++) {
		size_t word_len = strlen(words[i].word);

		if (len >= word_len && strncasecmp(text, words[i].word, word_len) == 0) {
			*ret_kind = words[i].kind;
			return word_len;
		}
	}
	return 0;
}

/* What strtol() makes of the exponent: blanks before it are fine. False: there is none. */
static bool parse_exponent(const char **at, const char *end, long *ret_exponent)
{
	const char *p = *at;
	bool negative = false;
	long value = 0;

	if (p < end && (*p == '+' || *p == '-'))
		negative = *p++ == '-';
	if (p == end || !isdigit((unsigned char)*p))
		return false;
	for (; p < end && isdigit((unsigned char)*p); p++)
		value = CU_MIN(value * 10 + (*p - '0'), INT32_MAX);
	*at = p;
	*ret_exponent = negative ? -value : value;
	return true;
}

#define DIGITS_OF_WORD 19u /* that a limb holds, whatever they are */

static uint64_t word_of(const char *digits, size_t len)
{
	uint64_t value = 0;

	for (size_t i = 0; i < len; i++)
		value = value * 10 + (uint64_t)(digits[i] - '0');
	return value;
}

/* The digits at *at, without their point, as an integer. CU_ENOTFOUND: this is no number. */
static int parse_digits(const char **at, const char *end, mpz_t x, long *ret_decimals)
{
	const char *p = *at;
	char small[64];
	char *digits = small;
	size_t len = 0;
	bool point = false;
	long decimals = 0;

	if (p < end && *p == '.') {
		point = true;
		p++;
	}
	if (p == end || !isdigit((unsigned char)*p))
		return CU_ENOTFOUND;
	if ((size_t)(end - p) >= sizeof small) {
		digits = cu_try_malloc((size_t)(end - p) + 1);
		if (!digits)
			return CU_ENOMEM;
	}
	for (; p < end; p++) {
		if (isdigit((unsigned char)*p)) {
			decimals += point;
			if (len > 0 || *p != '0')
				digits[len++] = *p;
		} else if (*p == '.' && !point) {
			point = true;
		} else {
			break;
		}
	}
	digits[len] = '\0';
	if (len <= DIGITS_OF_WORD)
		mpz_set_ui(x, word_of(digits, len));
	else
		mpz_set_str(x, digits, 10);
	if (digits != small)
		free(digits);
	*at = p;
	*ret_decimals = decimals;
	return 0;
}

/* A finite number at *at. */
static int parse_finite(const char **at, const char *end, mpz_t x, long *ret_scale, struct cu_value_error *err)
{
	bool negative = false;
	long exponent = 0;
	int rc;

	if (*at < end && (**at == '+' || **at == '-'))
		negative = *(*at)++ == '-';
	rc = parse_digits(at, end, x, ret_scale);
	if (rc)
		return rc;
	if (negative)
		mpz_neg(x, x);
	if (*at < end && (**at == 'e' || **at == 'E')) {
		++*at;
		if (!parse_exponent(at, end, &exponent))
			return CU_ENOTFOUND;
		if (exponent >= INT32_MAX / 2 || exponent <= -(INT32_MAX / 2))
			return fail_overflow(err);
		*ret_scale -= exponent;
	}
	/* A second point is no number either, which Postgres notices while it reads the digits. */
	return 0;
}

static int parse_special_value(enum cu_numeric_kind kind, int32_t typmod, cu_arena *arena,
			       const struct cu_numeric **ret_numeric, struct cu_value_error *err)
{
	if (kind != CU_NUMERIC_NAN && typmod >= TYPMOD_HEADER)
		return cu_value_fail(err, "22003", "numeric field overflow");
	return cu_numeric_special(arena, kind, ret_numeric);
}

int cu_numeric_parse(const char *text, size_t len, int32_t typmod, cu_arena *arena,
		     const struct cu_numeric **ret_numeric, struct cu_value_error *err)
{
	const char *at = text, *end = text + len;
	enum cu_numeric_kind kind = CU_NUMERIC_FINITE;
	int scale = 0, dscale, rc = 0;
	size_t special;
	long decimals = 0;
	mpz_t x;

	mpz_init(x);
	while (at < end && cu_value_is_space(*at))
		at++;
	special = parse_special(at, (size_t)(end - at), &kind);
	at += special;
	if (!special)
		rc = parse_finite(&at, end, x, &decimals, err);
	while (rc == 0 && at < end && cu_value_is_space(*at))
		at++;
	if (rc == CU_ENOTFOUND || (rc == 0 && at != end)) {
		rc = cu_value_fail_number(err, "numeric", text, len);
	} else if (rc == 0 && special) {
		rc = parse_special_value(kind, typmod, arena, ret_numeric, err);
	} else if (rc == 0) {
		scale = (int)CU_MIN(CU_MAX(decimals, INT32_MIN / 2), INT32_MAX / 2);
		dscale = CU_MAX(scale, 0);
		rc = cu_numeric_apply_typmod(x, &scale, &dscale, typmod, err);
		if (rc == 0)
			rc = cu_numeric_make(arena, x, scale, dscale, ret_numeric, err);
	}
	mpz_clear(x);
	return rc;
}

static void put_zeros(cu_buf *out, long n)
{
	for (; n > 0; n--)
		cu_buf_putc(out, '0');
}

static void print_finite(const struct cu_numeric *numeric, cu_buf *out)
{
	mpz_t view;
	mpz_srcptr x = cu_numeric_view(numeric, view);
	long len, before;
	char small[128];
	char *digits = small;

	if (mpz_sizeinbase(x, 10) + 2 > sizeof small) {
		digits = cu_try_malloc(mpz_sizeinbase(x, 10) + 2);
		if (!digits) {
			out->failed = true;
			return;
		}
	}
	mpz_get_str(digits, 10, x);
	if (*digits == '-')
		cu_buf_putc(out, '-');
	{
		const char *from = digits + (*digits == '-');

		len = numeric->size ? (long)strlen(from) : 0;
		before = len - numeric->scale; /* digits before the point; 0 and less: none */
		if (before <= 0)
			cu_buf_putc(out, '0');
		cu_buf_append(out, from, (size_t)CU_MAX(CU_MIN(len, before), 0));
		put_zeros(out, CU_MIN(before, before - len));
		if (numeric->dscale > 0) {
			long leading = CU_MIN(CU_MAX(-before, 0), (long)numeric->dscale);
			long shown = len - CU_MIN(CU_MAX(before, 0), len);

			cu_buf_putc(out, '.');
			put_zeros(out, leading);
			cu_buf_append(out, from + (len - shown), (size_t)shown);
			put_zeros(out, numeric->dscale - leading - shown);
		}
	}
	if (digits != small)
		free(digits);
}

void cu_numeric_print(const struct cu_numeric *numeric, cu_buf *out)
{
	switch (numeric->kind) {
	case CU_NUMERIC_NAN: cu_buf_puts(out, "NaN"); break;
	case CU_NUMERIC_PINF: cu_buf_puts(out, "Infinity"); break;
	case CU_NUMERIC_NINF: cu_buf_puts(out, "-Infinity"); break;
	default: print_finite(numeric, out); break;
	}
}

/* |a| against |b|, neither of them zero, of different scales. */
static int compare_unaligned(const struct cu_numeric *a, const struct cu_numeric *b)
{
	int scale = CU_MAX(a->scale, b->scale), order;
	mpz_t view_a, view_b, x, y;
	/* The place of the first digit, or one above it. */
	long top_a = (long)mpz_sizeinbase(cu_numeric_view(a, view_a), 10) - a->scale;
	long top_b = (long)mpz_sizeinbase(cu_numeric_view(b, view_b), 10) - b->scale;

	if (top_a > top_b + 1)
		return 1;
	if (top_b > top_a + 1)
		return -1;
	mpz_inits(x, y, NULL);
	cu_numeric_align(x, a, scale);
	cu_numeric_align(y, b, scale);
	order = mpz_cmpabs(x, y);
	mpz_clears(x, y, NULL);
	return order;
}

int cu_numeric_compare(const struct cu_numeric *a, const struct cu_numeric *b)
{
	int sign_a = cu_numeric_sign(a), sign_b = cu_numeric_sign(b), order;
	mpz_t view_a, view_b;

	if (a->kind != b->kind || a->kind != CU_NUMERIC_FINITE)
		return (a->kind > b->kind) - (a->kind < b->kind);
	if (sign_a != sign_b || sign_a == 0)
		return (sign_a > sign_b) - (sign_a < sign_b);
	if (a->scale == b->scale)
		order = mpz_cmp(cu_numeric_view(a, view_a), cu_numeric_view(b, view_b));
	else
		order = sign_a * compare_unaligned(a, b);
	return (order > 0) - (order < 0);
}

static int numeric_in(const struct cu_type *type, int32_t typmod, const char *text, size_t len, cu_arena *arena,
		      struct cu_datum *ret_datum, struct cu_value_error *err)
{
	const struct cu_numeric *numeric;
	int rc = cu_numeric_parse(text, len, typmod, arena, &numeric, err);

	(void)type;
	if (rc == 0)
		*ret_datum = (struct cu_datum){ .numeric = numeric };
	return rc;
}

static int numeric_out(const struct cu_type *type, const struct cu_datum *datum, cu_buf *out)
{
	(void)type;
	cu_numeric_print(datum->numeric, out);
	return cu_buf_failed(out) ? CU_ENOMEM : 0;
}

static int numeric_typmod(const struct cu_type *type, int32_t typmod, bool is_explicit, cu_arena *arena,
			  struct cu_datum *datum, struct cu_value_error *err)
{
	const struct cu_numeric *numeric;
	int rc = cu_numeric_typmod(datum->numeric, typmod, arena, &numeric, err);

	(void)type, (void)is_explicit;
	if (rc == 0)
		*datum = (struct cu_datum){ .numeric = numeric };
	return rc;
}

static int numeric_compare(const struct cu_type *type, const struct cu_collation *collation, const struct cu_datum *a,
			   const struct cu_datum *b)
{
	(void)type, (void)collation;
	return cu_numeric_compare(a->numeric, b->numeric);
}

/* A coefficient of many limbs without zeros at its end; returns how many there were. */
static uint32_t put_large(const struct cu_numeric *numeric, cu_buf *out)
{
	mpz_t view, x, ten;
	uint32_t zeros;

	mpz_init_set_ui(ten, 10);
	mpz_init(x);
	zeros = (uint32_t)mpz_remove(x, cu_numeric_view(numeric, view), ten);
	for (size_t i = 0; i < mpz_size(x); i++)
		cu_buf_put_le64(out, mpz_getlimbn(x, (mp_size_t)i));
	mpz_clears(x, ten, NULL);
	return zeros;
}

static uint32_t put_small(uint64_t x, cu_buf *out)
{
	uint32_t zeros = 0;

	for (; x % 10 == 0; x /= 10)
		zeros++;
	cu_buf_put_le64(out, x);
	return zeros;
}

/* Kind, sign, coefficient and scale, as if there were no zeros at the coefficient's end. */
static int numeric_put_key(const struct cu_type *type, const struct cu_collation *collation,
			   const struct cu_datum *datum, cu_buf *out)
{
	const struct cu_numeric *numeric = datum->numeric;

	(void)type, (void)collation;
	cu_buf_putc(out, (char)numeric->kind);
	if (numeric->size != 0) {
		uint32_t zeros;

		cu_buf_putc(out, numeric->size < 0 ? '-' : '+');
		zeros = abs(numeric->size) == 1 ? put_small(numeric->limbs[0], out) : put_large(numeric, out);
		cu_buf_put_le32(out, (uint32_t)numeric->scale - zeros);
	}
	return cu_buf_failed(out) ? CU_ENOMEM : 0;
}

const struct cu_repr_ops cu_repr_ops_numeric = {
	.in = numeric_in,
	.out = numeric_out,
	.typmod = numeric_typmod,
	.compare = numeric_compare,
	.put_key = numeric_put_key,
};
