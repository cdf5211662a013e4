/* label: unit
 * Requests and answers over real sockets: keep-alive, pipelining, bodies, limits, listening. */
#include "http/testkit.h"

#include "http/internal.h"

/* ---- the app ---- */

struct list_source {
	struct cu_http_source source;
	unsigned at, count;
	bool fails;
};

static _Atomic int sources_open;

static int list_next(struct cu_http_source *source, struct cu_http_piece *ret_piece)
{
	struct list_source *list = CU_CONTAINER_OF(source, struct list_source, source);

	if (list->at == list->count)
		return list->fails ? CU_EIO : 0;
	list->at++;
	ret_piece->data = "0123456789";
	ret_piece->len = 10;
	return 1;
}

static void list_close(struct cu_http_source *source)
{
	sources_open--;
	free(CU_CONTAINER_OF(source, struct list_source, source));
}

static void respond_list(cu_http_request *req, unsigned count, uint64_t length, bool fails)
{
	struct list_source *list = cu_xzalloc(sizeof *list);
	struct cu_http_response response = kit_response(200, NULL);

	sources_open++;
	list->source = (struct cu_http_source){ .next = list_next, .close = list_close, .length = length };
	list->count = count;
	list->fails = fails;
	response.source = &list->source;
	cu_http_respond(req, &response);
}

/* "[", a file range, "]" */
struct file_source {
	struct cu_http_source source;
	int fd;
	off_t at, end;
	int step;
};

static _Atomic size_t file_size;
static int file_fd = -1;

static int file_next(struct cu_http_source *source, struct cu_http_piece *ret_piece)
{
	struct file_source *file = CU_CONTAINER_OF(source, struct file_source, source);

	switch (file->step++) {
	case 0:
	case 2:
		ret_piece->data = file->step == 1 ? "[" : "]";
		ret_piece->len = 1;
		return 1;
	case 1:
		ret_piece->fd = file->fd;
		ret_piece->offset = file->at;
		ret_piece->len = (size_t)(file->end - file->at);
		return 1;
	default: return 0;
	}
}

static void file_close(struct cu_http_source *source)
{
	sources_open--;
	free(CU_CONTAINER_OF(source, struct file_source, source));
}

static void respond_file(cu_http_request *req, uint64_t extra, bool known)
{
	struct file_source *file = cu_xzalloc(sizeof *file);
	struct cu_http_response response = kit_response(200, NULL);

	sources_open++;
	file->source = (struct cu_http_source){ .next = file_next,
						.close = file_close,
						.length = known ? file_size + extra + 2 : CU_HTTP_LENGTH_UNKNOWN };
	file->fd = file_fd;
	file->end = (off_t)(file_size + extra);
	response.source = &file->source;
	cu_http_respond(req, &response);
}

static void respond_echo(cu_http_request *req)
{
	static const char *const methods[] = { "GET", "HEAD", "OPTIONS", "POST", "DELETE", "OTHER" };
	struct cu_http_slice path = cu_http_request_path(req), query = cu_http_request_query(req);
	struct cu_http_slice body = cu_http_request_body(req), header = cu_http_request_header(req, "x-test");
	char peer[CU_HTTP_PEER_TEXT_MAX];
	cu_buf buf = CU_BUF_INIT;

	cu_http_request_peer(req, peer);
	cu_buf_printf(&buf, "%s %.*s ?%.*s t=%.*s body=%.*s from %s", methods[cu_http_request_method(req)],
		      (int)path.len, path.data, (int)query.len, query.data ? query.data : "", (int)header.len,
		      header.data ? header.data : "", (int)body.len, body.data ? body.data : "", peer);
	kit_respond(req, 200, cu_buf_str(&buf));
	cu_buf_fini(&buf);
}

struct job {
	cu_http_ticket ticket;
	bool wanted; /* deferred while it is */
	_Atomic bool go;
	_Atomic bool ran, was_null, gone;
};
static struct job *job_now;

static void job_done(cu_http_request *req, void *arg)
{
	struct job *job = arg;

	job->was_null = req == NULL;
	if (req) {
		struct cu_http_slice path = cu_http_request_path(req); /* still there */

		assert_true(kit_is(path, "/defer"));
		kit_respond(req, 200, "deferred");
	}
	job->ran = true;
}

static void job_gone(void *app)
{
	((struct job *)app)->gone = true;
}

static const struct cu_http_waiter_ops job_ops = { .on_gone = job_gone };

static void *job_main(void *arg)
{
	struct job *job = arg;

	kit_until(job->go);
	cu_http_post(job->ticket, job_done, job);
	return NULL;
}

static void on_request(void *ctx, cu_http_request *req)
{
	struct cu_http_slice path = cu_http_request_path(req);
	uint64_t n = kit_number(cu_http_request_query(req), 3);

	(void)ctx;
	if (kit_is(path, "/hello")) {
		kit_respond(req, 200, "hello");
	} else if (kit_is(path, "/204") || kit_is(path, "/304")) {
		kit_respond(req, kit_is(path, "/204") ? 204 : 304, "dropped");
	} else if (kit_is(path, "/chunked")) {
		respond_list(req, (unsigned)n, CU_HTTP_LENGTH_UNKNOWN, false);
	} else if (kit_is(path, "/known")) {
		respond_list(req, (unsigned)n, n * 10, false);
	} else if (kit_is(path, "/short")) {
		respond_list(req, (unsigned)n, n * 10 + 1, false);
	} else if (kit_is(path, "/fails")) {
		respond_list(req, (unsigned)n, CU_HTTP_LENGTH_UNKNOWN, true);
	} else if (kit_is(path, "/file")) {
		respond_file(req, 0, true);
	} else if (kit_is(path, "/file-chunked")) {
		respond_file(req, 0, false);
	} else if (kit_is(path, "/file-truncated")) {
		respond_file(req, 10, true);
	} else if (kit_is(path, "/close")) {
		struct cu_http_response response = kit_response(200, NULL);

		response.close = true;
		cu_http_respond(req, &response);
	} else if (kit_is(path, "/abort")) {
		cu_http_abort(req);
	} else if (kit_is(path, "/defer")) {
		pthread_t thread;

		job_now->ticket = job_now->wanted ? cu_http_request_defer_while_wanted(req, &job_ops, job_now)
						  : cu_http_request_defer(req);
		assert_int_equal(pthread_create(&thread, NULL, job_main, job_now), 0);
		pthread_detach(thread);
	} else {
		respond_echo(req);
	}
}

static cu_http_server *start(struct cu_http_opts opts)
{
	cu_http_server *server = NULL;

	opts.host = "127.0.0.1";
	opts.handlers.on_request = on_request;
	if (!opts.loops)
		opts.loops = 2;
	assert_int_equal(cu_http_server_start(&opts, &server), 0);
	return server;
}

static uint64_t connections(cu_http_server *server)
{
	struct cu_http_stats stats;

	cu_http_server_stats(server, &stats);
	return stats.connections;
}

/* ---- tests ---- */

static void keep_alive_serves_many_requests_on_one_connection(void **state)
{
	cu_http_server *server = start((struct cu_http_opts){ 0 });
	struct kit_client client;
	struct cu_http_stats stats;

	(void)state;
	kit_connect(&client, cu_http_server_port(server));
	for (int i = 0; i < 100; i++) {
		struct kit_reply reply;

		kit_get(&client, "/hello");
		assert_true(kit_read(&client, &reply, false));
		assert_int_equal(reply.status, 200);
		assert_string_equal(cu_buf_str(&reply.body), "hello");
		assert_string_equal(kit_header(&reply, "content-length"), "5");
		assert_string_equal(kit_header(&reply, "content-type"), "text/plain");
		assert_int_equal(strlen(kit_header(&reply, "date")), 29);
		assert_null(kit_header(&reply, "connection"));
		kit_reply_fini(&reply);
	}
	cu_http_server_stats(server, &stats);
	assert_int_equal(stats.requests, 100);
	assert_int_equal(stats.accepted, 1);
	kit_close(&client);
	cu_http_server_free(&server);
}

static void a_request_reaches_the_app_whole(void **state)
{
	cu_http_server *server = start((struct cu_http_opts){ 0 });
	struct kit_client client;

	(void)state;
	kit_connect(&client, cu_http_server_port(server));
	kit_send(&client, "POST /p%20q?a=b&c HTTP/1.1\r\nHost: t\r\nX-TEST: v \r\nContent-Length: 4\r\n\r\nbody");
	kit_expect(&client, 200, "POST /p%20q ?a=b&c t=v body=body from 127.0.0.1");
	kit_send(&client, "DELETE / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n0\r\n\r\n");
	kit_expect(&client, 200, "DELETE / ? t= body=xy from 127.0.0.1");
	kit_send(&client, "PUT / HTTP/1.1\r\nHost: t\r\n\r\n");
	kit_expect(&client, 200, "OTHER / ? t= body= from 127.0.0.1");
	kit_close(&client);
	cu_http_server_free(&server);
}

static void a_request_may_come_byte_by_byte(void **state)
{
	const char *text = "POST /x HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nbody";
	cu_http_server *server = start((struct cu_http_opts){ 0 });
	struct kit_client client;
	int on = 1;

	(void)state;
	kit_connect(&client, cu_http_server_port(server));
	setsockopt(client.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	for (const char *at = text; *at; at++)
		kit_send_bytes(&client, at, 1);
	kit_expect(&client, 200, "POST /x ? t= body=body from 127.0.0.1");
	kit_close(&client);
	cu_http_server_free(&server);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
	cu_http_server *server = start((struct cu_http_opts){ 0 });
	struct kit_client client;
	cu_buf buf = CU_BUF_INIT;

	(void)state;
	/* More than CU_HTTP_REQUESTS_SLICE, and more than one recv() takes. */
	for (int i = 0; i < 4000; i++)
		cu_buf_printf(&buf, "GET /%s?%d HTTP/1.1\r\nhost: t\r\n\r\n", i % 7 ? "e" : "known", i);
	kit_connect(&client, cu_http_server_port(server));
	kit_send_bytes(&client, buf.data, buf.len);
	for (int i = 0; i < 4000; i++) {
		char text[64];
		struct kit_reply reply;

		assert_true(kit_read(&client, &reply, false));
		if (i % 7) {
			snprintf(text, sizeof text, "GET /e ?%d t= body= from 127.0.0.1", i);
			assert_string_equal(cu_buf_str(&reply.body), text);
		} else {
			assert_int_equal(reply.body.len, i * 10);
		}
		kit_reply_fini(&reply);
	}
	kit_close(&client);
	cu_buf_fini(&buf);
	cu_http_server_free(&server);
}

static void head_has_the_length_and_no_body(void **state)
{
	cu_http_server *server = start((struct cu_http_opts){ 0 });
	static const struct {
		const char *target, *length;
	} rows[] = { { "/hello", "5" }, { "/known?4", "40" }, { "/file", NULL }, { "/chunked", NULL } };
	struct kit_client client;

	(void)state;
	kit_connect(&client, cu_http_server_port(server));
	for (size_t i = 0; i < CU_ARRAY_LEN(rows); i++) {
		struct kit_reply reply;
		cu_buf buf = CU_BUF_INIT;

		cu_buf_printf(&buf, "HEAD %s HTTP/1.1\r\nhost: t\r\n\r\n", rows[i].target);
		kit_send_bytes(&client, buf.data, buf.len);
		assert_true(kit_read(&client, &reply, true));
		assert_int_equal(client.in.len, 0);
		if (rows[i].length)
			assert_string_equal(kit_header(&reply, "content-length"), rows[i].length);
		kit_reply_fini(&reply);
		cu_buf_fini(&buf);
	}
	kit_get(&client, "/hello"); /* and the connection is still in step */
	kit_expect(&client, 200, "hello");
	kit_until(sources_open == 0);
	kit_close(&client);
	cu_http_server_free(&server);
}

static void statuses_without_body_have_neither_body_nor_length(void **state)
{
	cu_http_server *server = start((struct cu_http_opts){ 0 });
	struct kit_client client;

	(void)state;
	kit_connect(&client, cu_http_server_port(server));
	for (int i = 0; i < 2; i++) {
		struct kit_reply reply;

		kit_get(&client, i ? "/304" : "/204");
		assert_true(kit_read(&client, &reply, true));
		assert_int_equal(reply.status, i ? 304 : 204);
		assert_null(kit_header(&reply, "content-length"));
		assert_null(kit_header(&reply, "transfer-encoding"));
		kit_reply_fini(&reply);
	}
	kit_get(&client, "/hello");
	kit_expect(&client, 200, "hello");
	kit_close(&client);
	cu_http_server_free(&server);
}

static void pulled_bodies_arrive_whole(void **state)
{
	cu_http_server *server = start((struct cu_http_opts){ 0 });
	static const char *const targets[] = { "/chunked?0", "/chunked?1", "/chunked?50000",
					       "/known?0",   "/known?1",   "/known?50000" };
	struct kit_client client;

	(void)state;
	kit_connect(&client, cu_http_server_port(server));
	for (size_t i = 0; i < CU_ARRAY_LEN(targets); i++) {
		uint64_t n = strtoul(strchr(targets[i], '?') + 1, NULL, 10);
		struct kit_reply reply;

		kit_get(&client, targets[i]);
		assert_true(kit_read(&client, &reply, false));
		assert_int_equal(reply.chunked, i < 3);
		assert_int_equal(reply.body.len, n * 10);
		for (size_t at = 0; at < reply.body.len; at++)
			assert_int_equal(reply.body.data[at], '0' + (char)(at % 10));
		kit_reply_fini(&reply);
	}
	kit_until(sources_open == 0);
	kit_close(&client);
	cu_http_server_free(&server);
}

static void a_body_that_fails_is_cut_off_visibly(void **state)
{
	cu_http_server *server = start((struct cu_http_opts){ 0 });
	static const char *const targets[] = { "/short", "/fails", "/file-truncated" };

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(targets); i++) {
		struct kit_client client;
		struct kit_reply reply;

		kit_connect(&client, cu_http_server_port(server));
		kit_get(&client, targets[i]);
		assert_false(kit_read(&client, &reply, false));
		kit_reply_fini(&reply);
		kit_close(&client);
	}
	kit_until(sources_open == 0 && connections(server) == 0);
	cu_http_server_free(&server);
}

static void http10_gets_its_connection_handling(void **state)
{
	cu_http_server *server = start((struct cu_http_opts){ 0 });
	struct kit_client client;
	struct kit_reply reply;

	(void)state;
	kit_connect(&client, cu_http_server_port(server));
	kit_send(&client, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	assert_true(kit_read(&client, &reply, false));
	assert_string_equal(kit_header(&reply, "connection"), "keep-alive");
	kit_reply_fini(&reply);
	kit_send(&client, "GET /chunked?2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"); /* until the end */
	assert_true(kit_read(&client, &reply, false));
	assert_false(reply.chunked);
	assert_string_equal(kit_header(&reply, "connection"), "close");
	assert_string_equal(cu_buf_str(&reply.body), "01234567890123456789");
	kit_reply_fini(&reply);
	kit_close(&client);

	kit_connect(&client, cu_http_server_port(server));
	kit_send(&client, "GET /hello HTTP/1.0\r\n\r\n");
	kit_expect(&client, 200, "hello");
	kit_expect_end(&client);
	kit_close(&client);
	cu_http_server_free(&server);
}

static void connections_close_when_either_side_asks(void **state)
{
	cu_http_server *server = start((struct cu_http_opts){ 0 });
	struct kit_client client;

	(void)state;
	kit_connect(&client, cu_http_server_port(server));
	kit_send(&client, "GET /hello HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n");
	kit_expect(&client, 200, "hello");
	kit_expect_end(&client);
	kit_close(&client);
	kit_connect(&client, cu_http_server_port(server));
	kit_get(&client, "/close");
	kit_expect(&client, 200, "");
	kit_expect_end(&client);
	kit_close(&client);
	kit_connect(&client, cu_http_server_port(server));
	kit_get(&client, "/abort");
	kit_expect_end(&client);
	kit_close(&client);
	/* A peer that has sent all and half-closes still gets its answers. */
	kit_connect(&client, cu_http_server_port(server));
	kit_get(&client, "/hello");
	kit_get(&client, "/known?5000");
	shutdown(client.fd, SHUT_WR);
	kit_expect(&client, 200, "hello");
	kit_expect(&client, 200, NULL);
	kit_expect_end(&client);
	kit_close(&client);
	kit_until(connections(server) == 0);
	cu_http_server_free(&server);
}

static void the_servers_own_answers_say_why(void **state)
{
	cu_http_server *server = start((struct cu_http_opts){ .url_max = 20, .headers_max = 60, .body_max = 10 });
	static const struct {
		const char *text;
		int status;
	} rows[] = {
		{ "GET /01234567890123456789 HTTP/1.1\r\n", 414 },
		{ "GET / HTTP/1.1\r\na: 0123456789012345678901234567890123456789012345678901234567890123456789\r\n",
		  431 },
		{ "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 11\r\n\r\n", 413 },
		{ "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400 },
		{ "rubbish\r\n\r\n", 400 },
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(rows); i++) {
		struct kit_client client;
		struct kit_reply reply;

		kit_connect(&client, cu_http_server_port(server));
		kit_send(&client, rows[i].text);
		assert_true(kit_read(&client, &reply, false));
		assert_int_equal(reply.status, rows[i].status);
		assert_string_equal(kit_header(&reply, "cache-control"), "no-store");
		assert_string_equal(kit_header(&reply, "content-type"), "application/json; charset=utf-8");
		assert_string_equal(kit_header(&reply, "connection"), "close");
		assert_memory_equal(cu_buf_str(&reply.body), "{\"message\":\"", 12);
		kit_reply_fini(&reply);
		kit_expect_end(&client);
		kit_close(&client);
	}
	cu_http_server_free(&server);
}

static void a_refused_upload_can_still_read_its_answer(void **state)
{
	cu_http_server *server = start((struct cu_http_opts){ .body_max = 10 });
	struct kit_client client;
	char *junk = cu_xzalloc(1 << 20);

	(void)state;
	kit_connect(&client, cu_http_server_port(server));
	kit_send(&client, "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 4194304\r\n\r\n");
	for (int i = 0; i < 4; i++)
		kit_send_bytes(&client, junk, 1 << 20);
	kit_expect(&client, 413, NULL);
	kit_close(&client);
	free(junk);
	cu_http_server_free(&server);
}

static void expect_continue_is_answered(void **state)
{
	cu_http_server *server = start((struct cu_http_opts){ 0 });
	struct kit_client client;
	struct kit_reply reply;

	(void)state;
	kit_connect(&client, cu_http_server_port(server));
	kit_send(&client, "POST /e HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n");
	assert_true(kit_read(&client, &reply, true));
	assert_int_equal(reply.status, 100);
	kit_reply_fini(&reply);
	kit_send(&client, "hi");
	kit_expect(&client, 200, "POST /e ? t= body=hi from 127.0.0.1");
	kit_close(&client);
	cu_http_server_free(&server);
}

static void deadlines_end_slow_and_idle_clients(void **state)
{
	cu_http_server *server =
		start((struct cu_http_opts){ .header_deadline_ms = 60, .body_deadline_ms = 80, .idle_ms = 1000 });
	struct kit_client client;
	uint64_t start_ms;

	(void)state;
	/* A header that drips in: absolute, so each byte does not help. */
	kit_connect(&client, cu_http_server_port(server));
	kit_send(&client, "GET /hello HTTP/1.1\r\na: ");
	start_ms = cu_now_ms();
	for (;;) {
		struct pollfd pfd = { client.fd, POLLIN, 0 };

		if (send(client.fd, "G", 1, MSG_NOSIGNAL) != 1 || poll(&pfd, 1, 5) == 1)
			break;
		if (cu_now_ms() - start_ms > KIT_DEADLINE_MS)
			fail_msg("never cut off");
	}
	kit_expect(&client, 408, "{\"message\":\"Request timeout\"}");
	kit_close(&client);

	kit_connect(&client, cu_http_server_port(server));
	kit_send(&client, "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 3\r\n\r\nab");
	kit_expect(&client, 408, NULL);
	kit_close(&client);

	start_ms = cu_now_ms();
	kit_connect(&client, cu_http_server_port(server));
	kit_expect_end(&client); /* never sent anything: closed without a word */
	assert_true(cu_now_ms() - start_ms >= 950);
	kit_close(&client);

	kit_connect(&client, cu_http_server_port(server));
	kit_get(&client, "/hello");
	kit_expect(&client, 200, "hello");
	kit_expect_end(&client);
	kit_close(&client);
	cu_http_server_free(&server);
}

static void a_peer_that_reads_nothing_is_cut_off(void **state)
{
	cu_http_server *server = start((struct cu_http_opts){ .send_stall_ms = 100 });
	struct kit_client client;

	(void)state;
	kit_connect_rcvbuf(&client, cu_http_server_port(server), 4096);
	kit_get(&client, "/known?1000000");
	kit_until(connections(server) == 1);
	kit_until(connections(server) == 0 && sources_open == 0);
	kit_close(&client);
	cu_http_server_free(&server);
}

static uint64_t status_kb(const char *field)
{
	FILE *file = fopen("/proc/self/status", "r");
	char line[256];
	uint64_t kb = 0;

	while (file && fgets(line, sizeof line, file)) {
		if (!strncmp(line, field, strlen(field)))
			kb = strtoul(line + strlen(field) + 1, NULL, 10);
	}
	if (file)
		fclose(file);
	return kb;
}

static void a_large_file_goes_to_a_slow_reader_in_bounded_memory(void **state)
{
	cu_http_server *server = start((struct cu_http_opts){ 0 });
	size_t got = 0, total = file_size + 2;
	char *buf = cu_xmalloc(65536);
	struct kit_client client;
	struct kit_reply reply;
	uint64_t before_kb, most_kb = 0;
	bool body = false;

	(void)state;
	kit_connect_rcvbuf(&client, cu_http_server_port(server), 16384);
	kit_get(&client, "/file");
	before_kb = status_kb("RssAnon:");
	while (got < total) {
		ssize_t n = recv(client.fd, buf, body ? 65536 : 1000, 0);
		const char *at = buf;

		assert_true(n > 0);
		if (!body) {
			char *end = memmem(buf, (size_t)n, "\r\n\r\n", 4);

			assert_non_null(end);
			n -= end + 4 - buf;
			at = end + 4;
			body = true;
		}
		for (ssize_t i = 0; i < n; i += 997) {
			size_t pos = got + (size_t)i;

			assert_int_equal(at[i], pos == 0 ? '[' : pos == total - 1 ? ']' : 'f');
		}
		got += (size_t)n;
		if (got % (8u << 20) < 65536)
			most_kb = CU_MAX(most_kb, status_kb("RssAnon:"));
	}
	assert_int_equal(got, total);
	assert_true(most_kb < before_kb + 4096);
	free(buf);

	kit_get(&client, "/file-chunked"); /* a range may be a chunk as well */
	assert_true(kit_read(&client, &reply, false));
	assert_true(reply.chunked);
	assert_int_equal(reply.body.len, total);
	kit_reply_fini(&reply);
	kit_close(&client);
	kit_until(sources_open == 0);
	cu_http_server_free(&server);
}

static void a_deferred_request_is_answered_from_another_thread(void **state)
{
	cu_http_server *server = start((struct cu_http_opts){ 0 });
	struct job job = { .go = false };
	struct kit_client client;

	(void)state;
	job_now = &job;
	kit_connect(&client, cu_http_server_port(server));
	kit_get(&client, "/defer");
	kit_get(&client, "/hello"); /* waits for its turn */
	job.go = true;
	kit_expect(&client, 200, "deferred");
	kit_expect(&client, 200, "hello");
	kit_until(job.ran);
	assert_false(job.was_null);

	/* The ticket is stale now. */
	job.ran = false;
	cu_http_post(job.ticket, job_done, &job);
	kit_until(job.ran);
	assert_true(job.was_null);
	kit_close(&client);
	cu_http_server_free(&server);
}

static void a_deferred_request_of_a_client_that_went_away_gets_null(void **state)
{
	cu_http_server *server = start((struct cu_http_opts){ 0 });
	struct linger hard = { 1, 0 };
	struct job job = { .go = false };
	struct kit_client client;
	struct cu_http_stats stats;

	(void)state;
	job_now = &job;
	kit_connect(&client, cu_http_server_port(server));
	kit_get(&client, "/defer");
	kit_until((cu_http_server_stats(server, &stats), stats.requests == 1));
	setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard); /* reset */
	kit_close(&client);
	kit_until(connections(server) == 0);
	job.go = true;
	kit_until(job.ran);
	assert_true(job.was_null);

	/* One that only half-closes gets its answer, unless that costs much: then it is told at once that nobody wants it. */
	job = (struct job){ .wanted = true };
	kit_connect(&client, cu_http_server_port(server));
	kit_get(&client, "/defer");
	kit_until((cu_http_server_stats(server, &stats), stats.requests == 2));
	shutdown(client.fd, SHUT_WR);
	kit_until(job.gone);
	assert_false(job.ran);
	job.go = true;
	kit_until(job.ran);
	assert_true(job.was_null);
	kit_close(&client);

	job = (struct job){ .go = false };
	kit_connect(&client, cu_http_server_port(server));
	kit_get(&client, "/defer");
	shutdown(client.fd, SHUT_WR);
	job.go = true;
	kit_expect(&client, 200, "deferred");
	kit_expect_end(&client);
	kit_close(&client);
	kit_until(job.ran);
	cu_http_server_free(&server);
}

static void a_taken_port_is_busy(void **state)
{
	cu_http_server *server = start((struct cu_http_opts){ 0 }), *second = NULL;
	struct cu_http_opts opts = { .host = "127.0.0.1",
				     .port = cu_http_server_port(server),
				     .loops = 1,
				     .handlers = { .on_request = on_request } };

	(void)state;
	assert_int_equal(cu_http_server_start(&opts, &second), CU_EBUSY);
	opts.host = NULL; /* every address: includes the taken one */
	assert_int_equal(cu_http_server_start(&opts, &second), CU_EBUSY);
	cu_http_server_free(&server);
	opts.host = "127.0.0.1";
	assert_int_equal(cu_http_server_start(&opts, &second), 0); /* free again at once */
	assert_int_equal(cu_http_server_port(second), opts.port);
	cu_http_server_free(&second);
	opts.host = "localhost";
	assert_int_equal(cu_http_server_start(&opts, &second), CU_EINVAL);
	opts.host = "192.0.2.1"; /* not ours */
	assert_int_equal(cu_http_server_start(&opts, &second), CU_EIO);
	assert_null(second);
}

static void the_default_address_serves_ipv4_clients(void **state)
{
	struct cu_http_opts opts = { .loops = 1, .handlers = { .on_request = on_request } };
	cu_http_server *server = NULL;
	struct kit_client client;

	(void)state;
	assert_int_equal(cu_http_server_start(&opts, &server), 0);
	kit_connect(&client, cu_http_server_port(server));
	kit_get(&client, "/e");
	kit_expect(&client, 200, "GET /e ? t= body= from 127.0.0.1");
	kit_close(&client);
	cu_http_server_free(&server);
}

static void connections_over_the_limit_get_503(void **state)
{
	cu_http_server *server = start((struct cu_http_opts){ .connections_max = 3 });
	struct kit_client clients[4];

	(void)state;
	for (int i = 0; i < 3; i++) {
		kit_connect(&clients[i], cu_http_server_port(server));
		kit_get(&clients[i], "/hello");
		kit_expect(&clients[i], 200, "hello");
	}
	kit_connect(&clients[3], cu_http_server_port(server));
	kit_expect(&clients[3], 503, "{\"message\":\"Too many connections\"}");
	kit_close(&clients[3]);
	kit_close(&clients[0]);
	kit_until(connections(server) == 2);
	kit_connect(&clients[0], cu_http_server_port(server));
	kit_get(&clients[0], "/hello");
	kit_expect(&clients[0], 200, "hello");
	for (int i = 0; i < 3; i++)
		kit_close(&clients[i]);
	cu_http_server_free(&server);
}

static void out_of_descriptors_clients_wait_and_are_served_later(void **state)
{
	cu_http_server *server = start((struct cu_http_opts){ .loops = 1, .connections_max = 100 });
	struct rlimit before, low;
	struct kit_client client;
	struct cu_http_stats stats;
	int lowest;

	(void)state;
	kit_connect(&client, cu_http_server_port(server));
	kit_get(&client, "/hello");
	kit_expect(&client, 200, "hello");
	kit_close(&client);
	kit_until(connections(server) == 0);
	/* The client's socket takes the last descriptor that the lowered limit allows. */
	lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);
	close(lowest);
	getrlimit(RLIMIT_NOFILE, &before);
	low = before;
	low.rlim_cur = (rlim_t)lowest + 1;
	setrlimit(RLIMIT_NOFILE, &low);
	kit_connect(&client, cu_http_server_port(server));
	assert_int_equal(client.fd, lowest);
	kit_get(&client, "/hello");
	cu_http_server_stats(server, &stats);
	assert_int_equal(stats.accepted, 1);
	setrlimit(RLIMIT_NOFILE, &before);
	kit_expect(&client, 200, "hello");
	kit_close(&client);
	cu_http_server_free(&server);
}

static void a_connection_costs_little(void **state)
{
	(void)state;
	print_message("sizeof connection %zu (uv_poll_t %zu), slot %zu, key %zu\n", sizeof(struct cu_http_request),
		      sizeof(uv_poll_t), sizeof(struct http_slot), sizeof(struct http_key));
	assert_true(sizeof(struct cu_http_request) <= 336);
	assert_true(sizeof(struct http_slot) <= 16);
}

static int file_make(void **state)
{
	char name[] = "/tmp/cu_http_test_XXXXXX";
	char *block = cu_xmalloc(1 << 20);

	(void)state;
	memset(block, 'f', 1 << 20);
	file_fd = mkostemp(name, O_CLOEXEC);
	assert_true(file_fd >= 0);
	unlink(name);
	for (int i = 0; i < 100; i++)
		assert_int_equal(write(file_fd, block, 1 << 20), 1 << 20);
	file_size = 100u << 20;
	free(block);
	return 0;
}

static int file_drop(void **state)
{
	(void)state;
	close(file_fd);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keep_alive_serves_many_requests_on_one_connection),
		cmocka_unit_test(a_request_reaches_the_app_whole),
		cmocka_unit_test(a_request_may_come_byte_by_byte),
		cmocka_unit_test(pipelined_requests_are_answered_in_order),
		cmocka_unit_test(head_has_the_length_and_no_body),
		cmocka_unit_test(statuses_without_body_have_neither_body_nor_length),
		cmocka_unit_test(pulled_bodies_arrive_whole),
		cmocka_unit_test(a_body_that_fails_is_cut_off_visibly),
		cmocka_unit_test(http10_gets_its_connection_handling),
		cmocka_unit_test(connections_close_when_either_side_asks),
		cmocka_unit_test(the_servers_own_answers_say_why),
		cmocka_unit_test(a_refused_upload_can_still_read_its_answer),
		cmocka_unit_test(expect_continue_is_answered),
		cmocka_unit_test(deadlines_end_slow_and_idle_clients),
		cmocka_unit_test(a_peer_that_reads_nothing_is_cut_off),
		cmocka_unit_test(a_large_file_goes_to_a_slow_reader_in_bounded_memory),
		cmocka_unit_test(a_deferred_request_is_answered_from_another_thread),
		cmocka_unit_test(a_deferred_request_of_a_client_that_went_away_gets_null),
		cmocka_unit_test(a_taken_port_is_busy),
		cmocka_unit_test(the_default_address_serves_ipv4_clients),
		cmocka_unit_test(connections_over_the_limit_get_503),
		cmocka_unit_test(out_of_descriptors_clients_wait_and_are_served_later),
		cmocka_unit_test(a_connection_costs_little),
	};

	return cmocka_run_group_tests(tests, file_make, file_drop);
}
