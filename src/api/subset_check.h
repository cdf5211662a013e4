/* subset_check.h: from a request's subset parameters to what is asked of the database.
 *
 * Pure: the definition says what the table looks like. Nothing that a client wrote gets through: clauses are parsed, checked
 * and written anew, numbers are numbers.
 *
 * Threads: any. Cost: that of parsing two short clauses.
 */
#ifndef CU_API_SUBSET_CHECK_H
#define CU_API_SUBSET_CHECK_H

#include "api/errors.h"
#include "api/params.h"
#include "shape/subset.h"

/* Returns owned. CU_EINVAL: errors (empty before) say why; CU_ENOMEM. */
int cu_subset_check(const struct cu_shape_params *params, const cu_definition *def, struct cu_subset **ret_subset,
		    cu_api_errors *errors);

/* queryable_columns: which columns a client may name. Against `columns`, without a table; and against the table. */
int cu_queryable_check_columns(const struct cu_shape_params *params, cu_api_errors *errors);
int cu_queryable_check_table(const struct cu_shape_params *params, const struct cu_table *table, cu_api_errors *errors);

#endif
