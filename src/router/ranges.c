/* ranges.c: the B+ tree. Recursion is as deep as the tree: 6 levels as a rule for a million ranges. */
#include "router/ranges.h"

#include <stdlib.h>

/* Entries of a node. A search reads its bounds from one end to the other: some 13 lines of a cache, which come together because they
 * are asked for together, so that a level costs one wait. */
#define FANOUT 16u
#define FILL_MIN (FANOUT / 2) /* with fewer a removal gets some of a neighbour's, or joins it */
#define EDGE (FANOUT / 4)     /* that are cut off a full node at the end at which entries are added */
#define CACHE_LINE 64u

/* A bound as a point of the order: just before or just after its value. So where two ranges, or a range and a value, stand to
 * each other is one comparison, whatever the bounds include. Without a bound it is before or after all values. 16 bytes. */
struct cut {
	int64_t word; /* cu_value_order_word(); else the datum's, whatever it is: what it points to is the condition's */
	uint32_t len;
	bool none;
	bool after;
};

/* A leaf's entries are the ranges, an inner node's its children: the least key below and the largest upper bound below. */
struct cu_range_node {
	uint16_t height; /* 0: a leaf */
	uint16_t len;
	struct cut lowers[FANOUT];
	struct cut uppers[FANOUT];
	cu_route *routes[FANOUT];
	const struct cu_condition *conditions[FANOUT];
	struct cu_range_node *children[]; /* FANOUT of them, none in a leaf */
};

/* What the tree is ordered by: the lower bound. Of equal ones any number may be there, so by address then: each range has one
 * place, and is removed in O(log n). */
struct key {
	struct cut lower;
	cu_route *route;
	const struct cu_condition *condition;
};

void cu_ranges_init(struct cu_ranges *ranges, const struct cu_type *type, const struct cu_collation *collation)
{
	*ranges = (struct cu_ranges){ .type = type, .collation = collation };
}

/* ---- bounds ---- */

static struct cut cut_at(const struct cu_type *type, const struct cu_datum *value, bool after)
{
	struct cut cut = { .word = value->integer, .len = value->len, .after = after };

	cu_value_order_word(type, value, &cut.word);
	return cut;
}

static struct cut lower_of(const struct cu_condition *condition)
{
	if (!condition->has_lower)
		return (struct cut){ .none = true };
	return cut_at(condition->type, &condition->values[0], !condition->lower_inclusive);
}

static struct cut upper_of(const struct cu_condition *condition)
{
	if (!condition->has_upper)
		return (struct cut){ .none = true, .after = true };
	return cut_at(condition->type, &condition->values[condition->has_lower ? 1 : 0], condition->upper_inclusive);
}

static struct cu_datum value_of(const struct cut *cut)
{
	return (struct cu_datum){ .len = cut->len, .integer = cut->word };
}

static int cuts_compare(const struct cu_ranges *ranges, const struct cut *a, const struct cut *b)
{
	struct cu_datum a_value = value_of(a), b_value = value_of(b);
	int compared;

	if (a->none || b->none)
		return (a->none ? a->after ? 1 : -1 : 0) - (b->none ? b->after ? 1 : -1 : 0);
	compared = cu_value_compare(ranges->type, ranges->collation, &a_value, &b_value);
	return compared ? compared : (int)a->after - (int)b->after;
}

/* ---- nodes ---- */

static size_t node_size(unsigned height)
{
	return sizeof(struct cu_range_node) + (height ? FANOUT * sizeof(struct cu_range_node *) : 0);
}

static struct cu_range_node *node_new(unsigned height)
{
	struct cu_range_node *node = cu_try_malloc(node_size(height));

	if (node) {
		node->height = (uint16_t)height;
		node->len = 0;
	}
	return node;
}

static void node_free(struct cu_range_node *node)
{
	for (unsigned i = 0; node && node->height && i < node->len; i++)
		node_free(node->children[i]);
	free(node);
}

void cu_ranges_fini(struct cu_ranges *ranges)
{
	node_free(ranges->root);
	ranges->root = NULL;
	ranges->len = 0;
}

/* Between nodes of one height, or within one. */
static void entries_move(struct cu_range_node *to, unsigned to_at, const struct cu_range_node *from, unsigned from_at,
			 unsigned len)
{
	memmove(&to->lowers[to_at], &from->lowers[from_at], len * sizeof to->lowers[0]);
	memmove(&to->uppers[to_at], &from->uppers[from_at], len * sizeof to->uppers[0]);
	memmove(&to->routes[to_at], &from->routes[from_at], len * sizeof(to->routes[0]));
	memmove(&to->conditions[to_at], &from->conditions[from_at], len * sizeof(to->conditions[0]));
	if (to->height)
		memmove(&to->children[to_at], &from->children[from_at], len * sizeof(to->children[0]));
}

static void entry_open(struct cu_range_node *node, unsigned at)
{
	entries_move(node, at + 1, node, at, node->len - at);
	node->len++;
}

static void entry_close(struct cu_range_node *node, unsigned at)
{
	node->len--;
	entries_move(node, at, node, at + 1, node->len - at);
}

/* Of the entries of two neighbours the first `keep` go to the left one. */
static void share(struct cu_range_node *left, struct cu_range_node *right, unsigned keep)
{
	unsigned moved;

	if (keep < left->len) {
		moved = left->len - keep;
		entries_move(right, moved, right, 0, right->len);
		entries_move(right, 0, left, keep, moved);
	} else {
		moved = keep - left->len;
		entries_move(left, left->len, right, 0, moved);
		entries_move(right, 0, right, moved, right->len - moved);
	}
	right->len = (uint16_t)(left->len + right->len - keep);
	left->len = (uint16_t)keep;
}

/* The entry of a child says what is below it. */
static void summarise(const struct cu_ranges *ranges, struct cu_range_node *node, unsigned at)
{
	const struct cu_range_node *child = node->children[at];
	const struct cut *largest = &child->uppers[0];

	for (unsigned i = 1; i < child->len; i++) {
		if (cuts_compare(ranges, &child->uppers[i], largest) > 0)
			largest = &child->uppers[i];
	}
	node->lowers[at] = child->lowers[0];
	node->uppers[at] = *largest;
	node->routes[at] = child->routes[0];
	node->conditions[at] = child->conditions[0];
}

static int key_compare(const struct cu_ranges *ranges, const struct key *key, const struct cu_range_node *node,
		       unsigned at)
{
	int compared = cuts_compare(ranges, &key->lower, &node->lowers[at]);

	if (compared)
		return compared;
	if (key->route != node->routes[at])
		return (uintptr_t)key->route < (uintptr_t)node->routes[at] ? -1 : 1;
	if (key->condition != node->conditions[at])
		return (uintptr_t)key->condition < (uintptr_t)node->conditions[at] ? -1 : 1;
	return 0;
}

/* How many of a node's entries are not beyond the key. */
static unsigned place_of(const struct cu_ranges *ranges, const struct cu_range_node *node, const struct key *key)
{
	unsigned low = 0, high = node->len, middle;

	while (low < high) {
		middle = (low + high) / 2;
		if (key_compare(ranges, key, node, middle) < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* ---- adding ---- */

/* A full child becomes two. What comes in order leaves nodes behind that nobody fills up: they keep more than half. */
static int split(const struct cu_ranges *ranges, struct cu_range_node *node, unsigned at, const struct key *key)
{
	struct cu_range_node *child = node->children[at], *right = node_new(child->height);
	unsigned place = place_of(ranges, child, key);

	if (!right)
		return CU_ENOMEM;
	share(child, right, place == FANOUT ? FANOUT - EDGE : place == 0 ? EDGE : FANOUT / 2);
	entry_open(node, at + 1);
	node->children[at + 1] = right;
	summarise(ranges, node, at);
	summarise(ranges, node, at + 1);
	return 0;
}

/* node is not full. Full ones are split on the way down, so that nothing has to be undone when there is no memory. */
static int insert(const struct cu_ranges *ranges, struct cu_range_node *node, const struct key *key)
{
	unsigned at = place_of(ranges, node, key);
	int rc = 0;

	if (node->height == 0) {
		entry_open(node, at);
		node->lowers[at] = key->lower;
		node->uppers[at] = upper_of(key->condition);
		node->routes[at] = key->route;
		node->conditions[at] = key->condition;
		return 0;
	}
	at -= at > 0;
	if (node->children[at]->len == FANOUT)
		rc = split(ranges, node, at, key);
	if (rc < 0)
		return rc;
	if (at + 1 < node->len && key_compare(ranges, key, node, at + 1) >= 0)
		at++;
	rc = insert(ranges, node->children[at], key);
	summarise(ranges, node, at);
	return rc;
}

/* A root above the root. */
static int grow(struct cu_ranges *ranges, const struct key *key)
{
	struct cu_range_node *old = ranges->root, *root = node_new(old ? old->height + 1u : 0);

	if (!root)
		return CU_ENOMEM;
	if (old) {
		root->children[0] = old;
		root->len = 1;
		if (split(ranges, root, 0, key) < 0) {
			free(root);
			return CU_ENOMEM;
		}
	}
	ranges->root = root;
	return 0;
}

int cu_ranges_add(struct cu_ranges *ranges, const struct cu_condition *condition, cu_route *route)
{
	struct key key = { lower_of(condition), route, condition };
	int rc = 0;

	if (!ranges->root || ranges->root->len == FANOUT)
		rc = grow(ranges, &key);
	if (rc == 0)
		rc = insert(ranges, ranges->root, &key);
	ranges->len += rc == 0;
	return rc;
}

/* ---- removing ---- */

/* A child that has too few entries is joined with its neighbour, or gets some of them. */
static void fill(const struct cu_ranges *ranges, struct cu_range_node *node, unsigned at)
{
	unsigned left_at = at + 1 < node->len ? at : at - 1, len;
	struct cu_range_node *left = node->children[left_at], *right = node->children[left_at + 1];

	len = left->len + right->len;
	share(left, right, len <= FANOUT ? len : len / 2);
	summarise(ranges, node, left_at);
	if (right->len) {
		summarise(ranges, node, left_at + 1);
	} else {
		free(right);
		entry_close(node, left_at + 1);
	}
}

static bool take_out(const struct cu_ranges *ranges, struct cu_range_node *node, const struct key *key)
{
	unsigned at = place_of(ranges, node, key);

	if (at-- == 0)
		return false;
	if (node->height == 0) {
		if (key_compare(ranges, key, node, at) != 0)
			return false;
		entry_close(node, at);
		return true;
	}
	if (!take_out(ranges, node->children[at], key))
		return false;
	if (node->children[at]->len < FILL_MIN)
		fill(ranges, node, at);
	else
		summarise(ranges, node, at);
	return true;
}

bool cu_ranges_remove(struct cu_ranges *ranges, const struct cu_condition *condition, cu_route *route)
{
	struct key key = { lower_of(condition), route, condition };
	struct cu_range_node *root = ranges->root;

	if (!root || !take_out(ranges, root, &key))
		return false;
	ranges->len--;
	if (root->height && root->len == 1) {
		ranges->root = root->children[0];
		free(root);
	} else if (root->len == 0) {
		cu_ranges_fini(ranges);
	}
	return true;
}

/* ---- searching ---- */

struct search {
	const struct cu_ranges *ranges;
	const struct cu_datum *value; /* NULL: all */
	int64_t word;
	bool by_word; /* values are compared by their words */
	cu_route_found *found;
	void *ctx;
};

/* The cut's value and the one that is searched for. */
static int compare_called(const struct search *s, const struct cut *cut)
{
	struct cu_datum value = value_of(cut);

	return cu_value_compare(s->ranges->type, s->ranges->collation, &value, s->value);
}

static inline bool is_before(const struct search *s, const struct cut *cut)
{
	int compared;

	if (cut->none)
		return !cut->after;
	compared = s->by_word ? (cut->word > s->word) - (cut->word < s->word) : compare_called(s, cut);
	return compared < 0 || (compared == 0 && !cut->after);
}

/* All of it at once. */
static void prefetch(const struct cu_range_node *node, unsigned height)
{
	for (size_t at = 0; at < node_size(height); at += CACHE_LINE)
		__builtin_prefetch((const char *)node + at);
}

/* How many of a node's entries begin before the value: they come first. */
static unsigned begun(const struct search *s, const struct cu_range_node *node)
{
	unsigned low = 0, high = node->len, middle;

	while (s->value && low < high) {
		middle = (low + high) / 2;
		if (is_before(s, &node->lowers[middle]))
			low = middle + 1;
		else
			high = middle;
	}
	return high;
}

/* Where thousands are found, most of the time is memory's: what was found in a node is asked for first, and met then. */
static int search(const struct search *s, const struct cu_range_node *node)
{
	unsigned met[FANOUT], met_len = 0, end = begun(s, node);
	int rc = 0;

	for (unsigned i = 0; i < end; i++) {
		if (s->value && is_before(s, &node->uppers[i]))
			continue;
		if (node->height)
			prefetch(node->children[i], node->height - 1u);
		else
			__builtin_prefetch(node->routes[i], 1);
		met[met_len++] = i;
	}
	for (unsigned i = 0; rc == 0 && i < met_len; i++) {
		if (node->height)
			rc = search(s, node->children[met[i]]);
		else
			rc = s->found(s->ctx, node->routes[met[i]], s->value != NULL);
	}
	return rc;
}

int cu_ranges_find(const struct cu_ranges *ranges, const struct cu_datum *value, cu_route_found *found, void *ctx)
{
	struct search s = { .ranges = ranges, .value = value, .found = found, .ctx = ctx };

	s.by_word = cu_value_order_word(ranges->type, value, &s.word);
	return ranges->root ? search(&s, ranges->root) : 0;
}

int cu_ranges_each(const struct cu_ranges *ranges, cu_route_found *found, void *ctx)
{
	const struct search s = { .ranges = ranges, .found = found, .ctx = ctx };

	return ranges->root ? search(&s, ranges->root) : 0;
}
