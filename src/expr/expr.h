/* expr.h: where clauses: parsed by Postgres' grammar, checked by Postgres' rules, evaluated with Postgres' answers.
 *
 *	text + params ──parse (libpg_query)──► raw tree ──check──► typed tree ──► program + constants
 *	                                                             │
 *	                                                             └─► SQL, every cast and operator spelled out:
 *	                                                                 the snapshot's predicate, the storage form, the key
 *
 * Clauses that differ in their constants alone have equal programs; the caller shares them (inside: program.h).
 *
 * Threads: a scope, program and expr are immutable and counted; any thread. A row is one thread's.
 * Bounds: CU_WHERE_BYTES_MAX of text, CU_WHERE_NODES_MAX nodes, CU_WHERE_DEPTH_MAX levels: refused.
 * Errors: CU_EINVAL with a struct cu_expr_error for the client (400), CU_ENOMEM.
 */
#ifndef CU_EXPR_H
#define CU_EXPR_H

#include "pg/pgoutput.h" /* struct cu_pg_value */
#include "value/value.h"

/* What names mean: the columns of one table. Made by whoever knows the catalog. Counted. */
typedef struct cu_expr_scope cu_expr_scope;
struct cu_expr_column {
	const char *name;
	const struct cu_type *type; /* of a domain: its base type. NULL: cannot be filtered on */
	const char *type_name;      /* for messages: formatted as Postgres does */
	int32_t typmod;
	bool is_domain;
	const struct cu_collation *collation; /* NULL when the type has none */
};
/* pg_version: the server's major version, whose answers are wanted. Copies the columns and their names; types and
 * collations are borrowed until the scope is gone: keep `owner` alive, which release() gives back then (both may be NULL). */
cu_expr_scope *cu_expr_scope_new(const char *table_name, const struct cu_expr_column *columns, size_t columns_len,
				 const struct cu_collation *default_collation, int pg_version, void *owner,
				 void (*release)(void *owner));
cu_expr_scope *cu_expr_scope_ref(cu_expr_scope *scope);
void cu_expr_scope_unref(cu_expr_scope **scope);

struct cu_expr_error {
	char sqlstate[6];
	unsigned position; /* in characters from 1, of the clause's text; 0: nowhere in particular */
	cu_buf message;    /* as Postgres words it, where Postgres would refuse too */
};

/* params[n] → $n, n from 1; text NULL: not given. Borrowed. */
struct cu_expr_param {
	const char *text;
	size_t len;
};

typedef struct cu_expr cu_expr;

/* Parses and checks. Returns owned, refs = 1. */
int cu_expr_new(cu_expr_scope *scope, const char *text, size_t len, const struct cu_expr_param *params,
		size_t params_len, cu_expr **ret_expr, struct cu_expr_error *err);
cu_expr *cu_expr_ref(cu_expr *expr);
void cu_expr_unref(cu_expr **expr);

/* The clause in canonical SQL. Parsing it again in the same scope gives an equal expr; two clauses that mean the same by
 * their checked trees have equal SQL. */
int cu_expr_put_sql(const cu_expr *expr, cu_buf *out);
/* The columns it looks at, ascending. Borrowed. */
const uint16_t *cu_expr_columns(const cu_expr *expr, size_t *ret_len);

/* One row, its columns decoded when first asked for and once only, whatever the number of clauses. */
struct cu_expr_row {
	const struct cu_pg_value *values; /* in the scope's order; borrowed */
	struct cu_datum *datums;          /* one for each column */
	uint8_t *decoded;                 /* 0 not yet; 1 yes; 2 failed */
	cu_expr_scope *scope;
	/* Another row of the scope, or NULL: what has the same text there is not decoded again. It stays set as long as this one. */
	const struct cu_expr_row *like;
	cu_arena arena; /* the decoded columns */
	cu_arena work;  /* of one evaluation */
};
int cu_expr_row_init(struct cu_expr_row *row, cu_expr_scope *scope);
void cu_expr_row_set(struct cu_expr_row *row, const struct cu_pg_value *values); /* the next row */
void cu_expr_row_fini(struct cu_expr_row *row);
/* One column. CU_EINVAL: its text cannot be read (a new enum label, say), CU_EAGAIN: the value is not in the stream (TOAST,
 * unchanged). Borrowed until the next row. */
int cu_expr_row_column(struct cu_expr_row *row, unsigned column, const struct cu_datum **ret_datum,
		       struct cu_value_error *err);

enum cu_truth {
	CU_FALSE = 0,
	CU_TRUE = 1,
	CU_UNKNOWN = 2, /* NULL */
	CU_FAILED = 3,  /* Postgres would raise an error for this row: *err says which */
};
enum cu_truth cu_expr_eval(const cu_expr *expr, struct cu_expr_row *row, struct cu_value_error *err);

/* For the router: the conditions that a clause implies, in a form that can be indexed. The clause is TRUE only if
 * every one of its `all` conditions holds; conditions of kinds that no index serves are simply left out, so the
 * evaluator has the last word unless `exact`: then these conditions are the clause. */
enum cu_condition_kind {
	CU_COND_EQUAL,    /* column = any of values (one, or an IN list); also boolean columns and jsonb, enums … */
	CU_COND_RANGE,    /* lower <(=) column <(=) upper; each side may be open */
	CU_COND_PREFIX,   /* column LIKE 'text%': starts with values[0] */
	CU_COND_NULL,     /* column IS NULL */
	CU_COND_CONTAINS, /* array column @> values: holds all of them (elements) */
	CU_COND_OVERLAPS, /* array column && values, or value = ANY (column): holds one of them (elements) */
	CU_COND_ANY,      /* OR: one of the alternatives, each a list of conditions as this one */
};
struct cu_condition {
	enum cu_condition_kind kind;
	uint16_t column;
	const struct cu_type *type; /* of the values (an element's for arrays), comparable with the column's own */
	const struct cu_collation *collation;
	const struct cu_datum *values; /* never NULL-valued */
	size_t values_len;
	bool has_lower, lower_inclusive, has_upper,
		upper_inclusive;                  /* values[0] is lower if there is one, then upper */
	const struct cu_conditions *alternatives; /* of CU_COND_ANY */
	size_t alternatives_len;
};
struct cu_conditions {
	const struct cu_condition *all;
	size_t all_len;
	bool exact;
};
/* Borrowed from the expr. */
const struct cu_conditions *cu_expr_conditions(const cu_expr *expr);

/* Clauses of one scope from their canonical SQL (cu_expr_put_sql()), without parsing where one that differs in its
 * constants alone was loaded before: for whoever keeps many of them as text. For evaluation only: such an expr has no
 * SQL, columns or conditions. One thread at a time. Bound: CU_WHERE_TEMPLATES_MAX kinds are remembered. */
typedef struct cu_expr_templates cu_expr_templates;
cu_expr_templates *cu_expr_templates_new(cu_expr_scope *scope);
void cu_expr_templates_free(cu_expr_templates **templates);
/* CU_EINVAL: not what put_sql wrote in this scope; CU_ENOMEM. */
int cu_expr_templates_load(cu_expr_templates *templates, const char *sql, size_t len, cu_expr **ret_expr);
/* True: the row's text tells that the clause is TRUE, and nothing was loaded: it is `column = literal`, and the row has that very
 * text in this column, or `column LIKE 'text%'`, and the column starts with the text. False says nothing. */
bool cu_expr_templates_is_met(const cu_expr_templates *templates, const char *sql, size_t len,
			      const struct cu_expr_row *row);
/* How many of the loads had to parse: those are worth keeping. */
uint64_t cu_expr_templates_parsed(const cu_expr_templates *templates);

/* The columns, as they were given. Borrowed. */
const struct cu_expr_column *cu_expr_scope_columns(const cu_expr_scope *scope, size_t *ret_len);

#endif
