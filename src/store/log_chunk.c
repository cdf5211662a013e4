#include "store/log_chunk.h"

#include "base/limits.h"
#include "store/crc32c.h"

#include <stdlib.h>

#define FOOTER_BYTES 24
#define FOOTER_MAGIC "CULOGCH1"

struct cu_log_chunk_writer {
	cu_chunks *chunks;
	uint64_t shape_id;
	uint32_t n;
	cu_buf small;          /* until it outgrows CU_LOG_CHUNK_SMALL_MAX */
	cu_chunk_writer *file; /* from then on */
	uint64_t wire_bytes;
};

/* ---- writing ---- */

void cu_log_index_add(cu_log_index *index, uint64_t tx, uint64_t op, size_t len)
{
	cu_buf_put_varint(&index->bytes, tx - index->tx);
	cu_buf_put_varint(&index->bytes, tx == index->tx ? op - index->op : op);
	cu_buf_put_varint(&index->bytes, len);
	index->tx = tx;
	index->op = op;
	index->items++;
}

cu_log_chunk_writer *cu_log_chunk_writer_new(cu_chunks *chunks, uint64_t shape_id, uint32_t n)
{
	cu_log_chunk_writer *writer = cu_xzalloc(sizeof *writer);

	writer->chunks = chunks;
	writer->shape_id = shape_id;
	writer->n = n;
	return writer;
}

void cu_log_chunk_writer_free(cu_log_chunk_writer **ref)
{
	cu_log_chunk_writer *writer = *ref;

	if (!writer)
		return;
	*ref = NULL;
	cu_chunk_writer_free(&writer->file);
	cu_buf_fini(&writer->small);
	free(writer);
}

static int put(cu_log_chunk_writer *writer, const void *data, size_t len)
{
	int rc;

	if (!writer->file && writer->small.len + len > CU_LOG_CHUNK_SMALL_MAX) {
		rc = cu_chunk_writer_new(writer->chunks, writer->shape_id, CU_CHUNK_LOG, writer->n, &writer->file);
		if (rc == 0)
			rc = cu_chunk_writer_append(writer->file, writer->small.data, writer->small.len, 0);
		if (rc < 0)
			return rc;
		cu_buf_fini(&writer->small);
	}
	if (writer->file)
		return cu_chunk_writer_append(writer->file, data, len, 0);
	cu_buf_append(&writer->small, data, len);
	return cu_buf_failed(&writer->small) ? CU_ENOMEM : 0;
}

int cu_log_chunk_writer_append(cu_log_chunk_writer *writer, const void *wire, size_t len)
{
	writer->wire_bytes += len;
	return put(writer, wire, len);
}

static int put_index(cu_log_chunk_writer *writer, const cu_log_index *index)
{
	cu_buf footer = CU_BUF_INIT;
	int rc;

	cu_buf_puts(&footer, FOOTER_MAGIC);
	cu_buf_put_le64(&footer, writer->wire_bytes);
	cu_buf_put_le32(&footer, (uint32_t)index->bytes.len);
	cu_buf_put_le32(&footer, index->items);
	rc = cu_buf_failed(&index->bytes) || cu_buf_failed(&footer) ? CU_ENOMEM : 0;
	if (rc == 0)
		rc = put(writer, index->bytes.data, index->bytes.len);
	if (rc == 0)
		rc = put(writer, footer.data, footer.len);
	cu_buf_fini(&footer);
	return rc;
}

int cu_log_chunk_writer_finish(cu_log_chunk_writer **ref, cu_log_index *index, bool durable,
			       struct cu_log_chunk *ret_chunk)
{
	cu_log_chunk_writer *writer = *ref;
	int rc = put_index(writer, index);

	*ret_chunk = (struct cu_log_chunk){ .wire_bytes = writer->wire_bytes };
	if (rc == 0 && writer->file) {
		rc = cu_chunk_writer_finish(&writer->file, durable, &ret_chunk->info);
		if (rc == 0 && durable)
			rc = cu_chunks_sync_shape(writer->chunks, writer->shape_id);
	} else if (rc == 0) {
		size_t len = writer->small.len;

		ret_chunk->info.bytes = len;
		ret_chunk->info.crc = cu_crc32c(0, writer->small.data, len);
		ret_chunk->small = cu_buf_steal(&writer->small, &len);
		rc = ret_chunk->small ? 0 : CU_ENOMEM;
	}
	ret_chunk->info.items = index->items;
	cu_buf_fini(&index->bytes);
	*index = (cu_log_index)CU_LOG_INDEX_INIT;
	cu_log_chunk_writer_free(ref);
	return rc;
}

/* ---- reading ---- */

struct footer {
	uint64_t wire_bytes;
	uint32_t index_bytes;
	uint32_t items;
};

/* len: of the whole chunk. */
static int footer_parse(const void *bytes, uint64_t len, struct footer *ret_footer)
{
	cu_cursor cur = cu_cursor_over(bytes, FOOTER_BYTES);

	if (memcmp(bytes, FOOTER_MAGIC, 8) != 0)
		return CU_ECORRUPT;
	cur.at += 8;
	ret_footer->wire_bytes = cu_cursor_le64(&cur);
	ret_footer->index_bytes = cu_cursor_le32(&cur);
	ret_footer->items = cu_cursor_le32(&cur);
	if (ret_footer->wire_bytes > len ||
	    len - ret_footer->wire_bytes != ret_footer->index_bytes + (uint64_t)FOOTER_BYTES)
		return CU_ECORRUPT;
	return 0;
}

/* One entry of the index. False: the end, or cur->failed. */
static bool index_next(cu_cursor *cur, uint64_t *tx, uint64_t *op, uint64_t *ret_len)
{
	uint64_t step;

	if (cu_cursor_left(cur) == 0)
		return false;
	step = cu_cursor_varint(cur);
	*tx += step;
	*op = cu_cursor_varint(cur) + (step ? 0 : *op);
	*ret_len = cu_cursor_varint(cur);
	return !cur->failed;
}

static int range_of(cu_cursor index, const struct footer *footer, cu_offset from, cu_offset to, uint64_t *ret_at,
		    uint64_t *ret_len)
{
	uint64_t at = 0, first = 0, end = 0, tx = 0, op = 0, len;
	bool any = false, found = false;

	while (index_next(&index, &tx, &op, &len)) {
		cu_offset offset = cu_offset_of(tx, op);

		if (any)
			at++; /* the comma */
		any = true;
		if (at > footer->wire_bytes || len > footer->wire_bytes - at)
			return CU_ECORRUPT;
		if (cu_offset_cmp(offset, to) > 0)
			break;
		if (!found && cu_offset_cmp(offset, from) > 0) {
			found = true;
			first = at;
		}
		at += len;
		end = at;
	}
	if (index.failed)
		return CU_ECORRUPT;
	*ret_at = first;
	*ret_len = found ? end - first : 0;
	return 0;
}

/* A whole chunk that is in memory. */
static int take_apart(const void *bytes, size_t len, struct footer *ret_footer, cu_cursor *ret_index)
{
	int rc;

	if (len < FOOTER_BYTES)
		return CU_ECORRUPT;
	rc = footer_parse((const char *)bytes + len - FOOTER_BYTES, len, ret_footer);
	if (rc == 0)
		*ret_index = cu_cursor_over((const char *)bytes + ret_footer->wire_bytes, ret_footer->index_bytes);
	return rc;
}

int cu_log_chunk_range(const void *bytes, size_t len, cu_offset from, cu_offset to, uint64_t *ret_at, uint64_t *ret_len)
{
	struct footer footer;
	cu_cursor index;
	int rc = take_apart(bytes, len, &footer, &index);

	return rc < 0 ? rc : range_of(index, &footer, from, to, ret_at, ret_len);
}

/* Appends index and footer of a file. */
static int read_ending(int fd, uint64_t len, struct footer *ret_footer, cu_buf *out)
{
	char end[FOOTER_BYTES];
	size_t got, wanted;
	int rc;

	if (len < FOOTER_BYTES)
		return CU_ECORRUPT;
	rc = cu_file_read_at(&cu_file_system, fd, end, sizeof end, len - FOOTER_BYTES, &got);
	if (rc == 0)
		rc = got == sizeof end ? footer_parse(end, len, ret_footer) : CU_ECORRUPT;
	if (rc < 0)
		return rc;
	wanted = ret_footer->index_bytes + (size_t)FOOTER_BYTES;
	if (!cu_buf_reserve(out, wanted))
		return CU_ENOMEM;
	rc = cu_file_read_at(&cu_file_system, fd, out->data, wanted, ret_footer->wire_bytes, &got);
	out->len = got;
	return rc == 0 && got != wanted ? CU_ECORRUPT : rc;
}

int cu_log_chunk_range_in_file(int fd, uint64_t len, cu_offset from, cu_offset to, uint64_t *ret_at, uint64_t *ret_len)
{
	struct footer footer;
	cu_buf ending = CU_BUF_INIT;
	int rc = read_ending(fd, len, &footer, &ending);

	if (rc == 0)
		rc = range_of(cu_cursor_over(ending.data, footer.index_bytes), &footer, from, to, ret_at, ret_len);
	cu_buf_fini(&ending);
	return rc;
}

int cu_log_chunk_walk(const void *bytes, size_t len, struct cu_log_chunk_cursor *ret_cursor)
{
	struct footer footer;
	cu_cursor index;
	int rc = take_apart(bytes, len, &footer, &index);

	if (rc == 0)
		*ret_cursor = (struct cu_log_chunk_cursor){
			.fd = -1,
			.wire = bytes,
			.wire_left = (size_t)footer.wire_bytes,
			.index = index,
		};
	return rc;
}

int cu_log_chunk_walk_file(int fd, uint64_t len, struct cu_log_chunk_cursor *ret_cursor)
{
	struct footer footer;
	int rc;

	*ret_cursor = (struct cu_log_chunk_cursor){ .fd = fd };
	rc = read_ending(fd, len, &footer, &ret_cursor->ending);
	if (rc == 0) {
		ret_cursor->file_left = footer.wire_bytes;
		ret_cursor->index = cu_cursor_over(ret_cursor->ending.data, footer.index_bytes);
	}
	return rc;
}

void cu_log_chunk_cursor_fini(struct cu_log_chunk_cursor *cursor)
{
	cu_buf_fini(&cursor->window);
	cu_buf_fini(&cursor->ending);
}

/* Reads on until that many bytes are in memory; the file has them. */
static int window_fill(struct cu_log_chunk_cursor *cursor, size_t wanted)
{
	cu_buf *window = &cursor->window;
	size_t more, got;
	int rc;

	if (cursor->wire_left)
		memmove(window->data, cursor->wire, cursor->wire_left);
	window->len = cursor->wire_left;
	more = CU_MAX(wanted, (size_t)CU_CHUNK_BUFFER) - window->len;
	more = (size_t)CU_MIN(cursor->file_left, (uint64_t)more);
	if (!cu_buf_reserve(window, more))
		return CU_ENOMEM;
	rc = cu_file_read_at(&cu_file_system, cursor->fd, window->data + window->len, more, cursor->file_at, &got);
	if (rc == 0 && got != more)
		rc = CU_ECORRUPT;
	if (rc < 0)
		return rc;
	cursor->crc = cu_crc32c(cursor->crc, window->data + window->len, more);
	window->len += more;
	cursor->file_at += more;
	cursor->file_left -= more;
	cursor->wire = window->data;
	cursor->wire_left = window->len;
	return 0;
}

int cu_log_chunk_next(struct cu_log_chunk_cursor *cursor, struct cu_log_chunk_item *ret_item)
{
	uint64_t len, comma = cursor->any;
	int rc;

	if (!index_next(&cursor->index, &cursor->tx, &cursor->op, &len)) {
		if (cursor->index.failed || cursor->wire_left || cursor->file_left)
			return CU_ECORRUPT;
		cursor->crc = cu_crc32c(cursor->crc, cursor->ending.data, cursor->ending.len);
		return 0;
	}
	if (len > UINT64_MAX - comma || len + comma > cursor->wire_left + cursor->file_left)
		return CU_ECORRUPT;
	if (len + comma > cursor->wire_left) {
		rc = window_fill(cursor, (size_t)(len + comma));
		if (rc < 0)
			return rc;
	}
	if (comma && *cursor->wire != ',')
		return CU_ECORRUPT;
	cursor->any = true;
	*ret_item = (struct cu_log_chunk_item){ cursor->tx, cursor->op, cursor->wire + comma, (size_t)len };
	cursor->wire += len + comma;
	cursor->wire_left -= (size_t)(len + comma);
	return 1;
}
