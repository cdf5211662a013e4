/* test_router.c: targets by table. label: unit */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/map.h"
#include "router/router.h"

static void a_change_of_an_unknown_table_touches_nobody(void **state)
{
	cu_router *router = cu_router_new();

	(void)state;
	cu_router_read_lock(router);
	assert_int_equal(cu_router_lookup(router, 16384).len, 0);
	cu_router_read_unlock(router);
	cu_router_free(&router);
	assert_null(router);
}

static void every_target_of_a_table_is_found_once_and_gone_after_remove(void **state)
{
	cu_router *router = cu_router_new();
	char targets[100];
	bool seen[100] = { false };
	struct cu_router_targets found;

	(void)state;
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(cu_router_add(router, 7, &targets[i]), 0);
	assert_int_equal(cu_router_add(router, 7, &targets[3]), CU_EEXIST);
	assert_int_equal(cu_router_add(router, 8, &targets[3]), 0);
	for (size_t i = 0; i < 100; i += 2)
		assert_int_equal(cu_router_remove(router, 7, &targets[i]), 0);
	assert_int_equal(cu_router_remove(router, 7, &targets[0]), CU_ENOTFOUND);
	cu_router_read_lock(router);
	found = cu_router_lookup(router, 7);
	assert_int_equal(found.len, 50);
	for (size_t i = 0; i < found.len; i++) {
		size_t which = (size_t)((char *)found.list[i] - targets);

		assert_int_equal(which % 2, 1);
		assert_false(seen[which]);
		seen[which] = true;
	}
	assert_int_equal(cu_router_lookup(router, 8).len, 1);
	cu_router_read_unlock(router);
	cu_router_free(&router);
}

struct seen {
	uint32_t oids[4];
	size_t targets;
	size_t len;
};

static void see(void *ctx, uint32_t oid, struct cu_router_targets targets)
{
	struct seen *seen = ctx;

	assert_true(seen->len < 4);
	seen->oids[seen->len++] = oid;
	seen->targets += targets.len;
}

static void each_table_comes_once_with_its_targets_and_one_without_any_does_not(void **state)
{
	cu_router *router = cu_router_new();
	struct seen seen = { .len = 0 };
	int a, b, c;

	(void)state;
	cu_router_add(router, 7, &a);
	cu_router_add(router, 7, &b);
	cu_router_add(router, 8, &a);
	cu_router_add(router, 9, &c);
	cu_router_remove(router, 9, &c);
	cu_router_each_table(router, see, &seen);
	assert_int_equal(seen.len, 2);
	assert_int_equal(seen.targets, 3);
	assert_int_equal(seen.oids[0] + seen.oids[1], 15);
	cu_router_free(&router);
}

static void map_keeps_every_entry_through_random_puts_and_deletes(void **state)
{
	cu_map map = CU_MAP_INIT;
	static uintptr_t model[512];
	uint64_t seed = 42;
	size_t live = 0;

	(void)state;
	for (int step = 0; step < 200000; step++) {
		size_t key;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		key = (seed >> 33) % 512;
		if (seed >> 63) {
			uintptr_t value = (uintptr_t)step + 1;

			assert_ptr_equal(cu_map_put(&map, key, (void *)value), (void *)model[key]);
			live += model[key] == 0;
			model[key] = value;
		} else {
			assert_ptr_equal(cu_map_del(&map, key), (void *)model[key]);
			live -= model[key] != 0;
			model[key] = 0;
		}
		assert_int_equal(map.len, live);
	}
	for (size_t key = 0; key < 512; key++)
		assert_ptr_equal(cu_map_get(&map, key), (void *)model[key]);
	cu_map_fini(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_change_of_an_unknown_table_touches_nobody),
		cmocka_unit_test(every_target_of_a_table_is_found_once_and_gone_after_remove),
		cmocka_unit_test(each_table_comes_once_with_its_targets_and_one_without_any_does_not),
		cmocka_unit_test(map_keeps_every_entry_through_random_puts_and_deletes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
