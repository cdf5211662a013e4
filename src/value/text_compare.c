/* text_compare.c: equality and order of text, char(n), name and citext. */
#include "value/text_internal.h"

enum cmp {
	OP_EQ,
	OP_NE,
	OP_LT,
	OP_LE,
	OP_GT,
	OP_GE,
};

static bool holds(enum cmp op, int order)
{
	switch (op) {
	case OP_EQ: return order == 0;
	case OP_NE: return order != 0;
	case OP_LT: return order < 0;
	case OP_LE: return order <= 0;
	case OP_GT: return order > 0;
	default: return order >= 0;
	}
}

/* Equal for what the collation says: 0. Only equality needs no order where the collation is deterministic. */
static int order_of(const struct cu_function_call *call, bool for_equality, const struct cu_datum *a,
		    const struct cu_datum *b, int *ret_order)
{
	const char *why;
	int rc = cu_text_need_collation(call);

	if (rc < 0)
		return rc;
	if (for_equality && cu_collation_desc(call->collation)->deterministic) {
		*ret_order = !cu_collation_equal(call->collation, a->bytes, a->len, b->bytes, b->len);
		return 0;
	}
	why = cu_collation_why_unordered(call->collation);
	if (why)
		return cu_value_fail(call->err, "0A000", "%s", why);
	*ret_order = cu_collation_compare(call->collation, a->bytes, a->len, b->bytes, b->len);
	return 0;
}

static int text_operator(const struct cu_function_call *call, enum cmp op, struct cu_datum *ret_datum)
{
	int order, rc = order_of(call, op == OP_EQ || op == OP_NE, &call->args[0], &call->args[1], &order);

	return rc ? rc : cu_text_return_bool(ret_datum, holds(op, order));
}

static void trimmed(const struct cu_function_call *call, struct cu_datum args[2])
{
	for (int i = 0; i < 2; i++) {
		args[i] = call->args[i];
		args[i].len = (uint32_t)cu_text_trimmed_len(&call->args[i]);
	}
}

static int bpchar_operator(const struct cu_function_call *call, enum cmp op, struct cu_datum *ret_datum)
{
	struct cu_datum args[2];
	int order, rc;

	trimmed(call, args);
	rc = order_of(call, op == OP_EQ || op == OP_NE, &args[0], &args[1], &order);
	return rc ? rc : cu_text_return_bool(ret_datum, holds(op, order));
}

static int compare_bytes(const struct cu_datum *a, const struct cu_datum *b)
{
	return cu_collation_compare(cu_collation_c, a->bytes, a->len, b->bytes, b->len);
}

static int text_pattern_operator(const struct cu_function_call *call, enum cmp op, struct cu_datum *ret_datum)
{
	return cu_text_return_bool(ret_datum, holds(op, compare_bytes(&call->args[0], &call->args[1])));
}

static int bpchar_pattern_operator(const struct cu_function_call *call, enum cmp op, struct cu_datum *ret_datum)
{
	struct cu_datum args[2];

	trimmed(call, args);
	return cu_text_return_bool(ret_datum, holds(op, compare_bytes(&args[0], &args[1])));
}

static int fold_both(const struct cu_function_call *call, struct cu_datum args[2])
{
	int rc = 0;

	for (int i = 0; i < 2 && rc == 0; i++)
		rc = cu_text_fold_citext(call->collation, &call->args[i], call->arena, &args[i], call->err);
	return rc;
}

static int citext_operator(const struct cu_function_call *call, enum cmp op, struct cu_datum *ret_datum)
{
	struct cu_datum args[2];
	int order, rc = fold_both(call, args);

	if (rc < 0)
		return rc;
	if (op == OP_EQ || op == OP_NE)
		order = compare_bytes(&args[0], &args[1]);
	else
		rc = order_of(call, false, &args[0], &args[1], &order);
	return rc ? rc : cu_text_return_bool(ret_datum, holds(op, order));
}

static int citext_pattern_operator(const struct cu_function_call *call, enum cmp op, struct cu_datum *ret_datum)
{
	struct cu_datum args[2];
	int rc = fold_both(call, args);

	return rc ? rc : cu_text_return_bool(ret_datum, holds(op, compare_bytes(&args[0], &args[1])));
}

#define OPERATOR(prosrc, family, op)                                                          \
	int cu_text_##prosrc(const struct cu_function_call *call, struct cu_datum *ret_datum) \
	{                                                                                     \
		return family##_operator(call, op, ret_datum);                                \
	}

OPERATOR(texteq, text, OP_EQ)
OPERATOR(textne, text, OP_NE)
OPERATOR(text_lt, text, OP_LT)
OPERATOR(text_le, text, OP_LE)
OPERATOR(text_gt, text, OP_GT)
OPERATOR(text_ge, text, OP_GE)
OPERATOR(text_pattern_lt, text_pattern, OP_LT)
OPERATOR(text_pattern_le, text_pattern, OP_LE)
OPERATOR(text_pattern_gt, text_pattern, OP_GT)
OPERATOR(text_pattern_ge, text_pattern, OP_GE)
OPERATOR(bpchareq, bpchar, OP_EQ)
OPERATOR(bpcharne, bpchar, OP_NE)
OPERATOR(bpcharlt, bpchar, OP_LT)
OPERATOR(bpcharle, bpchar, OP_LE)
OPERATOR(bpchargt, bpchar, OP_GT)
OPERATOR(bpcharge, bpchar, OP_GE)
OPERATOR(bpchar_pattern_lt, bpchar_pattern, OP_LT)
OPERATOR(bpchar_pattern_le, bpchar_pattern, OP_LE)
OPERATOR(bpchar_pattern_gt, bpchar_pattern, OP_GT)
OPERATOR(bpchar_pattern_ge, bpchar_pattern, OP_GE)
/* A name compares as the text in it. */
OPERATOR(nameeq, text, OP_EQ)
OPERATOR(namene, text, OP_NE)
OPERATOR(namelt, text, OP_LT)
OPERATOR(namele, text, OP_LE)
OPERATOR(namegt, text, OP_GT)
OPERATOR(namege, text, OP_GE)
OPERATOR(nameeqtext, text, OP_EQ)
OPERATOR(namenetext, text, OP_NE)
OPERATOR(namelttext, text, OP_LT)
OPERATOR(nameletext, text, OP_LE)
OPERATOR(namegttext, text, OP_GT)
OPERATOR(namegetext, text, OP_GE)
OPERATOR(texteqname, text, OP_EQ)
OPERATOR(textnename, text, OP_NE)
OPERATOR(textltname, text, OP_LT)
OPERATOR(textlename, text, OP_LE)
OPERATOR(textgtname, text, OP_GT)
OPERATOR(textgename, text, OP_GE)
OPERATOR(citext_eq, citext, OP_EQ)
OPERATOR(citext_ne, citext, OP_NE)
OPERATOR(citext_lt, citext, OP_LT)
OPERATOR(citext_le, citext, OP_LE)
OPERATOR(citext_gt, citext, OP_GT)
OPERATOR(citext_ge, citext, OP_GE)
OPERATOR(citext_pattern_lt, citext_pattern, OP_LT)
OPERATOR(citext_pattern_le, citext_pattern, OP_LE)
OPERATOR(citext_pattern_gt, citext_pattern, OP_GT)
OPERATOR(citext_pattern_ge, citext_pattern, OP_GE)

/* Which of two: a comparison that holds takes the first. */
static int choose(const struct cu_function_call *call,
		  int (*operation)(const struct cu_function_call *, enum cmp, struct cu_datum *), enum cmp op,
		  struct cu_datum *ret_datum)
{
	struct cu_datum first;
	int rc = operation(call, op, &first);

	if (rc == 0)
		*ret_datum = call->args[first.boolean ? 0 : 1];
	return rc;
}

#define CHOICE(prosrc, family, op)                                                            \
	int cu_text_##prosrc(const struct cu_function_call *call, struct cu_datum *ret_datum) \
	{                                                                                     \
		return choose(call, family##_operator, op, ret_datum);                        \
	}

CHOICE(text_larger, text, OP_GT)
CHOICE(text_smaller, text, OP_LT)
CHOICE(bpchar_larger, bpchar, OP_GE)
CHOICE(bpchar_smaller, bpchar, OP_LE)
CHOICE(citext_larger, citext, OP_GT)
CHOICE(citext_smaller, citext, OP_LT)

int cu_text_text_starts_with(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	const struct cu_datum *text = &call->args[0], *start = &call->args[1];
	int rc = cu_text_need_collation(call);

	if (rc < 0)
		return rc;
	if (!cu_collation_desc(call->collation)->deterministic)
		return cu_value_fail(call->err, "0A000",
				     "nondeterministic collations are not supported for substring searches");
	return cu_text_return_bool(ret_datum,
				   start->len <= text->len && memcmp(text->bytes, start->bytes, start->len) == 0);
}
