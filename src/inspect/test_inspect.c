/* `copper check` says what is wrong with a directory.
 * label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "inspect/inspect.h"
#include "store/store.h"
#include "store/test_help.h"

#include <pthread.h>
#include <sqlite3.h>

static void is_durable(void *ctx, int rc)
{
	assert_int_equal(rc, 0);
	pthread_mutex_unlock(ctx);
}

/* So many transactions of so many items, and a checkpoint of them. */
static void write_checkpoint(cu_store *store, unsigned transactions, unsigned items)
{
	cu_changelog *log = cu_store_changelog(store);
	pthread_mutex_t durable = PTHREAD_MUTEX_INITIALIZER;
	struct cu_checkpoint cp = { .lsn = 1 };
	char payload[400] = "";

	cu_changelog_limit_segments(log, 2048);
	for (unsigned tx = 1; tx <= transactions; tx++) {
		for (unsigned op = 0; op < items; op++)
			assert_int_equal(cu_changelog_append_item(log, tx, op, payload, sizeof payload, NULL), 0);
		assert_int_equal(cu_changelog_append_fanout(log, &(struct cu_fanout){ .tx = tx,
										      .end_lsn = tx + 1,
										      .flags = CU_FANOUT_COMMIT }),
				 0);
	}
	assert_int_equal(cu_changelog_flush(log), 0);
	cp.log_pos = cu_changelog_end(log);
	pthread_mutex_lock(&durable);
	assert_int_equal(cu_store_checkpoint(store, &cp, is_durable, &durable), 0);
	pthread_mutex_lock(&durable);
	pthread_mutex_unlock(&durable);
}

static int check(const char *dir, cu_buf *ret_text)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int status = cu_inspect_check(dir, out);

	fclose(out);
	cu_buf_clear(ret_text);
	cu_buf_append(ret_text, text, len);
	free(text);
	return status;
}

static void copy(const char *dir, const char *from, const char *to)
{
	char *command = cu_file_path("cd %s && cp %s %s && cp %s-wal %s-wal", dir, from, to, from, to);

	assert_int_equal(system(command), 0);
	free(command);
}

/* What was sealed before the segments were dropped is not in metadata of an earlier moment. */
static void metadata_that_are_older_than_the_change_log_are_reported_and_put_aside(void **state)
{
	char *dir = help_dir_new();
	cu_store *store = NULL;
	cu_buf text = CU_BUF_INIT;

	(void)state;
	assert_int_equal(cu_store_open(dir, NULL, NULL, &store), 0);
	write_checkpoint(store, 20, 1);
	copy(dir, "metadata.sqlite3", "older");
	assert_int_equal(cu_store_drop_log(store, 4000), 0);
	assert_in_range(cu_changelog_start(cu_store_changelog(store)), 1, 4000);
	cu_store_free(&store);
	assert_int_equal(check(dir, &text), CU_INSPECT_GOOD);
	copy(dir, "older", "metadata.sqlite3");
	assert_int_equal(check(dir, &text), CU_INSPECT_DAMAGED);
	assert_non_null(strstr(cu_buf_str(&text), "the change log begins at"));
	assert_int_equal(cu_store_open(dir, NULL, NULL, &store), CU_ECORRUPT);
	assert_int_equal(cu_store_set_aside(dir, NULL), 0);
	assert_int_equal(cu_store_open(dir, NULL, NULL, &store), 0);
	cu_store_free(&store);
	cu_buf_fini(&text);
	help_dir_free(&dir);
}

static void flip(const char *dir, const char *name, long at, int mask)
{
	char *path = cu_file_path("%s/%s", dir, name);
	FILE *file = fopen(path, "r+e");
	int byte;

	assert_non_null(file);
	assert_int_equal(fseek(file, at, SEEK_SET), 0);
	byte = fgetc(file);
	assert_int_equal(fseek(file, at, SEEK_SET), 0);
	assert_int_equal(fputc(byte ^ mask, file), byte ^ mask);
	fclose(file);
	free(path);
}

static char *dir_with_two_transactions(void)
{
	char *dir = help_dir_new();
	cu_store *store = NULL;

	assert_int_equal(cu_store_open(dir, NULL, NULL, &store), 0);
	write_checkpoint(store, 2, 1);
	cu_store_free(&store);
	return dir;
}

/* A start goes well with it; but it is not as it was written. */
static void a_damaged_item_that_no_shape_has_is_reported(void **state)
{
	char *dir = dir_with_two_transactions();
	cu_buf text = CU_BUF_INIT;

	(void)state;
	flip(dir, "log/0000000000000000.seg", 100, 4);
	assert_int_equal(check(dir, &text), CU_INSPECT_DAMAGED);
	assert_non_null(strstr(cu_buf_str(&text), "damaged: 1 item of the change log"));
	cu_buf_fini(&text);
	help_dir_free(&dir);
}

/* Segments are dropped, not transactions: of the oldest one a part may be there. */
static void items_that_were_dropped_are_not_damaged(void **state)
{
	char *dir = help_dir_new();
	cu_store *store = NULL;
	cu_buf text = CU_BUF_INIT;

	(void)state;
	assert_int_equal(cu_store_open(dir, NULL, NULL, &store), 0);
	write_checkpoint(store, 2, 20);
	assert_int_equal(cu_store_drop_log(store, 5000), 0);
	assert_in_range(cu_changelog_start(cu_store_changelog(store)), 1, 5000);
	cu_store_free(&store);
	assert_int_equal(check(dir, &text), CU_INSPECT_GOOD);
	cu_buf_fini(&text);
	help_dir_free(&dir);
}

static void a_flipped_bit_of_the_format_is_damage_and_two_are_another_format(void **state)
{
	char *dir = dir_with_two_transactions();
	cu_buf text = CU_BUF_INIT;

	(void)state;
	flip(dir, "format", 2, 8);
	assert_int_equal(check(dir, &text), CU_INSPECT_DAMAGED);
	assert_non_null(strstr(cu_buf_str(&text), "damaged: format"));
	assert_non_null(strstr(cu_buf_str(&text), "4 records: 1 damaged"));
	flip(dir, "format", 3, 8);
	assert_int_equal(check(dir, &text), CU_INSPECT_CANNOT);
	cu_buf_fini(&text);
	help_dir_free(&dir);
}

static void a_format_of_zeros_is_damage(void **state)
{
	char *dir = dir_with_two_transactions(), *path = cu_file_path("%s/format", dir);
	cu_buf text = CU_BUF_INIT;

	(void)state;
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(truncate(path, sizeof CU_STORE_FORMAT - 1), 0);
	assert_int_equal(check(dir, &text), CU_INSPECT_DAMAGED);
	assert_non_null(strstr(cu_buf_str(&text), "damaged: format; a start writes it anew"));
	assert_non_null(strstr(cu_buf_str(&text), "4 records: 1 damaged"));
	cu_buf_fini(&text);
	free(path);
	help_dir_free(&dir);
}

static void metadata_of_an_older_version_are_named(void **state)
{
	char *dir = dir_with_two_transactions(), *path = cu_file_path("%s/metadata.sqlite3", dir);
	cu_buf text = CU_BUF_INIT;
	sqlite3 *db = NULL;

	(void)state;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 1", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	assert_int_equal(check(dir, &text), CU_INSPECT_CANNOT);
	assert_non_null(strstr(cu_buf_str(&text), "older copper"));
	free(path);
	cu_buf_fini(&text);
	help_dir_free(&dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(metadata_that_are_older_than_the_change_log_are_reported_and_put_aside),
		cmocka_unit_test(a_damaged_item_that_no_shape_has_is_reported),
		cmocka_unit_test(items_that_were_dropped_are_not_damaged),
		cmocka_unit_test(a_format_of_zeros_is_damage),
		cmocka_unit_test(metadata_of_an_older_version_are_named),
		cmocka_unit_test(a_flipped_bit_of_the_format_is_damage_and_two_are_another_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
