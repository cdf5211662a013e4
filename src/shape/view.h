/* view.h: how a relation of the stream looks through a definition.
 *
 * A Relation message names columns in the order of the table that was written to: the shape's own table, or a
 * partition of it whose columns may stand in another order. A view maps them by name, once per relation and definition.
 * A relation that no longer has the columns that the definition's items depend on does not fit: the shapes have to go. Others may
 * come, and where columns are listed also go or change: those that go are NULL in the view, and the shapes whose clause
 * names one have to go.
 *
 * Threads: collector only.
 */
#ifndef CU_SHAPE_VIEW_H
#define CU_SHAPE_VIEW_H

#include "pg/pgoutput.h"
#include "shape/definition.h"

/* A relation as the stream described it last. */
struct cu_relation {
	uint32_t oid;
	uint32_t generation; /* grows with each description that differs, over all relations */
	char replica_identity;
	char *schema;
	char *name;
	unsigned columns_len;
	struct cu_relation_column {
		char *name;
		uint32_t type_oid;
		int32_t typmod;
	} * columns;
	/* The relation itself, then its partitioned ancestors: whose shapes its changes belong to. */
	uint32_t *route_oids;
	unsigned route_len;
};

typedef struct cu_shape_view cu_shape_view;

/* The view of this definition on this relation; made when missing or outdated. NULL: it does not fit, *ret_why says so. */
const cu_shape_view *cu_shape_view_of(cu_definition *def, const struct cu_relation *relation, const char **ret_why);
/* False: the relation lacks columns of the definition, which no item depends on. */
bool cu_shape_view_is_complete(const cu_shape_view *view);
/* Does the where clause (NULL: none) of one of the definition's shapes name a column that the relation has no more? */
bool cu_shape_view_misses(const cu_shape_view *view, const cu_definition *def, const char *where);
void cu_shape_views_free(struct cu_shape_view **views);

/* True: the row can be used as it came. Else cu_shape_view_row() puts its values into the definition's order. */
bool cu_shape_view_is_identity(const cu_shape_view *view);
void cu_shape_view_row(const cu_shape_view *view, const struct cu_pg_value *row, struct cu_pg_value *ret_row);

#endif
