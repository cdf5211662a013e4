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

/* ---- by hash ---- */

#define SEVERAL ((uintptr_t)1) /* a bit that no address has: the value is a posting */

static struct cu_posting *several(void *value)
{
	return (uintptr_t)value & SEVERAL ? (struct cu_posting *)((uintptr_t)value - SEVERAL) : NULL;
}

static struct cu_posting posting_of(void *value)
{
	return several(value) ? *several(value) : (struct cu_posting){ .len = value != NULL, .one = value };
}

void cu_postings_fini(struct cu_postings *postings)
{
	void *value;

	for (size_t i = 0; (value = cu_map_next(&postings->map, &i));) {
		if (several(value))
			cu_posting_fini(several(value));
		free(several(value));
	}
	cu_map_fini(&postings->map);
}

struct cu_posting cu_postings_find(const struct cu_postings *postings, uint64_t hash)
{
	return posting_of(cu_map_get(&postings->map, hash));
}

int cu_postings_add(struct cu_postings *postings, uint64_t hash, cu_route *route, bool alone)
{
	void *value = cu_map_get(&postings->map, hash);
	struct cu_posting *posting;

	if (several(value))
		return cu_posting_add(several(value), route, alone);
	if (!value) {
		route->at = 0; /* harmless where it stands in several */
		cu_map_put(&postings->map, hash, route);
		return 0;
	}
	posting = cu_try_zalloc(sizeof *posting);
	if (!posting)
		return CU_ENOMEM;
	*posting = posting_of(value);
	if (cu_posting_add(posting, route, alone) < 0) {
		free(posting);
		return CU_ENOMEM;
	}
	cu_map_put(&postings->map, hash, (void *)((uintptr_t)posting | SEVERAL));
	return 0;
}

bool cu_postings_remove(struct cu_postings *postings, uint64_t hash, cu_route *route, bool alone)
{
	void *value = cu_map_get(&postings->map, hash);
	struct cu_posting *posting = several(value);

	if (!posting) {
		if (!value || value != route)
			return false;
		cu_map_del(&postings->map, hash);
		return true;
	}
	if (!cu_posting_remove(posting, route, alone))
		return false;
	if (posting->len == 1) {
		cu_map_put(&postings->map, hash, posting->one);
		free(posting);
	}
	return true;
}

bool cu_postings_next(const struct cu_postings *postings, size_t *at, uint64_t *ret_hash,
		      struct cu_posting *ret_posting)
{
	void *value = cu_map_next(&postings->map, at);

	if (!value)
		return false;
	*ret_hash = postings->map.slots[*at - 1].key;
	*ret_posting = posting_of(value);
	return true;
}
