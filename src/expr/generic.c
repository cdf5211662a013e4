/* anyelement, anyarray, anycompatible … (parse_coerce.c: check_ and enforce_generic_type_consistency). Ranges cannot
 * come here with a type: there are no values of range types in a clause. */
#include "expr/tree.h"

bool cu_is_polymorphic(uint32_t oid)
{
	switch (oid) {
	case CU_ANYELEMENTOID:
	case CU_ANYARRAYOID:
	case CU_ANYNONARRAYOID:
	case CU_ANYENUMOID:
	case CU_ANYRANGEOID:
	case CU_ANYMULTIRANGEOID:
	case CU_ANYCOMPATIBLEOID:
	case CU_ANYCOMPATIBLEARRAYOID:
	case CU_ANYCOMPATIBLENONARRAYOID:
	case CU_ANYCOMPATIBLERANGEOID:
	case CU_ANYCOMPATIBLEMULTIRANGEOID: return true;
	default: return false;
	}
}

static bool is_range(uint32_t oid)
{
	return oid == CU_ANYRANGEOID || oid == CU_ANYMULTIRANGEOID || oid == CU_ANYCOMPATIBLERANGEOID ||
	       oid == CU_ANYCOMPATIBLEMULTIRANGEOID;
}

/* select_common_type_from_oids(); 0: none. */
static uint32_t common_of(const struct cu_check *check, const uint32_t *types, unsigned len)
{
	struct cu_tinfo best = cu_type_info(check, cu_type_base(check, types[0]));
	unsigned same = 1;

	/* Only what is all of one domain stays that. */
	while (same < len && types[same] == types[0])
		same++;
	if (same == len)
		return types[0];
	for (unsigned i = 1; i < len; i++) {
		struct cu_tinfo next = cu_type_info(check, cu_type_base(check, types[i]));

		if (next.oid == best.oid)
			continue;
		if (next.category != best.category)
			return 0;
		if (!best.preferred && cu_can_coerce(check, 1, &best.oid, &next.oid, CU_COERCE_IMPLICIT) &&
		    !cu_can_coerce(check, 1, &next.oid, &best.oid, CU_COERCE_IMPLICIT))
			best = next;
	}
	for (unsigned i = 0; i < len; i++) {
		if (!cu_can_coerce(check, 1, &types[i], &best.oid, CU_COERCE_IMPLICIT))
			return 0;
	}
	return best.oid;
}

struct generic {
	uint32_t elem, array; /* of anyelement and anyarray */
	uint32_t compatible[CU_FUNCTION_ARGS_MAX];
	unsigned compatible_len;
	uint32_t common;          /* of anycompatible */
	bool simple, compatibles; /* there are arguments of the one and the other family */
	bool nonarray, is_enum, compatible_nonarray;
};

/* What the arguments say; *ret_what: what is wrong, for a message. */
static bool generic_collect(const struct cu_check *check, unsigned len, const uint32_t *actual,
			    const uint32_t *declared, struct generic *g, const char **ret_what)
{
	for (unsigned i = 0; i < len; i++) {
		uint32_t type = actual[i];

		switch (declared[i]) {
		case CU_ANYELEMENTOID:
		case CU_ANYNONARRAYOID:
		case CU_ANYENUMOID:
			g->simple = true;
			g->nonarray |= declared[i] == CU_ANYNONARRAYOID;
			g->is_enum |= declared[i] == CU_ANYENUMOID;
			if (type == CU_UNKNOWNOID)
				continue;
			*ret_what = "arguments declared \"anyelement\" are not all alike";
			if (g->elem != 0 && g->elem != type)
				return false;
			g->elem = type;
			break;
		case CU_ANYARRAYOID:
			g->simple = true;
			if (type == CU_UNKNOWNOID)
				continue;
			type = cu_type_base(check, type);
			*ret_what = "arguments declared \"anyarray\" are not all alike";
			if (g->array != 0 && g->array != type)
				return false;
			g->array = type;
			break;
		case CU_ANYCOMPATIBLEOID:
		case CU_ANYCOMPATIBLENONARRAYOID:
			g->compatibles = true;
			g->compatible_nonarray |= declared[i] == CU_ANYCOMPATIBLENONARRAYOID;
			if (type != CU_UNKNOWNOID)
				g->compatible[g->compatible_len++] = type;
			break;
		case CU_ANYCOMPATIBLEARRAYOID:
			g->compatibles = true;
			if (type == CU_UNKNOWNOID)
				continue;
			type = cu_type_info(check, cu_type_base(check, type)).elem;
			*ret_what = "argument declared anycompatiblearray is not an array";
			if (type == 0)
				return false;
			g->compatible[g->compatible_len++] = type;
			break;
		default:
			*ret_what = "ranges are not supported in where clauses";
			if (is_range(declared[i]) && type != CU_UNKNOWNOID)
				return false;
			break;
		}
	}
	return true;
}

/* Whether what was collected fits together. */
static bool generic_settle(const struct cu_check *check, struct generic *g, const char **ret_what)
{
	struct cu_tinfo elem;

	if (g->array != 0) {
		uint32_t of_array = cu_type_info(check, g->array).elem;

		*ret_what = "argument declared anyarray is not an array";
		if (of_array == 0)
			return false;
		*ret_what = "argument declared anyarray is not consistent with argument declared anyelement";
		if (g->elem != 0 && g->elem != of_array)
			return false;
		g->elem = of_array;
	}
	elem = cu_type_info(check, g->elem);
	*ret_what = "type matched to anynonarray is an array type";
	if (g->nonarray && cu_type_info(check, cu_type_base(check, g->elem)).elem != 0)
		return false;
	*ret_what = "type matched to anyenum is not an enum type";
	if (g->is_enum && elem.typtype != 'e')
		return false;
	if (g->compatible_len > 0) {
		*ret_what = "arguments of anycompatible family cannot be cast to a common type";
		g->common = common_of(check, g->compatible, g->compatible_len);
		if (g->common == 0)
			return false;
		*ret_what = "type matched to anycompatiblenonarray is an array type";
		if (g->compatible_nonarray && cu_type_info(check, cu_type_base(check, g->common)).elem != 0)
			return false;
	}
	return true;
}

bool cu_generic_consistent(const struct cu_check *check, unsigned len, const uint32_t *actual, const uint32_t *declared)
{
	struct generic g = { 0 };
	const char *what;

	return generic_collect(check, len, actual, declared, &g, &what) && generic_settle(check, &g, &what);
}

static uint32_t generic_replace(const struct cu_check *check, const struct generic *g, uint32_t type)
{
	switch (type) {
	case CU_ANYELEMENTOID:
	case CU_ANYNONARRAYOID:
	case CU_ANYENUMOID: return g->elem;
	case CU_ANYARRAYOID: return g->array != 0 ? g->array : cu_type_info(check, g->elem).array;
	case CU_ANYCOMPATIBLEOID:
	case CU_ANYCOMPATIBLENONARRAYOID: return g->common;
	case CU_ANYCOMPATIBLEARRAYOID: return cu_type_info(check, g->common).array;
	default: return is_range(type) ? 0 : type;
	}
}

uint32_t cu_generic_enforce(struct cu_check *check, const uint32_t *actual, uint32_t *declared, unsigned len,
			    uint32_t ret_type, int at)
{
	struct generic g = { 0 };
	const char *what = "";
	bool any = cu_is_polymorphic(ret_type);
	uint32_t ret;

	for (unsigned i = 0; i < len; i++)
		any |= cu_is_polymorphic(declared[i]);
	if (!any)
		return ret_type;
	if (!generic_collect(check, len, actual, declared, &g, &what) || !generic_settle(check, &g, &what)) {
		cu_check_fail(check, "42804", at, "%s", what);
		return 0;
	}
	if (g.simple && g.elem == 0) {
		cu_check_fail(check, "42804", at,
			      "could not determine polymorphic type because input has type unknown");
		return 0;
	}
	if (g.compatibles && g.common == 0)
		g.common = CU_TEXTOID;
	for (unsigned i = 0; i < len; i++) {
		bool range = is_range(declared[i]);
		const char *name = g.elem != 0 ? cu_type_format(check, declared[i]) : "";

		declared[i] = generic_replace(check, &g, declared[i]);
		if (declared[i] == 0 && range) {
			cu_check_fail(check, "42804", at,
				      "could not determine polymorphic type %s%sbecause input has type unknown", name,
				      *name ? " " : "");
			return 0;
		}
		if (declared[i] == 0)
			break;
	}
	ret = generic_replace(check, &g, ret_type);
	for (unsigned i = 0; i < len; i++)
		ret = declared[i] == 0 ? 0 : ret;
	if (ret == 0)
		cu_check_no_array(check, g.elem != 0 ? g.elem : g.common, at);
	return ret;
}
