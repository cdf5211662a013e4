/* program.h: a checked tree as a flat list of steps over registers, and its constants apart from it.
 *
 *	a = 7 AND lower(b) = 'x'      r0 = true;  r1 = a, r2 = const 0, r1 = int4eq(r1, r2);  and r0, r1 else end; …
 *
 * Two clauses of one scope that differ in their constants alone have equal programs: whoever holds many of them keeps one
 * program (cu_expr_use_program). Steps only jump forward, so an evaluation ends. Immutable, counted, any thread.
 */
#ifndef CU_EXPR_PROGRAM_H
#define CU_EXPR_PROGRAM_H

#include "expr/tree.h"
#include "value/collation.h"

enum cu_step_op {
	CU_STEP_COLUMN = 1, /* dst = column n */
	CU_STEP_CONST,      /* dst = constant n */
	CU_STEP_COPY,       /* dst = src */
	CU_STEP_TRUE,       /* dst = sub */
	CU_STEP_CALL,       /* dst = call(src, src + 1, …) */
	CU_STEP_AND,        /* src is one more argument of the AND in dst; decided: jump */
	CU_STEP_OR,
	CU_STEP_WRAP, /* dst = src as the int4 (sub) or oid that its bits are */
	CU_STEP_NOT,
	CU_STEP_NULLTEST,
	CU_STEP_BOOLTEST,
	CU_STEP_JUMP,
	CU_STEP_JUMP_UNLESS,   /* src is not true */
	CU_STEP_JUMP_NOT_NULL, /* src */
	CU_STEP_JUMP_NULL,     /* src NULL: dst = NULL, jump */
	CU_STEP_DECIDE,        /* src NULL: dst = NULL, jump; src true: dst = sub, jump */
	CU_STEP_MINMAX,        /* dst = the lesser (sub) or greater of dst and src, NULLs passed over */
	CU_STEP_DISTINCT,
	CU_STEP_NULLIF,
	CU_STEP_ANY,     /* src op ANY (src + 1); sub: ALL; n: its constant + 1 where that is searched, not walked */
	CU_STEP_ARRAY,   /* dst = ARRAY[src, … n of them]; sub: of arrays */
	CU_STEP_ELEMENT, /* dst = src[src + 1][…], n subscripts */
	CU_STEP_SLICE,   /* n pairs of bounds, of which the call's types tell which are there */
	CU_STEP_IO,
	CU_STEP_TYPMOD,
	CU_STEP_MAP, /* dst = src with each element in src + 1 put through the steps up to jump, which leave it in src + 2 */
};

struct cu_step {
	uint8_t op;
	uint8_t sub;
	uint16_t call;
	uint32_t dst;
	uint32_t src;
	uint32_t jump;
	uint32_t n;
};

/* What a step calls, and the types involved. */
struct cu_call_site {
	cu_function function;
	const struct cu_type *ret_type;
	const struct cu_collation *collation;
	uint32_t types_at; /* in program->types */
	int32_t typmod;
	uint16_t args_len;
	uint16_t mask; /* of SLICE: bit 2i: the i-th lower bound is there, 2i + 1: the upper */
	uint32_t strict;
};

struct cu_program {
	int refs; /* atomic */
	uint32_t steps_len, regs_len, consts_len, calls_len, types_len;
	uint64_t hash;
	cu_expr_scope *scope; /* keeps the types and collations alive */
	const struct cu_step *steps;
	const struct cu_call_site *calls;
	const struct cu_type *const *types;
	const struct cu_type *const *const_types; /* consts_len of them */
};
typedef struct cu_program cu_program;

/* Compiles; *ret_consts: the constants' values in the order of their numbers, in the check's arena. */
cu_program *cu_program_new(struct cu_check *check, const struct cu_node *node, const struct cu_datum **ret_consts);
void cu_program_unref(cu_program **program);
cu_program *cu_program_ref(cu_program *program);
uint64_t cu_program_hash(const cu_program *program);
bool cu_program_equal(const cu_program *a, const cu_program *b);

/* A long constant list, sorted to be searched (CU_STEP_ANY). */
struct cu_const_set {
	uint32_t constant;
	uint32_t len;
	bool has_nulls;
	const struct cu_type *type; /* of its elements */
	const struct cu_datum *sorted;
};

/* What an evaluation works on. */
struct cu_run {
	const cu_program *program;
	const struct cu_datum *consts;
	const struct cu_const_set *sets;
	size_t sets_len;
	struct cu_expr_row *row; /* NULL: no columns, constants are folded */
	cu_arena *arena;
	struct cu_value_error *err;
};
/* 0, CU_EINVAL with *err, CU_EAGAIN (a value that the stream does not hold), CU_ENOMEM. */
int cu_program_run(const struct cu_run *run, struct cu_datum *ret_datum);
/* The sets that the program's steps ask for. */
int cu_const_sets_new(const cu_program *program, const struct cu_datum *consts, cu_arena *arena,
		      const struct cu_const_set **ret_sets, size_t *ret_len);

/* Sharing. */
cu_program *cu_expr_program(const cu_expr *expr); /* borrowed */
/* Gives up the expr's own program for an equal one. Before the expr is shared between threads. */
void cu_expr_use_program(cu_expr *expr, cu_program *program);

#endif
