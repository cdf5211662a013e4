/* CASE, COALESCE, GREATEST, LEAST, ARRAY[…] and subscripts. */
#include "expr/tree.h"

#include "value/array.h"

static void start_leftmost(struct cu_node *node, int at)
{
	node->at = at;
	for (unsigned i = 0; i < node->args_len; i++) {
		if (node->args[i] != NULL && node->args[i]->at >= 0 && node->args[i]->at < node->at)
			node->at = node->args[i]->at;
	}
}

/* The type modifier that all of them have. */
static int32_t common_typmod(struct cu_node *const *nodes, unsigned len)
{
	for (unsigned i = 1; i < len; i++) {
		if (nodes[i]->typmod != nodes[0]->typmod)
			return -1;
	}
	return nodes[0]->typmod;
}

static struct cu_node *check_when(struct cu_check *check, struct cu_node *node, const PgQuery__CaseWhen *when)
{
	struct cu_node *test = cu_check_expr(check, when->expr), *slot;

	if (test == NULL)
		return NULL;
	if (node->sub) {
		/* CASE arg WHEN value: arg = value, arg taken once. */
		slot = cu_node_new(check, CU_NODE_SLOT, node->args[0]->type, -1, 0);
		if (slot == NULL)
			return NULL;
		slot->typmod = node->args[0]->typmod;
		slot->ref = node;
		slot->has_column = node->args[0]->has_column;
		test = cu_make_op(check, NULL, "=", slot, test, when->location);
		if (test == NULL)
			return NULL;
	}
	return cu_check_boolean(check, test, "CASE/WHEN");
}

struct cu_node *cu_check_case(struct cu_check *check, const PgQuery__CaseExpr *raw)
{
	bool has_arg = raw->arg != NULL;
	unsigned n = has_arg, results_len = (unsigned)raw->n_args + 1;
	struct cu_node *node = cu_node_new(check, CU_NODE_CASE, 0, raw->location, n + (unsigned)raw->n_args * 2 + 1);
	struct cu_node **results = cu_check_alloc(check, results_len * sizeof *results);

	if (node == NULL || results == NULL)
		return NULL;
	node->sub = has_arg;
	if (has_arg) {
		node->args[0] = cu_check_expr(check, raw->arg);
		if (node->args[0] != NULL && node->args[0]->type == CU_UNKNOWNOID)
			node->args[0] = cu_coerce_common(check, node->args[0], CU_TEXTOID, "CASE");
		if (node->args[0] == NULL)
			return NULL;
	}
	for (size_t i = 0; i < raw->n_args; i++) {
		const PgQuery__CaseWhen *when = raw->args[i]->case_when;

		node->args[n] = check_when(check, node, when);
		if (node->args[n++] == NULL)
			return NULL;
		node->args[n] = results[i + 1] = cu_check_expr(check, when->result);
		if (node->args[n++] == NULL)
			return NULL;
	}
	if (raw->defresult != NULL)
		results[0] = cu_check_expr(check, raw->defresult);
	else
		results[0] = cu_node_const(check, CU_UNKNOWNOID, -1, CU_DATUM_NULL, -1);
	node->args[n] = results[0];
	if (results[0] == NULL)
		return NULL;
	/* Postgres looks at the default first. */
	node->type = cu_common_type(check, results, results_len, "CASE");
	if (node->type == 0)
		return NULL;
	node->args[n] = cu_coerce_common(check, node->args[n], node->type, "CASE/ELSE");
	if (node->args[n] == NULL)
		return NULL;
	for (unsigned i = has_arg + 1; i < n; i += 2) {
		node->args[i] = cu_coerce_common(check, node->args[i], node->type, "CASE/WHEN");
		if (node->args[i] == NULL)
			return NULL;
	}
	node->typmod = node->args[n]->typmod;
	for (unsigned i = has_arg + 1; i < n; i += 2)
		node->typmod = node->args[i]->typmod == node->typmod ? node->typmod : -1;
	return cu_node_done(check, node);
}

/* The arguments of COALESCE and its like, under one type. */
static struct cu_node *check_alike(struct cu_check *check, enum cu_node_kind kind, PgQuery__Node *const *raw,
				   size_t len, const char *name, int at)
{
	struct cu_node *node = cu_node_new(check, kind, 0, at, (unsigned)len);

	if (node == NULL)
		return NULL;
	for (unsigned i = 0; i < node->args_len; i++) {
		node->args[i] = cu_check_expr(check, raw[i]);
		if (node->args[i] == NULL)
			return NULL;
	}
	node->type = cu_common_type(check, node->args, node->args_len, name);
	if (node->type == 0)
		return NULL;
	for (unsigned i = 0; i < node->args_len; i++) {
		node->args[i] = cu_coerce_common(check, node->args[i], node->type, name);
		if (node->args[i] == NULL)
			return NULL;
	}
	node->typmod = common_typmod(node->args, node->args_len);
	start_leftmost(node, at);
	return cu_node_done(check, node);
}

struct cu_node *cu_check_coalesce(struct cu_check *check, const PgQuery__CoalesceExpr *raw)
{
	return check_alike(check, CU_NODE_COALESCE, raw->args, raw->n_args, "COALESCE", raw->location);
}

struct cu_node *cu_check_minmax(struct cu_check *check, const PgQuery__MinMaxExpr *raw)
{
	bool least = raw->op == PG_QUERY__MIN_MAX_OP__IS_LEAST;
	struct cu_node *node =
		check_alike(check, CU_NODE_MINMAX, raw->args, raw->n_args, least ? "LEAST" : "GREATEST", raw->location);
	struct cu_tinfo info;

	if (node == NULL)
		return NULL;
	node->sub = least;
	info = cu_type_info(check, node->type);
	if (info.type == NULL)
		return cu_check_fail(check, "0A000", raw->location, "type %s is not supported in where clauses",
				     info.format);
	return node;
}

/* The types of an ARRAY[…] whose type was not given. */
static bool array_types(struct cu_check *check, const struct cu_node *node, uint32_t *array, uint32_t *elem,
			uint32_t *each)
{
	if (node->args_len == 0) {
		cu_check_fail(check, "42P18", node->at, "cannot determine type of empty array");
		return false;
	}
	*each = cu_common_type(check, node->args, node->args_len, "ARRAY");
	if (*each == 0)
		return false;
	if (node->sub) {
		*array = *each;
		*elem = cu_type_info(check, *array).elem;
		if (*elem == 0)
			cu_check_fail(check, "42704", node->at, "could not find element type for data type %s",
				      cu_type_format(check, *array));
		return *elem != 0;
	}
	*elem = *each;
	*array = cu_type_info(check, *elem).array;
	if (*array == 0)
		cu_check_no_array(check, *elem, node->at);
	return *array != 0;
}

/* The recursion is bounded as cu_check_expr's. */
static struct cu_node *check_array(struct cu_check *check, const PgQuery__AArrayExpr *raw, uint32_t array,
				   uint32_t elem, int32_t typmod)
{
	struct cu_node *node = cu_node_new(check, CU_NODE_ARRAY, array, raw->location, (unsigned)raw->n_elements);
	bool hard = array != 0;
	uint32_t each;

	if (node == NULL)
		return NULL;
	for (unsigned i = 0; i < node->args_len; i++) {
		const PgQuery__Node *e = raw->elements[i];

		node->args[i] = e->node_case == PG_QUERY__NODE__NODE_A_ARRAY_EXPR
					? cu_check_array(check, e->a_array_expr, array, elem, typmod)
					: cu_check_expr(check, e);
		if (node->args[i] == NULL)
			return NULL;
		if (e->node_case == PG_QUERY__NODE__NODE_A_ARRAY_EXPR || cu_type_info(check, node->args[i]->type).elem)
			node->sub = 1;
	}
	each = node->sub ? array : elem;
	if (!hard && !array_types(check, node, &array, &elem, &each))
		return NULL;
	node->type = array;
	node->typmod = hard ? typmod : -1;
	for (unsigned i = 0; i < node->args_len; i++) {
		struct cu_node *e = node->args[i];

		node->args[i] = hard ? cu_coerce_to(check, e, each, typmod, CU_COERCE_EXPLICIT, e->at)
				     : cu_coerce_common(check, e, each, "ARRAY");
		if (node->args[i] == NULL)
			return cu_check_fail(check, "42846", e->at, "cannot cast type %s to %s",
					     cu_type_format(check, e->type), cu_type_format(check, each));
	}
	return cu_node_done(check, node);
}

struct cu_node *cu_check_array(struct cu_check *check, const PgQuery__AArrayExpr *raw, uint32_t array_type,
			       uint32_t elem_type, int32_t typmod)
{
	struct cu_node *node;

	if (check->depth >= CU_RAW_DEPTH_MAX)
		return cu_check_fail(check, "54001", raw->location, "the where clause is nested too deep");
	check->depth++;
	node = check_array(check, raw, array_type, elem_type, typmod);
	check->depth--;
	return node;
}

static struct cu_node *check_bound(struct cu_check *check, const PgQuery__Node *raw)
{
	struct cu_node *node = cu_check_expr(check, raw), *bound;

	if (node == NULL)
		return NULL;
	bound = cu_coerce_to(check, node, CU_INT4OID, -1, CU_COERCE_ASSIGNMENT, node->at);
	if (bound == NULL)
		return cu_check_fail(check, "42804", node->at, "array subscript must have type integer");
	return bound;
}

static struct cu_node *check_array_subscripts(struct cu_check *check, struct cu_node *base, PgQuery__Node *const *list,
					      unsigned len)
{
	struct cu_tinfo info = cu_type_info(check, cu_type_base(check, base->type));
	struct cu_node *node;
	bool slice = false;
	unsigned n = 1;

	for (unsigned i = 0; i < len; i++)
		slice |= list[i]->a_indices->is_slice;
	if (len > CU_ARRAY_NDIM_MAX)
		return cu_check_fail(check, "54000", -1,
				     "number of array dimensions (%u) exceeds the maximum allowed (%d)", len,
				     CU_ARRAY_NDIM_MAX);
	node = cu_node_new(check, slice ? CU_NODE_SLICE : CU_NODE_ELEMENT, slice ? info.oid : info.elem, base->at,
			   slice ? 1 + len * 2 : 1 + len);
	if (node == NULL)
		return NULL;
	node->args[0] = base;
	node->typmod = base->typmod;
	for (unsigned i = 0; i < len; i++) {
		const PgQuery__AIndices *index = list[i]->a_indices;

		if (slice) {
			/* Among slices, a plain subscript i means 1:i. */
			if (index->lidx != NULL)
				node->args[n] = check_bound(check, index->lidx);
			else if (!index->is_slice)
				node->args[n] =
					cu_node_const(check, CU_INT4OID, -1, (struct cu_datum){ .integer = 1 }, -1);
			if (check->rc < 0)
				return NULL;
			n++;
		}
		if (index->uidx != NULL)
			node->args[n] = check_bound(check, index->uidx);
		if (check->rc < 0)
			return NULL;
		n++;
	}
	return cu_node_done(check, node);
}

/* Where a slice's bound stands. Whether it means something nobody asks: it is refused for being one. */
static int slice_at(struct cu_check *check, const PgQuery__AIndices *index, int otherwise)
{
	struct cu_expr_error ignored = { .message = CU_BUF_INIT };
	PgQuery__Node *bound = index->uidx != NULL ? index->uidx : index->lidx;
	struct cu_check probe = *check;
	const struct cu_node *node;

	probe.err = &ignored;
	node = bound == NULL ? NULL : cu_check_expr(&probe, bound);
	cu_buf_fini(&ignored.message);
	return node == NULL ? otherwise : node->at;
}

/* jsonb[…][…]: what #> answers for the subscripts as texts. */
static struct cu_node *check_jsonb_subscripts(struct cu_check *check, struct cu_node *base, PgQuery__Node *const *list,
					      unsigned len)
{
	struct cu_node *path = cu_node_new(check, CU_NODE_ARRAY, CU_TEXTARRAYOID, base->at, len);
	const uint32_t int4 = CU_INT4OID, text = CU_TEXTOID;

	if (path == NULL)
		return NULL;
	for (unsigned i = 0; i < len; i++) {
		const PgQuery__AIndices *index = list[i]->a_indices;
		struct cu_node *sub;
		bool is_int, is_text;

		if (index->is_slice)
			return cu_check_fail(check, "42804", slice_at(check, index, base->at),
					     "jsonb subscript does not support slices");
		sub = index->uidx == NULL && index->lidx == NULL
			      ? base
			      : cu_check_expr(check, index->uidx != NULL ? index->uidx : index->lidx);
		if (sub == NULL)
			return NULL;
		is_text = sub->type == CU_UNKNOWNOID || cu_can_coerce(check, 1, &sub->type, &text, CU_COERCE_IMPLICIT);
		is_int = sub->type != CU_UNKNOWNOID && cu_can_coerce(check, 1, &sub->type, &int4, CU_COERCE_IMPLICIT);
		if (is_text == is_int)
			return cu_check_fail(check, "42804", sub->at, "subscript type %s is not supported",
					     cu_type_format(check, sub->type));
		if (is_int)
			sub = cu_coerce(check, sub, CU_INT4OID, -1, CU_COERCE_IMPLICIT, sub->at);
		path->args[i] = sub == NULL ? NULL : cu_coerce(check, sub, CU_TEXTOID, -1, CU_COERCE_EXPLICIT, sub->at);
		if (path->args[i] == NULL)
			return NULL;
	}
	path = cu_node_done(check, path);
	return path == NULL ? NULL : cu_make_op(check, "pg_catalog", "#>", base, path, base->at);
}

struct cu_node *cu_check_indirection(struct cu_check *check, const PgQuery__AIndirection *raw)
{
	struct cu_node *base = cu_check_expr(check, raw->arg);
	struct cu_tinfo info;

	if (base == NULL)
		return NULL;
	info = cu_type_info(check, cu_type_base(check, base->type));
	for (size_t i = 0; i < raw->n_indirection; i++) {
		const PgQuery__Node *item = raw->indirection[i];

		if (item->node_case == PG_QUERY__NODE__NODE_STRING)
			return cu_check_fail(check, "42809", base->at,
					     "column notation .%s applied to type %s, which is not a composite type",
					     item->string->sval, info.format);
		if (item->node_case != PG_QUERY__NODE__NODE_A_INDICES)
			return cu_check_fail(check, "0A000", base->at, "row expansion via \"*\" is not supported here");
	}
	if (info.oid == CU_JSONBOID)
		return check_jsonb_subscripts(check, base, raw->indirection, (unsigned)raw->n_indirection);
	if (info.oid == CU_NAMEOID)
		return cu_check_fail(check, "0A000", base->at, "subscripts of type name are not supported");
	if (info.elem == 0)
		return cu_check_fail(check, "42804", base->at,
				     "cannot subscript type %s because it does not support subscripting", info.format);
	return check_array_subscripts(check, base, raw->indirection, (unsigned)raw->n_indirection);
}
