/* bench_epoll.c: the yardstick of waiting readers and streams: a plain epoll server that speaks just enough of the protocol.
 *
 *   bench_epoll <port> <threads>     prints its port, answers until it is killed
 *
 * A request without live=true is answered at once, up to date; one with it waits; SIGUSR1 answers all that wait, with
 * ready-made bytes of the size of Copper's answer. One with live_sse=true becomes a stream; each SIGRTMIN is an item for
 * all streams, the same bytes as Copper's, one send() per stream and wave. One SO_REUSEPORT socket and one epoll set per thread, requests are read
 * by looking for an empty line, connections are an int in an array: nothing is left to leave out.
 */
#include "base/buf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define THREADS_MAX 64
#define EVENTS 512

static const char head_format[] =
	"HTTP/1.1 200 OK\r\ndate: Mon, 23 Nov 2026 00:00:00 GMT\r\nvary: accept-encoding\r\ncache-control: public, max-age=5, "
	"stale-while-revalidate=5\r\nelectric-server: plain-epoll/1.0.0\r\naccess-control-allow-origin: *\r\n"
	"access-control-expose-headers: electric-cursor,electric-handle,electric-has-data,electric-offset,electric-schema,"
	"electric-up-to-date,electric-internal-known-error,retry-after\r\naccess-control-allow-methods: GET, POST, HEAD, "
	"DELETE, OPTIONS\r\ncontent-type: application/json; charset=utf-8\r\nelectric-cursor: 66927420\r\netag: "
	"\"1-1795359408652735:26649944_0:26672376_0\"\r\nelectric-handle: 1-1795359408652735\r\nelectric-up-to-date: \r\n"
	"electric-has-data: true\r\nelectric-offset: %u_0\r\nx-request-id: 01234567890123456789\r\ncontent-length: %zu\r\n\r\n";
static const char body[] =
	"[{\"key\":\"\\\"public\\\".\\\"pulse\\\"/\\\"1\\\"\",\"value\":{\"id\":\"1\",\"n\":\"100\"},\"headers\":{\"operation\":"
	"\"update\",\"relation\":[\"public\",\"pulse\"],\"lsn\":\"26672376\",\"op_position\":0,\"txids\":[743],\"last\":true}},"
	"{\"headers\":{\"control\":\"up-to-date\",\"global_last_seen_lsn\":\"26672376\"}}]";

static const char stream_head[] =
	"HTTP/1.1 200 OK\r\ndate: Mon, 23 Nov 2026 00:00:00 GMT\r\nvary: accept-encoding\r\ncache-control: public, max-age=59\r\n"
	"electric-server: plain-epoll/1.0.0\r\ncontent-type: text/event-stream\r\nelectric-handle: 1-1795359408652735\r\n"
	"electric-up-to-date: \r\nelectric-offset: 0_inf\r\ntransfer-encoding: chunked\r\n\r\n";
static const char stream_item[] =
	"data: {\"key\":\"\\\"public\\\".\\\"pulse\\\"/\\\"1\\\"\",\"value\":{\"id\":\"1\",\"n\":\"100\"},\"headers\":{"
	"\"operation\":\"update\",\"relation\":[\"public\",\"pulse\"],\"lsn\":\"26672376\",\"op_position\":0,\"txids\":[743],"
	"\"last\":true}}\n\n";
static const char stream_up_to_date[] =
	"data: {\"headers\":{\"control\":\"up-to-date\",\"global_last_seen_lsn\":\"26672376\"}}\n\n";

struct fds {
	int *list;
	unsigned len, cap;
};

struct worker {
	pthread_t thread;
	int listen_fd, epoll_fd, event_fd;
	struct fds waiting, streams;
	char text[4096]; /* the answer */
	size_t text_len;
	cu_buf events; /* the piece of a stream */
	_Atomic unsigned items;
	_Atomic bool answers;
};

static struct worker workers[THREADS_MAX];
static unsigned workers_len;
static _Atomic unsigned version = 1;

static void make_answer(struct worker *w)
{
	int head = snprintf(w->text, sizeof w->text, head_format, atomic_load(&version), sizeof body - 1);

	memcpy(w->text + head, body, sizeof body - 1);
	w->text_len = (size_t)head + sizeof body - 1;
}

static void answer(const struct worker *w, int fd)
{
	if (send(fd, w->text, w->text_len, MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET)
		perror("bench_epoll: send");
}

/* A stream's bytes all fit: a client that reads so late has failed anyway. */
static void stream_send(int fd, const char *data, size_t len)
{
	ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

	if (n == (ssize_t)len || (n < 0 && (errno == EPIPE || errno == ECONNRESET)))
		return;
	fprintf(stderr, "bench_epoll: a stream takes no more\n");
	exit(1);
}

static void fds_add(struct fds *fds, int fd)
{
	if (fds->len == fds->cap) {
		fds->cap = fds->cap ? fds->cap * 2 : 1024;
		fds->list = cu_xrealloc(fds->list, fds->cap * sizeof *fds->list);
	}
	fds->list[fds->len++] = fd;
}

static void fds_remove(struct fds *fds, int fd)
{
	for (unsigned i = 0; i < fds->len; i++) {
		if (fds->list[i] == fd) {
			fds->list[i] = fds->list[--fds->len];
			break;
		}
	}
}

static void gone(struct worker *w, int fd)
{
	fds_remove(&w->waiting, fd);
	fds_remove(&w->streams, fd);
	close(fd);
}

static void readable(struct worker *w, int fd)
{
	char request[4096];
	ssize_t n = recv(fd, request, sizeof request - 1, MSG_DONTWAIT);

	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			gone(w, fd);
		return;
	}
	request[n] = '\0';
	if (!strstr(request, "\r\n\r\n")) {
		fprintf(stderr, "bench_epoll: a request in pieces\n");
		exit(1);
	}
	if (strstr(request, "live_sse=true")) {
		stream_send(fd, stream_head, sizeof stream_head - 1);
		fds_add(&w->streams, fd);
	} else if (strstr(request, "live=true")) {
		fds_add(&w->waiting, fd);
	} else {
		answer(w, fd);
	}
}

static void accept_all(struct worker *w)
{
	int fd, one = 1;

	while ((fd = accept4(w->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &event);
	}
}

static void release(struct worker *w)
{
	unsigned len = w->waiting.len;

	w->waiting.len = 0;
	make_answer(w);
	for (unsigned i = 0; i < len; i++)
		answer(w, w->waiting.list[i]);
}

/* What came meanwhile goes together, as Copper's does: items, up-to-date, as one chunk. */
static void stream_items(struct worker *w, unsigned items)
{
	cu_buf *text = &w->events;

	cu_buf_clear(text);
	cu_buf_printf(text, "%zx\r\n", items * (sizeof stream_item - 1) + sizeof stream_up_to_date - 1);
	while (items--)
		cu_buf_append(text, stream_item, sizeof stream_item - 1);
	cu_buf_append(text, stream_up_to_date, sizeof stream_up_to_date - 1);
	cu_buf_puts(text, "\r\n");
	for (unsigned i = 0; i < w->streams.len; i++)
		stream_send(w->streams.list[i], text->data, text->len);
}

static void signalled(struct worker *w)
{
	uint64_t count;
	unsigned items;

	if (read(w->event_fd, &count, sizeof count) < 0)
		return;
	if (atomic_exchange(&w->answers, false))
		release(w);
	items = atomic_exchange(&w->items, 0);
	if (items)
		stream_items(w, items);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct epoll_event events[EVENTS];

	for (;;) {
		int n = epoll_wait(w->epoll_fd, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (fd == w->listen_fd)
				accept_all(w);
			else if (fd == w->event_fd)
				signalled(w);
			else
				readable(w, fd);
		}
	}
	return NULL;
}

static void open_worker(struct worker *w, struct sockaddr_in *addr)
{
	socklen_t len = sizeof *addr;
	struct epoll_event event = { .events = EPOLLIN };
	int one = 1;

	make_answer(w);
	cu_buf_init(&w->events);
	w->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(w->listen_fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
	if (bind(w->listen_fd, (struct sockaddr *)addr, sizeof *addr) < 0 || listen(w->listen_fd, 4096) < 0) {
		perror("bench_epoll: listen");
		exit(1);
	}
	getsockname(w->listen_fd, (struct sockaddr *)addr, &len);
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	event.data.fd = w->listen_fd;
	epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->listen_fd, &event);
	event.data.fd = w->event_fd;
	epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->event_fd, &event);
}

int main(int argc, char **argv)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct rlimit files;
	sigset_t set;

	if (argc != 3 || atoi(argv[2]) < 1 || atoi(argv[2]) > THREADS_MAX) {
		fprintf(stderr, "usage: bench_epoll PORT THREADS\n");
		return 2;
	}
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	addr.sin_port = htons((uint16_t)atoi(argv[1]));
	workers_len = (unsigned)atoi(argv[2]);
	for (unsigned i = 0; i < workers_len; i++)
		open_worker(&workers[i], &addr);
	for (unsigned i = 0; i < workers_len; i++)
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	printf("%u\n", ntohs(addr.sin_port));
	fflush(stdout);
	for (;;) {
		uint64_t one = 1;
		int signal;

		if (sigwait(&set, &signal) != 0)
			continue;
		atomic_fetch_add(&version, 1);
		for (unsigned i = 0; i < workers_len; i++) {
			if (signal == SIGUSR1)
				atomic_store(&workers[i].answers, true);
			else
				atomic_fetch_add(&workers[i].items, 1);
			if (write(workers[i].event_fd, &one, sizeof one) < 0)
				perror("bench_epoll: eventfd");
		}
	}
}
