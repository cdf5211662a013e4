/* parse.c: http-parser with our limits and the strictness that it lacks.
 *
 * http-parser splits and checks; the copying callbacks count. What it lets through and we do not: header names with
 * blanks, HTTP/0.9 and other majors, Transfer-Encoding other than "chunked" or beside Content-Length (request
 * smuggling), HTTP/1.1 without exactly one Host.
 */
#include "http/parse.h"

#include "base/limits.h"

#include <pthread.h>
#include <strings.h>

struct cu_http_parse_header {
	uint32_t name_at, name_len;
	uint32_t value_at, value_len;
};

static int parse_fail(struct cu_http_parse *parse, int status, const char *message)
{
	parse->status = status;
	parse->message = message;
	return -1;
}

static struct cu_http_parse *parse_of(http_parser *parser)
{
	return (struct cu_http_parse *)parser->data;
}

static int on_url(http_parser *parser, const char *at, size_t len)
{
	struct cu_http_parse *parse = parse_of(parser);

	if (len > parse->limits.url_max - parse->target_len)
		return parse_fail(parse, 414, "URI too long");
	cu_buf_append(&parse->text, at, len);
	parse->target_len += (uint32_t)len;
	return 0;
}

static struct cu_http_parse_header *header_last(const struct cu_http_parse *parse)
{
	struct cu_http_parse_header *headers = (struct cu_http_parse_header *)(void *)parse->headers.data;
	size_t n = parse->headers.len / sizeof *headers;

	return n ? &headers[n - 1] : NULL;
}

static int header_bytes_add(struct cu_http_parse *parse, size_t len)
{
	if (len > parse->limits.headers_max - parse->headers_bytes)
		return parse_fail(parse, 431, "Request header fields too large");
	parse->headers_bytes += (uint32_t)len;
	return 0;
}

static int on_header_field(http_parser *parser, const char *at, size_t len)
{
	struct cu_http_parse *parse = parse_of(parser);
	struct cu_http_parse_header *last = header_last(parse);
	int rc;

	rc = header_bytes_add(parse, len);
	if (rc < 0 || parse->headers_done) /* trailers are counted and dropped */
		return rc;
	if (!last || parse->in_value) {
		struct cu_http_parse_header fresh = { (uint32_t)parse->text.len, 0, 0, 0 };

		rc = header_bytes_add(parse, 4); /* colon, blank, line end: many tiny headers cost too */
		if (rc < 0)
			return rc;
		cu_buf_append(&parse->headers, &fresh, sizeof fresh);
		if (cu_buf_failed(&parse->headers))
			return parse_fail(parse, 503, "Out of memory");
		last = header_last(parse);
		parse->in_value = false;
	}
	cu_buf_append(&parse->text, at, len);
	last->name_len += (uint32_t)len;
	return 0;
}

static int on_header_value(http_parser *parser, const char *at, size_t len)
{
	struct cu_http_parse *parse = parse_of(parser);
	struct cu_http_parse_header *last = header_last(parse);
	int rc;

	rc = header_bytes_add(parse, len);
	if (rc < 0 || parse->headers_done)
		return rc;
	CU_ASSERT(last != NULL);
	if (!parse->in_value) {
		last->value_at = (uint32_t)parse->text.len;
		parse->in_value = true;
	}
	cu_buf_append(&parse->text, at, len);
	last->value_len += (uint32_t)len;
	return 0;
}

/* The token characters of RFC 9110; http-parser lets a blank through. */
static bool name_ok(const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)name[i];

		if (c <= ' ' || c >= 127 || strchr("\"(),/:;<=>?@[\\]{}", c))
			return false;
	}
	return len > 0;
}

static unsigned header_count(const struct cu_http_parse *parse, const char *name)
{
	const struct cu_http_parse_header *headers = (const struct cu_http_parse_header *)(void *)parse->headers.data;
	size_t n = parse->headers.len / sizeof *headers, name_len = strlen(name);
	unsigned count = 0;

	for (size_t i = 0; i < n; i++)
		count += headers[i].name_len == name_len &&
			 !strncasecmp(parse->text.data + headers[i].name_at, name, name_len);
	return count;
}

static bool slice_is(struct cu_http_slice slice, const char *text)
{
	return slice.data && slice.len == strlen(text) && !strncasecmp(slice.data, text, slice.len);
}

/* Splits "/path?query#fragment" or "http://host/path?query": byte positions in text. */
static void target_split(struct cu_http_parse *parse)
{
	const char *target = parse->text.data;
	size_t at = 0, end = parse->target_len;
	const char *mark;

	if (end && target[0] != '/') {
		const char *scheme = memmem(target, end, "://", 3);

		if (scheme) {
			at = (size_t)(scheme - target) + 3;
			while (at < end && target[at] != '/' && target[at] != '?' && target[at] != '#')
				at++;
		}
	}
	mark = at < end ? memchr(target + at, '#', end - at) : NULL;
	if (mark)
		end = (size_t)(mark - target);
	mark = at < end ? memchr(target + at, '?', end - at) : NULL;
	parse->path_at = (uint32_t)at;
	parse->path_len = (uint32_t)((mark ? (size_t)(mark - target) : end) - at);
	if (mark) {
		parse->has_query = true;
		parse->query_at = (uint32_t)(mark - target) + 1;
		parse->query_len = (uint32_t)end - parse->query_at;
	}
}

static enum cu_http_method method_of(const http_parser *parser)
{
	switch (parser->method) {
	case HTTP_GET: return CU_HTTP_GET;
	case HTTP_HEAD: return CU_HTTP_HEAD;
	case HTTP_OPTIONS: return CU_HTTP_OPTIONS;
	case HTTP_POST: return CU_HTTP_POST;
	case HTTP_DELETE: return CU_HTTP_DELETE;
	default: return CU_HTTP_OTHER;
	}
}

static int headers_check(struct cu_http_parse *parse)
{
	const struct cu_http_parse_header *headers = (const struct cu_http_parse_header *)(void *)parse->headers.data;
	size_t n = parse->headers.len / sizeof *headers;
	unsigned encodings = header_count(parse, "transfer-encoding");
	unsigned hosts = header_count(parse, "host");

	if (parse->parser.http_major != 1)
		return parse_fail(parse, 505, "HTTP version not supported");
	for (size_t i = 0; i < n; i++) {
		if (!name_ok(parse->text.data + headers[i].name_at, headers[i].name_len))
			return parse_fail(parse, 400, "Malformed header name");
	}
	if (hosts > 1 || (hosts == 0 && !parse->http10))
		return parse_fail(parse, 400, "Exactly one Host header is needed");
	if (encodings) {
		if (header_count(parse, "content-length"))
			return parse_fail(parse, 400, "Content-Length together with Transfer-Encoding");
		if (encodings > 1 || parse->http10 || !(parse->parser.flags & F_CHUNKED) ||
		    !slice_is(cu_http_parse_header(parse, "transfer-encoding"), "chunked"))
			return parse_fail(parse, 400, "Unsupported Transfer-Encoding");
	} else if (parse->parser.content_length != UINT64_MAX &&
		   parse->parser.content_length > parse->limits.body_max) {
		return parse_fail(parse, 413, "Request body too large");
	}
	return 0;
}

static int on_headers_complete(http_parser *parser)
{
	struct cu_http_parse *parse = parse_of(parser);
	int rc;

	if (cu_buf_failed(&parse->text))
		return parse_fail(parse, 503, "Out of memory");
	parse->http10 = parser->http_major == 1 && parser->http_minor == 0;
	parse->keep_alive = http_should_keep_alive(parser) != 0;
	parse->method = method_of(parser);
	rc = headers_check(parse);
	if (rc < 0)
		return rc;
	target_split(parse);
	parse->expect_continue = !parse->http10 && slice_is(cu_http_parse_header(parse, "expect"), "100-continue");
	parse->headers_done = true;
	/* We upgrade to nothing: "Upgrade: h2c" and CONNECT are ordinary requests, with their bodies. */
	parser->upgrade = 0;
	return 0;
}

static int on_body(http_parser *parser, const char *at, size_t len)
{
	struct cu_http_parse *parse = parse_of(parser);

	if (len > parse->limits.body_max - parse->body.len)
		return parse_fail(parse, 413, "Request body too large");
	cu_buf_append(&parse->body, at, len);
	if (cu_buf_failed(&parse->body))
		return parse_fail(parse, 503, "Out of memory");
	parse->has_body = true;
	return 0;
}

/* Only a pause: the request is dispatched after http_parser_execute() returned. */
static int on_message_complete(http_parser *parser)
{
	parse_of(parser)->done = true;
	http_parser_pause(parser, 1);
	return 0;
}

static const http_parser_settings parse_settings = {
	.on_url = on_url,
	.on_header_field = on_header_field,
	.on_header_value = on_header_value,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

/* The library's own bound is global. It has to be above ours and still there, for what it does not report: blanks. */
static void parser_bound_set(void)
{
	http_parser_set_max_header_size(2 * (CU_HTTP_URL_MAX + CU_HTTP_HEADERS_MAX));
}

static void buf_trim(cu_buf *buf)
{
	cu_buf_clear(buf);
	if (buf->cap > CU_HTTP_PARSE_KEEP)
		cu_buf_fini(buf);
}

void cu_http_parse_reset(struct cu_http_parse *parse)
{
	struct cu_http_parse_limits limits = parse->limits;
	cu_buf text = parse->text, headers = parse->headers, body = parse->body;

	buf_trim(&text);
	buf_trim(&headers);
	buf_trim(&body);
	memset(parse, 0, sizeof *parse);
	parse->limits = limits;
	parse->text = text;
	parse->headers = headers;
	parse->body = body;
	http_parser_init(&parse->parser, HTTP_REQUEST);
	parse->parser.data = parse;
}

void cu_http_parse_init(struct cu_http_parse *parse, const struct cu_http_parse_limits *limits)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, parser_bound_set);
	memset(parse, 0, sizeof *parse);
	parse->limits = *limits;
	cu_http_parse_reset(parse);
}

void cu_http_parse_fini(struct cu_http_parse *parse)
{
	cu_buf_fini(&parse->text);
	cu_buf_fini(&parse->headers);
	cu_buf_fini(&parse->body);
}

enum cu_http_parse_result cu_http_parse_feed(struct cu_http_parse *parse, const char *data, size_t len,
					     size_t *ret_used)
{
	enum http_errno err;
	size_t used;

	CU_ASSERT(!parse->done);
	if (len == 0) { /* to http-parser that would be the end of the stream */
		*ret_used = 0;
		return CU_HTTP_PARSE_MORE;
	}
	used = http_parser_execute(&parse->parser, &parse_settings, data, len);
	err = HTTP_PARSER_ERRNO(&parse->parser);
	*ret_used = used;
	if (parse->done)
		return CU_HTTP_PARSE_DONE;
	if (err == HPE_OK && used == len)
		return CU_HTTP_PARSE_MORE;
	if (!parse->status) {
		if (err == HPE_HEADER_OVERFLOW)
			parse_fail(parse, 431, "Request header fields too large");
		else
			parse_fail(parse, 400, "Malformed HTTP request");
	}
	return CU_HTTP_PARSE_BAD;
}

struct cu_http_slice cu_http_parse_path(const struct cu_http_parse *parse)
{
	if (!parse->path_len) /* "http://host" means "/" */
		return (struct cu_http_slice){ "/", 1 };
	return (struct cu_http_slice){ parse->text.data + parse->path_at, parse->path_len };
}

struct cu_http_slice cu_http_parse_query(const struct cu_http_parse *parse)
{
	if (!parse->has_query)
		return (struct cu_http_slice){ NULL, 0 };
	return (struct cu_http_slice){ parse->text.data + parse->query_at, parse->query_len };
}

bool cu_http_parse_header_at(const struct cu_http_parse *parse, size_t i, struct cu_http_slice *ret_name,
			     struct cu_http_slice *ret_value)
{
	const struct cu_http_parse_header *headers = (const struct cu_http_parse_header *)(void *)parse->headers.data;
	struct cu_http_slice value;

	if (i >= parse->headers.len / sizeof *headers)
		return false;
	value = (struct cu_http_slice){ parse->text.data + headers[i].value_at, headers[i].value_len };
	while (value.len && (*value.data == ' ' || *value.data == '\t')) {
		value.data++;
		value.len--;
	}
	while (value.len && (value.data[value.len - 1] == ' ' || value.data[value.len - 1] == '\t'))
		value.len--;
	*ret_name = (struct cu_http_slice){ parse->text.data + headers[i].name_at, headers[i].name_len };
	*ret_value = value;
	return true;
}

struct cu_http_slice cu_http_parse_header(const struct cu_http_parse *parse, const char *name)
{
	struct cu_http_slice at, value;
	size_t name_len = strlen(name);

	for (size_t i = 0; cu_http_parse_header_at(parse, i, &at, &value); i++) {
		if (at.len == name_len && !strncasecmp(at.data, name, name_len))
			return value;
	}
	return (struct cu_http_slice){ NULL, 0 };
}

struct cu_http_slice cu_http_parse_body(const struct cu_http_parse *parse)
{
	if (!parse->has_body)
		return (struct cu_http_slice){ NULL, 0 };
	return (struct cu_http_slice){ parse->body.data, parse->body.len };
}
