/* internal.h: what the files of src/http share. Not for other modules.
 *
 * A connection is also its request: one request at a time per connection. Everything here belongs to the loop's
 * thread except what stands under "any thread".
 */
#ifndef CU_HTTP_INTERNAL_H
#define CU_HTTP_INTERNAL_H

#include "base/buf.h"
#include "base/limits.h"
#include "http/http.h"
#include "http/parse.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <uv.h>

#define CU_HTTP_SLOT_NONE UINT32_MAX
#define CU_HTTP_DEADLINES_EXACT 16u
#define CU_HTTP_DEADLINES (CU_HTTP_DEADLINES_EXACT + 33u)
#define CU_HTTP_DEADLINE_NONE UINT8_MAX
#define CU_HTTP_FREE_KEPT 64u /* parse and out blocks kept per loop */

/*            accept
 *              v     first byte            whole
 *   .-------> IDLE ------------> READING --------> HANDLING <------ wake, timeout, drain, post
 *   |          ^                                  /   |    \
 *   |          | sent at once                    /    |     \
 *   |          '--------------------------------'  PARKED  DEFERRED
 *   | sent     respond ---> SENDING
 *   '----------------------'   |  ^
 *                              |  '--- a stream that waits is PARKED in between
 *                              v close asked for
 *   any state ---> CLOSED   LINGER ---> CLOSED        (memory is freed in libuv's close callback)
 */
enum conn_state {
	CONN_IDLE,     /* no request, or only pending bytes */
	CONN_READING,  /* part of a request: has parse */
	CONN_HANDLING, /* a callback of the app's runs and must decide */
	CONN_PARKED, /* on its key's list and a deadline list; no buffers unless held. A request, or a stream's source in app */
	CONN_DEFERRED, /* waits for a post; keeps parse */
	CONN_SENDING,  /* has out; waits for the socket */
	CONN_LINGER,   /* answered and shut down; reads until the peer's end */
	CONN_CLOSED,
};

struct http_key;

struct http_parse_block {
	struct http_parse_block *next_free;
	struct cu_http_parse parse;
};

/* An answer that did not fit into the socket at once. */
struct http_out {
	struct http_out *next_free;
	cu_buf text; /* head and chunk framing, sent before the piece */
	size_t text_at;
	struct cu_http_piece piece;
	size_t piece_at;
	uint8_t trailer; /* bytes still to be sent of the line end behind the piece (chunked) */
	cu_http_body *body;
	struct cu_http_source *source;
	uint64_t left; /* of a known length: bytes the source still owes */
	bool chunked;
	bool ended; /* nothing comes after text and piece */
};

struct cu_http_request {
	uv_poll_t poll; /* first in the callback's hands; its loop's data is our loop */

	/* deadline lists */
	struct cu_http_request *deadline_prev, *deadline_next;
	uint64_t deadline_at;

	/* CONN_PARKED; ops and app also CONN_DEFERRED while it is wanted, else ops is NULL then */
	struct cu_http_request *wait_prev, *wait_next;
	struct http_key *wait_key;
	uint64_t wait_seq;
	const struct cu_http_waiter_ops *ops;
	void *app;

	struct http_parse_block *block; /* CONN_READING, HANDLING of a fresh request, DEFERRED, PARKED when held */
	struct http_out *out;           /* CONN_SENDING */
	char *pending;                  /* bytes behind the request that is being answered */
	uint32_t pending_len;
	uint32_t linger_bytes;
	int fd;
	uint32_t slot;
	uint8_t state;
	uint8_t deadline_list;
	uint8_t watching; /* UV_READABLE … */
	uint8_t method;
	bool keep_alive : 1;
	bool http10 : 1;
	bool entered : 1;       /* somebody up the stack looks at the state afterwards */
	bool reading_timed : 1; /* CONN_READING: the deadline of the headers runs */
	bool body_timed : 1;    /* … of the body */
	bool refused : 1;       /* over connections_max */
	bool marked : 1;        /* the answer has opts.mark */
};
typedef struct cu_http_request conn;

struct http_slot {
	conn *conn; /* NULL: free */
	uint32_t generation;
	uint32_t next_free;
};

struct http_deadlines {
	uint32_t timeout_ms;
	conn *head, *tail; /* by deadline_at */
};

/* A set of keys, in order of arrival. */
struct http_keyset {
	uint64_t *keys;
	uint32_t len, cap;
	uint32_t *index; /* open addressing: position + 1, 0 = empty; index_cap is a power of two */
	uint32_t index_cap;
	bool everybody; /* it overflowed */
};

/* A key with waiters or a running wave. */
struct http_key {
	uint64_t key;
	struct http_key *chain;
	conn *head, *tail; /* by wait_seq */
	struct http_key *wave_prev, *wave_next;
	uint64_t wave_limit; /* waiters up to this wait_seq belong to the wave */
	bool in_wave;
	bool began;
	bool again; /* woken during the wave */
};

struct http_post {
	struct http_post *next;
	cu_http_ticket ticket; /* slot CU_HTTP_SLOT_NONE: loop_fn */
	void (*fn)(cu_http_request *req, void *arg);
	void (*loop_fn)(cu_http_loop *loop, void *arg);
	void *arg;
};

struct cu_http_loop {
	cu_http_server *server;
	unsigned index;
	pthread_t thread;
	bool thread_started;
	int listen_fd;

	/* any thread, under mtx. Nothing else is locked while it is held. */
	pthread_mutex_t mtx;
	struct http_post *posts, **posts_end;
	struct http_keyset wakes;
	bool ask_drain, ask_cut, ask_stop;
	bool closed; /* async is gone: queue only */

	/* any thread */
	uv_async_t async;
	_Atomic uint64_t parked, conns, requests, accepted, refused, waves, woken;

	/* loop thread only */
	uv_loop_t uv;
	uv_poll_t listen_poll;
	bool listening, accept_paused;
	uint64_t accept_resume_at;
	uint64_t accept_warned_at;
	uv_timer_t timer;
	uint64_t timer_at; /* UINT64_MAX: not armed */
	uv_idle_t turn;    /* runs while there is sliced work */
	bool turning;
	bool draining, stopping;
	uint32_t drain_at; /* next slot to look at */
	unsigned refused_open;

	struct http_slot *slots;
	uint32_t slots_len, slots_cap, slots_free;

	struct http_deadlines deadlines[CU_HTTP_DEADLINES];

	struct http_key **keys; /* chained hash, a power of two */
	uint32_t keys_len, keys_cap;
	uint64_t wait_seq;
	uint64_t lasting; /* parked ones that draining does not end */
	struct http_key *wave_head, *wave_tail;
	struct http_keyset woken_keys; /* swapped with wakes */

	struct http_parse_block *free_blocks;
	struct http_out *free_outs;
	unsigned free_blocks_len, free_outs_len;
	char *scratch; /* CU_HTTP_PIPELINE_MAX bytes to recv into */
	cu_buf head;
	char date[40];
	uint64_t date_s;
	void *data;
};

struct cu_http_server {
	struct cu_http_opts opts; /* defaults filled in */
	struct cu_http_parse_limits limits;
	uint16_t port;
	unsigned loops_len;
	struct cu_http_loop *loops;
	_Atomic uint64_t conns; /* of all loops */
	_Atomic bool full_warned;
	_Atomic uint64_t relayed; /* requests under way to another server */

	/* cu_http_server_drain() waits for empty loops */
	pthread_mutex_t mtx;
	pthread_cond_t cond;
	unsigned loops_draining; /* under mtx: they listen no more */
};

static inline cu_http_loop *conn_loop(const conn *c)
{
	return (cu_http_loop *)c->poll.loop->data;
}

/* deadline.c: one list per distinct timeout, one timer per loop. */
void http_deadline_set(conn *c, uint32_t timeout_ms); /* moves it */
void http_deadline_clear(conn *c);
void http_timer_arm(cu_http_loop *loop, uint64_t at);
void http_timer_fired(uv_timer_t *timer);

/* wait.c: keys, waiters, waves. */
void http_wait_init(cu_http_loop *loop);
void http_wait_fini(cu_http_loop *loop);
/* The connection waits: lists, state. The caller has given the buffers back. */
void http_wait_park(conn *c, uint64_t key, uint32_t timeout_ms, const struct cu_http_waiter_ops *ops, void *app);
void http_wait_unlink(conn *c);
void http_wave_start(cu_http_loop *loop, uint64_t key);
void http_wave_start_all(cu_http_loop *loop);
/* Wakes up to *budget waiters, and takes them off it. */
void http_wave_run(cu_http_loop *loop, unsigned *budget);
bool http_keyset_add(struct http_keyset *set, uint64_t key); /* false: was there */
void http_keyset_clear(struct http_keyset *set);
void http_keyset_fini(struct http_keyset *set);

/* loop.c: the thread, its queue, sliced work. */
int http_loop_init(cu_http_loop *loop, cu_http_server *server, unsigned index);
int http_loop_start(cu_http_loop *loop);
void http_loop_stop(cu_http_loop *loop); /* asks, joins */
void http_loop_fini(cu_http_loop *loop);
void http_loop_ask_drain(cu_http_loop *loop);
void http_loop_ask_cut(cu_http_loop *loop);
void http_loop_turn(cu_http_loop *loop);      /* there is sliced work */
void http_loop_conn_gone(cu_http_loop *loop); /* counts it off */
const char *http_loop_date(cu_http_loop *loop);

struct http_address {
	struct sockaddr_storage store;
	socklen_t len;
};

/* listen.c: sockets and accepting. */
int http_address_parse(const char *host, uint16_t port, struct http_address *ret); /* CU_EINVAL: not numeric */
int http_listen_open(cu_http_server *server);
void http_listen_start(cu_http_loop *loop);
void http_listen_stop(cu_http_loop *loop);
void http_listen_resume(cu_http_loop *loop);

/* conn.c: a connection's life. */
void http_conn_new(cu_http_loop *loop, int fd, bool refuse);
void http_conn_close(conn *c); /* any state, but not twice */
void http_conn_enter(conn *c); /* a callback of the app's is about to get it */
void http_conn_leave(conn *c); /* … has decided */
void http_conn_expired(conn *c);
void http_conn_wake(conn *c); /* CONN_PARKED: its on_wake, now; not from a callback of the app's */
void http_conn_watch(conn *c, int events);
void http_conn_answered(conn *c); /* the answer has left: next request, or end */
void http_conn_block_release(conn *c);
void http_conn_drain(conn *c); /* as far as its state asks for it */
void http_conn_cut(conn *c);
conn *http_conn_find(cu_http_loop *loop, uint32_t slot, uint32_t generation);

/* send.c: answers. */
void http_send_error(conn *c, int status, const char *message); /* then closes */
void http_send_run(conn *c);                                    /* CONN_SENDING: the socket has room */
void http_out_release(conn *c);

#endif
