/* Postgres' rules of coercion (parse_coerce.c): which type becomes which, where, and by what. */
#include "expr/tree.h"

struct cu_tinfo cu_type_info(const struct cu_check *check, uint32_t oid)
{
	struct cu_tinfo info = { 0 };

	cu_scope_type(check->scope, oid, &info);
	return info;
}

const char *cu_type_format(const struct cu_check *check, uint32_t oid)
{
	const char *format = cu_type_info(check, oid).format;

	return format == NULL ? "???" : format;
}

uint32_t cu_type_base(const struct cu_check *check, uint32_t oid)
{
	uint32_t base = oid > UINT16_MAX ? cu_type_info(check, oid).base : 0;

	return base != 0 ? base : oid;
}

void *cu_check_no_array(struct cu_check *check, uint32_t oid, int at)
{
	if (cu_type_base(check, oid) != oid)
		return cu_check_fail(check, "0A000", at, "arrays of domain %s are not supported in where clauses",
				     cu_type_format(check, oid));
	return cu_check_fail(check, "42704", at, "could not find array type for data type %s",
			     cu_type_format(check, oid));
}

static bool is_vector(uint32_t oid)
{
	return oid == CU_INT2VECTOROID || oid == CU_OIDVECTOROID;
}

enum cu_path cu_coercion_path(const struct cu_check *check, uint32_t target, uint32_t source, enum cu_coercion context,
			      const struct cu_catalog_proc **ret_proc)
{
	const struct cu_catalog_cast *cast = NULL;
	struct cu_tinfo from, to;

	*ret_proc = NULL;
	source = cu_type_base(check, source);
	if (target == source)
		return CU_PATH_RELABEL;
	if (target <= UINT16_MAX && source <= UINT16_MAX)
		cast = cu_catalog_cast(source, target);
	if (cast != NULL) {
		enum cu_coercion needs = cast->context == 'i'   ? CU_COERCE_IMPLICIT
					 : cast->context == 'a' ? CU_COERCE_ASSIGNMENT
								: CU_COERCE_EXPLICIT;

		if (context < needs)
			return CU_PATH_NONE;
		switch (cast->method) {
		case 'f': *ret_proc = cu_catalog_proc_at(cast->proc); return CU_PATH_CALL;
		case 'i': return CU_PATH_IO;
		default: return CU_PATH_RELABEL;
		}
	}
	from = cu_type_info(check, source);
	to = cu_type_info(check, target);
	if (from.elem != 0 && to.elem != 0 && !is_vector(target)) {
		const struct cu_catalog_proc *elem_proc;

		if (cu_coercion_path(check, to.elem, from.elem, context, &elem_proc) != CU_PATH_NONE)
			return CU_PATH_MAP;
	}
	if (context >= CU_COERCE_ASSIGNMENT && to.category == 'S')
		return CU_PATH_IO;
	if (context >= CU_COERCE_EXPLICIT && from.category == 'S')
		return CU_PATH_IO;
	return CU_PATH_NONE;
}

bool cu_can_coerce(const struct cu_check *check, unsigned len, const uint32_t *inputs, const uint32_t *targets,
		   enum cu_coercion context)
{
	const struct cu_catalog_proc *proc;
	bool generic = false;

	for (unsigned i = 0; i < len; i++) {
		if (inputs[i] == targets[i] || targets[i] == CU_ANYOID)
			continue;
		if (cu_is_polymorphic(targets[i])) {
			generic = true;
			continue;
		}
		if (inputs[i] == CU_UNKNOWNOID)
			continue;
		if (cu_coercion_path(check, targets[i], inputs[i], context, &proc) == CU_PATH_NONE)
			return false;
	}
	return !generic || cu_generic_consistent(check, len, inputs, targets);
}

/* Parameters get their values when the clause has been checked, in the order of their numbers: until then it is NULL. */
static void param_failed(struct cu_check *check, const struct cu_node *node, int rc, const struct cu_value_error *verr)
{
	if (check->bad_param != 0 && check->bad_param <= node->param)
		return;
	check->bad_param = node->param;
	check->bad_param_at = node->at;
	check->bad_param_rc = rc;
	check->bad_param_err = *verr;
}

/* Until 14, Postgres cut fractions of years where later versions round, and took only numbers up to 2^31. */
static bool is_old_interval(const struct cu_check *check, struct cu_tinfo type)
{
	return check->scope->pg_version < 15 && (type.oid == CU_INTERVALOID || type.elem == CU_INTERVALOID);
}

static bool is_read_alike(const char *text, size_t len)
{
	const char *end = text + len;
	bool is_fraction = false;
	uint64_t number = 0;

	for (const char *p = text; p < end; p++) {
		if (*p == '.') {
			is_fraction = true;
		} else if (*p >= '0' && *p <= '9') {
			number = number * 10 + (uint64_t)(*p - '0');
			if (!is_fraction && number > (uint64_t)INT32_MAX + 1)
				return false;
			continue;
		} else if (*p != ' ') {
			if (is_fraction && memchr("sS\",}", *p, 5) == NULL)
				return false;
			is_fraction = false;
		}
		number = 0;
	}
	return true;
}

/* A literal, or a parameter, gets its type. */
static struct cu_node *literal_typed(struct cu_check *check, struct cu_node *node, uint32_t target, int32_t typmod)
{
	struct cu_tinfo to = cu_type_info(check, target);
	struct cu_value_error verr = { 0 };
	struct cu_datum value = CU_DATUM_NULL;
	int rc = 0;

	if (node->param != 0) {
		uint32_t *deduced = &check->param_types[node->param - 1];

		if (*deduced == CU_UNKNOWNOID)
			*deduced = target;
		else if (*deduced != target)
			return cu_check_fail(check, "42P08", node->at, "inconsistent types deduced for parameter $%u",
					     node->param);
		typmod = -1;
	}
	if (to.type == NULL)
		return cu_check_fail(check, "0A000", node->at, "type %s is not supported in where clauses",
				     cu_type_format(check, target));
	if (!node->value.is_null) {
		if (is_old_interval(check, to) && !is_read_alike(node->value.bytes, node->value.len))
			rc = cu_value_fail(&verr, "0A000",
					   "fractions of units other than seconds, and numbers beyond 2147483648, are "
					   "supported in intervals with Postgres 15 and newer only");
		else
			rc = cu_value_in(to.type, typmod, node->value.bytes, node->value.len, check->arena, &value,
					 &verr);
		if (rc < 0 && node->param == 0)
			return cu_check_value_error(check, rc, node->at, &verr);
		if (rc < 0)
			param_failed(check, node, rc, &verr);
	}
	if (node->param != 0) {
		/* Whoever else holds this use of the parameter sees it typed, as in Postgres. */
		node->type = target;
		node->typmod = typmod;
		node->value = rc < 0 ? CU_DATUM_NULL : value;
		return node;
	}
	return cu_node_const(check, target, typmod, value, node->at);
}

static struct cu_node *slot_new(struct cu_check *check, uint32_t type, const struct cu_node *owner)
{
	struct cu_node *slot = cu_node_new(check, CU_NODE_SLOT, type, -1, 0);

	if (slot != NULL)
		slot->ref = owner;
	return slot;
}

/* A cast of an array: what happens to each element is an expression over a slot. */
static struct cu_node *map_new(struct cu_check *check, struct cu_node *array, uint32_t target, int32_t typmod,
			       enum cu_coercion context, int at)
{
	uint32_t from = cu_type_info(check, cu_type_base(check, array->type)).elem;
	uint32_t to = cu_type_info(check, target).elem;
	struct cu_node *map = cu_node_new(check, CU_NODE_MAP, target, at, 2);
	struct cu_node *elem;

	if (map == NULL)
		return NULL;
	map->own_at = at;
	map->typmod = typmod;
	map->args[0] = array;
	elem = slot_new(check, from, map);
	if (elem == NULL)
		return NULL;
	elem->at = at;
	map->args[1] = cu_coerce_to(check, elem, to, typmod, context, at);
	if (map->args[1] == NULL)
		return check->rc < 0 ? NULL
				     : cu_check_fail(check, "42846", at, "cannot cast type %s to %s",
						     cu_type_format(check, array->type), cu_type_format(check, target));
	/* Nothing to do for the elements: the same bytes under another type. */
	if (map->args[1] == elem || (map->args[1]->kind == CU_NODE_RELABEL && map->args[1]->args[0] == elem &&
				     from != CU_OIDOID && to != CU_OIDOID)) {
		struct cu_node *relabel = cu_node_new(check, CU_NODE_RELABEL, target, array->at, 1);

		if (relabel == NULL)
			return NULL;
		relabel->args[0] = array;
		return cu_node_done(check, relabel);
	}
	return cu_node_done(check, map);
}

struct cu_node *cu_coerce(struct cu_check *check, struct cu_node *node, uint32_t target, int32_t typmod,
			  enum cu_coercion context, int at)
{
	const struct cu_catalog_proc *proc;
	struct cu_node *to;

	if (node->type == target || target == CU_ANYOID || cu_is_polymorphic(target))
		return node;
	if (node->kind == CU_NODE_CONST && node->type == CU_UNKNOWNOID)
		return literal_typed(check, node, target, target == CU_INTERVALOID ? typmod : -1);
	if (node->kind == CU_NODE_COLLATE) {
		to = cu_node_new(check, CU_NODE_COLLATE, target, node->at, 1);
		if (to == NULL)
			return NULL;
		to->args[0] = cu_coerce(check, node->args[0], target, typmod, context, at);
		to->collation = node->collation;
		to->own_at = node->own_at;
		if (to->args[0] == NULL)
			return NULL;
		/* The type may have no collation any more. */
		if (cu_type_info(check, target).collation == 0)
			return to->args[0];
		return cu_node_done(check, to);
	}
	switch (cu_coercion_path(check, target, node->type, context, &proc)) {
	case CU_PATH_RELABEL: to = cu_node_new(check, CU_NODE_RELABEL, target, node->at, 1); break;
	case CU_PATH_IO:
		if (is_old_interval(check, cu_type_info(check, target)))
			return cu_check_fail(check, "0A000", at,
					     "the cast from %s to %s is supported with Postgres 15 and newer only",
					     cu_type_format(check, node->type), cu_type_format(check, target));
		to = cu_node_new(check, CU_NODE_IO, target, node->at, 1);
		break;
	case CU_PATH_MAP: return map_new(check, node, target, -1, context, node->at);
	case CU_PATH_CALL:
		if (proc->args_len != 1)
			return cu_check_fail(check, "0A000", at, "the cast from %s to %s is not supported",
					     cu_type_format(check, node->type), cu_type_format(check, target));
		if (*cu_catalog_string(proc->prosrc) == 0) {
			to = cu_check_body(check, cu_catalog_string(proc->body), &node, 1);
			return to == NULL ? NULL : cu_coerce(check, to, target, -1, context, at);
		}
		to = cu_node_new(check, CU_NODE_CALL, target, node->at, 1);
		if (to != NULL) {
			to->proc = proc;
			to->form = CU_FORM_CAST;
		}
		break;
	default:
		return cu_check_fail(check, "42846", at, "cannot cast type %s to %s", cu_type_format(check, node->type),
				     cu_type_format(check, target));
	}
	if (to == NULL)
		return NULL;
	to->args[0] = node;
	to->own_at = at;
	return cu_node_done(check, to);
}

static bool takes_typmod(uint32_t type)
{
	switch (type) {
	case CU_BPCHAROID:
	case CU_VARCHAROID:
	case CU_NUMERICOID:
	case CU_TIMEOID:
	case CU_TIMETZOID:
	case CU_TIMESTAMPOID:
	case CU_TIMESTAMPTZOID:
	case CU_INTERVALOID: return true;
	default: return false;
	}
}

struct cu_node *cu_coerce_to(struct cu_check *check, struct cu_node *node, uint32_t target, int32_t typmod,
			     enum cu_coercion context, int at)
{
	struct cu_node *typed, *cut;
	uint32_t elem;

	if (!cu_can_coerce(check, 1, &node->type, &target, context))
		return NULL;
	typed = cu_coerce(check, node, target, typmod, context, at);
	if (typed == NULL || typmod < 0 || typed->typmod == typmod)
		return typed;
	elem = cu_type_info(check, target).elem;
	if (elem != 0)
		return takes_typmod(elem) ? map_new(check, typed, target, typmod, context, typed->at) : typed;
	if (!takes_typmod(target))
		return typed;
	cut = cu_node_new(check, CU_NODE_TYPMOD, target, typed->at, 1);
	if (cut == NULL)
		return NULL;
	cut->args[0] = typed;
	cut->typmod = typmod;
	cut->sub = context == CU_COERCE_EXPLICIT;
	cut->own_at = at;
	return cu_node_done(check, cut);
}

uint32_t cu_common_type(struct cu_check *check, struct cu_node *const *nodes, unsigned len, const char *context)
{
	struct cu_tinfo best = cu_type_info(check, cu_type_base(check, nodes[0]->type));
	bool same = nodes[0]->type != CU_UNKNOWNOID;

	for (unsigned i = 1; i < len && same; i++)
		same = nodes[i]->type == nodes[0]->type;
	if (same)
		return nodes[0]->type;
	for (unsigned i = 1; i < len; i++) {
		struct cu_tinfo next = cu_type_info(check, cu_type_base(check, nodes[i]->type));

		if (next.oid == CU_UNKNOWNOID || next.oid == best.oid)
			continue;
		if (best.oid == CU_UNKNOWNOID) {
			best = next;
		} else if (next.category != best.category) {
			if (context != NULL)
				cu_check_fail(check, "42804", nodes[i]->at, "%s types %s and %s cannot be matched",
					      context, cu_type_format(check, best.oid),
					      cu_type_format(check, next.oid));
			return 0;
		} else if (!best.preferred && cu_can_coerce(check, 1, &best.oid, &next.oid, CU_COERCE_IMPLICIT) &&
			   !cu_can_coerce(check, 1, &next.oid, &best.oid, CU_COERCE_IMPLICIT)) {
			best = next;
		}
	}
	return best.oid == CU_UNKNOWNOID ? CU_TEXTOID : best.oid;
}

struct cu_node *cu_coerce_common(struct cu_check *check, struct cu_node *node, uint32_t target, const char *context)
{
	if (node->type == target)
		return node;
	if (!cu_can_coerce(check, 1, &node->type, &target, CU_COERCE_IMPLICIT))
		return cu_check_fail(check, "42846", node->at, "%s could not convert type %s to %s", context,
				     cu_type_format(check, node->type), cu_type_format(check, target));
	return cu_coerce(check, node, target, -1, CU_COERCE_IMPLICIT, node->at);
}
