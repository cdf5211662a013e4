/* shape_list.h: a list of shapes with a reference each.
 *
 * Threads: the owner's. Cost: an append, now and then a realloc.
 */
#ifndef CU_SHAPE_LIST_H
#define CU_SHAPE_LIST_H

#include "shape/shape.h"

struct cu_shape_list {
	cu_shape **list;
	size_t len, cap;
};

void cu_shape_list_add(struct cu_shape_list *list, cu_shape *shape); /* takes a reference of its own */
/* Gives the references back and keeps the memory. */
void cu_shape_list_clear(struct cu_shape_list *list);
void cu_shape_list_fini(struct cu_shape_list *list);

#endif
