/* listen.c: the listening sockets (one per loop, SO_REUSEPORT) and accepting.
 *
 * SO_REUSEPORT would also share the port with a second copy of us under the same user, each getting half of the
 * connections. So the port is first bound without it: that fails when anybody else listens there. (Two copies that
 * start within the same millisecond may still both pass.)
 */
#include "http/internal.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

int http_address_parse(const char *host, uint16_t port, struct http_address *ret)
{
	struct sockaddr_in *in4 = (struct sockaddr_in *)&ret->store;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ret->store;

	memset(ret, 0, sizeof *ret);
	if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		ret->len = sizeof *in6;
		return 0;
	}
	if (inet_pton(AF_INET, host, &in4->sin_addr) == 1) {
		in4->sin_family = AF_INET;
		in4->sin_port = htons(port);
		ret->len = sizeof *in4;
		return 0;
	}
	return CU_EINVAL;
}

static void address_port_set(struct http_address *addr, uint16_t port)
{
	if (addr->store.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&addr->store)->sin6_port = htons(port);
	else
		((struct sockaddr_in *)&addr->store)->sin_port = htons(port);
}

/* Returns the socket, or -1 with errno. */
static int bound_socket(const struct http_address *addr, bool shared)
{
	int fd = socket(addr->store.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1, off = 0, lowat = (int)CU_HTTP_NOTSENT_LOWAT, saved;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (addr->store.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
	/* Accepted sockets inherit these two from the listening one. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof lowat);
	if ((shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0) ||
	    bind(fd, (const struct sockaddr *)&addr->store, addr->len) < 0) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

static int failed(const cu_http_server *server, uint16_t port)
{
	const char *host = server->opts.host ? server->opts.host : "::";

	if (errno == EADDRINUSE) {
		cu_error("the port is taken by another process: stop it, or choose another port", CU_KV("host", host),
			 CU_KV_INT("port", port));
		return CU_EBUSY;
	}
	cu_error("cannot listen", CU_KV("host", host), CU_KV_INT("port", port), CU_KV("error", strerror(errno)));
	return CU_EIO;
}

static int port_of(int fd, uint16_t *ret_port)
{
	struct sockaddr_storage store;
	socklen_t len = sizeof store;

	if (getsockname(fd, (struct sockaddr *)&store, &len) < 0)
		return CU_EIO;
	*ret_port = ntohs(store.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&store)->sin6_port
						      : ((struct sockaddr_in *)&store)->sin_port);
	return 0;
}

int http_listen_open(cu_http_server *server)
{
	struct http_address addr;
	int rc, fd;

	rc = http_address_parse(server->opts.host ? server->opts.host : "::", server->opts.port, &addr);
	if (rc < 0) {
		cu_error("the address to listen on is not numeric; give an IPv4 or IPv6 address like 127.0.0.1 or ::1",
			 CU_KV("host", server->opts.host));
		return rc;
	}
	/* The probe. With port 0 it also picks one that nobody else has. */
	fd = bound_socket(&addr, false);
	if (fd < 0 && errno == EAFNOSUPPORT && !server->opts.host) {
		http_address_parse("0.0.0.0", server->opts.port, &addr); /* a machine without IPv6 */
		fd = bound_socket(&addr, false);
	}
	if (fd < 0 || listen(fd, 1) < 0) {
		rc = failed(server, server->opts.port);
		if (fd >= 0)
			close(fd);
		return rc;
	}
	rc = port_of(fd, &server->port);
	close(fd);
	if (rc < 0)
		return rc;
	address_port_set(&addr, server->port);
	for (unsigned i = 0; i < server->loops_len; i++) {
		fd = bound_socket(&addr, true);
		if (fd < 0)
			return failed(server, server->port);
		server->loops[i].listen_fd = fd;
	}
	/* Only now: a connection must not arrive before all of them can be opened. */
	for (unsigned i = 0; i < server->loops_len; i++) {
		if (listen(server->loops[i].listen_fd, (int)server->opts.backlog) < 0)
			return failed(server, server->port);
	}
	return 0;
}

static void accept_pause(cu_http_loop *loop, int err)
{
	uint64_t now = uv_now(&loop->uv);

	if (loop->accept_warned_at == 0 || now - loop->accept_warned_at > 10000) {
		cu_warn("cannot accept connections, they wait: raise the limit of open files (ulimit -n)",
			CU_KV("error", strerror(err)), CU_KV_U64("connections", loop->server->conns));
		loop->accept_warned_at = now;
	}
	uv_poll_stop(&loop->listen_poll);
	loop->accept_paused = true;
	loop->accept_resume_at = now + CU_HTTP_ACCEPT_PAUSE_MS;
	http_timer_arm(loop, loop->accept_resume_at);
}

static void accept_one(cu_http_loop *loop, int fd)
{
	cu_http_server *server = loop->server;
	uint64_t before = atomic_fetch_add(&server->conns, 1);
	bool refuse = before >= server->opts.connections_max;

	atomic_fetch_add_explicit(&loop->conns, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&loop->accepted, 1, memory_order_relaxed);
	if (refuse) {
		atomic_fetch_add_explicit(&loop->refused, 1, memory_order_relaxed);
		if (!atomic_exchange(&server->full_warned, true))
			cu_warn("connections are refused with 503: the limit is reached",
				CU_KV_U64("connections_max", server->opts.connections_max));
		if (loop->refused_open >= CU_HTTP_REFUSED_MAX) {
			close(fd);
			http_loop_conn_gone(loop);
			return;
		}
	} else if (before < server->opts.connections_max / 2) {
		atomic_store_explicit(&server->full_warned, false, memory_order_relaxed);
	}
	http_conn_new(loop, fd, refuse);
}

static void listen_ready(uv_poll_t *poll, int status, int events)
{
	cu_http_loop *loop = CU_CONTAINER_OF(poll, cu_http_loop, listen_poll);

	(void)events;
	if (status < 0)
		cu_warn("the listening socket reports an error", CU_KV("error", uv_strerror(status)));
	for (unsigned i = 0; i < CU_HTTP_ACCEPT_SLICE; i++) {
		int fd = accept4(loop->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			accept_one(loop, fd);
			continue;
		}
		if (errno == EAGAIN)
			break;
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			accept_pause(loop, errno);
			break;
		}
		/* Anything else is the one connection's trouble (ECONNABORTED, a network error): the next. */
	}
}

void http_listen_start(cu_http_loop *loop)
{
	int rc = uv_poll_init(&loop->uv, &loop->listen_poll, loop->listen_fd);

	CU_ASSERT(rc == 0);
	loop->listening = true;
	uv_poll_start(&loop->listen_poll, UV_READABLE, listen_ready);
}

void http_listen_resume(cu_http_loop *loop)
{
	if (!loop->accept_paused)
		return;
	loop->accept_paused = false;
	if (loop->listening)
		uv_poll_start(&loop->listen_poll, UV_READABLE, listen_ready);
}

void http_listen_stop(cu_http_loop *loop)
{
	loop->accept_paused = false;
	if (loop->listening) {
		/* What is in the backlog would be reset: take it first, it gets its answer. */
		if (!loop->stopping)
			listen_ready(&loop->listen_poll, 0, UV_READABLE);
		loop->accept_paused = false;
		loop->listening = false;
		uv_close((uv_handle_t *)&loop->listen_poll, NULL);
	}
	if (loop->listen_fd >= 0)
		close(loop->listen_fd);
	loop->listen_fd = -1;
}
