/* units.c: the names of fields of dates and spans, as Postgres abbreviates them. */
#include "value/datetime_impl.h"

#define TOKEN_MAX 10 /* Postgres compares so many characters: "microsecondsish" is a unit */

struct token {
	const char *name;
	enum cu_unit unit;
};

static const struct token spans[] = {
	{ "c", CU_UNIT_CENTURY },
	{ "cent", CU_UNIT_CENTURY },
	{ "centuries", CU_UNIT_CENTURY },
	{ "century", CU_UNIT_CENTURY },
	{ "d", CU_UNIT_DAY },
	{ "day", CU_UNIT_DAY },
	{ "days", CU_UNIT_DAY },
	{ "dec", CU_UNIT_DECADE },
	{ "decade", CU_UNIT_DECADE },
	{ "decades", CU_UNIT_DECADE },
	{ "decs", CU_UNIT_DECADE },
	{ "h", CU_UNIT_HOUR },
	{ "hour", CU_UNIT_HOUR },
	{ "hours", CU_UNIT_HOUR },
	{ "hr", CU_UNIT_HOUR },
	{ "hrs", CU_UNIT_HOUR },
	{ "m", CU_UNIT_MINUTE },
	{ "microsecon", CU_UNIT_MICROSECOND },
	{ "mil", CU_UNIT_MILLENNIUM },
	{ "millennia", CU_UNIT_MILLENNIUM },
	{ "millennium", CU_UNIT_MILLENNIUM },
	{ "millisecon", CU_UNIT_MILLISECOND },
	{ "mils", CU_UNIT_MILLENNIUM },
	{ "min", CU_UNIT_MINUTE },
	{ "mins", CU_UNIT_MINUTE },
	{ "minute", CU_UNIT_MINUTE },
	{ "minutes", CU_UNIT_MINUTE },
	{ "mon", CU_UNIT_MONTH },
	{ "mons", CU_UNIT_MONTH },
	{ "month", CU_UNIT_MONTH },
	{ "months", CU_UNIT_MONTH },
	{ "ms", CU_UNIT_MILLISECOND },
	{ "msec", CU_UNIT_MILLISECOND },
	{ "mseconds", CU_UNIT_MILLISECOND },
	{ "msecs", CU_UNIT_MILLISECOND },
	{ "qtr", CU_UNIT_QUARTER },
	{ "quarter", CU_UNIT_QUARTER },
	{ "s", CU_UNIT_SECOND },
	{ "sec", CU_UNIT_SECOND },
	{ "second", CU_UNIT_SECOND },
	{ "seconds", CU_UNIT_SECOND },
	{ "secs", CU_UNIT_SECOND },
	{ "timezone", CU_UNIT_ZONE },
	{ "timezone_h", CU_UNIT_ZONE_HOUR },
	{ "timezone_m", CU_UNIT_ZONE_MINUTE },
	{ "us", CU_UNIT_MICROSECOND },
	{ "usec", CU_UNIT_MICROSECOND },
	{ "usecond", CU_UNIT_MICROSECOND },
	{ "useconds", CU_UNIT_MICROSECOND },
	{ "usecs", CU_UNIT_MICROSECOND },
	{ "w", CU_UNIT_WEEK },
	{ "week", CU_UNIT_WEEK },
	{ "weeks", CU_UNIT_WEEK },
	{ "y", CU_UNIT_YEAR },
	{ "year", CU_UNIT_YEAR },
	{ "years", CU_UNIT_YEAR },
	{ "yr", CU_UNIT_YEAR },
	{ "yrs", CU_UNIT_YEAR },
};

static const struct token fields[] = {
	{ "-infinity", CU_UNIT_RESERVED },
	{ "allballs", CU_UNIT_RESERVED },
	{ "dow", CU_UNIT_DOW },
	{ "doy", CU_UNIT_DOY },
	{ "epoch", CU_UNIT_EPOCH },
	{ "infinity", CU_UNIT_RESERVED },
	{ "isodow", CU_UNIT_ISODOW },
	{ "isoyear", CU_UNIT_ISOYEAR },
	{ "j", CU_UNIT_JULIAN },
	{ "jd", CU_UNIT_JULIAN },
	{ "julian", CU_UNIT_JULIAN },
	{ "mm", CU_UNIT_MINUTE },
	{ "now", CU_UNIT_RESERVED },
	{ "today", CU_UNIT_RESERVED },
	{ "tomorrow", CU_UNIT_RESERVED },
	{ "yesterday", CU_UNIT_RESERVED },
};

static enum cu_unit find(const struct token *tokens, size_t tokens_len, const char *name, size_t len)
{
	size_t compared = CU_MIN(len, TOKEN_MAX);

	for (size_t i = 0; i < tokens_len; i++)
		if (strlen(tokens[i].name) == compared && memcmp(tokens[i].name, name, compared) == 0)
			return tokens[i].unit;
	return CU_UNIT_NONE;
}

enum cu_unit cu_unit_of_span(const char *name, size_t len)
{
	return find(spans, CU_ARRAY_LEN(spans), name, len);
}

enum cu_unit cu_unit_of_field(const char *name, size_t len)
{
	enum cu_unit unit = cu_unit_of_span(name, len);

	return unit ? unit : find(fields, CU_ARRAY_LEN(fields), name, len);
}

size_t cu_unit_name(const struct cu_datum *text, char name[CU_UNIT_NAME_MAX])
{
	size_t len = text->len;

	if (len >= CU_UNIT_NAME_MAX) {
		len = CU_UNIT_NAME_MAX - 1;
		while (len > 0 && ((unsigned char)text->bytes[len] & 0xc0) == 0x80)
			len--;
	}
	for (size_t i = 0; i < len; i++)
		name[i] = text->bytes[i] >= 'A' && text->bytes[i] <= 'Z' ? (char)(text->bytes[i] + 32) : text->bytes[i];
	name[len] = 0;
	return len;
}

int cu_unit_fail(struct cu_value_error *err, bool known, const char *name, const char *type)
{
	if (known)
		return cu_value_fail(err, "0A000", "unit \"%s\" not supported for type %s", name, type);
	return cu_value_fail(err, "22023", "unit \"%s\" not recognized for type %s", name, type);
}
