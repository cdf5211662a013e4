/* http.h: the HTTP/1.1 server core: connections, parsing, answers, waiting readers.
 *
 * What it is: one libuv loop and one listening socket (SO_REUSEPORT) per core. The app gets each whole request in
 * on_request, on the thread of the connection's loop, and there does exactly one of
 *   - cu_http_respond()        answer now,
 *   - cu_http_park()           wait for a key (a live reader): costs a few hundred bytes until woken,
 *   - cu_http_request_defer()  answer later, after work on another thread (cu_http_post() brings it back).
 *
 * Threads: calls that take a cu_http_request or a cu_http_loop belong to that loop's thread (inside a callback).
 * cu_http_wake(), cu_http_post(), cu_http_server_*(), cu_http_body_*() may come from any thread, but drain and free
 * not from a loop's thread.
 *
 * Ownership: a request is borrowed. It is valid until cu_http_respond() or until its end was reported (on_gone; a
 * post with NULL). Exactly one of these ends each request. Never touch it afterwards, not even after respond()
 * returned. Its slices (path, headers, body) are valid until on_request returns; for a deferred request until it is
 * answered or parked. A parked request keeps only its app pointer; a held one everything.
 *
 * An answer may also be a stream that waits in between (struct cu_http_source).
 *
 * Errors: what a client does wrong is answered here (400, 408, 413, 414, 431, 503, 505 with a JSON message), the app
 * never sees it. What the app does wrong (answer twice, neither answer nor park) asserts.
 */
#ifndef CU_HTTP_HTTP_H
#define CU_HTTP_HTTP_H

#include "base/base.h"

#include <sys/types.h>

typedef struct cu_http_server cu_http_server;
typedef struct cu_http_loop cu_http_loop;
typedef struct cu_http_request cu_http_request;
typedef struct cu_http_body cu_http_body;

#define CU_HTTP_LOOPS_MAX 64u
#define CU_HTTP_LENGTH_UNKNOWN UINT64_MAX
#define CU_HTTP_ALL_LOOPS UINT64_MAX
#define CU_HTTP_PEER_TEXT_MAX 64u

struct cu_http_slice {
	const char *data; /* never NULL when the thing is there (an empty value has len 0); NULL: absent */
	size_t len;
};

enum cu_http_method {
	CU_HTTP_GET,
	CU_HTTP_HEAD,
	CU_HTTP_OPTIONS,
	CU_HTTP_POST,
	CU_HTTP_DELETE,
	CU_HTTP_OTHER,
};

/* ---- The server ---- */

struct cu_http_handlers {
	/* A whole request. Must respond, park or defer before it returns. */
	void (*on_request)(void *ctx, cu_http_request *req);
	/* Optional. Called once per loop and wave, before the first and after the last waiter of `key` is woken: the
	 * place to prepare what all of them share, and to let go of it. Other events of the loop happen in between
	 * (long waves run in slices). A wake during a wave starts another wave after it. */
	void (*on_wave_begin)(void *ctx, cu_http_loop *loop, uint64_t key);
	void (*on_wave_end)(void *ctx, cu_http_loop *loop, uint64_t key);
};

/* Zero means the default everywhere. */
struct cu_http_opts {
	const char *host; /* numeric IPv4 or IPv6; NULL or "::" = every address, dual-stack */
	uint16_t port;    /* 0 = the kernel picks: cu_http_server_port() */
	unsigned loops;   /* 0 = one per core; at most CU_HTTP_LOOPS_MAX */
	unsigned backlog;
	unsigned connections_max; /* above: 503, close. 0 = from RLIMIT_NOFILE */
	uint32_t url_max;         /* 0 = limits.h, here and below */
	uint32_t headers_max;
	uint32_t body_max;
	uint32_t header_deadline_ms;
	uint32_t body_deadline_ms;
	uint32_t idle_ms;
	uint32_t send_stall_ms;
	uint32_t wake_slice;
	const char *mark; /* "name: value\r\n" of answers to marked requests; borrowed */
	struct cu_http_handlers handlers;
	void *ctx; /* borrowed until cu_http_server_free(); first argument of the handlers */
};

/* Listens when it returns 0. CU_EBUSY: the port is taken by another process. CU_EINVAL: host is no numeric address.
 * CU_EIO: anything else of the system's. The reason has been logged. */
int cu_http_server_start(const struct cu_http_opts *opts, cu_http_server **ret_server);
uint16_t cu_http_server_port(const cu_http_server *server);
unsigned cu_http_server_loops(const cu_http_server *server);
/* Stops accepting, ends every parked request through its on_drain (or on_timeout), lets running answers finish with
 * "connection: close", cuts off what is left after grace_ms. Blocks until no connection is left. Wakes and posts keep
 * working. */
void cu_http_server_drain(cu_http_server *server, uint32_t grace_ms);
/* Cuts every connection, runs what was posted (with NULL), joins the loops. NULL is fine. Nobody may wake or post any
 * more when this is called. */
void cu_http_server_free(cu_http_server **server);

/* For metrics; a moment's value. */
struct cu_http_stats {
	uint64_t connections; /* open now */
	uint64_t parked;      /* waiting now */
	uint64_t requests;    /* whole requests given to on_request since the start */
	uint64_t accepted;
	uint64_t refused; /* connections over connections_max */
	uint64_t waves;
	uint64_t woken; /* on_wake calls */
};
void cu_http_server_stats(const cu_http_server *server, struct cu_http_stats *ret_stats);

/* ---- A loop ---- */

unsigned cu_http_loop_index(const cu_http_loop *loop); /* bit of the mask for cu_http_wake() */
size_t cu_http_loop_park_count(const cu_http_loop *loop);
void **cu_http_loop_data(cu_http_loop *loop); /* a pointer of the app's, per loop; NULL at first */

/* ---- A request ---- */

enum cu_http_method cu_http_request_method(const cu_http_request *req);
struct cu_http_slice cu_http_request_path(const cu_http_request *req);  /* raw, not decoded; "*" for OPTIONS * */
struct cu_http_slice cu_http_request_query(const cu_http_request *req); /* raw, without '?'; data NULL: no '?' */
/* The first header of that name (any case), blanks trimmed. data NULL: absent. */
struct cu_http_slice cu_http_request_header(const cu_http_request *req, const char *name);
struct cu_http_slice cu_http_request_body(const cu_http_request *req); /* data NULL: none */
/* The peer's address as text with its NUL, "" when it is gone; returns the length. One system call. */
size_t cu_http_request_peer(const cu_http_request *req, char out[CU_HTTP_PEER_TEXT_MAX]);
cu_http_loop *cu_http_request_loop(const cu_http_request *req);

/* Its answer, whoever gives it, will have opts.mark among its headers. */
void cu_http_request_mark(cu_http_request *req);

/* ---- Answering ---- */

/* Immutable bytes with an atomic reference count: any number of answers share one. Any thread. */
int cu_http_body_new(const void *data, size_t len, cu_http_body **ret_body); /* copies. CU_ENOMEM */
/* Takes the buffer (malloc'd) on success. */
int cu_http_body_take(char *data, size_t len, cu_http_body **ret_body);
cu_http_body *cu_http_body_ref(cu_http_body *body);
void cu_http_body_unref(cu_http_body **body); /* NULL is fine; clears the pointer */
struct cu_http_slice cu_http_body_bytes(const cu_http_body *body);

/* One piece of a pulled body: memory (data set; valid until the next call of next or close) or a range of a file
 * (data NULL; fd is borrowed until then). Memory pieces should stay within CU_HTTP_BODY_PIECE. */
struct cu_http_piece {
	const void *data;
	int fd;
	off_t offset;
	size_t len;
};

/* A body that the socket pulls: next() is asked when there is room, on the loop's thread. It must not block for long.
 * Embed it. close() is called exactly once, when the answer ended for whatever reason; it frees the source. */
struct cu_http_source {
	/* 1: *ret is a piece (len > 0); 0: the end; negative: cut the connection off (the client sees a broken answer).
	 * Ending before `length` bytes cuts off as well. CU_HTTP_SOURCE_WAIT: nothing now; set wait_key and wait_ms. */
	int (*next)(struct cu_http_source *source, struct cu_http_piece *ret_piece);
	void (*close)(struct cu_http_source *source);
	/* Known: content-length, any pieces. CU_HTTP_LENGTH_UNKNOWN: chunked (or until close for HTTP/1.0). */
	uint64_t length;
	/* A stream: an answer whose next() may say CU_HTTP_SOURCE_WAIT. Its pieces leave at once. While
	 * it waits it is parked as a waiting reader is, buffers given back, and next() is asked again after
	 * cu_http_wake(wait_key) or wait_ms (> 0), whichever comes first. It is never asked while the socket is full, so
	 * nothing queues. Where it waits is where it ends when the server drains. */
	bool stream;
	/* … of this one where it waits is not where it may end: draining lets it go on, and the end of the grace cuts it off. A
	 * client that will send no more may want the rest. */
	bool whole;
	void (*half_close)(struct cu_http_source *source); /* … and is told so with this */
	uint64_t wait_key;
	uint32_t wait_ms;
};
#define CU_HTTP_SOURCE_WAIT 2

struct cu_http_response {
	int status;
	/* Preformatted "name: value\r\n" lines, copied. Never date, content-length, transfer-encoding, connection: the
	 * server adds those. */
	const char *headers;
	size_t headers_len;
	/* At most one of the two; neither: no body. For HEAD give what GET would get: only its length is used.
	 * A body of 204 and 304 is dropped. */
	cu_http_body *body;            /* keeps a ref of its own */
	struct cu_http_source *source; /* takes it */
	bool close;                    /* close the connection afterwards */
};

/* Ends the request: req is invalid when this returns. For a request that is being handled, parked (inside on_wake,
 * on_timeout or on_drain) or deferred (inside a post). */
void cu_http_respond(cu_http_request *req, const struct cu_http_response *response);
/* Ends the request by cutting the connection off without an answer. */
void cu_http_abort(cu_http_request *req);

/* ---- Work on another thread ---- */

/* An address for a deferred request that any thread may keep and copy. A stale one is harmless. */
typedef struct cu_http_ticket {
	cu_http_server *server;
	uint32_t loop;
	uint32_t slot;
	uint32_t generation;
} cu_http_ticket;

/* The request will be answered from a post. It keeps its slices until it is answered or parked. */
cu_http_ticket cu_http_request_defer(cu_http_request *req);
struct cu_http_waiter_ops;
/* The same for an answer that costs much to make: a client that hangs up, or sends no more, counts as gone, and ops->on_gone(app)
 * runs on the loop as soon as that is seen. A post gets NULL afterwards: app goes then, not here. */
cu_http_ticket cu_http_request_defer_while_wanted(cu_http_request *req, const struct cu_http_waiter_ops *ops,
						  void *app);
/* Any thread: runs fn(req, arg) on the request's loop, in order of posting per loop; req is NULL when the client went
 * away or the request is over. fn must respond, park, abort, or leave it deferred. fn always runs exactly once, at the
 * latest inside cu_http_server_free(). */
void cu_http_post(cu_http_ticket ticket, void (*fn)(cu_http_request *req, void *arg), void *arg);
/* Any thread: runs fn(loop, arg) on that loop. */
void cu_http_post_loop(cu_http_server *server, unsigned loop, void (*fn)(cu_http_loop *loop, void *arg), void *arg);

/* ---- Waiting ---- */

/* Each of on_wake, on_timeout and on_drain must respond, park again, defer or abort. A request parked again by on_wake
 * waits for the next wave, never for the one that is running. */
struct cu_http_waiter_ops {
	void (*on_wake)(cu_http_request *req, void *app);
	void (*on_timeout)(cu_http_request *req, void *app);
	void (*on_drain)(cu_http_request *req, void *app); /* NULL: on_timeout. */
	void (*on_gone)(void *app);                        /* the client hung up: free app. The request is over */
	/* The client will send no more, and may want the answer all the same. Must leave the request alone; may come again.
	 * NULL: it counts as gone. */
	void (*on_half_close)(void *app);
	bool lasts; /* draining lets it wait: on_drain comes when the grace is over */
};

/* Waits for cu_http_wake(key), or timeout_ms (> 0). Request bytes and buffers are given back: take what you need
 * before. ops is borrowed for as long as it waits (static). While the server drains, on_drain is called from the loop
 * soon after. */
void cu_http_park(cu_http_request *req, uint64_t key, uint32_t timeout_ms, const struct cu_http_waiter_ops *ops,
		  void *app);
/* The same, but the request keeps its slices, and with them its buffers: who is woken can begin with it anew. */
void cu_http_hold(cu_http_request *req, uint64_t key, uint32_t timeout_ms, const struct cu_http_waiter_ops *ops,
		  void *app);
/* Any thread: wakes every request parked under key in the loops of loop_mask (bit = loop index). Coalesces; costs one
 * mutex and at most one write(2) per loop. A request parked before the loop looks at the wake is woken, so: set
 * the loop's bit, check your condition, park; the waker changes the condition, reads the mask, wakes. */
void cu_http_wake(cu_http_server *server, uint64_t key, uint64_t loop_mask);

/* ---- Relaying ---- */

struct cu_http_relay {
	const char *host; /* numeric */
	uint16_t port;
	const char
		*mark; /* "name: value\r\n": added to the request; an answer without it is another server's, and none */
	uint32_t timeout_ms; /* from the connection to the answer's head */
	/* There is no answer: the server cannot be reached, broke off before its head was here, or this one drains. Must
	 * respond. ctx is borrowed for as long as the server runs. */
	void (*failed)(void *ctx, cu_http_request *req);
	void *ctx;
};

/* Sends the request to another server, over a connection of its own, and that one's answer to the client: its status, its
 * header lines but for those about the connection and the date, its body as the client's socket takes it. An answer that
 * breaks off within its body is cut off here too; a client that hangs up ends the other side. Request being handled, on its
 * loop's thread. 0: it will end by itself. Negative (CU_EFULL, CU_EINVAL, CU_EIO): nothing has been done, it is still yours.
 * Costs a connection of connections_max, and while bytes are under way CU_HTTP_RELAY_PIECE. */
int cu_http_relay(cu_http_request *req, const struct cu_http_relay *relay);

/* Fixed text of a status code ("OK"); "" when unknown. */
const char *cu_http_status_text(int status);

#endif
