/* Readers, syncs and drops while the writer appends; many threads on the metadata queue.
 * label: race */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"
#include "store/store.h"
#include "store/test_help.h"

#include <pthread.h>
#include <semaphore.h>

#define ITEMS 20000u
#define READERS 2

struct shared {
	cu_changelog *cl;
	uint64_t pos[ITEMS];
	_Atomic unsigned published; /* items that readers may look at; the writer stores it after a flush */
	_Atomic bool dropping;
	_Atomic unsigned reads;
	_Atomic unsigned gone;
};

static void *reader_main(void *arg)
{
	struct shared *shared = arg;
	unsigned random = 12345, n;
	uint64_t data[8];
	int rc;

	while ((n = atomic_load(&shared->published)) < ITEMS || shared->reads < 1000) {
		unsigned i;

		if (n == 0)
			continue;
		random = random * 1664525u + 1013904223u;
		i = (random >> 8) % n;
		rc = cu_changelog_read(shared->cl, shared->pos[i], sizeof data, data);
		if (rc == CU_ENOTFOUND) {
			CU_ASSERT(atomic_load(&shared->dropping));
			shared->gone++;
		} else {
			CU_ASSERT(rc == 0 && data[0] == i && data[7] == i);
		}
		shared->reads++;
	}
	return NULL;
}

static void *checkpoint_main(void *arg)
{
	struct shared *shared = arg;
	unsigned n;

	do {
		n = atomic_load(&shared->published);
		CU_ASSERT(cu_changelog_sync(shared->cl, cu_changelog_flushed(shared->cl)) == 0);
		if (n > ITEMS / 4) {
			atomic_store(&shared->dropping, true);
			CU_ASSERT(cu_changelog_drop_before(shared->cl, shared->pos[n - ITEMS / 4]) == 0);
			CU_ASSERT(cu_changelog_start(shared->cl) <= shared->pos[n - ITEMS / 4]);
		}
	} while (n < ITEMS);
	return NULL;
}

static void readers_see_whole_items_while_the_log_grows_syncs_and_drops(void **state)
{
	struct shared *shared = cu_xzalloc(sizeof *shared);
	struct cu_changelog_opts opts = { .dir = *state, .segment_bytes = 16384, .buffer_bytes = 1024 };
	struct cu_fanout f = { .tx = 1, .flags = CU_FANOUT_COMMIT };
	pthread_t readers[READERS], checkpoint;
	uint64_t data[8], end;

	assert_int_equal(cu_changelog_open(&opts, &shared->cl), 0);
	for (int i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, reader_main, shared), 0);
	assert_int_equal(pthread_create(&checkpoint, NULL, checkpoint_main, shared), 0);
	for (unsigned i = 0; i < ITEMS; i++) {
		for (int j = 0; j < 8; j++)
			data[j] = i;
		assert_int_equal(cu_changelog_append_item(shared->cl, 1, i, data, sizeof data, &shared->pos[i]), 0);
		if (i % 20 == 19) {
			assert_int_equal(cu_changelog_append_fanout(shared->cl, &f), 0);
			assert_int_equal(cu_changelog_flush(shared->cl), 0);
			atomic_store(&shared->published, i + 1);
		}
	}
	pthread_join(checkpoint, NULL);
	for (int i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	print_message("%u reads, %u of them of dropped items\n", shared->reads, shared->gone);
	end = cu_changelog_end(shared->cl);
	assert_int_equal(cu_changelog_sync(shared->cl, end), 0);
	cu_changelog_free(&shared->cl);
	opts.end_pos = end;
	assert_int_equal(cu_changelog_open(&opts, &shared->cl), 0);
	cu_changelog_free(&shared->cl);
	free(shared);
}

#define PUTTERS 4
#define PUTS 6000u /* together more than the queue holds */

struct putter {
	cu_store *store;
	_Atomic unsigned *done;
	_Atomic unsigned *failed;
};

static void put_done(void *ctx, int rc)
{
	struct putter *putter = ctx;

	if (rc < 0)
		(*putter->failed)++;
	(*putter->done)++;
}

static void *putter_main(void *arg)
{
	struct putter *putter = arg;
	cu_metadata *md = cu_store_metadata(putter->store);
	char handle[32];
	int rc;

	for (unsigned i = 0; i < PUTS / 2; i++) {
		struct cu_shape_row row = { .id = cu_metadata_next_shape_id(md), .definition_id = 1 };

		snprintf(handle, sizeof handle, "%" PRIu64 "-x", row.id);
		row.handle = handle;
		while ((rc = cu_metadata_put_shape(md, &row, put_done, putter)) == CU_EFULL)
			sched_yield();
		CU_ASSERT(rc == 0);
		CU_ASSERT(cu_store_remove_shape(putter->store, row.id, put_done, putter) == 0);
	}
	return NULL;
}

static void many_threads_put_and_remove_beyond_the_queue_and_every_done_runs_once(void **state)
{
	struct putter putters[PUTTERS];
	pthread_t threads[PUTTERS];
	_Atomic unsigned done = 0, failed = 0;
	struct cu_checkpoint cp = { .lsn = 1 };
	cu_store *store = NULL;

	assert_true(PUTTERS * PUTS > CU_METADATA_QUEUE_MAX);
	assert_int_equal(cu_store_open(*state, NULL, NULL, &store), 0);
	for (int i = 0; i < PUTTERS; i++) {
		putters[i] = (struct putter){ store, &done, &failed };
		assert_int_equal(pthread_create(&threads[i], NULL, putter_main, &putters[i]), 0);
	}
	assert_int_equal(cu_store_checkpoint(store, &cp, NULL, NULL), 0);
	for (int i = 0; i < PUTTERS; i++)
		pthread_join(threads[i], NULL);
	cu_store_free(&store);
	assert_int_equal(done, PUTTERS * PUTS);
	assert_int_equal(failed, 0);
}

static int setup(void **state)
{
	*state = help_dir_new();
	return 0;
}

static int teardown(void **state)
{
	char *dir = *state;

	help_dir_free(&dir);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(readers_see_whole_items_while_the_log_grows_syncs_and_drops, setup,
						teardown),
		cmocka_unit_test_setup_teardown(many_threads_put_and_remove_beyond_the_queue_and_every_done_runs_once,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
