/* database.h: how the source database is reached, from the options.
 *
 * Threads: the one that starts the stack. Errors: logged.
 */
#ifndef CU_STACK_DATABASE_H
#define CU_STACK_DATABASE_H

#include "pg/slot.h"
#include "stack/stack.h"

/* Returns an owned configuration of the URL, with the options' CA and keep-alives. name: of the variable that holds it. CU_EINVAL … */
int cu_database_configure(const struct cu_stack_opts *opts, const char *url, const char *name,
			  cu_pg_config **ret_config);
/* A name for a slot that nobody else has. CU_EIO. */
int cu_database_random_slot(struct cu_pg_names *names);

#endif
