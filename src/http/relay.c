/* relay.c: a request that another server answers.
 *
 * The client is parked until the answer's head is here. Then it gets an answer of ours with a pulled body, whose next() reads
 * the other server's socket: what the client does not take stays in that socket, and in that server. Both sockets belong to
 * one loop. The other one is watched only while the client is parked; an event wakes the client, and its callback decides.
 */
#include "http/internal.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

enum relay_state {
	RELAY_CONNECTING,
	RELAY_ASKING, /* the request is being sent */
	RELAY_HEAD,   /* the answer's head is awaited */
	RELAY_BODY,   /* the client has its head; we are its source */
	RELAY_FAILED, /* … before: it will be told */
};

struct relay {
	uv_poll_t poll;
	struct cu_http_source source;
	conn *client; /* it frees us where its answer ends: valid all the time */
	cu_http_loop *loop;
	int fd;
	enum relay_state state;
	uint8_t watching; /* UV_READABLE … */
	uint32_t timeout_ms;
	void (*failed)(void *ctx, cu_http_request *req);
	void *ctx;

	char *mark;     /* what was added to the request, and must be in the answer */
	cu_buf request; /* from request_at on to be sent */
	size_t request_at;

	http_parser parser;
	cu_buf head;       /* the header lines that the client gets */
	size_t line_at;    /* in head: the line that is being read */
	size_t line_name;  /* … the length of its name */
	bool in_value;     /* … its name is whole */
	bool head_done;    /* all lines have been read */
	bool marked;       /* the mark was among them */
	bool half_closed;  /* the client sends no more */
	bool told;         /* … and the other server knows */
	bool ended;        /* the whole answer has */
	bool no_body;      /* whatever the head says: HEAD was asked for */
	uint64_t heard_at; /* last byte, uv_now() */
	char *piece; /* CU_HTTP_RELAY_PIECE bytes to receive into, without its framing afterwards. NULL: none here */
	size_t piece_len;
};

/* ---- the end ---- */

static void relay_freed(uv_handle_t *handle)
{
	free(CU_CONTAINER_OF((uv_poll_t *)handle, struct relay, poll));
}

/* Places are counted with the connections: they are the same descriptors. */
static void place_give(cu_http_loop *loop)
{
	atomic_fetch_sub(&loop->server->relayed, 1);
	http_loop_conn_gone(loop);
}

static void relay_end(struct relay *relay)
{
	cu_http_loop *loop = relay->loop;

	uv_close((uv_handle_t *)&relay->poll, relay_freed);
	close(relay->fd); /* libuv has forgotten it */
	free(relay->mark);
	cu_buf_fini(&relay->request);
	cu_buf_fini(&relay->head);
	free(relay->piece);
	place_give(loop);
}

static void relay_watch(struct relay *relay, int events);

/* ---- the answer's bytes ---- */

static bool name_is(const char *name, size_t len, const char *const *names, size_t names_len)
{
	for (size_t i = 0; i < names_len; i++) {
		if (strlen(names[i]) == len && !strncasecmp(names[i], name, len))
			return true;
	}
	return false;
}

static void value_begin(struct relay *relay)
{
	if (relay->in_value)
		return;
	relay->line_name = relay->head.len - relay->line_at;
	relay->in_value = true;
	cu_buf_puts(&relay->head, ": ");
}

/* What is said about a connection is not said about the next one. The server adds these, and the date, itself. */
static void line_end(struct relay *relay)
{
	static const char *const ours[] = { "connection", "content-length", "date", "keep-alive", "transfer-encoding" };
	static const char events[] = "content-type: text/event-stream";
	bool is_mark;

	if (relay->head.len == relay->line_at || cu_buf_failed(&relay->head))
		return;
	value_begin(relay); /* should nobody have told of an empty one */
	cu_buf_puts(&relay->head, "\r\n");
	is_mark = relay->head.len - relay->line_at == strlen(relay->mark) &&
		  !strncasecmp(relay->head.data + relay->line_at, relay->mark, strlen(relay->mark));
	relay->marked = relay->marked || is_mark;
	/* What is cut within an event is no event: such an answer may end anywhere. */
	if (relay->head.len - relay->line_at >= sizeof events &&
	    !strncasecmp(relay->head.data + relay->line_at, events, sizeof events - 1))
		relay->source.whole = false;
	if (is_mark || name_is(relay->head.data + relay->line_at, relay->line_name, ours, CU_ARRAY_LEN(ours)))
		relay->head.len = relay->line_at;
	relay->line_at = relay->head.len;
	relay->in_value = false;
}

static int on_header_field(http_parser *parser, const char *at, size_t len)
{
	struct relay *relay = parser->data;

	if (relay->head_done) /* a trailer */
		return 0;
	if (relay->in_value)
		line_end(relay);
	cu_buf_append(&relay->head, at, len);
	return cu_buf_failed(&relay->head) || relay->head.len > CU_HTTP_RELAY_HEAD_MAX ? -1 : 0;
}

static int on_header_value(http_parser *parser, const char *at, size_t len)
{
	struct relay *relay = parser->data;

	if (relay->head_done)
		return 0;
	value_begin(relay);
	cu_buf_append(&relay->head, at, len);
	return cu_buf_failed(&relay->head) || relay->head.len > CU_HTTP_RELAY_HEAD_MAX ? -1 : 0;
}

/* 1: there is no body, whatever the head says. */
static int on_headers_complete(http_parser *parser)
{
	struct relay *relay = parser->data;

	line_end(relay);
	/* What the parser knows of the length is gone once it reads the body. */
	relay->source.length = parser->flags & F_CHUNKED || parser->content_length == UINT64_MAX
				       ? CU_HTTP_LENGTH_UNKNOWN
				       : parser->content_length;
	relay->head_done = true;
	if (cu_buf_failed(&relay->head) || !relay->marked || parser->status_code < 200 || parser->status_code > 599)
		return -1;
	return relay->no_body ? 1 : 0;
}

/* `at` lies in piece, behind what has been put there: framing only ever makes it shorter. */
static int on_body(http_parser *parser, const char *at, size_t len)
{
	struct relay *relay = parser->data;

	memmove(relay->piece + relay->piece_len, at, len);
	relay->piece_len += len;
	return 0;
}

static int on_message_complete(http_parser *parser)
{
	struct relay *relay = parser->data;

	relay->ended = true;
	http_parser_pause(parser, 1);
	return 0;
}

static const http_parser_settings answer_settings = {
	.on_header_field = on_header_field,
	.on_header_value = on_header_value,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

/* Reads once, into an empty piece. 0: something has come, be it the end. CU_EAGAIN: nothing is there. Else it is broken. */
static int relay_read(struct relay *relay)
{
	ssize_t n;

	if (!relay->piece)
		relay->piece = cu_xmalloc(CU_HTTP_RELAY_PIECE);
	relay->piece_len = 0;
	do {
		n = recv(relay->fd, relay->piece, CU_HTTP_RELAY_PIECE, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? CU_EAGAIN : CU_EIO;
	relay->heard_at = uv_now(&relay->loop->uv);
	/* No bytes: the end, which only an answer without length or chunks may have. */
	if (http_parser_execute(&relay->parser, &answer_settings, relay->piece, (size_t)n) == (size_t)n &&
	    HTTP_PARSER_ERRNO(&relay->parser) == HPE_OK && (n > 0 || relay->ended))
		return 0;
	return relay->ended ? 0 : CU_EIO;
}

/* ---- a client that sends no more ---- */

/* The other server knows whether such a client is still answered. */
static void pass_half_close(struct relay *relay)
{
	if (!relay->half_closed || relay->request.len)
		return;
	shutdown(relay->fd, SHUT_WR);
	relay->told = true;
}

static void client_half_close(void *app)
{
	struct relay *relay = app;

	relay->half_closed = true;
	pass_half_close(relay);
}

static void relay_half_close(struct cu_http_source *source)
{
	client_half_close(CU_CONTAINER_OF(source, struct relay, source));
}

/* ---- the body, as the client's socket takes it ---- */

static int relay_next(struct cu_http_source *source, struct cu_http_piece *ret_piece)
{
	struct relay *relay = CU_CONTAINER_OF(source, struct relay, source);
	int rc = 0;

	relay_watch(relay, 0); /* the client may have been woken by something else */
	/* The first piece has come with the head. */
	if (relay->state == RELAY_BODY)
		relay->piece_len = 0;
	relay->state = RELAY_BODY;
	while (rc == 0 && !relay->piece_len && !relay->ended)
		rc = relay_read(relay);
	if (rc == CU_EAGAIN) {
		free(relay->piece);
		relay->piece = NULL;
		if (uv_now(&relay->loop->uv) - relay->heard_at >= CU_HTTP_RELAY_SILENCE_MS)
			return CU_EIO;
		relay_watch(relay, UV_READABLE);
		source->wait_key = (uintptr_t)relay;
		source->wait_ms = CU_HTTP_RELAY_SILENCE_MS;
		return CU_HTTP_SOURCE_WAIT;
	}
	if (rc < 0)
		return rc;
	*ret_piece = (struct cu_http_piece){ .data = relay->piece, .fd = -1, .len = relay->piece_len };
	return relay->piece_len > 0;
}

static void relay_close(struct cu_http_source *source)
{
	relay_end(CU_CONTAINER_OF(source, struct relay, source));
}

/* ---- the client, parked until the head is here ---- */

static void client_wake(cu_http_request *req, void *app);

static void client_fail(cu_http_request *req, void *app)
{
	struct relay *relay = app;
	void (*failed)(void *ctx, cu_http_request *req) = relay->failed;
	void *ctx = relay->ctx;

	relay_end(relay);
	failed(ctx, req);
}

static void client_gone(void *app)
{
	relay_end(app);
}

static const struct cu_http_waiter_ops client_ops = {
	.on_wake = client_wake,
	.on_timeout = client_fail,
	.on_drain = client_fail,
	.on_gone = client_gone,
	.on_half_close = client_half_close,
};

static void client_wake(cu_http_request *req, void *app)
{
	struct relay *relay = app;
	struct cu_http_response response = { .status = (int)relay->parser.status_code,
					     .headers = relay->head.len ? relay->head.data : "",
					     .headers_len = relay->head.len,
					     .source = &relay->source };

	if (relay->state == RELAY_FAILED && relay->told) {
		relay_end(relay); /* it may have hung up, for all that server knew */
		cu_http_abort(req);
	} else if (relay->state == RELAY_FAILED) {
		client_fail(req, app);
	} else if (relay->head_done) {
		cu_http_respond(req, &response);
	} else { /* everybody was woken */
		cu_http_park(req, (uintptr_t)relay, relay->timeout_ms, &client_ops, relay);
	}
}

/* ---- the other server's socket, until the head is here ---- */

static int relay_connected(struct relay *relay)
{
	int err = 0;
	socklen_t len = sizeof err;

	if (getsockopt(relay->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0 || err != 0)
		return CU_EIO;
	relay->state = RELAY_ASKING;
	http_deadline_set(relay->client, relay->timeout_ms);
	return 0;
}

static int relay_ask(struct relay *relay)
{
	while (relay->request_at < relay->request.len) {
		ssize_t n = send(relay->fd, relay->request.data + relay->request_at,
				 relay->request.len - relay->request_at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0)
			relay->request_at += (size_t)n;
		else if (errno == EAGAIN)
			return CU_EAGAIN;
		else if (errno != EINTR)
			return CU_EIO;
	}
	cu_buf_fini(&relay->request);
	pass_half_close(relay);
	relay->state = RELAY_HEAD;
	relay_watch(relay, UV_READABLE);
	return 0;
}

static int relay_read_head(struct relay *relay)
{
	int rc = 0;

	while (rc == 0 && !relay->head_done)
		rc = relay_read(relay);
	return rc;
}

static void relay_ready(uv_poll_t *poll, int status, int events)
{
	struct relay *relay = CU_CONTAINER_OF(poll, struct relay, poll);
	int rc = status < 0 ? CU_EIO : 0;

	(void)events;
	CU_ASSERT(relay->client->state == CONN_PARKED);
	if (rc == 0 && relay->state == RELAY_CONNECTING)
		rc = relay_connected(relay);
	if (rc == 0 && relay->state == RELAY_ASKING)
		rc = relay_ask(relay);
	if (rc == 0 && relay->state == RELAY_HEAD)
		rc = relay_read_head(relay);
	if (rc == CU_EAGAIN)
		return;
	relay_watch(relay, 0);
	if (rc < 0 && relay->state != RELAY_BODY)
		relay->state = RELAY_FAILED;
	http_conn_wake(relay->client);
}

static void relay_watch(struct relay *relay, int events)
{
	if (relay->watching == events)
		return;
	relay->watching = (uint8_t)events;
	if (events)
		uv_poll_start(&relay->poll, events, relay_ready);
	else
		uv_poll_stop(&relay->poll);
}

/* ---- the request ---- */

static void put_request(const conn *c, const char *mark, cu_buf *out)
{
	static const char *const ours[] = { "connection",       "content-length",    "expect",  "keep-alive", "te",
					    "proxy-connection", "transfer-encoding", "trailer", "upgrade" };
	const struct cu_http_parse *parse = &c->block->parse;
	struct cu_http_slice body = cu_http_parse_body(parse);
	struct cu_http_slice name, value;

	cu_buf_puts(out, http_method_str((enum http_method)parse->parser.method));
	cu_buf_putc(out, ' ');
	cu_buf_append(out, parse->text.data, parse->target_len);
	cu_buf_puts(out, " HTTP/1.1\r\n");
	for (size_t i = 0; cu_http_parse_header_at(parse, i, &name, &value); i++) {
		if (name_is(name.data, name.len, ours, CU_ARRAY_LEN(ours)))
			continue;
		cu_buf_append(out, name.data, name.len);
		cu_buf_puts(out, ": ");
		cu_buf_append(out, value.data, value.len);
		cu_buf_puts(out, "\r\n");
	}
	if (!cu_http_parse_header(parse, "host").data)
		cu_buf_puts(out, "host: copper\r\n");
	if (body.data)
		cu_buf_printf(out, "content-length: %zu\r\n", body.len);
	cu_buf_puts(out, mark);
	cu_buf_puts(out, "connection: close\r\n\r\n");
	if (body.data)
		cu_buf_append(out, body.data, body.len);
}

static bool place_take(cu_http_loop *loop)
{
	cu_http_server *server = loop->server;
	bool one = atomic_fetch_add(&server->relayed, 1) < CU_HTTP_RELAYED_MAX;
	bool other = atomic_fetch_add(&server->conns, 1) < server->opts.connections_max;

	atomic_fetch_add_explicit(&loop->conns, 1, memory_order_relaxed);
	if (!one || !other)
		place_give(loop);
	return one && other;
}

/* Returns a socket that connects, or has done so; -1. */
static int connecting_socket(const struct http_address *addr)
{
	int fd = socket(addr->store.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct linger hard = { 1, 0 };
	int on = 1;

	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	/* We close when we have all, or want no more: a reset then, so that no port stays taken for a minute. */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	if (connect(fd, (const struct sockaddr *)&addr->store, addr->len) < 0 && errno != EINPROGRESS) {
		close(fd);
		return -1;
	}
	return fd;
}

int cu_http_relay(cu_http_request *req, const struct cu_http_relay *opts)
{
	conn *c = req;
	cu_http_loop *loop = conn_loop(c);
	struct http_address addr;
	struct relay *relay = NULL;
	int rc, fd = -1;

	CU_ASSERT(c->state == CONN_HANDLING && c->block);
	rc = http_address_parse(opts->host, opts->port, &addr);
	if (rc < 0)
		return rc;
	if (!place_take(loop))
		return CU_EFULL;
	relay = cu_xzalloc(sizeof *relay);
	put_request(c, opts->mark, &relay->request);
	rc = cu_buf_failed(&relay->request) ? CU_ENOMEM : 0;
	if (rc == 0) {
		fd = connecting_socket(&addr);
		rc = fd < 0 || uv_poll_init(&loop->uv, &relay->poll, fd) < 0 ? CU_EIO : 0;
	}
	if (rc < 0) {
		if (fd >= 0)
			close(fd);
		cu_buf_fini(&relay->request);
		free(relay);
		place_give(loop);
		return rc;
	}
	relay->client = c;
	relay->loop = loop;
	relay->fd = fd;
	relay->mark = cu_xstrdup(opts->mark);
	relay->timeout_ms = opts->timeout_ms;
	relay->failed = opts->failed;
	relay->ctx = opts->ctx;
	relay->no_body = c->method == CU_HTTP_HEAD;
	relay->source = (struct cu_http_source){
		.next = relay_next, .close = relay_close, .stream = true, .whole = true, .half_close = relay_half_close
	};
	http_parser_init(&relay->parser, HTTP_RESPONSE);
	relay->parser.data = relay;
	relay_watch(relay, UV_WRITABLE);
	cu_http_park(req, (uintptr_t)relay, CU_HTTP_RELAY_CONNECT_MS, &client_ops, relay);
	return 0;
}
