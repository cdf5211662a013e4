/* Which collation each operation uses (parse_collate.c), and whether this machine can reproduce it. */
#include "expr/tree.h"

#include "value/collation.h"

struct state {
	enum cu_strength strength;
	const struct cu_collation *collation;
	int at;
};

static bool same(const struct cu_collation *a, const struct cu_collation *b)
{
	return a == b || cu_collation_desc(a)->oid == cu_collation_desc(b)->oid;
}

static bool is_default(const struct cu_check *check, const struct cu_collation *collation)
{
	return same(collation, check->scope->default_collation);
}

const struct cu_collation *cu_type_collation(const struct cu_check *check, uint32_t oid)
{
	switch (cu_type_info(check, oid).collation) {
	case 0: return NULL;
	case 2: return check->scope->c;
	default: return check->scope->default_collation;
	}
}

/* The last part of a name as SQL writes it, with quotes as messages have them. */
static void put_name(const struct cu_collation *collation, cu_buf *out)
{
	const char *name = cu_collation_desc(collation)->name, *last = name;
	bool quoted = false;

	for (const char *p = name; *p; p++) {
		quoted ^= *p == '"';
		if (*p == '.' && !quoted)
			last = p + 1;
	}
	cu_buf_puts(out, *last == '"' ? "" : "\"");
	cu_buf_puts(out, last);
	cu_buf_puts(out, *last == '"' ? "" : "\"");
}

static void fail_mismatch(struct cu_check *check, const struct cu_collation *a, const struct cu_collation *b, int at)
{
	cu_buf names = CU_BUF_INIT;

	put_name(a, &names);
	cu_buf_puts(&names, " and ");
	put_name(b, &names);
	cu_check_fail(check, "42P21", at, "collation mismatch between explicit collations %s", cu_buf_str(&names));
	cu_buf_fini(&names);
}

static bool merge(struct cu_check *check, struct state *state, const struct cu_node *node)
{
	enum cu_strength strength = (enum cu_strength)node->strength;

	if (strength > state->strength) {
		*state = (struct state){ strength, node->collation, node->collation_at };
		return true;
	}
	if (strength < state->strength || strength == CU_STRENGTH_NONE || strength == CU_STRENGTH_CONFLICT)
		return true;
	if (same(node->collation, state->collation))
		return true;
	if (strength == CU_STRENGTH_EXPLICIT) {
		fail_mismatch(check, state->collation, node->collation, node->collation_at);
		return false;
	}
	if (is_default(check, state->collation))
		state->collation = node->collation;
	else if (!is_default(check, node->collation))
		state->strength = CU_STRENGTH_CONFLICT;
	return true;
}

static void settle(struct cu_check *check, struct cu_node *node, const struct state *state)
{
	const struct cu_collation *of_type = cu_type_collation(check, node->type);

	node->conflict = state->strength == CU_STRENGTH_CONFLICT;
	node->collation_at = state->at;
	node->input = node->conflict || state->strength == CU_STRENGTH_NONE ? NULL : state->collation;
	if (of_type == NULL) {
		node->strength = CU_STRENGTH_NONE;
		node->collation = NULL;
	} else if (state->strength > CU_STRENGTH_NONE) {
		node->strength = (uint8_t)state->strength;
		node->collation = state->strength == CU_STRENGTH_CONFLICT ? NULL : state->collation;
	} else {
		node->strength = CU_STRENGTH_IMPLICIT;
		node->collation = of_type;
	}
}

/* What a function does with text that hangs on the collation. */
enum need { NEED_NOTHING, NEED_EQUAL, NEED_LIKE, NEED_SEARCH, NEED_ORDER, NEED_CASE };

static enum need need_of(const char *prosrc)
{
	static const struct {
		const char *prosrc;
		enum need need;
	} needs[] = {
		{ "texteq", NEED_EQUAL },
		{ "textne", NEED_EQUAL },
		{ "bpchareq", NEED_EQUAL },
		{ "bpcharne", NEED_EQUAL },
		{ "nameeqtext", NEED_EQUAL },
		{ "texteqname", NEED_EQUAL },
		{ "namenetext", NEED_EQUAL },
		{ "textnename", NEED_EQUAL },
		{ "array_eq", NEED_EQUAL },
		{ "array_ne", NEED_EQUAL },
		{ "arraycontains", NEED_EQUAL },
		{ "arraycontained", NEED_EQUAL },
		{ "arrayoverlap", NEED_EQUAL },
		{ "array_remove", NEED_EQUAL },
		{ "array_replace", NEED_EQUAL },
		{ "array_position", NEED_EQUAL },
		{ "array_positions", NEED_EQUAL },
		{ "array_position_start", NEED_EQUAL },
		{ "textlike", NEED_LIKE },
		{ "textnlike", NEED_LIKE },
		{ "bpcharlike", NEED_LIKE },
		{ "bpcharnlike", NEED_LIKE },
		{ "namelike", NEED_LIKE },
		{ "namenlike", NEED_LIKE },
		{ "text_starts_with", NEED_SEARCH },
		{ "textpos", NEED_SEARCH },
		{ "split_part", NEED_SEARCH },
		{ "replace_text", NEED_SEARCH },
		{ "text_to_array", NEED_SEARCH },
		{ "text_to_array_null", NEED_SEARCH },
		{ "text_lt", NEED_ORDER },
		{ "text_le", NEED_ORDER },
		{ "text_gt", NEED_ORDER },
		{ "text_ge", NEED_ORDER },
		{ "text_larger", NEED_ORDER },
		{ "text_smaller", NEED_ORDER },
		{ "bttextcmp", NEED_ORDER },
		{ "bpcharlt", NEED_ORDER },
		{ "bpcharle", NEED_ORDER },
		{ "bpchargt", NEED_ORDER },
		{ "bpcharge", NEED_ORDER },
		{ "bpcharcmp", NEED_ORDER },
		{ "bpchar_larger", NEED_ORDER },
		{ "bpchar_smaller", NEED_ORDER },
		{ "namelt", NEED_ORDER },
		{ "namele", NEED_ORDER },
		{ "namegt", NEED_ORDER },
		{ "namege", NEED_ORDER },
		{ "namelttext", NEED_ORDER },
		{ "nameletext", NEED_ORDER },
		{ "namegttext", NEED_ORDER },
		{ "namegetext", NEED_ORDER },
		{ "textltname", NEED_ORDER },
		{ "textlename", NEED_ORDER },
		{ "textgtname", NEED_ORDER },
		{ "textgename", NEED_ORDER },
		{ "btnamecmp", NEED_ORDER },
		{ "btnametextcmp", NEED_ORDER },
		{ "bttextnamecmp", NEED_ORDER },
		{ "array_lt", NEED_ORDER },
		{ "array_le", NEED_ORDER },
		{ "array_gt", NEED_ORDER },
		{ "array_ge", NEED_ORDER },
		{ "btarraycmp", NEED_ORDER },
		{ "array_larger", NEED_ORDER },
		{ "array_smaller", NEED_ORDER },
		{ "jsonb_lt", NEED_ORDER },
		{ "jsonb_le", NEED_ORDER },
		{ "jsonb_gt", NEED_ORDER },
		{ "jsonb_ge", NEED_ORDER },
		{ "jsonb_cmp", NEED_ORDER },
		{ "lower", NEED_CASE },
		{ "upper", NEED_CASE },
		{ "initcap", NEED_CASE },
		{ "texticlike", NEED_CASE },
		{ "texticnlike", NEED_CASE },
		{ "bpchariclike", NEED_CASE },
		{ "bpcharicnlike", NEED_CASE },
		{ "nameiclike", NEED_CASE },
		{ "nameicnlike", NEED_CASE },
		{ "textregexeq", NEED_CASE },
		{ "textregexne", NEED_CASE },
		{ "texticregexeq", NEED_CASE },
		{ "texticregexne", NEED_CASE },
	};

	/* citext is lower() on both sides, under the default collation. */
	if (strncmp(prosrc, "citext", 6) == 0)
		return NEED_CASE;
	for (size_t i = 0; i < CU_ARRAY_LEN(needs); i++) {
		if (strcmp(needs[i].prosrc, prosrc) == 0)
			return needs[i].need;
	}
	return NEED_NOTHING;
}

/* citext's equality and pattern order look at bytes under the database's case; its other order at the collation too. */
static bool is_citext_equality(const char *prosrc)
{
	return strcmp(prosrc, "citext_eq") == 0 || strcmp(prosrc, "citext_ne") == 0 ||
	       strncmp(prosrc, "citext_pattern_", 15) == 0;
}

static bool check_need(struct cu_check *check, const struct cu_node *node, enum need need,
		       const struct cu_collation *collation)
{
	const char *prosrc = node->proc != NULL ? cu_catalog_string(node->proc->prosrc) : "";
	const char *why = NULL;

	if (need == NEED_NOTHING)
		return true;
	/* Citext looks at the default collation, whatever came together, and so did LIKE at bytes before version 18. */
	if (node->conflict && (need != NEED_LIKE || check->scope->pg_version >= 18) && !is_citext_equality(prosrc)) {
		if (need == NEED_LIKE)
			why = "LIKE";
		else if (need != NEED_CASE || node->proc == NULL)
			why = "string comparison";
		else if (strstr(prosrc, "like") == NULL && strstr(prosrc, "regex") == NULL)
			why = prosrc[0] == 'l'   ? "lower() function"
			      : prosrc[0] == 'u' ? "upper() function"
						 : "initcap() function";
		else
			why = strstr(prosrc, "like") != NULL ? "ILIKE" : "regular expression";
		if (check->late.sqlstate[0] == 0)
			cu_value_fail(&check->late, "42P22", "could not determine which collation to use for %s", why);
		return true;
	}
	if (collation == NULL)
		return true;
	switch (need) {
	case NEED_LIKE:
	case NEED_SEARCH:
		if (!cu_collation_desc(collation)->deterministic)
			why = need == NEED_LIKE
				      ? "nondeterministic collations are not supported for LIKE"
				      : "nondeterministic collations are not supported for substring searches";
		break;
	case NEED_EQUAL:
		if (!cu_collation_desc(collation)->deterministic)
			why = cu_collation_why_unordered(collation);
		break;
	case NEED_ORDER: why = cu_collation_why_unordered(collation); break;
	default: why = cu_collation_why_uncased(collation); break;
	}
	if (why == NULL)
		return true;
	cu_check_fail(check, "0A000", node->own_at, "%s", why);
	return false;
}

static bool uses_jsonb(const struct cu_check *check, const struct cu_node *node)
{
	for (unsigned i = 0; i < node->args_len; i++) {
		struct cu_tinfo info = cu_type_info(check, cu_type_base(check, node->args[i]->type));

		if (info.oid == CU_JSONBOID || info.elem == CU_JSONBOID)
			return true;
	}
	return false;
}

/* Citext, elements of arrays too, is folded under the database's collation, by equality too. */
static bool check_citext(struct cu_check *check, const struct cu_node *node)
{
	const char *why = cu_collation_why_uncased(check->scope->default_collation);

	for (unsigned i = 0; why != NULL && i < node->args_len; i++) {
		struct cu_tinfo info = cu_type_info(check, cu_type_base(check, node->args[i]->type));

		if (info.type != NULL && (info.type->citext || (info.type->elem != NULL && info.type->elem->citext))) {
			cu_check_fail(check, "0A000", node->own_at, "%s", why);
			return false;
		}
	}
	return true;
}

static bool check_needs(struct cu_check *check, const struct cu_node *node)
{
	const struct cu_collation *collation = node->input;
	enum need need = NEED_NOTHING;

	if (node->kind == CU_NODE_MINMAX) {
		/* By the order of the type, where text is involved. */
		need = collation != NULL || node->conflict || uses_jsonb(check, node) ? NEED_ORDER : NEED_NOTHING;
		if (cu_type_info(check, node->type).type->citext)
			need = NEED_CASE;
	} else if (node->proc != NULL) {
		need = need_of(cu_catalog_string(node->proc->prosrc));
	}
	if (need != NEED_NOTHING && check->scope->has_citext && !check_citext(check, node))
		return false;
	if (collation == NULL && need == NEED_ORDER && uses_jsonb(check, node))
		collation = check->scope->default_collation;
	if (need == NEED_CASE && node->proc != NULL &&
	    strncmp(cu_catalog_string(node->proc->prosrc), "citext", 6) == 0) {
		if (!is_citext_equality(cu_catalog_string(node->proc->prosrc)) &&
		    !check_need(check, node, NEED_ORDER, collation))
			return false;
		collation = check->scope->default_collation;
	}
	return check_need(check, node, need, collation);
}

static bool collate_args(struct cu_check *check, struct cu_node *node, struct state *state)
{
	for (unsigned i = 0; i < node->args_len; i++) {
		if (node->args[i] == NULL)
			continue;
		if (!cu_collate(check, node->args[i]) || !merge(check, state, node->args[i]))
			return false;
	}
	return true;
}

static bool collate_case(struct cu_check *check, struct cu_node *node, struct state *state)
{
	for (unsigned i = 0; i < node->args_len; i++) {
		bool is_result = i + 1 == node->args_len || (i >= node->sub && (i - node->sub) % 2 == 1);

		if (!cu_collate(check, node->args[i]))
			return false;
		if (is_result && !merge(check, state, node->args[i]))
			return false;
	}
	return true;
}

static bool collate_node(struct cu_check *check, struct cu_node *node)
{
	struct state state = { CU_STRENGTH_NONE, NULL, node->at };
	const struct cu_node *arg;

	switch (node->kind) {
	case CU_NODE_COLUMN:
		node->strength = node->collation != NULL ? CU_STRENGTH_IMPLICIT : CU_STRENGTH_NONE;
		return true;
	case CU_NODE_CONST: settle(check, node, &state); return true;
	case CU_NODE_SLOT:
		/* Of a CASE's arg, which has been looked at before. An array's element has none. */
		if (node->ref->kind != CU_NODE_CASE)
			return true;
		arg = node->ref->args[0];
		node->collation = cu_type_collation(check, node->type) != NULL ? arg->collation : NULL;
		node->strength = node->collation != NULL ? CU_STRENGTH_IMPLICIT : CU_STRENGTH_NONE;
		return true;
	case CU_NODE_COLLATE:
		if (!cu_collate(check, node->args[0]))
			return false;
		node->strength = CU_STRENGTH_EXPLICIT;
		node->collation_at = node->own_at;
		return true;
	case CU_NODE_CASE:
		if (!collate_case(check, node, &state))
			return false;
		break;
	case CU_NODE_ELEMENT:
	case CU_NODE_SLICE:
		/* Subscripts have no say. */
		for (unsigned i = 0; i < node->args_len; i++) {
			if (node->args[i] != NULL && !cu_collate(check, node->args[i]))
				return false;
		}
		if (!merge(check, &state, node->args[0]))
			return false;
		break;
	default:
		if (!collate_args(check, node, &state))
			return false;
		break;
	}
	settle(check, node, &state);
	return check_needs(check, node);
}

bool cu_collate(struct cu_check *check, struct cu_node *node)
{
	if (node->collated)
		return true;
	node->collated = true;
	return collate_node(check, node);
}
