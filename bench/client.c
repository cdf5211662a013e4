/* client.c: the connections of the load generator.
 *
 * One receive buffer serves all connections, because nothing of an answer is kept but a few header values: heads
 * that arrive in one piece are parsed where they lie, the others are collected in the connection first.
 */
#include "bench/client.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECV_BYTES (256u * 1024)
#define EVENTS_PER_STEP 512
#define HEAD_BYTES_MAX (64u * 1024) /* an answer with a longer head counts as broken */
#define CONNS_PER_SOURCE 20000u     /* fits the default range of ephemeral ports */
#define CHUNK_LINE_MAX 64u          /* longest chunk-size or trailer line understood */

enum phase {
	PHASE_IDLE,  /* no request in flight */
	PHASE_LATER, /* waits in the retry queue */
	PHASE_HEAD,
	PHASE_BODY, /* `left` bytes */
	PHASE_CHUNK_SIZE,
	PHASE_CHUNK_DATA, /* `left` bytes */
	PHASE_CHUNK_END,  /* the line end behind a chunk */
	PHASE_TRAILER,
	PHASE_UNTIL_CLOSE,
};

struct cu_conn {
	cu_watch watch; /* first */
	cu_client *client;
	void *user;
	unsigned index;
	int fd; /* -1: closed */
	bool wants_out;
	bool closes; /* the server said connection: close */

	cu_buf out;
	size_t out_at;

	enum phase phase;
	cu_buf head; /* of an answer whose head came in pieces */
	uint64_t left;
	char line[CHUNK_LINE_MAX];
	unsigned line_len;
	cu_answer answer;

	uint64_t retry_ns;
	cu_conn *retry_next;
};

struct cu_client {
	int epoll_fd;
	struct cu_client_hooks hooks;
	struct sockaddr_storage peer;
	socklen_t peer_len;
	bool peer_is_loopback4;
	char *host;   /* for the Host header */
	char *prefix; /* before every target; may be empty */
	cu_conn **conns;
	unsigned conns_len;
	unsigned conns_cap;
	cu_conn *retry_first; /* one delay for all: a queue in order of time */
	cu_conn *retry_last;
	char *recv_buf;
};

static void conn_ready(cu_watch *watch, uint32_t events);
static void conn_flush(cu_conn *conn);

/* Splits http://host[:port][/prefix]; returns owned parts. */
static int base_split(const char *base, char **ret_host, char **ret_port, char **ret_prefix)
{
	const char *at = base;
	const char *colon;
	size_t len;

	if (strncmp(at, "http://", 7) != 0)
		return CU_EINVAL;
	at += 7;
	len = strcspn(at, "/");
	if (len == 0)
		return CU_EINVAL;
	colon = memchr(at, ':', len);
	*ret_host = cu_xstrndup(at, colon ? (size_t)(colon - at) : len);
	*ret_port = colon ? cu_xstrndup(colon + 1, len - (size_t)(colon - at) - 1) : cu_xstrdup("80");
	*ret_prefix = cu_xstrdup(at + len);
	len = strlen(*ret_prefix);
	if (len && (*ret_prefix)[len - 1] == '/')
		(*ret_prefix)[len - 1] = '\0';
	return 0;
}

int cu_client_new(const char *base, struct cu_client_hooks hooks, cu_client **ret_client)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	cu_client *client = cu_xzalloc(sizeof *client);
	char *port = NULL;
	int rc;

	client->epoll_fd = -1;
	client->hooks = hooks;
	rc = base_split(base, &client->host, &port, &client->prefix);
	if (rc < 0) {
		fprintf(stderr, "load: not an http:// address: %s\n", base);
		goto out;
	}
	if (getaddrinfo(client->host, port, &hints, &found) != 0) {
		fprintf(stderr, "load: cannot resolve %s port %s\n", client->host, port);
		rc = CU_ENOTFOUND;
		goto out;
	}
	memcpy(&client->peer, found->ai_addr, found->ai_addrlen);
	client->peer_len = found->ai_addrlen;
	if (client->peer.ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&client->peer;

		client->peer_is_loopback4 = ntohl(in->sin_addr.s_addr) >> 24 == 127;
	}
	client->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (client->epoll_fd < 0) {
		perror("load: epoll_create1");
		rc = CU_EIO;
		goto out;
	}
	client->recv_buf = cu_xmalloc(RECV_BYTES);
	*ret_client = client;
	client = NULL;
out:
	if (found)
		freeaddrinfo(found);
	free(port);
	cu_client_free(&client);
	return rc;
}

static void conn_close(cu_conn *conn)
{
	if (conn->fd >= 0)
		close(conn->fd); /* leaves the epoll set by itself */
	conn->fd = -1;
	conn->wants_out = false;
}

void cu_client_free(cu_client **client)
{
	cu_client *c = *client;

	if (!c)
		return;
	for (unsigned i = 0; i < c->conns_len; i++) {
		conn_close(c->conns[i]);
		cu_buf_fini(&c->conns[i]->out);
		cu_buf_fini(&c->conns[i]->head);
		free(c->conns[i]);
	}
	if (c->epoll_fd >= 0)
		close(c->epoll_fd);
	free(c->conns);
	free(c->host);
	free(c->prefix);
	free(c->recv_buf);
	free(c);
	*client = NULL;
}

int cu_client_watch(cu_client *client, int fd, cu_watch *watch, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	if (epoll_ctl(client->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
		return 0;
	if (errno == EEXIST && epoll_ctl(client->epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0)
		return 0;
	perror("load: epoll_ctl");
	return CU_EIO;
}

void cu_client_unwatch(cu_client *client, int fd)
{
	epoll_ctl(client->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

/* Connects while blocking: on loopback that is immediate unless the listener's backlog is full, and then waiting is
 * what we want anyway. */
static int conn_open(cu_conn *conn)
{
	cu_client *client = conn->client;
	int one = 1;
	int fd = socket(client->peer.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		goto fail;
	if (client->peer_is_loopback4 && conn->index >= CONNS_PER_SOURCE) {
		struct sockaddr_in from = { .sin_family = AF_INET };

		from.sin_addr.s_addr = htonl(0x7f000001u + conn->index / CONNS_PER_SOURCE);
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
		if (bind(fd, (const struct sockaddr *)&from, sizeof from) < 0)
			goto fail;
	}
	if (connect(fd, (const struct sockaddr *)&client->peer, client->peer_len) < 0)
		goto fail;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		goto fail;
	conn->fd = fd;
	conn->closes = false;
	return cu_client_watch(client, fd, &conn->watch, EPOLLIN);
fail:
	fprintf(stderr, "load: cannot connect (connection %u): %s\n", conn->index, strerror(errno));
	if (fd >= 0)
		close(fd);
	return CU_EIO;
}

int cu_client_connect(cu_client *client, void *user, cu_conn **ret_conn)
{
	cu_conn *conn = cu_xzalloc(sizeof *conn);
	int rc;

	conn->watch.ready = conn_ready;
	conn->client = client;
	conn->user = user;
	conn->index = client->conns_len;
	conn->fd = -1;
	rc = conn_open(conn);
	if (rc < 0) {
		free(conn);
		return rc;
	}
	if (client->conns_len == client->conns_cap) {
		client->conns_cap = client->conns_cap ? client->conns_cap * 2 : 64;
		client->conns = cu_xrealloc(client->conns, client->conns_cap * sizeof *client->conns);
	}
	client->conns[client->conns_len++] = conn;
	*ret_conn = conn;
	return 0;
}

static void conn_finish(cu_conn *conn, int status)
{
	cu_answer answer = conn->answer;

	answer.status = status;
	answer.done_ns = cu_now_ns();
	conn->phase = PHASE_IDLE;
	cu_buf_clear(&conn->head);
	if (conn->closes || status == 0)
		conn_close(conn);
	conn->client->hooks.answer(conn, conn->user, &answer);
}

static void conn_send(cu_conn *conn)
{
	memset(&conn->answer, 0, sizeof conn->answer);
	conn->phase = PHASE_HEAD;
	conn->out_at = 0;
	if (conn->fd < 0 && conn_open(conn) < 0)
		exit(1); /* a server that accepts no connection any more cannot be measured */
	conn->answer.sent_ns = cu_now_ns();
	conn_flush(conn);
}

void cu_conn_get(cu_conn *conn, const char *target)
{
	CU_ASSERT(conn->phase == PHASE_IDLE);
	cu_buf_clear(&conn->out);
	cu_buf_printf(&conn->out, "GET %s%s HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\n\r\n", conn->client->prefix, target,
		      conn->client->host);
	CU_ASSERT(!cu_buf_failed(&conn->out));
	conn_send(conn);
}

void cu_conn_again(cu_conn *conn)
{
	cu_client *client = conn->client;

	CU_ASSERT(conn->phase == PHASE_IDLE);
	conn->phase = PHASE_LATER;
	conn->retry_ns = cu_now_ns() + CU_CLIENT_RETRY_MS * 1000000ull;
	conn->retry_next = NULL;
	if (client->retry_last)
		client->retry_last->retry_next = conn;
	else
		client->retry_first = conn;
	client->retry_last = conn;
}

static void conn_flush(cu_conn *conn)
{
	bool wants_out = false;

	while (conn->out_at < conn->out.len) {
		ssize_t n = send(conn->fd, conn->out.data + conn->out_at, conn->out.len - conn->out_at, MSG_NOSIGNAL);

		if (n > 0) {
			conn->out_at += (size_t)n;
			continue;
		}
		/* Any other error also shows when reading, where it is reported. */
		wants_out = n < 0 && errno == EAGAIN;
		break;
	}
	if (wants_out != conn->wants_out) {
		struct epoll_event event = { .events = EPOLLIN | (wants_out ? EPOLLOUT : 0u),
					     .data.ptr = &conn->watch };

		epoll_ctl(conn->client->epoll_fd, EPOLL_CTL_MOD, conn->fd, &event);
		conn->wants_out = wants_out;
	}
}

/* Copies a header's value; false when it is longer than any we know. */
static bool field_copy(char out[CU_CLIENT_FIELD_MAX], const char *value, size_t len)
{
	if (len >= CU_CLIENT_FIELD_MAX)
		return false;
	memcpy(out, value, len);
	out[len] = '\0';
	return true;
}

static bool name_is(const char *name, size_t len, const char *wanted)
{
	return len == strlen(wanted) && strncasecmp(name, wanted, len) == 0;
}

static bool header_parse(cu_conn *conn, const char *line, size_t len, bool *chunked)
{
	const char *colon = memchr(line, ':', len);
	const char *value;
	size_t name_len;
	size_t value_len;

	if (!colon)
		return false;
	name_len = (size_t)(colon - line);
	value = colon + 1;
	value_len = len - name_len - 1;
	while (value_len && (*value == ' ' || *value == '\t')) {
		value++;
		value_len--;
	}
	if (name_is(line, name_len, "content-length")) {
		conn->left = 0;
		for (size_t i = 0; i < value_len; i++) {
			if (!isdigit((unsigned char)value[i]) || conn->left > UINT64_MAX / 100)
				return false;
			conn->left = conn->left * 10 + (uint64_t)(value[i] - '0');
		}
		conn->phase = PHASE_BODY;
	} else if (name_is(line, name_len, "transfer-encoding")) {
		*chunked = true;
	} else if (name_is(line, name_len, "connection")) {
		conn->closes = name_is(value, value_len, "close");
	} else if (name_is(line, name_len, "electric-handle")) {
		return field_copy(conn->answer.handle, value, value_len);
	} else if (name_is(line, name_len, "electric-offset")) {
		return field_copy(conn->answer.offset, value, value_len);
	} else if (name_is(line, name_len, "electric-cursor")) {
		return field_copy(conn->answer.cursor, value, value_len);
	} else if (name_is(line, name_len, "electric-up-to-date")) {
		conn->answer.up_to_date = true;
	}
	return true;
}

/* Parses a whole head (up to and with its empty line); chooses the phase of the body. */
static bool head_parse(cu_conn *conn, const char *head, size_t len)
{
	const char *at = head;
	const char *end = head + len;
	bool chunked = false;
	bool first = true;
	int status = 0;

	conn->phase = PHASE_UNTIL_CLOSE;
	while (at < end) {
		const char *eol = memchr(at, '\n', (size_t)(end - at));
		size_t line_len;

		if (!eol)
			return false;
		line_len = (size_t)(eol - at);
		if (line_len && at[line_len - 1] == '\r')
			line_len--;
		if (first) {
			if (line_len < 12 || memcmp(at, "HTTP/1.", 7) != 0)
				return false;
			status = (at[9] - '0') * 100 + (at[10] - '0') * 10 + (at[11] - '0');
			first = false;
		} else if (line_len && !header_parse(conn, at, line_len, &chunked)) {
			return false;
		}
		at = eol + 1;
	}
	conn->answer.status = status;
	if (status == 204 || status == 304) {
		conn->phase = PHASE_BODY;
		conn->left = 0;
	} else if (chunked) {
		conn->phase = PHASE_CHUNK_SIZE;
		conn->line_len = 0;
	}
	if (conn->phase == PHASE_UNTIL_CLOSE)
		conn->closes = true;
	return true;
}

/* Takes head bytes; returns how many were used, or -1 when this is no HTTP. */
static ssize_t head_take(cu_conn *conn, const char *data, size_t len)
{
	const char *blank;
	size_t before = conn->head.len;
	size_t used;

	if (before == 0) {
		blank = memmem(data, len, "\r\n\r\n", 4);
		if (blank) {
			used = (size_t)(blank - data) + 4;
			return head_parse(conn, data, used) ? (ssize_t)used : -1;
		}
	}
	cu_buf_append(&conn->head, data, len);
	if (cu_buf_failed(&conn->head) || conn->head.len > HEAD_BYTES_MAX + RECV_BYTES)
		return -1;
	blank = memmem(conn->head.data, conn->head.len, "\r\n\r\n", 4);
	if (!blank)
		return conn->head.len > HEAD_BYTES_MAX ? -1 : (ssize_t)len;
	used = (size_t)(blank - conn->head.data) + 4;
	if (!head_parse(conn, conn->head.data, used))
		return -1;
	cu_buf_clear(&conn->head);
	return (ssize_t)(used - before);
}

/* Collects a framing line of the chunked encoding; returns the bytes used, *ret_done when the line is complete. */
static ssize_t line_take(cu_conn *conn, const char *data, size_t len, bool *ret_done)
{
	const char *eol = memchr(data, '\n', len);
	size_t used = eol ? (size_t)(eol - data) + 1 : len;

	if (conn->line_len + used >= sizeof conn->line)
		return -1;
	memcpy(conn->line + conn->line_len, data, used);
	conn->line_len += (unsigned)used;
	conn->line[conn->line_len] = '\0';
	*ret_done = eol != NULL;
	return (ssize_t)used;
}

static void body_show(cu_conn *conn, const char *data, size_t len)
{
	conn->answer.body_bytes += len;
	if (conn->client->hooks.body)
		conn->client->hooks.body(conn, conn->user, data, len);
}

static ssize_t framing_take(cu_conn *conn, const char *data, size_t len, bool *ret_end)
{
	bool done = false;
	ssize_t used = line_take(conn, data, len, &done);

	if (used < 0 || !done)
		return used;
	if (conn->phase == PHASE_CHUNK_SIZE) {
		char *stop = NULL;

		conn->left = strtoull(conn->line, &stop, 16);
		if (stop == conn->line)
			return -1;
		conn->phase = conn->left ? PHASE_CHUNK_DATA : PHASE_TRAILER;
	} else if (conn->phase == PHASE_CHUNK_END) {
		conn->phase = PHASE_CHUNK_SIZE;
	} else {
		*ret_end = conn->line_len <= 2; /* the empty line behind the trailers */
	}
	conn->line_len = 0;
	return used;
}

/* Feeds received bytes; true when the connection was given back to the owner (answer complete or broken). */
static bool conn_feed(cu_conn *conn, const char *data, size_t len)
{
	bool end = false;

	conn->answer.wire_bytes += len;
	while (!end) {
		ssize_t used = 0;
		size_t piece;

		switch (conn->phase) {
		case PHASE_HEAD:
			used = head_take(conn, data, len);
			end = used >= 0 && conn->phase == PHASE_BODY && conn->left == 0;
			break;
		case PHASE_BODY:
		case PHASE_CHUNK_DATA:
			piece = CU_MIN(conn->left, (uint64_t)len);
			body_show(conn, data, piece);
			conn->left -= piece;
			used = (ssize_t)piece;
			if (conn->left == 0 && conn->phase == PHASE_CHUNK_DATA)
				conn->phase = PHASE_CHUNK_END;
			else
				end = conn->left == 0;
			break;
		case PHASE_UNTIL_CLOSE:
			body_show(conn, data, len);
			used = (ssize_t)len;
			break;
		case PHASE_CHUNK_SIZE:
		case PHASE_CHUNK_END:
		case PHASE_TRAILER: used = framing_take(conn, data, len, &end); break;
		case PHASE_IDLE:
		case PHASE_LATER:
			used = -1; /* nothing was asked */
			break;
		}
		if (used < 0) {
			conn_finish(conn, 0);
			return true;
		}
		data += used;
		len -= (size_t)used;
		if (len == 0)
			break;
	}
	if (!end)
		return false;
	/* Bytes behind an answer that nothing asked for: the framing is wrong. */
	conn_finish(conn, len ? 0 : conn->answer.status);
	return true;
}

static void conn_lost(cu_conn *conn)
{
	switch (conn->phase) {
	case PHASE_IDLE:
	case PHASE_LATER:
		conn_close(conn); /* between requests: opened again with the next one */
		break;
	case PHASE_UNTIL_CLOSE: conn_finish(conn, conn->answer.status); break;
	default: conn_finish(conn, 0); break;
	}
}

static void conn_ready(cu_watch *watch, uint32_t events)
{
	cu_conn *conn = CU_CONTAINER_OF(watch, cu_conn, watch);
	ssize_t n;

	if (conn->fd < 0)
		return;
	if (events & EPOLLOUT)
		conn_flush(conn);
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	n = recv(conn->fd, conn->client->recv_buf, RECV_BYTES, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		conn_lost(conn);
		return;
	}
	if (conn->answer.first_ns == 0)
		conn->answer.first_ns = cu_now_ns();
	conn_feed(conn, conn->client->recv_buf, (size_t)n);
}

/* Sends what the retry queue holds and is due; returns the milliseconds until the next, or -1. */
static int retries_run(cu_client *client)
{
	uint64_t now = cu_now_ns();

	while (client->retry_first && client->retry_first->retry_ns <= now) {
		cu_conn *conn = client->retry_first;

		client->retry_first = conn->retry_next;
		if (!client->retry_first)
			client->retry_last = NULL;
		conn_send(conn);
	}
	if (!client->retry_first)
		return -1;
	return (int)((client->retry_first->retry_ns - now) / 1000000u) + 1;
}

void cu_client_step(cu_client *client, int timeout_ms)
{
	struct epoll_event events[EVENTS_PER_STEP];
	int retry_ms = retries_run(client);
	int n;

	if (retry_ms >= 0 && (timeout_ms < 0 || retry_ms < timeout_ms))
		timeout_ms = retry_ms;
	n = epoll_wait(client->epoll_fd, events, EVENTS_PER_STEP, timeout_ms);
	for (int i = 0; i < n; i++) {
		cu_watch *watch = events[i].data.ptr;

		watch->ready(watch, events[i].events);
	}
}
