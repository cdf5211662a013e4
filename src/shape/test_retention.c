/* Which shapes go, and in which order, on a real store.
 * label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "shape/retention.h"
#include "shape/test_help.h"
#include "store/test_help.h"
#include "store/usage.h"

#include <stdio.h>

#define SHAPES 8

struct world {
	char *dir;
	cu_store *store;
	cu_shape_set *set;
	cu_shape *shapes[SHAPES]; /* ids 1 … */
};

static void ignore(void *ctx, cu_shape *shape)
{
	(void)ctx;
	(void)shape;
}

static void on_wake(void *ctx, uint64_t shape_id, uint64_t loops)
{
	(void)ctx;
	(void)shape_id;
	(void)loops;
}

static struct world *world_new(void)
{
	struct cu_shape_set_opts opts = { .chunk_bytes = 1000, .create = ignore, .forget = ignore, .wake = on_wake };
	struct world *w = cu_xzalloc(sizeof *w);
	char handle[32];

	w->dir = help_dir_new();
	opts.ctx = w;
	w->set = cu_shape_set_new(&opts);
	assert_int_equal(cu_store_open(w->dir, NULL, NULL, &w->store), 0);
	for (uint32_t i = 0; i < SHAPES; i++) {
		snprintf(handle, sizeof handle, "1-%u", i);
		w->shapes[i] = help_restore(w->set, i + 1, handle, help_definition(i + 1, false), 10, 10, "");
	}
	cu_shape_set_end_restore(w->set, w->store, 0);
	return w;
}

static void world_free(struct world *w)
{
	for (unsigned i = 0; i < SHAPES; i++)
		cu_shape_unref(&w->shapes[i]);
	cu_store_free(&w->store);
	cu_shape_set_free(&w->set);
	help_dir_free(&w->dir);
	free(w);
}

static void read_ago(struct world *w, unsigned i, uint32_t seconds)
{
	atomic_store(&w->shapes[i]->read_until_s, cu_shape_clock_s() - seconds);
}

/* One bit for each shape that is still served. */
static unsigned left(const struct world *w)
{
	unsigned bits = 0;

	for (unsigned i = 0; i < SHAPES; i++)
		bits |= (unsigned)(cu_shape_status(w->shapes[i]).state <= CU_SHAPE_LIVE) << i;
	return bits;
}

static cu_retention *retention_new(struct world *w, unsigned shapes_max, uint64_t bytes_max, uint64_t idle_ms_max)
{
	struct cu_retention_opts opts = { w->set, w->store, shapes_max, bytes_max, idle_ms_max };

	return cu_retention_new(&opts);
}

static void above_the_number_the_least_recently_read_go(void **state)
{
	static const uint32_t ages[SHAPES] = { 5, 70, 20, 80, 0, 90, 40, 20 };
	struct world *w = world_new();
	cu_retention *retention = retention_new(w, 4, 0, 0);

	(void)state;
	for (unsigned i = 0; i < SHAPES; i++)
		read_ago(w, i, ages[i]);
	assert_int_equal(cu_retention_run(retention, cu_now_ms()), 4);
	assert_int_equal(left(w), 1 << 0 | 1 << 2 | 1 << 4 | 1 << 7);
	assert_int_equal(cu_retention_run(retention, cu_now_ms()), 0);
	cu_retention_free(&retention);
	world_free(w);
}

static void of_those_read_at_the_same_time_the_oldest_go(void **state)
{
	struct world *w = world_new();
	cu_retention *retention = retention_new(w, 5, 0, 0);

	(void)state;
	for (unsigned i = 0; i < SHAPES; i++)
		read_ago(w, i, 3);
	assert_int_equal(cu_retention_run(retention, cu_now_ms()), 3);
	assert_int_equal(left(w), 0xf8);
	cu_retention_free(&retention);
	world_free(w);
}

static void a_shape_that_is_being_made_counts_but_stays(void **state)
{
	struct world *w = world_new();
	cu_shape *young = help_create(w->set, help_definition(1000, false));
	cu_retention *retention = retention_new(w, 2, 0, 0);

	(void)state;
	atomic_store(&young->read_until_s, 0);
	assert_int_equal(cu_retention_run(retention, cu_now_ms()), 7);
	assert_int_equal(cu_shape_status(young).state, CU_SHAPE_CREATING);
	cu_retention_free(&retention);
	cu_shape_unref(&young);
	world_free(w);
}

static void a_shape_that_nobody_reads_goes_one_that_is_waited_for_stays(void **state)
{
	struct world *w = world_new();
	cu_retention *retention = retention_new(w, 0, 0, 30000);
	uint64_t now = cu_now_ms();

	(void)state;
	read_ago(w, 1, 100);
	read_ago(w, 3, 30);
	read_ago(w, 4, 20);
	read_ago(w, 5, 100);
	cu_shape_mark_read(w->shapes[5], 20000);
	assert_int_equal(cu_retention_run(retention, now), 2);
	assert_int_equal(left(w), 0xff & ~(1 << 1 | 1 << 3));
	/* All shapes are looked at every now and then only. */
	read_ago(w, 0, 100);
	assert_int_equal(cu_retention_run(retention, now + 1000), 0);
	assert_int_equal(cu_retention_run(retention, now + 2000), 1);
	cu_retention_free(&retention);
	world_free(w);
}

static void marking_never_goes_back(void **state)
{
	struct world *w = world_new();
	uint32_t now = cu_shape_clock_s();

	(void)state;
	cu_shape_mark_read(w->shapes[0], 100000);
	cu_shape_mark_read(w->shapes[0], 0);
	assert_in_range(atomic_load(&w->shapes[0]->read_until_s), now + 100, now + 101 + 10);
	world_free(w);
}

static void chunk_write(struct world *w, unsigned i, size_t bytes)
{
	cu_chunk_writer *writer = NULL;
	struct cu_chunk_info info;
	char *data = cu_xmalloc(bytes);

	/* Not zeros: a file system may leave those out. */
	for (size_t at = 0; at < bytes; at++)
		data[at] = (char)(at * 7919 >> 3);
	assert_int_equal(
		cu_chunk_writer_new(cu_store_chunks(w->store), w->shapes[i]->id, CU_CHUNK_SNAPSHOT, 0, &writer), 0);
	assert_int_equal(cu_chunk_writer_append(writer, data, bytes, 1), 0);
	assert_int_equal(cu_chunk_writer_finish(&writer, true, &info), 0);
	free(data);
}

static uint64_t usage_total(struct world *w)
{
	cu_usage *usage = NULL;
	uint64_t bytes = 0;

	assert_int_equal(cu_usage_open(w->store, &usage), 0);
	assert_int_equal(cu_usage_total(usage, &bytes), 0);
	cu_usage_close(&usage);
	return bytes;
}

static void above_the_bytes_as_many_go_as_need_be(void **state)
{
	struct world *w = world_new();
	uint64_t before = usage_total(w), total;
	cu_retention *retention;

	(void)state;
	for (unsigned i = 0; i < SHAPES; i++) {
		chunk_write(w, i, 256 * 1024);
		read_ago(w, i, 100 + 10 * i);
	}
	total = usage_total(w);
	assert_in_range(total - before, SHAPES * 256 * 1024, SHAPES * 300 * 1024);
	retention = retention_new(w, 0, total, 0);
	assert_int_equal(cu_retention_run(retention, cu_now_ms()), 0);
	cu_retention_free(&retention);

	retention = retention_new(w, 0, total - 400 * 1024, 0);
	assert_int_equal(cu_retention_run(retention, cu_now_ms()), 2);
	assert_int_equal(left(w), 0x3f);
	assert_int_equal(cu_metadata_sync(cu_store_metadata(w->store)), 0);
	assert_in_range(usage_total(w), 0, total - 2 * 256 * 1024 + 64 * 1024);
	assert_int_equal(cu_retention_run(retention, cu_now_ms() + 60000), 0);
	cu_retention_free(&retention);
	world_free(w);
}

/* A full disk: what cannot be removed takes its room all the same, and more evictions would not help. */
static void nothing_more_goes_until_what_went_has_made_room(void **state)
{
	struct world *w = world_new();
	cu_retention *retention;
	uint64_t total;

	(void)state;
	for (unsigned i = 0; i < SHAPES; i++) {
		struct cu_shape_row row = { .id = i + 1, .handle = w->shapes[i]->handle, .definition_id = 1 };

		assert_int_equal(cu_metadata_put_shape(cu_store_metadata(w->store), &row, NULL, NULL), 0);
		chunk_write(w, i, 256 * 1024);
		read_ago(w, i, 100 + 10 * i);
	}
	assert_int_equal(cu_metadata_sync(cu_store_metadata(w->store)), 0);
	total = usage_total(w);
	help_metadata_exec(w->dir,
			   "CREATE TRIGGER broken BEFORE DELETE ON shape BEGIN SELECT RAISE(ABORT, 'the disk'); END");
	retention = retention_new(w, 0, total - 400 * 1024, 0);
	assert_int_equal(cu_retention_run(retention, cu_now_ms()), 2);
	assert_int_equal(cu_metadata_sync(cu_store_metadata(w->store)), CU_EIO);
	/* The first one's definition, queued behind the sync, may have failed together with the second one's row. */
	cu_metadata_sync(cu_store_metadata(w->store));
	assert_int_equal(cu_retention_run(retention, cu_now_ms() + 60000), 0);
	help_metadata_exec(w->dir, "DROP TRIGGER broken");
	cu_shape_set_retry_removals(w->set);
	assert_int_equal(cu_metadata_sync(cu_store_metadata(w->store)), 0);
	assert_int_equal(cu_retention_run(retention, cu_now_ms() + 120000), 0);
	assert_int_equal(left(w), 0x3f);
	cu_retention_free(&retention);
	world_free(w);
}

static void a_small_snapshot_in_the_metadata_counts(void **state)
{
	struct world *w = world_new();
	char small[10000] = { 1 };
	struct cu_shape_row row = { .id = 77, .handle = "1-77", .definition_id = 1 };
	struct cu_snapshot_info info = { .xip = "", .is_small = true, .small = small, .small_len = sizeof small };
	uint64_t before = usage_total(w), bytes = 0;
	cu_usage *usage = NULL;

	(void)state;
	assert_int_equal(cu_metadata_put_shape(cu_store_metadata(w->store), &row, NULL, NULL), 0);
	assert_int_equal(cu_metadata_set_snapshot(cu_store_metadata(w->store), 77, &info, NULL, NULL), 0);
	assert_int_equal(cu_metadata_sync(cu_store_metadata(w->store)), 0);
	assert_in_range(usage_total(w) - before, 8192, sizeof small + 16384); /* pages are shared */
	assert_int_equal(cu_usage_open(w->store, &usage), 0);
	assert_int_equal(cu_usage_shape(usage, 77, &bytes), 0);
	assert_in_range(bytes, sizeof small, sizeof small + 1024);
	cu_usage_close(&usage);
	/* Its pages are free then, though the file stays as long as it is. */
	assert_int_equal(cu_metadata_remove_shape(cu_store_metadata(w->store), 77, NULL, NULL), 0);
	assert_int_equal(cu_metadata_sync(cu_store_metadata(w->store)), 0);
	assert_in_range(usage_total(w), 0, before + 4096);
	world_free(w);
}

static void ages_outlive_a_restart(void **state)
{
	struct world *w = world_new();
	cu_retention *retention = retention_new(w, 4, 0, 0);
	uint32_t now;

	(void)state;
	for (unsigned i = 0; i < SHAPES; i++)
		read_ago(w, i, i * 1000);
	read_ago(w, 2, 0);
	cu_shape_mark_read(w->shapes[3], 50000);
	cu_retention_save(retention);
	cu_retention_free(&retention);
	/* As a restart leaves them, one of them made after the save. */
	for (unsigned i = 0; i < SHAPES; i++)
		read_ago(w, i, 0);
	retention = retention_new(w, 4, 0, 0);
	now = cu_shape_clock_s();
	for (unsigned i = 4; i < SHAPES; i++)
		assert_in_range(now - atomic_load(&w->shapes[i]->read_until_s), i * 1000, i * 1000 + 30);
	assert_in_range(now - atomic_load(&w->shapes[2]->read_until_s), 0, 30);
	assert_in_range(now - atomic_load(&w->shapes[3]->read_until_s), 0, 30);
	cu_retention_free(&retention);
	world_free(w);
}

static void stored_ages_that_make_no_sense_are_passed_over(void **state)
{
	static const char *const stored[] = { "", "\x02", "\x01\x01",
					      "\x01\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
					      "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x05\x02\x05" };
	struct world *w = world_new();

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(stored); i++) {
		cu_retention *retention;

		assert_int_equal(cu_metadata_set(cu_store_metadata(w->store), "shapes_last_read", stored[i],
						 strlen(stored[i]), NULL, NULL),
				 0);
		retention = retention_new(w, 1, 0, 0);
		cu_retention_free(&retention);
	}
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(above_the_number_the_least_recently_read_go),
		cmocka_unit_test(of_those_read_at_the_same_time_the_oldest_go),
		cmocka_unit_test(a_shape_that_is_being_made_counts_but_stays),
		cmocka_unit_test(a_shape_that_nobody_reads_goes_one_that_is_waited_for_stays),
		cmocka_unit_test(marking_never_goes_back),
		cmocka_unit_test(above_the_bytes_as_many_go_as_need_be),
		cmocka_unit_test(nothing_more_goes_until_what_went_has_made_room),
		cmocka_unit_test(a_small_snapshot_in_the_metadata_counts),
		cmocka_unit_test(ages_outlive_a_restart),
		cmocka_unit_test(stored_ages_that_make_no_sense_are_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
