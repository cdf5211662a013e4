/* Shapes come and go: one per definition, durable before anyone is told, gone only once that is durable.
 * label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "shape/test_help.h"
#include "store/test_help.h"

#include <semaphore.h>
#include <sqlite3.h>

#define LOOPS 5u

/* Waking is where a reader looks again: what it would see then is written down. */
struct world {
	char *dir;
	cu_store *store;
	cu_shape_set *set;
	_Atomic unsigned created, forgotten, woken;
	_Atomic uint64_t woken_loops;
	cu_shape *watched;
	struct cu_shape_status seen; /* of the watched shape, at the last wake */
};

static void on_create(void *ctx, cu_shape *shape)
{
	struct world *w = ctx;

	assert_int_equal(cu_shape_status(shape).state, CU_SHAPE_CREATING);
	w->created++;
}

static void on_forget(void *ctx, cu_shape *shape)
{
	struct world *w = ctx;

	assert_int_not_equal(cu_shape_status(shape).state, CU_SHAPE_LIVE);
	w->forgotten++;
}

static void on_wake(void *ctx, uint64_t shape_id, uint64_t loops)
{
	struct world *w = ctx;

	if (w->watched) {
		CU_ASSERT(shape_id == w->watched->id);
		w->seen = cu_shape_status(w->watched);
	}
	w->woken++;
	w->woken_loops = loops;
}

static int load_definition(void *ctx, uint64_t id, const void *body, size_t len)
{
	struct world *w = ctx;

	return cu_shape_set_restore_definition(w->set, id, body, len);
}

static int load(void *ctx, const struct cu_shape_row *row)
{
	struct world *w = ctx;

	return row->snapshot_complete ? cu_shape_set_restore(w->set, row) : 0;
}

static void open_world(struct world *w)
{
	struct cu_shape_set_opts opts = {
		.chunk_bytes = 1000, .create = on_create, .forget = on_forget, .wake = on_wake, .ctx = w
	};
	struct cu_store_loader loader = { .metadata = { .ctx = w, .definition = load_definition, .shape = load } };

	w->set = cu_shape_set_new(&opts);
	assert_int_equal(cu_store_open(w->dir, NULL, &loader, &w->store), 0);
	cu_shape_set_end_restore(w->set, w->store, 0);
}

static void close_world(struct world *w)
{
	cu_store_free(&w->store);
	cu_shape_set_free(&w->set);
}

static struct world *world_new(void)
{
	struct world *w = cu_xzalloc(sizeof *w);

	w->dir = help_dir_new();
	open_world(w);
	return w;
}

static void world_free(struct world *w)
{
	close_world(w);
	help_dir_free(&w->dir);
	free(w);
}

static void settle(struct world *w)
{
	assert_int_equal(cu_metadata_sync(cu_store_metadata(w->store)), 0);
}

static void post(void *ctx, int rc)
{
	CU_ASSERT(rc == 0);
	sem_post(ctx);
}

/* Waits until the removals asked for before are over: their `done` calls come in order. */
static void settle_removals(struct world *w)
{
	sem_t over;

	sem_init(&over, 0, 0);
	assert_int_equal(cu_store_remove_shape(w->store, 123456789, post, &over), 0);
	sem_wait(&over);
	sem_destroy(&over);
}

static void asking_twice_gives_one_shape(void **state)
{
	struct world *w = world_new();
	cu_shape *first = help_create(w->set, help_definition(1, false));
	cu_shape *again = help_create(w->set, help_definition(1, false));
	cu_shape *other = help_create(w->set, help_definition(1, true));
	cu_shape *third = help_create(w->set, help_definition(2, false)), *found;
	cu_definition *def;

	(void)state;
	assert_ptr_equal(first, again);
	assert_ptr_not_equal(first, other);
	assert_ptr_not_equal(first, third);
	assert_int_equal(w->created, 3);
	assert_int_equal(cu_shape_set_len(w->set), 3);
	found = cu_shape_set_by_handle(w->set, first->handle);
	assert_ptr_equal(found, first);
	cu_shape_unref(&found);
	found = cu_shape_set_by_id(w->set, other->id);
	assert_ptr_equal(found, other);
	cu_shape_unref(&found);
	def = cu_shape_set_match(w->set, "public", "items", &(struct cu_definition_request){ .replica_full = true });
	assert_ptr_equal(def, other->def);
	found = cu_shape_set_find(w->set, def, NULL);
	assert_ptr_equal(found, other);
	cu_shape_set_leave_definition(w->set, &def);
	cu_shape_unref(&found);
	assert_null(cu_shape_set_by_handle(w->set, "nobody"));
	assert_null(cu_shape_set_by_id(w->set, 999));
	assert_null(
		cu_shape_set_match(w->set, "public", "nothing", &(struct cu_definition_request){ .columns = NULL }));
	settle(w);
	cu_shape_unref(&first);
	cu_shape_unref(&again);
	cu_shape_unref(&other);
	cu_shape_unref(&third);
	world_free(w);
}

static void a_waiting_reader_is_woken_when_the_shape_is_durable(void **state)
{
	struct world *w = world_new();
	cu_shape *shape = help_create(w->set, help_definition(1, false));

	(void)state;
	w->watched = shape;
	atomic_fetch_or(&shape->waiting_loops, LOOPS);
	settle(w);
	assert_true(cu_shape_status(shape).durable);
	/* The record may have been stored before the bit was set; then the reader's own look, which comes after, saw it. */
	if (w->woken) {
		assert_true(w->seen.durable);
		assert_true(w->woken_loops == LOOPS);
		assert_true(shape->waiting_loops == 0);
	}
	cu_shape_unref(&shape);
	world_free(w);
}

static void a_removal_is_told_only_once_it_is_durable(void **state)
{
	struct world *w = world_new();
	cu_shape *shape = help_create(w->set, help_definition(1, false)), *found, *successor;
	char *handle = cu_xstrdup(shape->handle);

	(void)state;
	settle(w);
	w->watched = shape;
	atomic_store(&shape->waiting_loops, LOOPS);
	cu_shape_set_remove(w->set, shape, "a test", NULL);
	assert_int_equal(w->forgotten, 1);
	/* No longer by definition, from the moment of the call: the next request makes a new one. */
	successor = help_create(w->set, help_definition(1, false));
	assert_ptr_not_equal(successor, shape);
	assert_string_not_equal(successor->handle, handle);
	settle_removals(w);
	assert_int_equal(w->woken, 1);
	assert_int_equal(w->seen.state, CU_SHAPE_GONE);
	assert_int_equal(cu_shape_status(shape).state, CU_SHAPE_GONE);
	found = cu_shape_set_by_handle(w->set, handle);
	assert_null(found);
	assert_int_equal(cu_shape_set_len(w->set), 1);
	cu_shape_unref(&shape);
	cu_shape_unref(&successor);
	free(handle);
	world_free(w);
}

static void removing_twice_is_removing_once(void **state)
{
	struct world *w = world_new();
	cu_shape *shape = help_create(w->set, help_definition(1, false));
	struct cu_shape_failure first = { 400, cu_xstrdup("the first reason") },
				second = { 503, cu_xstrdup("another") };

	(void)state;
	settle(w);
	cu_shape_set_remove(w->set, shape, "a test", &first);
	cu_shape_set_remove(w->set, shape, "a test", &second); /* freed, not kept */
	cu_shape_set_remove(w->set, shape, "a test", NULL);
	settle_removals(w);
	cu_shape_set_remove(w->set, shape, "a test", NULL);
	settle_removals(w);
	assert_int_equal(w->forgotten, 1);
	assert_int_equal(cu_shape_failure(shape)->status, 400);
	assert_string_equal(cu_shape_failure(shape)->message, "the first reason");
	assert_int_equal(cu_shape_set_len(w->set), 0);
	cu_shape_unref(&shape);
	world_free(w);
}

static void remove_all_removes_each(void **state)
{
	struct world *w = world_new();

	(void)state;
	for (uint32_t oid = 1; oid <= 100; oid++) {
		cu_shape *shape = help_create(w->set, help_definition(oid, oid % 2));

		cu_shape_unref(&shape);
	}
	cu_shape_set_remove_all(w->set, "a test");
	assert_int_equal(w->forgotten, 100);
	settle_removals(w);
	assert_int_equal(cu_shape_set_len(w->set), 0);
	world_free(w);
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void handles_are_unique_and_digits_dash_digits(void **state)
{
	struct world *w = world_new();
	char *handles[300];

	(void)state;
	for (uint32_t i = 0; i < CU_ARRAY_LEN(handles); i++) {
		/* the same definition again and again, at once */
		cu_shape *shape = help_create(w->set, help_definition(1 + i % 3, false));
		size_t digits = strspn(shape->handle, "0123456789");

		assert_true(digits > 0 && shape->handle[digits] == '-');
		assert_int_equal(strspn(shape->handle + digits + 1, "0123456789"), strlen(shape->handle) - digits - 1);
		handles[i] = cu_xstrdup(shape->handle);
		cu_shape_set_remove(w->set, shape, "a test", NULL);
		cu_shape_unref(&shape);
	}
	qsort(handles, CU_ARRAY_LEN(handles), sizeof *handles, compare_texts);
	for (size_t i = 0; i < CU_ARRAY_LEN(handles); i++) {
		if (i)
			assert_string_not_equal(handles[i], handles[i - 1]);
	}
	for (size_t i = 0; i < CU_ARRAY_LEN(handles); i++)
		free(handles[i]);
	settle_removals(w);
	world_free(w);
}

static void a_clock_set_back_makes_no_handle_twice(void **state)
{
	struct world *w = world_new();
	cu_shape *stored, *next;

	(void)state;
	/* of an earlier run, whose clock was far ahead */
	stored = help_restore(w->set, 900, "17-99999999999999999", help_definition(7, false), 1, 1, "");
	next = help_create(w->set, help_definition(8, false));
	assert_true(strtoull(strchr(next->handle, '-') + 1, NULL, 10) > UINT64_C(99999999999999999));
	settle(w);
	cu_shape_unref(&stored);
	cu_shape_unref(&next);
	world_free(w);
}

static void stored_shapes_come_back_and_interrupted_ones_do_not(void **state)
{
	static const struct cu_chunk_info chunks[] = { { 100, 3, 0xabc }, { 50, 1, 0xdef } };
	struct world *w = world_new();
	const struct cu_snapshot_info snapshot = {
		.xmin = 100, .xmax = 110, .lsn = 5000, .xip = "103,105", .chunks_len = 2, .chunks = chunks
	};
	cu_shape *complete = help_create(w->set, help_definition(1, true));
	cu_shape *interrupted = help_create(w->set, help_definition(2, true)), *back;
	uint64_t id = complete->id;
	char *handle = cu_xstrdup(complete->handle);

	(void)state;
	assert_int_equal(cu_metadata_set_snapshot(cu_store_metadata(w->store), id, &snapshot, NULL, NULL), 0);
	settle(w);
	cu_shape_unref(&complete);
	cu_shape_unref(&interrupted);
	close_world(w);
	open_world(w);
	assert_int_equal(cu_shape_set_len(w->set), 1);
	back = cu_shape_set_by_handle(w->set, handle);
	assert_non_null(back);
	assert_int_equal(back->id, id);
	assert_int_equal(back->state, CU_SHAPE_LIVE);
	assert_true(back->durable && back->snapshot_complete && cu_shape_range(back));
	assert_true(back->def->replica_full);
	assert_int_equal(back->chunks_len, 2);
	assert_true(cu_shape_holds(back, 104, 1) && !cu_shape_holds(back, 105, 1) && !cu_shape_holds(back, 110, 1));
	assert_int_equal(cu_shape_range(back)->lsn, 5000);
	assert_false(cu_shape_holds(back, 104, 5000));
	cu_shape_set_drop_ranges(w->set, 4999); /* a transaction that it holds may still come */
	assert_true(cu_shape_holds(back, 104, 1));
	cu_shape_set_drop_ranges(w->set, 5000);
	assert_null(back->birth);
	assert_false(cu_shape_holds(back, 104, 1));
	complete = help_create(w->set, help_definition(1, true));
	assert_ptr_equal(complete, back);
	cu_shape_unref(&complete);
	complete = help_create(w->set, help_definition(3, true));
	assert_true(complete->id > id);
	settle(w);
	cu_shape_unref(&complete);
	cu_shape_unref(&back);
	free(handle);
	world_free(w);
}

static void a_removed_shape_stays_removed_after_a_restart(void **state)
{
	const struct cu_snapshot_info snapshot = { .xmin = 1, .xmax = 1, .xip = "" };
	struct world *w = world_new();
	cu_shape *shape = help_create(w->set, help_definition(1, true));

	(void)state;
	assert_int_equal(cu_metadata_set_snapshot(cu_store_metadata(w->store), shape->id, &snapshot, NULL, NULL), 0);
	cu_shape_set_remove(w->set, shape, "a test", NULL);
	settle_removals(w);
	cu_shape_unref(&shape);
	close_world(w);
	open_world(w);
	assert_int_equal(cu_shape_set_len(w->set), 0);
	world_free(w);
}

/* This statement on a shape's row fails until the setting "disk" is there. */
static void break_rows(struct world *w, const char *statement)
{
	char *path = cu_file_path("%s/metadata.sqlite3", w->dir);
	sqlite3 *db = NULL;
	cu_buf sql = CU_BUF_INIT;

	cu_buf_printf(&sql,
		      "CREATE TRIGGER broken BEFORE %s ON shape "
		      "WHEN NOT EXISTS (SELECT 1 FROM setting WHERE key = 'disk') "
		      "BEGIN SELECT RAISE(ABORT, 'the disk'); END",
		      statement);
	close_world(w);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, cu_buf_str(&sql), NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	free(path);
	cu_buf_fini(&sql);
	open_world(w);
}

/* A crash between a removal that failed and its repetition leaves two: each is some row's. */
static void of_two_equal_definitions_both_are_kept(void **state)
{
	const struct cu_snapshot_info snapshot = { .xmin = 1, .xmax = 1, .xip = "" };
	struct world *w = world_new();
	cu_definition *def = help_definition(1, false);
	cu_metadata *md = cu_store_metadata(w->store);
	cu_buf json = CU_BUF_INIT;

	(void)state;
	assert_int_equal(cu_definition_put_json(def, &json), 0);
	for (uint64_t i = 1; i <= 2; i++) {
		char handle[] = { (char)('0' + i), '-', '1', '\0' };
		struct cu_shape_row row = { .id = i, .handle = handle, .definition_id = i };

		assert_int_equal(cu_metadata_put_definition(md, i, json.data, json.len, NULL, NULL), 0);
		assert_int_equal(cu_metadata_put_shape(md, &row, NULL, NULL), 0);
		assert_int_equal(cu_metadata_set_snapshot(md, i, &snapshot, NULL, NULL), 0);
	}
	settle(w);
	for (unsigned i = 0; i < 2; i++) {
		close_world(w);
		open_world(w);
		settle(w);
		assert_int_equal(cu_shape_set_len(w->set), 2);
	}
	cu_buf_fini(&json);
	cu_definition_unref(&def);
	world_free(w);
}

static void hold_writer(void *ctx, int rc)
{
	(void)rc;
	sem_wait(ctx);
}

/* Both the record and the removal are on their way when the first fails: the shape goes once, not twice. */
static void a_shape_that_is_removed_before_it_could_not_be_stored_goes_once(void **state)
{
	struct world *w = world_new();
	cu_shape *shape;
	sem_t hold;

	(void)state;
	break_rows(w, "INSERT");
	sem_init(&hold, 0, 0);
	assert_int_equal(cu_metadata_set(cu_store_metadata(w->store), "held", "", 0, hold_writer, &hold), 0);
	shape = help_create(w->set, help_definition(1, true));
	cu_shape_set_remove(w->set, shape, "a test", NULL);
	sem_post(&hold);
	cu_metadata_sync(cu_store_metadata(w->store));
	settle_removals(w);
	assert_int_equal(cu_shape_status(shape).state, CU_SHAPE_GONE);
	assert_int_equal(atomic_load(&shape->refs), 1); /* ours */
	cu_shape_unref(&shape);
	assert_int_equal(cu_shape_set_len(w->set), 0);
	world_free(w);
	sem_destroy(&hold);
}

/* A request's thread has others to serve. */
static void while_the_metadata_are_behind_shapes_are_refused_and_removed_without_waiting(void **state)
{
	struct world *w = world_new();
	cu_metadata *md = cu_store_metadata(w->store);
	cu_shape *first = help_create(w->set, help_definition(1, true)), *shape;
	sem_t hold;

	(void)state;
	settle(w);
	sem_init(&hold, 0, 0);
	/* The first puts the writer to sleep; whatever it took with that is not in the queue. */
	assert_int_equal(cu_metadata_set(md, "held", "", 0, hold_writer, &hold), 0);
	while (cu_metadata_put_definition(md, 99, "{}", 2, NULL, NULL) == 0)
		;
	assert_int_equal(cu_metadata_put_definition(md, 99, "{}", 2, NULL, NULL), CU_EFULL);
	shape = help_create(w->set, help_definition(2, true));
	assert_int_equal(cu_shape_status(shape).state, CU_SHAPE_GONE);
	assert_int_equal(cu_shape_failure(shape)->status, 503);
	assert_non_null(strstr(cu_shape_failure(shape)->message, "Too many"));
	assert_int_equal(w->created, 1);
	cu_shape_set_remove(w->set, first, "a test", NULL);
	sem_post(&hold);
	settle_removals(w);
	assert_int_equal(cu_shape_status(first).state, CU_SHAPE_GONE);
	cu_shape_unref(&shape);
	shape = help_create(w->set, help_definition(2, true));
	settle(w);
	assert_true(shape->durable);
	cu_shape_unref(&shape);
	cu_shape_unref(&first);
	world_free(w);
	sem_destroy(&hold);
}

static void a_removal_that_could_not_be_stored_is_tried_again(void **state)
{
	const struct cu_snapshot_info snapshot = { .xmin = 1, .xmax = 1, .xip = "" };
	struct world *w = world_new();
	cu_shape *shape;

	(void)state;
	break_rows(w, "DELETE");
	shape = help_create(w->set, help_definition(1, true));
	assert_int_equal(cu_metadata_set_snapshot(cu_store_metadata(w->store), shape->id, &snapshot, NULL, NULL), 0);
	settle(w);
	assert_int_equal(cu_shape_set_retry_removals(w->set), 0);
	cu_shape_set_remove(w->set, shape, "a test", NULL);
	cu_metadata_sync(cu_store_metadata(w->store));
	assert_int_equal(cu_shape_set_retry_removals(w->set), 1); /* no checkpoint may be made */
	cu_metadata_sync(cu_store_metadata(w->store));
	assert_int_equal(cu_metadata_set(cu_store_metadata(w->store), "disk", "ok", 2, NULL, NULL), 0);
	assert_int_equal(cu_shape_set_retry_removals(w->set), 1);
	settle(w);
	assert_int_equal(cu_shape_set_retry_removals(w->set), 0);
	cu_shape_unref(&shape);
	close_world(w);
	open_world(w);
	assert_int_equal(cu_shape_set_len(w->set), 0);
	world_free(w);
}

static void a_damaged_row_is_corrupt_and_adds_nothing(void **state)
{
	struct world *w = world_new();
	cu_definition *def = help_definition(1, false);
	cu_buf json = CU_BUF_INIT;
	struct cu_shape_row row = { .id = 5,
				    .handle = "1-5",
				    .definition_id = 3,
				    .snapshot_complete = true,
				    .snapshot = { .xmin = 1, .xmax = 2, .xip = "" } };

	(void)state;
	assert_int_equal(cu_definition_put_json(def, &json), 0);
	assert_int_equal(cu_shape_set_restore_definition(w->set, 0, json.data, json.len), CU_ECORRUPT);
	assert_int_equal(cu_shape_set_restore_definition(w->set, 2, "{}", 2), CU_ECORRUPT);
	assert_int_equal(cu_shape_set_restore_definition(w->set, 3, json.data, json.len), 0);
	row.definition_id = 2;
	assert_int_equal(cu_shape_set_restore(w->set, &row), CU_ECORRUPT);
	row.definition_id = 3;
	row.snapshot.xip = "1,x";
	assert_int_equal(cu_shape_set_restore(w->set, &row), CU_ECORRUPT);
	row.snapshot.xip = "";
	row.snapshot.xmin = 3;
	assert_int_equal(cu_shape_set_restore(w->set, &row), CU_ECORRUPT);
	assert_int_equal(cu_shape_set_len(w->set), 0);
	row.snapshot.xmin = 1;
	assert_int_equal(cu_shape_set_restore(w->set, &row), 0);
	assert_int_equal(cu_shape_set_len(w->set), 1);
	cu_definition_unref(&def);
	cu_buf_fini(&json);
	world_free(w);
}

/* A removal that the disk refused leaves the row of a shape whose definition is gone; at the next start its removal may be
 * refused again. */
static void a_definition_that_a_stored_shape_misses_is_not_replaced_by_a_new_one(void **state)
{
	struct world *w = world_new();
	struct cu_shape_row row = { .id = 5,
				    .handle = "1-5",
				    .definition_id = 7,
				    .snapshot_complete = true,
				    .snapshot = { .xmin = 1, .xmax = 2, .xip = "" } };
	cu_definition *def;

	(void)state;
	assert_int_equal(cu_shape_set_restore(w->set, &row), CU_ECORRUPT);
	def = cu_shape_set_enter_definition(w->set, help_definition(1, false));
	assert_true(def->id > 7);
	row.definition_id = 9;
	row.snapshot.xmin = 3; /* a damaged one counts as well */
	assert_int_equal(cu_shape_set_restore(w->set, &row), CU_ECORRUPT);
	cu_shape_set_leave_definition(w->set, &def);
	def = cu_shape_set_enter_definition(w->set, help_definition(2, false));
	assert_true(def->id > 9);
	cu_shape_set_leave_definition(w->set, &def);
	world_free(w);
}

static void count_success(void *ctx, int rc)
{
	if (rc == 0)
		atomic_fetch_add((_Atomic unsigned *)ctx, 1);
}

/* It may have been asked for before the removal failed. A crash would bring the shape back, without what it missed. */
static void no_checkpoint_is_stored_behind_a_removal_that_was_not(void **state)
{
	struct world *w = world_new();
	_Atomic unsigned stored = 0;
	struct cu_checkpoint cp = { .lsn = 1000, .system_id = 1, .timeline = 1 };
	cu_shape *shape;

	(void)state;
	break_rows(w, "DELETE");
	shape = help_create(w->set, help_definition(1, false));
	settle(w);
	cp.removals_failed = cu_metadata_removals_failed(cu_store_metadata(w->store));
	assert_int_equal(cu_shape_set_retry_removals(w->set), 0);
	cu_shape_set_remove(w->set, shape, "asked for", NULL);
	assert_int_equal(cu_metadata_sync(cu_store_metadata(w->store)), CU_EIO);
	assert_int_equal(cu_metadata_put_checkpoint(cu_store_metadata(w->store), &cp, count_success, &stored), 0);
	cu_metadata_sync(cu_store_metadata(w->store));
	assert_int_equal(stored, 0);
	help_metadata_exec(w->dir, "DROP TRIGGER broken");
	cp.removals_failed = cu_metadata_removals_failed(cu_store_metadata(w->store));
	cu_shape_set_retry_removals(w->set);
	settle(w);
	assert_int_equal(cu_shape_set_retry_removals(w->set), 0);
	assert_int_equal(cu_metadata_put_checkpoint(cu_store_metadata(w->store), &cp, count_success, &stored), 0);
	settle(w);
	assert_int_equal(stored, 1);
	cu_shape_unref(&shape);
	world_free(w);
}

static void waking_asks_each_loop_once(void **state)
{
	struct world *w = world_new();
	cu_shape *shape = help_restore(w->set, 901, "1-1", help_definition(1, false), 1, 1, "");

	(void)state;
	cu_shape_set_wake(w->set, shape);
	assert_int_equal(w->woken, 0);
	atomic_fetch_or(&shape->waiting_loops, LOOPS);
	cu_shape_set_wake(w->set, shape);
	cu_shape_set_wake(w->set, shape);
	assert_int_equal(w->woken, 1);
	assert_true(w->woken_loops == LOOPS);
	cu_shape_unref(&shape);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asking_twice_gives_one_shape),
		cmocka_unit_test(a_waiting_reader_is_woken_when_the_shape_is_durable),
		cmocka_unit_test(a_removal_is_told_only_once_it_is_durable),
		cmocka_unit_test(removing_twice_is_removing_once),
		cmocka_unit_test(remove_all_removes_each),
		cmocka_unit_test(handles_are_unique_and_digits_dash_digits),
		cmocka_unit_test(a_clock_set_back_makes_no_handle_twice),
		cmocka_unit_test(stored_shapes_come_back_and_interrupted_ones_do_not),
		cmocka_unit_test(a_removed_shape_stays_removed_after_a_restart),
		cmocka_unit_test(of_two_equal_definitions_both_are_kept),
		cmocka_unit_test(a_shape_that_is_removed_before_it_could_not_be_stored_goes_once),
		cmocka_unit_test(while_the_metadata_are_behind_shapes_are_refused_and_removed_without_waiting),
		cmocka_unit_test(a_removal_that_could_not_be_stored_is_tried_again),
		cmocka_unit_test(a_damaged_row_is_corrupt_and_adds_nothing),
		cmocka_unit_test(a_definition_that_a_stored_shape_misses_is_not_replaced_by_a_new_one),
		cmocka_unit_test(no_checkpoint_is_stored_behind_a_removal_that_was_not),
		cmocka_unit_test(waking_asks_each_loop_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
