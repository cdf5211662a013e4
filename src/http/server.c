/* server.c: options, start, drain, stop, statistics. */
#include "http/internal.h"

#include "base/clock.h"
#include "base/cond.h"
#include "base/log.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static unsigned connections_max_default(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 768;
	if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > 1u << 20)
		return 1u << 20;
	/* The rest is for files, Postgres and ourselves. */
	if (limit.rlim_cur > 2048)
		return (unsigned)limit.rlim_cur - 512;
	return (unsigned)(limit.rlim_cur * 3 / 4);
}

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
	return value ? value : fallback;
}

static void opts_fill(struct cu_http_opts *opts)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (!opts->loops)
		opts->loops = cores > 0 ? (unsigned)cores : 1;
	opts->loops = CU_MIN(opts->loops, CU_HTTP_LOOPS_MAX);
	opts->backlog = or_default(opts->backlog, 4096);
	if (!opts->connections_max)
		opts->connections_max = connections_max_default();
	/* The parser's own bound is set for the limits of limits.h: they can be lowered only. */
	opts->url_max = CU_MIN(or_default(opts->url_max, CU_HTTP_URL_MAX), CU_HTTP_URL_MAX);
	opts->headers_max = CU_MIN(or_default(opts->headers_max, CU_HTTP_HEADERS_MAX), CU_HTTP_HEADERS_MAX);
	opts->body_max = CU_MIN(or_default(opts->body_max, CU_HTTP_BODY_MAX), CU_HTTP_BODY_MAX);
	opts->header_deadline_ms = or_default(opts->header_deadline_ms, CU_HTTP_HEADER_DEADLINE_MS);
	opts->body_deadline_ms = or_default(opts->body_deadline_ms, CU_HTTP_BODY_DEADLINE_MS);
	opts->idle_ms = or_default(opts->idle_ms, CU_HTTP_IDLE_MS);
	opts->send_stall_ms = or_default(opts->send_stall_ms, CU_HTTP_SEND_STALL_MS);
	opts->wake_slice = or_default(opts->wake_slice, CU_HTTP_WAKE_SLICE);
}

int cu_http_server_start(const struct cu_http_opts *opts, cu_http_server **ret_server)
{
	cu_http_server *server = cu_xzalloc(sizeof *server);
	int rc = 0;

	CU_ASSERT(opts->handlers.on_request);
	server->opts = *opts;
	opts_fill(&server->opts);
	server->limits =
		(struct cu_http_parse_limits){ server->opts.url_max, server->opts.headers_max, server->opts.body_max };
	pthread_mutex_init(&server->mtx, NULL);
	cu_cond_init(&server->cond);

	server->loops_len = server->opts.loops;
	server->loops = cu_xzalloc(server->loops_len * sizeof *server->loops);
	for (unsigned i = 0; i < server->loops_len; i++) {
		rc = http_loop_init(&server->loops[i], server, i);
		if (rc < 0)
			goto out;
	}
	rc = http_listen_open(server);
	if (rc < 0)
		goto out;
	for (unsigned i = 0; i < server->loops_len; i++) {
		rc = http_loop_start(&server->loops[i]);
		if (rc < 0)
			goto out;
	}
	server->opts.host = NULL; /* was borrowed */
	*ret_server = server;
	server = NULL;
out:
	cu_http_server_free(&server);
	return rc;
}

uint16_t cu_http_server_port(const cu_http_server *server)
{
	return server->port;
}

unsigned cu_http_server_loops(const cu_http_server *server)
{
	return server->loops_len;
}

static bool drained(const cu_http_server *server)
{
	return server->loops_draining == server->loops_len && atomic_load(&server->conns) == 0;
}

void cu_http_server_drain(cu_http_server *server, uint32_t grace_ms)
{
	struct timespec until = cu_until_ms(cu_now_ms() + grace_ms);
	int rc = 0;

	for (unsigned i = 0; i < server->loops_len; i++)
		http_loop_ask_drain(&server->loops[i]);
	pthread_mutex_lock(&server->mtx);
	while (!drained(server) && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&server->cond, &server->mtx, &until);
	pthread_mutex_unlock(&server->mtx);
	if (rc != ETIMEDOUT)
		return;
	cu_info("connections are cut off at the end of the grace period",
		CU_KV_U64("connections", atomic_load(&server->conns)));
	for (unsigned i = 0; i < server->loops_len; i++)
		http_loop_ask_cut(&server->loops[i]);
	pthread_mutex_lock(&server->mtx);
	while (!drained(server))
		pthread_cond_wait(&server->cond, &server->mtx);
	pthread_mutex_unlock(&server->mtx);
}

void cu_http_server_free(cu_http_server **ptr)
{
	cu_http_server *server = *ptr;

	if (!server)
		return;
	*ptr = NULL;
	/* All stop before one is taken apart: their last callbacks may still post to each other. */
	for (unsigned i = 0; i < server->loops_len; i++)
		http_loop_stop(&server->loops[i]);
	for (unsigned i = 0; i < server->loops_len; i++)
		http_loop_fini(&server->loops[i]);
	free(server->loops);
	pthread_cond_destroy(&server->cond);
	pthread_mutex_destroy(&server->mtx);
	free(server);
}

void cu_http_server_stats(const cu_http_server *server, struct cu_http_stats *ret_stats)
{
	struct cu_http_stats stats = { 0 };

	for (unsigned i = 0; i < server->loops_len; i++) {
		const cu_http_loop *loop = &server->loops[i];

		stats.connections += atomic_load_explicit(&loop->conns, memory_order_relaxed);
		stats.parked += atomic_load_explicit(&loop->parked, memory_order_relaxed);
		stats.requests += atomic_load_explicit(&loop->requests, memory_order_relaxed);
		stats.accepted += atomic_load_explicit(&loop->accepted, memory_order_relaxed);
		stats.refused += atomic_load_explicit(&loop->refused, memory_order_relaxed);
		stats.waves += atomic_load_explicit(&loop->waves, memory_order_relaxed);
		stats.woken += atomic_load_explicit(&loop->woken, memory_order_relaxed);
	}
	*ret_stats = stats;
}
