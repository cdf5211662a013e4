/* ranges.c: the treap. Recursion is as deep as the tree: about 2 log n, whatever was inserted in which order. */
#include "router/ranges.h"

#include <stdlib.h>

struct cu_range_node {
	struct cu_range_node *left, *right;
	const struct cu_condition *condition;
	const struct cu_condition *max; /* of this tree: the one with the largest upper bound */
	cu_route *route;
	uint32_t priority;
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

static const struct cu_datum *upper_of(const struct cu_condition *condition)
{
	return &condition->values[condition->has_lower ? 1 : 0];
}

/* Lower bounds: none at all is the least; of two equal ones the inclusive is less. */
static int compare_lower(const struct cu_ranges *ranges, const struct cu_condition *a, const struct cu_condition *b)
{
	int compared;

	if (!a->has_lower || !b->has_lower)
		return (int)a->has_lower - (int)b->has_lower;
	compared = cu_value_compare(ranges->type, ranges->collation, &a->values[0], &b->values[0]);
	return compared ? compared : (int)b->lower_inclusive - (int)a->lower_inclusive;
}

/* Upper bounds: none at all is the largest; of two equal ones the inclusive is larger. */
static int compare_upper(const struct cu_ranges *ranges, const struct cu_condition *a, const struct cu_condition *b)
{
	int compared;

	if (!a->has_upper || !b->has_upper)
		return (int)b->has_upper - (int)a->has_upper;
	compared = cu_value_compare(ranges->type, ranges->collation, upper_of(a), upper_of(b));
	return compared ? compared : (int)a->upper_inclusive - (int)b->upper_inclusive;
}

/* The order of the tree. Equal bounds: by address, so that each node has one place. */
static int compare_nodes(const struct cu_ranges *ranges, const struct cu_condition *a, const cu_route *a_route,
			 const struct cu_range_node *b)
{
	int compared = compare_lower(ranges, a, b->condition);

	if (compared)
		return compared;
	if (a_route != b->route)
		return (uintptr_t)a_route < (uintptr_t)b->route ? -1 : 1;
	if (a != b->condition)
		return (uintptr_t)a < (uintptr_t)b->condition ? -1 : 1;
	return 0;
}

static void update(const struct cu_ranges *ranges, struct cu_range_node *node)
{
	node->max = node->condition;
	if (node->left && compare_upper(ranges, node->left->max, node->max) > 0)
		node->max = node->left->max;
	if (node->right && compare_upper(ranges, node->right->max, node->max) > 0)
		node->max = node->right->max;
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
	if (compare_nodes(ranges, node->condition, node->route, tree) < 0) {
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
	struct cu_range_node *node = cu_try_zalloc(sizeof *node);

	if (!node)
		return CU_ENOMEM;
	ranges->dice = ranges->dice * 6364136223846793005ull + 1442695040888963407ull;
	node->priority = (uint32_t)(ranges->dice >> 32);
	node->condition = node->max = condition;
	node->route = route;
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
				      const struct cu_condition *condition, const cu_route *route,
				      struct cu_range_node **ret_node)
{
	int compared = tree ? compare_nodes(ranges, condition, route, tree) : 0;

	if (!tree)
		return NULL;
	if (compared == 0) {
		*ret_node = tree;
		return merge(ranges, tree->left, tree->right);
	}
	if (compared < 0)
		tree->left = take_out(ranges, tree->left, condition, route, ret_node);
	else
		tree->right = take_out(ranges, tree->right, condition, route, ret_node);
	update(ranges, tree);
	return tree;
}

bool cu_ranges_remove(struct cu_ranges *ranges, const struct cu_condition *condition, cu_route *route)
{
	struct cu_range_node *node = NULL;

	ranges->root = take_out(ranges, ranges->root, condition, route, &node);
	ranges->len -= node != NULL;
	free(node);
	return node != NULL;
}

static bool is_above_lower(const struct cu_ranges *ranges, const struct cu_condition *condition,
			   const struct cu_datum *value)
{
	int compared;

	if (!condition->has_lower)
		return true;
	compared = cu_value_compare(ranges->type, ranges->collation, value, &condition->values[0]);
	return compared > 0 || (compared == 0 && condition->lower_inclusive);
}

static bool is_below_upper(const struct cu_ranges *ranges, const struct cu_condition *condition,
			   const struct cu_datum *value)
{
	int compared;

	if (!condition->has_upper)
		return true;
	compared = cu_value_compare(ranges->type, ranges->collation, value, upper_of(condition));
	return compared < 0 || (compared == 0 && condition->upper_inclusive);
}

struct search {
	const struct cu_ranges *ranges;
	const struct cu_datum *value; /* NULL: all */
	int (*found)(void *ctx, cu_route *route);
	void *ctx;
};

static int search(const struct search *s, const struct cu_range_node *tree)
{
	int rc;

	/* Nothing below reaches up to the value. */
	if (!tree || (s->value && !is_below_upper(s->ranges, tree->max, s->value)))
		return 0;
	rc = search(s, tree->left);
	if (rc)
		return rc;
	/* Whatever stands to the right begins here or later. */
	if (s->value && !is_above_lower(s->ranges, tree->condition, s->value))
		return 0;
	if (!s->value || is_below_upper(s->ranges, tree->condition, s->value)) {
		rc = s->found(s->ctx, tree->route);
		if (rc)
			return rc;
	}
	return search(s, tree->right);
}

int cu_ranges_find(const struct cu_ranges *ranges, const struct cu_datum *value,
		   int (*found)(void *ctx, cu_route *route), void *ctx)
{
	return search(&(struct search){ ranges, value, found, ctx }, ranges->root);
}

int cu_ranges_each(const struct cu_ranges *ranges, int (*found)(void *ctx, cu_route *route), void *ctx)
{
	return search(&(struct search){ ranges, NULL, found, ctx }, ranges->root);
}
