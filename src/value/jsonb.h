/* jsonb.h: jsonb as a tree, json as text, and what looks into them.
 *
 * A jsonb value is an immutable tree in an arena: keys of an object are unique and sorted (by length, then bytes), as
 * Postgres stores them. A json value is its text; looking into it parses it again, as Postgres does, duplicate keys and
 * the errors of bad escapes included.
 *
 * Collation: the order of jsonb strings is that of the *database's default* collation, although jsonb is of no
 * collatable type: whoever calls jsonb_lt, _le, _gt, _ge or cu_value_compare() on jsonb gives that collation;
 * NULL means "C". Equality is by byte and needs none.
 * Memory: results share nodes with their arguments; both live in arenas of the caller.
 * Threads: immutable; any.
 * Depth: input deeper than CU_VALUE_DEPTH_MAX is refused with 54001; || adds one level at most.
 */
#ifndef CU_JSONB_H
#define CU_JSONB_H

#include "value/value.h"

enum cu_jsonb_kind {
	/* in the order in which Postgres sorts them */
	CU_JSONB_NULL,
	CU_JSONB_STRING,
	CU_JSONB_NUMERIC,
	CU_JSONB_BOOL,
	CU_JSONB_ARRAY,
	CU_JSONB_OBJECT,
};

struct cu_jsonb_pair;

struct cu_jsonb {
	enum cu_jsonb_kind kind;
	uint32_t len; /* bytes of .string, elements, pairs */
	union {
		bool boolean;
		const char *string; /* not terminated */
		const struct cu_numeric *numeric;
		const struct cu_jsonb *elements;
		const struct cu_jsonb_pair *pairs;
	};
};

struct cu_jsonb_pair {
	const char *key; /* not terminated */
	uint32_t key_len;
	struct cu_jsonb value;
};

/* Parses json text. CU_EINVAL with *err as jsonb_in() says it; CU_ENOMEM. Cost: linear, keys sorted. */
int cu_jsonb_parse(const char *text, size_t len, cu_arena *arena, struct cu_jsonb *ret_jsonb,
		   struct cu_value_error *err);
/* Checks json text as json_in() does: escapes are looked at, surrogates are not. */
int cu_json_check(const char *text, size_t len, struct cu_value_error *err);
/* As jsonb_out() writes it. */
int cu_jsonb_put(const struct cu_jsonb *jsonb, cu_buf *out);

/* The value of a key of an object, NULL when it is none or has no such key. O(log keys). */
const struct cu_jsonb *cu_jsonb_get(const struct cu_jsonb *jsonb, const char *key, size_t len);
/* What jsonb subscripting (column['a'][1]) and #> answer: follows path, text datums (an integer subscript is its
 * decimal text); NULL: nothing there, or an element of path is NULL. */
const struct cu_jsonb *cu_jsonb_walk(const struct cu_jsonb *jsonb, const struct cu_datum *path, size_t path_len);

/* compareJsonbContainers(): the btree order. */
int cu_jsonb_compare(const struct cu_jsonb *a, const struct cu_jsonb *b, const struct cu_collation *collation);
/* The same answer as a compare of 0, without a collation. */
bool cu_jsonb_equal(const struct cu_jsonb *a, const struct cu_jsonb *b);
/* a @> b */
bool cu_jsonb_contains(const struct cu_jsonb *a, const struct cu_jsonb *b);

#endif
