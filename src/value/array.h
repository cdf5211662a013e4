/* array.h: arrays of any dimension and lower bounds, and what the evaluator does with them outside of functions.
 *
 * An array is immutable, in an arena; its elements are datums in row-major order, which may point elsewhere: results
 * share their arguments' elements. The type of the elements is not in it: it is the caller's struct cu_type.
 * Limits are Postgres': CU_ARRAY_NDIM_MAX dimensions, CU_ARRAY_LEN_MAX elements; more: 54000.
 *
 * Iteration (= ANY, ALL): for (uint32_t i = 0; i < array->len; i++) … array->elems[i].
 * Equality of text elements is asked of the collation; it needs no order.
 * Threads: immutable; any.
 * Errors: CU_EINVAL with *err (may be NULL) as Postgres says it; CU_ENOMEM.
 */
#ifndef CU_ARRAY_H
#define CU_ARRAY_H

#include "value/value.h"

#define CU_ARRAY_NDIM_MAX 6
#define CU_ARRAY_LEN_MAX 134217727

struct cu_array {
	int ndim; /* 0: empty, and only then */
	int dims[CU_ARRAY_NDIM_MAX];
	int lbounds[CU_ARRAY_NDIM_MAX];
	uint32_t len;   /* product of dims; 0 when ndim is 0 */
	bool has_nulls; /* at least one element is NULL */
	const struct cu_datum *elems;
};

extern const struct cu_array cu_array_empty;

/* ARRAY[…]: one dimension, lower bound 1. Copies elems (not what they point to). */
int cu_array_make(const struct cu_datum *elems, size_t len, cu_arena *arena, const struct cu_array **ret_array,
		  struct cu_value_error *err);
/* ARRAY[…] whose elements are arrays themselves: one dimension more. NULL and empty arrays count as empty ones. */
int cu_array_make_nested(const struct cu_datum *arrays, size_t len, cu_arena *arena, const struct cu_array **ret_array,
			 struct cu_value_error *err);

/* a[i][j]…: NULL when out of bounds or the number of subscripts is not that of the dimensions. */
struct cu_datum cu_array_get_element(const struct cu_array *array, const int32_t *subscripts, unsigned len);

struct cu_array_bound {
	bool has_lower, has_upper; /* false: omitted, as in a[:3] */
	int32_t lower, upper;
};
/* a[l:u]…: clipped to the array, lower bounds 1; empty where Postgres says so. Where one subscript of several is a
 * slice, the caller has made a plain one i to 1:i. len <= CU_ARRAY_NDIM_MAX. */
int cu_array_get_slice(const struct cu_array *array, const struct cu_array_bound *bounds, unsigned len, cu_arena *arena,
		       const struct cu_array **ret_array, struct cu_value_error *err);

/* An array of the same shape whose elements map() has made, NULL elements included: casts of whole arrays. map()'s
 * error ends it and is returned. */
typedef int (*cu_array_mapper)(void *arg, const struct cu_datum *elem, struct cu_datum *ret_elem);
int cu_array_map(const struct cu_array *array, cu_array_mapper map, void *arg, cu_arena *arena,
		 const struct cu_array **ret_array);

/* Equality of two elements, not NULL, as the type's = says. */
bool cu_array_elem_equal(const struct cu_type *elem, const struct cu_collation *collation, const struct cu_datum *a,
			 const struct cu_datum *b);

#endif
