/* index.c: linear probing with backward-shift deletion. */
#include "base/index.h"

#include <stdlib.h>

#define INDEX_CAP_MIN 8

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

static size_t behind(const cu_index *index, size_t at)
{
	return (at + 1) & (index->cap - 1);
}

static size_t home_of(const cu_index *index, const void *object)
{
	return (size_t)index->hash_of(object) & (index->cap - 1);
}

void *cu_index_find(const cu_index *index, uint64_t hash, bool (*is)(const void *object, const void *key),
		    const void *key)
{
	if (!index->len)
		return NULL;
	for (size_t at = (size_t)hash & (index->cap - 1); index->slots[at]; at = behind(index, at)) {
		if (is(index->slots[at], key))
			return index->slots[at];
	}
	return NULL;
}

static void put(cu_index *index, void *object)
{
	size_t at = home_of(index, object);

	while (index->slots[at])
		at = behind(index, at);
	index->slots[at] = object;
}

static void resize(cu_index *index, size_t cap)
{
	cu_index old = *index;

	index->slots = cu_xzalloc(cap * sizeof *index->slots);
	index->cap = cap;
	for (size_t i = 0; i < old.cap; i++) {
		if (old.slots[i])
			put(index, old.slots[i]);
	}
	free(old.slots);
}

void cu_index_insert(cu_index *index, void *object)
{
	CU_ASSERT(object);
	if ((index->len + 1) * 4 > index->cap * 3)
		resize(index, index->cap ? index->cap * 2 : INDEX_CAP_MIN);
	put(index, object);
	index->len++;
}

bool cu_index_remove(cu_index *index, void *object)
{
	size_t mask = index->cap - 1, hole, at;

	if (!index->len)
		return false;
	for (hole = home_of(index, object); index->slots[hole] != object; hole = behind(index, hole)) {
		if (!index->slots[hole])
			return false;
	}
	index->len--;
	for (at = behind(index, hole); index->slots[at]; at = behind(index, at)) {
		size_t home = home_of(index, index->slots[at]);

		/* An entry may fill the hole unless its home lies cyclically behind the hole. */
		if (((at - home) & mask) >= ((at - hole) & mask)) {
			index->slots[hole] = index->slots[at];
			hole = at;
		}
	}
	index->slots[hole] = NULL;
	if (index->cap > INDEX_CAP_MIN && index->len * 8 < index->cap)
		resize(index, index->cap / 2);
	return true;
}

void *cu_index_next(const cu_index *index, size_t *at)
{
	while (*at < index->cap) {
		void *object = index->slots[(*at)++];

		if (object)
			return object;
	}
	return NULL;
}
