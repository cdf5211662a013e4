/* label: race */
/* Threads that parse in one scope, evaluate one expr and drop what the others still use. */
#include "expr/test_help.h"

#include <pthread.h>

static cu_expr_scope *scope;
static cu_expr *shared;

static void *work(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;
	struct cu_pg_value values[TEST_COLUMNS_LEN];
	cu_expr *mine = shared; /* a reference of this thread's own */
	struct cu_expr_row row;
	uintptr_t failures = 0;

	test_values(values);
	failures += cu_expr_row_init(&row, scope) != 0;
	for (unsigned i = 0; i < 60; i++) {
		struct cu_expr_error error = { 0 };
		cu_buf text = CU_BUF_INIT;
		cu_expr *expr = NULL;

		/* Some are refused by the parser, some by the checker, some are so deep that they get a thread. */
		switch ((seed + i) % 4) {
		case 0: cu_buf_printf(&text, "id = %u and lower(t) like 'h%%'", i); break;
		case 1: cu_buf_printf(&text, "id = %u and and", i); break;
		case 2: cu_buf_printf(&text, "nope%u = 1", i); break;
		default:
			for (unsigned d = 0; d < 80; d++)
				cu_buf_puts(&text, "not ");
			cu_buf_puts(&text, "b");
			break;
		}
		failures += (cu_expr_new(scope, text.data, text.len, NULL, 0, &expr, &error) == 0) !=
			    ((seed + i) % 4 == 0 || (seed + i) % 4 == 3);
		cu_expr_row_set(&row, values);
		failures += cu_expr_eval(mine, &row, NULL) != CU_TRUE;
		cu_expr_unref(&expr);
		cu_buf_fini(&error.message);
		cu_buf_fini(&text);
	}
	cu_expr_row_fini(&row);
	cu_expr_unref(&mine);
	return (void *)failures;
}

static void threads_share_scopes_and_exprs(void **state)
{
	static const char clause[] = "id in (1, 2, 3, 4, 5, 6) and t ilike '%ELL%' and jb @> '{\"a\": {}}'";
	pthread_t threads[4];
	void *failures;

	(void)state;
	assert_int_equal(cu_expr_new(scope, clause, sizeof clause - 1, NULL, 0, &shared, NULL), 0);
	/* The first one that ends may be the last that holds it. */
	for (size_t i = 1; i < CU_ARRAY_LEN(threads); i++)
		cu_expr_ref(shared);
	for (uintptr_t i = 0; i < CU_ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)i), 0);
	for (size_t i = 0; i < CU_ARRAY_LEN(threads); i++) {
		pthread_join(threads[i], &failures);
		assert_null(failures);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(threads_share_scopes_and_exprs) };
	int failed;

	scope = test_scope(15);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	cu_expr_scope_unref(&scope);
	return failed;
}
