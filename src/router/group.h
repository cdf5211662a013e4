/* group.h: the routes of one table that see it through the same definition, and their indexes. Under the router's lock. */
#ifndef CU_ROUTER_GROUP_H
#define CU_ROUTER_GROUP_H

#include "base/map.h"
#include "router/posting.h"
#include "router/ranges.h"

enum cu_column_index_kind {
	CU_INDEX_EQUAL,   /* column = value */
	CU_INDEX_ELEMENT, /* an array column holds the value */
	CU_INDEX_PREFIX,  /* a text column starts with the value */
	CU_INDEX_RANGE,   /* the column lies in a range */
	CU_INDEX_NULL,    /* the column is NULL */
};

/* A prefix length that clauses use: how many do. */
struct cu_prefix_length {
	uint32_t len;
	uint32_t uses;
};

struct cu_index_key {
	uint64_t hash;
	bool known;
	bool told; /* no other key has this hash */
};

struct cu_column_index {
	enum cu_column_index_kind kind;
	uint16_t column;
	const struct cu_type *type; /* of the keys */
	const struct cu_collation *collation;
	struct cu_postings postings; /* EQUAL, ELEMENT, PREFIX: by the key's hash; NULL: one posting */
	struct cu_ranges ranges;     /* RANGE */
	struct cu_prefix_length *lengths;
	size_t lengths_len;
	size_t entries;          /* 0: the index goes */
	struct cu_index_key key; /* EQUAL: of the last row that was looked at */
};

struct cu_router_group {
	struct cu_router_group *next; /* of the same table */
	void *key;
	cu_expr_scope *scope;
	cu_expr_templates *templates;
	struct cu_column_index *indexes;
	size_t indexes_len;
	struct cu_posting every; /* without a clause */
	struct cu_posting rest;  /* whose clauses no index serves */
	uint32_t *rest_columns;  /* of each column: how many clauses of `rest` look at it */
	cu_map programs;         /* hash → those that the loaded clauses of indexes and `rest` share */
	size_t routes;
	cu_buf entry; /* the key being entered or removed: as large as the largest, so removing needs no memory */
	/* of the change being looked at */
	struct cu_expr_row old_row, new_row;
};

int cu_group_new(void *key, cu_expr_scope *scope, struct cu_router_group **ret_group);
void cu_group_free(struct cu_router_group **group);
/* As cu_router_add(). On error nothing has changed. */
int cu_group_add(struct cu_router_group *group, cu_route *route, struct cu_route_key *route_key);
/* parsed: the clause of one that sleeps; NULL: it cannot be parsed. */
bool cu_group_remove(struct cu_router_group *group, cu_route *route, const cu_expr *parsed);

/* Calls found() for each route that an index finds for this row, those of `rest` and `every` not included; a route may
 * come more than once. Where a column cannot be read all routes of its indexes come: the evaluator says why. */
int cu_group_find(struct cu_router_group *group, struct cu_expr_row *row, cu_buf *scratch, cu_route_found *found,
		  void *ctx);

#endif
