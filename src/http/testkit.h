/* testkit.h: for the tests of src/http: a small app, and a client that reads answers with deadlines. */
#ifndef CU_HTTP_TESTKIT_H
#define CU_HTTP_TESTKIT_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "http/http.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define KIT_DEADLINE_MS 20000u

/* Spins politely: there is nothing to wait on for another thread's counters. */
#define kit_until(cond)                                                 \
	do {                                                            \
		uint64_t kit_end_ = cu_now_ms() + KIT_DEADLINE_MS;      \
		while (!(cond)) {                                       \
			if (cu_now_ms() > kit_end_)                     \
				fail_msg("never came true: %s", #cond); \
			sched_yield();                                  \
		}                                                       \
	} while (0)

struct kit_client {
	int fd;
	cu_buf in; /* read, not yet consumed */
};

struct kit_reply {
	int status;
	cu_buf head;
	cu_buf body;
	bool chunked;
};

static inline void kit_connect_rcvbuf(struct kit_client *client, uint16_t port, int rcvbuf)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr = { htonl(INADDR_LOOPBACK) } };

	cu_buf_init(&client->in);
	client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(client->fd >= 0);
	if (rcvbuf)
		setsockopt(client->fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof rcvbuf);
	assert_int_equal(connect(client->fd, (struct sockaddr *)&addr, sizeof addr), 0);
}

static inline void kit_connect(struct kit_client *client, uint16_t port)
{
	kit_connect_rcvbuf(client, port, 0);
}

static inline void kit_close(struct kit_client *client)
{
	close(client->fd);
	cu_buf_fini(&client->in);
}

static inline void kit_send_bytes(struct kit_client *client, const void *data, size_t len)
{
	const char *at = data;

	while (len) {
		ssize_t n = send(client->fd, at, len, MSG_NOSIGNAL);

		assert_true(n > 0);
		at += n;
		len -= (size_t)n;
	}
}

static inline void kit_send(struct kit_client *client, const char *text)
{
	kit_send_bytes(client, text, strlen(text));
}

static inline void kit_get(struct kit_client *client, const char *target)
{
	cu_buf buf = CU_BUF_INIT;

	cu_buf_printf(&buf, "GET %s HTTP/1.1\r\nhost: t\r\n\r\n", target);
	kit_send_bytes(client, buf.data, buf.len);
	cu_buf_fini(&buf);
}

/* Reads once; false at the peer's end. */
static inline bool kit_fill(struct kit_client *client)
{
	struct pollfd pfd = { client->fd, POLLIN, 0 };
	ssize_t n;

	if (poll(&pfd, 1, (int)KIT_DEADLINE_MS) != 1)
		fail_msg("no answer within the deadline");
	assert_true(cu_buf_reserve(&client->in, 65536));
	n = recv(client->fd, client->in.data + client->in.len, 65536, 0);
	if (n <= 0)
		return false;
	client->in.len += (size_t)n;
	return true;
}

static inline void kit_eat(struct kit_client *client, size_t len)
{
	assert_true(len <= client->in.len);
	memmove(client->in.data, client->in.data + len, client->in.len - len);
	client->in.len -= len;
}

static inline const char *kit_header(struct kit_reply *reply, const char *name)
{
	static _Thread_local char value[256];
	cu_buf needle = CU_BUF_INIT;
	const char *at;
	size_t len;

	cu_buf_printf(&needle, "\r\n%s: ", name);
	at = strstr(cu_buf_str(&reply->head), cu_buf_str(&needle));
	if (at) {
		at += needle.len;
		len = CU_MIN(strcspn(at, "\r"), sizeof value - 1);
		memcpy(value, at, len);
		value[len] = '\0';
	}
	cu_buf_fini(&needle);
	return at ? value : NULL;
}

static inline void kit_reply_fini(struct kit_reply *reply)
{
	cu_buf_fini(&reply->head);
	cu_buf_fini(&reply->body);
}

static inline bool kit_read_chunks(struct kit_client *client, struct kit_reply *reply)
{
	for (;;) {
		char *eol;
		size_t len, line;

		while (!client->in.len || !(eol = memmem(client->in.data, client->in.len, "\r\n", 2)))
			if (!kit_fill(client))
				return false;
		len = strtoul(client->in.data, NULL, 16);
		line = (size_t)(eol - client->in.data) + 2;
		while (client->in.len < line + len + 2)
			if (!kit_fill(client))
				return false;
		assert_memory_equal(client->in.data + line + len, "\r\n", 2);
		cu_buf_append(&reply->body, client->in.data + line, len);
		kit_eat(client, line + len + 2);
		if (len == 0)
			return true;
	}
}

/* Reads a whole answer; false when the connection ended before its end (reply holds what came). */
static inline bool kit_read(struct kit_client *client, struct kit_reply *reply, bool head_only)
{
	const char *value;
	char *end;
	size_t len;

	memset(reply, 0, sizeof *reply);
	while (!client->in.len || !(end = memmem(client->in.data, client->in.len, "\r\n\r\n", 4)))
		if (!kit_fill(client))
			return false;
	len = (size_t)(end - client->in.data) + 4;
	cu_buf_append(&reply->head, client->in.data, len);
	kit_eat(client, len);
	assert_int_equal(sscanf(cu_buf_str(&reply->head), "HTTP/1.1 %d", &reply->status), 1);
	if (head_only || reply->status == 204 || reply->status == 304 || reply->status < 200)
		return true;
	value = kit_header(reply, "transfer-encoding");
	if (value) {
		assert_string_equal(value, "chunked");
		reply->chunked = true;
		return kit_read_chunks(client, reply);
	}
	value = kit_header(reply, "content-length");
	if (!value) { /* until the end */
		while (kit_fill(client))
			;
		cu_buf_append(&reply->body, client->in.data, client->in.len);
		client->in.len = 0;
		return true;
	}
	len = strtoul(value, NULL, 10);
	while (client->in.len < len)
		if (!kit_fill(client))
			return false;
	cu_buf_append(&reply->body, client->in.data, len);
	kit_eat(client, len);
	return true;
}

static inline void kit_expect(struct kit_client *client, int status, const char *body)
{
	struct kit_reply reply;

	assert_true(kit_read(client, &reply, false));
	assert_int_equal(reply.status, status);
	if (body)
		assert_string_equal(cu_buf_str(&reply.body), body);
	kit_reply_fini(&reply);
}

static inline void kit_expect_end(struct kit_client *client)
{
	assert_int_equal(client->in.len, 0);
	assert_false(kit_fill(client));
}

static inline struct cu_http_response kit_response(int status, cu_http_body *body)
{
	static const char headers[] = "content-type: text/plain\r\n";

	return (struct cu_http_response){
		.status = status, .headers = headers, .headers_len = sizeof headers - 1, .body = body
	};
}

static inline void kit_respond(cu_http_request *req, int status, const char *text)
{
	cu_http_body *body = NULL;
	struct cu_http_response response;

	assert_int_equal(cu_http_body_new(text, strlen(text), &body), 0);
	response = kit_response(status, body);
	cu_http_respond(req, &response);
	cu_http_body_unref(&body);
}

static inline bool kit_is(struct cu_http_slice slice, const char *text)
{
	return slice.data && slice.len == strlen(text) && !memcmp(slice.data, text, slice.len);
}

static inline uint64_t kit_number(struct cu_http_slice slice, uint64_t otherwise)
{
	uint64_t n = 0;

	if (!slice.data || !slice.len)
		return otherwise;
	for (size_t i = 0; i < slice.len && slice.data[i] >= '0' && slice.data[i] <= '9'; i++)
		n = n * 10 + (uint64_t)(slice.data[i] - '0');
	return n;
}

static inline void kit_files_raise(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

#endif
