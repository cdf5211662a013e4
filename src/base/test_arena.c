/* The arena and the hash map.
 * label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/map.h"

static void allocations_are_aligned_and_never_overlap(void **state)
{
	cu_arena arena = CU_ARENA_INIT;
	uint8_t *at[2000];

	(void)state;
	for (unsigned i = 0; i < CU_ARRAY_LEN(at); i++) {
		at[i] = cu_arena_alloc(&arena, i % 301);
		assert_non_null(at[i]);
		assert_int_equal((uintptr_t)at[i] % 16, 0);
		memset(at[i], (int)(i & 0xff), i % 301);
	}
	for (unsigned i = 0; i < CU_ARRAY_LEN(at); i++) {
		for (unsigned k = 0; k < i % 301; k++)
			assert_int_equal(at[i][k], i & 0xff);
	}
	cu_arena_fini(&arena);
	assert_null(arena.blocks);
}

static void what_is_larger_than_a_block_gets_its_own(void **state)
{
	cu_arena arena = CU_ARENA_INIT;
	char *small = cu_arena_copy(&arena, "abc", 4), *large, *behind;

	(void)state;
	large = cu_arena_alloc(&arena, 1000000);
	memset(large, 'x', 1000000);
	behind = cu_arena_copy(&arena, "def", 4);
	assert_string_equal(small, "abc");
	assert_string_equal(behind, "def");
	assert_true(arena.total >= 1000008);
	cu_arena_fini(&arena);
}

static void a_reset_keeps_one_block_and_hands_it_out_again(void **state)
{
	cu_arena arena = CU_ARENA_INIT;
	void *block;

	(void)state;
	for (unsigned i = 0; i < 50; i++)
		assert_non_null(cu_arena_alloc(&arena, 50000));
	assert_non_null(cu_arena_alloc(&arena, 500000));
	cu_arena_reset(&arena);
	block = arena.blocks;
	assert_non_null(block);
	assert_int_equal(arena.total, 0);
	cu_fault_alloc_at(1); /* the block is enough: nothing is allocated */
	assert_non_null(cu_arena_alloc(&arena, 60000));
	assert_ptr_equal(arena.blocks, block);
	assert_int_equal(cu_fault_alloc_at(0), 1);
	cu_arena_fini(&arena);
}

static void out_of_memory_leaves_the_arena_usable(void **state)
{
	cu_arena arena = CU_ARENA_INIT;
	char *text = cu_arena_copy(&arena, "kept", 5);

	(void)state;
	cu_fault_alloc_at(1);
	assert_null(cu_arena_alloc(&arena, 200000));
	assert_null(cu_arena_alloc(&arena, SIZE_MAX));
	assert_null(cu_arena_alloc(&arena, SIZE_MAX / 2 + 1));
	assert_string_equal(text, "kept");
	assert_non_null(cu_arena_alloc(&arena, 200000));
	cu_arena_fini(&arena);
}

/* ---- the map ---- */

/* Against an array that knows the truth; keys collide a lot and are deleted in between. */
static void the_map_agrees_with_an_array_through_every_change(void **state)
{
	static int values[512];
	void *truth[512] = { NULL };
	cu_map map = CU_MAP_INIT;
	uint64_t random = 12345;
	size_t len = 0;

	(void)state;
	for (unsigned step = 0; step < 200000; step++) {
		unsigned key;
		uint64_t spread;

		random = random * 6364136223846793005ull + 1442695040888963407ull;
		key = (unsigned)(random >> 33) % 512;
		spread = key % 2 ? key : (uint64_t)key << 40;
		if (random >> 63) {
			void *before = cu_map_put(&map, spread, &values[key]);

			assert_ptr_equal(before, truth[key]);
			len += !before;
			truth[key] = &values[key];
		} else {
			assert_ptr_equal(cu_map_del(&map, spread), truth[key]);
			len -= truth[key] != NULL;
			truth[key] = NULL;
		}
		assert_int_equal(map.len, len);
	}
	for (unsigned key = 0; key < 512; key++)
		assert_ptr_equal(cu_map_get(&map, key % 2 ? key : (uint64_t)key << 40), truth[key]);
	cu_map_fini(&map);
}

static void walking_the_map_meets_every_value_once(void **state)
{
	static int values[1000];
	cu_map map = CU_MAP_INIT;
	size_t met = 0;
	int *value;

	(void)state;
	assert_null(cu_map_get(&map, 1));
	assert_null(cu_map_del(&map, 1));
	for (size_t i = 0; (value = cu_map_next(&map, &i));)
		fail();
	for (unsigned i = 0; i < 1000; i++)
		cu_map_put(&map, i, &values[i]);
	for (size_t i = 0; (value = cu_map_next(&map, &i)); met++)
		assert_int_equal((*value)++, 0);
	assert_int_equal(met, 1000);
	cu_map_fini(&map);
}

/* From some size on its table asks for huge pages. */
static void a_large_map_keeps_what_a_small_one_does(void **state)
{
	enum { ENTRIES = 600000 };
	cu_map map = CU_MAP_INIT;

	(void)state;
	for (uintptr_t i = 1; i <= ENTRIES; i++)
		assert_null(cu_map_put(&map, i, (void *)i));
	for (uintptr_t i = 1; i <= ENTRIES; i += 2)
		assert_ptr_equal(cu_map_del(&map, i), (void *)i);
	for (uintptr_t i = 1; i <= ENTRIES; i++)
		assert_ptr_equal(cu_map_get(&map, i), (void *)(i % 2 ? 0 : i));
	assert_int_equal(map.len, ENTRIES / 2);
	cu_map_fini(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(allocations_are_aligned_and_never_overlap),
		cmocka_unit_test(what_is_larger_than_a_block_gets_its_own),
		cmocka_unit_test(a_reset_keeps_one_block_and_hands_it_out_again),
		cmocka_unit_test(out_of_memory_leaves_the_arena_usable),
		cmocka_unit_test(the_map_agrees_with_an_array_through_every_change),
		cmocka_unit_test(a_large_map_keeps_what_a_small_one_does),
		cmocka_unit_test(walking_the_map_meets_every_value_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
