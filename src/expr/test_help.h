/* test_help.h: asks a clause of the table in test_scope.h. */
#ifndef CU_EXPR_TEST_HELP_H
#define CU_EXPR_TEST_HELP_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "expr/test_scope.h"

/* What became of a clause. */
struct test_answer {
	int rc; /* of cu_expr_new */
	enum cu_truth truth;
	struct cu_expr_error error;
	struct cu_value_error row_error;
};
/* Evaluates a clause on the row, and on the way checks that its SQL, read again, is the same clause. */
static inline void test_ask(cu_expr_scope *scope, const char *text, const struct cu_expr_param *params,
			    size_t params_len, struct test_answer *ret)
{
	struct cu_pg_value values[TEST_COLUMNS_LEN];
	struct cu_expr_error error = { 0 };
	cu_buf sql = CU_BUF_INIT, again_sql = CU_BUF_INIT;
	cu_expr *expr = NULL, *again = NULL;
	struct cu_expr_row row;

	*ret = (struct test_answer){ 0 };
	ret->rc = cu_expr_new(scope, text, strlen(text), params, params_len, &expr, &ret->error);
	if (ret->rc < 0)
		return;
	assert_int_equal(cu_expr_put_sql(expr, &sql), 0);
	if (cu_expr_new(scope, sql.data, sql.len, NULL, 0, &again, &error) < 0)
		fail_msg("%s: its SQL %s is refused: %s", text, cu_buf_str(&sql), cu_buf_str(&error.message));
	assert_int_equal(cu_expr_put_sql(again, &again_sql), 0);
	if (strcmp(cu_buf_str(&sql), cu_buf_str(&again_sql)) != 0)
		fail_msg("%s: its SQL %s becomes %s", text, cu_buf_str(&sql), cu_buf_str(&again_sql));
	if (!cu_program_equal(cu_expr_program(expr), cu_expr_program(again)))
		fail_msg("%s: its SQL %s has another program", text, cu_buf_str(&sql));
	test_values(values);
	assert_int_equal(cu_expr_row_init(&row, scope), 0);
	cu_expr_row_set(&row, values);
	ret->truth = cu_expr_eval(expr, &row, &ret->row_error);
	assert_int_equal(cu_expr_eval(again, &row, NULL), ret->truth);
	cu_expr_row_fini(&row);
	cu_expr_unref(&expr);
	cu_expr_unref(&again);
	cu_buf_fini(&sql);
	cu_buf_fini(&again_sql);
	cu_buf_fini(&error.message);
}

#endif
