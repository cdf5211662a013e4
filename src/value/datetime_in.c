/* datetime_in.c: texts of dates and times.
 *
 * Read are the forms whose meaning no setting changes: what Postgres writes under DateStyle ISO, ISO 8601, and dates
 * whose month is a word. Other forms that Postgres may read are refused (0A000), because to guess would be to be wrong
 * for somebody; what Postgres refuses in these forms is refused with its words.
 */
#include "value/datetime_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX 127 /* longer ones Postgres refuses as well: MAXDATELEN */

enum outcome { OK, FORM, SYNTAX, FIELD_OVERFLOW, ZONE_OVERFLOW };

struct reader {
	const char *at; /* terminated */
};

struct read_time {
	int64_t hour, minute, second;
	int usec;
	bool is_half_wrong; /* 13 PM: out of range, which shows last */
};

struct read_point {
	bool is_special; /* .timestamp is it */
	int64_t timestamp;
	int year, month, day;
	struct read_time time;
	int zone;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static void skip_space(struct reader *r)
{
	while (cu_value_is_space(*r->at))
		r->at++;
}

/* Digits, at least one; saturates, which every use then finds out of range. Returns how many. */
static int read_digits(struct reader *r, int64_t *ret_value)
{
	int64_t value = 0;
	int len = 0;

	for (; is_digit(*r->at); r->at++, len++)
		value = value > INT32_MAX ? value : value * 10 + (*r->at - '0');
	*ret_value = value;
	return len;
}

/* What may stand behind a word; most other characters make it the name of a time zone to Postgres. */
static bool ends_word(char c, char hyphen)
{
	return !c || cu_value_is_space(c) || c == ',' || c == hyphen;
}

/* hyphen: '-' when one may follow, else 0. */
static bool read_word_hyphen(struct reader *r, const char *word, char hyphen)
{
	size_t len = strlen(word);

	for (size_t i = 0; i < len; i++)
		if (lower(r->at[i]) != word[i])
			return false;
	if (!ends_word(r->at[len], hyphen))
		return false;
	r->at += len;
	return true;
}

static bool read_word(struct reader *r, const char *word)
{
	return read_word_hyphen(r, word, 0);
}

/* Of ".123", at the point. As strtod() and then rint() have it: that is how Postgres rounds. Up to six digits there is
 * nothing to round. */
static bool read_fraction(struct reader *r, int *ret_usec)
{
	const char *end = r->at + 1;
	int usec = 0;

	while (is_digit(*end))
		end++;
	if (end == r->at + 1 || *end == 'e' || *end == 'E' || *end == '.')
		return false;
	if (end - r->at <= 7) {
		for (int i = 1; i <= 6; i++)
			usec = usec * 10 + (r->at + i < end ? r->at[i] - '0' : 0);
	} else {
		usec = (int)rint(strtod(r->at, NULL) * 1e6);
	}
	r->at = end;
	*ret_usec = usec;
	return true;
}

/* hh:mm, hh:mm:ss, with a fraction; mm:ss.ffffff, which Postgres takes for minutes and seconds. */
static enum outcome read_time(struct reader *r, struct read_time *t)
{
	bool has_second = false;

	memset(t, 0, sizeof *t);
	if (!read_digits(r, &t->hour) || *r->at != ':')
		return FORM;
	r->at++;
	if (!read_digits(r, &t->minute))
		return FORM;
	if (*r->at == ':') {
		r->at++;
		has_second = true;
		if (!read_digits(r, &t->second))
			return FORM;
	}
	if (*r->at == '.') {
		if (!read_fraction(r, &t->usec))
			return FORM;
		if (!has_second) {
			t->second = t->minute;
			t->minute = t->hour;
			t->hour = 0;
		}
	}
	if (*r->at == ':' || *r->at == '.')
		return FORM;
	return OK;
}

/* AM or PM behind a time, which is valid: 12 AM is midnight. */
static void read_half(struct reader *r, struct read_time *t)
{
	struct reader word = *r;
	bool is_pm;

	skip_space(&word);
	is_pm = read_word(&word, "pm");
	if (!is_pm && !read_word(&word, "am"))
		return;
	*r = word;
	if (t->hour > 12)
		t->is_half_wrong = true;
	else
		t->hour = t->hour % 12 + (is_pm ? 12 : 0);
}

static int64_t time_of(const struct read_time *t)
{
	return t->hour * USECS_PER_HOUR + t->minute * USECS_PER_MINUTE + t->second * USECS_PER_SEC + t->usec;
}

static bool time_is_valid(const struct read_time *t)
{
	return t->hour <= 24 && t->minute <= 59 && t->second <= 60 && time_of(t) <= USECS_PER_DAY;
}

/* Z, UTC, GMT, +h, +hh, +hhmm, +hh:mm, +hh:mm:ss. */
static enum outcome read_zone(struct reader *r, int *ret_zone)
{
	int64_t hour, minute = 0, second = 0;
	bool is_west;
	int len;

	if (read_word(r, "z") || read_word(r, "utc") || read_word(r, "gmt")) {
		*ret_zone = 0;
		return OK;
	}
	if (*r->at != '+' && *r->at != '-')
		return FORM;
	is_west = *r->at++ == '-';
	len = read_digits(r, &hour);
	if (!len)
		return FORM;
	if (*r->at == ':') {
		r->at++;
		if (!read_digits(r, &minute))
			return FORM;
		if (*r->at == ':') {
			r->at++;
			if (!read_digits(r, &second))
				return FORM;
		}
	} else if (len > 2) {
		minute = hour % 100;
		hour /= 100;
	}
	if (*r->at == ':' || *r->at == '.' || *r->at == '-' || *r->at == '+')
		return FORM;
	if (hour > 15 || minute > 59 || second > 59)
		return ZONE_OVERFLOW;
	*ret_zone = (int)(hour * 3600 + minute * 60 + second) * (is_west ? 1 : -1);
	return OK;
}

/* Names as Postgres has them: three letters, in full, or sept. */
static bool read_month(struct reader *r, char hyphen, int64_t *ret_month)
{
	static const char *const names[] = { "january", "february", "march",     "april",   "may",      "june",
					     "july",    "august",   "september", "october", "november", "december" };

	for (size_t i = 0; i < CU_ARRAY_LEN(names); i++) {
		char brief[4] = { names[i][0], names[i][1], names[i][2], 0 };

		if (read_word_hyphen(r, names[i], hyphen) || read_word_hyphen(r, brief, hyphen) ||
		    (i == 8 && read_word_hyphen(r, "sept", hyphen))) {
			*ret_month = (int64_t)i + 1;
			return true;
		}
	}
	return false;
}

/* Blanks, behind at most one comma. */
static bool skip_gap(struct reader *r)
{
	const char *start = r->at;

	r->at += *r->at == ',';
	skip_space(r);
	return r->at > start;
}

/* January 8, 1999; 8 January 1999; 8-Jan-1999; 1999-Jan-08. first: the digits before the word, if any. */
static enum outcome read_word_date(struct reader *r, int first_len, int64_t first, int64_t ymd[3])
{
	bool has_hyphen = first_len && *r->at == '-', year_is_first = first_len > 2;
	int last_len;
	int64_t last;

	if (has_hyphen)
		r->at++;
	else
		skip_space(r);
	if (!read_month(r, has_hyphen ? '-' : 0, &ymd[1]) || (year_is_first && !has_hyphen))
		return FORM;
	if (!first_len) {
		if (!skip_gap(r))
			return FORM;
		first_len = read_digits(r, &first);
	}
	if (has_hyphen ? *r->at++ != '-' : !skip_gap(r))
		return FORM;
	last_len = read_digits(r, &last);
	ymd[0] = year_is_first ? first : last;
	ymd[2] = year_is_first ? last : first;
	if (year_is_first ? first_len != 4 || last_len < 1 || last_len > 2
			  : last_len != 4 || first_len < 1 || first_len > 2)
		return FORM;
	/* The day alone may stand before a point, a colon and so on, which make it something else. */
	return *r->at && !cu_value_is_space(*r->at) && lower(*r->at) != 't' ? FORM : OK;
}

/* yyyy-mm-dd, yyyy/mm/dd, yyyymmdd. The year has three digits at least: with fewer, it may not be the year. */
static enum outcome read_date(struct reader *r, int64_t ymd[3])
{
	int len = read_digits(r, &ymd[0]);
	char delimiter = *r->at;

	if (len == 8 && delimiter != '-' && delimiter != '/' && delimiter != '.' && delimiter != ':') {
		ymd[2] = ymd[0] % 100;
		ymd[1] = ymd[0] / 100 % 100;
		ymd[0] /= 10000;
		return OK;
	}
	if (is_alpha(len ? r->at[1] : delimiter) && (!len || delimiter == '-' || delimiter == ' '))
		return read_word_date(r, len, ymd[0], ymd);
	if (len < 3 || (delimiter != '-' && delimiter != '/'))
		return FORM;
	r->at++;
	len = read_digits(r, &ymd[1]);
	if (len < 1 || len > 2 || *r->at != delimiter)
		return FORM;
	r->at++;
	len = read_digits(r, &ymd[2]);
	if (len < 1 || len > 2 || *r->at == delimiter)
		return FORM;
	return OK;
}

static bool read_special(struct reader *r, struct read_point *p)
{
	static const struct {
		const char *word;
		int64_t timestamp;
	} words[] = {
		{ "infinity", TIMESTAMP_NOEND },
		{ "-infinity", TIMESTAMP_NOBEGIN },
		{ "epoch", UNIX_EPOCH_TIMESTAMP },
	};

	for (size_t i = 0; i < CU_ARRAY_LEN(words); i++) {
		if (read_word(r, words[i].word)) {
			p->is_special = true;
			p->timestamp = words[i].timestamp;
			return true;
		}
	}
	return false;
}

/* A zone, with blanks before it or not, and a "BC" at the end. */
static enum outcome read_tail(struct reader *r, struct read_point *p, bool zone_may_come, bool *ret_bc)
{
	enum outcome rc = OK;

	*ret_bc = false;
	skip_space(r);
	if (zone_may_come && *r->at && lower(*r->at) != 'b' && lower(*r->at) != 'a') {
		rc = read_zone(r, &p->zone);
		if (rc == FORM)
			return FORM;
		skip_space(r);
	}
	if (read_word(r, "bc"))
		*ret_bc = true;
	else
		read_word(r, "ad");
	skip_space(r);
	return *r->at ? FORM : rc;
}

static enum outcome read_point(struct reader *r, struct read_point *p)
{
	int64_t ymd[3];
	bool has_time = false, bc;
	enum outcome rc, time_rc = OK;

	memset(p, 0, sizeof *p);
	skip_space(r);
	if (read_special(r, p)) {
		skip_space(r);
		return *r->at ? FORM : OK;
	}
	rc = read_date(r, ymd);
	if (rc)
		return rc;
	if (lower(*r->at) == 't' && is_digit(r->at[1])) {
		r->at++;
		has_time = true;
	} else if (cu_value_is_space(*r->at)) {
		skip_space(r);
		has_time = is_digit(*r->at);
	} else if (*r->at) {
		return FORM;
	}
	if (has_time) {
		rc = read_time(r, &p->time);
		if (rc)
			return rc;
		if (!time_is_valid(&p->time))
			time_rc = FIELD_OVERFLOW;
		read_half(r, &p->time);
	}
	rc = read_tail(r, p, has_time, &bc);
	if (rc == FORM)
		return FORM;
	/* The time stands before the zone, and the date is looked at last. */
	if (time_rc)
		return time_rc;
	if (rc)
		return rc;
	if (ymd[0] < 1 || ymd[0] > INT32_MAX || ymd[1] < 1 || ymd[1] > 12 || ymd[2] < 1)
		return FIELD_OVERFLOW;
	p->year = bc ? 1 - (int)ymd[0] : (int)ymd[0];
	p->month = (int)ymd[1];
	p->day = (int)ymd[2];
	if (ymd[2] > cu_month_days(p->year, p->month) || p->time.is_half_wrong)
		return FIELD_OVERFLOW;
	return OK;
}

/* Postgres reads no date or time without a digit but for some words. */
static bool is_nothing(const char *text)
{
	static const char *const words[] = { "now", "today", "tomorrow", "yesterday", "allballs", "epoch", "infinity" };
	struct reader r = { text };

	skip_space(&r);
	for (size_t i = 0; i < CU_ARRAY_LEN(words); i++) {
		struct reader word = r;

		if (read_word(&word, words[i]))
			return false;
	}
	while (is_alpha(*r.at))
		r.at++;
	skip_space(&r);
	return *r.at == 0;
}

static int fail(struct cu_value_error *err, enum outcome outcome, const char *name, const char *form, const char *text,
		size_t len)
{
	char fmt[160];

	switch (outcome) {
	case FIELD_OVERFLOW:
		return cu_value_fail_text(err, "22008", "date/time field value out of range: \"%s\"", text, len);
	case ZONE_OVERFLOW:
		return cu_value_fail_text(err, "22009", "time zone displacement out of range: \"%s\"", text, len);
	case SYNTAX:
		snprintf(fmt, sizeof fmt, "invalid input syntax for type %s: \"%%s\"", name);
		return cu_value_fail_text(err, "22007", fmt, text, len);
	default:
		snprintf(fmt, sizeof fmt, "this form of type %s is not supported: \"%%s\"; write it as %s", name, form);
		return cu_value_fail_text(err, "0A000", fmt, text, len);
	}
}

/* Terminates; too long or with a NUL in it: "", which no one reads. */
static void copy_text(char copy[TEXT_MAX + 1], const char *text, size_t len)
{
	if (len > TEXT_MAX || memchr(text, 0, len))
		len = 0;
	memcpy(copy, text, len);
	copy[len] = 0;
}

static enum outcome outcome_of(enum outcome rc, const char *copy, size_t len)
{
	if (rc == FORM && len <= TEXT_MAX && is_nothing(copy))
		return SYNTAX;
	return rc;
}

#define DATE_FORM "YYYY-MM-DD"
#define TIME_FORM "HH:MM:SS"
#define TIMETZ_FORM "HH:MM:SS+HH:MM"
#define TIMESTAMP_FORM "YYYY-MM-DD HH:MM:SS"
#define TIMESTAMPTZ_FORM "YYYY-MM-DD HH:MM:SS+HH:MM"

int cu_date_in(const struct cu_type *type, int32_t typmod, const char *text, size_t len, cu_arena *arena,
	       struct cu_datum *ret_datum, struct cu_value_error *err)
{
	char copy[TEXT_MAX + 1];
	struct reader r = { copy };
	struct read_point p;
	enum outcome rc;
	int64_t date;

	(void)type, (void)typmod, (void)arena;
	copy_text(copy, text, len);
	rc = outcome_of(read_point(&r, &p), copy, len);
	if (rc)
		return fail(err, rc, "date", DATE_FORM, text, len);
	if (p.is_special) {
		date = p.timestamp == TIMESTAMP_NOEND     ? DATE_NOEND
		       : p.timestamp == TIMESTAMP_NOBEGIN ? DATE_NOBEGIN
							  : p.timestamp / USECS_PER_DAY;
	} else {
		date = cu_days_of(p.year, p.month, p.day);
		if (!cu_date_is_valid(date))
			return cu_value_fail_text(err, "22008", "date out of range: \"%s\"", text, len);
	}
	return cu_return_int(ret_datum, date);
}

int cu_timestamp_in(const struct cu_type *type, int32_t typmod, const char *text, size_t len, cu_arena *arena,
		    struct cu_datum *ret_datum, struct cu_value_error *err)
{
	bool with_zone = type->repr == CU_REPR_TIMESTAMPTZ;
	char copy[TEXT_MAX + 1];
	struct reader r = { copy };
	struct read_point p;
	enum outcome rc;

	copy_text(copy, text, len);
	rc = outcome_of(read_point(&r, &p), copy, len);
	if (rc)
		return fail(err, rc, with_zone ? "timestamp with time zone" : "timestamp",
			    with_zone ? TIMESTAMPTZ_FORM : TIMESTAMP_FORM, text, len);
	if (!p.is_special) {
		struct cu_parts parts = { p.year, p.month, p.day, 0, 0, 0, 0 };

		parts.hour = (int)p.time.hour;
		parts.minute = (int)p.time.minute;
		parts.second = (int)p.time.second;
		parts.usec = p.time.usec;
		if (!cu_timestamp_join(&parts, with_zone ? p.zone : 0, &p.timestamp))
			return cu_value_fail_text(err, "22008", "timestamp out of range: \"%s\"", text, len);
	}
	*ret_datum = (struct cu_datum){ .integer = p.timestamp };
	return typmod < 0 ? 0 : cu_timestamp_typmod(type, typmod, false, arena, ret_datum, err);
}

int cu_timestamp_typmod(const struct cu_type *type, int32_t typmod, bool is_explicit, cu_arena *arena,
			struct cu_datum *datum, struct cu_value_error *err)
{
	(void)type, (void)is_explicit, (void)arena;
	if (!cu_timestamp_is_finite(datum->integer) || typmod == -1)
		return 0;
	if (typmod < 0 || typmod > 6)
		return cu_value_fail(err, "22023", "timestamp(%d) precision must be between %d and %d", (int)typmod, 0,
				     6);
	datum->integer = cu_time_round(datum->integer, typmod);
	return 0;
}

int cu_time_typmod(const struct cu_type *type, int32_t typmod, bool is_explicit, cu_arena *arena,
		   struct cu_datum *datum, struct cu_value_error *err)
{
	(void)type, (void)is_explicit, (void)arena, (void)err;
	if (typmod >= 0 && typmod <= 6)
		datum->integer = cu_time_round(datum->integer, typmod);
	return 0;
}

int cu_timetz_typmod(const struct cu_type *type, int32_t typmod, bool is_explicit, cu_arena *arena,
		     struct cu_datum *datum, struct cu_value_error *err)
{
	struct cu_timetz *rounded;

	(void)type, (void)is_explicit, (void)err;
	if (typmod < 0 || typmod > 6)
		return 0;
	rounded = cu_arena_copy(arena, datum->timetz, sizeof *rounded);
	if (!rounded)
		return CU_ENOMEM;
	rounded->time = cu_time_round(rounded->time, typmod);
	datum->timetz = rounded;
	return 0;
}

/* A time alone, and its zone if it has one. Postgres would read over a date as well. */
static enum outcome read_time_only(struct reader *r, struct read_point *p)
{
	enum outcome rc;
	bool bc, is_valid, parts_are_valid;

	memset(p, 0, sizeof *p);
	skip_space(r);
	rc = read_time(r, &p->time);
	if (rc)
		return rc;
	/* Minutes and seconds Postgres looks at before the zone, hours behind it. */
	parts_are_valid = p->time.minute <= 59 && p->time.second <= 60;
	is_valid = time_is_valid(&p->time);
	read_half(r, &p->time);
	rc = read_tail(r, p, true, &bc);
	if (rc == FORM || bc)
		return FORM;
	if (!parts_are_valid)
		return FIELD_OVERFLOW;
	if (rc)
		return rc;
	return is_valid && !p->time.is_half_wrong ? OK : FIELD_OVERFLOW;
}

int cu_time_in(const struct cu_type *type, int32_t typmod, const char *text, size_t len, cu_arena *arena,
	       struct cu_datum *ret_datum, struct cu_value_error *err)
{
	char copy[TEXT_MAX + 1];
	struct reader r = { copy };
	struct read_point p;
	enum outcome rc;

	copy_text(copy, text, len);
	rc = outcome_of(read_time_only(&r, &p), copy, len);
	if (rc)
		return fail(err, rc, "time", TIME_FORM, text, len);
	*ret_datum = (struct cu_datum){ .integer = time_of(&p.time) };
	return cu_time_typmod(type, typmod, false, arena, ret_datum, err);
}

int cu_timetz_in(const struct cu_type *type, int32_t typmod, const char *text, size_t len, cu_arena *arena,
		 struct cu_datum *ret_datum, struct cu_value_error *err)
{
	char copy[TEXT_MAX + 1];
	struct reader r = { copy };
	struct cu_timetz *timetz;
	struct read_point p;
	enum outcome rc;

	(void)type;
	copy_text(copy, text, len);
	rc = outcome_of(read_time_only(&r, &p), copy, len);
	if (rc)
		return fail(err, rc, "time with time zone", TIMETZ_FORM, text, len);
	timetz = cu_arena_alloc(arena, sizeof *timetz);
	if (!timetz)
		return CU_ENOMEM;
	timetz->time = time_of(&p.time);
	timetz->zone = p.zone;
	if (typmod >= 0 && typmod <= 6)
		timetz->time = cu_time_round(timetz->time, typmod);
	*ret_datum = (struct cu_datum){ .timetz = timetz };
	return 0;
}
