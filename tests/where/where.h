/* where.h: the differential proof of where clauses: random clauses on random tables, asked of the engine (src/expr) and of
 * a real Postgres; every answer compared.
 *
 *	world.c      a random table: types, columns, rows as Postgres prints them, and the scope that the engine gets
 *	values.c     random texts of each type
 *	functions.c  what Postgres' catalog offers, and which of it the engine has
 *	generate.c   random typed expressions as trees; generate_bool.c those that are conditions
 *	tree.c       trees: making, printing, copying
 *	ours.c       the engine's answers; conditions.c whether its conditions hold
 *	oracle.c     Postgres' answers, in pipelines
 *	judge.c      the comparison
 *	shrink.c     a failing case made small
 *	where_diff.c the program: options, processes, report
 *	where_found.c what it found, by name
 *
 * Everything of a block (one table, many clauses) follows from the seed and the block's number.
 */
#ifndef TEST_WHERE_H
#define TEST_WHERE_H

#include "base/arena.h"
#include "base/buf.h"
#include "expr/expr.h"
#include "value/collation.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

#define W_ROWS_MAX 8
#define W_COLUMNS_MAX 24
#define W_PARAMS_MAX 16
#define W_BATCH 64 /* cases that are asked in one pipeline */

/* ---- random ---- */

struct wrand {
	uint64_t state;
};

static inline uint64_t w_rand(struct wrand *r)
{
	uint64_t z = (r->state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}
static inline unsigned w_below(struct wrand *r, unsigned n)
{
	return n == 0 ? 0 : (unsigned)((w_rand(r) >> 33) % n);
}
static inline bool w_chance(struct wrand *r, unsigned in_1000)
{
	return w_below(r, 1000) < in_1000;
}
#define W_PICK(r, array) ((array)[w_below((r), (unsigned)CU_ARRAY_LEN(array))])

/* ---- what Postgres offers ---- */

struct wproc {
	char *name;   /* operator's name, or the function's as quote_ident gives it */
	char *prosrc; /* "" of a function in SQL */
	uint32_t args[8];
	unsigned args_len;
	uint32_t ret;
	uint32_t variadic;
	bool is_op, is_prefix;
	bool is_public;   /* of citext */
	bool offered;     /* the engine has it */
	bool wants_small; /* an argument says how large the result is */
};

/* The functions and operators of one result type. */
struct wbucket {
	uint32_t ret;
	unsigned *ids;
	unsigned len;
};

struct wcast {
	uint32_t source, target;
	char context;
};

struct wfunctions {
	struct wproc *procs;
	unsigned procs_len;
	struct wbucket *buckets;
	unsigned buckets_len;
	struct wcast *casts;
	unsigned casts_len;
};
void w_functions_load(PGconn *conn, struct wfunctions *functions);
const struct wbucket *w_bucket(const struct wfunctions *functions, uint32_t ret);
void w_functions_free(struct wfunctions *functions);

/* ---- the table ---- */

struct wtype {
	uint32_t oid, elem, array;
	const char *name; /* as SQL takes it */
	bool is_enum;
	const char *const *labels;
	unsigned labels_len;
};

struct wcolumn {
	char *name, *sql; /* sql: quoted where needed */
	char *declared;
	uint32_t type; /* below a domain */
	int32_t typmod;
	bool is_domain;
};

struct world {
	PGconn *conn;
	const struct wfunctions *functions;
	struct wrand rand;
	char *database; /* the kind of the default collation, for reports */
	struct wtype *types;
	unsigned types_len;
	struct wcolumn columns[W_COLUMNS_MAX];
	unsigned columns_len;
	char *cells[W_ROWS_MAX][W_COLUMNS_MAX]; /* as Postgres prints them; NULL for NULL */
	struct cu_pg_value values[W_ROWS_MAX][W_COLUMNS_MAX];
	unsigned rows_len;
	char *ddl;                   /* that makes it again, for reports */
	struct cu_type own_types[6]; /* enums and citext, each with its array, as conditions.c needs them */
	cu_expr_scope *scope;
	cu_expr_templates *templates;
	cu_arena arena; /* of the types and labels */
};
void w_world_init(struct world *world, PGconn *conn, const struct wfunctions *functions, uint64_t seed);
/* The table items as it stands: id first, from 1. What conditions.c needs to know of enums and citext is not there. */
void w_world_fixed(struct world *world, PGconn *conn);
void w_world_fini(struct world *world);
const struct wtype *w_type(const struct world *world, uint32_t oid); /* or NULL */
const struct cu_type *w_engine_type(const struct world *world, uint32_t oid);
#define W_COLLATIONS                                                                                   \
	"CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);" \
	"CREATE COLLATION numeric_order (provider = icu, locale = 'en-u-kn-true')"
void w_session(PGconn *conn);
void w_run(PGconn *conn, const char *sql); /* aborts on failure */

/* A text that the type reads, mostly. */
void w_value(struct world *world, uint32_t oid, cu_buf *out);
void w_put_literal(cu_buf *out, const char *text, size_t len);

/* ---- trees ---- */

enum wkind { W_LEAF, W_COLUMN, W_LITERAL, W_FORM };
enum wstyle { W_QUOTED, W_RAW, W_PARAM };

/* In a form, \1 stands for the next of the fixed kids (of a literal: for itself), \2 for all others, with sep between. */
struct wnode {
	enum wkind kind;
	enum wstyle style;
	uint32_t type; /* 0: not an expression by itself */
	unsigned column;
	unsigned param; /* those with the same number are the same parameter */
	const char *form;
	const char *sep;
	const char *value;
	unsigned proc; /* of the catalog, from 1; 0: none */
	struct wnode **kids;
	unsigned kids_len, fixed;
};

struct wtext {
	cu_buf sql;
	const char *params[W_PARAMS_MAX];
	unsigned param_ids[W_PARAMS_MAX];
	unsigned params_len;
};

struct wnode *w_node(cu_arena *arena, enum wkind kind, uint32_t type, const char *form, unsigned kids_len);
const char *w_printf(cu_arena *arena, const char *fmt, ...) CU_PRINTF(2, 3);
struct wnode *w_node_copy(cu_arena *arena, const struct wnode *node);
unsigned w_node_count(const struct wnode *node);
struct wnode **w_node_at(struct wnode **node, unsigned *index);                        /* in preorder */
void w_render(const struct world *world, const struct wnode *node, struct wtext *out); /* appends */

/* ---- generating ---- */

struct wgen {
	struct world *world;
	struct wrand *rand;
	cu_arena *arena;
	unsigned params;
	const struct wnode *shared; /* a parameter that may be written again */
	bool typed;                 /* the next literal tells its type */
	unsigned ill;               /* in 1000: how often a type is not what it should be */
};
struct wnode *w_generate(struct world *world, cu_arena *arena);
struct wnode *w_gen(struct wgen *gen, uint32_t type, int depth);
struct wnode *w_gen_bool(struct wgen *gen, int depth);
struct wnode *w_gen_leaf(struct wgen *gen, uint32_t type);
struct wnode *w_gen_literal(struct wgen *gen, uint32_t type);
struct wnode *w_gen_call(struct wgen *gen, uint32_t type, int depth);
uint32_t w_pick_type(struct wgen *gen);
uint32_t w_pick_comparable(struct wgen *gen); /* not json, mostly */
uint32_t w_pick_array(struct wgen *gen);
uint32_t w_pick_text(struct wgen *gen);
struct wnode *w_gen_small(struct wgen *gen); /* an integer that does no harm as a size */
/* A form whose fixed kids have these types. */
struct wnode *w_form(struct wgen *gen, uint32_t type, const char *form, int depth, const uint32_t *types);
/* A form with n more kids, all of one type, separated by sep. */
struct wnode *w_list(struct wgen *gen, uint32_t type, const char *form, const char *sep, int depth, uint32_t first,
		     uint32_t others, unsigned n);
struct wnode *w_fixed(struct wgen *gen, uint32_t type, const char *text);    /* a leaf as it stands */
struct wnode *w_literal(struct wgen *gen, uint32_t type, const char *value); /* 'value', to be typed by its use */

/* ---- answers ---- */

struct wanswer {
	char kind; /* 't', 'f', 'n', 'e' */
	char sqlstate[6];
	char *message;
};

/* What one side says to one clause. */
struct wverdict {
	bool refused;
	char sqlstate[6];
	unsigned position;
	char *message;
	unsigned rows_len;
	struct wanswer rows[W_ROWS_MAX];
};

enum wfinding {
	W_SAME = 0,
	W_UNSUPPORTED,     /* refused with 0A000, counted */
	W_UNSUPPORTED_ROW, /* a row's value shows that it cannot be answered: error 0A000 for that row */
	W_SKIPPED,         /* Postgres ran out of time or memory */
	W_MESSAGE,         /* soft: both refuse alike, in other words */
	W_POSITION,        /* soft */
	W_ERROR_MESSAGE,   /* soft: a row's error */
	W_WHERE_FAILS,     /* soft: a WHERE with our SQL fails, though it fails for no row */
	W_REFUSED,         /* we refuse what Postgres accepts */
	W_ACCEPTED,        /* we accept what Postgres refuses */
	W_REFUSAL_STATE,   /* other sqlstate */
	W_VALUE,           /* another answer for a row */
	W_ERROR_STATE,     /* other sqlstate for a row */
	W_SQL_REFUSED,     /* Postgres does not take our SQL */
	W_SQL_VALUE,       /* our SQL has another answer */
	W_SQL_AGAIN,       /* our SQL, parsed again, is another or refused */
	W_CONDITION,       /* a condition does not hold though the clause is true */
	W_FINDINGS
};
extern const char *const w_finding_names[W_FINDINGS];
static inline bool w_is_hard(enum wfinding finding)
{
	return finding >= W_REFUSED;
}

struct wcase {
	struct wnode *node;
	struct wtext text;
	struct wverdict ours, theirs, again; /* again: Postgres on our SQL */
	cu_buf sql;                          /* ours, of an accepted clause */
	enum wfinding finding, soft;
	unsigned row; /* where it was found */
	char *detail; /* owned */
	bool resolved;
	unsigned conditions; /* that the clause implies */
	bool exact;
};
void w_case_fini(struct wcase *c);

/* Fills c->ours, c->sql, and findings that need no Postgres. only_row: that row alone, -1 all. */
void w_ours(struct world *world, struct wcase *c, int only_row);

/* Whether all conditions hold for the row. */
bool w_conditions_hold(const struct world *world, const struct cu_conditions *conditions, struct cu_expr_row *row);

struct wquery {
	const char *sql;
	const char *const *params;
	unsigned params_len;
};
void w_ask(PGconn *conn, const struct wquery *queries, unsigned len, PGresult **ret_results);

/* Asks Postgres about all of them (after w_ours()) and compares. */
void w_judge(struct world *world, struct wcase *cases, unsigned len, int only_row);
/* A new case of the tree, asked of both; only_row as above. */
void w_case_run(struct world *world, struct wnode *node, int only_row, struct wcase *ret_case);
/* Makes node small while the finding stays the same. Returns the new tree (in arena) and its judged case. */
struct wnode *w_shrink(struct world *world, cu_arena *arena, struct wnode *node, enum wfinding finding, unsigned row,
		       struct wcase *ret_case);

#endif
