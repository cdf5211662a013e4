/* index.c: linear probing with backward-shift deletion. */
#include "base/index.h"

#include <stdlib.h>

#define INDEX_CAP_MIN 8
#define TAG_BITS \
	((uintptr_t)7) /* of the hash, where the address has zeros: most of the other objects are passed unread */

void cu_index_init(cu_index *index, uint64_t (*hash_of)(const void *object))
{
	*index = (cu_index){ .hash_of = hash_of };
}

void cu_index_fini(cu_index *index)
{
	free(index->slots);
	index->slots = NULL;
	index->cap = index->len = 0;
}

/* The size is any number, so that the table grows by an eighth and is seldom less than two thirds full: the upper half of the
 * hash is scaled to it. */
static size_t home_at(const cu_index *index, uint64_t hash)
{
	return (size_t)(((hash >> 32) * index->cap) >> 32);
}

static size_t behind(const cu_index *index, size_t at)
{
	return at + 1 == index->cap ? 0 : at + 1;
}

/* How many steps from `from` to `to`, around the end. */
static size_t distance(const cu_index *index, size_t from, size_t to)
{
	return to >= from ? to - from : to + index->cap - from;
}

static void *object_of(uintptr_t slot)
{
	return (void *)(slot & ~TAG_BITS);
}

static size_t home_of(const cu_index *index, const void *object)
{
	return home_at(index, index->hash_of(object));
}

void *cu_index_find(const cu_index *index, uint64_t hash, bool (*is)(const void *object, const void *key),
		    const void *key)
{
	if (!index->len)
		return NULL;
	for (size_t at = home_at(index, hash); index->slots[at]; at = behind(index, at)) {
		void *object = object_of(index->slots[at]);

		if (((index->slots[at] ^ hash) & TAG_BITS) == 0 && is(object, key))
			return object;
	}
	return NULL;
}

static void put(cu_index *index, void *object)
{
	uint64_t hash = index->hash_of(object);
	size_t at = home_at(index, hash);

	while (index->slots[at])
		at = behind(index, at);
	index->slots[at] = (uintptr_t)object | (hash & TAG_BITS);
}

static void resize(cu_index *index, size_t cap)
{
	cu_index old = *index;

	index->slots = cu_xzalloc(cap * sizeof *index->slots);
	index->cap = cap;
	for (size_t i = 0; i < old.cap; i++) {
		if (old.slots[i])
			put(index, object_of(old.slots[i]));
	}
	free(old.slots);
}

void cu_index_insert(cu_index *index, void *object)
{
	CU_ASSERT(object && ((uintptr_t)object & TAG_BITS) == 0);
	if ((index->len + 1) * 4 > index->cap * 3)
		resize(index, index->cap ? index->cap + index->cap / 8 + 1 : INDEX_CAP_MIN);
	put(index, object);
	index->len++;
}

void cu_index_reserve(cu_index *index, size_t len)
{
	size_t cap = CU_MAX(len + len / 3 + 2, (size_t)INDEX_CAP_MIN);

	if (cap > index->cap)
		resize(index, cap);
}

bool cu_index_remove(cu_index *index, void *object)
{
	size_t hole, at;

	if (!index->len)
		return false;
	for (hole = home_of(index, object); object_of(index->slots[hole]) != object; hole = behind(index, hole)) {
		if (!index->slots[hole])
			return false;
	}
	index->len--;
	for (at = behind(index, hole); index->slots[at]; at = behind(index, at)) {
		size_t home = home_of(index, object_of(index->slots[at]));

		/* An entry may fill the hole unless its home lies cyclically behind the hole. */
		if (distance(index, home, at) >= distance(index, hole, at)) {
			index->slots[hole] = index->slots[at];
			hole = at;
		}
	}
	index->slots[hole] = 0;
	if (index->cap > INDEX_CAP_MIN && index->len * 2 < index->cap)
		resize(index, CU_MAX(index->len * 3 / 2, (size_t)INDEX_CAP_MIN));
	return true;
}

void *cu_index_next(const cu_index *index, size_t *at)
{
	while (*at < index->cap) {
		uintptr_t slot = index->slots[(*at)++];

		if (slot)
			return object_of(slot);
	}
	return NULL;
}
