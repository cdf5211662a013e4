/* A disk that cannot take the change log: the collector waits and goes on, nothing is lost or doubled.
 * label: fault */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/limits.h"
#include "collector/test_help.h"

#include <limits.h>

#define ITEMS 6000u /* over a megabyte: several write buffers */

static long writes, fail_from, fail_to;

static ssize_t full_pwrite(void *ctx, int fd, const void *data, size_t len, off_t at)
{
	long n = ++writes;

	(void)ctx;
	if (n < fail_from || n > fail_to)
		return cu_file_system.pwrite(NULL, fd, data, len, at);
	if (len > 1) /* what a full disk still took */
		cu_file_system.pwrite(NULL, fd, data, len / 2, at);
	errno = ENOSPC;
	return -1;
}

static struct cu_file_ops full_disk;
static bool fail_sync;

static int failing_fdatasync(void *ctx, int fd)
{
	(void)ctx;
	if (!fail_sync)
		return cu_file_system.fdatasync(NULL, fd);
	errno = EIO;
	return -1;
}

static void send_items(struct world *w, unsigned from, unsigned to, int *ret_rc)
{
	char id[16];

	for (unsigned i = from; i < to && *ret_rc == 0; i++) {
		const char *row[] = { id, "a", "n" };

		snprintf(id, sizeof id, "%u", i);
		*ret_rc = send_change(w, HELP_OID, NULL, row, 'O');
	}
}

/* Item i of the log is the insert of id i, once, in order. */
static void assert_whole(struct world *w, cu_shape *shape, unsigned items)
{
	char *log = world_log(w, shape), *at = log, expected[64];

	for (unsigned i = 0; i < items; i++) {
		snprintf(expected, sizeof expected, "\"value\":{\"id\":\"%u\",", i);
		at = strchr(at, '{'); /* an item's first brace */
		assert_non_null(at);
		at = memmem(at, CU_MIN(strlen(at), (size_t)400), "\"value\":", 8);
		assert_non_null(at);
		assert_memory_equal(at, expected, strlen(expected));
		at = strstr(at, "}}") + 2;
	}
	assert_int_equal(*at, '\0');
	free(log);
}

static void a_full_disk_makes_the_stream_wait_and_loses_nothing(void **state)
{
	struct world *w = world_new(&full_disk);
	cu_shape *shape = world_shape(w, help_definition(HELP_OID, false), "1:1:");
	uint64_t id = shape->id, started;
	int rc = 0;

	(void)state;
	BEGIN(w, 700);
	assert_int_equal(send_relation(w, HELP_OID), 0);
	send_items(w, 0, ITEMS / 2, &rc);
	COMMIT(w);
	BEGIN(w, 701);
	fail_from = fail_to = writes + 2; /* within the delivery */
	started = cu_now_ms();
	send_items(w, ITEMS / 2, ITEMS, &rc);
	assert_int_equal(rc, 0);
	COMMIT(w);
	assert_true(writes >= fail_to);
	assert_true(cu_now_ms() - started >= CU_DISK_RETRY_MS / 2);
	assert_int_equal(cu_collector_show(w->c), 0);
	assert_whole(w, shape, ITEMS);
	cu_shape_unref(&shape);
	world_restart(w);
	shape = cu_shape_set_by_id(w->set, id);
	assert_whole(w, shape, ITEMS);
	cu_shape_unref(&shape);
	world_free(w);
}

static void stopping_does_not_wait_for_the_disk_and_shows_nothing_half(void **state)
{
	struct world *w = world_new(&full_disk);
	cu_shape *shape = world_shape(w, help_definition(HELP_OID, false), "1:1:");
	int rc = 0;

	(void)state;
	BEGIN(w, 700);
	assert_int_equal(send_relation(w, HELP_OID), 0);
	send_items(w, 0, ITEMS, &rc);
	assert_int_equal(rc, 0);
	fail_from = writes + 1;
	fail_to = LONG_MAX;
	atomic_store(&w->c->stopping, true);
	assert_int_equal(send_commit(w), CU_ECLOSED);
	assert_int_equal(w->c->safe_lsn, 0); /* never confirmed: it comes again */
	cu_collector_abort(w->c);
	assert_int_equal(cu_shape_log_of(shape)->tail.len, 0);
	fail_from = fail_to = 0;
	cu_shape_unref(&shape);
	world_free(w);
}

static unsigned storage_lost_calls;

static void note_storage_lost(void *ctx)
{
	(void)ctx;
	storage_lost_calls++;
}

/* After a failed fsync nobody knows what the disk holds: the log takes nothing more until it is opened again. */
static void a_failed_sync_asks_for_a_new_process_and_confirms_nothing(void **state)
{
	struct world *w = world_new(&full_disk);
	cu_shape *shape = world_shape(w, help_definition(HELP_OID, false), "1:1:");
	int rc = 0;

	(void)state;
	w->c->opts.storage_lost = note_storage_lost;
	BEGIN(w, 700);
	assert_int_equal(send_relation(w, HELP_OID), 0);
	send_items(w, 0, 10, &rc);
	COMMIT(w);
	assert_int_equal(cu_collector_show(w->c), 0);
	fail_sync = true;
	assert_int_equal(cu_changelog_sync(w->c->log, cu_changelog_flushed(w->c->log)), CU_EIO);
	fail_sync = false;
	assert_true(cu_changelog_is_broken(w->c->log));
	BEGIN(w, 701);
	send_items(w, 10, 20, &rc);
	assert_int_equal(rc, 0);
	assert_int_equal(send_commit(w), CU_ECLOSED);
	assert_int_equal(storage_lost_calls, 1);
	assert_whole(w, shape, 10); /* what was shown stays readable */
	cu_collector_abort(w->c);
	cu_shape_unref(&shape);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_disk_makes_the_stream_wait_and_loses_nothing),
		cmocka_unit_test(a_failed_sync_asks_for_a_new_process_and_confirms_nothing),
		cmocka_unit_test(stopping_does_not_wait_for_the_disk_and_shows_nothing_half),
	};

	full_disk = cu_file_system;
	full_disk.pwrite = full_pwrite;
	full_disk.fdatasync = failing_fdatasync;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
