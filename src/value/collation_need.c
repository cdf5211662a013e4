/* collation_need.c: which functions order, fold or search by a collation. */
#include "value/collation.h"

enum need {
	NEED_EQUAL = 1, /* which a nondeterministic collation tells by its order */
	NEED_ORDER = 2,
	NEED_CASE = 4,
	NEED_FOLD = 64, /* of citext: case under the database's own collation */
	NEED_LIKE = 8,  /* this and the next two are refused under a nondeterministic one, here as in Postgres */
	NEED_ILIKE = 16,
	NEED_SEARCH = 32,
};

static const struct {
	const char *prosrc;
	unsigned need;
} needs[] = {
	{ "texteq", NEED_EQUAL },
	{ "textne", NEED_EQUAL },
	{ "text_lt", NEED_ORDER },
	{ "text_le", NEED_ORDER },
	{ "text_gt", NEED_ORDER },
	{ "text_ge", NEED_ORDER },
	{ "text_larger", NEED_ORDER },
	{ "text_smaller", NEED_ORDER },
	{ "bpchareq", NEED_EQUAL },
	{ "bpcharne", NEED_EQUAL },
	{ "bpcharlt", NEED_ORDER },
	{ "bpcharle", NEED_ORDER },
	{ "bpchargt", NEED_ORDER },
	{ "bpcharge", NEED_ORDER },
	{ "bpchar_larger", NEED_ORDER },
	{ "bpchar_smaller", NEED_ORDER },
	{ "nameeq", NEED_EQUAL },
	{ "namene", NEED_EQUAL },
	{ "namelt", NEED_ORDER },
	{ "namele", NEED_ORDER },
	{ "namegt", NEED_ORDER },
	{ "namege", NEED_ORDER },
	{ "nameeqtext", NEED_EQUAL },
	{ "namenetext", NEED_EQUAL },
	{ "namelttext", NEED_ORDER },
	{ "nameletext", NEED_ORDER },
	{ "namegttext", NEED_ORDER },
	{ "namegetext", NEED_ORDER },
	{ "texteqname", NEED_EQUAL },
	{ "textnename", NEED_EQUAL },
	{ "textltname", NEED_ORDER },
	{ "textlename", NEED_ORDER },
	{ "textgtname", NEED_ORDER },
	{ "textgename", NEED_ORDER },
	{ "citext_eq", NEED_FOLD },
	{ "citext_ne", NEED_FOLD },
	{ "citext_lt", NEED_FOLD | NEED_ORDER },
	{ "citext_le", NEED_FOLD | NEED_ORDER },
	{ "citext_gt", NEED_FOLD | NEED_ORDER },
	{ "citext_ge", NEED_FOLD | NEED_ORDER },
	{ "citext_larger", NEED_FOLD | NEED_ORDER },
	{ "citext_smaller", NEED_FOLD | NEED_ORDER },
	{ "citext_pattern_lt", NEED_FOLD },
	{ "citext_pattern_le", NEED_FOLD },
	{ "citext_pattern_gt", NEED_FOLD },
	{ "citext_pattern_ge", NEED_FOLD },
	{ "array_eq", NEED_EQUAL },
	{ "array_ne", NEED_EQUAL },
	{ "array_lt", NEED_ORDER },
	{ "array_le", NEED_ORDER },
	{ "array_gt", NEED_ORDER },
	{ "array_ge", NEED_ORDER },
	{ "array_larger", NEED_ORDER },
	{ "array_smaller", NEED_ORDER },
	{ "btarraycmp", NEED_ORDER },
	{ "arraycontains", NEED_EQUAL },
	{ "arraycontained", NEED_EQUAL },
	{ "arrayoverlap", NEED_EQUAL },
	{ "array_position", NEED_EQUAL },
	{ "array_position_start", NEED_EQUAL },
	{ "array_positions", NEED_EQUAL },
	{ "array_remove", NEED_EQUAL },
	{ "array_replace", NEED_EQUAL },
	{ "lower", NEED_CASE },
	{ "upper", NEED_CASE },
	{ "initcap", NEED_CASE },
	{ "textlike", NEED_LIKE },
	{ "textnlike", NEED_LIKE },
	{ "namelike", NEED_LIKE },
	{ "namenlike", NEED_LIKE },
	{ "texticlike", NEED_ILIKE },
	{ "texticnlike", NEED_ILIKE },
	{ "nameiclike", NEED_ILIKE },
	{ "nameicnlike", NEED_ILIKE },
	{ "text_starts_with", NEED_SEARCH },
	{ "textpos", NEED_SEARCH },
	{ "replace_text", NEED_SEARCH },
	{ "split_part", NEED_SEARCH },
	{ "text_to_array", NEED_SEARCH },
	{ "text_to_array_null", NEED_SEARCH },
};

static unsigned need_of(const char *prosrc)
{
	for (size_t i = 0; i < CU_ARRAY_LEN(needs); i++)
		if (strcmp(needs[i].prosrc, prosrc) == 0)
			return needs[i].need;
	return 0;
}

const char *cu_collation_why_not(const cu_collation *collation, const char *prosrc, bool citext)
{
	const struct cu_collation_desc *desc = cu_collation_desc(collation);
	unsigned need = need_of(prosrc);
	const char *why = NULL;

	/* Elements of an array are compared, not given to the = of their type: that takes an order. */
	if (citext && (need & (NEED_EQUAL | NEED_ORDER)))
		need |= NEED_FOLD | NEED_ORDER;
	if (!desc->deterministic) {
		if (need & NEED_LIKE)
			return "nondeterministic collations are not supported for LIKE";
		if (need & NEED_ILIKE)
			return "nondeterministic collations are not supported for ILIKE";
		if (need & NEED_SEARCH)
			return "nondeterministic collations are not supported for substring searches";
		if (need & NEED_EQUAL)
			need |= NEED_ORDER;
	}
	if (need & NEED_FOLD)
		why = cu_collation_why_uncased(desc->database ? desc->database : collation);
	if (!why && (need & (NEED_CASE | NEED_ILIKE)))
		why = cu_collation_why_uncased(collation);
	if (!why && (need & NEED_ORDER))
		why = cu_collation_why_unordered(collation);
	return why;
}
