/* client.h: many HTTP/1.1 connections on one epoll loop, made for measuring.
 *
 * Each connection has one request in flight; its answer is timed, counted and handed to one callback. Bodies are
 * never kept: their pieces are shown to another callback, if there is one, and forgotten. Knows the electric-…
 * headers, nothing else of the protocol, so it works against any server of it, and against a plain web server.
 *
 * Threads: one, the caller of cu_client_step(). Cost: one recv per readiness, no allocation per request after the
 * first. Errors: a connection that breaks gives an answer with status 0.
 */
#ifndef CU_BENCH_CLIENT_H
#define CU_BENCH_CLIENT_H

#include "base/buf.h"

#define CU_CLIENT_FIELD_MAX 160 /* a longer electric-… header value makes the answer unusable: status 0 */

typedef struct cu_client cu_client;
typedef struct cu_conn cu_conn;

/* Something else to watch on the loop (a libpq socket, stdin). The owner embeds it. */
typedef struct cu_watch {
	void (*ready)(struct cu_watch *watch, uint32_t events);
} cu_watch;

typedef struct cu_answer {
	int status; /* 0: the connection broke or the answer was no HTTP */
	bool up_to_date;
	char handle[CU_CLIENT_FIELD_MAX];
	char offset[CU_CLIENT_FIELD_MAX];
	char cursor[CU_CLIENT_FIELD_MAX];
	uint64_t wire_bytes; /* everything: status line, headers, framing, body */
	uint64_t body_bytes;
	uint64_t sent_ns;  /* the request was handed to the kernel */
	uint64_t first_ns; /* the first byte of the answer was read */
	uint64_t done_ns;  /* its last byte was read */
} cu_answer;

struct cu_client_hooks {
	/* The answer is borrowed until it returns; may send the connection's next request. */
	void (*answer)(cu_conn *conn, void *user, const cu_answer *answer);
	/* NULL, or sees each piece of a body in order; borrowed until it returns. */
	void (*body)(cu_conn *conn, void *user, const char *data, size_t len);
};

/* base is http://host[:port][/prefix]; the host is resolved once. Prints what is wrong to stderr. */
int cu_client_new(const char *base, struct cu_client_hooks hooks, cu_client **ret_client);
void cu_client_free(cu_client **client); /* closes and frees every connection too */

/* Opens a connection; user comes back in the hooks. Beyond 20,000 connections to a loopback server it uses further
 * loopback source addresses, so that ports suffice. */
int cu_client_connect(cu_client *client, void *user, cu_conn **ret_conn);

/* GET prefix + target. A connection that the server closed between two requests is opened again. */
void cu_conn_get(cu_conn *conn, const char *target);
/* The same request again, after CU_CLIENT_RETRY_MS. */
void cu_conn_again(cu_conn *conn);

#define CU_CLIENT_RETRY_MS 50u

int cu_client_watch(cu_client *client, int fd, cu_watch *watch, uint32_t events);
void cu_client_unwatch(cu_client *client, int fd);

/* Waits up to timeout_ms (-1: for ever) for something to happen and runs the hooks. */
void cu_client_step(cu_client *client, int timeout_ms);

#endif
