/* table_watch.h: ends the shapes of tables that the stream can no longer tell about: dropped, renamed or altered (which the stream says
 * only with the table's next change), or out of the publication, for good or for a moment. The stream is silent about all of
 * them, so the database is asked, every period_ms.
 *
 * Threads: its own, which only waits; the question is a job of the pool. Cost: one query for all tables that have
 * shapes, and two for each whose columns are new or have changed. Errors: a question that fails is asked again the next time.
 */
#ifndef CU_STACK_TABLE_WATCH_H
#define CU_STACK_TABLE_WATCH_H

#include "pg/pool.h"
#include "pg/publication.h"
#include "shape/shape_set.h"
#include "store/metadata.h"

typedef struct cu_table_watch cu_table_watch;

/* Everything is borrowed for the life of the object. */
struct cu_table_watch_opts {
	cu_pool *pool;
	cu_shape_set *shapes;
	cu_catalog *catalog;
	cu_publication *publication;
	cu_metadata *metadata; /* keeps what a look has seen for the next start */
	unsigned period_ms;
	/* Not now: the connections to the database are closed on purpose, or the stream has not begun. The first look, and one that
	 * was due meanwhile, come as soon as it does. */
	bool (*not_now)(void *ctx);
	void *ctx;
};

int cu_table_watch_start(const struct cu_table_watch_opts *opts, cu_table_watch **ret_watch);
/* After cu_pool_stop(): a job of it that still ran would be waited for. NULL is fine. */
void cu_table_watch_stop(cu_table_watch **watch);

#endif
