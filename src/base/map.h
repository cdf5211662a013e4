/* map.h: a hash map from 64-bit keys to pointers (open addressing, linear probing, no tombstones).
 *
 * 16 bytes per slot, at most 3/4 and seldom less than 3/5 full; a table of 8 MiB or more asks for huge pages.
 * Threads: one at a time; the owner brings the lock. Cost: one cache line per look-up at the usual load. The map
 * owns its table, never what the values point to. For text keys, use the text's XXH3 hash as the key and chain
 * what collides through the values.
 */
#ifndef CU_MAP_H
#define CU_MAP_H

#include "base/base.h"

struct cu_map_slot {
	uint64_t key;
	void *value; /* NULL = free slot */
};

typedef struct cu_map {
	struct cu_map_slot *slots;
	size_t cap;
	size_t len;
} cu_map;

#define CU_MAP_INIT        \
	{                  \
		NULL, 0, 0 \
	}

void cu_map_fini(cu_map *map);
void *cu_map_get(const cu_map *map, uint64_t key); /* NULL when absent */
/* value must not be NULL. Replaces; returns the value that was there or NULL. */
void *cu_map_put(cu_map *map, uint64_t key, void *value);
void *cu_map_del(cu_map *map, uint64_t key); /* the value that was there or NULL */

/* for (size_t i = 0; (value = cu_map_next(&map, &i));) — any order; no changes meanwhile. */
void *cu_map_next(const cu_map *map, size_t *at);

#endif
