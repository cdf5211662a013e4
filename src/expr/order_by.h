/* order_by.h: a subset's ORDER BY: columns of the scope, each with its direction and where NULLs go.
 *
 * Parsed by Postgres' grammar and then written anew from the checked columns, so that nothing of a client's text reaches
 * Postgres: anything but a column is refused.
 *
 * Threads: any. Cost: parsing, some ten microseconds.
 */
#ifndef CU_EXPR_ORDER_BY_H
#define CU_EXPR_ORDER_BY_H

#include "expr/expr.h"

enum cu_order_nulls { CU_ORDER_NULLS_DEFAULT, CU_ORDER_NULLS_FIRST, CU_ORDER_NULLS_LAST };

struct cu_order_key {
	uint16_t column; /* of the scope */
	bool descending;
	enum cu_order_nulls nulls;
};

struct cu_order_by {
	struct cu_order_key *keys;
	size_t keys_len;
};

/* CU_EINVAL: err says why; CU_ENOMEM. */
int cu_order_by_parse(const cu_expr_scope *scope, const char *text, size_t len, struct cu_order_by *ret_order,
		      struct cu_expr_error *err);
void cu_order_by_fini(struct cu_order_by *order);
/* "t"."c" DESC NULLS LAST, …: each column qualified, so that no name of an output column can stand for it. */
void cu_order_by_put_sql(const struct cu_order_by *order, const cu_expr_scope *scope, cu_buf *out);

#endif
