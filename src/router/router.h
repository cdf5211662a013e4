/* router.h: which shapes does a change of this table touch.
 *
 * A route is one shape's subscription: its where clause, or none. The shape embeds it and keeps it in place while it is
 * subscribed. Routes of a table come in groups, one for each definition: one scope of columns. A group has an
 * index for each column and kind of condition that its clauses use (docs/architecture.md, "Routing"); a change costs one
 * probe per index, and one evaluation per candidate.
 *
 * Threads: add and remove from any thread, they take the write lock. The collector, one thread, holds the read lock while it
 * walks a batch of messages, and it alone calls cu_router_match(): the scratch is shared. Helper threads take part in a call when many
 * clauses have to be evaluated, and only within it.
 * Cost: adding and removing O(log n) for a clause with one key; a clause with n keys (IN, OR) n times that.
 */
#ifndef CU_ROUTER_H
#define CU_ROUTER_H

#include "expr/expr.h"

typedef struct cu_router cu_router;

/* Embedded in whoever subscribes; zeroed, but for where and expr, before cu_router_add(). */
typedef struct cu_route {
	const char *where; /* canonical SQL; NULL: every row. Unchanged while subscribed */
	/* The clause as it was parsed, or NULL: the subscriber's reference until it is added, the router's from then on. A
	 * clause that one hash key or prefix decides is kept as text and loaded when a row has that key: most of a million
	 * shapes sleep. */
	cu_expr *expr;
	/* router only */
	uint32_t at;     /* place in its posting, when it stands in one only */
	uint32_t match;  /* place in the matches of the change being looked at */
	uint32_t hot;    /* place among those that are loaded */
	bool listed;     /* it is subscribed; for whoever holds the read lock */
	bool sleeps : 1; /* its clause is loaded when needed */
	bool exact : 1; /* the condition that it is entered under is the whole clause, and the index tells it for sure */
	bool used;      /* … and was since the last sweep */
	bool costly;    /* … by parsing */
} cu_route;

/* The one key that decides a clause: stored with a shape, so that a restart need not parse it. */
struct cu_route_key {
	bool known;
	uint16_t column;
	uint64_t hash;
};

struct cu_router_group; /* the routes of one table that see it through the same definition */

cu_router *cu_router_new(void);
/* helpers: threads at most that help with clauses that no index serves; 0, as in cu_router_new(): one per core but one. */
cu_router *cu_router_new_with(unsigned helpers);
/* Routes that are still subscribed keep their expr: it is the subscriber's again. */
void cu_router_free(cu_router **router);

/* Subscribes to the table (or the partitioned root) with this oid, as part of the group `key` (opaque, compared). scope:
 * of the group's columns; borrowed for as long as the group has routes; the same in every call with this key. route_key:
 * in: what an earlier add gave for this clause, or !known; out: what is to be stored. A route that is subscribed already stays
 * so. CU_EINVAL: the clause cannot be read; CU_ENOMEM. */
int cu_router_add(cu_router *router, uint32_t table_oid, void *key, cu_expr_scope *scope, cu_route *route,
		  struct cu_route_key *route_key);
/* CU_ENOTFOUND when it is not subscribed. After it returned, no later look-up sees the route. */
int cu_router_remove(cu_router *router, uint32_t table_oid, void *key, cu_route *route);

void cu_router_read_lock(cu_router *router);
void cu_router_read_unlock(cu_router *router);

/* Under the read lock: the groups of a table, NULL when it has none; then the one after. */
struct cu_router_group *cu_router_groups(cu_router *router, uint32_t table_oid);
struct cu_router_group *cu_router_group_next(const struct cu_router_group *group);
void *cu_router_group_key(const struct cu_router_group *group);

/* A route whose clause is TRUE for one of the rows at least, or fails. */
struct cu_router_match {
	cu_route *route;
	bool old_in, new_in;                /* false as well where there is no such row */
	bool failed;                        /* Postgres would raise an error for one of the rows */
	const struct cu_value_error *error; /* which; borrowed as the match is. NULL: none */
};
/* Under the read lock, collector only. Rows in the order of the group's scope; NULL: there is none. *ret_matches is
 * borrowed until the next call. CU_ENOMEM. */
int cu_router_match(cu_router *router, struct cu_router_group *group, const struct cu_pg_value *old_row,
		    const struct cu_pg_value *new_row, const struct cu_router_match **ret_matches, size_t *ret_len);

#endif
