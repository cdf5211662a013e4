/* view.c: relation columns to definition columns. */
#include "shape/view.h"

#include <stdlib.h>

struct cu_shape_view {
	cu_shape_view *next;
	uint32_t relation_oid;
	uint32_t generation;
	bool identity;
	unsigned len;
	uint16_t from[]; /* definition column i is relation column from[i] */
};

#define NO_COLUMN UINT16_MAX

void cu_shape_views_free(struct cu_shape_view **views)
{
	while (*views) {
		cu_shape_view *view = *views;

		*views = view->next;
		free(view);
	}
}

static int find_column(const struct cu_relation *relation, const char *name, unsigned likely)
{
	if (likely < relation->columns_len && strcmp(relation->columns[likely].name, name) == 0)
		return (int)likely;
	for (unsigned i = 0; i < relation->columns_len; i++) {
		if (strcmp(relation->columns[i].name, name) == 0)
			return (int)i;
	}
	return -1;
}

static cu_shape_view *view_new(const cu_definition *def, const struct cu_relation *relation, const char **ret_why)
{
	cu_shape_view *view;

	if (relation->oid == def->oid &&
	    (strcmp(relation->schema, def->schema) != 0 || strcmp(relation->name, def->name) != 0)) {
		*ret_why = "the table was renamed";
		return NULL;
	}
	if (relation->columns_len != def->columns_len && !cu_definition_ignores_new_columns(def)) {
		*ret_why = "columns were added or dropped";
		return NULL;
	}
	view = cu_xzalloc(sizeof *view + def->columns_len * sizeof view->from[0]);
	view->relation_oid = relation->oid;
	view->generation = relation->generation;
	view->identity = relation->columns_len == def->columns_len;
	view->len = def->columns_len;
	for (unsigned i = 0; i < def->columns_len; i++) {
		const struct cu_definition_column *column = &def->columns[i];
		int at = find_column(relation, column->name, i);

		if (at < 0 || relation->columns[at].type_oid != column->type_oid ||
		    relation->columns[at].typmod != column->typmod) {
			if (!cu_definition_needs(def, i, NULL)) {
				view->from[i] = NO_COLUMN;
				view->identity = false;
				continue;
			}
			*ret_why = at < 0 ? "a column was renamed or replaced" : "a column's type changed";
			free(view);
			return NULL;
		}
		view->from[i] = (uint16_t)at;
		view->identity = view->identity && (unsigned)at == i;
	}
	return view;
}

const cu_shape_view *cu_shape_view_of(cu_definition *def, const struct cu_relation *relation, const char **ret_why)
{
	cu_shape_view **at = &def->views, *view;

	for (; *at; at = &(*at)->next) {
		if ((*at)->relation_oid != relation->oid)
			continue;
		if ((*at)->generation == relation->generation)
			return *at;
		view = *at;
		*at = view->next;
		free(view);
		break;
	}
	view = view_new(def, relation, ret_why);
	if (view) {
		view->next = def->views;
		def->views = view;
	}
	return view;
}

bool cu_shape_view_is_complete(const cu_shape_view *view)
{
	for (unsigned i = 0; i < view->len; i++) {
		if (view->from[i] == NO_COLUMN)
			return false;
	}
	return true;
}

bool cu_shape_view_misses(const cu_shape_view *view, const cu_definition *def, const char *where)
{
	for (unsigned i = 0; i < view->len; i++) {
		if (view->from[i] == NO_COLUMN && cu_definition_needs(def, i, where))
			return true;
	}
	return false;
}

bool cu_shape_view_is_identity(const cu_shape_view *view)
{
	return view->identity;
}

void cu_shape_view_row(const cu_shape_view *view, const struct cu_pg_value *row, struct cu_pg_value *ret_row)
{
	for (unsigned i = 0; i < view->len; i++)
		ret_row[i] =
			view->from[i] == NO_COLUMN ? (struct cu_pg_value){ .kind = CU_PG_NULL } : row[view->from[i]];
}
