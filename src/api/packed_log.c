/* packed_log.c: a long range of the log, compressed as it is sent. A few at a time: each holds a compressor's state. */
#include "api/reader.h"

#include "base/limits.h"
#include "shape/log_reader.h"

#include <stdlib.h>

struct packed_log {
	struct cu_http_source source;
	cu_api *api;
	cu_log_reader reader;
	enum cu_encoding encoding;
	cu_encoder *encoder;
	uint64_t len; /* of what the encoder got */
	struct cu_encoding_sum sum;
	cu_buf raw, out;
	cu_buf suffix;
	bool finished;
};

/* Compresses the next piece of the range. 1: there are more; 0: that was all. */
static int add_piece(struct packed_log *log)
{
	int more, rc;

	cu_buf_clear(&log->raw);
	more = cu_log_reader_next_bytes(&log->reader, &log->raw);
	cu_log_reader_rest(&log->reader);
	if (more < 0)
		return more;
	if (cu_buf_failed(&log->raw))
		return CU_ENOMEM;
	log->len += log->raw.len;
	rc = cu_encoder_add(log->encoder, log->raw.data, log->raw.len, more == 0, &log->out);
	return rc < 0 ? rc : more;
}

static int packed_next(struct cu_http_source *source, struct cu_http_piece *ret_piece)
{
	struct packed_log *log = CU_CONTAINER_OF(source, struct packed_log, source);
	int more;

	if (log->finished)
		return 0;
	cu_buf_clear(&log->out);
	if (log->len == 0)
		cu_encoding_put_start(log->encoding, "[", 1, &log->sum, &log->out);
	do {
		more = add_piece(log);
	} while (more > 0 && log->out.len < CU_ENCODE_MIN);
	if (more < 0)
		return more;
	if (more == 0) {
		log->finished = true;
		cu_encoding_joined(&log->sum, cu_encoder_crc(log->encoder), log->len);
		cu_encoding_put_end(log->encoding, log->suffix.data, log->suffix.len, &log->sum, &log->out);
	}
	if (cu_buf_failed(&log->out))
		return CU_ENOMEM;
	*ret_piece = (struct cu_http_piece){ .data = log->out.data, .len = log->out.len };
	return 1;
}

static void packed_close(struct cu_http_source *source)
{
	struct packed_log *log = CU_CONTAINER_OF(source, struct packed_log, source);

	atomic_fetch_sub_explicit(&log->api->packed_logs, 1, memory_order_relaxed);
	cu_log_reader_fini(&log->reader);
	cu_encoder_free(&log->encoder);
	cu_buf_fini(&log->raw);
	cu_buf_fini(&log->out);
	cu_buf_fini(&log->suffix);
	free(log);
}

struct cu_http_source *cu_packed_log_new(const struct cu_reader *reader, cu_offset from, cu_offset end,
					 const cu_buf *suffix)
{
	cu_api *api = reader->api;
	cu_encoder *encoder = NULL;
	struct packed_log *log;

	if (!reader->encoding)
		return NULL;
	if (atomic_fetch_add_explicit(&api->packed_logs, 1, memory_order_relaxed) >= CU_ENCODE_STREAMS_MAX ||
	    cu_encoder_new(reader->encoding, &encoder) < 0) {
		atomic_fetch_sub_explicit(&api->packed_logs, 1, memory_order_relaxed);
		return NULL;
	}
	log = cu_xzalloc(sizeof *log);
	log->source = (struct cu_http_source){
		.next = packed_next,
		.close = packed_close,
		.length = CU_HTTP_LENGTH_UNKNOWN,
	};
	log->api = api;
	log->encoding = reader->encoding;
	log->encoder = encoder;
	cu_log_reader_init(&log->reader, reader->shape, api->opts.store, from, end);
	cu_buf_append(&log->suffix, suffix->data, suffix->len);
	return &log->source;
}
