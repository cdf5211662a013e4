/* posting.c: small lists, most of them of one. */
#include "router/posting.h"

#include <stdlib.h>

static int grow(struct cu_posting *posting)
{
	uint32_t cap = posting->cap ? posting->cap + posting->cap / 2 : 4;
	cu_route **many = cu_try_realloc(posting->cap ? posting->many : NULL, cap * sizeof(*many));

	if (!many)
		return CU_ENOMEM;
	if (!posting->cap)
		many[0] = posting->one;
	posting->many = many;
	posting->cap = cap;
	return 0;
}

int cu_posting_add(struct cu_posting *posting, cu_route *route, bool alone)
{
	if (posting->len == (posting->cap ? posting->cap : 1) && grow(posting) < 0)
		return CU_ENOMEM;
	if (alone)
		route->at = posting->len;
	if (posting->cap)
		posting->many[posting->len] = route;
	else
		posting->one = route;
	posting->len++;
	return 0;
}

bool cu_posting_remove(struct cu_posting *posting, cu_route *route, bool alone)
{
	cu_route **list = posting->cap ? posting->many : &posting->one;
	uint32_t at = alone ? route->at : 0;
	cu_route *last;

	/* A route that stands in several postings has no place of its own; neither has one that took its place here, so a
	 * place is a hint. */
	if (at >= posting->len || list[at] != route) {
		for (at = 0; at < posting->len && list[at] != route; at++)
			;
		if (at == posting->len)
			return false;
	}
	last = list[posting->len - 1];
	list[at] = last;
	posting->len--;
	/* Harmless where `last` stands in several: then nobody looks at it. */
	last->at = at;
	if (posting->cap && posting->len <= 1) {
		last = posting->len ? list[0] : NULL;
		free(posting->many);
		posting->one = last;
		posting->cap = 0;
	}
	return true;
}

void cu_posting_fini(struct cu_posting *posting)
{
	if (posting->cap)
		free(posting->many);
	*posting = (struct cu_posting){ 0 };
}

static uint64_t hash_of(const void *object)
{
	return ((const struct cu_posting *)object)->hash;
}

static bool has_hash(const void *object, const void *key)
{
	return ((const struct cu_posting *)object)->hash == *(const uint64_t *)key;
}

void cu_postings_init(cu_index *postings)
{
	cu_index_init(postings, hash_of);
}

void cu_postings_fini(cu_index *postings)
{
	struct cu_posting *posting;

	for (size_t i = 0; (posting = cu_index_next(postings, &i));) {
		cu_posting_fini(posting);
		free(posting);
	}
	cu_index_fini(postings);
}

struct cu_posting *cu_postings_find(const cu_index *postings, uint64_t hash)
{
	return cu_index_find(postings, hash, has_hash, &hash);
}

int cu_postings_add(cu_index *postings, uint64_t hash, cu_route *route, bool alone)
{
	struct cu_posting *posting = cu_postings_find(postings, hash);

	if (posting)
		return cu_posting_add(posting, route, alone);
	posting = cu_try_zalloc(sizeof *posting);
	if (!posting)
		return CU_ENOMEM;
	posting->hash = hash;
	cu_posting_add(posting, route, alone);
	cu_index_insert(postings, posting);
	return 0;
}

bool cu_postings_remove(cu_index *postings, uint64_t hash, cu_route *route, bool alone)
{
	struct cu_posting *posting = cu_postings_find(postings, hash);

	if (!posting || !cu_posting_remove(posting, route, alone))
		return false;
	if (posting->len == 0) {
		cu_index_remove(postings, posting);
		free(posting);
	}
	return true;
}
