/* bench_http.c: figures of src/http (results: src/http/README.md).
 *
 *   bench_http serve <port> <loops>       GET /hello: 200 bytes; /park; /wake: answers the parked ones; /rss
 *                                         /file: the file $BENCH_FILE by sendfile
 *   bench_http park <port> <count>        parks <count> readers (one shape), wakes them three times, prints memory
 */
#include "base/clock.h"
#include "http/http.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static cu_http_server *server;
static cu_http_body *hello;
static const char headers[] = "content-type: application/json\r\ncache-control: public, max-age=5\r\n";

static uint64_t rss_anon_kb(void)
{
	FILE *file = fopen("/proc/self/status", "r");
	char line[256];
	unsigned long kb = 0;

	while (file && fgets(line, sizeof line, file))
		if (sscanf(line, "RssAnon: %lu", &kb) == 1)
			break;
	if (file)
		fclose(file);
	return kb;
}

static double cpu_s(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void respond(cu_http_request *req, cu_http_body *body)
{
	struct cu_http_response response = {
		.status = 200, .headers = headers, .headers_len = sizeof headers - 1, .body = body
	};

	cu_http_respond(req, &response);
}

static void on_wake(cu_http_request *req, void *app)
{
	(void)app;
	respond(req, hello);
}

static void on_gone(void *app)
{
	(void)app;
}

/* One range of a file. */
struct range {
	struct cu_http_source source;
	bool done;
};

static int file_fd = -1;
static size_t file_len;

static int range_next(struct cu_http_source *source, struct cu_http_piece *ret_piece)
{
	struct range *range = CU_CONTAINER_OF(source, struct range, source);

	if (range->done)
		return 0;
	range->done = true;
	*ret_piece = (struct cu_http_piece){ NULL, file_fd, 0, file_len };
	return 1;
}

static void range_close(struct cu_http_source *source)
{
	free(CU_CONTAINER_OF(source, struct range, source));
}

static void respond_file(cu_http_request *req)
{
	struct range *range = cu_xzalloc(sizeof *range);
	struct cu_http_response response = {
		.status = 200, .headers = headers, .headers_len = sizeof headers - 1, .source = &range->source
	};

	range->source = (struct cu_http_source){ .next = range_next, .close = range_close, .length = file_len };
	cu_http_respond(req, &response);
}

static const struct cu_http_waiter_ops ops = { on_wake, on_wake, on_wake, on_gone, NULL, false };

static void on_request(void *ctx, cu_http_request *req)
{
	struct cu_http_slice path = cu_http_request_path(req);

	(void)ctx;
	if (path.len == 5 && !memcmp(path.data, "/park", 5)) {
		cu_http_park(req, 1, 600000, &ops, NULL);
	} else if (path.len == 5 && !memcmp(path.data, "/wake", 5)) {
		cu_http_wake(server, 1, CU_HTTP_ALL_LOOPS);
		respond(req, NULL);
	} else if (path.len == 5 && !memcmp(path.data, "/file", 5) && file_fd >= 0) {
		respond_file(req);
	} else if (path.len == 4 && !memcmp(path.data, "/rss", 4)) {
		struct cu_http_stats stats;
		cu_http_body *body = NULL;
		char text[200];

		cu_http_server_stats(server, &stats);
		snprintf(text, sizeof text, "%lu %lu %.6f", (unsigned long)rss_anon_kb(), (unsigned long)stats.parked,
			 cpu_s());
		cu_http_body_new(text, strlen(text), &body);
		respond(req, body);
		cu_http_body_unref(&body);
	} else {
		respond(req, hello);
	}
}

static int connect_to(unsigned port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_port = htons((uint16_t)port),
				    .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0) {
		perror("connect");
		exit(1);
	}
	return fd;
}

static void get(int fd, const char *path)
{
	char text[100];
	int len = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nhost: b\r\n\r\n", path);

	if (send(fd, text, (size_t)len, 0) != len)
		exit(1);
}

static void answer(int fd, char out[4096])
{
	ssize_t n = recv(fd, out, 4095, 0);

	if (n <= 0)
		exit(1);
	out[n] = '\0';
}

static void state(int fd, unsigned long *rss, unsigned long *parked, double *cpu)
{
	char text[4096];

	get(fd, "/rss");
	answer(fd, text);
	sscanf(strstr(text, "\r\n\r\n") + 4, "%lu %lu %lf", rss, parked, cpu);
}

static void park(unsigned port, unsigned count)
{
	int control = connect_to(port), *fds = calloc(count, sizeof *fds);
	unsigned long rss0, rss1, parked;
	double cpu0, cpu1;
	char text[4096];

	state(control, &rss0, &parked, &cpu0);
	for (unsigned i = 0; i < count; i++)
		fds[i] = connect_to(port);
	for (int round = 0; round < 3; round++) {
		for (unsigned i = 0; i < count; i++)
			get(fds[i], "/park");
		do
			state(control, &rss1, &parked, &cpu0);
		while (parked < count);
		printf("parked %lu: RssAnon %lu kB, %.0f bytes per reader\n", parked, rss1,
		       (double)(rss1 - rss0) * 1024 / count);
		uint64_t t0 = cu_now_ns();
		get(control, "/wake");
		answer(control, text);
		for (unsigned i = 0; i < count; i++)
			answer(fds[i], text);
		printf("all answered after %.1f ms\n", (double)(cu_now_ns() - t0) / 1e6);
		state(control, &rss1, &parked, &cpu1);
		printf("server CPU %.2f us per reader\n", (cpu1 - cpu0) * 1e6 / count);
	}
	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
	free(fds);
}

int main(int argc, char **argv)
{
	struct rlimit limit;
	char text[200];

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (argc < 4)
		return 2;
	if (argv[1][0] == 'p') {
		park((unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]));
		return 0;
	}
	if (getenv("BENCH_FILE")) {
		file_fd = open(getenv("BENCH_FILE"), O_RDONLY);
		file_len = file_fd < 0 ? 0 : (size_t)lseek(file_fd, 0, SEEK_END);
	}
	memset(text, 'x', sizeof text);
	cu_http_body_new(text, sizeof text, &hello);
	struct cu_http_opts opts = { .host = "127.0.0.1",
				     .port = (uint16_t)atoi(argv[2]),
				     .loops = (unsigned)atoi(argv[3]),
				     .handlers = { .on_request = on_request } };
	if (cu_http_server_start(&opts, &server) < 0)
		return 1;
	pause();
	return 0;
}
