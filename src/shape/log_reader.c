/* log_reader.c: sealed chunks → ranges of bytes; runs → records → items with their closing headers. */
#include "shape/log_reader.h"

#include "store/span.h"

#include <stdlib.h>
#include <unistd.h>

#define RUNS_AT_A_TIME 64
#define LOOKS_MAX 8 /* a run that is read while the sealer takes it is looked up again */

void cu_log_reader_init(cu_log_reader *reader, cu_shape *shape, cu_store *store, cu_offset from, cu_offset end)
{
	*reader = (cu_log_reader){
		.shape = cu_shape_ref(shape),
		.store = store,
		.at = from,
		.end = end,
		.piece = CU_LOG_READER_PIECE,
		.fd = -1,
	};
}

void cu_log_reader_rest(cu_log_reader *reader)
{
	free(reader->window);
	reader->window = NULL;
	reader->window_cap = reader->window_len = 0;
}

static void close_file(cu_log_reader *reader)
{
	if (reader->fd >= 0)
		close(reader->fd);
	reader->fd = -1;
}

void cu_log_reader_fini(cu_log_reader *reader)
{
	cu_log_reader_rest(reader);
	close_file(reader);
	cu_shape_unref(&reader->shape);
}

static uint64_t run_start(const struct cu_tail_run *run)
{
	return run->pos - cu_span_prefix(run->first_op);
}

static uint64_t run_end(const struct cu_tail_run *run)
{
	return run->pos + run->span;
}

static int load(cu_log_reader *reader, uint64_t pos, size_t len)
{
	if (len > reader->window_cap) {
		char *window = cu_try_realloc(reader->window, len);

		if (!window)
			return CU_ENOMEM;
		reader->window = window;
		reader->window_cap = len;
	}
	reader->window_len = 0;
	reader->window_pos = pos;
	return cu_changelog_read(cu_store_changelog(reader->store), pos, len, reader->window);
}

/* Makes [pos, pos + len) readable in the window; reads on to `further` when that costs no second call. */
static int ensure(cu_log_reader *reader, uint64_t pos, size_t len, uint64_t further)
{
	size_t wanted = further > pos + len ? (size_t)(further - pos) : len;
	int rc;

	if (pos >= reader->window_pos && pos + len <= reader->window_pos + reader->window_len)
		return 0;
	rc = load(reader, pos, wanted);
	if (rc == CU_EINVAL && wanted > len) {
		wanted = len; /* a segment's border, or records that are not flushed yet, lie in between */
		rc = load(reader, pos, wanted);
	}
	if (rc == 0)
		reader->window_len = wanted;
	return rc;
}

static void put_item(cu_log_reader *reader, const struct cu_tail_run *run, const struct cu_span_item *item, cu_buf *out)
{
	bool last = run->last && item->op == run->last_op;

	const char *closing = last ? CU_ITEM_END_LAST : CU_ITEM_END;

	if (reader->any)
		cu_buf_putc(out, ',');
	cu_buf_append(out, item->payload, item->len);
	cu_buf_puts(out, closing);
	if (reader->index)
		cu_log_index_add(reader->index, run->tx, item->op, item->len + strlen(closing));
	reader->any = true;
	reader->at = cu_offset_of(run->tx, item->op);
}

/* Gives out the run's items behind reader->at until the piece is full. 1: the run is finished. */
static int put_run(cu_log_reader *reader, const struct cu_tail_run *run, uint64_t further, cu_buf *out)
{
	uint64_t pos = reader->resume ? reader->resume : run_start(run);
	uint64_t end = run_end(run);

	reader->resume = 0;
	while (pos < end) {
		struct cu_span_item item;
		cu_cursor cur;
		size_t left = (size_t)(end - pos), len = CU_MIN(left, reader->piece);
		int rc = ensure(reader, pos, len, CU_MIN(further, pos + reader->piece));

		if (rc < 0)
			return rc;
		cur = cu_cursor_over(reader->window + (pos - reader->window_pos), len);
		if (!cu_span_next(&cur, &item)) {
			cu_cursor head = cu_cursor_over(reader->window + (pos - reader->window_pos), len);
			size_t record = 8 + (size_t)cu_cursor_le32(&head);

			if (cur.failed || head.failed || record <= len || record > left)
				return CU_ECORRUPT;
			rc = ensure(reader, pos, record, 0); /* one item larger than a piece */
			if (rc < 0)
				return rc;
			cur = cu_cursor_over(reader->window + (pos - reader->window_pos), record);
			if (!cu_span_next(&cur, &item))
				return CU_ECORRUPT;
		}
		do {
			pos = reader->window_pos + (uint64_t)((const char *)cur.at - reader->window);
			if (cu_offset_cmp(cu_offset_of(run->tx, item.op), reader->at) > 0)
				put_item(reader, run, &item, out);
			if (out->len >= reader->piece && pos < end) {
				reader->resume = pos;
				return 0;
			}
		} while (cu_span_next(&cur, &item));
		if (cur.failed)
			return CU_ECORRUPT;
	}
	return 1;
}

/* ---- from a sealed chunk ---- */

/* The chunk's items in (reader->at, reader->end]: bytes to `out`, or a range of its file. */
static int put_sealed(cu_log_reader *reader, const struct cu_sealed *chunk, bool whole, cu_buf *out,
		      struct cu_log_file *ret_file)
{
	cu_offset last = cu_sealed_last(chunk);
	bool to_end = cu_offset_cmp(last, reader->end) <= 0;
	uint64_t at = 0, len = chunk->bytes, bytes;
	cu_buf small = CU_BUF_INIT;
	int rc = 0;

	if (!to_end && chunk->compacted)
		return CU_EAGAIN;
	if (chunk->small) {
		rc = cu_metadata_get_log_chunk(cu_store_metadata(reader->store), reader->shape->id, chunk->n, &small);
		if (rc == 0 && !(whole && to_end))
			rc = cu_log_chunk_range(small.data, small.len, reader->at, reader->end, &at, &len);
		if (rc == 0 && at + len > small.len)
			rc = CU_ECORRUPT;
	} else {
		rc = cu_chunk_open(cu_store_chunks(reader->store), reader->shape->id, CU_CHUNK_LOG, chunk->n,
				   &reader->fd, &bytes);
		if (rc == 0 && !(whole && to_end))
			rc = cu_log_chunk_range_in_file(reader->fd, bytes, reader->at, reader->end, &at, &len);
		if (rc == 0 && at + len > bytes)
			rc = CU_ECORRUPT;
	}
	if (rc == 0 && len) {
		if (reader->any)
			cu_buf_putc(out, ',');
		reader->any = true;
		if (chunk->small)
			cu_buf_append(out, small.data + at, (size_t)len);
		else
			*ret_file = (struct cu_log_file){ reader->fd, at, len };
	}
	if (rc == 0)
		reader->at = to_end ? last : reader->end;
	cu_buf_fini(&small);
	return rc;
}

/* ---- both ---- */

/* What comes next, looked up under the shape's lock. */
struct look {
	bool gone;
	bool sealed;
	bool whole; /* the chunk's first item is wanted */
	struct cu_sealed chunk;
	struct cu_tail_run runs[RUNS_AT_A_TIME];
	size_t runs_len;
};

static void look_up(const cu_log_reader *reader, struct look *ret_look)
{
	cu_shape *shape = reader->shape;
	const cu_shape_log *log;

	cu_shape_lock(shape);
	log = cu_shape_log_of(shape);
	ret_look->gone = shape->state != CU_SHAPE_CREATING && shape->state != CU_SHAPE_LIVE;
	ret_look->sealed = cu_shape_log_seek(log, reader->at) < log->sealed_len;
	ret_look->runs_len = 0;
	if (ret_look->sealed) {
		uint32_t i = cu_shape_log_seek(log, reader->at);

		ret_look->chunk = log->sealed[i];
		ret_look->whole = cu_offset_cmp(reader->at,
						i ? cu_sealed_last(&log->sealed[i - 1]) : CU_OFFSET_SNAPSHOT_END) <= 0;
	} else {
		size_t at = cu_tail_seek(&log->tail, reader->at);

		ret_look->runs_len = CU_MIN(log->tail.visible - at, (size_t)RUNS_AT_A_TIME);
		for (size_t i = 0; i < ret_look->runs_len; i++)
			ret_look->runs[i] = *cu_tail_run_at(&log->tail, at + i);
	}
	cu_shape_unlock(shape);
}

static int put_runs(cu_log_reader *reader, const struct look *look, cu_buf *out)
{
	for (size_t i = 0; i < look->runs_len && cu_offset_cmp(reader->at, reader->end) < 0; i++) {
		size_t ahead = i;
		int rc;

		while (ahead + 1 < look->runs_len &&
		       run_end(&look->runs[ahead + 1]) <= run_start(&look->runs[i]) + reader->piece)
			ahead++;
		rc = put_run(reader, &look->runs[i], run_end(&look->runs[ahead]), out);
		if (rc < 0)
			return rc;
		if (rc == 0 || out->len >= reader->piece)
			break;
	}
	return 0;
}

int cu_log_reader_next(cu_log_reader *reader, cu_buf *out, struct cu_log_file *ret_file)
{
	unsigned looks = 0;

	close_file(reader);
	*ret_file = (struct cu_log_file){ -1, 0, 0 };
	while (cu_offset_cmp(reader->at, reader->end) < 0 && out->len < reader->piece && !ret_file->len) {
		struct look look;
		int rc;

		look_up(reader, &look);
		if (look.gone || (!look.sealed && look.runs_len == 0))
			return CU_ECLOSED;
		if (look.sealed) {
			close_file(reader);
			reader->resume = 0;
			rc = put_sealed(reader, &look.chunk, look.whole, out, ret_file);
		} else {
			rc = put_runs(reader, &look, out);
		}
		/* It was sealed, or compacted, and dropped since the look. */
		if (rc == CU_ENOTFOUND && ++looks < LOOKS_MAX) {
			reader->resume = 0;
			continue;
		}
		if (rc < 0)
			return rc == CU_ENOTFOUND ? CU_ECORRUPT : rc; /* what is there for all is lost */
		if (cu_buf_failed(out))
			return CU_ENOMEM;
	}
	return cu_offset_cmp(reader->at, reader->end) < 0;
}

int cu_log_reader_next_bytes(cu_log_reader *reader, cu_buf *out)
{
	struct cu_log_file file;
	size_t len;
	ssize_t n;
	int rc;

	if (!reader->file_len) {
		rc = cu_log_reader_next(reader, out, &file);
		if (rc < 0 || !file.len)
			return rc;
		reader->file_at = file.at;
		reader->file_len = file.len;
	}
	len = (size_t)CU_MIN(reader->file_len, (uint64_t)reader->piece);
	if (!cu_buf_reserve(out, len))
		return CU_ENOMEM;
	n = pread(reader->fd, out->data + out->len, len, (off_t)reader->file_at);
	if (n <= 0)
		return n < 0 ? CU_EIO : CU_ECORRUPT;
	out->len += (size_t)n;
	reader->file_at += (uint64_t)n;
	reader->file_len -= (uint64_t)n;
	return reader->file_len > 0 || cu_offset_cmp(reader->at, reader->end) < 0;
}
