/* router.h: which shapes may a change of this table touch.
 *
 * A target is opaque to the router: whoever subscribes decides what it points to, and keeps it alive while it is
 * subscribed. Today every target of a table gets every change of it; the where-clause indexes will narrow that
 * down behind the same calls.
 *
 * Threads: any. add and remove take the write lock; the collector holds the read lock while it walks a batch of
 * messages and asks per change. Cost of a look-up: one probe of a hash map; of a change that touches nobody: that
 * probe alone.
 */
#ifndef CU_ROUTER_H
#define CU_ROUTER_H

#include "base/base.h"

typedef struct cu_router cu_router;

struct cu_router_targets {
	void *const *list; /* borrowed until the read lock is given back */
	size_t len;
};

cu_router *cu_router_new(void);
void cu_router_free(cu_router **router);

/* Subscribes target to the table (or to the partitioned root) with this oid. A target may be subscribed to several
 * tables, once to each: CU_EEXIST otherwise. */
int cu_router_add(cu_router *router, uint32_t table_oid, void *target);
/* CU_ENOTFOUND when it is not subscribed. After it returned, no later look-up sees the target. */
int cu_router_remove(cu_router *router, uint32_t table_oid, void *target);

/* Calls back for each table that has targets, under the read lock: nothing may be added or removed there. */
void cu_router_each_table(cu_router *router, void (*each)(void *ctx, uint32_t oid, struct cu_router_targets targets),
			  void *ctx);

void cu_router_read_lock(cu_router *router);
void cu_router_read_unlock(cu_router *router);
/* Under the read lock. */
struct cu_router_targets cu_router_lookup(cu_router *router, uint32_t table_oid);

#endif
