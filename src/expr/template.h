/* template.h: where the constants stand in a clause's canonical SQL (expr.h: cu_expr_templates). */
#ifndef CU_EXPR_TEMPLATE_H
#define CU_EXPR_TEMPLATE_H

#include "expr/program.h"

/* A constant as the deparser wrote it: the literal alone, without its cast. */
struct cu_const_mark {
	uint32_t at, len;
	uint32_t constant; /* its number in the program */
};
struct cu_const_marks {
	struct cu_const_mark *list;
	uint32_t len, cap;
	bool incomplete; /* out of memory, or a constant that has no literal of its own: no template */
};

/* expr.c: as cu_expr_new() of canonical SQL; *ret_marks: list to be freed. */
int cu_expr_new_marked(cu_expr_scope *scope, const char *sql, size_t len, cu_expr **ret_expr,
		       struct cu_const_marks *ret_marks);
/* expr.c: an expr for evaluation: this program with these constants, which live in arena; takes both on success. */
cu_expr *cu_expr_of(cu_program *program, const struct cu_datum *consts, cu_arena *arena);

#endif
