/* scope.c: enums, citext and collations as the catalog described them when the definition was made. */
#include "shape/scope.h"

#include "value/collation.h"

#include <stdlib.h>

#define FIRST_USER_OID 16384u /* FirstNormalObjectId: below it types are Postgres' own */
#define DEFAULT_COLLATION_OID 100u

/* What the scope points to. */
struct owned {
	struct cu_type *types; /* two for each column: its scalar type and an array of it */
	const char **names;    /* of those */
	const char ***labels;  /* of the enums */
	cu_collation **collations;
	size_t columns_len;
	cu_collation *database;
};

static void release(void *owner)
{
	struct owned *owned = owner;

	for (size_t i = 0; i < owned->columns_len; i++) {
		free((char *)(uintptr_t)owned->names[2 * i]);
		free((char *)(uintptr_t)owned->names[2 * i + 1]);
		for (size_t k = 0; owned->labels[i] && owned->labels[i][k]; k++)
			free((char *)(uintptr_t)owned->labels[i][k]);
		free(owned->labels[i]);
		cu_collation_free(&owned->collations[i]);
	}
	cu_collation_free(&owned->database);
	free(owned->types);
	free(owned->names);
	free(owned->labels);
	free(owned->collations);
	free(owned);
}

static const char **copy_labels(const struct cu_definition_column *column)
{
	const char **labels = cu_xmalloc((column->labels_len + 1) * sizeof(*labels));

	for (size_t i = 0; i < column->labels_len; i++)
		labels[i] = cu_xstrdup(column->labels[i]);
	labels[column->labels_len] = NULL;
	return labels;
}

/* NULL: values of it cannot be looked at. */
static const struct cu_type *type_of(struct owned *owned, size_t at, const struct cu_definition_column *column)
{
	struct cu_type *scalar = &owned->types[2 * at], *array = &owned->types[2 * at + 1];
	const struct cu_type *builtin = cu_type_builtin(column->scalar_oid);
	cu_buf name = CU_BUF_INIT;
	bool citext;

	if (builtin)
		return column->is_array ? builtin->array : builtin;
	citext = column->scalar_oid >= FIRST_USER_OID && column->scalar_name &&
		 strcmp(column->scalar_name, "citext") == 0;
	if (!column->scalar_type || (!citext && !column->labels_len))
		return NULL;
	cu_buf_printf(&name, "%s[]", column->scalar_type);
	owned->names[2 * at] = cu_xstrdup(column->scalar_type);
	owned->names[2 * at + 1] = cu_buf_steal(&name, NULL);
	if (!citext)
		owned->labels[at] = copy_labels(column);
	*scalar = (struct cu_type){
		.oid = column->scalar_oid,
		.repr = citext ? CU_REPR_TEXT : CU_REPR_ENUM,
		.category = citext ? 'S' : 'E',
		.citext = citext,
		.name = owned->names[2 * at],
		.labels = owned->labels[at],
		.labels_len = citext ? 0 : (unsigned)column->labels_len,
	};
	if (!column->is_array || column->is_domain)
		return column->is_array ? NULL : scalar;
	*array = (struct cu_type){
		.oid = column->type_oid,
		.repr = CU_REPR_ARRAY,
		.category = 'A',
		.name = owned->names[2 * at + 1],
		.elem = scalar,
	};
	scalar->array = array;
	return array;
}

static cu_collation *collation_new(const cu_definition *def, const struct cu_catalog_collation *collate,
				   const cu_collation *database)
{
	static const struct cu_catalog_collation c = {
		.oid = 950, .name = "pg_catalog.\"C\"", .provider = 'c', .deterministic = true, .locale = "C"
	};
	struct cu_collation_desc desc;
	cu_collation *collation;

	if (!collate->oid)
		collate = &c; /* nobody asked the catalog: bytes, as they are */
	desc = (struct cu_collation_desc){
		.oid = collate->oid,
		.name = collate->name,
		.provider = collate->provider,
		.deterministic = collate->deterministic,
		.locale = collate->locale,
		.version = collate->version,
		.rules = collate->rules,
		.encoding = def->encoding ? def->encoding : "",
		.database = database,
	};

	/* Only memory can fail it. */
	CU_ASSERT(cu_collation_new(&desc, &collation) == 0);
	return collation;
}

cu_expr_scope *cu_shape_scope_new(const cu_definition *def)
{
	size_t len = def->columns_len;
	struct cu_expr_column *columns = cu_xzalloc((len + 1) * sizeof *columns);
	struct owned *owned = cu_xzalloc(sizeof *owned);
	cu_expr_scope *scope;

	owned->columns_len = len;
	owned->types = cu_xzalloc((2 * len + 1) * sizeof *owned->types);
	owned->names = cu_xzalloc((2 * len + 1) * sizeof(*owned->names));
	owned->labels = cu_xzalloc((len + 1) * sizeof(*owned->labels));
	owned->collations = cu_xzalloc((len + 1) * sizeof(*owned->collations));
	owned->database = collation_new(def, &def->database, NULL);
	for (size_t i = 0; i < len; i++) {
		const struct cu_definition_column *column = &def->columns[i];

		columns[i] = (struct cu_expr_column){
			.name = column->name,
			.type = type_of(owned, i, column),
			.type_name = column->formatted_type,
			.typmod = column->typmod,
			.is_domain = column->is_domain,
		};
		if (column->collate.oid == DEFAULT_COLLATION_OID)
			columns[i].collation = owned->database;
		else if (column->collate.oid)
			columns[i].collation = owned->collations[i] =
				collation_new(def, &column->collate, owned->database);
	}
	scope = cu_expr_scope_new(def->name, columns, len, owned->database, def->pg_version, owned, release);
	free(columns);
	return scope;
}
