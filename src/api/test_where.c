/* A request's where clause against a shape's. label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "api/where.h"
#include "shape/test_help.h"

/* public.items, with what clauses need to know of its columns. */
static cu_definition *definition_new(void)
{
	struct cu_table table = help_table(HELP_OID);
	struct cu_column *columns = cu_xmemdup(table.columns, table.columns_len * sizeof *columns);
	struct cu_definition_request request = { 0 };
	cu_buf message = CU_BUF_INIT;
	cu_definition *def = NULL;

	for (unsigned i = 0; i < table.columns_len; i++)
		columns[i].scalar_type_oid = columns[i].type_oid;
	table.columns = columns;
	assert_int_equal(cu_definition_new(&table, &request, &def, &message), 0);
	free(columns);
	return def;
}

/* The shape of this canonical clause, NULL: none. Returns a reference. */
static cu_shape *shape_new(const char *clause)
{
	cu_definition *def = definition_new();
	struct cu_expr_error err = { .message = CU_BUF_INIT };
	cu_buf sql = CU_BUF_INIT;
	cu_expr *where = NULL;
	cu_shape *shape;

	if (clause) {
		assert_int_equal(cu_expr_new(def->scope, clause, strlen(clause), NULL, 0, &where, &err), 0);
		assert_int_equal(cu_expr_put_sql(where, &sql), 0);
	}
	shape = cu_shape_new(1, "1-1", def, clause ? sql.data : NULL, sql.len);
	cu_expr_unref(&where);
	cu_buf_fini(&sql);
	return shape;
}

static bool matches(cu_shape *shape, const char *query)
{
	struct cu_shape_params *params = NULL;
	cu_api_errors errors = CU_API_ERRORS_INIT;
	bool is;

	assert_int_equal(cu_shape_params_parse(query, strlen(query), &params, &errors), 0);
	assert_false(cu_api_errors_any(&errors));
	is = cu_api_where_matches(params, shape);
	cu_shape_params_free(&params);
	cu_api_errors_fini(&errors);
	return is;
}

#define TABLE "table=items&offset=-1&"

static void clauses_match_by_what_they_mean(void **state)
{
	cu_shape *shape = shape_new("id = 1"), *other = shape_new("name = 'x'"), *every = shape_new(NULL);

	(void)state;
	/* Twice: the second time the text is known. */
	for (unsigned i = 0; i < 2; i++) {
		assert_true(matches(shape, TABLE "where=id%3D1"));
		assert_true(matches(shape, TABLE "where=(id)%20%3D%201"));
		assert_true(matches(shape, TABLE "where=id%3D%241&params%5B1%5D=1"));
		assert_false(matches(shape, TABLE "where=id%3D%241&params%5B1%5D=2"));
		assert_false(matches(shape, TABLE "where=id%3D2"));
		assert_false(matches(shape, TABLE "where=nonsense"));
		assert_false(matches(shape, TABLE "where=id%3D%241&params%5B2%5D=1"));
		assert_false(matches(shape, TABLE));
		assert_true(matches(other, TABLE "where=name%3D%241&params%5B1%5D=x"));
		assert_false(matches(other, TABLE "where=name%3D%241&params%5B1%5D=y"));
		assert_true(matches(every, TABLE));
		assert_false(matches(every, TABLE "where=id%3D1"));
	}
	cu_shape_unref(&shape);
	cu_shape_unref(&other);
	cu_shape_unref(&every);
}

static void a_shape_that_is_being_removed_keeps_its_readers(void **state)
{
	cu_shape *shape = shape_new("id = 1");

	(void)state;
	shape->state = CU_SHAPE_REMOVING;
	assert_true(matches(shape, TABLE "where=id%3D1"));
	cu_shape_unref(&shape);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clauses_match_by_what_they_mean),
		cmocka_unit_test(a_shape_that_is_being_removed_keeps_its_readers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
