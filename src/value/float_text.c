/* float_text.c: reading and printing floats as Postgres does. strtod() reads; LC_NUMERIC is "C" in this process.
 *
 * Printing gives the shortest decimal that lies strictly between the value's two neighbours' midpoints, the nearest of
 * those. Libraries that print the shortest take a midpoint itself, too, when it would read back (1e23); Postgres does
 * not. So the common case, few digits, is printf(), and the rest is digit generation in exact integers (GMP), as Steele
 * and White described it.
 */
#include "value/float.h"
#include "value/internal.h"

#include <errno.h>
#include <gmp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

struct format {
	const char *name;
	int mantissa_bits; /* the hidden one included */
	int exponent_min;  /* of the mantissa as an integer */
	int digits_safe;   /* a decimal of so many digits is told apart from every other: DBL_DIG */
};

static const struct format format8 = { "double precision", 53, -1074, 15 };
static const struct format format4 = { "real", 24, -149, 6 };

static double read_number(const struct format *format, const char *text, char **ret_end)
{
	return format == &format8 ? strtod(text, ret_end) : (double)strtof(text, ret_end);
}

/* The words that Postgres knows on its own, for a libc whose strtod() does not. */
static double read_word(const char *text, char **ret_end)
{
	static const struct {
		const char *word;
		double value;
	} words[] = {
		{ "NaN", NAN },      { "Infinity", INFINITY }, { "+Infinity", INFINITY }, { "-Infinity", -INFINITY },
		{ "inf", INFINITY }, { "+inf", INFINITY },     { "-inf", -INFINITY },
	};

	for (size_t i = 0; i < CU_ARRAY_LEN(words); i++) {
		if (strncasecmp(text, words[i].word, strlen(words[i].word)) == 0) {
			*ret_end = (char *)(uintptr_t)text + strlen(words[i].word);
			return words[i].value;
		}
	}
	*ret_end = (char *)(uintptr_t)text;
	return 0;
}

static int parse_terminated(const struct format *format, const char *text, size_t len, double *ret_value,
			    struct cu_value_error *err)
{
	const char *from = text;
	char *end;
	double value;

	while (cu_value_is_space(*from))
		from++;
	if (!*from)
		return cu_value_fail_syntax(err, format->name, text, len);
	errno = 0;
	value = read_number(format, from, &end);
	if (errno == ERANGE && end != from) {
		/* A denormal is fine, though errno is set. */
		if (value == 0 || isinf(value)) {
			char fmt[64];

			snprintf(fmt, sizeof fmt, "\"%%s\" is out of range for type %s", format->name);
			/* double precision quotes the number, real all of the text. */
			if (format == &format8)
				return cu_value_fail_text(err, "22003", fmt, from, (size_t)(end - from));
			return cu_value_fail_text(err, "22003", fmt, text, len);
		}
	} else if (end == from) {
		value = read_word(from, &end);
		if (end == from)
			return cu_value_fail_syntax(err, format->name, text, len);
	}
	while (cu_value_is_space(*end))
		end++;
	if (end != text + len)
		return cu_value_fail_syntax(err, format->name, text, len);
	*ret_value = value;
	return 0;
}

static int parse(const struct format *format, const char *text, size_t len, double *ret_value,
		 struct cu_value_error *err)
{
	char small[128];
	char *copy = small;
	int rc;

	if (len >= sizeof small) {
		copy = cu_try_malloc(len + 1);
		if (!copy)
			return CU_ENOMEM;
	}
	memcpy(copy, text, len);
	copy[len] = '\0';
	rc = parse_terminated(format, copy, len, ret_value, err);
	if (copy != small)
		free(copy);
	return rc;
}

int cu_float8_parse(const char *text, size_t len, double *ret_value, struct cu_value_error *err)
{
	return parse(&format8, text, len, ret_value, err);
}

int cu_float4_parse(const char *text, size_t len, double *ret_value, struct cu_value_error *err)
{
	return parse(&format4, text, len, ret_value, err);
}

/* The shortest digits of a positive finite value; *ret_exponent: of the first digit. At most 17. */
static int shortest_digits(const struct format *format, double value, char *digits, int *ret_exponent)
{
	/* value = r / s; the midpoints to its neighbours are at r - below and r + above. */
	mpz_t r, s, above, below, sum;
	int exponent, len = 0;
	int64_t mantissa = (int64_t)ldexp(frexp(value, &exponent), format->mantissa_bits);
	int estimate = (int)ceil(log10(value) - 1e-10);
	bool low, high, power;

	exponent -= format->mantissa_bits;
	if (exponent < format->exponent_min) { /* denormal: fewer bits */
		mantissa >>= format->exponent_min - exponent;
		exponent = format->exponent_min;
	}
	/* Below a power of two the neighbour is only half as far. */
	power = mantissa == INT64_C(1) << (format->mantissa_bits - 1) && exponent > format->exponent_min;
	mpz_inits(r, s, above, below, sum, NULL);
	mpz_set_ui(r, (unsigned long)mantissa);
	mpz_mul_2exp(r, r, (power ? 2 : 1) + (exponent > 0 ? (unsigned)exponent : 0));
	mpz_set_ui(s, 1);
	mpz_mul_2exp(s, s, (power ? 2 : 1) + (exponent < 0 ? (unsigned)-exponent : 0));
	mpz_set_ui(below, 1);
	mpz_mul_2exp(below, below, exponent > 0 ? (unsigned)exponent : 0);
	mpz_mul_2exp(above, below, power ? 1 : 0);
	if (estimate >= 0) {
		mpz_ui_pow_ui(sum, 10, (unsigned)estimate);
		mpz_mul(s, s, sum);
	} else {
		mpz_ui_pow_ui(sum, 10, (unsigned)-estimate);
		mpz_mul(r, r, sum);
		mpz_mul(above, above, sum);
		mpz_mul(below, below, sum);
	}
	/* Now r / s should lie in [0.1, 1): the estimate may be one too small. */
	mpz_add(sum, r, above);
	if (mpz_cmp(sum, s) > 0) {
		mpz_mul_ui(s, s, 10);
		estimate++;
	}
	do {
		mpz_mul_ui(r, r, 10);
		mpz_mul_ui(above, above, 10);
		mpz_mul_ui(below, below, 10);
		mpz_tdiv_qr(sum, r, r, s);
		digits[len] = (char)('0' + mpz_get_ui(sum));
		low = mpz_cmp(r, below) < 0;
		mpz_add(sum, r, above);
		high = mpz_cmp(sum, s) > 0;
		len++;
	} while (!low && !high);
	mpz_mul_2exp(r, r, 1);
	if (high && (!low || mpz_cmp(r, s) > 0 || (mpz_cmp(r, s) == 0 && (digits[len - 1] & 1))))
		digits[len - 1]++;
	mpz_clears(r, s, above, below, sum, NULL);
	/* A nine that was raised. */
	while (len > 0 && digits[len - 1] > '9') {
		if (--len == 0) {
			digits[len++] = '1';
			estimate++;
			break;
		}
		digits[len - 1]++;
	}
	while (len > 1 && digits[len - 1] == '0')
		len--;
	/* When the first digit came out as zero the estimate was one too large. */
	if (digits[0] == '0') {
		memmove(digits, digits + 1, (size_t)--len);
		estimate--;
	}
	*ret_exponent = estimate - 1;
	return len;
}

/* The digits when printf() finds them: so few that no two such decimals are the same float, within magnitudes where no
 * such decimal is a midpoint. 0: not found. */
static int few_digits(const struct format *format, double value, char *digits, int *ret_exponent)
{
	char text[32];
	int len = 1;
	char *end;

	if (!(value >= 1e-5 && value < (format == &format8 ? 1e15 : 1e6)))
		return 0;
	snprintf(text, sizeof text, "%.*e", format->digits_safe - 1, value);
	if (read_number(format, text, &end) != value)
		return 0;
	digits[0] = text[0];
	for (char *at = text + 2; *at != 'e'; at++)
		digits[len++] = *at;
	while (len > 1 && digits[len - 1] == '0')
		len--;
	*ret_exponent = atoi(strchr(text, 'e') + 1);
	return len;
}

static void put_digits(const struct format *format, const char *digits, int len, int exponent, cu_buf *out)
{
	if (exponent < -4 || exponent >= format->digits_safe) {
		cu_buf_putc(out, digits[0]);
		if (len > 1) {
			cu_buf_putc(out, '.');
			cu_buf_append(out, digits + 1, (size_t)len - 1);
		}
		cu_buf_printf(out, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
		return;
	}
	if (exponent < 0) {
		cu_buf_puts(out, "0.");
		for (int i = -1; i > exponent; i--)
			cu_buf_putc(out, '0');
		cu_buf_append(out, digits, (size_t)len);
		return;
	}
	for (int i = 0; i < CU_MAX(len, exponent + 1); i++) {
		if (i == exponent + 1)
			cu_buf_putc(out, '.');
		cu_buf_putc(out, i < len ? digits[i] : '0');
	}
}

static void print(const struct format *format, double value, cu_buf *out)
{
	char digits[32];
	int len, exponent;

	if (isnan(value)) {
		cu_buf_puts(out, "NaN");
		return;
	}
	if (signbit(value))
		cu_buf_putc(out, '-');
	if (isinf(value)) {
		cu_buf_puts(out, "Infinity");
	} else if (value == 0) {
		cu_buf_putc(out, '0');
	} else {
		value = fabs(value);
		len = few_digits(format, value, digits, &exponent);
		if (len == 0)
			len = shortest_digits(format, value, digits, &exponent);
		put_digits(format, digits, len, exponent, out);
	}
}

void cu_float8_print(double value, cu_buf *out)
{
	print(&format8, value, out);
}

void cu_float4_print(float value, cu_buf *out)
{
	print(&format4, (double)value, out);
}
