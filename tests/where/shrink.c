/* shrink.c: makes a failing tree smaller while it fails in the same way, on the row where it was seen. */
#include "where.h"

#define TRIES_MAX 3000

struct shrink {
	struct world *world;
	cu_arena *arena;
	enum wfinding finding;
	int row;
	unsigned tries;
	struct wnode *best;
};

void w_case_run(struct world *world, struct wnode *node, int row, struct wcase *ret_case)
{
	memset(ret_case, 0, sizeof *ret_case);
	ret_case->node = node;
	w_render(world, node, &ret_case->text);
	w_ours(world, ret_case, row);
	w_judge(world, ret_case, 1, row);
}

static bool fails(struct shrink *s, struct wnode *node)
{
	struct wcase c;
	bool same;

	if (s->tries++ > TRIES_MAX)
		return false;
	w_case_run(s->world, node, s->row, &c);
	same = c.finding == s->finding || (c.finding == W_SAME && c.soft == s->finding);
	w_case_fini(&c);
	return same;
}

/* Takes the change when the result still fails. */
static bool attempt(struct shrink *s, struct wnode *candidate)
{
	if (!fails(s, candidate))
		return false;
	s->best = candidate;
	return true;
}

static struct wnode *changed(struct shrink *s, unsigned index, struct wnode ***ret_slot)
{
	struct wnode *copy = w_node_copy(s->arena, s->best);

	*ret_slot = w_node_at(&copy, &index);
	if (*ret_slot == &copy) { /* the root: copy itself is what changes */
		struct wnode *wrap = w_node(s->arena, W_FORM, 0, "\1", 1);

		wrap->kids[0] = copy;
		*ret_slot = &wrap->kids[0];
		return wrap;
	}
	return copy;
}

static struct wnode *unwrapped(struct wnode *tree)
{
	while (tree->kind == W_FORM && strcmp(tree->form, "\1") == 0)
		tree = tree->kids[0];
	return tree;
}

static bool replace_by_kid(struct shrink *s, unsigned index)
{
	struct wnode **slot, *tree = changed(s, index, &slot);
	struct wnode *node = *slot;

	for (int same = 1; same >= 0; same--) {
		for (unsigned i = 0; i < node->kids_len; i++) {
			struct wnode *kid = node->kids[i];

			if ((kid->type == node->type) != (same == 1))
				continue;
			*slot = kid;
			if (attempt(s, unwrapped(tree)))
				return true;
			for (unsigned k = 0; k < kid->kids_len; k++) {
				*slot = kid->kids[k];
				if (attempt(s, unwrapped(tree)))
					return true;
			}
		}
	}
	return false;
}

static bool drop_kid(struct shrink *s, unsigned index)
{
	struct wnode **slot, *tree = changed(s, index, &slot);
	struct wnode *node = *slot;

	if (node->kind != W_FORM || node->kids_len <= node->fixed + 1)
		return false;
	for (unsigned i = node->fixed; i < node->kids_len; i++) {
		struct wnode *kid = node->kids[i];

		memmove(&node->kids[i], &node->kids[i + 1], (node->kids_len - i - 1) * sizeof(struct wnode *));
		node->kids_len--;
		if (attempt(s, unwrapped(tree)))
			return true;
		node->kids_len++;
		memmove(&node->kids[i + 1], &node->kids[i], (node->kids_len - i - 1) * sizeof(struct wnode *));
		node->kids[i] = kid;
	}
	return false;
}

static bool simple_leaf(struct shrink *s, unsigned index)
{
	static const char *const leaves[] = { "NULL", "true", "1", "id", "''" };
	struct wnode **slot, *tree = changed(s, index, &slot);
	struct wnode *node = *slot;

	if (node->type == 0 || node->kind == W_LEAF || node->kind == W_COLUMN)
		return false;
	for (size_t i = 0; i < CU_ARRAY_LEN(leaves); i++) {
		*slot = w_node(s->arena, W_LEAF, node->type, leaves[i], 0);
		if (node->kind != W_LITERAL && attempt(s, unwrapped(tree)))
			return true;
	}
	return false;
}

static bool shorter_text(struct shrink *s, unsigned index)
{
	struct wnode **slot, *tree = changed(s, index, &slot);
	struct wnode *node = *slot;
	const char *value = node->value;
	size_t len;

	if (node->kind != W_LITERAL)
		return false;
	if (node->style == W_PARAM) {
		node->style = W_QUOTED;
		if (attempt(s, unwrapped(tree)))
			return true;
		node->style = W_PARAM;
	}
	len = strlen(value);
	for (size_t cut = len; cut > 0; cut /= 2) {
		for (size_t at = 0; at + cut <= len; at++) {
			size_t end = at + cut;

			if (((unsigned char)value[at] & 0xc0) == 0x80 || ((unsigned char)value[end] & 0xc0) == 0x80)
				continue;
			node->value = w_printf(s->arena, "%.*s%s", (int)at, value, value + end);
			if (node->style == W_RAW && *node->value == 0)
				continue;
			if (attempt(s, unwrapped(tree)))
				return true;
		}
	}
	return false;
}

struct wnode *w_shrink(struct world *world, cu_arena *arena, struct wnode *node, enum wfinding finding, unsigned row,
		       struct wcase *ret_case)
{
	static bool (*const steps[])(struct shrink *, unsigned) = { replace_by_kid, drop_kid, simple_leaf,
								    shorter_text };
	struct shrink s = { .world = world, .arena = arena, .finding = finding, .row = (int)row, .best = node };

	if (!fails(&s, node)) /* it takes all rows */
		s.row = -1;
	for (bool again = true; again;) {
		again = false;
		for (size_t k = 0; k < CU_ARRAY_LEN(steps); k++) {
			for (unsigned i = 0; i < w_node_count(s.best) && s.tries < TRIES_MAX;)
				if (steps[k](&s, i))
					again = true;
				else
					i++;
		}
	}
	w_case_run(world, s.best, s.row, ret_case);
	return s.best;
}
