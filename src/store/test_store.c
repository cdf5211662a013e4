/* Chunks, metadata and the store as a whole: round trips, restart, refusals.
 * label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"
#include "store/crc32c.h"
#include "store/store.h"
#include "store/test_help.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>

/* Collects everything a store loads, as text. */
struct seen {
	cu_buf text;
	unsigned fanouts;
};

static int seen_checkpoint(void *ctx, const struct cu_checkpoint *cp)
{
	cu_buf_printf(&((struct seen *)ctx)->text, "cp %" PRIu64 " %" PRIu64 " %" PRIu64 " %u;", cp->lsn, cp->last_tx,
		      cp->system_id, cp->timeline);
	return 0;
}

static int seen_definition(void *ctx, uint64_t id, const void *body, size_t len)
{
	cu_buf_printf(&((struct seen *)ctx)->text, "def %" PRIu64 " %.*s;", id, (int)len, (const char *)body);
	return 0;
}

static int seen_shape(void *ctx, const struct cu_shape_row *row)
{
	cu_buf *text = &((struct seen *)ctx)->text;

	cu_buf_printf(text, "shape %" PRIu64 " %s %" PRIu64 " %.*s %" PRIu64 " %s", row->id, row->handle,
		      row->definition_id, (int)row->where_len, row->where ? row->where : "", row->created_us,
		      row->snapshot_complete ? "complete" : "incomplete");
	if (row->snapshot_complete)
		cu_buf_printf(text, " %" PRIu64 " %" PRIu64 " %" PRIu64 " (%s)", row->snapshot.xmin, row->snapshot.xmax,
			      row->snapshot.lsn, row->snapshot.xip);
	if (row->snapshot.has_route_key)
		cu_buf_printf(text, " key %u %" PRIu64, row->snapshot.route_column, row->snapshot.route_hash);
	if (row->snapshot.is_small)
		cu_buf_puts(text, " small");
	for (uint32_t n = 0; n < row->snapshot.chunks_len; n++)
		cu_buf_printf(text, " %" PRIu64 "/%" PRIu64 "/%x", row->snapshot.chunks[n].bytes,
			      row->snapshot.chunks[n].items, row->snapshot.chunks[n].crc);
	cu_buf_puts(text, ";");
	return 0;
}

static int seen_replay(void *ctx, const struct cu_fanout *f, const struct cu_changelog_item *items)
{
	(void)f;
	(void)items;
	((struct seen *)ctx)->fanouts++;
	return 0;
}

static int open_store(const char *dir, struct seen *seen, cu_store **ret)
{
	struct cu_store_loader loader = {
		.metadata = { .ctx = seen,
			      .checkpoint = seen_checkpoint,
			      .definition = seen_definition,
			      .shape = seen_shape },
		.replay = seen_replay,
		.replay_ctx = seen,
	};

	if (seen)
		memset(seen, 0, sizeof *seen);
	return cu_store_open(dir, NULL, seen ? &loader : NULL, ret);
}

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

static void rc_store(void *ctx, int rc)
{
	*(int *)ctx = rc;
}

static int commit_tx(cu_store *store, uint64_t tx, struct cu_checkpoint *cp)
{
	struct cu_fanout f = { .tx = tx, .flags = CU_FANOUT_COMMIT };
	cu_changelog *cl = cu_store_changelog(store);
	int rc;

	rc = cu_changelog_append_item(cl, tx, 0, "item", 4, NULL);
	if (rc == 0)
		rc = cu_changelog_append_fanout(cl, &f);
	if (rc == 0)
		rc = cu_changelog_flush(cl);
	*cp = (struct cu_checkpoint){ .lsn = tx + 8,
				      .log_pos = cu_changelog_end(cl),
				      .last_tx = tx,
				      .system_id = UINT64_MAX - 3,
				      .timeline = UINT32_MAX };
	return rc;
}

static void a_chunk_is_what_was_written(void **state)
{
	char *dir = *state, *big = cu_xmalloc(200000), *out = cu_xmalloc(400000);
	cu_chunks *chunks = NULL;
	cu_chunk_writer *writer = NULL;
	struct cu_chunk_info info, small;
	uint64_t bytes;
	int fd = -1;

	memset(big, 'b', 200000);
	assert_int_equal(cu_chunks_new(dir, NULL, &chunks), 0);
	assert_int_equal(cu_chunk_open(chunks, 5, CU_CHUNK_SNAPSHOT, 0, &fd, &bytes), CU_ENOTFOUND);
	assert_int_equal(cu_chunk_writer_new(chunks, 5, CU_CHUNK_SNAPSHOT, 0, &writer), 0);
	assert_int_equal(cu_chunk_writer_add_item(writer, "{\"a\":1}", 7), 0);
	assert_int_equal(cu_chunk_writer_add_item(writer, big, 200000), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(cu_chunk_writer_append(writer, big, 1000, 2), 0);
	assert_int_equal(cu_chunk_writer_bytes(writer), 300008);
	assert_int_equal(cu_chunk_open(chunks, 5, CU_CHUNK_SNAPSHOT, 0, &fd, &bytes),
			 CU_ENOTFOUND); /* not before it is whole */
	assert_int_equal(cu_chunk_writer_finish(&writer, true, &info), 0);
	assert_null(writer);
	assert_int_equal(info.bytes, 300008);
	assert_int_equal(info.items, 202);
	assert_int_equal(cu_chunk_open(chunks, 5, CU_CHUNK_SNAPSHOT, 0, &fd, &bytes), 0);
	assert_int_equal(bytes, 300008);
	assert_int_equal(pread(fd, out, 400000, 0), 300008);
	assert_memory_equal(out, "{\"a\":1},bbb", 11);
	assert_int_equal(cu_crc32c(0, out, 300008), info.crc);
	assert_int_equal(cu_chunk_verify(chunks, 5, CU_CHUNK_SNAPSHOT, 0, &info), 0);

	assert_int_equal(cu_chunk_writer_new(chunks, 5, CU_CHUNK_SNAPSHOT, 1, &writer), 0);
	assert_int_equal(cu_chunk_writer_finish(&writer, false, &small), 0);
	assert_int_equal(small.bytes + small.items + small.crc, 0);
	assert_int_equal(cu_chunks_sync_shape(chunks, 5), 0);
	assert_int_equal(cu_chunk_verify(chunks, 5, CU_CHUNK_SNAPSHOT, 1, &info), CU_ECORRUPT);

	/* Removed: gone for those to come, whole for those who have it open. */
	assert_int_equal(cu_chunk_writer_new(chunks, 5, CU_CHUNK_SNAPSHOT, 2, &writer), 0);
	assert_int_equal(cu_chunks_remove_shape(chunks, 5), 0);
	assert_int_equal(cu_chunks_remove_shape(chunks, 5), 0);
	assert_int_equal(cu_chunk_writer_finish(&writer, false, &small), CU_ENOTFOUND);
	assert_int_equal(cu_chunk_writer_new(chunks, 5, CU_CHUNK_SNAPSHOT, 3, &writer), CU_ENOTFOUND);
	bool more = true;
	assert_int_equal(cu_chunks_empty_trash(chunks, 2, &more), 0);
	assert_true(more);
	assert_int_equal(cu_chunks_empty_trash(chunks, 100, &more), 0);
	assert_false(more);
	assert_int_equal(pread(fd, out, 400000, 0), 300008);
	close(fd);
	cu_chunks_free(&chunks);
	free(big);
	free(out);
}

static void a_given_up_chunk_leaves_no_file(void **state)
{
	cu_chunk_writer *writer = NULL;
	cu_chunks *chunks = NULL;
	char *path = cu_file_path("%s/shapes/1/snapshot.0.tmp", (char *)*state);

	assert_int_equal(cu_chunks_new(*state, NULL, &chunks), 0);
	assert_int_equal(cu_chunk_writer_new(chunks, 1, CU_CHUNK_SNAPSHOT, 0, &writer), 0);
	assert_int_equal(access(path, F_OK), 0);
	cu_chunk_writer_free(&writer);
	assert_int_equal(access(path, F_OK), -1);
	cu_chunks_free(&chunks);
	free(path);
}

static void what_is_stored_is_loaded_after_a_restart(void **state)
{
	struct cu_chunk_info infos[] = { { UINT64_MAX, 3, UINT32_MAX }, { 20, 2, 7 } };
	struct cu_snapshot_info snapshot = { .xmin = 10,
					     .xmax = UINT64_MAX,
					     .lsn = UINT64_MAX - 1,
					     .xip = "11,12",
					     .chunks_len = 2,
					     .chunks = infos,
					     .has_route_key = true,
					     .route_column = 3,
					     .route_hash = UINT64_MAX - 3 };
	struct cu_shape_row one = {
		.id = 1, .handle = "1-1", .definition_id = UINT64_MAX, .where = "k = 1", .where_len = 5, .created_us = 9
	};
	struct cu_shape_row two = { .id = 2, .handle = "2-2", .definition_id = 7 };
	struct cu_checkpoint cp;
	struct done done;
	struct seen seen;
	cu_store *store = NULL;
	cu_metadata *md;
	cu_buf value = CU_BUF_INIT;
	int rc[8];

	sem_init(&done.sem, 0, 0);
	assert_int_equal(open_store(*state, &seen, &store), 0);
	assert_string_equal(cu_buf_str(&seen.text), "");
	cu_buf_fini(&seen.text);
	md = cu_store_metadata(store);
	assert_int_equal(cu_metadata_next_shape_id(md), 1);
	assert_int_equal(cu_metadata_next_shape_id(md), 2);
	assert_int_equal(cu_metadata_put_shape(md, &one, rc_store, &rc[0]), 0);
	assert_int_equal(cu_metadata_put_shape(md, &two, rc_store, &rc[1]), 0);
	assert_int_equal(cu_metadata_put_shape(md, &two, rc_store, &rc[2]), 0);
	assert_int_equal(cu_metadata_set_snapshot(md, 1, &snapshot, rc_store, &rc[3]), 0);
	assert_int_equal(cu_metadata_set_snapshot(md, 99, &snapshot, rc_store, &rc[4]), 0);
	assert_int_equal(cu_metadata_put_definition(md, 4000000000u, "old", 3, rc_store, &rc[5]), 0);
	assert_int_equal(cu_metadata_put_definition(md, 4000000000u, "relation", 8, rc_store, &rc[5]), 0);
	assert_int_equal(cu_metadata_put_definition(md, 5, "x", 1, rc_store, &rc[6]), 0);
	assert_int_equal(cu_metadata_remove_definition(md, 5, rc_store, &rc[6]), 0);
	assert_int_equal(cu_metadata_set(md, "slot", "a\0b", 3, rc_store, &rc[7]), 0);
	assert_int_equal(cu_metadata_sync(md), CU_EEXIST); /* the first trouble */
	assert_int_equal(cu_metadata_sync(md), 0);
	assert_int_equal(rc[0] | rc[1] | rc[3] | rc[5] | rc[6] | rc[7], 0);
	assert_int_equal(rc[2], CU_EEXIST);
	assert_int_equal(rc[4], CU_ENOTFOUND);
	assert_int_equal(commit_tx(store, UINT64_MAX - 20, &cp), 0);
	assert_int_equal(cu_store_checkpoint(store, &cp, done_post, &done), 0);
	assert_int_equal(done_wait(&done), 0);
	assert_int_equal(commit_tx(store, UINT64_MAX - 19, &cp), 0); /* without a checkpoint */
	cu_store_free(&store);

	assert_int_equal(open_store(*state, &seen, &store), 0);
	assert_string_equal(
		cu_buf_str(&seen.text),
		"cp 18446744073709551603 18446744073709551595 18446744073709551612 4294967295;"
		"def 4000000000 relation;"
		"shape 1 1-1 18446744073709551615 k = 1 9 complete 10 18446744073709551615 18446744073709551614 (11,12) "
		"key 3 18446744073709551612 "
		"18446744073709551615/3/ffffffff 20/2/7;"
		"shape 2 2-2 7  0 incomplete;");
	assert_int_equal(seen.fanouts, 1);
	cu_buf_fini(&seen.text);
	md = cu_store_metadata(store);
	assert_int_equal(cu_metadata_get(md, "slot", &value), 0);
	assert_int_equal(value.len, 3);
	assert_memory_equal(value.data, "a\0b", 3);
	assert_int_equal(cu_metadata_get(md, "none", &value), CU_ENOTFOUND);
	cu_buf_fini(&value);
	cu_store_free(&store);
	sem_destroy(&done.sem);
}

/* The child: does what `told` promises, says so through the pipe, goes on without a checkpoint, and is killed. */
static void killed_child(const char *dir, int told)
{
	struct cu_shape_row row = { .id = 1, .handle = "1-1", .definition_id = 1 };
	struct cu_checkpoint cp;
	struct done done;
	cu_store *store = NULL;
	int rc;

	sem_init(&done.sem, 0, 0);
	rc = open_store(dir, NULL, &store);
	if (rc == 0)
		rc = cu_metadata_put_shape(cu_store_metadata(store), &row, NULL, NULL);
	if (rc == 0)
		rc = cu_metadata_sync(cu_store_metadata(store));
	if (rc == 0)
		rc = commit_tx(store, 1, &cp);
	if (rc == 0)
		rc = cu_store_checkpoint(store, &cp, done_post, &done);
	if (rc == 0)
		rc = done_wait(&done);
	for (uint64_t tx = 2; rc == 0 && tx < 1000; tx++)
		rc = commit_tx(store, tx, &cp);
	if (write(told, &rc, sizeof rc) != sizeof rc)
		_exit(1);
	while (true)
		pause();
}

static void a_killed_process_keeps_what_it_called_durable(void **state)
{
	struct seen seen;
	cu_store *store = NULL;
	int pipes[2], rc = 1;
	pid_t child;

	assert_int_equal(pipe(pipes), 0);
	child = fork();
	if (child == 0)
		killed_child(*state, pipes[1]);
	assert_true(child > 0);
	assert_int_equal(read(pipes[0], &rc, sizeof rc), sizeof rc);
	assert_int_equal(rc, 0);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(open_store(*state, &seen, &store), 0);
	assert_string_equal(cu_buf_str(&seen.text),
			    "cp 9 1 18446744073709551612 4294967295;shape 1 1-1 1  0 incomplete;");
	assert_int_equal(seen.fanouts, 1);
	cu_buf_fini(&seen.text);
	cu_store_free(&store);
	close(pipes[0]);
	close(pipes[1]);
}

static void an_id_is_never_given_twice_even_when_its_shape_is_gone(void **state)
{
	struct cu_shape_row row = { .id = 41, .handle = "h", .definition_id = 1 };
	cu_store *store = NULL;

	assert_int_equal(open_store(*state, NULL, &store), 0);
	assert_int_equal(cu_metadata_put_shape(cu_store_metadata(store), &row, NULL, NULL), 0);
	assert_int_equal(cu_metadata_remove_shape(cu_store_metadata(store), 41, NULL, NULL), 0);
	cu_store_free(&store);
	assert_int_equal(open_store(*state, NULL, &store), 0);
	assert_int_equal(cu_metadata_next_shape_id(cu_store_metadata(store)), 42);
	cu_store_free(&store);
}

static void removing_a_shape_takes_row_and_files(void **state)
{
	struct cu_shape_row row = { .id = 3, .handle = "h", .definition_id = 1 };
	char *path = cu_file_path("%s/shapes/3", (char *)*state), *orphan = cu_file_path("%s/shapes/8", (char *)*state);
	struct cu_chunk_info info;
	cu_chunk_writer *writer;
	cu_store *store = NULL;
	struct done done;
	struct seen seen;

	sem_init(&done.sem, 0, 0);
	assert_int_equal(open_store(*state, NULL, &store), 0);
	assert_int_equal(cu_metadata_put_shape(cu_store_metadata(store), &row, NULL, NULL), 0);
	assert_int_equal(cu_chunk_writer_new(cu_store_chunks(store), 3, CU_CHUNK_SNAPSHOT, 0, &writer), 0);
	assert_int_equal(cu_chunk_writer_finish(&writer, true, &info), 0);
	assert_int_equal(cu_chunk_writer_new(cu_store_chunks(store), 8, CU_CHUNK_SNAPSHOT, 0, &writer),
			 0); /* no row: a crash's leftover */
	assert_int_equal(cu_chunk_writer_finish(&writer, true, &info), 0);
	cu_store_free(&store);
	assert_int_equal(open_store(*state, &seen, &store), 0);
	assert_string_equal(cu_buf_str(&seen.text), "shape 3 h 1  0 incomplete;");
	cu_buf_fini(&seen.text);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(access(orphan, F_OK), -1);
	assert_int_equal(cu_store_remove_shape(store, 3, done_post, &done), 0);
	assert_int_equal(done_wait(&done), 0);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(cu_store_remove_shape(store, 3, done_post, &done), 0);
	assert_int_equal(done_wait(&done), 0);
	cu_store_free(&store);
	assert_int_equal(open_store(*state, &seen, &store), 0);
	assert_string_equal(cu_buf_str(&seen.text), "");
	cu_buf_fini(&seen.text);
	cu_store_free(&store);
	sem_destroy(&done.sem);
	free(path);
	free(orphan);
}

static void a_directory_in_use_is_refused(void **state)
{
	cu_store *store = NULL, *second = NULL;

	assert_int_equal(open_store(*state, NULL, &store), 0);
	assert_int_equal(open_store(*state, NULL, &second), CU_EBUSY);
	cu_store_free(&store);
	assert_int_equal(open_store(*state, NULL, &second), 0);
	cu_store_free(&second);
}

static void missing_parents_are_made(void **state)
{
	char *dir = cu_file_path("%s/a/b//c/", (char *)*state);
	cu_store *store = NULL;

	assert_int_equal(open_store(dir, NULL, &store), 0);
	cu_store_free(&store);
	free(dir);
}

static void another_format_is_refused_and_left_alone(void **state)
{
	char *path = cu_file_path("%s/format", (char *)*state), text[32] = "";
	cu_store *store = NULL;
	FILE *file;

	assert_int_equal(open_store(*state, NULL, &store), 0);
	cu_store_free(&store);
	file = fopen(path, "w");
	fputs("copper-storage 2\n", file);
	fclose(file);
	assert_int_equal(open_store(*state, NULL, &store), CU_EUNSUPPORTED);
	file = fopen(path, "r");
	assert_non_null(fgets(text, sizeof text, file));
	fclose(file);
	assert_string_equal(text, "copper-storage 2\n");
	free(path);
}

static void metadata_exec(const char *dir, const char *sql)
{
	char *path = cu_file_path("%s/metadata.sqlite3", dir);
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	free(path);
}

static void format_put(const char *dir, const void *bytes, size_t len)
{
	char *path = cu_file_path("%s/format", dir);
	FILE *file = fopen(path, "w");

	assert_int_equal(fwrite(bytes, 1, len, file), len);
	fclose(file);
	free(path);
}

static void assert_format(const char *dir, const void *bytes, size_t len)
{
	char *path = cu_file_path("%s/format", dir), found[256];
	FILE *file = fopen(path, "r");

	assert_int_equal(fread(found, 1, sizeof found, file), len);
	assert_memory_equal(found, bytes, len);
	fclose(file);
	free(path);
}

static void a_format_that_says_nothing_is_written_anew_if_the_metadata_are_ours(void **state)
{
	static const char zeros[200];
	static const size_t lens[] = { 0, 1, sizeof CU_STORE_FORMAT - 1, sizeof CU_STORE_FORMAT, sizeof zeros };
	cu_store *store = NULL;

	for (size_t i = 0; i < CU_ARRAY_LEN(lens); i++) {
		format_put(*state, zeros, lens[i]); /* at first there is nothing else */
		assert_int_equal(open_store(*state, NULL, &store), 0);
		cu_store_free(&store);
		assert_format(*state, CU_STORE_FORMAT, strlen(CU_STORE_FORMAT));
	}
	metadata_exec(*state, "PRAGMA user_version = 99");
	format_put(*state, zeros, 17);
	assert_int_equal(open_store(*state, NULL, &store), CU_EUNSUPPORTED);
	assert_format(*state, zeros, 17);
	format_put(*state, "copper\0\0\0\0\0\0\0\0\0\0\0", 17); /* not all of it */
	assert_int_equal(open_store(*state, NULL, &store), CU_EUNSUPPORTED);
}

static int set_small(cu_metadata *md, uint64_t id, const void *bytes, size_t len)
{
	struct cu_snapshot_info info = { .xip = "", .is_small = true, .small = bytes, .small_len = len };

	return cu_metadata_set_snapshot(md, id, &info, NULL, NULL);
}

static int64_t metadata_number(const char *dir, const char *sql)
{
	char *path = cu_file_path("%s/metadata.sqlite3", dir);
	sqlite3_stmt *stmt = NULL;
	sqlite3 *db = NULL;
	int64_t number;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	number = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	free(path);
	return number;
}

static void a_small_snapshot_is_kept_in_the_metadata_without_a_file(void **state)
{
	char *file = cu_file_path("%s/metadata.sqlite3", (char *)*state);
	struct cu_chunk_info chunk = { 7, 1, 5 };
	struct cu_snapshot_info large = { .xip = "", .chunks_len = 1, .chunks = &chunk };
	char *bytes = cu_xmalloc(CU_SNAPSHOT_SMALL_MAX);
	cu_buf got = CU_BUF_INIT;
	cu_store *store = NULL;
	struct done done;
	struct seen seen;
	struct stat st;
	cu_metadata *md;

	sem_init(&done.sem, 0, 0);
	for (size_t i = 0; i < CU_SNAPSHOT_SMALL_MAX; i++)
		bytes[i] = (char)(i * 31 + i / 256);
	assert_int_equal(open_store(*state, NULL, &store), 0);
	md = cu_store_metadata(store);
	for (uint64_t id = 1; id <= 4; id++) {
		struct cu_shape_row row = { .id = id, .handle = (const char *[]){ "a", "b", "c", "d" }[id - 1] };

		assert_int_equal(cu_metadata_put_shape(md, &row, NULL, NULL), 0);
	}
	assert_int_equal(set_small(md, 1, bytes, CU_SNAPSHOT_SMALL_MAX), 0);
	assert_int_equal(set_small(md, 2, "a\0b", 3), 0);
	assert_int_equal(set_small(md, 3, "", 0), 0);
	assert_int_equal(set_small(md, 4, "old", 3), 0);
	assert_int_equal(cu_metadata_set_snapshot(md, 4, &large, NULL, NULL), 0); /* takes the place of the small one */
	assert_int_equal(cu_metadata_sync(md), 0);
	for (int run = 0; run < 2; run++) {
		cu_buf_puts(&got, "before");
		assert_int_equal(cu_metadata_get_small(md, 1, &got), 0);
		assert_int_equal(got.len, 6 + CU_SNAPSHOT_SMALL_MAX);
		assert_memory_equal(got.data + 6, bytes, CU_SNAPSHOT_SMALL_MAX);
		cu_buf_clear(&got);
		assert_int_equal(cu_metadata_get_small(md, 2, &got), 0);
		assert_int_equal(cu_metadata_get_small(md, 3, &got), 0);
		assert_int_equal(cu_metadata_get_small(md, 4, &got), CU_ENOTFOUND);
		assert_int_equal(cu_metadata_get_small(md, 5, &got), CU_ENOTFOUND);
		assert_int_equal(got.len, 3);
		assert_memory_equal(got.data, "a\0b", 3);
		cu_buf_clear(&got);
		if (run == 1)
			break;
		cu_store_free(&store);
		assert_int_equal(open_store(*state, &seen, &store), 0);
		assert_string_equal(cu_buf_str(&seen.text), "shape 1 a 0  0 complete 0 0 0 () small;"
							    "shape 2 b 0  0 complete 0 0 0 () small;"
							    "shape 3 c 0  0 complete 0 0 0 () small;"
							    "shape 4 d 0  0 complete 0 0 0 () 7/1/5;");
		cu_buf_fini(&seen.text);
		md = cu_store_metadata(store);
	}
	/* The rows of clients are in there now. */
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(cu_store_remove_shape(store, 1, done_post, &done), 0);
	assert_int_equal(done_wait(&done), 0);
	assert_int_equal(cu_metadata_get_small(md, 1, &got), CU_ENOTFOUND);
	cu_store_free(&store);
	assert_int_equal(metadata_number(*state, "SELECT count(*) FROM snapshot"), 2);
	cu_buf_fini(&got);
	sem_destroy(&done.sem);
	free(bytes);
	free(file);
}

static void a_damaged_small_snapshot_is_refused(void **state)
{
	struct cu_shape_row rows[2] = { { .id = 1, .handle = "a" }, { .id = 2, .handle = "b" } };
	cu_buf got = CU_BUF_INIT;
	cu_store *store = NULL;
	cu_metadata *md;

	assert_int_equal(open_store(*state, NULL, &store), 0);
	md = cu_store_metadata(store);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(cu_metadata_put_shape(md, &rows[i], NULL, NULL), 0);
		assert_int_equal(set_small(md, rows[i].id, "{\"value\":1}", 11), 0);
	}
	assert_int_equal(cu_metadata_sync(md), 0);
	metadata_exec(*state, "UPDATE snapshot SET bytes = CAST('{\"value\":2}' AS BLOB) WHERE shape_id = 1");
	assert_int_equal(cu_metadata_get_small(md, 1, &got), CU_ECORRUPT);
	metadata_exec(*state, "UPDATE snapshot SET bytes = x'' WHERE shape_id = 1");
	assert_int_equal(cu_metadata_get_small(md, 1, &got), CU_ECORRUPT);
	metadata_exec(*state,
		      "UPDATE snapshot SET bytes = CAST('{\"value\":1}' AS BLOB), row_crc = row_crc + 4294967296 "
		      "WHERE shape_id = 1");
	assert_int_equal(cu_metadata_get_small(md, 1, &got), CU_ECORRUPT);
	metadata_exec(*state, "DELETE FROM snapshot WHERE shape_id = 1");
	assert_int_equal(cu_metadata_get_small(md, 1, &got), CU_ENOTFOUND);
	assert_int_equal(got.len, 0);
	assert_int_equal(cu_metadata_get_small(md, 2, &got), 0);
	assert_int_equal(got.len, 11);
	cu_buf_fini(&got);
	cu_store_free(&store);
}

static void a_small_snapshot_is_read_while_the_writer_is_busy(void **state)
{
	struct cu_shape_row row = { .id = 1, .handle = "a" };
	char *path = cu_file_path("%s/metadata.sqlite3", (char *)*state);
	cu_buf got = CU_BUF_INIT;
	cu_store *store = NULL;
	sqlite3 *other = NULL;
	cu_metadata *md;

	assert_int_equal(open_store(*state, NULL, &store), 0);
	md = cu_store_metadata(store);
	assert_int_equal(cu_metadata_put_shape(md, &row, NULL, NULL), 0);
	assert_int_equal(set_small(md, 1, "bytes", 5), 0);
	assert_int_equal(cu_metadata_sync(md), 0);
	assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK); /* as the writer's */
	assert_int_equal(cu_metadata_remove_shape(md, 1, NULL, NULL), 0);
	assert_int_equal(cu_metadata_get_small(md, 1, &got), 0);
	assert_int_equal(got.len, 5);
	sqlite3_close(other);
	assert_int_equal(cu_metadata_sync(md), 0);
	assert_int_equal(cu_metadata_get_small(md, 1, &got), CU_ENOTFOUND);
	cu_buf_fini(&got);
	cu_store_free(&store);
	free(path);
}

static void the_write_ahead_file_is_folded_when_it_is_long(void **state)
{
	char *wal = cu_file_path("%s/metadata.sqlite3-wal", (char *)*state);
	char *value = cu_xzalloc(100000);
	cu_store *store = NULL;
	struct stat st;

	assert_int_equal(open_store(*state, NULL, &store), 0);
	for (unsigned i = 0; i < 100; i++) {
		memset(value, (int)i, 100000);
		assert_int_equal(cu_metadata_set(cu_store_metadata(store), "key", value, 100000, NULL, NULL), 0);
		assert_int_equal(cu_metadata_sync(cu_store_metadata(store)), 0);
		assert_int_equal(stat(wal, &st), 0);
		assert_true(st.st_size < 5 * 1024 * 1024);
	}
	cu_store_free(&store);
	free(value);
	free(wal);
}

static void newer_foreign_and_broken_metadata_is_refused(void **state)
{
	char *path = cu_file_path("%s/metadata.sqlite3", (char *)*state);
	cu_store *store = NULL;
	FILE *file;

	assert_int_equal(open_store(*state, NULL, &store), 0);
	cu_store_free(&store);
	metadata_exec(*state, "PRAGMA user_version = 9");
	assert_int_equal(open_store(*state, NULL, &store), CU_EUNSUPPORTED);
	metadata_exec(*state, "PRAGMA user_version = 0");
	assert_int_equal(open_store(*state, NULL, &store), CU_EUNSUPPORTED);
	file = fopen(path, "w");
	fputs("this is not a database, but it is long enough to be looked at as one; or so one would think, at least, "
	      "and then some more bytes",
	      file);
	fclose(file);
	assert_int_equal(open_store(*state, NULL, &store), CU_ECORRUPT);
	free(path);
}

static void an_older_directory_is_emptied(void **state)
{
	struct cu_shape_row row = { .id = 5, .handle = "h", .definition_id = 1 };
	struct seen seen;
	cu_store *store = NULL;

	assert_int_equal(open_store(*state, NULL, &store), 0);
	assert_int_equal(cu_metadata_put_shape(cu_store_metadata(store), &row, NULL, NULL), 0);
	cu_store_free(&store);
	metadata_exec(
		*state,
		"DROP TABLE snapshot; DROP TABLE log_chunk; DROP TABLE log_bytes; ALTER TABLE definition RENAME TO relation; "
		"PRAGMA user_version = 1");
	assert_int_equal(open_store(*state, &seen, &store), 0);
	assert_string_equal(cu_buf_str(&seen.text), "");
	cu_buf_fini(&seen.text);
	cu_store_free(&store);
}

struct chain {
	cu_store *store;
	struct cu_checkpoint cp;
	unsigned left;
	struct done done;
};

static void chain_next(void *ctx, int rc)
{
	struct chain *chain = ctx;

	if (rc == 0 && chain->left-- > 0) {
		chain->cp.lsn++;
		rc = cu_store_checkpoint(chain->store, &chain->cp, chain_next, chain);
		if (rc == 0)
			return;
	}
	done_post(&chain->done, rc);
}

static void a_checkpoint_may_ask_for_the_next_from_its_done(void **state)
{
	struct chain chain = { .left = 20 };

	sem_init(&chain.done.sem, 0, 0);
	assert_int_equal(open_store(*state, NULL, &chain.store), 0);
	assert_int_equal(commit_tx(chain.store, 5, &chain.cp), 0);
	assert_int_equal(cu_store_checkpoint(chain.store, &chain.cp, chain_next, &chain), 0);
	assert_int_equal(done_wait(&chain.done), 0);
	cu_store_free(&chain.store);
	sem_destroy(&chain.done.sem);
}

static void a_checkpoint_beyond_what_was_flushed_fails(void **state)
{
	struct cu_checkpoint cp = { .log_pos = 100000 };
	cu_store *store = NULL;
	struct done done;
	struct seen seen;

	sem_init(&done.sem, 0, 0);
	assert_int_equal(open_store(*state, NULL, &store), 0);
	assert_int_equal(cu_store_checkpoint(store, &cp, done_post, &done), 0);
	assert_int_equal(done_wait(&done), CU_EINVAL);
	cu_store_free(&store);
	assert_int_equal(open_store(*state, &seen, &store), 0);
	assert_string_equal(cu_buf_str(&seen.text), "");
	cu_buf_fini(&seen.text);
	cu_store_free(&store);
	sem_destroy(&done.sem);
}

static void closing_runs_everything_that_was_queued(void **state)
{
	struct cu_shape_row row = { .definition_id = 1 };
	char handle[32];
	cu_store *store = NULL;
	int rc[1000];

	memset(rc, 1, sizeof rc);
	assert_int_equal(open_store(*state, NULL, &store), 0);
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(handle, sizeof handle, "h-%u", i);
		row.id = i + 1;
		row.handle = handle;
		assert_int_equal(cu_metadata_put_shape(cu_store_metadata(store), &row, rc_store, &rc[i]), 0);
	}
	cu_store_free(&store);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(rc[i], 0);
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

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_chunk_is_what_was_written),
		T(a_given_up_chunk_leaves_no_file),
		T(what_is_stored_is_loaded_after_a_restart),
		T(a_killed_process_keeps_what_it_called_durable),
		T(an_id_is_never_given_twice_even_when_its_shape_is_gone),
		T(removing_a_shape_takes_row_and_files),
		T(a_directory_in_use_is_refused),
		T(missing_parents_are_made),
		T(another_format_is_refused_and_left_alone),
		T(a_format_that_says_nothing_is_written_anew_if_the_metadata_are_ours),
		T(a_small_snapshot_is_kept_in_the_metadata_without_a_file),
		T(a_damaged_small_snapshot_is_refused),
		T(a_small_snapshot_is_read_while_the_writer_is_busy),
		T(the_write_ahead_file_is_folded_when_it_is_long),
		T(newer_foreign_and_broken_metadata_is_refused),
		T(an_older_directory_is_emptied),
		T(a_checkpoint_may_ask_for_the_next_from_its_done),
		T(a_checkpoint_beyond_what_was_flushed_fails),
		T(closing_runs_everything_that_was_queued),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
