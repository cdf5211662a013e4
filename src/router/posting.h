/* posting.h: lists of routes by a key's hash.
 *
 * Different keys with one hash share a posting: what a posting holds are candidates, the evaluator decides. So keys need not be
 * kept: a slot of 16 bytes for a key with one route.
 */
#ifndef CU_ROUTER_POSTING_H
#define CU_ROUTER_POSTING_H

#include "base/map.h"
#include "router/router.h"

struct cu_posting {
	uint32_t len;
	uint32_t cap; /* 0: `one` is the list */
	union {
		cu_route *one;
		cu_route **many;
	};
};

static inline cu_route *const *cu_posting_list(const struct cu_posting *posting)
{
	return posting->cap ? posting->many : &posting->one;
}

/* alone: this is the route's only posting, so its place is remembered and found again at once. CU_ENOMEM. */
int cu_posting_add(struct cu_posting *posting, cu_route *route, bool alone);
bool cu_posting_remove(struct cu_posting *posting, cu_route *route, bool alone); /* false: not there */
void cu_posting_fini(struct cu_posting *posting);

/* Postings by hash: hash → the route, where there is one, or a posting of several. */
struct cu_postings {
	cu_map map;
};
void cu_postings_fini(struct cu_postings *postings);
/* What is there: for reading, until the next change. */
struct cu_posting cu_postings_find(const struct cu_postings *postings, uint64_t hash);
int cu_postings_add(struct cu_postings *postings, uint64_t hash, cu_route *route, bool alone);
bool cu_postings_remove(struct cu_postings *postings, uint64_t hash, cu_route *route, bool alone);
/* for (size_t i = 0; cu_postings_next(&postings, &i, &hash, &posting);) — any order; no changes meanwhile. */
bool cu_postings_next(const struct cu_postings *postings, size_t *at, uint64_t *ret_hash,
		      struct cu_posting *ret_posting);

#endif
