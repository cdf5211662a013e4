/* tree.c: see where.h. */
#include "where.h"

struct wnode *w_node(cu_arena *arena, enum wkind kind, uint32_t type, const char *form, unsigned kids_len)
{
	struct wnode *node = cu_arena_alloc(arena, sizeof *node);

	CU_ASSERT(node != NULL);
	*node = (struct wnode){ .kind = kind, .type = type, .form = form, .sep = ", ", .kids_len = kids_len };
	node->kids = cu_arena_alloc(arena, (kids_len + 1) * sizeof(*node->kids));
	CU_ASSERT(node->kids != NULL);
	for (const char *p = form; p && *p; p++)
		node->fixed += *p == '\1' && kind == W_FORM;
	return node;
}

const char *w_printf(cu_arena *arena, const char *fmt, ...)
{
	cu_buf buf = CU_BUF_INIT;
	va_list args;
	char *text;

	va_start(args, fmt);
	cu_buf_vprintf(&buf, fmt, args);
	va_end(args);
	text = cu_arena_copy(arena, cu_buf_str(&buf), buf.len + 1);
	CU_ASSERT(text != NULL);
	cu_buf_fini(&buf);
	return text;
}

/* Depth is bounded by the generator's. */
struct wnode *w_node_copy(cu_arena *arena, const struct wnode *node)
{
	struct wnode *copy = w_node(arena, node->kind, node->type, node->form, node->kids_len);
	struct wnode **kids = copy->kids;

	*copy = *node;
	copy->kids = kids;
	for (unsigned i = 0; i < node->kids_len; i++)
		kids[i] = w_node_copy(arena, node->kids[i]);
	return copy;
}

unsigned w_node_count(const struct wnode *node)
{
	unsigned count = 1;

	for (unsigned i = 0; i < node->kids_len; i++)
		count += w_node_count(node->kids[i]);
	return count;
}

struct wnode **w_node_at(struct wnode **node, unsigned *index)
{
	if ((*index)-- == 0)
		return node;
	for (unsigned i = 0; i < (*node)->kids_len; i++) {
		struct wnode **found = w_node_at(&(*node)->kids[i], index);

		if (found)
			return found;
	}
	return NULL;
}

void w_put_literal(cu_buf *out, const char *text, size_t len)
{
	cu_buf_putc(out, '\'');
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\'')
			cu_buf_putc(out, '\'');
		cu_buf_putc(out, text[i]);
	}
	cu_buf_putc(out, '\'');
}

static unsigned param_number(const struct wnode *node, struct wtext *out)
{
	for (unsigned i = 0; i < out->params_len; i++)
		if (out->param_ids[i] == node->param)
			return i + 1;
	CU_ASSERT(out->params_len < W_PARAMS_MAX);
	out->param_ids[out->params_len] = node->param;
	out->params[out->params_len] = node->value;
	return ++out->params_len;
}

static void render_literal(const struct wnode *node, struct wtext *out)
{
	for (const char *p = node->form; *p; p++) {
		if (*p != '\1') {
			cu_buf_putc(&out->sql, *p);
			continue;
		}
		switch (node->style) {
		case W_QUOTED: w_put_literal(&out->sql, node->value, strlen(node->value)); break;
		case W_RAW: cu_buf_puts(&out->sql, node->value); break;
		case W_PARAM: cu_buf_printf(&out->sql, "$%u", param_number(node, out)); break;
		}
	}
}

void w_render(const struct world *world, const struct wnode *node, struct wtext *out)
{
	unsigned next = 0;

	switch (node->kind) {
	case W_LEAF: cu_buf_puts(&out->sql, node->form); break;
	case W_COLUMN: cu_buf_puts(&out->sql, world->columns[node->column].sql); break;
	case W_LITERAL: render_literal(node, out); break;
	case W_FORM:
		for (const char *p = node->form; *p; p++) {
			if (*p == '\1') {
				w_render(world, node->kids[next++], out);
			} else if (*p == '\2') {
				for (unsigned i = node->fixed; i < node->kids_len; i++) {
					if (i > node->fixed)
						cu_buf_puts(&out->sql, node->sep);
					w_render(world, node->kids[i], out);
				}
			} else {
				cu_buf_putc(&out->sql, *p);
			}
		}
		break;
	}
}
