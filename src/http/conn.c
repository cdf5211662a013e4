/* conn.c: a connection's life: reading, dispatching, parking's socket side, closing.
 *
 * Watching a socket anew costs two system calls in libuv, so it stays on READABLE through a request and its answer.
 * Only when bytes do arrive while a request is parked or deferred is it changed to DISCONNECT, and the bytes stay in
 * the kernel.
 *
 * No recursion: an answer inside a callback only changes the state. Whoever entered the callback goes on with
 * pipelined requests afterwards (http_conn_leave, or the loop in conn_feed).
 */
#include "http/internal.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void conn_next(conn *c);

/* ---- slots ---- */

static void slot_take(conn *c)
{
	cu_http_loop *loop = conn_loop(c);
	uint32_t slot = loop->slots_free;

	if (slot == CU_HTTP_SLOT_NONE) {
		if (loop->slots_len == loop->slots_cap) {
			loop->slots_cap = CU_MAX(loop->slots_cap * 2, 64u);
			loop->slots = cu_xrealloc(loop->slots, loop->slots_cap * sizeof *loop->slots);
		}
		slot = loop->slots_len++;
		loop->slots[slot].generation = 0;
	} else {
		loop->slots_free = loop->slots[slot].next_free;
	}
	loop->slots[slot].conn = c;
	c->slot = slot;
}

static void slot_give(conn *c)
{
	cu_http_loop *loop = conn_loop(c);
	struct http_slot *slot = &loop->slots[c->slot];

	slot->conn = NULL;
	slot->generation++;
	slot->next_free = loop->slots_free;
	loop->slots_free = c->slot;
}

conn *http_conn_find(cu_http_loop *loop, uint32_t slot, uint32_t generation)
{
	if (slot >= loop->slots_len || loop->slots[slot].generation != generation)
		return NULL;
	return loop->slots[slot].conn;
}

/* ---- buffers ---- */

static void block_take(conn *c)
{
	cu_http_loop *loop = conn_loop(c);
	struct http_parse_block *block = loop->free_blocks;

	if (block) {
		loop->free_blocks = block->next_free;
		loop->free_blocks_len--;
		cu_http_parse_reset(&block->parse);
	} else {
		block = cu_xmalloc(sizeof *block);
		cu_http_parse_init(&block->parse, &loop->server->limits);
	}
	c->block = block;
}

void http_conn_block_release(conn *c)
{
	cu_http_loop *loop = conn_loop(c);
	struct http_parse_block *block = c->block;

	if (!block)
		return;
	c->block = NULL;
	if (loop->free_blocks_len >= CU_HTTP_FREE_KEPT) {
		cu_http_parse_fini(&block->parse);
		free(block);
		return;
	}
	cu_http_parse_reset(&block->parse); /* a large buffer goes now */
	block->next_free = loop->free_blocks;
	loop->free_blocks = block;
	loop->free_blocks_len++;
}

static void pending_keep(conn *c, const char *data, size_t len)
{
	CU_ASSERT(!c->pending && len <= CU_HTTP_PIPELINE_MAX);
	if (!len)
		return;
	c->pending = cu_try_malloc(len);
	if (!c->pending) {
		http_conn_close(c);
		return;
	}
	memcpy(c->pending, data, len);
	c->pending_len = (uint32_t)len;
}

/* ---- the end ---- */

static bool tells_when_gone(enum conn_state state, const conn *c)
{
	return state == CONN_PARKED || (state == CONN_DEFERRED && c->ops);
}

static void conn_freed(uv_handle_t *handle)
{
	free(CU_CONTAINER_OF((uv_poll_t *)handle, conn, poll));
}

void http_conn_close(conn *c)
{
	cu_http_loop *loop = conn_loop(c);
	enum conn_state state = (enum conn_state)c->state;

	CU_ASSERT(state != CONN_CLOSED);
	if (state == CONN_PARKED)
		http_wait_unlink(c);
	http_deadline_clear(c);
	c->state = CONN_CLOSED;
	slot_give(c);
	http_conn_block_release(c);
	http_out_release(c);
	free(c->pending);
	c->pending = NULL;
	loop->refused_open -= c->refused;
	uv_close((uv_handle_t *)&c->poll, conn_freed);
	close(c->fd); /* libuv has forgotten it */
	if (tells_when_gone(state, c))
		c->ops->on_gone(c->app);
	http_loop_conn_gone(loop);
}

static void linger_start(conn *c)
{
	/* Closing with unread bytes would reset the connection, and the peer might lose the answer. */
	free(c->pending);
	c->pending = NULL;
	if (shutdown(c->fd, SHUT_WR) < 0) {
		http_conn_close(c);
		return;
	}
	c->state = CONN_LINGER;
	http_deadline_set(c, CU_HTTP_LINGER_MS);
	http_conn_watch(c, UV_READABLE);
}

static void linger_read(conn *c)
{
	ssize_t n = recv(c->fd, conn_loop(c)->scratch, CU_HTTP_PIPELINE_MAX, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		c->linger_bytes += (uint32_t)n;
		if (c->linger_bytes <= CU_HTTP_LINGER_BYTES)
			return;
	}
	http_conn_close(c);
}

void http_conn_answered(conn *c)
{
	c->marked = false;
	/* An answer that was under way when draining began has promised to stay open: nothing is lost by closing. */
	if (!c->keep_alive || (conn_loop(c)->draining && !c->pending)) {
		linger_start(c);
		return;
	}
	c->state = CONN_IDLE;
	if (!c->entered)
		conn_next(c);
}

/* ---- callbacks of the app ---- */

void http_conn_enter(conn *c)
{
	CU_ASSERT(!c->entered);
	c->entered = true;
	c->state = CONN_HANDLING;
}

static void conn_decided(conn *c)
{
	c->entered = false;
	CU_ASSERT(c->state != CONN_HANDLING); /* the app neither answered, parked nor deferred */
	/* A pipelined request may come straight after an answer that waited for the socket: notice a hang-up, and do
	 * not spin on "writable". */
	if ((c->state == CONN_PARKED || c->state == CONN_DEFERRED) && !(c->watching & (UV_READABLE | UV_DISCONNECT)))
		http_conn_watch(c, UV_READABLE);
}

void http_conn_leave(conn *c)
{
	conn_decided(c);
	if (c->state == CONN_IDLE)
		conn_next(c);
}

static void conn_dispatch(conn *c)
{
	cu_http_loop *loop = conn_loop(c);
	const struct cu_http_opts *opts = &loop->server->opts;
	const struct cu_http_parse *parse = &c->block->parse;

	http_deadline_clear(c);
	c->method = (uint8_t)parse->method;
	c->keep_alive = parse->keep_alive;
	c->http10 = parse->http10;
	atomic_fetch_add_explicit(&loop->requests, 1, memory_order_relaxed);
	http_conn_enter(c);
	opts->handlers.on_request(opts->ctx, c);
	conn_decided(c);
}

/* ---- reading ---- */

/* The request is not whole yet: which deadline does the rest have? */
static void conn_incomplete(conn *c)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	const struct cu_http_opts *opts = &conn_loop(c)->server->opts;

	if (!c->block->parse.headers_done) {
		if (!c->reading_timed) {
			c->reading_timed = true;
			http_deadline_set(c, opts->header_deadline_ms);
		}
		return;
	}
	if (c->body_timed)
		return;
	c->body_timed = true;
	http_deadline_set(c, opts->body_deadline_ms);
	/* Should it not fit, the client sends its body after a while anyway. */
	if (c->block->parse.expect_continue && !c->block->parse.has_body)
		send(c->fd, go_on, sizeof go_on - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void conn_feed(conn *c, const char *data, size_t len)
{
	unsigned requests = 0;

	while (len) {
		enum cu_http_parse_result result;
		size_t used;

		if (c->state == CONN_IDLE) {
			block_take(c);
			c->state = CONN_READING;
			c->reading_timed = c->body_timed = false;
		}
		result = cu_http_parse_feed(&c->block->parse, data, len, &used);
		if (result == CU_HTTP_PARSE_BAD) {
			http_send_error(c, c->block->parse.status, c->block->parse.message);
			return;
		}
		if (result == CU_HTTP_PARSE_MORE) {
			conn_incomplete(c);
			http_conn_watch(c, UV_READABLE);
			return;
		}
		data += used;
		len -= used;
		conn_dispatch(c);
		if (c->state == CONN_CLOSED || c->state == CONN_LINGER)
			return;
		if (c->state != CONN_IDLE) {
			pending_keep(c, data, len);
			return;
		}
		if (++requests == CU_HTTP_REQUESTS_SLICE && len) {
			pending_keep(c, data, len);
			if (c->state == CONN_CLOSED)
				return;
			/* Comes at once, but in its turn; unless the peer reads nothing. */
			http_deadline_set(c, conn_loop(c)->server->opts.send_stall_ms);
			http_conn_watch(c, UV_WRITABLE);
			return;
		}
	}
	http_deadline_set(c, conn_loop(c)->server->opts.idle_ms);
	http_conn_watch(c, UV_READABLE);
}

/* An idle connection: what is pending first, then the socket. */
static void conn_next(conn *c)
{
	char *data = c->pending;

	CU_ASSERT(c->state == CONN_IDLE);
	c->pending = NULL;
	conn_feed(c, data, data ? c->pending_len : 0);
	free(data);
}

/* False: nothing there. */
static bool conn_read(conn *c)
{
	ssize_t n = recv(c->fd, conn_loop(c)->scratch, CU_HTTP_PIPELINE_MAX, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0)
		http_conn_close(c);
	else
		conn_feed(c, conn_loop(c)->scratch, (size_t)n);
	return true;
}

/* Something happened on the socket of a request that nobody is answering at the moment. */
static void peer_check(conn *c, int events)
{
	char byte;
	ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK);

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			http_conn_close(c);
		return;
	}
	if (n > 0 && !(events & UV_DISCONNECT)) {
		http_conn_watch(c, UV_DISCONNECT); /* a pipelined request: it waits in the kernel */
		return;
	}
	/* The peer sends no more. Who waits for a change, or for what costs much, has hung up; another deferred answer is still
	 * sent, in case that only its side is closed. */
	if (!tells_when_gone((enum conn_state)c->state, c)) {
		http_conn_watch(c, 0);
	} else if (c->ops->on_half_close) {
		http_conn_watch(c, 0);
		c->ops->on_half_close(c->app);
	} else {
		http_conn_close(c);
	}
}

static void conn_ready(uv_poll_t *poll, int status, int events)
{
	conn *c = CU_CONTAINER_OF(poll, conn, poll);

	if (c->state == CONN_CLOSED)
		return;
	if (status < 0) { /* reset by the peer */
		http_conn_close(c);
		return;
	}
	switch ((enum conn_state)c->state) {
	case CONN_IDLE:
		if (c->pending)
			conn_next(c);
		else
			conn_read(c);
		break;
	case CONN_READING: conn_read(c); break;
	case CONN_PARKED:
	case CONN_DEFERRED: peer_check(c, events); break;
	case CONN_SENDING: http_send_run(c); break;
	case CONN_LINGER: linger_read(c); break;
	case CONN_HANDLING:
	case CONN_CLOSED: CU_ASSERT(!"no event can come inside a callback"); break;
	}
}

void http_conn_watch(conn *c, int events)
{
	if (c->watching == events)
		return;
	c->watching = (uint8_t)events;
	if (events)
		uv_poll_start(&c->poll, events, conn_ready);
	else
		uv_poll_stop(&c->poll);
}

void http_conn_new(cu_http_loop *loop, int fd, bool refuse)
{
	conn *c = cu_xzalloc(sizeof *c);
	int rc = uv_poll_init(&loop->uv, &c->poll, fd);

	if (rc < 0) {
		cu_warn("a new connection cannot be watched", CU_KV("error", uv_strerror(rc)));
		close(fd);
		free(c);
		http_loop_conn_gone(loop);
		return;
	}
	c->fd = fd;
	c->deadline_list = CU_HTTP_DEADLINE_NONE;
	slot_take(c);
	if (refuse) {
		c->refused = true;
		loop->refused_open++;
		http_send_error(c, 503, "Too many connections");
		return;
	}
	c->state = CONN_IDLE;
	http_deadline_set(c, loop->server->opts.idle_ms);
	http_conn_watch(c, UV_READABLE);
}

/* ---- deadlines and draining ---- */

static void parked_end(conn *c, void (*fn)(cu_http_request *req, void *app))
{
	void *app = c->app;

	http_wait_unlink(c);
	http_deadline_clear(c);
	http_conn_enter(c);
	fn(c, app);
	http_conn_leave(c);
}

void http_conn_wake(conn *c)
{
	parked_end(c, c->ops->on_wake);
}

void http_conn_expired(conn *c)
{
	if (c->state == CONN_READING)
		http_send_error(c, 408, "Request timeout");
	else if (c->state == CONN_PARKED)
		parked_end(c, c->ops->on_timeout);
	else
		http_conn_close(c);
}

static void parked_drain(conn *c)
{
	parked_end(c, c->ops->on_drain ? c->ops->on_drain : c->ops->on_timeout);
}

void http_conn_drain(conn *c)
{
	if (c->state == CONN_PARKED && !c->ops->lasts)
		parked_drain(c);
	else if (c->state == CONN_IDLE && !c->pending && !conn_read(c))
		http_conn_close(c); /* nothing on its way */
}

void http_conn_cut(conn *c)
{
	if (c->state == CONN_PARKED && c->ops->lasts)
		parked_drain(c);
	if (c->state != CONN_CLOSED)
		http_conn_close(c);
}

/* ---- what the app asks ---- */

enum cu_http_method cu_http_request_method(const cu_http_request *req)
{
	return (enum cu_http_method)req->method;
}

struct cu_http_slice cu_http_request_path(const cu_http_request *req)
{
	return req->block ? cu_http_parse_path(&req->block->parse) : (struct cu_http_slice){ NULL, 0 };
}

struct cu_http_slice cu_http_request_query(const cu_http_request *req)
{
	return req->block ? cu_http_parse_query(&req->block->parse) : (struct cu_http_slice){ NULL, 0 };
}

struct cu_http_slice cu_http_request_header(const cu_http_request *req, const char *name)
{
	return req->block ? cu_http_parse_header(&req->block->parse, name) : (struct cu_http_slice){ NULL, 0 };
}

struct cu_http_slice cu_http_request_body(const cu_http_request *req)
{
	return req->block ? cu_http_parse_body(&req->block->parse) : (struct cu_http_slice){ NULL, 0 };
}

void cu_http_request_mark(cu_http_request *req)
{
	CU_ASSERT(conn_loop(req)->server->opts.mark);
	req->marked = true;
}

cu_http_loop *cu_http_request_loop(const cu_http_request *req)
{
	return conn_loop(req);
}

size_t cu_http_request_peer(const cu_http_request *req, char out[CU_HTTP_PEER_TEXT_MAX])
{
	struct sockaddr_storage store;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&store;
	struct sockaddr_in *in4 = (struct sockaddr_in *)&store;
	socklen_t len = sizeof store;

	out[0] = '\0';
	if (getpeername(req->fd, (struct sockaddr *)&store, &len) < 0)
		return 0;
	if (store.ss_family == AF_INET)
		inet_ntop(AF_INET, &in4->sin_addr, out, CU_HTTP_PEER_TEXT_MAX);
	else if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
		inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], out, CU_HTTP_PEER_TEXT_MAX);
	else
		inet_ntop(AF_INET6, &in6->sin6_addr, out, CU_HTTP_PEER_TEXT_MAX);
	return strlen(out);
}

cu_http_ticket cu_http_request_defer(cu_http_request *req)
{
	cu_http_loop *loop = conn_loop(req);

	CU_ASSERT(req->state == CONN_HANDLING);
	req->state = CONN_DEFERRED;
	req->ops = NULL;
	return (cu_http_ticket){ loop->server, loop->index, req->slot, loop->slots[req->slot].generation };
}

cu_http_ticket cu_http_request_defer_while_wanted(cu_http_request *req, const struct cu_http_waiter_ops *ops, void *app)
{
	cu_http_ticket ticket = cu_http_request_defer(req);

	req->ops = ops;
	req->app = app;
	return ticket;
}

void cu_http_abort(cu_http_request *req)
{
	CU_ASSERT(req->state == CONN_HANDLING);
	http_conn_close(req);
}
