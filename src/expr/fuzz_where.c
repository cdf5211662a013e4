/* Any text and parameters over a table with a column of every type: parsed, checked, evaluated on one row, and its SQL
 * read again, which must be the same clause. Input: the text, then parameters, each after a 0 byte. */
#include "expr/test_scope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static cu_expr_scope *scope;
	static struct cu_pg_value values[TEST_COLUMNS_LEN];
	struct cu_expr_param params[8];
	size_t params_len = 0, text_len;
	const char *text = (const char *)data, *end = text + size, *at;
	struct cu_expr_error error = { 0 };
	cu_buf sql = CU_BUF_INIT, again_sql = CU_BUF_INIT;
	cu_expr *expr = NULL, *again = NULL;
	struct cu_expr_row row;

	if (scope == NULL) {
		scope = test_scope(15);
		test_values(values);
	}
	at = memchr(text, 0, size);
	text_len = at == NULL ? size : (size_t)(at - text);
	while (at != NULL && params_len < CU_ARRAY_LEN(params)) {
		const char *param = at + 1;

		at = param < end ? memchr(param, 0, (size_t)(end - param)) : NULL;
		params[params_len++] =
			(struct cu_expr_param){ param, at == NULL ? (size_t)(end - param) : (size_t)(at - param) };
	}
	if (cu_expr_new(scope, text, text_len, params, params_len, &expr, &error) == 0) {
		CU_ASSERT(cu_expr_put_sql(expr, &sql) == 0);
		CU_ASSERT(cu_expr_new(scope, sql.data, sql.len, NULL, 0, &again, &error) == 0);
		CU_ASSERT(cu_expr_put_sql(again, &again_sql) == 0);
		CU_ASSERT(strcmp(cu_buf_str(&sql), cu_buf_str(&again_sql)) == 0);
		CU_ASSERT(cu_program_equal(cu_expr_program(expr), cu_expr_program(again)));
		CU_ASSERT(cu_expr_row_init(&row, scope) == 0);
		cu_expr_row_set(&row, values);
		CU_ASSERT(cu_expr_eval(expr, &row, NULL) == cu_expr_eval(again, &row, NULL));
		cu_expr_row_fini(&row);
	}
	cu_expr_unref(&expr);
	cu_expr_unref(&again);
	cu_buf_fini(&sql);
	cu_buf_fini(&again_sql);
	cu_buf_fini(&error.message);
	return 0;
}
