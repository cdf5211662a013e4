/* table_shapes.h: what a table looks like, just read, against the shapes that are there: those that it does not fit any more are
 * removed. The stream says nothing of a DROP or a rename, and of altered columns only with the table's next change.
 *
 * Whoever reads a table takes a mark before: shapes that were made after it may know more than what was read, and are left alone.
 *
 * Threads: any that may take its time. Cost: a walk over the definitions; over all shapes only when one does not fit.
 */
#ifndef CU_SHAPE_TABLE_SHAPES_H
#define CU_SHAPE_TABLE_SHAPES_H

#include "pg/catalog.h"
#include "shape/shape_set.h"

/* A moment: shapes made later are not judged. */
uint64_t cu_table_shapes_mark(cu_shape_set *shapes);

/* Removes the shapes of this table that its columns or its name do not fit, and those of other tables that had its name: dropped
 * and created again, or renamed away. */
void cu_table_shapes_compare(cu_shape_set *shapes, const struct cu_table *table, uint64_t mark);
/* There is no table of that name: its shapes go. */
void cu_table_shapes_missing(cu_shape_set *shapes, const char *schema, const char *name, uint64_t mark);
/* Removes the shapes of a definition. */
void cu_table_shapes_remove(cu_shape_set *shapes, const cu_definition *def, uint64_t mark, const char *why);

#endif
