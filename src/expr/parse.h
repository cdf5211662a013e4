/* parse.h: a clause's text → Postgres' raw parse tree (libpg_query).
 *
 * libpg_query, protobuf-c and our own check recurse with the tree's depth, so the depth is bounded from the tokens
 * before any of them sees the text. Any thread; libpg_query keeps its memory per thread and frees it at thread exit.
 */
#ifndef CU_EXPR_PARSE_H
#define CU_EXPR_PARSE_H

#include "expr/expr.h"

#include <pg_query/pg_query.pb-c.h>

/* What stands before the clause in the text that is parsed; node locations count from there. */
#define CU_PARSE_PREFIX "SELECT WHERE ("
#define CU_PARSE_PREFIX_LEN (sizeof(CU_PARSE_PREFIX) - 1)

/* The same for cu_parse_order_by(). */
#define CU_PARSE_ORDER_PREFIX "SELECT ORDER BY "
#define CU_PARSE_ORDER_PREFIX_LEN (sizeof(CU_PARSE_ORDER_PREFIX) - 1)

/* Levels that the tree has at most. */
int cu_parse_measure(const char *text, size_t len, unsigned *ret_levels, struct cu_expr_error *err);

struct cu_parsed {
	PgQuery__ParseResult *tree;
	const PgQuery__SelectStmt *select;
	const PgQuery__Node *clause;
};
/* Only after cu_parse_measure() let it pass. */
int cu_parse(const char *text, size_t len, struct cu_parsed *ret_parsed, struct cu_expr_error *err);
/* The select's n_sort_clause keys; measures first. */
int cu_parse_order_by(const char *text, size_t len, struct cu_parsed *ret_parsed, struct cu_expr_error *err);
void cu_parsed_free(struct cu_parsed *parsed);

/* Fills *err (may be NULL) and returns CU_EINVAL. */
int cu_expr_fail(struct cu_expr_error *err, const char *sqlstate, unsigned position, const char *fmt, ...)
	CU_PRINTF(4, 5);
/* How many bytes are valid UTF-8 without a 0 byte. */
size_t cu_parse_utf8(const char *text, size_t len);
/* The character, from 1, that begins at or holds the byte at `at`. */
unsigned cu_parse_position(const char *text, size_t len, size_t at);

#endif
