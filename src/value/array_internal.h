/* array_internal.h: what the files of arrays share. Inside src/value only. */
#ifndef CU_ARRAY_INTERNAL_H
#define CU_ARRAY_INTERNAL_H

#include "value/array.h"
#include "value/internal.h"

/* An array of these dimensions with room for its elements in *ret_elems, which the caller fills; has_nulls is set by
 * cu_array_note_nulls(). Checks the limits as Postgres does. No elements: the empty array. */
int cu_array_new(int ndim, const int *dims, const int *lbounds, cu_arena *arena, struct cu_array **ret_array,
		 struct cu_datum **ret_elems, struct cu_value_error *err);
void cu_array_note_nulls(struct cu_array *array);

/* Of the same shape, elements to be filled. */
int cu_array_new_like(const struct cu_array *like, cu_arena *arena, struct cu_array **ret_array,
		      struct cu_datum **ret_elems);

/* array_in.c */
int cu_array_in(const struct cu_type *type, int32_t typmod, const char *text, size_t len, cu_arena *arena,
		struct cu_datum *ret_datum, struct cu_value_error *err);
int cu_array_out(const struct cu_type *type, const struct cu_datum *datum, cu_buf *out);

#endif
