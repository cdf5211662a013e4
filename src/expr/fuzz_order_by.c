/* Any text as ORDER BY over a table with a column of every type: whatever is accepted is written as SQL that reads back as
 * the same. */
#include "expr/order_by.h"
#include "expr/test_scope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static cu_expr_scope *scope;
	struct cu_order_by order = { NULL, 0 }, again = { NULL, 0 };
	struct cu_expr_error error = { 0 };
	cu_buf sql = CU_BUF_INIT, again_sql = CU_BUF_INIT;

	if (scope == NULL)
		scope = test_scope(15);
	if (cu_order_by_parse(scope, (const char *)data, size, &order, &error) == 0) {
		CU_ASSERT(order.keys_len > 0);
		cu_order_by_put_sql(&order, scope, &sql);
		if (sql.len <= CU_ORDER_BY_BYTES_MAX) {
			CU_ASSERT(cu_order_by_parse(scope, sql.data, sql.len, &again, &error) == 0);
			cu_order_by_put_sql(&again, scope, &again_sql);
			CU_ASSERT(strcmp(cu_buf_str(&sql), cu_buf_str(&again_sql)) == 0);
		}
	} else {
		CU_ASSERT(order.keys == NULL && error.message.len > 0);
	}
	cu_order_by_fini(&order);
	cu_order_by_fini(&again);
	cu_buf_fini(&sql);
	cu_buf_fini(&again_sql);
	cu_buf_fini(&error.message);
	return 0;
}
