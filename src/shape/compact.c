/* compact.c: one pass finds for each key the updates that belong together, chained from the last to the first; a second
 * one, in the order of the log, hands out what stays and merges each chain when its last item is reached.
 *
 * The chain of a key is open between two of its inserts or deletes. A delete wipes an open chain out; an insert only ends
 * it, because updates before an insert without a delete between them do not happen, and if they did, the later state
 * would still be the insert's.
 */
#include "shape/compact.h"

#include "base/buf.h"
#include "base/mutant.h"
#include "base/offset.h"
#include "shape/item_scan.h"

#include <stdlib.h>
#include <xxhash.h>

#define NONE UINT32_MAX

enum fate {
	STAYS,      /* as it is */
	MERGED,     /* the last of a chain of several: comes out with what the others had */
	SUPERSEDED, /* an earlier one of a chain, or in a chain that a delete ended */
};

struct item {
	uint64_t tx;
	uint64_t op;
	const char *data;
	uint32_t len;
	uint32_t before; /* the update before it in its chain, or NONE */
	struct cu_item_span value;
	struct cu_item_span old_value; /* at = 0: none */
	uint32_t headers_at;
	uint8_t fate;
};

/* Texts numbered in the order in which they came; a number's text is borrowed. */
struct text {
	const char *data;
	uint32_t len;
	uint32_t hash;
};

struct texts {
	struct text *list;
	uint32_t len;
	uint32_t cap;
	uint32_t *slots; /* number + 1 of a text, by its hash, linear probing; 0: free */
	uint32_t slots_mask;
};

/* A column of the merged item: its texts with the name, NULL where it has none. */
struct column {
	const char *name;
	const char *value;
	const char *old_value;
	uint32_t name_len;
	uint32_t value_len;
	uint32_t old_value_len;
};

struct cu_compaction {
	struct item *items;
	uint32_t items_len;
	uint32_t items_cap;
	uint32_t next; /* the first item that cu_compaction_next() has not looked at */
	size_t superseded;

	struct texts keys;
	uint32_t *chains; /* by the key's number: the last item of its open chain, or NONE */
	uint32_t chains_len;
	uint32_t chains_cap;

	/* the item being merged */
	struct texts names;
	struct column *columns; /* by the name's number, in the end by name */
	uint32_t columns_len;
	uint32_t columns_cap;
	cu_buf merged;
};

/* --- texts --- */

/* Room for one more element; false: no memory. */
static bool room(void *list, uint32_t len, uint32_t *cap, size_t size)
{
	void **at = list;
	uint32_t more = *cap ? *cap * 2 : 64;
	void *grown;

	if (len < *cap)
		return true;
	if (*cap > NONE / 4)
		return false;
	grown = cu_try_realloc(*at, more * size);
	if (!grown)
		return false;
	*at = grown;
	*cap = more;
	return true;
}

static void slot_fill(struct texts *texts, uint32_t number)
{
	uint32_t at = texts->list[number].hash & texts->slots_mask;

	while (texts->slots[at])
		at = (at + 1) & texts->slots_mask;
	texts->slots[at] = number + 1;
}

/* Keeps the slots at most half full. */
static bool slots_grow(struct texts *texts)
{
	uint32_t slots_n = texts->slots ? (texts->slots_mask + 1) * 2 : 128;
	uint32_t *slots;

	if (texts->slots && texts->len < (texts->slots_mask + 1) / 2)
		return true;
	slots = cu_try_zalloc(slots_n * sizeof *slots);
	if (!slots)
		return false;
	free(texts->slots);
	texts->slots = slots;
	texts->slots_mask = slots_n - 1;
	for (uint32_t i = 0; i < texts->len; i++)
		slot_fill(texts, i);
	return true;
}

/* The text's number; it gets the next one when it is new. NONE: no memory. */
static uint32_t texts_number(struct texts *texts, const char *data, size_t len)
{
	uint32_t hash = (uint32_t)XXH3_64bits(data, len);
	uint32_t at;

	if (!slots_grow(texts))
		return NONE;
	for (at = hash & texts->slots_mask; texts->slots[at]; at = (at + 1) & texts->slots_mask) {
		const struct text *text = &texts->list[texts->slots[at] - 1];

		if (text->hash == hash && text->len == len && memcmp(text->data, data, len) == 0)
			return texts->slots[at] - 1;
	}
	if (!room(&texts->list, texts->len, &texts->cap, sizeof *texts->list))
		return NONE;
	texts->list[texts->len] = (struct text){ data, (uint32_t)len, hash };
	texts->slots[at] = texts->len + 1;
	return texts->len++;
}

static void texts_clear(struct texts *texts)
{
	if (texts->slots)
		memset(texts->slots, 0, ((size_t)texts->slots_mask + 1) * sizeof *texts->slots);
	texts->len = 0;
}

static void texts_fini(struct texts *texts)
{
	free(texts->list);
	free(texts->slots);
}

/* --- adding --- */

cu_compaction *cu_compaction_new(void)
{
	return cu_xzalloc(sizeof(cu_compaction));
}

void cu_compaction_free(cu_compaction **compaction)
{
	if (!*compaction)
		return;
	free((*compaction)->items);
	texts_fini(&(*compaction)->keys);
	free((*compaction)->chains);
	texts_fini(&(*compaction)->names);
	free((*compaction)->columns);
	cu_buf_fini(&(*compaction)->merged);
	free(*compaction);
	*compaction = NULL;
}

static void supersede(cu_compaction *compaction, uint32_t number)
{
	struct item *item = &compaction->items[number];

	item->fate = SUPERSEDED;
	compaction->superseded += item->len;
}

int cu_compaction_add(cu_compaction *compaction, uint64_t tx, uint64_t op, const char *item, size_t len)
{
	uint32_t number = compaction->items_len;
	const struct item *before = number > 0 ? &compaction->items[number - 1] : NULL;
	struct cu_item_parts parts;
	uint32_t *chain, key;
	int rc;

	CU_ASSERT(compaction->next == 0);
	rc = cu_item_scan(item, len, &parts);
	if (rc < 0)
		return rc;
	if (before && cu_offset_cmp(cu_offset_of(before->tx, before->op), cu_offset_of(tx, op)) >= 0)
		return CU_ECORRUPT;
	key = texts_number(&compaction->keys, item + parts.key.at, parts.key.len);
	if (key == NONE || !room(&compaction->chains, key, &compaction->chains_cap, sizeof *compaction->chains) ||
	    !room(&compaction->items, number, &compaction->items_cap, sizeof *compaction->items))
		return CU_ENOMEM;
	chain = &compaction->chains[key];
	if (compaction->chains_len == key) {
		*chain = NONE;
		compaction->chains_len++;
	}
	compaction->items[number] = (struct item){
		.tx = tx,
		.op = op,
		.data = item,
		.len = (uint32_t)len,
		.before = NONE,
		.value = parts.value,
		.old_value = parts.old_value,
		.headers_at = parts.headers_at,
		.fate = STAYS,
	};
	compaction->items_len++;

	if (parts.operation == CU_ITEM_UPDATE) {
		if (*chain != NONE) {
			supersede(compaction, *chain);
			compaction->items[number].before = *chain;
			compaction->items[number].fate = MERGED;
		}
		*chain = number;
	} else {
		if (*chain != NONE && parts.operation == CU_ITEM_DELETE)
			supersede(compaction, *chain);
		*chain = NONE;
	}
	return 0;
}

size_t cu_compaction_superseded(const cu_compaction *compaction)
{
	return compaction->superseded;
}

/* --- merging --- */

/* The merged item's column of that name, or NULL: no memory. Items of one table mostly have the same columns in the same
 * order: *guess, which moves on, is tried first. */
static struct column *column_of(cu_compaction *compaction, const struct cu_item_column *column, uint32_t *guess)
{
	struct texts *names = &compaction->names;
	uint32_t number = *guess;

	if (number >= names->len || names->list[number].len != column->name_len ||
	    memcmp(names->list[number].data, column->name, column->name_len) != 0) {
		number = texts_number(names, column->name, column->name_len);
		if (number == NONE ||
		    !room(&compaction->columns, number, &compaction->columns_cap, sizeof *compaction->columns))
			return NULL;
		if (number == compaction->columns_len)
			compaction->columns[compaction->columns_len++] =
				(struct column){ .name = column->name, .name_len = (uint32_t)column->name_len };
	}
	*guess = number + 1;
	return &compaction->columns[number];
}

/* Chains are walked from the last item to the first: the value that is met first wins, the old value that is met last. */
static int item_gather(cu_compaction *compaction, const struct item *item)
{
	struct cu_item_column column;
	struct column *into;
	uint32_t guess = 0;
	const char *at = item->data + item->value.at;
	const char *end = at + item->value.len;

	while (cu_item_scan_column(&at, end, &column)) {
		into = column_of(compaction, &column, &guess);
		if (!into)
			return CU_ENOMEM;
		if (!into->value) {
			into->value = column.text;
			into->value_len = (uint32_t)column.text_len;
		}
	}
	guess = 0;
	at = item->data + item->old_value.at;
	end = at + item->old_value.len;
	while (cu_item_scan_column(&at, end, &column)) {
		into = column_of(compaction, &column, &guess);
		if (!into)
			return CU_ENOMEM;
		into->old_value = column.text;
		into->old_value_len = (uint32_t)column.text_len;
	}
	return 0;
}

static int column_compare(const void *a, const void *b)
{
	const struct column *x = a, *y = b;
	int order = memcmp(x->name, y->name, CU_MIN(x->name_len, y->name_len));

	return order ? order : (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

static void columns_put(cu_compaction *compaction, bool old_value)
{
	cu_buf *out = &compaction->merged;
	bool any = false;

	cu_buf_putc(out, '{');
	for (uint32_t i = 0; i < compaction->columns_len; i++) {
		const struct column *column = &compaction->columns[i];
		const char *text = old_value ? column->old_value : column->value;

		if (!text)
			continue;
		if (any)
			cu_buf_putc(out, ',');
		any = true;
		cu_buf_append(out, text, old_value ? column->old_value_len : column->value_len);
	}
	cu_buf_putc(out, '}');
}

/* Key and headers of the chain's last item, columns of all of them. The order of columns is that of their names, so that
 * it does not depend on what was merged when. */
static int chain_merge(cu_compaction *compaction, const struct item *last)
{
	cu_buf *out = &compaction->merged;
	bool old_value = false;

	texts_clear(&compaction->names);
	compaction->columns_len = 0;
	for (const struct item *item = last;; item = &compaction->items[item->before]) {
		int rc = item_gather(compaction, item);

		if (rc < 0)
			return rc;
		old_value |= item->old_value.at != 0;
		if (item->before == NONE || CU_MUTANT(MERGE_TAKES_THE_LAST))
			break;
	}
	if (compaction->columns_len > 1)
		qsort(compaction->columns, compaction->columns_len, sizeof *compaction->columns, column_compare);

	cu_buf_clear(out);
	cu_buf_append(out, last->data, last->value.at - 1); /* {"key":"…","value": */
	columns_put(compaction, false);
	if (old_value) {
		cu_buf_puts(out, ",\"old_value\":");
		columns_put(compaction, true);
	}
	cu_buf_append(out, last->data + last->headers_at, last->len - last->headers_at);
	return cu_buf_failed(out) ? CU_ENOMEM : 0;
}

int cu_compaction_next(cu_compaction *compaction, struct cu_compacted *ret_item)
{
	const struct item *item;
	int rc;

	do {
		if (compaction->next == compaction->items_len)
			return 0;
		item = &compaction->items[compaction->next++];
	} while (item->fate == SUPERSEDED);
	*ret_item = (struct cu_compacted){ item->tx, item->op, item->data, item->len };
	if (item->fate == MERGED) {
		rc = chain_merge(compaction, item);
		if (rc < 0)
			return rc;
		ret_item->item = compaction->merged.data;
		ret_item->len = compaction->merged.len;
	}
	return 1;
}
