/* ancestors.h: the partitioned tables above a table, from the database.
 *
 * Threads: any but the pool's own; waits for the pool.
 */
#ifndef CU_STACK_ANCESTORS_H
#define CU_STACK_ANCESTORS_H

#include "pg/pool.h"

/* Nearest first, as a snapshot sees them that holds transaction xid. Returns their number; CU_ETOOBIG: more than max.
 * Negative: the database cannot be asked. */
int cu_ancestors_of(cu_pool *pool, uint32_t oid, uint32_t xid, uint32_t *ret_oids, unsigned max);

#endif
