/* Compaction of sealed logs on a real store: what is left of them, and that every reader ends with the same rows.
 * label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "shape/test_compactor_help.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void world_reopen(struct world *w)
{
	world_close(w);
	world_open(w);
}

/* A hot table: ten rows, inserted first, then updated again and again; one is deleted and inserted anew now and then. */
static const char *hot(struct world *w, unsigned *ret_key)
{
	if (w->tx <= 10) {
		*ret_key = (unsigned)w->tx - 1;
		return "insert";
	}
	*ret_key = (unsigned)(w->tx * 7919 % 10);
	if (w->tx % 100 == 50 || w->tx % 100 == 51) {
		*ret_key = 5;
		return w->tx % 100 == 50 ? "delete" : "insert";
	}
	return "update";
}

/* A client that stands at each of some offsets catches up and has the rows that the plain log makes. */
static void assert_clients_agree(struct world *w, uint64_t step)
{
	json_t *want = rows_at(w, w->tx);

	for (uint64_t tx = 0; tx <= w->tx; tx += step) {
		json_t *rows = rows_at(w, tx);
		json_t *items =
			read_range(w, tx ? offset_at(w, tx) : CU_OFFSET_SNAPSHOT_END, cu_shape_log_latest(log_of(w)));

		test_read_apply(rows, items);
		assert_true(json_equal(rows, want));
		json_decref(items);
		json_decref(rows);
	}
	json_decref(want);
}

static bool has_directory(struct world *w)
{
	char *path = cu_file_path("%s/shapes/1", w->dir);
	bool has = access(path, F_OK) == 0;

	free(path);
	return has;
}

/* Of the shape: the store's threads see to it. */
static void wait_for_no_files(struct world *w)
{
	char *path = cu_file_path("%s/trash", w->dir);
	uint64_t deadline = cu_now_ms() + 20000;
	unsigned entries;

	do {
		DIR *dir = opendir(path);

		assert_non_null(dir);
		assert_true(cu_now_ms() < deadline);
		for (entries = 0; readdir(dir);)
			entries++;
		closedir(dir);
	} while (entries > 2 || has_directory(w));
	free(path);
}

static int count_one(void *ctx, uint32_t n)
{
	(void)n;
	(*(unsigned *)ctx)++;
	return 0;
}

static unsigned log_files(struct world *w)
{
	unsigned n = 0;

	assert_int_equal(cu_chunks_each_log(cu_store_chunks(w->store), 1, count_one, &n), 0);
	return n;
}

static unsigned sealed_files(struct world *w)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < log_of(w)->sealed_len; i++)
		n += !log_of(w)->sealed[i].small;
	return n;
}

/* ---- tests ---- */

static void a_hot_log_stays_as_large_as_its_rows_and_the_window(void **state)
{
	struct world *w = world_new();

	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		seal(w, 300, 100, hot);
		compact_all(w);
	}
	/* No more gather than CU_COMPACTION_CHUNKS, because they are small. */
	assert_in_range(log_of(w)->sealed_len, 1, CU_COMPACTION_CHUNKS + CU_COMPACTION_WINDOW + 1);
	assert_true(log_of(w)->sealed[0].compacted);
	assert_true(log_of(w)->sealed[0].ends);
	for (uint32_t i = log_of(w)->sealed_len - CU_COMPACTION_WINDOW; i < log_of(w)->sealed_len; i++) {
		assert_false(log_of(w)->sealed[i].compacted);
	}
	assert_true(log_of(w)->sealed[0].bytes < w->bytes / 20);
	assert_int_equal(log_files(w), sealed_files(w));
	assert_clients_agree(w, 1997);
	world_reopen(w);
	assert_true(log_of(w)->sealed[0].compacted);
	assert_int_equal(log_files(w), sealed_files(w));
	assert_clients_agree(w, 5003);
	seal(w, 300, 100, hot);
	compact_all(w);
	assert_clients_agree(w, 5003);
	world_free(w);
}

static void large_chunks_are_compacted_as_they_come(void **state)
{
	struct world *w = world_new();

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		seal(w, 30, 40000, hot);
		compact_all(w);
		if (i >= CU_COMPACTION_WINDOW)
			assert_in_range(log_of(w)->sealed_len, CU_COMPACTION_WINDOW + 1, CU_COMPACTION_WINDOW + 10);
	}
	assert_int_equal(log_files(w), sealed_files(w));
	assert_clients_agree(w, 61);
	world_free(w);
}

static void what_gains_little_is_kept_and_not_looked_at_again(void **state)
{
	struct world *w = world_new();
	uint32_t n[6];

	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		n[i] = log_of(w) ? log_of(w)->next_n : 0;
		seal(w, 30, 40000, insert_only);
	}
	assert_int_equal(compact_all(w), 0);
	world_reopen(w);
	assert_false(cu_compactor_wants(log_of(w), &limits));
	assert_int_equal(log_of(w)->sealed_len, 6);
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(log_of(w)->sealed[i].n, n[i]);
		assert_int_equal(log_of(w)->sealed[i].kept, i < 6 - CU_COMPACTION_WINDOW);
		assert_false(log_of(w)->sealed[i].compacted);
	}
	assert_clients_agree(w, 97);
	world_free(w);
}

static void a_log_of_inserts_is_read_once_and_nothing_is_written(void **state)
{
	struct world *w = world_new();
	struct cu_compacted_bytes bytes;

	(void)state;
	limits.memory = 100000;
	for (unsigned i = 0; i < 6; i++)
		seal(w, 30, 40000, insert_only);
	help_fault_set(0, false);
	assert_int_equal(cu_compactor_run(w->store, w->shape, &limits, &bytes), 1);
	assert_int_equal(help_fault.calls, 6 - CU_COMPACTION_WINDOW); /* each file was opened */
	assert_true(log_of(w)->sealed[0].kept);
	assert_false(cu_compactor_wants(log_of(w), &limits));
	world_free(w);
}

/* Rows that are all updated in turn, and are larger than what may be in memory and than what is compacted as a rule. */
#define TURN 1500u

static const char *in_turn(struct world *w, unsigned *ret_key)
{
	*ret_key = (unsigned)(w->tx % TURN);
	return w->tx <= TURN ? "insert" : "update";
}

static void rows_larger_than_the_memory_are_compacted_too(void **state)
{
	struct world *w = world_new();
	uint64_t rows = 0, bytes, written = 0;

	(void)state;
	limits.chunk_bytes = 5000;
	limits.memory = 30000;
	limits.near = 90000;
	for (unsigned turn = 0; turn < 8; turn++) {
		for (unsigned i = 0; i < TURN; i += 50) {
			seal(w, 50, 10, in_turn);
			written += compact_all(w);
		}
		if (turn == 0)
			rows = w->bytes;
		bytes = 0;
		for (uint32_t i = 0; i < log_of(w)->sealed_len; i++)
			bytes += log_of(w)->sealed[i].bytes;
		/* The inserts, the last update of each, and as much as both that waits. */
		assert_in_range(bytes, rows, 5 * rows);
	}
	assert_true(rows > 2 * limits.near);
	assert_true(w->bytes > 7 * rows);
	assert_in_range(written, rows, 3 * w->bytes);
	for (uint32_t i = 0; i < log_of(w)->sealed_len; i++)
		assert_in_range(log_of(w)->sealed[i].bytes, 1, 2 * limits.chunk_bytes + 1000);
	assert_int_equal(log_files(w), sealed_files(w));
	assert_clients_agree(w, 1999);
	world_reopen(w);
	assert_false(cu_compactor_wants(log_of(w), &limits));
	assert_clients_agree(w, 3999);
	world_free(w);
}

/* Of one transaction, so that it is one chunk: too large for an answer. */
static void what_a_transaction_leaves_is_kept_when_it_is_too_large(void **state)
{
	struct world *w = world_new();

	(void)state;
	w->tx_items = 1000;
	limits.chunk_max = 20000;
	for (unsigned i = 0; i < 5; i++)
		seal(w, 30, 40000, hot);
	assert_int_equal(compact_all(w), 0);
	assert_int_equal(log_of(w)->sealed_len, 5);
	assert_true(log_of(w)->sealed[0].kept);
	assert_int_equal(log_files(w), 5);
	limits.chunk_max = CU_COMPACTION_CHUNK_MAX;
	for (unsigned i = 0; i < 5; i++)
		seal(w, 30, 40000, hot);
	assert_true(compact_all(w) > 0);
	assert_true(log_of(w)->sealed[0].compacted);
	assert_clients_agree(w, 61);
	world_free(w);
}

static void small_chunks_of_a_slow_shape_do_not_gather(void **state)
{
	struct world *w = world_new();
	uint64_t written = 0;

	(void)state;
	for (unsigned i = 0; i < 500; i++) {
		seal(w, 3, 10, insert_only);
		written += compact_all(w);
	}
	assert_in_range(log_of(w)->sealed_len, 1, 50);
	assert_in_range(written, 0, 5 * w->bytes);
	assert_clients_agree(w, 401);
	world_free(w);
}

static void a_flipped_bit_is_not_written_on(void **state)
{
	struct world *w = world_new();
	struct cu_compacted_bytes bytes;
	uint64_t size;
	char byte;
	char *path;
	int fd;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		seal(w, 30, 40000, hot);
	assert_int_equal(cu_chunk_open(cu_store_chunks(w->store), 1, CU_CHUNK_LOG, 0, &fd, &size), 0);
	close(fd);
	path = cu_file_path("%s/shapes/1/log.0", w->dir);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, 5000), 1);
	byte ^= 4;
	assert_int_equal(pwrite(fd, &byte, 1, 5000), 1);
	assert_int_equal(cu_compactor_run(w->store, w->shape, &limits, &bytes), CU_ECORRUPT);
	assert_int_equal(log_of(w)->sealed_len, 3);
	close(fd);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(cu_compactor_run(w->store, w->shape, &limits, &bytes), CU_ECORRUPT);
	free(path);
	world_free(w);
}

static void a_shape_that_goes_meanwhile_leaves_nothing(void **state)
{
	struct world *w = world_new();
	struct cu_compacted_bytes bytes;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		seal(w, 30, 40000, hot);
	/* Its row goes, its files are still there. */
	assert_int_equal(cu_metadata_remove_shape(cu_store_metadata(w->store), 1, NULL, NULL), 0);
	assert_int_equal(cu_compactor_run(w->store, w->shape, &limits, &bytes), 0);
	wait_for_no_files(w);
	world_free(w);
}

static void a_failed_allocation_leaves_all_as_it_was(void **state)
{
	struct world *w = world_new();
	struct cu_compacted_bytes bytes;
	unsigned n = 0;
	int rc;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		seal(w, 30, 40000, hot);
	do {
		assert_int_equal(log_of(w)->sealed_len, 3);
		assert_int_equal(log_files(w), 3);
		cu_fault_alloc_at(++n);
		rc = cu_compactor_run(w->store, w->shape, &limits, &bytes);
		assert_true(rc == 1 || rc == CU_ENOMEM);
	} while (cu_fault_alloc_at(0) == 0 && rc < 0);
	assert_int_equal(rc, 1);
	assert_true(n > 5);
	assert_clients_agree(w, 61);
	world_free(w);
}

static const char *thirty_rows(struct world *w, unsigned *ret_key)
{
	*ret_key = (unsigned)w->tx % 30;
	return w->tx <= 30 ? "insert" : "update";
}

static int stop_soon(void *ctx)
{
	unsigned *turns = ctx;

	return (*turns)-- ? 0 : CU_ECLOSED;
}

/* A large one takes minutes, and whoever stops us has not that much time. */
static void one_that_is_to_stop_leaves_all_as_it_was(void **state)
{
	struct world *w = world_new();
	struct cu_compacted_bytes bytes;
	unsigned turns, stopped = 0;
	int rc;

	(void)state;
	limits.memory = 1000000;
	limits.turn = stop_soon;
	limits.turn_ctx = &turns;
	for (unsigned i = 0; i < 5; i++)
		seal(w, 30, 40000, thirty_rows);
	for (unsigned n = 0;; n++) {
		turns = n;
		rc = cu_compactor_run(w->store, w->shape, &limits, &bytes);
		if (rc == 1)
			break;
		assert_int_equal(rc, 0);
		stopped++;
		assert_int_equal(log_of(w)->sealed_len, 5);
		assert_int_equal(log_files(w), 5);
	}
	assert_true(stopped > 5);
	assert_true(log_of(w)->sealed[0].compacted);
	assert_clients_agree(w, 61);
	world_free(w);
}

struct sealing {
	struct world *w;
	unsigned turns, at, sealed; /* a chunk is sealed in each turn, or, when `at` is not 0, in that one */
	const char *(*make)(struct world *w, unsigned *ret_key);
};

static int seal_meanwhile(void *ctx)
{
	struct sealing *sealing = ctx;

	sealing->turns++;
	if (sealing->at ? sealing->turns == sealing->at : sealing->turns % 3 == 0) {
		long fails = help_fault.fail_at - help_fault.calls;

		help_fault_set(0, false);
		seal(sealing->w, 10, 100 + sealing->turns % 2 * 5000, sealing->make);
		help_fault_set(fails > 0 ? fails : 0, false);
		sealing->sealed++;
	}
	return 0;
}

/* By offset and by number. */
static void assert_in_order(struct world *w)
{
	const cu_shape_log *log = log_of(w);

	for (uint32_t i = 0; i < log->sealed_len; i++) {
		assert_true(log->sealed[i].n < log->next_n);
		assert_true(i == 0 ||
			    cu_offset_cmp(cu_sealed_last(&log->sealed[i - 1]), cu_sealed_last(&log->sealed[i])) < 0);
		for (uint32_t k = 0; k < i; k++)
			assert_int_not_equal(log->sealed[k].n, log->sealed[i].n);
	}
	assert_int_equal(log_files(w), sealed_files(w));
}

static void what_is_sealed_meanwhile_comes_behind_it(void **state)
{
	struct world *w = world_new();
	struct sealing sealing = { .w = w, .make = thirty_rows };
	struct cu_compacted_bytes bytes;
	uint32_t n;

	(void)state;
	limits.chunk_bytes = 12000;
	limits.memory = 80000;
	limits.turn = seal_meanwhile;
	limits.turn_ctx = &sealing;
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < 5; i++)
			seal(w, 30, 4000, thirty_rows);
		sealing.turns = sealing.sealed = 0;
		sealing.at = round < 2 ? 0 : round * 2;
		n = log_of(w)->next_n;
		assert_int_equal(cu_compactor_run(w->store, w->shape, &limits, &bytes), 1);
		assert_true(sealing.turns > 10 && sealing.sealed > 0);
		assert_true(log_of(w)->next_n > n + sealing.sealed && log_of(w)->sealed_len > sealing.sealed);
		for (uint32_t i = log_of(w)->sealed_len - sealing.sealed; i < log_of(w)->sealed_len; i++)
			assert_false(log_of(w)->sealed[i].compacted);
		assert_in_order(w);
		assert_clients_agree(w, 211);
		world_reopen(w);
		assert_in_order(w);
		assert_clients_agree(w, 401);
	}
	world_free(w);
}

/* Whatever fails then: what was sealed stays, and nothing is lost or there twice after the next compaction and a restart. */
static void one_that_fails_leaves_what_was_sealed_meanwhile(void **state)
{
	struct world *w = world_new();
	struct sealing sealing = { .w = w, .make = hot };
	struct cu_compacted_bytes bytes;
	unsigned failures = 0;
	uint32_t len;
	int rc;

	(void)state;
	limits.turn = seal_meanwhile;
	limits.turn_ctx = &sealing;
	for (unsigned i = 0; i < 5; i++)
		seal(w, 30, 20000, hot);
	limits.memory = 400000;
	for (long n = 1;; n += 1 + n / 4) {
		sealing.turns = sealing.sealed = 0;
		sealing.at = 1 + (unsigned)n % 13;
		len = log_of(w)->sealed_len;
		help_fault_set(n, false);
		rc = cu_compactor_run(w->store, w->shape, &limits, &bytes);
		help_fault_set(0, false);
		assert_in_order(w);
		if (rc == 1)
			break;
		assert_true(cu_is_disk_error(rc));
		assert_int_equal(log_of(w)->sealed_len, len + sealing.sealed);
		if (++failures % 8 == 0) {
			world_reopen(w);
			assert_clients_agree(w, 211);
		}
	}
	assert_true(failures > 20);
	assert_clients_agree(w, 211);
	world_reopen(w);
	assert_in_order(w);
	assert_clients_agree(w, 211);
	world_free(w);
}

static void a_failed_file_operation_leaves_all_as_it_was(void **state)
{
	struct world *w = world_new();
	struct cu_compacted_bytes bytes;
	unsigned failures = 0;
	int rc;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		seal(w, 30, 40000, hot);
	for (long n = 1;; n++) {
		help_fault_set(n, false);
		rc = cu_compactor_run(w->store, w->shape, &limits, &bytes);
		help_fault_set(0, false);
		if (rc == 1)
			break; /* the first that may fail without harm is the removal of an old file */
		assert_true(cu_is_disk_error(rc));
		failures++;
		assert_int_equal(log_of(w)->sealed_len, 3);
		assert_int_equal(log_files(w), 3);
	}
	assert_true(failures > 5);
	assert_clients_agree(w, 61);
	world_reopen(w);
	assert_true(log_of(w)->sealed[0].compacted);
	assert_clients_agree(w, 61);
	world_free(w);
}

/* SQLite's write-ahead file: its sync fails when it is to. */
static struct {
	sqlite3_vfs vfs;
	sqlite3_vfs *real;
	sqlite3_io_methods methods;
	const sqlite3_io_methods *real_methods;
	_Atomic bool fails;
} wal;

static int wal_sync(sqlite3_file *file, int flags)
{
	return wal.fails ? SQLITE_IOERR_FSYNC : wal.real_methods->xSync(file, flags);
}

static int wal_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *ret_flags)
{
	int rc = wal.real->xOpen(wal.real, name, file, flags, ret_flags);

	(void)vfs;
	if (rc == SQLITE_OK && (flags & SQLITE_OPEN_WAL)) {
		wal.real_methods = file->pMethods;
		wal.methods = *file->pMethods;
		wal.methods.xSync = wal_sync;
		file->pMethods = &wal.methods;
	}
	return rc;
}

/* A COMMIT whose sync fails may be durable: then the next start finds the new chunk's row. */
static void a_commit_that_failed_may_be_there_after_a_crash(void **state)
{
	struct cu_compacted_bytes bytes;
	struct world *w;
	char *copy, *command;

	(void)state;
	wal.real = sqlite3_vfs_find(NULL);
	wal.vfs = *wal.real;
	wal.vfs.zName = "wal";
	wal.vfs.xOpen = wal_open;
	assert_int_equal(sqlite3_vfs_register(&wal.vfs, 1), SQLITE_OK);
	w = world_new();
	for (unsigned i = 0; i < 3; i++)
		seal(w, 30, 40000, hot);
	wal.fails = true;
	assert_int_equal(cu_compactor_run(w->store, w->shape, &limits, &bytes), CU_EIO);
	assert_int_equal(log_of(w)->sealed_len, 3);
	assert_clients_agree(w, 61);
	/* If they are not there, their numbers are used again. */
	for (uint32_t n = 0; n < log_of(w)->next_n; n++)
		assert_false(cu_shape_log_gave(log_of(w), cu_sealed_boundary(1, n)));
	/* A crash now. */
	copy = help_dir_new();
	command = cu_file_path("cp -r %s/. %s", w->dir, copy);
	assert_int_equal(system(command), 0);
	free(command);
	wal.fails = false;
	world_close(w);
	help_dir_free(&w->dir);
	w->dir = copy;
	world_open(w);
	assert_true(log_of(w)->sealed[0].compacted);
	assert_clients_agree(w, 61);
	world_free(w);
	assert_int_equal(sqlite3_vfs_unregister(&wal.vfs), SQLITE_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hot_log_stays_as_large_as_its_rows_and_the_window),
		cmocka_unit_test(large_chunks_are_compacted_as_they_come),
		cmocka_unit_test(what_gains_little_is_kept_and_not_looked_at_again),
		cmocka_unit_test(a_log_of_inserts_is_read_once_and_nothing_is_written),
		cmocka_unit_test(rows_larger_than_the_memory_are_compacted_too),
		cmocka_unit_test(what_a_transaction_leaves_is_kept_when_it_is_too_large),
		cmocka_unit_test(small_chunks_of_a_slow_shape_do_not_gather),
		cmocka_unit_test(a_flipped_bit_is_not_written_on),
		cmocka_unit_test(a_shape_that_goes_meanwhile_leaves_nothing),
		cmocka_unit_test(a_failed_allocation_leaves_all_as_it_was),
		cmocka_unit_test(one_that_is_to_stop_leaves_all_as_it_was),
		cmocka_unit_test(what_is_sealed_meanwhile_comes_behind_it),
		cmocka_unit_test(one_that_fails_leaves_what_was_sealed_meanwhile),
		cmocka_unit_test(a_failed_file_operation_leaves_all_as_it_was),
		cmocka_unit_test(a_commit_that_failed_may_be_there_after_a_crash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
