/* table.c: open addressing with linear probing; a slot is 8 bytes: the key's hash and the number of its entry.
 *
 * A reader loads the slot array once, then walks from the key's home slot to the first empty one. For it to be right
 * at every instant, an entry never moves within an array: removal leaves a tombstone (or an empty slot where the next
 * one is empty, so that nothing behind it can be cut off), and growing builds a new array with the same entries and
 * swaps it in whole. At most 5/8 of the slots are not empty, so the walk ends.
 *
 * With the hash in the slot a reader looks at no entry but its own, and growing looks at none at all. Entries are
 * cells of one cache line (base/cells.h), whose memory goes back when nobody uses it.
 */
#include "registry/table.h"

#include "base/cells.h"
#include "base/limits.h"
#include "base/mutant.h"
#include "registry/rcu.h"

#include <stdlib.h>
#include <sys/mman.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#ifndef SLOTS_MIN /* smaller in the simulation */
#define SLOTS_MIN 16u
#endif
#define SLOTS_MAPPED (32u * 1024) /* from this many on an array is a mapping of its own: gone when it is freed */
#define SLOTS_HUGE (512u * 1024)  /* and from this many on huge pages are wanted: it is dense, and used at random */
#define NEAR_MAX 48u

/* Immutable from its appearance in a slot to the grace period after its removal. */
struct cell {
	uint64_t value;
	uint32_t hash;
	uint32_t len;
	union {
		char near[NEAR_MAX]; /* the key, not terminated */
		char *far;           /* one that is longer; owned */
	};
};
_Static_assert(sizeof(struct cell) == 64, "an entry is one cache line");

struct table_slots {
	size_t mask;
	const struct cu_cells *cells;
	_Atomic(uint64_t) at[]; /* hash << 32 | cell + SLOT_CELL */
};

/* The entries' memory. Referred to by the table, and by whoever waits for a grace period to give some of it back: an
 * empty table may let go of it meanwhile. */
struct table_cells {
	struct cu_cells cells;
	unsigned refs; /* under the table's lock */
};

/* The lower half of a slot. */
enum { SLOT_EMPTY, SLOT_TOMBSTONE, SLOT_CELL };

#ifdef CU_RCU_TSAN
char cu_rcu_tsan_domain;
#endif

static uint32_t key_hash(const char *key, size_t len)
{
	return (uint32_t)XXH3_64bits(key, len);
}

static struct cell *cell_at(const struct cu_cells *cells, uint32_t cell)
{
	return (struct cell *)cu_cells_block(cells, cell) + cell % CU_CELLS_BLOCK;
}

static const char *cell_key(const struct cell *cell)
{
	return cell->len > NEAR_MAX ? cell->far : cell->near;
}

static bool cell_is(const struct cell *cell, const char *key, size_t len)
{
	return cell->len == len && memcmp(cell_key(cell), key, len) == 0;
}

static bool slot_has_cell(uint64_t slot)
{
	return (uint32_t)slot >= SLOT_CELL;
}

static struct cell *slot_cell(const struct table_slots *slots, uint64_t slot)
{
	return cell_at(slots->cells, (uint32_t)slot - SLOT_CELL);
}

static size_t slots_bytes(size_t count)
{
	return sizeof(struct table_slots) + count * sizeof(uint64_t);
}

static struct table_slots *slots_new(size_t count)
{
	struct table_slots *slots;

	if (count < SLOTS_MAPPED)
		return cu_try_zalloc(slots_bytes(count));
	slots = cu_try_map(slots_bytes(count));
	if (slots && count >= SLOTS_HUGE)
		(void)madvise(slots, slots_bytes(count), MADV_HUGEPAGE);
	return slots;
}

static void slots_free(struct table_slots *slots)
{
	if (slots && slots->mask + 1 >= SLOTS_MAPPED)
		cu_unmap(slots, slots_bytes(slots->mask + 1));
	else
		free(slots);
}

void cu_table_init(struct cu_consumer_table *table)
{
	memset(table, 0, sizeof *table);
	pthread_mutex_init(&table->mtx, NULL);
}

/* Nobody looks at them any more. */
static void cells_free(struct table_cells *of)
{
	uint32_t at;

	if (!of)
		return;
	for (at = 0; cu_cells_next(&of->cells, &at); at++) {
		struct cell *cell = cell_at(&of->cells, at);

		if (cell->len > NEAR_MAX)
			free(cell->far);
	}
	cu_cells_fini(&of->cells);
	free(of);
}

void cu_table_fini(struct cu_consumer_table *table)
{
	slots_free(atomic_load(&table->slots));
	cells_free(table->cells);
	pthread_mutex_destroy(&table->mtx);
}

/* The slot that holds the key, or -1. */
static ptrdiff_t slot_of(struct table_slots *slots, uint32_t hash, const char *key, size_t len, struct cell **ret_cell)
{
	size_t at = hash & slots->mask;
	uint64_t slot;

	while ((uint32_t)(slot = atomic_load_explicit(&slots->at[at], memory_order_acquire)) != SLOT_EMPTY) {
		if (slot >> 32 == hash && slot_has_cell(slot)) {
			struct cell *cell = slot_cell(slots, slot);

			if (cell_is(cell, key, len)) {
				*ret_cell = cell;
				return (ptrdiff_t)at;
			}
		}
		at = (at + 1) & slots->mask;
	}
	return -1;
}

uint64_t cu_table_find(struct cu_consumer_table *table, const char *key)
{
	struct table_slots *slots = atomic_load_explicit(&table->slots, memory_order_acquire);
	struct cell *cell;
	size_t len = strlen(key);

	if (!slots || slot_of(slots, key_hash(key, len), key, len, &cell) < 0)
		return 0;
	return cell->value;
}

/* The first slot from the hash's home on that may be the key's, or an empty one. */
static uint64_t slot_likely(struct table_slots *slots, uint32_t hash)
{
	size_t at = hash & slots->mask;
	uint64_t slot;

	while ((uint32_t)(slot = atomic_load_explicit(&slots->at[at], memory_order_acquire)) != SLOT_EMPTY) {
		if (slot >> 32 == hash && slot_has_cell(slot))
			break;
		at = (at + 1) & slots->mask;
	}
	return slot;
}

/* In three passes: home slots, entries, keys. Each asks for all of its memory before the next one reads it. */
void cu_table_find_many(struct cu_consumer_table *table, const char *const *keys, size_t count, uint64_t *ret_values)
{
	struct table_slots *slots = atomic_load_explicit(&table->slots, memory_order_acquire);
	struct cell *cells[TABLE_TOGETHER];
	uint32_t hashes[TABLE_TOGETHER];
	size_t lens[TABLE_TOGETHER];
	size_t i;

	CU_ASSERT(count <= TABLE_TOGETHER);
	if (!slots) {
		memset(ret_values, 0, count * sizeof *ret_values);
		return;
	}
	for (i = 0; i < count; i++) {
		lens[i] = strlen(keys[i]);
		hashes[i] = key_hash(keys[i], lens[i]);
		__builtin_prefetch(&slots->at[hashes[i] & slots->mask]);
	}
	for (i = 0; i < count; i++) {
		uint64_t slot = slot_likely(slots, hashes[i]);

		cells[i] = slot_has_cell(slot) ? slot_cell(slots, slot) : NULL;
		__builtin_prefetch(cells[i]);
	}
	for (i = 0; i < count; i++) {
		struct cell *cell = cells[i];

		/* Another key with the same hash: once in four billion. */
		if (cell && !cell_is(cell, keys[i], lens[i]) && slot_of(slots, hashes[i], keys[i], lens[i], &cell) < 0)
			cell = NULL;
		ret_values[i] = cell ? cell->value : 0;
	}
}

/* Puts an entry where its probe sequence has room: a tombstone counts as room. True: it took an empty slot. */
static bool slots_put(struct table_slots *slots, uint64_t slot)
{
	size_t at = slot >> 32 & slots->mask;
	uint64_t there;

	while (slot_has_cell(there = atomic_load_explicit(&slots->at[at], memory_order_relaxed)))
		at = (at + 1) & slots->mask;
	atomic_store_explicit(&slots->at[at], slot, memory_order_release);
	return (uint32_t)there == SLOT_EMPTY;
}

/* A new array for `live` entries, between 5/32 and 5/16 full (twice the size when it was 5/8 full), swapped in. The old
 * one is returned for retirement in *ret_old. */
static int resize(struct cu_consumer_table *table, size_t live, struct table_slots **ret_old)
{
	struct table_slots *old = atomic_load_explicit(&table->slots, memory_order_relaxed);
	struct table_slots *slots;
	size_t size = SLOTS_MIN;
	size_t i;

	while (size * 5 / 16 + 1 < live)
		size *= 2;
	slots = slots_new(size);
	if (!slots)
		return CU_ENOMEM;
	slots->mask = size - 1;
	slots->cells = &table->cells->cells;
	table->used = 0;
	for (i = 0; old && i <= old->mask; i++) {
		uint64_t slot = atomic_load_explicit(&old->at[i], memory_order_relaxed);

		if (slot_has_cell(slot))
			table->used += slots_put(slots, slot);
	}
	atomic_store_explicit(&table->slots, slots, memory_order_release);
	*ret_old = old;
	return 0;
}

/* The model of a table: a map from key to value. Debug builds assert at the end of every critical section:
 *
 *   T1  Every entry is found by its own key: none stands behind an empty slot of its walk, no key stands twice.
 *   T2  count is the number of entries, used that of slots that are not empty: entries and tombstones.
 *   T3  At least 3/8 of the slots are empty, so every walk ends.
 *   T4  No value is 0, no entry stands in the table and among the retired at once; each is a taken cell.
 *
 * All of them for a small table; for a large one those that cost nothing, and every CHECK_EVERYth time the rest. */
#ifdef CU_DEBUG
#define CHECK_SLOTS_MAX 64u
#define CHECK_EVERY 1024u

static void table_check(struct cu_consumer_table *table)
{
	struct table_slots *slots = atomic_load_explicit(&table->slots, memory_order_relaxed);
	size_t count = atomic_load_explicit(&table->count, memory_order_relaxed);
	size_t entries = 0;
	size_t used = 0;
	size_t i;

	if (!slots) {
		CU_ASSERT(count == 0 && table->used == 0);
		return;
	}
	CU_ASSERT(count <= table->used && table->used * 8 <= (slots->mask + 1) * 5); /* T3 */
	if (slots->mask >= CHECK_SLOTS_MAX && table->checks++ % CHECK_EVERY)
		return;
	for (i = 0; i <= slots->mask; i++) {
		uint64_t slot = atomic_load_explicit(&slots->at[i], memory_order_relaxed);
		struct cell *found = NULL;
		struct cell *cell;
		unsigned retired;

		used += (uint32_t)slot != SLOT_EMPTY;
		if (!slot_has_cell(slot))
			continue;
		entries++;
		cell = slot_cell(slots, slot);
		CU_ASSERT(cell->value && cell->hash == slot >> 32);                                       /* T4 */
		CU_ASSERT(slot_of(slots, cell->hash, cell_key(cell), cell->len, &found) == (ptrdiff_t)i); /* T1 */
		CU_ASSERT(cu_cells_taken(&table->cells->cells, (uint32_t)slot - SLOT_CELL));
		for (retired = 0; retired < table->retired_count; retired++)
			CU_ASSERT(table->retired[retired] != (uint32_t)slot - SLOT_CELL);
	}
	CU_ASSERT(entries == count && used == table->used); /* T2 */
}
#else
static void table_check(struct cu_consumer_table *table)
{
	(void)table;
}
#endif

/* Nobody looks at these cells any more. Takes a reference. Their memory goes back without the lock: that is a call of
 * the system. */
static void cells_give(struct cu_consumer_table *table, struct table_cells *of, const uint32_t *batch, unsigned count)
{
	uint32_t aside[TABLE_RETIRED_MAX];
	bool wiped[TABLE_RETIRED_MAX];
	unsigned aside_count = 0;
	bool last;
	unsigned i;

	pthread_mutex_lock(&table->mtx);
	for (i = 0; i < count; i++) {
		struct cell *cell = cell_at(&of->cells, batch[i]);

		if (cell->len > NEAR_MAX)
			free(cell->far);
#ifdef CU_DEBUG
		memset(cell, 0xdb, sizeof *cell); /* a reader that still looks shall not find it right */
#endif
		if (cu_cells_give(&of->cells, batch[i]))
			aside[aside_count++] = batch[i];
	}
	if (aside_count) {
		pthread_mutex_unlock(&table->mtx);
		for (i = 0; i < aside_count; i++)
			wiped[i] = cu_cells_wipe(&of->cells, aside[i]);
		pthread_mutex_lock(&table->mtx);
		for (i = 0; i < aside_count; i++)
			cu_cells_return(&of->cells, aside[i], wiped[i]);
	}
	last = --of->refs == 0;
	pthread_mutex_unlock(&table->mtx);
	if (last)
		cells_free(of);
}

/* Frees an old array and a full batch of entries after a grace period. Not under the lock: a grace period may last. */
static void unlock_and_reclaim(struct cu_consumer_table *table, struct table_slots *old)
{
	uint32_t batch[TABLE_RETIRED_MAX];
	struct table_cells *of;
	unsigned count = 0;

	if (old || table->retired_count == TABLE_RETIRED_MAX) {
		count = table->retired_count;
		memcpy(batch, table->retired, count * sizeof batch[0]);
		table->retired_count = 0;
	}
	of = table->cells;
	if (count)
		of->refs++;
	CU_UNSEEN(table_check(table));
	pthread_mutex_unlock(&table->mtx);
	if (!old && !count)
		return;
	if (!CU_MUTANT(NO_GRACE_PERIOD))
		rcu_wait_for_readers();
	slots_free(old);
	if (count)
		cells_give(table, of, batch, count);
}

/* The cell is nobody's again; it has never been seen by a reader. */
static void cell_abandon(struct cu_consumer_table *table, uint32_t at)
{
	struct cu_cells *cells = &table->cells->cells;
	struct cell *cell = cell_at(cells, at);

	if (cell->len > NEAR_MAX)
		free(cell->far);
	if (cu_cells_give(cells, at))
		cu_cells_return(cells, at, cu_cells_wipe(cells, at));
}

static int cells_make(struct cu_consumer_table *table)
{
	struct table_cells *of = cu_try_zalloc(sizeof *of);
	int rc;

	if (!of)
		return CU_ENOMEM;
	of->refs = 1;
	rc = cu_cells_init(&of->cells, sizeof(struct cell), CU_REGISTRY_ENTRIES_MAX);
	if (rc < 0)
		free(of);
	else
		table->cells = of;
	return rc;
}

/* An entry with this key, not in the table yet. */
static int cell_make(struct cu_consumer_table *table, uint32_t hash, const char *key, size_t len, uint64_t value,
		     uint32_t *ret_at)
{
	char *far = NULL;
	struct cell *cell;
	int rc = table->cells ? 0 : cells_make(table);

	if (rc < 0)
		return rc;
	if (len > NEAR_MAX) {
		far = cu_try_malloc(len);
		if (!far)
			return CU_ENOMEM;
	}
	rc = cu_cells_take(&table->cells->cells, ret_at);
	if (rc < 0) {
		free(far);
		return CU_ENOMEM;
	}
	cell = cell_at(&table->cells->cells, *ret_at);
	cell->value = value;
	cell->hash = hash;
	cell->len = (uint32_t)len;
	if (far)
		cell->far = far;
	memcpy(far ? far : cell->near, key, len);
	return 0;
}

/* Under the lock. */
static int insert_fresh(struct cu_consumer_table *table, uint32_t hash, const char *key, size_t len, uint64_t value,
			struct table_slots **ret_old)
{
	struct table_slots *slots = atomic_load_explicit(&table->slots, memory_order_relaxed);
	size_t count = atomic_load_explicit(&table->count, memory_order_relaxed);
	uint32_t cell;
	int rc;

	rc = cell_make(table, hash, key, len, value, &cell);
	if (rc < 0)
		return rc;
	if (!slots || (table->used + 1) * 8 > (slots->mask + 1) * 5) {
		rc = resize(table, count + 1, ret_old);
		if (rc < 0) {
			cell_abandon(table, cell);
			return rc;
		}
		slots = atomic_load_explicit(&table->slots, memory_order_relaxed);
	}
	table->used += slots_put(slots, (uint64_t)hash << 32 | (cell + SLOT_CELL));
	atomic_store_explicit(&table->count, count + 1, memory_order_relaxed);
	return 0;
}

int cu_table_insert(struct cu_consumer_table *table, const char *key, uint64_t value, uint64_t *ret_value)
{
	size_t len = strlen(key);
	uint32_t hash = key_hash(key, len);
	struct table_slots *slots;
	struct table_slots *old = NULL;
	struct cell *there;
	int rc;

	CU_ASSERT(value != 0);
	if (len > UINT32_MAX)
		return CU_ENOMEM;
	pthread_mutex_lock(&table->mtx);
	slots = atomic_load_explicit(&table->slots, memory_order_relaxed);
	if (slots && slot_of(slots, hash, key, len, &there) >= 0) {
		*ret_value = there->value;
		rc = CU_EEXIST;
	} else {
		rc = insert_fresh(table, hash, key, len, value, &old);
		if (rc == 0)
			*ret_value = value;
	}
	unlock_and_reclaim(table, old);
	return rc;
}

/* Empties a slot. Where the next one is empty no tombstone is needed, nor are the ones right before it. */
static void slot_clear(struct cu_consumer_table *table, struct table_slots *slots, size_t at)
{
	if (atomic_load_explicit(&slots->at[(at + 1) & slots->mask], memory_order_relaxed) != SLOT_EMPTY) {
		atomic_store_explicit(&slots->at[at], SLOT_TOMBSTONE, memory_order_release);
		return;
	}
	do {
		atomic_store_explicit(&slots->at[at], SLOT_EMPTY, memory_order_release);
		table->used--;
		at = (at - 1) & slots->mask;
	} while (atomic_load_explicit(&slots->at[at], memory_order_relaxed) == SLOT_TOMBSTONE);
}

bool cu_table_remove(struct cu_consumer_table *table, const char *key, uint64_t value)
{
	size_t len = strlen(key);
	uint32_t hash = key_hash(key, len);
	struct cell *cell = NULL;
	struct table_slots *slots;
	struct table_slots *old = NULL;
	bool removed = false;
	ptrdiff_t at;
	size_t live;

	pthread_mutex_lock(&table->mtx);
	slots = atomic_load_explicit(&table->slots, memory_order_relaxed);
	at = slots ? slot_of(slots, hash, key, len, &cell) : -1;
	if (at >= 0 && (value == 0 || cell->value == value)) {
		CU_ASSERT(table->retired_count < TABLE_RETIRED_MAX);
		table->retired[table->retired_count++] = (uint32_t)atomic_load(&slots->at[at]) - SLOT_CELL;
		slot_clear(table, slots, (size_t)at);
		live = atomic_fetch_sub_explicit(&table->count, 1, memory_order_relaxed) - 1;
		removed = true;
		/* Much too large: give the memory back. Without memory for the smaller one it just stays large. */
		if (slots->mask >= 4 * SLOTS_MIN && live * 16 < slots->mask)
			(void)resize(table, live, &old);
	}
	unlock_and_reclaim(table, old);
	return removed;
}

void cu_table_release_empty(struct cu_consumer_table *table)
{
	struct table_slots *slots = NULL;
	struct table_cells *of = NULL;
	bool last;

	pthread_mutex_lock(&table->mtx);
	if (atomic_load_explicit(&table->count, memory_order_relaxed) == 0) {
		slots = atomic_load_explicit(&table->slots, memory_order_relaxed);
		atomic_store_explicit(&table->slots, NULL, memory_order_relaxed);
		table->used = 0;
		of = table->cells;
		table->cells = NULL;
		table->retired_count = 0;
	}
	CU_UNSEEN(table_check(table));
	pthread_mutex_unlock(&table->mtx);
	if (!of)
		return;
	rcu_wait_for_readers();
	slots_free(slots);
	pthread_mutex_lock(&table->mtx);
	last = --of->refs == 0;
	pthread_mutex_unlock(&table->mtx);
	if (last)
		cells_free(of);
}

static size_t copy_size(const struct cell *cell)
{
	return (sizeof(struct table_entry) + cell->len + 1 + 7) & ~(size_t)7;
}

struct table_entry **cu_table_snapshot(struct cu_consumer_table *table)
{
	struct table_entry **list = NULL;
	struct table_slots *slots;
	size_t bytes = 0;
	size_t count = 0;
	char *to;
	size_t i;

	pthread_mutex_lock(&table->mtx);
	slots = atomic_load_explicit(&table->slots, memory_order_relaxed);
	for (i = 0; slots && i <= slots->mask; i++) {
		uint64_t slot = atomic_load_explicit(&slots->at[i], memory_order_relaxed);

		if (!slot_has_cell(slot))
			continue;
		count++;
		bytes += copy_size(slot_cell(slots, slot));
	}
	list = cu_try_malloc((count + 1) * sizeof *list + bytes);
	if (!list)
		goto out;
	to = (char *)&list[count + 1];
	count = 0;
	for (i = 0; slots && i <= slots->mask; i++) {
		uint64_t slot = atomic_load_explicit(&slots->at[i], memory_order_relaxed);
		const struct cell *cell;
		struct table_entry *copy;

		if (!slot_has_cell(slot))
			continue;
		cell = slot_cell(slots, slot);
		copy = (struct table_entry *)(void *)to;
		copy->value = cell->value;
		copy->len = cell->len;
		memcpy(copy->key, cell_key(cell), cell->len);
		copy->key[cell->len] = '\0';
		list[count++] = copy;
		to += copy_size(cell);
	}
	list[count] = NULL;
out:
	pthread_mutex_unlock(&table->mtx);
	return list;
}
