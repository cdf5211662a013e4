/* where.h: from a request's where clause and parameters to a checked clause.
 *
 * Threads: any. Cost: parsing and checking, some ten microseconds for a short clause.
 */
#ifndef CU_API_WHERE_H
#define CU_API_WHERE_H

#include "api/errors.h"
#include "api/params.h"
#include "shape/shape_set.h"

/* *ret_where: a reference, NULL when the request has no clause. CU_EINVAL: errors say why. CU_ENOMEM. */
int cu_api_where_parse(const struct cu_shape_params *params, const cu_definition *def, cu_expr **ret_where,
		       cu_api_errors *errors);
/* The same of a clause that stands alone; complaints are about "where". */
int cu_api_clause_parse(const cu_definition *def, const char *text, const struct cu_text_pair *params,
			size_t params_len, cu_expr **ret_clause, cu_api_errors *errors);
/* A refusal in the original's words. def: what the names were looked for in. before: characters that the original counts
 * ahead of the client's text. */
void cu_api_complain(struct cu_expr_error *err, const cu_definition *def, const char *field, size_t before,
		     cu_api_errors *errors);
/* Does the request's clause mean what this shape's does? The text that was seen last is known again without parsing: each
 * live request of each reader asks. */
bool cu_api_where_matches(const struct cu_shape_params *params, cu_shape *shape);

#endif
