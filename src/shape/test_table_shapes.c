/* A table that was just read ends the shapes that it does not fit, and none that was made since.
 * label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "shape/table_shapes.h"
#include "shape/test_help.h"
#include "store/test_help.h"

struct world {
	char *dir;
	cu_store *store;
	cu_shape_set *set;
	cu_shape *all;       /* of every column of public.items */
	cu_shape *listed;    /* of id and name */
	cu_shape *elsewhere; /* of another table of that name, with another oid */
};

static void do_nothing(void *ctx, cu_shape *shape)
{
	(void)ctx;
	(void)shape;
}

static void wake_nobody(void *ctx, uint64_t shape_id, uint64_t loops)
{
	(void)ctx;
	(void)shape_id;
	(void)loops;
}

static cu_definition *listed_definition(void)
{
	const char *columns[] = { "id", "name" };
	struct cu_table table = help_table(HELP_OID);
	struct cu_definition_request request = { .columns = columns, .columns_len = 2 };
	cu_buf message = CU_BUF_INIT;
	cu_definition *def = NULL;

	assert_int_equal(cu_definition_new(&table, &request, &def, &message), 0);
	return def;
}

static struct world world_new(void)
{
	struct cu_shape_set_opts opts = {
		.chunk_bytes = 4000, .create = do_nothing, .forget = do_nothing, .wake = wake_nobody
	};
	struct world w = { .dir = help_dir_new(), .set = cu_shape_set_new(&opts) };

	assert_int_equal(cu_store_open(w.dir, NULL, NULL, &w.store), 0);
	cu_shape_set_end_restore(w.set, w.store, 0);
	w.all = help_create(w.set, help_definition(HELP_OID, false));
	w.listed = help_create(w.set, listed_definition());
	w.elsewhere = help_create(w.set, help_definition(HELP_OID + 1, false));
	return w;
}

static void world_free(struct world *w)
{
	cu_shape_unref(&w->all);
	cu_shape_unref(&w->listed);
	cu_shape_unref(&w->elsewhere);
	cu_store_free(&w->store);
	cu_shape_set_free(&w->set);
	help_dir_free(&w->dir);
}

static bool is_removed(cu_shape *shape)
{
	return cu_shape_status(shape).state > CU_SHAPE_LIVE;
}

static void a_table_that_is_as_it_was_ends_only_its_namesakes(void **state)
{
	struct world w = world_new();
	struct cu_table table = help_table(HELP_OID);

	(void)state;
	cu_table_shapes_compare(w.set, &table, cu_table_shapes_mark(w.set));
	assert_false(is_removed(w.all));
	assert_false(is_removed(w.listed));
	assert_true(is_removed(w.elsewhere));
	world_free(&w);
}

static void a_column_that_changed_ends_the_shapes_that_have_it(void **state)
{
	struct world w = world_new();
	struct cu_table table = help_table(HELP_OID);
	struct cu_column columns[3];

	(void)state;
	memcpy(columns, table.columns, sizeof columns);
	columns[2].typmod = 24;
	table.columns = columns;
	cu_table_shapes_compare(w.set, &table, cu_table_shapes_mark(w.set));
	assert_true(is_removed(w.all));
	assert_false(is_removed(w.listed));
	world_free(&w);
}

static void a_table_with_another_name_ends_all_of_its_shapes(void **state)
{
	struct world w = world_new();
	struct cu_table table = help_table(HELP_OID);

	(void)state;
	table.name = "renamed";
	cu_table_shapes_compare(w.set, &table, cu_table_shapes_mark(w.set));
	assert_true(is_removed(w.all));
	assert_true(is_removed(w.listed));
	assert_false(is_removed(w.elsewhere));
	cu_table_shapes_missing(w.set, "private", "items", cu_table_shapes_mark(w.set));
	assert_false(is_removed(w.elsewhere));
	cu_table_shapes_missing(w.set, "public", "items", cu_table_shapes_mark(w.set));
	assert_true(is_removed(w.elsewhere));
	world_free(&w);
}

/* They may be of a table that looks otherwise since. */
static void shapes_that_were_made_after_the_mark_stay(void **state)
{
	struct world w = world_new();
	uint64_t mark = cu_table_shapes_mark(w.set);
	cu_shape *later = help_create(w.set, help_definition(HELP_OID, true));

	(void)state;
	cu_table_shapes_missing(w.set, "public", "items", mark);
	assert_true(is_removed(w.all));
	assert_true(is_removed(w.elsewhere));
	assert_false(is_removed(later));
	cu_table_shapes_remove(w.set, later->def, mark, "the test");
	assert_false(is_removed(later));
	cu_table_shapes_remove(w.set, later->def, cu_table_shapes_mark(w.set), "the test");
	assert_true(is_removed(later));
	cu_shape_unref(&later);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_table_that_is_as_it_was_ends_only_its_namesakes),
		cmocka_unit_test(a_column_that_changed_ends_the_shapes_that_have_it),
		cmocka_unit_test(a_table_with_another_name_ends_all_of_its_shapes),
		cmocka_unit_test(shapes_that_were_made_after_the_mark_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
