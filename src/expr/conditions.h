/* conditions.h: what of a checked clause an index can serve (expr.h: cu_expr_conditions). */
#ifndef CU_EXPR_CONDITIONS_H
#define CU_EXPR_CONDITIONS_H

#include "expr/tree.h"

/* Everything in *ret_conditions lives in arena. */
int cu_conditions_new(struct cu_check *check, const struct cu_node *node, cu_arena *arena,
		      const struct cu_conditions **ret_conditions);
/* A copy of a value, and of all it points to, in arena. */
int cu_datum_keep(const struct cu_type *type, const struct cu_datum *datum, cu_arena *arena,
		  struct cu_datum *ret_datum);

#endif
