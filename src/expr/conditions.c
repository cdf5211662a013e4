/* What an index can serve of a checked and folded clause. Everything here may be left out; nothing may be wrong. */
#include "expr/conditions.h"

#include "value/array.h"

int cu_datum_keep(const struct cu_type *type, const struct cu_datum *datum, cu_arena *arena, struct cu_datum *ret_datum)
{
	cu_buf text = CU_BUF_INIT;
	char *copy;
	int rc;

	switch (type->repr) {
	case CU_REPR_BOOL:
	case CU_REPR_INT:
	case CU_REPR_FLOAT4:
	case CU_REPR_FLOAT8:
	case CU_REPR_DATE:
	case CU_REPR_TIME:
	case CU_REPR_TIMESTAMP:
	case CU_REPR_TIMESTAMPTZ:
	case CU_REPR_ENUM: *ret_datum = *datum; return 0;
	case CU_REPR_TEXT:
	case CU_REPR_BYTEA:
	case CU_REPR_UUID:
	case CU_REPR_JSON:
		*ret_datum = *datum;
		if (datum->is_null)
			return 0;
		ret_datum->bytes = cu_arena_copy(arena, datum->bytes, datum->len);
		return ret_datum->bytes == NULL ? CU_ENOMEM : 0;
	default: break;
	}
	if (datum->is_null) {
		*ret_datum = *datum;
		return 0;
	}
	/* By way of the text form, which is exact. */
	rc = cu_value_out(type, datum, &text);
	if (rc == 0) {
		copy = cu_arena_copy(arena, text.data ? text.data : "", text.len);
		rc = copy == NULL || cu_buf_failed(&text)
			     ? CU_ENOMEM
			     : cu_value_in(type, -1, copy, text.len, arena, ret_datum, NULL);
	}
	cu_buf_fini(&text);
	return rc;
}

/* The conditions of one conjunction while they are collected. */
struct list {
	struct cu_condition *all;
	size_t len, cap;
	bool exact;
};

struct collector {
	struct cu_check *check;
	cu_arena *arena; /* where the result lives */
	int rc;
};

static struct cu_condition *add(struct collector *c, struct list *list)
{
	if (list->len == list->cap) {
		size_t cap = list->cap ? list->cap * 2 : 4;
		struct cu_condition *all = cu_check_alloc(c->check, cap * sizeof *all);

		if (all == NULL) {
			c->rc = CU_ENOMEM;
			return NULL;
		}
		if (list->len)
			memcpy(all, list->all, list->len * sizeof *all);
		list->all = all;
		list->cap = cap;
	}
	return memset(&list->all[list->len++], 0, sizeof list->all[0]);
}

static const struct cu_node *const_of(const struct cu_node *node)
{
	while (node->kind == CU_NODE_COLLATE || node->kind == CU_NODE_RELABEL)
		node = node->args[0];
	return node->kind == CU_NODE_CONST ? node : NULL;
}

static const struct cu_type *column_type(const struct collector *c, const struct cu_node *column)
{
	return c->check->scope->columns[column->column].type;
}

static bool is_plain_text(const struct cu_type *type)
{
	return type->repr == CU_REPR_TEXT && type->oid != CU_BPCHAROID && !type->citext;
}

/* The column, under casts that neither change a byte nor what it means: integer to oid changes the order. */
static const struct cu_node *column_of(const struct collector *c, const struct cu_node *node)
{
	while (node->kind == CU_NODE_COLLATE || node->kind == CU_NODE_RELABEL) {
		const struct cu_type *to = cu_type_info(c->check, node->type).type;
		const struct cu_type *from = cu_type_info(c->check, node->args[0]->type).type;

		if (to != from && !(is_plain_text(to) && is_plain_text(from)))
			return NULL;
		node = node->args[0];
	}
	return node->kind == CU_NODE_COLUMN ? node : NULL;
}

/* Whether a value of type `from` means the same as one of the column's type: the same representation, or an integer that fits. */
static bool fits(const struct cu_type *column, const struct cu_type *from, const struct cu_datum *value)
{
	if (column == from)
		return true;
	if (is_plain_text(column) && is_plain_text(from))
		return true;
	if (column->repr != CU_REPR_INT || from->repr != CU_REPR_INT || column->oid == CU_CHAROID ||
	    from->oid == CU_CHAROID)
		return false;
	switch (column->oid) {
	case CU_INT2OID: return value->integer >= INT16_MIN && value->integer <= INT16_MAX;
	case CU_INT4OID: return value->integer >= INT32_MIN && value->integer <= INT32_MAX;
	case CU_OIDOID: return value->integer >= 0 && value->integer <= UINT32_MAX;
	default: return true;
	}
}

static bool has_key(struct collector *c, const struct cu_type *type, const struct cu_collation *collation,
		    const struct cu_datum *value)
{
	cu_buf key = CU_BUF_INIT;
	int rc = cu_value_put_key(type, collation, value, &key);

	if (rc == 0 && cu_buf_failed(&key))
		rc = CU_ENOMEM;
	cu_buf_fini(&key);
	if (rc == CU_ENOMEM)
		c->rc = rc;
	return rc == 0;
}

/* values of type `from` as condition->values; false: they do not all fit. */
static bool set_values(struct collector *c, struct cu_condition *condition, const struct cu_type *from,
		       const struct cu_datum *values, size_t len)
{
	struct cu_datum *kept = cu_arena_alloc(c->arena, len * sizeof *kept);
	size_t n = 0;

	if (kept == NULL) {
		c->rc = CU_ENOMEM;
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		if (values[i].is_null)
			continue; /* equal to nothing */
		if (!fits(condition->type, from, &values[i]) ||
		    !has_key(c, condition->type, condition->collation, &values[i]))
			return false;
		c->rc = cu_datum_keep(condition->type, &values[i], c->arena, &kept[n++]);
		if (c->rc < 0)
			return false;
	}
	condition->values = kept;
	condition->values_len = n;
	return true;
}

static bool add_equal(struct collector *c, struct list *list, const struct cu_node *column,
		      const struct cu_collation *collation, const struct cu_type *from, const struct cu_datum *values,
		      size_t len)
{
	struct cu_condition *condition = add(c, list);

	if (condition == NULL)
		return false;
	condition->kind = CU_COND_EQUAL;
	condition->column = column->column;
	condition->type = column_type(c, column);
	condition->collation = collation;
	/* Without a value (all of them NULL) it could never hold; the evaluator will say so. */
	if (condition->type->elem == NULL && set_values(c, condition, from, values, len) && condition->values_len > 0)
		return true;
	list->len--;
	return false;
}

static const struct cu_type *type_of(const struct collector *c, const struct cu_node *node)
{
	return cu_type_info(c->check, node->type).type;
}

/* Puts one bound on a column; joins it with the other side where that is already there. */
static bool add_range(struct collector *c, struct list *list, const struct cu_node *column, const struct cu_node *call,
		      const struct cu_node *constant, bool is_lower, bool inclusive)
{
	const struct cu_type *type = column_type(c, column);
	struct cu_condition *range = NULL;
	struct cu_datum *values;
	size_t at;

	if (type->elem != NULL || type->repr == CU_REPR_JSONB || !fits(type, type_of(c, constant), &constant->value))
		return false;
	for (size_t i = 0; i < list->len && range == NULL; i++) {
		struct cu_condition *other = &list->all[i];

		if (other->kind == CU_COND_RANGE && other->column == column->column &&
		    other->collation == call->input && !(is_lower ? other->has_lower : other->has_upper))
			range = other;
	}
	if (range == NULL) {
		range = add(c, list);
		values = range == NULL ? NULL : cu_arena_alloc(c->arena, 2 * sizeof *values);
		if (values == NULL) {
			c->rc = CU_ENOMEM;
			return false;
		}
		range->kind = CU_COND_RANGE;
		range->column = column->column;
		range->type = type;
		range->collation = call->input;
		range->values = values;
	}
	values = (struct cu_datum *)range->values;
	at = range->values_len;
	if (is_lower && range->has_upper) {
		values[1] = values[0];
		at = 0;
	}
	c->rc = cu_datum_keep(type, &constant->value, c->arena, &values[at]);
	range->values_len++;
	if (is_lower) {
		range->has_lower = true;
		range->lower_inclusive = inclusive;
	} else {
		range->has_upper = true;
		range->upper_inclusive = inclusive;
	}
	return c->rc == 0;
}

/* column LIKE constant. Sets *ret_exact when the condition says it all. */
static bool add_like(struct collector *c, struct list *list, const struct cu_node *column, const struct cu_node *call,
		     const struct cu_datum *pattern, bool *ret_exact)
{
	const struct cu_type *type = column_type(c, column);
	char *prefix = cu_check_alloc(c->check, pattern->len + 1);
	struct cu_condition *condition;
	struct cu_datum value = { 0 };
	uint32_t len = 0, i = 0;

	if (prefix == NULL) {
		c->rc = CU_ENOMEM;
		return false;
	}
	if (!is_plain_text(type))
		return false;
	for (; i < pattern->len && pattern->bytes[i] != '%' && pattern->bytes[i] != '_'; i++) {
		if (pattern->bytes[i] == '\\' && ++i == pattern->len)
			return false; /* an error for every row that gets this far */
		prefix[len++] = pattern->bytes[i];
	}
	value.bytes = prefix;
	value.len = len;
	if (i == pattern->len) {
		*ret_exact = true;
		return add_equal(c, list, column, call->input, type, &value, 1);
	}
	if (len == 0)
		return false;
	*ret_exact = pattern->bytes[i] == '%';
	for (; i < pattern->len; i++)
		*ret_exact &= pattern->bytes[i] == '%';
	condition = add(c, list);
	if (condition == NULL)
		return false;
	condition->kind = CU_COND_PREFIX;
	condition->column = column->column;
	condition->type = type;
	condition->collation = call->input;
	if (set_values(c, condition, type, &value, 1))
		return true;
	list->len--;
	return false;
}

/* Array column @> or && constant array. */
static bool add_elements(struct collector *c, struct list *list, enum cu_condition_kind kind,
			 const struct cu_node *column, const struct cu_collation *collation, const struct cu_type *from,
			 const struct cu_datum *values, size_t len)
{
	const struct cu_type *type = column_type(c, column);
	struct cu_condition *condition;

	if (type->elem == NULL || len == 0)
		return false;
	for (size_t i = 0; i < len; i++) {
		/* Holding a NULL never holds. */
		if (values[i].is_null && kind == CU_COND_CONTAINS)
			return false;
	}
	condition = add(c, list);
	if (condition == NULL)
		return false;
	condition->kind = kind;
	condition->column = column->column;
	condition->type = type->elem;
	condition->collation = collation;
	if (set_values(c, condition, from, values, len) && condition->values_len > 0)
		return true;
	list->len--;
	return false;
}

static bool is_prosrc(const struct cu_node *node, const char *prosrc)
{
	return strcmp(cu_catalog_string(node->proc->prosrc), prosrc) == 0;
}

static bool collect_call(struct collector *c, struct list *list, const struct cu_node *node, bool *ret_exact)
{
	const struct cu_node *column, *constant;
	const char *op = node->op;
	bool swapped = false;

	if (node->args_len != 2)
		return false;
	column = column_of(c, node->args[0]);
	constant = const_of(node->args[1]);
	if (column == NULL || constant == NULL) {
		column = column_of(c, node->args[1]);
		constant = const_of(node->args[0]);
		swapped = true;
	}
	if (column == NULL || constant == NULL || constant->value.is_null)
		return false;
	*ret_exact = true;
	if (!swapped && (is_prosrc(node, "textlike") || is_prosrc(node, "namelike")))
		return add_like(c, list, column, node, &constant->value, ret_exact);
	if (!swapped && is_prosrc(node, "text_starts_with")) {
		struct cu_condition *condition;

		if (!is_plain_text(column_type(c, column)) || constant->value.len == 0)
			return false;
		condition = add(c, list);
		if (condition == NULL)
			return false;
		condition->kind = CU_COND_PREFIX;
		condition->column = column->column;
		condition->type = column_type(c, column);
		condition->collation = node->input;
		if (set_values(c, condition, type_of(c, constant), &constant->value, 1))
			return true;
		list->len--;
		return false;
	}
	if (op == NULL)
		return false;
	if (strcmp(op, "=") == 0)
		return add_equal(c, list, column, node->input, type_of(c, constant), &constant->value, 1);
	if (strcmp(op, "<") == 0 || strcmp(op, "<=") == 0)
		return add_range(c, list, column, node, constant, swapped, op[1] == '=');
	if (strcmp(op, ">") == 0 || strcmp(op, ">=") == 0)
		return add_range(c, list, column, node, constant, !swapped, op[1] == '=');
	if (is_prosrc(node, "arrayoverlap") || is_prosrc(node, swapped ? "arraycontained" : "arraycontains"))
		return add_elements(c, list, is_prosrc(node, "arrayoverlap") ? CU_COND_OVERLAPS : CU_COND_CONTAINS,
				    column, node->input, type_of(c, constant)->elem, constant->value.array->elems,
				    constant->value.array->len);
	return false;
}

static bool collect_any(struct collector *c, struct list *list, const struct cu_node *node)
{
	const struct cu_node *column = column_of(c, node->args[0]), *constant = const_of(node->args[1]);

	if (node->sub || strcmp(node->op, "=") != 0)
		return false;
	if (column != NULL && constant != NULL && !constant->value.is_null)
		return add_equal(c, list, column, node->input, type_of(c, constant)->elem, constant->value.array->elems,
				 constant->value.array->len);
	column = column_of(c, node->args[1]);
	constant = const_of(node->args[0]);
	if (column != NULL && constant != NULL && !constant->value.is_null)
		return add_elements(c, list, CU_COND_OVERLAPS, column, node->input, type_of(c, constant),
				    &constant->value, 1);
	return false;
}

static bool add_bool(struct collector *c, struct list *list, const struct cu_node *column, bool value)
{
	struct cu_datum datum = { .boolean = value };

	if (column == NULL || column->type != CU_BOOLOID)
		return false;
	return add_equal(c, list, column, NULL, cu_type_builtin(CU_BOOLOID), &datum, 1);
}

static bool add_null(struct collector *c, struct list *list, const struct cu_node *column)
{
	struct cu_condition *condition;

	if (column == NULL)
		return false;
	condition = add(c, list);
	if (condition == NULL)
		return false;
	condition->kind = CU_COND_NULL;
	condition->column = column->column;
	condition->type = column_type(c, column);
	return true;
}

static void collect(struct collector *c, struct list *list, const struct cu_node *node);

static struct cu_conditions finish(struct collector *c, const struct list *list)
{
	struct cu_conditions conditions = { .all_len = list->len, .exact = list->exact };

	conditions.all = cu_arena_copy(c->arena, list->all, list->len * sizeof *list->all);
	if (conditions.all == NULL)
		c->rc = CU_ENOMEM;
	return conditions;
}

/* OR: every alternative must have something to look for. Equalities of one column become one condition. */
static bool collect_or(struct collector *c, struct list *list, const struct cu_node *node, bool *ret_exact)
{
	struct cu_conditions *alternatives = cu_arena_alloc(c->arena, node->args_len * sizeof *alternatives);
	struct cu_condition *condition;
	size_t len = 0;

	if (alternatives == NULL) {
		c->rc = CU_ENOMEM;
		return false;
	}
	*ret_exact = true;
	for (unsigned i = 0; i < node->args_len; i++) {
		struct list one = { .exact = true };

		collect(c, &one, node->args[i]);
		if (c->rc < 0)
			return false;
		if (one.len == 0) {
			/* x OR NULL is never TRUE by its NULL. */
			if (cu_node_is_null_const(node->args[i]))
				continue;
			return false;
		}
		*ret_exact &= one.exact;
		alternatives[len++] = finish(c, &one);
	}
	condition = c->rc < 0 ? NULL : add(c, list);
	if (condition == NULL)
		return false;
	condition->kind = CU_COND_ANY;
	condition->alternatives = alternatives;
	condition->alternatives_len = len;
	return true;
}

static bool collect_one(struct collector *c, struct list *list, const struct cu_node *node, bool *ret_exact)
{
	*ret_exact = true;
	switch (node->kind) {
	case CU_NODE_CONST: return !node->value.is_null && node->value.boolean;
	case CU_NODE_COLUMN: return add_bool(c, list, node, true);
	case CU_NODE_NOT: return add_bool(c, list, column_of(c, node->args[0]), false);
	case CU_NODE_BOOLTEST:
		switch (node->sub) {
		case PG_QUERY__BOOL_TEST_TYPE__IS_TRUE: return add_bool(c, list, column_of(c, node->args[0]), true);
		case PG_QUERY__BOOL_TEST_TYPE__IS_FALSE: return add_bool(c, list, column_of(c, node->args[0]), false);
		case PG_QUERY__BOOL_TEST_TYPE__IS_UNKNOWN: return add_null(c, list, column_of(c, node->args[0]));
		default: return false;
		}
	case CU_NODE_NULLTEST: return node->sub == 0 && add_null(c, list, column_of(c, node->args[0]));
	case CU_NODE_DISTINCT: return node->sub == 1 && collect_call(c, list, node, ret_exact);
	case CU_NODE_CALL: return collect_call(c, list, node, ret_exact);
	case CU_NODE_ANY: return collect_any(c, list, node);
	case CU_NODE_OR: return collect_or(c, list, node, ret_exact);
	default: return false;
	}
}

/* The tree is no deeper than CU_WHERE_DEPTH_MAX. */
static void collect(struct collector *c, struct list *list, const struct cu_node *node)
{
	bool exact;

	if (node->kind == CU_NODE_AND) {
		for (unsigned i = 0; i < node->args_len && c->rc == 0; i++)
			collect(c, list, node->args[i]);
		return;
	}
	if (!collect_one(c, list, node, &exact))
		exact = false;
	list->exact &= exact;
}

int cu_conditions_new(struct cu_check *check, const struct cu_node *node, cu_arena *arena,
		      const struct cu_conditions **ret_conditions)
{
	struct collector c = { check, arena, 0 };
	struct list list = { .exact = true };
	struct cu_conditions *conditions = cu_arena_alloc(arena, sizeof *conditions);

	if (conditions == NULL)
		return CU_ENOMEM;
	collect(&c, &list, node);
	if (c.rc == 0)
		*conditions = finish(&c, &list);
	*ret_conditions = conditions;
	return c.rc;
}
