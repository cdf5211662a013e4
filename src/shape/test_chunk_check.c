/* Chunks of an earlier run are checked when they are asked for first; those who ask are woken; a damaged one takes its shape along.
 * label: race */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "shape/chunk_check.h"
#include "shape/test_help.h"
#include "store/test_help.h"

#include <pthread.h>
#include <semaphore.h>

#define CHUNKS 3u /* of the snapshot, and of the log */

struct world {
	char *dir;
	cu_store *store;
	cu_shape_set *set;
	cu_shape *shape;
	cu_chunk_checks *checks;
	sem_t woken;
};

static void no_shape(void *ctx, cu_shape *shape)
{
	(void)ctx;
	(void)shape;
}

static void wake(void *ctx, uint64_t shape_id, uint64_t loops)
{
	(void)shape_id;
	(void)loops;
	sem_post(&((struct world *)ctx)->woken);
}

static struct cu_chunk_info write_chunk(struct world *w, enum cu_chunk_kind kind, uint32_t n)
{
	cu_chunk_writer *writer = NULL;
	struct cu_chunk_info info;
	char item[5000];

	memset(item, (int)('a' + n), sizeof item);
	assert_int_equal(cu_chunk_writer_new(cu_store_chunks(w->store), 1, kind, n, &writer), 0);
	assert_int_equal(cu_chunk_writer_append(writer, item, sizeof item, 1), 0);
	assert_int_equal(cu_chunk_writer_finish(&writer, true, &info), 0);
	return info;
}

/* A live shape whose chunks another run has written. */
static struct world *world_new(void)
{
	struct world *w = cu_xzalloc(sizeof *w);
	struct cu_shape_set_opts opts = {
		.chunk_bytes = 4000, .create = no_shape, .forget = no_shape, .wake = wake, .ctx = w
	};
	struct cu_shape_row row = { .id = 1, .handle = "1-1" };
	struct cu_chunk_info chunks[CHUNKS];
	struct cu_snapshot_info info = { .xip = "", .chunks = chunks, .chunks_len = CHUNKS };

	w->dir = help_dir_new();
	sem_init(&w->woken, 0, 0);
	assert_int_equal(cu_store_open(w->dir, NULL, NULL, &w->store), 0);
	w->set = cu_shape_set_new(&opts);
	w->shape = help_restore(w->set, 1, "1-1", help_definition(HELP_OID, false), 1, 1, "");
	cu_shape_set_end_restore(w->set, w->store, 0);
	for (uint32_t n = 0; n < CHUNKS; n++)
		chunks[n] = write_chunk(w, CU_CHUNK_SNAPSHOT, n);
	assert_int_equal(cu_metadata_put_shape(cu_store_metadata(w->store), &row, NULL, NULL), 0);
	assert_int_equal(cu_metadata_set_snapshot(cu_store_metadata(w->store), 1, &info, NULL, NULL), 0);
	assert_int_equal(cu_metadata_sync(cu_store_metadata(w->store)), 0);
	w->shape->chunks_len = CHUNKS;
	w->shape->snapshot_small = false;
	for (uint32_t n = 0; n < CHUNKS; n++) {
		struct cu_log_chunk_row log = { .shape_id = 1,
						.n = n,
						.last_tx = 100 + n,
						.wire_bytes = 4900,
						.info = write_chunk(w, CU_CHUNK_LOG, n) };

		assert_int_equal(cu_shape_set_restore_log_chunk(w->set, &log), 0);
	}
	assert_int_equal(cu_chunk_checks_start(w->set, w->store, &w->checks), 0);
	return w;
}

static void world_free(struct world *w)
{
	cu_chunk_checks_free(&w->checks);
	cu_shape_unref(&w->shape);
	cu_store_free(&w->store);
	cu_shape_set_free(&w->set);
	help_dir_free(&w->dir);
	sem_destroy(&w->woken);
	free(w);
}

static bool ask_snapshot(struct world *w, uint32_t n)
{
	atomic_fetch_or(&w->shape->waiting_loops, 1);
	return cu_chunk_check_snapshot(w->checks, w->shape, n);
}

static bool ask_log(struct world *w, uint64_t from_tx, uint64_t end_tx)
{
	atomic_fetch_or(&w->shape->waiting_loops, 1);
	return cu_chunk_check_log(w->checks, w->shape, from_tx ? cu_offset_of(from_tx, 0) : CU_OFFSET_SNAPSHOT_END,
				  cu_offset_of(end_tx, 0));
}

static void wait_for_wake(struct world *w)
{
	while (sem_wait(&w->woken) < 0)
		;
}

static void flip(struct world *w, const char *name)
{
	char *path = cu_file_path("%s/shapes/1/%s", w->dir, name);

	help_flip(path, 4321);
	free(path);
}

static void what_was_written_before_is_checked_once_when_it_is_asked_for(void **state)
{
	struct world *w = world_new();

	(void)state;
	assert_false(ask_snapshot(w, 1));
	wait_for_wake(w);
	assert_true(ask_snapshot(w, 1));
	assert_true(ask_snapshot(w, 0));
	assert_int_equal(w->shape->chunks_good, 2);
	assert_false(ask_log(w, 100, 101));
	wait_for_wake(w);
	assert_true(ask_log(w, 100, 101));
	assert_false(w->shape->log->sealed[0].good);
	assert_false(ask_log(w, 0, 102));
	wait_for_wake(w);
	assert_true(ask_log(w, 0, 102));
	assert_true(ask_log(w, 102, 200));
	/* Now it is not looked at any more. */
	flip(w, "log.0");
	assert_true(ask_log(w, 0, 102));
	assert_int_equal(w->shape->state, CU_SHAPE_LIVE);
	world_free(w);
}

static void a_damaged_or_lost_chunk_takes_its_shape_along(void **state)
{
	static const char *const names[] = { "snapshot.2", "log.1", NULL };

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(names); i++) {
		struct world *w = world_new();

		if (names[i])
			flip(w, names[i]);
		else
			assert_int_equal(cu_chunk_remove(cu_store_chunks(w->store), 1, CU_CHUNK_LOG, 2), 0);
		assert_false(i ? ask_log(w, 0, 102) : ask_snapshot(w, 2));
		wait_for_wake(w);
		while (cu_shape_status(w->shape).state != CU_SHAPE_GONE) {
			atomic_fetch_or(&w->shape->waiting_loops, 1);
			if (cu_shape_status(w->shape).state != CU_SHAPE_GONE)
				wait_for_wake(w);
		}
		assert_false(i ? ask_log(w, 0, 102) : ask_snapshot(w, 2));
		world_free(w);
	}
}

static void *ask_until_known(void *arg)
{
	struct world *w = arg;

	while (!ask_snapshot(w, CHUNKS - 1) || !ask_log(w, 0, 102))
		sched_yield();
	return NULL;
}

static void many_ask_at_once(void **state)
{
	struct world *w = world_new();
	pthread_t threads[4];

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_until_known, w), 0);
	for (size_t i = 0; i < CU_ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_before_is_checked_once_when_it_is_asked_for),
		cmocka_unit_test(a_damaged_or_lost_chunk_takes_its_shape_along),
		cmocka_unit_test(many_ask_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
