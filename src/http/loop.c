/* loop.c: a loop's thread, what other threads send to it, and work done in slices.
 *
 * Other threads put posts, keys to wake and requests to stop under the loop's mutex, then uv_async_send(), which
 * coalesces; the loop takes everything at once and works unlocked. Long work (waves, draining) is done by the idle
 * callback `turn`, a slice per iteration, so that sockets get their turn in between.
 */
#include "http/internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- what any thread may do ---- */

static void loop_signal_unlock(cu_http_loop *loop)
{
	if (!loop->closed)
		uv_async_send(&loop->async);
	pthread_mutex_unlock(&loop->mtx);
}

static void loop_post(cu_http_loop *loop, struct http_post *post)
{
	post->next = NULL;
	pthread_mutex_lock(&loop->mtx);
	*loop->posts_end = post;
	loop->posts_end = &post->next;
	loop_signal_unlock(loop);
}

void cu_http_post(cu_http_ticket ticket, void (*fn)(cu_http_request *req, void *arg), void *arg)
{
	struct http_post *post = cu_xzalloc(sizeof *post);

	post->ticket = ticket;
	post->fn = fn;
	post->arg = arg;
	loop_post(&ticket.server->loops[ticket.loop], post);
}

void cu_http_post_loop(cu_http_server *server, unsigned loop, void (*fn)(cu_http_loop *loop, void *arg), void *arg)
{
	struct http_post *post = cu_xzalloc(sizeof *post);

	CU_ASSERT(loop < server->loops_len);
	post->ticket.slot = CU_HTTP_SLOT_NONE;
	post->loop_fn = fn;
	post->arg = arg;
	loop_post(&server->loops[loop], post);
}

void cu_http_wake(cu_http_server *server, uint64_t key, uint64_t loop_mask)
{
	for (unsigned i = 0; i < server->loops_len; i++) {
		cu_http_loop *loop = &server->loops[i];

		if (!(loop_mask & (1ull << i)))
			continue;
		pthread_mutex_lock(&loop->mtx);
		if (http_keyset_add(&loop->wakes, key))
			loop_signal_unlock(loop);
		else
			pthread_mutex_unlock(&loop->mtx); /* it is queued and signalled already */
	}
}

static void loop_ask(cu_http_loop *loop, bool *flag)
{
	pthread_mutex_lock(&loop->mtx);
	*flag = true;
	loop_signal_unlock(loop);
}

void http_loop_ask_drain(cu_http_loop *loop)
{
	loop_ask(loop, &loop->ask_drain);
}

void http_loop_ask_cut(cu_http_loop *loop)
{
	loop_ask(loop, &loop->ask_cut);
}

/* ---- the loop's side ---- */

static void post_run(cu_http_loop *loop, struct http_post *post)
{
	conn *c;

	if (post->ticket.slot == CU_HTTP_SLOT_NONE) {
		post->loop_fn(loop, post->arg);
		return;
	}
	c = http_conn_find(loop, post->ticket.slot, post->ticket.generation);
	if (!c || c->state != CONN_DEFERRED) {
		post->fn(NULL, post->arg);
		return;
	}
	http_conn_enter(c);
	post->fn(c, post->arg);
	if (c->state == CONN_HANDLING)
		c->state = CONN_DEFERRED; /* another post will bring the answer */
	http_conn_leave(c);
}

static void posts_run(cu_http_loop *loop, struct http_post *posts)
{
	while (posts) {
		struct http_post *post = posts;

		posts = post->next;
		post_run(loop, post);
		free(post);
	}
}

static void loop_cut(cu_http_loop *loop)
{
	for (uint32_t i = 0; i < loop->slots_len; i++) {
		if (loop->slots[i].conn)
			http_conn_cut(loop->slots[i].conn);
	}
}

static void loop_drain_begin(cu_http_loop *loop)
{
	if (loop->draining)
		return;
	loop->draining = true;
	http_listen_stop(loop);
	http_loop_turn(loop);
	pthread_mutex_lock(&loop->server->mtx);
	loop->server->loops_draining++;
	pthread_cond_broadcast(&loop->server->cond);
	pthread_mutex_unlock(&loop->server->mtx);
}

/* Visits every connection once, then as long as there are parked ones that draining ends. */
static void drain_run(cu_http_loop *loop, unsigned budget)
{
	while (budget && loop->drain_at < loop->slots_len) {
		conn *c = loop->slots[loop->drain_at++].conn;

		if (c) {
			budget--;
			http_conn_drain(c);
		}
	}
}

static void turn_run(uv_idle_t *turn)
{
	cu_http_loop *loop = turn->data;
	unsigned budget = loop->server->opts.wake_slice;
	bool more = false;

	http_wave_run(loop, &budget);
	if (loop->wave_head)
		more = true;
	if (loop->draining) {
		if (loop->drain_at >= loop->slots_len && loop->parked > loop->lasting)
			loop->drain_at = 0;
		drain_run(loop, loop->server->opts.wake_slice);
		if (loop->drain_at < loop->slots_len || loop->parked > loop->lasting)
			more = true;
	}
	if (!more) {
		uv_idle_stop(turn);
		loop->turning = false;
	}
}

void http_loop_turn(cu_http_loop *loop)
{
	if (loop->turning || loop->stopping)
		return;
	loop->turning = true;
	uv_idle_start(&loop->turn, turn_run);
}

static void loop_stopping(cu_http_loop *loop)
{
	unsigned budget = UINT32_MAX;

	loop->stopping = true;
	http_listen_stop(loop);
	loop_cut(loop);
	http_wave_run(loop, &budget); /* nobody is left: this only ends the waves that run */
	uv_close((uv_handle_t *)&loop->timer, NULL);
	uv_close((uv_handle_t *)&loop->turn, NULL);
	pthread_mutex_lock(&loop->mtx);
	loop->closed = true;
	pthread_mutex_unlock(&loop->mtx);
	uv_close((uv_handle_t *)&loop->async, NULL);
}

static void async_run(uv_async_t *async)
{
	cu_http_loop *loop = async->data;
	struct http_post *posts;
	struct http_keyset set;
	bool drain, cut, stop;

	pthread_mutex_lock(&loop->mtx);
	posts = loop->posts;
	loop->posts = NULL;
	loop->posts_end = &loop->posts;
	set = loop->wakes;
	loop->wakes = loop->woken_keys;
	loop->woken_keys = set;
	drain = loop->ask_drain;
	cut = loop->ask_cut;
	stop = loop->ask_stop;
	loop->ask_drain = loop->ask_cut = false;
	pthread_mutex_unlock(&loop->mtx);

	posts_run(loop, posts);
	if (loop->woken_keys.everybody) {
		http_wave_start_all(loop);
	} else {
		for (uint32_t i = 0; i < loop->woken_keys.len; i++)
			http_wave_start(loop, loop->woken_keys.keys[i]);
	}
	http_keyset_clear(&loop->woken_keys);
	if (loop->wave_head)
		http_loop_turn(loop);
	if (drain)
		loop_drain_begin(loop);
	if (cut)
		loop_cut(loop);
	if (stop && !loop->stopping)
		loop_stopping(loop);
}

void http_loop_conn_gone(cu_http_loop *loop)
{
	cu_http_server *server = loop->server;

	atomic_fetch_sub_explicit(&loop->conns, 1, memory_order_relaxed);
	if (atomic_fetch_sub(&server->conns, 1) == 1 && loop->draining) {
		pthread_mutex_lock(&server->mtx);
		pthread_cond_broadcast(&server->cond);
		pthread_mutex_unlock(&server->mtx);
	}
	if (loop->accept_paused)
		http_listen_resume(loop);
}

static void *loop_main(void *arg)
{
	cu_http_loop *loop = arg;
	char name[16];

	snprintf(name, sizeof name, "http-%u", loop->index);
	pthread_setname_np(pthread_self(), name);
	http_listen_start(loop);
	uv_run(&loop->uv, UV_RUN_DEFAULT);

	/* What was posted while we stopped; running it may post more. Nobody answers any more. */
	for (;;) {
		struct http_post *posts;

		pthread_mutex_lock(&loop->mtx);
		posts = loop->posts;
		loop->posts = NULL;
		loop->posts_end = &loop->posts;
		pthread_mutex_unlock(&loop->mtx);
		if (!posts)
			break;
		posts_run(loop, posts);
	}
	return NULL;
}

int http_loop_init(cu_http_loop *loop, cu_http_server *server, unsigned index)
{
	int rc;

	loop->server = server;
	loop->index = index;
	loop->listen_fd = -1;
	loop->timer_at = UINT64_MAX;
	loop->slots_free = CU_HTTP_SLOT_NONE;
	loop->posts_end = &loop->posts;
	loop->scratch = cu_xmalloc(CU_HTTP_PIPELINE_MAX);
	cu_buf_init(&loop->head);
	pthread_mutex_init(&loop->mtx, NULL);
	http_wait_init(loop);
	rc = uv_loop_init(&loop->uv);
	if (rc < 0) {
		cu_error("cannot create an event loop", CU_KV("error", uv_strerror(rc)));
		return CU_EIO;
	}
	loop->uv.data = loop;
	rc = uv_async_init(&loop->uv, &loop->async, async_run);
	CU_ASSERT(rc == 0);
	uv_timer_init(&loop->uv, &loop->timer);
	uv_idle_init(&loop->uv, &loop->turn);
	loop->async.data = loop->timer.data = loop->turn.data = loop;
	return 0;
}

int http_loop_start(cu_http_loop *loop)
{
	sigset_t all, before;
	int rc;

	/* Signals are for the main thread; SIGPIPE, which sendfile() can raise, for nobody. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&loop->thread, NULL, loop_main, loop);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0) {
		cu_error("cannot start an HTTP thread", CU_KV("error", strerror(rc)));
		return CU_EIO;
	}
	loop->thread_started = true;
	return 0;
}

void http_loop_stop(cu_http_loop *loop)
{
	if (!loop->thread_started)
		return;
	loop_ask(loop, &loop->ask_stop);
	pthread_join(loop->thread, NULL);
	loop->thread_started = false;
}

void http_loop_fini(cu_http_loop *loop)
{
	if (!loop->server)
		return;
	if (loop->uv.data) {
		if (!loop->closed) { /* the thread never ran */
			loop->stopping = loop->closed = true;
			http_listen_stop(loop);
			uv_close((uv_handle_t *)&loop->timer, NULL);
			uv_close((uv_handle_t *)&loop->turn, NULL);
			uv_close((uv_handle_t *)&loop->async, NULL);
			uv_run(&loop->uv, UV_RUN_DEFAULT);
		}
		CU_ASSERT(uv_loop_close(&loop->uv) == 0);
	}
	CU_ASSERT(!loop->posts);
	http_wait_fini(loop);
	while (loop->free_blocks) {
		struct http_parse_block *block = loop->free_blocks;

		loop->free_blocks = block->next_free;
		cu_http_parse_fini(&block->parse);
		free(block);
	}
	while (loop->free_outs) {
		struct http_out *out = loop->free_outs;

		loop->free_outs = out->next_free;
		cu_buf_fini(&out->text);
		free(out);
	}
	free(loop->slots);
	free(loop->scratch);
	cu_buf_fini(&loop->head);
	pthread_mutex_destroy(&loop->mtx);
}

const char *http_loop_date(cu_http_loop *loop)
{
	static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	uint64_t now_s = cu_wall_us() / 1000000u;
	time_t now = (time_t)now_s;
	struct tm tm;

	if (now_s != loop->date_s) {
		gmtime_r(&now, &tm);
		snprintf(loop->date, sizeof loop->date, "%s, %02u %s %04u %02u:%02u:%02u GMT", days[tm.tm_wday],
			 (unsigned)tm.tm_mday % 100u, months[tm.tm_mon], (unsigned)(tm.tm_year + 1900) % 10000u,
			 (unsigned)tm.tm_hour % 100u, (unsigned)tm.tm_min % 100u, (unsigned)tm.tm_sec % 100u);
		loop->date_s = now_s;
	}
	return loop->date;
}

unsigned cu_http_loop_index(const cu_http_loop *loop)
{
	return loop->index;
}

size_t cu_http_loop_park_count(const cu_http_loop *loop)
{
	return (size_t)atomic_load_explicit(&loop->parked, memory_order_relaxed);
}

void **cu_http_loop_data(cu_http_loop *loop)
{
	return &loop->data;
}
