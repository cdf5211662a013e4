/* Constant folding as the planner does it (eval_const_expressions): the same parts are computed beforehand, in the same order, and an
 * error there is an error of the clause, whatever the rows. What hangs on settings (stable) is left to the rows, as in Postgres. */
#include "expr/program.h"

#include "value/array.h"

static struct cu_node *bool_const(struct cu_check *check, bool is_null, bool value, int at)
{
	return cu_node_const(check, CU_BOOLOID, -1, (struct cu_datum){ .is_null = is_null, .boolean = value }, at);
}

/* The constant under COLLATE, which no longer matters to it. */
static const struct cu_node *as_const(const struct cu_node *node)
{
	while (node != NULL && (node->known != NULL || node->kind == CU_NODE_COLLATE))
		node = node->known != NULL ? node->known : node->args[0];
	return node != NULL && node->kind == CU_NODE_CONST ? node : NULL;
}

/*
 * Collations were settled before anything is folded, and reading the folded tree's SQL again must settle them alike. So
 * what stands for node later must have node's collation, of the same strength: an explicit one is written out again; an
 * implicit one that came from a part which would be lost cannot be written, and node stays as it is.
 */
static bool is_alike(const struct cu_node *node, const struct cu_node *other)
{
	return node->collation == other->collation && node->strength == other->strength;
}

static struct cu_node *in_place_of(struct cu_check *check, struct cu_node *node, struct cu_node *other)
{
	struct cu_node *collate;

	if (is_alike(node, other))
		return other;
	if (node->strength != CU_STRENGTH_EXPLICIT) {
		node->known = other; /* as which it is evaluated all the same */
		return node;
	}
	collate = cu_node_new(check, CU_NODE_COLLATE, node->type, node->at, 1);
	if (collate == NULL)
		return NULL;
	collate->args[0] = other;
	collate->collation = node->collation;
	collate->strength = node->strength;
	collate->collated = true;
	collate->folded = collate;
	return cu_node_done(check, collate);
}

/* Functions read an integer through the C type of its SQL type; a constant that was cast between such types is written out, and so
 * must be what it is read as. */
static struct cu_datum as_integer(uint32_t type, struct cu_datum value)
{
	if (value.is_null)
		return value;
	if (type == CU_INT4OID)
		value.integer = (int32_t)value.integer;
	else if (type == CU_OIDOID)
		value.integer = (uint32_t)value.integer;
	return value;
}

static struct cu_node *replaced(struct cu_check *check, struct cu_node *node, struct cu_datum value)
{
	struct cu_node *constant =
		cu_node_const(check, node->type, node->typmod, as_integer(node->type, value), node->at);

	if (constant == NULL)
		return NULL;
	constant->collation = cu_type_collation(check, node->type);
	constant->strength = constant->collation != NULL ? CU_STRENGTH_IMPLICIT : CU_STRENGTH_NONE;
	constant->collated = true;
	constant->folded = constant;
	node->known = constant;
	return in_place_of(check, node, constant);
}

/* node with other arguments, fewer than it had. */
static struct cu_node *with_args(struct cu_check *check, struct cu_node *node, struct cu_node *const *args,
				 unsigned len)
{
	struct cu_node shadow = *node;

	shadow.args = (struct cu_node **)args;
	shadow.args_len = len;
	shadow.collated = false;
	if (!cu_collate(check, &shadow))
		return NULL;
	if (!is_alike(node, &shadow) && node->strength != CU_STRENGTH_EXPLICIT) {
		struct cu_node *known = cu_node_new(check, (enum cu_node_kind)node->kind, node->type, node->at, len);

		if (known == NULL)
			return NULL;
		memcpy(known->args, args, len * sizeof *args);
		known->sub = node->sub;
		known->ref = node; /* to which its slots refer */
		node->known = cu_node_done(check, known);
		return node->known == NULL ? NULL : node;
	}
	/* In place: slots refer to this very node. */
	memcpy(node->args, args, len * sizeof *args);
	node->args_len = len;
	if (is_alike(node, &shadow))
		return node;
	shadow = *node;
	node->collation = NULL; /* what it has by itself no longer matters under the COLLATE */
	node->strength = CU_STRENGTH_NONE;
	return in_place_of(check, &shadow, node);
}

static struct cu_node *evaluated(struct cu_check *check, struct cu_node *node)
{
	struct cu_value_error verr = { 0 };
	const struct cu_datum *consts;
	struct cu_datum value;
	struct cu_run run = { .arena = check->arena, .err = &verr };
	cu_program *program = cu_program_new(check, node, &consts);
	int rc;

	if (program == NULL)
		return NULL;
	run.program = program;
	run.consts = consts;
	rc = cu_program_run(&run, &value);
	cu_program_unref(&program);
	if (rc < 0)
		return cu_check_value_error(check, rc, -1, &verr);
	return replaced(check, node, value);
}

static bool fold_args(struct cu_check *check, struct cu_node *node, unsigned from)
{
	for (unsigned i = from; i < node->args_len; i++) {
		if (node->args[i] == NULL)
			continue;
		node->args[i] = cu_fold(check, node->args[i]);
		if (node->args[i] == NULL)
			return false;
	}
	return true;
}

static bool all_const(const struct cu_node *node, unsigned len)
{
	for (unsigned i = 0; i < len; i++) {
		if (node->args[i] != NULL && as_const(node->args[i]) == NULL)
			return false;
	}
	return true;
}

static bool is_immutable(const struct cu_check *check, const struct cu_node *node)
{
	return node->proc == NULL || cu_catalog_volatility(node->proc, check->scope->pg_version) == 'i';
}

static struct cu_node *fold_call(struct cu_check *check, struct cu_node *node)
{
	if (!fold_args(check, node, 0))
		return NULL;
	/* A strict function is not called at all when an argument is NULL. */
	for (unsigned i = 0; node->kind == CU_NODE_CALL && node->proc->strict && i < node->args_len; i++) {
		const struct cu_node *arg = as_const(node->args[i]);

		if (arg != NULL && arg->value.is_null)
			return replaced(check, node, CU_DATUM_NULL);
	}
	/* If either is NULL they are not equal. */
	for (unsigned i = 0; node->kind == CU_NODE_NULLIF && i < 2; i++) {
		const struct cu_node *arg = as_const(node->args[i]);

		if (arg != NULL && arg->value.is_null)
			return in_place_of(check, node, node->args[0]);
	}
	if (!is_immutable(check, node) || !all_const(node, node->args_len))
		return node;
	return evaluated(check, node);
}

/* Casts through text are immutable where both types' text forms are; where settings have a say they stay. */
static bool io_is_immutable(const struct cu_check *check, uint32_t oid, bool is_out)
{
	struct cu_tinfo info = cu_type_info(check, oid);

	switch (info.elem != 0 ? info.elem : oid) {
	case CU_TIMEOID:
	case CU_TIMETZOID: return is_out && info.elem == 0;
	case CU_DATEOID:
	case CU_TIMESTAMPOID:
	case CU_TIMESTAMPTZOID: return false;
	case CU_INTERVALOID: return is_out && info.elem == 0 && check->scope->pg_version < 15;
	default:
		/* array_in, array_out and enum's functions are declared stable. */
		return info.elem == 0 && info.typtype != 'e';
	}
}

static struct cu_node *fold_io(struct cu_check *check, struct cu_node *node)
{
	struct cu_node shadow;

	if (!fold_args(check, node, 0))
		return NULL;
	node->stable |= !io_is_immutable(check, node->type, false) ||
			!io_is_immutable(check, cu_type_base(check, node->args[0]->type), true);
	if (as_const(node->args[0]) != NULL && as_const(node->args[0])->value.is_null)
		return replaced(check, node, CU_DATUM_NULL);
	if (as_const(node->args[0]) != NULL && !node->stable)
		return evaluated(check, node);
	if (node->args[0]->kind != CU_NODE_COLLATE)
		return node;
	/* Which folding has made: a COLLATE is outside of the cast, or nowhere (cu_coerce()). */
	shadow = *node;
	node->args[0] = node->args[0]->args[0];
	node->collation = NULL;
	node->strength = CU_STRENGTH_NONE;
	return cu_type_info(check, node->type).collation == 0 ? node : in_place_of(check, &shadow, node);
}

/* ROW(a, b) IS NULL. Of a row that is a constant the planner leaves the test to the rows, though its answer is known; for
 * what is then not computed beforehand there is no other way to write it. */
static bool fold_row_test(struct cu_check *check, struct cu_node *node)
{
	bool constant = true;

	for (unsigned i = 0; i < node->args_len; i++) {
		if (!fold_args(check, node->args[i], 0))
			return false;
		constant &= all_const(node->args[i], 1);
	}
	if (constant)
		cu_check_fail(check, "0A000", node->at, "IS NULL of a row of constants is not supported");
	return !constant;
}

/* What is left of an AND or OR, and of those within it. */
struct flat {
	struct cu_node **list;
	size_t len, cap;
	bool seen_null, decided;
};

static bool flat_add(struct cu_check *check, struct flat *flat, struct cu_node *node)
{
	if (flat->len == flat->cap) {
		size_t cap = flat->cap * 2 + 8;
		struct cu_node **list = cu_check_alloc(check, cap * sizeof *list);

		if (list == NULL)
			return false;
		if (flat->len > 0)
			memcpy(list, flat->list, flat->len * sizeof *list);
		flat->list = list;
		flat->cap = cap;
	}
	flat->list[flat->len++] = node;
	return true;
}

/* Flat, as the planner has it: a AND (b AND c) is a AND b AND c, whether it was written so or comes of folding.
 * Arguments behind a deciding one are not even looked at. Recursion is bounded by the tree's levels. */
static bool flatten(struct cu_check *check, struct cu_node *node, struct flat *flat)
{
	bool deciding = node->kind == CU_NODE_OR;

	if (node->kind == CU_NODE_AND && node->sub && !fold_row_test(check, node))
		return false;
	for (unsigned i = 0; i < node->args_len && !flat->decided; i++) {
		struct cu_node *arg = node->args[i];

		if (arg->kind != node->kind)
			arg = cu_fold(check, arg);
		if (arg == NULL)
			return false;
		if (arg->kind == node->kind) {
			if (!flatten(check, arg, flat))
				return false;
		} else if (arg->kind != CU_NODE_CONST) {
			if (!flat_add(check, flat, arg))
				return false;
		} else if (arg->value.is_null) {
			flat->seen_null = true;
		} else {
			flat->decided |= arg->value.boolean == deciding;
		}
	}
	return true;
}

static struct cu_node *fold_bool(struct cu_check *check, struct cu_node *node)
{
	bool deciding = node->kind == CU_NODE_OR;
	struct flat flat = { 0 };
	struct cu_node *result;

	if (!flatten(check, node, &flat))
		return NULL;
	if (flat.decided)
		return bool_const(check, false, deciding, node->at);
	if (flat.len == 0)
		return bool_const(check, flat.seen_null, !deciding, node->at);
	if (flat.len == 1 && !flat.seen_null)
		return flat.list[0];
	result = cu_node_new(check, node->kind, CU_BOOLOID, node->at, (unsigned)flat.len + flat.seen_null);
	if (result == NULL)
		return NULL;
	memcpy(result->args, flat.list, flat.len * sizeof *flat.list);
	if (flat.seen_null) {
		result->args[flat.len] = bool_const(check, true, false, node->at);
		if (result->args[flat.len] == NULL)
			return NULL;
	}
	return cu_node_done(check, result);
}

/* Whether its collation is that of its type anyway. */
static bool is_plain(const struct cu_check *check, const struct cu_node *node)
{
	return node->collation == cu_type_collation(check, node->type);
}

/* CASE: what cannot be chosen is dropped unseen. */
static struct cu_node *fold_case(struct cu_check *check, struct cu_node *node)
{
	unsigned first = node->sub, n = first;
	struct cu_node *result;

	if (first && (node->args[0] = cu_fold(check, node->args[0])) == NULL)
		return NULL;
	result = cu_node_new(check, CU_NODE_CASE, node->type, node->at, node->args_len);
	if (result == NULL)
		return NULL;
	result->args[0] = node->args[0];
	for (unsigned i = first; i < node->args_len; i += 2) {
		bool is_else = i + 1 == node->args_len;
		struct cu_node *test = is_else ? NULL : cu_fold(check, node->args[i]), *then;
		const struct cu_node *constant;

		if (!is_else && test == NULL)
			return NULL;
		constant = as_const(test);
		if (constant != NULL && (constant->value.is_null || !constant->value.boolean))
			continue;
		then = cu_fold(check, node->args[is_else ? i : i + 1]);
		if (then == NULL)
			return NULL;
		if (is_else || constant != NULL) {
			if (n == first)
				return in_place_of(check, node, then);
			result->args[n++] = then;
			break;
		}
		result->args[n++] = test;
		result->args[n++] = then;
	}
	/* A constant arg is in every test by now, unless its collation keeps it from there. */
	if (first && as_const(node->args[0]) != NULL && is_plain(check, node->args[0])) {
		struct cu_node *folded;

		node->sub = 0;
		folded = with_args(check, node, result->args + 1, n - 1);
		if (node->args_len != n - 1)
			node->sub = 1; /* it has stayed as it was */
		return folded;
	}
	return with_args(check, node, result->args, n);
}

static struct cu_node *fold_slot(struct cu_check *check, struct cu_node *node)
{
	const struct cu_node *arg;

	if (node->ref->kind != CU_NODE_CASE)
		return node;
	arg = as_const(node->ref->args[0]);
	if (arg == NULL)
		return node;
	if (is_plain(check, node->ref->args[0]))
		return replaced(check, node, arg->value);
	node->known = (struct cu_node *)(uintptr_t)arg;
	return node;
}

static struct cu_node *fold_coalesce(struct cu_check *check, struct cu_node *node)
{
	struct cu_node **kept = cu_check_alloc(check, (node->args_len + 1) * sizeof *kept);
	unsigned len = 0;

	if (kept == NULL)
		return NULL;
	for (unsigned i = 0; i < node->args_len; i++) {
		struct cu_node *arg = cu_fold(check, node->args[i]);
		const struct cu_node *constant;

		if (arg == NULL)
			return NULL;
		constant = as_const(arg);
		if (constant != NULL && constant->value.is_null)
			continue;
		kept[len++] = arg;
		if (constant != NULL)
			break; /* what is behind is never reached */
	}
	if (len == 0)
		return replaced(check, node, CU_DATUM_NULL);
	return len == 1 ? in_place_of(check, node, kept[0]) : with_args(check, node, kept, len);
}

/* Everything else that has a value as soon as its arguments have. */
static struct cu_node *fold_plain(struct cu_check *check, struct cu_node *node)
{
	if (!fold_args(check, node, 0))
		return NULL;
	if (!is_immutable(check, node) || !all_const(node, node->args_len))
		return node;
	return evaluated(check, node);
}

/* NULL is distinct from all but NULL, whatever the operator: also one that is left to the rows. */
static struct cu_node *fold_distinct(struct cu_check *check, struct cu_node *node)
{
	const struct cu_node *left, *right;
	bool distinct;

	if (!fold_args(check, node, 0))
		return NULL;
	left = as_const(node->args[0]);
	right = as_const(node->args[1]);
	if (left == NULL || right == NULL || (!left->value.is_null && !right->value.is_null))
		return fold_plain(check, node);
	distinct = left->value.is_null != right->value.is_null;
	return bool_const(check, false, distinct != (node->sub != 0), node->at);
}

/* Of what happens to an array's element: fold_io() has told which casts are. */
static bool is_stable(const struct cu_node *node)
{
	bool stable = node->stable;

	for (unsigned i = 0; i < node->args_len && !stable; i++)
		stable = node->args[i] != NULL && is_stable(node->args[i]);
	return stable;
}

/* A modifier that the argument has by now, whatever it had when the cast was made. */
static struct cu_node *fold_typmod(struct cu_check *check, struct cu_node *node)
{
	struct cu_node *folded = fold_plain(check, node);

	if (folded == NULL || folded->kind != CU_NODE_TYPMOD || folded->args[0]->type != folded->type ||
	    folded->args[0]->typmod != folded->typmod)
		return folded;
	return in_place_of(check, folded, folded->args[0]);
}

static struct cu_node *fold_map(struct cu_check *check, struct cu_node *node)
{
	node->args[0] = cu_fold(check, node->args[0]);
	if (node->args[0] == NULL)
		return NULL;
	node->args[1] = cu_fold(check, node->args[1]);
	if (node->args[1] == NULL)
		return NULL;
	if (as_const(node->args[0]) == NULL || is_stable(node->args[1]))
		return node;
	return evaluated(check, node);
}

/* The pairs stay pairs; what they compare is folded, they themselves are not: the planner does not either. */
static struct cu_node *fold_rowcmp(struct cu_check *check, struct cu_node *node)
{
	/* The left row, then the right one. */
	for (unsigned side = 0; side < 2; side++) {
		for (unsigned i = 0; i < node->args_len; i++) {
			struct cu_node *pair = node->args[i];

			pair->args[side] = cu_fold(check, pair->args[side]);
			if (pair->args[side] == NULL)
				return NULL;
		}
	}
	return node;
}

/* Upper bounds, lower bounds, then the array: as the planner walks them. */
static struct cu_node *fold_subscript(struct cu_check *check, struct cu_node *node)
{
	unsigned step = node->kind == CU_NODE_SLICE ? 2 : 1;

	for (unsigned first = step; first > 0; first--) {
		for (unsigned i = first; i < node->args_len; i += step) {
			if (node->args[i] != NULL && (node->args[i] = cu_fold(check, node->args[i])) == NULL)
				return NULL;
		}
	}
	return fold_plain(check, node);
}

static struct cu_node *fold_collate(struct cu_check *check, struct cu_node *node)
{
	struct cu_node *arg = cu_fold(check, node->args[0]);

	if (arg == NULL)
		return NULL;
	/* Of several, the outermost counts. */
	while (arg->kind == CU_NODE_COLLATE)
		arg = arg->args[0];
	node->args[0] = arg;
	return node;
}

static struct cu_node *fold_node(struct cu_check *check, struct cu_node *node)
{
	switch (node->kind) {
	case CU_NODE_COLUMN:
	case CU_NODE_CONST: return node;
	case CU_NODE_CALL:
	case CU_NODE_NULLIF: return fold_call(check, node);
	case CU_NODE_DISTINCT: return fold_distinct(check, node);
	case CU_NODE_IO: return fold_io(check, node);
	case CU_NODE_AND:
	case CU_NODE_OR: return fold_bool(check, node);
	case CU_NODE_CASE: return fold_case(check, node);
	case CU_NODE_SLOT: return fold_slot(check, node);
	case CU_NODE_COALESCE: return fold_coalesce(check, node);
	case CU_NODE_MAP: return fold_map(check, node);
	case CU_NODE_TYPMOD: return fold_typmod(check, node);
	case CU_NODE_COLLATE: return fold_collate(check, node);
	case CU_NODE_ROWCMP: return fold_rowcmp(check, node);
	case CU_NODE_ELEMENT:
	case CU_NODE_SLICE: return fold_subscript(check, node);
	default: return fold_plain(check, node);
	}
}

struct cu_node *cu_fold(struct cu_check *check, struct cu_node *node)
{
	if (node->folded == NULL) {
		struct cu_node *folded;

		for (unsigned i = 0; i < node->folds_first_len; i++) {
			if (cu_fold(check, node->folds_first[i]) == NULL)
				return NULL;
		}
		folded = fold_node(check, node);
		if (folded == NULL)
			return NULL;
		for (unsigned i = 0; i < folded->args_len; i++)
			folded->stable |= folded->args[i] != NULL && folded->args[i]->stable;
		node->folded = folded;
		folded->folded = folded;
	}
	return node->folded;
}
