/* The table against a plain model, and what a reader may see while a writer works.
 * label: race */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "registry/rcu.h"
#include "registry/table.h"

#include <stdio.h>
#include <stdlib.h>

enum { KEYS = 500, STEPS = 60000 };

static uint64_t find(struct cu_consumer_table *table, unsigned key)
{
	char name[16];
	uint64_t value;

	snprintf(name, sizeof name, "key-%u", key);
	rcu_enter();
	value = cu_table_find(table, name);
	rcu_leave();
	return value;
}

static void the_table_agrees_with_a_model_after_any_sequence(void **state)
{
	struct cu_consumer_table table;
	uint64_t model[KEYS] = { 0 };
	size_t count = 0;
	unsigned seed = 1;
	unsigned step, key;

	(void)state;
	cu_table_init(&table);
	assert_int_equal(find(&table, 0), 0);
	for (step = 0; step < STEPS; step++) {
		/* Phases of mostly growing and mostly shrinking, so that it resizes both ways. */
		bool grows = (unsigned)rand_r(&seed) % 10 < (step / 6000 % 2 ? 2 : 8);
		char name[16];
		uint64_t value;

		key = (unsigned)rand_r(&seed) % KEYS;
		snprintf(name, sizeof name, "key-%u", key);
		if (grows) {
			int rc = cu_table_insert(&table, name, step + 1, &value);

			assert_int_equal(rc, model[key] ? CU_EEXIST : 0);
			count += !model[key];
			model[key] = model[key] ? model[key] : step + 1;
			assert_int_equal(value, model[key]);
		} else if (step % 3) {
			assert_int_equal(cu_table_remove(&table, name, 0), model[key] != 0);
			count -= model[key] != 0;
			model[key] = 0;
		} else {
			assert_false(cu_table_remove(&table, name, STEPS + 7));
		}
		assert_int_equal(find(&table, key), model[key]);
		assert_int_equal(atomic_load(&table.count), count);
		if (step % 1000 == 0) {
			struct table_entry **list = cu_table_snapshot(&table);
			size_t listed = 0;

			assert_non_null(list);
			while (list[listed])
				listed++;
			assert_int_equal(listed, count);
			free(list);
			for (key = 0; key < KEYS; key++)
				assert_int_equal(find(&table, key), model[key]);
		}
	}
	cu_table_fini(&table);
}

static void without_memory_an_insertion_changes_nothing(void **state)
{
	struct cu_consumer_table table;
	uint64_t value;
	unsigned nth;

	(void)state;
	cu_table_init(&table);
	for (nth = 1; nth <= 2; nth++) {
		cu_fault_alloc_at(nth);
		assert_int_equal(cu_table_insert(&table, "key-1", 7, &value), CU_ENOMEM);
		assert_int_equal(find(&table, 1), 0);
	}
	cu_fault_alloc_at(0);
	assert_int_equal(cu_table_insert(&table, "key-1", 7, &value), 0);
	cu_fault_alloc_at(1);
	assert_null(cu_table_snapshot(&table));
	cu_fault_alloc_at(0);
	cu_table_fini(&table);
}

struct shared {
	struct cu_consumer_table table;
	atomic_bool over;
	atomic_size_t reads;
};

/* Key 0 stays: it must be there at every instant. Any other one is absent or has its own value. */
static void *reader(void *arg)
{
	struct shared *shared = arg;
	unsigned key = 0;

	while (!atomic_load(&shared->over)) {
		uint64_t value = find(&shared->table, key);

		if (key == 0)
			assert_int_equal(value, 1);
		else
			assert_true(value == 0 || value == key + 1);
		key = (key + 1) % KEYS;
		atomic_fetch_add(&shared->reads, 1);
	}
	return NULL;
}

static void *writer(void *arg)
{
	struct shared *shared = arg;
	unsigned seed = (unsigned)(uintptr_t)&seed;
	unsigned step;

	for (step = 0; step < 20000; step++) {
		unsigned key = 1 + (unsigned)rand_r(&seed) % (KEYS - 1);
		char name[16];
		uint64_t value;

		snprintf(name, sizeof name, "key-%u", key);
		if ((unsigned)rand_r(&seed) % 10 < (step / 2000 % 2 ? 2 : 8))
			cu_table_insert(&shared->table, name, key + 1, &value);
		else
			cu_table_remove(&shared->table, name, step % 2 ? 0 : key + 1);
	}
	return NULL;
}

static void readers_always_find_what_stays_while_writers_grow_and_shrink_the_table(void **state)
{
	static struct shared shared;
	pthread_t readers[2], writers[2];
	uint64_t value;
	unsigned i;

	(void)state;
	cu_table_init(&shared.table);
	cu_table_insert(&shared.table, "key-0", 1, &value);
	for (i = 0; i < 2; i++) {
		pthread_create(&readers[i], NULL, reader, &shared);
		pthread_create(&writers[i], NULL, writer, &shared);
	}
	for (i = 0; i < 2; i++)
		pthread_join(writers[i], NULL);
	atomic_store(&shared.over, true);
	for (i = 0; i < 2; i++)
		pthread_join(readers[i], NULL);
	assert_true(atomic_load(&shared.reads) > 0);
	cu_table_fini(&shared.table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_agrees_with_a_model_after_any_sequence),
		cmocka_unit_test(without_memory_an_insertion_changes_nothing),
		cmocka_unit_test(readers_always_find_what_stays_while_writers_grow_and_shrink_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
