/* interval_in.c: texts of intervals: ISO 8601 with designators, which is what Postgres writes to us; "1 day 2 hours",
 * "@ 1 mon ago", "1-2 3 04:05:06.7".
 *
 * Read from right to left, as Postgres does, so that a unit is known before its number. A number without a unit takes
 * it from its neighbour on the right, or from the type modifier. Fractions spread to smaller units with the arithmetic
 * that Postgres has. Forms that its versions read differently are refused (0A000).
 */
#include "value/datetime_impl.h"

#include <math.h>
#include <stdlib.h>

#define TEXT_MAX 255  /* longer ones Postgres refuses as well */
#define TOKENS_MAX 25 /* MAXDATEFIELDS */

enum outcome { OK, FORM, SYNTAX, FIELD_OVERFLOW, OUT_OF_RANGE };

struct sum {
	int64_t usec;
	int32_t day, month, year;
};

struct token {
	enum { TOKEN_NUMBER, TOKEN_YEAR_MONTH, TOKEN_TIME, TOKEN_UNIT, TOKEN_AGO } kind;
	bool has_sign, is_negative;
	const char *text; /* behind the sign */
	size_t len;
	enum cu_unit unit;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Sums, false on overflow. */

static bool add_usecs(struct sum *sum, int64_t value, int64_t scale)
{
	int64_t product;

	return !__builtin_mul_overflow(value, scale, &product) &&
	       !__builtin_add_overflow(sum->usec, product, &sum->usec);
}

static bool add_fraction_usecs(struct sum *sum, double fraction, int64_t scale)
{
	int64_t usec;

	fraction *= (double)scale;
	usec = (int64_t)fraction;
	fraction -= (double)usec;
	if (fraction > 0.5)
		usec++;
	else if (fraction < -0.5)
		usec--;
	return !__builtin_add_overflow(sum->usec, usec, &sum->usec);
}

static bool add_fraction_days(struct sum *sum, double fraction, int scale)
{
	int days;

	fraction *= scale;
	days = (int)fraction;
	if (__builtin_add_overflow(sum->day, days, &sum->day))
		return false;
	return add_fraction_usecs(sum, fraction - days, USECS_PER_DAY);
}

static bool add_scaled(int32_t *part, int64_t value, int32_t scale)
{
	int32_t product;

	return value >= INT32_MIN && value <= INT32_MAX && !__builtin_mul_overflow((int32_t)value, scale, &product) &&
	       !__builtin_add_overflow(*part, product, part);
}

static bool add_years(struct sum *sum, int64_t value, double fraction, int32_t scale)
{
	int32_t months = (int32_t)rint(fraction * scale * MONTHS_PER_YEAR);

	return add_scaled(&sum->year, value, scale) && !__builtin_add_overflow(sum->month, months, &sum->month);
}

/* A value and its fraction, which has its sign. */
static bool add_unit(struct sum *sum, enum cu_unit unit, int64_t value, double fraction)
{
	static const int64_t usecs[] = {
		[CU_UNIT_MICROSECOND] = 1,           [CU_UNIT_MILLISECOND] = 1000,    [CU_UNIT_SECOND] = USECS_PER_SEC,
		[CU_UNIT_MINUTE] = USECS_PER_MINUTE, [CU_UNIT_HOUR] = USECS_PER_HOUR,
	};

	switch (unit) {
	case CU_UNIT_MICROSECOND:
	case CU_UNIT_MILLISECOND:
	case CU_UNIT_SECOND:
	case CU_UNIT_MINUTE:
	case CU_UNIT_HOUR: return add_usecs(sum, value, usecs[unit]) && add_fraction_usecs(sum, fraction, usecs[unit]);
	case CU_UNIT_DAY: return add_scaled(&sum->day, value, 1) && add_fraction_usecs(sum, fraction, USECS_PER_DAY);
	case CU_UNIT_WEEK: return add_scaled(&sum->day, value, 7) && add_fraction_days(sum, fraction, 7);
	case CU_UNIT_MONTH:
		return add_scaled(&sum->month, value, 1) && add_fraction_days(sum, fraction, DAYS_PER_MONTH);
	case CU_UNIT_YEAR: return add_years(sum, value, fraction, 1);
	case CU_UNIT_DECADE: return add_years(sum, value, fraction, 10);
	case CU_UNIT_CENTURY: return add_years(sum, value, fraction, 100);
	case CU_UNIT_MILLENNIUM: return add_years(sum, value, fraction, 1000);
	default: CU_ASSERT(0); return false;
	}
}

/* P1Y2M3DT4H5M6.7S: the units in any order and number, each part with its own sign. */
static enum outcome read_iso(const char *at, struct sum *sum)
{
	static const struct {
		char letter;
		enum cu_unit date, time;
	} units[] = {
		{ 'Y', CU_UNIT_YEAR, CU_UNIT_NONE }, { 'M', CU_UNIT_MONTH, CU_UNIT_MINUTE },
		{ 'W', CU_UNIT_WEEK, CU_UNIT_NONE }, { 'D', CU_UNIT_DAY, CU_UNIT_NONE },
		{ 'H', CU_UNIT_NONE, CU_UNIT_HOUR }, { 'S', CU_UNIT_NONE, CU_UNIT_SECOND },
	};
	bool is_time = false;

	if (!at[1])
		return SYNTAX;
	at++;
	while (*at) {
		enum cu_unit unit = CU_UNIT_NONE;
		const char *start = at;
		char *end;
		double value;
		int64_t whole;

		if (*at == 'T') {
			is_time = true;
			at++;
			continue;
		}
		at += *at == '-';
		if (!is_digit(*at) && !(*at == '.' && is_digit(at[1])))
			return FORM;
		at += strspn(at, "0123456789");
		if (*at == '.')
			at += 1 + strspn(at + 1, "0123456789");
		for (size_t i = 0; i < CU_ARRAY_LEN(units); i++)
			if (units[i].letter == *at)
				unit = is_time ? units[i].time : units[i].date;
		if (!unit)
			return FORM;
		/* In floating point, as Postgres, which therefore has this limit. */
		value = strtod(start, &end);
		if (end != at)
			return FORM;
		if (fabs(value) > 1e15)
			return FIELD_OVERFLOW;
		whole = (int64_t)value;
		if (!add_unit(sum, unit, whole, value - (double)whole))
			return FIELD_OVERFLOW;
		at++;
	}
	return OK;
}

static enum outcome read_number_token(const char **at, struct token *token)
{
	const char *start = *at, *end = start;
	size_t digits;

	token->text = start;
	token->kind = TOKEN_NUMBER;
	end += strspn(end, "0123456789");
	if (*end == ':') {
		token->kind = TOKEN_TIME;
		end += strspn(end, "0123456789:.");
	} else if (*end == '-') {
		token->kind = TOKEN_YEAR_MONTH;
		end++;
		digits = strspn(end, "0123456789");
		end += digits;
		if (!digits)
			return FORM;
	} else if (*end == '.') {
		end++;
		digits = strspn(end, "0123456789");
		end += digits;
		if (!digits)
			return FORM;
	}
	token->len = (size_t)(end - start);
	/* "1day" and "1:00+2" are separate, "1.2.3", "1-2-3" and "1/2" are something else. */
	if (*end && !cu_value_is_space(*end) && *end != ',' && !is_alpha(*end) && *end != '+' &&
	    !(*end == '-' && token->kind == TOKEN_TIME && !token->has_sign))
		return FORM;
	*at = end;
	return OK;
}

static enum outcome read_word_token(const char **at, struct token *token)
{
	const char *end = *at;
	char name[TEXT_MAX + 1];
	size_t len;

	while (is_alpha(*end))
		end++;
	if (*end && !cu_value_is_space(*end) && *end != ',')
		return FORM;
	len = (size_t)(end - *at);
	for (size_t i = 0; i < len; i++)
		name[i] = (char)((*at)[i] | 0x20);
	*at = end;
	if (len == 3 && memcmp(name, "ago", 3) == 0) {
		token->kind = TOKEN_AGO;
		return OK;
	}
	token->kind = TOKEN_UNIT;
	token->unit = cu_unit_of_span(name, len);
	/* Known as fields, of no length: quarters, time zones. */
	if (!token->unit || token->unit == CU_UNIT_QUARTER || token->unit >= CU_UNIT_ZONE)
		return FORM;
	return OK;
}

static enum outcome read_tokens(const char *at, struct token tokens[TOKENS_MAX], int *ret_len)
{
	enum outcome rc = OK;
	int len = 0;

	for (;;) {
		while (cu_value_is_space(*at) || *at == ',' || *at == '@')
			at++;
		if (!*at)
			break;
		if (len == TOKENS_MAX)
			return FORM;
		memset(&tokens[len], 0, sizeof tokens[len]);
		if (is_alpha(*at)) {
			rc = read_word_token(&at, &tokens[len]);
		} else {
			if (*at == '+' || *at == '-') {
				tokens[len].has_sign = true;
				tokens[len].is_negative = *at++ == '-';
			}
			if (!is_digit(*at) && !(*at == '.' && is_digit(at[1]) && !tokens[len].has_sign))
				return FORM;
			rc = read_number_token(&at, &tokens[len]);
		}
		if (rc)
			return rc;
		len++;
	}
	*ret_len = len;
	return OK;
}

/* Digits at *at; false when there are none or too many for 64 bits, which is told by *ret_overflow. */
static bool read_int64(const char **at, int64_t *ret_value, bool *ret_overflow)
{
	int64_t value = 0;
	const char *start = *at;

	for (; is_digit(**at); ++*at) {
		if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, **at - '0', &value)) {
			*ret_overflow = true;
			return false;
		}
	}
	*ret_value = value;
	return *at > start;
}

/* hh:mm, hh:mm:ss, with a fraction; mm:ss.ffffff; under INTERVAL MINUTE TO SECOND also mm:ss. */
static enum outcome add_time(struct sum *sum, const struct token *token, int range)
{
	const char *at = token->text, *end = token->text + token->len;
	int64_t hour = 0, minute = 0, second = 0;
	bool overflow = false;
	double usec = 0;
	char copy[TEXT_MAX + 1];

	/* Postgres assigns the time instead of adding it to fractions of what stands on its right. */
	if (sum->usec)
		return FORM;
	memcpy(copy, token->text, token->len);
	copy[token->len] = 0;
	if (!read_int64(&at, &hour, &overflow))
		return overflow ? FIELD_OVERFLOW : FORM;
	at++;
	if (!read_int64(&at, &minute, &overflow))
		return overflow ? FIELD_OVERFLOW : FORM;
	if (minute > INT32_MAX)
		return FIELD_OVERFLOW;
	if (at == end ? range == (INTERVAL_MINUTE | INTERVAL_SECOND) : *at == '.') {
		if (hour > INT32_MAX)
			return FIELD_OVERFLOW;
		second = minute;
		minute = hour;
		hour = 0;
	} else if (at < end) {
		at++;
		if (!read_int64(&at, &second, &overflow))
			return overflow ? FIELD_OVERFLOW : FORM;
	}
	if (at < end && *at == '.') {
		char *stop;

		if (at + 1 == end || strspn(at + 1, "0123456789") < (size_t)(end - at - 1))
			return FORM;
		usec = rint(strtod(copy + (at - token->text), &stop) * 1e6);
		at = end;
	}
	if (at != end)
		return FORM;
	if (minute > 59 || second > 60)
		return FIELD_OVERFLOW;
	if (!add_usecs(sum, (int64_t)usec, 1) || !add_usecs(sum, hour, USECS_PER_HOUR) ||
	    !add_usecs(sum, minute, USECS_PER_MINUTE) || !add_usecs(sum, second, USECS_PER_SEC))
		return FIELD_OVERFLOW;
	if (token->is_negative)
		sum->usec = -sum->usec;
	return OK;
}

static enum outcome add_year_month(struct sum *sum, const struct token *token)
{
	const char *at = token->text;
	bool overflow = false;
	int64_t years = 0, months = 0;

	if (!read_int64(&at, &years, &overflow))
		return overflow ? FIELD_OVERFLOW : FORM;
	at++;
	if (!read_int64(&at, &months, &overflow) && !overflow)
		return FORM;
	if (overflow || months >= MONTHS_PER_YEAR || __builtin_mul_overflow(years, MONTHS_PER_YEAR, &years))
		return FIELD_OVERFLOW;
	months += years;
	return add_unit(sum, CU_UNIT_MONTH, token->is_negative ? -months : months, 0) ? OK : FIELD_OVERFLOW;
}

static enum outcome add_number(struct sum *sum, const struct token *token, enum cu_unit unit, bool *ret_fraction)
{
	const char *at = token->text;
	char copy[TEXT_MAX + 1];
	bool overflow = false;
	int64_t value = 0;
	double fraction = 0;

	*ret_fraction = false;
	/* "-9223372036854775808" is a number and its digits are not: leave that to nobody. */
	if (is_digit(*at) && !read_int64(&at, &value, &overflow))
		return FIELD_OVERFLOW;
	if (at < token->text + token->len) {
		char *end;

		memcpy(copy, token->text, token->len);
		copy[token->len] = 0;
		fraction = strtod(copy + (at - token->text), &end);
		*ret_fraction = fraction != 0;
	}
	if (token->is_negative) {
		value = -value;
		fraction = -fraction;
	}
	return add_unit(sum, unit, value, fraction) ? OK : FIELD_OVERFLOW;
}

/* The unit of the rightmost number when it has none. */
static enum cu_unit unit_of_range(int range)
{
	switch (range) {
	case INTERVAL_YEAR: return CU_UNIT_YEAR;
	case INTERVAL_MONTH:
	case INTERVAL_YEAR | INTERVAL_MONTH: return CU_UNIT_MONTH;
	case INTERVAL_DAY: return CU_UNIT_DAY;
	case INTERVAL_HOUR:
	case INTERVAL_DAY | INTERVAL_HOUR: return CU_UNIT_HOUR;
	case INTERVAL_MINUTE:
	case INTERVAL_HOUR | INTERVAL_MINUTE:
	case INTERVAL_DAY | INTERVAL_HOUR | INTERVAL_MINUTE: return CU_UNIT_MINUTE;
	default: return CU_UNIT_SECOND;
	}
}

static bool negate(struct sum *sum)
{
	return !__builtin_sub_overflow(0, sum->usec, &sum->usec) && !__builtin_sub_overflow(0, sum->day, &sum->day) &&
	       !__builtin_sub_overflow(0, sum->month, &sum->month) && !__builtin_sub_overflow(0, sum->year, &sum->year);
}

static enum outcome read_words(const char *text, int range, struct sum *sum)
{
	const unsigned all_seconds = 1u << CU_UNIT_SECOND | 1u << CU_UNIT_MILLISECOND | 1u << CU_UNIT_MICROSECOND;
	struct token tokens[TOKENS_MAX];
	enum cu_unit unit = CU_UNIT_NONE;
	unsigned seen = 0, mask;
	bool is_ago, has_fraction, unit_is_open = false;
	enum outcome rc;
	int len = 0;

	rc = read_tokens(text, tokens, &len);
	if (rc)
		return rc;
	is_ago = len && tokens[len - 1].kind == TOKEN_AGO;
	len -= is_ago;
	if (!len || (is_ago && tokens[len - 1].kind != TOKEN_UNIT && tokens[len - 1].kind != TOKEN_TIME))
		return FORM;
	for (int i = len - 1; i >= 0; i--) {
		const struct token *token = &tokens[i];

		switch (token->kind) {
		case TOKEN_AGO: return FORM;
		case TOKEN_UNIT:
			if (unit_is_open)
				return FORM;
			unit = token->unit;
			unit_is_open = true;
			continue;
		case TOKEN_TIME:
			rc = unit_is_open ? FORM : add_time(sum, token, range);
			/* What fails behind a sign Postgres tries as a number. */
			if (rc == FIELD_OVERFLOW && token->has_sign)
				rc = SYNTAX;
			mask = all_seconds | 1u << CU_UNIT_MINUTE | 1u << CU_UNIT_HOUR;
			unit = CU_UNIT_DAY;
			break;
		case TOKEN_YEAR_MONTH:
			rc = unit_is_open ? FORM : add_year_month(sum, token);
			unit = CU_UNIT_MONTH;
			mask = 1u << unit;
			break;
		default:
			if (!unit)
				unit = unit_of_range(range);
			rc = add_number(sum, token, unit, &has_fraction);
			mask = unit == CU_UNIT_SECOND && has_fraction ? all_seconds : 1u << unit;
			if (unit == CU_UNIT_HOUR)
				unit = CU_UNIT_DAY;
			unit_is_open = false;
			break;
		}
		if (rc)
			return rc;
		if (seen & mask)
			return SYNTAX;
		seen |= mask;
	}
	if (unit_is_open)
		return FORM;
	return is_ago && !negate(sum) ? FIELD_OVERFLOW : OK;
}

static enum outcome read_interval(const char *copy, int range, struct cu_interval *ret_interval)
{
	struct sum sum = { 0 };
	enum outcome rc = *copy == 'P' ? read_iso(copy, &sum) : read_words(copy, range, &sum);
	int64_t months;

	if (rc)
		return rc;
	months = (int64_t)sum.year * MONTHS_PER_YEAR + sum.month;
	if (months < INT32_MIN || months > INT32_MAX)
		return OUT_OF_RANGE;
	ret_interval->month = (int32_t)months;
	ret_interval->day = sum.day;
	ret_interval->time = sum.usec;
	return OK;
}

/* A text without a digit is no interval, but for the infinite ones that Postgres 17 has. */
static bool is_nothing(const char *text)
{
	bool is_first = true;

	for (; *text; text++) {
		if (!is_alpha(*text) && !cu_value_is_space(*text))
			return false;
		if (is_first && (*text | 0x20) == 'i')
			return false;
		is_first = is_first && cu_value_is_space(*text);
	}
	return true;
}

int cu_interval_in(const struct cu_type *type, int32_t typmod, const char *text, size_t len, cu_arena *arena,
		   struct cu_datum *ret_datum, struct cu_value_error *err)
{
	int range = typmod >= 0 ? (typmod >> 16) & 0x7fff : INTERVAL_FULL_RANGE;
	struct cu_interval *interval;
	char copy[TEXT_MAX + 1];
	bool readable = len <= TEXT_MAX && !memchr(text, 0, len);
	enum outcome rc;

	interval = cu_arena_alloc(arena, sizeof *interval);
	if (!interval)
		return CU_ENOMEM;
	memcpy(copy, text, readable ? len : 0);
	copy[readable ? len : 0] = 0;
	rc = readable ? read_interval(copy, range, interval) : FORM;
	if (rc == FORM && readable && is_nothing(copy))
		rc = SYNTAX;
	if (rc == OK && cu_interval_is_infinite(interval))
		rc = FORM;
	switch (rc) {
	case OK: break;
	case SYNTAX:
		return cu_value_fail_text(err, "22007", "invalid input syntax for type interval: \"%s\"", text, len);
	case FIELD_OVERFLOW:
		return cu_value_fail_text(err, "22015", "interval field value out of range: \"%s\"", text, len);
	case OUT_OF_RANGE: return cu_value_fail(err, "22008", "interval out of range");
	default:
		return cu_value_fail_text(err, "0A000",
					  "this form of type interval is not supported: \"%s\"; write it as "
					  "P1Y2M3DT4H5M6S or 1 year 2 months 3 days 04:05:06",
					  text, len);
	}
	*ret_datum = (struct cu_datum){ .interval = interval };
	return typmod < 0 ? 0 : cu_interval_typmod(type, typmod, false, arena, ret_datum, err);
}

/* Fields below the last one of the range are cut, the precision is rounded to. */
int cu_interval_typmod(const struct cu_type *type, int32_t typmod, bool is_explicit, cu_arena *arena,
		       struct cu_datum *datum, struct cu_value_error *err)
{
	int range = (typmod >> 16) & 0x7fff, precision = typmod & 0xffff;
	struct cu_interval *r;
	int64_t unit = 0;

	(void)type, (void)is_explicit;
	if (typmod < 0)
		return 0;
	r = cu_arena_copy(arena, datum->interval, sizeof *r);
	if (!r)
		return CU_ENOMEM;
	switch (range) {
	case INTERVAL_YEAR: r->month -= r->month % MONTHS_PER_YEAR; /* fallthrough */
	case INTERVAL_MONTH:
	case INTERVAL_YEAR | INTERVAL_MONTH: r->day = 0; /* fallthrough */
	case INTERVAL_DAY: r->time = 0; break;
	case INTERVAL_HOUR:
	case INTERVAL_DAY | INTERVAL_HOUR: unit = USECS_PER_HOUR; break;
	case INTERVAL_MINUTE:
	case INTERVAL_HOUR | INTERVAL_MINUTE:
	case INTERVAL_DAY | INTERVAL_HOUR | INTERVAL_MINUTE: unit = USECS_PER_MINUTE; break;
	case INTERVAL_SECOND:
	case INTERVAL_MINUTE | INTERVAL_SECOND:
	case INTERVAL_HOUR | INTERVAL_MINUTE | INTERVAL_SECOND:
	case INTERVAL_DAY | INTERVAL_HOUR | INTERVAL_MINUTE | INTERVAL_SECOND:
	case INTERVAL_FULL_RANGE: break;
	default: return cu_value_fail(err, "XX000", "unrecognized interval typmod: %d", (int)typmod);
	}
	if (unit)
		r->time -= r->time % unit;
	if (precision != INTERVAL_FULL_PRECISION) {
		if (precision > 6)
			return cu_value_fail(err, "22023", "interval(%d) precision must be between %d and %d",
					     precision, 0, 6);
		r->time = cu_time_round(r->time, precision);
	}
	datum->interval = r;
	return 0;
}
