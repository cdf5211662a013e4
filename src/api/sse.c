/* sse.c: live_sse: one answer that goes on with whatever comes.
 *
 * A stream is a position in the shape's log and nothing else. Whenever the socket has taken everything, it is asked for
 * the next piece: what lies behind its position, as events, and up-to-date behind the log's end. So a slow reader
 * reads the log later and in larger pieces; nothing waits for it in memory but the piece on its way.
 *
 * Streams at the same position get the same text: each loop keeps the last piece it made, so that a change that wakes
 * thousands is encoded once per loop.
 *
 * The stream ends at its time, when the shape goes (the client asks again and is told 409), and when the server
 * stops. Until an up-to-date has arrived whole, clients hold back what came, and ask again from their last one.
 */
#include "api/reader.h"
#include "api/sse_text.h"

#include "base/clock.h"
#include "base/limits.h"
#include "shape/log_reader.h"

#include <stdlib.h>
#include <unistd.h>

/* A stretch that takes several pieces: of the log, or a chunk of the snapshot. */
struct stretch {
	cu_offset end;
	bool up_to_date;
	int fd; /* of a chunk; -1: of the log */
	uint64_t file_at, file_len;
	cu_log_reader log;
	struct cu_sse_split split;
};

struct stream {
	struct cu_http_source source;
	struct cu_reader *reader;
	cu_offset at;            /* everything up to here has been given out */
	cu_http_body *piece;     /* on its way */
	struct stretch *stretch; /* begun and not finished; NULL: none */
	bool in_snapshot;        /* a chunk was the last that was given: no up-to-date has come behind it */
	uint64_t spoke_ms;
	uint64_t end_ms;
	unsigned loop;
};

static void stretch_free(struct stretch **ref)
{
	struct stretch *stretch = *ref;

	if (!stretch)
		return;
	*ref = NULL;
	if (stretch->fd >= 0)
		close(stretch->fd);
	else
		cu_log_reader_fini(&stretch->log);
	free(stretch);
}

/* Takes the text. 1, or CU_ENOMEM. */
static int give(struct stream *stream, cu_buf *text, struct cu_http_piece *ret_piece)
{
	struct cu_http_slice bytes;
	size_t len;
	char *data = cu_buf_steal(text, &len);

	if (!data || !len || cu_http_body_take(data, len, &stream->piece) < 0) {
		free(data);
		return len ? CU_ENOMEM : CU_ECORRUPT; /* no chunk and no stretch of the log is empty */
	}
	bytes = cu_http_body_bytes(stream->piece);
	*ret_piece = (struct cu_http_piece){ .data = bytes.data, .len = bytes.len };
	return 1;
}

static void put_up_to_date(cu_buf *text, uint64_t lsn)
{
	cu_buf_puts(text, "data: ");
	cu_answer_put_up_to_date(text, lsn);
	cu_buf_puts(text, "\n\n");
}

/* ---- pieces of a stretch ---- */

/* 1: there is more; 0: that was all. */
static int file_read(struct stretch *stretch, cu_buf *raw)
{
	size_t want = (size_t)CU_MIN(stretch->file_len - stretch->file_at, (uint64_t)CU_SSE_PIECE);
	ssize_t n;

	if (!cu_buf_reserve(raw, want))
		return CU_ENOMEM;
	n = pread(stretch->fd, raw->data, want, (off_t)stretch->file_at);
	if (n < 0 || (n == 0 && want > 0))
		return CU_EIO;
	raw->len += (size_t)n;
	stretch->file_at += (uint64_t)n;
	return stretch->file_at < stretch->file_len;
}

/* The next piece. 1: *text is one; negative: why not. Ends the stretch behind its last. */
static int stretch_next(struct stream *stream, cu_buf *text)
{
	struct stretch *stretch = stream->stretch;
	cu_buf raw = CU_BUF_INIT;
	int rc;

	if (stretch->fd >= 0) {
		rc = file_read(stretch, &raw);
	} else {
		rc = cu_log_reader_next_bytes(&stretch->log, &raw);
		cu_log_reader_rest(&stretch->log);
	}
	if (rc >= 0) {
		cu_sse_put_items(&stretch->split, raw.data, raw.len, text);
		if (rc == 0) {
			if (stretch->up_to_date)
				put_up_to_date(text, stretch->end.tx);
			stream->at = stretch->end;
			stretch_free(&stream->stretch);
		}
		rc = cu_buf_failed(text) ? CU_ENOMEM : 1;
	}
	cu_buf_fini(&raw);
	return rc;
}

/* ---- waiting ---- */

static int wait_or_speak(struct stream *stream, uint64_t now_ms, struct cu_http_piece *ret_piece)
{
	switch (cu_sse_turn(now_ms, stream->spoke_ms, stream->end_ms, &stream->source.wait_ms)) {
	case CU_SSE_END: return 0;
	case CU_SSE_KEEP_ALIVE:
		stream->spoke_ms = now_ms;
		*ret_piece = (struct cu_http_piece){ .data = CU_SSE_KEEP_ALIVE_TEXT,
						     .len = sizeof CU_SSE_KEEP_ALIVE_TEXT - 1 };
		return 1;
	case CU_SSE_WAIT: break;
	}
	return CU_HTTP_SOURCE_WAIT;
}

/* ---- the log, shared ---- */

static bool give_shared(struct stream *stream, cu_offset end, bool up_to_date, struct cu_http_piece *ret_piece)
{
	const struct cu_sse_shared *shared = &stream->reader->api->sse_shared[stream->loop];
	struct cu_http_slice bytes;

	if (!shared->body || shared->shape_id != stream->reader->shape->id ||
	    cu_offset_cmp(shared->from, stream->at) != 0 || cu_offset_cmp(shared->end, end) != 0 ||
	    shared->up_to_date != up_to_date)
		return false;
	stream->piece = cu_http_body_ref(shared->body);
	stream->at = end;
	bytes = cu_http_body_bytes(stream->piece);
	*ret_piece = (struct cu_http_piece){ .data = bytes.data, .len = bytes.len };
	return true;
}

static void share(const struct stream *stream, cu_offset from, bool up_to_date)
{
	struct cu_sse_shared *shared = &stream->reader->api->sse_shared[stream->loop];

	cu_http_body_unref(&shared->body);
	*shared = (struct cu_sse_shared){
		.shape_id = stream->reader->shape->id,
		.from = from,
		.end = stream->at,
		.up_to_date = up_to_date,
		.body = cu_http_body_ref(stream->piece),
	};
}

/* The log behind the stream's position. */
static int give_log(struct stream *stream, struct cu_http_piece *ret_piece)
{
	struct cu_reader *reader = stream->reader;
	cu_shape *shape = reader->shape;
	cu_offset from = stream->at, end;
	bool up_to_date;
	cu_buf text = CU_BUF_INIT;
	int rc;

	/* More may have been shown since the caller looked; what is up to date is decided here. */
	cu_shape_lock(shape);
	end = cu_shape_log_answer_end(cu_shape_log_of(shape), from);
	up_to_date = cu_offset_cmp(end, cu_shape_log_latest(cu_shape_log_of(shape))) == 0;
	cu_shape_unlock(shape);
	if (give_shared(stream, end, up_to_date, ret_piece))
		return 1;
	if (!cu_chunk_check_log(reader->api->opts.checks, shape, from, end))
		return wait_or_speak(stream, cu_now_ms(), ret_piece);
	stream->stretch = cu_xzalloc(sizeof *stream->stretch);
	stream->stretch->fd = -1;
	stream->stretch->end = end;
	stream->stretch->up_to_date = up_to_date;
	stream->in_snapshot = false;
	cu_log_reader_init(&stream->stretch->log, shape, reader->api->opts.store, from, end);
	stream->stretch->log.piece = CU_SSE_PIECE;
	rc = stretch_next(stream, &text);
	if (rc == 1)
		rc = give(stream, &text, ret_piece);
	if (rc == 1 && !stream->stretch)
		share(stream, from, up_to_date);
	cu_buf_fini(&text);
	return rc;
}

/* ---- the snapshot: who asks for live_sse before reading it to its end ---- */

static int give_chunk(struct stream *stream, uint32_t n, bool small, struct cu_http_piece *ret_piece)
{
	struct cu_reader *reader = stream->reader;
	cu_store *store = reader->api->opts.store;
	struct cu_sse_split split = { 0 };
	cu_buf text = CU_BUF_INIT, raw = CU_BUF_INIT;
	struct stretch *stretch;
	int rc = 0;

	if (small) {
		if (!cu_shape_put_small(reader->shape, &raw))
			rc = cu_metadata_get_small(cu_store_metadata(store), reader->shape->id, &raw);
		if (rc == 0) {
			cu_sse_put_items(&split, raw.data, raw.len, &text);
			stream->at = cu_offset_of(0, n);
			rc = 1;
		}
	} else {
		stretch = cu_xzalloc(sizeof *stretch);
		stretch->end = cu_offset_of(0, n);
		rc = cu_chunk_open(cu_store_chunks(store), reader->shape->id, CU_CHUNK_SNAPSHOT, n, &stretch->fd,
				   &stretch->file_len);
		if (rc < 0) {
			free(stretch);
		} else {
			stream->stretch = stretch;
			rc = stretch_next(stream, &text);
		}
	}
	if (rc == 1)
		rc = give(stream, &text, ret_piece);
	stream->in_snapshot = true;
	cu_buf_fini(&raw);
	cu_buf_fini(&text);
	return rc;
}

/* The snapshot's end is the log's end. */
static int give_up_to_date(struct stream *stream, struct cu_http_piece *ret_piece)
{
	cu_buf text = CU_BUF_INIT;
	int rc;

	stream->in_snapshot = false;
	put_up_to_date(&text, stream->reader->global_lsn);
	rc = give(stream, &text, ret_piece);
	cu_buf_fini(&text);
	return rc;
}

/* ---- the source ---- */

static int look(struct stream *stream, uint64_t now_ms, struct cu_http_piece *ret_piece)
{
	cu_shape *shape = stream->reader->shape;
	struct cu_shape_status status;
	uint32_t n;

	if (now_ms >= stream->end_ms)
		return 0;
	/* The bit first, then the look (shape.h). */
	atomic_fetch_or(&shape->waiting_loops, UINT64_C(1) << stream->loop);
	status = cu_shape_status(shape);
	if (status.state != CU_SHAPE_CREATING && status.state != CU_SHAPE_LIVE)
		return CU_ECLOSED;
	if (cu_snapshot_chunk_after(stream->at, &n)) {
		if (n < status.chunks_len && !status.snapshot_small &&
		    !cu_chunk_check_snapshot(stream->reader->api->opts.checks, shape, n))
			return wait_or_speak(stream, now_ms, ret_piece);
		if (n < status.chunks_len)
			return give_chunk(stream, n, status.snapshot_small, ret_piece);
		if (status.snapshot_complete)
			stream->at = CU_OFFSET_SNAPSHOT_END;
	}
	if (status.snapshot_complete && cu_offset_cmp(stream->at, status.latest) < 0)
		return give_log(stream, ret_piece);
	if (status.snapshot_complete && stream->in_snapshot)
		return give_up_to_date(stream, ret_piece);
	return wait_or_speak(stream, now_ms, ret_piece);
}

/* The end of the stream, behind which the client asks again, and is told; or cut off. */
static int stream_failed(const struct stream *stream, int rc)
{
	switch (rc) {
	case CU_ECLOSED: /* the shape went */
	case CU_EAGAIN: /* what was begun is not there any more in this form */ return 0;
	case CU_ENOTFOUND:
	case CU_ECORRUPT:
		/* Unless it was removed this moment: it must go, for the client would come back to it for ever. */
		cu_shape_set_remove(stream->reader->api->opts.shapes, stream->reader->shape,
				    "its snapshot or its log is damaged", NULL);
		return 0;
	default: return rc;
	}
}

static int stream_next(struct cu_http_source *source, struct cu_http_piece *ret_piece)
{
	struct stream *stream = CU_CONTAINER_OF(source, struct stream, source);
	uint64_t now_ms = cu_now_ms();
	cu_buf text = CU_BUF_INIT;
	int rc;

	cu_http_body_unref(&stream->piece);
	if (stream->stretch) {
		rc = stretch_next(stream, &text);
		if (rc == 1)
			rc = give(stream, &text, ret_piece);
		cu_buf_fini(&text);
	} else {
		rc = look(stream, now_ms, ret_piece);
	}
	if (rc == 1)
		stream->spoke_ms = now_ms;
	cu_shape_mark_read(stream->reader->shape, rc == CU_HTTP_SOURCE_WAIT ? stream->source.wait_ms : 0);
	return rc < 0 ? stream_failed(stream, rc) : rc;
}

static void stream_close(struct cu_http_source *source)
{
	struct stream *stream = CU_CONTAINER_OF(source, struct stream, source);

	cu_http_body_unref(&stream->piece);
	stretch_free(&stream->stretch);
	cu_reader_free(&stream->reader);
	free(stream);
}

void cu_sse_start(struct cu_reader *reader, cu_http_request *req, bool up_to_date)
{
	struct stream *stream = cu_xzalloc(sizeof *stream);
	uint64_t now_ms = cu_now_ms();

	stream->reader = reader;
	stream->at = reader->offset;
	stream->spoke_ms = now_ms;
	stream->end_ms = now_ms + reader->api->opts.headers.sse_timeout_ms;
	stream->loop = cu_http_loop_index(cu_http_request_loop(req));
	stream->source = (struct cu_http_source){
		.next = stream_next, .close = stream_close, .length = CU_HTTP_LENGTH_UNKNOWN, .stream = true
	};
	/* What it is parked under; next() says for how long. */
	stream->source.wait_key = reader->shape->id;
	cu_answer_stream(reader, req, up_to_date, &stream->source);
}
