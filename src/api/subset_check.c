/* subset_check.c: every complaint about the parts' form at once; then ORDER BY; then the clause. */
#include "api/subset_check.h"

#include "api/where.h"
#include "expr/order_by.h"
#include "value/float.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#define MSG_INVALID "is invalid"
/* The original counts locations of an ORDER BY in the query that it puts it into. */
#define ORDER_BY_PREFIX_LEN (sizeof "SELECT 1 ORDER BY " - 1)

static const char *const part_names[] = {
	[CU_SUBSET_WHERE] = "where",   [CU_SUBSET_ORDER_BY] = "order_by", [CU_SUBSET_LIMIT] = "limit",
	[CU_SUBSET_OFFSET] = "offset", [CU_SUBSET_PARAMS] = "params",
};

static void complain(cu_api_errors *errors, enum cu_subset_part part, const char *message)
{
	cu_api_errors_add(errors, part_names[part], message);
}

/* An integer, with or without a sign. True: it was given, and is one. */
static bool read_integer(const char *text, enum cu_subset_part part, int64_t least, const char *too_small,
			 int64_t *ret_value, cu_api_errors *errors)
{
	long long value;
	char *end;

	if (!text)
		return false;
	errno = 0;
	value = strtoll(text, &end, 10);
	if (*end || !strpbrk("+-0123456789", (char[]){ *text, 0 }) || !strpbrk(text, "0123456789")) {
		complain(errors, part, MSG_INVALID);
		return false;
	}
	if (value < least)
		complain(errors, part, too_small);
	else if (errno == ERANGE)
		complain(errors, part, "must be less than or equal to 9223372036854775807");
	*ret_value = value;
	return true;
}

static void check_form(const struct cu_shape_params *params, struct cu_subset *subset, cu_api_errors *errors)
{
	bool limited;

	for (unsigned part = 0; part < CU_ARRAY_LEN(part_names); part++)
		if (params->subset_invalid & 1u << part)
			complain(errors, part, MSG_INVALID);
	limited = read_integer(params->subset_limit, CU_SUBSET_LIMIT, 1, "must be greater than 0", &subset->limit,
			       errors);
	limited |= read_integer(params->subset_offset, CU_SUBSET_OFFSET, 0, "must be greater than or equal to 0",
				&subset->offset, errors);
	if (limited && !params->subset_order_by && !cu_api_errors_has(errors, part_names[CU_SUBSET_ORDER_BY]))
		complain(errors, CU_SUBSET_ORDER_BY, "order_by is required when limit or offset is present");
}

/* ---- what queryable_columns lets pass ---- */

static bool is_listed(const char *name, const char *const *list, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (strcmp(list[i], name) == 0)
			return true;
	return false;
}

/* A column that is not queryable is answered as one that does not exist. */
static int check_named(const struct cu_shape_params *params, const cu_definition *def, uint16_t column,
		       enum cu_subset_part part, cu_api_errors *errors)
{
	size_t len;
	const char *name = cu_expr_scope_columns(def->scope, &len)[column].name;

	if (!params->queryable_columns ||
	    is_listed(name, (const char *const *)params->queryable_columns, params->queryable_columns_len))
		return 0;
	cu_api_errors_add_fmt(errors, part_names[part], "unknown reference %s", name);
	return CU_EINVAL;
}

/* ---- the clauses ---- */

static int check_order_by(const struct cu_shape_params *params, const cu_definition *def, struct cu_subset *subset,
			  cu_api_errors *errors)
{
	struct cu_expr_error err = { .message = CU_BUF_INIT };
	struct cu_order_by order = { NULL, 0 };
	cu_buf sql = CU_BUF_INIT;
	int rc;

	if (!params->subset_order_by)
		return 0;
	rc = cu_order_by_parse(def->scope, params->subset_order_by, strlen(params->subset_order_by), &order, &err);
	if (rc == CU_EINVAL)
		cu_api_complain(&err, def, part_names[CU_SUBSET_ORDER_BY], ORDER_BY_PREFIX_LEN, errors);
	for (size_t i = 0; rc == 0 && i < order.keys_len; i++)
		rc = check_named(params, def, order.keys[i].column, CU_SUBSET_ORDER_BY, errors);
	if (rc == 0) {
		cu_order_by_put_sql(&order, def->scope, &sql);
		subset->order_by = cu_buf_steal(&sql, NULL);
		rc = subset->order_by ? 0 : CU_ENOMEM;
	}
	cu_order_by_fini(&order);
	cu_buf_fini(&err.message);
	cu_buf_fini(&sql);
	return rc;
}

/* The value of a parameter as the text that a client could have written just as well. False: it cannot be one. */
static bool put_value(const json_t *value, cu_buf *out)
{
	switch (json_typeof(value)) {
	case JSON_STRING: cu_buf_puts(out, json_string_value(value)); return true;
	case JSON_INTEGER: cu_buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value)); return true;
	case JSON_REAL: cu_float8_print(json_real_value(value), out); return true;
	case JSON_TRUE: cu_buf_puts(out, "true"); return true;
	case JSON_FALSE: cu_buf_puts(out, "false"); return true;
	case JSON_NULL: return true;
	default: return false;
	}
}

/* Which of 1 … size the key is, 0: none of them. */
static size_t number_of(const char *key, size_t size)
{
	unsigned long number = *key >= '1' && *key <= '9' ? strtoul(key, NULL, 10) : 0;

	return key[strspn(key, "0123456789")] == '\0' && number <= size ? number : 0;
}

/* Numbers from 1 to their place, whatever else there is to those that stay empty: that is to be complained about. */
static void place_keys(json_t *object, struct cu_text_pair *pairs)
{
	size_t size = json_object_size(object), empty = 0;
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value)
	{
		size_t number = number_of(key, size);

		if (number)
			pairs[number - 1].key = key;
	}
	json_object_foreach(object, key, value)
	{
		if (number_of(key, size))
			continue;
		while (pairs[empty].key)
			empty++;
		pairs[empty].key = key;
	}
}

/* {"1":"a","2":5} as pairs whose values are in texts. */
static int read_pairs(json_t *object, struct cu_text_pair *pairs, cu_buf *texts, cu_api_errors *errors)
{
	size_t size = json_object_size(object);
	const char *at;

	place_keys(object, pairs);
	for (size_t i = 0; i < size; i++) {
		if (!put_value(json_object_get(object, pairs[i].key), texts)) {
			complain(errors, CU_SUBSET_PARAMS, MSG_INVALID);
			return CU_EINVAL;
		}
		cu_buf_putc(texts, '\0');
	}
	if (cu_buf_failed(texts))
		return CU_ENOMEM;
	at = texts->data;
	for (size_t i = 0; i < size; i++) {
		pairs[i].value = at;
		at += strlen(at) + 1;
	}
	return 0;
}

static int parse_where(const struct cu_shape_params *params, const cu_definition *def, json_t *object,
		       cu_expr **ret_where, cu_api_errors *errors)
{
	size_t size = json_object_size(object);
	struct cu_text_pair *pairs = cu_try_zalloc((size + 1) * sizeof *pairs);
	cu_buf texts = CU_BUF_INIT;
	int rc;

	if (!pairs)
		return CU_ENOMEM;
	rc = read_pairs(object, pairs, &texts, errors);
	if (rc == 0)
		rc = cu_api_clause_parse(def, params->subset_where, pairs, size, ret_where, errors);
	free(pairs);
	cu_buf_fini(&texts);
	return rc;
}

static int check_where(const struct cu_shape_params *params, const cu_definition *def, struct cu_subset *subset,
		       json_t *object, cu_api_errors *errors)
{
	cu_buf sql = CU_BUF_INIT;
	cu_expr *where = NULL;
	const uint16_t *columns;
	size_t len;
	int rc;

	if (!params->subset_where)
		return 0;
	rc = parse_where(params, def, object, &where, errors);
	if (rc < 0)
		return rc;
	columns = cu_expr_columns(where, &len);
	for (size_t i = 0; rc == 0 && i < len; i++)
		rc = check_named(params, def, columns[i], CU_SUBSET_WHERE, errors);
	if (rc == 0)
		rc = cu_expr_put_sql(where, &sql);
	if (rc == 0) {
		subset->where = cu_buf_steal(&sql, NULL);
		rc = subset->where ? 0 : CU_ENOMEM;
	}
	cu_expr_unref(&where);
	cu_buf_fini(&sql);
	return rc;
}

int cu_subset_check(const struct cu_shape_params *params, const cu_definition *def, struct cu_subset **ret_subset,
		    cu_api_errors *errors)
{
	struct cu_subset *subset = cu_xzalloc(sizeof *subset);
	json_t *object = NULL;
	int rc = 0;

	subset->limit = CU_SUBSET_ALL;
	errors->within = "subset";
	check_form(params, subset, errors);
	if (params->subset_params) {
		object = json_loads(params->subset_params, JSON_DECODE_ANY, NULL);
		if (!json_is_object(object))
			complain(errors, CU_SUBSET_PARAMS,
				 object ? "params must be a JSON object" : "params must be valid JSON");
	}
	if (cu_api_errors_any(errors))
		rc = CU_EINVAL;
	if (rc == 0)
		rc = check_order_by(params, def, subset, errors);
	if (rc == 0)
		rc = check_where(params, def, subset, object, errors);
	json_decref(object);
	if (rc == 0) {
		*ret_subset = subset;
		subset = NULL;
	}
	cu_subset_free(&subset);
	return rc;
}

/* ---- queryable_columns and the rest of the request ---- */

static void list_put(cu_buf *list, const char *name)
{
	cu_buf_puts(list, list->len ? ", " : "");
	cu_buf_puts(list, name);
}

static int list_complain(cu_buf *list, const char *field, const char *before, cu_api_errors *errors)
{
	int rc = list->len ? CU_EINVAL : 0;

	if (rc < 0)
		cu_api_errors_add_fmt(errors, field, "%s%s", before, cu_buf_str(list));
	cu_buf_fini(list);
	return rc;
}

int cu_queryable_check_columns(const struct cu_shape_params *params, cu_api_errors *errors)
{
	const char *const *listed = (const char *const *)params->queryable_columns;
	cu_buf list = CU_BUF_INIT;

	for (size_t i = 0; listed && i < params->columns_len; i++)
		if (!is_listed(params->columns[i], listed, params->queryable_columns_len))
			list_put(&list, params->columns[i]);
	return list_complain(&list, "columns", "The following columns are not found on the table: ", errors);
}

int cu_queryable_check_table(const struct cu_shape_params *params, const struct cu_table *table, cu_api_errors *errors)
{
	const char *const *listed = (const char *const *)params->queryable_columns;
	cu_buf list = CU_BUF_INIT;
	int rc;

	if (!listed)
		return 0;
	for (unsigned i = 0; i < table->pk_len; i++)
		if (!is_listed(table->columns[table->pk[i]].name, listed, params->queryable_columns_len))
			list_put(&list, table->columns[table->pk[i]].name);
	rc = list_complain(&list, "queryable_columns",
			   "The list of queryable columns must include all primary key columns, missing: ", errors);
	for (size_t i = 0; rc == 0 && i < params->queryable_columns_len; i++)
		if (!cu_table_column(table, listed[i]))
			list_put(&list, listed[i]);
	return rc < 0 ? rc
		      : list_complain(&list, "queryable_columns",
				      "The following queryable columns are not found on the table: ", errors);
}
