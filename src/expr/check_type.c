/* Names of types and collations, casts. */
#include "expr/tree.h"

#include "value/collation.h"

#include <stdio.h>

#define LENGTH_MAX 10485760 /* MaxAttrSize */

/* The last two parts of a dotted name. */
static bool name_of(PgQuery__Node *const *names, size_t len, const char **ret_schema, const char **ret_name)
{
	*ret_schema = NULL;
	if (len == 0 || len > 2)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (names[i]->node_case != PG_QUERY__NODE__NODE_STRING)
			return false;
	}
	*ret_name = names[len - 1]->string->sval;
	if (len == 2)
		*ret_schema = names[0]->string->sval;
	return true;
}

static bool typmod_length(struct cu_check *check, const char *name, const int32_t *mods, unsigned len, int at,
			  int32_t *ret)
{
	if (len != 1) {
		cu_check_fail(check, "22023", at, "invalid type modifier");
		return false;
	}
	if (mods[0] < 1) {
		cu_check_fail(check, "22023", at, "length for type %s must be at least 1", name);
		return false;
	}
	if (mods[0] > LENGTH_MAX) {
		cu_check_fail(check, "22023", at, "length for type %s cannot exceed %d", name, LENGTH_MAX);
		return false;
	}
	*ret = mods[0] + 4;
	return true;
}

static bool typmod_numeric(struct cu_check *check, const int32_t *mods, unsigned len, int at, int32_t *ret)
{
	int32_t scale = len == 2 ? mods[1] : 0;

	if (len > 2) {
		cu_check_fail(check, "22023", at, "invalid NUMERIC type modifier");
		return false;
	}
	if (mods[0] < 1 || mods[0] > 1000) {
		cu_check_fail(check, "22023", at, "NUMERIC precision %d must be between 1 and 1000", mods[0]);
		return false;
	}
	if (check->scope->pg_version >= 15 && (scale < -1000 || scale > 1000)) {
		cu_check_fail(check, "22023", at, "NUMERIC scale %d must be between -1000 and 1000", scale);
		return false;
	}
	if (check->scope->pg_version < 15 && (scale < 0 || scale > mods[0])) {
		cu_check_fail(check, "22023", at, "NUMERIC scale %d must be between 0 and precision %d", scale,
			      mods[0]);
		return false;
	}
	*ret = (int32_t)((uint32_t)mods[0] << 16 | ((uint32_t)scale & 0x7ff)) + 4;
	return true;
}

static bool typmod_of(struct cu_check *check, uint32_t type, const int32_t *mods, unsigned len, int at, int32_t *ret)
{
	switch (type) {
	case CU_VARCHAROID: return typmod_length(check, "varchar", mods, len, at, ret);
	case CU_BPCHAROID: return typmod_length(check, "char", mods, len, at, ret);
	case CU_NUMERICOID: return typmod_numeric(check, mods, len, at, ret);
	case CU_TIMEOID:
	case CU_TIMETZOID:
	case CU_TIMESTAMPOID:
	case CU_TIMESTAMPTZOID:
		if (len != 1 || mods[0] < 0)
			break;
		*ret = CU_MIN(mods[0], 6);
		return true;
	case CU_INTERVALOID:
		/* mods: the fields as a mask, then the precision. */
		if (len < 1 || len > 2 || (len == 2 && mods[1] < 0))
			break;
		if (len == 1 && mods[0] == 0x7fff)
			*ret = -1;
		else
			*ret = (int32_t)(((uint32_t)mods[0] & 0x7fff) << 16 |
					 (len == 2 ? (uint32_t)CU_MIN(mods[1], 6) : 0xffffu));
		return true;
	default:
		cu_check_fail(check, "42601", at, "type modifier is not allowed for type \"%s\"",
			      cu_type_info(check, type).name);
		return false;
	}
	cu_check_fail(check, "22023", at, "invalid type modifier");
	return false;
}

void cu_put_typmod(uint32_t type, int32_t typmod, cu_buf *out)
{
	static const struct {
		int32_t mask;
		const char *fields;
	} fields[] = {
		{ 1 << 2, "year" },
		{ 1 << 1, "month" },
		{ 1 << 3, "day" },
		{ 1 << 10, "hour" },
		{ 1 << 11, "minute" },
		{ 1 << 12, "second" },
		{ 1 << 2 | 1 << 1, "year to month" },
		{ 1 << 3 | 1 << 10, "day to hour" },
		{ 1 << 3 | 1 << 10 | 1 << 11, "day to minute" },
		{ 1 << 3 | 1 << 10 | 1 << 11 | 1 << 12, "day to second" },
		{ 1 << 10 | 1 << 11, "hour to minute" },
		{ 1 << 10 | 1 << 11 | 1 << 12, "hour to second" },
		{ 1 << 11 | 1 << 12, "minute to second" },
	};

	if (typmod < 0)
		return;
	switch (type) {
	case CU_VARCHAROID:
	case CU_BPCHAROID: cu_buf_printf(out, "(%d)", typmod - 4); break;
	case CU_NUMERICOID:
		typmod -= 4;
		cu_buf_printf(out, "(%d,%d)", typmod >> 16 & 0xffff, ((typmod & 0x7ff) ^ 1024) - 1024);
		break;
	case CU_INTERVALOID:
		for (size_t i = 0; i < CU_ARRAY_LEN(fields); i++) {
			if (fields[i].mask == (typmod >> 16 & 0x7fff))
				cu_buf_printf(out, " %s", fields[i].fields);
		}
		if ((typmod & 0xffff) != 0xffff)
			cu_buf_printf(out, "(%d)", typmod & 0xffff);
		break;
	default: cu_buf_printf(out, "(%d)", typmod); break;
	}
}

static void type_unknown(struct cu_check *check, const char *schema, const char *name, int at)
{
	uint32_t base = cu_scope_domain_named(check->scope, schema, name);
	const char *before = schema ? schema : "", *dot = schema ? "." : "";

	/* Domain constraints are the database's own expressions, and one may be added at any time. */
	if (base != 0)
		cu_check_fail(
			check, "0A000", at,
			"casts to the domain \"%s%s%s\" are not supported in where clauses: only Postgres can tell "
			"whether its constraints hold. Cast to %s, the type under it",
			before, dot, name, cu_type_format(check, base));
	else
		cu_check_fail(check, "0A000", at, "type \"%s%s%s\" does not exist, or no column of this table has it",
			      before, dot, name);
}

bool cu_check_type_name(struct cu_check *check, const PgQuery__TypeName *raw, uint32_t *ret_type, int32_t *ret_typmod)
{
	const char *schema, *name = "";
	int32_t mods[3];
	struct cu_tinfo info;
	uint32_t type;

	if (raw->setof || raw->pct_type || !name_of(raw->names, raw->n_names, &schema, &name)) {
		cu_check_fail(check, "0A000", raw->location, "this type is not supported in where clauses");
		return false;
	}
	type = cu_scope_type_named(check->scope, schema, name);
	if (type == 0) {
		type_unknown(check, schema, name, raw->location);
		return false;
	}
	info = cu_type_info(check, type);
	if (info.type == NULL || info.typtype == 'p') {
		cu_check_fail(check, "0A000", raw->location, "type %s is not supported in where clauses", info.format);
		return false;
	}
	*ret_typmod = -1;
	if (raw->n_typmods > CU_ARRAY_LEN(mods)) {
		cu_check_fail(check, "22023", raw->location, "invalid type modifier");
		return false;
	}
	for (size_t i = 0; i < raw->n_typmods; i++) {
		const PgQuery__Node *mod = raw->typmods[i];

		if (mod->node_case != PG_QUERY__NODE__NODE_A_CONST ||
		    mod->a_const->val_case != PG_QUERY__A__CONST__VAL_IVAL) {
			cu_check_fail(check, "42601", raw->location,
				      "type modifiers must be simple constants or identifiers");
			return false;
		}
		mods[i] = mod->a_const->ival->ival;
	}
	if (raw->n_typmods > 0 && !typmod_of(check, type, mods, (unsigned)raw->n_typmods, raw->location, ret_typmod))
		return false;
	if (raw->n_array_bounds > 0) {
		uint32_t array = cu_type_info(check, type).array;

		if (array == 0) {
			cu_check_fail(check, "42704", raw->location, "could not find array type for data type %s",
				      cu_type_format(check, type));
			return false;
		}
		type = array;
	}
	info = cu_type_info(check, type);
	if (info.type == NULL || info.typtype == 'p') {
		cu_check_fail(check, "0A000", raw->location, "type %s is not supported in where clauses", info.format);
		return false;
	}
	*ret_type = type;
	return true;
}

struct cu_node *cu_check_type_cast(struct cu_check *check, const PgQuery__TypeCast *raw)
{
	int at = raw->location >= 0 ? raw->location : raw->type_name->location;
	struct cu_node *arg, *cast;
	uint32_t type, elem;
	int32_t typmod;

	if (!cu_check_type_name(check, raw->type_name, &type, &typmod))
		return NULL;
	elem = cu_type_info(check, type).elem;
	if (elem != 0 && raw->arg->node_case == PG_QUERY__NODE__NODE_A_ARRAY_EXPR)
		arg = cu_check_array(check, raw->arg->a_array_expr, type, elem, typmod);
	else
		arg = cu_check_expr(check, raw->arg);
	if (arg == NULL)
		return NULL;
	cast = cu_coerce_to(check, arg, type, typmod, CU_COERCE_EXPLICIT, at);
	if (cast == NULL)
		return cu_check_fail(check, "42846", at, "cannot cast type %s to %s", cu_type_format(check, arg->type),
				     cu_type_format(check, type));
	if (cast != arg && cast->kind != CU_NODE_CONST && at >= 0 && at < cast->at)
		cast->at = at;
	return cast;
}

static const struct cu_collation *collation_named(const struct cu_check *check, const char *schema, const char *name)
{
	const struct cu_expr_scope *scope = check->scope;

	if (schema == NULL || strcmp(schema, "pg_catalog") == 0) {
		if (strcmp(name, "C") == 0)
			return scope->c;
		if (strcmp(name, "POSIX") == 0)
			return scope->posix;
		if (strcmp(name, "default") == 0)
			return scope->default_collation;
	}
	for (size_t i = 0; i < scope->columns_len; i++) {
		const struct cu_collation *collation = scope->columns[i].collation;

		if (collation != NULL && cu_sql_name_is(cu_collation_desc(collation)->name, schema, name))
			return collation;
	}
	return NULL;
}

struct cu_node *cu_check_collate(struct cu_check *check, const PgQuery__CollateClause *raw)
{
	const char *schema, *name = "";
	struct cu_node *arg = cu_check_expr(check, raw->arg), *node;

	if (arg == NULL)
		return NULL;
	if (arg->type != CU_UNKNOWNOID && cu_type_info(check, arg->type).collation == 0)
		return cu_check_fail(check, "42804", raw->location, "collations are not supported by type %s",
				     cu_type_format(check, arg->type));
	if (!name_of(raw->collname, raw->n_collname, &schema, &name))
		return cu_check_fail(check, "42601", raw->location, "improper qualified name (too many dotted names)");
	node = cu_node_new(check, CU_NODE_COLLATE, arg->type, arg->at, 1);
	if (node == NULL)
		return NULL;
	node->own_at = raw->location;
	node->typmod = arg->typmod;
	node->args[0] = arg;
	node->collation = collation_named(check, schema, name);
	if (node->collation == NULL)
		return cu_check_fail(check, "0A000", raw->location,
				     "collation \"%s\" for encoding \"UTF8\" does not exist, or no column of this "
				     "table has it",
				     name);
	return cu_node_done(check, node);
}
