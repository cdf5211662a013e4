/* bench_epoll.c: the yardstick of waiting readers: a plain epoll server that speaks just enough of the protocol.
 *
 *   bench_epoll <port> <threads>     prints its port, answers until it is killed
 *
 * A request without live=true is answered at once, up to date; one with it waits; SIGUSR1 answers all that wait, with
 * ready-made bytes of the size of Copper's answer. One SO_REUSEPORT socket and one epoll set per thread, requests are read
 * by looking for an empty line, connections are an int in an array: nothing is left to leave out.
 */
#include "base/base.h"

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

struct worker {
	pthread_t thread;
	int listen_fd, epoll_fd, event_fd;
	int *waiting;
	unsigned waiting_len, waiting_cap;
	char text[4096]; /* the answer */
	size_t text_len;
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

static void wait_for_news(struct worker *w, int fd)
{
	if (w->waiting_len == w->waiting_cap) {
		w->waiting_cap = w->waiting_cap ? w->waiting_cap * 2 : 1024;
		w->waiting = cu_xrealloc(w->waiting, w->waiting_cap * sizeof *w->waiting);
	}
	w->waiting[w->waiting_len++] = fd;
}

static void gone(struct worker *w, int fd)
{
	for (unsigned i = 0; i < w->waiting_len; i++) {
		if (w->waiting[i] == fd) {
			w->waiting[i] = w->waiting[--w->waiting_len];
			break;
		}
	}
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
	if (strstr(request, "live=true"))
		wait_for_news(w, fd);
	else
		answer(w, fd);
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
	unsigned len = w->waiting_len;
	uint64_t count;

	if (read(w->event_fd, &count, sizeof count) < 0)
		return;
	w->waiting_len = 0;
	make_answer(w);
	for (unsigned i = 0; i < len; i++)
		answer(w, w->waiting[i]);
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
				release(w);
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
		for (unsigned i = 0; i < workers_len; i++)
			if (write(workers[i].event_fd, &one, sizeof one) < 0)
				perror("bench_epoll: eventfd");
	}
}
