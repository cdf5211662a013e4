/* table.c: open addressing with linear probing over pointers to immutable entries.
 *
 * A reader loads the slot array once, then walks from the key's home slot to the first empty one. For it to be right
 * at every instant, an entry never moves within an array: removal leaves a tombstone (or an empty slot where the next
 * one is empty, so that nothing behind it can be cut off), and growing builds a new array with the same entries and
 * swaps it in whole. At most 5/8 of the slots are not empty, so the walk ends.
 */
#include "registry/table.h"

#include "base/mutant.h"
#include "registry/rcu.h"

#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define SLOTS_MIN 16u

struct table_slots {
	size_t mask;
	_Atomic(struct table_entry *) at[];
};

#ifdef CU_RCU_TSAN
char cu_rcu_tsan_domain;
#endif

static struct table_entry tombstone;

static uint32_t key_hash(const char *key, size_t len)
{
	return (uint32_t)XXH3_64bits(key, len);
}

static bool entry_is(const struct table_entry *entry, uint32_t hash, const char *key, size_t len)
{
	return entry->hash == hash && entry->len == len && memcmp(entry->key, key, len) == 0;
}

void cu_table_init(struct cu_consumer_table *table)
{
	memset(table, 0, sizeof *table);
	pthread_mutex_init(&table->mtx, NULL);
}

void cu_table_fini(struct cu_consumer_table *table)
{
	struct table_slots *slots = atomic_load(&table->slots);
	size_t i;

	for (i = 0; slots && i <= slots->mask; i++) {
		struct table_entry *entry = atomic_load_explicit(&slots->at[i], memory_order_relaxed);

		if (entry != &tombstone)
			free(entry);
	}
	free(slots);
	while (table->retired_count)
		free(table->retired[--table->retired_count]);
	pthread_mutex_destroy(&table->mtx);
}

/* The slot that holds the key, or -1. */
static ptrdiff_t slot_of(struct table_slots *slots, uint32_t hash, const char *key, size_t len,
			 struct table_entry **ret_entry)
{
	size_t at = hash & slots->mask;
	struct table_entry *entry;

	while ((entry = atomic_load_explicit(&slots->at[at], memory_order_acquire)) != NULL) {
		if (entry != &tombstone && entry_is(entry, hash, key, len)) {
			*ret_entry = entry;
			return (ptrdiff_t)at;
		}
		at = (at + 1) & slots->mask;
	}
	return -1;
}

uint64_t cu_table_find(struct cu_consumer_table *table, const char *key)
{
	struct table_slots *slots = atomic_load_explicit(&table->slots, memory_order_acquire);
	struct table_entry *entry;
	size_t len = strlen(key);

	if (!slots || slot_of(slots, key_hash(key, len), key, len, &entry) < 0)
		return 0;
	return entry->value;
}

/* Puts an entry where its probe sequence has room: a tombstone counts as room. True: it took an empty slot. */
static bool slots_put(struct table_slots *slots, struct table_entry *entry)
{
	size_t at = entry->hash & slots->mask;
	struct table_entry *there;

	while ((there = atomic_load_explicit(&slots->at[at], memory_order_relaxed)) != NULL && there != &tombstone)
		at = (at + 1) & slots->mask;
	atomic_store_explicit(&slots->at[at], entry, memory_order_release);
	return !there;
}

/* A new array for `live` entries, between 5/32 and 5/16 full, swapped in. The old one is returned for retirement in
 * *ret_old. */
static int resize(struct cu_consumer_table *table, size_t live, struct table_slots **ret_old)
{
	struct table_slots *old = atomic_load_explicit(&table->slots, memory_order_relaxed);
	struct table_slots *slots;
	size_t size = SLOTS_MIN;
	size_t i;

	while (size * 5 / 16 < live)
		size *= 2;
	slots = cu_try_zalloc(sizeof *slots + size * sizeof slots->at[0]);
	if (!slots)
		return CU_ENOMEM;
	slots->mask = size - 1;
	table->used = 0;
	for (i = 0; old && i <= old->mask; i++) {
		struct table_entry *entry = atomic_load_explicit(&old->at[i], memory_order_relaxed);

		if (entry && entry != &tombstone)
			table->used += slots_put(slots, entry);
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
 *   T4  No value is 0, no entry stands in the table and among the retired at once.
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
		struct table_entry *entry = atomic_load_explicit(&slots->at[i], memory_order_relaxed);
		struct table_entry *found = NULL;
		unsigned retired;

		used += entry != NULL;
		if (!entry || entry == &tombstone)
			continue;
		entries++;
		CU_ASSERT(entry->value);                                                                /* T4 */
		CU_ASSERT(slot_of(slots, entry->hash, entry->key, entry->len, &found) == (ptrdiff_t)i); /* T1 */
		for (retired = 0; retired < table->retired_count; retired++)
			CU_ASSERT(table->retired[retired] != entry);
	}
	CU_ASSERT(entries == count && used == table->used); /* T2 */
}
#else
static void table_check(struct cu_consumer_table *table)
{
	(void)table;
}
#endif

/* Frees an old array and a full batch of entries after a grace period. Not under the lock: a grace period may last. */
static void unlock_and_reclaim(struct cu_consumer_table *table, struct table_slots *old)
{
	void *batch[TABLE_RETIRED_MAX];
	unsigned count = 0;

	if (old || table->retired_count == TABLE_RETIRED_MAX) {
		count = table->retired_count;
		memcpy(batch, table->retired, count * sizeof batch[0]);
		table->retired_count = 0;
	}
	CU_UNSEEN(table_check(table));
	pthread_mutex_unlock(&table->mtx);
	if (!old && !count)
		return;
	if (!CU_MUTANT(NO_GRACE_PERIOD))
		rcu_wait_for_readers();
	free(old);
	while (count)
		free(batch[--count]);
}

int cu_table_insert(struct cu_consumer_table *table, const char *key, uint64_t value, uint64_t *ret_value)
{
	size_t len = strlen(key);
	uint32_t hash = key_hash(key, len);
	struct table_entry *entry = cu_try_malloc(sizeof *entry + len + 1);
	struct table_entry *there;
	struct table_slots *slots;
	struct table_slots *old = NULL;
	int rc = 0;

	CU_ASSERT(value != 0);
	if (!entry || len > UINT32_MAX) {
		free(entry);
		return CU_ENOMEM;
	}
	entry->value = value;
	entry->hash = hash;
	entry->len = (uint32_t)len;
	memcpy(entry->key, key, len + 1);

	pthread_mutex_lock(&table->mtx);
	slots = atomic_load_explicit(&table->slots, memory_order_relaxed);
	if (slots && slot_of(slots, hash, key, len, &there) >= 0) {
		*ret_value = there->value;
		rc = CU_EEXIST;
		goto out;
	}
	if (!slots || (table->used + 1) * 8 > (slots->mask + 1) * 5) {
		rc = resize(table, atomic_load_explicit(&table->count, memory_order_relaxed) + 1, &old);
		if (rc < 0)
			goto out;
		slots = atomic_load_explicit(&table->slots, memory_order_relaxed);
	}
	table->used += slots_put(slots, entry);
	atomic_fetch_add_explicit(&table->count, 1, memory_order_relaxed);
	*ret_value = value;
	entry = NULL;
out:
	unlock_and_reclaim(table, old);
	free(entry);
	return rc;
}

/* Empties a slot. Where the next one is empty no tombstone is needed, nor are the ones right before it. */
static void slot_clear(struct cu_consumer_table *table, struct table_slots *slots, size_t at)
{
	if (atomic_load_explicit(&slots->at[(at + 1) & slots->mask], memory_order_relaxed)) {
		atomic_store_explicit(&slots->at[at], &tombstone, memory_order_release);
		return;
	}
	do {
		atomic_store_explicit(&slots->at[at], NULL, memory_order_release);
		table->used--;
		at = (at - 1) & slots->mask;
	} while (atomic_load_explicit(&slots->at[at], memory_order_relaxed) == &tombstone);
}

bool cu_table_remove(struct cu_consumer_table *table, const char *key, uint64_t value)
{
	size_t len = strlen(key);
	uint32_t hash = key_hash(key, len);
	struct table_entry *entry = NULL;
	struct table_slots *slots;
	struct table_slots *old = NULL;
	bool removed = false;
	ptrdiff_t at;
	size_t live;

	pthread_mutex_lock(&table->mtx);
	slots = atomic_load_explicit(&table->slots, memory_order_relaxed);
	at = slots ? slot_of(slots, hash, key, len, &entry) : -1;
	if (at >= 0 && (value == 0 || entry->value == value)) {
		slot_clear(table, slots, (size_t)at);
		live = atomic_fetch_sub_explicit(&table->count, 1, memory_order_relaxed) - 1;
		CU_ASSERT(table->retired_count < TABLE_RETIRED_MAX);
		table->retired[table->retired_count++] = entry;
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
	struct table_slots *old = NULL;

	pthread_mutex_lock(&table->mtx);
	if (atomic_load_explicit(&table->count, memory_order_relaxed) == 0) {
		old = atomic_load_explicit(&table->slots, memory_order_relaxed);
		atomic_store_explicit(&table->slots, NULL, memory_order_relaxed);
		table->used = 0;
	}
	unlock_and_reclaim(table, old);
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
		struct table_entry *entry = atomic_load_explicit(&slots->at[i], memory_order_relaxed);

		if (!entry || entry == &tombstone)
			continue;
		count++;
		bytes += (sizeof *entry + entry->len + 1 + 7) & ~(size_t)7;
	}
	list = cu_try_malloc((count + 1) * sizeof *list + bytes);
	if (!list)
		goto out;
	to = (char *)&list[count + 1];
	count = 0;
	for (i = 0; slots && i <= slots->mask; i++) {
		struct table_entry *entry = atomic_load_explicit(&slots->at[i], memory_order_relaxed);

		if (!entry || entry == &tombstone)
			continue;
		memcpy(to, entry, sizeof *entry + entry->len + 1);
		list[count++] = (struct table_entry *)(void *)to;
		to += (sizeof *entry + entry->len + 1 + 7) & ~(size_t)7;
	}
	list[count] = NULL;
out:
	pthread_mutex_unlock(&table->mtx);
	return list;
}
