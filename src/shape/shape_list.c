#include "shape/shape_list.h"

#include <stdlib.h>

void cu_shape_list_add(struct cu_shape_list *list, cu_shape *shape)
{
	if (list->len == list->cap) {
		list->cap = list->cap ? list->cap * 2 : 64;
		list->list = cu_xrealloc(list->list, list->cap * sizeof(*list->list));
	}
	list->list[list->len++] = cu_shape_ref(shape);
}

void cu_shape_list_clear(struct cu_shape_list *list)
{
	for (size_t i = 0; i < list->len; i++)
		cu_shape_unref(&list->list[i]);
	list->len = 0;
}

void cu_shape_list_fini(struct cu_shape_list *list)
{
	cu_shape_list_clear(list);
	free(list->list);
	*list = (struct cu_shape_list){ NULL, 0, 0 };
}
