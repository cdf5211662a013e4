/* tree.h: the checked tree and what the files of the checker share.
 *
 * All nodes live in the check's arena. Functions that return a node return NULL after an error and leave it in
 * check->rc (CU_EINVAL with *check->err, or CU_ENOMEM); whoever gets NULL returns NULL.
 * Types are named by oid inside the checker, so that Postgres' rules can be followed to the letter; struct cu_tinfo says what
 * a type is, struct cu_type (value.h) what can be done with its values.
 */
#ifndef CU_EXPR_TREE_H
#define CU_EXPR_TREE_H

#include "base/limits.h"
#include "expr/catalog.h"
#include "expr/expr.h"
#include "expr/parse.h"
#include "value/collation.h"

#define CU_FUNCTION_ARGS_MAX 100u /* FUNC_MAX_ARGS */
/* Levels of a raw tree: those of a checked one, with what is written out when it becomes SQL and is read again. */
#define CU_RAW_DEPTH_MAX (CU_WHERE_DEPTH_MAX * 6u)

/* A type that a clause may come across. */
struct cu_tinfo {
	uint32_t oid;
	char typtype; /* 'b', 'e', 'p', 'r', 'm' */
	char category;
	bool preferred;
	uint32_t base;     /* of a domain, else 0 */
	uint32_t elem;     /* of a true array, else 0 */
	uint32_t array;    /* 0: none */
	uint8_t collation; /* 0 none, 1 the database's, 2 "C" */
	const char *name;
	const char *format;         /* in messages */
	const struct cu_type *type; /* NULL: values of it are not supported */
};

/* A table's columns. Immutable after its creation. */
struct cu_expr_scope {
	int refs; /* atomic */
	char *table_name;
	struct cu_expr_column *columns;
	uint32_t *column_types; /* oids as the checker names them; 0: not filterable */
	size_t columns_len;
	const struct cu_collation *default_collation;
	int pg_version;          /* major */
	cu_collation *c, *posix; /* "C" and "POSIX" of this database: citext folds under its default */
	struct cu_tinfo *types;  /* that are not built in: enums, citext, arrays of them */
	size_t types_len;
	struct cu_type *arrays; /* of enums, where the catalog gave none; types point into it */
	bool has_citext;
	void *owner;
	void (*release)(void *owner);
};

/* False: no such type, here or in Postgres. */
bool cu_scope_type(const struct cu_expr_scope *scope, uint32_t oid, struct cu_tinfo *ret_info);
/* The server has it, but its values cannot be had: in 14 the text of a "char" beyond ASCII is a byte, which is no text. */
bool cu_scope_lacks_type(const struct cu_expr_scope *scope, uint32_t oid);
/* A type by its written name; schema may be NULL. 0: none. */
uint32_t cu_scope_type_named(const struct cu_expr_scope *scope, const char *schema, const char *name);
/* The type under the domain of that name; 0: no column of the table has it. */
uint32_t cu_scope_domain_named(const struct cu_expr_scope *scope, const char *schema, const char *name);

/* Whether a name that is quoted, and perhaps qualified, as SQL writes it is what [schema.]name says. */
bool cu_sql_name_is(const char *sql, const char *schema, const char *name);

enum cu_node_kind {
	CU_NODE_COLUMN = 1,
	CU_NODE_CONST,
	CU_NODE_CALL,    /* function, operator or a cast by a function: proc, args */
	CU_NODE_RELABEL, /* a cast that changes no byte */
	CU_NODE_IO,      /* a cast through the text form */
	CU_NODE_MAP,     /* a cast of an array: element by element, args[1] with CU_NODE_SLOT for the element */
	CU_NODE_TYPMOD,  /* (n) applied to a value of the type */
	CU_NODE_COLLATE, /* COLLATE collation */
	CU_NODE_AND,     /* any number of args */
	CU_NODE_OR,
	CU_NODE_NOT,
	CU_NODE_NULLTEST, /* sub: 1 IS NOT NULL */
	CU_NODE_BOOLTEST, /* sub: PgQuery__BoolTestType */
	CU_NODE_CASE,     /* args: [arg,] (when, then)…, else; sub: 1 with arg */
	CU_NODE_SLOT,     /* the value of the enclosing CASE's arg, or of the array's element: ref */
	CU_NODE_COALESCE,
	CU_NODE_MINMAX,   /* sub: 1 LEAST */
	CU_NODE_DISTINCT, /* args of the = operator in proc; sub: 1 IS NOT DISTINCT FROM */
	CU_NODE_NULLIF,   /* args of the = operator in proc */
	CU_NODE_ANY,      /* scalar op ANY (array): proc, args; sub: 1 ALL */
	CU_NODE_ARRAY,    /* ARRAY[…]; sub: 1 of arrays */
	CU_NODE_ELEMENT,  /* array[i][j]: args: array, subscripts */
	CU_NODE_SLICE,    /* array[l:u]…: args: array, lower, upper, …; a missing bound is NULL */
	CU_NODE_ROW,      /* ROW(…): only on the way to what takes it apart */
	CU_NODE_ROWCMP, /* sub: 'l' <, 'L' <=, 'g' >, 'G' >=; args: a1, b1, a2, b2 …; calls: strict op of each pair, its
			   * contrary (< for >), and the whole op of the last */
};

/* Of a collation, while it is derived. */
enum cu_strength { CU_STRENGTH_NONE, CU_STRENGTH_IMPLICIT, CU_STRENGTH_CONFLICT, CU_STRENGTH_EXPLICIT };

/* How a CALL was, and is, written. */
enum cu_call_form { CU_FORM_FUNCTION, CU_FORM_OPERATOR, CU_FORM_CAST };

struct cu_node {
	uint8_t kind;
	uint8_t sub;
	uint8_t form;
	bool has_column;
	bool stable;      /* holds something that is not folded: its answer hangs on settings that we pin */
	bool raw_null;    /* written NULL */
	bool conflict;    /* its collation is not determined: two different ones came together */
	uint8_t strength; /* of its collation while they are derived */
	uint16_t column;
	uint16_t levels;  /* of the tree below, itself included */
	int at;           /* byte where its expression begins (exprLocation), of the parsed text; -1: nowhere */
	int collation_at; /* of the COLLATE that its collation is from */
	int own_at;       /* … of its operator or function */
	uint32_t type;
	int32_t typmod;
	const struct cu_collation *collation; /* of the result, and … */
	const struct cu_collation *input;     /* what a function is to use */
	const struct cu_catalog_proc *proc;
	const struct cu_catalog_proc **procs; /* of ROWCMP: 2 for each pair, then 1 */
	const char *op;                       /* operator's name, CALL, ANY, DISTINCT, NULLIF */
	struct cu_node **args;
	unsigned args_len;
	struct cu_datum value;  /* of CONST */
	uint32_t number;        /* of CONST, once compiled: its number in the program + 1 */
	uint32_t slot_reg;      /* compiling: where the value of its slots is */
	struct cu_node *folded; /* by fold.c, which may meet a node twice */
	struct cu_node *known;  /* what it folds to, where that cannot take its place in the SQL (fold.c) */
	struct cu_node *
		*folds_first; /* what a function of language sql was called with: before its body, in that order */
	unsigned folds_first_len;
	bool collated;
	bool copied;    /* the use of a parameter: copies of it are in the tree, it is not */
	uint32_t param; /* of CONST of type unknown: it is $param, to be typed by its use */
	const struct cu_node *ref;
};

struct cu_check {
	cu_arena *arena;
	struct cu_expr_scope *scope;
	struct cu_expr_error *err;
	const char *text; /* the clause's */
	size_t text_len;
	const struct cu_expr_param *params;
	size_t params_len;
	uint32_t *param_types;            /* as far as deduced; CU_UNKNOWNOID: not yet */
	uint8_t *param_used;              /* one for each */
	const struct cu_node *param_uses; /* the last, each refers to the one before */
	uint32_t bad_param;               /* the first, by number, whose value its type does not read; 0: none */
	int bad_param_at, bad_param_rc;
	struct cu_value_error bad_param_err;
	struct cu_value_error late;         /* what Postgres finds out last, when the first row is asked for */
	struct cu_node *const *inline_args; /* inside the body of a function of language sql: what $n is */
	size_t inline_args_len;
	int inline_at; /* where the call of that function is: errors inside its body are told there */
	unsigned depth;
	unsigned nodes;
	int rc;
};

/* check.c */
void *cu_check_fail(struct cu_check *check, const char *sqlstate, int at, const char *fmt, ...) CU_PRINTF(4, 5);
void *cu_check_nomem(struct cu_check *check);
/* An error of a value function, at a place. */
void *cu_check_value_error(struct cu_check *check, int rc, int at, const struct cu_value_error *verr);
void *cu_check_alloc(struct cu_check *check, size_t size); /* zeroed */
struct cu_node *cu_node_new(struct cu_check *check, enum cu_node_kind kind, uint32_t type, int at, unsigned args_len);
struct cu_node *cu_node_const(struct cu_check *check, uint32_t type, int32_t typmod, struct cu_datum value, int at);
/* After its args are set: flags and levels; refuses what is too deep. Returns node. */
struct cu_node *cu_node_done(struct cu_check *check, struct cu_node *node);
struct cu_node *cu_check_expr(struct cu_check *check, const PgQuery__Node *raw);
struct cu_node *cu_check_boolean(struct cu_check *check, struct cu_node *node, const char *construct);
bool cu_node_is_null_const(const struct cu_node *node);
/* Parses and checks the body of a function with args for $1 …: for those of language sql. */
struct cu_node *cu_check_body(struct cu_check *check, const char *body, struct cu_node *const *args, size_t args_len);

/* check_op.c */
struct cu_node *cu_check_a_expr(struct cu_check *check, const PgQuery__AExpr *raw);
struct cu_node *cu_make_op(struct cu_check *check, const char *schema, const char *name, struct cu_node *left,
			   struct cu_node *right, int at);

/* check_call.c, check_case.c, check_type.c */
struct cu_node *cu_check_func_call(struct cu_check *check, const PgQuery__FuncCall *raw);
struct cu_node *cu_check_case(struct cu_check *check, const PgQuery__CaseExpr *raw);
struct cu_node *cu_check_coalesce(struct cu_check *check, const PgQuery__CoalesceExpr *raw);
struct cu_node *cu_check_minmax(struct cu_check *check, const PgQuery__MinMaxExpr *raw);
struct cu_node *cu_check_array(struct cu_check *check, const PgQuery__AArrayExpr *raw, uint32_t array_type,
			       uint32_t elem_type, int32_t typmod);
struct cu_node *cu_check_indirection(struct cu_check *check, const PgQuery__AIndirection *raw);
bool cu_check_type_name(struct cu_check *check, const PgQuery__TypeName *raw, uint32_t *ret_type, int32_t *ret_typmod);
struct cu_node *cu_check_type_cast(struct cu_check *check, const PgQuery__TypeCast *raw);
struct cu_node *cu_check_collate(struct cu_check *check, const PgQuery__CollateClause *raw);
void cu_put_typmod(uint32_t type, int32_t typmod, cu_buf *out);

/* coerce.c: Postgres' parse_coerce.c in our terms. */
enum cu_coercion { CU_COERCE_IMPLICIT, CU_COERCE_ASSIGNMENT, CU_COERCE_EXPLICIT };
enum cu_path { CU_PATH_NONE, CU_PATH_CALL, CU_PATH_RELABEL, CU_PATH_MAP, CU_PATH_IO };

struct cu_tinfo cu_type_info(const struct cu_check *check, uint32_t oid);
uint32_t cu_type_base(const struct cu_check *check, uint32_t oid);
/* An array of oid is needed, and there is none. Returns NULL. */
void *cu_check_no_array(struct cu_check *check, uint32_t oid, int at);
const char *cu_type_format(const struct cu_check *check, uint32_t oid);
enum cu_path cu_coercion_path(const struct cu_check *check, uint32_t target, uint32_t source, enum cu_coercion context,
			      const struct cu_catalog_proc **ret_proc);
bool cu_can_coerce(const struct cu_check *check, unsigned len, const uint32_t *inputs, const uint32_t *targets,
		   enum cu_coercion context);
/* can_coerce has said yes. */
struct cu_node *cu_coerce(struct cu_check *check, struct cu_node *node, uint32_t target, int32_t typmod,
			  enum cu_coercion context, int at);
/* NULL without an error: cannot be coerced. */
struct cu_node *cu_coerce_to(struct cu_check *check, struct cu_node *node, uint32_t target, int32_t typmod,
			     enum cu_coercion context, int at);
/* 0: no common type (an error when context is not NULL). */
uint32_t cu_common_type(struct cu_check *check, struct cu_node *const *nodes, unsigned len, const char *context);
struct cu_node *cu_coerce_common(struct cu_check *check, struct cu_node *node, uint32_t target, const char *context);

/* generic.c: anyelement and its relatives. */
bool cu_is_polymorphic(uint32_t oid);
bool cu_generic_consistent(const struct cu_check *check, unsigned len, const uint32_t *actual,
			   const uint32_t *declared);
/* Replaces polymorphic types in declared; returns the result type, 0 after an error. */
uint32_t cu_generic_enforce(struct cu_check *check, const uint32_t *actual, uint32_t *declared, unsigned len,
			    uint32_t ret_type, int at);

/* resolve.c: which function or operator is meant. */
struct cu_candidate {
	uint32_t *args;
	const struct cu_catalog_proc *proc;
	const struct cu_catalog_op *op; /* … or of an operator */
	unsigned variadic_args;         /* how many of the args stand for the variadic array */
	unsigned defaults;              /* how many of its last arguments are not given */
};
/* func_match_argtypes and func_select_candidate: the winner, NULL: none (*ret_matches 0) or several. */
const struct cu_candidate *cu_candidate_select(const struct cu_check *check, const uint32_t *inputs, unsigned len,
					       struct cu_candidate *candidates, size_t candidates_len,
					       size_t *ret_matches);

/* collate.c */
bool cu_collate(struct cu_check *check, struct cu_node *node);
const struct cu_collation *cu_type_collation(const struct cu_check *check, uint32_t oid);

/* fold.c */
struct cu_node *cu_fold(struct cu_check *check, struct cu_node *node);

/* deparse.c */
struct cu_const_marks; /* template.h */
int cu_deparse(const struct cu_expr_scope *scope, const struct cu_node *node, cu_buf *out,
	       struct cu_const_marks *marks);

#endif
