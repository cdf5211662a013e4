/* Every n-th failing file operation, fsync, SQLite write and allocation: an error is told, and nothing that was
 * called durable is missing after a restart.
 * label: fault */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/store.h"
#include "store/test_help.h"

#include <pthread.h>
#include <semaphore.h>
#include <sqlite3.h>

/* ---- change log ---- */

#define TXS 12u

struct model {
	unsigned txs;      /* replayed so far */
	uint64_t pos[TXS]; /* of the first item */
};

static size_t item_len(unsigned tx)
{
	return tx % 5 == 4 ? 3000 : 60 + tx;
}

static int model_replay(void *ctx, const struct cu_fanout *f, const struct cu_changelog_item *items)
{
	struct model *model = ctx;

	assert_int_equal(f->tx, model->txs + 1);
	assert_int_equal(f->items_len, 2);
	assert_int_equal(items[0].len, item_len(model->txs));
	model->pos[model->txs++] = items[0].pos;
	return 0;
}

static int append_tx(cu_changelog *cl, unsigned tx)
{
	struct cu_fanout f = { .tx = tx + 1, .flags = CU_FANOUT_COMMIT };
	char payload[4096];
	int rc;

	memset(payload, 'a' + (int)tx, sizeof payload);
	/* A fault fires once, so what fails is tried once more, as the collector would after a full disk. */
	for (unsigned i = 0; i < 2; i++) {
		rc = cu_changelog_append_item(cl, tx + 1, i, payload, item_len(tx), NULL);
		if (rc < 0)
			rc = cu_changelog_append_item(cl, tx + 1, i, payload, item_len(tx), NULL);
		if (rc < 0)
			return rc;
	}
	rc = cu_changelog_append_fanout(cl, &f);
	if (rc < 0)
		rc = cu_changelog_append_fanout(cl, &f);
	if (rc < 0)
		return rc;
	rc = cu_changelog_flush(cl);
	return rc < 0 ? cu_changelog_flush(cl) : rc;
}

struct outcome {
	uint64_t checkpoint;
	unsigned txs;      /* below the checkpoint */
	unsigned appended; /* all that was told to be appended */
	bool sync_failed;
};

/* Opens at the checkpoint, checks what is there, appends and syncs up to TXS. Stops at a lasting error. */
static void changelog_run(const char *dir, const struct cu_file_ops *ops, struct outcome *out)
{
	struct model model = { 0 };
	struct cu_changelog_opts opts = { .dir = dir,
					  .ops = ops,
					  .end_pos = out->checkpoint,
					  .replay = model_replay,
					  .replay_ctx = &model,
					  .segment_bytes = 900,
					  .buffer_bytes = 256 };
	cu_changelog *cl = NULL;
	char *data = cu_xmalloc(4096);
	int rc;

	rc = cu_changelog_open(&opts, &cl);
	if (rc < 0) {
		assert_true(cu_is_disk_error(rc) || rc == CU_ENOMEM);
		goto out;
	}
	assert_int_equal(model.txs, out->txs);
	for (unsigned tx = 0; tx < model.txs; tx++) {
		if (cu_changelog_read(cl, model.pos[tx], item_len(tx), data) == 0)
			assert_int_equal(data[item_len(tx) - 1], 'a' + (int)tx);
	}
	out->appended = out->txs;
	while (out->appended < TXS) {
		rc = append_tx(cl, out->appended);
		if (rc < 0)
			break;
		out->appended++;
		if (out->appended % 3 == 0) {
			rc = cu_changelog_sync(cl, cu_changelog_end(cl));
			if (rc < 0)
				break;
			out->checkpoint = cu_changelog_end(cl);
			out->txs = out->appended;
		}
	}
	if (rc < 0) {
		/* Only a failed sync lasts, and then nothing is promised any more. */
		out->sync_failed = true;
		assert_int_equal(cu_changelog_sync(cl, cu_changelog_end(cl)), CU_EIO);
		assert_int_equal(cu_changelog_append_item(cl, 99, 0, "x", 1, NULL), CU_EIO);
		assert_int_equal(cu_changelog_flush(cl), CU_EIO);
	}
	/* What fails here is tried again at the next call. */
	cu_changelog_drop_before(cl, 0);
out:
	cu_changelog_free(&cl);
	free(data);
}

static void changelog_faults(bool syncs_only, bool allocs)
{
	long n = 0;
	bool fired = true;

	while (fired) {
		char *dir = help_dir_new();
		struct outcome out = { 0 };

		n++;
		/* The fault may hit the first run or the one after a restart. */
		for (int run = 0; run < 2; run++) {
			if (run == 0 && !allocs)
				help_fault_set(n, syncs_only);
			if (run == 0 && allocs)
				cu_fault_alloc_at((unsigned)n);
			changelog_run(dir, &help_fault_ops, &out);
		}
		fired = allocs ? cu_fault_alloc_at(0) == 0 : help_fault.calls >= n;
		help_fault_set(0, false);
		/* A clean run holds exactly what was called durable, and gets to the end. */
		changelog_run(dir, NULL, &out);
		assert_int_equal(out.txs, TXS);
		help_dir_free(&dir);
	}
	assert_true(n > 3);
	print_message("%ld %s failed one at a time\n", n - 1,
		      allocs       ? "allocations"
		      : syncs_only ? "fsyncs"
				   : "file operations");
}

static void change_log_survives_every_failing_file_operation(void **state)
{
	(void)state;
	changelog_faults(false, false);
}

static void change_log_survives_every_failing_fsync(void **state)
{
	(void)state;
	changelog_faults(true, false);
}

static void change_log_survives_every_failing_allocation(void **state)
{
	(void)state;
	changelog_faults(false, true);
}

/* ---- SQLite's files: the unix methods with some replaced ---- */

static struct {
	sqlite3_vfs vfs;
	sqlite3_vfs *real;
	int (*write)(sqlite3_file *, const void *, int, sqlite3_int64);
	int (*sync)(sqlite3_file *, int);
	int (*truncate)(sqlite3_file *, sqlite3_int64);
	sqlite3_io_methods copies[8];
	const sqlite3_io_methods *originals[8];
	unsigned copies_len;
	_Atomic long calls;
	_Atomic long fail_at;
	atomic_bool full;      /* no write finds room, except in place */
	_Atomic long in_place; /* so many bytes have been */
} sql;

static bool sql_fails(void)
{
	return ++sql.calls == sql.fail_at;
}

static int sql_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 at)
{
	sqlite3_int64 size = 0;

	file->pMethods->xFileSize(file, &size);
	if (at + len <= size)
		sql.in_place += len;
	return sql_fails() || (sql.full && at + len > size) ? SQLITE_FULL : sql.write(file, data, len, at);
}

static int sql_sync(sqlite3_file *file, int flags)
{
	return sql_fails() ? SQLITE_IOERR_FSYNC : sql.sync(file, flags);
}

static int sql_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	return sql_fails() ? SQLITE_IOERR_TRUNCATE : sql.truncate(file, size);
}

static int sql_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *ret_flags)
{
	int rc = sql.real->xOpen(sql.real, name, file, flags, ret_flags);
	unsigned i = 0;

	(void)vfs;
	if (rc != SQLITE_OK || !file->pMethods)
		return rc;
	while (i < sql.copies_len && sql.originals[i] != file->pMethods)
		i++;
	if (i == sql.copies_len) {
		assert_true(i < CU_ARRAY_LEN(sql.copies));
		sql.originals[i] = file->pMethods;
		sql.copies[i] = *file->pMethods;
		sql.write = file->pMethods->xWrite;
		sql.sync = file->pMethods->xSync;
		sql.truncate = file->pMethods->xTruncate;
		sql.copies[i].xWrite = sql_write;
		sql.copies[i].xSync = sql_sync;
		sql.copies[i].xTruncate = sql_truncate;
		sql.copies_len++;
	}
	file->pMethods = &sql.copies[i];
	return rc;
}

/* ---- the whole store ---- */

#define SHAPES 6u

/* What was told to the outside; indices are shape numbers. */
struct told {
	bool put[SHAPES]; /* durable */
	bool put_asked[SHAPES];
	bool complete[SHAPES];
	bool removed[SHAPES];
	bool remove_asked[SHAPES];
	struct cu_chunk_info info[SHAPES];
	uint64_t lsn; /* of the newest checkpoint reported */
	uint64_t lsn_asked;
	/* loaded */
	bool there[SHAPES];
	bool there_complete[SHAPES];
	uint64_t lsn_there;
	unsigned txs_there;
};

struct done {
	sem_t sem;
	int rc;
};

static void done_post(void *ctx, int rc)
{
	struct done *done = ctx;

	done->rc = rc;
	sem_post(&done->sem);
}

static int done_wait(struct done *done)
{
	while (sem_wait(&done->sem) < 0)
		;
	return done->rc;
}

static int told_checkpoint(void *ctx, const struct cu_checkpoint *cp)
{
	((struct told *)ctx)->lsn_there = cp->lsn;
	return 0;
}

static int told_shape(void *ctx, const struct cu_shape_row *row)
{
	struct told *told = ctx;

	assert_in_range(row->id, 1, SHAPES);
	told->there[row->id - 1] = true;
	told->there_complete[row->id - 1] = row->snapshot_complete;
	return 0;
}

static int told_replay(void *ctx, const struct cu_fanout *f, const struct cu_changelog_item *items)
{
	(void)items;
	((struct told *)ctx)->txs_there++;
	assert_int_equal(f->tx, ((struct told *)ctx)->txs_there);
	return 0;
}

static int store_open(const char *dir, const struct cu_file_ops *ops, struct told *told, cu_store **ret)
{
	struct cu_store_loader loader = {
		.metadata = { .ctx = told, .checkpoint = told_checkpoint, .shape = told_shape },
		.replay = told_replay,
		.replay_ctx = told,
	};

	memset(told->there, 0, sizeof told->there);
	told->lsn_there = 0;
	told->txs_there = 0;
	return cu_store_open(dir, ops, &loader, ret);
}

/* Every other shape's snapshot is small, and longer than a page. */
static bool is_small(uint64_t id)
{
	return id % 2 == 0;
}

static const char small_bytes[6000] = { [0 ... 5998] = 's' };

static int shape_snapshot(cu_store *store, uint64_t id, struct cu_chunk_info *ret_info)
{
	cu_chunk_writer *writer = NULL;
	int rc;

	if (is_small(id))
		return 0; /* it goes with its row */
	rc = cu_chunk_writer_new(cu_store_chunks(store), id, CU_CHUNK_SNAPSHOT, 0, &writer);
	if (rc == 0)
		rc = cu_chunk_writer_add_item(writer, "{\"row\":1}", 9);
	if (rc == 0)
		rc = cu_chunk_writer_finish(&writer, true, ret_info);
	if (rc == 0)
		rc = cu_chunks_sync_shape(cu_store_chunks(store), id);
	cu_chunk_writer_free(&writer);
	return rc;
}

static int shape_step(cu_store *store, unsigned i, struct told *told)
{
	struct cu_shape_row row = { .id = i + 1, .definition_id = 1, .where = "definition", .where_len = 10 };
	struct cu_snapshot_info snapshot = {
		.xmin = 1,
		.xmax = 2,
		.lsn = 3,
		.xip = "",
		.chunks_len = 1,
		.chunks = &told->info[i],
		.is_small = is_small(i + 1),
		.small = small_bytes,
		.small_len = sizeof small_bytes,
	};
	char handle[16];
	struct done done;
	int rc;

	sem_init(&done.sem, 0, 0);
	snprintf(handle, sizeof handle, "h-%u", i);
	row.handle = handle;
	told->put_asked[i] = true;
	rc = cu_metadata_put_shape(cu_store_metadata(store), &row, done_post, &done);
	if (rc == 0)
		rc = done_wait(&done);
	told->put[i] = rc == 0;
	if (rc == 0)
		rc = shape_snapshot(store, i + 1, &told->info[i]);
	if (rc == 0)
		rc = cu_metadata_set_snapshot(cu_store_metadata(store), i + 1, &snapshot, done_post, &done);
	if (rc == 0)
		rc = done_wait(&done);
	told->complete[i] = rc == 0;
	if (rc == 0 && i % 3 == 2) {
		told->remove_asked[i] = true;
		rc = cu_store_remove_shape(store, i + 1, done_post, &done);
		if (rc == 0)
			rc = done_wait(&done);
		told->removed[i] = rc == 0;
	}
	sem_destroy(&done.sem);
	return rc;
}

static int checkpoint_step(cu_store *store, unsigned tx, struct told *told)
{
	struct cu_fanout f = { .tx = tx, .flags = CU_FANOUT_COMMIT };
	cu_changelog *cl = cu_store_changelog(store);
	struct cu_checkpoint cp = { .lsn = tx };
	struct done done;
	int rc;

	sem_init(&done.sem, 0, 0);
	rc = cu_changelog_append_item(cl, tx, 0, "item", 4, NULL);
	if (rc == 0)
		rc = cu_changelog_append_fanout(cl, &f);
	if (rc == 0)
		rc = cu_changelog_flush(cl);
	if (rc == 0) {
		cp.log_pos = cu_changelog_end(cl);
		told->lsn_asked = tx;
		rc = cu_store_checkpoint(store, &cp, done_post, &done);
		if (rc == 0)
			rc = done_wait(&done);
		if (rc == 0)
			told->lsn = tx;
	}
	sem_destroy(&done.sem);
	return rc;
}

/* Steps until something fails. */
static void store_scenario(const char *dir, const struct cu_file_ops *ops, struct told *told)
{
	cu_store *store = NULL;
	int rc = store_open(dir, ops, told, &store);

	for (unsigned i = 0; rc == 0 && i < SHAPES; i++) {
		rc = shape_step(store, i, told);
		if (rc == 0)
			rc = checkpoint_step(store, i + 1, told);
	}
	cu_store_free(&store);
}

static void check_small(cu_store *store, uint64_t id, bool complete)
{
	cu_buf got = CU_BUF_INIT;

	assert_int_equal(cu_metadata_get_small(cu_store_metadata(store), id, &got), complete ? 0 : CU_ENOTFOUND);
	assert_int_equal(got.len, complete ? sizeof small_bytes : 0);
	if (complete)
		assert_memory_equal(got.data, small_bytes, sizeof small_bytes);
	cu_buf_fini(&got);
}

static void store_check(const char *dir, struct told *told)
{
	cu_store *store = NULL;

	assert_int_equal(store_open(dir, NULL, told, &store), 0);
	assert_in_range(told->lsn_there, told->lsn, told->lsn_asked);
	assert_int_equal(told->txs_there, told->lsn_there);
	for (unsigned i = 0; i < SHAPES; i++) {
		if (told->put[i] && !told->remove_asked[i])
			assert_true(told->there[i]);
		if (!told->put_asked[i] || told->removed[i])
			assert_false(told->there[i]);
		if (told->there[i] && told->complete[i])
			assert_true(told->there_complete[i]);
		if (is_small(i + 1))
			check_small(store, i + 1, told->there[i] && told->there_complete[i]);
		else if (told->there[i] && told->there_complete[i])
			assert_int_equal(cu_chunk_verify(cu_store_chunks(store), i + 1, CU_CHUNK_SNAPSHOT, 0,
							 &told->info[i]),
					 0);
		else if (!told->there[i])
			assert_int_equal(cu_chunk_verify(cu_store_chunks(store), i + 1, CU_CHUNK_SNAPSHOT, 0,
							 &told->info[i]),
					 CU_ENOTFOUND);
	}
	cu_store_free(&store);
}

static void store_survives_every_failing_file_operation(void **state)
{
	bool fired = true;
	long n = 0;

	(void)state;
	while (fired) {
		char *dir = help_dir_new();
		struct told told = { 0 };

		n++;
		help_fault_set(n, false);
		store_scenario(dir, &help_fault_ops, &told);
		fired = help_fault.calls >= n;
		help_fault_set(0, false);
		store_check(dir, &told);
		help_dir_free(&dir);
	}
	assert_true(n > 50);
	print_message("%ld file operations failed one at a time\n", n - 1);
}

static void sql_fault_begin(void)
{
	sql.real = sqlite3_vfs_find(NULL);
	sql.vfs = *sql.real;
	sql.vfs.zName = "failing";
	sql.vfs.xOpen = sql_open;
	assert_int_equal(sqlite3_vfs_register(&sql.vfs, 1), SQLITE_OK);
}

static void store_survives_every_failing_sqlite_write(void **state)
{
	bool fired = true;
	long n = 0;

	(void)state;
	sql_fault_begin();
	while (fired) {
		char *dir = help_dir_new();
		struct told told = { 0 };

		n++;
		sql.calls = 0;
		sql.fail_at = n;
		store_scenario(dir, NULL, &told);
		fired = sql.calls >= n;
		sql.fail_at = 0;
		store_check(dir, &told);
		help_dir_free(&dir);
	}
	assert_true(n > 50);
	print_message("%ld SQLite writes and syncs failed one at a time\n", n - 1);
	sqlite3_vfs_unregister(&sql.vfs);
}

static long file_size(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return (long)st.st_size;
}

/* What a process that was killed on a full disk leaves: rows in the write-ahead file, and no room to fold them. */
static void store_opens_on_a_disk_without_room(void **state)
{
	char *dir = help_dir_new();
	char *metadata, *wal;
	struct told told = { 0 };
	cu_store *store = NULL;

	(void)state;
	sql_fault_begin();
	assert_int_equal(store_open(dir, NULL, &told, &store), 0);
	for (unsigned i = 0; i < SHAPES; i++) {
		assert_int_equal(shape_step(store, i, &told), 0);
		assert_int_equal(checkpoint_step(store, i + 1, &told), 0);
	}
	sql.full = true;
	cu_store_free(&store);
	store_check(dir, &told);
	/* What is found counts as durable: it is written again, for a sync of it may have failed. */
	metadata = cu_file_path("%s/metadata.sqlite3", dir);
	wal = cu_file_path("%s-wal", metadata);
	assert_true(file_size(wal) > file_size(metadata));
	sql.in_place = 0;
	assert_int_equal(store_open(dir, NULL, &told, &store), 0);
	assert_true(sql.in_place >= file_size(wal));
	cu_store_free(&store);
	free(wal);
	free(metadata);
	/* What cannot be stored is told, and can be as soon as there is room. */
	assert_int_equal(store_open(dir, NULL, &told, &store), 0);
	assert_int_equal(checkpoint_step(store, SHAPES + 1, &told), CU_ENOSPC);
	sql.full = false;
	assert_int_equal(checkpoint_step(store, SHAPES + 2, &told), 0);
	cu_store_free(&store);
	sqlite3_vfs_unregister(&sql.vfs);
	help_dir_free(&dir);
}

/* The queue's own allocations, and that an error of one operation is not another's. */
static void an_operation_too_large_or_out_of_memory_does_not_harm_its_neighbours(void **state)
{
	struct cu_shape_row row = { .id = 1, .handle = "h", .definition_id = 1, .where = "w", .where_len = 1 };
	struct cu_snapshot_info small = {
		.xip = "", .is_small = true, .small = small_bytes, .small_len = sizeof small_bytes
	};
	struct told told = { 0 };
	char *dir = help_dir_new();
	cu_store *store = NULL;
	cu_buf got = CU_BUF_INIT;

	(void)state;
	assert_int_equal(store_open(dir, NULL, &told, &store), 0);
	cu_fault_alloc_at(1);
	assert_int_equal(cu_metadata_put_shape(cu_store_metadata(store), &row, NULL, NULL), CU_ENOMEM);
	cu_fault_alloc_at(2);
	assert_int_equal(cu_metadata_put_shape(cu_store_metadata(store), &row, NULL, NULL), CU_ENOMEM);
	cu_fault_alloc_at(1);
	assert_int_equal(cu_metadata_set_snapshot(cu_store_metadata(store), 1, &small, NULL, NULL), CU_ENOMEM);
	cu_fault_alloc_at(2);
	assert_int_equal(cu_metadata_set_snapshot(cu_store_metadata(store), 1, &small, NULL, NULL), CU_ENOMEM);
	cu_fault_alloc_at(0);
	row.where_len = (size_t)1 << 40;
	assert_int_equal(cu_metadata_put_shape(cu_store_metadata(store), &row, NULL, NULL), CU_ETOOBIG);
	row.where_len = 1;
	assert_int_equal(cu_metadata_put_shape(cu_store_metadata(store), &row, NULL, NULL), 0);
	small.small_len = (size_t)1 << 40;
	assert_int_equal(cu_metadata_set_snapshot(cu_store_metadata(store), 1, &small, NULL, NULL), CU_ETOOBIG);
	small.small_len = sizeof small_bytes;
	assert_int_equal(cu_metadata_set_snapshot(cu_store_metadata(store), 1, &small, NULL, NULL), 0);
	assert_int_equal(cu_metadata_sync(cu_store_metadata(store)), 0);
	cu_fault_alloc_at(1);
	assert_int_equal(cu_metadata_get_small(cu_store_metadata(store), 1, &got), CU_ENOMEM);
	cu_fault_alloc_at(0);
	cu_buf_fini(&got);
	check_small(store, 1, true);
	cu_store_free(&store);
	assert_int_equal(store_open(dir, NULL, &told, &store), 0);
	assert_true(told.there[0]);
	cu_store_free(&store);
	help_dir_free(&dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(change_log_survives_every_failing_file_operation),
		cmocka_unit_test(change_log_survives_every_failing_fsync),
		cmocka_unit_test(change_log_survives_every_failing_allocation),
		cmocka_unit_test(store_survives_every_failing_file_operation),
		cmocka_unit_test(store_survives_every_failing_sqlite_write),
		cmocka_unit_test(store_opens_on_a_disk_without_room),
		cmocka_unit_test(an_operation_too_large_or_out_of_memory_does_not_harm_its_neighbours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
