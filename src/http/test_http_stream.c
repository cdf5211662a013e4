/* label: race
 * Streams: answers that wait in between for what comes next. */
#include "http/testkit.h"

#define KEY 1u
#define NUMBER_LEN 9u /* "00000001\n" */

/* The log is the numbers 1, 2, 3 …: a stream gives out every one behind its own position. */
struct app {
	cu_http_server *server;
	_Atomic uint64_t mask;
	_Atomic uint64_t latest, end; /* end: 0, or the number that a stream ends behind */
	_Atomic int asked, closed, idled;
};

struct stream {
	struct cu_http_source source;
	struct app *app;
	uint64_t at;
	uint32_t idle_ms;
	bool asked_before;
	cu_buf out;
};

static int stream_next(struct cu_http_source *source, struct cu_http_piece *ret_piece)
{
	struct stream *stream = CU_CONTAINER_OF(source, struct stream, source);
	struct app *app = stream->app;
	uint64_t latest = atomic_load(&app->latest), end = atomic_load(&app->end);

	app->asked++;
	cu_buf_clear(&stream->out);
	if (end && stream->at >= end)
		return 0;
	while (stream->at < latest && stream->out.len < 65536)
		cu_buf_printf(&stream->out, "%08u\n", (unsigned)++stream->at);
	if (stream->out.len == 0 && stream->idle_ms && stream->asked_before) {
		cu_buf_puts(&stream->out, "idle\n");
		app->idled++;
	}
	stream->asked_before = stream->out.len == 0;
	if (stream->out.len == 0) {
		stream->source.wait_key = KEY;
		stream->source.wait_ms = stream->idle_ms ? stream->idle_ms : 600000;
		return CU_HTTP_SOURCE_WAIT;
	}
	*ret_piece = (struct cu_http_piece){ .data = stream->out.data, .len = stream->out.len };
	return 1;
}

static void stream_close(struct cu_http_source *source)
{
	struct stream *stream = CU_CONTAINER_OF(source, struct stream, source);

	stream->app->closed++;
	cu_buf_fini(&stream->out);
	free(stream);
}

/* /stream?<idle_ms>, anything else: "now" */
static void on_request(void *ctx, cu_http_request *req)
{
	struct app *app = ctx;
	struct cu_http_response response = kit_response(200, NULL);
	struct stream *stream;

	if (!kit_is(cu_http_request_path(req), "/stream")) {
		kit_respond(req, 200, "now");
		return;
	}
	atomic_fetch_or(&app->mask, 1ull << cu_http_loop_index(cu_http_request_loop(req)));
	stream = cu_xzalloc(sizeof *stream);
	stream->app = app;
	stream->idle_ms = (uint32_t)kit_number(cu_http_request_query(req), 0);
	stream->source = (struct cu_http_source){
		.next = stream_next, .close = stream_close, .length = CU_HTTP_LENGTH_UNKNOWN, .stream = true
	};
	response.source = &stream->source;
	cu_http_respond(req, &response);
}

static void app_start(struct app *app, struct cu_http_opts opts)
{
	memset(app, 0, sizeof *app);
	opts.host = "127.0.0.1";
	opts.handlers.on_request = on_request;
	opts.ctx = app;
	if (!opts.loops)
		opts.loops = 2;
	assert_int_equal(cu_http_server_start(&opts, &app->server), 0);
}

static void app_show(struct app *app, uint64_t latest)
{
	atomic_store(&app->latest, latest);
	cu_http_wake(app->server, KEY, atomic_load(&app->mask));
}

static uint64_t parked(struct app *app)
{
	struct cu_http_stats stats;

	cu_http_server_stats(app->server, &stats);
	return stats.parked;
}

static void open_stream(struct app *app, struct kit_client *client, const char *target)
{
	struct kit_reply reply;

	kit_connect(client, cu_http_server_port(app->server));
	kit_get(client, target);
	assert_true(kit_read(client, &reply, true));
	assert_int_equal(reply.status, 200);
	assert_string_equal(kit_header(&reply, "transfer-encoding"), "chunked");
	kit_reply_fini(&reply);
}

static void open_many(struct app *app, struct kit_client *clients, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		open_stream(app, &clients[i], "/stream");
	kit_until(parked(app) == count);
}

/* One whole chunk, with its line end, as text; valid until the next. "" is the end of the answer. */
static const char *read_chunk(struct kit_client *client)
{
	static char text[128 * 1024];
	char *eol;
	size_t len, line;

	while (!client->in.len || !(eol = memmem(client->in.data, client->in.len, "\r\n", 2)))
		assert_true(kit_fill(client));
	len = strtoul(client->in.data, NULL, 16);
	line = (size_t)(eol - client->in.data) + 2;
	assert_true(len < sizeof text);
	while (client->in.len < line + len + 2)
		assert_true(kit_fill(client));
	memcpy(text, client->in.data + line, len);
	text[len] = '\0';
	assert_memory_equal(client->in.data + line + len, "\r\n", 2);
	kit_eat(client, line + len + 2);
	return text;
}

static void expect_numbers(struct kit_client *client, uint64_t from, uint64_t to)
{
	while (from < to) {
		const char *text = read_chunk(client);

		assert_true(*text);
		for (; *text; text += NUMBER_LEN)
			assert_int_equal(strtoul(text, NULL, 10), ++from);
	}
	assert_int_equal(from, to);
}

static void head_and_pieces_leave_as_they_come(void **state)
{
	struct app app;
	struct kit_client client;

	(void)state;
	app_start(&app, (struct cu_http_opts){ 0 });
	open_stream(&app, &client, "/stream");
	for (uint64_t n = 1; n <= 50; n++) {
		kit_until(parked(&app) == 1);
		app_show(&app, n);
		expect_numbers(&client, n - 1, n);
		assert_int_equal(client.in.len, 0);
	}
	/* It ends when the source says so, and the connection goes on. */
	app.end = 51;
	app_show(&app, 51);
	expect_numbers(&client, 50, 51);
	assert_string_equal(read_chunk(&client), "");
	kit_get(&client, "/");
	kit_expect(&client, 200, "now");
	assert_int_equal(app.closed, 1);
	kit_close(&client);
	cu_http_server_free(&app.server);
}

static void what_is_there_already_comes_first(void **state)
{
	struct app app;
	struct kit_client client;

	(void)state;
	app_start(&app, (struct cu_http_opts){ 0 });
	app.latest = 100000; /* more than a piece, and than the socket takes */
	open_stream(&app, &client, "/stream");
	expect_numbers(&client, 0, 100000);
	kit_until(parked(&app) == 1);
	app_show(&app, 100001);
	expect_numbers(&client, 100000, 100001);
	kit_close(&client);
	kit_until(app.closed == 1);
	cu_http_server_free(&app.server);
}

static void a_stream_is_asked_again_when_its_time_has_passed(void **state)
{
	struct app app;
	struct kit_client client;

	(void)state;
	app_start(&app, (struct cu_http_opts){ 0 });
	open_stream(&app, &client, "/stream?40");
	assert_string_equal(read_chunk(&client), "idle\n");
	assert_string_equal(read_chunk(&client), "idle\n");
	app_show(&app, 1);
	for (;;) {
		const char *text = read_chunk(&client);

		if (strcmp(text, "idle\n") != 0) {
			assert_string_equal(text, "00000001\n");
			break;
		}
	}
	kit_close(&client);
	kit_until(app.closed == 1);
	cu_http_server_free(&app.server);
}

static void a_hundred_streams_miss_nothing(void **state)
{
	enum { STREAMS = 100, NUMBERS = 2000 };
	struct app app;
	struct kit_client clients[STREAMS];

	(void)state;
	app_start(&app, (struct cu_http_opts){ .wake_slice = 7 });
	for (int i = 0; i < STREAMS; i++) {
		kit_connect(&clients[i], cu_http_server_port(app.server));
		kit_get(&clients[i], "/stream");
	}
	/* Without waiting for them to be parked: some are only just asking. */
	for (uint64_t n = 1; n <= NUMBERS; n++)
		app_show(&app, n);
	for (int i = 0; i < STREAMS; i++) {
		struct kit_reply reply;

		assert_true(kit_read(&clients[i], &reply, true));
		kit_reply_fini(&reply);
		expect_numbers(&clients[i], 0, NUMBERS);
		kit_close(&clients[i]);
	}
	kit_until(app.closed == STREAMS);
	cu_http_server_free(&app.server);
}

static void a_reader_that_stops_is_not_asked_for_and_goes_on_where_it_was(void **state)
{
	struct app app;
	struct kit_client slow, quick;
	struct kit_reply reply;
	const uint64_t n = 1000000; /* 9 MB: the sockets do not hold it */
	int asked;

	(void)state;
	app_start(&app, (struct cu_http_opts){ .loops = 1 });
	app.latest = n;
	kit_connect_rcvbuf(&slow, cu_http_server_port(app.server), 4096);
	kit_get(&slow, "/stream");
	open_stream(&app, &quick, "/stream");
	expect_numbers(&quick, 0, n);
	kit_until(parked(&app) == 1); /* the quick one; the slow one stands at the socket */
	asked = app.asked;
	for (int i = 1; i <= 1000; i++) {
		app_show(&app, n + (uint64_t)i);
		expect_numbers(&quick, n + (uint64_t)i - 1, n + (uint64_t)i);
	}
	kit_until(parked(&app) == 1);
	assert_in_range(app.asked - asked, 1000, 4000); /* for the quick one alone: twice per wake, at most */
	assert_true(kit_read(&slow, &reply, true));
	kit_reply_fini(&reply);
	expect_numbers(&slow, 0, n + 1000);
	kit_close(&slow);
	kit_close(&quick);
	kit_until(app.closed == 2);
	cu_http_server_free(&app.server);
}

static void a_reader_that_takes_nothing_for_too_long_is_cut_off(void **state)
{
	struct app app;
	struct kit_client client;

	(void)state;
	app_start(&app, (struct cu_http_opts){ .send_stall_ms = 100 });
	app.latest = 4000000; /* 36 MB */
	kit_connect_rcvbuf(&client, cu_http_server_port(app.server), 4096);
	kit_get(&client, "/stream");
	kit_until(app.closed == 1);
	kit_close(&client);
	cu_http_server_free(&app.server);
}

static void a_hang_up_ends_a_stream_that_waits(void **state)
{
	struct app app;
	struct kit_client clients[20];

	(void)state;
	app_start(&app, (struct cu_http_opts){ 0 });
	open_many(&app, clients, 20);
	for (int i = 0; i < 20; i++)
		kit_close(&clients[i]);
	kit_until(app.closed == 20 && parked(&app) == 0);
	cu_http_server_free(&app.server);
}

static void *drain_main(void *arg)
{
	struct app *app = arg;

	cu_http_server_drain(app->server, 20000);
	return NULL;
}

static void draining_ends_streams_with_a_whole_answer(void **state)
{
	enum { STREAMS = 20 };
	struct app app;
	struct kit_client clients[STREAMS];
	pthread_t thread;

	(void)state;
	app_start(&app, (struct cu_http_opts){ .loops = 1, .wake_slice = 3 });
	open_many(&app, clients, STREAMS);
	assert_int_equal(pthread_create(&thread, NULL, drain_main, &app), 0);
	for (int i = 0; i < STREAMS; i++) {
		assert_string_equal(read_chunk(&clients[i]), "");
		kit_expect_end(&clients[i]);
		kit_close(&clients[i]);
	}
	pthread_join(thread, NULL);
	assert_int_equal(app.closed, STREAMS);
	cu_http_server_free(&app.server);
}

static void without_chunks_the_end_of_the_connection_is_the_end(void **state)
{
	struct app app;
	struct kit_client client;
	struct kit_reply reply;

	(void)state;
	app_start(&app, (struct cu_http_opts){ 0 });
	kit_connect(&client, cu_http_server_port(app.server));
	kit_send(&client, "GET /stream HTTP/1.0\r\n\r\n");
	kit_until(parked(&app) == 1);
	app.end = 2;
	app_show(&app, 2);
	assert_true(kit_read(&client, &reply, false));
	assert_null(kit_header(&reply, "transfer-encoding"));
	assert_string_equal(cu_buf_str(&reply.body), "00000001\n00000002\n");
	kit_reply_fini(&reply);
	kit_close(&client);
	cu_http_server_free(&app.server);
	assert_int_equal(app.closed, 1);
}

static void a_request_sent_meanwhile_is_answered_afterwards(void **state)
{
	struct app app;
	struct kit_client client;

	(void)state;
	app_start(&app, (struct cu_http_opts){ 0 });
	open_stream(&app, &client, "/stream");
	kit_until(parked(&app) == 1);
	kit_get(&client, "/");
	app.end = 1;
	app_show(&app, 1);
	expect_numbers(&client, 0, 1);
	assert_string_equal(read_chunk(&client), "");
	kit_expect(&client, 200, "now");
	kit_close(&client);
	cu_http_server_free(&app.server);
}

static void freeing_closes_every_stream_once(void **state)
{
	struct app app;
	struct kit_client clients[20];

	(void)state;
	app_start(&app, (struct cu_http_opts){ 0 });
	open_many(&app, clients, 20);
	app_show(&app, 1);
	cu_http_server_free(&app.server);
	assert_int_equal(app.closed, 20);
	for (int i = 0; i < 20; i++)
		kit_close(&clients[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(head_and_pieces_leave_as_they_come),
		cmocka_unit_test(what_is_there_already_comes_first),
		cmocka_unit_test(a_stream_is_asked_again_when_its_time_has_passed),
		cmocka_unit_test(a_hundred_streams_miss_nothing),
		cmocka_unit_test(a_reader_that_stops_is_not_asked_for_and_goes_on_where_it_was),
		cmocka_unit_test(a_reader_that_takes_nothing_for_too_long_is_cut_off),
		cmocka_unit_test(a_hang_up_ends_a_stream_that_waits),
		cmocka_unit_test(draining_ends_streams_with_a_whole_answer),
		cmocka_unit_test(without_chunks_the_end_of_the_connection_is_the_end),
		cmocka_unit_test(a_request_sent_meanwhile_is_answered_afterwards),
		cmocka_unit_test(freeing_closes_every_stream_once),
	};

	kit_files_raise();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
