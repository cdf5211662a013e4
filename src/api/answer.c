/* answer.c: header blocks and bodies. Every function here ends its request and frees its reader. */
#include "api/reader.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "shape/log_reader.h"

#include <fcntl.h>
#include <stdlib.h>

#define OVERLOADED_RETRY_S 5u

enum cu_answer_method cu_answer_method_of(const cu_http_request *req)
{
	switch (cu_http_request_method(req)) {
	case CU_HTTP_POST: return CU_ANSWER_POST;
	case CU_HTTP_DELETE: return CU_ANSWER_DELETE;
	default: return CU_ANSWER_GET;
	}
}

/* ---- what N readers of one wave share ---- */

/* The last live answer of a loop: when a change wakes thousands of readers that all stand at the same offset, headers and
 * body are made once. Lives until the wave ends. */
struct wave {
	uint64_t shape_id;
	cu_offset asked, end;
	char *cursor;
	cu_buf head; /* without x-request-id */
	cu_http_body *body;
};

/* One for each way the body may be encoded. */
struct waves {
	struct wave of[CU_ENCODINGS];
};

static void wave_clear(struct wave *wave)
{
	free(wave->cursor);
	cu_buf_fini(&wave->head);
	cu_http_body_unref(&wave->body);
	*wave = (struct wave){ .shape_id = 0 };
}

void cu_api_on_wave_end(void *ctx, cu_http_loop *loop, uint64_t key)
{
	struct waves **waves = (struct waves **)cu_http_loop_data(loop);

	(void)ctx;
	(void)key;
	if (!*waves)
		return;
	for (int i = 0; i < CU_ENCODINGS; i++)
		wave_clear(&(*waves)->of[i]);
	free(*waves);
	*waves = NULL;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static struct wave *wave_of(const struct cu_reader *reader, cu_http_request *req, cu_offset end)
{
	struct waves *waves = *cu_http_loop_data(cu_http_request_loop(req));
	struct wave *wave = waves ? &waves->of[reader->encoding] : NULL;

	if (wave && wave->body && wave->shape_id == reader->shape->id &&
	    cu_offset_cmp(wave->asked, reader->offset) == 0 && cu_offset_cmp(wave->end, end) == 0 &&
	    same_text(wave->cursor, reader->cursor))
		return wave;
	return NULL;
}

/* ---- header blocks ---- */

static void put_request_id(const struct cu_reader *reader, const cu_http_request *req, cu_buf *head)
{
	struct cu_http_slice id = { NULL, 0 };

	if (!reader || !reader->parked)
		id = cu_http_request_header(req, "x-request-id");
	cu_headers_put_request_id(id.data, id.len, head);
}

struct offset_texts {
	char asked[CU_OFFSET_TEXT_MAX];
	char answered[CU_OFFSET_TEXT_MAX];
};

static struct cu_answer answer_to(const struct cu_reader *reader, cu_offset answered, struct offset_texts *texts)
{
	const cu_definition *def = reader->shape->def;

	if (reader->now)
		memcpy(texts->asked, "now", 4);
	else
		cu_offset_format(reader->offset, texts->asked);
	cu_offset_format(answered, texts->answered);
	return (struct cu_answer){
		.kind = CU_ANSWER_SHAPE,
		.method = reader->post ? CU_ANSWER_POST : CU_ANSWER_GET,
		.status = 200,
		.live = reader->live,
		.handle = reader->shape->handle,
		.offset_asked = texts->asked,
		.offset = texts->answered,
		.cursor_asked = reader->cursor,
		.schema = def->schema_json,
		.schema_len = def->schema_json_len,
	};
}

/* Does the client have this answer already, the way it would get it now or as it is? Then the answer stands for that one.
 * Only asked with the request's headers still there. */
static bool not_modified(const struct cu_reader *reader, const cu_http_request *req, struct cu_answer *answer)
{
	const enum cu_encoding ways[] = { reader->encoding, CU_ENCODING_NONE };
	struct cu_http_slice tags = { NULL, 0 };
	cu_buf etag = CU_BUF_INIT;
	bool matches = false;

	if (!reader->parked)
		tags = cu_http_request_header(req, "if-none-match");
	for (size_t i = 0; tags.data && !matches && i < CU_ARRAY_LEN(ways); i++) {
		cu_buf_clear(&etag);
		answer->encoding = ways[i];
		cu_etag_put(answer, &etag);
		matches = !cu_buf_failed(&etag) && cu_etag_matches(tags.data, tags.len, etag.data, etag.len);
	}
	cu_buf_fini(&etag);
	return matches;
}

static void send_response(struct cu_reader *reader, cu_http_request *req, int status, cu_buf *head, cu_http_body *body,
			  struct cu_http_source *source)
{
	struct cu_http_response response = {
		.status = status,
		.body = body,
		.source = source,
	};

	put_request_id(reader, req, head);
	/* Its place among the requests under way is free before its client knows: what that asks for next may need it. */
	cu_reader_free(&reader);
	if (cu_buf_failed(head)) {
		if (source)
			source->close(source);
		cu_http_abort(req);
	} else {
		response.headers = head->data;
		response.headers_len = head->len;
		cu_http_respond(req, &response);
	}
}

/* Takes source and body's reference is the caller's. */
static void respond(struct cu_reader *reader, cu_http_request *req, const struct cu_answer *answer, cu_http_body *body,
		    struct cu_http_source *source)
{
	cu_buf head = CU_BUF_INIT;

	cu_headers_put(reader->api->headers, answer, cu_wall_us() / 1000000, &head);
	send_response(reader, req, answer->status, &head, body, source);
	cu_buf_fini(&head);
}

/* The text as a body; returns owned. NULL: no memory, and the request has been ended. */
static cu_http_body *body_of(struct cu_reader *reader, cu_http_request *req, cu_buf *text)
{
	cu_http_body *body = NULL;
	size_t len;
	char *data = cu_buf_steal(text, &len);

	if (data && cu_http_body_take(data, len, &body) == 0)
		return body;
	free(data);
	cu_http_abort(req);
	cu_reader_free(&reader);
	return NULL;
}

/* Compresses a text that is worth it, where the client takes it, and notes that in the answer. Else, or without memory for
 * it, the text stays as it is. */
static void encode_text(const struct cu_reader *reader, struct cu_answer *answer, cu_buf *text)
{
	cu_buf packed = CU_BUF_INIT;

	if (!reader->encoding || answer->status != 200 || cu_buf_failed(text) || text->len < CU_ENCODE_MIN ||
	    text->len > CU_ENCODE_INLINE_MAX)
		return;
	if (cu_encoding_compress(reader->encoding, text->data, text->len, &packed) == 0) {
		answer->encoding = reader->encoding;
		cu_buf_fini(text);
		*text = packed;
		return;
	}
	cu_buf_fini(&packed);
}

/* Takes the text. */
static void respond_text(struct cu_reader *reader, cu_http_request *req, const struct cu_answer *answer, cu_buf *text)
{
	struct cu_answer encoded = *answer;
	cu_http_body *body;

	encode_text(reader, &encoded, text);
	body = body_of(reader, req, text);
	if (!body)
		return;
	respond(reader, req, &encoded, body, NULL);
	cu_http_body_unref(&body);
}

void cu_answer_send(struct cu_reader *reader, cu_http_request *req, const struct cu_answer *answer, cu_http_body *body,
		    struct cu_http_source *source)
{
	respond(reader, req, answer, body, source);
}

void cu_answer_send_text(struct cu_reader *reader, cu_http_request *req, const struct cu_answer *answer, cu_buf *text)
{
	respond_text(reader, req, answer, text);
}

/* ---- errors ---- */

static void respond_error(struct cu_reader *reader, cu_http_request *req, int status, const char *handle,
			  unsigned retry_after_s, cu_buf *text)
{
	struct cu_answer answer = {
		.kind = CU_ANSWER_SHAPE,
		.method = reader->post ? CU_ANSWER_POST : CU_ANSWER_GET,
		.status = status,
		.live = reader->live,
		.cursor_asked = reader->cursor,
		.handle = handle,
		.retry_after_s = retry_after_s,
		.known_error = reader->known_error,
	};

	respond_text(reader, req, &answer, text);
}

void cu_answer_error(struct cu_reader *reader, cu_http_request *req, int status, const char *message,
		     unsigned retry_after_s)
{
	cu_buf text = CU_BUF_INIT;

	cu_api_message_body(message, &text);
	respond_error(reader, req, status, NULL, retry_after_s, &text);
}

void cu_answer_overloaded(struct cu_reader *reader, cu_http_request *req, const char *message)
{
	cu_buf text = CU_BUF_INIT;

	reader->known_error = true;
	cu_api_code_body("concurrent_request_limit_exceeded", message, &text);
	/* Those who were refused together come back apart. */
	respond_error(reader, req, 503, NULL, OVERLOADED_RETRY_S + 1 + cu_random_below(OVERLOADED_RETRY_S), &text);
}

void cu_answer_invalid(struct cu_reader *reader, cu_http_request *req, const cu_api_errors *errors)
{
	cu_buf text = CU_BUF_INIT;

	cu_api_errors_body(errors, &text);
	respond_error(reader, req, 400, NULL, 0, &text);
}

void cu_answer_must_refetch(struct cu_reader *reader, cu_http_request *req, const char *handle)
{
	cu_buf text = CU_BUF_INIT;

	cu_api_must_refetch_body(&text);
	respond_error(reader, req, 409, handle, 0, &text);
}

/* more: further header lines. */
static void respond_plain(cu_api *api, cu_http_request *req, const struct cu_answer *answer, const char *body,
			  const cu_buf *more)
{
	struct cu_http_response response = { .status = answer->status };
	cu_buf head = CU_BUF_INIT;

	cu_headers_put(api->headers, answer, cu_wall_us() / 1000000, &head);
	put_request_id(NULL, req, &head);
	if (more)
		cu_buf_append(&head, more->data, more->len);
	if (cu_buf_failed(&head) || (body && cu_http_body_new(body, strlen(body), &response.body) < 0)) {
		cu_http_abort(req);
	} else {
		response.headers = head.data;
		response.headers_len = head.len;
		cu_http_respond(req, &response);
	}
	cu_http_body_unref(&response.body);
	cu_buf_fini(&head);
}

void cu_answer_plain(cu_api *api, cu_http_request *req, enum cu_answer_kind kind, enum cu_answer_method method,
		     int status, const char *body, unsigned retry_after_s)
{
	struct cu_answer answer = { .kind = kind, .method = method, .status = status, .retry_after_s = retry_after_s };

	respond_plain(api, req, &answer, body, NULL);
}

void cu_answer_options(cu_api *api, cu_http_request *req)
{
	struct cu_answer answer = { .kind = CU_ANSWER_OPTIONS, .method = CU_ANSWER_GET, .status = 204 };
	struct cu_http_slice wanted = cu_http_request_header(req, "access-control-request-headers");
	cu_buf more = CU_BUF_INIT;

	cu_headers_put_allowed(wanted.data, wanted.len, &more);
	respond_plain(api, req, &answer, NULL, &more);
	cu_buf_fini(&more);
}

/* ---- a snapshot chunk ---- */

static void chunk_unreadable(struct cu_reader *reader, cu_http_request *req, int rc)
{
	if (rc == CU_ENOTFOUND || rc == CU_ECORRUPT) {
		/* Removed this moment; or lost or damaged: then the shape must go, else the refetch comes back to it. */
		cu_shape_set_remove(
			reader->api->opts.shapes, reader->shape,
			rc == CU_ENOTFOUND ? "a chunk of its snapshot is missing" : "its snapshot is damaged", NULL);
		cu_answer_must_refetch(reader, req, NULL);
	} else {
		cu_answer_error(reader, req, 503, "The shape's snapshot cannot be read", 5);
	}
}

/* A snapshot that has no file: from memory until metadata has it, which it has before memory lets go of it. */
static void answer_small(struct cu_reader *reader, cu_http_request *req, const struct cu_answer *answer)
{
	cu_buf text = CU_BUF_INIT;
	int rc = 0;

	cu_buf_putc(&text, '[');
	if (!cu_shape_put_small(reader->shape, &text))
		rc = cu_metadata_get_small(cu_store_metadata(reader->api->opts.store), reader->shape->id, &text);
	cu_buf_putc(&text, ']');
	if (rc == 0) {
		respond_text(reader, req, answer, &text);
		return;
	}
	cu_buf_fini(&text);
	chunk_unreadable(reader, req, rc);
}

void cu_answer_chunk(struct cu_reader *reader, cu_http_request *req, uint32_t n, bool small)
{
	struct offset_texts texts;
	struct cu_answer answer = answer_to(reader, cu_offset_of(0, n), &texts);
	struct cu_splice parts = { .fd = -1 };
	int rc;

	answer.no_changes = false;
	if (not_modified(reader, req, &answer)) {
		answer.status = 304;
		respond(reader, req, &answer, NULL, NULL);
		return;
	}
	if (small) {
		answer_small(reader, req, &answer);
		return;
	}
	rc = cu_chunk_open(cu_store_chunks(reader->api->opts.store), reader->shape->id, CU_CHUNK_SNAPSHOT, n, &parts.fd,
			   &parts.len);
	if (rc < 0) {
		chunk_unreadable(reader, req, rc);
		return;
	}
	cu_buf_putc(&parts.prefix, '[');
	cu_buf_putc(&parts.suffix, ']');
	cu_answer_splice(reader, req, &answer, &parts);
}

/* ---- a piece of the log ---- */

void cu_answer_put_up_to_date(cu_buf *out, uint64_t lsn)
{
	cu_buf_puts(out, "{\"headers\":{\"control\":\"up-to-date\",\"global_last_seen_lsn\":\"");
	cu_buf_put_u64(out, lsn);
	cu_buf_puts(out, "\"}}");
}

/* Gives out, again and again: `out`, then `file`; at the end the suffix. */
struct log_source {
	struct cu_http_source source;
	cu_log_reader reader;
	cu_buf out; /* the piece that is being sent; the first one is there before anything is asked for */
	struct cu_log_file file;
	cu_buf suffix;
	enum { LOG_OUT, LOG_FILE, LOG_MORE } stage; /* what is given out next */
	bool finished;                              /* out, file and suffix are the last */
};

/* The next items and, behind the last of them, the suffix. 1 more, 0 that was all. Nothing but `out` is kept while the socket
 * takes no more. */
static int log_fill(struct log_source *log)
{
	int rc = cu_log_reader_next(&log->reader, &log->out, &log->file);

	cu_log_reader_rest(&log->reader);
	log->stage = LOG_OUT;
	log->finished = rc == 0;
	if (rc == 0 && !log->file.len)
		cu_buf_append(&log->out, log->suffix.data, log->suffix.len);
	return cu_buf_failed(&log->out) ? CU_ENOMEM : rc;
}

static int log_next(struct cu_http_source *source, struct cu_http_piece *ret_piece)
{
	struct log_source *log = CU_CONTAINER_OF(source, struct log_source, source);
	int rc;

	for (;;) {
		switch (log->stage) {
		case LOG_OUT:
			log->stage = LOG_FILE;
			if (log->out.len) {
				*ret_piece = (struct cu_http_piece){ .data = log->out.data, .len = log->out.len };
				return 1;
			}
			break;
		case LOG_FILE:
			log->stage = LOG_MORE;
			if (log->file.len) {
				*ret_piece = (struct cu_http_piece){
					.fd = log->file.fd,
					.offset = (off_t)log->file.at,
					.len = log->file.len,
				};
				return 1;
			}
			break;
		case LOG_MORE:
			if (log->out.cap > (size_t)2 * CU_LOG_PIECE)
				cu_buf_fini(&log->out); /* the first, or a large item's */
			cu_buf_clear(&log->out);
			if (!log->finished) {
				log->reader.piece = CU_LOG_PIECE;
				rc = log_fill(log);
				if (rc < 0)
					return rc;
				break;
			}
			if (!log->file.len)
				return 0;
			log->file.len = 0;
			*ret_piece = (struct cu_http_piece){ .data = log->suffix.data, .len = log->suffix.len };
			return 1;
		}
	}
}

static void log_close(struct cu_http_source *source)
{
	struct log_source *log = CU_CONTAINER_OF(source, struct log_source, source);

	cu_log_reader_fini(&log->reader);
	cu_buf_fini(&log->out);
	cu_buf_fini(&log->suffix);
	free(log);
}

/* A wave's first reader leaves head and body for the others. */
static void remember_for_wave(const struct cu_reader *reader, cu_http_request *req, cu_offset end, const cu_buf *head,
			      cu_http_body *body)
{
	struct waves **waves = (struct waves **)cu_http_loop_data(cu_http_request_loop(req));
	struct wave *wave;

	if (!*waves)
		*waves = cu_xzalloc(sizeof **waves);
	wave = &(*waves)->of[reader->encoding];
	wave_clear(wave);
	wave->shape_id = reader->shape->id;
	wave->asked = reader->offset;
	wave->end = end;
	wave->cursor = reader->cursor ? cu_xstrdup(reader->cursor) : NULL;
	cu_buf_append(&wave->head, head->data, head->len);
	wave->body = cu_http_body_ref(body);
}

static void respond_from_wave(struct cu_reader *reader, cu_http_request *req, struct wave *wave)
{
	cu_buf head = CU_BUF_INIT;

	cu_buf_reserve(&head, wave->head.len + 64);
	cu_buf_append(&head, wave->head.data, wave->head.len);
	send_response(reader, req, 200, &head, wave->body, NULL);
	cu_buf_fini(&head);
}

static void respond_small_log(struct cu_reader *reader, cu_http_request *req, struct cu_answer *answer, cu_offset end,
			      cu_buf *text)
{
	cu_http_body *body;
	cu_buf head = CU_BUF_INIT;

	encode_text(reader, answer, text);
	body = body_of(reader, req, text);
	if (!body)
		return;
	cu_headers_put(reader->api->headers, answer, cu_wall_us() / 1000000, &head);
	if (reader->parked && !reader->post && reader->wait == CU_WAIT_LIVE && !cu_buf_failed(&head))
		remember_for_wave(reader, req, end, &head, body);
	send_response(reader, req, answer->status, &head, body, NULL);
	cu_http_body_unref(&body);
	cu_buf_fini(&head);
}

/* What is left of the range ends with one file. Takes the log. */
static void respond_sealed_log(struct cu_reader *reader, cu_http_request *req, const struct cu_answer *answer,
			       struct log_source *log)
{
	struct cu_splice parts = {
		.prefix = log->out,
		.fd = fcntl(log->file.fd, F_DUPFD_CLOEXEC, 0),
		.at = log->file.at,
		.len = log->file.len,
		.suffix = log->suffix,
	};

	cu_buf_init(&log->out);
	cu_buf_init(&log->suffix);
	log_close(&log->source);
	if (parts.fd >= 0) {
		cu_answer_splice(reader, req, answer, &parts);
	} else {
		cu_splice_fini(&parts);
		cu_answer_error(reader, req, 503, "Out of file descriptors, please retry", 5);
	}
}

static void log_unreadable(struct cu_reader *reader, cu_http_request *req, int rc)
{
	switch (rc) {
	case CU_EAGAIN: cu_reader_serve(reader, req); return; /* its end moved this moment */
	case CU_ECLOSED: cu_answer_must_refetch(reader, req, NULL); return;
	case CU_ECORRUPT:
		cu_shape_set_remove(reader->api->opts.shapes, reader->shape, "its log is damaged", NULL);
		cu_answer_must_refetch(reader, req, NULL);
		return;
	default: break;
	}
	cu_error("a shape's log cannot be read", CU_KV("handle", reader->shape->handle),
		 CU_KV("error", cu_strerror(rc)), CU_KV("next", "check the storage directory's disk"));
	cu_answer_error(reader, req, 500, "Unable to retrieve shape log", 0);
}

void cu_answer_log(struct cu_reader *reader, cu_http_request *req, cu_offset from, cu_offset end, bool up_to_date)
{
	struct offset_texts texts;
	struct cu_answer answer;
	struct log_source *log;
	struct cu_http_source *packed;
	struct wave *wave = reader->parked && !reader->post && reader->wait == CU_WAIT_LIVE && up_to_date
				    ? wave_of(reader, req, end)
				    : NULL;
	int rc;

	if (wave) {
		respond_from_wave(reader, req, wave);
		return;
	}
	answer = answer_to(reader, end, &texts);
	answer.up_to_date = up_to_date;
	if (not_modified(reader, req, &answer)) {
		answer.status = 304;
		respond(reader, req, &answer, NULL, NULL);
		return;
	}
	log = cu_xzalloc(sizeof *log);
	cu_log_reader_init(&log->reader, reader->shape, reader->api->opts.store, from, end);
	if (up_to_date) {
		cu_buf_putc(&log->suffix, ',');
		cu_answer_put_up_to_date(&log->suffix, reader->live ? end.tx : CU_MAX(reader->global_lsn, end.tx));
	}
	cu_buf_putc(&log->suffix, ']');
	cu_buf_putc(&log->out, '[');
	rc = log_fill(log);
	if (rc < 0) {
		log_close(&log->source);
		log_unreadable(reader, req, rc);
	} else if (rc == 0 && !log->file.len) {
		respond_small_log(reader, req, &answer, end, &log->out);
		log_close(&log->source);
	} else if (rc == 0) {
		respond_sealed_log(reader, req, &answer, log);
	} else if ((packed = cu_packed_log_new(reader, from, end, &log->suffix))) {
		log_close(&log->source);
		answer.encoding = reader->encoding;
		respond(reader, req, &answer, NULL, packed);
	} else {
		log->source = (struct cu_http_source){
			.next = log_next,
			.close = log_close,
			.length = CU_HTTP_LENGTH_UNKNOWN,
		};
		respond(reader, req, &answer, NULL, &log->source);
	}
}

void cu_answer_up_to_date(struct cu_reader *reader, cu_http_request *req, cu_offset offset, bool no_changes)
{
	struct offset_texts texts;
	struct cu_answer answer = answer_to(reader, offset, &texts);
	cu_buf text = CU_BUF_INIT;

	answer.up_to_date = true;
	answer.no_changes = no_changes;
	if (!no_changes && not_modified(reader, req, &answer)) {
		answer.status = 304;
		respond(reader, req, &answer, NULL, NULL);
		return;
	}
	cu_buf_putc(&text, '[');
	cu_answer_put_up_to_date(&text, CU_MAX(reader->global_lsn, offset.tx));
	cu_buf_putc(&text, ']');
	respond_text(reader, req, &answer, &text);
}

void cu_answer_stream(struct cu_reader *reader, cu_http_request *req, bool up_to_date, struct cu_http_source *source)
{
	struct offset_texts texts;
	/* The offset is the one asked for: what the client has when this head arrives, and nothing else has. No 304: it
	 * would confirm an old stream to a cache instead of waiting for news. */
	struct cu_answer answer = answer_to(reader, reader->offset, &texts);
	struct cu_http_response response = { .status = 200, .source = source };
	cu_buf head = CU_BUF_INIT;

	answer.live_sse = true;
	answer.up_to_date = up_to_date;
	cu_headers_put(reader->api->headers, &answer, cu_wall_us() / 1000000, &head);
	put_request_id(reader, req, &head);
	if (cu_buf_failed(&head)) {
		source->close(source);
		cu_http_abort(req);
	} else {
		response.headers = head.data;
		response.headers_len = head.len;
		cu_http_respond(req, &response);
	}
	cu_buf_fini(&head);
}
