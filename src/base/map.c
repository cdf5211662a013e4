/* map.c: linear probing with backward-shift deletion; at most 3/4 full. */
#include "base/map.h"

#include <stdlib.h>
#include <sys/mman.h>

#define MAP_CAP_MIN 8
#define HUGE_PAGE ((size_t)2 * 1024 * 1024)
#define MAP_HUGE_MIN (4 * HUGE_PAGE) /* from so many bytes on */

/* Fibonacci hashing spreads sequential keys (oids, ids) and leaves good hashes good. The size is any number, so that a large
 * table grows by a quarter: the hash is scaled to it. */
static size_t home_of(const cu_map *map, uint64_t key)
{
	return (size_t)((((key * 0x9e3779b97f4a7c15ull) >> 32) * map->cap) >> 32);
}

static size_t behind(const cu_map *map, size_t at)
{
	return at + 1 == map->cap ? 0 : at + 1;
}

/* How many steps from `from` to `to`, around the end. */
static size_t distance(const cu_map *map, size_t from, size_t to)
{
	return to >= from ? to - from : to + map->cap - from;
}

void cu_map_fini(cu_map *map)
{
	free(map->slots);
	*map = (cu_map)CU_MAP_INIT;
}

static struct cu_map_slot *find(const cu_map *map, uint64_t key)
{
	size_t at = home_of(map, key);

	while (map->slots[at].value && map->slots[at].key != key)
		at = behind(map, at);
	return &map->slots[at];
}

void *cu_map_get(const cu_map *map, uint64_t key)
{
	return map->len ? find(map, key)->value : NULL;
}

/* A large table is dense and used at random: on ordinary pages most look-ups miss the processor's table of pages, too. */
static struct cu_map_slot *slots_new(size_t cap)
{
	size_t size = cap * sizeof(struct cu_map_slot);
	struct cu_map_slot *slots;

	if (size < MAP_HUGE_MIN)
		return cu_xzalloc(size);
	slots = cu_xaligned_alloc(HUGE_PAGE, size);
	(void)madvise(slots, size, MADV_HUGEPAGE);
	return memset(slots, 0, size);
}

static void resize(cu_map *map, size_t cap)
{
	cu_map old = *map;

	map->slots = slots_new(cap);
	map->cap = cap;
	for (size_t i = 0; i < old.cap; i++) {
		if (old.slots[i].value)
			*find(map, old.slots[i].key) = old.slots[i];
	}
	free(old.slots);
}

void *cu_map_put(cu_map *map, uint64_t key, void *value)
{
	struct cu_map_slot *slot;
	void *before;

	CU_ASSERT(value);
	if ((map->len + 1) * 4 > map->cap * 3)
		resize(map, map->cap ? map->cap + map->cap / 4 : MAP_CAP_MIN);
	slot = find(map, key);
	before = slot->value;
	if (!before)
		map->len++;
	*slot = (struct cu_map_slot){ key, value };
	return before;
}

void *cu_map_del(cu_map *map, uint64_t key)
{
	struct cu_map_slot *slot;
	size_t hole, at;
	void *before;

	if (!map->len)
		return NULL;
	slot = find(map, key);
	before = slot->value;
	if (!before)
		return NULL;
	map->len--;
	hole = (size_t)(slot - map->slots);
	for (at = behind(map, hole); map->slots[at].value; at = behind(map, at)) {
		size_t home = home_of(map, map->slots[at].key);

		/* An entry may fill the hole unless its home lies cyclically behind the hole. */
		if (distance(map, home, at) >= distance(map, hole, at)) {
			map->slots[hole] = map->slots[at];
			hole = at;
		}
	}
	map->slots[hole].value = NULL;
	return before;
}

void *cu_map_next(const cu_map *map, size_t *at)
{
	while (*at < map->cap) {
		void *value = map->slots[(*at)++].value;

		if (value)
			return value;
	}
	return NULL;
}
