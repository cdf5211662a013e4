/* router.c: tables by oid, each with an array of targets. */
#include "router/router.h"

#include "base/map.h"

#include <pthread.h>
#include <stdlib.h>

#define TARGETS_CAP_MIN 4

struct table {
	uint32_t oid;
	void **targets;
	size_t len, cap;
	cu_map index; /* target → its place in `targets` + 1, so that removing one of many is O(1) */
};

struct cu_router {
	pthread_rwlock_t lock;
	cu_map tables; /* oid → struct table */
};

cu_router *cu_router_new(void)
{
	cu_router *router = cu_xzalloc(sizeof *router);

	CU_ASSERT(pthread_rwlock_init(&router->lock, NULL) == 0);
	return router;
}

static void table_free(struct table *table)
{
	cu_map_fini(&table->index);
	free(table->targets);
	free(table);
}

void cu_router_free(cu_router **router)
{
	struct table *table;

	if (!*router)
		return;
	for (size_t i = 0; (table = cu_map_next(&(*router)->tables, &i));)
		table_free(table);
	cu_map_fini(&(*router)->tables);
	pthread_rwlock_destroy(&(*router)->lock);
	free(*router);
	*router = NULL;
}

int cu_router_add(cu_router *router, uint32_t table_oid, void *target)
{
	struct table *table;
	int rc = 0;

	pthread_rwlock_wrlock(&router->lock);
	table = cu_map_get(&router->tables, table_oid);
	if (!table) {
		table = cu_xzalloc(sizeof *table);
		table->oid = table_oid;
		cu_map_put(&router->tables, table_oid, table);
	}
	if (cu_map_get(&table->index, (uintptr_t)target)) {
		rc = CU_EEXIST;
		goto out;
	}
	if (table->len == table->cap) {
		table->cap = table->cap ? table->cap * 2 : TARGETS_CAP_MIN;
		table->targets = cu_xrealloc(table->targets, table->cap * sizeof *table->targets);
	}
	table->targets[table->len++] = target;
	cu_map_put(&table->index, (uintptr_t)target, (void *)(uintptr_t)table->len);
out:
	pthread_rwlock_unlock(&router->lock);
	return rc;
}

int cu_router_remove(cu_router *router, uint32_t table_oid, void *target)
{
	struct table *table;
	size_t place = 0;

	pthread_rwlock_wrlock(&router->lock);
	table = cu_map_get(&router->tables, table_oid);
	if (table)
		place = (size_t)(uintptr_t)cu_map_del(&table->index, (uintptr_t)target);
	if (place) {
		void *last = table->targets[--table->len];

		if (last != target) {
			table->targets[place - 1] = last;
			cu_map_put(&table->index, (uintptr_t)last, (void *)(uintptr_t)place);
		}
		if (table->len == 0) {
			cu_map_del(&router->tables, table_oid);
			table_free(table);
		}
	}
	pthread_rwlock_unlock(&router->lock);
	return place ? 0 : CU_ENOTFOUND;
}

void cu_router_each_table(cu_router *router, void (*each)(void *ctx, uint32_t oid, struct cu_router_targets targets),
			  void *ctx)
{
	struct table *table;

	pthread_rwlock_rdlock(&router->lock);
	for (size_t i = 0; (table = cu_map_next(&router->tables, &i));)
		each(ctx, table->oid, (struct cu_router_targets){ table->targets, table->len });
	pthread_rwlock_unlock(&router->lock);
}

void cu_router_read_lock(cu_router *router)
{
	pthread_rwlock_rdlock(&router->lock);
}

void cu_router_read_unlock(cu_router *router)
{
	pthread_rwlock_unlock(&router->lock);
}

struct cu_router_targets cu_router_lookup(cu_router *router, uint32_t table_oid)
{
	struct table *table = cu_map_get(&router->tables, table_oid);

	return table ? (struct cu_router_targets){ table->targets, table->len } : (struct cu_router_targets){ NULL, 0 };
}
