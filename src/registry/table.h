/* table.h: a hash table from a text key to a number, for many readers that must never wait.
 *
 * Threads: any. Readers (find) stand between rcu_enter() and rcu_leave() and take no lock, write nothing shared and
 * look at no more slots than the table has. Writers take the table's lock. What a writer unlinks is freed once no
 * reader can still look at it, in batches.
 * Cost per entry: 64 bytes (and an allocation of its own for a key of more than 48), plus 13-26 bytes of slots.
 */
#ifndef CU_REGISTRY_TABLE_H
#define CU_REGISTRY_TABLE_H

#include "base/base.h"

#include <pthread.h>
#include <stdatomic.h>

#ifndef TABLE_RETIRED_MAX     /* both are smaller in the simulation */
#define TABLE_RETIRED_MAX 64u /* unlinked entries that may wait for one grace period together */
#define TABLE_TOGETHER 32u    /* keys that are looked up together */
#endif

/* An entry as cu_table_snapshot() gives it. */
struct table_entry {
	uint64_t value; /* never 0 */
	uint32_t len;
	char key[]; /* terminated */
};

struct table_slots;
struct table_cells;

struct cu_consumer_table {
	_Atomic(struct table_slots *) slots; /* readers: RCU; NULL while empty */
	atomic_size_t count;

	/* under mtx */
	pthread_mutex_t mtx;
	size_t used;                         /* slots that are not empty: entries and tombstones */
	struct table_cells *cells;           /* NULL before the first entry */
	uint32_t retired[TABLE_RETIRED_MAX]; /* cells */
	unsigned retired_count;
#ifdef CU_DEBUG
	unsigned checks;
#endif
};

#define TABLE_INIT                               \
	{                                        \
		.mtx = PTHREAD_MUTEX_INITIALIZER \
	}

void cu_table_init(struct cu_consumer_table *table);
void cu_table_fini(struct cu_consumer_table *table); /* nobody uses it any more */
/* The value or 0. Inside rcu_enter()/rcu_leave(). */
uint64_t cu_table_find(struct cu_consumer_table *table, const char *key);
/* The same for up to TABLE_TOGETHER keys: their ways to memory overlap. */
void cu_table_find_many(struct cu_consumer_table *table, const char *const *keys, size_t count, uint64_t *ret_values);
/* The rest: outside of it. */
/* 0 and CU_EEXIST write the value that is there now. CU_ENOMEM. */
int cu_table_insert(struct cu_consumer_table *table, const char *key, uint64_t value, uint64_t *ret_value);
/* Removes the entry if its value is `value`, or whatever it is when that is 0. */
bool cu_table_remove(struct cu_consumer_table *table, const char *key, uint64_t value);
/* An empty table gives back its slots and what waits for a grace period. */
void cu_table_release_empty(struct cu_consumer_table *table);
/* A copy of all entries as one owned block, NULL-terminated; NULL on failure. */
struct table_entry **cu_table_snapshot(struct cu_consumer_table *table);

#endif
