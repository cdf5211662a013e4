/* reader.h: one request for a shape, from its parameters to its answer; private to api.
 *
 * Threads: its HTTP loop, except while a pool job works for it (then only that job).
 */
#ifndef CU_API_READER_H
#define CU_API_READER_H

#include "api/api.h"
#include "api/encoded.h"
#include "api/held.h"
#include "api/params.h"
#include "shape/subset.h"

/* The text of the last piece of a stream that a loop made (sse.c). */
struct cu_sse_shared {
	uint64_t shape_id;
	cu_offset from, end;
	bool up_to_date;
	cu_http_body *body; /* NULL: none yet */
};

struct cu_api {
	struct cu_api_opts opts;
	cu_headers *headers;
	cu_held *held;
	cu_encoded *encoded;          /* NULL: answers from files are sent as they are */
	_Atomic unsigned packed_logs; /* under way */
	_Atomic unsigned initial;     /* requests under way, by kind */
	_Atomic unsigned existing;
	struct cu_sse_shared sse_shared[CU_HTTP_LOOPS_MAX]; /* each its loop's */
};

/* The whole offset range of a snapshot's chunks: which one comes behind this offset? False: it is behind them. */
static inline bool cu_snapshot_chunk_after(cu_offset offset, uint32_t *ret_n)
{
	if (!offset.before_all && (offset.tx != 0 || offset.op == CU_OP_INF))
		return false;
	*ret_n = offset.before_all ? 0 : (uint32_t)CU_MIN(offset.op + 1, UINT32_MAX);
	return true;
}

enum cu_wait {
	CU_WAIT_NOT,
	CU_WAIT_SNAPSHOT, /* for a chunk, for the shape to be durable, for a removal to be durable */
	CU_WAIT_LIVE,
	CU_WAIT_BEYOND, /* asked for an offset beyond the log's end */
};

/* Small, because tens of thousands of them wait: what is only needed to find the shape lives in params, which is freed
 * once it is found. */
struct cu_reader {
	cu_api *api;
	cu_shape *shape;                /* NULL until found; a reference */
	struct cu_shape_params *params; /* NULL once the shape is found */
	struct cu_subset *subset;       /* NULL: the log is asked for */
	char *cursor;                   /* of the request; NULL: none */
	cu_offset offset;               /* asked for */
	uint64_t global_lsn;            /* last processed transaction when the request began */
	uint64_t deadline_ms;           /* when the wait ends; 0: not waiting yet */
	enum cu_wait wait;
	enum cu_encoding encoding; /* that the client takes and we may use */
	bool now;                  /* offset=now */
	bool post;                 /* no cache keeps what it is told */
	bool live;
	bool live_sse;
	bool initial;     /* counts as one that names no shape of ours, until its answer begins */
	bool redirect;    /* it named another handle: 409 to this shape */
	bool parked;      /* request bytes are gone */
	bool known_error; /* of an error answer: nothing that its operator should look at */
};

/* ---- serve.c ---- */
/* Answers, or parks. */
void cu_reader_serve(struct cu_reader *reader, cu_http_request *req);
void cu_reader_free(struct cu_reader **reader);
void cu_reader_gone(void *app); /* its client hung up while it waited: the on_gone of all of them */

/* ---- sse.c ---- */
/* Answers with a stream that goes on from the reader's offset, and owns the reader. up_to_date: nothing is behind the
 * offset at the moment. */
void cu_sse_start(struct cu_reader *reader, cu_http_request *req, bool up_to_date);

/* ---- splice.c ---- */
/* A body: text, a range of a file, text. */
struct cu_splice {
	cu_buf prefix;
	int fd; /* owned */
	uint64_t at, len;
	cu_buf suffix;
};
void cu_splice_fini(struct cu_splice *parts);
/* Ends the request, frees the reader and takes the parts. The file's compressed copy is sent where the client takes it. */
void cu_answer_splice(struct cu_reader *reader, cu_http_request *req, const struct cu_answer *answer,
		      struct cu_splice *parts);

/* ---- packed_log.c ---- */
/* The range with its brackets, compressed as it is sent. NULL: the client does not take that, or too many are under way. */
struct cu_http_source *cu_packed_log_new(const struct cu_reader *reader, cu_offset from, cu_offset end,
					 const cu_buf *suffix);

/* ---- answer.c: each ends the request and frees the reader ---- */
void cu_answer_error(struct cu_reader *reader, cu_http_request *req, int status, const char *message,
		     unsigned retry_after_s);
/* 503: too many requests at once. */
void cu_answer_overloaded(struct cu_reader *reader, cu_http_request *req, const char *message);
void cu_answer_invalid(struct cu_reader *reader, cu_http_request *req, const cu_api_errors *errors);
void cu_answer_must_refetch(struct cu_reader *reader, cu_http_request *req, const char *handle);
/* Chunk n of the snapshot. small: it is the one of a small snapshot. */
void cu_answer_chunk(struct cu_reader *reader, cu_http_request *req, uint32_t n, bool small);
/* Items after `from` up to `end`, and up-to-date behind them when that is the log's end. */
void cu_answer_log(struct cu_reader *reader, cu_http_request *req, cu_offset from, cu_offset end, bool up_to_date);
/* Up-to-date alone. no_changes: a live request that saw nothing, or offset=now. */
void cu_answer_up_to_date(struct cu_reader *reader, cu_http_request *req, cu_offset offset, bool no_changes);
/* The head of a live_sse answer; the source does the rest, and frees the reader when it is closed. Takes the source. */
void cu_answer_stream(struct cu_reader *reader, cu_http_request *req, bool up_to_date, struct cu_http_source *source);
/* The message of that name. */
void cu_answer_put_up_to_date(cu_buf *out, uint64_t lsn);

/* What reader->subset asks for, read by the pool; the request is deferred meanwhile. offset: where the log is to be read on. */
void cu_answer_subset(struct cu_reader *reader, cu_http_request *req, cu_offset offset);
/* For the above: any answer, with a body or a source, which it takes; or with a text, which it takes. */
void cu_answer_send(struct cu_reader *reader, cu_http_request *req, const struct cu_answer *answer, cu_http_body *body,
		    struct cu_http_source *source);
void cu_answer_send_text(struct cu_reader *reader, cu_http_request *req, const struct cu_answer *answer, cu_buf *text);

/* Answers without a shape: ready-made header kinds and bodies; body may be NULL. */
void cu_answer_plain(cu_api *api, cu_http_request *req, enum cu_answer_kind kind, enum cu_answer_method method,
		     int status, const char *body, unsigned retry_after_s);
/* 204, with those of the headers that the browser wants to send which we look at. */
void cu_answer_options(cu_api *api, cu_http_request *req);
enum cu_answer_method cu_answer_method_of(const cu_http_request *req);

#endif
