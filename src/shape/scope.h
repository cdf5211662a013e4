/* scope.h: from a definition's columns to what names mean in a where clause.
 *
 * Threads: any. The scope owns the types and collations that it was given, so it may outlive the definition.
 */
#ifndef CU_SHAPE_SCOPE_H
#define CU_SHAPE_SCOPE_H

#include "shape/definition.h"

/* Returns a reference. A column whose type cannot be filtered on is in it all the same: naming it is refused with words. */
cu_expr_scope *cu_shape_scope_new(const cu_definition *def);

#endif
