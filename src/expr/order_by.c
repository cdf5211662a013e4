/* order_by.c: from ORDER BY's text to columns, and back to SQL. */
#include "expr/order_by.h"

#include "expr/parse.h"
#include "expr/tree.h"
#include "pg/conn.h"

#include <stdlib.h>

struct parser {
	const cu_expr_scope *scope;
	const char *text;
	size_t len;
	struct cu_expr_error *err;
};

static unsigned position_of(const struct parser *parser, int32_t location)
{
	if (location < (int32_t)CU_PARSE_ORDER_PREFIX_LEN)
		return 0;
	return cu_parse_position(parser->text, parser->len, (size_t)location - CU_PARSE_ORDER_PREFIX_LEN);
}

/* What Postgres calls such a node: FuncCall, TypeCast, SubLink … */
static const char *node_name(const PgQuery__Node *node)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field(node->base.descriptor, (unsigned)node->node_case);
	const ProtobufCMessageDescriptor *type = field ? field->descriptor : NULL;

	return type ? type->short_name : "other";
}

/* Where a node that is not a column stands; 0: libpg_query does not say in a form that all nodes share. */
static int32_t node_location(const PgQuery__Node *node)
{
	switch (node->node_case) {
	case PG_QUERY__NODE__NODE_FUNC_CALL: return node->func_call->location;
	case PG_QUERY__NODE__NODE_A_EXPR: return node->a_expr->location;
	case PG_QUERY__NODE__NODE_A_CONST: return node->a_const->location;
	case PG_QUERY__NODE__NODE_TYPE_CAST: return node->type_cast->location;
	case PG_QUERY__NODE__NODE_SUB_LINK: return node->sub_link->location;
	case PG_QUERY__NODE__NODE_CASE_EXPR: return node->case_expr->location;
	case PG_QUERY__NODE__NODE_COLLATE_CLAUSE: return node->collate_clause->location;
	case PG_QUERY__NODE__NODE_PARAM_REF: return node->param_ref->location;
	default: return 0;
	}
}

static int find_column(const struct parser *parser, const PgQuery__ColumnRef *ref, uint16_t *ret_column)
{
	const cu_expr_scope *scope = parser->scope;
	unsigned position = position_of(parser, ref->location);
	const char *names[2] = { NULL, NULL }; /* column, table */

	for (size_t i = 0; i < ref->n_fields; i++) {
		const PgQuery__Node *field = ref->fields[ref->n_fields - 1 - i];

		if (i >= CU_ARRAY_LEN(names) || field->node_case != PG_QUERY__NODE__NODE_STRING)
			return cu_expr_fail(parser->err, "0A000", position, "only a column may stand in ORDER BY");
		names[i] = field->string->sval;
	}
	if (names[1] && strcmp(names[1], scope->table_name) != 0)
		return cu_expr_fail(parser->err, "42P01", position, "missing FROM-clause entry for table \"%s\"",
				    names[1]);
	for (size_t i = 0; i < scope->columns_len; i++) {
		if (strcmp(scope->columns[i].name, names[0]) != 0)
			continue;
		*ret_column = (uint16_t)i;
		return 0;
	}
	return cu_expr_fail(parser->err, "42703", position, "column \"%s\" does not exist", names[0]);
}

static int read_key(const struct parser *parser, const PgQuery__Node *node, struct cu_order_key *ret_key)
{
	const PgQuery__SortBy *sort;
	const PgQuery__Node *what;

	CU_ASSERT(node->node_case == PG_QUERY__NODE__NODE_SORT_BY); /* the grammar has nothing else there */
	sort = node->sort_by;
	what = sort->node;
	if (sort->sortby_dir == PG_QUERY__SORT_BY_DIR__SORTBY_USING)
		return cu_expr_fail(parser->err, "0A000", position_of(parser, sort->location),
				    "USING is not supported in ORDER BY clauses");
	if (what->node_case == PG_QUERY__NODE__NODE_PARAM_REF)
		return cu_expr_fail(parser->err, "0A000", position_of(parser, what->param_ref->location),
				    "parameter $%d is not supported in ORDER BY clauses", what->param_ref->number);
	if (what->node_case != PG_QUERY__NODE__NODE_COLUMN_REF)
		return cu_expr_fail(parser->err, "0A000", position_of(parser, node_location(what)),
				    "%s expressions are not allowed in ORDER BY clauses", node_name(what));
	ret_key->descending = sort->sortby_dir == PG_QUERY__SORT_BY_DIR__SORTBY_DESC;
	switch (sort->sortby_nulls) {
	case PG_QUERY__SORT_BY_NULLS__SORTBY_NULLS_FIRST: ret_key->nulls = CU_ORDER_NULLS_FIRST; break;
	case PG_QUERY__SORT_BY_NULLS__SORTBY_NULLS_LAST: ret_key->nulls = CU_ORDER_NULLS_LAST; break;
	default: ret_key->nulls = CU_ORDER_NULLS_DEFAULT; break;
	}
	return find_column(parser, what->column_ref, &ret_key->column);
}

int cu_order_by_parse(const cu_expr_scope *scope, const char *text, size_t len, struct cu_order_by *ret_order,
		      struct cu_expr_error *err)
{
	const struct parser parser = { scope, text, len, err };
	struct cu_order_by order = { NULL, 0 };
	struct cu_parsed parsed = { 0 };
	int rc;

	rc = cu_parse_order_by(text, len, &parsed, err);
	if (rc < 0)
		return rc;
	order.keys = cu_try_malloc(parsed.select->n_sort_clause * sizeof *order.keys);
	if (!order.keys)
		rc = CU_ENOMEM;
	for (size_t i = 0; rc == 0 && i < parsed.select->n_sort_clause; i++) {
		rc = read_key(&parser, parsed.select->sort_clause[i], &order.keys[i]);
		order.keys_len++;
	}
	cu_parsed_free(&parsed);
	if (rc < 0)
		cu_order_by_fini(&order);
	else
		*ret_order = order;
	return rc;
}

void cu_order_by_fini(struct cu_order_by *order)
{
	free(order->keys);
	*order = (struct cu_order_by){ NULL, 0 };
}

void cu_order_by_put_sql(const struct cu_order_by *order, const cu_expr_scope *scope, cu_buf *out)
{
	for (size_t i = 0; i < order->keys_len; i++) {
		const struct cu_order_key *key = &order->keys[i];

		if (i)
			cu_buf_puts(out, ", ");
		cu_pg_put_relation(out, scope->table_name, scope->columns[key->column].name);
		if (key->descending)
			cu_buf_puts(out, " DESC");
		if (key->nulls != CU_ORDER_NULLS_DEFAULT)
			cu_buf_puts(out, key->nulls == CU_ORDER_NULLS_FIRST ? " NULLS FIRST" : " NULLS LAST");
	}
}
