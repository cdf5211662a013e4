/* Operators (parse_oper.c) and what the grammar makes of them: IN, BETWEEN, ANY, ALL, DISTINCT, NULLIF, rows. */
#include "expr/tree.h"

#include "base/limits.h"

/* An operator's name as written: [schema.]name. */
struct op_name {
	const char *schema;
	const char *name;
};

static struct op_name op_name(const PgQuery__AExpr *raw)
{
	struct op_name op = { NULL, "" };

	if (raw->n_name > 0 && raw->name[raw->n_name - 1]->node_case == PG_QUERY__NODE__NODE_STRING)
		op.name = raw->name[raw->n_name - 1]->string->sval;
	if (raw->n_name > 1 && raw->name[raw->n_name - 2]->node_case == PG_QUERY__NODE__NODE_STRING)
		op.schema = raw->name[raw->n_name - 2]->string->sval;
	return op;
}

static bool op_is_citext(const struct cu_catalog_op *op)
{
	return op->left == CU_CITEXTOID || op->right == CU_CITEXTOID;
}

static bool op_is_visible(const struct cu_check *check, const struct cu_catalog_op *op, const char *schema)
{
	if (op_is_citext(op))
		return check->scope->has_citext && (schema == NULL || strcmp(schema, "pg_catalog") != 0);
	return schema == NULL || strcmp(schema, "pg_catalog") == 0;
}

static void *op_missing(struct cu_check *check, const char *schema, const char *name, uint32_t left, uint32_t right,
			size_t matches, int at)
{
	const char *format =
		matches > 1 ? "operator is not unique: %s%s%s%s%s%s%s" : "operator does not exist: %s%s%s%s%s%s%s";

	return cu_check_fail(check, matches > 1 ? "42725" : "42883", at, format,
			     left != 0 ? cu_type_format(check, left) : "", left != 0 ? " " : "",
			     schema != NULL ? schema : "", schema != NULL ? "." : "", name, " ",
			     cu_type_format(check, right));
}

/* oper() and left_oper(); left 0: a prefix operator. NULL after an error. */
static const struct cu_catalog_op *op_find(struct cu_check *check, const char *schema, const char *name, uint32_t left,
					   uint32_t right, int at)
{
	const struct cu_catalog_op *ops;
	size_t len = cu_catalog_ops(name, &ops), candidates_len = 0, matches = 0;
	uint32_t l = left == CU_UNKNOWNOID ? right : left;
	uint32_t r = right == CU_UNKNOWNOID && left != 0 ? left : right;
	const uint32_t inputs[2] = { left != 0 ? left : right, right };
	unsigned args_len = left != 0 ? 2 : 1;
	struct cu_candidate *candidates;
	const struct cu_candidate *winner;
	uint32_t *args;

	for (unsigned again = 0; again < 2; again++) {
		for (size_t i = 0; i < len; i++) {
			if (ops[i].left == l && ops[i].right == r && op_is_visible(check, &ops[i], schema))
				return &ops[i];
		}
		/* A literal beside a domain is first tried as its base type. */
		if (left == 0 || (left != CU_UNKNOWNOID && right != CU_UNKNOWNOID) || cu_type_base(check, l) == l)
			break;
		l = r = cu_type_base(check, l);
	}
	candidates = cu_check_alloc(check, (len + 1) * sizeof *candidates);
	args = cu_check_alloc(check, (len + 1) * 2 * sizeof *args);
	if (candidates == NULL || args == NULL)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		if ((ops[i].left == 0) != (left == 0) || !op_is_visible(check, &ops[i], schema))
			continue;
		args[0] = left != 0 ? ops[i].left : ops[i].right;
		args[1] = ops[i].right;
		/* The row itself is remembered as the place of its arguments. */
		candidates[candidates_len].args = args;
		candidates[candidates_len].op = &ops[i];
		candidates_len++;
		args += 2;
	}
	winner = cu_candidate_select(check, inputs, args_len, candidates, candidates_len, &matches);
	if (winner == NULL)
		return op_missing(check, schema, name, left, right, matches, at);
	return winner->op;
}

static void start_leftmost(struct cu_node *node)
{
	for (unsigned i = 0; i < node->args_len; i++) {
		if (node->args[i] != NULL && node->args[i]->at >= 0 && (node->at < 0 || node->args[i]->at < node->at))
			node->at = node->args[i]->at;
	}
}

/* The parts of an operator call that ANY, DISTINCT … share. args are coerced in place; false after an error. */
static bool op_resolve(struct cu_check *check, const char *schema, const char *name, struct cu_node **args,
		       unsigned args_len, struct cu_node *node, int at)
{
	uint32_t actual[2], declared[2];
	uint32_t left = args_len == 2 ? args[0]->type : 0, right = args[args_len - 1]->type;
	const struct cu_catalog_op *op = op_find(check, schema, name, left, right, at);

	if (op == NULL)
		return false;
	for (unsigned i = 0; i < args_len; i++) {
		actual[i] = args[i]->type;
		declared[i] = args_len == 2 && i == 0 ? op->left : op->right;
	}
	node->type = cu_generic_enforce(check, actual, declared, args_len, op->ret, at);
	if (node->type == 0)
		return false;
	for (unsigned i = 0; i < args_len; i++) {
		args[i] = cu_coerce(check, args[i], declared[i], -1, CU_COERCE_IMPLICIT, at);
		if (args[i] == NULL)
			return false;
	}
	node->proc = cu_catalog_proc_at(op->proc);
	node->op = cu_catalog_string(op->name);
	node->form = CU_FORM_OPERATOR;
	node->own_at = at;
	return true;
}

struct cu_node *cu_make_op(struct cu_check *check, const char *schema, const char *name, struct cu_node *left,
			   struct cu_node *right, int at)
{
	struct cu_node *node = cu_node_new(check, CU_NODE_CALL, 0, at, left != NULL ? 2 : 1);

	if (node == NULL)
		return NULL;
	node->args[0] = left != NULL ? left : right;
	node->args[node->args_len - 1] = right;
	if (!op_resolve(check, schema, name, node->args, node->args_len, node, at))
		return NULL;
	start_leftmost(node);
	if (*cu_catalog_string(node->proc->prosrc) == 0) {
		uint32_t type = node->type;

		check->inline_at = check->inline_args == NULL ? at : check->inline_at;
		node = cu_check_body(check, cu_catalog_string(node->proc->body), node->args, node->args_len);
		return node == NULL || node->type == type ? node
							  : cu_coerce(check, node, type, -1, CU_COERCE_EXPLICIT, at);
	}
	return cu_node_done(check, node);
}

/* = of DISTINCT and NULLIF: an operator call under another kind. */
static struct cu_node *make_equal(struct cu_check *check, enum cu_node_kind kind, struct op_name op,
				  struct cu_node *left, struct cu_node *right, int at)
{
	struct cu_node *node = cu_make_op(check, op.schema, op.name, left, right, at);

	if (node == NULL)
		return NULL;
	if (node->type != CU_BOOLOID || node->kind != CU_NODE_CALL)
		return cu_check_fail(check, "42804", at, "%s requires = operator to yield boolean",
				     kind == CU_NODE_NULLIF ? "NULLIF" : "IS DISTINCT FROM");
	node->kind = (uint8_t)kind;
	if (kind == CU_NODE_NULLIF) {
		node->type = node->args[0]->type;
		node->typmod = node->args[0]->typmod;
	}
	return node;
}

static struct cu_node *make_bool(struct cu_check *check, enum cu_node_kind kind, struct cu_node *a, struct cu_node *b,
				 int at)
{
	struct cu_node *node;

	if (a == NULL || b == NULL)
		return NULL;
	node = cu_node_new(check, kind, CU_BOOLOID, at, 2);
	if (node == NULL)
		return NULL;
	node->args[0] = a;
	node->args[1] = b;
	start_leftmost(node);
	return cu_node_done(check, node);
}

/* a op b over two rows, field by field. */
static struct cu_node *make_row_op(struct cu_check *check, struct op_name op, struct cu_node *left,
				   struct cu_node *right, int at)
{
	static const char *const orders[] = { "<", "<=", ">", ">=" };
	static const char subs[] = "lLgG";
	unsigned len = left->args_len;
	struct cu_node *node;
	const char *strict;
	int order = -1;

	if (len != right->args_len)
		return cu_check_fail(check, "42601", at, "unequal number of entries in row expressions");
	if (len == 0)
		return cu_check_fail(check, "0A000", at, "cannot compare rows of zero length");
	for (int i = 0; i < 4; i++) {
		if (strcmp(op.name, orders[i]) == 0)
			order = i;
	}
	if (len == 1)
		return cu_make_op(check, op.schema, op.name, left->args[0], right->args[0], at);
	if (order < 0) {
		node = cu_node_new(check, strcmp(op.name, "=") == 0 ? CU_NODE_AND : CU_NODE_OR, CU_BOOLOID, at, len);
		for (unsigned i = 0; node != NULL && i < len; i++) {
			node->args[i] = cu_make_op(check, op.schema, op.name, left->args[i], right->args[i], at);
			if (node->args[i] == NULL)
				return NULL;
			if (node->args[i]->type != CU_BOOLOID)
				return cu_check_fail(check, "42804", at,
						     "row comparison operator must yield type boolean, not type %s",
						     cu_type_format(check, node->args[i]->type));
		}
		if (node == NULL)
			return NULL;
		if (strcmp(op.name, "=") != 0 && strcmp(op.name, "<>") != 0)
			return cu_check_fail(check, "0A000", at,
					     "could not determine interpretation of row comparison operator %s",
					     op.name);
		start_leftmost(node);
		return cu_node_done(check, node);
	}
	/* args: for each pair the strict comparison and its contrary, which together tell less, greater and equal; last
	 * the pair's own operator. All of them see the same two fields. */
	strict = order < 2 ? "<" : ">";
	node = cu_node_new(check, CU_NODE_ROWCMP, CU_BOOLOID, at, len * 2 - 1);
	if (node == NULL)
		return NULL;
	node->sub = (uint8_t)subs[order];
	node->op = orders[order];
	for (unsigned i = 0; i < len; i++) {
		bool last = i + 1 == len;
		struct cu_node *pair =
			cu_make_op(check, op.schema, last ? op.name : strict, left->args[i], right->args[i], at);

		if (pair == NULL)
			return NULL;
		if (pair->type != CU_BOOLOID)
			return cu_check_fail(check, "42804", at,
					     "row comparison operator must yield type boolean, not type %s",
					     cu_type_format(check, pair->type));
		node->args[i * 2] = pair;
		if (last)
			break;
		node->args[i * 2 + 1] =
			cu_make_op(check, op.schema, order < 2 ? ">" : "<", pair->args[0], pair->args[1], at);
		if (node->args[i * 2 + 1] == NULL)
			return NULL;
	}
	start_leftmost(node);
	return cu_node_done(check, node);
}

static struct cu_node *make_any_op(struct cu_check *check, struct op_name op, struct cu_node *left,
				   struct cu_node *right, int at)
{
	if (left != NULL && left->kind == CU_NODE_ROW && right->kind == CU_NODE_ROW)
		return make_row_op(check, op, left, right, at);
	return cu_make_op(check, op.schema, op.name, left, right, at);
}

static struct cu_node *check_op(struct cu_check *check, const PgQuery__AExpr *raw)
{
	struct cu_node *left = NULL, *right;

	if (raw->rexpr == NULL)
		return cu_check_fail(check, "42883", raw->location, "postfix operators are not supported");
	if (raw->lexpr != NULL) {
		left = cu_check_expr(check, raw->lexpr);
		if (left == NULL)
			return NULL;
	}
	right = cu_check_expr(check, raw->rexpr);
	if (right == NULL)
		return NULL;
	return make_any_op(check, op_name(raw), left, right, raw->location);
}

/* scalar op ANY (array). */
static struct cu_node *make_any(struct cu_check *check, struct op_name op, bool is_all, struct cu_node *left,
				struct cu_node *right, int at)
{
	struct cu_node *node = cu_node_new(check, CU_NODE_ANY, CU_BOOLOID, at, 2);
	uint32_t elem = right->type, actual[2], declared[2], array;
	const struct cu_catalog_op *found;

	if (node == NULL)
		return NULL;
	if (elem != CU_UNKNOWNOID) {
		elem = cu_type_info(check, cu_type_base(check, right->type)).elem;
		if (elem == 0)
			return cu_check_fail(check, "42809", at, "op ANY/ALL (array) requires array on right side");
	}
	found = op_find(check, op.schema, op.name, left->type, elem, at);
	if (found == NULL)
		return NULL;
	actual[0] = left->type;
	actual[1] = elem;
	declared[0] = found->left;
	declared[1] = found->right;
	if (cu_generic_enforce(check, actual, declared, 2, found->ret, at) != CU_BOOLOID)
		return cu_check_fail(check, "42809", at, "op ANY/ALL (array) requires operator to yield boolean");
	array = cu_type_info(check, declared[1]).array;
	if (array == 0)
		return cu_check_no_array(check, declared[1], at);
	node->sub = is_all;
	node->proc = cu_catalog_proc_at(found->proc);
	node->op = cu_catalog_string(found->name);
	node->own_at = at;
	node->args[0] = cu_coerce(check, left, declared[0], -1, CU_COERCE_IMPLICIT, at);
	node->args[1] = cu_coerce(check, right, array, -1, CU_COERCE_IMPLICIT, at);
	if (node->args[0] == NULL || node->args[1] == NULL)
		return NULL;
	if (*cu_catalog_string(node->proc->prosrc) == 0)
		return cu_check_fail(check, "0A000", at, "operator %s ANY is not supported for these types", op.name);
	start_leftmost(node);
	return cu_node_done(check, node);
}

static struct cu_node *check_any(struct cu_check *check, const PgQuery__AExpr *raw, bool is_all)
{
	struct cu_node *left = cu_check_expr(check, raw->lexpr);
	struct cu_node *right = left == NULL ? NULL : cu_check_expr(check, raw->rexpr);

	return right == NULL ? NULL : make_any(check, op_name(raw), is_all, left, right, raw->location);
}

/* The list's part without columns as one ANY over an array, where a common type makes that possible. NULL without an
 * error: not possible. */
static struct cu_node *in_array(struct cu_check *check, struct op_name op, bool is_not, struct cu_node *left,
				struct cu_node *const *items, unsigned len, int at)
{
	struct cu_node **all = cu_check_alloc(check, (len + 1) * sizeof *all);
	struct cu_node *array;
	uint32_t scalar, array_type;

	if (all == NULL)
		return NULL;
	all[0] = left;
	memcpy(all + 1, items, len * sizeof *all);
	for (unsigned i = 0; i <= len; i++) {
		if (all[i]->kind == CU_NODE_ROW)
			return NULL;
	}
	scalar = cu_common_type(check, all, len + 1, NULL);
	for (unsigned i = 0; i <= len && scalar != 0; i++) {
		if (!cu_can_coerce(check, 1, &all[i]->type, &scalar, CU_COERCE_IMPLICIT))
			scalar = 0;
	}
	array_type = scalar == 0 || scalar == CU_RECORDOID ? 0 : cu_type_info(check, scalar).array;
	if (array_type == 0)
		return NULL;
	array = cu_node_new(check, CU_NODE_ARRAY, array_type, -1, len);
	if (array == NULL)
		return NULL;
	for (unsigned i = 0; i < len; i++) {
		array->args[i] = cu_coerce_common(check, items[i], scalar, "IN");
		if (array->args[i] == NULL)
			return NULL;
	}
	array = cu_node_done(check, array);
	return array == NULL ? NULL : make_any(check, op, is_not, left, array, at);
}

/* Each item of a list gets a left side of its own, whose parameters are still to be typed: Postgres copies it. */
static struct cu_node *left_copy(struct cu_check *check, struct cu_node *left)
{
	struct cu_node *copy;

	if (left->kind != CU_NODE_ROW && (left->param == 0 || left->type != CU_UNKNOWNOID))
		return left;
	copy = cu_node_new(check, (enum cu_node_kind)left->kind, left->type, left->at, left->args_len);
	if (copy == NULL)
		return NULL;
	copy->param = left->param;
	copy->value = left->value;
	if (copy->param != 0) {
		copy->ref = check->param_uses;
		check->param_uses = copy;
		left->copied = true;
	}
	for (unsigned i = 0; i < left->args_len; i++) {
		copy->args[i] = left_copy(check, left->args[i]);
		if (copy->args[i] == NULL)
			return NULL;
	}
	return cu_node_done(check, copy);
}

static struct cu_node *check_in(struct cu_check *check, const PgQuery__AExpr *raw)
{
	struct op_name op = op_name(raw);
	bool is_not = strcmp(op.name, "<>") == 0;
	const PgQuery__List *list;
	struct cu_node *left, *any = NULL, *result;
	struct cu_node **items, **constants, **others;
	unsigned constants_len = 0, others_len = 0, n = 0;

	if (raw->rexpr->node_case != PG_QUERY__NODE__NODE_LIST)
		return cu_check_fail(check, "0A000", raw->location, "subqueries are not supported in where clauses");
	list = raw->rexpr->list;
	items = cu_check_alloc(check, (list->n_items + 1) * sizeof *items);
	constants = cu_check_alloc(check, (list->n_items + 1) * sizeof *constants);
	others = cu_check_alloc(check, (list->n_items + 1) * sizeof *others);
	left = cu_check_expr(check, raw->lexpr);
	if (left == NULL || items == NULL || constants == NULL || others == NULL)
		return NULL;
	for (size_t i = 0; i < list->n_items; i++) {
		struct cu_node *item = cu_check_expr(check, list->items[i]);

		if (item == NULL)
			return NULL;
		items[i] = item;
		if (item->has_column)
			others[others_len++] = item;
		else
			constants[constants_len++] = item;
	}
	if (constants_len > 1) {
		any = in_array(check, op, is_not, left, constants, constants_len, raw->location);
		if (any == NULL && check->rc < 0)
			return NULL;
	}
	/* What the array took is done; else every item, in the order that Postgres has them: as written. */
	if (any == NULL) {
		others = items;
		others_len = (unsigned)list->n_items;
	}
	if (others_len == 0)
		return any;
	result = cu_node_new(check, is_not ? CU_NODE_AND : CU_NODE_OR, CU_BOOLOID, raw->location,
			     others_len + (any != NULL));
	if (result == NULL)
		return NULL;
	if (any != NULL)
		result->args[n++] = any;
	for (unsigned i = 0; i < others_len; i++) {
		struct cu_node *own = left_copy(check, left);
		struct cu_node *one = own == NULL ? NULL : make_any_op(check, op, own, others[i], raw->location);

		result->args[n] = one == NULL ? NULL : cu_check_boolean(check, one, "IN");
		if (result->args[n++] == NULL)
			return NULL;
	}
	if (n == 1)
		return result->args[0];
	start_leftmost(result);
	return cu_node_done(check, result);
}

static struct cu_node *compare(struct cu_check *check, const char *op, const PgQuery__Node *left,
			       const PgQuery__Node *right, int at)
{
	struct cu_node *a = cu_check_expr(check, left);
	struct cu_node *b = a == NULL ? NULL : cu_check_expr(check, right);

	return b == NULL ? NULL : make_any_op(check, (struct op_name){ NULL, op }, a, b, at);
}

static struct cu_node *check_between(struct cu_check *check, const PgQuery__AExpr *raw)
{
	const PgQuery__Node *low, *high, *x = raw->lexpr;
	int at = raw->location;
	struct cu_node *a, *b;

	if (raw->rexpr->node_case != PG_QUERY__NODE__NODE_LIST || raw->rexpr->list->n_items != 2)
		return cu_check_fail(check, "42601", at, "syntax error");
	low = raw->rexpr->list->items[0];
	high = raw->rexpr->list->items[1];
	switch (raw->kind) {
	case PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN:
		a = compare(check, ">=", x, low, at);
		return make_bool(check, CU_NODE_AND, a, a ? compare(check, "<=", x, high, at) : NULL, at);
	case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN:
		a = compare(check, "<", x, low, at);
		return make_bool(check, CU_NODE_OR, a, a ? compare(check, ">", x, high, at) : NULL, at);
	case PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN_SYM:
		a = compare(check, ">=", x, low, at);
		a = make_bool(check, CU_NODE_AND, a, a ? compare(check, "<=", x, high, at) : NULL, at);
		b = a ? compare(check, ">=", x, high, at) : NULL;
		b = make_bool(check, CU_NODE_AND, b, b ? compare(check, "<=", x, low, at) : NULL, at);
		return make_bool(check, CU_NODE_OR, a, b, at);
	default:
		a = compare(check, "<", x, low, at);
		a = make_bool(check, CU_NODE_OR, a, a ? compare(check, ">", x, high, at) : NULL, at);
		b = a ? compare(check, "<", x, high, at) : NULL;
		b = make_bool(check, CU_NODE_OR, b, b ? compare(check, ">", x, low, at) : NULL, at);
		return make_bool(check, CU_NODE_AND, a, b, at);
	}
}

static bool raw_is_null(const PgQuery__Node *raw)
{
	return raw->node_case == PG_QUERY__NODE__NODE_A_CONST && raw->a_const->isnull;
}

static struct cu_node *distinct_from_null(struct cu_check *check, struct cu_node *arg, bool is_not, int at)
{
	struct cu_node *node = cu_node_new(check, CU_NODE_NULLTEST, CU_BOOLOID, at, 1);

	if (node == NULL)
		return NULL;
	if (arg->kind == CU_NODE_ROW)
		return cu_check_fail(check, "0A000", at, "comparing a row with NULL is not supported");
	node->sub = !is_not;
	node->args[0] = arg;
	start_leftmost(node);
	return cu_node_done(check, node);
}

static struct cu_node *check_distinct(struct cu_check *check, const PgQuery__AExpr *raw)
{
	bool is_not = raw->kind == PG_QUERY__A__EXPR__KIND__AEXPR_NOT_DISTINCT;
	struct op_name op = op_name(raw);
	struct cu_node *left, *right, *node;

	if (raw_is_null(raw->rexpr)) {
		left = cu_check_expr(check, raw->lexpr);
		return left == NULL ? NULL : distinct_from_null(check, left, is_not, raw->location);
	}
	left = cu_check_expr(check, raw->lexpr);
	right = left == NULL ? NULL : cu_check_expr(check, raw->rexpr);
	if (right == NULL)
		return NULL;
	if (raw_is_null(raw->lexpr))
		return distinct_from_null(check, right, is_not, raw->location);
	if (left->kind != CU_NODE_ROW || right->kind != CU_NODE_ROW) {
		node = make_equal(check, CU_NODE_DISTINCT, op, left, right, raw->location);
		if (node != NULL)
			node->sub = is_not;
		return node;
	}
	if (left->args_len != right->args_len)
		return cu_check_fail(check, "42601", raw->location, "unequal number of entries in row expressions");
	/* Rows: one pair that is distinct makes them distinct. */
	node = cu_node_new(check, is_not ? CU_NODE_AND : CU_NODE_OR, CU_BOOLOID, raw->location, left->args_len);
	if (node == NULL)
		return NULL;
	if (left->args_len == 0)
		return cu_node_const(check, CU_BOOLOID, -1, (struct cu_datum){ .boolean = is_not }, raw->location);
	for (unsigned i = 0; i < left->args_len; i++) {
		node->args[i] = make_equal(check, CU_NODE_DISTINCT, op, left->args[i], right->args[i], raw->location);
		if (node->args[i] == NULL)
			return NULL;
		node->args[i]->sub = is_not;
	}
	if (node->args_len == 1)
		return node->args[0];
	start_leftmost(node);
	return cu_node_done(check, node);
}

static struct cu_node *check_nullif(struct cu_check *check, const PgQuery__AExpr *raw)
{
	struct cu_node *left = cu_check_expr(check, raw->lexpr);
	struct cu_node *right = left == NULL ? NULL : cu_check_expr(check, raw->rexpr);

	return right == NULL ? NULL : make_equal(check, CU_NODE_NULLIF, op_name(raw), left, right, raw->location);
}

struct cu_node *cu_check_a_expr(struct cu_check *check, const PgQuery__AExpr *raw)
{
	switch (raw->kind) {
	case PG_QUERY__A__EXPR__KIND__AEXPR_OP:
	case PG_QUERY__A__EXPR__KIND__AEXPR_LIKE:
	case PG_QUERY__A__EXPR__KIND__AEXPR_ILIKE:
	case PG_QUERY__A__EXPR__KIND__AEXPR_SIMILAR: return check_op(check, raw);
	case PG_QUERY__A__EXPR__KIND__AEXPR_OP_ANY: return check_any(check, raw, false);
	case PG_QUERY__A__EXPR__KIND__AEXPR_OP_ALL: return check_any(check, raw, true);
	case PG_QUERY__A__EXPR__KIND__AEXPR_DISTINCT:
	case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_DISTINCT: return check_distinct(check, raw);
	case PG_QUERY__A__EXPR__KIND__AEXPR_NULLIF: return check_nullif(check, raw);
	case PG_QUERY__A__EXPR__KIND__AEXPR_IN: return check_in(check, raw);
	default: return check_between(check, raw);
	}
}
