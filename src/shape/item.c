/* item.c: items from rows.
 *
 * A layout holds two lists: the selected columns, sorted by name (the order in which Electric writes a value), and
 * the key columns in key order. Constant text between the varying parts is joined when the layout is built, so an
 * item is a few memcpys and one escaping pass per value.
 *
 * Electric 1.6.2 keys a table without a primary key by the catalog's column order, though its own key function falls
 * back to the order of names. Clients treat a key as opaque; PROTOCOL.md says names, so names it is.
 */
#include "shape/item.h"

#include "base/limits.h"

#include <stdlib.h>

struct text {
	const char *data; /* inside the layout's texts */
	uint32_t len;
};

struct item_column {
	struct text name_json; /* "name": */
	uint16_t index;        /* in a row */
	bool is_key;
};

enum head {
	HEAD_INSERT,
	HEAD_UPDATE,
	HEAD_DELETE,
	HEADS,
};

struct cu_item_layout {
	unsigned columns_n;
	unsigned selected_n;
	unsigned key_n;
	bool has_pk;
	struct item_column *selected; /* sorted by name */
	uint16_t *key;                /* indexes into a row, in key order */
	struct text prefix;           /* "schema"."table" */
	struct text prefix_json;      /* the same, escaped, without outer quotes */
	struct text open;             /* {"key":"<prefix_json> */
	struct text snapshot_tail;    /* ,"headers":{"operation":"insert","relation":[…] */
	struct text heads[HEADS];     /* ,"headers":{"operation":…,"relation":[…],"lsn":" */
	char *texts;
	size_t texts_len;
};

/* --- building --- */

struct name_at {
	const char *name;
	uint16_t index;
};

static int name_compare(const void *a, const void *b)
{
	const struct name_at *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* Texts are gathered in one buffer that moves while it grows, so offsets are kept first: data is an offset from NULL
 * until texts_fix(). */
static struct text text_since(const cu_buf *texts, size_t from)
{
	return (struct text){ (const char *)(uintptr_t)from, (uint32_t)(texts->len - from) };
}

static void text_fix(struct text *text, const char *base)
{
	text->data = base + (uintptr_t)text->data;
}

static void relation_part_put(cu_buf *out, const char *name)
{
	cu_buf_putc(out, '"');
	for (; *name; name++) {
		if (*name == '/' || *name == '.')
			cu_buf_putc(out, *name);
		cu_buf_putc(out, *name);
	}
	cu_buf_putc(out, '"');
}

static void relation_json_put(cu_buf *out, const struct cu_item_layout_spec *spec)
{
	cu_buf_puts(out, "\"relation\":[");
	cu_buf_put_json(out, spec->schema, strlen(spec->schema));
	cu_buf_putc(out, ',');
	cu_buf_put_json(out, spec->table, strlen(spec->table));
	cu_buf_putc(out, ']');
}

static void texts_build(cu_item_layout *layout, const struct cu_item_layout_spec *spec, cu_buf *texts)
{
	static const char *const operations[HEADS] = { "insert", "update", "delete" };
	cu_buf prefix = CU_BUF_INIT;
	size_t from;

	relation_part_put(&prefix, spec->schema);
	cu_buf_putc(&prefix, '.');
	relation_part_put(&prefix, spec->table);
	if (cu_buf_failed(&prefix)) {
		texts->failed = true;
		goto out;
	}

	cu_buf_append(texts, prefix.data, prefix.len);
	layout->prefix = text_since(texts, 0);
	from = texts->len;
	cu_buf_put_json_body(texts, prefix.data, prefix.len);
	layout->prefix_json = text_since(texts, from);
	from = texts->len;
	cu_buf_puts(texts, "{\"key\":\"");
	cu_buf_put_json_body(texts, prefix.data, prefix.len);
	layout->open = text_since(texts, from);
	from = texts->len;
	cu_buf_puts(texts, ",\"headers\":{\"operation\":\"insert\",");
	relation_json_put(texts, spec);
	layout->snapshot_tail = text_since(texts, from);
	for (unsigned i = 0; i < HEADS; i++) {
		from = texts->len;
		cu_buf_puts(texts, ",\"headers\":{\"operation\":\"");
		cu_buf_puts(texts, operations[i]);
		cu_buf_puts(texts, "\",");
		relation_json_put(texts, spec);
		cu_buf_puts(texts, ",\"lsn\":\"");
		layout->heads[i] = text_since(texts, from);
	}
	for (unsigned i = 0; i < layout->selected_n; i++) {
		struct item_column *column = &layout->selected[i];
		const char *name = spec->columns[column->index].name;

		from = texts->len;
		cu_buf_put_json(texts, name, strlen(name));
		cu_buf_putc(texts, ':');
		column->name_json = text_since(texts, from);
	}
out:
	cu_buf_fini(&prefix);
}

static void texts_fix(cu_item_layout *layout)
{
	text_fix(&layout->prefix, layout->texts);
	text_fix(&layout->prefix_json, layout->texts);
	text_fix(&layout->open, layout->texts);
	text_fix(&layout->snapshot_tail, layout->texts);
	for (unsigned i = 0; i < HEADS; i++)
		text_fix(&layout->heads[i], layout->texts);
	for (unsigned i = 0; i < layout->selected_n; i++)
		text_fix(&layout->selected[i].name_json, layout->texts);
}

/* The key columns in key order: positions must be 0 … n-1, each once. Without any, all columns by name. */
static int key_build(cu_item_layout *layout, const struct cu_item_layout_spec *spec, const struct name_at *sorted)
{
	unsigned pk_n = 0;

	for (unsigned i = 0; i < spec->columns_n; i++) {
		if (spec->columns[i].pk_index < -1)
			return CU_EINVAL;
		pk_n += spec->columns[i].pk_index >= 0;
	}
	layout->has_pk = pk_n > 0;
	layout->key_n = pk_n ? pk_n : spec->columns_n;
	layout->key = cu_xmalloc((layout->key_n ? layout->key_n : 1) * sizeof *layout->key);
	memset(layout->key, 0xff, layout->key_n * sizeof *layout->key);
	for (unsigned i = 0; i < spec->columns_n; i++) {
		int at = spec->columns[i].pk_index;

		if (!pk_n) {
			layout->key[i] = sorted[i].index;
		} else if (at >= 0) {
			if ((unsigned)at >= pk_n || layout->key[at] != UINT16_MAX)
				return CU_EINVAL;
			layout->key[at] = (uint16_t)i;
		}
	}
	return 0;
}

int cu_item_layout_new(const struct cu_item_layout_spec *spec, cu_item_layout **ret_layout)
{
	cu_item_layout *layout = cu_xzalloc(sizeof *layout);
	struct name_at *sorted = NULL;
	cu_buf texts = CU_BUF_INIT;
	int rc = CU_EINVAL;

	if (spec->columns_n > CU_COLUMNS_MAX)
		goto out;
	sorted = cu_xmalloc((spec->columns_n + 1) * sizeof *sorted);
	for (unsigned i = 0; i < spec->columns_n; i++)
		sorted[i] = (struct name_at){ spec->columns[i].name, (uint16_t)i };
	qsort(sorted, spec->columns_n, sizeof *sorted, name_compare);

	layout->columns_n = spec->columns_n;
	rc = key_build(layout, spec, sorted);
	if (rc < 0)
		goto out;
	layout->selected = cu_xmalloc((spec->columns_n + 1) * sizeof *layout->selected);
	for (unsigned i = 0; i < spec->columns_n; i++) {
		const struct cu_item_column_spec *column = &spec->columns[sorted[i].index];

		if (column->selected)
			layout->selected[layout->selected_n++] = (struct item_column){
				.index = sorted[i].index,
				.is_key = !layout->has_pk || column->pk_index >= 0,
			};
	}
	texts_build(layout, spec, &texts);
	layout->texts_len = texts.len;
	layout->texts = cu_buf_steal(&texts, NULL);
	if (!layout->texts) {
		rc = CU_ENOMEM;
		goto out;
	}
	texts_fix(layout);

	*ret_layout = layout;
	layout = NULL;
out:
	free(sorted);
	cu_buf_fini(&texts);
	cu_item_layout_free(&layout);
	return rc;
}

void cu_item_layout_free(cu_item_layout **layout)
{
	if (!*layout)
		return;
	free((*layout)->selected);
	free((*layout)->key);
	free((*layout)->texts);
	free(*layout);
	*layout = NULL;
}

unsigned cu_item_layout_columns_n(const cu_item_layout *layout)
{
	return layout->columns_n;
}

bool cu_item_layout_has_pk(const cu_item_layout *layout)
{
	return layout->has_pk;
}

size_t cu_item_layout_bytes(const cu_item_layout *layout)
{
	return sizeof *layout + (layout->columns_n + 1) * sizeof *layout->selected +
	       layout->key_n * sizeof *layout->key + layout->texts_len + 1;
}

/* --- rows --- */

/* The new row's value, looking through an unchanged TOAST value to the old row. */
static inline const struct cu_pg_value *value_of(const struct cu_pg_value *old_row, const struct cu_pg_value *new_row,
						 unsigned index)
{
	if (new_row[index].kind == CU_PG_UNCHANGED && old_row)
		return &old_row[index];
	return &new_row[index];
}

static inline bool column_changed(const struct cu_pg_value *old_row, const struct cu_pg_value *new_row, unsigned index)
{
	if (!old_row)
		return true; /* the table has no REPLICA IDENTITY FULL: nothing is known about the old row */
	return new_row[index].kind != CU_PG_UNCHANGED && !cu_pg_value_equal(&old_row[index], &new_row[index]);
}

bool cu_item_row_changed(const cu_item_layout *layout, const struct cu_pg_value *old_row,
			 const struct cu_pg_value *new_row)
{
	for (unsigned i = 0; i < layout->selected_n; i++) {
		if (column_changed(old_row, new_row, layout->selected[i].index))
			return true;
	}
	return false;
}

bool cu_item_key_changed(const cu_item_layout *layout, const struct cu_pg_value *old_row,
			 const struct cu_pg_value *new_row)
{
	for (unsigned i = 0; i < layout->key_n; i++) {
		if (column_changed(old_row, new_row, layout->key[i]))
			return true;
	}
	return false;
}

/* --- writing --- */

static inline void text_put(cu_buf *out, struct text text)
{
	cu_buf_append(out, text.data, text.len);
}

static inline void bytes_put(cu_buf *out, const char *data, size_t len, bool json)
{
	if (json)
		cu_buf_put_json_body(out, data, len);
	else
		cu_buf_append(out, data, len);
}

/* The value with every slash doubled. */
static void key_value_put(cu_buf *out, const struct cu_pg_value *value, bool json)
{
	const char *at = value->data, *end = at + value->len, *slash;

	while ((slash = at < end ? memchr(at, '/', (size_t)(end - at)) : NULL)) {
		bytes_put(out, at, (size_t)(slash + 1 - at), json);
		cu_buf_putc(out, '/');
		at = slash + 1;
	}
	if (at < end)
		bytes_put(out, at, (size_t)(end - at), json);
}

/* The key behind its prefix: /"1"/_ */
static void key_values_put(cu_buf *out, const cu_item_layout *layout, const struct cu_pg_value *old_row,
			   const struct cu_pg_value *row, bool json)
{
	for (unsigned i = 0; i < layout->key_n; i++) {
		const struct cu_pg_value *value = value_of(old_row, row, layout->key[i]);

		if (!cu_pg_value_has_data(value)) {
			cu_buf_append(out, "/_", 2);
			continue;
		}
		if (json)
			cu_buf_append(out, "/\\\"", 3);
		else
			cu_buf_append(out, "/\"", 2);
		key_value_put(out, value, json);
		if (json)
			cu_buf_append(out, "\\\"", 2);
		else
			cu_buf_append(out, "\"", 1);
	}
}

void cu_item_put_key(cu_buf *out, const cu_item_layout *layout, const struct cu_pg_value *row)
{
	text_put(out, layout->prefix);
	key_values_put(out, layout, NULL, row, false);
}

static void key_json_put(cu_buf *out, const cu_item_layout *layout, const struct cu_pg_value *old_row,
			 const struct cu_pg_value *row)
{
	cu_buf_putc(out, '"');
	text_put(out, layout->prefix_json);
	key_values_put(out, layout, old_row, row, true);
	cu_buf_putc(out, '"');
}

void cu_item_put_key_json(cu_buf *out, const cu_item_layout *layout, const struct cu_pg_value *row)
{
	key_json_put(out, layout, NULL, row);
}

/* {"key":"…","value": */
static inline void open_put(cu_buf *out, const cu_item_layout *layout, const struct cu_pg_value *old_row,
			    const struct cu_pg_value *row)
{
	static const char value[] = "\",\"value\":";

	text_put(out, layout->open);
	key_values_put(out, layout, old_row, row, true);
	cu_buf_append(out, value, sizeof value - 1);
}

enum which {
	ALL,
	KEY,
	CHANGED,
	KEY_AND_CHANGED,
};

/* The selected columns that `which` asks for, as an object. Values come from row, looking through to old_row. */
static inline void object_put(cu_buf *out, const cu_item_layout *layout, const struct cu_pg_value *old_row,
			      const struct cu_pg_value *row, enum which which, const struct cu_pg_value *values)
{
	char before = '{';

	for (unsigned i = 0; i < layout->selected_n; i++) {
		const struct item_column *column = &layout->selected[i];
		const struct cu_pg_value *value;

		if (which != ALL && !(which != CHANGED && column->is_key) &&
		    (which == KEY || !column_changed(old_row, row, column->index)))
			continue;
		value = value_of(old_row, values, column->index);
		if (value->kind == CU_PG_UNCHANGED)
			continue;
		cu_buf_putc(out, before);
		before = ',';
		text_put(out, column->name_json);
		if (cu_pg_value_has_data(value))
			cu_buf_put_json(out, value->data, value->len);
		else
			cu_buf_append(out, "null", 4);
	}
	if (before == '{')
		cu_buf_putc(out, '{');
	cu_buf_putc(out, '}');
}

static void snapshot_put(cu_buf *out, const cu_item_layout *layout, const struct cu_pg_value *row)
{
	open_put(out, layout, NULL, row);
	object_put(out, layout, NULL, row, ALL, row);
	text_put(out, layout->snapshot_tail);
}

void cu_item_put_snapshot(cu_buf *out, const cu_item_layout *layout, const struct cu_pg_value *row)
{
	snapshot_put(out, layout, row);
	cu_buf_puts(out, CU_ITEM_END);
}

void cu_item_put_subset(cu_buf *out, const cu_item_layout *layout, const struct cu_pg_value *row, uint32_t mark)
{
	snapshot_put(out, layout, row);
	cu_buf_puts(out, ",\"snapshot_mark\":");
	cu_buf_put_u64(out, mark);
	cu_buf_puts(out, CU_ITEM_END);
}

/* ,"headers":{"operation":…,"relation":[…],"lsn":"1","op_position":0,"txids":[1] */
static void headers_put(cu_buf *out, const cu_item_layout *layout, enum head head, const struct cu_item_op *op)
{
	static const char position[] = "\",\"op_position\":", txids[] = ",\"txids\":[";

	text_put(out, layout->heads[head]);
	cu_buf_put_u64(out, op->lsn);
	cu_buf_append(out, position, sizeof position - 1);
	cu_buf_put_u64(out, op->op_position);
	cu_buf_append(out, txids, sizeof txids - 1);
	cu_buf_put_u64(out, op->txid);
	cu_buf_putc(out, ']');
}

void cu_item_put_insert(cu_buf *out, const cu_item_layout *layout, const struct cu_item_op *op,
			const struct cu_pg_value *new_row)
{
	cu_item_put_move_in(out, layout, op, NULL, new_row);
}

void cu_item_put_move_in(cu_buf *out, const cu_item_layout *layout, const struct cu_item_op *op,
			 const struct cu_pg_value *old_row, const struct cu_pg_value *new_row)
{
	open_put(out, layout, old_row, new_row);
	object_put(out, layout, old_row, new_row, ALL, new_row);
	headers_put(out, layout, HEAD_INSERT, op);
}

void cu_item_put_insert_key_change(cu_buf *out, const cu_item_layout *layout, const struct cu_item_op *op,
				   const struct cu_pg_value *old_row, const struct cu_pg_value *new_row)
{
	cu_item_put_move_in(out, layout, op, old_row, new_row);
	cu_buf_puts(out, ",\"key_change_from\":");
	key_json_put(out, layout, NULL, old_row);
}

void cu_item_put_update(cu_buf *out, const cu_item_layout *layout, const struct cu_item_op *op,
			const struct cu_pg_value *old_row, const struct cu_pg_value *new_row)
{
	open_put(out, layout, old_row, new_row);
	object_put(out, layout, old_row, new_row, op->replica_full ? ALL : KEY_AND_CHANGED, new_row);
	if (op->replica_full) {
		cu_buf_puts(out, ",\"old_value\":");
		object_put(out, layout, old_row, new_row, CHANGED, old_row);
	}
	headers_put(out, layout, HEAD_UPDATE, op);
}

void cu_item_put_delete(cu_buf *out, const cu_item_layout *layout, const struct cu_item_op *op,
			const struct cu_pg_value *old_row)
{
	bool all = op->replica_full || !layout->has_pk;

	open_put(out, layout, NULL, old_row);
	object_put(out, layout, NULL, old_row, all ? ALL : KEY, old_row);
	headers_put(out, layout, HEAD_DELETE, op);
}

void cu_item_put_delete_key_change(cu_buf *out, const cu_item_layout *layout, const struct cu_item_op *op,
				   const struct cu_pg_value *old_row, const struct cu_pg_value *new_row)
{
	cu_item_put_delete(out, layout, op, old_row);
	cu_buf_puts(out, ",\"key_change_to\":");
	key_json_put(out, layout, old_row, new_row);
}
