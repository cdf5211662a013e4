/* log_reader.c: runs → records → items with their closing headers. */
#include "shape/log_reader.h"

#include "store/span.h"

#include <stdlib.h>

#define RUNS_AT_A_TIME 64

void cu_log_reader_init(cu_log_reader *reader, cu_shape *shape, cu_changelog *log, cu_offset from, cu_offset end)
{
	*reader = (cu_log_reader){ .shape = cu_shape_ref(shape), .log = log, .at = from, .end = end };
}

void cu_log_reader_rest(cu_log_reader *reader)
{
	free(reader->window);
	reader->window = NULL;
	reader->window_cap = reader->window_len = 0;
}

void cu_log_reader_fini(cu_log_reader *reader)
{
	cu_log_reader_rest(reader);
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
	return cu_changelog_read(reader->log, pos, len, reader->window);
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
	/* Segments are dropped only when no tail needs them: the shape was removed meanwhile. */
	return rc == CU_ENOTFOUND ? CU_ECLOSED : rc;
}

static void put_item(cu_log_reader *reader, const struct cu_tail_run *run, const struct cu_span_item *item, cu_buf *out)
{
	bool last = run->last && item->op == run->last_op;

	if (reader->any)
		cu_buf_putc(out, ',');
	cu_buf_append(out, item->payload, item->len);
	cu_buf_puts(out, last ? CU_ITEM_END_LAST : CU_ITEM_END);
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
		size_t left = (size_t)(end - pos), len = CU_MIN(left, CU_LOG_READER_PIECE);
		int rc = ensure(reader, pos, len, CU_MIN(further, pos + CU_LOG_READER_PIECE));

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
			if (out->len >= CU_LOG_READER_PIECE && pos < end) {
				reader->resume = pos;
				return 0;
			}
		} while (cu_span_next(&cur, &item));
		if (cur.failed)
			return CU_ECORRUPT;
	}
	return 1;
}

int cu_log_reader_next(cu_log_reader *reader, cu_buf *out)
{
	struct cu_tail_run runs[RUNS_AT_A_TIME];

	while (cu_offset_cmp(reader->at, reader->end) < 0 && out->len < CU_LOG_READER_PIECE) {
		cu_shape *shape = reader->shape;
		size_t n = 0;

		cu_shape_lock(shape);
		if (shape->state == CU_SHAPE_CREATING || shape->state == CU_SHAPE_LIVE) {
			const cu_tail *tail = cu_shape_tail(shape);
			size_t at = cu_tail_seek(tail, reader->at);

			n = CU_MIN(tail->visible - at, (size_t)RUNS_AT_A_TIME);
			if (n)
				memcpy(runs, tail->runs + at, n * sizeof *runs);
		}
		cu_shape_unlock(shape);
		if (n == 0)
			return CU_ECLOSED;
		for (size_t i = 0; i < n && cu_offset_cmp(reader->at, reader->end) < 0; i++) {
			size_t ahead = i;
			int rc;

			while (ahead + 1 < n && run_end(&runs[ahead + 1]) <= run_start(&runs[i]) + CU_LOG_READER_PIECE)
				ahead++;
			rc = put_run(reader, &runs[i], run_end(&runs[ahead]), out);
			if (rc < 0)
				return rc;
			if (rc == 0 || out->len >= CU_LOG_READER_PIECE)
				break;
		}
		if (cu_buf_failed(out))
			return CU_ENOMEM;
	}
	return cu_offset_cmp(reader->at, reader->end) < 0;
}
