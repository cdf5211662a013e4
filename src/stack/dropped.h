/* dropped.h: ends the shapes of tables that were dropped, or have another name now. The stream says nothing of a DROP, and
 * of a new name only with the table's next change; so the database is asked, every CU_DROPPED_CHECK_MS.
 *
 * Threads: its own, which only waits; the question is a job of the pool. Cost: one query for all tables that have
 * shapes. Errors: a question that fails is asked again the next time.
 */
#ifndef CU_STACK_DROPPED_H
#define CU_STACK_DROPPED_H

#include "pg/pool.h"
#include "pg/publication.h"
#include "shape/shape_set.h"

typedef struct cu_dropped cu_dropped;

/* Everything is borrowed for the life of the object. */
struct cu_dropped_opts {
	cu_pool *pool;
	cu_shape_set *shapes;
	cu_catalog *catalog;
	cu_publication *publication;
};

int cu_dropped_start(const struct cu_dropped_opts *opts, cu_dropped **ret_dropped);
/* After cu_pool_stop(): a job of it that still ran would be waited for. NULL is fine. */
void cu_dropped_stop(cu_dropped **dropped);

#endif
