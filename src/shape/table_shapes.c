/* table_shapes.c: see table_shapes.h. */
#include "shape/table_shapes.h"

#include "shape/table_check.h"

#include <stdlib.h>

struct removal {
	cu_shape_set *shapes;
	uint64_t mark;
	const char *why;
	const struct cu_table *table; /* which it may fit; NULL: whatever */
};

uint64_t cu_table_shapes_mark(cu_shape_set *shapes)
{
	return cu_shape_set_last_id(shapes);
}

static void remove_one(void *ctx, cu_shape *shape)
{
	const struct removal *removal = ctx;

	if (shape->id <= removal->mark &&
	    !(removal->table && cu_table_fits(removal->table, shape->def, shape->route.where)))
		cu_shape_set_remove(removal->shapes, shape, removal->why, NULL);
}

static bool has_name(const cu_definition *def, const char *schema, const char *name)
{
	return strcmp(def->name, name) == 0 && strcmp(def->schema, schema) == 0;
}

/* table NULL: there is none of that name. */
static void compare(cu_shape_set *shapes, const struct cu_table *table, const char *schema, const char *name,
		    uint64_t mark)
{
	cu_definition **list;
	size_t len = cu_shape_set_definitions(shapes, &list);

	for (size_t i = 0; i < len; i++) {
		struct removal removal = { .shapes = shapes, .mark = mark };
		const cu_definition *def = list[i];

		if (table && def->oid == table->oid) {
			removal.table = table;
			if (!cu_table_fits_all(table, def))
				removal.why = has_name(def, schema, name) ? "the columns of its table changed"
									  : "its table has another name now";
		} else if (has_name(def, schema, name)) {
			removal.why = table ? "another table has its name now"
					    : "its table was dropped or has another name now";
		}
		if (removal.why)
			cu_shape_set_each_of(shapes, def, remove_one, &removal);
		cu_definition_unref(&list[i]);
	}
	free(list);
}

void cu_table_shapes_compare(cu_shape_set *shapes, const struct cu_table *table, uint64_t mark)
{
	compare(shapes, table, table->schema, table->name, mark);
}

void cu_table_shapes_missing(cu_shape_set *shapes, const char *schema, const char *name, uint64_t mark)
{
	compare(shapes, NULL, schema, name, mark);
}

void cu_table_shapes_remove(cu_shape_set *shapes, const cu_definition *def, uint64_t mark, const char *why)
{
	struct removal removal = { .shapes = shapes, .mark = mark, .why = why };

	cu_shape_set_each_of(shapes, def, remove_one, &removal);
}
