/* index.h: a hash index over objects that know their own key (open addressing, linear probing, no tombstones).
 *
 * 8 bytes per slot, at most 3/4 and seldom less than 2/3 full: a third of what a map with its keys beside takes; for indexes over many small objects.
 * Threads: one at a time; the owner brings the lock. Cost: a look-up reads the object that it finds, and one in eight of those
 * that it passes. The index owns its table, never the objects. An object's hash must not change while it is in; its address is a
 * multiple of 8.
 */
#ifndef CU_INDEX_H
#define CU_INDEX_H

#include "base/base.h"

typedef struct cu_index {
	uintptr_t *slots; /* an object's address and three bits of its hash; 0: free */
	size_t cap;
	size_t len;
	uint64_t (*hash_of)(const void *object); /* its upper half and its lowest bits must be good */
} cu_index;

void cu_index_init(cu_index *index, uint64_t (*hash_of)(const void *object));
void cu_index_fini(cu_index *index);
/* The first object with this hash that `is` says yes to, or NULL. */
void *cu_index_find(const cu_index *index, uint64_t hash, bool (*is)(const void *object, const void *key),
		    const void *key);
void cu_index_insert(cu_index *index, void *object); /* not there yet; several may have equal hashes */
/* Room for so many objects in all: what is known to come is not moved again and again. */
void cu_index_reserve(cu_index *index, size_t len);
bool cu_index_remove(cu_index *index, void *object); /* this very object; false: it was not there */

/* for (size_t i = 0; (object = cu_index_next(&index, &i));) — any order; no changes meanwhile. */
void *cu_index_next(const cu_index *index, size_t *at);

/* Spreads numbers that are handed out one after the other; for hash_of. */
static inline uint64_t cu_index_hash_u64(uint64_t number)
{
	number = (number ^ (number >> 32)) * 0x9e3779b97f4a7c15ull;
	return number ^ (number >> 29);
}

#endif
