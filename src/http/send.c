/* send.c: answers: the head, shared bodies, pulled bodies.
 *
 * The usual answer leaves with one send() and needs no memory of its own. What does not fit into the socket, and
 * every pulled body, gets an http_out: text (head or chunk framing) followed by one piece. Only when both have left is
 * the source asked for the next piece, so nothing but that is held, and the source goes at the socket's pace.
 */
#include "http/internal.h"

#include "base/log.h"

#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

static struct http_out *out_take(cu_http_loop *loop)
{
	struct http_out *out = loop->free_outs;

	if (out) {
		loop->free_outs = out->next_free;
		loop->free_outs_len--;
	} else {
		out = cu_xzalloc(sizeof *out);
	}
	return out;
}

void http_out_release(conn *c)
{
	cu_http_loop *loop = conn_loop(c);
	struct http_out *out = c->out;
	cu_buf text;

	if (!out)
		return;
	c->out = NULL;
	cu_http_body_unref(&out->body);
	if (out->source)
		out->source->close(out->source);
	text = out->text;
	cu_buf_clear(&text);
	if (text.cap > CU_HTTP_PARSE_KEEP)
		cu_buf_fini(&text);
	if (loop->free_outs_len >= CU_HTTP_FREE_KEPT) {
		cu_buf_fini(&text);
		free(out);
		return;
	}
	memset(out, 0, sizeof *out);
	out->text = text;
	out->next_free = loop->free_outs;
	loop->free_outs = out;
	loop->free_outs_len++;
}

/* ---- pulled bodies ---- */

static void put_chunk_size(cu_buf *text, size_t size)
{
	char digits[2 * sizeof size + 2];
	size_t at = sizeof digits;

	digits[--at] = '\n';
	digits[--at] = '\r';
	do {
		digits[--at] = "0123456789abcdef"[size & 15];
		size >>= 4;
	} while (size);
	cu_buf_append(text, digits + at, sizeof digits - at);
}

/* Text and piece have left: get the next. Negative: cut off. CU_HTTP_SOURCE_WAIT: a stream has none at the moment. */
static int out_refill(struct http_out *out)
{
	int rc;

	if (out->text_at == out->text.len) {
		cu_buf_clear(&out->text);
		out->text_at = 0;
	}
	if (!out->source || out->left == 0) {
		out->ended = true;
		return 0;
	}
	out->piece = (struct cu_http_piece){ NULL, -1, 0, 0 };
	out->piece_at = 0;
	rc = out->source->next(out->source, &out->piece);
	if (rc < 0)
		return rc;
	if (rc == CU_HTTP_SOURCE_WAIT) {
		CU_ASSERT(out->source->stream);
		return rc;
	}
	if (rc == 0) {
		out->ended = true;
		out->piece.len = 0;
		if (out->left != CU_HTTP_LENGTH_UNKNOWN)
			return CU_EIO; /* shorter than announced */
		if (out->chunked)
			cu_buf_puts(&out->text, "0\r\n\r\n");
	} else {
		CU_ASSERT(out->piece.len > 0 && (out->piece.data || out->piece.fd >= 0));
		if (out->left != CU_HTTP_LENGTH_UNKNOWN) {
			if (out->piece.len > out->left)
				return CU_ETOOBIG;
			out->left -= out->piece.len;
		}
		if (out->chunked) {
			put_chunk_size(&out->text, out->piece.len);
			out->trailer = 2;
		}
	}
	return cu_buf_failed(&out->text) ? CU_ENOMEM : 0;
}

/* Copying the few parts of a small answer costs the processor less than having the kernel gather them. */
static ssize_t send_parts(int fd, struct iovec *parts, size_t parts_len, int flags)
{
	struct msghdr msg = { .msg_iov = parts, .msg_iovlen = parts_len };
	char text[CU_HTTP_GATHER_MAX];
	size_t len = 0;

	for (size_t i = 0; i < parts_len; i++)
		len += parts[i].iov_len;
	if (len > sizeof text)
		return sendmsg(fd, &msg, flags);
	len = 0;
	for (size_t i = 0; i < parts_len; i++) {
		memcpy(text + len, parts[i].iov_base, parts[i].iov_len);
		len += parts[i].iov_len;
	}
	return send(fd, text, len, flags);
}

/* One system call's worth. Returns what send(), sendmsg() or sendfile() did. */
static ssize_t out_push(conn *c, struct http_out *out)
{
	static const char line_end[2] = "\r\n";
	size_t text_len = out->text.len - out->text_at, piece_len = out->piece.len - out->piece_at;
	bool file = piece_len && !out->piece.data;
	struct iovec iov[3];
	size_t iov_len = 0;
	off_t offset;
	ssize_t n;
	int flags = MSG_NOSIGNAL | MSG_DONTWAIT;

	if (file && !text_len) {
		offset = out->piece.offset + (off_t)out->piece_at;
		n = sendfile(c->fd, out->piece.fd, &offset, CU_MIN(piece_len, (size_t)CU_HTTP_SEND_SLICE));
		if (n == 0) { /* the file is shorter than its range */
			errno = EIO;
			return -1;
		}
		if (n > 0)
			out->piece_at += (size_t)n;
		return n;
	}
	if (text_len)
		iov[iov_len++] = (struct iovec){ out->text.data + out->text_at, text_len };
	if (piece_len && !file)
		iov[iov_len++] = (struct iovec){ (char *)(uintptr_t)out->piece.data + out->piece_at, piece_len };
	if (out->trailer && !file)
		iov[iov_len++] =
			(struct iovec){ (char *)(uintptr_t)line_end + sizeof line_end - out->trailer, out->trailer };
	/* More follows: let the kernel fill its segments. */
	if (file || (out->source && !out->source->stream && out->left > 0 && !out->ended))
		flags |= MSG_MORE;
	n = send_parts(c->fd, iov, iov_len, flags);
	if (n > 0) {
		size_t from_text = CU_MIN((size_t)n, text_len);
		size_t from_piece = CU_MIN((size_t)n - from_text, piece_len);

		out->text_at += from_text;
		out->piece_at += from_piece;
		out->trailer = (uint8_t)(out->trailer - ((size_t)n - from_text - from_piece));
	}
	return n;
}

static void out_cut(conn *c, int rc)
{
	struct linger hard = { 1, 0 };

	if (rc < 0)
		cu_warn("an answer is cut off", CU_KV("error", cu_strerror(rc)));
	/* Without length or chunks only a reset tells the client that the end is none. */
	if (c->out->source && c->out->left == CU_HTTP_LENGTH_UNKNOWN && !c->out->chunked)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	http_conn_close(c);
}

/* ---- streams that wait ---- */

static void out_start(conn *c, struct cu_http_source *source)
{
	struct http_out *out = out_take(conn_loop(c));

	c->out = out;
	out->source = source;
	out->left = source->length;
	out->chunked = source->length == CU_HTTP_LENGTH_UNKNOWN && !c->http10;
	c->state = CONN_SENDING;
}

/* Woken, or its time has come: what next() says decides. */
static void stream_go_on(cu_http_request *req, void *app)
{
	out_start(req, app);
	http_send_run(req);
}

static void stream_end(cu_http_request *req, void *app)
{
	out_start(req, app);
	req->out->ended = true;
	if (req->out->chunked)
		cu_buf_puts(&req->out->text, "0\r\n\r\n");
	http_send_run(req);
}

static void stream_cut(cu_http_request *req, void *app)
{
	out_start(req, app);
	out_cut(req, 0);
}

static void stream_gone(void *app)
{
	struct cu_http_source *source = app;

	source->close(source);
}

static void stream_half_close(void *app)
{
	struct cu_http_source *source = app;

	source->half_close(source);
}

static const struct cu_http_waiter_ops stream_ops = {
	.on_wake = stream_go_on,
	.on_timeout = stream_go_on,
	.on_drain = stream_end,
	.on_gone = stream_gone,
};

static const struct cu_http_waiter_ops whole_stream_ops = {
	.on_wake = stream_go_on,
	.on_timeout = stream_go_on,
	.on_drain = stream_cut,
	.on_gone = stream_gone,
	.on_half_close = stream_half_close,
	.lasts = true,
};

/* Everything has left and the source has nothing: keeps nothing but the source. */
static void stream_park(conn *c)
{
	struct cu_http_source *source = c->out->source;

	source->length = c->out->left;
	c->out->source = NULL;
	http_out_release(c);
	http_wait_park(c, source->wait_key, source->wait_ms, source->whole ? &whole_stream_ops : &stream_ops, source);
	/* Notice a hang-up, and do not spin on "writable". */
	if (!(c->watching & (UV_READABLE | UV_DISCONNECT)))
		http_conn_watch(c, UV_READABLE);
}

static bool out_all_sent(const struct http_out *out)
{
	return out->text_at == out->text.len && out->piece_at == out->piece.len && !out->trailer;
}

/* A stream is asked only when all has left: should it have nothing, it parks at once, and misses no wake. */
static bool out_wants_more(const struct http_out *out)
{
	if (out->ended)
		return false;
	if (out->source && out->source->stream)
		return out_all_sent(out);
	return out->piece_at == out->piece.len && !out->trailer;
}

void http_send_run(conn *c)
{
	struct http_out *out = c->out;
	size_t sent = 0;

	while (sent < CU_HTTP_SEND_SLICE) {
		ssize_t n;

		if (out_wants_more(out)) {
			int rc = out_refill(out);

			if (rc < 0) {
				out_cut(c, rc);
				return;
			}
			if (rc == CU_HTTP_SOURCE_WAIT) {
				stream_park(c);
				return;
			}
		}
		if (out_all_sent(out)) {
			if (!out->ended)
				continue;
			http_deadline_clear(c);
			http_out_release(c);
			http_conn_answered(c);
			return;
		}
		n = out_push(c, out);
		if (n >= 0) {
			sent += (size_t)n;
		} else if (errno == EAGAIN) {
			break;
		} else if (errno != EINTR) {
			out_cut(c, errno == EIO ? CU_EIO : 0);
			return;
		}
	}
	if (sent || c->deadline_list == CU_HTTP_DEADLINE_NONE)
		http_deadline_set(c, conn_loop(c)->server->opts.send_stall_ms);
	http_conn_watch(c, UV_WRITABLE);
}

/* ---- heads ---- */

static bool status_has_body(int status)
{
	return status >= 200 && status != 204 && status != 304;
}

static void head_build(conn *c, const struct cu_http_response *response, uint64_t length)
{
	cu_http_loop *loop = conn_loop(c);
	cu_buf *head = &loop->head;

	cu_buf_clear(head);
	cu_buf_puts(head, "HTTP/1.1 ");
	cu_buf_put_u64(head, (uint64_t)response->status);
	cu_buf_putc(head, ' ');
	cu_buf_puts(head, cu_http_status_text(response->status));
	cu_buf_puts(head, "\r\ndate: ");
	cu_buf_puts(head, http_loop_date(loop));
	cu_buf_puts(head, "\r\n");
	cu_buf_append(head, response->headers, response->headers_len);
	if (c->marked)
		cu_buf_puts(head, loop->server->opts.mark);
	if (status_has_body(response->status)) {
		if (length != CU_HTTP_LENGTH_UNKNOWN) {
			cu_buf_puts(head, "content-length: ");
			cu_buf_put_u64(head, length);
			cu_buf_puts(head, "\r\n");
		} else if (!c->http10) {
			cu_buf_puts(head, "transfer-encoding: chunked\r\n");
		}
	}
	if (!c->keep_alive)
		cu_buf_puts(head, "connection: close\r\n");
	else if (c->http10)
		cu_buf_puts(head, "connection: keep-alive\r\n");
	cu_buf_puts(head, "\r\n");
}

/* Sends head and bytes; what does not fit goes into an out. */
static void send_memory(conn *c, cu_http_body *body)
{
	cu_http_loop *loop = conn_loop(c);
	struct cu_http_slice bytes = body ? cu_http_body_bytes(body) : (struct cu_http_slice){ "", 0 };
	struct iovec iov[2] = { { loop->head.data, loop->head.len }, { (char *)(uintptr_t)bytes.data, bytes.len } };
	struct http_out *out;
	size_t sent, from_head;
	ssize_t n;

	n = send_parts(c->fd, iov, bytes.len ? 2 : 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		http_conn_close(c);
		return;
	}
	sent = n > 0 ? (size_t)n : 0;
	if (sent == loop->head.len + bytes.len) {
		http_conn_answered(c);
		return;
	}
	from_head = CU_MIN(sent, loop->head.len);
	c->out = out = out_take(loop);
	cu_buf_append(&out->text, loop->head.data + from_head, loop->head.len - from_head);
	out->body = body ? cu_http_body_ref(body) : NULL;
	out->piece = (struct cu_http_piece){ bytes.data, -1, 0, bytes.len };
	out->piece_at = sent - from_head;
	out->ended = true;
	if (cu_buf_failed(&out->text)) {
		http_conn_close(c);
		return;
	}
	c->state = CONN_SENDING;
	http_deadline_set(c, loop->server->opts.send_stall_ms);
	http_conn_watch(c, UV_WRITABLE);
}

static void send_source(conn *c, struct cu_http_source *source)
{
	cu_http_loop *loop = conn_loop(c);

	out_start(c, source);
	cu_buf_append(&c->out->text, loop->head.data, loop->head.len);
	if (cu_buf_failed(&c->out->text)) {
		http_conn_close(c);
		return;
	}
	http_send_run(c);
}

void cu_http_respond(cu_http_request *req, const struct cu_http_response *response)
{
	conn *c = req;
	cu_http_loop *loop = conn_loop(c);
	struct cu_http_source *source = response->source;
	cu_http_body *body = response->body;
	bool send_body = status_has_body(response->status) && c->method != CU_HTTP_HEAD;
	uint64_t length = source ? source->length : body ? cu_http_body_bytes(body).len : 0;

	CU_ASSERT(c->state == CONN_HANDLING);
	CU_ASSERT(!source || !body);
	CU_ASSERT(response->status >= 200 && response->status <= 599);
	CU_ASSERT(!response->headers_len || response->headers[response->headers_len - 1] == '\n');
	loop->slots[c->slot].generation++; /* tickets of it are over */
	if (response->close || loop->draining || (c->http10 && length == CU_HTTP_LENGTH_UNKNOWN && send_body))
		c->keep_alive = false;
	head_build(c, response, length);
	http_conn_block_release(c); /* not before: the headers may lie in it */
	if (cu_buf_failed(&loop->head)) {
		http_conn_close(c);
		if (source)
			source->close(source);
		return;
	}
	if (source && send_body) {
		send_source(c, source);
		return;
	}
	send_memory(c, send_body ? body : NULL);
	if (source)
		source->close(source);
}

void http_send_error(conn *c, int status, const char *message)
{
	static const char headers[] = "content-type: application/json; charset=utf-8\r\ncache-control: no-store\r\n";
	static const char retry[] = "content-type: application/json; charset=utf-8\r\ncache-control: no-store\r\n"
				    "retry-after: 1\r\n";
	struct cu_http_response response = { .status = status, .close = true };
	cu_buf json = CU_BUF_INIT;

	cu_buf_puts(&json, "{\"message\":");
	cu_buf_put_json(&json, message, strlen(message));
	cu_buf_puts(&json, "}");
	response.headers = status == 503 ? retry : headers;
	response.headers_len = strlen(response.headers);
	if (!cu_buf_failed(&json) && cu_http_body_new(json.data, json.len, &response.body) < 0)
		response.body = NULL;
	http_deadline_clear(c);
	c->method = c->block && c->block->parse.headers_done ? (uint8_t)c->block->parse.method : CU_HTTP_GET;
	c->http10 = false;
	http_conn_enter(c);
	cu_http_respond(c, &response);
	http_conn_leave(c);
	cu_http_body_unref(&response.body);
	cu_buf_fini(&json);
}
