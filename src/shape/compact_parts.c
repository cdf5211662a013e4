/* compact_parts.c: records in memory and in the file: a head, then the item. A part's records come in blocks while they are dealt out; what
 * comes out of it is one stretch of the file. */
#include "shape/compact_parts.h"

#include "base/limits.h"
#include "base/offset.h"
#include "shape/item_scan.h"

#include <stdlib.h>
#include <xxhash.h>

struct head {
	uint64_t tx;
	uint64_t op;
	uint64_t len; /* of the item behind it */
};

struct block {
	uint64_t at;
	uint64_t len;
};

struct part {
	cu_buf buffer; /* dealt out and not in the file; then, what was read ahead of what came out */
	struct block *blocks;
	size_t blocks_len, blocks_cap;
	uint64_t at, end;   /* what came out and was not handed out: of the file */
	uint64_t buffer_at; /* where in the file the buffer's bytes stand */
	struct head head;   /* of the record at `at` */
};

struct cu_compact_parts {
	const struct cu_file_ops *ops;
	const char *dir;
	size_t memory;
	struct cu_compaction_yield *yield; /* NULL: does not */
	int fd;
	uint64_t file_bytes;
	uint64_t added;    /* bytes of items */
	uint64_t came_out; /* … of those that superseded them */
	struct head last;  /* of what was added last */
	bool any;

	struct part *parts;
	size_t parts_len;
	cu_compaction *compaction; /* of the one part in memory */

	cu_buf in;            /* the part that is being compacted; then an item that is larger than a block */
	cu_buf out;           /* … and what comes out of it */
	struct part **merged; /* a heap by head: parts with something to hand out */
	size_t merged_len;
	struct part *handed; /* whose record was handed out last */
};

int cu_compaction_yield(struct cu_compaction_yield *yield, uint64_t bytes)
{
	yield->bytes += bytes;
	if (!yield->turn || yield->bytes < CU_COMPACTION_YIELD)
		return 0;
	yield->bytes = 0;
	return yield->turn(yield->ctx);
}

cu_compact_parts *cu_compact_parts_new(const struct cu_file_ops *ops, const char *dir, uint64_t bytes, size_t memory)
{
	cu_compact_parts *parts = cu_xzalloc(sizeof *parts);
	uint64_t len = bytes <= memory ? 1 : bytes / (memory / 2) + 1;

	parts->ops = ops;
	parts->dir = dir;
	parts->memory = memory;
	parts->fd = -1;
	parts->parts_len = (size_t)CU_MIN(len, (uint64_t)CU_COMPACTION_PARTS_MAX);
	parts->parts = cu_xzalloc(parts->parts_len * sizeof *parts->parts);
	return parts;
}

void cu_compact_parts_yield_to(cu_compact_parts *parts, struct cu_compaction_yield *yield)
{
	parts->yield = yield;
}

void cu_compact_parts_free(cu_compact_parts **ref)
{
	cu_compact_parts *parts = *ref;

	if (!parts)
		return;
	*ref = NULL;
	for (size_t i = 0; i < parts->parts_len; i++) {
		cu_buf_fini(&parts->parts[i].buffer);
		free(parts->parts[i].blocks);
	}
	cu_compaction_free(&parts->compaction);
	cu_file_close(parts->ops, &parts->fd);
	cu_buf_fini(&parts->in);
	cu_buf_fini(&parts->out);
	free(parts->merged);
	free(parts->parts);
	free(parts);
}

static bool is_before(const struct head *a, const struct head *b)
{
	return cu_offset_cmp(cu_offset_of(a->tx, a->op), cu_offset_of(b->tx, b->op)) < 0;
}

/* ---- the file ---- */

static int file_append(cu_compact_parts *parts, const cu_buf *bytes)
{
	int rc = 0;

	if (parts->fd < 0)
		rc = cu_file_open_unnamed(parts->ops, parts->dir, &parts->fd);
	if (rc == 0)
		rc = cu_file_write_at(parts->ops, parts->fd, bytes->data, bytes->len, parts->file_bytes);
	parts->file_bytes += bytes->len;
	return rc;
}

/* Appends bytes of the file. */
static int file_read(cu_compact_parts *parts, uint64_t at, uint64_t len, cu_buf *out)
{
	size_t got;
	int rc;

	if (!cu_buf_reserve(out, (size_t)len))
		return CU_ENOMEM;
	rc = cu_file_read_at(parts->ops, parts->fd, out->data + out->len, (size_t)len, at, &got);
	if (rc == 0 && got != len)
		rc = CU_EIO;
	out->len += rc == 0 ? (size_t)len : 0;
	return rc;
}

/* ---- dealing out ---- */

static void record_put(cu_buf *out, uint64_t tx, uint64_t op, const char *item, size_t len)
{
	struct head head = { tx, op, len };

	cu_buf_append(out, &head, sizeof head);
	cu_buf_append(out, item, len);
}

/* A part's buffer goes to the file. */
static int block_put(cu_compact_parts *parts, struct part *part)
{
	int rc;

	if (part->blocks_len == part->blocks_cap) {
		size_t cap = part->blocks_cap ? part->blocks_cap * 2 : 16;
		struct block *blocks = cu_try_realloc(part->blocks, cap * sizeof *blocks);

		if (!blocks)
			return CU_ENOMEM;
		part->blocks = blocks;
		part->blocks_cap = cap;
	}
	part->blocks[part->blocks_len++] = (struct block){ parts->file_bytes, part->buffer.len };
	rc = file_append(parts, &part->buffer);
	/* Not the memory that one large item took. */
	if (part->buffer.cap > 2 * CU_COMPACTION_BLOCK)
		cu_buf_fini(&part->buffer);
	cu_buf_clear(&part->buffer);
	return rc;
}

int cu_compact_parts_add(cu_compact_parts *parts, uint64_t tx, uint64_t op, const char *item, size_t len)
{
	struct part *part = parts->parts;
	struct head head = { tx, op, len };
	struct cu_item_span key;
	int rc;

	if (parts->any && !is_before(&parts->last, &head))
		return CU_ECORRUPT;
	parts->any = true;
	parts->last = head;
	parts->added += len;
	if (parts->parts_len > 1) {
		rc = cu_item_scan_key(item, len, &key);
		if (rc < 0)
			return rc;
		/* Other bits than those by which compact.c finds it. */
		part += (XXH3_64bits(item + key.at, key.len) >> 32) % parts->parts_len;
	}
	record_put(&part->buffer, tx, op, item, len);
	if (cu_buf_failed(&part->buffer))
		return CU_ENOMEM;
	return parts->parts_len > 1 && part->buffer.len >= CU_COMPACTION_BLOCK ? block_put(parts, part) : 0;
}

/* ---- compacting a part ---- */

/* Compacts records; they are borrowed. */
static int records_compact(const cu_buf *records, cu_compaction **ret_compaction)
{
	cu_compaction *compaction = cu_compaction_new();
	const char *at = records->data;
	const char *end = at + records->len;
	struct head head;
	int rc = 0;

	for (; rc == 0 && at < end; at += head.len) {
		memcpy(&head, at, sizeof head);
		at += sizeof head;
		rc = cu_compaction_add(compaction, head.tx, head.op, at, (size_t)head.len);
	}
	if (rc == 0)
		*ret_compaction = compaction;
	else
		cu_compaction_free(&compaction);
	return rc;
}

/* What is left of parts->in takes its place. */
static int in_compact(cu_compact_parts *parts)
{
	cu_compaction *compaction = NULL;
	struct cu_compacted item;
	cu_buf swap;
	int rc = records_compact(&parts->in, &compaction);

	cu_buf_clear(&parts->out);
	while (rc == 0 && (rc = cu_compaction_next(compaction, &item)) == 1) {
		record_put(&parts->out, item.tx, item.op, item.item, item.len);
		rc = cu_buf_failed(&parts->out) ? CU_ENOMEM : 0;
	}
	cu_compaction_free(&compaction);
	swap = parts->in;
	parts->in = parts->out;
	parts->out = swap;
	return rc;
}

static int in_to_file(cu_compact_parts *parts, struct part *part)
{
	int rc = parts->in.len ? file_append(parts, &parts->in) : 0;

	for (size_t at = 0; at < parts->in.len;) {
		struct head head;

		memcpy(&head, parts->in.data + at, sizeof head);
		parts->came_out += head.len;
		at += sizeof head + (size_t)head.len;
	}
	cu_buf_clear(&parts->in);
	part->end = parts->file_bytes;
	return rc;
}

/* Makes room in parts->in for a block of that many bytes. */
static int in_make_room(cu_compact_parts *parts, struct part *part, uint64_t len)
{
	int rc;

	if (parts->in.len == 0 || parts->in.len + len <= parts->memory)
		return 0;
	rc = in_compact(parts);
	/* What is there to be compacted again and again gains little. */
	if (rc == 0 && parts->in.len > parts->memory / 2)
		rc = in_to_file(parts, part);
	return rc;
}

static int yield_after(cu_compact_parts *parts, uint64_t bytes)
{
	return parts->yield ? cu_compaction_yield(parts->yield, bytes) : 0;
}

static int part_compact(cu_compact_parts *parts, struct part *part)
{
	int rc = yield_after(parts, CU_COMPACTION_YIELD);

	part->at = part->end = parts->file_bytes;
	cu_buf_clear(&parts->in);
	for (size_t i = 0; rc == 0 && i < part->blocks_len; i++) {
		rc = in_make_room(parts, part, part->blocks[i].len);
		if (rc == 0)
			rc = file_read(parts, part->blocks[i].at, part->blocks[i].len, &parts->in);
		if (rc == 0)
			rc = yield_after(parts, part->blocks[i].len);
	}
	if (rc == 0)
		rc = in_make_room(parts, part, part->buffer.len);
	cu_buf_append(&parts->in, part->buffer.data, part->buffer.len);
	if (rc == 0 && cu_buf_failed(&parts->in))
		rc = CU_ENOMEM;
	if (rc == 0)
		rc = in_compact(parts);
	if (rc == 0)
		rc = in_to_file(parts, part);
	free(part->blocks);
	part->blocks = NULL;
	part->blocks_len = part->blocks_cap = 0;
	cu_buf_fini(&part->buffer);
	return rc;
}

/* ---- merging the parts ---- */

/* The head of the part's next record; there is one. */
static int part_look(cu_compact_parts *parts, struct part *part)
{
	int rc = 0;

	if (part->at + sizeof part->head > part->buffer_at + part->buffer.len) {
		cu_buf_clear(&part->buffer);
		rc = file_read(parts, part->at, CU_MIN(part->end - part->at, (uint64_t)CU_COMPACTION_BLOCK),
			       &part->buffer);
		part->buffer_at = part->at;
	}
	if (rc == 0)
		memcpy(&part->head, part->buffer.data + (part->at - part->buffer_at), sizeof part->head);
	return rc;
}

static void heap_down(cu_compact_parts *parts, size_t i)
{
	struct part **heap = parts->merged;
	struct part *part = heap[i];

	for (;;) {
		size_t child = 2 * i + 1;

		if (child + 1 < parts->merged_len && is_before(&heap[child + 1]->head, &heap[child]->head))
			child++;
		if (child >= parts->merged_len || is_before(&part->head, &heap[child]->head))
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = part;
}

int cu_compact_parts_merge(cu_compact_parts *parts, uint64_t *ret_gained)
{
	int rc = 0;

	if (parts->parts_len == 1) {
		rc = records_compact(&parts->parts[0].buffer, &parts->compaction);
		*ret_gained = rc == 0 ? cu_compaction_superseded(parts->compaction) : 0;
		return rc;
	}
	for (size_t i = 0; rc == 0 && i < parts->parts_len; i++)
		rc = part_compact(parts, &parts->parts[i]);
	cu_buf_fini(&parts->in);
	cu_buf_fini(&parts->out);
	parts->merged = cu_xmalloc(parts->parts_len * sizeof(struct part *));
	for (size_t i = 0; rc == 0 && i < parts->parts_len; i++) {
		if (parts->parts[i].at < parts->parts[i].end) {
			parts->merged[parts->merged_len++] = &parts->parts[i];
			rc = part_look(parts, &parts->parts[i]);
		}
	}
	for (size_t i = parts->merged_len / 2; rc == 0 && i > 0; i--)
		heap_down(parts, i - 1);
	*ret_gained = parts->added - parts->came_out;
	return rc;
}

/* The record that was handed out is done with. */
static int handed_next(cu_compact_parts *parts)
{
	struct part *part = parts->handed;
	int rc = 0;

	parts->handed = NULL;
	part->at += sizeof part->head + part->head.len;
	if (part->at < part->end) {
		rc = part_look(parts, part);
	} else {
		cu_buf_fini(&part->buffer);
		parts->merged[0] = parts->merged[--parts->merged_len];
	}
	if (rc == 0 && parts->merged_len)
		heap_down(parts, 0);
	return rc;
}

int cu_compact_parts_next(cu_compact_parts *parts, struct cu_compacted *ret_item)
{
	struct part *part;
	uint64_t at;
	int rc = 0;

	if (parts->parts_len == 1)
		return cu_compaction_next(parts->compaction, ret_item);
	if (parts->handed)
		rc = handed_next(parts);
	if (rc < 0 || !parts->merged_len)
		return rc;
	part = parts->handed = parts->merged[0];
	at = part->at + sizeof part->head;
	*ret_item = (struct cu_compacted){ part->head.tx, part->head.op, NULL, (size_t)part->head.len };
	if (at + part->head.len <= part->buffer_at + part->buffer.len) {
		ret_item->item = part->buffer.data + (at - part->buffer_at);
	} else {
		cu_buf_clear(&parts->in);
		rc = file_read(parts, at, part->head.len, &parts->in);
		ret_item->item = parts->in.data;
	}
	return rc < 0 ? rc : 1;
}
