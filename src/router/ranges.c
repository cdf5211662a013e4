/* ranges.c: the treap. Recursion is as deep as the tree: about 2 log n, whatever was inserted in which order. */
#include "router/ranges.h"

#include <stdlib.h>

/* A search reads bounds from the node itself: what they point to, if anything, is the condition's. NULL: there is no bound. */
struct cu_range_node {
	struct cu_range_node *left, *right;
	struct cu_datum left_max; /* what max is on the left, so that a search need not go there to see it */
	struct cu_datum lower, upper;
	struct cu_datum max; /* of this tree: the largest upper bound */
	cu_route *route;
	const struct cu_condition *condition;
	uint32_t priority;
	bool left_max_inclusive, lower_inclusive, upper_inclusive, max_inclusive;
};

void cu_ranges_init(struct cu_ranges *ranges, const struct cu_type *type, const struct cu_collation *collation)
{
	*ranges = (struct cu_ranges){ .type = type, .collation = collation, .dice = 0x9e3779b97f4a7c15ull };
}

static void node_free(struct cu_range_node *node)
{
	if (!node)
		return;
	node_free(node->left);
	node_free(node->right);
	free(node);
}

void cu_ranges_fini(struct cu_ranges *ranges)
{
	node_free(ranges->root);
	ranges->root = NULL;
	ranges->len = 0;
}

static struct cu_range_node node_of(const struct cu_condition *condition, cu_route *route)
{
	return (struct cu_range_node){
		.lower = condition->has_lower ? condition->values[0] : CU_DATUM_NULL,
		.upper = condition->has_upper ? condition->values[condition->has_lower ? 1 : 0] : CU_DATUM_NULL,
		.lower_inclusive = condition->lower_inclusive,
		.upper_inclusive = condition->upper_inclusive,
		.route = route,
		.condition = condition,
	};
}

/* The order of the tree: by lower bound. None at all is the least; of two equal ones the inclusive is less. Equal bounds: by
 * address, so that each node has one place. */
static int compare_nodes(const struct cu_ranges *ranges, const struct cu_range_node *a, const struct cu_range_node *b)
{
	int compared;

	if (a->lower.is_null || b->lower.is_null)
		compared = (int)b->lower.is_null - (int)a->lower.is_null;
	else
		compared = cu_value_compare(ranges->type, ranges->collation, &a->lower, &b->lower);
	if (!compared && !a->lower.is_null)
		compared = (int)b->lower_inclusive - (int)a->lower_inclusive;
	if (compared)
		return compared;
	if (a->route != b->route)
		return (uintptr_t)a->route < (uintptr_t)b->route ? -1 : 1;
	if (a->condition != b->condition)
		return (uintptr_t)a->condition < (uintptr_t)b->condition ? -1 : 1;
	return 0;
}

/* No bound at all is the largest; of two equal ones the inclusive is larger. */
static void max_raise(const struct cu_ranges *ranges, struct cu_range_node *node, const struct cu_range_node *child)
{
	int compared;

	if (!child || node->max.is_null)
		return;
	if (child->max.is_null)
		compared = 1;
	else
		compared = cu_value_compare(ranges->type, ranges->collation, &child->max, &node->max);
	if (compared > 0 || (compared == 0 && child->max_inclusive)) {
		node->max = child->max;
		node->max_inclusive = child->max_inclusive;
	}
}

static void update(const struct cu_ranges *ranges, struct cu_range_node *node)
{
	node->max = node->upper;
	node->max_inclusive = node->upper_inclusive;
	if (node->left) {
		node->left_max = node->left->max;
		node->left_max_inclusive = node->left->max_inclusive;
	}
	max_raise(ranges, node, node->left);
	max_raise(ranges, node, node->right);
}

static struct cu_range_node *rotate_right(const struct cu_ranges *ranges, struct cu_range_node *node)
{
	struct cu_range_node *top = node->left;

	node->left = top->right;
	top->right = node;
	update(ranges, node);
	update(ranges, top);
	return top;
}

static struct cu_range_node *rotate_left(const struct cu_ranges *ranges, struct cu_range_node *node)
{
	struct cu_range_node *top = node->right;

	node->right = top->left;
	top->left = node;
	update(ranges, node);
	update(ranges, top);
	return top;
}

static struct cu_range_node *insert(const struct cu_ranges *ranges, struct cu_range_node *tree,
				    struct cu_range_node *node)
{
	if (!tree)
		return node;
	if (compare_nodes(ranges, node, tree) < 0) {
		tree->left = insert(ranges, tree->left, node);
		if (tree->left->priority > tree->priority)
			return rotate_right(ranges, tree);
	} else {
		tree->right = insert(ranges, tree->right, node);
		if (tree->right->priority > tree->priority)
			return rotate_left(ranges, tree);
	}
	update(ranges, tree);
	return tree;
}

int cu_ranges_add(struct cu_ranges *ranges, const struct cu_condition *condition, cu_route *route)
{
	struct cu_range_node *node = cu_try_malloc(sizeof *node);

	if (!node)
		return CU_ENOMEM;
	*node = node_of(condition, route);
	update(ranges, node);
	ranges->dice = ranges->dice * 6364136223846793005ull + 1442695040888963407ull;
	node->priority = (uint32_t)(ranges->dice >> 32);
	ranges->root = insert(ranges, ranges->root, node);
	ranges->len++;
	return 0;
}

static struct cu_range_node *merge(const struct cu_ranges *ranges, struct cu_range_node *left,
				   struct cu_range_node *right)
{
	if (!left || !right)
		return left ? left : right;
	if (left->priority > right->priority) {
		left->right = merge(ranges, left->right, right);
		update(ranges, left);
		return left;
	}
	right->left = merge(ranges, left, right->left);
	update(ranges, right);
	return right;
}

static struct cu_range_node *take_out(const struct cu_ranges *ranges, struct cu_range_node *tree,
				      const struct cu_range_node *wanted, struct cu_range_node **ret_node)
{
	int compared = tree ? compare_nodes(ranges, wanted, tree) : 0;

	if (!tree)
		return NULL;
	if (compared == 0) {
		*ret_node = tree;
		return merge(ranges, tree->left, tree->right);
	}
	if (compared < 0)
		tree->left = take_out(ranges, tree->left, wanted, ret_node);
	else
		tree->right = take_out(ranges, tree->right, wanted, ret_node);
	update(ranges, tree);
	return tree;
}

bool cu_ranges_remove(struct cu_ranges *ranges, const struct cu_condition *condition, cu_route *route)
{
	struct cu_range_node wanted = node_of(condition, route), *node = NULL;

	ranges->root = take_out(ranges, ranges->root, &wanted, &node);
	ranges->len -= node != NULL;
	free(node);
	return node != NULL;
}

static bool is_above(const struct cu_ranges *ranges, const struct cu_datum *value, const struct cu_datum *lower,
		     bool inclusive)
{
	int compared = lower->is_null ? 1 : cu_value_compare(ranges->type, ranges->collation, value, lower);

	return compared > 0 || (compared == 0 && inclusive);
}

static bool is_below(const struct cu_ranges *ranges, const struct cu_datum *value, const struct cu_datum *upper,
		     bool inclusive)
{
	int compared = upper->is_null ? -1 : cu_value_compare(ranges->type, ranges->collation, value, upper);

	return compared < 0 || (compared == 0 && inclusive);
}

#define ROUTES_AHEAD 8u /* met later than they are found */

struct search {
	const struct cu_ranges *ranges;
	const struct cu_datum *value; /* NULL: all */
	cu_route_found *found;
	void *ctx;
	/* Where thousands are found, most of the time is memory's: a route is asked for here, and met when some more have been
	 * found. */
	cu_route *met[ROUTES_AHEAD];
	size_t met_len; /* in all; the last ROUTES_AHEAD of them wait */
};

static int meet(struct search *s, cu_route *route)
{
	cu_route **place = &s->met[s->met_len % ROUTES_AHEAD];
	cu_route *before = *place;

	__builtin_prefetch(route, 1);
	*place = route;
	return s->met_len++ < ROUTES_AHEAD ? 0 : s->found(s->ctx, before, s->value != NULL);
}

static int search(struct search *s, const struct cu_range_node *tree)
{
	const struct cu_datum *value = s->value;
	int rc;

	for (; tree; tree = tree->right) {
		if (tree->right) {
			__builtin_prefetch(tree->right);
			__builtin_prefetch(&tree->right->max);
		}
		/* Nothing here or below reaches up to the value. */
		if (value && !is_below(s->ranges, value, &tree->max, tree->max_inclusive))
			return 0;
		if (tree->left && (!value || is_below(s->ranges, value, &tree->left_max, tree->left_max_inclusive))) {
			rc = search(s, tree->left);
			if (rc)
				return rc;
		}
		/* Whatever stands to the right begins here or later. */
		if (value && !is_above(s->ranges, value, &tree->lower, tree->lower_inclusive))
			return 0;
		if (!value || is_below(s->ranges, value, &tree->upper, tree->upper_inclusive)) {
			rc = meet(s, tree->route);
			if (rc)
				return rc;
		}
	}
	return 0;
}

static int search_all(const struct cu_ranges *ranges, const struct cu_datum *value, cu_route_found *found, void *ctx)
{
	struct search s = { .ranges = ranges, .value = value, .found = found, .ctx = ctx };
	size_t i;
	int rc = search(&s, ranges->root);

	for (i = s.met_len < ROUTES_AHEAD ? 0 : s.met_len - ROUTES_AHEAD; rc == 0 && i < s.met_len; i++)
		rc = found(ctx, s.met[i % ROUTES_AHEAD], value != NULL);
	return rc;
}

int cu_ranges_find(const struct cu_ranges *ranges, const struct cu_datum *value, cu_route_found *found, void *ctx)
{
	return search_all(ranges, value, found, ctx);
}

int cu_ranges_each(const struct cu_ranges *ranges, cu_route_found *found, void *ctx)
{
	return search_all(ranges, NULL, found, ctx);
}
