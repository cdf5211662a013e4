/* label: race
 * Relaying: a front server that passes every request on to an origin. */
#include "http/testkit.h"

#define KEY 1u
#define PIECE 65536u
#define BURSTS 100

struct app {
	cu_http_server *origin, *front;
	_Atomic uint16_t port; /* where the front relays to */
	_Atomic int gone, failed, closed, ticks;
	_Atomic uint64_t made; /* bytes of bodies that the origin was asked for */
	_Atomic bool deferred;
	cu_http_ticket later; /* once deferred */
};

/* ---- the origin ---- */

struct body {
	struct cu_http_source source;
	struct app *app;
	uint64_t left;
	int ticks;
	char data[PIECE];
};

static int body_next(struct cu_http_source *source, struct cu_http_piece *ret_piece)
{
	struct body *body = CU_CONTAINER_OF(source, struct body, source);
	size_t len = (size_t)CU_MIN(body->left, (uint64_t)PIECE);

	memset(body->data, 'a' + (int)(body->left / PIECE % 26), len);
	body->left -= len;
	body->app->made += len;
	*ret_piece = (struct cu_http_piece){ .data = body->data, .len = len };
	return len > 0;
}

static int ticks_next(struct cu_http_source *source, struct cu_http_piece *ret_piece)
{
	struct body *body = CU_CONTAINER_OF(source, struct body, source);

	if (body->ticks == atomic_load(&body->app->ticks)) {
		source->wait_key = KEY;
		source->wait_ms = 600000;
		return CU_HTTP_SOURCE_WAIT;
	}
	body->ticks++;
	*ret_piece = (struct cu_http_piece){ .data = "tick\n", .len = 5 };
	return 1;
}

static void body_close(struct cu_http_source *source)
{
	struct body *body = CU_CONTAINER_OF(source, struct body, source);

	body->app->closed++;
	free(body);
}

/* A piece as large as any per tick, until there have been BURSTS. */
static int bursts_next(struct cu_http_source *source, struct cu_http_piece *ret_piece)
{
	struct body *body = CU_CONTAINER_OF(source, struct body, source);

	if (body->ticks == BURSTS)
		return 0;
	if (ticks_next(source, ret_piece) == CU_HTTP_SOURCE_WAIT)
		return CU_HTTP_SOURCE_WAIT;
	memset(body->data, 'b', PIECE);
	*ret_piece = (struct cu_http_piece){ .data = body->data, .len = PIECE };
	return 1;
}

static void respond_source(struct app *app, cu_http_request *req, uint64_t left, struct cu_http_source source)
{
	struct cu_http_response response = kit_response(200, NULL);
	struct body *body = cu_xzalloc(sizeof *body);

	body->app = app;
	body->left = left;
	body->source = source;
	body->source.close = body_close;
	response.source = &body->source;
	cu_http_respond(req, &response);
}

static void respond_body(struct app *app, cu_http_request *req, uint64_t len, bool known)
{
	respond_source(app, req, len,
		       (struct cu_http_source){ .next = body_next, .length = known ? len : CU_HTTP_LENGTH_UNKNOWN });
}

static void respond_events(struct app *app, cu_http_request *req)
{
	static const char headers[] = "Content-Type: text/event-stream; charset=utf-8\r\n";
	struct cu_http_response response = { .status = 200, .headers = headers, .headers_len = sizeof headers - 1 };
	struct body *body = cu_xzalloc(sizeof *body);

	body->app = app;
	body->source = (struct cu_http_source){
		.next = ticks_next, .close = body_close, .length = CU_HTTP_LENGTH_UNKNOWN, .stream = true
	};
	response.source = &body->source;
	cu_http_respond(req, &response);
}

static void respond_later(cu_http_request *req, void *app)
{
	(void)app;
	if (req)
		kit_respond(req, 200, "later");
}

static void respond_stream(struct app *app, cu_http_request *req,
			   int (*next)(struct cu_http_source *source, struct cu_http_piece *ret_piece))
{
	respond_source(app, req, 0,
		       (struct cu_http_source){ .next = next, .length = CU_HTTP_LENGTH_UNKNOWN, .stream = true });
}

static void put_slice(cu_buf *out, const char *name, struct cu_http_slice slice)
{
	cu_buf_printf(out, "%s=%.*s;", name, (int)slice.len, slice.data ? slice.data : "");
}

static void echo(cu_http_request *req)
{
	static const char *const names[] = {
		"host", "x-a", "mark", "connection", "expect", "content-length", "transfer-encoding"
	};
	cu_buf out = CU_BUF_INIT;

	cu_buf_printf(&out, "%d;", (int)cu_http_request_method(req));
	put_slice(&out, "query", cu_http_request_query(req));
	for (size_t i = 0; i < CU_ARRAY_LEN(names); i++)
		put_slice(&out, names[i], cu_http_request_header(req, names[i]));
	put_slice(&out, "body", cu_http_request_body(req));
	kit_respond(req, 201, cu_buf_str(&out));
	cu_buf_fini(&out);
}

/* As that of a table of many columns, whose schema is a header. */
static void respond_large_head(cu_http_request *req, uint64_t len)
{
	cu_buf headers = CU_BUF_INIT;

	cu_buf_puts(&headers, "x-schema: ");
	for (uint64_t i = 0; i < len; i++)
		cu_buf_putc(&headers, (char)('a' + i % 26));
	cu_buf_puts(&headers, "\r\n");
	cu_http_respond(
		req, &(struct cu_http_response){ .status = 200, .headers = headers.data, .headers_len = headers.len });
	cu_buf_fini(&headers);
}

static void waiter_wake(cu_http_request *req, void *app)
{
	(void)app;
	kit_respond(req, 200, "woken");
}

static void waiter_end(cu_http_request *req, void *app)
{
	(void)app;
	kit_respond(req, 200, "ended");
}

static void waiter_gone(void *app)
{
	((struct app *)app)->gone++;
}

static const struct cu_http_waiter_ops waiter_ops = { waiter_wake, waiter_end, waiter_end, waiter_gone, NULL, false };

static void on_origin_request(void *ctx, cu_http_request *req)
{
	static const char empty[] = "x-empty: \r\nx-b: two  words\r\n";
	struct app *app = ctx;
	struct cu_http_slice path = cu_http_request_path(req);
	bool ours = kit_is(cu_http_request_header(req, "mark"), "relayed");
	uint64_t number = kit_number(cu_http_request_query(req), 0);

	if (ours && !kit_is(path, "/stranger"))
		cu_http_request_mark(req);
	if (kit_is(path, "/later")) {
		app->later = cu_http_request_defer(req);
		atomic_store(&app->deferred, true);
	} else if (kit_is(path, "/wait"))
		cu_http_park(req, KEY, 600000, &waiter_ops, app);
	else if (kit_is(path, "/length"))
		respond_body(app, req, number, true);
	else if (kit_is(path, "/chunks"))
		respond_body(app, req, number, false);
	else if (kit_is(path, "/ticks"))
		respond_stream(app, req, ticks_next);
	else if (kit_is(path, "/events"))
		respond_events(app, req);
	else if (kit_is(path, "/bursts"))
		respond_stream(app, req, bursts_next);
	else if (kit_is(path, "/head"))
		respond_large_head(req, number);
	else if (kit_is(path, "/status"))
		cu_http_respond(req, &(struct cu_http_response){ .status = (int)number,
								 .headers = empty,
								 .headers_len = sizeof empty - 1 });
	else
		echo(req);
}

/* ---- the front ---- */

static void on_failed(void *ctx, cu_http_request *req)
{
	struct app *app = ctx;

	app->failed++;
	kit_respond(req, 503, "failed");
}

static void on_front_request(void *ctx, cu_http_request *req)
{
	struct app *app = ctx;
	struct cu_http_relay relay = {
		.host = "127.0.0.1",
		.port = atomic_load(&app->port),
		.mark = "mark: relayed\r\n",
		.timeout_ms = 600000,
		.failed = on_failed,
		.ctx = app,
	};

	if (kit_is(cu_http_request_path(req), "/here"))
		kit_respond(req, 200, "here");
	else if (cu_http_relay(req, &relay) < 0)
		kit_respond(req, 503, "nobody");
}

static void app_start(struct app *app, struct cu_http_opts opts)
{
	struct cu_http_opts origin = { .host = "127.0.0.1", .loops = 2, .mark = "mark: relayed\r\n", .ctx = app };

	memset(app, 0, sizeof *app);
	origin.handlers.on_request = on_origin_request;
	assert_int_equal(cu_http_server_start(&origin, &app->origin), 0);
	atomic_store(&app->port, cu_http_server_port(app->origin));
	opts.host = "127.0.0.1";
	opts.handlers.on_request = on_front_request;
	opts.ctx = app;
	if (!opts.loops)
		opts.loops = 2;
	assert_int_equal(cu_http_server_start(&opts, &app->front), 0);
}

static void app_stop(struct app *app)
{
	cu_http_server_free(&app->front);
	cu_http_server_free(&app->origin);
}

static uint64_t parked(cu_http_server *server)
{
	struct cu_http_stats stats;

	cu_http_server_stats(server, &stats);
	return stats.parked;
}

static uint64_t connections(cu_http_server *server)
{
	struct cu_http_stats stats;

	cu_http_server_stats(server, &stats);
	return stats.connections;
}

static void connect_front(struct app *app, struct kit_client *client)
{
	kit_connect(client, cu_http_server_port(app->front));
}

/* So many keys that everybody is woken. */
static void wake_everybody(struct app *app)
{
	for (uint64_t key = 0; key < 2 * CU_HTTP_WAKE_KEYS_MAX; key++)
		cu_http_wake(app->front, 1000 + key, CU_HTTP_ALL_LOOPS);
}

/* ---- stories ---- */

static void without_date(struct kit_reply *reply)
{
	char *date = strstr(cu_buf_str(&reply->head), "\r\ndate: ");
	char *end = date ? strstr(date + 2, "\r\n") : NULL;

	assert_non_null(end);
	memmove(date, end, strlen(end) + 1);
}

static void answers_are_passed_on_as_they_are(void **state)
{
	static const char *const requests[] = {
		"GET /length?10",  "GET /length?1000000", "GET /chunks?70000",   "HEAD /length?10",
		"HEAD /chunks?10", "DELETE /length?3",    "OPTIONS /status?204", "GET /status?304",
		"GET /status?404", "GET /status?500",     "GET /head?200000",
	};
	struct kit_client front, origin;
	struct kit_reply ours, theirs;
	cu_buf text = CU_BUF_INIT;
	struct app app;

	(void)state;
	app_start(&app, (struct cu_http_opts){ 0 });
	connect_front(&app, &front);
	kit_connect(&origin, cu_http_server_port(app.origin));
	for (size_t i = 0; i < CU_ARRAY_LEN(requests); i++) {
		bool head = strncmp(requests[i], "HEAD", 4) == 0;

		cu_buf_clear(&text);
		cu_buf_printf(&text, "%s HTTP/1.1\r\nhost: t\r\nconnection: keep-alive\r\n\r\n", requests[i]);
		kit_send_bytes(&front, text.data, text.len);
		kit_send_bytes(&origin, text.data, text.len);
		assert_true(kit_read(&front, &theirs, head));
		assert_true(kit_read(&origin, &ours, head));
		without_date(&theirs);
		without_date(&ours);
		assert_string_equal(theirs.head.data, ours.head.data);
		assert_int_equal(theirs.body.len, ours.body.len);
		assert_true(!ours.body.len || !memcmp(theirs.body.data, ours.body.data, ours.body.len));
		kit_reply_fini(&ours);
		kit_reply_fini(&theirs);
	}
	kit_close(&front);
	kit_close(&origin);
	cu_buf_fini(&text);
	app_stop(&app);
}

static void a_request_arrives_as_it_was_sent(void **state)
{
	struct kit_client client;
	struct app app;

	(void)state;
	app_start(&app, (struct cu_http_opts){ 0 });
	connect_front(&app, &client);
	kit_send(&client, "POST /echo?a=%2F HTTP/1.1\r\nHost: t\r\nX-A:  b c \r\nConnection: Keep-Alive\r\nExpect: "
			  "100-continue\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
	kit_expect(&client, 201,
		   "3;query=a=%2F;host=t;x-a=b c;mark=relayed;connection=close;expect=;content-length=5;"
		   "transfer-encoding=;body=abcde;");
	kit_send(&client, "GET /echo HTTP/1.1\r\nhost: t\r\n\r\nGET /echo?2 HTTP/1.1\r\nhost: t\r\n\r\n");
	kit_expect(&client, 201,
		   "0;query=;host=t;x-a=;mark=relayed;connection=close;expect=;content-length=;"
		   "transfer-encoding=;body=;");
	kit_expect(&client, 201,
		   "0;query=2;host=t;x-a=;mark=relayed;connection=close;expect=;content-length=;"
		   "transfer-encoding=;body=;");
	kit_close(&client);
	connect_front(&app, &client);
	kit_send(&client, "GET /chunks?5 HTTP/1.0\r\n\r\n");
	kit_expect(&client, 200, "aaaaa");
	kit_expect_end(&client);
	kit_close(&client);
	app_stop(&app);
}

static void a_slow_client_holds_the_origin_back(void **state)
{
	const uint64_t len = 200u * 1024 * 1024, ahead_max = 32u * 1024 * 1024;
	struct kit_client client;
	struct kit_reply reply;
	uint64_t taken = 0;
	struct app app;

	(void)state;
	app_start(&app, (struct cu_http_opts){ 0 });
	kit_connect_rcvbuf(&client, cu_http_server_port(app.front), 16384);
	kit_get(&client, "/length?209715200");
	assert_true(kit_read(&client, &reply, true));
	while (taken < len) {
		taken += client.in.len;
		client.in.len = 0;
		/* Never more is under way than the sockets hold, however long we wait. */
		assert_true(atomic_load(&app.made) <= taken + ahead_max);
		if (taken < len)
			assert_true(kit_fill(&client));
	}
	assert_int_equal(taken, len);
	kit_reply_fini(&reply);
	kit_close(&client);
	app_stop(&app);
}

static void a_client_that_hangs_up_ends_the_other_side(void **state)
{
	struct kit_client client;
	struct kit_reply reply;
	struct app app;

	(void)state;
	app_start(&app, (struct cu_http_opts){ 0 });
	connect_front(&app, &client);
	kit_get(&client, "/wait");
	kit_until(parked(app.origin) == 1);
	kit_close(&client);
	kit_until(atomic_load(&app.gone) == 1);

	connect_front(&app, &client);
	kit_get(&client, "/ticks");
	assert_true(kit_read(&client, &reply, true));
	kit_until(parked(app.origin) == 1);
	kit_close(&client);
	kit_until(atomic_load(&app.closed) == 1);
	kit_until(connections(app.front) == 0);
	kit_reply_fini(&reply);
	app_stop(&app);
}

static void what_waits_is_answered_when_the_origin_answers(void **state)
{
	struct kit_client waiter, stream;
	struct kit_reply reply;
	struct app app;

	(void)state;
	app_start(&app, (struct cu_http_opts){ 0 });
	connect_front(&app, &waiter);
	kit_get(&waiter, "/wait");
	connect_front(&app, &stream);
	kit_get(&stream, "/ticks");
	assert_true(kit_read(&stream, &reply, true));
	kit_until(parked(app.origin) == 2 && parked(app.front) == 2);
	/* So many keys that nobody counts them any more: nothing has come for ours. */
	wake_everybody(&app);
	for (int tick = 1; tick <= 3; tick++) {
		app.ticks++;
		cu_http_wake(app.origin, KEY, CU_HTTP_ALL_LOOPS);
		while (stream.in.len < 10)
			assert_true(kit_fill(&stream));
		assert_memory_equal(stream.in.data, "5\r\ntick\n\r\n", 10);
		kit_eat(&stream, 10);
	}
	kit_expect(&waiter, 200, "woken");
	kit_reply_fini(&reply);
	kit_close(&waiter);
	kit_close(&stream);
	app_stop(&app);
}

/* Clients are woken for nothing at the very moment when something comes, and are full at once. */
static void wakes_meet_what_comes(void **state)
{
	struct kit_client clients[32];
	struct kit_reply reply;
	struct app app;

	(void)state;
	app_start(&app, (struct cu_http_opts){ .loops = 1 });
	for (size_t i = 0; i < CU_ARRAY_LEN(clients); i++) {
		kit_connect_rcvbuf(&clients[i], cu_http_server_port(app.front), 16384);
		kit_get(&clients[i], "/bursts");
	}
	kit_until(parked(app.front) == CU_ARRAY_LEN(clients));
	for (int tick = 0; tick < BURSTS; tick++) {
		app.ticks++;
		cu_http_wake(app.origin, KEY, CU_HTTP_ALL_LOOPS);
		wake_everybody(&app);
	}
	for (size_t i = 0; i < CU_ARRAY_LEN(clients); i++) {
		assert_true(kit_read(&clients[i], &reply, false));
		assert_int_equal(reply.body.len, BURSTS * PIECE);
		kit_reply_fini(&reply);
		kit_close(&clients[i]);
	}
	app_stop(&app);
}

static void nobody_there_is_told_at_once_or_in_time(void **state)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int full = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fillers[4];
	struct kit_client client;
	socklen_t len = sizeof addr;
	struct app app;

	(void)state;
	app_start(&app, (struct cu_http_opts){ 0 });
	/* A port that listens, and takes nobody any more. */
	assert_int_equal(bind(full, (struct sockaddr *)&addr, sizeof addr), 0);
	assert_int_equal(getsockname(full, (struct sockaddr *)&addr, &len), 0);
	atomic_store(&app.port, ntohs(addr.sin_port));
	connect_front(&app, &client);
	kit_get(&client, "/echo");
	kit_expect(&client, 503, NULL); /* refused */
	assert_int_equal(listen(full, 0), 0);
	for (size_t i = 0; i < CU_ARRAY_LEN(fillers); i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		connect(fillers[i], (struct sockaddr *)&addr, sizeof addr);
	}
	kit_get(&client, "/echo");
	kit_expect(&client, 503, "failed");
	kit_get(&client, "/here");
	kit_expect(&client, 200, "here");
	for (size_t i = 0; i < CU_ARRAY_LEN(fillers); i++)
		close(fillers[i]);
	close(full);
	kit_close(&client);
	app_stop(&app);
}

static void the_answer_of_a_stranger_is_none(void **state)
{
	struct kit_client client;
	struct app app;

	(void)state;
	app_start(&app, (struct cu_http_opts){ 0 });
	connect_front(&app, &client);
	for (int i = 0; i < 3; i++) {
		kit_get(&client, "/stranger");
		kit_expect(&client, 503, "failed");
		kit_get(&client, "/echo");
		kit_expect(&client, 201, NULL);
	}
	kit_close(&client);
	app_stop(&app);
}

static void relayed_requests_count_as_connections(void **state)
{
	struct kit_client one, other;
	struct app app;

	(void)state;
	app_start(&app, (struct cu_http_opts){ .connections_max = 3 });
	connect_front(&app, &one);
	kit_get(&one, "/wait");
	kit_until(connections(app.front) == 2 && parked(app.origin) == 1);
	connect_front(&app, &other);
	kit_get(&other, "/echo");
	kit_expect(&other, 503, "nobody");
	cu_http_wake(app.origin, KEY, CU_HTTP_ALL_LOOPS);
	kit_expect(&one, 200, "woken");
	kit_until(connections(app.front) == 2);
	kit_get(&other, "/echo");
	kit_expect(&other, 201, NULL);
	kit_close(&one);
	kit_close(&other);
	app_stop(&app);
}

static void *drain_main(void *arg)
{
	struct app *app = arg;

	cu_http_server_drain(app->front, KIT_DEADLINE_MS);
	return NULL;
}

static void draining_ends_what_waits_and_lets_bodies_go_on(void **state)
{
	struct kit_client waiter, events, bursts;
	struct kit_reply reply;
	pthread_t thread;
	struct app app;

	(void)state;
	app_start(&app, (struct cu_http_opts){ 0 });
	connect_front(&app, &waiter);
	kit_get(&waiter, "/wait");
	connect_front(&app, &events);
	kit_get(&events, "/events");
	connect_front(&app, &bursts);
	kit_get(&bursts, "/bursts");
	kit_until(parked(app.origin) == 3 && parked(app.front) == 3);
	assert_int_equal(pthread_create(&thread, NULL, drain_main, &app), 0);
	kit_expect(&waiter, 503, "failed");
	kit_expect(&events, 200, "");
	kit_until(atomic_load(&app.gone) == 1 && atomic_load(&app.closed) == 1);
	app.ticks += BURSTS;
	cu_http_wake(app.origin, KEY, CU_HTTP_ALL_LOOPS);
	assert_true(kit_read(&bursts, &reply, false));
	assert_int_equal(reply.body.len, BURSTS * PIECE);
	kit_reply_fini(&reply);
	kit_expect_end(&bursts);
	kit_close(&waiter);
	kit_close(&events);
	kit_close(&bursts);
	pthread_join(thread, NULL);
	app_stop(&app);
}

static void the_end_of_the_grace_cuts_bodies_off(void **state)
{
	static const char *const requests[] = { "GET /ticks HTTP/1.1\r\nhost: t\r\n\r\n",
						"GET /ticks HTTP/1.0\r\n\r\n" };
	struct kit_client clients[2];
	struct kit_reply reply;
	struct app app;

	(void)state;
	app_start(&app, (struct cu_http_opts){ 0 });
	for (size_t i = 0; i < CU_ARRAY_LEN(clients); i++) {
		connect_front(&app, &clients[i]);
		kit_send(&clients[i], requests[i]);
	}
	kit_until(parked(app.origin) == 2 && parked(app.front) == 2);
	cu_http_server_drain(app.front, 100);
	/* Nobody may take it for whole. */
	assert_false(kit_read(&clients[0], &reply, false));
	assert_int_equal(reply.status, 200);
	kit_reply_fini(&reply);
	while (kit_fill(&clients[1]))
		;
	assert_int_equal(errno, ECONNRESET);
	kit_until(atomic_load(&app.closed) == 2);
	for (size_t i = 0; i < CU_ARRAY_LEN(clients); i++)
		kit_close(&clients[i]);
	app_stop(&app);
}

/* As the origin does: it goes on for who is answered anyway, and ends with who waits. */
static void a_client_that_sends_no_more_has_its_answer(void **state)
{
	struct kit_client client;
	struct kit_reply reply;
	struct app app;

	(void)state;
	app_start(&app, (struct cu_http_opts){ 0 });
	connect_front(&app, &client);
	kit_get(&client, "/later");
	shutdown(client.fd, SHUT_WR);
	kit_until(atomic_load(&app.deferred));
	cu_http_post(app.later, respond_later, &app);
	kit_expect(&client, 200, "later");
	kit_close(&client);

	connect_front(&app, &client);
	kit_get(&client, "/bursts");
	kit_until(parked(app.origin) == 1 && parked(app.front) == 1);
	shutdown(client.fd, SHUT_WR);
	kit_until(connections(app.origin) == 0 || atomic_load(&app.closed) == 1);
	kit_close(&client);

	connect_front(&app, &client);
	kit_get(&client, "/length?20000000");
	shutdown(client.fd, SHUT_WR);
	assert_true(kit_read(&client, &reply, false));
	assert_int_equal(reply.body.len, 20000000);
	kit_reply_fini(&reply);
	kit_close(&client);

	connect_front(&app, &client);
	kit_get(&client, "/wait");
	kit_until(parked(app.origin) == 1);
	shutdown(client.fd, SHUT_WR);
	kit_until(atomic_load(&app.gone) == 1);
	kit_expect_end(&client);
	kit_close(&client);
	kit_until(connections(app.front) == 0);
	assert_int_equal(app.failed, 0);
	app_stop(&app);
}

static void an_end_at_any_moment_leaves_nothing(void **state)
{
	static const char *const targets[] = { "/wait", "/ticks", "/length?50000000", "/echo" };
	struct kit_client clients[40];
	struct app app;

	(void)state;
	for (int round = 0; round < 10; round++) {
		app_start(&app, (struct cu_http_opts){ 0 });
		for (size_t i = 0; i < CU_ARRAY_LEN(clients); i++) {
			connect_front(&app, &clients[i]);
			kit_get(&clients[i], targets[i % CU_ARRAY_LEN(targets)]);
		}
		kit_until(connections(app.origin) >= (uint64_t)round);
		/* Either may go first. */
		if (round % 2)
			cu_http_server_free(&app.origin);
		app_stop(&app);
		for (size_t i = 0; i < CU_ARRAY_LEN(clients); i++)
			kit_close(&clients[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_passed_on_as_they_are),
		cmocka_unit_test(a_request_arrives_as_it_was_sent),
		cmocka_unit_test(a_slow_client_holds_the_origin_back),
		cmocka_unit_test(a_client_that_hangs_up_ends_the_other_side),
		cmocka_unit_test(what_waits_is_answered_when_the_origin_answers),
		cmocka_unit_test(wakes_meet_what_comes),
		cmocka_unit_test(nobody_there_is_told_at_once_or_in_time),
		cmocka_unit_test(the_answer_of_a_stranger_is_none),
		cmocka_unit_test(relayed_requests_count_as_connections),
		cmocka_unit_test(draining_ends_what_waits_and_lets_bodies_go_on),
		cmocka_unit_test(the_end_of_the_grace_cuts_bodies_off),
		cmocka_unit_test(a_client_that_sends_no_more_has_its_answer),
		cmocka_unit_test(an_end_at_any_moment_leaves_nothing),
	};

	kit_files_raise();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
