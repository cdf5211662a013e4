/* posting.h: lists of routes by a key's hash.
 *
 * Different keys with one hash share a posting: what a posting holds are candidates, the evaluator decides. So keys need not be
 * kept: 32 bytes and a slot of 8 for a key with one route.
 */
#ifndef CU_ROUTER_POSTING_H
#define CU_ROUTER_POSTING_H

#include "base/index.h"
#include "router/router.h"

struct cu_posting {
	uint64_t hash;
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

/* Postings by hash: a cu_index of them. */
void cu_postings_init(cu_index *postings);
void cu_postings_fini(cu_index *postings);
struct cu_posting *cu_postings_find(const cu_index *postings, uint64_t hash);
int cu_postings_add(cu_index *postings, uint64_t hash, cu_route *route, bool alone);
bool cu_postings_remove(cu_index *postings, uint64_t hash, cu_route *route, bool alone);

#endif
