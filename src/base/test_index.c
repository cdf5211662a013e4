/* The index against an array that is searched from end to end. label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/index.h"

#include <stdlib.h>

struct object {
	uint64_t hash; /* few of them, so that many collide */
	unsigned id;
	bool in;
};

static uint64_t hash_of(const void *object)
{
	return ((const struct object *)object)->hash;
}

static bool has_id(const void *object, const void *key)
{
	return ((const struct object *)object)->id == *(const unsigned *)key;
}

static void every_object_that_is_in_is_found_and_no_other(void **state)
{
	enum { OBJECTS = 300, STEPS = 30000 };
	struct object objects[OBJECTS];
	unsigned seed = 7;
	size_t in = 0, seen = 0;
	cu_index index;

	(void)state;
	cu_index_init(&index, hash_of);
	for (unsigned i = 0; i < OBJECTS; i++)
		objects[i] = (struct object){ i % 3 ? cu_index_hash_u64(i) : i % 5, i, false };
	for (unsigned step = 0; step < STEPS; step++) {
		struct object *object = &objects[(unsigned)rand_r(&seed) % OBJECTS];

		/* It grows for a while, then shrinks. */
		if (!object->in && (unsigned)rand_r(&seed) % 8 < (step / 5000 % 2 ? 1 : 6)) {
			cu_index_insert(&index, object);
			object->in = true;
			in++;
		} else if (object->in) {
			assert_true(cu_index_remove(&index, object));
			object->in = false;
			in--;
		} else {
			assert_false(cu_index_remove(&index, object));
		}
		object = &objects[(unsigned)rand_r(&seed) % OBJECTS];
		assert_ptr_equal(cu_index_find(&index, object->hash, has_id, &object->id), object->in ? object : NULL);
		assert_int_equal(index.len, in);
	}
	for (size_t i = 0; cu_index_next(&index, &i);)
		seen++;
	assert_int_equal(seen, in);
	cu_index_fini(&index);
	assert_null(cu_index_find(&index, 1, has_id, &objects[0].id));
}

static void room_that_was_reserved_is_not_moved(void **state)
{
	static struct object objects[1000];
	const uintptr_t *slots;
	cu_index index;

	(void)state;
	cu_index_init(&index, hash_of);
	cu_index_reserve(&index, CU_ARRAY_LEN(objects));
	slots = index.slots;
	for (unsigned i = 0; i < CU_ARRAY_LEN(objects); i++) {
		objects[i] = (struct object){ cu_index_hash_u64(i), i, true };
		cu_index_insert(&index, &objects[i]);
	}
	assert_ptr_equal(index.slots, slots);
	cu_index_reserve(&index, 10); /* never smaller */
	assert_ptr_equal(index.slots, slots);
	cu_index_fini(&index);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(room_that_was_reserved_is_not_moved),
					    cmocka_unit_test(every_object_that_is_in_is_found_and_no_other) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
