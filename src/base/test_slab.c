/* The slab: objects never overlap, and memory comes back.
 * label: unit race */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/slab.h"

#include <pthread.h>
#include <stdlib.h>

/* A model: random sizes, each object full of its own number, checked when it goes. */
static void churn(unsigned seed, unsigned rounds)
{
	enum { OBJECTS = 3000 };
	struct {
		unsigned char *at;
		size_t size;
	} *objects = calloc(OBJECTS, sizeof *objects);

	assert_non_null(objects);
	for (unsigned i = 0; i < rounds; i++) {
		unsigned n = (unsigned)rand_r(&seed) % OBJECTS;

		if (objects[n].at) {
			for (size_t k = 0; k < objects[n].size; k++)
				assert_int_equal(objects[n].at[k], n & 0xff);
			cu_slab_free(objects[n].at, objects[n].size);
			objects[n].at = NULL;
			continue;
		}
		objects[n].size = 1 + (unsigned)rand_r(&seed) % (rand_r(&seed) % 50 ? 300 : 3000);
		objects[n].at = cu_slab_alloc(objects[n].size);
		assert_int_equal((uintptr_t)objects[n].at % 16, 0);
		for (size_t k = 0; k < objects[n].size; k++)
			assert_int_equal(objects[n].at[k], 0);
		memset(objects[n].at, (int)(n & 0xff), objects[n].size);
	}
	for (unsigned n = 0; n < OBJECTS; n++)
		cu_slab_free(objects[n].at, objects[n].size);
	free(objects);
}

static void objects_are_zeroed_and_never_overlap(void **state)
{
	(void)state;
	churn(1, 60000);
}

static void *churn_thread(void *arg)
{
	churn((unsigned)(uintptr_t)arg, 15000);
	return NULL;
}

static void threads_share_blocks(void **state)
{
	pthread_t threads[4];

	(void)state;
	for (uintptr_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn_thread, (void *)(i + 10)), 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

/* The second half of several blocks' objects goes, in no order; what comes then stands in their places. */
static void a_place_is_used_again(void **state)
{
	enum { OBJECTS = 5000 };
	char *at[OBJECTS], *low, *high;

	(void)state;
	for (unsigned i = 0; i < OBJECTS; i++)
		at[i] = cu_slab_alloc(200);
	low = high = at[0];
	for (unsigned i = 0; i < OBJECTS; i++) {
		low = at[i] < low ? at[i] : low;
		high = at[i] > high ? at[i] : high;
	}
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = round; i < OBJECTS; i += 2)
			cu_slab_free(at[i], 200);
		for (unsigned i = round; i < OBJECTS; i += 2) {
			at[i] = cu_slab_alloc(200);
			assert_true(at[i] >= low && at[i] <= high);
		}
	}
	for (unsigned i = 0; i < OBJECTS; i++)
		cu_slab_free(at[i], 200);
	cu_slab_free(NULL, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_are_zeroed_and_never_overlap),
		cmocka_unit_test(threads_share_blocks),
		cmocka_unit_test(a_place_is_used_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
