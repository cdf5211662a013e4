/* Postgres' parse analysis (parse_expr.c) of one clause: what every name and literal means. This file: the tree's common parts,
 * columns, constants, parameters, boolean operators and tests. */
#include "expr/tree.h"

#include <stdarg.h>

void *cu_check_fail(struct cu_check *check, const char *sqlstate, int at, const char *fmt, ...)
{
	unsigned position = 0;
	va_list args;

	if (check->rc < 0)
		return NULL;
	check->rc = CU_EINVAL;
	if (check->err == NULL)
		return NULL;
	if (check->inline_args != NULL)
		at = check->inline_at;
	if (at >= (int)CU_PARSE_PREFIX_LEN)
		position = cu_parse_position(check->text, check->text_len, (size_t)at - CU_PARSE_PREFIX_LEN);
	memcpy(check->err->sqlstate, sqlstate, sizeof check->err->sqlstate);
	check->err->position = position;
	cu_buf_clear(&check->err->message);
	va_start(args, fmt);
	cu_buf_vprintf(&check->err->message, fmt, args);
	va_end(args);
	return NULL;
}

void *cu_check_nomem(struct cu_check *check)
{
	if (check->rc == 0)
		check->rc = CU_ENOMEM;
	return NULL;
}

void *cu_check_value_error(struct cu_check *check, int rc, int at, const struct cu_value_error *verr)
{
	if (rc == CU_ENOMEM)
		return cu_check_nomem(check);
	return cu_check_fail(check, verr->sqlstate[0] ? verr->sqlstate : "22000", at, "%s", verr->message);
}

void *cu_check_alloc(struct cu_check *check, size_t size)
{
	void *data = cu_arena_alloc(check->arena, size);

	if (data == NULL)
		return cu_check_nomem(check);
	return memset(data, 0, size);
}

struct cu_node *cu_node_new(struct cu_check *check, enum cu_node_kind kind, uint32_t type, int at, unsigned args_len)
{
	struct cu_node *node;

	if (++check->nodes > CU_WHERE_NODES_MAX * 2)
		return cu_check_fail(check, "54001", at, "the where clause has more than %u parts", CU_WHERE_NODES_MAX);
	node = cu_check_alloc(check, sizeof *node + args_len * sizeof *node->args);
	if (node == NULL)
		return NULL;
	node->kind = (uint8_t)kind;
	node->type = type;
	node->typmod = -1;
	node->at = node->own_at = at;
	node->levels = 1;
	node->args = (struct cu_node **)(node + 1);
	node->args_len = args_len;
	return node;
}

struct cu_node *cu_node_const(struct cu_check *check, uint32_t type, int32_t typmod, struct cu_datum value, int at)
{
	struct cu_node *node = cu_node_new(check, CU_NODE_CONST, type, at, 0);

	if (node == NULL)
		return NULL;
	node->typmod = typmod;
	node->value = value;
	return node;
}

/* Whether there is an answer that holds: a volatile function's changes from call to call. A stable one hangs on settings
 * of the session, which are pinned (pg/conn.c); those that hang on the clock have no implementation. */
static bool proc_check(struct cu_check *check, struct cu_node *node)
{
	const struct cu_catalog_proc *proc = node->proc;
	char volatility = cu_catalog_volatility(proc, check->scope->pg_version);
	const char *left = node->args_len > 1 ? cu_type_format(check, node->args[0]->type) : "";
	const char *right = node->args_len > 0 ? cu_type_format(check, node->args[node->args_len - 1]->type) : "";

	if (volatility == 'v') {
		cu_check_fail(check, "0A000", node->own_at,
			      "function %s is volatile, which is not supported in where clauses",
			      cu_catalog_string(proc->name));
		return false;
	}
	node->stable |= volatility != 'i';
	if (cu_function_find(cu_catalog_string(proc->prosrc), check->scope->pg_version) != NULL)
		return true;
	if (node->op != NULL)
		cu_check_fail(check, "0A000", node->own_at, "operator %s%s%s %s is not supported in where clauses",
			      left, *left ? " " : "", node->op, right);
	else if (node->form == CU_FORM_CAST)
		cu_check_fail(check, "0A000", node->own_at, "the cast from %s to %s is not supported in where clauses",
			      right, cu_type_format(check, node->type));
	else
		cu_check_fail(check, "0A000", node->own_at, "function %s is not supported in where clauses",
			      cu_catalog_string(proc->name));
	return false;
}

struct cu_node *cu_node_done(struct cu_check *check, struct cu_node *node)
{
	unsigned levels = 0;

	for (unsigned i = 0; i < node->args_len; i++) {
		const struct cu_node *arg = node->args[i];

		if (arg == NULL)
			continue;
		levels = CU_MAX(levels, (unsigned)arg->levels);
		node->has_column |= arg->has_column;
		node->stable |= arg->stable;
	}
	if (node->proc != NULL && !proc_check(check, node))
		return NULL;
	if (cu_scope_lacks_type(check->scope, node->type))
		return cu_check_fail(check, "0A000", node->own_at,
				     "type %s is supported with Postgres 15 and newer only",
				     cu_type_format(check, node->type));
	if (levels >= CU_WHERE_DEPTH_MAX)
		return cu_check_fail(check, "54001", node->at, "the where clause is nested more than %u levels deep",
				     CU_WHERE_DEPTH_MAX);
	node->levels = (uint16_t)(levels + 1);
	return node;
}

bool cu_node_is_null_const(const struct cu_node *node)
{
	return node->kind == CU_NODE_CONST && node->value.is_null;
}

static const char *field_name(const PgQuery__Node *field)
{
	return field->node_case == PG_QUERY__NODE__NODE_STRING ? field->string->sval : NULL;
}

static bool is_system_column(const char *name)
{
	static const char *const names[] = { "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid" };

	for (size_t i = 0; i < CU_ARRAY_LEN(names); i++) {
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return false;
}

static struct cu_node *check_column(struct cu_check *check, const PgQuery__ColumnRef *raw)
{
	const struct cu_expr_scope *scope = check->scope;
	const char *name = raw->n_fields > 0 ? field_name(raw->fields[raw->n_fields - 1]) : NULL;
	const char *table = raw->n_fields > 1 ? field_name(raw->fields[raw->n_fields - 2]) : NULL;
	const struct cu_expr_column *column;
	struct cu_node *node;
	size_t i = 0;

	if (check->inline_args != NULL)
		return cu_check_fail(check, "0A000", raw->location, "this function is not supported in where clauses");
	if (name == NULL)
		return cu_check_fail(check, "0A000", raw->location, "row expansion via \"*\" is not supported here");
	if (raw->n_fields > 3)
		return cu_check_fail(check, "42601", raw->location, "improper qualified name (too many dotted names)");
	if (table != NULL && strcmp(table, scope->table_name) != 0)
		return cu_check_fail(check, "42P01", raw->location, "missing FROM-clause entry for table \"%s\"",
				     table);
	while (i < scope->columns_len && strcmp(scope->columns[i].name, name) != 0)
		i++;
	if (i == scope->columns_len) {
		if (is_system_column(name))
			return cu_check_fail(check, "0A000", raw->location,
					     "system column \"%s\" is not supported in where clauses", name);
		if (table != NULL)
			return cu_check_fail(check, "42703", raw->location, "column %s.%s does not exist", table, name);
		if (strcmp(name, scope->table_name) == 0)
			return cu_check_fail(check, "0A000", raw->location,
					     "whole-row references are not supported in where clauses");
		return cu_check_fail(check, "42703", raw->location, "column \"%s\" does not exist", name);
	}
	column = &scope->columns[i];
	if (scope->column_types[i] == 0)
		return cu_check_fail(check, "0A000", raw->location,
				     "column \"%s\" of type %s is not supported in where clauses", name,
				     column->type_name ? column->type_name : "unknown");
	node = cu_node_new(check, CU_NODE_COLUMN, scope->column_types[i], raw->location, 0);
	if (node == NULL)
		return NULL;
	node->column = (uint16_t)i;
	node->typmod = column->typmod;
	node->collation = column->collation;
	node->has_column = true;
	return node;
}

static struct cu_node *text_const(struct cu_check *check, uint32_t type, const char *text, int at)
{
	struct cu_datum value = { .len = (uint32_t)strlen(text) };

	value.bytes = cu_arena_copy(check->arena, text, value.len);
	if (value.bytes == NULL)
		return cu_check_nomem(check);
	return cu_node_const(check, type, -1, value, at);
}

/* A number that the lexer did not take for an int4: bigint where it fits, else numeric. What is an int4 only with its sign
 * (-2147483648) is one all the same. */
static struct cu_node *float_const(struct cu_check *check, const char *text, int at)
{
	struct cu_value_error verr = { 0 };
	struct cu_datum value;
	int rc;

	if (strspn(text, "-0123456789") == strlen(text)) {
		rc = cu_value_in(cu_type_builtin(CU_INT8OID), -1, text, strlen(text), check->arena, &value, &verr);
		if (rc == 0)
			return cu_node_const(check, value.integer == INT32_MIN ? CU_INT4OID : CU_INT8OID, -1, value,
					     at);
	}
	rc = cu_value_in(cu_type_builtin(CU_NUMERICOID), -1, text, strlen(text), check->arena, &value, &verr);
	if (rc < 0)
		return cu_check_value_error(check, rc, at, &verr);
	return cu_node_const(check, CU_NUMERICOID, -1, value, at);
}

static struct cu_node *check_const(struct cu_check *check, const PgQuery__AConst *raw)
{
	struct cu_node *node;

	if (raw->isnull) {
		node = cu_node_const(check, CU_UNKNOWNOID, -1, CU_DATUM_NULL, raw->location);
		if (node != NULL)
			node->raw_null = true;
		return node;
	}
	switch (raw->val_case) {
	case PG_QUERY__A__CONST__VAL_IVAL:
		return cu_node_const(check, CU_INT4OID, -1, (struct cu_datum){ .integer = raw->ival->ival },
				     raw->location);
	case PG_QUERY__A__CONST__VAL_FVAL: return float_const(check, raw->fval->fval, raw->location);
	case PG_QUERY__A__CONST__VAL_BOOLVAL:
		return cu_node_const(check, CU_BOOLOID, -1, (struct cu_datum){ .boolean = raw->boolval->boolval },
				     raw->location);
	case PG_QUERY__A__CONST__VAL_SVAL: return text_const(check, CU_UNKNOWNOID, raw->sval->sval, raw->location);
	case PG_QUERY__A__CONST__VAL_BSVAL:
		return cu_check_fail(check, "0A000", raw->location, "type bit is not supported in where clauses");
	default: return cu_check_fail(check, "0A000", raw->location, "this constant is not supported in where clauses");
	}
}

static struct cu_node *check_param(struct cu_check *check, const PgQuery__ParamRef *raw)
{
	size_t n = (size_t)raw->number;
	const struct cu_expr_param *param;
	struct cu_node *node, *typed;
	struct cu_datum value = { 0 };

	if (check->inline_args != NULL) {
		if (raw->number < 1 || n > check->inline_args_len)
			return cu_check_fail(check, "42P02", raw->location, "there is no parameter $%d", raw->number);
		return check->inline_args[n - 1];
	}
	if (raw->number < 1 || n > check->params_len || check->params[n - 1].text == NULL)
		return cu_check_fail(check, "42P02", raw->location, "there is no parameter $%d", raw->number);
	check->param_used[n - 1] = 1;
	param = &check->params[n - 1];
	value.bytes = param->text;
	value.len = (uint32_t)param->len;
	node = cu_node_const(check, CU_UNKNOWNOID, -1, value, raw->location);
	if (node == NULL)
		return NULL;
	node->param = (uint32_t)n;
	node->ref = check->param_uses;
	check->param_uses = node;
	if (check->param_types[n - 1] == CU_UNKNOWNOID)
		return node;
	/* Used before: its type is settled, as if it had been declared so. */
	typed = cu_coerce(check, node, check->param_types[n - 1], -1, CU_COERCE_IMPLICIT, raw->location);
	return typed;
}

struct cu_node *cu_check_boolean(struct cu_check *check, struct cu_node *node, const char *construct)
{
	struct cu_node *to;

	if (node->type == CU_BOOLOID)
		return node;
	to = cu_coerce_to(check, node, CU_BOOLOID, -1, CU_COERCE_ASSIGNMENT, -1);
	if (to == NULL)
		return cu_check_fail(check, "42804", node->at, "argument of %s must be type boolean, not type %s",
				     construct, cu_type_format(check, node->type));
	return to;
}

static struct cu_node *check_bool_expr(struct cu_check *check, const PgQuery__BoolExpr *raw)
{
	static const char *const names[] = { "", "AND", "OR", "NOT" };
	static const enum cu_node_kind kinds[] = { 0, CU_NODE_AND, CU_NODE_OR, CU_NODE_NOT };
	struct cu_node *node = cu_node_new(check, kinds[raw->boolop], CU_BOOLOID, raw->location, (unsigned)raw->n_args);

	if (node == NULL)
		return NULL;
	for (unsigned i = 0; i < node->args_len; i++) {
		struct cu_node *arg = cu_check_expr(check, raw->args[i]);

		node->args[i] = arg == NULL ? NULL : cu_check_boolean(check, arg, names[raw->boolop]);
		if (node->args[i] == NULL)
			return NULL;
		/* exprLocation: the leftmost of the operator and its arguments. */
		if (node->args[i]->at >= 0 && (node->at < 0 || node->args[i]->at < node->at))
			node->at = node->args[i]->at;
	}
	return cu_node_done(check, node);
}

static struct cu_node *null_test(struct cu_check *check, struct cu_node *arg, bool is_not, int at)
{
	struct cu_node *node = cu_node_new(check, CU_NODE_NULLTEST, CU_BOOLOID, at, 1);

	if (node == NULL)
		return NULL;
	node->sub = is_not;
	node->args[0] = arg;
	if (arg->at >= 0 && arg->at < at)
		node->at = arg->at;
	return cu_node_done(check, node);
}

static struct cu_node *check_null_test(struct cu_check *check, const PgQuery__NullTest *raw)
{
	bool is_not = raw->nulltesttype == PG_QUERY__NULL_TEST_TYPE__IS_NOT_NULL;
	struct cu_node *arg = cu_check_expr(check, raw->arg);
	struct cu_node *node;

	if (arg == NULL)
		return NULL;
	if (arg->kind != CU_NODE_ROW)
		return null_test(check, arg, is_not, raw->location);
	/* Of a row: all of its fields. */
	if (arg->args_len == 0)
		return cu_node_const(check, CU_BOOLOID, -1, (struct cu_datum){ .boolean = true }, raw->location);
	node = cu_node_new(check, CU_NODE_AND, CU_BOOLOID, arg->at, arg->args_len);
	for (unsigned i = 0; node != NULL && i < arg->args_len; i++) {
		node->args[i] = null_test(check, arg->args[i], is_not, raw->location);
		if (node->args[i] == NULL)
			return NULL;
	}
	if (node == NULL)
		return NULL;
	node->sub = 1; /* of one row */
	return cu_node_done(check, node);
}

static struct cu_node *check_boolean_test(struct cu_check *check, const PgQuery__BooleanTest *raw)
{
	static const char *const names[] = { "",           "IS TRUE",       "IS NOT TRUE", "IS FALSE", "IS NOT FALSE",
					     "IS UNKNOWN", "IS NOT UNKNOWN" };
	struct cu_node *node = cu_node_new(check, CU_NODE_BOOLTEST, CU_BOOLOID, raw->location, 1);
	struct cu_node *arg = cu_check_expr(check, raw->arg);

	if (node == NULL || arg == NULL)
		return NULL;
	node->sub = (uint8_t)raw->booltesttype;
	node->args[0] = cu_check_boolean(check, arg, names[raw->booltesttype]);
	if (node->args[0] == NULL)
		return NULL;
	if (arg->at >= 0 && arg->at < node->at)
		node->at = arg->at;
	return cu_node_done(check, node);
}

static struct cu_node *check_row(struct cu_check *check, const PgQuery__RowExpr *raw)
{
	struct cu_node *node = cu_node_new(check, CU_NODE_ROW, CU_RECORDOID, raw->location, (unsigned)raw->n_args);

	if (node == NULL)
		return NULL;
	for (unsigned i = 0; i < node->args_len; i++) {
		node->args[i] = cu_check_expr(check, raw->args[i]);
		if (node->args[i] == NULL)
			return NULL;
	}
	return cu_node_done(check, node);
}

static struct cu_node *refuse(struct cu_check *check, const PgQuery__Node *raw)
{
	switch (raw->node_case) {
	case PG_QUERY__NODE__NODE_SUB_LINK:
		return cu_check_fail(check, "0A000", raw->sub_link->location,
				     "subqueries are not supported in where clauses");
	case PG_QUERY__NODE__NODE_SQLVALUE_FUNCTION:
		return cu_check_fail(check, "0A000", raw->sqlvalue_function->location,
				     "the current date, time, user and schema are not supported in where clauses: "
				     "the answer would change without a change of the row");
	case PG_QUERY__NODE__NODE_XML_EXPR:
		return cu_check_fail(check, "0A000", raw->xml_expr->location,
				     "type xml is not supported in where clauses");
	case PG_QUERY__NODE__NODE_XML_SERIALIZE:
		return cu_check_fail(check, "0A000", raw->xml_serialize->location,
				     "type xml is not supported in where clauses");
	case PG_QUERY__NODE__NODE_GROUPING_FUNC:
		return cu_check_fail(check, "42803", raw->grouping_func->location,
				     "grouping operations are not allowed in WHERE");
	case PG_QUERY__NODE__NODE_SET_TO_DEFAULT:
		return cu_check_fail(check, "42601", raw->set_to_default->location,
				     "DEFAULT is not allowed in this context");
	case PG_QUERY__NODE__NODE_CURRENT_OF_EXPR:
		return cu_check_fail(check, "0A000", -1, "WHERE CURRENT OF is not supported");
	case PG_QUERY__NODE__NODE_NAMED_ARG_EXPR:
		return cu_check_fail(check, "0A000", raw->named_arg_expr->location,
				     "named arguments are not supported in where clauses");
	default: return cu_check_fail(check, "0A000", -1, "this expression is not supported in where clauses");
	}
}

static struct cu_node *check_node(struct cu_check *check, const PgQuery__Node *raw)
{
	switch (raw->node_case) {
	case PG_QUERY__NODE__NODE_COLUMN_REF: return check_column(check, raw->column_ref);
	case PG_QUERY__NODE__NODE_A_CONST: return check_const(check, raw->a_const);
	case PG_QUERY__NODE__NODE_PARAM_REF: return check_param(check, raw->param_ref);
	case PG_QUERY__NODE__NODE_BOOL_EXPR: return check_bool_expr(check, raw->bool_expr);
	case PG_QUERY__NODE__NODE_NULL_TEST: return check_null_test(check, raw->null_test);
	case PG_QUERY__NODE__NODE_BOOLEAN_TEST: return check_boolean_test(check, raw->boolean_test);
	case PG_QUERY__NODE__NODE_A_EXPR: return cu_check_a_expr(check, raw->a_expr);
	case PG_QUERY__NODE__NODE_ROW_EXPR: return check_row(check, raw->row_expr);
	case PG_QUERY__NODE__NODE_FUNC_CALL: return cu_check_func_call(check, raw->func_call);
	case PG_QUERY__NODE__NODE_TYPE_CAST: return cu_check_type_cast(check, raw->type_cast);
	case PG_QUERY__NODE__NODE_COLLATE_CLAUSE: return cu_check_collate(check, raw->collate_clause);
	case PG_QUERY__NODE__NODE_CASE_EXPR: return cu_check_case(check, raw->case_expr);
	case PG_QUERY__NODE__NODE_COALESCE_EXPR: return cu_check_coalesce(check, raw->coalesce_expr);
	case PG_QUERY__NODE__NODE_MIN_MAX_EXPR: return cu_check_minmax(check, raw->min_max_expr);
	case PG_QUERY__NODE__NODE_A_ARRAY_EXPR: return cu_check_array(check, raw->a_array_expr, 0, 0, -1);
	case PG_QUERY__NODE__NODE_A_INDIRECTION: return cu_check_indirection(check, raw->a_indirection);
	default: return refuse(check, raw);
	}
}

struct cu_node *cu_check_expr(struct cu_check *check, const PgQuery__Node *raw)
{
	struct cu_node *node;

	if (check->rc < 0)
		return NULL;
	if (check->depth >= CU_RAW_DEPTH_MAX)
		return cu_check_fail(check, "54001", -1, "the where clause is nested more than %u levels deep",
				     CU_WHERE_DEPTH_MAX);
	check->depth++;
	node = check_node(check, raw);
	check->depth--;
	return node;
}

struct cu_node *cu_check_body(struct cu_check *check, const char *body, struct cu_node *const *args, size_t args_len)
{
	struct cu_node *const *outer = check->inline_args;
	size_t outer_len = check->inline_args_len, len;
	struct cu_parsed parsed;
	struct cu_node *node = NULL;
	unsigned levels;
	int rc;

	body += strspn(body, " \n\t");
	if (strncasecmp(body, "RETURN ", 7) == 0 || strncasecmp(body, "SELECT ", 7) == 0)
		body += 7;
	len = strcspn(body, ";");
	/* A body may call another such function, but none of them calls itself. */
	if (check->depth >= CU_RAW_DEPTH_MAX)
		return cu_check_fail(check, "54001", -1, "the where clause is nested more than %u levels deep",
				     CU_WHERE_DEPTH_MAX);
	rc = cu_parse_measure(body, len, &levels, NULL);
	if (rc == 0)
		rc = cu_parse(body, len, &parsed, NULL);
	if (rc < 0)
		return rc == CU_ENOMEM ? cu_check_nomem(check)
				       : cu_check_fail(check, "0A000", check->inline_at,
						       "this function is not supported in where clauses");
	check->inline_args = args;
	check->inline_args_len = args_len;
	check->depth += 16;
	node = cu_check_expr(check, parsed.clause);
	check->depth -= 16;
	check->inline_args = outer;
	check->inline_args_len = outer_len;
	cu_parsed_free(&parsed);
	if (node == NULL || node->kind != CU_NODE_CALL)
		return node;
	node->folds_first = cu_check_alloc(check, args_len * sizeof(*args));
	if (node->folds_first == NULL)
		return NULL;
	memcpy(node->folds_first, args, args_len * sizeof(*args));
	node->folds_first_len = (unsigned)args_len;
	return node;
}
