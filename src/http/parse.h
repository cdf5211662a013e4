/* parse.h: one request from bytes. Knows no socket, so that tests and the fuzzer feed it from memory.
 *
 * Threads: one at a time. What the client sends is copied into buffers here, within the limits, so the bytes
 * fed need not stay. One request at a time: bytes behind its end are not looked at.
 */
#ifndef CU_HTTP_PARSE_H
#define CU_HTTP_PARSE_H

#include "base/buf.h"
#include "http/http.h"

#include <http_parser.h>

#define CU_HTTP_PARSE_KEEP (16u * 1024) /* a larger buffer is freed by reset, not kept for the next request */

struct cu_http_parse_limits {
	uint32_t url_max;
	uint32_t headers_max;
	uint32_t body_max;
};

enum cu_http_parse_result {
	CU_HTTP_PARSE_BAD = -1, /* status and message say why; feed no more */
	CU_HTTP_PARSE_MORE = 0, /* everything was used, the request is not whole */
	CU_HTTP_PARSE_DONE = 1,
};

struct cu_http_parse {
	http_parser parser;
	struct cu_http_parse_limits limits;
	cu_buf text;    /* the target, then name and value of each header, without separators */
	cu_buf headers; /* struct cu_http_parse_header[] */
	cu_buf body;
	uint32_t target_len;
	uint32_t headers_bytes; /* counted against headers_max, trailers too */
	uint32_t path_at, path_len;
	uint32_t query_at, query_len;
	bool in_value;
	bool has_query;
	bool has_body;
	/* Valid once headers_done. */
	bool headers_done;
	bool keep_alive;
	bool http10;
	bool expect_continue;
	bool done;
	enum cu_http_method method;
	/* Valid after CU_HTTP_PARSE_BAD. */
	int status;
	const char *message;
};

void cu_http_parse_init(struct cu_http_parse *parse, const struct cu_http_parse_limits *limits);
void cu_http_parse_fini(struct cu_http_parse *parse);
void cu_http_parse_reset(struct cu_http_parse *parse); /* ready for the next request; keeps small buffers */
enum cu_http_parse_result cu_http_parse_feed(struct cu_http_parse *parse, const char *data, size_t len,
					     size_t *ret_used);
/* After the headers. Borrowed until reset or fini. */
struct cu_http_slice cu_http_parse_path(const struct cu_http_parse *parse);
struct cu_http_slice cu_http_parse_query(const struct cu_http_parse *parse);
struct cu_http_slice cu_http_parse_header(const struct cu_http_parse *parse, const char *name);
/* The header number i, as it came, blanks trimmed. False: there are not so many. */
bool cu_http_parse_header_at(const struct cu_http_parse *parse, size_t i, struct cu_http_slice *ret_name,
			     struct cu_http_slice *ret_value);
struct cu_http_slice cu_http_parse_body(const struct cu_http_parse *parse);

#endif
