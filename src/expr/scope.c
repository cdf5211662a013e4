/* The columns of one table, and the types that only its database knows. */
#include "expr/tree.h"

#include <stdio.h>
#include <stdlib.h>

static const struct cu_tinfo *own_type(const struct cu_expr_scope *scope, uint32_t oid)
{
	for (size_t i = 0; i < scope->types_len; i++) {
		if (scope->types[i].oid == oid)
			return &scope->types[i];
	}
	return NULL;
}

bool cu_scope_lacks_type(const struct cu_expr_scope *scope, uint32_t oid)
{
	return scope->pg_version < 15 && (oid == CU_CHAROID || oid == CU_CHARARRAYOID);
}

bool cu_scope_type(const struct cu_expr_scope *scope, uint32_t oid, struct cu_tinfo *ret_info)
{
	const struct cu_tinfo *own = own_type(scope, oid);
	const struct cu_catalog_type *builtin;

	if (own != NULL) {
		*ret_info = *own;
		return true;
	}
	if (oid == CU_CITEXTOID || oid == CU_CITEXTARRAYOID)
		return false;
	builtin = cu_catalog_type(oid);
	if (builtin == NULL)
		return false;
	*ret_info = (struct cu_tinfo){
		.oid = oid,
		.typtype = builtin->typtype,
		.category = scope->pg_version < 15 && oid == CU_CHAROID ? 'S' : builtin->category,
		.preferred = builtin->preferred,
		.elem = builtin->elem,
		.array = builtin->array,
		.collation = builtin->collation,
		.name = cu_catalog_string(builtin->name),
		.format = cu_catalog_string(builtin->format),
		.type = cu_scope_lacks_type(scope, oid) ? NULL : cu_type_builtin(oid),
	};
	return true;
}

bool cu_sql_name_is(const char *sql, const char *schema, const char *name)
{
	const char *parts[2] = { schema, name };
	bool qualified = false, quoted = false;

	for (const char *p = sql; *p; p++) {
		if (*p == '"')
			quoted = !quoted;
		else if (*p == '.' && !quoted)
			qualified = true;
	}
	for (unsigned i = qualified ? 0 : 1; i < 2; i++) {
		const char *part = parts[i];

		/* A name that was written without its schema is found where the type's schema is in the search path; we
		 * cannot see that path, and a type of the table's own columns is what must be meant. */
		quoted = *sql == '"';
		sql += quoted;
		while (*sql && (quoted ? *sql != '"' || sql[1] == '"' : *sql != '.')) {
			if (part != NULL && *part++ != *sql)
				return false;
			sql += quoted && *sql == '"' ? 2 : 1;
		}
		if (part != NULL && *part)
			return false;
		sql += quoted;
		sql += i == 0 && *sql == '.';
	}
	return *sql == 0;
}

uint32_t cu_scope_type_named(const struct cu_expr_scope *scope, const char *schema, const char *name)
{
	const struct cu_catalog_type *builtin;

	if (schema == NULL || strcmp(schema, "pg_catalog") == 0) {
		builtin = cu_catalog_type_named(name);
		if (builtin != NULL && builtin->oid != CU_CITEXTOID && builtin->oid != CU_CITEXTARRAYOID)
			return builtin->oid;
	}
	for (size_t i = 0; i < scope->types_len; i++) {
		if (scope->types[i].elem == 0 && scope->types[i].base == 0 &&
		    cu_sql_name_is(scope->types[i].type->name, schema, name))
			return scope->types[i].oid;
	}
	return 0;
}

uint32_t cu_scope_domain_named(const struct cu_expr_scope *scope, const char *schema, const char *name)
{
	for (size_t i = 0; i < scope->types_len; i++) {
		if (scope->types[i].base != 0 && cu_sql_name_is(scope->types[i].format, schema, name))
			return scope->types[i].base;
	}
	return 0;
}

/* Oids of types that no catalog gave: above all real ones that a column can have. */
#define MADE_DOMAIN_OID 0xe0000000u
#define MADE_ARRAY_OID 0xf0000000u

static void own_type_add(struct cu_expr_scope *scope, struct cu_tinfo info)
{
	if (own_type(scope, info.oid) == NULL)
		scope->types[scope->types_len++] = info;
}

/* Registers an enum or citext and its array; returns what the checker calls it, 0: not supported. */
static uint32_t scalar_add(struct cu_expr_scope *scope, const struct cu_type *type, size_t *made)
{
	const struct cu_type *array = type->array;
	uint32_t oid = type->citext ? CU_CITEXTOID : type->oid;
	uint32_t array_oid;

	if (type->repr != CU_REPR_ENUM && !type->citext)
		return 0;
	if (own_type(scope, oid) != NULL)
		return oid;
	if (array == NULL) {
		struct cu_type *own = &scope->arrays[(*made)++];
		size_t len = strlen(type->name) + 3;
		char *name = cu_xmalloc(len);

		snprintf(name, len, "%s[]", type->name);
		*own = (struct cu_type){ .oid = MADE_ARRAY_OID + (uint32_t)*made,
					 .repr = CU_REPR_ARRAY,
					 .category = 'A',
					 .name = name,
					 .elem = type };
		array = own;
	}
	array_oid = type->citext ? CU_CITEXTARRAYOID : array->oid;
	own_type_add(scope, (struct cu_tinfo){
				    .oid = oid,
				    .typtype = type->citext ? 'b' : 'e',
				    .category = type->citext ? 'S' : 'E',
				    .array = array_oid,
				    .collation = type->citext,
				    .name = type->name,
				    .format = type->name,
				    .type = type,
			    });
	own_type_add(scope, (struct cu_tinfo){
				    .oid = array_oid,
				    .typtype = 'b',
				    .category = 'A',
				    .elem = oid,
				    .collation = type->citext,
				    .name = array->name,
				    .format = array->name,
				    .type = array,
			    });
	scope->has_citext |= type->citext;
	return oid;
}

static uint32_t column_type(struct cu_expr_scope *scope, const struct cu_type *type, size_t *made)
{
	const struct cu_tinfo *elem;
	uint32_t oid;

	if (type == NULL || type->repr == CU_REPR_NONE || cu_scope_lacks_type(scope, type->oid))
		return 0;
	if (cu_type_builtin(type->oid) != NULL)
		return type->oid;
	if (type->elem == NULL)
		return scalar_add(scope, type, made);
	oid = scalar_add(scope, type->elem, made);
	elem = oid == 0 ? NULL : own_type(scope, oid);
	return elem == NULL ? 0 : elem->array;
}

/* A domain is a type of its own: no array, no enum, and what Postgres asks of its base type (cu_type_base) alone is
 * answered by that. Columns of one domain have one type. */
static uint32_t domain_add(struct cu_expr_scope *scope, uint32_t column)
{
	const char *name = scope->columns[column].type_name;
	struct cu_tinfo info;

	CU_ASSERT(cu_scope_type(scope, scope->column_types[column], &info));
	for (size_t i = 0; i < scope->types_len; i++) {
		if (name != NULL && scope->types[i].base == info.oid && strcmp(scope->types[i].format, name) == 0)
			return scope->types[i].oid;
	}
	info.base = info.oid;
	info.oid = MADE_DOMAIN_OID + column;
	info.typtype = 'd';
	info.preferred = false;
	info.elem = info.array = 0;
	if (name != NULL)
		info.name = info.format = name;
	own_type_add(scope, info);
	return info.oid;
}

static cu_collation *bytes_collation(uint32_t oid, const char *name, const char *locale,
				     const struct cu_collation *database)
{
	const struct cu_collation_desc desc = { .oid = oid,
						.name = name,
						.provider = 'c',
						.deterministic = true,
						.locale = locale,
						.encoding = "UTF8",
						.database = database };
	cu_collation *collation;

	CU_ASSERT(cu_collation_new(&desc, &collation) == 0); /* small and of our own making */
	return collation;
}

cu_expr_scope *cu_expr_scope_new(const char *table_name, const struct cu_expr_column *columns, size_t columns_len,
				 const struct cu_collation *default_collation, int pg_version, void *owner,
				 void (*release)(void *owner))
{
	struct cu_expr_scope *scope = cu_xzalloc(sizeof *scope);
	size_t made = 0;

	scope->refs = 1;
	scope->table_name = cu_xstrdup(table_name);
	scope->default_collation = default_collation;
	scope->pg_version = pg_version;
	scope->c = bytes_collation(950, "pg_catalog.\"C\"", "C", default_collation);
	scope->posix = bytes_collation(951, "\"POSIX\"", "POSIX", default_collation);
	scope->owner = owner;
	scope->release = release;
	scope->columns_len = columns_len;
	scope->columns = cu_xzalloc((columns_len + 1) * sizeof *scope->columns);
	scope->column_types = cu_xzalloc((columns_len + 1) * sizeof *scope->column_types);
	scope->types = cu_xzalloc((columns_len * 3 + 1) * sizeof *scope->types);
	scope->arrays = cu_xzalloc((columns_len + 1) * sizeof *scope->arrays);
	for (size_t i = 0; i < columns_len; i++) {
		scope->columns[i] = columns[i];
		scope->columns[i].name = cu_xstrdup(columns[i].name);
		scope->columns[i].type_name = columns[i].type_name ? cu_xstrdup(columns[i].type_name) : NULL;
		scope->column_types[i] = column_type(scope, columns[i].type, &made);
		if (columns[i].is_domain && scope->column_types[i] != 0)
			scope->column_types[i] = domain_add(scope, (uint32_t)i);
	}
	return scope;
}

const struct cu_expr_column *cu_expr_scope_columns(const cu_expr_scope *scope, size_t *ret_len)
{
	*ret_len = scope->columns_len;
	return scope->columns;
}

cu_expr_scope *cu_expr_scope_ref(cu_expr_scope *scope)
{
	__atomic_fetch_add(&scope->refs, 1, __ATOMIC_RELAXED);
	return scope;
}

void cu_expr_scope_unref(cu_expr_scope **ref)
{
	struct cu_expr_scope *scope = *ref;

	*ref = NULL;
	if (scope == NULL || __atomic_sub_fetch(&scope->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (size_t i = 0; i < scope->columns_len; i++) {
		free((char *)scope->columns[i].name);
		free((char *)scope->columns[i].type_name);
		free((char *)scope->arrays[i].name);
	}
	if (scope->release != NULL)
		scope->release(scope->owner);
	cu_collation_free(&scope->c);
	cu_collation_free(&scope->posix);
	free(scope->columns);
	free(scope->column_types);
	free(scope->types);
	free(scope->arrays);
	free(scope->table_name);
	free(scope);
}
