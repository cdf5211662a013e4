/* label: race
 * Waiting readers: park, wake from other threads, time out, hang up, drain. */
#include "http/testkit.h"

struct app {
	cu_http_server *server;
	_Atomic uint64_t mask; /* loops with somebody parked */
	_Atomic int version;   /* what the waiters wait for */
	_Atomic int answered, timed_out, gone, drained, reparked;
	_Atomic int begins, ends;
};

struct waiter {
	struct app *app;
	uint64_t key;
	uint32_t timeout_ms;
	int repark; /* times to go back to sleep */
	unsigned magic;
};

static cu_http_body *shared;

static void waiter_free(struct waiter *waiter)
{
	assert_int_equal(waiter->magic, 0x7a17e500);
	waiter->magic = 0;
	free(waiter);
}

static void on_wake(cu_http_request *req, void *arg);

static void on_timeout(cu_http_request *req, void *arg)
{
	struct waiter *waiter = arg;

	waiter->app->timed_out++;
	waiter_free(waiter);
	kit_respond(req, 200, "timeout");
}

static void on_drain(cu_http_request *req, void *arg)
{
	struct waiter *waiter = arg;

	waiter->app->drained++;
	waiter_free(waiter);
	kit_respond(req, 200, "drained");
}

static void on_gone(void *arg)
{
	struct waiter *waiter = arg;

	waiter->app->gone++;
	waiter_free(waiter);
}

static const struct cu_http_waiter_ops waiter_ops = { on_wake, on_timeout, on_drain, on_gone, NULL, false };

static void on_wake(cu_http_request *req, void *arg)
{
	struct waiter *waiter = arg;
	struct cu_http_response response = kit_response(200, shared);

	assert_null(cu_http_request_path(req).data); /* given back */
	if (waiter->repark) {
		waiter->repark--;
		waiter->app->reparked++;
		cu_http_park(req, waiter->key, waiter->timeout_ms, &waiter_ops, waiter);
		return;
	}
	waiter->app->answered++;
	waiter_free(waiter);
	cu_http_respond(req, &response);
}

static void on_request(void *ctx, cu_http_request *req);

static void hold_over(cu_http_request *req, void *arg)
{
	struct waiter *waiter = arg;
	struct app *app = waiter->app;

	waiter_free(waiter);
	on_request(app, req);
}

static const struct cu_http_waiter_ops hold_ops = { hold_over, on_timeout, on_drain, on_gone, NULL, false };

/* Held until there is a version; then the answer is what the request says. */
static void hold(cu_http_request *req, struct waiter *waiter)
{
	struct cu_http_slice query = cu_http_request_query(req), body = cu_http_request_body(req);
	struct cu_http_slice header = cu_http_request_header(req, "x-a");
	cu_buf text = CU_BUF_INIT;

	if (!atomic_load(&waiter->app->version)) {
		cu_http_hold(req, 1, 600000, &hold_ops, waiter);
		return;
	}
	cu_buf_printf(&text, "%.*s %.*s %.*s", (int)query.len, query.data ? query.data : "", (int)header.len,
		      header.data ? header.data : "", (int)body.len, body.data ? body.data : "");
	waiter->app->answered++;
	waiter_free(waiter);
	kit_respond(req, 200, cu_buf_str(&text));
	cu_buf_fini(&text);
}

/* /hold; /park?<key>, /park-short?<timeout>, /repark?<times> (key 7), /check?<version>: parks unless version is reached */
static void on_request(void *ctx, cu_http_request *req)
{
	struct app *app = ctx;
	struct cu_http_slice path = cu_http_request_path(req);
	uint64_t n = kit_number(cu_http_request_query(req), 1);
	struct waiter *waiter;

	if (kit_is(path, "/now")) {
		kit_respond(req, 200, "now");
		return;
	}
	waiter = cu_xzalloc(sizeof *waiter);
	*waiter = (struct waiter){ app, n, 600000, 0, 0x7a17e500 };
	atomic_fetch_or(&app->mask, 1ull << cu_http_loop_index(cu_http_request_loop(req)));
	if (kit_is(path, "/hold")) {
		hold(req, waiter);
		return;
	}
	if (kit_is(path, "/park-short")) {
		waiter->key = 1;
		waiter->timeout_ms = (uint32_t)n;
	} else if (kit_is(path, "/repark")) {
		waiter->key = 7;
		waiter->repark = (int)n;
	} else if (kit_is(path, "/check")) {
		waiter->key = 1;
		if ((uint64_t)atomic_load(&app->version) >= n) {
			app->answered++;
			waiter_free(waiter);
			kit_respond(req, 200, "shared");
			return;
		}
	}
	cu_http_park(req, waiter->key, waiter->timeout_ms, &waiter_ops, waiter);
}

static void on_wave_begin(void *ctx, cu_http_loop *loop, uint64_t key)
{
	struct app *app = ctx;
	void **data = cu_http_loop_data(loop);

	(void)key;
	assert_null(*data);
	*data = app;
	app->begins++;
}

static void on_wave_end(void *ctx, cu_http_loop *loop, uint64_t key)
{
	struct app *app = ctx;
	void **data = cu_http_loop_data(loop);

	(void)key;
	assert_ptr_equal(*data, app);
	*data = NULL;
	app->ends++;
}

static void app_start(struct app *app, struct cu_http_opts opts)
{
	memset(app, 0, sizeof *app);
	opts.host = "127.0.0.1";
	opts.handlers.on_request = on_request;
	opts.handlers.on_wave_begin = on_wave_begin;
	opts.handlers.on_wave_end = on_wave_end;
	opts.ctx = app;
	if (!opts.loops)
		opts.loops = 2;
	if (!shared)
		assert_int_equal(cu_http_body_new("shared", 6, &shared), 0);
	assert_int_equal(cu_http_server_start(&opts, &app->server), 0);
}

static void app_stop(struct app *app)
{
	cu_http_server_free(&app->server);
	cu_http_body_unref(&shared);
}

static uint64_t parked(struct app *app)
{
	struct cu_http_stats stats;

	cu_http_server_stats(app->server, &stats);
	return stats.parked;
}

static void *wake_main(void *arg)
{
	struct app *app = arg;

	cu_http_wake(app->server, 1, atomic_load(&app->mask));
	return NULL;
}

static struct kit_client *park_many(struct app *app, unsigned count, const char *target)
{
	struct kit_client *clients = cu_xzalloc(count * sizeof *clients);
	uint64_t before = parked(app);

	for (unsigned i = 0; i < count; i++) {
		kit_connect(&clients[i], cu_http_server_port(app->server));
		kit_get(&clients[i], target);
	}
	kit_until(parked(app) == before + count);
	return clients;
}

static void a_parked_request_is_woken_by_another_thread(void **state)
{
	struct app app;
	struct kit_client client;
	pthread_t thread;

	(void)state;
	app_start(&app, (struct cu_http_opts){ 0 });
	kit_connect(&client, cu_http_server_port(app.server));
	for (int i = 0; i < 20; i++) { /* again on the same connection */
		kit_get(&client, "/park?1");
		kit_until(parked(&app) == 1);
		assert_int_equal(pthread_create(&thread, NULL, wake_main, &app), 0);
		kit_expect(&client, 200, "shared");
		pthread_join(thread, NULL);
	}
	assert_int_equal(app.answered, 20);
	assert_int_equal(parked(&app), 0);
	kit_close(&client);
	app_stop(&app);
	assert_int_equal(app.gone, 0);
}

static void two_thousand_readers_of_a_key_are_answered_exactly_once(void **state)
{
	enum { COUNT = 2000, OTHERS = 50 };
	struct app app;
	struct kit_client *clients, *others;

	(void)state;
	app_start(&app, (struct cu_http_opts){ .wake_slice = 100 });
	clients = park_many(&app, COUNT, "/park?1");
	others = park_many(&app, OTHERS, "/park?2");
	cu_http_wake(app.server, 1, atomic_load(&app.mask));
	for (int i = 0; i < COUNT; i++)
		kit_expect(&clients[i], 200, "shared");
	kit_until(app.ends == app.begins);
	assert_int_equal(app.answered, COUNT);
	assert_in_range(app.begins, 1, 2); /* one wave per loop */
	assert_int_equal(parked(&app), OTHERS);
	for (int i = 0; i < COUNT; i++) {
		assert_int_equal(clients[i].in.len, 0);
		kit_close(&clients[i]);
	}
	for (int i = 0; i < OTHERS; i++)
		kit_close(&others[i]);
	kit_until(app.gone == OTHERS);
	free(clients);
	free(others);
	app_stop(&app);
	assert_int_equal(app.gone, OTHERS);
	assert_int_equal(app.answered, COUNT);
}

/* Holds a loop in a post until told to go on: what happens meanwhile piles up. */
struct stopper {
	_Atomic bool in, go;
};

static void loop_hold(cu_http_loop *loop, void *arg)
{
	struct stopper *stopper = arg;

	(void)loop;
	stopper->in = true;
	kit_until(stopper->go);
}

static void wakes_coalesce(void **state)
{
	struct stopper stopper = { false, false };
	struct app app;
	struct kit_client client;

	(void)state;
	app_start(&app, (struct cu_http_opts){ .loops = 1 });
	kit_connect(&client, cu_http_server_port(app.server));
	kit_get(&client, "/repark?1000000");
	kit_until(parked(&app) == 1);
	cu_http_post_loop(app.server, 0, loop_hold, &stopper);
	kit_until(stopper.in);
	for (int i = 0; i < 10000; i++) {
		cu_http_wake(app.server, 7, CU_HTTP_ALL_LOOPS);
		cu_http_wake(app.server, (uint64_t)i + 100, CU_HTTP_ALL_LOOPS); /* nobody waits for these */
	}
	stopper.go = true;
	kit_until(app.ends == 1);
	assert_int_equal(app.reparked, 1);
	assert_int_equal(app.begins, 1);
	kit_close(&client);
	kit_until(app.gone == 1);
	app_stop(&app);
}

static void more_keys_than_the_queue_holds_wake_everybody(void **state)
{
	struct stopper stopper = { false, false };
	struct app app;
	struct kit_client client;

	(void)state;
	app_start(&app, (struct cu_http_opts){ .loops = 1 });
	kit_connect(&client, cu_http_server_port(app.server));
	kit_get(&client, "/park?5");
	kit_until(parked(&app) == 1);
	cu_http_post_loop(app.server, 0, loop_hold, &stopper);
	kit_until(stopper.in);
	for (uint64_t i = 0; i <= CU_HTTP_WAKE_KEYS_MAX; i++)
		cu_http_wake(app.server, i + 1000, CU_HTTP_ALL_LOOPS);
	stopper.go = true;
	kit_expect(&client, 200, "shared");
	kit_close(&client);
	app_stop(&app);
}

static void parking_again_waits_for_the_next_wave(void **state)
{
	struct app app;
	struct kit_client *clients;

	(void)state;
	app_start(&app, (struct cu_http_opts){ .loops = 1, .wake_slice = 3 });
	clients = park_many(&app, 10, "/repark?2");
	for (int wave = 1; wave <= 2; wave++) {
		cu_http_wake(app.server, 7, 1);
		kit_until(app.ends == wave);
		assert_int_equal(app.reparked, wave * 10);
		assert_int_equal(parked(&app), 10);
	}
	cu_http_wake(app.server, 7, 1);
	for (int i = 0; i < 10; i++) {
		kit_expect(&clients[i], 200, "shared");
		kit_close(&clients[i]);
	}
	free(clients);
	app_stop(&app);
	assert_int_equal(app.answered, 10);
}

static void a_held_request_is_handled_anew_when_it_is_woken(void **state)
{
	struct kit_client client, gone, drained;
	struct app app;

	(void)state;
	app_start(&app, (struct cu_http_opts){ .loops = 1 });
	kit_connect(&client, cu_http_server_port(app.server));
	kit_send(&client, "POST /hold?q HTTP/1.1\r\nhost: t\r\nx-a: h\r\ntransfer-encoding: chunked\r\n\r\n"
			  "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET /hold?next HTTP/1.1\r\nhost: t\r\n\r\n");
	kit_connect(&gone, cu_http_server_port(app.server));
	kit_get(&gone, "/hold");
	kit_until(parked(&app) == 2);
	kit_close(&gone);
	kit_until(app.gone == 1);
	cu_http_wake(app.server, 1, CU_HTTP_ALL_LOOPS); /* for nothing: it is held again */
	kit_until(app.ends == 1 && parked(&app) == 1);
	atomic_store(&app.version, 1);
	cu_http_wake(app.server, 1, CU_HTTP_ALL_LOOPS);
	kit_expect(&client, 200, "q h abcde");
	kit_expect(&client, 200, "next  ");
	atomic_store(&app.version, 0);
	kit_connect(&drained, cu_http_server_port(app.server));
	kit_get(&drained, "/hold");
	kit_get(&client, "/hold");
	kit_until(parked(&app) == 2);
	kit_close(&client);
	kit_until(app.gone == 2);
	cu_http_server_drain(app.server, 60000);
	kit_expect(&drained, 200, "drained");
	kit_close(&drained);
	app_stop(&app);
	assert_int_equal(app.answered, 2);
}

static void a_client_that_hangs_up_is_noticed(void **state)
{
	struct app app;
	struct kit_client *clients;
	struct linger hard = { 1, 0 };

	(void)state;
	app_start(&app, (struct cu_http_opts){ 0 });
	clients = park_many(&app, 40, "/park?1");
	for (int i = 0; i < 20; i++) {
		if (i % 4 == 0) /* reset */
			setsockopt(clients[i].fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
		if (i % 4 == 1) /* with bytes of a next request before the end */
			kit_get(&clients[i], "/now");
		if (i % 4 == 2) {
			shutdown(clients[i].fd, SHUT_WR);
			kit_expect_end(&clients[i]);
		}
		kit_close(&clients[i]);
	}
	kit_until(app.gone == 20);
	assert_int_equal(parked(&app), 20);
	cu_http_wake(app.server, 1, CU_HTTP_ALL_LOOPS);
	for (int i = 20; i < 40; i++) {
		kit_expect(&clients[i], 200, "shared");
		kit_close(&clients[i]);
	}
	free(clients);
	app_stop(&app);
	assert_int_equal(app.gone, 20);
	assert_int_equal(app.answered, 20);
}

static void pipelined_requests_wait_behind_a_parked_one(void **state)
{
	struct app app;
	struct kit_client client;

	(void)state;
	app_start(&app, (struct cu_http_opts){ 0 });
	kit_connect(&client, cu_http_server_port(app.server));
	/* Some in the same packet, some later. */
	kit_send(&client, "GET /park?1 HTTP/1.1\r\nhost: t\r\n\r\nGET /now HTTP/1.1\r\nhost: t\r\n\r\n"
			  "GET /park?1 HTTP/1.1\r\nhost: t\r\n\r\n");
	kit_until(parked(&app) == 1);
	for (int i = 0; i < 100; i++)
		kit_get(&client, "/now");
	cu_http_wake(app.server, 1, CU_HTTP_ALL_LOOPS);
	kit_expect(&client, 200, "shared");
	kit_expect(&client, 200, "now");
	kit_until(parked(&app) == 1);
	cu_http_wake(app.server, 1, CU_HTTP_ALL_LOOPS);
	kit_expect(&client, 200, "shared");
	for (int i = 0; i < 100; i++)
		kit_expect(&client, 200, "now");
	kit_close(&client);
	app_stop(&app);
}

static void timeouts_answer_each_in_its_time(void **state)
{
	static const unsigned timeouts[] = { 150, 40, 90, 40 };
	struct kit_client clients[CU_ARRAY_LEN(timeouts)], many[60];
	uint64_t start_ms;
	struct app app;

	(void)state;
	app_start(&app, (struct cu_http_opts){ 0 });
	start_ms = cu_now_ms();
	for (size_t i = 0; i < CU_ARRAY_LEN(timeouts); i++) {
		char target[32];

		snprintf(target, sizeof target, "/park-short?%u", timeouts[i]);
		kit_connect(&clients[i], cu_http_server_port(app.server));
		kit_get(&clients[i], target);
	}
	for (size_t i = CU_ARRAY_LEN(timeouts); i-- > 0;) {
		kit_expect(&clients[i], 200, "timeout");
		assert_true(cu_now_ms() - start_ms + 5 >= timeouts[i]);
		kit_close(&clients[i]);
	}
	assert_int_equal(app.timed_out, 4);

	/* More distinct timeouts than exact lists, all at once. */
	for (unsigned i = 0; i < CU_ARRAY_LEN(many); i++) {
		char target[32];

		snprintf(target, sizeof target, "/park-short?%u", 100 + i);
		kit_connect(&many[i], cu_http_server_port(app.server));
		kit_get(&many[i], target);
	}
	for (unsigned i = 0; i < CU_ARRAY_LEN(many); i++) {
		kit_expect(&many[i], 200, "timeout");
		kit_close(&many[i]);
	}
	app_stop(&app);
	assert_int_equal(app.gone, 0);
}

struct racer {
	struct app *app;
	int rounds;
};

static void *racer_main(void *arg)
{
	struct racer *racer = arg;
	struct kit_client client;

	/* Each asks for the next version; parks when it is not there yet. A lost wake would hang it. */
	kit_connect(&client, cu_http_server_port(racer->app->server));
	for (int i = 1; i <= racer->rounds; i++) {
		char target[32];

		snprintf(target, sizeof target, "/check?%d", i);
		kit_get(&client, target);
		kit_expect(&client, 200, "shared");
	}
	kit_close(&client);
	return NULL;
}

static void no_wake_is_lost_between_check_and_park(void **state)
{
	enum { RACERS = 4, ROUNDS = 500 };
	struct app app;
	struct racer racer = { &app, ROUNDS };
	pthread_t threads[RACERS];

	(void)state;
	app_start(&app, (struct cu_http_opts){ 0 });
	for (int i = 0; i < RACERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, racer_main, &racer), 0);
	while (app.answered < RACERS * ROUNDS) {
		/* The next version only when all have had this one, so that they park again and again. */
		if (app.answered >= app.version * RACERS) {
			atomic_fetch_add(&app.version, 1);
			cu_http_wake(app.server, 1, atomic_load(&app.mask));
		}
		sched_yield();
	}
	for (int i = 0; i < RACERS; i++)
		pthread_join(threads[i], NULL);
	app_stop(&app);
	assert_int_equal(app.answered, RACERS * ROUNDS);
}

static void draining_answers_everybody_and_then_refuses(void **state)
{
	struct app app;
	struct kit_client *clients, idle, probe;
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	uint64_t start_ms;

	(void)state;
	app_start(&app, (struct cu_http_opts){ .wake_slice = 10 });
	clients = park_many(&app, 100, "/park?1");
	kit_connect(&idle, cu_http_server_port(app.server));
	kit_get(&idle, "/now");
	kit_expect(&idle, 200, "now");
	start_ms = cu_now_ms();
	cu_http_server_drain(app.server, 60000);
	assert_true(cu_now_ms() - start_ms < 50000); /* it did not wait for the end of its time */
	assert_int_equal(app.drained, 100);
	for (int i = 0; i < 100; i++) {
		struct kit_reply reply;

		assert_true(kit_read(&clients[i], &reply, false));
		assert_string_equal(cu_buf_str(&reply.body), "drained");
		assert_string_equal(kit_header(&reply, "connection"), "close");
		kit_reply_fini(&reply);
		kit_expect_end(&clients[i]);
		kit_close(&clients[i]);
	}
	kit_expect_end(&idle);
	kit_close(&idle);
	addr.sin_port = htons(cu_http_server_port(app.server));
	probe.fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(probe.fd, (struct sockaddr *)&addr, sizeof addr), -1);
	close(probe.fd);
	cu_http_wake(app.server, 1, CU_HTTP_ALL_LOOPS); /* harmless */
	free(clients);
	app_stop(&app);
	assert_int_equal(app.gone, 0);
}

static void freeing_with_readers_waiting_ends_each_once(void **state)
{
	struct app app;
	struct kit_client *clients;

	(void)state;
	app_start(&app, (struct cu_http_opts){ .wake_slice = 1 });
	clients = park_many(&app, 200, "/park?1");
	cu_http_wake(app.server, 1, CU_HTTP_ALL_LOOPS); /* a wave may be in the middle */
	cu_http_server_free(&app.server);
	assert_int_equal(app.gone + app.answered, 200);
	for (int i = 0; i < 200; i++)
		kit_close(&clients[i]);
	free(clients);
	app_stop(&app);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_parked_request_is_woken_by_another_thread),
		cmocka_unit_test(two_thousand_readers_of_a_key_are_answered_exactly_once),
		cmocka_unit_test(wakes_coalesce),
		cmocka_unit_test(more_keys_than_the_queue_holds_wake_everybody),
		cmocka_unit_test(parking_again_waits_for_the_next_wave),
		cmocka_unit_test(a_held_request_is_handled_anew_when_it_is_woken),
		cmocka_unit_test(a_client_that_hangs_up_is_noticed),
		cmocka_unit_test(pipelined_requests_wait_behind_a_parked_one),
		cmocka_unit_test(timeouts_answer_each_in_its_time),
		cmocka_unit_test(no_wake_is_lost_between_check_and_park),
		cmocka_unit_test(draining_answers_everybody_and_then_refuses),
		cmocka_unit_test(freeing_with_readers_waiting_ends_each_once),
	};

	kit_files_raise();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
