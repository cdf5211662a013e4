/* test_metadata_damage.c: damage in the metadata costs the shapes that have it, or is reported; what is loaded is what was
 * stored. METADATA_FLIPS=n flips n bits, spread over the file.
 * label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/metadata.h"
#include "store/test_help.h"

#include <sqlite3.h>
#include <stdatomic.h>

#define SHAPES 40u /* ids 1 … */

/* What an open gave, by shape; text of a damaged one does not count. */
struct seen {
	cu_buf shapes[SHAPES + 1];
	cu_buf definitions;
	bool damaged[SHAPES + 1];
	unsigned strangers; /* damaged ids that no shape has */
	unsigned damaged_definitions;
	struct cu_checkpoint cp;
};

static void seen_fini(struct seen *seen)
{
	for (unsigned i = 0; i <= SHAPES; i++)
		cu_buf_fini(&seen->shapes[i]);
	cu_buf_fini(&seen->definitions);
	memset(seen, 0, sizeof *seen);
}

static int see_checkpoint(void *ctx, const struct cu_checkpoint *cp)
{
	((struct seen *)ctx)->cp = *cp;
	return 0;
}

static int see_definition(void *ctx, uint64_t id, const void *body, size_t len)
{
	cu_buf_printf(&((struct seen *)ctx)->definitions, "%" PRIu64 " %.*s;", id, (int)len, (const char *)body);
	return 0;
}

static int see_shape(void *ctx, const struct cu_shape_row *row)
{
	cu_buf *text = &((struct seen *)ctx)->shapes[row->id];
	const struct cu_snapshot_info *snapshot = &row->snapshot;

	assert_in_range(row->id, 1, SHAPES);
	cu_buf_printf(text,
		      "%s %" PRIu64 " %.*s %" PRIu64 " %d %" PRIu64 " %" PRIu64 " %" PRIu64 " %s %d %u %" PRIu64
		      " %d %s",
		      row->handle, row->definition_id, (int)row->where_len, row->where ? row->where : "",
		      row->created_us, row->snapshot_complete, snapshot->xmin, snapshot->xmax, snapshot->lsn,
		      snapshot->xip, snapshot->has_route_key, snapshot->route_column, snapshot->route_hash,
		      snapshot->is_small, snapshot->published);
	for (uint32_t n = 0; n < snapshot->chunks_len; n++)
		cu_buf_printf(text, " %" PRIu64 "/%" PRIu64 "/%x", snapshot->chunks[n].bytes, snapshot->chunks[n].items,
			      snapshot->chunks[n].crc);
	return 0;
}

static int see_log_chunk(void *ctx, const struct cu_log_chunk_row *row)
{
	assert_in_range(row->shape_id, 1, SHAPES);
	if (!((struct seen *)ctx)
		     ->shapes[row->shape_id]
		     .len) { /* the shape's row is lost: the loader drops what is left of it */
		((struct seen *)ctx)->damaged[row->shape_id] = true;
		return 0;
	}
	cu_buf_printf(&((struct seen *)ctx)->shapes[row->shape_id],
		      " [%u %" PRIu64 "_%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %x %d%d%d]", row->n,
		      row->last_tx, row->last_op, row->wire_bytes, row->info.bytes, row->info.items, row->info.crc,
		      row->ends, row->compacted, row->is_small);
	return 0;
}

static int see_damaged(void *ctx, bool is_definition, uint64_t id)
{
	struct seen *seen = ctx;

	if (is_definition)
		seen->damaged_definitions++;
	else if (id <= SHAPES)
		seen->damaged[id] = true;
	else
		seen->strangers++;
	return 0;
}

static int open_metadata(const char *path, struct seen *seen, cu_metadata **ret_md)
{
	struct cu_metadata_loader loader = { .ctx = seen,
					     .checkpoint = see_checkpoint,
					     .definition = see_definition,
					     .shape = see_shape,
					     .log_chunk = see_log_chunk,
					     .damaged = see_damaged };

	return cu_metadata_open(path, &loader, ret_md);
}

static void put_shape(cu_metadata *md, uint64_t id)
{
	struct cu_chunk_info chunks[] = { { 1000, 10, 0xabc }, { 2000 + id, 20, 0xdef }, { 30, 3, 0x123 } };
	struct cu_snapshot_info info = {
		.xmin = 100, .xmax = 101 + id, .lsn = 5000, .xip = "100", .published = "2/7/4"
	};
	char handle[32], where[64];
	struct cu_shape_row row = { .id = id, .handle = handle, .definition_id = 1 + id % 3, .created_us = 77 * id };

	snprintf(handle, sizeof handle, "%" PRIu64 "-170000000%" PRIu64, id, id);
	snprintf(where, sizeof where, "id = %" PRIu64, id);
	if (id % 4) {
		row.where = where;
		row.where_len = strlen(where);
		info.has_route_key = true;
		info.route_column = 1;
		info.route_hash = id * 0x9e3779b97f4a7c15u;
	}
	if (id % 2) {
		info.is_small = true;
		info.small = where;
		info.small_len = strlen(where);
	} else {
		info.chunks = chunks;
		info.chunks_len = 3;
	}
	assert_int_equal(cu_metadata_put_shape(md, &row, NULL, NULL), 0);
	if (id % 10)
		assert_int_equal(cu_metadata_set_snapshot(md, id, &info, NULL, NULL), 0);
}

static void put_log_chunk(cu_metadata *md, uint64_t id, uint32_t n)
{
	char small[64];
	struct cu_log_chunk_row row = {
		.shape_id = id,
		.n = n,
		.last_tx = 9000 + n,
		.last_op = 2 * n,
		.wire_bytes = 40,
		.info = { 44, n + 1, 0x55 },
		.ends = n % 2,
		.is_small = n % 3 == 0,
		.small = small,
	};

	memset(small, (int)('a' + n), sizeof small);
	assert_int_equal(cu_metadata_put_log_chunks(md, &row, 1, 9000 + n, n ? 2 * n - 1 : 0, NULL, NULL), 0);
}

/* The file of every test, closed. */
static void fill(const char *path)
{
	struct seen seen = { 0 };
	cu_metadata *md = NULL;

	assert_int_equal(open_metadata(path, &seen, &md), 0);
	for (uint64_t id = 1; id <= 3; id++)
		assert_int_equal(cu_metadata_put_definition(md, id, "{\"table\":\"t\"}", 13, NULL, NULL), 0);
	for (uint64_t id = 1; id <= SHAPES; id++)
		put_shape(md, id);
	for (uint64_t id = 1; id <= SHAPES; id += 2) {
		for (uint32_t n = 0; n < id % 7; n++)
			put_log_chunk(md, id, n);
	}
	assert_int_equal(cu_metadata_put_checkpoint(
				 md,
				 &(struct cu_checkpoint){
					 .lsn = 9900, .log_pos = 4242, .last_tx = 9007, .system_id = 3, .timeline = 1 },
				 NULL, NULL),
			 0);
	assert_int_equal(cu_metadata_sync(md), 0);
	cu_metadata_free(&md);
	seen_fini(&seen);
}

static void exec(const char *path, const char *sql)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* What is not called damaged is what it was. */
static void assert_same_or_damaged(const struct seen *seen, const struct seen *was)
{
	for (unsigned id = 1; id <= SHAPES; id++) {
		if (!seen->damaged[id] && seen->shapes[id].len)
			assert_string_equal(cu_buf_str((cu_buf *)&seen->shapes[id]),
					    cu_buf_str((cu_buf *)&was->shapes[id]));
	}
	if (!seen->damaged_definitions)
		assert_string_equal(cu_buf_str((cu_buf *)&seen->definitions), cu_buf_str((cu_buf *)&was->definitions));
	assert_memory_equal(&seen->cp, &was->cp, sizeof was->cp);
}

struct file {
	char *path;
	char *bytes;
	size_t len;
};

static void put_back(const struct file *file)
{
	FILE *out = fopen(file->path, "w");

	assert_non_null(out);
	assert_int_equal(fwrite(file->bytes, 1, file->len, out), file->len);
	fclose(out);
}

static void take(struct file *file)
{
	FILE *in = fopen(file->path, "r");

	assert_non_null(in);
	file->len = (size_t)help_size(file->path);
	file->bytes = cu_xmalloc(file->len);
	assert_int_equal(fread(file->bytes, 1, file->len, in), file->len);
	fclose(in);
}

static void file_new(const char *dir, struct file *ret_file)
{
	ret_file->path = cu_file_path("%s/metadata.sqlite3", dir);
	fill(ret_file->path);
	take(ret_file);
}

static void file_free(struct file *file)
{
	free(file->path);
	free(file->bytes);
}

static void one_changed_or_lost_row_costs_its_shape(void **state)
{
	static const struct {
		const char *sql;
		unsigned shape; /* 0: a definition, CU_ECORRUPT */
	} cases[] = {
		{ "UPDATE shape SET handle = 'other' WHERE id = 7", 7 },
		{ "UPDATE shape SET definition_id = 3 WHERE id = 7", 7 },
		{ "UPDATE shape SET where_clause = NULL WHERE id = 7", 7 },
		{ "UPDATE shape SET where_clause = 'id = 8' WHERE id = 7", 7 },
		{ "UPDATE shape SET created_us = 1 WHERE id = 7", 7 },
		{ "UPDATE shape SET snapshot_complete = 0 WHERE id = 7", 7 },
		{ "UPDATE shape SET xmin = 101 WHERE id = 7", 7 },
		{ "UPDATE shape SET xmax = 120 WHERE id = 7", 7 },
		{ "UPDATE shape SET snapshot_lsn = 5001 WHERE id = 7", 7 },
		{ "UPDATE shape SET xip = '' WHERE id = 7", 7 },
		{ "UPDATE shape SET route_hash = NULL WHERE id = 7", 7 },
		{ "UPDATE shape SET route_column = 2 WHERE id = 7", 7 },
		{ "UPDATE shape SET snapshot_small = 0 WHERE id = 7", 7 },
		{ "UPDATE shape SET published = '2/9/4' WHERE id = 7", 7 },
		{ "UPDATE shape SET snapshot_chunks = 2 WHERE id = 8", 8 },
		{ "UPDATE shape SET row_crc = row_crc + 1 WHERE id = 8", 8 },
		{ "UPDATE chunk SET bytes = 1 WHERE shape_id = 8 AND n = 1", 8 },
		{ "UPDATE chunk SET crc = 1 WHERE shape_id = 8 AND n = 1", 8 },
		{ "DELETE FROM chunk WHERE shape_id = 8 AND n = 2", 8 },
		{ "DELETE FROM chunk WHERE shape_id = 8", 8 },
		{ "UPDATE log_chunk SET last_tx = 9999 WHERE shape_id = 5 AND n = 4", 5 },
		{ "UPDATE log_chunk SET flags = 0 WHERE shape_id = 5 AND n = 1", 5 },
		{ "UPDATE log_chunk SET shape_id = 500 WHERE shape_id = 5 AND n = 4", 5 },
		{ "DELETE FROM log_chunk WHERE shape_id = 5 AND n = 4", 5 },
		{ "DELETE FROM log_chunk WHERE shape_id = 5 AND n = 0", 5 },
		{ "DELETE FROM log_chunk WHERE shape_id = 5", 5 },
		{ "DELETE FROM log_count WHERE shape_id = 5", 5 },
		{ "UPDATE log_count SET chunks = 4 WHERE shape_id = 5", 5 },
		{ "UPDATE definition SET body = x'00' WHERE id = 2", 0 },
	};
	struct seen was = { 0 };
	cu_metadata *md = NULL;
	struct file file;

	file_new(*state, &file);
	assert_int_equal(open_metadata(file.path, &was, &md), 0);
	cu_metadata_free(&md);
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		struct seen seen = { 0 };

		put_back(&file);
		exec(file.path, cases[i].sql);
		assert_int_equal(open_metadata(file.path, &seen, &md), 0);
		cu_metadata_free(&md);
		for (unsigned id = 1; id <= SHAPES; id++) {
			if (seen.damaged[id] != (id == cases[i].shape))
				fail_msg("%s: shape %u", cases[i].sql, id);
		}
		assert_int_equal(seen.damaged_definitions, cases[i].shape == 0);
		assert_same_or_damaged(&seen, &was);
		seen_fini(&seen);
	}
	seen_fini(&was);
	file_free(&file);
}

static void a_damaged_or_lost_checkpoint_is_refused(void **state)
{
	static const char *const cases[] = { "UPDATE checkpoint SET lsn = lsn + 1", "UPDATE checkpoint SET log_pos = 1",
					     "UPDATE checkpoint SET timeline = 2", "DELETE FROM checkpoint" };
	struct seen seen = { 0 };
	cu_metadata *md = NULL;
	struct file file;

	file_new(*state, &file);
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		put_back(&file);
		exec(file.path, cases[i]);
		assert_int_equal(open_metadata(file.path, &seen, &md), CU_ECORRUPT);
		assert_null(md);
	}
	seen_fini(&seen);
	file_free(&file);
}

static void a_snapshot_is_not_recorded_over_a_damaged_row(void **state)
{
	struct cu_snapshot_info info = { .xip = "" };
	struct seen seen = { 0 };
	cu_metadata *md = NULL;
	struct file file;

	file_new(*state, &file);
	assert_int_equal(open_metadata(file.path, &seen, &md), 0);
	exec(file.path, "UPDATE shape SET where_clause = 'true' WHERE id = 10");
	assert_int_equal(cu_metadata_set_snapshot(md, 10, &info, NULL, NULL), 0);
	assert_int_equal(cu_metadata_sync(md), CU_ENOTFOUND);
	cu_metadata_free(&md);
	seen_fini(&seen);
	file_free(&file);
}

/* Whatever bit: the file is refused, or what is loaded is what was stored; and what can be opened can be opened again. */
static void a_flipped_bit_anywhere_is_noticed(void **state)
{
	const char *wanted = getenv("METADATA_FLIPS");
	size_t flips = wanted ? strtoul(wanted, NULL, 10) : 600, refused = 0, costly = 0;
	struct seen was = { 0 };
	cu_metadata *md = NULL;
	struct file file;

	file_new(*state, &file);
	assert_int_equal(open_metadata(file.path, &was, &md), 0);
	cu_metadata_free(&md);
	for (size_t i = 0; i < flips; i++) {
		size_t bit = (size_t)((unsigned __int128)(i * 2 + 1) * file.len * 8 / (flips * 2));
		struct seen seen = { 0 }, again = { 0 };
		int rc;

		file.bytes[bit / 8] ^= (char)(1 << bit % 8);
		put_back(&file);
		file.bytes[bit / 8] ^= (char)(1 << bit % 8);
		rc = open_metadata(file.path, &seen, &md);
		if (rc < 0) {
			if (rc != CU_ECORRUPT)
				fail_msg("bit %zu: %s", bit, cu_strerror(rc));
			refused++;
		} else {
			cu_metadata_free(&md);
			assert_same_or_damaged(&seen, &was);
			costly += memchr(seen.damaged, true, sizeof seen.damaged) || seen.damaged_definitions;
			assert_int_equal(open_metadata(file.path, &again, &md), 0);
			cu_metadata_free(&md);
		}
		seen_fini(&seen);
		seen_fini(&again);
	}
	print_message("%zu flips: %zu files refused, %zu cost some shapes, %zu nothing\n", flips, refused, costly,
		      flips - refused - costly);
	seen_fini(&was);
	file_free(&file);
}

/* The files that a killed process leaves: a new shape is in the write-ahead file. */
struct killed {
	struct file main, wal, shm;
};

static void killed_new(const char *dir, struct killed *ret_killed)
{
	struct seen seen = { 0 };
	cu_metadata *md = NULL;

	file_new(dir, &ret_killed->main);
	free(ret_killed->main.bytes);
	assert_int_equal(open_metadata(ret_killed->main.path, &seen, &md), 0);
	assert_int_equal(cu_metadata_remove_shape(md, SHAPES, NULL, NULL), 0);
	put_shape(md, SHAPES);
	assert_int_equal(cu_metadata_sync(md), 0);
	ret_killed->wal.path = cu_file_path("%s/metadata.sqlite3-wal", dir);
	ret_killed->shm.path = cu_file_path("%s/metadata.sqlite3-shm", dir);
	take(&ret_killed->main);
	take(&ret_killed->wal);
	take(&ret_killed->shm);
	cu_metadata_free(&md);
	seen_fini(&seen);
}

static void killed_free(struct killed *killed)
{
	file_free(&killed->main);
	file_free(&killed->wal);
	file_free(&killed->shm);
}

/* What is beside it, also of an earlier life, changes nothing: at the start, not when something is read or written that is gone. */
static void a_file_that_is_cut_off_is_refused(void **state)
{
	struct killed killed;
	struct seen seen = { 0 };
	cu_metadata *md = NULL;

	killed_new(*state, &killed);
	for (size_t i = 0; i < killed.main.len / 4096 * 3 * 3; i++) {
		size_t cut = (i / 9 + 1) * 4096 + i % 3 - 1, beside = i / 3 % 3;
		struct file main = { killed.main.path, killed.main.bytes, cut };
		int rc;

		if (cut >= killed.main.len)
			continue;
		put_back(&main);
		unlink(killed.wal.path);
		unlink(killed.shm.path);
		if (beside > 0)
			put_back(&killed.wal);
		if (beside > 1)
			put_back(&killed.shm);
		rc = open_metadata(main.path, &seen, &md);
		if (rc != CU_ECORRUPT)
			fail_msg("cut to %zu of %zu bytes, with %zu files: %s", cut, killed.main.len, beside,
				 cu_strerror(rc));
		cu_metadata_free(&md);
		seen_fini(&seen);
	}
	killed_free(&killed);
}

static void count_damage(void *ctx)
{
	atomic_fetch_add((atomic_uint *)ctx, 1);
}

/* The root of the index of handles. */
static size_t index_page(const char *path)
{
	sqlite3_stmt *stmt = NULL;
	sqlite3 *db = NULL;
	size_t page;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(
		sqlite3_prepare_v2(db, "SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_shape_1'", -1,
				   &stmt, NULL),
		SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	page = (size_t)sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return page;
}

static void what_the_writer_stumbles_over_is_known_at_the_next_open(void **state)
{
	char *mark = cu_file_path("%s/metadata.sqlite3-damaged", (char *)*state);
	struct cu_shape_row row = { .id = SHAPES + 1, .handle = "new" };
	struct seen seen = { 0 };
	atomic_uint found = 0;
	cu_metadata *md = NULL;
	struct file file;
	size_t page;

	file_new(*state, &file);
	page = index_page(file.path);
	memset(file.bytes + (page - 1) * 4096, 0xff, 4096);
	put_back(&file);
	assert_int_equal(open_metadata(file.path, &seen, &md), 0); /* no row is read through this index */
	cu_metadata_on_damage(md, count_damage, &found);
	assert_int_equal(cu_metadata_put_shape(md, &row, NULL, NULL), 0);
	assert_int_equal(cu_metadata_sync(md), CU_ECORRUPT);
	assert_int_equal(cu_metadata_put_shape(md, &row, NULL, NULL), 0);
	assert_int_equal(cu_metadata_sync(md), CU_ECORRUPT);
	assert_int_equal(atomic_load(&found), 1);
	cu_metadata_free(&md);
	assert_int_equal(help_size(mark), 0);
	assert_int_equal(open_metadata(file.path, &seen, &md), CU_ECORRUPT);
	assert_int_equal(unlink(mark), 0);
	seen_fini(&seen);
	assert_int_equal(open_metadata(file.path, &seen, &md), 0);
	cu_metadata_free(&md);
	seen_fini(&seen);
	file_free(&file);
	free(mark);
}

static int setup(void **state)
{
	*state = help_dir_new();
	return 0;
}

static int teardown(void **state)
{
	help_dir_free((char **)state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_changed_or_lost_row_costs_its_shape, setup, teardown),
		cmocka_unit_test_setup_teardown(a_damaged_or_lost_checkpoint_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_snapshot_is_not_recorded_over_a_damaged_row, setup, teardown),
		cmocka_unit_test_setup_teardown(a_flipped_bit_anywhere_is_noticed, setup, teardown),
		cmocka_unit_test_setup_teardown(a_file_that_is_cut_off_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(what_the_writer_stumbles_over_is_known_at_the_next_open, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
