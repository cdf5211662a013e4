/* headers.h: the header block of every answer, cursors and etags.
 *
 * Blocks are lines of "name: value\r\n". date, content-length, transfer-encoding and connection are not written here:
 * the http module owns them, because they depend on the connection.
 *
 * The block of an answer is the same for all readers that asked for the same (handle, offset, cursor), except for
 * x-request-id. To wake many readers: write the shared part once, then cu_headers_put_request_id() per reader.
 *
 * Threads: a cu_headers is immutable once made, any thread may use it. Cost: a handful of memcpy per answer, no
 * formatting; a block is about 110 ns, a request id 30 ns. Ownership: everything in cu_answer is borrowed.
 */
#ifndef CU_API_HEADERS_H
#define CU_API_HEADERS_H

#include "api/encoding.h"
#include "base/buf.h"

#include <sys/types.h>

#define CU_REQUEST_ID_LEN 20

enum cu_answer_kind {
	CU_ANSWER_SHAPE,   /* /v1/shape: log answers, 304, 409 and the errors */
	CU_ANSWER_SUBSET,  /* /v1/shape: a subset snapshot */
	CU_ANSWER_OPTIONS, /* 204 of /v1/shape */
	CU_ANSWER_HEALTH,
	CU_ANSWER_PLAIN,      /* "/", and 404 of an unknown path */
	CU_ANSWER_SHAPE_PLAIN /* 404 below /v1/shape or of an unknown method: as PLAIN, with the shape's CORS set */
};

enum cu_answer_method {
	CU_ANSWER_GET, /* HEAD too */
	CU_ANSWER_POST,
	CU_ANSWER_DELETE,
};

struct cu_answer {
	enum cu_answer_kind kind;
	enum cu_answer_method method;
	int status;
	bool live;
	bool live_sse;
	bool up_to_date;
	bool no_changes;           /* nothing but control messages: has-data false, unique etag */
	bool known_error;          /* electric-internal-known-error: true */
	enum cu_encoding encoding; /* of the body, also of the one that a 304 stands for: content-encoding, etag */
	unsigned retry_after_s;    /* 0: none */
	const char *handle;        /* NULL: none; then there is no etag either */
	const char *offset_asked;  /* cu_shape_params.offset_text; NULL (409): empty in the etag. Not in errors */
	const char *offset;        /* the answered one: electric-offset; NULL: none */
	const char *cursor_asked;  /* for live answers; NULL: none */
	const char *schema;        /* JSON; written when not live, or of a subset, and status is 200; NULL: none */
	size_t schema_len;
};

struct cu_headers_config {
	unsigned max_age_s;      /* 60: cache-control of catch-up answers */
	unsigned stale_age_s;    /* 300 */
	unsigned long_poll_ms;   /* 20000: step of the cursor */
	unsigned sse_timeout_ms; /* 60000 */
};

typedef struct cu_headers cu_headers;

void cu_headers_new(const struct cu_headers_config *config, cu_headers **ret_headers);
void cu_headers_free(cu_headers **headers); /* NULL is fine */

/* The whole block but x-request-id. `now_s`: seconds since 1970, for the cursor. */
void cu_headers_put(const cu_headers *headers, const struct cu_answer *answer, uint64_t now_s, cu_buf *ret_block);
/* Appends "x-request-id: …\r\n": the client's own id when it is one of 20..200 printable characters without spaces
 * (pass NULL, 0 when there was none), else a new one, unique in this process and unlikely to repeat elsewhere. */
void cu_headers_put_request_id(const char *client_id, size_t client_id_len, cu_buf *ret_block);
/* access-control-allow-headers with those of a comma-separated list that we look at; no line when there is none. */
void cu_headers_put_allowed(const char *list, size_t len, cu_buf *ret_block);
/* The new id alone: CU_REQUEST_ID_LEN characters of [A-Za-z0-9_-], not terminated. */
void cu_request_id(char *ret_id);
/* 0 … n - 1, not for secrets. */
unsigned cu_random_below(unsigned n);

/* The etag with its quotes: "<handle>:<asked>:<answered>", with a unique suffix when no_changes, and ":<encoding>". */
void cu_etag_put(const struct cu_answer *answer, cu_buf *ret_etag);
/* Does an If-None-Match header name this etag (with its quotes)? Lists, weak tags (W/) and * are understood; tags are
 * compared weakly. Never true for anything malformed. */
bool cu_etag_matches(const char *if_none_match, size_t len, const char *etag, size_t etag_len);

/* Seconds since 2024-10-09 00:00 UTC rounded up to the next multiple of the long-poll time; if that is not greater than
 * the request's cursor, the request's plus a random 1..3600. A cursor that is not a number, or is beyond every clock,
 * does not count. 0 when the long-poll time is below a second. */
uint64_t cu_cursor_next(uint64_t now_s, unsigned long_poll_s, const char *request_cursor);
/* The same with the random number (any value) injected. */
uint64_t cu_cursor_next_with(uint64_t now_s, unsigned long_poll_s, const char *request_cursor, uint64_t random);

#endif
